#pragma once

#include <memory>
#include <string>

#include "topo/etcd/settings.h"
#include "topo/store.h"

namespace vitrail::topo {

// Keeps the topology in etcd (v3 API): the kind "etcd2". Keys, values, locks and elections lie as Vitess lays them, so
// that programs of both work on one cluster: the key of a record is "<root>/<path>", its version the ModRevision.
//
//   Addresses : "host:port", or several of one cluster with commas between; the next is used when one fails.
//   Connects  : at first use. So a store may be opened while etcd is away.
//   Locks     : leases, renewed by a thread of the store. etcd grants no lease shorter than two seconds.
//   Watches   : one stream each; go on at another server when theirs ends.
// kInvalidArgument: bad addresses or root; kNotFound: no such TLS or password file.
Result<std::shared_ptr<Store>> open_etcd_store(std::string addresses, std::string root, EtcdSettings settings);

}  // namespace vitrail::topo
