#include "control/workflow/write_switch.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "control/workflow/model.h"
#include "control/workflow/mirror.h"
#include "control/workflow/partial.h"
#include "control/workflow/stream_settings.h"
#include "control/workflow/target_sequences.h"
#include "control/workflow/tenant.h"
#include "movement/filter.h"
#include "mysql/convert.h"
#include "shard/vindex.h"
#include "sql/printer.h"
#include "topo/cells.h"
#include "topo/srv_keyspace.h"
#include "topo/workflow_fence.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/srv_keyspace.h"

namespace vitrail::control {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

namespace {
// For a cell's store, where a fence comes up or goes: clients of the other cells wait for as long.
constexpr auto kCellWait = 5s;

// How a filter names the vindex. It has to tell a row's place from the row alone, wherever the row is read.
Result<std::string> vindex_in_filter(const ::vschema::Keyspace& vschema, const std::string& keyspace,
                                     const std::string& table, const std::string& name, VindexBy by) {
  const auto found = vschema.vindexes().find(name);
  if (found == vschema.vindexes().end()) {
    return fail(Code::kFailedPrecondition, fmt::format("keyspace {} has no vindex {}", keyspace, name));
  }
  const auto refuse = [&](std::string_view why) {
    return fail(Code::kFailedPrecondition,
                fmt::format("vindex {} of table {} in keyspace {} {}", name, table, keyspace, why));
  };
  // The file is the tablets', which may have it where this process does not.
  const bool reads_file = found->second.params().contains("json_path");
  if (reads_file && by == VindexBy::kDefinition) {
    return refuse("reads a file, which the tablets of another cluster do not have: give it the parameter json instead");
  }
  if (!reads_file) {
    shard::VindexParameters parameters;
    for (const auto& [key, value] : found->second.params()) parameters[key] = value;
    const auto made = shard::create_vindex(found->second.type(), name, parameters);
    if (!made.ok() || !(*made)->is_unique()) {
      return refuse("does not tell a row's shard from the row alone: it is a lookup, or of a type that is not known");
    }
  }
  return by == VindexBy::kName ? keyspace + "." + name : movement::vindex_definition(found->second);
}

}  // namespace

Result<std::string> table_filter(const ::vschema::Keyspace& vschema, const std::string& keyspace,
                                 const std::string& table, const shard::ShardName& shard, VindexBy by) {
  const std::string quoted = sql::quote_identifier_if_needed(table);
  if (!vschema.sharded()) return "select * from " + quoted;
  const auto found = vschema.tables().find(table);
  if (found != vschema.tables().end() && found->second.type() == "reference") return "select * from " + quoted;
  if (found == vschema.tables().end() || found->second.column_vindexes().empty()) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("table {} has no primary vindex in the vschema of the sharded keyspace {}", table, keyspace));
  }
  const auto& vindex = found->second.column_vindexes(0);
  std::string columns;
  if (!vindex.column().empty()) columns = sql::quote_identifier_if_needed(vindex.column());
  if (columns.empty()) {
    for (const auto& column : vindex.columns()) {
      columns += (columns.empty() ? "" : ", ") + sql::quote_identifier_if_needed(column);
    }
  }
  const std::string range = shard.key_range() ? shard.str() : "-";
  ASSIGN_OR_RETURN(const std::string name, vindex_in_filter(vschema, keyspace, table, vindex.name(), by));
  std::string literal;
  mysql::append_sql_string(literal, name);
  return fmt::format("select * from {} where in_keyrange({}, {}, '{}')", quoted, columns, literal, range);
}

// --- the plan -------------------------------------------------------------------------------------------------------

std::map<std::string, std::string> SwitchPlan::to_settings() const {
  std::vector<std::string> types;
  for (const auto type : read_types) types.push_back(::topodata::TabletType_Name(type));
  return {
      {"reverse", reverse ? "true" : "false"},
      {"writes", writes ? "true" : "false"},
      {"read_types", base::join(types, ",")},
      {"cells", base::join(cells, ",")},
      {"moving_reads", base::join(moving_reads, ",")},
      {"enable_reverse_replication", enable_reverse_replication ? "true" : "false"},
      {"initialize_sequences", initialize_sequences ? "true" : "false"},
      {"skip_refresh", skip_refresh ? "true" : "false"},
      {"timeout_ms", std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count())},
  };
}

