#include "tablet/query_rules.h"

#include <gtest/gtest.h>

namespace vitrail::tablet {
namespace {

// "FAIL r1", "FAIL_RETRY r1" or "".
std::string verdict(const std::string& json, const std::string& text, const std::string& user = "app") {
  const auto rules = QueryRules::parse(json);
  if (!rules.ok()) return "! " + rules.error().message();
  QueryGuard guard;
  const auto info = guard.classify(text);
  const auto found = rules->judge({*info, text, user});
  if (found.action == QueryRules::Action::kContinue) return "";
  return (found.action == QueryRules::Action::kFail ? "FAIL " : "FAIL_RETRY ") + found.name;
}

TEST(QueryRules, AreForStatementsThatFitAllTheyName) {
  struct Case {
    const char *conditions, *text, *user, *expected;
  };
  const Case cases[] = {
      {R"("Query": ".*")", "select 1", "app", "FAIL r"},
      {R"("TableNames": ["T"])", "select * from t join u", "app", "FAIL r"},
      {R"("TableNames": ["t"])", "select * from u", "app", ""},
      {R"("Plans": ["Update", "delete"])", "delete from t", "app", "FAIL r"},
      {R"("Plans": ["Update"])", "select 1", "app", ""},
      {R"("Plans": ["Insert"])", "replace into t values (1)", "app", "FAIL r"},
      {R"("User": "batch.*")", "select 1", "batch7", "FAIL r"},
      {R"("User": "batch")", "select 1", "batch7", ""},
      {R"("Query": "select \\* from t where a = .*")", "SELECT  * from t /* x */ where a=5", "app", "FAIL r"},
      {R"("Query": "select \\* from t")", "select * from t where a = 5", "app", ""},
      {R"("LeadingComment": ".*job=7.*")", "/* job=7 */ select 1", "app", "FAIL r"},
      {R"("LeadingComment": ".*job=7.*")", "select 1 /* job=7 */", "app", ""},
      {R"("TrailingComment": " */\\* job=7 \\*/")", "select 1 /* job=7 */", "app", "FAIL r"},
      {R"("TableNames": ["t"], "Plans": ["Select"], "User": "app")", "select * from t", "app", "FAIL r"},
      {R"("TableNames": ["t"], "Plans": ["Select"], "User": "app")", "update t set a = 1", "app", ""},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(verdict(std::string(R"([{"Name": "r", "Action": "FAIL", )") + c.conditions + "}]", c.text, c.user),
              c.expected)
        << c.conditions << " " << c.text;
  }
}

TEST(QueryRules, TheFirstThatRefusesDecides) {
  const char* rules = R"([{"Name": "a", "Query": ".*"}, {"Name": "b", "Plans": ["Select"], "Action": "FAIL_RETRY"},
                          {"Name": "c", "Action": "FAIL"}, {"Name": "d", "Action": "FAIL"}])";
  EXPECT_EQ(verdict(rules, "select 1"), "FAIL_RETRY b");
  EXPECT_EQ(verdict(rules, "insert into t values (1)"), "FAIL c");
  EXPECT_EQ(verdict("", "select 1"), "");
  EXPECT_EQ(verdict("[]", "select 1"), "");
}

TEST(QueryRules, LongStatementsAreSeenByTheirBeginning) {
  const std::string text = "select * from t where a in (" + std::string(1 << 20, '1') + ")";
  EXPECT_EQ(verdict(R"([{"Name": "r", "Query": "select \\* from t.*", "Action": "FAIL"}])", text), "FAIL r");
}

TEST(QueryRules, SaysAllThatIsWrong) {
  EXPECT_EQ(verdict("{}", ""), "! query rules are a JSON list of objects");
  EXPECT_EQ(verdict("[", ""), "! query rules are a JSON list of objects");
  EXPECT_EQ(
      verdict(R"([{"Plans": ["Selct"], "Action": "STOP"}, 7, {"Name": 7, "Other": ""}, {"RequestIP": "x"}])", ""),
      "! rule 1: 'selct' is not the name of a plan; rule 1: 'STOP' is no action: CONTINUE, FAIL or FAIL_RETRY; rule "
      "2: is no object; rule 3: Name is no text; rule 3: 'Other' is not known; rule 4: RequestIP is not offered: "
      "statements come with their values, through vtgates");
  EXPECT_EQ(verdict(R"([{"Action": "BUFFER"}])", ""), "! rule 1: the action BUFFER is not offered: take FAIL_RETRY");
  EXPECT_EQ(verdict(R"([{"Query": "(", "Action": "FAIL"}])", "").substr(0, 34), "! rule 1: Query '(' is no expressi");
}

TEST(QueryRules, CommentsAreThoseAtTheMargins) {
  const auto parts = split_comments(" /* a */ /* b */ select /* c */ 1 /* d */ ");
  EXPECT_EQ(parts.leading, " /* a */ /* b */ ");
  EXPECT_EQ(parts.statement, "select /* c */ 1");
  EXPECT_EQ(parts.trailing, " /* d */ ");
  EXPECT_EQ(split_comments("/* open").statement, "/* open");
  EXPECT_EQ(split_comments("").statement, "");
}

TEST(QueryRulesKeeper, CountsAndTellsWhatItRefuses) {
  base::Metrics metrics("test");
  QueryRulesKeeper keeper({}, metrics);
  QueryGuard guard;
  const auto info = guard.classify("select 1");
  EXPECT_TRUE(keeper.check({*info, "select 1", ""}).ok());
  ASSERT_TRUE(keeper.set_topology(R"([{"Name": "r", "Description": "why", "Action": "FAIL"}])").ok());
  const Status refused = keeper.check({*info, "select 1", ""});
  EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(refused.error().message(), "disallowed due to rule: why");
  EXPECT_FALSE(keeper.set_topology("nothing").ok());
  EXPECT_FALSE(keeper.check({*info, "select 1", ""}).ok());
  ASSERT_TRUE(keeper.set_topology("").ok());
  EXPECT_TRUE(keeper.check({*info, "select 1", ""}).ok());
}

}  // namespace
}  // namespace vitrail::tablet
