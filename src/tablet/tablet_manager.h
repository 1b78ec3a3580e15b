#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "net/scope.h"
#include "net/sync.h"
#include "tablet/health_streams.h"
#include "tablet/heartbeat.h"
#include "tablet/local_server.h"
#include "tablet/query_service.h"
#include "tabletmanagerdata.pb.h"
#include "topo/server.h"
#include "topodata.pb.h"

namespace vitrail::tablet {

struct TabletSettings {
  std::string tablet_path;  // "zone1-0000000100"
  std::string hostname = "127.0.0.1";
  std::string keyspace;
  std::string shard;
  std::string type = "replica";
  std::string db_name_override;
  std::string sidecar = "_vt";  // The database of the tablet's own tables.
  bool restore_from_backup = false;
  std::string backup_root;  // Of the file storage.
  bool heartbeat = false;   // See Heartbeat.
  base::Duration heartbeat_interval = std::chrono::seconds(1);
  base::Duration init_timeout = std::chrono::minutes(1);
  base::Duration health_check_interval = std::chrono::seconds(20);
  base::Duration fence_grace = std::chrono::milliseconds(1000);  // For transactions in the way of a switch.
  base::Duration degraded_threshold = std::chrono::hours(2);     // A replica that lags more does not serve.
  net::MysqlAddress mysqld;                                      // Of the server.
  std::string dba_user = "vt_dba";
  std::string dba_password;
  LocalServer::Account app{"vt_app", ""};                  // For ExecuteFetchAsApp.
  LocalServer::Account all_privileges{"vt_allprivs", ""};  // For ExecuteFetchAsAllPrivs.
  int32_t mysqld_port = 0;                                 // What replicas use to reach it; 0: asked from the server.
  uint16_t http_port = 0;
  uint16_t grpc_port = 0;
};

// What the tablet is: its record, its server's role, whether it serves; and the operations that change that.
//
//   Threads : the control loop on which start() ran. Changes are made one at a time.
//   Restart : the Shard record decides: who is named there as the primary comes back as primary, everybody else as its
//             replica.
class TabletManager {
 public:
  // Told when this tablet becomes or stops being a serving primary (starts and stops its streams).
  using OnPrimary = std::function<net::Task<void>(bool primary)>;

  TabletManager(TabletSettings settings, topo::Server& topology, QueryService& queries, base::Metrics& metrics,
                std::vector<std::string> sidecar_schema, OnPrimary on_primary);
  ~TabletManager();  // stop() must have returned.

  // Registers the tablet and brings its server into the role it should have. Port numbers in the settings must be
  // final.
  net::Task<Status> start();
  net::Task<void> stop();

  // Called behind statements and commands that may have changed tables, on the manager's loop.
  void set_on_ddl(std::function<void()> on_ddl) { on_ddl_ = std::move(on_ddl); }
  void tables_may_have_changed() const {
    if (on_ddl_) on_ddl_();
  }

  LocalServer& server() { return server_; }
  HealthStreams& health() { return health_; }
  const ::topodata::Tablet& record() const { return record_; }
  std::string database() const;
  const TabletSettings& settings() const { return settings_; }
  topo::Server& topology() { return topology_; }
  // "SERVING", "NOT_SERVING": for /debug/vars. Any thread.
  std::string state_name() const;
  std::string type_name() const;
  // For the status page. Any thread.
  struct Summary {
    std::string state;         // As state_name().
    std::string reason;        // Why it does not serve.
    std::string type;          // "primary" ...
    std::string health_error;  // What is wrong with the server.
    int64_t lag_seconds = 0;
  };
  Summary summary() const;

  // Reads the records that concern this tablet again and puts them in force; when it returns, what they forbid has
  // ended.
  net::Task<Status> refresh_state(net::Wait wait);
  // `acknowledges`: this replica confirms to its primary what it has received (topo/durability.h).
  net::Task<Status> change_type(::topodata::TabletType type, bool acknowledges, net::Wait wait);
  // Sets tags in the tablet's record; an empty value removes one. `replace`: the others go away.
  net::Task<Status> change_tags(std::map<std::string, std::string> tags, bool replace, net::Wait wait);
  net::Task<Status> run_health_check();

