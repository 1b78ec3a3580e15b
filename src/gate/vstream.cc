#include "gate/vstream.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "gate/vstream_shards.h"
#include "movement/inbox.h"
#include "movement/row_stream.h"
#include "mysql/gtid.h"
#include "net/scope.h"
#include "topo/tablet.h"
#include "vtgate.pb.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;
using ::binlogdata::VEvent;
using mysql::Position;

constexpr uint64_t kPieceBytes = 8u << 20;  // Of a transaction that is sent as a whole.
constexpr uint64_t kChunkBytes = 1u << 20;
constexpr base::Duration kPauseMin = 100ms, kPauseMax = 2s;  // Between attempts to read a shard.
constexpr base::Duration kPatience = 30s;                    // With errors that another tablet may not have.

// Reads on from another tablet, or from the same one later.
bool is_passing(const Error& error) {
  using enum Code;
  const Code code = error.code();
  return code == kUnavailable || code == kDeadlineExceeded || code == kClusterEvent || code == kAborted ||
         code == kCanceled || code == kResourceExhausted;
}

bool is_final(const Error& error) {
  return error.code() == Code::kInvalidArgument || error.code() == Code::kUnimplemented;
}

VEvent make(::binlogdata::VEventType type, const ShardName& shard) {
  VEvent event;
  event.set_type(type);
  const auto now = base::system_clock().wall_now().time_since_epoch();
  event.set_timestamp(std::chrono::duration_cast<std::chrono::seconds>(now).count());
  event.set_current_time(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  event.set_keyspace(shard.first);
  event.set_shard(shard.second);
  return event;
}

class VStream {
 public:
  VStream(VStreamContext context, ::vtgate::VStreamRequest request, rpc::TypedWriter<::vtgate::VStreamResponse> writer,
          const net::CancelToken& cancel)
      : context_(std::move(context)), request_(std::move(request)), writer_(writer), scope_(cancel) {}

  net::Task<Status> run();

 private:
  // One shard that is read, from one tablet at a time.
  struct Reader {
    explicit Reader(ShardName shard) : name(std::move(shard)) {}
    const ShardName name;
    bool copied = true;  // Nothing is left to be copied.
  };
  // What is there while one tablet is read.
  struct Session {
    Session(VStream& stream, Reader& who, const net::CancelToken& cancel)
        : reader(who), at(stream.position_->of(who.name)), scope(cancel), inbox(wake) {}
    Reader& reader;
    ::binlogdata::ShardGtid& at;
    net::Scope scope;
    net::Signal wake;
    movement::EventInbox inbox;
    std::shared_ptr<rpc::Channel> channel;
    ::query::Target target;
    bool events_started = false;
    std::vector<VEvent> transaction;  // What is to be sent.
    uint64_t bytes = 0;
    std::optional<net::Mutex::Guard> sending;  // Held from the first piece of a transaction to its last.
    std::optional<::binlogdata::Journal> journal;
  };
  // What the copy of one table has come to.
  enum class Copied : uint8_t { kAll, kAgain };

  Status check();
  void start(const ShardName& shard);
  net::Task<void> follow(std::shared_ptr<Reader> reader);
  net::Task<Status> read_any(Reader& reader);
  net::Task<Status> read(Reader& reader, const movement::SourceEndpoint& source);
  net::Task<Status> copy_tables(Session& session);
  net::Task<Result<Copied>> copy_table(Session& session, std::string table);
  net::Task<Result<Copied>> copy_chunks(Session& session, const std::string& table, movement::ChunkInbox& chunks);
  net::Task<Status> send_chunk(Session& session, const std::string& table, const movement::Chunk& chunk,
                               movement::ChunkInbox& chunks, bool first);
  net::Task<Status> end_copy(Session& session, const std::string& table);
  // Sends what happens, until the position is `until`; without one until something fails, or the rows go on elsewhere
  // (journal).
  net::Task<Status> forward(Session& session, std::optional<Position> until);
  net::Task<Status> take(Session& session, VEvent event);
  bool wanted(const Session& session, const std::string& table) const;
  net::Task<Status> flush(Session& session, bool ends);
  void note_time(const Session& session, const VEvent& event);
  net::Task<Status> await_others(const Session& session);
  net::Task<Status> move(Session& session);
  void start_events(Session& session);
  // To send something. Not before it is known of each shard where "current" was: who begins again from a VGTID that
  // does not tell would miss what came in between.
  net::Task<Result<net::Mutex::Guard>> turn();
  VEvent vgtid(const ShardName& shard) const;
  net::Task<Status> write(std::vector<VEvent> events);
  net::Task<void> beat();
  void end(Status outcome);
  uint64_t piece_bytes() const {
    const int64_t wanted = request_.flags().transaction_chunk_size();
    return wanted > 0 ? static_cast<uint64_t>(wanted) : kPieceBytes;
  }

  VStreamContext context_;
  ::vtgate::VStreamRequest request_;
  rpc::TypedWriter<::vtgate::VStreamResponse> writer_;
  net::Scope scope_;
  net::Mutex sending_;  // Of one transaction, or one piece of what is not a part of any.
  net::Signal resolved_;
  net::Event ended_;
  Status outcome_;
  std::optional<movement::Filter> filter_;
  std::optional<VStreamPosition> position_;
  VStreamSkew skew_;
  net::Signal skew_changed_;
  size_t copying_ = 0;  // Shards.
  ::topodata::TabletType type_ = ::topodata::PRIMARY;
  base::TimePoint sent_;
};

// What would be accepted and have no effect is refused.
Status VStream::check() {
  const auto& flags = request_.flags();
  const auto refuse = [](std::string_view what) {
    return fail(Code::kUnimplemented, fmt::format("VStreamFlags.{} is not offered by this vtgate", what));
  };
  if (flags.stream_keyspace_heartbeats()) return refuse("stream_keyspace_heartbeats");
  if (!flags.tablet_order().empty()) return refuse("tablet_order");
  if (!flags.cell_preference().empty() && flags.cell_preference() != "onlyspecified") return refuse("cell_preference");
  if (request_.tablet_type() != ::topodata::UNKNOWN) type_ = request_.tablet_type();
  if (!request_.has_filter() || request_.filter().rules_size() == 0) {
    request_.mutable_filter()->add_rules()->set_match("/.*");
  }
  ASSIGN_OR_RETURN(filter_, movement::Filter::create(request_.filter()));
  ASSIGN_OR_RETURN(auto starts, vstream_starts(request_.vgtid(), *context_.view, topo::tablet_type_to_string(type_)));
  const std::vector<std::string> only(flags.tables_to_copy().begin(), flags.tables_to_copy().end());
  for (auto& start : starts) {
    if (!start.gtid().empty() || start.table_p_ks_size() > 0) continue;
    const auto known = context_.view->schema == nullptr ? schema::Snapshot::const_iterator()
                                                        : context_.view->schema->find(start.keyspace());
    if (context_.view->schema == nullptr || known == context_.view->schema->end()) {
      return fail(Code::kUnavailable,
                  fmt::format("the tables of keyspace {} are not known yet, so they cannot be copied (this needs "
                              "--schema-change-signal)",
                              start.keyspace()));
    }
    for (auto& table : vstream_tables(*filter_, *known->second, only)) {
      start.add_table_p_ks()->set_table_name(std::move(table));
    }
  }
  position_.emplace(std::move(starts));
  return {};
}

net::Task<Status> VStream::run() {
  CO_RETURN_IF_ERROR(check());
  sent_ = base::system_clock().now();
  for (const ShardName& name : position_->names()) start(name);
  if (request_.flags().heartbeat_interval() > 0) scope_.spawn(beat());
  Status waited = co_await ended_.wait(net::Wait{.cancel = scope_.token()});
  scope_.request_stop();
  co_await scope_.join();
  co_return ended_.is_set() ? outcome_ : std::move(waited);
}

void VStream::end(Status outcome) {
  if (ended_.is_set()) return;
  outcome_ = std::move(outcome);
  ended_.set();
}

void VStream::start(const ShardName& shard) {
  auto reader = std::make_shared<Reader>(shard);
  auto& at = position_->of(shard);
  reader->copied = !at.gtid().empty() && at.table_p_ks_size() == 0;
  if (!reader->copied) ++copying_;
  if (reader->copied && request_.flags().minimize_skew()) {
    skew_.tell(shard, 0, base::system_clock().now());  // Others wait for its first event.
  }
  scope_.spawn(follow(std::move(reader)));
}

// ---- Which tablet

net::Task<void> VStream::follow(std::shared_ptr<Reader> reader) {
  base::Duration pause = kPauseMin;
  base::TimePoint good = base::system_clock().now();
  std::string before;
  while (!scope_.stopping()) {
    Status done = co_await read_any(*reader);
    if (scope_.stopping() || ended_.is_set() || done.ok()) co_return;  // The rows go on in other shards.
    const base::TimePoint now = base::system_clock().now();
    if (const std::string& gtid = position_->of(reader->name).gtid(); gtid != before) {
      before = gtid;
      good = now;
      pause = kPauseMin;
    }
    const Error& error = done.error();
    if (is_final(error) || (!is_passing(error) && now - good > kPatience)) {
      end(std::move(done).error().with_context(reader->name.first + "/" + reader->name.second));
      co_return;
    }
    if (!(co_await net::sleep_for(pause, scope_.token())).ok()) co_return;
    pause = std::min(pause * 2, kPauseMax);
  }
}

net::Task<Status> VStream::read_any(Reader& reader) {
  movement::SourceQuery query;
  query.keyspace = reader.name.first;
  query.shard = reader.name.second;
  query.types = {type_};
  query.cells = base::split_list(request_.flags().cells());
  CO_ASSIGN_OR_RETURN(const auto sources, co_await context_.sources.candidates(std::move(query)));
  Status last;
  for (const auto& source : sources) {
    last = co_await read(reader, source);
    if (last.ok() || is_final(last.error()) || scope_.stopping()) break;
  }
  co_return last;
}

net::Task<Status> VStream::read(Reader& reader, const movement::SourceEndpoint& source) {
  Session session(*this, reader, scope_.token());
  CO_ASSIGN_OR_RETURN(session.channel, context_.channels.get(source.address));
  session.target.set_keyspace(reader.name.first);
  session.target.set_shard(reader.name.second);
  session.target.set_tablet_type(source.type);
  session.target.set_cell(source.alias.cell());
  auto work = [](VStream& self, Session& on) -> net::Task<Status> {
    if (!on.at.gtid().empty()) self.start_events(on);
    if (!on.reader.copied) CO_RETURN_IF_ERROR(co_await self.copy_tables(on));
    if (!on.journal) CO_RETURN_IF_ERROR(co_await self.forward(on, std::nullopt));
    co_return co_await self.move(on);
  };
  Status done = co_await work(*this, session);
  if (session.sending && !done.ok()) {
    // Half a transaction has been sent, and the other tablet's would begin anew.
    end(fail(Code::kAborted,
             "a tablet was lost in the middle of a large transaction: begin again from the last VGTID"));
  }
  skew_.forget(reader.name);
  skew_changed_.notify_all();
  session.scope.request_stop();
  co_await session.scope.join();
  co_return done;
}

void VStream::start_events(Session& session) {
  session.events_started = true;
  ::binlogdata::VStreamRequest request;
  *request.mutable_target() = session.target;
  request.set_position(session.at.gtid());
  *request.mutable_filter() = request_.filter();
  session.scope.spawn(session.inbox.run(
      rpc::open_stream<::binlogdata::VStreamResponse>(*session.channel, "/queryservice.Query/VStream", request),
      session.scope.token()));
}

// ---- The copy

net::Task<Status> VStream::copy_tables(Session& session) {
  if (session.at.table_p_ks_size() == 0 && session.at.gtid().empty()) {
    // No table at all: what comes from now on.
    session.at.set_gtid(VStreamPosition::kNow);
    start_events(session);
  }
  while (session.at.table_p_ks_size() > 0 && !session.journal) {
    CO_ASSIGN_OR_RETURN(const Copied copied, co_await copy_table(session, session.at.table_p_ks(0).table_name()));
    if (copied == Copied::kAgain) (void)co_await net::sleep_for(kPauseMin, session.scope.token());
  }
  if (session.journal) co_return Status{};  // What is left is copied from the shards in which the rows go on.
  session.reader.copied = true;
  CO_ASSIGN_OR_RETURN(const auto mine, co_await turn());
  std::vector<VEvent> events{make(::binlogdata::COPY_COMPLETED, session.reader.name)};
  if (--copying_ == 0) events.push_back(make(::binlogdata::COPY_COMPLETED, {}));
  co_return co_await write(std::move(events));
}

net::Task<Result<VStream::Copied>> VStream::copy_table(Session& session, std::string table) {
  ::binlogdata::VStreamRowsRequest request;
  *request.mutable_target() = session.target;
  request.set_query(vstream_row_query(*filter_, table));
  const auto& begun = session.at.table_p_ks(0);
  if (begun.has_lastpk() && begun.lastpk().rows_size() > 0) *request.mutable_lastpk() = begun.lastpk();
  (*request.mutable_options()->mutable_config_overrides())[movement::kChunkBytesOption] = std::to_string(kChunkBytes);
  net::Scope scope(session.scope.token());
  movement::ChunkInbox chunks(session.wake);
  scope.spawn(chunks.run(
      rpc::open_stream<::binlogdata::VStreamRowsResponse>(*session.channel, "/queryservice.Query/VStreamRows", request),
      scope.token()));
  auto copied = co_await copy_chunks(session, table, chunks);
  scope.request_stop();
  co_await scope.join();
  co_return copied;
}

net::Task<Result<VStream::Copied>> VStream::copy_chunks(Session& session, const std::string& table,
                                                        movement::ChunkInbox& chunks) {
  for (bool first = true;; first = false) {
    while (!chunks.has_chunk() && !chunks.ended()) {
      CO_RETURN_IF_ERROR(co_await session.wake.wait(net::Wait{.cancel = session.scope.token()}));
    }
    if (!chunks.has_chunk()) {
      if (chunks.error()) co_return Error(*chunks.error()).with_context("copy table " + table);
      CO_RETURN_IF_ERROR(co_await end_copy(session, table));
      co_return Copied::kAll;
    }
    const movement::Chunk chunk = chunks.take();
    CO_ASSIGN_OR_RETURN(const Position snapshot, Position::parse(chunk.gtid));
    if (!session.at.gtid().empty()) {
      CO_RETURN_IF_ERROR(co_await forward(session, snapshot));
      if (session.journal) co_return Copied::kAgain;
      CO_ASSIGN_OR_RETURN(const Position now, Position::parse(session.at.gtid()));
      CO_ASSIGN_OR_RETURN(const bool same, now.same_transactions(snapshot));
      if (!same) co_return Copied::kAgain;  // Read from a tablet that is behind the one that was read before.
    }
    session.at.set_gtid(chunk.gtid);
    CO_RETURN_IF_ERROR(co_await send_chunk(session, table, chunk, chunks, first));
    if (!session.events_started) start_events(session);
  }
}

net::Task<Status> VStream::send_chunk(Session& session, const std::string& table, const movement::Chunk& chunk,
                                      movement::ChunkInbox& chunks, bool first) {
  const ShardName& name = session.reader.name;
  std::vector<VEvent> events{make(::binlogdata::BEGIN, name)};
  const auto add = [&](VEvent event) {
    if (!request_.flags().exclude_keyspace_from_table_name()) vstream_qualify(event, name.first);
    events.push_back(std::move(event));
  };
  if (first) {
    VEvent event = make(::binlogdata::FIELD, name);
    auto& fields = *event.mutable_field_event();
    fields.set_table_name(table);
    fields.set_keyspace(name.first);
    fields.set_shard(name.second);
    fields.set_enum_set_string_values(true);
    *fields.mutable_fields() = chunks.fields();
    add(std::move(event));
  }
  for (const auto& response : chunk.responses) {
    if (response.rows_size() == 0) continue;
    VEvent event = make(::binlogdata::ROW, name);
    auto& rows = *event.mutable_row_event();
    rows.set_table_name(table);
    rows.set_keyspace(name.first);
    rows.set_shard(name.second);
    for (const auto& row : response.rows()) *rows.add_row_changes()->mutable_after() = row;
    add(std::move(event));
  }
  if (chunk.lastpk) {
    auto& key = *session.at.mutable_table_p_ks(0)->mutable_lastpk();
    key.clear_rows();
    *key.mutable_fields() = chunks.pkfields();
    *key.add_rows() = *chunk.lastpk;
  }
  CO_ASSIGN_OR_RETURN(const auto mine, co_await turn());
  events.push_back(vgtid(name));
  events.push_back(make(::binlogdata::COMMIT, name));
  co_return co_await write(std::move(events));
}

net::Task<Status> VStream::end_copy(Session& session, const std::string& table) {
  auto& left = *session.at.mutable_table_p_ks();
  left.erase(std::remove_if(left.begin(), left.end(), [&](const auto& one) { return one.table_name() == table; }),
             left.end());
  CO_ASSIGN_OR_RETURN(const auto mine, co_await turn());
  co_return co_await write({make(::binlogdata::BEGIN, session.reader.name), vgtid(session.reader.name),
                            make(::binlogdata::COMMIT, session.reader.name)});
}

// ---- What happens

net::Task<Status> VStream::forward(Session& session, std::optional<Position> until) {
  while (!session.journal) {
    if (until && session.transaction.empty()) {
      CO_ASSIGN_OR_RETURN(const Position now, Position::parse(session.at.gtid()));
      CO_ASSIGN_OR_RETURN(const bool there, now.at_least(*until));
      if (there) co_return Status{};
    }
    while (session.inbox.empty()) {
      if (session.inbox.error()) co_return Error(*session.inbox.error());
      CO_RETURN_IF_ERROR(co_await session.wake.wait(net::Wait{.cancel = session.scope.token()}));
    }
    CO_RETURN_IF_ERROR(co_await take(session, session.inbox.take()));
  }
  co_return Status{};
}

// A table that is not copied yet comes with its rows later; of the one that is being copied all changes are told.
bool VStream::wanted(const Session& session, const std::string& table) const {
  for (const auto& left : session.at.table_p_ks()) {
    if (left.table_name() == table) return left.has_lastpk() && left.lastpk().rows_size() > 0;
  }
  return true;
}

void VStream::note_time(const Session& session, const VEvent& event) {
  if (!request_.flags().minimize_skew() || !session.reader.copied) return;
  int64_t seconds = event.timestamp();
  if (event.type() == ::binlogdata::HEARTBEAT) {  // There was nothing to be read.
    const auto now = base::system_clock().wall_now().time_since_epoch();
    seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  }
  if (seconds == 0 || event.throttled()) return;
  skew_.tell(session.reader.name, seconds, base::system_clock().now());
  skew_changed_.notify_all();
}

net::Task<Status> VStream::await_others(const Session& session) {
  // As long as "current" of a shard is not known nobody sends anything, and so nobody gets on.
  while (position_->resolved() && skew_.must_wait(session.reader.name, base::system_clock().now())) {
    Status changed = co_await skew_changed_.wait(net::Wait::within(1s, session.scope.token()));
    if (!changed.ok() && changed.error().code() != Code::kDeadlineExceeded) co_return changed;
  }
  co_return Status{};
}

net::Task<Status> VStream::take(Session& session, VEvent event) {
  note_time(session, event);
  switch (event.type()) {
    case ::binlogdata::HEARTBEAT: co_return Status{};
    case ::binlogdata::ROW:
      if (!wanted(session, event.row_event().table_name())) co_return Status{};
      break;
    case ::binlogdata::JOURNAL:
      if (vstream_moves(session.reader.name, event.journal())) {
        // Its transaction is not sent: who begins again from the last position comes to it again.
        session.journal = event.journal();
        session.transaction.clear();
        co_return Status{};
      }
      if (!request_.flags().include_reshard_journal_events()) co_return Status{};
      break;
    case ::binlogdata::GTID: {
      session.at.set_gtid(event.gtid());
      resolved_.notify_all();
      event = make(::binlogdata::VGTID, session.reader.name);
      break;
    }
    default: break;
  }
  if (event.throttled()) co_return Status{};
  if (!request_.flags().exclude_keyspace_from_table_name()) vstream_qualify(event, session.reader.name.first);
  const auto type = event.type();
  session.bytes += event.ByteSizeLong();
  session.transaction.push_back(std::move(event));
  using enum ::binlogdata::VEventType;
  if (type == COMMIT || type == DDL || type == OTHER || type == ROLLBACK) co_return co_await flush(session, true);
  // Never between a position and the end that belongs to it.
  if (type == ROW && session.bytes > piece_bytes()) co_return co_await flush(session, false);
  co_return Status{};
}

net::Task<Status> VStream::flush(Session& session, bool ends) {
  if (!session.sending) {
    if (request_.flags().minimize_skew()) CO_RETURN_IF_ERROR(co_await await_others(session));
    CO_ASSIGN_OR_RETURN(auto mine, co_await turn());
    session.sending.emplace(std::move(mine));
  }
  for (VEvent& event : session.transaction) {
    if (event.type() == ::binlogdata::VGTID) event = vgtid(session.reader.name);
  }
  session.bytes = 0;
  CO_RETURN_IF_ERROR(co_await write(std::exchange(session.transaction, {})));
  if (ends) session.sending.reset();
  co_return Status{};
}

net::Task<Status> VStream::move(Session& session) {
  CO_ASSIGN_OR_RETURN(const auto mine, co_await turn());
  const ::binlogdata::Journal journal = *session.journal;
  if (!session.reader.copied) {
    co_return fail(Code::kFailedPrecondition, "the shard was resharded while its tables were copied: begin anew");
  }
  auto next = position_->arrive(session.reader.name, journal);  // `session.at` may be gone from here on.
  if (!next.ok()) {
    end(std::move(next).error());
    co_return Status{};
  }
  if (!next->has_value()) co_return Status{};
  VEvent event = make(::binlogdata::JOURNAL, session.reader.name);
  *event.mutable_journal() = journal;
  std::vector<VEvent> events;
  const auto& flags = request_.flags();
  if (flags.stop_on_reshard() || flags.include_reshard_journal_events()) events.push_back(std::move(event));
  events.insert(events.begin(), vgtid(session.reader.name));
  CO_RETURN_IF_ERROR(co_await write(std::move(events)));
  if (flags.stop_on_reshard()) {
    end({});
    co_return Status{};
  }
  for (const ShardName& shard : **next) start(shard);
  co_return Status{};
}

// ---- Sending

net::Task<Result<net::Mutex::Guard>> VStream::turn() {
  const net::Wait wait{.cancel = scope_.token()};
  while (!position_->resolved()) CO_RETURN_IF_ERROR(co_await resolved_.wait(wait));
  co_return co_await sending_.lock(wait);
}

VEvent VStream::vgtid(const ShardName& shard) const {
  VEvent event = make(::binlogdata::VGTID, shard);
  *event.mutable_vgtid() = position_->to_proto();
  return event;
}

// With sending_ held.
net::Task<Status> VStream::write(std::vector<VEvent> events) {
  ::vtgate::VStreamResponse response;
  for (VEvent& event : events) *response.add_events() = std::move(event);
  sent_ = base::system_clock().now();
  Status written = co_await writer_.write(response);
  if (!written.ok()) end(written);
  co_return written;
}

net::Task<void> VStream::beat() {
  const base::Duration interval = std::chrono::seconds(request_.flags().heartbeat_interval());
  for (;;) {
    const base::Duration left = sent_ + interval - base::system_clock().now();
    if (left > base::Duration(0)) {
      if (!(co_await net::sleep_for(left, scope_.token())).ok()) co_return;
      continue;
    }
    auto mine = co_await turn();
    if (!mine.ok() || !(co_await write({make(::binlogdata::HEARTBEAT, {})})).ok()) co_return;
  }
}

}  // namespace

net::Task<Status> run_vstream(VStreamContext context, ::vtgate::VStreamRequest request,
                              rpc::TypedWriter<::vtgate::VStreamResponse> writer, net::CancelToken cancel) {
  VStream stream(std::move(context), std::move(request), writer, cancel);
  co_return co_await stream.run();
}

}  // namespace vitrail::gate
