#include "control/workflow/complete.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/remove.h"
#include "mysqld/rows.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/srv_keyspace.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

net::Wait usual() { return net::Wait::within(120s); }

net::Task<Status> delete_streams(TabletClient& tablets, ::topodata::Tablet tablet, std::string workflow) {
  tmd::DeleteVReplicationWorkflowRequest request;
  request.set_workflow(std::move(workflow));
  auto deleted = co_await tablets.call<tmd::DeleteVReplicationWorkflowResponse>(
      std::move(tablet), "DeleteVReplicationWorkflow", std::move(request), usual());
  if (!deleted.ok() && deleted.error().code() != Code::kNotFound) co_return std::move(deleted).error();
  co_return Status{};
}

net::Task<Status> drop_table(TabletClient& tablets, ::topodata::Tablet tablet, std::string table, bool rename) {
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_db_name(topo::tablet_db_name(tablet));
  const std::string old_name = "_" + table.substr(0, 59) + "_old";
  request.set_query(
      rename ? fmt::format("rename table {} to {}", mysqld::quote_identifier(table), mysqld::quote_identifier(old_name))
             : "drop table if exists " + mysqld::quote_identifier(table));
  auto done = co_await tablets.call<tmd::ExecuteFetchAsDbaResponse>(std::move(tablet), "ExecuteFetchAsDba",
                                                                    std::move(request), usual());
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

net::Task<Status> allow_tables(TabletClient& tablets, const topo::KeyspaceLock& lock, const std::string& shard,
                               ::topodata::Tablet primary, std::vector<std::string> tables) {
  for (const auto type : topo::kServedTypes) {
    auto updated = co_await topo::update_denied_tables(
        tablets.topology(), lock, shard, topo::DeniedTablesUpdate{.type = type, .remove = true, .tables = tables});
    if (!updated.ok()) co_return std::move(updated).error();
  }
  auto refreshed = co_await tablets.call<tmd::RefreshStateResponse>(std::move(primary), "RefreshState",
                                                                    tmd::RefreshStateRequest(), usual());
  if (!refreshed.ok()) co_return std::move(refreshed).error();
  co_return Status{};
}

net::Task<Status> remove_from_vschema(topo::Server& topology, std::string keyspace, std::vector<std::string> tables) {
  auto updated = co_await topo::update_vschema_fields(
      topology, std::move(keyspace), [&](::vschema::Keyspace& record) -> Result<bool> {
        bool changed = false;
        for (const auto& table : tables) changed = record.mutable_tables()->erase(table) > 0 || changed;
        return changed;
      });
  if (!updated.ok() && updated.error().code() != Code::kNotFound) co_return std::move(updated).error();
  co_return Status{};
}

net::Task<Status> remove_rules(topo::Server& topology, const vschema::TableMove& move) {
  auto updated = co_await topo::update_routing_rules(topology, [&](::vschema::RoutingRules& rules) -> Result<bool> {
    vschema::delete_move_rules(rules, move);
    return true;
  });
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

struct KeyspaceLocks {
  topo::KeyspaceLock first;
  std::optional<topo::KeyspaceLock> second;
  const topo::KeyspaceLock& of(const std::string& keyspace) const {
    return first.keyspace() == keyspace ? first : *second;
  }

  static net::Task<Result<KeyspaceLocks>> acquire(topo::Server& topology, std::string a, std::string b,
                                                  std::string action) {
    CO_ASSIGN_OR_RETURN(auto first, co_await topo::KeyspaceLock::acquire(topology, std::min(a, b), action));
    KeyspaceLocks locks{std::move(first), std::nullopt};
    if (a != b) {
      CO_ASSIGN_OR_RETURN(auto second, co_await topo::KeyspaceLock::acquire(topology, std::max(a, b), action));
      locks.second.emplace(std::move(second));
    }
    co_return std::move(locks);
  }
  net::Task<Status> release() {
    Status outcome = second ? co_await second->release() : Status{};
    Status other = co_await first.release();
    co_return outcome.ok() ? std::move(other) : std::move(outcome);
  }
};

net::Task<Status> finish_move_tables(TabletClient& tablets, const KeyspaceLocks& locks, const WorkflowModel& model,
                                     const ::vtctldata::MoveTablesCompleteRequest& request) {
  topo::Server& topology = tablets.topology();
  if (!request.keep_data()) {
    for (const auto& [name, source] : model.sources) {
      for (const auto& table : model.tables) {
        CO_RETURN_IF_ERROR(co_await drop_table(tablets, source.primary, table, request.rename_tables()));
      }
    }
    CO_RETURN_IF_ERROR(co_await remove_from_vschema(topology, model.source_keyspace, model.tables));
  }
  if (!request.keep_routing_rules()) CO_RETURN_IF_ERROR(co_await remove_rules(topology, model.move()));
  CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(topology));
  for (const auto& [name, source] : model.sources) {
    CO_RETURN_IF_ERROR(
        co_await allow_tables(tablets, locks.of(model.source_keyspace), name, source.primary, model.tables));
    CO_RETURN_IF_ERROR(co_await delete_streams(tablets, source.primary, model.reverse_name()));
  }
  // The forward streams last: while they are there, an interrupted Complete can be repeated.
  for (const auto& [name, target] : model.targets) {
    CO_RETURN_IF_ERROR(co_await delete_streams(tablets, target.shard.primary, model.name));
  }
  co_return Status{};
}

net::Task<Status> finish_reshard(TabletClient& tablets, const KeyspaceLocks& locks, const WorkflowModel& model,
                                 const ::vtctldata::MoveTablesCompleteRequest& request) {
  topo::Server& topology = tablets.topology();
  const auto& lock = locks.of(model.target_keyspace);
  for (const auto& [name, source] : model.sources) {
    CO_RETURN_IF_ERROR(co_await delete_streams(tablets, source.primary, model.reverse_name()));
  }
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology));
  if (!request.keep_data()) {
    for (const auto& [name, source] : model.sources) {
      CO_RETURN_IF_ERROR(co_await delete_shard(topology, lock, name, {.recursive = true, .even_if_serving = false}));
    }
    for (const auto& cell : cells) {
      auto updated = co_await topo::update_srv_keyspace_fields(topology, lock, cell,
                                                               [](::topodata::SrvKeyspace& record) -> Result<bool> {
                                                                 vschema::clear_tablet_controls(record);
                                                                 return true;
                                                               });
      if (!updated.ok() && updated.error().code() != Code::kNotFound) co_return std::move(updated).error();
    }
  }
  for (const auto& [name, target] : model.targets) {
    CO_RETURN_IF_ERROR(co_await delete_streams(tablets, target.shard.primary, model.name));
  }
  co_return Status{};
}

}  // namespace

