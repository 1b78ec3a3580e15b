#include "plan/view_change.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "plan/expr_walk.h"
#include "plan/routing.h"
#include "sql/parser.h"
#include "sql/printer.h"
#include "sql/walk.h"
#include "vschema/vschema.h"

namespace vitrail::plan {

using sql::as;

namespace {

const sql::TableSource* only_source(sql::List<sql::TableRef*> from) {
  return from.size() == 1 ? as<sql::TableSource>(from[0]) : nullptr;
}

struct Target {
  const sql::TableName* name = nullptr;
  std::string_view alias;
};

// Of statements that change one table.
std::optional<Target> target_of(const sql::Statement& statement) {
  if (const auto* insert = sql::statement_as<sql::Insert>(&statement)) return Target{&insert->table, {}};
  const sql::TableSource* source = nullptr;
  if (const auto* update = sql::statement_as<sql::Update>(&statement)) source = only_source(update->tables);
  if (const auto* remove = sql::statement_as<sql::Delete>(&statement); remove != nullptr && remove->targets.empty()) {
    source = only_source(remove->from);
  }
  if (source == nullptr) return std::nullopt;
  return Target{&source->name, source->alias.text};
}

// A column of a view: its name, and the expression over the table's columns.
struct ViewColumn {
  std::string name;  // Lower case.
  const sql::Column* plain = nullptr;
  std::string text;
};

// The table that a view shows, and what it shows of it.
struct ShownTable {
  const sql::TableName* table = nullptr;
  std::vector<ViewColumn> columns;
  std::string condition;
  std::vector<std::string> compared;  // The columns in it, lower case.

  const ViewColumn* find(std::string_view name) const {
    const auto found = std::ranges::find(columns, lower(name), &ViewColumn::name);
    return found == columns.end() ? nullptr : &*found;
  }
};

// The table is the only one: names of its columns need no qualifier.
std::string print_bare(const sql::Expr& expr) {
  sql::PrintOptions options;
  options.expr = [](const sql::Expr& node, std::string& out) {
    const auto* column = as<sql::Column>(&node);
    if (column == nullptr) return false;
    out = sql::quote_identifier(column->name.text);
    return true;
  };
  return sql::print(expr, options);
}

bool is_of_one_row(const sql::Expr* expr) {
  const ExprTraits traits = traits_of(expr);
  return !traits.aggregate && !traits.window && !traits.subquery && !traits.relevance && !traits.other;
}

Result<ShownTable> shown_table(const sql::Ast& ast, const UnknownTable& view) {
  const auto refuse = [&] {
    return unsupported("a change of the view " + view.name + ", which is more than the rows of one table");
  };
  const auto* statement = sql::statement_as<sql::QueryStatement>(&ast.statement());
  const auto* select = statement == nullptr ? nullptr : as<sql::Select>(statement->query);
  const auto* source = select == nullptr ? nullptr : only_source(select->from);
  if (source == nullptr || select->with != nullptr || select->distinct || select->rollup || !select->group_by.empty() ||
      select->having != nullptr || !select->windows.empty() || !select->order_by.empty() || select->limit != nullptr ||
      !select->locks.empty() || !source->partitions.empty() || !source->system_time.empty()) {
    return refuse();
  }
  if (select->where != nullptr && !is_of_one_row(select->where)) return refuse();
  ShownTable out;
  out.table = &source->name;
  for (const auto& item : select->items) {
    if (as<sql::Star>(item.expr) != nullptr || !is_of_one_row(item.expr)) return refuse();
    const auto* column = as<sql::Column>(item.expr);
    if (item.alias.empty() && column == nullptr) return refuse();
    out.columns.push_back({.name = lower(item.alias.empty() ? column->name.text : item.alias.text),
                           .plain = column,
                           .text = print_bare(*item.expr)});
  }
  if (select->where != nullptr) {
    out.condition = print_bare(*select->where);
    walk(select->where, [&](const sql::Expr& node) {
      if (const auto* column = as<sql::Column>(&node)) out.compared.push_back(lower(column->name.text));
      return true;
    });
  }
  return out;
}

// What the statement says of columns, and what keeps a view's columns from being written in their places.
class Uses : public sql::Walker {
 public:
  std::vector<const sql::Column*> columns;
  bool query = false;

