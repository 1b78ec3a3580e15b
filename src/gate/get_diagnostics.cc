#include "gate/get_diagnostics.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/text.h"
#include "mysql/errors.h"
#include "sql/lexer.h"

namespace vitrail::gate {
namespace {

using base::to_lower;
using mysql::Value;
using sql::Token;
using sql::TokenType;
using Assigned = std::vector<std::pair<std::string, Value>>;

constexpr uint16_t kNoHandler = 1887;
constexpr std::string_view kStandard = "ISO 9075";

constexpr std::array<std::string_view, 9> kEmptyItems = {"constraint_catalog", "constraint_schema", "constraint_name",
                                                         "catalog_name",       "schema_name",       "table_name",
                                                         "column_name",        "cursor_name",       "row_number"};

class Reader {
 public:
  Reader(std::string_view text, const Diagnostics& diagnostics) : text_(text), lexer_(text), diagnostics_(diagnostics) {
    advance();
  }

  std::optional<Result<Assigned>> read() {
    if (!take("get")) return std::nullopt;
    const bool stacked = take("stacked");
    if (!stacked) take("current");
    if (!take("diagnostics")) return std::nullopt;
    if (stacked) {
      return fail(Code::kFailedPrecondition, "GET STACKED DIAGNOSTICS when handler not active")
          .with_mysql(kNoHandler, "0Z002");
    }
    return items();
  }

 private:
  void advance() { token_ = lexer_.next(); }
  std::string word() const { return token_.type == TokenType::kWord ? to_lower(token_.text(text_)) : ""; }
  bool take(std::string_view wanted) {
    if (word() != wanted) return false;
    advance();
    return true;
  }

  Error wrong() const {
    return fail(Code::kInvalidArgument, "You have an error in your SQL syntax near '" +
                                            std::string(text_.substr(std::min<size_t>(token_.offset, text_.size()))) +
                                            "'")
        .with_mysql(1064, "42000");
  }

  Result<std::string> variable_name() {
    if (token_.type != TokenType::kUserVariable) return wrong();
    std::string name = user_variable_name(token_.text(text_));
    advance();
    return name;
  }

  Result<const std::array<std::string, 3>*> condition() {
    std::string digits(token_.text(text_));
    switch (token_.type) {
      case TokenType::kUserVariable: {
        ASSIGN_OR_RETURN(const std::string name, variable_name());
        digits = diagnostics_.variable(name).bytes;
        break;
      }
      case TokenType::kString: digits = digits.substr(1, digits.size() - 2); [[fallthrough]];
      case TokenType::kInteger:
      case TokenType::kDecimal: advance(); break;
      default: return wrong();
    }
    // As servers make a number of it: NULL and a text without one are 0, which is no condition's.
    const double number = std::nearbyint(std::strtod(digits.c_str(), nullptr));
    if (!(number >= 1) || number > static_cast<double>(diagnostics_.conditions.size())) {
      return fail(Code::kInvalidArgument, "Invalid condition number").with_mysql(kNoSuchCondition, "35000");
    }
    return &diagnostics_.conditions[static_cast<size_t>(number) - 1];
  }

  Result<Assigned> items() {
    const std::array<std::string, 3>* of = nullptr;
    if (take("condition")) {
      ASSIGN_OR_RETURN(of, condition());
    }
    Assigned out;
    for (;;) {
      ASSIGN_OR_RETURN(std::string name, variable_name());
      if (token_.text(text_) != "=") return wrong();
      advance();
      auto value = of == nullptr ? of_statement(word()) : of_condition(*of, word());
      if (!value) return wrong();
      out.emplace_back(std::move(name), std::move(*value));
      advance();
      if (token_.type == TokenType::kEnd || token_.type == TokenType::kSemicolon) return out;
      if (token_.type != TokenType::kComma) return wrong();
      advance();
    }
  }

  std::optional<Value> of_statement(std::string_view item) const {
    if (item == "number") return Value::of_uint(diagnostics_.conditions.size());
    if (item == "row_count") return Value::of_int(diagnostics_.row_count);
    return std::nullopt;
  }

  static std::optional<Value> of_condition(const std::array<std::string, 3>& condition, std::string_view item) {
    const auto& [level, code, message] = condition;
    if (item == "message_text") return Value::of_text(message);
    if (item == "class_origin" || item == "subclass_origin") return Value::of_text(std::string(kStandard));
    uint64_t number = 0;
    std::from_chars(code.data(), code.data() + code.size(), number);
    if (item == "mysql_errno") return Value::of_uint(number);
    if (item == "returned_sqlstate") {
      const std::string_view state = mysql::sqlstate_of(static_cast<uint16_t>(number));
      return Value::of_text(std::string(level != "Error" && state == "HY000" ? "01000" : state));
    }
    const bool known = std::find(kEmptyItems.begin(), kEmptyItems.end(), item) != kEmptyItems.end();
    return known ? std::optional(Value::of_text("")) : std::nullopt;
  }

  std::string_view text_;
  sql::Lexer lexer_;
  const Diagnostics& diagnostics_;
  Token token_;
};

}  // namespace

std::string user_variable_name(std::string_view token) {
  std::string name = to_lower(token.substr(1));
  if (name.size() >= 2 && (name[0] == '`' || name[0] == '\'' || name[0] == '"')) name = name.substr(1, name.size() - 2);
  return name;
}

std::optional<Result<std::vector<std::pair<std::string, Value>>>> get_diagnostics(std::string_view text,
                                                                                  const Diagnostics& diagnostics) {
  return Reader(text, diagnostics).read();
}

}  // namespace vitrail::gate
