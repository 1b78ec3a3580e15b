#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "binlogdata.pb.h"
#include "net/loop.h"
#include "net/mysql_client.h"
#include "net/task.h"
#include "rpc/client.h"
#include "tabletmanagerdata.pb.h"
#include "topodata.pb.h"

namespace vitrail::base {
class Metrics;
class Random;
}  // namespace vitrail::base
namespace vitrail::rpc {
class Server;
}
namespace vitrail::topo {
class Server;
}

namespace vitrail::movement {

class Throttle;

// A tablet that a stream may read from.
struct SourceEndpoint {
  ::topodata::TabletAlias alias;
  ::topodata::TabletType type = ::topodata::UNKNOWN;
  std::string address;  // gRPC, "host:port".
};

// What a stream looks for.
struct SourceQuery {
  std::string cluster = {};  // Another one that this one knows by this name (Mount); "": this one.
  std::string keyspace;
  std::string shard;
  std::vector<std::string> cells;             // Empty: the tablet's own cell first, then all others.
  std::vector<::topodata::TabletType> types;  // Wanted types; never empty.
  bool in_order = true;                       // `types` is an order of preference.
};

// Finds tablets. The stream tries the candidates in order, and asks again when all have failed.
class SourcePicker {
 public:
  virtual ~SourcePicker() = default;
  // kNotFound when there is none. Called on the engine's loop.
  virtual net::Task<Result<std::vector<SourceEndpoint>>> candidates(SourceQuery query) = 0;
};

// By the Tablet records, of other clusters in their topologies. `server` must outlive it.
std::unique_ptr<SourcePicker> make_topology_picker(topo::Server& server, std::string cell);

struct EngineOptions {
  ::topodata::TabletAlias alias;  // This tablet; goes into answers and logs.
  std::string keyspace;
  std::string shard;
  std::string db_name;                     // The keyspace's database on the server.
  std::string sidecar = "_vt";             // The database of the tablet's own tables.
  net::MysqlAddress mysqld;                // The tablet's own server; a unix socket.
  std::string apply_user = "vt_filtered";  // Writes rows. Must not be able to write on a read-only server.
  std::string apply_password;
  std::string dba_user = "vt_dba";  // Administers _vt on behalf of the RPCs.
  std::string dba_password;
  SourcePicker* sources = nullptr;  // Required; must outlive the engine.
  rpc::ChannelOptions channel;      // For the sources; messages may be larger than it says.
  Throttle* throttle = nullptr;     // Asked by copies, streams and comparisons; must outlive the engine.
  base::Metrics* metrics = nullptr;
  const base::Clock* clock = &base::system_clock();

