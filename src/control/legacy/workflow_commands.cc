// Older commands on data movement: MoveTables and Reshard with "<action> <keyspace.workflow>", and what came before.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "control/client/client.h"
#include "control/legacy/command.h"
#include "vtctldata.pb.h"

namespace vitrail::control::legacy {
namespace {

namespace vd = ::vtctldata;
using Output = net::Task<Result<std::string>>;
using Words = std::vector<std::string>;

struct WorkflowName {
  std::string keyspace, workflow;
};

Result<WorkflowName> parse_name(std::string_view text) {
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == text.size()) {
    return fail(Code::kInvalidArgument,
                fmt::format("invalid format for <keyspace.workflow>: \"{}\", for example: customer.move1", text));
  }
  return WorkflowName{std::string(text.substr(0, dot)), std::string(text.substr(dot + 1))};
}

// A list of tables, or a JSON object whose keys they are.
Result<std::string> table_names(const std::string& text) {
  if (!base::trim(text).starts_with('{')) return text;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(Code::kInvalidArgument, "--tables: neither a list of tables nor a JSON object");
  Words names;
  for (const auto& [name, rest] : json.items()) names.push_back(name);
  return base::join(names, ",");
}

// Flags that are the same for one action, by their older names.
struct Action {
  std::string_view today;
  std::vector<std::pair<std::string_view, std::string_view>> flags;
};

const Action* find_action(std::string_view name) {
  static const std::map<std::string, Action, std::less<>> kActions = [] {
    const Action create{"create",
                        {{"source", "source-keyspace"},
                         {"exclude", "exclude-tables"},
                         {"all", "all-tables"},
                         {"cells", "cells"},
                         {"tablet_types", "tablet-types"},
                         {"auto_start", "auto-start"},
                         {"stop_after_copy", "stop-after-copy"},
                         {"defer-secondary-keys", "defer-secondary-keys"},
                         {"on-ddl", "on-ddl"},
                         {"atomic-copy", "atomic-copy"},
                         {"source_time_zone", "source-time-zone"},
                         {"source_shards", "source-shards"},
                         {"target_shards", "target-shards"},
                         {"skip_schema_copy", "skip-schema-copy"},
                         {"no_routing_rules", "no-routing-rules"}}};
    Action move{"switchtraffic",
                {{"cells", "cells"},
                 {"tablet_types", "tablet-types"},
                 {"timeout", "timeout"},
                 {"max_replication_lag_allowed", "max-replication-lag-allowed"},
                 {"reverse_replication", "enable-reverse-replication"},
                 {"dry_run", "dry-run"},
                 {"initialize-target-sequences", "initialize-target-sequences"}}};
    Action back = move;
    back.today = "reversetraffic";
    back.flags.pop_back();
    const Action complete{"complete",
                          {{"keep_data", "keep-data"},
                           {"keep_routing_rules", "keep-routing-rules"},
                           {"rename_tables", "rename-tables"},
                           {"dry_run", "dry-run"}}};
    const Action cancel{"cancel", {{"keep_data", "keep-data"}, {"keep_routing_rules", "keep-routing-rules"}}};
    return std::map<std::string, Action, std::less<>>{
        {"create", create},           {"switchtraffic", move},    {"reversetraffic", back},
        {"complete", complete},       {"cancel", cancel},         {"show", {"show", {}}},
        {"progress", {"status", {}}}, {"status", {"status", {}}}, {"getstate", {"status", {}}}};
  }();
  const auto found = kActions.find(base::to_lower(name));
  return found == kActions.end() ? nullptr : &found->second;
}

Output traffic_state(const Call& call, WorkflowName name) {
  vd::WorkflowStatusRequest request;
  request.set_keyspace(name.keyspace);
  request.set_workflow(name.workflow);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await call.vtctld<vd::WorkflowStatusResponse>("WorkflowStatus", std::move(request)));
  co_return done.traffic_state() + "\n";
}

// MoveTables and Reshard.
Output act(const Call& call, std::string kind, std::string action_name, std::string target) {
  CO_ASSIGN_OR_RETURN(const WorkflowName name, parse_name(target));
  const Action* action = find_action(action_name);
  if (action == nullptr) {
    co_return fail(Code::kInvalidArgument,
                   fmt::format("found unsupported action {}: {} knows Create, SwitchTraffic, ReverseTraffic, Complete, "
                               "Cancel, Show, Progress and GetState",
                               action_name, kind));
  }
  if (call.is_true("dry_run") && action->today != "complete" && !action->today.ends_with("traffic")) {
    co_return fail(Code::kInvalidArgument,
                   "-dry_run is only supported for SwitchTraffic, ReverseTraffic and Complete, not for " + action_name);
  }
  if (base::equals_ignoring_case(action_name, "getstate")) co_return co_await traffic_state(call, name);
  Words words = {kind, "--workflow=" + name.workflow, "--target-keyspace=" + name.keyspace, std::string(action->today)};
  for (const auto& [older, today] : action->flags) {
    if (call.has(older)) words.push_back(fmt::format("--{}={}", today, call.get(older)));
  }
  if (action->today == "create" && call.has("tables")) {
    CO_ASSIGN_OR_RETURN(const std::string tables, table_names(call.get("tables")));
    words.push_back("--tables=" + tables);
  }
  co_return co_await call.run(std::move(words));
}

