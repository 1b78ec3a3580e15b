#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "mysql/packet.h"
#include "mysql/types.h"

// Conversions between the text form of a value, its binary-protocol form, and SQL literals.
// Source: MySQL 8 internals documentation, "Binary Protocol Resultset / Value".
namespace vitrail::mysql {

// Appends the binary-protocol form of a non-NULL text value. kInvalidArgument when the text is not a value of the type
// (for example "abc" for an INT, or 300 for a TINY).
Status append_binary_value(std::string& out, FieldType type, bool is_unsigned, std::string_view text);

// Reads one non-NULL binary-protocol value and appends its text form as the server would print it.
// `decimals` is the column's number of fraction digits (0..6 print exactly so many for times; 31 or more: as many as
// the value holds; FLOAT and DOUBLE: 31 means shortest form). On malformed input the reader is failed or
// kInvalidArgument given.
Status append_text_of_binary(std::string& out, FieldType type, bool is_unsigned, uint8_t decimals, ByteReader& reader);

// Steps over one non-NULL binary-protocol value and returns its bytes (length prefix included). Fails the reader for an
// unknown type. Used to carry parameters without decoding them.
std::string_view skip_binary_value(FieldType type, ByteReader& reader);

struct LiteralOptions {
  // sql_mode NO_BACKSLASH_ESCAPES on the connection that will parse the literal (status flag
  // kStatusNoBackslashEscapes).
  bool no_backslash_escapes = false;
};

// Appends `value` as an SQL literal that any MySQL or MariaDB connection with a UTF-8 (or single-byte) character set
// parses back to the same value: NULL, bare digits for numbers, '...' for text and dates, _binary X'..' for binary
// strings, b'..' for BIT. A "number" that is not one is quoted as a string, so that no text can break out.
void append_sql_literal(std::string& out, const Value& value, LiteralOptions options = {});
// The pieces: a quoted string, a quoted identifier (`a``b`).
void append_sql_string(std::string& out, std::string_view text, LiteralOptions options = {});
void append_sql_identifier(std::string& out, std::string_view name);

}  // namespace vitrail::mysql
