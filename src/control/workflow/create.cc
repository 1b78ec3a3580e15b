#include "control/workflow/create.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "control/workflow/conflicts.h"
#include "control/workflow/migrate.h"
#include "control/workflow/moved_tables.h"
#include "control/workflow/partial.h"
#include "control/workflow/records.h"
#include "control/workflow/source_checks.h"
#include "control/workflow/tenant.h"
#include "control/workflow/write_switch.h"
#include "movement/stream_options.h"
#include "shard/key_range.h"
#include "sql/printer.h"
#include "topo/keyspace.h"
#include "topo/paths.h"
#include "topo/vschema.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

net::Wait usual() { return net::Wait::within(60s); }

template <typename Request>
StreamSettings settings_of(const Request& request) {
  StreamSettings settings;
  settings.cells = {request.cells().begin(), request.cells().end()};
  for (const auto type : request.tablet_types()) {
    settings.tablet_types.push_back(static_cast<::topodata::TabletType>(type));
  }
  settings.preference = request.tablet_selection_preference();
  settings.on_ddl = request.on_ddl();
  settings.stop_after_copy = request.stop_after_copy();
  settings.defer_secondary_keys = request.defer_secondary_keys();
  const auto& overrides = request.workflow_options().config();
  settings.overrides = {overrides.begin(), overrides.end()};
  return settings;
}

template <typename Request>
net::Task<Status> check_settings(topo::Server& topology, const Request& request) {
  CO_RETURN_IF_ERROR(check_on_ddl(request.on_ddl()));
  co_return co_await check_sources(topology, {request.cells().begin(), request.cells().end()},
                                   {request.tablet_types().begin(), request.tablet_types().end()});
}

// Options that today's clients can send and that would have no effect.
Status refuse_unbuilt(const ::vtctldata::WorkflowOptions& options) {
  const auto refuse = [](std::string_view what) {
    return fail(Code::kUnimplemented, fmt::format("{} is not built: leave it out", what));
  };
  if (options.shards_size() > 0) {
    return fail(Code::kInvalidArgument, "--shards: --source-shards names the shards whose tables are moved");
  }
  RETURN_IF_ERROR(movement::check_overrides({options.config().begin(), options.config().end()}));
  if (options.lookup_vindexes_size() > 0) return refuse("lookup_vindexes");
  return {};
}

// What becomes of AUTO_INCREMENT in a sharded keyspace, where each shard would count for itself.
Status check_numbering(const ::vtctldata::WorkflowOptions& options, bool sharded) {
  const bool replace = options.sharded_auto_increment_handling() == ::vtctldata::REPLACE;
  if (!replace && !options.global_keyspace().empty()) {
    return fail(Code::kInvalidArgument,
                "--global-keyspace says where sequences are made: it goes with --sharded-auto-increment-handling "
                "REPLACE");
  }
  if (replace && options.global_keyspace().empty()) {
    return fail(Code::kInvalidArgument,
                "--sharded-auto-increment-handling REPLACE needs --global-keyspace, a keyspace of one shard in which "
                "sequences are made");
  }
  if (replace && !sharded) {
    return fail(Code::kInvalidArgument,
                "--sharded-auto-increment-handling REPLACE is for a sharded target keyspace: in this one "
                "AUTO_INCREMENT stays");
  }
  return {};
}

}  // namespace

StreamSettings move_settings(const ::vtctldata::MoveTablesCreateRequest& request) { return settings_of(request); }

std::map<std::string, std::string> take_numbering(std::vector<tmd::TableDefinition>& tables,
                                                  const ::vschema::Keyspace& target) {
  std::map<std::string, std::string> numbered;
  for (auto& table : tables) {
    const auto found = target.tables().find(table.name());
    // A reference table gets its rows from its source only.
    if (found != target.tables().end() && found->second.type() == "reference") continue;
    auto stripped = strip_auto_increment(table.schema());
    if (stripped.column.empty()) continue;
    table.set_schema(std::move(stripped.create));
    numbered[table.name()] = std::move(stripped.column);
  }
  return numbered;
}

