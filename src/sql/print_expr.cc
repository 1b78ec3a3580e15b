#include "sql/printer_impl.h"

namespace vitrail::sql {
namespace {

Precedence precedence(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAssign: return kAssignLevel;
    case BinaryOp::kXor: return kXorLevel;
    case BinaryOp::kEqual:
    case BinaryOp::kNullSafeEqual:
    case BinaryOp::kNotEqual:
    case BinaryOp::kLess:
    case BinaryOp::kLessEqual:
    case BinaryOp::kGreater:
    case BinaryOp::kGreaterEqual: return kComparisonLevel;
    case BinaryOp::kRegexp:
    case BinaryOp::kNotRegexp:
    case BinaryOp::kSoundsLike:
    case BinaryOp::kMemberOf: return kPredicateLevel;
    case BinaryOp::kBitOr: return kBitOrLevel;
    case BinaryOp::kBitAnd: return kBitAndLevel;
    case BinaryOp::kShiftLeft:
    case BinaryOp::kShiftRight: return kShiftLevel;
    case BinaryOp::kPlus:
    case BinaryOp::kMinus: return kAddLevel;
    case BinaryOp::kMultiply:
    case BinaryOp::kDivide:
    case BinaryOp::kIntDivide:
    case BinaryOp::kModulo: return kMultiplyLevel;
    case BinaryOp::kBitXor: return kBitXorLevel;
    case BinaryOp::kConcat: return kConcatLevel;
    case BinaryOp::kJsonExtract:
    case BinaryOp::kJsonUnquote: return kPrimaryLevel;
  }
  return kPrimaryLevel;
}

std::string_view operator_text(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAssign: return " := ";
    case BinaryOp::kXor: return " xor ";
    case BinaryOp::kEqual: return " = ";
    case BinaryOp::kNullSafeEqual: return " <=> ";
    case BinaryOp::kNotEqual: return " != ";
    case BinaryOp::kLess: return " < ";
    case BinaryOp::kLessEqual: return " <= ";
    case BinaryOp::kGreater: return " > ";
    case BinaryOp::kGreaterEqual: return " >= ";
    case BinaryOp::kRegexp: return " regexp ";
    case BinaryOp::kNotRegexp: return " not regexp ";
    case BinaryOp::kSoundsLike: return " sounds like ";
    case BinaryOp::kMemberOf: return " member of ";
    case BinaryOp::kBitOr: return " | ";
    case BinaryOp::kBitAnd: return " & ";
    case BinaryOp::kShiftLeft: return " << ";
    case BinaryOp::kShiftRight: return " >> ";
    case BinaryOp::kPlus: return " + ";
    case BinaryOp::kMinus: return " - ";
    case BinaryOp::kMultiply: return " * ";
    case BinaryOp::kDivide: return " / ";
    case BinaryOp::kIntDivide: return " div ";
    case BinaryOp::kModulo: return " % ";
    case BinaryOp::kBitXor: return " ^ ";
    case BinaryOp::kConcat: return " || ";
    case BinaryOp::kJsonExtract: return " -> ";
    case BinaryOp::kJsonUnquote: return " ->> ";
  }
  return " ? ";
}

Precedence precedence(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kUnary: return static_cast<const Unary&>(expr).op == UnaryOp::kNot ? kNotLevel : kUnaryLevel;
    case ExprKind::kBinary: return precedence(static_cast<const Binary&>(expr).op);
    case ExprKind::kLogical: return static_cast<const Logical&>(expr).op == LogicalOp::kAnd ? kAndLevel : kOrLevel;
    case ExprKind::kIs: return kComparisonLevel;
    case ExprKind::kBetween: return kBetweenLevel;
    case ExprKind::kLike:
    case ExprKind::kIn: return kPredicateLevel;
    case ExprKind::kCollate: return kCollateLevel;
    default: return kPrimaryLevel;
  }
}

constexpr Precedence above(Precedence level) { return static_cast<Precedence>(level + 1); }

// Whether a text that a callback gave may stand anywhere without parentheses: one word, number or quoted string.
bool is_single_token(std::string_view text) {
  if (text.empty()) return true;
  Lexer lexer(text);
  const Token token = lexer.next();
  return token.length == text.size() && token.type != TokenType::kError &&
         word_class(token.keyword) != WordClass::kReserved;
}

}  // namespace

