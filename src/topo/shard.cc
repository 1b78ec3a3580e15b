#include "topo/shard.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "shard/shard_name.h"
#include "topo/keyspace.h"
#include "topo/record_io.h"
#include "topo/tablet.h"

namespace vitrail::topo {
namespace {

std::string shard_what(std::string_view keyspace, std::string_view shard) {
  return fmt::format("shard {}/{}", keyspace, shard);
}

}  // namespace

::topodata::KeyRange to_proto(const shard::KeyRange& range) {
  ::topodata::KeyRange record;
  record.set_start(range.start());
  record.set_end(range.end());
  return record;
}

shard::KeyRange from_proto(const ::topodata::KeyRange& range) { return shard::KeyRange(range.start(), range.end()); }

shard::KeyRange covered_range(const ::topodata::Shard& record) {
  return record.has_key_range() ? from_proto(record.key_range()) : shard::KeyRange();
}

net::Task<Result<std::vector<std::string>>> get_shard_names(Server& server, std::string keyspace) {
  CO_ASSIGN_OR_RETURN(std::vector<std::string> names,
                      co_await internal::names_below(server.global(), shards_dir(keyspace)));
  if (names.empty()) {
    auto record = co_await get_keyspace(server, keyspace);
    if (!record.ok()) co_return std::move(record).error();
  }
  co_return names;
}

net::Task<Result<ShardInfo>> get_shard(Server& server, std::string keyspace, std::string shard) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  CO_ASSIGN_OR_RETURN(const shard::ShardName name, shard::ShardName::parse(shard));
  auto record = co_await internal::read_record<::topodata::Shard>(server.global(), shard_path(keyspace, name.str()),
                                                                  shard_what(keyspace, name.str()));
  if (!record.ok()) co_return std::move(record).error();
  co_return ShardInfo{std::move(keyspace), name.str(), std::move(record->record), record->version};
}

net::Task<Result<std::map<std::string, ShardInfo>>> find_all_shards(Server& server, std::string keyspace) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  const std::string dir = shards_dir(keyspace);
  CO_ASSIGN_OR_RETURN(const std::vector<PathRecord> records, co_await server.global().list(dir));
  std::map<std::string, ShardInfo> shards;
  for (const PathRecord& stored : records) {
    // "<dir>/<shard>/Shard"
    const std::string_view rest = std::string_view(stored.path).substr(dir.size() + 1);
    const size_t slash = rest.find('/');
    if (slash == std::string_view::npos || rest.substr(slash + 1) != kShardFile) continue;
    std::string name(rest.substr(0, slash));
    CO_ASSIGN_OR_RETURN(::topodata::Shard record,
                        internal::parse_record<::topodata::Shard>(stored.data, shard_what(keyspace, name)));
    shards.emplace(name, ShardInfo{keyspace, name, std::move(record), stored.version});
  }
  if (shards.empty()) {
    auto record = co_await get_keyspace(server, keyspace);
    if (!record.ok()) co_return std::move(record).error();
  }
  co_return shards;
}

net::Task<Result<std::vector<ShardInfo>>> find_serving_shards(Server& server, std::string keyspace) {
  CO_ASSIGN_OR_RETURN(auto all, co_await find_all_shards(server, keyspace));
  std::vector<ShardInfo> serving;
  for (auto& [name, info] : all) {
    if (info.record.is_primary_serving()) serving.push_back(std::move(info));
  }
  if (serving.empty()) {
    co_return fail(Code::kFailedPrecondition, "keyspace " + keyspace + " has no serving shards");
  }
  std::ranges::sort(serving, [](const ShardInfo& a, const ShardInfo& b) {
    const auto order = shard::compare(covered_range(a.record), covered_range(b.record));
    return order < 0 || (order == 0 && a.name < b.name);
  });
  co_return serving;
}

net::Task<Status> create_shard(Server& server, const KeyspaceLock& lock, std::string shard) {
  CO_ASSIGN_OR_RETURN(const shard::ShardName name, shard::ShardName::parse(shard));
  const std::string keyspace = lock.keyspace();
  // Not found when the keyspace has no record.
  CO_ASSIGN_OR_RETURN(const auto shards, co_await find_all_shards(server, keyspace));
  if (shards.contains(name.str())) {
    co_return fail(Code::kAlreadyExists, shard_what(keyspace, name.str()) + " exists already in the topology");
  }
  ::topodata::Shard record;
  if (name.key_range()) *record.mutable_key_range() = to_proto(*name.key_range());
  // The first shards of a keyspace serve at once; those of a later reshard overlap them and wait for their traffic.
  const bool overlaps = std::ranges::any_of(shards, [&](const auto& item) {
    return item.second.record.is_primary_serving() &&
           covered_range(item.second.record).intersects(name.covered_range());
  });
  record.set_is_primary_serving(!overlaps);
  auto created = co_await server.global().create(shard_path(keyspace, name.str()), internal::serialize_record(record),
                                                 lock.write_options());
  if (!created.ok()) co_return internal::tell(std::move(created).error(), shard_what(keyspace, name.str()));
  co_return Status{};
}

net::Task<Status> create_shard(Server& server, std::string keyspace, std::string shard, LockSettings settings) {
  CO_ASSIGN_OR_RETURN(KeyspaceLock lock,
                      co_await KeyspaceLock::acquire(server, keyspace, "CreateShard " + shard, std::move(settings)));
  Status created = co_await create_shard(server, lock, std::move(shard));
  Status released = co_await lock.release();
  CO_RETURN_IF_ERROR(std::move(created));
  co_return released;
}

