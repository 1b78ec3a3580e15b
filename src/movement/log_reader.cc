#include "movement/log_reader.h"

#include <fmt/core.h>

#include "base/random.h"
#include "mysql/binlog_command.h"
#include "mysql/errors.h"
#include "mysql/messages.h"

namespace vitrail::movement {
namespace {

constexpr auto kHeartbeat = std::chrono::milliseconds(500);
constexpr auto kSilenceMax = std::chrono::seconds(20);
constexpr uint16_t kErrMasterFatal = 1236;  // The server cannot serve this position.

bool is_at_least(const mysqld::ServerVersion& version, mysqld::Version least) { return version.version >= least; }

}  // namespace

LogReader::LogReader(std::unique_ptr<ServerSession> session, mysql::Position from)
    : session_(std::move(session)), parser_({.start = {}, .position = std::move(from)}) {}

net::Task<Result<std::unique_ptr<LogReader>>> LogReader::open(ServerLogin login, mysql::Position from, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto session,
                      co_await ServerSession::open(std::move(login), mysqld::ConnectionPurpose::kDba, wait));
  const mysqld::ServerVersion& version = session->flavor().server();
  const bool mariadb = version.kind == mysqld::FlavorKind::kMariaDb;
  mysql::DumpSession dump;
  dump.heartbeat = kHeartbeat;
  std::vector<std::string> setup;
  if (mariadb) {
    CO_ASSIGN_OR_RETURN(setup, mysql::mariadb_dump_session(from, dump));
  } else {
    setup = mysql::mysql_dump_session(dump, is_at_least(version, {8, 0, 26}));
  }
  // A write that hangs because this reader is slow must not end the dump: the default is a minute.
  setup.push_back("SET SESSION net_write_timeout = 600");
  CO_RETURN_IF_ERROR(co_await session->run(std::move(setup), wait));

  // Another reader with the same id would be thrown out. Ids of servers are small numbers by convention.
  mysql::RegisterReplica replica;
  replica.server_id = static_cast<uint32_t>((1u << 30) + base::system_random().below(1u << 30));
  replica.host = "vitrail";
  net::MysqlClient& client = session->client();
  CO_RETURN_IF_ERROR(co_await client.send(mysql::encode_register_slave(replica), wait));
  CO_ASSIGN_OR_RETURN(const auto answer, co_await client.receive(wait));
  if (mysql::is_err(answer.payload)) {
    CO_ASSIGN_OR_RETURN(const mysql::ErrPacket err, mysql::decode_err(answer.payload));
    co_return mysql::from_err_packet(err).with_context("register as a reader of the binary log");
  }
  std::string command;
  if (mariadb) {
    const auto* place = from.file_position();
    command = mysql::encode_binlog_dump(place != nullptr ? *place : mysql::FilePosition{"", 4}, replica.server_id, 0);
  } else {
    const auto* set = from.mysql();
    command = mysql::encode_binlog_dump_gtid(set == nullptr ? mysql::MysqlGtidSet() : *set, replica.server_id,
                                             mysql::kDumpThroughGtid);
  }
  CO_RETURN_IF_ERROR(co_await client.send(command, wait));
  co_return std::unique_ptr<LogReader>(new LogReader(std::move(session), std::move(from)));
}

net::Task<Result<std::span<const mysql::BinlogItem>>> LogReader::next(net::CancelToken cancel) {
  auto message = co_await session_->client().receive(net::Wait::within(kSilenceMax, std::move(cancel)));
  if (!message.ok()) {
    if (message.error().code() != Code::kDeadlineExceeded) co_return std::move(message).error();
    co_return fail(Code::kUnavailable, "the server sent neither events nor heartbeats");
  }
  const std::string_view payload = message->payload;
  if (payload.empty()) co_return fail(Code::kDataLoss, "an empty packet in the binary log");
  if (payload[0] == 0) co_return parser_.feed(mysql::as_bytes(payload.substr(1)));
  if (mysql::is_err(payload)) {
    CO_ASSIGN_OR_RETURN(const mysql::ErrPacket err, mysql::decode_err(payload));
    Error error = mysql::from_err_packet(err);
    if (err.code == kErrMasterFatal)
      error = fail(Code::kFailedPrecondition, err.message).with_mysql(err.code, err.sqlstate);
    co_return std::move(error).with_context("read the binary log");
  }
  co_return fail(Code::kUnavailable, "the server ended the binary log stream");
}

}  // namespace vitrail::movement
