#include "mysql/convert.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

#include "mysql/messages.h"

namespace vitrail::mysql {
namespace {

constexpr uint8_t kNotFixedDecimals = 31;

template <typename T>
void append_number(std::string& out, T value) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  out.append(buffer, end);
}

void append_padded(std::string& out, uint64_t value, size_t digits) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  const size_t size = static_cast<size_t>(end - buffer);
  if (size < digits) out.append(digits - size, '0');
  out.append(buffer, end);
}

// Prints significant digits as MySQL does: plain while the point stands within 15 places, otherwise "d.ddde-NN" with no
// padding of the exponent. `scientific` is the output of to_chars in scientific form.
void append_mysql_float(std::string& out, std::string_view scientific) {
  if (scientific.starts_with('-')) {
    out.push_back('-');
    scientific.remove_prefix(1);
  }
  const size_t e = scientific.find('e');
  std::string digits(scientific.substr(0, 1));
  if (e > 1) digits.append(scientific.substr(2, e - 2));
  while (digits.size() > 1 && digits.back() == '0') digits.pop_back();
  int exponent = 0;
  std::string_view exponent_text = scientific.substr(e + 1);
  if (exponent_text.starts_with('+')) exponent_text.remove_prefix(1);
  std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
  const int point = exponent + 1;  // Digits before the decimal point.
  if (point < -14 || point > 15) {
    out.push_back(digits[0]);
    if (digits.size() > 1) out.append(".").append(digits, 1);
    out.push_back('e');
    append_number(out, exponent);
  } else if (point <= 0) {
    out.append("0.").append(static_cast<size_t>(-point), '0').append(digits);
  } else if (static_cast<size_t>(point) >= digits.size()) {
    out.append(digits).append(static_cast<size_t>(point) - digits.size(), '0');
  } else {
    out.append(digits, 0, static_cast<size_t>(point)).append(".").append(digits, static_cast<size_t>(point));
  }
}

void append_float(std::string& out, double value, bool single, uint8_t decimals) {
  if (value == 0 && !std::signbit(value) && decimals >= kNotFixedDecimals) {
    out.push_back('0');
    return;
  }
  char buffer[400];
  if (decimals < kNotFixedDecimals) {
    const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed, decimals).ptr;
    out.append(buffer, end);
    return;
  }
  const auto end = single ? std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific, 5).ptr
                          : std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  append_mysql_float(out, std::string_view(buffer, static_cast<size_t>(end - buffer)));
}

void append_fraction(std::string& out, uint32_t micros, uint8_t decimals) {
  if (decimals == 0) return;
  if (decimals > 6) {
    if (micros == 0) return;
    decimals = 6;
  }
  char buffer[8];
  std::snprintf(buffer, sizeof(buffer), "%06u", micros % 1'000'000);
  out.push_back('.');
  out.append(buffer, decimals);
}

void append_date(std::string& out, unsigned year, unsigned month, unsigned day) {
  append_padded(out, year, 4);
  out.push_back('-');
  append_padded(out, month, 2);
  out.push_back('-');
  append_padded(out, day, 2);
}

void append_clock(std::string& out, uint64_t hours, unsigned minutes, unsigned seconds) {
  append_padded(out, hours, 2);
  out.push_back(':');
  append_padded(out, minutes, 2);
  out.push_back(':');
  append_padded(out, seconds, 2);
}

Status text_of_temporal(std::string& out, FieldType type, uint8_t decimals, ByteReader& reader) {
  const uint8_t size = reader.u8();
  ByteReader cell(reader.bytes(size));
  if (!reader.ok()) return malformed("temporal value");
  if (type == FieldType::kTime) {
    if (size != 0 && size != 8 && size != 12) return malformed("time value");
    const bool negative = size > 0 && cell.u8() != 0;
    const uint64_t days = size > 0 ? cell.u32() : 0;
    const uint64_t hours = days * 24 + (size > 0 ? cell.u8() : 0);
    const unsigned minutes = size > 0 ? cell.u8() : 0;
    const unsigned seconds = size > 0 ? cell.u8() : 0;
    const uint32_t micros = size == 12 ? cell.u32() : 0;
    if (negative) out.push_back('-');
    append_clock(out, hours, minutes, seconds);
    append_fraction(out, micros, decimals);
    return {};
  }
  if (size != 0 && size != 4 && size != 7 && size != 11) return malformed("date value");
  const unsigned year = size > 0 ? cell.u16() : 0;
  const unsigned month = size > 0 ? cell.u8() : 0;
  const unsigned day = size > 0 ? cell.u8() : 0;
  append_date(out, year, month, day);
  if (type == FieldType::kDate || type == FieldType::kNewDate) return {};
  const unsigned hours = size > 4 ? cell.u8() : 0;
  const unsigned minutes = size > 4 ? cell.u8() : 0;
  const unsigned seconds = size > 4 ? cell.u8() : 0;
  const uint32_t micros = size > 7 ? cell.u32() : 0;
  out.push_back(' ');
  append_clock(out, hours, minutes, seconds);
  append_fraction(out, micros, decimals);
  return {};
}

