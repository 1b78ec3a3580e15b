#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/task.h"
#include "topo/server.h"

namespace vitrail::control {

// One step of a change that has to survive the death of the process that makes it. Both functions may be called again
// after they were done, or half done, before.
struct Step {
  std::string id;
  std::function<net::Task<Status>()> apply;
  std::function<net::Task<Status>()>
      undo;                         // Empty: nothing to undo. Never called once the point of no return is passed.
  bool point_of_no_return = false;  // When this step is done, the change is finished, not undone.
};

// The record of a change in the topology (workflows/<id>/Workflow): every step is noted there before it runs, so that
// any vtctld can finish the change or take it back.
//   Threads: one loop.
class StepRecord {
 public:
  using Settings = std::map<std::string, std::string>;

  // Notes in which process a test may end: `after step X was noted` (tests/faults). Empty: none.
  static void set_crash_point(std::string step_id);

  // kNotFound when nothing is under way for `id`.
  static net::Task<Result<StepRecord>> load(topo::Server& topology, std::string id);
  // Ids of all changes that are under way.
  static net::Task<Result<std::vector<std::string>>> list(topo::Server& topology);
  // A new record, not yet written. `kind` says what the change is ("switch_traffic").
  StepRecord(topo::Server& topology, std::string id, std::string kind, Settings settings);

  const std::string& id() const { return id_; }
  const std::string& kind() const { return kind_; }
  const Settings& settings() const { return settings_; }
  bool started(const std::string& step) const { return states_.contains(step); }
  bool done(const std::string& step) const;

  // Runs the steps that are not done. When one fails before the point of no return, everything is undone and the record
  // removed; behind it the record stays, and a later run goes on. At the end the record is removed.
  net::Task<Status> run(const std::vector<Step>& steps);
  // For a change found after a crash: finishes it when it had passed the point of no return, else undoes it.
  net::Task<Status> recover(const std::vector<Step>& steps);

 private:
  net::Task<Status> save();
  net::Task<Status> remove();
  net::Task<Status> undo(const std::vector<Step>& steps);

  topo::Server* topology_;
  std::string id_;
  std::string kind_;
  Settings settings_;
  std::map<std::string, bool> states_;  // Started steps; true: done.
  int64_t created_seconds_ = 0;
};

}  // namespace vitrail::control
