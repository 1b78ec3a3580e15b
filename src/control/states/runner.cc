#include "control/states/runner.h"

#include <fmt/core.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "control/workflow/engine/runner.h"
#include "net/scope.h"
#include "net/sync.h"
#include "topo/locks.h"
#include "vtctldata.pb.h"

namespace vitrail::control::states {
namespace {

namespace sw = ::shardingworkflow;
using namespace std::chrono_literals;

constexpr int kFailedLooksMax = 10;  // Of the watch, before a copy that cannot be asked is in error.

// The record of an action that is carried out here: written step by step, and with a heartbeat meanwhile.
class Tenure {
 public:
  Tenure(topo::Server& topology, StoredRecord stored, base::Duration heartbeat)
      : topology_(topology), stored_(std::move(stored)), heartbeat_(heartbeat) {}

  Record& record() { return stored_.record; }
  // kAborted: somebody else has taken over; nothing may be done any more.
  net::Task<Status> write() {
    CO_ASSIGN_OR_RETURN(auto guard, co_await mutex_.lock(net::Wait()));
    static_cast<void>(guard);
    if (lost_) co_return fail(Code::kAborted, "another vtctld goes on with sharding workflow " + name_of(record()));
    auto written = co_await replace(topology_, stored_, stored_.record);
    if (!written.ok()) {
      lost_ = written.error().code() == Code::kAborted;
      co_return std::move(written).error();
    }
    stored_.version = written->version;  // The record may have been changed meanwhile.
    co_return Status{};
  }
  net::Task<void> keep_alive(net::CancelToken cancel) {
    while ((co_await net::sleep_for(heartbeat_, cancel)).ok()) {
      record().mutable_pending()->set_heartbeat(record().pending().heartbeat() + 1);
      static_cast<void>(co_await write());  // Tried again at the next turn; what is lost is seen at the next step.
    }
  }

 private:
  topo::Server& topology_;
  StoredRecord stored_;
  const base::Duration heartbeat_;
  net::Mutex mutex_;
  bool lost_ = false;
};

Status check_new(const Record& record) {
  if (record.kind() != "MoveTables" && record.kind() != "Reshard") {
    return fail(Code::kInvalidArgument, "kind: give MoveTables or Reshard");
  }
  if (record.target_keyspace().empty()) return fail(Code::kInvalidArgument, "give the target keyspace");
  if (record.kind() == "MoveTables") {
    if (record.source_keyspace().empty()) return fail(Code::kInvalidArgument, "give the source keyspace");
    if (record.source_keyspace() == record.target_keyspace()) {
      return fail(Code::kInvalidArgument, "source and target are the same keyspace");
    }
    if (record.target_shards_size() > 0) {
      return fail(Code::kInvalidArgument, "MoveTables fills all shards of the target: leave the target shards out");
    }
    return {};
  }
  if (record.source_shards_size() == 0 || record.target_shards_size() == 0) {
    return fail(Code::kInvalidArgument, "a Reshard needs source shards and target shards");
  }
  if (record.tables_size() > 0) {
    return fail(Code::kInvalidArgument, "a Reshard takes every table: leave the tables out");
  }
  return {};
}

}  // namespace

Runner::Runner(Plane plane, Pace pace)
    : plane_(std::move(plane)),
      pace_(pace),
      owner_(fmt::format("{}:{:016x}", ::getpid(), base::system_random().next_u64())) {}

net::Task<Result<Record>> Runner::create(Record record, std::string who) {
  if (record.branch().empty()) record.set_branch(std::string(kDefaultBranch));
  CO_RETURN_IF_ERROR(check_name("name of a branch", record.branch()));
  CO_RETURN_IF_ERROR(check_name("name of a sharding workflow", record.name()));
  CO_RETURN_IF_ERROR(check_new(record));
  if (record.kind() == "Reshard") record.set_source_keyspace(record.target_keyspace());
  topo::Server& topology = plane_.tablets.topology();
  // Two at once: one waits for the other here, and then sees it.
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::NamedLock::acquire(topology, "sharding_workflows/" + record.branch(),
                                                                   "ShardingWorkflow create"));
  const auto make = [](Runner& self, Record wanted, std::string by) -> net::Task<Result<StoredRecord>> {
    topo::Server& store = self.plane_.tablets.topology();
    CO_ASSIGN_OR_RETURN(const auto others, co_await states::list(store, wanted.branch()));
    for (const auto& other : others) {
      CO_ASSIGN_OR_RETURN(const Position position, position_of(other.record));
      if (!is_active(position.state)) continue;
      co_return fail(Code::kAlreadyExists,
                     fmt::format("branch {} has an active sharding workflow: {}, in the state {}; complete or cancel "
                                 "it first",
                                 wanted.branch(), other.record.name(), name_of(position.state)));
    }
    CO_ASSIGN_OR_RETURN(const Engine engine, co_await ask_engine(self.plane_, wanted));
    if (engine.exists) {
      co_return fail(Code::kAlreadyExists, fmt::format("there is a workflow {} in keyspace {} already", wanted.name(),
                                                       wanted.target_keyspace()));
    }
    wanted.set_state(std::string(name_of(State::kCopying)));
    wanted.set_created_ms(to_ms(self.now()));
    auto& pending = *wanted.mutable_pending();
    pending.set_action(std::string(name_of(Action::kCreate)));
    pending.set_owner(self.owner_);
    pending.set_started_ms(to_ms(self.now()));
    pending.set_who(by);
    add_log(wanted, self.now(), std::move(by), "create");
    co_return co_await states::create(store, std::move(wanted));
  };
  auto stored = co_await make(*this, std::move(record), std::move(who));
  Status released = co_await lock.release();
  if (!stored.ok()) co_return std::move(stored).error();
  if (!released.ok()) log_warning("sharding workflow {}: {}", name_of(stored->record), released.error().message());
  co_return co_await run(std::move(*stored), create_transition());
}

