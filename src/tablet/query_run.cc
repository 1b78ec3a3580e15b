// A statement in the server: sending it, waiting for its answer, ending it, and what it leaves in the connection.
#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "tablet/query_session.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;
using sql::Left;

constexpr size_t kMaxTouched = 64;
constexpr size_t kMaxPreparedPerConnection = 256;
constexpr auto kKillMax = 5s;                 // For a KILL to be taken.
constexpr auto kConfirmMax = 5s;              // For a replica to acknowledge a commit.
constexpr auto kInterruptMax = 10s;           // For an interrupted statement to answer.
constexpr auto kEndMax = 10s;                 // For a killed connection to go.
constexpr uint16_t kStatementTimeout = 1969;  // MariaDB: max_statement_time
constexpr uint16_t kQueryTimeout = 3024;      // MySQL: max_execution_time
constexpr uint16_t kConnectionKilled = 1927;  // MariaDB
constexpr uint16_t kCommitKilled = 3100;      // MySQL, where the commit of a statement begins behind its KILL.

bool answers_a_kill(uint16_t code) {
  return code == mysql::errnos::kQueryInterrupted || code == kStatementTimeout || code == kQueryTimeout ||
         code == kConnectionKilled || code == kCommitKilled;
}

Error timeout_error(bool ended) {
  return ended ? Error(Code::kDeadlineExceeded,
                       "the statement took longer than --queryserver-config-query-timeout and was ended")
               : Error(Code::kDeadlineExceeded,
                       "the statement took longer than --queryserver-config-query-timeout; whether it took effect is "
                       "unknown")
                     .with_effect(Effect::kUnknown);
}

}  // namespace

net::Task<Status> QuerySession::run_logged(Request request) {
  const std::string text(request.text);  // The view may not live until the end: LOAD DATA LOCAL reads from the client.
  const auto started = base::system_clock().now();
  Status outcome = co_await run_request(std::move(request));
  const base::Duration took = base::system_clock().now() - started;
  const auto wall = base::system_clock().wall_now().time_since_epoch() - took;
  shared_.query_log->write(base::query_log_line(
      std::chrono::duration_cast<std::chrono::nanoseconds>(wall).count(), std::chrono::duration<double>(took).count(),
      client_.user, target_.to_string(), text, outcome.ok() ? "OK" : base::code_name(outcome.error().code())));
  co_return outcome;
}

