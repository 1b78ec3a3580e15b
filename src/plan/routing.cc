#include "plan/routing.h"

#include <algorithm>
#include <array>
#include <set>

#include "mysql/convert.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::plan {

using sql::as;

Error unsupported(std::string what) { return fail(Code::kUnimplemented, "VT12001: unsupported: " + std::move(what)); }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

::topodata::TabletType type_of(const std::string& name) {
  if (name == "replica") return ::topodata::REPLICA;
  if (name == "rdonly") return ::topodata::RDONLY;
  return ::topodata::PRIMARY;
}

bool is_system_schema(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kNames = {"information_schema", "mysql", "performance_schema",
                                                             "sys"};
  return std::find(kNames.begin(), kNames.end(), lower(name)) != kNames.end();
}

namespace {

class SessionQuestions : public sql::Walker {
 public:
  bool found_rows = false;
  bool insert_id = false;

 protected:
  bool enter(const sql::Query& query) override {
    const auto* select = as<sql::Select>(&query);
    found_rows = found_rows || (select != nullptr && select->calc_found_rows);
    return true;
  }
  bool enter(const sql::Expr& expr) override {
    const auto* call = as<sql::FunctionCall>(&expr);
    insert_id = insert_id || (call != nullptr && !call->args.empty() && lower(call->name.text) == "last_insert_id");
    return true;
  }
};

}  // namespace

void note_questions(const sql::Statement& statement, Plan& plan) {
  SessionQuestions questions;
  questions.walk(statement);
  plan.asks_found_rows = questions.found_rows;
  plan.asks_insert_id = questions.insert_id;
}

std::string name_key(std::string_view qualifier, std::string_view name) {
  return std::string(qualifier).append(".").append(name);
}

Result<StatementTables> route_tables(const sql::Statement& statement, const PlanContext& context) {
  StatementTables out;
  for (const auto& use : sql::collect_tables(statement)) {
    if (is_system_schema(use.qualifier) || (use.qualifier.empty() && is_system_schema(context.keyspace))) {
      out.system_schema = true;
      continue;
    }
    const std::string keyspace = use.qualifier.empty() ? context.keyspace : std::string(use.qualifier);
    ASSIGN_OR_RETURN(const auto routed, context.vschema->find_table(keyspace, use.name, type_of(context.tablet_type)));
    const auto& table = routed.table;
    if (!use.qualifier.empty() || table->name != use.name) {
      out.rewrite = true;
      out.renames.emplace_back(name_key(use.qualifier, use.name), table->name);
    }
    if (table->type == vschema::TableType::kReference && table->sharded && !out.keyspace.empty() &&
        out.keyspace == table->keyspace) {
      out.tables.push_back(table);
      continue;
    }
    if (!out.keyspace.empty() && out.keyspace != table->keyspace) {
      return unsupported("tables of several keyspaces in one statement (" + out.keyspace + ", " + table->keyspace +
                         ")");
    }
    out.keyspace = table->keyspace;
    out.sharded = out.sharded || table->sharded;
    out.tables.push_back(table);
  }
  return out;
}

sql::PrintOptions server_options(const sql::Statement& statement, const StatementTables& tables,
                                 const PlanContext& context, bool with_values) {
  sql::PrintOptions options;
  options.table = [&](const sql::TableName& table, sql::TableRewrite& rewrite) {
    if (is_system_schema(table.qualifier.text)) return;
    rewrite.qualifier.clear();
    const std::string key = name_key(table.qualifier.text, table.name.text);
    for (const auto& [written, name] : tables.renames) {
      if (written == key) rewrite.name = name;
    }
  };
  if (with_values) options.expr = parameter_printer(statement, context.parameters);
  return options;
}

std::string server_text(const sql::Statement& statement, const StatementTables& tables, const PlanContext& context,
                        bool with_values) {
  return sql::print(statement, server_options(statement, tables, context, with_values));
}

namespace {

// Parameters that stand in LIMIT: servers take only numbers there, or what a prepared statement's parameter is made.
class LimitParameters : public sql::Walker {
 public:
  static std::set<uint32_t> of(const sql::Statement& statement) {
    LimitParameters walker;
    walker.walk(statement);
    if (const auto* update = sql::statement_as<sql::Update>(&statement)) walker.add(update->limit);
    if (const auto* remove = sql::statement_as<sql::Delete>(&statement)) walker.add(remove->limit);
    return std::move(walker.found_);
  }

 protected:
  bool enter(const sql::Query& query) override {
    add(query.limit);
    return true;
  }

 private:
  void add(const sql::Limit* limit) {
    if (limit == nullptr) return;
    for (const sql::Expr* expr : {limit->offset, limit->count, limit->rows_examined}) {
      if (const auto* parameter = as<sql::Parameter>(expr)) found_.insert(parameter->index);
    }
  }

  std::set<uint32_t> found_;
};

}  // namespace

std::function<bool(const sql::Expr&, std::string&)> parameter_printer(const sql::Statement& statement,
                                                                      std::span<const mysql::Value> parameters) {
  return [parameters, limits = parameters.empty() ? std::set<uint32_t>() : LimitParameters::of(statement)](
             const sql::Expr& expr, std::string& out) {
    const auto* parameter = as<sql::Parameter>(&expr);
    if (parameter == nullptr || parameter->index >= parameters.size()) return false;
    const mysql::Value& value = parameters[parameter->index];
    const bool digits = !value.bytes.empty() && value.bytes.find_first_not_of("0123456789") == std::string::npos;
    if (digits && limits.contains(parameter->index)) {
      out += value.bytes;
    } else {
      mysql::append_sql_literal(out, value);
    }
    return true;
  };
}

}  // namespace vitrail::plan
