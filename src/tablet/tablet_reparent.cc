// How a tablet changes its role: TabletManager's methods on reparenting.
#include <fmt/core.h>

#include <set>

#include "base/log.h"
#include "mysqld/schema_sql.h"
#include "tablet/demotion_record.h"
#include "tablet/maintenance.h"
#include "tablet/tablet_manager.h"
#include "tablet/unlogged.h"
#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

namespace {

constexpr auto kAckPatience = 1s;     // For commits whose acknowledgement is late, before they are cut off.
constexpr auto kRecordPatience = 2s;  // For writing a demotion down while commits may hang.

int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(base::system_clock().wall_now().time_since_epoch())
      .count();
}

// What "CREATE ... IF NOT EXISTS <name> ..." makes.
std::string_view created_name(std::string_view statement) {
  constexpr std::string_view kBefore = "IF NOT EXISTS ";
  const size_t at = statement.find(kBefore);
  if (at == std::string_view::npos) return {};
  statement.remove_prefix(at + kBefore.size());
  return statement.substr(0, statement.find(' '));
}

}  // namespace

// ---- Steps

net::Task<Status> TabletManager::stop_writes(net::Wait wait) {
  return server_.stop_writes(kAckPatience, std::move(wait));
}

net::Task<Status> TabletManager::create_sidecar(net::Wait wait) {
  // Only what is missing: also a statement that finds its table made is replicated, and waits for acknowledgements.
  CO_ASSIGN_OR_RETURN(
      const auto present,
      co_await server_.query(
          fmt::format("select if(schema_name = {0}, '_vt', schema_name) from information_schema.schemata "
                      "union all select concat('_vt.', table_name) from information_schema.tables where "
                      "table_schema = {0}",
                      mysqld::quote_string(settings_.sidecar)),
          wait));
  std::set<std::string, std::less<>> names;
  for (size_t i = 0; i < present.rows.size(); ++i) names.emplace(present.text(i, 0));
  std::vector<std::string> statements;
  if (!names.contains(database())) statements.push_back(mysqld::create_database(database()));
  for (const auto& statement : sidecar_schema_) {
    if (!names.contains(created_name(statement))) statements.push_back(statement);
  }
  Status made = co_await server_.run(std::move(statements), wait);
  if (!made.ok())
    co_return std::move(made).error().with_context("create the tablet's own tables in " + settings_.sidecar);
  co_return Status{};
}

net::Task<Status> TabletManager::make_writable(net::Wait wait) {
  if (server_.flavor().kind() == mysqld::FlavorKind::kMySql) {
    // What is prepared is made so again by an account that may write to a server which is read-only, but not to one
    // that is so for everybody.
    CO_RETURN_IF_ERROR(co_await server_.run({"SET GLOBAL super_read_only = OFF"}, wait));
  }
  CO_RETURN_IF_ERROR(co_await queries_.recover_prepared(wait));
  co_return co_await server_.set_read_only(false, std::move(wait));
}

net::Task<Status> TabletManager::set_semi_sync(bool waits_for_acks, bool acknowledges, net::Wait wait) {
  // A primary that waits is also set up to acknowledge, as with Vitess: it does no harm, and is right once it follows.
  auto changed = co_await server_.set_semi_sync(waits_for_acks, acknowledges || waits_for_acks, std::move(wait));
  if (!changed.ok()) co_return std::move(changed).error();
  role_.waits_for_acks = waits_for_acks;
  role_.acknowledges = acknowledges;
  co_return Status{};
}

net::Task<Status> TabletManager::write_type(::topodata::TabletType type, int64_t term_start_ns) {
  auto updated = co_await topo::update_tablet_fields(
      topology_, desired_.record.alias(), [&](::topodata::Tablet& tablet) -> Result<bool> {
        tablet.set_type(type);
        if (type == ::topodata::PRIMARY) {
          *tablet.mutable_primary_term_start_time() = from_nanoseconds(term_start_ns);
        } else {
          tablet.clear_primary_term_start_time();
        }
        return true;
      });
  if (!updated.ok()) co_return std::move(updated).error();
  desired_.record = std::move(*updated);
  co_return Status{};
}

