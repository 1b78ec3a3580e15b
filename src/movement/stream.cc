#include "movement/stream.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "movement/schema_change.h"
#include "movement/secondary_keys.h"
#include "movement/stream_session.h"
#include "movement/throttle.h"
#include "mysqld/rows.h"
#include "sql/parser.h"

namespace vitrail::movement {
namespace {

constexpr auto kConnectTimeout = std::chrono::seconds(10);
constexpr int kLockAttempts = 10;
constexpr size_t kGroupEventsMax = 20'000;
constexpr int kTerminalAttempts = 3;
constexpr auto kThrottleLook = std::chrono::milliseconds(250);
constexpr auto kThrottleNote = std::chrono::seconds(1);
constexpr auto kProbeInterval = std::chrono::seconds(1);
constexpr auto kProbeTimeout = std::chrono::seconds(2);
constexpr int kProbesMax = 3;                             // Bad answers in a row until another source is taken.
constexpr auto kSourceLagMax = std::chrono::seconds(30);  // Of a replica behind its primary.

// Failures that trying again will hardly mend, once they have come back without any progress in between.
bool is_hopeless(const Error& error) {
  if (error.mysql_errno() != 0) return false;
  switch (error.code()) {
    case Code::kInvalidArgument:
    case Code::kUnimplemented:
    case Code::kDataLoss:
    case Code::kAlreadyExists: return true;
    default: return false;
  }
}

std::string shortened(std::string_view text) { return std::string(text.substr(0, kMessageMax)); }

// The table of a TRUNCATE.
std::optional<std::string> truncated_table(std::string_view statement) {
  const auto ast = sql::parse(statement);
  if (!ast.ok()) return std::nullopt;
  const auto* ddl = sql::statement_as<sql::Ddl>(&ast->statement());
  if (ddl == nullptr || ddl->action != sql::DdlAction::kTruncate || ddl->names.empty()) return std::nullopt;
  return std::string(ddl->names[0].name.name.text);
}

}  // namespace

Stream::Stream(const StreamContext& context, int32_t id)
    : context_(context), id_(id), tuned_(default_stream_options(context.options)) {
  record_.id = id;
}

Stream::~Stream() = default;

base::Duration Stream::lag() const { return context_.options.clock->now() - fresh_at_; }

KeyOwner Stream::key_owner() const { return {id_, record_.workflow, record_.db_name}; }

::query::Target Stream::source_target() const {
  ::query::Target target;
  target.set_keyspace(record_.source.keyspace());
  target.set_shard(record_.source.shard());
  target.set_tablet_type(endpoint_.type);
  target.set_cell(endpoint_.alias.cell());
  return target;
}

const TablePlan* Stream::aggregation(std::string_view table) const {
  const TablePlan* plan = plan_ ? plan_->find(table) : nullptr;
  return plan != nullptr && plan->query.is_aggregate() ? plan : nullptr;
}

const TablePlan* Stream::derivation(std::string_view table) const {
  const TablePlan* plan = plan_ ? plan_->find(table) : nullptr;
  return plan != nullptr && plan->query.has_expressions() ? plan : nullptr;
}

std::string Stream::row_query(std::string_view table) const {
  if (adds_up(table) || derivation(table) != nullptr) return plan_->source_query(table);
  const std::string text(filter_->find_text(table));
  const std::string name = mysqld::quote_identifier(table);
  if (text.empty()) return fmt::format("select * from {}", name);
  if (base::to_lower(std::string_view(text).substr(0, 6)) == "select") return text;
  return fmt::format("select * from {} where in_keyrange('{}')", name, text);
}

bool Stream::carries(std::string_view table) const {
  return filter_ && !is_internal_table(table) && filter_->find(table) != nullptr;
}

std::string Stream::target_condition(std::string_view table) const {
  if (tuned_.tenant_id.empty() || !filter_) return "";
  const RowQuery* query = filter_->find(table);
  if (query == nullptr) return "";
  std::string out;
  for (const auto& term : query->comparisons) {
    if (term.op != ComparisonTerm::Op::kEqual) continue;
    out += (out.empty() ? "" : " AND ") + comparison_sql(term);
  }
  return out;
}

net::Task<void> Stream::run(net::CancelToken cancel) {
  cancel_ = std::move(cancel);
  base::Duration delay = tuned_.retry_delay_min;
  int failures = 0;
  base::TimePoint failing_since;
  while (!ended_ && !cancel_.cancelled()) {
    const uint64_t before = progress_;
    Status status = co_await run_session();
    following_ = false;
    channel_.reset();
    changed_.notify_all();
    if (ended_ || cancel_.cancelled()) break;
    if (status.has_value()) continue;
    if (progress_ != before || failures == 0) {
      delay = tuned_.retry_delay_min;
      failures = 0;
      failing_since = context_.options.clock->now();
      careful_ = false;
    }
    ++failures;
    // A row that is there already is looked at more closely by the next session.
    const bool duplicate = status.error().mysql_errno() == 1062 && !careful_;
    if (duplicate) {
      careful_ = true;
      continue;
    }
    ++candidate_;  // Whatever it was, another source may do better.
    if (context_.errors != nullptr) context_.errors->add();
    const bool given_up =
        tuned_.retry_max > base::Duration::zero() && context_.options.clock->now() - failing_since >= tuned_.retry_max;
    const bool terminal = given_up || (is_hopeless(status.error()) && failures >= kTerminalAttempts);
    co_await record_error(status.error(), terminal);
    if (terminal) {
      ended_ = true;
      break;
    }
    (void)co_await net::sleep_for(delay, cancel_);
    delay = std::min(delay * 2, tuned_.retry_delay_max);
  }
  ended_ = true;
  changed_.notify_all();
}

net::Task<void> Stream::record_error(Error error, bool terminal) {
  // As the applying account: on a server that is read-only by now this must fail, and is then nobody's business here.
  const net::Wait wait = net::Wait::within(std::chrono::seconds(10), cancel_);
  const std::string message = shortened((terminal ? "terminal error: " : "") + error.message());
  if (terminal || log_limit_.allow()) {
    log_warning("stream {}: {} ({}; {} similar before)", id_,
                terminal ? "ended with an error" : "failed, will try again", base::code_name(error.code()),
                log_limit_.suppressed());
  }
  auto session = co_await ServerSession::open(context_.apply_login(), mysqld::ConnectionPurpose::kDba, wait);
  if (!session.ok()) co_return;
  const std::string state = terminal ? fmt::format(", state = '{}'", state_word(::binlogdata::Error)) : "";
  auto updated = co_await (*session)->query(
      fmt::format("UPDATE _vt.vreplication SET message = {}{} WHERE id = {}", sql_text(message), state, id_), wait);
  if (!updated.ok()) co_return;
  record_.message = message;
  if (terminal) record_.state = ::binlogdata::Error;
  (void)co_await log_stream(**session, id_, kLogError, state_word(record_.state), message, wait);
}

net::Task<Status> Stream::run_session() {
  Session session(wake_, cancel_);
  Status status = co_await [](Stream& self, Session& session) -> net::Task<Status> {
    const net::Wait wait = net::Wait::within(kConnectTimeout, self.cancel_);
    CO_ASSIGN_OR_RETURN(session.server, co_await ServerSession::open(self.context_.apply_login(),
                                                                     mysqld::ConnectionPurpose::kApply, wait));
    CO_RETURN_IF_ERROR(co_await session.server->run(apply_session_settings(), wait));
    CO_RETURN_IF_ERROR(co_await self.take_lock(session));
    CO_ASSIGN_OR_RETURN(self.record_, co_await load_stream(*session.server, self.id_, wait));
    if (!self.record_.may_run()) {
      self.ended_ = true;
      co_return Status{};
    }
    CO_ASSIGN_OR_RETURN(self.tuned_, read_stream_options(self.record_.options, self.context_.options));
    CO_RETURN_IF_ERROR(
        co_await session.server->run({fmt::format("SET SESSION net_read_timeout = {}, SESSION net_write_timeout = {}",
                                                  self.tuned_.net_read_timeout, self.tuned_.net_write_timeout)},
                                     wait));
    self.position_ = {};
    self.position_text_ = self.record_.pos;
    self.transaction_timestamp_ = self.record_.transaction_timestamp;
    if (!self.record_.pos.empty()) {
      CO_ASSIGN_OR_RETURN(self.position_, mysql::Position::parse(self.record_.pos));
    }
    self.saved_position_ = self.position_;
    self.changed_.notify_all();
    CO_ASSIGN_OR_RETURN(Filter filter, Filter::create(self.record_.source.filter(), true));
    self.filter_.emplace(std::move(filter));
    CO_ASSIGN_OR_RETURN(StreamPlan plan, StreamPlan::create(self.record_.source.filter()));
    self.plan_.emplace(std::move(plan));
    CO_ASSIGN_OR_RETURN(session.tables,
                        co_await load_tables(*session.server, self.record_.db_name, std::nullopt, wait));
    CO_ASSIGN_OR_RETURN(const auto load, co_await session.server->query("SELECT @@local_infile", wait));
    session.may_load = self.context_.options.use_load_data && load.text(0, 0) == "1";
    session.applier = std::make_unique<Applier>(*session.server, session.scope, self.id_, self.record_.db_name,
                                                session.tables, session.may_load);
    session.applier->set_careful(self.careful_);
    session.applier->set_plan(&*self.plan_);
    session.deriver = std::make_unique<Deriver>(self.context_.apply_login());
    if (self.time_zones().differ()) {
      session.zones = std::make_unique<ZoneConverter>(self.context_.apply_login(), self.time_zones());
    }
    CO_ASSIGN_OR_RETURN(session.copy_states, co_await load_copy_state(*session.server, self.id_, wait));
    CO_RETURN_IF_ERROR(co_await self.connect_source(session));
    session.scope.spawn(self.watch_source(session));
    if (session.copy_states.empty() && self.record_.pos.empty()) CO_RETURN_IF_ERROR(co_await self.begin_copy(session));
    if (self.is_atomic() && !session.copy_states.empty() && !self.record_.pos.empty()) {
      CO_RETURN_IF_ERROR(co_await self.begin_copy_again(session));
    }
    if (!self.record_.message.empty()) {
      auto cleared = co_await session.server->query(
          fmt::format("UPDATE _vt.vreplication SET message = '' WHERE id = {}", self.id_), write_wait());
      if (!cleared.ok()) co_return std::move(cleared).error();
      self.record_.message.clear();
    }
    if (!self.position_text_.empty()) self.start_events(session);
    if (!session.copy_states.empty()) CO_RETURN_IF_ERROR(co_await self.copy(session));
    if (self.ended_) co_return Status{};
    co_return co_await self.follow(session);
  }(*this, session);
  session.scope.request_stop();
  co_await session.scope.join();
  if (session.snapshot) co_await session.snapshot->close();
  if (session.server) session.server->client().close();
  co_return status;
}

net::Task<Status> Stream::take_lock(Session& session) {
  const std::string name = fmt::format("'vitrail.vreplication.{}'", id_);
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    const net::Wait wait = net::Wait::within(kConnectTimeout, cancel_);
    CO_ASSIGN_OR_RETURN(const auto got,
                        co_await session.server->query(fmt::format("SELECT GET_LOCK({}, 1)", name), wait));
    if (got.text(0, 0) == "1") co_return co_await CopyLanes::end_earlier(*session.server, id_, cancel_);
    // A connection of a process that hangs, or was killed while its server was busy for it.
    CO_ASSIGN_OR_RETURN(const auto holder,
                        co_await session.server->query(fmt::format("SELECT IS_USED_LOCK({})", name), wait));
    if (holder.text(0, 0).empty()) continue;
    (void)co_await session.server->query(fmt::format("KILL {}", holder.text(0, 0)), wait);
  }
  co_return fail(Code::kUnavailable, fmt::format("another connection applies stream {} and does not end", id_));
}

