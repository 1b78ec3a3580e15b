// The transaction over the shards: its beginning, its ends, savepoints, and what becomes of it when a shard fails.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "gate/commit_outcome.h"
#include "gate/session.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "plan/schema_names.h"
#include "sql/literal.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

// Of one statement over several shards inside of a transaction: no client's savepoint is called so.
constexpr std::string_view kStatementSavepoint = "vitrail-statement";
// Code may have set completion_type in the server; what it says is done here.
constexpr std::string_view kCommit = "commit and no chain no release";
constexpr std::string_view kRollback = "rollback and no chain no release";
constexpr uint16_t kUnknownError = 1105;
constexpr uint16_t kNoSuchSavepoint = 1305;
constexpr uint16_t kNoSuchThread = 1094;
constexpr uint16_t kKillDenied = 1095;

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string names_of(const std::vector<shard::Target>& targets) {
  std::string out;
  for (const auto& target : targets) {
    if (!out.empty()) out += ", ";
    out += target.keyspace + "/" + target.shard;
  }
  return out.empty() ? "no shard" : out;
}

}  // namespace

void ClientSession::start_implicit_transaction() {
  if (!autocommit_ && !in_transaction_) start_transaction(true);
}

void ClientSession::start_transaction(bool implicit) {
  in_transaction_ = true;
  implicit_ = implicit;
  tables_locked_ = tables_locked_ && implicit;
  options_ = std::exchange(next_options_, {});
  atomic_ = two_phase();
  using Access = mysql::TransactionOptions::Access;
  // As it is now; SET changes it for the next one.
  if (options_.access == Access::kSession && session_reads_only()) options_.access = Access::kReadOnly;
  maybe_gone_.clear();
}

void ClientSession::transaction_over() {
  in_transaction_ = false;
  atomic_ = false;
  options_ = {};
  savepoints_.clear();
  maybe_gone_.clear();
  for (auto& held : held_) held.in_transaction = held.changed = false;
  held_.remove_if([](const HeldConnection& held) { return !held.pinned; });
}

// BEGIN unlocks tables, and a server would hear of it with the next statement only.
net::Task<void> ClientSession::let_tables_go() {
  std::vector<shard::Target> targets;
  for (const auto& held : held_) {
    if (held.pinned) targets.push_back(held.target);
  }
  if (has_server_autocommit_off()) (void)co_await set_server_autocommit(true);
  for (const auto& target : targets) (void)co_await ask({target, "unlock tables"});
  tables_locked_ = false;
}

net::Task<RunResult> ClientSession::begin(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  const auto* wanted = sql::statement_as<sql::Transaction>(&ast->statement());
  if (wanted == nullptr) co_return RunResult::failed(fail(Code::kInvalidArgument, "this is no BEGIN"));
  if (in_transaction_) {
    RunResult committed = co_await commit();
    if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
  }
  savepoints_.clear();
  if (tables_locked_) co_await let_tables_go();
  const auto next = next_options_;
  start_transaction();
  using Access = mysql::TransactionOptions::Access;
  if (wanted->access == sql::AccessMode::kReadOnly) options_.access = Access::kReadOnly;
  if (wanted->access == sql::AccessMode::kReadWrite) options_.access = Access::kReadWrite;
  options_.consistent_snapshot = wanted->consistent_snapshot;
  const bool said = next.access != Access::kSession || wanted->access != sql::AccessMode::kNone;
  RunResult begun = co_await (wanted->consistent_snapshot ? begin_snapshots(said) : begin_where_code_ran(said));
  if (begun.verdict != RunResult::Verdict::kAnswered) next_options_ = next;
  if (begun.verdict != RunResult::Verdict::kAnswered) co_return begun;
  co_return RunResult::answered();
}

