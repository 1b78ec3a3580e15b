#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gate/gate_loop.h"
#include "mysql/server_handshake.h"
#include "mysql/statements.h"
#include "net/mysql_server.h"
#include "sql/parser.h"

namespace vitrail::gate {

// How running a statement ended.
struct RunResult {
  enum class Verdict : uint8_t {
    kAnswered,  // The client has its answer.
    kFailed,    // `error` is to be told to the client. Nothing has been sent.
    kWait,    // Refused without any effect by a shard that is being switched or is not there right now: try again when
              // the view has changed, tell `error` when that takes too long. Nothing has been sent.
    kHangUp,  // The client's connection is of no use any more.
  };
  Verdict verdict = Verdict::kAnswered;
  std::optional<Error> error;

  static RunResult answered() { return {}; }
  static RunResult failed(Error error) { return {Verdict::kFailed, std::move(error)}; }
  static RunResult wait(Error error) { return {Verdict::kWait, std::move(error)}; }
  static RunResult hang_up(Error error) { return {Verdict::kHangUp, std::move(error)}; }
};

// The statement being run, in the form the client sent it.
struct Statement {
  std::string_view text;
  sql::FingerprintResult scan;
  std::span<const sql::LiteralPosition> literals;
  // Of COM_STMT_EXECUTE: the undecoded execute for relaying, and its values for everything else.
  const mysql::StmtExecute* execute = nullptr;
  std::vector<mysql::Value> parameters;
  bool binary() const { return execute != nullptr; }
};

// One client connection of the gate: its protocol, its session state, its transaction.
//   Threads: the loop it was accepted on.
class ClientSession {
 public:
  ClientSession(GateLoop& shared, net::PacketStream stream, mysql::AuthenticatedClient client, uint32_t connection_id);
  ~ClientSession();

  // The database of the login or of USE: "ks", "ks/shard", "ks:shard", "ks@replica", "@replica", "". Error 1049 names
  // it.
  Status set_target(std::string_view text);

  // The end of the login: tells the client, before run().
  net::Task<void> accept_login(net::PendingLogin& login);
  net::Task<void> refuse_login(net::PendingLogin& login, mysql::ErrPacket err);

  // What a client of gRPC takes along from call to call, and where its transaction is.
  struct State {
    bool autocommit = true;
    bool in_transaction = false;
    std::vector<shard::Target> participants;
    std::map<std::string, std::string> settings;
    std::map<std::string, mysql::Value> user_variables;
    uint64_t last_insert_id = 0;
    uint64_t found_rows = 0;
    int64_t row_count = 0;
  };
  State state() const;
  std::string target() const;  // As set_target() takes it.
  void restore_counters(uint64_t last_insert_id, uint64_t found_rows, int64_t row_count);
  // The Error that was told to the client last: MySQL's protocol cannot carry all of it.
  const std::optional<Error>& last_error() const { return last_error_; }

  net::Task<void> run();
  void close() { stream_.socket().abort(); }
  uint32_t connection_id() const { return connection_id_; }

 private:
  struct Prepared {
    std::string text;
    uint16_t parameters = 0;
    bool local = false;  // Run by the gate itself (BEGIN, SET ...).
    mysql::StatementMemory memory;
  };
  // A shard of the open transaction.
  struct Participant {
    shard::Target target;
    net::MysqlPool::Lease lease;
  };
  struct ShardText {
    shard::Target target;
    std::string text;
  };

  // session.cc: protocol. An error ends the session.
  net::Task<Status> dispatch(const mysql::MessageReader::Message& message);
  net::Task<Status> on_query(std::string_view text, uint8_t last_sequence);
  net::Task<Status> on_prepare(std::string text);
  net::Task<Status> on_execute(const mysql::MessageReader::Message& message);
  net::Task<Status> finish(RunResult result);
  void log_statement(const Statement& statement, base::TimePoint started, const RunResult& result) const;
  // Runs until it is answered or failed; holds statements that meet a switch, and runs them again.
  net::Task<RunResult> run_statement(const Statement& statement);
  net::Task<Status> send(std::string framed);
  net::Task<Status> send_error(Error error);
  net::Task<Status> send_ok(mysql::OkPacket ok);
  net::Task<Status> send_result(const net::QueryResult& result, bool binary);
  uint16_t status_flags() const;
  net::Wait query_wait() const;

