#include "tablet/restore.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

namespace vitrail::tablet {

std::vector<std::string> find_backups(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (std::filesystem::directory_iterator it(folder, ignored), end; !ignored && it != end; it.increment(ignored)) {
    std::error_code none;
    if (std::filesystem::exists(it->path() / "MANIFEST", none)) names.push_back(it->path().filename().string());
  }
  std::ranges::sort(names);  // They begin with the time.
  return names;
}

Status check_restore(const std::string& folder, bool has_database) {
  if (has_database) return {};
  const auto backups = find_backups(folder);
  if (backups.empty()) return {};
  return fail(
      Code::kUnimplemented,
      fmt::format("--restore-from-backup: there is the backup {}/{}, and restoring is not offered yet; fill the "
                  "server by other means, or start without the flag to begin empty",
                  folder, backups.back()));
}

}  // namespace vitrail::tablet
