#pragma once

#include <string>
#include <string_view>

#include "backup/part_io.h"
#include "backup/server_files.h"
#include "base/result.h"
#include "mysqld/config.h"

// Copies of a server's files while it runs, by the program mariadb-backup: its pages, then the redo log that was
// written meanwhile, applied to them.
namespace vitrail::backup {

inline constexpr std::string_view kOnlineProgram = "mariadb-backup";

struct OnlineCopyOptions {
  mysqld::Layout layout;
  std::string user = "vt_dba", password;
  unsigned parallel = 4;
};

struct OnlineCopy {
  ServerFiles files;     // In the folder `backup` of the server's.
  std::string position;  // Bare: what is in the files, and nothing else.
};

// The copy is made on the server's own disk, which needs room for it, and stays until discard_online_copy().
//   kNotFound: the program is not installed.   kInternal: it failed, with the end of its output.
//   kCanceled: `progress` says stop.
Result<OnlineCopy> copy_running_server(const OnlineCopyOptions& options, Progress& progress);
Status discard_online_copy(const mysqld::Layout& layout);

// Where a file of the copy belongs, as Part::base; empty: nowhere, it is about the copy itself.
std::string_view base_of_copied(std::string_view name);
// The GTIDs of the line that the program writes: "bin.000002\t829\t0-100-7". kDataLoss.
Result<std::string> parse_binlog_info(std::string_view text);

}  // namespace vitrail::backup
