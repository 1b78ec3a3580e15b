#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backup/storage.h"
#include "base/metrics.h"
#include "base/result.h"
#include "mysql/gtid.h"
#include "net/scope.h"
#include "net/sync.h"
#include "tablet/action_queue.h"
#include "tablet/health_streams.h"
#include "tablet/disk_watch.h"
#include "tablet/heartbeat.h"
#include "tablet/local_server.h"
#include "tablet/query_service.h"
#include "tablet/table_lock.h"
#include "tablet/tablet_state.h"
#include "tabletmanagerdata.pb.h"
#include "topo/server.h"
#include "topodata.pb.h"

namespace vitrail::backup {
struct Chain;
struct Chosen;
struct Manifest;
struct PendingRestore;
struct Progress;
struct Target;
}  // namespace vitrail::backup
namespace vitrail::mysqld {
struct Layout;
}

namespace vitrail::tablet {

struct BackupSettings {
  backup::StorageOptions storage;
  std::string engine = "builtin";  // Where a command names none.
  bool compress = true;
  uint32_t level = 1;  // Of zstd.
  base::Duration shutdown_timeout = std::chrono::minutes(10);
  base::Duration progress_interval = std::chrono::seconds(5);
  bool restore_at_start = false;
  std::string restore_time;         // The last backup that is not later.
  std::string restore_to_position;  // A point between backups: one of these, or none.
  std::string restore_to_time;
  std::vector<std::string> restore_engines;  // Empty: all.
  uint32_t restore_concurrency = 4;
  base::Duration wait_interval{0};  // Between looks for a first backup; 0: begin empty.
  std::string mysqlctl_socket;      // Of the mysqlctld that owns the server's process; empty: this process may.
};

// What a tablet does that its primary refuses (tablet_state.h, Refusal).
enum class Rejoin : uint8_t { kNothing, kRewind, kRewindOrRestore };

struct TabletSettings {
  std::string tablet_path;  // "zone1-0000000100"
  std::string hostname = "127.0.0.1";
  std::string keyspace;
  std::string shard;
  std::string type = "replica";
  std::string db_name_override;
  std::string sidecar = "_vt";  // The database of the tablet's own tables.
  BackupSettings backup;
  Rejoin rejoin = Rejoin::kRewindOrRestore;
  bool heartbeat = false;  // See Heartbeat.
  base::Duration heartbeat_interval = std::chrono::seconds(1);
  // See DiskWatch. Empty: the folders of the server that mysqlctl made, and no writes through to the disk.
  std::string disk_folder;
  base::Duration disk_interval = std::chrono::seconds(1);
  base::Duration disk_timeout = std::chrono::seconds(30);
  base::Duration init_timeout = std::chrono::minutes(1);
  base::Duration health_check_interval = std::chrono::seconds(20);
  base::Duration lost_server_timeout = std::chrono::seconds(30);  // Silence after which nobody waits for it any more.
  base::Duration fence_grace = std::chrono::milliseconds(1000);   // For transactions in the way of a switch.
  base::Duration degraded_threshold = std::chrono::seconds(30);   // A replica that lags more is shown as unhappy.
  base::Duration unhealthy_threshold = std::chrono::hours(2);     // A replica that lags more does not serve.
  base::Duration lock_tables_timeout = std::chrono::minutes(1);   // LockTables is taken back after it.
  net::MysqlAddress mysqld;                                       // Of the server.
  std::string dba_user = "vt_dba";
  std::string dba_password;
  LocalServer::Account app{"vt_app", ""};                  // For ExecuteFetchAsApp.
  bool restrict_app = true;                                // It gets rights on the keyspace's database only.
  bool app_files = false;                                  // And FILE.
  LocalServer::Account all_privileges{"vt_allprivs", ""};  // For ExecuteFetchAsAllPrivs.
  int32_t mysqld_port = 0;                                 // What replicas use to reach it; 0: asked from the server.
  uint16_t http_port = 0;
  uint16_t grpc_port = 0;
};

// What the tablet is: its record, its server's role, whether it serves; and the operations that change that. What to do
// is decided in tablet_state.h; here it is looked and done.
//
//   Threads : the control loop on which start() ran. Changes are made one at a time (action_queue.h).
//   Restart : who is named as the primary in the shard's record comes back as primary, everybody else as its replica.
//             But a tablet that was demoted stays read-only until it is promoted, the demotion is undone, or it is told
//             whom to follow, whatever the shard's record says.
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

