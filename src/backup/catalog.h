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
};

// The backups of a shard, the newest last.
Result<std::vector<CatalogEntry>> list_backups(Storage& storage, const std::string& shard);

struct Choice {
  std::optional<base::WallTime> not_after;   // The newest that is not later.
  std::vector<std::string> allowed_engines;  // Empty: all.
};
struct Chosen {
  Place place;
  Manifest manifest;
};
// The newest whole backup that fits. kNotFound: there is none; the message says which would have fitted but are not
// whole. A damaged MANIFEST is an error and not passed over: an older backup in its place would be a surprise.
Result<Chosen> choose_backup(Storage& storage, const std::string& shard, const Choice& choice);

}  // namespace vitrail::backup
