#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/parser.h"

// Private to src/sql: the recursive-descent parser behind parser.h.
//
// Errors are sticky: the first one is remembered and every following token reads as the end of the text, so that all
// loops end and every function returns a (meaningless but non-null) node. Nothing checks for errors on the way up.
namespace vitrail::sql {

// Precedence of expressions, loosest first; the printer uses the same numbers.
enum Precedence : uint8_t {
  kLowest = 0,
  kAssignLevel,
  kOrLevel,
  kXorLevel,
  kAndLevel,
  kNotLevel,
  kComparisonLevel,  // = <=> <> < <= > >= IS
  kBetweenLevel,
  kPredicateLevel,  // IN LIKE REGEXP SOUNDS LIKE MEMBER OF
  kBitOrLevel,
  kBitAndLevel,
  kShiftLevel,
  kAddLevel,
  kMultiplyLevel,
  kBitXorLevel,
  kConcatLevel,  // || under PIPES_AS_CONCAT
  kUnaryLevel,   // - + ~ ! BINARY
  kCollateLevel,
  kPrimaryLevel,
};

// True for reserved words that are also names of functions when a parenthesis follows: IF, LEFT, REPLACE ...
bool is_function_keyword(Keyword keyword);
// True for functions that may be written without parentheses: CURRENT_TIMESTAMP, CURRENT_USER ...
bool is_bare_function(Keyword keyword);
// True for words after which the parser expects a special syntax in parentheses: CAST, TRIM ...; such a name must be
// quoted to be an ordinary function.
bool is_special_function(Keyword keyword);
bool is_interval_unit(Keyword keyword);

// Collects a list, then moves it into the arena.
template <typename T, size_t kInline = 4>
class ListBuilder {
 public:
  void push_back(const T& item) {
    if (count_ < kInline) {
      inline_[count_++] = item;
      return;
    }
    if (heap_.empty()) heap_.assign(inline_, inline_ + kInline);
    heap_.push_back(item);
    ++count_;
  }
  size_t size() const { return count_; }
  const T* data() const { return heap_.empty() ? inline_ : heap_.data(); }
  List<T> finish(Arena& arena) const { return arena.copy(std::span<const T>(data(), count_)); }

 private:
  T inline_[kInline]{};
  size_t count_ = 0;
  std::vector<T> heap_;
};

// Tells where a stored program's body has nested blocks, in whose inside a ';' does not end the statement. Shown every
// token of a statement in order.
class BlockTracker {
 public:
  // `token` stands in `text`.
  void see(const Token& token, std::string_view text, const LexOptions& options);
  bool inside() const { return depth_ > 0; }
  void reset() { *this = BlockTracker(); }

 private:
  uint32_t tokens_ = 0;
  Keyword first_ = Keyword::kNone;
  bool program_ = false;  // CREATE .. PROCEDURE / FUNCTION / TRIGGER / EVENT / PACKAGE, or BEGIN NOT ATOMIC
  bool header_ = false;   // Still before the kind of object is known.
  uint32_t depth_ = 0;
  Keyword previous_ = Keyword::kNone;
  TokenType previous_type_ = TokenType::kSemicolon;
};

class Parser {
 public:
  Parser(std::string_view text, const ParseOptions& options);

  Result<Ast> parse_one_statement();
  Result<Ast> parse_one_expression();

 private:
  struct Slot {
    Token token;
    uint32_t hints_begin = 0;  // Range in hints_ of the hints between the token before and this one.
    uint32_t hints_end = 0;
  };

  // Counts nesting for as long as it lives.
  class Nested {
   public:
    explicit Nested(Parser& parser) : parser_(parser) {
      if (++parser_.nesting_ > parser_.max_depth_) parser_.fail_depth();
    }
    ~Nested() { --parser_.nesting_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    Parser& parser_;
  };

  // Tokens.
  const Token& token() const { return slots_[0].token; }
  const Token& peek(size_t ahead = 1);
  void fill(size_t count);
  Slot read_slot();
  void advance();
  bool at(TokenType type) const { return token().type == type; }
  bool at(Keyword keyword) const { return token().keyword == keyword; }
  bool at_any(std::initializer_list<Keyword> keywords) const;
  bool peek_is(Keyword keyword, size_t ahead = 1) { return peek(ahead).keyword == keyword; }
  bool peek_is(TokenType type, size_t ahead = 1) { return peek(ahead).type == type; }
  bool accept(TokenType type);
  bool accept(Keyword keyword);
  void expect(TokenType type);
  void expect(Keyword keyword);
  bool at_word(std::string_view lower_case) const;  // An unquoted word that is not a keyword of the list.
  std::string_view text_of(const Token& token) const { return token.text(text_); }
  // What was read since `start`, to be kept as text. Directives in it are part of that text from now on, unless the
  // text is the whole statement's.
  std::string_view text_from(uint32_t start, bool whole = false);
  uint32_t here() const { return token().offset; }
  List<std::string_view> take_hints();