namespace {

void remove_internal_tables(tmd::SchemaDefinition& schema) {
  auto& tables = *schema.mutable_table_definitions();
  for (int i = tables.size() - 1; i >= 0; --i) {
    if (is_internal_table_name(tables[i].name())) tables.DeleteSubrange(i, 1);
  }
}

// Under the keyspaces' locks: checks for conflicts, makes the record and carries the creation out.
class Creation {
 public:
  Creation(TabletClient& tablets, engine::Record record, CreatePlan plan)
      : tablets_(tablets), record_(std::move(record)), plan_(std::move(plan)) {}

  // Streams of older versions get records first, so that all that is in the way is known.
  net::Task<Status> check() {
    const std::string source = record_.source_keyspace();
    const std::string target = record_.target_keyspace();
    CO_RETURN_IF_ERROR(co_await adopt_workflows(tablets_, source));
    if (source != target) CO_RETURN_IF_ERROR(co_await adopt_workflows(tablets_, target));
    CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(tablets_.topology()));
    co_return check_conflicts(record_, records);
  }

  net::Task<Status> run() {
    topo::Server& topology = tablets_.topology();
    record_.set_id(base::system_random().uuid());
    record_.set_created_ms(engine::to_ms(topology.clock().wall_now()));
    for (auto& [name, value] : plan_.settings.to_options()) (*record_.mutable_options())[name] = value;
    auto open = engine::make_operation("create", {{"routing_rules", plan_.routing_rules ? "true" : "false"},
                                                  {"auto_start", plan_.auto_start ? "true" : "false"},
                                                  {"sequences", plan_.numbered.empty() ? "false" : "true"},
                                                  {"source_shards", plan_.positions.empty() ? "false" : "true"}});
    open.set_started_ms(record_.created_ms());
    *record_.mutable_open() = std::move(open);
    CO_ASSIGN_OR_RETURN(auto target,
                        co_await load_side(tablets_, record_.target_keyspace(),
                                           {record_.target_shards().begin(), record_.target_shards().end()}));
    CO_RETURN_IF_ERROR(check_primaries(target));
    auto tenure = co_await engine::Tenure::create(topology, record_, engine::this_process());
    if (!tenure.ok() && tenure.error().code() == Code::kAlreadyExists) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("some streams already exist in the target shards: workflow {}.{}",
                                 record_.target_keyspace(), record_.workflow()));
    }
    if (!tenure.ok()) co_return std::move(tenure).error();
    CreateOperation operation(tablets_, **tenure, std::move(plan_), std::move(target));
    co_return co_await engine::carry_out(**tenure, operation);
  }

 private:
  TabletClient& tablets_;
  engine::Record record_;
  CreatePlan plan_;
};

// The rows of a source table whose name leads elsewhere are not those that clients see.
net::Task<Status> check_source_rules(topo::Server& topology, std::string source, std::vector<std::string> tables) {
  CO_ASSIGN_OR_RETURN(const auto rules, co_await topo::get_routing_rules(topology));
  for (const auto& table : tables) {
    const std::string name = source + "." + table;
    const auto* rule = vschema::find_rule(rules.rules, name);
    if (rule == nullptr || (rule->to_tables_size() == 1 && rule->to_tables(0) == name)) continue;
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("a routing rule leads {} to {}: move the table from there, or delete the rule first "
                    "(GetRoutingRules, ApplyRoutingRules)",
                    name,
                    base::join(std::vector<std::string>(rule->to_tables().begin(), rule->to_tables().end()), ", ")));
  }
  co_return Status{};
}

}  // namespace

