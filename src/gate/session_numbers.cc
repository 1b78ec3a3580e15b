// The numbers of information_schema.TABLES and STATISTICS over all shards of a keyspace: see plan/table_numbers.h.
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "base/text.h"
#include "gate/process_list.h"
#include "gate/session.h"
#include "gate/shown_parts.h"
#include "mysql/convert.h"
#include "plan/schema_names.h"
#include "plan/table_numbers.h"
#include "sql/parser.h"
#include "sql/printer.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

// "tables" and "statistics" alone are not rare in statements about anything.
bool may_ask_for_numbers(std::string_view text, std::string_view keyspace) {
  return (plan::is_information_schema(keyspace) || mentions(text, plan::kInformationSchema)) &&
         (mentions(text, "tables") || mentions(text, "statistics"));
}

std::string text_literal(std::string_view text) { return "_utf8mb4 x'" + base::hex_encode(text) + "'"; }

size_t place_of(const net::QueryResult& result, std::string_view name) {
  size_t i = 0;
  while (i < result.columns.size() && !base::equals_ignoring_case(result.columns[i].name, name)) ++i;
  return i;
}

// Of SHOW TABLE STATUS, as it is put together.
std::vector<plan::NumberRow> numbers_of_tables(const net::QueryResult& status) {
  static constexpr std::array kColumns = {"Rows",         "Avg_row_length", "Data_length",
                                          "Index_length", "Data_free",      "Auto_increment"};
  std::vector<plan::NumberRow> out;
  for (const auto& row : status.rows) {
    plan::NumberRow one;
    one.key = {text_literal(*row[place_of(status, "Name")])};
    for (const char* column : kColumns) {
      const size_t place = place_of(status, column);
      one.numbers.push_back(place < row.size() && row[place] ? *row[place] : "null");
    }
    out.push_back(std::move(one));
  }
  return out;
}

// Answers of all shards about the indexes of all tables, by the name of the table.
std::map<std::string, std::vector<net::QueryResult>> by_table(const std::vector<net::QueryResult>& results) {
  std::map<std::string, std::vector<net::QueryResult>> out;
  for (const auto& result : results) {
    std::map<std::string, net::QueryResult> own;
    for (const auto& row : result.rows) {
      auto& table = own[*row[0]];
      table.columns = result.columns;
      table.rows.push_back(row);
    }
    for (auto& [name, table] : own) out[name].push_back(std::move(table));
  }
  return out;
}

plan::ShownParts index_parts(const vschema::VSchema& known, const std::string& keyspace, const std::string& name) {
  plan::ShownParts parts{.of = plan::ShownParts::Of::kIndex};
  const auto* of = known.find_keyspace(keyspace);
  for (const auto& [own, table] : of->tables) {
    if (!base::equals_ignoring_case(own, name)) continue;
    if (table->type == vschema::TableType::kReference) parts.copies.insert(base::to_lower(name));
    if (table->primary_vindex() == nullptr) continue;
    for (const auto& column : table->primary_vindex()->columns) parts.key.push_back(base::to_lower(column));
  }
  return parts;
}

}  // namespace

net::Task<Status> ClientSession::look_at_numbers(const Statement& statement) {
  numbers_.reset();
  if (statement.scan.kind != sql::StatementKind::kSelect || !shard_.empty()) co_return Status{};
  if (!may_ask_for_numbers(statement.text, keyspace_)) co_return Status{};
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return Status{};
  const auto asked = plan::asked_numbers(ast->statement(), keyspace_);
  const auto view = shared_.view();
  if (!asked.any() || view->schema == nullptr) co_return Status{};
  const plan::SchemaNames names{.databases = &view->databases, .schema = view->schema.get(), .keyspace = keyspace_};
  auto planned = plan::plan_information_schema(*ast, names, statement.parameters);
  if (!planned.ok() || !*planned) co_return Status{};
  const std::string keyspace = (*planned)->route.keyspace;
  const auto* known = view->vschema->find_keyspace(keyspace);
  if (known == nullptr || !known->sharded) co_return Status{};
  const std::string database = names.database_of(keyspace);
  plan::Route route{.kind = plan::Route::Kind::kAllShards, .keyspace = keyspace};
  CO_ASSIGN_OR_RETURN(const auto targets, resolve(route, statement));
  if (targets.size() < 2) co_return Status{};
  base::MemoryBudget::Hold memory(memory_, base::MemoryBudget::Kind::kResults);
  const auto texts = [&](const std::string& text) {
    std::vector<ShardText> out;
    for (const auto& target : targets) out.push_back({target, text});
    return out;
  };
  numbers_->keyspace = keyspace;
  const auto* tables = schema::find_table(*view->schema, plan::kInformationSchema, "TABLES");
  if (asked.tables && tables != nullptr) {
    CO_ASSIGN_OR_RETURN(auto status,
                        co_await ask_all(texts("show table status from " + sql::quote_identifier(database)), memory));
    plan::ShownParts parts{.of = plan::ShownParts::Of::kStatus};
    for (const auto& [name, table] : known->tables) {
      if (table->type == vschema::TableType::kReference) parts.copies.insert(base::to_lower(name));
    }
    const auto united = unite_shown(parts, std::move(status));
    numbers_->tables = plan::numbers_query(*tables, false, database, numbers_of_tables(united));
  }
  const auto* statistics = schema::find_table(*view->schema, plan::kInformationSchema, "STATISTICS");
  if (asked.statistics && statistics != nullptr) {
    std::string of;
    mysql::append_sql_string(of, database);
    CO_ASSIGN_OR_RETURN(
        const auto indexes,
        co_await ask_all(
            texts("select TABLE_NAME, INDEX_NAME as Key_name, SEQ_IN_INDEX as Seq_in_index, COLUMN_NAME as "
                  "Column_name, NON_UNIQUE as Non_unique, CARDINALITY as Cardinality from "
                  "information_schema.statistics where TABLE_SCHEMA = " +
                  of + " order by TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"),
            memory));
    std::vector<plan::NumberRow> rows;
    for (auto& [name, parts] : by_table(indexes)) {
      const auto united = unite_shown(index_parts(*view->vschema, keyspace, name), std::move(parts));
      for (const auto& row : united.rows) {
        rows.push_back({{text_literal(*row[0]), text_literal(*row[1]), *row[2]}, {row[5] ? *row[5] : "null"}});
      }
    }
    numbers_->statistics = plan::numbers_query(*statistics, true, database, rows);
  }
  co_return Status{};
}

}  // namespace vitrail::gate
