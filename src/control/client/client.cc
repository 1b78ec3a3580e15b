#include "control/client/client.h"

#include "base/file.h"
#include "base/text.h"
#include "vschema/proto_json.h"

namespace vitrail::control {

Result<std::string> ClientContext::file(const std::string& path) const {
  return read_file ? read_file(path) : base::read_file(path);
}

Result<std::string> ClientContext::json(const google::protobuf::Message& message) const {
  return vschema::to_json(message, {.unpopulated = !compact, .indent = 2}) + "\n";
}

Result<std::string> ClientContext::plain_json(const google::protobuf::Message& message) const {
  return vschema::to_json(message, {.unpopulated = false, .plain = true, .indent = 2}) + "\n";
}

CommandSet::CommandSet(base::Settings& root) : root_(root) {
  paths_.push_back({&root_, {}});
  add_cell_commands(*this);
  add_keyspace_commands(*this);
  add_shard_commands(*this);
  add_vschema_commands(*this);
  add_path_commands(*this);
  add_tablet_commands(*this);
  add_sql_commands(*this);
  add_reparent_commands(*this);
  add_schema_commands(*this);
  add_validate_commands(*this);
  add_workflow_commands(*this);
  add_lookup_commands(*this);
  add_mount_commands(*this);
  add_throttler_commands(*this);
  add_sharding_workflow_commands(*this);
  add_backup_commands(*this);
  add_unbuilt_commands(*this);
}

base::Settings& CommandSet::add(base::Settings& parent, std::string_view name, std::string_view description,
                                ClientCommand run, std::vector<std::string> aliases) {
  base::Settings& command = parent.add_command(name, description, std::move(aliases));
  std::vector<std::string> path;
  for (const auto& [settings, known] : paths_) {
    if (settings == &parent) path = known;
  }
  path.emplace_back(name);
  if (run) by_path_.emplace_back(path, std::move(run));
  paths_.emplace_back(&command, std::move(path));
  return command;
}

net::Task<Result<std::string>> CommandSet::run(const ClientContext& context) {
  for (const auto& [path, command] : by_path_) {
    if (path == root_.command_path()) co_return co_await command(context);
  }
  std::string names;
  for (const auto& part : root_.command_path()) names += " " + part;
  co_return fail(Code::kInvalidArgument, names.empty() ? "give a command; --help lists them"
                                                       : "give a sub-command of" + names + "; --help lists them");
}

Result<std::pair<std::string, std::string>> parse_keyspace_shard(std::string_view text) {
  const size_t slash = text.find_first_of("/:");
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == text.size()) {
    return fail(Code::kInvalidArgument, "'" + std::string(text) + "' is not a shard: give keyspace/shard");
  }
  return std::pair(std::string(text.substr(0, slash)), std::string(text.substr(slash + 1)));
}

Result<bool> parse_bool(std::string_view what, std::string_view text) {
  for (const std::string_view yes : {"true", "1", "t", "yes", "on"}) {
    if (base::equals_ignoring_case(text, yes)) return true;
  }
  for (const std::string_view no : {"false", "0", "f", "no", "off"}) {
    if (base::equals_ignoring_case(text, no)) return false;
  }
  return fail(Code::kInvalidArgument, std::string(what) + ": '" + std::string(text) + "' is neither true nor false");
}

namespace {

// Indents all lines but the first, and drops the line end.
std::string nested(std::string_view json) {
  while (json.ends_with('\n')) json.remove_suffix(1);
  std::string out;
  for (const char c : json) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out;
}

}  // namespace

std::string json_object(const std::map<std::string, std::string>& parts) {
  std::string out;
  for (const auto& [key, text] : parts) {
    out += (out.empty() ? "{\n  " : ",\n  ") + base::json_string(key) + ": " + nested(text);
  }
  return out.empty() ? "null\n" : out + "\n}\n";
}

std::string json_array(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& text : parts) out += (out.empty() ? "[\n  " : ",\n  ") + nested(text);
  return out.empty() ? "null\n" : out + "\n]\n";
}

::vttime::Duration to_proto_duration(base::Duration duration) {
  ::vttime::Duration out;
  out.set_seconds(std::chrono::duration_cast<std::chrono::seconds>(duration).count());
  out.set_nanos(static_cast<int32_t>((duration % std::chrono::seconds(1)).count()));
  return out;
}

Result<std::string> text_or_file(const ClientContext& context, const std::string& text, const std::string& file,
                                 std::string_view flag) {
  if (!text.empty() && !file.empty()) {
    return fail(Code::kInvalidArgument,
                "give either --" + std::string(flag) + " or --" + std::string(flag) + "-file, not both");
  }
  if (!file.empty()) return context.file(file);
  if (text.empty()) {
    return fail(Code::kInvalidArgument, "give --" + std::string(flag) + " or --" + std::string(flag) + "-file");
  }
  return text;
}

}  // namespace vitrail::control
