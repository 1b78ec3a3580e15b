#include "tablet/sequences.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "mysql/convert.h"
#include "tablet/query_guard.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

constexpr auto kEndMax = 10s;  // For a reservation that had to be ended.

int64_t number(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

net::Task<Result<int64_t>> Sequences::next(std::string table, int64_t count, net::Wait wait) {
  auto& slot = cached_[table];
  if (slot == nullptr) slot = std::make_shared<Cached>();
  co_return co_await take(slot, std::move(table), count, std::move(wait));
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

net::Task<Status> Sequences::apply(std::shared_ptr<const ServingState> state, base::Duration grace,
                                   ServerKiller& killer) {
  state_ = std::move(state);
  const net::Wait wait = net::Wait::within(grace);
  while (!reserving_.empty() && (co_await reserved_.wait(wait)).ok()) {
  }
  const net::Wait last = net::Wait::within(kEndMax);
  for (const uint32_t connection : std::multiset<uint32_t>(reserving_)) {
    CO_RETURN_IF_ERROR(co_await killer.end_connection(connection, last));
  }
  while (!reserving_.empty()) CO_RETURN_IF_ERROR(co_await reserved_.wait(last));
  co_return Status{};
}

net::Task<Result<int64_t>> Sequences::take(std::shared_ptr<Cached> cached, std::string table, int64_t count,
                                           net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto guard, co_await cached->mutex.lock(wait));
  CO_RETURN_IF_ERROR(allowed(table));  // Here, since waiting for the turn may have taken a while.
  if (cached->end - cached->next < count) CO_RETURN_IF_ERROR(co_await reserve(*cached, table, count, wait));
  const int64_t value = cached->next;
  cached->next += count;
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
  if (!done.ok()) lease.discard();  // Rolls back.
  reserving_.erase(place);
  reserved_.notify_all();
  co_return done;
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
  const int64_t stored = number(row->text(0, 0));
  const int64_t cache = std::max<int64_t>(number(row->text(0, 1)), 1);
  if (stored < 1) {
    co_return fail(Code::kOutOfRange, fmt::format("sequence {}: next_id is {}, it must be at least 1", table, stored));
  }
  // Goes on where the memory ends when nobody else reserved in between, so that no value is left out.
  const bool contiguous = stored == cached.end && cached.next < cached.end;
  const int64_t first = contiguous ? cached.next : stored;
  int64_t end = stored;
  while (end - first < count) end += cache;
  auto update = co_await client.query(fmt::format("update {} set next_id = {} where id = 0", name, end), wait);
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
  cached.next = first;
  cached.end = end;
  co_return Status{};
}

}  // namespace vitrail::tablet