// ---- Expressions ----------------------------------------------------------------------------------------------------

void Printer::expr(const Expr& expr, Precedence min) {
  if (options_.expr) {
    std::string replacement;
    if (options_.expr(expr, replacement)) {
      if (is_single_token(replacement)) {
        add(replacement);
      } else {
        add('(');
        add(replacement);
        add(')');
      }
      return;
    }
  }
  const Precedence own = precedence(expr);
  const bool parentheses = own < min || (options_.full_parentheses && own < kPrimaryLevel);
  if (parentheses) add('(');
  compound(expr);
  if (parentheses) add(')');
}

void Printer::compound(const Expr& node) {
  switch (node.kind) {
    case ExprKind::kLiteral: return literal(static_cast<const Literal&>(node));
    case ExprKind::kParameter: return add('?');
    case ExprKind::kBindVariable: {
      const auto& variable = static_cast<const BindVariable&>(node);
      add(variable.list ? "::" : ":");
      return add(variable.name);
    }
    case ExprKind::kColumn: return column(static_cast<const Column&>(node));
    case ExprKind::kStar: return star(static_cast<const Star&>(node));
    case ExprKind::kUserVariable: return user_variable(static_cast<const UserVariable&>(node));
    case ExprKind::kSystemVariable: {
      const auto& variable = static_cast<const SystemVariable&>(node);
      add("@@");
      return system_variable(variable.scope, variable.base, variable.name);
    }
    case ExprKind::kKeyword: return add(static_cast<const KeywordExpr&>(node).word);
    case ExprKind::kUnary: return unary(static_cast<const Unary&>(node));
    case ExprKind::kBinary: return binary(static_cast<const Binary&>(node));
    case ExprKind::kLogical: return logical(static_cast<const Logical&>(node));
    case ExprKind::kIs: return is_test(static_cast<const Is&>(node));
    case ExprKind::kLike: return like(static_cast<const Like&>(node));
    case ExprKind::kBetween: {
      const auto& between = static_cast<const Between&>(node);
      // Predicates as operands of predicates get parentheses everywhere: servers differ in how they group them.
      expr(*between.operand, kBitOrLevel);
      add(between.negated ? " not between " : " between ");
      expr(*between.low, kBitOrLevel);
      add(" and ");
      return expr(*between.high, kBitOrLevel);
    }
    case ExprKind::kIn: return in(static_cast<const In&>(node));
    case ExprKind::kCase: return case_expr(static_cast<const Case&>(node));
    case ExprKind::kCast: return cast(static_cast<const Cast&>(node));
    case ExprKind::kConvertUsing: {
      const auto& convert = static_cast<const ConvertUsing&>(node);
      add("convert(");
      expr(*convert.operand);
      add(" using ");
      charset(convert.charset);
      return add(')');
    }
    case ExprKind::kCollate: {
      const auto& collate = static_cast<const Collate&>(node);
      expr(*collate.operand, kCollateLevel);
      add(" collate ");
      return charset(collate.collation);
    }
    case ExprKind::kInterval: {
      const auto& interval = static_cast<const Interval&>(node);
      add("interval ");
      expr(*interval.value);
      add(' ');
      return add(interval.unit);
    }
    case ExprKind::kFunctionCall: return function(static_cast<const FunctionCall&>(node));
    case ExprKind::kMatch: return match(static_cast<const Match&>(node));
    case ExprKind::kDefaultValue: {
      const auto& value = static_cast<const DefaultValue&>(node);
      add("default");
      if (value.column == nullptr) return;
      add('(');
      expr(*value.column);
      return add(')');
    }
    case ExprKind::kValuesFunction:
      add("values(");
      expr(*static_cast<const ValuesFunction&>(node).column);
      return add(')');
    case ExprKind::kNextValue: {
      const auto& value = static_cast<const NextValue&>(node);
      add(value.previous ? "previous value for " : "next value for ");
      return table_name(value.sequence);
    }
    case ExprKind::kSubquery: return subquery(*static_cast<const Subquery&>(node).query);
    case ExprKind::kExists: add("exists "); return subquery(*static_cast<const Exists&>(node).query);
    case ExprKind::kRow: {
      const auto& row = static_cast<const Row&>(node);
      add(row.keyword ? "row(" : "(");
      exprs(row.items);
      return add(')');
    }
  }
}