net::Task<Result<Record>> Runner::act(sw::ActRequest request) {
  if (request.branch().empty()) request.set_branch(std::string(kDefaultBranch));
  CO_ASSIGN_OR_RETURN(const Action action, parse_action(request.action()));
  CO_ASSIGN_OR_RETURN(auto stored, co_await load(plane_.tablets.topology(), request.branch(), request.name()));
  if (is_under_way(stored.record)) {
    co_return fail(Code::kFailedPrecondition, fmt::format("{} of sharding workflow {} is under way",
                                                          stored.record.pending().action(), name_of(stored.record)));
  }
  const auto engine = co_await ask_engine(plane_, stored.record);
  CO_ASSIGN_OR_RETURN(stored, co_await look(std::move(stored), engine));
  CO_ASSIGN_OR_RETURN(const Position position, position_of(stored.record));
  auto transition = decide(position, action);
  if (!transition.ok()) {
    co_return std::move(transition).error().with_context("sharding workflow " + name_of(stored.record));
  }
  if (needs_confirmation(action) && !request.confirmed()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("{} wants a confirmation (--yes). {}", name_of(action), warning_of(action)));
  }
  co_return co_await begin(std::move(stored), action, request.who(), request.timeout_seconds());
}

net::Task<Result<Record>> Runner::begin(StoredRecord stored, Action action, std::string who, int64_t timeout_seconds) {
  CO_ASSIGN_OR_RETURN(const Position position, position_of(stored.record));
  CO_ASSIGN_OR_RETURN(auto transition, decide(position, action));
  Record next = stored.record;
  if (action == Action::kRetry) {
    next.mutable_pending()->clear_error();
  } else {
    next.clear_pending();
    next.mutable_pending()->set_action(std::string(name_of(action)));
    next.mutable_pending()->set_started_ms(to_ms(now()));
    next.mutable_pending()->set_timeout_seconds(timeout_seconds);
  }
  if (next.pending().action() == name_of(Action::kVerify) && next.pending().steps_done() == 0) {
    next.mutable_pending()->set_verification_uuid(base::system_random().uuid());
  }
  next.mutable_pending()->set_owner(owner_);
  next.mutable_pending()->set_who(who);
  add_log(next, now(), std::move(who), std::string(name_of(action)));
  CO_ASSIGN_OR_RETURN(auto begun, co_await replace(plane_.tablets.topology(), stored, std::move(next)));
  co_return co_await run(std::move(begun), std::move(transition));
}

