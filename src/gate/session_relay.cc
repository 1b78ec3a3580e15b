// One shard's connection: relaying a statement, asking a text, holding the connection while the server holds state.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "gate/older_errors.h"
#include "gate/session.h"
#include "mysql/errors.h"
#include "net/binary_query.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMaxPreparedPerConnection = 256;
constexpr auto kInterruptMax = 5s;  // For a tablet to be told to end a statement.
constexpr auto kAnswerMax = 30s;    // For the answer of a statement that is being ended.

Error gate_timeout(bool ended) {
  if (ended) return fail(Code::kDeadlineExceeded, "the statement took longer than the query timeout and was ended");
  return fail(Code::kDeadlineExceeded,
              "the statement took longer than the query timeout; whether it took effect is unknown")
      .with_effect(Effect::kUnknown);
}

// Who the client is, as tablets are told it.
const std::string& caller_id(const auto& client) { return client.user_data.empty() ? client.user : client.user_data; }

}  // namespace

Error met_at(const shard::Target& target, Error error) {
  return std::move(error)
      .with_context(fmt::format("target: {}.{}.{}", target.keyspace, target.shard, target.tablet_type))
      .with_origin({.keyspace = target.keyspace, .shard = target.shard});
}

ClientSession::HeldConnection* ClientSession::find_held(const shard::Target& target, Phase phase) {
  for (auto& held : held_) {
    if (held.phase == phase && held.target == target) return &held;
  }
  return nullptr;
}

bool ClientSession::in_transaction_on(const shard::Target& target) {
  const HeldConnection* held = find_held(target);
  return held != nullptr && held->in_transaction;
}

Status ClientSession::may_join(const shard::Target& target) {
  if (!in_transaction_ || !single_shard() || in_transaction_on(target)) return {};
  const auto takes_part = [](const HeldConnection& held) { return held.in_transaction && held.phase == Phase::kMain; };
  if (std::ranges::none_of(held_, takes_part)) return {};
  return fail(Code::kFailedPrecondition, "multi-db transaction attempted: transaction_mode is SINGLE");
}

std::vector<mysql::QueryAttribute> ClientSession::attributes_for(HeldConnection* held,
                                                                 std::string_view savepoint) const {
  std::vector<mysql::QueryAttribute> attributes;
  const auto add = [&](std::string_view name, std::string value) {
    attributes.push_back({std::string(name), mysql::Value::of_text(std::move(value))});
  };
  if (unlimited()) add(mysql::kUnlimitedAttribute, "1");
  if (!in_transaction_) {
    if (next_options_ != mysql::TransactionOptions()) add(mysql::kOnceAttribute, next_options_.to_text());
    return attributes;
  }
  if (begins_by_itself(held)) {
    if (!held->in_transaction && options_ != mysql::TransactionOptions())
      add(mysql::kOnceAttribute, options_.to_text());
  } else if (held == nullptr || !held->in_transaction) {
    add(mysql::kBeginAttribute, options_.to_text());
    if (atomic_) add(mysql::kAtomicAttribute, "1");
    if (std::ranges::any_of(held_, &HeldConnection::in_transaction)) add(mysql::kJoinsAttribute, "1");
    // The transaction's earlier savepoints: to a shard that joins now they all mean its beginning.
    for (const auto& name : savepoints_) add(mysql::kSavepointAttribute, name);
  }
  if (!savepoint.empty()) add(mysql::kSavepointAttribute, std::string(savepoint));
  return attributes;
}

void ClientSession::add_caller(mysql::Capabilities capabilities, std::vector<mysql::QueryAttribute>& attributes) const {
  if ((capabilities & mysql::kVitrailCallers) == 0) return;
  const auto add = [&](std::string_view name, std::string value) {
    attributes.push_back({std::string(name), mysql::Value::of_text(std::move(value))});
  };
  add(mysql::kUserAttribute, client_.user_data.empty() ? client_.user : client_.user_data);
  if (!client_.groups.empty()) add(mysql::kGroupsAttribute, base::join(client_.groups, ","));
}

