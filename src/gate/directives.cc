#include "gate/directives.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "base/text.h"
#include "sql/lexer.h"

namespace vitrail::gate {
namespace {

constexpr std::string_view kOpen = "/*vt+";
constexpr std::string_view kClose = "*/";
constexpr std::string_view kBlanks = " \t\r\n\f\v";

Result<bool> boolean(std::string_view name, std::string_view value) {
  const std::string word = base::to_lower(value);
  if (word.empty() || word == "1" || word == "t" || word == "true") return true;
  if (word == "0" || word == "f" || word == "false") return false;
  return fail(Code::kInvalidArgument, fmt::format("directive {}: '{}' is neither true nor false", name, value));
}

std::optional<int64_t> whole(std::string_view value) {
  int64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

Status take(std::string_view name, std::string_view value, Directives& out) {
  const auto number = whole(value);
  if (name == "QUERY_TIMEOUT_MS") {
    if (!number || *number < 0) {
      return fail(Code::kInvalidArgument, fmt::format("directive {}: '{}' is no number of milliseconds", name, value));
    }
    out.query_timeout = std::chrono::milliseconds(*number);
    return {};
  }
  if (name == "PRIORITY") {  // Nothing here queues by it.
    constexpr int64_t kLowest = 100;
    if (number && *number >= 0 && *number <= kLowest) return {};
    return fail(Code::kInvalidArgument,
                fmt::format("Invalid priority value specified in query: '{}' is not between 0 and {}", value, kLowest));
  }
  bool* known = name == "MULTI_SHARD_AUTOCOMMIT"       ? &out.multi_shard_autocommit
                : name == "SCATTER_ERRORS_AS_WARNINGS" ? &out.scatter_errors_as_warnings
                : name == "IGNORE_MAX_MEMORY_ROWS"     ? &out.ignore_max_memory_rows
                : name == "ALLOW_SCATTER"              ? &out.allow_scatter
                : name == "SKIP_QUERY_PLAN_CACHE"      ? &out.skip_plan_cache
                                                       : nullptr;
  if (known == nullptr) return {};
  ASSIGN_OR_RETURN(*known, boolean(name, value));
  return {};
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

}  // namespace

Result<Directives> directives_of(std::string_view statement) {
  Directives out;
  sql::Lexer lexer(statement);
  for (auto token = lexer.next_raw(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next_raw()) {
    if (token.type != sql::TokenType::kDirective) continue;
    std::string_view inside = token.text(statement);
    inside.remove_prefix(kOpen.size());
    if (inside.ends_with(kClose)) inside.remove_suffix(kClose.size());
    for (size_t at = inside.find_first_not_of(kBlanks); at != std::string_view::npos;) {
      const size_t end = std::min(inside.find_first_of(kBlanks, at), inside.size());
      const std::string_view word = inside.substr(at, end - at);
      const size_t equals = std::min(word.find('='), word.size());
      const std::string_view value = equals == word.size() ? "" : word.substr(equals + 1);
      RETURN_IF_ERROR(take(upper(word.substr(0, equals)), value, out));
      at = inside.find_first_not_of(kBlanks, end);
    }
  }
  return out;
}

}  // namespace vitrail::gate
