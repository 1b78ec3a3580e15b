// What comes from other tablets and from stored records: rows, filters, and the text form of messages.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "binlogdata.pb.h"
#include "movement/filter.h"
#include "movement/target_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail;
  using namespace vitrail::movement;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 == 0) {
    ::query::Row row;
    if (!row.ParseFromArray(text.data(), static_cast<int>(text.size()))) return 0;
    TableSchema schema;
    schema.name = "t";
    schema.columns = {{.name = "a", .type = ::query::INT64, .column_type = "bigint"},
                      {.name = "b", .type = ::query::VARCHAR, .column_type = "varchar(9)", .character_set = "utf8mb4"}};
    schema.identity = {0};
    google::protobuf::RepeatedPtrField<::query::Field> fields;
    for (const Column& column : schema.columns) *fields.Add() = to_field(column, "t", "d");
    auto table = TargetTable::bind(schema, "d", fields);
    if (!table.ok()) __builtin_trap();
    RowBatch batch(std::make_shared<const TargetTable>(std::move(*table)));
    (void)batch.remove(row);
    (void)batch.insert(row);
    (void)batch.insert(row);
    std::vector<std::string> statements;
    batch.append_deletes(statements);
    batch.append_inserts(statements);
    return 0;
  }
  if (data[0] % 3 == 1) {
    std::string table;
    (void)parse_row_query(text, table);
    return 0;
  }
  ::binlogdata::BinlogSource source;
  if (from_text(text, source, "source").has_value()) {
    ::binlogdata::BinlogSource again;
    if (!from_text(to_text(source), again, "source").has_value()) __builtin_trap();
    (void)Filter::create(source.filter());
  }
  return 0;
}
