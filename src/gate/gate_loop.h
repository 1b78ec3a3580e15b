#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/memory_budget.h"
#include "base/query_log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "gate/process_list.h"
#include "gate/statement_totals.h"
#include "gate/statistics.h"
#include "gate/view.h"
#include "mysql/protocol.h"
#include "mysql/server_handshake.h"
#include "net/carriers.h"
#include "net/mysql_pool.h"
#include "net/scope.h"
#include "net/sync.h"
#include "plan/plan.h"
#include "sql/fingerprint.h"

namespace vitrail::rpc {
class ChannelPool;
}

namespace vitrail::gate {

// Of statements that are finished in temporary tables of one server.
struct ScratchLimits {
  std::vector<std::string> tablet_types = {"rdonly", "replica", "primary"};  // Where, the best first.
  size_t max_rows = 1'000'000;                                               // Of one statement's tables together.
  uint64_t max_bytes = uint64_t{128} << 20;
  base::Duration timeout = std::chrono::seconds(30);  // From when all rows are here.
  size_t max_sessions = 50;                           // At the same time, per loop.
};

struct GateSettings {
  std::string host = "127.0.0.1";
  uint16_t mysql_port = 3306;
  std::string mysql_socket;
  int loops = 1;
  std::string cell;
  std::string server_version;    // Told to clients; empty: that of the tablets' servers.
  std::string default_keyspace;  // Empty: global routing.
  // Live; shared by all copies. Whether a transaction may span shards: transaction_mode SINGLE or MULTI.
  std::shared_ptr<std::atomic<bool>> single_shard = std::make_shared<std::atomic<bool>>(false);
  // Live, likewise: transaction_mode TWOPC.
  std::shared_ptr<std::atomic<bool>> two_phase = std::make_shared<std::atomic<bool>>(false);
  base::Duration query_timeout = std::chrono::seconds(0);  // 0: none but the tablets' own.
  bool warn_sharded_only = false;
  bool terse_errors = false;  // Texts of MySQL servers' errors stay here.
  size_t max_memory_rows = 300'000;
  bool no_scatter = false;  // Statements that go to all shards are refused.
  ScratchLimits scratch;
  size_t max_connections = 50'000;
  size_t connections_per_tablet = 200;            // And loop, over all forms of login.
  bool tablet_streams = true;                     // They are streams of few connections, where a tablet knows of that.
  uint64_t session_memory = uint64_t{256} << 20;  // Bytes held for one client, and for all.
  uint64_t process_memory = uint64_t{2} << 30;
  base::Duration connection_timeout = std::chrono::seconds(5);  // Longest wait for one of them.
  size_t connection_waiters = 5000;  // Statements that may wait for one, per tablet and loop.
  base::Duration connection_idle_timeout = std::chrono::minutes(30);
  base::Duration lost_tablet_timeout = std::chrono::minutes(1);  // Silence after which what runs there is ended.
  size_t plan_cache_size = 10'000;                               // Plans per loop.
  size_t max_message = size_t{64} << 20;  // A statement, or one parameter. Longer ones are refused (error 1153).
  bool enable_buffer = true;
  base::Duration buffer_window = std::chrono::seconds(10);
  size_t buffer_size = 1000;               // Statements that wait at the same time, per loop.
  std::vector<std::string> vschema_users;  // Who may ALTER VSCHEMA; "%": everybody.
  std::vector<std::string> process_users;  // Who may see and kill the sessions of others; "%": everybody.
  std::string query_log;                   // File that gets a line for each statement; empty: none.
};

struct GateMetrics {
  base::Counter& queries;
  base::Counter& errors;
  base::Counter& buffer_timeouts;
  base::Gauge& connections;
  Statistics& statistics;
};

// How to log in to a tablet's data port for a target.
net::MysqlClientSettings tablet_login(const Endpoint& endpoint, const shard::Target& target,
                                      std::shared_ptr<const net::TlsContext> tls);

class ClientSession;
class Mirror;

// What the client sessions of one event loop share. Confined to that loop.
class GateLoop {
 public:
  GateLoop(const GateSettings& settings, net::Loop& loop, GateMetrics metrics)
      : settings(settings), loop(loop), metrics(metrics) {}

