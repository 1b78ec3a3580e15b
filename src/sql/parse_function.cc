#include <algorithm>

#include "sql/parser_impl.h"

// Expressions with a syntax of their own: CASE, CAST, INTERVAL, functions and windows.
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
    case Keyword::kCharacter:
      type.name = "char";
      advance();
      break;
    case Keyword::kInteger:
    case Keyword::kInt:
      type.name = "signed";
      advance();
      break;
    case Keyword::kDec:
      type.name = "decimal";
      advance();
      break;
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
  if (at(TokenType::kDot)) fail_syntax();
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
