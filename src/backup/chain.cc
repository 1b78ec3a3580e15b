#include "backup/chain.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"

namespace vitrail::backup {
namespace {

using mysql::Position;

bool has(const Position& position, const Position& other) {
  const auto at_least = position.at_least(other);
  return at_least.ok() && *at_least;
}

std::optional<Position> position_of(const std::string& text) {
  auto position = Position::parse(text);
  if (!position.ok()) return std::nullopt;
  return *position;
}

// An incremental backup of which transactions can be taken where the data stands at `at`.
struct Step {
  const Chosen* backup;
  Position position;
};
std::optional<Step> step_from(const Chosen& backup, const Position& at) {
  if (!backup.manifest.incremental) return std::nullopt;
  const auto from = position_of(backup.manifest.from_position), to = position_of(backup.manifest.position);
  if (!from || !to || !has(at, *from) || has(at, *to)) return std::nullopt;
  return Step{&backup, *to};
}

// Whether the step is the last one needed: what lies behind it is not wanted.
bool reaches(const Step& step, const Target& target) {
  if (target.position) return has(step.position, *target.position);
  return step.backup->manifest.last_transaction >= *target.time;
}

// The step that leads farthest; one that reaches the target is as good as any.
std::optional<Step> best_step(const std::vector<Chosen>& backups, const Position& at, const Target& target) {
  std::optional<Step> best;
  for (const auto& backup : backups) {
    auto step = step_from(backup, at);
    if (!step) continue;
    if (reaches(*step, target)) return step;
    if (!best || (has(step->position, best->position) && !has(best->position, step->position))) best = std::move(step);
  }
  return best;
}

bool is_before(const Chosen& full, const Position& position, const Target& target) {
  if (target.position) return has(*target.position, position);
  const auto& manifest = full.manifest;
  return std::max(manifest.finished_time, manifest.backup_time) <= *target.time;
}

}  // namespace

std::string Target::to_string() const {
  return position ? "position " + position->prefixed_string() : "time " + rfc3339(*time);
}

Result<Chain> choose_chain(const std::vector<Chosen>& backups, const Target& target,
                           const std::vector<std::string>& full_engines) {
  std::vector<const Chosen*> fulls;
  size_t later = 0, foreign = 0;
  for (const auto& backup : backups) {
    if (backup.manifest.incremental) continue;
    const auto position = position_of(backup.manifest.position);
    if (!full_engines.empty() && std::ranges::find(full_engines, backup.manifest.backup_method) == full_engines.end()) {
      ++foreign;
    } else if (!position || !is_before(backup, *position, target)) {
      ++later;
    } else {
      fulls.push_back(&backup);
    }
  }
  std::ranges::sort(fulls, std::greater(),
                    [](const Chosen* full) { return std::pair(full->manifest.backup_time, full->place.name); });
  std::string farthest;
  for (const Chosen* full : fulls) {
    Chain chain{*full, {}};
    Position at = *position_of(full->manifest.position);
    bool there = target.position && has(at, *target.position);
    while (!there) {
      const auto step = best_step(backups, at, target);
      if (!step) break;
      chain.increments.push_back(*step->backup);
      there = reaches(*step, target);
      if (Status merged = at.merge(step->position); !merged.ok()) break;
    }
    if (there) return chain;
    if (!farthest.empty()) continue;
    farthest = fmt::format("; from {} on they go to {}", full->place.to_string(), at.prefixed_string());
    if (!chain.increments.empty()) {
      farthest +=
          fmt::format(", its last transaction of {}", rfc3339(chain.increments.back().manifest.last_transaction));
    }
  }
  std::string why = std::move(farthest);
  if (later > 0) why += fmt::format("; {} full ones are not before it", later);
  if (foreign > 0)
    why += fmt::format("; {} full ones are of other engines than {}", foreign, base::join(full_engines, ", "));
  return fail(Code::kNotFound,
              fmt::format("no full backup with incremental ones behind it leads to {}{}", target.to_string(), why));
}

Result<Chosen> choose_parent(const std::vector<Chosen>& backups) {
  const Chosen* best = nullptr;
  std::optional<Position> best_position;
  for (const auto& backup : backups) {
    const auto position = position_of(backup.manifest.position);
    if (!position || (best != nullptr && !has(*position, *best_position))) continue;
    best = &backup;
    best_position = position;
  }
  if (best == nullptr) {
    return fail(Code::kNotFound, "there is no backup that an incremental one could go on from: take a full one first");
  }
  return *best;
}

}  // namespace vitrail::backup
