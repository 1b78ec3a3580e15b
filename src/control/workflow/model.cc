#include "control/workflow/model.h"

#include <google/protobuf/util/json_util.h>

#include <ctime>
#include <algorithm>
#include <set>

#include "control/fan_out.h"
#include "control/workflow/engine/record.h"
#include "control/workflow/tenant.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vtctldata.pb.h"

namespace vitrail::control {

namespace tmd = ::tabletmanagerdata;
constexpr std::string_view kReverseSuffix = "_reverse";

std::string rfc822(base::WallTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%d %b %y %H:%M UTC", &parts);
  return text;
}

std::string reverse_workflow_name(std::string_view name) {
  if (name.ends_with(kReverseSuffix)) return std::string(name.substr(0, name.size() - kReverseSuffix.size()));
  return std::string(name).append(kReverseSuffix);
}

std::string WorkflowModel::reverse_name() const { return reverse_workflow_name(name); }
bool is_reverse_name(std::string_view name) { return name.ends_with(kReverseSuffix); }
bool WorkflowModel::is_reverse() const { return is_reverse_name(name); }

bool WorkflowModel::is_frozen() const {
  for (const auto& [shard, target] : targets) {
    for (const auto& stream : target.workflow.streams()) {
      if (stream.message() == "FROZEN") return true;
    }
  }
  return false;
}

namespace {

std::vector<shard::ShardName> names_of(const std::vector<std::string>& texts) {
  std::vector<shard::ShardName> names;
  for (const auto& text : texts) {
    if (auto name = shard::ShardName::parse(text); name.ok()) names.push_back(std::move(*name));
  }
  return names;
}

}  // namespace

std::vector<shard::ShardName> WorkflowModel::source_names() const {
  std::vector<std::string> texts;
  for (const auto& [name, shard] : sources) texts.push_back(name);
  return names_of(texts);
}

std::vector<shard::ShardName> WorkflowModel::target_names() const {
  std::vector<std::string> texts;
  for (const auto& [name, shard] : targets) texts.push_back(name);
  return names_of(texts);
}

std::string stream_state_name(::binlogdata::VReplicationWorkflowState state) {
  return ::binlogdata::VReplicationWorkflowState_Name(state);
}

namespace {

// The shards that have the streams, as its record says; empty: there is no record.
net::Task<Result<std::set<std::string>>> recorded_shards(topo::Server& topology, std::string keyspace,
                                                         std::string workflow) {
  std::set<std::string> shards;
  auto own = co_await engine::load_record(topology, keyspace, workflow);
  if (own.ok()) shards.insert(own->record.target_shards().begin(), own->record.target_shards().end());
  if (own.ok() || own.error().code() != Code::kNotFound) co_return shards;
  if (!is_reverse_name(workflow)) co_return shards;
  CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(topology));
  for (const auto& one : records) {
    if (one.record.source_keyspace() != keyspace || reverse_workflow_name(one.record.workflow()) != workflow) continue;
    shards.insert(one.record.source_shards().begin(), one.record.source_shards().end());
  }
  co_return shards;
}

// Those that have a primary, and are among `only` unless that is empty.
std::vector<topo::ShardInfo> only_of(const std::map<std::string, topo::ShardInfo>& shards,
                                     const std::set<std::string>& only) {
  std::vector<topo::ShardInfo> out;
  for (const auto& [name, info] : shards) {
    if (info.record.has_primary_alias() && (only.empty() || only.contains(name))) out.push_back(info);
  }
  return out;
}

// The streams that these shards' primaries have of the workflow; shards without are left out.
net::Task<Result<std::map<std::string, TargetStreams>>> read_streams(TabletClient& tablets,
                                                                     std::vector<topo::ShardInfo> shards,
                                                                     std::string workflow, net::Wait wait) {
  std::map<std::string, TargetStreams> out;
  auto one = [&](topo::ShardInfo info) {
    return [](TabletClient& client, topo::ShardInfo shard, std::string name, net::Wait until,
              std::map<std::string, TargetStreams>& into) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto tablet,
                          co_await topo::get_tablet(client.topology(), shard.record.primary_alias()));
      tmd::ReadVReplicationWorkflowRequest request;
      request.set_workflow(name);
      auto read = co_await client.call<tmd::ReadVReplicationWorkflowResponse>(tablet.record, "ReadVReplicationWorkflow",
                                                                              std::move(request), until);
      if (!read.ok() && read.error().code() == Code::kNotFound) co_return Status{};
      if (!read.ok()) co_return std::move(read).error();
      if (read->streams().empty()) co_return Status{};
      std::string key = shard.name;
      into.emplace(std::move(key), TargetStreams{{std::move(shard), tablet.record}, std::move(*read)});
      co_return Status{};
    }(tablets, std::move(info), workflow, wait, out);
  };
  CO_RETURN_IF_ERROR(co_await for_all<topo::ShardInfo>(std::move(shards), one));
  co_return out;
}

net::Task<Status> add_source(TabletClient& tablets, std::string name, WorkflowModel& model) {
  auto info = co_await topo::get_shard(tablets.topology(), model.source_keyspace, name);
  // A workflow that is being completed deletes them.
  if (!info.ok() && info.error().code() == Code::kNotFound) co_return Status{};
  if (!info.ok()) co_return std::move(info).error();
  CO_ASSIGN_OR_RETURN(auto primary, co_await tablets.primary_of(model.source_keyspace, name));
  model.sources.emplace(std::move(name), WorkflowShard{std::move(*info), std::move(primary)});
  co_return Status{};
}

