#include "sql/modes.h"

#include <gtest/gtest.h>

namespace vitrail::sql {
namespace {

std::string plain(std::string_view text, const ReadingModes& modes) {
  const auto out = without_modes(text, modes);
  if (!out.ok()) return out.error().message();
  return *out ? **out : "as it is";
}

TEST(Modes, AreSplit) {
  const auto split = split_modes("strict_trans_tables, ANSI_QUOTES,No_Backslash_Escapes");
  EXPECT_EQ(split.reading, (ReadingModes{.ansi_quotes = true, .no_backslash_escapes = true}));
  EXPECT_EQ(split.others, "strict_trans_tables");
  EXPECT_EQ(split.all, "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES");
  const auto ansi = split_modes("ansi");
  EXPECT_EQ(ansi.reading, (ReadingModes{.ansi_quotes = true, .pipes_as_concat = true}));
  EXPECT_EQ(ansi.others, "real_as_float,ignore_space");
  EXPECT_EQ(ansi.all, "REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ANSI");
  EXPECT_FALSE(split_modes("TRADITIONAL,NO_SUCH_MODE").reading.any());
  EXPECT_TRUE(split_modes("TRADITIONAL,NO_SUCH_MODE").others.ends_with(",no_such_mode"));
  EXPECT_EQ(split_modes(" , ").all, "");
}

TEST(Modes, NamesInQuotesAreWrittenAsNames) {
  const ReadingModes ansi{.ansi_quotes = true};
  const std::pair<const char*, const char*> cases[] = {
      {"select 'a', `b` from t", "as it is"},
      {R"(select "a" from "t" where "t"."b" = 'x"y')", R"(select a from t where t.b = 'x"y')"},
      {R"(select "a"+1, "it""s" from t)", R"(select a + 1 as `"a"+1`, `it"s` from t)"},
      {R"(insert into "t"("a`b") values ('x'))", R"(insert into t (`a``b`) values ('x'))"},
      {R"(create table "t" ("a" varchar(9) default 'x"'))", R"(create table `t` (`a` varchar(9) default 'x"'))"},
      {R"(select @"v" from t)", R"(select @v as `@"v"` from t)"},
      {R"(select "a" from t; delete from "t" where "a" = 1)", "select a from t; delete from t where a = 1"},
      {R"(select "a)", "as it is"},  // What is wrong with it is told where it is run.
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(plain(text, ansi), expected) << text;
}

TEST(Modes, BackslashesAreEscaped) {
  const ReadingModes modes{.no_backslash_escapes = true};
  const std::pair<const char*, const char*> cases[] = {
      {R"(select 'a''b')", "as it is"},
      {R"(insert into t values ('a\', "b\n"))", R"(insert into t values ('a\\', "b\\n"))"},
      {R"(create table t (a varchar(9) default '\'))", R"(create table t (a varchar(9) default '\\'))"},
      {R"(select a from t where a like 'x\%')", R"(select a from t where ((a) like ('x\\%') escape ''))"},
      {R"(select a from t where a not like 'x\%' escape '\')",
       R"(select a from t where a not like 'x\\%' escape '\\')"},
      {R"(select a from t where a like b)", R"(select a from t where ((a) like (b) escape ''))"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(plain(text, modes), expected) << text;
  EXPECT_EQ(plain(R"(select "a" from t where "b" = '\')", {.ansi_quotes = true, .no_backslash_escapes = true}),
            R"(select a from t where b = '\\')");
}

TEST(Modes, PipesAreConcat) {
  const ReadingModes modes{.pipes_as_concat = true};
  const std::pair<const char*, const char*> cases[] = {
      {"select a or b from t", "as it is"},
      {"select a||b||1 from t where c || 'x' = 'yx'",
       "select (concat((concat(a, b)), 1)) as `a||b||1` from t where (concat(c, 'x')) = 'yx'"},
      {"select '||'", "as it is"},
      {"create procedure p() select 1 || 2",
       "VT12001: unsupported: || in this statement under sql_mode PIPES_AS_CONCAT; write CONCAT()"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(plain(text, modes), expected) << text;
}

}  // namespace
}  // namespace vitrail::sql
