#include <algorithm>

#include "sql/parser_impl.h"

// Expressions: precedence climbing over the operators, recursive descent below them.
// Grammar: MySQL 8.4 manual, "Expressions" and "Operator Precedence". Where the grammar proper is stricter than the
// table of precedences (a LIKE b = c), the table is followed.
namespace vitrail::sql {

bool is_interval_unit(Keyword keyword) {
  switch (keyword) {
    case Keyword::kMicrosecond:
    case Keyword::kSecond:
    case Keyword::kMinute:
    case Keyword::kHour:
    case Keyword::kDay:
    case Keyword::kWeek:
    case Keyword::kMonth:
    case Keyword::kQuarter:
    case Keyword::kYear:
    case Keyword::kSecondMicrosecond:
    case Keyword::kMinuteMicrosecond:
    case Keyword::kMinuteSecond:
    case Keyword::kHourMicrosecond:
    case Keyword::kHourSecond:
    case Keyword::kHourMinute:
    case Keyword::kDayMicrosecond:
    case Keyword::kDaySecond:
    case Keyword::kDayMinute:
    case Keyword::kDayHour:
    case Keyword::kYearMonth:
    case Keyword::kSqlTsiDay:
    case Keyword::kSqlTsiHour:
    case Keyword::kSqlTsiMinute:
    case Keyword::kSqlTsiMonth:
    case Keyword::kSqlTsiQuarter:
    case Keyword::kSqlTsiSecond:
    case Keyword::kSqlTsiWeek:
    case Keyword::kSqlTsiYear: return true;
    default: return false;
  }
}

bool is_bare_function(Keyword keyword) {
  switch (keyword) {
    case Keyword::kCurrentDate:
    case Keyword::kCurrentTime:
    case Keyword::kCurrentTimestamp:
    case Keyword::kCurrentUser:
    case Keyword::kLocaltime:
    case Keyword::kLocaltimestamp:
    case Keyword::kUtcDate:
    case Keyword::kUtcTime:
    case Keyword::kUtcTimestamp: return true;
    default: return false;
  }
}

bool is_function_keyword(Keyword keyword) {
  switch (keyword) {
    case Keyword::kChar:
    case Keyword::kDatabase:
    case Keyword::kIf:
    case Keyword::kInsert:
    case Keyword::kInterval:
    case Keyword::kLeft:
    case Keyword::kMod:
    case Keyword::kRepeat:
    case Keyword::kReplace:
    case Keyword::kRight:
    case Keyword::kSchema: return true;
    default: return is_bare_function(keyword);
  }
}

bool is_special_function(Keyword keyword) {
  switch (keyword) {
    case Keyword::kCast:
    case Keyword::kExtract:
    case Keyword::kGetFormat:
    case Keyword::kInterval:
    case Keyword::kMid:
    case Keyword::kPosition:
    case Keyword::kRow:
    case Keyword::kSubstr:
    case Keyword::kSubstring:
    case Keyword::kTimestampadd:
    case Keyword::kTimestampdiff:
    case Keyword::kTrim:
    case Keyword::kValue:
    case Keyword::kChar:
    case Keyword::kJsonValue:
    case Keyword::kWeightString: return true;
    default: return false;
  }
}

bool is_aggregate(const FunctionCall& call) {
  if (call.over != nullptr || !call.schema.empty()) return false;
  switch (find_keyword(call.name.text)) {
    case Keyword::kAvg:
    case Keyword::kBitAnd:
    case Keyword::kBitOr:
    case Keyword::kBitXor:
    case Keyword::kCount:
    case Keyword::kGroupConcat:
    case Keyword::kJsonArrayagg:
    case Keyword::kJsonObjectagg:
    case Keyword::kMax:
    case Keyword::kMin:
    case Keyword::kStd:
    case Keyword::kStddev:
    case Keyword::kStddevPop:
    case Keyword::kStddevSamp:
    case Keyword::kSum:
    case Keyword::kVarPop:
    case Keyword::kVarSamp:
    case Keyword::kVariance: return true;
    default: return false;
  }
}

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

// ---- Special forms --------------------------------------------------------------------------------------------------

Expr* Parser::case_expression() {
  Case* node = make<Case>(here());
  expect(Keyword::kCase);
  uint32_t below = 0;
  const auto track = [&](Expr* expr) {
    below = std::max<uint32_t>(below, expr->depth);
    return expr;
  };
  if (!at(Keyword::kWhen)) node->operand = track(expression());
  ListBuilder<When> whens;
  do {
    expect(Keyword::kWhen);
    When when;
    when.condition = track(expression());
    expect(Keyword::kThen);
    when.result = track(expression());
    whens.push_back(when);
  } while (at(Keyword::kWhen));
  node->whens = whens.finish(*arena_);
  if (accept(Keyword::kElse)) node->otherwise = track(expression());
  expect(Keyword::kEnd);
  return done(node, below);
}

Expr* Parser::cast() {
  Cast* node = make<Cast>(here());
  expect(Keyword::kCast);
  expect(TokenType::kLeftParen);
  node->operand = expression();
  uint32_t below = node->operand->depth;
  if (at(Keyword::kAt)) {
    advance();
    expect(Keyword::kTime);
    expect(Keyword::kZone);
    accept(Keyword::kInterval);
    node->time_zone = string_literal();
    below = std::max<uint32_t>(below, node->time_zone->depth);
  }
  expect(Keyword::kAs);
  node->type = cast_type();
  expect(TokenType::kRightParen);
  return done(node, below);
}

Expr* Parser::convert() {
  const uint32_t start = here();
  expect(Keyword::kConvert);
  expect(TokenType::kLeftParen);
  Expr* operand = expression();
  if (accept(Keyword::kUsing)) {
    ConvertUsing* node = make<ConvertUsing>(start);
    node->operand = operand;
    node->charset = word_or_string();
    expect(TokenType::kRightParen);
    return done(node, operand->depth);
  }
  Cast* node = make<Cast>(start);
  node->convert = true;
  node->operand = operand;
  expect(TokenType::kComma);
  node->type = cast_type();
  expect(TokenType::kRightParen);
  return done(node, operand->depth);
}

CastType Parser::cast_type() {
  CastType type;
  if (!at(TokenType::kWord)) {
    fail_syntax();
    return type;
  }
  switch (token().keyword) {
    case Keyword::kNational:  // NATIONAL CHAR
      advance();
      expect(Keyword::kChar);
      type.name = "nchar";
      break;
    case Keyword::kCharacter: type.name = "char"; advance(); break;
    case Keyword::kInteger:
    case Keyword::kInt: type.name = "signed"; advance(); break;
    case Keyword::kDec: type.name = "decimal"; advance(); break;
    case Keyword::kSigned:
    case Keyword::kUnsigned:
      type.name = lower_copy(text_of(token()));
      advance();
      if (!accept(Keyword::kInteger)) accept(Keyword::kInt);
      break;
    case Keyword::kDouble:
      type.name = "double";
      advance();
      accept(Keyword::kPrecision);
      break;
    default: {
      type.name = lower_copy(text_of(token()));
      if (needs_quotes(type.name) && word_class(token().keyword) != WordClass::kReserved) fail_syntax();
      advance();
      break;
    }
  }
  if (accept(TokenType::kLeftParen)) {
    if (!at(TokenType::kInteger)) fail_syntax();
    type.length = text_of(token());
    advance();
    if (accept(TokenType::kComma)) {
      if (!at(TokenType::kInteger)) fail_syntax();
      type.scale = text_of(token());
      advance();
    }
    expect(TokenType::kRightParen);
  }
  if (type.name == "char" || type.name == "nchar") {
    for (bool more = true; more;) {
      if (at(Keyword::kBinary)) {
        type.attribute = "binary";
        advance();
      } else if (at_any({Keyword::kAscii, Keyword::kUnicode, Keyword::kByte})) {
        type.attribute = lower_copy(text_of(token()));
        advance();
      } else if (at(Keyword::kCharset) || at(Keyword::kCharacter)) {
        if (!accept(Keyword::kCharset)) {
          advance();
          expect(Keyword::kSet);
        }
        type.charset = word_or_string();
      } else {
        more = false;
      }
    }
  }
  type.array = accept(Keyword::kArray);
  return type;
}

// INTERVAL value unit, or the function INTERVAL(a, b, ..).
Expr* Parser::interval() {
  const uint32_t start = here();
  Identifier name = identifier_from(token());
  expect(Keyword::kInterval);
  Expr* value = nullptr;
  if (const uint32_t inside = here(); at(TokenType::kLeftParen)) {
    Expr* first = parenthesized();
    if (auto* row = as<Row>(first); row != nullptr && !row->keyword) {
      FunctionCall* call = make<FunctionCall>(start);
      call->name = name;
      call->args = row->items;
      return done(call, row->depth);
    }
    value = infix(postfix(first, inside), kLowest, inside);
  } else {
    value = expression();
  }
  Interval* node = make<Interval>(start);
  node->value = value;
  if (!is_interval_unit(token().keyword)) fail_syntax();
  node->unit = lower_copy(text_of(token()));
  advance();
  return done(node, value->depth);
}

Expr* Parser::match_against() {
  Match* node = make<Match>(here());
  expect(Keyword::kMatch);
  const bool parens = accept(TokenType::kLeftParen);
  ListBuilder<Expr*> columns;
  do {
    columns.push_back(column());
  } while (accept(TokenType::kComma));
  if (parens) expect(TokenType::kRightParen);
  node->columns = columns.finish(*arena_);
  expect(Keyword::kAgainst);
  expect(TokenType::kLeftParen);
  node->against = expression(kBitOrLevel);
  if (accept(Keyword::kIn)) {
    if (accept(Keyword::kBoolean)) {
      expect(Keyword::kMode);
      node->mode = MatchMode::kBoolean;
    } else {
      expect(Keyword::kNatural);
      expect(Keyword::kLanguage);
      expect(Keyword::kMode);
      node->mode = MatchMode::kNaturalLanguage;
    }
  }
  if (node->mode != MatchMode::kBoolean && accept(Keyword::kWith)) {
    expect(Keyword::kQuery);
    expect(Keyword::kExpansion);
    node->mode =
        node->mode == MatchMode::kNaturalLanguage ? MatchMode::kNaturalLanguageExpansion : MatchMode::kExpansion;
  }
  expect(TokenType::kRightParen);
  return done(node, std::max<uint32_t>(node->against->depth, 1));
}

Expr* Parser::default_value() {
  DefaultValue* node = make<DefaultValue>(here());
  expect(Keyword::kDefault);
  uint32_t below = 0;
  if (accept(TokenType::kLeftParen)) {
    node->column = column();
    below = node->column->depth;
    expect(TokenType::kRightParen);
  }
  return done(node, below);
}

Expr* Parser::next_value_for() {
  NextValue* node = make<NextValue>(here());
  node->previous = at(Keyword::kPrevious);
  advance();
  expect(Keyword::kValue);
  expect(Keyword::kFor);
  node->sequence = table_name();
  return done(node, 0);
}

Expr* Parser::keyword_expr() {
  KeywordExpr* node = make<KeywordExpr>(here());
  node->word = lower_copy(text_of(token()));
  advance();
  return done(node, 0);
}

// ---- Columns and functions ------------------------------------------------------------------------------------------

Column* Parser::column() {
  Column* node = make<Column>(here());
  node->name = identifier();
  if (at(TokenType::kDot)) {
    advance();
    node->table = node->name;
    node->name = identifier_after_dot();
    if (at(TokenType::kDot)) {
      advance();
      node->schema = node->table;
      node->table = node->name;
      node->name = identifier_after_dot();
    }
  }
  return done(node, 0);
}

Expr* Parser::column_or_function() {
  const uint32_t start = here();
  const Token first = token();
  if (peek_is(TokenType::kLeftParen) && (at_identifier() || is_function_keyword(first.keyword))) {
    const Identifier name = identifier_from(first);
    advance();
    return function_call({}, name, start, first.keyword);
  }
  if (is_bare_function(first.keyword)) {
    FunctionCall* call = make<FunctionCall>(start);
    call->syntax = FunctionSyntax::kNoParens;
    call->name = identifier_from(first);
    advance();
    return done(call, 0);
  }
  Column* node = column();
  if (at(TokenType::kLeftParen) && !node->table.empty() && node->schema.empty()) {
    return function_call(node->table, node->name, start, Keyword::kNone);
  }
  return node;
}

// At '('.
Expr* Parser::function_call(Identifier schema, Identifier name, uint32_t start, Keyword keyword) {
  FunctionCall* call = make<FunctionCall>(start);
  call->schema = schema;
  call->name = name;
  uint32_t below = 0;
  expect(TokenType::kLeftParen);
  switch (keyword) {
    case Keyword::kTrim: trim_arguments(call, below); break;
    case Keyword::kSubstring:
    case Keyword::kSubstr:
    case Keyword::kMid: substring_arguments(call, below); break;
    case Keyword::kPosition: position_arguments(call, below); break;
    case Keyword::kExtract: extract_arguments(call, below); break;
    case Keyword::kTimestampadd:
    case Keyword::kTimestampdiff:
    case Keyword::kGetFormat: unit_arguments(call, below); break;
    default: plain_arguments(call, below); break;
  }
  if (!at(TokenType::kRightParen) &&
      (keyword == Keyword::kChar || keyword == Keyword::kJsonValue || keyword == Keyword::kWeightString)) {
    call->tail = raw_until_right_paren();
  }
  expect(TokenType::kRightParen);
  function_tail(call, below);
  return done(call, below);
}

void Parser::plain_arguments(FunctionCall* call, uint32_t& depth_below) {
  if (at(TokenType::kRightParen)) return;
  if (accept(Keyword::kDistinct) || accept(Keyword::kDistinctrow)) {
    call->distinct = true;
  } else {
    accept(Keyword::kAll);
  }
  if (at(TokenType::kStar)) {
    Star* star = make<Star>(here());
    advance();
    call->args = arena_->list<Expr*>({done(star, 0)});
    depth_below = std::max<uint32_t>(depth_below, 1);
  } else {
    call->args = expression_list(depth_below);
  }
  if (accept(Keyword::kOrder)) {
    expect(Keyword::kBy);
    call->order_by = order_items(depth_below);
  }
  if (at(Keyword::kLimit)) call->limit = limit_clause(depth_below);
  if (accept(Keyword::kSeparator)) {
    call->separator = string_literal();
    depth_below = std::max<uint32_t>(depth_below, 1);
  }
}

// TRIM(x), TRIM([BOTH | LEADING | TRAILING] [x] FROM y)
void Parser::trim_arguments(FunctionCall* call, uint32_t& depth_below) {
  if (at_any({Keyword::kBoth, Keyword::kLeading, Keyword::kTrailing})) {
    call->syntax = FunctionSyntax::kTrim;
    call->word = lower_copy(text_of(token()));
    advance();
  }
  ListBuilder<Expr*> args;
  const auto add = [&] {
    Expr* arg = expression();
    depth_below = std::max<uint32_t>(depth_below, arg->depth);
    args.push_back(arg);
  };
  if (!at(Keyword::kFrom)) add();
  if (call->syntax == FunctionSyntax::kTrim || at(Keyword::kFrom)) {
    call->syntax = FunctionSyntax::kTrim;
    expect(Keyword::kFrom);
    add();
  } else {
    while (accept(TokenType::kComma)) add();  // MariaDB in Oracle mode; harmless.
  }
  call->args = args.finish(*arena_);
}

void Parser::substring_arguments(FunctionCall* call, uint32_t& depth_below) {
  ListBuilder<Expr*> args;
  const auto add = [&] {
    Expr* arg = expression();
    depth_below = std::max<uint32_t>(depth_below, arg->depth);
    args.push_back(arg);
  };
  add();
  if (accept(Keyword::kFrom)) {
    add();
    if (accept(Keyword::kFor)) add();
  } else {
    while (accept(TokenType::kComma)) add();
  }
  call->args = args.finish(*arena_);
}

void Parser::position_arguments(FunctionCall* call, uint32_t& depth_below) {
  call->syntax = FunctionSyntax::kPosition;
  Expr* needle = expression(kBitOrLevel);
  expect(Keyword::kIn);
  Expr* haystack = expression();
  depth_below = std::max<uint32_t>({depth_below, needle->depth, haystack->depth});
  call->args = arena_->list<Expr*>({needle, haystack});
}

void Parser::extract_arguments(FunctionCall* call, uint32_t& depth_below) {
  call->syntax = FunctionSyntax::kExtract;
  if (!is_interval_unit(token().keyword)) fail_syntax();
  call->word = lower_copy(text_of(token()));
  advance();
  expect(Keyword::kFrom);
  call->args = expression_list(depth_below);
}

// TIMESTAMPADD(unit, ..), TIMESTAMPDIFF(unit, ..), GET_FORMAT(DATE, ..)
void Parser::unit_arguments(FunctionCall* call, uint32_t& depth_below) {
  ListBuilder<Expr*> args;
  if (!is_interval_unit(token().keyword) &&
      !at_any({Keyword::kDate, Keyword::kTime, Keyword::kDatetime, Keyword::kTimestamp})) {
    fail_syntax();
  }
  args.push_back(keyword_expr());
  depth_below = std::max<uint32_t>(depth_below, 1);
  while (accept(TokenType::kComma)) {
    Expr* arg = expression();
    depth_below = std::max<uint32_t>(depth_below, arg->depth);
    args.push_back(arg);
  }
  call->args = args.finish(*arena_);
}

// What may follow the parentheses: WITHIN GROUP, FROM FIRST / LAST, IGNORE / RESPECT NULLS, OVER.
void Parser::function_tail(FunctionCall* call, uint32_t& depth_below) {
  if (at(Keyword::kWithin) && peek_is(Keyword::kGroup)) {
    advance();
    advance();
    call->word = "within group";
    expect(TokenType::kLeftParen);
    expect(Keyword::kOrder);
    expect(Keyword::kBy);
    call->order_by = order_items(depth_below);
    expect(TokenType::kRightParen);
  }
  if (at(Keyword::kFrom) && (peek_is(Keyword::kFirst) || peek_is(Keyword::kLast)) &&
      (peek_is(Keyword::kOver, 2) || peek_is(Keyword::kIgnore, 2) || peek_is(Keyword::kRespect, 2))) {
    call->from_last = peek_is(Keyword::kLast);
    advance();
    advance();
  }
  if ((at(Keyword::kIgnore) || at(Keyword::kRespect)) && peek_is(Keyword::kNulls)) {
    call->ignore_nulls = at(Keyword::kIgnore);
    call->respect_nulls = !call->ignore_nulls;
    advance();
    advance();
  }
  if (at(Keyword::kOver)) {
    advance();
    call->over = over_clause(depth_below);
  }
}

// The text up to the ')' that closes the current list, which is left.
std::string_view Parser::raw_until_right_paren() {
  const uint32_t start = here();
  uint32_t open = 0;
  while (!at(TokenType::kEnd) && !at(TokenType::kSemicolon)) {
    if (at(TokenType::kRightParen)) {
      if (open == 0) break;
      --open;
    }
    if (at(TokenType::kLeftParen)) ++open;
    advance();
  }
  return prev_end_ > start ? text_from(start) : std::string_view();
}

// ---- Windows --------------------------------------------------------------------------------------------------------

WindowSpec* Parser::over_clause(uint32_t& depth_below) {
  if (at(TokenType::kLeftParen)) return window_in_parens(depth_below);
  WindowSpec* window = arena_->make<WindowSpec>();
  window->name_only = true;
  window->name = identifier();
  return window;
}

WindowSpec* Parser::window_in_parens(uint32_t& depth_below) {
  WindowSpec* window = arena_->make<WindowSpec>();
  expect(TokenType::kLeftParen);
  const bool frame_word =
      at_any({Keyword::kRows, Keyword::kRange, Keyword::kGroups}) && !peek_is(TokenType::kRightParen);
  if (at_identifier() && !frame_word) window->name = identifier();
  if (accept(Keyword::kPartition)) {
    expect(Keyword::kBy);
    window->partition_by = expression_list(depth_below);
  }
  if (accept(Keyword::kOrder)) {
    expect(Keyword::kBy);
    window->order_by = order_items(depth_below);
  }
  if (at_any({Keyword::kRows, Keyword::kRange, Keyword::kGroups})) {
    window->unit = at(Keyword::kRows) ? FrameUnit::kRows : at(Keyword::kRange) ? FrameUnit::kRange : FrameUnit::kGroups;
    advance();
    window->between = accept(Keyword::kBetween);
    window->start = frame_bound(depth_below);
    if (window->between) {
      expect(Keyword::kAnd);
      window->end = frame_bound(depth_below);
    }
    if (accept(Keyword::kExclude)) {
      if (accept(Keyword::kCurrent)) {
        expect(Keyword::kRow);
        window->exclude = "current row";
      } else if (accept(Keyword::kGroup)) {
        window->exclude = "group";
      } else if (accept(Keyword::kTies)) {
        window->exclude = "ties";
      } else {
        expect(Keyword::kNo);
        expect(Keyword::kOthers);
        window->exclude = "no others";
      }
    }
  }
  expect(TokenType::kRightParen);
  return window;
}

FrameBound Parser::frame_bound(uint32_t& depth_below) {
  FrameBound bound;
  if (accept(Keyword::kCurrent)) {
    expect(Keyword::kRow);
    return bound;
  }
  const bool unbounded = accept(Keyword::kUnbounded);
  if (!unbounded) {
    bound.value = expression(kBitOrLevel);
    depth_below = std::max<uint32_t>(depth_below, bound.value->depth);
  }
  if (accept(Keyword::kPreceding)) {
    bound.kind = unbounded ? FrameBoundKind::kUnboundedPreceding : FrameBoundKind::kPreceding;
  } else {
    expect(Keyword::kFollowing);
    bound.kind = unbounded ? FrameBoundKind::kUnboundedFollowing : FrameBoundKind::kFollowing;
  }
  return bound;
}

List<OrderItem> Parser::order_items(uint32_t& depth_below) {
  ListBuilder<OrderItem> items;
  do {
    OrderItem item;
    item.expr = expression();
    depth_below = std::max<uint32_t>(depth_below, item.expr->depth);
    if (accept(Keyword::kAsc)) {
      item.direction = Direction::kAsc;
    } else if (accept(Keyword::kDesc)) {
      item.direction = Direction::kDesc;
    }
    items.push_back(item);
  } while (accept(TokenType::kComma));
  return items.finish(*arena_);
}

}  // namespace vitrail::sql
