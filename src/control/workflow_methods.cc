// Vtctld's methods on workflows and VDiffs.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "base/random.h"
#include "base/text.h"
#include "control/registrar.h"
#include "control/workflow/cancel.h"
#include "control/workflow/cleanup.h"
#include "control/workflow/complete.h"
#include "control/workflow/create.h"
#include "control/workflow/materialize.h"
#include "control/workflow/migrate.h"
#include "control/workflow/mirror.h"
#include "control/workflow/partial.h"
#include "control/workflow/records.h"
#include "control/workflow/stream_settings.h"
#include "control/workflow/switch.h"
#include "movement/stream_options.h"
#include "topo/srv_vschema.h"
#include "topo/workflow_fence.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;
template <typename T>
using Answer = net::Task<Result<T>>;

net::Wait usual() { return net::Wait::within(60s); }

base::Duration to_duration(const ::vttime::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

Status refuse_unbuilt(bool given, std::string_view option) {
  if (!given) return {};
  return fail(Code::kUnimplemented, fmt::format("{} is not built: leave it out", option));
}

template <typename List>
std::vector<std::string> strings_of(const List& list) {
  return {list.begin(), list.end()};
}

// Streams by target shard, and where the routing leads.
Answer<vd::WorkflowStatusResponse> workflow_status(TabletClient& tablets, vd::WorkflowStatusRequest request) {
  CO_ASSIGN_OR_RETURN(const auto model,
                      co_await read_workflow(tablets, request.keyspace(), request.workflow(), usual()));
  CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(tablets, model));
  vd::WorkflowStatusResponse out;
  out.set_traffic_state(state.to_string());
  for (const auto& [name, target] : model.targets) {
    auto& streams = (*out.mutable_shard_streams())[request.keyspace() + "/" + name];
    for (const auto& stream : target.workflow.streams()) {
      auto* entry = streams.add_streams();
      entry->set_id(stream.id());
      *entry->mutable_tablet() = target.shard.primary.alias();
      entry->set_source_shard(stream.bls().keyspace() + "/" + stream.bls().shard());
      entry->set_position(stream.pos());
      entry->set_status(stream_state_name(stream.state()));
      entry->set_info(stream.message());
    }
  }
  co_return out;
}

using TextRows = std::vector<std::vector<std::string>>;

// A SELECT on tables of _vt.
Answer<TextRows> read_sidecar(TabletClient& tablets, ::topodata::Tablet primary, std::string query) {
  tmd::VReplicationExecRequest request;
  request.set_query(std::move(query));
  CO_ASSIGN_OR_RETURN(const auto done, co_await tablets.call<tmd::VReplicationExecResponse>(
                                           std::move(primary), "VReplicationExec", std::move(request), usual()));
  TextRows out;
  for (const auto& row : done.result().rows()) {
    std::string_view values = row.values();
    auto& cells = out.emplace_back();
    for (const int64_t length : row.lengths()) {
      const size_t size = length < 0 ? 0 : static_cast<size_t>(length);
      cells.emplace_back(values.substr(0, size));
      values.remove_prefix(std::min(size, values.size()));
    }
  }
  co_return out;
}

// What a shard's primary knows of its streams beside their own rows, by stream.
struct StreamExtras {
  std::map<int64_t, std::vector<vd::Workflow::Stream::CopyState>> copies;
  std::map<int64_t, std::vector<vd::Workflow::Stream::Log>> logs;
  std::string log_error;
};

