#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "movement/row_stream.h"
#include "movement/secondary_keys.h"
#include "movement/stream_session.h"
#include "mysqld/rows.h"

// How a stream copies: why it is exact stands in stream.h.
namespace vitrail::movement {
namespace {

constexpr auto kRecordInterval = std::chrono::milliseconds(200);
constexpr uint64_t kPiecesPerChunk = 4;

}  // namespace

net::Task<Status> Stream::begin_copy(Session& session) {
  std::vector<std::string> names;
  for (const auto& [name, table] : session.tables) {
    if (carries(name)) names.push_back(name);
  }
  for (const auto& rule : record_.source.filter().rules()) {
    if (rule.match().starts_with('/') || rule.filter() == "exclude") continue;
    if (!session.tables.contains(rule.match())) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("table {} does not exist on the target: create it there", rule.match()));
    }
  }
  if (names.empty())
    co_return fail(Code::kFailedPrecondition, "no table of the target matches the filter of the stream");
  std::string script = "BEGIN";
  for (const std::string& name : names) {
    script += fmt::format("; INSERT INTO _vt.copy_state (vrepl_id, table_name) VALUES ({}, {})", id_, sql_text(name));
    session.copy_states.push_back({name, {}});
  }
  script +=
      fmt::format("; UPDATE _vt.vreplication SET state = '{}', message = '', time_updated = {} WHERE id = {}; COMMIT",
                  state_word(::binlogdata::Copying), unix_now(), id_);
  auto done = co_await session.server->script(std::move(script), write_wait());
  if (!done.ok()) co_return std::move(done).error();
  record_.state = ::binlogdata::Copying;
  ++progress_;
  co_return co_await log_stream(*session.server, id_, kLogCopyStarted, state_word(record_.state),
                                fmt::format("Copy phase started for {} table(s)", names.size()), write_wait());
}

// What an earlier life has copied is of another moment: it goes. Whoever dies behind the first TRUNCATE comes here
// again, since the row has a position and tables to be copied until the last statement.
net::Task<Status> Stream::begin_copy_again(Session& session) {
  for (const auto& [name, table] : session.tables) {
    if (!carries(name)) continue;
    CO_RETURN_IF_ERROR(
        co_await session.server->run({fmt::format("TRUNCATE TABLE {}.{}", mysqld::quote_identifier(record_.db_name),
                                                  mysqld::quote_identifier(name))},
                                     write_wait()));
  }
  auto done = co_await session.server->script(
      fmt::format("BEGIN; DELETE FROM _vt.copy_state WHERE vrepl_id = {}; UPDATE _vt.vreplication SET pos = '', "
                  "rows_copied = 0 WHERE id = {}; COMMIT",
                  id_, id_),
      write_wait());
  if (!done.ok()) co_return std::move(done).error();
  record_.pos.clear();
  record_.rows_copied = 0;
  position_text_.clear();
  position_ = saved_position_ = {};
  session.copy_states.clear();
  co_return co_await begin_copy(session);
}

