#include "gate/constant_warnings.h"

#include <algorithm>
#include <map>
#include <optional>

#include "sql/literal.h"
#include "sql/walk.h"

namespace vitrail::gate {
namespace {

constexpr std::string_view kTruncatedWrongValue = "1292";

class Comparisons : public sql::Walker {
 public:
  explicit Comparisons(std::span<const mysql::Value> parameters) : parameters_(parameters) {}

  std::set<std::string> take() {
    std::set<std::string> out;
    for (const auto& [text, uses] : uses_) {
      if (uses.all == 1 && uses.compared == 1) out.insert(text);
    }
    return out;
  }

 protected:
  using sql::Walker::enter;
  bool enter(const sql::Expr& expr) override {
    if (const auto text = text_of(&expr)) ++uses_[*text].all;
    if (const auto* both = sql::as<sql::Binary>(&expr); both != nullptr && sql::is_comparison(both->op)) {
      compare(both->left, both->right);
      compare(both->right, both->left);
    }
    if (const auto* in = sql::as<sql::In>(&expr)) {
      for (const auto* value : in->values) compare(in->left, value);
    }
    if (const auto* between = sql::as<sql::Between>(&expr)) {
      compare(between->operand, between->low);
      compare(between->operand, between->high);
    }
    return true;
  }

 private:
  struct Uses {
    size_t all = 0;
    size_t compared = 0;
  };

  std::optional<std::string> text_of(const sql::Expr* expr) const {
    if (const auto* literal = sql::as<sql::Literal>(expr)) {
      return literal->literal == sql::LiteralKind::kString ? sql::string_value(*literal) : std::nullopt;
    }
    const auto* parameter = sql::as<sql::Parameter>(expr);
    if (parameter == nullptr || parameter->index >= parameters_.size()) return std::nullopt;
    const mysql::Value& value = parameters_[parameter->index];
    return value.is_null() ? std::nullopt : std::optional(value.bytes);
  }

  void compare(const sql::Expr* column, const sql::Expr* value) {
    if (sql::as<sql::Column>(column) == nullptr) return;
    if (const auto text = text_of(value)) ++uses_[*text].compared;
  }

  std::span<const mysql::Value> parameters_;
  std::map<std::string, Uses> uses_;
};

}  // namespace

std::set<std::string> compared_texts(const sql::Statement& statement, std::span<const mysql::Value> parameters) {
  Comparisons comparisons(parameters);
  comparisons.walk(statement);
  return comparisons.take();
}

void unite_constant_warnings(const std::set<std::string>& texts, std::vector<WarningRow>& rows) {
  std::set<std::string> told;
  std::erase_if(rows, [&](const WarningRow& row) {
    if (row[1] != kTruncatedWrongValue) return false;
    const bool constant =
        std::ranges::any_of(texts, [&](const std::string& text) { return row[2].ends_with("value: '" + text + "'"); });
    return constant && !told.insert(row[2]).second;
  });
}

}  // namespace vitrail::gate
