#include "plan/change.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "mysql/protocol.h"
#include "plan/expr_walk.h"
#include "plan/key_condition.h"
#include "plan/lookup.h"
#include "plan/routing.h"
#include "plan/stored_literal.h"
#include "shard/lookup_placement.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "vschema/vschema.h"

namespace vitrail::plan {

using sql::as;
using sql::statement_as;

namespace {

struct Bound {
  const sql::TableSource* source = nullptr;
  std::string shown;  // As columns name it.
  std::shared_ptr<const vschema::Table> table;
  const schema::Table* known = nullptr;
};

void add_sources(const sql::TableRef* ref, std::vector<const sql::TableSource*>& out) {
  if (const auto* source = as<sql::TableSource>(ref)) out.push_back(source);
  if (const auto* join = as<sql::Join>(ref)) {
    add_sources(join->left, out);
    add_sources(join->right, out);
  } else if (const auto* list = as<sql::TableList>(ref)) {
    for (const sql::TableRef* item : list->items) add_sources(item, out);
  }
}

bool names(const std::vector<std::string>& columns, std::string_view name) {
  return std::ranges::any_of(columns, [&](const auto& column) { return lower(column) == lower(name); });
}

class ChangePlanner {
 public:
  ChangePlanner(const sql::Ast& ast, const PlanContext& context)
      : context_(context),
        text_(ast.text()),
        update_(statement_as<sql::Update>(&ast.statement())),
        remove_(statement_as<sql::Delete>(&ast.statement())),
        from_(update_ != nullptr ? update_->tables : remove_->from),
        where_(update_ != nullptr ? update_->where : remove_->where),
        order_(update_ != nullptr ? update_->order_by : remove_->order_by),
        limit_(update_ != nullptr ? update_->limit : remove_->limit),
        returning_(update_ != nullptr ? update_->returning : remove_->returning),
        ignore_(update_ != nullptr ? update_->ignore : remove_->ignore) {
    if (context.has_parameters) options_.expr = parameter_printer(ast.statement(), context.parameters);
  }

  Result<std::shared_ptr<const Plan>> plan() {
    RETURN_IF_ERROR(check_form());
    RETURN_IF_ERROR(bind());
    RETURN_IF_ERROR(update_ != nullptr ? find_assigned() : find_deleted());
    if (targets_.size() > 1 && !returning_.empty()) return unsupported("RETURNING of rows of several tables");
    auto change = std::make_shared<Change>();
    change->update = update_ != nullptr;
    // Rows that are put in an order, or whose places in the table change, are found before the change begins: there
    // servers only warn, too.
    change->strict = change->update && context_.strict && !ignore_ && order_.empty() && !moves_rows() && !by_keys();
    for (const auto& wanted : targets_) {
      ASSIGN_OR_RETURN(auto target, make_target(wanted));
      change->targets.push_back(std::move(target));
    }
    std::set<std::string> changed;
    for (const auto& wanted : targets_) changed.insert(lower(bound_[wanted.table].shown));
    ASSIGN_OR_RETURN(change->rows, plan_source(source_text(), std::move(changed), context_));
    auto plan = std::make_shared<Plan>();
    plan->kind = Plan::Kind::kChange;
    plan->route.kind = Route::Kind::kAllShards;
    plan->route.keyspace = change->targets.front().keyspace;
    plan->returning = !returning_.empty();
    plan->change = std::move(change);
    return plan;
  }

 private:
  struct Wanted {
    size_t table = 0;  // Of bound_.
    std::vector<const sql::Assignment*> set;
  };

  bool by_keys() const {
    const bool plain =
        update_ == nullptr || std::ranges::all_of(update_->set, [](const sql::Assignment& assignment) {
          return as<sql::Literal>(assignment.value) != nullptr || as<sql::Column>(assignment.value) != nullptr;
        });
    return plain && single() && bound_[0].known != nullptr &&
           compares_by_keys(where_, *bound_[0].known, bound_[0].shown);
  }

  bool single() const { return from_.size() == 1 && as<sql::TableSource>(from_[0]) != nullptr; }

