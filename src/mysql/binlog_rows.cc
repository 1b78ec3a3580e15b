#include "mysql/binlog_rows.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "mysql/binlog_compress.h"
#include "mysql/binlog_json.h"
#include "mysql/binlog_json_patch.h"
#include "mysql/binlog_value.h"

namespace vitrail::mysql {
namespace {

using Special = RowColumnHint::Special;

Error malformed(std::string_view what) {
  return fail(Code::kDataLoss, fmt::format("malformed rows event in the binary log: {}", what));
}

bool bit_set(BinlogBytes bits, size_t index) { return (bits[index / 8] >> (index % 8) & 1) != 0; }

bool is_integer(BinlogType type) {
  return type == BinlogType::kTiny || type == BinlogType::kShort || type == BinlogType::kInt24 ||
         type == BinlogType::kLong || type == BinlogType::kLongLong;
}

bool is_old_temporal(BinlogType type) {
  return type == BinlogType::kTime || type == BinlogType::kDatetime || type == BinlogType::kTimestamp;
}

// Room that the text of a value takes in RowImage::text_; 0 for values that refer to the event.
size_t text_bound(const RowColumn& column, bool member_names) {
  switch (column.type) {
    case BinlogType::kTiny:
    case BinlogType::kShort:
    case BinlogType::kInt24:
    case BinlogType::kLong:
    case BinlogType::kLongLong:
    case BinlogType::kYear: return std::max<size_t>(kIntegerTextMax, column.zerofill_width);
    case BinlogType::kFloat:
    case BinlogType::kDouble:
      return std::max<size_t>(column.float_digits ? kFixedFloatTextMax : kFloatTextMax, column.zerofill_width);
    case BinlogType::kDecimal: return std::max<size_t>(kDecimalTextMax, column.zerofill_width);
    case BinlogType::kDate:
    case BinlogType::kNewDate:
    case BinlogType::kTime:
    case BinlogType::kTime2:
    case BinlogType::kDatetime:
    case BinlogType::kDatetime2:
    case BinlogType::kTimestamp:
    case BinlogType::kTimestamp2: return kTemporalTextMax;
    case BinlogType::kEnum: return member_names ? 0 : kIntegerTextMax;
    case BinlogType::kSet: {
      if (!member_names) return kIntegerTextMax;
      size_t size = column.members.size();
      for (const std::string& member : column.members) size += member.size();
      return size;
    }
    case BinlogType::kString:
      return column.special != Special::kNone ? std::max(kInet6TextMax, kUuidTextMax)
             : column.is_binary               ? column.meta
                                              : 0;
    default: return 0;
  }
}

// --- hints --------------------------------------------------------------------------------------------------------

Error malformed_type(std::string_view type) {
  return fail(Code::kInvalidArgument, fmt::format("column type '{}' is malformed", type.substr(0, 80)));
}

// 'a','it''s','x\\y' up to the closing bracket.
Result<std::vector<std::string>> parse_members(std::string_view text, std::string_view whole) {
  std::vector<std::string> members;
  size_t at = 0;
  while (at < text.size() && text[at] == '\'') {
    std::string member;
    bool closed = false;
    for (++at; at < text.size(); ++at) {
      if (text[at] == '\\' && at + 1 < text.size()) {
        const char next = text[++at];
        member += next == 'n' ? '\n' : next == 'r' ? '\r' : next == '0' ? '\0' : next;
      } else if (text[at] != '\'') {
        member += text[at];
      } else if (at + 1 < text.size() && text[at + 1] == '\'') {
        member += text[at++];
      } else {
        closed = true;
        ++at;
        break;
      }
    }
    if (!closed) return malformed_type(whole);
    members.push_back(std::move(member));
    if (at < text.size() && text[at] == ',') ++at;
  }
  if (at >= text.size() || text[at] != ')') return malformed_type(whole);
  return members;
}

}  // namespace

Result<RowColumnHint> RowColumnHint::from_column_type(std::string_view column_type) {
  RowColumnHint hint;
  std::string name;
  size_t at = 0;
  for (; at < column_type.size() && column_type[at] != '(' && column_type[at] != ' '; ++at) {
    const char c = column_type[at];
    name += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  std::string_view rest = column_type.substr(at);
  if (name == "enum" || name == "set") {
    if (rest.empty() || rest.front() != '(') return malformed_type(column_type);
    ASSIGN_OR_RETURN(hint.members, parse_members(rest.substr(1), column_type));
    return hint;
  }
  std::optional<unsigned> first;
  std::optional<unsigned> second;
  if (!rest.empty() && rest.front() == '(') {
    const size_t close = rest.find(')');
    if (close == std::string_view::npos) return malformed_type(column_type);
    const char* end = rest.data() + close;
    unsigned number = 0;
    auto parsed = std::from_chars(rest.data() + 1, end, number);
    if (parsed.ec == std::errc()) {
      first = number;
      if (parsed.ptr != end && *parsed.ptr == ',') {
        if (std::from_chars(parsed.ptr + 1, end, number).ec == std::errc()) second = number;
      }
    }
    rest.remove_prefix(close + 1);
  }
  const bool zerofill = rest.find("zerofill") != std::string_view::npos;
  const bool floating = name == "float" || name == "double" || name == "real";
  const bool decimal = name == "decimal" || name == "numeric";
  const bool integer = name == "tinyint" || name == "smallint" || name == "mediumint" || name == "int" ||
                       name == "integer" || name == "bigint";
  if (integer || floating || decimal) {
    hint.is_unsigned = zerofill || rest.find("unsigned") != std::string_view::npos;
    constexpr unsigned kFloatDigitsMax = 30;
    if (floating && second) hint.float_digits = static_cast<uint8_t>(std::min(*second, kFloatDigitsMax));
    if (zerofill) {
      unsigned width = first.value_or(name == "float" ? 12 : floating ? 22 : 10);
      if (decimal && second.value_or(0) > 0) ++width;
      hint.zerofill_width = static_cast<uint8_t>(std::min(width, 255u));
    }
  } else if (name == "time" || name == "datetime" || name == "timestamp") {
    hint.temporal_digits = static_cast<uint8_t>(std::min(first.value_or(0), 6u));
  } else if (name == "year") {
    hint.is_unsigned = true;
    hint.two_digit_year = first == 2u;
  } else if (name == "binary" || name == "varbinary" || name.ends_with("blob")) {
    hint.is_binary = true;
  } else if (name == "char" || name == "varchar" || name.ends_with("text")) {
    hint.is_binary = false;
  } else if (name == "uuid") {
    hint.special = Special::kUuid;
  } else if (name == "inet6") {
    hint.special = Special::kInet6;
  } else if (name == "inet4") {
    hint.special = Special::kInet4;
  }
  return hint;
}

// --- events -------------------------------------------------------------------------------------------------------

namespace {

struct RowsLayout {
  RowsKind kind;
  bool version2;
  bool compressed;
};

std::optional<RowsLayout> rows_layout(EventType type) {
  switch (type) {
    case EventType::kWriteRowsV1: return RowsLayout{RowsKind::kInsert, false, false};
    case EventType::kUpdateRowsV1: return RowsLayout{RowsKind::kUpdate, false, false};
    case EventType::kDeleteRowsV1: return RowsLayout{RowsKind::kDelete, false, false};
    case EventType::kWriteRowsV2: return RowsLayout{RowsKind::kInsert, true, false};
    case EventType::kPartialUpdateRows:
    case EventType::kUpdateRowsV2: return RowsLayout{RowsKind::kUpdate, true, false};
    case EventType::kDeleteRowsV2: return RowsLayout{RowsKind::kDelete, true, false};
    case EventType::kMariadbWriteRowsCompressedV1: return RowsLayout{RowsKind::kInsert, false, true};
    case EventType::kMariadbUpdateRowsCompressedV1: return RowsLayout{RowsKind::kUpdate, false, true};
    case EventType::kMariadbDeleteRowsCompressedV1: return RowsLayout{RowsKind::kDelete, false, true};
    case EventType::kMariadbWriteRowsCompressed: return RowsLayout{RowsKind::kInsert, true, true};
    case EventType::kMariadbUpdateRowsCompressed: return RowsLayout{RowsKind::kUpdate, true, true};
    case EventType::kMariadbDeleteRowsCompressed: return RowsLayout{RowsKind::kDelete, true, true};
    default: return std::nullopt;
  }
}

}  // namespace

bool is_rows_event(EventType type) { return rows_layout(type).has_value(); }

Result<RowsEvent> parse_rows_event(const BinlogEvent& event, const FormatDescription& format, std::string& scratch) {
  const auto layout = rows_layout(event.header.type);
  if (!layout) {
    return fail(Code::kUnimplemented,
                fmt::format("{} is not a rows event that can be read", event_type_name(event.header.type)));
  }
  RowsEvent rows;
  rows.kind = layout->kind;
  rows.json_changes = event.header.type == EventType::kPartialUpdateRows;
  BinlogReader in(event.body);
  rows.table_id = format.post_header_size(event.header.type, layout->version2 ? 10 : 8) == 6 ? in.u32() : in.u48();
  rows.flags = in.u16();
  if (layout->version2) {
    const uint16_t extra = in.u16();  // Counts itself.
    if (extra < 2) return malformed("extra data of no size");
    in.skip(extra - 2u);
  }
  const uint64_t count = in.lenenc();
  if (!in.ok() || count > kTableColumnsMax) return malformed("column count");
  rows.column_count = static_cast<uint32_t>(count);
  const size_t bitmap = (count + 7) / 8;
  if (rows.kind != RowsKind::kInsert) rows.present_before = in.bytes(bitmap);
  if (rows.kind != RowsKind::kDelete) rows.present_after = in.bytes(bitmap);
  if (!in.ok()) return malformed("column bitmap");
  rows.rows = in.rest();
  if (layout->compressed) {
    RETURN_IF_ERROR(inflate_mariadb_event(rows.rows, scratch));
    rows.rows = as_bytes(scratch);
  }
  return rows;
}

// --- columns ------------------------------------------------------------------------------------------------------

bool RowColumn::is_number() const {
  return is_integer(type) || type == BinlogType::kYear || type == BinlogType::kFloat || type == BinlogType::kDouble ||
         type == BinlogType::kDecimal;
}

FieldType RowColumn::field_type() const {
  switch (type) {
    case BinlogType::kTimestamp2: return FieldType::kTimestamp;
    case BinlogType::kDatetime2: return FieldType::kDatetime;
    case BinlogType::kTime2: return FieldType::kTime;
    case BinlogType::kNewDate: return FieldType::kDate;
    case BinlogType::kVarchar:
    case BinlogType::kVarcharCompressed: return FieldType::kVarString;
    case BinlogType::kBlobCompressed: return FieldType::kBlob;
    default: return static_cast<FieldType>(type);
  }
}

Result<RowDecoder> RowDecoder::create(const TableMap& map, std::span<const RowColumnHint> hints, Options options) {
  const auto lacking = [&](size_t index, std::string_view what) {
    const std::string& name = map.columns[index].name;
    return fail(Code::kFailedPrecondition,
                fmt::format("cannot decode column {} of table {}.{}: {} is unknown; set binlog_row_metadata to FULL on "
                            "the server, or supply the table's schema",
                            name.empty() ? fmt::format("{}", index + 1) : name, map.schema, map.table, what));
  };
  if (!hints.empty() && hints.size() != map.columns.size()) {
    return fail(Code::kFailedPrecondition,
                fmt::format("table {}.{} has {} columns in the binary log but {} in the schema", map.schema, map.table,
                            map.columns.size(), hints.size()));
  }
  static const RowColumnHint kNoHint;
  RowDecoder decoder;
  decoder.options_ = options;
  decoder.columns_.reserve(map.columns.size());
  for (size_t i = 0; i < map.columns.size(); ++i) {
    const TableMapColumn& from = map.columns[i];
    const RowColumnHint& hint = hints.empty() ? kNoHint : hints[i];
    RowColumn column;
    column.name = from.name;
    column.type = from.type;
    column.meta = from.meta;
    column.collation = from.collation;
    column.zerofill_width = hint.zerofill_width;
    if (is_integer(from.type)) {
      const auto is_unsigned = from.is_unsigned ? from.is_unsigned : hint.is_unsigned;
      if (!is_unsigned) return lacking(i, "whether it is unsigned");
      column.is_unsigned = *is_unsigned;
    } else {
      column.is_unsigned =
          from.type == BinlogType::kYear || from.is_unsigned.value_or(hint.is_unsigned.value_or(false));
    }
    if (from.type == BinlogType::kYear) column.two_digit_year = hint.two_digit_year;
    if (from.type == BinlogType::kFloat || from.type == BinlogType::kDouble) column.float_digits = hint.float_digits;
    if (is_old_temporal(from.type)) {
      if (!hint.temporal_digits || *hint.temporal_digits > 6) return lacking(i, "the number of its fractional digits");
      column.temporal_digits = *hint.temporal_digits;
    } else if (from.type == BinlogType::kTime2 || from.type == BinlogType::kDatetime2 ||
               from.type == BinlogType::kTimestamp2) {
      column.temporal_digits = static_cast<uint8_t>(from.meta);
    }
    switch (from.type) {
      case BinlogType::kString: {
        const size_t size = hint.special == Special::kInet4 ? 4 : 16;
        if (hint.special != Special::kNone && from.meta == size) {
          column.special = hint.special;
          break;
        }
        if (from.collation) {
          column.is_binary = *from.collation == kBinaryCollation;
        } else if (hint.is_binary) {
          column.is_binary = *hint.is_binary;
        } else {
          return lacking(i, "whether it is CHAR or BINARY");
        }
        break;
      }
      case BinlogType::kBit:
      case BinlogType::kGeometry:
      case BinlogType::kVector: column.is_binary = true; break;
      case BinlogType::kJson: break;
      case BinlogType::kEnum:
      case BinlogType::kSet:
        column.members = from.members.empty() ? hint.members : from.members;
        if (options.member_names && column.members.empty()) return lacking(i, "the list of its members");
        if (column.type == BinlogType::kSet && column.members.size() > 64)
          return malformed("SET of more than 64 members");
        break;
      default: column.is_binary = from.collation ? *from.collation == kBinaryCollation : hint.is_binary.value_or(false);
    }
    if (column.type == BinlogType::kJson || column.type == BinlogType::kBlobCompressed ||
        column.type == BinlogType::kVarcharCompressed) {
      ++decoder.large_count_;
    }
    if (column.type == BinlogType::kJson) ++decoder.json_count_;
    decoder.text_max_ += text_bound(column, options.member_names);
    decoder.columns_.push_back(std::move(column));
  }
  return decoder;
}

// --- values -------------------------------------------------------------------------------------------------------

namespace {

uint64_t read_length(const RowColumn& column, BinlogReader& rows) {
  switch (column.type) {
    case BinlogType::kVarchar:
    case BinlogType::kVarString:
    case BinlogType::kVarcharCompressed:
    case BinlogType::kString: return rows.little_endian(column.meta > 255 ? 2 : 1);
    default: return rows.little_endian(column.meta);
  }
}

size_t integer_size(BinlogType type) {
  switch (type) {
    case BinlogType::kTiny: return 1;
    case BinlogType::kShort: return 2;
    case BinlogType::kInt24: return 3;
    case BinlogType::kLong: return 4;
    default: return 8;
  }
}

// Fills [begin, end) up to the width of a ZEROFILL column.
char* zero_fill(char* begin, char* end, size_t width) {
  const auto size = static_cast<size_t>(end - begin);
  if (size >= width) return end;
  std::memmove(begin + (width - size), begin, size);
  std::memset(begin, '0', width - size);
  return begin + width;
}

// MariaDB's column compression: a byte 1000wlll says zlib, whether the stream is bare (w), and the size of the length,
// which follows, big endian; a byte 0 says that the value follows as it is. An empty value has no byte at all.
Status inflate_column(BinlogBytes packed, std::string& large, std::string_view& text) {
  if (packed.empty()) {
    text = {};
    return {};
  }
  const uint8_t head = packed[0];
  if (head == 0) {
    text = as_text(packed.subspan(1));
    return {};
  }
  constexpr uint8_t kZlib = 8;
  constexpr uint8_t kBare = 8;
  const uint8_t length_size = head & 7;
  if (head >> 4 != kZlib || length_size < 1 || length_size > 4) {
    return fail(Code::kUnimplemented, fmt::format("unknown column compression {}", head));
  }
  BinlogReader in(packed.subspan(1));
  const uint64_t size = in.big_endian(length_size);
  if (!in.ok()) return malformed("compressed column");
  RETURN_IF_ERROR(inflate_exactly(in.rest(), size, (head & kBare) != 0, large));
  text = large;
  return {};
}

}  // namespace

Status RowDecoder::enum_text(const RowColumn& column, uint64_t number, RowValue& value) const {
  if (number > column.members.size()) return malformed("number of an ENUM that has no member");
  value.text = number == 0 ? std::string_view() : std::string_view(column.members[number - 1]);
  return {};
}

Status RowDecoder::set_text(const RowColumn& column, uint64_t number, char*& text, RowValue& value) const {
  char* const begin = text;
  for (; number != 0; number &= number - 1) {
    const auto member = static_cast<size_t>(std::countr_zero(number));
    if (member >= column.members.size()) return malformed("bit of a SET that has no member");
    if (text != begin) *text++ = ',';
    const std::string& name = column.members[member];
    text = std::copy(name.begin(), name.end(), text);
  }
  value.text = {begin, text};
  return {};
}

Status RowDecoder::decode_value(const RowColumn& column, BinlogReader& rows, char*& text, size_t& large,
                                RowImage& image, RowValue& value) const {
  char* const begin = text;
  char* end = begin;
  switch (column.type) {
    case BinlogType::kTiny:
    case BinlogType::kShort:
    case BinlogType::kInt24:
    case BinlogType::kLong:
    case BinlogType::kLongLong: {
      const size_t size = integer_size(column.type);
      const uint64_t number = rows.little_endian(size);
      const auto unused = static_cast<unsigned>(64 - 8 * size);
      end = column.is_unsigned ? write_unsigned(begin, number)
                               : write_signed(begin, static_cast<int64_t>(number << unused) >> unused);
      break;
    }
    case BinlogType::kFloat: {
      const auto number = std::bit_cast<float>(rows.u32());
      end = column.float_digits ? write_fixed_double(begin, number, *column.float_digits) : write_float(begin, number);
      break;
    }
    case BinlogType::kDouble: {
      const auto number = std::bit_cast<double>(rows.u64());
      end = column.float_digits ? write_fixed_double(begin, number, *column.float_digits) : write_double(begin, number);
      break;
    }
    case BinlogType::kDecimal: {
      const unsigned precision = column.meta >> 8;
      const unsigned scale = column.meta & 0xff;
      const BinlogBytes bytes = rows.bytes(decimal_size(precision, scale));
      end = rows.ok() ? write_decimal(begin, bytes, precision, scale) : nullptr;
      break;
    }
    case BinlogType::kYear: {
      const uint8_t year = rows.u8();
      end = column.two_digit_year ? write_padded(begin, year % 100, 2) : write_year(begin, year);
      break;
    }
    case BinlogType::kDate:
    case BinlogType::kNewDate: end = write_date(begin, static_cast<uint32_t>(rows.little_endian(3))); break;
    case BinlogType::kTime: end = write_time_old(begin, rows, column.temporal_digits); break;
    case BinlogType::kDatetime: end = write_datetime_old(begin, rows, column.temporal_digits); break;
    case BinlogType::kTimestamp: end = write_timestamp_old(begin, rows, column.temporal_digits); break;
    case BinlogType::kTime2: end = write_time2(begin, rows, column.temporal_digits); break;
    case BinlogType::kDatetime2: end = write_datetime2(begin, rows, column.temporal_digits); break;
    case BinlogType::kTimestamp2: end = write_timestamp2(begin, rows, column.temporal_digits); break;
    case BinlogType::kBit: value.text = rows.text((column.meta + 7u) / 8); return {};
    case BinlogType::kEnum:
    case BinlogType::kSet: {
      const uint64_t number = rows.little_endian(column.meta);
      if (options_.member_names) {
        return column.type == BinlogType::kEnum ? enum_text(column, number, value)
                                                : set_text(column, number, text, value);
      }
      end = write_unsigned(begin, number);
      break;
    }
    case BinlogType::kString: {
      const BinlogBytes bytes = rows.bytes(read_length(column, rows));
      value.text = as_text(bytes);
      // The log leaves out zero bytes at the end of BINARY, and of the types that are stored as BINARY.
      if (column.special == Special::kNone && (!column.is_binary || bytes.size() == column.meta)) return {};
      if (bytes.size() > column.meta) return malformed("BINARY value longer than its column");
      if (column.special == Special::kNone) {
        end = std::fill_n(std::copy(bytes.begin(), bytes.end(), begin), column.meta - bytes.size(), '\0');
        break;
      }
      uint8_t full[16] = {};
      std::copy(bytes.begin(), bytes.end(), full);
      end = column.special == Special::kUuid    ? write_uuid(begin, full)
            : column.special == Special::kInet6 ? write_inet6(begin, full)
                                                : write_inet4(begin, full);
      break;
    }
    case BinlogType::kVarchar:
    case BinlogType::kVarString:
    case BinlogType::kTinyBlob:
    case BinlogType::kMediumBlob:
    case BinlogType::kLongBlob:
    case BinlogType::kBlob:
    case BinlogType::kVector:
    case BinlogType::kGeometry: value.text = rows.text(read_length(column, rows)); return {};
    case BinlogType::kVarcharCompressed:
    case BinlogType::kBlobCompressed:
      return inflate_column(rows.bytes(read_length(column, rows)), image.large_[large++], value.text);
    case BinlogType::kJson:  // See decode_image().
    case BinlogType::kNull:
    case BinlogType::kDecimalOld: return malformed("value of a type that has none");
  }
  if (end == nullptr) return malformed("impossible value");
  if (column.zerofill_width > 0 && column.is_number()) end = zero_fill(begin, end, column.zerofill_width);
  value.text = {begin, end};
  text = end;
  return {};
}

// `before`: where `bytes` are changes to its value.
Status RowDecoder::json_text(size_t column, BinlogBytes bytes, const RowImage* before, std::string& json) const {
  json.clear();
  if (before == nullptr) return append_binary_json(bytes, json);
  if (before->json_.size() <= column || before->values_[column].state != RowValue::State::kValue) {
    return fail(
        Code::kFailedPrecondition,
        "the binary log has changes to a JSON value and not the value; set binlog_row_image=FULL on the source");
  }
  return append_changed_json(before->json_[column], bytes, json);
}

Status RowDecoder::decode_image(BinlogReader& rows, BinlogBytes present, RowImage& image,
                                const RowImage* before) const {
  BinlogBytes changed;  // One bit for each JSON column of the table: its value is changes to the one before.
  constexpr uint64_t kJsonChanges = 1;
  if (before != nullptr && (rows.lenenc() & kJsonChanges) != 0) changed = rows.bytes((json_count_ + 7) / 8);
  size_t json_index = 0;
  if (json_count_ > 0) image.json_.assign(columns_.size(), BinlogBytes());
  image.values_.assign(columns_.size(), RowValue());
  if (image.text_.size() < text_max_) image.text_.resize(text_max_);
  if (image.large_.size() < large_count_) image.large_.resize(large_count_);
  size_t present_count = 0;
  for (size_t i = 0; i < columns_.size(); ++i) present_count += bit_set(present, i) ? 1 : 0;
  const BinlogBytes nulls = rows.bytes((present_count + 7) / 8);
  if (!rows.ok()) return malformed("cut short");
  char* text = image.text_.data();
  size_t large = 0;
  size_t index = 0;  // Among the columns that are present.
  for (size_t i = 0; i < columns_.size(); ++i) {
    const bool json = columns_[i].type == BinlogType::kJson;
    const bool json_changed = json && !changed.empty() && bit_set(changed, json_index);
    if (json) ++json_index;
    if (!bit_set(present, i)) continue;
    RowValue& value = image.values_[i];
    if (bit_set(nulls, index++)) {
      value.state = RowValue::State::kNull;
      continue;
    }
    value.state = RowValue::State::kValue;
    Status status;
    if (json) {
      image.json_[i] = rows.bytes(rows.little_endian(columns_[i].meta));
      std::string& out = image.large_[large++];
      if (rows.ok()) status = json_text(i, image.json_[i], json_changed ? before : nullptr, out);
      value.text = out;
    } else {
      status = decode_value(columns_[i], rows, text, large, image, value);
    }
    if (!status.ok()) {
      return std::move(status).error().with_context(
          fmt::format("column {}", columns_[i].name.empty() ? fmt::format("{}", i + 1) : columns_[i].name));
    }
    if (!rows.ok()) return malformed("cut short");
  }
  return {};
}

Result<bool> RowsReader::next(RowChange& change) {
  if (event_.column_count != decoder_.columns().size()) {
    return malformed(
        fmt::format("{} columns where the table map has {}", event_.column_count, decoder_.columns().size()));
  }
  const size_t before = in_.remaining();
  if (before == 0) return false;
  if (event_.kind == RowsKind::kInsert) {
    change.before.clear();
  } else {
    RETURN_IF_ERROR(decoder_.decode_image(in_, event_.present_before, change.before));
  }
  if (event_.kind == RowsKind::kDelete) {
    change.after.clear();
  } else {
    RETURN_IF_ERROR(
        decoder_.decode_image(in_, event_.present_after, change.after, event_.json_changes ? &change.before : nullptr));
  }
  if (in_.remaining() == before) return malformed("rows without columns");
  return true;
}

}  // namespace vitrail::mysql
