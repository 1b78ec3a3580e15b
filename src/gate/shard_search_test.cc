#include "gate/shard_search.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

std::vector<ActiveShard> shards(std::initializer_list<const char*> names) {
  std::vector<ActiveShard> out;
  for (const char* name : names) out.push_back({.name = name, .range = *shard::KeyRange::parse(name)});
  return out;
}

std::string found(const std::vector<ActiveShard>& shards, std::string id) {
  const auto* shard = find_shard(shards, shard::KeyspaceId{std::move(id)});
  return shard == nullptr ? "none" : shard->name;
}

TEST(ShardSearch, FindsTheShardOfAnId) {
  const auto four = shards({"-40", "40-80", "80-c0", "c0-"});
  EXPECT_EQ(found(four, std::string("\0", 1)), "-40");
  EXPECT_EQ(found(four, ""), "-40");
  EXPECT_EQ(found(four, "\x3f\xff"), "-40");
  EXPECT_EQ(found(four, "\x40"), "40-80");
  EXPECT_EQ(found(four, "\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "c0-");
  EXPECT_EQ(found(shards({"-4000", "4000-"}), "\x40"), "4000-");  // The same place.
  EXPECT_EQ(found(shards({"-40", "80-"}), "\x50"), "none");
  EXPECT_EQ(found({}, "\x50"), "none");
  EXPECT_EQ(found(shards({"-"}), "\x50"), "-");
}

TEST(ShardSearch, FindsEachOfManyShards) {
  std::vector<ActiveShard> many;
  for (unsigned i = 0; i < 10'000; ++i) {
    const std::string name =
        (i == 0 ? "" : fmt::format("{:04x}", i)) + "-" + (i == 9'999 ? "" : fmt::format("{:04x}", i + 1));
    many.push_back({.name = name, .range = *shard::KeyRange::parse(name)});
  }
  for (unsigned i = 0; i < 10'000; ++i) {
    const std::string id = {static_cast<char>(i >> 8), static_cast<char>(i & 0xff), '\x7f'};
    ASSERT_EQ(find_shard(many, shard::KeyspaceId{id}), &many[i]);
  }
}

TEST(ShardSearch, DestinationsMayHaveSeveralShards) {
  const auto four = shards({"-40", "40-80", "80-c0", "c0-"});
  const auto places = [&](const shard::Destination& destination) {
    std::string out;
    each_shard(four, destination, [&](size_t place) { out += std::to_string(place); });
    return out;
  };
  using Kind = shard::Destination::Kind;
  shard::Destination destination;
  destination.kind = Kind::kNone;
  EXPECT_EQ(places(destination), "");
  destination.kind = Kind::kAllShards;
  EXPECT_EQ(places(destination), "0123");
  destination.kind = Kind::kKeyspaceId;
  destination.keyspace_id.bytes = "\x90";
  EXPECT_EQ(places(destination), "2");
  destination.kind = Kind::kKeyRange;
  destination.key_range = *shard::KeyRange::parse("60-90");
  EXPECT_EQ(places(destination), "12");
}

}  // namespace
}  // namespace vitrail::gate
