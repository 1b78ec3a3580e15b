#include "net/binary_query.h"

#include <fmt/core.h>

#include "mysql/convert.h"
#include "mysql/errors.h"
#include "mysql/packet.h"

namespace vitrail::net {
namespace {

constexpr size_t kMaxPreparedPerConnection = 256;
constexpr size_t kAccountStep = 64 << 10;
constexpr uint8_t kAllDigits = 31;

Error server_error(std::string_view payload) {
  auto err = mysql::decode_err(payload);
  if (!err.ok()) return std::move(err).error();
  if (auto tablets = mysql::decode_tablet_error(*err)) return std::move(*tablets);
  return mysql::from_err_packet(*err);
}

}  // namespace

Status decode_binary_row(std::string_view payload, std::span<const mysql::ColumnDef> columns,
                         std::vector<std::optional<std::string>>& row) {
  row.clear();
  row.reserve(columns.size());
  mysql::ByteReader reader(payload);
  constexpr size_t kOffset = 2;  // Of the first column's bit.
  const bool header = reader.u8() == 0;
  const std::string_view nulls = reader.bytes((columns.size() + 7 + kOffset) / 8);
  if (!reader.ok() || !header) return fail(Code::kInvalidArgument, "not a row of the binary protocol");
  for (size_t i = 0; i < columns.size(); ++i) {
    const size_t bit = i + kOffset;
    if ((static_cast<uint8_t>(nulls[bit / 8]) >> (bit % 8) & 1) != 0) {
      row.emplace_back(std::nullopt);
      continue;
    }
    const auto& column = columns[i];
    std::string& cell = row.emplace_back(std::in_place).value();
    if (column.type == mysql::FieldType::kFloat) {  // As the DOUBLE that it is, with all its digits.
      std::string wide;
      mysql::append_f64(wide, static_cast<double>(reader.f32()));
      mysql::ByteReader wide_reader(wide);
      RETURN_IF_ERROR(mysql::append_text_of_binary(cell, mysql::FieldType::kDouble, false, kAllDigits, wide_reader));
      continue;
    }
    const uint8_t decimals = mysql::is_float_type(column.type) ? kAllDigits : column.decimals;
    RETURN_IF_ERROR(mysql::append_text_of_binary(cell, column.type, column.is_unsigned(), decimals, reader));
  }
  if (!reader.ok() || !reader.at_end()) return fail(Code::kInvalidArgument, "a row of other columns");
  return {};
}

Task<Result<QueryResult>> query_binary(PooledConnection& connection, std::string sql, Wait wait, size_t max_rows,
                                       std::span<const mysql::QueryAttribute> attributes,
                                       base::MemoryBudget::Hold* memory) {
  MysqlClient& client = connection.client;
  CO_ASSIGN_OR_RETURN(const auto prepared, co_await connection.prepare(sql, kMaxPreparedPerConnection, wait));
  std::string payload;
  mysql::encode_stmt_execute_values(payload, prepared->ok.statement_id, {}, attributes, client.capabilities());
  CO_RETURN_IF_ERROR(co_await client.send(payload, wait));
  QueryResult result;
  CO_ASSIGN_OR_RETURN(const auto first, co_await client.receive(wait));
  if (mysql::is_err(first.payload)) co_return server_error(first.payload);
  if (mysql::is_ok(first.payload)) {
    CO_ASSIGN_OR_RETURN(result.ok, mysql::decode_ok(first.payload, client.capabilities()));
    co_return std::move(result);
  }
  const auto broken = [&](Error error) {
    client.set_broken();
    return error;
  };
  auto count = mysql::decode_column_count(first.payload);
  if (!count.ok()) co_return broken(std::move(count).error());
  for (uint64_t i = 0; i < *count; ++i) {
    CO_ASSIGN_OR_RETURN(const auto message, co_await client.receive(wait));
    auto column = mysql::decode_column(message.payload, client.capabilities());
    if (!column.ok()) co_return broken(std::move(column).error());
    result.columns.push_back(std::move(*column));
  }
  if ((client.capabilities() & mysql::kClientDeprecateEof) == 0) {
    CO_RETURN_IF_ERROR(co_await client.receive(wait));
  }
  bool too_many = false;
  size_t unaccounted = 0;
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto message, co_await client.receive(wait));
    if (mysql::is_err(message.payload)) co_return server_error(message.payload);
    if (!message.payload.empty() &&
        mysql::is_result_end(static_cast<uint8_t>(message.payload[0]), message.payload.size(), client.capabilities())) {
      auto end = mysql::decode_result_end(message.payload, client.capabilities());
      if (!end.ok()) co_return broken(std::move(end).error());
      result.ok = std::move(*end);
      break;
    }
    too_many = too_many || result.rows.size() >= max_rows;
    if (too_many) continue;
    unaccounted += message.payload.size() + sizeof(std::optional<std::string>) * result.columns.size();
    if (memory != nullptr && unaccounted >= kAccountStep) {
      Status taken = memory->add(std::exchange(unaccounted, 0));
      if (!taken.ok()) co_return broken(std::move(taken).error());
    }
    Status decoded = decode_binary_row(message.payload, result.columns, result.rows.emplace_back());
    if (!decoded.ok()) co_return broken(std::move(decoded).error());
  }
  if (too_many) co_return fail(Code::kResourceExhausted, fmt::format("the result has more than {} rows", max_rows));
  co_return std::move(result);
}

}  // namespace vitrail::net
