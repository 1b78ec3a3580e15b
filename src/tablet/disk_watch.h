#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "net/cancel.h"
#include "net/task.h"

namespace vitrail::tablet {

// What is known of a file that is written again and again.
struct DiskProbe {
  std::optional<base::TimePoint> begun;  // Of the write that is not at its end yet.
  bool refused = false;                  // The last one that is: there was no room, or no disk.
};
// A write that does not come to its end within `timeout` is as bad as one that was refused.
bool disk_stalled(const DiskProbe& probe, base::TimePoint now, base::Duration timeout);
// Whether a write that failed so says something about the disk, and not about who may write where.
bool is_disk_error(int number);

// Whether the file systems of the server's folders take writes. A server whose disk is full, or hangs, lets commits
// wait until that is over and answers everything else: so nobody would notice. vtorc asks (FullStatus.disk_stalled),
// and gives the shard another primary.
//
//   A file of 4 KiB is written and removed each interval, by a thread that may wait. `through`: also to the disk
//   itself, which a disk that hangs is noticed by, and which costs a write of it. Threads: the loop on which run() is
//   awaited; stalled() from any thread.
class DiskWatch {
 public:
  struct Options {
    std::vector<std::string> folders;  // Of each file system the first of them is written to. Empty: none, all is well.
    bool through = false;
    base::Duration interval = std::chrono::seconds(1);
    base::Duration timeout = std::chrono::seconds(30);
  };
  DiskWatch(Options options, base::Metrics& metrics);

  net::Task<void> run(net::CancelToken cancel);
  bool stalled() const { return stalled_; }

 private:
  struct Writer;
  void look();

  const Options options_;
  base::Gauge& gauge_;
  std::shared_ptr<Writer> writer_;  // Also of the thread, which may outlive this object.
  std::atomic<bool> stalled_ = false;
};

}  // namespace vitrail::tablet
