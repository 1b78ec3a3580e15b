#include "control/web_views.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "base/version.h"
#include "control/client/vdiff_report.h"
#include "control/fan_out.h"
#include "control/manager/records.h"
#include "control/manager/tree.h"
#include "control/process_views.h"
#include "control/states/table.h"
#include "shardingworkflow.pb.h"
#include "topo/decode.h"
#include "topo/tablet.h"
#include "vschema/proto_json.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
using nlohmann::json;
using namespace std::chrono_literals;
using Json = Result<json>;

constexpr size_t kProblemsMax = 200;

std::string dump(const json& document) { return document.dump(-1, ' ', false, json::error_handler_t::replace); }

json object_of(const google::protobuf::Message& message) {
  return json::parse(vschema::to_json(message, {.unpopulated = false, .indent = -1}), nullptr, false);
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

std::string alias_of(const ::topodata::TabletAlias& alias) {
  return alias.cell().empty() ? std::string() : topo::alias_to_string(alias);
}

std::vector<size_t> numbers_below(size_t count) {
  std::vector<size_t> out(count);
  std::iota(out.begin(), out.end(), size_t{0});
  return out;
}

// "a/b/c" -> "a", leaving "b/c".
std::string take_segment(std::string_view& rest) {
  const size_t slash = rest.find('/');
  std::string segment(rest.substr(0, slash));
  rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  return segment;
}

// Types that a shard serves, by cell.
std::map<std::string, std::set<std::string>> serving_types(const vd::GetSrvKeyspacesResponse& served,
                                                           const std::string& shard) {
  std::map<std::string, std::set<std::string>> out;
  for (const auto& [cell, record] : served.srv_keyspaces()) {
    for (const auto& partition : record.partitions()) {
      for (const auto& reference : partition.shard_references()) {
        if (reference.name() == shard)
          out[cell].insert(std::string(topo::tablet_type_to_string(partition.served_type())));
      }
    }
  }
  return out;
}

// One word for a workflow from the states of its streams: the one that matters most.
std::string summary_state(const vd::Workflow& workflow) {
  std::set<std::string> states;
  bool frozen = false;
  bool copies = false;
  for (const auto& [shard, group] : workflow.shard_streams()) {
    for (const auto& stream : group.streams()) {
      states.insert(stream.state());
      frozen = frozen || stream.message() == "FROZEN";
      copies = copies || stream.copy_states_size() > 0;
    }
  }
  if (states.contains("Error")) return "Error";
  if (frozen) return "Frozen";
  if (copies || states.contains("Copying")) return "Copying";
  for (const char* state : {"Stopped", "Lagging", "Running"}) {
    if (states.contains(state)) return state;
  }
  return states.empty() ? "No streams" : *states.begin();
}

json workflow_object(const std::string& keyspace, const vd::Workflow& workflow) {
  json streams = json::array();
  int64_t rows = 0;
  for (const auto& [place, group] : workflow.shard_streams()) {
    for (const auto& stream : group.streams()) {
      json copies = json::array();
      for (const auto& copy : stream.copy_states())
        copies.push_back({{"table", copy.table()}, {"last_pk", copy.last_pk()}});
      json tables = json::array();
      for (const auto& rule : stream.binlog_source().filter().rules()) tables.push_back(rule.match());
      rows += stream.rows_copied();
      streams.push_back({{"id", stream.id()},
                         {"source", stream.binlog_source().keyspace() + "/" + stream.binlog_source().shard()},
                         {"target", keyspace + "/" + stream.shard()},
                         {"tablet", alias_of(stream.tablet())},
                         {"state", stream.state()},
                         {"message", stream.message()},
                         {"position", stream.position()},
                         {"rows_copied", stream.rows_copied()},
                         {"transaction_timestamp", stream.transaction_timestamp().seconds()},
                         {"copying", std::move(copies)},
                         {"tables", std::move(tables)}});
    }
  }
  return {{"keyspace", keyspace},
          {"name", workflow.name()},
          {"type", workflow.workflow_type()},
          {"sub_type", workflow.workflow_sub_type()},
          {"state", summary_state(workflow)},
          {"source", object_of(workflow.source())},
          {"target", object_of(workflow.target())},
          {"lag_s", workflow.max_v_replication_transaction_lag()},
          {"rows_copied", rows},
          {"streams", std::move(streams)}};
}

}  // namespace