net::Task<Status> Stream::copy(Session& session) {
  struct Counted {
    explicit Counted(size_t& count) : count(count) { ++count; }
    ~Counted() { --count; }
    size_t& count;
  } counted(*context_.copying);
  if (record_.state != ::binlogdata::Copying) {
    auto updated = co_await session.server->query(
        fmt::format("UPDATE _vt.vreplication SET state = '{}' WHERE id = {}", state_word(::binlogdata::Copying), id_),
        write_wait());
    if (!updated.ok()) co_return std::move(updated).error();
    record_.state = ::binlogdata::Copying;
  }
  if (record_.defer_secondary_keys) {
    CO_ASSIGN_OR_RETURN(const auto referenced, co_await referenced_tables(*session.server, record_.db_name, cancel_));
    for (const auto& state : session.copy_states) {
      if (referenced.contains(base::to_lower(state.table))) continue;
      if (state.lastpk.rows_size() > 0 || !session.tables.contains(state.table)) continue;
      CO_RETURN_IF_ERROR(co_await defer_keys(*session.server, key_owner(), state.table, cancel_));
    }
  }
  if (is_atomic()) {
    session.snapshot = std::make_unique<CopySnapshot>(id_, wake_, cancel_);
    CO_RETURN_IF_ERROR(co_await session.snapshot->open(channel_, source_target()));
  }
  CO_RETURN_IF_ERROR(co_await open_lanes(session));
  for (const auto& state : session.copy_states) {
    CO_RETURN_IF_ERROR(session.applier->set_copied(state.table, state.lastpk));
  }
  for (size_t i = 0; i < session.copy_states.size(); ++i) {
    CO_RETURN_IF_ERROR(co_await copy_table(session, session.copy_states[i]));
    if (ended_) co_return Status{};
    CO_RETURN_IF_ERROR(session.applier->set_copied(session.copy_states[i].table, std::nullopt));
    if (record_.defer_secondary_keys) {
      auto restored = co_await restore_keys(*session.server, key_owner(), session.copy_states[i].table, false, cancel_);
      if (!restored.ok()) co_return std::move(restored).error();
    }
    if (i + 1 != session.copy_states.size()) {
      CO_RETURN_IF_ERROR(
          co_await commit(session, {},
                          {fmt::format("DELETE FROM _vt.copy_state WHERE vrepl_id = {} AND table_name = {}", id_,
                                       sql_text(session.copy_states[i].table))}));
    } else {
      if (session.snapshot) {
        co_await session.snapshot->close();
        session.snapshot.reset();
        start_events(session);
      }
      CO_RETURN_IF_ERROR(co_await end_copy(session, session.copy_states[i].table));
    }
  }
  session.copy_states.clear();
  session.lanes->close();
  co_return Status{};
}

net::Task<Status> Stream::open_lanes(Session& session) {
  CopyLanes::Options options;
  options.login = context_.apply_login();
  options.stream_id = id_;
  options.count = lanes_for(*context_.copying - 1, std::min(tuned_.copy_lanes, CopyLanes::kLanesMax));
  options.use_load_data = session.may_load;
  session.lanes = std::make_unique<CopyLanes>(std::move(options), session.scope, *context_.pieces, wake_);
  co_return co_await session.lanes->open(*session.server, cancel_);
}

net::Task<Status> Stream::record_copied(Session& session, std::string table) {
  auto reached = session.lanes->take_progress();
  if (!reached) co_return Status{};
  std::vector<std::string> extra;
  if (reached->to.rows_size() != 0) {
    extra.push_back(fmt::format("UPDATE _vt.copy_state SET lastpk = {} WHERE vrepl_id = {} AND table_name = {}",
                                sql_text(to_text(reached->to)), id_, sql_text(table)));
  }
  CO_RETURN_IF_ERROR(
      co_await commit(session, fmt::format(", rows_copied = rows_copied + {}", reached->rows), std::move(extra)));
  record_.rows_copied += static_cast<int64_t>(reached->rows);
  if (context_.rows_copied != nullptr) context_.rows_copied->add(reached->rows);
  ++progress_;
  session.recorded_at = base::system_clock().now();
  co_return Status{};
}

net::Task<Status> Stream::drain_lanes(Session& session, std::string table) {
  while (!session.lanes->idle()) {
    if (session.lanes->error()) co_return *session.lanes->error();
    CO_RETURN_IF_ERROR(co_await wake_.wait(net::Wait::until(base::TimePoint::max(), cancel_)));
  }
  co_return co_await record_copied(session, std::move(table));
}

// One VStreamRows call. Another one is needed when a chunk turns out to be older than what is applied already (the
// source was changed).
struct Stream::TableCopy {
  const TableSchema& schema;
  std::shared_ptr<const TargetTable> table;
  std::optional<DerivedColumns> derived = {};
  ::query::QueryResult key;  // Of the last piece that was started.
  bool done = false;
};

net::Task<Status> Stream::await_chunk(Session& session, TableCopy& copy, ChunkInbox& chunks) {
  // Events wait meanwhile: one that is younger than the snapshot of the next chunk would make that useless, and under
  // steady writes each of the chunks.
  while (!chunks.has_chunk() && !chunks.ended()) {
    if (session.lanes->error()) co_return *session.lanes->error();
    if (base::system_clock().now() > session.recorded_at + kRecordInterval) {
      CO_RETURN_IF_ERROR(co_await record_copied(session, copy.schema.name));
      if (chunks.has_chunk() || chunks.ended()) break;
    }
    CO_RETURN_IF_ERROR(co_await rest(session));
    if (auto reason = chunks.take_throttled(); !reason.empty()) {
      CO_RETURN_IF_ERROR(co_await note_throttled(session, "rowstreamer", std::move(reason)));
    }
  }
  for (bool throttled = chunks.has_chunk(); throttled;) {
    CO_ASSIGN_OR_RETURN(throttled, co_await obey_throttle(session, "vcopier"));
  }
  co_return Status{};
}

