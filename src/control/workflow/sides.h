#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/fan_out.h"
#include "control/tablet_client.h"
#include "shard/shard_name.h"
#include "tabletmanagerdata.pb.h"
#include "topo/shard.h"
#include "workflowdata.pb.h"

// The shards on one side of a workflow as the topology knows them now, and calls to their primaries.
namespace vitrail::control {

struct Place {
  std::string shard;
  ::topodata::Shard record;
  std::optional<::topodata::Tablet> primary;
};

struct Side {
  std::string keyspace;
  std::vector<Place> places;  // Shards that exist.

  std::vector<shard::ShardName> names() const;
  std::vector<::topodata::Tablet> primaries() const;
};

// Shards without a record are left out: a workflow that is being completed deletes them.
net::Task<Result<Side>> load_side(TabletClient& tablets, std::string keyspace, std::vector<std::string> shards);
// kFailedPrecondition names the shard that has none.
Status check_primaries(const Side& side);

// A call to each of the tablets.
template <typename Response, typename Request>
net::Task<Status> call_all(TabletClient& tablets, std::vector<::topodata::Tablet> where, std::string method,
                           Request request, net::Wait wait) {
  auto one = [&](::topodata::Tablet tablet) {
    return [](TabletClient& client, ::topodata::Tablet target, std::string name, Request what,
              net::Wait until) -> net::Task<Status> {
      auto done = co_await client.call<Response>(std::move(target), name, std::move(what), std::move(until));
      if (!done.ok()) co_return std::move(done).error();
      co_return Status{};
    }(tablets, std::move(tablet), method, request, wait);
  };
  co_return co_await for_all<::topodata::Tablet>(std::move(where), one);
}

// They read the topology again, and have ended what it does not allow any more when this returns.
net::Task<Status> refresh_all(TabletClient& tablets, std::vector<::topodata::Tablet> where, net::Wait wait);
// The same at who is the primary of each place now, after the records that it is to read were written: one that was
// promoted since the side was loaded may have read them before, one that is promoted later reads them by itself.
net::Task<Status> refresh_primaries(TabletClient& tablets, Side side, net::Wait wait);
// The side as the topology knows it now.
net::Task<Result<Side>> load_side_again(TabletClient& tablets, const Side& side);
net::Task<Status> set_streams(TabletClient& tablets, ::workflowdata::Fence fence, std::vector<::topodata::Tablet> where,
                              std::string workflow, ::binlogdata::VReplicationWorkflowState state, std::string message,
                              net::Wait wait);
// No streams are no error.
net::Task<Status> delete_streams(TabletClient& tablets, ::workflowdata::Fence fence,
                                 std::vector<::topodata::Tablet> where, std::string workflow, net::Wait wait);
net::Task<Result<::tabletmanagerdata::ReadVReplicationWorkflowResponse>> read_streams(TabletClient& tablets,
                                                                                      ::topodata::Tablet where,
                                                                                      std::string workflow,
                                                                                      net::Wait wait);

}  // namespace vitrail::control
