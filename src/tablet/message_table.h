#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "mysql/types.h"

namespace vitrail::tablet {

// A message table: its rows are sent to whoever streams them, again and again, until they are acknowledged. What its
// comment says ('vitess_message,vt_ack_wait=30,vt_purge_after=86400,...'; times in seconds), and the decisions that
// follow from it. Times in the table are nanoseconds since 1970.
struct MessageTable {
  std::string name;
  base::Duration ack_wait{};         // After a first sending, the time for an acknowledgement,
  base::Duration min_backoff{};      // or this; doubled with each further one,
  base::Duration max_backoff{};      // up to this. 0: without end.
  base::Duration purge_after{};      // Acknowledged messages are deleted when they are older.
  base::Duration poller_interval{};  // Looks at the table are not further apart.
  size_t batch_size = 0;             // Messages that are taken at once, for one receiver.
  size_t cache_size = 0;             // Messages that are in memory at once, for all receivers.
  std::vector<std::string> columns;  // That are sent: id and the table's own ones.

  // kFailedPrecondition: not a message table, or not one that can be used; the message says why.
  static Result<MessageTable> create(std::string name, std::string_view comment, std::span<const std::string> columns);

  // How many receivers there may be at once.
  size_t receivers_max() const;
  // When a message that is sent now, and was sent `epoch` times before, is sent again. Never in the past, whatever the
  // numbers.
  int64_t send_again_at(int64_t now_ns, int64_t epoch) const;
  // How long to wait when nothing is due. `next_due`: of what is not, when the first one will be.
  base::Duration rest(int64_t now_ns, std::optional<int64_t> next_due) const;

  // Statements. Ids of messages that are due, the most urgent first; for as many batches.
  std::string due(int64_t now_ns, size_t batches) const;
  // Of these the ones that are still due and nobody else has, locked; with the epoch as last column.
  std::string take(std::span<const mysql::Value> ids, int64_t now_ns, bool skip_locked) const;
  // The columns of take(), without a row.
  std::string shape() const;
  // When the next one is due.
  std::string next_due(int64_t now_ns) const;
  // They were sent for the (epoch + 1)th time.
  std::string postpone(std::span<const mysql::Value> ids, int64_t epoch, int64_t again_at) const;
  // At most kPurgeRows.
  std::string purge(int64_t now_ns) const;

  static constexpr size_t kPurgeRows = 500;
};

// With `::ids` for their list.
std::string acknowledge_messages(std::string_view table, int64_t now_ns);

// The table of STREAM * FROM t.
Result<std::string> streamed_table(std::string_view text);

}  // namespace vitrail::tablet
