#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/hex.h"
#include "shard/hash.h"
#include "shard/key_range.h"
#include "shard/shard_name.h"
#include "shard/unicode_weights.h"
#include "shard/vindex.h"

namespace vitrail::shard {
namespace {

KeyRange range(std::string_view text) { return KeyRange::parse(text).value(); }
KeyspaceId id(std::string_view hex) { return KeyspaceId::from_hex(hex).value(); }
ShardSet set(std::vector<std::string> names) { return ShardSet(parse_shard_names(names).value()); }
std::string shard_of(const ShardSet& shards, std::string_view hex) {
  const int i = shards.find(id(hex).bytes);
  return i < 0 ? "none" : shards.shards()[static_cast<size_t>(i)].str();
}

// S3-90
TEST(KeyRange, IncludesItsStartAndExcludesItsEnd) {
  EXPECT_TRUE(range("80-").contains(id("80")));
  EXPECT_FALSE(range("-80").contains(id("80")));
  EXPECT_TRUE(range("-80").contains(id("7fffffffffffffff")));
  EXPECT_FALSE(range("80-").contains(id("7fffffffffffffff")));
}

// S3-91
TEST(KeyRange, IsLeftJustified) {
  const std::vector<std::string> forms = {"-80", "00-80", "0000-8000", "000000-800000", "-8000000000000000000000"};
  for (const auto& a : forms) {
    for (const auto& b : forms) EXPECT_EQ(range(a), range(b)) << a << " " << b;
    for (const char* inside : {"", "00", "7f", "7fffffffffffffff", "7fffffffffffffffffff"}) {
      EXPECT_TRUE(range(a).contains(id(inside))) << a << " " << inside;
    }
    for (const char* outside : {"80", "8000", "8000000000000000", "800000000000000000000001", "ff"}) {
      EXPECT_FALSE(range(a).contains(id(outside))) << a << " " << outside;
    }
  }
}

// S3-92
TEST(KeyRange, IsOpenOnTheSideWithoutABound) {
  EXPECT_TRUE(range("-").is_complete());
  EXPECT_TRUE(range("-").contains(id("")));
  EXPECT_TRUE(range("-").contains(id("ffffffffffffffffffff")));
  EXPECT_TRUE(range("-01").contains(id("00ff")));
  EXPECT_TRUE(range("fe-").contains(id("ffffffffffffffffffff")));
}

// S3-93
TEST(KeyRange, WithEndFfExcludesTheTopOfTheKeySpace) {
  EXPECT_TRUE(range("80-").contains(id("ffff")));
  EXPECT_FALSE(range("80-FF").contains(id("ffff")));
  const std::vector<KeyRange> incomplete = {range("-80"), range("80-FF")};
  const auto status = check_complete(incomplete);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message(), "no key range covers the key space above 80-ff");
}

// S3-94
TEST(KeyRange, TakesIdsOfAnyLength) {
  for (size_t length : {1, 8, 16, 40}) {
    EXPECT_TRUE(range("80-").contains(KeyspaceId{std::string(length, '\x80')}));
    EXPECT_FALSE(range("80-").contains(KeyspaceId{std::string(length, '\x7f')}));
  }
}

// S3-95
TEST(ShardName, RefusesMalformedNames) {
  for (const char* bad :
       {"", "80-40", "80-80", "80-8000", "-80-", "--", "8-", "-8", "g0-", "0x80-", "a/b", "a:b", "a@b", "..", "0 1"}) {
    const auto name = ShardName::parse(bad);
    ASSERT_FALSE(name) << bad;
    EXPECT_EQ(name.error().code(), Code::kInvalidArgument);
    EXPECT_NE(name.error().message().find(std::string("'") + bad + "'"), std::string::npos) << name.error().message();
  }
  EXPECT_FALSE(ShardName::parse(std::string(65, 'x')));
  EXPECT_FALSE(ShardName::parse(std::string(200, 'a') + "-"));
}

TEST(ShardName, IsLowerCasedAndKeepsItsRange) {
  EXPECT_EQ(ShardName::parse("A0-Ff")->str(), "a0-ff");
  EXPECT_EQ(ShardName::parse("-80")->key_range()->end(), "\x80");
  EXPECT_TRUE(ShardName::parse("-")->key_range()->is_complete());
  EXPECT_FALSE(ShardName::parse("0")->key_range().has_value());
  EXPECT_TRUE(ShardName::parse("0")->covered_range().is_complete());
}

// S3-97
TEST(ShardSet, MayHaveAShardThatIsNearlyEmpty) {
  const ShardSet shards = set({"-ff80", "ff80-"});
  EXPECT_EQ(shard_of(shards, "ff7fffffffffffff"), "-ff80");
  EXPECT_EQ(shard_of(shards, "ff80"), "ff80-");
}

TEST(ShardSet, FindsTheSameShardByNumberAndByBytes) {
  // Bounds around and beyond eight bytes are where the two could differ.
  const ShardSet shards = set({"-10", "10-1000000000000001", "1000000000000001-100000000000000101",
                               "100000000000000101-100000000000000102", "100000000000000102-80", "c0-ffffffffffffffff",
                               "ffffffffffffffff-ffffffffffffffff80", "ffffffffffffffff80-"});
  std::mt19937_64 random(1);
  std::vector<uint64_t> ids = {0,
                               1,
                               UINT64_MAX,
                               UINT64_MAX - 1,
                               0x1000000000000000,
                               0x0fffffffffffffff,
                               0x1000000000000001,
                               0x1000000000000002,
                               0x8000000000000000,
                               0xc000000000000000};
  for (int i = 0; i < 2000; ++i) ids.push_back(random());
  for (uint64_t v : ids) EXPECT_EQ(shards.find_u64(v), shards.find(KeyspaceId::from_u64(v).bytes)) << std::hex << v;
  EXPECT_EQ(shards.find_u64(0x9000000000000000), -1);
}

TEST(ShardSet, FindsBothEndsOfAnInterval) {
  const ShardSet shards = set({"-40", "40-80", "80-"});
  EXPECT_EQ(shards.find_between(id("40").bytes, id("80").bytes), (std::vector<int>{1, 2}));
  EXPECT_EQ(shards.find_between(id("3f").bytes, id("4000").bytes), (std::vector<int>{0, 1}));
  EXPECT_EQ(shards.find_between(id("80").bytes, id("40").bytes), std::vector<int>());
}

TEST(ShardSet, FindsByName) {
  const ShardSet shards = set({"80-", "-80"});
  EXPECT_EQ(shards.find_name("80-"), 1);
  EXPECT_EQ(shards.find_name("0"), -1);
}

TEST(CheckComplete, NamesTheFault) {
  const auto message = [](std::vector<KeyRange> ranges) {
    const auto status = check_complete(ranges);
    return status ? std::string() : status.error().message();
  };
  EXPECT_EQ(message({range("80-"), range("-4000"), range("40-80")}), "");
  EXPECT_EQ(message({range("-")}), "");
  EXPECT_EQ(message({}), "no key range covers the key space");
  EXPECT_EQ(message({range("-40"), range("80-")}), "key ranges -40 and 80- have a gap between them");
  EXPECT_EQ(message({range("-80"), range("40-")}), "key ranges -80 and 40- overlap");
  EXPECT_EQ(message({range("-"), range("-80")}), "key ranges -80 and - overlap");
  EXPECT_EQ(message({range("40-")}), "no key range covers the key space below 40-");
}

TEST(CheckSameCover, ComparesSourcesAndTargetsOfAReshard) {
  EXPECT_TRUE(check_same_cover(std::vector{range("-80")}, std::vector{range("40-80"), range("-40")}));
  EXPECT_TRUE(check_same_cover(std::vector{KeyRange()}, std::vector{range("-80"), range("80-")}));
  EXPECT_FALSE(check_same_cover(std::vector{range("-80")}, std::vector{range("-40")}));
  EXPECT_FALSE(check_same_cover(std::vector{range("-80")}, std::vector{range("-40"), range("20-80")}));
}

TEST(Hash, AgreesWithTheReference) {
  const std::vector<std::pair<uint64_t, uint64_t>> vectors = {
      {0, 0x8ca64de9c1b123a7},          {1, 0x166b40b44aba4bd6},
      {2, 0x06e7ea22ce92708f},          {3, 0x4eb190c9a2fa169c},
      {4, 0xd2fd8867d50d2dfe},          {5, 0x70bb023c810ca87a},
      {UINT64_MAX, 0x355550b2150e2451}, {uint64_t{1} << 63, 0x95f8a5e5dd31d900}};
  for (const auto& [value, hash] : vectors) {
    EXPECT_EQ(hash_u64(value), hash);
    EXPECT_EQ(unhash_u64(hash), value);
  }
  std::mt19937_64 random(2);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t v = random();
    ASSERT_EQ(unhash_u64(hash_u64(v)), v);
  }
}

