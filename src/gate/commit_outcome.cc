#include "gate/commit_outcome.h"

#include <fmt/core.h>

#include <algorithm>

#include "mysql/errors.h"

namespace vitrail::gate {
namespace {

std::string names_of(const std::vector<CommittedPart>& parts, PartState state) {
  std::string out;
  for (const auto& part : parts) {
    if (part.state != state) continue;
    if (!out.empty()) out += ", ";
    out += part.target.keyspace + "/" + part.target.shard;
  }
  return out;
}

}  // namespace

Error commit_error(const std::vector<CommittedPart>& parts, Error error) {
  const std::string committed = names_of(parts, PartState::kCommitted);
  const std::string rolled_back = names_of(parts, PartState::kRolledBack);
  const std::string unknown = names_of(parts, PartState::kUnknown);
  if (committed.empty() && unknown.empty()) {
    Error all = std::move(error).with_context("COMMIT failed, the transaction was rolled back");
    return std::move(all).with_effect(Effect::kNone).with_mysql(mysql::errnos::kDeadlock, "40001");
  }
  std::string text;
  const auto add = [&text](std::string_view what, const std::string& names) {
    if (!names.empty()) text += fmt::format("{}{} {}", text.empty() ? "" : "; ", what, names);
  };
  add("committed on", committed);
  add("rolled back on", rolled_back);
  add("unknown on", unknown);
  const std::string_view what = committed.empty()
                                    ? "the connection was lost during COMMIT: whether it took effect is unknown"
                                    : "the transaction is committed on some shards and not on others";
  return std::move(error).with_context(fmt::format("{}: {}", what, text)).with_effect(Effect::kUnknown);
}

}  // namespace vitrail::gate
