// The records and requests are an interface with other programs: stored bytes must not move when a .proto file is
// edited. The expected bytes are put together by hand from field numbers and wire types, never by our own serialiser.

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "binlogdata.pb.h"
#include "query.pb.h"
#include "topodata.pb.h"
#include "vschema.pb.h"
#include "vtctldata.pb.h"
#include "vtgate.pb.h"
#include "vtrpc.pb.h"

namespace {

using google::protobuf::Descriptor;

std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned char byte : bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

// Hex digits; blanks only help the reader.
std::string from_hex(std::string_view text) {
  std::string digits;
  for (char c : text) {
    if (c != ' ') digits += c;
  }
  EXPECT_EQ(digits.size() % 2, 0u);
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// `text` (prototext) and `hex` are the same record, in both directions.
template <class Record>
void expect_stored_as(std::string_view text, std::string_view hex) {
  Record written;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(std::string(text), &written));
  const std::string bytes = from_hex(hex);
  EXPECT_EQ(to_hex(written.SerializeAsString()), to_hex(bytes));
  Record read;
  ASSERT_TRUE(read.ParseFromString(bytes));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(read, written)) << read.DebugString();
}

TEST(TopologyRecord, TabletHasItsStoredBytes) {
  expect_stored_as<topodata::Tablet>(
      R"(alias { cell: "zone1" uid: 101 } hostname: "h1" port_map { key: "grpc" value: 16101 } keyspace: "commerce"
         shard: "-80" key_range { end: "\x80" } type: REPLICA db_name_override: "d" tags { key: "a" value: "b" }
         mysql_hostname: "m1" mysql_port: 17101 primary_term_start_time { seconds: 1700000000 nanoseconds: 5 }
         default_conn_collation: 255 tablet_start_time { seconds: 1 } tablet_shutdown_time { seconds: 2 })",
      "0a09 0a05 7a6f6e6531 1065"  // 1 alias
      "1202 6831"                  // 2 hostname
      "2209 0a04 67727063 10e57d"  // 4 port_map
      "2a08 636f6d6d65726365"      // 5 keyspace
      "3203 2d3830"                // 6 shard
      "3a03 1201 80"               // 7 key_range
      "4002"                       // 8 type
      "4a01 64"                    // 9 db_name_override
      "5206 0a0161 120162"         // 10 tags
      "6202 6d31"                  // 12 mysql_hostname
      "68cd8501"                   // 13 mysql_port
      "7208 0880e2cfaa06 1005"     // 14 primary_term_start_time
      "8001ff01"                   // 16 default_conn_collation
      "8a0102 0801"                // 17 tablet_start_time
      "920102 0802");              // 18 tablet_shutdown_time
}

TEST(TopologyRecord, ShardHasItsStoredBytes) {
  expect_stored_as<topodata::Shard>(
      R"(primary_alias { cell: "z" uid: 100 } key_range { start: "\x80" }
         source_shards { uid: 1 keyspace: "k" shard: "0" key_range { end: "\x40" } tables: "t" }
         tablet_controls { tablet_type: PRIMARY cells: "z" denied_tables: "t" frozen: true allow_reads: true }
         is_primary_serving: true primary_term_start_time { seconds: 7 }
         vtorc_state { disable_emergency_reparent: true })",
      "0a05 0a017a 1064"                            // 1 primary_alias
      "1203 0a0180"                                 // 2 key_range
      "2210 0801 12016b 1a0130 2203 120140 2a0174"  // 4 source_shards
      "320c 0801 12017a 220174 2801 3001"           // 6 tablet_controls
      "3801"                                        // 7 is_primary_serving
      "4202 0807"                                   // 8 primary_term_start_time
      "4a02 0801");                                 // 9 vtorc_state
}