net::Task<Status> Stream::connect_source(Session& session) {
  (void)session;
  SourceQuery query;
  query.cluster = record_.source.external_cluster();
  query.keyspace = record_.source.keyspace();
  query.shard = record_.source.shard();
  for (const std::string_view cell : base::split_list(record_.cell)) query.cells.emplace_back(cell);
  TabletTypes types = parse_tablet_types(record_.tablet_types);
  query.types = std::move(types.types);
  query.in_order = types.in_order;
  if (query.keyspace.empty()) co_return fail(Code::kInvalidArgument, "the stream names no source keyspace");
  auto found = co_await context_.options.sources->candidates(std::move(query));
  if (!found.ok()) co_return std::move(found).error();
  if (found->empty()) {
    co_return fail(Code::kUnavailable, fmt::format("no tablet of {}/{} can be a source", record_.source.keyspace(),
                                                   record_.source.shard()));
  }
  candidates_ = found->size();
  rpc::ChannelOptions options = context_.options.channel;
  options.message_size_max = rpc::kRowMessageSizeMax;
  // The first one that has what its primary has; when none does, the one whose turn it is.
  for (size_t i = 0; i <= candidates_; ++i) {
    endpoint_ = (*found)[(candidate_ + i) % candidates_];
    CO_ASSIGN_OR_RETURN(channel_, rpc::Channel::create(endpoint_.address, options));
    const SourceHealth health =
        co_await probe_source(channel_, endpoint_.type, net::Wait::within(kProbeTimeout, cancel_));
    if (i < candidates_ && (!health.replicating || health.lag > kSourceLagMax)) continue;
    source_fresh_at_ = {};
    note_source(health);
    break;
  }
  co_return Status{};
}

