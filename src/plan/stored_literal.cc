#include "plan/stored_literal.h"

#include <algorithm>
#include <charconv>

#include "base/hex.h"
#include "mysql/collations.h"
#include "plan/key_value.h"
#include "plan/routing.h"

namespace vitrail::plan {
namespace {

enum class Family : uint8_t { kNumber, kText, kDate, kTime, kBits, kOther };

// Of what a column stores.
Family family_of(std::string_view type) {
  if (type == "date" || type == "datetime" || type == "timestamp") return Family::kDate;
  if (type == "time") return Family::kTime;
  if (type == "bit") return Family::kBits;
  if (type == "tinyint" || type == "smallint" || type == "mediumint" || type == "int" || type == "bigint" ||
      type == "decimal" || type == "float" || type == "double" || type == "year") {
    return Family::kNumber;
  }
  if (type.ends_with("char") || type.ends_with("text") || type.ends_with("binary") || type.ends_with("blob") ||
      type == "json") {
    return Family::kText;
  }
  return Family::kOther;
}

bool stores_bytes(std::string_view type) { return type.ends_with("binary") || type.ends_with("blob") || type == "bit"; }

std::string sql_string(std::string_view text) { return string_literal("", text); }

std::string double_literal(const std::string& digits) {
  return digits.find_first_of("eE") == std::string::npos ? digits + "e0" : digits;
}

Error no_literal(std::string_view what, const schema::Column& target) {
  return unsupported("a value of type " + std::string(what) + " for the column " + target.name + " of type " +
                     target.data_type + " in a change of rows of several shards; use CAST");
}

std::string temporal_literal(const mysql::ColumnDef& from, const std::string& cell, Family target) {
  const bool time = from.type == mysql::FieldType::kTime || from.type == mysql::FieldType::kTime2;
  if (target == Family::kText || target == (time ? Family::kTime : Family::kDate)) return sql_string(cell);
  const bool date = from.type == mysql::FieldType::kDate || from.type == mysql::FieldType::kNewDate;
  return (time ? "time" : date ? "date" : "timestamp") + sql_string(cell);
}

using Row = std::vector<std::optional<std::string>>;

bool is_number_of_bits(std::string_view digits, uint32_t bits) {
  uint64_t number = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  if (error != std::errc() || stop != end) return false;
  return (digits.size() == 1 || digits.front() != '0') && (bits >= 64 || number >> bits == 0);
}

bool is_bytes_of_bits(std::string_view bytes, uint32_t bits) {
  if (bytes.empty() || bytes.size() != (bits + 7) / 8) return false;
  return bits % 8 == 0 || static_cast<uint8_t>(bytes.front()) >> (bits % 8) == 0;
}

Status make_digits(const mysql::ColumnDef& column, size_t at, std::vector<Row>& rows) {
  const auto all = [&](bool (*fits)(std::string_view, uint32_t)) {
    return std::ranges::all_of(rows, [&](const Row& row) { return !row[at] || fits(*row[at], column.length); });
  };
  const bool bytes = all(is_bytes_of_bits);
  const bool digits = all(is_number_of_bits);
  const bool computed = (column.flags & mysql::kFieldBinary) != 0;  // What a table keeps is not marked so.
  if (digits && !bytes) return {};
  const bool any = std::ranges::any_of(rows, [&](const Row& row) { return row[at].has_value(); });
  if (!any) return {};
  if (!bytes || (digits && computed)) {
    return unsupported("a value of type BIT, " + column.name +
                       ", which this server sends in a form that is not clear; use CAST(... AS UNSIGNED)");
  }
  for (auto& row : rows) {
    if (!row[at]) continue;
    uint64_t number = 0;
    for (const char byte : *row[at]) number = number << 8 | static_cast<uint8_t>(byte);
    row[at] = std::to_string(number);
  }
  return {};
}

}  // namespace

Status make_bits_digits(std::span<const mysql::ColumnDef> columns, std::vector<Row>& rows) {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].type == mysql::FieldType::kBit) RETURN_IF_ERROR(make_digits(columns[i], i, rows));
  }
  return {};
}

std::string string_literal(std::string_view charset, std::string_view bytes) {
  const bool ascii = charset == "binary" || (!charset.empty() && !charset.starts_with("utf8"));
  const bool plain = std::ranges::all_of(bytes, [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c != '\\' && byte >= 0x20 && byte != 0x7f && (byte < 0x80 || !ascii);
  });
  std::string out;
  if (!charset.empty()) out.append("_").append(charset);
  if (!plain) return out.append(charset.empty() ? "x'" : " x'").append(base::hex_encode(bytes)).append("'");
  out += '\'';
  for (const char c : bytes) {
    if (c == '\'') out += c;
    out += c;
  }
  return out + "'";
}

