// Routing rules, traffic states, serving graph changes and JSON: the records as the requirements print them.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "vschema/proto_json.h"
#include "vschema/routing_rules.h"
#include "vschema/srv_keyspace.h"
#include "vschema/traffic_state.h"
#include "vschema/vschema.h"

namespace vitrail::vschema {
namespace {

using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;
using ::topodata::SrvKeyspace;
using ::vschema::RoutingRules;

const std::vector<std::string> kTables = {"customer", "corder"};
const TableMove kMove{"commerce", "customer", kTables};
constexpr ::topodata::TabletType kReads[] = {REPLICA, RDONLY};

// "from -> to" of every rule; a duplicate would show as a smaller set.
std::multiset<std::string> as_set(const RoutingRules& rules) {
  std::multiset<std::string> out;
  for (const auto& rule : rules.rules()) out.insert(rule.from_table() + " -> " + rule.to_tables(0));
  return out;
}

// The rows of the phase table in the requirements: the rules of each table T, with c = commerce.T and u = customer.T.
std::multiset<std::string> expected(std::vector<std::pair<std::string, char>> rows) {
  std::multiset<std::string> out;
  for (const auto& table : kTables) {
    for (auto [from, to] : rows) {
      from.replace(from.find('T'), 1, table);
      out.insert(from + " -> " + (to == 'c' ? "commerce." : "customer.") + table);
    }
  }
  return out;
}

std::vector<std::pair<std::string, char>> with_reads(std::vector<std::pair<std::string, char>> rows, char replica,
                                                     char rdonly) {
  for (const char* prefix : {"", "customer.", "commerce."}) {
    rows.emplace_back(std::string(prefix) + "T@replica", replica);
    rows.emplace_back(std::string(prefix) + "T@rdonly", rdonly);
  }
  return rows;
}

const std::vector<std::pair<std::string, char>> kWritesAtSource = {{"T", 'c'}, {"customer.T", 'c'}};
const std::vector<std::pair<std::string, char>> kWritesAtTarget = {{"T", 'u'}, {"commerce.T", 'u'}};

// S1-27, S1-65, S0-10
TEST(RoutingRules, OfCreateLeadToTheSource) {
  RoutingRules rules;
  add_move_rules(rules, kMove);
  EXPECT_EQ(rules.rules_size(), 16);
  EXPECT_EQ(as_set(rules), expected(with_reads(kWritesAtSource, 'c', 'c')));
  EXPECT_EQ(find_rule(rules, "commerce.customer"), nullptr);
  EXPECT_TRUE(check_routing_rules(rules));
}

// S1-66, S1-76
TEST(RoutingRules, OfReadsSwitchPerType) {
  RoutingRules rules;
  add_move_rules(rules, kMove);
  const ::topodata::TabletType replica[] = {REPLICA};
  switch_reads(rules, kMove, replica);
  EXPECT_EQ(as_set(rules), expected(with_reads(kWritesAtSource, 'u', 'c')));
  switch_reads(rules, kMove, kReads);
  EXPECT_EQ(as_set(rules), expected(with_reads(kWritesAtSource, 'u', 'u')));
}

// S1-68, S1-69
TEST(RoutingRules, OfWritesSwitchWithoutARuleToItself) {
  RoutingRules rules;
  add_move_rules(rules, kMove);
  RoutingRules only_primary = rules;
  switch_writes(only_primary, kMove);
  EXPECT_EQ(as_set(only_primary), expected(with_reads(kWritesAtTarget, 'c', 'c')));
  switch_reads(rules, kMove, kReads);
  switch_writes(rules, kMove);
  EXPECT_EQ(rules.rules_size(), 16);
  EXPECT_EQ(as_set(rules), expected(with_reads(kWritesAtTarget, 'u', 'u')));
  EXPECT_EQ(find_rule(rules, "customer.customer"), nullptr);
}

// S1-79
TEST(RoutingRules, OfReverseAreThoseOfTheEarlierPhase) {
  RoutingRules rules;
  add_move_rules(rules, kMove);
  const auto created = as_set(rules);
  switch_reads(rules, kMove, kReads);
  const auto reads_switched = as_set(rules);
  switch_writes(rules, kMove);
  const auto all_switched = as_set(rules);
  reverse_writes(rules, kMove);
  EXPECT_EQ(as_set(rules), reads_switched);
  reverse_reads(rules, kMove, kReads);
  EXPECT_EQ(as_set(rules), created);
  // And again, which a reversed workflow may do.
  switch_reads(rules, kMove, kReads);
  switch_writes(rules, kMove);
  EXPECT_EQ(as_set(rules), all_switched);
}

TEST(RoutingRules, OfTheReverseWorkflowAreTheSameWithRolesExchanged) {
  RoutingRules rules;
  add_move_rules(rules, kMove);
  switch_reads(rules, kMove, kReads);
  RoutingRules other = rules;
  switch_writes(rules, kMove);
  const TableMove reverse{"customer", "commerce", kTables};
  switch_writes(rules, reverse);
  EXPECT_EQ(as_set(rules), as_set(other));
}

TEST(RoutingRules, EveryChangeMayBeRepeated) {
  RoutingRules rules;
  const auto twice = [&](auto change) {
    change();
    const std::string once = rules.SerializeAsString();
    change();
    EXPECT_EQ(rules.SerializeAsString(), once);
  };
  twice([&] { add_move_rules(rules, kMove); });
  twice([&] { switch_reads(rules, kMove, kReads); });
  twice([&] { switch_writes(rules, kMove); });
  twice([&] { reverse_writes(rules, kMove); });
  twice([&] { delete_move_rules(rules, kMove); });
}

TEST(RoutingRules, OfOthersSurviveCompleteAndCancel) {
  RoutingRules rules;
  set_rule(rules, "product", "commerce.product");
  set_rule(rules, "other.customer", "commerce.customer");
  add_move_rules(rules, kMove);
  RoutingRules cancelled = rules;
  delete_move_rules(cancelled, kMove);
  switch_reads(rules, kMove, kReads);
  switch_writes(rules, kMove);
  delete_move_rules(rules, kMove);
  const std::multiset<std::string> left = {"product -> commerce.product", "other.customer -> commerce.customer"};
  EXPECT_EQ(as_set(rules), left);
  EXPECT_EQ(as_set(cancelled), left);
}

// S1-66, S1-67, S3-37: what statements see in each phase.
TEST(RoutingRules, SendEverySpellingToTheServingSide) {
  ::vschema::SrvVSchema record;
  for (const char* keyspace : {"commerce", "customer"}) {
    (*(*record.mutable_keyspaces())[keyspace].mutable_tables())["customer"];
  }
  const auto sides = [&] {
    std::string out;
    const auto vschema = VSchema::build(record, 1);
    for (const auto type : {PRIMARY, REPLICA, RDONLY}) {
      std::set<std::string> reached;
      for (const char* keyspace : {"", "commerce", "customer"}) {
        const auto found = vschema->find_table(keyspace, "customer", type);
        reached.insert(found ? found->table->keyspace : found.error().message());
      }
      for (const auto& side : reached) out += side + " ";
    }
    return out;
  };
  RoutingRules& rules = *record.mutable_routing_rules();
  EXPECT_NE(sides().find("ambiguous table reference: customer"), std::string::npos);
  add_move_rules(rules, kMove);
  EXPECT_EQ(sides(), "commerce commerce commerce ");
  switch_reads(rules, kMove, kReads);
  EXPECT_EQ(sides(), "commerce customer customer ");
  switch_writes(rules, kMove);
  EXPECT_EQ(sides(), "customer customer customer ");
  reverse_writes(rules, kMove);
  EXPECT_EQ(sides(), "commerce customer customer ");
}

TEST(RoutingRules, AreCheckedBeforeTheyAreSaved) {
  const auto message = [](const std::string& from, std::vector<std::string> to) {
    RoutingRules rules;
    auto* rule = rules.add_rules();
    rule->set_from_table(from);
    for (const auto& target : to) rule->add_to_tables(target);
    const auto status = check_routing_rules(rules);
    return status ? std::string() : status.error().message();
  };
  EXPECT_EQ(message("a.t@rdonly", {"b.t"}), "");
  EXPECT_EQ(message("t@master", {"b.t"}), "");
  EXPECT_EQ(message("t", {}), "");
  EXPECT_EQ(message("t@spare", {"b.t"}), "routing rule for 't@spare': 'spare' is not primary, replica or rdonly");
  EXPECT_EQ(message("", {"b.t"}), "routing rule for '': a table name is needed");
  EXPECT_EQ(message("a.", {"b.t"}), "routing rule for 'a.': a table name is needed");
  EXPECT_EQ(message("t", {"a.t", "b.t"}), "");  // May be saved; statements that use it are refused.
  EXPECT_EQ(message("t", {"u"}), "routing rule for 't': the target 'u' is not of the form keyspace.table");
  EXPECT_EQ(message("t", {"a.t@replica"}),
            "routing rule for 't': the target 'a.t@replica' is not of the form keyspace.table");
  RoutingRules twice;
  twice.add_rules()->set_from_table("t");
  twice.add_rules()->set_from_table("t");
  EXPECT_EQ(check_routing_rules(twice).error().message(), "routing rule for 't': there is another one");
}

// ---- Traffic state

TEST(TrafficState, OfMoveTablesFollowsTheRules) {
  RoutingRules rules;
  add_move_rules(rules, kMove);
  RoutingRules zone1 = rules;
  RoutingRules zone2 = rules;
  const auto state = [&] {
    return move_tables_state(kMove, {{"zone1", &zone1}, {"zone2", &zone2}}, rules).to_string();
  };
  EXPECT_EQ(state(), "Reads Not Switched. Writes Not Switched");
  const ::topodata::TabletType replica[] = {REPLICA};
  switch_reads(zone1, kMove, replica);
  EXPECT_EQ(state(),
            "Reads partially switched. Replica switched in cells: zone1. Rdonly not switched. Writes Not Switched");
  switch_reads(zone2, kMove, replica);
  EXPECT_EQ(state(), "Reads partially switched. All Replica Reads Switched. Rdonly not switched. Writes Not Switched");
  switch_reads(zone1, kMove, kReads);
  switch_reads(zone2, kMove, kReads);
  EXPECT_EQ(state(), "All Reads Switched. Writes Not Switched");
  switch_writes(rules, kMove);
  EXPECT_EQ(state(), "All Reads Switched. Writes Switched");
  reverse_reads(zone1, kMove, kReads);
  reverse_reads(zone2, kMove, kReads);
  EXPECT_EQ(state(), "Reads Not Switched. Writes Switched");
}

TEST(TrafficState, OfTheReverseWorkflowHasRolesExchanged) {
  RoutingRules rules;
  add_move_rules(rules, kMove);
  switch_reads(rules, kMove, kReads);
  switch_writes(rules, kMove);
  const TableMove reverse{"customer", "commerce", kTables};
  EXPECT_EQ(move_tables_state(reverse, {{"zone1", &rules}}, rules).to_string(),
            "Reads Not Switched. Writes Not Switched");
  reverse_writes(rules, kMove);
  EXPECT_EQ(move_tables_state(reverse, {{"zone1", &rules}}, rules).to_string(), "Reads Not Switched. Writes Switched");
}

TEST(TrafficState, OfAPartialMoveNamesTheShards) {
  ::vschema::ShardRoutingRules rules;
  const std::vector<std::string> shards = {"80-", "-80"};
  const auto state = [&] { return partial_move_tables_state("a", "b", shards, rules).to_string(); };
  EXPECT_EQ(state(), "Reads Not Switched. Writes Not Switched");
  auto* rule = rules.add_rules();
  rule->set_from_keyspace("a");
  rule->set_to_keyspace("b");
  rule->set_shard("80-");
  EXPECT_EQ(state(), "Reads partially switched, for shards: 80-. Writes partially switched, for shards: 80-");
  *rules.add_rules() = *rule;
  rules.mutable_rules(1)->set_shard("-80");
  EXPECT_EQ(state(), "All Reads Switched. Writes Switched");
}

TEST(ShardRules, LeadEachShardOneWay) {
  ::vschema::ShardRoutingRules rules;
  auto* other = rules.add_rules();
  other->set_from_keyspace("x");
  other->set_to_keyspace("y");
  other->set_shard("-80");
  const auto text = [&] {
    std::string out;
    for (const auto& rule : rules.rules()) {
      out += rule.from_keyspace() + "/" + rule.shard() + ">" + rule.to_keyspace() + " ";
    }
    return out;
  };
  const std::vector<std::string> all = {"-80", "80-"};
  const std::vector<std::string> second = {"80-"};
  for (int i = 0; i < 2; ++i) {
    add_shard_rules(rules, "a", "b", all);
    EXPECT_EQ(text(), "x/-80>y b/-80>a b/80->a ");
  }
  for (int i = 0; i < 2; ++i) {
    route_shards(rules, "a", "b", second);
    EXPECT_EQ(text(), "x/-80>y b/-80>a a/80->b ");
  }
  EXPECT_EQ(routed_shards(rules, "a", "b"), second);
  add_shard_rules(rules, "a", "b", all);  // A shard that was switched stays where it is.
  EXPECT_EQ(text(), "x/-80>y b/-80>a a/80->b ");
  route_shards(rules, "b", "a", second);
  EXPECT_EQ(text(), "x/-80>y b/-80>a b/80->a ");
  delete_shard_rules(rules, "a", "b");
  EXPECT_EQ(text(), "x/-80>y ");
}

TEST(TrafficState, WithoutAWorkflowIsNotCreated) {
  EXPECT_EQ(TrafficState{.exists = false}.to_string(), "Not Created");
}

// ---- Serving graph

std::vector<shard::ShardName> names(std::vector<std::string> list) { return shard::parse_shard_names(list).value(); }
const std::vector<shard::ShardName> kSources = names({"0"});
const std::vector<shard::ShardName> kTargets = names({"80-", "-80"});

std::string text(const google::protobuf::Message& message) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string out;
  printer.PrintToString(message, &out);
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

SrvKeyspace record_of(const std::string& prototext) {
  SrvKeyspace out;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(prototext, &out)) << prototext;
  return out;
}

// One partition as the requirements write it, in canonical spelling.
std::string partition(const SrvKeyspace& record, ::topodata::TabletType type) {
  const auto* found = find_partition(record, type);
  return found == nullptr ? "none" : text(*found);
}
std::string canonical(const std::string& prototext) {
  SrvKeyspace::KeyspacePartition out;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(prototext, &out)) << prototext;
  return text(out);
}

