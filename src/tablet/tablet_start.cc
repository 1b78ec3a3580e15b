// How a tablet starts: what is written down decides what it is.
#include <fmt/core.h>

#include "base/log.h"
#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "tablet/app_account.h"
#include "tablet/demotion_record.h"
#include "tablet/maintenance.h"
#include "tablet/tablet_manager.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/tablet.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

namespace {

constexpr auto kStartLease = 5000ms;  // Who dies while it starts keeps its next process waiting for no longer.

int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(base::system_clock().wall_now().time_since_epoch())
      .count();
}

}  // namespace

net::Task<Status> TabletManager::connect_server(net::Wait wait) {
  // The server may still be starting.
  for (;;) {
    Status connected = co_await server_.connect(wait);
    if (connected.ok()) co_return Status{};
    if (base::system_clock().now() + 1s > wait.deadline || connected.error().code() == Code::kUnimplemented ||
        connected.error().code() == Code::kUnauthenticated) {
      co_return std::move(connected).error().with_context(
          "the tablet's MySQL server at " + settings_.mysqld.to_string() + " (is it running? mysqlctl start)");
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(200ms, wait.cancel));
  }
}

net::Task<Status> TabletManager::start() {
  CO_RETURN_IF_ERROR(co_await recover_server());
  CO_RETURN_IF_ERROR(co_await connect_server(net::Wait::within(settings_.init_timeout)));
  CO_RETURN_IF_ERROR(co_await restore_if_empty());
  const net::Wait wait = net::Wait::within(settings_.init_timeout);
  CO_RETURN_IF_ERROR(co_await finish_rewind(wait));
  if (settings_.restrict_app) {
    std::string name = settings_.db_name_override.empty() ? "vt_" + settings_.keyspace : settings_.db_name_override;
    co_await restrict_app_account(server_, settings_.app, std::move(name), settings_.app_files, wait);
  }
  CO_RETURN_IF_ERROR(co_await register_when_reachable(wait));
  if (heartbeat_ != nullptr) {
    scope_.spawn(heartbeat_->run([this] { return role_.kind == RoleKind::kPrimary; }, scope_.token()));
  }
  scope_.spawn(disk_watch_->run(scope_.token()));
  started_.set();
  scope_.spawn(health_loop());
  scope_.spawn(shard_loop());
  scope_.spawn(beat_loop());
  co_return Status{};
}

net::Task<Status> TabletManager::register_when_reachable(net::Wait wait) {
  // The server, or the topology, may go away at any point of it: all of it can be done again.
  for (;;) {
    Status registered = co_await register_tablet(wait);
    if (registered.ok() || registered.error().code() != Code::kUnavailable) co_return registered;
    if (base::system_clock().now() + 1s > wait.deadline) co_return registered;
    log_warning("{} starts again: {}", settings_.tablet_path, registered.error().message());
    CO_RETURN_IF_ERROR(co_await net::sleep_for(200ms, wait.cancel));
    CO_RETURN_IF_ERROR(co_await connect_server(wait));
  }
}

net::Task<Status> TabletManager::wait_started(net::Wait wait) {
  if (started_.is_set()) co_return Status{};
  Status started = co_await started_.wait(std::move(wait));
  if (started.ok()) co_return Status{};
  co_return fail(Code::kUnavailable, "tablet " + settings_.tablet_path + " is still starting");
}

