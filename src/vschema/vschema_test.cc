#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "shard/lookup_placement.h"
#include "vschema/proto_json.h"
#include "vschema/collation.h"
#include "vschema/vschema.h"

namespace vitrail::vschema {
namespace {

using ::topodata::PRIMARY;
using ::topodata::RDONLY;
using ::topodata::REPLICA;

// A keyspace's vschema from JSON; single quotes for double ones.
::vschema::Keyspace keyspace_of(std::string json) {
  std::replace(json.begin(), json.end(), '\'', '"');
  ::vschema::Keyspace out;
  const auto status = parse_json(json, out, nullptr);
  EXPECT_TRUE(status) << status.error().message();
  return out;
}

constexpr const char* kCommerce =
    "{'tables':{'product':{},'customer':{},'corder':{},'customer_seq':{'type':'sequence'}}}";
constexpr const char* kCustomer = R"({'sharded':true,'vindexes':{'hash':{'type':'hash'}},'tables':{
    'customer':{'column_vindexes':[{'column':'customer_id','name':'hash'}],
                'auto_increment':{'column':'customer_id','sequence':'customer_seq'}},
    'corder':{'column_vindexes':[{'columns':['customer_id'],'name':'hash'}]}}})";

// A cluster in a few lines: keyspaces by name, rules as "from -> to".
class Cluster {
 public:
  Cluster& keyspace(const std::string& name, const std::string& json) {
    (*record_.mutable_keyspaces())[name] = keyspace_of(json);
    return *this;
  }
  Cluster& rule(const std::string& from, const std::vector<std::string>& to) {
    auto* rule = record_.mutable_routing_rules()->add_rules();
    rule->set_from_table(from);
    for (const auto& target : to) rule->add_to_tables(target);
    return *this;
  }
  Cluster& keyspace_rule(const std::string& from, const std::string& to) {
    auto* rule = record_.mutable_keyspace_routing_rules()->add_rules();
    rule->set_from_keyspace(from);
    rule->set_to_keyspace(to);
    return *this;
  }
  Cluster& shard_rule(const std::string& from, const std::string& to, const std::string& shard) {
    auto* rule = record_.mutable_shard_routing_rules()->add_rules();
    rule->set_from_keyspace(from);
    rule->set_to_keyspace(to);
    rule->set_shard(shard);
    return *this;
  }
  Cluster& served_from(const std::string& keyspace_and_type, const std::string& source) {
    served_from_[keyspace_and_type] = source;
    return *this;
  }
  std::shared_ptr<const VSchema> build(uint64_t version = 1) const {
    return VSchema::build(record_, version, served_from_);
  }

  // "ks.t", or the error's text. `name` is "t" or "ks.t".
  std::string find(const std::string& name, ::topodata::TabletType type = PRIMARY) const {
    const size_t dot = name.find('.');
    const auto found = dot == std::string::npos ? build()->find_table("", name, type)
                                                : build()->find_table(name.substr(0, dot), name.substr(dot + 1), type);
    return found ? found->table->keyspace + "." + found->table->name : found.error().message();
  }

 private:
  ::vschema::SrvVSchema record_;
  ServedFrom served_from_;
};

// S1-29
TEST(VSchemaRouting, RuleMakesATableTheAliasOfAnother) {
  const Cluster cluster = Cluster().keyspace("ks1", "{}").keyspace("ks2", "{}").rule("t1", {"ks2.other"});
  EXPECT_EQ(cluster.find("t1"), "ks2.other");
  EXPECT_TRUE(cluster.build()->find_table("", "t1", PRIMARY)->by_rule);
  EXPECT_FALSE(cluster.build()->find_table("ks1", "t1", PRIMARY)->by_rule);
}

