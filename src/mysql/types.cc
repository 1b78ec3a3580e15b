#include "mysql/types.h"

namespace vitrail::mysql {

bool is_integer_type(FieldType type) {
  switch (type) {
    case FieldType::kTiny:
    case FieldType::kShort:
    case FieldType::kInt24:
    case FieldType::kLong:
    case FieldType::kLongLong:
    case FieldType::kYear: return true;
    default: return false;
  }
}

bool is_float_type(FieldType type) { return type == FieldType::kFloat || type == FieldType::kDouble; }

bool is_decimal_type(FieldType type) { return type == FieldType::kDecimal || type == FieldType::kNewDecimal; }

bool is_temporal_type(FieldType type) {
  switch (type) {
    case FieldType::kDate:
    case FieldType::kNewDate:
    case FieldType::kTime:
    case FieldType::kDatetime:
    case FieldType::kTimestamp: return true;
    default: return false;
  }
}

bool is_string_type(FieldType type) {
  switch (type) {
    case FieldType::kVarchar:
    case FieldType::kVector:
    case FieldType::kJson:
    case FieldType::kEnum:
    case FieldType::kSet:
    case FieldType::kTinyBlob:
    case FieldType::kMediumBlob:
    case FieldType::kLongBlob:
    case FieldType::kBlob:
    case FieldType::kVarString:
    case FieldType::kString:
    case FieldType::kGeometry: return true;
    default: return false;
  }
}

Value make_value(const ColumnDef& column, Cell cell) {
  if (!cell) return Value::null();
  Value value{column.type, column.is_unsigned(), false, std::string(*cell)};
  if (value.type == FieldType::kNull) value.type = FieldType::kVarString;
  // JSON is sent with the binary collation, but a binary literal is no JSON text for the server.
  value.is_binary =
      is_string_type(column.type) && column.type != FieldType::kJson && column.collation == kBinaryCollation;
  return value;
}

}  // namespace vitrail::mysql
