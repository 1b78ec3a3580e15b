#include "control/workflow/conflicts.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

using engine::Record;

Record move(const std::string& name, const std::string& source, const std::string& target,
            std::vector<std::string> tables) {
  Record record;
  record.set_id(name + source + target);
  record.set_workflow(name);
  record.set_kind("MoveTables");
  record.set_source_keyspace(source);
  record.set_target_keyspace(target);
  record.add_source_shards("0");
  record.add_target_shards("0");
  for (auto& table : tables) record.add_tables(std::move(table));
  return record;
}

Record reshard(const std::string& name, const std::string& keyspace, std::vector<std::string> from,
               std::vector<std::string> to) {
  Record record = move(name, keyspace, keyspace, {});
  record.set_kind("Reshard");
  record.clear_source_shards();
  record.clear_target_shards();
  for (auto& shard : from) record.add_source_shards(std::move(shard));
  for (auto& shard : to) record.add_target_shards(std::move(shard));
  return record;
}

// One shard of a keyspace, to the shard of its name.
Record part(const std::string& name, const std::string& source, const std::string& target, const std::string& shard,
            const std::string& operation = "") {
  Record record = move(name, source, target, {"t"});
  record.set_source_shards(0, shard);
  record.set_target_shards(0, shard);
  (*record.mutable_options())["partial"] = "true";
  if (!operation.empty()) record.mutable_open()->set_kind(operation);
  return record;
}

Record follow(const std::string& name, const std::string& source, const std::string& target) {
  Record record = move(name, source, target, {"t"});
  record.set_kind("Materialize");
  return record;
}

Record follow_as(const std::string& name, const std::string& source, const std::string& target,
                 const std::string& followed, const std::string& table) {
  Record record = move(name, source, target, {table});
  record.set_kind("Materialize");
  (*record.mutable_options())["followed"] = followed;
  return record;
}

Record tenant(const std::string& source, const std::string& target, const std::string& id) {
  Record record = move(source, source, target, {"t"});
  (*record.mutable_options())["tenant_id"] = id;
  return record;
}

struct Case {
  const char* what;
  Record wanted;
  Record other;
  const char* refused;  // Part of the message; empty: no conflict.
};

