#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "movement/engine.h"
#include "movement/stream.h"
#include "movement/vdiff.h"
#include "net/scope.h"
#include "net/sync.h"
#include "workflowdata.pb.h"

namespace vitrail::movement {

// A stream and the task that runs it.
struct StreamController {
  StreamController(const StreamContext& context, int32_t id) : stream(context, id) {}
  Stream stream;
  net::Scope scope;
};

// The engine behind its public face. Everything on the loop.
struct Engine::Core {
  explicit Core(EngineOptions given);
  ~Core();

  net::Task<Status> open();
  net::Task<void> close();
  net::Task<void> keep_opening();

  // Streams are stopped and started by whoever holds `admin`.
  void start_stream(int32_t id);
  net::Task<void> stop_stream(int32_t id);
  // Starts those of our database that should run and do not.
  net::Task<Status> start_streams(ServerSession& session, net::Wait wait);
  Stream* find_stream(int32_t id);
  std::vector<Stream*> streams_of(const std::string& workflow);

  // As the account that writes; never able to write on a read-only server.
  net::Task<Result<std::unique_ptr<ServerSession>>> connect(net::Wait wait);
  net::Task<Result<std::unique_ptr<ServerSession>>> connect_dba(net::Wait wait);
  Status check_open() const;
  // For statements on rows of our database.
  std::string in_workflow(const std::string& workflow) const;

  net::Task<Result<::tabletmanagerdata::CreateVReplicationWorkflowResponse>> create_workflow(
      ::tabletmanagerdata::CreateVReplicationWorkflowRequest request, net::Wait wait);
  net::Task<Result<::tabletmanagerdata::ReadVReplicationWorkflowResponse>> read_workflow(
      ::tabletmanagerdata::ReadVReplicationWorkflowRequest request, net::Wait wait);
  net::Task<Result<::tabletmanagerdata::ReadVReplicationWorkflowsResponse>> read_workflows(
      ::tabletmanagerdata::ReadVReplicationWorkflowsRequest request, net::Wait wait);
  net::Task<Result<::tabletmanagerdata::UpdateVReplicationWorkflowResponse>> update_workflow(
      ::tabletmanagerdata::UpdateVReplicationWorkflowRequest request, net::Wait wait);
  net::Task<Result<::tabletmanagerdata::UpdateVReplicationWorkflowsResponse>> update_workflows(
      ::tabletmanagerdata::UpdateVReplicationWorkflowsRequest request, net::Wait wait);
  net::Task<Result<::tabletmanagerdata::DeleteVReplicationWorkflowResponse>> delete_workflow(
      ::tabletmanagerdata::DeleteVReplicationWorkflowRequest request, net::Wait wait);
  net::Task<Result<::tabletmanagerdata::HasVReplicationWorkflowsResponse>> has_workflows(
      ::tabletmanagerdata::HasVReplicationWorkflowsRequest request, net::Wait wait);
  net::Task<Result<::tabletmanagerdata::VReplicationExecResponse>> vreplication_exec(
      ::tabletmanagerdata::VReplicationExecRequest request, net::Wait wait);
  net::Task<Result<::tabletmanagerdata::VReplicationWaitForPosResponse>> wait_for_position(
      ::tabletmanagerdata::VReplicationWaitForPosRequest request, net::Wait wait);
  net::Task<Result<::tabletmanagerdata::VDiffResponse>> vdiff(::tabletmanagerdata::VDiffRequest request,
                                                              net::Wait wait);

  // Stops the streams of these ids, runs `change` and starts what then should run. The caller holds admin.
  // Refuses a command of an owner that somebody else has taken its workflow from. Under the admin lock.
  net::Task<Status> check_fence(ServerSession& session, std::optional<::workflowdata::Fence> fence, net::Wait wait);
  net::Task<Result<net::QueryResult>> change_streams(ServerSession& session, std::vector<int32_t> ids,
                                                     std::string change, net::Wait wait);
  net::Task<Result<std::vector<int32_t>>> find_ids(ServerSession& session, std::string where, net::Wait wait);

  StreamContext context;
  net::LoopThread thread;
  bool opened = false;
  bool ever_opened = false;
  std::unique_ptr<net::Scope> scope;  // Of one opening.
  net::Mutex admin;
  std::map<int32_t, std::unique_ptr<StreamController>> controllers;
  VDiffs vdiffs;
  net::Semaphore pieces;  // See StreamContext.
  size_t copying = 0;

  base::Gauge* stream_count = nullptr;  // Null: no metrics.
  std::vector<base::Metrics::Subscription> subscriptions;
  void publish_status();
  std::mutex status_mutex;
  std::string status = "{}";  // Guarded by status_mutex.
};

// A result of the server as the RPCs return it.
::query::QueryResult to_proto(const net::QueryResult& result);

}  // namespace vitrail::movement
