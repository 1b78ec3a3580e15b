#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "net/scope.h"
#include "rpc/server.h"
#include "worker/job.h"

namespace vitrail::base {
class Settings;
}

namespace vitrail::worker {

void declare(base::Settings& settings, WorkerOptions& options);

// What may be said to a command that comes while another job is, or was, here. `now` in seconds, `ended`: when the last
// one ended; unset while it runs.
Status check_free(std::optional<base::TimePoint> ended, base::TimePoint now, const std::string& status);

// One worker: at most one job at a time. A job that has ended stays to be looked at, and must be taken away by Reset
// before the next one.
//
//   Owns    : the running job.
//   Threads : confined to one loop, but for snapshot(). stop() must have returned before destruction.
class Instance {
 public:
  using Report = std::function<net::Task<Status>(::logutil::Event event)>;

  // All must outlive it.
  Instance(WorkerOptions options, control::TabletClient& tablets, rpc::ChannelPool& channels);
  ~Instance();

  // Runs a command line to its end; `report` gets the job's lines as they come. When `gone` is cancelled, or `report`
  // fails, the job is cancelled.
  //   kUnavailable, kFailedPrecondition: another job is here. Else the job's own error.
  net::Task<Status> execute(std::vector<std::string> words, Report report, net::CancelToken gone);
  // The same without waiting for its end: for pages.
  net::Task<Status> begin(std::vector<std::string> words);
  // kFailedPrecondition: it still runs.
  Status reset();
  void cancel();
  net::Task<void> stop();

  struct Snapshot {
    bool has_job = false;
    bool running = false;
    std::string command;
    std::string status;
    std::string log;
    std::string error;  // Of a job that has failed.
  };
  Snapshot snapshot() const;  // Any thread.
  const WorkerOptions& options() const { return options_; }

  // Registers /vtworkerservice.Vtworker on a server that has not started. It must be stopped before this is destroyed.
  void register_method(rpc::Server& server, net::Loop& loop);

 private:
  struct Run {
    std::string command;
    std::unique_ptr<Job> job;
    Progress progress;
    net::CancelSource cancel;
    net::Event done;
    Status result;                         // When done.
    std::optional<base::TimePoint> ended;  // Guarded by Instance::mutex_, as result is.
  };
  Result<std::shared_ptr<Run>> start(const std::vector<std::string>& words);
  net::Task<void> run_job(std::shared_ptr<Run> run);
  net::Task<Status> follow(std::shared_ptr<Run> run, Report report, net::CancelToken gone);

  const WorkerOptions options_;
  control::TabletClient& tablets_;
  rpc::ChannelPool& channels_;
  net::Scope scope_;
  mutable std::mutex mutex_;
  std::shared_ptr<Run> run_;  // Guarded by mutex_; written on the loop only.
};

}  // namespace vitrail::worker
