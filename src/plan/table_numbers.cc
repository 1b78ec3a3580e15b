#include "plan/table_numbers.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "mysql/convert.h"
#include "plan/routing.h"
#include "plan/schema_names.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::plan {
namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::any_of(names, [&](const auto& one) { return base::equals_ignoring_case(one, name); });
}

class Asked : public sql::Walker {
 public:
  bool star = false;
  bool of_tables = false;
  bool of_statistics = false;
  using sql::Walker::enter;
  bool enter(const sql::Query& query) override {
    star = star || query.kind == sql::QueryKind::kTable;
    if (const auto* select = sql::as<sql::Select>(&query)) {
      for (const auto& item : select->items) star = star || sql::as<sql::Star>(item.expr) != nullptr;
    }
    return true;
  }
  bool enter(const sql::Expr& expr) override {
    if (const auto* column = sql::as<sql::Column>(&expr)) {
      of_tables = of_tables || contains(tables_numbers(), column->name.text);
      of_statistics = of_statistics || contains(statistics_numbers(), column->name.text);
    }
    return true;
  }
};

const std::vector<std::string>& key_columns(bool statistics) {
  static const std::vector<std::string> kTables = {"TABLE_NAME"};
  static const std::vector<std::string> kStatistics = {"TABLE_NAME", "INDEX_NAME", "SEQ_IN_INDEX"};
  return statistics ? kStatistics : kTables;
}

}  // namespace

const std::vector<std::string>& tables_numbers() {
  static const std::vector<std::string> kNames = {"TABLE_ROWS",   "AVG_ROW_LENGTH", "DATA_LENGTH",
                                                  "INDEX_LENGTH", "DATA_FREE",      "AUTO_INCREMENT"};
  return kNames;
}

const std::vector<std::string>& statistics_numbers() {
  static const std::vector<std::string> kNames = {"CARDINALITY"};
  return kNames;
}

TableNumbers asked_numbers(const sql::Statement& statement, std::string_view session_keyspace) {
  TableNumbers out;
  if (sql::statement_as<sql::QueryStatement>(&statement) == nullptr) return out;
  for (const auto& use : sql::collect_tables(statement)) {
    if (!is_information_schema(use.qualifier.empty() ? session_keyspace : use.qualifier)) return {};
    out.tables = out.tables || base::equals_ignoring_case(use.name, "tables");
    out.statistics = out.statistics || base::equals_ignoring_case(use.name, "statistics");
  }
  if (!out.any()) return out;
  Asked asked;
  asked.walk(statement);
  out.tables = out.tables && (asked.star || asked.of_tables);
  out.statistics = out.statistics && (asked.star || asked.of_statistics);
  return out;
}

std::string numbers_query(const schema::Table& columns, bool statistics, std::string_view database,
                          const std::vector<NumberRow>& rows) {
  const auto& numbers = statistics ? statistics_numbers() : tables_numbers();
  const auto& key = key_columns(statistics);
  std::string text;
  for (const auto& column : columns.columns) {
    text += text.empty() ? "select " : ", ";
    const std::string own = fmt::format("{}.{}", kServersTable, sql::quote_identifier(column.name));
    const auto number =
        std::ranges::find_if(numbers, [&](const auto& name) { return base::equals_ignoring_case(name, column.name); });
    text += number == numbers.end() ? own : fmt::format("if(n.k0 is null, {}, n.n{})", own, number - numbers.begin());
    text += " as " + sql::quote_identifier(column.name);
  }
  std::string list;
  for (const auto& row : rows) {
    const bool first = list.empty();
    list += first ? "select " : " union all select ";
    for (size_t i = 0; i < row.key.size(); ++i) {
      list += fmt::format("{}{}{}", i == 0 ? "" : ", ", row.key[i], first ? fmt::format(" as k{}", i) : "");
    }
    for (size_t i = 0; i < row.numbers.size(); ++i) {
      list += fmt::format(", cast({} as unsigned){}", row.numbers[i], first ? fmt::format(" as n{}", i) : "");
    }
  }
  if (list.empty()) {
    for (size_t i = 0; i < key.size(); ++i) list += fmt::format("{}null as k{}", i == 0 ? "select " : ", ", i);
    for (size_t i = 0; i < numbers.size(); ++i) list += fmt::format(", cast(null as unsigned) as n{}", i);
  }
  std::string database_text;
  mysql::append_sql_string(database_text, database);
  text += fmt::format(" from information_schema.{} {} left join ({}) n on {}.TABLE_SCHEMA = {}",
                      statistics ? "STATISTICS" : "TABLES", kServersTable, list, kServersTable, database_text);
  for (size_t i = 0; i < key.size(); ++i) text += fmt::format(" and {}.{} = n.k{}", kServersTable, key[i], i);
  return text;
}

}  // namespace vitrail::plan
