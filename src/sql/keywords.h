#pragma once

#include <cstdint>
#include <string_view>

namespace vitrail::sql {

// How a word may be used without quotes.
//   kFree     : an identifier anywhere.
//   kQuoted   : reserved by one of MySQL 8.4 and MariaDB 10.11 only, or a keyword in few places. The parser accepts it
//               as an identifier; the printer quotes it, so that what is printed is understood by either server.
//   kReserved : never an unquoted identifier (except directly after a dot).
enum class WordClass : uint8_t { kFree, kQuoted, kReserved };

// kNone is any word that is not listed.
enum class Keyword : uint16_t {
  kNone = 0,
#define X(enumerator, spelling, word_class) enumerator,
#include "sql/keywords.inc"
#undef X
};

// The keyword that `word` spells (case-insensitive, ASCII), or kNone. Never allocates.
Keyword find_keyword(std::string_view word);

// Lower-case spelling; "" for kNone.
std::string_view keyword_text(Keyword keyword);

WordClass word_class(Keyword keyword);

// True when `word` must be quoted to be an identifier in printed text: it is a kQuoted or kReserved keyword, is empty,
// starts with a digit, or contains a byte other than [A-Za-z0-9_$] and bytes >= 0x80.
bool needs_quotes(std::string_view word);

// True for a character set name that may stand in an introducer (_utf8mb4'...'), without the underscore.
bool is_charset_name(std::string_view name);

}  // namespace vitrail::sql