Answer<StreamExtras> read_extras(TabletClient& tablets, ::topodata::Tablet primary, bool with_logs) {
  StreamExtras out;
  CO_ASSIGN_OR_RETURN(
      const auto copies,
      co_await read_sidecar(tablets, primary,
                            "select vrepl_id, table_name, lastpk from _vt.copy_state where id in (select max(id) from "
                            "_vt.copy_state group by vrepl_id, table_name)"));
  for (const auto& cells : copies) {
    if (cells.size() != 3) continue;
    vd::Workflow::Stream::CopyState copy;
    copy.set_stream_id(std::atoll(cells[0].c_str()));
    copy.set_table(cells[1]);
    copy.set_last_pk(cells[2]);
    out.copies[copy.stream_id()].push_back(std::move(copy));
  }
  if (!with_logs) co_return out;
  auto logs = co_await read_sidecar(
      tablets, std::move(primary),
      "select vrepl_id, id, type, state, unix_timestamp(created_at), unix_timestamp(updated_at), message, `count` from "
      "_vt.vreplication_log order by vrepl_id, id");
  if (!logs.ok()) {
    out.log_error = logs.error().message();
    co_return out;
  }
  for (const auto& cells : *logs) {
    if (cells.size() != 8) continue;
    vd::Workflow::Stream::Log log;
    log.set_stream_id(std::atoll(cells[0].c_str()));
    log.set_id(std::atoll(cells[1].c_str()));
    log.set_type(cells[2]);
    log.set_state(cells[3]);
    log.mutable_created_at()->set_seconds(std::atoll(cells[4].c_str()));
    log.mutable_updated_at()->set_seconds(std::atoll(cells[5].c_str()));
    log.set_message(cells[6]);
    log.set_count(std::atoll(cells[7].c_str()));
    out.logs[log.stream_id()].push_back(std::move(log));
  }
  co_return out;
}

// Only streams of the shards that were asked for, and of those only running ones when these are wanted.
net::Task<Status> add_workflow(TabletClient& tablets, vd::GetWorkflowsRequest wanted, std::string name,
                               vd::GetWorkflowsResponse& out) {
  CO_ASSIGN_OR_RETURN(const auto model, co_await read_workflow(tablets, wanted.keyspace(), name, usual()));
  const std::set<std::string> only(wanted.shards().begin(), wanted.shards().end());
  auto* workflow = out.add_workflows();
  workflow->set_name(name);
  workflow->mutable_source()->set_keyspace(model.source_keyspace);
  for (const auto& [shard, source] : model.sources) workflow->mutable_source()->add_shards(shard);
  workflow->mutable_target()->set_keyspace(model.target_keyspace);
  const auto& first = model.targets.begin()->second.workflow;
  workflow->set_workflow_type(::binlogdata::VReplicationWorkflowType_Name(first.workflow_type()));
  workflow->set_workflow_sub_type(::binlogdata::VReplicationWorkflowSubType_Name(first.workflow_sub_type()));
  workflow->set_defer_secondary_keys(first.defer_secondary_keys());
  const int64_t lag = transaction_lag_seconds(model, tablets.topology().clock().wall_now());
  workflow->set_max_v_replication_lag(lag);
  workflow->set_max_v_replication_transaction_lag(lag);
  std::vector<std::string> shown;
  std::map<std::string, StreamExtras> all_extras;
  for (const auto& [shard, target] : model.targets) {
    if (!only.empty() && !only.contains(shard)) continue;
    shown.push_back(shard);
    all_extras[shard] = {};
  }
  CO_RETURN_IF_ERROR(co_await for_all<std::string>(std::move(shown), [&](std::string shard) {
    return
        [](TabletClient& client, ::topodata::Tablet primary, bool with_logs, StreamExtras& into) -> net::Task<Status> {
          CO_ASSIGN_OR_RETURN(into, co_await read_extras(client, std::move(primary), with_logs));
          co_return Status{};
        }(tablets, model.targets.at(shard).shard.primary, wanted.include_logs(), all_extras[shard]);
  }));
  for (const auto& [shard, target] : model.targets) {
    workflow->mutable_target()->add_shards(shard);
    if (!only.empty() && !only.contains(shard)) continue;
    auto& extras = all_extras[shard];
    auto& group =
        (*workflow->mutable_shard_streams())[shard + "/" + topo::alias_to_string(target.shard.primary.alias())];
    group.set_is_primary_serving(target.shard.info.record.is_primary_serving());
    *group.mutable_tablet_controls() = target.shard.info.record.tablet_controls();
    for (const auto& stream : target.workflow.streams()) {
      if (wanted.active_only() && stream.state() == ::binlogdata::Stopped) continue;
      auto* entry = group.add_streams();
      entry->set_id(stream.id());
      entry->set_shard(shard);
      *entry->mutable_tablet() = target.shard.primary.alias();
      *entry->mutable_binlog_source() = stream.bls();
      entry->set_position(stream.pos());
      entry->set_stop_position(stream.stop_pos());
      entry->set_state(stream_state_name(stream.state()));
      entry->set_db_name(target.workflow.db_name());
      *entry->mutable_transaction_timestamp() = stream.transaction_timestamp();
      *entry->mutable_time_updated() = stream.time_updated();
      entry->set_message(stream.message());
      entry->set_rows_copied(stream.rows_copied());
      for (const auto type : target.workflow.tablet_types())
        entry->add_tablet_types(static_cast<::topodata::TabletType>(type));
      entry->set_tablet_selection_preference(target.workflow.tablet_selection_preference());
      for (const auto& cell : base::split_list(target.workflow.cells())) entry->add_cells(std::string(cell));
      for (const auto& tag : base::split_list(target.workflow.tags())) entry->add_tags(std::string(tag));
      entry->mutable_throttler_status()->set_component_throttled(stream.component_throttled());
      *entry->mutable_throttler_status()->mutable_time_throttled() = stream.time_throttled();
      entry->set_log_fetch_error(extras.log_error);
      for (auto& copy : extras.copies[stream.id()]) *entry->add_copy_states() = std::move(copy);
      for (auto& log : extras.logs[stream.id()]) *entry->add_logs() = std::move(log);
    }
  }
  co_return Status{};
}