SwitchPlan SwitchPlan::from_settings(const google::protobuf::Map<std::string, std::string>& settings) {
  auto text = [&](const char* name, const char* missing = "") {
    const auto found = settings.find(name);
    return found == settings.end() ? std::string(missing) : found->second;
  };
  auto list = [&](const char* name) {
    std::vector<std::string> out;
    for (const auto& word : base::split_list(text(name))) out.emplace_back(word);
    return out;
  };
  SwitchPlan plan;
  plan.reverse = text("reverse") == "true";
  plan.writes = text("writes", "true") == "true";
  for (const auto& name : list("read_types")) {
    ::topodata::TabletType type = ::topodata::UNKNOWN;
    if (::topodata::TabletType_Parse(name, &type)) plan.read_types.push_back(type);
  }
  plan.cells = list("cells");
  plan.moving_reads = list("moving_reads");
  plan.enable_reverse_replication = text("enable_reverse_replication", "true") == "true";
  plan.initialize_sequences = text("initialize_sequences") == "true";
  plan.skip_refresh = text("skip_refresh") == "true";
  if (const long ms = std::atol(text("timeout_ms").c_str()); ms > 0) plan.timeout = std::chrono::milliseconds(ms);
  return plan;
}

// --- the operation --------------------------------------------------------------------------------------------------

SwitchOperation::SwitchOperation(TabletClient& tablets, engine::Tenure& tenure, SwitchPlan plan, Side source,
                                 Side target)
    : tablets_(tablets),
      tenure_(tenure),
      plan_(std::move(plan)),
      source_(std::move(source)),
      target_(std::move(target)),
      from_(plan_.reverse ? target_ : source_),
      to_(plan_.reverse ? source_ : target_),
      tables_(tenure.record().tables().begin(), tenure.record().tables().end()) {}

std::string SwitchOperation::stream_name() const {
  return plan_.reverse ? reverse_workflow_name(record().workflow()) : record().workflow();
}
std::string SwitchOperation::reverse_name() const {
  return plan_.reverse ? record().workflow() : reverse_workflow_name(record().workflow());
}

std::vector<engine::Step> SwitchOperation::steps() {
  // A lambda here only calls a member coroutine: it is no coroutine itself.
  std::vector<engine::Step> steps;
  auto add = [&steps](const char* id, std::function<net::Task<Status>()> apply,
                      std::function<net::Task<Status>()> undo = {}) -> engine::Step& {
    return steps.emplace_back(engine::Step{.id = id, .apply = std::move(apply), .undo = std::move(undo)});
  };
  if (!plan_.read_types.empty()) {
    add("switch_reads", [this] { return switch_reads(false); }, [this] { return switch_reads(true); });
  }
  if (!plan_.writes) return steps;
  if (is_tenant(record())) return add_tenant_steps(std::move(steps));
  add(
      "create_reverse_streams", [this] { return create_reverse_streams(); },
      [this] { return delete_created_streams(); });
  add("stop_writes", [this] { return stop_writes(); }, [this] { return allow_writes(); }).undo_first = true;
  add("catch_up", [this] { return catch_up(); });
  // No write is under way: the largest id is the last one. A sequence that was raised for nothing does no harm.
  if (plan_.initialize_sequences) add("initialize_sequences", [this] { return initialize_sequences(); });
  add("stop_streams", [this] { return stop_streams(true); }, [this] { return stop_streams(false); });
  add("position_reverse_streams", [this] { return position_reverse_streams(); });
  add("journal", [this] { return write_journal(); }).point_of_no_return = true;
  add("allow_target_writes", [this] { return allow_target_writes(); });
  add("switch_routing", [this] { return switch_routing(); });
  add("start_reverse_streams", [this] { return start_reverse_streams(); });
  add("freeze_streams", [this] { return freeze_streams(); });
  return steps;
}

