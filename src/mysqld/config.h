#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysqld/flavor.h"

// The folder of one server and its option file.
namespace vitrail::mysqld {

// Paths under one server's folder, which is `$VTDATAROOT/vt_%010d`.
struct Layout {
  std::string root;

  static Layout for_tablet(std::string_view data_root, uint32_t uid);

  std::string my_cnf() const { return root + "/my.cnf"; }
  std::string socket() const { return root + "/mysql.sock"; }
  std::string pid_file() const { return root + "/mysql.pid"; }
  std::string error_log() const { return root + "/error.log"; }
  std::string data() const { return root + "/data"; }
  std::string innodb() const { return root + "/innodb"; }
  std::string relay_logs() const { return root + "/relay-logs"; }
  std::string bin_logs() const { return root + "/bin-logs"; }
  std::string tmp() const { return root + "/tmp"; }
  // Folders that hold what the server writes, without root.
  std::vector<std::string> folders() const { return {data(), innodb(), relay_logs(), bin_logs(), tmp()}; }

  //   kInvalidArgument  not absolute; characters that the server's start script would split or expand; or so long that
  //                     the socket's path does not fit into an address (107 bytes).
  Status check() const;
};

struct ConfigOptions {
  uint32_t uid = 0;  // The tablet's; names the log files.
  // Unique among servers that replicate from each other, and new for each new set of data: a replica silently skips
  // transactions that carry its own server_id, so a server that lost its data (or was restored) and kept the id would
  // never get back what it had written itself. Therefore it is not the uid. 0: Daemon chooses one at random when data
  // is made, and keeps it.
  uint32_t server_id = 0;
  uint16_t port = 3306;
  bool networking = true;  // false: unix socket only; such a server cannot be a replication source for another.
  std::string bind_address = "127.0.0.1";
  uint64_t buffer_pool_bytes = 32ull << 20;
  uint64_t redo_log_bytes = 48ull << 20;
  uint32_t max_connections = 500;
  // Durable by default: every commit is on disk in InnoDB and in the binlog. 2 and 0 lose up to a second of commits
  // in a crash of the machine (not of the server), and make small machines faster.
  uint32_t flush_log_at_trx_commit = 1;
  uint32_t sync_binlog = 1;
  uint32_t binlog_keep_seconds = 3 * 24 * 3600;
  // The server starts refusing writes of applications; the tablet makes a primary writable. So a primary that comes
  // back after somebody else was promoted takes no writes.
  bool start_read_only = true;
  std::string os_user;  // The account the server runs as. Needed for root ("root"), otherwise leave it empty.
  std::string extra;    // Text put at the end of the file; later settings win.
};

// The whole my.cnf. Deterministic: equal input gives equal text. server_id must not be 0.
std::string generate_my_cnf(const Layout& layout, const ConfigOptions& options, const Flavor& flavor);

// The option file with another server_id, whatever else somebody has written into it.
std::string with_server_id(std::string_view my_cnf, uint32_t server_id);

// Joins the files named in EXTRA_MY_CNF ("a.cnf:b.cnf"), each under a comment with its name.
//   kNotFound and others  a file cannot be read.
Result<std::string> load_extra_my_cnf(std::string_view colon_separated_paths);

// What an existing my.cnf says about reaching its server. The file may have been edited: the last value of a key wins,
// "-" equals "_", groups other than [mysqld], [mariadb], [mariadbd], [server] are skipped, !include lines ignored.
struct MyCnf {
  std::string socket;
  std::string pid_file;
  std::string error_log;
  std::string data_directory;
  std::string bind_address;
  uint16_t port = 0;  // 0: not set.
  uint32_t server_id = 0;
  bool networking = true;
};
//   kInvalidArgument  no socket, pid-file or datadir, or a number that is none.
Result<MyCnf> parse_my_cnf(std::string_view text);

}  // namespace vitrail::mysqld
