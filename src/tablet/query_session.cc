#include "tablet/query_session.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "mysql/errors.h"
#include "mysql/messages.h"

namespace vitrail::tablet {
namespace {

using mysql::Command;
using namespace std::chrono_literals;

constexpr size_t kMaxTouched = 64;
constexpr size_t kMaxStatements = 16'000;  // Prepared, per session.
constexpr size_t kMaxLongData = size_t{64} << 20;
constexpr size_t kMaxPreparedPerConnection = 256;

// Capabilities of the login that must hold on the connection to mysqld too.
constexpr mysql::Capabilities kCarried = mysql::kResponseShapeCapabilities | mysql::kClientFoundRows |
                                         mysql::kClientLocalFiles | mysql::kClientIgnoreSpace | mysql::kClientLongFlag;

// The framed BEGIN to put before a statement that asks for one.
std::string begin_frame(std::span<const mysql::QueryAttribute> attributes, bool in_transaction) {
  std::string framed;
  if (in_transaction) return framed;
  for (const auto& attribute : attributes) {
    if (attribute.name != kBeginAttribute) continue;
    std::string payload;
    mysql::encode_query(payload, "begin", {}, 0);
    mysql::PacketWriter(framed).message(payload);
  }
  return framed;
}

}  // namespace

net::MysqlPool& QueryLoop::pool_for(mysql::Capabilities capabilities, uint8_t collation) {
  auto& pool = pools[{capabilities, collation}];
  if (pool == nullptr) {
    net::MysqlClientSettings client;
    client.address = settings.mysqld;
    client.auth.user = settings.user;
    client.auth.password = settings.password;
    client.auth.database = settings.database;
    client.auth.collation = collation;
    constexpr auto kAlways = mysql::kClientLongPassword | mysql::kClientProtocol41 | mysql::kClientTransactions |
                             mysql::kClientSecureConnection | mysql::kClientMultiResults |
                             mysql::kClientPsMultiResults | mysql::kClientPluginAuth | mysql::kClientConnectAttrs |
                             mysql::kClientPluginAuthLenencData;
    client.auth.capabilities = kAlways | capabilities;
    net::MysqlPool::Options options;
    options.max_connections = pool_share;
    options.max_prepared = kMaxPreparedPerConnection;
    options.name = "connections to the MySQL server";
    pool = std::make_unique<net::MysqlPool>(std::move(client), std::move(options));
  }
  return *pool;
}

net::Task<void> QueryLoop::apply(std::shared_ptr<const ServingState> next, base::Duration grace) {
  state = next;
  for (QuerySession* session : sessions) {
    if (session->conflicts_with(*next)) session->grandfather();
  }
  const auto left = [this] {
    return std::any_of(sessions.begin(), sessions.end(), [](const QuerySession* s) { return s->grandfathered(); });
  };
  const net::Wait wait = net::Wait::within(grace);
  while (left()) {
    if ((co_await session_idle.wait(wait)).ok()) continue;
    for (QuerySession* session : sessions) {
      if (session->grandfathered()) session->end_by_force();
    }
    const net::Wait last = net::Wait::within(10s);
    while (left() && (co_await session_idle.wait(last)).ok()) {
    }
    break;
  }
}

QuerySession::QuerySession(QueryLoop& shared, net::PacketStream stream, mysql::AuthenticatedClient client,
                           shard::Target target)
    : shared_(shared),
      stream_(std::move(stream)),
      client_(std::move(client)),
      shape_(client_.capabilities & kCarried),
      target_(std::move(target)) {
  place_ = shared_.sessions.insert(shared_.sessions.end(), this);
  shared_.metrics.sessions.add(1);
}

QuerySession::~QuerySession() {
  if (in_transaction_ || pinned_ || active_) lease_.discard();
  shared_.sessions.erase(place_);
  shared_.metrics.sessions.add(-1);
  shared_.session_idle.notify_all();
}

net::Wait QuerySession::query_wait() const {
  return net::Wait::within(shared_.settings.query_timeout, shared_.scope.token());
}

net::Task<void> QuerySession::run() {
  for (;;) {
    // An open transaction that nobody uses holds locks: it is rolled back when it has been idle for too long.
    net::Wait wait{.cancel = shared_.scope.token()};
    if (in_transaction_ && !killed_) {
      wait = net::Wait::within(shared_.settings.transaction_timeout, shared_.scope.token());
    }
    auto message = co_await stream_.read_message(wait);
    if (!message.ok()) {
      if (message.error().code() == Code::kDeadlineExceeded && in_transaction_) {
        end_by_force();
        continue;
      }
      if (message.error().mysql_errno() != 0) (void)co_await send_error(std::move(message).error());
      break;
    }
    if (!message->has_value() || (*message)->payload.empty()) break;
    if (static_cast<Command>((*message)->payload[0]) == Command::kQuit) break;
    Status outcome = co_await dispatch(**message);
    if (!outcome.ok()) break;
  }
  stream_.socket().close();
}

bool QuerySession::conflicts_with(const ServingState& state) const {
  if (!active_ && !in_transaction_) return false;
  if (!state.serving || state.target.keyspace != target_.keyspace || state.target.shard != target_.shard ||
      state.target.tablet_type != target_.tablet_type) {
    return true;
  }
  if (state.denied_tables.empty()) return false;
  if (touched_all_) return true;
  const auto denied = [&](const std::string& table) { return state.denies(table); };
  if (std::any_of(touched_.begin(), touched_.end(), denied)) return true;
  if (current_ == nullptr) return false;
  return !current_->tables_known ||
         std::any_of(current_->tables.begin(), current_->tables.end(), [&](const auto& t) { return denied(t.name); });
}

void QuerySession::end_by_force() {
  grandfathered_ = false;
  if (!in_transaction_ && !active_) return;
  shared_.metrics.killed_transactions.add();
  killed_ = in_transaction_;
  if (active_ && lease_) {
    // The statement's relay notices that its connection is gone. The server rolls back when it does.
    lease_->client.set_broken();
    lease_->client.stream().socket().abort();
  } else {
    lease_.discard();
  }
  shared_.session_idle.notify_all();
}

Status QuerySession::admit(const StatementInfo& info, std::string_view text) {
  const ServingState& state = *shared_.state;
  const auto ends_transaction = [&] {
    return info.kind == sql::StatementKind::kCommit || info.kind == sql::StatementKind::kRollback;
  };
  if (killed_) {
    return fail(Code::kAborted,
                "the transaction was rolled back: it was open for too long, or in the way of a change of "
                "the serving state; begin again")
        .with_reason(Reason::kTransactionLost);
  }
  if (grandfathered_ || (in_transaction_ && ends_transaction())) return {};
  if (target_.keyspace != state.target.keyspace) {
    return fail(Code::kInvalidArgument,
                fmt::format("invalid keyspace {} does not match expected {}", target_.keyspace, state.target.keyspace))
        .with_reason(Reason::kWrongTarget);
  }
  if (target_.shard != state.target.shard) {
    return fail(Code::kInvalidArgument,
                fmt::format("invalid shard {} does not match expected {}", target_.shard, state.target.shard))
        .with_reason(Reason::kWrongTarget);
  }
  if (!state.serving) {
    return fail(Code::kClusterEvent, fmt::format("operation not allowed in state NOT_SERVING: {}", state.reason))
        .with_reason(Reason::kNotServing)
        .with_retry(Retry::kAfterTopologyRefresh);
  }
  if (target_.tablet_type != state.target.tablet_type) {
    return fail(Code::kClusterEvent,
                fmt::format("wrong tablet type: {}, want: {}", target_.tablet_type, state.target.tablet_type))
        .with_reason(Reason::kWrongTabletType)
        .with_retry(Retry::kOtherTarget);
  }
  return QueryGuard::check(info, text, state);
}

net::Task<Status> QuerySession::need_connection(net::Wait wait) {
  if (lease_) co_return Status{};
  wait.deadline = std::min(wait.deadline, base::system_clock().now() + shared_.settings.pool_timeout);
  auto lease = co_await shared_.pool_for(shape_, static_cast<uint8_t>(client_.collation)).acquire(settings_, wait);
  if (!lease.ok()) co_return std::move(lease).error();
  lease_ = std::move(*lease);
  co_return Status{};
}

void QuerySession::note_use(const StatementInfo& info) {
  if (!info.tables_known && info.kind != sql::StatementKind::kBegin) touched_all_ = true;
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

// The end of a statement: what the server said of its transaction decides whether the connection stays with us.
void QuerySession::statement_done(uint16_t status_flags) {
  active_ = false;
  current_ = nullptr;
  in_transaction_ = (status_flags & mysql::kStatusInTransaction) != 0;
  if (!in_transaction_) {
    touched_.clear();
    touched_all_ = false;
    killed_ = false;
    grandfathered_ = false;
    if (!pinned_) lease_.release();
    shared_.session_idle.notify_all();
  }
}

net::Task<Status> QuerySession::dispatch(const mysql::MessageReader::Message& message) {
  const auto command = static_cast<Command>(message.payload[0]);
  switch (command) {
    case Command::kQuery: co_return co_await on_query(message);
    case Command::kStmtExecute: co_return co_await on_execute(message);
    case Command::kStmtPrepare: co_return co_await on_prepare(std::string(message.payload.substr(1)));
    case Command::kPing: co_return co_await send_ok();
    case Command::kResetConnection: co_return co_await on_reset();
    case Command::kInitDb: {
      auto target = shard::Target::parse(message.payload.substr(1));
      if (!target.ok()) co_return co_await send_error(std::move(target).error());
      if (in_transaction_) co_return co_await send_error(fail(Code::kFailedPrecondition, "a transaction is open"));
      target_ = std::move(*target);
      co_return co_await send_ok();
    }
    case Command::kStmtClose: {
      if (auto id = mysql::decode_statement_id(message.payload); id.ok()) statements_.erase(*id);
      co_return Status{};
    }
    case Command::kStmtReset: {
      auto id = mysql::decode_statement_id(message.payload);
      if (id.ok() && statements_.contains(*id)) statements_[*id].memory.clear_long_data();
      co_return co_await send_ok();
    }
    case Command::kStmtSendLongData: {
      auto data = mysql::decode_stmt_long_data(message.payload);
      if (data.ok() && statements_.contains(data->statement_id)) {
        (void)statements_[data->statement_id].memory.add_long_data(*data, kMaxLongData);
      }
      co_return Status{};
    }
    default:
      co_return co_await send_error(
          fail(Code::kUnimplemented, fmt::format("{} is not served on the data port", mysql::command_name(command)))
              .with_mysql(mysql::errnos::kUnknownCommand, "08S01"));
  }
}

net::Task<Status> QuerySession::on_query(const mysql::MessageReader::Message& message) {
  std::string_view text;
  std::string reframed;
  std::string begin;
  if (client_.capabilities & mysql::kClientQueryAttributes) {
    auto query = mysql::decode_query(message.payload, client_.capabilities);
    if (!query.ok()) co_return co_await send_error(std::move(query).error());
    text = query->text;
    begin = begin_frame(query->attributes, in_transaction_);
  } else {
    text = message.payload.substr(1);
  }
  const auto info = shared_.guard.classify(text);
  if (Status admitted = admit(*info, text); !admitted.ok()) {
    shared_.metrics.refused.add();
    co_return co_await send_error(std::move(admitted).error());
  }
  if (info->kind == sql::StatementKind::kSet && !info->pins_session) co_return co_await on_set(std::string(text));
  if (info->next_value) co_return co_await on_next_value(std::string(text));
  // One frame without attributes can go on as it came.
  std::string_view framed = stream_.buffered().substr(0, message.consumed);
  if ((client_.capabilities & mysql::kClientQueryAttributes) || message.payload.size() >= mysql::kMaxFramePayload) {
    std::string payload;
    mysql::encode_query(payload, text, {}, 0);
    mysql::PacketWriter(reframed).message(payload);
    framed = reframed;
  }
  if (shared_.query_log->wanted()) {
    co_return co_await relay_logged(std::move(begin), framed, mysql::ResponseKind::kQuery, *info,
                                    static_cast<uint8_t>(message.last_sequence + 1), std::string(text));
  }
  co_return co_await relay(std::move(begin), framed, mysql::ResponseKind::kQuery, *info,
                           static_cast<uint8_t>(message.last_sequence + 1));
}

net::Task<Status> QuerySession::relay_logged(std::string framed_begin, std::string_view framed,
                                             mysql::ResponseKind kind, const StatementInfo& info,
                                             uint8_t first_sequence, std::string text) {
  const auto started = base::system_clock().now();
  Status outcome = co_await relay(std::move(framed_begin), framed, kind, info, first_sequence);
  const base::Duration took = base::system_clock().now() - started;
  const auto wall = base::system_clock().wall_now().time_since_epoch() - took;
  shared_.query_log->write(base::query_log_line(
      std::chrono::duration_cast<std::chrono::nanoseconds>(wall).count(), std::chrono::duration<double>(took).count(),
      client_.user, target_.to_string(), text, outcome.ok() ? "OK" : base::code_name(outcome.error().code())));
  co_return outcome;
}

net::Task<Status> QuerySession::relay(std::string framed_begin, std::string_view framed, mysql::ResponseKind kind,
                                      const StatementInfo& info, uint8_t first_sequence) {
  const net::Wait wait = query_wait();
  active_ = true;
  current_ = &info;
  shared_.metrics.queries.add();
  if (!lease_) {
    if (Status connected = co_await need_connection(wait); !connected.ok()) {
      statement_done(0);
      co_return co_await send_error(std::move(connected).error());
    }
    // Waiting may have taken a while: the state may have changed.
    if (Status admitted = admit(info, ""); !admitted.ok() && !grandfathered_) {
      statement_done(0);
      co_return co_await send_error(std::move(admitted).error());
    }
  }
  if (info.pins_session) pinned_ = true;
  note_use(info);
  auto& server = lease_->client;
  const bool begins = !framed_begin.empty();
  if (begins) framed = framed_begin.append(framed);
  Status sent = co_await server.stream().write(framed, wait);
  if (sent.ok() && begins) {
    auto begun =
        co_await net::discard_response(server.stream(), mysql::ResponseKind::kQuery, server.capabilities(), wait);
    if (begun.ok() && !begun->error) {
      in_transaction_ = true;
    } else {
      // Without its transaction the statement must not stand: the connection goes, and with it what it may have done is
      // not ours to know.
      sent =
          begun.ok()
              ? Status(fail(Code::kUnavailable, "BEGIN failed: " + begun->error->message).with_effect(Effect::kUnknown))
              : Status(std::move(begun).error());
    }
  }
  if (!sent.ok()) {
    lease_.discard();
    pinned_ = false;
    const bool was_in_transaction = in_transaction_;
    statement_done(0);
    killed_ = was_in_transaction;
    in_transaction_ = was_in_transaction;
    co_return co_await send_error(std::move(sent).error());
  }
  auto result =
      co_await net::relay_response(server.stream(), stream_, kind, server.capabilities(), {}, first_sequence, wait);
  if (!result.has_value()) {
    net::RelayFailure failure = std::move(result).error();
    const bool timed_out = failure.error.code() == Code::kDeadlineExceeded;
    lease_.discard();
    pinned_ = false;
    const bool was_in_transaction = in_transaction_;
    statement_done(0);
    if (was_in_transaction) {  // The next statement must not run outside of the transaction it belongs to.
      in_transaction_ = true;
      killed_ = true;
    }
    if (!failure.backend || !failure.client_untouched) co_return std::move(failure.error);
    shared_.metrics.errors.add();
    co_return co_await send_error(
        Error(timed_out ? Code::kDeadlineExceeded : Code::kUnavailable,
              timed_out ? "the statement took longer than --queryserver-config-query-timeout and was ended"
                        : failure.error.message())
            .with_effect(Effect::kUnknown));
  }
  uint16_t flags = result->summary.status_flags;
  if (result->error) {
    // An ERR carries no flags: the transaction is as it was, unless the server rolled it back (deadlock; or a lock wait
    // timeout when innodb_rollback_on_timeout is set). Asking is cheaper than guessing wrong.
    shared_.metrics.errors.add();
    flags = in_transaction_ ? mysql::kStatusInTransaction : 0;
    if (in_transaction_ && (result->error->code == mysql::errnos::kDeadlock)) flags = 0;
  }
  if (result->error_held) {
    std::string out;
    std::string payload;
    mysql::encode_err(payload, *result->error, client_.capabilities);
    mysql::PacketWriter(out, first_sequence).message(payload);
    statement_done(flags);
    co_return co_await send(std::move(out));
  }
  statement_done(flags);
  co_return Status{};
}

net::Task<Status> QuerySession::on_set(std::string text) {
  // Tried at once, so that a wrong value fails here; remembered, and applied to whatever connection serves this
  // session.
  const net::Wait wait = query_wait();
  if (lease_) {
    auto result = co_await lease_->client.query(text, wait);
    if (!result.ok()) co_return co_await send_error(std::move(result).error());
    lease_->settings = text;
    settings_ = std::move(text);
    co_return co_await send_ok(result->ok.status_flags & mysql::kStatusNoBackslashEscapes);
  }
  const std::string before = std::exchange(settings_, std::move(text));
  if (Status connected = co_await need_connection(wait); !connected.ok()) {
    settings_ = before;
    co_return co_await send_error(std::move(connected).error());
  }
  if (!in_transaction_ && !pinned_) lease_.release();
  co_return co_await send_ok();
}

net::Task<Status> QuerySession::on_next_value(std::string text) {
  auto request = parse_next_value(text);
  if (!request.ok()) co_return co_await send_error(std::move(request).error());
  if (target_.tablet_type != "primary") {
    co_return co_await send_error(fail(Code::kFailedPrecondition, "sequences are served by the primary only"));
  }
  co_await shared_.sequences->home().enter();
  auto value = co_await shared_.sequences->next(request->table, request->count, query_wait());
  co_await shared_.loop.enter();
  if (!value.ok()) co_return co_await send_error(std::move(value).error());
  std::string out;
  mysql::PacketWriter writer(out, 1);
  mysql::ResultSetWriter result(writer, client_.capabilities);
  mysql::ColumnDef column;
  column.name = "nextval";
  column.type = mysql::FieldType::kLongLong;
  column.collation = mysql::kBinaryCollation;
  column.length = 20;
  column.flags = mysql::kFieldNotNull | mysql::kFieldBinary | mysql::kFieldNum;
  const uint16_t flags = mysql::kStatusAutocommit | (in_transaction_ ? mysql::kStatusInTransaction : 0);
  result.begin({&column, 1}, flags);
  const std::string digits = std::to_string(*value);
  const mysql::Cell cell = digits;
  (void)result.row({&cell, 1});
  result.end(mysql::OkPacket{.status_flags = flags});
  co_return co_await send(std::move(out));
}

net::Task<Status> QuerySession::on_prepare(std::string text) {
  const auto info = shared_.guard.classify(text);
  if (Status admitted = admit(*info, text); !admitted.ok()) {
    shared_.metrics.refused.add();
    co_return co_await send_error(std::move(admitted).error());
  }
  if (statements_.size() >= kMaxStatements) {
    co_return co_await send_error(fail(Code::kResourceExhausted, "too many prepared statements: close some"));
  }
  const net::Wait wait = query_wait();
  if (Status connected = co_await need_connection(wait); !connected.ok()) {
    co_return co_await send_error(std::move(connected).error());
  }
  auto prepared = co_await lease_->prepare(text, kMaxPreparedPerConnection, wait);
  std::string out;
  if (prepared.ok()) {
    mysql::PrepareOk ok = (*prepared)->ok;
    ok.statement_id = next_statement_id_++;
    std::string payload;
    mysql::encode_prepare_ok(payload, ok);
    mysql::PacketWriter(out, 1).message(payload);
    out += (*prepared)->definitions;
    statements_[ok.statement_id] = Prepared{std::move(text), info, ok.parameters, {}};
  }
  const bool broken = lease_->client.broken();
  if (!in_transaction_ && !pinned_) lease_.release();
  if (prepared.ok()) co_return co_await send(std::move(out));
  if (broken && in_transaction_) killed_ = true;
  co_return co_await send_error(std::move(prepared).error());
}

net::Task<Status> QuerySession::on_execute(const mysql::MessageReader::Message& message) {
  auto id = mysql::decode_statement_id(message.payload);
  if (!id.ok()) co_return co_await send_error(std::move(id).error());
  const auto found = statements_.find(*id);
  if (found == statements_.end()) {
    co_return co_await send_error(
        fail(Code::kInvalidArgument, fmt::format("Unknown prepared statement handler ({}) given to EXECUTE", *id))
            .with_mysql(mysql::errnos::kUnknownStmtHandler, "HY000"));
  }
  Prepared& statement = found->second;
  const auto info = statement.info;
  info->counted();
  if (Status admitted = admit(*info, statement.text); !admitted.ok()) {
    shared_.metrics.refused.add();
    co_return co_await send_error(std::move(admitted).error());
  }
  auto execute =
      mysql::decode_stmt_execute(message.payload, client_.capabilities, statement.parameters, statement.memory);
  if (!execute.ok()) co_return co_await send_error(std::move(execute).error());
  if (execute->cursor_flags != 0) {
    // A cursor would tie the connection to this session until it is closed; rows are sent at once instead, as MySQL
    // does for statements that cannot have one.
    execute->cursor_flags = 0;
  }
  const net::Wait wait = query_wait();
  if (Status connected = co_await need_connection(wait); !connected.ok()) {
    co_return co_await send_error(std::move(connected).error());
  }
  auto prepared = co_await lease_->prepare(statement.text, kMaxPreparedPerConnection, wait);
  if (!prepared.ok()) {
    if (lease_->client.broken() && in_transaction_) killed_ = true;
    if (!in_transaction_ && !pinned_) lease_.release();
    co_return co_await send_error(std::move(prepared).error());
  }
  execute->statement_id = (*prepared)->ok.statement_id;
  std::string begin = begin_frame(execute->attributes, in_transaction_);
  execute->attributes.clear();
  std::string payload;
  mysql::encode_stmt_execute(payload, *execute, 0);
  statement.memory.clear_long_data();
  std::string framed;
  mysql::PacketWriter(framed).message(payload);
  if (shared_.query_log->wanted()) {
    co_return co_await relay_logged(std::move(begin), framed, mysql::ResponseKind::kStmtExecute, *info,
                                    static_cast<uint8_t>(message.last_sequence + 1), statement.text);
  }
  co_return co_await relay(std::move(begin), framed, mysql::ResponseKind::kStmtExecute, *info,
                           static_cast<uint8_t>(message.last_sequence + 1));
}

net::Task<Status> QuerySession::on_reset() {
  if (in_transaction_ || pinned_) lease_.discard();
  in_transaction_ = pinned_ = killed_ = grandfathered_ = false;
  settings_.clear();
  statements_.clear();
  touched_.clear();
  touched_all_ = false;
  shared_.session_idle.notify_all();
  co_return co_await send_ok();
}

net::Task<Status> QuerySession::send_error(Error error) {
  std::string out;
  std::string payload;
  // The server's own errors pass as they are; ours carry their code to vtgate.
  const bool servers = error.mysql_errno() != 0 && error.mysql_errno() < mysql::kTabletErrnoBase;
  mysql::encode_err(payload, servers ? mysql::to_err_packet(error) : mysql::encode_tablet_error(error),
                    client_.capabilities);
  mysql::PacketWriter(out, 1).message(payload);
  if (killed_ && !in_transaction_) killed_ = false;
  if (killed_ && error.code() == Code::kAborted) {  // Told: the session is usable again.
    killed_ = in_transaction_ = false;
    touched_.clear();
    touched_all_ = false;
  }
  co_return co_await send(std::move(out));
}

net::Task<Status> QuerySession::send_ok(uint16_t extra_flags) {
  std::string out;
  std::string payload;
  mysql::OkPacket ok;
  ok.status_flags = static_cast<uint16_t>(mysql::kStatusAutocommit | extra_flags |
                                          (in_transaction_ ? mysql::kStatusInTransaction : 0));
  mysql::encode_ok(payload, ok, client_.capabilities);
  mysql::PacketWriter(out, 1).message(payload);
  co_return co_await send(std::move(out));
}

net::Task<Status> QuerySession::send(std::string framed) {
  const net::Wait wait = query_wait();
  co_return co_await stream_.write(framed, wait);
}

}  // namespace vitrail::tablet