TEST(TopologyRecord, KeyspaceHasItsStoredBytes) {
  expect_stored_as<topodata::Keyspace>(
      R"(keyspace_type: SNAPSHOT base_keyspace: "b" snapshot_time { seconds: 3 } durability_policy: "none"
         throttler_config {
           enabled: true threshold: 1.5 custom_query: "q" check_as_check_self: true
           throttled_apps { key: "a" value { name: "a" ratio: 0.5 expires_at { seconds: 4 } exempt: true } }
           app_checked_metrics { key: "a" value { names: "lag" } }
           metric_thresholds { key: "lag" value: 2.0 }
         }
         sidecar_db_name: "_vt" vtorc_state { disable_emergency_reparent: true }
         query_throttler_config { enabled: true strategy: TABLET_THROTTLER tablet_strategy_config {} dry_run: true })",
      "2801"                                                        // 5 keyspace_type
      "320162"                                                      // 6 base_keyspace
      "3a02 0803"                                                   // 7 snapshot_time
      "4204 6e6f6e65"                                               // 8 durability_policy
      "4a45"                                                        // 9 throttler_config
      "  0801 11000000000000f83f 1a0171 2001"                       //   1 2 3 4
      "  2a17 0a0161 1212 0a0161 11000000000000e03f 1a020804 2001"  //   5 throttled_apps
      "  320a 0a0161 1205 0a036c6167"                               //   6 app_checked_metrics
      "  3a0e 0a036c6167 110000000000000040"                        //   7 metric_thresholds
      "5203 5f7674"                                                 // 10 sidecar_db_name
      "5a02 0801"                                                   // 11 vtorc_state
      "6208 0801 1001 1a00 2001");                                  // 12 query_throttler_config
}

TEST(TopologyRecord, SrvKeyspaceHasItsStoredBytes) {
  expect_stored_as<topodata::SrvKeyspace>(
      R"(partitions {
           served_type: RDONLY shard_references { name: "-80" key_range { end: "\x80" } }
           shard_tablet_controls { name: "-80" key_range { end: "\x80" } query_service_disabled: true }
         }
         throttler_config { enabled: true } query_throttler_config { dry_run: true })",
      "0a1c 0803"                           // 1 partitions, served_type
      "  120a 0a032d3830 1203 120180"       //   2 shard_references
      "  1a0c 0a032d3830 1203 120180 1801"  //   3 shard_tablet_controls
      "3202 0801"                           // 6 throttler_config
      "3a02 2001");                         // 7 query_throttler_config
}

TEST(TopologyRecord, ShardReplicationHasItsStoredBytes) {
  expect_stored_as<topodata::ShardReplication>(
      R"(nodes { tablet_alias { cell: "z" uid: 100 } } nodes { tablet_alias { cell: "z" uid: 101 } })",
      "0a07 0a05 0a017a 1064"
      "0a07 0a05 0a017a 1065");
}

TEST(TopologyRecord, CellRecordsHaveTheirStoredBytes) {
  expect_stored_as<topodata::CellInfo>(R"(server_address: "h:1" root: "/z")", "0a03 683a31 1202 2f7a");
  expect_stored_as<topodata::CellsAlias>(R"(cells: "y" cells: "z")", "1201 79 1201 7a");
  expect_stored_as<topodata::ExternalVitessCluster>(R"(topo_config { topo_type: "etcd2" server: "h:1" root: "/g" })",
                                                    "0a10 0a05 6574636432 1203 683a31 1a02 2f67");
}

