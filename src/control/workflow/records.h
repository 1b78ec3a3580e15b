#pragma once

#include <string>
#include <vector>

#include "control/tablet_client.h"
#include "control/workflow/engine/repairer.h"
#include "control/workflow/model.h"

// Between commands and the engine: which workflow is meant, and what may be begun on it.
namespace vitrail::control {

struct FoundWorkflow {
  engine::StoredRecord stored;
  bool by_reverse_name = false;  // The command named "w_reverse" of the source keyspace.

  const engine::Record& record() const { return stored.record; }
};

// The record of a workflow with nothing open on it: what an earlier command left is brought to its end first. Streams
// without a record (an older version made them) get one.
//   kNotFound: "the w workflow does not exist in the k keyspace". Else as engine::settle().
net::Task<Result<FoundWorkflow>> find_workflow(TabletClient& tablets, std::string keyspace, std::string workflow);

// Opens an operation. kAborted: another command was faster.
net::Task<Result<std::unique_ptr<engine::Tenure>>> begin_operation(TabletClient& tablets,
                                                                   const engine::StoredRecord& stored, std::string kind,
                                                                   std::map<std::string, std::string> settings);

// Of a complete or cancel that leaves the source alone.
inline constexpr const char* kIgnoreSource = "ignore_source";
// Is such an operation open that does not leave it alone, and so cannot come to its end without its source: it is taken
// over from whoever tries, and brought to its end without. What it was: "complete", "cancel"; empty: there was none.
net::Task<Result<std::string>> end_without_source(TabletClient& tablets, std::string keyspace, std::string workflow);

// Makes what is open in a tenure's record. `tablets` must outlive it.
engine::OperationFactory operation_factory(TabletClient& tablets);

// Gives records to all workflows whose streams are in a keyspace and that have none. What cannot be asked is left out.
net::Task<Status> adopt_workflows(TabletClient& tablets, std::string keyspace);
// Gives records to the switches that a vtctld of an older version left unfinished (workflows/switch-...).
net::Task<Status> adopt_old_switches(TabletClient& tablets);

// The workflow's shards and tables without its streams. `reversed`: as its reverse workflow sees it.
WorkflowModel model_of(const engine::Record& record, bool reversed = false);

// Locks on both keyspaces of a workflow, in the order of their names. They keep other commands away; what makes a
// workflow's own writes safe is its record.
class KeyspaceLocks {
 public:
  static net::Task<Result<KeyspaceLocks>> acquire(topo::Server& topology, std::string a, std::string b,
                                                  std::string action);
  net::Task<Status> release();

 private:
  std::vector<topo::KeyspaceLock> locks_;
};

}  // namespace vitrail::control