net::Task<Status> TabletManager::claim_shard() {
  const ::topodata::Tablet own = desired_.record;
  auto updated = co_await topo::update_shard_fields(
      topology_, settings_.keyspace, settings_.shard, [&own](::topodata::Shard& shard) -> Result<bool> {
        const auto& now = shard.primary_term_start_time();
        const auto& term = own.primary_term_start_time();
        const auto order =
            std::pair(now.seconds(), now.nanoseconds()) <=> std::pair(term.seconds(), term.nanoseconds());
        if (order > 0 || (order == 0 && topo::same_alias(shard.primary_alias(), own.alias()))) return false;
        *shard.mutable_primary_alias() = own.alias();
        *shard.mutable_primary_term_start_time() = term;
        return true;
      });
  if (!updated.ok()) co_return std::move(updated).error().with_context("name the primary in the shard's record");
  co_return Status{};
}

net::Task<Status> TabletManager::become_primary(bool waits_for_acks, net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await server_.promote(wait));
  CO_RETURN_IF_ERROR(co_await server_.set_read_only(false, wait));
  role_.kept_read_only = role_.kept_writable = false;
  // The tables are not worth waiting for: no replica may be there yet. No client writes before this returns.
  CO_RETURN_IF_ERROR(co_await create_sidecar(wait));
  CO_RETURN_IF_ERROR(co_await queries_.recover_prepared(wait));
  CO_RETURN_IF_ERROR(co_await set_semi_sync(waits_for_acks, false, wait));
  co_await queries_.reset_sequences();
  co_return Status{};
}

net::Task<Result<std::string>> TabletManager::make_primary(bool waits_for_acks, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology_, settings_.keyspace, settings_.shard));
  CO_ASSIGN_OR_RETURN(const auto demoted, co_await read_demotion(server_, settings_.tablet_path, wait));
  const int64_t term = next_term(wall_ns(), to_nanoseconds(shard.record.primary_term_start_time()), demoted);
  CO_RETURN_IF_ERROR(co_await become_primary(waits_for_acks, wait));
  CO_ASSIGN_OR_RETURN(const std::string position, co_await server_.position(wait));
  CO_RETURN_IF_ERROR(co_await write_type(::topodata::PRIMARY, term));
  CO_RETURN_IF_ERROR(co_await claim_shard());
  role_.kind = RoleKind::kPrimary;
  role_.term_start_ns = term;
  role_.restarted = role_.demotion_noted = false;  // What is noted is of an earlier term.
  CO_RETURN_IF_ERROR(co_await read_records());
  // It is the primary by now, whatever replicas' statements may be in the way.
  if (Status forced = co_await put_in_force(wait); !forced.ok()) log_warning("{}", forced.error().message());
  co_return position;
}

net::Task<Status> TabletManager::note_demotion(net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await write_demotion(server_, settings_.tablet_path, role_.term_start_ns, std::move(wait)));
  role_.demotion_noted = true;
  co_return Status{};
}

net::Task<Status> TabletManager::forget_demotion(net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await clear_demotion(server_, settings_.tablet_path, std::move(wait)));
  role_.demotion_noted = false;
  co_return Status{};
}

net::Task<Status> TabletManager::demote(net::Wait wait) {
  if (role_.kind == RoleKind::kReplica) co_return co_await stop_writes(wait);
  // All that can be done before writes stop is. In the record a demoted primary is a replica without a term.
  if (desired_.record.type() == ::topodata::PRIMARY) CO_RETURN_IF_ERROR(co_await write_type(::topodata::REPLICA, 0));
  Status noted = co_await note_demotion(net::Wait::within(kRecordPatience, wait.cancel));
  role_.restarted = role_.restarted && role_.kind == RoleKind::kDemoted;
  role_.kind = RoleKind::kDemoted;
  Status fenced = co_await put_in_force(wait);  // Statements and transactions have ended when this returns.
  if (table_lock_.held()) (void)co_await table_lock_.release(wait);
  CO_RETURN_IF_ERROR(co_await stop_writes(wait));
  // Commits that were not acknowledged may have been in the way before.
  if (!noted.ok()) noted = co_await note_demotion(wait);
  co_return fenced.ok() ? std::move(noted) : std::move(fenced);
}