// Phase R0: one unsharded shard serves everything.
SrvKeyspace phase_r0() {
  return record_of(R"(partitions:{served_type:PRIMARY shard_references:{name:"0"}}
                      partitions:{served_type:REPLICA shard_references:{name:"0"}}
                      partitions:{served_type:RDONLY shard_references:{name:"0"}})");
}

std::string unswitched(const std::string& type) {
  return canonical("served_type:" + type + R"( shard_references:{name:"0"})");
}
std::string switched(const std::string& type) {
  return canonical("served_type:" + type + R"(
      shard_references:{name:"-80" key_range:{end:"\x80"}} shard_references:{name:"80-" key_range:{start:"\x80"}}
      shard_tablet_controls:{name:"0" query_service_disabled:true}
      shard_tablet_controls:{name:"-80" key_range:{end:"\x80"}} shard_tablet_controls:{name:"80-" key_range:{start:"\x80"}})");
}

// S1-43 to S1-49, S1-52, S1-58
TEST(SrvKeyspaceRecord, OfPhaseR1HasTheTargetsAndTheControls) {
  SrvKeyspace record = phase_r0();
  ASSERT_TRUE(switch_reads(record, REPLICA, kSources, kTargets));
  EXPECT_EQ(partition(record, PRIMARY), unswitched("PRIMARY"));
  EXPECT_EQ(partition(record, REPLICA), switched("REPLICA"));
  EXPECT_EQ(partition(record, RDONLY), unswitched("RDONLY"));
  ASSERT_TRUE(switch_reads(record, RDONLY, kSources, kTargets));
  EXPECT_EQ(partition(record, RDONLY), switched("RDONLY"));
  const std::string once = record.SerializeAsString();
  ASSERT_TRUE(switch_reads(record, REPLICA, kSources, kTargets));
  EXPECT_EQ(record.SerializeAsString(), once);
}

