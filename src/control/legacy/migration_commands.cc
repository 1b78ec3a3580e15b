// Older commands that migrate what tablets serve, step by step: the end of SplitClone and VerticalSplitClone.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "base/duration.h"
#include "base/text.h"
#include "control/client/client.h"
#include "control/legacy/command.h"
#include "control/served_from.h"
#include "control/workflow/records.h"
#include "control/workflow/switch.h"
#include "mysqld/rows.h"
#include "tabletmanagerdata.pb.h"
#include "topo/cells.h"
#include "topo/shard.h"
#include "topo/tablet.h"
#include "vtctldata.pb.h"

namespace vitrail::control::legacy {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;
using Output = net::Task<Result<std::string>>;
using Words = std::vector<std::string>;

Result<base::Duration> duration_flag(const Call& call, std::string_view name, base::Duration fallback) {
  if (!call.has(name)) return fallback;
  return base::parse_duration(call.get(name));
}

// Why no workflow has the shard.
net::Task<Error> not_resharded(topo::Server& topology, std::string keyspace, std::string shard) {
  const std::string path = keyspace + "/" + shard;
  const auto all = co_await topo::find_all_shards(topology, keyspace);
  if (!all.ok()) co_return all.error();
  const auto found = all->find(shard);
  if (found == all->end()) co_return fail(Code::kNotFound, fmt::format("shard {} does not exist", path));
  for (const auto& [name, info] : *all) {
    if (name == shard || !topo::covered_range(info.record).intersects(topo::covered_range(found->second.record))) {
      continue;
    }
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("neither Shard '{}' nor Shard '{}' have a 'SourceShards' entry. Did you successfully run "
                    "vtworker SplitClone before? Or did you already migrate the MASTER type?",
                    shard, name));
  }
  co_return fail(Code::kFailedPrecondition, fmt::format("shard {} is not involved in any overlapping shards", path));
}

// The reshard that a shard takes part in, on either side; what an earlier command left of it is brought to its end.
net::Task<Result<FoundWorkflow>> find_reshard(const Call& call, std::string keyspace, std::string shard) {
  vd::GetWorkflowsRequest request;
  request.set_keyspace(keyspace);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await call.vtctld<vd::GetWorkflowsResponse>("GetWorkflows", std::move(request)));
  Words found;
  for (const auto& workflow : done.workflows()) {
    if (!base::equals_ignoring_case(workflow.workflow_type(), "Reshard") || workflow.name().ends_with("_reverse")) {
      continue;
    }
    Words shards(workflow.source().shards().begin(), workflow.source().shards().end());
    shards.insert(shards.end(), workflow.target().shards().begin(), workflow.target().shards().end());
    if (std::ranges::find(shards, shard) != shards.end()) found.push_back(workflow.name());
  }
  if (found.empty()) co_return co_await not_resharded(call.environment.topology(), keyspace, shard);
  if (found.size() > 1) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("several workflows have shard {}/{}: {}; use Reshard SwitchTraffic", keyspace, shard,
                               base::join(found, ", ")));
  }
  co_return co_await find_workflow(call.environment.tablets, keyspace, found[0]);
}

// Types that still serve on the side that the primary is to leave.
net::Task<Result<Words>> types_left(TabletClient& tablets, const engine::Record& record) {
  CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(tablets, model_of(record)));
  const bool back = record.writes_switched();
  Words left;
  if (!(back ? state.replica_cells_switched : state.replica_cells_not_switched).empty()) left.emplace_back("REPLICA");
  if (!(back ? state.rdonly_cells_switched : state.rdonly_cells_not_switched).empty()) left.emplace_back("RDONLY");
  co_return left;
}

// What Reshard SwitchTraffic does not offer. Prints what that prints.
Output switch_reads(const Call& call, SwitchOptions options) {
  for (const auto& cell : base::split_list(call.get("cells"))) options.cells.emplace_back(cell);
  if (call.has("filtered_replication_wait_time")) {
    CO_ASSIGN_OR_RETURN(options.timeout, base::parse_duration(call.get("filtered_replication_wait_time")));
  }
  const std::string summary =
      fmt::format("{} was successful for workflow {}.{}", options.reverse ? "ReverseTraffic" : "SwitchTraffic",
                  options.keyspace, options.workflow);
  CO_ASSIGN_OR_RETURN(const auto done, co_await switch_traffic(call.environment.tablets, std::move(options)));
  co_return fmt::format("{}\n\nStart State: {}\nCurrent State: {}\n\n", summary, done.start_state, done.current_state);
}