net::Task<Status> TabletManager::become_replica(::topodata::TabletType type, net::Wait wait) {
  if (role_.kind == RoleKind::kPrimary || role_.kind == RoleKind::kWaiting) CO_RETURN_IF_ERROR(co_await demote(wait));
  CO_RETURN_IF_ERROR(co_await write_type(type, 0));
  role_.kind = RoleKind::kReplica;
  role_.term_start_ns = 0;
  role_.restarted = role_.kept_read_only = role_.kept_writable = false;
  co_return Status{};
}

net::Task<Status> TabletManager::follow(const Source& source, net::Wait wait) {
  if (topo::same_alias(source.parent, desired_.record.alias())) {
    co_return fail(Code::kInvalidArgument, "tablet " + settings_.tablet_path + " cannot replicate from itself");
  }
  CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, source.parent));
  if (role_.kind == RoleKind::kReplica) {
    CO_RETURN_IF_ERROR(co_await stop_writes(wait));
  } else {
    CO_RETURN_IF_ERROR(co_await demote(wait));
  }
  CO_RETURN_IF_ERROR(co_await set_semi_sync(false, source.acknowledges, wait));
  CO_RETURN_IF_ERROR(co_await server_.follow(primary.record.mysql_hostname(),
                                             static_cast<uint16_t>(primary.record.mysql_port()), true, wait));
  role_.kept_writable = false;
  if (role_.kind != RoleKind::kReplica) CO_RETURN_IF_ERROR(co_await become_replica(desired_.record.type(), wait));
  co_return co_await put_in_force(wait);
}

// ---- Commands

net::Task<Result<std::string>> TabletManager::promote(bool waits_for_acks, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("a promotion", std::move(wait)));
  CO_RETURN_IF_ERROR(check_idle());
  co_return co_await make_primary(waits_for_acks, turn.wait());
}

net::Task<Status> TabletManager::replica_was_promoted(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("ReplicaWasPromoted", std::move(wait)));
  CO_RETURN_IF_ERROR(check_idle());
  CO_ASSIGN_OR_RETURN(const bool needs_acks, co_await policy_needs_acks());
  auto made = co_await make_primary(needs_acks, turn.wait());
  if (!made.ok()) co_return std::move(made).error();
  co_return Status{};
}

net::Task<Result<std::string>> TabletManager::demote_primary(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("DemotePrimary", std::move(wait)));
  CO_RETURN_IF_ERROR(check_idle());
  CO_RETURN_IF_ERROR(co_await demote(turn.wait()));
  co_return co_await server_.position(turn.wait());
}

net::Task<Status> TabletManager::undo_demote_primary(bool waits_for_acks, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("UndoDemotePrimary", std::move(wait)));
  CO_RETURN_IF_ERROR(check_idle());
  if (role_.kind == RoleKind::kReplica) {
    co_return fail(Code::kFailedPrecondition,
                   "tablet " + settings_.tablet_path + " is a replica: there is no demotion to be undone");
  }
  // Whoever asks may be late: another tablet may have been promoted since.
  CO_RETURN_IF_ERROR(co_await read_records());
  if (is_replaced(desired_, role_)) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("the demotion of {} cannot be undone: {} is the primary by now", settings_.tablet_path,
                               topo::alias_to_string(desired_.shard.primary_alias())));
  }
  CO_RETURN_IF_ERROR(co_await write_type(::topodata::PRIMARY, role_.term_start_ns));
  // From here on it is the primary: what its server cannot be told now, because it is down, it will be told later.
  role_.kind = RoleKind::kPrimary;
  role_.restarted = role_.kept_read_only = false;
  role_.waits_for_acks = waits_for_acks;
  role_.acknowledges = false;
  Status undone = co_await set_semi_sync(waits_for_acks, false, turn.wait());
  if (undone.ok()) undone = co_await make_writable(turn.wait());
  if (undone.ok()) undone = co_await forget_demotion(turn.wait());
  Status forced = co_await put_in_force(turn.wait());
  co_return undone.ok() ? std::move(forced) : std::move(undone);
}

