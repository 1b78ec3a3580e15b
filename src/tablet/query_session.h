#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "base/memory_budget.h"
#include "base/query_log.h"
#include "mysql/server_handshake.h"
#include "mysql/statements.h"
#include "mysql/stream_offer.h"
#include "net/mysql_pool.h"
#include "net/mysql_server.h"
#include "net/scope.h"
#include "tablet/concurrency.h"
#include "tablet/messages.h"
#include "tablet/pool_patience.h"
#include "tablet/query_guard.h"
#include "tablet/query_service.h"
#include "tablet/redo_log.h"
#include "tablet/sequences.h"
#include "tablet/server_killer.h"
#include "tablet/statement_metrics.h"

// Inside of the query service: one loop's share of it, and one connection of a vtgate. Not for other folders.
namespace vitrail::tablet {

class QuerySession;

struct QueryMetrics {
  base::Counter& queries;
  base::Counter& errors;
  base::Counter& refused;
  base::Counter& hopeless;
  base::Counter& shared;
  base::Gauge& sessions;
  base::Gauge& carriers;
  StatementMetrics& statements;
};

// Which transactions do not begin now: see QueryService::hold_transactions.
struct TransactionHold {
  std::vector<std::string> tables;  // Those that touch one of these, lower case, sorted; empty: all.
  base::TimePoint until;
};

// What the sessions of one loop share. Confined to that loop.
struct QueryLoop {
  QueryLoop(const QueryServiceSettings& settings_in, net::Loop& loop_in, QueryMetrics metrics_in,
            Sequences* sequences_in, AckDoubt& doubt_in, HotRows::Counters& hot_row_counters,
            TransactionLimits& limits_in, Concurrency::Metrics& concurrency_metrics);

  const QueryServiceSettings& settings;
  net::Loop& loop;
  QueryMetrics metrics;
  Sequences* sequences;  // On the first loop.
  std::shared_ptr<const ServingState> state = std::make_shared<ServingState>();
  std::optional<TransactionHold> hold;
  QueryGuard guard{settings.policy, &metrics.statements};
  std::list<QuerySession*> sessions;
  net::Signal session_idle;  // A session ended a statement or a transaction.
  net::Scope scope;
  size_t pool_share = 1;
  base::QueryLog* query_log = nullptr;
  const TableAclKeeper* acl = nullptr;
  const QueryRulesKeeper* rules = nullptr;
  const Standstill* standstill = nullptr;
  base::MemoryBudget* memory = nullptr;
  std::string server_version;  // As the server greets; empty until it has.
  net::MysqlPool kill_pool;
  AckDoubt& doubt;  // Of all loops.
  ServerKiller killer;
  HotRows hot_rows;
  TransactionLimits& limits;  // Of all loops.
  SharedReads shared_reads;
  PoolPatience patience;
  Concurrency concurrency;
  bool guarded = false;         // By limits or queues for hot rows.
  std::vector<QueryLoop*> all;  // The service's loops, this one among them.
  std::unique_ptr<Messages> messages;

  // Pools by what changes the answers' bytes or meaning: capabilities and collation of the login.
  std::map<std::pair<mysql::Capabilities, uint8_t>, std::unique_ptr<net::MysqlPool>> pools;
  std::shared_ptr<net::PoolGroup> group;  // Their one limit.
  // Closes what was idle for long.
  net::Task<void> trim_pools();
  net::MysqlPool& pool_for(mysql::Capabilities capabilities, uint8_t collation);

  // See QueryService::hold_transactions. Whether some are open still.
  net::Task<bool> hold_transactions(TransactionHold wanted, base::Duration patience);
  // Connections whose statements were given up since the server did not answer. What they had begun may still take
  // effect, until the server has ended them: a fence waits for that.
  struct Abandoned {
    uint32_t connection = 0;
    base::TimePoint since;
  };
  std::vector<Abandoned> abandoned;
  bool ends_abandoned = false;
  void end_later(uint32_t connection);
  net::Task<void> end_abandoned();
  // Gives up all that waits for an answer of the server, which has not answered for long, and does not wait for it
  // again for a moment.
  void give_up();
  bool silent() const;
  base::TimePoint gave_up{};