  Status check_form() const {
    const auto* with = update_ != nullptr ? update_->with : remove_->with;
    if (with != nullptr) return unsupported("WITH in a change of rows of several shards");
    if (!single() && (limit_ != nullptr || !order_.empty())) {
      return unsupported("ORDER BY and LIMIT in a change of joined tables of several shards");
    }
    if (!returning_.empty() && update_ != nullptr) return unsupported("UPDATE ... RETURNING over several shards");
    for (const auto& item : returning_) {
      if (traits_of(item.expr).subquery) return unsupported("subqueries in RETURNING");
    }
    return {};
  }

  Status bind() {
    std::vector<const sql::TableSource*> sources;
    for (const sql::TableRef* ref : from_) add_sources(ref, sources);
    for (const sql::TableSource* source : sources) {
      const std::string keyspace =
          source->name.qualifier.empty() ? context_.keyspace : std::string(source->name.qualifier.text);
      if (is_system_schema(keyspace)) return unsupported("system tables beside tables of several shards");
      ASSIGN_OR_RETURN(auto routed,
                       context_.vschema->find_table(keyspace, source->name.name.text, type_of(context_.tablet_type)));
      Bound bound{.source = source,
                  .shown = std::string(source->alias.empty() ? source->name.name.text : source->alias.text),
                  .table = std::move(routed.table)};
      bound.known = schema::find_table(*context_.schema, bound.table->keyspace, bound.table->name);
      bound_.push_back(std::move(bound));
    }
    return {};
  }

  Status find_deleted() {
    if (remove_->targets.empty()) {
      if (!single()) return unsupported("this form of DELETE over several shards");
      targets_.push_back({});
      return {};
    }
    for (const auto& name : remove_->targets) {
      const auto found = sql::delete_target_tables(*remove_, name);
      if (found.size() != 1)
        return unsupported("DELETE FROM " + std::string(name.name.text) + ": which table is meant is not clear");
      const auto at = std::ranges::find(bound_, found.front(), &Bound::source);
      if (at == bound_.end()) return unsupported("this form of DELETE over several shards");
      targets_.push_back({.table = static_cast<size_t>(at - bound_.begin())});
    }
    return {};
  }

  // Whose column is assigned.
  Result<size_t> table_of(const sql::Column& column) const {
    std::optional<size_t> found;
    for (size_t i = 0; i < bound_.size(); ++i) {
      const Bound& bound = bound_[i];
      if (!column.table.empty() && lower(column.table.text) != lower(bound.shown)) continue;
      const bool sure = single() || !column.table.empty();
      if (!sure && bound.known == nullptr) return unknown_columns(bound);
      if (!sure && bound.known->find(column.name.text) == nullptr) continue;
      if (found)
        return unsupported("an assignment to " + std::string(column.name.text) + ", which several tables have");
      found = i;
    }
    if (!found)
      return unsupported("an assignment to " + std::string(column.name.text) + ", which no table is known to have");
    return *found;
  }

  Status find_assigned() {
    std::vector<std::string> assigned;
    for (const auto& assignment : update_->set) {
      ASSIGN_OR_RETURN(const size_t table, table_of(*assignment.column));
      auto at = std::ranges::find(targets_, table, &Wanted::table);
      if (at == targets_.end()) at = targets_.insert(targets_.end(), Wanted{.table = table});
      at->set.push_back(&assignment);
      // Servers compute an assignment with what those before it have made; a query does not.
      bool reads_assigned = false;
      walk(assignment.value, [&](const sql::Expr& node) {
        const auto* column = as<sql::Column>(&node);
        reads_assigned = reads_assigned || (column != nullptr && names(assigned, column->name.text));
        return true;
      });
      reads_assigned_ = reads_assigned_ || reads_assigned;
      assigned.emplace_back(assignment.column->name.text);
      if (traits_of(assignment.value).subquery) computed_ = true;
    }
    computed_ = computed_ || !single();
    if (computed_ && reads_assigned_) {
      return unsupported("an assignment that reads a column that another one changes, over several shards");
    }
    return {};
  }