// "Create ks.wf", or the form before that: -workflow=wf <source keyspace> <target keyspace> <tables>.
Output move_tables(const Call& call) {
  if (call.arguments.size() == 2) return act(call, "MoveTables", call.arguments[0], call.arguments[1]);
  Call today = call;
  today.flags["source"] = call.arguments[0];
  today.flags["tables"] = call.arguments[2];
  return [](Call first, std::string target) -> Output {
    co_return co_await act(first, "MoveTables", "Create", std::move(target));
  }(std::move(today), call.arguments[1] + "." + call.get("workflow"));
}

// "Create ks.wf", or the form before that: <ks.wf> <source shards> <target shards>.
Output reshard(const Call& call) {
  if (call.arguments.size() == 2) return act(call, "Reshard", call.arguments[0], call.arguments[1]);
  Call today = call;
  today.flags["source_shards"] = call.arguments[1];
  today.flags["target_shards"] = call.arguments[2];
  return [](Call first, std::string target) -> Output {
    co_return co_await act(first, "Reshard", "Create", std::move(target));
  }(std::move(today), call.arguments[0]);
}

// MoveTables or Reshard, as the workflow itself says.
net::Task<Result<vd::Workflow>> find_workflow(const Call& call, WorkflowName name) {
  vd::GetWorkflowsRequest request;
  request.set_keyspace(name.keyspace);
  request.set_workflow(name.workflow);
  CO_ASSIGN_OR_RETURN(auto done, co_await call.vtctld<vd::GetWorkflowsResponse>("GetWorkflows", std::move(request)));
  if (done.workflows().empty()) {
    co_return fail(Code::kNotFound,
                   fmt::format("the {} workflow does not exist in the {} keyspace", name.workflow, name.keyspace));
  }
  co_return std::move(*done.mutable_workflows(0));
}

std::string kind_of(const vd::Workflow& workflow) {
  return base::equals_ignoring_case(workflow.workflow_type(), "Reshard") ? "Reshard" : "MoveTables";
}

// SwitchReads -tablet_type=replica, SwitchWrites, DropSources; each perhaps with -reverse, each on <keyspace.workflow>.
Body older_switch(std::string_view types, bool complete) {
  return [types = std::string(types), complete](const Call& c) {
    return [](const Call& call, std::string tablet_types, bool finish) -> Output {
      CO_ASSIGN_OR_RETURN(const WorkflowName name, parse_name(call.arguments[0]));
      CO_ASSIGN_OR_RETURN(const vd::Workflow workflow, co_await find_workflow(call, name));
      const bool reverse = call.is_true("reverse");
      Words words = {kind_of(workflow), "--workflow=" + name.workflow, "--target-keyspace=" + name.keyspace,
                     finish    ? "complete"
                     : reverse ? "reversetraffic"
                               : "switchtraffic"};
      if (!finish) words.push_back("--tablet-types=" + call.get("tablet_types", tablet_types));
      for (const auto& flag : call.todays_flags()) words.push_back(flag);
      co_return co_await call.run(std::move(words));
    }(c, types, complete);
  };
}

// "<ks.wf>" alone compares and waits. "<ks.wf> <action> [<argument>]", or the action first.
Output vdiff(const Call& call) {
  std::vector<std::string> rest = call.arguments;
  if (rest.size() > 1 && rest[0].find('.') == std::string::npos) std::swap(rest[0], rest[1]);
  CO_ASSIGN_OR_RETURN(const WorkflowName name, parse_name(rest[0]));
  Words words = {"VDiff", "--workflow=" + name.workflow, "--target-keyspace=" + name.keyspace};
  if (call.has("format")) words.push_back("--format=" + call.get("format", "text"));
  const std::string action = rest.size() > 1 ? base::to_lower(rest[1]) : "create";
  words.push_back(action);
  if (action == "create") {
    for (const auto& flag : call.todays_flags()) words.push_back(flag);
    if (rest.size() == 1 && !call.is_true("v2") && !call.has("wait")) words.emplace_back("--wait");
  }
  words.emplace_back("--");
  for (size_t i = 2; i < rest.size(); ++i) words.push_back(rest[i]);
  if (action == "show" && rest.size() == 2) words.emplace_back("last");
  co_return co_await call.run(std::move(words));
}

Output unknown_workflow_action(std::string action) {
  co_return fail(Code::kInvalidArgument,
                 "found unsupported action " + action + ": Workflow knows show, listall, start, stop and delete");
}
Output missing_workflow(std::string action, std::string target) {
  co_return fail(Code::kInvalidArgument, "Workflow " + action + " needs <keyspace.workflow>, received " + target);
}

