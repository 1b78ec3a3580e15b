#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "net/mysql_pool.h"
#include "net/sync.h"
#include "tablet/server_killer.h"
#include "tablet/serving_state.h"

namespace vitrail::tablet {

// Values [next, end) of a sequence, which are its tablet's to give.
struct SequenceBlock {
  int64_t next = 0;
  int64_t end = 0;
};

// What is in memory when `count` more values are needed than `left` has, and the table says `stored` (next_id) and
// `cache`. The new `end` is what the table has to say from then on.
//   kOutOfRange: next_id is none, or there are not so many values.
Result<SequenceBlock> next_block(SequenceBlock left, int64_t stored, int64_t cache, int64_t count);

// Hands out values of sequence tables (comment 'vitess_sequence'; one row id = 0, next_id, cache), S3-63..S3-69. Values
// are taken from memory; `cache` of them are reserved in the table at a time, and what is left in memory is lost with
// the process or with reset().
//
//   Threads: home(), the loop it was made on. From another loop: enter home() first.
class Sequences {
 public:
  // How connections are ended in the server: a reservation that nobody waits for any more goes on there otherwise.
  struct Ends {
    ServerKiller* killer = nullptr;
    // For one that does not end in time: it is ended later, and fences wait for that.
    std::function<void(uint32_t connection)> later;
  };
  // `pool` (of home()), `doubt` and the Sequences must outlive every call.
  Sequences(net::Loop& home, net::MysqlPool& pool, AckDoubt& doubt) : home_(home), pool_(pool), doubt_(doubt) {}
  net::Loop& home() { return home_; }
  // Before the first call of next() or apply().
  void set_ends(Ends ends) { ends_ = std::move(ends); }

  // The first of `count` consecutive values.
  //   kNotFound: not a sequence table, or its row is missing; the message says how to make it.
  net::Task<Result<int64_t>> next(std::string table, int64_t count, net::Wait wait);
  // Puts a new state in force: when this returns, no reservation that it forbids is under way. What does not end within
  // `grace` is ended in the server.
  net::Task<Status> apply(std::shared_ptr<const ServingState> state, base::Duration grace);
  // Forgets all cached values: the table was changed behind our back, or this tablet is no longer the primary. Who
  // waits for values now gets them from what the table says from now on.
  void reset() { cached_.clear(); }

 private:
  struct Cached {
    net::Mutex mutex;  // One reservation at a time.
    SequenceBlock block;
  };
  std::shared_ptr<Cached>& current(const std::string& table);
  // Nothing: it was forgotten meanwhile.
  net::Task<Result<std::optional<int64_t>>> take(std::shared_ptr<Cached> cached, const std::string& table,
                                                 int64_t count, net::Wait wait);
  net::Task<Status> reserve(Cached& cached, const std::string& table, int64_t count, net::Wait wait);
  net::Task<Status> reserve_on(net::PooledConnection& connection, Cached& cached, const std::string& name,
                               const std::string& table, int64_t count, net::Wait wait);
  net::Task<void> end(net::MysqlPool::Lease& lease);
  Status allowed(const std::string& table) const;

  net::Loop& home_;
  net::MysqlPool& pool_;
  AckDoubt& doubt_;
  Ends ends_;
  std::shared_ptr<const ServingState> state_ = std::make_shared<ServingState>();
  std::multiset<uint32_t> reserving_;  // Server connections on which a block is being reserved.
  net::Signal reserved_;
  std::unordered_map<std::string, std::shared_ptr<Cached>> cached_;
};

}  // namespace vitrail::tablet
