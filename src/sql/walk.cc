#include "sql/walk.h"

namespace vitrail::sql {

void Walker::walk_optional(const Expr* expr) {
  if (expr != nullptr) walk(*expr);
}

void Walker::walk_all(List<Expr*> exprs) {
  for (const Expr* expr : exprs) walk(*expr);
}

void Walker::walk_all(List<OrderItem> items) {
  for (const OrderItem& item : items) walk(*item.expr);
}

void Walker::walk_all(List<SelectItem> items) {
  for (const SelectItem& item : items) walk(*item.expr);
}

void Walker::walk_all(List<TableRef*> tables) {
  for (const TableRef* table : tables) walk(*table);
}

void Walker::walk_all(List<Assignment> items) {
  for (const Assignment& item : items) {
    walk(*item.column);
    walk(*item.value);
  }
}

void Walker::walk_limit(const Limit* limit) {
  if (limit == nullptr) return;
  walk_optional(limit->offset);
  walk_optional(limit->count);
  walk_optional(limit->rows_examined);
}

void Walker::walk_window(const WindowSpec* window) {
  if (window == nullptr) return;
  walk_all(window->partition_by);
  walk_all(window->order_by);
  walk_optional(window->start.value);
  walk_optional(window->end.value);
}

void Walker::with(const With& with) {
  for (const CommonTable& table : with.tables) walk(*table.query);
}

void Walker::walk(const Expr& expr) {
  if (!enter(expr)) return;
  walk_children(expr);
  leave(expr);
}

void Walker::walk_children(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kLiteral:
    case ExprKind::kParameter:
    case ExprKind::kBindVariable:
    case ExprKind::kColumn:
    case ExprKind::kStar:
    case ExprKind::kUserVariable:
    case ExprKind::kSystemVariable:
    case ExprKind::kKeyword:
    case ExprKind::kNextValue: return;
    case ExprKind::kUnary: return walk(*static_cast<const Unary&>(expr).operand);
    case ExprKind::kBinary: {
      const auto& node = static_cast<const Binary&>(expr);
      walk(*node.left);
      return walk(*node.right);
    }
    case ExprKind::kLogical: return walk_all(static_cast<const Logical&>(expr).operands);
    case ExprKind::kIs: return walk(*static_cast<const Is&>(expr).operand);
    case ExprKind::kLike: {
      const auto& node = static_cast<const Like&>(expr);
      walk(*node.left);
      walk(*node.pattern);
      return walk_optional(node.escape);
    }
    case ExprKind::kBetween: {
      const auto& node = static_cast<const Between&>(expr);
      walk(*node.operand);
      walk(*node.low);
      return walk(*node.high);
    }
    case ExprKind::kIn: {
      const auto& node = static_cast<const In&>(expr);
      walk(*node.left);
      if (node.query != nullptr) return walk(*node.query);
      return walk_all(node.values);
    }
    case ExprKind::kCase: {
      const auto& node = static_cast<const Case&>(expr);
      walk_optional(node.operand);
      for (const When& when : node.whens) {
        walk(*when.condition);
        walk(*when.result);
      }
      return walk_optional(node.otherwise);
    }
    case ExprKind::kCast: {
      const auto& node = static_cast<const Cast&>(expr);
      walk(*node.operand);
      return walk_optional(node.time_zone);
    }
    case ExprKind::kConvertUsing: return walk(*static_cast<const ConvertUsing&>(expr).operand);
    case ExprKind::kCollate: return walk(*static_cast<const Collate&>(expr).operand);
    case ExprKind::kInterval: return walk(*static_cast<const Interval&>(expr).value);
    case ExprKind::kFunctionCall: {
      const auto& node = static_cast<const FunctionCall&>(expr);
      walk_all(node.args);
      walk_all(node.order_by);
      walk_optional(node.separator);
      walk_limit(node.limit);
      return walk_window(node.over);
    }
    case ExprKind::kMatch: {
      const auto& node = static_cast<const Match&>(expr);
      walk_all(node.columns);
      return walk(*node.against);
    }
    case ExprKind::kDefaultValue: return walk_optional(static_cast<const DefaultValue&>(expr).column);
    case ExprKind::kValuesFunction: return walk_optional(static_cast<const ValuesFunction&>(expr).column);
    case ExprKind::kSubquery: return walk(*static_cast<const Subquery&>(expr).query);
    case ExprKind::kExists: return walk(*static_cast<const Exists&>(expr).query);
    case ExprKind::kRow: return walk_all(static_cast<const Row&>(expr).items);
  }
}

void Walker::walk(const TableRef& table) {
  if (!enter(table)) return;
  walk_children(table);
  leave(table);
}

