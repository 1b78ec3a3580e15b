#include "net/mysql_client.h"

#include <fmt/core.h>

#include "mysql/errors.h"
#include "mysql/statements.h"
#include "net/carriers.h"

namespace vitrail::net {
namespace {

// What a row takes beside its bytes, and how much may be held before it is accounted for.
constexpr size_t kRowOverhead = sizeof(std::vector<std::optional<std::string>>);
constexpr size_t kCellOverhead = sizeof(std::optional<std::string>);
constexpr size_t kAccountStep = size_t{64} << 10;

}  // namespace

std::string MysqlAddress::to_string() const {
  return unix_socket.empty() ? fmt::format("{}:{}", host, port) : unix_socket;
}

std::string_view QueryResult::text(size_t row, size_t column) const {
  if (row >= rows.size() || column >= rows[row].size() || !rows[row][column]) return "";
  return *rows[row][column];
}

MysqlClient::MysqlClient(PacketStream stream, mysql::HandshakeV10 server, mysql::Capabilities capabilities)
    : stream_(std::move(stream)), server_(std::move(server)), capabilities_(capabilities) {
  stream_.expect_responses();
}

MysqlClient MysqlClient::over(PacketStream stream, mysql::Capabilities capabilities) {
  return {std::move(stream), mysql::HandshakeV10(), capabilities};
}

Task<Result<MysqlClient>> MysqlClient::connect(MysqlClientSettings settings, Wait wait) {
  if (settings.carriers != nullptr) {
    CO_ASSIGN_OR_RETURN(auto opened, co_await settings.carriers->open(settings, wait));
    if (opened) {
      Socket socket = std::move(opened->socket);
      auto client = co_await log_in(std::move(settings), std::move(socket), wait);
      if (!client.ok() && client.error().code() == Code::kDeadlineExceeded) Carriers::distrust(*opened);
      co_return std::move(client);
    }
  }
  auto socket = settings.address.unix_socket.empty()
                    ? co_await Socket::connect_tcp(settings.address.host, settings.address.port, wait)
                    : co_await Socket::connect_unix(settings.address.unix_socket, wait);
  if (!socket.ok()) co_return std::move(socket).error().with_retry(Retry::kSameTarget);
  co_return co_await log_in(std::move(settings), std::move(*socket), std::move(wait));
}

Task<Result<MysqlClient>> MysqlClient::log_in(MysqlClientSettings settings, Socket socket, Wait wait) {
  const std::string where = settings.address.to_string();
  // The login of the connection that carries it has seen to a stream's TLS.
  settings.auth.secure_transport = socket.is_unix() || socket.encrypted();
  const auto tls = socket.is_unix() || socket.carried() ? nullptr : settings.address.tls;
  settings.auth.use_tls = tls != nullptr;
  settings.auth.tls_optional = tls != nullptr && tls->optional();
  PacketStream stream(std::move(socket), settings.max_message);
  mysql::ClientHandshake handshake(std::move(settings.auth));
  std::string out;
  for (;;) {
    auto message = co_await stream.read_message(wait);
    if (!message.ok()) co_return std::move(message).error().with_context("log in to " + where);
    if (!message->has_value()) {
      co_return fail(Code::kUnavailable, where + " closed the connection during the login");
    }
    out.clear();
    const auto next = handshake.on_message((*message)->last_sequence, (*message)->payload, out);
    if (!out.empty()) {
      Status sent = co_await stream.write(out, wait);
      if (!sent.ok()) co_return std::move(sent).error().with_context("log in to " + where);
    }
    using Next = mysql::ClientHandshake::Next;
    if (next == Next::kDone) break;
    if (next == Next::kFailed) co_return Error(handshake.error()).with_context("log in to " + where);
    if (next == Next::kStartTls) {
      Status started = co_await stream.start_tls(tls, settings.address.host, wait);
      if (!started.ok()) co_return std::move(started).error().with_context("log in to " + where);
      out.clear();
      handshake.tls_started(out);
      Status sent = co_await stream.write(out, wait);
      if (!sent.ok()) co_return std::move(sent).error().with_context("log in to " + where);
    }
  }
  co_return MysqlClient(std::move(stream), handshake.server(), handshake.capabilities());
}

Task<Status> MysqlClient::send(std::string_view payload, Wait wait) {
  if (broken()) co_return fail(Code::kUnavailable, "the connection is closed").with_retry(Retry::kSameTarget);
  std::string framed;
  framed.reserve(payload.size() + 16);
  mysql::PacketWriter writer(framed);
  writer.message(payload);
  Status sent = co_await stream_.write(framed, wait);
  if (!sent.ok()) broken_ = true;
  co_return sent;
}

Task<Result<mysql::MessageReader::Message>> MysqlClient::receive(Wait wait) {
  auto message = co_await stream_.read_message(wait);
  if (!message.ok()) {
    broken_ = true;
    co_return std::move(message).error().with_effect(Effect::kUnknown);
  }
  if (!message->has_value()) {
    broken_ = true;
    co_return fail(Code::kUnavailable, stream_.socket().peer() + " closed the connection")
        .with_effect(Effect::kUnknown);
  }
  co_return std::move(**message);
}

Error MysqlClient::server_error(std::string_view payload) {
  auto err = mysql::decode_err(payload);
  if (!err.ok()) {
    broken_ = true;
    return std::move(err).error();
  }
  if (auto tablet = mysql::decode_tablet_error(*err)) return std::move(*tablet);
  return mysql::from_err_packet(*err);
}

Task<Result<QueryResult>> MysqlClient::query(std::string sql, Wait wait, size_t max_rows,
                                             std::vector<mysql::QueryAttribute> attributes,
                                             base::MemoryBudget::Hold* memory, bool give_up) {
  std::string payload;
  mysql::encode_query(payload, sql, attributes, capabilities_);
  CO_RETURN_IF_ERROR(co_await send(payload, wait));
  for (;;) {
    auto result = co_await read_result(wait, max_rows, memory, give_up);
    if (!result.ok()) co_return std::move(result).error();
    if ((result->ok.status_flags & mysql::kStatusMoreResultsExist) == 0) co_return std::move(*result);
  }
}

Task<Result<QueryResult>> MysqlClient::read_result(Wait wait, size_t max_rows, base::MemoryBudget::Hold* memory,
                                                   bool give_up) {
  QueryResult result;
  auto first = co_await receive(wait);
  if (!first.ok()) co_return std::move(first).error();
  if (mysql::is_err(first->payload)) co_return server_error(first->payload);
  if (mysql::is_ok(first->payload)) {
    CO_ASSIGN_OR_RETURN(result.ok, mysql::decode_ok(first->payload, capabilities_));
    co_return std::move(result);
  }
  auto columns = mysql::decode_column_count(first->payload);
  if (!columns.ok()) {
    broken_ = true;
    co_return std::move(columns).error();
  }
  CO_ASSIGN_OR_RETURN(result.columns, co_await read_columns(*columns, wait));
  bool too_many = false;
  std::optional<Error> too_much;
  size_t unaccounted = 0;
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto message, co_await receive(wait));
    if (mysql::is_err(message.payload)) co_return server_error(message.payload);
    if (!message.payload.empty() &&
        mysql::is_result_end(static_cast<uint8_t>(message.payload[0]), message.payload.size(), capabilities_)) {
      auto end = mysql::decode_result_end(message.payload, capabilities_);
      if (!end.ok()) {
        broken_ = true;
        co_return std::move(end).error();
      }
      result.ok = std::move(*end);
      break;
    }
    if (too_much) continue;
    if (result.rows.size() >= max_rows) {
      too_many = true;
      continue;
    }
    if (memory != nullptr) {
      unaccounted += message.payload.size() + kRowOverhead + kCellOverhead * result.columns.size();
      if (unaccounted >= kAccountStep) {
        if (Status taken = memory->add(std::exchange(unaccounted, 0)); !taken.ok()) {
          result.rows.clear();
          too_much = std::move(taken).error();
          if (!give_up) continue;
          broken_ = true;
          co_return std::move(*too_much);
        }
      }
    }
    Status decoded = mysql::decode_text_row(message.payload, result.columns.size(), cells_);
    if (!decoded.ok()) {
      broken_ = true;
      co_return std::move(decoded).error();
    }
    auto& row = result.rows.emplace_back();
    row.reserve(cells_.size());
    for (const auto& cell : cells_) {
      if (cell) {
        row.emplace_back(std::string(*cell));
      } else {
        row.emplace_back(std::nullopt);
      }
    }
  }
  if (too_much) co_return std::move(*too_much);
  if (too_many) co_return fail(Code::kResourceExhausted, fmt::format("the result has more than {} rows", max_rows));
  co_return std::move(result);
}