  // Whether it assigns to the primary key of its only table, nothing that comes with the rows.
  bool moves_rows() const {
    const auto* known = single() && !computed_ ? bound_.front().known : nullptr;
    return known != nullptr && std::ranges::any_of(update_->set, [&](const auto& assignment) {
             const auto* column = known->find(assignment.column->name.text);
             return column != nullptr && (column->key_flags & mysql::kFieldPrimaryKey) != 0;
           });
  }

  static Error unknown_columns(const Bound& bound) {
    return without_columns(
        unsupported(
            fmt::format("a change whose rows have to be found first, while the columns of {}.{} are not known (no "
                        "primary tablet has told them, or --schema-change-signal is off)",
                        bound.table->keyspace, bound.table->name)),
        *bound.table);
  }

  Status check_target(const Wanted& wanted) const {
    const Bound& bound = bound_[wanted.table];
    if (bound.table->type != vschema::TableType::kNormal) return unsupported("changing a reference table");
    if (bound.table->sharded && bound.table->primary_vindex() == nullptr) {
      return unsupported("a change of the table " + bound.table->name + ", which has no primary vindex");
    }
    if (!bound.source->partitions.empty()) return unsupported("partitions in a change of rows of several shards");
    if (bound.known == nullptr) return unknown_columns(bound);
    return {};
  }

  static bool sets(const Wanted& wanted, const std::vector<std::string>& columns) {
    return std::ranges::any_of(wanted.set,
                               [&](const auto* assignment) { return names(columns, assignment->column->name.text); });
  }

  // What lookup vindexes have to learn.
  Status watch_lookups(const Wanted& wanted, ChangeTarget& target) const {
    const Bound& bound = bound_[wanted.table];
    const auto* primary = bound.table->primary_vindex();
    auto watch = std::make_shared<LookupWatch>();
    for (size_t i = 0; i < bound.table->lookups.size(); ++i) {
      const auto& use = bound.table->lookups[i];
      // The lookup of another table that places the rows is asked for each of them.
      if (primary != nullptr && shard::placing_lookup(*primary->vindex) == use.lookup) continue;
      const bool moves = update_ != nullptr && primary != nullptr && sets(wanted, primary->columns);
      if (!moves && !(update_ == nullptr ? use.is_owned : sets(wanted, use.columns))) continue;
      const std::string what = fmt::format("a change of table {}, whose vindex {} is a lookup vindex (type {})",
                                           bound.table->name, use.lookup->name, use.lookup->type);
      if (!use.problem.empty()) return unsupported(what + ": " + use.problem);
      watch->uses.push_back(i);
    }
    if (watch->uses.empty()) return {};
    watch->table = bound.table;
    watch->key = target.key;
    target.watch = std::move(watch);
    return {};
  }

  void add_columns(const Bound& bound, const std::vector<schema::Column>& columns) {
    for (const auto& column : columns) {
      items_.push_back(schema::select_text(
          schema::form_of(column), sql::quote_identifier(bound.shown) + "." + sql::quote_identifier(column.name)));
    }
  }

  Result<ChangeTarget> make_target(const Wanted& wanted) {
    RETURN_IF_ERROR(check_target(wanted));
    const Bound& bound = bound_[wanted.table];
    ChangeTarget target{.keyspace = bound.table->keyspace, .table = bound.table->name};
    for (const auto& column : bound.known->columns) {
      if ((column.key_flags & mysql::kFieldPrimaryKey) != 0) target.key.push_back(column);
    }
    const bool keyed = !target.key.empty() && std::ranges::all_of(target.key, comparable);
    if (!keyed) {
      return unsupported(
          "a change of the table " + target.table +
          " by its rows' keys: it has no primary key, or one of a type whose values are not compared exactly");
    }
    if (bound.table->sharded) {
      const auto* primary = bound.table->primary_vindex();
      target.vindex = primary->vindex;
      for (const auto& name : primary->columns) {
        const auto* column = bound.known->find(name);
        if (column == nullptr) return unknown_columns(bound);
        target.place.push_back(*column);
      }
    }
    target.key_at = items_.size();
    add_columns(bound, target.key);
    target.place_at = items_.size();
    add_columns(bound, target.place);
    target.exact = !ignore_;
    RETURN_IF_ERROR(watch_lookups(wanted, target));
    if (ignore_ &&
        std::ranges::any_of(target.place, [](const auto& column) { return !column.data_type.ends_with("int"); })) {
      return unsupported("IGNORE in a change by the keys of the table " + target.table +
                         ", which is not sharded by numbers");
    }
    if (update_ != nullptr) {
      RETURN_IF_ERROR(make_update(wanted, target));
    } else {
      target.before =
          std::string("delete ") + (ignore_ ? "ignore " : "") + "from " + sql::quote_identifier_if_needed(target.table);
      target.after = returning_text(returning_, options_, text_);
    }
    return target;
  }