// The end of a transaction that has not begun: it is the end of what SET TRANSACTION said of it, and of savepoints, on
// the connections that this session keeps, too.
net::Task<void> ClientSession::forget_next_where_kept(bool commits) {
  std::vector<shard::Target> kept;
  for (const auto& held : held_) {
    if (held.pinned && !held.in_transaction && held.phase == Phase::kMain) kept.push_back(held.target);
  }
  // One that is lost by that is lost with all that was kept on it, and the session knows: see lose().
  for (const auto& target : kept) (void)co_await ask({target, std::string(commits ? kCommit : kRollback)});
}

// A snapshot is of now, not of the first statement: the transaction begins on all shards of the keyspace, at once.
net::Task<RunResult> ClientSession::begin_snapshots(bool access_said) {
  if (keyspace_.empty() || plan::is_information_schema(keyspace_)) {
    add_warning("Warning", kUnknownError,
                "no keyspace is used: the snapshot of each shard is of its first statement in this transaction");
    co_return RunResult::answered();
  }
  Statement nowhere;
  auto targets = resolve(plan::Route{.kind = plan::Route::Kind::kAllShards, .keyspace = keyspace_}, nowhere);
  if (!targets.ok()) {
    co_await rollback_all();
    co_return refused(std::move(targets).error());
  }
  const HeldConnection* kept = where_code_ran();
  std::optional<shard::Target> home;
  if (kept != nullptr) home = kept->target;
  if (kept != nullptr && !access_said) options_.access = mysql::TransactionOptions::Access::kSession;
  auto begin_on = [](ClientSession& self, shard::Target target, bool tells,
                     std::optional<Error>& error) -> net::Task<void> {
    auto begun = co_await self.ask({std::move(target), "do 0"});
    if (begun.ok() && tells) self.note_access(begun->ok.status_flags);
    if (!begun.ok() && !error) error = std::move(begun).error();
  };
  std::optional<Error> error;
  std::vector<net::Task<void>> tasks;
  for (const auto& target : *targets) tasks.push_back(begin_on(*this, target, home == target, error));
  co_await net::when_all(std::move(tasks));
  if (!error) co_return RunResult::answered();
  co_await rollback_all();
  co_return refused(std::move(*error));
}

ClientSession::HeldConnection* ClientSession::where_code_ran() {
  const auto kept = [](const HeldConnection& held) { return held.pinned && held.phase == Phase::kMain; };
  return std::ranges::count_if(held_, kept) == 1 ? &*std::ranges::find_if(held_, kept) : nullptr;
}

// Code may have run SET TRANSACTION on a connection that this session keeps: what has begun there the server tells.
// `access_said`: the client says whether it reads only, not the session.
net::Task<RunResult> ClientSession::begin_where_code_ran(bool access_said) {
  const HeldConnection* kept = where_code_ran();
  if (kept == nullptr) co_return RunResult::answered();
  const shard::Target target = kept->target;
  if (!access_said) options_.access = mysql::TransactionOptions::Access::kSession;
  auto begun = co_await ask({target, "do 0"});
  if (begun.ok()) {
    note_access(begun->ok.status_flags);
    co_return RunResult::answered();
  }
  co_await rollback_all();
  co_return refused(std::move(begun).error());
}

net::Task<RunResult> ClientSession::end_transaction(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  const auto* wanted = sql::statement_as<sql::Transaction>(&ast->statement());
  if (wanted == nullptr) co_return RunResult::failed(fail(Code::kInvalidArgument, "this ends no transaction"));
  const bool was_open = in_transaction_;
  mysql::TransactionOptions options = options_;
  if (options.access == mysql::TransactionOptions::Access::kSession &&
      std::ranges::any_of(held_, &HeldConnection::pinned)) {  // Code may have set otherwise what comes next.
    options.access = mysql::TransactionOptions::Access::kReadWrite;
  }
  if (statement.scan.kind == sql::StatementKind::kCommit) {
    RunResult committed = co_await commit();
    if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
  } else {
    co_await rollback_all();
  }
  const auto completion = stored_.find("completion_type");
  const auto asked = [&](sql::Toggle word, std::string_view type) {
    const bool silent = word == sql::Toggle::kNone;
    return word == sql::Toggle::kOn || (silent && completion != stored_.end() && completion->second == type);
  };
  savepoints_.clear();  // Also where no transaction was open.
  const bool chained = asked(wanted->chain, kChainAtEnd);
  const bool said = next_options_.access != mysql::TransactionOptions::Access::kSession;
  if (chained && tables_locked_) co_await let_tables_go();
  if (chained) start_transaction();
  if (chained && was_open) {  // Else it is as any that begins now.
    options_ = options;
    options_.consistent_snapshot = false;
  }
  if (chained && !was_open) {
    RunResult begun = co_await begin_where_code_ran(said);
    if (begun.verdict != RunResult::Verdict::kAnswered) co_return begun;
  }
  next_options_ = {};
  if (!chained) co_await forget_next_where_kept(statement.scan.kind == sql::StatementKind::kCommit);
  close_after_answer_ = asked(wanted->release, kReleaseAtEnd);
  co_return RunResult::answered();
}

