#include "control/workflow/cleanup.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

struct Case {
  const char* what;
  bool known;
  std::vector<std::string> added;
  bool sharded;
  std::vector<std::string> plain;    // Entries that say nothing but the name.
  std::vector<std::string> defined;  // Entries with something in them.
  std::vector<std::string> wanted;
};

TEST(Cleanup, OnlyItsOwnEntriesLeaveTheVschema) {
  const Case cases[] = {
      {"what it added", true, {"a"}, false, {"a", "b"}, {}, {"a"}},
      {"it added nothing", true, {}, false, {"a", "b"}, {}, {}},
      {"what it added and somebody has filled in since", true, {"a"}, false, {}, {"a"}, {"a"}},
      {"an older record: entries without content", false, {}, false, {"a"}, {"b"}, {"a"}},
      {"an older record: nothing is added to a sharded keyspace", false, {}, true, {"a"}, {"b"}, {}},
      {"an older record: entries of other tables", false, {}, false, {"z"}, {}, {}},
  };
  for (const Case& one : cases) {
    engine::Record record;
    for (const char* table : {"a", "b"}) record.add_tables(table);
    record.set_additions_known(one.known);
    for (const auto& table : one.added) record.add_added_to_vschema(table);
    ::vschema::Keyspace now;
    now.set_sharded(one.sharded);
    for (const auto& table : one.plain) (*now.mutable_tables())[table] = {};
    for (const auto& table : one.defined) (*now.mutable_tables())[table].set_type("sequence");
    EXPECT_EQ(own_vschema_tables(record, now), one.wanted) << one.what;
  }
}

TEST(Cleanup, RenamedTablesHaveNamesThatTheServerTakes) {
  EXPECT_EQ(renamed_table("t"), "_t_old");
  EXPECT_EQ(renamed_table(std::string(64, 'a')), "_" + std::string(59, 'a') + "_old");
  std::string wide;
  for (int i = 0; i < 64; ++i) wide += "\u00e4";
  EXPECT_EQ(renamed_table(wide), "_" + wide.substr(0, 59 * 2) + "_old");
}

}  // namespace
}  // namespace vitrail::control