Answer<vd::GetWorkflowsResponse> get_workflows(TabletClient& tablets, vd::GetWorkflowsRequest request) {
  vd::GetWorkflowsResponse out;
  CO_ASSIGN_OR_RETURN(auto names, co_await list_workflows(tablets, request.keyspace(), usual()));
  for (const auto& name : names) {
    if (!request.workflow().empty() && name != request.workflow()) continue;
    if (request.name_only()) {
      out.add_workflows()->set_name(name);
      continue;
    }
    const int before = out.workflows_size();
    Status added = co_await add_workflow(tablets, request, name, out);
    if (added.ok() && request.active_only()) {
      const auto& shards = out.workflows(before).shard_streams();
      if (std::ranges::all_of(shards, [](const auto& one) { return one.second.streams().empty(); })) {
        out.mutable_workflows()->RemoveLast();
      }
    }
    if (added.ok() || added.error().code() == Code::kNotFound) continue;
    if (!request.workflow().empty()) co_return std::move(added).error();
    // One whose tablet does not answer hides no other.
    while (out.workflows_size() > before) out.mutable_workflows()->RemoveLast();
    out.add_workflows()->set_name(name);
  }
  co_return out;
}

net::Task<Status> update_streams(TabletClient& tablets, ::topodata::Tablet primary,
                                 tmd::UpdateVReplicationWorkflowRequest change, bool& changed) {
  auto done = co_await tablets.call<tmd::UpdateVReplicationWorkflowResponse>(
      std::move(primary), "UpdateVReplicationWorkflow", std::move(change), usual());
  if (!done.ok()) co_return std::move(done).error();
  changed = done->result().rows_affected() > 0;
  co_return Status{};
}

Answer<vd::WorkflowUpdateResponse> workflow_update(TabletClient& tablets, vd::WorkflowUpdateRequest request) {
  tmd::UpdateVReplicationWorkflowRequest change = request.tablet_request();
  // What is under way on it, or was left open, comes to its end first. Other kinds of workflows have no record.
  auto found = co_await find_workflow(tablets, request.keyspace(), change.workflow());
  if (!found.ok() && found.error().code() != Code::kNotFound && found.error().code() != Code::kFailedPrecondition) {
    co_return std::move(found).error();
  }
  CO_ASSIGN_OR_RETURN(const auto model,
                      co_await read_workflow(tablets, request.keyspace(), change.workflow(), usual()));
  if (model.is_frozen()) co_return fail(Code::kFailedPrecondition, "workflow is frozen");
  CO_RETURN_IF_ERROR(movement::check_overrides({change.config_overrides().begin(), change.config_overrides().end()}));
  CO_RETURN_IF_ERROR(co_await check_sources_of(tablets, found.ok() ? mount_of(found->record()) : "",
                                               {change.cells().begin(), change.cells().end()},
                                               {change.tablet_types().begin(), change.tablet_types().end()}));
  const std::set<std::string> only(change.shards().begin(), change.shards().end());
  for (const auto& shard : only) {
    if (model.targets.contains(shard)) continue;
    co_return fail(Code::kNotFound, fmt::format("shard {} is not a target of the {} workflow in the {} keyspace", shard,
                                                change.workflow(), request.keyspace()));
  }
  if (found.ok()) {
    // Whoever is late, because it stood still meanwhile, must not start what an operation has stopped since.
    ::workflowdata::Fence fence;
    fence.set_workflow_id(found->record().id());
    fence.set_epoch(found->record().epoch());
    topo::set_fence(change, fence);
  }
  vd::WorkflowUpdateResponse out;
  std::vector<std::string> shards;
  std::map<std::string, bool> changed;
  for (const auto& [name, target] : model.targets) {
    if (!only.empty() && !only.contains(name)) continue;
    shards.push_back(name);
    changed[name] = false;
  }
  CO_RETURN_IF_ERROR(co_await for_all<std::string>(shards, [&](std::string name) {
    return update_streams(tablets, model.targets.at(name).shard.primary, change, changed[name]);
  }));
  for (const auto& name : shards) {
    auto* detail = out.add_details();
    *detail->mutable_tablet() = model.targets.at(name).shard.primary.alias();
    detail->set_changed(changed[name]);
  }
  // A reverse makes the streams anew as the record says.
  if (found.ok() && !found->by_reverse_name && only.empty()) {
    auto settings = StreamSettings::from_options(found->record().options());
    const auto before = settings.to_options();
    settings.update(change);
    if (settings.to_options() != before) {
      CO_RETURN_IF_ERROR(co_await engine::change_options(tablets.topology(), found->stored, settings.to_options()));
    }
  }
  out.set_summary(fmt::format("Successfully updated the {} workflow on ({}) target primary tablets in the {} keyspace",
                              change.workflow(), out.details_size(), request.keyspace()));
  co_return out;
}

