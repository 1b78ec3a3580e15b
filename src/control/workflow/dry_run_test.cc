#include "control/workflow/dry_run.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

::topodata::Tablet tablet(uint32_t uid, const std::string& keyspace) {
  ::topodata::Tablet out;
  out.mutable_alias()->set_cell("zone1");
  out.mutable_alias()->set_uid(uid);
  out.set_keyspace(keyspace);
  return out;
}

WorkflowModel workflow(const std::string& source, const std::string& target, bool reshard) {
  WorkflowModel out;
  out.name = "w";
  out.source_keyspace = source;
  out.target_keyspace = target;
  out.is_reshard = reshard;
  out.sources["0"].primary = tablet(100, source);
  out.targets["-80"].shard.primary = tablet(200, target);
  out.targets["80-"].shard.primary = tablet(210, target);
  return out;
}

using Lines = std::vector<std::string>;

TEST(DryRun, ASwitchEndsWhatIsMirrored) {
  const auto streams = workflow("commerce", "customer", false);
  DryRun facts{.streams = streams,
               .tables = {"corder"},
               .move_reads = true,
               .read_types = {::topodata::REPLICA, ::topodata::RDONLY},
               .writes = true,
               .mirrored = {::topodata::PRIMARY, ::topodata::RDONLY}};
  const auto lines = describe_switch(facts);
  const std::string prefix =
      "Mirroring 0.00 percent of traffic from keyspace commerce to keyspace customer for tablet types ";
  EXPECT_EQ(lines[1], prefix + "[RDONLY]");
  EXPECT_EQ(std::ranges::count(lines, prefix + "[PRIMARY]"), 1);
  facts.mirrored = {};
  EXPECT_TRUE(std::ranges::none_of(describe_switch(facts), [&](const auto& line) { return line.starts_with(prefix); }));
}

TEST(DryRun, OfMoveTables) {
  const auto streams = workflow("commerce", "customer", false);
  DryRun facts{.streams = streams,
               .tables = {"corder", "customer"},
               .move_reads = true,
               .read_types = {::topodata::REPLICA, ::topodata::RDONLY},
               .writes = true,
               .timeout = std::chrono::seconds(30),
               .sequences = {"Backing table: seq, current value 1, new value 8"},
               .positions = {{"0", "MariaDB/0-1-2"}}};
  EXPECT_EQ(describe_switch(facts),
            (Lines{"Lock keyspace customer",
                   "Switch reads for tables [corder,customer] to keyspace customer for tablet types [RDONLY,REPLICA]",
                   "Routing rules for tables [corder,customer] will be updated",
                   "Serving VSchema will be rebuilt for the customer keyspace",
                   "Unlock keyspace customer",
                   "Lock keyspace commerce",
                   "Lock keyspace customer",
                   "Stop writes on keyspace commerce for tables [corder,customer]: "
                   "[keyspace:commerce;shard:0;position:MariaDB/0-1-2]",
                   "Wait for vreplication on stopped streams to catchup for up to 30s",
                   "Create reverse vreplication workflow w_reverse",
                   "The following sequence backing tables used by tables being moved will be initialized:",
                   "\tBacking table: seq, current value 1, new value 8",
                   "Create journal entries on source databases",
                   "Enable writes on keyspace customer for tables [corder,customer]",
                   "Switch routing from keyspace commerce to keyspace customer",
                   "Routing rules for tables [corder,customer] will be updated",
                   "Switch writes completed, freeze and delete vreplication streams on: [tablet:200,tablet:210]",
                   "Start reverse vreplication streams on: [tablet:100]",
                   "Mark vreplication streams frozen on: "
                   "[keyspace:customer;shard:-80;tablet:200;workflow:w;dbname:vt_customer,"
                   "keyspace:customer;shard:80-;tablet:210;workflow:w;dbname:vt_customer]",
                   "Unlock keyspace customer",
                   "Unlock keyspace commerce"}));
  facts.writes = false;
  facts.back = true;
  facts.read_types = {::topodata::REPLICA};
  EXPECT_EQ(describe_switch(facts),
            (Lines{"Lock keyspace commerce",
                   "Switch reads for tables [corder,customer] to keyspace commerce for tablet types [REPLICA]",
                   "Routing rules for tables [corder,customer] will be updated",
                   "Serving VSchema will be rebuilt for the commerce keyspace", "Unlock keyspace commerce"}));
}