void ClientSession::absorb(const shard::Target& target, HeldConnection* held, net::MysqlPool::Lease& own,
                           uint16_t status_flags, bool state_changed, Phase phase, uint64_t affected_rows) {
  const bool open = (status_flags & mysql::kStatusInTransaction) != 0;
  if (held == nullptr) {
    if (!open && !state_changed) return;
    held = &held_.emplace_back(HeldConnection{.target = target, .lease = std::move(own), .phase = phase});
  }
  held->in_transaction = open;
  held->changed = open && (held->changed || affected_rows > 0);
  held->pinned = state_changed;
  if (open && !in_transaction_) {  // Begun by the statement itself: EXECUTE IMMEDIATE 'begin', a procedure.
    in_transaction_ = told_begun_ = true;
    implicit_ = !autocommit_;
    options_ = {};
    atomic_ = false;
    if ((status_flags & mysql::kStatusInTransactionReadOnly) != 0) {
      options_.access = mysql::TransactionOptions::Access::kReadOnly;
    }
  }
  if (state_changed && phase == Phase::kMain) note_access(status_flags);
  if (!open && !state_changed) held_.remove_if([&](const HeldConnection& other) { return &other == held; });
}

void ClientSession::note_access(uint16_t status_flags) {
  using Access = mysql::TransactionOptions::Access;
  if (!in_transaction_ || (status_flags & mysql::kStatusInTransaction) == 0) return;
  const bool reads = (status_flags & mysql::kStatusInTransactionReadOnly) != 0;
  if (reads != reads_only()) options_.access = reads ? Access::kReadOnly : Access::kReadWrite;
}

// Code that ran in a server (CALL, EXECUTE) may have set autocommit there: it is the session's, then.
void ClientSession::note_autocommit(const shard::Target& target, bool was_off, uint16_t status_flags) {
  const bool off = (status_flags & mysql::kStatusAutocommit) == 0;
  if (HeldConnection* held = find_held(target)) held->autocommit_off = off;
  if (off != was_off) autocommit_ = !off;
}

net::Task<Status> ClientSession::tell_autocommit(HeldConnection* held, net::MysqlPool::Lease& own) {
  net::MysqlPool::Lease& lease = held != nullptr ? held->lease : own;
  constexpr std::string_view kOff = "@@session.autocommit = 0";
  // A connection that is nobody's is given its settings anew, whenever it serves a statement.
  const bool alone = held != nullptr || settings_text_.empty();
  auto done =
      co_await lease->client.query(fmt::format("{}{}", alone ? "set " : settings_text_ + ", ", kOff), query_wait());
  lease->settings = "changed";  // A pool gives it to nobody else as it is.
  if (!done.ok()) co_return std::move(done).error();
  if (held != nullptr) held->autocommit_off = true;
  co_return Status{};
}

// What is open there is committed when it is switched on.
net::Task<Status> ClientSession::set_server_autocommit(bool on) {
  for (auto& held : held_) {
    if (held.autocommit_off == !on || (!on && !held.pinned)) continue;
    auto done =
        co_await held.lease->client.query(fmt::format("set @@session.autocommit = {}", on ? 1 : 0), query_wait());
    held.lease->settings = "changed";  // A pool gives it to nobody else as it is.
    held.autocommit_off = !on;
    if (done.ok()) continue;
    state_lost_ = true;  // The session cannot go on with a connection that commits when it should not, or never.
    co_return std::move(done).error();
  }
  co_return Status{};
}

void ClientSession::lose(HeldConnection* held) {
  if (held->pinned) state_lost_ = true;
  held->lease.discard();
  held_.remove_if([&](const HeldConnection& other) { return &other == held; });
}

net::Task<bool> ClientSession::interrupt_on_tablet(GateLoop& shared, net::MysqlPool& pool, uint32_t tablet_session) {
  const net::Wait wait = net::Wait::within(kInterruptMax, shared.scope.token());
  auto lease = co_await pool.acquire("", wait);
  if (!lease.ok()) co_return false;
  co_return (co_await (*lease)->client.query(fmt::format("kill query {}", tablet_session), wait)).ok();
}

