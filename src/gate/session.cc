#include "gate/session.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <array>

#include "base/text.h"
#include "gate/reached_tables.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "plan/schema_names.h"
#include "sql/effects.h"
#include "sql/lexer.h"
#include "sql/tables.h"
#include "topo/tablet.h"

namespace vitrail::gate {
namespace {

using mysql::Command;
using namespace std::chrono_literals;

constexpr const char* kMirrorContext = "~mirror";
constexpr size_t kTextKept = 4096;  // Of an idle session's statement buffer.
constexpr auto kSkipMax = 5min;     // For what is left of a message that is too long.

}  // namespace

ClientSession::ClientSession(GateLoop& shared, net::PacketStream stream, mysql::AuthenticatedClient client,
                             uint32_t connection_id)
    : shared_(shared),
      gone_(shared.scope.token()),
      interrupt_(std::make_unique<net::CancelSource>(gone_.token())),
      stream_(std::move(stream)),
      client_(std::move(client)),
      connection_id_(connection_id),
      memory_(*shared.memory) {
  client_.attributes = {};  // Nobody asks for them, and there are many clients.
  form_.capabilities = client_.capabilities & (mysql::kClientDeprecateEof | mysql::kClientFoundRows |
                                               mysql::kClientIgnoreSpace | mysql::kClientLocalFiles);
  form_.collation = static_cast<uint8_t>(client_.collation);
  multi_statements_ = (client_.capabilities & mysql::kClientMultiStatements) != 0;
  stream_.set_memory(&memory_);
  keyspace_ = shared_.settings.default_keyspace;
  plan_context_ = keyspace_ + "@" + tablet_type_;
  place_ = shared_.sessions.insert(shared_.sessions.end(), this);
  shared_.metrics.connections.add(1);
  stream_.socket().cancel_when_gone(&gone_);
  since_ = base::system_clock().now();
}

ClientSession::~ClientSession() {
  for (auto& held : held_) held.lease.discard();  // Rolled back, and forgotten, by the tablets.
  shared_.sessions.erase(place_);
  shared_.metrics.connections.add(-1);
}

Status ClientSession::set_target(std::string_view text) {
  std::string keyspace;
  std::string shard;
  std::string type = "primary";
  std::string_view rest = text;
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    auto parsed = topo::parse_tablet_type(rest.substr(at + 1));
    if (!parsed.ok()) return std::move(parsed).error().with_mysql(mysql::errnos::kBadDb, "42000");
    type = topo::tablet_type_to_string(*parsed);
    rest = rest.substr(0, at);
  }
  if (const size_t separator = rest.find_first_of("/:"); separator != std::string_view::npos) {
    shard = rest.substr(separator + 1);
    rest = rest.substr(0, separator);
    if (shard.empty()) {
      return fail(Code::kInvalidArgument, fmt::format("no shard is named in '{}': give keyspace/shard", text))
          .with_mysql(mysql::errnos::kBadDb, "42000");
    }
  }
  keyspace = rest;
  if (shard.empty() && plan::is_information_schema(keyspace)) {
    keyspace = plan::kInformationSchema;
  } else if (!keyspace.empty() && !shared_.view()->has_keyspace(keyspace)) {
    return fail(Code::kNotFound, fmt::format("VT05003: unknown database '{}' in vschema", keyspace))
        .with_mysql(mysql::errnos::kBadDb, "42000");
  }
  if (in_transaction_ && type != tablet_type_) {
    return fail(Code::kFailedPrecondition, "the tablet type cannot change inside a transaction");
  }
  use_target(std::move(keyspace), std::move(shard), std::move(type));
  return {};
}

void ClientSession::use_target(std::string keyspace, std::string shard, std::string tablet_type) {
  keyspace_ = std::move(keyspace);
  shard_ = std::move(shard);
  tablet_type_ = std::move(tablet_type);
  plan_context_ = keyspace_ + "@" + tablet_type_ + (is_mirror_ ? kMirrorContext : "");
  ++target_epoch_;
  named_shard_counters_.clear();
  api_ = {};
}

void ClientSession::become_mirror() {
  is_mirror_ = true;
  plan_context_ += kMirrorContext;
}

