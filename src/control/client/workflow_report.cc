#include "control/client/workflow_report.h"

#include <ctime>
#include <nlohmann/json.hpp>

namespace vitrail::control {
namespace {

using Json = nlohmann::ordered_json;

std::string time_text(int64_t ms) {
  if (ms == 0) return "";
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Json steps_of(const ::workflowdata::Operation& operation) {
  Json steps = Json::array();
  for (const auto& step : operation.steps()) {
    Json one = {{"name", step.name()},
                {"state", ::workflowdata::StepState_Name(step.state())},
                {"started_at", time_text(step.started_ms())},
                {"ended_at", time_text(step.ended_ms())}};
    if (!step.error().empty()) one["error"] = step.error();
    steps.push_back(std::move(one));
  }
  return steps;
}

Json open_json(const ::workflowdata::Operation& operation) {
  return {{"operation", operation.kind()},
          {"state", operation.owner().empty() ? "WAITING"
                    : operation.undoing()     ? "UNDOING"
                                              : "UNDER_WAY"},
          {"undoing", operation.undoing()},
          {"started_at", time_text(operation.started_ms())},
          {"owner", operation.owner().empty() ? "" : operation.owner_text()},
          {"attempts", operation.attempts()},
          {"error", operation.error()},
          {"steps", steps_of(operation)}};
}

Json past_json(const ::workflowdata::Operation& operation) {
  Json out = {{"operation", operation.kind()},
              {"outcome", operation.outcome()},
              {"started_at", time_text(operation.started_ms())},
              {"ended_at", time_text(operation.ended_ms())}};
  if (!operation.error().empty()) out["error"] = operation.error();
  return out;
}

}  // namespace

std::string with_operations(std::string json, const std::vector<::workflowdata::Record>& records) {
  Json document = Json::parse(json, nullptr, false);
  if (!document.is_object() || !document.contains("workflows") || !document["workflows"].is_array()) return json;
  bool changed = false;
  for (Json& workflow : document["workflows"]) {
    const std::string name = workflow.value("name", "");
    for (const auto& record : records) {
      if (record.workflow() != name) continue;
      if (record.has_open()) workflow["open_operation"] = open_json(record.open());
      if (record.history_size() > 0) workflow["past_operations"] = Json::array();
      for (const auto& past : record.history()) workflow["past_operations"].push_back(past_json(past));
      changed = changed || record.has_open() || record.history_size() > 0;
    }
  }
  return changed ? document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : json;
}

}  // namespace vitrail::control
