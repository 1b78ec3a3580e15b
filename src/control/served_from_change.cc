#include "control/served_from_change.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/random.h"
#include "base/text.h"
#include "mysqld/rows.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/cells.h"
#include "topo/paths.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/tablet.h"
#include "topo/workflow_fence.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;

net::Task<void> refresh_one(TabletClient& tablets, ::topodata::Tablet tablet, net::Wait wait, Status& out) {
  auto done = co_await tablets.call<tmd::RefreshStateResponse>(std::move(tablet), "RefreshState",
                                                               tmd::RefreshStateRequest(), std::move(wait));
  if (!done.ok()) out = std::move(done).error();
}

}  // namespace

net::Task<Result<int64_t>> count_streams(TabletClient& tablets, ::topodata::Tablet target, std::string what,
                                         uint32_t uid, net::Wait wait) {
  tmd::VReplicationExecRequest request;
  request.set_query(fmt::format("{} = {}", what, uid));
  CO_ASSIGN_OR_RETURN(const auto done, co_await tablets.call<tmd::VReplicationExecResponse>(
                                           std::move(target), "VReplicationExec", std::move(request), std::move(wait)));
  co_return static_cast<int64_t>(done.result().rows_size());
}

net::Task<Status> check_copied(TabletClient& tablets, ::topodata::Tablet target, uint32_t uid, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(
      const int64_t copying,
      co_await count_streams(tablets, target, "select vrepl_id from _vt.copy_state where vrepl_id", uid, wait));
  if (copying == 0) co_return Status{};
  co_return fail(Code::kFailedPrecondition, fmt::format("tablet {} is still copying the tables: wait until it has them",
                                                        topo::alias_to_string(target.alias())));
}

engine::Record make_served_from_record(const ServedFromMigration& migration,
                                       const ::topodata::Shard::SourceShard& source, int64_t now_ms) {
  engine::Record record;
  record.set_id("served-from-" + base::system_random().uuid());
  record.set_kind(std::string(engine::kServedFromChange));
  record.set_workflow("served-from:" + migration.shard);
  record.set_source_keyspace(source.keyspace());
  record.set_target_keyspace(migration.keyspace);
  record.add_source_shards(source.shard());
  record.add_target_shards(migration.shard);
  for (const auto& table : source.tables()) record.add_tables(table);
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(migration.timeout);
  *record.mutable_open() =
      engine::make_operation(kMigrateServedFrom, {{"type", topo::tablet_type_to_string(migration.type)},
                                                  {"cells", base::join(migration.cells, ",")},
                                                  {"reverse", migration.reverse ? "true" : "false"},
                                                  {"uid", std::to_string(source.uid())},
                                                  {"timeout_ms", std::to_string(timeout.count())}});
  record.mutable_open()->set_started_ms(now_ms);
  return record;
}

ServedFromChange::ServedFromChange(TabletClient& tablets, engine::Tenure& tenure, topo::KeyspaceLock source_lock,
                                   topo::KeyspaceLock lock)
    : tablets_(tablets), tenure_(tenure), source_lock_(std::move(source_lock)), lock_(std::move(lock)) {
  const auto& record = tenure_.record();
  const auto setting = [&](const char* name) {
    const auto found = record.open().settings().find(name);
    return found == record.open().settings().end() ? std::string() : found->second;
  };
  options_.keyspace = record.target_keyspace();
  options_.shard = record.target_shards().empty() ? "" : record.target_shards(0);
  if (const auto type = topo::parse_tablet_type(setting("type")); type.ok()) options_.type = *type;
  for (const auto& cell : base::split_list(setting("cells"))) options_.cells.emplace_back(cell);
  options_.reverse = setting("reverse") == "true";
  if (const auto ms = mysqld::to_int(setting("timeout_ms")); ms && *ms > 0) {
    options_.timeout = std::chrono::milliseconds(*ms);
  }
  source_.set_keyspace(record.source_keyspace());
  source_.set_shard(record.source_shards().empty() ? "" : record.source_shards(0));
  source_.set_uid(static_cast<uint32_t>(mysqld::to_uint(setting("uid")).value_or(0)));
  tables_.assign(record.tables().begin(), record.tables().end());
}

net::Task<void> ServedFromChange::end() {
  (void)co_await lock_.release();
  (void)co_await source_lock_.release();
}

// Traffic moves before the source denies it, and comes back after the source allows it.
std::vector<engine::Step> ServedFromChange::steps() {
  std::vector<engine::Step> steps;
  auto add = [&steps](const char* id, std::function<net::Task<Status>()> apply,
                      std::function<net::Task<Status>()> undo = {}) {
    steps.push_back({.id = id, .apply = std::move(apply), .undo = std::move(undo)});
  };
  if (options_.type != ::topodata::PRIMARY) {
    if (!options_.reverse) add("redirect", [this] { return redirect(); });
    add("deny_source_tables", [this] { return deny(!options_.reverse); });
    add("refresh_source", [this] { return refresh_source(); });
    if (options_.reverse) add("redirect", [this] { return redirect(); });
    return steps;
  }
  add("deny_source_tables", [this] { return deny_writes(); }, [this] { return allow_writes(); });
  steps.back().undo_first = true;
  add("catch_up", [this] { return catch_up(); });
  add("end_stream", [this] { return end_stream(); });
  steps.back().point_of_no_return = true;
  add("redirect", [this] { return redirect(); });
  add("clear_source_shards", [this] { return clear_source(); });
  add("refresh_target", [this] { return refresh_target(); });
  add("forget_workflow", [this] { return forget_workflow(); });
  return steps;
}