  // Told on the manager's loop when the server should be looked at before it is time. Before start().
  void set_look_signal(std::shared_ptr<net::Signal> signal) { look_ = std::move(signal); }

  // Called behind statements and commands that may have changed tables, on the manager's loop.
  void set_on_ddl(std::function<void()> on_ddl) { on_ddl_ = std::move(on_ddl); }
  void tables_may_have_changed() const {
    if (on_ddl_) on_ddl_();
  }

  LocalServer& server() { return server_; }
  HealthStreams& health() { return health_; }
  // Waits until start() has brought the tablet into its role: what is asked of it before would change what is just
  // being decided. kUnavailable: it is still starting.
  net::Task<Status> wait_started(net::Wait wait);
  const ::topodata::Tablet& record() const { return desired_.record; }
  ::topodata::TabletType shown_type() const { return decision_.type; }
  // As the heartbeat says; nothing without one.
  std::optional<base::Duration> heartbeat_lag() const {
    return heartbeat_ == nullptr ? std::nullopt : heartbeat_->lag();
  }
  bool disk_stalled() const { return disk_watch_->stalled(); }
  std::string database() const;
  const TabletSettings& settings() const { return settings_; }
  topo::Server& topology() { return topology_; }
  // "SERVING", "NOT_SERVING": for /debug/vars. Any thread.
  std::string state_name() const;
  std::string type_name() const;
  // For the status page. Any thread.
  struct Summary {
    std::string state;    // As state_name().
    std::string reason;   // Why it does not serve.
    std::string type;     // "primary" ...
    std::string role;     // As role_name().
    std::string trouble;  // What is wrong with the server, also while it serves.
    std::string running;  // The change of its state that is being made.
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
  // Returns when nothing is written any more, and when that it was demoted is written down. Commits that wait in vain
  // for an acknowledgement are cut off; their clients do not learn whether they succeeded. Returns the last position.
  net::Task<Result<std::string>> demote_primary(net::Wait wait);
  //   kFailedPrecondition: it was not demoted, or the shard has another primary by now.
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

  // kFailedPrecondition: the tablet was demoted.
  net::Task<Status> set_writable(bool writable, net::Wait wait);
  // No table can be written until unlock_tables(), or until lock_tables_timeout has passed.
  net::Task<Status> lock_tables(net::Wait wait);
  net::Task<Status> unlock_tables(net::Wait wait);

  // Backups (tablet_backup.cc). `report` gets a line for each thing that happens. They go on when a deadline is far,
  // and end early, with everything put back, when `wait` ends.
  using Report = std::function<net::Task<void>(std::string line)>;
  //   kFailedPrecondition: its server is not in a folder of this machine, or it is the primary and that is not allowed,
  //   or another backup or restore is under way. kUnimplemented: an engine or a kind that is not offered.
  net::Task<Status> backup(::tabletmanagerdata::BackupRequest request, Report report, net::Wait wait);
  //   kDataLoss names the damaged part; the server is as it was. Else as backup().
  net::Task<Status> restore(::tabletmanagerdata::RestoreFromBackupRequest request, Report report, net::Wait wait);
  // Restores the backup that `request` names beside the server, lets it replicate to where this tablet stands, and
  // compares every table of the keyspace. The tablet serves and replicates meanwhile.
  //   kDataLoss: they differ, or a part is damaged.
  net::Task<Status> verify_backup(::tabletmanagerdata::RestoreFromBackupRequest request, Report report, net::Wait wait);

  QueryService& queries() { return queries_; }
  const LocalServer::Account& app_account() const { return settings_.app; }
  const LocalServer::Account& all_privileges_account() const { return settings_.all_privileges; }

