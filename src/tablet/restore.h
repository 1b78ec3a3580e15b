#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace vitrail::tablet {

// Names of the backups in a folder of the file storage ("<root>/<keyspace>/<shard>"), the newest last: its folders that
// have a MANIFEST. Empty when there is no such folder.
std::vector<std::string> find_backups(const std::string& folder);

// What --restore-from-backup comes to at start: nothing where the server has the keyspace's database already, or where
// there is no backup. Restoring one is not offered, and starting empty beside it would be worse than not starting:
// kUnimplemented, which names the backup.
Status check_restore(const std::string& folder, bool has_database);

}  // namespace vitrail::tablet
