#include "control/workflow/migrate.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/workflow/cancel.h"
#include "control/workflow/create.h"
#include "control/workflow/model.h"
#include "control/workflow/records.h"
#include "control/workflow/source_checks.h"
#include "control/workflow/write_switch.h"
#include "topo/external.h"
#include "topo/keyspace.h"
#include "topo/vschema.h"

namespace vitrail::control {
namespace {

using namespace std::chrono_literals;
using ::vtctldata::MoveTablesCreateRequest;

Status check_options(const MoveTablesCreateRequest& request) {
  const std::pair<bool, const char*> refused[] = {
      {request.atomic_copy(), "--atomic-copy"},
      {!request.workflow_options().tenant_id().empty(), "--tenant-id"},
      {!request.workflow_options().global_keyspace().empty(), "--global-keyspace"},
      {request.drop_foreign_keys(), "--drop-foreign-keys"},
  };
  for (const auto& [given, what] : refused) {
    if (given) return fail(Code::kInvalidArgument, fmt::format("Migrate has no {}: leave it out", what));
  }
  return {};
}

// The shards of the other cluster that rows are taken from.
net::Task<Result<Side>> load_external_side(topo::Server& external, const MoveTablesCreateRequest& request) {
  auto exists = co_await topo::get_keyspace(external, request.source_keyspace());
  if (!exists.ok()) co_return std::move(exists).error().with_context("cluster " + request.external_cluster_name());
  CO_ASSIGN_OR_RETURN(const auto serving, co_await topo::find_serving_shards(external, request.source_keyspace()));
  std::vector<std::string> names;
  for (const auto& info : serving) names.push_back(info.name);
  for (const auto& wanted : request.source_shards()) {
    if (std::ranges::find(names, wanted) != names.end()) continue;
    co_return fail(Code::kInvalidArgument, fmt::format("source shard {} is not in serving state", wanted));
  }
  if (request.source_shards_size() > 0) names.assign(request.source_shards().begin(), request.source_shards().end());
  TabletClient there(external);
  CO_ASSIGN_OR_RETURN(auto side, co_await load_side(there, request.source_keyspace(), std::move(names)));
  if (side.places.empty()) {
    co_return fail(Code::kFailedPrecondition, fmt::format("keyspace {} of cluster {} has no shard that serves",
                                                          request.source_keyspace(), request.external_cluster_name()));
  }
  CO_RETURN_IF_ERROR(check_primaries(side));
  co_return std::move(side);
}

net::Task<Status> create_from(TabletClient& tablets, topo::Server& external, MoveTablesCreateRequest request) {
  topo::Server& topology = tablets.topology();
  const std::string& target = request.target_keyspace();
  CO_RETURN_IF_ERROR(co_await check_sources(external, {request.cells().begin(), request.cells().end()},
                                            {request.tablet_types().begin(), request.tablet_types().end()}));
  CO_ASSIGN_OR_RETURN(const auto source_side, co_await load_external_side(external, request));
  CO_ASSIGN_OR_RETURN(auto moved, co_await choose_tables(tablets, request, *source_side.places.front().primary));
  CO_ASSIGN_OR_RETURN(const auto targets, co_await topo::find_serving_shards(topology, target));

  engine::Record record;
  record.set_kind(kMigrate);
  record.set_workflow(request.workflow());
  // Of this cluster it is about one keyspace; a keyspace of the source's name is another one here.
  record.set_source_keyspace(target);
  record.set_target_keyspace(target);
  for (const auto& info : targets) record.add_target_shards(info.name);
  for (const auto& name : moved.names) record.add_tables(name);
  (*record.mutable_options())[kMountOption] = request.external_cluster_name();
  (*record.mutable_options())[kMountKeyspaceOption] = request.source_keyspace();
  CO_RETURN_IF_ERROR(co_await check_free(tablets, record));

  auto vschema = co_await topo::get_vschema(topology, target);
  if (!vschema.ok() && vschema.error().code() != Code::kNotFound) co_return std::move(vschema).error();
  const ::vschema::Keyspace target_vschema = vschema.ok() ? std::move(vschema->record) : ::vschema::Keyspace();
  CreatePlan plan;
  plan.settings = move_settings(request);
  plan.settings.source_time_zone = request.source_time_zone();
  plan.auto_start = request.auto_start();
  plan.tables = {moved.schema.table_definitions().begin(), moved.schema.table_definitions().end()};
  // Each shard would count for itself.
  if (target_vschema.sharded()) (void)take_numbering(plan.tables, target_vschema);
  for (const auto& info : targets) {
    CO_ASSIGN_OR_RETURN(const auto name, shard::ShardName::parse(info.name));
    for (const auto& from : source_side.places) {
      ::binlogdata::BinlogSource bls;
      bls.set_keyspace(request.source_keyspace());
      bls.set_shard(from.shard);
      bls.set_external_cluster(request.external_cluster_name());
      for (const auto& table : moved.names) {
        auto* rule = bls.mutable_filter()->add_rules();
        rule->set_match(table);
        CO_ASSIGN_OR_RETURN(*rule->mutable_filter(),
                            table_filter(target_vschema, target, table, name, VindexBy::kDefinition));
      }
      plan.sources[info.name].push_back(std::move(bls));
    }
  }
  CO_ASSIGN_OR_RETURN(
      const auto target_side,
      co_await load_side(tablets, target, {record.target_shards().begin(), record.target_shards().end()}));
  CO_RETURN_IF_ERROR(check_primaries(target_side));
  CO_RETURN_IF_ERROR(co_await check_tables_empty(tablets, target_side, plan.tables, false));
  CO_RETURN_IF_ERROR(co_await check_source_tables(tablets, source_side, plan.tables, target_vschema));
  if (!request.source_time_zone().empty()) {
    CO_RETURN_IF_ERROR(
        co_await check_time_zone(tablets, source_side, target_side, moved.names, request.source_time_zone()));
  }
  co_return co_await start_creation(tablets, std::move(record), std::move(plan), "Migrate create");
}

}  // namespace

std::string mount_of(const engine::Record& record) {
  const auto found = record.options().find(kMountOption);
  return found == record.options().end() ? "" : found->second;
}

bool only_follows(const engine::Record& record) { return record.kind() == kMaterialize || record.kind() == kMigrate; }

net::Task<Status> check_sources_of(TabletClient& tablets, std::string cluster, std::vector<std::string> cells,
                                   std::vector<int> types) {
  if (cluster.empty()) co_return co_await check_sources(tablets.topology(), std::move(cells), std::move(types));
  CO_ASSIGN_OR_RETURN(const auto external,
                      co_await topo::open_external_cluster(tablets.topology(), std::move(cluster)));
  Status done = co_await check_sources(*external, std::move(cells), std::move(types));
  co_await external->close();
  co_return done;
}

net::Task<Status> create_migrate(TabletClient& tablets, MoveTablesCreateRequest request) {
  CO_RETURN_IF_ERROR(check_workflow_name(request.workflow()));
  CO_RETURN_IF_ERROR(check_options(request));
  CO_RETURN_IF_ERROR(check_on_ddl(request.on_ddl()));
  auto exists = co_await topo::get_keyspace(tablets.topology(), request.target_keyspace());
  if (!exists.ok()) co_return std::move(exists).error();
  CO_ASSIGN_OR_RETURN(const auto external,
                      co_await topo::open_external_cluster(tablets.topology(), request.external_cluster_name()));
  Status done = co_await create_from(tablets, *external, std::move(request));
  co_await external->close();
  co_return done;
}

net::Task<Result<::vtctldata::MigrateCompleteResponse>> complete_migrate(TabletClient& tablets,
                                                                         ::vtctldata::MigrateCompleteRequest request) {
  if (request.rename_tables() || request.keep_routing_rules()) {
    co_return fail(Code::kInvalidArgument,
                   "--rename-tables and --keep-routing-rules: Migrate leaves the other cluster alone, and makes no "
                   "rules");
  }
  CO_ASSIGN_OR_RETURN(const auto found, co_await find_workflow(tablets, request.target_keyspace(), request.workflow()));
  const engine::Record& record = found.record();
  if (record.kind() != kMigrate) {
    co_return fail(Code::kInvalidArgument, fmt::format("{} is no Migrate", engine::name_of(record)));
  }
  CO_ASSIGN_OR_RETURN(const auto model, co_await read_workflow(tablets, record.target_keyspace(), record.workflow(),
                                                               net::Wait::within(30s)));
  ::vtctldata::MigrateCompleteResponse response;
  for (const auto& [shard, target] : model.targets) {
    for (const auto& stream : target.workflow.streams()) {
      const bool copying = stream.state() == ::binlogdata::Copying || stream.state() == ::binlogdata::Init;
      if (!copying && stream.state() != ::binlogdata::Error) continue;
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("cannot complete workflow {} at this time: stream {} of {}/{} {}", record.workflow(),
                                 stream.id(), record.target_keyspace(), shard,
                                 copying ? "is still copying" : "has failed: " + stream.message()));
    }
    response.add_dry_run_results(
        fmt::format("Delete vreplication streams on targets: [keyspace:{};shard:{};workflow:{};tablet:{}]",
                    record.target_keyspace(), shard, record.workflow(), target.shard.primary.alias().uid()));
  }
  if (request.dry_run()) {
    response.set_summary(fmt::format("Complete dry run results for workflow {}.{} at {}", request.target_keyspace(),
                                     request.workflow(), rfc822(tablets.topology().clock().wall_now())));
    co_return response;
  }
  ::vtctldata::WorkflowDeleteRequest end;
  end.set_keyspace(request.target_keyspace());
  end.set_workflow(request.workflow());
  end.set_keep_data(true);
  auto ended = co_await cancel_workflow(tablets, std::move(end));
  if (!ended.ok()) co_return std::move(ended).error();
  response.clear_dry_run_results();
  response.set_summary(fmt::format("Successfully completed the {} workflow in the {} keyspace", request.workflow(),
                                   request.target_keyspace()));
  co_return response;
}

}  // namespace vitrail::control