// MigrateServedTypes <keyspace/shard> <type>: any shard that takes part names the reshard. Where the writes are decides
// the way: once they are on the new shards, migrating leads back.
Output migrate_served_types(const Call& call) {
  const std::string& shard_path = call.arguments[0];
  CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(shard_path));
  CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(call.arguments[1]));
  if (!topo::is_serving_type(type)) {
    co_return fail(Code::kInvalidArgument, "supplied type cannot be migrated: " + call.arguments[1]);
  }
  const bool primary = type == ::topodata::PRIMARY;
  if (primary && call.has("cells")) {
    co_return fail(Code::kInvalidArgument, "cannot specify cells for master migration on " + shard_path);
  }
  if (primary && call.is_true("reverse")) {
    co_return fail(Code::kInvalidArgument,
                   "cannot migrate master back to " + shard_path +
                       ": after a migration with -reverse_replication, MigrateServedTypes without -reverse leads back");
  }
  if (primary && call.is_true("skip-refresh-state")) {
    co_return fail(Code::kInvalidArgument, "cannot skip refresh state for master migration on " + shard_path);
  }
  CO_ASSIGN_OR_RETURN(const auto found, co_await find_reshard(call, name.first, name.second));
  const engine::Record& record = found.record();
  const bool back = record.writes_switched();
  if (primary) {
    CO_ASSIGN_OR_RETURN(const Words left, co_await types_left(call.environment.tablets, record));
    if (!left.empty()) {
      const auto& from = back ? record.target_shards() : record.source_shards();
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("cannot migrate MASTER away from {}/{} until everything else is migrated. Make sure "
                                 "that the following types are migrated first: {}",
                                 name.first, from.empty() ? name.second : from[0], base::join(left, ", ")));
    }
  }
  const bool reverse = back != call.is_true("reverse");
  if (call.is_true("skip-refresh-state")) {
    SwitchOptions options;
    options.keyspace = name.first;
    options.workflow = record.workflow();
    options.reverse = reverse;
    options.types = {type};
    options.skip_refresh = true;
    co_return co_await switch_reads(call, std::move(options));
  }
  const Words workflow = {"Reshard", "--workflow=" + record.workflow(), "--target-keyspace=" + name.first};
  Words words = workflow;
  words.emplace_back(reverse ? "reversetraffic" : "switchtraffic");
  words.push_back("--tablet-types=" + topo::tablet_type_to_string(type));
  const bool keeps = call.is_true("reverse_replication");
  if (primary) words.push_back(fmt::format("--enable-reverse-replication={}", keeps));
  for (const auto& flag : call.todays_flags()) words.push_back(flag);
  CO_ASSIGN_OR_RETURN(std::string shown, co_await call.run(std::move(words)));
  if (!primary || keeps) co_return shown;
  // Nothing leads back: the migration is over, and with it the workflow. The shards that served stay until DeleteShard.
  Words end = workflow;
  end.emplace_back(back ? "cancel" : "complete");
  end.emplace_back("--keep-data");
  auto ended = co_await call.run(std::move(end));
  if (!ended.ok()) co_return std::move(ended).error().with_context("the master was migrated; the workflow is left");
  co_return shown;
}

// MigrateServedFrom <destination keyspace/shard> <type>
Output migrate_served_from_command(const Call& call) {
  CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(call.arguments[0]));
  CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(call.arguments[1]));
  ServedFromMigration migration{.keyspace = name.first,
                                .shard = name.second,
                                .type = type,
                                .cells = base::split_list(call.get("cells")),
                                .reverse = call.is_true("reverse")};
  if (call.has("filtered_replication_wait_time")) {
    CO_ASSIGN_OR_RETURN(migration.timeout, base::parse_duration(call.get("filtered_replication_wait_time")));
  }
  CO_ASSIGN_OR_RETURN(const auto notes, co_await migrate_served_from(call.environment.tablets, std::move(migration)));
  for (const auto& note : notes) {
    CO_RETURN_IF_ERROR(co_await call.environment.report(LegacyLevel::kWarning, "not refreshed: " + note));
  }
  co_return std::string();
}

// --- waiting --------------------------------------------------------------------------------------------------------

struct StreamDelay {
  bool running = false;
  double seconds = 0;  // Of the slowest.
};