net::Task<void> ClientSession::kill_query() {
  killed_ = true;
  if (in_flight_ == nullptr) {
    interrupt_->cancel();
    co_return;
  }
  // The session may end while the tablets are told.
  GateLoop& shared = shared_;
  std::vector<InFlight> running;
  for (const InFlight* one = in_flight_; one != nullptr; one = one->before) running.push_back(*one);
  for (const InFlight& one : running) (void)co_await interrupt_on_tablet(shared, *one.pool, one.tablet_session);
}

// Sends the client's statement to one shard and passes the answer on as it is.
net::Task<RunResult> ClientSession::relay(const plan::Plan& plan, const Statement& statement, shard::Target target) {
  if (Status joins = may_join(target); !joins.ok()) co_return RunResult::failed(std::move(joins).error());
  const net::Wait wait = query_wait();
  HeldConnection* held = find_held(target);
  net::MysqlPool::Lease own;
  if (held == nullptr) {
    if (net::MysqlPool* pool = known_pool(target)) own = pool->try_acquire(settings_text_);
    if (!own) {
      auto lease = co_await lease_for(target, wait);
      if (!lease.ok()) co_return refused(std::move(lease).error());
      own = std::move(*lease);
    }
  }
  const bool begins = in_transaction_ && (held == nullptr || !held->in_transaction);
  net::MysqlPool::Lease& lease = held != nullptr ? held->lease : own;
  auto& client = lease->client;
  const std::string_view text = plan.text ? std::string_view(*plan.text) : statement.text;
  if (plan.effects.runs_unseen_code && !user_variables_.empty()) {
    // The code may read them.
    auto told = co_await client.query(user_variables_text(), wait);
    if (!told.ok()) {
      if (held != nullptr && client.broken()) lose(held);
      co_return refused(met_at(target, std::move(told).error()));
    }
  }
  plan::FoundRows found_rows = plan.found_rows;
  if (statement.scan.kind == sql::StatementKind::kExecute) {  // Not the plan's: what it runs is a literal.
    found_rows = found_rows_of_execute(statement);
  }
  using enum sql::StatementKind;
  const auto kind_of = statement.scan.kind;
  // A function's LAST_INSERT_ID() is its own.
  const bool changes_id =
      plan.effects.runs_unseen_code && (kind_of == kCall || kind_of == kExecute || kind_of == kOther);
  // GET_LOCK() forgets them, if it does not get the lock.
  const bool locks = (plan.effects.leaves & sql::Left::kUserLock) != sql::Left::kNothing;
  const bool marks = (plan.effects.runs_unseen_code || locks) && !warnings_before_.rows.empty();
  bool server_off = held != nullptr && held->autocommit_off;
  const bool was_told = server_off;
  if (plan.effects.runs_unseen_code && !autocommit_ && !in_transaction_ && !server_off) {
    Status told = co_await tell_autocommit(held, own);
    if (!told.ok()) {
      if (held != nullptr && client.broken()) lose(held);
      co_return refused(met_at(target, std::move(told).error()));
    }
    server_off = true;
  }
  auto attributes = attributes_for(held, "");
  const auto add = [&](std::string_view name, std::string value) {
    attributes.push_back({std::string(name), mysql::Value::of_text(std::move(value))});
  };
  if (server_off && !was_told) {  // Those that come before the transaction's first statement.
    for (const auto& name : savepoints_) add(mysql::kSavepointAttribute, name);
  }
  if (changes_id) add(mysql::kInsertIdAttribute, std::to_string(last_insert_id_));
  if (marks) add(mysql::kMarkAttribute, "1");
  add_caller(client.capabilities(), attributes);

  net::SpareText framed;
  mysql::PacketWriter writer(*framed);
  auto kind = mysql::ResponseKind::kQuery;
  if (statement.binary()) {
    kind = mysql::ResponseKind::kStmtExecute;
    auto* prepared = lease->find_prepared(text);
    if (prepared == nullptr) {
      auto made = co_await lease->prepare(std::string(text), kMaxPreparedPerConnection, wait);
      if (!made.ok()) {
        if (client.broken() && held != nullptr) {
          const bool in_transaction = held->in_transaction;
          lose(held);
          if (in_transaction) co_return co_await fail_transaction(met_at(target, std::move(made).error()));
        }
        co_return refused(met_at(target, std::move(made).error()));
      }
      prepared = *made;
    }
    mysql::encode_stmt_execute(writer.begin(), *statement.execute, prepared->ok.statement_id, attributes,
                               client.capabilities());
  } else {
    mysql::encode_query(writer.begin(), text, attributes, client.capabilities());
  }
  writer.end();
  const Running running(in_flight_, {&lease.pool(), client.server().connection_id});
  Status sent = co_await client.stream().write(*framed, wait);
  if (!sent.ok()) {
    co_return co_await relay_failed(target, held, {std::move(sent).error().with_effect(Effect::kUnknown), true, true},
                                    in_transaction_);
  }
  // Whether a transaction is open the server knows better: a statement may end it, or begin one.
  net::RelayOptions options;
  options.clear = mysql::kStatusAutocommit | mysql::kStatusSessionStateChanged;
  options.set =
      status_flags() & (mysql::kStatusAutocommit | mysql::kStatusMoreResultsExist | mysql::kStatusNoBackslashEscapes);
  // Under LOCK TABLES: the server will tell of the open transaction when it has opened a table in it.
  if (in_transaction_ && begins_by_itself(held)) options.set |= mysql::kStatusInTransaction;
  // The server has it as the session has, and code may SET it.
  if (plan.effects.runs_unseen_code && autocommit_ != server_off) {
    options.clear = mysql::kStatusSessionStateChanged;
    options.set &= static_cast<uint16_t>(~mysql::kStatusAutocommit);
  }
  options.first_sequence = mysql::answer_sequence(*framed);
  options.client_sequence = sequence_;
  options.hold = held_answer_;
  auto result = co_await net::relay_response(client.stream(), stream_, kind, client.capabilities(), options, wait);
  bool timed_out = false;
  if (!result.has_value() && result.error().backend && result.error().client_untouched &&
      result.error().error.code() == Code::kDeadlineExceeded) {
    timed_out = true;
    // A tablet that cannot end it, since its server does not answer, does so when it can: the connection is closed.
    if (co_await interrupt_on_tablet(shared_, lease.pool(), client.server().connection_id)) {
      result = co_await net::relay_response(client.stream(), stream_, kind, client.capabilities(), options,
                                            net::Wait::within(kAnswerMax, gone_.token()));
    }
  }
  if (!result.has_value()) {
    if (held == nullptr) own.discard();
    const bool untold = timed_out && result.error().backend && result.error().client_untouched;
    if (untold && !in_transaction_) {
      if (held != nullptr) lose(held);
      co_return RunResult::failed(met_at(target, gate_timeout(false)));
    }
    co_return co_await relay_failed(target, held, std::move(result).error(), in_transaction_);
  }
  sequence_ = result->next_sequence;
  if (!result->held && !result->error_held) held_answer_ = nullptr;  // The client has it already.
  if (result->error) {
    if (timed_out && result->error->code == mysql::errnos::kQueryInterrupted && result->error_held) {
      if (begins) absorb(target, held, own, mysql::kStatusInTransaction, held != nullptr && held->pinned);
      co_return RunResult::failed(met_at(target, gate_timeout(true)));
    }
    error_notes_.clear();
    if (plan.effects.runs_unseen_code && result->error_held) co_await take_notes(client);
    if (found_rows == plan::FoundRows::kUnknown || found_rows == plan::FoundRows::kChanged) {
      found_rows_ = kFoundRowsUnknown;  // Queries may have run before.
    }
    RunResult refusal =
        co_await relay_refused(target, held, own, *result, begins,
                               !plan.effects.runs_unseen_code && statement.scan.kind != sql::StatementKind::kLoad,
                               plan.effects.runs_unseen_code);
    if (HeldConnection* kept = server_off ? find_held(target) : nullptr) kept->autocommit_off = true;
    co_return refusal;
  }
  const bool was_open = (begins && !begins_by_itself(held)) || (held != nullptr && held->in_transaction);
  if (marks) {
    co_await take_warnings_of_code(client);
  } else if (result->summary.warnings > 0) {
    co_await take_warnings(client, result->summary.warnings);
  }
  if (plan.effects.runs_unseen_code && result->summary.session_state_changed) {
    co_await read_user_variables(client, plan.text ? std::string_view(*plan.text) : statement.text);
  }
  std::optional<uint64_t> servers_id;
  if (changes_id) {
    const auto known = co_await client.query("select last_insert_id() limit 1", wait, 1);
    const auto number = known.ok() ? shard::VindexValue::integer_text(known->text(0, 0), true) : known.error();
    if (number.ok()) servers_id = number->to_u64();
  }
  absorb(target, held, own, result->summary.status_flags, result->summary.session_state_changed, Phase::kMain,
         result->summary.affected_rows);
  if (plan.effects.runs_unseen_code) {
    note_autocommit(target, server_off, result->summary.status_flags);
    note_access(result->summary.status_flags);
  }
  note_found_rows(found_rows, *result);
  // Several results are those of code, whose last one is an OK.
  const bool ends_with_rows = result->summary.has_rows && result->summary.results <= 1;
  row_count_ = ends_with_rows ? -1 : static_cast<int64_t>(result->summary.affected_rows);
  if (changes_id) {
    if (servers_id) last_insert_id_ = *servers_id;
  } else if (result->summary.last_insert_id != 0 && !gives_its_id(plan, statement)) {
    last_insert_id_ = result->summary.last_insert_id;
  }
  if (was_open && (result->summary.status_flags & mysql::kStatusInTransaction) == 0 && in_transaction_) {
    // The statement has committed what was open on its shard; then the other shards' part is to be committed as well.
    RunResult committed = co_await commit();
    if (committed.verdict == RunResult::Verdict::kFailed) failed_ = committed.error->message();
  }
  co_return RunResult::answered();
}

