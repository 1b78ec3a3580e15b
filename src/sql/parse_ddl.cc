#include <algorithm>

#include "sql/parser_impl.h"

// DDL: kind and names are found, the rest is checked for balanced parentheses only and kept as text.
namespace vitrail::sql {

// ---- Shared pieces --------------------------------------------------------------------------------------------------

void Parser::if_not_exists(Ddl* ddl) {
  if (!at(Keyword::kIf) || !peek_is(Keyword::kNot)) return;
  advance();
  advance();
  expect(Keyword::kExists);
  ddl->if_not_exists = true;
}

void Parser::if_exists(Ddl* ddl) {
  if (!at(Keyword::kIf)) return;
  advance();
  expect(Keyword::kExists);
  ddl->if_exists = true;
}

void Parser::ddl_name(NameRole role) { ddl_names_.push_back({table_name(), role}); }

// user, 'user'@'host', CURRENT_USER[()]
void Parser::skip_account() {
  advance();
  if (at(TokenType::kUserVariable)) advance();
  if (accept(TokenType::kLeftParen)) expect(TokenType::kRightParen);
}

// OR REPLACE, TEMPORARY, DEFINER = .., ALGORITHM = .., SQL SECURITY .., UNIQUE ..
void Parser::ddl_prefix(Ddl* ddl) {
  while (true) {
    switch (token().keyword) {
      case Keyword::kOr:
        advance();
        expect(Keyword::kReplace);
        ddl->or_replace = true;
        break;
      case Keyword::kTemporary:
        advance();
        ddl->temporary = true;
        break;
      case Keyword::kDefiner:
        advance();
        expect(TokenType::kEqual);
        skip_account();
        break;
      case Keyword::kAlgorithm:
        advance();
        expect(TokenType::kEqual);
        advance();
        break;
      case Keyword::kSql:
        advance();
        expect(Keyword::kSecurity);
        advance();
        break;
      case Keyword::kAggregate:
      case Keyword::kUnique:
      case Keyword::kFulltext:
      case Keyword::kSpatial:
      case Keyword::kOnline:
      case Keyword::kOffline:
      case Keyword::kIgnore: advance(); break;
      default: return;
    }
  }
}

// Everything up to the end of the statement; parentheses must balance.
void Parser::rest_of_statement() {
  int64_t open = 0;
  while (!at(TokenType::kEnd)) {
    if (at(TokenType::kSemicolon) && open == 0) return;
    if (at(TokenType::kLeftParen)) ++open;
    if (at(TokenType::kRightParen) && --open < 0) fail_syntax();
    advance();
  }
  if (open != 0) fail_syntax();
}

// The same for a stored program, whose body may hold semicolons inside blocks. The verb and everything up to here is
// read already, so the tracker is shown the verb and the kind of object again.
void Parser::rest_of_program() {
  BlockTracker blocks;
  // What opens a block by itself needs nothing before it; FOR EACH ROW is none.
  const bool opens = at_any({Keyword::kCase, Keyword::kIf, Keyword::kLoop, Keyword::kRepeat, Keyword::kWhile}) ||
                     (at(Keyword::kFor) && !peek_is(Keyword::kEach));
  Token shown;
  shown.type = TokenType::kWord;
  shown.keyword = Keyword::kCreate;
  if (!opens) blocks.see(shown, text_, options_.lex);
  shown.keyword = Keyword::kProcedure;
  if (!opens) blocks.see(shown, text_, options_.lex);
  int64_t open = 0;
  while (!at(TokenType::kEnd)) {
    if (at(TokenType::kSemicolon) && !blocks.inside()) break;
    if (at(TokenType::kLeftParen)) ++open;
    if (at(TokenType::kRightParen) && --open < 0) fail_syntax();
    blocks.see(token(), text_, options_.lex);
    advance();
  }
  if (open != 0 || (blocks.inside() && !failed())) fail_syntax();
}

std::string_view Parser::rest_as_text() {
  if (at(TokenType::kDot)) fail_syntax();  // Part of the name before it, which no clause kept as text may be.
  const uint32_t start = here();
  rest_of_statement();
  return prev_end_ > start ? text_from(start) : std::string_view();
}

Ddl* Parser::finish_ddl(Ddl* ddl) {
  ddl->names = arena_->copy(std::span<const DdlName>(ddl_names_));
  ddl->text = text_from(ddl->span.offset, true);
  return finish_statement(ddl);
}

void Parser::name_list_in_parens() {
  expect(TokenType::kLeftParen);
  do {
    ddl_name(NameRole::kReferenced);
  } while (accept(TokenType::kComma));
  expect(TokenType::kRightParen);
}

// Reads names that clauses of CREATE and ALTER TABLE mention. True when something was read.
bool Parser::table_option_names() {
  if (at(Keyword::kReferences)) {
    advance();
    ddl_name(NameRole::kReferenced);
    return true;
  }
  if (at(Keyword::kUnion) && (peek_is(TokenType::kLeftParen) || peek_is(TokenType::kEqual))) {  // MERGE tables
    advance();
    accept(TokenType::kEqual);
    if (at(TokenType::kLeftParen) && !peek_is(TokenType::kRightParen)) name_list_in_parens();
    return true;
  }
  return false;
}

// ---- CREATE ---------------------------------------------------------------------------------------------------------

Statement* Parser::create_statement() {
  Ddl* ddl = make_statement<Ddl>(StatementKind::kDdl, here());
  ddl->action = DdlAction::kCreate;
  expect(Keyword::kCreate);
  if (at(TokenType::kEnd) || at(TokenType::kSemicolon)) fail_syntax();
  ddl_prefix(ddl);
  create_object(ddl);
  return finish_ddl(ddl);
}

void Parser::create_object(Ddl* ddl) {
  const Keyword object = token().keyword;
  switch (object) {
    case Keyword::kTable:
      advance();
      ddl->object = DdlObject::kTable;
      if_not_exists(ddl);
      ddl_name(NameRole::kSubject);
      create_table_body(ddl);
      return;
    case Keyword::kView:
      advance();
      ddl->object = DdlObject::kView;
      if_not_exists(ddl);
      ddl_name(NameRole::kSubject);
      view_body(ddl);
      return;
    case Keyword::kDatabase:
    case Keyword::kSchema:
      advance();
      ddl->object = DdlObject::kDatabase;
      if_not_exists(ddl);
      ddl_name(NameRole::kSubject);
      rest_of_statement();
      return;
    case Keyword::kIndex:
      advance();
      ddl->object = DdlObject::kIndex;
      if_not_exists(ddl);
      identifier();
      if (accept(Keyword::kUsing)) advance();
      expect(Keyword::kOn);
      ddl_name(NameRole::kSubject);
      if (!at(TokenType::kLeftParen)) fail_syntax();
      rest_of_statement();
      return;
    case Keyword::kTrigger:
      advance();
      ddl->object = DdlObject::kTrigger;
      if_not_exists(ddl);
      ddl_name(NameRole::kSubject);
      while (!at(Keyword::kOn) && !at(TokenType::kEnd) && !at(TokenType::kSemicolon)) advance();
      expect(Keyword::kOn);
      ddl_name(NameRole::kReferenced);
      expect(Keyword::kFor);
      expect(Keyword::kEach);
      expect(Keyword::kRow);
      rest_of_program();
      return;
    case Keyword::kProcedure:
    case Keyword::kFunction:
    case Keyword::kEvent:
      advance();
      ddl->object = object == Keyword::kProcedure  ? DdlObject::kProcedure
                    : object == Keyword::kFunction ? DdlObject::kFunction
                                                   : DdlObject::kEvent;
      if_not_exists(ddl);
      ddl_name(NameRole::kSubject);
      rest_of_program();
      return;
    case Keyword::kSequence:
      advance();
      ddl->object = DdlObject::kSequence;
      if_not_exists(ddl);
      ddl_name(NameRole::kSubject);
      rest_of_statement();
      return;
    case Keyword::kPackage: rest_of_program(); return;
    default:
      if (!at(TokenType::kWord)) fail_syntax();
      rest_of_statement();
      return;
  }
}

void Parser::create_table_body(Ddl* ddl) {
  if (at(TokenType::kEnd) || at(TokenType::kSemicolon)) fail_syntax();
  if (at(Keyword::kLike) || (at(TokenType::kLeftParen) && peek_is(Keyword::kLike))) {
    const bool parens = accept(TokenType::kLeftParen);
    advance();
    ddl_name(NameRole::kReferenced);
    if (parens) expect(TokenType::kRightParen);
    rest_of_statement();
    return;
  }
  int64_t open = 0;
  while (!at(TokenType::kEnd)) {
    if (open == 0) {
      if (at(TokenType::kSemicolon)) return;
      const bool as = at(Keyword::kAs) && (starts_query(1) || peek_is(TokenType::kLeftParen));
      if (as || at(Keyword::kSelect) || (at(TokenType::kLeftParen) && peek_is(Keyword::kSelect))) {
        if (as) advance();
        ddl->query = query();
        continue;
      }
    }
    if (table_option_names()) continue;
    if (at(TokenType::kLeftParen)) ++open;
    if (at(TokenType::kRightParen) && --open < 0) fail_syntax();
    advance();
  }
  if (open != 0) fail_syntax();
}

// [(columns)] AS query [WITH .. CHECK OPTION]
void Parser::view_body(Ddl* ddl) {
  if (at(TokenType::kLeftParen)) identifier_list_in_parens();
  expect(Keyword::kAs);
  if (!starts_query() && !at(TokenType::kLeftParen)) fail_syntax();
  ddl->query = query();
  if (accept(Keyword::kWith)) {
    if (!accept(Keyword::kCascaded)) accept(Keyword::kLocal);
    expect(Keyword::kCheck);
    expect(Keyword::kOption);
  }
}

// ---- ALTER ----------------------------------------------------------------------------------------------------------

Statement* Parser::alter_statement() {
  const uint32_t start = here();
  if (peek_is(Keyword::kVschema)) return alter_vschema(start);
  if (peek_is(Keyword::kVitessMigration)) return text_statement(StatementKind::kVitessMigration);
  Ddl* ddl = make_statement<Ddl>(StatementKind::kDdl, start);
  ddl->action = DdlAction::kAlter;
  expect(Keyword::kAlter);
  if (at(TokenType::kEnd) || at(TokenType::kSemicolon)) fail_syntax();
  ddl_prefix(ddl);
  alter_object(ddl);
  return finish_ddl(ddl);
}

void Parser::alter_object(Ddl* ddl) {
  const Keyword object = token().keyword;
  switch (object) {
    case Keyword::kTable:
      advance();
      ddl->object = DdlObject::kTable;
      if_exists(ddl);
      ddl_name(NameRole::kSubject);
      alter_table_body();
      return;
    case Keyword::kView:
      advance();
      ddl->object = DdlObject::kView;
      if_exists(ddl);
      ddl_name(NameRole::kSubject);
      view_body(ddl);
      return;
    case Keyword::kDatabase:
    case Keyword::kSchema: {
      advance();
      ddl->object = DdlObject::kDatabase;
      const bool option = at_any({Keyword::kCharset, Keyword::kComment}) || at_word("encryption") ||
                          (at(Keyword::kRead) && peek_is(Keyword::kOnly));
      if (at_identifier() && !option) ddl_name(NameRole::kSubject);
      rest_of_statement();
      return;
    }
    case Keyword::kProcedure:
    case Keyword::kFunction:
    case Keyword::kSequence:
    case Keyword::kEvent:
      advance();
      ddl->object = object == Keyword::kProcedure  ? DdlObject::kProcedure
                    : object == Keyword::kFunction ? DdlObject::kFunction
                    : object == Keyword::kSequence ? DdlObject::kSequence
                                                   : DdlObject::kEvent;
      if_exists(ddl);
      ddl_name(NameRole::kSubject);
      if (object == Keyword::kEvent) {
        rest_of_program();
      } else {
        rest_of_statement();
      }
      return;
    default:
      if (!at(TokenType::kWord)) fail_syntax();
      rest_of_statement();
      return;
  }
}

void Parser::alter_table_body() {
  int64_t open = 0;
  while (!at(TokenType::kEnd)) {
    if (open == 0) {
      if (at(TokenType::kSemicolon)) return;
      if (at(Keyword::kRename) && !peek_is(Keyword::kColumn) && !peek_is(Keyword::kIndex) && !peek_is(Keyword::kKey) &&
          !peek_is(Keyword::kConstraint)) {
        advance();
        if (!accept(Keyword::kTo) && !accept(Keyword::kAs)) accept(TokenType::kEqual);
        ddl_name(NameRole::kNewName);
        continue;
      }
      // EXCHANGE PARTITION p WITH TABLE t; CONVERT TABLE t TO PARTITION ..; CONVERT PARTITION p TO TABLE t
      if (at(Keyword::kWith) && peek_is(Keyword::kTable)) {
        advance();
        advance();
        ddl_name(NameRole::kReferenced);
        continue;
      }
      if (at(Keyword::kConvert) && peek_is(Keyword::kTable)) {
        advance();
        advance();
        ddl_name(NameRole::kReferenced);
        continue;
      }
      if (at(Keyword::kTo) && peek_is(Keyword::kTable)) {
        advance();
        advance();
        ddl_name(NameRole::kNewName);
        continue;
      }
    }
    if (table_option_names()) continue;
    if (at(TokenType::kLeftParen)) ++open;
    if (at(TokenType::kRightParen) && --open < 0) fail_syntax();
    advance();
  }
  if (open != 0) fail_syntax();
}

// ---- DROP, TRUNCATE, RENAME -----------------------------------------------------------------------------------------

Statement* Parser::drop_statement() {
  if (peek_is(Keyword::kPrepare)) return deallocate_statement();
  Ddl* ddl = make_statement<Ddl>(StatementKind::kDdl, here());
  ddl->action = DdlAction::kDrop;
  expect(Keyword::kDrop);
  ddl->temporary = accept(Keyword::kTemporary);
  const Keyword object = token().keyword;
  switch (object) {
    case Keyword::kTable:
    case Keyword::kTables:
    case Keyword::kView:
    case Keyword::kSequence:
      ddl->object = object == Keyword::kView       ? DdlObject::kView
                    : object == Keyword::kSequence ? DdlObject::kSequence
                                                   : DdlObject::kTable;
      advance();
      if_exists(ddl);
      do {
        ddl_name(NameRole::kSubject);
      } while (accept(TokenType::kComma));
      if (!accept(Keyword::kRestrict)) accept(Keyword::kCascade);
      if (accept(Keyword::kWait)) primary();
      accept(Keyword::kNowait);
      break;
    case Keyword::kDatabase:
    case Keyword::kSchema:
    case Keyword::kProcedure:
    case Keyword::kFunction:
    case Keyword::kTrigger:
    case Keyword::kEvent:
      ddl->object = object == Keyword::kProcedure  ? DdlObject::kProcedure
                    : object == Keyword::kFunction ? DdlObject::kFunction
                    : object == Keyword::kTrigger  ? DdlObject::kTrigger
                    : object == Keyword::kEvent    ? DdlObject::kEvent
                                                   : DdlObject::kDatabase;
      advance();
      if_exists(ddl);
      ddl_name(NameRole::kSubject);
      break;
    case Keyword::kIndex:
      ddl->object = DdlObject::kIndex;
      advance();
      if_exists(ddl);
      if (at(Keyword::kPrimary)) {
        advance();
      } else {
        identifier();
      }
      expect(Keyword::kOn);
      ddl_name(NameRole::kSubject);
      rest_of_statement();
      break;
    default:
      if (!at(TokenType::kWord)) fail_syntax();
      rest_of_statement();
      break;
  }
  return finish_ddl(ddl);
}

Statement* Parser::truncate_statement() {
  Ddl* ddl = make_statement<Ddl>(StatementKind::kDdl, here());
  ddl->action = DdlAction::kTruncate;
  ddl->object = DdlObject::kTable;
  expect(Keyword::kTruncate);
  accept(Keyword::kTable);
  ddl_name(NameRole::kSubject);
  if (accept(Keyword::kWait)) primary();
  accept(Keyword::kNowait);
  return finish_ddl(ddl);
}

Statement* Parser::rename_statement() {
  Ddl* ddl = make_statement<Ddl>(StatementKind::kDdl, here());
  ddl->action = DdlAction::kRename;
  expect(Keyword::kRename);
  if (at(Keyword::kTable) || at(Keyword::kTables)) {
    ddl->object = DdlObject::kTable;
    advance();
    if_exists(ddl);
    do {
      ddl_name(NameRole::kSubject);
      if (accept(Keyword::kWait)) {
        primary();
      } else {
        accept(Keyword::kNowait);
      }
      expect(Keyword::kTo);
      ddl_name(NameRole::kNewName);
    } while (accept(TokenType::kComma));
  } else {
    expect(Keyword::kUser);
    rest_of_statement();
  }
  return finish_ddl(ddl);
}

// ---- ALTER VSCHEMA --------------------------------------------------------------------------------------------------

// USING type [WITH name = value, ..]
void Parser::vschema_vindex(AlterVschema* alter) {
  alter->vindex_type = identifier();
  if (!accept(Keyword::kWith)) return;
  ListBuilder<VschemaParameter> parameters;
  do {
    VschemaParameter parameter;
    if (!at(TokenType::kWord) && !at(TokenType::kQuotedIdentifier)) fail_syntax();
    parameter.name = at(TokenType::kWord) ? identifier_after_dot() : identifier();
    expect(TokenType::kEqual);
    const uint32_t start = here();
    while (!at(TokenType::kEnd) && !at(TokenType::kSemicolon) && !at(TokenType::kComma)) advance();
    if (prev_end_ <= start) fail_syntax();
    if (!failed()) parameter.value = text_from(start);
    parameters.push_back(parameter);
  } while (accept(TokenType::kComma));
  alter->parameters = parameters.finish(*arena_);
}

Statement* Parser::alter_vschema(uint32_t start) {
  AlterVschema* alter = make_statement<AlterVschema>(StatementKind::kAlterVschema, start);
  expect(Keyword::kAlter);
  expect(Keyword::kVschema);
  if (accept(Keyword::kCreate)) {
    expect(Keyword::kVindex);
    alter->action = VschemaAction::kCreateVindex;
    alter->vindex = table_name();
    if (accept(Keyword::kUsing)) vschema_vindex(alter);
  } else if (at(Keyword::kAdd) || at(Keyword::kDrop)) {
    const bool add = at(Keyword::kAdd);
    advance();
    if (accept(Keyword::kTable)) {
      alter->action = add ? VschemaAction::kAddTable : VschemaAction::kDropTable;
      alter->table = table_name();
    } else if (accept(Keyword::kSequence)) {
      alter->action = add ? VschemaAction::kAddSequence : VschemaAction::kDropSequence;
      alter->table = table_name();
    } else {
      if (add) fail_syntax();
      expect(Keyword::kVindex);
      alter->action = VschemaAction::kDropVindex;
      alter->vindex = table_name();
    }
  } else {
    expect(Keyword::kOn);
    alter->table = table_name();
    const bool add = at(Keyword::kAdd);
    if (!accept(Keyword::kAdd)) expect(Keyword::kDrop);
    if (accept(Keyword::kAutoIncrement)) {
      alter->action = add ? VschemaAction::kAddAutoIncrement : VschemaAction::kDropAutoIncrement;
      if (add) {
        alter->columns = arena_->list<Column*>({column()});
        expect(Keyword::kUsing);
        alter->sequence = table_name();
      }
    } else {
      expect(Keyword::kVindex);
      alter->action = add ? VschemaAction::kAddVindex : VschemaAction::kDropTableVindex;
      alter->vindex = table_name();
      if (add) {
        expect(TokenType::kLeftParen);
        ListBuilder<Column*> columns;
        do {
          columns.push_back(column());
        } while (accept(TokenType::kComma));
        expect(TokenType::kRightParen);
        alter->columns = columns.finish(*arena_);
        if (accept(Keyword::kUsing)) vschema_vindex(alter);
      }
    }
  }
  alter->text = text_from(start, true);
  return finish_statement(alter);
}

}  // namespace vitrail::sql
