// Older commands whose work is given as JSON, and those on other clusters: CreateLookupVindex, ExternalizeVindex,
// Materialize, Mount, Migrate.
#include <fmt/core.h>

#include "base/text.h"
#include "control/legacy/command.h"
#include "topo/tablet.h"
#include "vschema/proto_json.h"
#include "vtctldata.pb.h"

namespace vitrail::control::legacy {
namespace {

namespace vd = ::vtctldata;
using Output = net::Task<Result<std::string>>;
using Words = std::vector<std::string>;

Result<std::pair<std::string, std::string>> split_name(std::string_view text, std::string_view what) {
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == text.size()) {
    return fail(Code::kInvalidArgument, fmt::format("invalid format for {}: \"{}\"", what, text));
  }
  return std::pair(std::string(text.substr(0, dot)), std::string(text.substr(dot + 1)));
}

// "in_order:REPLICA,PRIMARY": the types, and whether their order counts. It does where none are named.
struct TypeList {
  std::string types;
  bool in_order = true;
};
TypeList read_types(std::string_view text) {
  constexpr std::string_view kInOrder = "in_order:";
  if (text.starts_with(kInOrder)) return {std::string(text.substr(kInOrder.size())), true};
  return {std::string(text), text.empty()};
}

::tabletmanagerdata::TabletSelectionPreference preference(const TypeList& list) {
  return list.in_order ? ::tabletmanagerdata::INORDER : ::tabletmanagerdata::ANY;
}

// <keyspace> <json_spec>: a vschema with the vindex, its owner, and, in a sharded keyspace, its table.
Output create_lookup_vindex(const Call& call) {
  vd::LookupVindexCreateRequest q;
  q.set_keyspace(call.arguments[0]);
  CO_RETURN_IF_ERROR(vschema::parse_json(call.arguments[1], *q.mutable_vindex(), nullptr));
  if (q.vindex().vindexes_size() == 1) q.set_workflow(q.vindex().vindexes().begin()->first);
  for (const auto& cell : base::split_list(call.get("cells"))) q.add_cells(cell);
  const TypeList list = read_types(call.get("tablet_types"));
  for (const auto& word : base::split_list(list.types)) {
    CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(word));
    q.add_tablet_types(type);
  }
  q.set_tablet_selection_preference(preference(list));
  q.set_continue_after_copy_with_owner(true);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await call.vtctld<vd::LookupVindexCreateResponse>("LookupVindexCreate", std::move(q)));
  (void)done;
  co_return std::string();
}

Output externalize_vindex(const Call& call) {
  CO_ASSIGN_OR_RETURN(auto name, split_name(call.arguments[0], "<keyspace>.<vindex>"));
  vd::LookupVindexExternalizeRequest q;
  q.set_keyspace(std::move(name.first));
  q.set_name(std::move(name.second));
  CO_ASSIGN_OR_RETURN(const auto done, co_await call.vtctld<vd::LookupVindexExternalizeResponse>(
                                           "LookupVindexExternalize", std::move(q)));
  (void)done;
  co_return std::string();
}

// <json_spec>: the settings of the workflow.
Output materialize(const Call& call) {
  vd::MaterializeCreateRequest q;
  auto& settings = *q.mutable_settings();
  CO_RETURN_IF_ERROR(vschema::parse_json(call.arguments[0], settings, nullptr));
  if (call.has("cells")) settings.set_cell(call.get("cells"));
  const TypeList list = read_types(call.has("tablet_types") ? call.get("tablet_types") : settings.tablet_types());
  settings.set_tablet_types(list.types);
  settings.set_tablet_selection_preference(preference(list));
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await call.vtctld<vd::MaterializeCreateResponse>("MaterializeCreate", std::move(q)));
  (void)done;
  co_return std::string();
}

Output refused(std::string why) { co_return fail(Code::kInvalidArgument, std::move(why)); }

// Mount -type=vitess [-topo_type ...] <name>, or with one of -unmount, -show, -list.
Output mount(const Call& call) {
  if (call.get("type", "vitess") != "vitess") return refused("other clusters are of the type vitess");
  if (call.is_true("list")) return call.run({"Mount", "list"});
  if (call.arguments.empty()) return refused("Mount needs the name of the cluster");
  const std::string& name = call.arguments[0];
  if (call.is_true("show")) return call.run({"Mount", "show", name});
  if (call.is_true("unmount")) return call.run({"Mount", "unregister", name});
  const std::string type = call.get("topo_type", "etcd2");
  return call.run({"Mount", "register", "--topo-type=" + (type == "zookeeper" ? "zk2" : type),
                   "--topo-server=" + call.get("topo_server"), "--topo-root=" + call.get("topo_root"), name});
}

// <action> <target keyspace.workflow>
Output migrate(const Call& call) {
  CO_ASSIGN_OR_RETURN(const auto name, split_name(call.arguments[1], "<keyspace.workflow>"));
  std::string action = base::to_lower(call.arguments[0]);
  if (action == "progress" || action == "getstate") action = "status";
  if (action != "create" && action != "complete" && action != "cancel" && action != "show" && action != "status") {
    co_return fail(Code::kInvalidArgument, "invalid action for Migrate workflow: " + call.arguments[0]);
  }
  Words words = {"Migrate", "--workflow=" + name.second, "--target-keyspace=" + name.first, action};
  if (action == "create") {
    CO_ASSIGN_OR_RETURN(const auto source, split_name(call.get("source"), "-source, <cluster>.<keyspace>"));
    words.push_back("--mount-name=" + source.first);
    words.push_back("--source-keyspace=" + source.second);
    for (const auto& flag : call.todays_flags()) words.push_back(flag);
  } else if (action == "cancel" && call.has("keep_data")) {
    words.push_back("--keep-data=" + call.get("keep_data"));
  } else if (action == "complete" && call.has("dry_run")) {
    words.push_back("--dry-run=" + call.get("dry_run"));
  }
  co_return co_await call.run(std::move(words));
}

}  // namespace

void add_follow_commands(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Workflows";
  const Flag cells = value("cells", "");
  const Flag types = value("tablet_types", "");
  // With an owner or without: vtgate maintains the vindex from its creation on.
  out.push_back({kGroup,
                 "CreateLookupVindex",
                 "<keyspace> <json_spec>",
                 2,
                 2,
                 {cells, types, ignored_toggle("continue_after_copy_with_owner")},
                 create_lookup_vindex});
  out.push_back({kGroup, "ExternalizeVindex", "<keyspace>.<vindex>", 1, 1, {}, externalize_vindex});
  out.push_back({kGroup, "Materialize", "<json_spec>", 1, 1, {cells, types}, materialize});
  out.push_back({kGroup,
                 "Mount",
                 "[<cluster name>]",
                 0,
                 1,
                 {value("type", ""), toggle("unmount", ""), toggle("show", ""), toggle("list", ""),
                  value("topo_type", ""), value("topo_server", ""), value("topo_root", "")},
                 mount});
  out.push_back(
      {kGroup,
       "Migrate",
       "<action> <target keyspace.workflow>",
       2,
       2,
       {value("source", ""), value("tables", "tables"), value("exclude", "exclude-tables"), toggle("all", "all-tables"),
        value("cells", "cells"), value("tablet_types", "tablet-types"), toggle("auto_start", "auto-start"),
        toggle("stop_after_copy", "stop-after-copy"), value("on-ddl", "on-ddl"),
        value("source_time_zone", "source-time-zone"), toggle("defer-secondary-keys", "defer-secondary-keys"),
        toggle("keep_data", ""), toggle("dry_run", "")},
       migrate});
}

}  // namespace vitrail::control::legacy