 private:
  // ---- Backups
  // Refuses what may not happen in the middle of one.
  Status check_idle() const;
  net::Task<Status> begin_maintenance(Maintenance kind, bool allow_primary, net::Wait wait);
  // The type of before, and the present primary's replica. Tries again in the background where it fails.
  net::Task<Status> end_maintenance();
  net::Task<Status> try_end_maintenance(net::Wait wait);
  // What a process that died in the middle of a backup or restore has left is brought to its end, its server started.
  net::Task<Status> recover_server();
  net::Task<Status> restore_if_empty();
  // Runs `work` on another thread, tells meanwhile how far it is, and lets it stop when `wait` ends.
  net::Task<Status> transfer(std::string what, std::shared_ptr<backup::Progress> progress, std::function<Status()> work,
                             Report report, net::Wait wait);
  net::Task<Status> take_backup(::tabletmanagerdata::BackupRequest request, mysqld::Layout layout, Report report,
                                net::Wait wait);
  // While the server runs and the tablet serves.
  net::Task<Status> take_online_backup(::tabletmanagerdata::BackupRequest request, std::string engine,
                                       mysqld::Layout layout, Report report, net::Wait wait);
  // A new one's manifest, with all that is known before; its name is one that no other has.
  net::Task<Result<backup::Manifest>> begin_backup(backup::Storage& storage, std::string engine, Report report,
                                                   net::Wait wait);
  net::Task<void> report_backup(const backup::Manifest& manifest, const backup::Progress& progress, Report report);
  // --init-backup-sql-queries.
  net::Task<Status> run_before_backup(const ::tabletmanagerdata::BackupRequest& request, net::Wait wait);
  net::Task<Status> prepare_server(const ::tabletmanagerdata::BackupRequest& request, net::Wait wait);
  net::Task<Status> start_server(mysqld::Layout layout);
  // ---- Points between backups (tablet_incremental.cc)
  net::Task<Status> take_incremental_backup(::tabletmanagerdata::BackupRequest request, mysqld::Layout layout,
                                            Report report, net::Wait wait);
  Result<backup::Target> parse_target(std::string position, std::string time) const;
  // The backups that lead to the target; without one a full backup alone.
  net::Task<Result<backup::Chain>> find_chain(::tabletmanagerdata::RestoreFromBackupRequest request);
  // Brings staged files further by the logs that were staged with them. Returns where they are then. Blocks.
  Result<std::string> advance_staged(const backup::Chain& chain, const backup::Target& target,
                                     const mysqld::Layout& layout, backup::Progress& progress) const;
  // While this stands, another of its kind is refused.
  Status check_no_backup() const;
  net::Task<Status> compare_with_scratch(std::string socket, std::string position, Report report, net::Wait wait);
  // Everything that can be known before anything is changed.
  net::Task<Status> check_backup(backup::Chain chain, mysqld::Layout layout);
  net::Task<Status> stage_restore(backup::Chain chain, backup::Target target, mysqld::Layout layout, Report report,
                                  net::Wait wait);
  net::Task<Status> apply_restore(backup::PendingRestore pending, mysqld::Layout layout);
  // ---- The way back of a tablet that its primary refuses (tablet_rejoin.cc)
  net::Task<void> rejoin();
  // Takes back what the primary does not have.
  //   kAborted: there is nothing to do any more.
  net::Task<Status> rewind();
  // Behind a rewind whose rows are as they were: the server's position, too. Does nothing where none was begun.
  net::Task<Status> finish_rewind(net::Wait wait);
  net::Task<Status> restore_what_fits();
  // Who has the binary logs that the primary lacks, and from where on the primary has its own.
  struct Detour {
    ::topodata::Tablet over;
    mysql::Position until;
  };
  net::Task<Result<std::optional<Detour>>> find_detour(mysql::Position from, net::Wait wait);
  //   kAborted: there is no need. kNotFound: nobody has them.
  net::Task<Status> take_detour();
  // ---- The start (tablet_start.cc)
  net::Task<Status> connect_server(net::Wait wait);
  net::Task<Status> register_tablet(net::Wait wait);
  net::Task<Status> register_when_reachable(net::Wait wait);
  net::Task<Status> fill_record(net::Wait wait);
  net::Task<Result<StartFacts>> read_start_facts(net::Wait wait);
  // Decides while it holds the shard's lock, or knows that somebody else does, and becomes what was decided.
  net::Task<Status> take_role(net::Wait wait);
  net::Task<Status> enter_role(StartDecision decision, net::Wait wait);
  net::Task<Status> follow_shard_primary(net::Wait wait);
  net::Task<Status> make_serving_graph();