Task<Result<std::vector<mysql::OkPacket>>> MysqlClient::pipeline(std::vector<std::string> statements, Wait wait) {
  if (broken()) co_return fail(Code::kUnavailable, "the connection is closed").with_retry(Retry::kSameTarget);
  std::string framed;
  std::string payload;
  for (const auto& statement : statements) {
    payload.clear();
    mysql::encode_query(payload, statement, {}, capabilities_);
    mysql::PacketWriter(framed).message(payload);
  }
  Status sent = co_await stream_.write(framed, wait);
  if (!sent.ok()) {
    broken_ = true;
    co_return std::move(sent).error().with_effect(Effect::kUnknown);
  }
  std::vector<mysql::OkPacket> oks;
  std::optional<Error> first_error;
  for (size_t i = 0; i < statements.size(); ++i) {
    auto result = co_await read_result(wait, 0);
    if (result.ok()) {
      oks.push_back(std::move(result->ok));
    } else if (broken()) {
      co_return std::move(result).error();
    } else if (!first_error) {
      first_error = std::move(result).error();
    }
  }
  if (first_error) co_return std::move(*first_error);
  co_return std::move(oks);
}

Task<Result<mysql::OkPacket>> MysqlClient::load_local(std::string sql, std::string_view data, Wait wait) {
  std::string payload;
  mysql::encode_query(payload, sql, {}, capabilities_);
  CO_RETURN_IF_ERROR(co_await send(payload, wait));
  auto request = co_await receive(wait);
  if (!request.ok()) co_return std::move(request).error();
  if (mysql::is_err(request->payload)) co_return server_error(request->payload);
  if (request->payload.empty() || static_cast<uint8_t>(request->payload[0]) != mysql::kLocalInfileHeader) {
    broken_ = true;
    co_return fail(Code::kInternal, "the server did not ask for the file of LOAD DATA LOCAL");
  }
  // In frames of at most a megabyte, each a message of its own, then the empty one.
  constexpr size_t kPiece = size_t{1} << 20;
  std::string framed;
  uint8_t sequence = static_cast<uint8_t>(request->last_sequence + 1);
  for (size_t done = 0;; done += kPiece) {
    framed.clear();
    mysql::PacketWriter writer(framed, sequence);
    const bool last = done >= data.size();
    writer.message(last ? std::string_view() : data.substr(done, kPiece));
    sequence = writer.sequence();
    Status sent = co_await stream_.write(framed, wait);
    if (!sent.ok()) {
      broken_ = true;
      co_return std::move(sent).error().with_effect(Effect::kUnknown);
    }
    if (last) break;
  }
  auto result = co_await read_result(wait, 0);
  if (!result.ok()) co_return std::move(result).error();
  co_return std::move(result->ok);
}

