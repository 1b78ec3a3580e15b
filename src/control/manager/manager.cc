#include "control/manager/manager.h"

#include <fmt/core.h>

#include "base/log.h"
#include "base/text.h"
#include "topo/paths.h"

namespace vitrail::control::manager {

using namespace std::chrono_literals;

namespace {

constexpr auto kPause = 500ms;  // After something failed.
constexpr size_t kOutputKept = 4'000;

// The end of what a task says, and its last line.
class Ear {
 public:
  Ear(std::string& last_line) : last_line_(last_line) {}
  void hear(std::string_view text) {
    output_ += text;
    if (!text.ends_with('\n')) output_ += '\n';
    if (output_.size() > 2 * kOutputKept) output_.erase(0, output_.size() - kOutputKept);
    const std::string_view trimmed = base::trim(text);
    if (!trimmed.empty()) last_line_ = trimmed.substr(trimmed.rfind('\n') + 1);
  }
  std::string output() const {
    return output_.size() > kOutputKept ? output_.substr(output_.size() - kOutputKept) : output_;
  }

 private:
  std::string& last_line_;
  std::string output_;
};

}  // namespace

Manager::Manager(topo::Server& topology, Tools& tools, std::string id, Pace pace)
    : topology_(topology), tools_(tools), id_(std::move(id)), pace_(pace) {}

std::set<std::string> Manager::here(const std::string& uuid) const {
  std::set<std::string> out;
  if (const auto found = running_.find(uuid); found != running_.end()) {
    for (const auto& [id, task] : found->second) out.insert(id);
  }
  return out;
}

net::Task<void> Manager::run(net::CancelToken cancel) {
  base::LogLimit limit(10s);
  while (!cancel.cancelled()) {
    auto lock = co_await topology_.global().campaign(
        std::string(kElection), id_, {.wait = {.cancel = cancel}, .ttl = pace_.lease, .require_dir = false});
    if (lock.ok()) {
      log_info("workflow manager: this vtctld ({}) leads", id_);
      leads_ = true;
      Status ended = co_await lead(**lock, cancel);
      leads_ = false;
      if (!ended.ok() && limit.allow()) log_warning("workflow manager: {}", ended.error().message());
      static_cast<void>(co_await (*lock)->unlock(net::Wait::within(1s)));
    } else if (lock.error().code() != Code::kDeadlineExceeded && !cancel.cancelled() && limit.allow()) {
      log_warning("workflow manager: election: {}", lock.error().message());
    }
    if (!cancel.cancelled()) static_cast<void>(co_await net::sleep_for(kPause, cancel));
  }
}

void Manager::take(const topo::Change& change) {
  const auto parts = base::split(change.path, '/');
  if (parts.size() != 3) return;
  const std::string uuid(parts[1]);
  auto record = change.record ? decode(change.record->data) : Result<Record>(fail(Code::kNotFound, "deleted"));
  if (record.ok() && is_ours(*record)) {
    records_[uuid] = std::move(*record);
  } else {
    records_.erase(uuid);
  }
}

net::Task<Status> Manager::lead(topo::Lock& lock, net::CancelToken cancel) {
  net::Scope scope(cancel);
  const auto until_lost = [](topo::Lock& held, net::Scope& work) -> net::Task<void> {
    while (!work.stopping()) {
      if ((co_await held.wait_lost(net::Wait::within(1h, work.token()))).ok()) work.request_stop();
    }
  };
  scope.spawn(until_lost(lock, scope));
  records_.clear();
  Status outcome;
  auto watch = co_await topology_.global().watch_recursive(std::string(topo::kWorkflowsDir));
  if (!watch.ok()) outcome = watch.error();
  while (outcome.ok() && !scope.stopping()) {
    auto changes = co_await (*watch)->next(net::Wait::within(pace_.look, scope.token()));
    if (changes.ok()) {
      for (const auto& change : *changes) take(change);
    } else if (changes.error().code() != Code::kDeadlineExceeded) {
      outcome = changes.error();
      break;
    }
    std::set<std::string> all;
    for (const auto& [uuid, record] : records_) all.insert(uuid);
    for (const auto& [uuid, tasks] : running_) all.insert(uuid);
    for (const auto& uuid : all) co_await advance(scope, lock.fence(), uuid);
  }
  const bool stopped = scope.stopping();
  scope.request_stop();
  co_await scope.join();
  running_.clear();
  said_.clear();
  if (stopped) co_return Status{};
  co_return outcome;
}

net::Task<void> Manager::advance(net::Scope& scope, topo::Fence fence, std::string uuid) {
  const auto found = records_.find(uuid);
  if (found == records_.end() || found->second.workflow.state() != ::workflow::Running) {
    if (const auto tasks = running_.find(uuid); tasks != running_.end()) {
      for (auto& [id, task] : tasks->second) task.cancel->cancel();
    }
    co_return;
  }
  const Decision seen = decide(found->second, here(uuid));
  if (!seen.finished && seen.start.empty()) co_return;
  Decision decided;
  const auto note = [this, &uuid, &decided](Record& record) -> Result<bool> {
    decided = decide(record, here(uuid));
    for (const auto& id : decided.start) begin_task(record, id, now());
    if (decided.finished) finish(record, now());
    return decided.finished || !decided.start.empty();
  };
  auto written = co_await change(topology_, uuid, note, fence);
  if (!written.ok()) {
    if (!scope.stopping()) log_warning("workflow {}: {}", uuid, written.error().message());
    co_return;
  }
  records_[uuid] = *written;
  if (decided.finished) log_info("workflow {} ({}) is finished", uuid, written->workflow.name());
  for (const auto& id : decided.start) {
    Running& task = running_[uuid][id];
    task.cancel = std::make_unique<net::CancelSource>(scope.token());
    log_info("workflow {}: {} begins", uuid, id);
    scope.spawn(run_task(fence, *written, id, task.cancel->token()));
  }
}

net::Task<void> Manager::run_task(topo::Fence fence, Record record, std::string id, net::CancelToken cancel) {
  const std::string uuid = record.workflow.uuid();
  const std::string key = uuid + "/" + id;
  Ear ear(said_[key]);
  Status outcome = co_await carry_out(
      topology_, tools_, std::move(record), id, [&ear](std::string_view text) { ear.hear(text); }, cancel);
  if (!outcome.ok() && !cancel.cancelled()) log_warning("workflow {}: {}: {}", uuid, id, outcome.error().message());
  const auto note = [&](Record& stored) -> Result<bool> {
    if (stored.workflow.state() != ::workflow::Running) return false;  // Stopped meanwhile.
    end_task(stored, id, outcome, ear.output(), now());
    return true;
  };
  // Until it is noted, or it is another's business.
  while (!cancel.cancelled()) {
    auto written = co_await change(topology_, uuid, note, fence);
    if (written.ok()) {
      records_[uuid] = std::move(*written);
      break;
    }
    if (written.error().code() == Code::kNotFound) break;
    log_warning("workflow {}: the end of {} cannot be noted: {}", uuid, id, written.error().message());
    static_cast<void>(co_await net::sleep_for(kPause, cancel));
  }
  said_.erase(key);
  const auto tasks = running_.find(uuid);
  if (tasks == running_.end()) co_return;
  tasks->second.erase(id);
  if (tasks->second.empty()) running_.erase(tasks);
}

}  // namespace vitrail::control::manager
