#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "net/loop.h"
#include "net/sync.h"
#include "topo/store.h"

// Internal to topo: hands the changes of one tree to those who watch parts of it. Shared by the memory and SQLite
// stores.
namespace vitrail::topo::internal {

// One committed change; `revision` grows with every change of the tree.
struct TreeChange {
  std::string path;  // Full path, with the store's root.
  std::optional<std::string> data;
  uint64_t revision = 0;
  bool ephemeral = false;
};

// The state of a part of the tree at one revision.
struct TreeSnapshot {
  std::vector<TreeChange> records;  // Each with the revision of its last change; data is never empty.
  uint64_t revision = 0;
};

class WatchHub : public std::enable_shared_from_this<WatchHub> {
 public:
  struct Filter {
    std::string path;
    bool recursive = false;  // `path` is a directory ("" for the whole tree): everything below it.
    bool ephemeral = false;  // Also lock entries, and those only when true.
    bool matches(std::string_view changed, bool changed_is_ephemeral) const;
  };

  // What one watch has yet to see. Made by subscribe(), fed by the hub, drained on the loop of its watch.
  class Subscription {
   public:
    Subscription(std::shared_ptr<WatchHub> hub, Filter filter, size_t root_length);
    ~Subscription();
    // Gives the state that the snapshot shows, and lets through only what came after it. `initial`: next() starts with
    // it.
    void start(const TreeSnapshot& snapshot, bool initial);
    net::Task<Result<std::vector<Change>>> next(net::Wait wait);

   private:
    friend class WatchHub;
    struct Pending {
      std::optional<Record> record;
      uint64_t revision = 0;
    };
    // What the hub and the loop share; the loop's posted wake-up may outlive the subscription.
    struct State {
      net::Loop* loop = nullptr;
      net::Signal changed;       // Loop only.
      bool wake_posted = false;  // The rest: guarded by the hub's mutex.
      bool started = false;
      uint64_t start_revision = 0;  // What next() began with; the hub may still have older news.
      bool deliver = false;         // next() has something to return, perhaps an empty initial state.
      std::map<std::string, Pending> pending;
      std::map<std::string, uint64_t> known;  // Revision last put into pending, of records that exist.
      std::optional<Error> dead;
    };
    const std::shared_ptr<WatchHub> hub_;
    const Filter filter_;
    const size_t root_length_;
    const std::shared_ptr<State> state_;
  };

  // On a loop. Must be started before anything comes out. `root`: full path that next() cuts off ("" or
  // "vitess/global").
  std::unique_ptr<Subscription> subscribe(Filter filter, std::string_view root);

  // Any subscription that wants changes of this path?
  bool wants(std::string_view path, bool ephemeral) const;
  // In order of revisions. Any thread.
  void publish(const std::vector<TreeChange>& changes);
  // After changes were missed. `whole` is the present state of the whole tree.
  void resync(const TreeSnapshot& whole);
  // Ends one subscription: its next() fails with `why`.
  void end(Subscription& subscription, const Error& why);
  void end_all(const Error& why);

 private:
  void put_locked(Subscription& subscription, const TreeChange& change);
  static void end_locked(Subscription& subscription, const Error& why);
  static void wake_locked(Subscription& subscription);

  mutable std::mutex mutex_;
  std::set<Subscription*> subscriptions_;
};

}  // namespace vitrail::topo::internal
