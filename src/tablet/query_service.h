#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/query_log.h"
#include "base/result.h"
#include "net/loop.h"
#include "net/mysql_client.h"
#include "tablet/concurrency.h"
#include "tablet/hot_rows.h"
#include "tablet/query_rules.h"
#include "tablet/serving_state.h"
#include "tablet/shared_reads.h"
#include "tablet/standstill.h"
#include "tablet/statement_policy.h"
#include "tablet/table_acl.h"
#include "tablet/transaction_limits.h"

namespace vitrail::tablet {

class Sequences;

struct QueryServiceSettings {
  std::string host = "127.0.0.1";
  uint16_t port = 0;        // 0: a free one.
  std::string unix_socket;  // Also listens here when given.
  net::ServerTlsOptions tls;
  int loops = 1;  // Event loops (threads).
  net::MysqlAddress mysqld;
  std::string user = "vt_app";
  std::string password;
  std::string dba_user = "vt_dba";  // Reserves sequence values, and ends other connections' statements.
  std::string dba_password;
  std::string database;  // The keyspace's database on the server.
  std::string sidecar = "_vt";
  TableAclSettings table_acl;
  QueryRulesSettings rules;
  StatementPolicy policy;  // What applications may send.
  std::string query_log;   // File that gets a line for each statement; empty: none.
  size_t pool_size = 256;  // Connections to mysqld, over all loops.
  base::Duration query_timeout = std::chrono::seconds(30);
  base::Duration transaction_timeout = std::chrono::seconds(30);  // An idle open transaction is rolled back after it.
  base::Duration pool_timeout = std::chrono::seconds(5);          // Wait for a connection.
  uint64_t session_memory = uint64_t{1} << 30;  // Bytes held for one vtgate's connection, and for all.
  uint64_t process_memory = uint64_t{4} << 30;
  size_t pool_waiters = 5000;                              // Statements that wait for one, per loop.
  base::Duration idle_timeout = std::chrono::minutes(30);  // Connections to mysqld that are idle for longer go.
  HotRowSettings hot_rows;
  TransactionLimitSettings transaction_limits;
  SharedReadSettings shared_reads;
  ConcurrencySettings concurrency;
  uint64_t max_result_rows = 0;  // Of one response; more: error 10001. 0: any number.
  std::function<void()> on_ddl;  // Called on any thread behind a DDL statement; may be empty.
  // Called on any thread when the server is lost, or refuses changes though this is the primary; may be empty.
  std::function<void()> on_trouble;
  bool twopc = true;          // Transactions may be prepared here (docs/formats/twopc.md).
  bool terse_errors = false;  // Texts of the server's errors stay here.
};

// Serves statements on the tablet's MySQL data port (docs/formats/data_port.md): MySQL protocol, bound to a target
// "keyspace/shard@type" by the database of the login; every statement is checked against the serving state and the
// denied tables, and relayed to mysqld without decoding its result.
//
//   Threads : start(), apply(), stop() on any loop; each connection lives on one of the service's own loops.
//   Bounds  : pool_size connections to mysqld. What is over waits pool_timeout, then gets RESOURCE_EXHAUSTED.
class QueryService {
 public:
  // `query_log` outlives it.
  QueryService(QueryServiceSettings settings, base::QueryLog& query_log, base::Metrics& metrics);
  ~QueryService();

  // Listens and serves (in the state "not serving"). kAlreadyExists when the port is taken.
  net::Task<Status> start();
  uint16_t port() const;

  // A connection to a session of this service, without a login: for callers in this process. On any loop; the
  // connection belongs to it. kUnavailable: the service does not run. kResourceExhausted: no descriptors are left.
  // `trusted`: the caller has asked for the rights already; neither table ACL nor query rules are asked again.
  Result<net::MysqlClient> open(shard::Target target, uint8_t collation = 45, bool trusted = false);

  // Puts a new state in force on every loop. When this returns, nothing that the new state forbids is under way any
  // more, and nothing that was admitted before can still take effect: what the server had already begun was awaited for
  // at most `grace`, then ended there by KILL, and its end awaited. So a position read afterwards covers every write
  // that was acknowledged (the fence of a traffic switch). A transaction that had touched a forbidden table before may
  // go on doing so until it ends, within `grace`.
  //   kDeadlineExceeded, errors of the server: something still runs, or may. The state is in force for all that is new;
  //   call again.
  net::Task<Status> apply(std::shared_ptr<const ServingState> state, base::Duration grace);

  // From now on no transaction begins that touches one of `tables` (lower case; empty: any), unless it is open on
  // another shard already (mysql::kJoinsAttribute); statements outside of transactions go on. Returns when none is open
  // any more, or after `patience`; then: true. What is held back is refused, to be tried again; the hold ends with the
  // next apply(), or by itself after `patience` and a few seconds.
  net::Task<bool> hold_transactions(std::vector<std::string> tables, base::Duration patience);

  QueryRulesKeeper& rules();

  // What this process knows of its shard is of now: statements for a primary are refused while that was not said for
  // long (Standstill).
  Standstill& standstill();

  // The MySQL server has not answered for long: what waits for it gets an error, without knowing whether it took
  // effect.
  net::Task<void> give_up();

  // ---- Two-phase commit (docs/formats/twopc.md)

  // Before this tablet's server is written to as a primary's: what its records say is prepared is so again when this
  // returns, with its locks.
  net::Task<Status> recover_prepared(net::Wait wait);
  // Commits a prepared transaction, or rolls it back. Done already: OK.
  //   kUnavailable: not now, or not here.
  net::Task<Status> finish_prepared(std::string dtid, bool commit, net::Wait wait);
  // For who has it prepared: true, it is committed here; false, it is not and never will be.
  net::Task<Result<bool>> decide(std::string dtid, net::Wait wait);
  // The transactions whose decision nobody needs any more.
  net::Task<std::vector<std::string>> take_concluded();
  // Rows of `_vt` that concern the protocol, as a fence allows it.
  net::Task<Status> write_records(std::vector<std::string> statements, net::Wait wait);

  // Forgets cached sequence values.
  net::Task<void> reset_sequences();

  // How often each statement was asked for, by its text with :vtg1 in the place of literals, sorted by it. Of the
  // statements known now: the least recent ones are forgotten when there are very many. Any thread.
  struct QueryUse {
    std::string query;
    std::string table;
    std::string plan;  // "SELECT"
    uint64_t count = 0;
  };
  std::vector<QueryUse> query_uses() const;
  // Which rows were waited for, and which reads were answered by an equal one's answer; how often. Any thread.
  std::map<std::string, uint64_t> hot_rows() const;
  std::map<std::string, uint64_t> shared_reads() const;
  // How many statements are let into the server at once, of how many, and what that led to; as JSON. Any thread.
  std::string concurrency_json() const;
  // Reads the certificate's files again, for connections from now on, and the table ACL. Any thread, one at a time.
  Status reload();

  // Ends all sessions and waits for them.
  net::Task<void> stop();

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace vitrail::tablet
