#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/workflow/engine/record.h"
#include "net/scope.h"
#include "net/sync.h"
#include "topo/record.h"

namespace vitrail::control::engine {

// Who carries out operations: one process.
struct Owner {
  std::string id;    // Unique.
  std::string text;  // "vtctld on host, process 17".
};
const Owner& this_process();

// An owner changes its record so often while it lives; who sees no change for kSilence may take the operation over.
inline constexpr std::chrono::milliseconds kHeartbeat{700};
inline constexpr std::chrono::milliseconds kSilence{3'500};

// The permission to carry out the open operation of one workflow.
//
// It is an entry in the record, owner and epoch, and every write of the record is conditional on its version: whoever
// takes the operation over does so with one write, after which every write of the owner before fails. No clock of
// another machine is believed: an owner is silent when its record has not changed for kSilence on the clock of the one
// that watches it.
//
// Having this object proves nothing (the process may have been paused). So effects outside of the record carry guard(),
// which reads the record between the reading and the conditional writing of what they change (topo::WriteGuard).
//
//   Owns    : a background task that renews it, from begin() and take_over() to end().
//   Threads : one loop. end() must have returned before destruction.
class Tenure {
 public:
  // Makes the record of a workflow with the operation that is open in it. It belongs to its owner from its first write
  // on: a repairer that sees it at once has nothing to take.
  //   kAlreadyExists: there is a workflow of that name.
  static net::Task<Result<std::unique_ptr<Tenure>>> create(topo::Server& topology, Record record, Owner owner);
  // Opens an operation on a record that has none.
  //   kAborted: somebody else has changed the record meanwhile.
  static net::Task<Result<std::unique_ptr<Tenure>>> begin(topo::Server& topology, StoredRecord stored,
                                                          ::workflowdata::Operation operation, Owner owner);
  // Becomes the owner of the operation that is open. kAborted as above.
  static net::Task<Result<std::unique_ptr<Tenure>>> take_over(topo::Server& topology, StoredRecord stored, Owner owner);
  ~Tenure();
  Tenure(const Tenure&) = delete;
  Tenure& operator=(const Tenure&) = delete;

  const Record& record() const { return record_; }
  const ::workflowdata::Operation& open() const { return record_.open(); }
  topo::Server& topology() { return topology_; }
  int64_t now_ms() const { return to_ms(topology_.clock().wall_now()); }

  // Changes the record in memory; written with the next change(). Also while a write is under way, of which it is no
  // part.
  void note(const std::function<void(Record&)>& change) {
    change(record_);
    noted_ = true;
  }
  // Changes and writes. `change` may be called again, on a record that has notes besides. kFailedPrecondition: somebody
  // else has taken the operation over, which has no effect.
  net::Task<Status> change(std::function<void(Record&)> change);
  // Closes the operation: the record without it, or no record.
  net::Task<Status> close(std::function<void(Record&)> change);
  net::Task<Status> remove();
  // Is it still ours? kFailedPrecondition when not.
  net::Task<Status> check();
  topo::WriteGuard guard() {
    return [this] { return check_before_write(); };
  }
  // For commands to tablets, which refuse those of an owner before.
  ::workflowdata::Fence fence() const;
  bool lost() const { return lost_; }
  // The operation is at its end: close() or remove() was successful.
  bool closed() const { return closed_; }
  // Stops renewing.
  net::Task<void> end();

  // Is an operation on this path carried out by this process right now?
  static bool is_active(const std::string& owner_id, const std::string& path);

 private:
  Tenure(topo::Server& topology, StoredRecord stored, Owner owner);
  net::Task<Status> check_before_write();
  net::Task<Status> write(const Record& next);
  net::Task<Status> store(std::function<void(Record&)> change);
  net::Task<void> renew();
  bool is_ours(const Record& record) const;
  Error lost_error() const;

  topo::Server& topology_;
  const Owner owner_;
  Record record_;
  topo::Version version_;
  const std::string path_;
  net::Mutex mutex_;    // Writes follow each other.
  bool noted_ = false;  // Since the last write began.
  net::Scope scope_;
  bool lost_ = false;
  bool closed_ = false;
};

}  // namespace vitrail::control::engine