Error not_a_value(FieldType type) {
  return fail(Code::kInvalidArgument, fmt::format("text is not a value of type {}", field_type_name(type)));
}

template <typename T>
bool parse_all(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

Status append_integer(std::string& out, FieldType type, bool is_unsigned, std::string_view text) {
  size_t size = 8;
  switch (type) {
    case FieldType::kTiny: size = 1; break;
    case FieldType::kShort:
    case FieldType::kYear: size = 2; break;
    case FieldType::kInt24:
    case FieldType::kLong: size = 4; break;
    default: break;
  }
  const unsigned bits = type == FieldType::kInt24 ? 24 : static_cast<unsigned>(size) * 8;
  uint64_t image = 0;
  if (is_unsigned || type == FieldType::kYear) {
    if (!parse_all(text, image) || (bits < 64 && image >> bits != 0)) return not_a_value(type);
  } else {
    int64_t value = 0;
    if (!parse_all(text, value)) return not_a_value(type);
    if (bits < 64 && (value < -(int64_t{1} << (bits - 1)) || value >= int64_t{1} << (bits - 1)))
      return not_a_value(type);
    image = static_cast<uint64_t>(value);
  }
  for (size_t i = 0; i < size; ++i) append_u8(out, static_cast<uint8_t>(image >> (8 * i)));
  return {};
}

// Reads "12" up to `stop` and steps over it; at least one digit, at most `max_digits`.
bool take_number(std::string_view& text, char stop, size_t max_digits, uint32_t& value) {
  size_t size = 0;
  while (size < text.size() && text[size] >= '0' && text[size] <= '9') ++size;
  if (size == 0 || size > max_digits || !parse_all(text.substr(0, size), value)) return false;
  text.remove_prefix(size);
  if (stop == '\0') return true;
  if (!text.starts_with(stop)) return false;
  text.remove_prefix(1);
  return true;
}

// Reads ".123" or nothing, to the end of the text.
bool take_fraction(std::string_view text, uint32_t& micros) {
  micros = 0;
  if (text.empty()) return true;
  if (text[0] != '.' || text.size() < 2 || text.size() > 7) return false;
  for (size_t i = 1; i <= 6; ++i) {
    const char c = i < text.size() ? text[i] : '0';
    if (c < '0' || c > '9') return false;
    micros = micros * 10 + static_cast<uint32_t>(c - '0');
  }
  return true;
}

Status append_date_time(std::string& out, FieldType type, std::string_view text) {
  uint32_t year = 0, month = 0, day = 0, hours = 0, minutes = 0, seconds = 0, micros = 0;
  bool good = take_number(text, '-', 4, year) && take_number(text, '-', 2, month) && take_number(text, '\0', 2, day);
  if (good && !text.empty()) {
    good = text[0] == ' ' || text[0] == 'T';
    text.remove_prefix(1);
    good = good && take_number(text, ':', 2, hours) && take_number(text, ':', 2, minutes) &&
           take_number(text, '\0', 2, seconds) && take_fraction(text, micros);
  }
  if (!good || month > 12 || day > 31 || hours > 23 || minutes > 59 || seconds > 59) return not_a_value(type);
  const bool date_only = type == FieldType::kDate || type == FieldType::kNewDate;
  uint8_t size = 0;
  if (!date_only && micros != 0) {
    size = 11;
  } else if (!date_only && (hours != 0 || minutes != 0 || seconds != 0)) {
    size = 7;
  } else if (year != 0 || month != 0 || day != 0) {
    size = 4;
  }
  append_u8(out, size);
  if (size >= 4) {
    append_u16(out, static_cast<uint16_t>(year));
    append_u8(out, static_cast<uint8_t>(month));
    append_u8(out, static_cast<uint8_t>(day));
  }
  if (size >= 7) {
    append_u8(out, static_cast<uint8_t>(hours));
    append_u8(out, static_cast<uint8_t>(minutes));
    append_u8(out, static_cast<uint8_t>(seconds));
  }
  if (size >= 11) append_u32(out, micros);
  return {};
}

Status append_time(std::string& out, std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  uint32_t hours = 0, minutes = 0, seconds = 0, micros = 0;
  if (!take_number(text, ':', 9, hours) || !take_number(text, ':', 2, minutes) ||
      !take_number(text, '\0', 2, seconds) || !take_fraction(text, micros) || minutes > 59 || seconds > 59) {
    return not_a_value(FieldType::kTime);
  }
  const uint8_t size = micros != 0 ? 12 : (hours != 0 || minutes != 0 || seconds != 0) ? 8 : 0;
  append_u8(out, size);
  if (size == 0) return {};
  append_u8(out, negative ? 1 : 0);
  append_u32(out, hours / 24);
  append_u8(out, static_cast<uint8_t>(hours % 24));
  append_u8(out, static_cast<uint8_t>(minutes));
  append_u8(out, static_cast<uint8_t>(seconds));
  if (size == 12) append_u32(out, micros);
  return {};
}

bool digits_at(std::string_view text, size_t& position) {
  const size_t start = position;
  while (position < text.size() && text[position] >= '0' && text[position] <= '9') ++position;
  return position > start;
}

// [-] digits [. digits] [e [+-] digits], with digits on at least one side of the point.
bool is_number(std::string_view text, bool& has_exponent) {
  has_exponent = false;
  size_t position = text.starts_with('-') ? 1 : 0;
  bool digits = digits_at(text, position);
  if (position < text.size() && text[position] == '.') {
    ++position;
    digits = digits_at(text, position) || digits;
  }
  if (!digits) return false;
  if (position < text.size() && (text[position] == 'e' || text[position] == 'E')) {
    has_exponent = true;
    ++position;
    if (position < text.size() && (text[position] == '+' || text[position] == '-')) ++position;
    if (!digits_at(text, position)) return false;
  }
  return position == text.size();
}

void append_hex(std::string& out, std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : bytes) {
    out.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    out.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
}

}  // namespace

