#include "topo/zookeeper/walk.h"

#include <algorithm>
#include <utility>

#include "net/scope.h"

namespace vitrail::topo::zookeeper {
namespace {

constexpr size_t kWorkers = 32;

struct Queue {
  const std::function<net::Task<Status>(size_t)> work;
  const size_t count;
  size_t next = 0;
  Status outcome;
};

net::Task<void> run_worker(Queue& queue) {
  while (queue.outcome.ok() && queue.next < queue.count) {
    Status done = co_await queue.work(queue.next++);
    if (!done.ok()) queue.outcome = std::move(done);
  }
}

struct Walk {
  const Tree& tree;
  const std::string& top;
  const bool watch;
  const std::function<bool(const std::string&)>& skip;
  std::vector<Found>& found;
  std::vector<std::string>& names;
  const net::Wait& wait;

  bool exists = true;
  std::vector<std::string> dirs;
  std::vector<std::string> next_dirs;
  std::vector<std::string> fresh;

  net::Task<Status> read_dir(size_t i) {
    const std::string& dir = dirs[i];
    CO_ASSIGN_OR_RETURN(const Reply reply, co_await tree.children(dir, watch, wait));
    if (reply.answer == Answer::kNoNode && dir == top) exists = false;
    for (const std::string& name : reply.names) {
      std::string child = dir == "/" ? dir + name : dir + "/" + name;
      if (is_lock_dir(tree, child) || child == "/zookeeper") continue;
      if (dir == top) names.push_back(child);
      if (!skip(child)) fresh.push_back(std::move(child));
    }
    co_return Status{};
  }

  net::Task<Status> read_node(size_t i) {
    CO_ASSIGN_OR_RETURN(Reply reply, co_await tree.get(fresh[i], watch, wait));
    if (reply.answer != Answer::kOk || reply.znode.owner != 0) co_return Status{};
    // An empty one may get children yet.
    if (watch ? reply.znode.bytes == 0 : reply.znode.children > 0) next_dirs.push_back(fresh[i]);
    found.push_back(Found{fresh[i], reply.znode, std::move(reply.data)});
    co_return Status{};
  }
};

}  // namespace

net::Task<Status> for_each(size_t count, std::function<net::Task<Status>(size_t)> work) {
  Queue queue{.work = std::move(work), .count = count};
  std::vector<net::Task<void>> workers;
  for (size_t i = 0; i < std::min(count, kWorkers); ++i) workers.push_back(run_worker(queue));
  co_await net::when_all(std::move(workers));
  co_return std::move(queue.outcome);
}

net::Task<Result<bool>> walk(Tree tree, std::string dir, bool watch, std::function<bool(const std::string&)> skip,
                             std::vector<Found>& found, std::vector<std::string>& names, net::Wait wait) {
  Walk state{tree, dir, watch, skip, found, names, wait};
  state.dirs.push_back(dir);
  while (!state.dirs.empty()) {
    CO_RETURN_IF_ERROR(co_await for_each(state.dirs.size(), [&state](size_t i) { return state.read_dir(i); }));
    CO_RETURN_IF_ERROR(co_await for_each(state.fresh.size(), [&state](size_t i) { return state.read_node(i); }));
    state.fresh.clear();
    state.dirs = std::exchange(state.next_dirs, {});
  }
  co_return state.exists;
}

}  // namespace vitrail::topo::zookeeper