Answer<vd::WorkflowSwitchTrafficResponse> workflow_switch(TabletClient& tablets,
                                                          vd::WorkflowSwitchTrafficRequest request) {
  SwitchOptions options;
  options.keyspace = request.keyspace();
  options.workflow = request.workflow();
  options.reverse = request.direction() == 1;
  options.cells = {request.cells().begin(), request.cells().end()};
  if (request.tablet_types_size() > 0) {
    options.types.clear();
    for (const auto type : request.tablet_types()) options.types.push_back(static_cast<::topodata::TabletType>(type));
  }
  if (request.has_timeout()) options.timeout = to_duration(request.timeout());
  if (request.has_max_replication_lag_allowed()) options.max_lag = to_duration(request.max_replication_lag_allowed());
  if (options.timeout < 1s) co_return fail(Code::kInvalidArgument, "--timeout must be at least 1s");
  options.initialize_sequences = request.initialize_target_sequences();
  options.shards = {request.shards().begin(), request.shards().end()};
  options.force = request.force();
  options.enable_reverse_replication = request.enable_reverse_replication();
  options.dry_run = request.dry_run();
  const bool dry_run = options.dry_run;
  const char* verb = options.reverse ? "ReverseTraffic" : "SwitchTraffic";
  const std::string name = request.keyspace() + "." + request.workflow();
  CO_ASSIGN_OR_RETURN(auto done, co_await switch_traffic(tablets, std::move(options)));
  vd::WorkflowSwitchTrafficResponse out;
  out.set_summary(dry_run ? fmt::format("{} dry run results for workflow {} at {}", verb, name,
                                        rfc822(tablets.topology().clock().wall_now()))
                          : fmt::format("{} was successful for workflow {}", verb, name));
  out.set_start_state(done.start_state);
  out.set_current_state(done.current_state);
  for (auto& line : done.dry_run) out.add_dry_run_results(std::move(line));
  co_return out;
}

Answer<vd::WorkflowMirrorTrafficResponse> workflow_mirror(TabletClient& tablets,
                                                          vd::WorkflowMirrorTrafficRequest request) {
  MirrorOptions options{.keyspace = request.keyspace(), .workflow = request.workflow(), .percent = request.percent()};
  for (const auto type : request.tablet_types()) options.types.push_back(static_cast<::topodata::TabletType>(type));
  CO_ASSIGN_OR_RETURN(auto done, co_await mirror_traffic(tablets, std::move(options)));
  vd::WorkflowMirrorTrafficResponse out;
  out.set_summary(
      fmt::format("MirrorTraffic was successful for workflow {}.{}", request.keyspace(), request.workflow()));
  out.set_start_state(done.start_state);
  out.set_current_state(done.current_state);
  co_return out;
}