net::Task<RunResult> ClientSession::commit() {
  std::vector<HeldConnection*> participants;
  for (auto& held : held_) {
    if (held.in_transaction && held.phase == Phase::kMain) participants.push_back(&held);
  }
  // A participant that is gone has taken its part of the transaction along: nothing may be committed then. With several
  // they are asked, all at once: what is known before the first COMMIT cannot make it half a transaction. Of those that
  // will be prepared the answer to that tells it.
  std::vector<uint16_t> flags(participants.size());
  const bool two_phases = atomic_ && std::ranges::count(participants, true, &HeldConnection::changed) > 1;
  if (participants.size() > 1) {
    auto look = [](ClientSession& self, HeldConnection* held, uint16_t& out) -> net::Task<void> {
      out = (co_await self.ping(held->lease->client)).value_or(0);
    };
    std::vector<net::Task<void>> looks;
    for (size_t i = 0; i < participants.size(); ++i) {
      if (two_phases && participants[i]->changed) continue;
      if (participants[i]->lease->client.idle_ok()) looks.push_back(look(*this, participants[i], flags[i]));
    }
    co_await net::when_all(std::move(looks));
  }
  for (HeldConnection* held : participants) {
    if (held->lease->client.idle_ok()) continue;
    Error error = met_at(held->target, fail(Code::kUnavailable, "the connection is lost"));
    lose(held);
    RunResult failed = co_await fail_transaction(std::move(error));
    failed_.reset();  // COMMIT was the end that the client wanted.
    co_return failed;
  }
  if (Status ready = co_await commit_lookups(); !ready.ok()) {
    RunResult failed = co_await fail_transaction(std::move(ready).error());
    failed_.reset();
    co_return failed;
  }
  if (atomic_ && participants.size() > 1) {
    std::vector<bool> changed;
    for (const uint16_t flag : flags) changed.push_back((flag & mysql::kStatusInTransactionReadOnly) == 0);
    co_return co_await commit_atomically(std::move(participants), std::move(changed));
  }
  co_return co_await commit_each(std::move(participants));
}