// S1-22
TEST(SrvKeyspaceRecord, WhileWritesAreStoppedHasADisabledControl) {
  SrvKeyspace record = phase_r0();
  ASSERT_TRUE(stop_writes(record, kSources));
  EXPECT_EQ(partition(record, PRIMARY), canonical(R"(served_type:PRIMARY shard_references:{name:"0"}
      shard_tablet_controls:{name:"0" query_service_disabled:true})"));
  ASSERT_TRUE(allow_writes(record, kSources));
  EXPECT_EQ(text(record), text(phase_r0()));
}

// S1-55, S1-56
TEST(SrvKeyspaceRecord, OfPhaseR2HasNoControlsForPrimaryAndKeepsThoseOfReads) {
  SrvKeyspace record = phase_r0();
  for (auto type : kReads) ASSERT_TRUE(switch_reads(record, type, kSources, kTargets));
  ASSERT_TRUE(stop_writes(record, kSources));
  ASSERT_TRUE(switch_writes(record, kSources, kTargets));
  EXPECT_EQ(partition(record, PRIMARY), canonical(R"(served_type:PRIMARY
      shard_references:{name:"-80" key_range:{end:"\x80"}} shard_references:{name:"80-" key_range:{start:"\x80"}})"));
  EXPECT_EQ(partition(record, REPLICA), switched("REPLICA"));
  EXPECT_EQ(partition(record, RDONLY), switched("RDONLY"));
  clear_tablet_controls(record);
  for (const auto& p : record.partitions()) EXPECT_EQ(p.shard_tablet_controls_size(), 0);
}

// S1-60
TEST(SrvKeyspaceRecord, IsThatOfTheEarlierPhaseAfterReverse) {
  SrvKeyspace record = phase_r0();
  for (auto type : kReads) ASSERT_TRUE(switch_reads(record, type, kSources, kTargets));
  const std::string r1 = text(record);
  ASSERT_TRUE(stop_writes(record, kSources));
  ASSERT_TRUE(switch_writes(record, kSources, kTargets));
  const std::string r2 = text(record);
  ASSERT_TRUE(stop_writes(record, kTargets));
  ASSERT_TRUE(switch_writes(record, kTargets, kSources));
  EXPECT_EQ(text(record), r1);
  for (auto type : kReads) ASSERT_TRUE(reverse_reads(record, type, kSources, kTargets));
  EXPECT_EQ(text(record), text(phase_r0()));
  for (auto type : kReads) ASSERT_TRUE(switch_reads(record, type, kSources, kTargets));
  ASSERT_TRUE(switch_writes(record, kSources, kTargets));
  EXPECT_EQ(text(record), r2);
}

TEST(SrvKeyspaceRecord, KeepsTheOtherShardsInOrder) {
  SrvKeyspace record = record_of(R"(partitions:{served_type:REPLICA
      shard_references:{name:"-40" key_range:{end:"\x40"}} shard_references:{name:"40-80" key_range:{start:"\x40" end:"\x80"}}
      shard_references:{name:"80-" key_range:{start:"\x80"}}})");
  ASSERT_TRUE(switch_reads(record, REPLICA, names({"40-80"}), names({"60-80", "40-60"})));
  std::vector<std::string> order;
  for (const auto& reference : record.partitions(0).shard_references()) order.push_back(reference.name());
  EXPECT_EQ(order, (std::vector<std::string>{"-40", "40-60", "60-80", "80-"}));
  EXPECT_EQ(find_partition(record, PRIMARY), nullptr);
  EXPECT_TRUE(switch_writes(record, names({"40-80"}), names({"40-60", "60-80"})));
  EXPECT_EQ(record.partitions_size(), 1);
}

TEST(TrafficState, OfReshardFollowsTheServingGraph) {
  SrvKeyspace zone1 = phase_r0();
  SrvKeyspace zone2 = phase_r0();
  bool source_serves = true;
  const auto state = [&] {
    return reshard_state(kSources, kTargets, {{"zone1", &zone1}, {"zone2", &zone2}}, source_serves).to_string();
  };
  EXPECT_EQ(state(), "Reads Not Switched. Writes Not Switched");
  ASSERT_TRUE(switch_reads(zone1, REPLICA, kSources, kTargets));
  EXPECT_EQ(state(),
            "Reads partially switched. Replica switched in cells: zone1. Rdonly not switched. Writes Not Switched");
  for (auto* zone : {&zone1, &zone2}) {
    for (auto type : kReads) ASSERT_TRUE(switch_reads(*zone, type, kSources, kTargets));
  }
  EXPECT_EQ(state(), "All Reads Switched. Writes Not Switched");
  source_serves = false;
  EXPECT_EQ(state(), "All Reads Switched. Writes Switched");
}

// S1-33, S1-36, S3-90
TEST(ServingPartition, GivesTheShardOfAKeyspaceId) {
  SrvKeyspace record = phase_r0();
  ASSERT_TRUE(switch_reads(record, REPLICA, kSources, kTargets));
  const auto replica = ServingPartition::make(record, REPLICA, "customer").value();
  EXPECT_EQ(replica.shard_name(replica.find("\x7f").value()), "-80");
  EXPECT_EQ(replica.shard_name(replica.find_u64(0x8000000000000000).value()), "80-");
  EXPECT_EQ(replica.all().value(), (std::vector<int>{0, 1}));
  const auto primary = ServingPartition::make(record, PRIMARY, "customer").value();
  EXPECT_EQ(primary.shard_name(primary.find("\x7f").value()), "0");
  shard::Destination range;
  range.set_key_range(shard::KeyRange::parse("80-c0").value());
  EXPECT_EQ(replica.resolve(range).value(), std::vector<int>{1});
  EXPECT_EQ(primary.resolve(range).value(), std::vector<int>{0});
  EXPECT_TRUE(replica.resolve(shard::Destination()).value().empty());
}

// S1-24, S1-35
TEST(ServingPartition, HoldsStatementsForADisabledShard) {
  SrvKeyspace record = phase_r0();
  ASSERT_TRUE(stop_writes(record, kSources));
  const auto primary = ServingPartition::make(record, PRIMARY, "customer").value();
  EXPECT_TRUE(primary.is_switching());
  shard::Destination everything;
  everything.set_all_shards();
  for (const Status& status :
       {Status(primary.find("\x01").error()), Status(primary.find_u64(1).error()), Status(primary.all().error()),
        Status(primary.resolve(everything).error()), primary.check_explicit("0")}) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), Code::kClusterEvent);
    EXPECT_EQ(status.error().message(), "current keyspace is being resharded");
    EXPECT_EQ(status.error().retry(), Retry::kAfterTopologyRefresh);
  }
}