ClientSession::State ClientSession::state() const {
  State out{.autocommit = autocommit_,
            .in_transaction = in_transaction_,
            .settings = settings_.values(),
            .user_variables = user_variables_,
            .last_insert_id = last_insert_id_,
            .found_rows = found_rows_,
            .row_count = row_count_};
  for (const auto& held : held_) {
    if (held.in_transaction && held.phase == Phase::kMain) out.participants.push_back(held.target);
  }
  return out;
}

std::string ClientSession::target() const {
  return keyspace_ + (shard_.empty() ? "" : ":" + shard_) + (tablet_type_ == "primary" ? "" : "@" + tablet_type_);
}

void ClientSession::restore_counters(uint64_t last_insert_id, uint64_t found_rows, int64_t row_count) {
  last_insert_id_ = last_insert_id;
  found_rows_ = found_rows;
  row_count_ = row_count;
}

net::Task<void> ClientSession::accept_login(net::PendingLogin& login) {
  std::string out;
  login.handshake().accept(out, status_flags());
  (void)co_await send(std::move(out));
}

net::Task<void> ClientSession::refuse_login(net::PendingLogin& login, mysql::ErrPacket err) {
  std::string out;
  login.handshake().refuse(out, err);
  (void)co_await send(std::move(out));
}

net::Task<void> ClientSession::run() {
  for (;;) {
    net::Wait idle{.cancel = shared_.scope.token()};
    if (const auto limit = timeouts_.find("wait_timeout"); limit != timeouts_.end()) {
      idle = net::Wait::within(std::chrono::seconds(limit->second), shared_.scope.token());
    }
    auto message = co_await stream_.read_message(idle);
    if (!message.ok()) {
      if (message.error().mysql_errno() == mysql::errnos::kPacketTooLarge ||
          message.error().mysql_errno() == base::MemoryBudget::kErrno) {
        auto last = co_await stream_.skip_message(net::Wait::within(kSkipMax, shared_.scope.token()));
        if (!last.ok()) break;
        sequence_ = static_cast<uint8_t>(*last + 1);
        if (!(co_await send_error(std::move(message).error())).ok()) break;
        continue;
      }
      if (message.error().mysql_errno() != 0) (void)co_await send_error(std::move(message).error());
      break;
    }
    if (!message->has_value() || (*message)->payload.empty()) break;
    if (static_cast<Command>((*message)->payload[0]) == Command::kQuit) break;
    sequence_ = static_cast<uint8_t>((*message)->last_sequence + 1);
    if ((*message)->first_sequence != 0) {
      (void)co_await send_error(fail(Code::kInvalidArgument, "Got packets out of order: a command begins with 0")
                                    .with_mysql(mysql::errnos::kPacketsOutOfOrder, "08S01"));
      break;
    }
    killed_ = false;
    if (interrupt_->cancelled() && !gone_.cancelled()) interrupt_ = std::make_unique<net::CancelSource>(gone_.token());
    if (Status outcome = co_await dispatch(**message); !outcome.ok() || close_after_answer_ || state_lost_) break;
    if (text_.capacity() > kTextKept) std::string().swap(text_);
  }
  for (auto& held : held_) held.lease.discard();  // The tablets end what was under way.
  held_.clear();
  stream_.socket().close();
}

void ClientSession::scan_text(std::string_view text, std::vector<sql::LiteralPosition>& literals,
                              Statement& statement) {
  std::array<sql::LiteralPosition, kRecordedLiterals>
      storage;  // Too much for a coroutine's frame, and for an idle one.
  statement.text = text;
  statement.places = nullptr;
  statement.scan = sql::fingerprint(text, storage);
  literals.assign(statement.scan.literals.begin(), statement.scan.literals.end());
  statement.scan.literals = statement.literals = literals;
}

net::Task<RunResult> ClientSession::run_logged(const Statement& statement) {
  const auto started = base::system_clock().now();
  RunResult result = co_await run_statement(statement);
  log_statement(statement, started, result);
  co_return result;
}

void ClientSession::log_statement(const Statement& statement, base::TimePoint started, const RunResult& result) const {
  const base::Duration took = base::system_clock().now() - started;
  const auto wall = base::system_clock().wall_now().time_since_epoch() - took;
  shared_.query_log->write(base::query_log_line(
      std::chrono::duration_cast<std::chrono::nanoseconds>(wall).count(), std::chrono::duration<double>(took).count(),
      client_.user, plan_context_, statement.text, result.error ? base::code_name(result.error->code()) : "OK"));
}

