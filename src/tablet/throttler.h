#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "movement/throttle.h"
#include "net/scope.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "tablet/throttle_rules.h"
#include "tablet/tablet_state.h"

namespace vitrail::net {
class Loop;
}
namespace vitrail::topo {
class Server;
}

namespace vitrail::tablet {

class TabletManager;

// Says whether work that can wait should wait: copies, streams and comparisons of this tablet ask it, and others by
// RPC.
//
// While the keyspace's throttler is on, it looks at its server every second; the shard's primary also asks the other
// tablets what they measured, so that it can answer for the shard. A tablet that does not answer is left out: of a dead
// replica nothing can be known, and it must not stop everybody. One whose replication has stopped lags since then.
//
//   Configuration: SrvKeyspace.throttler_config of the tablet's cell, which is watched.
//   Threads      : run() on the manager's loop; reason_to_wait() on any.
class Throttler final : public movement::Throttle {
 public:
  struct Options {
    std::vector<std::string> tablet_types = {"replica"};  // Whose measurements the primary collects.
    base::Duration interval = std::chrono::seconds(1);
    rpc::ChannelOptions channel;
  };
  // `topology` and `metrics` must outlive it.
  Throttler(Options options, topo::Server& topology, base::Metrics& metrics);
  ~Throttler() override;

  // Registers CheckThrottler and GetThrottlerStatus. Before the server starts.
  void register_handlers(rpc::Server& server, net::Loop& loop);
  // Watches, measures and collects until `cancel`. `manager` must outlive it.
  net::Task<void> run(TabletManager& manager, net::CancelToken cancel);

  std::optional<std::string> reason_to_wait(std::string_view app) override;
  ::tabletmanagerdata::CheckThrottlerResponse check(const ::tabletmanagerdata::CheckThrottlerRequest& request);
  ::tabletmanagerdata::GetThrottlerStatusResponse status() const;

 private:
  net::Task<void> follow_config(TabletManager& manager, net::CancelToken cancel);
  net::Task<Readings> measure(TabletManager& manager, net::CancelToken cancel);
  net::Task<Reading> measure_lag(TabletManager& manager, net::Wait wait);
  net::Task<std::vector<Readings>> collect(TabletManager& manager, net::CancelToken cancel);
  void publish(Measured measured, bool is_primary);
  ::topodata::ThrottlerConfig config() const;
  double roll();

  const Options options_;
  topo::Server& topology_;
  base::Counter& checks_;
  base::Counter& refused_;
  rpc::ChannelPool channels_;
  Lag lag_;
  std::vector<::topodata::Tablet> others_;  // As of others_at_.
  base::TimePoint others_at_;

  mutable std::mutex mutex_;  // Guards all below.
  ::topodata::ThrottlerConfig config_;
  Measured measured_;
  base::TimePoint measured_at_;
  bool is_primary_ = false;
  bool runs_ = false;
  std::string alias_, keyspace_, shard_;
  std::map<std::string, base::WallTime> healthy_at_;  // By metric.
  struct Seen {
    base::WallTime at;
    ::tabletmanagerdata::CheckThrottlerResponseCode code;
  };
  std::map<std::string, Seen, std::less<>> recent_;  // By app.
  uint64_t dice_ = 88172645463325252ull;
};

}  // namespace vitrail::tablet
