// Any text: the parser answers with a tree or an error. What it accepts prints to a text that parses to the same tree.

#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <vector>

#include "base/check.h"
#include "sql/fingerprint.h"
#include "sql/parser.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::sql {
namespace {

struct SpanChecker : Walker {
  explicit SpanChecker(size_t size) : size(size) {}
  bool enter(const Expr& expr) override {
    CHECK(expr.span.end() <= size);
    CHECK(expr.depth > 0);
    return true;
  }
  bool enter(const Query& query) override {
    CHECK(query.span.end() <= size);
    return true;
  }
  bool enter(const TableRef& table) override {
    CHECK(table.span.end() <= size);
    return true;
  }
  size_t size;
};

std::string structure(const Ast& ast, bool high_not) {
  PrintOptions options;
  options.full_parentheses = true;
  options.high_not_precedence = high_not;
  return print(ast.statement(), options);
}

void report(std::initializer_list<std::string_view> texts) {
  for (std::string_view text : texts) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fputs("\n => ", stderr);
  }
}

void check_statement(std::string_view text, const ParseOptions& options) {
  const auto ast = parse(text, options);
  if (!ast.ok()) return;
  SpanChecker(text.size()).walk(ast->statement());
  collect_tables(ast->statement());
  const FingerprintResult result = fingerprint(text, {}, options.lex);
  CHECK(!result.malformed);
  CHECK(result.kind == ast->kind() || result.has_more);
  PrintOptions print_options;
  print_options.high_not_precedence = options.high_not_precedence;
  const std::string printed = print(ast->statement(), print_options);
  const auto again = parse(printed, options);
  if (!again.ok()) report({text, printed, again.error().message()});
  CHECK(again.ok());
  const std::string first = structure(*ast, options.high_not_precedence);
  const std::string second = structure(*again, options.high_not_precedence);
  if (first != second) report({text, printed, first, second});
  CHECK(first == second);
  CHECK(print(again->statement(), print_options) == printed);
}

}  // namespace
}  // namespace vitrail::sql

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail::sql;
  if (size == 0 || size > 2048) return 0;
  ParseOptions options;
  options.max_depth = 200;
  options.max_memory = 1 << 20;
  options.lex.ansi_quotes = (data[0] & 1) != 0;
  options.lex.no_backslash_escapes = (data[0] & 2) != 0;
  options.pipes_as_concat = (data[0] & 8) != 0;
  options.high_not_precedence = (data[0] & 16) != 0;
  const std::vector<char> text(data + 1, data + size);
  check_statement({text.data(), text.size()}, options);
  return 0;
}
