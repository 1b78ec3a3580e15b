#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrail::mysqld {

// One row of a text-protocol result; nullopt is SQL NULL.
using Row = std::vector<std::optional<std::string>>;

// A small, complete result, as the callers' connection delivered it. This folder writes SQL text and reads rows; the
// I/O in between belongs to the caller.
struct Rows {
  std::vector<std::string> columns;
  std::vector<Row> rows;

  // Index of a column by name, without regard to ASCII case; nullopt when there is none.
  std::optional<size_t> find_column(std::string_view name) const;
  // The value at (row, column name); nullopt for NULL, a missing column or a missing row.
  std::optional<std::string_view> get(size_t row, std::string_view column) const;
  std::optional<std::string_view> get(size_t row, size_t column) const;
};

// Decimal number in full; nullopt for anything else, overflow included.
std::optional<long long> to_int(std::optional<std::string_view> text);
std::optional<unsigned long long> to_uint(std::optional<std::string_view> text);
// ON, YES, TRUE, 1 (any case) are true; everything else, NULL included, is false.
bool to_bool(std::optional<std::string_view> text);

// `a``b`: an identifier between backquotes. NUL bytes, which no server accepts in a name, are dropped.
std::string quote_identifier(std::string_view name);
// 'it''s': a string literal for sessions without NO_BACKSLASH_ESCAPES (the default). For positions, host names, users,
// passwords and schema names.
std::string quote_string(std::string_view text);

}  // namespace vitrail::mysqld