// S1-50
TEST(ServingPartition, RefusesAShardWhoseTrafficWasSwitchedAway) {
  SrvKeyspace record = phase_r0();
  ASSERT_TRUE(switch_reads(record, REPLICA, kSources, kTargets));
  const auto replica = ServingPartition::make(record, REPLICA, "customer").value();
  EXPECT_FALSE(replica.is_switching());
  EXPECT_TRUE(replica.check_explicit("-80"));
  EXPECT_EQ(replica.check_explicit("0").error().code(), Code::kFailedPrecondition);
}

TEST(ServingPartition, WithoutAPartitionOrAShardIsUnavailable) {
  const auto none = ServingPartition::make(SrvKeyspace(), REPLICA, "customer");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message(), "No partition found for tabletType replica in keyspace customer");
  const auto gap =
      ServingPartition::make(
          record_of(R"(partitions:{served_type:PRIMARY shard_references:{name:"-80" key_range:{end:"\x80"}}})"),
          PRIMARY, "ks")
          .value();
  EXPECT_EQ(gap.find("\xc0").error().message(), "no shard of keyspace ks serves keyspace id c0");
  const auto empty = ServingPartition::make(record_of("partitions:{served_type:PRIMARY}"), PRIMARY, "ks").value();
  EXPECT_EQ(empty.all().error().code(), Code::kUnavailable);
  EXPECT_FALSE(ServingPartition::make(record_of(R"(partitions:{served_type:PRIMARY shard_references:{name:"8-"}})"),
                                      PRIMARY, "ks"));
}

