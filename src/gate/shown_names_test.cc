#include "gate/shown_names.h"

#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

// A result of one row; its titles and cells afterwards, joined by "|".
std::string shown(std::initializer_list<std::pair<const char*, const char*>> cells) {
  const std::map<std::string, std::string, std::less<>> databases = {{"shop", "vt_shop"}};
  net::QueryResult result;
  result.rows.emplace_back();
  for (const auto& [title, cell] : cells) {
    result.columns.emplace_back().name = title;
    result.rows[0].emplace_back(cell);
  }
  show_names({.database = "vt_shop", .keyspace = "shop"}, databases, result);
  std::string out;
  for (size_t i = 0; i < result.columns.size(); ++i) {
    out += (i > 0 ? "|" : "") + result.columns[i].name + "=" + result.rows[0][i].value_or("null");
  }
  return out;
}

TEST(ShowNames, PutsTheKeyspaceInThePlaceOfItsDatabase) {
  EXPECT_EQ(shown({{"Tables_in_vt_shop", "vt_shop"}}), "Tables_in_shop=vt_shop");
  EXPECT_EQ(shown({{"Tables_in_vt_shop (a%)", "a"}}), "Tables_in_shop (a%)=a");
  EXPECT_EQ(shown({{"db", "vt_shop"}, {"Db", "vt_shop"}, {"Info", "vt_shop"}}), "db=shop|Db=shop|Info=vt_shop");
  EXPECT_EQ(shown({{"Table", "vt_shop.item"}, {"Op", "check"}, {"Msg_text", "Table 'vt_shop.item' doesn't exist"}}),
            "Table=shop.item|Op=check|Msg_text=Table 'shop.item' doesn't exist");
  EXPECT_EQ(shown({{"Table", "vt_shopping.item"}}), "Table=vt_shopping.item");
  EXPECT_EQ(shown({{"Create Database", "CREATE DATABASE `vt_shop` /* .. */"}}),
            "Create Database=CREATE DATABASE `shop` /* .. */");
}

TEST(ShownVariables, OfTheSession) {
  for (const auto& [text, expected] :
       std::initializer_list<std::pair<const char*, bool>>{{"show variables", true},
                                                           {"SHOW SESSION VARIABLES like 'auto%'", true},
                                                           {"show /* x */ local variables where value = 1", true},
                                                           {"show global variables", false},
                                                           {"show variable_tables", false},
                                                           {"show", false},
                                                           {"show tables like 'variables'", false}}) {
    EXPECT_EQ(shows_session_variables(text), expected) << text;
  }
}

}  // namespace
}  // namespace vitrail::gate
