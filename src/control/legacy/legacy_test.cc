// The older commands, on a topology in memory.
#include "control/legacy/legacy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/check.h"
#include "base/file.h"
#include "base/metrics.h"
#include "base/text.h"
#include "control/in_process.h"
#include "control/legacy/client.h"
#include "control/legacy/command.h"
#include "control/vtctld.h"
#include "topo/srv_keyspace.h"
#include "vschema/proto_json.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

using Words = std::vector<std::string>;
using testing::TempDir;

// What a command said and how it ended.
struct Outcome {
  std::string console, log;
  Status status;
  std::string error() const { return status.ok() ? "" : status.error().message(); }
};

class Legacy : public testing::Test {
 protected:
  Legacy() {
    static int number = 0;
    options_.implementation = "memory";
    options_.global_server_address = "legacy_test_" + std::to_string(++number);
    auto opened = net::block_on(loop_.loop(), InProcessVtctld::open(options_));
    CHECK(opened.ok());
    vtctld_ = std::move(*opened);
  }
  ~Legacy() override { net::block_on(loop_.loop(), vtctld_->close()); }

  static net::Task<Status> keep(Outcome& outcome, LegacyLevel level, std::string text) {
    (level == LegacyLevel::kConsole ? outcome.console : outcome.log) += text;
    co_return Status{};
  }
  static net::Task<Status> run_on(InProcessVtctld& vtctld, Words words, Outcome& outcome) {
    const LegacyEnvironment environment{
        .tablets = vtctld.tablets(),
        .vtctld = vtctld.caller(),
        .action_timeout = std::chrono::seconds(10),
        .report = [&outcome](LegacyLevel level, std::string text) { return keep(outcome, level, std::move(text)); }};
    co_return co_await run_legacy_command(environment, std::move(words));
  }
  Outcome run(Words words) {
    Outcome outcome;
    outcome.status = net::block_on(loop_.loop(), run_on(*vtctld_, std::move(words), outcome));
    return outcome;
  }
  // The console output of a command that has to succeed.
  std::string ok(Words words) {
    const std::string line = base::join(words, " ");
    Outcome outcome = run(std::move(words));
    EXPECT_TRUE(outcome.status.ok()) << line << ": " << outcome.error();
    EXPECT_EQ(outcome.log, "") << line;
    return outcome.console;
  }
  std::string error(Words words) { return run(std::move(words)).error(); }
  void put(std::string path, std::string data) {
    ASSERT_TRUE(net::block_on(loop_.loop(), vtctld_->topology().global().update(path, data, std::nullopt)).ok());
  }
  // A cell, a keyspace and its shard.
  void make_commerce() {
    ok({"AddCellInfo", "-server_address", options_.global_server_address, "-root", "/vitess/zone1", "zone1"});
    ok({"CreateKeyspace", "commerce"});
    ok({"CreateShard", "commerce/0"});
  }

  net::LoopThread loop_{"test"};
  topo::ServerOptions options_;
  std::unique_ptr<InProcessVtctld> vtctld_;
};

TEST_F(Legacy, TopoCatPrintsRecordsAsOneLineOfText_S1_11_S1_16) {
  ok({"AddCellInfo", "--root=/vitess/zone1", "--server-address", "localhost:2379", "zone1"});
  EXPECT_EQ(ok({"TopoCat", "--", "--decode_proto", "/cells/zone1/CellInfo"}),
            "server_address:\"localhost:2379\" root:\"/vitess/zone1\"\n");
  ok({"CreateKeyspace", "commerce"});
  ::topodata::Shard shard;
  shard.mutable_primary_alias()->set_cell("zone1");
  shard.mutable_primary_alias()->set_uid(100);
  shard.mutable_primary_term_start_time()->set_seconds(1600000000);
  shard.mutable_primary_term_start_time()->set_nanoseconds(7);
  shard.mutable_key_range()->set_end("\x80");
  shard.set_is_primary_serving(true);
  put("keyspaces/commerce/shards/-80/Shard", shard.SerializeAsString());
  const std::string expected =
      "primary_alias:{cell:\"zone1\" uid:100} primary_term_start_time:{seconds:1600000000 nanoseconds:7} "
      "key_range:{end:\"\\x80\"} is_primary_serving:true\n";
  // S1-14: with and without the separator, one dash and two, '_' and '-', with and without the slash.
  for (const Words& words : {Words{"TopoCat", "--", "--decode_proto", "/keyspaces/commerce/shards/-80/Shard"},
                             Words{"TopoCat", "-decode_proto", "keyspaces/commerce/shards/-80/Shard"},
                             Words{"TopoCat", "keyspaces/commerce/shards/-80/Shard", "--decode-proto"},
                             Words{"topocat", "-decode_proto=true", "/keyspaces/commerce/shards/-80/Shard"},
                             Words{"--", "TopoCat", "--", "--decode_proto", "/keyspaces/commerce/shards/-80/Shard"}}) {
    EXPECT_EQ(ok(words), expected) << base::join(words, " ");
  }
  EXPECT_EQ(ok({"TopoCat", "/keyspaces/commerce/shards/-80/Shard"}), shard.SerializeAsString() + "\n") << "S1-83";
}

