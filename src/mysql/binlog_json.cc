#include "mysql/binlog_json.h"

#include <algorithm>
#include <bit>

#include "mysql/binlog_table_map.h"
#include "mysql/binlog_value.h"

namespace vitrail::mysql {
namespace {

constexpr int kDepthMax = 100;

enum : uint8_t {
  kSmallObject = 0,
  kLargeObject = 1,
  kSmallArray = 2,
  kLargeArray = 3,
  kLiteral = 4,
  kInt16 = 5,
  kUint16 = 6,
  kInt32 = 7,
  kUint32 = 8,
  kInt64 = 9,
  kUint64 = 10,
  kDouble = 11,
  kString = 12,
  kOpaque = 15,
};

class JsonPrinter {
 public:
  JsonPrinter(std::string& out, size_t size_max) : out_(out), size_max_(out.size() + size_max) {}

  // `bytes` begins at the value and may go on behind it. All of these are false for malformed input.
  bool value(uint8_t type, BinlogBytes bytes, int depth) {
    if (out_.size() > size_max_) return false;
    BinlogReader in(bytes);
    switch (type) {
      case kSmallObject: return container(bytes, true, 2, depth);
      case kLargeObject: return container(bytes, true, 4, depth);
      case kSmallArray: return container(bytes, false, 2, depth);
      case kLargeArray: return container(bytes, false, 4, depth);
      case kLiteral: return literal(in.u8()) && in.ok();
      case kInt16: append_signed(static_cast<int16_t>(in.u16())); return in.ok();
      case kUint16: append_unsigned(in.u16()); return in.ok();
      case kInt32: append_signed(static_cast<int32_t>(in.u32())); return in.ok();
      case kUint32: append_unsigned(in.u32()); return in.ok();
      case kInt64: append_signed(static_cast<int64_t>(in.u64())); return in.ok();
      case kUint64: append_unsigned(in.u64()); return in.ok();
      case kDouble: return real(in);
      case kString: {
        const std::string_view text = in.text(variable_size(in));
        if (!in.ok()) return false;
        quoted(text);
        return true;
      }
      case kOpaque: return opaque(in);
      default: return false;
    }
  }

  void quoted(std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    out_ += '"';
    for (const char c : text) {
      switch (c) {
        case '"': out_ += "\\\""; break;
        case '\\': out_ += "\\\\"; break;
        case '\b': out_ += "\\b"; break;
        case '\f': out_ += "\\f"; break;
        case '\n': out_ += "\\n"; break;
        case '\r': out_ += "\\r"; break;
        case '\t': out_ += "\\t"; break;
        default:
          if (static_cast<uint8_t>(c) < 0x20) {
            out_ += "\\u00";
            out_ += kHex[c >> 4];
            out_ += kHex[c & 15];
          } else {
            out_ += c;
          }
      }
    }
    out_ += '"';
  }

 private:
  // Seven bits a byte, the lowest first.
  static uint64_t variable_size(BinlogReader& in) {
    uint64_t size = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      const uint8_t byte = in.u8();
      size |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return size;
    }
    in.skip(UINT64_MAX);  // Too long: fails the reader.
    return 0;
  }

  bool literal(uint8_t which) {
    if (which > 2) return false;
    static constexpr std::string_view kNames[3] = {"null", "true", "false"};
    out_ += kNames[which];
    return true;
  }

  void append_signed(int64_t number) {
    char text[kIntegerTextMax];
    out_.append(text, write_signed(text, number));
  }
  void append_unsigned(uint64_t number) {
    char text[kIntegerTextMax];
    out_.append(text, write_unsigned(text, number));
  }

  bool real(BinlogReader& in) {
    const double number = std::bit_cast<double>(in.u64());
    char text[kFloatTextMax];
    char* const end = write_double(text, number);
    if (!in.ok() || end == nullptr) return false;
    out_.append(text, end);
    // Told from an integer by its point.
    if (std::none_of(text, end, [](char c) { return c == '.' || c == 'e'; })) out_ += ".0";
    return true;
  }

  bool opaque(BinlogReader& in) {
    const uint8_t type = in.u8();
    const BinlogBytes data = in.bytes(variable_size(in));
    if (!in.ok()) return false;
    BinlogReader value(data);
    char text[kDecimalTextMax];
    switch (static_cast<BinlogType>(type)) {
      case BinlogType::kDecimal: {
        const unsigned precision = value.u8();
        const unsigned scale = value.u8();
        if (!value.ok() || precision < 1 || precision > 65 || scale > precision ||
            value.remaining() != decimal_size(precision, scale)) {
          return false;
        }
        char* const end = write_decimal(text, value.rest(), precision, scale);
        if (end == nullptr) return false;
        out_.append(text, end);
        return true;
      }
      case BinlogType::kDate:
      case BinlogType::kDatetime:
      case BinlogType::kTimestamp:
      case BinlogType::kTime: {
        const auto packed = static_cast<int64_t>(value.u64());
        char* const end = value.ok() ? temporal(text, static_cast<BinlogType>(type), packed) : nullptr;
        if (end == nullptr) return false;
        quoted({text, end});
        return true;
      }
      default: break;
    }
    out_ += "\"base64:type";
    append_unsigned(type);
    out_ += ':';
    base64(data);
    out_ += '"';
    return true;
  }