net::Task<Status> read_serving(topo::Server& topology, std::string keyspace, std::string shard, bool& serving) {
  auto now = co_await topo::get_shard(topology, std::move(keyspace), std::move(shard));
  if (!now.ok() && now.error().code() == Code::kNotFound) co_return Status{};
  if (!now.ok()) co_return std::move(now).error();
  serving = serving || now->record.is_primary_serving();
  co_return Status{};
}

}  // namespace

net::Task<Result<WorkflowModel>> read_workflow(TabletClient& tablets, std::string keyspace, std::string workflow,
                                               net::Wait wait) {
  WorkflowModel model;
  model.name = workflow;
  model.target_keyspace = keyspace;
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_all_shards(tablets.topology(), keyspace));
  CO_ASSIGN_OR_RETURN(const auto only, co_await recorded_shards(tablets.topology(), keyspace, workflow));
  std::set<std::string> source_shards;
  std::set<std::string> tables;
  CO_ASSIGN_OR_RETURN(auto found, co_await read_streams(tablets, only_of(shards, only), workflow, wait));
  for (auto& [name, target] : found) {
    model.is_reshard = target.workflow.workflow_type() == ::binlogdata::Reshard;
    model.is_partial = target.workflow.workflow_sub_type() == ::binlogdata::Partial;
    ::vtctldata::WorkflowOptions options;
    google::protobuf::util::JsonParseOptions lenient;
    lenient.ignore_unknown_fields = true;
    if (google::protobuf::util::JsonStringToMessage(target.workflow.options(), &options, lenient).ok()) {
      model.is_tenant = !options.tenant_id().empty();
    }
    for (const auto& stream : target.workflow.streams()) {
      model.source_keyspace = stream.bls().keyspace();
      // The shards of another cluster are none of this one, whatever their names.
      if (stream.bls().external_cluster().empty()) source_shards.insert(stream.bls().shard());
      if (model.is_reshard) continue;
      for (const auto& rule : stream.bls().filter().rules()) tables.insert(rule.match());
    }
  }
  model.targets = std::move(found);
  if (model.targets.empty()) {
    co_return fail(Code::kNotFound, "the " + workflow + " workflow does not exist in the " + keyspace + " keyspace");
  }
  model.tables.assign(tables.begin(), tables.end());
  CO_RETURN_IF_ERROR(co_await for_all<std::string>({source_shards.begin(), source_shards.end()}, [&](std::string name) {
    return add_source(tablets, std::move(name), model);
  }));
  co_return model;
}

net::Task<Result<vschema::TrafficState>> read_traffic_state(TabletClient& tablets, const WorkflowModel& model) {
  topo::Server& topology = tablets.topology();
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology));
  if (model.is_reshard) {
    std::map<std::string, ::topodata::SrvKeyspace> records;
    for (const auto& cell : cells) {
      auto record = co_await topo::get_srv_keyspace(topology, cell, model.target_keyspace);
      if (record.ok()) records.emplace(cell, std::move(record->record));
    }
    std::map<std::string, const ::topodata::SrvKeyspace*> views;
    for (const auto& [cell, record] : records) views.emplace(cell, &record);
    bool serving = false;
    std::vector<std::string> names;
    for (const auto& [name, source] : model.sources) names.push_back(name);
    CO_RETURN_IF_ERROR(co_await for_all<std::string>(std::move(names), [&](std::string name) {
      return read_serving(topology, model.source_keyspace, std::move(name), serving);
    }));
    co_return vschema::reshard_state(model.source_names(), model.target_names(), views, serving);
  }
  if (model.is_partial) {
    std::set<std::string> names;
    for (const auto& [name, source] : model.sources) names.insert(name);
    CO_ASSIGN_OR_RETURN(const auto serving, co_await topo::find_serving_shards(topology, model.source_keyspace));
    for (const auto& info : serving) names.insert(info.name);
    CO_ASSIGN_OR_RETURN(const auto rules, co_await topo::get_shard_routing_rules(topology));
    const std::vector<std::string> shards(names.begin(), names.end());
    co_return vschema::partial_move_tables_state(model.source_keyspace, model.target_keyspace, shards, rules.rules);
  }
  if (model.is_tenant) {
    std::map<std::string, ::vschema::KeyspaceRoutingRules> in_cells;
    for (const auto& cell : cells) {
      auto record = co_await topo::get_srv_vschema(topology, cell);
      if (record.ok()) in_cells.emplace(cell, record->record.keyspace_routing_rules());
    }
    CO_ASSIGN_OR_RETURN(const auto rules, co_await topo::get_keyspace_routing_rules(topology));
    co_return tenant_state(model.source_keyspace, model.target_keyspace, in_cells, rules.rules);
  }
  std::map<std::string, ::vschema::RoutingRules> records;
  for (const auto& cell : cells) {
    auto record = co_await topo::get_srv_vschema(topology, cell);
    if (record.ok()) records.emplace(cell, record->record.routing_rules());
  }
  std::map<std::string, const ::vschema::RoutingRules*> views;
  for (const auto& [cell, rules] : records) views.emplace(cell, &rules);
  CO_ASSIGN_OR_RETURN(const auto global, co_await topo::get_routing_rules(topology));
  co_return vschema::move_tables_state(model.move(), views, global.rules);
}

int64_t transaction_lag_seconds(const WorkflowModel& model, base::WallTime now) {
  const int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  int64_t worst = 0;
  for (const auto& [shard, target] : model.targets) {
    for (const auto& stream : target.workflow.streams()) {
      // A heartbeat says that nothing came behind the last transaction; that the row was written lately says nothing:
      // a stream that catches up writes it all the time.
      const int64_t updated = std::max(stream.transaction_timestamp().seconds(), stream.time_heartbeat().seconds());
      worst = std::max(worst, updated == 0 ? int64_t{1} << 31 : std::max<int64_t>(seconds - updated, 0));
    }
  }
  return worst;
}

}  // namespace vitrail::control