net::Task<Status> ClientSession::finish(RunResult result) {
  switch (result.verdict) {
    case RunResult::Verdict::kAnswered: co_return Status{};
    case RunResult::Verdict::kHangUp: co_return std::move(*result.error);
    case RunResult::Verdict::kFailed:
    case RunResult::Verdict::kWait: break;
  }
  co_return co_await send_error(std::move(*result.error));
}

std::string ClientSession::shown_text(const Statement& statement) {
  if (statement.scan.malformed) return "(not a statement)";
  return without_literals(statement.text, statement.literals, statement.scan.literal_count, kQueryMax);
}

base::TimePoint ClientSession::account(const Statement& statement, base::TimePoint started, const RunResult& result) {
  if (!totals_known_) {
    // All that cannot be read is one: its text may be anything.
    const auto& key = statement.scan.malformed ? sql::Fingerprint() : statement.scan.fingerprint;
    use_totals(shared_.totals_of(key, plan_context_,
                                 [&] { return StatementTotals{.query = shown_text(statement), .plan = "Local"}; }));
  }
  const bool failed = result.verdict != RunResult::Verdict::kAnswered || result.told_error;
  const bool has_rows = !failed && counters_ != nullptr;
  const uint64_t rows = !has_rows ? 0 : row_count_ < 0 ? answered_rows_ : static_cast<uint64_t>(row_count_);
  const base::TimePoint now = base::system_clock().now();
  totals_->add(now - started, rows, failed);
  if (api_.took == nullptr) api_ = shared_.metrics.statistics.api_of(keyspace_, tablet_type_);
  api_.took->record(now - started);
  if (rows > 0) (row_count_ < 0 ? api_.rows_returned : api_.rows_affected)->add(rows);
  if (counters_ == nullptr && !failed) shared_.metrics.statistics.local.add();
  return now;
}

Process ClientSession::process() const {
  Process out;
  out.id = connection_id_;
  out.user = client_.user;
  out.host = stream_.socket().is_unix() ? "localhost" : stream_.socket().peer();
  out.database = target();
  out.time = base::system_clock().now() - since_;
  out.command = running_ == nullptr ? "Sleep" : running_->binary() ? "Execute" : "Query";
  if (running_ != nullptr) {
    out.state = waits_for_shard_ ? "Waiting for the shard to be served" : "Executing";
    out.info = process_info(running_->text);
  }
  for (size_t kind = 0; kind < base::MemoryBudget::kKinds; ++kind) {
    out.memory += memory_.held(static_cast<base::MemoryBudget::Kind>(kind));
  }
  return out;
}

ClientSession::Held ClientSession::held_by(const Error& error) const {
  const Origin& origin = error.origin();  // Errors that have met no particular shard have none.
  return {.keyspace = origin.keyspace.empty() ? keyspace_ : origin.keyspace,
          .shard = origin.shard,
          .by_rule = error.reason() == Reason::kDeniedTable};
}

BufferStop ClientSession::stop_reason(const Held& held) const {
  if (held.by_rule) return BufferStop::kTablesMoved;
  const auto* shards = shared_.view()->find_shards(held.keyspace, tablet_type_);
  const bool serves = shards != nullptr && std::ranges::any_of(*shards, [&](const ActiveShard& shard) {
                        return shard.name == held.shard && !shard.disabled;
                      });
  return serves || held.shard.empty() ? BufferStop::kNewPrimary : BufferStop::kResharded;
}

namespace {

// CREATE and DROP TEMPORARY TABLE: no transaction begins, and none ends.
bool concerns_temporary_table_alone(const Statement& statement) {
  if (statement.scan.kind != sql::StatementKind::kDdl) return false;
  const auto ast = sql::parse(statement.text);
  const auto* ddl = ast.ok() ? sql::statement_as<sql::Ddl>(&ast->statement()) : nullptr;
  return ddl != nullptr && ddl->temporary && ddl->query == nullptr;
}

}  // namespace

