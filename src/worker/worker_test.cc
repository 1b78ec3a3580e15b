// Command lines, and what makes two sides equal.
#include <gtest/gtest.h>

#include "control/worker_claim.h"
#include "worker/clone.h"
#include "worker/commands.h"
#include "worker/compare.h"
#include "worker/copy.h"
#include "worker/instance.h"
#include "worker/pages.h"
#include "worker/shards.h"

namespace vitrail::worker {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;

std::string error_of(const Words& words) {
  auto job = make_job(words);
  return job.ok() ? "" : job.error().message();
}

TEST(WorkerCommands, SeedsCommandLinesAreRead_S3_38_S3_43_S3_98_S3_101) {
  for (const Words& words :
       {Words{"VerticalSplitClone", "-min_healthy_rdonly_tablets=1", "-tables=customer,corder", "customer/0"},
        Words{"VerticalSplitClone", "-min_healthy_tablets=1", "-tables=customer", "customer/0"},
        Words{"VerticalSplitDiff", "-min_healthy_rdonly_tablets=1", "customer/0"},
        Words{"SplitClone", "-min_healthy_rdonly_tablets=1", "customer/0"},
        Words{"SplitClone", "--", "--min-healthy-rdonly-tablets", "1", "customer/0"},
        Words{"splitclone", "--exclude_tables=a,/b.*/", "--max_tps=100", "test_keyspace/0"},
        Words{"SplitDiff", "-min_healthy_rdonly_tablets=1", "customer/-80"},
        Words{"SplitClone", "-use_consistent_snapshot", "customer/0"},
        Words{"LegacySplitClone", "-min_healthy_rdonly_tablets=1", "-max_tps=100", "customer/0"},
        Words{"MultiSplitDiff", "-min_healthy_rdonly_tablets=1", "-exclude_tables=a", "customer/0"},
        Words{"SplitDiff", "-source_uid=2", "-skip-verify", "customer/-80"}, Words{"Ping"}, Words{"Ping", "hello"},
        Words{"Block"}, Words{"Panic"}}) {
    EXPECT_EQ(error_of(words), "") << words[0];
  }
}

TEST(WorkerCommands, Refusals) {
  struct Case {
    Words words;
    std::string error;
  };
  for (const auto& [words, error] : {
           Case{{}, "no command was given; help lists all"},
           Case{{"SplitClome", "a/0"}, "unknown command: SplitClome (did you mean SplitClone?)"},
           Case{{"SplitClone"}, "command SplitClone requires <keyspace/shard>"},
           Case{{"SplitClone", "a/0", "a/1"}, "command SplitClone requires <keyspace/shard>"},
           Case{{"SplitClone", "customer"}, "invalid shard path: customer: expected <keyspace>/<shard>"},
           Case{{"VerticalSplitClone", "customer/0"}, "list of tablets to be split out must not be empty"},
           Case{{"SplitClone", "-chunk_count=0", "a/0"}, "chunk_count must be at least 1, received 0"},
           Case{{"SplitDiff", "-min_healthy_rdonly_tablets=0", "a/0"},
                "min_healthy_rdonly_tablets must be at least 1, received 0"},
       }) {
    EXPECT_EQ(error_of(words), error);
  }
  EXPECT_NE(error_of({"LegacySplitClone", "-online=true", "a/0"}), "");  // It has no such pass.
  EXPECT_NE(error_of({"Ping", "-nothing"}), "");
  EXPECT_NE(help_text().find("VerticalSplitDiff"), std::string::npos);
}

TEST(WorkerInstance, WhoComesWhileAnotherIsHere_S2_11_S2_12) {
  const base::TimePoint now = base::system_clock().now();
  const Status running = check_free(std::nullopt, now, "Block");
  EXPECT_EQ(running.error().message(), "A worker job is already in progress: Block");
  EXPECT_EQ(running.error().code(), Code::kUnavailable);
  const Status recent = check_free(now - 5s, now, "Ping");
  EXPECT_EQ(recent.error().message(),
            "A worker job was recently stopped (5.0 seconds ago): Ping. If you run commands manually, run the 'Reset' "
            "command to clear the vtworker state");
  EXPECT_EQ(recent.error().code(), Code::kUnavailable);
  const Status old = check_free(now - 120s, now, "Ping");
  EXPECT_TRUE(old.error().message().starts_with("The worker job was stopped 2.0 minutes ago, but not reset."))
      << old.error().message();
  EXPECT_EQ(old.error().code(), Code::kFailedPrecondition);
}

TEST(WorkerPages, FormFields) {
  const std::map<std::string, std::string> expected = {{"argument", "customer/-80"}, {"tables", "a,b c"}, {"x", ""}};
  EXPECT_EQ(parse_form("argument=customer%2F-80&tables=a%2Cb+c&x="), expected);
}

topo::ShardInfo shard_info(const std::string& name, bool serving) {
  topo::ShardInfo info;
  info.keyspace = "ks";
  info.name = name;
  info.record.set_is_primary_serving(serving);
  if (name.find('-') != std::string::npos) {
    *info.record.mutable_key_range() = topo::to_proto(*shard::KeyRange::parse(name));
  }
  return info;
}

std::string split_text(const std::map<std::string, bool>& shards, const std::string& shard) {
  std::map<std::string, topo::ShardInfo> all;
  for (const auto& [name, serving] : shards) all.emplace(name, shard_info(name, serving));
  const auto split = find_split(all, "ks", shard);
  if (!split.ok()) return split.error().message();
  std::string text;
  for (const auto& one : split->sources) text += one.name + " ";
  text += ">";
  for (const auto& one : split->destinations) text += " " + one.name;
  return text;
}

TEST(WorkerShards, WhichShardsASplitIsAbout_S2_25_S2_58_S3_103) {
  EXPECT_EQ(split_text({{"0", true}, {"-80", false}, {"80-", false}}, "0"), "0 > -80 80-");
  EXPECT_EQ(split_text({{"0", true}, {"-80", false}, {"80-", false}}, "80-"), "0 > -80 80-") << "any of them";
  EXPECT_EQ(split_text({{"-", false}, {"-80", true}, {"80-", true}}, "-"), "-80 80- > -") << "a merge";
  EXPECT_EQ(split_text({{"-40", true}, {"40-80", true}, {"40-60", false}, {"60-80", false}, {"80-", true}}, "40-80"),
            "40-80 > 40-60 60-80")
      << "shards that have nothing to do with it";
  EXPECT_EQ(split_text({{"0", true}}, "0"), "the specified shard ks/0 is not in any overlapping shard");
  EXPECT_EQ(split_text({{"0", true}}, "-80"), "shard ks/-80 does not exist");
  EXPECT_NE(split_text({{"0", true}, {"-80", false}}, "0"), "0 > -80") << "a part is missing";
}

TEST(WorkerShards, NamesOfWorkflowsFit) {
  EXPECT_EQ(split_workflow({"0"}, {"-80", "80-"}), "splitclone_0_to_-80_80-");
  std::vector<std::string> many;
  for (int i = 0; i < 16; ++i) many.push_back("00-10");
  EXPECT_LE(split_workflow({"-"}, many).size(), 55u);
  EXPECT_NE(split_workflow({"-"}, many), split_workflow({"0"}, many));
}

// --- comparing

movement::TableSchema two_columns() {
  movement::TableSchema table;
  table.name = "t";
  table.columns = {{.name = "id", .type = ::query::INT64, .column_type = "bigint(20)"},
                   {.name = "v", .type = ::query::VARCHAR, .column_type = "varchar(10)", .character_set = "utf8mb4"}};
  table.identity = {0};
  table.identity_index = "PRIMARY";
  return table;
}

google::protobuf::RepeatedPtrField<::query::Field> fields_of(const movement::TableSchema& table) {
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  for (const auto& column : table.columns) *fields.Add() = movement::to_field(column, table.name, "db");
  return fields;
}

std::vector<::query::Row> rows(const std::vector<std::pair<std::string, std::string>>& values) {
  std::vector<::query::Row> out;
  for (const auto& [id, v] : values) {
    auto& row = out.emplace_back();
    movement::append_cell(row, id);
    movement::append_cell(row, v);
  }
  return out;
}

TEST(WorkerCompare, CountsAndStatementsThatMakeTheRightSideEqual) {
  const auto schema = two_columns();
  const auto table = movement::TargetTable::bind(schema, "db", fields_of(schema));
  ASSERT_TRUE(table.ok());
  const auto left = rows({{"1", "a"}, {"2", "b"}, {"3", "c"}});
  const auto right = rows({{"1", "a"}, {"2", "x"}, {"4", "d"}});
  const auto found = compare(*table, pointers(left), pointers(right));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->report.to_string(1s),
            "DiffReport{5 processed, 1 matching, 1 mismatched, 1 extra left, 1 extra right, 5 q/s}");
  const auto statements = write_statements(*table, *found, {});
  ASSERT_TRUE(statements.ok());
  EXPECT_EQ(*statements, (Words{"DELETE FROM `db`.`t` WHERE `id` IN (2, 4)",
                                "REPLACE INTO `db`.`t` (`id`, `v`) VALUES (2,'b'), (3,'c')"}));
  const auto short_ones = write_statements(*table, *found, {.rows_max = 1});
  ASSERT_TRUE(short_ones.ok());
  EXPECT_EQ(short_ones->size(), 4u);
  EXPECT_EQ(short_ones->back(), "REPLACE INTO `db`.`t` (`id`, `v`) VALUES (3,'c')");