void Stream::note_source(const SourceHealth& health) {
  if (health.replicating) source_fresh_at_ = context_.options.clock->now() - health.lag;
}

net::Task<void> Stream::watch_source(Session& session) {
  if (endpoint_.type == ::topodata::PRIMARY) co_return;
  int bad = 0;
  while (!session.scope.stopping()) {
    (void)co_await net::sleep_for(kProbeInterval, session.scope.token());
    if (session.scope.stopping()) co_return;
    const SourceHealth health =
        co_await probe_source(channel_, endpoint_.type, net::Wait::within(kProbeTimeout, session.scope.token()));
    note_source(health);
    bad = health.replicating && health.lag <= kSourceLagMax ? 0 : bad + 1;
    if (bad < kProbesMax || candidates_ < 2) continue;
    session.source_failed =
        fail(Code::kUnavailable,
             fmt::format("the source tablet {}-{} {}: another one is looked for", endpoint_.alias.cell(),
                         endpoint_.alias.uid(),
                         health.replicating ? "lags far behind its primary" : "has stopped replicating"));
    wake_.notify_all();
    co_return;
  }
}

void Stream::start_events(Session& session) {
  if (session.events_started) return;
  session.events_started = true;
  ::binlogdata::VStreamRequest request;
  *request.mutable_target() = source_target();
  request.set_position(position_text_);
  *request.mutable_filter() = plan_->source_filter();
  session.scope.spawn(session.events.run(
      rpc::open_stream<::binlogdata::VStreamResponse>(*channel_, "/queryservice.Query/VStream", request),
      session.scope.token()));
}

