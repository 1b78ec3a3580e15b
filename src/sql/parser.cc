#include "sql/parser.h"

#include <fmt/core.h>

#include <algorithm>

#include "sql/literal.h"
#include "sql/parser_impl.h"

namespace vitrail::sql {
namespace {

// What fits an 8 MiB stack. Functions take several times as much of it under a sanitizer.
#if defined(__has_feature) && (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
constexpr uint32_t kHighestDepth = 800;
#else
constexpr uint32_t kHighestDepth = 4000;
#endif

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

Error too_long(size_t size, size_t limit) {
  return fail(Code::kResourceExhausted,
              fmt::format("statement of {} bytes is longer than the limit of {} bytes", size, limit))
      .with_mysql(1153, "08S01");
}

}  // namespace

// ---- Entry points ---------------------------------------------------------------------------------------------------

Result<Ast> parse(std::string_view text, const ParseOptions& options) {
  if (text.size() > options.max_length) return too_long(text.size(), options.max_length);
  return Parser(text, options).parse_one_statement();
}

Result<Ast> parse_expression(std::string_view text, const ParseOptions& options) {
  if (text.size() > options.max_length) return too_long(text.size(), options.max_length);
  return Parser(text, options).parse_one_expression();
}

Result<std::vector<Span>> split_statements(std::string_view text, const LexOptions& options) {
  std::vector<Span> statements;
  Lexer lexer(text, options);
  BlockTracker blocks;
  Span current;
  while (true) {
    const Token token = lexer.next();
    if (token.type == TokenType::kError) {
      return fail(Code::kInvalidArgument,
                  fmt::format("You have an error in your SQL syntax: syntax error at position {} near '{}'",
                              token.end() + 1, token.text(text).substr(0, 80)))
          .with_mysql(1064, "42000");
    }
    const bool end = token.type == TokenType::kEnd;
    if (end || (token.type == TokenType::kSemicolon && !blocks.inside())) {
      if (!current.empty()) statements.push_back(current);
      if (end) return statements;
      current = {};
      blocks.reset();
      continue;
    }
    if (current.empty()) current.offset = token.offset;
    current.length = token.end() - current.offset;
    blocks.see(token, text, options);
  }
}

// ---- Blocks of stored programs --------------------------------------------------------------------------------------

namespace {

// Whether IF at this place opens IF .. THEN .. END IF, and is not the function or part of IF EXISTS.
bool then_follows(std::string_view text, const LexOptions& options) {
  Lexer lexer(text, options);
  for (int i = 0; i < 4096; ++i) {
    const Token token = lexer.next();
    switch (token.type) {
      case TokenType::kEnd:
      case TokenType::kError:
      case TokenType::kSemicolon: return false;
      default: break;
    }
    if (token.keyword == Keyword::kThen) return true;
    if (token.keyword == Keyword::kEnd) return false;
  }
  return false;
}

// Statements of stored programs that MariaDB takes by themselves.
bool opens_program(Keyword first, std::string_view rest, const LexOptions& options) {
  switch (first) {
    case Keyword::kCase:
    case Keyword::kFor:
    case Keyword::kLoop:
    case Keyword::kRepeat:
    case Keyword::kWhile: return true;
    case Keyword::kIf: return then_follows(rest, options);
    default: return false;
  }
}

}  // namespace

void BlockTracker::see(const Token& token, std::string_view text, const LexOptions& options) {
  Keyword word = token.keyword;
  if (token.type == TokenType::kBindVariable) {  // `label:BEGIN` without a blank.
    word = find_keyword(token.text(text).substr(1));
    if (previous_type_ != TokenType::kWord && previous_type_ != TokenType::kQuotedIdentifier) word = Keyword::kNone;
    previous_ = Keyword::kNone;
    previous_type_ = TokenType::kColon;
  }
  if (tokens_ == 0) {
    first_ = word;
    header_ = word == Keyword::kCreate || word == Keyword::kAlter;
  }
  ++tokens_;
  if (tokens_ == 1 && opens_program(word, text.substr(token.end()), options)) {
    program_ = true;
    depth_ = 1;
    previous_ = word;
    previous_type_ = token.type;
    return;
  }
  if (first_ == Keyword::kBegin && tokens_ == 2 && word == Keyword::kNot) {
    program_ = true;
    depth_ = 1;
  }
  if (header_) {
    switch (word) {
      case Keyword::kProcedure:
      case Keyword::kFunction:
      case Keyword::kTrigger:
      case Keyword::kEvent:
      case Keyword::kPackage:
        program_ = true;
        header_ = false;
        break;
      case Keyword::kTable:
      case Keyword::kView:
      case Keyword::kDatabase:
      case Keyword::kSchema:
      case Keyword::kIndex:
      case Keyword::kUser: header_ = false; break;
      default: break;
    }
  } else if (program_) {
    const bool after_end = previous_ == Keyword::kEnd;
    // Where a statement of the body may start.
    const bool start = (first_ == Keyword::kBegin && tokens_ == 4) || previous_type_ == TokenType::kSemicolon ||
                       previous_type_ == TokenType::kColon || previous_type_ == TokenType::kRightParen ||
                       previous_ == Keyword::kThen || previous_ == Keyword::kElse || previous_ == Keyword::kDo ||
                       previous_ == Keyword::kBegin || previous_ == Keyword::kLoop || previous_ == Keyword::kRepeat ||
                       previous_ == Keyword::kRow;
    switch (word) {
      case Keyword::kBegin: ++depth_; break;
      case Keyword::kCase:
      case Keyword::kLoop:
      case Keyword::kWhile:
        if (!after_end) ++depth_;
        break;
      case Keyword::kRepeat:
      case Keyword::kFor:
        if (!after_end && start) ++depth_;
        break;
      case Keyword::kIf:
        if (!after_end && (start || depth_ == 0) && then_follows(text.substr(token.end()), options)) ++depth_;
        break;
      case Keyword::kEnd:
        if (depth_ > 0) --depth_;
        break;
      default: break;
    }
  }
  previous_ = word;
  previous_type_ = token.type == TokenType::kBindVariable ? TokenType::kColon : token.type;
}

// The parser's own copy of a text. What opens and closes executable comments that are run is blanked out, so that any
// piece of the copy stands for itself.
namespace {

std::string_view copy_statement(std::string_view text, const LexOptions& options, Arena& arena) {
  const std::string_view copy = arena.copy_text(text);
  blank_markers({const_cast<char*>(copy.data()), copy.size()}, options);  // The arena's, and nobody else's yet.
  return copy;
}

}  // namespace

void blank_markers(std::span<char> text, const LexOptions& options) {
  const std::string_view whole(text.data(), text.size());
  if (whole.find("/*!") == std::string_view::npos && whole.find("/*M!") == std::string_view::npos) return;
  std::vector<std::pair<uint32_t, uint32_t>> markers;
  Lexer lexer(whole, options);
  lexer.note_markers(markers);
  while (true) {
    const TokenType type = lexer.next_raw().type;
    if (type == TokenType::kError) return;  // The parser will say so.
    if (type == TokenType::kEnd) break;
  }
  for (const auto& [offset, length] : markers) {
    std::fill_n(text.begin() + offset, length, ' ');
    // A blank behind "--" would hide the rest of the line. Nobody writes that in earnest: make it a syntax error.
    if (whole.substr(0, offset).ends_with("--")) text[offset] = '\x7f';
  }
}

// ---- Parser: construction and result --------------------------------------------------------------------------------

Parser::Parser(std::string_view text, const ParseOptions& options)
    : arena_(std::make_unique<Arena>()),
      text_(copy_statement(text, options.lex, *arena_)),
      options_(options),
      max_depth_(std::min(options.max_depth, kHighestDepth)),
      lexer_(text_, options.lex) {
  advance();
  prev_end_ = 0;
}

Result<Ast> Parser::parse_one_statement() {
  while (at(TokenType::kSemicolon)) advance();
  Statement* root = nullptr;
  if (at(TokenType::kEnd)) {
    root = make_statement<EmptyStatement>(StatementKind::kEmpty, here());
  } else {
    root = statement();
    while (at(TokenType::kSemicolon)) advance();
    if (!at(TokenType::kEnd)) fail_syntax();
  }
  if (failed()) return std::move(*error_);
  root->directives = arena_->copy(std::span<const std::string_view>(directives_));
  Ast ast;
  ast.text_ = text_;
  ast.statement_ = root;
  ast.parameter_count_ = parameters_;
  ast.literal_count_ = literals_;
  ast.arena_ = std::move(arena_);
  return ast;
}

Result<Ast> Parser::parse_one_expression() {
  Do* root = make_statement<Do>(StatementKind::kDo, here());
  SelectItem item;
  item.expr = expression();
  item.span = item.expr->span;
  root->items = arena_->list({item});
  finish_statement(root);
  if (!at(TokenType::kEnd)) fail_syntax();
  if (failed()) return std::move(*error_);
  Ast ast;
  ast.text_ = text_;
  ast.statement_ = root;
  ast.parameter_count_ = parameters_;
  ast.literal_count_ = literals_;
  ast.arena_ = std::move(arena_);
  return ast;
}

// ---- Tokens ---------------------------------------------------------------------------------------------------------

Parser::Slot Parser::read_slot() {
  Slot slot;
  slot.hints_begin = static_cast<uint32_t>(hints_.size());
  if (failed()) {
    slot.token.offset = static_cast<uint32_t>(text_.size());
    slot.hints_end = slot.hints_begin;
    return slot;
  }
  while (true) {
    slot.token = lexer_.next();
    if (slot.token.type == TokenType::kHint) {
      hints_.push_back(text_of(slot.token));
    } else if (slot.token.type == TokenType::kDirective) {
      directives_.push_back(text_of(slot.token));
    } else {
      break;
    }
  }
  slot.hints_end = static_cast<uint32_t>(hints_.size());
  return slot;
}

void Parser::fill(size_t count) {
  while (slot_count_ < count) slots_[slot_count_++] = read_slot();
}

const Token& Parser::peek(size_t ahead) {
  fill(ahead + 1);
  return slots_[ahead].token;
}

void Parser::advance() {
  if (slot_count_ > 0) {
    const Token& current = slots_[0].token;
    prev_end_ = current.end();
    if (is_literal(current.type)) literals_ = std::max(literals_, current.index + 1);
    if (current.type == TokenType::kParameter) parameters_ = std::max(parameters_, current.index + 1);
    for (size_t i = 1; i < slot_count_; ++i) slots_[i - 1] = slots_[i];
    --slot_count_;
  }
  fill(1);
  if (at(TokenType::kError)) fail_syntax();
  if (arena_->size() > options_.max_memory) {
    fail_with(fail(Code::kResourceExhausted,
                   fmt::format("parsing the statement takes more than the limit of {} bytes", options_.max_memory))
                  .with_mysql(1038, "HY001"));
  }
}

bool Parser::at_any(std::initializer_list<Keyword> keywords) const {
  return std::find(keywords.begin(), keywords.end(), token().keyword) != keywords.end();
}

bool Parser::accept(TokenType type) {
  if (!at(type) || type == TokenType::kEnd) return false;
  advance();
  return true;
}

bool Parser::accept(Keyword keyword) {
  if (!at(keyword)) return false;
  advance();
  return true;
}

void Parser::expect(TokenType type) {
  if (!accept(type)) fail_syntax();
}

void Parser::expect(Keyword keyword) {
  if (!accept(keyword)) fail_syntax();
}

bool Parser::at_word(std::string_view lower_case) const {
  if (!at(TokenType::kWord)) return false;
  const std::string_view word = text_of(token());
  return std::equal(word.begin(), word.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return lower(a) == b; });
}

