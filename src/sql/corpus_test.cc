// Every statement of the shared corpus: parses, prints, and comes back as the same tree.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/shared_for_test.h"
#include "sql/fingerprint.h"
#include "sql/parser.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::sql {
namespace {

const std::filesystem::path kCorpus = base::shared_folder() / "corpus" / "open";

void add_queries(const nlohmann::json& node, std::set<std::string>& out) {
  if (node.is_array()) {
    for (const auto& item : node) add_queries(item, out);
    return;
  }
  if (!node.is_object()) return;
  for (const char* key : {"query", "exec_query", "ref_query", "alter", "mariadb_alter"}) {
    if (const auto found = node.find(key); found != node.end() && found->is_string())
      out.insert(found->get<std::string>());
  }
  for (const char* key : {"setup", "mariadb_setup", "workload"}) {
    if (const auto found = node.find(key); found != node.end() && found->is_array()) {
      for (const auto& item : *found) {
        if (item.is_string()) out.insert(item.get<std::string>());
      }
    }
  }
  for (const char* key : {"steps", "expressions"}) {
    if (const auto found = node.find(key); found != node.end()) add_queries(*found, out);
  }
}

// Texts of the corpus, those of multi-statement scenarios split into statements.
const std::vector<std::string>& corpus() {
  static const std::vector<std::string> statements = [] {
    std::set<std::string> texts;
    std::error_code error;
    for (const auto& file : std::filesystem::directory_iterator(kCorpus, error)) {
      if (file.path().extension() != ".json") continue;
      std::ifstream in(file.path());
      add_queries(nlohmann::json::parse(in, nullptr, false), texts);
    }
    std::set<std::string> out;
    for (const std::string& text : texts) {
      const auto spans = split_statements(text);
      if (!spans.ok()) {
        out.insert(text);
        continue;
      }
      for (const Span& span : *spans) out.insert(std::string(span.of(text)));
    }
    return std::vector<std::string>(out.begin(), out.end());
  }();
  return statements;
}

class Corpus : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kCorpus)) GTEST_SKIP() << "no corpus at " << kCorpus;
    ASSERT_GT(corpus().size(), 7000u);
  }
};

std::string structure(const Ast& ast) {
  PrintOptions options;
  options.full_parentheses = true;
  return print(ast.statement(), options);
}

// Refused, and rightly so: no server and no Vitess parser takes them.
const std::set<std::string> kRefused = {
    "create view user.view_a as the quick brown fox",
    "select *, name, *, col from user order by col",                                    // A bare * only comes first.
    "select id from user limit 1 union all select id from music limit 1",               // Ambiguous LIMIT.
    "select id from user order by id union all select id from music order by id desc",  // Ambiguous ORDER BY.
    "the quick brown fox",
    "unexpected query",
};

TEST_F(Corpus, ParsesEverythingButTheKnownFew) {
  std::set<std::string> refused;
  for (const std::string& text : corpus()) {
    const auto ast = parse(text);
    if (ast.ok()) continue;
    refused.insert(text);
    EXPECT_TRUE(kRefused.contains(text)) << text.substr(0, 300) << "\n  => " << ast.error().message();
    EXPECT_EQ(ast.error().mysql_errno(), 1064);
  }
  EXPECT_EQ(refused, kRefused);
}

TEST_F(Corpus, GivesTheErrorTextsThatPlannerCasesExpect) {
  for (const auto& [text, expected] : std::map<std::string, std::string>{
           {"create view user.view_a as the quick brown fox", "syntax error at position 31 near 'the'"},
           {"select *, name, *, col from user order by col", "syntax error at position 18"},
           {"select id from user limit 1 union all select id from music limit 1",
            "syntax error at position 34 near 'union'"},
       }) {
    const auto ast = parse(text);
    ASSERT_FALSE(ast.ok());
    EXPECT_NE(ast.error().message().find(expected), std::string::npos) << ast.error().message();
  }
}

TEST_F(Corpus, PrintedTextComesBackAsTheSameTree) {
  for (const std::string& text : corpus()) {
    const auto ast = parse(text);
    if (!ast.ok()) continue;
    const std::string printed = print(ast->statement());
    const auto again = parse(printed);
    ASSERT_TRUE(again.ok()) << text << "\n  => " << printed << "\n  => " << again.error().message();
    EXPECT_EQ(printed, print(again->statement())) << text;
    EXPECT_EQ(structure(*ast), structure(*again)) << text;
    const auto structured = parse(structure(*ast));
    ASSERT_TRUE(structured.ok()) << text << "\n  => " << structure(*ast) << "\n  => " << structured.error().message();
    EXPECT_EQ(structure(*ast), structure(*structured)) << text;
    EXPECT_EQ(ast->kind(), again->kind()) << text;
    EXPECT_EQ(ast->parameter_count(), again->parameter_count()) << text;
  }
}