// --- applying -------------------------------------------------------------------------------------------------------

Status Stream::set_position(std::string position) {
  ASSIGN_OR_RETURN(position_, mysql::Position::parse(position));
  position_text_ = std::move(position);
  return {};
}

net::Task<Status> Stream::commit(Session& session, std::string more, std::vector<std::string> extra) {
  // The moment as of which the target has all that the source had: what lag is counted from.
  if (fresh_at_ != base::TimePoint()) {
    const auto behind = std::chrono::ceil<std::chrono::seconds>(lag());
    more += fmt::format(", time_heartbeat = {}", unix_now() - behind.count());
  }
  CO_RETURN_IF_ERROR(
      co_await session.applier->commit(position_text_, transaction_timestamp_, std::move(more), std::move(extra)));
  session.saved_at = context_.options.clock->now();
  saved_position_ = position_;
  if (record_.pos != position_text_) ++progress_;
  record_.pos = position_text_;
  record_.time_updated = unix_now();
  record_.transaction_timestamp = transaction_timestamp_;
  if (context_.commits != nullptr) context_.commits->add();
  changed_.notify_all();
  co_return Status{};
}

// A TRUNCATE removes rows without row events: whatever is done with schema changes, the copy loses its rows too.
net::Task<Result<bool>> Stream::is_alone(Session& session) {
  CO_ASSIGN_OR_RETURN(
      const auto others,
      co_await session.server->query(
          fmt::format("SELECT COUNT(*) FROM _vt.vreplication WHERE workflow = {} AND db_name = {} AND id <> "
                      "{}",
                      sql_text(record_.workflow), sql_text(record_.db_name), id_),
          write_wait()));
  co_return others.text(0, 0) == "0";
}

net::Task<Status> Stream::handle_truncate(Session& session, std::string table, std::string statement) {
  if (!carries(table) || !session.tables.contains(table)) co_return Status{};
  CO_ASSIGN_OR_RETURN(const bool alone, co_await is_alone(session));
  if (!alone) {
    co_return co_await finish(
        session, ::binlogdata::Stopped,
        fmt::format("Stopped at DDL {}: which rows of the copy came from this source is not known", statement));
  }
  const std::string own = target_condition(table);
  co_return co_await commit(session, {},
                            {fmt::format("DELETE FROM {}.{}{}{}", mysqld::quote_identifier(record_.db_name),
                                         mysqld::quote_identifier(table), own.empty() ? "" : " WHERE ", own)});
}

