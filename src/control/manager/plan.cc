#include "control/manager/plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"

namespace vitrail::control::manager {
namespace {

using ::workflow::Task;

constexpr size_t kOutputMax = 2'000;  // Bytes of a task's output in the record.
constexpr const char* kLog = "log";

int64_t to_ms(base::WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}
int64_t to_s(base::WallTime time) { return to_ms(time) / 1000; }

const Task& task_of(const Record& record, const std::string& id) {
  static const Task kNone;
  const auto found = record.checkpoint.tasks().find(id);
  return found == record.checkpoint.tasks().end() ? kNone : found->second;
}

struct KnownPhase {
  std::string_view path;
  std::string_view label;
  std::string_view shards;  // The setting that lists its tasks.
  bool parallel;
};
constexpr KnownPhase kPhases[] = {
    {kCopySchema, "CopySchemaShard", "destination_shards", true},
    {kClone, "SplitClone", "clone_shards", true},
    {kWaitForFilteredReplication, "WaitForFilteredReplication", "destination_shards", true},
    {kDiff, "SplitDiff", "destination_shards", false},
    {kMigrateRdonly, "MigrateServedTypeRdonly", "clone_shards", false},
    {kMigrateReplica, "MigrateServedTypeReplica", "clone_shards", false},
    {kMigrateMaster, "MigrateServedTypeMaster", "clone_shards", false},
};

bool has_finished(const Record& record, const Phase& phase) {
  for (size_t i = 0; i < phase.tasks.size(); ++i) {
    if (!has_succeeded(task_of(record, phase.id(i)))) return false;
  }
  return true;
}

// The phase that is to be carried out; null when all have finished.
const Phase* present_phase(const Record& record, const std::vector<Phase>& phases) {
  for (const Phase& phase : phases) {
    if (!has_finished(record, phase)) return &phase;
  }
  return nullptr;
}

std::string approval_key(const Phase& phase) { return "approved." + phase.path; }

enum class Approved : uint8_t { kNone, kFirst, kAll };
Approved approved(const Record& record, const Phase& phase) {
  if (!phase.approvals) return Approved::kAll;
  const std::string& text = record.setting(approval_key(phase));
  if (text == "all" || (text == "first" && phase.tasks.size() == 1)) return Approved::kAll;
  return text == "first" ? Approved::kFirst : Approved::kNone;
}

bool is_running(const Record& record) { return record.workflow.state() == ::workflow::Running; }

// "/<uuid>/copy_schema/-80", read.
struct Node {
  const Phase* phase = nullptr;  // Null: the workflow.
  std::optional<size_t> task = {};
};
std::optional<Node> find_node(const Record& record, const std::vector<Phase>& phases, std::string_view path) {
  if (path.starts_with('/')) path.remove_prefix(1);
  const std::vector<std::string_view> parts = base::split(path, '/');
  if (parts.empty() || parts.size() > 3 || parts[0] != record.workflow.uuid()) return std::nullopt;
  if (parts.size() == 1) return Node{};
  const auto phase = std::ranges::find(phases, parts[1], &Phase::path);
  if (phase == phases.end()) return std::nullopt;
  if (parts.size() == 2) return Node{.phase = &*phase};
  const auto task = std::ranges::find(phase->tasks, parts[2]);
  if (task == phase->tasks.end()) return std::nullopt;
  return Node{.phase = &*phase, .task = static_cast<size_t>(task - phase->tasks.begin())};
}

std::vector<Button> workflow_buttons(const Record& record) {
  const Button start{.name = std::string(kStart), .enabled = true};
  const Button remove{.name = std::string(kDelete), .enabled = true, .style = Button::Style::kWarning};
  switch (record.workflow.state()) {
    case ::workflow::Running: return {{.name = std::string(kStop), .enabled = true, .style = Button::Style::kWarning}};
    case ::workflow::NotStarted: return {start, remove};
    default:
      // One that was stopped goes on where it was.
      return record.workflow.error().empty() ? std::vector{remove} : std::vector{start, remove};
  }
}

std::vector<Button> phase_buttons(const Record& record, const Phase& phase, const Phase* present) {
  if (!phase.approvals || !is_running(record) || present == nullptr || present->path != phase.path) return {};
  const Approved now = approved(record, phase);
  std::vector<Button> out;
  if (now == Approved::kNone) {
    out.push_back({.name = std::string(kApproveFirst), .enabled = true, .style = Button::Style::kWaiting});
  } else {
    out.push_back(
        {.name = std::string(kApproveFirst), .style = Button::Style::kTriggered, .message = "First shard approved"});
  }
  if (phase.tasks.size() == 1) return out;
  if (now == Approved::kAll) {
    out.push_back({.name = std::string(kApproveRemaining),
                   .style = Button::Style::kTriggered,
                   .message = "Remaining shards approved"});
    return out;
  }
  const bool ready = now == Approved::kFirst && (phase.parallel || has_succeeded(task_of(record, phase.id(0))));
  out.push_back({.name = std::string(kApproveRemaining),
                 .enabled = ready,
                 .style = ready ? Button::Style::kWaiting : Button::Style::kNormal});
  return out;
}

std::vector<Button> node_buttons(const Record& record, const std::vector<Phase>& phases, const Node& node) {
  if (node.phase == nullptr) return workflow_buttons(record);
  if (!node.task) return phase_buttons(record, *node.phase, present_phase(record, phases));
  if (!is_running(record) || !has_failed(task_of(record, node.phase->id(*node.task)))) return {};
  return {{.name = std::string(kRetry), .enabled = true, .style = Button::Style::kWaiting}};
}

void set(Record& record, const std::string& key, std::string value) {
  (*record.checkpoint.mutable_settings())[key] = std::move(value);
}

}  // namespace

const std::string& Record::setting(const std::string& key) const {
  static const std::string kNone;
  const auto found = checkpoint.settings().find(key);
  return found == checkpoint.settings().end() ? kNone : found->second;
}

std::vector<std::string> Record::list(const std::string& key) const { return base::split_list(setting(key)); }

std::vector<std::string> resharding_phases() {
  std::vector<std::string> out;
  for (const KnownPhase& phase : kPhases) out.emplace_back(phase.path);
  return out;
}

std::vector<Phase> phases_of(const Record& record) {
  const std::string& factory = record.workflow.factory_name();
  if (factory == kSleep) return {{.path = "sleep", .label = "Sleep", .tasks = {"sleep"}}};
  if (factory == kTopoValidator) {
    return {{.path = "validate", .label = "Validate", .parallel = true, .tasks = {"topology"}}};
  }
  if (factory != kHorizontalResharding) return {};
  const std::vector<std::string> with_approvals = record.list("phase_enable_approvals");
  std::vector<Phase> out;
  for (const KnownPhase& known : kPhases) {
    out.push_back({.path = std::string(known.path),
                   .label = std::string(known.label),
                   .parallel = known.parallel,
                   .approvals = std::ranges::find(with_approvals, known.path) != with_approvals.end(),
                   .tasks = record.list(std::string(known.shards))});
  }
  return out;
}

bool has_failed(const Task& task) { return task.state() == ::workflow::TaskDone && !task.error().empty(); }
bool has_succeeded(const Task& task) { return task.state() == ::workflow::TaskDone && task.error().empty(); }

Decision decide(const Record& record, const std::set<std::string>& here) {
  if (!is_running(record)) return {};
  const std::vector<Phase> phases = phases_of(record);
  const Phase* phase = present_phase(record, phases);
  if (phase == nullptr) return {.start = {}, .finished = true};
  const Approved allowed = approved(record, *phase);
  Decision out;
  for (size_t i = 0; i < phase->tasks.size(); ++i) {
    const std::string id = phase->id(i);
    const Task& task = task_of(record, id);
    const bool left = task.state() == ::workflow::TaskRunning && !here.contains(id);
    const bool waits = task.state() == ::workflow::TaskNotStarted &&
                       (allowed == Approved::kAll || (allowed == Approved::kFirst && i == 0));
    if (left || waits) out.start.push_back(id);
    // One at a time, and none behind one that failed.
    if (!phase->parallel && !has_succeeded(task)) break;
  }
  return out;
}

std::vector<Button> buttons_of(const Record& record, std::string_view path) {
  const std::vector<Phase> phases = phases_of(record);
  const auto node = find_node(record, phases, path);
  return node ? node_buttons(record, phases, *node) : std::vector<Button>();
}

Status press(Record& record, std::string_view path, std::string_view button, base::WallTime now, std::string_view who) {
  const std::vector<Phase> phases = phases_of(record);
  const auto node = find_node(record, phases, path);
  if (!node) {
    return fail(Code::kNotFound,
                fmt::format("no node {} in workflow {}; WorkflowTree shows all nodes", path, record.workflow.uuid()));
  }
  const std::string name(button);
  const bool approval = button == kApproveFirst || button == kApproveRemaining;
  const auto buttons = node_buttons(record, phases, *node);
  const auto found = std::ranges::find(buttons, name, &Button::name);
  if (found == buttons.end() || !found->enabled) {
    if (node->phase != nullptr && !node->task && approval) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("ignored the approval action {} because no pending approval found: it might be already "
                              "approved before",
                              button));
    }
    std::vector<std::string> there;
    for (const Button& one : buttons) {
      if (one.enabled) there.push_back("\"" + one.name + "\"");
    }
    return fail(Code::kFailedPrecondition, fmt::format("{} has no action \"{}\" now; it has {}", path, button,
                                                       there.empty() ? "none" : base::join(there, ", ")));
  }
  const std::string by = who.empty() ? "" : fmt::format(" by {}", who);
  auto& workflow = record.workflow;
  if (button == kStart) {
    if (workflow.start_time() == 0) workflow.set_start_time(to_s(now));
    workflow.set_state(::workflow::Running);
    workflow.clear_error();
    workflow.clear_end_time();
    add_log(record, now, "", "started" + by);
  } else if (button == kStop) {
    workflow.set_state(::workflow::Done);
    workflow.set_error("canceled: the workflow was stopped");
    workflow.set_end_time(to_s(now));
    add_log(record, now, "", "stopped" + by);
  } else if (approval) {
    const bool first = button == kApproveFirst;
    set(record, approval_key(*node->phase), first ? "first" : "all");
    add_log(record, now, node->phase->path, (first ? "first shard approved" : "remaining shards approved") + by);
  } else if (button == kRetry) {
    const std::string id = node->phase->id(*node->task);
    Task& task = (*record.checkpoint.mutable_tasks())[id];
    task.set_state(::workflow::TaskNotStarted);
    task.clear_error();
    add_log(record, now, id, "retry" + by);
  } else {
    return fail(Code::kInvalidArgument, fmt::format("use WorkflowDelete {}", workflow.uuid()));
  }
  return {};
}

