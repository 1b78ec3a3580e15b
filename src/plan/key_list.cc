#include "plan/key_list.h"

#include "plan/from.h"
#include "sql/names.h"
#include "sql/parser.h"
#include "sql/printer.h"

namespace vitrail::plan {

using sql::as;

namespace {

const sql::Expr* where_of(const sql::Statement& statement) {
  if (const auto* update = sql::statement_as<sql::Update>(&statement)) return update->where;
  if (const auto* remove = sql::statement_as<sql::Delete>(&statement)) return remove->where;
  const auto* query = sql::statement_as<sql::QueryStatement>(&statement);
  const auto* select = query == nullptr ? nullptr : as<sql::Select>(query->query);
  return select == nullptr ? nullptr : select->where;
}

std::string with_values(const sql::Statement& statement, const sql::In& list, const std::vector<size_t>& chosen) {
  sql::PrintOptions options;
  options.expr = [&](const sql::Expr& expr, std::string& out) {
    if (&expr != &list) return false;
    out += sql::print(*list.left) + " in (";
    for (const size_t place : chosen) {
      if (place != chosen.front()) out += ", ";
      out += sql::print(*list.values[place]);
    }
    out += ")";
    return true;
  };
  return sql::print(statement, options);
}

}  // namespace

std::optional<std::vector<std::string>> split_key_list(std::string_view text, uint32_t conjunct, size_t values,
                                                       std::span<const std::vector<size_t>> chosen) {
  auto ast = sql::parse(text);
  if (!ast.ok()) return std::nullopt;
  std::vector<const sql::Expr*> conjuncts;
  add_conjuncts(where_of(ast->statement()), conjuncts);
  const auto* list = conjunct < conjuncts.size() ? as<sql::In>(conjuncts[conjunct]) : nullptr;
  if (list == nullptr || list->negated || list->query != nullptr || list->values.size() != values) return std::nullopt;
  sql::keep_column_names(*ast);
  std::vector<std::string> out;
  for (const auto& places : chosen) {
    const bool all = places.empty() || places.size() == values;
    out.push_back(all ? std::string(text) : with_values(ast->statement(), *list, places));
  }
  return out;
}

}  // namespace vitrail::plan