TEST(TopologyRecord, VSchemaHasItsStoredBytes) {
  expect_stored_as<vschema::Keyspace>(
      R"(sharded: true
         vindexes { key: "hash" value { type: "hash" params { key: "a" value: "b" } owner: "t" } }
         tables {
           key: "t"
           value {
             type: "reference" column_vindexes { column: "id" name: "hash" columns: "c" }
             auto_increment { column: "id" sequence: "s" }
             columns {
               name: "id" type: INT64 invisible: true default: "1" collation_name: "x" size: 20 scale: 2
               nullable: false values: "v"
             }
             pinned: "80" column_list_authoritative: true source: "k.t"
           }
         }
         require_explicit_routing: true foreign_key_mode: managed
         multi_tenant_spec { tenant_id_column_name: "t" tenant_id_column_type: VARCHAR })",
      "0801"                                                             // 1 sharded
      "1219 0a0468617368 1211 0a0468617368 1206 0a0161 120162 1a0174"    // 2 vindexes
      "1a4d 0a0174 1248"                                                 // 3 tables
      "  0a09 7265666572656e6365"                                        //   1 type
      "  120d 0a026964 120468617368 1a0163"                              //   2 column_vindexes
      "  1a07 0a026964 120173"                                           //   3 auto_increment
      "  2218 0a026964 108902 1801 220131 2a0178 3014 3802 4000 4a0176"  //   4 columns
      "  2a02 3830"                                                      //   5 pinned
      "  3001"                                                           //   6 column_list_authoritative
      "  3a03 6b2e74"                                                    //   7 source
      "2001"                                                             // 4 require_explicit_routing
      "2803"                                                             // 5 foreign_key_mode
      "3206 0a0174 109530");                                             // 6 multi_tenant_spec
}

TEST(TopologyRecord, RoutingRulesHaveTheirStoredBytes) {
  expect_stored_as<vschema::RoutingRules>(R"(rules { from_table: "t" to_tables: "k.t" to_tables: "l.t" })",
                                          "0a0d 0a0174 1203 6b2e74 1203 6c2e74");
  expect_stored_as<vschema::SrvVSchema>(
      R"(keyspaces { key: "k" value { sharded: true } } routing_rules {}
         shard_routing_rules { rules { from_keyspace: "a" to_keyspace: "b" shard: "0" } }
         keyspace_routing_rules { rules { from_keyspace: "a" to_keyspace: "b" } }
         mirror_rules { rules { from_table: "a" to_table: "b" percent: 1.0 } })",
      "0a07 0a016b 1202 0801"                 // 1 keyspaces
      "1200"                                  // 2 routing_rules
      "1a0b 0a09 0a0161 120162 1a0130"        // 3 shard_routing_rules
      "2208 0a06 0a0161 120162"               // 4 keyspace_routing_rules
      "2a0d 0a0b 0a0161 120162 1d0000803f");  // 5 mirror_rules
}

TEST(TopologyRecord, OlderWordsForTabletTypesAreRead) {
  topodata::TabletType type = topodata::UNKNOWN;
  ASSERT_TRUE(topodata::TabletType_Parse("MASTER", &type));
  EXPECT_EQ(type, topodata::PRIMARY);
  ASSERT_TRUE(topodata::TabletType_Parse("BATCH", &type));
  EXPECT_EQ(type, topodata::RDONLY);
  EXPECT_EQ(topodata::TabletType_Name(topodata::MASTER), "PRIMARY");
  EXPECT_EQ(topodata::TabletType_Name(topodata::BATCH), "RDONLY");
}

TEST(TopologyRecord, KeepsFieldsOfANewerVersion) {
  const std::string bytes = from_hex("0a03 683a31 1202 2f7a fa0602 7879");  // CellInfo and an unknown field 111.
  topodata::CellInfo cell;
  ASSERT_TRUE(cell.ParseFromString(bytes));
  EXPECT_EQ(cell.root(), "/z");
  EXPECT_EQ(to_hex(cell.SerializeAsString()), to_hex(bytes));
}

TEST(TopologyRecord, RefusesTruncatedBytes) {
  const std::string bytes = from_hex("0a09 0a05 7a6f6e6531 1065 1202 6831");
  for (size_t size : {1, 5, 10, 12, 14}) {
    topodata::Tablet tablet;
    EXPECT_FALSE(tablet.ParseFromString(bytes.substr(0, size))) << size;
  }
}

// Numbers of the older generation, which today's records reserve.
TEST(TopologyRecord, ServedFromHasTheBytesOfOlderReleases) {
  expect_stored_as<topodata::Keyspace>(R"(served_froms { tablet_type: PRIMARY cells: "zone1" keyspace: "commerce" })",
                                       "2213 0801 12057a6f6e6531 1a08636f6d6d65726365");
  expect_stored_as<topodata::SrvKeyspace>(R"(served_from { tablet_type: REPLICA keyspace: "commerce" })",
                                          "220c 0802 1208636f6d6d65726365");
}