  // query_twopc.cc: transactions that are prepared, and the records of them (docs/formats/twopc.md).
  struct PreparedTransaction {
    net::MysqlPool::Lease lease;  // Its connection, with its locks.
    std::vector<std::string> touched;
    bool touched_all = false;
    bool replayed = false;  // Behind a crash: its connection is of no other use.
    bool busy = false;      // It is being made or ended.
    bool dropped = false;   // A fence has ended its connection.
  };
  using PreparedPtr = std::shared_ptr<PreparedTransaction>;
  std::map<std::string, PreparedPtr, std::less<>> prepared;  // By dtid.
  std::unique_ptr<net::MysqlPool> record_pool;
  std::multiset<uint32_t> recording;   // Server connections on which records are being written.
  net::Mutex recovering;               // Of the first loop's: one replay at a time.
  std::vector<std::string> concluded;  // Dtids whose decision nobody needs any more.
  struct ExactTable {
    base::TimePoint until;         // When it has to be looked at again.
    bool clock = true;             // Columns of it are set by the clock.
    std::vector<std::string> key;  // The columns of its primary key, when all of them are whole numbers.
  };
  std::map<std::string, ExactTable, std::less<>> exact_tables;

  bool records_allowed = false;  // Since the last change of state.

  Status may_write_records() const;
  // Gives the account of `application` its rights on the records, which it has only where transactions are prepared.
  net::Task<Status> allow_records(net::PooledConnection& application, net::Wait wait);
  // All in one write; so one that fails does not stop those behind it. Returns when a replica has them, where the shard
  // waits for that.
  net::Task<Result<std::vector<mysql::OkPacket>>> write_records(std::vector<std::string> statements, net::Wait wait);
  net::Task<Result<net::QueryResult>> read_records(std::string query, net::Wait wait);
  // Whether what the server does with a change of this table depends on nothing but rows and settings.
  // `without_clock`: it was changed while that was said to need no clock.
  net::Task<Status> check_exact(std::string table, bool without_clock, net::Wait wait);
  // Of a table that check_exact() has just looked at.
  bool is_one_row(const RedoLog::OneRow& one) const;
  // Commits what is prepared, or rolls it back, wherever it is. Done already: OK.
  net::Task<Status> finish_prepared(std::string dtid, bool commit, net::Wait wait);
  // One of this loop. Nothing: it is not here (any more).
  net::Task<std::optional<Status>> finish_here(std::string dtid, bool commit, net::Wait wait);
  // Of the first loop's: from here on it is prepared again.
  net::Task<Status> replay(std::string dtid, net::Wait wait);
  net::Task<Status> replay_on(PreparedTransaction& transaction, std::string dtid, net::Wait wait);
  net::Task<Status> recover_prepared(net::Wait wait);
  // True: the decision is COMMIT. False: it is ROLLBACK from now on.
  net::Task<Result<bool>> decide(std::string dtid, net::Wait wait);
  // Ends the connection in the server, now or later.
  net::Task<void> end_surely(net::MysqlPool::Lease& lease);
  // The share of apply().
  net::Task<Status> settle_prepared(std::shared_ptr<const ServingState> next, bool forbids, base::Duration grace);
  net::Task<Status> await_records(net::Wait wait);
  bool prepared_in_the_way(const ServingState& next) const;
  std::string sidecar_table(std::string_view name) const;
  std::string forget_text(std::string_view dtid) const;
  std::string records_query() const;

