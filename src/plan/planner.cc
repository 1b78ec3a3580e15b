#include "plan/planner.h"

#include <fmt/core.h>

#include <algorithm>

#include "plan/expr_walk.h"
#include "plan/insert.h"
#include "plan/routing.h"
#include "plan/select.h"
#include "sql/printer.h"

namespace vitrail::plan {

using sql::as;
using sql::statement_as;

namespace {

using PlanPtr = std::shared_ptr<const Plan>;

// The whole statement on one route, as it is or with names replaced.
PlanPtr send(const sql::Ast& ast, const StatementTables& tables, const PlanContext& context, Route route, bool is_read,
             bool is_ddl = false) {
  auto plan = std::make_shared<Plan>();
  plan->route = std::move(route);
  plan->is_read = is_read;
  plan->is_ddl = is_ddl;
  if (tables.rewrite) {
    plan->text = server_text(ast.statement(), tables, context, true);
  } else {
    plan->cacheable = true;
  }
  return plan;
}

Route any_shard(std::string keyspace) {
  Route route;
  route.kind = Route::Kind::kAnyShard;
  route.keyspace = std::move(keyspace);
  return route;
}

Route all_shards(std::string keyspace) {
  Route route;
  route.kind = Route::Kind::kAllShards;
  route.keyspace = std::move(keyspace);
  return route;
}

bool is_locking_read(const sql::Query* query) { return !query->locks.empty() || query->into != nullptr; }

Result<PlanPtr> plan_change(sql::Ast& ast, sql::List<sql::TableRef*> from, const sql::Expr* where,
                            sql::List<sql::Assignment> set, bool cut, bool returning, const StatementTables& tables,
                            const PlanContext& context) {
  ASSIGN_OR_RETURN(const FromClause clause, read_from(from, where, tables));
  if (traits_of(where).subquery) return unsupported("subqueries beside sharded tables");
  ASSIGN_OR_RETURN(Route route, route_rows(clause, tables.keyspace));
  const bool one_shard = route.kind == Route::Kind::kByValues || route.kind == Route::Kind::kNoShard ||
                         route.kind == Route::Kind::kAnyShard;
  for (const auto& binding : clause.tables) {
    if (binding.table->type == vschema::TableType::kReference) return unsupported("changing a reference table");
    for (const auto& assignment : set) {
      if (traits_of(assignment.value).subquery) return unsupported("subqueries beside sharded tables");
      for (const auto& vindex : binding.table->column_vindexes) {
        for (const auto& column : vindex.columns) {
          if (lower(column) == lower(assignment.column->name.text)) {
            return unsupported("You cannot UPDATE primary vindex columns; " + column + " places the row");
          }
        }
      }
    }
  }
  if (!one_shard && clause.tables.size() > 1) return unsupported("changes of joined tables over several shards");
  if (!one_shard && cut) return unsupported("UPDATE and DELETE with ORDER BY or LIMIT over several shards");
  if (!one_shard && returning) return unsupported("RETURNING over several shards");
  return send(ast, tables, context, std::move(route), false);
}

Result<PlanPtr> plan_sharded(sql::Ast& ast, const StatementTables& tables, const PlanContext& context) {
  sql::Statement& statement = ast.statement();
  if (auto* query = statement_as<sql::QueryStatement>(&statement))
    return plan_select(ast, query->query, tables, context);
  if (auto* update = statement_as<sql::Update>(&statement)) {
    if (update->with != nullptr) return unsupported("WITH in a change of sharded tables");
    return plan_change(ast, update->tables, update->where, update->set,
                       update->limit != nullptr || !update->order_by.empty(), !update->returning.empty(), tables,
                       context);
  }
  if (auto* remove = statement_as<sql::Delete>(&statement)) {
    if (remove->with != nullptr) return unsupported("WITH in a change of sharded tables");
    return plan_change(ast, remove->from, remove->where, {}, remove->limit != nullptr || !remove->order_by.empty(),
                       !remove->returning.empty(), tables, context);
  }
  return unsupported(std::string(sql::statement_kind_name(statement.kind)) + " on sharded tables");
}

std::string serving_keyspace(std::string_view keyspace, const PlanContext& context) {
  return std::string(context.vschema->serving_keyspace(keyspace, type_of(context.tablet_type)));
}

// The keyspace of a statement that names no table: the session's, or the only one there is.
std::string session_keyspace(const PlanContext& context) {
  return serving_keyspace(context.keyspace.empty() ? context.vschema->only_keyspace() : context.keyspace, context);
}

Result<PlanPtr> plan_show(sql::Ast& ast, sql::Show& show, const PlanContext& context) {
  auto plan = std::make_shared<Plan>();
  plan->is_read = true;
  plan->route = any_shard(session_keyspace(context));
  PlanContext of = context;  // The tables are those of the database that is named.
  if (!show.database.empty()) {
    // The keyspace's name is not the database's: the tablet's own database is meant.
    const std::string name(show.database.text);
    if (context.vschema->find_keyspace(name) == nullptr) {
      const std::string database = lower(name);
      if (database == "information_schema" || database == "mysql" || database == "performance_schema" ||
          database == "sys") {
        return plan;
      }
      return fail(Code::kNotFound, "VT05003: unknown database '" + name + "' in vschema").with_mysql(1049, "42000");
    }
    plan->route.keyspace = serving_keyspace(name, context);
    of.keyspace = name;
    show.database = {};
    plan->text = sql::print(ast.statement());
  }
  if (!show.table.name.empty()) {
    ASSIGN_OR_RETURN(const auto tables, route_tables(ast.statement(), of));
    if (!tables.keyspace.empty()) plan->route.keyspace = tables.keyspace;
    if (tables.rewrite) plan->text = server_text(ast.statement(), tables, of, false);
  }
  if (plan->route.keyspace.empty() && show.show == sql::ShowKind::kTables) {
    return fail(Code::kFailedPrecondition,
                "VT09005: no database selected: use keyspace<:shard><@type> or keyspace<[range]><@type> (<> are "
                "optional)")
        .with_mysql(1046, "3D000");
  }
  return plan;
}

bool assigns(sql::List<sql::Assignment> set, const std::vector<std::string>& columns) {
  return std::any_of(set.begin(), set.end(), [&](const sql::Assignment& assignment) {
    return std::any_of(columns.begin(), columns.end(),
                       [&](const auto& column) { return lower(column) == lower(assignment.column->name.text); });
  });
}

// Refuses changes of rows that a lookup vindex would have to learn of: nobody here tells it.
Status check_lookups(const sql::Statement& statement, const StatementTables& tables) {
  const auto* insert = statement_as<sql::Insert>(&statement);
  const auto* update = statement_as<sql::Update>(&statement);
  const auto* remove = statement_as<sql::Delete>(&statement);
  if (insert == nullptr && update == nullptr && remove == nullptr) return {};
  for (const auto& table : tables.tables) {
    for (const auto& lookup : table->lookups) {
      const bool concerned = insert != nullptr   ? table == tables.tables.front()
                             : update != nullptr ? assigns(update->set, lookup.columns)
                                                 : lookup.is_owned;
      if (!concerned) continue;
      return unsupported(
          fmt::format("{} of table {}: its vindex {} is a lookup vindex (type {}), and these are not "
                      "offered",
                      sql::statement_kind_name(statement.kind), table->name, lookup.name, lookup.type));
    }
  }
  return {};
}

}  // namespace

Result<PlanPtr> plan_statement(sql::Ast& ast, const PlanContext& context) {
  sql::Statement& statement = ast.statement();
  using enum sql::StatementKind;
  if (auto* show = statement_as<sql::Show>(&statement)) return plan_show(ast, *show, context);
  if (auto* ddl = statement_as<sql::Ddl>(&statement)) {
    if (ddl->object == sql::DdlObject::kDatabase)
      return unsupported("CREATE, ALTER and DROP DATABASE; use vtctldclient");
    // A table that is about to be made need not be known: it belongs to the session's keyspace.
    std::string keyspace = session_keyspace(context);
    StatementTables tables;
    for (const auto& name : ddl->names) {
      if (!name.name.qualifier.empty()) {
        keyspace = name.name.qualifier.text;
        tables.rewrite = true;
      }
    }
    if (auto routed = route_tables(statement, context); routed.ok() && !routed->keyspace.empty()) {
      tables = std::move(*routed);
      keyspace = tables.keyspace;
    } else if (!routed.ok() && routed.error().code() == Code::kUnimplemented) {
      return std::move(routed).error();
    }
    if (keyspace.empty() || context.vschema->find_keyspace(keyspace) == nullptr) {
      return fail(Code::kFailedPrecondition,
                  "VT09005: no database selected: use keyspace<:shard><@type> or keyspace<[range]><@type> (<> are "
                  "optional)")
          .with_mysql(1046, "3D000");
    }
    PlanPtr plan = send(ast, tables, context, all_shards(keyspace), false, true);
    return plan;
  }
  ASSIGN_OR_RETURN(const auto tables, route_tables(statement, context));
  RETURN_IF_ERROR(check_lookups(statement, tables));
  const auto* query = statement_as<sql::QueryStatement>(&statement);
  const bool is_read = (query != nullptr && !is_locking_read(query->query)) || statement.kind == kExplain;
  if (tables.keyspace.empty())
    return send(ast, tables, context, any_shard(session_keyspace(context)), is_read || statement.kind == kDo);

  const auto* insert = statement_as<sql::Insert>(&statement);
  const bool generates =
      insert != nullptr && tables.tables.front()->auto_increment.has_value() && insert->query == nullptr;
  if (insert != nullptr && (tables.sharded || generates)) {
    if (ast.parameter_count() > 0 && !context.has_parameters) {
      auto plan = std::make_shared<Plan>();  // For PREPARE: any shard knows the shape of the answer.
      plan->route = all_shards(tables.keyspace);
      if (tables.rewrite) plan->text = server_text(statement, tables, context, false);
      return plan;
    }
    if (tables.tables.front()->type == vschema::TableType::kReference) return unsupported("changing a reference table");
    return plan_insert(*insert, tables, context);
  }
  if (!tables.sharded) return send(ast, tables, context, any_shard(tables.keyspace), is_read);
  if (ast.parameter_count() > 0 && !context.has_parameters) {
    auto planned = plan_sharded(ast, tables, context);
    if (planned.ok()) return planned;
    auto plan = std::make_shared<Plan>();
    plan->route = all_shards(tables.keyspace);
    plan->is_read = is_read;
    if (tables.rewrite) plan->text = server_text(statement, tables, context, false);
    return plan;
  }
  if (statement.kind == kExplain) return send(ast, tables, context, any_shard(tables.keyspace), true);
  return plan_sharded(ast, tables, context);
}

}  // namespace vitrail::plan
