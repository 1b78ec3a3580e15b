#include "combo/schema_dir.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/file.h"

namespace vitrail::combo {
namespace {

class SchemaDir : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(dir_.data()), nullptr); }
  void TearDown() override { EXPECT_TRUE(base::remove_tree(dir_).ok()); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(dir_ + "/" + path).parent_path());
    ASSERT_TRUE(base::write_file_atomically(dir_ + "/" + path, text).ok());
  }
  // What is read, or the error without the folder's name.
  std::string read() {
    const auto spec = make_spec({"one", "two"}, {"1", "2"}, 1, 0);
    auto schemas = read_schema_dir(dir_, *spec);
    if (!schemas.ok()) {
      std::string text = schemas.error().message();
      for (size_t at; (at = text.find(dir_ + "/")) != std::string::npos;) text.erase(at, dir_.size() + 1);
      return text;
    }
    std::string out;
    for (const auto& [name, schema] : *schemas) {
      out += name + (schema.vschema.sharded() ? " sharded:" : ":");
      for (const auto& file : schema.files) {
        for (const auto& statement : file.statements) out += " [" + statement + "]";
      }
      out += "\n";
    }
    return out;
  }
  std::string dir_ = testing::TempDir() + "schema_dir_XXXXXX";
};

TEST_F(SchemaDir, FilesInTheOrderOfTheirNames) {
  EXPECT_EQ(read(), "one:\ntwo sharded:\n");
  write("one/b.sql", "create table b(id int); insert into b values (';');\n");
  write("one/a.sql", "-- first\ncreate table a(id int)");
  write("one/notes.txt", "x");
  write("two/vschema.json", R"({"sharded": true})");
  write("two/t.sql", "create table t(id int);");
  EXPECT_EQ(read(),
            "one: [create table a(id int)] [create table b(id int)] [insert into b values (';')]\n"
            "two sharded: [create table t(id int)]\n");
}

TEST_F(SchemaDir, SaysWhichFileCannotBeUsed) {
  write("two/t.sql", "create table t(id int);");
  EXPECT_EQ(read(),
            "two/vschema.json is missing: it says by which columns the tables of the 2 shards of two are sharded");
  write("two/vschema.json", "{}");
  EXPECT_EQ(read(), "two/vschema.json: \"sharded\": true is missing: two has 2 shards");
  write("two/vschema.json", R"({"sharded": true, "tabels": {}})");
  EXPECT_EQ(read(), "two/vschema.json: unknown field(s): tabels");
  write("two/vschema.json", "{");
  EXPECT_TRUE(read().starts_with("two/vschema.json: "));
  write("two/vschema.json", R"({"sharded": true})");
  write("one/t.sql", "select 'open");
  EXPECT_TRUE(read().starts_with("one/t.sql: "));
  write("one/t.sql", "");
  write("tow/t.sql", "");
  EXPECT_EQ(read(), "--schema-dir: tow is no keyspace: --keyspaces names none of that name");
  const auto spec = make_spec({"one"}, {"1"}, 1, 0);
  EXPECT_EQ(read_schema_dir(dir_ + "/missing", *spec).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace vitrail::combo
