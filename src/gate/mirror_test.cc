#include "gate/mirror.h"

#include <gtest/gtest.h>

#include "plan/plan.h"
#include "sql/parser.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

class MirroredReads : public ::testing::Test {
 protected:
  MirroredReads() {
    auto& keyspaces = *record_.mutable_keyspaces();
    for (const char* table : {"half", "tenth", "plain"}) (*keyspaces["src"].mutable_tables())[table];
    for (const auto& [table, percent] : std::map<std::string, float>{{"half", 50}, {"tenth", 10}}) {
      (*keyspaces["dst"].mutable_tables())[table];
      auto* rule = record_.mutable_mirror_rules()->add_rules();
      rule->set_from_table("src." + table);
      rule->set_to_table("dst." + table);
      rule->set_percent(percent);
    }
    vschema_ = vschema::VSchema::build(record_, 1);
  }

  float percent_of(const char* text, std::string tablet_type = "primary") {
    auto ast = sql::parse(text);
    EXPECT_TRUE(ast.ok()) << text;
    plan::PlanContext context;
    context.vschema = vschema_.get();
    context.keyspace = "src";
    context.tablet_type = std::move(tablet_type);
    plan::Plan plan;
    plan.is_read = true;
    return mirror_percent(ast->statement(), sql::effects_of(ast->statement()), plan, context);
  }

  ::vschema::SrvVSchema record_;
  std::shared_ptr<const vschema::VSchema> vschema_;
};

TEST_F(MirroredReads, AreReadsOfATableWithARule) {
  EXPECT_EQ(percent_of("select * from half"), 50);
  EXPECT_EQ(percent_of("select * from src.tenth t where id in (select id from plain)"), 10);
  EXPECT_EQ(percent_of("select 1 from half union select 2 from tenth"), 10) << "the least of its tables";
  EXPECT_EQ(percent_of("select * from plain"), 0);
  EXPECT_EQ(percent_of("select 1"), 0);
  EXPECT_EQ(percent_of("select * from nosuch.half"), 0);
  EXPECT_EQ(percent_of("select * from half", "replica"), 0) << "the rule is about primaries";
}

TEST_F(MirroredReads, DoNothingButRead) {
  for (const char* text :
       {"insert into half values (1)", "select * from half for update", "select * from half lock in share mode",
        "select stored(id) from half", "select get_lock('a', 1) from half", "select @a := id from half",
        "select id into @a from half", "select next 1 values from half", "delete from half", "show tables"}) {
    EXPECT_EQ(percent_of(text), 0) << text;
  }
}

TEST(Mirror, SoManyOfAHundredAreChosen) {
  for (const auto& [percent, chosen] : std::map<float, int>{{0, 0}, {0.1F, 1}, {1, 10}, {50, 500}, {100, 1000}}) {
    int count = 0;
    for (uint64_t part = 0; part < 1000; ++part) count += is_mirrored(percent, part * 1000 + 7'000'500);
    EXPECT_EQ(count, chosen) << percent;
  }
}

}  // namespace
}  // namespace vitrail::gate