TEST(TopologyRecord, RetiredNumbersStayReserved) {
  const std::map<const Descriptor*, std::set<int>> retired = {{topodata::Tablet::descriptor(), {3, 11, 15}},
                                                              {topodata::Shard::descriptor(), {3, 5}},
                                                              {topodata::Keyspace::descriptor(), {1, 2, 3}},
                                                              {topodata::SrvKeyspace::descriptor(), {2, 3, 5}},
                                                              {topodata::CellInfo::descriptor(), {3}},
                                                              {topodata::Shard::TabletControl::descriptor(), {3}},
                                                              {query::ExecuteOptions::descriptor(), {1, 2, 3}},
                                                              {query::QueryResult::descriptor(), {5}},
                                                              {vtgate::Session::descriptor(), {3}},
                                                              {vtrpc::RPCError::descriptor(), {1}}};
  for (const auto& [message, numbers] : retired) {
    for (int number : numbers) EXPECT_TRUE(message->IsReservedNumber(number)) << message->full_name() << " " << number;
  }
}

TEST(QueryRow, StoresNullAsLengthMinusOne) {
  query::Row row;
  row.add_lengths(2);
  row.add_lengths(-1);
  row.add_lengths(0);
  row.set_values("ab");
  EXPECT_EQ(to_hex(row.SerializeAsString()), to_hex(from_hex("0a03 040100 1202 6162")));
}

TEST(SidecarRecord, SourceAndJournalHaveTheirBytes) {
  expect_stored_as<binlogdata::BinlogSource>(
      R"(keyspace: "commerce" shard: "0"
         filter { rules { match: "t" filter: "select * from t" } rules { match: "/.*" filter: "exclude" } }
         on_ddl: EXEC)",
      "0a08 636f6d6d65726365 120130"                          // 1 keyspace, 2 shard
      "3226 0a14 0a0174 120f 73656c656374202a2066726f6d2074"  // 6 filter, 1 rules
      "     0a0e 0a03 2f2e2a 1207 6578636c756465"
      "3802");  // 7 on_ddl
  expect_stored_as<binlogdata::Journal>(
      R"(id: 7 migration_type: SHARDS local_position: "p" shard_gtids { keyspace: "k" shard: "-80" gtid: "g" }
         participants { keyspace: "k" shard: "0" } source_workflows: "w")",
      "0807 1001 220170 2a0b 0a016b 12032d3830 1a0167 3206 0a016b 120130 3a0177");
}

// "name12" is a field or an enum value with its number. The lists come from the description of the interface, so that a
// slip of the hand in a .proto file does not agree with itself.
struct Numbers {
  const char* type;
  const char* list;
};