TEST_F(Legacy, TopoCatReadsTheCellThatIsNamed_S1_15_S1_17_S1_19) {
  make_commerce();
  ok({"RebuildKeyspaceGraph", "commerce"});
  EXPECT_EQ(ok({"TopoCat", "--", "--decode_proto", "--cell=zone1", "/keyspaces/commerce/SrvKeyspace"}),
            "partitions:{served_type:PRIMARY shard_references:{name:\"0\"}} partitions:{served_type:REPLICA "
            "shard_references:{name:\"0\"}} partitions:{served_type:RDONLY shard_references:{name:\"0\"}}\n");
  const Outcome global = run({"TopoCat", "--", "--decode_proto", "/keyspaces/commerce/SrvKeyspace"});
  EXPECT_EQ(global.error(), "TopoCat: some paths had errors");
  EXPECT_TRUE(global.log.starts_with("TopoCat: Get(/keyspaces/commerce/SrvKeyspace) failed: ")) << global.log;
}

TEST_F(Legacy, TopoCatExpandsWildcardsAndReportsWhatIsMissing_S1_81_S1_82) {
  ok({"CreateKeyspace", "commerce"});
  ok({"CreateKeyspace", "customer"});
  const std::string out = ok({"TopoCat", "--", "--decode_proto", "--long", "/keyspaces/*/Keyspace"});
  std::vector<std::string> lines;
  for (const auto line : base::split(out, '\n')) lines.emplace_back(line);
  ASSERT_EQ(lines.size(), 5u) << out;
  EXPECT_TRUE(lines[0].starts_with("path=/keyspaces/commerce/Keyspace version=")) << out;
  EXPECT_TRUE(lines[2].starts_with("path=/keyspaces/customer/Keyspace version=")) << out;
  EXPECT_EQ(ok({"TopoCat", "/keyspaces/x*/Keyspace"}), "");
  EXPECT_EQ(error({"TopoCat"}), "TopoCat: no path specified");
  const Outcome some = run({"TopoCat", "-decode_proto_json", "/nothing/here", "/keyspaces/customer/Keyspace"});
  EXPECT_EQ(some.error(), "TopoCat: some paths had errors");
  EXPECT_TRUE(some.log.starts_with("TopoCat: Get(/nothing/here) failed: ")) << some.log;
  EXPECT_TRUE(some.console.starts_with("{")) << some.console << ": the other path is printed all the same";
}

TEST_F(Legacy, OlderWordsMeanTodays) {
  make_commerce();
  ok({"RebuildKeyspaceGraph", "commerce"});
  ok({"SetShardTabletControl", "-blacklisted_tables=customer,corder", "commerce/0", "master"});
  EXPECT_NE(
      ok({"TopoCat", "-decode_proto", "keyspaces/commerce/shards/0/Shard"})
          .find("tablet_controls:{tablet_type:PRIMARY denylisted_tables:\"corder\" denylisted_tables:\"customer\"}"),
      std::string::npos)
      << ok({"TopoCat", "-decode_proto", "keyspaces/commerce/shards/0/Shard"});
  EXPECT_EQ(ok({"GetKeyspaces"}), "commerce\n");
  EXPECT_EQ(ok({"GetCellInfoNames"}), "zone1\n");
  EXPECT_NE(ok({"GetSrvKeyspace", "zone1", "commerce"}).find("\"served_type\": \"PRIMARY\""), std::string::npos);
  EXPECT_EQ(error({"GetSrvKeyspace", "zone1", "nothing"}), "cell zone1 does not serve keyspace nothing");
  ok({"DeleteShard", "-even_if_serving", "commerce/0"});
  ok({"DeleteKeyspace", "-recursive", "commerce"});
  EXPECT_EQ(ok({"GetKeyspaces"}), "");
}

