#include "topo/tablet.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "net/scope.h"
#include "shard/shard_name.h"
#include "topo/cells.h"
#include "topo/record_io.h"
#include "topo/shard.h"

namespace vitrail::topo {
namespace {

std::string tablet_what(const ::topodata::TabletAlias& alias) { return "tablet " + alias_to_string(alias); }
std::string replication_what(std::string_view keyspace, std::string_view shard, std::string_view cell) {
  return fmt::format("replication graph of {}/{} in cell {}", keyspace, shard, cell);
}

// What the name of the shard says belongs into the record too.
Status prepare_tablet(::topodata::Tablet& tablet) {
  RETURN_IF_ERROR(validate_name("cell name", tablet.alias().cell()));
  RETURN_IF_ERROR(validate_name("keyspace name", tablet.keyspace()));
  ASSIGN_OR_RETURN(const shard::ShardName name, shard::ShardName::parse(tablet.shard()));
  tablet.set_shard(name.str());
  tablet.clear_key_range();
  if (name.key_range()) *tablet.mutable_key_range() = to_proto(*name.key_range());
  return {};
}

struct CellTablets {
  std::vector<::topodata::Tablet> tablets;
  std::optional<Error> failed;
};

net::Task<Result<std::vector<::topodata::Tablet>>> tablets_by_graph(Server& server, std::string cell,
                                                                    std::string keyspace, std::string shard) {
  std::vector<::topodata::Tablet> tablets;
  const auto graph = co_await get_shard_replication(server, std::move(cell), std::move(keyspace), std::move(shard));
  if (!graph.ok()) {
    if (graph.error().code() == Code::kNotFound) co_return tablets;
    co_return Error(graph.error());
  }
  for (const auto& node : graph->nodes()) {
    auto tablet = co_await get_tablet(server, node.tablet_alias());
    if (tablet.ok()) tablets.push_back(std::move(tablet->record));
    if (!tablet.ok() && tablet.error().code() != Code::kNotFound && tablet.error().code() != Code::kDataLoss) {
      co_return std::move(tablet).error();
    }
  }
  std::ranges::sort(tablets, {}, [](const ::topodata::Tablet& tablet) { return tablet.alias().uid(); });
  co_return tablets;
}

net::Task<void> read_cell(Server& server, std::string cell, const TabletQuery& query, CellTablets& out) {
  const bool by_graph = !query.keyspace.empty() && !query.shard.empty() && !query.scan;
  auto tablets = by_graph ? co_await tablets_by_graph(server, std::move(cell), query.keyspace, query.shard)
                          : co_await get_tablets_in_cell(server, std::move(cell));
  if (tablets.ok())
    out.tablets = std::move(*tablets);
  else
    out.failed = std::move(tablets).error();
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::string alias_to_string(const ::topodata::TabletAlias& alias) {
  return fmt::format("{}-{:010}", alias.cell(), alias.uid());
}

Result<::topodata::TabletAlias> parse_alias(std::string_view text) {
  const auto bad = [&] {
    return fail(Code::kInvalidArgument, "invalid tablet alias \"" + std::string(text.substr(0, 100)) +
                                            "\": expected <cell>-<uid>, for example zone1-0000000100");
  };
  const size_t dash = text.rfind('-');
  if (dash == std::string_view::npos) return bad();
  const std::string_view cell = text.substr(0, dash);
  const std::string_view digits = text.substr(dash + 1);
  if (!validate_name("cell name", cell).ok() || digits.empty()) return bad();
  uint32_t uid = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), uid);
  if (error != std::errc() || end != digits.data() + digits.size()) return bad();
  ::topodata::TabletAlias alias;
  alias.set_cell(std::string(cell));
  alias.set_uid(uid);
  return alias;
}

bool same_alias(const ::topodata::TabletAlias& a, const ::topodata::TabletAlias& b) {
  return a.uid() == b.uid() && a.cell() == b.cell();
}

Result<::topodata::TabletType> parse_tablet_type(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  ::topodata::TabletType type = ::topodata::UNKNOWN;
  if (::topodata::TabletType_Parse(upper, &type)) return type;
  return fail(Code::kInvalidArgument,
              "unknown tablet type \"" + std::string(text.substr(0, 100)) +
                  "\"; known are: primary, replica, rdonly, spare, experimental, backup, restore, drained");
}

std::string tablet_type_to_string(::topodata::TabletType type) {
  switch (type) {
    case ::topodata::PRIMARY:  // MASTER and BATCH have the same numbers as PRIMARY and RDONLY.
      return "primary";
    case ::topodata::RDONLY: return "rdonly";
    default:
      return ::topodata::TabletType_IsValid(type) ? lower(::topodata::TabletType_Name(type))
                                                  : fmt::format("type {}", static_cast<int>(type));
  }
}

bool is_serving_type(::topodata::TabletType type) {
  return type == ::topodata::PRIMARY || type == ::topodata::REPLICA || type == ::topodata::RDONLY;
}

bool is_replica_type(::topodata::TabletType type) {
  return type != ::topodata::PRIMARY && type != ::topodata::UNKNOWN && type != ::topodata::BACKUP &&
         type != ::topodata::RESTORE && type != ::topodata::DRAINED;
}

std::string tablet_address(const ::topodata::Tablet& tablet, std::string_view port_name) {
  const auto port = tablet.port_map().find(std::string(port_name));
  if (port == tablet.port_map().end()) return {};
  const bool bracketed = tablet.hostname().find(':') != std::string::npos;
  return bracketed ? fmt::format("[{}]:{}", tablet.hostname(), port->second)
                   : fmt::format("{}:{}", tablet.hostname(), port->second);
}

std::string tablet_db_name(const ::topodata::Tablet& tablet) {
  return tablet.db_name_override().empty() ? "vt_" + tablet.keyspace() : tablet.db_name_override();
}

net::Task<Result<Versioned<::topodata::Tablet>>> get_tablet(Server& server, ::topodata::TabletAlias alias) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(alias.cell()));
  co_return co_await internal::read_record<::topodata::Tablet>(*store, tablet_path(alias_to_string(alias)),
                                                               tablet_what(alias));
}