// S1-26
TEST(VSchemaRouting, RulesAreForAllTypesOrForOne) {
  const Cluster cluster = Cluster()
                              .keyspace("a", "{}")
                              .keyspace("b", "{}")
                              .rule("t", {"a.t"})
                              .rule("t@replica", {"b.t"})
                              .rule("a.u", {"b.u"})
                              .rule("a.u@rdonly", {"a.v"})
                              .rule("w@primary", {"b.w"})
                              .rule("x@master", {"b.x"});
  EXPECT_EQ(cluster.find("t", PRIMARY), "a.t");
  EXPECT_EQ(cluster.find("t", REPLICA), "b.t");
  EXPECT_EQ(cluster.find("t", RDONLY), "a.t");
  EXPECT_EQ(cluster.find("a.u", PRIMARY), "b.u");
  EXPECT_EQ(cluster.find("a.u", RDONLY), "a.v");
  EXPECT_EQ(cluster.find("b.u", RDONLY), "b.u");
  EXPECT_EQ(cluster.find("w", PRIMARY), "b.w");
  EXPECT_EQ(cluster.find("w", REPLICA), "table w not found");
  EXPECT_EQ(cluster.find("x", PRIMARY), "b.x");
}

// S1-30
TEST(VSchemaRouting, RulesApplyOnceAndTheSpecificOneWins) {
  const Cluster cluster = Cluster()
                              .keyspace("a", "{}")
                              .keyspace("b", "{}")
                              .rule("t", {"a.t"})
                              .rule("a.t", {"b.t"})
                              .rule("t@replica", {"b.t"});
  EXPECT_EQ(cluster.find("t", PRIMARY), "a.t");
  EXPECT_EQ(cluster.find("t", REPLICA), "b.t");
  EXPECT_EQ(cluster.find("a.t", PRIMARY), "b.t");
}

// S1-31
TEST(VSchemaRouting, UnqualifiedNameGoesToTheKeyspaceThatListsIt) {
  const Cluster cluster =
      Cluster().keyspace("a", "{'tables':{'t1':{},'only_a':{}}}").keyspace("b", "{'tables':{'t1':{},'only_b':{}}}");
  EXPECT_EQ(cluster.find("only_a"), "a.only_a");
  EXPECT_EQ(cluster.find("only_b"), "b.only_b");
  EXPECT_EQ(cluster.find("t1"), "ambiguous table reference: t1");
  EXPECT_EQ(cluster.find("t2"), "table t2 not found");
  EXPECT_EQ(cluster.build()->find_table("", "t2", PRIMARY).error().code(), Code::kNotFound);
  EXPECT_EQ(cluster.find("b.t1"), "b.t1");
}

// S3-31, S3-32, S3-37: every spelling of a table leads to the keyspace that serves, also while the vschema has moved.
TEST(VSchemaRouting, KeyspaceIsServedFromAnotherOneByType) {
  const Cluster cluster = Cluster()
                              .keyspace("commerce", "{'tables':{'product':{}}}")
                              .keyspace("customer", kCustomer)
                              .rule("ruled", {"customer.corder"})
                              .served_from("customer@primary", "commerce")
                              .served_from("customer@rdonly", "commerce");
  for (const char* name : {"corder", "customer.corder", "commerce.corder", "ruled"}) {
    EXPECT_EQ(cluster.find(name, PRIMARY), "commerce.corder") << name;
    EXPECT_EQ(cluster.find(name, RDONLY), "commerce.corder") << name;
  }
  EXPECT_EQ(cluster.find("corder", REPLICA), "customer.corder");
  EXPECT_EQ(cluster.find("ruled", REPLICA), "customer.corder");
  EXPECT_EQ(cluster.find("customer.unlisted", PRIMARY), "commerce.unlisted");
  EXPECT_EQ(cluster.find("customer.unlisted", REPLICA), "table unlisted not found");
  EXPECT_FALSE(cluster.build()->find_table("", "corder", PRIMARY)->table->sharded);
  EXPECT_TRUE(cluster.build()->find_table("", "corder", REPLICA)->table->sharded);
  EXPECT_EQ(cluster.build()->serving_keyspace("customer", RDONLY), "commerce");
  EXPECT_EQ(cluster.build()->serving_keyspace("customer", REPLICA), "customer");
}

// S3-22
TEST(VSchemaRouting, UnsharedKeyspaceNeedsNoVschema) {
  const Cluster one = Cluster().keyspace("commerce", "{}");
  EXPECT_EQ(one.find("customer"), "commerce.customer");
  EXPECT_EQ(one.find("commerce.customer"), "commerce.customer");
  const auto found = one.build()->find_table("", "customer", PRIMARY).value();
  EXPECT_FALSE(found.table->listed);
  EXPECT_FALSE(found.table->sharded);
  const Cluster two = Cluster().keyspace("commerce", "{}").keyspace("other", "{}");
  EXPECT_EQ(two.find("customer"), "table customer not found");
  EXPECT_EQ(two.find("commerce.customer"), "commerce.customer");
}

