#include "control/workflow/stream_settings.h"

#include <fmt/core.h>
#include <google/protobuf/util/json_util.h>

#include "base/text.h"
#include "control/workflow/tenant.h"
#include "topo/cells.h"
#include "topo/shard.h"

namespace vitrail::control {

constexpr std::string_view kOverridePrefix = "config.";  // In a record's options.

std::map<std::string, std::string> StreamSettings::to_options() const {
  std::vector<std::string> types;
  for (const auto type : tablet_types) types.push_back(::topodata::TabletType_Name(type));
  std::map<std::string, std::string> out = {{"cells", base::join(cells, ",")},
                                            {"tablet_types", base::join(types, ",")},
                                            {"in_order", preference == ::tabletmanagerdata::ANY ? "false" : "true"},
                                            {"on_ddl", on_ddl},
                                            {"stop_after_copy", stop_after_copy ? "true" : "false"},
                                            {"defer_secondary_keys", defer_secondary_keys ? "true" : "false"}};
  if (!source_time_zone.empty()) out["source_time_zone"] = source_time_zone;
  if (atomic_copy) out["atomic_copy"] = "true";
  for (const auto& [name, value] : overrides) out[std::string(kOverridePrefix) + name] = value;
  return out;
}

StreamSettings StreamSettings::from_options(const google::protobuf::Map<std::string, std::string>& options) {
  auto text = [&](const char* name) {
    const auto found = options.find(name);
    return found == options.end() ? std::string() : found->second;
  };
  StreamSettings settings;
  for (const auto& cell : base::split_list(text("cells"))) settings.cells.emplace_back(cell);
  for (const auto& word : base::split_list(text("tablet_types"))) {
    ::topodata::TabletType type = ::topodata::UNKNOWN;
    if (::topodata::TabletType_Parse(std::string(word), &type)) settings.tablet_types.push_back(type);
  }
  if (text("in_order") == "false") settings.preference = ::tabletmanagerdata::ANY;
  settings.on_ddl = text("on_ddl");
  settings.stop_after_copy = text("stop_after_copy") == "true";
  settings.defer_secondary_keys = text("defer_secondary_keys") == "true";
  settings.source_time_zone = text("source_time_zone");
  settings.atomic_copy = text("atomic_copy") == "true";
  for (const auto& [name, value] : options) {
    if (name.starts_with(kOverridePrefix)) settings.overrides[name.substr(kOverridePrefix.size())] = value;
  }
  return settings;
}

StreamSettings StreamSettings::from_streams(const ::tabletmanagerdata::ReadVReplicationWorkflowResponse& streams) {
  StreamSettings settings;
  for (const auto& cell : base::split_list(streams.cells())) settings.cells.emplace_back(cell);
  for (const auto type : streams.tablet_types()) {
    settings.tablet_types.push_back(static_cast<::topodata::TabletType>(type));
  }
  settings.preference = streams.tablet_selection_preference();
  settings.defer_secondary_keys = streams.defer_secondary_keys();
  settings.atomic_copy = streams.workflow_sub_type() == ::binlogdata::AtomicCopy;
  if (streams.streams_size() > 0) {
    settings.on_ddl = ::binlogdata::OnDDLAction_Name(streams.streams(0).bls().on_ddl());
    settings.stop_after_copy = streams.streams(0).bls().stop_after_copy();
    settings.source_time_zone = streams.streams(0).bls().source_time_zone();
  }
  return settings;
}

::binlogdata::OnDDLAction StreamSettings::on_ddl_action() const {
  ::binlogdata::OnDDLAction action = ::binlogdata::IGNORE;
  if (!on_ddl.empty()) (void)::binlogdata::OnDDLAction_Parse(on_ddl, &action);
  return action;
}

void StreamSettings::apply_to(::tabletmanagerdata::CreateVReplicationWorkflowRequest& request) const {
  for (const auto& cell : cells) request.add_cells(cell);
  for (const auto type : tablet_types) request.add_tablet_types(type);
  if (tablet_types.empty()) {
    request.add_tablet_types(::topodata::REPLICA);
    request.add_tablet_types(::topodata::PRIMARY);
  }
  request.set_tablet_selection_preference(preference);
  request.set_stop_after_copy(stop_after_copy);
  request.set_defer_secondary_keys(defer_secondary_keys);
  if (atomic_copy) request.set_workflow_sub_type(::binlogdata::AtomicCopy);
}

void StreamSettings::update(const ::tabletmanagerdata::UpdateVReplicationWorkflowRequest& change) {
  if (change.cells_size() > 0 && change.cells(0) != "NULL") cells = {change.cells().begin(), change.cells().end()};
  if (change.tablet_types_size() > 0 && change.tablet_types(0) > 0) {
    tablet_types.clear();
    for (const auto type : change.tablet_types()) tablet_types.push_back(static_cast<::topodata::TabletType>(type));
  }
  if (change.has_tablet_selection_preference() &&
      change.tablet_selection_preference() != ::tabletmanagerdata::UNKNOWN) {
    preference = change.tablet_selection_preference();
  }
  for (const auto& [name, value] : change.config_overrides()) overrides[name] = value;
  if (change.has_on_ddl()) on_ddl = ::binlogdata::OnDDLAction_Name(change.on_ddl());
}

net::Task<Status> check_sources(topo::Server& topology, std::vector<std::string> cells, std::vector<int> types) {
  for (const int type : types) {
    if (type == ::topodata::PRIMARY || type == ::topodata::REPLICA || type == ::topodata::RDONLY || type <= 0) continue;
    co_return fail(Code::kInvalidArgument,
                   fmt::format("streams read from PRIMARY, REPLICA and RDONLY tablets, not from {}",
                               ::topodata::TabletType_Name(static_cast<::topodata::TabletType>(type))));
  }
  std::erase(cells, "NULL");
  std::erase(cells, "");
  if (cells.empty()) co_return Status{};
  auto known = co_await topo::expand_cells(topology, std::move(cells));
  if (!known.ok()) co_return std::move(known).error();
  co_return Status{};
}

std::string stream_options(const engine::Record& record) {
  ::vtctldata::WorkflowOptions options;
  for (const auto& [name, value] : record.options()) {
    if (name == kTenantOption) options.set_tenant_id(value);
    if (name.starts_with(kOverridePrefix)) (*options.mutable_config())[name.substr(kOverridePrefix.size())] = value;
  }
  std::string text;
  google::protobuf::util::JsonPrintOptions print;
  print.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(options, &text, print).ok()) return "{}";
  return text;
}

Status check_on_ddl(const std::string& word) {
  ::binlogdata::OnDDLAction action = ::binlogdata::IGNORE;
  if (word.empty() || ::binlogdata::OnDDLAction_Parse(word, &action)) return {};
  return fail(Code::kInvalidArgument, "--on-ddl is IGNORE, STOP, EXEC or EXEC_IGNORE, not " + word);
}

net::Task<Status> deny_tables(TabletClient& tablets, topo::WriteGuard guard, std::string keyspace, std::string shard,
                              std::vector<std::string> tables, bool deny) {
  if (tables.empty()) co_return Status{};
  const topo::DeniedTablesUpdate update{.remove = !deny, .tables = std::move(tables)};
  auto updated = co_await topo::update_shard_fields(
      tablets.topology(), std::move(keyspace), std::move(shard),
      [update](::topodata::Shard& record) -> Result<bool> {
        RETURN_IF_ERROR(topo::apply_denied_tables(record, update));
        return true;
      },
      {}, std::move(guard));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

}  // namespace vitrail::control
