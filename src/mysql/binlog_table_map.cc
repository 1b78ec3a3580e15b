#include "mysql/binlog_table_map.h"

#include <fmt/core.h>

namespace vitrail::mysql {
namespace {

Error malformed(std::string_view what) {
  return fail(Code::kDataLoss, fmt::format("malformed TABLE_MAP event in the binary log: {}", what));
}

enum class MetadataField : uint8_t {
  kSignedness = 1,
  kDefaultCharset = 2,
  kColumnCharset = 3,
  kColumnName = 4,
  kSetMembers = 5,
  kEnumMembers = 6,
  kGeometryType = 7,
  kPrimaryKey = 8,
  kPrimaryKeyWithPrefix = 9,
  kEnumAndSetDefaultCharset = 10,
  kEnumAndSetColumnCharset = 11,
  kColumnVisibility = 12,
};

bool is_number(BinlogType type) {
  switch (type) {
    case BinlogType::kTiny:
    case BinlogType::kShort:
    case BinlogType::kInt24:
    case BinlogType::kLong:
    case BinlogType::kLongLong:
    case BinlogType::kYear:
    case BinlogType::kFloat:
    case BinlogType::kDouble:
    case BinlogType::kDecimalOld:
    case BinlogType::kDecimal: return true;
    default: return false;
  }
}

// What the servers count as a character column when they number collations. Geometry is a blob to MariaDB only.
bool is_text(BinlogType type, bool mariadb) {
  switch (type) {
    case BinlogType::kString:
    case BinlogType::kVarString:
    case BinlogType::kVarchar:
    case BinlogType::kTinyBlob:
    case BinlogType::kMediumBlob:
    case BinlogType::kLongBlob:
    case BinlogType::kBlob:
    case BinlogType::kVarcharCompressed:
    case BinlogType::kBlobCompressed: return true;
    case BinlogType::kGeometry: return mariadb;
    default: return false;
  }
}

bool is_enum_or_set(BinlogType type) { return type == BinlogType::kEnum || type == BinlogType::kSet; }

// Reads the type-dependent metadata of one column; false for a type or metadata that nothing known writes.
bool read_column_meta(BinlogReader& in, TableMapColumn& column) {
  switch (column.type) {
    case BinlogType::kFloat:
    case BinlogType::kDouble: column.meta = in.u8(); return column.meta == (column.type == BinlogType::kFloat ? 4 : 8);
    case BinlogType::kTimestamp2:
    case BinlogType::kDatetime2:
    case BinlogType::kTime2: column.meta = in.u8(); return column.meta <= 6;
    case BinlogType::kTinyBlob:
    case BinlogType::kMediumBlob:
    case BinlogType::kLongBlob:
    case BinlogType::kBlob:
    case BinlogType::kBlobCompressed:
    case BinlogType::kJson:
    case BinlogType::kVector:
    case BinlogType::kGeometry: column.meta = in.u8(); return column.meta >= 1 && column.meta <= 4;
    case BinlogType::kVarchar:
    case BinlogType::kVarString:
    case BinlogType::kVarcharCompressed: column.meta = in.u16(); return true;
    case BinlogType::kBit: {
      const uint8_t bits = in.u8();
      const uint8_t bytes = in.u8();
      column.meta = static_cast<uint16_t>(bytes * 8 + bits);
      return bits < 8 && column.meta >= 1 && column.meta <= 64;
    }
    case BinlogType::kDecimal: {
      const uint8_t precision = in.u8();
      const uint8_t scale = in.u8();
      column.meta = static_cast<uint16_t>(precision << 8 | scale);
      return precision >= 1 && precision <= 65 && scale <= precision;
    }
    case BinlogType::kEnum:
    case BinlogType::kSet:
    case BinlogType::kString: {
      uint8_t real_type = in.u8();
      uint16_t size = in.u8();
      // CHAR columns above 255 bytes keep two more bits of their size, inverted, in the type byte.
      if (column.type == BinlogType::kString && (real_type & 0x30) != 0x30) {
        size = static_cast<uint16_t>(size | ((real_type & 0x30) ^ 0x30) << 4);
        real_type |= 0x30;
      }
      column.meta = size;
      column.type = static_cast<BinlogType>(real_type);
      if (column.type == BinlogType::kEnum) return size == 1 || size == 2;
      if (column.type == BinlogType::kSet) return size >= 1 && size <= 8;
      if (column.type == BinlogType::kVarString) column.type = BinlogType::kString;
      return column.type == BinlogType::kString;
    }
    case BinlogType::kTiny:
    case BinlogType::kShort:
    case BinlogType::kLong:
    case BinlogType::kLongLong:
    case BinlogType::kInt24:
    case BinlogType::kNull:
    case BinlogType::kTimestamp:
    case BinlogType::kDate:
    case BinlogType::kTime:
    case BinlogType::kDatetime:
    case BinlogType::kYear:
    case BinlogType::kNewDate: return true;
    case BinlogType::kDecimalOld: return false;
  }
  return false;
}

template <typename Belongs>
bool read_default_charset(BinlogReader in, std::vector<TableMapColumn>& columns, Belongs belongs) {
  const uint64_t default_collation = in.lenenc();
  std::vector<TableMapColumn*> chosen;
  for (TableMapColumn& column : columns) {
    if (!belongs(column.type)) continue;
    column.collation = static_cast<uint16_t>(default_collation);
    chosen.push_back(&column);
  }
  while (in.remaining() > 0) {
    const uint64_t index = in.lenenc();
    const uint64_t collation = in.lenenc();
    if (!in.ok() || index >= chosen.size() || collation > 0xffff) return false;
    chosen[index]->collation = static_cast<uint16_t>(collation);
  }
  return in.ok() && default_collation <= 0xffff;
}

template <typename Belongs>
bool read_column_charsets(BinlogReader in, std::vector<TableMapColumn>& columns, Belongs belongs) {
  for (TableMapColumn& column : columns) {
    if (!belongs(column.type)) continue;
    const uint64_t collation = in.lenenc();
    if (collation > 0xffff) return false;
    column.collation = static_cast<uint16_t>(collation);
  }
  return in.ok();
}

bool read_members(BinlogReader in, std::vector<TableMapColumn>& columns, BinlogType type) {
  for (TableMapColumn& column : columns) {
    if (column.type != type) continue;
    uint64_t count = in.lenenc();
    if (count > in.remaining()) return false;
    column.members.reserve(count);
    for (; count > 0; --count) column.members.emplace_back(in.text(in.lenenc()));
    if (!in.ok()) return false;
  }
  return in.ok();
}

bool read_primary_key(BinlogReader in, bool with_prefix, TableMap& map) {
  while (in.remaining() > 0) {
    TableMapPrimaryKeyPart part;
    const uint64_t column = in.lenenc();
    const uint64_t prefix = with_prefix ? in.lenenc() : 0;
    if (!in.ok() || column >= map.columns.size() || prefix > UINT32_MAX) return false;
    if (map.primary_key.size() >= map.columns.size()) return false;
    part.column = static_cast<uint32_t>(column);
    part.prefix = static_cast<uint32_t>(prefix);
    map.primary_key.push_back(part);
  }
  return true;
}

// One bit for each number (or column), the highest bit of the first byte first.
template <typename Belongs, typename Set>
bool read_bits(BinlogReader in, std::vector<TableMapColumn>& columns, Belongs belongs, Set set) {
  uint8_t byte = 0;
  unsigned left = 0;
  for (TableMapColumn& column : columns) {
    if (!belongs(column.type)) continue;
    if (left == 0) {
      byte = in.u8();
      left = 8;
    }
    set(column, (byte & 0x80) != 0);
    byte = static_cast<uint8_t>(byte << 1);
    --left;
  }
  return in.ok();
}

bool read_field(MetadataField field, BinlogReader in, bool mariadb, TableMap& map) {
  const auto is_text_here = [mariadb](BinlogType type) { return is_text(type, mariadb); };
  switch (field) {
    case MetadataField::kSignedness:
      return read_bits(in, map.columns, is_number,
                       [](TableMapColumn& column, bool is_unsigned) { column.is_unsigned = is_unsigned; });
    case MetadataField::kDefaultCharset: return read_default_charset(in, map.columns, is_text_here);
    case MetadataField::kColumnCharset: return read_column_charsets(in, map.columns, is_text_here);
    case MetadataField::kColumnName:
      for (TableMapColumn& column : map.columns) column.name = in.text(in.lenenc());
      map.has_names = in.ok();
      return in.ok();
    case MetadataField::kSetMembers: return read_members(in, map.columns, BinlogType::kSet);
    case MetadataField::kEnumMembers: return read_members(in, map.columns, BinlogType::kEnum);
    case MetadataField::kGeometryType:
      for (TableMapColumn& column : map.columns) {
        if (column.type == BinlogType::kGeometry) column.geometry_type = static_cast<uint32_t>(in.lenenc());
      }
      return in.ok();
    case MetadataField::kPrimaryKey: return read_primary_key(in, false, map);
    case MetadataField::kPrimaryKeyWithPrefix: return read_primary_key(in, true, map);
    case MetadataField::kEnumAndSetDefaultCharset: return read_default_charset(in, map.columns, is_enum_or_set);
    case MetadataField::kEnumAndSetColumnCharset: return read_column_charsets(in, map.columns, is_enum_or_set);
    case MetadataField::kColumnVisibility:
      return read_bits(
          in, map.columns, [](BinlogType) { return true; },
          [](TableMapColumn& column, bool visible) { column.visible = visible; });
  }
  return true;  // Later servers add fields; each names its size.
}

}  // namespace

Result<uint64_t> parse_table_id(BinlogBytes body, const FormatDescription& format, EventType type) {
  BinlogReader in(body);
  const uint64_t id = format.post_header_size(type, 8) == 6 ? in.u32() : in.u48();
  if (!in.ok()) return malformed("no table id");
  return id;
}

Result<TableMap> parse_table_map(BinlogBytes body, const FormatDescription& format) {
  TableMap map;
  BinlogReader in(body);
  map.table_id = format.post_header_size(EventType::kTableMap, 8) == 6 ? in.u32() : in.u48();
  map.flags = in.u16();
  map.schema = in.text(in.u8());
  in.skip(1);
  map.table = in.text(in.u8());
  in.skip(1);
  const uint64_t count = in.lenenc();
  if (!in.ok()) return malformed("no column count");
  if (count > kTableColumnsMax) return malformed(fmt::format("{} columns", count));
  const BinlogBytes types = in.bytes(count);
  BinlogReader metas(in.bytes(in.lenenc()));
  const BinlogBytes nullable = in.bytes((count + 7) / 8);
  if (!in.ok()) return malformed("cut short");
  map.columns.resize(count);
  for (size_t i = 0; i < count; ++i) {
    TableMapColumn& column = map.columns[i];
    column.type = static_cast<BinlogType>(types[i]);
    column.nullable = (nullable[i / 8] >> (i % 8) & 1) != 0;
    if (!read_column_meta(metas, column)) {
      return fail(Code::kUnimplemented,
                  fmt::format("column {} of table {}.{} has type {} with metadata {} in the binary "
                              "log, which is not supported",
                              i + 1, map.schema, map.table, types[i], column.meta));
    }
  }
  if (!metas.ok() || metas.remaining() > 0) return malformed("column metadata of wrong size");
  while (in.remaining() > 0) {
    const auto field = static_cast<MetadataField>(in.u8());
    const BinlogReader value(in.bytes(in.lenenc()));
    if (!in.ok() || !read_field(field, value, format.mariadb(), map)) {
      return malformed(fmt::format("optional metadata {}", static_cast<unsigned>(field)));
    }
  }
  return map;
}

}  // namespace vitrail::mysql
