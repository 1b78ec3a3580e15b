#include "control/workflow/sides.h"

#include <fmt/core.h>

#include "topo/workflow_fence.h"

namespace vitrail::control {

namespace tmd = ::tabletmanagerdata;

std::vector<shard::ShardName> Side::names() const {
  std::vector<shard::ShardName> out;
  for (const auto& place : places) {
    if (auto name = shard::ShardName::parse(place.shard); name.ok()) out.push_back(std::move(*name));
  }
  return out;
}

std::vector<::topodata::Tablet> Side::primaries() const {
  std::vector<::topodata::Tablet> out;
  for (const auto& place : places) {
    if (place.primary) out.push_back(*place.primary);
  }
  return out;
}

net::Task<Result<Side>> load_side(TabletClient& tablets, std::string keyspace, std::vector<std::string> shards) {
  Side side{keyspace, std::vector<Place>(shards.size())};
  for (size_t i = 0; i < shards.size(); ++i) side.places[i].shard = shards[i];
  std::vector<Place*> places;
  for (auto& place : side.places) places.push_back(&place);
  auto one = [&](Place* place) {
    return [](topo::Server& topology, std::string in, Place& out) -> net::Task<Status> {
      auto info = co_await topo::get_shard(topology, in, out.shard);
      if (!info.ok()) {
        if (info.error().code() != Code::kNotFound) co_return std::move(info).error();
        out.shard.clear();
        co_return Status{};
      }
      out.record = std::move(info->record);
      if (!out.record.has_primary_alias()) co_return Status{};
      auto tablet = co_await topo::get_tablet(topology, out.record.primary_alias());
      if (tablet.ok()) {
        out.primary = std::move(tablet->record);
      } else if (tablet.error().code() != Code::kNotFound) {
        co_return std::move(tablet).error();
      }
      co_return Status{};
    }(tablets.topology(), side.keyspace, *place);
  };
  CO_RETURN_IF_ERROR(co_await for_all<Place*>(std::move(places), one));
  std::erase_if(side.places, [](const Place& place) { return place.shard.empty(); });
  co_return std::move(side);
}

Status check_primaries(const Side& side) {
  for (const auto& place : side.places) {
    if (!place.primary) {
      return fail(Code::kFailedPrecondition, fmt::format("shard {}/{} has no primary", side.keyspace, place.shard));
    }
  }
  return {};
}

net::Task<Status> refresh_all(TabletClient& tablets, std::vector<::topodata::Tablet> where, net::Wait wait) {
  return call_all<tmd::RefreshStateResponse>(tablets, std::move(where), "RefreshState", tmd::RefreshStateRequest(),
                                             std::move(wait));
}

net::Task<Result<Side>> load_side_again(TabletClient& tablets, const Side& side) {
  std::vector<std::string> shards;
  for (const auto& place : side.places) shards.push_back(place.shard);
  return load_side(tablets, side.keyspace, std::move(shards));
}

net::Task<Status> refresh_primaries(TabletClient& tablets, Side side, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto now, co_await load_side_again(tablets, side));
  co_return co_await refresh_all(tablets, now.primaries(), std::move(wait));
}

net::Task<Status> set_streams(TabletClient& tablets, ::workflowdata::Fence fence, std::vector<::topodata::Tablet> where,
                              std::string workflow, ::binlogdata::VReplicationWorkflowState state, std::string message,
                              net::Wait wait) {
  tmd::UpdateVReplicationWorkflowRequest request;
  request.set_workflow(std::move(workflow));
  request.set_state(state);
  request.set_message(std::move(message));
  topo::set_fence(request, fence);
  return call_all<tmd::UpdateVReplicationWorkflowResponse>(tablets, std::move(where), "UpdateVReplicationWorkflow",
                                                           std::move(request), std::move(wait));
}

net::Task<Status> delete_streams(TabletClient& tablets, ::workflowdata::Fence fence,
                                 std::vector<::topodata::Tablet> where, std::string workflow, net::Wait wait) {
  tmd::DeleteVReplicationWorkflowRequest request;
  request.set_workflow(std::move(workflow));
  topo::set_fence(request, fence);
  Status deleted = co_await call_all<tmd::DeleteVReplicationWorkflowResponse>(
      tablets, std::move(where), "DeleteVReplicationWorkflow", std::move(request), std::move(wait));
  if (!deleted.ok() && deleted.error().code() == Code::kNotFound) co_return Status{};
  co_return deleted;
}

net::Task<Result<tmd::ReadVReplicationWorkflowResponse>> read_streams(TabletClient& tablets, ::topodata::Tablet where,
                                                                      std::string workflow, net::Wait wait) {
  tmd::ReadVReplicationWorkflowRequest request;
  request.set_workflow(std::move(workflow));
  auto read = co_await tablets.call<tmd::ReadVReplicationWorkflowResponse>(std::move(where), "ReadVReplicationWorkflow",
                                                                           std::move(request), std::move(wait));
  if (!read.ok() && read.error().code() == Code::kNotFound) co_return tmd::ReadVReplicationWorkflowResponse();
  co_return read;
}

}  // namespace vitrail::control
