#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sql/ast.h"
#include "sql/lexer.h"

// Values of literal tokens, as a router needs them. Inputs are tokens as written (with quotes and prefixes).
namespace vitrail::sql {

// The bytes of a string, national string, hex or bit literal, appended to `out`. False when `type` is none of these or
// the token is not well formed. Escapes as in the MySQL manual, "String Literals" (\% and \_ stay two bytes).
bool append_bytes(TokenType type, std::string_view token, bool no_backslash_escapes, std::string& out);

// An integer literal (digits only, kInteger). nullopt when it does not fit 64 unsigned bits.
std::optional<uint64_t> integer_value(std::string_view token);

// The bytes of a string-like literal with all its parts ('a' 'b'); nullopt for other kinds.
std::optional<std::string> string_value(const Literal& literal, bool no_backslash_escapes = false);

// `bytes` as a string literal with quotes that reads back as the same bytes under either setting of ANSI_QUOTES and
// with backslash escapes as told.
std::string quote_string(std::string_view bytes, bool no_backslash_escapes = false);

}  // namespace vitrail::sql
