#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "sql/effects.h"
#include "sql/fingerprint.h"
#include "tablet/serving_state.h"
#include "tablet/statement_metrics.h"
#include "tablet/statement_policy.h"
#include "tablet/table_acl.h"

namespace vitrail::tablet {

// What the tablet needs to know of a statement before it runs it.
struct StatementInfo {
  sql::StatementKind kind = sql::StatementKind::kUnknown;
  struct Table {
    std::string name;  // Lower case.
    bool write = false;
  };
  std::vector<Table> tables;
  std::string changed;        // The first table that it changes, as it is written.
  bool tables_known = false;  // False: the text was not understood, and the server has the last word.
  sql::Effects effects;
  bool sets_user_variable = false;                              // Has one in it, in whatever place.
  bool shows_warnings = false;                                  // SHOW WARNINGS, nothing else.
  bool next_value = false;                                      // SELECT NEXT n VALUES FROM seq
  bool shareable = false;                                       // See is_shareable().
  std::string inexact = "a statement that was not understood";  // See sql/exact.h; empty: it can be run again.
  std::vector<std::string> fixed_columns;                       // The same: then these have to hold a key.
  bool skips_ids = false;                                       // Likewise,
  bool uses_clock = true;                                       // likewise.
  std::string refusal;        // Why no application may send it (statement_policy.h); empty: it may.
  AclNeeds acl;               // What it asks of a table ACL.
  bool of_this_text = false;  // What is said here holds for this text only, not for others with its fingerprint.
  // Canonical text with :vtg1, :vtg2 ... in the place of literals; empty when the text was not understood, or is long.
  std::string normalized;
  // How often it was asked for. Written by its loop only, so it needs no atomic addition.
  mutable std::atomic<uint64_t> count = 0;
  StatementCounters counters;  // Empty where there are no metrics.
  void counted() const { count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
};

// Classifies statements; remembers by fingerprint, so that a known statement costs one pass over its text.
//   Threads: one loop. Bound: kMaxEntries statements, then it starts anew.
class QueryGuard {
 public:
  static constexpr size_t kMaxEntries = 10'000;
  static constexpr size_t kNormalizedMax = 4096;  // Bytes; longer statements are not counted by their text.

  explicit QueryGuard(StatementPolicy policy = {}, StatementMetrics* metrics = nullptr)
      : policy_(std::move(policy)), metrics_(metrics) {}

  // Counts it, too.
  std::shared_ptr<const StatementInfo> classify(std::string_view text);
  // The statements remembered now. Any thread.
  std::vector<std::shared_ptr<const StatementInfo>> known() const;

  // Refusal of a statement: by the policy for applications, kPermissionDenied; by the denied-table rule,
  // kFailedPrecondition "disallowed due to rule: ..."; of a change where the state allows none, kClusterEvent.
  static Status check(const StatementInfo& info, std::string_view text, const ServingState& state);
  // The denied table that a statement touches, or may touch: what runs code that its text does not show (CALL, EXECUTE,
  // stored functions), or was not understood, may touch any. `text` may be left out ("") where only its use matters.
  static std::optional<std::string> denied_table(const StatementInfo& info, std::string_view text,
                                                 const ServingState& state);
  static Error denied(std::string_view table, const ServingState& state);
  static bool changes_rows(const StatementInfo& info);

 private:
  const StatementPolicy policy_;
  StatementMetrics* const metrics_;
  std::unordered_map<sql::Fingerprint, std::shared_ptr<const StatementInfo>> known_;
  mutable std::mutex mutex_;  // Held to change known_, and by other threads to read it.
};

// The number and the table of a SELECT NEXT statement.
struct NextValueRequest {
  int64_t count = 1;
  std::string table;
};
Result<NextValueRequest> parse_next_value(std::string_view text);

}  // namespace vitrail::tablet