net::Task<Result<tmd::SchemaDefinition>> read_schema(TabletClient& tablets, ::topodata::Tablet tablet,
                                                     std::vector<std::string> only, std::vector<std::string> exclude) {
  tmd::GetSchemaRequest request;
  for (auto& table : only) request.add_tables(std::move(table));
  for (auto& table : exclude) request.add_exclude_tables(std::move(table));
  CO_ASSIGN_OR_RETURN(auto response, co_await tablets.call<tmd::GetSchemaResponse>(std::move(tablet), "GetSchema",
                                                                                   std::move(request), usual()));
  co_return std::move(*response.mutable_schema_definition());
}

Status check_workflow_name(const std::string& workflow) {
  if (workflow.empty()) return fail(Code::kInvalidArgument, "a workflow needs a name: --workflow");
  RETURN_IF_ERROR(topo::validate_name("workflow name", workflow));
  if (!is_reverse_name(workflow)) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("workflow name {}: names that end in _reverse are those of reverse workflows", workflow));
}

net::Task<Status> check_free(TabletClient& tablets, const engine::Record& record) {
  CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(tablets.topology()));
  co_return check_conflicts(record, records);
}

net::Task<Status> start_creation(TabletClient& tablets, engine::Record record, CreatePlan plan, std::string action) {
  CO_ASSIGN_OR_RETURN(auto locks, co_await KeyspaceLocks::acquire(tablets.topology(), record.source_keyspace(),
                                                                  record.target_keyspace(), std::move(action)));
  Creation creation(tablets, std::move(record), std::move(plan));
  Status done = co_await creation.check();
  if (done.ok()) done = co_await creation.run();
  (void)co_await locks.release();
  co_return done;
}

net::Task<Result<MovedTables>> choose_tables(TabletClient& tablets, const ::vtctldata::MoveTablesCreateRequest& request,
                                             ::topodata::Tablet source) {
  CO_ASSIGN_OR_RETURN(const auto wanted,
                      read_table_names({request.include_tables().begin(), request.include_tables().end()}));
  CO_ASSIGN_OR_RETURN(auto excluded,
                      read_table_names({request.exclude_tables().begin(), request.exclude_tables().end()}));
  for (const auto& table : wanted) {
    if (!is_internal_table_name(table)) continue;
    co_return fail(Code::kInvalidArgument,
                   fmt::format("table {} is one that a tool has made for its own work: it is not moved", table));
  }
  if (wanted.empty() && !request.all_tables()) {
    co_return fail(Code::kInvalidArgument, "no tables to move: give --tables or --all-tables");
  }
  MovedTables out;
  CO_ASSIGN_OR_RETURN(out.schema, co_await read_schema(tablets, std::move(source),
                                                       request.all_tables() ? std::vector<std::string>() : wanted,
                                                       std::move(excluded)));
  remove_internal_tables(out.schema);
  for (const auto& table : out.schema.table_definitions()) out.names.push_back(table.name());
  std::sort(out.names.begin(), out.names.end());
  for (const auto& table : wanted) {
    if (table.front() != '/' && !std::binary_search(out.names.begin(), out.names.end(), table)) {
      co_return fail(Code::kInvalidArgument,
                     fmt::format("table(s) not found in source keyspace {}: {}", request.source_keyspace(), table));
    }
  }
  if (out.names.empty()) co_return fail(Code::kInvalidArgument, "no tables to move");
  co_return std::move(out);
}

