#include "control/backup_choice.h"

#include <fmt/core.h>

#include <tuple>

#include "topo/tablet.h"

namespace vitrail::control {

Status check_spared(const topo::Durability& policy, const std::vector<BackupCandidate>& tablets,
                    const ::topodata::TabletAlias& away) {
  const BackupCandidate* primary = nullptr;
  for (const auto& candidate : tablets) {
    if (candidate.tablet.type() == ::topodata::PRIMARY) primary = &candidate;
  }
  if (primary == nullptr || policy.acks_needed() == 0) return {};
  int others = 0;
  bool acknowledges = false;
  for (const auto& candidate : tablets) {
    if (!policy.acknowledges(primary->tablet, candidate.tablet)) continue;
    if (topo::same_alias(candidate.tablet.alias(), away)) {
      acknowledges = true;
    } else if (candidate.answers && candidate.replicates) {
      ++others;
    }
  }
  if (!acknowledges || others >= policy.acks_needed()) return {};
  return fail(
      Code::kFailedPrecondition,
      fmt::format("{} is the only tablet that acknowledges what {} commits (durability policy {}): writes would "
                  "wait for the backup's end; add a replica, or back up an rdonly tablet",
                  topo::alias_to_string(away), topo::alias_to_string(primary->tablet.alias()), policy.name()));
}

Result<size_t> choose_backup_tablet(const topo::Durability& policy, const std::vector<BackupCandidate>& tablets,
                                    bool allow_primary) {
  using Rank = std::tuple<int, uint32_t, std::string>;
  std::optional<Rank> best;
  size_t chosen = 0;
  std::string why;
  const auto leave_out = [&](const BackupCandidate& candidate, std::string_view reason) {
    why += fmt::format("; {}: {}", topo::alias_to_string(candidate.tablet.alias()), reason);
  };
  for (size_t i = 0; i < tablets.size(); ++i) {
    const auto& candidate = tablets[i];
    const auto type = candidate.tablet.type();
    const bool is_primary = type == ::topodata::PRIMARY;
    if (is_primary && !allow_primary) {
      leave_out(candidate, "it is the primary (--allow-primary)");
      continue;
    }
    if (!is_primary && type != ::topodata::REPLICA && type != ::topodata::RDONLY && type != ::topodata::SPARE) {
      leave_out(candidate, "its type is " + topo::tablet_type_to_string(type));
      continue;
    }
    if (!candidate.answers || (!is_primary && !candidate.replicates)) {
      leave_out(candidate, candidate.answers ? "it does not replicate" : "it does not answer");
      continue;
    }
    if (Status spared = check_spared(policy, tablets, candidate.tablet.alias()); !spared.ok()) {
      leave_out(candidate, spared.error().message());
      continue;
    }
    const int missed = is_primary ? 2 : type == ::topodata::REPLICA ? 1 : 0;
    Rank rank{missed, candidate.lag_seconds, topo::alias_to_string(candidate.tablet.alias())};
    if (best && *best <= rank) continue;
    best = std::move(rank);
    chosen = i;
  }
  if (best) return chosen;
  return fail(Code::kFailedPrecondition, "no tablet of the shard can be backed up" + why);
}

}  // namespace vitrail::control
