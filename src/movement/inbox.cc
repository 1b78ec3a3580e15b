#include "movement/inbox.h"

#include "movement/row_stream.h"

namespace vitrail::movement {
namespace {

// The source sends a heartbeat after half a second of silence.
constexpr auto kEventSilenceMax = std::chrono::seconds(10);
constexpr auto kRowSilenceMax = std::chrono::minutes(5);

Error silence(Error error) {
  if (error.code() != Code::kDeadlineExceeded) return error;
  return fail(Code::kUnavailable, "the source tablet sends nothing any more").with_retry(Retry::kOtherTarget);
}

}  // namespace

net::Task<void> EventInbox::run(rpc::TypedStream<::binlogdata::VStreamResponse> stream, net::CancelToken cancel) {
  for (;;) {
    while (bytes_ > bytes_max_) {
      if (!(co_await drained_.wait(net::Wait::until(base::TimePoint::max(), cancel))).has_value()) co_return;
    }
    auto response = co_await stream.next(net::Wait::within(kEventSilenceMax, cancel));
    if (cancel.cancelled()) co_return;
    if (!response.ok()) {
      error_ = silence(std::move(response).error());
    } else if (!response->has_value()) {
      error_ = fail(Code::kUnavailable, "the source tablet ended the event stream").with_retry(Retry::kOtherTarget);
    } else {
      for (::binlogdata::VEvent& event : *(*response)->mutable_events()) {
        const uint64_t bytes = event.ByteSizeLong();
        bytes_ += bytes;
        events_.push_back({std::move(event), bytes});
      }
    }
    wake_.notify_all();
    if (error_) co_return;
  }
}

::binlogdata::VEvent EventInbox::take() {
  Item item = std::move(events_.front());
  events_.pop_front();
  bytes_ -= item.bytes;
  if (bytes_ <= bytes_max_) drained_.notify_all();
  return std::move(item.event);
}

net::Task<void> ChunkInbox::deliver(Chunk chunk, net::CancelToken cancel) {
  while (ready_.size() >= ready_max_) {
    if (!(co_await taken_.wait(net::Wait::until(base::TimePoint::max(), cancel))).has_value()) co_return;
  }
  ready_.push_back(std::move(chunk));
  wake_.notify_all();
}

net::Task<void> ChunkInbox::run(rpc::TypedStream<::binlogdata::VStreamRowsResponse> stream, net::CancelToken cancel) {
  std::optional<Chunk> current;
  for (;;) {
    auto response = co_await stream.next(net::Wait::within(kRowSilenceMax, cancel));
    if (cancel.cancelled()) co_return;
    if (!response.ok()) {
      error_ = silence(std::move(response).error());
      break;
    }
    if (!response->has_value()) break;
    ::binlogdata::VStreamRowsResponse& piece = **response;
    if (piece.heartbeat()) continue;
    if (piece.throttled()) {
      if (piece.throttled_reason() != kMoreRows) {
        throttled_ = piece.throttled_reason();
        wake_.notify_all();
      }
      continue;
    }
    if (piece.fields_size() != 0) {
      fields_ = piece.fields();
      pkfields_ = piece.pkfields();
    }
    if (!piece.gtid().empty()) {
      if (current) {
        error_ = fail(Code::kInternal, "the source sent a chunk without its last key");
        break;
      }
      current.emplace();
      current->gtid = piece.gtid();
      current->began = base::system_clock().now();
    }
    if (!current) {
      error_ = fail(Code::kInternal, "the source sent rows without their position");
      break;
    }
    const bool last = piece.has_lastpk();
    if (last) current->lastpk = piece.lastpk();
    current->responses.push_back(std::move(piece));
    if (last) {
      Chunk chunk = std::move(*current);
      current.reset();
      co_await deliver(std::move(chunk), cancel);
    }
  }
  // A snapshot in which no row was left has no last key.
  if (current && !error_) co_await deliver(std::move(*current), cancel);
  ended_ = true;
  wake_.notify_all();
}

Chunk ChunkInbox::take() {
  Chunk chunk = std::move(ready_.front());
  ready_.pop_front();
  taken_.notify_all();
  return chunk;
}

}  // namespace vitrail::movement