namespace {

struct ChosenShards {
  std::vector<std::string> sources;
  std::vector<std::string> targets;
  bool partial = false;  // Some of the source's shards, each to the one of its name.
};

// The serving shards of both sides; of the source's those that were asked for.
net::Task<Result<ChosenShards>> choose_shards(topo::Server& topology,
                                              const ::vtctldata::MoveTablesCreateRequest& request) {
  CO_ASSIGN_OR_RETURN(const auto serving, co_await topo::find_serving_shards(topology, request.source_keyspace()));
  CO_ASSIGN_OR_RETURN(const auto serving_targets,
                      co_await topo::find_serving_shards(topology, request.target_keyspace()));
  ChosenShards chosen;
  for (const auto& info : serving_targets) chosen.targets.push_back(info.name);
  auto& names = chosen.sources;
  for (const auto& info : serving) names.push_back(info.name);
  if (request.source_shards_size() == 0) co_return chosen;
  const std::set<std::string> wanted(request.source_shards().begin(), request.source_shards().end());
  for (const auto& name : wanted) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      co_return fail(Code::kInvalidArgument, fmt::format("source shard {} is not in serving state", name));
    }
  }
  if (wanted.size() == names.size()) co_return chosen;
  for (const auto& name : wanted) {
    if (std::ranges::find(chosen.targets, name) != chosen.targets.end()) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("some shards are moved to shards of the same names: keyspace {} serves no shard {}",
                               request.target_keyspace(), name));
  }
  if (request.no_routing_rules()) {
    co_return fail(Code::kInvalidArgument,
                   "--no-routing-rules: without rules nobody would find the shards that are moved; leave it out, or "
                   "move all shards");
  }
  chosen.partial = true;
  names.assign(wanted.begin(), wanted.end());
  chosen.targets = names;
  co_return chosen;
}

Status check_atomic(const ::vtctldata::MoveTablesCreateRequest& request, const ChosenShards& chosen) {
  if (!request.atomic_copy()) return {};
  if (!request.workflow_options().tenant_id().empty()) {
    return fail(Code::kInvalidArgument,
                "--atomic-copy begins anew when it is interrupted, with empty tables: it does not go with --tenant-id, "
                "whose tables others use");
  }
  if (chosen.sources.size() == 1 && !chosen.partial) return {};
  return fail(Code::kFailedPrecondition,
              fmt::format("--atomic-copy copies all tables as of one moment of one server: it is for keyspaces of one "
                          "shard, and {} has several; leave it out",
                          request.source_keyspace()));
}

net::Task<Status> check_partial(TabletClient& tablets, const engine::Record& record, const Side& source,
                                const ::vschema::Keyspace& target_vschema) {
  auto stored = co_await topo::get_vschema(tablets.topology(), record.source_keyspace());
  if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return std::move(stored).error();
  const ::vschema::Keyspace source_vschema = stored.ok() ? std::move(stored->record) : ::vschema::Keyspace();
  const std::vector<std::string> tables(record.tables().begin(), record.tables().end());
  CO_RETURN_IF_ERROR(check_same_places(source_vschema, target_vschema, tables));
  co_return co_await check_whole_shards(tablets, source, tables);
}

// What --tenant-id goes with, and what its keyspaces have to be like.
net::Task<Result<Tenant>> check_tenant(topo::Server& topology, const ::vtctldata::MoveTablesCreateRequest& request,
                                       const ::vschema::Keyspace& target_vschema, bool partial) {
  const std::string& id = request.workflow_options().tenant_id();
  if (id.empty()) co_return Tenant{};
  if (partial) {
    co_return fail(Code::kInvalidArgument,
                   "--tenant-id moves the tenant's rows of all shards: leave out --source-shards");
  }
  CO_ASSIGN_OR_RETURN(auto tenant, read_tenant(id, request.target_keyspace(), target_vschema));
  CO_ASSIGN_OR_RETURN(const auto rules, co_await topo::get_keyspace_routing_rules(topology));
  CO_RETURN_IF_ERROR(check_tenant_rules(rules.rules, request.source_keyspace()));
  co_return std::move(tenant);
}

