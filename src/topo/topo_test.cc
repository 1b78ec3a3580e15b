// Paths, aliases, names, the text form of records, and the pure rules.

#include <gtest/gtest.h>

#include "topo/decode.h"
#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/paths.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/tablet.h"
#include "topo/watch_hub.h"
#include "vschema.pb.h"
#include "workflowdata.pb.h"

namespace vitrail::topo {
namespace {

using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;

std::string text_of(const google::protobuf::Message& message) { return to_prototext(message); }

// ---- Paths and names

// S1-09, and the layout that Vitess 24 shares.
TEST(TopoPaths, AreThoseOfVitess) {
  EXPECT_EQ(cell_info_path("zone1"), "cells/zone1/CellInfo");
  EXPECT_EQ(cells_alias_path("region"), "cells_aliases/region/CellsAlias");
  EXPECT_EQ(keyspace_path("commerce"), "keyspaces/commerce/Keyspace");
  EXPECT_EQ(keyspace_vschema_path("commerce"), "keyspaces/commerce/VSchema");
  EXPECT_EQ(shard_path("customer", "-80"), "keyspaces/customer/shards/-80/Shard");
  EXPECT_EQ(routing_rules_path(), "RoutingRules");
  EXPECT_EQ(shard_routing_rules_path(), "ShardRoutingRules");
  EXPECT_EQ(keyspace_routing_rules_path(), "routing_rules/keyspace/Rules");
  EXPECT_EQ(mirror_rules_path(), "MirrorRules");
  EXPECT_EQ(metadata_path("key"), "metadata/key");
  EXPECT_EQ(tablet_path("zone1-0000000100"), "tablets/zone1-0000000100/Tablet");
  EXPECT_EQ(shard_replication_path("commerce", "0"), "keyspaces/commerce/shards/0/ShardReplication");
  EXPECT_EQ(srv_keyspace_path("commerce"), "keyspaces/commerce/SrvKeyspace");
  EXPECT_EQ(srv_vschema_path(), "SrvVSchema");
}

TEST(TopoPaths, NormalizeTakesOneLeadingSlash) {
  EXPECT_EQ(*normalize_path("/a/b"), "a/b");
  EXPECT_EQ(*normalize_path("", true), "");
  EXPECT_EQ(*normalize_path("/", true), "");
  EXPECT_FALSE(normalize_path("//a").ok());
  EXPECT_FALSE(normalize_path("a/").ok());
  EXPECT_FALSE(normalize_path("").ok());
}

TEST(TopoNames, RefuseWhatWouldBreakAPath) {
  for (const char* good : {"commerce", "zone1", "a-b", "a.b", "A_1"})
    EXPECT_TRUE(validate_name("name", good).ok()) << good;
  for (const char* bad : {"", ".", "..", "a/b", "a b", "a\n", "\xc3\xa4"})
    EXPECT_FALSE(validate_name("name", bad).ok()) << bad;
  EXPECT_FALSE(validate_name("name", std::string(65, 'a')).ok());
  EXPECT_NE(validate_name("cell name", "a/b").error().message().find("cell name"), std::string::npos);
}

TEST(TabletAlias, IsPaddedOnOutputAndFreeOnInput) {
  for (const char* text : {"zone1-0000000100", "zone1-100"}) {
    const auto alias = parse_alias(text);
    ASSERT_TRUE(alias.ok());
    EXPECT_EQ(alias->cell(), "zone1");
    EXPECT_EQ(alias->uid(), 100u);
    EXPECT_EQ(alias_to_string(*alias), "zone1-0000000100");
  }
  EXPECT_EQ(parse_alias("us-east-1-7")->cell(), "us-east-1");
  EXPECT_EQ(alias_to_string(*parse_alias("zone1-4294967295")), "zone1-4294967295");
  for (const char* bad : {"", "zone1", "zone1-", "-100", "zone1-x", "zone1-100x", "zone1-4294967296", "zone1--1",
                          "a/b-1", "zone1- 1", "zone1-+1"}) {
    EXPECT_EQ(parse_alias(bad).has_value(), std::string_view(bad) == "zone1--1") << bad;
  }
}

TEST(TabletType, AcceptsOldAndNewWords) {
  EXPECT_EQ(*parse_tablet_type("primary"), PRIMARY);
  EXPECT_EQ(*parse_tablet_type("MASTER"), PRIMARY);
  EXPECT_EQ(*parse_tablet_type("master"), PRIMARY);
  EXPECT_EQ(*parse_tablet_type("batch"), RDONLY);
  EXPECT_EQ(*parse_tablet_type("Replica"), REPLICA);
  EXPECT_FALSE(parse_tablet_type("king").ok());
  EXPECT_EQ(tablet_type_to_string(PRIMARY), "primary");
  EXPECT_EQ(tablet_type_to_string(RDONLY), "rdonly");
  EXPECT_EQ(tablet_type_to_string(::topodata::DRAINED), "drained");
}

TEST(Tablet, AddressPutsIpv6InBrackets) {
  ::topodata::Tablet tablet;
  tablet.set_hostname("host");
  (*tablet.mutable_port_map())["grpc"] = 16100;
  EXPECT_EQ(tablet_address(tablet, kPortGrpc), "host:16100");
  EXPECT_EQ(tablet_address(tablet, kPortMysqlData), "");
  tablet.set_hostname("::1");
  EXPECT_EQ(tablet_address(tablet, kPortGrpc), "[::1]:16100");
  tablet.set_keyspace("commerce");
  EXPECT_EQ(tablet_db_name(tablet), "vt_commerce");
  tablet.set_db_name_override("commerce");
  EXPECT_EQ(tablet_db_name(tablet), "commerce");
}

// ---- Text form

::topodata::Shard shard_record(uint32_t uid, bool serving) {
  ::topodata::Shard shard;
  shard.mutable_primary_alias()->set_cell("zone1");
  shard.mutable_primary_alias()->set_uid(uid);
  shard.mutable_primary_term_start_time()->set_seconds(1627465833);
  shard.mutable_primary_term_start_time()->set_nanoseconds(536524508);
  shard.set_is_primary_serving(serving);
  return shard;
}

// S1-11, S1-13
TEST(Prototext, PrintsAServingShard) {
  EXPECT_EQ(text_of(shard_record(100, true)),
            "primary_alias:{cell:\"zone1\" uid:100} primary_term_start_time:{seconds:1627465833 nanoseconds:536524508} "
            "is_primary_serving:true");
}

// S1-41, S1-42, S1-10: not serving is left out.
TEST(Prototext, PrintsKeyRangesAsEscapedBytes) {
  auto shard = shard_record(400, false);
  shard.mutable_key_range()->set_start("\x80");
  EXPECT_EQ(text_of(shard),
            "primary_alias:{cell:\"zone1\" uid:400} primary_term_start_time:{seconds:1627465833 nanoseconds:536524508} "
            "key_range:{start:\"\\x80\"}");
  shard.mutable_key_range()->clear_start();
  shard.mutable_key_range()->set_end("\x80");
  shard.set_is_primary_serving(true);
  EXPECT_EQ(text_of(shard),
            "primary_alias:{cell:\"zone1\" uid:400} primary_term_start_time:{seconds:1627465833 nanoseconds:536524508} "
            "key_range:{end:\"\\x80\"} is_primary_serving:true");
}

// S1-13, A2
TEST(Prototext, PrintsDeniedTablesUnderTheirOlderName) {
  auto shard = shard_record(100, true);
  auto& control = *shard.add_tablet_controls();
  control.set_tablet_type(PRIMARY);
  control.add_denied_tables("corder");
  control.add_denied_tables("customer");
  control.set_frozen(true);
  EXPECT_EQ(
      text_of(shard),
      "primary_alias:{cell:\"zone1\" uid:100} primary_term_start_time:{seconds:1627465833 nanoseconds:536524508} "
      "tablet_controls:{tablet_type:PRIMARY denylisted_tables:\"corder\" denylisted_tables:\"customer\" frozen:true} "
      "is_primary_serving:true");
}

// S1-16
TEST(Prototext, PrintsCellInfo) {
  ::topodata::CellInfo info;
  info.set_server_address("localhost:2379");
  info.set_root("/vitess/zone1");
  EXPECT_EQ(*decode_to_prototext("/cells/zone1/CellInfo", info.SerializeAsString()),
            "server_address:\"localhost:2379\" root:\"/vitess/zone1\"");
}

ShardInfo shard_info(const std::string& name, bool serving) {
  ShardInfo info{.keyspace = "customer", .name = name};
  const auto range = shard::KeyRange::parse(name);
  if (range.ok()) *info.record.mutable_key_range() = to_proto(*range);
  info.record.set_is_primary_serving(serving);
  return info;
}

// S1-19, S1-20, S1-21
TEST(Prototext, PrintsSrvKeyspace) {
  const auto unsharded = make_srv_keyspace({shard_info("0", true)}, {}, "zone1");
  EXPECT_EQ(text_of(unsharded),
            "partitions:{served_type:PRIMARY shard_references:{name:\"0\"}} "
            "partitions:{served_type:REPLICA shard_references:{name:\"0\"}} "
            "partitions:{served_type:RDONLY shard_references:{name:\"0\"}}");
  const auto sharded =
      make_srv_keyspace({shard_info("80-", true), shard_info("0", false), shard_info("-80", true)}, {}, "zone1");
  const std::string both =
      "shard_references:{name:\"-80\" key_range:{end:\"\\x80\"}} shard_references:{name:\"80-\" "
      "key_range:{start:\"\\x80\"}}";
  EXPECT_EQ(text_of(sharded), "partitions:{served_type:PRIMARY " + both + "} partitions:{served_type:REPLICA " + both +
                                  "} partitions:{served_type:RDONLY " + both + "}");
}

// S3-30, S3-32, S4-36
TEST(ServedFrom, IsKeptByTypeAndCell) {
  const std::vector<std::string> cells = {"zone1", "zone2"};
  ::topodata::Keyspace record;
  const auto apply = [&](ServedFromUpdate update) { return apply_served_from(record, update, cells); };
  for (const auto type : {::topodata::RDONLY, ::topodata::PRIMARY, ::topodata::REPLICA}) {
    ASSERT_TRUE(apply({.type = type, .cells = {}, .source = "commerce"}).ok());
  }
  EXPECT_EQ(text_of(record),
            "served_froms:{tablet_type:PRIMARY keyspace:\"commerce\"} served_froms:{tablet_type:REPLICA "
            "keyspace:\"commerce\"} served_froms:{tablet_type:RDONLY keyspace:\"commerce\"}");
  // One cell at a time: what is left is listed.
  ASSERT_TRUE(apply({.type = ::topodata::RDONLY, .cells = {"zone1"}, .source = ""}).ok());
  EXPECT_EQ(text_of(*find_served_from(record, ::topodata::RDONLY)),
            "tablet_type:RDONLY cells:\"zone2\" keyspace:\"commerce\"");
  EXPECT_EQ(text_of(make_srv_keyspace({}, record, "zone1")),
            "served_from:{tablet_type:PRIMARY keyspace:\"commerce\"} served_from:{tablet_type:REPLICA "
            "keyspace:\"commerce\"}");
  EXPECT_EQ(make_srv_keyspace({}, record, "zone2").served_from_size(), 3);
  EXPECT_EQ(make_srv_keyspace({shard_info("0", true)}, record, "zone1").partitions_size(), 3);
  ASSERT_TRUE(apply({.type = ::topodata::RDONLY, .cells = {"zone1"}, .source = ""}).ok()) << "repeated";
  ASSERT_TRUE(apply({.type = ::topodata::RDONLY, .cells = {"zone1"}, .source = "commerce"}).ok()) << "and back";
  EXPECT_EQ(make_srv_keyspace({}, record, "zone1").served_from_size(), 3);
  ASSERT_TRUE(apply({.type = ::topodata::RDONLY, .cells = {"zone1", "zone2"}, .source = ""}).ok());
  EXPECT_EQ(find_served_from(record, ::topodata::RDONLY), nullptr);
  ASSERT_TRUE(apply({.type = ::topodata::REPLICA, .cells = {}, .source = ""}).ok());
  EXPECT_EQ(record.served_froms_size(), 1);

  EXPECT_EQ(apply({.type = ::topodata::PRIMARY, .cells = {"zone1"}, .source = ""}).error().message(),
            "cannot migrate only some cells for master removal");
  EXPECT_EQ(apply({.type = ::topodata::PRIMARY, .cells = {}, .source = "other"}).error().message(),
            "inconsistent keyspace specified in migration: other != commerce for type primary; remove the entry first");
  EXPECT_EQ(apply({.type = ::topodata::SPARE, .cells = {}, .source = "commerce"}).error().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(record.served_froms_size(), 1);
}

// S1-22, S1-48
TEST(Prototext, PrintsShardTabletControls) {
  ::topodata::SrvKeyspace record;
  auto& partition = *record.add_partitions();
  partition.set_served_type(PRIMARY);
  partition.add_shard_references()->set_name("0");
  auto& control = *partition.add_shard_tablet_controls();
  control.set_name("0");
  control.set_query_service_disabled(true);
  EXPECT_EQ(text_of(record),
            "partitions:{served_type:PRIMARY shard_references:{name:\"0\"} "
            "shard_tablet_controls:{name:\"0\" query_service_disabled:true}}");
}

TEST(Prototext, SortsMapsAndEscapesText) {
  ::topodata::Tablet tablet;
  (*tablet.mutable_port_map())["vt"] = 15100;
  (*tablet.mutable_port_map())["grpc"] = 16100;
  (*tablet.mutable_tags())["a\"\\\n\t\x01\xc3\xa4\xff"] = "";
  EXPECT_EQ(text_of(tablet),
            "port_map:{key:\"grpc\" value:16100} port_map:{key:\"vt\" value:15100} "
            "tags:{key:\"a\\\"\\\\\\n\\t\\x01\xc3\xa4\\xff\" value:\"\"}");
}

TEST(Prototext, PrintsEmptyMessagesNumbersAndUnknownEnums) {
  ::topodata::Keyspace keyspace;
  keyspace.mutable_throttler_config()->set_threshold(2.5);
  (*keyspace.mutable_throttler_config()->mutable_metric_thresholds())["lag"] = 1;
  EXPECT_EQ(text_of(keyspace), "throttler_config:{threshold:2.5 metric_thresholds:{key:\"lag\" value:1}}");
  ::topodata::Shard shard;
  shard.mutable_key_range();
  EXPECT_EQ(text_of(shard), "key_range:{}");
  ::topodata::Tablet tablet;
  tablet.set_type(static_cast<::topodata::TabletType>(77));
  EXPECT_EQ(text_of(tablet), "type:77");
  ::vschema::MirrorRules mirrors;
  mirrors.add_rules()->set_percent(0.1f);
  EXPECT_EQ(text_of(mirrors), "rules:{percent:0.1}");
}

TEST(Prototext, UnknownPathsAreShownAsTheyAre) {
  EXPECT_EQ(*decode_to_prototext("metadata/key", "raw\x01"), "raw\x01");
  EXPECT_EQ(*decode_to_prototext("metadata/key", "\"raw\xff\xc3\xa4"), "\\\"raw\\xff\xc3\xa4");  // No text: escaped.
  EXPECT_FALSE(decode_to_json("metadata/key", "raw").ok());
  EXPECT_EQ(decode_record("keyspaces/a/Keyspace", "\xff\xff\xff").error().code(), Code::kDataLoss);
}

TEST(Prototext, KnowsTheRecordsOfWorkflows) {
  ::workflowdata::Record record;
  record.set_workflow("w");
  record.set_epoch(200);
  EXPECT_EQ(*decode_to_prototext("movement/customer/w/Record", record.SerializeAsString()), "workflow:\"w\" epoch:200");
}

TEST(Json, UsesProtoNames) {
  ::vschema::RoutingRules rules;
  auto& rule = *rules.add_rules();
  rule.set_from_table("customer");
  rule.add_to_tables("commerce.customer");
  // S1-28
  EXPECT_EQ(*decode_to_json("RoutingRules", rules.SerializeAsString()),
            "{\"rules\":[{\"from_table\":\"customer\",\"to_tables\":[\"commerce.customer\"]}]}");
}

// A literal with its zero bytes.
template <size_t kSize>
std::string raw(const char (&text)[kSize]) {
  return std::string(text, kSize - 1);
}

// Bytes written out by hand from the published field numbers: what another system's library would store.
TEST(Records, HaveThePublishedBytes) {
  const std::string cell_info = std::string("\x0a\x0e") + "localhost:2379" + "\x12\x0d" + "/vitess/zone1";
  EXPECT_EQ(*decode_to_prototext("cells/zone1/CellInfo", cell_info),
            "server_address:\"localhost:2379\" root:\"/vitess/zone1\"");

  // primary_alias1 {cell1, uid2}, is_primary_serving7, primary_term_start_time8 {seconds1, nanoseconds2}
  const std::string shard = raw("\x0a\x09\x0a\x05zone1\x10\x64\x38\x01\x42\x04\x08\x05\x10\x07");
  EXPECT_EQ(*decode_to_prototext("keyspaces/k/shards/0/Shard", shard),
            "primary_alias:{cell:\"zone1\" uid:100} primary_term_start_time:{seconds:5 nanoseconds:7} "
            "is_primary_serving:true");
  ::topodata::Shard parsed;
  ASSERT_TRUE(parsed.ParseFromString(shard));
  EXPECT_EQ(parsed.SerializeAsString(), shard);

  // A control: tablet_type1, cells2, denied_tables4, frozen5
  const std::string control = raw("\x32\x0d\x08\x02\x12\x02z1\x22\x03tbl\x28\x01");
  EXPECT_EQ(*decode_to_prototext("x/Shard", control),
            "tablet_controls:{tablet_type:REPLICA cells:\"z1\" denylisted_tables:\"tbl\" frozen:true}");

  // partitions1 {served_type1, shard_references2 {name1, key_range2 {end2}}, shard_tablet_controls3 {name1, disabled3}}
  const std::string srv =
      raw("\x0a\x16\x08\x01\x12\x0a\x0a\x03-80\x12\x03\x12\x01\x80\x1a\x06\x0a\x02"
          "80\x18\x01");
  EXPECT_EQ(*decode_to_prototext("keyspaces/k/SrvKeyspace", srv),
            "partitions:{served_type:PRIMARY shard_references:{name:\"-80\" key_range:{end:\"\\x80\"}} "
            "shard_tablet_controls:{name:\"80\" query_service_disabled:true}}");

  // alias1, hostname2, port_map4 {key1, value2}, keyspace5, shard6, type8, mysql_hostname12, mysql_port13
  const std::string tablet =
      raw("\x0a\x09\x0a\x05zone1\x10\x64\x12\x01h\x22\x06\x0a\x02vt\x10\x09\x2a\x01k\x32\x01"
          "0\x40\x02\x62\x01m\x68\x05");
  EXPECT_EQ(*decode_to_prototext("tablets/zone1-0000000100/Tablet", tablet),
            "alias:{cell:\"zone1\" uid:100} hostname:\"h\" port_map:{key:\"vt\" value:9} keyspace:\"k\" shard:\"0\" "
            "type:REPLICA mysql_hostname:\"m\" mysql_port:5");
}

// ---- Denied tables

::topodata::Shard with_denied(std::vector<std::string> tables, std::vector<std::string> cells = {},
                              ::topodata::TabletType type = PRIMARY) {
  ::topodata::Shard shard;
  EXPECT_TRUE(apply_denied_tables(shard, {.type = type, .cells = std::move(cells), .tables = std::move(tables)}).ok());
  return shard;
}

TEST(DeniedTables, ReadsPassOnlyWhileNobodyDeniesThem) {
  ::topodata::Shard shard;
  ASSERT_TRUE(apply_denied_tables(shard, {.tables = {"a"}, .allow_reads = true}).ok());
  EXPECT_TRUE(find_tablet_control(shard, PRIMARY)->allow_reads());
  ASSERT_TRUE(apply_denied_tables(shard, {.tables = {"b"}, .allow_reads = true}).ok());
  EXPECT_TRUE(find_tablet_control(shard, PRIMARY)->allow_reads());
  ASSERT_TRUE(apply_denied_tables(shard, {.tables = {"a"}}).ok());
  EXPECT_FALSE(find_tablet_control(shard, PRIMARY)->allow_reads());
}

TEST(DeniedTables, AreMergedAndSorted) {
  auto shard = with_denied({"b", "a"});
  ASSERT_TRUE(apply_denied_tables(shard, {.tables = {"c", "a"}}).ok());
  EXPECT_EQ(text_of(shard),
            "tablet_controls:{tablet_type:PRIMARY denylisted_tables:\"a\" denylisted_tables:\"b\" "
            "denylisted_tables:\"c\"}");
}

TEST(DeniedTables, TheEntryGoesWithItsLastTable) {
  auto shard = with_denied({"b", "a"});
  ASSERT_TRUE(apply_denied_tables(shard, {.remove = true, .tables = {"a", "never"}}).ok());
  EXPECT_EQ(find_tablet_control(shard, PRIMARY)->denied_tables_size(), 1);
  ASSERT_TRUE(apply_denied_tables(shard, {.remove = true, .tables = {"b"}}).ok());
  EXPECT_EQ(find_tablet_control(shard, PRIMARY), nullptr);
  ASSERT_TRUE(apply_denied_tables(shard, {.remove = true, .tables = {"b"}}).ok());
}

TEST(DeniedTables, OfThePrimaryHaveNoCells) {
  ::topodata::Shard shard;
  EXPECT_EQ(apply_denied_tables(shard, {.cells = {"zone1"}, .tables = {"a"}}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(apply_denied_tables(shard, {}).error().code(), Code::kInvalidArgument);
}

TEST(DeniedTables, FrozenEntriesStay) {
  auto shard = with_denied({"a"});
  shard.mutable_tablet_controls(0)->set_frozen(true);
  EXPECT_EQ(apply_denied_tables(shard, {.tables = {"b"}}).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(apply_denied_tables(shard, {.remove = true, .tables = {"a"}}).error().code(), Code::kFailedPrecondition);
}

TEST(DeniedTables, OfReplicasGrowAndShrinkByCell) {
  auto shard = with_denied({"a"}, {"zone2"}, RDONLY);
  ASSERT_TRUE(apply_denied_tables(shard, {.type = RDONLY, .cells = {"zone1"}, .tables = {"a"}}).ok());
  EXPECT_EQ(text_of(shard),
            "tablet_controls:{tablet_type:RDONLY cells:\"zone1\" cells:\"zone2\" denylisted_tables:\"a\"}");
  EXPECT_FALSE(apply_denied_tables(shard, {.type = RDONLY, .cells = {"zone3"}, .tables = {"b"}}).ok());
  ASSERT_TRUE(apply_denied_tables(shard, {.type = RDONLY, .cells = {"zone1"}, .remove = true, .tables = {"a"}}).ok());
  ASSERT_TRUE(apply_denied_tables(shard, {.type = RDONLY, .cells = {"zone2"}, .remove = true, .tables = {"a"}}).ok());
  EXPECT_EQ(shard.tablet_controls_size(), 0);
}

// ---- Partitions

// S4-31
TEST(Partitions, MustCoverEverythingOnce) {
  const auto check = [](std::vector<ShardInfo> shards) {
    const Status status = check_partitions(make_srv_keyspace(shards, {}, "zone1"), "zone1", "customer");
    return status.ok() ? std::string() : status.error().message();
  };
  EXPECT_EQ(check({shard_info("0", true)}), "");
  EXPECT_EQ(check({shard_info("-40", true), shard_info("40-80", true), shard_info("80-", true)}), "");
  // S4-30: an overlapping shard that does not serve is fine.
  EXPECT_EQ(check({shard_info("-c0", true), shard_info("c0-d0", true), shard_info("d0-", true),
                   shard_info("c0-c8", false), shard_info("c8-d0", false)}),
            "");
  EXPECT_NE(check({shard_info("40-80", true), shard_info("80-", true)}).find("does not start with min key"),
            std::string::npos);
  EXPECT_NE(check({shard_info("-40", true), shard_info("40-80", true)}).find("does not end with max key"),
            std::string::npos);
  EXPECT_NE(check({shard_info("-40", true), shard_info("80-", true)}).find("non-contiguous KeyRange values"),
            std::string::npos);
  EXPECT_NE(check({shard_info("-80", true), shard_info("40-", true)}).find("non-contiguous KeyRange values"),
            std::string::npos);
  EXPECT_NE(check({}).find("has no shards"), std::string::npos);
}

// A3: controls left behind by a finished switch do not block, those of a running one do.
TEST(Partitions, ARunningMigrationBlocksTheRebuild) {
  auto record = make_srv_keyspace({shard_info("0", true)}, {}, "zone1");
  auto& control = *record.mutable_partitions(1)->add_shard_tablet_controls();
  control.set_name("0");
  EXPECT_TRUE(check_no_migration(record, {shard_info("0", true)}, "zone1", "customer").ok());
  control.set_query_service_disabled(true);
  const Status refused = check_no_migration(record, {shard_info("0", true)}, "zone1", "customer");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("can't rebuild serving keyspace while a migration is on going"),
            std::string::npos);
  EXPECT_TRUE(check_no_migration(record, {shard_info("0", false), shard_info("-80", true)}, "zone1", "customer").ok());
}

// ---- Lock contents

TEST(LockContents, AreReadAndDescribed) {
  const LockContents contents{.action = "SwitchTraffic",
                              .host_name = "h",
                              .user_name = "u",
                              .time = "2026-01-02T03:04:05Z",
                              .status = "Running"};
  EXPECT_EQ(contents.to_json(),
            "{\"Action\":\"SwitchTraffic\",\"HostName\":\"h\",\"UserName\":\"u\","
            "\"Time\":\"2026-01-02T03:04:05Z\",\"Options\":{},\"Status\":\"Running\"}");
  EXPECT_EQ(LockContents::from_json(contents.to_json()).describe(), "SwitchTraffic by u@h since 2026-01-02T03:04:05Z");
  EXPECT_EQ(LockContents::from_json("whatever").describe(), "whatever");
  EXPECT_EQ(LockContents::from_json("{\"Action\":5}").action, "");
  LockContents odd;
  odd.action = "\xff";
  EXPECT_FALSE(odd.to_json().empty());
}

// ---- Watch hub

TEST(WatchHub, FiltersByPathAndKind) {
  using internal::WatchHub;
  const WatchHub::Filter one{.path = "a/b"};
  EXPECT_TRUE(one.matches("a/b", false));
  EXPECT_FALSE(one.matches("a/b/c", false));
  EXPECT_FALSE(one.matches("a/b", true));
  const WatchHub::Filter tree{.path = "a/b", .recursive = true};
  EXPECT_TRUE(tree.matches("a/b/c", false));
  EXPECT_FALSE(tree.matches("a/b", false));
  EXPECT_FALSE(tree.matches("a/bc", false));
  const WatchHub::Filter all{.path = "", .recursive = true};
  EXPECT_TRUE(all.matches("x", false));
}

// News that is older than the state a watch began with must not bring the past back.
TEST(WatchHub, IgnoresNewsFromBeforeTheStart) {
  using internal::TreeChange;
  using internal::WatchHub;
  struct Body {
    static net::Task<std::string> run() {
      const auto hub = std::make_shared<WatchHub>();
      auto watch = hub->subscribe({.path = "r/a"}, "r");
      hub->publish({TreeChange{"r/a", "1", 1}});
      watch->start({.records = {TreeChange{"r/a", "3", 3}}, .revision = 4}, true);
      hub->publish({TreeChange{"r/a", "2", 2}});
      std::string seen;
      const net::Wait wait = net::Wait::within(std::chrono::seconds(20));
      for (const uint64_t revision : {5, 9}) {
        const auto changes = co_await watch->next(wait);
        if (!changes.ok() || changes->size() != 1) co_return "nothing";
        const Change& change = changes->front();
        seen += change.path + "=" + (change.record ? change.record->data : "none") + " ";
        hub->publish({TreeChange{"r/a", std::to_string(revision), revision}, TreeChange{"r/b", "x", revision}});
      }
      // After a gap: "a" is gone from the whole tree.
      (void)co_await watch->next(wait);
      hub->resync({.records = {TreeChange{"r/b", "x", 9}}, .revision = 20});
      const auto last = co_await watch->next(wait);
      if (last.ok() && !last->front().record) seen += "gone";
      co_return seen;
    }
  };
  net::LoopThread loop("hub");
  EXPECT_EQ(net::block_on(loop.loop(), Body::run()), "a=3 a=5 gone");
}

}  // namespace
}  // namespace vitrail::topo
