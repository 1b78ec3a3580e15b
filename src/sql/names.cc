#include "sql/names.h"

#include "sql/walk.h"

namespace vitrail::sql {
namespace {

constexpr size_t kNameMax = 256;  // Characters; servers cut longer names.

std::string_view cut(std::string_view name) {
  size_t characters = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool starts = (static_cast<unsigned char>(name[i]) & 0xc0) != 0x80;
    if (starts && ++characters > kNameMax) return name.substr(0, i);
  }
  return name;
}

class Namer : public Walker {
 public:
  explicit Namer(std::string_view text) : text_(text) {}

 protected:
  bool enter(const Query& query) override {
    if (const auto* select = as<Select>(&query)) {
      for (SelectItem& item : select->items) name(item);
    }
    return true;
  }

 private:
  void name(SelectItem& item) const {
    if (!item.alias.empty() || item.expr_span.empty()) return;
    const Expr* expr = item.expr;
    while (const auto* unary = as<Unary>(expr)) {  // A plus is as if it were not there.
      if (unary->op != UnaryOp::kPlus) break;
      expr = unary->operand;
    }
    if (as<Star>(expr) != nullptr || as<Column>(expr) != nullptr) return;
    if (const auto* literal = as<Literal>(expr); literal != nullptr && has_own_name(literal->literal)) {
      // In parentheses it has the same name, and it is printed without them.
      if (literal->literal == LiteralKind::kNull) set_name(item, "NULL");  // However it is written.
      return;
    }
    std::string_view name = cut(item.expr_span.of(text_));
    while (!name.empty() && name.back() == ' ') name.remove_suffix(1);
    set_name(item, name);
  }

  // What servers name by its value and not as it is written: 'a' 'b' is ab (which may not be an alias: it may end with
  // a blank), true is TRUE.
  static bool has_own_name(LiteralKind kind) {
    switch (kind) {
      case LiteralKind::kInteger:
      case LiteralKind::kDecimal:
      case LiteralKind::kFloat:
      case LiteralKind::kString:
      case LiteralKind::kNationalString:
      case LiteralKind::kNull:
      case LiteralKind::kTrue:
      case LiteralKind::kFalse: return true;
      case LiteralKind::kHex:
      case LiteralKind::kBit:
      case LiteralKind::kDate:
      case LiteralKind::kTime:
      case LiteralKind::kTimestamp: return false;
    }
    return false;
  }

  static void set_name(SelectItem& item, std::string_view name) {
    item.alias.text = name;
    item.alias.quoted = true;
  }

  std::string_view text_;
};

}  // namespace

void keep_column_names(Ast& ast) {
  Namer namer(ast.text());
  namer.walk(ast.statement());
}

}  // namespace vitrail::sql
