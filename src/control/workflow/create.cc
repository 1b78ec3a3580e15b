#include "control/workflow/create.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "control/workflow/switch.h"
#include "mysqld/rows.h"
#include "shard/key_range.h"
#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

net::Wait usual() { return net::Wait::within(60s); }

net::Task<Result<tmd::SchemaDefinition>> read_schema(TabletClient& tablets, ::topodata::Tablet tablet,
                                                     std::vector<std::string> only, std::vector<std::string> exclude) {
  tmd::GetSchemaRequest request;
  for (auto& table : only) request.add_tables(std::move(table));
  for (auto& table : exclude) request.add_exclude_tables(std::move(table));
  CO_ASSIGN_OR_RETURN(auto response, co_await tablets.call<tmd::GetSchemaResponse>(std::move(tablet), "GetSchema",
                                                                                   std::move(request), usual()));
  co_return std::move(*response.mutable_schema_definition());
}

net::Task<Result<::query::QueryResult>> execute(TabletClient& tablets, ::topodata::Tablet tablet, std::string sql,
                                                bool in_database = true) {
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_query(std::move(sql));
  if (in_database) request.set_db_name(topo::tablet_db_name(tablet));
  request.set_max_rows(1'000);
  CO_ASSIGN_OR_RETURN(auto response, co_await tablets.call<tmd::ExecuteFetchAsDbaResponse>(
                                         std::move(tablet), "ExecuteFetchAsDba", std::move(request), usual()));
  co_return std::move(*response.mutable_result());
}

// Creates the tables that are missing on a target. Tables that are there must be empty.
net::Task<Status> deploy_schema(TabletClient& tablets, ::topodata::Tablet target, const tmd::SchemaDefinition& source) {
  std::vector<std::string> names;
  for (const auto& table : source.table_definitions()) names.push_back(table.name());
  CO_ASSIGN_OR_RETURN(const auto present, co_await read_schema(tablets, target, names, {}));
  std::set<std::string> there;
  for (const auto& table : present.table_definitions()) there.insert(table.name());
  for (const auto& table : source.table_definitions()) {
    if (table.type() == "VIEW") continue;
    if (!there.contains(table.name())) {
      auto created = co_await execute(tablets, target, table.schema());
      if (!created.ok()) co_return std::move(created).error().with_context("create table " + table.name());
      continue;
    }
    CO_ASSIGN_OR_RETURN(
        const auto rows,
        co_await execute(tablets, target, "select 1 from " + mysqld::quote_identifier(table.name()) + " limit 1"));
    if (rows.rows_size() > 0) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("target keyspace/tables already have data: table {} on {} is not empty", table.name(),
                                 topo::alias_to_string(target.alias())));
    }
  }
  co_return Status{};
}

struct StreamSettings {
  std::string workflow;
  ::binlogdata::VReplicationWorkflowType type = ::binlogdata::MoveTables;
  std::vector<std::string> cells;
  std::vector<::topodata::TabletType> tablet_types;
  tmd::TabletSelectionPreference preference = tmd::INORDER;
  std::string on_ddl;
  bool stop_after_copy = false;
  bool defer_secondary_keys = false;
};

::binlogdata::OnDDLAction on_ddl_action(const std::string& text) {
  ::binlogdata::OnDDLAction action = ::binlogdata::IGNORE;
  if (!text.empty()) (void)::binlogdata::OnDDLAction_Parse(text, &action);
  return action;
}

net::Task<Status> create_streams(TabletClient& tablets, ::topodata::Tablet target, const StreamSettings& settings,
                                 std::vector<::binlogdata::BinlogSource> sources) {
  tmd::CreateVReplicationWorkflowRequest request;
  request.set_workflow(settings.workflow);
  request.set_workflow_type(settings.type);
  for (const auto& cell : settings.cells) request.add_cells(cell);
  for (const auto type : settings.tablet_types) request.add_tablet_types(type);
  if (settings.tablet_types.empty()) {
    request.add_tablet_types(::topodata::REPLICA);
    request.add_tablet_types(::topodata::PRIMARY);
  }
  request.set_tablet_selection_preference(settings.preference);
  request.set_auto_start(false);
  request.set_stop_after_copy(settings.stop_after_copy);
  request.set_defer_secondary_keys(settings.defer_secondary_keys);
  for (auto& source : sources) {
    source.set_on_ddl(on_ddl_action(settings.on_ddl));
    source.set_stop_after_copy(settings.stop_after_copy);
    *request.add_binlog_source() = std::move(source);
  }
  auto created = co_await tablets.call<tmd::CreateVReplicationWorkflowResponse>(
      std::move(target), "CreateVReplicationWorkflow", std::move(request), usual());
  if (!created.ok()) co_return std::move(created).error();
  co_return Status{};
}

