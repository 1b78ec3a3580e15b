#include "control/workflow/materialize.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

::tabletmanagerdata::TableDefinition table() {
  ::tabletmanagerdata::TableDefinition out;
  out.set_name("t");
  for (const char* column : {"id", "owner", "note"}) out.add_columns(column);
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
std::string filter(const std::string& expression, const ::vschema::Keyspace& target, const std::string& shard) {
  ::vtctldata::TableMaterializeSettings settings;
  settings.set_target_table("t");
  settings.set_source_expression(expression);
  const auto out = materialize_filter(settings, table(), target, "ks", shard::ShardName::parse(shard).value());
  return out.ok() ? *out : "! " + out.error().message();
}

TEST(MaterializeFilter, TakesTheShardsPart) {
  const ::vschema::Keyspace unsharded;
  const auto by_owner = sharded_by("owner");
  ::vschema::Keyspace reference;
  reference.set_sharded(true);
  (*reference.mutable_tables())["t"].set_type("reference");
  EXPECT_EQ(filter("select * from t", unsharded, "0"), "select * from t");
  EXPECT_EQ(filter("select * from t", reference, "-80"), "select * from t");
  EXPECT_EQ(filter("select * from t", by_owner, "-80"), "select * from t where in_keyrange(owner, 'ks.h', '-80')");
  EXPECT_EQ(filter("select id, owner from t where id > 5", by_owner, "80-"),
            "select id, owner from t where id > 5 and in_keyrange(owner, 'ks.h', '80-')");
  // The vindex names columns of the target, the filter those of the source.
  EXPECT_EQ(filter("select id, note as owner from t", by_owner, "80-"),
            "select id, note as owner from t where in_keyrange(note, 'ks.h', '80-')");
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
  expect("select * from u", unsharded, "tables of the same name");
  expect("select owner, count(*) from t group by owner", unsharded, "adds nothing up");
  expect("select id, upper(note) from t", unsharded, "adds nothing up");
  expect("t", unsharded, "is a select");
  ::vschema::Keyspace unlisted;
  unlisted.set_sharded(true);
  expect("select * from t", unlisted, "no primary vindex");
}

}  // namespace
}  // namespace vitrail::control
