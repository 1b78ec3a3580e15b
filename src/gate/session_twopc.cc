// COMMIT in transaction_mode TWOPC: the transaction is permanent on all shards or on none. The protocol:
// docs/formats/twopc.md.
#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/random.h"
#include "gate/commit_outcome.h"
#include "gate/session.h"
#include "mysql/data_port.h"
#include "net/pause_point.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr auto kAbortMax = 10s;         // For shards to be told that it is over.
constexpr size_t kConcludedMax = 1000;  // Ids kept for one shard: what is over it finds out by itself, later.
constexpr size_t kConcludedAtOnce = 100;

std::string name_of(const shard::Target& target) { return target.keyspace + "/" + target.shard; }

}  // namespace

net::Task<Status> ClientSession::tell_twopc(HeldConnection* held, std::string what, net::Wait wait) {
  std::vector<mysql::QueryAttribute> attributes;
  attributes.push_back({std::string(mysql::kTwoPcAttribute), mysql::Value::of_text("1")});
  auto answer = co_await held->lease->client.query(std::string(mysql::kTwoPcText) + std::move(what), std::move(wait), 1,
                                                   std::move(attributes));
  if (answer.ok()) co_return Status{};
  co_return met_at(held->target, std::move(answer).error());
}

// The first of them decides: that it will is part of its own transaction from now on. The others become ready for
// either. The first error that somebody met.
net::Task<std::optional<Error>> ClientSession::prepare_all(const std::vector<HeldConnection*>& writers,
                                                           const std::string& dtid, net::Wait wait) {
  std::string others;
  for (size_t i = 1; i < writers.size(); ++i) others += (i == 1 ? "" : ",") + name_of(writers[i]->target);
  std::string start = fmt::format("start {} {}", dtid, others);
  if (const auto known = shared_.concluded.find(name_of(writers[0]->target)); known != shared_.concluded.end()) {
    auto& ids = known->second;
    for (size_t i = 0; i < kConcludedAtOnce && !ids.empty(); ++i) {
      start += " " + ids.back();
      ids.pop_back();
    }
  }
  auto tell = [](ClientSession& self, HeldConnection* held, std::string text, std::optional<Error>& out,
                 net::Wait limit) -> net::Task<void> {
    Status told = co_await self.tell_twopc(held, std::move(text), std::move(limit));
    if (told.ok()) co_return;
    if (!out) out = std::move(told).error();
    held->lease.discard();  // Whatever it was going to do, it does not keep it.
  };
  std::optional<Error> error;
  std::vector<net::Task<void>> tasks;
  tasks.push_back(tell(*this, writers[0], std::move(start), error, wait));
  for (size_t i = 1; i < writers.size(); ++i) {
    tasks.push_back(tell(*this, writers[i], "prepare " + dtid, error, wait));
  }
  co_await net::when_all(std::move(tasks));
  co_return error;
}

// It was never decided, and will not be. Who cannot be told finds out by itself.
net::Task<void> ClientSession::abort_all(const std::vector<HeldConnection*>& writers, const std::string& dtid,
                                         net::Wait wait) {
  auto tell = [](ClientSession& self, HeldConnection* held, std::string text, net::Wait limit) -> net::Task<void> {
    const bool told = text.empty() ? (co_await held->lease->client.query("rollback", limit)).ok()
                                   : (co_await self.tell_twopc(held, std::move(text), limit)).ok();
    if (!told) held->lease.discard();
  };
  std::vector<net::Task<void>> tasks;
  for (size_t i = 0; i < writers.size(); ++i) {
    if (writers[i]->lease) tasks.push_back(tell(*this, writers[i], i == 0 ? "" : "rollback " + dtid, wait));
  }
  co_await net::when_all(std::move(tasks));
}

