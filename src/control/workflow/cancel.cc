#include "control/workflow/cancel.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/workflow/cleanup.h"
#include "control/workflow/create.h"
#include "control/workflow/migrate.h"
#include "control/workflow/mirror.h"
#include "control/workflow/partial.h"
#include "control/workflow/records.h"
#include "control/workflow/tenant.h"
#include "control/workflow/write_switch.h"
#include "topo/cells.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/srv_keyspace.h"

namespace vitrail::control {

CancelOperation::CancelOperation(TabletClient& tablets, engine::Tenure& tenure, Side source, Side target)
    : tablets_(tablets),
      tenure_(tenure),
      source_(std::move(source)),
      target_(std::move(target)),
      tables_(tenure.record().tables().begin(), tenure.record().tables().end()),
      is_reshard_(tenure.record().kind() == "Reshard") {}

bool CancelOperation::flag(const char* name) const {
  const auto found = tenure_.open().settings().find(name);
  return found != tenure_.open().settings().end() && found->second == "true";
}

std::vector<engine::Step> CancelOperation::steps() {
  std::vector<engine::Step> steps;
  auto add = [&steps](const char* id, std::function<net::Task<Status>()> apply) {
    steps.push_back({.id = id, .apply = std::move(apply), .undo = {}});
  };
  if (only_follows(record())) {
    // Rules, denials and vschemas of these names are others' business.
    add("stop_streams", [this] { return stop_streams(); });
    steps.back().point_of_no_return = true;
    if (!flag("keep_data")) add("drop_target_tables", [this] { return drop_target_tables(); });
    add("delete_streams", [this] { return delete_all_streams(); });
    return steps;
  }
  add("restore_reads", [this] { return restore_reads(); });
  steps.back().point_of_no_return = true;
  add("stop_streams", [this] { return stop_streams(); });
  if (is_tenant(record())) {
    // The tables, and their entries in the vschema, are others' too.
    if (!flag("keep_data")) add("delete_target_rows", [this] { return delete_target_rows(); });
    if (!flag("keep_routing_rules")) add("remove_routing_rules", [this] { return remove_routing_rules(); });
    add("delete_streams", [this] { return delete_all_streams(); });
    return steps;
  }
  if (!flag("keep_data")) {
    add("drop_target_tables", [this] { return drop_target_tables(); });
    if (!is_reshard_ && !flag("keep_routing_rules")) {
      add("remove_from_target_vschema", [this] { return remove_from_target_vschema(); });
    }
  }
  // Behind the vschema: a name that two keyspaces have, and no rule, is ambiguous to clients.
  const bool last = !is_partial(record()) || flag("last");
  if (!is_reshard_ && !flag("keep_routing_rules") && last) {
    add("remove_routing_rules", [this] { return remove_routing_rules(); });
  }
  if (!is_reshard_) add("allow_target_tables", [this] { return allow_target_tables(); });
  add("delete_streams", [this] { return delete_all_streams(); });
  add("source_shards", [this] { return clear_sources(); });
  return steps;
}

bool CancelOperation::close(engine::Record&, bool) { return true; }

net::Task<Status> CancelOperation::restore_reshard_reads() {
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology()));
  bool moved = false;
  CO_RETURN_IF_ERROR(co_await topo::update_srv_keyspaces(
      topology(), record().target_keyspace(), cells,
      [&](const std::string&, ::topodata::SrvKeyspace& srv) -> Result<bool> {
        const std::string before = srv.SerializeAsString();
        for (const auto type : {::topodata::REPLICA, ::topodata::RDONLY}) {
          RETURN_IF_ERROR(vschema::reverse_reads(srv, type, source_.names(), target_.names()));
        }
        moved = moved || srv.SerializeAsString() != before;
        return true;
      },
      tenure_.guard()));
  if (!moved) co_return Status{};
  co_return co_await refresh_everything(tablets_, source_, target_, cleanup_wait());
}

net::Task<Status> CancelOperation::restore_reads() {
  if (is_reshard_) co_return co_await restore_reshard_reads();
  if (is_tenant(record())) {
    CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(tablets_, model_of(record())));
    if (!state.any_reads_switched()) co_return Status{};
    const std::string source = record().source_keyspace();
    co_return co_await set_tenant_rules(topology(), tenure_.guard(), source, source,
                                        {::topodata::REPLICA, ::topodata::RDONLY});
  }
  CO_RETURN_IF_ERROR(co_await remove_mirrors(topology(), tenure_.guard(), move(),
                                             {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY}));
  auto updated = co_await topo::update_routing_rules(
      topology(),
      [&](::vschema::RoutingRules& rules) -> Result<bool> {
        const ::topodata::TabletType types[] = {::topodata::REPLICA, ::topodata::RDONLY};
        // Without rules there is nothing to lead back, and none are made.
        if (vschema::find_rule(rules, tables_.empty() ? "" : tables_.front()) == nullptr) return false;
        vschema::reverse_reads(rules, move(), types);
        return true;
      },
      tenure_.guard());
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await topo::rebuild_srv_vschema(topology());
}