TEST(Conflicts, AreRefusedByName) {
  const Case cases[] = {
      {"tenants of one keyspace", tenant("a", "all", "1"), tenant("b", "all", "2"), ""},
      {"the same tenant twice", tenant("a", "all", "1"), tenant("b", "all", "1"), "table t of keyspace all"},
      {"a tenant out of where another goes", tenant("a", "all", "1"), tenant("all", "c", "2"),
       "table t of keyspace all"},
      {"a tenant and a whole table", tenant("a", "all", "1"), move("m", "b", "all", {"t"}), "table t of keyspace all"},
      {"two that follow one", follow_as("m", "a", "b", "t", "u"), follow_as("n", "a", "b", "t", "v"), ""},
      {"two into one", follow_as("m", "a", "b", "t", "u"), follow_as("n", "a", "b", "s", "u"), "table u of keyspace b"},
      {"what is followed is moved", move("m", "a", "c", {"t"}), follow_as("n", "a", "b", "t", "u"),
       "table t of keyspace a"},
      {"what follows is moved", move("m", "b", "c", {"u"}), follow_as("n", "a", "b", "t", "u"),
       "table u of keyspace b"},
      {"another table of that name", move("m", "a", "c", {"u"}), follow_as("n", "a", "b", "t", "u"), ""},
      {"the same name", move("w", "a", "b", {"t"}), move("w", "c", "b", {"u"}), "some streams already exist"},
      {"one reverse workflow for two", move("mv", "a", "b", {"t"}), move("mv", "a", "c", {"u"}), "a.mv_reverse"},
      {"the name of a reverse workflow", move("w_reverse", "x", "a", {"t"}), move("w", "a", "b", {"u"}), "a.w_reverse"},
      {"the same table to another place", move("q", "a", "c", {"s", "t"}), move("w", "a", "b", {"t"}), "table t"},
      {"the same table on from its target", move("q", "b", "c", {"t"}), move("w", "a", "b", {"t"}), "table t"},
      {"the same table to the same place", move("q", "c", "b", {"t"}), move("w", "a", "b", {"t"}), "table t"},
      {"a table of the same name elsewhere", move("q", "c", "d", {"t"}), move("w", "a", "b", {"t"}), ""},
      {"other tables", move("q", "a", "b", {"s"}), move("w", "a", "b", {"t"}), ""},
      {"Reshard under MoveTables into it", reshard("r", "b", {"0"}, {"-80", "80-"}), move("w", "a", "b", {"t"}),
       "keyspace b"},
      {"Reshard under MoveTables out of it", reshard("r", "a", {"0"}, {"-80", "80-"}), move("w", "a", "b", {"t"}),
       "keyspace a"},
      {"MoveTables over Reshard", move("w", "a", "b", {"t"}), reshard("r", "a", {"0"}, {"-80", "80-"}), "keyspace a"},
      {"another shard to the same keyspace", part("q", "a", "b", "-80"), part("w", "a", "b", "80-"), ""},
      {"the same shard", part("q", "a", "b", "80-"), part("w", "a", "b", "80-"), "shard a/80- is being moved already"},
      {"an overlapping shard", part("q", "a", "b", "80-c0"), part("w", "a", "b", "80-"), "is being moved already"},
      {"another shard while one is given up", part("q", "a", "b", "-80"), part("w", "a", "b", "80-", "cancel"),
       "one of them ends"},
      {"another shard while one is switched", part("q", "a", "b", "-80"), part("w", "a", "b", "80-", "switch"), ""},
      {"a shard to another keyspace", part("q", "a", "c", "-80"), part("w", "a", "b", "80-"), "table t"},
      {"a shard back", part("q", "b", "a", "-80"), part("w", "a", "b", "80-"), "table t"},
      {"all shards beside one", move("q", "a", "b", {"t"}), part("w", "a", "b", "80-"), "table t"},
      {"two keyspaces follow one table", follow("q", "a", "c"), follow("w", "a", "b"), ""},
      {"what follows is followed", follow("q", "b", "c"), follow("w", "a", "b"), ""},
      {"one table follows two", follow("q", "c", "b"), follow("w", "a", "b"), "table t"},
      {"a table that is followed is moved", move("q", "a", "c", {"t"}), follow("w", "a", "b"), "table t"},
      {"a table that is moved is followed", follow("q", "a", "c"), move("w", "a", "b", {"t"}), "table t"},
      {"Reshard under a table that is followed", reshard("r", "a", {"0"}, {"-80", "80-"}), follow("w", "a", "b"),
       "keyspace a"},
      {"Reshard elsewhere", reshard("r", "c", {"0"}, {"-80", "80-"}), move("w", "a", "b", {"t"}), ""},
      {"the same shards", reshard("r", "a", {"-80"}, {"-40", "40-80"}), reshard("s", "a", {"-80"}, {"-20", "20-80"}),
       "shard a/-80"},
      {"overlapping shards", reshard("r", "a", {"-40", "40-80"}, {"-80"}), reshard("s", "a", {"0"}, {"-80", "80-"}),
       "overlaps"},
      {"other shards", reshard("r", "a", {"-80"}, {"-40", "40-80"}), reshard("s", "a", {"80-"}, {"80-c0", "c0-"}), ""},
  };
  for (const auto& one : cases) {
    const engine::StoredRecord others[] = {{one.other, {}}};
    const Status outcome = check_conflicts(one.wanted, others);
    if (*one.refused == '\0') {
      EXPECT_TRUE(outcome.ok()) << one.what << ": " << outcome.error().message();
      continue;
    }
    ASSERT_FALSE(outcome.ok()) << one.what;
    EXPECT_EQ(outcome.error().code(), Code::kFailedPrecondition) << one.what;
    EXPECT_NE(outcome.error().message().find(one.refused), std::string::npos)
        << one.what << ": " << outcome.error().message();
    EXPECT_NE(outcome.error().message().find(engine::name_of(one.other)), std::string::npos) << one.what;
  }
}

TEST(Conflicts, AWorkflowIsNoneWithItself) {
  const Record record = move("w", "a", "b", {"t"});
  const engine::StoredRecord others[] = {{record, {}}};
  EXPECT_TRUE(check_conflicts(record, others).ok());
}

TEST(Unused, IsWhatNoWorkflowCopiesFromOrInto) {
  Record switched = move("old", "gone", "kept", {"a"});
  switched.set_writes_switched(true);
  Record migrated = move("far", "here", "here", {"a"});
  migrated.set_kind("Migrate");
  migrated.clear_source_shards();
  const std::vector<engine::StoredRecord> records = {{move("mv", "commerce", "customer", {"a"}), {}},
                                                     {reshard("split", "ks", {"0"}, {"-80", "80-"}), {}},
                                                     {switched, {}},
                                                     {migrated, {}}};
  struct Case {
    const char* keyspace;
    const char* shard;
    const char* wanted;
  };
  for (const Case& c : {Case{"commerce", "0", "shard commerce/0 is a source of MoveTables customer.mv"},
                        Case{"customer", "", "keyspace customer is a target of MoveTables customer.mv"},
                        Case{"commerce", "1", ""}, Case{"ks", "-80", "shard ks/-80 is a target of Reshard ks.split"},
                        Case{"ks", "0", "shard ks/0 is a source of Reshard ks.split"}, Case{"ks", "-40", ""},
                        Case{"ks", "", "keyspace ks is a target of Reshard ks.split"}, Case{"gone", "", ""},
                        Case{"here", "0", "shard here/0 is a target of Migrate here.far"}, Case{"here", "1", ""},
                        Case{"other", "", ""}}) {
    const Status found = check_unused(c.keyspace, c.shard, records);
    EXPECT_EQ(found.has_value() ? "" : std::string(found.error().message()),
              *c.wanted == 0 ? "" : c.wanted + std::string(": complete or cancel that first"))
        << c.keyspace << "/" << c.shard;
  }
}

}  // namespace
}  // namespace vitrail::control