net::Task<Status> QuerySession::run_request(Request request) {
  const net::Wait wait = request.unlimited ? net::Wait{.cancel = gone_.token()} : query_wait();
  active_ = true;
  interrupted_ = timed_out_ = silent_ = forced_ = false;
  current_ = request.info;
  started_ = base::system_clock().now();
  failed_ = false;
  rows_returned_ = rows_affected_ = 0;
  shared_.metrics.queries.add();
  const bool was_in_transaction = in_transaction_;
  const Left left_before = left_;
  net::SpareText bytes;
  std::unique_ptr<Waited> waited;
  Status sent;
  if (shared_.guarded) sent = co_await pass_guards(request, waited, wait);
  if (sent.ok() && !ready_to_send(request)) {
    bool answered = false;
    Status outcome;
    sent = co_await wait_to_send(request, waited, answered, outcome, wait);
    if (answered) co_return outcome;
  }
  const bool shares = waited != nullptr && waited->lead && waited->lead->close();
  if (sent.ok()) sent = begin_sending(request, *bytes);
  if (sent.ok()) {
    sent = co_await lease_->client.stream().write(request.framed, wait);
    if (!sent.ok()) sent = std::move(sent).error().with_effect(Effect::kUnknown);
  }
  if (sent.ok() && !request.prelude.empty()) sent = co_await read_prelude(request, wait);
  if (!sent.ok()) {
    const bool reached = sent_;
    if (reached || (lease_ && lease_->client.broken())) lose_connection(was_in_transaction || in_transaction_);
    if (reached) shared_.metrics.errors.add();
    failed_ = true;
    statement_done();
    co_return co_await send_error(std::move(sent).error());
  }
  net::RelayOptions options = relay_options(request);
  if (shares) options.hold = &waited->held;
  auto result = co_await net::relay_response(lease_->client.stream(), stream_, request.kind,
                                             lease_->client.capabilities(), options, wait);
  const bool too_late = !result.has_value() && result.error().backend && result.error().client_untouched && !doomed_ &&
                        result.error().error.code() == Code::kDeadlineExceeded;
  if (too_late) result = co_await end_and_await(request);
  if (result.has_value() && !result->withheld.empty()) {
    Status passed = co_await pass_doubtful(*result);
    const bool nothing_sent = result->client_untouched;
    if (!passed.ok()) result = std::unexpected(net::RelayFailure{std::move(passed).error(), true, nothing_sent});
  }
  if (shares && result.has_value() && result->held) {
    co_await give_answer(*waited->lead, std::move(waited->held.bytes), result);
  }
  if (!result.has_value()) co_return co_await after_failure(std::move(result).error(), was_in_transaction);
  if (kills_ > 0 || interrupted_) co_await await_kills();
  if (once_) co_await forget_once(request, *result);
  if (result->error) co_return co_await after_error(request, *result, was_in_transaction, left_before);
  in_transaction_ = (result->summary.status_flags & mysql::kStatusInTransaction) != 0;
  reads_only_ = (result->summary.status_flags & mysql::kStatusInTransactionReadOnly) != 0;
  if (!in_transaction_ && lost_ == Lost::kTransaction) lost_ = Lost::kNothing;  // It had ended before it was ended.
  if (result->summary.session_state_changed) left_ |= Left::kTold;
  left_ &= ~request.info->effects.ends;
  if (atomic_ && in_transaction_) log_change(request, result->summary.last_insert_id);
  rows_returned_ = result->summary.rows;
  rows_affected_ = result->summary.affected_rows;
  warnings_.reset();
  if (result->summary.warnings > 0) co_await keep_warnings(result->summary.warnings);
  if (request.info->kind == sql::StatementKind::kDdl && shared_.settings.on_ddl) shared_.settings.on_ddl();
  statement_done();
  co_return Status{};
}

// Takes what a statement needs from what is there. False: that is to be waited for, by prepare_to_send().
bool QuerySession::ready_to_send(Request& request) {
  const bool holds = lease_ || keeps_connection();
  if (!lease_) lease_ = shared_.pool_for(shape_, static_cast<uint8_t>(client_.collation)).try_acquire(settings_);
  if (lease_ && request.execute != nullptr) request.prepared = lease_->find_prepared(request.text);
  if (lease_ && !running_) running_ = shared_.concurrency.try_enter(holds);
  return running_ && (request.execute == nullptr || request.prepared != nullptr);
}

// The connection and the prepared statement. Whoever had to wait for them is admitted anew behind the last wait.
net::Task<Status> QuerySession::prepare_to_send(Request& request, net::Wait wait) {
  const auto admitted_in = shared_.state;
  CO_RETURN_IF_ERROR(co_await need_connection(wait));
  if (!running_) {
    CO_ASSIGN_OR_RETURN(running_, co_await shared_.concurrency.enter(wait));
  }
  if (request.execute != nullptr) {
    CO_ASSIGN_OR_RETURN(request.prepared,
                        co_await lease_->prepare(std::string(request.text), kMaxPreparedPerConnection, wait));
  }
  if (admitted_in != shared_.state || lost_ != Lost::kNothing) {
    CO_RETURN_IF_ERROR(admit(*request.info, request.text));
  }
  CO_RETURN_IF_ERROR(hold_back(request));
  co_return Status{};
}

