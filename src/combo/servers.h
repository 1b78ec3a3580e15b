#pragma once

#include <cstdint>
#include <string>

#include "base/process.h"
#include "base/result.h"
#include "combo/spec.h"
#include "mysqld/config.h"

// The MySQL servers of a cluster in one process. They are processes of their own, and must not outlive it: a second
// process, the keeper, waits for the end of the first one, however that ends, and then stops them.
namespace vitrail::combo {

mysqld::Layout layout_of(const std::string& data_dir, uint32_t uid);

// Starts this program anew as the keeper of `data_dir`; returns once it watches. Call it on the main thread: the
// keeper waits for the end of the thread that made it. SIGTERM lets it begin at once.
Result<base::ChildProcess> spawn_keeper(const std::string& data_dir, bool persistent);
// What the keeper does; the exit code. `parent`: whose end it waits for.
int keep(const std::string& data_dir, pid_t parent, bool persistent);

// Makes the servers that are not there yet and starts those that do not run, all at once; blocks until they answer.
Status start_servers(const Spec& spec, const std::string& data_dir);

}  // namespace vitrail::combo
