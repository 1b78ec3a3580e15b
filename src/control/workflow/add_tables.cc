#include "control/workflow/add_tables.h"

#include <fmt/core.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "base/text.h"
#include "control/workflow/cleanup.h"
#include "control/workflow/materialize.h"
#include "mysqld/rows.h"
#include "topo/workflow_fence.h"

namespace vitrail::control {

namespace tmd = ::tabletmanagerdata;

namespace {

constexpr std::string_view kRulesOf = "rules ";

std::vector<std::string> lines_of(const google::protobuf::Map<std::string, std::string>& settings, const char* name) {
  std::vector<std::string> out;
  const auto found = settings.find(name);
  if (found == settings.end() || found->second.empty()) return out;
  for (const auto line : base::split(found->second, '\n')) out.emplace_back(line);
  return out;
}

CreatePlan plan_of(std::vector<tmd::TableDefinition> made) {
  CreatePlan plan;
  plan.tables = std::move(made);
  return plan;
}

}  // namespace

std::map<std::string, std::string> AddedTables::to_settings() const {
  std::map<std::string, std::string> out = {{"tables", base::join(names, "\n")},
                                            {"followed", base::join(followed, "\n")}};
  for (const auto& [shard, filter] : rules) {
    std::string text;
    if (google::protobuf::util::MessageToJsonString(filter, &text).ok()) out[std::string(kRulesOf) + shard] = text;
  }
  return out;
}

Result<AddedTables> AddedTables::from_settings(const google::protobuf::Map<std::string, std::string>& settings) {
  AddedTables out;
  out.names = lines_of(settings, "tables");
  out.followed = lines_of(settings, "followed");
  for (const auto& [name, text] : settings) {
    if (!name.starts_with(kRulesOf)) continue;
    if (!google::protobuf::util::JsonStringToMessage(text, &out.rules[name.substr(kRulesOf.size())]).ok()) {
      return fail(Code::kDataLoss, "the rules of tables that are being added cannot be read: " + text);
    }
  }
  return out;
}

AddTablesOperation::AddTablesOperation(TabletClient& tablets, engine::Tenure& tenure,
                                       std::vector<tmd::TableDefinition> made, Side target)
    : tablets_(tablets),
      tenure_(tenure),
      target_(target),
      schema_(tablets, tenure, plan_of(std::move(made)), std::move(target)) {}

std::vector<engine::Step> AddTablesOperation::steps() {
  std::vector<engine::Step> steps;
  steps.push_back(schema_.steps().front());
  steps.push_back({.id = "stop_streams",
                   .apply = [this] { return set_all(::binlogdata::Stopped, "tables are being added"); },
                   .undo = [this] { return set_all(::binlogdata::Running, ""); }});
  steps.push_back({.id = "add_rules", .apply = [this] { return add_rules(); }, .undo = {}});
  steps.back().point_of_no_return = true;
  steps.push_back({.id = "start_streams", .apply = [this] { return set_all(::binlogdata::Copying, ""); }, .undo = {}});
  return steps;
}

bool AddTablesOperation::close(engine::Record& record, bool undone) {
  if (undone) return false;
  const auto& settings = record.open().settings();
  for (const auto& name : lines_of(settings, "tables")) {
    if (std::ranges::find(record.tables(), name) == record.tables().end()) record.add_tables(name);
  }
  std::ranges::sort(*record.mutable_tables());
  std::string& all = (*record.mutable_options())[kFollowedOption];
  std::vector<std::string> followed = lines_of(record.options(), kFollowedOption);
  for (const auto& name : lines_of(settings, "followed")) {
    if (std::ranges::find(followed, name) == followed.end()) followed.push_back(name);
  }
  all = base::join(followed, "\n");
  return false;
}

net::Task<Status> AddTablesOperation::set_all(::binlogdata::VReplicationWorkflowState state, std::string message) {
  CO_ASSIGN_OR_RETURN(const auto now, co_await load_side_again(tablets_, target_));
  co_return co_await set_streams(tablets_, tenure_.fence(), now.primaries(), tenure_.record().workflow(), state,
                                 std::move(message), cleanup_wait());
}

net::Task<Status> AddTablesOperation::add_rules() {
  CO_ASSIGN_OR_RETURN(const auto added, AddedTables::from_settings(tenure_.open().settings()));
  CO_ASSIGN_OR_RETURN(const auto now, co_await load_side_again(tablets_, target_));
  CO_RETURN_IF_ERROR(check_primaries(now));
  co_return co_await for_all<Place>(now.places, [&](Place place) {
    const auto rules = added.rules.find(place.shard);
    return add_rules_on(place, rules == added.rules.end() ? ::binlogdata::Filter() : rules->second);
  });
}

// First that the tables are to be copied, then that they belong to the streams: with the rules everything is there.
net::Task<Status> AddTablesOperation::add_rules_on(Place place, ::binlogdata::Filter rules) {
  if (rules.rules().empty()) co_return Status{};
  const std::string workflow = tenure_.record().workflow();
  CO_ASSIGN_OR_RETURN(const auto streams, co_await read_streams(tablets_, *place.primary, workflow, cleanup_wait()));
  std::string ids, names, rows;
  for (const auto& stream : streams.streams()) {
    ids += fmt::format("{}{}", ids.empty() ? "" : ", ", stream.id());
    for (const auto& rule : rules.rules()) {
      rows += fmt::format("{}({}, {})", rows.empty() ? "" : ", ", stream.id(), mysqld::quote_string(rule.match()));
    }
    const auto is_new = [&](const auto& rule) { return rule.match() == rules.rules(0).match(); };
    if (std::ranges::any_of(stream.bls().filter().rules(), is_new)) co_return Status{};  // Done by an earlier attempt.
  }
  for (const auto& rule : rules.rules()) names += (names.empty() ? "" : ", ") + mysqld::quote_string(rule.match());
  if (rows.empty()) co_return Status{};
  const std::vector<std::string> statements = {
      fmt::format("delete from _vt.copy_state where vrepl_id in ({}) and table_name in ({})", ids, names),
      "insert into _vt.copy_state (vrepl_id, table_name) values " + rows};
  for (const auto& statement : statements) {
    tmd::VReplicationExecRequest request;
    request.set_query(statement);
    topo::set_fence(request, tenure_.fence());
    auto done = co_await tablets_.call<tmd::VReplicationExecResponse>(*place.primary, "VReplicationExec",
                                                                      std::move(request), cleanup_wait());
    if (!done.ok()) co_return std::move(done).error();
  }
  tmd::UpdateVReplicationWorkflowRequest request;
  request.set_workflow(workflow);
  *request.mutable_filter_rules() = rules.rules();
  topo::set_fence(request, tenure_.fence());
  auto done = co_await tablets_.call<tmd::UpdateVReplicationWorkflowResponse>(
      *place.primary, "UpdateVReplicationWorkflow", std::move(request), cleanup_wait());
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

}  // namespace vitrail::control
