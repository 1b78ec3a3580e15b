#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "workflow.pb.h"

// A workflow of the manager: phases of tasks, approvals and retries. Decisions only: nothing here reads or changes
// anything but the record it is given, which is what any vtctld needs to go on with the workflow.
// docs/formats/workflow_manager_record.md describes the record.
namespace vitrail::control::manager {

// What is stored, with `data` decoded. Whoever stores it puts `checkpoint` back into `workflow.data`.
struct Record {
  ::workflow::Workflow workflow;
  ::workflow::WorkflowCheckpoint checkpoint;

  const std::string& setting(const std::string& key) const;
  // A list of names separated by commas.
  std::vector<std::string> list(const std::string& key) const;
};

inline constexpr std::string_view kHorizontalResharding = "horizontal_resharding";
inline constexpr std::string_view kSleep = "sleep";
inline constexpr std::string_view kTopoValidator = "topo_validator";
inline constexpr std::string_view kFactories[] = {kHorizontalResharding, kSleep, kTopoValidator};

// Names of phases: parts of paths.
inline constexpr std::string_view kCopySchema = "copy_schema";
inline constexpr std::string_view kClone = "clone";
inline constexpr std::string_view kWaitForFilteredReplication = "wait_for_filtered_replication";
inline constexpr std::string_view kDiff = "diff";
inline constexpr std::string_view kMigrateRdonly = "migrate_rdonly";
inline constexpr std::string_view kMigrateReplica = "migrate_replica";
inline constexpr std::string_view kMigrateMaster = "migrate_master";

struct Phase {
  std::string path;   // "copy_schema"
  std::string label;  // "CopySchemaShard"
  bool parallel = false;
  bool approvals = false;
  std::vector<std::string> tasks;  // Shards, in order. The task's id is "<path>/<shard>".

  std::string id(size_t task) const { return path + "/" + tasks[task]; }
};
// In their order. Empty for a factory that is not known.
std::vector<Phase> phases_of(const Record& record);
// Of the seven.
std::vector<std::string> resharding_phases();

bool has_failed(const ::workflow::Task& task);
// Done without an error.
bool has_succeeded(const ::workflow::Task& task);

// What a vtctld that runs the workflow does now.
struct Decision {
  std::vector<std::string> start;  // Tasks.
  bool finished = false;           // All is done.
};
// Of a running workflow. `here`: the tasks that this process is carrying out. A task that the record calls running and
// that is not among them was left by another process: it is started again, without another approval.
Decision decide(const Record& record, const std::set<std::string>& here);

// A button below a node of the tree.
struct Button {
  enum class Style : uint8_t { kNormal = 1, kWarning = 2, kWaiting = 3, kTriggered = 4 };
  std::string name;
  bool enabled = false;
  Style style = Style::kNormal;
  std::string message = {};  // Shown instead of the name.
};
inline constexpr std::string_view kApproveFirst = "Approve first shard";
inline constexpr std::string_view kApproveRemaining = "Approve remaining shards";
inline constexpr std::string_view kRetry = "Retry";
inline constexpr std::string_view kStart = "Start";
inline constexpr std::string_view kStop = "Stop";
inline constexpr std::string_view kDelete = "Delete";

// Of "/<uuid>", "/<uuid>/<phase>" and "/<uuid>/<phase>/<shard>"; none for other paths.
std::vector<Button> buttons_of(const Record& record, std::string_view path);

// Presses a button, all but Delete. `who`: for the log; empty: not known.
//   kNotFound: no such node or button. kFailedPrecondition: not now.
Status press(Record& record, std::string_view path, std::string_view button, base::WallTime now,
             std::string_view who = "");

// Changes by whoever runs it.
void begin_task(Record& record, const std::string& id, base::WallTime now);
// An empty error: it succeeded. `output`: the end of what it said.
void end_task(Record& record, const std::string& id, const Status& outcome, std::string output, base::WallTime now);
void finish(Record& record, base::WallTime now);

// What happened, oldest first.
struct LogEntry {
  int64_t at_ms = 0;
  std::string node;  // Path below the workflow; "" is the workflow itself.
  std::string what;
};
inline constexpr size_t kLogEntriesMax = 300;  // The oldest go first.
std::vector<LogEntry> log_of(const Record& record);
void add_log(Record& record, base::WallTime now, std::string node, std::string what);

}  // namespace vitrail::control::manager
