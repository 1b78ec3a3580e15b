#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "sql/fingerprint.h"

namespace vitrail::plan {
struct Plan;
}

namespace vitrail::gate {

// What the statements of one text have cost since the gate began to count them.
struct StatementTotals {
  std::string query;     // With :vtg1 in the place of literals.
  std::string plan;      // "Scatter"; "Local": the gate answers it itself.
  std::string keyspace;  // Of the plan.
  std::string vindex;    // That decides the shard; empty: none.
  std::string sent;      // What the shards get; empty: the statement as it is.
  uint64_t count = 0;
  uint64_t errors = 0;
  uint64_t rows = 0;  // Returned, or changed.
  base::Duration time{};
  base::Duration longest{};  // Of one of them.

  void add(base::Duration took, uint64_t rows_of_it, bool failed) {
    ++count;
    errors += failed ? 1 : 0;
    rows += rows_of_it;
    time += took;
    if (took > longest) longest = took;
  }
  void add(const StatementTotals& others) {
    count += others.count;
    errors += others.errors;
    rows += others.rows;
    time += others.time;
    longest = std::max(longest, others.longest);
  }
};

// Tells of the plan: of the newest one, as plans are made anew when the VSchema changes.
void describe_plan(const plan::Plan& plan, StatementTotals& totals);

// The same, of all loops of a gate.
struct StatementUse {
  StatementTotals totals;
  std::string target;  // "keyspace@type" of the session.
};

enum class StatementOrder : uint8_t { kTime, kCount, kRows, kErrors };
// "time", "count", "rows" or "errors". kInvalidArgument.
Result<StatementOrder> parse_statement_order(std::string_view name);

// The first `limit` in that order, the greatest first; without those of which it would be 0.
std::vector<StatementUse> top_statements(std::vector<StatementUse> all, StatementOrder order, size_t limit);

// A statement without its literals, for those that are not parsed: ":vtg1", ":vtg2" ... in their places. Of at most
// `max` bytes of it; what is cut off, or behind the last literal that is known, becomes " ...".
std::string without_literals(std::string_view text, std::span<const sql::LiteralPosition> literals,
                             size_t literal_count, size_t max);

// [{"Query", "Target", "Plan", "QueryCount", "ErrorCount", "RowCount", "TimeNs", "LongestNs", "Keyspace", "Vindex",
// "Sent"}]
std::string statements_json(const std::vector<StatementUse>& statements);

// What statements that went to all shards have cost, beside all of them: {"TotalTimeNs", "TotalCount",
// "PercentTimeScatter", "PercentCountScatter", "Items": [{"Query", "Target", "Plan", "Count", "AvgTimeNs",
// "PercentTimeOfScatters", "PercentTimeOfAll", "PercentCountOfScatters", "PercentCountOfAll"}]}, the first `limit` by
// time.
std::string scatter_json(const std::vector<StatementUse>& statements, size_t limit);

}  // namespace vitrail::gate
