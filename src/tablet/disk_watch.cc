#include "tablet/disk_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <set>
#include <system_error>

#include "base/log.h"
#include "net/loop.h"
#include "net/scope.h"

namespace vitrail::tablet {
namespace {

constexpr size_t kBytes = 4096;
// What root may still write, a server under an account of its own may not.
constexpr uint64_t kRoom = 16 * kBytes;

// 0, or an errno.
int write_once(const std::string& folder, bool through) {
  struct statvfs space{};
  if (::statvfs(folder.c_str(), &space) != 0) return errno;
  if (space.f_blocks > 0 && static_cast<uint64_t>(space.f_bavail) * space.f_frsize < kRoom) return ENOSPC;
  const std::string path = folder + "/.disk_watch";
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return errno;
  static constexpr std::array<char, kBytes> kBlock{};
  int failed = 0;
  const ssize_t written = ::write(file, kBlock.data(), kBlock.size());
  if (written < 0) {
    failed = errno;
  } else if (static_cast<size_t>(written) < kBlock.size()) {
    failed = ENOSPC;
  } else if (through && ::fdatasync(file) != 0) {
    failed = errno;
  }
  if (::close(file) != 0 && failed == 0) failed = errno;
  ::unlink(path.c_str());
  return failed;
}

}  // namespace

bool disk_stalled(const DiskProbe& probe, base::TimePoint now, base::Duration timeout) {
  return probe.refused || (probe.begun && now - *probe.begun > timeout);
}

bool is_disk_error(int number) {
  switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case EROFS:
    case ETIMEDOUT:
    case ESTALE:
    case ENXIO:
    case ENODEV: return true;
    default: return false;
  }
}

struct DiskWatch::Writer {
  std::vector<std::string> folders;
  bool through = false;
  std::mutex mutex;  // Guards what follows.
  bool queued = false;
  DiskProbe probe;
  int failed = 0;  // An errno.
  std::string folder;

  void write() {
    {
      const std::scoped_lock lock(mutex);
      probe.begun = base::system_clock().now();  // And not when it was queued: others may be before it.
    }
    std::set<dev_t> seen;
    std::string where;
    int number = 0;
    for (const std::string& one : folders) {
      struct stat info{};
      if (::stat(one.c_str(), &info) == 0 && !seen.insert(info.st_dev).second) continue;
      number = write_once(one, through);
      where = one;
      if (is_disk_error(number)) break;
    }
    const std::scoped_lock lock(mutex);
    queued = false;
    probe = {.refused = is_disk_error(number)};
    failed = number;
    folder = std::move(where);
  }
};

DiskWatch::DiskWatch(Options options, base::Metrics& metrics)
    : options_(std::move(options)),
      gauge_(metrics.gauge("DiskStalled", "1: a file system of the server takes no writes")),
      writer_(std::make_shared<Writer>()) {
  writer_->folders = options_.folders;
  writer_->through = options_.through;
}

void DiskWatch::look() {
  const std::scoped_lock lock(writer_->mutex);
  const bool stalled = disk_stalled(writer_->probe, base::system_clock().now(), options_.timeout);
  const std::string text = std::generic_category().message(writer_->failed);
  if (stalled == stalled_) {
    static base::LogLimit limit(std::chrono::hours(1));
    if (writer_->failed != 0 && !is_disk_error(writer_->failed) && limit.allow()) {
      log_warning("whether the server's disk takes writes is not known: {} in {}", text, writer_->folder);
    }
    return;
  }
  stalled_ = stalled;
  gauge_.set(stalled ? 1 : 0);
  if (!stalled) {
    log_info("the server's disk takes writes again");
  } else if (writer_->probe.refused) {
    log_error("the server's disk takes no writes: {} in {}", text, writer_->folder);
  } else {
    log_error("the server's disk hangs: a write of {} bytes has not come to its end", kBytes);
  }
}

net::Task<void> DiskWatch::run(net::CancelToken cancel) {
  if (options_.folders.empty()) co_return;
  do {
    look();
    bool begins = false;
    {
      const std::scoped_lock lock(writer_->mutex);
      begins = !writer_->queued;
      writer_->queued = true;
    }
    if (begins) net::submit_blocking([writer = writer_] { writer->write(); });
  } while ((co_await net::sleep_for(options_.interval, cancel)).ok());
}

}  // namespace vitrail::tablet
