#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sql/arena.h"
#include "sql/ast.h"
#include "sql/statement.h"

namespace vitrail::sql {

struct ParseOptions {
  LexOptions lex;
  bool pipes_as_concat = false;      // sql_mode PIPES_AS_CONCAT: || is string concatenation.
  bool high_not_precedence = false;  // sql_mode HIGH_NOT_PRECEDENCE: NOT binds like !.
  uint32_t max_length = 64u << 20;   // Bytes of text.
  uint32_t max_depth = 800;          // Of nesting, and of the resulting tree. At most 4000 on an 8 MiB stack.
  size_t max_memory = 1u << 30;      // Bytes of the arena.
};

// A parsed statement, its text and its memory. Move-only; moving keeps nodes where they are.
//   Threads: reading from several threads is safe, changing is not.
class Ast {
 public:
  Ast(Ast&&) noexcept = default;
  Ast& operator=(Ast&&) noexcept = default;

  // The Ast's own copy of the text that was parsed; spans refer to it. As long as the original, and equal to it except
  // that the marks of executable comments which the server runs ("/*!50001", "*/") are blanks.
  std::string_view text() const { return text_; }
  const Statement& statement() const { return *statement_; }
  Statement& statement() { return *statement_; }
  StatementKind kind() const { return statement_->kind; }
  // For rewriters: new nodes live as long as the others.
  Arena& arena() { return *arena_; }

  uint32_t parameter_count() const { return parameter_count_; }  // '?'
  uint32_t literal_count() const { return literal_count_; }

 private:
  friend class Parser;
  Ast() = default;

  std::unique_ptr<Arena> arena_;
  std::string_view text_;
  Statement* statement_ = nullptr;
  uint32_t parameter_count_ = 0;
  uint32_t literal_count_ = 0;
};

// Parses exactly one statement; semicolons before and after it are accepted. Text without a statement gives
// EmptyStatement.
//   kInvalidArgument   : not a statement of MySQL, MariaDB or Vitess. errno 1064, SQLSTATE 42000, message
//                        "You have an error in your SQL syntax: syntax error at position N near '...'". As Vitess
//                        counts, N is one more than the number of bytes up to the end of the offending token; the text
//                        after `near` is that token, cut to 80 bytes, and empty at the end of the statement.
//   kResourceExhausted : beyond a limit of ParseOptions (errno 1153 length, 1436 depth, 1038 memory).
// The parser accepts a superset of what servers accept: it answers "what would this statement touch", and leaves the
// last word on validity to the server.
Result<Ast> parse(std::string_view text, const ParseOptions& options = {});

// A tree with one expression; for vschema settings, filters and tests. Ast::statement() is a Do with one item.
Result<Ast> parse_expression(std::string_view text, const ParseOptions& options = {});

// Blanks out what opens and closes executable comments that the server runs ("/*!50001", "*/"), so that any piece of
// the text stands for itself. A text that cannot be read stays as it is.
void blank_markers(std::span<char> text, const LexOptions& options = {});

// The statements of a multi-statement text without their semicolons, blanks and comments around them; empty ones are
// left out. A semicolon inside the body of a stored program (BEGIN .. END and the like) does not separate. Only the
// lexical structure is looked at.
//   kInvalidArgument : an unfinished string or comment.
Result<std::vector<Span>> split_statements(std::string_view text, const LexOptions& options = {});

}  // namespace vitrail::sql
