#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "sql/statement_kind.h"

namespace vitrail::tablet {

// The counters of one kind of statement on one table. Statements are remembered with theirs: counting is a few
// increments, no look-up.
struct StatementCounters {
  base::Timing* queries = nullptr;    // Queries{"Select"}
  base::Counter* count = nullptr;     // QueryCounts{"customer.Select"}
  base::Counter* time_ns = nullptr;   // QueryTimesNs
  base::Counter* errors = nullptr;    // QueryErrorCounts
  base::Counter* returned = nullptr;  // QueryRowsReturned
  base::Counter* affected = nullptr;  // QueryRowsAffected
  void record(base::Duration took, bool failed, uint64_t rows_returned, uint64_t rows_affected) const;
};

// What a tablet counts about statements, under the names and label values that dashboards of this family know.
//   Threads: any. of() and count_error() take a lock; they are for new statements and for errors.
//   Bounds : those of metrics families.
class StatementMetrics {
 public:
  explicit StatementMetrics(base::Metrics& metrics);

  // Made when new, kept for ever. `table`: the first one of the statement; empty: it has none.
  StatementCounters of(sql::StatementKind kind, const std::string& table);
  // Errors{"INVALID_ARGUMENT"}
  void count_error(base::Code code);
  // Transactions{"Completed"|"Aborted"}, from their beginning.
  void transaction_ended(base::Duration took, bool committed) { (committed ? completed_ : aborted_).record(took); }
  // Kills{"Queries"|"Transactions"}
  base::Counter& killed_statements;
  base::Counter& killed_transactions;

 private:
  base::Family<base::Timing>& queries_;
  base::Family<base::Counter>& counts_;
  base::Family<base::Counter>& times_;
  base::Family<base::Counter>& error_counts_;
  base::Family<base::Counter>& returned_;
  base::Family<base::Counter>& affected_;
  base::Family<base::Counter>& errors_;
  base::Timing& completed_;
  base::Timing& aborted_;
};

// "Select", "Insert", "DDL" ...
std::string_view plan_name(sql::StatementKind kind);

}  // namespace vitrail::tablet