vd::MoveTablesCreateRequest as_move(const vd::MigrateCreateRequest& request) {
  vd::MoveTablesCreateRequest out;
  out.set_workflow(request.workflow());
  out.set_source_keyspace(request.source_keyspace());
  out.set_target_keyspace(request.target_keyspace());
  out.set_external_cluster_name(request.mount_name());
  *out.mutable_cells() = request.cells();
  *out.mutable_tablet_types() = request.tablet_types();
  out.set_tablet_selection_preference(request.tablet_selection_preference());
  out.set_all_tables(request.all_tables());
  *out.mutable_include_tables() = request.include_tables();
  *out.mutable_exclude_tables() = request.exclude_tables();
  out.set_source_time_zone(request.source_time_zone());
  out.set_on_ddl(request.on_ddl());
  out.set_stop_after_copy(request.stop_after_copy());
  out.set_drop_foreign_keys(request.drop_foreign_keys());
  out.set_defer_secondary_keys(request.defer_secondary_keys());
  out.set_auto_start(request.auto_start());
  out.set_no_routing_rules(request.no_routing_rules());
  out.mutable_workflow_options()->set_sharded_auto_increment_handling(vd::REMOVE);
  return out;
}

// Where record and routing differ; empty: they agree, or cannot be compared now.
net::Task<std::string> find_difference(TabletClient& tablets, const engine::Record& record) {
  const auto state = co_await read_traffic_state(tablets, model_of(record));
  if (!state.ok() || are_writes_switched(*state, record) == record.writes_switched()) co_return "";
  co_return fmt::format("recorded is that writes are {}, but the routing says: {}",
                        record.writes_switched() ? "switched" : "not switched", state->to_string());
}

Answer<::workflowdata::WorkflowRepairResponse> workflow_repair(TabletClient& tablets,
                                                               ::workflowdata::WorkflowRepairRequest request) {
  ::workflowdata::WorkflowRepairResponse out;
  CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(tablets.topology(), true));
  for (const auto& one : records) {
    const auto& record = one.record;
    const bool forward = record.target_keyspace() == request.keyspace() &&
                         (request.workflow().empty() || record.workflow() == request.workflow());
    const bool reverse = record.source_keyspace() == request.keyspace() &&
                         reverse_workflow_name(record.workflow()) == request.workflow();
    if (!forward && !reverse) continue;
    if (request.dry_run()) *out.add_records() = record;
    if (!record.has_open()) {
      const std::string difference = co_await find_difference(tablets, record);
      if (!difference.empty()) out.add_lines(fmt::format("{}: {}", engine::name_of(record), difference));
      continue;
    }
    const std::string what = fmt::format("{}: {}", engine::name_of(record), engine::describe_open(record));
    if (request.dry_run()) {
      out.add_lines(what);
      continue;
    }
    Status settled =
        co_await engine::settle(tablets.topology(), record.target_keyspace(), record.workflow(),
                                operation_factory(tablets), engine::this_process(), net::Wait::within(30s));
    out.add_lines(settled.ok() ? what + "; it is at its end now"
                               : what + "; it cannot be brought to its end now: " + settled.error().message());
  }
  co_return out;
}

// Sends one VDiff action to every target primary; answers by shard.
net::Task<Result<std::map<std::string, tmd::VDiffResponse>>> vdiff_everywhere(TabletClient& tablets,
                                                                              std::string keyspace,
                                                                              std::string workflow,
                                                                              tmd::VDiffRequest request,
                                                                              std::set<std::string> only = {}) {
  CO_ASSIGN_OR_RETURN(const auto model, co_await read_workflow(tablets, keyspace, workflow, usual()));
  for (const auto& shard : only) {
    if (model.targets.contains(shard)) continue;
    co_return fail(Code::kNotFound, fmt::format("shard {} is not a target of the {} workflow in the {} keyspace", shard,
                                                workflow, keyspace));
  }
  request.set_keyspace(keyspace);
  request.set_workflow(workflow);
  std::map<std::string, tmd::VDiffResponse> out;
  std::vector<std::string> shards;
  for (const auto& [name, target] : model.targets) {
    if (only.empty() || only.contains(name)) shards.push_back(name);
  }
  CO_RETURN_IF_ERROR(co_await for_all<std::string>(std::move(shards), [&](std::string shard) {
    return [](TabletClient& client, ::topodata::Tablet primary, tmd::VDiffRequest what, std::string name,
              std::map<std::string, tmd::VDiffResponse>& into) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(
          auto done, co_await client.call<tmd::VDiffResponse>(std::move(primary), "VDiff", std::move(what), usual()));
      into.emplace(std::move(name), std::move(done));
      co_return Status{};
    }(tablets, model.targets.at(shard).shard.primary, request, shard, out);
  }));
  co_return out;
}