net::Task<Status> TabletManager::fill_record(net::Wait wait) {
  ::topodata::Tablet& record = desired_.record;
  CO_ASSIGN_OR_RETURN(*record.mutable_alias(), topo::parse_alias(settings_.tablet_path));
  CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(settings_.type));
  if (type != ::topodata::REPLICA && type != ::topodata::RDONLY && type != ::topodata::SPARE) {
    co_return fail(Code::kInvalidArgument,
                   "--init_tablet_type is " + settings_.type + ": give replica, rdonly or spare");
  }
  record.set_type(type);
  record.set_hostname(settings_.hostname);
  record.set_keyspace(settings_.keyspace);
  record.set_shard(settings_.shard);
  record.set_db_name_override(settings_.db_name_override);
  (*record.mutable_port_map())[std::string(topo::kPortHttp)] = settings_.http_port;
  (*record.mutable_port_map())[std::string(topo::kPortGrpc)] = settings_.grpc_port;
  (*record.mutable_port_map())[std::string(topo::kPortMysqlData)] = queries_.port();
  record.set_mysql_hostname(settings_.hostname);
  int32_t port = settings_.mysqld_port;
  if (port == 0) {
    CO_ASSIGN_OR_RETURN(const auto result, co_await server_.query("select @@port", wait));
    port = static_cast<int32_t>(mysqld::to_int(result.text(0, 0)).value_or(0));
  }
  record.set_mysql_port(port);
  *record.mutable_tablet_start_time() = from_nanoseconds(wall_ns());
  co_return Status{};
}

net::Task<Result<StartFacts>> TabletManager::read_start_facts(net::Wait wait) {
  StartFacts facts;
  CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology_, settings_.keyspace, settings_.shard));
  desired_.shard = shard.record;
  if (shard.record.has_primary_alias()) {
    facts.shard_names = topo::same_alias(shard.record.primary_alias(), desired_.record.alias())
                            ? StartFacts::Names::kThis
                            : StartFacts::Names::kOther;
  }
  facts.shard_term_ns = to_nanoseconds(shard.record.primary_term_start_time());
  auto stored = co_await topo::get_tablet(topology_, desired_.record.alias());
  if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return std::move(stored).error();
  facts.has_record = stored.ok();
  if (stored.ok() && stored->record.type() == ::topodata::PRIMARY) {
    facts.record_is_primary = true;
    facts.record_term_ns = to_nanoseconds(stored->record.primary_term_start_time());
  }
  CO_ASSIGN_OR_RETURN(facts.demoted_term_ns, co_await read_demotion(server_, settings_.tablet_path, wait));
  co_return facts;
}

net::Task<Status> TabletManager::take_role(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(StartFacts facts, co_await read_start_facts(wait));
  StartDecision decision = decide_start(facts);
  if (decision.kind != RoleKind::kPrimary) co_return co_await enter_role(decision, wait);
  // Who reparents the shard holds its lock. Without that lock, what is read now may be wrong a moment later.
  auto lock = co_await topo::ShardLock::acquire(topology_, settings_.keyspace, settings_.shard,
                                                "tablet " + settings_.tablet_path + " becomes the primary again",
                                                {.lease = kStartLease, .cancel = wait.cancel, .queue = false});
  if (!lock.ok()) {
    if (lock.error().code() != Code::kAlreadyExists) co_return std::move(lock).error();
    facts.shard_locked = true;
    if (role_.kind != RoleKind::kWaiting) {
      log_warning("tablet {} does not become the primary yet: {}", settings_.tablet_path, lock.error().message());
    }
    co_return co_await enter_role(decide_start(facts), wait);
  }
  auto body = [](TabletManager& self, net::Wait limit) -> net::Task<Status> {
    CO_ASSIGN_OR_RETURN(const StartFacts now, co_await self.read_start_facts(limit));
    co_return co_await self.enter_role(decide_start(now), limit);
  };
  Status entered = co_await body(*this, wait);
  (void)co_await lock->release();
  co_return entered;
}