 protected:
  bool enter(const sql::Query&) override {
    query = true;
    return false;
  }
  bool enter(const sql::Expr& expr) override {
    if (const auto* column = as<sql::Column>(&expr)) columns.push_back(column);
    return true;
  }
};

Error not_insertable(const UnknownTable& view) {
  return fail(Code::kInvalidArgument,
              fmt::format("The target table {} of the INSERT is not insertable-into", view.name))
      .with_mysql(1471, "HY000");
}

class ViewChange {
 public:
  ViewChange(sql::Ast& ast, const UnknownTable& view, const ViewDefinition& definition, const ShownTable& shown,
             const schema::Snapshot* schema)
      : ast_(ast),
        view_(view),
        definition_(definition),
        shown_(shown),
        schema_(schema),
        target_(*target_of(ast.statement())) {}

  Result<std::string> rewrite() {
    insert_ = sql::statement_as<sql::Insert>(&ast_.statement());
    auto* update = sql::statement_as<sql::Update>(&ast_.statement());
    auto* remove = sql::statement_as<sql::Delete>(&ast_.statement());
    const bool removes = remove != nullptr;
    if (!definition_.updatable && insert_ != nullptr) return not_insertable(view_);
    if (!definition_.updatable) {
      const char* verb = removes ? "DELETE" : "UPDATE";
      return fail(Code::kInvalidArgument,
                  fmt::format("The target table {} of the {} is not updatable", view_.name, verb))
          .with_mysql(1288, "HY000");
    }
    if (definition_.checked && !removes && (insert_ != nullptr || !keeps_rows(*update))) {
      return unsupported("a change of the view " + view_.name + ", which is WITH CHECK OPTION");
    }
    const auto returning = insert_ != nullptr ? insert_->returning : removes ? remove->returning : update->returning;
    if (!returning.empty()) return unsupported("RETURNING in a change of the view " + view_.name);
    const auto* with = insert_ != nullptr ? insert_->with : removes ? remove->with : update->with;
    if (with != nullptr) return unsupported("WITH before a change of the view " + view_.name);
    if (insert_ != nullptr) {
      RETURN_IF_ERROR(prepare_insert());
    } else {
      RETURN_IF_ERROR(check_columns(ast_.statement()));
      for (const auto& assignment : removes ? sql::List<sql::Assignment>() : update->set) {
        RETURN_IF_ERROR(check_assigned(*assignment.column));
      }
    }
    return print(update, remove);
  }

 private:
  // Whether what is assigned has nothing to do with the view's condition.
  bool keeps_rows(const sql::Update& update) const {
    const auto* table = schema_ == nullptr
                            ? nullptr
                            : schema::find_table(*schema_, shown_.table->qualifier.text, shown_.table->name.text);
    return table != nullptr && std::ranges::all_of(shown_.compared, [&](const std::string& name) {
             const auto* known = table->find(name);
             if (known == nullptr || known->extra.contains("generated") || known->extra.contains("on update"))
               return false;
             return std::ranges::none_of(update.set, [&](const sql::Assignment& assignment) {
               const auto* shown = shown_.find(assignment.column->name.text);
               return shown != nullptr && shown->plain != nullptr && lower(shown->plain->name.text) == name;
             });
           });
  }

  std::string_view shown_name() const {
    return target_.alias.empty() ? std::string_view(target_.name->name.text) : target_.alias;
  }

  Status check_column(const sql::Column& column) const {
    const bool own = column.table.empty() || lower(column.table.text) == lower(shown_name());
    if (own && shown_.find(column.name.text) != nullptr) return {};
    return fail(Code::kInvalidArgument,
                fmt::format("Unknown column '{}' in the view '{}'", column.name.text, view_.name))
        .with_mysql(1054, "42S22");
  }

  template <class Node>
  Status check_columns(const Node& node) const {
    Uses uses;
    uses.walk(node);
    if (uses.query) return unsupported("subqueries in a change of the view " + view_.name);
    for (const auto* column : uses.columns) RETURN_IF_ERROR(check_column(*column));
    return {};
  }

  Status check_assigned(const sql::Column& column) const {
    RETURN_IF_ERROR(check_column(column));
    if (shown_.find(column.name.text)->plain != nullptr) return {};
    return fail(Code::kInvalidArgument, fmt::format("Column '{}' is not updatable", column.name.text))
        .with_mysql(1348, "HY000");
  }

  Status check_inserted(const sql::Column& column) const {
    RETURN_IF_ERROR(check_column(column));
    if (shown_.find(column.name.text)->plain == nullptr) return not_insertable(view_);
    return {};
  }