// Of the streams that a shard's record names as its sources.
net::Task<Result<StreamDelay>> read_delay(TabletClient& tablets, ::topodata::Tablet primary, std::string ids,
                                          int count) {
  tmd::VReplicationExecRequest request;
  request.set_query("select state, time_heartbeat from _vt.vreplication where id in (" + ids + ")");
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await tablets.call<tmd::VReplicationExecResponse>(std::move(primary), "VReplicationExec",
                                                                           std::move(request), net::Wait::within(30s)));
  StreamDelay delay;
  const double now = std::chrono::duration<double>(tablets.topology().clock().wall_now().time_since_epoch()).count();
  int running = 0;
  for (const auto& row : done.result().rows()) {
    if (row.lengths_size() != 2 || row.lengths(0) < 0)
      co_return fail(Code::kInternal, "a stream's row has another form");
    const auto split = std::min(static_cast<size_t>(row.lengths(0)), row.values().size());
    const std::string_view state = std::string_view(row.values()).substr(0, split);
    if (state == "Running" || state == "Copying" || state == "Init") ++running;
    const auto heartbeat =
        static_cast<double>(mysqld::to_int(std::string_view(row.values()).substr(split)).value_or(0));
    // The heartbeat is in whole seconds.
    delay.seconds = std::max(delay.seconds, std::max(0.0, now - heartbeat - 1));
    if (state == "Copying" || state == "Init") delay.seconds = std::max(delay.seconds, now);
  }
  delay.running = running == count;
  co_return delay;
}

// WaitForFilteredReplication [-max_delay=30s] <destination keyspace/shard>
Output wait_for_filtered_replication(const Call& call) {
  const std::string& path = call.arguments[0];
  CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(path));
  CO_ASSIGN_OR_RETURN(const auto most, duration_flag(call, "max_delay", 30s));
  const double max_delay = std::chrono::duration<double>(most).count();
  const net::Wait until = net::Wait::within(call.environment.action_timeout);
  bool told = false;
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto shard,
                        co_await topo::get_shard(call.environment.topology(), name.first, name.second));
    if (shard.record.source_shards().empty()) {
      co_return fail(Code::kFailedPrecondition, "shard " + path + " has no source shard");
    }
    if (!shard.record.has_primary_alias())
      co_return fail(Code::kFailedPrecondition, "shard " + path + " has no master");
    CO_ASSIGN_OR_RETURN(const auto primary, co_await call.environment.tablets.primary_of(name.first, name.second));
    const std::string alias = topo::alias_to_string(primary.alias());
    std::string ids;
    for (const auto& source : shard.record.source_shards()) {
      ids += fmt::format("{}{}", ids.empty() ? "" : ",", source.uid());
    }
    CO_ASSIGN_OR_RETURN(const auto delay, co_await read_delay(call.environment.tablets, primary, std::move(ids),
                                                              shard.record.source_shards_size()));
    if (!delay.running)
      co_return fail(Code::kFailedPrecondition, "no filtered replication running on tablet: " + alias);
    if (delay.seconds <= max_delay) {
      co_return fmt::format("Filtered replication on tablet: {} has caught up. Last seen delay: {:.1f} seconds\n",
                            alias, delay.seconds);
    }
    if (base::system_clock().now() >= until.deadline) {
      co_return fail(
          Code::kDeadlineExceeded,
          fmt::format("filtered replication on tablet: {} is still {:.1f} seconds behind", alias, delay.seconds));
    }
    if (!told) {
      CO_RETURN_IF_ERROR(co_await call.environment.report(
          LegacyLevel::kConsole,
          fmt::format("Waiting until filtered replication on tablet: {} is at most {:.1f} seconds behind. Last seen "
                      "delay: {:.1f} seconds\n",
                      alias, max_delay, delay.seconds)));
      told = true;
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(500ms, call.environment.cancel));
  }
}

// WaitForDrain [-cells=...] [-timeout=..] [-retry_delay=1s] [-initial_wait=1m] <keyspace/shard> <type>
Output wait_for_drain(const Call& call) {
  CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(call.arguments[0]));
  CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(call.arguments[1]));
  CO_ASSIGN_OR_RETURN(const auto timeout, duration_flag(call, "timeout", call.environment.action_timeout));
  CO_ASSIGN_OR_RETURN(const auto delay, duration_flag(call, "retry_delay", 1s));
  CO_ASSIGN_OR_RETURN(const auto initial, duration_flag(call, "initial_wait", 1min));
  topo::TabletQuery query;
  query.keyspace = name.first;
  query.shard = name.second;
  query.type = type;
  if (call.has("cells")) {
    CO_ASSIGN_OR_RETURN(query.cells,
                        co_await topo::expand_cells(call.environment.topology(), base::split_list(call.get("cells"))));
  }
  const base::TimePoint deadline = base::system_clock().now() + timeout;
  // What is counted are statements a second: they need a while to go down.
  CO_RETURN_IF_ERROR(co_await net::sleep_for(std::min<base::Duration>(initial, timeout), call.environment.cancel));
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(call.environment.topology(), query));
    Words busy;
    for (const auto& tablet : list.tablets) {
      const auto health = co_await call.environment.tablets.health_of(tablet, net::Wait::within(5s));
      // One that does not answer serves nobody either.
      if (health.ok() && health->realtime_stats().qps() > 0) {
        busy.push_back(
            fmt::format("{} ({:.1f} qps)", topo::alias_to_string(tablet.alias()), health->realtime_stats().qps()));
      }
    }
    if (busy.empty()) co_return std::string("All tablets are drained.\n");
    if (base::system_clock().now() >= deadline) {
      co_return fail(Code::kDeadlineExceeded,
                     "timed out, these tablets still serve queries: " + base::join(busy, ", "));
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(delay, call.environment.cancel));
  }
}

