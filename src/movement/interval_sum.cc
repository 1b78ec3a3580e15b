#include "movement/interval_sum.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "mysqld/rows.h"

namespace vitrail::movement {
namespace {

using Wide = __int128;

constexpr mysqld::Version kCrc32cSince{10, 8, 0};
constexpr int kBoundAttempts = 64;

std::optional<uint64_t> to_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Wide> to_wide(std::string_view text) {
  const bool negative = text.starts_with('-');
  const auto magnitude = to_number(negative ? text.substr(1) : text);
  if (!magnitude) return std::nullopt;
  return negative ? -static_cast<Wide>(*magnitude) : static_cast<Wide>(*magnitude);
}

std::string wide_text(Wide value) {
  return value < 0 ? fmt::format("-{}", static_cast<uint64_t>(-value)) : std::to_string(static_cast<uint64_t>(value));
}

// Rows in (low, high], by a look at the index. Good within a factor of two or so; nullopt: the plan does not say.
net::Task<Result<std::optional<uint64_t>>> estimate(ServerSession& session, std::string from, std::string column,
                                                    Wide low, Wide high, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(
      const mysqld::Rows plan,
      co_await session.rows(fmt::format("EXPLAIN FORMAT=TRADITIONAL SELECT 1 FROM {0} WHERE {1} > {2} AND {1} <= {3}",
                                        from, column, wide_text(low), wide_text(high)),
                            wait));
  if (!plan.find_column("rows")) co_return std::optional<uint64_t>();
  co_return std::optional<uint64_t>(to_number(plan.get(0, "rows").value_or("")).value_or(0));
}

// Of one whole number: no row has to be passed for it. nullopt: it cannot be told so.
net::Task<Result<std::optional<std::vector<std::string>>>> find_number(ServerSession& session, std::string from,
                                                                       std::string column, Wide low, Wide high,
                                                                       uint64_t wanted, net::Wait wait) {
  std::vector<std::string> bound;
  CO_ASSIGN_OR_RETURN(const auto all, co_await estimate(session, from, column, low, high, wait));
  if (!all) co_return std::optional<std::vector<std::string>>();
  if (*all <= wanted || high - low < 2) co_return std::optional(std::move(bound));
  Wide span = std::max<Wide>(1, (high - low) / static_cast<Wide>(*all / wanted + 1));
  bool shrunk = false;
  for (int attempt = 0; attempt < kBoundAttempts && low + span < high; ++attempt) {
    CO_ASSIGN_OR_RETURN(const auto found, co_await estimate(session, from, column, low, low + span, wait));
    const uint64_t rows = found.value_or(0);
    if (rows > 2 * wanted && span > 1) {
      span /= 2;
      shrunk = true;
    } else if (rows < wanted / 4 && !shrunk) {
      span *= 2;
    } else {
      break;
    }
  }
  if (low + span < high) bound.push_back(wide_text(low + span));
  co_return std::optional(std::move(bound));
}

}  // namespace

std::string_view hash_name(HashKind kind) { return kind == HashKind::kCrc ? "crc" : "sha"; }

std::optional<HashKind> parse_hash(std::string_view name) {
  for (const HashKind kind : {HashKind::kCrc, HashKind::kSha}) {
    if (name == hash_name(kind)) return kind;
  }
  return std::nullopt;
}

bool has_hash(const mysqld::ServerVersion& server, HashKind kind) {
  return kind == HashKind::kSha || (server.kind == mysqld::FlavorKind::kMariaDb && server.version >= kCrc32cSince);
}

HashKind best_hash(const mysqld::ServerVersion& server) {
  return has_hash(server, HashKind::kCrc) ? HashKind::kCrc : HashKind::kSha;
}

HashForm hash_form(::query::Type type, std::string_view column_type) {
  if (column_type.starts_with("uuid") || column_type.starts_with("inet")) return HashForm::kNone;
  if (is_number_type(type)) return HashForm::kPlain;
  switch (type) {
    case ::query::BIT:
    case ::query::YEAR:
    case ::query::DATE:
    case ::query::TIME:
    case ::query::DATETIME:
    case ::query::TIMESTAMP: return HashForm::kPlain;
    case ::query::CHAR:
    case ::query::VARCHAR:
    case ::query::TEXT:
    case ::query::BINARY:
    case ::query::VARBINARY:
    case ::query::BLOB:
    case ::query::ENUM:
    case ::query::SET: return HashForm::kSized;
    default: return HashForm::kNone;
  }
}

std::optional<std::string> hash_expression(HashKind kind, const TableSchema& table, std::span<const size_t> columns) {
  std::string text = "CONCAT_WS('#'";
  for (const size_t at : columns) {
    const Column& column = table.columns[at];
    const bool key = std::ranges::find(table.identity, at) != table.identity.end();  // Never NULL.
    std::string value = column.type == ::query::BIT ? key_expression(column) : read_expression(column);
    switch (hash_form(column.type, column.column_type)) {
      case HashForm::kNone: return std::nullopt;
      case HashForm::kPlain:
        text += key ? fmt::format(", {}", value) : fmt::format(", COALESCE({}, 'N')", value);
        break;
      case HashForm::kSized:
        // As bytes, or values of different character sets would be converted.
        if (!column.character_set.empty()) value = fmt::format("CAST({} AS BINARY)", value);
        text += key ? fmt::format(", LENGTH({0}), {0}", value)
                    : fmt::format(", COALESCE(LENGTH({0}), 'N'), COALESCE({0}, '')", value);
        break;
    }
  }
  text += ")";
  const std::string hash = kind == HashKind::kCrc
                               ? fmt::format("CRC32(@vitrail_row := {}) * (CRC32C(@vitrail_row) + 1)", text)
                               : fmt::format("CAST(CONV(LEFT(SHA2({}, 256), 16), 16, 10) AS UNSIGNED)", text);
  return fmt::format("COALESCE({}, CAST(RAND() * 1e18 AS UNSIGNED))", hash);
}

std::string interval_condition(const TableSchema& table, const std::vector<std::string>& low,
                               const std::vector<std::string>& high) {
  std::string where;
  if (!low.empty()) where = fmt::format("({})", key_condition(table, low, true));
  if (high.empty()) return where;
  return fmt::format("{}{}({})", where, where.empty() ? "" : " AND ", key_condition(table, high, false));
}

std::string sum_query(std::string_view expression, std::string_view from, std::string_view where) {
  return fmt::format("SELECT COUNT(*), BIT_XOR({}) FROM {}{}{}", expression, from, where.empty() ? "" : " WHERE ",
                     where);
}

Result<IntervalSum> read_sum(const mysqld::Rows& rows) {
  if (rows.rows.size() == 1 && rows.rows[0].size() == 2) {
    const auto count = to_number(rows.rows[0][0].value_or(""));
    const auto hash = to_number(rows.rows[0][1].value_or(""));
    if (count && hash) return IntervalSum{*count, *hash};
  }
  return fail(Code::kInternal, "the server gave something else than the sum of an interval");
}

net::Task<Result<std::vector<std::string>>> find_bound(ServerSession& session, const TableSchema& table,
                                                       std::string from, std::vector<std::string> low,
                                                       std::vector<std::string> high, uint64_t wanted, net::Wait wait) {
  const std::string where = interval_condition(table, low, high);
  const std::string condition = where.empty() ? "" : " WHERE " + where;
  if (table.identity.size() == 1 && table.columns[table.identity[0]].is_integer()) {
    const std::string column = mysqld::quote_identifier(table.columns[table.identity[0]].name);
    CO_ASSIGN_OR_RETURN(
        const mysqld::Rows ends,
        co_await session.rows(fmt::format("SELECT MIN({0}), MAX({0}) FROM {1}{2}", column, from, condition), wait));
    if (ends.rows.empty() || !ends.rows[0][0]) co_return std::vector<std::string>();
    const auto first = to_wide(*ends.rows[0][0]);
    const auto last = to_wide(ends.rows[0][1].value_or(""));
    if (first && last) {
      CO_ASSIGN_OR_RETURN(auto bound, co_await find_number(session, from, column, *first - 1, *last, wanted, wait));
      if (bound) co_return std::move(*bound);
    }
  }
  std::string keys;
  for (const size_t column : table.identity) {
    keys += fmt::format("{}{}", keys.empty() ? "" : ", ", key_expression(table.columns[column]));
  }
  CO_ASSIGN_OR_RETURN(const mysqld::Rows row,
                      co_await session.rows(fmt::format("SELECT {} FROM {}{} ORDER BY {} LIMIT {}, 1", keys, from,
                                                        condition, identity_order(table), wanted),
                                            wait));
  std::vector<std::string> bound;
  if (row.rows.empty()) co_return std::move(bound);
  for (const auto& part : row.rows[0]) bound.push_back(part.value_or(""));
  co_return std::move(bound);
}

uint64_t next_interval_rows(uint64_t rows, base::Duration took) {
  using namespace std::chrono_literals;
  if (took < 100ms) return std::min(rows * 4, kIntervalRowsMax);
  if (took < 250ms) return std::min(rows * 2, kIntervalRowsMax);
  if (took > 600ms) return std::max(rows / 2, kIntervalRowsMin);
  return rows;
}

}  // namespace vitrail::movement