// Whether the statement that SET TRANSACTION was about was this one.
void ClientSession::note_end(const Statement& statement, const RunResult& result) {
  if (std::exchange(end_noted_, false) || next_options_ == mysql::TransactionOptions()) return;
  bool ahead = false;
  if (result.verdict == RunResult::Verdict::kFailed) {
    // What was refused here, or did not meet its tablet, has not been the server's.
    if (result.error->mysql_errno() == 0 || result.error->reason() != Reason::kNone) return;
    // Behind code the server has what is left of it.
    ahead = failed_ahead_of_tables(result.error->mysql_errno()) &&
            !(std::ranges::any_of(held_, &HeldConnection::pinned) && runs_code(statement));
  } else if (result.verdict != RunResult::Verdict::kAnswered) {
    return;
  }
  if (!result.error && concerns_temporary_table_alone(statement)) return;
  const bool unread = result.error && result.error->mysql_errno() == mysql::errnos::kParseError;
  if ((!unread && ends_transaction_first(statement)) || (!ahead && reaches_tables(statement))) next_options_ = {};
}

bool ClientSession::runs_code(const Statement& statement) {
  const auto ast = sql::parse(statement.text);
  return !ast.ok() || sql::effects_of(ast->statement()).runs_unseen_code;
}

net::Task<void> ClientSession::unbegin(Before before) {
  using Access = mysql::TransactionOptions::Access;
  HeldConnection* held = where_code_ran();
  if (held != nullptr && held->in_transaction && before.next.access == Access::kSession) {
    // What code has said there of the next transaction is used up with this one: it is said of the next again.
    const uint16_t flags = (co_await ping(held->lease->client)).value_or(0);
    const bool reads = (flags & mysql::kStatusInTransactionReadOnly) != 0;
    if ((flags & mysql::kStatusInTransaction) != 0 && reads != session_reads_only()) {
      before.next.access = reads ? Access::kReadOnly : Access::kReadWrite;
    }
  }
  co_await rollback_all();
  next_options_ = before.next;
  savepoints_ = std::move(before.savepoints);
}

// What commits the open transaction ahead of all else: DDL and its like.
bool ClientSession::ends_transaction_first(const Statement& statement) {
  using enum sql::StatementKind;
  if (statement.scan.kind != kDdl && statement.scan.kind != kTableAdmin) return false;
  const auto ast = sql::parse(statement.text);
  if (!ast.ok()) return false;
  const auto leaves = sql::effects_of(ast->statement()).leaves;
  return (leaves & sql::Left::kTemporaryTable) == sql::Left::kNothing && !is_checksum(statement.text);
}

bool ClientSession::reaches_tables(const Statement& statement) const {
  if (statement.scan.kind == sql::StatementKind::kOther) {
    // What is kept as text and opens no table.
    sql::Lexer lexer(statement.text);
    const sql::Keyword word = lexer.next().keyword;
    if (word == sql::Keyword::kSignal || word == sql::Keyword::kGet) return false;
    if (word == sql::Keyword::kHandler) {
      (void)lexer.next();
      const sql::Token verb = lexer.next();
      return base::equals_ignoring_case(verb.text(statement.text), "read");
    }
  }
  if (statement.scan.kind == sql::StatementKind::kShow) return false;  // They are opened, and no transaction begins.
  const auto ast = sql::parse(statement.text);
  if (!ast.ok()) return true;
  const auto* explain = sql::statement_as<sql::Explain>(&ast->statement());
  if (explain != nullptr && explain->statement == nullptr) return false;
  const auto in_storage = [&](const sql::TableUse& use) {
    return !plan::is_information_schema(use.qualifier.empty() ? std::string_view(keyspace_) : use.qualifier);
  };
  return std::ranges::any_of(sql::collect_tables(ast->statement()), in_storage) ||
         sql::effects_of(ast->statement()).runs_unseen_code;
}