class WebViews::Impl {
 public:
  Impl(Vtctld& vtctld, std::string cell) : vtctld_(vtctld), cell_(std::move(cell)) {}

  net::Task<Result<std::string>> make(std::string name) {
    std::string_view rest = name;
    const std::string kind = take_segment(rest);
    if (kind == "cluster" && rest.empty()) co_return text(co_await cluster());
    if (kind == "keyspace" && !rest.empty()) co_return text(co_await keyspace(std::string(rest)));
    if (kind == "shard" && !rest.empty()) {
      std::string keyspace_name = take_segment(rest);
      co_return text(co_await shard(std::move(keyspace_name), std::string(rest)));
    }
    if (kind == "workflows" && rest.empty()) co_return text(co_await workflows());
    if (kind == "workflow" && !rest.empty()) {
      std::string keyspace_name = take_segment(rest);
      co_return text(co_await workflow(std::move(keyspace_name), std::string(rest)));
    }
    if (kind == "sharding" && rest.empty()) co_return text(co_await sharding_workflows());
    if (kind == "sharding") {
      std::string branch = take_segment(rest);
      co_return text(co_await sharding_workflow(std::move(branch), std::string(rest)));
    }
    if (kind == "manager" && rest.empty()) co_return text(co_await managed_workflows());
    if (kind == "cells" && rest.empty()) co_return text(co_await cells());
    if (kind == "processes" && rest.empty()) co_return text(co_await all_processes());
    if (kind == "queries" && !rest.empty()) co_return text(co_await process_views().queries(std::string(rest)));
    if (kind == "topology") co_return text(co_await topology(std::string(rest)));
    co_return fail(Code::kNotFound, "no such document: " + name);
  }

  net::Task<void> stop() {
    if (healths_) co_await healths_->stop();
    if (processes_) co_await processes_->stop();
  }

 private:
  static Result<std::string> text(Json document) {
    if (!document.ok()) return std::move(document).error();
    return dump(*document);
  }

  TabletHealths& healths() {
    if (!healths_) healths_.emplace(vtctld_.tablets());
    return *healths_;
  }

  ProcessViews& process_views() {
    if (!processes_) processes_.emplace(vtctld_.tablets().topology());
    return *processes_;
  }

  template <typename Response, typename Request>
  net::Task<Result<Response>> ask(std::string_view method, Request request) {
    return rpc::call<Response>(vtctld_.methods().in_process(), std::string("/vtctlservice.Vtctld/").append(method),
                               request, net::Wait::within(30s));
  }

  json tablet_object(const ::topodata::Tablet& tablet, base::Duration age_max) {
    const TabletHealths::Health health = healths().want(tablet, age_max);
    json ports = json::object();
    for (const auto& [name, port] : tablet.port_map()) ports[name] = port;
    return {{"alias", topo::alias_to_string(tablet.alias())},
            {"cell", tablet.alias().cell()},
            {"uid", tablet.alias().uid()},
            {"keyspace", tablet.keyspace()},
            {"shard", tablet.shard()},
            {"type", std::string(topo::tablet_type_to_string(tablet.type()))},
            {"host", tablet.hostname()},
            {"mysql_port", tablet.mysql_port()},
            {"ports", std::move(ports)},
            {"term_start", tablet.primary_term_start_time().seconds()},
            {"stopped", tablet.has_tablet_shutdown_time()},
            {"known", health.known},
            {"serving", health.serving},
            {"error", health.error},
            {"lag_s", health.lag_s},
            {"qps", health.qps}};
  }

