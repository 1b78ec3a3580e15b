#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "control/stream_caller.h"
#include "control/tablet_client.h"
#include "net/cancel.h"
#include "net/loop.h"
#include "net/task.h"
#include "rpc/caller.h"
#include "rpc/server.h"
#include "topo/server.h"

// The commands of the older generation (vtctl, vtctlclient): older names, older forms of arguments. Each is put into
// words of today's vtctldclient, or calls what today's commands call; nothing is done a second time here.
//
//     TopoCat -- --decode_proto --cell=zone1 '/keyspaces/commerce/SrvKeyspace'
//     InitShardMaster -force -wait_slave_timeout 31s commerce/0 zone1-100
//     MoveTables -source commerce -tables 'customer,corder' Create customer.commerce2customer
//
// One or two dashes, '_' = '-', a lone "--" behind the command's name, "master" for "primary".
namespace vitrail::control {

enum class LegacyLevel : uint8_t { kInfo, kWarning, kError, kConsole };  // As in logutil.Level.

// What a command has to work with. Everything outlives the command.
struct LegacyEnvironment {
  TabletClient& tablets;
  rpc::Caller vtctld;  // Methods of /vtctlservice.Vtctld.
  base::Duration action_timeout = std::chrono::hours(1);
  // Takes what the command says, in order: log lines, and console output (which is printed as it is). An Error ends the
  // command: nobody listens any more.
  std::function<net::Task<Status>(LegacyLevel level, std::string text)> report;
  StreamCaller streams = {};     // Methods of Vtctld that answer with a stream.
  net::CancelToken cancel = {};  // Ends commands that wait.
  // Factories of the workflow manager; null: no manager runs here.
  const std::vector<std::string>* workflow_factories = nullptr;
  std::string who = {};  // For logs of what was done; empty: not known.

  topo::Server& topology() const { return tablets.topology(); }
};

// Runs one command line, without the program's name. Reads no local files: see read_legacy_files().
//   kInvalidArgument: an unknown command (the nearest known one is named), an argument that does not fit.
net::Task<Status> run_legacy_command(const LegacyEnvironment& environment, std::vector<std::string> line);

// A command line whose local files have been read, so that it may run on another machine.
struct LegacyLine {
  std::vector<std::string> words;
  std::string output_file;  // Not empty: console output is the file's new content in hexadecimal digits, see write().
};
// Replaces -sql-file, -vschema_file and the like by the file's text, and the local file of TopoCp by its bytes.
// kNotFound names the file. Lines it does not understand come back as they are.
Result<LegacyLine> read_legacy_files(std::vector<std::string> line);
Status write_legacy_output(const LegacyLine& line, const std::string& console);

// All commands, by group, with their arguments.
std::string legacy_help();

// Registers /vtctlservice.Vtctl on a server that has not started yet. Methods of Vtctld on the same server are called
// in process. `tablets`, `server` and `workflow_factories` (LegacyEnvironment) outlive the calls.
void register_legacy_method(rpc::Server& server, net::Loop& loop, TabletClient& tablets,
                            const std::vector<std::string>* workflow_factories = nullptr);

}  // namespace vitrail::control