net::Task<Result<Record>> Runner::run(StoredRecord stored, Transition transition) {
  Tenure tenure(plane_.tablets.topology(), std::move(stored), pace_.heartbeat);
  net::Scope alive;
  alive.spawn(tenure.keep_alive(alive.token()));
  Status failed;
  for (size_t i = static_cast<size_t>(tenure.record().pending().steps_done()); i < transition.steps.size(); ++i) {
    // "cutover/1": its second step was noted, and not yet carried out; "cutover/1+": not yet noted as done.
    const std::string point = fmt::format("{}/{}", tenure.record().pending().action(), i);
    engine::pass_test_point(point);
    // On a copy: the heartbeat writes the record meanwhile.
    Record learned = tenure.record();
    failed = co_await carry_out(plane_, transition.steps[i], learned);
    if (failed.ok()) engine::pass_test_point(point + "+");
    if (!failed.ok()) {
      failed = std::move(failed).error().with_context(std::string(name_of(transition.steps[i])));
      break;
    }
    const int64_t heartbeat = tenure.record().pending().heartbeat();
    learned.mutable_pending()->set_heartbeat(heartbeat + 1);
    learned.mutable_pending()->set_steps_done(static_cast<int32_t>(i) + 1);
    tenure.record() = std::move(learned);
    failed = co_await tenure.write();
    if (!failed.ok()) break;
  }
  alive.request_stop();
  co_await alive.join();
  Record& record = tenure.record();
  const std::string who = record.pending().who();
  if (failed.ok()) {
    engine::pass_test_point(record.pending().action() + "/end");
    std::string note = fmt::format("{} is done: {}", record.pending().action(), name_of(transition.to));
    if (record.pending().action() == name_of(Action::kVerify)) {
      note = record.verification().agrees() ? "verified: no row differs"
                                            : "verified: rows differ: " + record.verification().summary();
    }
    record.set_state(std::string(name_of(transition.to)));
    record.clear_pending();
    add_log(record, now(), who, std::move(note));
    CO_RETURN_IF_ERROR(co_await tenure.write());
    co_return record;
  }
  if (failed.error().code() == Code::kAborted && is_under_way(record)) {
    auto newest = co_await load(plane_.tablets.topology(), record.branch(), record.name());
    if (newest.ok() && newest->record.pending().owner() != owner_) co_return std::move(failed).error();
  }
  record.mutable_pending()->set_error(failed.error().message());
  record.mutable_pending()->clear_owner();
  add_log(record, now(), who, fmt::format("{} failed: {}", record.pending().action(), failed.error().message()));
  if (Status noted = co_await tenure.write(); !noted.ok()) {
    log_warning("sharding workflow {}: {}", name_of(record), noted.error().message());
  }
  co_return std::move(failed).error();
}

// Notes what has changed by itself: a copy that has become running, streams that stopped with an error.
net::Task<Result<StoredRecord>> Runner::look(StoredRecord stored, const Result<Engine>& engine) {
  const auto position = position_of(stored.record);
  if (!position.ok() || stored.record.has_pending() || !engine.ok()) co_return stored;
  if (position->state != State::kCopying && position->state != State::kRunning) co_return stored;
  Record next = stored.record;
  if (!engine->stream_error.empty()) {
    next.mutable_pending()->set_action(std::string(name_of(Action::kFollow)));
    next.mutable_pending()->set_error(engine->stream_error);
    add_log(next, now(), "vtctld", "streams failed: " + engine->stream_error);
  } else if (position->state == State::kCopying && engine->exists && has_become_running(engine->copy)) {
    next.set_state(std::string(name_of(State::kRunning)));
    add_log(next, now(), "vtctld", "the copy is done: running");
  } else {
    co_return stored;
  }
  auto written = co_await replace(plane_.tablets.topology(), stored, std::move(next));
  if (written.ok() || written.error().code() != Code::kAborted) co_return written;
  co_return co_await load(plane_.tablets.topology(), stored.record.branch(), stored.record.name());
}

sw::View Runner::view_of(const Record& record) const {
  sw::View out;
  *out.mutable_record() = record;
  const auto position = position_of(record);
  if (!position.ok()) {
    out.set_error(position.error().message());
    return out;
  }
  out.set_state(std::string(name_of(position->state)));
  if (position->state == State::kRunning) {
    std::optional<Verification> last;
    if (record.has_verification()) {
      last = {.ended = base::WallTime(std::chrono::milliseconds(record.verification().ended_ms())),
              .agrees = record.verification().agrees()};
    }
    out.set_substate(std::string(name_of(substate(last, now()))));
  }
  if (is_under_way(record)) {
    out.set_under_way(record.pending().action());
  } else {
    for (const Action action : possible_actions(*position)) out.add_possible(std::string(name_of(action)));
  }
  out.set_error(record.pending().error());
  return out;
}

