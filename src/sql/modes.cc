#include "sql/modes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>
#include <vector>

#include "base/text.h"
#include "sql/lexer.h"
#include "sql/literal.h"
#include "sql/names.h"
#include "sql/parser.h"
#include "sql/printer.h"

namespace vitrail::sql {
namespace {

// All that MariaDB and MySQL know, in the order in which they tell them.
constexpr auto kOrder = std::to_array<std::string_view>({"REAL_AS_FLOAT",
                                                         "PIPES_AS_CONCAT",
                                                         "ANSI_QUOTES",
                                                         "IGNORE_SPACE",
                                                         "IGNORE_BAD_TABLE_OPTIONS",
                                                         "ONLY_FULL_GROUP_BY",
                                                         "NO_UNSIGNED_SUBTRACTION",
                                                         "NO_DIR_IN_CREATE",
                                                         "NO_KEY_OPTIONS",
                                                         "NO_TABLE_OPTIONS",
                                                         "NO_FIELD_OPTIONS",
                                                         "ANSI",
                                                         "NO_AUTO_VALUE_ON_ZERO",
                                                         "NO_BACKSLASH_ESCAPES",
                                                         "STRICT_TRANS_TABLES",
                                                         "STRICT_ALL_TABLES",
                                                         "NO_ZERO_IN_DATE",
                                                         "NO_ZERO_DATE",
                                                         "ALLOW_INVALID_DATES",
                                                         "ERROR_FOR_DIVISION_BY_ZERO",
                                                         "TRADITIONAL",
                                                         "NO_AUTO_CREATE_USER",
                                                         "HIGH_NOT_PRECEDENCE",
                                                         "NO_ENGINE_SUBSTITUTION",
                                                         "PAD_CHAR_TO_FULL_LENGTH",
                                                         "EMPTY_STRING_IS_NULL",
                                                         "SIMULTANEOUS_ASSIGNMENT",
                                                         "TIME_ROUND_FRACTIONAL"});

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::toupper(c); });
  return out;
}

void add_mode(std::vector<std::string>& list, std::string_view mode) {
  if (std::ranges::find(list, mode) == list.end()) list.emplace_back(mode);
}

// What a name of several modes stands for.
void add_meant(std::vector<std::string>& list, const std::string& mode) {
  if (mode == "ANSI") {
    for (const char* one : {"REAL_AS_FLOAT", "PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE"}) add_mode(list, one);
  } else if (mode == "TRADITIONAL") {
    for (const char* one : {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "NO_ZERO_IN_DATE", "NO_ZERO_DATE",
                            "ERROR_FOR_DIVISION_BY_ZERO", "NO_AUTO_CREATE_USER"}) {
      add_mode(list, one);
    }
  }
  add_mode(list, mode);
}

std::string joined(const std::vector<std::string>& list) {
  std::string out;
  for (const auto& mode : list) out += (out.empty() ? "" : ",") + mode;
  return out;
}

LexOptions lex_options(const ReadingModes& modes) {
  return {.ansi_quotes = modes.ansi_quotes, .no_backslash_escapes = modes.no_backslash_escapes};
}

ParseOptions parse_options(const ReadingModes& modes) {
  return {.lex = lex_options(modes), .pipes_as_concat = modes.pipes_as_concat};
}

struct Reading {
  bool quotes = false;     // Identifiers in ", or texts with backslashes.
  bool pipes = false;      // ||
  bool like = false;       // LIKE, whose escape is another one.
  bool malformed = false;  // For the parser to say.
  bool any() const { return quotes || pipes || like; }
};

Reading reading_of(std::string_view text, const ReadingModes& modes) {
  Reading use;
  Lexer lexer(text, lex_options(modes));
  for (Token token = lexer.next(); token.type != TokenType::kEnd; token = lexer.next()) {
    const std::string_view word = token.text(text);
    switch (token.type) {
      case TokenType::kError: use.malformed = true; return use;
      case TokenType::kQuotedIdentifier: use.quotes = use.quotes || word.front() == '"'; break;
      case TokenType::kString:
      case TokenType::kNationalString:
      case TokenType::kUserVariable:
        use.quotes = use.quotes || (modes.no_backslash_escapes && word.find('\\') != std::string_view::npos) ||
                     (modes.ansi_quotes && word.starts_with("@\""));
        break;
      case TokenType::kOr: use.pipes = use.pipes || modes.pipes_as_concat; break;
      case TokenType::kWord:
        use.like = use.like || (modes.no_backslash_escapes && token.keyword == Keyword::kLike);
        break;
      default: break;
    }
  }
  return use;
}

