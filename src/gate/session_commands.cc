// What each command of the protocol does, but for prepared statements.
#include <fmt/core.h>

#include "base/random.h"
#include "gate/session.h"
#include "gate/with_literals.h"
#include "mysql/collations.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "sql/parser.h"

namespace vitrail::gate {
namespace {

using mysql::Command;
using namespace std::chrono_literals;

constexpr auto kLetGoMax = 5s;  // For locks to be released before the session begins anew.

Error unknown_command(std::string_view name) {
  return fail(Code::kUnimplemented, fmt::format("Unknown command: {}", name))
      .with_mysql(mysql::errnos::kUnknownCommand, "08S01");
}

}  // namespace

// No coroutine: what it gives is the command's own.
net::Task<Status> ClientSession::dispatch(const mysql::MessageReader::Message& message) {
  const std::string_view payload = message.payload;
  const auto command = static_cast<Command>(payload[0]);
  binary_answer_ = false;
  if (command != Command::kQuery && command != Command::kStmtExecute) since_ = base::system_clock().now();
  switch (command) {
    case Command::kQuery: {
      auto query = mysql::decode_query(payload, client_.capabilities);
      if (!query.ok()) return send_error(std::move(query).error());
      text_ = query->text;
      return on_query();
    }
    case Command::kStmtExecute: return on_execute(message);
    case Command::kStmtPrepare: return on_prepare(std::string(payload.substr(1)));
    case Command::kStmtClose:
      if (auto id = mysql::decode_statement_id(payload); id.ok()) forget(*id);
      return done();
    case Command::kStmtReset: {
      auto id = mysql::decode_statement_id(payload);
      const auto found = id.ok() ? find_statement(*id) : statements_.end();
      if (found == statements_.end()) return send_error(unknown_statement(id.ok() ? *id : 0, "RESET"));
      found->second.memory.clear_long_data();
      std::string().swap(found->second.cursor);
      recount(found->second);
      return send_ok({});
    }
    case Command::kStmtFetch: return on_fetch(payload);
    case Command::kStmtSendLongData: add_long_data(payload); return done();
    case Command::kPing: row_count_ = 0; return send_ok({});
    case Command::kInitDb: {
      if (Status set = set_target(payload.substr(1)); !set.ok()) return send_error(std::move(set).error());
      row_count_ = 0;
      return send_ok({});
    }
    case Command::kResetConnection: return on_reset_connection();
    case Command::kChangeUser: return on_change_user(std::string(payload), message.last_sequence);
    case Command::kSetOption: return on_set_option(payload);
    case Command::kStatistics: {
      std::string out;
      mysql::PacketWriter(out, sequence_).message(statistics());
      return send(std::move(out));
    }
    case Command::kFieldList: return on_field_list(std::string(payload));
    case Command::kProcessInfo: text_ = "show processlist"; return on_query();
    case Command::kProcessKill: return on_process_kill(payload);
    default: return send_error(unknown_command(mysql::command_name(command)));
  }
}

net::Task<Status> ClientSession::on_reset_connection() {
  co_await reset_session();
  co_return co_await send_ok({});
}

net::Task<Status> ClientSession::on_process_kill(std::string_view payload) {
  mysql::ByteReader reader(payload.substr(1));
  const uint32_t id = reader.u32();
  if (!reader.ok()) co_return co_await send_error(unknown_command("COM_PROCESS_KILL without a number"));
  RunResult killed = co_await kill_session(id, false);
  if (killed.verdict == RunResult::Verdict::kAnswered) co_return co_await send_ok({});
  co_return co_await finish(std::move(killed));
}

net::Task<Status> ClientSession::on_query() {
  if (settings_.reading().any()) {
    auto plain = as_read(std::move(text_));
    if (!plain.ok()) co_return co_await send_error(std::move(plain).error());
    text_ = std::move(*plain);
  }
  Statement statement;
  scan_text(text_, literals_, statement);
  if (statement.scan.has_more && !statement.scan.malformed) {
    sql::blank_markers(text_);  // Else a piece may have but one end of an executable comment.
    co_return co_await run_each(text_);
  }
  shared_.metrics.queries.add();
  RunResult result = co_await (shared_.query_log->wanted() ? run_logged(statement) : run_statement(statement));
  if (result.verdict == RunResult::Verdict::kAnswered) co_return Status{};
  co_return co_await finish(std::move(result));
}

net::Task<Status> ClientSession::run_each(std::string_view text) {
  const auto spans = sql::split_statements(text);
  if (!spans.ok()) co_return co_await send_error(spans.error());
  if (spans->size() > 1 && !multi_statements_) {
    co_return co_await send_error(fail(Code::kInvalidArgument,
                                       "You have an error in your SQL syntax: several statements in one query; connect "
                                       "with CLIENT_MULTI_STATEMENTS, or send them one by one")
                                      .with_mysql(mysql::errnos::kParseError, "42000"));
  }
  // One after the other, as a server does: an error ends them all.
  for (size_t i = 0; i < spans->size(); ++i) {
    more_results_ = i + 1 < spans->size();
    Statement statement;
    scan_text((*spans)[i].of(text), literals_, statement);
    shared_.metrics.queries.add();
    RunResult result = co_await (shared_.query_log->wanted() ? run_logged(statement) : run_statement(statement));
    const bool failed = result.verdict != RunResult::Verdict::kAnswered || result.told_error || state_lost_;
    if (failed) more_results_ = false;
    CO_RETURN_IF_ERROR(co_await finish(std::move(result)));
    if (failed || close_after_answer_) break;
  }
  co_return Status{};
}

net::Task<void> ClientSession::reset_session() {
  co_await rollback_all();
  // A server lets go of locks when it notices that the connection has ended; the client is told that they are free.
  const net::Wait wait = net::Wait::within(kLetGoMax, shared_.scope.token());
  for (auto& held : held_) {
    if (held.pinned && held.lease->client.idle_ok()) {
      (void)co_await held.lease->client.query("do release_all_locks()", wait);
      if (tables_locked_) (void)co_await held.lease->client.query("unlock tables", wait);
    }
    held.lease.discard();
  }
  held_.clear();
  tables_locked_ = false;
  settings_.clear();
  settings_text_.clear();
  stored_.clear();
  timeouts_.clear();
  user_variables_.clear();
  user_texts_.reset();
  for (const auto& [name, what] : *text_prepared_) {
    memory_.give(base::MemoryBudget::Kind::kPrepared, what.text.size());
  }
  text_prepared_.reset();
  servers_prepared_.reset();
  while (!statements_.empty()) forget(statements_.begin()->first);
  autocommit_ = true;
  failed_.reset();
  next_options_ = {};
  savepoints_.clear();
  single_shard_.reset();
  two_phase_.reset();
  last_insert_id_ = 0;
  row_count_ = 0;
  clear_warnings();
  last_error_.reset();
}

net::Task<Status> ClientSession::on_change_user(std::string payload, uint8_t sequence) {
  if (shared_.login == nullptr) co_return co_await send_error(unknown_command("COM_CHANGE_USER"));
  mysql::Peer peer;
  peer.is_unix_socket = stream_.socket().is_unix();
  peer.host = peer.is_unix_socket ? "localhost" : stream_.socket().peer().substr(0, stream_.socket().peer().rfind(':'));
  mysql::ServerHandshake handshake(*shared_.login, connection_id_, std::move(peer), base::system_random());
  handshake.resume(client_, stream_.socket().encrypted());
  using Next = mysql::ServerHandshake::Next;
  std::string out;
  Next next = handshake.on_change_user(sequence, payload, out);
  const net::Wait wait = net::Wait::within(10s, shared_.scope.token());
  while (next == Next::kRead) {
    CO_RETURN_IF_ERROR(co_await send(std::exchange(out, {})));
    CO_ASSIGN_OR_RETURN(const auto message, co_await stream_.read_message(wait));
    if (!message) co_return fail(Code::kCanceled, "the client left while it changed the user");
    next = handshake.on_message(message->last_sequence, message->payload, out);
  }
  if (next != Next::kAccepted) {  // Who could not show who it is, is nobody any more.
    CO_RETURN_IF_ERROR(co_await send(std::move(out)));
    co_return fail(Code::kUnauthenticated, handshake.error().message);
  }
  co_await reset_session();
  const std::string database =
      handshake.client().database.empty() ? shared_.settings.default_keyspace : handshake.client().database;
  Status usable;
  if (const auto* collation = mysql::find_collation(handshake.client().collation)) {
    usable = mysql::check_client_charset(collation->charset);
  }
  if (usable.ok()) usable = set_target(database);
  if (!usable.ok()) {
    handshake.refuse(out, mysql::to_err_packet(usable.error()));
    CO_RETURN_IF_ERROR(co_await send(std::move(out)));
    co_return std::move(usable).error();
  }
  client_ = handshake.client();
  form_.collation = static_cast<uint8_t>(client_.collation);
  handshake.accept(out, status_flags());
  co_return co_await send(std::move(out));
}

net::Task<Status> ClientSession::on_set_option(std::string_view payload) {
  mysql::ByteReader reader(payload.substr(1));
  const uint16_t option = reader.u16();
  if (!reader.ok() || option > 1) co_return co_await send_error(unknown_command("COM_SET_OPTION with this option"));
  multi_statements_ = option == 0;  // MYSQL_OPTION_MULTI_STATEMENTS_ON
  std::string out;
  std::string end;
  mysql::encode_result_end(end, {.status_flags = status_flags()}, client_.capabilities);
  mysql::PacketWriter(out, sequence_).message(end);
  co_return co_await send(std::move(out));
}

std::string ClientSession::statistics() const {
  // In the words of a server: tools take it apart.
  const auto uptime =
      std::chrono::duration_cast<std::chrono::seconds>(base::system_clock().now() - shared_.started).count();
  const uint64_t queries = shared_.metrics.queries.value();
  return fmt::format(
      "Uptime: {}  Threads: {}  Questions: {}  Slow queries: 0  Opens: 0  Open tables: 0  Queries per second avg: "
      "{:.3f}",
      uptime, shared_.metrics.connections.value(), queries,
      static_cast<double>(queries) / static_cast<double>(std::max<int64_t>(uptime, 1)));
}

// Columns of a table for clients that complete names, and for libraries that bind tables.
net::Task<Status> ClientSession::on_field_list(std::string payload) {
  mysql::ByteReader reader(std::string_view(payload).substr(1));
  const std::string table(reader.null_terminated());
  const std::string pattern(reader.rest());
  if (!reader.ok()) co_return co_await send_error(unknown_command("COM_FIELD_LIST without a table"));
  std::string text = "select * from ";
  mysql::append_sql_identifier(text, table);
  std::array<sql::LiteralPosition, kRecordedLiterals> storage;
  Statement statement;
  statement.text = text;
  statement.scan = sql::fingerprint(text, storage);
  statement.literals = statement.scan.literals;
  mysql::PrepareOk ok;
  std::string definitions;
  if (Status known = co_await describe(statement, ok, definitions); !known.ok()) {
    co_return co_await send_error(std::move(known).error());
  }
  std::string out;
  mysql::PacketWriter writer(out, sequence_);
  mysql::MessageReader messages;
  std::string_view rest = definitions;
  for (uint16_t i = 0; i < ok.columns; ++i) {
    CO_ASSIGN_OR_RETURN(const auto message, messages.next(rest));
    if (!message) co_return fail(Code::kInternal, "VT13001: [BUG] definitions end too early");
    CO_ASSIGN_OR_RETURN(const auto column, mysql::decode_column(message->payload, client_.capabilities));
    rest.remove_prefix(message->consumed);
    if (!pattern.empty() && !matches_like(column.name, pattern)) continue;
    mysql::encode_field_list_column(writer.begin(), column, std::nullopt, client_.capabilities);
    writer.end();
  }
  mysql::encode_result_end(writer.begin(), {.status_flags = status_flags()}, client_.capabilities);
  writer.end();
  co_return co_await send(std::move(out));
}

}  // namespace vitrail::gate
