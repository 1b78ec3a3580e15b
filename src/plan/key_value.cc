#include "plan/key_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "plan/routing.h"
#include "shard/lookup_placement.h"
#include "sql/literal.h"

namespace vitrail::plan {
namespace {

bool is_integer(::query::Type type) {
  switch (type) {
    case ::query::INT8:
    case ::query::UINT8:
    case ::query::INT16:
    case ::query::UINT16:
    case ::query::INT24:
    case ::query::UINT24:
    case ::query::INT32:
    case ::query::UINT32:
    case ::query::INT64:
    case ::query::UINT64: return true;
    default: return false;
  }
}

mysql::Value integer(bool negative, std::string_view digits) {
  mysql::Value value = negative ? mysql::Value::of_int(0) : mysql::Value::of_uint(0);
  value.bytes = (negative ? "-" : "") + std::string(digits);
  return value;
}

// The whole number that a decimal text ("4", "-4.00") is. nullopt: a fraction, an exponent, no number, too large.
std::optional<mysql::Value> whole(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t point = text.find('.');
  std::string_view digits = text.substr(0, point);
  if (point != std::string_view::npos) {
    const std::string_view fraction = text.substr(point + 1);
    if (fraction.find_first_not_of('0') != std::string_view::npos) return std::nullopt;
    if (digits.empty() && !fraction.empty()) digits = "0";
  }
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size() - 1));
  if (negative) {
    int64_t number = 0;
    const std::string signed_digits = "-" + std::string(digits);
    const auto [end, error] =
        std::from_chars(signed_digits.data(), signed_digits.data() + signed_digits.size(), number);
    if (error != std::errc()) return std::nullopt;
    return number == 0 ? integer(false, "0") : integer(true, digits);
  }
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc()) return std::nullopt;
  return integer(false, digits);
}

// Doubles tell all integers apart up to here, and a comparison with a text or a double may be made in doubles.
constexpr size_t kExactDigits = 15;

std::optional<mysql::Value> whole_and_exact(std::string_view text) {
  auto number = whole(text);
  if (!number || number->bytes.size() > kExactDigits) return std::nullopt;
  return number;
}

std::optional<mysql::Value> whole_double(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (std::trunc(number) != number || std::fabs(number) >= 1e15) return std::nullopt;
  return whole(std::to_string(static_cast<int64_t>(number)));
}

bool is_text(const mysql::Value& value) {
  return mysql::is_string_type(value.type) && !mysql::is_temporal_type(value.type);
}

// Columns that make another value of a number or a text that is stored in them, or compare by rules of their own: a
// YEAR stores 99 as 1999, a BIT stores '9' as 57, an ENUM stores 1 as its first word. Which value a row was placed by
// cannot be told from the one that it is compared with.
bool changes_values(::query::Type type) {
  switch (type) {
    case ::query::YEAR:
    case ::query::BIT:
    case ::query::ENUM:
    case ::query::SET:
    case ::query::DATE:
    case ::query::TIME:
    case ::query::DATETIME:
    case ::query::TIMESTAMP: return true;
    default: return false;
  }
}

// What such a column stores as it is given.
bool stored_as_given(::query::Type type, const mysql::Value& value) {
  if (!mysql::is_integer_type(value.type)) return false;
  if (type == ::query::BIT) return true;
  const auto number = whole(value.bytes);
  return type == ::query::YEAR && number && (number->bytes == "0" || number->bytes.size() == 4);
}