void ClientSession::note_found_rows(plan::FoundRows rule, const net::RelayResult& result) {
  found_rows_settled_ = true;
  if (result.summary.has_rows) answered_rows_ = result.summary.rows;
  switch (rule) {
    case plan::FoundRows::kAnswer:
      if (result.summary.has_rows) found_rows_ = result.summary.rows;
      break;
    case plan::FoundRows::kKept: break;
    case plan::FoundRows::kChanged: found_rows_ = result.summary.affected_rows; break;
    case plan::FoundRows::kOne: found_rows_ = 1; break;
    case plan::FoundRows::kUnknown: found_rows_ = kFoundRowsUnknown; break;
  }
}

void ClientSession::settle_found_rows(const plan::Plan& plan, const RunResult& result, uint64_t before) {
  if (std::exchange(found_rows_settled_, false) || plan.asks_found_rows ||
      result.verdict != RunResult::Verdict::kAnswered) {
    return;
  }
  switch (plan.found_rows) {
    case plan::FoundRows::kAnswer:
    case plan::FoundRows::kChanged: break;
    case plan::FoundRows::kKept: found_rows_ = before; break;
    case plan::FoundRows::kOne: found_rows_ = 1; break;
    case plan::FoundRows::kUnknown: found_rows_ = kFoundRowsUnknown; break;
  }
}