TEST(VSchemaRouting, ShardedKeyspaceHasOnlyTheTablesItLists) {
  const Cluster cluster = Cluster().keyspace("customer", kCustomer);
  EXPECT_EQ(cluster.find("customer.product"), "table product not found");
  EXPECT_EQ(cluster.find("product"), "table product not found");
  EXPECT_EQ(cluster.find("customer.customer"), "customer.customer");
}

TEST(VSchemaRouting, UnknownKeyspaceHasTheErrnoOfMySQL) {
  const auto found = Cluster().build()->find_table("nowhere", "t", PRIMARY);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message(), "VT05003: unknown database 'nowhere' in vschema");
  EXPECT_EQ(found.error().mysql_errno(), 1049);
}

TEST(VSchemaRouting, ExplicitRoutingHidesAKeyspaceFromUnqualifiedNames) {
  const Cluster cluster = Cluster()
                              .keyspace("a", "{'tables':{'t':{}}}")
                              .keyspace("b", "{'require_explicit_routing':true,'tables':{'t':{},'u':{}}}");
  EXPECT_EQ(cluster.find("t"), "a.t");
  EXPECT_EQ(cluster.find("u"), "table u not found");
  EXPECT_EQ(cluster.find("b.u"), "b.u");
}

TEST(VSchemaRouting, ReferenceTableGivesWayToItsSource) {
  const Cluster cluster =
      Cluster()
          .keyspace("commerce", "{'tables':{'zip':{}}}")
          .keyspace("customer", "{'sharded':true,'tables':{'zip':{'type':'reference','source':'commerce.zip'}}}");
  EXPECT_EQ(cluster.find("zip"), "commerce.zip");
  EXPECT_EQ(cluster.find("customer.zip"), "customer.zip");
  EXPECT_EQ(cluster.build()->find_table("customer", "zip", PRIMARY)->table->type, TableType::kReference);
}

TEST(VSchemaRouting, WrongRulesAreErrorsOfTheStatementsThatUseThem) {
  const Cluster cluster = Cluster()
                              .keyspace("a", "{}")
                              .keyspace("c", kCustomer)
                              .rule("two", {"a.t", "a.u"})
                              .rule("none", {})
                              .rule("bare", {"t"})
                              .rule("gone", {"x.t"})
                              .rule("unlisted", {"c.t"})
                              .rule("dup", {"a.t"})
                              .rule("dup", {"a.u"});
  EXPECT_EQ(cluster.find("two"), "table two has more than one target");
  EXPECT_EQ(cluster.find("none"), "table none not found");
  EXPECT_EQ(cluster.find("bare"), "table t must be qualified");
  EXPECT_EQ(cluster.find("gone"), "VT05003: unknown database 'x' in vschema");
  EXPECT_EQ(cluster.find("unlisted"), "table t not found");
  EXPECT_EQ(cluster.find("dup"), "duplicate rule for entry dup");
  EXPECT_EQ(cluster.find("a.fine"), "a.fine");
}

TEST(VSchemaRouting, KeyspaceRulesComeFirst) {
  const Cluster cluster = Cluster()
                              .keyspace("a", "{}")
                              .keyspace("b", "{}")
                              .keyspace("c", "{}")
                              .keyspace_rule("a", "b")
                              .keyspace_rule("a@replica", "c")
                              .rule("b.t", {"c.t"});
  EXPECT_EQ(cluster.find("a.x", PRIMARY), "b.x");
  EXPECT_EQ(cluster.find("a.x", REPLICA), "c.x");
  EXPECT_EQ(cluster.find("a.t", PRIMARY), "c.t");
  EXPECT_EQ(cluster.build()->route_keyspace("c", PRIMARY), "c");
}

TEST(VSchemaRouting, ShardRulesGiveTheKeyspaceOfAShard) {
  const auto vschema = Cluster().keyspace("a", "{}").shard_rule("a", "b", "-80").build();
  EXPECT_EQ(vschema->route_shard("a", "-80"), "b");
  EXPECT_EQ(vschema->route_shard("a", "80-"), "a");
  EXPECT_TRUE(vschema->has_shard_rules());
}

