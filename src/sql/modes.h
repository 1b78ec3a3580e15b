#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

// The modes of sql_mode that change how a text is read. Only a client's text is ever read by them: it is written again
// as it means the same without them, and the servers' sessions do not have them.
namespace vitrail::sql {

struct ReadingModes {
  bool ansi_quotes = false;           // "x" is an identifier.
  bool no_backslash_escapes = false;  // A backslash is a character like any other.
  bool pipes_as_concat = false;       // || is CONCAT().
  bool any() const { return ansi_quotes || no_backslash_escapes || pipes_as_concat; }
  bool operator==(const ReadingModes&) const = default;
};

// A list of modes ("ANSI_QUOTES,STRICT_TRANS_TABLES", in any case), without those and with them apart.
struct SplitModes {
  ReadingModes reading;
  std::string others;  // In lower case. ANSI is here what it means but for those.
  std::string all;     // In upper case and in the servers' order, as @@sql_mode is told.
};
SplitModes split_modes(std::string_view list);

// The text of one or several statements as it is written without these modes. nullopt: as it is.
//   kUnimplemented  || in a statement that is not understood as a tree (CREATE PROCEDURE), under PIPES_AS_CONCAT.
//   of parse()      the text is none of a statement.
Result<std::optional<std::string>> without_modes(std::string_view text, const ReadingModes& modes);

}  // namespace vitrail::sql
