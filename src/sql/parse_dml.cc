#include <algorithm>

#include "sql/parser_impl.h"

// Dispatch by first word; INSERT, REPLACE, UPDATE, DELETE; and the transaction statements.
namespace vitrail::sql {

Statement* Parser::statement() {
  Nested nested(*this);
  if (at(TokenType::kLeftParen) || starts_query()) {
    if (at(Keyword::kWith)) return with_statement();
    QueryStatement* out = make_statement<QueryStatement>(StatementKind::kSelect, here());
    out->query = query();
    return finish_statement(out);
  }
  switch (token().keyword) {
    case Keyword::kInsert:
    case Keyword::kReplace: return insert_statement(nullptr, here());
    case Keyword::kUpdate: return update_statement(nullptr, here());
    case Keyword::kDelete: return delete_statement(nullptr, here());
    case Keyword::kSet: return set_statement();
    case Keyword::kShow: return show_statement();
    case Keyword::kUse: return use_statement();
    case Keyword::kBegin: return begin_statement();
    case Keyword::kStart: return start_statement();
    case Keyword::kCommit:
    case Keyword::kRollback: return commit_or_rollback();
    case Keyword::kSavepoint: return savepoint_statement();
    case Keyword::kRelease: return release_statement();
    case Keyword::kCreate: return create_statement();
    case Keyword::kAlter: return alter_statement();
    case Keyword::kDrop: return drop_statement();
    case Keyword::kTruncate: return truncate_statement();
    case Keyword::kRename: return rename_statement();
    case Keyword::kLock:
      return peek_is(Keyword::kTable) || peek_is(Keyword::kTables) ? lock_tables()
                                                                   : text_statement(StatementKind::kOther);
    case Keyword::kUnlock:
      return peek_is(Keyword::kTable) || peek_is(Keyword::kTables) ? unlock_tables()
                                                                   : text_statement(StatementKind::kOther);
    case Keyword::kAnalyze:
      return classify(Keyword::kAnalyze, peek().keyword, Keyword::kNone) == StatementKind::kTableAdmin
                 ? table_admin()
                 : explain_statement();
    case Keyword::kExplain:
    case Keyword::kDescribe:
    case Keyword::kDesc: return explain_statement();
    case Keyword::kVexplain: return vexplain_statement();
    case Keyword::kKill: return kill_statement();
    case Keyword::kCall: return call_statement();
    case Keyword::kPrepare: return prepare_statement();
    case Keyword::kExecute: return execute_statement();
    case Keyword::kDeallocate: return deallocate_statement();
    case Keyword::kFlush: return flush_statement();
    case Keyword::kOptimize:
    case Keyword::kCheck:
    case Keyword::kRepair:
    case Keyword::kChecksum: return table_admin();
    case Keyword::kLoad:
      return peek_is(Keyword::kData) || peek_is(Keyword::kXml) ? load_statement()
                                                               : text_statement(StatementKind::kOther);
    case Keyword::kDo: return do_statement();
    case Keyword::kStream:
    case Keyword::kVstream: return stream_statement();
    case Keyword::kRevert: return text_statement(StatementKind::kVitessMigration);
    default: break;
  }
  if (classify(token().keyword, peek().keyword, Keyword::kNone) == StatementKind::kOther) {
    return text_statement(StatementKind::kOther);
  }
  fail_syntax();
  return make_statement<EmptyStatement>(StatementKind::kEmpty, here());
}

Statement* Parser::with_statement() {
  const uint32_t start = here();
  uint32_t below = 0;
  With* with = with_clause(below);
  switch (token().keyword) {
    case Keyword::kInsert:
    case Keyword::kReplace: return insert_statement(with, start);
    case Keyword::kUpdate: return update_statement(with, start);
    case Keyword::kDelete: return delete_statement(with, start);
    default: break;
  }
  QueryStatement* out = make_statement<QueryStatement>(StatementKind::kSelect, start);
  out->query = continue_query(query_operand(), with, start);
  out->query->depth = depth(std::max<uint32_t>(out->query->depth, below + 1));
  return finish_statement(out);
}

// ---- INSERT, REPLACE ------------------------------------------------------------------------------------------------

Statement* Parser::insert_statement(With* with, uint32_t start) {
  const bool replace = at(Keyword::kReplace);
  Insert* insert = make_statement<Insert>(replace ? StatementKind::kReplace : StatementKind::kInsert, start);
  insert->replace = replace;
  insert->with = with;
  advance();
  insert->hints = take_hints();
  if (accept(Keyword::kLowPriority)) {
    insert->priority = Priority::kLow;
  } else if (accept(Keyword::kDelayed)) {
    insert->priority = Priority::kDelayed;
  } else if (accept(Keyword::kHighPriority)) {
    insert->priority = Priority::kHigh;
  }
  insert->ignore = accept(Keyword::kIgnore);
  accept(Keyword::kInto);
  insert->table = table_name();
  if (at(Keyword::kPartition) && peek_is(TokenType::kLeftParen)) {
    advance();
    insert->partitions = identifier_list_in_parens();
  }
  uint32_t below = 0;
  insert_source(insert, below);
  if (accept(Keyword::kAs)) {
    insert->row_alias = identifier();
    if (at(TokenType::kLeftParen)) insert->row_alias_columns = identifier_list_in_parens();
  }
  if (accept(Keyword::kOn)) {
    expect(Keyword::kDuplicate);
    expect(Keyword::kKey);
    expect(Keyword::kUpdate);
    insert->on_duplicate = assignments(below);
  }
  insert->returning = returning_clause(below);
  depth(below + 1);
  return finish_statement(insert);
}

void Parser::insert_source(Insert* insert, uint32_t& depth_below) {
  if (accept(Keyword::kSet)) {
    insert->set = assignments(depth_below);
    return;
  }
  const bool nested_query = at(TokenType::kLeftParen) && (starts_query(1) || peek_is(TokenType::kLeftParen));
  if (at(TokenType::kLeftParen) && !nested_query) {
    advance();
    insert->has_columns = true;
    ListBuilder<Column*, 8> columns;
    if (!at(TokenType::kRightParen)) {
      do {
        columns.push_back(column());
      } while (accept(TokenType::kComma));
    }
    expect(TokenType::kRightParen);
    insert->columns = columns.finish(*arena_);
  }
  if ((at(Keyword::kValues) || at(Keyword::kValue)) && !peek_is(Keyword::kRow)) {
    insert_rows(insert, depth_below);
    return;
  }
  insert->query = query();
  depth_below = std::max<uint32_t>(depth_below, insert->query->depth);
}

void Parser::insert_rows(Insert* insert, uint32_t& depth_below) {
  advance();  // VALUES, VALUE
  ListBuilder<List<Expr*>> rows;
  ListBuilder<Span> spans;
  const uint32_t first = here();
  do {
    const uint32_t start = here();
    expect(TokenType::kLeftParen);
    rows.push_back(at(TokenType::kRightParen) ? List<Expr*>() : expression_list(depth_below));
    expect(TokenType::kRightParen);
    spans.push_back(span_from(start));
  } while (accept(TokenType::kComma));
  insert->rows = rows.finish(*arena_);
  insert->row_spans = spans.finish(*arena_);
  insert->rows_span = span_from(first);
}

List<Assignment> Parser::assignments(uint32_t& depth_below) {
  ListBuilder<Assignment> items;
  do {
    Assignment item;
    const uint32_t start = here();
    item.column = column();
    if (!accept(TokenType::kAssign)) expect(TokenType::kEqual);
    item.value = expression();
    item.span = span_from(start);
    depth_below = std::max<uint32_t>(depth_below, item.value->depth);
    items.push_back(item);
  } while (accept(TokenType::kComma));
  return items.finish(*arena_);
}

List<SelectItem> Parser::returning_clause(uint32_t& depth_below) {
  if (!accept(Keyword::kReturning)) return {};
  return select_item_list(depth_below, true);
}

// ---- UPDATE, DELETE -------------------------------------------------------------------------------------------------

Statement* Parser::update_statement(With* with, uint32_t start) {
  Update* update = make_statement<Update>(StatementKind::kUpdate, start);
  update->with = with;
  expect(Keyword::kUpdate);
  update->hints = take_hints();
  update->low_priority = accept(Keyword::kLowPriority);
  update->ignore = accept(Keyword::kIgnore);
  uint32_t below = 0;
  update->tables = table_references(below);
  expect(Keyword::kSet);
  update->set = assignments(below);
  if (accept(Keyword::kWhere)) {
    update->where = expression();
    below = std::max<uint32_t>(below, update->where->depth);
  }
  if (accept(Keyword::kOrder)) {
    expect(Keyword::kBy);
    update->order_by = order_items(below);
  }
  if (at(Keyword::kLimit)) update->limit = limit_clause(below);
  update->returning = returning_clause(below);
  depth(below + 1);
  return finish_statement(update);
}

Statement* Parser::delete_statement(With* with, uint32_t start) {
  Delete* out = make_statement<Delete>(StatementKind::kDelete, start);
  out->with = with;
  expect(Keyword::kDelete);
  out->hints = take_hints();
  out->low_priority = accept(Keyword::kLowPriority);
  if (at(Keyword::kQuick) && !peek_is(TokenType::kComma) && !peek_is(TokenType::kDot))
    out->quick = accept(Keyword::kQuick);
  out->ignore = accept(Keyword::kIgnore);
  uint32_t below = 0;
  const auto target = [&] {  // name, name.*, db.name, db.name.*
    TableName name;
    const uint32_t name_start = here();
    name.name = identifier();
    if (at(TokenType::kDot) && !peek_is(TokenType::kStar)) {
      advance();
      name.qualifier = name.name;
      name.name = identifier_after_dot();
    }
    name.span = span_from(name_start);
    if (accept(TokenType::kDot)) expect(TokenType::kStar);
    return name;
  };
  const auto targets = [&] {
    ListBuilder<TableName> names;
    do {
      names.push_back(target());
    } while (accept(TokenType::kComma));
    return names.finish(*arena_);
  };
  if (accept(Keyword::kFrom)) {
    // A list, a ".*" or USING behind the first name tell the multi-table form.
    const bool dot = peek_is(TokenType::kDot);
    const size_t behind = dot ? 3 : 1;
    const bool star = dot && (peek_is(TokenType::kStar, 2) || peek_is(TokenType::kDot, 3));
    if (star || peek_is(TokenType::kComma, behind) || peek_is(Keyword::kUsing, behind)) {
      out->using_form = true;
      out->targets = targets();
      expect(Keyword::kUsing);
      out->from = table_references(below);
    } else {
      TableRef* table = table_source();
      below = std::max<uint32_t>(below, table->depth);
      out->from = arena_->list<TableRef*>({table});
    }
  } else {
    out->targets = targets();
    expect(Keyword::kFrom);
    out->from = table_references(below);
  }
  if (accept(Keyword::kWhere)) {
    out->where = expression();
    below = std::max<uint32_t>(below, out->where->depth);
  }
  if (accept(Keyword::kOrder)) {
    expect(Keyword::kBy);
    out->order_by = order_items(below);
  }
  if (at(Keyword::kLimit)) out->limit = limit_clause(below);
  out->returning = returning_clause(below);
  depth(below + 1);
  return finish_statement(out);
}

// ---- Transactions ---------------------------------------------------------------------------------------------------

Statement* Parser::begin_statement() {
  if (peek_is(Keyword::kNot)) return text_statement(StatementKind::kOther);  // BEGIN NOT ATOMIC .. END
  Transaction* out = make_statement<Transaction>(StatementKind::kBegin, here());
  advance();
  accept(Keyword::kWork);
  return finish_statement(out);
}

Statement* Parser::start_statement() {
  if (!peek_is(Keyword::kTransaction)) return text_statement(StatementKind::kOther);
  Transaction* out = make_statement<Transaction>(StatementKind::kBegin, here());
  advance();
  advance();
  if (at(Keyword::kWith) || at(Keyword::kRead)) {
    do {
      if (out->access == AccessMode::kNone && accept(Keyword::kRead)) {
        if (accept(Keyword::kOnly)) {
          out->access = AccessMode::kReadOnly;
        } else {
          expect(Keyword::kWrite);
          out->access = AccessMode::kReadWrite;
        }
      } else {
        expect(Keyword::kWith);
        expect(Keyword::kConsistent);
        expect(Keyword::kSnapshot);
        out->consistent_snapshot = true;
      }
    } while (accept(TokenType::kComma));
  }
  return finish_statement(out);
}

// [AND [NO] CHAIN] [[NO] RELEASE], but not both.
void Parser::completion(Transaction* transaction) {
  if (accept(Keyword::kAnd)) {
    transaction->chain = accept(Keyword::kNo) ? Toggle::kOff : Toggle::kOn;
    expect(Keyword::kChain);
  }
  if (at(Keyword::kNo) || (at(Keyword::kRelease) && transaction->chain != Toggle::kOn)) {
    transaction->release = accept(Keyword::kNo) ? Toggle::kOff : Toggle::kOn;
    expect(Keyword::kRelease);
  }
}

Statement* Parser::commit_or_rollback() {
  const bool commit = at(Keyword::kCommit);
  Transaction* out = make_statement<Transaction>(commit ? StatementKind::kCommit : StatementKind::kRollback, here());
  advance();
  accept(Keyword::kWork);
  if (!commit && accept(Keyword::kTo)) {
    out->kind = StatementKind::kRollbackTo;
    if (at(Keyword::kSavepoint) && is_identifier(peek())) advance();
    out->savepoint = identifier();
  } else {
    completion(out);
  }
  return finish_statement(out);
}

Statement* Parser::savepoint_statement() {
  Transaction* out = make_statement<Transaction>(StatementKind::kSavepoint, here());
  advance();
  out->savepoint = identifier();
  return finish_statement(out);
}

Statement* Parser::release_statement() {
  Transaction* out = make_statement<Transaction>(StatementKind::kRelease, here());
  advance();
  expect(Keyword::kSavepoint);
  out->savepoint = identifier();
  return finish_statement(out);
}

}  // namespace vitrail::sql
