#include "sql/exact.h"

#include "base/text.h"
#include "sql/function_traits.h"
#include "sql/walk.h"

namespace vitrail::sql {
namespace {

class Judge : public Walker {
 public:
  std::string why;

 protected:
  bool enter(const Query&) override { return blame("a query in it"); }
  bool enter(const TableRef& table) override {
    if (table.kind != TableRefKind::kTable) return blame("several tables");
    return true;
  }
  bool enter(const Expr& expr) override {
    switch (expr.kind) {
      case ExprKind::kUserVariable: return blame("a user variable");
      case ExprKind::kSystemVariable: return blame("a system variable");
      case ExprKind::kNextValue: return blame("a sequence");
      case ExprKind::kSubquery:
      case ExprKind::kExists: return blame("a query in it");
      case ExprKind::kFunctionCall: {
        const auto& call = static_cast<const FunctionCall&>(expr);
        const std::string name = base::to_lower(call.name.text);
        const uint8_t traits = function_traits(name);
        const bool exact =
            (traits & (function::kOfArguments | function::kOfClock)) != 0 && (traits & function::kRounded) == 0;
        return (exact && call.schema.empty()) || blame("the function " + name);
      }
      default: return true;
    }
  }

 private:
  bool blame(std::string what) {
    if (why.empty()) why = std::move(what);
    return false;
  }
};

bool is_constant(const Expr* expr) {
  return expr != nullptr && (expr->kind == ExprKind::kLiteral || expr->kind == ExprKind::kParameter);
}

// What holds for each row that meets the condition.
void add_fixed(const Expr* condition, std::vector<std::string>& out) {
  if (const auto* all = as<Logical>(condition); all != nullptr && all->op == LogicalOp::kAnd) {
    for (const Expr* one : all->operands) add_fixed(one, out);
  }
  const auto* equal = as<Binary>(condition);
  if (equal == nullptr || equal->op != BinaryOp::kEqual || equal->quantifier != Quantifier::kNone) return;
  for (const auto& [column, value] : {std::pair(equal->left, equal->right), std::pair(equal->right, equal->left)}) {
    const auto* named = as<Column>(column);
    if (named != nullptr && is_constant(value)) out.push_back(base::to_lower(named->name.text));
  }
}

}  // namespace

std::vector<std::string> fixed_columns(const Statement& statement) {
  std::vector<std::string> out;
  const auto* update = statement_as<Update>(&statement);
  const auto* remove = statement_as<Delete>(&statement);
  if (update == nullptr && remove == nullptr) return out;
  const Limit* limit = update != nullptr ? update->limit : remove->limit;
  if (limit == nullptr || limit->rows_examined != nullptr) return out;
  add_fixed(update != nullptr ? update->where : remove->where, out);
  return out;
}

std::string inexact_part(const Statement& statement) {
  Judge judge;
  const bool limits = fixed_columns(statement).empty();
  if (const auto* insert = statement_as<Insert>(&statement)) {
    if (insert->query != nullptr || insert->with != nullptr) return "a query in it";
  } else if (const auto* update = statement_as<Update>(&statement)) {
    if (update->with != nullptr) return "a query in it";
    if (update->tables.size() != 1) return "several tables";
    if (update->limit != nullptr && limits) return "LIMIT";
  } else if (const auto* remove = statement_as<Delete>(&statement)) {
    if (remove->with != nullptr) return "a query in it";
    if (remove->targets.size() != 0 || remove->from.size() != 1) return "several tables";
    if (remove->limit != nullptr && limits) return "LIMIT";
  } else {
    return "a statement that is no INSERT, REPLACE, UPDATE or DELETE";
  }
  judge.walk(statement);
  return judge.why;
}

namespace {

class ClockFinder : public Walker {
 public:
  bool found = false;

 protected:
  bool enter(const Expr& expr) override {
    if (expr.kind == ExprKind::kFunctionCall) {
      const std::string name = base::to_lower(static_cast<const FunctionCall&>(expr).name.text);
      found = found || name == "sysdate" || (function_traits(name) & function::kOfClock) != 0;
    }
    return !found;
  }
};

}  // namespace

bool uses_clock(const Statement& statement) {
  ClockFinder finder;
  finder.walk(statement);
  return finder.found;
}

bool skips_ids(const Statement& statement) {
  const auto* insert = statement_as<Insert>(&statement);
  return insert != nullptr && insert->rows.size() > 1 && (insert->ignore || insert->on_duplicate.size() != 0);
}

}  // namespace vitrail::sql