// The tenant's rows cannot be brought back from among those of others, and the target serves as it always did.
std::vector<engine::Step> SwitchOperation::add_tenant_steps(std::vector<engine::Step> steps) {
  steps.push_back(
      {.id = "stop_writes", .apply = [this] { return stop_writes(); }, .undo = [this] { return allow_writes(); }});
  steps.back().undo_first = true;
  steps.push_back({.id = "catch_up", .apply = [this] { return catch_up(); }, .undo = {}});
  if (plan_.initialize_sequences) {
    steps.push_back({.id = "initialize_sequences", .apply = [this] { return initialize_sequences(); }, .undo = {}});
  }
  steps.push_back({.id = "stop_streams",
                   .apply = [this] { return stop_streams(true); },
                   .undo = [this] { return stop_streams(false); }});
  steps.push_back({.id = "journal", .apply = [this] { return write_journal(); }, .undo = {}});
  steps.back().point_of_no_return = true;
  steps.push_back({.id = "switch_routing", .apply = [this] { return switch_routing(); }, .undo = {}});
  steps.push_back({.id = "freeze_streams", .apply = [this] { return freeze_streams(); }, .undo = {}});
  return steps;
}

bool SwitchOperation::close(engine::Record& record, bool undone) {
  if (!undone && plan_.writes) record.set_writes_switched(!plan_.reverse);
  return false;
}

net::Task<Status> SwitchOperation::initialize_sequences() {
  CO_ASSIGN_OR_RETURN(auto sequences,
                      co_await read_target_sequences(tablets_, from_, record().target_keyspace(), tables_));
  for (auto& one : sequences) {
    CO_RETURN_IF_ERROR(co_await raise_sequence(tablets_, tenure_.fence(), std::move(one), wait()));
  }
  co_return Status{};
}

// --- reads ----------------------------------------------------------------------------------------------------------

net::Task<Status> SwitchOperation::switch_reads(bool undo) {
  const bool reverse = plan_.reverse != undo;
  // A cell may have gone away meanwhile: undone is what there is.
  const std::vector<std::string> wanted = undo ? std::vector<std::string>() : plan_.cells;
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(topology(), wanted));
  // Undone is only what this operation has moved.
  auto moved = [&](::topodata::TabletType type, const std::string& cell) {
    if (!undo) return true;
    const std::string name = ::topodata::TabletType_Name(type) + "@" + cell;
    return std::ranges::find(plan_.moving_reads, name) != plan_.moving_reads.end();
  };
  if (is_reshard()) {
    CO_RETURN_IF_ERROR(co_await topo::update_srv_keyspaces(
        topology(), record().target_keyspace(), cells,
        [&](const std::string& cell, ::topodata::SrvKeyspace& srv) -> Result<bool> {
          for (const auto type : plan_.read_types) {
            if (!moved(type, cell)) continue;
            RETURN_IF_ERROR(reverse ? vschema::reverse_reads(srv, type, source_.names(), target_.names())
                                    : vschema::switch_reads(srv, type, source_.names(), target_.names()));
          }
          return true;
        },
        tenure_.guard()));
    const Side nobody;
    const bool skip = plan_.skip_refresh && !undo;
    co_return co_await refresh_everything(tablets_, skip && !reverse ? nobody : source_,
                                          skip && reverse ? nobody : target_,
                                          net::Wait::within(undo ? 10s : plan_.timeout));
  }
  std::vector<::topodata::TabletType> types;
  for (const auto type : plan_.read_types) {
    if (moved(type, "")) types.push_back(type);
  }
  if (is_tenant(record())) {
    const std::string to = reverse ? record().source_keyspace() : record().target_keyspace();
    co_return co_await set_tenant_rules(topology(), tenure_.guard(), record().source_keyspace(), to, types, wanted);
  }
  auto updated = co_await topo::update_routing_rules(
      topology(),
      [&](::vschema::RoutingRules& rules) -> Result<bool> {
        reverse ? vschema::reverse_reads(rules, move(), types) : vschema::switch_reads(rules, move(), types);
        return true;
      },
      tenure_.guard());
  if (!updated.ok()) co_return std::move(updated).error();
  if (!reverse) CO_RETURN_IF_ERROR(co_await remove_mirrors(topology(), tenure_.guard(), move(), types));
  co_return co_await topo::rebuild_srv_vschema(topology(), wanted);
}

// --- writes, before they stop ---------------------------------------------------------------------------------------

