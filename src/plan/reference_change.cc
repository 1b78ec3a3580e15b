#include "plan/reference_change.h"

#include <algorithm>
#include <set>
#include <string>

#include "plan/expr_walk.h"
#include "sql/parser.h"
#include "sql/walk.h"

namespace vitrail::plan {

using sql::as;
using sql::statement_as;

namespace {

// What is changed: the only table of the statement that is.
struct Target {
  const sql::TableName* name = nullptr;
  sql::TableSource* source = nullptr;  // In UPDATE and DELETE.
};

std::optional<Target> target_of(sql::Statement& statement) {
  if (auto* insert = statement_as<sql::Insert>(&statement)) return Target{.name = &insert->table};
  auto* update = statement_as<sql::Update>(&statement);
  auto* remove = statement_as<sql::Delete>(&statement);
  if (update == nullptr && (remove == nullptr || !remove->targets.empty())) return std::nullopt;
  const auto& from = update != nullptr ? update->tables : remove->from;
  auto* source = from.size() == 1 ? as<sql::TableSource>(from[0]) : nullptr;
  if (source == nullptr) return std::nullopt;
  return Target{.name = &source->name, .source = source};
}

// Looks for what may have another value on another server, or at another moment.
class Checker : public sql::Walker {
 public:
  std::optional<Error> refusal;

 protected:
  bool enter(const sql::Query&) override {
    refuse("subqueries");
    return false;
  }
  bool enter(const sql::Expr& expr) override {
    static const std::set<std::string, std::less<>> kSame = {
        "abs",      "ceil",  "ceiling", "floor",       "round",         "truncate", "mod",       "sign",    "greatest",
        "least",    "if",    "ifnull",  "nullif",      "coalesce",      "concat",   "concat_ws", "upper",   "ucase",
        "lower",    "lcase", "length",  "char_length", "left",          "right",    "substring", "substr",  "mid",
        "trim",     "ltrim", "rtrim",   "lpad",        "rpad",          "repeat",   "replace",   "reverse", "hex",
        "unhex",    "md5",   "sha1",    "sha2",        "cast",          "convert",  "values",    "value",   "date_add",
        "date_sub", "year",  "month",   "day",         "last_insert_id"};
    if (const auto* call = as<sql::FunctionCall>(&expr); call != nullptr && !kSame.contains(lower(call->name.text))) {
      refuse("the function " + std::string(call->name.text));
    }
    if (as<sql::SystemVariable>(&expr) != nullptr) refuse("system variables");
    return true;
  }

 private:
  void refuse(const std::string& what) {
    if (refusal) return;
    refusal =
        unsupported(what + " in a change of a reference table without a source: each shard would compute it by itself");
  }
};

Error may_differ(const vschema::Table& table, const std::string& column) {
  return unsupported("a change of the reference table " + table.name + " that leaves the value of " + column +
                     " to each shard; give it one");
}

// Whether a column that is left out has the same value on all shards.
bool same_default(const schema::Column& column) {
  if (column.extra.find("auto_increment") != std::string::npos) return false;
  if (column.extra.find("generated") != std::string::npos) return true;
  if (!column.has_default || column.null_default) return true;
  // What the default is, is not known: one of a number is no time and no UUID.
  const std::string_view type = column.data_type;
  return type.ends_with("int") || type == "decimal" || type == "enum" || type == "set" || type == "bit";
}

Status check_insert(const sql::Insert& insert, const vschema::Table& table, const schema::Table& known) {
  std::set<std::string> given;
  for (const auto* column : insert.columns) given.insert(lower(column->name.text));
  for (const auto& assignment : insert.set) given.insert(lower(assignment.column->name.text));
  const bool all = !insert.has_columns && insert.set.empty() && !insert.rows.empty() && !insert.rows[0].empty();
  for (const auto& column : known.columns) {
    if (all ? column.invisible && !same_default(column)
            : !given.contains(lower(column.name)) && !same_default(column)) {
      return may_differ(table, column.name);
    }
  }
  // NULL and 0 make an id; DEFAULT is as good as leaving the column out.
  const auto check_value = [&](const schema::Column* column, const sql::Expr* value) -> Status {
    if (column == nullptr || same_default(*column)) return {};
    const auto* literal = as<sql::Literal>(value);
    const bool makes_ids = column->extra.find("auto_increment") != std::string::npos;
    const bool plain = literal != nullptr && literal->literal == sql::LiteralKind::kInteger && literal->text != "0";
    if (makes_ids ? !plain : as<sql::DefaultValue>(value) != nullptr) return may_differ(table, column->name);
    return {};
  };
  for (const auto& assignment : insert.set) {
    RETURN_IF_ERROR(check_value(known.find(assignment.column->name.text), assignment.value));
  }
  for (const auto& row : insert.rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const schema::Column* column = nullptr;
      if (insert.has_columns && i < insert.columns.size()) column = known.find(insert.columns[i]->name.text);
      if (all && i < known.columns.size()) column = &known.columns[i];
      RETURN_IF_ERROR(check_value(column, row[i]));
    }
  }
  return {};
}

// Columns that change by themselves with the row.
Status check_updates(sql::List<sql::Assignment> set, const vschema::Table& table, const schema::Table& known) {
  if (set.empty()) return {};
  for (const auto& column : known.columns) {
    if (column.extra.find("on update") == std::string::npos) continue;
    const auto assigns = [&](const sql::Assignment& a) { return lower(a.column->name.text) == lower(column.name); };
    if (std::ranges::none_of(set, assigns)) return may_differ(table, column.name);
  }
  return {};
}

Status check_copies(const sql::Statement& statement, const vschema::Table& table, const PlanContext& context) {
  Checker checker;
  checker.walk(statement);
  if (checker.refusal) return std::move(*checker.refusal);
  const auto* insert = statement_as<sql::Insert>(&statement);
  const auto* update = statement_as<sql::Update>(&statement);
  const auto* remove = statement_as<sql::Delete>(&statement);
  const auto* limit = update != nullptr ? update->limit : remove != nullptr ? remove->limit : nullptr;
  if (limit != nullptr)
    return unsupported("LIMIT in a change of a reference table: which rows it meets is not determined");
  const auto& returning = insert != nullptr   ? insert->returning
                          : update != nullptr ? update->returning
                                              : remove->returning;
  if (!returning.empty()) return unsupported("RETURNING of a change of a reference table");
  if (table.auto_increment) return unsupported("a sequence of a reference table without a source");
  if (remove != nullptr) return {};
  const auto* known =
      context.schema == nullptr ? nullptr : schema::find_table(*context.schema, table.keyspace, table.name);
  if (known == nullptr) {
    return without_columns(
        unsupported("a change of the reference table " + table.name + ", whose columns are not known (yet)"), table);
  }
  if (update != nullptr) return check_updates(update->set, table, *known);
  RETURN_IF_ERROR(check_insert(*insert, table, *known));
  return check_updates(insert->on_duplicate, table, *known);
}

// The statement with its target's source in the target's place.
Result<std::string> source_text(const sql::Ast& ast, const Target& target, const vschema::Table& source) {
  const auto* remove = statement_as<sql::Delete>(&ast.statement());
  if (remove != nullptr && source.name != target.name->name.text) {
    class Qualifiers : public sql::Walker {
     public:
      bool found = false;

     protected:
      bool enter(const sql::Expr& expr) override {
        const auto* column = as<sql::Column>(&expr);
        found = found || (column != nullptr && !column->table.empty());
        return true;
      }
    };
    Qualifiers qualifiers;
    qualifiers.walk(ast.statement());
    if (qualifiers.found) {
      return unsupported(
          "names of tables before columns in a DELETE of a reference table whose source has another name");
    }
  }
  sql::PrintOptions options;
  options.table = [&](const sql::TableName& name, sql::TableRewrite& rewrite) {
    if (&name != target.name) return;
    rewrite.qualifier = source.keyspace;
    rewrite.name = source.name;
  };
  return sql::print(ast.statement(), options);
}

}  // namespace

