#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "movement/row_stream.h"
#include "net/sync.h"
#include "shard/key_range.h"

// Copies of one table for several targets, read once: each row is read from the server and decoded once, and given to
// those whose filter wants it. Copies join when they ask for the same columns from the same key on in chunks of the
// same size, which those of a reshard do when they begin.
//
//   Pace    : all members get their chunks from the same snapshots, none before all others have taken the one before.
//             A member that has not taken its chunk for some seconds is left behind and reads on its own.
//   Reading : is done by whichever member needs a chunk that nobody has read, over its own connection; so an end of
//             any of them, or a failure of its connection, is nobody else's.
//   Bounds  : one chunk waits for each member.
//   Threads : one loop.
namespace vitrail::movement {

// Whether no key is in none of them.
bool cover_all_keys(std::vector<shard::KeyRange> ranges);

class RowShares;

// One copy. read_chunk() as of RowStream.
class SharedRowStream {
 public:
  ~SharedRowStream();
  SharedRowStream(const SharedRowStream&) = delete;
  SharedRowStream& operator=(const SharedRowStream&) = delete;

  net::Task<Result<RowChunk>> read_chunk(net::Wait wait);

 private:
  friend class RowShares;
  struct Group;
  explicit SharedRowStream(std::shared_ptr<RowStream> stream) : stream_(std::move(stream)) {}
  void leave();
  net::Task<Status> gather(net::Wait wait);
  // Waits until the others have taken their chunks, or leaves them behind. True: something has changed meanwhile.
  net::Task<Result<bool>> await_others(net::Wait wait);
  net::Task<Status> read_for_all(net::Wait wait);

  std::shared_ptr<RowStream> stream_;
  std::shared_ptr<Group> group_;  // Null: alone.
  std::deque<RowChunk> ready_;
  std::optional<Error> error_;  // Its filter's.
};

class RowShares {
 public:
  // Before a table of `wait_from_bytes` is read, others are waited for: until all keys are wanted, or `wait` has
  // passed.
  RowShares(uint64_t wait_from_bytes, base::Duration wait) : wait_from_bytes_(wait_from_bytes), wait_(wait) {}
  std::unique_ptr<SharedRowStream> join(std::unique_ptr<RowStream> stream);

 private:
  const uint64_t wait_from_bytes_;
  const base::Duration wait_;
  std::map<std::string, std::weak_ptr<SharedRowStream::Group>> open_;  // Which may be joined still.
};

}  // namespace vitrail::movement