TEST_F(Legacy, KeyspacesAreServedFromAnotherOne_S3_29) {
  make_commerce();
  ok({"CreateKeyspace", "-served_from=master:commerce,replica:commerce,rdonly:commerce", "customer"});
  const auto keyspace = [&] { return ok({"TopoCat", "-decode_proto", "keyspaces/customer/Keyspace"}); };
  const auto serving = [&] {
    return ok({"TopoCat", "-decode_proto", "-cell=zone1", "keyspaces/customer/SrvKeyspace"});
  };
  for (const char* type : {"PRIMARY", "REPLICA", "RDONLY"}) {
    EXPECT_NE(keyspace().find(std::string("served_froms:{tablet_type:") + type + " keyspace:\"commerce\"}"),
              std::string::npos)
        << keyspace();
  }
  // S3-31: before any shard exists.
  const std::string everything =
      "served_from:{tablet_type:PRIMARY keyspace:\"commerce\"} served_from:{tablet_type:REPLICA "
      "keyspace:\"commerce\"} served_from:{tablet_type:RDONLY keyspace:\"commerce\"}\n";
  EXPECT_EQ(serving(), everything);
  // S3-32: the record, and with the rebuild the cell.
  ok({"SetKeyspaceServedFrom", "-remove", "customer", "rdonly"});
  EXPECT_EQ(keyspace().find("RDONLY"), std::string::npos) << keyspace();
  EXPECT_EQ(serving(), everything);
  ok({"RebuildKeyspaceGraph", "customer"});
  EXPECT_EQ(serving().find("RDONLY"), std::string::npos) << serving();
  ok({"SetKeyspaceServedFrom", "-source=commerce", "-cells=zone1", "customer", "rdonly"});
  EXPECT_NE(keyspace().find("served_froms:{tablet_type:RDONLY cells:\"zone1\" keyspace:\"commerce\"}"),
            std::string::npos)
      << keyspace();
  EXPECT_NE(ok({"GetKeyspace", "customer"}).find("\"served_froms\""), std::string::npos);
  EXPECT_EQ(error({"SetKeyspaceServedFrom", "customer", "rdonly"}), "give either -source or -remove");
  EXPECT_EQ(error({"CreateKeyspace", "-served_from=commerce", "other"}),
            "-served_from: 'commerce' is not type:keyspace");
  EXPECT_NE(error({"CreateKeyspace", "-served_from=replica:nowhere", "other"}).find("nowhere"), std::string::npos);
  EXPECT_EQ(ok({"GetKeyspaces"}), "commerce\ncustomer\n");
  EXPECT_NE(error({"MigrateServedFrom", "customer/0", "rdonly"}).find("customer/0"), std::string::npos)
      << error({"MigrateServedFrom", "customer/0", "rdonly"});
  EXPECT_EQ(error({"MigrateServedFrom", "commerce/0", "rdonly"}),
            "destination keyspace commerce is not a vertical split target");
  EXPECT_NE(error({"MigrateServedFrom", "-filtered_replication_wait_time=soon", "customer/0", "master"}), "");
}

TEST_F(Legacy, RefusalsNameTheArgument) {
  EXPECT_EQ(error({"AddCellInfo"}), "the <cell> argument is required for the AddCellInfo command, received 0: ");
  EXPECT_EQ(error({"InitShardMaster", "commerce/0"}),
            "the <keyspace/shard> and <tablet alias> arguments are required for the InitShardPrimary command, received "
            "1: commerce/0");
  EXPECT_EQ(error({"TopoCatt", "/x"}), "unknown command: TopoCatt (did you mean TopoCat?)");
  EXPECT_EQ(error({"TopoCat", "-decode_prot", "/x"}), "unknown flag: --decode_prot (did you mean --decode_proto?)");
  EXPECT_EQ(error({"TopoCat", "-decode_proto=perhaps", "/x"}),
            "--decode_proto: invalid value \"perhaps\": expected true or false");
  EXPECT_EQ(error({}), "no command was given; help lists all");
  EXPECT_EQ(error({"MoveTables", "-source=a", "Destroy", "customer.move"}).substr(0, 33),
            "found unsupported action Destroy:");
  EXPECT_NE(error({"MoveTables", "Create", "customer"}).find("invalid format for <keyspace.workflow>: \"customer\""),
            std::string::npos);
  EXPECT_EQ(error({"MoveTables", "-dry_run", "Cancel", "customer.move"}),
            "-dry_run is only supported for SwitchTraffic, ReverseTraffic and Complete, not for Cancel");
  EXPECT_NE(error({"MigrateServedTypes", "-cells=zone1", "customer/0", "master"}).find("cannot specify cells"),
            std::string::npos);
}

