#include "control/workflow/write_switch.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

google::protobuf::Map<std::string, std::string> stored(const SwitchPlan& plan) {
  google::protobuf::Map<std::string, std::string> out;
  for (const auto& [name, value] : plan.to_settings()) out[name] = value;
  return out;
}

// Whoever goes on with a switch that another has begun reads these.
TEST(SwitchPlan, IsWhatItsSettingsSay) {
  SwitchPlan plan;
  for (const bool flag : {true, false}) {
    plan.reverse = plan.writes = plan.enable_reverse_replication = plan.initialize_sequences = plan.skip_refresh = flag;
    plan.read_types = {::topodata::REPLICA, ::topodata::RDONLY};
    plan.cells = {"zone1", "zone2"};
    plan.moving_reads = {"REPLICA@zone1", "RDONLY@zone2"};
    plan.timeout = std::chrono::milliseconds(1500);
    const SwitchPlan read = SwitchPlan::from_settings(stored(plan));
    EXPECT_EQ(stored(read).size(), stored(plan).size());
    for (const auto& [name, value] : plan.to_settings()) EXPECT_EQ(stored(read).at(name), value) << name;
    EXPECT_EQ(read.skip_refresh, flag);
    EXPECT_EQ(read.timeout, plan.timeout);
  }
  EXPECT_FALSE(SwitchPlan::from_settings({}).skip_refresh);  // Of an older vtctld.
}

::vschema::Keyspace sharded(const std::string& type, std::map<std::string, std::string> parameters = {}) {
  ::vschema::Keyspace keyspace;
  keyspace.set_sharded(true);
  auto& vindex = (*keyspace.mutable_vindexes())["it's"];
  vindex.set_type(type);
  for (const auto& [name, value] : parameters) (*vindex.mutable_params())[name] = value;
  auto* use = (*keyspace.mutable_tables())["a b"].add_column_vindexes();
  use->set_name("it's");
  use->add_columns("x");
  use->add_columns("from");
  (*keyspace.mutable_tables())["ref"].set_type("reference");
  (*keyspace.mutable_tables())["bare"];
  return keyspace;
}

TEST(TableFilter, ChoosesTheRowsOfAShard) {
  const auto filter = [](const ::vschema::Keyspace& vschema, const char* table, const char* shard, VindexBy by) {
    const auto made = table_filter(vschema, "ks", table, *shard::ShardName::parse(shard), by);
    return made.ok() ? *made : "refused: " + std::string(made.error().message());
  };
  const auto hashed = sharded("hash");
  const auto split = sharded("multicol", {{"column_count", "2"}, {"column_vindex", "hash,hash"}});
  struct Case {
    const ::vschema::Keyspace& vschema;
    const char* table;
    const char* shard;
    VindexBy by;
    const char* wanted;
  };
  const ::vschema::Keyspace whole;
  const auto lookup = sharded("lookup_unique", {{"table", "l"}, {"from", "a"}, {"to", "b"}});
  auto missing = sharded("hash");
  missing.clear_vindexes();
  const auto file = sharded("numeric_static_map", {{"json_path", "/dev/null"}});
  const Case cases[] = {
      {whole, "a b", "0", VindexBy::kDefinition, "select * from `a b`"},
      {hashed, "ref", "-80", VindexBy::kDefinition, "select * from ref"},
      {hashed, "a b", "-80", VindexBy::kName, "select * from `a b` where in_keyrange(x, `from`, 'ks.it''s', '-80')"},
      {hashed, "a b", "0", VindexBy::kName, "select * from `a b` where in_keyrange(x, `from`, 'ks.it''s', '-')"},
      {split, "a b", "80-", VindexBy::kDefinition,
       "select * from `a b` where in_keyrange(x, `from`, '{\"params\":{\"column_count\":\"2\",\"column_vindex\":"
       "\"hash,hash\"},\"type\":\"multicol\"}', '80-')"},
      {hashed, "bare", "-80", VindexBy::kName,
       "refused: table bare has no primary vindex in the vschema of the sharded keyspace ks"},
      {lookup, "a b", "-80", VindexBy::kDefinition,
       "refused: vindex it's of table a b in keyspace ks does not tell a row's shard from the row alone: it is a "
       "lookup, "
       "or of a type that is not known"},
      {lookup, "a b", "-80", VindexBy::kName,
       "refused: vindex it's of table a b in keyspace ks does not tell a row's shard from the row alone: it is a "
       "lookup, "
       "or of a type that is not known"},
      {missing, "a b", "-80", VindexBy::kName, "refused: keyspace ks has no vindex it's"},
      {file, "a b", "-80", VindexBy::kName, "select * from `a b` where in_keyrange(x, `from`, 'ks.it''s', '-80')"},
      {file, "a b", "-80", VindexBy::kDefinition,
       "refused: vindex it's of table a b in keyspace ks reads a file, which the tablets of another cluster do not "
       "have: "
       "give it the parameter json instead"},
  };
  for (const Case& c : cases) EXPECT_EQ(filter(c.vschema, c.table, c.shard, c.by), c.wanted);
}

}  // namespace
}  // namespace vitrail::control