// Of the column type: does the whole number fit?
bool fits_column(::query::Type type, std::string_view digits) {
  const auto number = whole(digits);
  if (!number) return false;
  const bool negative = number->bytes.starts_with('-');
  uint64_t magnitude = 0;
  const char* first = number->bytes.data() + (negative ? 1 : 0);
  std::from_chars(first, number->bytes.data() + number->bytes.size(), magnitude);
  const auto within = [&](int bits, bool is_unsigned) {
    if (is_unsigned) return !negative && (bits == 64 || magnitude < uint64_t{1} << bits);
    const uint64_t limit = uint64_t{1} << (bits - 1);
    return negative ? magnitude <= limit : magnitude < limit;
  };
  switch (type) {
    case ::query::INT8: return within(8, false);
    case ::query::UINT8: return within(8, true);
    case ::query::INT16: return within(16, false);
    case ::query::UINT16: return within(16, true);
    case ::query::INT24: return within(24, false);
    case ::query::UINT24: return within(24, true);
    case ::query::INT32: return within(32, false);
    case ::query::UINT32: return within(32, true);
    case ::query::UINT64: return within(64, true);
    case ::query::INT64: return within(64, false);
    default: return !negative && within(32, false);  // Not known: no key column is narrower than INT.
  }
}

::query::Type column_type(const vschema::Table& table, std::string_view column) {
  const std::string name = lower(column);
  for (const auto& known : table.columns) {
    if (lower(known.name()) == name) return known.type();
  }
  return ::query::NULL_TYPE;
}

}  // namespace

KeyType column_key_type(const vschema::Table& table, std::string_view column) {
  const ::query::Type type = column_type(table, column);
  if (is_integer(type)) return KeyType::kInteger;
  return type == ::query::VARBINARY ? KeyType::kBytes : KeyType::kUnknown;
}

KeyType key_type(const vschema::Table& table) {
  const auto* primary = table.primary_vindex();
  if (primary == nullptr || primary->columns.size() != 1) return KeyType::kUnknown;
  if (shard::placing_lookup(*primary->vindex) != nullptr) return KeyType::kUnknown;
  if (primary->vindex->integer_function().function != nullptr || primary->vindex->type() == "numeric_static_map") {
    return changes_values(column_type(table, primary->columns[0])) ? KeyType::kUnknown : KeyType::kInteger;
  }
  return column_key_type(table, primary->columns[0]);
}

std::optional<mysql::Value> literal_value(const sql::Literal& literal, bool negative) {
  using enum sql::LiteralKind;
  switch (literal.literal) {
    case kNull: return mysql::Value::null();
    case kTrue: return mysql::Value::of_int(negative ? -1 : 1);
    case kFalse: return mysql::Value::of_int(0);
    case kInteger: return integer(negative, literal.text);
    case kDecimal:
      return mysql::Value{mysql::FieldType::kNewDecimal, false, false,
                          (negative ? "-" : "") + std::string(literal.text)};
    case kFloat:
      return mysql::Value{mysql::FieldType::kDouble, false, false, (negative ? "-" : "") + std::string(literal.text)};
    default: break;
  }
  if (negative) return std::nullopt;
  auto bytes = sql::string_value(literal);
  if (!bytes) return std::nullopt;
  if (literal.literal == kHex || literal.literal == kBit) return mysql::Value::of_binary(std::move(*bytes));
  if (literal.literal != kString && literal.literal != kNationalString) return std::nullopt;
  const std::string charset = lower(literal.charset);
  if (charset == "binary") return mysql::Value::of_binary(std::move(*bytes));
  if (charset.empty()) return mysql::Value::of_text(std::move(*bytes));
  auto text = to_utf8(*bytes, charset);
  if (!text) return std::nullopt;
  return mysql::Value::of_binary(std::move(*text));  // Of the session's character set it is no more.
}

std::optional<mysql::Value> compared_value(KeyType type, const mysql::Value& value) {
  if (value.is_null()) return value;
  switch (type) {
    case KeyType::kUnknown: return std::nullopt;
    case KeyType::kBytes: return is_text(value) ? std::optional(value) : std::nullopt;
    case KeyType::kInteger: break;
  }
  if (value.type == mysql::FieldType::kYear) return std::nullopt;
  if (mysql::is_integer_type(value.type)) return value;
  if (mysql::is_decimal_type(value.type)) return whole(value.bytes);
  if (mysql::is_float_type(value.type)) return whole_double(value.bytes);
  if (!is_text(value) || value.is_binary) return std::nullopt;
  // Of texts only those that are written as the number is: others mean numbers too, each by rules of its own.
  auto number = whole_and_exact(value.bytes);
  if (!number || number->bytes != value.bytes) return std::nullopt;
  return number;
}

