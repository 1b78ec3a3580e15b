#include "topo/srv_keyspace.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "net/scope.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/record_io.h"
#include "topo/tablet.h"

namespace vitrail::topo {
namespace {

std::string what(std::string_view cell, std::string_view keyspace) {
  return fmt::format("serving graph of keyspace {} in cell {}", keyspace, cell);
}

std::string type_name(::topodata::TabletType type) { return ::topodata::TabletType_Name(type); }

std::string describe(const ::topodata::ShardReference& reference) { return reference.name(); }

}  // namespace

net::Task<Result<std::vector<std::string>>> get_srv_keyspace_names(Server& server, std::string cell) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  CO_ASSIGN_OR_RETURN(const auto candidates, co_await internal::names_below(*store, std::string(kKeyspacesDir)));
  // A keyspace directory may hold nothing but the replication graph, or the global records when the roots are one.
  std::vector<std::string> names;
  for (const std::string& name : candidates) {
    auto record = co_await store->get(srv_keyspace_path(name));
    if (record.ok())
      names.push_back(name);
    else if (record.error().code() != Code::kNotFound)
      co_return std::move(record).error();
  }
  co_return names;
}

net::Task<Result<Versioned<::topodata::SrvKeyspace>>> get_srv_keyspace(Server& server, std::string cell,
                                                                       std::string keyspace) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  co_return co_await internal::read_record<::topodata::SrvKeyspace>(*store, srv_keyspace_path(keyspace),
                                                                    what(cell, keyspace));
}

net::Task<Status> put_srv_keyspace(Server& server, const KeyspaceLock& lock, std::string cell,
                                   ::topodata::SrvKeyspace record) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  CO_RETURN_IF_ERROR(co_await lock.check_held());
  auto written =
      co_await store->update(srv_keyspace_path(lock.keyspace()), internal::serialize_record(record), std::nullopt);
  if (!written.ok()) co_return internal::tell(std::move(written).error(), what(cell, lock.keyspace()));
  co_return Status{};
}

net::Task<Result<::topodata::SrvKeyspace>> update_srv_keyspace_fields(Server& server, const KeyspaceLock& lock,
                                                                      std::string cell,
                                                                      UpdateFn<::topodata::SrvKeyspace> fn) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  CO_RETURN_IF_ERROR(co_await lock.check_held());
  auto updated = co_await internal::update_record<::topodata::SrvKeyspace>(
      *store, srv_keyspace_path(lock.keyspace()), what(cell, lock.keyspace()), std::move(fn), {}, false);
  if (!updated.ok()) co_return std::move(updated).error();
  co_return std::move(updated->record);
}

net::Task<Result<::topodata::SrvKeyspace>> update_srv_keyspace_fields(Server& server, std::string keyspace,
                                                                      std::string cell,
                                                                      UpdateFn<::topodata::SrvKeyspace> fn,
                                                                      WriteGuard guard, net::Wait wait) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  auto updated = co_await internal::update_record<::topodata::SrvKeyspace>(*store, srv_keyspace_path(keyspace),
                                                                           what(cell, keyspace), std::move(fn), {},
                                                                           false, std::move(guard), std::move(wait));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return std::move(updated->record);
}

net::Task<Status> update_srv_keyspaces(Server& server, std::string keyspace, std::vector<std::string> cells,
                                       CellUpdateFn fn, WriteGuard guard, net::Wait wait) {
  auto one = [](Server& topology, const std::string& name, const std::string& cell, const CellUpdateFn& change,
                const WriteGuard& allowed, const net::Wait& until, Status& out) -> net::Task<void> {
    auto updated = co_await update_srv_keyspace_fields(
        topology, name, cell, [&](::topodata::SrvKeyspace& record) { return change(cell, record); }, allowed, until);
    if (!updated.ok() && updated.error().code() != Code::kNotFound) out = std::move(updated).error();
  };
  std::vector<Status> outcomes(cells.size());
  std::vector<net::Task<void>> tasks;
  for (size_t i = 0; i < cells.size(); ++i)
    tasks.push_back(one(server, keyspace, cells[i], fn, guard, wait, outcomes[i]));
  co_await net::when_all(std::move(tasks));
  internal::FailureList failures;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (!outcomes[i].ok()) failures.add("cell " + cells[i], outcomes[i].error());
  }
  if (!failures.empty()) co_return failures.error("the serving graph of keyspace " + keyspace);
  co_return Status{};
}

net::Task<Status> delete_srv_keyspace(Server& server, const KeyspaceLock& lock, std::string cell) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  CO_RETURN_IF_ERROR(co_await lock.check_held());
  Status removed = co_await store->remove(srv_keyspace_path(lock.keyspace()), std::nullopt);
  if (!removed.ok()) co_return internal::tell(std::move(removed).error(), what(cell, lock.keyspace()));
  co_return Status{};
}