constexpr Numbers kNumbers[] = {
    {"vtrpc.Code",
     "OK0 CANCELED1 UNKNOWN2 INVALID_ARGUMENT3 DEADLINE_EXCEEDED4 NOT_FOUND5 ALREADY_EXISTS6 PERMISSION_DENIED7 "
     "RESOURCE_EXHAUSTED8 FAILED_PRECONDITION9 ABORTED10 OUT_OF_RANGE11 UNIMPLEMENTED12 INTERNAL13 UNAVAILABLE14 "
     "DATA_LOSS15 UNAUTHENTICATED16 CLUSTER_EVENT17 READ_ONLY18"},
    {"vtrpc.RPCError", "message2 code3"},
    {"query.Target", "keyspace1 shard2 tablet_type3 cell4"},
    {"query.ExecuteOptions",
     "included_fields4 client_found_rows5 workload6 sql_select_limit8 transaction_isolation9 skip_query_plan_cache10 "
     "planner_version11 has_created_temp_tables12 consolidator13 transaction_access_mode14 WorkloadName15 priority16 "
     "authoritative_timeout17 fetch_last_insert_id18 in_dml_execution19 transaction_timeout20 no_result21"},
    {"query.ExecuteOptions.Workload", "OLTP1 OLAP2 DBA3"},
    {"query.StreamHealthResponse", "target1 serving2 primary_term_start_timestamp3 realtime_stats4 tablet_alias5"},
    {"query.RealtimeStats",
     "health_error1 replication_lag_seconds2 binlog_players_count3 filtered_replication_lag_seconds4 cpu_usage5 qps6 "
     "table_schema_changed7 view_schema_changed8 udfs_changed9 tx_unresolved10"},
    {"binlogdata.BinlogSource",
     "keyspace1 shard2 tablet_type3 key_range4 tables5 filter6 on_ddl7 external_mysql8 stop_after_copy9 "
     "external_cluster10 source_time_zone11 target_time_zone12"},
    {"binlogdata.Filter", "rules1 field_event_mode2 workflow_type3 workflow_name4"},
    {"binlogdata.Rule",
     "match1 filter2 convert_enum_to_text3 convert_charset4 source_unique_key_columns5 target_unique_key_columns6 "
     "source_unique_key_target_columns7 convert_int_to_enum8 force_unique_key9"},
    {"binlogdata.Journal", "id1 migration_type2 tables3 local_position4 shard_gtids5 participants6 source_workflows7"},
    {"binlogdata.ShardGtid", "keyspace1 shard2 gtid3 table_p_ks4"},
    {"binlogdata.VEventType",
     "GTID1 BEGIN2 COMMIT3 ROLLBACK4 DDL5 INSERT6 REPLACE7 UPDATE8 DELETE9 SET10 OTHER11 ROW12 FIELD13 HEARTBEAT14 "
     "VGTID15 JOURNAL16 VERSION17 LASTPK18 SAVEPOINT19 COPY_COMPLETED20 PREVIOUS_GTIDS21 ROWS_QUERY22"},
    {"binlogdata.VEvent",
     "type1 timestamp2 gtid3 statement4 row_event5 field_event6 vgtid7 journal8 dml9 current_time20 last_p_k_event21 "
     "keyspace22 shard23 throttled24 throttled_reason25 commit_parent26 sequence_number27 event_gtid28"},
    {"binlogdata.VReplicationWorkflowState", "Unknown0 Init1 Stopped2 Copying3 Running4 Error5 Lagging6"},
    {"binlogdata.VReplicationWorkflowType", "Materialize0 MoveTables1 CreateLookupIndex2 Migrate3 Reshard4 OnlineDDL5"},
    {"binlogdata.VReplicationWorkflowSubType", "None0 Partial1 AtomicCopy2"},
    {"binlogdata.MigrationType", "TABLES0 SHARDS1"},
    {"vtgate.ExecuteRequest", "caller_id1 session2 query3 prepared8"},
    {"vtgate.ExecuteResponse", "error1 session2 result3"},
    {"vtgate.Session",
     "in_transaction1 shard_sessions2 autocommit4 target_string5 options6 transaction_mode7 warnings8 pre_sessions9 "
     "post_sessions10 last_insert_id11 found_rows12 user_defined_variables13 system_variables14 row_count15 "
     "savepoints16 in_reserved_conn17 lock_session18 last_lock_heartbeat19 read_after_write20 DDLStrategy21 "
     "SessionUUID22 enable_system_settings23 advisory_lock24 query_timeout25 prepare_statement26 "
     "migration_context27 error_until_rollback28"},
    {"vtgate.Session.ShardSession", "target1 transaction_id2 tablet_alias3 reserved_id4 read_only5 rows_affected6"},
    {"vtgate.VStreamRequest", "caller_id1 tablet_type2 vgtid3 filter4 flags5"},
    {"vtgate.VStreamFlags",
     "minimize_skew1 heartbeat_interval2 stop_on_reshard3 cells4 cell_preference5 tablet_order6 "
     "stream_keyspace_heartbeats7 include_reshard_journal_events8 tables_to_copy9 "
     "exclude_keyspace_from_table_name10 transaction_chunk_size11"},
    {"vtctldata.WorkflowSwitchTrafficRequest",
     "keyspace1 workflow2 cells3 tablet_types4 max_replication_lag_allowed5 enable_reverse_replication6 direction7 "
     "timeout8 dry_run9 initialize_target_sequences10 shards11 force12"},
    {"vtctldata.WorkflowSwitchTrafficResponse", "summary1 start_state2 current_state3 dry_run_results4"},
    {"vtctldata.MoveTablesCreateRequest",
     "workflow1 source_keyspace2 target_keyspace3 cells4 tablet_types5 tablet_selection_preference6 source_shards7 "
     "all_tables8 include_tables9 exclude_tables10 external_cluster_name11 source_time_zone12 on_ddl13 "
     "stop_after_copy14 drop_foreign_keys15 defer_secondary_keys16 auto_start17 no_routing_rules18 atomic_copy19 "
     "workflow_options20"},
    {"vtctldata.ReshardCreateRequest",
     "workflow1 keyspace2 source_shards3 target_shards4 cells5 tablet_types6 tablet_selection_preference7 "
     "skip_schema_copy8 on_ddl9 stop_after_copy10 defer_secondary_keys11 auto_start12 workflow_options13"},
    {"vtctldata.MoveTablesCompleteRequest",
     "workflow1 target_keyspace3 keep_data4 keep_routing_rules5 rename_tables6 dry_run7 shards8 "
     "ignore_source_keyspace9"},
    {"vtctldata.WorkflowDeleteRequest",
     "keyspace1 workflow2 keep_data3 keep_routing_rules4 shards5 delete_batch_size6 ignore_source_keyspace7"},
    {"vtctldata.WorkflowOptions",
     "tenant_id1 sharded_auto_increment_handling2 shards3 config4 global_keyspace5 lookup_vindexes6"},
};

