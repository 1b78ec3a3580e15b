#include "tablet/table_acl.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace vitrail::tablet {
namespace {

constexpr std::string_view kRules = R"({"table_groups": [
  {"name": "shop", "table_names_or_prefixes": ["item", "tag"], "readers": ["ann", "staff"], "writers": ["ann"],
   "admins": ["root"]},
  {"name": "logs", "table_names_or_prefixes": ["log_%"], "readers": ["*"], "writers": ["bob"]}]})";

std::string needs(std::string_view sql) {
  const auto ast = sql::parse(sql);
  const AclNeeds all = acl_needs(ast.ok() ? &*ast : nullptr);
  std::string out;
  for (const auto& table : all.tables) {
    out += (out.empty() ? "" : " ") + table.name + ":" + "rwa"[static_cast<size_t>(table.role)];
  }
  return all.opaque.empty() ? out : out + "?";
}

TEST(TableAcl, KnowsWhatAStatementNeeds) {
  const std::pair<const char*, const char*> cases[] = {
      {"select * from Item", "item:r"},
      {"select 1", ""},
      {"set @a = (select max(id) from item)", "item:r"},
      {"begin", ""},
      {"select * from item join tag on 1 where id in (select id from log_a)", "item:r tag:r log_a:r"},
      {"select * from information_schema.tables", ""},
      {"select next value from seq", "seq:w"},
      {"insert into item select * from tag", "item:w tag:r"},
      {"update item, tag set item.a = 1", "item:w tag:r"},
      {"delete from item", "item:w"},
      {"replace into item values (1)", "item:w"},
      {"load data local infile 'x' into table item", "item:w"},
      {"create table item (a int)", "item:a"},
      {"create table item like tag", "item:a tag:r"},
      {"create view v as select * from item", "v:a item:r"},
      {"alter table item add b int", "item:a"},
      {"drop table item, tag", "item:a tag:a"},
      {"truncate table item", "item:a"},
      {"analyze table item", "item:a"},
      {"lock tables item read, tag write", "item:r tag:w"},
      {"show create table item", "item:r"},
      {"explain select * from item", "item:r"},
      {"call p()", ""},
      {"create procedure p() select 1", "?"},
      {"create trigger t before insert on item for each row set @a = 1", "item:a?"},
      {"handler item open", "?"},
      {"not a statement", "?"},
      {"prepare p from 'delete from item'", "item:w"},
      {"prepare p from @a", "?"},
      {"execute p", ""},
      {"execute immediate 'select * from item'", "item:r"},
      {"execute immediate concat('a')", "?"},
      {"deallocate prepare p", ""},
      {"set statement max_statement_time = 1 for delete from item", "item:w"},
      {"set statement max_statement_time = 1 for execute immediate 'drop table item'", "?"},
  };
  for (const auto& [sql, expected] : cases) EXPECT_EQ(needs(sql), expected) << sql;
}

TEST(TableAcl, AllowsMembers) {
  const auto acl = TableAcl::parse(kRules);
  ASSERT_TRUE(acl.ok()) << acl.error().message();
  using enum AclRole;
  struct Case {
    Caller caller;
    const char* table;
    AclRole role;
    bool allowed;
  };
  const Case cases[] = {
      {{"ann", {}}, "item", kReader, true},       {{"ann", {}}, "ITEM", kWriter, true},
      {{"ann", {}}, "item", kAdmin, false},       {{"root", {}}, "tag", kAdmin, true},
      {{"root", {}}, "tag", kReader, false},      {{"eve", {}}, "tag", kReader, false},
      {{"eve", {"staff"}}, "tag", kReader, true}, {{"eve", {"staff"}}, "tag", kWriter, false},
      {{"eve", {}}, "log_1", kReader, true},      {{"eve", {}}, "log_", kReader, true},
      {{"eve", {}}, "log_1", kWriter, false},     {{"bob", {}}, "log_1", kWriter, true},
      {{"eve", {}}, "log", kReader, false},       {{"ann", {}}, "other", kReader, false},
      {{"ann", {}}, "items", kReader, false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(acl->allows(c.caller, c.table, c.role), c.allowed) << c.caller.user << " " << c.table;
  }
  EXPECT_EQ(acl->group_of("log_x"), "logs");
  EXPECT_EQ(acl->group_of("x"), "");
}

TEST(TableAcl, RefusesRulesThatMakeNoSense) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "JSON object"},
      {"{\"table_groups\": 1}", "must be a list"},
      {R"({"tables": []})", "unknown field tables"},
      {R"({"table_groups": [{"name": "a", "reader": ["x"]}]})", "unknown field reader"},
      {R"({"table_groups": [{"name": "a", "readers": "x"}]})", "readers must be a list of strings"},
      {R"({"table_groups": [{"name": "a", "table_names_or_prefixes": ["a%b"]}]})", "prefix that ends in '%'"},
      {R"({"table_groups": [{"table_names_or_prefixes": ["a"]}, {"table_names_or_prefixes": ["A"]}]})", "overlap"},
      {R"({"table_groups": [{"table_names_or_prefixes": ["ab%", "a%"]}]})", "overlap"},
      {R"({"table_groups": [{"table_names_or_prefixes": ["%", "a"]}]})", "overlap"},
  };
  for (const auto& [text, problem] : cases) {
    const auto acl = TableAcl::parse(text);
    ASSERT_FALSE(acl.ok()) << text;
    EXPECT_NE(acl.error().message().find(problem), std::string::npos) << acl.error().message();
  }
}