Task<Result<std::vector<mysql::ColumnDef>>> MysqlClient::read_columns(uint64_t count, Wait wait) {
  std::vector<mysql::ColumnDef> columns;
  for (uint64_t i = 0; i < count; ++i) {
    CO_ASSIGN_OR_RETURN(const auto message, co_await receive(wait));
    auto column = mysql::decode_column(message.payload, capabilities_);
    if (!column.ok()) {
      broken_ = true;
      co_return std::move(column).error();
    }
    columns.push_back(std::move(*column));
  }
  if (count > 0 && (capabilities_ & mysql::kClientDeprecateEof) == 0) CO_RETURN_IF_ERROR(co_await receive(wait));
  co_return std::move(columns);
}

Task<Result<QueryResult>> MysqlClient::query_begin(std::string sql, Wait wait) {
  std::string payload;
  mysql::encode_query(payload, sql, {}, capabilities_);
  CO_RETURN_IF_ERROR(co_await send(payload, wait));
  auto first = co_await receive(wait);
  if (!first.ok()) co_return std::move(first).error();
  if (mysql::is_err(first->payload)) co_return server_error(first->payload);
  QueryResult result;
  if (mysql::is_ok(first->payload)) {
    CO_ASSIGN_OR_RETURN(result.ok, mysql::decode_ok(first->payload, capabilities_));
    co_return std::move(result);
  }
  CO_ASSIGN_OR_RETURN(const uint64_t count, mysql::decode_column_count(first->payload));
  CO_ASSIGN_OR_RETURN(result.columns, co_await read_columns(count, wait));
  stream_columns_ = result.columns.size();
  co_return std::move(result);
}

