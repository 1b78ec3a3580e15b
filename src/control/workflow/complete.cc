#include "control/workflow/complete.h"

#include <fmt/core.h>

#include "control/remove.h"
#include "control/workflow/cleanup.h"
#include "control/workflow/create.h"
#include "control/workflow/dry_run.h"
#include "control/workflow/migrate.h"
#include "control/workflow/partial.h"
#include "control/workflow/records.h"
#include "control/workflow/tenant.h"
#include "topo/cells.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/srv_keyspace.h"

namespace vitrail::control {

CompleteOperation::CompleteOperation(TabletClient& tablets, engine::Tenure& tenure, Side source, Side target)
    : tablets_(tablets),
      tenure_(tenure),
      source_(std::move(source)),
      target_(std::move(target)),
      tables_(tenure.record().tables().begin(), tenure.record().tables().end()),
      is_reshard_(tenure.record().kind() == "Reshard") {}

bool CompleteOperation::flag(const char* name) const {
  const auto found = tenure_.open().settings().find(name);
  return found != tenure_.open().settings().end() && found->second == "true";
}

std::vector<engine::Step> CompleteOperation::steps() {
  std::vector<engine::Step> steps;
  auto add = [&steps](const char* id, std::function<net::Task<Status>()> apply) {
    steps.push_back({.id = id, .apply = std::move(apply), .undo = {}});
  };
  add("delete_reverse_streams", [this] { return delete_reverse_streams(); });
  steps.back().point_of_no_return = true;
  if (is_reshard_) {
    if (!flag("keep_data")) {
      add("delete_source_shards", [this] { return delete_source_shards(); });
      add("clear_controls", [this] { return clear_controls(); });
    }
  } else {
    // The rules of a move shard by shard are needed as long as there is another workflow of it.
    const bool partial = is_partial(record());
    const bool last = !partial || flag("last");
    if (partial && last) add("route_tables", [this] { return route_tables(); });
    const bool alone = flag(kIgnoreSource);
    if (!flag("keep_data") && !alone) {
      add("drop_source_tables", [this] { return drop_source_tables(); });
      if (last) add("remove_from_source_vschema", [this] { return remove_from_source_vschema(); });
    }
    if (!flag("keep_routing_rules") && last) add("remove_routing_rules", [this] { return remove_routing_rules(); });
    if (!alone) add("allow_source_tables", [this] { return allow_source_tables(); });
  }
  add("delete_streams", [this] { return delete_forward_streams(); });
  return steps;
}

bool CompleteOperation::close(engine::Record&, bool) { return true; }

net::Task<Status> CompleteOperation::delete_reverse_streams() {
  return delete_streams(tablets_, tenure_.fence(), source_.primaries(), reverse_workflow_name(record().workflow()),
                        cleanup_wait());
}

net::Task<Status> CompleteOperation::drop_source_tables() {
  const bool rename = flag("rename_tables");
  CO_RETURN_IF_ERROR(check_primaries(source_));
  co_return co_await for_all<::topodata::Tablet>(source_.primaries(), [this, rename](::topodata::Tablet tablet) {
    return drop_tables(tablets_, tenure_.fence(), std::move(tablet), tables_, rename);
  });
}

net::Task<Status> CompleteOperation::remove_from_source_vschema() {
  CO_RETURN_IF_ERROR(co_await remove_from_vschema(topology(), tenure_.guard(), record().source_keyspace(), tables_));
  co_return co_await topo::rebuild_srv_vschema(topology());
}

// All shards are at the target: from now on the tables are, too, and the rules for shards mean nothing.
net::Task<Status> CompleteOperation::route_tables() {
  auto updated = co_await topo::update_routing_rules(
      topology(),
      [&](::vschema::RoutingRules& rules) -> Result<bool> {
        const ::topodata::TabletType types[] = {::topodata::REPLICA, ::topodata::RDONLY};
        vschema::switch_reads(rules, move(), types);
        vschema::switch_writes(rules, move());
        return true;
      },
      tenure_.guard());
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> CompleteOperation::remove_routing_rules() {
  if (is_partial(record())) {
    CO_RETURN_IF_ERROR(co_await remove_shard_rules(topology(), tenure_.guard(), record()));
  }
  if (is_tenant(record())) {
    co_return co_await remove_tenant_rules(topology(), tenure_.guard(), record().source_keyspace());
  }
  // Rules of others for the same names would lead to what is no more.
  CO_RETURN_IF_ERROR(co_await remove_move_rules(topology(), tenure_.guard(), move(), {}));
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> CompleteOperation::allow_source_tables() {
  co_return co_await allow_all_tables(tablets_, tenure_.guard(), source_, tables_);
}

net::Task<Status> CompleteOperation::delete_source_shards() {
  CO_RETURN_IF_ERROR(co_await tenure_.check());
  // By name: of one whose record is gone there may be tablets left.
  co_return co_await delete_shards(topology(), source_.keyspace,
                                   {record().source_shards().begin(), record().source_shards().end()},
                                   {.recursive = true, .even_if_serving = false});
}

net::Task<Status> CompleteOperation::clear_controls() {
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology()));
  co_return co_await topo::update_srv_keyspaces(
      topology(), record().target_keyspace(), cells,
      [](const std::string&, ::topodata::SrvKeyspace& srv) -> Result<bool> {
        vschema::clear_tablet_controls(srv);
        return true;
      },
      tenure_.guard());
}

net::Task<Status> CompleteOperation::delete_forward_streams() {
  return delete_streams(tablets_, tenure_.fence(), target_.primaries(), record().workflow(), cleanup_wait());
}

namespace {

net::Task<Status> check_switched(TabletClient& tablets, const FoundWorkflow& found, const std::string& keyspace,
                                 const std::string& workflow) {
  const engine::Record& record = found.record();
  if (found.by_reverse_name) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("{}.{} is the reverse workflow of {}, which is what can be completed", keyspace,
                               workflow, engine::name_of(record)));
  }
  CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(tablets, model_of(record)));
  const bool all_reads = is_partial(record) ? state.writes_switched : state.all_reads_switched();
  if (record.writes_switched() && state.writes_switched && all_reads) co_return Status{};
  std::string why = "cannot complete workflow because you have not yet switched all read and write traffic";
  if (record.writes_switched() != are_writes_switched(state, record)) {
    why += fmt::format(" (recorded: writes {}; routing: {}; a switch or its reverse puts them in order)",
                       record.writes_switched() ? "switched" : "not switched", state.to_string());
  }
  co_return fail(Code::kFailedPrecondition, why);
}