Status append_binary_value(std::string& out, FieldType type, bool is_unsigned, std::string_view text) {
  if (is_integer_type(type)) return append_integer(out, type, is_unsigned, text);
  switch (type) {
    case FieldType::kFloat: {
      float value = 0;
      if (!parse_all(text, value)) return not_a_value(type);
      append_f32(out, value);
      return {};
    }
    case FieldType::kDouble: {
      double value = 0;
      if (!parse_all(text, value)) return not_a_value(type);
      append_f64(out, value);
      return {};
    }
    case FieldType::kTime: return append_time(out, text);
    case FieldType::kNull: return not_a_value(type);
    default: break;
  }
  if (is_temporal_type(type)) return append_date_time(out, type, text);
  append_lenenc_string(out, text);
  return {};
}

Status append_text_of_binary(std::string& out, FieldType type, bool is_unsigned, uint8_t decimals, ByteReader& reader) {
  switch (type) {
    case FieldType::kTiny: {
      const uint8_t value = reader.u8();
      is_unsigned ? append_number<unsigned>(out, value) : append_number<int>(out, static_cast<int8_t>(value));
      break;
    }
    case FieldType::kShort: {
      const uint16_t value = reader.u16();
      is_unsigned ? append_number<unsigned>(out, value) : append_number<int>(out, static_cast<int16_t>(value));
      break;
    }
    case FieldType::kYear: append_padded(out, reader.u16(), 4); break;
    case FieldType::kInt24:
    case FieldType::kLong: {
      const uint32_t value = reader.u32();
      is_unsigned ? append_number(out, value) : append_number(out, static_cast<int32_t>(value));
      break;
    }
    case FieldType::kLongLong: {
      const uint64_t value = reader.u64();
      is_unsigned ? append_number(out, value) : append_number(out, static_cast<int64_t>(value));
      break;
    }
    case FieldType::kFloat:
    case FieldType::kDouble: {
      const bool single = type == FieldType::kFloat;
      const double value = single ? static_cast<double>(reader.f32()) : reader.f64();
      if (!std::isfinite(value)) return not_a_value(type);  // No column holds it, but a parameter may.
      append_float(out, value, single, decimals);
      break;
    }
    case FieldType::kNull: break;
    case FieldType::kTimestamp2:
    case FieldType::kDatetime2:
    case FieldType::kTime2:
    case FieldType::kTypedArray:
    case FieldType::kInvalid:
    case FieldType::kBool: reader.set_failed(); break;
    default:
      if (is_temporal_type(type)) return text_of_temporal(out, type, decimals, reader);
      out.append(reader.lenenc_string());
  }
  if (!reader.ok()) return malformed("binary value");
  return {};
}

