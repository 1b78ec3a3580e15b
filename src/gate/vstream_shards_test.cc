#include "gate/vstream_shards.h"

#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

::binlogdata::ShardGtid at(std::string keyspace, std::string shard, std::string gtid = "") {
  ::binlogdata::ShardGtid out;
  out.set_keyspace(std::move(keyspace));
  out.set_shard(std::move(shard));
  out.set_gtid(std::move(gtid));
  return out;
}

::binlogdata::VGtid vgtid(const std::vector<::binlogdata::ShardGtid>& shards) {
  ::binlogdata::VGtid out;
  for (const auto& shard : shards) *out.add_shard_gtids() = shard;
  return out;
}

std::string text_of(const std::vector<::binlogdata::ShardGtid>& shards) {
  std::string out;
  for (const auto& one : shards) out += one.keyspace() + "/" + one.shard() + "@" + one.gtid() + " ";
  return out;
}

View two_shards() {
  View view;
  view.shards["ks"]["primary"] = {{"-80", *shard::KeyRange::parse("-80")}, {"80-", *shard::KeyRange::parse("80-")}};
  return view;
}

TEST(VStreamSkew, WhoIsFarAheadWaitsForThoseThatAreRead) {
  using std::chrono::seconds;
  const ShardName a("ks", "-80"), b("ks", "80-"), c("other", "0");
  struct Case {
    const char* when;
    std::map<ShardName, std::pair<int64_t, int>> told;  // Time of the event, and seconds ago that it was told.
    std::vector<ShardName> wait;
  };
  const Case cases[] = {
      {"one alone", {{a, {1000, 0}}}, {}},
      {"nothing is known of the other", {{b, {1000, 0}}}, {}},
      {"together", {{a, {1000, 0}}, {b, {1000, 0}}}, {}},
      {"not far apart", {{a, {1000, 0}}, {b, {1010, 0}}}, {}},
      {"one is ahead", {{a, {1000, 0}}, {b, {1011, 0}}}, {b}},
      {"two are ahead of the third", {{a, {1020, 0}}, {b, {1011, 0}}, {c, {1000, 1}}}, {a, b}},
      {"the one behind has told nothing for long", {{a, {1000, 10}}, {b, {2000, 0}}}, {}},
      {"the one ahead has waited for long", {{a, {1000, 1}}, {b, {2000, 60}}}, {b}},
  };
  const base::TimePoint now{seconds(500)};
  for (const Case& one : cases) {
    VStreamSkew skew;
    for (const auto& [name, told] : one.told) skew.tell(name, told.first, now - seconds(told.second));
    std::vector<ShardName> wait;
    for (const ShardName& name : {a, b, c}) {
      if (skew.must_wait(name, now)) wait.push_back(name);
    }
    EXPECT_EQ(wait, one.wait) << one.when;
  }
  VStreamSkew skew;
  skew.tell(a, 1000, now);
  skew.tell(b, 2000, now);
  EXPECT_TRUE(skew.must_wait(b, now));
  skew.forget(a);  // Its tablet is lost, or its rows go on elsewhere.
  EXPECT_FALSE(skew.must_wait(b, now));
}

TEST(VStreamStarts, AnEmptyShardIsAllThatServe) {
  const View view = two_shards();
  EXPECT_EQ(text_of(*vstream_starts(vgtid({at("ks", "", "current")}), view, "primary")),
            "ks/-80@current ks/80-@current ");
  EXPECT_EQ(text_of(*vstream_starts(vgtid({at("ks", "80-", "p")}), view, "primary")), "ks/80-@p ");
  EXPECT_EQ(text_of(*vstream_starts(vgtid({at("gone", "0", "p"), at("ks", "")}), view, "primary")),
            "gone/0@p ks/-80@ ks/80-@ ");
}