  // A shard for the dashboard: what serves, tablets by type, how many are not well. `problems` gets the reasons.
  json shard_object(const vd::Shard& shard, const vd::GetSrvKeyspacesResponse& served,
                    const std::vector<const ::topodata::Tablet*>& tablets, json& problems) {
    json by_type = json::object();
    size_t unwell = 0;
    for (const auto* tablet : tablets) {
      const std::string type(topo::tablet_type_to_string(tablet->type()));
      by_type[type] = by_type.value(type, 0) + 1;
      const TabletHealths::Health health = healths().want(*tablet, 2s);
      if (!health.known || (health.error.empty() && (health.serving || !topo::is_serving_type(tablet->type()))))
        continue;
      const bool needed = shard.shard().is_primary_serving() || !health.error.empty();
      if (!needed && health.error.empty()) continue;
      ++unwell;
      if (problems.size() < kProblemsMax) {
        problems.push_back({{"tablet", topo::alias_to_string(tablet->alias())},
                            {"shard", shard.keyspace() + "/" + shard.name()},
                            {"type", type},
                            {"why", health.error.empty() ? "does not serve" : health.error}});
      }
    }
    const auto serving = serving_types(served, shard.name());
    json by_cell = json::object();
    std::set<std::string> types;
    for (const auto& [cell, cell_types] : serving) {
      by_cell[cell] = cell_types;
      types.insert(cell_types.begin(), cell_types.end());
    }
    if (!shard.shard().has_primary_alias() && !tablets.empty() && problems.size() < kProblemsMax) {
      problems.push_back({{"tablet", ""},
                          {"shard", shard.keyspace() + "/" + shard.name()},
                          {"type", ""},
                          {"why", "the shard has no primary: elect one with PlannedReparentShard"}});
    }
    return {{"name", shard.name()},
            {"start", hex(shard.shard().key_range().start())},
            {"end", hex(shard.shard().key_range().end())},
            {"primary", alias_of(shard.shard().primary_alias())},
            {"is_primary_serving", shard.shard().is_primary_serving()},
            {"serves", types.contains("primary")},
            {"serving_types", types},
            {"serving_by_cell", std::move(by_cell)},
            {"tablets", std::move(by_type)},
            {"unwell", unwell}};
  }

  net::Task<Json> keyspace_object(vd::Keyspace keyspace,
                                  std::map<std::string, std::vector<const ::topodata::Tablet*>> tablets,
                                  json& problems) {
    vd::FindAllShardsInKeyspaceRequest all;
    all.set_keyspace(keyspace.name());
    CO_ASSIGN_OR_RETURN(const auto shards,
                        co_await ask<vd::FindAllShardsInKeyspaceResponse>("FindAllShardsInKeyspace", all));
    vd::GetSrvKeyspacesRequest wanted;
    wanted.set_keyspace(keyspace.name());
    const auto served = co_await ask<vd::GetSrvKeyspacesResponse>("GetSrvKeyspaces", wanted);
    json list = json::array();
    const std::map<std::string, vd::Shard> sorted(shards.shards().begin(), shards.shards().end());
    for (const auto& [name, shard] : sorted) {
      list.push_back(shard_object(shard, served.value_or(vd::GetSrvKeyspacesResponse()), tablets[name], problems));
    }
    const auto& record = keyspace.keyspace();
    co_return json{{"name", keyspace.name()},
                   {"type", ::topodata::KeyspaceType_Name(record.keyspace_type())},
                   {"durability_policy", record.durability_policy()},
                   {"sidecar_db_name", record.sidecar_db_name()},
                   {"shards", std::move(list)}};
  }

  net::Task<Result<vd::GetTabletsResponse>> tablets_of(std::string keyspace, std::string shard) {
    vd::GetTabletsRequest wanted;
    wanted.set_keyspace(std::move(keyspace));
    wanted.set_shard(std::move(shard));
    auto found = co_await ask<vd::GetTabletsResponse>("GetTablets", std::move(wanted));
    if (!found.ok()) co_return std::move(found).error();
    std::ranges::sort(*found->mutable_tablets(), [](const auto& a, const auto& b) {
      return std::pair(a.alias().cell(), a.alias().uid()) < std::pair(b.alias().cell(), b.alias().uid());
    });
    co_return std::move(*found);
  }

  static net::Task<Status> make_keyspace(Impl& self, vd::Keyspace keyspace,
                                         std::map<std::string, std::vector<const ::topodata::Tablet*>> tablets,
                                         json& problems, json& out) {
    CO_ASSIGN_OR_RETURN(out, co_await self.keyspace_object(std::move(keyspace), std::move(tablets), problems));
    co_return Status{};
  }