  // ---- Steps. Their callers hold a turn.
  net::Task<Status> stop_writes(net::Wait wait);
  net::Task<Status> become_primary(bool waits_for_acks, net::Wait wait);
  net::Task<Result<std::string>> make_primary(bool waits_for_acks, net::Wait wait);  // Returns where it begins.
  net::Task<Status> demote(net::Wait wait);
  net::Task<Status> note_demotion(net::Wait wait);
  net::Task<Status> forget_demotion(net::Wait wait);
  // A primary that becomes a replica without having been demoted before is demoted; then it is a replica of `type`.
  net::Task<Status> become_replica(::topodata::TabletType type, net::Wait wait);
  net::Task<Status> follow(const Source& source, net::Wait wait);
  net::Task<Status> reattach(net::Wait wait);
  net::Task<Status> create_sidecar(net::Wait wait);
  // What its records say is prepared is so before anybody writes.
  net::Task<Status> make_writable(net::Wait wait);
  net::Task<Status> set_semi_sync(bool waits_for_acks, bool acknowledges, net::Wait wait);
  // From the keyspace's policy, for steps that no command of the control plane takes.
  net::Task<Result<bool>> policy_needs_acks();
  net::Task<Result<bool>> policy_acknowledges(const ::topodata::Tablet& primary);
  net::Task<Status> write_type(::topodata::TabletType type, int64_t term_start_ns);
  // Names this tablet in the shard's record unless that knows of a later term: whoever promotes may leave it to the
  // tablet, as Vitess's vtctld does.
  net::Task<Status> claim_shard();
  net::Task<Status> read_records();
  net::Task<Status> read_shard();
  // Makes the decision of now hold: when it returns, what it forbids has ended. An error: something may still be under
  // way (QueryService::apply), or it is not known what a denied table is reached by; the next health check tries again.
  net::Task<Status> put_in_force(net::Wait wait);
  net::Task<Status> perform(Action action, net::Wait wait);
  // Repeats looking, deciding and acting until nothing is left to do.
  net::Task<Status> converge(net::Wait wait);
  net::Task<void> await_replication(base::Duration patience);

  // ---- Without a turn
  net::Task<void> observe(net::Wait wait);
  Decision decide_now() const;
  net::Task<void> health_loop();
  // A primary that was replaced while it could not be reached learns it from the shard's record, and follows the new
  // one.
  net::Task<void> shard_loop();
  // The beats of QueryService::standstill(). After a standstill the shard's record is read first.
  net::Task<void> beat_loop();
  net::Task<Status> follow_if_replaced(net::Wait wait);
  void publish_health();
  double queries_per_second();

  const TabletSettings settings_;
  topo::Server& topology_;
  QueryService& queries_;
  const std::vector<std::string> sidecar_schema_;
  OnPrimary on_primary_;
  std::function<void()> on_ddl_;
  std::shared_ptr<net::Signal> look_ = std::make_shared<net::Signal>();
  LocalServer server_;
  HealthStreams health_;
  std::unique_ptr<Heartbeat> heartbeat_;  // Null without --heartbeat-enable.
  std::unique_ptr<DiskWatch> disk_watch_;
  net::Scope scope_;
  ActionQueue actions_{scope_.token()};
  net::Event started_;
  TableLock table_lock_;
  Desired desired_;
  Observed observed_;
  std::optional<base::TimePoint> silent_since_;  // The server does not answer; since when.
  Role role_;
  Decision decision_;      // Of desired, observed and role, when it was made last.
  ServingState in_force_;  // As it was decided.
  bool complete_ = false;  // And nothing else is under way any more.
  bool streams_told_ = false;
  base::TimePoint next_rejoin_{}, next_detour_{};
  bool online_backup_ = false;                                // One is being taken, or verified.
  ::topodata::TabletType type_before_ = ::topodata::UNKNOWN;  // Of the maintenance.
  base::Metrics& metrics_;
  base::Counter& queries_counter_;
  struct {
    base::TimePoint at;
    uint64_t count = 0;
  } queries_before_;
  mutable std::mutex shared_mutex_;  // Guards the copies for other threads.
  std::string restored_position_, restored_time_, transfer_;
  Summary shared_;  // `state` is empty until the tablet is registered.
  std::vector<base::Metrics::Subscription> subscriptions_;
};

}  // namespace vitrail::tablet