  Status prepare_insert() {
    std::vector<std::string> names;
    for (const auto& column : shown_.columns) {
      if (column.plain == nullptr) continue;
      names.push_back(lower(column.plain->name.text));
      if (std::ranges::count(names, names.back()) > 1) return not_insertable(view_);
    }
    if (!insert_->row_alias.empty() || !insert_->partitions.empty()) {
      return unsupported("a name for rows, or partitions, in an INSERT into the view " + view_.name);
    }
    for (const auto* column : insert_->columns) RETURN_IF_ERROR(check_inserted(*column));
    for (const auto& assignment : insert_->set) {
      RETURN_IF_ERROR(check_inserted(*assignment.column));
      RETURN_IF_ERROR(check_columns(*assignment.value));
    }
    for (const auto& row : insert_->rows) {
      for (const auto* value : row) RETURN_IF_ERROR(check_columns(*value));
    }
    for (const auto& assignment : insert_->on_duplicate) {
      RETURN_IF_ERROR(check_assigned(*assignment.column));
      RETURN_IF_ERROR(check_columns(*assignment.value));
      if (insert_->query != nullptr && as<sql::ValuesFunction>(assignment.value) == nullptr) {
        return unsupported("ON DUPLICATE KEY UPDATE in an INSERT ... SELECT into the view " + view_.name);
      }
    }
    const bool all_preset = insert_->query == nullptr && !insert_->rows.empty() &&
                            std::ranges::all_of(insert_->rows, [](const auto& row) { return row.empty(); });
    if (insert_->has_columns || !insert_->set.empty() || all_preset) return {};
    std::vector<sql::Column*> all;
    for (const auto& column : shown_.columns) {
      auto* node = ast_.arena().make<sql::Column>();
      node->kind = sql::ExprKind::kColumn;
      node->name.text = ast_.arena().copy_text(column.name);
      RETURN_IF_ERROR(check_inserted(*node));
      all.push_back(node);
    }
    insert_->has_columns = true;
    insert_->columns = ast_.arena().copy(std::span<sql::Column* const>(all));
    return {};
  }

  std::string print(const sql::Update* update, const sql::Delete* remove) const {
    sql::PrintOptions options;
    const uint32_t place = target_.name->name.span.offset;
    options.table = [&](const sql::TableName& name, sql::TableRewrite& rewrite) {
      if (name.name.empty() || name.name.span.offset != place) return;
      rewrite.qualifier = shown_.table->qualifier.text;
      rewrite.name = shown_.table->name.text;
    };
    const auto* query = insert_ == nullptr ? nullptr : insert_->query;
    options.expr = [&](const sql::Expr& node, std::string& out) {
      const auto* column = as<sql::Column>(&node);
      const bool elsewhere = query != nullptr && node.span.offset >= query->span.offset &&
                             node.span.offset < query->span.end() && node.span.length > 0;
      const ViewColumn* shown = column == nullptr || elsewhere ? nullptr : shown_.find(column->name.text);
      if (shown != nullptr) out = shown->text;
      return shown != nullptr;
    };
    if (insert_ == nullptr) {
      options.where_of = update != nullptr ? static_cast<const void*>(update) : remove;
      options.extra_where = shown_.condition;
    }
    return sql::print(ast_.statement(), options);
  }

  sql::Ast& ast_;
  const UnknownTable& view_;
  const ViewDefinition& definition_;
  const ShownTable& shown_;
  const schema::Snapshot* schema_;
  Target target_;
  sql::Insert* insert_ = nullptr;
};

}  // namespace

std::optional<UnknownTable> changed_unknown(const sql::Statement& statement, const PlanContext& context) {
  const auto target = target_of(statement);
  if (!target) return std::nullopt;
  const auto& name = *target->name;
  const std::string keyspace(name.qualifier.empty() ? std::string_view(context.keyspace) : name.qualifier.text);
  if (keyspace.empty() || is_system_schema(keyspace)) return std::nullopt;
  const auto known = context.vschema->find_table(keyspace, name.name.text, type_of(context.tablet_type));
  if (known.ok() || known.error().code() != Code::kNotFound) return std::nullopt;
  return UnknownTable{.span = name.name.span,
                      .keyspace = keyspace,
                      .name = std::string(name.name.text),
                      .has_alias = !target->alias.empty()};
}

Result<std::string> change_of_table(std::string_view text, const UnknownTable& view, const ViewDefinition& definition,
                                    const schema::Snapshot* schema) {
  ASSIGN_OR_RETURN(auto ast, sql::parse(text));
  ASSIGN_OR_RETURN(const auto query, sql::parse(definition.query));
  ShownTable shown;
  if (definition.updatable) {
    ASSIGN_OR_RETURN(shown, shown_table(query, view));
  }
  return ViewChange(ast, view, definition, shown, schema).rewrite();
}

}  // namespace vitrail::plan