  base::Duration retry_delay_min = std::chrono::milliseconds(100);  // Doubles with every failure up to the maximum.
  base::Duration retry_delay_max = std::chrono::seconds(5);
  base::Duration heartbeat_interval = std::chrono::seconds(1);  // How often an idle stream saves its position.
  base::Duration lag_tolerance = std::chrono::seconds(10);      // A copy is over only when the stream lags less.
  uint64_t group_bytes_max = 1u << 20;  // Source transactions that wait are applied as one up to this size.
  uint64_t chunk_bytes = 8u << 20;      // Asked of the source for the chunks of a copy.
  size_t copy_lanes = 4;                // Pieces of copies that are inserted at the same time; at most 16 a stream.
  bool use_load_data = true;            // LOAD DATA LOCAL for chunks where the server allows it.
};

// The applying side of movement: the streams, workflows and VDiffs of one tablet while it is its shard's primary.
//
// A stream is a row of _vt.vreplication: copy the tables of its filter from a source shard, then follow that shard's
// binlog. Rows and progress are written in the same transactions, so a stream goes on exactly where it was after the
// death of this process, of a server or of the source (docs/internals/movement.md has the algorithm and why it is
// exact).
//
//   Threads : everything runs on the engine's own loop(). All public coroutines may be awaited on any loop (they go
//   there
//             and come back); register_handlers() runs the RPCs there.
//   Errors  : of RPCs: kFailedPrecondition when the engine is not open (the tablet is no primary), kNotFound for
//   unknown
//             workflows and streams, errors of the server as they are. A stream's own errors are in its row: message,
//             and state Error when trying again cannot help.
//   End     : close() must have returned before destruction (checked).
class Engine {
 public:
  explicit Engine(EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  net::Loop& loop();

  // The tablet has become primary, its server is writable, and the sidecar schema is there: starts what the tables say
  // should run. Repeating it does nothing. While the server cannot be reached it keeps trying in the background.
  net::Task<Status> open();
  // The tablet stops being primary: ends all streams and VDiffs (their rows stay as they are) and waits for them;
  // nothing is written afterwards. Repeating it does nothing.
  net::Task<void> close();

  // Registers the RPCs below as /tabletmanagerservice.TabletManager/<name>. Before the server starts, which must be
  // stopped before the engine is destroyed.
  void register_handlers(rpc::Server& server);

  using Deadline = base::TimePoint;
  net::Task<Result<::tabletmanagerdata::CreateVReplicationWorkflowResponse>> create_workflow(
      ::tabletmanagerdata::CreateVReplicationWorkflowRequest request, Deadline deadline);
  net::Task<Result<::tabletmanagerdata::ReadVReplicationWorkflowResponse>> read_workflow(
      ::tabletmanagerdata::ReadVReplicationWorkflowRequest request, Deadline deadline);
  net::Task<Result<::tabletmanagerdata::ReadVReplicationWorkflowsResponse>> read_workflows(
      ::tabletmanagerdata::ReadVReplicationWorkflowsRequest request, Deadline deadline);
  // When it returns, streams that were stopped apply nothing any more, and started ones run.
  //   `cells`, `tablet_types`: empty (or Vitess's own marks for "not given") leave the stored value.
  net::Task<Result<::tabletmanagerdata::UpdateVReplicationWorkflowResponse>> update_workflow(
      ::tabletmanagerdata::UpdateVReplicationWorkflowRequest request, Deadline deadline);
  net::Task<Result<::tabletmanagerdata::UpdateVReplicationWorkflowsResponse>> update_workflows(
      ::tabletmanagerdata::UpdateVReplicationWorkflowsRequest request, Deadline deadline);
  // Stops the streams and removes all their rows, those of its VDiffs included. An unknown workflow is no error (0
  // rows).
  net::Task<Result<::tabletmanagerdata::DeleteVReplicationWorkflowResponse>> delete_workflow(
      ::tabletmanagerdata::DeleteVReplicationWorkflowRequest request, Deadline deadline);
  net::Task<Result<::tabletmanagerdata::HasVReplicationWorkflowsResponse>> has_workflows(
      ::tabletmanagerdata::HasVReplicationWorkflowsRequest request, Deadline deadline);

  // SQL on the tables of _vt, as vt_dba. Unqualified tables are those of _vt. Streams whose rows a statement changes
  // are stopped before it and started, if their state says so, after it.
  net::Task<Result<::tabletmanagerdata::VReplicationExecResponse>> vreplication_exec(
      ::tabletmanagerdata::VReplicationExecRequest request, Deadline deadline);
  // Returns when everything up to the position has been applied and saved.
  //   kFailedPrecondition when the stream is stopped or in error before it; kDeadlineExceeded.
  net::Task<Result<::tabletmanagerdata::VReplicationWaitForPosResponse>> wait_for_position(
      ::tabletmanagerdata::VReplicationWaitForPosRequest request, Deadline deadline);

  // Actions create, show, stop, resume, delete; arguments and rows of the answer: vdiff.h.
  net::Task<Result<::tabletmanagerdata::VDiffResponse>> vdiff(::tabletmanagerdata::VDiffRequest request,
                                                              Deadline deadline);

  // The "VReplication..." part of /debug/vars: streams with state, position and rates, as one JSON object. Any thread.
  std::string status_json() const;

  struct Core;  // Private to this folder (engine_core.h).

 private:
  std::unique_ptr<Core> core_;
};

}  // namespace vitrail::movement
