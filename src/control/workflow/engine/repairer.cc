#include "control/workflow/engine/repairer.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "topo/paths.h"

namespace vitrail::control::engine {

using namespace std::chrono_literals;

namespace {

constexpr auto kTick = 200ms;
constexpr auto kLook = 100ms;

}  // namespace

base::Duration retry_pause(int attempts, bool urgent) {
  if (attempts <= 0) return 0ms;
  return std::min<base::Duration>(500ms * (1 << std::min(attempts - 1, 6)), urgent ? 1s : 10s);
}

net::Task<Status> continue_operation(topo::Server& topology, StoredRecord stored, OperationFactory factory,
                                     Owner owner) {
  const std::string name = name_of(stored.record);
  const std::string kind = stored.record.open().kind();
  CO_ASSIGN_OR_RETURN(auto tenure, co_await Tenure::take_over(topology, std::move(stored), std::move(owner)));
  auto operation = co_await factory(*tenure);
  if (!operation.ok()) {
    const std::string message = operation.error().message();
    (void)co_await tenure->change([&](Record& record) {
      auto& open = *record.mutable_open();
      open.clear_owner();
      open.set_attempts(open.attempts() + 1);
      open.set_error(message);
    });
    co_await tenure->end();
    co_return std::move(operation).error();
  }
  Status outcome = co_await carry_out(*tenure, **operation, true);
  co_await (*operation)->end();
  if (!tenure->closed()) {
    log_warning("{}: the interrupted {} cannot be brought to its end yet: {}", name, kind, outcome.error().message());
    co_return outcome;
  }
  log_info("{}: the interrupted {} was {}", name, kind, outcome.ok() ? "finished" : "undone");
  co_return Status{};
}

net::Task<Status> settle(topo::Server& topology, std::string keyspace, std::string workflow, OperationFactory factory,
                         Owner owner, net::Wait wait) {
  std::optional<topo::Version> seen;
  base::TimePoint seen_at;
  for (;;) {
    auto stored = co_await load_record(topology, keyspace, workflow);
    if (!stored.ok()) {
      if (stored.error().code() == Code::kNotFound) co_return Status{};
      co_return std::move(stored).error();
    }
    if (!stored->record.has_open()) co_return Status{};
    const auto now = base::system_clock().now();
    if (seen != stored->version) {
      seen = stored->version;
      seen_at = now;
    }
    const auto& open = stored->record.open();
    const bool mine =
        Tenure::is_active(owner.id, topo::movement_record_path(keyspace, workflow)) && open.owner() == owner.id;
    if (!mine && (open.owner().empty() || now - seen_at >= kSilence)) {
      const std::string what = describe_open(stored->record);
      Status done = co_await continue_operation(topology, std::move(*stored), factory, owner);
      if (done.ok()) continue;
      if (done.error().code() != Code::kAborted) {
        co_return std::move(done).error().with_context(
            "an earlier command was interrupted and cannot be brought to its end yet (" + what + ")");
      }
    } else if (now >= wait.deadline) {
      co_return fail(Code::kDeadlineExceeded, name_of(stored->record) + ": " + describe_open(stored->record));
    }
    (void)co_await net::sleep_for(kLook, wait.cancel);
    if (wait.cancel.cancelled()) co_return fail(Code::kCanceled, "the command was cancelled");
  }
}

Repairer::Repairer(topo::Server& topology, OperationFactory factory, Owner owner, base::Metrics* metrics)
    : topology_(topology), factory_(std::move(factory)), owner_(std::move(owner)) {
  if (metrics == nullptr) return;
  ages_ = &metrics->gauges("WorkflowOperationSeconds", "seconds since the operation that is open on a workflow began",
                           {"workflow", "operation", "state"});
  ended_ = &metrics->counter("WorkflowOperationsRepaired",
                             "operations of silent or dead owners that were brought to their end here");
}

void Repairer::report() {
  if (ages_ == nullptr) return;
  std::set<std::vector<std::string>> now;
  const int64_t now_ms = to_ms(topology_.clock().wall_now());
  for (const auto& [path, track] : tracks_) {
    const Record& record = track.stored.record;
    const auto& open = record.open();
    const std::vector<std::string> labels = {record.target_keyspace() + "." + record.workflow(), open.kind(),
                                             open.owner().empty() ? "waiting"
                                             : open.undoing()     ? "undoing"
                                                                  : "under way"};
    ages_->with(labels).set((now_ms - open.started_ms()) / 1000);
    now.insert(labels);
  }
  for (const auto& labels : reported_) {
    if (!now.contains(labels)) ages_->remove(labels);
  }
  reported_ = std::move(now);
}

net::Task<void> Repairer::run(net::CancelToken cancel) {
  base::LogLimit limit(10s);
  while (!cancel.cancelled()) {
    Status ended = co_await watch(cancel);
    if (cancel.cancelled()) break;
    if (!ended.ok() && limit.allow()) log_warning("watching workflows: {}", ended.error().message());
    (void)co_await net::sleep_for(500ms, cancel);
  }
}

net::Task<Status> Repairer::watch(net::CancelToken cancel) {
  // What was seen before a pause of the watch says nothing about who was alive meanwhile.
  tracks_.clear();
  CO_ASSIGN_OR_RETURN(const auto watch, co_await topology_.global().watch_recursive(std::string(topo::kMovementDir)));
  net::Scope scope(cancel);
  Status outcome;
  auto ticked = base::system_clock().now();
  while (!cancel.cancelled()) {
    auto changes = co_await watch->next(net::Wait::within(kTick, cancel));
    if (changes.ok()) {
      for (const auto& change : *changes) take(change);
    } else if (changes.error().code() != Code::kDeadlineExceeded) {
      outcome = std::move(changes).error();
      break;
    }
    const auto now = base::system_clock().now();
    // This process was not running: it could not see who was.
    if (now - ticked > 1s) {
      for (auto& [path, track] : tracks_) track.changed_at = now;
    }
    ticked = now;
    start_due(scope);
    report();
  }
  co_await scope.join();
  co_return outcome;
}

void Repairer::take(const topo::Change& change) {
  Result<Record> record = change.record ? parse_record(change.record->data) : fail(Code::kNotFound, "");
  const auto found = tracks_.find(change.path);
  if (!record.ok() || !record->has_open()) {
    if (found == tracks_.end()) return;
    if (!found->second.running) tracks_.erase(found);
    return;
  }
  Track& track = tracks_[change.path];
  track.stored = {std::move(*record), change.record->version};
  track.changed_at = base::system_clock().now();
}

void Repairer::start_due(net::Scope& scope) {
  const auto now = base::system_clock().now();
  std::vector<std::string> due;
  for (auto& [path, track] : tracks_) {
    const auto& open = track.stored.record.open();
    if (track.running || Tenure::is_active(owner_.id, path)) continue;
    const base::Duration pause =
        open.owner().empty() ? retry_pause(open.attempts(), holds_clients(open)) : base::Duration(kSilence);
    if (now - track.changed_at < pause) continue;
    track.running = true;
    due.push_back(path);
  }
  for (const auto& path : due) scope.spawn(repair(path, tracks_[path].stored));
}

net::Task<void> Repairer::repair(std::string path, StoredRecord stored) {
  const Status done = co_await continue_operation(topology_, std::move(stored), factory_, owner_);
  if (done.ok() && ended_ != nullptr) ended_->add();
  const auto found = tracks_.find(path);
  if (found == tracks_.end()) co_return;
  found->second.running = false;
  found->second.changed_at = base::system_clock().now();
  // What it is now comes by the watch; until then nothing more is known.
  auto now = co_await topology_.global().get(path);
  // The topology does not answer: tried again. Forgotten, it would stay so: a record that nobody changes is told once.
  if (!now.ok() && now.error().code() != Code::kNotFound) co_return;
  Result<Record> record = now.ok() ? parse_record(now->data) : fail(Code::kNotFound, "");
  const auto again = tracks_.find(path);
  if (again == tracks_.end()) co_return;
  if (!record.ok() || !record->has_open()) {
    tracks_.erase(again);
  } else {
    again->second.stored = {std::move(*record), now->version};
  }
}

}  // namespace vitrail::control::engine