// ---- JSON

// S3-74
TEST(KeyspaceJson, TakesTheVschemaOfTheWalkthrough) {
  ::vschema::Keyspace keyspace;
  ASSERT_TRUE(parse_json(R"({
    "sharded": true,
    "vindexes": {"hash": {"type": "hash"}},
    "tables": {
      "customer": {"column_vindexes": [{"column": "customer_id", "name": "hash"}],
                   "auto_increment": {"column": "customer_id", "sequence": "customer_seq"}},
      "corder": {"column_vindexes": [{"column": "customer_id", "name": "hash"}],
                 "auto_increment": {"column": "order_id", "sequence": "order_seq"}}}})",
                         keyspace, nullptr));
  EXPECT_TRUE(find_problems("customer", keyspace).empty());
  ::vschema::Keyspace again;
  ASSERT_TRUE(parse_json(to_json(keyspace), again, nullptr));
  EXPECT_EQ(text(again), text(keyspace));
}

TEST(KeyspaceJson, IsPrintedAsTheToolsDo) {
  ::vschema::Keyspace keyspace;
  (*keyspace.mutable_tables())["t"].add_column_vindexes()->set_name("h");
  (*keyspace.mutable_vindexes())["h"].set_type("hash");
  EXPECT_EQ(to_json(keyspace), R"({
  "sharded": false,
  "vindexes": {
    "h": {
      "type": "hash",
      "params": {},
      "owner": ""
    }
  },
  "tables": {
    "t": {
      "type": "",
      "column_vindexes": [
        {
          "column": "",
          "name": "h",
          "columns": []
        }
      ],
      "auto_increment": null,
      "columns": [],
      "pinned": "",
      "column_list_authoritative": false,
      "source": ""
    }
  },
  "require_explicit_routing": false,
  "foreign_key_mode": "unspecified",
  "multi_tenant_spec": null
})");
  EXPECT_EQ(to_json(keyspace, {.unpopulated = false, .indent = -1}),
            R"({"vindexes":{"h":{"type":"hash"}},"tables":{"t":{"column_vindexes":[{"name":"h"}]}}})");
}

