#include "tablet/statement_metrics.h"

#include <vector>

namespace vitrail::tablet {

void StatementCounters::record(base::Duration took, bool failed, uint64_t rows_returned, uint64_t rows_affected) const {
  queries->record(took);
  count->add();
  time_ns->add(static_cast<uint64_t>(took.count()));
  if (failed) errors->add();
  if (rows_returned > 0) returned->add(rows_returned);
  if (rows_affected > 0) affected->add(rows_affected);
}

StatementMetrics::StatementMetrics(base::Metrics& metrics)
    : killed_statements(
          metrics.counters("Kills", "statements and transactions ended by force", {"query_type"}).with({"Queries"})),
      killed_transactions(metrics.counters("Kills", "statements and transactions ended by force", {"query_type"})
                              .with({"Transactions"})),
      queries_(metrics.timings("Queries", "statements, from their arrival to the end of the answer", {"plan_type"})),
      counts_(metrics.counters("QueryCounts", "statements", {"table", "plan"})),
      times_(metrics.counters("QueryTimesNs", "nanoseconds of statements", {"table", "plan"})),
      error_counts_(metrics.counters("QueryErrorCounts", "statements that failed", {"table", "plan"})),
      returned_(metrics.counters("QueryRowsReturned", "rows of answers", {"table", "plan"})),
      affected_(metrics.counters("QueryRowsAffected", "rows changed", {"table", "plan"})),
      errors_(metrics.counters("Errors", "errors of statements, by code", {"error_code"})),
      completed_(metrics.timings("Transactions", "transactions, from their beginning to their end", {"operation"})
                     .with({"Completed"})),
      aborted_(metrics.timings("Transactions", "transactions, from their beginning to their end", {"operation"})
                   .with({"Aborted"})) {}

StatementCounters StatementMetrics::of(sql::StatementKind kind, const std::string& table) {
  const std::string plan(plan_name(kind));
  const std::vector<std::string> labels = {table, plan};
  return {&queries_.with({plan}),      &counts_.with(labels),   &times_.with(labels),
          &error_counts_.with(labels), &returned_.with(labels), &affected_.with(labels)};
}

void StatementMetrics::count_error(base::Code code) { errors_.with({std::string(base::code_name(code))}).add(); }

std::string_view plan_name(sql::StatementKind kind) {
  using enum sql::StatementKind;
  switch (kind) {
    case kSelect: return "Select";
    case kInsert:
    case kReplace: return "Insert";
    case kUpdate: return "Update";
    case kDelete: return "Delete";
    case kSet: return "Set";
    case kDdl: return "DDL";
    case kShow: return "Show";
    case kBegin: return "Begin";
    case kCommit: return "Commit";
    case kRollback: return "Rollback";
    case kSavepoint: return "Savepoint";
    case kRollbackTo: return "RollbackSavepoint";
    case kRelease: return "Release";
    case kLockTables: return "LockTables";
    case kUnlockTables: return "UnlockTables";
    case kCall: return "CallProcedure";
    case kFlush: return "Flush";
    case kLoad: return "Load";
    case kExplain: return "OtherRead";
    case kTableAdmin: return "OtherAdmin";
    default: return "Other";
  }
}

}  // namespace vitrail::tablet
