#include "worker/commands.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "worker/clone.h"
#include "worker/debugging.h"
#include "worker/diff.h"

namespace vitrail::worker {
namespace {

void declare_nothing(base::Settings&, JobSettings&) {}

void declare_min_healthy(base::Settings& s, JobSettings& out) {
  s.add("min_healthy_rdonly_tablets", &out.min_healthy_tablets,
        "how many healthy tablets there must be before one is taken")
      .alias("min_healthy_tablets");
}

void declare_copy(base::Settings& s, JobSettings& out) {
  s.add("exclude_tables", &out.exclude_tables, "tables that are left out; /regular expressions/ too");
  s.add("chunk_count", &out.chunk_count, "in about how many pieces a table is read; a piece has 4 MiB at most");
  s.add("min_rows_per_chunk", &out.min_rows_per_chunk, "rows that a piece has at least, about");
  s.add("source_reader_count", &out.source_reader_count, "tables that are read at the same time");
  s.add("write_query_max_rows", &out.write_query_max_rows, "rows of one statement, at most");
  s.add("write_query_max_size", &out.write_query_max_size, "bytes of one statement, at most");
  s.add("destination_writer_count", &out.destination_writer_count, "statements that run at the same time");
  s.add("tablet_type", &out.tablet_type, "which tablets of the source are read");
  s.add("use_consistent_snapshot", &out.use_consistent_snapshot,
        "the offline pass reads a snapshot of a tablet that goes on to serve and replicate, instead of stopping one");
  s.add("max_tps", &out.max_tps, "statements a second on each destination, at most; 0: no limit");
  s.add("max_replication_lag", &out.max_replication_lag,
        "seconds; while a destination's replica is further behind, nothing is written; 0: no limit");
  declare_min_healthy(s, out);
}

void declare_clone(base::Settings& s, JobSettings& out) {
  s.add("online", &out.online, "copy while the source's tablets serve and replicate");
  s.add("offline", &out.offline, "copy at one position of the source, then start streams");
  declare_copy(s, out);
}

void declare_vertical_clone(base::Settings& s, JobSettings& out) {
  declare_clone(s, out);
  s.add("tables", &out.tables, "tables that are moved; /regular expressions/ too");
}

void declare_vertical_diff(base::Settings& s, JobSettings& out) {
  declare_min_healthy(s, out);
  s.add("parallel_diffs_count", &out.parallel_diffs_count, "tables that are compared at the same time");
  s.add("dest_tablet_type", &out.dest_tablet_type, "which tablet of the destination is compared");
}

void declare_multi_diff(base::Settings& s, JobSettings& out) {
  declare_vertical_diff(s, out);
  s.add("exclude_tables", &out.exclude_tables, "tables that are left out; /regular expressions/ too");
  s.add("skip-verify", &out.skip_verify, "do not compare the schemas first");
}

void declare_diff(base::Settings& s, JobSettings& out) {
  declare_multi_diff(s, out);
  s.add("source_uid", &out.source_uid, "uid of the source shard, when there are several");
}

constexpr std::string_view kShard = "<keyspace/shard>";

constexpr Command kCommands[] = {
    {"Debugging", "Ping", "[<message>]", "Writes the message to the log: shows that the worker works.", false,
     declare_nothing, make_ping},
    {"Debugging", "Block", "", "Does nothing until it is cancelled.", false, declare_nothing, make_block},
    {"Debugging", "Panic", "", "Fails in a way that no job should.", false, declare_nothing, make_panic},
    {"Clones", "SplitClone", kShard, "Copies shards to the shards that are to take their place, and keeps them equal.",
     true, declare_clone, make_split_clone},
    {"Clones", "VerticalSplitClone", kShard,
     "Copies tables to a keyspace that is served from another one, and keeps them equal.", true, declare_vertical_clone,
     make_vertical_split_clone},
    {"Clones", "LegacySplitClone", kShard, "SplitClone without the online pass.", true, declare_copy,
     make_legacy_split_clone},
    {"Diffs", "SplitDiff", kShard, "Compares a destination shard with its source.", true, declare_diff,
     make_split_diff},
    {"Diffs", "MultiSplitDiff", kShard, "Compares all destinations of a source shard with it.", true,
     declare_multi_diff, make_multi_split_diff},
    {"Diffs", "VerticalSplitDiff", kShard, "Compares the tables of a vertical split with their source.", true,
     declare_vertical_diff, make_vertical_split_diff},
};

Status check_positive(const JobSettings& s) {
  const std::pair<const char*, int64_t> positive[] = {{"chunk_count", s.chunk_count},
                                                      {"min_rows_per_chunk", s.min_rows_per_chunk},
                                                      {"source_reader_count", s.source_reader_count},
                                                      {"write_query_max_rows", s.write_query_max_rows},
                                                      {"write_query_max_size", s.write_query_max_size},
                                                      {"destination_writer_count", s.destination_writer_count},
                                                      {"parallel_diffs_count", s.parallel_diffs_count},
                                                      {"min_healthy_rdonly_tablets", s.min_healthy_tablets}};
  for (const auto& [name, value] : positive) {
    if (value < 1) return fail(Code::kInvalidArgument, fmt::format("{} must be at least 1, received {}", name, value));
  }
  if (s.max_tps < 0 || s.max_replication_lag < 0) {
    return fail(Code::kInvalidArgument, "max_tps and max_replication_lag cannot be negative");
  }
  return {};
}

Error unknown_command(const std::string& name) {
  std::string nearest;
  size_t best = std::max<size_t>(2, name.size() / 3) + 1;
  for (const Command& command : kCommands) {
    const size_t distance = base::edit_distance(base::to_lower(name), base::to_lower(command.name));
    if (distance >= best) continue;
    best = distance;
    nearest = command.name;
  }
  return fail(Code::kInvalidArgument, nearest.empty()
                                          ? fmt::format("unknown command: {}; help lists all", name)
                                          : fmt::format("unknown command: {} (did you mean {}?)", name, nearest));
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

const Command* find_command(std::string_view name) {
  const auto found =
      std::ranges::find_if(kCommands, [&](const Command& c) { return base::equals_ignoring_case(c.name, name); });
  return found == std::end(kCommands) ? nullptr : found;
}

std::vector<FlagInfo> flags_of(const Command& command) {
  JobSettings values;
  base::Settings settings{std::string(command.name), std::string(command.help)};
  command.declare(settings, values);
  const auto defaults = nlohmann::json::parse(settings.to_json());
  std::vector<FlagInfo> out;
  for (const auto& flag : nlohmann::json::parse(settings.describe_json())) {
    std::string name = flag.value("name", "");
    std::ranges::replace(name, '-', '_');
    const auto value = defaults.find(name);
    if (value == defaults.end()) continue;
    out.push_back({.name = name,
                   .value = value->is_string()  ? value->get<std::string>()
                            : value->is_array() ? std::string()
                                                : value->dump(),
                   .description = flag.value("description", ""),
                   .is_switch = value->is_boolean()});
  }
  return out;
}

std::string help_text() {
  std::string out = "Available commands:\n";
  std::string_view group;
  for (const Command& command : kCommands) {
    if (command.group != group) out += fmt::format("\n{}:\n", command.group);
    group = command.group;
    out += fmt::format("  {}", command.name);
    for (const FlagInfo& flag : flags_of(command)) out += fmt::format(" [--{}={}]", flag.name, flag.value);
    out += fmt::format("{}{}\n", command.usage.empty() ? "" : " ", command.usage);
  }
  return out + "\nOf a running worker:\n  Reset\n  Cancel\n";
}

Result<std::pair<std::string, std::string>> parse_shard_path(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == text.size() ||
      text.find('/', slash + 1) != std::string::npos) {
    return fail(Code::kInvalidArgument, fmt::format("invalid shard path: {}: expected <keyspace>/<shard>", text));
  }
  return std::pair(text.substr(0, slash), text.substr(slash + 1));
}

Result<std::unique_ptr<Job>> make_job(const std::vector<std::string>& words) {
  if (words.empty()) return fail(Code::kInvalidArgument, "no command was given; help lists all");
  if (base::equals_ignoring_case(words[0], "help")) return fail(Code::kInvalidArgument, help_text());
  const Command* command = find_command(words[0]);
  if (command == nullptr) return unknown_command(words[0]);
  JobSettings values;
  base::Settings settings{std::string(command->name), std::string(command->help)};
  command->declare(settings, values);
  if (!command->usage.empty()) settings.arguments(command->usage, 0, SIZE_MAX);
  std::span<const std::string> rest = std::span(words).subspan(1);
  if (!rest.empty() && rest[0] == "--") rest = rest.subspan(1);
  ASSIGN_OR_RETURN(const auto outcome, settings.parse(rest));
  if (outcome != base::Settings::Outcome::kRun) return fail(Code::kInvalidArgument, settings.help());
  const auto& arguments = settings.positional();
  if (arguments.size() > 1 || (command->needs_argument && arguments.empty())) {
    return fail(Code::kInvalidArgument, fmt::format("command {} requires {}", command->name, command->usage));
  }
  RETURN_IF_ERROR(check_positive(values));
  return command->make(std::move(values), arguments.empty() ? std::string() : arguments[0]);
}

}  // namespace vitrail::worker
