#include "tablet/redo_log.h"

#include <gtest/gtest.h>

namespace vitrail::tablet {
namespace {

using Texts = std::vector<std::string>;

TEST(Dtid, NamesTheShardThatDecides) {
  const auto dtid = Dtid::parse("commerce:-80:123");
  ASSERT_TRUE(dtid.ok());
  EXPECT_EQ(dtid->keyspace, "commerce");
  EXPECT_EQ(dtid->shard, "-80");
  EXPECT_EQ(dtid->number, 123u);
  for (const char* text : {"", "a", "a:b", "a:b:", ":b:1", "a::1", "a:b:c", "a:b:1x", "a:b:-1", "a'b:c:1", "a:b c:1",
                           "a:b:99999999999999999999999"}) {
    EXPECT_FALSE(Dtid::parse(text).ok()) << text;
  }
}

TEST(RedoLog, PutsBeforeAChangeWhatItHadAroundIt) {
  RedoLog log;
  EXPECT_TRUE(log.empty());
  log.mark("savepoint `a`");
  EXPECT_FALSE(log.changed());
  log.change("", "17.5", 0, "update t set a = 1", "t");
  log.change("set @@session.sql_mode = ''", "", 7, "insert into u values (null)", "u");
  log.change("set @@session.sql_mode = ''", "", 0, "delete from t", "t");
  EXPECT_TRUE(log.changed());
  EXPECT_EQ(log.why_not(), "");
  EXPECT_EQ(log.statements(),
            (Texts{"savepoint `a`", "set timestamp = 17.5", "update t set a = 1", "set @@session.sql_mode = ''",
                   "set insert_id = 7", "insert into u values (null)", "delete from t"}));
  EXPECT_EQ(log.tables(), (Texts{"t", "u"}));
}

TEST(RedoLog, KeepsTheFirstReasonWhyItCannotBe) {
  RedoLog log;
  log.change("", "", 0, "update t set a = 1", "t");
  log.cannot("CALL");
  log.cannot("another");
  log.change("", "", 0, "update t set a = 2", "t");
  EXPECT_EQ(log.why_not(), "CALL");
  EXPECT_TRUE(log.changed());
  EXPECT_TRUE(log.statements().empty());
}

TEST(RedoLog, IsBounded) {
  RedoLog bytes;
  bytes.change("", "", 0, std::string(RedoLog::kBytesMax + 1, 'x'), "t");
  EXPECT_NE(bytes.why_not(), "");
  RedoLog tables;
  for (size_t i = 0; i < RedoLog::kTablesMax; ++i) tables.change("", "", 0, "x", "t" + std::to_string(i));
  EXPECT_EQ(tables.why_not(), "");
  tables.change("", "", 0, "x", "one more");
  EXPECT_NE(tables.why_not(), "");
}

TEST(RedoLog, SpellsParametersOut) {
  using mysql::FieldType;
  const auto number = [](std::string_view raw) {
    return mysql::Parameter{.type = FieldType::kLongLong, .is_null = false, .raw = raw};
  };
  const std::string seven("\x07\0\0\0\0\0\0\0", 8);
  const std::string quote(
      "\x03"
      "a'b",
      4);
  const mysql::Parameter text{.type = FieldType::kVarString, .is_null = false, .raw = quote};
  const std::vector<mysql::Parameter> two = {number(seven), text};
  EXPECT_EQ(spelt_out("update t set a = ? where b = ? and c = '?'", "", two),
            "update t set a = 7 where b = 'a''b' and c = '?'");
  EXPECT_EQ(spelt_out("delete from t where a <=> ?", "", std::vector<mysql::Parameter>(1)),
            "delete from t where a <=> NULL");
  EXPECT_EQ(spelt_out("delete from t", "", {}), "delete from t");
  // One that is missing, one too many, a mode in which strings are written in another way, a number that text rounds.
  EXPECT_EQ(spelt_out("delete from t where a = ?", "", {}), std::nullopt);
  EXPECT_EQ(spelt_out("delete from t where a = ?", "", two), std::nullopt);
  EXPECT_EQ(spelt_out("delete from t where a = ? and b = ?", "set @@session.sql_mode = 'NO_BACKSLASH_ESCAPES'", two),
            std::nullopt);
  const std::string one("\0\0\x80\x3f", 4);
  const std::vector<mysql::Parameter> real = {{.type = FieldType::kFloat, .is_null = false, .raw = one}};
  EXPECT_EQ(spelt_out("delete from t where a = ?", "", real), std::nullopt);
}

TEST(RedoLog, IsOneTextWhereItIsStored) {
  for (const Texts& texts :
       {Texts{}, Texts{""}, Texts{"a", "", "b:1", std::string("\0\xff'", 3)}, Texts{"3:abc", "12"}}) {
    const auto read = unpack_statements(pack_statements(texts));
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, texts);
  }
  EXPECT_EQ(pack_statements({"begin", ""}), "5:begin0:");
  for (const char* damaged : {"x", "5:begi", ":", "-1:a", "3", "1:ab", "99999999999999999999:a"}) {
    EXPECT_FALSE(unpack_statements(damaged).ok()) << damaged;
  }
}

TEST(RedoLog, KnowsWhichChangesMustMeetOneRow) {
  RedoLog log;
  log.one_row("t", {"id"});
  log.one_row("t", {"id"});
  log.one_row("u", {"a", "b"});
  EXPECT_EQ(log.one_rows(), (std::vector<RedoLog::OneRow>{{"t", {"id"}}, {"u", {"a", "b"}}}));
  for (size_t i = 0; i < RedoLog::kTablesMax; ++i) log.one_row("t" + std::to_string(i), {"id"});
  EXPECT_EQ(log.one_rows().size(), RedoLog::kTablesMax);
  EXPECT_NE(log.why_not(), "");
  log.clear();
  EXPECT_TRUE(log.one_rows().empty());
}

TEST(RedoLog, CannotTakeSettingsBack) {
  RedoLog log;
  log.change("set @@session.sql_mode = ''", "", 0, "delete from t", "t");
  log.change("", "", 0, "delete from t", "t");
  EXPECT_NE(log.why_not(), "");
}

}  // namespace
}  // namespace vitrail::tablet
