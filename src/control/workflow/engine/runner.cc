#include "control/workflow/engine/runner.h"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>

#include "base/log.h"

namespace vitrail::control::engine {
namespace {

constexpr int kHistoryMax = 20;

struct TestPoint {
  std::string step;
  int signal = 0;
};
TestPoint& test_point() {
  static TestPoint point;
  return point;
}

::workflowdata::OperationStep* find_step(Record& record, const std::string& id) {
  for (auto& step : *record.mutable_open()->mutable_steps()) {
    if (step.name() == id) return &step;
  }
  return nullptr;
}

::workflowdata::OperationStep& step_of(Record& record, const std::string& id) {
  if (auto* found = find_step(record, id)) return *found;
  auto& added = *record.mutable_open()->add_steps();
  added.set_name(id);
  return added;
}

class Run {
 public:
  Run(Tenure& tenure, Operation& operation)
      : tenure_(tenure), operation_(operation), steps_(operation.steps()), failed_(steps_.size()) {}

  net::Task<Status> run(bool taken_over) {
    if (taken_over && !operation_.resumes() && !tenure_.open().undoing() && !is_committed(planned())) {
      // Written with the first step that is undone: nothing is to come before a fence is lifted.
      tenure_.note([](Record& record) {
        record.mutable_open()->set_undoing(true);
        if (record.open().error().empty()) record.mutable_open()->set_error("it was interrupted");
      });
    }
    for (;;) {
      const Decision decision = decide(planned(), tenure_.open().undoing(), failed_);
      switch (decision.act) {
        case Act::kApply: {
          Status applied = co_await apply(decision.step);
          if (!applied.ok() && (tenure_.lost() || !tenure_.open().undoing())) {
            co_return co_await pause(std::move(applied).error());
          }
          break;
        }
        case Act::kUndo: CO_RETURN_IF_ERROR(co_await undo(decision.step)); break;
        case Act::kPause: {
          const std::string why = undo_errors_;
          co_return co_await pause(
              Error(cause_ ? *cause_ : fail(Code::kUnavailable, "an earlier attempt failed: " + tenure_.open().error()))
                  .with_context("undoing is not complete yet (" + why + "), vtctld goes on with it"));
        }
        case Act::kFinish: co_return co_await finish();
      }
    }
  }

 private:
  std::vector<PlannedStep> planned() const {
    std::vector<PlannedStep> out;
    for (const Step& step : steps_) {
      PlannedStep& planned = out.emplace_back();
      planned.has_undo = static_cast<bool>(step.undo);
      planned.undo_first = step.undo_first;
      planned.point_of_no_return = step.point_of_no_return;
      for (const auto& known : tenure_.open().steps()) {
        if (known.name() == step.id) planned.state = known.state();
      }
    }
    return out;
  }

  net::Task<Status> apply(size_t index) {
    const Step& step = steps_[index];
    const int64_t now = tenure_.now_ms();
    const std::string who = tenure_.open().owner_text();
    Status outcome = co_await tenure_.change([&](Record& record) {
      auto& note = step_of(record, step.id);
      note.set_state(::workflowdata::STARTED);
      note.set_started_ms(now);
      note.set_who(who);
      if (step.undo_first) (*note.mutable_notes())[std::string(kHoldsClients)] = "true";
    });
    if (outcome.ok()) pass_test_point(step.id);
    if (outcome.ok()) outcome = co_await step.apply();
    if (outcome.ok()) {
      pass_test_point(step.id + kApplied);
      tenure_.note([&](Record& record) {
        auto& note = step_of(record, step.id);
        note.set_state(::workflowdata::DONE);
        note.set_ended_ms(tenure_.now_ms());
        note.clear_error();
      });
      co_return Status{};
    }
    Error error = std::move(outcome).error();
    if (tenure_.lost()) co_return error;
    const bool committed = is_committed(planned());
    const std::string message = error.message();
    log_warning("{}: step {} of {} failed, {}: {}", name_of(tenure_.record()), step.id, tenure_.open().kind(),
                committed ? "trying again later" : "undoing", message);
    tenure_.note([&](Record& record) { step_of(record, step.id).set_error(message); });
    if (committed) {
      co_return std::move(error).with_context(fmt::format(
          "step {} failed behind the point of no return; vtctld goes on by itself, and so does the same command",
          step.id));
    }
    cause_ = error;
    const auto start_undo = [&](Record& record) {
      record.mutable_open()->set_undoing(true);
      record.mutable_open()->set_error(fmt::format("step {}: {}", step.id, message));
    };
    // When it cannot be written, undoing begins all the same: a fence is worth more than a note about it.
    if (Status noted = co_await tenure_.change(start_undo); !noted.ok() && !tenure_.lost()) tenure_.note(start_undo);
    co_return error;
  }