  // Date and clock above 24 bits of microseconds.
  static char* temporal(char* out, BinlogType type, int64_t packed) {
    const bool negative = packed < 0;
    const uint64_t magnitude = negative ? uint64_t{0} - static_cast<uint64_t>(packed) : static_cast<uint64_t>(packed);
    const auto micros = static_cast<uint32_t>(magnitude & 0xff'ffff);
    const uint64_t whole = magnitude >> 24;
    if (micros > 999'999) return nullptr;
    const auto clock = [&](char* at, unsigned hour) {
      at = write_padded(at, hour, 2);
      *at++ = ':';
      at = write_padded(at, whole >> 6 & 63, 2);
      *at++ = ':';
      at = write_padded(at, whole & 63, 2);
      *at++ = '.';
      return write_padded(at, micros, 6);
    };
    if (type == BinlogType::kTime) {
      if (whole >> 12 > 1023) return nullptr;
      if (negative) *out++ = '-';
      return clock(out, static_cast<unsigned>(whole >> 12));
    }
    const uint64_t day_part = whole >> 17;
    const uint64_t year = (day_part >> 5) / 13;
    if (negative || year > 9999) return nullptr;
    out = write_padded(out, year, 4);
    *out++ = '-';
    out = write_padded(out, (day_part >> 5) % 13, 2);
    *out++ = '-';
    out = write_padded(out, day_part & 31, 2);
    if (type == BinlogType::kDate) return out;
    *out++ = ' ';
    return clock(out, static_cast<unsigned>(whole >> 12 & 31));
  }

  void base64(BinlogBytes data) {
    static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < data.size(); i += 3) {
      const size_t have = std::min<size_t>(3, data.size() - i);
      uint32_t bits = 0;
      for (size_t j = 0; j < 3; ++j) bits = bits << 8 | (j < have ? data[i + j] : 0u);
      for (size_t j = 0; j < 4; ++j) out_ += j <= have ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
    }
  }

  // Count, size in bytes, then (object only) key entries (offset, 2 bytes of length), then value entries (type, offset
  // or the value itself if it fits). Offsets count from the beginning of the container.
  bool container(BinlogBytes bytes, bool object, size_t width, int depth) {
    if (depth >= kDepthMax) return false;
    BinlogReader in(bytes);
    const uint64_t count = in.little_endian(width);
    const uint64_t size = in.little_endian(width);
    if (!in.ok() || size > bytes.size()) return false;
    bytes = bytes.first(size);
    const size_t header = 2 * width;
    const uint64_t keys = object ? count * (width + 2) : 0;
    const uint64_t values = count * (width + 1);
    if (size < header || keys + values > size - header) return false;
    BinlogReader key_entries(bytes.subspan(header, keys));
    BinlogReader value_entries(bytes.subspan(header + keys, values));
    out_ += object ? '{' : '[';
    for (uint64_t i = 0; i < count; ++i) {
      if (i > 0) out_ += ", ";
      if (object) {
        const uint64_t offset = key_entries.little_endian(width);
        const uint64_t length = key_entries.u16();
        if (offset > size || length > size - offset || out_.size() > size_max_) return false;
        quoted(as_text(bytes.subspan(offset, length)));
        out_ += ": ";
      }
      const uint8_t type = value_entries.u8();
      const BinlogBytes slot = value_entries.bytes(width);
      const bool inlined =
          type == kLiteral || type == kInt16 || type == kUint16 || (width == 4 && (type == kInt32 || type == kUint32));
      if (inlined) {
        if (!value(type, slot, depth + 1)) return false;
        continue;
      }
      const uint64_t offset = BinlogReader(slot).little_endian(width);
      // Values lie behind the entries, which also keeps a container from holding itself.
      if (offset < header + keys + values || offset > size) return false;
      if (!value(type, bytes.subspan(offset), depth + 1)) return false;
    }
    out_ += object ? '}' : ']';
    return true;
  }

  std::string& out_;
  size_t size_max_;
};

}  // namespace

Status append_binary_json(BinlogBytes bytes, std::string& out) {
  if (bytes.empty()) {
    out += "null";
    return {};
  }
  const size_t before = out.size();
  JsonPrinter printer(out, bytes.size() * 8 + 64);
  if (!printer.value(bytes[0], bytes.subspan(1), 0)) {
    out.resize(before);
    return fail(Code::kDataLoss, "malformed JSON value in the binary log");
  }
  return {};
}

bool append_binary_json_scalar(uint8_t type, BinlogBytes bytes, std::string& out) {
  if (type < kLiteral) return false;
  return JsonPrinter(out, SIZE_MAX - out.size()).value(type, bytes, 0);
}

void append_json_string(std::string_view text, std::string& out) {
  JsonPrinter(out, SIZE_MAX - out.size()).quoted(text);
}

}  // namespace vitrail::mysql