// One of them alone: as long as it has not succeeded, the others can still be rolled back. Then the others at once.
net::Task<RunResult> ClientSession::commit_each(std::vector<HeldConnection*> participants) {
  const net::Wait wait = session_wait();
  std::vector<CommittedPart> parts;
  for (const HeldConnection* held : participants) parts.push_back({held->target, PartState::kRolledBack});
  std::optional<Error> error;
  const auto started = base::system_clock().now();
  auto commit_one = [](ClientSession& self, HeldConnection* held, PartState& state, std::optional<Error>& first,
                       net::Wait limit) -> net::Task<void> {
    auto result = co_await held->lease->client.query(std::string(held->pinned ? kCommit : "commit"), std::move(limit));
    held->in_transaction = false;
    if (result.ok()) {
      held->pinned = (result->ok.status_flags & mysql::kStatusSessionStateChanged) != 0;
      state = PartState::kCommitted;
      co_return;
    }
    const bool lost = held->lease->client.broken();
    state = lost || result.error().effect() == Effect::kUnknown ? PartState::kUnknown : PartState::kRolledBack;
    if (lost && held->pinned) self.state_lost_ = true;
    held->lease.discard();
    if (!first) first = met_at(held->target, std::move(result).error());
  };
  if (!participants.empty()) co_await commit_one(*this, participants[0], parts[0].state, error, wait);
  std::vector<net::Task<void>> others;
  for (size_t i = 1; i < participants.size(); ++i) {
    if (!error) {
      others.push_back(commit_one(*this, participants[i], parts[i].state, error, wait));
      continue;
    }
    if (participants[i]->pinned) state_lost_ = true;
    participants[i]->lease.discard();  // Rolled back by its tablet.
  }
  co_await net::when_all(std::move(others));
  co_await end_removals(!error);
  held_.remove_if([](const HeldConnection& held) { return !held.lease; });
  transaction_over();
  if (error) co_return RunResult::failed(commit_error(parts, std::move(*error)));
  if (!participants.empty()) {
    shared_.metrics.statistics.record_commit(participants.size(), base::system_clock().now() - started);
  }
  co_return RunResult::answered();
}

net::Task<void> ClientSession::rollback_all() {
  const net::Wait wait = net::Wait::within(10s, shared_.scope.token());
  for (auto& held : held_) {
    if (!held.in_transaction) continue;
    bool gone = held.lease->client.broken();
    if (!gone) {
      auto result = co_await held.lease->client.query(std::string(held.pinned ? kRollback : "rollback"), wait);
      gone = !result.ok();
      if (result.ok()) held.pinned = (result->ok.status_flags & mysql::kStatusSessionStateChanged) != 0;
    }
    if (!gone) continue;
    if (held.pinned) state_lost_ = true;
    held.lease.discard();
  }
  held_.remove_if([](const HeldConnection& held) { return !held.lease; });
  transaction_over();
}

net::Task<RunResult> ClientSession::fail_transaction(Error error) {
  co_await rollback_all();
  failed_ = error.message();
  if (error.mysql_errno() == mysql::errnos::kDeadlock) co_return RunResult::failed(std::move(error));
  co_return RunResult::failed(fail(Code::kAborted, "the transaction was rolled back: " + error.message())
                                  .with_reason(Reason::kTransactionLost)
                                  .with_origin(error.origin())
                                  .with_mysql(mysql::errnos::kDeadlock, "40001"));
}

net::Task<std::optional<RunResult>> ClientSession::after_failed_transaction(const Statement& statement) {
  if (!failed_) co_return std::nullopt;
  using enum sql::StatementKind;
  const auto told = [](const std::string& why) {
    return fail(Code::kAborted, "the transaction was rolled back: " + why + "; ROLLBACK, then begin again")
        .with_mysql(mysql::errnos::kDeadlock, "40001");
  };
  switch (statement.scan.kind) {
    case kRollback:
    case kBegin: failed_.reset(); co_return std::nullopt;
    case kCommit: {  // What the client wants committed is not there any more.
      Error error = told(*std::exchange(failed_, std::nullopt));
      co_return RunResult::failed(std::move(error));
    }
    default: co_return RunResult::failed(told(*failed_));
  }
}

