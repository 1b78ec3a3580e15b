#include "mysqld/schema_sql.h"

#include <fmt/core.h>

#include "base/text.h"

namespace vitrail::mysqld {
namespace {

std::string narrowed(std::string_view schema, std::optional<std::string_view> table) {
  std::string where = fmt::format(" WHERE table_schema = {}", quote_string(schema));
  if (table) where += fmt::format(" AND table_name = {}", quote_string(*table));
  return where;
}

std::string text_at(const Rows& rows, size_t row, std::string_view column) {
  return std::string(rows.get(row, column).value_or(""));
}

bool has_word(std::string_view text, std::string_view upper_word) {
  return base::to_upper(text).find(upper_word) != std::string::npos;
}

Status expect_columns(const Rows& rows, std::span<const std::string_view> names) {
  for (std::string_view name : names) {
    if (!rows.find_column(name)) return fail(Code::kInternal, fmt::format("the schema query gave no column {}", name));
  }
  return {};
}

}  // namespace

bool ColumnInfo::is_unsigned() const { return has_word(column_type, " UNSIGNED"); }

std::vector<std::string> schema_session_setup(const Flavor& flavor) {
  // MySQL 8 keeps table statistics for a day unless told otherwise.
  if (flavor.kind() == FlavorKind::kMySql) return {"SET SESSION information_schema_stats_expiry = 0"};
  return {};
}

std::string tables_query(std::string_view schema, std::optional<std::string_view> table) {
  return "SELECT table_name AS name, table_type AS type, engine AS engine, table_comment AS comment, "
         "table_collation AS collation, table_rows AS row_estimate, "
         "COALESCE(data_length, 0) + COALESCE(index_length, 0) AS data_bytes, data_free AS free_bytes, "
         "auto_increment AS next_auto, UNIX_TIMESTAMP(create_time) AS created FROM information_schema.tables" +
         narrowed(schema, table) + " ORDER BY BINARY table_name";
}

Result<std::vector<TableInfo>> parse_tables(const Rows& rows) {
  constexpr std::string_view kNeeded[] = {"name", "type", "comment"};
  RETURN_IF_ERROR(expect_columns(rows, kNeeded));
  std::vector<TableInfo> tables;
  tables.reserve(rows.rows.size());
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    TableInfo& table = tables.emplace_back();
    table.name = text_at(rows, i, "name");
    std::string type = text_at(rows, i, "type");
    // MariaDB calls a table that keeps its history SYSTEM VERSIONED.
    table.kind = type == "BASE TABLE" || type == "SYSTEM VERSIONED" ? TableKind::kBase
                 : type == "VIEW"                                   ? TableKind::kView
                                                                    : TableKind::kOther;
    table.engine = text_at(rows, i, "engine");
    // For a view the server puts a word of its own where the comment would be.
    if (table.kind != TableKind::kView) table.comment = text_at(rows, i, "comment");
    table.collation = text_at(rows, i, "collation");
    table.row_estimate = to_uint(rows.get(i, "row_estimate")).value_or(0);
    table.data_bytes = to_uint(rows.get(i, "data_bytes")).value_or(0);
    table.free_bytes = to_uint(rows.get(i, "free_bytes")).value_or(0);
    if (auto next = to_uint(rows.get(i, "next_auto"))) table.auto_increment = *next;
    std::string_view created = rows.get(i, "created").value_or("0");
    table.created_unix_seconds = to_int(created.substr(0, created.find('.'))).value_or(0);
  }
  return tables;
}

std::string columns_query(std::string_view schema, std::optional<std::string_view> table) {
  return "SELECT table_name AS tbl, column_name AS name, ordinal_position AS ordinal, data_type AS data_type, "
         "column_type AS column_type, is_nullable AS nullable, column_default AS default_text, "
         "character_set_name AS charset, collation_name AS collation, extra AS extra, "
         "generation_expression AS generation, column_comment AS comment FROM information_schema.columns" +
         narrowed(schema, table) + " ORDER BY BINARY table_name, ordinal_position";
}

Result<std::vector<ColumnInfo>> parse_columns(const Rows& rows) {
  constexpr std::string_view kNeeded[] = {"tbl", "name", "ordinal", "data_type", "column_type", "nullable", "extra"};
  RETURN_IF_ERROR(expect_columns(rows, kNeeded));
  std::vector<ColumnInfo> columns;
  columns.reserve(rows.rows.size());
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    ColumnInfo& column = columns.emplace_back();
    column.table = text_at(rows, i, "tbl");
    column.name = text_at(rows, i, "name");
    column.ordinal = static_cast<uint32_t>(to_uint(rows.get(i, "ordinal")).value_or(0));
    column.data_type = base::to_lower(text_at(rows, i, "data_type"));
    column.column_type = text_at(rows, i, "column_type");
    column.nullable = to_bool(rows.get(i, "nullable"));
    if (auto text = rows.get(i, "default_text")) column.default_text = std::string(*text);
    column.character_set = text_at(rows, i, "charset");
    column.collation = text_at(rows, i, "collation");
    column.extra = text_at(rows, i, "extra");
    column.is_auto_increment = has_word(column.extra, "AUTO_INCREMENT");
    // "DEFAULT_GENERATED" is MySQL's word for an expression as default: not a generated column.
    bool virtual_column = has_word(column.extra, "VIRTUAL GENERATED");
    column.is_stored = has_word(column.extra, "STORED GENERATED");
    column.is_generated = virtual_column || column.is_stored;
    column.is_invisible = has_word(column.extra, "INVISIBLE");
    column.generation_expression = text_at(rows, i, "generation");
    column.comment = text_at(rows, i, "comment");
  }
  return columns;
}

