#pragma once

#include "base/settings.h"
#include "topo/server.h"

namespace vitrail::topo {

// Declares the settings that lead to the topology, the same for every program.
inline void declare(base::Settings& settings, ServerOptions& options) {
  settings.add("topo_implementation", &options.implementation,
               "kind of topology server: sqlite (a file on this machine)");
  settings.add("topo_global_server_address", &options.global_server_address,
               "address of the global topology server; sqlite: path of the database file");
  settings.add("topo_global_root", &options.global_root, "root path of the global topology");
  settings.add("lock_timeout", &options.lock_timeout, "how long to wait for a lock that somebody else holds");
}

}  // namespace vitrail::topo
