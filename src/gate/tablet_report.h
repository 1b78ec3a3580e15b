#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "gate/show_table.h"
#include "gate/view.h"
#include "net/task.h"
#include "net/cancel.h"

namespace replicationdata {
class Status;
}
namespace tabletmanagerdata {
class CheckThrottlerResponse;
}
namespace vitrail::rpc {
class ChannelPool;
}

namespace vitrail::gate {

// What tablets tell of themselves, for SHOW: they are asked by RPC, all at the same time. One that does not answer has
// a row that says so.
//   `tablets`, `view` must outlive the call.
struct TabletReport {
  const View& view;
  rpc::ChannelPool& tablets;
  net::Wait wait;

  // SHOW VITESS_REPLICATION_STATUS: of the tablets that replicate; `fits` is asked with "keyspace/shard".
  net::Task<net::QueryResult> replication(std::function<bool(std::string_view)> fits) const;
  // SHOW VITESS_THROTTLER STATUS: of the primaries of a keyspace's shards, or of `shard` alone.
  net::Task<Result<net::QueryResult>> throttler(std::string keyspace, std::string shard) const;
};

// SHOW VITESS_THROTTLED_APPS: the rules in force at `now` that slow an application of that keyspace down or exempt it.
Result<net::QueryResult> throttled_apps(const View& view, const std::string& keyspace, int64_t now);

// JSON texts in the columns ReplicationHealth and ThrottlerStatus.
std::string replication_health(const Result<::replicationdata::Status>& status);
std::string throttler_state(const Result<::tabletmanagerdata::CheckThrottlerResponse>& check);

}  // namespace vitrail::gate
