#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "topo/store.h"
#include "topo/zookeeper/tree.h"

// Internal to topo/zookeeper. The layout is that of Vitess, so that both exclude each other.
namespace vitrail::topo::zookeeper {

// The queue entries that a store made.
struct Queues {
  std::mutex mutex;
  // Which exist for all we know: znode, and when it was made (czxid). Also guards against names that come again: the
  // numbers of a queue start at 0 when its directory was removed in the meantime.
  std::map<std::string, uint64_t> mine;
  std::map<std::string, int> creating;  // Queue -> creations under way.
  std::set<std::string> unsure;         // Queues where a creation of ours ended without answer.
};

struct LockRequest {
  std::string queue;  // znode: the parent of the entries.
  std::string contents;
  std::string must_exist;  // znode; empty: none.
  bool queue_up = true;
};

net::Task<Result<std::unique_ptr<Lock>>> acquire_lock(Tree tree, std::shared_ptr<Queues> queues, LockRequest request,
                                                      net::Wait wait);

// The entries of a queue, the holder first.
net::Task<Result<std::vector<LockEntry>>> read_queue(Tree tree, std::string queue, net::Wait wait);

}  // namespace vitrail::topo::zookeeper