net::Task<Status> Stream::handle_ddl(Session& session, std::string statement) {
  if (auto table = truncated_table(statement)) {
    co_return co_await handle_truncate(session, plan_->target_of(*table), std::move(statement));
  }
  const auto action = record_.source.on_ddl();
  // What would make the copy another one, unseen, is not passed over.
  const bool replaces =
      replaces_rows(statement) && std::ranges::any_of(changed_objects(statement).tables, [&](auto& name) {
        const std::string target = plan_->target_of(name.table);
        return carries(target) && session.tables.contains(target);
      });
  const auto stop_at_replaced = [&] {
    return finish(session, ::binlogdata::Stopped,
                  fmt::format("Stopped at DDL {}: rows come or go with it, of which the log says nothing; start the "
                              "workflow to pass over it, and compare (VDiff, VDiff repair)",
                              statement));
  };
  if (action == ::binlogdata::IGNORE && !replaces) co_return Status{};
  if (action == ::binlogdata::IGNORE) co_return co_await stop_at_replaced();
  if (action == ::binlogdata::STOP) {
    co_return co_await finish(session, ::binlogdata::Stopped, fmt::format("Stopped at DDL {}", statement));
  }
  // Of several sources each has the statement in its log, and rows of the others would go with the first.
  if (replaces) {
    CO_ASSIGN_OR_RETURN(const bool alone, co_await is_alone(session));
    if (!alone) co_return co_await stop_at_replaced();
  }
  // The change may be one of a key that the copy goes without.
  CO_RETURN_IF_ERROR(co_await restore_all_keys(*session.server, key_owner(), cancel_));
  CO_ASSIGN_OR_RETURN(
      const ChangeResult done,
      co_await carry_out_once(*session.server, {id_, record_.db_name, position_text_, statement}, write_wait()));
  if (done.outcome == ChangeOutcome::kUnknown) {
    co_return co_await finish(session, ::binlogdata::Stopped,
                              fmt::format("Stopped at DDL {}: whether it was carried out before the server or tablet "
                                          "died cannot be told; see to it, and start the workflow",
                                          statement));
  }
  if (done.outcome == ChangeOutcome::kRefused && action == ::binlogdata::EXEC) co_return Error(*done.refusal);
  if (done.outcome == ChangeOutcome::kRefused && replaces) co_return co_await stop_at_replaced();
  CO_ASSIGN_OR_RETURN(session.tables,
                      co_await load_tables(*session.server, record_.db_name, std::nullopt, write_wait()));
  co_return co_await commit(session, {}, {forget_change(id_)});
}