int64_t CancelOperation::batch_size() const {
  const auto found = tenure_.open().settings().find("batch_size");
  const long size = found == tenure_.open().settings().end() ? 0 : std::atol(found->second.c_str());
  return size > 0 ? size : 1000;
}

net::Task<Status> CancelOperation::delete_target_rows() {
  CO_RETURN_IF_ERROR(check_primaries(target_));
  co_return co_await for_all<::topodata::Tablet>(target_.primaries(), [this](::topodata::Tablet tablet) {
    return delete_tenant_rows(tablets_, tenure_.fence(), std::move(tablet), tables_, tenant_of(record()), batch_size());
  });
}

net::Task<Status> CancelOperation::remove_routing_rules() {
  if (is_tenant(record())) {
    co_return co_await remove_tenant_rules(topology(), tenure_.guard(), record().source_keyspace());
  }
  if (is_partial(record())) {
    CO_RETURN_IF_ERROR(co_await remove_shard_rules(topology(), tenure_.guard(), record()));
  }
  CO_RETURN_IF_ERROR(co_await remove_move_rules(
      topology(), tenure_.guard(), move(), {record().displaced_rules().begin(), record().displaced_rules().end()}));
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> CancelOperation::stop_streams() {
  return set_streams(tablets_, tenure_.fence(), target_.primaries(), record().workflow(), ::binlogdata::Stopped, "",
                     cleanup_wait());
}

net::Task<Status> CancelOperation::drop_tables_on(::topodata::Tablet tablet) {
  std::vector<std::string> tables = tables_;
  if (is_reshard_) {
    CO_ASSIGN_OR_RETURN(const auto present, co_await list_tables(tablets_, tablet));
    for (const auto& [name, is_view] : present) tables.push_back(name);
  }
  co_return co_await drop_tables(tablets_, tenure_.fence(), std::move(tablet), std::move(tables), false);
}

net::Task<Status> CancelOperation::drop_target_tables() {
  CO_RETURN_IF_ERROR(check_primaries(target_));
  co_return co_await for_all<::topodata::Tablet>(
      target_.primaries(), [this](::topodata::Tablet tablet) { return drop_tables_on(std::move(tablet)); });
}

net::Task<Status> CancelOperation::remove_from_target_vschema() {
  auto stored = co_await topo::get_vschema(topology(), record().target_keyspace());
  if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return std::move(stored).error();
  auto own = stored.ok() ? own_vschema_tables(record(), stored->record) : std::vector<std::string>();
  CO_RETURN_IF_ERROR(
      co_await remove_from_vschema(topology(), tenure_.guard(), record().target_keyspace(), std::move(own)));
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> CancelOperation::allow_target_tables() {
  co_return co_await allow_all_tables(tablets_, tenure_.guard(), target_, tables_);
}

net::Task<Status> CancelOperation::delete_all_streams() {
  CO_RETURN_IF_ERROR(
      co_await delete_streams(tablets_, tenure_.fence(), target_.primaries(), record().workflow(), cleanup_wait()));
  // Of a switch that was taken back.
  co_return co_await delete_streams(tablets_, tenure_.fence(), source_.primaries(),
                                    reverse_workflow_name(record().workflow()), cleanup_wait());
}

net::Task<Status> CancelOperation::clear_sources() {
  const bool has_sources =
      std::ranges::any_of(target_.places, [](const Place& place) { return place.record.source_shards_size() > 0; });
  if (!has_sources) co_return Status{};
  CO_RETURN_IF_ERROR(co_await clear_source_shards(tablets_, tenure_.guard(), target_));
  co_return co_await refresh_primaries(tablets_, target_, cleanup_wait());
}

namespace {

net::Task<Status> check_not_switched(TabletClient& tablets, const FoundWorkflow& found, const std::string& keyspace,
                                     const std::string& workflow) {
  const engine::Record& record = found.record();
  if (only_follows(record)) co_return Status{};
  const std::string refused = "cannot delete workflow because you have already switched write traffic";
  if (found.by_reverse_name) {
    if (record.writes_switched()) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("{}.{} is the reverse workflow of {}, whose writes are switched: without it no way "
                                 "would lead back; complete or reverse that one",
                                 keyspace, workflow, engine::name_of(record)));
    }
    co_return fail(Code::kFailedPrecondition, fmt::format("{}.{} is the reverse workflow of {}: cancel that one",
                                                          keyspace, workflow, engine::name_of(record)));
  }
  if (record.writes_switched()) co_return fail(Code::kFailedPrecondition, refused);
  CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(tablets, model_of(record)));
  if (!are_writes_switched(state, record)) co_return Status{};
  co_return fail(Code::kFailedPrecondition,
                 refused + ": the routing leads to its target, although no switch of it is recorded");
}