net::Task<Status> create_tablet(Server& server, ::topodata::Tablet tablet) {
  CO_RETURN_IF_ERROR(prepare_tablet(tablet));
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(tablet.alias().cell()));
  auto created =
      co_await store->create(tablet_path(alias_to_string(tablet.alias())), internal::serialize_record(tablet));
  // The node is written even when the record is there already: an earlier attempt may have died between the two.
  if (created.ok() || created.error().code() == Code::kAlreadyExists) {
    auto existing = co_await get_tablet(server, tablet.alias());
    if (!existing.ok()) co_return std::move(existing).error();
    CO_RETURN_IF_ERROR(
        co_await add_shard_replication(server, existing->record.keyspace(), existing->record.shard(), tablet.alias()));
  }
  if (!created.ok()) co_return internal::tell(std::move(created).error(), tablet_what(tablet.alias()));
  co_return Status{};
}

net::Task<Status> create_or_update_tablet(Server& server, ::topodata::Tablet tablet) {
  CO_RETURN_IF_ERROR(prepare_tablet(tablet));
  Status created = co_await create_tablet(server, tablet);
  if (created.ok() || created.error().code() != Code::kAlreadyExists) co_return created;
  UpdateFn<::topodata::Tablet> replace = [&tablet](::topodata::Tablet& current) -> Result<bool> {
    if (current.keyspace() != tablet.keyspace() || current.shard() != tablet.shard()) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("the topology knows tablet {} in {}/{}, not in {}/{}: delete its record first, or use "
                              "another alias",
                              alias_to_string(tablet.alias()), current.keyspace(), current.shard(), tablet.keyspace(),
                              tablet.shard()));
    }
    current = tablet;
    return true;
  };
  auto updated = co_await update_tablet_fields(server, tablet.alias(), std::move(replace));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await add_shard_replication(server, tablet.keyspace(), tablet.shard(), tablet.alias());
}

