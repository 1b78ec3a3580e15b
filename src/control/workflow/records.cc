#include "control/workflow/records.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/random.h"
#include "control/served_from_change.h"
#include "control/shard_change.h"
#include "control/workflow/add_tables.h"
#include "control/workflow/cancel.h"
#include "control/workflow/complete.h"
#include "control/workflow/create.h"
#include "control/workflow/partial.h"
#include "control/workflow/stream_settings.h"
#include "control/workflow/switch.h"
#include "control/workflow/tenant.h"
#include "control/workflow/write_switch.h"
#include "topo/paths.h"
#include "workflow.pb.h"

namespace vitrail::control {
namespace {

using namespace std::chrono_literals;
// A dead holder keeps others out so long. A holder that lost it by stalling does no harm: see the record's tenure.
constexpr auto kLockLease = 4s;
constexpr std::string_view kOldPrefix = "switch-";

std::string old_record_path(const std::string& keyspace, const std::string& workflow) {
  return topo::workflow_path(std::string(kOldPrefix) + keyspace + "-" + workflow);
}

// The open operation that an older version wrote to workflows/switch-<keyspace>-<workflow>.
net::Task<Result<std::optional<::workflowdata::Operation>>> load_old_switch(topo::Server& topology,
                                                                            std::string keyspace,
                                                                            std::string workflow) {
  std::optional<::workflowdata::Operation> none;
  auto stored = co_await topology.global().get(old_record_path(keyspace, workflow));
  if (!stored.ok()) {
    if (stored.error().code() == Code::kNotFound) co_return none;
    co_return std::move(stored).error();
  }
  ::workflow::Workflow old;
  ::workflow::WorkflowCheckpoint checkpoint;
  if (!old.ParseFromString(stored->data) || !checkpoint.ParseFromString(old.data())) {
    co_return fail(Code::kDataLoss, "the record " + old_record_path(keyspace, workflow) + " cannot be read");
  }
  auto operation = engine::make_operation("switch", {});
  *operation.mutable_settings() = checkpoint.settings();
  operation.set_started_ms(old.start_time() * 1000);
  for (const auto& [name, task] : checkpoint.tasks()) {
    auto& step = *operation.add_steps();
    step.set_name(name);
    step.set_state(task.state() == ::workflow::TaskDone ? ::workflowdata::DONE : ::workflowdata::STARTED);
    // Older versions made the streams anew each time.
    const auto reverse = checkpoint.settings().find("reverse");
    if (reverse != checkpoint.settings().end() && reverse->second == "true") continue;
    if (name == "create_reverse_streams") (*step.mutable_notes())["adopted"] = "true";
  }
  co_return operation;
}

net::Task<Result<engine::StoredRecord>> adopt(TabletClient& tablets, std::string keyspace, std::string workflow) {
  topo::Server& topology = tablets.topology();
  CO_ASSIGN_OR_RETURN(const auto model, co_await read_workflow(tablets, keyspace, workflow, net::Wait::within(30s)));
  const auto& streams = model.targets.begin()->second.workflow;
  if (streams.workflow_type() != ::binlogdata::MoveTables && streams.workflow_type() != ::binlogdata::Reshard) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("workflow {}.{} is neither a MoveTables nor a Reshard", keyspace, workflow));
  }
  CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(tablets, model));
  engine::Record record;
  record.set_id(base::system_random().uuid());
  record.set_workflow(workflow);
  record.set_kind(model.is_reshard ? "Reshard" : "MoveTables");
  record.set_source_keyspace(model.source_keyspace);
  record.set_target_keyspace(keyspace);
  for (const auto& [name, source] : model.sources) record.add_source_shards(name);
  for (const auto& [name, target] : model.targets) record.add_target_shards(name);
  for (const auto& table : model.tables) record.add_tables(table);
  for (auto& [name, value] : StreamSettings::from_streams(streams).to_options()) {
    (*record.mutable_options())[name] = value;
  }
  if (model.is_partial) (*record.mutable_options())[kPartialOption] = "true";
  record.set_writes_switched(are_writes_switched(state, record));
  record.set_created_ms(engine::to_ms(topology.clock().wall_now()));
  record.set_adopted(true);
  CO_ASSIGN_OR_RETURN(auto old, co_await load_old_switch(topology, keyspace, workflow));
  if (old) {
    for (auto& step : *old->mutable_steps()) {
      if (!step.notes().contains("adopted")) continue;
      for (const auto& shard : record.source_shards()) (*step.mutable_notes())["created " + shard] = "true";
    }
    // Which way the writes were before it began.
    const auto reverse = old->settings().find("reverse");
    record.set_writes_switched(reverse != old->settings().end() && reverse->second == "true");
    *record.mutable_open() = std::move(*old);
  }
  auto created = co_await engine::create_record(topology, std::move(record));
  if (!created.ok() && created.error().code() == Code::kAlreadyExists) {
    co_return co_await engine::load_record(topology, keyspace, workflow);
  }
  if (created.ok() && created->record.has_open()) {
    (void)co_await topology.global().remove(old_record_path(keyspace, workflow), std::nullopt);
  }
  co_return created;
}