// From admission to the first byte there is no wait, and none is in here: what a fence did before is known, and what
// comes behind it finds this statement sent. Whether anything may have reached the server: sent_.
Status QuerySession::begin_sending(Request& request, std::string& bytes) {
  if (interrupted_) {
    return fail(Code::kCanceled, "Query execution was interrupted")
        .with_mysql(mysql::errnos::kQueryInterrupted, "70100");
  }
  if (gone_.cancelled()) return fail(Code::kCanceled, "the client has gone");
  for (const auto& statement : request.prelude) {
    mysql::PacketWriter writer(bytes);
    mysql::encode_query(writer.begin(), statement, {}, 0);
    writer.end();
  }
  const size_t begin = bytes.size();
  if (request.framed.empty()) {
    mysql::PacketWriter writer(bytes);
    if (request.execute != nullptr) {
      if (lease_->client.server().server_version.find("MariaDB") != std::string::npos) {
        for (auto& parameter : request.execute->parameters) {
          // Only MySQL's server takes this type; in either the value is a text.
          if (parameter.type == mysql::FieldType::kJson) parameter.type = mysql::FieldType::kVarString;
        }
      }
      mysql::encode_stmt_execute(writer.begin(), *request.execute, request.prepared->ok.statement_id, {}, 0);
    } else {
      mysql::encode_query(writer.begin(), request.text, {}, 0);
    }
    writer.end();
  } else if (begin > 0) {
    bytes += request.framed;
  }
  request.answer_sequence =
      mysql::answer_sequence(bytes.empty() ? request.framed : std::string_view(bytes).substr(begin));
  if (!bytes.empty()) request.framed = bytes;
  sent_ = true;
  ack_mark_ = shared_.doubt.mark();
  once_ = request.once;
  left_before_ = left_;
  left_ |= request.info->effects.leaves;
  if (request.info->effects.ends != Left::kNothing) left_ &= ~request.info->effects.ends;
  note_use(*request.info);
  return {};
}

net::Task<Status> QuerySession::read_prelude(const Request& request, net::Wait wait) {
  auto& server = lease_->client;
  for (const auto& statement : request.prelude) {
    auto begun =
        co_await net::discard_response(server.stream(), mysql::ResponseKind::kQuery, server.capabilities(), wait);
    // Without its transaction the statement must not stand: the connection goes, and with it what it may have done is
    // not ours to know.
    if (!begun.ok()) co_return std::move(begun).error().with_effect(Effect::kUnknown);
    if (begun->error) {
      co_return fail(Code::kUnavailable, statement + " failed: " + begun->error->message).with_effect(Effect::kUnknown);
    }
  }
  if (request.begins) {
    in_transaction_ = true;
    atomic_ = request.atomic;
    if (atomic_ && request.weak) redo_.cannot("a change below the isolation level REPEATABLE READ");
  }
  if (atomic_) {
    for (const auto& statement : request.prelude) {
      if (statement.starts_with("savepoint ")) redo_.mark(statement);
    }
  }
  co_return Status{};
}

net::RelayOptions QuerySession::relay_options(const Request& request) const {
  net::RelayOptions options;
  options.first_sequence = request.answer_sequence;
  options.client_sequence = request.first_sequence;
  options.rows_max = shared_.settings.max_result_rows;
  if (rename_.needed()) options.rename = &rename_;
  options.strip_session_track = (client_.capabilities & mysql::kClientSessionTrack) == 0;
  if (left_ != Left::kNothing) options.set = mysql::kStatusSessionStateChanged;
  if (shared_.state->waits_for_acks &&
      (request.info->kind != sql::StatementKind::kSelect || request.info->effects.runs_unseen_code)) {
    options.withhold = &shared_.doubt.begun();
    options.withhold_seen = ack_mark_;
  }
  return options;
}

// An OK that came while sessions were killed (AckDoubt): the client gets it when it is sure to be true.
net::Task<Status> QuerySession::pass_doubtful(net::RelayResult& result) {
  Status sure;
  if (forced_) {
    sure =
        fail(Code::kUnavailable, "whether a replica has the commit is not known: the tablet stopped serving meanwhile");
  } else {
    sure = co_await shared_.killer.confirm_commits(net::Wait::within(kConfirmMax, shared_.scope.token()));
  }
  if (!sure.ok() || forced_) {
    if (sure.ok()) sure = fail(Code::kUnavailable, "the tablet stopped serving while a commit was looked into");
    co_return std::move(sure).error().with_effect(Effect::kUnknown);
  }
  Status passed = co_await stream_.write(result.withheld, net::Wait::within(kConfirmMax, gone_.token()));
  if (!passed.ok()) stream_.socket().abort();
  co_return Status{};
}

