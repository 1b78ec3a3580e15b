#pragma once

#include <map>
#include <string>

#include "topo/server.h"
#include "topodata.pb.h"

// ServedFrom: a keyspace whose statements of some tablet types go to another keyspace, as in a vertical split of the
// older generation. Its own fields are gone from the records, so the redirect is a keyspace routing rule for the type:
// "customer@replica" -> "commerce". The primary's is "customer@primary": a general rule would hold for all types.
//
// Such a rule holds in every cell.
namespace vitrail::control {

// By tablet type; types that are not redirected are absent.
using ServedFrom = std::map<::topodata::TabletType, std::string>;

// kNotFound when the keyspace does not exist.
net::Task<Result<ServedFrom>> get_served_from(topo::Server& topology, std::string keyspace);

// Redirects one type to `source`, or with an empty `source` ends its redirect (ending none is fine). Takes the lock of
// the routing rules. The cells see it after rebuild_srv_vschema().
//   kInvalidArgument: not PRIMARY, REPLICA or RDONLY; the keyspace itself. kNotFound: one of the keyspaces.
net::Task<Status> set_served_from(topo::Server& topology, std::string keyspace, ::topodata::TabletType type,
                                  std::string source);

}  // namespace vitrail::control