void begin_task(Record& record, const std::string& id, base::WallTime now) {
  Task& task = (*record.checkpoint.mutable_tasks())[id];
  const bool again = task.state() == ::workflow::TaskRunning;
  task.set_id(id);
  task.set_state(::workflow::TaskRunning);
  task.clear_error();
  auto& attributes = *task.mutable_attributes();
  const std::string& before = attributes["attempts"];
  attributes["attempts"] = std::to_string(before.empty() ? 1 : std::atoi(before.c_str()) + 1);
  attributes["started_ms"] = std::to_string(to_ms(now));
  attributes.erase("ended_ms");
  attributes.erase("output");
  attributes.erase("taken_over");
  if (again) attributes["taken_over"] = "true";
  add_log(record, now, id, again ? "taken over from a process that has ended" : "started");
}

void end_task(Record& record, const std::string& id, const Status& outcome, std::string output, base::WallTime now) {
  Task& task = (*record.checkpoint.mutable_tasks())[id];
  task.set_state(::workflow::TaskDone);
  const std::string error = outcome.ok() ? "" : outcome.error().to_string();
  task.set_error(error);
  if (output.size() > kOutputMax) output.erase(0, output.size() - kOutputMax);
  auto& attributes = *task.mutable_attributes();
  attributes["ended_ms"] = std::to_string(to_ms(now));
  // Protobuf strings are UTF-8; a cut or a server's text may not be.
  if (!output.empty()) {
    std::string quoted = base::json_string(output);
    attributes["output"] = nlohmann::json::parse(quoted).get<std::string>();
  }
  add_log(record, now, id, outcome.ok() ? "done" : "failed: " + error);
}

