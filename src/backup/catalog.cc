#include "backup/catalog.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"

namespace vitrail::backup {

Result<std::vector<CatalogEntry>> list_backups(Storage& storage, const std::string& shard) {
  ASSIGN_OR_RETURN(const auto names, storage.list(shard));
  std::vector<CatalogEntry> out;
  for (const auto& name : names) {
    CatalogEntry entry{.place = {shard, name}, .parts = parse_backup_name(name)};
    const auto manifest = storage.size(entry.place, std::string(kManifestFile));
    if (!manifest.ok() && manifest.error().code() != Code::kNotFound) return Error(manifest.error());
    entry.complete = manifest.ok();
    out.push_back(std::move(entry));
  }
  return out;
}

Status mark_incremental(Storage& storage, std::vector<CatalogEntry>& entries) {
  for (auto& entry : entries) {
    if (!entry.complete) continue;
    const auto manifest = read_manifest(storage, entry.place);
    if (manifest.ok()) {
      entry.incremental = manifest->incremental;
    } else if (manifest.error().code() == Code::kUnavailable) {
      return Error(manifest.error());
    }
  }
  return {};
}

Result<std::vector<Chosen>> load_backups(Storage& storage, const std::string& shard, std::string& damaged) {
  ASSIGN_OR_RETURN(const auto entries, list_backups(storage, shard));
  std::vector<Chosen> out;
  for (const auto& entry : entries) {
    if (!entry.complete) continue;
    auto manifest = read_manifest(storage, entry.place);
    if (manifest.ok()) {
      out.push_back({entry.place, std::move(*manifest)});
    } else if (manifest.error().code() == Code::kUnavailable) {
      return std::move(manifest).error();
    } else if (manifest.error().code() != Code::kNotFound) {
      damaged += (damaged.empty() ? "" : "; ") + manifest.error().message();
    }
  }
  return out;
}

Result<Chosen> choose_backup(Storage& storage, const std::string& shard, const Choice& choice) {
  ASSIGN_OR_RETURN(auto entries, list_backups(storage, shard));
  std::ranges::reverse(entries);
  size_t incomplete = 0, later = 0, foreign = 0, incremental = 0;
  for (auto& entry : entries) {
    if (!entry.complete) {
      ++incomplete;
      continue;
    }
    // Its own time counts, where the name tells none.
    std::optional<Manifest> manifest;
    if (!entry.parts) {
      ASSIGN_OR_RETURN(manifest, read_manifest(storage, entry.place));
    }
    const base::WallTime time = entry.parts ? entry.parts->time : manifest->backup_time;
    if (choice.not_after && time > *choice.not_after) {
      ++later;
      continue;
    }
    if (!manifest) {
      ASSIGN_OR_RETURN(manifest, read_manifest(storage, entry.place));
    }
    if (manifest->incremental) {
      ++incremental;
      continue;
    }
    if (!choice.allowed_engines.empty() &&
        std::ranges::find(choice.allowed_engines, manifest->backup_method) == choice.allowed_engines.end()) {
      ++foreign;
      continue;
    }
    return Chosen{entry.place, std::move(*manifest)};
  }
  std::string why;
  if (incomplete > 0) why += fmt::format("; {} not whole", incomplete);
  if (incremental > 0) why += fmt::format("; {} incremental", incremental);
  if (later > 0) why += fmt::format("; {} later than {}", later, rfc3339(*choice.not_after));
  if (foreign > 0)
    why += fmt::format("; {} made by other engines than {}", foreign, base::join(choice.allowed_engines, ", "));
  return fail(Code::kNotFound, fmt::format("there is no backup of {} in {}{}", shard, storage.describe(), why));
}

}  // namespace vitrail::backup