// S1-36
TEST(Hash, SendsIdsToTheShardsOfTheWalkthrough) {
  const ShardSet shards = set({"-80", "80-"});
  const auto vindex = create_vindex("hash", "hash", {}).value();
  const auto shard = [&](int64_t v) {
    const auto to = vindex->map(VindexValue::int64(v)).value();
    return shard_of(shards, to.keyspace_id.to_hex());
  };
  EXPECT_EQ(shard(1), "-80");
  EXPECT_EQ(shard(4), "80-");
}

TEST(Vindex, IntegerFunctionsAgreeWithMap) {
  for (const char* type : {"hash", "numeric", "reverse_bits"}) {
    const auto vindex = create_vindex(type, type, {}).value();
    const auto fast = vindex->integer_function();
    ASSERT_NE(fast.function, nullptr);
    for (uint64_t v : {uint64_t{0}, uint64_t{7}, uint64_t{1} << 63, UINT64_MAX}) {
      EXPECT_EQ(vindex->map(VindexValue::uint64(v))->keyspace_id, KeyspaceId::from_u64(fast.function(v))) << type;
    }
    const auto negative = vindex->map(VindexValue::int64(-3)).value();
    EXPECT_EQ(negative.kind == Destination::Kind::kKeyspaceId, fast.accepts_negative) << type;
    if (fast.accepts_negative) {
      EXPECT_EQ(negative.keyspace_id, KeyspaceId::from_u64(fast.function(static_cast<uint64_t>(-3))));
    }
  }
  EXPECT_EQ(create_vindex("xxhash", "x", {}).value()->integer_function().function, nullptr);
}

