#include "movement/source_probe.h"

#include "rpc/typed.h"
#include "tabletmanagerdata.pb.h"

namespace vitrail::movement {
namespace {

constexpr int kRunning = 3;  // Of replicationdata.Status.

}  // namespace

SourceHealth judge_source(const ::replicationdata::Status& status) {
  SourceHealth health;
  health.replicating = status.io_state() == kRunning && status.sql_state() == kRunning;
  health.lag = std::chrono::seconds(status.replication_lag_seconds());
  return health;
}

net::Task<SourceHealth> probe_source(std::shared_ptr<rpc::Channel> channel, ::topodata::TabletType type,
                                     net::Wait wait) {
  if (type == ::topodata::PRIMARY) co_return SourceHealth{};
  auto answer = co_await rpc::call<::tabletmanagerdata::ReplicationStatusResponse>(
      *channel, "/tabletmanagerservice.TabletManager/ReplicationStatus",
      ::tabletmanagerdata::ReplicationStatusRequest(), std::move(wait));
  if (!answer.ok()) co_return SourceHealth{};
  co_return judge_source(answer->status());
}

}  // namespace vitrail::movement
