#include "gate/session_stream.h"

#include <fmt/core.h>

#include <algorithm>

#include "mysql/errors.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr size_t kBatchBytes = size_t{64} << 10;
constexpr size_t kBatchesPerShard = 2;
constexpr auto kProgress = 60s;  // As in relays: who makes progress is not cut off.

}  // namespace

void ClientSession::ClientRows::begin(std::span<const mysql::ColumnDef> columns) {
  columns_ = columns.size();
  result_.emplace(writer_, session_.client_.capabilities, session_.binary_answer_);
  result_->begin(columns, session_.status_flags());
}

Status ClientSession::ClientRows::row(std::string_view payload) {
  if (!session_.binary_answer_) {
    writer_.message(payload);
    return {};
  }
  RETURN_IF_ERROR(mysql::decode_text_row(payload, columns_, cells_));
  return result_->row(cells_);
}

Status ClientSession::ClientRows::row(std::span<const mysql::Cell> cells) { return result_->row(cells); }

net::Task<Status> ClientSession::ClientRows::flush() {
  session_.sequence_ = writer_.sequence();
  sent_ = true;
  Status sent = co_await session_.send(std::move(out_));
  out_.clear();
  gone_ = !sent.ok();
  co_return sent;
}

net::Task<Status> ClientSession::ClientRows::end() {
  session_.unite_constant_warnings();
  mysql::OkPacket ok;
  ok.status_flags = session_.status_flags();
  ok.warnings = session_.fresh_warnings_;
  result_->end(ok);
  co_return co_await flush();
}

bool ClientSession::ClientRows::take_back() {
  if (sent_ && session_.held_answer_ == nullptr) return false;
  if (sent_) session_.held_answer_->bytes.clear();
  session_.sequence_ = sequence_;
  out_.clear();
  return true;
}

net::Task<RunResult> ClientSession::ClientRows::end_with(Error error) {
  Status told = co_await flush();
  if (told.ok()) told = co_await session_.send_error(std::move(error));
  if (!told.ok()) co_return RunResult::hang_up(std::move(told).error());
  co_return RunResult{.told_error = true};
}

void ClientSession::KeptRows::begin(std::span<const mysql::ColumnDef> columns) {
  result_.columns.assign(columns.begin(), columns.end());
}

Status ClientSession::KeptRows::row(std::string_view payload) {
  if (result_.rows.size() >= max_rows_) {
    return fail(Code::kResourceExhausted, fmt::format("the result has more than {} rows", max_rows_));
  }
  RETURN_IF_ERROR(memory_.add(payload.size() + sizeof(Row) + result_.columns.size() * sizeof(Row::value_type)));
  RETURN_IF_ERROR(mysql::decode_text_row(payload, result_.columns.size(), cells_));
  Row& row = result_.rows.emplace_back();
  row.reserve(cells_.size());
  for (const auto& cell : cells_) row.push_back(cell ? std::optional<std::string>(*cell) : std::nullopt);
  return {};
}

ClientSession::ShardStreams::ShardStreams(ClientSession& session, std::vector<ShardText> texts, Digits digits,
                                          bool apart)
    : session_(session), digits_(digits), apart_(apart), scope_(session.interrupt_->token()) {
  for (auto& text : texts) {
    shards_.push_back(std::make_unique<Shard>());
    shards_.back()->what = std::move(text);
  }
  const size_t queues = apart ? shards_.size() : 1;
  const size_t capacity = apart ? kBatchesPerShard : shards_.size() + kBatchesPerShard;
  for (size_t i = 0; i < queues; ++i) queues_.push_back(std::make_unique<Queue>(capacity));
}

net::Task<Status> ClientSession::ShardStreams::open() {
  std::vector<std::optional<Error>> errors(shards_.size());
  std::vector<net::Task<void>> tasks;
  for (size_t i = 0; i < shards_.size(); ++i) tasks.push_back(begin(*this, i, errors[i]));
  co_await net::when_all(std::move(tasks));
  const auto failed = std::ranges::find_if(errors, [](const auto& error) { return error.has_value(); });
  if (failed == errors.end()) co_return Status{};
  co_await stop();
  co_return std::move(**failed);
}

net::Task<void> ClientSession::ShardStreams::begin(ShardStreams& all, size_t index, std::optional<Error>& error) {
  Shard& shard = *all.shards_[index];
  Status sent = co_await all.send(shard);
  if (sent.ok()) {
    // Read at once, whatever the others do: a short answer's connection is free again before theirs are there.
    all.scope_.spawn(pump(all, index));
    co_return;
  }
  if (!shard.stream) {  // It had no connection.
    error = std::move(sent).error();
    co_return;
  }
  error = co_await all.finish(shard, std::move(sent));
}