TEST_F(Legacy, MigrationsAreRefusedInTheOlderWords) {
  make_commerce();
  EXPECT_EQ(error({"MigrateServedTypes", "-cells=zone1", "commerce/0", "master"}),
            "cannot specify cells for master migration on commerce/0");
  EXPECT_TRUE(error({"MigrateServedTypes", "-reverse", "commerce/0", "master"})
                  .starts_with("cannot migrate master back to commerce/0"));
  EXPECT_EQ(error({"MigrateServedTypes", "-skip-refresh-state", "commerce/0", "master"}),
            "cannot skip refresh state for master migration on commerce/0");
  EXPECT_EQ(error({"MigrateServedTypes", "commerce/0", "spare"}), "supplied type cannot be migrated: spare");
  EXPECT_EQ(error({"MigrateServedTypes", "commerce/0", "rdonly"}),
            "shard commerce/0 is not involved in any overlapping shards");
  ok({"CreateShard", "commerce/-80"});
  EXPECT_EQ(
      error({"MigrateServedTypes", "commerce/0", "rdonly"}),
      "neither Shard '0' nor Shard '-80' have a 'SourceShards' entry. Did you successfully run vtworker SplitClone "
      "before? Or did you already migrate the MASTER type?");
  EXPECT_EQ(error({"CancelResharding", "commerce/80-"}), "shard commerce/80- does not exist");
  EXPECT_EQ(error({"WaitForFilteredReplication", "commerce/0"}), "shard commerce/0 has no source shard");
  ok({"SourceShardAdd", "commerce/-80", "1", "commerce/0"});
  EXPECT_EQ(error({"WaitForFilteredReplication", "commerce/-80"}), "shard commerce/-80 has no master");
  EXPECT_EQ(ok({"WaitForDrain", "-initial_wait=0s", "commerce/0", "rdonly"}), "All tablets are drained.\n")
      << "there are none";
}

TEST_F(Legacy, HelpListsEveryCommandAndShowsOne) {
  const std::string all = ok({"help"});
  for (const auto& command : legacy::commands()) {
    EXPECT_NE(all.find("  " + std::string(base::split(command.names, ' ')[0])), std::string::npos) << command.names;
  }
  EXPECT_EQ(ok({"help", "ListShardTablets"}), "Usage: ListShardTablets <keyspace/shard>\n");
  EXPECT_EQ(ok({"ListShardTablets", "--help"}), "Usage: ListShardTablets <keyspace/shard>\n");
}

// Each command, with each of its flags, becomes a command line that today's client understands.
TEST_F(Legacy, EveryCommandAndFlagIsKnownToday) {
  for (const auto& command : legacy::commands()) {
    const std::string name(base::split(command.names, ' ')[0]);
    Words arguments;
    for (size_t i = 0; i < command.arguments_min; ++i) arguments.push_back("x.y");
    if (command.names == "MoveTables" || command.names == "Reshard") arguments[0] = "Create";
    if (name == "Workflow") arguments[1] = "show";
    std::vector<Words> lines = {{}};
    for (const auto& flag : command.flags) {
      lines.push_back({"--" + std::string(base::split(flag.names, ' ')[0]) + (flag.is_switch ? "" : "=1")});
    }
    for (const Words& flags : lines) {
      Words words = {name};
      words.insert(words.end(), flags.begin(), flags.end());
      words.insert(words.end(), arguments.begin(), arguments.end());
      const std::string text = error(words);
      for (const char* bad : {"unknown flag", "unknown command", "needs at least", "takes at most", "not a command"}) {
        EXPECT_EQ(text.find(bad), std::string::npos) << base::join(words, " ") << ": " << text;
      }
    }
  }
}