  // See QueryService::apply.
  net::Task<Status> apply(std::shared_ptr<const ServingState> state, base::Duration grace);
  // Ends the statement (or the connection) of a session of any loop. kNotFound: no session has this number.
  net::Task<Status> kill(uint32_t session, bool connection);
};

// One connection of a vtgate (or of any MySQL client that logs in to a target).
//
// A statement goes through three states: admitted (`active_`: it may wait for a connection), sent (`sent_`: the server
// has it, or may have it), done. A fence need not care for what was only admitted: admission is asked again in the same
// turn of the loop in which the bytes are written. What was sent it waits for, or ends in the server.
//
// The connection to the server belongs to the session for as long as the server holds state for it: an open
// transaction, or what `left_` names. vtgate is told by the status flags of each answer: kStatusInTransaction, and
// kStatusSessionStateChanged, which on this port means "there is state: keep this connection for its client".
class QuerySession {
 public:
  QuerySession(QueryLoop& shared, net::PacketStream stream, mysql::AuthenticatedClient client, shard::Target target,
               uint32_t id);
  ~QuerySession();

  net::Task<void> run();
  uint32_t id() const { return id_; }

  // For QueryLoop::apply: whether the server has something of this session under way that `state` forbids.
  bool conflicts_with(const ServingState& state, const ServingState& previous) const;
  bool in_the_way_of(const TransactionHold& hold) const;
  // A session of this process's own, for which somebody else's rights were asked already.
  void set_trusted() { trusted_ = true; }
  // It may finish what it has begun (until it is ended by force).
  void grandfather() { grandfathered_ = true; }
  bool grandfathered() const { return grandfathered_; }
  // Ends what is under way in the server, and returns when it has ended there. Does not touch the session after its
  // first wait.
  net::Task<Status> end_by_force(net::Wait wait);
  // KILL QUERY. Returns when the server was told.
  net::Task<Status> kill_query(net::Wait wait);
  void close() { stream_.socket().abort(); }
  // After run(): what the client's connection is to carry from now on, as it was told. Without it the connection is
  // closed.
  const std::optional<mysql::StreamOffer>& streams() const { return streams_; }
  net::Socket take_socket();

 private:
  struct Prepared {
    std::string text;
    std::shared_ptr<const StatementInfo> info;
    uint16_t parameters = 0;
    mysql::StatementMemory memory;
    std::unique_ptr<base::MemoryBudget::Hold> text_memory, long_data_memory;  // What the above count as.
    std::optional<Error> long_data_refused;  // COM_STMT_SEND_LONG_DATA has no answer: the next execute gives it.
    void forget_long_data();
  };
  // A statement on its way to the server.
  struct Request {
    std::shared_ptr<const StatementInfo> info;
    std::string_view text;             // Valid until the client's stream is read again.
    std::vector<std::string> prelude;  // Statements to run before it, in the same write.
    bool begins = false;               // One of them opens a transaction,
    bool atomic = false;               // which may have to be prepared,
    bool weak = false;                 // and whose isolation level is too low for that,
    bool joins = false;                // which is open on another shard.
    bool once = false;                 // One of them is about this statement alone.
    bool unlimited = false;            // The query timeout is not for it.
    std::string_view framed;           // The command as it goes to the server; empty: it is still to be encoded.
    mysql::StmtExecute* execute = nullptr;
    const net::PooledConnection::Prepared* prepared = nullptr;  // Of `execute`, on the connection that is held.
    mysql::ResponseKind kind = mysql::ResponseKind::kQuery;
    uint8_t answer_sequence = 1;  // That the server's answer begins with.
    uint8_t first_sequence = 1;
  };
  // A failed statement: told to the client, and the session goes on; a failed session ends.
  using Outcome = Status;