  // session_run.cc: plans.
  net::Task<RunResult> run_once(const Statement& statement);
  // Also finds the plan's counters (counters_).
  Result<std::shared_ptr<const plan::Plan>> plan_for(const Statement& statement);
  net::Task<RunResult> run_route(const plan::Plan& plan, const Statement& statement);
  net::Task<RunResult> run_insert(const plan::Plan& plan, const Statement& statement);
  net::Task<RunResult> relay(const plan::Plan& plan, const Statement& statement, shard::Target target);
  net::Task<RunResult> gather(const plan::Plan& plan, const Statement& statement, std::vector<ShardText> texts);
  net::Task<RunResult> change(std::vector<ShardText> texts, uint64_t last_insert_id);
  // Runs one text on one shard and reads the whole answer. In a transaction: on its connection there.
  net::Task<Result<net::QueryResult>> ask(ShardText what, bool begin);
  net::Task<Result<net::MysqlPool::Lease>> lease_for(const shard::Target& target, net::Wait wait);
  Result<std::vector<shard::Target>> resolve(const plan::Route& route, const Statement& statement);
  Result<mysql::Value> value_of(const plan::ValueSource& source, const Statement& statement) const;
  net::Task<Result<int64_t>> next_values(std::string keyspace, std::string table, uint64_t count);
  RunResult refused(Error error) const;
  // Which shard held a statement back, by the error that says so; and what let it go on.
  struct Held {
    std::string keyspace;
    std::string shard;
    bool by_rule = false;  // A denied table.
  };
  Held held_by(const Error& error) const;
  BufferStop stop_reason(const Held& held) const;
  Participant* find_participant(const shard::Target& target);

  // transaction part
  net::Task<RunResult> commit();
  net::Task<void> rollback_all();
  net::Task<RunResult> savepoint(std::string text);

  // session_statements.cc: statements that the gate answers itself. nullopt: not one of them.
  net::Task<std::optional<RunResult>> run_local(const Statement& statement);
  net::Task<RunResult> run_set(std::string_view text);
  net::Task<std::optional<RunResult>> run_show(const sql::Ast& ast);
  // alter_vschema.cc: changes a keyspace's vschema in the topology, and waits for a while until this gate goes by it.
  net::Task<RunResult> alter_vschema(std::string text);
  Status apply_setting(std::string name, std::string value);
  std::string settings_text() const;
  // Replaces LAST_INSERT_ID(), DATABASE(), @variables ... by their values; nullopt when there is nothing to replace.
  Result<std::optional<std::string>> with_session_values(std::string_view text) const;

  GateLoop& shared_;
  net::PacketStream stream_;
  mysql::AuthenticatedClient client_;
  const uint32_t connection_id_;
  GateLoop::LoginForm form_;
  std::list<ClientSession*>::iterator place_;

  // Target.
  std::string keyspace_;  // Empty: global routing.
  std::string shard_;     // Not empty: every statement goes to this shard.
  std::string tablet_type_ = "primary";
  std::string plan_context_ = "@primary";

  // Transaction.
  bool autocommit_ = true;
  bool in_transaction_ = false;
  std::vector<Participant> participants_;

  // Session.
  std::map<std::string, std::string> settings_;  // System variable -> SQL text of its value.
  std::string settings_text_;
  std::map<std::string, mysql::Value> user_variables_;
  uint64_t last_insert_id_ = 0;
  uint64_t found_rows_ = 0;
  int64_t row_count_ = 0;
  std::optional<Error> last_error_;
  uint8_t sequence_ = 1;  // Of the answer's first frame.
  // Counts the statement that runs, once, before its answer is sent.
  void count_statement(size_t shards) {
    if (counters_ != nullptr && !std::exchange(counted_, true)) counters_->count(shards);
  }
  const PlanCounters* counters_ = nullptr;  // Of the statement that runs; null when the gate answers it itself.
  bool counted_ = false;
  // Of statements for a shard that was named, by kind; forgotten with the target.
  std::map<sql::StatementKind, const PlanCounters*> named_shard_counters_;
  std::unordered_map<uint32_t, Prepared> statements_;
  uint32_t next_statement_id_ = 1;
};

}  // namespace vitrail::gate
