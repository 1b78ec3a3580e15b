#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/settings.h"
#include "worker/job.h"

// The commands of vtworker: one table for the command line, gRPC and the forms of its pages.
namespace vitrail::worker {

// All flags of all commands; each command declares those that it has.
struct JobSettings {
  bool online = true;
  bool offline = true;
  std::vector<std::string> tables;
  std::vector<std::string> exclude_tables;
  int32_t chunk_count = 1000;
  int32_t min_rows_per_chunk = 10'000;
  int32_t source_reader_count = 10;
  int32_t write_query_max_rows = 100;
  int32_t write_query_max_size = 1 << 20;
  int32_t destination_writer_count = 20;
  std::string tablet_type = "RDONLY";
  std::string dest_tablet_type = "RDONLY";
  int32_t min_healthy_tablets = 2;
  bool use_consistent_snapshot = false;
  int64_t max_tps = 0;              // 0: no limit.
  int64_t max_replication_lag = 0;  // Seconds; 0: no limit.
  std::string source_uid;
  int32_t parallel_diffs_count = 8;
  bool skip_verify = false;
};

struct Command {
  std::string_view group;  // "Clones": a page of its own.
  std::string_view name;
  std::string_view usage;  // "<keyspace/shard>"; "" when it takes nothing.
  std::string_view help;
  bool needs_argument = false;
  void (*declare)(base::Settings& settings, JobSettings& out) = nullptr;
  // kInvalidArgument: values that make no sense.
  Result<std::unique_ptr<Job>> (*make)(JobSettings settings, std::string argument) = nullptr;
};

std::span<const Command> commands();
// Compares names ignoring case; null when there is none.
const Command* find_command(std::string_view name);
// All commands by group, with their flags.
std::string help_text();

// Reads a command line ("SplitClone", "-min_healthy_rdonly_tablets=1", "customer/0").
//   kInvalidArgument: an unknown command (the nearest known one is named), flag or argument; also for help, which the
//   message then is.
Result<std::unique_ptr<Job>> make_job(const std::vector<std::string>& words);

// For forms: the flags of a command with their defaults.
struct FlagInfo {
  std::string name;
  std::string value;
  std::string description;
  bool is_switch = false;
};
std::vector<FlagInfo> flags_of(const Command& command);

// "customer/-80": keyspace and shard.
Result<std::pair<std::string, std::string>> parse_shard_path(const std::string& text);

}  // namespace vitrail::worker
