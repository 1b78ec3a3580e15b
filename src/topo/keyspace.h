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
// Keyspace.served_froms: the entry of a tablet type, or null.
const ::topodata::Keyspace::ServedFrom* find_served_from(const ::topodata::Keyspace& record,
                                                         ::topodata::TabletType type);
// Redirects one tablet type of a keyspace to another one, or ends that, in some cells.
struct ServedFromUpdate {
  ::topodata::TabletType type = ::topodata::PRIMARY;
  std::vector<std::string> cells;  // Names of cells; empty: all.
  std::string source;              // Empty: end it. Ending what is not there does nothing.
};
// `all_cells`: the topology's, for the rest when an entry for all of them loses some.
//   kInvalidArgument: a type that serves nothing. kFailedPrecondition: the type is served from yet another keyspace, or
//   of the primary's entry some cells only are meant (it has one place).
Status apply_served_from(::topodata::Keyspace& record, const ServedFromUpdate& update,
                         const std::vector<std::string>& all_cells);
// The same on the stored record. Also kNotFound for the source, kInvalidArgument for the keyspace itself or a source
// that is served from elsewhere. The cells see it after rebuild_keyspace_graph().
net::Task<Status> update_served_from(Server& server, const KeyspaceLock& lock, ServedFromUpdate update);

// Deletes the record and the VSchema. kFailedPrecondition while the keyspace has shards. The cells' records are the
// caller's business (delete_srv_keyspace).
net::Task<Status> delete_keyspace(Server& server, const KeyspaceLock& lock);

}  // namespace vitrail::topo