// S3-71, S3-78
TEST(VSchemaTable, HasItsVindexAndItsSequence) {
  const auto vschema = Cluster().keyspace("commerce", kCommerce).keyspace("customer", kCustomer).build(7);
  EXPECT_EQ(vschema->version(), 7u);
  const auto table = vschema->find_table("customer", "customer", PRIMARY)->table;
  ASSERT_NE(table->primary_vindex(), nullptr);
  EXPECT_TRUE(table->sharded);
  EXPECT_EQ(table->primary_vindex()->vindex->type(), "hash");
  EXPECT_EQ(table->primary_vindex()->columns, std::vector<std::string>{"customer_id"});
  ASSERT_TRUE(table->auto_increment);
  EXPECT_EQ(table->auto_increment->problem, "");
  EXPECT_EQ(table->auto_increment->sequence_keyspace, "commerce");
  EXPECT_EQ(table->auto_increment->sequence_table, "customer_seq");
  EXPECT_EQ(vschema->find_table("", "customer_seq", PRIMARY)->table->type, TableType::kSequence);
  EXPECT_TRUE(vschema->problems().empty());
}

// S3-70
TEST(VSchemaTable, UnknownSequenceOnlyHurtsInserts) {
  const auto vschema = Cluster().keyspace("customer", kCustomer).build();
  const auto found = vschema->find_table("customer", "customer", PRIMARY);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->table->auto_increment->problem,
            "cannot resolve sequence customer_seq of table customer.customer: table customer_seq not found");
  EXPECT_EQ(vschema->problems().size(), 1u);
}

TEST(VSchemaTable, SequenceFollowsRoutingRules) {
  const auto vschema = Cluster()
                           .keyspace("commerce", kCommerce)
                           .keyspace("customer", kCustomer)
                           .keyspace("other", "{}")
                           .rule("customer_seq", {"other.moved_seq"})
                           .build();
  const auto table = vschema->find_table("customer", "customer", PRIMARY)->table;
  EXPECT_EQ(table->auto_increment->sequence_keyspace, "other");
  EXPECT_EQ(table->auto_increment->sequence_table, "moved_seq");
}

TEST(VSchemaTable, AmbiguousSequenceIsAProblem) {
  const auto vschema =
      Cluster().keyspace("commerce", kCommerce).keyspace("two", kCommerce).keyspace("customer", kCustomer).build();
  EXPECT_EQ(vschema->find_table("customer", "customer", PRIMARY)->table->auto_increment->problem,
            "cannot resolve sequence customer_seq of table customer.customer: ambiguous table reference: customer_seq");
}

TEST(VSchemaTable, WithAProblemLeavesTheOthersUsable) {
  const Cluster cluster = Cluster().keyspace("ks", R"({'sharded':true,
      'vindexes':{'hash':{'type':'hash'},'odd':{'type':'no_such_type'}},'tables':{
      'good':{'column_vindexes':[{'column':'id','name':'hash'}]},
      'bad':{'column_vindexes':[{'column':'id','name':'odd'}]}}})");
  EXPECT_EQ(cluster.find("ks.good"), "ks.good");
  const std::string text =
      "vschema of keyspace ks: table bad uses vindex odd: vindexType \"no_such_type\" not found (vindex odd)";
  EXPECT_EQ(cluster.find("ks.bad"), text);
  EXPECT_EQ(cluster.find("bad"), text);
}

TEST(VSchemaTable, OutlivesItsSnapshot) {
  std::shared_ptr<const Table> table;
  {
    const auto vschema = Cluster().keyspace("customer", kCustomer).build();
    table = vschema->find_table("customer", "corder", PRIMARY)->table;
  }
  EXPECT_EQ(table->primary_vindex()->vindex->map(shard::VindexValue::int64(1))->keyspace_id.to_hex(),
            "166b40b44aba4bd6");
}