  // query_session.cc: commands.
  net::Task<Outcome> dispatch(const mysql::MessageReader::Message& message);
  static net::Task<Outcome> done() { co_return Status{}; }
  net::Task<Outcome> on_query(const mysql::MessageReader::Message& message);
  net::Task<Outcome> on_set(std::string text);
  net::Task<Outcome> on_next_value(std::string text, std::shared_ptr<const StatementInfo> info);
  net::Task<Outcome> on_kill(std::string text);
  // query_twopc.cc: "vitrail twopc ...".
  net::Task<Outcome> on_twopc(std::string text);
  net::Task<Status> prepare(std::string dtid, net::Wait wait);
  net::Task<Status> record_changes(const std::string& dtid, net::Wait wait);
  net::Task<Status> check_isolation(net::Wait wait);
  net::Task<Status> start_commit(std::string dtid, std::vector<std::string> participants, net::Wait wait);
  // Of a statement of a transaction that may have to be prepared.
  void pin_time(Request& request);
  void log_change(const Request& request, uint64_t insert_id);
  // query_messages.cc: STREAM * FROM a message table. It has no end of its own.
  net::Task<Outcome> on_stream(std::string text);
  net::Task<Status> send_messages(std::string table, net::CancelToken cancel);
  net::Task<Outcome> send_warnings();
  net::Task<Outcome> on_prepare(std::string text);
  net::Task<Outcome> on_execute(const mysql::MessageReader::Message& message);
  net::Task<Outcome> on_reset();
  net::Task<Outcome> on_carry_streams(std::string payload);
  void add_long_data(Prepared& statement, const mysql::StmtLongData& data);
  Status admit(const StatementInfo& info, std::string_view text);
  // Refuses what would open a transaction while none is to begin (QueryLoop::hold).
  Status hold_back(const Request& request) const;
  // Whether the table ACL and the query rules let this caller do it.
  Status allow(const StatementInfo& info, std::string_view text,
               std::span<const mysql::QueryAttribute> attributes) const;
  net::Task<Status> need_connection(net::Wait wait);
  net::Task<Outcome> send_error(Error error);
  net::Task<Outcome> send_ok(uint16_t extra_flags = 0);
  net::Task<Outcome> send(std::string framed);
  net::Wait query_wait() const;
  bool may_set_savepoints() const {
    return keeps_connection() || settings_.find("@@session.autocommit = 0") != std::string::npos;
  }
  bool keeps_connection() const { return in_transaction_ || left_ != sql::Left::kNothing; }

  // query_guards.cc: what a statement waits for before it gets a connection.
  std::string user_of(std::span<const mysql::QueryAttribute> attributes) const;
  // What a statement that had to wait has got; most have not, and pay for one pointer.
  struct Waited {
    HotRows::Place row;
    std::optional<SharedReads::Lead> lead;
    net::HeldResponse held;
  };
  net::Task<Status> pass_guards(const Request& request, std::unique_ptr<Waited>& waited, net::Wait wait);
  // Gets it a connection; `answered`: the answer of an equal read instead, and `outcome` is that of passing it on.
  net::Task<Status> wait_to_send(Request& request, std::unique_ptr<Waited>& waited, bool& answered, Outcome& outcome,
                                 net::Wait wait);
  std::string shared_read_key(const Request& request) const;
  // The answer of an equal read that waits already. False: this one has to be run.
  net::Task<bool> answer_by_another(const Request& request, std::string key, Outcome& outcome, net::Wait wait);
  // Gives it to those who wait for it, and to the client.
  net::Task<void> give_answer(SharedReads::Lead& lead, std::string answer,
                              std::expected<net::RelayResult, net::RelayFailure>& result);

  // query_run.cc: a statement in the server.
  net::Task<Outcome> run_logged(Request request);
  net::Task<Outcome> run_request(Request request);
  bool ready_to_send(Request& request);
  net::Task<Status> prepare_to_send(Request& request, net::Wait wait);
  Status begin_sending(Request& request, std::string& bytes);
  net::Task<Status> read_prelude(const Request& request, net::Wait wait);
  net::RelayOptions relay_options(const Request& request) const;
  net::Task<std::expected<net::RelayResult, net::RelayFailure>> end_and_await(const Request& request);
  net::Task<Outcome> after_failure(net::RelayFailure failure, bool was_in_transaction);
  net::Task<Outcome> after_error(const Request& request, const net::RelayResult& result, bool was_in_transaction,
                                 sql::Left left_before);
  net::Task<Status> pass_doubtful(net::RelayResult& result);
  net::Task<std::optional<uint16_t>> server_status();
  net::Task<bool> interrupt();  // False: the server does not answer.
  net::Task<void> await_kills();
  net::Task<void> keep_warnings(uint16_t count);
  net::Task<void> forget_once(const Request& request, const net::RelayResult& result);
  void lose_connection(bool was_in_transaction);
  void note_use(const StatementInfo& info);
  // Of the statement that ends, and of the transaction that it began or ended.
  void count_statement();
  // The open transaction ended otherwise than by a statement.
  void count_aborted();
  void statement_done();
  void drop_doomed();