  const GateSettings& settings;
  net::Loop& loop;
  GateMetrics metrics;
  net::Scope scope;
  std::list<ClientSession*> sessions;

  // The newest view; never null after start. set_view() wakes the statements that wait for a change.
  const std::shared_ptr<const View>& view() const { return view_; }
  void set_view(std::shared_ptr<const View> view);
  net::Signal view_changed;
  size_t buffered = 0;          // Statements that wait now.
  size_t scratch_sessions = 0;  // That are in use now.
  size_t scratch_turn = 0;      // Moves on with each one, so that shards take turns.
  // Queries of views of sharded keyspaces, by keyspace and name: as they were a moment ago. See session_views.cc.
  struct KnownViewQuery {
    std::string query;
    base::TimePoint asked;
  };
  std::map<std::pair<std::string, std::string>, KnownViewQuery> view_queries;
  // Transactions that have ended on all shards: their ids, by the shard that decided them, which is told so with the
  // next one that it decides.
  std::map<std::string, std::vector<std::string>> concluded;
  base::QueryLog* query_log = nullptr;
  base::MemoryBudget* memory = nullptr;
  const mysql::ServerAuthSettings* login = nullptr;  // For COM_CHANGE_USER.
  const base::TimePoint started = base::system_clock().now();
  topo::Server* topology = nullptr;                   // For statements that change it.
  std::shared_ptr<Mirror> mirror;                     // Null: nothing is mirrored.
  rpc::ChannelPool* tablet_rpcs = nullptr;            // For statements that ask tablets how they are.
  std::shared_ptr<const net::TlsContext> tablet_tls;  // For connections to tablets; null: plain text.

  // A connection to one tablet for one target, from the pool of its login form. `endpoint` is copied.
  struct LoginForm {
    mysql::Capabilities capabilities = 0;
    uint8_t collation = 45;
    friend auto operator<=>(const LoginForm&, const LoginForm&) = default;
  };
  net::Task<Result<net::MysqlPool::Lease>> connect(const Endpoint& endpoint, const shard::Target& target,
                                                   LoginForm form, std::string settings, net::Wait wait);
  // The pool that connect() takes from. Lives as long as pools_epoch() does not change.
  net::MysqlPool& pool_for(const Endpoint& endpoint, const shard::Target& target, LoginForm form);
  uint64_t pools_epoch() const { return pools_epoch_; }
  // Of several healthy tablets one at random; kUnavailable (Retry::kAfterTopologyRefresh) when there is none.
  Result<Endpoint> choose(const shard::Target& target);
  uint64_t random();  // Spreads load; nothing depends on its quality.