net::Task<Result<::vtctldata::MoveTablesCompleteResponse>> complete_workflow(
    TabletClient& tablets, ::vtctldata::MoveTablesCompleteRequest request) {
  CO_ASSIGN_OR_RETURN(const auto model,
                      co_await read_workflow(tablets, request.target_keyspace(), request.workflow(), usual()));
  CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(tablets, model));
  if (!state.all_reads_switched() || !state.writes_switched) {
    co_return fail(Code::kFailedPrecondition,
                   "cannot complete workflow because you have not yet switched all read and write traffic");
  }
  ::vtctldata::MoveTablesCompleteResponse response;
  response.set_summary(request.dry_run()
                           ? fmt::format("Complete dry run results for workflow {}.{} at {}", request.target_keyspace(),
                                         request.workflow(), rfc822(tablets.topology().clock().wall_now()))
                           : fmt::format("Successfully completed the {} workflow in the {} keyspace",
                                         request.workflow(), request.target_keyspace()));
  if (request.dry_run()) {
    for (const auto& [name, source] : model.sources) {
      const uint32_t uid = source.primary.alias().uid();
      if (model.is_reshard) {
        if (!request.keep_data()) {
          response.add_dry_run_results(
              fmt::format("Delete shards (and all related tablets): [cell:{};keyspace:{};shard:{}]",
                          source.primary.alias().cell(), model.source_keyspace, name));
        }
        continue;
      }
      for (const auto& table : model.tables) {
        if (request.keep_data()) break;
        response.add_dry_run_results(
            fmt::format("{} these tables from the database and removing them from the vschema for keyspace {}: "
                        "[keyspace:{};shard:{};dbname:{};tablet:{};table:{}]",
                        request.rename_tables() ? "Renaming" : "Dropping", model.source_keyspace, model.source_keyspace,
                        name, topo::tablet_db_name(source.primary), uid, table));
      }
    }
    if (!request.keep_routing_rules() && !model.is_reshard) {
      response.add_dry_run_results("Routing rules for participating tables will be deleted");
    }
    co_return response;
  }
  CO_ASSIGN_OR_RETURN(auto name_lock,
                      co_await topo::NamedLock::acquire_workflow(tablets.topology(), request.target_keyspace(),
                                                                 request.workflow(), "Complete"));
  CO_ASSIGN_OR_RETURN(auto locks, co_await KeyspaceLocks::acquire(tablets.topology(), model.source_keyspace,
                                                                  model.target_keyspace, "Complete"));
  Status done = model.is_reshard ? co_await finish_reshard(tablets, locks, model, request)
                                 : co_await finish_move_tables(tablets, locks, model, request);
  Status released = co_await locks.release();
  (void)co_await name_lock.release();
  if (!done.ok()) co_return std::move(done).error();
  if (!released.ok()) co_return std::move(released).error();
  co_return response;
}

