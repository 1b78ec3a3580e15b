#include "worker/shards.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "shard/key_range.h"
#include "topo/cells.h"
#include "topo/srv_keyspace.h"
#include "vschema/srv_keyspace.h"
#include "worker/tablets.h"

namespace vitrail::worker {

Result<SplitShards> find_split(const std::map<std::string, topo::ShardInfo>& all, const std::string& keyspace,
                               const std::string& shard) {
  if (!all.contains(shard)) {
    return fail(Code::kNotFound, fmt::format("shard {}/{} does not exist", keyspace, shard));
  }
  const auto not_overlapping = [&] {
    return fail(Code::kFailedPrecondition,
                fmt::format("the specified shard {}/{} is not in any overlapping shard", keyspace, shard));
  };
  // Shards of one side do not overlap each other: what overlaps is of the other side.
  std::set<std::string> group = {shard};
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& [name, info] : all) {
      if (group.contains(name)) continue;
      const bool overlaps = std::ranges::any_of(group, [&](const std::string& member) {
        const auto& other = all.at(member);
        return other.record.is_primary_serving() != info.record.is_primary_serving() &&
               topo::covered_range(other.record).intersects(topo::covered_range(info.record));
      });
      if (!overlaps) continue;
      group.insert(name);
      grown = true;
    }
  }
  SplitShards out;
  for (const auto& name : group) {
    const auto& info = all.at(name);
    (info.record.is_primary_serving() ? out.sources : out.destinations).push_back(info);
  }
  if (out.sources.empty() || out.destinations.empty()) return not_overlapping();
  for (auto* side : {&out.sources, &out.destinations}) {
    std::ranges::sort(*side, [](const topo::ShardInfo& a, const topo::ShardInfo& b) {
      return topo::covered_range(a.record).start() < topo::covered_range(b.record).start();
    });
  }
  std::vector<shard::KeyRange> left, right;
  for (const auto& info : out.sources) left.push_back(topo::covered_range(info.record));
  for (const auto& info : out.destinations) right.push_back(topo::covered_range(info.record));
  RETURN_IF_ERROR(shard::check_same_cover(left, right));
  return out;
}

Status check_no_source_shards(const topo::ShardInfo& shard) {
  if (shard.record.source_shards().empty()) return {};
  return fail(Code::kFailedPrecondition,
              fmt::format("destination shard {}/{} has filtered replication already enabled from a previous resharding "
                          "(ShardInfo is set). This requires manual intervention e.g. use vtctl SourceShardDelete to "
                          "remove it",
                          shard.keyspace, shard.name));
}

net::Task<Status> check_split(JobContext& context, const SplitShards& shards) {
  for (const auto& to : shards.destinations) CO_RETURN_IF_ERROR(check_no_source_shards(to));
  const std::string& keyspace = shards.sources[0].keyspace;
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(context.topology()));
  std::map<::topodata::TabletType, std::set<std::string>> serving;
  for (const auto& cell : cells) {
    const auto record = co_await topo::get_srv_keyspace(context.topology(), cell, keyspace);
    if (!record.ok() && record.error().code() == Code::kNotFound) continue;
    if (!record.ok()) co_return record.error();
    for (const auto& partition : record->record.partitions()) {
      for (const auto& reference : partition.shard_references()) {
        serving[partition.served_type()].insert(reference.name());
      }
    }
  }
  for (const auto type : {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY}) {
    for (const auto& from : shards.sources) {
      if (serving[type].contains(from.name)) continue;
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("source shard {}/{} is not serving type {}", keyspace, from.name, type_name(type)));
    }
    for (const auto& to : shards.destinations) {
      if (!serving[type].contains(to.name)) continue;
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("destination shard {}/{} is serving some types", keyspace, to.name));
    }
  }
  co_return Status{};
}

}  // namespace vitrail::worker