void Printer::literal(const Literal& literal) {
  switch (literal.literal) {
    case LiteralKind::kNull: return add("null");
    case LiteralKind::kTrue: return add("true");
    case LiteralKind::kFalse: return add("false");
    case LiteralKind::kDate: add("date "); break;
    case LiteralKind::kTime: add("time "); break;
    case LiteralKind::kTimestamp: add("timestamp "); break;
    default: break;
  }
  if (!literal.charset.empty()) {
    add('_');
    add(literal.charset);
    add(' ');
  }
  add(literal.text);
  for (std::string_view part : literal.more) {
    add(' ');
    add(part);
  }
}

void Printer::column(const Column& column) {
  schema_part(column.schema);
  if (!column.table.empty()) {
    identifier(column.table);
    add('.');
  }
  identifier(column.name);
}

void Printer::star(const Star& star) {
  schema_part(star.schema);
  if (!star.table.empty()) {
    identifier(star.table);
    add('.');
  }
  add('*');
}

void Printer::user_variable(const UserVariable& variable) {
  add('@');
  bool plain = true;
  for (char c : variable.name) plain &= is_name_byte(c) || c == '.';
  add(plain ? std::string(variable.name) : quote_identifier(variable.name));
}

void Printer::system_variable(VariableScope scope, const Identifier& base, const Identifier& name) {
  switch (scope) {
    case VariableScope::kNone: break;
    case VariableScope::kSession: add("session."); break;
    case VariableScope::kGlobal: add("global."); break;
    case VariableScope::kLocal: add("local."); break;
    case VariableScope::kPersist: add("persist."); break;
    case VariableScope::kPersistOnly: add("persist_only."); break;
  }
  if (!base.empty()) {
    // A quoted base may be spelled like a scope.
    if (base.quoted && scope == VariableScope::kNone) {
      add(quote_identifier(base.text));
    } else {
      identifier(base);
    }
    add('.');
  }
  identifier(name);
}

void Printer::unary(const Unary& unary) {
  const size_t before = out_.size();
  switch (unary.op) {
    case UnaryOp::kNot: add("not "); return expr(*unary.operand, kNotLevel);
    case UnaryOp::kBang: add(options_.high_not_precedence ? "not " : "!"); break;
    case UnaryOp::kMinus:
      if (before > 0 && out_.back() == '-') add(' ');  // "--" may start a comment.
      add('-');
      break;
    case UnaryOp::kPlus: add('+'); break;
    case UnaryOp::kBitNot: add('~'); break;
    case UnaryOp::kBinary: add("binary "); break;
  }
  expr(*unary.operand, kUnaryLevel);
}

void Printer::binary(const Binary& binary) {
  const Precedence own = precedence(binary.op);
  switch (binary.op) {
    case BinaryOp::kAssign:
      expr(*binary.left, kPrimaryLevel);
      add(" := ");
      return expr(*binary.right, kAssignLevel);
    case BinaryOp::kMemberOf:
      expr(*binary.left, kBitOrLevel);
      add(" member of (");
      expr(*binary.right);
      return add(')');
    case BinaryOp::kJsonExtract:
    case BinaryOp::kJsonUnquote:
      expr(*binary.left, kPrimaryLevel);
      add(operator_text(binary.op));
      // A chain a -> b -> c groups to the left.
      if (precedence(*binary.right) == kPrimaryLevel && binary.right->kind == ExprKind::kBinary) {
        add('(');
        expr(*binary.right);
        return add(')');
      }
      return expr(*binary.right, kPrimaryLevel);
    default: break;
  }
  expr(*binary.left, own == kPredicateLevel ? kBitOrLevel : own);
  add(operator_text(binary.op));
  switch (binary.quantifier) {
    case Quantifier::kNone: break;
    case Quantifier::kAny: add("any "); break;
    case Quantifier::kAll: add("all "); break;
  }
  expr(*binary.right, above(own));
}