// Words and literals of a text with their counts; without those that canonical text adds, drops or respells.
std::map<std::string, int> vocabulary(std::string_view text) {
  static const std::set<std::string> kNoise = {
      "as",        "inner",    "outer", "cross",       "into",  "work",   "savepoint",
      "and",       "or",       "not",   "offset",      "value", "values", "all",
      "from",      "in",       "for",   "transaction", "start", "begin",  "key",
      "index",     "describe", "desc",  "explain",     "plan",  "local",  "no_write_to_binlog",
      "fields",    "columns",  "some",  "any",         "rlike", "regexp", "mod",
      "precision", "integer",  "1",     "'",           "then"};
  std::map<std::string, int> out;
  Lexer lexer(text);
  for (Token token = lexer.next(); token.type != TokenType::kEnd && token.type != TokenType::kError;
       token = lexer.next()) {
    std::string word(token.text(text));
    switch (token.type) {
      case TokenType::kWord:
      case TokenType::kIntroducer:
      case TokenType::kInteger:
      case TokenType::kDecimal:
      case TokenType::kFloat:
      case TokenType::kHex:
      case TokenType::kBit:
      case TokenType::kNationalString:
      case TokenType::kUserVariable:
      case TokenType::kBindVariable:
      case TokenType::kBindList:
      case TokenType::kHint:
      case TokenType::kDirective: break;
      case TokenType::kQuotedIdentifier:
      case TokenType::kString: word = word.substr(1, word.size() - 2); break;  // Aliases lose or change their quotes.
      default: continue;
    }
    std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
    if (!kNoise.contains(word)) ++out[word];
  }
  return out;
}

// The round trip above cannot see what parser and printer agree to forget; this does.
TEST_F(Corpus, PrintingLosesNoWord) {
  for (const std::string& text : corpus()) {
    const auto ast = parse(text);
    if (!ast.ok()) continue;
    EXPECT_EQ(vocabulary(text), vocabulary(print(ast->statement()))) << text << "\n  => " << print(ast->statement());
  }
}

TEST_F(Corpus, FingerprintSeesTheSameLiteralsAndKind) {
  std::vector<LiteralPosition> storage(4096);
  for (const std::string& text : corpus()) {
    const FingerprintResult result = fingerprint(text, storage);
    const auto ast = parse(text);
    if (!ast.ok()) continue;
    EXPECT_FALSE(result.malformed) << text;
    EXPECT_EQ(result.kind, ast->kind()) << text;
    if (result.has_more) continue;  // A stored program: the fingerprint covers it up to the first semicolon.
    EXPECT_EQ(result.literal_count, ast->literal_count()) << text;
    EXPECT_EQ(result.parameter_count, ast->parameter_count()) << text;
    struct Checker : Walker {
      bool enter(const Expr& expr) override {
        if (const auto* literal = as<Literal>(&expr); literal != nullptr && literal->index != Literal::kNoIndex) {
          EXPECT_LT(literal->index, literals.size());
          if (literal->index < literals.size()) EXPECT_EQ(literals[literal->index].text(text), literal->text);
        }
        return true;
      }
      std::string_view text;
      std::span<const LiteralPosition> literals;
    } checker;
    checker.text = text;
    checker.literals = result.literals;
    checker.walk(ast->statement());
  }
}

// Other values, blanks and comments do not change a fingerprint; other texts do.
TEST_F(Corpus, FingerprintStandsForTheTokensWithoutValues) {
  std::map<std::pair<uint64_t, uint64_t>, std::string> seen;
  for (const std::string& text : corpus()) {
    std::string canonical;  // Independent of fingerprint(): tokens with their types, values left out.
    std::string varied;
    Lexer lexer(text);
    Token previous;
    for (Token token = lexer.next(); token.type != TokenType::kEnd; token = lexer.next()) {
      std::string piece(token.text(text));
      if (is_literal(token.type)) {
        const bool value = previous.type == TokenType::kEqual || previous.type == TokenType::kComma ||
                           previous.type == TokenType::kLeftParen;  // Elsewhere a string may be an alias.
        if (token.type == TokenType::kInteger) piece = "987";
        if (token.type == TokenType::kString && value) piece = "'other'";
        canonical += "<" + std::to_string(static_cast<int>(token.type)) + ">";
      } else {
        canonical += std::to_string(static_cast<int>(token.type)) + "[" + piece + "]";
      }
      const bool glue = token.type == TokenType::kDot || previous.type == TokenType::kDot ||
                        previous.type == TokenType::kAtAt || varied.empty();
      varied += (glue ? "" : " /* c */\n") + piece;
      previous = token;
    }
    const Fingerprint print_of = fingerprint(text, {}).fingerprint;
    const bool dotted = text.find(" .") != std::string::npos || text.find(". ") != std::string::npos;
    if (!dotted) EXPECT_EQ(print_of, fingerprint(varied, {}).fingerprint) << text << "\n  => " << varied;
    const auto [at, fresh] = seen.emplace(std::pair(print_of.high, print_of.low), canonical);
    if (!fresh) EXPECT_EQ(at->second, canonical) << text;
  }
  EXPECT_GT(seen.size(), 1000u);
}

TEST_F(Corpus, WalksAndCollectsEveryStatement) {
  size_t uses = 0;
  for (const std::string& text : corpus()) {
    const auto ast = parse(text);
    if (!ast.ok()) continue;
    for (const TableUse& use : collect_tables(ast->statement())) {
      ++uses;
      EXPECT_LE(use.span.end(), text.size());
      EXPECT_EQ(use.name_span.end(), use.span.end()) << text;
    }
  }
  EXPECT_GT(uses, 3000u);
}

}  // namespace
}  // namespace vitrail::sql