Task<Result<std::vector<mysql::ColumnDef>>> MysqlClient::query_stream(std::string sql, Wait wait) {
  CO_ASSIGN_OR_RETURN(QueryResult begun, co_await query_begin(std::move(sql), std::move(wait)));
  if (begun.columns.empty()) co_return fail(Code::kInvalidArgument, "the statement returns no rows");
  co_return std::move(begun.columns);
}

Task<Result<MysqlClient::Shape>> MysqlClient::describe(std::string sql, Wait wait) {
  std::string payload;
  mysql::encode_stmt_prepare(payload, sql);
  CO_RETURN_IF_ERROR(co_await send(payload, wait));
  auto first = co_await receive(wait);
  if (!first.ok()) co_return std::move(first).error();
  if (mysql::is_err(first->payload)) co_return server_error(first->payload);
  CO_ASSIGN_OR_RETURN(const mysql::PrepareOk ok, mysql::decode_prepare_ok(first->payload));
  CO_RETURN_IF_ERROR(co_await read_columns(ok.parameters, wait));
  Shape shape{.parameters = ok.parameters};
  CO_ASSIGN_OR_RETURN(shape.columns, co_await read_columns(ok.columns, wait));
  payload.clear();
  mysql::encode_stmt_command(payload, mysql::Command::kStmtClose, ok.statement_id);
  CO_RETURN_IF_ERROR(co_await send(payload, wait));
  co_return std::move(shape);
}

Task<Result<bool>> MysqlClient::next_rows(std::function<void(std::span<const mysql::Cell>)> row, Wait wait) {
  bool any = false;
  for (;;) {
    if (any && !stream_.message_waiting()) co_return true;
    CO_ASSIGN_OR_RETURN(const auto message, co_await receive(wait));
    if (mysql::is_err(message.payload)) co_return server_error(message.payload);
    if (!message.payload.empty() &&
        mysql::is_result_end(static_cast<uint8_t>(message.payload[0]), message.payload.size(), capabilities_)) {
      co_return false;
    }
    Status decoded = mysql::decode_text_row(message.payload, stream_columns_, cells_);
    if (!decoded.ok()) {
      broken_ = true;
      co_return std::move(decoded).error();
    }
    row(cells_);
    any = true;
  }
}

Task<Status> MysqlClient::ping(Wait wait) {
  const char command = static_cast<char>(mysql::Command::kPing);
  CO_RETURN_IF_ERROR(co_await send({&command, 1}, wait));
  auto answer = co_await receive(wait);
  if (!answer.ok()) co_return std::move(answer).error();
  if (mysql::is_err(answer->payload)) co_return server_error(answer->payload);
  co_return Status{};
}

Task<void> MysqlClient::quit() {
  if (!broken()) {
    const char command = static_cast<char>(mysql::Command::kQuit);
    (void)co_await send({&command, 1}, Wait::within(std::chrono::seconds(1)));
  }
  close();
}

}  // namespace vitrail::net