// Tables that are to be compared, and that the workflow has not.
net::Task<Status> check_compared(TabletClient& tablets, std::string keyspace, std::string workflow,
                                 std::vector<std::string> wanted) {
  if (wanted.empty()) co_return Status{};
  CO_ASSIGN_OR_RETURN(const auto model, co_await read_workflow(tablets, keyspace, workflow, usual()));
  std::set<std::string> known(model.tables.begin(), model.tables.end());
  if (model.is_reshard) {
    CO_ASSIGN_OR_RETURN(const auto present, co_await list_tables(tablets, model.targets.begin()->second.shard.primary));
    for (const auto& [name, is_view] : present) known.insert(name);
  }
  for (const auto& table : wanted) {
    if (known.contains(table)) continue;
    co_return fail(Code::kInvalidArgument,
                   fmt::format("table {} is not one of the {} workflow in the {} keyspace", table, workflow, keyspace));
  }
  co_return Status{};
}

// By which a comparison is named. A name that is none would find nothing, and seem to be done.
Status check_uuid(std::string_view text, std::string_view also = "") {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  bool is_one = text.size() == kForm.size();
  for (size_t i = 0; is_one && i < text.size(); ++i) {
    is_one = kForm[i] == '-' ? text[i] == '-' : std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  }
  if (is_one) return {};
  return fail(Code::kInvalidArgument, fmt::format("a VDiff has a UUID ({}){}, not '{}'", kForm, also, text));
}

Answer<vd::VDiffCreateResponse> vdiff_create(TabletClient& tablets, vd::VDiffCreateRequest request) {
  tmd::VDiffRequest command;
  command.set_action("create");
  if (!request.uuid().empty()) CO_RETURN_IF_ERROR(check_uuid(request.uuid()));
  if (request.limit() < 0) co_return fail(Code::kInvalidArgument, "--limit is a number of rows, 0 for all");
  const std::string uuid = request.uuid().empty() ? base::system_random().uuid() : request.uuid();
  command.set_vdiff_uuid(uuid);
  auto* options = command.mutable_options();
  std::string types;
  for (const auto type : request.tablet_types()) {
    types += (types.empty() ? "" : ",") + ::topodata::TabletType_Name(static_cast<::topodata::TabletType>(type));
  }
  const bool any_order = request.tablet_selection_preference() == tmd::ANY;
  CO_RETURN_IF_ERROR(co_await check_sources(tablets.topology(), strings_of(request.source_cells()),
                                            {request.tablet_types().begin(), request.tablet_types().end()}));
  CO_RETURN_IF_ERROR(
      refuse_unbuilt(request.target_cells_size() > 0, "--target-cells (the target's primary is what is compared)"));
  options->mutable_picker_options()->set_source_cell(base::join(strings_of(request.source_cells()), ","));
  options->mutable_picker_options()->set_tablet_types(types.empty() || any_order ? types : "in_order:" + types);
  auto* core = options->mutable_core_options();
  CO_RETURN_IF_ERROR(
      co_await check_compared(tablets, request.target_keyspace(), request.workflow(), strings_of(request.tables())));
  std::string tables;
  for (const auto& table : request.tables()) tables += (tables.empty() ? "" : ",") + table;
  core->set_tables(tables);
  core->set_auto_retry(request.auto_retry());
  core->set_max_rows(request.limit());
  constexpr int64_t kUsualExtra = 1000;  // What clients send who were not asked for a number.
  CO_RETURN_IF_ERROR(refuse_unbuilt(
      request.max_extra_rows_to_compare() != 0 && request.max_extra_rows_to_compare() != kUsualExtra,
      "--max-extra-rows-to-compare (both sides are compared as of one moment: no row is looked at again)"));
  core->set_timeout_seconds(request.filtered_replication_wait_time().seconds());
  core->set_update_table_stats(request.update_table_stats());
  if (request.has_auto_start()) core->set_auto_start(request.auto_start());
  if (request.max_diff_duration().seconds() != 0 || request.max_diff_duration().nanos() != 0) {
    co_return fail(
        Code::kUnimplemented,
        "--max-diff-duration is not built: a comparison holds nothing for longer than one chunk, leave it out");
  }
  auto* report = options->mutable_report_options();
  report->set_only_pks(request.only_p_ks());
  report->set_max_sample_rows(request.max_report_sample_rows());
  report->set_debug_query(request.debug_query());
  report->set_row_diff_column_truncate_at(request.row_diff_column_truncate_at());
  auto done = co_await vdiff_everywhere(tablets, request.target_keyspace(), request.workflow(), std::move(command));
  if (!done.ok()) co_return std::move(done).error();
  vd::VDiffCreateResponse out;
  out.set_uuid(uuid);
  co_return out;
}

