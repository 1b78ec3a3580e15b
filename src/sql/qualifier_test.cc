#include "sql/qualifier.h"

#include <gtest/gtest.h>

namespace vitrail::sql {
namespace {

TEST(RenameDatabase, RenamesQualifiersAndNothingElse) {
  const struct {
    const char* text;
    const char* renamed;
  } cases[] = {
      {"select * from _vt.vreplication where id = 1", "select * from `a-b`.vreplication where id = 1"},
      {"select _vt.t.c, `_vt`.`t`.c from _vt . t", "select `a-b`.t.c, `a-b`.`t`.c from `a-b` . t"},
      {"insert into t values ('_vt.x', \"_vt.y\")", "insert into t values ('_vt.x', \"_vt.y\")"},
      {"insert into t values ('it\\'s _vt.x'); update _vt.v set pos = '_vt.' where id = 2",
       "insert into t values ('it\\'s _vt.x'); update `a-b`.v set pos = '_vt.' where id = 2"},
      {"select t._vt.x, _vt from t /* _vt.x */", "select t._vt.x, _vt from t /* _vt.x */"},
      {"select _vtx.a, x_vt.a from t", "select _vtx.a, x_vt.a from t"},
      {"use _vt", "use `a-b`"},
      {"create database if not exists _vt default character set utf8mb4",
       "create database if not exists `a-b` default character set utf8mb4"},
      {"create table if not exists _vt.t (a int)", "create table if not exists `a-b`.t (a int)"},
      {"select 'open from _vt.t", "select 'open from _vt.t"},  // No tokens: as it was.
      {"select 1", "select 1"},
  };
  for (const auto& c : cases) EXPECT_EQ(rename_database(c.text, "_vt", "a-b"), c.renamed);
  EXPECT_EQ(rename_database("select 1 from _vt.t", "_vt", "a`b"), "select 1 from `a``b`.t");
}

}  // namespace
}  // namespace vitrail::sql