TEST(KeyspaceJson, NamesThePlaceOfAnUnknownField) {
  const std::string json = R"({"sharded":true,"x":1,"tables":{"customer":{"colum_vindexes":[],
      "column_vindexes":[{"column":"a","nam":"h"}]}}})";
  ::vschema::Keyspace keyspace;
  const auto strict = parse_json(json, keyspace, nullptr);
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().message(), "unknown field tables.customer.colum_vindexes");
  std::vector<std::string> unknown;
  ASSERT_TRUE(parse_json(json, keyspace, &unknown));
  EXPECT_EQ(unknown, (std::vector<std::string>{"tables.customer.colum_vindexes",
                                               "tables.customer.column_vindexes[0].nam", "x"}));
  EXPECT_EQ(keyspace.tables().at("customer").column_vindexes(0).column(), "a");
}

TEST(KeyspaceJson, TakesBothSpellingsOfNames) {
  ::vschema::Keyspace keyspace;
  ASSERT_TRUE(
      parse_json(R"({"requireExplicitRouting":true,"tables":{"t":{"columns":[{"name":"a","type":"VARCHAR"}]}}})",
                 keyspace, nullptr));
  EXPECT_TRUE(keyspace.require_explicit_routing());
  EXPECT_NE(to_json(keyspace).find(R"("type": "VARCHAR")"), std::string::npos);
}

