#include "sql/exact.h"

#include <algorithm>
#include <array>

#include "sql/walk.h"

namespace vitrail::sql {
namespace {

// Sorted. The value is a function of the arguments, of the clock that SET timestamp sets, and of the session's
// settings.
constexpr auto kExactFunctions = std::to_array<std::string_view>({
    "abs",
    "adddate",
    "addtime",
    "ascii",
    "bin",
    "bin_to_uuid",
    "bit_count",
    "ceil",
    "ceiling",
    "char",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "conv",
    "crc32",
    "curdate",
    "current_date",
    "current_time",
    "current_timestamp",
    "curtime",
    "date",
    "date_add",
    "date_format",
    "date_sub",
    "datediff",
    "day",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "elt",
    "extract",
    "field",
    "find_in_set",
    "floor",
    "format",
    "from_base64",
    "from_days",
    "from_unixtime",
    "greatest",
    "hex",
    "hour",
    "if",
    "ifnull",
    "inet6_aton",
    "inet6_ntoa",
    "inet_aton",
    "inet_ntoa",
    "insert",
    "instr",
    "isnull",
    "json_array",
    "json_array_append",
    "json_array_insert",
    "json_contains",
    "json_extract",
    "json_insert",
    "json_length",
    "json_merge_patch",
    "json_merge_preserve",
    "json_object",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_unquote",
    "json_valid",
    "json_value",
    "last_day",
    "lcase",
    "least",
    "left",
    "length",
    "localtime",
    "localtimestamp",
    "locate",
    "lower",
    "lpad",
    "ltrim",
    "makedate",
    "maketime",
    "md5",
    "microsecond",
    "mid",
    "minute",
    "mod",
    "month",
    "now",
    "nullif",
    "oct",
    "octet_length",
    "ord",
    "position",
    "pow",
    "power",
    "quarter",
    "quote",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "second",
    "sha",
    "sha1",
    "sha2",
    "sign",
    "space",
    "sqrt",
    "str_to_date",
    "strcmp",
    "subdate",
    "substr",
    "substring",
    "substring_index",
    "subtime",
    "time",
    "timediff",
    "timestamp",
    "timestampadd",
    "timestampdiff",
    "to_base64",
    "to_days",
    "to_seconds",
    "trim",
    "truncate",
    "ucase",
    "unhex",
    "unix_timestamp",
    "upper",
    "utc_date",
    "utc_time",
    "utc_timestamp",
    "uuid_to_bin",
    "week",
    "weekday",
    "year",
});
static_assert(std::ranges::is_sorted(kExactFunctions));

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

class Judge : public Walker {
 public:
  std::string why;

 protected:
  bool enter(const Query&) override { return blame("a query in it"); }
  bool enter(const TableRef& table) override {
    if (table.kind != TableRefKind::kTable) return blame("several tables");
    return true;
  }
  bool enter(const Expr& expr) override {
    switch (expr.kind) {
      case ExprKind::kUserVariable: return blame("a user variable");
      case ExprKind::kSystemVariable: return blame("a system variable");
      case ExprKind::kNextValue: return blame("a sequence");
      case ExprKind::kSubquery:
      case ExprKind::kExists: return blame("a query in it");
      case ExprKind::kFunctionCall: {
        const auto& call = static_cast<const FunctionCall&>(expr);
        const std::string name = lower(call.name.text);
        if (!call.schema.empty() || !std::ranges::binary_search(kExactFunctions, std::string_view(name))) {
          return blame("the function " + name);
        }
        return true;
      }
      default: return true;
    }
  }

 private:
  bool blame(std::string what) {
    if (why.empty()) why = std::move(what);
    return false;
  }
};

}  // namespace

std::string inexact_part(const Statement& statement) {
  Judge judge;
  if (const auto* insert = statement_as<Insert>(&statement)) {
    if (insert->query != nullptr || insert->with != nullptr) return "a query in it";
  } else if (const auto* update = statement_as<Update>(&statement)) {
    if (update->with != nullptr) return "a query in it";
    if (update->tables.size() != 1) return "several tables";
    if (update->limit != nullptr) return "LIMIT";
  } else if (const auto* remove = statement_as<Delete>(&statement)) {
    if (remove->with != nullptr) return "a query in it";
    if (remove->targets.size() != 0 || remove->from.size() != 1) return "several tables";
    if (remove->limit != nullptr) return "LIMIT";
  } else {
    return "a statement that is no INSERT, REPLACE, UPDATE or DELETE";
  }
  judge.walk(statement);
  return judge.why;
}

namespace {

// Sorted.
constexpr auto kClockFunctions = std::to_array<std::string_view>({
    "curdate",
    "current_date",
    "current_time",
    "current_timestamp",
    "curtime",
    "localtime",
    "localtimestamp",
    "now",
    "sysdate",
    "unix_timestamp",
    "utc_date",
    "utc_time",
    "utc_timestamp",
});
static_assert(std::ranges::is_sorted(kClockFunctions));

class ClockFinder : public Walker {
 public:
  bool found = false;

 protected:
  bool enter(const Expr& expr) override {
    if (expr.kind == ExprKind::kFunctionCall) {
      const std::string name = lower(static_cast<const FunctionCall&>(expr).name.text);
      found = found || std::ranges::binary_search(kClockFunctions, std::string_view(name));
    }
    return !found;
  }
};

}  // namespace

bool uses_clock(const Statement& statement) {
  ClockFinder finder;
  finder.walk(statement);
  return finder.found;
}

bool skips_ids(const Statement& statement) {
  const auto* insert = statement_as<Insert>(&statement);
  return insert != nullptr && insert->rows.size() > 1 && (insert->ignore || insert->on_duplicate.size() != 0);
}

}  // namespace vitrail::sql
