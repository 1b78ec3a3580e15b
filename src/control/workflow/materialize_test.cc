#include "control/workflow/materialize.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

::tabletmanagerdata::TableDefinition table() {
  ::tabletmanagerdata::TableDefinition out;
  out.set_name("t");
  for (const char* column : {"id", "owner", "note", "maybe", "rate"}) {
    out.add_columns(column);
    auto* field = out.add_fields();
    field->set_name(column);
    field->set_type(std::string(column) == "note"   ? ::query::VARCHAR
                    : std::string(column) == "rate" ? ::query::FLOAT64
                                                    : ::query::INT64);
    field->set_flags(std::string(column) == "maybe" ? 0 : 1);
  }
  out.add_primary_key_columns("id");
  return out;
}

::vschema::Keyspace sharded_by(const std::string& column) {
  ::vschema::Keyspace out;
  out.set_sharded(true);
  auto* vindex = (*out.mutable_tables())["t"].add_column_vindexes();
  vindex->set_name("h");
  vindex->set_column(column);
  return out;
}

// The filter, or the refusal.
std::string filter(const std::string& expression, const ::vschema::Keyspace& target, const std::string& shard,
                   const std::string& ddl = "create table t (id int primary key)") {
  ::vtctldata::TableMaterializeSettings settings;
  settings.set_target_table("t");
  settings.set_source_expression(expression);
  settings.set_create_ddl(ddl);
  const auto out = materialize_rule(settings, table(), target, "ks", shard::ShardName::parse(shard).value());
  if (!out.ok()) return "! " + out.error().message();
  const std::string& key = out->source_unique_key_columns();
  return out->filter() + (key.empty() ? "" : " [" + key + "]");
}

TEST(MaterializeFilter, TakesTheShardsPart) {
  const ::vschema::Keyspace unsharded;
  const auto by_owner = sharded_by("owner");
  ::vschema::Keyspace reference;
  reference.set_sharded(true);
  (*reference.mutable_tables())["t"].set_type("reference");
  EXPECT_EQ(filter("select * from t", unsharded, "0"), "select * from t");
  EXPECT_EQ(filter("select * from t", reference, "-80"), "select * from t");
  EXPECT_EQ(filter("select * from t", by_owner, "-80"), "select * from `t` where in_keyrange(`owner`, 'ks.h', '-80')");
  EXPECT_EQ(filter("select id, owner from t where id > 5", by_owner, "80-"),
            "select `id`, `owner` from `t` where `id` > 5 and in_keyrange(`owner`, 'ks.h', '80-')");
  // The vindex names columns of the target, the filter those of the source.
  EXPECT_EQ(filter("select id, note as owner from t", by_owner, "80-"),
            "select `id`, `note` as `owner` from `t` where in_keyrange(`note`, 'ks.h', '80-')");
  // What is computed travels as it is, for the target to compute.
  EXPECT_EQ(filter("select id, owner, upper(note) as note from t", by_owner, "80-"),
            "select `id`, `owner`, upper(`note`) as `note` from `t` where in_keyrange(`owner`, 'ks.h', '80-')");
  // Of another table, and what groups of its rows add up to.
  EXPECT_EQ(filter("select * from u where note = 'a b'", unsharded, "0"), "select * from u where note = 'a b'");
  EXPECT_EQ(
      filter("select owner, count(*) as n, sum(id) as s from t group by owner", by_owner, "-80"),
      "select `owner`, count(*) as `n`, sum(`id`) as `s` from `t` where in_keyrange(`owner`, 'ks.h', '-80') group "
      "by `owner` [id]");
}

TEST(MaterializeFilter, ACopyOfTheTableHasItsColumns) {
  const ::vschema::Keyspace unsharded;
  EXPECT_EQ(filter("select id, OWNER, upper(note) as note from t", unsharded, "0", "copy"),
            "select id, OWNER, upper(note) as note from t");
  EXPECT_EQ(filter("select id, owner as `a b` from t", unsharded, "0", "copy"),
            "! table t: a copy of t has no column a b: create_ddl is to be a CREATE TABLE that has");
}

TEST(MaterializeFilter, RefusesWhatCannotFollow) {
  const auto by_owner = sharded_by("owner");
  const ::vschema::Keyspace unsharded;
  const auto expect = [&](const std::string& expression, const ::vschema::Keyspace& target, const std::string& part) {
    const std::string told = filter(expression, target, "-80");
    EXPECT_TRUE(told.starts_with("! ")) << told;
    EXPECT_NE(told.find(part), std::string::npos) << told;
  };
  expect("select id, note from t", by_owner, "owner decides the shard");
  expect("select owner, note from t", unsharded, "column id of its primary key");
  expect("select id, nosuch from t", unsharded, "no column nosuch");
  expect("select owner, count(*) from t group by owner", unsharded, "needs a name");
  expect("select owner, count(*) as n from t group by owner, id", unsharded, "not selected");
  expect("select note, count(*) as n from t group by note", by_owner, "owner decides the shard");
  expect("select owner, sum(maybe) as s from t group by owner", unsharded, "may be NULL");
  expect("select maybe, count(*) as s from t group by maybe", unsharded, "may be NULL");
  expect("select owner, sum(rate) as s from t group by owner", unsharded, "add up exactly");
  expect("select owner, sum(note) as s from t group by owner", unsharded, "add up exactly");
  expect("select owner, max(id) as m from t group by owner", unsharded, "max()");
  expect("select id, upper(note) from t", unsharded, "needs a name");
  expect("select id, upper(nosuch) as n from t", unsharded, "no column nosuch");
  expect("select id, rate * 2 as n from t", unsharded, "column rate, which is of type FLOAT64");
  expect("select id, now() as n from t", unsharded, "now()");
  expect("select id, owner + 0 as owner from t", by_owner, "owner decides the shard");
  expect("t", unsharded, "is a select");
  ::vschema::Keyspace unlisted;
  unlisted.set_sharded(true);
  expect("select * from t", unlisted, "no primary vindex");
}

TEST(MaterializeTable, GetsItsName) {
  EXPECT_EQ(with_table_name("CREATE TABLE `t` (\n  `t` int\n)", "other"), "CREATE TABLE `other` (\n  `t` int\n)");
  EXPECT_EQ(with_table_name("CREATE TABLE `a``b` (\n  `id` int\n)", "c`d"), "CREATE TABLE `c``d` (\n  `id` int\n)");
}

}  // namespace
}  // namespace vitrail::control
