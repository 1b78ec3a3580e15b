#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "topo/store.h"
#include "topo/zookeeper/tree.h"
#include "topo/zookeeper/walk.h"

// Internal to topo/zookeeper: ZooKeeper tells of one change per watch, without saying what changed. So each event only
// marks a znode, and next() reads the marked ones again, which sets their watches anew: what changes before that read
// is in its answer, what changes after it is a new event.
namespace vitrail::topo::zookeeper {

// What both kinds share: when to read, and what an outage does.
class ZkWatch : public Watch {
 public:
  static constexpr std::chrono::seconds kResumeFor{10};
  net::Task<Result<std::vector<Change>>> next(net::Wait wait) override;
  // Reads the present state, which next() begins with.
  net::Task<Status> start(net::Wait wait);

 protected:
  ZkWatch(Tree tree, std::string znode, bool below)
      : tree_(std::move(tree)), znode_(std::move(znode)), interested_(tree_.client, znode_, below) {}
  // Takes marks out of todo_ and `everything_` as it deals with them, and puts news into pending_.
  virtual net::Task<Status> refresh(net::Wait wait) = 0;

  const Tree tree_;
  const std::string znode_;
  std::set<std::string> todo_;
  bool everything_ = true;
  std::map<std::string, Change> pending_;  // By path.

 private:
  void take_news();
  std::vector<Change> take_pending();

  Interested interested_;
  bool started_ = false;  // next() has given the initial state.
  std::optional<base::TimePoint> failing_since_;
  std::optional<Error> dead_;
};

class ZkRecordWatch final : public ZkWatch {
 public:
  ZkRecordWatch(Tree tree, std::string znode) : ZkWatch(std::move(tree), std::move(znode), false) {}

 private:
  net::Task<Status> refresh(net::Wait wait) override;
  struct Shown {
    bool record = false;
    uint64_t created = 0;
    int32_t version = 0;
    bool operator==(const Shown&) const = default;
  };
  std::optional<Shown> shown_;
};

class ZkTreeWatch final : public ZkWatch {
 public:
  ZkTreeWatch(Tree tree, std::string znode) : ZkWatch(std::move(tree), std::move(znode), true) {}

 private:
  struct Known {
    bool record = false;
    uint64_t created = 0;
    int32_t version = 0;
  };
  using AllKnown = std::map<std::string, Known>;
  net::Task<Status> refresh(net::Wait wait) override;
  net::Task<Status> refresh_all(net::Wait wait);
  net::Task<Status> refresh_one(std::string znode, net::Wait wait);
  net::Task<Status> refresh_children(std::string dir, net::Wait wait);
  void see(Found found);
  void forget(const std::string& znode);  // And what is below.
  AllKnown known_;
};

}  // namespace vitrail::topo::zookeeper