TEST(Vindex, RefusesAWrongNumberOfColumns) {
  const auto vindex = create_vindex("hash", "by_id", {}).value();
  const std::vector<VindexValue> two(2);
  const auto out = vindex->map(two);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().message(), "vindex by_id of type hash takes 1 columns, not 2");
  EXPECT_FALSE(vindex->map(std::span<const VindexValue>()));
}

TEST(Vindex, UnknownTypeIsAnError) {
  const auto vindex = create_vindex("lokup", "v", {});
  ASSERT_FALSE(vindex);
  EXPECT_EQ(vindex.error().message(), "vindexType \"lokup\" not found (vindex v)");
}

// S3-83
class EvenOdd final : public Vindex {
 public:
  explicit EvenOdd(std::string_view name) : Vindex("even_odd", name) {}
  int cost() const override { return 1; }
  Status map_into(std::span<const VindexValue> columns, Destination& out) const override {
    RETURN_IF_ERROR(check_column_count(columns.size()));
    const auto number = columns[0].to_u64();
    number ? out.set_u64(*number << 63) : out.set_none();
    return {};
  }
};

TEST(Vindex, TypesCanBeAdded) {
  register_vindex_type("even_odd", [](std::string_view name, ParameterReader&) -> Result<std::unique_ptr<Vindex>> {
    return std::make_unique<EvenOdd>(name);
  });
  const auto vindex = create_vindex("even_odd", "v", {}).value();
  EXPECT_EQ(vindex->map(VindexValue::int64(3))->keyspace_id.to_hex(), "8000000000000000");
  const auto types = vindex_types();
  EXPECT_NE(std::find(types.begin(), types.end(), "even_odd"), types.end());
}

