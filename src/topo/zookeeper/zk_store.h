#pragma once

#include <memory>
#include <string>

#include "topo/store.h"
#include "topo/zookeeper/settings.h"

// The topology in ZooKeeper: the kind "zk2".
namespace vitrail::topo {

// Keeps the topology in ZooKeeper, as Vitess lays it out: a record is the znode "<root>/<path>", its version the
// znode's; a lock is the lowest ephemeral sequential znode below "<dir>/locks/", a leader that below
// "elections/<name>/".
//
//   Addresses : "host:port", several of one ensemble with commas between; the client goes on at another one by itself.
//   Connects  : at first use. So a store may be opened while ZooKeeper is away.
//   Session   : one per store, of `base_timeout`. It takes the place of a lock's ttl: locks live as long as the
//               session. Those whose ttl is 10 s or less share a second one, of the first of these ttls (4 s at least,
//               unless the servers allow less), so that they do not outlive a dead holder for long. A session that
//               ended is replaced; its locks are lost, its watches go on.
//   Sizes     : the servers take requests below their jute.maxbuffer only, and drop the connection otherwise. By
//               default that is one byte less than 1 MiB for record, path and frame together. A write of this size
//               that ends with the connection is kResourceExhausted, and says what to set.
//   list()    : no single state, as ZooKeeper has no way to read a tree at once.
// kInvalidArgument: bad addresses, root or login file; kNotFound: no such file.
Result<std::shared_ptr<Store>> open_zk_store(std::string addresses, std::string root, ZkSettings settings);

}  // namespace vitrail::topo