net::Task<Result<::topodata::Tablet>> update_tablet_fields(Server& server, ::topodata::TabletAlias alias,
                                                           UpdateFn<::topodata::Tablet> fn) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(alias.cell()));
  UpdateFn<::topodata::Tablet> guarded = [&](::topodata::Tablet& tablet) -> Result<bool> {
    ASSIGN_OR_RETURN(const bool changed, fn(tablet));
    *tablet.mutable_alias() = alias;
    return changed;
  };
  auto updated = co_await internal::update_record<::topodata::Tablet>(
      *store, tablet_path(alias_to_string(alias)), tablet_what(alias), std::move(guarded), {}, false);
  if (!updated.ok()) co_return std::move(updated).error();
  co_return std::move(updated->record);
}

net::Task<Status> delete_tablet(Server& server, ::topodata::TabletAlias alias) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(alias.cell()));
  auto tablet = co_await get_tablet(server, alias);
  if (tablet.ok()) {
    CO_RETURN_IF_ERROR(
        co_await remove_shard_replication(server, tablet->record.keyspace(), tablet->record.shard(), alias));
  } else if (tablet.error().code() != Code::kDataLoss) {
    co_return std::move(tablet).error();
  }
  Status removed = co_await store->remove(tablet_path(alias_to_string(alias)), std::nullopt);
  if (!removed.ok()) co_return internal::tell(std::move(removed).error(), tablet_what(alias));
  co_return Status{};
}

net::Task<Result<std::vector<::topodata::Tablet>>> get_tablets_in_cell(Server& server, std::string cell) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  CO_ASSIGN_OR_RETURN(const auto records, co_await store->list(std::string(kTabletsDir)));
  std::vector<::topodata::Tablet> tablets;
  for (const PathRecord& record : records) {
    if (!record.path.ends_with("/" + std::string(kTabletFile))) continue;
    ::topodata::Tablet tablet;
    if (tablet.ParseFromString(record.data)) tablets.push_back(std::move(tablet));
  }
  std::ranges::sort(tablets, {}, [](const ::topodata::Tablet& tablet) { return tablet.alias().uid(); });
  co_return tablets;
}

net::Task<Result<TabletList>> find_tablets(Server& server, TabletQuery query) {
  CO_ASSIGN_OR_RETURN(const auto cells, co_await expand_cells(server, query.cells));
  // All cells at once: one that cannot be reached costs its timeout, not the sum of them.
  std::vector<CellTablets> reads(cells.size());
  std::vector<net::Task<void>> tasks;
  for (size_t i = 0; i < cells.size(); ++i) tasks.push_back(read_cell(server, cells[i], query, reads[i]));
  co_await net::when_all(std::move(tasks));
  TabletList list;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (reads[i].failed) {
      list.failed.emplace(cells[i], *reads[i].failed);
      continue;
    }
    for (auto& tablet : reads[i].tablets) {
      if (!query.keyspace.empty() && tablet.keyspace() != query.keyspace) continue;
      if (!query.shard.empty() && tablet.shard() != query.shard) continue;
      if (query.type && tablet.type() != *query.type) continue;
      list.tablets.push_back(std::move(tablet));
    }
  }
  co_return list;
}

net::Task<Result<::topodata::ShardReplication>> get_shard_replication(Server& server, std::string cell,
                                                                      std::string keyspace, std::string shard) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  auto read = co_await internal::read_record<::topodata::ShardReplication>(
      *store, shard_replication_path(keyspace, shard), replication_what(keyspace, shard, cell));
  if (!read.ok()) co_return std::move(read).error();
  co_return std::move(read->record);
}

net::Task<Status> add_shard_replication(Server& server, std::string keyspace, std::string shard,
                                        ::topodata::TabletAlias alias) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(alias.cell()));
  UpdateFn<::topodata::ShardReplication> add = [&](::topodata::ShardReplication& graph) -> Result<bool> {
    for (const auto& node : graph.nodes()) {
      if (same_alias(node.tablet_alias(), alias)) return false;
    }
    *graph.add_nodes()->mutable_tablet_alias() = alias;
    return true;
  };
  auto updated = co_await internal::update_record<::topodata::ShardReplication>(
      *store, shard_replication_path(keyspace, shard), replication_what(keyspace, shard, alias.cell()), std::move(add),
      {}, true);
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