TEST(KeyspaceJson, SaysWhereItIsMalformed) {
  const auto message = [](const std::string& json) {
    ::vschema::Keyspace keyspace;
    const auto status = parse_json(json, keyspace, nullptr);
    return status ? std::string() : status.error().message();
  };
  EXPECT_EQ(message("{\n \"sharded\": tru}").substr(0, 39), "malformed JSON: parse error at line 2, ");
  EXPECT_EQ(message("[]"), "malformed JSON: an object is expected");
  EXPECT_NE(message(R"({"tables":{"t":{"pinned":{}}}})").find("pinned"), std::string::npos);
  EXPECT_NE(message(R"({"sharded":"maybe"})").find("sharded"), std::string::npos);
  EXPECT_NE(message(R"({"tables":{"t":{"columns":[{"type":"NO_TYPE"}]}}})"), "");
  EXPECT_NE(message(std::string(20 << 20, ' ')), "");
}

// S1-28
TEST(RoutingRulesJson, IsAListOfRules) {
  RoutingRules rules;
  add_move_rules(rules, TableMove{"commerce", "customer", std::span(kTables).first(1)});
  EXPECT_EQ(to_json(rules, {.indent = -1}).substr(0, 77),
            R"({"rules":[{"from_table":"customer","to_tables":["commerce.customer"]},{"from_)");
  RoutingRules again;
  ASSERT_TRUE(parse_json(to_json(rules), again, nullptr));
  EXPECT_EQ(as_set(again), as_set(rules));
}

TEST(ProtoJson, PrintsBytesNumbersAndTimes) {
  ::topodata::Shard shard;
  shard.mutable_key_range()->set_start("\x80");
  shard.mutable_primary_term_start_time()->set_seconds(1700000000123);
  EXPECT_EQ(to_json(shard, {.unpopulated = false, .indent = -1}),
            R"({"primary_term_start_time":{"seconds":"1700000000123"},"key_range":{"start":"gA=="}})");
}

TEST(ProtoJson, PrintsPlainValuesAsGoDoes) {
  ::topodata::Shard shard;
  shard.mutable_primary_term_start_time()->set_seconds(1700000000123);
  auto& control = *shard.add_tablet_controls();
  control.set_tablet_type(::topodata::RDONLY);
  control.add_denied_tables("a<b>&c");
  EXPECT_EQ(to_json(shard, {.unpopulated = false, .plain = true, .indent = -1}),
            R"({"primary_term_start_time":{"seconds":1700000000123},)"
            R"("tablet_controls":[{"tablet_type":3,"denied_tables":["a\u003cb\u003e\u0026c"]}]})");
}

}  // namespace
}  // namespace vitrail::vschema