std::string cancelled(const ::vtctldata::WorkflowDeleteRequest& request) {
  return fmt::format("Successfully cancelled the {} workflow in the {} keyspace", request.workflow(),
                     request.keyspace());
}

net::Task<Result<::vtctldata::WorkflowDeleteResponse>> cancel_found(TabletClient& tablets,
                                                                    ::vtctldata::WorkflowDeleteRequest request) {
  CO_ASSIGN_OR_RETURN(const auto found, co_await find_workflow(tablets, request.keyspace(), request.workflow()));
  const engine::Record& record = found.record();
  CO_RETURN_IF_ERROR(check_all_shards(record, {request.shards().begin(), request.shards().end()}));
  if (record.kind() != "MoveTables" && request.keep_routing_rules()) {
    co_return fail(Code::kInvalidArgument,
                   fmt::format("--keep-routing-rules is for MoveTables: a {} makes no such rules", record.kind()));
  }
  constexpr int64_t kUsualBatch = 1000;  // What clients send who were not asked for one.
  if (!is_tenant(record) && request.delete_batch_size() != 0 && request.delete_batch_size() != kUsualBatch) {
    co_return fail(Code::kInvalidArgument,
                   "--delete-batch-size is for workflows with --tenant-id: tables are dropped as a whole");
  }
  if (request.delete_batch_size() < 0) co_return fail(Code::kInvalidArgument, "--delete-batch-size must be positive");
  CO_RETURN_IF_ERROR(co_await check_not_switched(tablets, found, request.keyspace(), request.workflow()));
  const bool alone = request.ignore_source_keyspace();
  CO_ASSIGN_OR_RETURN(auto source, co_await load_source(tablets, record, alone));
  CO_ASSIGN_OR_RETURN(auto target, co_await load_side(tablets, record.target_keyspace(),
                                                      {record.target_shards().begin(), record.target_shards().end()}));
  const auto primaries = target.primaries();
  CO_ASSIGN_OR_RETURN(const bool last, co_await read_is_last(tablets.topology(), record, true));
  auto word = [](bool value) { return std::string(value ? "true" : "false"); };
  std::map<std::string, std::string> settings = {{"keep_data", word(request.keep_data())},
                                                 {"last", word(last)},
                                                 {"batch_size", std::to_string(request.delete_batch_size())},
                                                 {"keep_routing_rules", word(request.keep_routing_rules())}};
  if (alone) settings[kIgnoreSource] = word(true);
  CO_ASSIGN_OR_RETURN(auto tenure, co_await begin_operation(tablets, found.stored, "cancel", std::move(settings)));
  CancelOperation operation(tablets, *tenure, std::move(source), std::move(target));
  CO_RETURN_IF_ERROR(co_await engine::carry_out(*tenure, operation));
  ::vtctldata::WorkflowDeleteResponse response;
  response.set_summary(cancelled(request));
  for (const auto& primary : primaries) {
    auto* detail = response.add_details();
    *detail->mutable_tablet() = primary.alias();
    detail->set_deleted(true);
  }
  co_return response;
}

}  // namespace

net::Task<Result<::vtctldata::WorkflowDeleteResponse>> cancel_workflow(TabletClient& tablets,
                                                                       ::vtctldata::WorkflowDeleteRequest request) {
  if (request.ignore_source_keyspace()) {
    CO_ASSIGN_OR_RETURN(const auto ended, co_await end_without_source(tablets, request.keyspace(), request.workflow()));
    if (ended == "cancel") {
      ::vtctldata::WorkflowDeleteResponse response;
      response.set_summary(cancelled(request));
      co_return response;
    }
  }
  CO_ASSIGN_OR_RETURN(auto found, co_await find_workflow(tablets, request.keyspace(), request.workflow()));
  // Which of several workflows is the last one is decided one after another.
  std::optional<KeyspaceLocks> locks;
  if (is_partial(found.record())) {
    const auto& record = found.record();
    CO_ASSIGN_OR_RETURN(
        locks,
        co_await KeyspaceLocks::acquire(
            tablets.topology(), request.ignore_source_keyspace() ? record.target_keyspace() : record.source_keyspace(),
            record.target_keyspace(), "Cancel"));
  }
  auto done = co_await cancel_found(tablets, std::move(request));
  if (locks) (void)co_await locks->release();
  co_return done;
}

}  // namespace vitrail::control
