#include "sql/fingerprint.h"

#include <algorithm>
#include <cstring>

#include "base/random.h"

namespace vitrail::sql {
namespace {

struct Keys {
  uint64_t start_a, start_b, multiplier_a, multiplier_b;
};

Keys draw_keys() {
  base::Random& random = base::system_random();
  // Odd multipliers with bits in both halves: a product never loses a half of the state.
  const auto multiplier = [&] { return random.next_u64() | 0x0000000100000001u; };
  return {random.next_u64(), random.next_u64(), multiplier(), multiplier()};
}

const Keys& keys() {
  static const Keys drawn = draw_keys();
  return drawn;
}

inline uint64_t multiply_fold(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Two independent keyed lanes over a prefix-free sequence of 64-bit words.
class Hasher {
 public:
  explicit Hasher(const Keys& keys) : keys_(keys), a_(keys.start_a), b_(keys.start_b) {}

  void word(uint64_t value) {
    a_ = multiply_fold(a_ ^ value, keys_.multiplier_a) + 0x9e3779b97f4a7c15u;
    b_ = multiply_fold(b_ ^ ((value << 32) | (value >> 32)), keys_.multiplier_b) + 0xd1b54a32d192ed03u;
  }

  // The length is hashed by the caller, so zero padding is unambiguous.
  void bytes(const char* data, size_t size) {
    for (; size > 8; data += 8, size -= 8) {
      uint64_t value;
      std::memcpy(&value, data, 8);
      word(value);
    }
    uint64_t value = 0;
    if (size >= 4) {  // Two reads that may overlap.
      uint32_t first;
      uint32_t last;
      std::memcpy(&first, data, 4);
      std::memcpy(&last, data + size - 4, 4);
      value = first | static_cast<uint64_t>(last) << 32;
    } else {
      for (size_t i = 0; i < size; ++i) value |= static_cast<uint64_t>(static_cast<uint8_t>(data[i])) << (8 * i);
    }
    word(value);
  }

  Fingerprint finish() const {
    return {multiply_fold(a_ ^ keys_.start_b, keys_.multiplier_b),
            multiply_fold(b_ ^ keys_.start_a, keys_.multiplier_a)};
  }

 private:
  const Keys& keys_;
  uint64_t a_, b_;
};

// Whether a string behind `previous` may be an alias (SELECT a 'x', SELECT a AS 'x'): the name of a result column,
// which a plan keeps. Strings that are values follow an operator, a bracket, a comma or one of a few words.
bool may_be_alias(const Token& previous, std::string_view text) {
  switch (previous.type) {
    case TokenType::kQuotedIdentifier:
    case TokenType::kUserVariable:
    case TokenType::kRightParen:
    case TokenType::kParameter:
    case TokenType::kBindVariable:
    case TokenType::kInteger:
    case TokenType::kDecimal:
    case TokenType::kFloat:
    case TokenType::kHex:
    case TokenType::kBit: return true;
    case TokenType::kWord: break;
    default: return false;
  }
  const Keyword word = find_keyword(previous.text(text));
  switch (word) {
    case Keyword::kAs:
    case Keyword::kNull:
    case Keyword::kTrue:
    case Keyword::kFalse: return true;
    case Keyword::kDate:
    case Keyword::kTime:
    case Keyword::kTimestamp:
    case Keyword::kEscape: return false;
    default: return word_class(word) != WordClass::kReserved;
  }
}

bool is_session_function(std::string_view word) {
  std::string_view name;
  switch (word.size()) {
    case 6: name = "schema"; break;
    case 8: name = "database"; break;
    case 9: name = "row_count"; break;
    case 10: name = "found_rows"; break;
    case 13: name = "connection_id"; break;
    case 14: name = "last_insert_id"; break;
    default: return false;
  }
  return std::equal(word.begin(), word.end(), name.begin(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

// Finds the statement kind while the tokens pass by.
class KindFinder {
 public:
  void see(const Token& token, std::string_view text) {
    if (done_) return;
    if (token.type == TokenType::kHint || token.type == TokenType::kDirective) return;
    any_ = true;
    if (with_) {
      see_after_with(token, text);
      return;
    }
    if (token.type == TokenType::kLeftParen && count_ == 0) return;
    words_[count_++] = token.type == TokenType::kWord ? find_keyword(token.text(text)) : Keyword::kNone;
    if (count_ == 1 && words_[0] == Keyword::kWith) {
      with_ = true;
      return;
    }
    if (count_ == 3) done_ = true;
  }

  StatementKind kind() const {
    if (!any_) return StatementKind::kEmpty;
    return with_ ? with_kind_ : classify(words_[0], words_[1], words_[2]);
  }

 private:
  void see_after_with(const Token& token, std::string_view text) {
    if (token.type == TokenType::kLeftParen) ++depth_;
    if (token.type == TokenType::kRightParen) --depth_;
    if (token.type != TokenType::kWord || depth_ != 0) {
      // WITH .. AS (..) (SELECT ..): the body of the last expression is closed, and a parenthesis follows it.
      if (token.type == TokenType::kLeftParen && depth_ == 1 && closed_) {
        with_kind_ = StatementKind::kSelect;
        done_ = true;
      }
      closed_ = token.type == TokenType::kRightParen && depth_ == 0 && after_as_;
      if (closed_) after_as_ = false;
      return;
    }
    closed_ = false;
    const Keyword word = find_keyword(token.text(text));
    if (word == Keyword::kAs) after_as_ = true;
    switch (word) {
      case Keyword::kSelect:
      case Keyword::kValues:
      case Keyword::kTable:
      case Keyword::kInsert:
      case Keyword::kReplace:
      case Keyword::kUpdate:
      case Keyword::kDelete:
        with_kind_ = classify(word, Keyword::kNone, Keyword::kNone);
        done_ = true;
        break;
      default: break;
    }
  }

  Keyword words_[3] = {Keyword::kNone, Keyword::kNone, Keyword::kNone};
  uint32_t count_ = 0;
  int64_t depth_ = 0;
  bool any_ = false;
  bool with_ = false;
  bool after_as_ = false;
  bool closed_ = false;
  bool done_ = false;
  StatementKind with_kind_ = StatementKind::kUnknown;
};

}  // namespace

FingerprintResult fingerprint(std::string_view text, std::span<LiteralPosition> storage, const LexOptions& options) {
  FingerprintResult result;
  Hasher hasher(keys());
  KindFinder kind;
  Lexer lexer(text, options);
  bool any_token = false;
  bool ended = false;  // A ';' was seen.
  Token previous;
  while (true) {
    const Token token = lexer.next_raw();
    if (token.type == TokenType::kEnd) break;
    if (token.type == TokenType::kError) {
      result.malformed = true;
      hasher.word(static_cast<uint64_t>(token.type));
      break;
    }
    if (token.type == TokenType::kSemicolon) {
      if (any_token) ended = true;  // Leading semicolons are nothing.
      continue;
    }
    if (ended) {
      result.has_more = true;
      break;
    }
    if (!any_token) {
      any_token = true;
      result.first_offset = token.offset;
    }
    result.end_offset = token.end();
    result.has_executable_comment |= token.in_executable_comment;
    const uint64_t head = static_cast<uint64_t>(token.type) | (token.in_executable_comment ? 0x80u : 0u);
    kind.see(token, text);
    switch (token.type) {
      case TokenType::kInteger:
      case TokenType::kDecimal:
      case TokenType::kFloat:
      case TokenType::kHex:
      case TokenType::kBit:
      case TokenType::kString:
      case TokenType::kNationalString:
        if (result.literal_count < storage.size()) {
          storage[result.literal_count] = {token.offset, token.length, token.type};
        }
        ++result.literal_count;
        hasher.word(head);
        if (token.type == TokenType::kString && may_be_alias(previous, text)) {
          hasher.word(token.length);
          hasher.bytes(text.data() + token.offset, token.length);
        }
        previous = token;
        continue;
      case TokenType::kParameter:
        ++result.parameter_count;
        hasher.word(head);
        previous = token;
        continue;
      case TokenType::kHint: result.has_hint = true; break;
      case TokenType::kDirective: result.has_directive = true; break;
      case TokenType::kUserVariable: result.has_user_variable = true; break;
      case TokenType::kBindVariable:
      case TokenType::kBindList: result.has_bind_variable = true; break;
      case TokenType::kWord:
        result.has_session_function = result.has_session_function || is_session_function(token.text(text));
        break;
      case TokenType::kQuotedIdentifier:
      case TokenType::kIntroducer: break;
      case TokenType::kAtAt: result.has_system_variable = true; [[fallthrough]];
      default:
        hasher.word(head);
        previous = token;
        continue;
    }
    if (token.type != TokenType::kHint && token.type != TokenType::kDirective) previous = token;
    hasher.word(head | static_cast<uint64_t>(token.length) << 8);
    hasher.bytes(text.data() + token.offset, token.length);
  }
  result.has_skipped_comment = lexer.skipped_executable_comment();
  result.fingerprint = hasher.finish();
  result.kind = kind.kind();
  result.literals = storage.first(std::min<size_t>(storage.size(), result.literal_count));
  return result;
}

}  // namespace vitrail::sql