net::Task<Status> TabletManager::enter_role(StartDecision decision, net::Wait wait) {
  if (role_.kind == RoleKind::kWaiting && decision.kind == RoleKind::kWaiting) co_return Status{};
  log_info("{} starts as {}: {}", settings_.tablet_path, role_name(decision.kind), decision.why);
  CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(settings_.type));
  ::topodata::Tablet& record = desired_.record;
  const bool named = decision.kind == RoleKind::kPrimary || decision.kind == RoleKind::kWaiting;
  record.set_type(named ? ::topodata::PRIMARY : is_detached(settings_) ? ::topodata::DRAINED : type);
  if (named) {
    *record.mutable_primary_term_start_time() = from_nanoseconds(decision.term_start_ns);
  } else {
    record.clear_primary_term_start_time();
  }
  CO_RETURN_IF_ERROR(co_await topo::create_or_update_tablet(topology_, record));
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(topology_, record.alias()));
  record = stored.record;
  if (decision.kind == RoleKind::kPrimary) {
    CO_ASSIGN_OR_RETURN(const bool needs_acks, co_await policy_needs_acks());
    CO_RETURN_IF_ERROR(co_await become_primary(needs_acks, wait));
    if (decision.claims_shard) CO_RETURN_IF_ERROR(co_await claim_shard());
  } else {
    CO_RETURN_IF_ERROR(co_await stop_writes(wait));
    if (decision.kind == RoleKind::kReplica) CO_RETURN_IF_ERROR(co_await follow_shard_primary(wait));
  }
  role_.kind = decision.kind;
  role_.term_start_ns = decision.term_start_ns;
  role_.restarted = decision.kind == RoleKind::kDemoted;
  co_return Status{};
}

net::Task<Status> TabletManager::follow_shard_primary(net::Wait wait) {
  if (is_detached(settings_)) {
    log_info("the server was restored to a point in the past: StartReplication makes it follow the primary again");
    co_return Status{};
  }
  const auto& alias = desired_.shard.primary_alias();
  if (!desired_.shard.has_primary_alias() || topo::same_alias(alias, desired_.record.alias())) co_return Status{};
  auto primary = co_await topo::get_tablet(topology_, alias);
  if (!primary.ok()) co_return Status{};  // It has been deleted; the next primary will say so.
  CO_ASSIGN_OR_RETURN(const bool acknowledges, co_await policy_acknowledges(primary->record));
  CO_RETURN_IF_ERROR(co_await set_semi_sync(false, acknowledges, wait));
  Status following = co_await server_.follow(primary->record.mysql_hostname(),
                                             static_cast<uint16_t>(primary->record.mysql_port()), true, wait);
  if (!following.ok()) co_return std::move(following).error().with_context("follow the shard's primary");
  co_return Status{};
}

net::Task<Status> TabletManager::make_serving_graph() {
  const std::string cell = desired_.record.alias().cell();
  auto serving = co_await topo::get_srv_keyspace(topology_, cell, settings_.keyspace);
  if (serving.ok() || serving.error().code() != Code::kNotFound) co_return Status{};
  auto lock = co_await topo::KeyspaceLock::acquire(topology_, settings_.keyspace,
                                                   "tablet " + settings_.tablet_path + " starts");
  if (!lock.ok()) co_return std::move(lock).error();
  Status rebuilt = co_await topo::rebuild_keyspace_graph(topology_, *lock, {.cells = {cell}});
  if (!rebuilt.ok()) log_warning("serving graph of {}: {}", settings_.keyspace, rebuilt.error().message());
  (void)co_await lock->release();
  co_return Status{};
}

net::Task<Status> TabletManager::register_tablet(net::Wait wait) {
  CO_RETURN_IF_ERROR(co_await fill_record(wait));
  auto shard = co_await topo::get_or_create_shard(topology_, settings_.keyspace, settings_.shard);
  if (!shard.ok()) co_return std::move(shard).error();
  CO_ASSIGN_OR_RETURN(const auto turn, co_await actions_.enter("the start", wait));
  CO_RETURN_IF_ERROR(co_await take_role(turn.wait()));
  CO_RETURN_IF_ERROR(co_await make_serving_graph());  // The cell's, from its first tablet on.
  // And vtgates know the keyspace, also where nobody ever saves a vschema for it.
  const std::string cell = desired_.record.alias().cell();
  Status told = co_await topo::add_to_srv_vschema(topology_, cell, settings_.keyspace);
  if (!told.ok()) log_warning("vschema of cell {}: {}", cell, told.error().message());
  CO_RETURN_IF_ERROR(co_await read_records());
  if (role_.kind == RoleKind::kReplica) {
    co_await await_replication(2s);
  } else {
    co_await observe(turn.wait());
  }
  co_return co_await put_in_force(turn.wait());
}

}  // namespace vitrail::tablet