  net::Task<Json> cluster() {
    CO_ASSIGN_OR_RETURN(const auto names,
                        co_await ask<vd::GetCellInfoNamesResponse>("GetCellInfoNames", vd::GetCellInfoNamesRequest()));
    CO_ASSIGN_OR_RETURN(auto keyspaces,
                        co_await ask<vd::GetKeyspacesResponse>("GetKeyspaces", vd::GetKeyspacesRequest()));
    std::ranges::sort(*keyspaces.mutable_keyspaces(), {}, [](const vd::Keyspace& k) { return k.name(); });
    json problems = json::array();
    vd::GetTabletsResponse tablets;
    if (names.names_size() > 0) {
      auto found = co_await tablets_of("", "");
      if (found.ok()) {
        tablets = std::move(*found);
      } else {
        problems.push_back({{"tablet", ""}, {"shard", ""}, {"type", ""}, {"why", found.error().message()}});
      }
    }
    std::map<std::string, std::map<std::string, std::vector<const ::topodata::Tablet*>>> by_shard;
    for (const auto& tablet : tablets.tablets()) by_shard[tablet.keyspace()][tablet.shard()].push_back(&tablet);
    std::vector<json> list(static_cast<size_t>(keyspaces.keyspaces_size()));
    auto one = [&](size_t i) -> net::Task<Status> {
      const auto& keyspace = keyspaces.keyspaces(static_cast<int>(i));
      return make_keyspace(*this, keyspace, by_shard[keyspace.name()], problems, list[i]);
    };
    CO_RETURN_IF_ERROR(co_await for_all<size_t>(numbers_below(list.size()), one));
    std::vector<std::string> cells(names.names().begin(), names.names().end());
    std::ranges::sort(cells);
    co_return json{{"version", std::string(base::kProjectVersion)},
                   {"cell", cell_},
                   {"cells", cells},
                   {"tablets", tablets.tablets_size()},
                   {"keyspaces", std::move(list)},
                   {"problems", std::move(problems)}};
  }

  net::Task<Json> keyspace(std::string name) {
    vd::GetKeyspaceRequest wanted;
    wanted.set_keyspace(name);
    CO_ASSIGN_OR_RETURN(const auto found, co_await ask<vd::GetKeyspaceResponse>("GetKeyspace", wanted));
    CO_ASSIGN_OR_RETURN(const auto tablets, co_await tablets_of(name, ""));
    std::map<std::string, std::vector<const ::topodata::Tablet*>> by_shard;
    for (const auto& tablet : tablets.tablets()) by_shard[tablet.shard()].push_back(&tablet);
    json problems = json::array();
    CO_ASSIGN_OR_RETURN(json out, co_await keyspace_object(found.keyspace(), std::move(by_shard), problems));
    out["problems"] = std::move(problems);
    out["record"] = object_of(found.keyspace().keyspace());
    vd::GetVSchemaRequest schema;
    schema.set_keyspace(name);
    const auto vschema = co_await ask<vd::GetVSchemaResponse>("GetVSchema", schema);
    out["vschema"] = vschema.ok() ? vschema::to_json(vschema->v_schema(), {.unpopulated = false, .indent = 2}) : "{}";
    co_return out;
  }

  net::Task<Json> shard(std::string keyspace_name, std::string name) {
    vd::GetShardRequest wanted;
    wanted.set_keyspace(keyspace_name);
    wanted.set_shard_name(name);
    CO_ASSIGN_OR_RETURN(const auto found, co_await ask<vd::GetShardResponse>("GetShard", wanted));
    CO_ASSIGN_OR_RETURN(const auto tablets, co_await tablets_of(keyspace_name, name));
    vd::GetSrvKeyspacesRequest served;
    served.set_keyspace(keyspace_name);
    const auto srv = co_await ask<vd::GetSrvKeyspacesResponse>("GetSrvKeyspaces", served);
    std::vector<const ::topodata::Tablet*> members;
    for (const auto& tablet : tablets.tablets()) members.push_back(&tablet);
    json problems = json::array();
    json out = shard_object(found.shard(), srv.value_or(vd::GetSrvKeyspacesResponse()), members, problems);
    out["keyspace"] = keyspace_name;
    out["record"] = object_of(found.shard().shard());
    json list = json::array();
    for (const auto* tablet : members) list.push_back(tablet_object(*tablet, 500ms));
    out["members"] = std::move(list);
    co_return out;
  }

