#include "control/workflow/conflicts.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "control/workflow/materialize.h"
#include "control/workflow/migrate.h"
#include "control/workflow/model.h"
#include "control/workflow/partial.h"
#include "control/workflow/tenant.h"
#include "shard/shard_name.h"

namespace vitrail::control {
namespace {

using engine::Record;

bool is_reshard(const Record& record) { return record.kind() == "Reshard"; }

std::set<std::string> keyspaces(const Record& record) { return {record.source_keyspace(), record.target_keyspace()}; }

template <typename T>
const T* find_common(const std::set<T>& a, const std::set<T>& b) {
  for (const auto& one : a) {
    if (b.contains(one)) return &one;
  }
  return nullptr;
}

// Where streams of which name lie: the workflow's own and those of its reverse workflow.
std::set<std::string> stream_names(const Record& record) {
  return {record.target_keyspace() + "." + record.workflow(),
          record.source_keyspace() + "." + reverse_workflow_name(record.workflow())};
}

// The tables of a workflow on both sides, each with its keyspace. Those that a Materialize follows may have other
// names.
std::set<std::string> tables_of(const Record& record, bool target_only) {
  std::set<std::string> out;
  for (const auto& table : record.tables()) out.insert(record.target_keyspace() + "." + table);
  if (target_only) return out;
  const auto followed = record.options().find(kFollowedOption);
  if (followed != record.options().end()) {
    for (const auto name : base::split(followed->second, '\n')) {
      out.insert(fmt::format("{}.{}", record.source_keyspace(), name));
    }
    return out;
  }
  for (const auto& table : record.tables()) out.insert(record.source_keyspace() + "." + table);
  return out;
}

std::vector<std::string> shards(const Record& record) {
  std::vector<std::string> out(record.source_shards().begin(), record.source_shards().end());
  out.insert(out.end(), record.target_shards().begin(), record.target_shards().end());
  return out;
}

const std::string* find_common_range(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (const auto& one : a) {
    const auto name = shard::ShardName::parse(one);
    for (const auto& two : b) {
      const auto other = shard::ShardName::parse(two);
      if (!name.ok() || !other.ok()) {
        if (one == two) return &one;
      } else if (name->covered_range().intersects(other->covered_range())) {
        return &one;
      }
    }
  }
  return nullptr;
}

Status check_pair(const Record& wanted, const Record& other) {
  const auto refuse = [&](const std::string& why) {
    return fail(Code::kFailedPrecondition, fmt::format("{}: complete or cancel {} first", why, engine::name_of(other)));
  };
  if (wanted.target_keyspace() == other.target_keyspace() && wanted.workflow() == other.workflow()) {
    return refuse(fmt::format("some streams already exist in the target shards: workflow {}.{}",
                              other.target_keyspace(), other.workflow()));
  }
  const auto own_names = stream_names(wanted);
  const auto other_names = stream_names(other);
  if (const auto* name = find_common(own_names, other_names)) {
    return refuse(fmt::format("workflow {} exists already, it is (or will be) the reverse of another one", *name));
  }
  const auto own_keyspaces = keyspaces(wanted);
  const auto other_keyspaces = keyspaces(other);
  const auto* keyspace = find_common(own_keyspaces, other_keyspaces);
  if (keyspace == nullptr) return {};
  if (is_reshard(wanted) != is_reshard(other)) {
    return refuse(fmt::format(
        "the shards of keyspace {} cannot be split or merged while tables are moved from or to it", *keyspace));
  }
  if (is_reshard(wanted)) {
    const auto own = shards(wanted);
    if (const auto* shard = find_common_range(own, shards(other))) {
      return refuse(fmt::format("shard {}/{} overlaps shards of another Reshard", *keyspace, *shard));
    }
    return {};
  }
  // Any number of tables may follow one; whoever follows has no other source.
  if (wanted.kind() == "Materialize" && other.kind() == "Materialize" &&
      wanted.target_keyspace() != other.target_keyspace()) {
    return {};
  }
  if (are_siblings(wanted, other)) {
    if (is_ending(other))
      return refuse("the shards of the keyspace are moved by several workflows, and one of them ends");
    const std::vector<std::string> own(wanted.source_shards().begin(), wanted.source_shards().end());
    const std::vector<std::string> others(other.source_shards().begin(), other.source_shards().end());
    const auto* shard = find_common_range(own, others);
    if (shard == nullptr) return {};
    return refuse(fmt::format("shard {}/{} is being moved already", wanted.source_keyspace(), *shard));
  }
  if (are_neighbours(wanted, other)) return {};
  // Any number of tables may follow one.
  const bool both_follow = wanted.kind() == "Materialize" && other.kind() == "Materialize";
  const auto own = tables_of(wanted, both_follow);
  if (const auto* table = find_common(own, tables_of(other, both_follow))) {
    const size_t dot = table->find('.');
    return refuse(
        fmt::format("table {} of keyspace {} is being moved already", table->substr(dot + 1), table->substr(0, dot)));
  }
  return {};
}

}  // namespace

Status check_conflicts(const Record& wanted, std::span<const engine::StoredRecord> others) {
  for (const auto& other : others) {
    if (other.record.id() == wanted.id()) continue;
    RETURN_IF_ERROR(check_pair(wanted, other.record));
  }
  return {};
}

Status check_unused(const std::string& keyspace, const std::string& shard,
                    std::span<const engine::StoredRecord> records) {
  const auto has = [&shard](const auto& shards) {
    return shard.empty() || shards.empty() || std::ranges::find(shards, shard) != shards.end();
  };
  for (const auto& [record, version] : records) {
    const bool is_target = record.target_keyspace() == keyspace && has(record.target_shards());
    // The rows of a Migrate come from another cluster.
    const bool is_source =
        record.source_keyspace() == keyspace && record.kind() != kMigrate && has(record.source_shards());
    if ((!is_target && !is_source) || record.writes_switched()) continue;
    const std::string what = shard.empty() ? "keyspace " + keyspace : fmt::format("shard {}/{}", keyspace, shard);
    return fail(Code::kFailedPrecondition, fmt::format("{} is a {} of {}: complete or cancel that first", what,
                                                       is_target ? "target" : "source", engine::name_of(record)));
  }
  return {};
}

}  // namespace vitrail::control
