#include "tablet/shared_reads.h"

#include <algorithm>
#include <array>

#include "sql/walk.h"

namespace vitrail::tablet {
namespace {

constexpr size_t kSeenMax = 1000;

// Sorted. Functions whose value follows from their arguments. What is not here may be of a moment (NOW), of a session
// (LAST_INSERT_ID, GET_LOCK), of chance (RAND, UUID), or of a user's own making.
constexpr auto kPlain = std::to_array<std::string_view>({
    "abs",
    "any_value",
    "ascii",
    "avg",
    "bin",
    "bit_and",
    "bit_count",
    "bit_length",
    "bit_or",
    "bit_xor",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
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
    "exp",
    "field",
    "find_in_set",
    "floor",
    "format",
    "greatest",
    "group_concat",
    "hex",
    "hour",
    "if",
    "ifnull",
    "instr",
    "isnull",
    "json_array",
    "json_arrayagg",
    "json_contains",
    "json_extract",
    "json_length",
    "json_object",
    "json_objectagg",
    "json_unquote",
    "last_day",
    "lcase",
    "least",
    "left",
    "length",
    "ln",
    "locate",
    "log",
    "log10",
    "log2",
    "lower",
    "lpad",
    "ltrim",
    "max",
    "md5",
    "mid",
    "min",
    "minute",
    "mod",
    "month",
    "monthname",
    "nullif",
    "octet_length",
    "pow",
    "power",
    "quarter",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "second",
    "sha1",
    "sha2",
    "sign",
    "sqrt",
    "std",
    "stddev",
    "strcmp",
    "substr",
    "substring",
    "substring_index",
    "sum",
    "time",
    "timestampdiff",
    "trim",
    "truncate",
    "ucase",
    "unhex",
    "upper",
    "var_pop",
    "variance",
    "week",
    "weekday",
    "year",
});

class Judge : public sql::Walker {
 public:
  bool shareable = true;

 protected:
  bool enter(const sql::Query& query) override {
    if (!query.locks.empty() || query.into != nullptr) shareable = false;
    if (const auto* select = sql::as<sql::Select>(&query); select != nullptr) {
      if (select->next_values != nullptr || select->calc_found_rows) shareable = false;
    }
    return shareable;
  }
  bool enter(const sql::TableRef& table) override {
    // Another schema may be one of the server's own, about itself and its sessions.
    if (const auto* source = sql::as<sql::TableSource>(&table); source != nullptr && !source->name.qualifier.empty()) {
      shareable = false;
    }
    return shareable;
  }
  bool enter(const sql::Expr& expr) override {
    switch (expr.kind) {
      case sql::ExprKind::kUserVariable:
      case sql::ExprKind::kSystemVariable:
      case sql::ExprKind::kBindVariable:
      case sql::ExprKind::kParameter:
      case sql::ExprKind::kNextValue: shareable = false; break;
      case sql::ExprKind::kFunctionCall: {
        const auto& call = static_cast<const sql::FunctionCall&>(expr);
        std::string name(call.name.text);
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
        const bool plain =
            call.syntax != sql::FunctionSyntax::kNoParens && call.schema.text.empty() &&
            (call.syntax != sql::FunctionSyntax::kCall || std::ranges::find(kPlain, name) != kPlain.end());
        if (!plain) shareable = false;
        break;
      }
      default: break;
    }
    return shareable;
  }
};

}  // namespace

bool is_shareable(const sql::Statement& statement) {
  if (sql::statement_as<sql::QueryStatement>(&statement) == nullptr) return false;
  Judge judge;
  judge.walk(statement);
  return judge.shareable;
}

std::shared_ptr<SharedRead> SharedReads::join(const std::string& key) {
  const auto found = reads_.find(key);
  if (found == reads_.end()) return nullptr;
  if (settings_.waiters_max > 0 && found->second->followers >= settings_.waiters_max) return nullptr;
  ++found->second->followers;
  return found->second;
}

SharedReads::Lead SharedReads::lead(std::string key) {
  const auto [place, made] = reads_.try_emplace(key, nullptr);
  if (!made) return {};
  place->second = std::make_shared<SharedRead>();
  return {this, std::move(key), place->second};
}

void SharedReads::note(const std::string& query) {
  shared_.add();
  const std::scoped_lock lock(mutex_);
  if (seen_.size() >= kSeenMax && !seen_.contains(query)) {
    seen_.erase(std::ranges::min_element(seen_, {}, &std::pair<const std::string, uint64_t>::second));
  }
  ++seen_[query];
}

std::vector<std::pair<std::string, uint64_t>> SharedReads::seen() const {
  const std::scoped_lock lock(mutex_);
  return {seen_.begin(), seen_.end()};
}

}  // namespace vitrail::tablet
