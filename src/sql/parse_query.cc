#include <algorithm>
#include <utility>

#include "sql/parser_impl.h"

// Query expressions: SELECT, set operations, WITH and their tails.
namespace vitrail::sql {
namespace {

// Whether the query carries something that a further clause behind its closing parenthesis must not be mixed with.
bool has_tail(const Query* query) {
  return query->with != nullptr || !query->order_by.empty() || query->limit != nullptr || !query->locks.empty() ||
         query->into != nullptr;
}

int precedence_of(SetOperator op) { return op == SetOperator::kIntersect ? 2 : 1; }

}  // namespace

// Whether a query expression starts at the token `ahead` (0: the current one). A parenthesis does not count.
bool Parser::starts_query(size_t ahead) {
  const Keyword keyword = peek(ahead).keyword;
  switch (keyword) {
    case Keyword::kSelect:
    case Keyword::kWith:
    case Keyword::kTable: return true;
    case Keyword::kValues: {
      if (peek_is(Keyword::kRow, ahead + 1)) return true;
      if (!peek_is(TokenType::kLeftParen, ahead + 1)) return false;
      // VALUES (1, 2) is a query, VALUES(column) is a function.
      if (!is_identifier(peek(ahead + 2))) return true;
      const TokenType behind = peek(ahead + 3).type;
      return behind != TokenType::kRightParen && behind != TokenType::kDot;
    }
    default: return false;
  }
}

// Whether the current token may continue a query that stands in parentheses before it.
bool Parser::continues_query() const {
  return at_any({Keyword::kUnion, Keyword::kExcept, Keyword::kIntersect, Keyword::kOrder, Keyword::kLimit,
                 Keyword::kFor, Keyword::kLock, Keyword::kInto, Keyword::kFetch});
}

Query* Parser::query() {
  Nested nested(*this);
  const uint32_t start = here();
  With* with = nullptr;
  uint32_t below = 0;
  if (at(Keyword::kWith)) with = with_clause(below);
  Query* out = continue_query(query_operand(), with, start);
  out->depth = depth(std::max<uint32_t>(out->depth, below + 1));
  return out;
}

// The rest of a query expression whose first operand is read.
Query* Parser::continue_query(Query* left, With* with, uint32_t start) {
  if (at_any({Keyword::kUnion, Keyword::kExcept, Keyword::kIntersect})) left = grouped(left, start);
  Query* out = set_operations(left, 1, start);
  out = query_tail(out, start);
  if (with != nullptr) {
    if (out->with != nullptr) out = parenthesize(out, start);
    out->with = with;
    out->span = span_from(start);
  }
  return out;
}

Query* Parser::query_operand() {
  Query* out = nullptr;
  const bool in_parens = at(TokenType::kLeftParen);
  if (in_parens) {
    advance();
    out = query();
    expect(TokenType::kRightParen);
  } else if (at(Keyword::kSelect)) {
    out = select_body();
  } else if (at(Keyword::kValues)) {
    out = values_query();
  } else if (at(Keyword::kTable)) {
    out = table_query();
  } else {
    fail_syntax();
    out = make<Select>(here());
  }
  operand_in_parens_ = in_parens;
  return out;
}

// A set operation in parentheses stays in them as part of another one, needed or not: to MariaDB it is a table then,
// whose types are found by itself, and which may have a LIMIT inside of IN.
Query* Parser::grouped(Query* operand, uint32_t start) {
  const bool in_parens = std::exchange(operand_in_parens_, false);
  if (!in_parens || operand->kind != QueryKind::kSetOperation || has_tail(operand)) return operand;
  return parenthesize(operand, start);
}

Query* Parser::set_operations(Query* left, int min_precedence, uint32_t start) {
  while (at_any({Keyword::kUnion, Keyword::kExcept, Keyword::kIntersect})) {
    const SetOperator op = at(Keyword::kUnion)    ? SetOperator::kUnion
                           : at(Keyword::kExcept) ? SetOperator::kExcept
                                                  : SetOperator::kIntersect;
    if (precedence_of(op) < min_precedence) return left;
    advance();
    SetOperation* node = make<SetOperation>(start);
    node->op = op;
    node->all = accept(Keyword::kAll);
    if (!node->all) node->distinct = accept(Keyword::kDistinct);
    const uint32_t right_start = here();
    node->left = left;
    Query* right = query_operand();
    node->right = set_operations(grouped(right, right_start), precedence_of(op) + 1, right_start);
    left = done(node, std::max(left->depth, node->right->depth));
  }
  return left;
}

Query* Parser::parenthesize(Query* inner, uint32_t start) {
  ParenthesizedQuery* node = make<ParenthesizedQuery>(start);
  node->inner = inner;
  return done(node, inner->depth);
}

// ORDER BY, LIMIT, INTO and locking clauses behind the body.
Query* Parser::query_tail(Query* query, uint32_t start) {
  if (!at_any({Keyword::kOrder, Keyword::kLimit, Keyword::kFor, Keyword::kLock, Keyword::kInto, Keyword::kFetch,
               Keyword::kOffset})) {
    return query;
  }
  // A body that was read without its own parentheses has no tail yet, except for an INTO before FROM.
  const bool only_into = query->into != nullptr && query->with == nullptr && query->order_by.empty() &&
                         query->limit == nullptr && query->locks.empty() && query->kind == QueryKind::kSelect;
  if (has_tail(query) && !only_into) query = parenthesize(query, start);
  uint32_t below = 0;
  if (accept(Keyword::kOrder)) {
    expect(Keyword::kBy);
    query->order_by = order_items(below);
  }
  if (at(Keyword::kLimit)) {
    query->limit = limit_clause(below);
  } else if (at(Keyword::kFetch) || at(Keyword::kOffset)) {
    query->limit = fetch_clause(below);
  }
  ListBuilder<LockClause, 1> locks;
  while (true) {
    if (at(Keyword::kInto) && query->into == nullptr) {
      query->into = into_clause();
    } else if (at(Keyword::kLock) || (at(Keyword::kFor) && (peek_is(Keyword::kUpdate) || peek_is(Keyword::kShare)))) {
      locks.push_back(lock_clause());
    } else {
      break;
    }
  }
  query->locks = locks.finish(*arena_);
  query->span.offset = start;
  return done(query, std::max<uint32_t>(query->depth - 1u, below));
}

// ---- SELECT ---------------------------------------------------------------------------------------------------------

Query* Parser::select_body() {
  Select* select = make<Select>(here());
  expect(Keyword::kSelect);
  select->hints = take_hints();
  uint32_t below = 0;
  select_options(select);
  if (!next_values(select, below)) select_items(select, below);
  if (at(Keyword::kInto)) select->into = into_clause();
  if (accept(Keyword::kFrom)) select->from = table_references(below);
  const auto track = [&](Expr* expr) {
    below = std::max<uint32_t>(below, expr->depth);
    return expr;
  };
  if (accept(Keyword::kWhere)) select->where = track(expression());
  if (accept(Keyword::kGroup)) {
    expect(Keyword::kBy);
    select->group_by = order_items(below);
    if (accept(Keyword::kWith)) {
      expect(Keyword::kRollup);
      select->rollup = true;
    }
  }
  if (accept(Keyword::kHaving)) select->having = track(expression());
  if (accept(Keyword::kWindow)) {
    ListBuilder<NamedWindow> windows;
    do {
      NamedWindow window;
      window.name = identifier();
      expect(Keyword::kAs);
      window.window = window_in_parens(below);
      windows.push_back(window);
    } while (accept(TokenType::kComma));
    select->windows = windows.finish(*arena_);
  }
  return done(select, below);
}

void Parser::select_options(Select* select) {
  while (true) {
    bool* option = nullptr;
    bool free_word = false;
    switch (token().keyword) {
      case Keyword::kAll: advance(); continue;
      case Keyword::kDistinct:
      case Keyword::kDistinctrow: option = &select->distinct; break;
      case Keyword::kHighPriority: option = &select->high_priority; break;
      case Keyword::kStraightJoin: option = &select->straight_join; break;
      case Keyword::kSqlSmallResult: option = &select->small_result; break;
      case Keyword::kSqlBigResult: option = &select->big_result; break;
      case Keyword::kSqlCalcFoundRows: option = &select->calc_found_rows; break;
      case Keyword::kSqlBufferResult:
        option = &select->buffer_result;
        free_word = true;
        break;
      case Keyword::kSqlCache:
        option = &select->cache;
        free_word = true;
        break;
      case Keyword::kSqlNoCache:
        option = &select->no_cache;
        free_word = true;
        break;
      default: return;
    }
    if (free_word) {  // A column may have this name.
      switch (peek().type) {
        case TokenType::kWord:
          if (peek_is(Keyword::kFrom) || peek_is(Keyword::kAs) || peek_is(Keyword::kInto)) return;
          break;
        case TokenType::kInteger:
        case TokenType::kDecimal:
        case TokenType::kFloat:
        case TokenType::kHex:
        case TokenType::kBit:
        case TokenType::kString:
        case TokenType::kNationalString:
        case TokenType::kIntroducer:
        case TokenType::kQuotedIdentifier:
        case TokenType::kUserVariable:
        case TokenType::kAtAt:
        case TokenType::kParameter:
        case TokenType::kBindVariable:
        case TokenType::kStar: break;
        default: return;
      }
    }
    *option = true;
    advance();
  }
}

// NEXT VALUE FROM, NEXT n VALUES FROM.
bool Parser::next_values(Select* select, uint32_t& depth_below) {
  if (!at(Keyword::kNext)) return false;
  if (peek_is(Keyword::kValue) && peek_is(Keyword::kFrom, 2)) {
    Literal* one = make<Literal>(here());
    one->literal = LiteralKind::kInteger;
    one->text = "1";
    advance();
    advance();
    one->depth = 1;
    depth_below = std::max<uint32_t>(depth_below, 1);
    select->next_values = one;
    return true;
  }
  const TokenType second = peek().type;
  if ((second == TokenType::kInteger || second == TokenType::kParameter || second == TokenType::kBindVariable) &&
      peek_is(Keyword::kValues, 2)) {
    advance();
    select->next_values = primary();
    depth_below = std::max<uint32_t>(depth_below, 1);
    expect(Keyword::kValues);
    return true;
  }
  return false;
}

void Parser::select_items(Select* select, uint32_t& depth_below) {
  select->items = select_item_list(depth_below, true);
}

List<SelectItem> Parser::select_item_list(uint32_t& depth_below, bool star) {
  ListBuilder<SelectItem> items;
  do {
    // A bare * may only come first.
    const SelectItem item = select_item(star && items.size() == 0);
    depth_below = std::max<uint32_t>(depth_below, item.expr->depth);
    items.push_back(item);
  } while (accept(TokenType::kComma));
  return items.finish(*arena_);
}

SelectItem Parser::select_item(bool star_allowed) {
  SelectItem item;
  const uint32_t start = here();
  if (star_allowed && at(TokenType::kStar)) {
    Star* star = make<Star>(start);
    advance();
    item.expr = done(star, 0);
    item.span = item.expr_span = item.expr->span;
    return item;
  }
  // t.* and s.t.*
  if (at_identifier() && peek_is(TokenType::kDot)) {
    const bool one = peek_is(TokenType::kStar, 2);
    const bool two = !one && peek_is(TokenType::kDot, 3) && peek_is(TokenType::kStar, 4);
    if (one || two) {
      Star* star = make<Star>(start);
      star->table = identifier();
      advance();
      if (two) {
        star->schema = star->table;
        star->table = identifier_after_dot();
        advance();
      }
      advance();
      item.expr = done(star, 0);
      item.span = item.expr_span = item.expr->span;
      return item;
    }
  }
  item.expr = expression();
  item.expr_span = span_from(start);
  if (accept(Keyword::kAs)) {
    item.alias = identifier_or_string();
  } else {
    item.alias = bare_alias(true);
  }
  item.span = span_from(start);
  return item;
}

// An alias without AS, where there is one.
Identifier Parser::bare_alias(bool strings) {
  if (strings && at(TokenType::kString)) return identifier_or_string();
  if (!at_identifier()) return {};
  switch (token().keyword) {
    case Keyword::kReturning: return {};
    case Keyword::kOffset: {  // OFFSET n ROWS
      const TokenType second = peek().type;
      if (second == TokenType::kInteger || second == TokenType::kParameter) return {};
      break;
    }
    default: break;
  }
  return identifier();
}

Query* Parser::values_query() {
  ValuesQuery* node = make<ValuesQuery>(here());
  expect(Keyword::kValues);
  node->row_keyword = at(Keyword::kRow);
  ListBuilder<List<Expr*>> rows;
  uint32_t below = 0;
  do {
    if (node->row_keyword) expect(Keyword::kRow);
    expect(TokenType::kLeftParen);
    rows.push_back(at(TokenType::kRightParen) ? List<Expr*>() : expression_list(below));
    expect(TokenType::kRightParen);
  } while (accept(TokenType::kComma));
  node->rows = rows.finish(*arena_);
  return done(node, below);
}

Query* Parser::table_query() {
  TableQuery* node = make<TableQuery>(here());
  expect(Keyword::kTable);
  node->name = table_name();
  return done(node, 0);
}

With* Parser::with_clause(uint32_t& depth_below) {
  With* with = arena_->make<With>();
  const uint32_t start = here();
  expect(Keyword::kWith);
  with->recursive = accept(Keyword::kRecursive);
  ListBuilder<CommonTable, 2> tables;
  do {
    CommonTable table;
    table.name = identifier();
    if (at(TokenType::kLeftParen)) table.columns = identifier_list_in_parens();
    expect(Keyword::kAs);
    expect(TokenType::kLeftParen);
    table.query = query();
    expect(TokenType::kRightParen);
    depth_below = std::max<uint32_t>(depth_below, table.query->depth);
    tables.push_back(table);
  } while (accept(TokenType::kComma));
  with->tables = tables.finish(*arena_);
  with->span = span_from(start);
  return with;
}

// ---- Tails ----------------------------------------------------------------------------------------------------------

// LIMIT count | LIMIT offset, count | LIMIT count OFFSET offset, with ROWS EXAMINED n.
Limit* Parser::limit_clause(uint32_t& depth_below) {
  Limit* limit = arena_->make<Limit>();
  const uint32_t start = here();
  const auto number = [&] {
    Expr* expr = expression(kAddLevel);
    depth_below = std::max<uint32_t>(depth_below, expr->depth);
    return expr;
  };
  expect(Keyword::kLimit);
  if (!at(Keyword::kRows)) {
    limit->count = number();
    if (accept(TokenType::kComma)) {
      limit->offset = limit->count;
      limit->count = number();
    } else if (accept(Keyword::kOffset)) {
      limit->offset = number();
    }
  }
  if (accept(Keyword::kRows)) {
    expect(Keyword::kExamined);
    limit->rows_examined = number();
  } else if (limit->count == nullptr) {
    fail_syntax();
  }
  limit->span = span_from(start);
  return limit;
}

// [OFFSET n {ROW | ROWS}] [FETCH {FIRST | NEXT} [n] {ROW | ROWS} {ONLY | WITH TIES}]
Limit* Parser::fetch_clause(uint32_t& depth_below) {
  Limit* limit = arena_->make<Limit>();
  const uint32_t start = here();
  const auto rows = [&] {
    if (!accept(Keyword::kRow)) expect(Keyword::kRows);
  };
  const auto number = [&] {
    Expr* expr = expression(kAddLevel);
    depth_below = std::max<uint32_t>(depth_below, expr->depth);
    return expr;
  };
  if (accept(Keyword::kOffset)) {
    limit->offset = number();
    rows();
  }
  if (accept(Keyword::kFetch)) {
    if (!accept(Keyword::kFirst)) expect(Keyword::kNext);
    if (at(Keyword::kRow) || at(Keyword::kRows)) {
      Literal* one = make<Literal>(here());
      one->literal = LiteralKind::kInteger;
      one->text = "1";
      limit->count = one;
      depth_below = std::max<uint32_t>(depth_below, 1);
    } else {
      limit->count = number();
    }
    rows();
    if (accept(Keyword::kWith)) {
      expect(Keyword::kTies);
      limit->with_ties = true;
    } else {
      expect(Keyword::kOnly);
    }
  }
  limit->span = span_from(start);
  return limit;
}

LockClause Parser::lock_clause() {
  LockClause lock;
  const uint32_t start = here();
  if (accept(Keyword::kLock)) {
    expect(Keyword::kIn);
    expect(Keyword::kShare);
    expect(Keyword::kMode);
    lock.strength = LockStrength::kLockInShareMode;
  } else {
    expect(Keyword::kFor);
    if (accept(Keyword::kUpdate)) {
      lock.strength = LockStrength::kForUpdate;
    } else {
      expect(Keyword::kShare);
      lock.strength = LockStrength::kForShare;
    }
    if (accept(Keyword::kOf)) lock.of = table_names();
  }
  if (accept(Keyword::kNowait)) {
    lock.wait = LockWait::kNowait;
  } else if (accept(Keyword::kSkip)) {
    expect(Keyword::kLocked);
    lock.wait = LockWait::kSkipLocked;
  } else if (accept(Keyword::kWait)) {
    lock.wait = LockWait::kSeconds;
    lock.seconds = primary();
  }
  lock.span = span_from(start);
  return lock;
}

// INTO @a, b | INTO OUTFILE 'f' options | INTO DUMPFILE 'f'
Into* Parser::into_clause() {
  Into* into = arena_->make<Into>();
  const uint32_t start = here();
  expect(Keyword::kInto);
  if (at(Keyword::kOutfile) || at(Keyword::kDumpfile)) {
    into->kind = at(Keyword::kOutfile) ? IntoKind::kOutfile : IntoKind::kDumpfile;
    advance();
    if (into->kind == IntoKind::kOutfile && accept(Keyword::kS3)) into->kind = IntoKind::kOutfileS3;
    into->file = string_literal();
    const uint32_t options = here();
    // The options end where the statement goes on: FROM (INTO may come before it), a locking clause, ')' or the end.
    while (!at(TokenType::kEnd) && !at(TokenType::kSemicolon) && !at(TokenType::kRightParen) &&
           !at_any({Keyword::kFrom, Keyword::kFor, Keyword::kLock, Keyword::kUnion, Keyword::kExcept,
                    Keyword::kIntersect})) {
      if (at(TokenType::kLeftParen)) fail_syntax();
      advance();
    }
    if (prev_end_ > options) into->options = text_from(options);
  } else {
    ListBuilder<Expr*> variables;
    do {
      if (at(TokenType::kUserVariable)) {
        variables.push_back(user_variable());
      } else {
        variables.push_back(column());
      }
    } while (accept(TokenType::kComma));
    into->variables = variables.finish(*arena_);
  }
  into->span = span_from(start);
  return into;
}

}  // namespace vitrail::sql
