#include "topo/copy.h"

#include <fmt/core.h>

#include <array>
#include <map>

#include "base/text.h"
#include "topo/cells.h"
#include "topo/decode.h"
#include "topo/paths.h"
#include "topo/record_io.h"

namespace vitrail::topo {
namespace {

using Records = std::map<std::string, std::string>;  // Path -> bytes.

bool is_wanted(std::string_view path, const CopyParts& parts, bool in_cell) {
  const std::vector<std::string_view> names = base::split(path, '/');
  const bool below_keyspaces = names[0] == kKeyspacesDir;
  const std::string_view file = names.back();
  if (in_cell) {
    if (names[0] == kTabletsDir) return parts.tablets && names.size() == 3 && file == kTabletFile;
    return below_keyspaces && parts.shard_replications && names.size() == 5 && file == kShardReplicationFile;
  }
  if (below_keyspaces && names.size() == 3) return parts.keyspaces && (file == kKeyspaceFile || file == kVSchemaFile);
  return below_keyspaces && parts.shards && names.size() == 5 && file == kShardFile;
}

net::Task<Status> add_below(Store& store, std::string dir, const CopyParts& parts, bool in_cell, Records& out) {
  CO_ASSIGN_OR_RETURN(auto records, co_await store.list(std::move(dir)));
  for (auto& record : records) {
    if (is_wanted(record.path, parts, in_cell)) out.emplace(std::move(record.path), std::move(record.data));
  }
  co_return Status{};
}

net::Task<Result<Records>> read_global(Server& server, const CopyParts& parts) {
  Records out;
  if (parts.keyspaces || parts.shards) {
    CO_RETURN_IF_ERROR(co_await add_below(server.global(), std::string(kKeyspacesDir), parts, false, out));
  }
  if (parts.routing_rules) {
    for (std::string path :
         {routing_rules_path(), shard_routing_rules_path(), keyspace_routing_rules_path(), mirror_rules_path()}) {
      auto record = co_await server.global().get(path);
      if (record.ok())
        out.emplace(std::move(path), std::move(record->data));
      else if (record.error().code() != Code::kNotFound)
        co_return std::move(record).error();
    }
  }
  co_return out;
}

net::Task<Result<Records>> read_cell(Store& store, const CopyParts& parts) {
  Records out;
  if (parts.tablets) CO_RETURN_IF_ERROR(co_await add_below(store, std::string(kTabletsDir), parts, true, out));
  if (parts.shard_replications) {
    CO_RETURN_IF_ERROR(co_await add_below(store, std::string(kKeyspacesDir), parts, true, out));
  }
  co_return out;
}

net::Task<Result<std::vector<std::string>>> cells_of(Server& server, const CopyParts& parts) {
  if (!parts.tablets && !parts.shard_replications) co_return std::vector<std::string>();
  co_return co_await get_cell_names(server);
}

net::Task<Status> write(Store& store, const Records& records, std::string place) {
  for (const auto& [path, data] : records) {
    auto written = co_await store.update(path, data, std::nullopt);
    if (!written.ok()) co_return std::move(written).error().with_context(place + path);
  }
  co_return Status{};
}

// Bytes may differ in the order of a map's entries alone.
bool says_the_same(const std::string& path, const std::string& a, const std::string& b) {
  if (a == b) return true;
  const auto first = decode_to_prototext(path, a);
  const auto second = decode_to_prototext(path, b);
  return first.ok() && second.ok() && *first == *second;
}

void compare(const Records& from, const Records& to, const std::string& place, std::vector<std::string>& out) {
  for (const auto& [path, data] : from) {
    const auto found = to.find(path);
    if (found == to.end())
      out.push_back(place + path + ": only in the first");
    else if (!says_the_same(path, data, found->second))
      out.push_back(place + path + ": differs");
  }
  for (const auto& [path, data] : to) {
    if (!from.contains(path)) out.push_back(place + path + ": only in the second");
  }
}

std::string place_of(const std::string& cell) { return "cell " + cell + ": "; }

}  // namespace

net::Task<Result<size_t>> copy_records(Server& from, Server& to, CopyParts parts) {
  CO_ASSIGN_OR_RETURN(const auto cells, co_await cells_of(from, parts));
  std::map<std::string, std::shared_ptr<Store>> targets;
  for (const std::string& cell : cells) {
    auto store = co_await to.store_for_cell(cell);
    if (!store.ok() && store.error().code() == Code::kNotFound) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("cell {} is not known in the second topology: AddCellInfo there first", cell));
    }
    if (!store.ok()) co_return std::move(store).error();
    targets.emplace(cell, std::move(*store));
  }
  CO_ASSIGN_OR_RETURN(const Records global, co_await read_global(from, parts));
  CO_RETURN_IF_ERROR(co_await write(to.global(), global, ""));
  size_t count = global.size();
  for (const auto& [cell, target] : targets) {
    CO_ASSIGN_OR_RETURN(const auto source, co_await from.store_for_cell(cell));
    CO_ASSIGN_OR_RETURN(const Records records, co_await read_cell(*source, parts));
    CO_RETURN_IF_ERROR(co_await write(*target, records, place_of(cell)));
    count += records.size();
  }
  co_return count;
}

net::Task<Result<std::vector<std::string>>> compare_records(Server& from, Server& to, CopyParts parts) {
  std::vector<std::string> out;
  CO_ASSIGN_OR_RETURN(const Records first, co_await read_global(from, parts));
  CO_ASSIGN_OR_RETURN(const Records second, co_await read_global(to, parts));
  compare(first, second, "", out);
  CO_ASSIGN_OR_RETURN(const auto from_cells, co_await cells_of(from, parts));
  CO_ASSIGN_OR_RETURN(const auto to_cells, co_await cells_of(to, parts));
  std::map<std::string, std::array<Records, 2>> cells;
  for (const std::string& cell : from_cells) {
    CO_ASSIGN_OR_RETURN(const auto store, co_await from.store_for_cell(cell));
    CO_ASSIGN_OR_RETURN(cells[cell][0], co_await read_cell(*store, parts));
  }
  for (const std::string& cell : to_cells) {
    CO_ASSIGN_OR_RETURN(const auto store, co_await to.store_for_cell(cell));
    CO_ASSIGN_OR_RETURN(cells[cell][1], co_await read_cell(*store, parts));
  }
  for (const auto& [cell, sides] : cells) compare(sides[0], sides[1], place_of(cell), out);
  co_return out;
}

}  // namespace vitrail::topo
