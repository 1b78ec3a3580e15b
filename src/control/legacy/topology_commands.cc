// Older commands on cells, on the serving graph and on paths of the topology.
#include <fmt/core.h>
#include <fnmatch.h>

#include "base/hex.h"
#include "base/text.h"
#include "control/client/client.h"
#include "control/legacy/command.h"
#include "topo/decode.h"
#include "topo/store.h"
#include "vschema/proto_json.h"
#include "vtctldata.pb.h"

namespace vitrail::control::legacy {
namespace {

namespace vd = ::vtctldata;
using Output = net::Task<Result<std::string>>;

// The store that -cell names, or the global one.
net::Task<Result<topo::Store*>> find_store(const Call& call, std::shared_ptr<topo::Store>& keep) {
  topo::Server& topology = call.environment.topology();
  const std::string cell = call.get("cell", "global");
  if (cell == "global" || cell.empty()) co_return &topology.global();
  CO_ASSIGN_OR_RETURN(keep, co_await topology.store_for_cell(cell));
  co_return keep.get();
}

// Paths that fit a pattern, whose parts may have wildcards each. A path without wildcards comes back as it is, whether
// or not it exists.
net::Task<Result<std::vector<std::string>>> expand_path(topo::Store& store, std::string pattern) {
  constexpr size_t kPathsMax = 100'000;
  if (pattern.find_first_of("*?[") == std::string::npos) co_return std::vector<std::string>{pattern};
  const bool rooted = pattern.starts_with('/');
  std::vector<std::string> paths = {""};
  for (const std::string_view part : base::split(std::string_view(pattern).substr(rooted ? 1 : 0), '/')) {
    std::vector<std::string> longer;
    for (const std::string& path : paths) {
      const std::string before = path.empty() ? path : path + "/";
      if (part.find_first_of("*?[") == std::string_view::npos) {
        longer.push_back(before + std::string(part));
        continue;
      }
      auto entries = co_await store.list_dir(path);
      if (!entries.ok() && entries.error().code() != Code::kNotFound) co_return std::move(entries).error();
      if (!entries.ok()) continue;
      for (const auto& entry : *entries) {
        if (::fnmatch(std::string(part).c_str(), entry.name.c_str(), 0) == 0) longer.push_back(before + entry.name);
      }
    }
    if (longer.size() > kPathsMax) co_return fail(Code::kResourceExhausted, pattern + " fits too many paths");
    paths = std::move(longer);
  }
  // Parts behind the last wildcard were not looked up yet.
  std::vector<std::string> found;
  for (std::string& path : paths) {
    auto record = co_await store.get(path);
    if (!record.ok() && record.error().code() != Code::kNotFound) co_return std::move(record).error();
    if (record.ok()) found.push_back((rooted ? "/" : "") + path);
  }
  co_return found;
}

Result<std::string> show(const Call& call, const std::string& path, const topo::Record& record) {
  if (call.is_true("decode_proto_json")) return topo::decode_to_json(path, record.data, {.pretty = true});
  if (call.is_true("decode_proto")) return topo::decode_to_prototext(path, record.data);
  return record.data;
}

Output topo_cat(const Call& call) {
  if (call.arguments.empty()) co_return fail(Code::kInvalidArgument, "TopoCat: no path specified");
  std::shared_ptr<topo::Store> keep;
  CO_ASSIGN_OR_RETURN(topo::Store * store, co_await find_store(call, keep));
  std::string out;
  bool failed = false;
  for (const std::string& pattern : call.arguments) {
    CO_ASSIGN_OR_RETURN(const auto paths, co_await expand_path(*store, pattern));
    for (const std::string& path : paths) {
      auto record = co_await store->get(path);
      if (!record.ok()) {
        failed = true;
        CO_RETURN_IF_ERROR(co_await call.environment.report(
            LegacyLevel::kError, fmt::format("TopoCat: Get({}) failed: {}", path, record.error().message())));
        continue;
      }
      auto text = show(call, path, *record);
      if (!text.ok()) {
        failed = true;
        CO_RETURN_IF_ERROR(co_await call.environment.report(
            LegacyLevel::kError, fmt::format("TopoCat: {} cannot be decoded: {}", path, text.error().message())));
        continue;
      }
      if (call.is_true("long")) out += fmt::format("path={} version={}\n", path, record->version.value);
      out += *text;
      if (!out.ends_with('\n')) out += '\n';
    }
  }
  if (!failed) co_return out;
  if (!out.empty()) CO_RETURN_IF_ERROR(co_await call.environment.report(LegacyLevel::kConsole, std::move(out)));
  co_return fail(Code::kNotFound, "TopoCat: some paths had errors");
}

// The local file's side is done by the client (read_legacy_files): it sends the bytes with -content, or asks for them.
Output topo_cp(const Call& call) {
  const bool to_topo = call.is_true("to_topo");
  std::shared_ptr<topo::Store> keep;
  CO_ASSIGN_OR_RETURN(topo::Store * store, co_await find_store(call, keep));
  if (to_topo) {
    if (!call.has("content")) co_return fail(Code::kInvalidArgument, "TopoCp: the client did not send the file");
    CO_ASSIGN_OR_RETURN(std::string data, base::hex_decode(call.get("content")));
    auto written = co_await store->update(call.arguments[1], std::move(data), std::nullopt);
    if (!written.ok()) co_return std::move(written).error();
    co_return std::string();
  }
  CO_ASSIGN_OR_RETURN(const auto record, co_await store->get(call.arguments[0]));
  co_return base::hex_encode(record.data);
}

Output get_srv_keyspace(const Call& call) {
  vd::GetSrvKeyspacesRequest request;
  request.add_cells(call.arguments[0]);
  request.set_keyspace(call.arguments[1]);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await call.vtctld<vd::GetSrvKeyspacesResponse>("GetSrvKeyspaces", std::move(request)));
  const auto found = done.srv_keyspaces().find(call.arguments[0]);
  if (found == done.srv_keyspaces().end()) {
    co_return fail(Code::kNotFound,
                   fmt::format("cell {} does not serve keyspace {}", call.arguments[0], call.arguments[1]));
  }
  co_return vschema::to_json(found->second) + "\n";
}

Output get_srv_keyspace_names(const Call& call) {
  vd::GetSrvKeyspaceNamesRequest request;
  request.add_cells(call.arguments[0]);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await call.vtctld<vd::GetSrvKeyspaceNamesResponse>("GetSrvKeyspaceNames", std::move(request)));
  std::string out;
  for (const auto& [cell, names] : done.names()) {
    for (const auto& name : names.names()) out += name + "\n";
  }
  co_return out;
}

