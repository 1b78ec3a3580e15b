#include "control/workflow/switch.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "control/workflow/conflicts.h"
#include "control/workflow/create.h"
#include "control/workflow/dry_run.h"
#include "control/workflow/migrate.h"
#include "control/workflow/partial.h"
#include "control/workflow/records.h"
#include "control/workflow/target_sequences.h"
#include "control/workflow/tenant.h"
#include "control/workflow/write_switch.h"
#include "topo/cells.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/mirror_rules.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

constexpr auto kLagReports = 3s;
constexpr auto kLagReadMax = 30s;

bool wants(const SwitchOptions& options, ::topodata::TabletType type) {
  return std::find(options.types.begin(), options.types.end(), type) != options.types.end();
}

Error refusal(const std::string& workflow, const std::string& reason) {
  return fail(Code::kFailedPrecondition,
              fmt::format("cannot switch traffic for workflow {} at this time: {}", workflow, reason));
}

int64_t lag_of(TabletClient& tablets, const WorkflowModel& model) {
  return transaction_lag_seconds(model, tablets.topology().clock().wall_now());
}

net::Task<Status> check_can_switch(TabletClient& tablets, WorkflowModel& model, const Side& source, const Side& target,
                                   const SwitchOptions& options) {
  for (const auto& [name, shard] : model.targets) {
    for (const auto& stream : shard.workflow.streams()) {
      if (stream.message() == "FROZEN") co_return refusal(model.name, "workflow is frozen");
      if (stream.state() == ::binlogdata::Error) co_return refusal(model.name, "workflow has errors");
      if (stream.state() == ::binlogdata::Copying || stream.state() == ::binlogdata::Init) {
        co_return refusal(model.name, "copy is still in progress");
      }
      if (stream.state() == ::binlogdata::Stopped) co_return refusal(model.name, "workflow is stopped; start it first");
    }
  }
  const int64_t allowed = std::chrono::duration_cast<std::chrono::seconds>(options.max_lag).count();
  // A stream that has just started has not said yet how far it is: that comes once a second.
  const auto reported = base::system_clock().now() + kLagReports;
  while (lag_of(tablets, model) > allowed && base::system_clock().now() < reported) {
    (void)co_await net::sleep_for(200ms);
    CO_ASSIGN_OR_RETURN(
        model, co_await read_workflow(tablets, model.target_keyspace, model.name, net::Wait::within(kLagReadMax)));
  }
  if (const int64_t lag = lag_of(tablets, model); lag > allowed) {
    co_return refusal(model.name, fmt::format("replication lag {}s is higher than allowed lag {}s", lag, allowed));
  }
  Status refreshed = co_await refresh_everything(tablets, source, target, net::Wait::within(30s));
  if (!refreshed.ok() && options.force) {
    log_warning("workflow {} is switched by force: {}", model.name, refreshed.error().message());
    co_return Status{};
  }
  if (!refreshed.ok()) co_return refusal(model.name, refreshed.error().message());
  co_return Status{};
}

// "REPLICA@zone1": the reads that are not yet where they are to be. Rules hold for all cells.
std::vector<std::string> moving_reads(const vschema::TrafficState& state, const SwitchPlan& plan, bool is_reshard) {
  std::vector<std::string> out;
  for (const auto type : plan.read_types) {
    const bool replica = type == ::topodata::REPLICA;
    const auto& switched = replica ? state.replica_cells_switched : state.rdonly_cells_switched;
    const auto& others = replica ? state.replica_cells_not_switched : state.rdonly_cells_not_switched;
    const auto& cells = plan.reverse ? switched : others;
    const std::string name = ::topodata::TabletType_Name(type) + "@";
    if (!is_reshard && !cells.empty()) out.push_back(name);
    if (!is_reshard) continue;
    for (const auto& cell : cells) out.push_back(name + cell);
  }
  return out;
}

// One SwitchTraffic, from its checks to its operation.
class Command {
 public:
  Command(TabletClient& tablets, SwitchOptions& options, FoundWorkflow& found, SwitchOutcome& outcome)
      : tablets_(tablets), options_(options), found_(found), outcome_(outcome) {}

  net::Task<Status> run() {
    const engine::Record& record = found_.record();
    if (record.kind() == kMigrate) {
      co_return fail(Code::kInvalidArgument, fmt::format("invalid action for Migrate workflow: {}",
                                                         options_.reverse ? "ReverseTraffic" : "SwitchTraffic"));
    }
    if (record.kind() == kMaterialize) {
      co_return fail(
          Code::kFailedPrecondition,
          fmt::format("{} has no traffic to switch: its tables follow those of the source", engine::name_of(record)));
    }
    const bool reverse = options_.reverse != found_.by_reverse_name;
    const WorkflowModel shown = model_of(record, found_.by_reverse_name);
    CO_ASSIGN_OR_RETURN(const auto shown_state, co_await read_traffic_state(tablets_, shown));
    outcome_.start_state = outcome_.current_state = shown_state.to_string();
    CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(tablets_, model_of(record)));