  const auto equal = compare(*table, pointers(left), pointers(left));
  ASSERT_TRUE(equal.ok());
  EXPECT_FALSE(equal->report.differs());
  EXPECT_EQ(equal->report.rate_text(2s), "4 rows processed, 2 qps") << "the end is a step, too";
  EXPECT_TRUE(write_statements(*table, *equal, {})->empty());
}

TEST(WorkerCompare, RowsOfSeveralSources) {
  const auto schema = two_columns();
  const auto table = movement::TargetTable::bind(schema, "db", fields_of(schema));
  ASSERT_TRUE(table.ok());
  const auto same = rows({{"1", "a"}, {"1", "a"}});
  EXPECT_EQ(compare(*table, pointers(same), {})->write.size(), 1u) << "a reference table";
  const auto different = rows({{"1", "a"}, {"1", "b"}});
  EXPECT_EQ(compare(*table, pointers(different), {}).error().code(), Code::kDataLoss);
}

TEST(WorkerCompare, RowsGoToTheShardOfTheirKeyspaceId_S3_111_S3_112) {
  ::vschema::SrvVSchema vschema;
  auto& keyspace = (*vschema.mutable_keyspaces())["ks"];
  keyspace.set_sharded(true);
  (*keyspace.mutable_vindexes())["hash"].set_type("hash");
  auto* vindex = (*keyspace.mutable_tables())["customer"].add_column_vindexes();
  vindex->set_column("id");
  vindex->set_name("hash");
  const auto schema = two_columns();
  const auto chooser = RowChooser::make("customer", fields_of(schema), "ks", vschema, "-80");
  ASSERT_TRUE(chooser.ok()) << chooser.error().message();
  std::string there;
  for (const char* id : {"1", "2", "3", "4", "5"}) {
    const mysql::Cell cells[] = {std::string_view(id), std::string_view("x")};
    if (*chooser->wants(cells)) there += id;
  }
  EXPECT_EQ(there, "1235");
  EXPECT_FALSE(RowChooser::make("unknown", fields_of(schema), "ks", vschema, "-80").ok());
}