std::string_view skip_binary_value(FieldType type, ByteReader& reader) {
  switch (type) {
    case FieldType::kTiny: return reader.bytes(1);
    case FieldType::kShort:
    case FieldType::kYear: return reader.bytes(2);
    case FieldType::kInt24:
    case FieldType::kLong:
    case FieldType::kFloat: return reader.bytes(4);
    case FieldType::kLongLong:
    case FieldType::kDouble: return reader.bytes(8);
    case FieldType::kNull: return {};
    case FieldType::kTimestamp2:
    case FieldType::kDatetime2:
    case FieldType::kTime2:
    case FieldType::kTypedArray:
    case FieldType::kInvalid:
    case FieldType::kBool: reader.set_failed(); return {};
    default: break;
  }
  if (is_temporal_type(type)) return reader.bytes(size_t{1} + reader.peek());
  if (type <= FieldType::kBit || type >= FieldType::kVector) {
    // The prefix is read on a copy so that the view can include it.
    ByteReader ahead = reader;
    ahead.lenenc_string();
    if (ahead.ok()) return reader.bytes(ahead.position() - reader.position());
  }
  reader.set_failed();
  return {};
}

void append_sql_string(std::string& out, std::string_view text, LiteralOptions options) {
  out.push_back('\'');
  size_t clean = 0;  // Start of the part not yet copied.
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    char escape = '\0';
    if (c == '\'') {
      escape = '\'';
    } else if (!options.no_backslash_escapes) {
      switch (c) {
        case '\\': escape = '\\'; break;
        case '\0': escape = '0'; break;
        case '\n': escape = 'n'; break;
        case '\r': escape = 'r'; break;
        case '\x1a': escape = 'Z'; break;
        default: break;
      }
    }
    if (escape == '\0') continue;
    out.append(text, clean, i - clean);
    out.push_back(c == '\'' ? '\'' : '\\');
    out.push_back(escape);
    clean = i + 1;
  }
  out.append(text, clean);
  out.push_back('\'');
}

void append_sql_identifier(std::string& out, std::string_view name) {
  out.push_back('`');
  for (const char c : name) {
    if (c == '`') out.push_back('`');
    out.push_back(c);
  }
  out.push_back('`');
}

void append_sql_literal(std::string& out, const Value& value, LiteralOptions options) {
  if (value.is_null()) {
    out.append("NULL");
    return;
  }
  if (is_integer_type(value.type) || is_float_type(value.type) || is_decimal_type(value.type)) {
    bool has_exponent = false;
    if (is_number(value.bytes, has_exponent)) {
      out.append(value.bytes);
      // Without an exponent the server would read a DECIMAL.
      if (is_float_type(value.type) && !has_exponent) out.append("e0");
      return;
    }
    append_sql_string(out, value.bytes, options);
    return;
  }
  if (value.type == FieldType::kBit) {
    out.append("b'");
    for (const char c : value.bytes) {
      for (int bit = 7; bit >= 0; --bit) out.push_back((static_cast<uint8_t>(c) >> bit & 1) != 0 ? '1' : '0');
    }
    out.push_back('\'');
    return;
  }
  if (value.is_binary || value.type == FieldType::kGeometry) {
    out.append("_binary X'");
    append_hex(out, value.bytes);
    out.push_back('\'');
    return;
  }
  append_sql_string(out, value.bytes, options);
}

}  // namespace vitrail::mysql
