#pragma once

#include <memory>
#include <string>

#include "backup/part_io.h"
#include "backup/retention.h"
#include "base/result.h"
#include "net/task.h"
#include "rpc/security.h"
#include "tablet/tablet_manager.h"
#include "topo/server.h"

namespace vitrail::base {
class Settings;
}

namespace vitrail::tablet {

struct BackupJobOptions {
  std::string keyspace, shard, db_name_override;
  BackupSettings backup;
  uint32_t concurrency = 4;
  bool initial = false;
  bool allow_first = false;
  bool restart = false;
  bool upgrade_safe = false;
  base::Duration min_interval{0};
  backup::Retention retention;
  uint16_t mysql_port = 3306;
  std::string init_sql_file;
  base::Duration mysql_timeout = std::chrono::minutes(5);
  base::Duration shutdown_timeout = std::chrono::minutes(5);
  base::Duration catch_up_timeout = std::chrono::hours(12);
  rpc::ClientSecurity security;
  rpc::TlsOptions tls;
};

void declare(base::Settings& settings, BackupJobOptions& options);

// The program vtbackup: makes the next backup of a shard with a server of its own, so that no tablet has to leave its
// service. It restores the newest backup into a new server, lets that follow the shard's primary up to where this was
// when the job began, and stores the result; then it removes backups that have become too old. So each backup is also
// the proof that the one before can be restored.
//
//   Threads: run() on a loop; stop() from any thread.
//   Left over: nothing of the server, unless the process is killed: then its folder below VTDATAROOT.
class BackupJob {
 public:
  BackupJob(BackupJobOptions options, topo::Server& topology);
  ~BackupJob();
  // kFailedPrecondition: no backup and neither --initial-backup nor --allow-first-backup; no primary.
  net::Task<Status> run(net::CancelToken cancel);
  void stop() { progress_->stop = true; }

 private:
  struct Server;

  net::Task<Status> take(backup::Storage& storage, bool has_backup, net::CancelToken cancel);
  net::Task<Status> restore_newest(Server& server, backup::Storage& storage);
  net::Task<Status> catch_up(Server& server, net::CancelToken cancel);
  net::Task<Status> store(Server& server, backup::Storage& storage, net::CancelToken cancel);
  Status remove_expired(backup::Storage& storage);

  const BackupJobOptions options_;
  topo::Server& topology_;
  const std::string place_;  // "keyspace/shard"
  std::shared_ptr<backup::Progress> progress_;
};

}  // namespace vitrail::tablet
