#pragma once

#include <functional>
#include <string>
#include <vector>

#include "topo/zookeeper/tree.h"

// Internal to topo/zookeeper.
namespace vitrail::topo::zookeeper {

struct Found {
  std::string znode;
  Znode state;
  std::string data;
};

// Runs `work(i)` for 0 <= i < count, several at a time, and returns the first error. What `work` refers to must outlive
// the call.
net::Task<Status> for_each(size_t count, std::function<net::Task<Status>(size_t)> work);

// Reads everything below a directory, whose own state is not part of it, level by level; locks and leaders left out.
//   `watch`  : leaves a watch at each directory and each znode found.
//   `skip`   : those that are not looked at, nor what is below them.
//   `names`  : filled with the znodes directly below, skipped ones too.
// False: there is no such directory.
net::Task<Result<bool>> walk(Tree tree, std::string dir, bool watch, std::function<bool(const std::string&)> skip,
                             std::vector<Found>& found, std::vector<std::string>& names, net::Wait wait);

}  // namespace vitrail::topo::zookeeper
