#include "control/manager/tree.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vitrail::control::manager {
namespace {

using Json = nlohmann::ordered_json;

// As in the older generation's trees.
constexpr int kDeterminate = 2;
constexpr int kNoBar = 3;

std::string dump(const Json& json, int indent) { return json.dump(indent, ' ', false, Json::error_handler_t::replace); }

std::string time_text(int64_t at_ms) {
  const auto seconds = static_cast<std::time_t>(at_ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

Json actions_of(const Record& record, const std::string& path) {
  Json out = Json::array();
  for (const Button& button : buttons_of(record, path)) {
    Json one = {{"name", button.name}, {"state", button.enabled ? 1 : 2}, {"style", static_cast<int>(button.style)}};
    if (!button.message.empty()) one["message"] = button.message;
    out.push_back(std::move(one));
  }
  return out;
}

Json node(const Record& record, std::string name, std::string path_name, std::string path, int state) {
  Json out = {{"name", std::move(name)}, {"pathName", std::move(path_name)}, {"path", path}, {"state", state}};
  Json actions = actions_of(record, path);
  if (!actions.empty()) out["actions"] = std::move(actions);
  return out;
}

std::string attribute(const ::workflow::Task& task, const char* key) {
  const auto found = task.attributes().find(key);
  return found == task.attributes().end() ? "" : found->second;
}

int64_t seconds_of(const std::string& ms) { return std::atoll(ms.c_str()) / 1000; }

Json task_node(const Record& record, const Phase& phase, size_t index, const std::string& said) {
  const std::string id = phase.id(index);
  const auto found = record.checkpoint.tasks().find(id);
  const ::workflow::Task task = found == record.checkpoint.tasks().end() ? ::workflow::Task() : found->second;
  const bool failed = has_failed(task);
  // One that failed is not at its end: it can be retried.
  const int state = failed ? 1 : static_cast<int>(task.state());
  const bool of_shard = record.workflow.factory_name() == kHorizontalResharding;
  Json out = node(record, of_shard ? "Shard " + phase.tasks[index] : phase.tasks[index], phase.tasks[index],
                  "/" + record.workflow.uuid() + "/" + id, state);
  out["failed"] = failed;
  out["display"] = kNoBar;
  const std::string output = attribute(task, "output");
  if (failed) {
    out["message"] = "failed: " + task.error();
  } else if (has_succeeded(task)) {
    out["message"] = "done";
  } else if (task.state() == ::workflow::TaskRunning) {
    out["message"] = said.empty() ? "running" : said;
  }
  if (!output.empty()) out["log"] = output;
  if (const auto started = attribute(task, "started_ms"); !started.empty()) {
    const auto ended = attribute(task, "ended_ms");
    out["createTime"] = seconds_of(started);
    out["lastChanged"] = seconds_of(ended.empty() ? started : ended);
  }
  return out;
}

Json phase_node(const Record& record, const Phase& phase, const std::map<std::string, std::string>& said) {
  const std::string& uuid = record.workflow.uuid();
  Json children = Json::array();
  size_t done = 0;
  bool begun = false;
  bool failed = false;
  int64_t changed = 0;
  for (size_t i = 0; i < phase.tasks.size(); ++i) {
    const auto last = said.find(uuid + "/" + phase.id(i));
    Json task = task_node(record, phase, i, last == said.end() ? std::string() : last->second);
    const int state = task["state"];
    done += state == 2 ? 1 : 0;
    begun = begun || state != 0;
    failed = failed || task["failed"].get<bool>();
    changed = std::max(changed, task.value("lastChanged", int64_t{0}));
    children.push_back(std::move(task));
  }
  const size_t all = phase.tasks.size();
  const std::string path = "/" + uuid + "/" + phase.path;
  const bool present = begun || !buttons_of(record, path).empty();
  Json out = node(record, phase.label, phase.path, path, done == all ? 2 : present ? 1 : 0);
  out["failed"] = failed;
  out["display"] = kDeterminate;
  out["progress"] = all == 0 ? 100 : 100 * done / all;
  out["progressMsg"] = fmt::format("{}/{}", done, all);
  if (changed != 0) out["lastChanged"] = changed;
  out["children"] = std::move(children);
  return out;
}

Json workflow_node(const Record& record, const std::map<std::string, std::string>& said) {
  const auto& workflow = record.workflow;
  const std::string& uuid = workflow.uuid();
  Json out = node(record, workflow.name(), uuid, "/" + uuid, static_cast<int>(workflow.state()));
  Json children = Json::array();
  size_t done = 0;
  bool failed = !workflow.error().empty();
  for (const Phase& phase : phases_of(record)) {
    children.push_back(phase_node(record, phase, said));
    done += children.back()["state"] == 2 ? 1 : 0;
    failed = failed || children.back()["failed"].get<bool>();
  }
  const size_t all = children.size();
  std::string message;
  switch (workflow.state()) {
    case ::workflow::NotStarted: message = "not started"; break;
    case ::workflow::Running: message = failed ? "a task failed: Retry goes on with it" : "running"; break;
    default:
      message = !workflow.error().empty()                          ? workflow.error()
                : workflow.factory_name() == kHorizontalResharding ? "Horizontal Resharding is finished successfully."
                                                                   : "finished";
  }
  std::string log;
  for (const LogEntry& entry : log_of(record)) {
    log += fmt::format("{} {}{}{}\n", time_text(entry.at_ms), entry.node, entry.node.empty() ? "" : ": ", entry.what);
  }
  out["factory"] = workflow.factory_name();
  out["failed"] = failed;
  out["message"] = std::move(message);
  out["display"] = kDeterminate;
  out["progress"] = all == 0 ? 0 : 100 * done / all;
  out["progressMsg"] = fmt::format("{}/{}", done, all);
  out["createTime"] = workflow.create_time();
  out["lastChanged"] = std::max({workflow.create_time(), workflow.start_time(), workflow.end_time()});
  out["log"] = std::move(log);
  out["children"] = std::move(children);
  return out;
}

}  // namespace

std::string tree_of(const Record& record, const std::map<std::string, std::string>& said) {
  return dump(workflow_node(record, said), -1);
}

std::string forest_of(const std::vector<Record>& records) {
  Json nodes = Json::array();
  for (const Record& record : records) nodes.push_back(workflow_node(record, {}));
  return dump(Json{{"nodes", std::move(nodes)}}, 2) + "\n";
}

}  // namespace vitrail::control::manager