// Workflow <keyspace[.workflow]> <action>
Output workflow(const Call& call) {
  const std::string& target = call.arguments[0];
  const size_t dot = target.find('.');
  const std::string keyspace = target.substr(0, dot);
  std::string action = base::to_lower(call.arguments[1]);
  if (action == "listall") action = "list";
  static constexpr std::array kActions = {"show", "list", "start", "stop", "delete"};
  if (std::ranges::find(kActions, action) == kActions.end()) return unknown_workflow_action(call.arguments[1]);
  const bool named = dot != std::string::npos && dot + 1 < target.size();
  if (!named && action != "list" && action != "show") return missing_workflow(std::move(action), target);
  Words words = {"Workflow", "--keyspace=" + keyspace, action};
  if (named && action != "list") words.push_back("--workflow=" + target.substr(dot + 1));
  return call.run(std::move(words));
}

}  // namespace

void add_workflow_commands(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Workflows";
  const std::vector<Flag> actions = {value("cells", ""),
                                     value("tablet_types", ""),
                                     value("timeout", ""),
                                     value("max_replication_lag_allowed", ""),
                                     toggle("reverse_replication", ""),
                                     toggle("dry_run", ""),
                                     toggle("keep_data", ""),
                                     toggle("keep_routing_rules", ""),
                                     toggle("auto_start", ""),
                                     toggle("stop_after_copy", ""),
                                     value("on-ddl", ""),
                                     toggle("defer-secondary-keys", ""),
                                     ignored_toggle("v1"),
                                     ignored_toggle("v2")};
  std::vector<Flag> move = actions;
  for (const Flag& flag :
       {value("source", ""), value("tables", ""), toggle("all", ""), value("exclude", ""), toggle("rename_tables", ""),
        value("source_time_zone", ""), value("workflow", ""), value("source_shards", ""), toggle("atomic-copy", ""),
        toggle("no_routing_rules", ""), toggle("initialize-target-sequences", "")}) {
    move.push_back(flag);
  }
  out.push_back({kGroup, "MoveTables", "<action> <target keyspace.workflow>", 2, 3, move, move_tables});
  std::vector<Flag> split = actions;
  for (const Flag& flag : {value("source_shards", ""), value("target_shards", ""), toggle("skip_schema_copy", "")}) {
    split.push_back(flag);
  }
  out.push_back({kGroup, "Reshard", "<action> <keyspace.workflow>", 2, 3, split, reshard});
  out.push_back({kGroup,
                 "VDiff",
                 "<keyspace.workflow> [<action>] [<uuid>]",
                 1,
                 3,
                 {value("source_cell", "source-cells"),
                  value("target_cell", "target-cells"),
                  value("tablet_types", "tablet-types"),
                  value("filtered_replication_wait_time", "filtered-replication-wait-time"),
                  value("max_extra_rows_to_compare", "max-extra-rows-to-compare"),
                  toggle("only_pks", "only-pks"),
                  value("limit", "limit"),
                  value("tables", "tables"),
                  toggle("auto_retry", "auto-retry"),
                  toggle("wait", "wait"),
                  value("wait_update_interval", "wait-update-interval"),
                  toggle("debug_query", "debug-query"),
                  toggle("update_table_stats", "update-table-stats"),
                  value("max_diff_duration", "max-diff-duration"),
                  value("format", ""),
                  ignored_toggle("verbose"),
                  ignored_toggle("checksum"),
                  ignored("sample_pct"),
                  ignored_toggle("v1"),
                  toggle("v2", "")},
                 vdiff});
  out.push_back({kGroup, "Workflow", "<keyspace[.workflow]> <action>", 2, 2, {}, workflow});
  const Flag cells = value("cells", "cells");
  const Flag dry_run = toggle("dry_run", "dry-run");
  const Flag reverse = toggle("reverse", "");
  out.push_back({kGroup,
                 "SwitchReads",
                 "<keyspace.workflow>",
                 1,
                 1,
                 {cells, value("tablet_types tablet_type", ""), reverse, dry_run},
                 older_switch("REPLICA,RDONLY", false)});
  out.push_back({kGroup,
                 "SwitchWrites",
                 "<keyspace.workflow>",
                 1,
                 1,
                 {value("timeout filtered_replication_wait_time", "timeout"), reverse, dry_run,
                  toggle("reverse_replication", "enable-reverse-replication")},
                 older_switch("PRIMARY", false)});
  out.push_back({kGroup,
                 "DropSources",
                 "<keyspace.workflow>",
                 1,
                 1,
                 {toggle("rename_tables", "rename-tables"), toggle("keep_data", "keep-data"),
                  toggle("keep_routing_rules", "keep-routing-rules"), dry_run},
                 older_switch("", true)});
}

}  // namespace vitrail::control::legacy
