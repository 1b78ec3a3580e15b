#include "gate/user_variable.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/hex.h"
#include "mysql/collations.h"
#include "mysql/convert.h"
#include "sql/printer.h"

namespace vitrail::gate {
namespace {

bool is_ascii(std::string_view bytes) {
  return std::ranges::all_of(bytes, [](unsigned char c) { return c < 0x80; });
}

bool is_text(const mysql::Value& value) {
  return mysql::is_string_type(value.type) && !mysql::is_temporal_type(value.type);
}

}  // namespace

void append_text_variable(std::string& out, const mysql::Value& value, const TextOrigin& origin, VariablePlace place,
                          std::string_view charset) {
  std::string literal;
  const auto* written = mysql::default_collation(origin.written_in);
  const auto* client = mysql::default_collation(charset);
  if (client != nullptr) charset = client->charset;  // "utf8" is a name of another.
  if (value.is_null() || !is_text(value) || value.is_binary) return mysql::append_sql_literal(out, value);
  if (written != nullptr && written->charset != charset && !is_ascii(value.bytes)) {
    literal = fmt::format("_{} X'{}'", written->charset, base::hex_encode(value.bytes));
  } else {
    mysql::append_sql_literal(literal, value);
  }
  const auto* collation = mysql::find_collation(origin.collation);
  const bool named = collation != nullptr && collation->charset == "utf8mb3" && place == VariablePlace::kStatement;
  if (origin.collation.empty() || place == VariablePlace::kRow || named) {
    out += literal;
    return;
  }
  // A literal is in the connection's character set, whatever the client's is.
  if (collation != nullptr) literal = fmt::format("convert({} using {})", literal, collation->charset);
  // Of utf8mb4 servers have different default collations.
  if (collation != nullptr && collation->is_default && collation->charset != "utf8mb4") {
    out += literal;
  } else {
    out += fmt::format("({} collate {})", literal, sql::quote_identifier(origin.collation));
  }
}

std::string told_of_variable(std::string_view function, const mysql::Value& value, const TextOrigin& origin) {
  const bool text = is_text(value) || value.is_null();
  if (function == "coercibility") return text || mysql::is_temporal_type(value.type) ? "2" : "5";
  if (!text || value.is_null() || value.is_binary || origin.collation.empty()) return "";
  if (function == "collation") return fmt::format("convert('{}' using utf8mb3)", origin.collation);
  const auto* collation = mysql::find_collation(origin.collation);
  return collation == nullptr ? "" : fmt::format("convert('{}' using utf8mb3)", collation->charset);
}

}  // namespace vitrail::gate