net::Task<RunResult> ClientSession::run_statement(const Statement& statement) {
  std::optional<base::TimePoint> deadline;  // From when it was held back first.
  counters_ = nullptr;
  counted_ = totals_known_ = end_noted_ = false;
  mirror_percent_ = 0;
  const base::TimePoint started = since_ = base::system_clock().now();
  const Statement* const outer = std::exchange(running_, &statement);
  const Directives outer_directives = std::exchange(directives_, {});
  const base::TimePoint outer_deadline = directive_deadline_;
  const auto ended = [&](RunResult result) {
    since_ = account(statement, started, result);
    note_end(statement, result);
    if (mirror_percent_ > 0 && result.verdict == RunResult::Verdict::kAnswered && !result.told_error) mirror(statement);
    running_ = outer;
    directives_ = outer_directives;  // What comes behind it, such as a prepare, is not asked for by it.
    directive_deadline_ = outer_deadline;
    waits_for_shard_ = false;
    return result;
  };
  if (statement.scan.has_directive) {
    auto directives = directives_of(statement.text);
    if (!directives.ok()) co_return ended(RunResult::failed(std::move(directives).error()));
    directives_ = *directives;
    if (directives_.query_timeout) {
      directive_deadline_ = base::system_clock().now() + *directives_.query_timeout;
    }
  }
  bool counted = false;
  Held held;
  const auto let_go = [&](BufferStop why) {
    --shared_.buffered;
    shared_.metrics.statistics.let_go(held.keyspace, held.shard, why);
  };
  for (;;) {
    const auto before = shared_.view()->version;
    if (held_answer_ != nullptr) held_answer_->bytes.clear();
    std::optional<FastRoute> fast = fast_route(statement);
    if (fast) mirror_percent_ = fast->plan->mirror_percent;
    std::optional<Before> unbegun;
    told_begun_ = false;
    if (!autocommit_ && !in_transaction_ && !failed_) unbegun = {next_options_, savepoints_};
    RunResult result = co_await (fast ? relay(*fast->plan, statement, std::move(fast->target)) : run_once(statement));
    if (unbegun && in_transaction_ && implicit_ && !told_begun_ && !failed_ &&
        result.verdict == RunResult::Verdict::kFailed && failed_ahead_of_tables(result.error->mysql_errno())) {
      co_await unbegin(std::move(*unbegun));
      end_noted_ = true;  // It has used up nothing.
    }
    if (result.verdict != RunResult::Verdict::kWait || !shared_.settings.enable_buffer || is_mirror_) {
      if (counted) let_go(stop_reason(held));
      co_return ended(std::move(result));
    }
    // Held back until the view has changed; looked at again after a while in any case, since a tablet may come back
    // under the same address.
    if (!counted) {
      if (shared_.buffered >= shared_.settings.buffer_size) {
        shared_.metrics.buffer_timeouts.add();
        co_return ended(RunResult::failed(std::move(*result.error).with_context("primary buffer is full")));
      }
      counted = waits_for_shard_ = true;
      ++shared_.buffered;
      held = held_by(*result.error);
      shared_.metrics.statistics.hold(held.keyspace, held.shard);
    }
    const auto now = base::system_clock().now();
    if (!deadline) deadline = now + shared_.settings.buffer_window;
    if (killed_ || gone_.cancelled()) {
      let_go(BufferStop::kTooLong);
      co_return ended(RunResult::failed(fail(Code::kCanceled, "Query execution was interrupted")
                                            .with_mysql(mysql::errnos::kQueryInterrupted, "70100")));
    }
    if (now >= *deadline || shared_.scope.stopping()) {
      let_go(shared_.scope.stopping() ? BufferStop::kShutdown : BufferStop::kTooLong);
      shared_.metrics.buffer_timeouts.add();
      co_return ended(RunResult::failed(std::move(*result.error)));
    }
    if (shared_.view()->version == before) {
      const net::Wait wait = net::Wait::until(std::min<base::TimePoint>(*deadline, now + 50ms), interrupt_->token());
      (void)co_await shared_.view_changed.wait(wait);
    }
  }
}

bool ClientSession::reads_only() const { return options_.access == mysql::TransactionOptions::Access::kReadOnly; }

bool ClientSession::session_reads_only() const {
  const auto setting = settings_.values().find("tx_read_only");
  return setting != settings_.values().end() && switch_value(setting->second) == true;
}

uint16_t ClientSession::status_flags() const {
  return static_cast<uint16_t>((autocommit_ ? mysql::kStatusAutocommit : 0) |
                               (in_transaction_ ? mysql::kStatusInTransaction : 0) |
                               (in_transaction_ && reads_only() ? mysql::kStatusInTransactionReadOnly : 0) |
                               (more_results_ ? mysql::kStatusMoreResultsExist : 0) |
                               (settings_.reading().no_backslash_escapes ? mysql::kStatusNoBackslashEscapes : 0));
}

net::Wait ClientSession::query_wait() const {
  if (streams_messages_) return net::Wait{.cancel = interrupt_->token()};
  if (!directives_.query_timeout) return session_wait();
  if (directives_.query_timeout->count() == 0) return net::Wait{.cancel = interrupt_->token()};
  return net::Wait::until(directive_deadline_, interrupt_->token());
}

