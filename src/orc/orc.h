#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "control/tablet_client.h"
#include "net/scope.h"
#include "orc/analysis.h"
#include "rpc/security.h"
#include "topo/server.h"

namespace vitrail::base {
class Settings;
}
namespace vitrail::control {
struct WebAccess;
}
namespace vitrail::rpc {
class HttpServer;
}

namespace vitrail::orc {

struct OrcOptions {
  std::string cell;
  std::vector<std::string> clusters;                  // Keyspaces or keyspace/shard; empty: all.
  base::Duration poll = std::chrono::seconds(1);      // Between two looks at a shard.
  base::Duration refresh = std::chrono::seconds(15);  // Between two looks for keyspaces, shards and tablets.
  base::Duration reparent_timeout = std::chrono::seconds(30);
  base::Duration tolerable_lag{0};
  base::Duration cooldown = std::chrono::seconds(30);  // Behind a recovery that succeeded, for the same problem.
  base::Duration retry = std::chrono::seconds(5);      // Behind one that failed.
  bool allow_emergency = true;
  bool prevent_cross_cell = false;
  bool dry_run = false;
  AnalysisSettings analysis;
  rpc::ClientSecurity security;
  rpc::TlsOptions tls;
};

void declare(base::Settings& settings, OrcOptions& options);

// Looks at every shard again and again, says what is wrong (analysis.h), and mends what can be mended: with the
// reparents of control/, or under the shard's lock. Any number of them may run: who finds the shard's lock taken, or
// the primary changed, lets it be.
//
//   Threads: make, start and stop it on one loop. Pages may be asked from any.
class Orc {
 public:
  Orc(OrcOptions options, topo::Server& topology, base::Metrics& metrics);
  ~Orc();  // stop() must have returned.

  net::Task<Status> start();
  net::Task<void> stop();
  // /api/... and a part of the status page. Before `http` is started.
  // `access`: who may switch recoveries on and off.
  void add_pages(rpc::HttpServer& http, const control::WebAccess& access);
  // OK once every shard has been looked for. Any thread.
  Status health() const;

  // What the pages show.
  struct Seen {
    Problem problem;
    Recovery recovery;
    std::string keyspace, shard, tablet, detail;
    base::WallTime since;
  };
  struct Done {
    base::WallTime at;
    Problem problem;
    Recovery recovery;
    std::string keyspace, shard, tablet;
    bool successful = false, dry = false;
    std::string outcome;  // Of a failure: why.
    base::Duration took{0};
  };

 private:
  struct Shard;
  using Key = std::pair<Problem, std::string>;

  net::Task<void> discover();
  net::Task<Status> discover_once();
  bool is_watched(const std::string& keyspace, const std::string& shard) const;
  net::Task<void> watch(std::shared_ptr<Shard> shard);
  // Reads the shard's record, and the tablets' where they may have changed, and asks every tablet.
  net::Task<Status> look(Shard& shard, bool fresh);
  net::Task<void> ask(Shard& shard, TabletView& tablet);
  net::Task<void> act(Shard& shard, const std::vector<Finding>& findings);
  net::Task<void> recover(Shard& shard, Finding finding);
  bool may_replace(const Shard& shard) const;  // By an emergency reparent.
  net::Task<Status> replace_primary(const ShardView& view, Recovery recovery);
  net::Task<Status> run(Shard& shard, Finding finding);
  net::Task<Status> run_under_lock(Shard& shard, Finding finding);
  net::Task<Status> fix_primary(const ShardView& view);
  net::Task<Status> fix_replica(const ShardView& view, const Finding& finding);
  void publish(Shard& shard, const std::vector<Finding>& findings);
  void note(Done done);
  std::string seen_json() const;
  std::string history_json() const;
  std::string page() const;

  const OrcOptions options_;
  topo::Server& topology_;
  base::Metrics& metrics_;
  net::Scope scope_;
  std::unique_ptr<control::TabletClient> tablets_;
  std::map<std::string, std::shared_ptr<Shard>> shards_;
  std::atomic<bool> enabled_ = true;  // Recoveries; switched by the API.
  std::atomic<bool> discovered_ = false;
  mutable std::mutex mutex_;                       // Guards what pages read:
  std::map<std::string, std::vector<Seen>> seen_;  // By shard.
  std::map<std::string, std::string> views_;       // By shard: its tablets as JSON.
  std::deque<Done> history_;                       // The newest last.
  std::vector<base::Metrics::Subscription> subscriptions_;
};

}  // namespace vitrail::orc
