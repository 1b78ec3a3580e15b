#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "control/workflow/cleanup.h"
#include "control/workflow/create.h"
#include "control/workflow/foreign_schema.h"
#include "control/workflow/migrate.h"
#include "control/workflow/model.h"
#include "control/workflow/partial.h"
#include "control/workflow/tenant.h"
#include "mysqld/rows.h"
#include "topo/shard.h"
#include "topo/workflow_fence.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"

namespace vitrail::control {

namespace tmd = ::tabletmanagerdata;

CreateOperation::CreateOperation(TabletClient& tablets, engine::Tenure& tenure, CreatePlan plan, Side target)
    : tablets_(tablets),
      tenure_(tenure),
      plan_(std::move(plan)),
      target_(std::move(target)),
      tables_(tenure.record().tables().begin(), tenure.record().tables().end()) {}

// Which steps there are decides the record, not the plan: another process takes back what is noted there.
std::vector<engine::Step> CreateOperation::steps() {
  std::vector<engine::Step> steps;
  auto add = [&steps](const char* id, std::function<net::Task<Status>()> apply,
                      std::function<net::Task<Status>()> undo = {}) {
    steps.push_back({.id = id, .apply = std::move(apply), .undo = std::move(undo)});
  };
  const auto wants = [this](const char* name) {
    const auto found = tenure_.open().settings().find(name);
    return found != tenure_.open().settings().end() && found->second == "true";
  };
  add("deploy_schema", [this] { return deploy_schema(); }, [this] { return drop_created_tables(); });
  if (wants("sequences")) {
    add("create_sequences", [this] { return create_sequences(); }, [this] { return remove_created_sequences(); });
  }
  add("create_streams", [this] { return create_streams(); }, [this] { return delete_created_streams(); });
  if (wants("routing_rules") && is_tenant(record())) {
    add("routing_rules", [this] { return add_tenant_rules(); }, [this] { return remove_routing_rules(); });
  } else if (wants("routing_rules")) {
    // Nobody writes to the copies: first the rules that lead everybody to the source, then the denial on the target.
    add("routing_rules", [this] { return add_routing_rules(); }, [this] { return remove_routing_rules(); });
    add(
        "deny_target_tables", [this] { return deny_target_tables(true); },
        [this] { return deny_target_tables(false); });
  }
  // Behind the rules: a name that two keyspaces have, and no rule, is ambiguous to clients.
  if (record().kind() == "MoveTables") {
    add("update_vschema", [this] { return add_to_vschema(); }, [this] { return remove_added_from_vschema(); });
  }
  if (wants("source_shards")) {
    add("source_shards", [this] { return set_source_shards(true); }, [this] { return set_source_shards(false); });
  }
  if (wants("auto_start")) add("start_streams", [this] { return start_streams(); });
  return steps;
}

bool CreateOperation::close(engine::Record&, bool undone) { return undone; }

net::Task<Status> CreateOperation::note(const char* step, std::string name, std::string value) {
  co_return co_await note_all(step, {{std::move(name), std::move(value)}});
}

// In one write of the record, which has all shards: one for each of them would be as many times as much as there are.
net::Task<Status> CreateOperation::note_all(const char* step, std::map<std::string, std::string> notes) {
  co_return co_await tenure_.change([&](engine::Record& record) {
    for (auto& one : *record.mutable_open()->mutable_steps()) {
      if (one.name() != step) continue;
      for (const auto& [name, value] : notes) (*one.mutable_notes())[name] = value;
    }
  });
}

// A noted list; names are separated by a byte that no identifier has.
std::vector<std::string> CreateOperation::noted(const char* step, const std::string& name) const {
  std::vector<std::string> out;
  const auto* text = engine::find_note(record(), step, name);
  if (text == nullptr) return out;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    out.push_back(text->substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

// --- tables ---------------------------------------------------------------------------------------------------------

net::Task<Status> CreateOperation::find_missing_tables(Place place, std::vector<const tmd::TableDefinition*>& missing) {
  CO_ASSIGN_OR_RETURN(const auto list, co_await list_tables(tablets_, *place.primary));
  const std::map<std::string, bool> present(list.begin(), list.end());
  for (const auto& table : plan_.tables) {
    if (table.type() != "VIEW" && !present.contains(table.name())) missing.push_back(&table);
  }
  co_return Status{};
}

net::Task<Status> CreateOperation::make_tables_on(Place place, std::vector<const tmd::TableDefinition*> missing) {
  // A table that refers to another one can be made only behind that: as often as it takes.
  while (!missing.empty()) {
    std::vector<const tmd::TableDefinition*> failed;
    std::optional<Error> error;
    for (const auto* table : missing) {
      tmd::ExecuteFetchAsDbaRequest request;
      request.set_db_name(topo::tablet_db_name(*place.primary));
      request.set_query(table->schema());
      topo::set_fence(request, tenure_.fence());
      auto created = co_await tablets_.call<tmd::ExecuteFetchAsDbaResponse>(*place.primary, "ExecuteFetchAsDba",
                                                                            request, cleanup_wait());
      if (!created.ok() && created.error().message().find("Unknown collation") != std::string::npos) {
        if (auto other = with_other_collations(table->schema())) {  // Of the other kind of server.
          request.set_query(std::move(*other));
          created = co_await tablets_.call<tmd::ExecuteFetchAsDbaResponse>(*place.primary, "ExecuteFetchAsDba",
                                                                           std::move(request), cleanup_wait());
        }
      }
      if (created.ok()) continue;
      failed.push_back(table);
      error = std::move(created).error().with_context("create table " + table->name());
    }
    if (failed.size() == missing.size()) co_return std::move(*error);
    missing = std::move(failed);
  }
  co_return Status{};
}

net::Task<Status> CreateOperation::deploy_schema() {
  std::map<std::string, std::vector<const tmd::TableDefinition*>> missing;
  for (const auto& place : target_.places) missing[place.shard];
  CO_RETURN_IF_ERROR(co_await for_all<Place>(
      target_.places, [&](Place place) { return find_missing_tables(place, missing.at(place.shard)); }));
  // Noted before they are made: what was there before must survive when this is undone.
  std::map<std::string, std::string> notes;
  for (const auto& [shard, tables] : missing) {
    std::string& names = notes["created " + shard];
    for (const auto* table : tables) names += table->name() + "\n";
  }
  CO_RETURN_IF_ERROR(co_await note_all("deploy_schema", std::move(notes)));
  co_return co_await for_all<Place>(target_.places,
                                    [&](Place place) { return make_tables_on(place, missing.at(place.shard)); });
}

net::Task<Status> CreateOperation::drop_created_tables_on(Place place) {
  auto names = noted("deploy_schema", "created " + place.shard);
  if (names.empty() || !place.primary) co_return Status{};
  // Another tenant's workflow may have found them in the meantime.
  if (is_tenant(record())) {
    CO_ASSIGN_OR_RETURN(const auto others, co_await engine::list_records(topology()));
    for (const auto& other : others) {
      if (are_neighbours(record(), other.record)) co_return Status{};
    }
  }
  co_return co_await drop_tables(tablets_, tenure_.fence(), *place.primary, std::move(names), false);
}

net::Task<Status> CreateOperation::drop_created_tables() {
  co_return co_await for_all<Place>(target_.places,
                                    [this](Place place) { return drop_created_tables_on(std::move(place)); });
}

// --- streams --------------------------------------------------------------------------------------------------------

net::Task<Status> CreateOperation::create_streams_on(Place place) {
  const auto found = plan_.sources.find(place.shard);
  if (found == plan_.sources.end()) co_return Status{};
  tmd::CreateVReplicationWorkflowRequest request;
  request.set_workflow(record().workflow());
  request.set_workflow_type(record().kind() == "Reshard"      ? ::binlogdata::Reshard
                            : record().kind() == kMaterialize ? ::binlogdata::Materialize
                            : record().kind() == kMigrate     ? ::binlogdata::Migrate
                                                              : ::binlogdata::MoveTables);
  if (is_partial(record())) request.set_workflow_sub_type(::binlogdata::Partial);
  request.set_auto_start(false);
  request.set_options(stream_options(record()));
  plan_.settings.apply_to(request);
  for (auto source : found->second) {
    source.set_on_ddl(plan_.settings.on_ddl_action());
    source.set_stop_after_copy(plan_.settings.stop_after_copy);
    if (!plan_.settings.source_time_zone.empty()) {
      source.set_source_time_zone(plan_.settings.source_time_zone);
      source.set_target_time_zone("UTC");
    }
    *request.add_binlog_source() = std::move(source);
  }
  topo::set_fence(request, tenure_.fence());
  auto created = co_await tablets_.call<tmd::CreateVReplicationWorkflowResponse>(
      *place.primary, "CreateVReplicationWorkflow", std::move(request), cleanup_wait());
  if (!created.ok()) co_return std::move(created).error();
  if (plan_.positions.empty()) co_return Status{};
  co_return co_await position_streams(std::move(place));
}

// They copy nothing: a stream that has a position goes on from it.
net::Task<Status> CreateOperation::position_streams(Place place) {
  CO_ASSIGN_OR_RETURN(const auto streams,
                      co_await read_streams(tablets_, *place.primary, record().workflow(), cleanup_wait()));
  for (const auto& stream : streams.streams()) {
    const auto position = plan_.positions.find(stream.bls().shard());
    if (position == plan_.positions.end()) {
      co_return fail(Code::kInternal, fmt::format("no position of the source shard {} is known", stream.bls().shard()));
    }
    tmd::VReplicationExecRequest request;
    request.set_query(fmt::format("update _vt.vreplication set pos = {} where id = {}",
                                  mysqld::quote_string(position->second), stream.id()));
    topo::set_fence(request, tenure_.fence());
    auto done = co_await tablets_.call<tmd::VReplicationExecResponse>(*place.primary, "VReplicationExec",
                                                                      std::move(request), cleanup_wait());
    if (!done.ok()) co_return std::move(done).error();
  }
  co_return Status{};
}

net::Task<Status> CreateOperation::add_source_shards_of(Place place) {
  CO_ASSIGN_OR_RETURN(const auto streams,
                      co_await read_streams(tablets_, *place.primary, record().workflow(), cleanup_wait()));
  std::vector<::topodata::Shard::SourceShard> sources;
  for (const auto& stream : streams.streams()) {
    auto& source = sources.emplace_back();
    source.set_uid(stream.id());
    source.set_keyspace(stream.bls().keyspace());
    source.set_shard(stream.bls().shard());
    if (record().kind() == "Reshard") {
      CO_ASSIGN_OR_RETURN(const auto from, shard::ShardName::parse(stream.bls().shard()));
      if (from.key_range()) *source.mutable_key_range() = topo::to_proto(*from.key_range());
    }
    for (const auto& table : tables_) source.add_tables(table);
  }
  auto updated = co_await topo::update_shard_fields(
      topology(), target_.keyspace, place.shard,
      [&](::topodata::Shard& shard) -> Result<bool> {
        shard.clear_source_shards();
        for (const auto& source : sources) *shard.add_source_shards() = source;
        return true;
      },
      {}, tenure_.guard());
  co_return updated.ok() ? Status{} : Status(std::move(updated).error());
}

// The targets' primaries serve nothing while they have sources.
net::Task<Status> CreateOperation::set_source_shards(bool present) {
  if (present) {
    CO_RETURN_IF_ERROR(co_await for_all<Place>(target_.places,
                                               [this](Place place) { return add_source_shards_of(std::move(place)); }));
  } else {
    CO_RETURN_IF_ERROR(co_await clear_source_shards(tablets_, tenure_.guard(), target_));
  }
  co_return co_await refresh_primaries(tablets_, target_, cleanup_wait());
}

// Those of an earlier workflow of the same name, which was ended without its source. Left there, they would be taken
// for the reverse workflow of this one.
net::Task<Status> CreateOperation::delete_left_streams() {
  const std::string name = reverse_workflow_name(record().workflow());
  CO_ASSIGN_OR_RETURN(const auto source,
                      co_await load_side(tablets_, record().source_keyspace(),
                                         {record().source_shards().begin(), record().source_shards().end()}));
  std::vector<::topodata::Tablet> where;
  CO_RETURN_IF_ERROR(co_await for_all<::topodata::Tablet>(source.primaries(), [&](::topodata::Tablet primary) {
    return find_left_streams(std::move(primary), name, where);
  }));
  if (where.empty()) co_return Status{};
  co_return co_await delete_streams(tablets_, tenure_.fence(), std::move(where), name, cleanup_wait());
}

net::Task<Status> CreateOperation::find_left_streams(::topodata::Tablet primary, std::string name,
                                                     std::vector<::topodata::Tablet>& where) {
  CO_ASSIGN_OR_RETURN(const auto present, co_await read_streams(tablets_, primary, name, cleanup_wait()));
  for (const auto& stream : present.streams()) {
    if (stream.bls().keyspace() == record().target_keyspace()) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("the streams {} on {}/{} belong to another workflow: they come from keyspace {}", name,
                               primary.keyspace(), primary.shard(), stream.bls().keyspace()));
  }
  if (present.streams_size() > 0) where.push_back(std::move(primary));
  co_return Status{};
}

net::Task<Status> CreateOperation::create_streams() {
  CO_RETURN_IF_ERROR(co_await delete_left_streams());
  std::map<std::string, std::string> notes;
  for (const auto& place : target_.places) {
    if (plan_.sources.contains(place.shard)) notes["created " + place.shard] = "true";
  }
  CO_RETURN_IF_ERROR(co_await note_all("create_streams", std::move(notes)));
  co_return co_await for_all<Place>(target_.places,
                                    [this](Place place) { return create_streams_on(std::move(place)); });
}

net::Task<Status> CreateOperation::delete_created_streams() {
  std::vector<::topodata::Tablet> where;
  for (const auto& place : target_.places) {
    if (noted("create_streams", "created " + place.shard).empty() || !place.primary) continue;
    where.push_back(*place.primary);
  }
  co_return co_await delete_streams(tablets_, tenure_.fence(), std::move(where), record().workflow(), cleanup_wait());
}

net::Task<Status> CreateOperation::start_streams() {
  return set_streams(tablets_, tenure_.fence(), target_.primaries(), record().workflow(), ::binlogdata::Running, "",
                     cleanup_wait());
}

// --- vschema and rules ----------------------------------------------------------------------------------------------

net::Task<Status> CreateOperation::add_to_vschema() {
  // Written with the end of this step at the latest.
  tenure_.note([](engine::Record& record) { record.set_additions_known(true); });
  if (plan_.unsharded_target) {
    auto stored = co_await topo::get_vschema(topology(), record().target_keyspace());
    if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return std::move(stored).error();
    std::string names;
    for (const auto& table : tables_) {
      if (!stored.ok() || !stored->record.tables().contains(table)) names += table + "\n";
    }
    CO_RETURN_IF_ERROR(co_await note("update_vschema", "added", names));
    const auto added = noted("update_vschema", "added");
    tenure_.note(
        [&](engine::Record& record) { record.mutable_added_to_vschema()->Assign(added.begin(), added.end()); });
    auto updated = co_await topo::update_vschema_fields(
        topology(), record().target_keyspace(),
        [&](::vschema::Keyspace& vschema) -> Result<bool> {
          bool changed = false;
          for (const auto& table : tables_) {
            if (vschema.tables().contains(table)) continue;
            (*vschema.mutable_tables())[table] = {};
            changed = true;
          }
          return changed;
        },
        tenure_.guard());
    if (!updated.ok()) co_return std::move(updated).error();
  }
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> CreateOperation::remove_added_from_vschema() {
  auto added = noted("update_vschema", "added");
  if (added.empty()) co_return Status{};
  CO_RETURN_IF_ERROR(
      co_await remove_from_vschema(topology(), tenure_.guard(), record().target_keyspace(), std::move(added)));
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> CreateOperation::add_routing_rules() {
  // Rules of others for the same names come back when the workflow is cancelled.
  if (is_partial(record())) CO_RETURN_IF_ERROR(co_await add_shard_rules());
  CO_ASSIGN_OR_RETURN(const auto present, co_await topo::get_routing_rules(topology()));
  ::vschema::RoutingRules without = present.rules;
  vschema::delete_move_rules(without, move());
  std::vector<::vschema::RoutingRule> displaced;
  for (const auto& rule : present.rules.rules()) {
    if (vschema::find_rule(without, rule.from_table()) == nullptr) displaced.push_back(rule);
  }
  // What another workflow of the same move has displaced, not what it has put in its place.
  if (is_partial(record())) {
    CO_ASSIGN_OR_RETURN(const auto others, co_await engine::list_records(topology()));
    for (const auto& other : others) {
      if (!are_siblings(record(), other.record)) continue;
      displaced = {other.record.displaced_rules().begin(), other.record.displaced_rules().end()};
    }
  }
  CO_RETURN_IF_ERROR(co_await tenure_.change([&](engine::Record& record) {
    if (record.displaced_rules_size() > 0) return;  // Known since an earlier attempt.
    for (const auto& rule : displaced) *record.add_displaced_rules() = rule;
  }));
  auto updated = co_await topo::update_routing_rules(
      topology(),
      [&](::vschema::RoutingRules& rules) -> Result<bool> {
        vschema::add_move_rules(rules, move());
        return true;
      },
      tenure_.guard());
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> CreateOperation::add_shard_rules() {
  CO_ASSIGN_OR_RETURN(const auto serving, co_await topo::find_serving_shards(topology(), record().source_keyspace()));
  std::vector<std::string> shards;
  for (const auto& info : serving) shards.push_back(info.name);
  auto updated = co_await topo::update_shard_routing_rules(
      topology(),
      [&](::vschema::ShardRoutingRules& rules) -> Result<bool> {
        vschema::add_shard_rules(rules, record().source_keyspace(), record().target_keyspace(), shards);
        return true;
      },
      tenure_.guard());
  co_return updated.ok() ? Status{} : Status(std::move(updated).error());
}

net::Task<Status> CreateOperation::add_tenant_rules() {
  const std::string source = record().source_keyspace();
  return set_tenant_rules(topology(), tenure_.guard(), source, source,
                          {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY});
}

net::Task<Status> CreateOperation::remove_routing_rules() {
  if (is_tenant(record())) {
    co_return co_await remove_tenant_rules(topology(), tenure_.guard(), record().source_keyspace());
  }
  if (is_partial(record())) {
    CO_ASSIGN_OR_RETURN(const bool last, co_await read_is_last(topology(), record(), true));
    if (!last) co_return Status{};
    CO_RETURN_IF_ERROR(co_await remove_shard_rules(topology(), tenure_.guard(), record()));
  }
  CO_RETURN_IF_ERROR(co_await remove_move_rules(
      topology(), tenure_.guard(), move(), {record().displaced_rules().begin(), record().displaced_rules().end()}));
  co_return co_await topo::rebuild_srv_vschema(topology());
}

net::Task<Status> CreateOperation::deny_target_tables(bool deny) {
  CO_RETURN_IF_ERROR(co_await for_all<Place>(target_.places, [this, deny](Place place) {
    return deny_tables(tablets_, tenure_.guard(), target_.keyspace, place.shard, tables_, deny);
  }));
  co_return co_await refresh_primaries(tablets_, target_, cleanup_wait());
}

}  // namespace vitrail::control
