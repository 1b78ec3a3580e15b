// Commands on records: vtctldclient's command line, vtctld's methods and the topology, without tablets.
#include <fstream>

#include "base/file.h"
#include "control/test_control_plane.h"
#include "shard/key_range.h"
#include "topo/locks.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/vschema.h"

namespace vitrail::control {
namespace {

using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;

class Commands : public ControlTest {};

// ---- Cells

TEST_F(Commands, KeepACellsFieldsThatAnUpdateDoesNotName) {
  EXPECT_EQ(ctl("AddCellInfo", "--root", "/zone1", "--server-address", "a:1", "zone1"), "Created cell: zone1\n");
  EXPECT_HAS(ctl("AddCellInfo", "zone1"), "ALREADY_EXISTS: cell zone1");
  EXPECT_EQ(ctl("UpdateCellInfo", "--server-address", "b:2", "zone1"),
            "Updated cell zone1. New CellInfo:\n{\n  \"server_address\": \"b:2\",\n  \"root\": \"/zone1\"\n}\n");
  EXPECT_EQ(ctl("GetCellInfo", "zone1"), "{\n  \"server_address\": \"b:2\",\n  \"root\": \"/zone1\"\n}\n");
  // S4-44: a cell that is only updated is made.
  ok("UpdateCellInfo", "--root", "/zone2", "zone2");
  EXPECT_EQ(ctl("GetCellInfoNames"), "zone1\nzone2\n");
  EXPECT_HAS(ctl("GetCellInfo", "nowhere"), "NOT_FOUND: cell nowhere");
}

TEST_F(Commands, DeleteACellOnlyWhenNothingRefersToIt) {
  add_cell("zone1");
  ok("CreateKeyspace", "commerce");
  ok("CreateShard", "commerce/0");
  add_tablet("zone1-100", "commerce", "0");
  EXPECT_HAS(ctl("DeleteCellInfo", "zone1"), "FAILED_PRECONDITION: cell zone1 cannot be deleted");
  EXPECT_EQ(ctl("DeleteCellInfo", "--force", "zone1"), "Deleted cell zone1\n");
  EXPECT_EQ(ctl("GetCellInfoNames"), "");
}

TEST_F(Commands, GroupCellsInAliases) {
  add_cell("zone1");
  add_cell("zone2");
  EXPECT_EQ(ctl("AddCellsAlias", "--cells", "zone1,zone2", "east"),
            "Created cells alias: east (cells = [zone1 zone2])\n");
  EXPECT_HAS(ctl("AddCellsAlias", "--cells", "zone1", "west"), "zone1 is in the alias east already");
  EXPECT_HAS(ctl("AddCellsAlias", "--cells", "zone9", "west"), "zone9 does not exist");
  EXPECT_EQ(ctl("UpdateCellsAlias", "--cells", "zone1", "east"),
            "Updated cells alias east. New CellsAlias:\n{\n  \"cells\": [\n    \"zone1\"\n  ]\n}\n");
  EXPECT_EQ(ctl("GetCellsAliases"), "{\n  \"east\": {\n    \"cells\": [\n      \"zone1\"\n    ]\n  }\n}\n");
  EXPECT_EQ(ctl("DeleteCellsAlias", "east"), "Delete cells alias east\n");
  EXPECT_EQ(ctl("GetCellsAliases"), "null\n");
  EXPECT_HAS(ctl("DeleteCellsAlias", "east"), "NOT_FOUND: cells alias east");
}

// ---- Keyspaces

TEST_F(Commands, MakeAndShowKeyspaces) {
  const std::string made = ctl("CreateKeyspace", "--durability-policy", "semi_sync", "commerce");
  EXPECT_TRUE(made.starts_with("Successfully created keyspace commerce. Result:\n{\n  \"name\": \"commerce\","))
      << made;
  EXPECT_EQ(record("/global/keyspaces/commerce/Keyspace"), "durability_policy:\"semi_sync\" sidecar_db_name:\"_vt\"");
  EXPECT_HAS(ctl("CreateKeyspace", "commerce"), "ALREADY_EXISTS: keyspace commerce");
  EXPECT_HAS(ctl("CreateKeyspace", "com.merce"), "invalid keyspace name \"com.merce\": it may not contain a '.'");
  ok("CreateKeyspace", "--force", "commerce");
  EXPECT_HAS(ctl("CreateKeyspace", "--durability-policy", "wishful", "b"), "unknown durability policy \"wishful\"");
  ok("SetKeyspaceDurabilityPolicy", "--durability-policy=none", "commerce");
  EXPECT_EQ(record("/global/keyspaces/commerce/Keyspace"), "durability_policy:\"none\" sidecar_db_name:\"_vt\"");
  EXPECT_HAS(ctl("SetKeyspaceDurabilityPolicy", "nowhere"), "NOT_FOUND: keyspace nowhere");
  ok("CreateKeyspace", "customer");
  EXPECT_TRUE(ctl("GetKeyspaces").starts_with("[\n  {\n    \"name\": \"commerce\",\n    \"keyspace\": {"));
  EXPECT_EQ(ctl("FindAllShardsInKeyspace", "commerce"), "{\n  \"shards\": {}\n}\n");
}

TEST_F(Commands, MakeSnapshotKeyspaces) {
  ok("CreateKeyspace", "commerce");
  ok("ApplyVSchema", "--vschema", R"({"tables": {"t": {}}})", "commerce");
  const std::string time = "2026-01-02T03:04:05Z";
  EXPECT_HAS(ctl("CreateKeyspace", "--type", "SNAPSHOT", "snap"), "base keyspace must be specified");
  EXPECT_HAS(ctl("CreateKeyspace", "--type", "SNAPSHOT", "--base-keyspace", "commerce", "snap"),
             "snapshot timestamp must be specified");
  EXPECT_HAS(ctl("CreateKeyspace", "--type", "SNAPSHOT", "--base-keyspace", "commerce", "--snapshot-timestamp",
                 "yesterday", "snap"),
             "--snapshot-timestamp: 'yesterday'");
  EXPECT_HAS(
      ctl("CreateKeyspace", "--type", "SNAPSHOT", "--base-keyspace", "nowhere", "--snapshot-timestamp", time, "snap"),
      "NOT_FOUND: keyspace nowhere");
  EXPECT_HAS(ctl("CreateKeyspace", "--type", "SNAPSHOT", "--base-keyspace", "commerce", "--snapshot-timestamp",
                 "2999-01-01T00:00:00Z", "snap"),
             "timestamp cannot be in the future");
  ok("CreateKeyspace", "--type", "SNAPSHOT", "--base-keyspace", "commerce", "--snapshot-timestamp", time, "snap");
  EXPECT_EQ(record("/global/keyspaces/snap/Keyspace"),
            "keyspace_type:SNAPSHOT base_keyspace:\"commerce\" snapshot_time:{seconds:1767323045} "
            "durability_policy:\"none\" sidecar_db_name:\"_vt\"");
  // It has the base's tables, for who names it.
  EXPECT_EQ(record("/global/keyspaces/snap/VSchema"), "tables:{key:\"t\" value:{}} require_explicit_routing:true");
  EXPECT_HAS(ctl("CreateKeyspace", "--base-keyspace", "commerce", "plain"), "belong to --type SNAPSHOT");
}

TEST_F(Commands, DeleteKeyspacesWithWhatBelongsToThem) {
  make_customer();
  EXPECT_HAS(ctl("DeleteKeyspace", "customer"), "keyspace customer still has 2 shards");
  EXPECT_EQ(ctl("DeleteKeyspace", "--recursive", "customer"), "Successfully deleted keyspace customer.\n");
  EXPECT_HAS(ctl("GetKeyspace", "customer"), "NOT_FOUND");
  EXPECT_EQ(ctl("GetTablets"), "");
  EXPECT_EQ(ctl("GetSrvKeyspaces", "customer"), "null\n");
  EXPECT_EQ(ctl("--compact", "GetSrvVSchema", "zone1"),
            "{\n  \"routing_rules\": {},\n  \"shard_routing_rules\": {}\n}\n");
  EXPECT_HAS(ctl("DeleteKeyspace", "customer"), "NOT_FOUND: keyspace customer");
}

TEST_F(Commands, TakeCellsOutOfKeyspacesAndShards) {
  make_customer();
  add_cell("zone2");
  add_tablet("zone2-300", "customer", "-80");
  ok("RebuildKeyspaceGraph", "customer");
  EXPECT_HAS(ctl("RemoveShardCell", "customer/-80", "zone1"), "primary zone1-0000000100");
  EXPECT_HAS(ctl("RemoveShardCell", "customer/-80", "zone2"), "cell zone2 has 1 possible tablets");
  EXPECT_HAS(ctl("RemoveShardCell", "customer/-80", "zone9"), "NOT_FOUND: cell zone9");
  EXPECT_EQ(ctl("RemoveShardCell", "--recursive", "customer/-80", "zone2"),
            "Successfully removed cell zone2 from shard customer/-80\n");
  EXPECT_EQ(ctl("GetTablets", "--cell", "zone2"), "");
  const std::string left = ctl("--compact", "GetSrvKeyspaces", "customer", "zone2");
  EXPECT_TRUE(left.find("\"-80\"") == std::string::npos && left.find("\"80-\"") != std::string::npos) << left;
  EXPECT_EQ(ctl("RemoveKeyspaceCell", "customer", "zone2"), "Successfully removed keyspace customer from cell zone2\n");
  EXPECT_EQ(ctl("GetSrvKeyspaces", "customer", "zone2"), "null\n");
  EXPECT_EQ(ctl("--compact", "GetSrvKeyspaceNames"),
            "{\n  \"zone1\": {\n    \"names\": [\n      \"customer\"\n    ]\n  },\n  \"zone2\": {}\n}\n");
}

// ---- Shards

// S4-30, and the rule for a new shard of 4.3.
TEST_F(Commands, LetANewShardServeUnlessItOverlapsOneThatDoes) {
  ok("CreateKeyspace", "customer");
  ok("CreateShard", "customer/-80");
  ok("CreateShard", "customer/80-");
  ok("CreateShard", "customer/-40");
  EXPECT_EQ(record("/global/keyspaces/customer/shards/-80/Shard"), "key_range:{end:\"\\x80\"} is_primary_serving:true");
  EXPECT_EQ(record("/global/keyspaces/customer/shards/-40/Shard"), "key_range:{end:\"@\"}");
  EXPECT_HAS(ctl("CreateShard", "customer/-80"), "ALREADY_EXISTS: shard customer/-80");
  EXPECT_HAS(ctl("CreateShard", "--force", "customer/-80"), "\"shard_already_exists\": true");
  EXPECT_HAS(ctl("CreateShard", "customer/80-40"), "INVALID_ARGUMENT");
  EXPECT_HAS(ctl("CreateShard", "customer"), "'customer' is not a shard: give keyspace/shard");
  EXPECT_HAS(ctl("CreateShard", "new/0"), "NOT_FOUND");
  ok("CreateShard", "--include-parent", "new/0");
  EXPECT_HAS(ctl("GetKeyspace", "new"), "\"name\": \"new\"");
}

TEST_F(Commands, ChangeAShardsRecordInEmergencies) {
  make_customer();
  EXPECT_HAS(ctl("SetShardIsPrimaryServing", "customer/-80", "false"), "\"is_primary_serving\": false");
  EXPECT_HAS(ctl("SetShardIsPrimaryServing", "customer/-80", "perhaps"), "'perhaps' is neither true nor false");
  EXPECT_HAS(ctl("SourceShardAdd", "--key-range", "-80", "--tables", "a,b", "customer/-80", "7", "commerce/0"),
             "Updated shard record:\n");
  EXPECT_HAS(
      record("/global/keyspaces/customer/shards/-80/Shard"),
      "source_shards:{uid:7 keyspace:\"commerce\" shard:\"0\" key_range:{end:\"\\x80\"} tables:\"a\" tables:\"b\"}");
  EXPECT_EQ(ctl("SourceShardAdd", "customer/-80", "7", "commerce/0"),
            "SourceShard with uid 7 already exists for customer/-80, not adding it.\n");
  EXPECT_HAS(ctl("SourceShardAdd", "customer/-80", "seven", "commerce/0"), "uid of a source: 'seven' is not a number");
  EXPECT_EQ(ctl("SourceShardDelete", "customer/-80", "8"), "No SourceShard with uid 8.\n");
  EXPECT_HAS(ctl("SourceShardDelete", "customer/-80", "7"), "Updated shard record:\n");
  EXPECT_EQ(record("/global/keyspaces/customer/shards/-80/Shard"),
            "primary_alias:{cell:\"zone1\" uid:100} key_range:{end:\"\\x80\"}");
}

TEST_F(Commands, DenyTablesAndQueries) {
  make_customer();
  ok("SetShardTabletControl", "--denied-tables", "b,a", "customer/-80", "primary");
  EXPECT_HAS(record("/global/keyspaces/customer/shards/-80/Shard"),
             "tablet_controls:{tablet_type:PRIMARY denylisted_tables:\"a\" denylisted_tables:\"b\"}");
  EXPECT_HAS(ctl("SetShardTabletControl", "--denied-tables", "a", "--cells", "zone1", "customer/-80", "primary"),
             "denied tables of the primary cannot depend on cells");
  ok("SetShardTabletControl", "--remove", "customer/-80", "primary");
  EXPECT_TRUE(record("/global/keyspaces/customer/shards/-80/Shard").find("tablet_controls") == std::string::npos);
  ok("SetShardTabletControl", "--remove", "customer/-80", "primary");  // Removing nothing is fine.

  ok("SetShardTabletControl", "--disable-query-service", "--cells", "zone1", "customer/-80", "replica");
  EXPECT_HAS(ctl("GetSrvKeyspaces", "customer"), "\"query_service_disabled\": true");
  // S4-31: the graph is not written anew over a switch that is under way.
  EXPECT_HAS(ctl("RebuildKeyspaceGraph", "customer"), "can't rebuild serving keyspace while a migration is on going");
  ok("SetShardTabletControl", "--remove", "--disable-query-service", "customer/-80", "replica");
  ok("RebuildKeyspaceGraph", "customer");
  EXPECT_HAS(ctl("SetShardTabletControl", "customer/-80", "king"), "unknown tablet type \"king\"");
}

// S4-31
TEST_F(Commands, RefuseAServingGraphWithGaps) {
  add_cell("zone1");
  ok("CreateKeyspace", "customer");
  EXPECT_HAS(ctl("RebuildKeyspaceGraph", "customer"), "has no shards");
  ok("CreateShard", "customer/80-");
  EXPECT_HAS(ctl("RebuildKeyspaceGraph", "customer"), "does not start with min key");
  ok("CreateShard", "customer/-40");
  EXPECT_HAS(ctl("RebuildKeyspaceGraph", "customer"), "non-contiguous KeyRange values");
  EXPECT_EQ(ctl("GetSrvKeyspaces", "customer"), "null\n");
  ok("CreateShard", "customer/40-80");
  ok("RebuildKeyspaceGraph", "customer");
}

TEST_F(Commands, DeleteShardsThatNeitherServeNorHaveTablets) {
  make_customer();
  EXPECT_HAS(ctl("DeleteShards", "customer/-80"), "shard customer/-80 is still serving, cannot delete it");
  EXPECT_HAS(ctl("DeleteShards", "--even-if-serving", "customer/-80"),
             "shard customer/-80 still has 2 tablets in cell zone1; use --recursive");
  EXPECT_EQ(ctl("DeleteShards", "--even-if-serving", "--recursive", "customer/-80", "customer/80-"),
            "Successfully deleted 2 shards\n");
  EXPECT_EQ(ctl("GetTablets"), "");
  EXPECT_EQ(ctl("FindAllShardsInKeyspace", "customer"), "{\n  \"shards\": {}\n}\n");
  ok("DeleteShards", "--even-if-serving", "customer/-80");  // Gone already: nothing left to clean up.
}

TEST_F(Commands, RepairTheReplicationGraph) {
  make_customer();
  EXPECT_EQ(
      ctl("--compact", "GetShardReplication", "customer/-80"),
      "{\n  \"shard_replication_by_cell\": {\n    \"zone1\": {\n      \"nodes\": [\n        {\n          "
      "\"tablet_alias\": {\n            \"cell\": \"zone1\",\n            \"uid\": 100\n          }\n        },\n  "
      "      {\n          \"tablet_alias\": {\n            \"cell\": \"zone1\",\n            \"uid\": 101\n        "
      "  }\n        }\n      ]\n    }\n  }\n}\n");
  EXPECT_EQ(ctl("ShardReplicationFix", "zone1", "customer/-80"), "All nodes in the replication graph are valid.\n");
  ok("ShardReplicationAdd", "customer/-80", "zone1-999");
  ok("ShardReplicationAdd", "customer/-80", "zone1-201");
  EXPECT_EQ(ctl("ShardReplicationFix", "zone1", "customer/-80"), "NOT_FOUND has been fixed for zone1-0000000999.\n");
  ok("ShardReplicationAdd", "customer/-80", "zone1-201");
  EXPECT_EQ(ctl("ShardReplicationFix", "zone1", "customer/-80"),
            "TOPOLOGY_MISMATCH has been fixed for zone1-0000000201.\n");
  ok("ShardReplicationRemove", "customer/-80", "zone1-101");
  EXPECT_HAS(ctl("ValidateShard", "customer/-80"), "tablet zone1-0000000101 is not in the replication graph");
  EXPECT_HAS(ctl("ShardReplicationAdd", "customer/-80", "nonsense"), "invalid tablet alias \"nonsense\"");
  ok("ShardReplicationAdd", "customer/-80", "zone1-101");
  // Tablets that do not answer are shown as such.
  EXPECT_EQ(ctl("ShardReplicationPositions", "customer/-80"),
            "zone1-0000000100 customer -80 primary localhost:15100 localhost:17100 [] 1970-01-01T00:00:10Z <err> <err> "
            "<err>\n"
            "zone1-0000000101 customer -80 replica localhost:15100 localhost:17100 [] <null> <err> <err> <err>\n");
}

// ---- VSchema and rules

TEST_F(Commands, KeepRulesOfAllKinds) {
  add_cell("zone1");
  ok("CreateKeyspace", "commerce");
  EXPECT_EQ(ctl("--compact", "ApplyShardRoutingRules", "--rules",
                R"({"rules": [{"from_keyspace": "a", "to_keyspace": "b", "shard": "-80"}]})"),
            "New ShardRoutingRules object:\n{\n  \"rules\": [\n    {\n      \"from_keyspace\": \"a\",\n      "
            "\"to_keyspace\": \"b\",\n      \"shard\": \"-80\"\n    }\n  ]\n}\n");
  ok("ApplyKeyspaceRoutingRules", "--rules", R"({"rules": [{"fromKeyspace": "a@replica", "toKeyspace": "b"}]})");
  ok("ApplyRoutingRules", "--rules", R"({"rules": [{"from_table": "t", "to_tables": ["commerce.t"]}]})");
  EXPECT_EQ(record("/zone1/SrvVSchema"),
            "keyspaces:{key:\"commerce\" value:{}} routing_rules:{rules:{from_table:\"t\" to_tables:\"commerce.t\"}} "
            "shard_routing_rules:{rules:{from_keyspace:\"a\" to_keyspace:\"b\" shard:\"-80\"}} "
            "keyspace_routing_rules:{rules:{from_keyspace:\"a@replica\" to_keyspace:\"b\"}}");
  EXPECT_HAS(ctl("ApplyShardRoutingRules", "--rules",
                 R"({"rules": [{"from_keyspace": "a", "to_keyspace": "b", "shard": "80-40"}]})"),
             "shard routing rule for 'a/80-40'");
  EXPECT_HAS(
      ctl("ApplyKeyspaceRoutingRules", "--rules", R"({"rules": [{"from_keyspace": "a@king", "to_keyspace": "b"}]})"),
      "'king' is not primary, replica or rdonly");
  EXPECT_HAS(ctl("ApplyKeyspaceRoutingRules", "--rules", R"({"rules": [{"from": "a"}]})"), "INVALID_ARGUMENT: --rules");
  EXPECT_HAS(ctl("ApplyRoutingRules", "--rules", "{}", "--rules-file", "/dev/null"), "not both");
  EXPECT_HAS(ctl("ApplyRoutingRules", "--dry-run", "--rules", R"({"rules": []})"),
             "[DRY RUN] Would have saved new RoutingRules object:\n");
  EXPECT_HAS(ctl("GetRoutingRules"), "\"commerce.t\"");
  // Not told to the cells yet.
  ok("ApplyRoutingRules", "--skip-rebuild", "--rules", R"({"rules": []})");
  EXPECT_HAS(record("/zone1/SrvVSchema"), "from_table:\"t\"");
  EXPECT_EQ(ctl("RebuildVSchemaGraph"), "RebuildVSchemaGraph: ok\n");
  EXPECT_TRUE(record("/zone1/SrvVSchema").find("from_table") == std::string::npos);
  // An empty list is no record.
  EXPECT_HAS(record("/global/RoutingRules"), "NOT_FOUND");
  EXPECT_EQ(ctl("--compact", "GetRoutingRules"), "{}\n");
  EXPECT_EQ(ctl("--compact", "GetMirrorRules"), "{}\n");
  ok("DeleteSrvVSchema", "zone1");
  EXPECT_EQ(ctl("GetSrvVSchemas"), "null\n");
  EXPECT_HAS(ctl("DeleteSrvVSchema", "zone1"), "NOT_FOUND");
}

TEST_F(Commands, ApplyVSchemaStatements) {
  add_cell("zone1");
  ok("CreateKeyspace", "commerce");
  ok("ApplyVSchema", "--sql", "alter vschema add table t; alter vschema add sequence s", "commerce");
  EXPECT_EQ(ctl("--compact", "GetVSchema", "commerce"),
            "{\n  \"tables\": {\n    \"s\": {\n      \"type\": \"sequence\"\n    },\n    \"t\": {}\n  }\n}\n");
  EXPECT_HAS(record("/zone1/SrvVSchema"), "sequence");
  // --dry-run shows and saves nothing; --skip-rebuild saves and tells nobody.
  EXPECT_HAS(ctl("ApplyVSchema", "--dry-run", "--sql", "alter vschema add table dry", "commerce"), "\"dry\"");
  EXPECT_FALSE(has(ctl("GetVSchema", "commerce"), "dry"));
  ok("ApplyVSchema", "--skip-rebuild", "--sql", "alter vschema add table quiet", "commerce");
  EXPECT_HAS(ctl("GetVSchema", "commerce"), "quiet");
  EXPECT_FALSE(has(record("/zone1/SrvVSchema"), "quiet"));
  // --strict, from a file.
  const std::string file = folder_.file("vschema.sql");
  ASSERT_TRUE(base::write_file_atomically(file, "alter vschema create vindex v using hash with speed=9;\n").ok());
  ok("CreateKeyspace", "customer");
  EXPECT_HAS(ctl("ApplyVSchema", "--dry-run", "--sql-file", file, "customer"), "Unknown parameter in vindex v: speed");
  EXPECT_HAS(ctl("ApplyVSchema", "--strict", "--dry-run", "--sql-file", file, "customer"),
             "vindex parameters that their types do not know");
  EXPECT_HAS(ctl("ApplyVSchema", "--sql", "alter vschema drop table nothing", "commerce"),
             "\"alter vschema drop table nothing\": vschema does not contain table nothing in keyspace commerce");
  EXPECT_HAS(ctl("ApplyVSchema", "--sql", "select 1", "commerce"), "\"select 1\": this is no ALTER VSCHEMA statement");
  EXPECT_HAS(ctl("ApplyVSchema", "--sql", "alter vschema add table t", "--vschema", "{}", "commerce"), "not both");
  EXPECT_HAS(ctl("ApplyVSchema", "commerce"), "INVALID_ARGUMENT");
}

// ---- Tablets' records

TEST_F(Commands, ListTablets) {
  make_customer();
  EXPECT_EQ(ctl("GetTablets", "--keyspace", "customer", "--shard", "-80"),
            "zone1-0000000100 customer -80 primary localhost:15100 localhost:17100 [] 1970-01-01T00:00:10Z\n"
            "zone1-0000000101 customer -80 replica localhost:15100 localhost:17100 [] <null>\n");
  EXPECT_EQ(ctl("GetTablets", "--tablet-type", "primary", "--cell", "zone1").size(),
            2 * ctl("GetTablets", "--tablet-alias", "zone1-100").size());
  EXPECT_HAS(ctl("GetTablets", "--shard", "-80"), "--shard needs --keyspace");
  EXPECT_HAS(ctl("GetTablets", "--cell", "zone9"), "zone9");
  EXPECT_TRUE(
      ctl("GetTablets", "--format", "json").starts_with("[\n  {\n    \"alias\": {\n      \"cell\": \"zone1\","));
  // An older claim to be the primary does not hold.
  add_tablet("zone1-102", "customer", "-80", PRIMARY, 5);
  EXPECT_HAS(ctl("GetTablets"), "zone1-0000000102 customer -80 unknown");
  EXPECT_EQ(ctl("GetTablets", "--tablet-type", "primary", "--keyspace", "customer", "--shard", "-80"),
            "zone1-0000000100 customer -80 primary localhost:15100 localhost:17100 [] 1970-01-01T00:00:10Z\n");
}

TEST_F(Commands, DeleteTabletsButNotAPrimaryByMistake) {
  make_customer();
  EXPECT_HAS(ctl("DeleteTablets", "zone1-100"), "cannot delete tablet zone1-0000000100 as it is a primary");
  EXPECT_EQ(ctl("DeleteTablets", "--allow-primary", "zone1-100", "zone1-101"), "Successfully deleted 2 tablets\n");
  EXPECT_TRUE(record("/global/keyspaces/customer/shards/-80/Shard").find("primary_alias") == std::string::npos);
  EXPECT_HAS(ctl("DeleteTablets", "zone1-100"), "NOT_FOUND: tablet zone1-0000000100");
}

TEST_F(Commands, NameTheOffendingArgument) {
  make_customer();
  EXPECT_HAS(ctl("ChangeTabletType", "zone1-100", "replica"),
             "type change PRIMARY -> REPLICA is not an allowed transition for ChangeTabletType");
  EXPECT_HAS(ctl("ChangeTabletType", "zone1-101", "primary"), "type change REPLICA -> PRIMARY");
  EXPECT_HAS(ctl("ChangeTabletTags", "zone1-101", "tag"), "'tag' is not a tag");
  EXPECT_HAS(ctl("SleepTablet", "zone1-101", "soon"), "soon");
  EXPECT_HAS(ctl("SetWritable", "zone1-101", "maybe"), "'maybe' is neither true nor false");
  EXPECT_HAS(ctl("PingTablet", "zone1"), "invalid tablet alias \"zone1\"");
  EXPECT_HAS(ctl("PingTablet", "zone1-101"), "tablet zone1-0000000101");
  EXPECT_HAS(ctl("ExecuteHook", "zone1-101", "../x"), "'../x' cannot contain a '/'");
  EXPECT_HAS(ctl("SetVtorcEmergencyReparent", "customer"), "give either --enable or --disable");
  EXPECT_HAS(ctl("NoSuchCommand"), "NoSuchCommand");
  EXPECT_HAS(ctl("GetTablets", "--no-such-flag"), "no-such-flag");
}

TEST_F(Commands, SwitchAutomaticReparentsOnAndOff) {
  make_customer();
  ok("SetVtorcEmergencyReparent", "--disable", "customer", "-80");
  EXPECT_HAS(record("/global/keyspaces/customer/shards/-80/Shard"), "vtorc_state:{disable_emergency_reparent:true}");
  ok("SetVtorcEmergencyReparent", "--disable", "customer");
  EXPECT_HAS(record("/global/keyspaces/customer/Keyspace"), "vtorc_state:{disable_emergency_reparent:true}");
  ok("SetVtorcEmergencyReparent", "--enable", "customer");
  EXPECT_TRUE(record("/global/keyspaces/customer/Keyspace").find("true") == std::string::npos);
}

// ---- Paths

// S1-11 .. S1-19
TEST_F(Commands, ShowWhatIsStoredAtAPath) {
  make_customer();
  EXPECT_EQ(ctl("--compact", "GetTopologyPath", "/"),
            "{\n  \"path\": \"/\",\n  \"children\": [\n    \"global\",\n    \"zone1\"\n  ]\n}\n");
  EXPECT_EQ(ctl("--compact", "GetTopologyPath", "/global/keyspaces/customer/shards/"),
            "{\n  \"name\": \"shards\",\n  \"path\": \"/global/keyspaces/customer/shards/\",\n  \"children\": [\n    "
            "\"-80\",\n    \"80-\"\n  ]\n}\n");
  EXPECT_HAS(record("/zone1/tablets/zone1-0000000100/Tablet"), "alias:{cell:\"zone1\" uid:100} hostname:\"localhost\"");
  EXPECT_HAS(ctl("GetTopologyPath", "--data-as-json", "/global/keyspaces/customer/Keyspace"), "\"durability_policy\"");
  EXPECT_HAS(ctl("GetTopologyPath", "--data-as-json", "/global/keyspaces"), "no data found for path /global/keyspaces");
  EXPECT_HAS(ctl("GetTopologyPath", "/global/nowhere"), "NOT_FOUND");
  EXPECT_HAS(ctl("GetTopologyPath", "/zone9/SrvVSchema"), "zone9");
  // An older version, where the store remembers it.
  const std::string path = "/global/keyspaces/customer/Keyspace";
  const std::string before = ctl("--compact", "GetTopologyPath", path);
  const size_t at = before.find("\"version\": \"") + 12;
  const std::string version = before.substr(at, before.find('"', at) - at);
  ok("SetKeyspaceDurabilityPolicy", "--durability-policy", "semi_sync", "customer");
  EXPECT_HAS(ctl("GetTopologyPath", path), "semi_sync");
  EXPECT_EQ(ctl("--compact", "GetTopologyPath", "--version", version, path), before);
  EXPECT_HAS(ctl("GetTopologyPath", "--version", "999999", path), "does not remember version 999999");
}

TEST_F(Commands, WriteAFileToAPath) {
  add_cell("zone1");
  ok("CreateKeyspace", "commerce");
  const std::string file = folder_.file("record");
  ::topodata::Keyspace keyspace;
  keyspace.set_sidecar_db_name("elsewhere");
  std::ofstream(file, std::ios::binary) << keyspace.SerializeAsString();
  EXPECT_EQ(ctl("WriteTopologyPath", "keyspaces/commerce/Keyspace", file), "");
  EXPECT_EQ(record("/global/keyspaces/commerce/Keyspace"), "sidecar_db_name:\"elsewhere\"");
  EXPECT_EQ(ctl("WriteTopologyPath", "--cell", "zone1", "keyspaces/commerce/SrvKeyspace", file), "");
  EXPECT_HAS(ctl("GetTopologyPath", "/zone1/keyspaces/commerce"), "\"SrvKeyspace\"");
  EXPECT_HAS(ctl("WriteTopologyPath", "--cell", "zone9", "x", file), "zone9");
  EXPECT_HAS(ctl("WriteTopologyPath", "x", file + "-missing"), "record-missing");
}

// ---- Locks

// What is under way is said to who waits.
TEST_F(Commands, WaitForTheKeyspacesLockAndNameItsHolder) {
  make_customer();
  auto lock = run(topo::KeyspaceLock::acquire(*topology_, "customer", "SwitchTraffic customer.move"));
  ASSERT_TRUE(lock.ok());
  const std::vector<std::vector<std::string>> commands = {
      {"SetKeyspaceDurabilityPolicy", "--durability-policy", "semi_sync", "customer"},
      {"RebuildKeyspaceGraph", "customer"},
      {"CreateShard", "customer/-40"},
      {"DeleteShards", "--even-if-serving", "--recursive", "customer/-80"},
      {"DeleteKeyspace", "--recursive", "customer"},
      {"RemoveShardCell", "customer/-80", "zone1"},
      {"RemoveKeyspaceCell", "customer", "zone1"},
      {"SetShardIsPrimaryServing", "customer/-80", "false"},
      {"SetShardTabletControl", "--denied-tables", "t", "customer/-80", "primary"},
      {"SourceShardAdd", "customer/-80", "1", "commerce/0"},
      {"SourceShardDelete", "customer/-80", "1"},
      {"ApplyVSchema", "--vschema", "{}", "customer"},
      {"SetVtorcEmergencyReparent", "--disable", "customer"},
      {"CopySchemaShard", "zone1-100", "customer/80-"},
      {"ApplySchema", "--sql", "create table t (id int)", "customer"},
  };
  const std::string before =
      record("/global/keyspaces/customer/Keyspace") + record("/global/keyspaces/customer/shards/-80/Shard");
  for (const auto& command : commands) {
    const std::string shown = ctl_list(command);
    EXPECT_HAS(shown, "DEADLINE_EXCEEDED: cannot lock keyspace customer") << command[0];
    EXPECT_HAS(shown, "is held by SwitchTraffic customer.move by ") << command[0];
  }
  EXPECT_EQ(record("/global/keyspaces/customer/Keyspace") + record("/global/keyspaces/customer/shards/-80/Shard"),
            before);
  ASSERT_TRUE(run(lock->release()).ok());
  ok("SetShardIsPrimaryServing", "customer/-80", "false");
}

TEST_F(Commands, WaitForTheShardsLockAndNameItsHolder) {
  make_customer();
  auto lock = run(topo::ShardLock::acquire(*topology_, "customer", "-80", "PlannedReparentShard"));
  ASSERT_TRUE(lock.ok());
  const std::vector<std::vector<std::string>> commands = {
      {"PlannedReparentShard", "customer/-80"},
      {"EmergencyReparentShard", "customer/-80"},
      {"InitShardPrimary", "--force", "customer/-80", "zone1-100"},
      {"TabletExternallyReparented", "zone1-101"},
      {"DeleteTablets", "--allow-primary", "zone1-100"},
      {"ShardReplicationAdd", "customer/-80", "zone1-999"},
      {"ShardReplicationRemove", "customer/-80", "zone1-101"},
      {"ShardReplicationFix", "zone1", "customer/-80"},
  };
  for (const auto& command : commands) {
    const std::string shown = ctl_list(command);
    EXPECT_HAS(shown, "cannot lock shard customer/-80") << command[0];
    EXPECT_HAS(shown, "is held by PlannedReparentShard by ") << command[0];
  }
  ASSERT_TRUE(run(lock->release()).ok());
}

TEST_F(Commands, WaitForTheLockOfTheRoutingRules) {
  auto lock = run(topo::RoutingRulesLock::acquire(*topology_, "MoveTables"));
  ASSERT_TRUE(lock.ok());
  for (const std::string kind : {"RoutingRules", "ShardRoutingRules", "KeyspaceRoutingRules"}) {
    EXPECT_HAS(ctl("Apply" + kind, "--rules", R"({"rules": []})"), "the routing rules");
  }
  ASSERT_TRUE(run(lock->release()).ok());
}

// ---- Interface

TEST_F(Commands, AnswerUnimplementedToUnknownMethods) {
  const auto answer =
      run(channel_->call("/vtctlservice.Vtctld/NoSuchMethod", "", net::Wait::within(std::chrono::seconds(5))));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Code::kUnimplemented);
}

}  // namespace
}  // namespace vitrail::control
