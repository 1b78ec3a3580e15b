#pragma once

#include <map>
#include <string>

#include "control/states/steps.h"
#include "net/cancel.h"

namespace vitrail::control::states {

// Carries actions of sharding workflows out.
//
// An action is in the record before its first command runs, and each of its steps when it is done. Who carries it out
// changes the record every Pace::heartbeat; who sees an action whose record does not change for Pace::silence takes it
// over, by a conditional write after which every write of the owner before fails. So any vtctld goes on where another
// died, and a step may run twice.
//
//   Threads: one loop.
class Runner {
 public:
  struct Pace {
    base::Duration heartbeat = std::chrono::seconds(1);
    base::Duration silence = std::chrono::seconds(5);
    base::Duration pause = std::chrono::seconds(1);  // Between two looks at all records.
  };

  // `plane` is copied; what it refers to outlives the Runner.
  Runner(Plane plane, Pace pace);
  explicit Runner(Plane plane) : Runner(std::move(plane), Pace()) {}

  // Makes a workflow, and returns when its copy has begun.
  //   kInvalidArgument; kAlreadyExists: the branch has an active one, or the engine knows the name.
  net::Task<Result<Record>> create(Record record, std::string who);
  // Carries an action out; returns at its end.
  //   kFailedPrecondition: not possible in this state, not confirmed, or another action is under way.
  //   else: why it failed; the workflow is in the state `error`.
  net::Task<Result<Record>> act(::shardingworkflow::ActRequest request);
  // The record, with what the engine says. What has changed by itself is noted first.
  net::Task<Result<::shardingworkflow::View>> show(std::string branch, std::string name);
  net::Task<Result<::shardingworkflow::ListResponse>> list(std::string branch);
  // Goes on with what others left, and notes what changes by itself, until `cancel`.
  net::Task<void> watch(net::CancelToken cancel);

 private:
  struct Seen {
    int64_t heartbeat = -1;
    base::TimePoint since;
    int failed_looks = 0;
  };
  base::WallTime now() const { return plane_.tablets.topology().clock().wall_now(); }
  ::shardingworkflow::View view_of(const Record& record) const;
  net::Task<Result<Record>> begin(StoredRecord stored, Action action, std::string who, int64_t timeout_seconds);
  net::Task<Result<Record>> run(StoredRecord stored, Transition transition);
  net::Task<Result<StoredRecord>> look(StoredRecord stored, const Result<Engine>& engine);
  net::Task<void> watch_one(StoredRecord stored);

  const Plane plane_;
  const Pace pace_;
  const std::string owner_;
  std::map<std::string, Seen> seen_;
};

}  // namespace vitrail::control::states
