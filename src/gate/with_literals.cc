#include "gate/with_literals.h"

#include <cctype>

#include "mysql/convert.h"
#include "sql/lexer.h"

namespace vitrail::gate {

std::string with_literals(std::string_view text, std::span<const mysql::Value> values) {
  std::string out;
  size_t done = 0;
  size_t index = 0;
  sql::Lexer lexer(text);
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next()) {
    if (token.type != sql::TokenType::kParameter) continue;
    if (index >= values.size()) break;
    out += text.substr(done, token.offset - done);
    mysql::append_sql_literal(out, values[index++]);
    done = token.end();
  }
  out += text.substr(done);
  return out;
}

bool matches_like(std::string_view text, std::string_view pattern) {
  // Goes back to the last '%' only: the time is that of the product of both lengths at most.
  size_t at = 0, wanted = 0;
  size_t star = std::string_view::npos, star_at = 0;
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  while (at < text.size()) {
    if (wanted < pattern.size() && pattern[wanted] == '%') {
      star = ++wanted;
      star_at = at;
      continue;
    }
    if (wanted < pattern.size()) {
      const bool escaped = pattern[wanted] == '\\' && wanted + 1 < pattern.size();
      const size_t place = wanted + (escaped ? 1 : 0);
      if ((!escaped && pattern[place] == '_') || lower(pattern[place]) == lower(text[at])) {
        wanted = place + 1;
        ++at;
        continue;
      }
    }
    if (star == std::string_view::npos) return false;
    wanted = star;
    at = ++star_at;
  }
  while (wanted < pattern.size() && pattern[wanted] == '%') ++wanted;
  return wanted == pattern.size();
}

}  // namespace vitrail::gate
