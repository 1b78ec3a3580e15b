#include "control/served_from.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "control/workflow/engine/record.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/cells.h"
#include "topo/paths.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using Notes = std::vector<std::string>;

net::Task<Status> update_and_rebuild(topo::Server& topology, const topo::KeyspaceLock& lock,
                                     std::vector<topo::ServedFromUpdate> updates) {
  std::vector<std::string> cells = updates.size() == 1 ? updates[0].cells : std::vector<std::string>();
  for (auto& update : updates) {
    CO_RETURN_IF_ERROR(co_await topo::update_served_from(topology, lock, std::move(update)));
  }
  co_return co_await topo::rebuild_keyspace_graph(topology, lock, {.cells = std::move(cells)});
}

net::Task<void> refresh_one(TabletClient& tablets, ::topodata::Tablet tablet, net::Wait wait, Status& out) {
  auto done = co_await tablets.call<tmd::RefreshStateResponse>(std::move(tablet), "RefreshState",
                                                               tmd::RefreshStateRequest(), std::move(wait));
  if (!done.ok()) out = std::move(done).error();
}

// One migration, with both locks held. References outlive it.
class Migration {
 public:
  Migration(TabletClient& tablets, const topo::KeyspaceLock& source_lock, const topo::KeyspaceLock& lock,
            const ServedFromMigration& options, ::topodata::Shard::SourceShard source)
      : tablets_(tablets),
        source_lock_(source_lock),
        lock_(lock),
        options_(options),
        source_(std::move(source)),
        tables_(source_.tables().begin(), source_.tables().end()) {}

  // Traffic moves before the source denies it, and comes back after the source allows it.
  net::Task<Result<Notes>> move_reads() {
    Notes notes;
    if (!options_.reverse) {
      CO_ASSIGN_OR_RETURN(const auto target, co_await tablets_.primary_of(options_.keyspace, options_.shard));
      CO_RETURN_IF_ERROR(co_await check_copied(target));
      CO_RETURN_IF_ERROR(co_await redirect());
    }
    CO_RETURN_IF_ERROR(co_await deny(!options_.reverse));
    CO_ASSIGN_OR_RETURN(notes, co_await refresh_source());
    if (options_.reverse) CO_RETURN_IF_ERROR(co_await redirect());
    co_return notes;
  }