net::Task<RunResult> ClientSession::relay_failed(const shard::Target& target, HeldConnection* held,
                                                 net::RelayFailure failure, bool in_transaction) {
  if (held != nullptr) lose(held);
  if (!failure.backend || !failure.client_untouched) {
    if (in_transaction) co_await rollback_all();
    co_return RunResult::hang_up(std::move(failure.error));
  }
  Error error = met_at(target, Error(Code::kUnavailable, failure.error.message()))
                    .with_effect(Effect::kUnknown)
                    .with_mysql(mysql::errnos::kClientServerLost, "HY000");
  if (in_transaction) co_return co_await fail_transaction(std::move(error));
  co_return RunResult::failed(std::move(error));
}

// The answer is an error: of the tablet, or of the server.
net::Task<RunResult> ClientSession::relay_refused(const shard::Target& target, HeldConnection* held,
                                                  net::MysqlPool::Lease& own, const net::RelayResult& result,
                                                  bool begins, bool again, bool ran_code) {
  const bool in_transaction = begins || (held != nullptr && held->in_transaction);
  if (std::optional<Error> tablets = mysql::decode_tablet_error(*result.error)) {
    if (is_older_refusal(*tablets)) {
      co_return refused(older_refusal(target, *shared_.view(), caller_id(client_), std::move(*tablets)));
    }
    Error error = met_at(target, std::move(*tablets));
    if (error.code() == Code::kAborted || error.effect() == Effect::kUnknown) {
      if (held != nullptr) lose(held);
      if (held == nullptr) own.discard();  // Whatever became of what it had: it is of no use to anybody.
      if (in_transaction) co_return co_await fail_transaction(std::move(error));
    }
    co_return refused(std::move(error));
  }
  // After an error of the server itself the transaction that this statement opened is open all the same.
  const bool ended = result.error->code == mysql::errnos::kDeadlock && in_transaction;
  if (ended) {
    if (held != nullptr) held->in_transaction = false;
    RunResult over = co_await fail_transaction(mysql::from_err_packet(*result.error));
    if (!result.error_held) {
      note_told_error(*result.error);
      co_return RunResult{.told_error = true};
    }
    co_return over;
  }
  if (again && held == nullptr && result.error_held) {
    Error error = mysql::from_err_packet(*result.error);
    if (error.reason() == Reason::kReadOnlyServer) {
      // It was started anew, or demoted: it takes writes again in a moment, or another one does. What the statement has
      // begun goes with the connection.
      own.discard();
      co_return refused(met_at(target, std::move(error)));
    }
  }
  if (ran_code) {
    const auto flags = co_await ask_state(target, held, own);
    if (!flags && held != nullptr) lose(held);
    const bool code_ended = flags && in_transaction && (*flags & mysql::kStatusInTransaction) == 0;
    const bool others = std::ranges::any_of(held_, &HeldConnection::in_transaction);
    if (code_ended && !others) transaction_over();  // And has failed behind that.
    if ((!flags && in_transaction) || (code_ended && others)) {
      RunResult over = co_await fail_transaction(met_at(
          target, flags ? mysql::from_err_packet(*result.error) : fail(Code::kUnavailable, "the connection is lost")));
      if (result.error_held) co_return over;
      note_told_error(*result.error);
      co_return RunResult{.told_error = true};
    }
  } else if (begins) {
    absorb(target, held, own, mysql::kStatusInTransaction, held != nullptr && held->pinned);
  } else if (held == nullptr) {
    (void)co_await ask_state(target, nullptr, own);
  }
  if (!result.error_held) {  // It came behind rows, and the client has it.
    note_told_error(*result.error);
    co_return RunResult{.told_error = true};
  }
  Error servers = mysql::from_err_packet(*result.error);
  std::optional<Error> older =
      shard_.empty() ? std::nullopt : older_missing_table(target, *shared_.view(), caller_id(client_), servers);
  co_return RunResult::failed(older ? std::move(*older) : std::move(servers));
}