TEST(VSchema, IsReadWhileItIsReplaced) {
  const Cluster before = Cluster().keyspace("commerce", kCommerce);
  const Cluster after =
      Cluster().keyspace("commerce", kCommerce).keyspace("customer", kCustomer).rule("corder", {"customer.corder"});
  std::atomic<std::shared_ptr<const VSchema>> current = before.build(1);
  std::atomic<bool> stop = false;
  std::vector<std::jthread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto vschema = current.load();
        const auto found = vschema->find_table("", "corder", PRIMARY);
        ASSERT_TRUE(found);
        ASSERT_EQ(found->table->keyspace, vschema->version() % 2 == 1 ? "commerce" : "customer");
      }
    });
  }
  for (uint64_t version = 2; version < 200; ++version) current = (version % 2 == 1 ? before : after).build(version);
  stop = true;
}

std::string problem_of(const std::string& json) {
  const auto problems = find_problems("ks", keyspace_of(json));
  return problems.empty() ? "" : problems.front();
}

std::string problem_of_table(const std::string& table) {
  return problem_of(
      "{'sharded':true,'vindexes':{'hash':{'type':'hash'},'region':{'type':'region_experimental',"
      "'params':{'region_bytes':'1'}}},'tables':{'t':" +
      table + "}}");
}

constexpr const char* kLookups = R"({'sharded':true,'vindexes':{
    'hash':{'type':'hash','owner':'t'},'pair':{'type':'hash'},
    'by_name':{'type':'lookup_unique','owner':'t','params':{'table':'t_name','from':'name','to':'id'}},
    'by_city':{'type':'consistent_lookup','owner':'other'},
    'own_name':{'type':'lookup_unique','owner':'own','params':{'table':'o_name','from':'name','to':'id'}},
    'unused':{'type':'lookup_hash','params':{'colour':'red'}}},
  'tables':{
    't':{'column_vindexes':[{'column':'id','name':'hash'},{'column':'name','name':'by_name'},
                            {'columns':['city','zip'],'name':'by_city'}]},
    'two':{'column_vindexes':[{'columns':['id','name'],'name':'pair'}]},
    'own':{'column_vindexes':[{'column':'name','name':'own_name'}]},
    'first':{'column_vindexes':[{'column':'name','name':'by_name'}]}}})";

TEST(VSchemaLookups, AreStoredWithAWarningForEachUse) {
  const auto record = keyspace_of(kLookups);
  EXPECT_EQ(find_problems("ks", record), std::vector<std::string>());
  EXPECT_EQ(find_warnings("ks", record),
            (std::vector<std::string>{
                "vindex by_city of type consistent_lookup of table t: its parameter table is missing; INSERT, REPLACE "
                "and UPDATE of city, zip are refused",
                "vindex own_name of type lookup_unique as the primary vindex of table own: it has the places of the "
                "table's own rows, and so gives them none; every statement on the table is refused"}));
  EXPECT_EQ(unknown_vindex_parameters("ks", record), std::vector<std::string>{"unused.colour"});
  const auto vschema = Cluster().keyspace("ks", kLookups).build(1);
  const auto table = vschema->find_table("ks", "t", PRIMARY);
  ASSERT_TRUE(table);
  ASSERT_EQ(table->table->column_vindexes.size(), 1u);
  EXPECT_FALSE(table->table->column_vindexes[0].is_owned);  // A function needs no owner.
  ASSERT_EQ(table->table->lookups.size(), 2u);
  EXPECT_TRUE(table->table->lookups[0].is_owned);
  EXPECT_EQ(table->table->lookups[0].problem, "");
  EXPECT_EQ(table->table->lookups[0].lookup->table, "t_name");
  EXPECT_FALSE(table->table->lookups[1].is_owned);
  EXPECT_EQ(table->table->lookups[1].problem, "its parameter table is missing");
  const auto two = vschema->find_table("ks", "two", PRIMARY);
  ASSERT_TRUE(two);
  EXPECT_EQ(two->table->column_vindexes[0].columns, std::vector<std::string>{"id"});
  const auto first = vschema->find_table("ks", "first", PRIMARY);
  ASSERT_TRUE(first);
  ASSERT_NE(first->table->primary_vindex(), nullptr);
  EXPECT_EQ(first->table->primary_vindex()->columns, std::vector<std::string>{"name"});
  EXPECT_EQ(shard::placing_lookup(*first->table->primary_vindex()->vindex), first->table->lookups[0].lookup);
  EXPECT_EQ(shard::placing_lookup(*table->table->primary_vindex()->vindex), nullptr);
  EXPECT_EQ(first->table->primary_vindex()->vindex->map(shard::VindexValue::null()).error().code(),
            Code::kUnimplemented);
  const auto own = vschema->find_table("ks", "own", PRIMARY);
  ASSERT_FALSE(own);
  EXPECT_EQ(own.error().message(),
            "vschema of keyspace ks: VT12001: unsupported: vindex own_name of type lookup_unique as the primary vindex "
            "of table own: it has the places of the table's own rows, and so gives them none");
}