net::Task<Status> start_streams(TabletClient& tablets, std::vector<::topodata::Tablet> targets, std::string workflow) {
  for (auto& target : targets) {
    tmd::UpdateVReplicationWorkflowRequest request;
    request.set_workflow(workflow);
    request.set_state(::binlogdata::Running);
    auto started = co_await tablets.call<tmd::UpdateVReplicationWorkflowResponse>(
        std::move(target), "UpdateVReplicationWorkflow", std::move(request), usual());
    if (!started.ok()) co_return std::move(started).error();
  }
  co_return Status{};
}

net::Task<void> delete_streams(TabletClient& tablets, std::vector<::topodata::Tablet> targets, std::string workflow) {
  for (auto& target : targets) {
    tmd::DeleteVReplicationWorkflowRequest request;
    request.set_workflow(workflow);
    (void)co_await tablets.call<tmd::DeleteVReplicationWorkflowResponse>(
        std::move(target), "DeleteVReplicationWorkflow", std::move(request), usual());
  }
}

net::Task<Status> refuse_existing(TabletClient& tablets, const std::string& keyspace, const std::string& workflow) {
  auto existing = co_await read_workflow(tablets, keyspace, workflow, usual());
  if (existing.ok()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("some streams already exist in the target shards: workflow {}.{}", keyspace, workflow));
  }
  if (existing.error().code() != Code::kNotFound) co_return std::move(existing).error();
  co_return Status{};
}

}  // namespace

