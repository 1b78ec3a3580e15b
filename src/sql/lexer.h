#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "sql/keywords.h"

// Splits MySQL / MariaDB statement text into tokens. Zero-copy, no allocation, no failure other than a kError token;
// any bytes are accepted and nothing outside the text is read. Lexical rules: MySQL 8.4 manual, chapter "Language
// Structure", and MariaDB's on executable comments; plus Vitess' bind variables (:name, ::list) and directives
// (/*vt+ ... */). The text is taken for UTF-8 or another character set in which no byte of a multi-byte character is
// an ASCII character (not gbk, sjis, big5).
namespace vitrail::sql {

// What changes the lexical rules. Must equal the settings of the session that will run the text: a statement that is
// read in another way than the server reads it is a way around routing and access checks.
struct LexOptions {
  bool ansi_quotes = false;           // sql_mode ANSI_QUOTES: "x" is an identifier.
  bool no_backslash_escapes = false;  // sql_mode NO_BACKSLASH_ESCAPES.
  // The server that will run the text decides which executable comments are statement text and which are blank.
  // major * 10000 + minor * 100 + patch.
  uint32_t server_version = 101100;
  bool mariadb = true;
};

enum class TokenType : uint8_t {
  kEnd,               // After the last token, for ever. Offset = size of the text, length 0.
  kError,             // An unfinished string, comment or quoted identifier, or a byte that starts no token.
  kWord,              // Unquoted identifier or keyword: Token::keyword tells.
  kQuotedIdentifier,  // `x`, or "x" under ANSI_QUOTES; the token includes the quotes.
  kIntroducer,        // _utf8mb4 and the like (a known character set).
  kUserVariable,      // @name, @'name', @"name", @`name`, including the @. A lone @ has length 1.
  kAtAt,              // @@ ; the parts of a system variable's name follow as words and dots.
  kInteger,           // 123
  kDecimal,           // 1.5  .5  1.
  kFloat,             // 1e5  1.5e-3
  kHex,               // 0x1F  x'1F'
  kBit,               // 0b101  b'101'
  kString,            // 'x'  "x"
  kNationalString,    // n'x'
  kParameter,         // ?
  kBindVariable,      // :name
  kBindList,          // ::name
  kHint,              // /*+ ... */
  kDirective,         // /*vt+ ... */
  kComma,
  kDot,
  kSemicolon,
  kLeftParen,
  kRightParen,
  kLeftBrace,
  kRightBrace,
  kColon,
  kStar,
  kPlus,
  kMinus,
  kSlash,
  kPercent,
  kAmpersand,
  kPipe,
  kCaret,
  kTilde,
  kBang,
  kAnd,  // &&
  kOr,   // ||
  kEqual,
  kNullSafeEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kShiftLeft,
  kShiftRight,
  kAssign,     // :=
  kArrow,      // ->
  kLongArrow,  // ->>
};

// Literals are the tokens whose values a fingerprint ignores.
constexpr bool is_literal(TokenType type) { return type >= TokenType::kInteger && type <= TokenType::kNationalString; }

struct Token {
  TokenType type = TokenType::kEnd;
  bool in_executable_comment = false;
  Keyword keyword = Keyword::kNone;  // For kWord; kNone directly after a dot, where every word is a name.
  uint32_t offset = 0;
  uint32_t length = 0;
  uint32_t index = 0;  // For literals: how many literals came before it. For kParameter: how many '?' came before it.

  uint32_t end() const { return offset + length; }
  std::string_view text(std::string_view statement) const { return statement.substr(offset, length); }
};

// A cursor over a text. Copying one is a cheap way to look ahead and to come back.
//   Owns    : nothing. `text` must outlive the lexer.
//   Bounds  : texts of 4 GiB and more are cut to one kError token.
//   Threads : none shared.
class Lexer {
 public:
  explicit Lexer(std::string_view text, const LexOptions& options = {});

  // The next token. Ordinary comments and blanks are skipped; hints and directives are tokens. Inside an executable
  // comment (/*!50000 ... */, /*M! ... */) that the server would run, its tokens are returned as if there were no
  // comment; one that the server would not run is skipped.
  Token next();
  // The same without the keyword look-up (Token::keyword is kNone).
  Token next_raw();

  // Appends to `markers` what opens and closes the executable comments that are run ("/*!50001", "*/") as they are
  // passed: offset and length. `markers` must outlive the lexer.
  void note_markers(std::vector<std::pair<uint32_t, uint32_t>>& markers) { markers_ = &markers; }

  // Whether an executable comment was passed that is blank for this server, and may be statement text for another.
  bool skipped_executable_comment() const { return skipped_comment_; }

  std::string_view text() const { return {begin_, static_cast<size_t>(end_ - begin_)}; }
  uint32_t offset() const { return static_cast<uint32_t>(at_ - begin_); }

 private:
  Token make(TokenType type, const char* start);
  Token literal(TokenType type, const char* start);
  Token error(const char* start);
  bool skip_blank();
  bool skip_comment();
  void note_marker(const char* start);
  Token quoted(char quote, TokenType type, const char* start, bool backslash);
  Token number(const char* start);
  Token word(const char* start);
  Token after_at(const char* start);
  Token after_colon(const char* start);
  Token operator_or_error(const char* start);

  const char* begin_;
  const char* at_;
  const char* end_;
  const char* name_end_ = nullptr;  // End of the last name: a dot that starts here is followed by a name.
  uint32_t literals_ = 0;
  uint32_t parameters_ = 0;
  bool after_dot_ = false;
  bool executable_comment_ = false;
  bool failed_ = false;
  bool skipped_comment_ = false;
  LexOptions options_;
  std::vector<std::pair<uint32_t, uint32_t>>* markers_ = nullptr;
};

}  // namespace vitrail::sql