net::Task<Result<bool>> Stream::reach_snapshot(Session& session, std::string table, std::string gtid) {
  switch (before_piece(gtid, position_text_, record_.pos, session.lanes->idle())) {
    case BeforePiece::kNothing: co_return true;
    case BeforePiece::kDrain: CO_RETURN_IF_ERROR(co_await drain_lanes(session, table)); break;
    case BeforePiece::kAdvance: CO_RETURN_IF_ERROR(co_await record_copied(session, table)); break;
  }
  CO_ASSIGN_OR_RETURN(mysql::Position snapshot, mysql::Position::parse(gtid));
  if (!position_text_.empty()) {
    CO_ASSIGN_OR_RETURN(const Advance advance, co_await advance_to(session, std::move(snapshot)));
    if (advance == Advance::kBeyond) co_return false;
  }
  // The chunk's own position is the same transactions, and the same text unless servers differ in words.
  CO_RETURN_IF_ERROR(set_position(std::move(gtid)));
  CO_RETURN_IF_ERROR(co_await commit(session));
  // Those behind a moment that is held are of no use before all of it is copied.
  if (!session.snapshot) start_events(session);
  co_return true;
}

// One after another, each with its progress: a row that has counted must not count again (aggregate_table.h).
net::Task<Status> Stream::add_to_groups(Session& session, TableCopy& copy, const Chunk& chunk, ChunkInbox& chunks) {
  ::query::QueryResult next;
  if (chunk.lastpk) {
    *next.mutable_fields() = chunks.pkfields();
    *next.add_rows() = *chunk.lastpk;
  }
  CO_ASSIGN_OR_RETURN(const uint64_t rows,
                      co_await session.applier->copy_groups(copy.schema.name, chunks.fields(), chunk, next));
  session.saved_at = context_.options.clock->now();
  record_.rows_copied += static_cast<int64_t>(rows);
  ++progress_;
  if (context_.rows_copied != nullptr) context_.rows_copied->add(rows);
  changed_.notify_all();
  if (next.rows_size() == 0) co_return Status{};
  copy.key = next;
  co_return session.applier->set_copied(copy.schema.name, std::move(next));
}

net::Task<Status> Stream::derive_chunk(Session& session, TableCopy& copy, const TablePlan& plan, Chunk& chunk,
                                       const google::protobuf::RepeatedPtrField<::query::Field>& fields) {
  if (!copy.derived) {
    CO_ASSIGN_OR_RETURN(copy.derived, DerivedColumns::bind(plan, copy.schema, fields));
  }
  std::vector<::query::Row*> rows;
  for (auto& response : chunk.responses) {
    for (auto& row : *response.mutable_rows()) rows.push_back(&row);
  }
  co_return co_await session.deriver->derive(*copy.derived, std::move(rows), write_wait());
}