TEST(DryRun, OfReshard) {
  const auto streams = workflow("customer", "customer", true);
  DryRun facts{.streams = streams, .move_reads = true, .read_types = {::topodata::REPLICA}, .writes = true};
  facts.timeout = std::chrono::seconds(5);
  facts.reverse_replication = false;
  EXPECT_EQ(describe_switch(facts),
            (Lines{"Lock keyspace customer",
                   "Switch reads from keyspace customer to keyspace customer for shards [0] to shards [-80,80-]",
                   "Unlock keyspace customer", "Lock keyspace customer",
                   "Stop writes on keyspace customer for tables []: [keyspace:customer;shard:0;position:]",
                   "Wait for vreplication on stopped streams to catchup for up to 5s",
                   "Create reverse vreplication workflow w_reverse", "Create journal entries on source databases",
                   "Enable writes on keyspace customer for tables []",
                   "Switch routing from keyspace customer to keyspace customer",
                   "IsPrimaryServing will be set to false for: [shard:0;tablet:100]",
                   "IsPrimaryServing will be set to true for: [shard:-80;tablet:200,shard:80-;tablet:210]",
                   "Switch writes completed, freeze and delete vreplication streams on: [tablet:200,tablet:210]",
                   "Mark vreplication streams frozen on: "
                   "[keyspace:customer;shard:-80;tablet:200;workflow:w;dbname:vt_customer,"
                   "keyspace:customer;shard:80-;tablet:210;workflow:w;dbname:vt_customer]",
                   "Unlock keyspace customer"}));
}

Side side(const std::string& keyspace, const std::string& shard, uint32_t uid) {
  Side out;
  out.keyspace = keyspace;
  auto& place = out.places.emplace_back();
  place.shard = shard;
  place.primary = tablet(uid, keyspace);
  return out;
}

TEST(DryRun, OfComplete) {
  engine::Record record;
  record.set_kind("MoveTables");
  record.set_workflow("w");
  record.add_tables("a");
  record.add_tables("b");
  const Side source = side("commerce", "0", 100);
  const Side target = side("customer", "0", 200);
  EXPECT_EQ(describe_complete(record, source, target, {}),
            (Lines{"Lock keyspace commerce", "Lock keyspace customer",
                   "Dropping these tables from the database and removing them from the vschema for keyspace commerce: "
                   "[keyspace:commerce;shard:0;dbname:vt_commerce;tablet:100;table:a,"
                   "keyspace:commerce;shard:0;dbname:vt_commerce;tablet:100;table:b]",
                   "Denied tables records on [a,b] will be removed from: [keyspace:commerce;shard:0;tablet:100]",
                   "Delete reverse vreplication streams on sources: "
                   "[keyspace:commerce;shard:0;workflow:w_reverse;dbname:vt_commerce;tablet:100]",
                   "Delete vreplication streams on targets: "
                   "[keyspace:customer;shard:0;workflow:w;dbname:vt_customer;tablet:200]",
                   "Routing rules for participating tables will be deleted", "Unlock keyspace customer",
                   "Unlock keyspace commerce"}));
  const auto kept = describe_complete(record, source, target, {.keep_data = true, .keep_routing_rules = true});
  EXPECT_EQ(kept.size(), 7u);
  EXPECT_TRUE(kept[2].starts_with("Denied tables")) << kept[2];
  const Side nobody{"commerce", {}};
  EXPECT_EQ(describe_complete(record, nobody, target, {.ignore_source = true}),
            (Lines{"Lock keyspace commerce", "Lock keyspace customer",
                   "Delete vreplication streams on targets: "
                   "[keyspace:customer;shard:0;workflow:w;dbname:vt_customer;tablet:200]",
                   "Routing rules for participating tables will be deleted", "Unlock keyspace customer",
                   "Unlock keyspace commerce"}));
  record.set_kind("Reshard");
  EXPECT_EQ(describe_complete(record, source, source, {})[1],
            "Delete shards (and all related tablets): [cell:zone1;keyspace:commerce;shard:0]");
}

}  // namespace
}  // namespace vitrail::control