// What a command asks of vtctld: the method, and the request as JSON without empty fields.
class LegacyRequests : public Legacy {
 protected:
  static net::Task<Result<std::string>> record(std::vector<std::pair<std::string, std::string>>& calls,
                                               std::string method, std::string request) {
    calls.emplace_back(method.substr(method.rfind('/') + 1), std::move(request));
    co_return fail(Code::kUnavailable, "only recorded");
  }
  static net::Task<Status> run_recorded(InProcessVtctld& vtctld, Words words,
                                        std::vector<std::pair<std::string, std::string>>& calls) {
    Outcome ignored;
    const LegacyEnvironment environment{
        .tablets = vtctld.tablets(),
        .vtctld = [&calls](std::string method, std::string request,
                           net::Wait) { return record(calls, std::move(method), std::move(request)); },
        .action_timeout = std::chrono::seconds(10),
        .report = [&ignored](LegacyLevel level, std::string text) { return keep(ignored, level, std::move(text)); }};
    co_return co_await run_legacy_command(environment, std::move(words));
  }
  template <typename Request>
  std::string request(Words words, const std::string& method) {
    std::vector<std::pair<std::string, std::string>> calls;
    const std::string line = base::join(words, " ");
    const Status done = net::block_on(loop_.loop(), run_recorded(*vtctld_, std::move(words), calls));
    if (calls.size() != 1 || calls[0].first != method) {
      return (calls.empty() ? "nothing was asked" : calls[0].first) + ": " + line + ": " +
             (done.ok() ? "" : done.error().message());
    }
    Request request;
    EXPECT_TRUE(request.ParseFromString(calls[0].second));
    return vschema::to_json(request, {.unpopulated = false, .indent = -1});
  }
};

TEST_F(LegacyRequests, MoveTablesAndReshardInTheFormsOfTheDocumentation) {
  namespace vd = ::vtctldata;
  const auto create = request<vd::MoveTablesCreateRequest>({"MoveTables", "--", "--source", "commerce", "--tables",
                                                            "customer,corder", "Create", "customer.commerce2customer"},
                                                           "MoveTablesCreate");
  for (const char* part : {R"("workflow":"commerce2customer")", R"("source_keyspace":"commerce")",
                           R"("target_keyspace":"customer")", R"("include_tables":["customer","corder"])"}) {
    EXPECT_NE(create.find(part), std::string::npos) << part << " in " << create;
  }
  const auto json =
      request<vd::MoveTablesCreateRequest>({"MoveTables", "-source=commerce", "-tables={\"customer\":{},\"corder\":{}}",
                                            "create", "customer.commerce2customer"},
                                           "MoveTablesCreate");
  EXPECT_NE(json.find(R"("include_tables":["corder","customer"])"), std::string::npos) << json;
}

TEST_F(LegacyRequests, TrafficAndState) {
  namespace vd = ::vtctldata;
  const std::string name = "customer.commerce2customer";
  for (const std::string kind : {"MoveTables", "Reshard"}) {
    auto json = request<vd::WorkflowSwitchTrafficRequest>(
        {kind, "--", "--tablet_types=rdonly,replica", "--cells=zone1", "--timeout=5s", "SwitchTraffic", name},
        "WorkflowSwitchTraffic");
    for (const char* part : {R"("keyspace":"customer")", R"("workflow":"commerce2customer")", R"("cells":["zone1"])",
                             R"("tablet_types":["RDONLY","REPLICA"])", R"("timeout":{"seconds":"5"})"}) {
      EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
    }
    EXPECT_EQ(json.find("\"direction\""), std::string::npos) << json;
    json = request<vd::WorkflowSwitchTrafficRequest>(
        {kind, "--", "--dry_run", "--reverse_replication=false", "reversetraffic", name}, "WorkflowSwitchTraffic");
    EXPECT_NE(json.find("\"direction\":1"), std::string::npos) << json;
    EXPECT_NE(json.find("\"dry_run\":true"), std::string::npos) << json;
    EXPECT_EQ(json.find("enable_reverse_replication"), std::string::npos) << json;
    json = request<vd::MoveTablesCompleteRequest>({kind, "--", "--keep_data", "Complete", name}, "MoveTablesComplete");
    EXPECT_NE(json.find("\"keep_data\":true"), std::string::npos) << json;
    json = request<vd::WorkflowDeleteRequest>({kind, "--", "--keep_data", "Cancel", name}, "WorkflowDelete");
    EXPECT_NE(json.find("\"keep_data\":true"), std::string::npos) << json;
    if (kind == "MoveTables") {  // A Reshard has no routing rules.
      json = request<vd::WorkflowDeleteRequest>({kind, "--", "--keep_routing_rules", "Cancel", name}, "WorkflowDelete");
      EXPECT_NE(json.find("\"keep_routing_rules\":true"), std::string::npos) << json;
    }
    for (const std::string action : {"Status", "Progress", "GetState"}) {
      EXPECT_EQ(request<vd::WorkflowStatusRequest>({kind, action, name}, "WorkflowStatus"),
                R"({"keyspace":"customer","workflow":"commerce2customer"})");
    }
    json = request<vd::GetWorkflowsRequest>({kind, "Show", name}, "GetWorkflows");
    EXPECT_NE(json.find(R"("workflow":"commerce2customer")"), std::string::npos) << json;
  }
  const auto json = request<vd::ReshardCreateRequest>(
      {"Reshard", "--", "--source_shards", "0", "--target_shards", "-80,80-", "Create", "customer.cust2cust"},
      "ReshardCreate");
  EXPECT_NE(json.find(R"("source_shards":["0"],"target_shards":["-80","80-"])"), std::string::npos) << json;
}