Result<std::string> result_literal(const mysql::ColumnDef& from, const std::optional<std::string>& cell,
                                   const schema::Column& target) {
  if (!cell) return std::string("null");
  const Family family = family_of(target.data_type);
  using enum mysql::FieldType;
  if (mysql::is_integer_type(from.type) || mysql::is_decimal_type(from.type)) {
    if (family == Family::kText && (from.flags & mysql::kFieldZerofill) != 0 && from.type != kYear) {
      return no_literal("ZEROFILL", target);
    }
    // What has no fraction is taken for an integer, which is less than nothing to some types.
    const bool integer = mysql::is_integer_type(from.type) || family == Family::kText;
    return integer || cell->find('.') != std::string::npos ? *cell : *cell + ".0";
  }
  if (mysql::is_float_type(from.type)) {
    constexpr uint8_t kAll = 31;
    const bool prints_otherwise = from.type == kFloat || from.decimals < kAll;
    if (prints_otherwise && family == Family::kText) return no_literal("FLOAT", target);
    return double_literal(*cell);
  }
  if (mysql::is_temporal_type(from.type)) return temporal_literal(from, *cell, family);
  if (from.type == kBit) {  // Of BIT for a text servers make other things than of the same literal.
    if (family != Family::kBits && family != Family::kNumber) return no_literal("BIT", target);
    return *cell;
  }
  const bool member =
      (from.flags & (mysql::kFieldEnum | mysql::kFieldSet)) != 0 || from.type == kEnum || from.type == kSet;
  if (member && (family == Family::kNumber || family == Family::kBits)) return no_literal("ENUM", target);
  const auto* collation = mysql::find_collation(from.collation);
  if (collation == nullptr) return no_literal("an unknown collation", target);
  if (from.collation != mysql::kBinaryCollation && stores_bytes(target.data_type)) {
    // Of an address the bytes are kept, and of a text those in its column's character set; what came is a text in
    // another one.
    if ((from.flags & mysql::kFieldUnsigned) != 0) return no_literal("INET6 or UUID", target);
    const bool ascii = std::ranges::all_of(*cell, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (!ascii) return no_literal("text that is not ASCII", target);
  }
  return string_literal(collation->charset, *cell);
}

std::string form_literal(const schema::Column& column, const std::optional<std::string>& cell) {
  if (!cell) return "null";
  switch (schema::form_of(column)) {
    case schema::Form::kBytes: return string_literal("binary", *cell);
    case schema::Form::kCharacters: return string_literal(column.charset, *cell);
    case schema::Form::kNumber: return *cell;
    case schema::Form::kDouble: return double_literal(*cell);
    case schema::Form::kUnixTime: return *cell == "0" ? "0" : "from_unixtime(" + *cell + ")";
    case schema::Form::kJson: return string_literal("utf8mb4", *cell);
    case schema::Form::kText: break;
  }
  if (column.data_type == "double") return double_literal(*cell);
  return family_of(column.data_type) == Family::kNumber ? *cell : sql_string(*cell);
}

Result<mysql::Value> place_value(const schema::Column& column, const std::optional<std::string>& cell) {
  if (!cell) return mysql::Value::null();
  switch (schema::form_of(column)) {
    case schema::Form::kBytes: return mysql::Value::of_binary(*cell);
    case schema::Form::kCharacters: {
      auto text = to_utf8(*cell, column.charset);
      if (!text) return unsupported("a sharding column in the character set " + column.charset + " in this change");
      return mysql::Value::of_binary(std::move(*text));
    }
    case schema::Form::kText: break;
    default: return unsupported("a sharding column of type " + column.data_type + " in this change");
  }
  const bool integer = column.data_type.ends_with("int");
  if (!integer) return mysql::Value::of_binary(*cell);
  mysql::Value value = mysql::Value::of_int(0);
  value.is_unsigned = !cell->starts_with('-');
  value.bytes = *cell;
  return value;
}

bool comparable(const schema::Column& column) {
  const schema::Form form = schema::form_of(column);
  const bool exact = form == schema::Form::kText || form == schema::Form::kBytes || form == schema::Form::kCharacters ||
                     form == schema::Form::kNumber;
  return exact && column.data_type != "double";
}

bool is_generated(const schema::Column& column) {
  std::string extra = column.extra;
  constexpr std::string_view kDefault = "default_generated";
  if (const size_t at = extra.find(kDefault); at != std::string::npos) extra.erase(at, kDefault.size());
  return extra.contains("generated") || extra.contains("persistent") || extra.contains("virtual");
}

}  // namespace vitrail::plan
