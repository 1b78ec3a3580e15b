#include "backup/storage.h"

#include <algorithm>

#include "backup/file_storage.h"
#include "base/settings.h"
#include "base/text.h"

namespace vitrail::backup {
namespace {

bool is_plain(std::string_view part) {
  return !part.empty() && part != "." && part != ".." &&
         std::ranges::all_of(part, [](unsigned char c) { return c >= 0x20 && c != '/' && c != 0x7f; });
}

}  // namespace

Status Place::check() const {
  const auto parts = base::split(shard, '/');
  if (parts.size() != 2 || !std::ranges::all_of(parts, is_plain)) {
    return fail(Code::kInvalidArgument, "'" + shard + "' is not a shard: give keyspace/shard");
  }
  if (!is_plain(name)) return fail(Code::kInvalidArgument, "'" + name + "' is not the name of a backup");
  return {};
}

void declare(base::Settings& settings, StorageOptions& options) {
  settings
      .add("backup_storage_implementation", &options.implementation,
           "where backups are kept: file, a folder; empty: file when a folder is given")
      .one_of({"file", ""});
  settings.add("file_backup_storage_root", &options.file_root,
               "folder of backups: <keyspace>/<shard>/<backup>; the same for all tablets and vtctld (a network file "
               "system where they are on several machines)");
}

Result<std::unique_ptr<Storage>> open_storage(const StorageOptions& options) {
  if (options.file_root.empty()) {
    return fail(Code::kFailedPrecondition,
                "no place for backups is configured: start with --backup_storage_implementation file and "
                "--file_backup_storage_root FOLDER");
  }
  return std::unique_ptr<Storage>(std::make_unique<FileStorage>(options.file_root));
}

}  // namespace vitrail::backup