// The streams of each target shard, with their filters.
Result<std::map<std::string, std::vector<::binlogdata::BinlogSource>>> plan_streams(
    const engine::Record& record, const ::vschema::Keyspace& target_vschema, const Tenant& tenant) {
  std::map<std::string, std::vector<::binlogdata::BinlogSource>> out;
  for (const auto& place : record.target_shards()) {
    ASSIGN_OR_RETURN(const auto name, shard::ShardName::parse(place));
    for (const auto& from : record.source_shards()) {
      if (is_partial(record) && from != place) continue;
      ::binlogdata::BinlogSource bls;
      bls.set_keyspace(record.source_keyspace());
      bls.set_shard(from);
      for (const auto& table : record.tables()) {
        auto* rule = bls.mutable_filter()->add_rules();
        rule->set_match(table);
        ASSIGN_OR_RETURN(const auto filter, table_filter(target_vschema, record.target_keyspace(), table, name));
        rule->set_filter(tenant.id.empty() ? filter : with_tenant(filter, tenant));
      }
      out[place].push_back(std::move(bls));
    }
  }
  return out;
}

}  // namespace

net::Task<Status> create_move_tables(TabletClient& tablets, ::vtctldata::MoveTablesCreateRequest request) {
  topo::Server& topology = tablets.topology();
  const std::string& source = request.source_keyspace();
  const std::string& target = request.target_keyspace();
  if (!request.external_cluster_name().empty()) co_return co_await create_migrate(tablets, std::move(request));
  CO_RETURN_IF_ERROR(check_workflow_name(request.workflow()));
  if (source == target) {
    co_return fail(Code::kInvalidArgument, "source and target keyspace must be different for MoveTables workflows");
  }
  CO_RETURN_IF_ERROR(refuse_unbuilt(request.workflow_options()));
  if (request.drop_foreign_keys()) {
    co_return fail(Code::kUnimplemented, "drop_foreign_keys is not built: leave it out, or drop them first");
  }
  CO_RETURN_IF_ERROR(co_await check_settings(topology, request));
  for (const auto* keyspace : {&source, &target}) {
    auto exists = co_await topo::get_keyspace(topology, *keyspace);
    if (!exists.ok()) co_return std::move(exists).error();
  }
  CO_ASSIGN_OR_RETURN(const auto chosen, co_await choose_shards(topology, request));
  CO_RETURN_IF_ERROR(check_atomic(request, chosen));
  const auto& source_shards = chosen.sources;
  const auto& target_shards = chosen.targets;
  CO_ASSIGN_OR_RETURN(const auto source_side, co_await load_side(tablets, source, source_shards));
  CO_RETURN_IF_ERROR(check_primaries(source_side));
  CO_ASSIGN_OR_RETURN(auto moved, co_await choose_tables(tablets, request, *source_side.places.front().primary));

  engine::Record record;
  record.set_kind("MoveTables");
  record.set_workflow(request.workflow());
  record.set_source_keyspace(source);
  record.set_target_keyspace(target);
  for (const auto& name : source_shards) record.add_source_shards(name);
  for (const auto& name : target_shards) record.add_target_shards(name);
  if (chosen.partial) (*record.mutable_options())[kPartialOption] = "true";
  for (const auto& name : moved.names) record.add_tables(name);
  if (!request.workflow_options().tenant_id().empty()) {
    (*record.mutable_options())[kTenantOption] = request.workflow_options().tenant_id();
  }
  CO_RETURN_IF_ERROR(co_await check_free(tablets, record));
  CO_RETURN_IF_ERROR(co_await check_source_rules(topology, source, moved.names));

  auto vschema = co_await topo::get_vschema(topology, target);
  if (!vschema.ok() && vschema.error().code() != Code::kNotFound) co_return std::move(vschema).error();
  const ::vschema::Keyspace target_vschema = vschema.ok() ? vschema->record : ::vschema::Keyspace();
  CO_ASSIGN_OR_RETURN(const auto tenant, co_await check_tenant(topology, request, target_vschema, chosen.partial));
  CreatePlan plan;
  plan.settings = settings_of(request);
  plan.settings.source_time_zone = request.source_time_zone();
  plan.settings.atomic_copy = request.atomic_copy();
  if (!tenant.id.empty()) {
    set_tenant(record, tenant);
    // The table is in use, and others may copy into it at the same time.
    plan.settings.defer_secondary_keys = false;
  }
  plan.unsharded_target = !target_vschema.sharded();
  plan.routing_rules = !request.no_routing_rules();
  plan.auto_start = request.auto_start();
  plan.tables = {moved.schema.table_definitions().begin(), moved.schema.table_definitions().end()};
  const auto& options = request.workflow_options();
  CO_RETURN_IF_ERROR(check_numbering(options, target_vschema.sharded()));
  if (target_vschema.sharded() && options.sharded_auto_increment_handling() != ::vtctldata::LEAVE) {
    auto numbered = take_numbering(plan.tables, target_vschema);
    if (options.sharded_auto_increment_handling() == ::vtctldata::REPLACE && !numbered.empty()) {
      CO_RETURN_IF_ERROR(co_await check_new_sequences(tablets, options.global_keyspace(), numbered));
      plan.numbered = std::move(numbered);
      plan.global_keyspace = options.global_keyspace();
    }
  }
  // Before anything changes: a missing vindex is found here.
  CO_ASSIGN_OR_RETURN(plan.sources, plan_streams(record, target_vschema, tenant));
  if (chosen.partial) CO_RETURN_IF_ERROR(co_await check_partial(tablets, record, source_side, target_vschema));
  CO_ASSIGN_OR_RETURN(const auto target_side, co_await load_side(tablets, target, target_shards));
  CO_RETURN_IF_ERROR(check_primaries(target_side));
  if (tenant.id.empty()) {
    CO_RETURN_IF_ERROR(co_await check_tables_empty(tablets, target_side, plan.tables, false));
  } else {
    CO_RETURN_IF_ERROR(co_await check_tenant_sources(tablets, source_side, moved.names, tenant));
    CO_RETURN_IF_ERROR(co_await check_tenant_targets(tablets, target_side, moved.names, tenant));
  }
  CO_RETURN_IF_ERROR(co_await check_source_tables(tablets, source_side, plan.tables, target_vschema));
  if (!request.source_time_zone().empty()) {
    CO_RETURN_IF_ERROR(
        co_await check_time_zone(tablets, source_side, target_side, moved.names, request.source_time_zone()));
  }
  co_return co_await start_creation(tablets, std::move(record), std::move(plan), "MoveTables create");
}