// A workflow that is named by its reverse workflow.
net::Task<Result<std::pair<std::string, std::string>>> forward_of(TabletClient& tablets, std::string keyspace,
                                                                  std::string workflow) {
  const std::string forward = reverse_workflow_name(workflow);
  CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(tablets.topology()));
  for (const auto& one : records) {
    if (one.record.source_keyspace() == keyspace && one.record.workflow() == forward) {
      co_return std::pair{one.record.target_keyspace(), forward};
    }
  }
  CO_ASSIGN_OR_RETURN(const auto model, co_await read_workflow(tablets, keyspace, workflow, net::Wait::within(30s)));
  co_return std::pair{model.source_keyspace, forward};
}

net::Task<Result<std::unique_ptr<engine::Operation>>> make_operation(TabletClient& tablets, engine::Tenure& tenure) {
  const auto& record = tenure.record();
  if (record.kind() == engine::kShardChange) co_return co_await make_shard_change(tablets, tenure);
  if (record.kind() == engine::kServedFromChange) co_return co_await make_served_from_change(tablets, tenure);
  const std::string& kind = tenure.open().kind();
  const auto& settings = tenure.open().settings();
  Side source{record.source_keyspace(), {}};
  if (!settings.contains(kIgnoreSource)) {
    CO_ASSIGN_OR_RETURN(source, co_await load_side(tablets, record.source_keyspace(),
                                                   {record.source_shards().begin(), record.source_shards().end()}));
  }
  CO_ASSIGN_OR_RETURN(auto target, co_await load_side(tablets, record.target_keyspace(),
                                                      {record.target_shards().begin(), record.target_shards().end()}));
  std::unique_ptr<engine::Operation> made;
  if (kind == "switch") {
    made = std::make_unique<SwitchOperation>(tablets, tenure, SwitchPlan::from_settings(settings), std::move(source),
                                             std::move(target));
  } else if (kind == "complete") {
    made = std::make_unique<CompleteOperation>(tablets, tenure, std::move(source), std::move(target));
  } else if (kind == "cancel") {
    made = std::make_unique<CancelOperation>(tablets, tenure, std::move(source), std::move(target));
  } else if (kind == kAddTables) {
    made = std::make_unique<AddTablesOperation>(tablets, tenure, std::vector<::tabletmanagerdata::TableDefinition>(),
                                                std::move(target));
  } else if (kind == "create") {
    made = std::make_unique<CreateOperation>(tablets, tenure, CreatePlan{}, std::move(target));
  } else {
    co_return fail(Code::kUnimplemented,
                   fmt::format("this vtctld does not know the operation {} of {}; a newer one does", kind,
                               engine::name_of(record)));
  }
  co_return made;
}

net::Task<Status> finish_without_source(TabletClient& tablets, engine::Tenure& tenure) {
  Status done = co_await tenure.change(
      [](engine::Record& record) { (*record.mutable_open()->mutable_settings())[kIgnoreSource] = "true"; });
  if (done.ok()) {
    auto operation = co_await make_operation(tablets, tenure);
    if (operation.ok()) co_return co_await engine::carry_out(tenure, **operation, true);
    done = std::move(operation).error();
  }
  co_await tenure.end();
  co_return done;
}

}  // namespace

engine::OperationFactory operation_factory(TabletClient& tablets) {
  return [&tablets](engine::Tenure& tenure) { return make_operation(tablets, tenure); };
}

net::Task<Result<FoundWorkflow>> find_workflow(TabletClient& tablets, std::string keyspace, std::string workflow) {
  topo::Server& topology = tablets.topology();
  const net::Wait wait = net::Wait::within(topology.options().lock_timeout);
  FoundWorkflow found;
  for (int attempt = 0;; ++attempt) {
    CO_RETURN_IF_ERROR(co_await engine::settle(topology, keyspace, workflow, operation_factory(tablets),
                                               engine::this_process(), wait));
    auto stored = co_await engine::load_record(topology, keyspace, workflow);
    if (stored.ok() && !stored->record.has_open()) {
      found.stored = std::move(*stored);
      co_return found;
    }
    if (stored.ok()) continue;
    if (stored.error().code() != Code::kNotFound || attempt > 3) co_return std::move(stored).error();
    if (!found.by_reverse_name && is_reverse_name(workflow)) {
      auto forward = co_await forward_of(tablets, keyspace, workflow);
      if (!forward.ok()) co_return std::move(forward).error();
      found.by_reverse_name = true;
      std::tie(keyspace, workflow) = std::move(*forward);
      continue;
    }
    CO_ASSIGN_OR_RETURN(const auto adopted, co_await adopt(tablets, keyspace, workflow));
    (void)adopted;
  }
}

