#include "vschema/mirror_rules.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "vschema/vschema.h"

namespace vitrail::vschema {
namespace {

using ::vschema::MirrorRule;
using ::vschema::MirrorRules;

constexpr std::array kReadTypes = {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY};

std::string from_name(std::string_view keyspace, std::string_view table, ::topodata::TabletType type) {
  std::string out = fmt::format("{}.{}", keyspace, table);
  if (type != ::topodata::PRIMARY) out += fmt::format("@{}", tablet_type_word(type));
  return out;
}

}  // namespace

bool set_mirrors(MirrorRules& rules, const TableMove& move, std::span<const ::topodata::TabletType> types,
                 float percent) {
  bool changed = false;
  auto* list = rules.mutable_rules();
  for (const auto& table : move.tables) {
    for (const auto type : types) {
      if (std::ranges::find(kReadTypes, type) == kReadTypes.end()) continue;
      const std::string from = from_name(move.source_keyspace, table, type);
      const std::string to = fmt::format("{}.{}", move.target_keyspace, table);
      const auto found =
          std::find_if(list->begin(), list->end(), [&](const MirrorRule& rule) { return rule.from_table() == from; });
      if (percent <= 0) {
        // What leads elsewhere is somebody else's.
        if (found == list->end() || found->to_table() != to) continue;
        list->erase(found);
        changed = true;
        continue;
      }
      MirrorRule& rule = found == list->end() ? *list->Add() : *found;
      changed = changed || rule.to_table() != to || rule.percent() != percent;
      rule.set_from_table(from);
      rule.set_to_table(to);
      rule.set_percent(percent);
    }
  }
  return changed;
}

bool delete_mirrors(MirrorRules& rules, const TableMove& move) { return set_mirrors(rules, move, kReadTypes, 0); }

std::vector<::topodata::TabletType> mirrored_types(const MirrorRules& rules, const TableMove& move) {
  std::vector<::topodata::TabletType> out;
  for (const auto type : kReadTypes) {
    MirrorRules without = rules;
    if (set_mirrors(without, move, {{type}}, 0)) out.push_back(type);
  }
  return out;
}

Status check_mirror_percent(float percent) {
  if (percent >= 0 && percent <= 100) return {};
  return fail(Code::kInvalidArgument, fmt::format("--percent is a number from 0 to 100, not {}", percent));
}

}  // namespace vitrail::vschema