net::Task<Result<::vtctldata::WorkflowDeleteResponse>> cancel_workflow(TabletClient& tablets,
                                                                       ::vtctldata::WorkflowDeleteRequest request) {
  CO_ASSIGN_OR_RETURN(const auto model,
                      co_await read_workflow(tablets, request.keyspace(), request.workflow(), usual()));
  CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(tablets, model));
  if (state.writes_switched) {
    co_return fail(Code::kFailedPrecondition, "cannot delete workflow because you have already switched write traffic");
  }
  CO_ASSIGN_OR_RETURN(auto name_lock, co_await topo::NamedLock::acquire_workflow(tablets.topology(), request.keyspace(),
                                                                                 request.workflow(), "Cancel"));
  CO_ASSIGN_OR_RETURN(auto locks, co_await KeyspaceLocks::acquire(tablets.topology(), model.source_keyspace,
                                                                  model.target_keyspace, "Cancel"));
  auto body = [](TabletClient& client, const KeyspaceLocks& held, const WorkflowModel& what,
                 const ::vtctldata::WorkflowDeleteRequest& wanted) -> net::Task<Status> {
    topo::Server& topology = client.topology();
    // Readers first go back to the source, then the copies go.
    if (!what.is_reshard && !wanted.keep_routing_rules()) {
      CO_RETURN_IF_ERROR(co_await remove_rules(topology, what.move()));
      if (!wanted.keep_data())
        CO_RETURN_IF_ERROR(co_await remove_from_vschema(topology, what.target_keyspace, what.tables));
      CO_RETURN_IF_ERROR(co_await topo::rebuild_srv_vschema(topology));
    }
    for (const auto& [name, target] : what.targets) {
      std::vector<std::string> tables = what.tables;
      if (what.is_reshard && !wanted.keep_data()) {
        CO_ASSIGN_OR_RETURN(const auto schema,
                            co_await client.call<tmd::GetSchemaResponse>(target.shard.primary, "GetSchema",
                                                                         tmd::GetSchemaRequest(), usual()));
        for (const auto& table : schema.schema_definition().table_definitions()) tables.push_back(table.name());
      }
      tmd::UpdateVReplicationWorkflowRequest stop;
      stop.set_workflow(what.name);
      stop.set_state(::binlogdata::Stopped);
      auto stopped = co_await client.call<tmd::UpdateVReplicationWorkflowResponse>(
          target.shard.primary, "UpdateVReplicationWorkflow", std::move(stop), usual());
      if (!stopped.ok()) co_return std::move(stopped).error();
      if (!wanted.keep_data()) {
        for (const auto& table : tables)
          CO_RETURN_IF_ERROR(co_await drop_table(client, target.shard.primary, table, false));
      }
      if (!what.is_reshard) {
        CO_RETURN_IF_ERROR(
            co_await allow_tables(client, held.of(what.target_keyspace), name, target.shard.primary, what.tables));
      }
      CO_RETURN_IF_ERROR(co_await delete_streams(client, target.shard.primary, what.name));
    }
    co_return Status{};
  };
  Status done = co_await body(tablets, locks, model, request);
  Status released = co_await locks.release();
  (void)co_await name_lock.release();
  if (!done.ok()) co_return std::move(done).error();
  if (!released.ok()) co_return std::move(released).error();
  ::vtctldata::WorkflowDeleteResponse response;
  response.set_summary(
      fmt::format("Successfully cancelled the {} workflow in the {} keyspace", request.workflow(), request.keyspace()));
  for (const auto& [name, target] : model.targets) {
    auto* detail = response.add_details();
    *detail->mutable_tablet() = target.shard.primary.alias();
    detail->set_deleted(true);
  }
  co_return response;
}

}  // namespace vitrail::control