Result<tmd::CreateVReplicationWorkflowRequest> SwitchOperation::reverse_streams(
    const Place& place, const ::vschema::Keyspace& from_vschema) const {
  ASSIGN_OR_RETURN(const auto here, shard::ShardName::parse(place.shard));
  tmd::CreateVReplicationWorkflowRequest request;
  request.set_workflow(reverse_name());
  request.set_workflow_type(is_reshard() ? ::binlogdata::Reshard : ::binlogdata::MoveTables);
  if (is_partial(record())) request.set_workflow_sub_type(::binlogdata::Partial);
  request.set_auto_start(false);
  StreamSettings settings;
  if (plan_.reverse) settings = StreamSettings::from_options(record().options());
  request.set_options(stream_options(record()));
  if (!plan_.reverse) settings.tablet_types = {::topodata::PRIMARY};
  settings.apply_to(request);
  for (const auto& there : to_.places) {
    ASSIGN_OR_RETURN(const auto name, shard::ShardName::parse(there.shard));
    if (is_reshard() && !here.covered_range().intersects(name.covered_range())) continue;
    if (is_partial(record()) && there.shard != place.shard) continue;
    auto* bls = request.add_binlog_source();
    bls->set_keyspace(to_.keyspace);
    bls->set_shard(there.shard);
    bls->set_on_ddl(settings.on_ddl_action());
    if (const std::string zone = StreamSettings::from_options(record().options()).source_time_zone; !zone.empty()) {
      bls->set_source_time_zone(plan_.reverse ? zone : "UTC");
      bls->set_target_time_zone(plan_.reverse ? "UTC" : zone);
    }
    if (is_reshard()) {
      auto* rule = bls->mutable_filter()->add_rules();
      rule->set_match("/.*");
      rule->set_filter(here.key_range() ? place.shard : "");
      continue;
    }
    for (const auto& table : tables_) {
      auto* rule = bls->mutable_filter()->add_rules();
      rule->set_match(table);
      ASSIGN_OR_RETURN(const auto filter, table_filter(from_vschema, from_.keyspace, table, here));
      rule->set_filter(filter);
    }
  }
  return request;
}

// Streams of the name that are there already are this workflow's own, of an earlier switch, and are used again: when
// reversing they are the workflow itself, with all that it was created with.
net::Task<Status> SwitchOperation::find_reverse_streams(Place place, char& present) {
  CO_ASSIGN_OR_RETURN(const auto found, co_await read_streams(tablets_, *place.primary, reverse_name(), wait()));
  for (const auto& stream : found.streams()) {
    if (stream.bls().keyspace() == to_.keyspace) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("the streams {} on {}/{} belong to another workflow: they come from keyspace {}",
                               reverse_name(), from_.keyspace, place.shard, stream.bls().keyspace()));
  }
  present = found.streams_size() > 0 ? 1 : 0;
  co_return Status{};
}

net::Task<Status> SwitchOperation::create_reverse_streams_on(Place place, const ::vschema::Keyspace& from_vschema) {
  CO_ASSIGN_OR_RETURN(auto request, reverse_streams(place, from_vschema));
  topo::set_fence(request, tenure_.fence());
  auto created = co_await tablets_.call<tmd::CreateVReplicationWorkflowResponse>(
      *place.primary, "CreateVReplicationWorkflow", std::move(request), wait());
  if (created.ok() || created.error().code() == Code::kAlreadyExists) co_return Status{};
  co_return std::move(created).error().with_context("create the reverse workflow " + reverse_name());
}

net::Task<Status> SwitchOperation::reload(Side& side) {
  CO_ASSIGN_OR_RETURN(side, co_await load_side_again(tablets_, side));
  co_return check_primaries(side);
}

