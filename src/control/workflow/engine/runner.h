#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/workflow/engine/plan.h"
#include "control/workflow/engine/tenure.h"

namespace vitrail::control::engine {

// One step of an operation. All of its functions may be called again after they were done, or half done, by this or by
// another process.
struct Step {
  std::string id;
  std::function<net::Task<Status>()> apply;
  std::function<net::Task<Status>()> undo;  // Empty: nothing to undo. Never called behind the point of no return.
  bool point_of_no_return = false;          // Once it was started, the operation is finished, never undone.
  bool undo_first = false;                  // Its undo ends what clients wait for.
};

// What is to be done with one workflow: its steps, and what the record says afterwards.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual std::vector<Step> steps() = 0;
  // Whether a process that takes it over from a silent owner goes on with it instead of taking it back, also before its
  // point of no return.
  virtual bool resumes() const { return false; }
  // Gives back what it holds beside its tenure. After carry_out().
  virtual net::Task<void> end() { co_return; }
  // Called when nothing is left to do. True: the workflow is no more, and its record goes.
  virtual bool close(Record& record, bool undone) = 0;
};

// For tests: the process sends itself this signal when a step of this name was noted as started for the first time,
// before it is applied. SIGKILL: it dies there. SIGSTOP: whoever tests does what he wants, then lets it go on.
void set_test_point(std::string step, int signal);
// Other places of the same step: it has been carried out, and this was not noted; it may write a record, as the
// workflow's record has just said, and has not done so.
inline constexpr const char* kApplied = ".applied";
inline constexpr const char* kGuarded = ".guarded";
// Where that may be.
void pass_test_point(std::string_view step);

// Carries the operation out until it is closed, or as far as it can be now, and gives the tenure back (end()).
// `taken_over`: from an owner that was not heard of any more. Then what is not behind its point of no return is undone.
//   OK    : done.
//   Error : of the step that failed. Everything is undone and the operation closed, or it stays open and a repairer
//           goes on: the message says which. Tenure::lost(): somebody else has it.
net::Task<Status> carry_out(Tenure& tenure, Operation& operation, bool taken_over = false);

// The steps' names as the record of an operation that begins.
::workflowdata::Operation make_operation(std::string kind, std::map<std::string, std::string> settings);

// A note of the open operation's step; nullptr when it has none.
const std::string* find_note(const Record& record, const std::string& step, const std::string& name);

}  // namespace vitrail::control::engine