TEST(WorkerCopy, PiecesOfATable) {
  movement::TableSchema table;
  table.row_estimate = 1'000'000;
  table.data_bytes = 100'000'000;
  EXPECT_EQ(chunk_bytes(table, 1000, 10'000), 1'000'000u) << "10,000 rows of 100 bytes";
  EXPECT_EQ(chunk_bytes(table, 50, 10'000), 2'000'000u) << "a fiftieth";
  EXPECT_EQ(chunk_bytes(table, 1'000'000'000, 1), 1u << 10) << "not less";
  EXPECT_EQ(chunk_bytes(table, 1, 10'000), 4u << 20) << "not more";
  EXPECT_EQ(chunk_bytes({}, 1000, 10'000), 160'000u) << "nothing is known of it";
}

TEST(WorkerClaimRecord, IsReadAsItIsWritten) {
  control::WorkerClaimRecord record{.url = "http://h:1/", .job = "SplitClone a/0", .tablets = {}, .streams = {}};
  ::topodata::TabletAlias alias;
  alias.set_cell("zone1");
  alias.set_uid(103);
  record.tablets.push_back({alias, ::topodata::RDONLY});
  record.streams.push_back({"ks", "-80", {1, 2}});
  const auto read = control::WorkerClaimRecord::from_json(record.to_json());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->to_json(), record.to_json());
  EXPECT_FALSE(control::WorkerClaimRecord::from_json("[]").ok());
  EXPECT_FALSE(control::WorkerClaimRecord::from_json(R"({"tablets":[{"alias":"x"}]})").ok());
}

}  // namespace
}  // namespace vitrail::worker