  net::Task<Result<Notes>> move_writes() {
    CO_ASSIGN_OR_RETURN(const auto source, co_await tablets_.primary_of(source_.keyspace(), source_.shard()));
    CO_ASSIGN_OR_RETURN(const auto target, co_await tablets_.primary_of(options_.keyspace, options_.shard));
    CO_ASSIGN_OR_RETURN(const int64_t streams,
                        co_await stream_statement(target, "select id from _vt.vreplication where id"));
    if (streams == 0) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("no filtered replication with id {} runs on tablet {}: VerticalSplitClone starts it; "
                                 "without it, move the tables with MoveTables",
                                 source_.uid(), topo::alias_to_string(target.alias())));
    }
    CO_RETURN_IF_ERROR(co_await check_copied(target));
    Status caught_up = co_await stop_writes_and_catch_up(source, target);
    if (!caught_up.ok()) {
      Status allowed = co_await deny(false);
      if (allowed.ok()) allowed = co_await refresh(source);
      Error error = std::move(caught_up).error();
      if (!allowed.ok()) co_return std::move(error).with_context("the source still denies the tables");
      co_return error;
    }
    // The point of no return.
    auto ended = co_await stream_statement(target, "delete from _vt.vreplication where id");
    if (!ended.ok()) co_return std::move(ended).error();
    CO_RETURN_IF_ERROR(co_await redirect());
    topo::UpdateFn<::topodata::Shard> clear = [](::topodata::Shard& record) -> Result<bool> {
      record.clear_source_shards();
      return true;
    };
    auto cleared = co_await topo::update_shard_fields(tablets_.topology(), options_.keyspace, options_.shard,
                                                      std::move(clear), lock_.fence());
    if (!cleared.ok()) co_return std::move(cleared).error();
    Notes notes;
    Status told = co_await refresh(target);
    if (!told.ok()) notes.push_back(told.error().message());
    Status forgotten = co_await forget_workflow();
    if (!forgotten.ok()) notes.push_back(forgotten.error().message());
    co_return notes;
  }

 private:
  // The record of the MoveTables whose stream has ended here: it is in nobody's way any more.
  net::Task<Status> forget_workflow() {
    topo::Server& topology = tablets_.topology();
    CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(topology));
    for (const auto& [record, version] : records) {
      const bool moved_these = std::ranges::all_of(record.tables(), [&](const std::string& table) {
        return std::ranges::find(tables_, table) != tables_.end();
      });
      if (record.kind() != "MoveTables" || record.source_keyspace() != source_.keyspace() ||
          record.target_keyspace() != options_.keyspace || !moved_these || record.has_open()) {
        continue;
      }
      CO_RETURN_IF_ERROR(co_await topology.global().remove(
          topo::movement_record_path(record.target_keyspace(), record.workflow()), version));
    }
    co_return Status{};
  }

  net::Wait wait() const { return net::Wait::within(options_.timeout); }

  net::Task<Status> redirect() {
    return update_and_rebuild(tablets_.topology(), lock_,
                              {{.type = options_.type,
                                .cells = options_.cells,
                                .source = options_.reverse ? source_.keyspace() : std::string()}});
  }

  net::Task<Status> deny(bool denied) {
    topo::Server& topology = tablets_.topology();
    CO_ASSIGN_OR_RETURN(const auto all_cells, co_await topo::get_cell_names(topology));
    const topo::DeniedTablesUpdate update{
        .type = options_.type, .cells = options_.cells, .remove = !denied, .tables = tables_};
    topo::UpdateFn<::topodata::Shard> apply = [&](::topodata::Shard& record) -> Result<bool> {
      // An entry for all cells names them before it loses some.
      for (auto& control : *record.mutable_tablet_controls()) {
        if (control.tablet_type() == update.type && update.remove && !update.cells.empty() && control.cells().empty()) {
          control.mutable_cells()->Add(all_cells.begin(), all_cells.end());
        }
      }
      RETURN_IF_ERROR(topo::apply_denied_tables(record, update));
      return true;
    };
    auto updated = co_await topo::update_shard_fields(topology, source_.keyspace(), source_.shard(), std::move(apply),
                                                      source_lock_.fence());
    if (!updated.ok()) co_return std::move(updated).error();
    co_return Status{};
  }

  net::Task<Status> refresh(::topodata::Tablet tablet) {
    Status out;
    co_await refresh_one(tablets_, std::move(tablet), wait(), out);
    co_return out;
  }

  // The source's tablets of the type. What they serve is denied for safety only, so one that does not answer is a note.
  net::Task<Result<Notes>> refresh_source() {
    topo::TabletQuery query;
    query.cells = options_.cells;
    query.keyspace = source_.keyspace();
    query.shard = source_.shard();
    query.type = options_.type;
    CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(tablets_.topology(), std::move(query)));
    std::vector<Status> outcomes(list.tablets.size());
    std::vector<net::Task<void>> calls;
    for (size_t i = 0; i < list.tablets.size(); ++i) {
      calls.push_back(refresh_one(tablets_, list.tablets[i], wait(), outcomes[i]));
    }
    co_await net::when_all(std::move(calls));
    Notes notes;
    for (const auto& [cell, error] : list.failed) notes.push_back("cell " + cell + ": " + error.message());
    for (const auto& outcome : outcomes) {
      if (!outcome.ok()) notes.push_back(outcome.error().message());
    }
    co_return notes;
  }

  // How many streams `what` met.
  net::Task<Result<int64_t>> stream_statement(::topodata::Tablet target, std::string what) {
    tmd::VReplicationExecRequest request;
    request.set_query(fmt::format("{} = {}", what, source_.uid()));
    CO_ASSIGN_OR_RETURN(const auto done, co_await tablets_.call<tmd::VReplicationExecResponse>(
                                             std::move(target), "VReplicationExec", std::move(request), wait()));
    co_return std::max<int64_t>(done.result().rows_size(), static_cast<int64_t>(done.result().rows_affected()));
  }

  // A stream that still copies may have reached a position whose rows it has not read yet.
  net::Task<Status> check_copied(::topodata::Tablet target) {
    CO_ASSIGN_OR_RETURN(const int64_t tables,
                        co_await stream_statement(target, "select vrepl_id from _vt.copy_state where vrepl_id"));
    if (tables == 0) co_return Status{};
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("tablet {} is still copying the tables: wait until it has them",
                               topo::alias_to_string(target.alias())));
  }

  // RefreshState returns when what was under way on the source has ended: the position covers every write.
  net::Task<Status> stop_writes_and_catch_up(::topodata::Tablet source, ::topodata::Tablet target) {
    CO_RETURN_IF_ERROR(co_await deny(true));
    CO_RETURN_IF_ERROR(co_await refresh(source));
    CO_ASSIGN_OR_RETURN(const auto position, co_await tablets_.call<tmd::PrimaryPositionResponse>(
                                                 source, "PrimaryPosition", tmd::PrimaryPositionRequest(), wait()));
    tmd::VReplicationWaitForPosRequest request;
    request.set_id(source_.uid());
    request.set_position(position.position());
    auto reached = co_await tablets_.call<tmd::VReplicationWaitForPosResponse>(
        std::move(target), "VReplicationWaitForPos", std::move(request), wait());
    if (!reached.ok()) co_return std::move(reached).error().with_context("the stream has not caught up");
    co_return Status{};
  }

  TabletClient& tablets_;
  const topo::KeyspaceLock& source_lock_;
  const topo::KeyspaceLock& lock_;
  const ServedFromMigration& options_;
  const ::topodata::Shard::SourceShard source_;
  const std::vector<std::string> tables_;
};