    CO_RETURN_IF_ERROR(check_all_shards(record, options_.shards));
    // Before anything is begun: what names no cell could be neither done nor undone.
    auto cells = co_await topo::expand_cells(tablets_.topology(), options_.cells);
    if (!cells.ok()) co_return std::move(cells).error();
    if (is_partial(record) && (!options_.cells.empty() || !wants(options_, ::topodata::PRIMARY))) {
      co_return fail(
          Code::kInvalidArgument,
          "reads and writes of a shard are switched together, in all cells, when some shards are moved: leave "
          "out --cells, and --tablet-types without PRIMARY");
    }
    SwitchPlan plan;
    plan.reverse = reverse;
    plan.writes = wants(options_, ::topodata::PRIMARY) && record.writes_switched() == reverse;
    if (is_tenant(record)) {
      if (reverse && plan.writes) {
        co_return fail(Code::kFailedPrecondition, "cannot reverse write traffic for multi-tenant migrations");
      }
      options_.enable_reverse_replication = false;
    }
    plan.cells = options_.cells;
    plan.timeout = options_.timeout;
    plan.enable_reverse_replication = options_.enable_reverse_replication;
    if (options_.initialize_sequences && (reverse || record.kind() != "MoveTables")) {
      co_return fail(Code::kInvalidArgument, "--initialize-target-sequences is for MoveTables switchtraffic");
    }
    plan.initialize_sequences = options_.initialize_sequences && plan.writes;
    plan.skip_refresh = options_.skip_refresh && !plan.writes;
    for (const auto type : {::topodata::REPLICA, ::topodata::RDONLY}) {
      // Switching the primary takes the replicas along (S0-19): a shard that has lost its writes would serve old rows.
      if (plan.writes || wants(options_, type)) plan.read_types.push_back(type);
    }
    plan.moving_reads = moving_reads(state, plan, shown.is_reshard);
    if (plan.moving_reads.empty()) plan.read_types.clear();
    if (plan.read_types.empty() && !plan.writes) {
      if (options_.dry_run) outcome_.dry_run = {"No changes required"};
      co_return Status{};
    }
    CO_RETURN_IF_ERROR(co_await check(plan));
    if (options_.dry_run) {
      co_return co_await describe(plan);
    }
    CO_RETURN_IF_ERROR(co_await carry_out(std::move(plan)));
    CO_ASSIGN_OR_RETURN(const auto after, co_await read_traffic_state(tablets_, shown));
    outcome_.current_state = after.to_string();
    co_return Status{};
  }

 private:
  net::Task<Status> check(const SwitchPlan& plan) {
    const engine::Record& record = found_.record();
    CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(tablets_.topology()));
    if (Status free = check_conflicts(record, records); !free.ok()) {
      co_return refusal(record.workflow(), free.error().message());
    }
    CO_ASSIGN_OR_RETURN(source_, co_await load_side(tablets_, record.source_keyspace(),
                                                    {record.source_shards().begin(), record.source_shards().end()}));
    CO_ASSIGN_OR_RETURN(target_, co_await load_side(tablets_, record.target_keyspace(),
                                                    {record.target_shards().begin(), record.target_shards().end()}));
    const bool back = plan.reverse && record.writes_switched();
    const std::string keyspace = back ? record.source_keyspace() : record.target_keyspace();
    const std::string name = back ? reverse_workflow_name(record.workflow()) : record.workflow();
    CO_ASSIGN_OR_RETURN(streams_, co_await read_workflow(tablets_, keyspace, name, net::Wait::within(30s)));
    const Side nobody;
    CO_RETURN_IF_ERROR(co_await check_can_switch(tablets_, streams_,
                                                 plan.skip_refresh && !plan.reverse ? nobody : source_,
                                                 plan.skip_refresh && plan.reverse ? nobody : target_, options_));
    if (!plan.initialize_sequences) co_return Status{};
    // Also for what is missing to be told before writes stop.
    auto sequences = co_await read_target_sequences(tablets_, source_, record.target_keyspace(),
                                                    {record.tables().begin(), record.tables().end()});
    if (!sequences.ok()) co_return std::move(sequences).error();
    sequences_ = std::move(*sequences);
    co_return Status{};
  }

  // The positions that the sources have now.
  net::Task<Status> describe(const SwitchPlan& plan) {
    const engine::Record& record = found_.record();
    DryRun facts{.streams = streams_,
                 .tables = {record.tables().begin(), record.tables().end()},
                 .move_reads = !plan.read_types.empty(),
                 .read_types = plan.read_types,
                 .writes = plan.writes,
                 .back = plan.reverse && !record.writes_switched(),
                 .reverse_replication = plan.enable_reverse_replication,
                 .timeout = plan.timeout,
                 .tenant = is_tenant(record)};
    if (!plan.reverse && record.kind() == "MoveTables") {
      CO_ASSIGN_OR_RETURN(const auto mirrors, co_await topo::get_mirror_rules(tablets_.topology()));
      facts.mirrored =
          vschema::mirrored_types(mirrors.rules, {record.source_keyspace(), record.target_keyspace(), facts.tables});
    }
    for (const auto& one : sequences_) facts.sequences.push_back(describe_sequence(one));
    std::vector<std::string> names;
    for (const auto& [name, source] : streams_.sources) names.push_back(name);
    CO_RETURN_IF_ERROR(co_await for_all<std::string>(std::move(names), [&](std::string name) {
      return [](TabletClient& client, ::topodata::Tablet primary, std::string& out) -> net::Task<Status> {
        CO_ASSIGN_OR_RETURN(const auto position, co_await client.call<tmd::PrimaryPositionResponse>(
                                                     std::move(primary), "PrimaryPosition",
                                                     tmd::PrimaryPositionRequest(), net::Wait::within(30s)));
        out = position.position();
        co_return Status{};
      }(tablets_, streams_.sources.at(name).primary, facts.positions[name]);
    }));
    outcome_.dry_run = describe_switch(facts);
    co_return Status{};
  }

  net::Task<Status> carry_out(SwitchPlan plan) {
    CO_ASSIGN_OR_RETURN(auto tenure, co_await begin_operation(tablets_, found_.stored, "switch", plan.to_settings()));
    SwitchOperation operation(tablets_, *tenure, std::move(plan), std::move(source_), std::move(target_));
    co_return co_await engine::carry_out(*tenure, operation);
  }

  TabletClient& tablets_;
  SwitchOptions& options_;
  FoundWorkflow& found_;
  SwitchOutcome& outcome_;
  Side source_;
  Side target_;
  WorkflowModel streams_;
  std::vector<SequenceState> sequences_;
};

}  // namespace

