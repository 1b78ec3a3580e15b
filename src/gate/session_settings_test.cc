#include "gate/session_settings.h"

#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

using Kind = SessionSettings::Kind;

TEST(SessionSettings, KnowsWhoAVariableIsFor) {
  EXPECT_EQ(SessionSettings::kind_of("sql_mode"), Kind::kServer);
  EXPECT_EQ(SessionSettings::kind_of("sql_safe_updates"), Kind::kServer);
  EXPECT_EQ(SessionSettings::kind_of("sql_select_limit"), Kind::kServer);
  EXPECT_EQ(SessionSettings::kind_of("lock_wait_timeout"), Kind::kServer);
  EXPECT_EQ(SessionSettings::kind_of("nosuch"), Kind::kServer);
  EXPECT_EQ(SessionSettings::kind_of("autocommit"), Kind::kGate);
  EXPECT_EQ(SessionSettings::kind_of("session_track_schema"), Kind::kStored);
  EXPECT_EQ(SessionSettings::kind_of("sql_log_bin"), Kind::kRefused);
  EXPECT_EQ(SessionSettings::kind_of("profiling"), Kind::kRefused);
  EXPECT_EQ(SessionSettings::kind_of("optimizer_trace"), Kind::kRefused);
  EXPECT_EQ(SessionSettings::canonical("Transaction_Isolation"), "tx_isolation");
}

TEST(SessionSettings, ALaterSettingIsNotUndoneByAnEarlierOne) {
  SessionSettings settings;
  settings.set_names("utf8mb4", "");
  settings.set("collation_connection", "'utf8mb4_bin'");
  EXPECT_EQ(settings.text(),
            "set @@session.character_set_client = 'utf8mb4', @@session.character_set_connection = 'utf8mb4', "
            "@@session.character_set_results = 'utf8mb4', @@session.collation_connection = 'utf8mb4_bin'");
  settings.set_names("latin1", "");
  EXPECT_EQ(settings.text(),
            "set @@session.character_set_client = 'latin1', @@session.character_set_connection = 'latin1', "
            "@@session.character_set_results = 'latin1'");
  settings.set("character_set_results", "'utf8mb4'");
  EXPECT_EQ(settings.values().at("character_set_results"), "'utf8mb4'");
}

TEST(SessionSettings, TellWhatOpenConnectionsNeed) {
  SessionSettings before;
  before.set("time_zone", "'+05:00'");
  SessionSettings after = before;
  after.unset("time_zone");
  EXPECT_EQ(after.text_of_changes(before), "set @@session.time_zone = default");
  after.set("sql_mode", "''");
  EXPECT_EQ(after.text_of_changes(before), "set @@session.time_zone = default, @@session.sql_mode = ''");
  EXPECT_EQ(SessionSettings().text_of_changes(SessionSettings()), "");
}

// Code may have changed what the client has not set now.
TEST(SessionSettings, TellWhatOneSetAssigns) {
  SessionSettings before;
  before.set("sql_mode", "''");
  before.set("time_zone", "'+05:00'");
  EXPECT_EQ(before.text_of({}, before), "");
  EXPECT_EQ(before.text_of({"time_zone"}, before), "set @@session.time_zone = '+05:00'");
  EXPECT_EQ(before.text_of({"tx_read_only"}, before), "set @@session.tx_read_only = default");
  SessionSettings after = before;
  after.unset("time_zone");
  after.set_names("latin1", "");
  EXPECT_EQ(after.text_of({"collation_connection"}, before),
            "set @@session.collation_connection = default, @@session.time_zone = default, "
            "@@session.character_set_client = 'latin1', @@session.character_set_connection = 'latin1', "
            "@@session.character_set_results = 'latin1'");
}

TEST(SwitchValue, OfAllSpellings) {
  const std::pair<const char*, std::optional<bool>> cases[] = {
      {"1", true},        {"0", false},   {"ON", true},     {"off", false}, {"'ON'", true},
      {"\"off\"", false}, {"true", true}, {"FALSE", false}, {"2", {}},      {"-1", {}},
      {"''", {}},         {"'1'", {}},    {"maybe", {}},    {"'true'", {}}, {"NULL", {}},
  };
  for (const auto& [text, value] : cases) EXPECT_EQ(switch_value(text), value) << text;
}

// Servers read texts without them.
TEST(SessionSettings, ModesOfReadingAreTheGatesOwn) {
  SessionSettings settings;
  settings.set("sql_mode", "'ANSI_QUOTES,STRICT_TRANS_TABLES'");
  EXPECT_TRUE(settings.reading().ansi_quotes);
  EXPECT_EQ(settings.text(), "set @@session.sql_mode = 'strict_trans_tables'");
  EXPECT_EQ(settings.text_of_changes({}), settings.text());
  EXPECT_EQ(settings.values().at("sql_mode"), "'ANSI_QUOTES,STRICT_TRANS_TABLES'");
  const SessionSettings before = settings;
  settings.set("sql_mode", "''");
  EXPECT_FALSE(settings.reading().any());
  EXPECT_EQ(settings.text(), "set @@session.sql_mode = ''");
  settings = before;
  settings.clear();
  EXPECT_FALSE(settings.reading().any());
  settings = before;
  settings.unset("sql_mode");
  EXPECT_EQ(settings, SessionSettings());
}

// Their values may be brought into bounds by a server; those of switches and words are not.
TEST(SessionSettings, NumbersThatWereSetAnew) {
  SessionSettings before;
  before.set("max_sort_length", "64");
  before.set("group_concat_max_len", "100");
  SessionSettings settings = before;
  EXPECT_EQ(settings.new_numbers(before), std::vector<std::string>());
  settings.set("max_sort_length", "0");
  settings.set("sql_select_limit", "-1");
  settings.set("max_statement_time", "0.5");
  settings.set("foreign_key_checks", "0");
  settings.set("sql_mode", "''");
  settings.set("div_precision_increment", "default");
  settings.set("lock_wait_timeout", "'5'");
  EXPECT_EQ(settings.new_numbers(before), (std::vector<std::string>{"max_sort_length", "sql_select_limit"}));
  EXPECT_EQ(settings.new_numbers({}),
            (std::vector<std::string>{"group_concat_max_len", "max_sort_length", "sql_select_limit"}));
}

TEST(CheckSqlMode, RefusesWhatChangesTheReadingOfTexts) {
  EXPECT_TRUE(check_sql_mode("STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE").ok());
  EXPECT_TRUE(check_sql_mode("").ok());
  for (const char* modes : {"ANSI_QUOTES", "STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES", "REAL_AS_FLOAT, ANSI", "oracle",
                            "PIPES_AS_CONCAT", "HIGH_NOT_PRECEDENCE,IGNORE_SPACE"}) {
    EXPECT_FALSE(check_sql_mode(modes).ok()) << modes;
  }
}

}  // namespace
}  // namespace vitrail::gate
