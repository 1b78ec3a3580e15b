#include "control/workflow/steps.h"

#include <csignal>

#include "base/log.h"
#include "workflow.pb.h"

namespace vitrail::control {
namespace {

std::string crash_point;

std::string record_path(const std::string& id) { return "workflows/" + id + "/Workflow"; }

}  // namespace

void StepRecord::set_crash_point(std::string step_id) { crash_point = std::move(step_id); }

StepRecord::StepRecord(topo::Server& topology, std::string id, std::string kind, Settings settings)
    : topology_(&topology), id_(std::move(id)), kind_(std::move(kind)), settings_(std::move(settings)) {
  created_seconds_ =
      std::chrono::duration_cast<std::chrono::seconds>(topology.clock().wall_now().time_since_epoch()).count();
}

bool StepRecord::done(const std::string& step) const {
  const auto found = states_.find(step);
  return found != states_.end() && found->second;
}

net::Task<Result<StepRecord>> StepRecord::load(topo::Server& topology, std::string id) {
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topology.global().get(record_path(id)));
  ::workflow::Workflow workflow;
  ::workflow::WorkflowCheckpoint checkpoint;
  if (!workflow.ParseFromString(stored.data) || !checkpoint.ParseFromString(workflow.data())) {
    co_return fail(Code::kDataLoss, "the record " + record_path(id) + " cannot be read");
  }
  StepRecord record(topology, id, workflow.factory_name(),
                    Settings(checkpoint.settings().begin(), checkpoint.settings().end()));
  record.created_seconds_ = workflow.create_time();
  for (const auto& [step, task] : checkpoint.tasks()) record.states_[step] = task.state() == ::workflow::TaskDone;
  co_return std::move(record);
}

net::Task<Result<std::vector<std::string>>> StepRecord::list(topo::Server& topology) {
  std::vector<std::string> ids;
  auto entries = co_await topology.global().list_dir("workflows");
  if (!entries.ok()) {
    if (entries.error().code() == Code::kNotFound) co_return ids;
    co_return std::move(entries).error();
  }
  for (const auto& entry : *entries) ids.push_back(entry.name);
  co_return ids;
}

net::Task<Status> StepRecord::save() {
  ::workflow::WorkflowCheckpoint checkpoint;
  checkpoint.set_code_version(1);
  for (const auto& [step, is_done] : states_) {
    auto& task = (*checkpoint.mutable_tasks())[step];
    task.set_id(step);
    task.set_state(is_done ? ::workflow::TaskDone : ::workflow::TaskRunning);
  }
  for (const auto& [name, value] : settings_) (*checkpoint.mutable_settings())[name] = value;
  ::workflow::Workflow workflow;
  workflow.set_uuid(id_);
  workflow.set_factory_name(kind_);
  workflow.set_name(kind_ + " " + id_);
  workflow.set_state(::workflow::Running);
  workflow.set_create_time(created_seconds_);
  workflow.set_start_time(created_seconds_);
  workflow.set_data(checkpoint.SerializeAsString());
  auto written = co_await topology_->global().update(record_path(id_), workflow.SerializeAsString(), std::nullopt);
  if (!written.ok()) co_return std::move(written).error();
  co_return Status{};
}

net::Task<Status> StepRecord::remove() {
  Status removed = co_await topology_->global().remove(record_path(id_), std::nullopt);
  if (!removed.ok() && removed.error().code() == Code::kNotFound) co_return Status{};
  co_return removed;
}

net::Task<Status> StepRecord::run(const std::vector<Step>& steps) {
  bool committed = false;
  for (const Step& step : steps) {
    if (done(step.id)) {
      committed = committed || step.point_of_no_return;
      continue;
    }
    states_.emplace(step.id, false);
    Status outcome = co_await save();
    if (!crash_point.empty() && crash_point == step.id) std::raise(SIGKILL);
    if (outcome.ok()) outcome = co_await step.apply();
    if (!outcome.ok()) {
      Error error = std::move(outcome).error();
      if (committed) {
        co_return std::move(error).with_context("step " + step.id +
                                                " failed behind the point of no return; run the same "
                                                "command again to go on");
      }
      log_warning("{}: step {} failed, undoing: {}", id_, step.id, error.message());
      if (Status undone = co_await undo(steps); !undone.ok()) {
        error = std::move(error).with_context("undoing failed too (" + undone.error().message() +
                                              "), run the same command "
                                              "again");
      }
      co_return error;
    }
    states_[step.id] = true;
    committed = committed || step.point_of_no_return;
  }
  co_return co_await remove();
}

net::Task<Status> StepRecord::undo(const std::vector<Step>& steps) {
  for (size_t i = steps.size(); i-- > 0;) {
    if (!started(steps[i].id) || !steps[i].undo) continue;
    CO_RETURN_IF_ERROR(co_await steps[i].undo());
  }
  co_return co_await remove();
}

net::Task<Status> StepRecord::recover(const std::vector<Step>& steps) {
  for (const Step& step : steps) {
    // A started point of no return may have taken effect: forward is the only safe way.
    if (step.point_of_no_return && started(step.id)) co_return co_await run(steps);
  }
  co_return co_await undo(steps);
}

}  // namespace vitrail::control