// Made before writes stop, so that only their positions have to be set while they are stopped.
net::Task<Status> SwitchOperation::create_reverse_streams() {
  CO_RETURN_IF_ERROR(co_await reload(from_));
  CO_RETURN_IF_ERROR(co_await reload(to_));
  std::vector<char> present(from_.places.size());
  std::vector<size_t> all;
  for (size_t i = 0; i < from_.places.size(); ++i) all.push_back(i);
  CO_RETURN_IF_ERROR(co_await for_all<size_t>(
      std::move(all), [&](size_t i) { return find_reverse_streams(from_.places[i], present[i]); }));
  std::vector<Place> without;
  for (size_t i = 0; i < from_.places.size(); ++i) {
    if (present[i] == 0) without.push_back(from_.places[i]);
  }
  if (without.empty()) co_return Status{};
  ::vschema::Keyspace from_vschema;
  if (!is_reshard()) {
    auto stored = co_await topo::get_vschema(topology(), from_.keyspace);
    if (stored.ok()) {
      from_vschema = std::move(stored->record);
    } else if (stored.error().code() != Code::kNotFound) {
      co_return std::move(stored).error();
    }
  }
  // Of all shards in one write: the record names each of them.
  CO_RETURN_IF_ERROR(co_await tenure_.change([&](engine::Record& record) {
    for (auto& step : *record.mutable_open()->mutable_steps()) {
      if (step.name() != "create_reverse_streams") continue;
      for (const auto& place : without) (*step.mutable_notes())["created " + place.shard] = "true";
    }
  }));
  co_return co_await for_all<Place>(
      std::move(without), [&](Place place) { return create_reverse_streams_on(std::move(place), from_vschema); });
}

net::Task<Status> SwitchOperation::delete_created_streams() {
  std::vector<::topodata::Tablet> where;
  for (const auto& place : from_.places) {
    if (engine::find_note(record(), "create_reverse_streams", "created " + place.shard) == nullptr) continue;
    if (place.primary) where.push_back(*place.primary);
  }
  co_return co_await delete_streams(tablets_, tenure_.fence(), std::move(where), reverse_name(),
                                    net::Wait::within(10s));
}

// --- writes, while they are stopped ---------------------------------------------------------------------------------

// So that transactions over several shards of the "from" side end before one of the shards refuses them. It is a
// courtesy: whatever comes of it, the fence holds.
net::Task<void> SwitchOperation::let_transactions_end() {
  ::workflowdata::HoldTransactionsRequest request;
  if (!is_reshard()) request.mutable_tables()->Add(tables_.begin(), tables_.end());
  Status held = co_await call_all<::workflowdata::HoldTransactionsResponse>(
      tablets_, from_.primaries(), "HoldTransactions", std::move(request), net::Wait::within(10s));
  if (!held.ok()) log_info("{}: transactions are not awaited: {}", record().workflow(), held.error().message());
}

// The fence: from here on nothing is written on the "from" side. RefreshState returns when what was under way has
// ended. Who the primaries are is read behind the records: whoever is promoted later has read the fence.
net::Task<Status> SwitchOperation::stop_writes() {
  co_await let_transactions_end();
  CO_RETURN_IF_ERROR(co_await write_fence(true));
  CO_ASSIGN_OR_RETURN(from_, co_await load_side_again(tablets_, from_));
  CO_RETURN_IF_ERROR(check_primaries(from_));  // Where there is none now, nobody writes.
  co_return co_await refresh_all(tablets_, from_.primaries(), wait());
}

net::Task<Status> SwitchOperation::write_fence(bool stop) {
  if (!is_reshard()) {
    co_return co_await for_all<Place>(from_.places, [&](Place place) {
      return deny_tables(tablets_, tenure_.guard(), from_.keyspace, place.shard, tables_, stop);
    });
  }
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology()));
  co_return co_await topo::update_srv_keyspaces(
      topology(), from_.keyspace, cells,
      [&](const std::string&, ::topodata::SrvKeyspace& srv) -> Result<bool> {
        RETURN_IF_ERROR(stop ? vschema::stop_writes(srv, from_.names()) : vschema::allow_writes(srv, from_.names()));
        return true;
      },
      tenure_.guard(), net::Wait::within(kCellWait));
}

// Each shard by itself: one that cannot be told, or a cell that does not answer, must not keep the fence on the others.
net::Task<Status> SwitchOperation::allow_writes() {
  Status written = co_await write_fence(false);
  if (tenure_.lost()) co_return written;
  auto refresh = [this](Place place) {
    return [](TabletClient& tablets, std::string keyspace, std::string shard) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto now, co_await load_side(tablets, keyspace, {shard}));
      co_return co_await refresh_all(tablets, now.primaries(), net::Wait::within(10s));
    }(tablets_, from_.keyspace, place.shard);
  };
  Status refreshed = co_await for_all<Place>(from_.places, refresh);
  co_return written.ok() ? std::move(refreshed) : std::move(written);
}

