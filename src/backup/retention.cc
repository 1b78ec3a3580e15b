#include "backup/retention.h"

#include <algorithm>

namespace vitrail::backup {
namespace {

// With a time in their names: only of these it is known how old they are. The newest last.
std::vector<const CatalogEntry*> dated(const std::vector<CatalogEntry>& entries, bool incremental = false) {
  std::vector<const CatalogEntry*> out;
  for (const auto& entry : entries) {
    if (entry.complete && entry.parts && entry.incremental == incremental) out.push_back(&entry);
  }
  std::ranges::sort(out, {}, [](const CatalogEntry* entry) { return entry->parts->time; });
  return out;
}

}  // namespace

std::vector<Place> choose_expired(const std::vector<CatalogEntry>& entries, const Retention& retention,
                                  base::WallTime now) {
  std::vector<Place> out;
  if (retention.min_time <= base::Duration(0)) return out;
  const auto whole = dated(entries);
  const size_t kept = std::max<size_t>(retention.min_count, 1);
  for (size_t i = 0; i + kept < whole.size(); ++i) {
    if (now - whole[i]->parts->time > retention.min_time) out.push_back(whole[i]->place);
  }
  // Nothing that is kept leads to these any more.
  const auto is_kept = [&](const CatalogEntry* full) {
    return std::ranges::none_of(out, [&](const Place& place) { return place.name == full->place.name; });
  };
  const auto oldest = std::ranges::find_if(whole, is_kept);
  if (oldest == whole.end()) return out;
  for (const CatalogEntry* increment : dated(entries, true)) {
    const auto time = increment->parts->time;
    if (time < (*oldest)->parts->time && now - time > retention.min_time) out.push_back(increment->place);
  }
  return out;
}

bool is_recent(const std::vector<CatalogEntry>& entries, base::Duration interval, base::WallTime now) {
  const auto whole = dated(entries);
  return !whole.empty() && now - whole.back()->parts->time < interval;
}

}  // namespace vitrail::backup