net::Task<Status> ServedFromChange::redirect() {
  CO_RETURN_IF_ERROR(
      co_await topo::update_served_from(tablets_.topology(), lock_,
                                        {.type = options_.type,
                                         .cells = options_.cells,
                                         .source = options_.reverse ? source_.keyspace() : std::string()}));
  co_return co_await topo::rebuild_keyspace_graph(tablets_.topology(), lock_, {.cells = options_.cells});
}

net::Task<Status> ServedFromChange::deny(bool denied) {
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

// RefreshState returns when what was under way on the source has ended: its position covers every write.
net::Task<Status> ServedFromChange::deny_writes() {
  CO_RETURN_IF_ERROR(co_await deny(true));
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await source());
  Status out;
  co_await refresh_one(tablets_, tablet, wait(), out);
  co_return out;
}

net::Task<Status> ServedFromChange::allow_writes() {
  Status allowed = co_await deny(false);
  if (allowed.ok()) {
    auto tablet = co_await source();
    if (!tablet.ok()) co_return std::move(tablet).error();
    co_await refresh_one(tablets_, *tablet, wait(), allowed);
  }
  if (!allowed.ok()) co_return std::move(allowed).error().with_context("the source still denies the tables");
  co_return Status{};
}

net::Task<Status> ServedFromChange::catch_up() {
  CO_ASSIGN_OR_RETURN(const auto from, co_await source());
  CO_ASSIGN_OR_RETURN(const auto to, co_await target());
  CO_ASSIGN_OR_RETURN(const auto position, co_await tablets_.call<tmd::PrimaryPositionResponse>(
                                               from, "PrimaryPosition", tmd::PrimaryPositionRequest(), wait()));
  tmd::VReplicationWaitForPosRequest request;
  request.set_id(static_cast<int32_t>(source_.uid()));
  request.set_position(position.position());
  auto reached = co_await tablets_.call<tmd::VReplicationWaitForPosResponse>(to, "VReplicationWaitForPos",
                                                                             std::move(request), wait());
  if (!reached.ok()) co_return std::move(reached).error().with_context("the stream has not caught up");
  co_return Status{};
}

net::Task<Status> ServedFromChange::end_stream() {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await target());
  tmd::VReplicationExecRequest request;
  request.set_query(fmt::format("delete from _vt.vreplication where id = {}", source_.uid()));
  topo::set_fence(request, tenure_.fence());
  auto ended =
      co_await tablets_.call<tmd::VReplicationExecResponse>(tablet, "VReplicationExec", std::move(request), wait());
  if (!ended.ok()) co_return std::move(ended).error();
  co_return Status{};
}

net::Task<Status> ServedFromChange::clear_source() {
  topo::UpdateFn<::topodata::Shard> clear = [](::topodata::Shard& record) -> Result<bool> {
    record.clear_source_shards();
    return true;
  };
  auto cleared = co_await topo::update_shard_fields(tablets_.topology(), options_.keyspace, options_.shard,
                                                    std::move(clear), lock_.fence());
  if (!cleared.ok()) co_return std::move(cleared).error();
  co_return Status{};
}

net::Task<Status> ServedFromChange::refresh_target() {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await target());
  Status told;
  co_await refresh_one(tablets_, tablet, wait(), told);
  if (!told.ok()) notes_.push_back(told.error().message());
  co_return Status{};
}

// The source's tablets of the type. What they serve is denied for safety only, so one that does not answer is a note.
net::Task<Status> ServedFromChange::refresh_source() {
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
  for (const auto& [cell, error] : list.failed) notes_.push_back("cell " + cell + ": " + error.message());
  for (const auto& outcome : outcomes) {
    if (!outcome.ok()) notes_.push_back(outcome.error().message());
  }
  co_return Status{};
}

// The record of the MoveTables whose stream has ended here: it is in nobody's way any more.
net::Task<Status> ServedFromChange::forget_workflow() {
  topo::Server& topology = tablets_.topology();
  CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(topology));
  for (const auto& [record, version] : records) {
    const bool moved_these = std::ranges::all_of(
        record.tables(), [&](const std::string& table) { return std::ranges::find(tables_, table) != tables_.end(); });
    if (record.kind() != "MoveTables" || record.source_keyspace() != source_.keyspace() ||
        record.target_keyspace() != options_.keyspace || !moved_these || record.has_open()) {
      continue;
    }
    Status removed = co_await topology.global().remove(
        topo::movement_record_path(record.target_keyspace(), record.workflow()), version);
    if (!removed.ok() && removed.error().code() != Code::kNotFound) notes_.push_back(removed.error().message());
  }
  co_return Status{};
}

net::Task<Result<std::unique_ptr<engine::Operation>>> make_served_from_change(TabletClient& tablets,
                                                                              engine::Tenure& tenure) {
  using namespace std::chrono_literals;
  const auto& record = tenure.record();
  const topo::LockSettings settings{.wait_max = 6s, .lease = kServedFromLease};
  CO_ASSIGN_OR_RETURN(auto source, co_await topo::KeyspaceLock::acquire(tablets.topology(), record.source_keyspace(),
                                                                        "repair of MigrateServedFrom", settings));
  CO_ASSIGN_OR_RETURN(auto own, co_await topo::KeyspaceLock::acquire(tablets.topology(), record.target_keyspace(),
                                                                     "repair of MigrateServedFrom", settings));
  co_return std::make_unique<ServedFromChange>(tablets, tenure, std::move(source), std::move(own));
}

}  // namespace vitrail::control