net::Task<Status> TabletManager::change_type(::topodata::TabletType type, bool acknowledges, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("ChangeType", std::move(wait)));
  CO_RETURN_IF_ERROR(check_idle());
  if (type == ::topodata::PRIMARY) {
    auto made = co_await make_primary(acknowledges, turn.wait());
    if (!made.ok()) co_return std::move(made).error();
    co_return Status{};
  }
  const bool changes = acknowledges != role_.acknowledges && role_.kind == RoleKind::kReplica;
  CO_RETURN_IF_ERROR(co_await become_replica(type, turn.wait()));
  if (changes) {
    CO_RETURN_IF_ERROR(co_await set_semi_sync(false, acknowledges, turn.wait()));
    const auto status = co_await server_.replication_status(turn.wait());
    if (status.ok() && status->has_source() && status->io_state != mysqld::ThreadState::kStopped) {
      CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().stop_io_thread(), turn.wait()));
      CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().start_replication(), turn.wait()));
    }
  }
  CO_RETURN_IF_ERROR(co_await read_records());
  co_return co_await put_in_force(turn.wait());
}

net::Task<Status> TabletManager::replica_was_restarted(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("ReplicaWasRestarted", std::move(wait)));
  CO_RETURN_IF_ERROR(check_idle());
  if (role_.kind == RoleKind::kReplica) co_return Status{};
  CO_RETURN_IF_ERROR(co_await become_replica(::topodata::REPLICA, turn.wait()));
  co_await await_replication(2s);
  co_return co_await put_in_force(turn.wait());
}

// The end of what RestoreFromBackup to a point began.
net::Task<Status> TabletManager::reattach(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto layout, server_layout(settings_));
  CO_RETURN_IF_ERROR(note_detached(layout, false));
  CO_RETURN_IF_ERROR(co_await read_shard());
  if (!desired_.shard.has_primary_alias()) {
    co_return fail(Code::kFailedPrecondition, "the shard has no primary that it could follow");
  }
  Source source{.parent = desired_.shard.primary_alias()};
  CO_ASSIGN_OR_RETURN(const auto primary, co_await topo::get_tablet(topology_, source.parent));
  CO_ASSIGN_OR_RETURN(source.acknowledges, co_await policy_acknowledges(primary.record));
  co_return co_await follow(source, std::move(wait));
}

net::Task<Status> TabletManager::start_replication(bool acknowledges, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("StartReplication", std::move(wait)));
  CO_RETURN_IF_ERROR(check_idle());
  if (role_.kind == RoleKind::kReplica && is_detached(settings_)) co_return co_await reattach(turn.wait());
  if (role_.kind == RoleKind::kReplica) {
    CO_RETURN_IF_ERROR(co_await set_semi_sync(false, acknowledges, turn.wait()));
  }
  co_return co_await server_.run(server_.flavor().start_replication(), turn.wait());
}

net::Task<Status> TabletManager::restart_replication(bool acknowledges, net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await server_.run(server_.flavor().stop_replication(), wait));
  co_return co_await start_replication(acknowledges, std::move(wait));
}