net::Task<RunResult> ClientSession::commit_atomically(std::vector<HeldConnection*> participants,
                                                      std::vector<bool> changed) {
  const net::Wait wait = session_wait();
  const auto started = base::system_clock().now();
  std::vector<HeldConnection*> writers, readers;
  for (size_t i = 0; i < participants.size(); ++i) (changed[i] ? writers : readers).push_back(participants[i]);
  const bool two_phases = writers.size() > 1;
  std::string dtid;
  std::optional<Error> error;
  bool unknown = false;
  if (two_phases) {
    dtid = fmt::format("{}:{}:{}", writers[0]->target.keyspace, writers[0]->target.shard,
                       base::system_random().next_u64() >> 1);
    error = co_await prepare_all(writers, dtid, wait);
    if (error) co_await abort_all(writers, dtid, net::Wait::within(kAbortMax, shared_.scope.token()));
    if (!error) co_await net::pause_point("gate-prepared");
  }
  std::vector<CommittedPart> parts;
  for (const auto* held : writers) parts.push_back({held->target, PartState::kRolledBack});
  if (!error && !writers.empty()) {
    // The decision.
    HeldConnection* first = writers[0];
    auto decided = co_await first->lease->client.query("commit", wait);
    if (decided.ok()) {
      first->pinned = (decided->ok.status_flags & mysql::kStatusSessionStateChanged) != 0;
    } else {
      const bool lost = first->lease->client.broken();
      unknown = lost || decided.error().effect() == Effect::kUnknown;
      if (lost && first->pinned) state_lost_ = true;
      error = met_at(first->target, std::move(decided).error());
      first->lease.discard();
      const net::Wait limit = net::Wait::within(kAbortMax, shared_.scope.token());
      if (two_phases && !unknown) co_await abort_all(writers, dtid, limit);
      // What the first one did decides; its shard is asked by those that are prepared.
      for (auto& part : parts) part.state = unknown ? PartState::kUnknown : PartState::kRolledBack;
    }
    if (!error) co_await net::pause_point("gate-decided");
  }
  bool all_ended = true;
  auto end_writer = [](ClientSession& self, HeldConnection* held, const std::string& id, bool& all,
                       net::Wait limit) -> net::Task<void> {
    const Status ended = co_await self.tell_twopc(held, "commit " + id, std::move(limit));
    if (ended.ok()) co_return;
    all = false;
    log_warning("{} is committed, and {} will be told again: {}", id, name_of(held->target), ended.error().message());
    held->lease.discard();
  };
  auto end_reader = [](HeldConnection* held, bool commits, net::Wait limit) -> net::Task<void> {
    auto ended = co_await held->lease->client.query(commits ? "commit" : "rollback", std::move(limit));
    if (ended.ok()) {
      held->pinned = (ended->ok.status_flags & mysql::kStatusSessionStateChanged) != 0;
    } else {
      held->lease.discard();
    }
  };
  std::vector<net::Task<void>> ends;
  for (size_t i = 1; i < writers.size() && !error; ++i) {
    ends.push_back(end_writer(*this, writers[i], dtid, all_ended, wait));
  }
  for (HeldConnection* held : readers) {
    if (held->lease) ends.push_back(end_reader(held, !error, wait));
  }
  co_await net::when_all(std::move(ends));
  co_await end_removals(!error);
  for (HeldConnection* held : writers) {
    if (error && unknown) held->lease.discard();
  }
  for (HeldConnection* held : readers) {
    if (!held->lease && held->pinned) state_lost_ = true;
  }
  if (two_phases && !error && all_ended) {
    auto& ids = shared_.concluded[name_of(writers[0]->target)];
    if (ids.size() < kConcludedMax) ids.push_back(dtid);
  }
  held_.remove_if([](const HeldConnection& held) { return !held.lease; });
  transaction_over();
  if (!error) {
    const auto took = base::system_clock().now() - started;
    if (two_phases) {
      shared_.metrics.statistics.record_two_phases(took);
    } else {
      shared_.metrics.statistics.record_commit(participants.size(), took);
    }
    co_return RunResult::answered();
  }
  if (error->code() == Code::kUnimplemented || error->code() == Code::kFailedPrecondition) {
    Error refusal = std::move(*error).with_context("COMMIT failed, the transaction was rolled back");
    co_return RunResult::failed(std::move(refusal).with_effect(Effect::kNone));
  }
  co_return RunResult::failed(commit_error(parts, std::move(*error)));
}

}  // namespace vitrail::gate