net::Task<Status> Stream::apply_group(Session& session, const mysql::Position* stop) {
  Applier& applier = *session.applier;
  size_t taken = 0;
  bool moved = false;
  while (!ended_) {
    if (session.events.empty()) {
      if (!session.in_transaction) break;
      // The rest of a transaction is on its way.
      if (session.events.error()) break;
      CO_RETURN_IF_ERROR(co_await wake_.wait(net::Wait::until(base::TimePoint::max(), cancel_)));
      continue;
    }
    ::binlogdata::VEvent event = session.events.take();
    ++taken;
    bool boundary = false;
    switch (event.type()) {
      case ::binlogdata::BEGIN: session.in_transaction = true; break;
      case ::binlogdata::FIELD:
        event.mutable_field_event()->set_table_name(plan_->target_of(event.field_event().table_name()));
        CO_RETURN_IF_ERROR(bind_derived(session, *event.mutable_field_event()));
        if (applier.must_flush_before(event.field_event())) CO_RETURN_IF_ERROR(co_await applier.flush());
        CO_RETURN_IF_ERROR(applier.set_fields(event.field_event()));
        if (session.zones) {
          const auto& fields = event.field_event().fields();
          session.dates[event.field_event().table_name()] = {static_cast<size_t>(fields.size()),
                                                             datetime_fields(fields)};
        }
        break;
      case ::binlogdata::ROW:
        event.mutable_row_event()->set_table_name(plan_->target_of(event.row_event().table_name()));
        if (session.zones) CO_RETURN_IF_ERROR(co_await convert_event(session, *event.mutable_row_event()));
        CO_RETURN_IF_ERROR(co_await derive_event(session, *event.mutable_row_event()));
        CO_RETURN_IF_ERROR(applier.add(std::move(*event.mutable_row_event())));
        if (applier.bytes() > 4 * tuned_.group_bytes_max) CO_RETURN_IF_ERROR(co_await applier.flush());
        break;
      case ::binlogdata::GTID: session.next_gtid = event.gtid(); break;
      case ::binlogdata::COMMIT:
      case ::binlogdata::OTHER:
      case ::binlogdata::DDL:
        if (event.type() == ::binlogdata::COMMIT && context_.transactions != nullptr) context_.transactions->add();
        session.in_transaction = false;
        // What came before a statement has a position of its own: whoever dies in between has yet to meet the
        // statement.
        if (event.type() == ::binlogdata::DDL && applier.has_rows()) CO_RETURN_IF_ERROR(co_await commit(session));
        CO_RETURN_IF_ERROR(set_position(session.next_gtid));
        if (event.timestamp() != 0) {
          transaction_timestamp_ = event.timestamp();
          const auto age = std::chrono::seconds(std::max<int64_t>(0, unix_now() - event.timestamp()));
          fresh_at_ = context_.options.clock->now() - age;
        }
        if (event.type() == ::binlogdata::DDL) CO_RETURN_IF_ERROR(co_await handle_ddl(session, event.statement()));
        boundary = true;
        moved = true;
        break;
      case ::binlogdata::HEARTBEAT:
        if (event.throttled()) {
          CO_RETURN_IF_ERROR(co_await note_throttled(session, "vstreamer", event.throttled_reason()));
          break;
        }
        if (!session.events.empty()) break;
        fresh_at_ = endpoint_.type == ::topodata::PRIMARY ? context_.options.clock->now() : source_fresh_at_;
        break;
      case ::binlogdata::ROLLBACK:
        co_return fail(Code::kUnimplemented, "the source rolled back a transaction after it was sent");
      default: break;  // JOURNAL, VERSION ...: of no meaning to a copy.
    }
    if (!boundary) continue;
    if (stop != nullptr) {
      CO_ASSIGN_OR_RETURN(const bool reached, position_.at_least(*stop));
      if (reached) break;
    }
    if (applier.bytes() >= tuned_.group_bytes_max || taken >= kGroupEventsMax) break;
  }
  if (ended_ || session.in_transaction) {
    if (session.in_transaction && session.events.error()) co_return *session.events.error();
    co_return Status{};
  }
  if (applier.has_rows()) co_return co_await commit(session);
  // Nothing but the position: that is not worth a write each time, unless somebody waits for it.
  if (moved && waiters_ > 0) co_return co_await commit(session);
  co_return Status{};
}

net::Wait Stream::idle_wait(const Session& session) const {
  return net::Wait::until(session.saved_at + tuned_.heartbeat_interval, cancel_);
}

net::Task<Status> Stream::step(Session& session, const mysql::Position* stop) {
  if (session.source_failed && !session.in_transaction) co_return *session.source_failed;
  if (session.events.empty()) co_return co_await rest(session);
  CO_ASSIGN_OR_RETURN(const bool throttled, co_await obey_throttle(session, "vplayer"));
  if (throttled) co_return Status{};
  co_return co_await apply_group(session, stop);
}

net::Task<Result<bool>> Stream::obey_throttle(Session& session, std::string_view component) {
  Throttle* throttle = context_.options.throttle;
  if (throttle == nullptr || session.in_transaction || waiters_ > 0 || hold_ != nullptr) co_return false;
  auto reason = throttle->reason_to_wait(fmt::format("{}:{}:vreplication", component, record_.workflow));
  if (!reason) co_return false;
  CO_RETURN_IF_ERROR(co_await note_throttled(session, component, std::move(*reason)));
  const base::TimePoint until = base::system_clock().now() + kThrottleLook;
  while (waiters_ == 0 && hold_ == nullptr && base::system_clock().now() < until) {
    Status woken = co_await wake_.wait(net::Wait::until(until, cancel_));
    if (!woken.has_value() && woken.error().code() != Code::kDeadlineExceeded) co_return std::move(woken).error();
  }
  co_return true;
}

namespace {

std::vector<::query::Row*> rows_of(::binlogdata::RowEvent& event) {
  std::vector<::query::Row*> rows;
  for (auto& change : *event.mutable_row_changes()) {
    if (change.has_before()) rows.push_back(change.mutable_before());
    if (change.has_after()) rows.push_back(change.mutable_after());
  }
  return rows;
}

}  // namespace

net::Task<Status> Stream::convert_event(Session& session, ::binlogdata::RowEvent& event) {
  const auto dates = session.dates.find(event.table_name());
  if (dates == session.dates.end()) co_return Status{};
  co_return co_await session.zones->convert(rows_of(event), dates->second.columns, dates->second.fields, write_wait());
}

