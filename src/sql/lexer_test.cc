#include "sql/lexer.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "sql/fingerprint.h"
#include "sql/literal.h"

namespace vitrail::sql {
namespace {

std::string_view type_name(TokenType type) {
  switch (type) {
    case TokenType::kEnd: return "end";
    case TokenType::kError: return "error";
    case TokenType::kWord: return "word";
    case TokenType::kQuotedIdentifier: return "quoted";
    case TokenType::kIntroducer: return "introducer";
    case TokenType::kUserVariable: return "uservar";
    case TokenType::kAtAt: return "atat";
    case TokenType::kInteger: return "int";
    case TokenType::kDecimal: return "decimal";
    case TokenType::kFloat: return "float";
    case TokenType::kHex: return "hex";
    case TokenType::kBit: return "bit";
    case TokenType::kString: return "string";
    case TokenType::kNationalString: return "nstring";
    case TokenType::kParameter: return "param";
    case TokenType::kBindVariable: return "bind";
    case TokenType::kBindList: return "bindlist";
    case TokenType::kHint: return "hint";
    case TokenType::kDirective: return "directive";
    default: return "op";
  }
}

// "word[select] int[1]": every token of a text, operators as themselves.
std::string tokens(std::string_view text, const LexOptions& options = {}) {
  std::string out;
  Lexer lexer(text, options);
  for (Token token = lexer.next(); token.type != TokenType::kEnd; token = lexer.next()) {
    if (!out.empty()) out += ' ';
    const std::string_view name = type_name(token.type);
    if (name == "op") {
      out += token.text(text);
    } else {
      out += fmt::format("{}[{}]", name, token.text(text));
    }
    if (token.type == TokenType::kError) break;
  }
  return out;
}

LexOptions ansi_quotes() { return {.ansi_quotes = true}; }
LexOptions no_backslash() { return {.no_backslash_escapes = true}; }
LexOptions mysql8() { return {.server_version = 80400, .mariadb = false}; }

// ---- Lexer ----------------------------------------------------------------------------------------------------------

TEST(Lexer, ReadsNamesNumbersAndOperators) {
  EXPECT_EQ(tokens("select a,b1 from t$_x"), "word[select] word[a] , word[b1] word[from] word[t$_x]");
  EXPECT_EQ(tokens("1 1.5 .5 1. 1e5 1.5E-3 1e+2"),
            "int[1] decimal[1.5] decimal[.5] decimal[1.] float[1e5] float[1.5E-3] float[1e+2]");
  EXPECT_EQ(tokens("a<=>b<>c!=d<=e>=f<<g>>h:=i&&j||k->l->>m"),
            "word[a] <=> word[b] <> word[c] != word[d] <= word[e] >= word[f] << word[g] >> word[h] := word[i] && "
            "word[j] || word[k] -> word[l] ->> word[m]");
  EXPECT_EQ(tokens("a-1"), "word[a] - int[1]");
  EXPECT_EQ(tokens("schlüssel"), "word[schlüssel]");
  EXPECT_EQ(tokens("\\N"), "word[\\N]");
}

TEST(Lexer, ReadsNamesThatStartLikeNumbers) {
  EXPECT_EQ(tokens("1a"), "word[1a]");
  EXPECT_EQ(tokens("1e"), "word[1e]");
  EXPECT_EQ(tokens("0xZZ"), "word[0xZZ]");
  EXPECT_EQ(tokens("0x"), "word[0x]");
  EXPECT_EQ(tokens("0b12"), "word[0b12]");
  EXPECT_EQ(tokens("1e5x"), "float[1e5] word[x]");
}

TEST(Lexer, TakesWhatFollowsADotForAName) {
  EXPECT_EQ(tokens("t.1a"), "word[t] . word[1a]");
  EXPECT_EQ(tokens("t.123"), "word[t] . word[123]");
  EXPECT_EQ(tokens("`t`.1e5"), "quoted[`t`] . word[1e5]");
  EXPECT_EQ(tokens("a.b.c"), "word[a] . word[b] . word[c]");
  EXPECT_EQ(tokens("t.x'41'"), "word[t] . word[x] string['41']");
  EXPECT_EQ(tokens("t .5"), "word[t] decimal[.5]");
  Lexer lexer("t.select");
  lexer.next();
  lexer.next();
  EXPECT_EQ(lexer.next().keyword, Keyword::kNone);
}

TEST(Lexer, ReadsHexBitAndCharsetLiterals) {
  EXPECT_EQ(tokens("0x1F x'1f' X'AB' 0b01 b'1' B''"), "hex[0x1F] hex[x'1f'] hex[X'AB'] bit[0b01] bit[b'1'] bit[B'']");
  EXPECT_EQ(tokens("x'1'"), "error[x'1]");
  EXPECT_EQ(tokens("x'zz'"), "error[x']");
  EXPECT_EQ(tokens("b'12'"), "error[b'1]");
  EXPECT_EQ(tokens("n'x' N'y'"), "nstring[n'x'] nstring[N'y']");
  EXPECT_EQ(tokens("_utf8mb4'x' _UTF8 'x' _mine"),
            "introducer[_utf8mb4] string['x'] introducer[_UTF8] string['x'] word[_mine]");
}

TEST(Lexer, ReadsStringsWithEscapes) {
  EXPECT_EQ(tokens("'a''b' 'c\\'d' \"e\"\"f\""), "string['a''b'] string['c\\'d'] string[\"e\"\"f\"]");
  EXPECT_EQ(tokens("'a\\' b", no_backslash()), "string['a\\'] word[b]");
  EXPECT_EQ(tokens("'a\\'"), "error['a\\']");
  EXPECT_EQ(tokens("'abc"), "error['abc]");
  EXPECT_EQ(tokens("'abc\\"), "error['abc\\]");
  EXPECT_EQ(tokens("`a``b` `c"), "quoted[`a``b`] error[`c]");
  EXPECT_EQ(tokens("\"a\"\"b\"", ansi_quotes()), "quoted[\"a\"\"b\"]");
  EXPECT_EQ(tokens("\"a\\\"", ansi_quotes()), "quoted[\"a\\\"]");
}

TEST(Lexer, ReadsVariablesAndParameters) {
  EXPECT_EQ(tokens("@a @a.b$ @'x y' @`q` @\"z\" @"),
            "uservar[@a] uservar[@a.b$] uservar[@'x y'] uservar[@`q`] uservar[@\"z\"] uservar[@]");
  EXPECT_EQ(tokens("@@session.sql_mode"), "atat[@@] word[session] . word[sql_mode]");
  EXPECT_EQ(tokens("? :v1 ::list : :: :=1"), "param[?] bind[:v1] bindlist[::list] : : : := int[1]");
  Lexer lexer("? 1 ? 'a'");
  EXPECT_EQ(lexer.next().index, 0u);
  EXPECT_EQ(lexer.next().index, 0u);
  EXPECT_EQ(lexer.next().index, 1u);
  EXPECT_EQ(lexer.next().index, 1u);
}

TEST(Lexer, SkipsComments) {
  EXPECT_EQ(tokens("a -- x\nb # y\nc /* z */ d"), "word[a] word[b] word[c] word[d]");
  EXPECT_EQ(tokens("5--3"), "int[5] - - int[3]");
  EXPECT_EQ(tokens("a --"), "word[a]");
  EXPECT_EQ(tokens("a #"), "word[a]");
  EXPECT_EQ(tokens("a /* b"), "word[a] error[ /* b]");
  EXPECT_EQ(tokens("a /**/ b /***/ c"), "word[a] word[b] word[c]");
  EXPECT_EQ(tokens("a */ b"), "word[a] * / word[b]");
}

TEST(Lexer, KeepsHintsAndDirectives) {
  EXPECT_EQ(tokens("select /*+ X(1) */ /*vt+ A=1 */ 1"),
            "word[select] hint[/*+ X(1) */] directive[/*vt+ A=1 */] int[1]");
  EXPECT_EQ(tokens("select /*+ x"), "word[select] error[/*+ x]");
  EXPECT_EQ(tokens("/*vt*/ 1 /*v"), "int[1] error[ /*v]");
}

TEST(Lexer, OpensExecutableCommentsTheServerWouldRun) {
  EXPECT_EQ(tokens("a /*! b */ c"), "word[a] word[b] word[c]");
  EXPECT_EQ(tokens("a /*!50001 b */ c"), "word[a] word[b] word[c]");
  EXPECT_EQ(tokens("a /*!80000 b */ c"), "word[a] word[c]");           // MariaDB leaves 5.7 and later to MySQL,
  EXPECT_EQ(tokens("a /*!100100 b */ c"), "word[a] word[b] word[c]");  // knows its own versions,
  EXPECT_EQ(tokens("a /*!120000 b */ c"), "word[a] word[c]");          // but not those to come.
  EXPECT_EQ(tokens("a /*M!100100 b */ c"), "word[a] word[b] word[c]");
  EXPECT_EQ(tokens("a /*M! b */ c", mysql8()), "word[a] word[c]");
  EXPECT_EQ(tokens("a /*!80000 b */ c", mysql8()), "word[a] word[b] word[c]");
  EXPECT_EQ(tokens("a /*!90000 b /* x */ */ c", mysql8()), "word[a] word[c]");
  EXPECT_EQ(tokens("a /*! b /* x */ c */ d"), "word[a] word[b] word[c] word[d]");
  EXPECT_EQ(tokens("a /*! b"), "word[a] word[b] error[]");
  Lexer lexer("/*! a */ b");
  EXPECT_TRUE(lexer.next().in_executable_comment);
  EXPECT_FALSE(lexer.next().in_executable_comment);
}

TEST(Lexer, NamesTheByteThatStartsNoToken) {
  EXPECT_EQ(tokens(std::string_view("a \0 b", 5)), std::string_view("word[a] error[\0]", 16));
  EXPECT_EQ(tokens("a \x01"), "word[a] error[\x01]");
  EXPECT_EQ(tokens(""), "");
}

TEST(Keywords, AreFoundInAnyCase) {
  EXPECT_EQ(find_keyword("SeLeCt"), Keyword::kSelect);
  EXPECT_EQ(find_keyword("selec"), Keyword::kNone);
  EXPECT_EQ(find_keyword("selects"), Keyword::kNone);
  EXPECT_EQ(find_keyword(""), Keyword::kNone);
  EXPECT_EQ(keyword_text(Keyword::kVitessMigration), "vitess_migration");
  EXPECT_TRUE(needs_quotes("select"));
  EXPECT_TRUE(needs_quotes("rank"));    // MySQL only.
  EXPECT_TRUE(needs_quotes("offset"));  // MariaDB only.
  EXPECT_FALSE(needs_quotes("name"));
  EXPECT_TRUE(needs_quotes("1a"));
  EXPECT_TRUE(needs_quotes("a b"));
  EXPECT_TRUE(needs_quotes("_utf8"));
}

// ---- Fingerprint ----------------------------------------------------------------------------------------------------

class FingerprintTest : public ::testing::Test {
 protected:
  FingerprintResult read(std::string_view text) { return fingerprint(text, storage_); }
  Fingerprint of(std::string_view text) { return read(text).fingerprint; }
  StatementKind kind(std::string_view text) { return read(text).kind; }

