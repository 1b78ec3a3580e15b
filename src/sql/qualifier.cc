#include "sql/qualifier.h"

namespace vitrail::sql {
namespace {

bool names_database(Keyword keyword) {
  return keyword == Keyword::kUse || keyword == Keyword::kDatabase || keyword == Keyword::kSchema ||
         keyword == Keyword::kExists;
}

bool is_name(const Token& token, std::string_view text, std::string_view name) {
  const std::string_view word = token.text(text);
  if (token.type == TokenType::kWord) return word == name;
  return token.type == TokenType::kQuotedIdentifier && word.size() == name.size() + 2 &&
         word.substr(1, name.size()) == name;
}

}  // namespace

std::string rename_database(std::string sql, std::string_view from, std::string_view to, const LexOptions& options) {
  if (sql.find(from) == std::string::npos) return sql;
  std::string quoted = "`";
  for (const char c : to) quoted.append(c == '`' ? 2 : 1, c);
  quoted += '`';
  std::string out;
  size_t copied = 0;
  Lexer lexer(sql, options);
  Token before;
  for (Token token = lexer.next(); token.type != TokenType::kEnd;) {
    if (token.type == TokenType::kError) return sql;
    const Token after = lexer.next();
    const bool qualifies = after.type == TokenType::kDot && before.type != TokenType::kDot;
    if (is_name(token, sql, from) && (qualifies || names_database(before.keyword))) {
      out.append(sql, copied, token.offset - copied).append(quoted);
      copied = token.end();
    }
    before = token;
    token = after;
  }
  return copied == 0 ? sql : out.append(sql, copied);
}

}  // namespace vitrail::sql