::topodata::SrvKeyspace make_srv_keyspace(const std::vector<ShardInfo>& shards, const ::topodata::Keyspace& keyspace,
                                          std::string_view cell) {
  std::vector<const ShardInfo*> serving;
  for (const ShardInfo& shard : shards) {
    if (shard.record.is_primary_serving()) serving.push_back(&shard);
  }
  std::ranges::sort(serving, [](const ShardInfo* a, const ShardInfo* b) {
    const auto order = shard::compare(covered_range(a->record), covered_range(b->record));
    return order < 0 || (order == 0 && a->name < b->name);
  });
  ::topodata::SrvKeyspace record;
  for (const auto& from : keyspace.served_froms()) {
    if (from.cells_size() > 0 && std::ranges::find(from.cells(), cell) == from.cells().end()) continue;
    auto& redirect = *record.add_served_from();
    redirect.set_tablet_type(from.tablet_type());
    redirect.set_keyspace(from.keyspace());
  }
  for (const auto type : kServedTypes) {
    if (shards.empty() && keyspace.served_froms_size() > 0) break;
    auto& partition = *record.add_partitions();
    partition.set_served_type(type);
    for (const ShardInfo* shard : serving) {
      auto& reference = *partition.add_shard_references();
      reference.set_name(shard->name);
      if (shard->record.has_key_range()) *reference.mutable_key_range() = shard->record.key_range();
    }
  }
  if (keyspace.has_throttler_config()) *record.mutable_throttler_config() = keyspace.throttler_config();
  if (keyspace.has_query_throttler_config()) {
    *record.mutable_query_throttler_config() = keyspace.query_throttler_config();
  }
  return record;
}

Status check_partitions(const ::topodata::SrvKeyspace& record, std::string_view cell, std::string_view keyspace) {
  for (const auto& partition : record.partitions()) {
    const auto refuse = [&](const std::string& why) {
      return fail(Code::kFailedPrecondition, fmt::format("keyspace partition for {} in cell {} of keyspace {} {}",
                                                         type_name(partition.served_type()), cell, keyspace, why));
    };
    const int count = partition.shard_references_size();
    if (count == 0) return refuse("has no shards");
    std::vector<std::pair<shard::KeyRange, const ::topodata::ShardReference*>> ranges;
    for (const auto& reference : partition.shard_references()) {
      ranges.emplace_back(reference.has_key_range() ? from_proto(reference.key_range()) : shard::KeyRange(),
                          &reference);
    }
    std::ranges::sort(ranges, [](const auto& a, const auto& b) { return shard::compare(a.first, b.first) < 0; });
    const shard::KeyRange everything;
    if (shard::compare_starts(ranges.front().first, everything) != 0) {
      return refuse("does not start with min key: the first shard is " + describe(*ranges.front().second));
    }
    if (shard::compare_ends(ranges.back().first, everything) != 0) {
      return refuse("does not end with max key: the last shard is " + describe(*ranges.back().second));
    }
    for (size_t i = 0; i + 1 < ranges.size(); ++i) {
      if (!ranges[i].first.is_followed_by(ranges[i + 1].first)) {
        return refuse(fmt::format("has non-contiguous KeyRange values between the shards {} and {}",
                                  describe(*ranges[i].second), describe(*ranges[i + 1].second)));
      }
    }
  }
  return {};
}

Status check_no_migration(const ::topodata::SrvKeyspace& record, const std::vector<ShardInfo>& shards,
                          std::string_view cell, std::string_view keyspace) {
  std::set<std::string_view> serving;
  for (const ShardInfo& shard : shards) {
    if (shard.record.is_primary_serving()) serving.insert(shard.name);
  }
  for (const auto& partition : record.partitions()) {
    for (const auto& control : partition.shard_tablet_controls()) {
      if (!control.query_service_disabled() || !serving.contains(control.name())) continue;
      return fail(
          Code::kFailedPrecondition,
          fmt::format("can't rebuild serving keyspace while a migration is on going: in cell {} the partition {} "
                      "of keyspace {} has the query service of shard {} disabled",
                      cell, type_name(partition.served_type()), keyspace, control.name()));
    }
  }
  return {};
}

net::Task<Status> rebuild_keyspace_graph(Server& server, const KeyspaceLock& lock, RebuildOptions options) {
  const std::string keyspace = lock.keyspace();
  CO_ASSIGN_OR_RETURN(const auto record, co_await get_keyspace(server, keyspace));
  CO_ASSIGN_OR_RETURN(const auto cells, co_await expand_cells(server, std::move(options.cells)));
  CO_ASSIGN_OR_RETURN(const auto by_name, co_await find_all_shards(server, keyspace));
  std::vector<ShardInfo> shards;
  for (const auto& [name, info] : by_name) shards.push_back(info);
  std::vector<::topodata::SrvKeyspace> wanted;
  for (const std::string& cell : cells) wanted.push_back(make_srv_keyspace(shards, record.record, cell));
  const bool lenient = options.allow_partial && record.record.keyspace_type() == ::topodata::SNAPSHOT;

  for (size_t i = 0; i < cells.size() && !lenient; ++i) {
    const std::string& cell = cells[i];
    auto present = co_await get_srv_keyspace(server, cell, keyspace);
    // A keyspace without shards loses its last redirect.
    if (shards.empty() && present.ok() && present->record.served_from_size() > 0) wanted[i].clear_partitions();
    CO_RETURN_IF_ERROR(check_partitions(wanted[i], cell, keyspace));
    if (present.ok()) {
      CO_RETURN_IF_ERROR(check_no_migration(present->record, shards, cell, keyspace));
    } else if (present.error().code() != Code::kNotFound && present.error().code() != Code::kDataLoss) {
      co_return std::move(present).error();
    }
  }
  internal::FailureList failures;
  for (size_t i = 0; i < cells.size(); ++i) {
    Status written = co_await put_srv_keyspace(server, lock, cells[i], wanted[i]);
    if (!written.ok()) failures.add("cell " + cells[i], written.error());
  }
  if (!failures.empty()) co_return failures.error("rebuilding the serving graph of keyspace " + keyspace);
  co_return Status{};
}

}  // namespace vitrail::topo
