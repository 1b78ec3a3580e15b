#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "mysqld/daemon.h"
#include "net/loop.h"
#include "rpc/server.h"

namespace vitrail::mysqlctl {

// What mysqlctld does: it makes or starts the server, stops and starts it again for a tablet that asks (the gRPC
// service mysqlctl.MysqlCtl), and notices when it ends by itself.
//
//   Threads : open(), ended_by_itself() and close() block, and run on one thread that is no event loop; handlers run on
//             `loop` and on threads for blocking work. Commands exclude each other.
class Service {
 public:
  // kInvalidArgument: the layout is impossible.
  static Result<std::unique_ptr<Service>> create(mysqld::DaemonOptions options);

  // Makes the server when there is none, starts it when it does not run; leaves one alone whose files a tablet has for
  // itself at the moment (notes.h).
  Status open();
  // Start, Shutdown, ReinitConfig, RefreshConfig, VersionString. `loop` and this must outlive the server.
  void register_handlers(rpc::Server& server, net::Loop& loop);
  // It was to run, and does not.
  bool ended_by_itself();
  // Stops the server in good order.
  Status close();

 private:
  Service(mysqld::DaemonOptions options, mysqld::Daemon daemon)
      : options_(std::move(options)), daemon_(std::move(daemon)) {}
  Status start();
  Status shutdown(base::Duration patience);
  Status configure();
  Result<std::string> version();

  const mysqld::DaemonOptions options_;
  std::mutex mutex_;
  mysqld::Daemon daemon_;  // mutex_
  bool wanted_ = false;    // mutex_; the server is to run.
};

}  // namespace vitrail::mysqlctl