Status check(const ServedFromMigration& options, const ::topodata::Keyspace& record) {
  const bool primary = options.type == ::topodata::PRIMARY;
  if (record.served_froms().empty()) {
    return fail(Code::kFailedPrecondition,
                fmt::format("destination keyspace {} is not a vertical split target", options.keyspace));
  }
  if (!primary) return {};
  if (options.reverse) {
    return fail(Code::kInvalidArgument, fmt::format("cannot add master back to {}", options.keyspace));
  }
  if (!options.cells.empty()) {
    return fail(Code::kInvalidArgument,
                fmt::format("cannot migrate only some cells for master removal in keyspace {}", options.keyspace));
  }
  if (record.served_froms_size() > 1) {
    return fail(Code::kFailedPrecondition,
                fmt::format("cannot migrate master into {} until everything else is migrated", options.keyspace));
  }
  return {};
}

net::Task<Result<::topodata::Shard::SourceShard>> find_source(topo::Server& topology, std::string keyspace,
                                                              std::string shard) {
  CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(topology, keyspace, shard));
  if (info.record.source_shards_size() != 1 || info.record.source_shards(0).tables().empty()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("destination shard {}/{} is not a vertical split target: its source_shards should name "
                               "one shard and the tables",
                               keyspace, shard));
  }
  co_return info.record.source_shards(0);
}

net::Task<Result<Notes>> migrate_locked(TabletClient& tablets, const topo::KeyspaceLock& source_lock,
                                        const topo::KeyspaceLock& lock, const ServedFromMigration& options,
                                        ::topodata::Shard::SourceShard source) {
  CO_ASSIGN_OR_RETURN(const auto keyspace, co_await topo::get_keyspace(tablets.topology(), options.keyspace));
  CO_RETURN_IF_ERROR(check(options, keyspace.record));
  Migration migration(tablets, source_lock, lock, options, std::move(source));
  co_return options.type == ::topodata::PRIMARY ? co_await migration.move_writes() : co_await migration.move_reads();
}

net::Task<Result<Notes>> migrate_with_source(TabletClient& tablets, const topo::KeyspaceLock& source_lock,
                                             const ServedFromMigration& options,
                                             ::topodata::Shard::SourceShard source) {
  CO_ASSIGN_OR_RETURN(auto lock,
                      co_await topo::KeyspaceLock::acquire(tablets.topology(), options.keyspace, "MigrateServedFrom"));
  auto done = co_await migrate_locked(tablets, source_lock, lock, options, std::move(source));
  Status released = co_await lock.release();
  if (done.ok() && !released.ok()) co_return std::move(released).error();
  co_return done;
}

}  // namespace

net::Task<Status> set_served_from(topo::Server& topology, std::string keyspace, topo::ServedFromUpdate update) {
  CO_ASSIGN_OR_RETURN(auto lock,
                      co_await topo::KeyspaceLock::acquire(topology, std::move(keyspace), "SetKeyspaceServedFrom"));
  Status updated = co_await topo::update_served_from(topology, lock, std::move(update));
  Status released = co_await lock.release();
  co_return updated.ok() ? released : updated;
}

net::Task<Status> serve_from(topo::Server& topology, std::string keyspace,
                             std::vector<topo::ServedFromUpdate> updates) {
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::KeyspaceLock::acquire(topology, std::move(keyspace), "CreateKeyspace"));
  Status updated = co_await update_and_rebuild(topology, lock, std::move(updates));
  Status released = co_await lock.release();
  co_return updated.ok() ? released : updated;
}

net::Task<Result<Notes>> migrate_served_from(TabletClient& tablets, ServedFromMigration migration) {
  topo::Server& topology = tablets.topology();
  if (!topo::is_serving_type(migration.type)) {
    co_return fail(Code::kInvalidArgument,
                   "supplied type cannot be migrated: " + topo::tablet_type_to_string(migration.type) +
                       " tablets serve no queries");
  }
  CO_ASSIGN_OR_RETURN(const auto keyspace, co_await topo::get_keyspace(topology, migration.keyspace));
  CO_RETURN_IF_ERROR(check(migration, keyspace.record));
  if (!migration.cells.empty()) {
    CO_ASSIGN_OR_RETURN(migration.cells, co_await topo::expand_cells(topology, std::move(migration.cells)));
  }
  CO_ASSIGN_OR_RETURN(auto source, co_await find_source(topology, migration.keyspace, migration.shard));
  CO_ASSIGN_OR_RETURN(auto lock,
                      co_await topo::KeyspaceLock::acquire(topology, source.keyspace(), "MigrateServedFrom"));
  auto done = co_await migrate_with_source(tablets, lock, migration, std::move(source));
  Status released = co_await lock.release();
  if (done.ok() && !released.ok()) co_return std::move(released).error();
  co_return done;
}

}  // namespace vitrail::control
