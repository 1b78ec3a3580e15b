#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "control/workflow/engine/runner.h"
#include "net/scope.h"

namespace vitrail::control::engine {

// Makes the operation that is open in the tenure's record.
using OperationFactory = std::function<net::Task<Result<std::unique_ptr<Operation>>>(Tenure&)>;

// Takes the operation over and carries it out. `undone` errors count as success: the workflow is in order again.
//   kAborted: somebody else was faster.
net::Task<Status> continue_operation(topo::Server& topology, StoredRecord stored, OperationFactory factory,
                                     Owner owner);

// Waits until nothing is open on the workflow: until its owner has ended it, or, when the owner is silent or has let go
// of it, by carrying it out. OK also without a record.
//   kDeadlineExceeded: its owner works on it still; the message says what and since when.
//   else             : why it cannot be brought to its end now.
net::Task<Status> settle(topo::Server& topology, std::string keyspace, std::string workflow, OperationFactory factory,
                         Owner owner, net::Wait wait);

// Goes on with operations whose owners have died or let go of them. Every vtctld runs one; which of them takes an
// operation is decided by the conditional write of its record.
//
// It needs no restart of anything and no tablet: what fails is tried again, with growing pauses, and what does not
// depend on it is done meanwhile.
//   Threads: one loop.
class Repairer {
 public:
  // `metrics`, which may be null, says what is open, on which workflow and since when.
  Repairer(topo::Server& topology, OperationFactory factory, Owner owner, base::Metrics* metrics = nullptr);
  // Until `cancel`.
  net::Task<void> run(net::CancelToken cancel);

 private:
  struct Track {
    StoredRecord stored;
    base::TimePoint changed_at;
    bool running = false;
  };
  net::Task<Status> watch(net::CancelToken cancel);
  void take(const topo::Change& change);
  void start_due(net::Scope& scope);
  net::Task<void> repair(std::string path, StoredRecord stored);
  void report();

  topo::Server& topology_;
  const OperationFactory factory_;
  const Owner owner_;
  std::map<std::string, Track> tracks_;  // Records with an open operation, by path.
  base::Family<base::Gauge>* ages_ = nullptr;
  base::Counter* ended_ = nullptr;
  std::set<std::vector<std::string>> reported_;
};

// How long to wait before the next attempt; `urgent`: clients wait for it.
base::Duration retry_pause(int attempts, bool urgent = false);

}  // namespace vitrail::control::engine