net::Task<Status> remove_shard_replication(Server& server, std::string keyspace, std::string shard,
                                           ::topodata::TabletAlias alias) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(alias.cell()));
  const std::string path = shard_replication_path(keyspace, shard);
  const std::string what = replication_what(keyspace, shard, alias.cell());
  for (int attempt = 0; attempt < kMaxUpdateAttempts; ++attempt) {
    auto read = co_await internal::read_record<::topodata::ShardReplication>(*store, path, what);
    if (!read.ok()) {
      if (read.error().code() == Code::kNotFound) co_return Status{};
      co_return std::move(read).error();
    }
    auto& nodes = *read->record.mutable_nodes();
    const auto position =
        std::ranges::find_if(nodes, [&](const auto& node) { return same_alias(node.tablet_alias(), alias); });
    if (position == nodes.end()) co_return Status{};
    nodes.erase(position);
    Status written;
    if (nodes.empty()) {
      written = co_await store->remove(path, read->version);
    } else {
      auto updated = co_await store->update(path, internal::serialize_record(read->record), read->version);
      if (!updated.ok()) written = std::move(updated).error();
    }
    if (written.ok()) co_return Status{};
    const Code code = written.error().code();
    if (code != Code::kAborted && code != Code::kNotFound) co_return internal::tell(std::move(written).error(), what);
  }
  co_return fail(Code::kAborted, "the " + what + " is changed by others all the time; try again");
}

net::Task<Status> delete_shard_replication(Server& server, std::string cell, std::string keyspace, std::string shard) {
  CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
  Status removed = co_await store->remove(shard_replication_path(keyspace, shard), std::nullopt);
  if (!removed.ok()) co_return internal::tell(std::move(removed).error(), replication_what(keyspace, shard, cell));
  co_return Status{};
}

net::Task<Result<std::vector<::topodata::ShardReplicationError>>> fix_shard_replication(Server& server,
                                                                                        std::string cell,
                                                                                        std::string keyspace,
                                                                                        std::string shard) {
  CO_ASSIGN_OR_RETURN(const auto graph, co_await get_shard_replication(server, cell, keyspace, shard));
  std::vector<::topodata::ShardReplicationError> fixed;
  for (const auto& node : graph.nodes()) {
    const ::topodata::TabletAlias alias = node.tablet_alias();
    ::topodata::ShardReplicationError problem;
    *problem.mutable_tablet_alias() = alias;
    auto tablet = co_await get_tablet(server, alias);
    if (!tablet.ok()) {
      if (tablet.error().code() != Code::kNotFound) co_return std::move(tablet).error();
      problem.set_type(::topodata::ShardReplicationError::NOT_FOUND);
    } else if (tablet->record.keyspace() != keyspace || tablet->record.shard() != shard || alias.cell() != cell) {
      problem.set_type(::topodata::ShardReplicationError::TOPOLOGY_MISMATCH);
    } else {
      continue;
    }
    // A node of another cell lies in this cell's record all the same, where remove_shard_replication() would not look.
    CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(cell));
    UpdateFn<::topodata::ShardReplication> drop = [&](::topodata::ShardReplication& record) -> Result<bool> {
      auto& nodes = *record.mutable_nodes();
      const auto gone =
          std::ranges::remove_if(nodes, [&](const auto& n) { return same_alias(n.tablet_alias(), alias); });
      const bool changed = gone.begin() != nodes.end();
      nodes.erase(gone.begin(), nodes.end());
      return changed;
    };
    auto updated = co_await internal::update_record<::topodata::ShardReplication>(
        *store, shard_replication_path(keyspace, shard), replication_what(keyspace, shard, cell), std::move(drop), {},
        false);
    if (!updated.ok()) co_return std::move(updated).error();
    fixed.push_back(std::move(problem));
  }
  co_return fixed;
}

}  // namespace vitrail::topo
