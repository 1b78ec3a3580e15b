// Older commands on backups.
#include "control/legacy/command.h"

namespace vitrail::control::legacy {

void add_backup_commands(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Backups";
  const std::vector<Flag> flags = {
      value("concurrency", "concurrency"), toggle("allow_primary allow_master", "allow-primary"),
      toggle("upgrade-safe", "upgrade-safe"), value("incremental_from_pos", "incremental-from-pos")};
  out.push_back({kGroup, "Backup", "<tablet alias>", 1, 1, flags, same("Backup")});
  out.push_back({kGroup, "BackupShard", "<keyspace/shard>", 1, 1, flags, same("BackupShard")});
  out.push_back({kGroup,
                 "RestoreFromBackup",
                 "<tablet alias>",
                 1,
                 1,
                 {value("backup_timestamp", "backup-timestamp"), toggle("dry_run", "dry-run"),
                  value("restore_to_pos", "restore-to-pos"), value("restore_to_timestamp", "restore-to-timestamp")},
                 same("RestoreFromBackup")});
  out.push_back({kGroup, "ListBackups GetBackups", "<keyspace/shard>", 1, 1, {}, same("GetBackups")});
  out.push_back({kGroup, "RemoveBackup", "<keyspace/shard> <backup name>", 2, 2, {}, same("RemoveBackup")});
}

}  // namespace vitrail::control::legacy