Status Stream::bind_derived(Session& session, ::binlogdata::FieldEvent& event) {
  const TablePlan* plan = derivation(event.table_name());
  if (plan == nullptr) return {};
  const auto schema = session.tables.find(event.table_name());
  if (schema == session.tables.end()) return {};  // The applier says that.
  ASSIGN_OR_RETURN(DerivedColumns columns, DerivedColumns::bind(*plan, schema->second, event.fields()));
  *event.mutable_fields() = columns.fields();
  session.derived.insert_or_assign(event.table_name(), std::move(columns));
  return {};
}

net::Task<Status> Stream::derive_event(Session& session, ::binlogdata::RowEvent& event) {
  const auto columns = session.derived.find(event.table_name());
  if (columns == session.derived.end()) co_return Status{};
  co_return co_await session.deriver->derive(columns->second, rows_of(event), write_wait());
}

net::Task<Status> Stream::convert_chunk(Session& session, Chunk& chunk,
                                        const google::protobuf::RepeatedPtrField<::query::Field>& fields) {
  std::vector<::query::Row*> rows;
  for (auto& response : chunk.responses) {
    for (auto& row : *response.mutable_rows()) rows.push_back(&row);
  }
  co_return co_await session.zones->convert(std::move(rows), static_cast<size_t>(fields.size()),
                                            datetime_fields(fields), write_wait());
}

net::Task<Status> Stream::note_throttled(Session& session, std::string_view component, std::string reason) {
  const base::TimePoint now = base::system_clock().now();
  if (now < throttled_noted_at_ + kThrottleNote || session.in_transaction) co_return Status{};
  throttled_noted_at_ = now;
  auto noted = co_await session.server->query(
      fmt::format("UPDATE _vt.vreplication SET time_throttled = {}, component_throttled = {}, reason_throttled = {} "
                  "WHERE id = {}",
                  unix_now(), sql_text(component), sql_text(std::string_view(reason).substr(0, 250)), id_),
      write_wait());
  if (!noted.ok()) co_return std::move(noted).error();
  co_return Status{};
}

net::Task<Status> Stream::rest(Session& session) {
  if (session.source_failed) co_return *session.source_failed;
  if (session.snapshot && session.snapshot->error()) co_return *session.snapshot->error();
  if (session.events.error()) co_return *session.events.error();
  const bool unsaved = record_.pos != position_text_;
  const bool due = context_.options.clock->now() >= session.saved_at + tuned_.heartbeat_interval;
  if ((unsaved && waiters_ > 0) || (due && !position_text_.empty() && session.events_started)) {
    co_return co_await commit(session);
  }
  const net::Wait wait = idle_wait(session);
  Status woken = co_await wake_.wait(due ? net::Wait::within(tuned_.heartbeat_interval, cancel_) : wait);
  if (!woken.has_value() && woken.error().code() != Code::kDeadlineExceeded) co_return std::move(woken).error();
  co_return Status{};
}

net::Task<Result<Stream::Advance>> Stream::advance_to(Session& session, mysql::Position stop) {
  for (;;) {
    CO_ASSIGN_OR_RETURN(const bool reached, position_.at_least(stop));
    if (reached) break;
    CO_RETURN_IF_ERROR(co_await step(session, &stop));
    if (ended_) co_return fail(Code::kFailedPrecondition, "the stream was stopped by a statement of the source");
  }
  CO_ASSIGN_OR_RETURN(const bool exact, stop.at_least(position_));
  co_return exact ? Advance::kReached : Advance::kBeyond;
}

net::Task<Status> Stream::finish(Session& session, ::binlogdata::VReplicationWorkflowState state, std::string message) {
  message = shortened(message);
  CO_RETURN_IF_ERROR(
      co_await commit(session, fmt::format(", state = '{}', message = {}", state_word(state), sql_text(message))));
  record_.state = state;
  record_.message = message;
  ended_ = true;
  (void)co_await log_stream(*session.server, id_, kLogState, state_word(state), message, write_wait());
  co_return Status{};
}

// --- following ------------------------------------------------------------------------------------------------------