TEST(Interface, FieldsAndEnumValuesHaveTheirNumbers) {
  // The linker takes from a static library only what is named, and only that registers its descriptors.
  ASSERT_NE(vtctldata::Workflow::descriptor(), nullptr);
  ASSERT_NE(vtgate::Session::descriptor(), nullptr);
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const Numbers& expected : kNumbers) {
    const auto* message = pool->FindMessageTypeByName(expected.type);
    const auto* enumeration = pool->FindEnumTypeByName(expected.type);
    ASSERT_TRUE(message != nullptr || enumeration != nullptr) << expected.type;
    int count = 0;
    std::istringstream list(expected.list);
    for (std::string word; list >> word; ++count) {
      const size_t digits = word.find_last_not_of("0123456789") + 1;
      const std::string name = word.substr(0, digits);
      const int number = std::stoi(word.substr(digits));
      if (message != nullptr) {
        const auto* field = message->FindFieldByName(name);
        ASSERT_NE(field, nullptr) << expected.type << "." << name;
        EXPECT_EQ(field->number(), number) << expected.type << "." << name;
      } else {
        const auto* value = enumeration->FindValueByName(name);
        ASSERT_NE(value, nullptr) << expected.type << "." << name;
        EXPECT_EQ(value->number(), number) << expected.type << "." << name;
      }
    }
    if (message != nullptr) EXPECT_EQ(message->field_count(), count) << expected.type;
  }
}

// The services are known from their descriptors only; no code is generated for them.
class Services : public testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file(VITRAIL_SERVICES_FILE, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    google::protobuf::FileDescriptorSet set;
    ASSERT_TRUE(set.ParseFromString(bytes));
    ASSERT_GT(set.file_size(), 0);
    for (const auto& one : set.file()) ASSERT_NE(pool_.BuildFile(one), nullptr) << one.name();
  }
  google::protobuf::DescriptorPool pool_;
};

