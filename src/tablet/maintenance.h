#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "mysqld/config.h"
#include "mysqld/daemon.h"
#include "tablet/tablet_manager.h"

// What backups and restores need of the server's process and folder. Blocking, but for the texts.
namespace vitrail::tablet {

// The folder of the tablet's server. kFailedPrecondition: it is not one that mysqlctl made, or not on this machine.
Result<mysqld::Layout> server_layout(const TabletSettings& settings);

// Who stops and starts the server: this process, or a mysqlctld that owns the server's process.
class ServerControl {
 public:
  // `patience`: how long the server may take to stop in good order.
  ServerControl(mysqld::Layout layout, std::string mysqlctl_socket, base::Duration patience)
      : layout_(std::move(layout)), socket_(std::move(mysqlctl_socket)), patience_(patience) {}
  Status shutdown();
  // Success when it runs already.
  Status start();
  // For a stopped server whose data was replaced.
  Status renew_server_id();

 private:
  Result<mysqld::Daemon> daemon() const;
  const mysqld::Layout layout_;
  const std::string socket_;
  const base::Duration patience_;
};

// A note in the server's folder that somebody has stopped it and will start it again: for a process that finds it after
// a death.
Status note_stopped(const mysqld::Layout& layout);
bool is_noted_stopped(const mysqld::Layout& layout);
Status forget_stopped(const mysqld::Layout& layout);

// A note in the server's folder that its data is that of some time in the past, which somebody wanted: the tablet is
// DRAINED, and does not follow the shard's primary by itself.
Status note_detached(const mysqld::Layout& layout, bool detached);
bool is_detached(const TabletSettings& settings);

// "a backup: 512 of 1024 MiB, 128.0 MiB/s, 4 s left".
std::string progress_text(const std::string& what, uint64_t done, uint64_t total, base::Duration since);

// Whether a server may open files that another one wrote. kFailedPrecondition.
Status check_versions(const std::string& backup, const std::string& server);

}  // namespace vitrail::tablet