net::Task<Status> ClientSession::ShardStreams::send(Shard& shard) {
  ClientSession& session = session_;
  const shard::Target& target = shard.what.target;
  const Phase phase = shard.what.phase;
  CO_RETURN_IF_ERROR(session.may_join(target));
  const net::Wait wait = session.query_wait();
  shard.held = session.find_held(target, phase);
  if (shard.held == nullptr) {
    if (net::MysqlPool* pool = session.known_pool(target)) shard.own = pool->try_acquire(session.settings_text_);
    if (!shard.own) {
      CO_ASSIGN_OR_RETURN(shard.own, co_await session.lease_for(target, wait));
    }
  }
  shard.begins = session.in_transaction_ && (shard.held == nullptr || !shard.held->in_transaction);
  auto& lease = shard.lease();
  shard.running.emplace(session.in_flight_, InFlight{&lease.pool(), lease->client.server().connection_id});
  shard.stream.emplace(*lease);
  shard.noted = session.note_sent(target, shard.what.text, &shard != shards_.front().get());
  auto attributes = session.attributes_for(shard.held, "");
  session.add_caller(lease->client.capabilities(), attributes);
  co_return co_await shard.stream->begin(shard.what.text, std::move(attributes), digits_ == Digits::kAll, wait);
}

net::Wait ClientSession::ShardStreams::row_wait(const Shard& shard) const {
  net::Wait wait = session_.query_wait();
  const bool bounded = wait.deadline != base::TimePoint::max() && !session_.directives_.query_timeout;
  wait.cancel = shard.held == nullptr ? scope_.token() : session_.interrupt_->token();
  if (bounded) wait.each = std::max<base::Duration>(kProgress, wait.deadline - base::system_clock().now());
  return wait;
}

net::Task<Status> ClientSession::ShardStreams::read(size_t index, RowBatch& batch) {
  Shard& shard = *shards_[index];
  const net::Wait wait = row_wait(shard);
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto row, co_await shard.stream->next(wait));
    if (!row) co_return Status{};
    if (unwanted_) continue;
    batch.add(*row);
    while (batch.bytes.size() < kBatchBytes) {
      const auto more = shard.stream->next_waiting();
      if (!more) break;
      batch.add(*more);
    }
    session_.note_rows(shard.noted, batch.ends.size());
    RowBatch next{.shard = index};
    std::swap(next, batch);
    Status taken = co_await queue_of(index).push(std::move(next), {.cancel = wait.cancel});
    if (!taken.ok() && !unwanted_) throw_away();  // The session's statement is being ended.
    if (unwanted_ && shard.held == nullptr && stopping_) {
      shard.lease()->client.set_broken();
      co_return fail(Code::kCanceled, "nobody wants the rest");
    }
  }
}

bool ClientSession::ShardStreams::alike() const {
  return std::ranges::all_of(shards_, [&](const auto& s) { return s->stream->columns().size() == columns().size(); });
}

// What the end of an answer means for its connection; the error as ask() would return it.
net::Task<std::optional<Error>> ClientSession::ShardStreams::finish(Shard& shard, Status read) {
  auto& client = shard.lease()->client;
  if (!read.ok()) {
    Error error =
        co_await session_.ask_failed(shard.what, shard.held, shard.own, shard.begins, std::move(read).error());
    shard.running.reset();
    if (shard.own && shard.own->client.broken()) shard.own.discard();
    co_return error;
  }
  const mysql::OkPacket ok = shard.stream->ok();
  warnings_ += ok.warnings;
  if (ok.warnings > 0) co_await session_.take_warnings(client, ok.warnings);
  shard.running.reset();
  session_.absorb(shard.what.target, shard.held, shard.own, ok.status_flags,
                  (ok.status_flags & mysql::kStatusSessionStateChanged) != 0, shard.what.phase);
  shard.own.release();
  co_return std::nullopt;
}

net::Task<void> ClientSession::ShardStreams::pump(ShardStreams& all, size_t index) {
  RowBatch batch{.shard = index};
  Status read = co_await all.read(index, batch);
  batch.error = co_await all.finish(*all.shards_[index], std::move(read));
  batch.last = true;
  if (!all.unwanted_) (void)co_await all.queue_of(index).push(std::move(batch), {.cancel = all.scope_.token()});
}

net::Task<ClientSession::RowBatch> ClientSession::ShardStreams::pop(Queue& queue) {
  auto batch = co_await queue.pop();
  if (batch.ok() && *batch) co_return std::move(**batch);
  co_return RowBatch{.last = true,
                     .error = fail(Code::kCanceled, "Query execution was interrupted")
                                  .with_mysql(mysql::errnos::kQueryInterrupted, "70100")};
}

net::Task<ClientSession::RowBatch> ClientSession::ShardStreams::next() { co_return co_await pop(*queues_.front()); }

net::Task<ClientSession::RowBatch> ClientSession::ShardStreams::next_of(size_t shard) {
  co_return co_await pop(*queues_[shard]);
}

void ClientSession::ShardStreams::throw_away() {
  unwanted_ = true;
  for (auto& queue : queues_) queue->close();
}

net::Task<void> ClientSession::ShardStreams::drain() {
  throw_away();
  co_await scope_.join();
}

net::Task<void> ClientSession::ShardStreams::stop() {
  stopping_ = true;
  throw_away();
  scope_.request_stop();
  // A connection that the session holds has to go on: its statement is ended there.
  for (auto& shard : shards_) {
    if (shard->held == nullptr || !shard->running) continue;
    auto& lease = shard->lease();
    (void)co_await interrupt_on_tablet(session_.shared_, lease.pool(), lease->client.server().connection_id);
  }
  co_await scope_.join();
}

}  // namespace vitrail::gate
