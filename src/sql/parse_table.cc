#include <algorithm>

#include "sql/parser_impl.h"

// Table references: joins, derived tables, index hints.
namespace vitrail::sql {

List<TableRef*> Parser::table_references(uint32_t& depth_below) {
  ListBuilder<TableRef*> tables;
  do {
    TableRef* table = table_reference();
    depth_below = std::max<uint32_t>(depth_below, table->depth);
    tables.push_back(table);
  } while (accept(TokenType::kComma));
  return tables.finish(*arena_);
}

TableRef* Parser::table_reference() {
  Nested nested(*this);
  return joins(table_factor());
}

bool Parser::at_join() {
  switch (token().keyword) {
    case Keyword::kJoin:
    case Keyword::kInner:
    case Keyword::kCross:
    case Keyword::kStraightJoin:
    case Keyword::kLeft:
    case Keyword::kRight:
    case Keyword::kNatural: return true;
    default: return false;
  }
}

bool Parser::at_join_condition() {
  if (at(Keyword::kUsing)) return peek_is(TokenType::kLeftParen);
  return at(Keyword::kOn) && !(peek_is(Keyword::kDuplicate) && peek_is(Keyword::kKey, 2));
}

TableRef* Parser::joins(TableRef* left) {
  while (at_join()) {
    Join* join = one_join(left);
    left = join;
    // a JOIN b JOIN c ON x ON y: the second condition belongs to the first join, so c joins b and not a JOIN b.
    while (at_join_condition()) {
      Join* first = as<Join>(join->left);
      if (first == nullptr || first->type != JoinType::kInner || first->on != nullptr || !first->columns.empty()) {
        fail_syntax();
        break;
      }
      join->left = first->right;
      join->span.length = join->span.end() - join->left->span.offset;
      join->span.offset = join->left->span.offset;
      first->right = join;
      join_condition(first);
      done(first, std::max(first->left->depth, join->depth));
      join = first;
      left = first;
    }
  }
  return left;
}

Join* Parser::one_join(TableRef* left) {
  Join* join = make<Join>(left->span.offset);
  join->left = left;
  bool outer = false;
  const auto outer_join = [&](JoinType type) {
    advance();
    accept(Keyword::kOuter);
    expect(Keyword::kJoin);
    join->type = type;
    outer = true;
  };
  bool natural = false;
  switch (token().keyword) {
    case Keyword::kStraightJoin:
      advance();
      join->type = JoinType::kStraight;
      break;
    case Keyword::kLeft: outer_join(JoinType::kLeft); break;
    case Keyword::kRight: outer_join(JoinType::kRight); break;
    case Keyword::kNatural:
      advance();
      natural = true;
      if (at(Keyword::kLeft)) {
        outer_join(JoinType::kNaturalLeft);
      } else if (at(Keyword::kRight)) {
        outer_join(JoinType::kNaturalRight);
      } else {
        accept(Keyword::kInner);
        expect(Keyword::kJoin);
        join->type = JoinType::kNatural;
      }
      break;
    case Keyword::kInner:
    case Keyword::kCross:
      advance();
      expect(Keyword::kJoin);
      break;
    default: expect(Keyword::kJoin); break;
  }
  join->right = table_factor();
  if (!natural) {
    if (outer) {
      // a LEFT JOIN b JOIN c ON x ON y: what comes before the condition belongs to the right side.
      Nested nested(*this);
      while (at_join()) join->right = one_join(join->right);
      if (!at_join_condition()) fail_syntax();
    }
    if (at_join_condition()) join_condition(join);
  }
  const uint32_t condition = join->on != nullptr ? join->on->depth : 0u;
  return done(join, std::max<uint32_t>({join->left->depth, join->right->depth, condition}));
}

void Parser::join_condition(Join* join) {
  if (accept(Keyword::kOn)) {
    join->on = expression();
  } else {
    expect(Keyword::kUsing);
    join->columns = identifier_list_in_parens();
  }
}

TableRef* Parser::table_factor() {
  const uint32_t start = here();
  if (at(TokenType::kLeftParen)) return table_in_parens();
  if (at(Keyword::kLateral) && peek_is(TokenType::kLeftParen)) {
    advance();
    advance();
    Query* inner = query();
    expect(TokenType::kRightParen);
    return derived_table(inner, true, start);
  }
  if (at(Keyword::kJsonTable) && peek_is(TokenType::kLeftParen)) return json_table();
  if (at(TokenType::kLeftBrace) && peek_is(Keyword::kOj)) {  // {OJ a LEFT JOIN b ON ..}
    advance();
    advance();
    TableRef* inner = table_reference();
    expect(TokenType::kRightBrace);
    return inner;
  }
  return table_source();
}

// A derived table, a comma list, or just a table reference in parentheses.
TableRef* Parser::table_in_parens() {
  Nested nested(*this);
  const uint32_t start = here();
  expect(TokenType::kLeftParen);
  if (starts_query()) {
    Query* inner = query();
    expect(TokenType::kRightParen);
    return derived_table(inner, false, start);
  }
  const uint32_t inside = here();
  TableRef* first = table_reference();
  if (auto* derived = as<DerivedTable>(first);
      derived != nullptr && derived->alias.empty() && !derived->lateral && !at(TokenType::kComma)) {
    // ((SELECT ..) UNION ..) or ((SELECT ..)): one query in more parentheses than needed.
    operand_in_parens_ = true;
    Query* inner = continues_query() ? continue_query(derived->query, nullptr, inside) : derived->query;
    expect(TokenType::kRightParen);
    return derived_table(inner, false, start);
  }
  if (!at(TokenType::kComma)) {
    expect(TokenType::kRightParen);
    return first;
  }
  ListBuilder<TableRef*> items;
  items.push_back(first);
  uint32_t below = first->depth;
  while (accept(TokenType::kComma)) {
    TableRef* item = table_reference();
    below = std::max<uint32_t>(below, item->depth);
    items.push_back(item);
  }
  expect(TokenType::kRightParen);
  TableList* list = make<TableList>(start);
  list->items = items.finish(*arena_);
  return done(list, below);
}

TableRef* Parser::derived_table(Query* query, bool lateral, uint32_t start) {
  DerivedTable* node = make<DerivedTable>(start);
  node->query = query;
  node->lateral = lateral;
  node->alias = accept(Keyword::kAs) ? identifier_or_string() : bare_alias(false);
  if (!node->alias.empty() && at(TokenType::kLeftParen)) node->columns = identifier_list_in_parens();
  return done(node, query->depth);
}

TableRef* Parser::table_source() {
  TableSource* node = make<TableSource>(here());
  if (at(Keyword::kDual)) {
    node->name.name = identifier_from(token());
    node->name.span = node->name.name.span;
    advance();
    return done(node, 0);
  }
  node->name = table_name();
  if (at(Keyword::kPartition) && peek_is(TokenType::kLeftParen)) {
    advance();
    node->partitions = identifier_list_in_parens();
  }
  uint32_t below = 0;
  if (at(Keyword::kFor) && peek_is(Keyword::kSystemTime)) {
    const uint32_t start = here();
    advance();
    advance();
    const auto point = [&] {
      if ((at(Keyword::kTransaction) || at(Keyword::kTimestamp)) && !peek_is(TokenType::kLeftParen) &&
          !peek_is(TokenType::kString)) {
        advance();
      }
      below = std::max<uint32_t>(below, expression(kBitOrLevel)->depth);
    };
    if (accept(Keyword::kAs)) {
      expect(Keyword::kOf);
      point();
    } else if (accept(Keyword::kBetween)) {
      point();
      expect(Keyword::kAnd);
      point();
    } else if (accept(Keyword::kFrom)) {
      point();
      expect(Keyword::kTo);
      point();
    } else {
      expect(Keyword::kAll);
    }
    node->system_time = text_from(start);
  }
  node->alias = accept(Keyword::kAs) ? identifier_or_string() : bare_alias(false);
  if (node->partitions.empty() && at(Keyword::kPartition) && peek_is(TokenType::kLeftParen)) {
    advance();  // DELETE FROM t AS a PARTITION (p)
    node->partitions = identifier_list_in_parens();
  }
  node->hints = index_hints();
  return done(node, below);
}

List<IndexHint> Parser::index_hints() {
  ListBuilder<IndexHint, 2> hints;
  while (at_any({Keyword::kUse, Keyword::kIgnore, Keyword::kForce}) &&
         (peek_is(Keyword::kIndex) || peek_is(Keyword::kKey) || peek_is(Keyword::kVindex))) {
    hints.push_back(index_hint());
  }
  return hints.finish(*arena_);
}

IndexHint Parser::index_hint() {
  IndexHint hint;
  const uint32_t start = here();
  hint.kind = at(Keyword::kUse)      ? IndexHintKind::kUse
              : at(Keyword::kIgnore) ? IndexHintKind::kIgnore
                                     : IndexHintKind::kForce;
  advance();
  hint.vindex = at(Keyword::kVindex);
  advance();
  if (accept(Keyword::kFor)) {
    if (accept(Keyword::kJoin)) {
      hint.scope = IndexHintScope::kJoin;
    } else {
      hint.scope = at(Keyword::kOrder) ? IndexHintScope::kOrderBy : IndexHintScope::kGroupBy;
      if (!accept(Keyword::kOrder)) expect(Keyword::kGroup);
      expect(Keyword::kBy);
    }
  }
  expect(TokenType::kLeftParen);
  ListBuilder<Identifier> names;
  while (!at(TokenType::kRightParen) && !at(TokenType::kEnd)) {
    names.push_back(at(Keyword::kPrimary) ? identifier_after_dot() : identifier());
    if (!accept(TokenType::kComma)) break;
  }
  expect(TokenType::kRightParen);
  hint.names = names.finish(*arena_);
  hint.span = span_from(start);
  return hint;
}

// JSON_TABLE(document, path COLUMNS (..)) [AS] alias
TableRef* Parser::json_table() {
  JsonTable* node = make<JsonTable>(here());
  advance();
  expect(TokenType::kLeftParen);
  node->document = expression();
  expect(TokenType::kComma);
  node->path = expression();
  if (!at(Keyword::kColumns)) fail_syntax();
  node->columns = raw_until_right_paren();
  expect(TokenType::kRightParen);
  node->alias = accept(Keyword::kAs) ? identifier() : bare_alias(false);
  return done(node, std::max(node->document->depth, node->path->depth));
}

}  // namespace vitrail::sql