net::Task<Result<SwitchOutcome>> switch_traffic(TabletClient& tablets, SwitchOptions options) {
  topo::Server& topology = tablets.topology();
  CO_ASSIGN_OR_RETURN(auto found, co_await find_workflow(tablets, options.keyspace, options.workflow));
  CO_ASSIGN_OR_RETURN(auto locks, co_await KeyspaceLocks::acquire(
                                      topology, found.record().source_keyspace(), found.record().target_keyspace(),
                                      options.reverse ? "ReverseTraffic" : "SwitchTraffic"));
  SwitchOutcome outcome;
  auto body = [](TabletClient& client, SwitchOptions& wanted, SwitchOutcome& out) -> net::Task<Status> {
    // What was found may have changed while the locks were waited for.
    CO_ASSIGN_OR_RETURN(auto now, co_await find_workflow(client, wanted.keyspace, wanted.workflow));
    Command command(client, wanted, now, out);
    co_return co_await command.run();
  };
  Status done = co_await body(tablets, options, outcome);
  if (Status released = co_await locks.release(); !released.ok()) {
    log_warning("the locks of {}.{} were lost meanwhile: {}", options.keyspace, options.workflow,
                released.error().message());
  }
  if (!done.ok()) co_return std::move(done).error();
  co_return outcome;
}

net::Task<Result<std::vector<std::string>>> list_workflows(TabletClient& tablets, std::string keyspace,
                                                           net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_all_shards(tablets.topology(), keyspace));
  std::vector<::topodata::TabletAlias> primaries;
  for (const auto& [name, info] : shards) {
    if (info.record.has_primary_alias()) primaries.push_back(info.record.primary_alias());
  }
  std::set<std::string> found;
  std::optional<Error> failed;
  bool answered = false;
  auto one = [&](::topodata::TabletAlias alias) {
    return [](TabletClient& client, ::topodata::TabletAlias primary, net::Wait until, std::set<std::string>& into,
              bool& any, std::optional<Error>& why) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), primary));
      auto read = co_await client.call<tmd::ReadVReplicationWorkflowsResponse>(
          tablet.record, "ReadVReplicationWorkflows", tmd::ReadVReplicationWorkflowsRequest(), until);
      if (read.ok()) {
        any = true;
        for (const auto& workflow : read->workflows()) into.insert(workflow.workflow());
      } else {
        why = std::move(read).error();
      }
      co_return Status{};
    }(tablets, std::move(alias), wait, found, answered, failed);
  };
  CO_RETURN_IF_ERROR(co_await for_all<::topodata::TabletAlias>(std::move(primaries), one));
  // One dead primary hides its own workflows only; those with a record are known all the same.
  CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(tablets.topology()));
  for (const auto& one : records) {
    if (one.record.target_keyspace() == keyspace) found.insert(one.record.workflow());
  }
  if (failed && !answered && found.empty()) co_return std::move(*failed);
  co_return std::vector<std::string>(found.begin(), found.end());
}

}  // namespace vitrail::control
