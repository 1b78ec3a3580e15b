#include "sql/lexer.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <limits>

namespace vitrail::sql {
namespace {

enum CharClass : uint8_t { kOther = 0, kBlank = 1, kDigit = 2, kNameChar = 4, kHexDigit = 8 };

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    uint8_t bits = kOther;
    if (c == ' ' || (c >= '\t' && c <= '\r')) bits |= kBlank;
    if (c >= '0' && c <= '9') bits |= kDigit | kNameChar | kHexDigit;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c >= 0x80) bits |= kNameChar;
    if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) bits |= kHexDigit;
    classes[static_cast<size_t>(c)] = bits;
  }
  return classes;
}

constexpr std::array<uint8_t, 256> kClasses = make_classes();

inline bool is(char c, CharClass char_class) { return (kClasses[static_cast<uint8_t>(c)] & char_class) != 0; }

inline const char* skip(const char* at, const char* end, CharClass char_class) {
  while (at != end && is(*at, char_class)) ++at;
  return at;
}

// The byte after the "*/" that closes a comment, or nullptr. `at` is behind the opening "/*". One level of comments
// inside is stepped over when `nested`.
const char* comment_end(const char* at, const char* end, bool nested) {
  while (end - at >= 2) {
    if (at[0] == '*' && at[1] == '/') return at + 2;
    if (nested && at[0] == '/' && at[1] == '*') {
      at = comment_end(at + 2, end, false);
      if (at == nullptr) return nullptr;
      continue;
    }
    ++at;
  }
  return nullptr;
}

const char* line_end(const char* at, const char* end) {
  const void* found = at == end ? nullptr : std::memchr(at, '\n', static_cast<size_t>(end - at));
  return found == nullptr ? end : static_cast<const char*>(found) + 1;
}

}  // namespace

Lexer::Lexer(std::string_view text, const LexOptions& options)
    : begin_(text.data()), at_(text.data()), end_(text.data() + text.size()), options_(options) {
  if (text.size() >= std::numeric_limits<uint32_t>::max()) {
    failed_ = true;
    end_ = begin_;
  }
}

Token Lexer::make(TokenType type, const char* start) {
  Token token;
  token.type = type;
  token.in_executable_comment = executable_comment_;
  token.offset = static_cast<uint32_t>(start - begin_);
  token.length = static_cast<uint32_t>(at_ - start);
  return token;
}

Token Lexer::literal(TokenType type, const char* start) {
  Token token = make(type, start);
  token.index = literals_++;
  return token;
}

Token Lexer::error(const char* start) {
  if (at_ == start && at_ != end_) ++at_;
  return make(TokenType::kError, start);
}

void Lexer::note_marker(const char* start) {
  if (markers_ == nullptr) return;
  markers_->emplace_back(static_cast<uint32_t>(start - begin_), static_cast<uint32_t>(at_ - start));
}

// At "/*". Steps over the comment, or into an executable one; false when it does not end. Hints and directives are left
// for the caller.
bool Lexer::skip_comment() {
  const char* at = at_ + 2;
  const bool mariadb_only = end_ - at >= 2 && at[0] == 'M' && at[1] == '!' && options_.mariadb;
  if ((at != end_ && *at == '!') || mariadb_only) {
    at += mariadb_only ? 2 : 1;
    uint32_t version = 0;
    int digits = 0;
    while (digits < 6 && at + digits != end_ && is(at[digits], kDigit)) {
      version = version * 10 + static_cast<uint32_t>(at[digits] - '0');
      ++digits;
    }
    bool run = true;
    if (digits >= 5) {
      at += digits;
      run = version <= options_.server_version;
      // MariaDB leaves features of MySQL 5.7 and later to MySQL.
      if (options_.mariadb && !mariadb_only && version >= 50700 && version <= 99999) run = false;
    }
    if (run) {
      executable_comment_ = true;
      const char* start = at_;
      at_ = at;
      note_marker(start);
      return true;
    }
    skipped_comment_ = true;
    const char* close = comment_end(at, end_, true);
    at_ = close == nullptr ? end_ : close;
    return close != nullptr;
  }
  const char* close = comment_end(at, end_, false);
  at_ = close == nullptr ? end_ : close;
  return close != nullptr;
}

// Steps over blanks and comments. False when a comment does not end. Stops before a hint or directive.
bool Lexer::skip_blank() {
  while (true) {
    at_ = skip(at_, end_, kBlank);
    if (at_ == end_) return true;
    const ptrdiff_t left = end_ - at_;
    switch (*at_) {
      case '#': at_ = line_end(at_, end_); continue;
      case '-':
        if (left >= 2 && at_[1] == '-' && (left == 2 || static_cast<uint8_t>(at_[2]) <= ' ')) {
          at_ = line_end(at_ + 2, end_);
          continue;
        }
        return true;
      case '*':
        if (executable_comment_ && left >= 2 && at_[1] == '/') {
          executable_comment_ = false;
          at_ += 2;
          note_marker(at_ - 2);
          continue;
        }
        return true;
      case '/':
        if (left < 2 || at_[1] != '*') return true;
        if (left >= 3 && at_[2] == '+') return true;
        if (left >= 5 && at_[2] == 'v' && at_[3] == 't' && at_[4] == '+') return true;
        if (!skip_comment()) return false;
        continue;
      default: return true;
    }
  }
}

