// VEXPLAIN KEYS
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "gate/vexplain.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::gate {
namespace {

using sql::as;

std::string_view text_of(sql::BinaryOp op) {
  using enum sql::BinaryOp;
  switch (op) {
    case kEqual: return "=";
    case kNullSafeEqual: return "<=>";
    case kNotEqual: return "!=";
    case kLess: return "<";
    case kLessEqual: return "<=";
    case kGreater: return ">";
    case kGreaterEqual: return ">=";
    default: return "";
  }
}

std::string_view turned(std::string_view op) {
  if (op == "<") return ">";
  if (op == ">") return "<";
  if (op == "<=") return ">=";
  return op == ">=" ? "<=" : op;
}

class Keys : public sql::Walker {
 public:
  explicit Keys(const sql::Statement& statement) {
    for (const auto& use : sql::collect_tables(statement)) add(tables, std::string(use.name));
    walk(statement);
    if (const auto* update = sql::statement_as<sql::Update>(&statement)) filter(update->where);
    if (const auto* remove = sql::statement_as<sql::Delete>(&statement)) filter(remove->where);
    for (const auto& column : pending_filters_) add(filters, name_of(*column.first) + " " + std::string(column.second));
    for (const auto& column : pending_joins_) add(joins, name_of(*column.first) + " " + std::string(column.second));
    for (const auto* column : pending_groups_) add(groups, name_of(*column));
    for (const auto* column : pending_selected_) add(selected, name_of(*column));
  }

  std::vector<std::string> tables, filters, joins, groups, selected;

 protected:
  bool enter(const sql::TableRef& ref) override {
    if (const auto* source = as<sql::TableSource>(&ref)) {
      const auto& shown = source->alias.empty() ? source->name.name : source->alias;
      aliases_[base::to_lower(shown.text)] = std::string(source->name.name.text);
    }
    if (const auto* join = as<sql::Join>(&ref)) filter(join->on);
    return true;
  }
  bool enter(const sql::Query& query) override {
    const auto* select = as<sql::Select>(&query);
    if (select == nullptr) return true;
    filter(select->where);
    for (const auto& item : select->group_by) collect(item.expr, pending_groups_);
    for (const auto& item : select->items) collect(item.expr, pending_selected_);
    return true;
  }

 private:
  using Named = std::pair<const sql::Column*, std::string_view>;

  static void add(std::vector<std::string>& to, std::string text) {
    if (std::ranges::find(to, text) == to.end()) to.push_back(std::move(text));
  }

  static void collect(const sql::Expr* expr, std::vector<const sql::Column*>& to) {
    class Columns : public sql::Walker {
     public:
      explicit Columns(std::vector<const sql::Column*>& out) : out_(out) {}

     protected:
      bool enter(const sql::Query&) override { return false; }
      bool enter(const sql::Expr& node) override {
        if (const auto* column = as<sql::Column>(&node)) out_.push_back(column);
        return true;
      }

     private:
      std::vector<const sql::Column*>& out_;
    };
    Columns(to).walk(*expr);
  }

  void filter(const sql::Expr* expr) {
    if (expr == nullptr) return;
    if (const auto* logical = as<sql::Logical>(expr)) {
      for (const sql::Expr* operand : logical->operands) filter(operand);
    } else if (const auto* binary = as<sql::Binary>(expr)) {
      const std::string_view op = text_of(binary->op);
      const auto* left = as<sql::Column>(binary->left);
      const auto* right = as<sql::Column>(binary->right);
      if (op.empty()) return;
      auto& to = left != nullptr && right != nullptr ? pending_joins_ : pending_filters_;
      if (left != nullptr) to.emplace_back(left, op);
      if (right != nullptr) to.emplace_back(right, turned(op));
    } else if (const auto* in = as<sql::In>(expr)) {
      if (const auto* column = as<sql::Column>(in->left))
        pending_filters_.emplace_back(column, in->negated ? "not in" : "in");
    } else if (const auto* like = as<sql::Like>(expr)) {
      if (const auto* column = as<sql::Column>(like->left)) pending_filters_.emplace_back(column, "like");
    } else if (const auto* between = as<sql::Between>(expr)) {
      if (const auto* column = as<sql::Column>(between->operand)) pending_filters_.emplace_back(column, "between");
    }
  }

  std::string name_of(const sql::Column& column) const {
    const auto found = aliases_.find(base::to_lower(column.table.text));
    std::string table(column.table.text);
    if (found != aliases_.end()) table = found->second;
    if (table.empty() && tables.size() == 1) table = tables.front();
    return (table.empty() ? "" : table + ".") + std::string(column.name.text);
  }

  std::map<std::string, std::string> aliases_;
  std::vector<Named> pending_filters_, pending_joins_;
  std::vector<const sql::Column*> pending_groups_, pending_selected_;
};

void append(std::string& out, std::string_view name, const std::vector<std::string>& values) {
  if (values.empty()) return;
  out += fmt::format(R"(, "{}": [)", name);
  for (const auto& value : values) {
    if (&value != &values.front()) out += ", ";
    out += base::json_string(value);
  }
  out += "]";
}

}  // namespace

Result<std::string> keys_json(const sql::Statement& statement) {
  using enum sql::StatementKind;
  const auto kind = statement.kind;
  if (kind != kSelect && kind != kInsert && kind != kReplace && kind != kUpdate && kind != kDelete) {
    return fail(Code::kUnimplemented, "VT12001: unsupported: this statement in VEXPLAIN KEYS");
  }
  const Keys keys(statement);
  std::string out = fmt::format(R"({{"statementType": "{}")", sql::statement_kind_name(kind));
  append(out, "tableName", keys.tables);
  append(out, "groupingColumns", keys.groups);
  append(out, "joinColumns", keys.joins);
  append(out, "filterColumns", keys.filters);
  append(out, "selectColumns", keys.selected);
  return out + "}";
}

}  // namespace vitrail::gate
