#include "control/states/steps.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/client/client.h"
#include "control/client/vdiff_report.h"
#include "control/states/rules.h"
#include "control/states/sequences.h"
#include "control/workflow/engine/record.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vtctldata.pb.h"

namespace vitrail::control::states {
namespace {

namespace vd = ::vtctldata;
using namespace std::chrono_literals;

constexpr base::Duration kCommandTime = 10min;
constexpr base::Duration kQuestionTime = 30s;
constexpr base::Duration kLeftOpenTime = 2min;

template <typename Response, typename Request>
net::Task<Result<Response>> call(const Plane& plane, std::string_view method, Request request,
                                 base::Duration time = kCommandTime) {
  return rpc::call<Response>(plane.vtctld, std::string("/vtctlservice.Vtctld/").append(method), request,
                             net::Wait::within(time));
}

net::Task<Result<vd::GetWorkflowsResponse>> get_workflow(const Plane& plane, const Record& record) {
  vd::GetWorkflowsRequest wanted;
  wanted.set_keyspace(record.target_keyspace());
  wanted.set_workflow(record.name());
  return call<vd::GetWorkflowsResponse>(plane, "GetWorkflows", std::move(wanted), kQuestionTime);
}

RuleNames names_of(const Record& record) {
  return {.source_keyspace = record.source_keyspace(),
          .target_keyspace = record.target_keyspace(),
          .tables = {record.tables().begin(), record.tables().end()}};
}

bool moves_tables(const Record& record) { return record.kind() == "MoveTables"; }

net::Task<Status> save_rules(const Plane& plane, Record& record, bool switched) {
  if (!moves_tables(record)) co_return Status{};  // A Reshard has none.
  CO_ASSIGN_OR_RETURN(auto all, co_await topo::get_routing_rules(plane.tablets.topology()));
  if (switched) {
    *record.mutable_rules_switched() = select_rules(all.rules, names_of(record));
  } else {
    // Which tables these are may not be known yet.
    *record.mutable_rules_before() = std::move(all.rules);
  }
  co_return Status{};
}

net::Task<Status> put_rules_back(const Plane& plane, const Record& record, const ::vschema::RoutingRules& saved) {
  if (!moves_tables(record)) co_return Status{};
  const RuleNames names = names_of(record);
  const ::vschema::RoutingRules wanted = select_rules(saved, names);
  topo::UpdateFn<::vschema::RoutingRules> change = [&](::vschema::RoutingRules& all) -> Result<bool> {
    all = put_back(all, names, wanted);
    return true;
  };
  auto saved_rules = co_await topo::update_routing_rules(plane.tablets.topology(), std::move(change));
  if (!saved_rules.ok()) co_return std::move(saved_rules).error();
  vd::RebuildVSchemaGraphRequest rebuild;
  auto done = co_await call<vd::RebuildVSchemaGraphResponse>(plane, "RebuildVSchemaGraph", std::move(rebuild));
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

// Tables that the streams copy.
std::vector<std::string> tables_of(const vd::Workflow& workflow) {
  std::vector<std::string> out;
  for (const auto& [place, group] : workflow.shard_streams()) {
    for (const auto& stream : group.streams()) {
      for (const auto& rule : stream.binlog_source().filter().rules()) {
        if (!rule.match().starts_with('/')) out.push_back(rule.match());
      }
    }
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

// Whether the engine has made the workflow. A creation that is open is that of a vtctld that has died: the engine
// brings it to its end, or undoes it.
net::Task<Result<bool>> is_made(const Plane& plane, const Record& record) {
  const base::TimePoint end = base::system_clock().now() + kLeftOpenTime;
  for (;;) {
    const auto stored = co_await engine::load_record(plane.tablets.topology(), record.target_keyspace(), record.name());
    if (!stored.ok() && stored.error().code() == Code::kNotFound) co_return false;
    if (!stored.ok()) co_return stored.error();
    if (!stored->record.has_open()) co_return true;
    if (base::system_clock().now() >= end) {
      co_return fail(Code::kUnavailable, "what is open on the workflow does not end: " +
                                             engine::describe_open(stored->record) + "; see Workflow show, and retry");
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(200ms));
  }
}

net::Task<Status> create_workflow(const Plane& plane, Record& record) {
  Result<vd::WorkflowStatusResponse> made = vd::WorkflowStatusResponse();
  CO_ASSIGN_OR_RETURN(const bool is_there, co_await is_made(plane, record));
  if (is_there) {
    // By who carried this out before, and could not note it.
  } else if (moves_tables(record)) {
    vd::MoveTablesCreateRequest q;
    q.set_workflow(record.name());
    q.set_source_keyspace(record.source_keyspace());
    q.set_target_keyspace(record.target_keyspace());
    *q.mutable_source_shards() = record.source_shards();
    *q.mutable_include_tables() = record.tables();
    q.set_all_tables(record.tables().empty());
    q.add_tablet_types(::topodata::REPLICA);
    q.add_tablet_types(::topodata::PRIMARY);
    q.set_tablet_selection_preference(::tabletmanagerdata::INORDER);
    q.set_on_ddl("IGNORE");
    q.set_defer_secondary_keys(true);
    q.set_auto_start(true);
    made = co_await call<vd::WorkflowStatusResponse>(plane, "MoveTablesCreate", std::move(q));
  } else {
    vd::ReshardCreateRequest q;
    q.set_workflow(record.name());
    q.set_keyspace(record.target_keyspace());
    *q.mutable_source_shards() = record.source_shards();
    *q.mutable_target_shards() = record.target_shards();
    q.add_tablet_types(::topodata::REPLICA);
    q.add_tablet_types(::topodata::PRIMARY);
    q.set_tablet_selection_preference(::tabletmanagerdata::INORDER);
    q.set_on_ddl("IGNORE");
    q.set_defer_secondary_keys(true);
    q.set_auto_start(true);
    made = co_await call<vd::WorkflowStatusResponse>(plane, "ReshardCreate", std::move(q));
  }
  const auto found = co_await get_workflow(plane, record);
  const bool there = found.ok() && found->workflows_size() > 0;
  // That it is there already is our own doing: nobody had it when this began.
  if (!made.ok() && !(there && made.error().code() == Code::kAlreadyExists)) co_return std::move(made).error();
  if (!found.ok()) co_return found.error();
  if (there && moves_tables(record) && record.tables().empty()) {
    for (std::string& table : tables_of(found->workflows(0))) record.add_tables(std::move(table));
  }
  co_return Status{};
}

net::Task<Status> start_streams(const Plane& plane, const Record& record) {
  vd::WorkflowUpdateRequest q;
  q.set_keyspace(record.target_keyspace());
  q.mutable_tablet_request()->set_workflow(record.name());
  q.mutable_tablet_request()->set_state(::binlogdata::Running);
  auto done = co_await call<vd::WorkflowUpdateResponse>(plane, "WorkflowUpdate", std::move(q));
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

net::Task<Result<vd::VDiffShowResponse>> show_verification(const Plane& plane, const Record& record) {
  vd::VDiffShowRequest q;
  q.set_workflow(record.name());
  q.set_target_keyspace(record.target_keyspace());
  q.set_arg(record.pending().verification_uuid());
  return call<vd::VDiffShowResponse>(plane, "VDiffShow", std::move(q), kQuestionTime);
}

net::Task<Status> start_verification(const Plane& plane, const Record& record) {
  const auto shown = co_await show_verification(plane, record);
  if (shown.ok()) {
    const auto state = vdiff_state(*shown);
    if (state.ok() && !state->empty() && *state != "unknown") co_return Status{};  // Begun before.
  }
  vd::VDiffCreateRequest q;
  q.set_workflow(record.name());
  q.set_target_keyspace(record.target_keyspace());
  q.set_uuid(record.pending().verification_uuid());
  for (const auto type : {::topodata::RDONLY, ::topodata::REPLICA, ::topodata::PRIMARY}) q.add_tablet_types(type);
  q.set_limit(INT64_MAX);
  *q.mutable_filtered_replication_wait_time() = to_proto_duration(30s);
  q.set_max_extra_rows_to_compare(1000);
  q.set_auto_retry(true);
  q.set_max_report_sample_rows(10);
  auto done = co_await call<vd::VDiffCreateResponse>(plane, "VDiffCreate", std::move(q));
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

// "customer: 1 differ, 0 only in the source, 2 only in the target" of tables whose rows differ.
std::string differences(const std::string& report) {
  const auto json = nlohmann::json::parse(report, nullptr, false);
  std::string out;
  if (!json.is_object() || !json.contains("TableSummary")) return out;
  for (const auto& [table, row] : json["TableSummary"].items()) {
    const auto number = [&](const char* name) {
      return row.contains(name) && row[name].is_number() ? row[name].get<int64_t>() : 0;
    };
    const int64_t differ = number("MismatchedRows");
    const int64_t source = number("ExtraRowsSource");
    const int64_t target = number("ExtraRowsTarget");
    if (differ == 0 && source == 0 && target == 0) continue;
    out += fmt::format("{}{}: {} differ, {} only in the source, {} only in the target", out.empty() ? "" : "; ", table,
                       differ, source, target);
  }
  return out;
}

net::Task<Status> await_verification(const Plane& plane, Record& record) {
  for (;;) {
    auto shown = co_await show_verification(plane, record);
    if (!shown.ok()) co_return std::move(shown).error();
    CO_ASSIGN_OR_RETURN(const std::string state, vdiff_state(*shown));
    CO_ASSIGN_OR_RETURN(const std::string report,
                        format_vdiff(*shown, record.target_keyspace(), record.name(), {.json = true}));
    if (state == "error" || state == "stopped") {
      co_return fail(Code::kFailedPrecondition, "the verification has not ended well: " + report);
    }
    if (state == "completed") {
      CO_ASSIGN_OR_RETURN(const bool differs, vdiff_has_mismatch(*shown));
      auto& result = *record.mutable_verification();
      result.set_uuid(record.pending().verification_uuid());
      result.set_ended_ms(to_ms(plane.tablets.topology().clock().wall_now()));
      result.set_agrees(!differs);
      result.set_summary(differences(report));
      co_return Status{};
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(200ms));
  }
}

// What is switched already stays: the engine knows it from its record.
net::Task<Status> switch_traffic(const Plane& plane, const Record& record, bool replicas_only, bool reverse) {
  vd::WorkflowSwitchTrafficRequest q;
  q.set_keyspace(record.target_keyspace());
  q.set_workflow(record.name());
  if (replicas_only) {
    q.add_tablet_types(::topodata::REPLICA);
    q.add_tablet_types(::topodata::RDONLY);
  }
  const int64_t seconds = record.pending().timeout_seconds();
  *q.mutable_timeout() = to_proto_duration(std::chrono::seconds(seconds > 0 ? seconds : 30));
  *q.mutable_max_replication_lag_allowed() = to_proto_duration(30s);
  q.set_enable_reverse_replication(true);
  q.set_direction(reverse ? 1 : 0);
  auto done = co_await call<vd::WorkflowSwitchTrafficResponse>(plane, "WorkflowSwitchTraffic", std::move(q));
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

net::Task<Status> complete(const Plane& plane, const Record& record) {
  vd::MoveTablesCompleteRequest q;
  q.set_workflow(record.name());
  q.set_target_keyspace(record.target_keyspace());
  auto done = co_await call<vd::MoveTablesCompleteResponse>(plane, "MoveTablesComplete", std::move(q));
  if (done.ok() || done.error().code() == Code::kNotFound) co_return Status{};  // Gone: completed before.
  co_return std::move(done).error();
}

net::Task<Status> cancel(const Plane& plane, const Record& record) {
  vd::WorkflowDeleteRequest q;
  q.set_keyspace(record.target_keyspace());
  q.set_workflow(record.name());
  auto done = co_await call<vd::WorkflowDeleteResponse>(plane, "WorkflowDelete", std::move(q));
  if (done.ok() || done.error().code() == Code::kNotFound) co_return Status{};
  co_return std::move(done).error();
}

}  // namespace

net::Task<Status> carry_out(const Plane& plane, Step step, Record& record) {
  switch (step) {
    case Step::kSaveRules: co_return co_await save_rules(plane, record, false);
    case Step::kCreate: co_return co_await create_workflow(plane, record);
    case Step::kStartStreams: co_return co_await start_streams(plane, record);
    case Step::kStartVerification: co_return co_await start_verification(plane, record);
    case Step::kAwaitVerification: co_return co_await await_verification(plane, record);
    case Step::kSwitchReplicas: co_return co_await switch_traffic(plane, record, true, false);
    case Step::kInitSequences: co_return co_await initialize_sequences(plane, record);
    case Step::kSwitchAll: co_return co_await switch_traffic(plane, record, false, false);
    case Step::kSaveSwitchedRules: co_return co_await save_rules(plane, record, true);
    case Step::kReverse: co_return co_await switch_traffic(plane, record, false, true);
    case Step::kComplete: co_return co_await complete(plane, record);
    case Step::kResetRules: {
      const bool cut_over = record.pending().action() == name_of(Action::kCutover);
      co_return co_await put_rules_back(
          plane, record, cut_over ? without_source(record.rules_before(), names_of(record)) : record.rules_before());
    }
    case Step::kRestoreRules: co_return co_await put_rules_back(plane, record, record.rules_switched());
    case Step::kCancel: co_return co_await cancel(plane, record);
  }
  co_return fail(Code::kInternal, "unknown step");
}

net::Task<Result<Engine>> ask_engine(const Plane& plane, const Record& record) {
  CO_ASSIGN_OR_RETURN(const auto found, co_await get_workflow(plane, record));
  Engine out;
  if (found.workflows_size() == 0) co_return out;
  const auto& workflow = found.workflows(0);
  out.exists = true;
  out.copy = {
      .copies = false, .all_run = true, .lag = std::chrono::seconds(workflow.max_v_replication_transaction_lag())};
  for (const std::string& table : tables_of(workflow)) out.tables[table] = "done";
  size_t streams = 0;
  for (const auto& [place, group] : workflow.shard_streams()) {
    for (const auto& stream : group.streams()) {
      ++streams;
      out.rows_copied += stream.rows_copied();
      out.copy.copies = out.copy.copies || stream.copy_states_size() > 0 || stream.state() == "Copying";
      out.copy.all_run = out.copy.all_run && stream.state() == "Running";
      if (stream.state() == "Error") out.stream_error = stream.message();
      for (const auto& copy : stream.copy_states()) {
        std::string& text = out.tables[copy.table()];
        if (text != "copying") text = copy.last_pk().empty() ? "waits" : "copying";
      }
    }
  }
  if (streams == 0) co_return fail(Code::kUnavailable, "the target's tablets do not answer");
  vd::WorkflowStatusRequest look;
  look.set_keyspace(record.target_keyspace());
  look.set_workflow(record.name());
  const auto status = co_await call<vd::WorkflowStatusResponse>(plane, "WorkflowStatus", look, kQuestionTime);
  if (status.ok()) out.traffic = status->traffic_state();
  co_return out;
}

}  // namespace vitrail::control::states