TEST_F(LegacyRequests, VDiffAndWorkflow) {
  namespace vd = ::vtctldata;
  const std::string name = "customer.commerce2customer", uuid = "00000000-0000-4000-8000-000000000000";
  const auto json = request<vd::VDiffCreateRequest>(
      {"VDiff", "--", "--v2", "--tables=customer", "--max_extra_rows_to_compare=7", name, "create"}, "VDiffCreate");
  for (const char* part : {R"("workflow":"commerce2customer")", R"("target_keyspace":"customer")",
                           R"("tables":["customer"])", R"("max_extra_rows_to_compare":"7")"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  }
  const auto show = [&](Words words) { return request<vd::VDiffShowRequest>(std::move(words), "VDiffShow"); };
  EXPECT_NE(show({"VDiff", "--", "--v2", name, "show"}).find(R"("arg":"last")"), std::string::npos);
  EXPECT_NE(show({"VDiff", "--", "--v2", name, "show", uuid}).find(uuid), std::string::npos);
  EXPECT_NE(show({"VDiff", "--", "show", name, "all"}).find(R"("arg":"all")"), std::string::npos);
  EXPECT_NE(request<vd::VDiffStopRequest>({"VDiff", "--", "--v2", name, "stop", uuid}, "VDiffStop").find(uuid),
            std::string::npos);
  EXPECT_NE(request<vd::VDiffResumeRequest>({"VDiff", "--", "--v2", name, "resume", uuid}, "VDiffResume").find(uuid),
            std::string::npos);
  EXPECT_NE(request<vd::VDiffDeleteRequest>({"VDiff", "--", "--v2", name, "delete", "all"}, "VDiffDelete").find("all"),
            std::string::npos);

  for (const std::string action : {"start", "stop"}) {
    EXPECT_NE(request<vd::WorkflowUpdateRequest>({"Workflow", name, action}, "WorkflowUpdate")
                  .find(R"("workflow":"commerce2customer")"),
              std::string::npos);
  }
  EXPECT_NE(request<vd::GetWorkflowsRequest>({"Workflow", "customer", "listall"}, "GetWorkflows")
                .find(R"("keyspace":"customer")"),
            std::string::npos);
  EXPECT_NE(request<vd::GetWorkflowsRequest>({"Workflow", name, "show"}, "GetWorkflows").find("commerce2customer"),
            std::string::npos);
  EXPECT_NE(
      request<vd::WorkflowDeleteRequest>({"Workflow", name, "delete"}, "WorkflowDelete").find("commerce2customer"),
      std::string::npos);
  EXPECT_EQ(error({"Workflow", "customer", "stop"}), "Workflow stop needs <keyspace.workflow>, received customer");
  EXPECT_EQ(error({"Workflow", name, "tags"}),
            "found unsupported action tags: Workflow knows show, listall, start, stop and delete");
}

TEST_F(LegacyRequests, WhatIsGivenAsJsonAndOtherClusters) {
  namespace vd = ::vtctldata;
  EXPECT_EQ(request<vd::LookupVindexCreateRequest>(
                {"CreateLookupVindex", "--", "--cells=zone1", "--tablet_types=in_order:RDONLY,REPLICA", "customer",
                 R"({"vindexes": {"by_sku": {"type": "lookup", "owner": "corder"}}, "tables": {"corder": {}}})"},
                "LookupVindexCreate"),
            R"({"keyspace":"customer","workflow":"by_sku","cells":["zone1"],"vindex":{"vindexes":{"by_sku":)"
            R"({"type":"lookup","owner":"corder"}},"tables":{"corder":{}}},"continue_after_copy_with_owner":true,)"
            R"("tablet_types":["RDONLY","REPLICA"],"tablet_selection_preference":"INORDER"})");
  EXPECT_EQ(
      request<vd::LookupVindexExternalizeRequest>({"ExternalizeVindex", "customer.by_sku"}, "LookupVindexExternalize"),
      R"({"keyspace":"customer","name":"by_sku"})");
  EXPECT_EQ(
      request<vd::MaterializeCreateRequest>(
          {"Materialize", "-tablet_types=REPLICA",
           R"({"workflow": "sales", "source_keyspace": "commerce", "target_keyspace": "customer", "table_settings": )"
           R"([{"target_table": "sales", "source_expression": "select * from corder", "create_ddl": "copy"}]})"},
          "MaterializeCreate"),
      R"({"settings":{"workflow":"sales","source_keyspace":"commerce","target_keyspace":"customer","table_settings":)"
      R"([{"target_table":"sales","source_expression":"select * from corder","create_ddl":"copy"}],)"
      R"("tablet_types":"REPLICA"}})");
  EXPECT_EQ(request<vd::MountRegisterRequest>({"Mount", "--", "--type=vitess", "--topo_type=zookeeper",
                                               "--topo_server=host:2181", "--topo_root=/vitess/global", "ext1"},
                                              "MountRegister"),
            R"({"topo_type":"zk2","topo_server":"host:2181","topo_root":"/vitess/global","name":"ext1"})");
  EXPECT_EQ(request<vd::MountShowRequest>({"Mount", "-show", "ext1"}, "MountShow"), R"({"name":"ext1"})");
  EXPECT_EQ(request<vd::MountUnregisterRequest>({"Mount", "-unmount", "ext1"}, "MountUnregister"),
            R"({"name":"ext1"})");
  EXPECT_EQ(request<vd::MountListRequest>({"Mount", "-list"}, "MountList"), "{}");
  const auto create = request<vd::MigrateCreateRequest>(
      {"Migrate", "--", "--source=ext1.commerce", "--tables=corder,customer", "Create", "here.move1"}, "MigrateCreate");
  for (const char* part : {R"("workflow":"move1")", R"("target_keyspace":"here")", R"("mount_name":"ext1")",
                           R"("source_keyspace":"commerce")", R"("include_tables":["corder","customer"])"}) {
    EXPECT_NE(create.find(part), std::string::npos) << part << " in " << create;
  }
  EXPECT_EQ(request<vd::MigrateCompleteRequest>({"Migrate", "complete", "here.move1"}, "MigrateComplete"),
            R"({"workflow":"move1","target_keyspace":"here"})");
  EXPECT_NE(request<vd::WorkflowDeleteRequest>({"Migrate", "-keep_data", "Cancel", "here.move1"}, "WorkflowDelete")
                .find(R"("keep_data":true)"),
            std::string::npos);
  EXPECT_EQ(error({"Migrate", "SwitchTraffic", "here.move1"}), "invalid action for Migrate workflow: SwitchTraffic");
  EXPECT_EQ(error({"Migrate", "-source=commerce", "-all", "Create", "here.move1"}),
            "invalid format for -source, <cluster>.<keyspace>: \"commerce\"");
  EXPECT_EQ(error({"Mount", "-type=mysql", "ext1"}), "other clusters are of the type vitess");
}

TEST_F(Legacy, FilesAreReadAndWrittenByTheClient) {
  make_commerce();
  const std::string file = TempDir() + "/legacy_test_file_" + std::to_string(::getpid());
  ASSERT_TRUE(base::write_file_atomically(file, R"({"tables": {"customer": {}}})").ok());
  for (const Words& words : {Words{"ApplyVSchema", "-vschema_file", file, "commerce"},
                             Words{"ApplyVSchema", "--", "--vschema-file=" + file, "commerce"}}) {
    auto line = read_legacy_files(words);
    ASSERT_TRUE(line.ok());
    EXPECT_EQ(line->words, (Words{"ApplyVSchema", R"(--vschema={"tables": {"customer": {}}})", "commerce"}));
    EXPECT_TRUE(ok(line->words).ends_with("(as JSON parsing will skip unexpected fields).\n"));  // S2-03
  }
  EXPECT_NE(ok({"GetVSchema", "commerce"}).find("\"customer\""), std::string::npos);
  EXPECT_NE(error({"ApplyVSchema", "-vschema_file", file, "commerce"}), "") << "never read on the server";
  EXPECT_FALSE(read_legacy_files({"ApplySchema", "-sql-file", file + ".none", "commerce"}).ok());

  // TopoCp, both ways, with bytes that are no text.
  const std::string bytes("\x00\xff\x80 a\n", 6);
  ASSERT_TRUE(base::write_file_atomically(file, bytes).ok());
  const auto copy = [&](Words words) {
    return net::block_on(loop_.loop(), run_legacy_here(vtctld_->tablets(), vtctld_->caller(), vtctld_->streams(),
                                                       std::move(words), std::chrono::seconds(10)));
  };
  Status there = copy({"TopoCp", "--", "-to_topo", file, "/some/record"});
  EXPECT_TRUE(there.ok()) << there.error().message();
  EXPECT_EQ(ok({"TopoCat", "/some/record"}), bytes);
  Status back = copy({"TopoCp", "/some/record", file + ".copy"});
  EXPECT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(base::read_file(file + ".copy").value_or(""), bytes);
  std::filesystem::remove(file);
  std::filesystem::remove(file + ".copy");
}

// Over gRPC, as vtctlclient does it: events of a stream, and the end's error.
TEST_F(Legacy, ExecuteVtctlCommandStreamsEvents) {
  base::Metrics metrics("legacy_test");
  Vtctld server({}, vtctld_->topology(), metrics);
  ASSERT_TRUE(net::block_on(loop_.loop(), server.start()).ok());
  auto channel = rpc::Channel::create("127.0.0.1:" + std::to_string(server.grpc_port()));
  ASSERT_TRUE(channel.ok());
  struct Received {
    std::vector<::logutil::Event> events;
    Status status;
  };
  const auto execute = [&](Words words) {
    auto receive = [](rpc::Channel& to, Words args) -> net::Task<Received> {
      ::vtctldata::ExecuteVtctlCommandRequest request;
      for (const auto& word : args) request.add_args(word);
      request.set_action_timeout(10'000'000'000);
      auto stream = rpc::open_stream<::vtctldata::ExecuteVtctlCommandResponse>(
          to, "/vtctlservice.Vtctl/ExecuteVtctlCommand", request);
      Received received;
      for (;;) {
        auto next = co_await stream.next(net::Wait::within(std::chrono::seconds(10)));
        if (!next.ok()) received.status = next.error();
        if (!next.ok() || !next->has_value()) co_return received;
        received.events.push_back((*next)->event());
      }
    };
    return net::block_on(loop_.loop(), receive(**channel, std::move(words)));
  };
  put("raw", std::string("\x80Z\xc3\xa4", 4));
  // Longer than one message may be, and cut between characters.
  std::string text;
  while (text.size() < 300'000) text += "\xc3\xa4\xe2\x82\xac";
  put("long", text);
  Received received = execute({"TopoCat", "/raw"});
  ASSERT_TRUE(received.status.ok()) << received.status.error().message();
  ASSERT_EQ(received.events.size(), 1u);
  EXPECT_EQ(received.events[0].level(), ::logutil::CONSOLE);
  EXPECT_EQ(received.events[0].value(), "\xef\xbf\xbdZ\xc3\xa4\n");
  EXPECT_GT(received.events[0].time().seconds(), 1'600'000'000);
  received = execute({"TopoCat", "/long"});
  std::string joined;
  for (const auto& event : received.events) joined += event.value();
  EXPECT_GT(received.events.size(), 1u);
  EXPECT_EQ(joined, text + "\n");
  received = execute({"TopoCat", "/nothing"});
  ASSERT_EQ(received.events.size(), 1u);
  EXPECT_EQ(received.events[0].level(), ::logutil::ERROR);
  ASSERT_FALSE(received.status.ok());
  EXPECT_EQ(received.status.error().message(), "TopoCat: some paths had errors");
  EXPECT_EQ(execute({"Nonsense"}).status.error().code(), Code::kInvalidArgument);
  net::block_on(loop_.loop(), server.stop());
}

}  // namespace
}  // namespace vitrail::control
