#include "vschema/srv_keyspace.h"

#include <algorithm>

#include <fmt/core.h>

#include "vschema/vschema.h"

namespace vitrail::vschema {

namespace {

using ::topodata::SrvKeyspace;
using ::topodata::TabletType;
using Partition = SrvKeyspace::KeyspacePartition;
using Shards = std::span<const shard::ShardName>;

Partition* find_partition_in(SrvKeyspace& record, TabletType type) {
  return const_cast<Partition*>(find_partition(record, type));
}

Error no_partition(TabletType type) {
  return fail(Code::kNotFound, fmt::format("the serving graph has no partition for {}", tablet_type_word(type)));
}

// Shard references and shard controls both have a name and, for a range, the range.
template <typename Entry>
void fill(Entry& entry, const shard::ShardName& shard) {
  entry.set_name(shard.str());
  if (!shard.key_range()) return;
  auto* range = entry.mutable_key_range();
  range->set_start(shard.key_range()->start());
  range->set_end(shard.key_range()->end());
}

template <typename List>
void remove_shards(List& list, Shards shards) {
  const auto kept = std::remove_if(list.begin(), list.end(), [&](const auto& entry) {
    return std::any_of(shards.begin(), shards.end(), [&](const auto& shard) { return shard.str() == entry.name(); });
  });
  list.erase(kept, list.end());
}

// References ascend by key range.
Status sort_references(Partition& partition) {
  std::vector<std::pair<shard::ShardName, ::topodata::ShardReference>> sorted;
  for (const auto& reference : partition.shard_references()) {
    ASSIGN_OR_RETURN(shard::ShardName name, shard::ShardName::parse(reference.name()));
    sorted.emplace_back(std::move(name), reference);
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  partition.clear_shard_references();
  for (auto& [name, reference] : sorted) *partition.add_shard_references() = std::move(reference);
  return {};
}

Status replace_references(Partition& partition, Shards from, Shards to) {
  remove_shards(*partition.mutable_shard_references(), from);
  for (const shard::ShardName& shard : to) {
    const auto& list = partition.shard_references();
    if (std::none_of(list.begin(), list.end(), [&](const auto& r) { return r.name() == shard.str(); })) {
      fill(*partition.add_shard_references(), shard);
    }
  }
  return sort_references(partition);
}

void set_control(Partition& partition, const shard::ShardName& shard, bool disabled) {
  for (auto& control : *partition.mutable_shard_tablet_controls()) {
    if (control.name() == shard.str()) return control.set_query_service_disabled(disabled);
  }
  auto& control = *partition.add_shard_tablet_controls();
  fill(control, shard);
  control.set_query_service_disabled(disabled);
}

}  // namespace

const Partition* find_partition(const SrvKeyspace& record, TabletType type) {
  for (const Partition& partition : record.partitions()) {
    if (partition.served_type() == type) return &partition;
  }
  return nullptr;
}

Result<ServingPartition> ServingPartition::make(const SrvKeyspace& record, TabletType type, std::string_view keyspace) {
  const Partition* partition = find_partition(record, type);
  if (partition == nullptr) {
    return fail(Code::kUnavailable,
                fmt::format("No partition found for tabletType {} in keyspace {}", tablet_type_word(type), keyspace))
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  ServingPartition out;
  out.keyspace_ = keyspace;
  std::vector<shard::ShardName> names;
  for (const auto& reference : partition->shard_references()) {
    auto name = shard::ShardName::parse(reference.name());
    if (!name) return std::move(name).error().with_context(fmt::format("serving graph of keyspace {}", keyspace));
    names.push_back(std::move(*name));
  }
  for (const auto& control : partition->shard_tablet_controls()) {
    if (control.query_service_disabled()) out.disabled_names_.push_back(control.name());
  }
  std::sort(out.disabled_names_.begin(), out.disabled_names_.end());
  out.shards_ = shard::ShardSet(std::move(names));
  for (const shard::ShardName& shard : out.shards_.shards()) {
    const bool disabled = std::binary_search(out.disabled_names_.begin(), out.disabled_names_.end(), shard.str());
    out.disabled_.push_back(disabled);
    out.is_switching_ = out.is_switching_ || disabled;
  }
  return out;
}

namespace {

Error being_resharded() {
  return fail(Code::kClusterEvent, "current keyspace is being resharded").with_retry(Retry::kAfterTopologyRefresh);
}

}  // namespace

Result<int> ServingPartition::check(int index, std::string_view id) const {
  if (index < 0) {
    return fail(Code::kUnavailable, fmt::format("no shard of keyspace {} serves keyspace id {}", keyspace_,
                                                shard::KeyspaceId::from_bytes(id).to_hex()))
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  if (is_disabled(index)) return being_resharded();
  return index;
}

Result<int> ServingPartition::find(std::string_view keyspace_id) const {
  return check(shards_.find(keyspace_id), keyspace_id);
}

Result<int> ServingPartition::find_u64(uint64_t keyspace_id) const {
  const int index = shards_.find_u64(keyspace_id);
  if (index >= 0 && !is_disabled(index)) return index;
  return check(index, shard::KeyspaceId::from_u64(keyspace_id).bytes);
}

Result<std::vector<int>> ServingPartition::resolve(const shard::Destination& destination) const {
  using Kind = shard::Destination::Kind;
  std::vector<int> out;
  switch (destination.kind) {
    case Kind::kNone: return out;
    case Kind::kKeyspaceId: {
      ASSIGN_OR_RETURN(const int index, find(destination.keyspace_id.bytes));
      out.push_back(index);
      return out;
    }
    case Kind::kKeyRange: out = shards_.find_overlapping(destination.key_range); break;
    case Kind::kAllShards: return all();
  }
  for (int index : out) {
    if (is_disabled(index)) return being_resharded();
  }
  return out;
}

Result<std::vector<int>> ServingPartition::all() const {
  if (shards_.empty()) {
    return fail(Code::kUnavailable, fmt::format("keyspace {} has no serving shard", keyspace_))
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  if (is_switching_) return being_resharded();
  std::vector<int> out(shards_.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int>(i);
  return out;
}

Status ServingPartition::check_explicit(std::string_view shard) const {
  if (!std::binary_search(disabled_names_.begin(), disabled_names_.end(), shard)) return {};
  if (shards_.find_name(shard) >= 0) return being_resharded();
  return fail(Code::kFailedPrecondition,
              fmt::format("query service of {}/{} is disabled: its traffic has been switched to other shards",
                          keyspace_, shard));
}

Status switch_reads(SrvKeyspace& record, TabletType type, Shards sources, Shards targets) {
  Partition* partition = find_partition_in(record, type);
  if (partition == nullptr) return {};
  for (const shard::ShardName& shard : sources) set_control(*partition, shard, true);
  for (const shard::ShardName& shard : targets) set_control(*partition, shard, false);
  return replace_references(*partition, sources, targets);
}

Status reverse_reads(SrvKeyspace& record, TabletType type, Shards sources, Shards targets) {
  Partition* partition = find_partition_in(record, type);
  if (partition == nullptr) return {};
  remove_shards(*partition->mutable_shard_tablet_controls(), sources);
  remove_shards(*partition->mutable_shard_tablet_controls(), targets);
  return replace_references(*partition, targets, sources);
}

Status stop_writes(SrvKeyspace& record, Shards shards) {
  Partition* partition = find_partition_in(record, ::topodata::PRIMARY);
  if (partition == nullptr) return {};
  for (const shard::ShardName& shard : shards) set_control(*partition, shard, true);
  return {};
}

Status allow_writes(SrvKeyspace& record, Shards shards) {
  Partition* partition = find_partition_in(record, ::topodata::PRIMARY);
  if (partition != nullptr) remove_shards(*partition->mutable_shard_tablet_controls(), shards);
  return {};
}

Status switch_writes(SrvKeyspace& record, Shards from, Shards to) {
  Partition* partition = find_partition_in(record, ::topodata::PRIMARY);
  if (partition == nullptr) return {};
  partition->clear_shard_tablet_controls();
  return replace_references(*partition, from, to);
}

void clear_tablet_controls(SrvKeyspace& record) {
  for (Partition& partition : *record.mutable_partitions()) partition.clear_shard_tablet_controls();
}

Status set_query_service_disabled(SrvKeyspace& record, TabletType type, const shard::ShardName& shard, bool disabled) {
  Partition* partition = find_partition_in(record, type);
  if (partition == nullptr) return no_partition(type);
  set_control(*partition, shard, disabled);
  return {};
}

}  // namespace vitrail::vschema