net::Task<RunResult> ClientSession::savepoint(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  const auto* wanted = sql::statement_as<sql::Transaction>(&ast->statement());
  if (wanted == nullptr) co_return RunResult::failed(fail(Code::kInvalidArgument, "this is no savepoint"));
  const std::string name(wanted->savepoint.text);
  if (same_name(name, kStatementSavepoint)) {
    co_return RunResult::failed(fail(Code::kInvalidArgument, "this savepoint's name is taken; use another"));
  }
  const bool sets = statement.scan.kind == sql::StatementKind::kSavepoint;
  const auto known =
      std::ranges::find_if(savepoints_, [&](const std::string& other) { return same_name(other, name); });
  if (!sets && known == savepoints_.end()) {
    co_return RunResult::failed(
        fail(Code::kNotFound, fmt::format("SAVEPOINT {} does not exist", name)).with_mysql(kNoSuchSavepoint, "42000"));
  }
  if (!in_transaction_ && autocommit_) co_return RunResult::answered();  // It means nothing, and is no error.
  std::string text = sets                                                     ? "savepoint "
                     : statement.scan.kind == sql::StatementKind::kRollbackTo ? "rollback to savepoint "
                                                                              : "release savepoint ";
  mysql::append_sql_identifier(text, name);
  std::vector<ShardText> texts;
  for (const auto& held : held_) {
    if (held.in_transaction || held.autocommit_off) texts.push_back({held.target, text, held.phase});
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    auto done = co_await ask(std::move(texts[i]));
    if (!done.ok() && i == 0 && done.error().mysql_errno() == kNoSuchSavepoint) {
      // Code has ended the transaction that had it, and begun another.
      savepoints_.erase(known);
      co_return RunResult::failed(std::move(done).error());
    }
    if (!done.ok()) co_return co_await fail_transaction(std::move(done).error());
  }
  if (sets) {
    if (known != savepoints_.end()) savepoints_.erase(known);
    savepoints_.push_back(name);
  } else {
    const bool keeps = statement.scan.kind == sql::StatementKind::kRollbackTo;
    savepoints_.erase(known + (keeps ? 1 : 0), savepoints_.end());
  }
  co_return RunResult::answered();
}

std::string ClientSession::statement_savepoint() { return std::string(kStatementSavepoint); }

net::Task<bool> ClientSession::undo_statement(const std::vector<shard::Target>& targets) {
  std::string text = "rollback to savepoint ";
  mysql::append_sql_identifier(text, kStatementSavepoint);
  for (const auto& target : targets) {
    if (!in_transaction_on(target)) co_return false;
    auto done = co_await ask({target, text});
    if (!done.ok()) co_return false;
  }
  co_return true;
}

