#pragma once

#include <string>

#include "backup/part_io.h"
#include "base/clock.h"
#include "base/result.h"
#include "mysql/gtid.h"
#include "mysqld/config.h"
#include "mysqld/daemon.h"

// A second server on the files that a restore has staged (server_files.h), beside the tablet's own and reached by its
// socket alone: there the staged data is brought further, or looked at, before anything of the tablet is changed.
namespace vitrail::backup {

// The option file of the second server: that of the tablet's, with its folder, and what it must not share.
std::string scratch_my_cnf(std::string my_cnf, const mysqld::Layout& own, const mysqld::Layout& scratch,
                           uint32_t server_id);

class ScratchServer {
 public:
  // Starts it. Its accounts are those in the files.
  //   kFailedPrecondition: it does not start on these files, with the end of its error log.
  static Result<ScratchServer> start(const mysqld::Layout& own);
  // The same on new, empty data with the usual accounts, in place of whatever is staged as data.
  static Result<ScratchServer> make(const mysqld::Layout& own);
  ScratchServer(ScratchServer&&) = default;

  const std::string& socket() const { return socket_; }
  // Stops it in good order. What is left are files as a backup has them.
  Status stop();

 private:
  ScratchServer(mysqld::Layout layout, mysqld::Daemon daemon)
      : layout_(std::move(layout)), daemon_(std::move(daemon)), socket_(layout_.socket()) {}

  mysqld::Layout layout_;
  mysqld::Daemon daemon_;
  std::string socket_;
};

// Ends one that is left from a process that died.
Status end_scratch_server(const mysqld::Layout& own);

// Brings a scratch server's data from `from` to `to`, by the server's own program for binary logs.
struct Replay {
  std::string socket;
  std::string user = "vt_dba", password;
  std::vector<std::string> logs;  // In order. They have everything between both.
  mysql::Position from, to;
  std::string work;  // A folder for the output of programs.
};
//   kInternal: the program, or a statement, failed; with the end of the output.   kCanceled: `progress` says stop.
Status replay_logs(const Replay& replay, Progress& progress);
// The command that prints the transactions as statements.
std::vector<std::string> print_command(const Replay& replay, const std::string& client);

}  // namespace vitrail::backup
