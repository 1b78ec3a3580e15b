// Vtctld's method that shows what is stored at a path of the topology.
#include <algorithm>

#include "control/method.h"
#include "control/registrar.h"
#include "topo/cells.h"
#include "topo/decode.h"
#include "vschema/proto_json.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

struct StorePath {
  std::string cell;  // "global", or a cell's name; empty for "/".
  std::string rest;  // Below its root.
};

// "/global/keyspaces/...", or "/<cell>/keyspaces/...".
StorePath split_path(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos) return {std::string(path), ""};
  return {std::string(path.substr(0, slash)), std::string(path.substr(slash + 1))};
}

std::string last_part(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));
}

net::Task<Result<topo::Record>> read_version(topo::Store& store, std::string path, int64_t version) {
  if (version == 0) co_return co_await store.get(path);
  CO_ASSIGN_OR_RETURN(const auto states, co_await store.history(path));
  for (const auto& state : states) {
    if (static_cast<int64_t>(state.version.value) != version) continue;
    if (!state.data) co_return fail(Code::kNotFound, path + " was deleted by version " + std::to_string(version));
    co_return topo::Record{*state.data, state.version};
  }
  co_return fail(Code::kNotFound, "the store does not remember version " + std::to_string(version) + " of " + path);
}

Answer<vd::GetTopologyPathResponse> get_path(TabletClient& client, vd::GetTopologyPathRequest request) {
  const StorePath path = split_path(request.path());
  vd::GetTopologyPathResponse out;
  vd::TopologyCell& cell = *out.mutable_cell();
  cell.set_path(request.path());
  cell.set_name(last_part(request.path()));
  if (path.cell.empty()) {
    cell.add_children("global");
    CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(client.topology()));
    for (const auto& name : cells) cell.add_children(name);
    co_return out;
  }
  std::shared_ptr<topo::Store> keep;
  topo::Store* store = &client.topology().global();
  if (path.cell != "global") {
    CO_ASSIGN_OR_RETURN(keep, co_await client.topology().store_for_cell(path.cell));
    store = keep.get();
  }
  auto children = co_await store->list_dir(path.rest);
  if (children.ok() && !children->empty()) {
    for (const auto& entry : *children) cell.add_children(entry.name);
    co_return out;
  }
  if (children.ok() && path.rest.empty()) co_return out;
  CO_ASSIGN_OR_RETURN(const auto record, co_await read_version(*store, path.rest, request.version()));
  if (request.as_json()) {
    CO_ASSIGN_OR_RETURN(const auto message, topo::decode_record(path.rest, record.data));
    cell.set_data(vschema::to_json(*message, {.unpopulated = false, .indent = 2}));
  } else {
    CO_ASSIGN_OR_RETURN(const std::string text, topo::decode_to_prototext(path.rest, record.data));
    cell.set_data(text);
  }
  cell.set_version(static_cast<int64_t>(record.version.value));
  co_return out;
}

}  // namespace

void register_path_methods(Registrar& r) {
  r.unary<vd::GetTopologyPathRequest, vd::GetTopologyPathResponse>("GetTopologyPath", get_path);
}

}  // namespace vitrail::control