Token Lexer::quoted(char quote, TokenType type, const char* start, bool backslash) {
  // at_ is behind the opening quote.
  while (at_ != end_) {
    const char c = *at_++;
    if (c == quote) {
      if (at_ != end_ && *at_ == quote) {
        ++at_;
        continue;
      }
      return is_literal(type) ? literal(type, start) : make(type, start);
    }
    if (c == '\\' && backslash && at_ != end_) ++at_;
  }
  return make(TokenType::kError, start);
}

Token Lexer::number(const char* start) {
  // "0x1F" and "0b01" are numbers only when nothing but such digits follows; otherwise they are names.
  if (*start == '0' && end_ - start >= 3 && (start[1] == 'x' || start[1] == 'b')) {
    const char* digits = start + 2;
    const char* at = digits;
    if (start[1] == 'x') {
      at = skip(at, end_, kHexDigit);
    } else {
      while (at != end_ && (*at == '0' || *at == '1')) ++at;
    }
    if (at != digits && (at == end_ || !is(*at, kNameChar))) {
      at_ = at;
      return literal(start[1] == 'x' ? TokenType::kHex : TokenType::kBit, start);
    }
    return word(start);
  }
  const auto exponent_end = [&](const char* at) -> const char* {  // nullptr when there is no exponent at `at`.
    if (at == end_ || (*at != 'e' && *at != 'E')) return nullptr;
    ++at;
    if (at != end_ && (*at == '+' || *at == '-')) ++at;
    const char* digits = at;
    at = skip(at, end_, kDigit);
    return at == digits ? nullptr : at;
  };
  at_ = skip(start, end_, kDigit);
  bool fraction = false;
  if (at_ != end_ && *at_ == '.') {
    fraction = true;
    at_ = skip(at_ + 1, end_, kDigit);
  }
  if (const char* end = exponent_end(at_); end != nullptr) {
    at_ = end;
    return literal(TokenType::kFloat, start);
  }
  if (fraction) return literal(TokenType::kDecimal, start);
  if (at_ != end_ && is(*at_, kNameChar)) return word(start);
  return literal(TokenType::kInteger, start);
}

Token Lexer::word(const char* start) {
  at_ = skip(start, end_, kNameChar);
  if (at_ != end_ && *at_ == '\'' && at_ - start == 1 && !after_dot_) {
    const char c = *start;
    if (c == 'n' || c == 'N') {
      ++at_;
      return quoted('\'', TokenType::kNationalString, start, !options_.no_backslash_escapes);
    }
    if (c == 'x' || c == 'X' || c == 'b' || c == 'B') {
      const bool hex = c == 'x' || c == 'X';
      const char* digits = ++at_;
      if (hex) {
        at_ = skip(at_, end_, kHexDigit);
      } else {
        while (at_ != end_ && (*at_ == '0' || *at_ == '1')) ++at_;
      }
      const ptrdiff_t count = at_ - digits;
      if (at_ == end_ || *at_ != '\'' || (hex && count % 2 != 0)) return make(TokenType::kError, start);
      ++at_;
      return literal(hex ? TokenType::kHex : TokenType::kBit, start);
    }
  }
  if (*start == '_' && !after_dot_ && at_ - start > 1 &&
      is_charset_name({start + 1, static_cast<size_t>(at_ - start - 1)})) {
    return make(TokenType::kIntroducer, start);
  }
  name_end_ = at_;
  return make(TokenType::kWord, start);
}

Token Lexer::after_at(const char* start) {
  if (at_ == end_) return make(TokenType::kUserVariable, start);
  switch (*at_) {
    case '@': ++at_; return make(TokenType::kAtAt, start);
    case '`': ++at_; return quoted('`', TokenType::kUserVariable, start, false);
    case '\'':
    case '"': {
      const char quote = *at_++;
      return quoted(quote, TokenType::kUserVariable, start, !options_.no_backslash_escapes);
    }
    default:
      while (at_ != end_ && (is(*at_, kNameChar) || *at_ == '.')) ++at_;
      return make(TokenType::kUserVariable, start);
  }
}

Token Lexer::after_colon(const char* start) {
  if (at_ == end_) return make(TokenType::kColon, start);
  if (*at_ == '=') {
    ++at_;
    return make(TokenType::kAssign, start);
  }
  const bool list = *at_ == ':';
  const char* name = list ? at_ + 1 : at_;
  if (name != end_ && is(*name, kNameChar)) {
    at_ = skip(name, end_, kNameChar);
    return make(list ? TokenType::kBindList : TokenType::kBindVariable, start);
  }
  return make(TokenType::kColon, start);
}