TEST(Vindex, IsSafeForConcurrentUse) {
  const auto vindex = create_vindex("binary_md5", "v", {}).value();
  const auto expected = vindex->map(VindexValue::bytes("test1")).value().keyspace_id;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      Destination out;
      const VindexValue value = VindexValue::bytes("test1");
      for (int i = 0; i < 2000; ++i) {
        ASSERT_TRUE(vindex->map_into(std::span(&value, 1), out));
        ASSERT_EQ(out.keyspace_id, expected);
      }
    });
  }
}

TEST(VindexValue, ReadsIntegersOfTextRows) {
  EXPECT_EQ(VindexValue::integer_text("-1", false)->to_u64_wrapping(), UINT64_MAX);
  EXPECT_EQ(VindexValue::integer_text("-1", false)->to_u64(), std::nullopt);
  EXPECT_EQ(VindexValue::integer_text("00042", false)->to_u64(), 42u);
  EXPECT_EQ(VindexValue::integer_text("18446744073709551615", true)->to_u64(), UINT64_MAX);
  for (const char* bad : {"", "x", "1x", " 1", "9223372036854775808", "-9223372036854775809"}) {
    EXPECT_FALSE(VindexValue::integer_text(bad, false)) << bad;
  }
  EXPECT_FALSE(VindexValue::integer_text("-1", true));
}

std::string weights(std::string_view text) {
  std::string out;
  const auto status = append_primary_weights(text, out);
  return status ? base::hex_encode(out) : status.error().message();
}

// S3-81
TEST(PrimaryWeights, IgnoreCaseAccentsAndTrailingBlanks) {
  EXPECT_EQ(weights("Test"), "1816164c17f31816");
  for (const char* same : {"TEST", "T\u00e9st", "Te\u0301st", "test   ", "\uff34est"})
    EXPECT_EQ(weights(same), weights("Test")) << same;
  for (const char* other : {" Test", "Tes", "Te st", "Test."}) EXPECT_NE(weights(other), weights("Test")) << other;
  EXPECT_EQ(weights(""), "");
  EXPECT_EQ(weights("\u00df"), weights("ss"));
}

TEST(PrimaryWeights, TakeContractionsAndMarksInAnyEquivalentForm) {
  EXPECT_EQ(weights("\u0419"), weights("\u0418\u0306"));
  EXPECT_NE(weights("\u0418\u0306"), weights("\u0418"));
  EXPECT_EQ(weights("\u0418\u0327\u0306"), weights("\u0419"));  // A mark of another class between.
  EXPECT_EQ(weights("\u0418\u0301\u0306"), weights("\u0418"));  // One of the same class blocks.
  EXPECT_EQ(weights("\u0e41\u0e01"), "248824c3");               // Thai vowels are written before.
  EXPECT_EQ(weights("\uac01"), weights("\u1100\u1161\u11a8"));
  EXPECT_EQ(weights("\U00020000"), "840000");
}

TEST(PrimaryWeights, RefuseWhatIsNotUtf8) {
  for (std::string_view bad :
       {"\xff", "\xc0\x80", "\xc3", "a\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80", "\x80"}) {
    EXPECT_EQ(weights(bad), "the value is not valid UTF-8") << base::hex_encode(bad);
  }
}

TEST(PrimaryWeights, OfLongRunsOfMarksAreLinear) {
  std::string text = "a";
  for (int i = 0; i < 50'000; ++i) text += i % 2 == 0 ? "\u0f71" : "\u0f74";
  EXPECT_FALSE(weights(text).empty());
}

TEST(PrefixRange, CoversEveryIdWithThePrefix) {
  EXPECT_EQ(prefix_range("\x01").to_string(), "01-02");
  EXPECT_EQ(prefix_range(std::string("\x01\xff", 2)).to_string(), "01ff-0200");
  EXPECT_EQ(prefix_range("\xff\xff").to_string(), "ffff-");
  EXPECT_TRUE(prefix_range("").is_complete());
}

}  // namespace
}  // namespace vitrail::shard
