#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "control/tablet_client.h"
#include "logutil.pb.h"
#include "net/sync.h"
#include "net/task.h"
#include "rpc/client.h"

// What a job of vtworker is, and how it tells what it does.
namespace vitrail::worker {

enum class State : uint8_t {
  kNotStarted,
  kInitializing,
  kFindingTargets,
  kCloningOnline,
  kCloningOffline,
  kSynchronizing,
  kDiffing,
  kDiffingWillFail,
  kDebugging,
  kCleaningUp,
  kDone,
  kError,
};
// "cloning the data (online)", as pages and scripts have always shown it.
std::string_view state_text(State state);

// What a job says. Written on the worker's loop; pages read it from any thread.
//   Bounds: the last kEventsMax lines are kept.
class Progress {
 public:
  static constexpr size_t kEventsMax = 10'000;

  void set_state(State state);
  State state() const;
  // Lines that a status page shows below the state; replaces those before.
  void set_details(std::string details);
  void info(std::string text) { add(::logutil::INFO, std::move(text)); }
  void warning(std::string text) { add(::logutil::WARNING, std::move(text)); }
  void error(std::string text) { add(::logutil::ERROR, std::move(text)); }
  void console(std::string text) { add(::logutil::CONSOLE, std::move(text)); }

  // "State: cloning the data (online)", then the details.
  std::string status_text() const;
  std::string log_text() const;
  // Lines with numbers from `*next` on; `*next` becomes the number behind the last one.
  std::vector<::logutil::Event> events_from(uint64_t* next) const;
  // On the loop: wakes when there are further lines.
  net::Signal& changed() { return changed_; }

 private:
  void add(::logutil::Level level, std::string text);

  mutable std::mutex mutex_;
  State state_ = State::kNotStarted;
  std::string details_;
  std::vector<::logutil::Event> events_;
  uint64_t dropped_ = 0;  // Lines before events_[0].
  net::Signal changed_;
};

struct WorkerOptions {
  std::string cell;
  std::string url;  // Of this worker's pages; written into the tags of tablets that it takes.
  base::Duration command_display_interval = std::chrono::seconds(1);
  base::Duration wait_for_healthy_tablets = std::chrono::seconds(60);
  base::Duration remote_actions_timeout = std::chrono::minutes(1);
  base::Duration retry_duration = std::chrono::hours(2);
};

// What a job works with; outlives it.
struct JobContext {
  const WorkerOptions& options;
  control::TabletClient& tablets;
  rpc::ChannelPool& channels;  // To the same tablets.
  Progress& progress;
  net::CancelToken cancel;

  topo::Server& topology() const { return tablets.topology(); }
  // For one call to a tablet.
  net::Wait action_wait() const { return net::Wait::within(options.remote_actions_timeout, cancel); }
  Status check_cancelled() const {
    return cancel.cancelled() ? Status(fail(Code::kCanceled, "the job was cancelled")) : Status{};
  }
};

// Threads: the worker's loop. A job gives back what it took before run() returns, also when it is cancelled.
class Job {
 public:
  virtual ~Job() = default;
  virtual net::Task<Status> run(JobContext& context) = 0;
};

}  // namespace vitrail::worker