  net::Task<Status> undo(size_t index) {
    const Step& step = steps_[index];
    Status outcome = co_await step.undo();
    if (tenure_.lost()) co_return outcome.ok() ? co_await tenure_.check() : std::move(outcome);
    if (!outcome.ok()) {
      failed_[index] = true;
      const std::string message = outcome.error().message();
      undo_errors_ += fmt::format("{}{}: {}", undo_errors_.empty() ? "" : "; ", step.id, message);
      tenure_.note([&](Record& record) { step_of(record, step.id).set_error(message); });
      co_return Status{};
    }
    Status written = co_await tenure_.change([&](Record& record) {
      auto& note = step_of(record, step.id);
      note.set_state(::workflowdata::UNDONE);
      note.set_ended_ms(tenure_.now_ms());
    });
    if (!written.ok()) {
      if (tenure_.lost()) co_return written;
      failed_[index] = true;
      undo_errors_ += step.id + ": " + written.error().message();
    }
    co_return Status{};
  }

  // Lets go of the operation, which stays open.
  net::Task<Status> pause(Error error) {
    if (tenure_.lost()) co_return error;
    const std::string message = error.message();
    (void)co_await tenure_.change([&](Record& record) {
      auto& open = *record.mutable_open();
      open.clear_owner();
      open.set_attempts(open.attempts() + 1);
      if (!open.undoing()) open.set_error(message);
    });
    co_return error;
  }

  net::Task<Status> finish() {
    const bool undone = tenure_.open().undoing();
    Record last = tenure_.record();
    if (operation_.close(last, undone)) {
      CO_RETURN_IF_ERROR(co_await tenure_.remove());
    } else {
      CO_RETURN_IF_ERROR(co_await tenure_.close([&](Record& record) {
        (void)operation_.close(record, undone);
        ::workflowdata::Operation ended = std::move(*record.mutable_open());
        record.clear_open();
        ended.set_outcome(undone ? "undone" : "done");
        ended.set_ended_ms(tenure_.now_ms());
        *record.add_history() = std::move(ended);
        if (record.history_size() > kHistoryMax) record.mutable_history()->DeleteSubrange(0, 1);
      }));
    }
    if (!undone) co_return Status{};
    if (cause_) co_return Error(*cause_);
    co_return fail(Code::kAborted, "it was undone");
  }

  Tenure& tenure_;
  Operation& operation_;
  const std::vector<Step> steps_;
  std::vector<bool> failed_;
  std::optional<Error> cause_;
  std::string undo_errors_;
};

}  // namespace

void set_test_point(std::string step, int signal) { test_point() = {std::move(step), signal}; }

void pass_test_point(std::string_view step) {
  if (test_point().step.empty() || test_point().step != step) return;
  test_point().step.clear();
  std::raise(test_point().signal);
}

net::Task<Status> carry_out(Tenure& tenure, Operation& operation, bool taken_over) {
  Run run(tenure, operation);
  Status outcome = co_await run.run(taken_over);
  co_await tenure.end();
  co_return outcome;
}

::workflowdata::Operation make_operation(std::string kind, std::map<std::string, std::string> settings) {
  ::workflowdata::Operation operation;
  operation.set_kind(std::move(kind));
  for (auto& [name, value] : settings) (*operation.mutable_settings())[name] = std::move(value);
  return operation;
}

const std::string* find_note(const Record& record, const std::string& step, const std::string& name) {
  for (const auto& one : record.open().steps()) {
    if (one.name() != step) continue;
    const auto found = one.notes().find(name);
    if (found != one.notes().end()) return &found->second;
  }
  return nullptr;
}

}  // namespace vitrail::control::engine
