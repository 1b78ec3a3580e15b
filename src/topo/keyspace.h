#pragma once

#include <string>
#include <vector>

#include "topo/locks.h"
#include "topo/record.h"
#include "topo/server.h"
#include "topodata.pb.h"

namespace vitrail::topo {

inline constexpr std::string_view kDefaultSidecarDb = "_vt";
inline constexpr std::string_view kDefaultDurability = "none";

// Sorted; empty when there are none. A keyspace that is being deleted is named until its lock is given back.
net::Task<Result<std::vector<std::string>>> get_keyspaces(Server& server);
// kNotFound names the keyspace.
net::Task<Result<Versioned<::topodata::Keyspace>>> get_keyspace(Server& server, std::string keyspace);

// Writes the record (defaults filled in: sidecar database, durability) and, unless there is one, an empty VSchema. Does
// not rebuild SrvVSchema: rebuild_srv_vschema().
//   kAlreadyExists; kInvalidArgument for a bad name or policy, or a SNAPSHOT keyspace without base keyspace and time.
net::Task<Status> create_keyspace(Server& server, std::string keyspace, ::topodata::Keyspace record,
                                  bool with_vschema = true);
// Reads, lets `fn` change, writes; again on a conflict.
net::Task<Result<::topodata::Keyspace>> update_keyspace_fields(Server& server, const KeyspaceLock& lock,
                                                               UpdateFn<::topodata::Keyspace> fn);
// kInvalidArgument for an unknown one (durability.h). Shards take it over at their next reparent or start.
net::Task<Status> set_keyspace_durability(Server& server, const KeyspaceLock& lock, std::string policy);
// Deletes the record and the VSchema. kFailedPrecondition while the keyspace has shards. The cells' records are the
// caller's business (delete_srv_keyspace).
net::Task<Status> delete_keyspace(Server& server, const KeyspaceLock& lock);

}  // namespace vitrail::topo
