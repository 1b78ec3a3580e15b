#include "gate/statistics.h"

#include <algorithm>

#include "base/text.h"
#include "plan/finish.h"

namespace vitrail::gate {
namespace {

std::string_view stop_name(BufferStop why) {
  switch (why) {
    case BufferStop::kResharded: return "ReshardingComplete";
    case BufferStop::kTablesMoved: return "MoveTablesSwitchedTraffic";
    case BufferStop::kNewPrimary: return "NewPrimarySeen";
    case BufferStop::kTooLong: return "MaxDurationExceeded";
    case BufferStop::kShutdown: break;
  }
  return "Shutdown";
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

// Shapes of statements beyond this share the counters of the first one without tables.
constexpr size_t kShapesMax = 10'000;

}  // namespace

std::string_view plan_type_name(const plan::Plan& plan) {
  if (plan.is_ddl) return "DirectDDL";
  if (plan.kind == plan::Plan::Kind::kFinish) return plan::is_joined(plan) ? "Join" : "Finish";
  if (plan.kind == plan::Plan::Kind::kInsertRows || plan.kind == plan::Plan::Kind::kChange) return "ByKey";
  if (plan.kind == plan::Plan::Kind::kLoad) return "MultiShard";
  if (plan.kind == plan::Plan::Kind::kInsert) {
    return plan.insert->vindex == nullptr || plan.insert->rows.size() == 1 ? "Passthrough" : "MultiShard";
  }
  switch (plan.route.kind) {
    case plan::Route::Kind::kAnyShard:
    case plan::Route::Kind::kByLookup:
    case plan::Route::Kind::kByValues: return "Passthrough";
    case plan::Route::Kind::kByIds:
    case plan::Route::Kind::kByList: return "MultiShard";
    case plan::Route::Kind::kNoShard: return "Local";
    case plan::Route::Kind::kAllShards: break;
  }
  return plan.merge.empty() ? "Scatter" : "Complex";
}

Statistics::Statistics(base::Metrics& metrics)
    : local(metrics.counters("QueriesProcessed", "statements, by plan", {"plan"}).with({"Local"})),
      vschema_reloads(metrics.counters("VtgateVSchemaCounts", "changes of the vschema", {"changes"}).with({"Reload"})),
      mirrored(metrics.counter("MirroredReads", "reads that were run again on the target of a MoveTables")),
      mirror_errors(metrics.counter("MirroredReadErrors", "reads that failed there")),
      mirror_dropped(metrics.counter("MirroredReadsDropped", "reads that were not, since too many were under way")),
      finished_rows(
          metrics.counter("FinishedRows", "rows copied to servers that finish statements over several shards")),
      finished_bytes(metrics.counter("FinishedBytes", "bytes of those rows")),
      primaries_promoted(
          metrics.counters("HealthcheckPrimaryPromoted", "primaries that followed another one", {"keyspace", "shard"})),
      executions_(metrics.counters("QueryExecutions", "statements, by kind, plan and tablet type",
                                   {"query", "plan", "tablet"})),
      routes_(metrics.counters("QueryRoutes", "shards asked, by kind of statement, plan and tablet type",
                               {"query", "plan", "tablet"})),
      by_table_(metrics.counters("QueryExecutionsByTable", "statements, by kind and table", {"query", "table"})),
      processed_(metrics.counters("QueriesProcessed", "statements, by plan", {"plan"})),
      routed_(metrics.counters("QueriesRouted", "shards asked, by plan", {"plan"})),
      processed_by_table_(
          metrics.counters("QueriesProcessedByTable", "statements, by plan and table", {"plan", "keyspace", "table"})),
      routed_by_table_(
          metrics.counters("QueriesRoutedByTable", "shards asked, by plan and table", {"plan", "keyspace", "table"})),
      api_(metrics.timings("VtgateApi", "statements, from their arrival to the end of the answer",
                           {"operation", "keyspace", "db_type"})),
      rows_returned_(
          metrics.counters("VtgateApiRowsReturned", "rows of answers", {"operation", "keyspace", "db_type"})),
      rows_affected_(metrics.counters("VtgateApiRowsAffected", "rows changed", {"operation", "keyspace", "db_type"})),
      errors_(metrics.counters("VtgateApiErrorCounts", "errors told to clients",
                               {"operation", "keyspace", "db_type", "code"})),
      single_commits_(
          metrics.timings("CommitModeTimings", "commits, by the shards they span", {"mode"}).with({"Single"})),
      multi_commits_(
          metrics.timings("CommitModeTimings", "commits, by the shards they span", {"mode"}).with({"Multi"})),
      two_phase_commits_(
          metrics.timings("CommitModeTimings", "commits, by the shards they span", {"mode"}).with({"TwoPC"})),
      buffered_(metrics.counters("BufferRequestsBuffered", "statements held during a switch", {"keyspace", "shard"})),
      in_flight_max_(metrics.gauges("BufferLastRequestsInFlightMax", "most statements held at once, last time",
                                    {"keyspace", "shard"})),
      failover_ms_(metrics.counters("BufferFailoverDurationSumMs", "milliseconds in which statements were held",
                                    {"keyspace", "shard"})),
      stops_(metrics.counters("BufferStops", "ends of holding statements", {"keyspace", "shard", "reason"})) {}

const PlanCounters* Statistics::counters_of(const plan::Plan& plan, sql::StatementKind kind, std::string_view keyspace,
                                            std::string_view tablet_type, std::span<const sql::TableUse> tables) {
  const std::string query(sql::statement_kind_name(kind));
  const std::string type(plan_type_name(plan));
  const std::string tablet = upper(tablet_type);
  std::vector<std::pair<std::string, std::string>> names;
  for (const sql::TableUse& use : tables) {
    std::pair<std::string, std::string> name(use.qualifier.empty() ? keyspace : use.qualifier, use.name);
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  std::string key = query + "." + type + "." + tablet;
  for (const auto& [home, name] : names) key += "|" + home + "." + name;
  const std::scoped_lock lock(mutex_);
  if (const auto found = plans_.find(key); found != plans_.end()) return found->second.get();
  if (plans_.size() >= kShapesMax) return plans_.begin()->second.get();
  auto counters = std::make_unique<PlanCounters>();
  counters->executions = &executions_.with({query, type, tablet});
  counters->routes = &routes_.with({query, type, tablet});
  counters->processed = &processed_.with({type});
  counters->routed = &routed_.with({type});
  for (const auto& [home, name] : names) {
    counters->by_table.push_back({&by_table_.with({query, home.empty() ? name : home + "." + name}),
                                  &processed_by_table_.with({type, home, name}),
                                  &routed_by_table_.with({type, home, name})});
  }
  return plans_.emplace(std::move(key), std::move(counters)).first->second.get();
}

ApiCounters Statistics::api_of(const std::string& keyspace, const std::string& tablet_type) {
  const std::vector<std::string> labels = {"Execute", keyspace, tablet_type};
  return {&api_.with(labels), &rows_returned_.with(labels), &rows_affected_.with(labels)};
}

void Statistics::count_error(const std::string& keyspace, const std::string& tablet_type, base::Code code) {
  errors_.with({"Execute", keyspace, tablet_type, std::string(base::code_name(code))}).add();
}

void Statistics::hold(const std::string& keyspace, const std::string& shard) {
  buffered_.with({keyspace, shard}).add();
  const std::scoped_lock lock(mutex_);
  Failover& failover = failovers_[{keyspace, shard}];
  if (failover.held == 0) failover = {.since = base::system_clock().now()};
  failover.held_max = std::max(failover.held_max, ++failover.held);
}

void Statistics::let_go(const std::string& keyspace, const std::string& shard, BufferStop why) {
  const std::scoped_lock lock(mutex_);
  Failover& failover = failovers_[{keyspace, shard}];
  if (--failover.held > 0) return;
  const auto lasted =
      std::chrono::duration_cast<std::chrono::milliseconds>(base::system_clock().now() - failover.since);
  in_flight_max_.with({keyspace, shard}).set(static_cast<int64_t>(failover.held_max));
  failover_ms_.with({keyspace, shard}).add(static_cast<uint64_t>(lasted.count()));
  stops_.with({keyspace, shard, std::string(stop_name(why))}).add();
}

}  // namespace vitrail::gate