std::string completed(const ::vtctldata::MoveTablesCompleteRequest& request) {
  return fmt::format("Successfully completed the {} workflow in the {} keyspace", request.workflow(),
                     request.target_keyspace());
}

net::Task<Status> check_old_names_on(TabletClient& tablets, ::topodata::Tablet primary, const engine::Record& record) {
  CO_ASSIGN_OR_RETURN(const auto list, co_await list_tables(tablets, primary));
  const std::map<std::string, bool> present(list.begin(), list.end());
  std::map<std::string, std::string> taken;  // By the name that it would get.
  for (const auto& table : record.tables()) {
    if (!present.contains(table)) continue;  // Somebody has renamed it already.
    const std::string name = renamed_table(table);
    const auto [other, fresh] = taken.emplace(name, table);
    if (fresh && !present.contains(name)) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("--rename-tables: table {} of {}/{} cannot be renamed to {}, {}: leave the option out, "
                               "give --keep-data, or rename that one first",
                               table, primary.keyspace(), primary.shard(), name,
                               fresh ? "which is there already" : "as table " + other->second + " would be, too"));
  }
  co_return Status{};
}

// Behind the point of no return nobody could choose other names.
net::Task<Status> check_old_names(TabletClient& tablets, const Side& source, const engine::Record& record) {
  co_return co_await for_all<::topodata::Tablet>(source.primaries(), [&](::topodata::Tablet primary) {
    return check_old_names_on(tablets, std::move(primary), record);
  });
}