  Status make_update(const Wanted& wanted, ChangeTarget& target) {
    const Bound& bound = bound_[wanted.table];
    target.before = std::string("update ") + (ignore_ ? "ignore " : "") + sql::quote_identifier_if_needed(target.table);
    bool moves = false;
    for (const auto& column : target.place) {
      moves = moves || std::ranges::any_of(wanted.set, [&](const auto* assignment) {
                return lower(assignment->column->name.text) == lower(column.name);
              });
    }
    if (moves) RETURN_IF_ERROR(make_move(wanted, target));
    if (!moves && target.watch != nullptr) RETURN_IF_ERROR(find_new_key(wanted, target));
    if (computed_) {
      target.before += " set ";
      for (const auto* assignment : wanted.set) {
        const auto* column = bound.known->find(assignment->column->name.text);
        if (column == nullptr) return unsupported("an assignment to a column that is not known");
        ChangeTarget::Value value{.column = *column, .at = std::nullopt, .text = {}};
        if (const auto* preset = as<sql::DefaultValue>(assignment->value);
            preset != nullptr && preset->column == nullptr) {
          value.text = "default";
        } else {
          value.at = items_.size();
          items_.push_back(sql::print(*assignment->value, options_));
        }
        target.values.push_back(std::move(value));
      }
      return {};
    }
    target.before += " as " + sql::quote_identifier(bound.shown) + " set ";
    target.qualifier = sql::quote_identifier(bound.shown) + ".";
    for (const auto* assignment : wanted.set) {
      if (assignment != wanted.set.front()) target.before += ", ";
      target.before += sql::quote_identifier(assignment->column->name.text) + " = " + print_here(*assignment->value);
    }
    // Rows whose keys meet each other's are changed in the order of the statement.
    if (!target.one_by_one() && !order_.empty()) target.after = order_text();
    return {};
  }

  // Without the schema of columns: `ks.t.c` is not known to servers.
  std::string print_here(const sql::Expr& expr) const {
    sql::PrintOptions options = options_;
    options.table = [](const sql::TableName& name, sql::TableRewrite& rewrite) {
      if (name.name.empty()) rewrite.qualifier.clear();
    };
    return sql::print(expr, options);
  }

  Status make_move(const Wanted& wanted, ChangeTarget& target) {
    const Bound& bound = bound_[wanted.table];
    if (computed_) return unsupported("a new value of a column that places the row, from other tables");
    if (reads_assigned_) {
      return unsupported("an assignment that reads a column that another one changes, beside one that places the row");
    }
    if (ignore_ && target.watch != nullptr) {
      return unsupported("UPDATE IGNORE of a column that places the row, in a table with lookup vindexes");
    }
    auto& move = target.move.emplace();
    RETURN_IF_ERROR(add_new_key(wanted, target));
    for (const auto& column : bound.known->columns) {
      if (!is_generated(column)) move.columns.push_back(column);
    }
    // Which row comes first decides whether one meets another: without an order it is that of the primary key.
    if (order_.empty()) ordered_by_key_ = static_cast<std::ptrdiff_t>(wanted.table);
    return {};
  }

  // The primary key as it is afterwards.
  Status add_new_key(const Wanted& wanted, ChangeTarget& target) {
    for (const auto& column : target.key) {
      auto& place = target.new_key.emplace_back();
      for (const auto* assignment : wanted.set) {
        if (lower(assignment->column->name.text) != lower(column.name)) continue;
        if (as<sql::DefaultValue>(assignment->value) != nullptr)
          return unsupported("DEFAULT for a column of the key of a row that moves");
        place.at = items_.size();
        items_.push_back(sql::print(*assignment->value, options_));
      }
    }
    return {};
  }

