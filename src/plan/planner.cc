#include "plan/planner.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "plan/change.h"
#include "plan/expr_walk.h"
#include "plan/finish.h"
#include "plan/from.h"
#include "plan/insert.h"
#include "plan/load.h"
#include "plan/lookup.h"
#include "plan/reference_change.h"
#include "plan/references.h"
#include "plan/routing.h"
#include "plan/select.h"
#include "sql/names.h"
#include "sql/printer.h"
#include "sql/walk.h"

namespace vitrail::plan {

using sql::as;
using sql::statement_as;

namespace {

using PlanPtr = std::shared_ptr<const Plan>;

// The whole statement on one route, as it is or with names replaced.
PlanPtr send(sql::Ast& ast, const StatementTables& tables, const PlanContext& context, Route route, bool is_read,
             bool is_ddl = false) {
  auto plan = std::make_shared<Plan>();
  plan->route = std::move(route);
  plan->is_read = is_read;
  plan->is_ddl = is_ddl;
  using enum sql::StatementKind;
  if (const auto kind = ast.kind(); kind == kSelect || kind == kDo) note_questions(ast.statement(), *plan);
  if (tables.rewrite) {
    sql::keep_column_names(ast);
    plan->text = server_text(ast.statement(), tables, context, true);
  } else {
    plan->cacheable = !plan->route.by_value;
  }
  return plan;
}

Route any_shard(std::string keyspace) {
  Route route;
  route.kind = Route::Kind::kAnyShard;
  route.keyspace = std::move(keyspace);
  return route;
}

// Of a keyspace that is not sharded, or for what concerns a server and not tables.
Route only_shard(std::string keyspace) {
  Route route = any_shard(std::move(keyspace));
  route.only_shard = true;
  return route;
}

Route all_shards(std::string keyspace) {
  Route route;
  route.kind = Route::Kind::kAllShards;
  route.keyspace = std::move(keyspace);
  return route;
}

// For COM_STMT_PREPARE: no rows come back from a change without RETURNING, and a shard may not have all its tables.
std::optional<std::string> change_shape(const sql::Ast& ast, sql::List<sql::SelectItem> returning,
                                        const StatementTables& tables, const PlanContext& context) {
  if (!returning.empty()) {
    if (tables.tables.empty()) return std::nullopt;
    return server_text(ast.statement(), tables, context, false);
  }
  std::string out = "do 0";
  for (uint32_t i = 0; i < ast.parameter_count(); ++i) out += ", ?";
  return out;
}

bool is_locking_read(const sql::Query* query) { return !query->locks.empty() || query->into != nullptr; }

// Whether the value may be made of columns of another table than the assigned column's.
bool reads_other_tables(const sql::Assignment& assignment) {
  const std::string own = lower(assignment.column->table.text);
  bool found = false;
  walk(assignment.value, [&](const sql::Expr& node) {
    const auto* column = as<sql::Column>(&node);
    found = found || (column != nullptr && (own.empty() || lower(column->table.text) != own));
    return true;
  });
  return found;
}

Result<PlanPtr> plan_change(sql::Ast& ast, sql::List<sql::TableRef*> from, const ChangeForm& form,
                            const StatementTables& tables, const PlanContext& context) {
  const auto& [set, where, removes, cut, ignore, returning] = form;
  if (tables.system_schema) return unsupported("system tables beside sharded tables");
  ASSIGN_OR_RETURN(const FromClause clause, read_from(from, where, tables));
  if (traits_of(where).subquery) return unsupported("subqueries beside sharded tables");
  ASSIGN_OR_RETURN(Route route, route_rows(clause, tables.keyspace, context));
  const bool one_shard = route.kind == Route::Kind::kByValues || route.kind == Route::Kind::kNoShard ||
                         route.kind == Route::Kind::kAnyShard || route.kind == Route::Kind::kByLookup;
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
  if (!one_shard && cut) return unsupported("UPDATE and DELETE with LIMIT over several shards");
  if (!one_shard && clause.tables.size() > 1 && std::ranges::any_of(set, reads_other_tables)) {
    // Of several values for one row a server takes the first that it meets.
    return unsupported("values of other tables in an UPDATE over several shards");
  }
  ASSIGN_OR_RETURN(auto change, plan_lookup_change(clause, form, ast.statement(), tables, context));
  if (change != nullptr) {
    auto plan = std::make_shared<Plan>();
    plan->route = std::move(route);
    plan->text = server_text(ast.statement(), tables, context, true);
    plan->lookup_change = std::move(change);
    return plan;
  }
  PlanPtr sent = send(ast, tables, context, std::move(route), false);
  if (!returning) return sent;
  Plan plan = *sent;
  plan.returning = true;
  return std::make_shared<const Plan>(std::move(plan));
}

bool is_copy(const vschema::Table& table) { return table.type == vschema::TableType::kReference; }

// Those of the statement's tables that are the same on each shard, in lower case.
std::set<std::string> copies_of(const StatementTables& tables) {
  std::set<std::string> copies;
  for (const auto& table : tables.tables) {
    if (is_copy(*table)) copies.insert(lower(table->name));
  }
  return copies;
}

Result<PlanPtr> plan_query(sql::Ast& ast, sql::Statement& statement, const StatementTables& tables,
                           const PlanContext& context) {
  if (auto* query = statement_as<sql::QueryStatement>(&statement))
    return plan_select(ast, query->query, tables, context);
  if (const auto* load = statement_as<sql::LoadData>(&statement)) return plan_load(*load, context);
  if (auto* update = statement_as<sql::Update>(&statement)) {
    if (update->with != nullptr) return unsupported("WITH in a change of sharded tables");
    return plan_change(ast, update->tables,
                       {.set = update->set,
                        .where = update->where,
                        .cut = update->limit != nullptr,
                        .ignore = update->ignore,
                        .returning = !update->returning.empty()},
                       tables, context);
  }
  if (auto* remove = statement_as<sql::Delete>(&statement)) {
    if (remove->with != nullptr) return unsupported("WITH in a change of sharded tables");
    return plan_change(ast, remove->from,
                       {.where = remove->where,
                        .removes = true,
                        .cut = remove->limit != nullptr,
                        .ignore = remove->ignore,
                        .returning = !remove->returning.empty()},
                       tables, context);
  }
  if (const auto* admin = statement_as<sql::TableAdmin>(&statement);
      admin && admin->verb == sql::AdminVerb::kChecksum) {
    auto parts = std::make_shared<ShownParts>();
    parts->of = ShownParts::Of::kChecksum;
    parts->copies = copies_of(tables);
    Plan plan = *send(ast, tables, context, all_shards(tables.keyspace), true);
    plan.shown_parts = std::move(parts);
    return std::make_shared<const Plan>(std::move(plan));
  }
  // ANALYZE TABLE and its kin: each server on its part of the table. They end a transaction, as DDL does.
  if (statement.kind == sql::StatementKind::kTableAdmin) {
    return send(ast, tables, context, all_shards(tables.keyspace), false, true);
  }
  return unsupported(std::string(sql::statement_kind_name(statement.kind)) + " on sharded tables");
}

// EXPLAIN, DESCRIBE and ANALYZE: of a table on any shard, of a statement on the one shard where it would run.
Result<PlanPtr> plan_explain(sql::Ast& ast, const sql::Explain& explain, const StatementTables& tables,
                             const PlanContext& context) {
  if (explain.statement == nullptr) return send(ast, tables, context, any_shard(tables.keyspace), true);
  // Planning changes the tree that it plans: that of a copy.
  ASSIGN_OR_RETURN(sql::Ast copy, sql::parse(ast.text()));
  auto* inner = statement_as<sql::Explain>(&copy.statement());
  ASSIGN_OR_RETURN(const PlanPtr planned, plan_query(copy, *inner->statement, tables, context));
  using Kind = Route::Kind;
  const Kind kind = planned->route.kind;
  if (planned->kind != Plan::Kind::kRoute ||
      (kind != Kind::kByValues && kind != Kind::kNoShard && kind != Kind::kAnyShard && kind != Kind::kByLookup)) {
    return unsupported("EXPLAIN and ANALYZE of a statement for several shards; name one (USE `keyspace/shard`)");
  }
  return send(ast, tables, context, planned->route, !explain.analyze || planned->is_read);
}

Result<PlanPtr> plan_sharded(sql::Ast& ast, const StatementTables& tables, const PlanContext& context) {
  if (const auto* explain = statement_as<sql::Explain>(&ast.statement())) {
    return plan_explain(ast, *explain, tables, context);
  }
  return plan_query(ast, ast.statement(), tables, context);
}

std::string serving_keyspace(std::string_view keyspace, const PlanContext& context) {
  return std::string(context.vschema->serving_keyspace(keyspace, type_of(context.tablet_type)));
}

// The keyspace of a statement that names no table: the session's, or the only one there is.
std::string session_keyspace(const PlanContext& context) {
  return serving_keyspace(context.keyspace.empty() ? context.vschema->only_keyspace() : context.keyspace, context);
}

// The keyspace of a table that DDL names; one that is about to be made need not be known.
std::string ddl_keyspace(const sql::TableName& name, const PlanContext& context) {
  const std::string written(name.qualifier.empty() ? std::string_view(context.keyspace) : name.qualifier.text);
  const auto routed = context.vschema->find_table(written, name.name.text, type_of(context.tablet_type));
  if (routed.ok()) return routed->table->keyspace;
  if (name.qualifier.empty()) return session_keyspace(context);
  return serving_keyspace(context.vschema->route_keyspace(written, type_of(context.tablet_type)), context);
}

// What SHOW TABLE STATUS and SHOW INDEX tell of a sharded keyspace's tables no shard knows alone. Takes WHERE away from
// the statement that the shards get: then true.
bool show_parts(sql::Show& show, const StatementTables& tables, const PlanContext& context, Plan& plan) {
  const bool index = show.show == sql::ShowKind::kIndex;
  const auto* keyspace = context.vschema->find_keyspace(plan.route.keyspace);
  if ((!index && show.show != sql::ShowKind::kTableStatus) || keyspace == nullptr || !keyspace->sharded) {
    return false;
  }
  auto parts = std::make_shared<ShownParts>();
  if (index) {
    parts->of = ShownParts::Of::kIndex;
    parts->copies = copies_of(tables);
    for (const auto& table : tables.tables) {
      if (table->primary_vindex() == nullptr) continue;
      for (const auto& column : table->primary_vindex()->columns) parts->key.push_back(lower(column));
    }
  } else {
    for (const auto& [name, table] : keyspace->tables) {
      if (is_copy(*table)) parts->copies.insert(lower(name));
    }
  }
  const bool cuts = show.where != nullptr;
  if (cuts) parts->condition = sql::print(*show.where);
  show.where = nullptr;
  plan.route.kind = Route::Kind::kAllShards;
  plan.shown_parts = std::move(parts);
  return cuts;
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
  StatementTables tables;
  if (!show.table.name.empty()) {
    auto routed = route_tables(ast.statement(), of);
    if (routed.ok()) {
      tables = std::move(*routed);
    } else {  // A view, or what the vschema does not name otherwise: the servers of its keyspace know.
      tables.keyspace = routed.error().code() == Code::kNotFound ? ddl_keyspace(show.table, of) : "";
      if (context.vschema->find_keyspace(tables.keyspace) == nullptr) return std::move(routed).error();
      tables.rewrite = !show.table.qualifier.empty();
    }
    if (!tables.keyspace.empty()) plan->route.keyspace = tables.keyspace;
  }
  const bool cut = show_parts(show, tables, context, *plan);
  if (tables.rewrite) {
    plan->text = server_text(ast.statement(), tables, of, false);
  } else if (cut || plan->text) {
    plan->text = sql::print(ast.statement());
  }
  if (plan->route.keyspace.empty() && show.show == sql::ShowKind::kTables) {
    return fail(Code::kFailedPrecondition,
                "VT09005: no database selected: use keyspace<:shard><@type> or keyspace<[range]><@type> (<> are "
                "optional)")
        .with_mysql(1046, "3D000");
  }
  return plan;
}

// The rows of a table that the vschema knows already have their places.
Result<PlanPtr> plan_create_select(sql::Ast& ast, const sql::Ddl& ddl, const StatementTables& tables,
                                   const std::string& keyspace, const PlanContext& context) {
  const auto no_form = [](std::string_view what) {
    return unsupported("CREATE TABLE ... SELECT in a sharded keyspace with " + std::string(what));
  };
  const sql::TableName& name = ddl.names[0].name;
  const auto routed = context.vschema->find_table(keyspace, name.name.text, type_of(context.tablet_type));
  const bool placed = routed.ok() && routed->table->keyspace == keyspace && routed->table->name == name.name.text &&
                      routed->table->type == vschema::TableType::kNormal && routed->table->primary_vindex() != nullptr;
  if (!placed) {
    return unsupported(
        "CREATE TABLE ... SELECT in a sharded keyspace: its rows would have no place; give the table one in the "
        "vschema first");
  }
  if (ddl.temporary || ddl.or_replace || ddl.if_not_exists) {
    return no_form("OR REPLACE, TEMPORARY or IF NOT EXISTS");
  }
  if (ddl.query->limit != nullptr || !ddl.query->locks.empty() || ddl.query->into != nullptr) {
    return no_form("LIMIT, locks or INTO");
  }
  if (ddl.query->kind != sql::QueryKind::kSelect && ddl.query->kind != sql::QueryKind::kSetOperation) {
    return no_form("a query in brackets");
  }
  if (ast.parameter_count() > 0) return no_form("parameters");
  std::string_view rest = ast.text().substr(ddl.query->span.end());
  while (!rest.empty() && (rest.front() == ';' || std::isspace(static_cast<unsigned char>(rest.front())) != 0)) {
    rest.remove_prefix(1);
  }
  if (!rest.empty()) return no_form("something behind the query");
  auto what = std::make_shared<CreateSelect>();
  what->keyspace = keyspace;
  what->table = routed->table->name;
  what->query = std::string(ddl.query->span.of(ast.text()));
  // No rows: their columns alone.
  what->create = tables.rewrite ? server_text(ast.statement(), tables, context, true)
                                : std::string(ast.text().substr(0, ddl.query->span.end()));
  what->create += " limit 0";
  auto plan = std::make_shared<Plan>();
  plan->route = all_shards(keyspace);
  plan->is_ddl = true;
  plan->create_select = std::move(what);
  return plan;
}

Result<PlanPtr> plan_ddl(sql::Ast& ast, const sql::Ddl& ddl, const PlanContext& context) {
  if (ddl.object == sql::DdlObject::kDatabase) return unsupported("CREATE, ALTER and DROP DATABASE; use vtctldclient");
  std::string keyspace;
  StatementTables tables;
  const bool names_tables = ddl.object == sql::DdlObject::kTable || ddl.object == sql::DdlObject::kView ||
                            ddl.object == sql::DdlObject::kIndex || ddl.object == sql::DdlObject::kSequence;
  for (const auto& name : ddl.names) {
    tables.rewrite = tables.rewrite || !name.name.qualifier.empty();
    std::string home;
    if (names_tables || name.role == sql::NameRole::kReferenced) {
      home = ddl_keyspace(name.name, context);
    } else if (!name.name.qualifier.empty()) {
      home = serving_keyspace(name.name.qualifier.text, context);
    } else {
      continue;
    }
    if (!keyspace.empty() && home != keyspace) {
      return unsupported("DDL on tables of several keyspaces (" + keyspace + ", " + home + "); write one for each");
    }
    keyspace = std::move(home);
  }
  if (keyspace.empty()) keyspace = session_keyspace(context);
  if (auto routed = route_tables(ast.statement(), context); routed.ok() && !routed->keyspace.empty()) {
    tables = std::move(*routed);
    if (tables.keyspace != keyspace) {
      return unsupported("DDL on tables of several keyspaces (" + keyspace + ", " + tables.keyspace + ")");
    }
  } else if (!routed.ok() && routed.error().code() == Code::kUnimplemented) {
    return std::move(routed).error();
  }
  const auto* known = keyspace.empty() ? nullptr : context.vschema->find_keyspace(keyspace);
  if (known == nullptr) {
    return fail(Code::kFailedPrecondition,
                "VT09005: no database selected: use keyspace<:shard><@type> or keyspace<[range]><@type> (<> are "
                "optional)")
        .with_mysql(1046, "3D000");
  }
  if (ddl.object == sql::DdlObject::kTable && ddl.query != nullptr && known->sharded) {
    return plan_create_select(ast, ddl, tables, keyspace, context);
  }
  return send(ast, tables, context, all_shards(keyspace), false, true);
}

// On the session's keyspace. Expressions have one value wherever they are computed; what else names no table concerns a
// server: its procedures, its caches, its accounts. Of several servers none is the right one.
Result<PlanPtr> plan_without_tables(sql::Ast& ast, const StatementTables& tables, bool is_read,
                                    const PlanContext& context) {
  using enum sql::StatementKind;
  const auto kind = ast.kind();
  // A stored function may read and change tables: those of one shard only.
  const bool anywhere =
      (kind == kSelect || kind == kDo || kind == kExplain) && !sql::effects_of(ast.statement()).runs_unseen_code;
  const std::string keyspace = tables.routine_keyspace.empty() ? session_keyspace(context) : tables.routine_keyspace;
  return send(ast, tables, context, anywhere ? any_shard(keyspace) : only_shard(keyspace), is_read);
}

Result<PlanPtr> plan_placed_insert(sql::Ast& ast, const sql::Insert& insert, const StatementTables& tables,
                                   const PlanContext& context) {
  if (ast.parameter_count() > 0 && !context.has_parameters) {
    auto plan = std::make_shared<Plan>();  // For PREPARE: any shard knows the shape of the answer.
    plan->route = all_shards(tables.keyspace);
    plan->shape = change_shape(ast, insert.returning, tables, context);
    if (tables.rewrite) plan->text = server_text(insert, tables, context, false);
    return plan;
  }
  if (tables.tables.front()->type == vschema::TableType::kReference) return unsupported("changing a reference table");
  ASSIGN_OR_RETURN(const PlanPtr planned, plan_insert(ast, insert, tables, context));
  Plan plan = *planned;
  plan.shape = change_shape(ast, insert.returning, tables, context);
  return std::make_shared<const Plan>(std::move(plan));
}

// All rows of a pinned table are on the shard of one keyspace id. nullopt: the statement has others beside it.
std::optional<Route> pinned_route(const StatementTables& tables) {
  Route route;
  route.kind = Route::Kind::kByIds;
  route.keyspace = tables.keyspace;
  for (const auto& table : tables.tables) {
    if (table->type == vschema::TableType::kReference) continue;
    if (!table->pinned || (!route.ids.empty() && route.ids.front() != *table->pinned)) return std::nullopt;
    if (route.ids.empty()) route.ids.push_back(*table->pinned);
  }
  return route.ids.empty() ? std::nullopt : std::optional(std::move(route));
}

// By one shard alone, or by all of them and a merge of their answers.
Result<PlanPtr> plan_routed(sql::Ast& ast, const PlanContext& context) {
  sql::Statement& statement = ast.statement();
  using enum sql::StatementKind;
  if (auto* show = statement_as<sql::Show>(&statement)) return plan_show(ast, *show, context);
  if (auto* ddl = statement_as<sql::Ddl>(&statement)) return plan_ddl(ast, *ddl, context);
  const auto* insert = statement_as<sql::Insert>(&statement);
  auto routed = route_tables(statement, context);
  if (insert != nullptr && !routed.ok() && routed.error().code() == Code::kUnimplemented) {
    // The rows come from other keyspaces.
    routed = route_insert_target(*insert, context);
    if (!routed.ok()) return std::move(routed).error();
    ASSIGN_OR_RETURN(auto reference, plan_reference_change(ast, *routed, context));
    if (reference) return std::move(*reference);
    return plan_placed_insert(ast, *insert, *routed, context);
  }
  if (!routed.ok()) return std::move(routed).error();
  StatementTables tables = std::move(*routed);
  tables.rewrite = remove_vindex_hints(ast) || tables.rewrite;
  const bool is_read = reads_only(statement);
  if (insert != nullptr || ast.kind() == kUpdate || ast.kind() == kDelete) {
    ASSIGN_OR_RETURN(auto reference, plan_reference_change(ast, tables, context));
    if (reference) return std::move(*reference);
  }
  if (tables.keyspace.empty()) return plan_without_tables(ast, tables, is_read, context);

  const bool generates = insert != nullptr && tables.tables.front()->auto_increment.has_value();
  if (auto pinned = pinned_route(tables); tables.sharded && pinned && !generates && !tables.system_schema) {
    return send(ast, tables, context, std::move(*pinned), is_read);
  }
  if (insert != nullptr && (tables.sharded || generates)) return plan_placed_insert(ast, *insert, tables, context);
  if (!tables.sharded) return send(ast, tables, context, only_shard(tables.keyspace), is_read);
  if (sql::effects_of(statement).uses_user_locks) {
    return unsupported(
        "user locks (GET_LOCK() and its kin) beside sharded tables: each shard has locks of its own; ask "
        "for the lock by a statement without tables");
  }
  if (ast.parameter_count() > 0 && !context.has_parameters) {
    auto planned = plan_sharded(ast, tables, context);
    if (planned.ok()) return planned;
    ASSIGN_OR_RETURN(sql::Ast again, sql::parse(ast.text()));  // Planning may have changed the tree.
    (void)remove_vindex_hints(again);
    auto plan = std::make_shared<Plan>();
    plan->route = all_shards(tables.keyspace);
    plan->is_read = is_read;
    if (tables.rewrite) plan->text = server_text(again.statement(), tables, context, false);
    return plan;
  }
  return plan_sharded(ast, tables, context);
}

// A change whose rows are to be found first.
bool may_find_rows(sql::Ast& ast, const Error& refusal, const PlanContext& context) {
  const auto kind = ast.kind();
  if (kind != sql::StatementKind::kUpdate && kind != sql::StatementKind::kDelete) return false;
  return context.may_finish && context.schema != nullptr && refusal.code() == Code::kUnimplemented &&
         !changes_reference_table(ast, context);
}

Result<PlanPtr> plan_change_at_once(sql::Ast& ast, const PlanContext& context) {
  (void)remove_vindex_hints(ast);
  const auto* remove = statement_as<sql::Delete>(&ast.statement());
  const auto* update = statement_as<sql::Update>(&ast.statement());
  const auto returning = update != nullptr ? update->returning : remove->returning;
  StatementTables tables;
  auto routed = route_tables(ast.statement(), context);
  if (routed.ok()) tables = std::move(*routed);
  auto shape = change_shape(ast, returning, tables, context);
  if (ast.parameter_count() > 0 && !context.has_parameters) {
    auto plan = std::make_shared<Plan>();
    plan->route = all_shards(routed.ok() ? tables.keyspace : session_keyspace(context));
    plan->shape = std::move(shape);
    return plan;
  }
  ASSIGN_OR_RETURN(const PlanPtr planned, plan_change_by_key(ast, context));
  Plan plan = *planned;
  plan.shape = std::move(shape);
  return std::make_shared<const Plan>(std::move(plan));
}

// Whether a copy of the rows on one server may answer what is refused otherwise.
bool may_finish(const sql::Ast& ast, const Error& refusal, const PlanContext& context) {
  if (!context.may_finish || context.schema == nullptr || ast.kind() != sql::StatementKind::kSelect) return false;
  return refusal.code() == Code::kUnimplemented;
}

}  // namespace

bool reads_only(const sql::Statement& statement) {
  if (const auto* query = statement_as<sql::QueryStatement>(&statement)) return !is_locking_read(query->query);
  if (const auto* explain = statement_as<sql::Explain>(&statement)) {
    return !explain->analyze || explain->statement == nullptr || reads_only(*explain->statement);
  }
  return statement.kind == sql::StatementKind::kDo;
}

Result<PlanPtr> plan_statement(sql::Ast& ast, const PlanContext& context) {
  auto planned = plan_routed(ast, context);
  if (!planned.ok() && may_find_rows(ast, planned.error(), context)) {
    ASSIGN_OR_RETURN(sql::Ast again, sql::parse(ast.text()));
    return plan_change_at_once(again, context);
  }
  if (planned.ok() || !may_finish(ast, planned.error(), context)) return planned;
  ASSIGN_OR_RETURN(sql::Ast again, sql::parse(ast.text()));  // Planning may have changed the tree.
  return plan_finish(again, context);
}

}  // namespace vitrail::plan