  std::array<LiteralPosition, 8> storage_;
};

TEST_F(FingerprintTest, IgnoresValuesBlanksAndComments) {
  const Fingerprint base = of("select a from t where id = 1 and b = 'x'");
  EXPECT_EQ(base, of("select a from t where id = 234567890123 and b = 'another ''value'''"));
  EXPECT_EQ(base, of("  select a\nfrom\tt where id=1 and b='x'  ; "));
  EXPECT_EQ(base, of("/* c */ select a /* d */ from t -- e\n where id = 1 and b = 'x' # f"));
  EXPECT_EQ(base, of(";; select a from t where id = 1 and b = 'x'"));
}

TEST_F(FingerprintTest, TellsEverythingElseApart) {
  const std::vector<std::string> texts = {
      "select a from t where id = 1",
      "select a from t where id = '1'",
      "select a from t where id = 1.0",
      "select a from t where id = 1e0",
      "select a from t where id = 0x01",
      "select a from t where id = b'1'",
      "select a from t where id = n'1'",
      "select a from t where id = -1",
      "select a from t where id = ?",
      "select a from t where id = :a",
      "select a from t where id = :b",
      "select a from t where id = null",
      "select A from t where id = 1",
      "SELECT a from t where id = 1",
      "select `a` from t where id = 1",
      "select a from t where id in (1)",
      "select a from t where id in (1, 2)",
      "select a from t where id in (1, 2, 3)",
      "select /*+ X */ a from t where id = 1",
      "select /*+ Y */ a from t where id = 1",
      "select /*vt+ X=1 */ a from t where id = 1",
      "select /*vt+ X=2 */ a from t where id = 1",
      "select a from t /*! where id = 1 */",
      "select a from t where id = @a",
      "select a from t where id = @b",
      "select ab from t where id = 1",
      "select a b from t where id = 1",
      "select a from t where id = 1 + 1",
      "select a from t where id = 1; select 1",
  };
  for (size_t i = 0; i < texts.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const bool same = of(texts[i]) == of(texts[j]);
      // The last one differs in has_more only: it covers the first statement.
      EXPECT_EQ(same, i + 1 == texts.size() && j == 0) << texts[i] << " / " << texts[j];
    }
  }
  EXPECT_TRUE(read(texts.back()).has_more);
}

TEST_F(FingerprintTest, KeepsTheNamesOfResultColumnsApart) {
  EXPECT_NE(of("select a as 'x' from t"), of("select a as 'y' from t"));
  EXPECT_NE(of("select a 'x' from t"), of("select a 'y' from t"));
  EXPECT_NE(of("select f(a) 'x' from t"), of("select f(a) 'y' from t"));
  EXPECT_NE(of("select 1 'x'"), of("select 1 'y'"));
  EXPECT_NE(of("select null 'x'"), of("select null 'y'"));
  EXPECT_EQ(of("select a from t where b like 'x'"), of("select a from t where b like 'y'"));
  EXPECT_EQ(of("select date '2020-01-01'"), of("select date '2020-01-02'"));
  EXPECT_EQ(of("select 'a' 'b'"), of("select 'c' 'd'"));
  EXPECT_EQ(of("select _utf8 'b'"), of("select _utf8 'd'"));
}

TEST_F(FingerprintTest, SeesFunctionsOfTheSession) {
  for (const char* text : {"select last_insert_id()", "select FOUND_ROWS()", "insert into t values (Row_Count())",
                           "select a from t where d = database()", "select connection_id ()", "select schema()"}) {
    EXPECT_TRUE(read(text).has_session_function) << text;
  }
  for (const char* text : {"select `database` from t", "select 'database()'", "select database1 from t", "select 1",
                           "select last_insert_idx()", "select /* found_rows() */ 1"}) {
    EXPECT_FALSE(read(text).has_session_function) << text;
  }
}

TEST_F(FingerprintTest, RecordsLiteralsInOrder) {
  const std::string_view text = "insert into t values (1, -2.5, 'x', 0xFF, 1e3, b'1')";
  const FingerprintResult result = read(text);
  ASSERT_EQ(result.literal_count, 6u);
  ASSERT_EQ(result.literals.size(), 6u);
  EXPECT_EQ(result.literals[0].text(text), "1");
  EXPECT_EQ(result.literals[0].type, TokenType::kInteger);
  EXPECT_EQ(result.literals[1].text(text), "2.5");
  EXPECT_EQ(result.literals[2].text(text), "'x'");
  EXPECT_EQ(result.literals[3].type, TokenType::kHex);
  EXPECT_EQ(result.literals[4].type, TokenType::kFloat);
  EXPECT_EQ(result.literals[5].text(text), "b'1'");
}

TEST_F(FingerprintTest, StopsRecordingAtTheEndOfTheStorage) {
  std::array<LiteralPosition, 2> two;
  const FingerprintResult result = fingerprint("select 1, 2, 3", two);
  EXPECT_EQ(result.literal_count, 3u);
  EXPECT_EQ(result.literals.size(), 2u);
  EXPECT_EQ(fingerprint("select 1", {}).literal_count, 1u);
}

TEST_F(FingerprintTest, ReportsWhatAStatementUses) {
  EXPECT_TRUE(read("select @a").has_user_variable);
  EXPECT_TRUE(read("select @@a").has_system_variable);
  EXPECT_TRUE(read("select :a").has_bind_variable);
  EXPECT_TRUE(read("select /*vt+ A */ 1").has_directive);
  EXPECT_TRUE(read("select /*+ A */ 1").has_hint);
  EXPECT_TRUE(read("select /*! 1 */").has_executable_comment);
  EXPECT_EQ(read("select ?, ?").parameter_count, 2u);
  EXPECT_TRUE(read("select 'a").malformed);
  const FingerprintResult plain = read("  select a from t ; ");
  EXPECT_FALSE(plain.malformed || plain.has_more || plain.has_hint || plain.has_directive || plain.has_user_variable);
  EXPECT_EQ(plain.first_offset, 2u);
  EXPECT_EQ(plain.end_offset, 17u);
}

TEST_F(FingerprintTest, TellsTheStatementKind) {
  EXPECT_EQ(kind(""), StatementKind::kEmpty);
  EXPECT_EQ(kind(" -- x"), StatementKind::kEmpty);
  EXPECT_EQ(kind("; ;"), StatementKind::kEmpty);
  EXPECT_EQ(kind("the quick"), StatementKind::kUnknown);
  EXPECT_EQ(kind("select 1"), StatementKind::kSelect);
  EXPECT_EQ(kind("/*vt+ A */ ((SELECT 1))"), StatementKind::kSelect);
  EXPECT_EQ(kind("with x as (delete) select 1"), StatementKind::kSelect);
  EXPECT_EQ(kind("with x as (select 1) (select 2)"), StatementKind::kSelect);
  EXPECT_EQ(kind("with x (a, b) as (select 1) update t set a = 1"), StatementKind::kUpdate);
  EXPECT_EQ(kind("with recursive x as (select 1), y as (select 2) delete from t"), StatementKind::kDelete);
  EXPECT_EQ(kind("rollback"), StatementKind::kRollback);
  EXPECT_EQ(kind("rollback work to x"), StatementKind::kRollbackTo);
  EXPECT_EQ(kind("rollback to savepoint x"), StatementKind::kRollbackTo);
  EXPECT_EQ(kind("start transaction read only"), StatementKind::kBegin);
  EXPECT_EQ(kind("start slave"), StatementKind::kOther);
  EXPECT_EQ(kind("alter table t add a int"), StatementKind::kDdl);
  EXPECT_EQ(kind("alter vschema add table t"), StatementKind::kAlterVschema);
  EXPECT_EQ(kind("analyze table t"), StatementKind::kTableAdmin);
  EXPECT_EQ(kind("analyze select 1"), StatementKind::kExplain);
  EXPECT_EQ(kind("drop prepare p"), StatementKind::kDeallocate);
}

// No assertion on time: the figure is for people.
TEST_F(FingerprintTest, PrintsWhatAPointSelectCosts) {
  const std::string_view text = "select c from sbtest1 where id = 123456 and k between 1 and 9";
  uint64_t folded = 0;
  constexpr int kRounds = 200'000;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) folded += of(text).low;
  const auto spent = std::chrono::steady_clock::now() - start;
  fmt::print("fingerprint of {} bytes: {:.0f} ns\n", text.size(),
             std::chrono::duration<double, std::nano>(spent).count() / kRounds);
  EXPECT_EQ(folded, of(text).low * kRounds);
  EXPECT_EQ(of(text), of("select c from sbtest1 where id = 7 and k between 2 and 3"));
}

// ---- Literal values -------------------------------------------------------------------------------------------------

std::string bytes_of(TokenType type, std::string_view token, bool no_backslash_escapes = false) {
  std::string out;
  if (!append_bytes(type, token, no_backslash_escapes, out)) return "<not a literal>";
  return out;
}

TEST(LiteralValue, UndoesQuotesAndEscapes) {
  EXPECT_EQ(bytes_of(TokenType::kString, "'a''b\\n\\'\\\\\\%\\_\\x'"), "a'b\n'\\\\%\\_x");
  EXPECT_EQ(bytes_of(TokenType::kString, "\"a\"\"b'c\""), "a\"b'c");
  EXPECT_EQ(bytes_of(TokenType::kString, "'a\\0b\\Z'"), std::string("a\0b\x1a", 4));
  EXPECT_EQ(bytes_of(TokenType::kString, "'a\\nb'", true), "a\\nb");
  EXPECT_EQ(bytes_of(TokenType::kNationalString, "n'x'"), "x");
  EXPECT_EQ(bytes_of(TokenType::kString, "'"), "<not a literal>");
}

TEST(LiteralValue, ReadsHexAndBits) {
  EXPECT_EQ(bytes_of(TokenType::kHex, "x'4a4B'"), "JK");
  EXPECT_EQ(bytes_of(TokenType::kHex, "0x4a4B"), "JK");
  EXPECT_EQ(bytes_of(TokenType::kHex, "0x9"), "\t");
  EXPECT_EQ(bytes_of(TokenType::kBit, "b'1001'"), "\t");
  EXPECT_EQ(bytes_of(TokenType::kBit, "0b10011011010"), "\x04\xda");
  EXPECT_EQ(bytes_of(TokenType::kHex, "x''"), "");
}

TEST(LiteralValue, ReadsIntegersThatFit) {
  EXPECT_EQ(integer_value("0"), 0u);
  EXPECT_EQ(integer_value("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(integer_value("18446744073709551616"), std::nullopt);
  EXPECT_EQ(integer_value("99999999999999999999999"), std::nullopt);
  EXPECT_EQ(integer_value("1a"), std::nullopt);
  EXPECT_EQ(integer_value(""), std::nullopt);
}

TEST(LiteralValue, QuotesSoThatItReadsBack) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  for (bool no_backslash_escapes : {false, true}) {
    const std::string quoted = quote_string(all, no_backslash_escapes);
    Lexer lexer(quoted, {.no_backslash_escapes = no_backslash_escapes});
    const Token token = lexer.next();
    ASSERT_EQ(token.type, TokenType::kString);
    EXPECT_EQ(token.length, quoted.size());
    EXPECT_EQ(bytes_of(TokenType::kString, quoted, no_backslash_escapes), all);
  }
}

}  // namespace
}  // namespace vitrail::sql
