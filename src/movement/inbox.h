#pragma once

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "net/sync.h"
#include "rpc/typed.h"

// What arrives from a source while the target is busy, up to a bound: then the source waits.
namespace vitrail::movement {

// Events of one VStream call.
//   Threads: one loop. run() is a task of its own; it must have ended before destruction.
class EventInbox {
 public:
  // `wake` is notified at each arrival and at the end.
  explicit EventInbox(net::Signal& wake, uint64_t bytes_max = 4u << 20) : wake_(wake), bytes_max_(bytes_max) {}

  // Reads until the stream ends (which is an error, see error()) or `cancel`.
  net::Task<void> run(rpc::TypedStream<::binlogdata::VStreamResponse> stream, net::CancelToken cancel);

  bool empty() const { return events_.empty(); }
  size_t size() const { return events_.size(); }
  ::binlogdata::VEvent take();
  // Why no more events will come. Look at it when empty.
  const std::optional<Error>& error() const { return error_; }

 private:
  struct Item {
    ::binlogdata::VEvent event;
    uint64_t bytes;
  };
  net::Signal& wake_;
  net::Signal drained_;
  const uint64_t bytes_max_;
  std::deque<Item> events_;
  uint64_t bytes_ = 0;
  std::optional<Error> error_;
};

// Rows of one snapshot, or a piece of them: those up to some key.
struct Chunk {
  std::string gtid;
  std::vector<::binlogdata::VStreamRowsResponse> responses;
  std::optional<::query::Row> lastpk;
  base::TimePoint began;  // When it began to arrive: the snapshot is not older than that, but for the reading ahead.
};

// Chunks of one VStreamRows call; `ready_max` complete ones wait at most, while the next one is received.
//   Threads: as EventInbox.
class ChunkInbox {
 public:
  explicit ChunkInbox(net::Signal& wake, size_t ready_max = 1) : wake_(wake), ready_max_(ready_max) {}

  net::Task<void> run(rpc::TypedStream<::binlogdata::VStreamRowsResponse> stream, net::CancelToken cancel);

  bool has_chunk() const { return !ready_.empty(); }
  Chunk take();
  // The table is at its end and every chunk has been taken.
  bool ended() const { return ended_ && ready_.empty(); }
  const std::optional<Error>& error() const { return error_; }
  // Why the source's throttler holds the rows back; empty: it has not said so since the last call.
  std::string take_throttled() { return std::exchange(throttled_, {}); }
  // Of the first response.
  const google::protobuf::RepeatedPtrField<::query::Field>& fields() const { return fields_; }
  const google::protobuf::RepeatedPtrField<::query::Field>& pkfields() const { return pkfields_; }

 private:
  net::Task<void> deliver(Chunk chunk, net::CancelToken cancel);

  net::Signal& wake_;
  net::Signal taken_;
  const size_t ready_max_;
  std::deque<Chunk> ready_;
  bool ended_ = false;
  std::string throttled_;
  std::optional<Error> error_;
  google::protobuf::RepeatedPtrField<::query::Field> fields_;
  google::protobuf::RepeatedPtrField<::query::Field> pkfields_;
};

}  // namespace vitrail::movement
