#include "control/served_from.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "control/served_from_change.h"
#include "control/workflow/records.h"
#include "topo/cells.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"

namespace vitrail::control {
namespace {

using Notes = std::vector<std::string>;

net::Task<Status> update_and_rebuild(topo::Server& topology, const topo::KeyspaceLock& lock,
                                     std::vector<topo::ServedFromUpdate> updates) {
  std::vector<std::string> cells = updates.size() == 1 ? updates[0].cells : std::vector<std::string>();
  for (auto& update : updates) {
    CO_RETURN_IF_ERROR(co_await topo::update_served_from(topology, lock, std::move(update)));
  }
  co_return co_await topo::rebuild_keyspace_graph(topology, lock, {.cells = std::move(cells)});
}

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

// What can be checked before anything changes.
net::Task<Status> check_streams(TabletClient& tablets, const ServedFromMigration& migration,
                                ::topodata::Shard::SourceShard source) {
  if (migration.reverse) co_return Status{};
  const net::Wait wait = net::Wait::within(migration.timeout);
  CO_ASSIGN_OR_RETURN(const auto target, co_await tablets.primary_of(migration.keyspace, migration.shard));
  if (migration.type == ::topodata::PRIMARY) {
    auto from = co_await tablets.primary_of(source.keyspace(), source.shard());
    if (!from.ok()) co_return std::move(from).error();
    CO_ASSIGN_OR_RETURN(
        const int64_t streams,
        co_await count_streams(tablets, target, "select id from _vt.vreplication where id", source.uid(), wait));
    if (streams == 0) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("no filtered replication with id {} runs on tablet {}: VerticalSplitClone starts it; "
                                 "without it, move the tables with MoveTables",
                                 source.uid(), topo::alias_to_string(target.alias())));
    }
  }
  co_return co_await check_copied(tablets, target, source.uid(), wait);
}

struct Locks {
  topo::KeyspaceLock source;
  topo::KeyspaceLock own;
  net::Task<void> release() {
    (void)co_await own.release();
    (void)co_await source.release();
  }
};

net::Task<Result<Locks>> lock_both(topo::Server& topology, std::string source, std::string keyspace) {
  const topo::LockSettings settings{.wait_max = {}, .lease = kServedFromLease};
  CO_ASSIGN_OR_RETURN(auto first,
                      co_await topo::KeyspaceLock::acquire(topology, std::move(source), "MigrateServedFrom", settings));
  auto second = co_await topo::KeyspaceLock::acquire(topology, std::move(keyspace), "MigrateServedFrom", settings);
  if (!second.ok()) {
    (void)co_await first.release();
    co_return std::move(second).error();
  }
  co_return Locks{std::move(first), std::move(*second)};
}

net::Task<Status> check_locked(TabletClient& tablets, const ServedFromMigration& migration,
                               ::topodata::Shard::SourceShard source) {
  CO_ASSIGN_OR_RETURN(const auto keyspace, co_await topo::get_keyspace(tablets.topology(), migration.keyspace));
  CO_RETURN_IF_ERROR(check(migration, keyspace.record));
  co_return co_await check_streams(tablets, migration, std::move(source));
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
  // What an earlier command left comes to its end first.
  const net::Wait patience = net::Wait::within(topology.options().lock_timeout);
  for (;;) {
    CO_RETURN_IF_ERROR(co_await engine::settle(topology, migration.keyspace, "served-from:" + migration.shard,
                                               operation_factory(tablets), engine::this_process(), patience));
    CO_ASSIGN_OR_RETURN(auto source, co_await find_source(topology, migration.keyspace, migration.shard));
    CO_ASSIGN_OR_RETURN(auto locks, co_await lock_both(topology, source.keyspace(), migration.keyspace));
    Status checked = co_await check_locked(tablets, migration, source);
    if (!checked.ok()) {
      co_await locks.release();
      co_return std::move(checked).error();
    }
    auto record = make_served_from_record(migration, source, engine::to_ms(topology.clock().wall_now()));
    auto tenure = co_await engine::Tenure::create(topology, std::move(record), engine::this_process());
    if (!tenure.ok()) {
      co_await locks.release();
      if (tenure.error().code() == Code::kAlreadyExists) continue;
      co_return std::move(tenure).error();
    }
    ServedFromChange change(tablets, **tenure, std::move(locks.source), std::move(locks.own));
    Status done = co_await engine::carry_out(**tenure, change);
    co_await change.end();
    if (!done.ok()) co_return std::move(done).error();
    co_return change.notes();
  }
}

}  // namespace vitrail::control