net::Task<Result<std::unique_ptr<engine::Tenure>>> begin_operation(TabletClient& tablets,
                                                                   const engine::StoredRecord& stored, std::string kind,
                                                                   std::map<std::string, std::string> settings) {
  co_return co_await engine::Tenure::begin(
      tablets.topology(), stored, engine::make_operation(std::move(kind), std::move(settings)), engine::this_process());
}

net::Task<Result<std::string>> end_without_source(TabletClient& tablets, std::string keyspace, std::string workflow) {
  topo::Server& topology = tablets.topology();
  const auto until = base::system_clock().now() + 60s;
  for (;;) {
    auto stored = co_await engine::load_record(topology, keyspace, workflow);
    if (!stored.ok() || !stored->record.has_open()) co_return std::string();
    const auto& open = stored->record.open();
    const std::string kind = open.kind();
    if ((kind != "complete" && kind != "cancel") || open.settings().contains(kIgnoreSource)) co_return std::string();
    // Nobody tries just now: whoever did has paused behind a failure.
    if (open.owner().empty()) {
      auto tenure = co_await engine::Tenure::take_over(topology, *stored, engine::this_process());
      if (!tenure.ok() && tenure.error().code() != Code::kAborted) co_return std::move(tenure).error();
      if (tenure.ok()) {
        CO_RETURN_IF_ERROR(co_await finish_without_source(tablets, **tenure));
        co_return kind;
      }
    }
    if (base::system_clock().now() >= until) {
      co_return fail(Code::kDeadlineExceeded,
                     fmt::format("{}: {}", engine::name_of(stored->record), engine::describe_open(stored->record)));
    }
    (void)co_await net::sleep_for(50ms);
  }
}

net::Task<Status> adopt_workflows(TabletClient& tablets, std::string keyspace) {
  auto names = co_await list_workflows(tablets, keyspace, net::Wait::within(30s));
  if (!names.ok()) co_return Status{};
  for (const auto& name : *names) {
    if (is_reverse_name(name)) continue;
    auto known = co_await engine::load_record(tablets.topology(), keyspace, name);
    if (known.ok() || known.error().code() != Code::kNotFound) continue;
    auto adopted = co_await adopt(tablets, keyspace, name);
    if (!adopted.ok()) log_warning("workflow {}.{} gets no record: {}", keyspace, name, adopted.error().message());
  }
  co_return Status{};
}

net::Task<Status> adopt_old_switches(TabletClient& tablets) {
  auto entries = co_await tablets.topology().global().list_dir(std::string(topo::kWorkflowsDir));
  if (!entries.ok()) {
    if (entries.error().code() == Code::kNotFound) co_return Status{};
    co_return std::move(entries).error();
  }
  for (const auto& entry : *entries) {
    if (!entry.name.starts_with(kOldPrefix)) continue;
    auto stored = co_await tablets.topology().global().get(topo::workflow_path(entry.name));
    ::workflow::Workflow old;
    ::workflow::WorkflowCheckpoint checkpoint;
    if (!stored.ok() || !old.ParseFromString(stored->data) || !checkpoint.ParseFromString(old.data())) continue;
    const auto& settings = checkpoint.settings();
    if (!settings.contains("keyspace") || !settings.contains("workflow")) continue;
    auto adopted = co_await adopt(tablets, settings.at("keyspace"), settings.at("workflow"));
    if (!adopted.ok()) log_warning("the unfinished {} gets no record: {}", entry.name, adopted.error().message());
  }
  co_return Status{};
}

WorkflowModel model_of(const engine::Record& record, bool reversed) {
  WorkflowModel model;
  model.name = reversed ? reverse_workflow_name(record.workflow()) : record.workflow();
  model.source_keyspace = reversed ? record.target_keyspace() : record.source_keyspace();
  model.target_keyspace = reversed ? record.source_keyspace() : record.target_keyspace();
  model.is_reshard = record.kind() == "Reshard";
  model.is_partial = is_partial(record);
  model.is_tenant = is_tenant(record);
  model.tables.assign(record.tables().begin(), record.tables().end());
  for (const auto& name : reversed ? record.target_shards() : record.source_shards()) model.sources[name];
  for (const auto& name : reversed ? record.source_shards() : record.target_shards()) model.targets[name];
  return model;
}

net::Task<Result<KeyspaceLocks>> KeyspaceLocks::acquire(topo::Server& topology, std::string a, std::string b,
                                                        std::string action) {
  KeyspaceLocks locks;
  std::vector<std::string> names = {std::min(a, b)};
  if (a != b) names.push_back(std::max(a, b));
  for (const auto& name : names) {
    CO_ASSIGN_OR_RETURN(
        auto lock, co_await topo::KeyspaceLock::acquire(topology, name, action, {.wait_max = {}, .lease = kLockLease}));
    locks.locks_.push_back(std::move(lock));
  }
  co_return std::move(locks);
}

net::Task<Status> KeyspaceLocks::release() {
  Status outcome;
  for (auto& lock : locks_) {
    Status released = co_await lock.release();
    if (outcome.ok()) outcome = std::move(released);
  }
  co_return outcome;
}

}  // namespace vitrail::control