bool fits(const Route& route, std::span<const mysql::Value> parameters) {
  return std::all_of(route.values.begin(), route.values.end(), [&](const ValueSource& source) {
    return source.kind != ValueSource::Kind::kParameter ||
           (source.index < parameters.size() && compared_value(route.key_type, parameters[source.index]));
  });
}

bool takes_integers(const shard::Vindex* vindex) {
  return vindex != nullptr &&
         (vindex->integer_function().function != nullptr || vindex->type() == "numeric_static_map");
}

Result<mysql::Value> stored_value(const Storing& storing, mysql::Value value, std::string_view column) {
  const std::string name(column);
  if (value.is_null()) return value;
  if (storing.integers && changes_values(storing.column) && !stored_as_given(storing.column, value)) {
    return unsupported("a value of the primary vindex column " + name +
                       " that the server stores as another one; write it as an integer (of a YEAR: with four digits)");
  }
  if (storing.type == KeyType::kInteger) {
    std::optional<mysql::Value> number;
    if (mysql::is_integer_type(value.type)) {
      number = whole(value.bytes);
    } else if (mysql::is_decimal_type(value.type)) {
      number = whole(value.bytes);
    } else if (mysql::is_float_type(value.type)) {
      number = whole_double(value.bytes);
    } else if (is_text(value) && !value.is_binary) {
      number = whole(value.bytes);
    }
    if (!number) {
      return unsupported("a value of the primary vindex column " + name +
                         " that is no whole number; write it as an integer");
    }
    if (!storing.strict && !fits_column(storing.column, number->bytes)) {
      return unsupported("a value of the primary vindex column " + name +
                         " that the server may change to fit (INSERT IGNORE, or an sql_mode that is not strict); give "
                         "the column's type in the vschema");
    }
    return std::move(*number);
  }
  if (mysql::is_integer_type(value.type) && value.type != mysql::FieldType::kYear) {
    auto number = whole(value.bytes);
    if (number) return std::move(*number);
  }
  if (!is_text(value)) {
    return unsupported("a value of the primary vindex column " + name + " that is neither an integer nor a text");
  }
  if (storing.type == KeyType::kBytes || value.is_binary) return value;
  auto text = to_utf8(value.bytes, storing.charset);
  if (!text) {
    return unsupported("a value of the primary vindex column " + name + " in the character set " +
                       std::string(storing.charset) + "; connect with utf8mb4");
  }
  value.bytes = std::move(*text);
  return value;
}

std::optional<std::string> to_utf8(std::string_view text, std::string_view charset) {
  const std::string name = lower(charset);
  if (name == "utf8mb4" || name == "utf8" || name == "utf8mb3" || name == "binary") return std::string(text);
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  // Character sets whose bytes below 0x80 are not all ASCII's.
  static constexpr std::array<std::string_view, 7> kOthers = {"ucs2", "utf16", "utf16le", "utf32",
                                                              "swe7", "sjis",  "cp932"};
  if (std::find(kOthers.begin(), kOthers.end(), name) != kOthers.end()) return std::nullopt;
  if (ascii) return std::string(text);
  if (name != "latin1") return std::nullopt;
  // MySQL's latin1 is Windows-1252, whose five gaps are the control characters of ISO 8859-1.
  static constexpr std::array<uint16_t, 32> k1252 = {0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
                                                     0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
                                                     0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                                     0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const uint32_t point = byte >= 0x80 && byte < 0xa0 ? k1252[byte - 0x80] : byte;
    if (point < 0x80) {
      out += static_cast<char>(point);
    } else if (point < 0x800) {
      out += static_cast<char>(0xc0 | (point >> 6));
      out += static_cast<char>(0x80 | (point & 0x3f));
    } else {
      out += static_cast<char>(0xe0 | (point >> 12));
      out += static_cast<char>(0x80 | ((point >> 6) & 0x3f));
      out += static_cast<char>(0x80 | (point & 0x3f));
    }
  }
  return out;
}

}  // namespace vitrail::plan