net::Task<Status> create_move_tables(TabletClient& tablets, ::vtctldata::MoveTablesCreateRequest request) {
  topo::Server& topology = tablets.topology();
  const std::string& source = request.source_keyspace();
  const std::string& target = request.target_keyspace();
  if (request.workflow().empty()) co_return fail(Code::kInvalidArgument, "a workflow needs a name: --workflow");
  if (source == target) {
    co_return fail(Code::kInvalidArgument, "source and target keyspace must be different for MoveTables workflows");
  }
  for (const auto* keyspace : {&source, &target}) {
    auto exists = co_await topo::get_keyspace(topology, *keyspace);
    if (!exists.ok()) co_return std::move(exists).error();
  }
  CO_RETURN_IF_ERROR(co_await refuse_existing(tablets, target, request.workflow()));
  CO_ASSIGN_OR_RETURN(auto source_shards, co_await topo::find_serving_shards(topology, source));
  if (request.source_shards_size() > 0) {
    std::erase_if(source_shards, [&](const topo::ShardInfo& info) {
      return std::find(request.source_shards().begin(), request.source_shards().end(), info.name) ==
             request.source_shards().end();
    });
    if (source_shards.empty()) co_return fail(Code::kInvalidArgument, "none of the source shards is in serving state");
  }
  CO_ASSIGN_OR_RETURN(const auto target_shards, co_await topo::find_serving_shards(topology, target));

  // Which tables, and their definitions.
  CO_ASSIGN_OR_RETURN(const auto source_primary, co_await tablets.primary_of(source, source_shards.front().name));
  std::vector<std::string> wanted(request.include_tables().begin(), request.include_tables().end());
  if (wanted.empty() && !request.all_tables())
    co_return fail(Code::kInvalidArgument, "no tables to move: give --tables or --all-tables");
  CO_ASSIGN_OR_RETURN(
      const auto schema,
      co_await read_schema(tablets, source_primary, request.all_tables() ? std::vector<std::string>() : wanted,
                           {request.exclude_tables().begin(), request.exclude_tables().end()}));
  std::vector<std::string> tables;
  for (const auto& table : schema.table_definitions()) tables.push_back(table.name());
  std::sort(tables.begin(), tables.end());
  if (tables.empty()) co_return fail(Code::kInvalidArgument, "no tables to move");
  for (const auto& table : wanted) {
    if (table.front() != '/' && !std::binary_search(tables.begin(), tables.end(), table)) {
      co_return fail(Code::kInvalidArgument,
                     fmt::format("table(s) not found in source keyspace {}: {}", source, table));
    }
  }
  auto vschema = co_await topo::get_vschema(topology, target);
  ::vschema::Keyspace target_vschema;
  if (vschema.ok()) target_vschema = std::move(vschema->record);

  // The filters, before anything changes: a missing vindex is found here.
  struct Target {
    ::topodata::Tablet primary;
    std::vector<::binlogdata::BinlogSource> sources;
  };
  std::vector<Target> targets;
  for (const auto& info : target_shards) {
    Target& entry = targets.emplace_back();
    CO_ASSIGN_OR_RETURN(entry.primary, co_await tablets.primary_of(target, info.name));
    CO_ASSIGN_OR_RETURN(const auto name, shard::ShardName::parse(info.name));
    for (const auto& from : source_shards) {
      ::binlogdata::BinlogSource bls;
      bls.set_keyspace(source);
      bls.set_shard(from.name);
      for (const auto& table : tables) {
        auto* rule = bls.mutable_filter()->add_rules();
        rule->set_match(table);
        CO_ASSIGN_OR_RETURN(const auto filter, table_filter(target_vschema, target, table, name));
        rule->set_filter(filter);
      }
      entry.sources.push_back(std::move(bls));
    }
  }
  for (const auto& entry : targets) CO_RETURN_IF_ERROR(co_await deploy_schema(tablets, entry.primary, schema));

  StreamSettings settings;
  settings.workflow = request.workflow();
  settings.cells = {request.cells().begin(), request.cells().end()};
  for (const auto type : request.tablet_types())
    settings.tablet_types.push_back(static_cast<::topodata::TabletType>(type));
  settings.preference = request.tablet_selection_preference();
  settings.on_ddl = request.on_ddl();
  settings.stop_after_copy = request.stop_after_copy();
  std::vector<::topodata::Tablet> primaries;
  for (const auto& entry : targets) primaries.push_back(entry.primary);

  auto body = [](TabletClient& client, const ::vtctldata::MoveTablesCreateRequest& what, std::vector<Target>& where,
                 const StreamSettings& streams, const std::vector<std::string>& names,
                 ::vschema::Keyspace& target_schema) -> net::Task<Status> {
    topo::Server& store = client.topology();
    for (auto& entry : where)
      CO_RETURN_IF_ERROR(co_await create_streams(client, entry.primary, streams, std::move(entry.sources)));
    CO_ASSIGN_OR_RETURN(auto name_lock, co_await topo::NamedLock::acquire_workflow(
                                            store, what.target_keyspace(), what.workflow(), "MoveTables create"));
    CO_ASSIGN_OR_RETURN(auto lock,
                        co_await topo::KeyspaceLock::acquire(store, what.target_keyspace(), "MoveTables create"));
    if (!target_schema.sharded()) {
      auto updated = co_await topo::update_vschema_fields(store, what.target_keyspace(),
                                                          [&](::vschema::Keyspace& record) -> Result<bool> {
                                                            bool changed = false;
                                                            for (const auto& table : names) {
                                                              if (record.tables().contains(table)) continue;
                                                              (*record.mutable_tables())[table] = {};
                                                              changed = true;
                                                            }
                                                            return changed;
                                                          });
      if (!updated.ok()) co_return std::move(updated).error();
    }
    if (!what.no_routing_rules()) {
      // Nobody writes to the copies: first the rules that lead everybody to the source, then the denial on the target.
      const vschema::TableMove move{what.source_keyspace(), what.target_keyspace(), names};
      auto rules = co_await topo::update_routing_rules(store, [&](::vschema::RoutingRules& record) -> Result<bool> {
        vschema::add_move_rules(record, move);
        return true;
      });
      if (!rules.ok()) co_return std::move(rules).error();
      CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(store));
      for (const auto& entry : where) {
        auto denied = co_await topo::update_denied_tables(store, lock, entry.primary.shard(),
                                                          topo::DeniedTablesUpdate{.tables = names});
        if (!denied.ok()) co_return std::move(denied).error();
        auto refreshed = co_await client.call<tmd::RefreshStateResponse>(entry.primary, "RefreshState",
                                                                         tmd::RefreshStateRequest(), usual());
        if (!refreshed.ok()) co_return std::move(refreshed).error();
      }
    } else {
      CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(store));
    }
    (void)co_await lock.release();
    (void)co_await name_lock.release();
    co_return Status{};
  };
  Status made = co_await body(tablets, request, targets, settings, tables, target_vschema);
  if (!made.ok()) {
    co_await delete_streams(tablets, primaries, request.workflow());
    co_return made;
  }
  if (request.auto_start()) CO_RETURN_IF_ERROR(co_await start_streams(tablets, primaries, request.workflow()));
  co_return Status{};
}

