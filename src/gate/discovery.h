#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gate/lag_filter.h"
#include "gate/schema_tracker.h"
#include "gate/view.h"
#include "net/scope.h"
#include "rpc/client.h"
#include "topo/srv_watcher.h"

namespace vitrail::gate {

// Keeps the View: watches the topology (SrvVSchema, SrvKeyspace, tablets) and a health stream of every tablet, and
// hands out a new View whenever something that queries can see has changed.
//
//   Threads : confined to the loop that start()ed it; `on_view` runs there.
//   Outage  : without the topology the last known state stays, over a restart too (topo_cache_dir); without a health
//   stream its tablet is not used.
class Discovery {
 public:
  struct Options {
    std::string cell;
    std::vector<std::string> cells_to_watch;
    std::string topo_cache_dir;  // Where to keep the last known topology; empty: nowhere.
    base::Duration healthcheck_timeout = std::chrono::minutes(1);  // A silent stream is dropped and made again.
    base::Duration retry_delay_max = std::chrono::seconds(2);
    std::shared_ptr<LagLimits> lag = std::make_shared<LagLimits>();  // Shared by all copies.
    rpc::ChannelOptions tablets;                                     // For the health streams.
    bool track_schema = true;                                        // See SchemaTracker.
  };
  // What is known of one tablet.
  struct Health {
    std::shared_ptr<const ::topodata::Tablet> record;
    bool serving = false;
    shard::Target target;  // As its health stream says: the record may be older.
    int64_t term_start_ns = 0;
    int64_t replication_lag_seconds = 0;
    std::string error;
    base::TimePoint heard;        // When its health stream said something last, or was tried first.
    bool lost = false;            // The stream has failed since.
    bool tables_changed = false;  // Since the schema tracker was told last.
  };
  using OnView = std::move_only_function<void(std::shared_ptr<const View>)>;

  // `topology` must outlive it.
  Discovery(topo::Server& topology, Options options, OnView on_view);
  ~Discovery();  // stop() must have returned.

  // To the tablets' data ports; before start().
  void set_data_tls(std::shared_ptr<const net::TlsContext> tls) { tracker_.set_tls(std::move(tls)); }
  void start();
  net::Task<void> stop();

  // The topology was read once, and every tablet's health stream has answered or failed once; or `wait` ended.
  net::Task<Status> wait_first_view(net::Wait wait);
  // Some healthy serving tablet exists for every shard that serves each of the types ("primary", ...).
  net::Task<Status> wait_for_tablets(std::vector<std::string> types, net::Wait wait);
  // Every keyspace that has a serving primary has told its tables (Options::track_schema).
  net::Task<Status> wait_for_columns(net::Wait wait);

  const std::map<std::string, Health>& health() const { return health_; }
  const std::shared_ptr<const View>& view() const { return view_; }

 private:
  struct Stream {
    std::shared_ptr<const ::topodata::Tablet> record;
    std::unique_ptr<net::CancelSource> cancel;
  };
  void on_topology(std::shared_ptr<const topo::ServingState> state);
  net::Task<void> follow(std::string alias, std::shared_ptr<const ::topodata::Tablet> record, net::CancelToken cancel);
  // Keeps peers_, as long as it lives; an outage leaves them as they are.
  net::Task<void> follow_cells_aliases();
  void changed();
  void publish();
  void follow_schemas(const View& view);

  topo::Server& topology_;
  const Options options_;
  OnView on_view_;
  topo::SrvWatcher watcher_;
  rpc::ChannelPool channels_;
  SchemaTracker tracker_;
  net::Scope scope_;
  std::map<std::string, Stream> streams_;
  std::map<std::string, Health> health_;
  std::map<std::string, std::set<std::string, std::less<>>> cells_aliases_;  // As the topology has them, by alias.
  std::set<std::string, std::less<>> peers_;  // The cells that have an alias together with the own one.
  std::shared_ptr<const topo::ServingState> state_;
  std::shared_ptr<const View> view_;
  net::Signal view_made_;
  bool publish_pending_ = false;
  base::Duration publish_cost_{};  // Of the last view, in time of the processor.
};

}  // namespace vitrail::gate
