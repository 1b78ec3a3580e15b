#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "plan/plan.h"
#include "sql/statement_kind.h"
#include "sql/tables.h"

namespace vitrail::gate {

// The counters of one shape of statement. A plan is kept with its counters, so counting a statement is an increment or
// two: no look-up, no text.
struct PlanCounters {
  base::Counter* executions = nullptr;  // QueryExecutions{"SELECT.Passthrough.PRIMARY"}
  base::Counter* routes = nullptr;      // QueryRoutes: the same, per shard that was asked.
  base::Counter* processed = nullptr;   // QueriesProcessed{"Scatter"}
  base::Counter* routed = nullptr;      // QueriesRouted
  struct Table {
    base::Counter* executions = nullptr;  // QueryExecutionsByTable{"SELECT.commerce_customer"}
    base::Counter* processed = nullptr;   // QueriesProcessedByTable{"Scatter.commerce.customer"}
    base::Counter* routed = nullptr;      // QueriesRoutedByTable
  };
  std::vector<Table> by_table;
  void count(size_t shards) const {
    executions->add();
    routes->add(shards);
    processed->add();
    routed->add(shards);
    for (const Table& table : by_table) {
      table.executions->add();
      table.processed->add();
      table.routed->add(shards);
    }
  }
};

// What statements in one keyspace, for one tablet type, took and moved: those of sessions that use it.
struct ApiCounters {
  base::Timing* took = nullptr;            // VtgateApi{"Execute.commerce.primary"}
  base::Counter* rows_returned = nullptr;  // VtgateApiRowsReturned
  base::Counter* rows_affected = nullptr;  // VtgateApiRowsAffected
};

// Why statements that were held go on.
enum class BufferStop : uint8_t { kResharded, kTablesMoved, kNewPrimary, kTooLong, kShutdown };

// What a vtgate counts about statements, under the names and label values that dashboards of this family know.
//   Threads: any. The functions take a lock; they are for new plans, errors, commits and held statements only.
//   Bounds : those of metrics families; per shard that ever held statements, one small record.
class Statistics {
 public:
  explicit Statistics(base::Metrics& metrics);

  // The counters for statements of this plan; made when new, kept for ever. `tables` may be empty.
  const PlanCounters* counters_of(const plan::Plan& plan, sql::StatementKind kind, std::string_view keyspace,
                                  std::string_view tablet_type, std::span<const sql::TableUse> tables);
  // Made when new, kept for ever.
  ApiCounters api_of(const std::string& keyspace, const std::string& tablet_type);
  // VtgateApiErrorCounts{"Execute.commerce.primary.DEADLINE_EXCEEDED"}
  void count_error(const std::string& keyspace, const std::string& tablet_type, base::Code code);
  // CommitModeTimings{"Single"|"Multi"|"TwoPC"}
  void record_commit(size_t shards, base::Duration took) {
    (shards > 1 ? multi_commits_ : single_commits_).record(took);
  }

  void record_two_phases(base::Duration took) { two_phase_commits_.record(took); }

  // A statement for that shard begins to be held, and is held no more. A failover lasts as long as any is.
  void hold(const std::string& keyspace, const std::string& shard);
  void let_go(const std::string& keyspace, const std::string& shard, BufferStop why);

  base::Counter& local;  // QueriesProcessed{"Local"}: the gate answers them itself.
  base::Counter& vschema_reloads;
  base::Counter& mirrored;  // Reads that were run again; mirror_errors: of these failed there.
  base::Counter& mirror_errors;
  base::Counter& mirror_dropped;  // That were not, since too many were under way.
  base::Counter& finished_rows;   // Copied to servers that finish statements.
  base::Counter& finished_bytes;
  base::Family<base::Counter>& primaries_promoted;

 private:
  struct Failover {
    size_t held = 0;
    size_t held_max = 0;
    base::TimePoint since;
  };
  base::Family<base::Counter>& executions_;
  base::Family<base::Counter>& routes_;
  base::Family<base::Counter>& by_table_;
  base::Family<base::Counter>& processed_;
  base::Family<base::Counter>& routed_;
  base::Family<base::Counter>& processed_by_table_;
  base::Family<base::Counter>& routed_by_table_;
  base::Family<base::Timing>& api_;
  base::Family<base::Counter>& rows_returned_;
  base::Family<base::Counter>& rows_affected_;
  base::Family<base::Counter>& errors_;
  base::Timing& single_commits_;
  base::Timing& multi_commits_;
  base::Timing& two_phase_commits_;
  base::Family<base::Counter>& buffered_;
  base::Family<base::Gauge>& in_flight_max_;
  base::Family<base::Counter>& failover_ms_;
  base::Family<base::Counter>& stops_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<const PlanCounters>, std::less<>> plans_;
  std::map<std::pair<std::string, std::string>, Failover> failovers_;
};

// "Passthrough", "Scatter" ...: how a plan spreads over the shards.
std::string_view plan_type_name(const plan::Plan& plan);

}  // namespace vitrail::gate
