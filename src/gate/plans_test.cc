// tests/plans: statements with their plans. See the README there.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/text.h"
#include "gate/vexplain.h"
#include "plan/planner.h"
#include "plan/schema_names.h"
#include "schema/schema.h"
#include "sql/parser.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

using Json = nlohmann::ordered_json;

const std::filesystem::path kFolder = VITRAIL_PLANS_DIR;

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// One operator with what feeds it, a line each.
void render(const Json& node, size_t depth, std::string& out) {
  out += std::string(depth * 2, ' ');
  const auto take = [&](const char* name, const std::string& before) {
    if (node.contains(name)) out += before + text_of(node[name]);
  };
  take("InputName", "");
  take("Table", node.contains("InputName") ? " of " : "");
  take("TemporaryTable", " as ");
  if (node.contains("InputName") || node.contains("Table")) out += node.contains("OperatorType") ? ": " : "";
  take("OperatorType", "");
  take("Variant", " ");
  if (node.contains("Keyspace")) out += " " + text_of(node["Keyspace"]["Name"]);
  take("Vindex", " by ");
  for (const auto& [name, value] : node.items()) {
    constexpr std::string_view kShown[] = {"Way",     "InputName", "Table",  "TemporaryTable", "OperatorType",
                                           "Variant", "Keyspace",  "Vindex", "Query"};
    if (std::ranges::find(kShown, name) != std::end(kShown)) continue;
    const bool nested = value.is_object() || (value.is_array() && !value.empty() && value[0].is_object());
    if (!nested) out += " [" + name + " " + text_of(value) + "]";
  }
  take("Query", ": ");
  out += "\n";
  for (const auto& [name, value] : node.items()) {
    if (name == "Keyspace") continue;
    if (value.is_object()) render(value, depth + 1, out);
    if (!value.is_array()) continue;
    for (const auto& child : value) {
      if (child.is_object()) render(child, depth + 1, out);
    }
  }
}

class Planner {
 public:
  Planner() {
    ::vschema::SrvVSchema record;
    std::ifstream file(kFolder / "vschema.json");
    const Json keyspaces = Json::parse(file)["keyspaces"];
    for (const auto& [name, json] : keyspaces.items()) {
      Status parsed = vschema::parse_json(json.dump(), (*record.mutable_keyspaces())[name], nullptr);
      EXPECT_TRUE(parsed.ok()) << name << ": " << parsed.error().message();
    }
    vschema_ = vschema::VSchema::build(record, 1);
    read_schema();
  }

  // What a file has behind "> " and the statement.
  std::string planned(std::string_view line) const {
    PlanKeyspace of = keyspace_of(line);
    auto ast = sql::parse(of.statement);
    if (!ast.ok()) return "error: " + ast.error().message() + "\n";
    plan::PlanContext context;
    context.vschema = vschema_.get();
    context.schema = &schema_;
    context.keyspace = of.keyspace;
    context.has_parameters = true;
    const auto plan = plan::plan_statement(*ast, context);
    if (!plan.ok()) return "error: " + plan.error().message() + "\n";
    const Json json = Json::parse(plan_json(**plan, of.statement));
    std::string out = json.contains("Way") ? text_of(json["Way"]) + "\n" : "";
    render(json, out.empty() ? 0 : 1, out);
    return out;
  }

 private:
  struct PlanKeyspace {
    std::string keyspace = "shop";
    std::string statement;
  };

  static PlanKeyspace keyspace_of(std::string_view line) {
    if (line.starts_with("main: ")) return {"main", std::string(line.substr(6))};
    return {.statement = std::string(line)};
  }

  // "shop.t: id bigint!, name varchar(40)"
  void read_schema() {
    std::map<std::string, schema::Keyspace> keyspaces;
    std::ifstream file(kFolder / "schema.txt");
    for (std::string line; std::getline(file, line);) {
      const size_t dot = line.find('.');
      const size_t colon = line.find(": ");
      ASSERT_NE(colon, std::string::npos) << line;
      schema::Table& table = keyspaces[line.substr(0, dot)][line.substr(dot + 1, colon - dot - 1)];
      std::string rest = line.substr(colon + 2);
      for (size_t begin = 0; begin < rest.size();) {
        size_t end = rest.find(", ", begin);
        if (end == std::string::npos) end = rest.size();
        add_column(table, rest.substr(begin, end - begin));
        begin = end + 2;
      }
    }
    for (auto& [name, tables] : keyspaces) schema_[name] = std::make_shared<const schema::Keyspace>(std::move(tables));
  }

  static void add_column(schema::Table& table, std::string text) {
    const bool key = text.ends_with('!');
    if (key) text.pop_back();
    const size_t blank = text.find(' ');
    schema::Column& column = table.columns.emplace_back();
    column.name = text.substr(0, blank);
    column.type = text.substr(blank + 1);
    column.data_type = column.type.substr(0, column.type.find('('));
    if (column.data_type == "varchar") {
      column.charset = "utf8mb4";
      column.collation = "utf8mb4_general_ci";
    }
    column.nullable = !key;
    if (key) schema::set_key_flags(table, {{.index = "PRIMARY", .column = column.name, .unique = true}});
  }

  std::shared_ptr<const vschema::VSchema> vschema_;
  schema::Snapshot schema_;
};

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

// The file with the plans that are made now: its comments and statements stay.
std::string rewritten(const Planner& planner, const std::string& old) {
  std::string out;
  std::istringstream lines(old);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) out += line + "\n";
    if (line.starts_with("> ")) out += "\n" + line + "\n" + planner.planned(std::string_view(line).substr(2));
  }
  return out;
}

TEST(Plans, AreAsTheyWereReviewed) {
  const Planner planner;
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".txt" || entry.path().filename() == "schema.txt") continue;
    ++files;
    const std::string old = read_file(entry.path());
    const std::string now = rewritten(planner, old);
    if (std::getenv("VITRAIL_WRITE_PLANS") != nullptr) {
      std::ofstream(entry.path()) << now;
    } else {
      EXPECT_EQ(old, now) << entry.path() << ": ./dev plans writes it anew, if this is what is wanted";
    }
  }
  EXPECT_GE(files, 9u);
}

}  // namespace
}  // namespace vitrail::gate
