#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "net/cancel.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "tablet/query_service.h"
#include "tablet/tablet_manager.h"

namespace vitrail::tablet {

// What to do about a transaction that is prepared here, by what the shard that decides it said.
enum class DecisionSeen : uint8_t { kCommit, kRollback, kUnknown };
enum class Resolution : uint8_t { kCommit, kRollback, kWait };
Resolution resolution_of(DecisionSeen seen);
// From the end of a call of SetRollback there. Only a clear word is one: whatever else happened is kUnknown.
DecisionSeen decision_seen(const Status& answer);

// Ends what others left behind (docs/formats/twopc.md): on a primary, the transactions that are prepared for longer
// than `abandon_age`, as the shard says that decides them; and the decisions of this shard that nobody needs any more.
// Answers the resolvers of other tablets.
//
//   Threads: the manager's loop.
class TwoPcResolver {
 public:
  struct Options {
    base::Duration abandon_age = std::chrono::seconds(15);
    rpc::ChannelOptions channel;
  };
  struct Unresolved {
    std::string dtid;
    std::string state;  // "PREPARED", "FAILED", "COMMIT", "ROLLBACK"
    std::string message;
  };

  TwoPcResolver(Options options, TabletManager& manager, QueryService& queries, base::Metrics& metrics);

  void register_handlers(rpc::Server& server, net::Loop& loop);
  net::Task<void> run(net::CancelToken cancel);
  // As seen last. Any thread.
  std::vector<Unresolved> unresolved() const;

 private:
  net::Task<Status> look(net::CancelToken cancel);
  net::Task<void> resolve(std::string dtid, net::CancelToken cancel);
  net::Task<Status> conclude(std::vector<std::string> dtids, net::Wait wait);
  // Whether each participant has ended it.
  net::Task<bool> ended_everywhere(std::string dtid, net::Wait wait);
  net::Task<Status> tell_primary(std::string keyspace, std::string shard, std::string dtid, bool decide,
                                 net::Wait wait);

  const Options options_;
  TabletManager& manager_;
  QueryService& queries_;
  rpc::ChannelPool channels_;
  // Since when each one is known. Nothing is hurried: what a restart forgets is resolved a little later.
  using Seen = std::map<std::string, base::TimePoint>;
  static void keep_only(Seen& seen, const std::vector<std::string>& present, base::TimePoint now);
  Seen prepared_since_, decided_since_;
  base::Counter& committed_;
  base::Counter& rolled_back_;
  base::Gauge& waiting_;
  mutable std::mutex mutex_;
  std::vector<Unresolved> unresolved_;
};

}  // namespace vitrail::tablet