TEST(VSchemaLookups, WrongParametersAreProblems) {
  const auto with = [](const std::string& parameters) {
    return problem_of("{'sharded':true,'vindexes':{'hash':{'type':'hash'},'v':{'type':'lookup','owner':'t','params':{" +
                      parameters + "}}},'tables':{'t':{'column_vindexes':[{'column':'id','name':'hash'}]}}}");
  };
  EXPECT_EQ(with("'table':'l','from':'a','to':'b','write_only':'true','read_lock':'shared'"), "");
  EXPECT_EQ(with("'write_only':'yes'"), "vindex v: vindex v: write_only value must be 'true' or 'false': 'yes'");
  EXPECT_EQ(with("'read_lock':'some'"),
            "vindex v: vindex v: invalid read_lock value some: expected exclusive, shared or none");
}

TEST(VSchemaLookups, TheirColumnsAreCounted) {
  const auto record = keyspace_of(
      "{'sharded':true,'vindexes':{'hash':{'type':'hash'},"
      "'v':{'type':'lookup','owner':'t','params':{'table':'l','from':'a, b','to':'c'}}},"
      "'tables':{'t':{'column_vindexes':[{'column':'id','name':'hash'},{'column':'a','name':'v'}]}}}");
  EXPECT_EQ(find_problems("ks", record), std::vector<std::string>());
  EXPECT_EQ(find_warnings("ks", record),
            (std::vector<std::string>{"vindex v of type lookup of table t: VT03030: lookup column count does not match "
                                      "value count with the row (columns, count): (a, b, 1); INSERT, REPLACE, DELETE "
                                      "and UPDATE of a are refused"}));
}

TEST(VSchemaCollations, VindexesOfBytesOverColumnsThatCompareOtherwise) {
  const auto record = keyspace_of(
      "{'sharded':true,'vindexes':{'xx':{'type':'xxhash'},'loose':{'type':'unicode_loose_md5'}},"
      "'tables':{'a':{'column_vindexes':[{'column':'Name','name':'xx'}]},"
      "'b':{'column_vindexes':[{'column':'name','name':'xx'}]},'c':{'column_vindexes':[{'column':'name','name':'loose'}"
      "]},"
      "'d':{'column_vindexes':[{'column':'id','name':'xx'}]},'e':{'column_vindexes':[{'column':'name','name':'xx'}]}}"
      "}");
  const Collations collations = {{"a", {{"name", "utf8mb4_general_ci"}}},
                                 {"b", {{"name", "utf8mb4_bin"}}},
                                 {"c", {{"name", "utf8mb4_general_ci"}}},
                                 {"d", {{"name", "utf8mb4_general_ci"}}}};
  EXPECT_EQ(find_collation_warnings("ks", record, collations),
            (std::vector<std::string>{
                "vindex xx of type xxhash does not follow the collation utf8mb4_general_ci of column Name of table a: "
                "values that are equal there may be on different shards; use unicode_loose_xxhash or a _bin "
                "collation"}));
}

TEST(VSchemaReferences, ASourceWithoutItsKeyspaceIsTheTableThatIsNoCopy) {
  const auto vschema = Cluster()
                           .keyspace("main", "{'tables':{'zip':{}}}")
                           .keyspace("far", "{'sharded':true,'tables':{'zip':{'type':'reference','source':'zip'}}}")
                           .build(1);
  const auto found = vschema->find_table("", "zip", PRIMARY);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->table->keyspace, "main");
}