namespace {

struct Shards {
  std::vector<std::string> names;
  std::vector<shard::KeyRange> ranges;
};

net::Task<Result<Shards>> read_shards(topo::Server& topology, std::string keyspace, std::vector<std::string> names,
                                      bool serving) {
  Shards out;
  std::map<std::string, ::topodata::Shard> records;
  CO_RETURN_IF_ERROR(co_await for_all<std::string>(names, [&](std::string name) {
    return [](topo::Server& server, std::string in, std::string shard,
              std::map<std::string, ::topodata::Shard>& into) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(auto info, co_await topo::get_shard(server, std::move(in), shard));
      into[shard] = std::move(info.record);
      co_return Status{};
    }(topology, keyspace, std::move(name), records);
  }));
  for (const auto& name : names) {
    const auto& record = records[name];
    if (record.is_primary_serving() != serving) {
      co_return fail(Code::kFailedPrecondition, serving ? fmt::format("source shard {} is not in serving state", name)
                                                        : fmt::format("target shard {} is in serving state", name));
    }
    out.names.push_back(name);
    out.ranges.push_back(topo::covered_range(record));
  }
  co_return std::move(out);
}

// Each stream finds a row's shard by the vschema: what it cannot find is named before anything is made.
Status check_reshard_places(const ::vschema::Keyspace& vschema, const std::string& keyspace,
                            const std::vector<tmd::TableDefinition>& tables, const std::vector<std::string>& targets) {
  for (const auto& target : targets) {
    ASSIGN_OR_RETURN(const auto name, shard::ShardName::parse(target));
    if (!name.key_range()) continue;
    for (const auto& table : tables) {
      const auto found = vschema.tables().find(table.name());
      const bool pinned = found != vschema.tables().end() && !found->second.pinned().empty();
      if (table.type() == "VIEW" || pinned) continue;
      const auto filter = table_filter(vschema, keyspace, table.name(), name);
      if (!filter.ok()) return filter.error();
    }
  }
  return {};
}