net::Task<Status> Stream::copy_chunks(Session& session, TableCopy& copy, ChunkInbox& chunks) {
  CopyLanes& lanes = *session.lanes;
  for (;;) {
    CO_RETURN_IF_ERROR(co_await await_chunk(session, copy, chunks));
    if (!chunks.has_chunk()) {
      // What is on its way was read whole, whatever has become of the source.
      CO_RETURN_IF_ERROR(co_await drain_lanes(session, copy.schema.name));
      if (chunks.error()) co_return Error(*chunks.error()).with_context("copy table " + copy.schema.name);
      copy.done = true;
      co_return Status{};
    }
    Chunk chunk = chunks.take();
    if (session.zones) CO_RETURN_IF_ERROR(co_await convert_chunk(session, chunk, chunks.fields()));
    const bool groups = adds_up(copy.schema.name);
    if (const TablePlan* plan = derivation(copy.schema.name)) {
      CO_RETURN_IF_ERROR(co_await derive_chunk(session, copy, *plan, chunk, chunks.fields()));
    }
    if (!copy.table && !groups) {
      const auto& fields = copy.derived ? copy.derived->fields() : chunks.fields();
      CO_ASSIGN_OR_RETURN(TargetTable bound, TargetTable::bind(copy.schema, record_.db_name, fields));
      copy.table = std::make_shared<const TargetTable>(std::move(bound));
    }
    fresh_at_ = chunk.began;
    CO_ASSIGN_OR_RETURN(const bool reached, co_await reach_snapshot(session, copy.schema.name, chunk.gtid));
    if (!reached) {
      (void)co_await net::sleep_for(std::chrono::milliseconds(100), cancel_);
      co_return Status{};
    }
    if (groups) {
      CO_RETURN_IF_ERROR(co_await add_to_groups(session, copy, chunk, chunks));
      continue;
    }
    while (!lanes.has_room()) {
      if (lanes.error()) co_return *lanes.error();
      CO_RETURN_IF_ERROR(co_await wake_.wait(net::Wait::until(base::TimePoint::max(), cancel_)));
    }
    CopyPiece piece{copy.table, std::move(chunk), copy.key, {}};
    if (piece.chunk.lastpk) {
      *piece.to.mutable_fields() = chunks.pkfields();
      *piece.to.add_rows() = *piece.chunk.lastpk;
      copy.key = piece.to;
    }
    lanes.start(std::move(piece));
  }
}

net::Task<Status> Stream::copy_table(Session& session, CopyState state) {
  const auto schema = session.tables.find(state.table);
  if (schema == session.tables.end()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("table {} does not exist on the target any more", state.table));
  }
  TableCopy copy{.schema = schema->second, .table = nullptr, .key = std::move(state.lastpk)};
  while (!copy.done) {
    ::binlogdata::VStreamRowsRequest request;
    *request.mutable_target() = source_target();
    request.set_query(row_query(state.table));
    if (copy.key.rows_size() != 0) *request.mutable_lastpk() = copy.key;
    auto& overrides = *request.mutable_options()->mutable_config_overrides();
    overrides[kChunkBytesOption] = std::to_string(context_.options.chunk_bytes);
    if (session.snapshot) overrides[kSnapshotOption] = session.snapshot->name();
    overrides[kPieceBytesOption] = std::to_string(context_.options.chunk_bytes / kPiecesPerChunk);
    net::Scope scope(cancel_);
    ChunkInbox chunks(wake_, session.lanes->count());
    scope.spawn(chunks.run(
        rpc::open_stream<::binlogdata::VStreamRowsResponse>(*channel_, "/queryservice.Query/VStreamRows", request),
        scope.token()));
    Status status = co_await copy_chunks(session, copy, chunks);
    scope.request_stop();
    co_await scope.join();
    CO_RETURN_IF_ERROR(std::move(status));
    if (ended_) co_return Status{};
    if (cancel_.cancelled()) co_return fail(Code::kCanceled, "the stream is being stopped");
  }
  co_return Status{};
}

net::Task<Status> Stream::end_copy(Session& session, std::string last_table) {
  // The copy may have taken so long, or applying be so slow, that the target is far behind: then it is not over yet.
  while (lag() > tuned_.lag_tolerance) {
    CO_RETURN_IF_ERROR(co_await step(session, nullptr));
    if (ended_) co_return Status{};
  }
  const bool stop = record_.source.stop_after_copy();
  const auto state = stop ? ::binlogdata::Stopped : ::binlogdata::Running;
  const std::string message = stop ? "Stopped after copy." : "";
  CO_RETURN_IF_ERROR(co_await commit(
      session, fmt::format(", state = '{}', message = {}", state_word(state), sql_text(message)),
      {fmt::format("DELETE FROM _vt.copy_state WHERE vrepl_id = {} AND table_name = {}", id_, sql_text(last_table))}));
  record_.state = state;
  record_.message = message;
  CO_RETURN_IF_ERROR(co_await log_stream(*session.server, id_, kLogCopyEnded, state_word(state),
                                         fmt::format("Copy phase completed at gtid {}", position_text_), write_wait()));
  if (stop) ended_ = true;
  changed_.notify_all();
  co_return Status{};
}

}  // namespace vitrail::movement