net::Task<Status> SwitchOperation::catch_up() {
  struct WaitFor {
    ::topodata::Tablet tablet;
    int32_t id;
    std::string shard;
  };
  std::map<std::string, std::string> positions;
  auto read_position = [&](Place place) {
    return [](TabletClient& tablets, Place what, std::string& out, net::Wait until) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto position,
                          co_await tablets.call<tmd::PrimaryPositionResponse>(*what.primary, "PrimaryPosition",
                                                                              tmd::PrimaryPositionRequest(), until));
      out = position.position();
      co_return Status{};
    }(tablets_, place, positions[place.shard], wait());
  };
  CO_RETURN_IF_ERROR(co_await for_all<Place>(from_.places, read_position));
  std::vector<WaitFor> waits;
  auto find_streams = [&](Place place) {
    return [](SwitchOperation& self, Place what, std::vector<WaitFor>& out) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto streams,
                          co_await read_streams(self.tablets_, *what.primary, self.stream_name(), self.wait()));
      if (streams.streams_size() == 0) {
        co_return fail(Code::kFailedPrecondition, fmt::format("shard {}/{} has no streams of workflow {}",
                                                              self.to_.keyspace, what.shard, self.stream_name()));
      }
      for (const auto& stream : streams.streams()) out.push_back({*what.primary, stream.id(), stream.bls().shard()});
      co_return Status{};
    }(*this, place, waits);
  };
  CO_RETURN_IF_ERROR(co_await for_all<Place>(to_.places, find_streams));
  co_return co_await for_all<WaitFor>(std::move(waits), [&](WaitFor item) {
    return [](TabletClient& tablets, WaitFor what, std::string position, net::Wait until) -> net::Task<Status> {
      tmd::VReplicationWaitForPosRequest request;
      request.set_id(what.id);
      request.set_position(std::move(position));
      auto reached = co_await tablets.call<tmd::VReplicationWaitForPosResponse>(what.tablet, "VReplicationWaitForPos",
                                                                                std::move(request), until);
      if (reached.ok()) co_return Status{};
      co_return std::move(reached).error().with_context("failed to sync up replication between the source and target");
    }(tablets_, item, positions[item.shard], wait());
  });
}

net::Task<Status> SwitchOperation::stop_streams(bool stop) {
  co_return co_await set_streams(tablets_, tenure_.fence(), to_.primaries(), stream_name(),
                                 stop ? ::binlogdata::Stopped : ::binlogdata::Running,
                                 stop ? "stopped for cutover" : "", stop ? wait() : net::Wait::within(10s));
}

net::Task<Status> SwitchOperation::position_reverse_streams() {
  auto read_position = [&](Place place) {
    return [](TabletClient& tablets, Place what, std::string& out, net::Wait until) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto position,
                          co_await tablets.call<tmd::PrimaryPositionResponse>(*what.primary, "PrimaryPosition",
                                                                              tmd::PrimaryPositionRequest(), until));
      out = position.position();
      co_return Status{};
    }(tablets_, place, positions_[place.shard], wait());
  };
  CO_RETURN_IF_ERROR(co_await for_all<Place>(to_.places, read_position));
  CO_RETURN_IF_ERROR(co_await tenure_.check());
  co_return co_await for_all<::topodata::Tablet>(from_.primaries(), [this](::topodata::Tablet tablet) {
    return [](SwitchOperation& self, ::topodata::Tablet where) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto streams,
                          co_await read_streams(self.tablets_, where, self.reverse_name(), self.wait()));
      std::string positions, ids;
      for (const auto& stream : streams.streams()) {
        positions += fmt::format(" when {} then '{}'", stream.id(), self.positions_[stream.bls().shard()]);
        ids += fmt::format("{}{}", ids.empty() ? "" : ", ", stream.id());
      }
      if (ids.empty()) co_return Status{};
      tmd::VReplicationExecRequest request;
      // As of now both sides have the same rows: the streams lag by nothing until they say otherwise.
      request.set_query(
          fmt::format("update _vt.vreplication set pos = case id{} else pos end, time_heartbeat = unix_timestamp() "
                      "where id in ({})",
                      positions, ids));
      topo::set_fence(request, self.tenure_.fence());
      auto done = co_await self.tablets_.call<tmd::VReplicationExecResponse>(where, "VReplicationExec",
                                                                             std::move(request), self.wait());
      co_return done.ok() ? Status{} : Status(std::move(done).error());
    }(*this, std::move(tablet));
  });
}