std::string_view Parser::text_from(uint32_t start, bool whole) {
  if (prev_end_ <= start) return {};
  const std::string_view text = text_.substr(start, prev_end_ - start);
  if (text.ends_with("--")) fail_syntax();  // Two minus signs here; a comment where the text ends or a blank follows.
  if (!whole) {
    std::erase_if(directives_, [&](std::string_view directive) {
      return directive.data() >= text.data() && directive.data() < text.data() + text.size();
    });
  }
  return text;
}

// The hints between the token before and the current one.
List<std::string_view> Parser::take_hints() {
  const Slot& slot = slots_[0];
  return arena_->copy(
      std::span<const std::string_view>(hints_).subspan(slot.hints_begin, slot.hints_end - slot.hints_begin));
}

// ---- Errors ---------------------------------------------------------------------------------------------------------

void Parser::fail_with(Error error) {
  if (failed()) return;
  error_ = std::move(error);
  Slot end;
  end.token.offset = static_cast<uint32_t>(text_.size());
  end.hints_begin = end.hints_end = static_cast<uint32_t>(hints_.size());
  for (Slot& slot : slots_) slot = end;
  slot_count_ = 1;
}

void Parser::fail_syntax() {
  if (failed()) return;
  const Token& bad = token();
  fail_with(fail(Code::kInvalidArgument,
                 fmt::format("You have an error in your SQL syntax: syntax error at position {} near '{}'",
                             bad.end() + 1, text_of(bad).substr(0, 80)))
                .with_mysql(1064, "42000"));
}

