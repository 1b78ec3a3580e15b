#include "sql/printer_impl.h"

namespace vitrail::sql {
namespace {

bool has_tail(const Query& query) {
  return query.with != nullptr || !query.order_by.empty() || query.limit != nullptr || !query.locks.empty() ||
         query.into != nullptr;
}

bool is_intersect(const Query& query) {
  return query.kind == QueryKind::kSetOperation &&
         static_cast<const SetOperation&>(query).op == SetOperator::kIntersect;
}

}  // namespace

// ---- Queries --------------------------------------------------------------------------------------------------------

void Printer::query(const Query& query) {
  if (query.with != nullptr) {
    with(*query.with);
    add(' ');
  }
  switch (query.kind) {
    case QueryKind::kSelect: select(static_cast<const Select&>(query)); break;
    case QueryKind::kSetOperation: set_operation(static_cast<const SetOperation&>(query)); break;
    case QueryKind::kValues: values(static_cast<const ValuesQuery&>(query)); break;
    case QueryKind::kTable:
      verb("table");
      add(' ');
      table_name(static_cast<const TableQuery&>(query).name);
      break;
    case QueryKind::kParenthesized: operand(*static_cast<const ParenthesizedQuery&>(query).inner, true); break;
  }
  tail(query);
}

void Printer::with(const With& with) {
  add(with.recursive ? "with recursive " : "with ");
  // Directives belong behind the verb of the statement, not into the first common table expression.
  const List<std::string_view> pending = directives_;
  directives_ = {};
  for (size_t i = 0; i < with.tables.size(); ++i) {
    const CommonTable& table = with.tables[i];
    if (i > 0) add(", ");
    identifier(table.name);
    if (!table.columns.empty()) names(table.columns);
    add(" as ");
    subquery(*table.query);
  }
  directives_ = pending;
}

void Printer::set_operation(const SetOperation& operation) {
  const bool intersect = operation.op == SetOperator::kIntersect;
  const Query& left = *operation.left;
  const Query& right = *operation.right;
  const auto is_set = [](const Query& query) { return query.kind == QueryKind::kSetOperation; };
  operand(left, has_tail(left) || (is_set(left) && intersect && !is_intersect(left)) || options_.full_parentheses);
  switch (operation.op) {
    case SetOperator::kUnion: add(" union "); break;
    case SetOperator::kExcept: add(" except "); break;
    case SetOperator::kIntersect: add(" intersect "); break;
  }
  if (operation.all) add("all ");
  if (operation.distinct) add("distinct ");
  operand(right,
          has_tail(right) || (is_set(right) && (intersect || !is_intersect(right))) || options_.full_parentheses);
}

void Printer::operand(const Query& inner, bool parentheses) {
  const auto* written = as<ParenthesizedQuery>(&inner);
  if (options_.full_parentheses && written != nullptr && !has_tail(inner)) return operand(*written->inner, parentheses);
  if (parentheses) add('(');
  query(inner);
  if (parentheses) add(')');
}

void Printer::select(const Select& select) {
  verb("select");
  hints(select.hints);
  if (select.distinct) add(" distinct");
  if (select.high_priority) add(" high_priority");
  if (select.straight_join) add(" straight_join");
  if (select.small_result) add(" sql_small_result");
  if (select.big_result) add(" sql_big_result");
  if (select.buffer_result) add(" sql_buffer_result");
  if (select.cache) add(" sql_cache");
  if (select.no_cache) add(" sql_no_cache");
  if (select.calc_found_rows) add(" sql_calc_found_rows");
  add(' ');
  if (select.next_values != nullptr) {
    add("next ");
    expr(*select.next_values);
    add(" values");
  }
  select_items(select.items);
  if (!select.from.empty()) {
    add(" from ");
    table_refs(select.from);
  }
  where(select.where, &select);
  for (size_t i = 0; i < select.group_by.size(); ++i) {
    add(i == 0 ? " group by " : ", ");
    sort_key(*select.group_by[i].expr);
    if (select.group_by[i].direction != Direction::kNone) {
      add(select.group_by[i].direction == Direction::kAsc ? " asc" : " desc");
    }
  }
  if (select.rollup) add(" with rollup");
  if (select.having != nullptr) {
    add(" having ");
    expr(*select.having);
  }
  for (size_t i = 0; i < select.windows.size(); ++i) {
    add(i == 0 ? " window " : ", ");
    identifier(select.windows[i].name);
    add(" as ");
    window(*select.windows[i].window);
  }
}

void Printer::select_items(List<SelectItem> items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) add(", ");
    expr(*items[i].expr);
    alias(items[i].alias);
  }
}

void Printer::where(const Expr* where, const void* owner) {
  const bool extra = options_.where_of == owner && owner != nullptr && !options_.extra_where.empty();
  if (where == nullptr && !extra) return;
  add(" where ");
  if (where != nullptr) expr(*where, extra ? kAndLevel : kLowest);
  if (!extra) return;
  if (where != nullptr) add(" and ");
  add('(');
  add(options_.extra_where);
  add(')');
}

void Printer::values(const ValuesQuery& values) {
  verb("values");
  add(' ');
  rows(values.rows, values.row_keyword ? "row" : "");
}

void Printer::rows(List<List<Expr*>> rows, std::string_view prefix) {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i > 0) add(", ");
    add(prefix);
    add('(');
    exprs(rows[i]);
    add(')');
  }
}