void Walker::walk_children(const TableRef& table) {
  switch (table.kind) {
    case TableRefKind::kTable: return;
    case TableRefKind::kDerived: return walk(*static_cast<const DerivedTable&>(table).query);
    case TableRefKind::kJoin: {
      const auto& node = static_cast<const Join&>(table);
      walk(*node.left);
      walk(*node.right);
      return walk_optional(node.on);
    }
    case TableRefKind::kList: return walk_all(static_cast<const TableList&>(table).items);
    case TableRefKind::kJsonTable: {
      const auto& node = static_cast<const JsonTable&>(table);
      walk(*node.document);
      return walk(*node.path);
    }
  }
}

void Walker::walk(const Query& query) {
  if (!enter(query)) return;
  walk_children(query);
  leave(query);
}

void Walker::walk_children(const Query& query) {
  if (query.with != nullptr) with(*query.with);
  switch (query.kind) {
    case QueryKind::kSelect: {
      const auto& node = static_cast<const Select&>(query);
      walk_optional(node.next_values);
      walk_all(node.items);
      walk_all(node.from);
      walk_optional(node.where);
      walk_all(node.group_by);
      walk_optional(node.having);
      for (const NamedWindow& window : node.windows) walk_window(window.window);
      break;
    }
    case QueryKind::kSetOperation: {
      const auto& node = static_cast<const SetOperation&>(query);
      walk(*node.left);
      walk(*node.right);
      break;
    }
    case QueryKind::kValues:
      for (const List<Expr*>& row : static_cast<const ValuesQuery&>(query).rows) walk_all(row);
      break;
    case QueryKind::kTable: break;
    case QueryKind::kParenthesized: walk(*static_cast<const ParenthesizedQuery&>(query).inner); break;
  }
  walk_all(query.order_by);
  walk_limit(query.limit);
  if (query.into != nullptr) {
    walk_all(query.into->variables);
    walk_optional(query.into->file);
  }
  for (const LockClause& lock : query.locks) walk_optional(lock.seconds);
}

void Walker::walk(const Statement& statement) {
  if (!enter(statement)) return;
  walk_children(statement);
  leave(statement);
}

void Walker::walk_children(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::kSelect: return walk(*static_cast<const QueryStatement&>(statement).query);
    case StatementKind::kInsert:
    case StatementKind::kReplace: {
      const auto& node = static_cast<const Insert&>(statement);
      if (node.with != nullptr) with(*node.with);
      for (const Column* column : node.columns) walk(*column);
      for (const List<Expr*>& row : node.rows) walk_all(row);
      if (node.query != nullptr) walk(*node.query);
      walk_all(node.set);
      walk_all(node.on_duplicate);
      return walk_all(node.returning);
    }
    case StatementKind::kUpdate: {
      const auto& node = static_cast<const Update&>(statement);
      if (node.with != nullptr) with(*node.with);
      walk_all(node.tables);
      walk_all(node.set);
      walk_optional(node.where);
      walk_all(node.order_by);
      walk_limit(node.limit);
      return walk_all(node.returning);
    }
    case StatementKind::kDelete: {
      const auto& node = static_cast<const Delete&>(statement);
      if (node.with != nullptr) with(*node.with);
      walk_all(node.from);
      walk_optional(node.where);
      walk_all(node.order_by);
      walk_limit(node.limit);
      return walk_all(node.returning);
    }
    case StatementKind::kSet: {
      const auto& node = static_cast<const SetStatement&>(statement);
      for (const SetItem& item : node.items) walk_optional(item.value);
      if (node.statement != nullptr) walk(*node.statement);
      return;
    }
    case StatementKind::kShow: {
      const auto& node = static_cast<const Show&>(statement);
      walk_optional(node.like);
      walk_optional(node.where);
      return walk_limit(node.limit);
    }
    case StatementKind::kDdl: {
      const auto& node = static_cast<const Ddl&>(statement);
      if (node.query != nullptr) walk(*node.query);
      return;
    }
    case StatementKind::kExplain:
    case StatementKind::kVexplain: {
      const auto& node = static_cast<const Explain&>(statement);
      if (node.statement != nullptr) walk(*node.statement);
      walk_optional(node.column);
      return walk_optional(node.connection);
    }
    case StatementKind::kKill: return walk_optional(static_cast<const Kill&>(statement).id);
    case StatementKind::kCall: return walk_all(static_cast<const Call&>(statement).args);
    case StatementKind::kPrepare:
    case StatementKind::kExecute:
    case StatementKind::kDeallocate: {
      const auto& node = static_cast<const PreparedStatement&>(statement);
      walk_optional(node.source);
      return walk_all(node.arguments);
    }
    case StatementKind::kLoad: return walk_optional(static_cast<const LoadData&>(statement).file);
    case StatementKind::kDo: return walk_all(static_cast<const Do&>(statement).items);
    case StatementKind::kStream:
    case StatementKind::kVstream: {
      const auto& node = static_cast<const StreamStatement&>(statement);
      walk_optional(node.item);
      walk_optional(node.where);
      return walk_limit(node.limit);
    }
    default: return;
  }
}

}  // namespace vitrail::sql
