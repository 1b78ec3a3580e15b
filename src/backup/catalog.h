#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backup/manifest.h"
#include "backup/storage.h"
#include "base/result.h"

namespace vitrail::backup {

struct CatalogEntry {
  Place place;
  std::optional<NameParts> parts;  // Of the name, where it has the usual form.
  bool complete = false;
  bool incremental = false;  // Known only behind mark_incremental().
};

struct Chosen {
  Place place;
  Manifest manifest;
};

// The backups of a shard, the newest last.
Result<std::vector<CatalogEntry>> list_backups(Storage& storage, const std::string& shard);
// Reads the manifests of those that are whole. One that cannot be read counts as a full one.
Status mark_incremental(Storage& storage, std::vector<CatalogEntry>& entries);
// Those of them that are whole, with what they are. One whose MANIFEST cannot be read is left out, and named in
// `damaged`.
Result<std::vector<Chosen>> load_backups(Storage& storage, const std::string& shard, std::string& damaged);

struct Choice {
  std::optional<base::WallTime> not_after;   // The newest that is not later.
  std::vector<std::string> allowed_engines;  // Empty: all.
};
// The newest whole backup that fits, and is not an incremental one. kNotFound: there is none; the message says which
// would have fitted but are not whole. A damaged MANIFEST is an error and not passed over: an older backup in its place
// would be a surprise.
Result<Chosen> choose_backup(Storage& storage, const std::string& shard, const Choice& choice);

}  // namespace vitrail::backup