  QueryLoop& shared_;
  net::CancelSource gone_;  // The client has gone: what it asked for is not wanted any more.
  net::PacketStream stream_;
  mysql::AuthenticatedClient client_;
  const uint32_t id_;
  mysql::Capabilities shape_;
  shard::Target target_;
  mysql::SchemaRename rename_;  // Clients see the keyspace where the server has a database.
  std::list<QuerySession*>::iterator place_;

  net::MysqlPool::Lease lease_;  // While a statement, a transaction or other state needs it.
  std::string settings_;         // The SET statement of this session.
  bool in_transaction_ = false;
  bool reads_only_ = false;  // The open transaction, as the server told last.
  sql::Left left_ = sql::Left::kNothing;
  sql::Left left_before_ = sql::Left::kNothing;  // The statement that was sent last.
  bool active_ = false;
  bool sent_ = false;
  bool grandfathered_ = false;
  bool answering_ = false;    // A command is being answered: `lease_` may be in use.
  bool once_ = false;         // The statement was told of transactions as they shall be once.
  bool doomed_ = false;       // The connection to the server is being ended: it goes to nobody else.
  bool interrupted_ = false;  // KILL QUERY, or the statement's time was over.
  bool timed_out_ = false;
  bool forced_ = false;  // By a fence.
  uint64_t ack_mark_ = 0;
  std::string limited_user_;                 // Whose statement it is; where transactions are limited.
  TransactionLimits::Slot slot_;             // Of the open transaction; where they are limited.
  Concurrency::Place running_;               // Of the statement at hand.
  std::vector<AckDoubt::Kill> query_kills_;  // Of the statement that runs.
  bool silent_ = false;                      // The server did not take the KILL of the statement that runs.
  int kills_ = 0;                            // KILL statements for the connection that are under way.
  // The state in the server is lost; the client hears of it with its next statement.
  enum class Lost : uint8_t { kNothing, kTransaction, kState };
  Lost lost_ = Lost::kNothing;
  std::shared_ptr<const StatementInfo> current_;
  base::TimePoint started_;  // Of the statement that runs.
  bool failed_ = false;
  uint64_t rows_returned_ = 0;
  uint64_t rows_affected_ = 0;
  base::TimePoint transaction_began_;  // Zero: none is open.
  std::vector<std::string> touched_;   // Tables used in the open transaction; at most kMaxTouched, then `touched_all_`.
  bool touched_all_ = false;

  bool atomic_ = false;  // The open transaction may have to be prepared,
  RedoLog redo_;         // and has changed this so far.
  std::string pinned_;   // What the connection's variable timestamp is set to; empty: nothing.

  bool trusted_ = false;
  std::unique_ptr<net::CancelSource> streaming_;  // While it sends messages.
  std::optional<mysql::StreamOffer> streams_;
  std::optional<net::QueryResult> warnings_;  // Of the last statement, if it has any and its connection is gone.
  uint8_t reply_sequence_ = 1;                // Of the first frame of the answer to the command at hand.
  uint32_t next_statement_id_ = 1;
  base::MemoryBudget::Session memory_;  // What is held for this client.
  std::unordered_map<uint32_t, Prepared> statements_;
  mysql::StmtExecute execute_;  // Of the command at hand; its room is used again.
};

}  // namespace vitrail::tablet
