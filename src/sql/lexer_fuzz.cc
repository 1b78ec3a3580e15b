// Any bytes: the lexer ends, its tokens are in order and inside the text, and the fingerprint agrees with them.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/check.h"
#include "sql/fingerprint.h"
#include "sql/lexer.h"
#include "sql/literal.h"
#include "sql/parser.h"

namespace vitrail::sql {
namespace {

void check_text(std::string_view text, const LexOptions& options) {
  std::vector<Token> tokens;
  Lexer lexer(text, options);
  uint32_t end = 0;
  bool error = false;
  while (true) {
    const Token token = lexer.next();
    CHECK(token.offset >= end || token.type == TokenType::kError);
    CHECK(token.end() <= text.size());
    if (token.type == TokenType::kEnd) break;
    CHECK(token.length > 0 || token.type == TokenType::kError);
    end = token.end();
    if (token.type == TokenType::kError) {
      error = true;
      break;
    }
    tokens.push_back(token);
  }

  std::vector<LiteralPosition> storage(32);
  const FingerprintResult result = fingerprint(text, storage, options);
  // Literals of the first statement, by the tokens.
  std::vector<Token> literals;
  bool started = false;
  bool more = false;
  bool ended = false;
  for (const Token& token : tokens) {
    if (token.type == TokenType::kSemicolon) {
      ended |= started;
      continue;
    }
    if (ended) {
      more = true;
      break;
    }
    started = true;
    if (is_literal(token.type)) literals.push_back(token);
  }
  CHECK(result.has_more == more);
  CHECK(result.malformed == (error && !more));
  CHECK(result.literal_count == literals.size());
  for (size_t i = 0; i < result.literals.size(); ++i) {
    CHECK(result.literals[i].offset == literals[i].offset);
    CHECK(result.literals[i].length == literals[i].length);
    CHECK(literals[i].index == i);
    std::string bytes;
    append_bytes(literals[i].type, literals[i].text(text), options.no_backslash_escapes, bytes);
  }
  CHECK(fingerprint(text, {}, options).fingerprint == result.fingerprint);

  // Another integer in the place of each integer changes nothing.
  if (!error && !more && !literals.empty()) {
    std::string varied;
    uint32_t from = 0;
    for (const Token& literal : literals) {
      if (literal.type != TokenType::kInteger) continue;
      varied += text.substr(from, literal.offset - from);
      varied += std::string(literal.length, '7');  // As long, or it might become the version of a comment.
      from = literal.end();
    }
    varied += text.substr(from);
    CHECK(fingerprint(varied, {}, options).fingerprint == result.fingerprint);
  }

  const auto pieces = split_statements(text, options);
  CHECK(pieces.ok() == !error);
}

}  // namespace
}  // namespace vitrail::sql

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail::sql;
  if (size == 0 || size > 4096) return 0;
  LexOptions options;
  options.ansi_quotes = (data[0] & 1) != 0;
  options.no_backslash_escapes = (data[0] & 2) != 0;
  options.mariadb = (data[0] & 4) == 0;
  // A buffer of its own, so that a sanitizer sees a read behind the end.
  const std::vector<char> text(data + 1, data + size);
  check_text({text.data(), text.size()}, options);
  return 0;
}
