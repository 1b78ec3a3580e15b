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

}  // namespace vitrail::control