net::Task<Result<::vtctldata::MoveTablesCompleteResponse>> complete_found(
    TabletClient& tablets, ::vtctldata::MoveTablesCompleteRequest request) {
  CO_ASSIGN_OR_RETURN(const auto found, co_await find_workflow(tablets, request.target_keyspace(), request.workflow()));
  const engine::Record& record = found.record();
  if (record.kind() == kMigrate) {
    co_return fail(Code::kInvalidArgument,
                   "invalid action for Migrate workflow: MoveTables complete; use Migrate complete");
  }
  if (record.kind() == kMaterialize) {
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("{} follows its source for as long as it is there: it is ended by cancel, with --keep-data "
                    "where the tables stay",
                    engine::name_of(record)));
  }
  CO_RETURN_IF_ERROR(check_all_shards(record, {request.shards().begin(), request.shards().end()}));
  if (record.kind() == "Reshard" && (request.rename_tables() || request.keep_routing_rules())) {
    co_return fail(Code::kInvalidArgument, "--rename-tables and --keep-routing-rules are for MoveTables");
  }
  CO_RETURN_IF_ERROR(co_await check_switched(tablets, found, request.target_keyspace(), request.workflow()));
  CO_ASSIGN_OR_RETURN(const bool last, co_await read_is_last(tablets.topology(), record, false));
  const bool alone = request.ignore_source_keyspace();
  CO_ASSIGN_OR_RETURN(auto source, co_await load_source(tablets, record, alone));
  if (request.rename_tables() && !request.keep_data())
    CO_RETURN_IF_ERROR(co_await check_old_names(tablets, source, record));
  if (is_tenant(record) && !request.keep_data() && !request.rename_tables() && !alone) {
    CO_RETURN_IF_ERROR(check_primaries(source));
    CO_RETURN_IF_ERROR(co_await check_tenant_sources(tablets, source, {record.tables().begin(), record.tables().end()},
                                                     tenant_of(record)));
  }
  ::vtctldata::MoveTablesCompleteResponse response;
  response.set_summary(request.dry_run()
                           ? fmt::format("Complete dry run results for workflow {}.{} at {}", request.target_keyspace(),
                                         request.workflow(), rfc822(tablets.topology().clock().wall_now()))
                           : completed(request));
  CO_ASSIGN_OR_RETURN(auto target, co_await load_side(tablets, record.target_keyspace(),
                                                      {record.target_shards().begin(), record.target_shards().end()}));
  if (request.dry_run()) {
    const CompleteDryRun wanted{.keep_data = request.keep_data(),
                                .keep_routing_rules = request.keep_routing_rules(),
                                .rename_tables = request.rename_tables(),
                                .ignore_source = alone,
                                .last = last};
    for (auto& line : describe_complete(record, source, target, wanted)) {
      response.add_dry_run_results(std::move(line));
    }
    co_return response;
  }
  auto word = [](bool value) { return std::string(value ? "true" : "false"); };
  std::map<std::string, std::string> settings = {{"keep_data", word(request.keep_data())},
                                                 {"keep_routing_rules", word(request.keep_routing_rules())},
                                                 {"last", word(last)},
                                                 {"rename_tables", word(request.rename_tables())}};
  if (alone) settings[kIgnoreSource] = word(true);
  CO_ASSIGN_OR_RETURN(auto tenure, co_await begin_operation(tablets, found.stored, "complete", std::move(settings)));
  CompleteOperation operation(tablets, *tenure, std::move(source), std::move(target));
  CO_RETURN_IF_ERROR(co_await engine::carry_out(*tenure, operation));
  co_return response;
}

}  // namespace

net::Task<Result<::vtctldata::MoveTablesCompleteResponse>> complete_workflow(
    TabletClient& tablets, ::vtctldata::MoveTablesCompleteRequest request) {
  if (request.ignore_source_keyspace() && !request.dry_run()) {
    CO_ASSIGN_OR_RETURN(const auto ended,
                        co_await end_without_source(tablets, request.target_keyspace(), request.workflow()));
    if (ended == "complete") {
      ::vtctldata::MoveTablesCompleteResponse response;
      response.set_summary(completed(request));
      co_return response;
    }
  }
  CO_ASSIGN_OR_RETURN(auto found, co_await find_workflow(tablets, request.target_keyspace(), request.workflow()));
  // Which of several workflows is the last one is decided one after another.
  std::optional<KeyspaceLocks> locks;
  if (is_partial(found.record())) {
    const auto& record = found.record();
    CO_ASSIGN_OR_RETURN(
        locks,
        co_await KeyspaceLocks::acquire(
            tablets.topology(), request.ignore_source_keyspace() ? record.target_keyspace() : record.source_keyspace(),
            record.target_keyspace(), "Complete"));
  }
  auto done = co_await complete_found(tablets, std::move(request));
  if (locks) (void)co_await locks->release();
  co_return done;
}

}  // namespace vitrail::control