  // Rows are looked at afterwards, too: by their new keys.
  Status find_new_key(const Wanted& wanted, ChangeTarget& target) {
    std::vector<std::string> key;
    for (const auto& column : target.key) key.push_back(column.name);
    if (!sets(wanted, key)) return {};
    if (reads_assigned_) {
      return unsupported("an assignment that reads a column that another one changes, beside one of the primary key");
    }
    RETURN_IF_ERROR(add_new_key(wanted, target));
    if (order_.empty() && single()) ordered_by_key_ = static_cast<std::ptrdiff_t>(wanted.table);
    return {};
  }

  std::string order_text() const {
    std::string out;
    for (const auto& order : order_) {
      out += (out.empty() ? " order by " : ", ") + print_here(*order.expr);
      if (order.direction == sql::Direction::kDesc) out += " desc";
    }
    return out;
  }

  std::string source_text() {
    std::string out = "select ";
    for (const auto& text : items_) {
      if (&text != &items_.front()) out += ", ";
      out += text;
    }
    out += " from ";
    for (const sql::TableRef* ref : from_) {
      if (ref != from_[0]) out += ", ";
      out += sql::print(*ref, options_);
    }
    if (where_ != nullptr) out += " where " + sql::print(*where_, options_);
    if (ordered_by_key_ >= 0) {
      const Bound& bound = bound_[static_cast<size_t>(ordered_by_key_)];
      const char* word = " order by ";
      for (const auto& column : bound.known->columns) {
        if ((column.key_flags & mysql::kFieldPrimaryKey) == 0) continue;
        out +=
            std::exchange(word, ", ") + (sql::quote_identifier(bound.shown) + ".") + sql::quote_identifier(column.name);
      }
    } else {
      std::string order;
      for (const auto& one : order_) {
        order += (order.empty() ? " order by " : ", ") + sql::print(*one.expr, options_);
        if (one.direction == sql::Direction::kDesc) order += " desc";
      }
      out += order;
    }
    if (limit_ != nullptr && limit_->count != nullptr) out += " limit " + sql::print(*limit_->count, options_);
    return out;
  }

  const PlanContext& context_;
  std::string_view text_;
  const sql::Update* update_;
  const sql::Delete* remove_;
  sql::List<sql::TableRef*> from_;
  const sql::Expr* where_;
  sql::List<sql::OrderItem> order_;
  const sql::Limit* limit_;
  sql::List<sql::SelectItem> returning_;
  bool ignore_;
  sql::PrintOptions options_;
  std::vector<Bound> bound_;
  std::vector<Wanted> targets_;
  std::vector<std::string> items_;  // Of the query that finds the rows.
  bool computed_ = false;           // Values come with the rows.
  bool reads_assigned_ = false;
  std::ptrdiff_t ordered_by_key_ = -1;
};

}  // namespace

std::string returning_text(sql::List<sql::SelectItem> items, const sql::PrintOptions& options,
                           std::string_view statement) {
  std::string out;
  for (const auto& item : items) {
    out += (out.empty() ? " returning " : ", ") + sql::print(*item.expr, options);
    const bool named = as<sql::Column>(item.expr) != nullptr || as<sql::Star>(item.expr) != nullptr;
    if (!item.alias.empty()) {
      out += " as " + sql::quote_identifier(item.alias.text);
    } else if (!named) {
      out += " as " + sql::quote_identifier(item.expr_span.of(statement));
    }
  }
  return out;
}

std::string key_condition(const ChangeTarget& target, const std::vector<std::string>& literals) {
  std::string out = "(";
  for (size_t i = 0; i < target.key.size(); ++i) {
    if (i > 0) out += " and ";
    out += target.qualifier + sql::quote_identifier(target.key[i].name) + " = " + literals[i];
  }
  return out + ")";
}

Result<std::shared_ptr<const Plan>> plan_change_by_key(sql::Ast& ast, const PlanContext& context) {
  ChangePlanner planner(ast, context);
  return planner.plan();
}

}  // namespace vitrail::plan