void Printer::logical(const Logical& logical) {
  const bool is_and = logical.op == LogicalOp::kAnd;
  for (size_t i = 0; i < logical.operands.size(); ++i) {
    if (i > 0) add(is_and ? " and " : " or ");
    expr(*logical.operands[i], above(is_and ? kAndLevel : kOrLevel));
  }
}

void Printer::is_test(const Is& is) {
  expr(*is.operand, kComparisonLevel);
  add(is.negated ? " is not " : " is ");
  switch (is.test) {
    case IsTest::kNull: return add("null");
    case IsTest::kTrue: return add("true");
    case IsTest::kFalse: return add("false");
    case IsTest::kUnknown: return add("unknown");
  }
}

void Printer::like(const Like& like) {
  expr(*like.left, kBitOrLevel);
  add(like.negated ? " not like " : " like ");
  expr(*like.pattern, kBitOrLevel);
  if (like.escape != nullptr) {
    add(" escape ");
    expr(*like.escape, kUnaryLevel);
  }
}

void Printer::in(const In& in) {
  expr(*in.left, kBitOrLevel);
  add(in.negated ? " not in " : " in ");
  if (in.query != nullptr) return subquery(*in.query);
  if (in.values.size() == 1) {
    const auto* variable = as<BindVariable>(in.values[0]);
    if (variable != nullptr && variable->list) {
      std::string list;
      if (options_.expr && options_.expr(*variable, list)) return add(list);
      return expr(*variable);
    }
  }
  add('(');
  exprs(in.values);
  add(')');
}

void Printer::case_expr(const Case& node) {
  add("case");
  if (node.operand != nullptr) {
    add(' ');
    expr(*node.operand);
  }
  for (const When& when : node.whens) {
    add(" when ");
    expr(*when.condition);
    add(" then ");
    expr(*when.result);
  }
  if (node.otherwise != nullptr) {
    add(" else ");
    expr(*node.otherwise);
  }
  add(" end");
}

void Printer::cast_type(const CastType& type) {
  add(type.name);
  if (!type.length.empty()) {
    add('(');
    add(type.length);
    if (!type.scale.empty()) {
      add(", ");
      add(type.scale);
    }
    add(')');
  }
  if (!type.attribute.empty()) {
    add(' ');
    add(type.attribute);
  }
  if (!type.charset.empty()) {
    add(" character set ");
    charset(type.charset);
  }
  if (type.array) add(" array");
}

void Printer::cast(const Cast& cast) {
  add(cast.convert ? "convert(" : "cast(");
  expr(*cast.operand);
  if (cast.time_zone != nullptr) {
    add(" at time zone ");
    expr(*cast.time_zone);
  }
  add(cast.convert ? ", " : " as ");
  cast_type(cast.type);
  add(')');
}

void Printer::function_name(const FunctionCall& call) {
  if (!call.schema.empty()) {
    identifier(call.schema);
    add('.');
    return identifier(call.name);
  }
  // Names of built-in functions that are keywords must not be quoted; names that were quoted to be no keywords must.
  const Keyword keyword = find_keyword(call.name.text);
  if (!call.name.quoted && keyword != Keyword::kNone) return add(call.name.text);
  if (keyword != Keyword::kNone && call.name.quoted) return add(quote_identifier(call.name.text));
  identifier(call.name);
}

void Printer::function(const FunctionCall& call) {
  function_name(call);
  if (call.syntax == FunctionSyntax::kNoParens) return;
  add('(');
  switch (call.syntax) {
    case FunctionSyntax::kTrim:
      if (!call.word.empty()) {
        add(call.word);
        add(' ');
      }
      if (call.args.size() > 1) {
        expr(*call.args[0]);
        add(' ');
      }
      add("from ");
      expr(*call.args.back());
      break;
    case FunctionSyntax::kExtract:
      add(call.word);
      add(" from ");
      exprs(call.args);
      break;
    case FunctionSyntax::kPosition:
      expr(*call.args[0], kBitOrLevel);
      add(" in ");
      expr(*call.args[1]);
      break;
    default:
      if (call.distinct) add("distinct ");
      exprs(call.args);
      if (call.word != "within group") order_items(call.order_by);
      limit(call.limit);
      if (call.separator != nullptr) {
        add(" separator ");
        expr(*call.separator);
      }
      break;
  }
  if (!call.tail.empty()) {
    add(' ');
    add(call.tail);
  }
  add(')');
  if (call.word == "within group") {
    add(" within group (");
    add("order by ");
    for (size_t i = 0; i < call.order_by.size(); ++i) {
      if (i > 0) add(", ");
      expr(*call.order_by[i].expr);
      if (call.order_by[i].direction != Direction::kNone) {
        add(call.order_by[i].direction == Direction::kAsc ? " asc" : " desc");
      }
    }
    add(')');
  }
  if (call.from_last) add(" from last");
  if (call.ignore_nulls) add(" ignore nulls");
  if (call.respect_nulls) add(" respect nulls");
  if (call.over != nullptr) {
    add(" over ");
    if (call.over->name_only) {
      identifier(call.over->name);
    } else {
      window(*call.over);
    }
  }
}

