#include "sql/keywords.h"

#include <array>
#include <cstddef>
#include <cstring>

namespace vitrail::sql {
namespace {

struct Word {
  std::string_view spelling;
  WordClass word_class;
};

constexpr auto kReserved = WordClass::kReserved;
constexpr auto kQuoted = WordClass::kQuoted;
constexpr auto kFree = WordClass::kFree;

constexpr Word kWords[] = {
    {"", WordClass::kFree},
#define X(enumerator, spelling, word_class) {spelling, word_class},
#include "sql/keywords.inc"
#undef X
};

constexpr size_t kSlots = 4096;  // About six times the number of words: most probes end at the first slot.
constexpr size_t kLongest = 32;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

constexpr size_t slot_of(std::string_view word) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : word) hash = (hash ^ static_cast<uint8_t>(lower(c))) * 0x100000001b3u;
  return (hash ^ (hash >> 29)) % kSlots;
}

constexpr std::array<uint16_t, kSlots> make_table() {
  std::array<uint16_t, kSlots> table{};
  for (size_t i = 1; i < std::size(kWords); ++i) {
    size_t slot = slot_of(kWords[i].spelling);
    while (table[slot] != 0) slot = (slot + 1) % kSlots;
    table[slot] = static_cast<uint16_t>(i);
  }
  return table;
}

constexpr std::array<uint16_t, kSlots> kTable = make_table();

bool equal_ignoring_case(std::string_view a, std::string_view lower_b) {
  if (a.size() != lower_b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower_b[i]) return false;
  }
  return true;
}

}  // namespace

Keyword find_keyword(std::string_view word) {
  if (word.size() < 2 || word.size() > kLongest) return Keyword::kNone;
  for (size_t slot = slot_of(word); kTable[slot] != 0; slot = (slot + 1) % kSlots) {
    if (equal_ignoring_case(word, kWords[kTable[slot]].spelling)) return static_cast<Keyword>(kTable[slot]);
  }
  return Keyword::kNone;
}

std::string_view keyword_text(Keyword keyword) { return kWords[static_cast<size_t>(keyword)].spelling; }

WordClass word_class(Keyword keyword) { return kWords[static_cast<size_t>(keyword)].word_class; }

bool needs_quotes(std::string_view word) {
  if (word.empty() || (word[0] >= '0' && word[0] <= '9')) return true;
  for (char c : word) {
    const auto byte = static_cast<uint8_t>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '$' || byte >= 0x80;
    if (!plain) return true;
  }
  if (word[0] == '_' && is_charset_name(word.substr(1))) return true;  // Would be read as an introducer.
  return word_class(find_keyword(word)) != WordClass::kFree;
}

bool is_charset_name(std::string_view name) {
  static constexpr std::string_view kCharsets[] = {
      "armscii8", "ascii", "big5",    "binary", "cp1250",  "cp1251", "cp1256", "cp1257",  "cp850",    "cp852",  "cp866",
      "cp932",    "dec8",  "eucjpms", "euckr",  "gb18030", "gb2312", "gbk",    "geostd8", "greek",    "hebrew", "hp8",
      "keybcs2",  "koi8r", "koi8u",   "latin1", "latin2",  "latin5", "latin7", "macce",   "macroman", "sjis",   "swe7",
      "tis620",   "ucs2",  "ujis",    "utf16",  "utf16le", "utf32",  "utf8",   "utf8mb3", "utf8mb4",
  };
  for (std::string_view charset : kCharsets) {
    if (equal_ignoring_case(name, charset)) return true;
  }
  return false;
}

}  // namespace vitrail::sql