Answer<::workflowdata::VDiffRepairResponse> vdiff_repair(TabletClient& tablets,
                                                         ::workflowdata::VDiffRepairRequest request) {
  tmd::VDiffRequest command;
  command.set_action("repair");
  CO_RETURN_IF_ERROR(
      co_await check_compared(tablets, request.target_keyspace(), request.workflow(), strings_of(request.tables())));
  const std::string uuid = request.uuid().empty() ? base::system_random().uuid() : request.uuid();
  command.set_vdiff_uuid(uuid);
  command.mutable_options()->mutable_core_options()->set_auto_retry(true);
  command.mutable_options()->mutable_core_options()->set_tables(
      base::join(std::vector<std::string>(request.tables().begin(), request.tables().end()), ","));
  auto done = co_await vdiff_everywhere(tablets, request.target_keyspace(), request.workflow(), std::move(command));
  if (!done.ok()) co_return std::move(done).error();
  ::workflowdata::VDiffRepairResponse out;
  out.set_uuid(uuid);
  co_return out;
}

Answer<vd::VDiffShowResponse> vdiff_show(TabletClient& tablets, vd::VDiffShowRequest request) {
  tmd::VDiffRequest command;
  command.set_action("show");
  command.set_action_arg(request.arg());
  if (request.arg() != "last" && request.arg() != "all") {
    CO_RETURN_IF_ERROR(check_uuid(request.arg(), ", or is 'last' or 'all'"));
    command.set_vdiff_uuid(request.arg());
  }
  CO_ASSIGN_OR_RETURN(
      auto done, co_await vdiff_everywhere(tablets, request.target_keyspace(), request.workflow(), std::move(command)));
  vd::VDiffShowResponse out;
  for (auto& [shard, response] : done) (*out.mutable_tablet_responses())[shard] = std::move(response);
  co_return out;
}

template <typename Request>
net::Task<Status> vdiff_action(TabletClient& tablets, const Request& request, std::string action, std::string uuid,
                               std::set<std::string> only = {}) {
  if (action != "delete" || uuid != "all") {
    CO_RETURN_IF_ERROR(check_uuid(uuid, action == "delete" ? ", or is 'all'" : ""));
  }
  tmd::VDiffRequest command;
  command.set_action(std::move(action));
  command.set_action_arg(uuid);
  command.set_vdiff_uuid(uuid == "all" ? "" : uuid);
  auto done = co_await vdiff_everywhere(tablets, request.target_keyspace(), request.workflow(), std::move(command),
                                        std::move(only));
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

}  // namespace

