#include "net/result_stream.h"

#include "mysql/errors.h"
#include "net/binary_query.h"

namespace vitrail::net {
namespace {

constexpr size_t kMaxPreparedPerConnection = 256;

}  // namespace

Error ResultStream::broken(Error error) {
  connection_->client.set_broken();
  return error;
}

Error ResultStream::server_error(std::string_view payload) {
  ended_ = true;
  auto err = mysql::decode_err(payload);
  if (!err.ok()) return broken(std::move(err).error());
  if (auto tablets = mysql::decode_tablet_error(*err)) return std::move(*tablets);
  return mysql::from_err_packet(*err);
}

Task<Status> ResultStream::begin(std::string sql, std::vector<mysql::QueryAttribute> attributes, bool all_digits,
                                 Wait wait) {
  MysqlClient& client = connection_->client;
  binary_ = all_digits;
  std::string payload;
  if (all_digits) {
    CO_ASSIGN_OR_RETURN(const auto prepared, co_await connection_->prepare(sql, kMaxPreparedPerConnection, wait));
    mysql::encode_stmt_execute_values(payload, prepared->ok.statement_id, {}, attributes, client.capabilities());
  } else {
    mysql::encode_query(payload, sql, attributes, client.capabilities());
  }
  CO_RETURN_IF_ERROR(co_await client.send(payload, wait));
  co_return co_await read_head(std::move(wait));
}

Task<Status> ResultStream::read_head(Wait wait) {
  MysqlClient& client = connection_->client;
  CO_ASSIGN_OR_RETURN(const auto first, co_await client.receive(wait));
  if (mysql::is_err(first.payload)) co_return server_error(first.payload);
  if (mysql::is_ok(first.payload)) {
    auto ok = mysql::decode_ok(first.payload, client.capabilities());
    if (!ok.ok()) co_return broken(std::move(ok).error());
    ok_ = std::move(*ok);
    co_return Status{};
  }
  auto count = mysql::decode_column_count(first.payload);
  if (!count.ok()) co_return broken(std::move(count).error());
  for (uint64_t i = 0; i < *count; ++i) {
    CO_ASSIGN_OR_RETURN(const auto message, co_await client.receive(wait));
    auto column = mysql::decode_column(message.payload, client.capabilities());
    if (!column.ok()) co_return broken(std::move(column).error());
    columns_.push_back(std::move(*column));
  }
  if (*count > 0 && (client.capabilities() & mysql::kClientDeprecateEof) == 0) {
    CO_RETURN_IF_ERROR(co_await client.receive(wait));
  }
  ended_ = false;
  co_return Status{};
}

Task<Result<std::optional<std::string_view>>> ResultStream::next(Wait wait) {
  if (ended_) co_return std::optional<std::string_view>();
  MysqlClient& client = connection_->client;
  CO_ASSIGN_OR_RETURN(const auto message, co_await client.receive(std::move(wait)));
  const std::string_view payload = message.payload;
  if (mysql::is_err(payload)) co_return server_error(payload);
  if (!payload.empty() &&
      mysql::is_result_end(static_cast<uint8_t>(payload[0]), payload.size(), client.capabilities())) {
    auto end = mysql::decode_result_end(payload, client.capabilities());
    if (!end.ok()) co_return broken(std::move(end).error());
    ok_ = std::move(*end);
    ended_ = true;
    co_return std::optional<std::string_view>();
  }
  if (!binary_) co_return std::optional<std::string_view>(payload);
  Status decoded = as_text(payload);
  if (!decoded.ok()) co_return broken(std::move(decoded).error());
  co_return std::optional<std::string_view>(text_);
}

std::optional<std::string_view> ResultStream::next_waiting() {
  if (ended_ || binary_) return std::nullopt;
  MysqlClient& client = connection_->client;
  return client.stream().take_waiting([&](std::string_view payload) {
    return !payload.empty() && !mysql::is_err(payload) &&
           !mysql::is_result_end(static_cast<uint8_t>(payload[0]), payload.size(), client.capabilities());
  });
}

Status ResultStream::as_text(std::string_view payload) {
  std::vector<std::optional<std::string>> row;
  RETURN_IF_ERROR(decode_binary_row(payload, columns_, row));
  std::vector<mysql::Cell> cells;
  for (const auto& cell : row) cells.push_back(cell ? mysql::Cell(*cell) : mysql::Cell());
  text_.clear();
  mysql::encode_text_row(text_, cells);
  return {};
}

}  // namespace vitrail::net