bool changes_reference_table(sql::Ast& ast, const PlanContext& context) {
  const auto target = target_of(ast.statement());
  if (!target) return false;
  const std::string_view qualifier = target->name->qualifier.text;
  const auto routed = context.vschema->find_table(qualifier.empty() ? context.keyspace : qualifier,
                                                  target->name->name.text, type_of(context.tablet_type));
  return routed.ok() && routed->table->type == vschema::TableType::kReference;
}

Result<std::optional<std::shared_ptr<const Plan>>> plan_reference_change(sql::Ast& ast, const StatementTables& tables,
                                                                         const PlanContext& context) {
  using Planned = std::optional<std::shared_ptr<const Plan>>;
  if (tables.tables.empty()) return Planned();
  auto target = target_of(ast.statement());
  if (!target) return Planned();
  const auto type = type_of(context.tablet_type);
  const std::string_view qualifier = target->name->qualifier.text;
  ASSIGN_OR_RETURN(const auto routed, context.vschema->find_table(qualifier.empty() ? context.keyspace : qualifier,
                                                                  target->name->name.text, type));
  const vschema::Table& table = *routed.table;
  if (table.type != vschema::TableType::kReference) return Planned();
  if (!table.source_table.empty()) {
    ASSIGN_OR_RETURN(const auto source, context.vschema->find_table(table.source_keyspace, table.source_table, type));
    if (source.table->type == vschema::TableType::kReference) {
      return unsupported("a change of the reference table " + table.name + ", whose source is a reference table, too");
    }
    if (target->source != nullptr && target->source->alias.empty() && ast.kind() == sql::StatementKind::kUpdate) {
      target->source->alias.text = ast.arena().copy_text(target->name->name.text);
    }
    ASSIGN_OR_RETURN(const std::string text, source_text(ast, *target, *source.table));
    ASSIGN_OR_RETURN(sql::Ast again, sql::parse(text));
    PlanContext own = context;
    own.literal_positions = 0;  // The statement's literals are not those of this text.
    ASSIGN_OR_RETURN(const auto planned, plan_statement(again, own));
    Plan plan = *planned;
    if (plan.kind == Plan::Kind::kRoute && !plan.text) plan.text = text;
    plan.cacheable = false;
    return Planned(std::make_shared<const Plan>(std::move(plan)));
  }
  if (!table.sharded) return Planned();
  const auto is_copy = [&](const auto& other) { return other->type == vschema::TableType::kReference; };
  if (!std::ranges::all_of(tables.tables, is_copy)) {
    return unsupported("a change of a reference table by rows of other tables");
  }
  RETURN_IF_ERROR(check_copies(ast.statement(), table, context));
  auto plan = std::make_shared<Plan>();
  plan->route.kind = Route::Kind::kAllShards;
  plan->route.keyspace = table.keyspace;
  plan->copies = true;
  // Never cacheable: an id of 0 is another statement than one of 1.
  if (tables.rewrite) plan->text = server_text(ast.statement(), tables, context, true);
  return Planned(std::move(plan));
}

}  // namespace vitrail::plan