net::Task<Result<ShardInfo>> get_or_create_shard(Server& server, std::string keyspace, std::string shard,
                                                 LockSettings settings) {
  auto info = co_await get_shard(server, keyspace, shard);
  if (info.ok() || info.error().code() != Code::kNotFound) co_return info;
  Status made = co_await create_keyspace(server, keyspace, {});
  if (!made.ok() && made.error().code() != Code::kAlreadyExists) co_return std::move(made).error();
  made = co_await create_shard(server, keyspace, shard, std::move(settings));
  if (!made.ok() && made.error().code() != Code::kAlreadyExists) co_return std::move(made).error();
  co_return co_await get_shard(server, std::move(keyspace), std::move(shard));
}

net::Task<Status> delete_shard_record(Server& server, const KeyspaceLock& lock, std::string shard) {
  Status removed =
      co_await server.global().remove(shard_path(lock.keyspace(), shard), std::nullopt, lock.write_options());
  if (!removed.ok()) co_return internal::tell(std::move(removed).error(), shard_what(lock.keyspace(), shard));
  co_return Status{};
}

net::Task<Result<ShardInfo>> update_shard_fields(Server& server, std::string keyspace, std::string shard,
                                                 UpdateFn<::topodata::Shard> fn, std::optional<Fence> fence,
                                                 WriteGuard guard) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  CO_ASSIGN_OR_RETURN(const shard::ShardName name, shard::ShardName::parse(shard));
  auto updated = co_await internal::update_record<::topodata::Shard>(server.global(), shard_path(keyspace, name.str()),
                                                                     shard_what(keyspace, name.str()), std::move(fn),
                                                                     std::move(fence), false, std::move(guard));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return ShardInfo{std::move(keyspace), name.str(), std::move(updated->record), updated->version};
}

const ::topodata::Shard::TabletControl* find_tablet_control(const ::topodata::Shard& shard,
                                                            ::topodata::TabletType type) {
  for (const auto& control : shard.tablet_controls()) {
    if (control.tablet_type() == type) return &control;
  }
  return nullptr;
}

Status apply_denied_tables(::topodata::Shard& shard, const DeniedTablesUpdate& update) {
  if (update.tables.empty()) return fail(Code::kInvalidArgument, "no tables to deny are named");
  const std::string type = tablet_type_to_string(update.type);
  if (update.type == ::topodata::PRIMARY && !update.cells.empty()) {
    return fail(Code::kInvalidArgument, "denied tables of the primary cannot depend on cells");
  }
  auto& controls = *shard.mutable_tablet_controls();
  const auto position = std::ranges::find(controls, update.type, &::topodata::Shard::TabletControl::tablet_type);
  const auto store_sorted = [](auto& field, const std::set<std::string>& values) {
    field.Clear();
    for (const auto& value : values) *field.Add() = value;
  };

  if (position == controls.end()) {
    if (update.remove) return {};
    auto& control = *controls.Add();
    control.set_tablet_type(update.type);
    store_sorted(*control.mutable_cells(), {update.cells.begin(), update.cells.end()});
    store_sorted(*control.mutable_denied_tables(), {update.tables.begin(), update.tables.end()});
    control.set_allow_reads(update.allow_reads);
    return {};
  }

  ::topodata::Shard::TabletControl& control = *position;
  if (control.frozen()) {
    return fail(Code::kFailedPrecondition,
                "the denied tables of the " + type + " are frozen: a traffic switch that is not finished has set them");
  }
  std::set<std::string> tables(control.denied_tables().begin(), control.denied_tables().end());
  std::set<std::string> cells(control.cells().begin(), control.cells().end());
  const std::set<std::string> wanted_cells(update.cells.begin(), update.cells.end());

  if (!update.remove) {
    if (update.type != ::topodata::PRIMARY && cells != wanted_cells) {
      const std::set<std::string> wanted(update.tables.begin(), update.tables.end());
      if (tables != wanted) {
        return fail(
            Code::kInvalidArgument,
            fmt::format("the {} of this shard denies {} in some cells already: one list holds for all its cells", type,
                        fmt::join(tables, ", ")));
      }
      // An empty list of cells means all of them already.
      if (wanted_cells.empty())
        cells.clear();
      else if (!cells.empty())
        cells.insert(wanted_cells.begin(), wanted_cells.end());
      store_sorted(*control.mutable_cells(), cells);
      return {};
    }
    tables.insert(update.tables.begin(), update.tables.end());
    store_sorted(*control.mutable_denied_tables(), tables);
    // Whoever denies reads, too, relies on it: behind a fence nobody reads what is old.
    if (!update.allow_reads) control.set_allow_reads(false);
    return {};
  }

  if (update.type != ::topodata::PRIMARY && !wanted_cells.empty()) {
    if (cells.empty()) {
      return fail(Code::kInvalidArgument,
                  "the denied tables of the " + type + " hold for all cells: they cannot be removed for some");
    }
    for (const auto& cell : wanted_cells) cells.erase(cell);
    if (cells.empty())
      controls.erase(position);
    else
      store_sorted(*control.mutable_cells(), cells);
    return {};
  }
  for (const auto& table : update.tables) tables.erase(table);
  if (tables.empty())
    controls.erase(position);
  else
    store_sorted(*control.mutable_denied_tables(), tables);
  return {};
}

net::Task<Result<ShardInfo>> update_denied_tables(Server& server, const KeyspaceLock& lock, std::string shard,
                                                  DeniedTablesUpdate update) {
  CO_RETURN_IF_ERROR(co_await lock.check_held());
  UpdateFn<::topodata::Shard> apply = [update = std::move(update)](::topodata::Shard& record) -> Result<bool> {
    RETURN_IF_ERROR(apply_denied_tables(record, update));
    return true;
  };
  co_return co_await update_shard_fields(server, lock.keyspace(), std::move(shard), std::move(apply), lock.fence());
}

}  // namespace vitrail::topo
