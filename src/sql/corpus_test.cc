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

#include "sql/fingerprint.h"
#include "sql/parser.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::sql {
namespace {

const std::filesystem::path kCorpus = std::filesystem::path(VITRAIL_SHARED_DIR) / "corpus" / "open";

void add_queries(const nlohmann::json& node, std::set<std::string>& out) {
  if (node.is_array()) {
    for (const auto& item : node) add_queries(item, out);
    return;
  }
  if (!node.is_object()) return;
  for (const char* key : {"query", "exec_query", "ref_query", "alter", "mariadb_alter"}) {
    if (const auto found = node.find(key); found != node.end() && found->is_string()) out.insert(found->get<std::string>());
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

TEST_F(Corpus, ParsesEverythingButTheKnownFew) {
  std::map<std::string, std::string> refused;
  for (const std::string& text : corpus()) {
    if (const auto ast = parse(text); !ast.ok()) refused[text] = ast.error().message();
  }
  for (const auto& [text, message] : refused) ADD_FAILURE() << text.substr(0, 300) << "\n  => " << message;
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
    EXPECT_EQ(ast->literal_count(), again->literal_count()) << text << "\n  => " << printed;
    EXPECT_EQ(ast->parameter_count(), again->parameter_count()) << text;
  }
}

}  // namespace
}  // namespace vitrail::sql