// At the deadline the statement is ended in the server, and its answer to that awaited and passed on.
net::Task<std::expected<net::RelayResult, net::RelayFailure>> QuerySession::end_and_await(const Request& request) {
  timed_out_ = true;
  shared_.metrics.statements.killed_statements.add();
  if (!co_await interrupt()) {  // A server that takes no KILL gives no answer either.
    co_return std::unexpected(
        net::RelayFailure{.error = fail(Code::kDeadlineExceeded, "the MySQL server does not answer"), .backend = true});
  }
  auto& server = lease_->client;
  co_return co_await net::relay_response(server.stream(), stream_, request.kind, server.capabilities(),
                                         relay_options(request), net::Wait::within(kInterruptMax, gone_.token()));
}

net::Task<bool> QuerySession::interrupt() {
  ++kills_;
  query_kills_.emplace_back(&shared_.doubt);
  Status told = co_await shared_.killer.kill_query(lease_->client.server().connection_id,
                                                   net::Wait::within(kKillMax, shared_.scope.token()));
  --kills_;
  interrupted_ = true;
  if (!told.ok()) log_warning("KILL QUERY: {}", told.error().message());
  silent_ = !told.ok() && told.error().code() == Code::kDeadlineExceeded;
  co_return !silent_;
}

// A KILL that is on its way must not meet the connection's next statement.
net::Task<void> QuerySession::await_kills() {
  while (kills_ > 0) (void)co_await shared_.session_idle.wait(net::Wait::within(kKillMax));
  if (!interrupted_ || !sent_ || !lease_ || doomed_) co_return;
  // A server that took the KILL when the statement was over may interrupt what comes next: let it be this.
  (void)co_await server_status();
}

net::Task<std::optional<uint16_t>> QuerySession::server_status() {
  auto& server = lease_->client;
  const net::Wait wait = net::Wait::within(kInterruptMax, shared_.scope.token());
  for (int attempt = 0; attempt < 2; ++attempt) {
    const char command = static_cast<char>(mysql::Command::kPing);
    if (!(co_await server.send({&command, 1}, wait)).ok()) co_return std::nullopt;
    auto answer = co_await server.receive(wait);
    if (!answer.ok()) co_return std::nullopt;
    if (mysql::is_err(answer->payload)) continue;
    auto ok = mysql::decode_ok(answer->payload, server.capabilities());
    if (!ok.ok()) break;
    co_return ok->status_flags;
  }
  server.set_broken();
  co_return std::nullopt;
}

// Servers keep SET TRANSACTION for longer than one statement when that fails, or reads no table. Behind code, whose
// connection stays with its client to the end, that is as it should be.
net::Task<void> QuerySession::forget_once(const Request& request, const net::RelayResult& result) {
  once_ = false;
  if (doomed_ || !lease_ || (left_ & Left::kAnything) != Left::kNothing) co_return;
  std::optional<uint16_t> flags = result.summary.status_flags;
  if (result.error) flags = co_await server_status();  // An ERR does not tell whether code has begun a transaction.
  doomed_ = !flags;
  if (!flags || (*flags & mysql::kStatusInTransaction) != 0) co_return;
  const net::Wait wait = net::Wait::within(kInterruptMax, shared_.scope.token());
  auto done = co_await lease_->client.query("rollback", wait);
  doomed_ = doomed_ || !done.ok();
}

// What SHOW WARNINGS would tell is lost with the connection's next statement, which may be somebody else's.
net::Task<void> QuerySession::keep_warnings(uint16_t count) {
  warnings_.reset();
  if (count == 0 || keeps_connection() || !lease_ || doomed_) co_return;
  auto rows = co_await lease_->client.query("show warnings", net::Wait::within(kInterruptMax, gone_.token()));
  if (rows.ok()) warnings_ = std::move(*rows);
}

