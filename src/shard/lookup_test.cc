#include "shard/lookup.h"

#include <gtest/gtest.h>

namespace vitrail::shard {
namespace {

std::shared_ptr<const Lookup> make(std::string_view type, const VindexParameters& parameters) {
  auto lookup = create_lookup(type, "v", parameters);
  EXPECT_TRUE(lookup.ok()) << lookup.error().message();
  return lookup.ok() ? *lookup : nullptr;
}

TEST(Lookup, ReadsItsParameters) {
  const auto lookup = make("consistent_lookup_unique", {{"table", "`look`.names"},
                                                        {"from", "a, b"},
                                                        {"to", "keyspace_id"},
                                                        {"write_only", "true"},
                                                        {"ignore_nulls", "true"},
                                                        {"batch_lookup", "true"},
                                                        {"read_lock", "none"},
                                                        {"colour", "red"}});
  EXPECT_EQ(lookup->keyspace, "look");
  EXPECT_EQ(lookup->table, "names");
  EXPECT_EQ(lookup->from, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(lookup->to, "keyspace_id");
  EXPECT_TRUE(lookup->unique && lookup->write_only && lookup->ignore_nulls);
  EXPECT_FALSE(lookup->autocommit || lookup->no_verify);
  EXPECT_EQ(lookup->read_lock, Lookup::ReadLock::kNone);
  EXPECT_EQ(lookup->cost, 10);
  EXPECT_EQ(lookup->unknown_parameters, std::vector<std::string>{"colour"});
  EXPECT_EQ(lookup->problem, "");
}

TEST(Lookup, WhatIsMissingIsAProblemAndWhatIsWrongAnError) {
  EXPECT_EQ(make("lookup", {})->problem, "its parameter table is missing");
  EXPECT_EQ(make("lookup", {{"table", "t"}, {"to", "k"}})->problem, "its parameter from is missing");
  EXPECT_EQ(make("lookup", {{"table", "t"}, {"from", "k"}})->problem, "its parameter to is missing");
  EXPECT_FALSE(create_lookup("lookup", "v", {{"autocommit", "1"}}).ok());
  EXPECT_FALSE(create_lookup("lookup_cost", "v", {{"cost", "much"}}).ok());
  EXPECT_FALSE(create_lookup("hash", "v", {}).ok());
  EXPECT_TRUE(is_lookup_type("lookup_unicodeloosemd5_hash_unique"));
  EXPECT_FALSE(is_lookup_type("hash"));
}

TEST(Lookup, StoresWhatItReads) {
  const VindexParameters parameters = {{"table", "t"}, {"from", "a"}, {"to", "k"}};
  const auto id = *KeyspaceId::from_hex("166b40b44aba4bd6");
  const auto plain = make("lookup", parameters);
  EXPECT_EQ(std::get<std::string>(*plain->stored(id)), id.bytes);
  EXPECT_EQ(*plain->id_of(id.bytes), id);
  const auto hashed = make("lookup_hash", parameters);
  EXPECT_EQ(std::get<uint64_t>(*hashed->stored(id)), 1u);
  EXPECT_EQ(hashed->id_of("1")->to_hex(), "166b40b44aba4bd6");
  EXPECT_EQ(hashed->id_of("-1")->to_hex(), "355550b2150e2451");
  EXPECT_EQ(hashed->id_of("18446744073709551615")->to_hex(), "355550b2150e2451");
  EXPECT_FALSE(hashed->id_of("x").ok());
  EXPECT_FALSE(hashed->stored(*KeyspaceId::from_hex("16")).ok());
}

// The first eight bytes of the vectors of unicode_loose_md5.
TEST(Lookup, LooseNumbersAreThoseOfTheText) {
  EXPECT_EQ(*loose_number("Test"), 0x0b5edbb401fd7524u);
  EXPECT_EQ(*loose_number("T\u00e9st "), 0x0b5edbb401fd7524u);
  EXPECT_EQ(*loose_number("T"), 0xac0f9179f51db87fu);
  EXPECT_FALSE(loose_number("\xff").ok());
}

}  // namespace
}  // namespace vitrail::shard