void register_workflow_methods(Registrar& r) {
  r.unary<vd::MoveTablesCreateRequest, vd::WorkflowStatusResponse>(
      "MoveTablesCreate", [](TabletClient& t, vd::MoveTablesCreateRequest q) -> Answer<vd::WorkflowStatusResponse> {
        CO_RETURN_IF_ERROR(co_await create_move_tables(t, q));
        vd::WorkflowStatusRequest status;
        status.set_keyspace(q.target_keyspace());
        status.set_workflow(q.workflow());
        co_return co_await workflow_status(t, std::move(status));
      });
  r.unary<vd::MigrateCreateRequest, vd::WorkflowStatusResponse>(
      "MigrateCreate", [](TabletClient& t, vd::MigrateCreateRequest q) -> Answer<vd::WorkflowStatusResponse> {
        if (q.mount_name().empty()) co_return fail(Code::kInvalidArgument, "Migrate needs --mount-name");
        CO_RETURN_IF_ERROR(co_await create_move_tables(t, as_move(q)));
        vd::WorkflowStatusRequest status;
        status.set_keyspace(q.target_keyspace());
        status.set_workflow(q.workflow());
        co_return co_await workflow_status(t, std::move(status));
      });
  r.unary<vd::ReshardCreateRequest, vd::WorkflowStatusResponse>(
      "ReshardCreate", [](TabletClient& t, vd::ReshardCreateRequest q) -> Answer<vd::WorkflowStatusResponse> {
        CO_RETURN_IF_ERROR(co_await create_reshard(t, q));
        vd::WorkflowStatusRequest status;
        status.set_keyspace(q.keyspace());
        status.set_workflow(q.workflow());
        co_return co_await workflow_status(t, std::move(status));
      });
  r.unary<vd::WorkflowAddTablesRequest, vd::WorkflowAddTablesResponse>(
      "WorkflowAddTables",
      [](TabletClient& t, vd::WorkflowAddTablesRequest q) -> Answer<vd::WorkflowAddTablesResponse> {
        CO_RETURN_IF_ERROR(co_await add_materialized_tables(t, std::move(q)));
        co_return vd::WorkflowAddTablesResponse();
      });
  r.unary<vd::MaterializeCreateRequest, vd::MaterializeCreateResponse>(
      "MaterializeCreate",
      [](TabletClient& t, vd::MaterializeCreateRequest q) -> Answer<vd::MaterializeCreateResponse> {
        CO_RETURN_IF_ERROR(co_await create_materialize(t, std::move(*q.mutable_settings())));
        co_return vd::MaterializeCreateResponse();
      });
  r.unary<vd::WorkflowStatusRequest, vd::WorkflowStatusResponse>("WorkflowStatus", workflow_status);
  r.unary<vd::GetWorkflowsRequest, vd::GetWorkflowsResponse>("GetWorkflows", get_workflows);
  r.unary<vd::WorkflowUpdateRequest, vd::WorkflowUpdateResponse>("WorkflowUpdate", workflow_update);
  r.unary<vd::WorkflowSwitchTrafficRequest, vd::WorkflowSwitchTrafficResponse>("WorkflowSwitchTraffic",
                                                                               workflow_switch);
  r.unary<vd::WorkflowMirrorTrafficRequest, vd::WorkflowMirrorTrafficResponse>("WorkflowMirrorTraffic",
                                                                               workflow_mirror);
  r.unary<vd::MoveTablesCompleteRequest, vd::MoveTablesCompleteResponse>("MoveTablesComplete", complete_workflow);
  r.unary<vd::WorkflowDeleteRequest, vd::WorkflowDeleteResponse>("WorkflowDelete", cancel_workflow);
  r.unary<::workflowdata::WorkflowRepairRequest, ::workflowdata::WorkflowRepairResponse>("WorkflowRepair",
                                                                                         workflow_repair);
  r.unary<vd::VDiffCreateRequest, vd::VDiffCreateResponse>("VDiffCreate", vdiff_create);
  r.unary<vd::VDiffShowRequest, vd::VDiffShowResponse>("VDiffShow", vdiff_show);
  r.unary<::workflowdata::VDiffRepairRequest, ::workflowdata::VDiffRepairResponse>("VDiffRepair", vdiff_repair);
  r.unary<vd::VDiffStopRequest, vd::VDiffStopResponse>(
      "VDiffStop", [](TabletClient& t, vd::VDiffStopRequest q) -> Answer<vd::VDiffStopResponse> {
        CO_RETURN_IF_ERROR(co_await vdiff_action(t, q, "stop", q.uuid()));
        co_return vd::VDiffStopResponse();
      });
  r.unary<vd::VDiffResumeRequest, vd::VDiffResumeResponse>(
      "VDiffResume", [](TabletClient& t, vd::VDiffResumeRequest q) -> Answer<vd::VDiffResumeResponse> {
        CO_RETURN_IF_ERROR(
            co_await vdiff_action(t, q, "resume", q.uuid(), {q.target_shards().begin(), q.target_shards().end()}));
        co_return vd::VDiffResumeResponse();
      });
  r.unary<vd::VDiffDeleteRequest, vd::VDiffDeleteResponse>(
      "VDiffDelete", [](TabletClient& t, vd::VDiffDeleteRequest q) -> Answer<vd::VDiffDeleteResponse> {
        CO_RETURN_IF_ERROR(co_await vdiff_action(t, q, "delete", q.arg()));
        co_return vd::VDiffDeleteResponse();
      });
}

}  // namespace vitrail::control