  static net::Task<Status> find_workflows(Impl& self, std::string keyspace, Result<vd::GetWorkflowsResponse>& out) {
    vd::GetWorkflowsRequest wanted;
    wanted.set_keyspace(std::move(keyspace));
    out = co_await self.ask<vd::GetWorkflowsResponse>("GetWorkflows", std::move(wanted));
    co_return Status{};
  }

  net::Task<Json> workflows() {
    CO_ASSIGN_OR_RETURN(auto keyspaces,
                        co_await ask<vd::GetKeyspacesResponse>("GetKeyspaces", vd::GetKeyspacesRequest()));
    std::ranges::sort(*keyspaces.mutable_keyspaces(), {}, [](const vd::Keyspace& k) { return k.name(); });
    std::vector<Result<vd::GetWorkflowsResponse>> found(static_cast<size_t>(keyspaces.keyspaces_size()),
                                                        vd::GetWorkflowsResponse());
    auto one = [&](size_t i) -> net::Task<Status> {
      return find_workflows(*this, keyspaces.keyspaces(static_cast<int>(i)).name(), found[i]);
    };
    CO_RETURN_IF_ERROR(co_await for_all<size_t>(numbers_below(found.size()), one));
    json list = json::array();
    json errors = json::array();
    for (size_t i = 0; i < found.size(); ++i) {
      const std::string& name = keyspaces.keyspaces(static_cast<int>(i)).name();
      if (!found[i].ok()) {
        errors.push_back({{"keyspace", name}, {"why", found[i].error().message()}});
        continue;
      }
      for (const auto& workflow : found[i]->workflows()) list.push_back(workflow_object(name, workflow));
    }
    co_return json{{"workflows", std::move(list)}, {"errors", std::move(errors)}};
  }

  net::Task<Json> workflow(std::string keyspace_name, std::string name) {
    vd::GetWorkflowsRequest wanted;
    wanted.set_keyspace(keyspace_name);
    wanted.set_workflow(name);
    CO_ASSIGN_OR_RETURN(const auto found, co_await ask<vd::GetWorkflowsResponse>("GetWorkflows", wanted));
    if (found.workflows_size() == 0) {
      co_return fail(Code::kNotFound, fmt::format("no workflow {} in keyspace {}", name, keyspace_name));
    }
    json out = workflow_object(keyspace_name, found.workflows(0));
    vd::WorkflowStatusRequest status;
    status.set_keyspace(keyspace_name);
    status.set_workflow(name);
    if (const auto traffic = co_await ask<vd::WorkflowStatusResponse>("WorkflowStatus", status); traffic.ok()) {
      out["traffic"] = traffic->traffic_state();
      json tables = json::object();
      for (const auto& [table, copy] : traffic->table_copy_state()) tables[table] = object_of(copy);
      out["table_copy_state"] = std::move(tables);
    } else {
      out["traffic"] = traffic.error().message();
    }
    vd::VDiffShowRequest last;
    last.set_target_keyspace(keyspace_name);
    last.set_workflow(name);
    last.set_arg("last");
    out["vdiff"] = nullptr;
    if (const auto diff = co_await ask<vd::VDiffShowResponse>("VDiffShow", last); diff.ok()) {
      const auto report = format_vdiff(*diff, keyspace_name, name, {.json = true, .verbose = true});
      if (report.ok()) out["vdiff"] = json::parse(*report, nullptr, false);
      if (out["vdiff"].is_discarded()) out["vdiff"] = nullptr;
    }
    co_return out;
  }

  net::Task<Json> sharding_workflows() {
    CO_ASSIGN_OR_RETURN(const auto found, co_await ask<::shardingworkflow::ListResponse>(
                                              "ShardingWorkflowList", ::shardingworkflow::ListRequest()));
    json list = json::array();
    for (const auto& view : found.workflows()) list.push_back(object_of(view));
    co_return json{{"workflows", std::move(list)}};
  }

  net::Task<Json> sharding_workflow(std::string branch, std::string name) {
    ::shardingworkflow::ShowRequest wanted;
    wanted.set_branch(std::move(branch));
    wanted.set_name(std::move(name));
    CO_ASSIGN_OR_RETURN(const auto view, co_await ask<::shardingworkflow::View>("ShardingWorkflowShow", wanted));
    json out = object_of(view);
    json warnings = json::object();
    for (const states::Action action : states::kActions)
      warnings[std::string(states::name_of(action))] = states::warning_of(action);
    out["warnings"] = std::move(warnings);
    co_return out;
  }