void Parser::fail_depth() {
  fail_with(fail(Code::kResourceExhausted, fmt::format("the statement is nested more than {} levels deep", max_depth_))
                .with_mysql(1436, "HY000"));
}

uint16_t Parser::depth(uint32_t value) {
  if (value > max_depth_) {
    fail_depth();
    return 1;
  }
  return static_cast<uint16_t>(value);
}

// ---- Names ----------------------------------------------------------------------------------------------------------

bool Parser::is_identifier(const Token& token) const {
  if (token.type == TokenType::kQuotedIdentifier) return token.length > 2;
  return token.type == TokenType::kWord && word_class(token.keyword) != WordClass::kReserved;
}

bool Parser::at_identifier() const { return is_identifier(token()); }

Identifier Parser::identifier_from(const Token& token) {
  Identifier out;
  out.span = {token.offset, token.length};
  const std::string_view text = text_of(token);
  if (token.type == TokenType::kQuotedIdentifier) {
    out.quoted = true;
    out.text = unquote(text.substr(1, text.size() - 2), text[0]);
  } else {
    out.text = text;
  }
  return out;
}

Identifier Parser::identifier() {
  if (!at_identifier()) {
    fail_syntax();
    return {};
  }
  const Identifier out = identifier_from(token());
  advance();
  return out;
}

