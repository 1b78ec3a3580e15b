#include "vschema/mirror_rules.h"

#include <gtest/gtest.h>

#include "vschema/vschema.h"

namespace vitrail::vschema {
namespace {

using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;

const std::vector<std::string> kTables = {"a", "b"};
const TableMove kMove{"src", "dst", kTables};
const std::vector kAll = {PRIMARY, REPLICA, RDONLY};

std::vector<std::string> shown(const ::vschema::MirrorRules& rules) {
  std::vector<std::string> out;
  for (const auto& rule : rules.rules()) {
    out.push_back(rule.from_table() + " > " + rule.to_table() + " " + std::to_string(static_cast<int>(rule.percent())));
  }
  return out;
}

TEST(MirrorRules, OneForEachTableAndType) {
  ::vschema::MirrorRules rules;
  EXPECT_TRUE(set_mirrors(rules, kMove, std::vector{PRIMARY, RDONLY, ::topodata::DRAINED}, 5));
  const std::vector<std::string> made = {"src.a > dst.a 5", "src.a@rdonly > dst.a 5", "src.b > dst.b 5",
                                         "src.b@rdonly > dst.b 5"};
  EXPECT_EQ(shown(rules), made);
  EXPECT_FALSE(set_mirrors(rules, kMove, std::vector{PRIMARY, RDONLY}, 5)) << "repeating changes nothing";
  EXPECT_TRUE(set_mirrors(rules, kMove, std::vector{PRIMARY}, 50));
  EXPECT_EQ(shown(rules)[0], "src.a > dst.a 50");
  EXPECT_EQ(shown(rules).size(), 4U);
}

TEST(MirrorRules, ZeroTakesThoseOfItsTypesAndOfItsMoveAlone) {
  ::vschema::MirrorRules rules;
  set_mirrors(rules, kMove, kAll, 5);
  const std::vector<std::string> other = {"z"};
  set_mirrors(rules, {"src", "third", other}, kAll, 9);
  EXPECT_TRUE(set_mirrors(rules, kMove, std::vector{REPLICA}, 0));
  EXPECT_EQ(rules.rules_size(), 7);
  EXPECT_EQ(mirrored_types(rules, kMove), (std::vector{PRIMARY, RDONLY}));
  EXPECT_FALSE(set_mirrors(rules, {"src", "elsewhere", kTables}, kAll, 0)) << "they lead to another keyspace";
  EXPECT_TRUE(delete_mirrors(rules, kMove));
  EXPECT_TRUE(mirrored_types(rules, kMove).empty());
  EXPECT_EQ(shown(rules),
            (std::vector<std::string>{"src.z > third.z 9", "src.z@replica > third.z 9", "src.z@rdonly > third.z 9"}));
  EXPECT_FALSE(delete_mirrors(rules, kMove));
}

TEST(MirrorRules, PercentAreFromNoneToAll) {
  for (const float good : {0.0F, 0.01F, 1.0F, 100.0F}) EXPECT_TRUE(check_mirror_percent(good).ok()) << good;
  for (const float bad : {-0.1F, 100.1F, NAN}) EXPECT_FALSE(check_mirror_percent(bad).ok()) << bad;
}

// What a router makes of them.
class MirroredVSchema : public ::testing::Test {
 protected:
  MirroredVSchema() {
    auto& keyspaces = *record_.mutable_keyspaces();
    for (const char* table : {"a", "b", "c"}) (*keyspaces["src"].mutable_tables())[table];
    (*keyspaces["dst"].mutable_tables())["a"];
    (*keyspaces["dst"].mutable_tables())["b"];
  }
  std::shared_ptr<const VSchema> build() const { return VSchema::build(record_, 1); }
  static std::string found(const VSchema& vschema, std::string_view keyspace, std::string_view table,
                           ::topodata::TabletType type) {
    const auto routed = vschema.find_table(keyspace, table, type);
    return routed.ok() ? routed->table->keyspace + "." + routed->table->name : routed.error().message();
  }
  ::vschema::SrvVSchema record_;
};

TEST_F(MirroredVSchema, WithoutRulesNothingIsMirrored) {
  EXPECT_FALSE(build()->has_mirrors());
  EXPECT_EQ(build()->mirror_percent(*build()->find_table("src", "a", PRIMARY)->table, PRIMARY), 0);
}

TEST_F(MirroredVSchema, ReadsOfAMirroredTableAreSeenInTheTarget) {
  add_move_rules(*record_.mutable_routing_rules(), kMove);
  set_mirrors(*record_.mutable_mirror_rules(), kMove, std::vector{PRIMARY}, 5);
  set_mirrors(*record_.mutable_mirror_rules(), kMove, std::vector{RDONLY}, 70);
  const auto vschema = build();
  const auto mirror = vschema->as_mirror();
  const auto percent = [&](std::string_view keyspace, std::string_view table, ::topodata::TabletType type) {
    return vschema->mirror_percent(*vschema->find_table(keyspace, table, type)->table, type);
  };
  EXPECT_EQ(percent("src", "a", PRIMARY), 5);
  EXPECT_EQ(percent("dst", "a", PRIMARY), 5) << "routed to the source";
  EXPECT_EQ(percent("", "a", RDONLY), 70);
  EXPECT_EQ(percent("src", "a", REPLICA), 0) << "a rule without a type is about primaries";
  EXPECT_EQ(percent("src", "c", PRIMARY), 0);
  EXPECT_EQ(found(*vschema, "src", "a", PRIMARY), "src.a");
  EXPECT_EQ(found(*mirror, "src", "a", PRIMARY), "dst.a");
  EXPECT_EQ(found(*mirror, "", "b", RDONLY), "dst.b");
  EXPECT_EQ(found(*mirror, "src", "b", REPLICA), "src.b");
  EXPECT_EQ(found(*mirror, "src", "c", PRIMARY), "src.c");
}

TEST_F(MirroredVSchema, ARuleThatLeadsNowhereHurtsTheMirrorAlone) {
  auto* rule = record_.mutable_mirror_rules()->add_rules();
  rule->set_from_table("src.c@primary");
  rule->set_to_table("gone.c");
  rule->set_percent(10);
  const auto vschema = build();
  EXPECT_EQ(found(*vschema, "src", "c", PRIMARY), "src.c");
  EXPECT_NE(found(*vschema->as_mirror(), "src", "c", PRIMARY).find("gone"), std::string::npos);
}

}  // namespace
}  // namespace vitrail::vschema
