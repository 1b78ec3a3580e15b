#include "gate/session.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "mysql/errors.h"
#include "mysql/messages.h"
#include "topo/tablet.h"

namespace vitrail::gate {
namespace {

using mysql::Command;
using namespace std::chrono_literals;

constexpr size_t kMaxStatements = 16'000;  // Prepared, per session.
constexpr size_t kMaxLongData = size_t{64} << 20;
constexpr auto kSkipMax = 5min;   // For what is left of a message that is too long.
constexpr size_t kLiterals = 64;  // Recorded per statement; statements with more are planned each time.

}  // namespace

ClientSession::ClientSession(GateLoop& shared, net::PacketStream stream, mysql::AuthenticatedClient client,
                             uint32_t connection_id)
    : shared_(shared),
      gone_(shared.scope.token()),
      interrupt_(std::make_unique<net::CancelSource>(gone_.token())),
      stream_(std::move(stream)),
      client_(std::move(client)),
      connection_id_(connection_id) {
  form_.capabilities = client_.capabilities & (mysql::kClientDeprecateEof | mysql::kClientFoundRows |
                                               mysql::kClientIgnoreSpace | mysql::kClientLocalFiles);
  form_.collation = static_cast<uint8_t>(client_.collation);
  keyspace_ = shared_.settings.default_keyspace;
  plan_context_ = keyspace_ + "@" + tablet_type_;
  place_ = shared_.sessions.insert(shared_.sessions.end(), this);
  shared_.metrics.connections.add(1);
  stream_.socket().cancel_when_gone(&gone_);
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
  if (!keyspace.empty() && !shared_.view()->has_keyspace(keyspace)) {
    return fail(Code::kNotFound, fmt::format("VT05003: unknown database '{}' in vschema", keyspace))
        .with_mysql(mysql::errnos::kBadDb, "42000");
  }
  if (in_transaction_ && type != tablet_type_) {
    return fail(Code::kFailedPrecondition, "the tablet type cannot change inside a transaction");
  }
  keyspace_ = std::move(keyspace);
  shard_ = std::move(shard);
  tablet_type_ = std::move(type);
  plan_context_ = keyspace_ + "@" + tablet_type_;
  named_shard_counters_.clear();
  return {};
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
    if (held.in_transaction) out.participants.push_back(held.target);
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
      if (message.error().mysql_errno() == mysql::errnos::kPacketTooLarge) {
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
  }
  for (auto& held : held_) held.lease.discard();  // The tablets end what was under way.
  held_.clear();
  stream_.socket().close();
}

net::Task<Status> ClientSession::dispatch(const mysql::MessageReader::Message& message) {
  const std::string_view payload = message.payload;
  switch (static_cast<Command>(payload[0])) {
    case Command::kQuery: {
      auto query = mysql::decode_query(payload, client_.capabilities);
      if (!query.ok()) co_return co_await send_error(std::move(query).error());
      co_return co_await on_query(query->text, message.last_sequence);
    }
    case Command::kStmtExecute: co_return co_await on_execute(message);
    case Command::kStmtPrepare: co_return co_await on_prepare(std::string(payload.substr(1)));
    case Command::kStmtClose:
      if (auto id = mysql::decode_statement_id(payload); id.ok()) statements_.erase(*id);
      co_return Status{};
    case Command::kStmtReset:
      if (auto id = mysql::decode_statement_id(payload); id.ok() && statements_.contains(*id)) {
        statements_[*id].memory.clear_long_data();
      }
      co_return co_await send_ok({});
    case Command::kStmtSendLongData: {
      auto data = mysql::decode_stmt_long_data(payload);
      if (data.ok() && statements_.contains(data->statement_id)) {
        (void)statements_[data->statement_id].memory.add_long_data(*data, kMaxLongData);
      }
      co_return Status{};
    }
    case Command::kPing: co_return co_await send_ok({});
    case Command::kInitDb: {
      if (Status set = set_target(payload.substr(1)); !set.ok()) co_return co_await send_error(std::move(set).error());
      co_return co_await send_ok({});
    }
    case Command::kResetConnection: co_await reset(); co_return co_await send_ok({});
    case Command::kProcessKill: {
      if (payload.size() != 5) {
        co_return co_await send_error(fail(Code::kInvalidArgument, "malformed COM_PROCESS_KILL"));
      }
      uint32_t id = 0;
      for (size_t i = 4; i > 0; --i) id = id << 8 | static_cast<uint8_t>(payload[i]);
      RunResult killed = co_await kill_session(id, false);
      if (killed.verdict == RunResult::Verdict::kAnswered) co_return co_await send_ok({});
      co_return co_await finish(std::move(killed));
    }
    case Command::kSetOption: co_return co_await send_ok({});
    case Command::kStatistics: {
      std::string out;
      mysql::PacketWriter(out, sequence_).message("Vitrail");
      co_return co_await send(std::move(out));
    }
    case Command::kFieldList:
      // Answered by no fields: clients use it only for completing names.
      {
        std::string out;
        std::string end;
        mysql::encode_eof(end, {.status_flags = status_flags()});
        mysql::PacketWriter(out, sequence_).message(end);
        co_return co_await send(std::move(out));
      }
    default:
      co_return co_await send_error(
          fail(Code::kUnimplemented, fmt::format("command handling not implemented yet: {}",
                                                 mysql::command_name(static_cast<Command>(payload[0]))))
              .with_mysql(mysql::errnos::kUnknownCommand, "08S01"));
  }
}

// As a new session of the same user.
net::Task<void> ClientSession::reset() {
  co_await rollback_all();
  for (auto& held : held_) held.lease.discard();
  held_.clear();
  settings_.clear();
  settings_text_.clear();
  stored_.clear();
  timeouts_.clear();
  user_variables_.clear();
  statements_.clear();
  autocommit_ = true;
  failed_.reset();
  next_options_ = {};
  single_shard_.reset();
  last_insert_id_ = found_rows_ = 0;
  row_count_ = 0;
  warnings_ = 0;
  last_error_.reset();
}

net::Task<Status> ClientSession::on_query(std::string_view text, uint8_t last_sequence) {
  shared_.metrics.queries.add();
  std::array<sql::LiteralPosition, kLiterals> storage;
  Statement statement;
  statement.text = text;
  statement.scan = sql::fingerprint(text, storage);
  statement.literals = statement.scan.literals;
  if (statement.scan.has_more && !statement.scan.malformed) {
    if ((client_.capabilities & mysql::kClientMultiStatements) == 0) {
      co_return co_await send_error(
          fail(Code::kInvalidArgument, "several statements in one query: connect with CLIENT_MULTI_STATEMENTS")
              .with_mysql(mysql::errnos::kParseError, "42000"));
    }
    co_return co_await send_error(fail(Code::kUnimplemented,
                                       "VT12001: unsupported: several statements in one query; send "
                                       "them one by one"));
  }
  const bool logged = shared_.query_log->wanted();
  const auto started = logged ? base::system_clock().now() : base::TimePoint();
  RunResult result = co_await run_statement(statement);
  if (logged) log_statement(statement, started, result);
  co_return co_await finish(std::move(result));
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

net::Task<RunResult> ClientSession::run_statement(const Statement& statement) {
  const auto deadline = base::system_clock().now() + shared_.settings.buffer_window;
  counters_ = nullptr;
  counted_ = false;
  bool counted = false;
  Held held;
  const auto let_go = [&](BufferStop why) {
    --shared_.buffered;
    shared_.metrics.statistics.let_go(held.keyspace, held.shard, why);
  };
  for (;;) {
    const auto before = shared_.view()->version;
    RunResult result = co_await run_once(statement);
    if (result.verdict != RunResult::Verdict::kWait || !shared_.settings.enable_buffer) {
      if (counted) let_go(stop_reason(held));
      co_return result;
    }
    // Held back until the view has changed; looked at again after a while in any case, since a tablet may come back
    // under the same address.
    if (!counted) {
      if (shared_.buffered >= shared_.settings.buffer_size) {
        shared_.metrics.buffer_timeouts.add();
        co_return RunResult::failed(std::move(*result.error).with_context("primary buffer is full"));
      }
      counted = true;
      ++shared_.buffered;
      held = held_by(*result.error);
      shared_.metrics.statistics.hold(held.keyspace, held.shard);
    }
    const auto now = base::system_clock().now();
    if (killed_ || gone_.cancelled()) {
      let_go(BufferStop::kTooLong);
      co_return RunResult::failed(fail(Code::kCanceled, "Query execution was interrupted")
                                      .with_mysql(mysql::errnos::kQueryInterrupted, "70100"));
    }
    if (now >= deadline || shared_.scope.stopping()) {
      let_go(shared_.scope.stopping() ? BufferStop::kShutdown : BufferStop::kTooLong);
      shared_.metrics.buffer_timeouts.add();
      co_return RunResult::failed(std::move(*result.error));
    }
    if (shared_.view()->version == before) {
      const net::Wait wait = net::Wait::until(std::min<base::TimePoint>(deadline, now + 50ms), interrupt_->token());
      (void)co_await shared_.view_changed.wait(wait);
    }
  }
}

net::Task<Status> ClientSession::on_prepare(std::string text) {
  if (statements_.size() >= kMaxStatements) {
    co_return co_await send_error(
        fail(Code::kResourceExhausted, "too many prepared statements: close some").with_mysql(1461, "42000"));
  }
  std::array<sql::LiteralPosition, kLiterals> storage;
  Statement statement;
  statement.text = text;
  statement.scan = sql::fingerprint(text, storage);
  statement.literals = statement.scan.literals;
  Prepared prepared;
  mysql::PrepareOk ok;
  std::string definitions;
  using enum sql::StatementKind;
  switch (statement.scan.kind) {
    case kBegin:
    case kCommit:
    case kRollback:
    case kSavepoint:
    case kRollbackTo:
    case kRelease:
    case kUse:
    case kSet:
    case kAlterVschema:
      prepared.local = true;
      prepared.parameters = ok.parameters = static_cast<uint16_t>(statement.scan.parameter_count);
      if (ok.parameters > 0) {
        co_return co_await send_error(fail(Code::kUnimplemented, "VT12001: unsupported: parameters in this statement"));
      }
      break;
    default: {
      // Any shard that the statement may go to knows the shape of its answer.
      const auto deadline = base::system_clock().now() + shared_.settings.buffer_window;
      for (;;) {
        auto answer = co_await [](ClientSession& self, const Statement& what, mysql::PrepareOk& out,
                                  std::string& defs) -> net::Task<Status> {
          std::string shape_text;
          CO_ASSIGN_OR_RETURN(const auto plan, self.plan_for(what));
          if (plan->shape) {
            shape_text = *plan->shape;
          } else if (plan->text) {
            shape_text = *plan->text;
          }
          auto targets =
              self.resolve(plan->kind == plan::Plan::Kind::kInsert
                               ? plan::Route{.kind = plan::Route::Kind::kAllShards, .keyspace = plan->insert->keyspace}
                               : plan::Route{.kind = plan::Route::Kind::kAllShards, .keyspace = plan->route.keyspace},
                           what);
          if (!targets.ok()) co_return std::move(targets).error();
          const net::Wait wait = self.query_wait();
          net::MysqlPool::Lease own;
          net::MysqlPool::Lease* lease = &own;
          if (HeldConnection* held = self.find_held(targets->front())) {
            lease = &held->lease;
          } else {
            CO_ASSIGN_OR_RETURN(own, co_await self.lease_for(targets->front(), wait));
          }
          CO_ASSIGN_OR_RETURN(
              const auto known,
              co_await (*lease)->prepare(shape_text.empty() ? std::string(what.text) : shape_text, 256, wait));
          out = known->ok;
          defs = known->definitions;
          co_return Status{};
        }(*this, statement, ok, definitions);
        if (answer.ok()) break;
        RunResult result = refused(std::move(answer).error());
        if (result.verdict != RunResult::Verdict::kWait || base::system_clock().now() >= deadline) {
          co_return co_await send_error(std::move(*result.error));
        }
        const net::Wait wait = net::Wait::within(50ms, shared_.scope.token());
        (void)co_await shared_.view_changed.wait(wait);
      }
      prepared.parameters = ok.parameters;
    }
  }
  ok.statement_id = next_statement_id_++;
  prepared.text = std::move(text);
  statements_.emplace(ok.statement_id, std::move(prepared));
  std::string out;
  std::string payload;
  mysql::encode_prepare_ok(payload, ok);
  mysql::PacketWriter(out, sequence_).message(payload);
  out += definitions;
  co_return co_await send(std::move(out));
}

net::Task<Status> ClientSession::on_execute(const mysql::MessageReader::Message& message) {
  shared_.metrics.queries.add();
  auto id = mysql::decode_statement_id(message.payload);
  if (!id.ok()) co_return co_await send_error(std::move(id).error());
  const auto found = statements_.find(*id);
  if (found == statements_.end()) {
    co_return co_await send_error(
        fail(Code::kInvalidArgument,
             fmt::format("VT09011: Unknown prepared statement handler ({}) given to EXECUTE", *id))
            .with_mysql(mysql::errnos::kUnknownStmtHandler, "HY000"));
  }
  Prepared& prepared = found->second;
  auto execute =
      mysql::decode_stmt_execute(message.payload, client_.capabilities, prepared.parameters, prepared.memory);
  if (!execute.ok()) co_return co_await send_error(std::move(execute).error());
  execute->cursor_flags = 0;  // Rows are sent at once, as a server does that cannot open a cursor.
  std::array<sql::LiteralPosition, kLiterals> storage;
  Statement statement;
  statement.text = prepared.text;
  statement.scan = sql::fingerprint(prepared.text, storage);
  statement.literals = statement.scan.literals;
  statement.execute = &*execute;
  for (const auto& parameter : execute->parameters) {
    auto value = mysql::parameter_value(parameter);
    if (!value.ok()) co_return co_await send_error(std::move(value).error());
    statement.parameters.push_back(std::move(*value));
  }
  const bool logged = shared_.query_log->wanted();
  const auto started = logged ? base::system_clock().now() : base::TimePoint();
  RunResult result = co_await run_statement(statement);
  if (logged) log_statement(statement, started, result);
  prepared.memory.clear_long_data();
  co_return co_await finish(std::move(result));
}

uint16_t ClientSession::status_flags() const {
  return static_cast<uint16_t>((autocommit_ ? mysql::kStatusAutocommit : 0) |
                               (in_transaction_ ? mysql::kStatusInTransaction : 0));
}

net::Wait ClientSession::query_wait() const {
  if (const auto own = timeouts_.find("query_timeout"); own != timeouts_.end() && own->second > 0) {
    return net::Wait::within(std::chrono::milliseconds(own->second), interrupt_->token());
  }
  if (shared_.settings.query_timeout.count() > 0) {
    return net::Wait::within(shared_.settings.query_timeout, interrupt_->token());
  }
  return net::Wait{.cancel = interrupt_->token()};
}

net::Task<Status> ClientSession::send(std::string framed) {
  const net::Wait wait = net::Wait::within(60s, shared_.scope.token());
  co_return co_await stream_.write(framed, wait);
}

net::Task<Status> ClientSession::send_error(Error error) {
  shared_.metrics.errors.add();
  shared_.metrics.statistics.count_error(keyspace_, tablet_type_, error.code());
  row_count_ = -1;
  std::string out;
  std::string payload;
  mysql::encode_err(payload, mysql::to_err_packet(error), client_.capabilities);
  mysql::PacketWriter(out, sequence_).message(payload);
  last_error_ = std::move(error);
  co_return co_await send(std::move(out));
}

net::Task<Status> ClientSession::send_ok(mysql::OkPacket ok) {
  ok.status_flags = status_flags();
  std::string out;
  std::string payload;
  mysql::encode_ok(payload, ok, client_.capabilities);
  mysql::PacketWriter(out, sequence_).message(payload);
  co_return co_await send(std::move(out));
}

net::Task<Status> ClientSession::send_result(const net::QueryResult& result, bool binary) {
  std::string out;
  mysql::PacketWriter writer(out, sequence_);
  mysql::ResultSetWriter rows(writer, client_.capabilities, binary);
  rows.begin(result.columns, status_flags());
  std::vector<mysql::Cell> cells;
  for (const auto& row : result.rows) {
    cells.clear();
    for (const auto& cell : row) cells.push_back(cell ? mysql::Cell(*cell) : mysql::Cell());
    if (Status written = rows.row(cells); !written.ok()) co_return co_await send_error(std::move(written).error());
    // Not all at once: the client may be slow, and the result large.
    if (out.size() >= size_t{256} << 10) {
      const net::Wait wait = net::Wait::within(60s, shared_.scope.token());
      CO_RETURN_IF_ERROR(co_await stream_.write(out, wait));
      out.clear();
    }
  }
  mysql::OkPacket ok;
  ok.status_flags = status_flags();
  rows.end(ok);
  co_return co_await send(std::move(out));
}

}  // namespace vitrail::gate