// A shard that rules lead to or from cannot be replaced by others.
net::Task<Status> check_no_shard_rules(topo::Server& topology, std::string keyspace, std::vector<std::string> shards) {
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_shard_routing_rules(topology));
  for (const auto& rule : stored.rules.rules()) {
    if (rule.from_keyspace() != keyspace && rule.to_keyspace() != keyspace) continue;
    if (std::ranges::find(shards, rule.shard()) == shards.end()) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("a shard routing rule leads {}/{} to {}: complete or cancel the workflows that move the "
                               "keyspace shard by shard first",
                               rule.from_keyspace(), rule.shard(), rule.to_keyspace()));
  }
  co_return Status{};
}

}  // namespace

net::Task<Status> create_reshard(TabletClient& tablets, ::vtctldata::ReshardCreateRequest request) {
  topo::Server& topology = tablets.topology();
  const std::string& keyspace = request.keyspace();
  CO_RETURN_IF_ERROR(check_workflow_name(request.workflow()));
  if (request.source_shards().empty() || request.target_shards().empty()) {
    co_return fail(Code::kInvalidArgument, "Reshard needs --source-shards and --target-shards");
  }
  CO_RETURN_IF_ERROR(refuse_unbuilt(request.workflow_options()));
  if (request.workflow_options().sharded_auto_increment_handling() == ::vtctldata::REPLACE ||
      !request.workflow_options().global_keyspace().empty()) {
    co_return fail(Code::kInvalidArgument, "sequences in the place of AUTO_INCREMENT are made by MoveTables");
  }
  CO_RETURN_IF_ERROR(co_await check_settings(topology, request));
  CO_ASSIGN_OR_RETURN(const auto vschema, co_await topo::get_vschema(topology, keyspace));
  if (!vschema.record.sharded()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("keyspace {} is not sharded: apply a sharded vschema first", keyspace));
  }
  CO_ASSIGN_OR_RETURN(
      const auto sources,
      co_await read_shards(topology, keyspace, {request.source_shards().begin(), request.source_shards().end()}, true));
  CO_ASSIGN_OR_RETURN(const auto targets,
                      co_await read_shards(topology, keyspace,
                                           {request.target_shards().begin(), request.target_shards().end()}, false));
  CO_RETURN_IF_ERROR(shard::check_same_cover(sources.ranges, targets.ranges));
  CO_RETURN_IF_ERROR(co_await check_no_shard_rules(topology, keyspace, sources.names));
  CO_ASSIGN_OR_RETURN(const auto source_side, co_await load_side(tablets, keyspace, sources.names));
  CO_ASSIGN_OR_RETURN(const auto target_side, co_await load_side(tablets, keyspace, targets.names));
  CO_RETURN_IF_ERROR(check_primaries(source_side));
  CO_RETURN_IF_ERROR(check_primaries(target_side));
  CO_ASSIGN_OR_RETURN(auto schema, co_await read_schema(tablets, *source_side.places.front().primary, {}, {}));
  remove_internal_tables(schema);

  engine::Record record;
  record.set_kind("Reshard");
  record.set_workflow(request.workflow());
  record.set_source_keyspace(keyspace);
  record.set_target_keyspace(keyspace);
  for (const auto& name : sources.names) record.add_source_shards(name);
  for (const auto& name : targets.names) record.add_target_shards(name);
  CO_RETURN_IF_ERROR(co_await check_free(tablets, record));
  CreatePlan plan;
  plan.settings = settings_of(request);
  plan.auto_start = request.auto_start();
  const std::vector<tmd::TableDefinition> tables(schema.table_definitions().begin(), schema.table_definitions().end());
  if (!request.skip_schema_copy()) plan.tables = tables;
  for (size_t i = 0; i < targets.names.size(); ++i) {
    // "0" has no key range: it takes every row.
    CO_ASSIGN_OR_RETURN(const auto target, shard::ShardName::parse(targets.names[i]));
    for (size_t j = 0; j < sources.names.size(); ++j) {
      if (!sources.ranges[j].intersects(targets.ranges[i])) continue;
      ::binlogdata::BinlogSource bls;
      bls.set_keyspace(keyspace);
      bls.set_shard(sources.names[j]);
      auto* rule = bls.mutable_filter()->add_rules();
      rule->set_match("/.*");
      rule->set_filter(target.key_range() ? targets.names[i] : "");
      plan.sources[targets.names[i]].push_back(std::move(bls));
    }
  }
  if (std::ranges::all_of(tables, [](const auto& table) { return table.type() == "VIEW"; })) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("keyspace {} has no table on its shard {}: there is nothing to split or merge", keyspace,
                               sources.names.front()));
  }
  CO_RETURN_IF_ERROR(check_reshard_places(vschema.record, keyspace, tables, targets.names));
  CO_RETURN_IF_ERROR(co_await check_tables_empty(tablets, target_side, tables, true));
  CO_RETURN_IF_ERROR(co_await check_source_tables(tablets, source_side, tables, vschema.record));
  co_return co_await start_creation(tablets, std::move(record), std::move(plan), "Reshard create");
}