class KeeperTest : public testing::Test {
 protected:
  KeeperTest() : path_(testing::TempDir() + "table_acl_test.json") { write(kRules); }
  void write(std::string_view text) { ASSERT_TRUE(base::write_file_atomically(path_, text).ok()); }
  static AclNeeds of(std::string_view sql) {
    const auto ast = sql::parse(sql);
    return acl_needs(ast.ok() ? &*ast : nullptr);
  }
  const std::string path_;
  base::Metrics metrics_{"test"};
};

TEST_F(KeeperTest, RefusesWithVitessText) {
  TableAclKeeper keeper({.config = path_, .exempt = "dba, ops"}, metrics_);
  ASSERT_TRUE(keeper.load().ok());
  EXPECT_TRUE(keeper.check(of("select * from item"), "Select", {"ann", {}}).ok());
  const Status refused = keeper.check(of("select * from item"), "SELECT", {"eve", {"a", "b"}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kPermissionDenied);
  EXPECT_EQ(refused.error().message(),
            "Select command denied to user 'eve', in groups [a, b], for table 'item' (ACL check error)");
  EXPECT_EQ(keeper.check(of("select * from item"), "Select", {}).error().code(), Code::kUnauthenticated);
  EXPECT_TRUE(keeper.check(of("select 1"), "Select", {}).ok());
  EXPECT_TRUE(keeper.check(of("drop table item"), "DDL", {"dba", {}}).ok());
  EXPECT_TRUE(keeper.check(of("create procedure p() select 1"), "DDL", {"x", {"ops"}}).ok());
  EXPECT_FALSE(keeper.check(of("create procedure p() select 1"), "DDL", {"root", {}}).ok());
}

TEST_F(KeeperTest, CountsOnlyWhenNotStrict) {
  for (const bool dry_run : {false, true}) {
    base::Metrics metrics("test");
    TableAclKeeper keeper({.config = path_, .strict = dry_run, .dry_run = dry_run}, metrics);
    ASSERT_TRUE(keeper.load().ok());
    EXPECT_TRUE(keeper.check(of("select * from item"), "Select", {"eve", {}}).ok());
    EXPECT_TRUE(keeper.check(of("select * from item"), "Select", {}).ok());
  }
}

TEST_F(KeeperTest, KeepsWhatItHasWhenTheFileGoesBad) {
  TableAclKeeper keeper({.config = path_}, metrics_);
  ASSERT_TRUE(keeper.load().ok());
  write("{");
  keeper.reload();
  EXPECT_TRUE(keeper.check(of("select * from item"), "Select", {"ann", {}}).ok());
  write(R"({"table_groups": [{"table_names_or_prefixes": ["item"], "readers": ["eve"]}]})");
  keeper.reload();
  EXPECT_FALSE(keeper.check(of("select * from item"), "Select", {"ann", {}}).ok());
  EXPECT_TRUE(keeper.check(of("select * from item"), "Select", {"eve", {}}).ok());
}

TEST_F(KeeperTest, StartsAsTheFlagsSay) {
  EXPECT_TRUE(TableAclKeeper({}, metrics_).load().ok());
  EXPECT_FALSE(TableAclKeeper({.enforce = true}, metrics_).load().ok());
  write("{");
  EXPECT_FALSE(TableAclKeeper({.config = path_, .enforce = true}, metrics_).load().ok());
  TableAclKeeper closed({.config = path_}, metrics_);
  ASSERT_TRUE(closed.load().ok());
  EXPECT_FALSE(closed.check(of("select * from item"), "Select", {"ann", {}}).ok());
}

}  // namespace
}  // namespace vitrail::tablet