net::Task<Status> Stream::follow(Session& session) {
  if (record_.state != ::binlogdata::Running) {
    auto updated = co_await session.server->query(
        fmt::format("UPDATE _vt.vreplication SET state = '{}' WHERE id = {}", state_word(::binlogdata::Running), id_),
        write_wait());
    if (!updated.ok()) co_return std::move(updated).error();
    record_.state = ::binlogdata::Running;
    CO_RETURN_IF_ERROR(
        co_await log_stream(*session.server, id_, kLogState, state_word(record_.state), "", write_wait()));
  }
  mysql::Position stop;
  const bool stops = !record_.stop_pos.empty();
  if (stops) {
    CO_ASSIGN_OR_RETURN(stop, mysql::Position::parse(record_.stop_pos));
  }
  following_ = true;
  changed_.notify_all();
  while (!ended_) {
    if (cancel_.cancelled()) {
      // Leave with what is known: the next life goes on from there.
      if (record_.pos != position_text_ && !session.in_transaction) co_return co_await commit(session);
      co_return fail(Code::kCanceled, "the stream is being stopped");
    }
    if (stops) {
      CO_ASSIGN_OR_RETURN(const bool reached, position_.at_least(stop));
      if (reached) {
        co_return co_await finish(session, ::binlogdata::Stopped,
                                  fmt::format("Stopped at position {}", position_text_));
      }
    }
    if (hold_ != nullptr) {
      CO_RETURN_IF_ERROR(co_await serve_hold(session));
      continue;
    }
    Status stepped = co_await step(session, stops ? &stop : nullptr);
    if (!stepped.has_value() && stepped.error().code() != Code::kCanceled) co_return stepped;
  }
  co_return Status{};
}

net::Task<Status> Stream::serve_hold(Session& session) {
  while (hold_ != nullptr) {
    if (cancel_.cancelled()) co_return fail(Code::kCanceled, "the stream is being stopped");
    if (!hold_->held_) {  // Also the next one, which came before this coroutine heard of the end of the last.
      hold_->held_ = true;
      changed_.notify_all();
    }
    if (!hold_->target_) {
      Status woken = co_await wake_.wait(net::Wait::until(base::TimePoint::max(), cancel_));
      if (!woken.has_value()) co_return std::move(woken).error();
      continue;
    }
    const uint64_t asker = hold_->number_;
    const mysql::Position target = std::move(*hold_->target_);
    hold_->target_.reset();
    auto advanced = co_await advance_to(session, target);
    if (!advanced.ok()) co_return std::move(advanced).error();
    if (hold_ == nullptr || hold_->number_ != asker) continue;
    hold_->reached_ = *advanced == Advance::kReached
                          ? Status{}
                          : Status(fail(Code::kAborted, "the stream has gone beyond this position"));
    changed_.notify_all();
  }
  co_return Status{};
}

Stream::Hold::~Hold() {
  if (stream_.hold_ != this) return;
  stream_.hold_ = nullptr;
  stream_.wake_.notify_all();
}

net::Task<Status> Stream::Hold::acquire(net::Wait wait) {
  if (!stream_.following_)
    co_return fail(Code::kFailedPrecondition, fmt::format("stream {} is not running", stream_.id_));
  if (stream_.hold_ != nullptr)
    co_return fail(Code::kFailedPrecondition, fmt::format("stream {} is held already", stream_.id_));
  stream_.hold_ = this;
  number_ = ++stream_.holds_;
  held_ = false;
  stream_.wake_.notify_all();
  while (!held_) {
    if (!stream_.following_)
      co_return fail(Code::kFailedPrecondition, fmt::format("stream {} is not running", stream_.id_));
    CO_RETURN_IF_ERROR(co_await stream_.changed_.wait(wait));
  }
  co_return Status{};
}

net::Task<Status> Stream::Hold::run_to(mysql::Position position, net::Wait wait) {
  reached_.reset();
  target_ = std::move(position);
  stream_.wake_.notify_all();
  while (!reached_) {
    if (!stream_.following_ || stream_.hold_ != this) {
      co_return fail(Code::kFailedPrecondition, fmt::format("stream {} has stopped running", stream_.id_));
    }
    CO_RETURN_IF_ERROR(co_await stream_.changed_.wait(wait));
  }
  co_return *reached_;
}

net::Task<Status> Stream::wait_for(mysql::Position position, net::Wait wait) {
  struct Waiting {
    explicit Waiting(int& count) : count(count) { ++count; }
    ~Waiting() { --count; }
    int& count;
  } waiting(waiters_);
  wake_.notify_all();
  for (;;) {
    CO_ASSIGN_OR_RETURN(const bool reached, saved_position_.at_least(position));
    if (reached && !record_.pos.empty()) co_return Status{};
    if (ended_) {
      co_return fail(Code::kFailedPrecondition, fmt::format("stream {} is {} at {}: {}", id_, state_word(record_.state),
                                                            record_.pos, record_.message));
    }
    CO_RETURN_IF_ERROR(co_await changed_.wait(wait));
  }
}

}  // namespace vitrail::movement
