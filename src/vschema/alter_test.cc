#include "vschema/alter.h"

#include <gtest/gtest.h>

#include <string>

#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::vschema {
namespace {

class AlterVschema : public testing::Test {
 protected:
  void set(std::string_view json) { ASSERT_TRUE(parse_json(json, record_, nullptr)); }
  // The vschema afterwards on one line, or the error's text; then it is unchanged.
  std::string run(std::string_view text) {
    const std::string before = json();
    const Status done = apply_statements(record_, "ks", text);
    if (done.ok()) return json();
    EXPECT_EQ(json(), before) << text;
    code_ = done.error().code();
    return done.error().message();
  }
  std::string json() const { return to_json(record_, {.unpopulated = false, .indent = -1}); }

  ::vschema::Keyspace record_;
  Code code_ = Code::kOk;
};

TEST_F(AlterVschema, ChangesTablesAndSequencesOfAnUnshardedKeyspace) {
  EXPECT_EQ(run("alter vschema add table t"), R"({"tables":{"t":{}}})");
  EXPECT_EQ(run("ALTER VSCHEMA ADD SEQUENCE `ks`.`my seq`"), R"({"tables":{"my seq":{"type":"sequence"},"t":{}}})");
  EXPECT_EQ(
      run("alter vschema on t add auto_increment id using other.seq"),
      R"({"tables":{"my seq":{"type":"sequence"},"t":{"auto_increment":{"column":"id","sequence":"other.seq"}}}})");
  EXPECT_EQ(run("alter vschema on t drop auto_increment"), R"({"tables":{"my seq":{"type":"sequence"},"t":{}}})");
  EXPECT_EQ(run("alter vschema drop sequence `my seq`; alter vschema drop table ks.t;"), "{}");
}

TEST_F(AlterVschema, MakesVindexesAndTablesThatUseThem) {
  EXPECT_EQ(run("alter vschema create vindex h using xxhash"),
            R"({"sharded":true,"vindexes":{"h":{"type":"xxhash"}}})");
  EXPECT_EQ(run("alter vschema on t add vindex h (id)"),
            R"({"sharded":true,"vindexes":{"h":{"type":"xxhash"}},)"
            R"("tables":{"t":{"column_vindexes":[{"name":"h","columns":["id"]}]}}})");
  EXPECT_EQ(run("alter vschema on t add vindex names (a, `b`) using multicol "
                "with owner=t, column_count=`2`, column_bytes='1,7', column_vindex=\"hash,hash\""),
            R"({"sharded":true,"vindexes":{"h":{"type":"xxhash"},"names":{"type":"multicol","params":)"
            R"({"column_bytes":"1,7","column_count":"2","column_vindex":"hash,hash"},"owner":"t"}},"tables":{"t":)"
            R"({"column_vindexes":[{"name":"h","columns":["id"]},{"name":"names","columns":["a","b"]}]}}})");
  // Describing a known vindex again is fine, describing it differently is not.
  EXPECT_NE(run("alter vschema on u add vindex h (id) using xxhash").find(R"("u":)"), std::string::npos);
  EXPECT_EQ(run("alter vschema on v add vindex h (id) using hash"),
            "\"alter vschema on v add vindex h (id) using hash\": vindex h defined with type xxhash not hash");
  EXPECT_NE(
      run("alter vschema on v add vindex names (a) using multicol with owner=v, column_count=2").find("owner t not v"),
      std::string::npos);
  EXPECT_NE(run("alter vschema on v add vindex names (a) using multicol with owner=t, column_count=2")
                .find("defined with different parameters"),
            std::string::npos);
  // A vindex leaves when nothing uses it; a table with its last vindex.
  EXPECT_NE(run("alter vschema drop vindex names").find("still defined on table t"), std::string::npos);
  EXPECT_EQ(
      run("alter vschema on t drop vindex names; alter vschema drop vindex names; alter vschema on u drop vindex h"),
      R"({"sharded":true,"vindexes":{"h":{"type":"xxhash"}},)"
      R"("tables":{"t":{"column_vindexes":[{"name":"h","columns":["id"]}]}}})");
  EXPECT_EQ(run("alter vschema on t drop vindex h"), R"({"sharded":true,"vindexes":{"h":{"type":"xxhash"}}})");
}

// Each with the statement's text, and the vschema as it was.
TEST_F(AlterVschema, RefusesWhatIsWrong) {
  set(R"({"sharded":true,"vindexes":{"h":{"type":"hash"}},"tables":{"t":{"column_vindexes":[{"column":"id","name":"h"}],
          "auto_increment":{"column":"id","sequence":"seq"}}}})");
  const struct {
    const char* statement;
    const char* refusal;
    Code code;
  } cases[] = {
      {"alter vschema add table u", "add vschema table: unsupported on sharded keyspace ks", Code::kFailedPrecondition},
      {"alter vschema add sequence s", "add sequence table: unsupported on sharded keyspace",
       Code::kFailedPrecondition},
      {"alter vschema drop sequence t", "drop sequence table: unsupported on sharded", Code::kFailedPrecondition},
      {"alter vschema drop table u", "vschema does not contain table u in keyspace ks", Code::kNotFound},
      {"alter vschema create vindex h using hash", "vindex h already exists in keyspace ks", Code::kFailedPrecondition},
      {"alter vschema create vindex v", "the vindex's type is missing", Code::kInvalidArgument},
      {"alter vschema create vindex v using nonsense", "nonsense", Code::kInvalidArgument},
      {"alter vschema drop vindex v", "vindex v does not exist in keyspace ks", Code::kNotFound},
      {"alter vschema on t add vindex h (id)", "vindex h already defined on table t", Code::kFailedPrecondition},
      {"alter vschema on u add vindex v (id)", "create it first, or say USING", Code::kNotFound},
      {"alter vschema on u add vindex h (a, a)", "would not be valid", Code::kInvalidArgument},
      {"alter vschema on u drop vindex h", "vschema does not contain table u", Code::kNotFound},
      {"alter vschema on t drop vindex v", "vindex v not defined in table ks.t", Code::kNotFound},
      {"alter vschema on t add auto_increment id using s", "already contains auto inc id on table t",
       Code::kFailedPrecondition},
      {"alter vschema on u add auto_increment id using s", "does not contain table u", Code::kNotFound},
      {"alter vschema on u drop auto_increment", "does not contain table u", Code::kNotFound},
      {"alter vschema on other.t drop auto_increment", "is about keyspace other, the command about ks",
       Code::kInvalidArgument},
      {"alter table t add column a int", "this is no ALTER VSCHEMA statement", Code::kInvalidArgument},
      {"alter vschema frobnicate t", "syntax error", Code::kInvalidArgument},
      {" ; -- nothing\n", "no statement was given", Code::kInvalidArgument},
  };
  for (const auto& c : cases) {
    code_ = Code::kOk;
    const std::string message = run(c.statement);
    EXPECT_NE(message.find(c.refusal), std::string::npos) << c.statement << ": " << message;
    EXPECT_EQ(code_, c.code) << c.statement;
    if (c.statement[0] == 'a') EXPECT_NE(message.find(c.statement), std::string::npos) << message;
  }
  // Of several statements all count or none.
  EXPECT_NE(
      run("alter vschema on t drop auto_increment; alter vschema drop table u").find("\"alter vschema drop table u\""),
      std::string::npos);
}

// What was wrong before does not keep anybody from mending it.
TEST_F(AlterVschema, RefusesNewFaultsOnly) {
  set(R"({"sharded":true,"vindexes":{"h":{"type":"hash"}},"tables":{"broken":{},"t":{"column_vindexes":[{"column":"id","name":"h"}]}}})");
  EXPECT_EQ(run("alter vschema drop table t").find("not be valid"), std::string::npos);
  EXPECT_EQ(run("alter vschema on broken add vindex h (id)"),
            R"({"sharded":true,"vindexes":{"h":{"type":"hash"}},)"
            R"("tables":{"broken":{"column_vindexes":[{"name":"h","columns":["id"]}]}}})");
}

}  // namespace
}  // namespace vitrail::vschema