// After an error, which carries no flags: what the statement has left in the connection all the same.
net::Task<std::optional<uint16_t>> ClientSession::ask_state(const shard::Target& target, HeldConnection* held,
                                                            net::MysqlPool::Lease& own) {
  const auto flags = co_await ping((held != nullptr ? held->lease : own)->client);
  if (!flags) co_return std::nullopt;
  absorb(target, held, own, *flags, (*flags & mysql::kStatusSessionStateChanged) != 0);
  note_access(*flags);
  co_return flags;
}

// The status flags of a connection; nullopt, and it is broken, when it does not answer.
net::Task<std::optional<uint16_t>> ClientSession::ping(net::MysqlClient& client) {
  const net::Wait wait = net::Wait::within(kInterruptMax, shared_.scope.token());
  const char command = static_cast<char>(mysql::Command::kPing);
  if (client.broken() || !(co_await client.send({&command, 1}, wait)).ok()) co_return std::nullopt;
  auto answer = co_await client.receive(wait);
  if (!answer.ok()) co_return std::nullopt;
  auto ok = mysql::decode_ok(answer->payload, client.capabilities());
  if (!ok.ok()) {
    client.set_broken();
    co_return std::nullopt;
  }
  co_return ok->status_flags;
}

net::Task<Result<net::QueryResult>> ClientSession::ask(ShardText what, std::string savepoint,
                                                       base::MemoryBudget::Hold* memory, size_t max_rows,
                                                       Digits digits) {
  const Phase phase = what.phase;
  if (phase == Phase::kMain) CO_RETURN_IF_ERROR(may_join(what.target));
  const net::Wait wait = query_wait();
  HeldConnection* held = find_held(what.target, phase);
  net::MysqlPool::Lease own;
  if (held == nullptr) {
    if (net::MysqlPool* pool = known_pool(what.target)) own = pool->try_acquire(settings_text_);
    if (!own) {
      CO_ASSIGN_OR_RETURN(own, co_await lease_for(what.target, wait));
    }
  }
  const bool begins = in_transaction_ && phase != Phase::kAlone && (held == nullptr || !held->in_transaction);
  net::MysqlPool::Lease& lease = held != nullptr ? held->lease : own;
  const Running running(in_flight_, {&lease.pool(), lease->client.server().connection_id});
  // When the time is over the connection is closed, and the tablet ends the statement in the server.
  std::vector<mysql::QueryAttribute> attributes;
  if (phase != Phase::kAlone) attributes = attributes_for(held, savepoint);
  add_caller(lease->client.capabilities(), attributes);
  if (max_rows == 0) max_rows = this->max_rows();
  const size_t noted = note_sent(what.target, what.text);
  auto result = digits == Digits::kAll
                    ? co_await net::query_binary(*lease, std::move(what.text), wait, max_rows, attributes, memory)
                    : co_await lease->client.query(std::move(what.text), wait, max_rows, std::move(attributes), memory,
                                                   held == nullptr && !begins);
  if (result.ok()) {
    note_rows(noted, result->rows.size());
    if (result->ok.warnings > 0) co_await take_warnings(lease->client, result->ok.warnings, what.own_words);
    absorb(what.target, held, own, result->ok.status_flags,
           (result->ok.status_flags & mysql::kStatusSessionStateChanged) != 0, phase, result->ok.affected_rows);
    co_return std::move(*result);
  }
  co_return co_await ask_failed(what, held, own, begins, std::move(result).error());
}