Output get_shard_replication(const Call& call) {
  vd::GetShardReplicationRequest request;
  CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(call.arguments[1]));
  request.add_cells(call.arguments[0]);
  request.set_keyspace(name.first);
  request.set_shard(name.second);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await call.vtctld<vd::GetShardReplicationResponse>("GetShardReplication", std::move(request)));
  const auto found = done.shard_replication_by_cell().find(call.arguments[0]);
  if (found == done.shard_replication_by_cell().end()) {
    co_return fail(Code::kNotFound, fmt::format("cell {} has no tablets of {}", call.arguments[0], call.arguments[1]));
  }
  co_return vschema::to_json(found->second) + "\n";
}

}  // namespace

void add_topology_commands(std::vector<Command>& out) {
  constexpr std::string_view kServing = "Serving Graph";
  out.push_back({kServing, "GetSrvKeyspace", "<cell> <keyspace>", 2, 2, {}, get_srv_keyspace});
  out.push_back({kServing, "GetSrvKeyspaceNames", "<cell>", 1, 1, {}, get_srv_keyspace_names});
  out.push_back({kServing, "GetSrvVSchema", "<cell>", 1, 1, {}, same("GetSrvVSchema")});
  out.push_back({kServing, "DeleteSrvVSchema", "<cell>", 1, 1, {}, silent("DeleteSrvVSchema")});
  out.push_back(
      {"Replication Graph", "GetShardReplication", "<cell> <keyspace/shard>", 2, 2, {}, get_shard_replication});
  constexpr std::string_view kCells = "Cells";
  const std::vector<Flag> cell = {value("server_address", "server-address"), value("root", "root")};
  out.push_back({kCells, "AddCellInfo", "<cell>", 1, 1, cell, silent("AddCellInfo")});
  out.push_back({kCells, "UpdateCellInfo", "<cell>", 1, 1, cell, silent("UpdateCellInfo")});
  out.push_back({kCells, "DeleteCellInfo", "<cell>", 1, 1, {toggle("force", "force")}, silent("DeleteCellInfo")});
  out.push_back({kCells, "GetCellInfo", "<cell>", 1, 1, {}, same("GetCellInfo")});
  out.push_back({kCells, "GetCellInfoNames", "", 0, 0, {}, same("GetCellInfoNames")});
  constexpr std::string_view kAliases = "CellsAliases";
  const std::vector<Flag> cells = {value("cells", "cells")};
  out.push_back({kAliases, "AddCellsAlias", "<alias>", 1, 1, cells, silent("AddCellsAlias")});
  out.push_back({kAliases, "UpdateCellsAlias", "<alias>", 1, 1, cells, silent("UpdateCellsAlias")});
  out.push_back({kAliases, "DeleteCellsAlias", "<alias>", 1, 1, {}, silent("DeleteCellsAlias")});
  out.push_back({kAliases, "GetCellsAliases", "", 0, 0, {}, same("GetCellsAliases")});
  constexpr std::string_view kTopo = "Topo";
  out.push_back({kTopo,
                 "TopoCat",
                 "<path> [<path> ...]",
                 0,
                 kMany,
                 {value("cell", ""), toggle("decode_proto", ""), toggle("decode_proto_json", ""), toggle("long", "")},
                 topo_cat});
  out.push_back({kTopo,
                 "TopoCp",
                 "<source> <destination>",
                 2,
                 2,
                 {value("cell", ""), toggle("to_topo", ""), value("content", "")},
                 topo_cp});
}

}  // namespace vitrail::control::legacy