void Printer::match(const Match& match) {
  add("match(");
  exprs(match.columns);
  add(") against (");
  expr(*match.against, kBitOrLevel);
  switch (match.mode) {
    case MatchMode::kNone: break;
    case MatchMode::kNaturalLanguage: add(" in natural language mode"); break;
    case MatchMode::kNaturalLanguageExpansion: add(" in natural language mode with query expansion"); break;
    case MatchMode::kBoolean: add(" in boolean mode"); break;
    case MatchMode::kExpansion: add(" with query expansion"); break;
  }
  add(')');
}

void Printer::subquery(const Query& inner) {
  add('(');
  query(inner);
  add(')');
}

void Printer::exprs(List<Expr*> items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) add(", ");
    expr(*items[i]);
  }
}

// A number that is put in the place of a variable or a function must not name a column by its place. (A parameter
// does.)
void Printer::sort_key(const Expr& key) {
  const size_t before = out_.size();
  expr(key);
  if (as<Literal>(&key) != nullptr || as<Parameter>(&key) != nullptr || as<BindVariable>(&key) != nullptr) return;
  if (std::string_view(out_).substr(before).find_first_not_of("0123456789-()") == std::string_view::npos) add(" + 0");
}

void Printer::order_items(List<OrderItem> items) {
  for (size_t i = 0; i < items.size(); ++i) {
    add(i == 0 ? " order by " : ", ");
    sort_key(*items[i].expr);
    if (items[i].direction != Direction::kNone) add(items[i].direction == Direction::kAsc ? " asc" : " desc");
  }
}

void Printer::window(const WindowSpec& window) {
  add('(');
  std::string_view separator;
  if (!window.name.empty()) {
    // A name that is a frame unit would be read as one.
    identifier(window.name);
    separator = " ";
  }
  if (!window.partition_by.empty()) {
    add(separator);
    add("partition by ");
    exprs(window.partition_by);
    separator = " ";
  }
  if (!window.order_by.empty()) {
    if (separator.empty()) {
      std::string before = std::move(out_);
      out_.clear();
      order_items(window.order_by);
      before.append(out_, 1);  // Without the leading blank.
      out_ = std::move(before);
    } else {
      order_items(window.order_by);
    }
    separator = " ";
  }
  if (window.unit != FrameUnit::kNone) {
    add(separator);
    add(window.unit == FrameUnit::kRows ? "rows" : window.unit == FrameUnit::kRange ? "range" : "groups");
    add(window.between ? " between " : " ");
    frame_bound(window.start);
    if (window.between) {
      add(" and ");
      frame_bound(window.end);
    }
    if (!window.exclude.empty()) {
      add(" exclude ");
      add(window.exclude);
    }
  }
  add(')');
}

void Printer::frame_bound(const FrameBound& bound) {
  switch (bound.kind) {
    case FrameBoundKind::kUnboundedPreceding: return add("unbounded preceding");
    case FrameBoundKind::kUnboundedFollowing: return add("unbounded following");
    case FrameBoundKind::kCurrentRow: return add("current row");
    case FrameBoundKind::kPreceding: expr(*bound.value, kBitOrLevel); return add(" preceding");
    case FrameBoundKind::kFollowing: expr(*bound.value, kBitOrLevel); return add(" following");
  }
}

}  // namespace vitrail::sql