  // Plans by fingerprint and routing context. Forgotten when the vschema changes.
  struct PlanKey {
    sql::Fingerprint fingerprint;
    std::string context;  // "keyspace@type"
    bool operator==(const PlanKey&) const = default;
  };
  struct KnownPlan {
    std::shared_ptr<const plan::Plan> plan;
    const PlanCounters* counters = nullptr;
    std::string query;   // The statement with :vtg1 in the place of literals; empty when it is long.
    uint64_t count = 0;  // Statements that used it.
    std::shared_ptr<StatementTotals> totals = {};
  };
  // Counts a use.
  const KnownPlan* find_plan(const sql::Fingerprint& fingerprint, std::string_view context);
  // Plans of statements that one server finishes hold for one text, what runs there: they are known by it, and by what
  // else of the session they depend on.
  const KnownPlan* find_text_plan(const std::string& key) const;
  void remember_text_plan(std::string key, KnownPlan plan);
  static constexpr size_t kTextPlans = 500;            // Of those; when there are so many, it begins anew.
  static constexpr size_t kTextMax = size_t{8} << 10;  // Of longer ones none is kept.
  // Does not count it.
  KnownPlan* look_up_plan(const sql::Fingerprint& fingerprint, std::string_view context);
  void remember_plan(const sql::Fingerprint& fingerprint, const std::string& context, KnownPlan plan);
  // Calls `visit` with each known plan and its context.
  template <typename Visit>
  void for_each_plan(Visit visit) const {
    for (const auto& [key, known] : plans_) visit(known, key.context);
  }
  // The counters of statements whose plans cannot be kept, such as inserts of many rows.
  const PlanCounters* find_counters(const sql::Fingerprint& fingerprint, const std::string& context) const;
  void remember_counters(const sql::Fingerprint& fingerprint, const std::string& context, const PlanCounters* counters);
  // What statements of this text have cost. Counting starts anew when more texts come than plans are kept. `query`
  // makes its text and plan when it is new.
  template <typename Query>
  const std::shared_ptr<StatementTotals>& totals_of(const sql::Fingerprint& fingerprint, std::string_view context,
                                                    Query query) {
    const auto found = totals_.find(PlanKeyView{fingerprint, context});
    if (found != totals_.end()) return found->second;
    return add_totals({fingerprint, std::string(context)}, query());
  }
  // Calls `visit` with each of them and its context.
  template <typename Visit>
  void for_each_statement(Visit visit) const {
    for (const auto& [key, totals] : totals_) visit(*totals, key.context);
  }

  // The clients of all loops, by their numbers: those of `user`, or all where it may see them.
  net::Task<std::vector<Process>> processes(std::string user) const;
  bool rules_processes(const std::string& user) const;
  // KILL of a connection (or of its statement) of any loop, by one of the same user or who may kill all.
  enum class KillOutcome : uint8_t { kDone, kDenied, kUnknown };
  net::Task<KillOutcome> kill(uint32_t connection_id, std::string user, bool query);
  std::vector<GateLoop*> all;  // The gate's loops, this one among them.

  // Whether statements for the target seem to get no answers there at the moment.
  bool stalled(const shard::Target& target) const;
  // Ends the statements on tablets that were not heard of for too long.
  void end_lost();
  // Closes pools of tablets that are gone from the view, and idle connections.
  void trim();
  void close();

 private:
  struct PlanKeyView {
    const sql::Fingerprint& fingerprint;
    std::string_view context;
  };
  struct PlanKeyHash {
    using is_transparent = void;
    template <typename Key>
    size_t operator()(const Key& key) const {
      return static_cast<size_t>(key.fingerprint.low) ^ std::hash<std::string_view>()(key.context);
    }
  };
  struct PlanKeyEqual {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return a.fingerprint == b.fingerprint && a.context == b.context;
    }
  };
  struct PoolKey {
    std::string address;
    std::string target;
    LoginForm form;
    friend auto operator<=>(const PoolKey&, const PoolKey&) = default;
  };
  std::shared_ptr<const View> view_;
  const std::shared_ptr<StatementTotals>& add_totals(PlanKey key, StatementTotals totals);

  uint64_t plans_version_ = 0;
  std::unordered_map<PlanKey, KnownPlan, PlanKeyHash, PlanKeyEqual> plans_;
  std::unordered_map<std::string, KnownPlan> text_plans_;
  std::shared_ptr<const schema::Snapshot> text_plans_schema_;
  std::unordered_map<PlanKey, const PlanCounters*, PlanKeyHash, PlanKeyEqual> counters_;
  std::unordered_map<PlanKey, std::shared_ptr<StatementTotals>, PlanKeyHash, PlanKeyEqual> totals_;
  uint64_t pools_epoch_ = 1;  // Changes with the view, and when a pool goes.
  std::map<PoolKey, std::unique_ptr<net::MysqlPool>> pools_;
  std::map<std::string, std::shared_ptr<net::PoolGroup>> groups_;   // By address: one limit for a tablet.
  std::map<std::string, std::unique_ptr<net::Carriers>> carriers_;  // By address, too.
  uint64_t random_state_ = base::system_random().next_u64() | 1;
};

}  // namespace vitrail::gate