// Behind a dot every word is a name, reserved or not.
Identifier Parser::identifier_after_dot() {
  if (!at(TokenType::kWord)) return identifier();
  const Identifier out = identifier_from(token());
  advance();
  return out;
}

Identifier Parser::identifier_or_string() {
  if (!at(TokenType::kString)) return identifier();
  Identifier out;
  out.span = {token().offset, token().length};
  out.quoted = true;
  out.text = unescape(text_of(token()));
  if (out.text.empty()) out.text = " ";  // AS '': no name to keep; a blank is what stays of it.
  advance();
  return out;
}

Identifier Parser::word_or_string() {
  if (!at(TokenType::kWord)) return identifier_or_string();
  return identifier_after_dot();
}

TableName Parser::table_name() {
  TableName out;
  const uint32_t start = here();
  out.name = identifier();
  if (at(TokenType::kDot)) {
    advance();
    out.qualifier = out.name;
    out.name = identifier_after_dot();
  }
  out.span = span_from(start);
  return out;
}

List<TableName> Parser::table_names() {
  ListBuilder<TableName> names;
  do {
    names.push_back(table_name());
  } while (accept(TokenType::kComma));
  return names.finish(*arena_);
}

List<Identifier> Parser::identifier_list_in_parens() {
  ListBuilder<Identifier> names;
  expect(TokenType::kLeftParen);
  do {
    names.push_back(identifier());
  } while (accept(TokenType::kComma));
  expect(TokenType::kRightParen);
  return names.finish(*arena_);
}

// `inside` is what stands between the quotes; doubled quotes become one.
std::string_view Parser::unquote(std::string_view inside, char quote) {
  if (inside.find(quote) == std::string_view::npos) return inside;
  char* out = static_cast<char*>(arena_->allocate(inside.size(), 1));
  size_t size = 0;
  for (size_t i = 0; i < inside.size(); ++i) {
    out[size++] = inside[i];
    if (inside[i] == quote) ++i;
  }
  return {out, size};
}

std::string_view Parser::unescape(std::string_view quoted) {
  const std::string_view inside = quoted.substr(1, quoted.size() - 2);
  if (options_.lex.no_backslash_escapes || inside.find('\\') == std::string_view::npos) {
    return unquote(inside, quoted[0]);
  }
  std::string out;
  append_bytes(TokenType::kString, quoted, false, out);
  return arena_->copy_text(out);
}

std::string_view Parser::lower_copy(std::string_view text) {
  if (text.starts_with('\\')) return text;  // \N is spelled in one way only.
  if (std::none_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) return text;
  char* out = static_cast<char*>(arena_->allocate(text.size(), 1));
  std::transform(text.begin(), text.end(), out, lower);
  return {out, text.size()};
}

}  // namespace vitrail::sql
