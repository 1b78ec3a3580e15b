#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mysql/protocol.h"

// The value model: what a column is, and a value as MySQL's text protocol prints it.
namespace vitrail::mysql {

// Describes a result column (or a parameter). Strings are as the server sent them, in the connection's character set.
struct ColumnDef {
  std::string schema;
  std::string table;      // Alias.
  std::string org_table;  // Real name; empty for an expression.
  std::string name;       // Alias.
  std::string org_name;
  uint16_t collation = 33;  // 63 (binary) for numbers, dates and binary strings.
  uint32_t length = 0;      // Display length in bytes.
  FieldType type = FieldType::kVarString;
  uint16_t flags = 0;  // kField...
  uint8_t decimals = 0;
  std::string extended_info;  // MariaDB's extended metadata, raw; empty otherwise.

  bool is_unsigned() const { return (flags & kFieldUnsigned) != 0; }
  bool operator==(const ColumnDef&) const = default;
};

// One cell in text form, or NULL. A view: lives as long as the row it was decoded from.
using Cell = std::optional<std::string_view>;

// An owned value: NULL, or its text form (what a text result set would hold) with the type that gives it meaning.
// Binary strings and BIT hold their raw bytes.
struct Value {
  FieldType type = FieldType::kNull;
  bool is_unsigned = false;
  bool is_binary = false;  // Strings only: bytes without character set.
  std::string bytes;

  static Value null() { return {}; }
  static Value of_int(int64_t value) { return {FieldType::kLongLong, false, false, std::to_string(value)}; }
  static Value of_uint(uint64_t value) { return {FieldType::kLongLong, true, false, std::to_string(value)}; }
  static Value of_text(std::string value) { return {FieldType::kVarString, false, false, std::move(value)}; }
  static Value of_binary(std::string value) { return {FieldType::kVarString, false, true, std::move(value)}; }

  bool is_null() const { return type == FieldType::kNull; }
  Cell cell() const { return is_null() ? Cell() : Cell(bytes); }
  bool operator==(const Value&) const = default;
};

// A value of `column` with the given cell.
Value make_value(const ColumnDef& column, Cell cell);

// Groups of types. Wire types only.
bool is_integer_type(FieldType type);  // TINY SHORT INT24 LONG LONGLONG YEAR
bool is_float_type(FieldType type);    // FLOAT DOUBLE
bool is_decimal_type(FieldType type);
bool is_temporal_type(FieldType type);  // DATE TIME DATETIME TIMESTAMP
bool is_string_type(FieldType type);    // Everything sent as a length-encoded string, DECIMAL and BIT excepted.

}  // namespace vitrail::mysql