std::string indexes_query(std::string_view schema, std::optional<std::string_view> table) {
  // A functional key part of MySQL 8 has no column name.
  return "SELECT table_name AS tbl, index_name AS name, non_unique AS non_unique, column_name AS column_name, "
         "sub_part AS sub_part, nullable AS nullable, cardinality AS cardinality FROM information_schema.statistics" +
         narrowed(schema, table) +
         " ORDER BY BINARY table_name, index_name = 'PRIMARY' DESC, BINARY index_name, "
         "seq_in_index";
}

Result<std::vector<IndexInfo>> parse_indexes(const Rows& rows) {
  constexpr std::string_view kNeeded[] = {"tbl", "name", "non_unique", "column_name"};
  RETURN_IF_ERROR(expect_columns(rows, kNeeded));
  std::vector<IndexInfo> indexes;
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    std::string table = text_at(rows, i, "tbl");
    std::string name = text_at(rows, i, "name");
    if (indexes.empty() || indexes.back().table != table || indexes.back().name != name) {
      IndexInfo& index = indexes.emplace_back();
      index.table = std::move(table);
      index.name = std::move(name);
      index.unique = rows.get(i, "non_unique") == "0";
    }
    IndexInfo& index = indexes.back();
    auto column = rows.get(i, "column_name");
    index.columns.emplace_back(column.value_or(""));
    if (!column || rows.get(i, "sub_part")) index.partial = true;
    if (to_bool(rows.get(i, "nullable"))) index.nullable = true;
    // Of the whole index: the last column's line has the full count.
    index.cardinality = to_uint(rows.get(i, "cardinality")).value_or(index.cardinality);
  }
  return indexes;
}

const IndexInfo* row_identity(std::span<const IndexInfo> indexes) {
  const IndexInfo* best = nullptr;
  for (const IndexInfo& index : indexes) {
    if (index.is_primary()) return &index;
    if (!index.unique || index.nullable || index.partial) continue;
    if (best == nullptr || index.columns.size() < best->columns.size()) best = &index;
  }
  return best;
}

std::string create_statement_query(std::string_view schema, std::string_view table) {
  return fmt::format("SHOW CREATE TABLE {}.{}", quote_identifier(schema), quote_identifier(table));
}

Result<std::string> parse_create_statement(const Rows& rows) {
  if (rows.rows.empty()) return fail(Code::kNotFound, "the server gave no CREATE statement");
  // (Table, Create Table) or (View, Create View, character_set_client, collation_connection).
  auto statement = rows.get(0, size_t{1});
  if (!statement || !statement->starts_with("CREATE ")) {
    return fail(Code::kInternal, "the server's answer holds no CREATE statement");
  }
  return std::string(*statement);
}

std::string without_auto_increment(std::string_view create) {
  constexpr std::string_view kOption = " AUTO_INCREMENT=";
  char quote = 0;
  int depth = 0;
  bool in_options = false;
  for (size_t i = 0; i < create.size(); ++i) {
    char c = create[i];
    if (quote != 0) {
      if (c == '\\' && quote != '`') {
        ++i;
      } else if (c == quote) {
        quote = 0;  // A doubled quote opens again at once.
      }
      continue;
    }
    if (c == '\'' || c == '"' || c == '`') quote = c;
    if (c == '(') ++depth;
    if (c == ')' && --depth == 0) in_options = true;
    if (in_options && depth == 0 && create.substr(i).starts_with(kOption)) {
      size_t end = i + kOption.size();
      while (end < create.size() && create[end] >= '0' && create[end] <= '9') ++end;
      return fmt::format("{}{}", create.substr(0, i), create.substr(end));
    }
  }
  return std::string(create);
}

std::string schemas_query() {
  return "SELECT schema_name AS name FROM information_schema.schemata ORDER BY BINARY schema_name";
}

std::vector<std::string> parse_schemas(const Flavor& flavor, const Rows& rows) {
  std::vector<std::string> names;
  for (size_t i = 0; i < rows.rows.size(); ++i) {
    auto name = rows.get(i, size_t{0});
    if (name && !flavor.is_system_schema(*name)) names.emplace_back(*name);
  }
  return names;
}

std::string create_database_statement_query(std::string_view schema) {
  return "SHOW CREATE DATABASE " + quote_identifier(schema);
}

std::string create_database(std::string_view schema) {
  return "CREATE DATABASE IF NOT EXISTS " + quote_identifier(schema);
}

std::string row_estimate_query(std::string_view schema, std::string_view table) {
  return "SELECT table_rows AS row_estimate FROM information_schema.tables" + narrowed(schema, table);
}

}  // namespace vitrail::mysqld