  // Errors.
  void fail_syntax();
  void fail_with(Error error);
  void fail_depth();
  bool failed() const { return error_.has_value(); }
  uint16_t depth(uint32_t value);

  template <typename T>
  T* make(uint32_t start) {
    T* node = arena_->make<T>();
    node->kind = T::kKind;
    node->span.offset = start;
    return node;
  }
  template <typename T>
  T* make_statement(StatementKind kind, uint32_t start) {
    T* node = arena_->make<T>();
    node->kind = kind;
    node->span.offset = start;
    return node;
  }
  // Sets the end of the node to the last token read, and its depth.
  template <typename T>
  T* done(T* node, uint32_t depth_below) {
    node->span.length = prev_end_ - node->span.offset;
    node->depth = depth(depth_below + 1);
    return node;
  }
  template <typename T>
  T* finish_statement(T* node) {
    node->span.length = prev_end_ - node->span.offset;
    return node;
  }
  Span span_from(uint32_t start) const { return {start, prev_end_ > start ? prev_end_ - start : 0}; }

  // Names.
  bool at_identifier() const;
  bool is_identifier(const Token& token) const;
  Identifier identifier();
  Identifier identifier_after_dot();
  Identifier identifier_from(const Token& token);
  Identifier identifier_or_string();
  Identifier word_or_string();  // Also reserved words (BINARY, DEFAULT as a charset).
  TableName table_name();
  List<TableName> table_names();
  List<Identifier> identifier_list_in_parens();
  std::string_view unquote(std::string_view quoted, char quote);
  std::string_view unescape(std::string_view quoted);
  std::string_view lower_copy(std::string_view text);

  // Expressions (parse_expr.cc).
  Expr* expression(Precedence min = kLowest);
  Expr* infix(Expr* left, Precedence min, uint32_t start);
  bool at_negated_predicate();
  Precedence word_operator_level();
  Expr* predicate_operand();
  Expr* infix_predicate(Expr* left, bool negated, uint32_t start);
  Expr* in_predicate(Expr* left, bool negated, uint32_t start);
  Expr* comparison(Expr* left, BinaryOp op, uint32_t start);
  Expr* is_test(Expr* left, uint32_t start);
  Expr* logical(Expr* left, LogicalOp op, Precedence operand, uint32_t start);
  Expr* binary(BinaryOp op, Expr* left, Expr* right, uint32_t start);
  Expr* prefix();
  Expr* primary();
  Expr* primary_word();
  Expr* postfix(Expr* operand, uint32_t start);
  Expr* parenthesized();
  Expr* literal();
  Expr* string_literal();
  Expr* temporal_literal(LiteralKind kind);
  Expr* constant(LiteralKind kind);
  Expr* user_variable();
  Expr* system_variable();
  Expr* case_expression();
  Expr* cast();
  Expr* convert();
  CastType cast_type();
  Expr* interval();
  Expr* match_against();
  Expr* default_value();
  Expr* odbc_escape();
  Expr* column_or_function();
  Column* column();
  Expr* function_call(Identifier schema, Identifier name, uint32_t start, Keyword keyword);
  void plain_arguments(FunctionCall* call, uint32_t& depth_below);
  void trim_arguments(FunctionCall* call, uint32_t& depth_below);
  void substring_arguments(FunctionCall* call, uint32_t& depth_below);
  void position_arguments(FunctionCall* call, uint32_t& depth_below);
  void extract_arguments(FunctionCall* call, uint32_t& depth_below);
  void unit_arguments(FunctionCall* call, uint32_t& depth_below);
  void function_tail(FunctionCall* call, uint32_t& depth_below);
  std::string_view raw_until_right_paren();
  Expr* keyword_expr();
  Expr* next_value_for();
  WindowSpec* over_clause(uint32_t& depth_below);
  WindowSpec* window_in_parens(uint32_t& depth_below);
  FrameBound frame_bound(uint32_t& depth_below);
  List<OrderItem> order_items(uint32_t& depth_below);
  List<Expr*> expression_list(uint32_t& depth_below);
  Expr* subquery_expr(Query* query, uint32_t start);