net::Wait ClientSession::session_wait() const {
  if (const auto own = timeouts_.find("query_timeout"); own != timeouts_.end() && own->second > 0) {
    return net::Wait::within(std::chrono::milliseconds(own->second), interrupt_->token());
  }
  if (shared_.settings.query_timeout.count() > 0) {
    return net::Wait::within(shared_.settings.query_timeout, interrupt_->token());
  }
  return net::Wait{.cancel = interrupt_->token()};
}

size_t ClientSession::max_rows() const {
  return directives_.ignore_max_memory_rows ? std::numeric_limits<size_t>::max() : shared_.settings.max_memory_rows;
}

// SET workload = 'olap' (or 'dba'), as in Vitess: for statements that take long.
bool ClientSession::unlimited() const {
  if (streams_messages_) return true;
  const auto workload = stored_.find("workload");
  return workload != stored_.end() && (workload->second == "olap" || workload->second == "dba");
}

net::Task<Status> ClientSession::send(std::string framed) {
  if (trace_ != nullptr) co_return Status{};
  if (held_answer_ != nullptr) {
    if (held_answer_->bytes.size() + framed.size() <= held_answer_->max) {
      held_answer_->bytes += framed;
      co_return Status{};
    }
    framed.insert(0, std::exchange(held_answer_, nullptr)->bytes);
  }
  const net::Wait wait = net::Wait::within(60s, shared_.scope.token());
  co_return co_await stream_.write(framed, wait);
}

net::Task<Status> ClientSession::send_error(Error error) {
  if (shared_.settings.terse_errors) error = mysql::without_values(std::move(error));
  shared_.metrics.errors.add();
  shared_.metrics.statistics.count_error(keyspace_, tablet_type_, error.code());
  row_count_ = -1;
  std::string out;
  std::string payload;
  mysql::ErrPacket err = mysql::to_err_packet(error);
  // What the gate says of its own is about what the client wrote.
  if (!err.message.starts_with("VT")) {
    err.message = plan::with_keyspaces(std::move(err.message), shared_.view()->databases);
  }
  note_told_error(err);
  for (auto& [level, code, message] : std::exchange(error_notes_, {})) {
    add_warning(std::move(level), static_cast<uint16_t>(std::strtoul(code.c_str(), nullptr, 10)), std::move(message));
  }
  mysql::encode_err(payload, err, client_.capabilities);
  mysql::PacketWriter(out, sequence_++).message(payload);
  last_error_ = std::move(error);
  co_return co_await send(std::move(out));
}

void ClientSession::note_told_error(const mysql::ErrPacket& err) {
  row_count_ = -1;
  clear_warnings();
  add_warning("Error", err.code, err.message);
}

net::Task<Status> ClientSession::send_ok(mysql::OkPacket ok) {
  ok.status_flags = status_flags();
  if (ok.warnings == 0) ok.warnings = fresh_warnings_;
  std::string out;
  std::string payload;
  mysql::encode_ok(payload, ok, client_.capabilities);
  mysql::PacketWriter(out, sequence_++).message(payload);
  co_return co_await send(std::move(out));
}

net::Task<Status> ClientSession::send_result(const net::QueryResult& result) {
  if (result.columns.empty()) {
    co_return co_await send_ok({.affected_rows = result.ok.affected_rows,
                                .last_insert_id = result.ok.last_insert_id,
                                .warnings = result.ok.warnings,
                                .info = result.ok.info});
  }
  std::string out;
  mysql::PacketWriter writer(out, sequence_);
  mysql::ResultSetWriter rows(writer, client_.capabilities, binary_answer_);
  rows.begin(result.columns, status_flags());
  std::vector<mysql::Cell> cells;
  for (const auto& row : result.rows) {
    cells.clear();
    for (const auto& cell : row) cells.push_back(cell ? mysql::Cell(*cell) : mysql::Cell());
    if (Status written = rows.row(cells); !written.ok()) {
      sequence_ = writer.sequence();
      CO_RETURN_IF_ERROR(co_await send(std::move(out)));
      co_return co_await send_error(std::move(written).error());
    }
    // Not all at once: the client may be slow, and the result large.
    if (out.size() >= size_t{256} << 10) {
      CO_RETURN_IF_ERROR(co_await send(std::move(out)));
      out.clear();
    }
  }
  mysql::OkPacket ok;
  ok.status_flags = status_flags();
  ok.warnings = fresh_warnings_;
  rows.end(ok);
  sequence_ = writer.sequence();
  co_return co_await send(std::move(out));
}

}  // namespace vitrail::gate