Token Lexer::operator_or_error(const char* start) {
  const char c = *start;
  const char second = at_ != end_ ? *at_ : '\0';
  const char third = end_ - at_ >= 2 ? at_[1] : '\0';
  const auto one = [&](TokenType type) { return make(type, start); };
  const auto more = [&](TokenType type, int bytes) {
    at_ += bytes;
    return make(type, start);
  };
  switch (c) {
    case ',': return one(TokenType::kComma);
    case ';': return one(TokenType::kSemicolon);
    case '(': return one(TokenType::kLeftParen);
    case ')': return one(TokenType::kRightParen);
    case '{': return one(TokenType::kLeftBrace);
    case '}': return one(TokenType::kRightBrace);
    case '*': return one(TokenType::kStar);
    case '+': return one(TokenType::kPlus);
    case '/': return one(TokenType::kSlash);
    case '%': return one(TokenType::kPercent);
    case '^': return one(TokenType::kCaret);
    case '~': return one(TokenType::kTilde);
    case '=': return one(TokenType::kEqual);
    case '-':
      if (second == '>') return third == '>' ? more(TokenType::kLongArrow, 2) : more(TokenType::kArrow, 1);
      return one(TokenType::kMinus);
    case '&': return second == '&' ? more(TokenType::kAnd, 1) : one(TokenType::kAmpersand);
    case '|': return second == '|' ? more(TokenType::kOr, 1) : one(TokenType::kPipe);
    case '!': return second == '=' ? more(TokenType::kNotEqual, 1) : one(TokenType::kBang);
    case '<':
      if (second == '=') return third == '>' ? more(TokenType::kNullSafeEqual, 2) : more(TokenType::kLessEqual, 1);
      if (second == '>') return more(TokenType::kNotEqual, 1);
      return second == '<' ? more(TokenType::kShiftLeft, 1) : one(TokenType::kLess);
    case '>':
      if (second == '=') return more(TokenType::kGreaterEqual, 1);
      return second == '>' ? more(TokenType::kShiftRight, 1) : one(TokenType::kGreater);
    case '\\':
      if (second == 'N') {
        Token token = more(TokenType::kWord, 1);
        token.keyword = Keyword::kNull;
        return token;
      }
      return one(TokenType::kError);
    default: return one(TokenType::kError);
  }
}

Token Lexer::next_raw() {
  if (failed_) {
    failed_ = false;
    return make(TokenType::kError, at_);
  }
  if (!after_dot_) {
    const char* before = at_;
    if (!skip_blank()) {
      executable_comment_ = false;
      return make(TokenType::kError, before);
    }
  }
  const char* start = at_;
  if (at_ == end_) {
    if (executable_comment_) {
      executable_comment_ = false;
      return make(TokenType::kError, start);
    }
    return make(TokenType::kEnd, start);
  }
  const char c = *at_;
  if (after_dot_) {
    Token token = word(start);
    after_dot_ = false;
    return token;
  }
  if (is(c, kDigit)) return number(start);
  if (is(c, kNameChar)) return word(start);
  ++at_;
  switch (c) {
    case '\'': return quoted('\'', TokenType::kString, start, !options_.no_backslash_escapes);
    case '"':
      if (options_.ansi_quotes) {
        Token token = quoted('"', TokenType::kQuotedIdentifier, start, false);
        name_end_ = at_;
        return token;
      }
      return quoted('"', TokenType::kString, start, !options_.no_backslash_escapes);
    case '`': {
      Token token = quoted('`', TokenType::kQuotedIdentifier, start, false);
      name_end_ = at_;
      return token;
    }
    case '@': return after_at(start);
    case ':': return after_colon(start);
    case '?': {
      Token token = make(TokenType::kParameter, start);
      token.index = parameters_++;
      return token;
    }
    case '.':
      if (name_end_ == start) {
        after_dot_ = at_ != end_ && is(*at_, kNameChar);
      } else if (at_ != end_ && is(*at_, kDigit)) {
        return number(start);
      }
      return make(TokenType::kDot, start);
    case '/':
      if (at_ != end_ && *at_ == '*') {  // skip_blank() stops only before hints and directives.
        const bool hint = at_[1] == '+';
        const char* close = comment_end(at_ + 1, end_, false);
        at_ = close == nullptr ? end_ : close;
        if (close == nullptr) return make(TokenType::kError, start);
        return make(hint ? TokenType::kHint : TokenType::kDirective, start);
      }
      return make(TokenType::kSlash, start);
    default: return operator_or_error(start);
  }
}

Token Lexer::next() {
  const bool name = after_dot_;
  Token token = next_raw();
  if (token.type == TokenType::kWord && !name && token.keyword == Keyword::kNone) {
    token.keyword = find_keyword({begin_ + token.offset, token.length});
  }
  return token;
}

}  // namespace vitrail::sql
