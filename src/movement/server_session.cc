#include "movement/server_session.h"

#include "movement/sidecar.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "mysql/statements.h"

namespace vitrail::movement {

mysqld::Rows to_rows(const net::QueryResult& result) {
  mysqld::Rows rows;
  rows.columns.reserve(result.columns.size());
  for (const auto& column : result.columns) rows.columns.push_back(column.name);
  rows.rows = result.rows;
  return rows;
}

net::Task<Result<std::unique_ptr<ServerSession>>> ServerSession::open(ServerLogin login,
                                                                      mysqld::ConnectionPurpose purpose,
                                                                      net::Wait wait) {
  net::MysqlClientSettings settings;
  settings.address = login.address;
  settings.auth.user = login.user;
  settings.auth.password = login.password;
  settings.auth.capabilities |= mysql::kClientMultiStatements | mysql::kClientLocalFiles | mysql::kClientFoundRows;
  CO_ASSIGN_OR_RETURN(net::MysqlClient client, co_await net::MysqlClient::connect(std::move(settings), wait));
  CO_ASSIGN_OR_RETURN(const mysqld::ServerVersion version,
                      mysqld::parse_server_version(client.server().server_version));
  CO_ASSIGN_OR_RETURN(std::unique_ptr<mysqld::Flavor> flavor, mysqld::Flavor::make(version));
  std::unique_ptr<ServerSession> session(
      new ServerSession(std::move(client), std::move(flavor), std::move(login.sidecar)));
  CO_RETURN_IF_ERROR(co_await session->run(session->flavor().connection_setup(purpose), wait));
  co_return std::move(session);
}

net::Task<Result<net::QueryResult>> ServerSession::query(std::string sql, net::Wait wait) {
  return client_.query(in_sidecar(std::move(sql), sidecar_), std::move(wait));
}

net::Task<Result<mysqld::Rows>> ServerSession::rows(std::string sql, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const net::QueryResult result, co_await query(std::move(sql), std::move(wait)));
  co_return to_rows(result);
}

net::Task<Status> ServerSession::run(std::vector<std::string> statements, net::Wait wait) {
  for (std::string& statement : statements) {
    auto result = co_await query(std::move(statement), wait);
    if (!result.ok()) co_return std::move(result).error();
  }
  co_return Status{};
}

net::Task<Result<std::vector<mysql::OkPacket>>> ServerSession::script(std::string sql, net::Wait wait) {
  sql = in_sidecar(std::move(sql), sidecar_);
  std::string payload;
  payload.reserve(sql.size() + 8);
  mysql::encode_query(payload, sql, {}, client_.capabilities());
  CO_RETURN_IF_ERROR(co_await client_.send(payload, wait));
  std::vector<mysql::OkPacket> oks;
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto message, co_await client_.receive(wait));
    if (mysql::is_err(message.payload)) {
      auto err = mysql::decode_err(message.payload);
      if (!err.ok()) {
        client_.set_broken();
        co_return std::move(err).error();
      }
      co_return mysql::from_err_packet(*err);
    }
    auto ok = mysql::is_ok(message.payload) ? mysql::decode_ok(message.payload, client_.capabilities())
                                            : Result<mysql::OkPacket>(fail(Code::kInternal, "a script returned rows"));
    if (!ok.ok()) {
      client_.set_broken();
      co_return std::move(ok).error();
    }
    oks.push_back(std::move(*ok));
    if ((oks.back().status_flags & mysql::kStatusMoreResultsExist) == 0) co_return std::move(oks);
  }
}

namespace {

mysql::GtidFlavor gtid_flavor(const ServerSession& session) {
  const bool mariadb = session.flavor().kind() == mysqld::FlavorKind::kMariaDb;
  return mariadb ? mysql::GtidFlavor::kMariadb : mysql::GtidFlavor::kMysql;
}

}  // namespace

net::Task<Result<mysql::Position>> current_position(ServerSession& session, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const mysqld::Rows rows, co_await session.rows(session.flavor().position_query(), wait));
  CO_ASSIGN_OR_RETURN(const std::string bare, session.flavor().parse_position(rows));
  co_return mysql::Position::parse_bare(gtid_flavor(session), bare);
}

net::Task<Result<mysql::Position>> begin_snapshot(ServerSession& session, std::unique_ptr<ServerSession>& lock,
                                                  ServerLogin login, std::vector<std::string> names, net::Wait wait) {
  std::string position;
  for (const mysqld::SnapshotStep& step : session.flavor().snapshot(names)) {
    ServerSession* on = &session;
    if (step.connection == mysqld::SnapshotStep::Connection::kLock) {
      if (lock == nullptr) {
        CO_ASSIGN_OR_RETURN(lock, co_await ServerSession::open(login, mysqld::ConnectionPurpose::kCopy, wait));
      }
      on = lock.get();
    }
    CO_ASSIGN_OR_RETURN(const mysqld::Rows rows, co_await on->rows(step.sql, wait));
    if (step.yields_position) {
      CO_ASSIGN_OR_RETURN(position, session.flavor().parse_position(rows));
    }
  }
  co_return mysql::Position::parse_bare(gtid_flavor(session), position);
}

}  // namespace vitrail::movement