net::Task<Result<sw::View>> Runner::show(std::string branch, std::string name) {
  if (branch.empty()) branch = kDefaultBranch;
  CO_ASSIGN_OR_RETURN(auto stored, co_await load(plane_.tablets.topology(), branch, name));
  const auto before = position_of(stored.record);
  const bool has_engine = before.ok() && is_active(before->before) && before->before != State::kCutover &&
                          before->before != State::kReversedCutover;
  if (!has_engine) co_return view_of(stored.record);
  const auto engine = co_await ask_engine(plane_, stored.record);
  CO_ASSIGN_OR_RETURN(stored, co_await look(std::move(stored), engine));
  sw::View out = view_of(stored.record);
  if (!engine.ok()) {
    out.set_engine_error(engine.error().message());
    co_return out;
  }
  for (const auto& [table, copy] : engine->tables) {
    auto* entry = out.add_tables();
    entry->set_name(table);
    entry->set_copy(copy);
  }
  out.set_lag_seconds(std::chrono::duration_cast<std::chrono::seconds>(engine->copy.lag).count());
  out.set_rows_copied(engine->rows_copied);
  out.set_traffic(engine->traffic);
  co_return out;
}

net::Task<Result<sw::ListResponse>> Runner::list(std::string branch) {
  CO_ASSIGN_OR_RETURN(const auto records, co_await states::list(plane_.tablets.topology(), std::move(branch)));
  sw::ListResponse out;
  for (const auto& stored : records) *out.add_workflows() = view_of(stored.record);
  co_return out;
}

net::Task<void> Runner::watch_one(StoredRecord stored) {
  Seen& seen = seen_[name_of(stored.record)];
  const auto position = position_of(stored.record);
  if (!position.ok()) co_return;
  if (is_under_way(stored.record)) {
    const auto& pending = stored.record.pending();
    const base::TimePoint looked = base::system_clock().now();
    if (seen.heartbeat != pending.heartbeat()) seen = {.heartbeat = pending.heartbeat(), .since = looked};
    if (pending.owner() == owner_ || looked - seen.since < pace_.silence) co_return;
    const auto action = parse_recorded_action(pending.action());
    if (!action.ok()) co_return;
    const auto transition =
        *action == Action::kCreate ? Result<Transition>(create_transition())
        : *action == Action::kFollow
            ? decide({.state = State::kError, .before = position->state, .failed = *action}, Action::kRetry)
            : decide(*position, *action);
    if (!transition.ok()) co_return;
    Record next = stored.record;
    next.mutable_pending()->set_owner(owner_);
    add_log(next, now(), "vtctld", "goes on with " + pending.action());
    auto taken = co_await replace(plane_.tablets.topology(), stored, std::move(next));
    if (!taken.ok()) co_return;  // Somebody else was faster.
    seen = {};
    log_info("sharding workflow {}: going on with {}", name_of(taken->record), taken->record.pending().action());
    auto done = co_await run(std::move(*taken), *transition);
    if (!done.ok()) log_warning("sharding workflow {}: {}", name_of(stored.record), done.error().message());
    co_return;
  }
  seen.heartbeat = -1;
  if (stored.record.has_pending() || (position->state != State::kCopying && position->state != State::kRunning))
    co_return;
  const auto engine = co_await ask_engine(plane_, stored.record);
  if (engine.ok()) {
    seen.failed_looks = 0;
    static_cast<void>(co_await look(std::move(stored), engine));  // Looked at again soon.
    co_return;
  }
  if (++seen.failed_looks < kFailedLooksMax) co_return;
  seen.failed_looks = 0;
  Record next = stored.record;
  next.mutable_pending()->set_action(std::string(name_of(Action::kFollow)));
  next.mutable_pending()->set_error(engine.error().message());
  add_log(next, now(), "vtctld", "the streams cannot be asked: " + engine.error().message());
  static_cast<void>(co_await replace(plane_.tablets.topology(), stored, std::move(next)));
}

net::Task<void> Runner::watch(net::CancelToken cancel) {
  net::Scope work(cancel);
  std::map<std::string, bool> busy;
  const auto watched = [](Runner& self, StoredRecord stored, bool& running) -> net::Task<void> {
    running = true;
    co_await self.watch_one(std::move(stored));
    running = false;
  };
  do {
    auto records = co_await states::list(plane_.tablets.topology(), "");
    if (!records.ok()) continue;
    for (auto& stored : *records) {
      bool& running = busy[name_of(stored.record)];
      if (!running) work.spawn(watched(*this, std::move(stored), running));
    }
  } while ((co_await net::sleep_for(pace_.pause, cancel)).ok());
  work.request_stop();
  co_await work.join();
}

}  // namespace vitrail::control::states
