#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backup/storage.h"
#include "base/clock.h"
#include "base/result.h"

namespace vitrail::backup {

// One stored file of a backup: a file of the server, or a piece of a long one. Part i is stored under the name "i".
struct Part {
  std::string base;  // Which folder of the server: "InnoDBData", "Data", as Vitess names them.
  std::string name;  // Below it: "vt_commerce/product.ibd".
  std::string hash;  // CRC-32C of what is stored.
  uint64_t offset = 0;
  std::optional<uint64_t> length;  // Of the server's bytes; unknown in Vitess's own backups, which have whole files.
  std::optional<uint64_t> stored;  // Bytes in the storage; likewise.

  bool operator==(const Part&) const = default;
};

// What a backup is: docs/operators/backup.md has its form. The fields are Vitess's; offsets, lengths, folders and the
// manifest's own checksum are additions that Vitess does not read.
struct Manifest {
  std::string backup_name;
  std::string backup_method;  // The engine: "builtin".
  std::string position;       // Stored form: "MariaDB/0-100-7". Replication goes on from here.
  std::string server_uuid;
  std::string tablet_alias;
  std::string hostname;
  std::string keyspace;
  std::string shard;
  std::string server_version;  // "10.11.19-MariaDB".
  bool upgrade_safe = false;
  // A piece of the binary log: what happened from a position to `position`. Its parts have the base "BinLog".
  bool incremental = false;
  std::string from_position;
  std::string from_backup;             // The backup that it goes on from, where it was made so.
  base::WallTime first_transaction{};  // Of an incremental one: when its first and last transactions happened.
  base::WallTime last_transaction{};
  base::WallTime backup_time{};
  base::WallTime finished_time{};
  bool compressed = true;                // By zstd.
  std::vector<std::string> directories;  // Below "Data"; those without files are not lost.
  std::vector<Part> parts;

  std::string to_json() const;
  //   kDataLoss: not a manifest, or not as it was written.   kUnimplemented: an engine of compression that is not
  //   known here.
  static Result<Manifest> parse(std::string_view json);
  // Bytes of the server's files, as far as known.
  uint64_t total_bytes() const;
};

// Writes the manifest: with it the backup is one.
Status write_manifest(Storage& storage, const Place& place, const Manifest& manifest);
// kNotFound: the backup is not there, or not whole.
Result<Manifest> read_manifest(Storage& storage, const Place& place);

// "2026-01-02.150405.zone1-0000000100": UTC.
std::string backup_name(base::WallTime time, std::string_view tablet_alias);
struct NameParts {
  base::WallTime time;
  std::string tablet_alias;
};
std::optional<NameParts> parse_backup_name(std::string_view name);
// "2026-01-02.150405", or RFC 3339 ("2026-01-02T15:04:05Z").
Result<base::WallTime> parse_backup_time(std::string_view text);
std::string rfc3339(base::WallTime time);

}  // namespace vitrail::backup
