#include "mysqld/rows.h"

#include <charconv>

#include "base/text.h"

namespace vitrail::mysqld {
namespace {

template <typename T>
std::optional<T> parse_number(std::optional<std::string_view> text) {
  if (!text || text->empty()) return std::nullopt;
  T value{};
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<size_t> Rows::find_column(std::string_view name) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (base::equals_ignoring_case(columns[i], name)) return i;
  }
  return std::nullopt;
}

std::optional<std::string_view> Rows::get(size_t row, size_t column) const {
  if (row >= rows.size() || column >= rows[row].size() || !rows[row][column]) return std::nullopt;
  return std::string_view(*rows[row][column]);
}

std::optional<std::string_view> Rows::get(size_t row, std::string_view column) const {
  auto index = find_column(column);
  return index ? get(row, *index) : std::nullopt;
}

std::optional<long long> to_int(std::optional<std::string_view> text) { return parse_number<long long>(text); }

std::optional<unsigned long long> to_uint(std::optional<std::string_view> text) {
  return parse_number<unsigned long long>(text);
}

bool to_bool(std::optional<std::string_view> text) {
  return text && (*text == "1" || base::equals_ignoring_case(*text, "on") || base::equals_ignoring_case(*text, "yes") ||
                  base::equals_ignoring_case(*text, "true"));
}

std::string quote_identifier(std::string_view name) {
  std::string out = "`";
  for (char c : name) {
    if (c == '\0') continue;
    if (c == '`') out += '`';
    out += c;
  }
  return out += '`';
}

std::string quote_string(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\0') {
      out += "\\0";
      continue;
    }
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out += '\'';
}

}  // namespace vitrail::mysqld