void Printer::tail(const Query& query) {
  order_items(query.order_by);
  limit(query.limit);
  if (query.into != nullptr) into(*query.into);
  for (const LockClause& clause : query.locks) lock(clause);
}

void Printer::limit(const Limit* limit) {
  if (limit == nullptr) return;
  if (limit->with_ties || (limit->count == nullptr && limit->offset != nullptr)) {
    if (limit->offset != nullptr) {
      add(" offset ");
      expr(*limit->offset, kAddLevel);
      add(" rows");
    }
    if (limit->count != nullptr) {
      add(" fetch first ");
      expr(*limit->count, kAddLevel);
      add(limit->with_ties ? " rows with ties" : " rows only");
    }
    return;
  }
  add(" limit");
  if (limit->count != nullptr) {
    add(' ');
    if (limit->offset != nullptr) {
      expr(*limit->offset, kAddLevel);
      add(", ");
    }
    expr(*limit->count, kAddLevel);
  }
  if (limit->rows_examined != nullptr) {
    add(" rows examined ");
    expr(*limit->rows_examined, kAddLevel);
  }
}

void Printer::lock(const LockClause& lock) {
  switch (lock.strength) {
    case LockStrength::kForUpdate: add(" for update"); break;
    case LockStrength::kForShare: add(" for share"); break;
    case LockStrength::kLockInShareMode: add(" lock in share mode"); break;
  }
  for (size_t i = 0; i < lock.of.size(); ++i) {
    add(i == 0 ? " of " : ", ");
    table_name(lock.of[i]);
  }
  switch (lock.wait) {
    case LockWait::kDefault: break;
    case LockWait::kNowait: add(" nowait"); break;
    case LockWait::kSkipLocked: add(" skip locked"); break;
    case LockWait::kSeconds:
      add(" wait ");
      expr(*lock.seconds);
      break;
  }
}

void Printer::into(const Into& into) {
  add(" into ");
  switch (into.kind) {
    case IntoKind::kVariables: return exprs(into.variables);
    case IntoKind::kOutfile: add("outfile "); break;
    case IntoKind::kOutfileS3: add("outfile s3 "); break;
    case IntoKind::kDumpfile: add("dumpfile "); break;
  }
  expr(*into.file);
  if (!into.options.empty()) {
    add(' ');
    add(into.options);
  }
}

// ---- Tables ---------------------------------------------------------------------------------------------------------

void Printer::table_refs(List<TableRef*> tables) {
  for (size_t i = 0; i < tables.size(); ++i) {
    if (i > 0) add(", ");
    table_ref(*tables[i]);
  }
}

void Printer::table_ref(const TableRef& table) {
  switch (table.kind) {
    case TableRefKind::kTable: return table_source(static_cast<const TableSource&>(table));
    case TableRefKind::kJoin: {
      if (options_.full_parentheses) add('(');
      join(static_cast<const Join&>(table));
      if (options_.full_parentheses) add(')');
      return;
    }
    case TableRefKind::kDerived: {
      const auto& derived = static_cast<const DerivedTable&>(table);
      if (derived.lateral) add("lateral ");
      subquery(*derived.query);
      alias(derived.alias);
      if (!derived.columns.empty()) names(derived.columns);
      return;
    }
    case TableRefKind::kList: {
      const auto& list = static_cast<const TableList&>(table);
      add('(');
      table_refs(list.items);
      add(')');
      return;
    }
    case TableRefKind::kJsonTable: {
      const auto& json = static_cast<const JsonTable&>(table);
      add("json_table(");
      expr(*json.document);
      add(", ");
      expr(*json.path);
      add(' ');
      add(json.columns);
      add(')');
      return alias(json.alias);
    }
  }
}

void Printer::table_source(const TableSource& table) {
  table_name(table.name);
  if (!table.partitions.empty()) {
    add(" partition ");
    names(table.partitions);
  }
  if (!table.system_time.empty()) {
    add(' ');
    add(table.system_time);
  }
  alias(table.alias);
  for (const IndexHint& hint : table.hints) {
    switch (hint.kind) {
      case IndexHintKind::kUse: add(" use "); break;
      case IndexHintKind::kIgnore: add(" ignore "); break;
      case IndexHintKind::kForce: add(" force "); break;
    }
    add(hint.vindex ? "vindex " : "index ");
    switch (hint.scope) {
      case IndexHintScope::kNone: break;
      case IndexHintScope::kJoin: add("for join "); break;
      case IndexHintScope::kOrderBy: add("for order by "); break;
      case IndexHintScope::kGroupBy: add("for group by "); break;
    }
    names(hint.names);
  }
}

void Printer::join(const Join& join) {
  table_ref(*join.left);
  switch (join.type) {
    case JoinType::kInner: add(" join "); break;
    case JoinType::kStraight: add(" straight_join "); break;
    case JoinType::kLeft: add(" left join "); break;
    case JoinType::kRight: add(" right join "); break;
    case JoinType::kNatural: add(" natural join "); break;
    case JoinType::kNaturalLeft: add(" natural left join "); break;
    case JoinType::kNaturalRight: add(" natural right join "); break;
  }
  const bool parentheses = join.right->kind == TableRefKind::kJoin && !options_.full_parentheses;
  if (parentheses) add('(');
  table_ref(*join.right);
  if (parentheses) add(')');
  if (join.on != nullptr) {
    add(" on ");
    expr(*join.on);
  } else if (!join.columns.empty()) {
    add(" using ");
    names(join.columns);
  }
}

}  // namespace vitrail::sql
