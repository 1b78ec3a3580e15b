#include "plan/key_condition.h"

#include <algorithm>
#include <vector>

#include "mysql/protocol.h"
#include "plan/from.h"
#include "plan/routing.h"

namespace vitrail::plan {

using sql::as;

namespace {

bool may_be_looked_up(sql::BinaryOp op) {
  using enum sql::BinaryOp;
  return op == kEqual || op == kLess || op == kLessEqual || op == kGreater || op == kGreaterEqual;
}

// An equal value of another index than the primary key is looked up when the change has begun.
bool is_read_before(const schema::Column& column, bool equal) {
  const uint16_t key = equal ? mysql::kFieldPrimaryKey : schema::kPartOfKey;
  return schema::is_whole(column) && (column.key_flags & key) != 0;
}

bool warns_at_most(const sql::Expr* left, const sql::Expr* right, bool equal, const schema::Table& table,
                   std::string_view alias) {
  const auto* column = as<sql::Column>(left);
  const auto* literal = as<sql::Literal>(right);
  if (column == nullptr || literal == nullptr || !column->schema.empty()) return false;
  if (!column->table.empty() && lower(column->table.text) != lower(alias)) return false;
  const auto* known = table.find(column->name.text);
  if (known == nullptr) return false;
  if (literal->literal == sql::LiteralKind::kInteger) return schema::is_whole(*known);
  if (literal->literal != sql::LiteralKind::kString) return false;
  if (known->data_type == "char" || known->data_type == "varchar") return true;
  return is_read_before(*known, equal);
}

}  // namespace

bool compares_by_keys(const sql::Expr* where, const schema::Table& table, std::string_view alias) {
  std::vector<const sql::Expr*> conjuncts;
  add_conjuncts(where, conjuncts);
  return !conjuncts.empty() && std::ranges::all_of(conjuncts, [&](const sql::Expr* conjunct) {
    if (const auto* is = as<sql::Is>(conjunct)) return as<sql::Column>(is->operand) != nullptr;
    const auto* binary = as<sql::Binary>(conjunct);
    if (binary == nullptr || binary->quantifier != sql::Quantifier::kNone || !may_be_looked_up(binary->op))
      return false;
    const bool equal = binary->op == sql::BinaryOp::kEqual;
    return warns_at_most(binary->left, binary->right, equal, table, alias) ||
           warns_at_most(binary->right, binary->left, equal, table, alias);
  });
}

}  // namespace vitrail::plan