// One shard after the other: no transaction could hold them together. A shard that cannot take it right now is awaited;
// no shard gets it twice.
net::Task<RunResult> ClientSession::run_ddl(std::vector<ShardText> texts) {
  savepoints_.clear();
  shared_.view_queries.clear();
  const auto deadline = base::system_clock().now() + shared_.settings.buffer_window;
  std::vector<shard::Target> done;
  std::vector<shard::Target> left;
  for (const auto& what : texts) left.push_back(what.target);
  net::QueryResult last;
  for (auto& what : texts) {
    for (;;) {
      auto result = co_await ask(what);
      if (result.ok()) {
        last = std::move(*result);
        break;
      }
      Error error = std::move(result).error();
      RunResult outcome = refused(std::move(error));
      const bool again = outcome.verdict == RunResult::Verdict::kWait && shared_.settings.enable_buffer &&
                         base::system_clock().now() < deadline && !killed_;
      if (again) {
        const net::Wait wait = net::Wait::within(50ms, interrupt_->token());
        (void)co_await shared_.view_changed.wait(wait);
        continue;
      }
      if (done.empty()) co_return outcome;
      const std::string unknown =
          outcome.error->effect() == Effect::kUnknown ? " (on the first of these: unknown)" : "";
      co_return RunResult::failed(
          std::move(*outcome.error)
              .with_context(fmt::format("done on {}; not done on {}{}", names_of(done), names_of(left), unknown))
              .with_effect(Effect::kApplied));
    }
    done.push_back(what.target);
    left.erase(left.begin());
  }
  unite_warnings();
  row_count_ = static_cast<int64_t>(last.ok.affected_rows);
  Status sent = co_await send_ok({.affected_rows = last.ok.affected_rows, .info = last.ok.info});
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

// LOCK TABLES and UNLOCK TABLES: on every shard of the session's keyspace, in their order.
net::Task<RunResult> ClientSession::lock_tables(const Statement& statement) {
  std::vector<shard::Target> targets;
  const bool unlocks = statement.scan.kind == sql::StatementKind::kUnlockTables;
  if (tables_locked_ && has_server_autocommit_off()) {  // Letting go commits.
    if (in_transaction_) {
      RunResult committed = co_await commit();
      if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
    }
    if (Status back = co_await set_server_autocommit(true); !back.ok())
      co_return RunResult::failed(std::move(back).error());
  }
  if (unlocks) {
    for (const auto& held : held_) {
      if (held.pinned) targets.push_back(held.target);
    }
  } else {
    if (in_transaction_) {  // As on one server: it ends the transaction.
      RunResult committed = co_await commit();
      if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
    }
    if (keyspace_.empty()) {
      co_return RunResult::failed(
          fail(Code::kFailedPrecondition, "No database selected").with_mysql(mysql::errnos::kNoDb, "3D000"));
    }
    Statement nowhere;
    auto found = resolve(plan::Route{.kind = plan::Route::Kind::kAllShards, .keyspace = keyspace_}, nowhere);
    if (!found.ok()) co_return refused(std::move(found).error());
    targets = std::move(*found);
  }
  tables_locked_ = false;
  const std::string text(statement.text);
  std::vector<shard::Target> locked;
  for (const auto& target : targets) {
    auto done = co_await ask({target, text});
    if (!done.ok()) {
      for (const auto& other : locked) (void)co_await ask({other, "unlock tables"});
      co_return refused(std::move(done).error());
    }
    locked.push_back(target);
  }
  tables_locked_ = !unlocks;
  if (tables_locked_ && !autocommit_) co_return co_await begin_under_locks();
  co_return RunResult::answered();
}

// With autocommit = 0 a transaction begins, and its end lets no table go: what a BEGIN does not do.
net::Task<RunResult> ClientSession::begin_under_locks() {
  if (Status off = co_await set_server_autocommit(false); !off.ok())
    co_return RunResult::failed(std::move(off).error());
  start_implicit_transaction();
  co_return RunResult::answered();
}

net::Task<RunResult> ClientSession::kill(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  const auto* wanted = sql::statement_as<sql::Kill>(&ast->statement());
  uint32_t id = 0;
  if (wanted != nullptr && !wanted->query_id && wanted->id != nullptr) {
    std::string digits;
    if (const auto* literal = sql::as<sql::Literal>(wanted->id)) {
      digits = literal->text;
    } else {
      auto value = co_await evaluate(std::string(wanted->id->span.of(ast->text())));
      if (!value.ok()) co_return RunResult::failed(std::move(value).error());
      digits = std::move(value->bytes);
    }
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    if (error != std::errc() || end != digits.data() + digits.size()) wanted = nullptr;
  } else {
    wanted = nullptr;
  }
  if (wanted == nullptr) {
    co_return RunResult::failed(
        fail(Code::kUnimplemented, "VT12001: unsupported: KILL of anything but a connection's number"));
  }
  RunResult killed = co_await kill_session(id, wanted->query);
  if (killed.verdict == RunResult::Verdict::kAnswered && wanted->query && id == connection_id_) {
    co_return RunResult::failed(
        fail(Code::kCanceled, "Query execution was interrupted").with_mysql(mysql::errnos::kQueryInterrupted, "70100"));
  }
  co_return killed;
}

net::Task<RunResult> ClientSession::kill_session(uint32_t id, bool query) {
  using Outcome = GateLoop::KillOutcome;
  switch (co_await shared_.kill(id, client_.user, query)) {
    case Outcome::kDone: co_return RunResult::answered();
    case Outcome::kDenied:
      co_return RunResult::failed(fail(Code::kPermissionDenied, fmt::format("You are not owner of thread {}", id))
                                      .with_mysql(kKillDenied, "HY000"));
    case Outcome::kUnknown: break;
  }
  co_return RunResult::failed(
      fail(Code::kNotFound, fmt::format("Unknown thread id: {}", id)).with_mysql(kNoSuchThread, "HY000"));
}

}  // namespace vitrail::gate