net::Task<Status> create_copied(TabletClient& tablets, CopiedWorkflow workflow) {
  CO_RETURN_IF_ERROR(check_workflow_name(workflow.workflow));
  engine::Record record;
  record.set_kind(workflow.kind);
  record.set_workflow(workflow.workflow);
  record.set_source_keyspace(workflow.source_keyspace);
  record.set_target_keyspace(workflow.target_keyspace);
  for (const auto& name : workflow.source_shards) record.add_source_shards(name);
  for (const auto& name : workflow.target_shards) record.add_target_shards(name);
  for (const auto& name : workflow.tables) record.add_tables(name);
  CO_RETURN_IF_ERROR(co_await check_free(tablets, record));
  CreatePlan plan;
  plan.positions = workflow.positions;
  plan.unsharded_target = workflow.kind != "Reshard";
  for (const auto& target : workflow.target_shards) {
    CO_ASSIGN_OR_RETURN(const auto target_name, shard::ShardName::parse(target));
    for (const auto& source : workflow.source_shards) {
      CO_ASSIGN_OR_RETURN(const auto source_name, shard::ShardName::parse(source));
      const bool reshard = workflow.kind == "Reshard";
      if (reshard && !source_name.covered_range().intersects(target_name.covered_range())) continue;
      ::binlogdata::BinlogSource bls;
      bls.set_keyspace(workflow.source_keyspace);
      bls.set_shard(source);
      auto add_rule = [&bls](const std::string& match, const std::string& filter) {
        auto* rule = bls.mutable_filter()->add_rules();
        rule->set_match(match);
        rule->set_filter(filter);
      };
      for (const auto& table : workflow.exclude_tables) add_rule(table, "exclude");
      if (reshard) add_rule("/.*", target_name.key_range() ? target : "");
      for (const auto& table : workflow.tables) {
        add_rule(table, "select * from " + sql::quote_identifier_if_needed(table));
      }
      plan.sources[target].push_back(std::move(bls));
    }
  }
  co_return co_await start_creation(tablets, std::move(record), std::move(plan), workflow.kind + " create");
}

}  // namespace vitrail::control