// The journal tells streams of others that read the "from" side where to go on.
net::Task<Status> SwitchOperation::write_journal() {
  if (positions_.empty()) {  // Another process did the steps before: the streams know their positions.
    auto read = [this](::topodata::Tablet tablet) {
      return [](SwitchOperation& self, ::topodata::Tablet where) -> net::Task<Status> {
        CO_ASSIGN_OR_RETURN(const auto streams,
                            co_await read_streams(self.tablets_, std::move(where), self.reverse_name(), self.wait()));
        for (const auto& stream : streams.streams()) self.positions_[stream.bls().shard()] = stream.pos();
        co_return Status{};
      }(*this, std::move(tablet));
    };
    if (!is_tenant(record())) CO_RETURN_IF_ERROR(co_await for_all<::topodata::Tablet>(from_.primaries(), read));
  }
  uint64_t id = 14695981039346656037ull;  // FNV-1, 64 bits, of the target keyspace and its shards' primaries.
  auto mix = [&id](std::string_view text) {
    for (const char c : text) {
      id *= 1099511628211ull;
      id ^= static_cast<uint8_t>(c);
    }
  };
  mix(to_.keyspace);
  for (const auto& place : to_.places) {
    if (place.primary) mix(fmt::format("{}:{}", place.shard, place.primary->alias().uid()));
  }
  id &= INT64_MAX;
  std::string journal = fmt::format("id:{} migration_type:{}", id, is_reshard() ? "SHARDS" : "TABLES");
  for (const auto& table : tables_) journal += fmt::format(" tables:\"{}\"", table);
  for (const auto& [name, position] : positions_) {
    journal += fmt::format(" shard_gtids:{{keyspace:\"{}\" shard:\"{}\" gtid:\"{}\"}}", to_.keyspace, name, position);
  }
  for (const auto& place : from_.places) {
    journal += fmt::format(" participants:{{keyspace:\"{}\" shard:\"{}\"}}", from_.keyspace, place.shard);
  }
  journal += fmt::format(" source_workflows:\"{}\"", stream_name());
  co_return co_await for_all<::topodata::Tablet>(from_.primaries(), [&](::topodata::Tablet tablet) {
    tmd::VReplicationExecRequest request;
    request.set_query(fmt::format("replace into _vt.resharding_journal (id, db_name, val) values ({}, '{}', '{}')", id,
                                  topo::tablet_db_name(tablet), journal));
    topo::set_fence(request, tenure_.fence());
    return call_all<tmd::VReplicationExecResponse>(tablets_, {std::move(tablet)}, "VReplicationExec",
                                                   std::move(request), wait());
  });
}

// --- behind the point of no return ----------------------------------------------------------------------------------

net::Task<Status> SwitchOperation::allow_target_writes() {
  if (!is_reshard()) {
    CO_RETURN_IF_ERROR(co_await for_all<Place>(to_.places, [this](Place place) {
      return deny_tables(tablets_, tenure_.guard(), to_.keyspace, place.shard, tables_, false);
    }));
    CO_RETURN_IF_ERROR(co_await reload(to_));
    co_return co_await refresh_all(tablets_, to_.primaries(), wait());
  }
  for (const auto& [serving, side] : {std::pair{false, &from_}, std::pair{true, &to_}}) {
    const bool value = serving;
    CO_RETURN_IF_ERROR(co_await for_all<Place>(side->places, [this, value](Place place) {
      return [](SwitchOperation& self, std::string shard, bool serves) -> net::Task<Status> {
        auto updated = co_await topo::update_shard_fields(
            self.topology(), self.to_.keyspace, shard,
            [serves](::topodata::Shard& record) -> Result<bool> {
              record.set_is_primary_serving(serves);
              // A shard that serves has no filtered replication into it any more.
              if (serves) record.clear_source_shards();
              return true;
            },
            {}, self.tenure_.guard());
        if (!updated.ok()) co_return std::move(updated).error();
        co_return Status{};
      }(*this, place.shard, value);
    }));
  }
  CO_RETURN_IF_ERROR(co_await reload(to_));
  co_return co_await refresh_all(tablets_, to_.primaries(), wait());
}

