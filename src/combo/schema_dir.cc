#include "combo/schema_dir.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "sql/parser.h"
#include "vschema/proto_json.h"

namespace vitrail::combo {
namespace {

namespace fs = std::filesystem;

Status read_vschema(const std::string& path, const KeyspaceSpec& keyspace, KeyspaceSchema& out) {
  ASSIGN_OR_RETURN(const std::string text, base::read_file(path));
  std::vector<std::string> unknown;
  Status parsed = vschema::parse_json(text, out.vschema, &unknown);
  if (!parsed.ok()) return std::move(parsed).error().with_context(path);
  if (!unknown.empty()) {
    return fail(Code::kInvalidArgument, fmt::format("{}: unknown field(s): {}", path, base::join(unknown, ", ")));
  }
  if (keyspace.sharded() && !out.vschema.sharded()) {
    return fail(Code::kInvalidArgument, fmt::format("{}: \"sharded\": true is missing: {} has {} shards", path,
                                                    keyspace.name, keyspace.shards.size()));
  }
  return {};
}

Status read_keyspace(const fs::path& folder, const KeyspaceSpec& keyspace, KeyspaceSchema& out) {
  std::vector<std::string> scripts;
  bool has_vschema = false;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name == "vschema.json") has_vschema = true;
    if (name.ends_with(".sql")) scripts.push_back(entry.path().string());
  }
  if (error) return fail(Code::kInvalidArgument, fmt::format("{}: {}", folder.string(), error.message()));
  std::ranges::sort(scripts);
  if (has_vschema) RETURN_IF_ERROR(read_vschema((folder / "vschema.json").string(), keyspace, out));
  if (!has_vschema && keyspace.sharded() && !scripts.empty()) {
    return fail(Code::kInvalidArgument,
                fmt::format("{} is missing: it says by which columns the tables of the {} shards of {} are sharded",
                            (folder / "vschema.json").string(), keyspace.shards.size(), keyspace.name));
  }
  for (const std::string& path : scripts) {
    ASSIGN_OR_RETURN(const std::string text, base::read_file(path));
    auto spans = sql::split_statements(text);
    if (!spans.ok()) return std::move(spans).error().with_context(path);
    KeyspaceSchema::File file{.path = path, .statements = {}};
    for (const auto& span : *spans) file.statements.emplace_back(span.of(text));
    out.files.push_back(std::move(file));
  }
  return {};
}

}  // namespace

Result<std::map<std::string, KeyspaceSchema>> read_schema_dir(const std::string& path, const Spec& spec) {
  std::map<std::string, KeyspaceSchema> out;
  for (const KeyspaceSpec& keyspace : spec.keyspaces) out[keyspace.name].vschema.set_sharded(keyspace.sharded());
  if (path.empty()) return out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (!entry.is_directory()) continue;
    const std::string name = entry.path().filename().string();
    const auto keyspace = std::ranges::find(spec.keyspaces, name, &KeyspaceSpec::name);
    if (keyspace == spec.keyspaces.end()) {
      return fail(
          Code::kInvalidArgument,
          fmt::format("--schema-dir: {} is no keyspace: --keyspaces names none of that name", entry.path().string()));
    }
    RETURN_IF_ERROR(read_keyspace(entry.path(), *keyspace, out[name]));
  }
  if (error) return fail(Code::kNotFound, fmt::format("--schema-dir {}: {}", path, error.message()));
  return out;
}

}  // namespace vitrail::combo
