// Commands of one connection on the data port.
#include "tablet/query_session.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "mysql/data_port.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "mysqld/dialect.h"
#include "net/stream_frame.h"
#include "sql/parser.h"

namespace vitrail::tablet {
namespace {

using mysql::Command;
using namespace std::chrono_literals;

constexpr size_t kMaxStatements = 16'000;  // Prepared, per session.
constexpr size_t kMaxPreparedPerConnection = 256;
constexpr size_t kKeptParameters = 64;  // Room that a session keeps for the next execute.
constexpr auto kEndMax = 10s;           // For the end of a transaction that was idle for too long.

// Capabilities of the login that must hold on the connection to mysqld too.
constexpr mysql::Capabilities kCarried = mysql::kResponseShapeCapabilities | mysql::kClientFoundRows |
                                         mysql::kClientLocalFiles | mysql::kClientIgnoreSpace | mysql::kClientLongFlag;

// What the query attributes ask to run before the statement.
struct Prelude {
  std::vector<std::string> statements;
  bool begins = false;
  bool joins = false;
  bool once = false;
  bool unlimited = false;
  bool atomic = false;  // `begins` one that may have to be prepared,
  bool weak = false;    // of an isolation level that is too low for that.
};
// `savepoints`: a transaction may begin there without a BEGIN (autocommit = 0).
Result<Prelude> prelude_of(std::span<const mysql::QueryAttribute> attributes, bool in_transaction, bool savepoints) {
  Prelude prelude;
  prelude.unlimited =
      std::ranges::find(attributes, mysql::kUnlimitedAttribute, &mysql::QueryAttribute::name) != attributes.end();
  for (const auto& attribute : attributes) {
    if (attribute.name == mysql::kMarkAttribute) {
      prelude.statements.push_back(fmt::format("do cast('{}' as signed)", mysql::kWarningMark));
    }
    if (attribute.name != mysql::kInsertIdAttribute) continue;
    const std::string& digits = attribute.value.bytes;
    if (digits.empty() || !std::ranges::all_of(digits, [](unsigned char c) { return std::isdigit(c) != 0; })) {
      return fail(Code::kInvalidArgument, "an insert id is a number");
    }
    prelude.statements.push_back(fmt::format("do last_insert_id({})", digits));
  }
  for (const auto& attribute : attributes) {
    if (attribute.name != mysql::kBeginAttribute || in_transaction || prelude.begins) continue;
    ASSIGN_OR_RETURN(const auto options, mysql::TransactionOptions::parse(attribute.value.bytes));
    for (auto& statement : options.statements()) prelude.statements.push_back(std::move(statement));
    prelude.begins = true;
    using Isolation = mysql::TransactionOptions::Isolation;
    prelude.weak = options.isolation == Isolation::kReadUncommitted || options.isolation == Isolation::kReadCommitted;
    prelude.atomic =
        std::ranges::find(attributes, mysql::kAtomicAttribute, &mysql::QueryAttribute::name) != attributes.end();
  }
  prelude.joins =
      std::ranges::find(attributes, mysql::kJoinsAttribute, &mysql::QueryAttribute::name) != attributes.end();
  for (const auto& attribute : attributes) {
    if (attribute.name != mysql::kOnceAttribute || in_transaction || prelude.begins) continue;
    ASSIGN_OR_RETURN(const auto options, mysql::TransactionOptions::parse(attribute.value.bytes));
    if (options == mysql::TransactionOptions()) continue;
    prelude.statements.push_back(options.set_statement());
    prelude.once = true;
  }
  for (const auto& attribute : attributes) {
    if (attribute.name != mysql::kSavepointAttribute) continue;
    if (!in_transaction && !prelude.begins && !savepoints) {
      return fail(Code::kInvalidArgument, "a savepoint is asked for outside of a transaction");
    }
    prelude.statements.push_back(mysql::savepoint_statement(attribute.value.bytes));
  }
  return prelude;
}

}  // namespace

QuerySession::QuerySession(QueryLoop& shared, net::PacketStream stream, mysql::AuthenticatedClient client,
                           shard::Target target, uint32_t id)
    : shared_(shared),
      gone_(shared.scope.token()),
      stream_(std::move(stream)),
      client_(std::move(client)),
      id_(id),
      shape_(client_.capabilities & kCarried),
      target_(std::move(target)),
      rename_{shared.settings.database, target_.keyspace},
      memory_(*shared.memory) {
  stream_.set_memory(&memory_);
  place_ = shared_.sessions.insert(shared_.sessions.end(), this);
  shared_.metrics.sessions.add(1);
  stream_.socket().cancel_when_gone(&gone_);
}

QuerySession::~QuerySession() {
  if (keeps_connection() || active_) lease_.discard();
  shared_.sessions.erase(place_);
  count_aborted();
  shared_.metrics.sessions.add(-1);
  shared_.session_idle.notify_all();
}

net::Wait QuerySession::query_wait() const { return net::Wait::within(shared_.settings.query_timeout, gone_.token()); }

net::Task<void> QuerySession::run() {
  for (;;) {
    // An open transaction that nobody uses holds locks: it is rolled back when it has been idle for too long.
    net::Wait wait{.cancel = shared_.scope.token()};
    if (in_transaction_ && lost_ == Lost::kNothing) {
      wait = net::Wait::within(shared_.settings.transaction_timeout, shared_.scope.token());
    }
    auto message = co_await stream_.read_message(wait);
    if (!message.ok()) {
      if (message.error().code() == Code::kDeadlineExceeded && in_transaction_) {
        (void)co_await end_by_force(net::Wait::within(kEndMax, shared_.scope.token()));
        continue;
      }
      if (message.error().mysql_errno() != 0) (void)co_await send_error(std::move(message).error());
      break;
    }
    if (!message->has_value() || (*message)->payload.empty()) break;
    if (static_cast<Command>((*message)->payload[0]) == Command::kQuit) break;
    reply_sequence_ = static_cast<uint8_t>((*message)->last_sequence + 1);
    answering_ = true;
    Status outcome = co_await dispatch(**message);
    answering_ = false;
    drop_doomed();
    if (!outcome.ok() || streams_) break;
  }
  co_await await_kills();
  if (!streams_) stream_.socket().close();
}

net::Socket QuerySession::take_socket() {
  stream_.socket().cancel_when_gone(nullptr);
  return std::move(stream_.socket());
}

bool QuerySession::conflicts_with(const ServingState& state, const ServingState& previous) const {
  const bool locks_tables = (left_ & sql::Left::kTableLock) != sql::Left::kNothing;
  if (!sent_ && !in_transaction_ && !locks_tables) return false;
  if (!state.serving || state.target.keyspace != target_.keyspace || state.target.shard != target_.shard ||
      state.target.tablet_type != target_.tablet_type) {
    return true;
  }
  if (!state.no_writes.empty()) {
    // What a transaction has changed so far is not known; one that began in this state can have changed nothing.
    if (in_transaction_ && previous.no_writes.empty()) return true;
    if (sent_ && current_ != nullptr && QueryGuard::changes_rows(*current_)) return true;
  }
  if (state.denied_tables.empty()) return false;
  if (touched_all_ || locks_tables) return true;
  if (std::any_of(touched_.begin(), touched_.end(), [&](const auto& t) { return state.reaches(t, true); })) return true;
  return sent_ && current_ != nullptr && QueryGuard::denied_table(*current_, "", state).has_value();
}

bool QuerySession::in_the_way_of(const TransactionHold& hold) const {
  if (!in_transaction_ && (left_ & sql::Left::kTableLock) == sql::Left::kNothing) return false;
  return hold.tables.empty() || touched_all_ || std::ranges::any_of(touched_, [&](const std::string& table) {
           return std::ranges::binary_search(hold.tables, table);
         });
}

Status QuerySession::hold_back(const Request& request) const {
  if (!shared_.hold || in_transaction_ || request.joins || target_.tablet_type != "primary") return {};
  const StatementInfo& info = *request.info;
  const bool locks = (info.effects.leaves & sql::Left::kTableLock) != sql::Left::kNothing;
  if (!request.begins && !locks && info.kind != sql::StatementKind::kBegin) return {};
  if (base::system_clock().now() >= shared_.hold->until) return {};
  const auto& tables = shared_.hold->tables;
  const bool touches = tables.empty() || !info.tables_known || info.effects.runs_unseen_code ||
                       std::ranges::any_of(info.tables, [&](const StatementInfo::Table& table) {
                         return std::ranges::binary_search(tables, table.name);
                       });
  if (!touches) return {};
  return fail(Code::kClusterEvent, "no transaction begins here now: the traffic is about to be switched")
      .with_reason(Reason::kResharding)
      .with_retry(Retry::kAfterTopologyRefresh);
}

net::Task<Status> QuerySession::end_by_force(net::Wait wait) {
  grandfathered_ = false;
  if ((!in_transaction_ && left_ == sql::Left::kNothing && !sent_) || !lease_) co_return Status{};
  shared_.metrics.statements.killed_transactions.add();
  count_aborted();
  lost_ = left_ != sql::Left::kNothing ? Lost::kState : in_transaction_ ? Lost::kTransaction : Lost::kNothing;
  const uint32_t connection = lease_->client.server().connection_id;
  ServerKiller& killer = shared_.killer;
  if (sent_ || answering_) {
    grandfathered_ = sent_;  // Until the statement has heard of it: see statement_done().
    doomed_ = forced_ = true;
    co_return co_await killer.end_connection(connection, std::move(wait));
  }
  net::MysqlPool::Lease idle = std::move(lease_);
  slot_ = {};
  touched_.clear();
  touched_all_ = false;
  Status ended = co_await killer.end_connection(connection, std::move(wait));
  idle.discard();
  co_return ended;
}

net::Task<Status> QuerySession::kill_query(net::Wait wait) {
  interrupted_ = active_;
  if (streaming_ != nullptr) streaming_->cancel();
  if (!sent_ || !lease_) co_return Status{};
  ++kills_;
  query_kills_.emplace_back(&shared_.doubt);
  Status told = co_await shared_.killer.kill_query(lease_->client.server().connection_id, std::move(wait));
  --kills_;
  shared_.session_idle.notify_all();
  co_return told;
}

Status QuerySession::admit(const StatementInfo& info, std::string_view text) {
  const ServingState& state = *shared_.state;
  const auto ends_transaction = [&] {
    return info.kind == sql::StatementKind::kCommit || info.kind == sql::StatementKind::kRollback;
  };
  if (lost_ == Lost::kTransaction) {
    return fail(Code::kAborted,
                "the transaction was rolled back: it was open for too long, or in the way of a change of "
                "the serving state; begin again")
        .with_reason(Reason::kTransactionLost);
  }
  if (!info.refusal.empty()) return QueryGuard::check(info, text, state);  // Whoever asks.
  if (lost_ == Lost::kState) {
    return fail(Code::kUnavailable,
                "what this session had left in the server (locks, temporary tables, variables) is lost: log in again")
        .with_effect(Effect::kUnknown);
  }
  // What has waited in a socket since then may be for a primary that has been replaced: also a COMMIT.
  if (shared_.standstill->stood_still() && target_.tablet_type == "primary" &&
      info.kind != sql::StatementKind::kRollback) {
    return fail(Code::kClusterEvent,
                "operation not allowed in state NOT_SERVING: this tablet stood still, and asks whether it is still the "
                "primary")
        .with_reason(Reason::kNotServing)
        .with_retry(in_transaction_ ? Retry::kNever : Retry::kAfterTopologyRefresh);
  }
  if (in_transaction_ && (grandfathered_ || ends_transaction())) return {};
  if (info.kind == sql::StatementKind::kUnlockTables) return {};
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

Status QuerySession::allow(const StatementInfo& info, std::string_view text,
                           std::span<const mysql::QueryAttribute> attributes) const {
  const bool has_rules = !shared_.rules->empty();
  if (trusted_ || (!shared_.acl->enabled() && !has_rules)) return {};
  Caller caller{.user = client_.user, .groups = {}};
  for (const auto& attribute : attributes) {
    const auto is_scratch = [](const AclNeeds::Table& table) { return table.name.starts_with(mysql::kScratchTables); };
    const bool own = info.acl.opaque.empty() && std::ranges::all_of(info.acl.tables, is_scratch);
    if (attribute.name == mysql::kScratchAttribute && own) return {};
    if (attribute.name == mysql::kUserAttribute) caller.user = attribute.value.bytes;
    if (attribute.name == mysql::kGroupsAttribute) caller.groups = base::split(attribute.value.bytes, ',');
  }
  if (has_rules) RETURN_IF_ERROR(shared_.rules->check({info, text, caller.user}));
  return shared_.acl->check(info.acl, sql::statement_kind_name(info.kind), caller);
}

net::Task<Status> QuerySession::need_connection(net::Wait wait) {
  if (lease_) co_return Status{};
  const base::TimePoint now = base::system_clock().now();
  wait.deadline = std::min(wait.deadline, now + shared_.concurrency.patience(shared_.settings.pool_timeout));
  net::MysqlPool& pool = shared_.pool_for(shape_, static_cast<uint8_t>(client_.collation));
  const size_t before = shared_.group->waiting();
  if (!shared_.patience.worth_waiting(now, before, wait.deadline - now)) {
    shared_.metrics.hopeless.add();
    co_return fail(Code::kResourceExhausted,
                   fmt::format("the MySQL server has too much to do: {} statements wait for a connection, and this one "
                               "would in vain (--queryserver-config-query-pool-timeout, --adaptive-concurrency-wait)",
                               before))
        .with_retry(Retry::kSameTarget);
  }
  const Concurrency::Waiting waiting(shared_.concurrency);
  auto lease = co_await pool.acquire(settings_, wait);
  if (lease.ok()) shared_.patience.served(base::system_clock().now());
  if (!lease.ok()) {
    if (lease.error().code() == Code::kUnavailable && shared_.settings.on_trouble) shared_.settings.on_trouble();
    co_return std::move(lease).error();
  }
  lease_ = std::move(*lease);
  if (shared_.server_version.empty()) shared_.server_version = lease_->client.server().server_version;
  co_return Status{};
}

net::Task<Status> QuerySession::on_carry_streams(std::string payload) {
  auto offer = mysql::decode_stream_offer(payload);
  if (!offer.ok()) co_return co_await send_error(std::move(offer).error());
  stream_.drop_message();
  if (!net::stream_window_fits(offer->window) || keeps_connection() || !stream_.buffered().empty()) {
    co_return co_await send_error(
        fail(Code::kFailedPrecondition,
             "streams are offered with a window that is none, or on a connection that has something under way"));
  }
  mysql::OkPacket ok = mysql::to_ok(
      {.window = net::kStreamWindow, .loops = static_cast<uint32_t>(std::max<size_t>(shared_.all.size(), 1))});
  std::string answer;
  mysql::encode_ok(answer, ok, client_.capabilities);
  std::string framed;
  mysql::PacketWriter(framed, reply_sequence_).message(answer);
  streams_ = *offer;
  co_return co_await send(std::move(framed));
}

// No coroutine: what it gives is the command's own.
net::Task<Status> QuerySession::dispatch(const mysql::MessageReader::Message& message) {
  const auto command = static_cast<Command>(message.payload[0]);
  switch (command) {
    case Command::kQuery: return on_query(message);
    case Command::kStmtExecute: return on_execute(message);
    case Command::kStmtPrepare: return on_prepare(std::string(message.payload.substr(1)));
    case Command::kPing:
      return send_ok(in_transaction_ && atomic_ && !redo_.changed() ? mysql::kStatusInTransactionReadOnly : 0);
    case Command::kResetConnection: return on_reset();
    case Command::kInitDb: {
      auto target = shard::Target::parse(message.payload.substr(1));
      if (!target.ok()) return send_error(std::move(target).error());
      if (keeps_connection()) {
        return send_error(
            fail(Code::kFailedPrecondition, "a transaction is open, or the session holds state in the server"));
      }
      target_ = std::move(*target);
      rename_.to = target_.keyspace;
      return send_ok();
    }
    case Command::kStmtClose: {
      if (auto id = mysql::decode_statement_id(message.payload); id.ok()) statements_.erase(*id);
      return done();
    }
    case Command::kStmtReset: {
      auto id = mysql::decode_statement_id(message.payload);
      if (id.ok() && statements_.contains(*id)) statements_[*id].forget_long_data();
      return send_ok();
    }
    case Command::kStmtSendLongData: {
      auto data = mysql::decode_stmt_long_data(message.payload);
      if (data.ok() && statements_.contains(data->statement_id)) add_long_data(statements_[data->statement_id], *data);
      return done();
    }
    default:
      if (static_cast<uint8_t>(message.payload[0]) == mysql::kCarryStreams && !stream_.socket().carried()) {
        return on_carry_streams(std::string(message.payload));
      }
      return send_error(
          fail(Code::kUnimplemented, fmt::format("{} is not served on the data port", mysql::command_name(command)))
              .with_mysql(mysql::errnos::kUnknownCommand, "08S01"));
  }
}

void QuerySession::Prepared::forget_long_data() {
  memory.clear_long_data();
  long_data_memory.reset();
  long_data_refused.reset();
}

void QuerySession::add_long_data(Prepared& statement, const mysql::StmtLongData& data) {
  if (statement.long_data_refused) return;
  if (statement.long_data_memory == nullptr) {
    statement.long_data_memory =
        std::make_unique<base::MemoryBudget::Hold>(memory_, base::MemoryBudget::Kind::kLongData);
  }
  Status taken = statement.long_data_memory->add(data.data.size());
  if (taken.ok()) taken = statement.memory.add_long_data(data, statement.parameters, {});
  if (taken.ok()) return;
  statement.forget_long_data();
  statement.long_data_refused = std::move(taken).error();
}

net::Task<Status> QuerySession::on_query(const mysql::MessageReader::Message& message) {
  Request request;
  request.first_sequence = reply_sequence_;
  request.text = message.payload.substr(1);
  std::vector<mysql::QueryAttribute> attributes;
  if (client_.capabilities & mysql::kClientQueryAttributes) {
    auto query = mysql::decode_query(message.payload, client_.capabilities);
    if (!query.ok()) co_return co_await send_error(std::move(query).error());
    request.text = query->text;
    auto prelude = prelude_of(query->attributes, in_transaction_, may_set_savepoints());
    if (!prelude.ok()) co_return co_await send_error(std::move(prelude).error());
    request.prelude = std::move(prelude->statements);
    request.begins = prelude->begins;
    request.joins = prelude->joins;
    request.once = prelude->once;
    request.unlimited = prelude->unlimited;
    request.atomic = prelude->atomic;
    request.weak = prelude->weak;
    attributes = std::move(query->attributes);
    if (shared_.guarded) limited_user_ = user_of(attributes);
  }
  if (request.text.starts_with(mysql::kTwoPcText) &&
      std::ranges::find(attributes, mysql::kTwoPcAttribute, &mysql::QueryAttribute::name) != attributes.end()) {
    co_return co_await on_twopc(std::string(request.text));
  }
  request.info = shared_.guard.classify(request.text);
  const StatementInfo& info = *request.info;
  if (info.kind == sql::StatementKind::kKill) co_return co_await on_kill(std::string(request.text));
  if (Status admitted = admit(info, request.text); !admitted.ok()) {
    shared_.metrics.refused.add();
    co_return co_await send_error(std::move(admitted).error());
  }
  if (Status allowed = allow(info, request.text, attributes); !allowed.ok()) {
    shared_.metrics.refused.add();
    co_return co_await send_error(std::move(allowed).error());
  }
  if (Status held = hold_back(request); !held.ok()) co_return co_await send_error(std::move(held).error());
  if (info.kind == sql::StatementKind::kSet && !info.sets_user_variable) {
    if (info.effects.runs_unseen_code) {
      co_return co_await send_error(
          fail(Code::kInvalidArgument, "a setting is set to a value, not to what code gives"));
    }
    co_return co_await on_set(std::string(request.text));
  }
  if (warnings_ && info.shows_warnings) co_return co_await send_warnings();
  if (info.next_value) co_return co_await on_next_value(std::string(request.text), request.info);
  if (info.kind == sql::StatementKind::kStream) co_return co_await on_stream(std::string(request.text));
  if (request.atomic || (atomic_ && in_transaction_)) pin_time(request);
  // One frame without attributes can go on as it came.
  if ((client_.capabilities & mysql::kClientQueryAttributes) == 0 && message.payload.size() < mysql::kMaxFramePayload) {
    request.framed = stream_.buffered().substr(0, message.consumed);
  }
  co_return co_await (shared_.query_log->wanted() ? run_logged(std::move(request)) : run_request(std::move(request)));
}

net::Task<Status> QuerySession::send_warnings() {
  std::string out;
  mysql::PacketWriter writer(out, reply_sequence_);
  mysql::ResultSetWriter result(writer, client_.capabilities);
  const uint16_t flags = mysql::kStatusAutocommit | (in_transaction_ ? mysql::kStatusInTransaction : 0);
  result.begin(warnings_->columns, flags);
  std::vector<mysql::Cell> cells;
  for (const auto& row : warnings_->rows) {
    cells.clear();
    for (const auto& cell : row) cells.push_back(cell ? mysql::Cell(*cell) : mysql::Cell());
    CO_RETURN_IF_ERROR(result.row(cells));
  }
  result.end(mysql::OkPacket{.status_flags = flags});
  co_return co_await send(std::move(out));
}

net::Task<Status> QuerySession::on_kill(std::string text) {
  auto ast = sql::parse(text);
  if (!ast.ok()) co_return co_await send_error(std::move(ast).error());
  const auto* kill = sql::statement_as<sql::Kill>(&ast->statement());
  const auto* literal = kill == nullptr || kill->query_id ? nullptr : sql::as<sql::Literal>(kill->id);
  uint32_t id = 0;
  if (literal == nullptr ||
      std::from_chars(literal->text.data(), literal->text.data() + literal->text.size(), id).ec != std::errc()) {
    co_return co_await send_error(
        fail(Code::kInvalidArgument, "give KILL [QUERY | CONNECTION] and the number of a session of this tablet"));
  }
  Status killed = co_await shared_.kill(id, !kill->query);
  if (!killed.ok()) co_return co_await send_error(std::move(killed).error());
  co_return co_await send_ok();
}

net::Task<Status> QuerySession::on_set(std::string text) {
  // Tried at once, so that a wrong value fails here; remembered, and applied to whatever connection serves this
  // session.
  const net::Wait wait = query_wait();
  if (!lease_ && shared_.server_version.empty()) {
    if (Status connected = co_await need_connection(wait); !connected.ok()) {
      co_return co_await send_error(std::move(connected).error());
    }
    if (!keeps_connection()) lease_.release();
  }
  text = mysqld::settings_for_server(text, lease_ ? lease_->client.server().server_version : shared_.server_version);
  if (lease_) {
    auto result = co_await lease_->client.query(text, wait);
    if (!result.ok()) {
      if (lease_->client.broken()) lose_connection(in_transaction_);
      co_return co_await send_error(std::move(result).error());
    }
    lease_->settings = text;
    settings_ = std::move(text);
    co_return co_await send_ok(result->ok.status_flags & mysql::kStatusNoBackslashEscapes);
  }
  const std::string before = std::exchange(settings_, std::move(text));
  if (Status connected = co_await need_connection(wait); !connected.ok()) {
    settings_ = before;
    co_return co_await send_error(std::move(connected).error());
  }
  if (!keeps_connection()) lease_.release();
  co_return co_await send_ok();
}

net::Task<Status> QuerySession::on_next_value(std::string text, std::shared_ptr<const StatementInfo> info) {
  auto request = parse_next_value(text);
  if (!request.ok()) co_return co_await send_error(std::move(request).error());
  if (target_.tablet_type != "primary") {
    co_return co_await send_error(fail(Code::kFailedPrecondition, "sequences are served by the primary only"));
  }
  co_await shared_.sequences->home().enter();
  auto value = co_await shared_.sequences->next(request->table, request->count,
                                                net::Wait::within(shared_.settings.query_timeout));
  co_await shared_.loop.enter();
  if (!value.ok()) co_return co_await send_error(std::move(value).error());
  std::string out;
  mysql::PacketWriter writer(out, reply_sequence_);
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
  auto memory = std::make_unique<base::MemoryBudget::Hold>(memory_, base::MemoryBudget::Kind::kPrepared);
  if (Status taken = memory->add(text.size() + sizeof(Prepared)); !taken.ok()) {
    co_return co_await send_error(std::move(taken).error());
  }
  const net::Wait wait = query_wait();
  if (Status connected = co_await need_connection(wait); !connected.ok()) {
    co_return co_await send_error(std::move(connected).error());
  }
  auto prepared = co_await lease_->prepare(text, kMaxPreparedPerConnection, wait, net::PooledConnection::Known::kAnew);
  std::string out;
  if (prepared.ok()) {
    mysql::PrepareOk ok = (*prepared)->ok;
    ok.statement_id = next_statement_id_++;
    std::string payload;
    mysql::encode_prepare_ok(payload, ok);
    mysql::PacketWriter(out, reply_sequence_).message(payload);
    const size_t behind = out.size();
    out += rename_.needed() ? mysql::rename_definitions((*prepared)->definitions, rename_) : (*prepared)->definitions;
    mysql::SequenceShift(static_cast<uint8_t>(reply_sequence_ - 1)).apply(out.data() + behind, out.size() - behind);
    statements_[ok.statement_id] = Prepared{std::move(text), info, ok.parameters, {}, std::move(memory), nullptr, {}};
  }
  if (lease_ && lease_->client.broken()) {
    lose_connection(in_transaction_);
  } else if (!keeps_connection()) {
    lease_.release();
  }
  if (prepared.ok()) co_return co_await send(std::move(out));
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
  Request request;
  request.info = statement.info;
  request.text = statement.text;
  request.kind = mysql::ResponseKind::kStmtExecute;
  request.first_sequence = reply_sequence_;
  request.info->counted();
  if (statement.long_data_refused) {
    Error error = std::move(*statement.long_data_refused);
    statement.forget_long_data();
    co_return co_await send_error(std::move(error));
  }
  if (Status admitted = admit(*request.info, request.text); !admitted.ok()) {
    shared_.metrics.refused.add();
    statement.forget_long_data();
    co_return co_await send_error(std::move(admitted).error());
  }
  if (execute_.parameters.capacity() > kKeptParameters) execute_ = {};
  Status decoded = mysql::decode_stmt_execute_into(execute_, message.payload, client_.capabilities,
                                                   statement.parameters, statement.memory);
  if (!decoded.ok()) co_return co_await send_error(std::move(decoded).error());
  if (Status allowed = allow(*request.info, request.text, execute_.attributes); !allowed.ok()) {
    shared_.metrics.refused.add();
    statement.forget_long_data();
    co_return co_await send_error(std::move(allowed).error());
  }
  // A cursor would tie the connection to this session until it is closed; rows are sent at once instead, as MySQL does
  // for statements that cannot have one.
  execute_.cursor_flags = 0;
  auto prelude = prelude_of(execute_.attributes, in_transaction_, may_set_savepoints());
  if (!prelude.ok()) co_return co_await send_error(std::move(prelude).error());
  request.prelude = std::move(prelude->statements);
  request.begins = prelude->begins;
  request.joins = prelude->joins;
  request.once = prelude->once;
  request.unlimited = prelude->unlimited;
  request.atomic = prelude->atomic;
  request.weak = prelude->weak;
  if (request.atomic || (atomic_ && in_transaction_)) pin_time(request);
  request.execute = &execute_;
  if (shared_.guarded) limited_user_ = user_of(execute_.attributes);
  if (Status held = hold_back(request); !held.ok()) {
    statement.forget_long_data();
    co_return co_await send_error(std::move(held).error());
  }
  Status outcome =
      co_await (shared_.query_log->wanted() ? run_logged(std::move(request)) : run_request(std::move(request)));
  if (const auto still = statements_.find(*id); still != statements_.end()) still->second.forget_long_data();
  co_return outcome;
}

net::Task<Status> QuerySession::on_reset() {
  if (keeps_connection()) lease_.discard();
  slot_ = {};
  in_transaction_ = grandfathered_ = false;
  count_aborted();
  left_ = sql::Left::kNothing;
  lost_ = Lost::kNothing;
  settings_.clear();
  statements_.clear();
  touched_.clear();
  touched_all_ = false;
  atomic_ = false;
  redo_.clear();
  pinned_.clear();
  shared_.session_idle.notify_all();
  co_return co_await send_ok();
}

net::Task<Status> QuerySession::send_error(Error error) {
  shared_.metrics.statements.count_error(error.code());
  std::string out;
  std::string payload;
  // The server's own errors pass as they are; ours carry their code to vtgate.
  const bool servers = error.mysql_errno() != 0 && error.mysql_errno() < mysql::kTabletErrnoBase;
  if (servers && shared_.settings.terse_errors) error = mysql::without_values(std::move(error));
  mysql::encode_err(payload, servers ? mysql::to_err_packet(error) : mysql::encode_tablet_error(error),
                    client_.capabilities);
  mysql::PacketWriter(out, reply_sequence_).message(payload);
  if (lost_ == Lost::kTransaction && error.code() == Code::kAborted) {  // Told: the session is usable again.
    lost_ = Lost::kNothing;
    in_transaction_ = false;
    touched_.clear();
    touched_all_ = false;
  }
  co_return co_await send(std::move(out));
}

net::Task<Status> QuerySession::send_ok(uint16_t extra_flags) {
  std::string out;
  std::string payload;
  mysql::OkPacket ok;
  // State that is lost is the session's as well, until it was told: nobody else may get this connection.
  const bool has_state = left_ != sql::Left::kNothing || lost_ == Lost::kState;
  ok.status_flags = static_cast<uint16_t>(mysql::kStatusAutocommit | extra_flags |
                                          (in_transaction_ ? mysql::kStatusInTransaction : 0) |
                                          (in_transaction_ && reads_only_ ? mysql::kStatusInTransactionReadOnly : 0) |
                                          (has_state ? mysql::kStatusSessionStateChanged : 0));
  mysql::encode_ok(payload, ok, client_.capabilities);
  // The encoder sets this flag for session tracking alone; here it tells of state (behind header and two zeros).
  mysql::set_status_flags(payload.data() + 3, ok.status_flags);
  mysql::PacketWriter(out, reply_sequence_).message(payload);
  co_return co_await send(std::move(out));
}

net::Task<Status> QuerySession::send(std::string framed) {
  const net::Wait wait = net::Wait::within(60s, shared_.scope.token());
  co_return co_await stream_.write(framed, wait);
}

}  // namespace vitrail::tablet
