#include "plan/expr_walk.h"

namespace vitrail::plan {

using namespace sql;  // The kinds of nodes.

void walk(const Expr* expr, const std::function<bool(const Expr&)>& visit) {
  if (expr == nullptr || !visit(*expr)) return;
  const auto all = [&](const List<Expr*>& list) {
    for (const Expr* item : list) walk(item, visit);
  };
  switch (expr->kind) {
    case ExprKind::kUnary: walk(as<Unary>(expr)->operand, visit); break;
    case ExprKind::kBinary:
      walk(as<Binary>(expr)->left, visit);
      walk(as<Binary>(expr)->right, visit);
      break;
    case ExprKind::kLogical: all(as<Logical>(expr)->operands); break;
    case ExprKind::kIs: walk(as<Is>(expr)->operand, visit); break;
    case ExprKind::kLike:
      walk(as<Like>(expr)->left, visit);
      walk(as<Like>(expr)->pattern, visit);
      walk(as<Like>(expr)->escape, visit);
      break;
    case ExprKind::kBetween:
      walk(as<Between>(expr)->operand, visit);
      walk(as<Between>(expr)->low, visit);
      walk(as<Between>(expr)->high, visit);
      break;
    case ExprKind::kIn:
      walk(as<In>(expr)->left, visit);
      all(as<In>(expr)->values);
      break;
    case ExprKind::kCase: {
      const auto* node = as<Case>(expr);
      walk(node->operand, visit);
      for (const auto& when : node->whens) {
        walk(when.condition, visit);
        walk(when.result, visit);
      }
      walk(node->otherwise, visit);
      break;
    }
    case ExprKind::kCast: walk(as<Cast>(expr)->operand, visit); break;
    case ExprKind::kConvertUsing: walk(as<ConvertUsing>(expr)->operand, visit); break;
    case ExprKind::kCollate: walk(as<Collate>(expr)->operand, visit); break;
    case ExprKind::kInterval: walk(as<Interval>(expr)->value, visit); break;
    case ExprKind::kFunctionCall: {
      const auto* call = as<FunctionCall>(expr);
      all(call->args);
      for (const auto& item : call->order_by) walk(item.expr, visit);
      break;
    }
    case ExprKind::kMatch:
      all(as<Match>(expr)->columns);
      walk(as<Match>(expr)->against, visit);
      break;
    case ExprKind::kRow: all(as<Row>(expr)->items); break;
    default: break;
  }
}

ExprTraits traits_of(const Expr* expr) {
  ExprTraits traits;
  walk(expr, [&](const Expr& node) {
    switch (node.kind) {
      case ExprKind::kSubquery:
      case ExprKind::kExists: traits.subquery = true; break;
      case ExprKind::kIn: traits.subquery = traits.subquery || as<In>(&node)->query != nullptr; break;
      case ExprKind::kMatch: traits.relevance = true; break;
      case ExprKind::kNextValue: traits.other = true; break;
      case ExprKind::kFunctionCall: {
        const auto* call = as<FunctionCall>(&node);
        if (call->over != nullptr) {
          traits.window = true;
        } else if (is_aggregate(*call)) {
          traits.aggregate = true;
        }
        break;
      }
      default: break;
    }
    return true;
  });
  return traits;
}

}  // namespace vitrail::plan
