#include "exec/proto_result.h"

namespace vitrail::exec {

::query::Type query_type(const mysql::ColumnDef& column) {
  using mysql::FieldType;
  const bool u = column.is_unsigned();
  const bool binary = column.collation == mysql::kBinaryCollation;
  switch (column.type) {
    case FieldType::kTiny: return u ? ::query::UINT8 : ::query::INT8;
    case FieldType::kShort: return u ? ::query::UINT16 : ::query::INT16;
    case FieldType::kInt24: return u ? ::query::UINT24 : ::query::INT24;
    case FieldType::kLong: return u ? ::query::UINT32 : ::query::INT32;
    case FieldType::kLongLong: return u ? ::query::UINT64 : ::query::INT64;
    case FieldType::kFloat: return ::query::FLOAT32;
    case FieldType::kDouble: return ::query::FLOAT64;
    case FieldType::kTimestamp: return ::query::TIMESTAMP;
    case FieldType::kDate: return ::query::DATE;
    case FieldType::kTime: return ::query::TIME;
    case FieldType::kDatetime: return ::query::DATETIME;
    case FieldType::kYear: return ::query::YEAR;
    case FieldType::kDecimal:
    case FieldType::kNewDecimal: return ::query::DECIMAL;
    case FieldType::kBit: return ::query::BIT;
    case FieldType::kEnum: return ::query::ENUM;
    case FieldType::kSet: return ::query::SET;
    case FieldType::kJson: return ::query::JSON;
    case FieldType::kGeometry: return ::query::GEOMETRY;
    case FieldType::kNull: return ::query::NULL_TYPE;
    case FieldType::kTinyBlob:
    case FieldType::kMediumBlob:
    case FieldType::kLongBlob:
    case FieldType::kBlob: return binary ? ::query::BLOB : ::query::TEXT;
    case FieldType::kString: return binary ? ::query::BINARY : ::query::CHAR;
    default: return binary ? ::query::VARBINARY : ::query::VARCHAR;
  }
}

void add_fields(::query::QueryResult& out, const std::vector<mysql::ColumnDef>& columns) {
  for (const auto& column : columns) {
    auto* field = out.add_fields();
    field->set_name(column.name);
    field->set_type(query_type(column));
    field->set_table(column.table);
    field->set_org_table(column.org_table);
    field->set_database(column.schema);
    field->set_org_name(column.org_name);
    field->set_column_length(column.length);
    field->set_charset(column.collation);
    field->set_decimals(column.decimals);
    field->set_flags(column.flags);
  }
}

void add_cell(::query::Row& row, mysql::Cell cell) {
  row.add_lengths(cell ? static_cast<int64_t>(cell->size()) : -1);
  if (cell) row.mutable_values()->append(*cell);
}

::query::QueryResult to_proto(const net::QueryResult& result) {
  ::query::QueryResult out;
  add_fields(out, result.columns);
  for (const auto& row : result.rows) {
    auto* target = out.add_rows();
    for (const auto& cell : row) add_cell(*target, cell ? mysql::Cell(*cell) : mysql::Cell());
  }
  out.set_rows_affected(result.ok.affected_rows);
  out.set_insert_id(result.ok.last_insert_id);
  return out;
}

void strip_fields(::query::QueryResult& result, ::query::ExecuteOptions::IncludedFields wanted) {
  if (wanted == ::query::ExecuteOptions::ALL) return;
  for (::query::Field& field : *result.mutable_fields()) {
    ::query::Field kept;
    kept.set_type(field.type());
    if (wanted == ::query::ExecuteOptions::TYPE_AND_NAME) {
      kept.set_name(field.name());
      kept.set_charset(field.charset());
      kept.set_flags(field.flags());
    }
    field = std::move(kept);
  }
}

}  // namespace vitrail::exec