net::Task<Status> SwitchOperation::switch_routing() {
  if (is_reshard()) {
    CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology()));
    CO_RETURN_IF_ERROR(co_await topo::update_srv_keyspaces(
        topology(), to_.keyspace, cells,
        [&](const std::string&, ::topodata::SrvKeyspace& srv) -> Result<bool> {
          RETURN_IF_ERROR(vschema::switch_writes(srv, from_.names(), to_.names()));
          return true;
        },
        tenure_.guard()));
    CO_RETURN_IF_ERROR(co_await reload(from_));
    co_return co_await refresh_all(tablets_, from_.primaries(), wait());
  }
  if (is_partial(record())) co_return co_await route_shards();
  if (is_tenant(record())) {
    co_return co_await set_tenant_rules(topology(), tenure_.guard(), record().source_keyspace(),
                                        record().target_keyspace(), {::topodata::PRIMARY});
  }
  auto updated = co_await topo::update_routing_rules(
      topology(),
      [&](::vschema::RoutingRules& rules) -> Result<bool> {
        plan_.reverse ? vschema::reverse_writes(rules, move()) : vschema::switch_writes(rules, move());
        return true;
      },
      tenure_.guard());
  if (!updated.ok()) co_return std::move(updated).error();
  if (!plan_.reverse) {
    CO_RETURN_IF_ERROR(co_await remove_mirrors(topology(), tenure_.guard(), move(), {::topodata::PRIMARY}));
  }
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> SwitchOperation::route_shards() {
  const std::vector<std::string> shards(record().source_shards().begin(), record().source_shards().end());
  auto updated = co_await topo::update_shard_routing_rules(
      topology(),
      [&](::vschema::ShardRoutingRules& rules) -> Result<bool> {
        vschema::route_shards(rules, from_.keyspace, to_.keyspace, shards);
        return true;
      },
      tenure_.guard());
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> SwitchOperation::start_reverse_streams() {
  if (!plan_.enable_reverse_replication) co_return Status{};
  co_return co_await set_streams(tablets_, tenure_.fence(), from_.primaries(), reverse_name(), ::binlogdata::Running,
                                 "", wait());
}

net::Task<Status> SwitchOperation::freeze_streams() {
  co_return co_await set_streams(tablets_, tenure_.fence(), to_.primaries(), stream_name(), ::binlogdata::Stopped,
                                 "FROZEN", wait());
}

// --- checks ---------------------------------------------------------------------------------------------------------

net::Task<Status> refresh_everything(TabletClient& tablets, const Side& source, const Side& target, net::Wait wait) {
  struct One {
    std::string keyspace, shard;
    const char* side;
  };
  std::vector<One> all;
  for (const auto& place : source.places) all.push_back({source.keyspace, place.shard, "source"});
  for (const auto& place : target.places) all.push_back({target.keyspace, place.shard, "target"});
  co_return co_await for_all<One>(std::move(all), [&](One one) {
    return [](TabletClient& client, One what, net::Wait until) -> net::Task<Status> {
      topo::TabletQuery query;
      query.keyspace = what.keyspace;
      query.shard = what.shard;
      CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(client.topology(), std::move(query)));
      if (!list.failed.empty()) co_return Error(list.failed.begin()->second);
      Status done = co_await refresh_all(client, std::move(list.tablets), until);
      if (done.ok()) co_return Status{};
      co_return fail(
          Code::kFailedPrecondition,
          fmt::format("could not refresh all of the tablets involved in the operation:\nfailed to successfully refresh "
                      "all tablets in the {}/{} {} shard: {}",
                      what.keyspace, what.shard, what.side, done.error().message()));
    }(tablets, std::move(one), wait);
  });
}

}  // namespace vitrail::control