TEST(VSchemaJson, UnknownFieldsAreKeptInTheirPlaces) {
  std::string text =
      R"({"sharded":true,"tables":{"t":{"column_vindexes":[{"column":"id","name":"hash","type":"hash"}],"x/y":[1,{"a":2}]}},
          "vindexes":{"hash":{"type":"hash"}},"comment":"mine"})";
  ::vschema::Keyspace record;
  std::vector<std::string> unknown;
  ASSERT_TRUE(parse_json(text, record, &unknown));
  EXPECT_EQ(unknown, (std::vector<std::string>{"comment", "tables.t.column_vindexes[0].type", "tables.t.x/y"}));
  const std::string shown = to_json(record, {.unpopulated = false, .indent = -1});
  EXPECT_EQ(shown,
            R"({"sharded":true,"vindexes":{"hash":{"type":"hash"}},"tables":{"t":{"column_vindexes":[{"column":"id",)"
            R"("name":"hash","type":"hash"}],"x/y":[1,{"a":2}]}},"comment":"mine"})");
  // Over the record's bytes, and what is read again is the same; a place that has gone is left out.
  ::vschema::Keyspace again;
  ASSERT_TRUE(again.ParseFromString(record.SerializeAsString()));
  EXPECT_EQ(to_json(again, {.unpopulated = false, .indent = -1}), shown);
  again.mutable_tables()->clear();
  EXPECT_EQ(to_json(again, {.unpopulated = false, .indent = -1}),
            R"({"sharded":true,"vindexes":{"hash":{"type":"hash"}},"comment":"mine"})");
  // Within a cell's record, too; and whoever gives no list gets an error.
  ::vschema::SrvVSchema all;
  (*all.mutable_keyspaces())["ks"] = record;
  EXPECT_EQ(to_json(all, {.unpopulated = false, .indent = -1}), R"({"keyspaces":{"ks":)" + shown + "}}");
  EXPECT_FALSE(parse_json(text, again, nullptr));
}

TEST(VSchemaTracking, ColumnsOfServersStandInForListsThatAreNotAuthoritative) {
  const auto columns = [](std::initializer_list<const char*> names) {
    std::vector<::vschema::Column> out;
    for (const char* name : names) out.emplace_back().set_name(name);
    return out;
  };
  auto tracked = std::make_shared<TrackedColumns>();
  (*tracked)["main"] = std::make_shared<TrackedTables>(
      TrackedTables{{"listed", columns({"a", "b"})}, {"own", columns({"x"})}, {"unlisted", columns({"c"})}});
  (*tracked)["far"] =
      std::make_shared<TrackedTables>(TrackedTables{{"t", columns({"id", "v"})}, {"unlisted", columns({"d"})}});
  ::vschema::SrvVSchema record;
  (*record.mutable_keyspaces())["main"] = keyspace_of(
      "{'tables':{'listed':{'columns':[{'name':'b'}]},'own':{'columns':[{'name':'y'}],'column_list_authoritative':true}"
      "}}");
  (*record.mutable_keyspaces())["far"] = keyspace_of(
      "{'sharded':true,'vindexes':{'hash':{'type':'hash'}},'tables':{'t':{'column_vindexes':[{'column':'id','name':'"
      "hash'}]}}}");
  const auto names = [](const auto& list) {
    std::string out;
    for (const auto& column : list) out += column.name() + " ";
    return out;
  };
  const auto vschema = VSchema::build(record, 1, {}, tracked);
  const auto shown = with_tracked_columns(record, *tracked);
  const struct {
    const char *keyspace, *table, *columns;
  } cases[] = {{"main", "listed", "a b "}, {"main", "own", "y "}, {"main", "unlisted", "c "}, {"far", "t", "id v "}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.table);
    const auto found = vschema->find_table(c.keyspace, c.table, PRIMARY);
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->table->column_list_authoritative);
    EXPECT_EQ(names(found->table->columns), c.columns);
    const auto& table = shown.keyspaces().at(c.keyspace).tables().at(c.table);
    EXPECT_TRUE(table.column_list_authoritative());
    EXPECT_EQ(names(table.columns()), c.columns);
  }
  // Being known does not make a table routable: not by its bare name, and not in a sharded keyspace.
  EXPECT_FALSE(vschema->find_table("", "unlisted", PRIMARY));
  EXPECT_FALSE(vschema->find_table("far", "unlisted", PRIMARY));
  EXPECT_FALSE(shown.keyspaces().at("far").tables().contains("unlisted"));
}

