#include "control/workflow/mirror.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "control/fan_out.h"
#include "control/workflow/partial.h"
#include "control/workflow/records.h"
#include "control/workflow/sides.h"
#include "control/workflow/tenant.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/mirror_rules.h"
#include "vschema/vschema.h"

namespace vitrail::control {
namespace {

using namespace std::chrono_literals;

bool wants(const MirrorOptions& options, ::topodata::TabletType type) {
  return std::ranges::find(options.types, type) != options.types.end();
}

// Writes count only while the workflow is what it was when they were decided: an operation that has begun since then
// may have denied the tables because it moves them.
topo::WriteGuard unchanged_since(topo::Server& topology, engine::StoredRecord stored) {
  return [&topology, stored = std::move(stored)]() -> net::Task<Status> {
    return [](topo::Server& server, std::string keyspace, std::string workflow,
              topo::Version version) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto now, co_await engine::load_record(server, keyspace, workflow));
      if (now.version == version) co_return Status{};
      co_return fail(Code::kAborted,
                     fmt::format("workflow {}.{} was changed by another command meanwhile", keyspace, workflow));
    }(topology, stored.record.target_keyspace(), stored.record.workflow(), stored.version);
  };
}

// Whether reads pass the denied tables of the target's primary.
net::Task<Status> let_reads_pass(TabletClient& tablets, topo::WriteGuard guard, const engine::Record& record,
                                 std::string shard, bool pass) {
  auto updated = co_await topo::update_shard_fields(
      tablets.topology(), record.target_keyspace(), shard,
      [&record, &shard, pass](::topodata::Shard& now) -> Result<bool> {
        for (auto& control : *now.mutable_tablet_controls()) {
          if (control.tablet_type() != ::topodata::PRIMARY || control.denied_tables().empty()) continue;
          const bool own = std::ranges::all_of(control.denied_tables(), [&](const std::string& table) {
            return std::ranges::find(record.tables(), table) != record.tables().end();
          });
          if (!own && pass) {
            return fail(Code::kFailedPrecondition,
                        fmt::format("cannot mirror traffic for workflow {} at this time: the primary of {}/{} denies "
                                    "tables of other workflows, too; mirror --tablet-types REPLICA,RDONLY",
                                    record.workflow(), record.target_keyspace(), shard));
          }
          if (!own || control.allow_reads() == pass) return false;
          control.set_allow_reads(pass);
          return true;
        }
        return false;
      },
      {}, std::move(guard));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

net::Task<Status> carry_out(TabletClient& tablets, const FoundWorkflow& found, const MirrorOptions& options) {
  const engine::Record& record = found.record();
  topo::Server& topology = tablets.topology();
  const topo::WriteGuard guard = unchanged_since(topology, found.stored);
  const std::vector<std::string> tables(record.tables().begin(), record.tables().end());
  const vschema::TableMove move{record.source_keyspace(), record.target_keyspace(), tables};
  if (wants(options, ::topodata::PRIMARY)) {
    CO_ASSIGN_OR_RETURN(const auto target,
                        co_await load_side(tablets, record.target_keyspace(),
                                           {record.target_shards().begin(), record.target_shards().end()}));
    CO_RETURN_IF_ERROR(co_await for_all<Place>(target.places, [&](Place place) {
      return let_reads_pass(tablets, guard, record, place.shard, options.percent > 0);
    }));
    CO_RETURN_IF_ERROR(co_await refresh_primaries(tablets, target, net::Wait::within(30s)));
  }
  auto updated = co_await topo::update_mirror_rules(
      topology,
      [&](::vschema::MirrorRules& rules) -> Result<bool> {
        return vschema::set_mirrors(rules, move, options.types, options.percent);
      },
      guard);
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await topo::rebuild_srv_vschema(topology);
}

}  // namespace

Status check_mirror(const MirrorOptions& options, const vschema::TrafficState& state) {
  if (options.percent <= 0) return {};
  const auto refuse = [&](std::string_view what) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("cannot mirror traffic for workflow {} at this time: the {} traffic is switched already: {}",
                    options.workflow, what, state.to_string()));
  };
  if (wants(options, ::topodata::PRIMARY) && state.writes_switched) return refuse("primary");
  if (wants(options, ::topodata::REPLICA) && !state.replica_cells_switched.empty()) return refuse("replica");
  if (wants(options, ::topodata::RDONLY) && !state.rdonly_cells_switched.empty()) return refuse("rdonly");
  return {};
}

net::Task<Status> remove_mirrors(topo::Server& topology, topo::WriteGuard guard, vschema::TableMove move,
                                 std::vector<::topodata::TabletType> types) {
  auto updated = co_await topo::update_mirror_rules(
      topology,
      [&](::vschema::MirrorRules& rules) -> Result<bool> { return vschema::set_mirrors(rules, move, types, 0); },
      std::move(guard));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

net::Task<Result<MirrorOutcome>> mirror_traffic(TabletClient& tablets, MirrorOptions options) {
  topo::Server& topology = tablets.topology();
  CO_RETURN_IF_ERROR(vschema::check_mirror_percent(options.percent));
  if (options.types.empty()) options.types = {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY};
  for (const auto type : options.types) {
    if (type == ::topodata::PRIMARY || type == ::topodata::REPLICA || type == ::topodata::RDONLY) continue;
    co_return fail(Code::kInvalidArgument, fmt::format("traffic is of PRIMARY, REPLICA and RDONLY tablets, not of {}",
                                                       ::topodata::TabletType_Name(type)));
  }
  CO_ASSIGN_OR_RETURN(const auto first, co_await find_workflow(tablets, options.keyspace, options.workflow));
  CO_ASSIGN_OR_RETURN(auto locks, co_await KeyspaceLocks::acquire(topology, first.record().source_keyspace(),
                                                                  first.record().target_keyspace(), "MirrorTraffic"));
  MirrorOutcome outcome;
  auto body = [](TabletClient& client, MirrorOptions& wanted, MirrorOutcome& out) -> net::Task<Status> {
    // What was found may have changed while the locks were waited for.
    CO_ASSIGN_OR_RETURN(const auto found, co_await find_workflow(client, wanted.keyspace, wanted.workflow));
    const engine::Record& record = found.record();
    const bool special = is_partial(record) || is_tenant(record);
    if (record.kind() != "MoveTables" || special || found.by_reverse_name) {
      co_return fail(Code::kInvalidArgument, fmt::format("invalid action for {} workflow: MirrorTraffic",
                                                         found.by_reverse_name ? "reverse"
                                                         : is_partial(record)  ? "partial MoveTables"
                                                         : is_tenant(record)   ? "multi-tenant MoveTables"
                                                                               : record.kind()));
    }
    CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(client, model_of(record)));
    out.start_state = state.to_string();
    CO_RETURN_IF_ERROR(check_mirror(wanted, state));
    CO_RETURN_IF_ERROR(co_await carry_out(client, found, wanted));
    CO_ASSIGN_OR_RETURN(const auto after, co_await read_traffic_state(client, model_of(record)));
    out.current_state = after.to_string();
    co_return Status{};
  };
  Status done = co_await body(tablets, options, outcome);
  if (Status released = co_await locks.release(); !released.ok()) {
    log_warning("the locks of {}.{} were lost meanwhile: {}", options.keyspace, options.workflow,
                released.error().message());
  }
  if (!done.ok()) co_return std::move(done).error();
  co_return outcome;
}

}  // namespace vitrail::control
