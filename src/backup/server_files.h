#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backup/transfer.h"
#include "base/result.h"
#include "mysqld/config.h"

// The files of one stopped server: which of them a backup has, and how a restored set takes their place.
namespace vitrail::backup {

struct ServerFiles {
  std::vector<SourceFile> files;
  std::vector<std::string> directories;  // Databases.
};
// What a backup of a stopped server has: its data and InnoDB folders, without what belongs to the place and not to the
// data (logs, sockets, the identity of the server, where it replicates from, temporary tables).
//   kFailedPrecondition: a file that leads elsewhere (a symbolic link): such a set cannot be kept whole.
Result<ServerFiles> list_server_files(const mysqld::Layout& layout);

// Folders by the names that parts have.
std::map<std::string, std::string> base_folders(const std::string& data, const std::string& innodb);

// The place where files are restored before anything of the server is changed: `<folder>/restore`.
struct Staging {
  std::string root;
  std::string data() const { return root + "/data"; }
  std::string innodb() const { return root + "/innodb"; }
  std::string logs(size_t i) const { return root + "/logs/" + std::to_string(i); }  // Of the i-th incremental backup.
};
Staging staging_of(const mysqld::Layout& layout);
// kResourceExhausted: less room than `bytes` on the server's disk.
Status check_room(const mysqld::Layout& layout, uint64_t bytes);

// A restore whose files are all there and have been checked. While its record exists, it is to be brought to its end;
// before, whatever is in the staging folder counts for nothing.
struct PendingRestore {
  std::string backup;    // Place, for people.
  std::string position;  // Stored form.
  std::string backup_time;
  bool undo = false;  // It turned out not to work: what was put aside comes back.
  // The data of some time in the past is what is wanted: the tablet does not go on from there by itself.
  bool to_point = false;

  bool operator==(const PendingRestore&) const = default;
};
// Nothing: no restore is pending.   kDataLoss: the record cannot be read.
Result<std::optional<PendingRestore>> find_pending_restore(const mysqld::Layout& layout);
Status note_pending_restore(const mysqld::Layout& layout, const PendingRestore& restore);

// With the server stopped: the staged folders take the place of the present ones, which are kept aside; logs begin
// empty. May be repeated after a death at any point.
Status swap_in(const mysqld::Layout& layout);
// With the server stopped: the folders that swap_in() has put aside come back, and the restore is no longer pending.
// Notes first that this is under way, and may be repeated too.
Status swap_back(const mysqld::Layout& layout, PendingRestore restore);
// The server works on the restored files: forgets the restore and removes what was put aside.
Status finish_restore(const mysqld::Layout& layout);
// Throws away what an interrupted restore has staged, and ends a server that works on it (scratch_server.h).
// kFailedPrecondition while one is pending.
Status discard_staging(const mysqld::Layout& layout);

}  // namespace vitrail::backup