// The answer did not come, or could not be passed on.
net::Task<Status> QuerySession::after_failure(net::RelayFailure failure, bool was_in_transaction) {
  const bool told_to_end = doomed_;
  const bool in_transaction = was_in_transaction || in_transaction_;
  if (!told_to_end && lease_) {
    // Whatever the reason: nobody waits for the answer any more, so the server shall not go on with it.
    doomed_ = true;
    const uint32_t connection = lease_->client.server().connection_id;
    Status gone;
    silent_ = silent_ || shared_.silent();
    if (!silent_) gone = co_await shared_.killer.end_connection(connection, net::Wait::within(kEndMax));
    if (!gone.ok()) log_warning("ending a statement: {}", gone.error().message());
    const bool unsure = !gone.ok() && gone.error().code() == Code::kDeadlineExceeded;
    if (silent_ || unsure) shared_.end_later(connection);
  }
  while (kills_ > 0) (void)co_await shared_.session_idle.wait(net::Wait::within(kKillMax));
  const bool ends_transaction = current_->kind == sql::StatementKind::kCommit;
  lose_connection(in_transaction);
  if (ends_transaction && lost_ == Lost::kTransaction) {
    lost_ = Lost::kNothing;  // Committed or not: it is over.
    in_transaction_ = false;
  }
  failed_ = true;
  statement_done();
  if (failure.backend && !told_to_end && !timed_out_ && shared_.settings.on_trouble) shared_.settings.on_trouble();
  if (!failure.backend || !failure.client_untouched || gone_.cancelled()) co_return std::move(failure.error);
  shared_.metrics.errors.add();
  if (lost_ == Lost::kTransaction) {
    // Its connection is gone, and the transaction with it, which nobody had committed.
    co_return co_await send_error(
        fail(Code::kAborted, "the transaction was rolled back: " +
                                 (timed_out_ ? timeout_error(true).message() : failure.error.message()))
            .with_reason(Reason::kTransactionLost));
  }
  if (timed_out_) co_return co_await send_error(timeout_error(false));
  co_return co_await send_error(Error(Code::kUnavailable, failure.error.message()).with_effect(Effect::kUnknown));
}

// The server answered with an error. An ERR carries no flags: where they matter the server is asked.
net::Task<Status> QuerySession::after_error(const Request& request, const net::RelayResult& result,
                                            bool was_in_transaction, Left left_before) {
  shared_.metrics.errors.add();
  failed_ = true;
  const mysql::ErrPacket& err = *result.error;
  const bool was_open = was_in_transaction || request.begins;
  std::optional<uint16_t> flags = static_cast<uint16_t>(0);
  const bool unsure = request.info->effects.runs_unseen_code || left_ != left_before;
  if (was_open || unsure) flags = co_await server_status();
  if (request.info->effects.runs_unseen_code) co_await keep_warnings(1);
  const bool open = flags && (*flags & mysql::kStatusInTransaction) != 0;
  reads_only_ = open && (*flags & mysql::kStatusInTransactionReadOnly) != 0;
  if (!flags || doomed_) {
    lose_connection(was_open);
  } else {
    // What half of it may have left stays with the client. vtgate asks (COM_PING) whether there is something.
    in_transaction_ = open;
    if (!unsure) left_ = left_before;
  }
  // Code may have ended it itself, and have failed behind that.
  const bool transaction_ended = was_open && !open && !(flags && request.info->effects.runs_unseen_code);
  const bool told = !result.error_held;  // It came behind rows, and the client has it.
  statement_done();
  if (told) {
    shared_.metrics.statements.count_error(mysql::from_err_packet(err).code());
    if (transaction_ended && lost_ == Lost::kNothing) {
      lost_ = Lost::kTransaction;
      in_transaction_ = true;
    }
    co_return Status{};
  }
  if (timed_out_ && answers_a_kill(err.code) && !transaction_ended) co_return co_await send_error(timeout_error(true));
  if (transaction_ended && err.code != mysql::errnos::kDeadlock) {
    lost_ = Lost::kNothing;
    in_transaction_ = false;
    const std::string why = timed_out_ ? timeout_error(true).message() : err.message;
    co_return co_await send_error(
        fail(Code::kAborted, "the transaction was rolled back: " + why).with_reason(Reason::kTransactionLost));
  }
  if (transaction_ended) lost_ = Lost::kNothing;
  if (err.code == mysql::errnos::kOptionPreventsStatement && shared_.state->target.tablet_type == "primary" &&
      shared_.state->no_writes.empty() && shared_.settings.on_trouble) {
    shared_.settings.on_trouble();  // A server that has just started again is read-only until it is looked at.
  }
  shared_.metrics.statements.count_error(mysql::from_err_packet(err).code());
  std::string out;
  std::string payload;
  const bool terse = shared_.settings.terse_errors;
  mysql::encode_err(payload, terse ? mysql::to_err_packet(mysql::without_values(mysql::from_err_packet(err))) : err,
                    client_.capabilities);
  mysql::PacketWriter(out, request.first_sequence).message(payload);
  co_return co_await send(std::move(out));
}

