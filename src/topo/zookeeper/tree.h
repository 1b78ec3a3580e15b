#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "topo/store.h"
#include "topo/zookeeper/client.h"

// Internal to topo/zookeeper: what records and directories are among znodes, and how they come and go.
namespace vitrail::topo::zookeeper {

struct Tree {
  std::shared_ptr<Client> client;
  std::string root;  // "/vitess/global", or "" for the top.
  Client::Fresh freshness = nullptr;

  // For the reads of one operation that shall see what was written anywhere before.
  Tree fresh() const { return Tree{client, root, std::make_shared<Freshness>()}; }
  net::Task<Result<Reply>> get(std::string znode, bool watch, net::Wait wait) const {
    return client->get(std::move(znode), watch, std::move(wait), freshness);
  }
  net::Task<Result<Reply>> exists(std::string znode, bool watch, net::Wait wait) const {
    return client->exists(std::move(znode), watch, std::move(wait), freshness);
  }
  net::Task<Result<Reply>> children(std::string znode, bool watch, net::Wait wait) const {
    return client->children(std::move(znode), watch, std::move(wait), freshness);
  }
  std::string znode(std::string_view path) const;
  std::string relative(std::string_view znode) const;
};

// A znode without data that has children is a directory and no record.
inline bool is_directory(const Znode& znode) { return znode.bytes == 0 && znode.children > 0; }
// Below these are only locks and leaders: neither listed nor watched with the rest.
bool is_lock_dir(const Tree& tree, std::string_view znode);

// Creates with all missing parents, in one step, so that nobody sees an empty parent and takes it for an empty record.
// `ops` end with the creation of `path`; Written::refused counts in `ops`.
net::Task<Result<Written>> create_with_parents(Tree tree, std::vector<Op> ops, net::Wait wait,
                                               std::optional<int64_t> session);
// Does `ops`, of which the last removes `path`, and removes the parents that this empties, in one step.
net::Task<Result<Written>> remove_with_parents(Tree tree, std::vector<Op> ops, net::Wait wait,
                                               std::optional<int64_t> session);
// The parents of a znode that are below the root, the nearest first.
std::vector<std::string> parents_of(const Tree& tree, std::string_view znode);

}  // namespace vitrail::topo::zookeeper