  // Reparenting (replicationdata and tabletmanagerdata describe the steps).
  // `waits_for_acks`: commits here wait for a replica's acknowledgement, from before the first client's on.
  net::Task<Result<std::string>> promote(bool waits_for_acks, net::Wait wait);
  // Returns when nothing is written any more. Commits that wait in vain for an acknowledgement are cut off; their
  // clients do not learn whether they succeeded.
  net::Task<Result<std::string>> demote_primary(net::Wait wait);
  net::Task<Status> undo_demote_primary(bool waits_for_acks, net::Wait wait);
  struct Source {
    ::topodata::TabletAlias parent;
    bool acknowledges = false;       // As in change_type().
    int64_t time_created_ns = 0;     // Wait for this row of the reparent journal; 0: for none.
    std::string wait_position = "";  // And until this is executed.
  };
  net::Task<Status> set_replication_source(Source source, net::Wait wait);
  net::Task<Status> start_replication(bool acknowledges, net::Wait wait);
  net::Task<Status> restart_replication(bool acknowledges, net::Wait wait);
  // Another tool has made this server the primary.
  net::Task<Status> replica_was_promoted(net::Wait wait);
  // Another tool has made this server follow somebody: a primary becomes a replica, replication is left alone.
  net::Task<Status> replica_was_restarted(net::Wait wait);
  net::Task<Status> populate_reparent_journal(::tabletmanagerdata::PopulateReparentJournalRequest request,
                                              net::Wait wait);

  net::Task<Status> set_writable(bool writable, net::Wait wait);
  QueryService& queries() { return queries_; }
  const LocalServer::Account& app_account() const { return settings_.app; }
  const LocalServer::Account& all_privileges_account() const { return settings_.all_privileges; }

 private:
  net::Task<Status> look_for_backup(net::Wait wait);
  net::Task<Status> register_tablet(net::Wait wait);
  net::Task<Status> become_primary(bool waits_for_acks, net::Wait wait);
  net::Task<Result<std::string>> make_primary(bool waits_for_acks, net::Wait wait);  // Returns where it begins.
  net::Task<Status> create_sidecar(net::Wait wait);
  net::Task<Status> set_semi_sync(bool waits_for_acks, bool acknowledges, net::Wait wait);
  // From the keyspace's policy, for steps that no command of the control plane takes.
  net::Task<Result<bool>> policy_needs_acks();
  net::Task<Result<bool>> policy_acknowledges(const ::topodata::Tablet& primary);
  net::Task<Status> check_primary(std::string& error, net::Wait wait);
  // After a restart a server has forgotten that it acknowledges.
  net::Task<Status> renew_acknowledging(bool receiving, net::Wait wait);
  net::Task<Status> write_type(::topodata::TabletType type, int64_t term_start_ns);
  // Names this tablet in the shard's record unless that knows of a later term: whoever promotes may leave it to the
  // tablet, as Vitess's vtctld does.
  net::Task<Status> claim_shard();
  // Computes the serving state from the records and the server's health, and puts it in force.
  net::Task<Status> apply_state(net::Wait wait);
  net::Task<void> health_loop();
  // A primary that was replaced while it could not be reached learns it from the shard's record, and follows the new
  // one.
  net::Task<void> shard_loop();
  net::Task<Status> yield_to_newer_primary();
  void publish_health();

  const TabletSettings settings_;
  topo::Server& topology_;
  QueryService& queries_;
  const std::vector<std::string> sidecar_schema_;
  OnPrimary on_primary_;
  std::function<void()> on_ddl_;
  LocalServer server_;
  HealthStreams health_;
  ::topodata::Tablet record_;
  std::unique_ptr<Heartbeat> heartbeat_;  // Null without --heartbeat-enable.
  net::Mutex actions_;
  net::Scope scope_;
  std::shared_ptr<const ServingState> state_;
  bool demoting_ = false;        // Between DemotePrimary and what follows.
  bool kept_read_only_ = false;  // By an operator's command, though this is the primary.
  bool waits_for_acks_ = false;  // What set_semi_sync() put in force last.
  bool acknowledges_ = false;
  bool replication_ok_ = true;  // A replica's server follows its source closely enough.
  int64_t lag_seconds_ = 0;
  std::string health_error_;
  bool primary_told_ = false;
  mutable std::mutex shared_mutex_;  // Guards the copies for other threads.
  Summary shared_;                   // `state` is empty until the tablet is registered.
  std::vector<base::Metrics::Subscription> subscriptions_;
};

// Nanoseconds since the epoch, from and to the record's time.
int64_t to_nanoseconds(const ::vttime::Time& time);
::vttime::Time from_nanoseconds(int64_t ns);

}  // namespace vitrail::tablet
