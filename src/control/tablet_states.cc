#include "control/tablet_states.h"

#include "topo/durability.h"

namespace vitrail::control {

net::Task<Result<bool>> acknowledges_primary(TabletClient& client, ::topodata::Tablet tablet) {
  CO_ASSIGN_OR_RETURN(const auto policy, co_await topo::get_durability(client.topology(), tablet.keyspace()));
  if (policy.acks_needed() == 0) co_return false;
  const auto primary = co_await client.primary_of(tablet.keyspace(), tablet.shard());
  co_return primary.ok() && policy.acknowledges(*primary, tablet);
}

}  // namespace vitrail::control
