#include "tablet/replication_stop.h"

#include "mysql/gtid.h"

namespace vitrail::tablet {

using mysql::Position;
using namespace std::chrono_literals;

::replicationdata::Status to_proto(const mysqld::ReplicationStatus& status, std::string_view prefix) {
  ::replicationdata::Status out;
  if (!status.executed.empty()) out.set_position(std::string(prefix) + status.executed);
  if (!status.received.empty()) out.set_relay_log_position(std::string(prefix) + status.received);
  out.set_replication_lag_seconds(status.lag_seconds.value_or(0));
  out.set_replication_lag_unknown(!status.lag_seconds.has_value());
  out.set_source_host(status.source_host);
  out.set_source_port(status.source_port);
  out.set_source_user(status.source_user);
  out.set_connect_retry(static_cast<int32_t>(status.connect_retry_seconds));
  out.set_source_server_id(status.source_server_id);
  out.set_source_uuid(status.source_uuid);
  const auto state = [](mysqld::ThreadState s) {
    return s == mysqld::ThreadState::kStopped ? 1 : s == mysqld::ThreadState::kConnecting ? 2 : 3;
  };
  out.set_io_state(state(status.io_state));
  out.set_sql_state(state(status.sql_state));
  out.set_last_io_error(status.last_io_error);
  out.set_last_sql_error(status.last_sql_error);
  out.set_auto_position(status.auto_position);
  out.set_using_gtid(!status.using_gtid.empty() && status.using_gtid != "No");
  return out;
}

namespace {

// Has the applying thread come to the end of the relay log? Then what is "received" beyond it is a transaction whose
// end never arrived.
net::Task<Result<bool>> applied_all(LocalServer& server, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto result, co_await server.query(server.flavor().replication_status_query(), wait));
  const auto rows = to_rows(result);
  for (const std::string_view name : {"Slave_SQL_Running_State", "Replica_SQL_Running_State"}) {
    const auto text = rows.get(0, name);
    if (text && text->contains("read all relay log")) co_return true;
  }
  co_return false;
}

// Executed and received together.
net::Task<Result<Position>> received_position(LocalServer& server, const mysqld::ReplicationStatus& status,
                                              net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const std::string executed, co_await server.position(wait));
  CO_ASSIGN_OR_RETURN(Position position, Position::parse(executed));
  if (status.received.empty()) co_return position;
  CO_ASSIGN_OR_RETURN(const Position received, Position::parse(server.flavor_prefix() + status.received));
  CO_RETURN_IF_ERROR(position.merge(received));
  co_return position;
}

}  // namespace

net::Task<Result<::replicationdata::StopReplicationStatus>> stop_and_get_status(
    LocalServer& server, ::replicationdata::StopReplicationMode mode, net::Wait wait) {
  using mysqld::ThreadState;
  const std::string prefix = server.flavor_prefix();
  CO_ASSIGN_OR_RETURN(auto status, co_await server.replication_status(wait));
  if (!status.has_source()) co_return fail(Code::kFailedPrecondition, "this server is no replica");
  ::replicationdata::StopReplicationStatus out;
  *out.mutable_before() = to_proto(status, prefix);
  if (mode == ::replicationdata::IOANDSQLTHREAD) {
    CO_RETURN_IF_ERROR(co_await server.run(server.flavor().stop_replication(), wait));
    CO_ASSIGN_OR_RETURN(status, co_await server.replication_status(wait));
    *out.mutable_after() = to_proto(status, prefix);
    CO_ASSIGN_OR_RETURN(*out.mutable_after()->mutable_position(), co_await server.position(wait));
    co_return out;
  }
  // Where both threads are stopped MariaDB has forgotten its relay log already; elsewhere the applying thread must run
  // first, or stopping the other one would lose it.
  const bool forgotten = server.flavor().kind() == mysqld::FlavorKind::kMariaDb &&
                         status.io_state == ThreadState::kStopped && status.sql_state == ThreadState::kStopped;
  if (!forgotten && status.sql_state == ThreadState::kStopped) {
    CO_RETURN_IF_ERROR(co_await server.run(server.flavor().start_sql_thread(), wait));
    CO_RETURN_IF_ERROR(co_await net::sleep_for(50ms, wait.cancel));
    CO_ASSIGN_OR_RETURN(status, co_await server.replication_status(wait));
    if (status.sql_state == ThreadState::kStopped) {
      co_return fail(Code::kFailedPrecondition,
                     "what this server has received cannot be applied: " + status.last_sql_error);
    }
  }
  CO_RETURN_IF_ERROR(co_await server.run(server.flavor().stop_io_thread(), wait));
  CO_ASSIGN_OR_RETURN(status, co_await server.replication_status(wait));
  CO_ASSIGN_OR_RETURN(const Position received, co_await received_position(server, status, wait));
  // A little patience tells a transaction that is being applied from one that never arrived completely. Who needs more
  // waits for the position that is returned.
  const auto patience = base::system_clock().now() + 2s;
  std::string executed;
  bool complete = forgotten;
  int ends_seen = 0;
  for (;;) {
    CO_ASSIGN_OR_RETURN(executed, co_await server.position(wait));
    CO_ASSIGN_OR_RETURN(const Position now, Position::parse(executed));
    CO_ASSIGN_OR_RETURN(const bool reached, now.at_least(received));
    complete = complete || reached;
    if (!complete) {
      CO_ASSIGN_OR_RETURN(const bool at_end, co_await applied_all(server, wait));
      ends_seen = at_end ? ends_seen + 1 : 0;
      complete = ends_seen >= 3;
    }
    if (complete || base::system_clock().now() > patience) break;
    CO_RETURN_IF_ERROR(co_await net::sleep_for(50ms, wait.cancel));
  }
  CO_ASSIGN_OR_RETURN(status, co_await server.replication_status(wait));
  *out.mutable_after() = to_proto(status, prefix);
  CO_ASSIGN_OR_RETURN(executed, co_await server.position(wait));
  out.mutable_after()->set_position(executed);
  out.mutable_after()->set_relay_log_position(complete ? executed : received.prefixed_string());
  co_return out;
}

}  // namespace vitrail::tablet