// A token of a quoted name or text, for a reader without the modes.
void append_plainly(std::string& out, std::string_view token, const ReadingModes& modes) {
  const size_t quote = token.find_first_of("'\"`");
  if (quote == std::string_view::npos || token[quote] == '`') {
    out += token;
    return;
  }
  const bool name = token[quote] == '"' && modes.ansi_quotes;
  out += token.substr(0, quote);
  out += name ? '`' : token[quote];
  const std::string_view inside = token.substr(quote + 1, token.size() - quote - 2);
  for (size_t i = 0; i < inside.size(); ++i) {
    const char c = inside[i];
    if (name && c == '"') {
      ++i;  // It is written twice.
    } else if ((name && c == '`') || (!name && c == '\\' && modes.no_backslash_escapes)) {
      out += c;
    }
    out += c;
  }
  out += name ? '`' : token[quote];
}

std::string with_plain_tokens(std::string_view text, const ReadingModes& modes) {
  std::string out;
  size_t copied = 0;
  Lexer lexer(text, lex_options(modes));
  for (Token token = lexer.next_raw(); token.type != TokenType::kEnd && token.type != TokenType::kError;
       token = lexer.next_raw()) {
    const bool quoted = token.type == TokenType::kQuotedIdentifier || token.type == TokenType::kString ||
                        token.type == TokenType::kNationalString || token.type == TokenType::kUserVariable;
    if (!quoted) continue;
    out += text.substr(copied, token.offset - copied);
    append_plainly(out, token.text(text), modes);
    copied = token.end();
  }
  return out.append(text.substr(copied));
}

// Where a tree tells what is meant: columns keep the names that they have as the client wrote them.
std::string with_plain_operators(Ast& ast, const ReadingModes& modes) {
  keep_column_names(ast);
  PrintOptions options;
  options.expr = [&](const Expr& expr, std::string& out) {
    if (const auto* binary = as<Binary>(&expr); binary != nullptr && binary->op == BinaryOp::kConcat) {
      out += "concat(" + print(*binary->left, options) + ", " + print(*binary->right, options) + ")";
      return true;
    }
    const auto* like = as<Like>(&expr);
    if (like == nullptr || like->escape != nullptr || !modes.no_backslash_escapes) return false;
    // As servers with the mode have it; whether a backslash escapes then is theirs to say.
    out += "(" + print(*like->left, options) + ") " + (like->negated ? "not like (" : "like (") +
           print(*like->pattern, options) + ") escape ''";
    return true;
  };
  return print(ast.statement(), options);
}

bool is_tree(StatementKind kind) {
  using enum StatementKind;
  return kind == kSelect || kind == kInsert || kind == kReplace || kind == kUpdate || kind == kDelete || kind == kDo ||
         kind == kSet || kind == kCall;
}

Result<std::string> one_without_modes(std::string_view text, const ReadingModes& modes) {
  const Reading use = reading_of(text, modes);
  if (use.pipes || use.like || use.quotes) {
    ASSIGN_OR_RETURN(Ast ast, parse(text, parse_options(modes)));
    if (is_tree(ast.kind())) return with_plain_tokens(with_plain_operators(ast, modes), modes);
  }
  if (use.pipes) {
    return fail(Code::kUnimplemented,
                "VT12001: unsupported: || in this statement under sql_mode PIPES_AS_CONCAT; write CONCAT()");
  }
  return with_plain_tokens(text, modes);
}

}  // namespace

SplitModes split_modes(std::string_view list) {
  std::vector<std::string> modes;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view mode = list.substr(0, comma);
    while (!mode.empty() && mode.front() == ' ') mode.remove_prefix(1);
    while (!mode.empty() && mode.back() == ' ') mode.remove_suffix(1);
    if (!mode.empty()) add_meant(modes, upper(mode));
    list = comma == std::string_view::npos ? "" : list.substr(comma + 1);
  }
  SplitModes out;
  std::vector<std::string> others;
  for (const auto& mode : modes) {
    bool* flag = mode == "ANSI_QUOTES"            ? &out.reading.ansi_quotes
                 : mode == "NO_BACKSLASH_ESCAPES" ? &out.reading.no_backslash_escapes
                 : mode == "PIPES_AS_CONCAT"      ? &out.reading.pipes_as_concat
                                                  : nullptr;
    if (flag != nullptr) {
      *flag = true;
    } else if (mode != "ANSI") {
      others.push_back(base::to_lower(mode));
    }
  }
  out.others = joined(others);
  const auto rank = [](const std::string& mode) { return std::ranges::find(kOrder, mode) - kOrder.begin(); };
  std::ranges::sort(modes, [&](const auto& a, const auto& b) { return std::pair(rank(a), a) < std::pair(rank(b), b); });
  out.all = joined(modes);
  return out;
}

Result<std::optional<std::string>> without_modes(std::string_view text, const ReadingModes& modes) {
  const Reading use = reading_of(text, modes);
  if (use.malformed || !use.any()) return std::optional<std::string>();  // What is wrong with it is told as always.
  ASSIGN_OR_RETURN(const auto spans, split_statements(text, lex_options(modes)));
  std::string out;
  for (const Span& span : spans) {
    if (!out.empty()) out += "; ";
    ASSIGN_OR_RETURN(const std::string one, one_without_modes(span.of(text), modes));
    out += one;
  }
  return std::optional(std::move(out));
}

}  // namespace vitrail::sql
