#include <algorithm>

#include "sql/parser_impl.h"

// Expressions: precedence climbing over the operators, recursive descent below them.
// Grammar: MySQL 8.4 manual, "Expressions" and "Operator Precedence". Where the grammar proper is stricter than the
// table of precedences (a LIKE b = c), the table is followed.
namespace vitrail::sql {

namespace {

struct Operator {
  BinaryOp op;
  Precedence level;  // kLowest: not an operator.
};

Operator symbol_operator(TokenType type) {
  switch (type) {
    case TokenType::kEqual: return {BinaryOp::kEqual, kComparisonLevel};
    case TokenType::kNullSafeEqual: return {BinaryOp::kNullSafeEqual, kComparisonLevel};
    case TokenType::kNotEqual: return {BinaryOp::kNotEqual, kComparisonLevel};
    case TokenType::kLess: return {BinaryOp::kLess, kComparisonLevel};
    case TokenType::kLessEqual: return {BinaryOp::kLessEqual, kComparisonLevel};
    case TokenType::kGreater: return {BinaryOp::kGreater, kComparisonLevel};
    case TokenType::kGreaterEqual: return {BinaryOp::kGreaterEqual, kComparisonLevel};
    case TokenType::kPipe: return {BinaryOp::kBitOr, kBitOrLevel};
    case TokenType::kAmpersand: return {BinaryOp::kBitAnd, kBitAndLevel};
    case TokenType::kShiftLeft: return {BinaryOp::kShiftLeft, kShiftLevel};
    case TokenType::kShiftRight: return {BinaryOp::kShiftRight, kShiftLevel};
    case TokenType::kPlus: return {BinaryOp::kPlus, kAddLevel};
    case TokenType::kMinus: return {BinaryOp::kMinus, kAddLevel};
    case TokenType::kStar: return {BinaryOp::kMultiply, kMultiplyLevel};
    case TokenType::kSlash: return {BinaryOp::kDivide, kMultiplyLevel};
    case TokenType::kPercent: return {BinaryOp::kModulo, kMultiplyLevel};
    case TokenType::kCaret: return {BinaryOp::kBitXor, kBitXorLevel};
    default: return {BinaryOp::kEqual, kLowest};
  }
}

constexpr Precedence above(Precedence level) { return static_cast<Precedence>(level + 1); }

LiteralKind literal_kind(TokenType type) {
  switch (type) {
    case TokenType::kInteger: return LiteralKind::kInteger;
    case TokenType::kDecimal: return LiteralKind::kDecimal;
    case TokenType::kFloat: return LiteralKind::kFloat;
    case TokenType::kHex: return LiteralKind::kHex;
    case TokenType::kBit: return LiteralKind::kBit;
    case TokenType::kNationalString: return LiteralKind::kNationalString;
    default: return LiteralKind::kString;
  }
}

}  // namespace

// ---- Operators ------------------------------------------------------------------------------------------------------

Expr* Parser::expression(Precedence min) {
  Nested nested(*this);
  const uint32_t start = here();
  return infix(prefix(), min, start);
}

// `start` is where the text of `left` starts, a parenthesis around it included.
Expr* Parser::infix(Expr* left, Precedence min, uint32_t start) {
  // What a predicate without right operand (IS NULL, IN (..)) has closed cannot be the operand of a tighter operator.
  Precedence max = kPrimaryLevel;
  while (true) {
    Precedence level = kLowest;
    const Operator symbol = symbol_operator(token().type);
    bool negated = false;
    if (symbol.level != kLowest) {
      level = symbol.level;
    } else if (at(TokenType::kOr)) {
      level = options_.pipes_as_concat ? kConcatLevel : kOrLevel;
    } else if (at(TokenType::kAnd)) {
      level = kAndLevel;
    } else if (at(Keyword::kNot)) {
      negated = at_negated_predicate();
      if (negated) level = peek_is(Keyword::kBetween) ? kBetweenLevel : kPredicateLevel;
    } else if (at(TokenType::kWord)) {
      level = word_operator_level();
    }
    if (level == kLowest || level < min || level > max) return left;
    switch (level) {
      case kOrLevel: left = logical(left, LogicalOp::kOr, above(kOrLevel), start); break;
      case kAndLevel: left = logical(left, LogicalOp::kAnd, above(kAndLevel), start); break;
      case kXorLevel:
        advance();
        left = binary(BinaryOp::kXor, left, expression(above(kXorLevel)), start);
        break;
      case kComparisonLevel:
        if (at(Keyword::kIs)) {
          left = is_test(left, start);
        } else {
          advance();
          left = comparison(left, symbol.op, start);
        }
        max = kComparisonLevel;
        break;
      case kBetweenLevel:
      case kPredicateLevel:
        if (negated) advance();
        left = infix_predicate(left, negated, start);
        max = level;
        break;
      case kConcatLevel:
        advance();
        left = binary(BinaryOp::kConcat, left, expression(above(kConcatLevel)), start);
        break;
      case kCollateLevel: {
        advance();
        Collate* collate = make<Collate>(start);
        collate->operand = left;
        collate->collation = word_or_string();
        left = done(collate, left->depth);
        break;
      }
      case kAddLevel: {
        advance();
        const uint32_t right_start = here();
        if (at(Keyword::kInterval)) {
          Expr* right = interval();
          // The unit closes the sum: d + INTERVAL 1 DAY * 2 is (d + INTERVAL 1 DAY) * 2.
          if (as<Interval>(right) == nullptr) right = infix(postfix(right, right_start), above(level), right_start);
          left = binary(symbol.op, left, right, start);
          break;
        }
        left = binary(symbol.op, left, expression(above(level)), start);
        break;
      }
      default: {
        BinaryOp op = symbol.op;
        if (symbol.level == kLowest) op = at(Keyword::kDiv) ? BinaryOp::kIntDivide : BinaryOp::kModulo;
        advance();
        left = binary(op, left, expression(above(level)), start);
        break;
      }
    }
  }
}

// NOT IN, NOT LIKE, NOT BETWEEN, NOT REGEXP
bool Parser::at_negated_predicate() {
  if (!at(Keyword::kNot)) return false;
  const Keyword second = peek().keyword;
  return second == Keyword::kIn || second == Keyword::kLike || second == Keyword::kBetween ||
         second == Keyword::kRegexp || second == Keyword::kRlike;
}

// Level of the operator that the current word is; kLowest when it is none.
Precedence Parser::word_operator_level() {
  switch (token().keyword) {
    case Keyword::kOr: return kOrLevel;
    case Keyword::kXor: return kXorLevel;
    case Keyword::kAnd: return kAndLevel;
    case Keyword::kIs: return kComparisonLevel;
    case Keyword::kBetween: return kBetweenLevel;
    case Keyword::kIn:
    case Keyword::kLike:
    case Keyword::kRegexp:
    case Keyword::kRlike: return kPredicateLevel;
    case Keyword::kSounds: return peek_is(Keyword::kLike) ? kPredicateLevel : kLowest;
    case Keyword::kMember: return peek_is(Keyword::kOf) ? kPredicateLevel : kLowest;
    case Keyword::kDiv:
    case Keyword::kMod: return kMultiplyLevel;
    case Keyword::kCollate: return kCollateLevel;
    default: return kLowest;
  }
}

Expr* Parser::binary(BinaryOp op, Expr* left, Expr* right, uint32_t start) {
  Binary* node = make<Binary>(start);
  node->op = op;
  node->left = left;
  node->right = right;
  return done(node, std::max(left->depth, right->depth));
}

Expr* Parser::comparison(Expr* left, BinaryOp op, uint32_t start) {
  if (at_any({Keyword::kAll, Keyword::kAny, Keyword::kSome}) && peek_is(TokenType::kLeftParen) && starts_query(2)) {
    const Quantifier quantifier = at(Keyword::kAll) ? Quantifier::kAll : Quantifier::kAny;
    advance();
    Expr* right = parenthesized();
    auto* node = static_cast<Binary*>(binary(op, left, right, start));
    if (as<Subquery>(right) == nullptr) fail_syntax();
    node->quantifier = quantifier;
    return node;
  }
  return binary(op, left, expression(kBetweenLevel), start);
}

// A chain of one operator becomes one node; chains in parentheses within a chain of the same operator dissolve.
Expr* Parser::logical(Expr* left, LogicalOp op, Precedence operand, uint32_t start) {
  ListBuilder<Expr*> operands;
  uint32_t deepest = 0;
  const auto add = [&](Expr* expr) {
    if (auto* inner = as<Logical>(expr); inner != nullptr && inner->op == op) {
      for (Expr* item : inner->operands) operands.push_back(item);
      deepest = std::max<uint32_t>(deepest, inner->depth - 1u);
    } else {
      operands.push_back(expr);
      deepest = std::max<uint32_t>(deepest, expr->depth);
    }
  };
  add(left);
  const auto at_operator = [&] {
    if (op == LogicalOp::kAnd) return at(TokenType::kAnd) || at(Keyword::kAnd);
    return at(Keyword::kOr) || (at(TokenType::kOr) && !options_.pipes_as_concat);
  };
  while (at_operator()) {
    advance();
    add(expression(operand));
  }
  Logical* node = make<Logical>(start);
  node->op = op;
  node->operands = operands.finish(*arena_);
  return done(node, deepest);
}

Expr* Parser::is_test(Expr* left, uint32_t start) {
  expect(Keyword::kIs);
  Is* node = make<Is>(start);
  node->operand = left;
  node->negated = accept(Keyword::kNot);
  if (accept(Keyword::kNull)) {
    node->test = IsTest::kNull;
  } else if (accept(Keyword::kTrue)) {
    node->test = IsTest::kTrue;
  } else if (accept(Keyword::kFalse)) {
    node->test = IsTest::kFalse;
  } else if (accept(Keyword::kUnknown)) {
    node->test = IsTest::kUnknown;
  } else {
    fail_syntax();
  }
  return done(node, left->depth);
}

// The right operand of a predicate. A negated predicate behind it belongs to it, as MariaDB has it:
// a LIKE b NOT LIKE c is a LIKE (b NOT LIKE c). MySQL accepts no such chains.
Expr* Parser::predicate_operand() {
  const uint32_t start = here();
  Expr* operand = expression(kBitOrLevel);
  while (at_negated_predicate()) {
    advance();
    operand = infix_predicate(operand, true, start);
  }
  return operand;
}

// At BETWEEN, IN, LIKE, REGEXP, RLIKE (a NOT before it is read), SOUNDS LIKE or MEMBER OF.
Expr* Parser::infix_predicate(Expr* left, bool negated, uint32_t start) {
  switch (token().keyword) {
    case Keyword::kIn: return in_predicate(left, negated, start);
    case Keyword::kSounds:
      advance();
      advance();
      return binary(BinaryOp::kSoundsLike, left, predicate_operand(), start);
    case Keyword::kMember:
      advance();
      advance();
      if (!at(TokenType::kLeftParen)) fail_syntax();
      return binary(BinaryOp::kMemberOf, left, parenthesized(), start);
    case Keyword::kBetween: {
      advance();
      Between* node = make<Between>(start);
      node->negated = negated;
      node->operand = left;
      node->low = expression(kBitOrLevel);
      expect(Keyword::kAnd);
      node->high = expression(kBetweenLevel);
      return done(node, std::max({left->depth, node->low->depth, node->high->depth}));
    }
    case Keyword::kLike: {
      advance();
      Like* node = make<Like>(start);
      node->negated = negated;
      node->left = left;
      node->pattern = predicate_operand();
      uint32_t below = std::max(left->depth, node->pattern->depth);
      if (accept(Keyword::kEscape)) {
        node->escape = predicate_operand();
        below = std::max<uint32_t>(below, node->escape->depth);
      }
      return done(node, below);
    }
    default:
      advance();  // REGEXP, RLIKE
      return binary(negated ? BinaryOp::kNotRegexp : BinaryOp::kRegexp, left, predicate_operand(), start);
  }
}

Expr* Parser::in_predicate(Expr* left, bool negated, uint32_t start) {
  expect(Keyword::kIn);
  In* node = make<In>(start);
  node->negated = negated;
  node->left = left;
  uint32_t below = left->depth;
  if (at(TokenType::kBindList)) {
    node->values = arena_->list<Expr*>({primary()});
    return done(node, below);
  }
  if (!at(TokenType::kLeftParen)) fail_syntax();
  if (starts_query(1)) {
    auto* subquery = as<Subquery>(parenthesized());
    if (subquery == nullptr) {
      fail_syntax();
      return node;
    }
    node->query = subquery->query;
    return done(node, std::max<uint32_t>(below, node->query->depth));
  }
  advance();
  const uint32_t inside = here();
  ListBuilder<Expr*, 8> values;
  do {
    Expr* value = expression();
    below = std::max<uint32_t>(below, value->depth);
    values.push_back(value);
  } while (accept(TokenType::kComma));
  if (values.size() == 1) {  // IN ((SELECT ..)) and IN ((SELECT ..) UNION ..): a query, not a list of one.
    if (auto* subquery = as<Subquery>(values.data()[0]); subquery != nullptr) {
      operand_in_parens_ = true;
      node->query = continues_query() ? continue_query(subquery->query, nullptr, inside) : subquery->query;
      below = std::max<uint32_t>(below, node->query->depth);
    }
  }
  if (node->query == nullptr) node->values = values.finish(*arena_);
  expect(TokenType::kRightParen);
  return done(node, below);
}

// ---- Prefix operators and primaries ---------------------------------------------------------------------------------

Expr* Parser::prefix() {
  const uint32_t start = here();
  UnaryOp op;
  Precedence operand = kUnaryLevel;
  switch (token().type) {
    case TokenType::kMinus: op = UnaryOp::kMinus; break;
    case TokenType::kPlus: op = UnaryOp::kPlus; break;
    case TokenType::kTilde: op = UnaryOp::kBitNot; break;
    case TokenType::kBang: op = UnaryOp::kBang; break;
    default:
      if (at(Keyword::kNot)) {
        op = options_.high_not_precedence ? UnaryOp::kBang : UnaryOp::kNot;
        if (op == UnaryOp::kNot) operand = kNotLevel;
      } else if (at(Keyword::kBinary)) {
        op = UnaryOp::kBinary;
      } else {
        return postfix(primary(), start);
      }
  }
  advance();
  Unary* node = make<Unary>(start);
  node->op = op;
  node->operand = expression(operand);
  return done(node, node->operand->depth);
}

// column->'$.path'
Expr* Parser::postfix(Expr* operand, uint32_t start) {
  while (at(TokenType::kArrow) || at(TokenType::kLongArrow)) {
    const BinaryOp op = at(TokenType::kArrow) ? BinaryOp::kJsonExtract : BinaryOp::kJsonUnquote;
    advance();
    Expr* path = primary();
    operand = binary(op, operand, path, start);
  }
  return operand;
}

Expr* Parser::primary() {
  const uint32_t start = here();
  switch (token().type) {
    case TokenType::kInteger:
    case TokenType::kDecimal:
    case TokenType::kFloat:
    case TokenType::kHex:
    case TokenType::kBit:
    case TokenType::kString:
    case TokenType::kNationalString:
    case TokenType::kIntroducer: return literal();
    case TokenType::kParameter: {
      Parameter* node = make<Parameter>(start);
      node->index = token().index;
      advance();
      return done(node, 0);
    }
    case TokenType::kBindVariable:
    case TokenType::kBindList: {
      BindVariable* node = make<BindVariable>(start);
      node->list = at(TokenType::kBindList);
      node->name = text_of(token()).substr(node->list ? 2 : 1);
      advance();
      return done(node, 0);
    }
    case TokenType::kUserVariable: return user_variable();
    case TokenType::kAtAt: return system_variable();
    case TokenType::kLeftParen: return parenthesized();
    case TokenType::kLeftBrace: return odbc_escape();
    case TokenType::kQuotedIdentifier: return column_or_function();
    case TokenType::kWord: return primary_word();
    default: fail_syntax(); return constant(LiteralKind::kNull);
  }
}

Expr* Parser::primary_word() {
  const bool call = peek_is(TokenType::kLeftParen);
  const bool string_next = peek_is(TokenType::kString);
  switch (token().keyword) {
    case Keyword::kNone: return column_or_function();
    case Keyword::kNull: return constant(LiteralKind::kNull);
    case Keyword::kTrue: return constant(LiteralKind::kTrue);
    case Keyword::kFalse: return constant(LiteralKind::kFalse);
    case Keyword::kCase: return case_expression();
    case Keyword::kConvert: return convert();
    case Keyword::kDefault: return default_value();
    case Keyword::kInterval: return interval();
    case Keyword::kMatch: return match_against();
    case Keyword::kCast:
      if (call) return cast();
      break;
    case Keyword::kExists: {
      const uint32_t start = here();
      advance();
      if (!at(TokenType::kLeftParen)) fail_syntax();
      auto* subquery = as<Subquery>(parenthesized());
      Exists* node = make<Exists>(start);
      if (subquery == nullptr) {
        fail_syntax();
        return node;
      }
      node->query = subquery->query;
      return done(node, node->query->depth);
    }
    case Keyword::kRow:
      if (call) {
        const uint32_t start = here();
        advance();
        advance();
        Row* node = make<Row>(start);
        node->keyword = true;
        uint32_t below = 0;
        node->items = expression_list(below);
        expect(TokenType::kRightParen);
        return done(node, below);
      }
      break;
    case Keyword::kValues:
    case Keyword::kValue:
      if (call) {
        const uint32_t start = here();
        advance();
        advance();
        ValuesFunction* node = make<ValuesFunction>(start);
        node->column = column();
        expect(TokenType::kRightParen);
        return done(node, node->column->depth);
      }
      break;
    case Keyword::kDate:
      if (string_next) return temporal_literal(LiteralKind::kDate);
      break;
    case Keyword::kTime:
      if (string_next) return temporal_literal(LiteralKind::kTime);
      break;
    case Keyword::kTimestamp:
      if (string_next) return temporal_literal(LiteralKind::kTimestamp);
      break;
    case Keyword::kNext:
    case Keyword::kPrevious:
      if (peek_is(Keyword::kValue) && peek_is(Keyword::kFor, 2)) return next_value_for();
      break;
    default: break;
  }
  return column_or_function();
}

Expr* Parser::constant(LiteralKind kind) {
  Literal* node = make<Literal>(here());
  node->literal = kind;
  node->text = text_of(token());
  advance();
  return done(node, 0);
}

Expr* Parser::literal() {
  const uint32_t start = here();
  std::string_view charset;
  if (at(TokenType::kIntroducer)) {
    charset = text_of(token()).substr(1);
    advance();
    if (!at(TokenType::kString) && !at(TokenType::kHex) && !at(TokenType::kBit)) fail_syntax();
  }
  Literal* node = make<Literal>(start);
  node->charset = charset;
  node->literal = literal_kind(token().type);
  node->text = text_of(token());
  node->index = token().index;
  const bool string = at(TokenType::kString) || at(TokenType::kNationalString);
  advance();
  if (string && at(TokenType::kString)) {  // Adjacent strings are one value.
    ListBuilder<std::string_view> more;
    while (at(TokenType::kString)) {
      more.push_back(text_of(token()));
      advance();
    }
    node->more = more.finish(*arena_);
  }
  return done(node, 0);
}

Expr* Parser::string_literal() {
  if (!at(TokenType::kString)) fail_syntax();
  return literal();
}

// DATE 'x': at the word.
Expr* Parser::temporal_literal(LiteralKind kind) {
  Literal* node = make<Literal>(here());
  advance();
  node->literal = kind;
  node->text = text_of(token());
  node->index = token().index;
  advance();
  return done(node, 0);
}

// {d 'x'}, {t 'x'}, {ts 'x'} are temporal literals; {fn x} and others are x.
Expr* Parser::odbc_escape() {
  const uint32_t start = here();
  expect(TokenType::kLeftBrace);
  Expr* out = nullptr;
  if (peek_is(TokenType::kString) && (at_word("d") || at_word("t") || at_word("ts"))) {
    out = temporal_literal(at_word("d")   ? LiteralKind::kDate
                           : at_word("t") ? LiteralKind::kTime
                                          : LiteralKind::kTimestamp);
  } else {
    identifier();
    out = expression();
  }
  expect(TokenType::kRightBrace);
  out->span = span_from(start);
  return out;
}

Expr* Parser::user_variable() {
  UserVariable* node = make<UserVariable>(here());
  std::string_view name = text_of(token()).substr(1);
  if (!name.empty() && name[0] == '`') {
    name = unquote(name.substr(1, name.size() - 2), '`');
  } else if (!name.empty() && (name[0] == '\'' || name[0] == '"')) {
    name = unescape(name);
  }
  node->name = name;
  advance();
  done(node, 0);
  if (!at(TokenType::kAssign)) return node;
  advance();
  return binary(BinaryOp::kAssign, node, expression(kAssignLevel), node->span.offset);
}

VariableScope Parser::scope_keyword() {
  switch (token().keyword) {
    case Keyword::kSession: return VariableScope::kSession;
    case Keyword::kGlobal: return VariableScope::kGlobal;
    case Keyword::kLocal: return VariableScope::kLocal;
    case Keyword::kPersist: return VariableScope::kPersist;
    case Keyword::kPersistOnly: return VariableScope::kPersistOnly;
    default: return VariableScope::kNone;
  }
}

Expr* Parser::system_variable() {
  SystemVariable* node = make<SystemVariable>(here());
  expect(TokenType::kAtAt);
  if (scope_keyword() != VariableScope::kNone && peek_is(TokenType::kDot)) {
    node->scope = scope_keyword();
    advance();
    advance();
    node->name = identifier_after_dot();
  } else {
    node->name = at(TokenType::kWord) ? identifier_after_dot() : identifier();
  }
  if (accept(TokenType::kDot)) {
    node->base = node->name;
    node->name = identifier_after_dot();
  }
  return done(node, 0);
}

Expr* Parser::subquery_expr(Query* query, uint32_t start) {
  Subquery* node = make<Subquery>(start);
  node->query = query;
  return done(node, query->depth);
}

// At '('. A subquery, a row, or what stands inside.
Expr* Parser::parenthesized() {
  const uint32_t start = here();
  expect(TokenType::kLeftParen);
  if (starts_query()) {
    Query* inner = query();
    expect(TokenType::kRightParen);
    return subquery_expr(inner, start);
  }
  const uint32_t inside = here();
  Expr* first = expression();
  if (auto* subquery = as<Subquery>(first); subquery != nullptr && continues_query()) {
    operand_in_parens_ = true;
    Query* whole = continue_query(subquery->query, nullptr, inside);
    expect(TokenType::kRightParen);
    return subquery_expr(whole, start);
  }
  if (!at(TokenType::kComma)) {
    expect(TokenType::kRightParen);
    return first;
  }
  ListBuilder<Expr*> items;
  items.push_back(first);
  uint32_t below = first->depth;
  while (accept(TokenType::kComma)) {
    Expr* item = expression();
    below = std::max<uint32_t>(below, item->depth);
    items.push_back(item);
  }
  expect(TokenType::kRightParen);
  Row* row = make<Row>(start);
  row->items = items.finish(*arena_);
  return done(row, below);
}

List<Expr*> Parser::expression_list(uint32_t& depth_below) {
  ListBuilder<Expr*> items;
  do {
    Expr* item = expression();
    depth_below = std::max<uint32_t>(depth_below, item->depth);
    items.push_back(item);
  } while (accept(TokenType::kComma));
  return items.finish(*arena_);
}

}  // namespace vitrail::sql
