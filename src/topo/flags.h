#pragma once

#include "base/settings.h"
#include "topo/server.h"

namespace vitrail::topo {

// Declares the settings that lead to the topology, the same for every program.
inline void declare(base::Settings& settings, ServerOptions& options) {
  std::string addresses;
  for (const StoreKind& kind : store_kinds()) {
    addresses += (addresses.empty() ? "" : "; ") + std::string(kind.name) + ": " + std::string(kind.address);
  }
  settings.add("topo_implementation", &options.implementation, "kind of topology server: " + store_kind_names());
  settings.add("topo_global_server_address", &options.global_server_address,
               "address of the global topology server (" + addresses + ")");
  settings.add("topo_global_root", &options.global_root, "root path of the global topology");
  for (const StoreKind& kind : store_kinds()) {
    if (kind.declare != nullptr) kind.declare(settings, options.stores);
  }
  settings.add("lock_timeout", &options.lock_timeout, "how long to wait for a lock that somebody else holds");
}

}  // namespace vitrail::topo