// The connection is of no use any more, and what it held in the server is lost.
void QuerySession::lose_connection(bool was_in_transaction) {
  lease_.discard();
  doomed_ = false;
  // What a statement was about to leave is nobody's yet.
  const bool had_state = (sent_ ? left_before_ : left_) != Left::kNothing;
  left_ = Left::kNothing;
  if (lost_ == Lost::kNothing) {
    lost_ = had_state ? Lost::kState : was_in_transaction ? Lost::kTransaction : Lost::kNothing;
  }
  // The next statement must not run outside of the transaction it belongs to.
  in_transaction_ = lost_ == Lost::kTransaction;
}

void QuerySession::note_use(const StatementInfo& info) {
  if (!info.tables_known && info.kind != sql::StatementKind::kBegin) touched_all_ = true;
  if (info.effects.runs_unseen_code) touched_all_ = true;
  for (const auto& table : info.tables) {
    if (touched_all_) return;
    if (std::find(touched_.begin(), touched_.end(), table.name) != touched_.end()) continue;
    if (touched_.size() >= kMaxTouched) {
      touched_all_ = true;
    } else {
      touched_.push_back(table.name);
    }
  }
}

void QuerySession::drop_doomed() {
  if (!doomed_) return;
  lease_.discard();
  doomed_ = false;
  // When it was doomed the answer was not there yet that told of a transaction, or of other state.
  if (lost_ == Lost::kNothing) {
    lost_ = left_ != Left::kNothing ? Lost::kState : in_transaction_ ? Lost::kTransaction : Lost::kNothing;
  }
  in_transaction_ = lost_ == Lost::kTransaction;
  left_ = Left::kNothing;
}

// The end of a statement: what the server said of its state decides whether the connection stays with us.
void QuerySession::count_statement() {
  const base::TimePoint now = base::system_clock().now();
  if (current_ != nullptr && current_->counters.queries != nullptr) {
    current_->counters.record(now - started_, failed_, rows_returned_, rows_affected_);
  }
  const bool open = in_transaction_ && lost_ == Lost::kNothing;
  if (open == (transaction_began_ != base::TimePoint())) return;
  const bool committed = !failed_ && current_ != nullptr && current_->kind != sql::StatementKind::kRollback;
  if (!open) shared_.metrics.statements.transaction_ended(now - transaction_began_, committed);
  transaction_began_ = open ? started_ : base::TimePoint();
}

void QuerySession::count_aborted() {
  if (transaction_began_ == base::TimePoint()) return;
  shared_.metrics.statements.transaction_ended(base::system_clock().now() - transaction_began_, false);
  transaction_began_ = {};
}

void QuerySession::statement_done() {
  const bool was_sent = sent_;
  active_ = sent_ = false;
  count_statement();
  current_ = nullptr;
  running_ = {};
  query_kills_.clear();
  drop_doomed();
  if (!in_transaction_ && slot_.held()) slot_ = {};
  if (atomic_ && (!in_transaction_ || lost_ != Lost::kNothing)) {
    // A connection whose clock stands still is nobody else's.
    if (!pinned_.empty()) lease_.discard();
    pinned_.clear();
    redo_.clear();
    atomic_ = false;
  }
  if (!in_transaction_ || lost_ != Lost::kNothing) {
    touched_.clear();
    touched_all_ = false;
    if (was_sent || !in_transaction_) grandfathered_ = false;
  }
  if (!keeps_connection()) lease_.release();
  shared_.session_idle.notify_all();
}

}  // namespace vitrail::tablet
