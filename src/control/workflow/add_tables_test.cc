#include "control/workflow/add_tables.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

google::protobuf::Map<std::string, std::string> stored(const AddedTables& added) {
  google::protobuf::Map<std::string, std::string> out;
  for (const auto& [name, value] : added.to_settings()) out[name] = value;
  return out;
}

// Another process finds in the record all that the one before was told.
TEST(AddedTables, AreReadAsTheyWereWritten) {
  AddedTables added;
  added.names = {"extra", "a,b"};
  added.followed = {"source of extra", "`"};
  for (const char* shard : {"-80", "80-"}) {
    auto* rule = added.rules[shard].add_rules();
    rule->set_match("extra");
    rule->set_filter(std::string("select * from extra where note = '\"\\n' and in_keyrange(id, 'ks.h', '") + shard +
                     "')");
    added.rules[shard].add_rules()->set_match("a,b");
  }
  const auto read = AddedTables::from_settings(stored(added));
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_EQ(read->names, added.names);
  EXPECT_EQ(read->followed, added.followed);
  ASSERT_EQ(read->rules.size(), 2u);
  for (const auto& [shard, filter] : added.rules) {
    EXPECT_EQ(read->rules.at(shard).SerializeAsString(), filter.SerializeAsString()) << shard;
  }
}

TEST(AddedTables, WhatCannotBeReadIsNotGuessed) {
  google::protobuf::Map<std::string, std::string> settings;
  EXPECT_TRUE(AddedTables::from_settings(settings)->names.empty());
  settings["rules -80"] = "{";
  const auto read = AddedTables::from_settings(settings);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace vitrail::control