net::Task<Status> create_reshard(TabletClient& tablets, ::vtctldata::ReshardCreateRequest request) {
  topo::Server& topology = tablets.topology();
  const std::string& keyspace = request.keyspace();
  if (request.workflow().empty()) co_return fail(Code::kInvalidArgument, "a workflow needs a name: --workflow");
  if (request.source_shards().empty() || request.target_shards().empty()) {
    co_return fail(Code::kInvalidArgument, "Reshard needs --source-shards and --target-shards");
  }
  CO_RETURN_IF_ERROR(co_await refuse_existing(tablets, keyspace, request.workflow()));
  CO_ASSIGN_OR_RETURN(const auto vschema, co_await topo::get_vschema(topology, keyspace));
  if (!vschema.record.sharded()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("keyspace {} is not sharded: apply a sharded vschema first", keyspace));
  }
  std::vector<shard::KeyRange> source_ranges;
  std::vector<shard::KeyRange> target_ranges;
  std::vector<WorkflowShard> sources;
  std::vector<WorkflowShard> targets;
  for (const auto& name : request.source_shards()) {
    CO_ASSIGN_OR_RETURN(auto info, co_await topo::get_shard(topology, keyspace, name));
    if (!info.record.is_primary_serving())
      co_return fail(Code::kFailedPrecondition, fmt::format("source shard {} is not in serving state", name));
    source_ranges.push_back(topo::covered_range(info.record));
    CO_ASSIGN_OR_RETURN(auto primary, co_await tablets.primary_of(keyspace, name));
    sources.push_back({std::move(info), std::move(primary)});
  }
  for (const auto& name : request.target_shards()) {
    CO_ASSIGN_OR_RETURN(auto info, co_await topo::get_shard(topology, keyspace, name));
    if (info.record.is_primary_serving())
      co_return fail(Code::kFailedPrecondition, fmt::format("target shard {} is in serving state", name));
    target_ranges.push_back(topo::covered_range(info.record));
    CO_ASSIGN_OR_RETURN(auto primary, co_await tablets.primary_of(keyspace, name));
    targets.push_back({std::move(info), std::move(primary)});
  }
  CO_RETURN_IF_ERROR(shard::check_same_cover(source_ranges, target_ranges));
  if (!request.skip_schema_copy()) {
    CO_ASSIGN_OR_RETURN(const auto schema, co_await read_schema(tablets, sources.front().primary, {}, {}));
    for (const auto& target : targets) CO_RETURN_IF_ERROR(co_await deploy_schema(tablets, target.primary, schema));
  }
  StreamSettings settings;
  settings.workflow = request.workflow();
  settings.type = ::binlogdata::Reshard;
  settings.cells = {request.cells().begin(), request.cells().end()};
  for (const auto type : request.tablet_types())
    settings.tablet_types.push_back(static_cast<::topodata::TabletType>(type));
  settings.preference = request.tablet_selection_preference();
  settings.on_ddl = request.on_ddl();
  settings.stop_after_copy = request.stop_after_copy();
  std::vector<::topodata::Tablet> primaries;
  for (const auto& target : targets) primaries.push_back(target.primary);
  for (size_t i = 0; i < targets.size(); ++i) {
    std::vector<::binlogdata::BinlogSource> streams;
    for (size_t j = 0; j < sources.size(); ++j) {
      if (!source_ranges[j].intersects(target_ranges[i])) continue;
      ::binlogdata::BinlogSource bls;
      bls.set_keyspace(keyspace);
      bls.set_shard(sources[j].info.name);
      auto* rule = bls.mutable_filter()->add_rules();
      rule->set_match("/.*");
      rule->set_filter(targets[i].info.name);
      streams.push_back(std::move(bls));
    }
    Status created = co_await create_streams(tablets, targets[i].primary, settings, std::move(streams));
    if (!created.ok()) {
      co_await delete_streams(tablets, primaries, request.workflow());
      co_return created;
    }
  }
  if (request.auto_start()) CO_RETURN_IF_ERROR(co_await start_streams(tablets, primaries, request.workflow()));
  co_return Status{};
}

}  // namespace vitrail::control