TEST(VSchemaProblems, AreNamedPrecisely) {
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'column':'id','name':'hash'}]}"), "");
  EXPECT_EQ(problem_of_table("{}"), "missing primary col vindex for table: t");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'column':'id','name':'hsah'}]}"),
            "vindex hsah not found for table t");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'name':'hash'}]}"),
            "must specify at least one column for vindex (hash) and table (t)");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'name':'hash','column':'a','columns':['a']}]}"),
            "can't use column and columns at the same time in vindex (hash) and table (t)");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'name':'hash','columns':['a','b']}]}"), "");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'name':'region','columns':['a','b']}]}"), "");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'name':'region','columns':['a','A']}]}"),
            "column A is used twice by vindex region of table t");
  EXPECT_EQ(problem_of_table("{'type':'sequence'}"),
            "sequence table has to be in an unsharded keyspace or must be pinned: t");
  EXPECT_EQ(problem_of_table("{'type':'sequence','pinned':'00'}"), "");
  EXPECT_EQ(problem_of_table("{'pinned':'8'}").substr(0, 52), "could not decode the keyspace id for pin of table t:");
  EXPECT_EQ(problem_of_table("{'type':'reference'}"), "");
  EXPECT_EQ(problem_of_table("{'type':'refrence'}"),
            "unknown type \"refrence\" of table t: expected sequence or reference");
  EXPECT_EQ(problem_of_table("{'type':'reference','source':'zip'}"), "");
  EXPECT_EQ(problem_of_table("{'columns':[{'name':'a'},{'name':'A'}]}"), "duplicate column name 'A' for table: t");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'column':'id','name':'hash'}],'columns':[{'name':'a'}],"
                             "'column_list_authoritative':true}"),
            "column id of vindex hash is not in the authoritative column list of table t");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'column':'id','name':'hash'}],'columns':[{'name':'a'}]}"), "");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'column':'id','name':'hash'}],'auto_increment':{'sequence':'s'}}"),
            "auto_increment names no column in table: t");
  EXPECT_EQ(problem_of_table("{'column_vindexes':[{'column':'id','name':'hash'}],'auto_increment':{'column':'id'}}"),
            "auto_increment names no sequence in table: t");
  EXPECT_EQ(problem_of("{'vindexes':{'v':{'type':'x'}}}"), "vindex v: vindexType \"x\" not found (vindex v)");
}

class Several final : public shard::Vindex {
 public:
  explicit Several(std::string_view name) : Vindex("several", name) {}
  int cost() const override { return 2; }
  bool is_unique() const override { return false; }
  Status map_into(std::span<const shard::VindexValue>, shard::Destination& out) const override {
    out.set_all_shards();
    return {};
  }
};

TEST(VSchemaProblems, IncludeAPrimaryVindexThatIsNotUnique) {
  shard::register_vindex_type(
      "several", [](std::string_view name, shard::ParameterReader&) -> Result<std::unique_ptr<shard::Vindex>> {
        return std::make_unique<Several>(name);
      });
  const std::string head =
      "{'sharded':true,'vindexes':{'s':{'type':'several','owner':'t'},'h':{'type':'hash'}},'tables':{'t':{'column_"
      "vindexes':[";
  EXPECT_EQ(problem_of(head + "{'column':'a','name':'s'}]}}}"), "primary vindex s is not Unique for table t");
  EXPECT_EQ(problem_of(head + "{'column':'a','name':'h'},{'column':'b','name':'s'}]}}}"), "");
}

TEST(VSchemaProblems, UnknownVindexParametersAreReported) {
  EXPECT_EQ(
      unknown_vindex_parameters("ks", keyspace_of("{'vindexes':{'h':{'type':'hash','params':{'x':'1','a':'2'}}}}")),
      (std::vector<std::string>{"h.a", "h.x"}));
}

// S3-76
TEST(VSchemaProblems, AreNoneWhenAShardedKeyspaceIsMadeUnsharded) {
  std::string json = kCustomer;
  json.replace(json.find("true"), 4, "false");
  EXPECT_EQ(problem_of(json), "");
  const auto table = Cluster().keyspace("customer", json).build()->find_table("", "customer", PRIMARY)->table;
  EXPECT_EQ(table->primary_vindex(), nullptr);
  EXPECT_FALSE(table->sharded);
}

}  // namespace
}  // namespace vitrail::vschema