void finish(Record& record, base::WallTime now) {
  record.workflow.set_state(::workflow::Done);
  record.workflow.clear_error();
  record.workflow.set_end_time(to_s(now));
  add_log(record, now, "", "finished");
}

std::vector<LogEntry> log_of(const Record& record) {
  const auto entries = nlohmann::json::parse(record.setting(kLog), nullptr, /*allow_exceptions=*/false);
  std::vector<LogEntry> out;
  if (!entries.is_array()) return out;
  for (const auto& entry : entries) {
    if (!entry.is_array() || entry.size() != 3 || !entry[0].is_number_integer() || !entry[1].is_string() ||
        !entry[2].is_string())
      continue;
    out.push_back({entry[0].get<int64_t>(), entry[1].get<std::string>(), entry[2].get<std::string>()});
  }
  return out;
}

void add_log(Record& record, base::WallTime now, std::string node, std::string what) {
  std::vector<LogEntry> entries = log_of(record);
  entries.push_back({to_ms(now), std::move(node), std::move(what)});
  if (entries.size() > kLogEntriesMax) entries.erase(entries.begin());
  auto all = nlohmann::json::array();
  for (const LogEntry& entry : entries) all.push_back({entry.at_ms, entry.node, entry.what});
  set(record, kLog, all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace vitrail::control::manager