TEST_F(Services, HaveAllTheirMethods) {
  const std::map<std::string, int> methods = {
      {"queryservice.Query", 30},        {"tabletmanagerservice.TabletManager", 70},
      {"vtctlservice.Vtctld", 129},      {"vtctlservice.Vtctl", 1},
      {"vtgateservice.Vitess", 9},       {"mysqlctl.MysqlCtl", 9},
      {"throttlerservice.Throttler", 5}, {"binlogservice.UpdateStream", 2}};
  for (const auto& [name, count] : methods) {
    const auto* service = pool_.FindServiceByName(name);
    ASSERT_NE(service, nullptr) << name;
    EXPECT_EQ(service->method_count(), count) << name;
  }
}

TEST_F(Services, NameTheirMessagesAfterTheMethod) {
  const std::map<std::string, std::string> exceptions = {
      {"vtctlservice.Vtctld.BackupShard", "vtctldata.BackupResponse"},
      {"vtctlservice.Vtctld.MigrateCreate", "vtctldata.WorkflowStatusResponse"},
      {"vtctlservice.Vtctld.MoveTablesCreate", "vtctldata.WorkflowStatusResponse"},
      {"vtctlservice.Vtctld.ReshardCreate", "vtctldata.WorkflowStatusResponse"},
      {"queryservice.Query.BinlogDumpGTID", "binlogdata.BinlogDumpResponse"},
      {"vtgateservice.Vitess.BinlogDumpGTID", "vtgate.BinlogDumpResponse"}};
  for (const char* name : {"queryservice.Query", "tabletmanagerservice.TabletManager", "vtctlservice.Vtctld",
                           "vtctlservice.Vtctl", "vtgateservice.Vitess", "mysqlctl.MysqlCtl"}) {
    const auto* service = pool_.FindServiceByName(name);
    ASSERT_NE(service, nullptr) << name;
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* method = service->method(i);
      EXPECT_EQ(method->input_type()->name(), method->name() + "Request");
      const auto exception = exceptions.find(method->full_name());
      if (exception == exceptions.end()) {
        EXPECT_EQ(method->output_type()->name(), method->name() + "Response");
      } else {
        EXPECT_EQ(method->output_type()->full_name(), exception->second);
      }
      EXPECT_FALSE(method->client_streaming()) << method->full_name();
    }
  }
}

TEST_F(Services, StreamWhatTheyMust) {
  const std::set<std::string> expected = {"queryservice.Query.StreamExecute",
                                          "queryservice.Query.BeginStreamExecute",
                                          "queryservice.Query.ReserveStreamExecute",
                                          "queryservice.Query.ReserveBeginStreamExecute",
                                          "queryservice.Query.MessageStream",
                                          "queryservice.Query.StreamHealth",
                                          "queryservice.Query.GetSchema",
                                          "queryservice.Query.VStream",
                                          "queryservice.Query.VStreamRows",
                                          "queryservice.Query.VStreamTables",
                                          "queryservice.Query.VStreamResults",
                                          "queryservice.Query.BinlogDumpGTID",
                                          "tabletmanagerservice.TabletManager.Backup",
                                          "tabletmanagerservice.TabletManager.RestoreFromBackup",
                                          "vtctlservice.Vtctl.ExecuteVtctlCommand",
                                          "vtctlservice.Vtctld.Backup",
                                          "vtctlservice.Vtctld.BackupShard",
                                          "vtctlservice.Vtctld.RestoreFromBackup",
                                          "vtgateservice.Vitess.StreamExecute",
                                          "vtgateservice.Vitess.StreamExecuteMulti",
                                          "vtgateservice.Vitess.VStream",
                                          "vtgateservice.Vitess.BinlogDumpGTID"};
  std::set<std::string> streaming;
  for (const char* name : {"queryservice.Query", "tabletmanagerservice.TabletManager", "vtctlservice.Vtctld",
                           "vtctlservice.Vtctl", "vtgateservice.Vitess", "mysqlctl.MysqlCtl"}) {
    const auto* service = pool_.FindServiceByName(name);
    ASSERT_NE(service, nullptr) << name;
    for (int i = 0; i < service->method_count(); ++i) {
      if (service->method(i)->server_streaming()) streaming.insert(service->method(i)->full_name());
    }
  }
  EXPECT_EQ(streaming, expected);
}

}  // namespace
