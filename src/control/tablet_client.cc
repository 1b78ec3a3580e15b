#include "control/tablet_client.h"

#include "topo/shard.h"

namespace vitrail::control {

net::Task<Result<::topodata::Tablet>> TabletClient::primary_of(std::string keyspace, std::string shard) {
  CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(topology_, keyspace, shard));
  if (!info.record.has_primary_alias()) {
    co_return fail(Code::kFailedPrecondition,
                   "shard " + keyspace + "/" + shard + " has no primary: elect one with PlannedReparentShard");
  }
  CO_ASSIGN_OR_RETURN(auto tablet, co_await topo::get_tablet(topology_, info.record.primary_alias()));
  co_return std::move(tablet.record);
}

net::Task<Result<::query::StreamHealthResponse>> TabletClient::health_of(::topodata::Tablet tablet, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto channel, channels_.get(topo::tablet_address(tablet, topo::kPortGrpc)));
  auto stream = rpc::open_stream<::query::StreamHealthResponse>(*channel, "/queryservice.Query/StreamHealth",
                                                                ::query::StreamHealthRequest(), wait.deadline);
  CO_ASSIGN_OR_RETURN(auto first, co_await stream.next(wait));
  if (!first) co_return fail(Code::kUnavailable, "the tablet ended its health stream");
  co_return std::move(*first);
}

}  // namespace vitrail::control
