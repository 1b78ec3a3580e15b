#pragma once

#include <memory>
#include <string>

#include "topo/store.h"

namespace vitrail::topo {

// Keeps everything in this process's memory: for tests and single-process experiments. Stores opened with one `name`
// share one tree, which lives as long as any of them. Leases end with their Lock object; time plays no part.
Result<std::shared_ptr<Store>> open_memory_store(const std::string& name, const std::string& root);

// While set, every operation on trees of this name fails with kUnavailable and watches are cut off: what a server that
// went away looks like. Leases survive. For tests of outages.
void set_memory_store_unavailable(const std::string& name, bool unavailable);

}  // namespace vitrail::topo