net::Task<Status> TabletManager::set_replication_source(Source source, net::Wait wait) {
  {
    CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("SetReplicationSource", wait));
    CO_RETURN_IF_ERROR(check_idle());
    if (is_detached(settings_)) {
      // A reparent is about the shard; who asks for this tablet alone means it.
      if (source.time_created_ns != 0) co_return Status{};
      CO_ASSIGN_OR_RETURN(const auto layout, server_layout(settings_));
      CO_RETURN_IF_ERROR(note_detached(layout, false));
    }
    CO_RETURN_IF_ERROR(co_await follow(source, turn.wait()));
  }
  // Other changes need not wait for what follows.
  if (!source.wait_position.empty()) {
    CO_RETURN_IF_ERROR(co_await server_.wait_for_position(std::move(source.wait_position), wait));
  }
  if (source.time_created_ns != 0) {
    // The row that the new primary wrote: when it is here, replication from there works.
    const std::string sql =
        fmt::format("select 1 from _vt.reparent_journal where time_created_ns = {}", source.time_created_ns);
    for (;;) {
      auto seen = co_await server_.query(sql, wait);
      if (seen.ok() && !seen->rows.empty()) break;
      if (base::system_clock().now() >= wait.deadline) {
        co_return fail(Code::kDeadlineExceeded,
                       "the new primary's reparent journal has not arrived on " + settings_.tablet_path);
      }
      CO_RETURN_IF_ERROR(co_await net::sleep_for(20ms, wait.cancel));
    }
  }
  co_await await_replication(2s);
  co_return co_await run_health_check();
}

net::Task<Status> TabletManager::populate_reparent_journal(::tabletmanagerdata::PopulateReparentJournalRequest request,
                                                           net::Wait wait) {
  const std::string sql = fmt::format(
      "insert into _vt.reparent_journal (time_created_ns, action_name, primary_alias, replication_position) "
      "values ({}, {}, {}, {}) on duplicate key update action_name = values(action_name)",
      request.time_created_ns(), mysqld::quote_string(request.action_name()),
      mysqld::quote_string(topo::alias_to_string(request.primary_alias())),
      mysqld::quote_string(request.replication_position()));
  auto done = co_await server_.query(sql, wait);
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

net::Task<Status> TabletManager::set_writable(bool writable, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("SetWritable", std::move(wait)));
  CO_RETURN_IF_ERROR(check_idle());
  if (writable && role_.kind != RoleKind::kPrimary && role_.kind != RoleKind::kReplica) {
    co_return fail(Code::kFailedPrecondition,
                   "tablet " + settings_.tablet_path +
                       " was demoted and stays read-only: PlannedReparentShard makes it the primary again");
  }
  if (writable) {
    CO_RETURN_IF_ERROR(co_await server_.set_read_only(false, turn.wait()));
  } else {
    CO_RETURN_IF_ERROR(co_await stop_writes(turn.wait()));
  }
  role_.kept_read_only = !writable;
  role_.kept_writable = writable && role_.kind == RoleKind::kReplica;
  co_return Status{};
}

net::Task<Status> TabletManager::lock_tables(net::Wait wait) {
  {
    CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("LockTables", std::move(wait)));
    CO_RETURN_IF_ERROR(check_idle());
    CO_RETURN_IF_ERROR(co_await table_lock_.acquire(turn.wait()));
  }
  auto take_back = [](TabletManager& self, uint64_t generation) -> net::Task<void> {
    (void)co_await net::sleep_for(self.settings_.lock_tables_timeout, self.scope_.token());
    if (self.scope_.stopping() || !self.table_lock_.held() || self.table_lock_.generation() != generation) co_return;
    log_warning("the tables have been locked for longer than --lock-tables-timeout: they are unlocked");
    (void)co_await self.table_lock_.release(net::Wait::within(5s, self.scope_.token()));
  };
  scope_.spawn(take_back(*this, table_lock_.generation()));
  co_return Status{};
}

net::Task<Status> TabletManager::unlock_tables(net::Wait wait) { return table_lock_.release(std::move(wait)); }

}  // namespace vitrail::tablet
