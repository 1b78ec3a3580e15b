#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "backup/online_copy.h"
#include "backup/transfer.h"
#include "base/result.h"

// Copies of a server's rows as SQL, by the program mariadb-dump, while the server runs: of one moment for tables of
// InnoDB. They are several times smaller than the files, take longer to restore, and any version of the server may read
// them.
namespace vitrail::backup {

inline constexpr std::string_view kLogicalEngine = "logical";
inline constexpr std::string_view kLogicalBase = "Logical";  // Part::base.

// The databases, and the accounts of the server, in a file in the folder `backup` of the server's; it stays until
// discard_online_copy(). The errors of copy_running_server().
Result<OnlineCopy> dump_running_server(const OnlineCopyOptions& options, const std::vector<std::string>& databases,
                                       Progress& progress);
// The position that a dump tells at its end. kDataLoss.
Result<std::string> parse_dump_position(std::string_view tail);

// Where the parts of a backup belong in the staging folder, by their bases; of every engine.
std::map<std::string, std::string> staging_folders(const mysqld::Layout& own);
// After restore_parts() into those folders: makes the files of a server of them, where they are a dump. A new server
// with the options of `own` is made beside it, reads the dump, and stops. Nothing for other engines.
//   kInternal: the dump cannot be read by this server, with its message.   kCanceled: `progress` says stop.
Status build_staged(const Manifest& manifest, const mysqld::Layout& own, Progress& progress);

}  // namespace vitrail::backup
