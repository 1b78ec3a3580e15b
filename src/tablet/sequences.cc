#include "tablet/sequences.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "mysql/convert.h"
#include "tablet/query_guard.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

constexpr auto kEndMax = 10s;  // For a reservation that has to be ended.

int64_t number(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

Result<SequenceBlock> next_block(SequenceBlock left, int64_t stored, int64_t cache, int64_t count) {
  if (stored < 1) return fail(Code::kOutOfRange, fmt::format("next_id is {}, it must be at least 1", stored));
  // Goes on where the memory ends when nobody else reserved in between, so that no value is left out.
  const bool contiguous = stored == left.end && left.next < left.end;
  const int64_t first = contiguous ? left.next : stored;
  const int64_t missing = count - (stored - first);
  const int64_t step = std::max<int64_t>(cache, 1);
  int64_t reserved = 0;
  int64_t end = stored;
  if (missing > 0 && (__builtin_mul_overflow((missing - 1) / step + 1, step, &reserved) ||
                      __builtin_add_overflow(stored, reserved, &end))) {
    return fail(Code::kOutOfRange,
                fmt::format("next_id is {} and cache {}: there are not {} values more", stored, cache, count));
  }
  return SequenceBlock{first, end};
}

std::shared_ptr<Sequences::Cached>& Sequences::current(const std::string& table) {
  auto& slot = cached_[table];
  if (slot == nullptr) slot = std::make_shared<Cached>();
  return slot;
}

net::Task<Result<int64_t>> Sequences::next(std::string table, int64_t count, net::Wait wait) {
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto value, co_await take(current(table), table, count, wait));
    if (value) co_return *value;
  }
}

Status Sequences::allowed(const std::string& table) const {
  if (!state_->serving) {
    return fail(Code::kClusterEvent, "operation not allowed in state NOT_SERVING: " + state_->reason)
        .with_reason(Reason::kNotServing)
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  if (state_->target.tablet_type != "primary") {  // Another has become it while this waited.
    return fail(Code::kClusterEvent, fmt::format("wrong tablet type: primary, want: {}", state_->target.tablet_type))
        .with_reason(Reason::kWrongTabletType)
        .with_retry(Retry::kOtherTarget);
  }
  if (!state_->no_writes.empty()) {
    return fail(Code::kClusterEvent, "operation not allowed: " + state_->no_writes)
        .with_reason(Reason::kDraining)
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  std::string name = table;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (state_->reaches(name, true)) return QueryGuard::denied(name, *state_);
  return {};
}

net::Task<Status> Sequences::apply(std::shared_ptr<const ServingState> state, base::Duration grace) {
  state_ = std::move(state);
  const net::Wait wait = net::Wait::within(grace);
  while (!reserving_.empty() && (co_await reserved_.wait(wait)).ok()) {
  }
  const net::Wait last = net::Wait::within(kEndMax);
  for (const uint32_t connection : std::multiset<uint32_t>(reserving_)) {
    CO_RETURN_IF_ERROR(co_await ends_.killer->end_connection(connection, last));
  }
  while (!reserving_.empty()) CO_RETURN_IF_ERROR(co_await reserved_.wait(last));
  co_return Status{};
}

net::Task<Result<std::optional<int64_t>>> Sequences::take(std::shared_ptr<Cached> cached, const std::string& table,
                                                          int64_t count, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await cached->mutex.lock(wait));
  CO_RETURN_IF_ERROR(allowed(table));  // Here, since waiting for the turn may have taken a while.
  SequenceBlock& block = cached->block;
  // Values that were reserved before a reset may be used already: also those whose reservation was under way then.
  if (current(table) != cached) co_return std::nullopt;
  if (block.end - block.next < count) CO_RETURN_IF_ERROR(co_await reserve(*cached, table, count, wait));
  if (current(table) != cached) co_return std::nullopt;
  const int64_t value = block.next;
  block.next += count;
  co_return value;
}

net::Task<Status> Sequences::reserve(Cached& cached, const std::string& table, int64_t count, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await pool_.acquire("", wait));
  std::string name;
  mysql::append_sql_identifier(name, table);
  std::string literal;
  mysql::append_sql_string(literal, table);
  auto comment = co_await lease->client.query(
      fmt::format(
          "select table_comment from information_schema.tables where table_schema = database() and table_name = {}",
          literal),
      wait);
  if (!comment.ok()) co_return std::move(comment).error();
  if (comment->text(0, 0).find("vitess_sequence") == std::string_view::npos) {
    co_return fail(Code::kInvalidArgument,
                   fmt::format("{} is not a sequence: create it with comment 'vitess_sequence'", table));
  }
  // From here on it is in the way of a fence; between the question and this there is no wait.
  CO_RETURN_IF_ERROR(allowed(table));
  const auto place = reserving_.insert(lease->client.server().connection_id);
  Status done = co_await reserve_on(*lease, cached, name, table, count, wait);
  if (!done.ok()) co_await end(lease);
  reserving_.erase(place);
  reserved_.notify_all();
  co_return done;
}

// Behind an error of the server's it has nothing more to do, and rolls back. One that gave no answer in time goes on,
// and may commit behind the next fence.
net::Task<void> Sequences::end(net::MysqlPool::Lease& lease) {
  const bool goes_on = lease->client.broken();
  const uint32_t connection = lease->client.server().connection_id;
  lease.discard();
  if (!goes_on) co_return;
  const Status ended = co_await ends_.killer->end_connection(connection, net::Wait::within(kEndMax));
  const bool unsure = !ended.ok() && (ended.error().code() == Code::kDeadlineExceeded ||
                                      ended.error().code() == Code::kResourceExhausted);
  if (unsure) ends_.later(connection);
}

net::Task<Status> Sequences::reserve_on(net::PooledConnection& connection, Cached& cached, const std::string& name,
                                        const std::string& table, int64_t count, net::Wait wait) {
  auto& client = connection.client;
  if (auto begin = co_await client.query("begin", wait); !begin.ok()) co_return std::move(begin).error();
  auto row = co_await client.query(fmt::format("select next_id, cache from {} where id = 0 for update", name), wait);
  if (!row.ok()) co_return std::move(row).error();
  if (row->rows.size() != 1) {
    co_return fail(Code::kNotFound, fmt::format("sequence {} has no row: insert into {} (id, next_id, cache) "
                                                "values (0, 1, 1000)",
                                                table, table));
  }
  auto block = next_block(cached.block, number(row->text(0, 0)), number(row->text(0, 1)), count);
  if (!block.ok()) co_return std::move(block).error().with_context(fmt::format("sequence {}", table));
  auto update = co_await client.query(fmt::format("update {} set next_id = {} where id = 0", name, block->end), wait);
  if (!update.ok()) co_return std::move(update).error();
  const uint64_t mark = doubt_.mark();
  auto commit = co_await client.query("commit", wait);
  if (!commit.ok()) co_return std::move(commit).error();
  if (state_->waits_for_acks && doubt_.begun() != mark) {
    // The next primary may give the same values. Leaving these out does no harm.
    co_return fail(Code::kUnavailable, fmt::format("whether a replica knows of the next values of sequence {} is not "
                                                   "sure: sessions were killed meanwhile; try again",
                                                   table));
  }
  cached.block = *block;
  co_return Status{};
}

}  // namespace vitrail::tablet