  // Query expressions (parse_query.cc).
  bool starts_query(size_t ahead = 0);
  bool continues_query() const;
  Query* query();
  Query* continue_query(Query* left, With* with, uint32_t start);
  Query* query_operand();
  Query* grouped(Query* operand, uint32_t start);
  Query* set_operations(Query* left, int min_precedence, uint32_t start);
  Query* query_tail(Query* query, uint32_t start);
  Query* parenthesize(Query* inner, uint32_t start);
  Query* select_body();
  void select_options(Select* select);
  bool next_values(Select* select, uint32_t& depth_below);
  void select_items(Select* select, uint32_t& depth_below);
  List<SelectItem> select_item_list(uint32_t& depth_below, bool star);
  SelectItem select_item(bool star_allowed);
  Identifier bare_alias(bool strings);
  Query* values_query();
  Query* table_query();
  With* with_clause(uint32_t& depth_below);
  Limit* limit_clause(uint32_t& depth_below);
  Limit* fetch_clause(uint32_t& depth_below);
  LockClause lock_clause();
  Into* into_clause();
  TableRef* table_reference();
  TableRef* joins(TableRef* left);
  bool at_join();
  bool at_join_condition();
  Join* one_join(TableRef* left);
  void join_condition(Join* join);
  TableRef* table_factor();
  TableRef* table_in_parens();
  TableRef* derived_table(Query* query, bool lateral, uint32_t start);
  TableRef* table_source();
  TableRef* json_table();
  List<TableRef*> table_references(uint32_t& depth_below);
  List<IndexHint> index_hints();
  IndexHint index_hint();

  // Statements.
  Statement* statement();
  Statement* with_statement();
  Statement* insert_statement(With* with, uint32_t start);
  Statement* update_statement(With* with, uint32_t start);
  Statement* delete_statement(With* with, uint32_t start);
  void insert_source(Insert* insert, uint32_t& depth_below);
  void insert_rows(Insert* insert, uint32_t& depth_below);
  List<Assignment> assignments(uint32_t& depth_below);
  List<SelectItem> returning_clause(uint32_t& depth_below);

  Statement* begin_statement();
  Statement* start_statement();
  Statement* commit_or_rollback();
  Statement* savepoint_statement();
  Statement* release_statement();
  void completion(Transaction* transaction);
  Statement* set_statement();
  SetItem set_item();
  void set_transaction(SetItem& item);
  void set_value(SetItem& item);
  VariableScope scope_keyword();
  Statement* show_statement();
  void show_subject(Show* show);
  void show_create(Show* show);
  void show_tail(Show* show);
  Statement* use_statement();
  Statement* lock_tables();
  Statement* unlock_tables();
  Statement* explain_statement();
  Statement* vexplain_statement();
  Statement* kill_statement();
  Statement* call_statement();
  Statement* prepare_statement();
  Statement* execute_statement();
  Statement* deallocate_statement();
  Statement* flush_statement();
  Statement* table_admin();
  Statement* load_statement();
  Statement* do_statement();
  Statement* stream_statement();
  Statement* text_statement(StatementKind kind);

  Statement* create_statement();
  Statement* alter_statement();
  Statement* drop_statement();
  Statement* truncate_statement();
  Statement* rename_statement();
  Statement* alter_vschema(uint32_t start);
  void vschema_vindex(AlterVschema* alter);
  void ddl_prefix(Ddl* ddl);
  void create_object(Ddl* ddl);
  void alter_object(Ddl* ddl);
  void if_not_exists(Ddl* ddl);
  void if_exists(Ddl* ddl);
  void ddl_name(NameRole role);
  void skip_account();
  void create_table_body(Ddl* ddl);
  void alter_table_body();
  void view_body(Ddl* ddl);
  bool table_option_names();
  void name_list_in_parens();
  void rest_of_statement();
  void rest_of_program();
  std::string_view rest_as_text();
  Ddl* finish_ddl(Ddl* ddl);

  std::unique_ptr<Arena> arena_;
  std::string_view text_;
  ParseOptions options_;
  uint32_t max_depth_ = 0;
  Lexer lexer_;
  Slot slots_[8];
  size_t slot_count_ = 0;
  uint32_t prev_end_ = 0;
  uint32_t nesting_ = 0;
  uint32_t literals_ = 0;
  uint32_t parameters_ = 0;
  std::vector<std::string_view> hints_;
  std::vector<std::string_view> directives_;
  std::vector<DdlName> ddl_names_;
  std::optional<Error> error_;
  bool operand_in_parens_ = false;  // The query that was read last.
};

}  // namespace vitrail::sql
