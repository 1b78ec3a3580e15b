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

std::string_view hash_name(HashKind kind) { return kind == HashKind::kMix ? "mix" : "sha"; }

std::optional<HashKind> parse_hash(std::string_view name) {
  for (const HashKind kind : {HashKind::kMix, HashKind::kSha}) {
    if (name == hash_name(kind)) return kind;
  }
  return std::nullopt;
}

bool has_hash(const mysqld::ServerVersion& server, HashKind kind) {
  return kind == HashKind::kSha || (server.kind == mysqld::FlavorKind::kMariaDb && server.version >= kCrc32cSince);
}

HashKind best_hash(const mysqld::ServerVersion& server) {
  return has_hash(server, HashKind::kMix) ? HashKind::kMix : HashKind::kSha;
}

HashForm hash_form(::query::Type type, std::string_view column_type) {
  if (column_type.starts_with("uuid") || column_type.starts_with("inet")) return HashForm::kNone;
  switch (type) {
    case ::query::INT8:
    case ::query::INT16:
    case ::query::INT24:
    case ::query::INT32:
    case ::query::UINT8:
    case ::query::UINT16:
    case ::query::UINT24:
    case ::query::UINT32: return HashForm::kNarrow;
    case ::query::INT64:
    case ::query::UINT64: return HashForm::kWide;
    case ::query::FLOAT32:
    case ::query::FLOAT64:
    case ::query::DECIMAL:
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

bool same_form(HashKind kind, HashForm a, HashForm b) {
  if (a == HashForm::kNone || b == HashForm::kNone) return false;
  return kind == HashKind::kMix ? a == b : (a == HashForm::kSized) == (b == HashForm::kSized);
}

namespace {

bool is_never_null(const TableSchema& table, size_t column) {
  return !table.columns[column].nullable || std::ranges::find(table.identity, column) != table.identity.end();
}

std::string value_of(const Column& column) {
  return column.type == ::query::BIT ? key_expression(column) : read_expression(column);
}

std::string plain_text(const TableSchema& table, size_t column) {
  const std::string value = value_of(table.columns[column]);
  return is_never_null(table, column) ? value : fmt::format("COALESCE({}, 'N')", value);
}

// As bytes, or values of different character sets would be converted.
std::string bytes_of(const Column& column) {
  return column.character_set.empty() ? value_of(column) : fmt::format("CAST({} AS BINARY)", value_of(column));
}

std::string text_hash(const TableSchema& table, std::span<const size_t> columns) {
  std::string text = "CONCAT_WS('#'";
  for (const size_t at : columns) {
    const Column& column = table.columns[at];
    if (hash_form(column.type, column.column_type) != HashForm::kSized) {
      text += ", " + plain_text(table, at);
      continue;
    }
    text += is_never_null(table, at) ? fmt::format(", LENGTH({0}), {0}", bytes_of(column))
                                     : fmt::format(", COALESCE(LENGTH({0}), 'N'), COALESCE({0}, '')", bytes_of(column));
  }
  return fmt::format(
      "COALESCE(CAST(CONV(LEFT(SHA2({}), 256), 16), 16, 10) AS UNSIGNED), CAST(RAND() * 1e18 AS UNSIGNED))", text);
}

// One of the two factors of a kMix. Whole numbers come to 32 bits from which the checksum starts, the texts of plain
// columns follow behind one another, then columns of any bytes, between which their lengths stand.
class MixFactor {
 public:
  // `by_rest`: the numbers are reduced to 32 bits by a division, else by leaving out the upper half of each.
  MixFactor(std::string_view function, bool by_rest, uint64_t seed)
      : function_(function), by_rest_(by_rest), seed_(seed) {}

  std::string over(const TableSchema& table, std::span<const size_t> columns) const {
    std::vector<std::string> numbers;
    std::string plain;
    std::vector<size_t> sized;
    for (const size_t at : columns) {
      const Column& column = table.columns[at];
      switch (hash_form(column.type, column.column_type)) {
        case HashForm::kNone: break;
        case HashForm::kNarrow:
        case HashForm::kWide: numbers.push_back(number(table, at, numbers.size())); break;
        case HashForm::kPlain: plain += plain_text(table, at) + ", "; break;
        case HashForm::kSized: sized.push_back(at); break;
      }
    }
    std::string sum = start(numbers);
    if (!plain.empty()) sum = fmt::format("{}({}, CONCAT_WS('#', {}''))", function_, sum, plain);
    for (const size_t at : sized) sum = append(std::move(sum), table, at, at == sized.back());
    // Small numbers would have small sums.
    return plain.empty() && sized.empty() ? fmt::format("{}({}, 'vitrail')", function_, sum) : sum;
  }

 private:
  static constexpr uint64_t kPrime = 4'294'967'291;       // The greatest below 2^32.
  static constexpr uint64_t kOtherPrime = 4'294'967'279;  // The next one.

  uint64_t mixed(size_t index) const {
    const uint64_t start = (seed_ + index) * 0x9e3779b97f4a7c15;
    return (start ^ (start >> 30)) * 0xbf58476d1ce4e5b9;
  }
  // Odd, of 31 bits: times 32 bits it never overflows, which would be an error.
  uint64_t multiplier(size_t index) const { return ((mixed(index) >> 33) & 0x3fffffff) | 0x40000001; }

  std::string number(const TableSchema& table, size_t at, size_t index) const {
    const Column& column = table.columns[at];
    std::string value = value_of(column);
    if (index != 0) {
      if (hash_form(column.type, column.column_type) == HashForm::kWide) {
        value = by_rest_ ? fmt::format("({} % {})", value, kOtherPrime) : fmt::format("({} & 4294967295)", value);
      }
      value = fmt::format("({} * {})", value, multiplier(index));
    }
    // The number for NULL is one that no value is likely to have, another one for each column; by ^ both are unsigned.
    return is_never_null(table, at) ? value
                                    : fmt::format("COALESCE({} ^ 0, {})", value, mixed(index) | 0x8000000000000000);
  }

  std::string start(const std::vector<std::string>& numbers) const {
    // By ^ numbers become unsigned: a rest of -6 would be the same 32 bits as that of 4294967290.
    std::string sum = numbers.empty() || (by_rest_ && numbers.size() == 1) ? std::to_string(seed_) : "";
    for (const std::string& number : numbers) sum += (sum.empty() ? "" : " ^ ") + number;
    return by_rest_ && !numbers.empty() ? fmt::format("MOD({}, {})", sum, kPrime) : sum;
  }

  std::string append(std::string sum, const TableSchema& table, size_t at, bool last) const {
    const Column& column = table.columns[at];
    if (is_never_null(table, at)) {
      const std::string value = value_of(column);
      return last ? fmt::format("{}({}, {})", function_, sum, value)
                  : fmt::format("{0}({1} ^ LENGTH({2}), {2})", function_, sum, value);
    }
    const std::string value = bytes_of(column);
    const std::string mark =
        last ? fmt::format("({} IS NULL)", value_of(column)) : fmt::format("COALESCE(LENGTH({}), 4294967295)", value);
    return fmt::format("{}({} ^ {}, COALESCE({}, ''))", function_, sum, mark, value);
  }

  const std::string_view function_;
  const bool by_rest_;
  const uint64_t seed_;
};

// Deeper expressions would not fit on a server's stack.
constexpr size_t kMixColumnsMax = 200;
constexpr std::ptrdiff_t kMixSizedMax = 50;

}  // namespace

std::optional<std::string> hash_expression(HashKind kind, const TableSchema& table, std::span<const size_t> columns) {
  const auto form = [&table](size_t at) { return hash_form(table.columns[at].type, table.columns[at].column_type); };
  const auto has = [&form](HashForm wanted) { return [&form, wanted](size_t at) { return form(at) == wanted; }; };
  if (std::ranges::any_of(columns, has(HashForm::kNone))) return std::nullopt;
  if (kind == HashKind::kSha) return text_hash(table, columns);
  if (columns.size() > kMixColumnsMax || std::ranges::count_if(columns, has(HashForm::kSized)) > kMixSizedMax) {
    return std::nullopt;
  }
  return fmt::format("{} * {}", MixFactor("CRC32", true, 2'654'435'769).over(table, columns),
                     MixFactor("CRC32C", false, 1'367'130'551).over(table, columns));
}

std::string and_also(std::string condition, const std::string& other) {
  if (condition.empty() || other.empty()) return condition.empty() ? other : condition;
  return fmt::format("({}) AND ({})", condition, other);
}

std::string interval_condition(const TableSchema& table, const std::vector<std::string>& low,
                               const std::vector<std::string>& high) {
  if (table.identity.size() == 1 && table.columns[table.identity[0]].is_integer() && !low.empty() && !high.empty()) {
    // Of two conditions servers look at each for each row.
    const auto before = to_wide(low[0]);
    const auto last = to_wide(high[0]);
    if (before && last && *before < *last) {
      return fmt::format("{} BETWEEN {} AND {}", mysqld::quote_identifier(table.columns[table.identity[0]].name),
                         wide_text(*before + 1), wide_text(*last));
    }
  }
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
