#include "movement/row_expression.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "mysql/collations.h"
#include "mysqld/rows.h"
#include "sql/function_traits.h"
#include "sql/literal.h"
#include "sql/printer.h"

namespace vitrail::movement {
namespace {

using sql::as;

constexpr char kHole = '\x01';  // Where a column is; no text that is taken has it.

Error refuse(std::string_view what) { return fail(Code::kUnimplemented, fmt::format("an expression with {}", what)); }

bool is_plain_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

Status check_literal(const sql::Literal& literal) {
  switch (literal.literal) {
    case sql::LiteralKind::kInteger:
    case sql::LiteralKind::kDecimal:
    case sql::LiteralKind::kNull: return {};
    case sql::LiteralKind::kString: break;
    default: return refuse(fmt::format("the literal {}", literal.text));
  }
  const auto value = sql::string_value(literal);
  const bool usual = literal.charset.empty() || base::equals_ignoring_case(literal.charset, "utf8mb4");
  if (!value || !usual || !is_plain_text(*value)) return refuse("a text that is not of plain ASCII");
  return {};
}

Status check_expression(const sql::Expr* expr);

Status check_call(const sql::FunctionCall& call) {
  const std::string name = base::to_lower(call.name.text);
  const bool plain = call.schema.empty() && !call.distinct && call.over == nullptr && call.order_by.empty() &&
                     call.tail.empty() &&
                     (call.syntax == sql::FunctionSyntax::kCall || call.syntax == sql::FunctionSyntax::kTrim);
  if (!plain || (sql::function_traits(name) & sql::function::kOfValues) == 0) return refuse(name + "()");
  if (name == "unix_timestamp" && call.args.size() != 1) return refuse("the moment's unix_timestamp()");
  for (const sql::Expr* argument : call.args) RETURN_IF_ERROR(check_expression(argument));
  return {};
}

Status check_expression(const sql::Expr* expr) {
  if (const auto* literal = as<sql::Literal>(expr)) return check_literal(*literal);
  if (const auto* column = as<sql::Column>(expr)) {
    if (column->table.empty()) return {};
    return refuse(fmt::format("the qualified column {}.{}", column->table.text, column->name.text));
  }
  if (const auto* unary = as<sql::Unary>(expr)) {
    if (unary->op != sql::UnaryOp::kMinus && unary->op != sql::UnaryOp::kPlus) return refuse("this operator");
    return check_expression(unary->operand);
  }
  if (const auto* binary = as<sql::Binary>(expr)) {
    switch (binary->op) {
      case sql::BinaryOp::kPlus:
      case sql::BinaryOp::kMinus:
      case sql::BinaryOp::kMultiply:
      case sql::BinaryOp::kIntDivide:
      case sql::BinaryOp::kModulo: break;
      case sql::BinaryOp::kDivide: return refuse("/, whose digits depend on a setting (there are DIV and round())");
      default: return refuse("this operator");
    }
    RETURN_IF_ERROR(check_expression(binary->left));
    return check_expression(binary->right);
  }
  if (const auto* call = as<sql::FunctionCall>(expr)) return check_call(*call);
  return refuse("this construct");
}

bool is_text(::query::Type type) { return type == ::query::VARCHAR || type == ::query::CHAR || type == ::query::TEXT; }
bool is_bytes(::query::Type type) { return type == ::query::VARBINARY || type == ::query::BLOB; }
bool is_moment(::query::Type type) {
  return type == ::query::DATE || type == ::query::TIME || type == ::query::DATETIME || type == ::query::TIMESTAMP;
}

void append_hex(std::string& out, std::string_view bytes) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  out += "X'";
  for (const char c : bytes) {
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  out += '\'';
}

// "(6)" of "datetime(6)"; "" without one.
std::string_view parameters_of(std::string_view column_type) {
  const size_t open = column_type.find('('), close = column_type.find(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return "";
  return column_type.substr(open, close - open + 1);
}

}  // namespace

std::string RowExpression::to_sql() const {
  std::string out = pieces.empty() ? "" : pieces[0];
  for (size_t i = 0; i < columns.size(); ++i) out += mysqld::quote_identifier(columns[i]) + pieces[i + 1];
  return out;
}

Result<RowExpression> read_row_expression(const sql::Expr& expr) {
  RETURN_IF_ERROR(check_expression(&expr));
  RowExpression out;
  sql::PrintOptions options;
  options.expr = [&out](const sql::Expr& one, std::string& text) {
    if (const auto* column = as<sql::Column>(&one)) {
      out.columns.emplace_back(column->name.text);
      text += kHole;
      return true;
    }
    const auto* literal = as<sql::Literal>(&one);
    if (literal == nullptr || literal->literal != sql::LiteralKind::kString) return false;
    text += "_utf8mb4" + mysqld::quote_string(sql::string_value(*literal).value_or(""));
    return true;
  };
  std::string text = sql::print(expr, options);
  // The printer puts what it does not know in parentheses. Names need none, and literals bring their own.
  const std::string hole = {'(', kHole, ')'};
  for (size_t at = 0; (at = text.find(hole, at)) != std::string::npos;) text.replace(at, hole.size(), 1, kHole);
  for (const auto piece : base::split(text, kHole)) out.pieces.emplace_back(piece);
  if (out.pieces.size() != out.columns.size() + 1) return refuse("this construct");
  if (out.columns.empty()) return refuse("no column");
  return out;
}

Status check_input(const ::query::Field& field) {
  const auto type = field.type();
  const bool padded = (field.flags() & ::query::ZEROFILL_FLAG) != 0 ||
                      base::to_lower(field.column_type()).find("zerofill") != std::string::npos;
  const bool whole = has_flag(type, ::query::ISINTEGRAL) && type != ::query::YEAR;
  const std::string name = base::to_lower(field.column_type());
  const bool other = name.starts_with("uuid") || name.starts_with("inet");
  if (!padded && !other && (whole || type == ::query::DECIMAL || is_text(type) || is_bytes(type) || is_moment(type))) {
    return {};
  }
  return fail(Code::kUnimplemented,
              fmt::format("an expression with column {}, which is of type {}, is not supported", field.name(),
                          field.column_type().empty() ? ::query::Type_Name(type) : field.column_type()));
}

Status append_input(std::string& out, const ::query::Field& field, mysql::Cell cell) {
  const auto type = field.type();
  if (!cell) {
    out += "NULL";
  } else if (is_text(type)) {
    const auto* collation = mysql::find_collation(static_cast<uint16_t>(field.charset()));
    if (collation == nullptr) {
      return fail(Code::kUnimplemented,
                  fmt::format("column {} has a collation that is not known ({})", field.name(), field.charset()));
    }
    out += fmt::format("(_{} ", collation->charset);
    append_hex(out, *cell);
    out += fmt::format(" COLLATE {})", collation->name);
  } else if (is_bytes(type)) {
    out += "(_binary ";
    append_hex(out, *cell);
    out += ')';
  } else if (is_moment(type)) {
    out += type == ::query::DATE ? "DATE" : type == ::query::TIME ? "TIME" : "TIMESTAMP";
    out += mysqld::quote_string(*cell);
  } else if (!is_plain_number(*cell)) {
    return fail(Code::kDataLoss, fmt::format("column {} has a value that is no number", field.name()));
  } else if (has_flag(type, ::query::ISUNSIGNED)) {
    out += fmt::format("CAST({} AS UNSIGNED)", *cell);
  } else {
    out += fmt::format("({})", *cell);
  }
  return {};
}

Result<std::string> as_column(const Column& column, std::string_view expression) {
  const auto type = column.type;
  const std::string name = base::to_lower(column.column_type);
  if (column.is_integer() && type != ::query::YEAR && name.find("zerofill") == std::string::npos) {
    return fmt::format("CAST({} AS {})", expression, column.is_unsigned() ? "UNSIGNED" : "SIGNED");
  }
  const std::string_view parameters = parameters_of(column.column_type);
  if (type == ::query::DECIMAL && name.find("zerofill") == std::string::npos) {
    return fmt::format("CAST({} AS DECIMAL{})", expression, parameters);
  }
  if (is_text(type) && !column.character_set.empty() && !name.starts_with("uuid") && !name.starts_with("inet")) {
    const std::string text = fmt::format("CONVERT({} USING {})", expression, column.character_set);
    return type == ::query::CHAR ? fmt::format("RTRIM({})", text) : text;
  }
  if (is_bytes(type)) return fmt::format("CAST({} AS BINARY)", expression);
  if (type == ::query::DATE) return fmt::format("CAST({} AS DATE)", expression);
  if (type == ::query::TIME) return fmt::format("CAST({} AS TIME{})", expression, parameters);
  if (is_moment(type)) return fmt::format("CAST({} AS DATETIME{})", expression, parameters);
  return fail(Code::kUnimplemented,
              fmt::format("column {} is computed, and of type {}: that is not built", column.name, column.column_type));
}

}  // namespace vitrail::movement