net::Task<Error> ClientSession::ask_failed(const ShardText& what, HeldConnection* held, net::MysqlPool::Lease& own,
                                           bool begins, Error error) {
  const bool servers = error.mysql_errno() != 0 && error.reason() == Reason::kNone;
  std::optional<Error> older =
      shard_.empty() ? std::nullopt : older_missing_table(what.target, *shared_.view(), caller_id(client_), error);
  error = older                     ? std::move(*older)
          : is_older_refusal(error) ? older_refusal(what.target, *shared_.view(), caller_id(client_), std::move(error))
                                    : met_at(what.target, std::move(error));
  net::MysqlPool::Lease& lease = held != nullptr ? held->lease : own;
  if (lease->client.broken() || error.code() == Code::kAborted) {
    const bool in_transaction = begins || (held != nullptr && held->in_transaction);
    if (held != nullptr) lose(held);
    if (held == nullptr) own.discard();
    if (in_transaction) error = std::move(error).with_reason(Reason::kTransactionLost);
  } else if (held == nullptr && !servers && error.effect() == Effect::kUnknown) {
    own.discard();
  } else if (begins && servers) {
    // After an error of the server itself the transaction that this statement opened is open all the same.
    absorb(what.target, held, own, mysql::kStatusInTransaction, held != nullptr && held->pinned, what.phase);
  } else if (held == nullptr && servers) {
    (void)co_await ask_state(what.target, nullptr, own);
  }
  co_return error;
}

}  // namespace vitrail::gate
