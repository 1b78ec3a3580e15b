#include "sql/normalize.h"

#include "sql/printer.h"

namespace vitrail::sql {

std::string normalized(const Statement& statement) {
  int number = 0;
  PrintOptions options;
  options.expr = [&number](const Expr& expr, std::string& out) {
    if (const auto* parameter = as<Parameter>(&expr)) {
      out += ":v" + std::to_string(parameter->index + 1);
      return true;
    }
    const auto* literal = as<Literal>(&expr);
    if (literal == nullptr || literal->index == Literal::kNoIndex) return false;  // NULL, TRUE, FALSE
    out += ":vtg" + std::to_string(++number);
    return true;
  };
  return print(statement, options);
}

}  // namespace vitrail::sql