  net::Task<Json> managed_workflows() {
    topo::Server& topology = vtctld_.tablets().topology();
    const manager::Manager* here = vtctld_.workflow_manager();
    CO_ASSIGN_OR_RETURN(const auto all, co_await manager::list(topology));
    const auto leader = co_await topology.global().leader(std::string(manager::kElection));
    json nodes = json::array();
    for (const auto& stored : all) {
      nodes.push_back(json::parse(
          manager::tree_of(stored.record, here == nullptr ? std::map<std::string, std::string>() : here->said())));
    }
    std::ranges::reverse(nodes);  // The newest first.
    co_return json{{"enabled", here != nullptr},
                   {"leader", leader.ok() ? *leader : ""},
                   {"leads", here != nullptr && here->leads()},
                   {"factories", vtctld_.workflow_factories()},
                   {"nodes", std::move(nodes)}};
  }

  net::Task<Json> all_processes() {
    CO_ASSIGN_OR_RETURN(const auto names,
                        co_await ask<vd::GetCellInfoNamesResponse>("GetCellInfoNames", vd::GetCellInfoNamesRequest()));
    vd::GetTabletsResponse found;
    if (names.names_size() > 0) {
      CO_ASSIGN_OR_RETURN(found, co_await tablets_of("", ""));
    }
    co_return co_await process_views().processes({found.tablets().begin(), found.tablets().end()});
  }

  net::Task<Json> cells() {
    CO_ASSIGN_OR_RETURN(const auto names,
                        co_await ask<vd::GetCellInfoNamesResponse>("GetCellInfoNames", vd::GetCellInfoNamesRequest()));
    std::vector<std::string> sorted(names.names().begin(), names.names().end());
    std::ranges::sort(sorted);
    json list = json::array();
    for (const std::string& name : sorted) {
      vd::GetCellInfoRequest wanted;
      wanted.set_cell(name);
      const auto info = co_await ask<vd::GetCellInfoResponse>("GetCellInfo", wanted);
      json object = info.ok() ? object_of(info->cell_info()) : json{{"error", info.error().message()}};
      object["name"] = name;
      list.push_back(std::move(object));
    }
    json aliases = json::object();
    if (const auto found = co_await ask<vd::GetCellsAliasesResponse>("GetCellsAliases", vd::GetCellsAliasesRequest());
        found.ok()) {
      for (const auto& [alias, record] : found->aliases())
        aliases[alias] = std::vector<std::string>(record.cells().begin(), record.cells().end());
    }
    co_return json{{"cells", std::move(list)}, {"aliases", std::move(aliases)}};
  }

  net::Task<Json> topology(std::string path) {
    vd::GetTopologyPathRequest wanted;
    wanted.set_path("/" + path);
    wanted.set_as_json(true);
    auto found = co_await ask<vd::GetTopologyPathResponse>("GetTopologyPath", wanted);
    if (!found.ok() && found.error().code() == Code::kInvalidArgument) {  // A record of no known kind: as it is.
      wanted.set_as_json(false);
      found = co_await ask<vd::GetTopologyPathResponse>("GetTopologyPath", wanted);
    }
    if (!found.ok()) co_return std::move(found).error();
    const auto& cell = found->cell();
    std::vector<std::string> children(cell.children().begin(), cell.children().end());
    std::ranges::sort(children);
    co_return json{{"path", path}, {"data", cell.data()}, {"version", cell.version()}, {"children", children}};
  }

  Vtctld& vtctld_;
  const std::string cell_;
  std::optional<TabletHealths> healths_;
  std::optional<ProcessViews> processes_;
};

WebViews::WebViews(Vtctld& vtctld, std::string cell) : impl_(std::make_unique<Impl>(vtctld, std::move(cell))) {}
WebViews::~WebViews() = default;
net::Task<Result<std::string>> WebViews::make(std::string name) { return impl_->make(std::move(name)); }
net::Task<void> WebViews::stop() { return impl_->stop(); }

}  // namespace vitrail::control
