#include <algorithm>
#include <string>

#include "sql/parser_impl.h"

// SET, SHOW, USE, LOCK, EXPLAIN, KILL, CALL, PREPARE and the other statements around the data.
namespace vitrail::sql {

// ---- SET ------------------------------------------------------------------------------------------------------------

Statement* Parser::set_statement() {
  SetStatement* out = make_statement<SetStatement>(StatementKind::kSet, here());
  expect(Keyword::kSet);
  bool statement_form = false;
  if (at(Keyword::kStatement) && is_identifier(peek())) {  // SET STATEMENT a = 1 FOR ..
    advance();
    statement_form = true;
  }
  ListBuilder<SetItem, 2> items;
  do {
    items.push_back(set_item());
  } while (accept(TokenType::kComma));
  out->items = items.finish(*arena_);
  if (statement_form) {
    expect(Keyword::kFor);
    out->statement = statement();
  }
  return finish_statement(out);
}

SetItem Parser::set_item() {
  SetItem item;
  const uint32_t start = here();
  const auto text_item = [&] {  // The rest is kept as text.
    item.kind = SetItemKind::kText;
    item.text = rest_as_text();
    if (item.text.empty()) fail_syntax();
  };
  if (at(TokenType::kUserVariable)) {
    item.kind = SetItemKind::kUserVariable;
    item.name.span = {token().offset, token().length};
    Expr* variable = user_variable();  // Reads @a := value as one expression.
    if (auto* assign = as<Binary>(variable); assign != nullptr) {
      item.name.text = static_cast<UserVariable*>(assign->left)->name;
      item.value = assign->right;
    } else {
      item.name.text = static_cast<UserVariable*>(variable)->name;
      expect(TokenType::kEqual);
      item.value = expression();
    }
    item.span = span_from(start);
    return item;
  }
  if (at(TokenType::kAtAt)) {
    item.at_form = true;
    auto* variable = static_cast<SystemVariable*>(system_variable());
    item.scope = variable->scope;
    item.base = variable->base;
    item.name = variable->name;
    set_value(item);
    item.span = span_from(start);
    return item;
  }
  const bool assigned = peek_is(TokenType::kEqual) || peek_is(TokenType::kAssign) || peek_is(TokenType::kDot);
  if (!assigned) {
    switch (token().keyword) {
      case Keyword::kNames:
      case Keyword::kCharset:
      case Keyword::kCharacter: {
        const bool names = at(Keyword::kNames);
        item.kind = names ? SetItemKind::kNames : SetItemKind::kCharset;
        if (at(Keyword::kCharacter)) {
          advance();
          expect(Keyword::kSet);
        } else {
          advance();
        }
        item.name = word_or_string();
        if (names && accept(Keyword::kCollate)) item.collation = word_or_string();
        item.span = span_from(start);
        return item;
      }
      case Keyword::kPassword:
      case Keyword::kRole:
      case Keyword::kDefault:
      case Keyword::kResource:
        text_item();
        item.span = span_from(start);
        return item;
      default: break;
    }
    item.scope = scope_keyword();
    if (item.scope != VariableScope::kNone) advance();
    if (at(Keyword::kTransaction) && !peek_is(TokenType::kEqual) && !peek_is(TokenType::kAssign)) {
      set_transaction(item);
      item.span = span_from(start);
      return item;
    }
    if (item.scope != VariableScope::kNone && at(TokenType::kAtAt)) fail_syntax();
  }
  item.name = identifier();
  if (accept(TokenType::kDot)) {
    item.base = item.name;
    item.name = identifier_after_dot();
  }
  set_value(item);
  item.span = span_from(start);
  return item;
}

void Parser::set_value(SetItem& item) {
  if (!accept(TokenType::kAssign)) expect(TokenType::kEqual);
  const bool lone = peek_is(TokenType::kEnd) || peek_is(TokenType::kComma) || peek_is(TokenType::kSemicolon) ||
                    peek_is(Keyword::kFor);
  if (lone && at_any({Keyword::kOn, Keyword::kAll, Keyword::kBinary, Keyword::kRow, Keyword::kSystem})) {
    item.value = keyword_expr();
  } else {
    item.value = expression();
  }
}

void Parser::set_transaction(SetItem& item) {
  item.kind = SetItemKind::kTransaction;
  expect(Keyword::kTransaction);
  do {
    if (accept(Keyword::kIsolation)) {
      expect(Keyword::kLevel);
      if (accept(Keyword::kRepeatable)) {
        expect(Keyword::kRead);
        item.isolation = IsolationLevel::kRepeatableRead;
      } else if (accept(Keyword::kSerializable)) {
        item.isolation = IsolationLevel::kSerializable;
      } else {
        expect(Keyword::kRead);
        if (accept(Keyword::kCommitted)) {
          item.isolation = IsolationLevel::kReadCommitted;
        } else {
          expect(Keyword::kUncommitted);
          item.isolation = IsolationLevel::kReadUncommitted;
        }
      }
    } else {
      expect(Keyword::kRead);
      if (accept(Keyword::kOnly)) {
        item.access = AccessMode::kReadOnly;
      } else {
        expect(Keyword::kWrite);
        item.access = AccessMode::kReadWrite;
      }
    }
  } while (accept(TokenType::kComma));
}

// ---- SHOW, USE ------------------------------------------------------------------------------------------------------

Statement* Parser::show_statement() {
  Show* show = make_statement<Show>(StatementKind::kShow, here());
  expect(Keyword::kShow);
  if (at(TokenType::kEnd) || at(TokenType::kSemicolon)) fail_syntax();
  show_subject(show);
  show_tail(show);
  return finish_statement(show);
}

// The words that say what to show.
void Parser::show_subject(Show* show) {
  std::string subject;
  const auto take = [&] {
    if (!subject.empty()) subject += ' ';
    subject += lower_copy(text_of(token()));
    advance();
  };
  const auto take_if = [&](Keyword keyword) {
    if (!at(keyword)) return false;
    take();
    return true;
  };
  const auto finish = [&](ShowKind kind) {
    show->show = kind;
    show->subject = arena_->copy_text(subject);
  };
  const auto finish_pair = [&](Keyword second, ShowKind kind) {
    if (take_if(second)) return finish(kind);
    return finish(ShowKind::kOther);
  };
  for (bool modifier = true; modifier;) {
    switch (token().keyword) {
      case Keyword::kFull: show->full = true; break;
      case Keyword::kExtended: show->extended = true; break;
      case Keyword::kGlobal:
      case Keyword::kSession:
      case Keyword::kLocal: show->scope = scope_keyword(); break;
      default: modifier = false; continue;
    }
    take();
  }
  if (at(Keyword::kCount) && peek_is(TokenType::kLeftParen)) {
    advance();
    expect(TokenType::kLeftParen);
    expect(TokenType::kStar);
    expect(TokenType::kRightParen);
    subject = "count(*)";
    show->has_count = true;
  }
  if (!at(TokenType::kWord)) {
    fail_syntax();
    return;
  }
  const Keyword first = token().keyword;
  if (first == Keyword::kCreate) return show_create(show);
  if (word_class(first) == WordClass::kReserved &&
      (first == Keyword::kFrom || first == Keyword::kIn || first == Keyword::kLike || first == Keyword::kWhere)) {
    fail_syntax();
    return;
  }
  take();
  switch (first) {
    case Keyword::kDatabases:
    case Keyword::kSchemas: return finish(ShowKind::kDatabases);
    case Keyword::kTables: return finish(ShowKind::kTables);
    case Keyword::kTable: return finish_pair(Keyword::kStatus, ShowKind::kTableStatus);
    case Keyword::kOpen: return finish_pair(Keyword::kTables, ShowKind::kOpenTables);
    case Keyword::kColumns:
    case Keyword::kFields: return finish(ShowKind::kColumns);
    case Keyword::kIndex:
    case Keyword::kIndexes:
    case Keyword::kKeys: return finish(ShowKind::kIndex);
    case Keyword::kTriggers: return finish(ShowKind::kTriggers);
    case Keyword::kEvents: return finish(ShowKind::kEvents);
    case Keyword::kVariables: return finish(ShowKind::kVariables);
    case Keyword::kStatus: return finish(ShowKind::kStatus);
    case Keyword::kProcesslist: return finish(ShowKind::kProcessList);
    case Keyword::kEngines: return finish(ShowKind::kEngines);
    case Keyword::kStorage: return finish_pair(Keyword::kEngines, ShowKind::kEngines);
    case Keyword::kEngine: show->argument = identifier_or_string(); return finish(ShowKind::kEngine);
    case Keyword::kPlugins: return finish(ShowKind::kPlugins);
    case Keyword::kPrivileges: return finish(ShowKind::kPrivileges);
    case Keyword::kGrants: return finish(ShowKind::kGrants);
    case Keyword::kCharset: return finish(ShowKind::kCharset);
    case Keyword::kCharacter: return finish_pair(Keyword::kSet, ShowKind::kCharset);
    case Keyword::kCollation: return finish(ShowKind::kCollation);
    case Keyword::kWarnings: return finish(ShowKind::kWarnings);
    case Keyword::kErrors: return finish(ShowKind::kErrors);
    case Keyword::kProfiles: return finish(ShowKind::kProfiles);
    case Keyword::kProcedure: return finish_pair(Keyword::kStatus, ShowKind::kProcedureStatus);
    case Keyword::kFunction: return finish_pair(Keyword::kStatus, ShowKind::kFunctionStatus);
    case Keyword::kBinary:
      if (take_if(Keyword::kLog)) return finish_pair(Keyword::kStatus, ShowKind::kMasterStatus);
      return finish_pair(Keyword::kLogs, ShowKind::kBinaryLogs);
    case Keyword::kMaster:
      if (take_if(Keyword::kLogs)) return finish(ShowKind::kBinaryLogs);
      return finish_pair(Keyword::kStatus, ShowKind::kMasterStatus);
    case Keyword::kAll:
      if (take_if(Keyword::kSlaves) || take_if(Keyword::kReplicas)) {
        return finish_pair(Keyword::kStatus, ShowKind::kReplicaStatus);
      }
      return finish(ShowKind::kOther);
    case Keyword::kReplica:
    case Keyword::kSlave: return finish_pair(Keyword::kStatus, ShowKind::kReplicaStatus);
    case Keyword::kGtidExecuted: return finish(ShowKind::kGtidExecuted);
    case Keyword::kVgtidExecuted: return finish(ShowKind::kVgtidExecuted);
    case Keyword::kUnresolved: return finish_pair(Keyword::kTransactions, ShowKind::kUnresolvedTransactions);
    case Keyword::kKeyspaces:
    case Keyword::kVitessKeyspaces: return finish(ShowKind::kKeyspaces);
    case Keyword::kVitessShards: return finish(ShowKind::kVitessShards);
    case Keyword::kVitessTablets: return finish(ShowKind::kVitessTablets);
    case Keyword::kVitessTarget: return finish(ShowKind::kVitessTarget);
    case Keyword::kVitessMetadata: return finish_pair(Keyword::kVariables, ShowKind::kVitessMetadata);
    case Keyword::kVitessMigrations: return finish(ShowKind::kVitessMigrations);
    case Keyword::kVitessMigration: return finish(ShowKind::kVitessMigrationLogs);
    case Keyword::kVitessReplicationStatus: return finish(ShowKind::kVitessReplicationStatus);
    case Keyword::kVitessThrottledApps: return finish(ShowKind::kVitessThrottledApps);
    case Keyword::kVitessThrottler: return finish_pair(Keyword::kStatus, ShowKind::kVitessThrottlerStatus);
    case Keyword::kVschema:
      if (take_if(Keyword::kTables)) return finish(ShowKind::kVschemaTables);
      if (take_if(Keyword::kKeyspaces)) return finish(ShowKind::kVschemaKeyspaces);
      return finish_pair(Keyword::kVindexes, ShowKind::kVschemaVindexes);
    default: return finish(ShowKind::kOther);
  }
}

// CREATE object [IF NOT EXISTS] name
void Parser::show_create(Show* show) {
  expect(Keyword::kCreate);
  const std::string_view object = lower_copy(text_of(token()));
  switch (token().keyword) {
    case Keyword::kTable: show->show = ShowKind::kCreateTable; break;
    case Keyword::kView: show->show = ShowKind::kCreateView; break;
    case Keyword::kDatabase:
    case Keyword::kSchema: show->show = ShowKind::kCreateDatabase; break;
    case Keyword::kProcedure: show->show = ShowKind::kCreateProcedure; break;
    case Keyword::kFunction: show->show = ShowKind::kCreateFunction; break;
    case Keyword::kTrigger: show->show = ShowKind::kCreateTrigger; break;
    case Keyword::kEvent: show->show = ShowKind::kCreateEvent; break;
    default: show->show = ShowKind::kCreateOther; break;
  }
  if (!at(TokenType::kWord)) fail_syntax();
  advance();
  std::string subject = "create ";
  subject += object;
  if (at(Keyword::kIf) && peek_is(Keyword::kNot) && peek_is(Keyword::kExists, 2)) {
    advance();
    advance();
    advance();
    subject += " if not exists";
  }
  show->subject = arena_->copy_text(subject);
  if (show->show != ShowKind::kCreateOther) {
    show->table = table_name();
  } else if (at_identifier()) {
    show->table = table_name();
  }
}

void Parser::show_tail(Show* show) {
  const bool of_table = show->show == ShowKind::kColumns || show->show == ShowKind::kIndex;
  if (show->show != ShowKind::kOther) {
    if (of_table) {
      if (!accept(Keyword::kFrom)) expect(Keyword::kIn);
      show->table = table_name();
    }
    if (show->show == ShowKind::kVschemaVindexes && (accept(Keyword::kOn) || accept(Keyword::kFrom))) {
      show->table = table_name();
    }
    if (show->show == ShowKind::kUnresolvedTransactions && accept(Keyword::kFor)) {
      show->database = identifier_or_string();
    }
    if (show->show != ShowKind::kVschemaVindexes && (accept(Keyword::kFrom) || accept(Keyword::kIn)))
      show->database = identifier_or_string();
    if (accept(Keyword::kLike)) {
      show->like = string_literal();
    } else if (accept(Keyword::kWhere)) {
      show->where = expression();
    }
    uint32_t below = 0;
    if (at(Keyword::kLimit)) show->limit = limit_clause(below);
  }
  show->text = rest_as_text();
}

namespace {

// @name, and not @'name', @"name", @`name` or @ alone.
bool is_plain_variable(std::string_view text) {
  return text.size() > 1 && text[1] != '\'' && text[1] != '"' && text[1] != '`';
}

}  // namespace

Statement* Parser::use_statement() {
  Use* use = make_statement<Use>(StatementKind::kUse, here());
  expect(Keyword::kUse);
  if (at(TokenType::kEnd) || at(TokenType::kSemicolon)) {  // USE alone: back to no target (Vitess).
    return finish_statement(use);
  }
  if (at(TokenType::kQuotedIdentifier) && token().length == 2) {  // USE ``
    advance();
    return finish_statement(use);
  }
  // keyspace@replica, @replica, keyspace:-80, keyspace/80-@primary without quotes: one run of text without blanks. Of
  // that the keyspace alone may be quoted.
  const uint32_t start = here();
  const bool type_only = at(TokenType::kUserVariable) && is_plain_variable(text_of(token()));
  if (!type_only) use->target = identifier();
  if (at(TokenType::kEnd) || at(TokenType::kSemicolon)) return finish_statement(use);
  const uint32_t rest = here();
  while (!at(TokenType::kEnd) && !at(TokenType::kSemicolon)) {
    const bool quoted = at(TokenType::kQuotedIdentifier) || at(TokenType::kString) ||
                        (at(TokenType::kUserVariable) && !is_plain_variable(text_of(token())));
    if (quoted || (token().offset != prev_end_ && token().offset != start)) fail_syntax();
    advance();
  }
  if (!failed()) {
    use->target.text = use->target.quoted ? arena_->copy_text(std::string(use->target.text).append(text_from(rest)))
                                          : text_from(start);
    use->target.span = span_from(start);
  }
  return finish_statement(use);
}

// ---- LOCK, FLUSH, table maintenance ---------------------------------------------------------------------------------

Statement* Parser::lock_tables() {
  LockTables* out = make_statement<LockTables>(StatementKind::kLockTables, here());
  advance();
  advance();
  ListBuilder<LockedTable, 2> tables;
  do {
    LockedTable table;
    table.table = table_name();
    if (accept(Keyword::kAs)) {
      table.alias = identifier();
    } else if (at_identifier() && !at(Keyword::kLowPriority)) {
      table.alias = identifier();
    }
    if (accept(Keyword::kRead)) {
      table.lock = accept(Keyword::kLocal) ? TableLock::kReadLocal : TableLock::kRead;
    } else if (accept(Keyword::kLowPriority)) {
      expect(Keyword::kWrite);
      table.lock = TableLock::kLowPriorityWrite;
    } else {
      expect(Keyword::kWrite);
      table.lock = accept(Keyword::kConcurrent) ? TableLock::kWriteConcurrent : TableLock::kWrite;
    }
    tables.push_back(table);
  } while (accept(TokenType::kComma));
  out->tables = tables.finish(*arena_);
  return finish_statement(out);
}

Statement* Parser::unlock_tables() {
  LockTables* out = make_statement<LockTables>(StatementKind::kUnlockTables, here());
  advance();
  advance();
  return finish_statement(out);
}

Statement* Parser::flush_statement() {
  Flush* flush = make_statement<Flush>(StatementKind::kFlush, here());
  expect(Keyword::kFlush);
  flush->local = accept(Keyword::kLocal) || accept(Keyword::kNoWriteToBinlog);
  if (at(Keyword::kTable) || at(Keyword::kTables)) {
    advance();
    flush->flushes_tables = true;
    if (at_identifier()) flush->tables = table_names();
    if (at(Keyword::kWith) && peek_is(Keyword::kRead)) {
      advance();
      advance();
      expect(Keyword::kLock);
      flush->with_read_lock = true;
    } else if (at(Keyword::kFor) && peek_is(Keyword::kExport)) {
      advance();
      advance();
      flush->for_export = true;
    }
    if (!at(TokenType::kComma)) return finish_statement(flush);
  } else if (!at(TokenType::kWord)) {
    fail_syntax();
  }
  flush->options = rest_as_text();
  return finish_statement(flush);
}

Statement* Parser::table_admin() {
  TableAdmin* out = make_statement<TableAdmin>(StatementKind::kTableAdmin, here());
  switch (token().keyword) {
    case Keyword::kOptimize: out->verb = AdminVerb::kOptimize; break;
    case Keyword::kCheck: out->verb = AdminVerb::kCheck; break;
    case Keyword::kRepair: out->verb = AdminVerb::kRepair; break;
    case Keyword::kChecksum: out->verb = AdminVerb::kChecksum; break;
    default: out->verb = AdminVerb::kAnalyze; break;
  }
  advance();
  out->local = accept(Keyword::kLocal) || accept(Keyword::kNoWriteToBinlog);
  if (!accept(Keyword::kTable)) expect(Keyword::kTables);
  out->tables = table_names();
  out->options = rest_as_text();
  return finish_statement(out);
}

// LOAD {DATA | XML} [..] INFILE 'file' [REPLACE | IGNORE] INTO TABLE name ..
Statement* Parser::load_statement() {
  LoadData* load = make_statement<LoadData>(StatementKind::kLoad, here());
  advance();
  advance();
  if (!accept(Keyword::kLowPriority)) accept(Keyword::kConcurrent);
  load->local = accept(Keyword::kLocal);
  if (accept(Keyword::kFrom)) {  // LOAD DATA FROM S3
    expect(Keyword::kS3);
  } else {
    expect(Keyword::kInfile);
  }
  load->file = string_literal();
  if (accept(Keyword::kReplace)) {
    load->replace = true;
  } else {
    load->ignore = accept(Keyword::kIgnore);
  }
  expect(Keyword::kInto);
  expect(Keyword::kTable);
  load->table = table_name();
  rest_of_statement();
  load->text = text_from(load->span.offset, true);
  return finish_statement(load);
}

// ---- EXPLAIN --------------------------------------------------------------------------------------------------------

Statement* Parser::explain_statement() {
  Explain* out = make_statement<Explain>(StatementKind::kExplain, here());
  out->analyze = out->analyze_verb = at(Keyword::kAnalyze);
  advance();
  for (bool option = true; option;) {
    if (at(Keyword::kFormat) && peek_is(TokenType::kEqual)) {
      advance();
      advance();
      out->format = word_or_string();
    } else if (at(Keyword::kAnalyze)) {
      advance();
      out->analyze = true;
    } else if (at(Keyword::kExtended) && (starts_query(1) || peek().type == TokenType::kLeftParen ||
                                          word_class(peek().keyword) == WordClass::kReserved)) {
      advance();
      out->extended = true;
    } else if (at(Keyword::kPartitions) && word_class(peek().keyword) == WordClass::kReserved) {
      advance();
      out->partitions = true;
    } else {
      option = false;
    }
  }
  if (accept(Keyword::kFor)) {
    expect(Keyword::kConnection);
    out->connection = primary();
    return finish_statement(out);
  }
  if (at_identifier()) {
    out->table = table_name();
    if (at(TokenType::kString)) {
      out->column = string_literal();
    } else if (at_identifier()) {
      out->column = column();
    }
    return finish_statement(out);
  }
  out->statement = statement();
  return finish_statement(out);
}

Statement* Parser::vexplain_statement() {
  Explain* out = make_statement<Explain>(StatementKind::kVexplain, here());
  expect(Keyword::kVexplain);
  if (at(Keyword::kAll)) {
    out->vexplain = VexplainType::kAll;
    advance();
  } else if (at(Keyword::kQueries)) {
    out->vexplain = VexplainType::kQueries;
    advance();
  } else if (at(Keyword::kTrace)) {
    out->vexplain = VexplainType::kTrace;
    advance();
  } else if (at(Keyword::kKeys)) {
    out->vexplain = VexplainType::kKeys;
    advance();
  } else if (at_word("plan")) {
    advance();
  }
  out->statement = statement();
  return finish_statement(out);
}

// ---- Small statements -----------------------------------------------------------------------------------------------

Statement* Parser::kill_statement() {
  Kill* kill = make_statement<Kill>(StatementKind::kKill, here());
  expect(Keyword::kKill);
  if (accept(Keyword::kHard)) {
    kill->hard = Toggle::kOn;
  } else if (accept(Keyword::kSoft)) {
    kill->hard = Toggle::kOff;
  }
  if (accept(Keyword::kQuery)) {
    kill->query = true;
    kill->query_id = accept(Keyword::kId);
  } else {
    accept(Keyword::kConnection);
  }
  if (at(Keyword::kUser)) {  // MariaDB: KILL USER name
    kill->id = keyword_expr();
    rest_of_statement();
    kill->id->span = span_from(kill->id->span.offset);
    static_cast<KeywordExpr*>(kill->id)->word = text_from(kill->id->span.offset);
  } else {
    kill->id = expression();
  }
  return finish_statement(kill);
}

Statement* Parser::call_statement() {
  Call* call = make_statement<Call>(StatementKind::kCall, here());
  expect(Keyword::kCall);
  call->procedure = table_name();
  if (accept(TokenType::kLeftParen)) {
    call->parens = true;
    uint32_t below = 0;
    if (!at(TokenType::kRightParen)) call->args = expression_list(below);
    expect(TokenType::kRightParen);
  }
  return finish_statement(call);
}

Statement* Parser::prepare_statement() {
  PreparedStatement* out = make_statement<PreparedStatement>(StatementKind::kPrepare, here());
  expect(Keyword::kPrepare);
  out->name = identifier();
  expect(Keyword::kFrom);
  out->source = expression();
  return finish_statement(out);
}

Statement* Parser::execute_statement() {
  PreparedStatement* out = make_statement<PreparedStatement>(StatementKind::kExecute, here());
  expect(Keyword::kExecute);
  if (at(Keyword::kImmediate) && !peek_is(TokenType::kEnd) && !peek_is(TokenType::kSemicolon) &&
      !peek_is(Keyword::kUsing)) {
    advance();
    out->source = expression();
  } else {
    out->name = identifier();
  }
  if (accept(Keyword::kUsing)) {
    uint32_t below = 0;
    out->arguments = expression_list(below);
  }
  return finish_statement(out);
}

// {DEALLOCATE | DROP} PREPARE name
Statement* Parser::deallocate_statement() {
  PreparedStatement* out = make_statement<PreparedStatement>(StatementKind::kDeallocate, here());
  advance();
  expect(Keyword::kPrepare);
  out->name = identifier();
  return finish_statement(out);
}

Statement* Parser::do_statement() {
  Do* out = make_statement<Do>(StatementKind::kDo, here());
  expect(Keyword::kDo);
  uint32_t below = 0;
  out->items = select_item_list(below, false);
  return finish_statement(out);
}

Statement* Parser::stream_statement() {
  const bool vstream = at(Keyword::kVstream);
  StreamStatement* out =
      make_statement<StreamStatement>(vstream ? StatementKind::kVstream : StatementKind::kStream, here());
  advance();
  out->item = select_item(true).expr;
  expect(Keyword::kFrom);
  out->table = table_name();
  if (accept(Keyword::kWhere)) out->where = expression();
  uint32_t below = 0;
  if (at(Keyword::kLimit)) out->limit = limit_clause(below);
  return finish_statement(out);
}

Statement* Parser::text_statement(StatementKind kind) {
  TextStatement* out = make_statement<TextStatement>(kind, here());
  const bool block = at_any({Keyword::kBegin, Keyword::kCase, Keyword::kFor, Keyword::kIf, Keyword::kLoop,
                             Keyword::kRepeat, Keyword::kWhile});
  if (block) {
    rest_of_program();
  } else {
    advance();
    if (kind == StatementKind::kVitessMigration && (at(TokenType::kEnd) || at(TokenType::kSemicolon))) fail_syntax();
    rest_of_statement();
  }
  out->text = text_from(out->span.offset, true);
  return finish_statement(out);
}

}  // namespace vitrail::sql
