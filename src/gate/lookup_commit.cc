// The end of a transaction that has changed lookup vindexes, in the order that keeps every row findable:
//
//   1. New lookup rows are committed.
//   2. Lookup rows that may go are locked; those without a row any more are deleted, uncommitted.
//   3. The rows are committed.
//   4. The deletions are committed.
//
// Whatever ends in between leaves lookup rows without rows at most: nobody is misled by them, and the next one who
// needs their value takes it.
#include <fmt/core.h>

#include <algorithm>

#include "plan/lookup_text.h"
#include "gate/session.h"
#include "vschema/vschema.h"

namespace vitrail::gate {

using plan::lookup_condition;
using plan::lookup_row;
using plan::lookup_table;
using plan::LookupRow;

namespace {

constexpr size_t kBatch = 200;

}  // namespace

net::Task<Status> ClientSession::commit_lookups() {
  const net::Wait wait = session_wait();
  for (auto& held : held_) {
    if (!held.in_transaction || held.phase != Phase::kBefore) continue;
    auto committed = co_await held.lease->client.query("commit", wait);
    held.in_transaction = false;
    if (committed.ok()) continue;
    Error error = met_at(held.target, std::move(committed).error());
    held.lease.discard();
    held_.remove_if([](const HeldConnection& other) { return !other.lease; });
    co_return error;
  }
  held_.remove_if(
      [](const HeldConnection& held) { return held.phase == Phase::kBefore && !held.in_transaction && !held.pinned; });
  std::vector<LookupKey> gone = std::exchange(maybe_gone_, {});
  std::erase_if(gone, [](const LookupKey& key) { return key.table->lookups[key.use].lookup->autocommit; });
  std::ranges::sort(gone, [](const LookupKey& a, const LookupKey& b) {
    return std::pair(a.table.get(), a.use) < std::pair(b.table.get(), b.use);
  });
  for (size_t begin = 0; begin < gone.size();) {
    size_t end = begin;
    while (end < gone.size() && end - begin < kBatch && gone[end].table == gone[begin].table &&
           gone[end].use == gone[begin].use) {
      ++end;
    }
    CO_RETURN_IF_ERROR(co_await remove_gone(
        {gone.begin() + static_cast<ptrdiff_t>(begin), gone.begin() + static_cast<ptrdiff_t>(end)}));
    begin = end;
  }
  co_return Status{};
}

// Keys of one lookup. What somebody else is looking at right now stays: it may be in use again. Only the loss of the
// transaction is an error.
net::Task<Status> ClientSession::remove_gone(std::vector<LookupKey> keys) {
  const shard::Lookup& lookup = *keys.front().table->lookups[keys.front().use].lookup;
  std::vector<LookupRow> rows;
  for (const auto& key : keys) {
    auto row = lookup_row(lookup, key.values, key.id, client_charset());
    if (!row.ok()) co_return Status{};  // Then there is no such lookup row.
    rows.push_back(std::move(*row));
  }
  const std::string table = lookup_table(lookup);
  const auto locked = co_await ask_tables(
      fmt::format("select 1 from {} where {} for update nowait", table, lookup_condition(lookup, rows)), Phase::kAfter,
      nullptr);
  if (!locked.ok()) {
    if (keys.size() == 1) co_return Status{};
    for (auto& key : keys) CO_RETURN_IF_ERROR(co_await remove_gone({std::move(key)}));
    co_return Status{};
  }
  if (locked->rows.empty()) co_return Status{};
  std::vector<LookupRow> unused;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto left = co_await count_rows(keys[i], " lock in share mode", nullptr);
    if (!left.ok() && ends_transaction(left.error())) co_return Error(left.error());
    if (left.ok() && *left == 0) unused.push_back(std::move(rows[i]));
  }
  if (unused.empty()) co_return Status{};
  (void)co_await ask_tables(fmt::format("delete from {} where {}", table, lookup_condition(lookup, unused)),
                            Phase::kAfter, nullptr);
  co_return Status{};
}

net::Task<void> ClientSession::end_removals(bool committed) {
  const net::Wait wait = session_wait();
  for (auto& held : held_) {
    if (held.phase != Phase::kAfter || !held.in_transaction || !held.lease) continue;
    auto ended = co_await held.lease->client.query(committed ? "commit" : "rollback", wait);
    if (!ended.ok()) held.lease.discard();
  }
}

}  // namespace vitrail::gate