// --- looking and giving up ------------------------------------------------------------------------------------------

std::string describe_side(const std::map<std::string, topo::ShardInfo>& all,
                          const google::protobuf::RepeatedPtrField<std::string>& shards) {
  std::string out;
  for (const auto& name : shards) {
    out += "  Shard: " + name + "\n";
    const auto found = all.find(name);
    if (found == all.end()) {
      out += "    does not exist\n";
      continue;
    }
    const auto& record = found->second.record;
    out += fmt::format("    Is Master Serving: {}\n", record.is_primary_serving());
    for (const auto& source : record.source_shards()) {
      out += fmt::format("    Source Shard: {}/{} (uid {})\n", source.keyspace(), source.shard(), source.uid());
    }
    for (const auto& control : record.tablet_controls()) {
      out += fmt::format("    Tablet Control: {} {}\n", topo::tablet_type_to_string(control.tablet_type()),
                         base::join(Words(control.denied_tables().begin(), control.denied_tables().end()), ","));
    }
  }
  return out;
}

// ShowResharding <keyspace/shard>
Output show_resharding(const Call& call) {
  CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(call.arguments[0]));
  CO_ASSIGN_OR_RETURN(const auto found, co_await find_reshard(call, name.first, name.second));
  const engine::Record& record = found.record();
  CO_ASSIGN_OR_RETURN(const auto all, co_await topo::find_all_shards(call.environment.topology(), name.first));
  CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(call.environment.tablets, model_of(record)));
  std::string out = fmt::format("Horizontal Resharding for {}, workflow {}\nTraffic: {}\nSources:\n", name.first,
                                record.workflow(), state.to_string());
  out += describe_side(all, record.source_shards()) + "Destinations:\n" + describe_side(all, record.target_shards());
  auto streams = co_await call.run({"Workflow", "--keyspace=" + name.first, "show", "--workflow=" + record.workflow()});
  if (!streams.ok()) co_return std::move(streams).error();
  co_return out + "Streams:\n" + *streams;
}

// CancelResharding <keyspace/shard>
Output cancel_resharding(const Call& call) {
  CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(call.arguments[0]));
  CO_ASSIGN_OR_RETURN(const auto found, co_await find_reshard(call, name.first, name.second));
  const engine::Record& record = found.record();
  CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(call.environment.tablets, model_of(record)));
  if (record.writes_switched() || state.any_reads_switched()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("some types of {} have been migrated already ({}): migrate them back first", name.first,
                               state.to_string()));
  }
  auto done = co_await call.run(
      {"Reshard", "--workflow=" + record.workflow(), "--target-keyspace=" + name.first, "cancel", "--keep-data"});
  if (!done.ok()) co_return std::move(done).error();
  co_return std::string();
}

}  // namespace

void add_migration_commands(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Workflows";
  const Flag cells = value("cells", "cells");
  const Flag reverse = toggle("reverse", "");
  out.push_back({kGroup,
                 "MigrateServedTypes",
                 "<keyspace/shard> <served tablet type>",
                 2,
                 2,
                 {cells, reverse, toggle("skip-refresh-state", ""), toggle("reverse_replication", ""),
                  value("filtered_replication_wait_time", "timeout")},
                 migrate_served_types});
  out.push_back({kGroup,
                 "MigrateServedFrom",
                 "<destination keyspace/shard> <served tablet type>",
                 2,
                 2,
                 {cells, reverse, value("filtered_replication_wait_time", "")},
                 migrate_served_from_command});
  out.push_back({kGroup,
                 "WaitForFilteredReplication",
                 "<keyspace/shard>",
                 1,
                 1,
                 {value("max_delay", "")},
                 wait_for_filtered_replication});
  out.push_back({kGroup,
                 "WaitForDrain",
                 "<keyspace/shard> <served tablet type>",
                 2,
                 2,
                 {value("cells", ""), value("timeout", ""), value("retry_delay", ""), value("initial_wait", "")},
                 wait_for_drain});
  out.push_back({kGroup, "ShowResharding", "<keyspace/shard>", 1, 1, {}, show_resharding});
  out.push_back({kGroup, "CancelResharding", "<keyspace/shard>", 1, 1, {}, cancel_resharding});
}

}  // namespace vitrail::control::legacy