TEST(VStreamStarts, Refusals) {
  const View view = two_shards();
  EXPECT_EQ(vstream_starts(vgtid({}), view, "primary").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(vstream_starts(vgtid({at("", "0")}), view, "primary").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(vstream_starts(vgtid({at("ks", "")}), view, "replica").error().code(), Code::kNotFound);
  EXPECT_EQ(vstream_starts(vgtid({at("ks", "-80"), at("ks", "")}), view, "primary").error().code(),
            Code::kInvalidArgument);
}

movement::Filter filter_of(const std::vector<std::pair<std::string, std::string>>& rules) {
  ::binlogdata::Filter out;
  for (const auto& [match, filter] : rules) {
    auto& rule = *out.add_rules();
    rule.set_match(match);
    rule.set_filter(filter);
  }
  return *movement::Filter::create(out);
}

TEST(VStreamTables, AreThoseOfTheFilter) {
  const schema::Keyspace tables{{"a", {}}, {"b", {}}, {"_vt_hld_6ace8bcef73211ea87e9f875a4d24e90_20200915120410_", {}}};
  using Names = std::vector<std::string>;
  EXPECT_EQ(vstream_tables(filter_of({{"/.*", ""}}), tables, {}), (Names{"a", "b"}));
  EXPECT_EQ(vstream_tables(filter_of({{"a", "exclude"}, {"/.*", ""}}), tables, {}), (Names{"b"}));
  EXPECT_EQ(vstream_tables(filter_of({{"a", ""}, {"nosuch", ""}}), tables, {}), (Names{"a"}));
  EXPECT_EQ(vstream_tables(filter_of({{"/.*", ""}}), tables, {"b"}), (Names{"b"}));
}

TEST(VStreamTables, AreAskedForAsTheFilterSays) {
  EXPECT_EQ(vstream_row_query(filter_of({{"/.*", ""}}), "a"), "select * from `a`");
  EXPECT_EQ(vstream_row_query(filter_of({{"/.*", "-80"}}), "a"), "select * from `a` where in_keyrange('-80')");
  EXPECT_EQ(vstream_row_query(filter_of({{"a", "select id from a"}}), "a"), "select id from a");
}

::binlogdata::Journal journal(const std::vector<std::string>& from, const std::vector<std::string>& to) {
  ::binlogdata::Journal out;
  out.set_id(7);
  out.set_migration_type(::binlogdata::SHARDS);
  for (const auto& shard : from) {
    auto& one = *out.add_participants();
    one.set_keyspace("ks");
    one.set_shard(shard);
  }
  for (const auto& shard : to) *out.add_shard_gtids() = at("ks", shard, "new");
  return out;
}

TEST(VStreamPosition, ASplitTakesThePlaceOfItsShard) {
  VStreamPosition position({at("ks", "-80", "a"), at("ks", "80-", "b")});
  const auto split = journal({"-80"}, {"-40", "40-80"});
  EXPECT_TRUE(vstream_moves({"ks", "-80"}, split));
  EXPECT_FALSE(vstream_moves({"ks", "80-"}, split));
  const auto next = position.arrive({"ks", "-80"}, split);
  ASSERT_TRUE(next.ok() && next->has_value());
  EXPECT_EQ(**next, (std::vector<ShardName>{{"ks", "-40"}, {"ks", "40-80"}}));
  const auto now = position.to_proto();
  EXPECT_EQ(text_of({now.shard_gtids().begin(), now.shard_gtids().end()}), "ks/-40@new ks/40-80@new ks/80-@b ");
}

TEST(VStreamPosition, AMergeWaitsForAll) {
  VStreamPosition position({at("ks", "-80", "a"), at("ks", "80-", "b")});
  const auto merge = journal({"-80", "80-"}, {"0"});
  const auto first = position.arrive({"ks", "80-"}, merge);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(first->has_value());
  EXPECT_TRUE(position.has({"ks", "80-"}));  // Who begins again meanwhile comes to the entry again.
  const auto second = position.arrive({"ks", "-80"}, merge);
  ASSERT_TRUE(second.ok() && second->has_value());
  EXPECT_EQ(position.names(), (std::vector<ShardName>{{"ks", "0"}}));
}

TEST(VStreamPosition, AMergeWithAStrangerIsRefused) {
  VStreamPosition position({at("ks", "-80", "a")});
  EXPECT_EQ(position.arrive({"ks", "-80"}, journal({"-80", "80-"}, {"0"})).error().code(), Code::kFailedPrecondition);
}

TEST(VStreamPosition, MovedTablesAreNotItsConcern) {
  auto tables = journal({"-80"}, {});
  tables.set_migration_type(::binlogdata::TABLES);
  EXPECT_FALSE(vstream_moves({"ks", "-80"}, tables));
}

TEST(VStreamPosition, IsToldWhenNoShardIsAtItsPresentAnyMore) {
  VStreamPosition position({at("ks", "-80", "current"), at("ks", "80-")});
  EXPECT_FALSE(position.resolved());
  position.of({"ks", "-80"}).set_gtid("p");
  EXPECT_TRUE(position.resolved());
}

TEST(VStreamEvents, NameTheKeyspace) {
  ::binlogdata::VEvent event;
  event.mutable_row_event()->set_table_name("t");
  vstream_qualify(event, "ks");
  EXPECT_EQ(event.row_event().table_name(), "ks.t");
}

}  // namespace
}  // namespace vitrail::gate
