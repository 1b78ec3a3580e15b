#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/on_demand.h"
#include "gate/change_outcome.h"
#include "gate/directives.h"
#include "gate/gate_loop.h"
#include "gate/load_counts.h"
#include "gate/scratch.h"
#include "gate/session_settings.h"
#include "gate/user_variable.h"
#include "mysql/data_port.h"
#include "mysql/server_handshake.h"
#include "mysql/statements.h"
#include "net/mysql_server.h"
#include "plan/insert.h"
#include "plan/load.h"
#include "plan/planner.h"
#include "sql/parser.h"

namespace vitrail::exec {
class RowMerge;
}

namespace vitrail::plan {
struct Change;
struct ChangeTarget;
struct RowSource;
struct UnknownTable;
struct ViewDefinition;
}  // namespace vitrail::plan

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

  bool told_error = false;  // kAnswered: with an ERR behind rows.

  static RunResult answered() { return {}; }
  static RunResult failed(Error error) { return {Verdict::kFailed, std::move(error)}; }
  static RunResult wait(Error error) { return {Verdict::kWait, std::move(error)}; }
  static RunResult hang_up(Error error) { return {Verdict::kHangUp, std::move(error)}; }
};

// Whether an error of one shard is the end of the transaction there.
bool ends_transaction(const Error& error);

// Literals recorded of a statement; statements with more are planned each time.
inline constexpr size_t kRecordedLiterals = 64;
inline constexpr size_t kQueryMax = 4096;  // Bytes; of longer statements pages do not show all.

// The statement being run, in the form the client sent it.
struct Statement {
  std::string_view text;
  sql::FingerprintResult scan;
  std::span<const sql::LiteralPosition> literals;
  // Of COM_STMT_EXECUTE: the undecoded execute for relaying, and its values for everything else.
  const mysql::StmtExecute* execute = nullptr;
  std::vector<mysql::Value> parameters;
  std::shared_ptr<const plan::ParameterText>* places = nullptr;  // Of `text` as prepared; made when it is wanted.
  bool binary() const { return execute != nullptr; }
};

// An error with the shard where it was met, for users and as a value.
Error met_at(const shard::Target& target, Error error);
// As a vindex takes it; a text is a view into `value`.
shard::VindexValue vindex_value(const mysql::Value& value);

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
  // Before its first statement: its reads go where mirror rules lead.
  void become_mirror();
  void restore_counters(uint64_t last_insert_id, uint64_t found_rows, int64_t row_count);
  // The Error that was told to the client last: MySQL's protocol cannot carry all of it.
  const std::optional<Error>& last_error() const { return last_error_; }

  net::Task<void> run();
  void close() { stream_.socket().abort(); }
  // KILL QUERY, for any session of this loop. Returns when the tablets were told.
  net::Task<void> kill_query();
  const std::string& user() const { return client_.user; }
  // For SHOW PROCESSLIST of any session; on this one's loop.
  Process process() const;
  uint32_t connection_id() const { return connection_id_; }

 private:
  struct Prepared {
    std::string text;
    std::string target;  // As target() tells it: where the names in the text are looked up, whatever USE says later.
    uint64_t target_epoch = 0;  // When that was.
    uint16_t parameters = 0;
    bool with_literals = false;                          // Run with its parameters written into the text.
    std::string cursor;                                  // Rows and the end behind them, framed. Empty: no open cursor.
    size_t cursor_at = 0;                                // What comes before has been fetched.
    uint64_t long_data_counted = 0, cursor_counted = 0;  // What memory_ knows of.
    mysql::StatementMemory memory;
    sql::FingerprintResult scan;  // Of the text, when it runs as it is; its literals:
    std::vector<sql::LiteralPosition> literals;
    std::shared_ptr<const plan::ParameterText> places;
  };
  struct TextPrepared {  // By PREPARE.
    std::string text;
    std::string target;
  };
  // A transaction that changes lookup vindexes has up to three connections to a shard, which commit one after the
  // other: a crash may leave a lookup row without its row, but never a row that its lookup does not find.
  enum class Phase : uint8_t {
    kBefore,  // Lookup rows that are written, and looked at.
    kMain,    // Everything else.
    kAfter,   // Lookup rows that are removed.
    kAlone,   // Not of the transaction.
  };
  // A connection to a shard that belongs to this session for longer than a statement: a transaction is open there, or
  // the server holds other state of it (the tablet tells, see tablet/query_session.h).
  struct HeldConnection {
    shard::Target target;
    net::MysqlPool::Lease lease;
    bool in_transaction = false;
    bool changed = false;  // Rows were changed in the transaction. False: perhaps they were.
    bool pinned = false;
    Phase phase = Phase::kMain;
    bool autocommit_off = false;  // In the server: a transaction begins there without a BEGIN.
  };
  struct ShardText {
    shard::Target target;
    std::string text;
    Phase phase = Phase::kMain;
    bool own_words = false;  // Not the client's: that they are deprecated is none of his business.
  };
  // Of FLOAT and DOUBLE in a result: as a text result has them, or all, for an answer in binary form.
  enum class Digits : uint8_t { kOfText, kAll };

  // session_commands.cc: what each command does. An error ends the session.
  net::Task<Status> dispatch(const mysql::MessageReader::Message& message);
  void use_target(std::string keyspace, std::string shard, std::string tablet_type);
  // One statement or several, from text_.
  net::Task<Status> on_query();
  net::Task<Status> run_each(std::string_view text);
  static net::Task<Status> done() { co_return Status{}; }
  net::Task<Status> on_change_user(std::string payload, uint8_t sequence);
  net::Task<Status> on_field_list(std::string payload);
  net::Task<Status> on_set_option(std::string_view payload);
  net::Task<Status> on_reset_connection();
  net::Task<Status> on_process_kill(std::string_view payload);
  std::string statistics() const;
  // Everything of a server's session but its database, its user and its character set.
  net::Task<void> reset_session();

  // session_prepared.cc: prepared statements.
  net::Task<Status> on_prepare(std::string text);
  net::Task<Status> on_execute(const mysql::MessageReader::Message& message);
  // What the statement would return, and its parameters; the definitions are framed behind an answer numbered 1.
  net::Task<Status> describe(const Statement& statement, mysql::PrepareOk& ok, std::string& definitions);
  net::Task<Status> describe_at_shard(const Statement& statement, mysql::PrepareOk& ok, std::string& definitions);
  net::Task<Status> check_locked(const Statement& statement);
  net::Task<Status> send_prepared(mysql::PrepareOk ok, std::string text, bool with_literals,
                                  std::string_view definitions);
  // As if the session used the target in which a statement was prepared; DATABASE() is what it uses now.
  struct Away {
    std::string keyspace, shard, tablet_type;
    std::optional<std::string> used_keyspace;
  };
  Result<Away> go_to(const std::string& target);
  void come_back(Away from);
  net::Task<RunResult> run_at(std::string target, const Statement& statement);
  net::Task<Status> on_fetch(std::string_view payload);
  // Answers an execute with the columns of a whole result set; its rows stay, for on_fetch().
  net::Task<Status> open_cursor(Prepared& prepared, std::string held);
  void add_long_data(std::string_view payload);
  // Tells memory_ of long data and cursors that are kept less of.
  void recount(Prepared& prepared);
  void forget(uint32_t statement_id);
  using Variables = std::map<std::string, mysql::Value>;
  using Statements = std::unordered_map<uint32_t, Prepared>;
  Statements::iterator find_statement(uint32_t id);
  static Error unknown_statement(uint32_t id, std::string_view command);

  // session.cc: answers.
  // Reads `text`, which must outlive the statement as `literals` must.
  static void scan_text(std::string_view text, std::vector<sql::LiteralPosition>& literals, Statement& statement);
  net::Task<RunResult> run_logged(const Statement& statement);
  net::Task<Status> finish(RunResult result);
  void log_statement(const Statement& statement, base::TimePoint started, const RunResult& result) const;
  // As pages show it.
  static std::string shown_text(const Statement& statement);
  // Adds it to what statements of its text have cost.
  // Returns the time at which it has ended: now.
  base::TimePoint account(const Statement& statement, base::TimePoint started, const RunResult& result);
  void use_totals(const std::shared_ptr<StatementTotals>& totals) {
    if (totals_ != totals) totals_ = totals;
    totals_known_ = totals_ != nullptr;
  }
  // What the end of a statement is to those behind it; once for a statement inside of another (EXECUTE, SET STATEMENT).
  void note_end(const Statement& statement, const RunResult& result);
  // The session before a statement with which, with autocommit = 0, a transaction may begin.
  struct Before {
    mysql::TransactionOptions next;
    std::vector<std::string> savepoints;
  };
  // No transaction has begun with a statement that failed ahead of its tables: see reached_tables.h.
  net::Task<void> unbegin(Before before);
  bool reaches_tables(const Statement& statement) const;
  static bool ends_transaction_first(const Statement& statement);
  static bool runs_code(const Statement& statement);
  // Runs until it is answered or failed; holds statements that meet a switch, and runs them again.
  net::Task<RunResult> run_statement(const Statement& statement);
  net::Task<Status> send(std::string framed);
  net::Task<Status> send_error(Error error);
  // For SHOW WARNINGS and its kin: an error that the client has been told.
  void note_told_error(const mysql::ErrPacket& err);
  net::Task<Status> send_ok(mysql::OkPacket ok);
  // In the form that the statement's command asks for (binary_answer_); an OK when there are no columns.
  net::Task<Status> send_result(const net::QueryResult& result);
  uint16_t status_flags() const;
  bool reads_only() const;
  bool session_reads_only() const;  // Transactions do from now on, if they do not say it themselves.
  // What the statement may still take: as its directive says, or the session, or the flag.
  net::Wait query_wait() const;
  net::Wait session_wait() const;  // Without the directive: for COMMIT, which a statement's time must not cut short.
  size_t max_rows() const;         // That may be held of one statement.
  bool unlimited() const;          // The tablets' query timeout does not end this session's statements.

  // session_fast.cc: what most statements are, one shard's, with a plan that is known. nullopt: not that.
  struct FastRoute {
    std::shared_ptr<const plan::Plan> plan;
    shard::Target target;
  };
  std::optional<FastRoute> fast_route(const Statement& statement);
  const ActiveShard* only_shard(const plan::Route& route, const std::string& keyspace, const Statement& statement);
  // Where connections to the target come from, if there is but one place.
  net::MysqlPool* known_pool(const shard::Target& target);
  bool may_have_session_values(const sql::FingerprintResult& scan) const;

  // session_run.cc: plans.
  // The statement has been answered: runs it again where mirror rules lead, if its turn has come.
  void mirror(const Statement& statement);
  // The statement, or what has been made of it, with its parameters written into it.
  Result<std::string> text_of(const Statement& statement, const std::string* instead) const;
  net::Task<RunResult> run_once(const Statement& statement);
  // `error`, of a plan: it needs columns that are not known, and they will be in a moment.
  net::Task<bool> columns_will_come(Error error);
  // Also finds the plan's counters (counters_).
  Result<std::shared_ptr<const plan::Plan>> plan_for(const Statement& statement);
  plan::Plan named_shard_plan(const Statement& statement) const;
  std::string text_plan_key(const Statement& statement) const;
  std::string home_keyspace() const;  // keyspace_; "" for information_schema, which is in all of them.
  Result<std::shared_ptr<const plan::Plan>> plan_with_names(sql::Ast& ast, const plan::PlanContext& context) const;
  bool begins_transaction(const plan::Plan& plan, const Statement& statement) const;
  net::Task<RunResult> run_plan(const plan::Plan& plan, const Statement& statement);
  net::Task<RunResult> run_route(const plan::Plan& plan, const Statement& statement);
  net::Task<RunResult> run_insert(const plan::Plan& plan, const Statement& statement);
  // session_stream.h: rows on their way; session_gather.cc: one result of those of several shards.
  class RowSink;
  class ClientRows;
  class KeptRows;
  class ShardStreams;
  struct RowBatch;
  struct OpenRows;
  net::Task<RunResult> gather(const plan::Plan& plan, const Statement& statement, std::vector<ShardText> texts);
  net::Task<Status> open_rows(OpenRows& rows, const Statement& statement, std::vector<ShardText> texts);
  net::Task<RunResult> gather_rows(const plan::Plan& plan, const Statement& statement, std::vector<ShardText> texts);
  net::Task<RunResult> gather_named(const plan::Plan& plan, std::vector<ShardText> texts, bool variables);
  Result<std::vector<std::vector<size_t>>> keys_of(const plan::Route& route, const Statement& statement,
                                                   std::span<const shard::Target> targets);
  // DO whose values no shard computes alone.
  net::Task<RunResult> run_do(const Statement& statement);
  net::Task<RunResult> finish_instead(const Statement& statement, Error refusal);
  static net::Task<Status> pass_rows(ShardStreams& streams, exec::RowMerge& merge, ClientRows& out);
  static net::Task<Status> pass_in_order(ShardStreams& streams, exec::RowMerge& merge, ClientRows& out);
  static net::Task<Status> pass_groups(ShardStreams& streams, const plan::Merge& how, exec::RowMerge& merge,
                                       ClientRows& out);
  net::Task<RunResult> gather_some(const plan::Plan& plan, const Statement& statement, std::vector<ShardText> texts);
  // `some`: it is enough when one shard answers; what the others say are warnings.
  net::Task<Result<std::vector<net::QueryResult>>> ask_all(std::vector<ShardText> texts,
                                                           base::MemoryBudget::Hold& memory, Digits digits = {},
                                                           bool some = false);
  bool some_shards_do(const Statement& statement) const;
  void warn_of(const Error& error);
  Status check_scatter(const plan::Plan& plan) const;
  net::Task<RunResult> run_with_questions(const plan::Plan& plan, const Statement& statement, ShardText what);
  // session_change.cc. `places`: of an INSERT's rows, for each text.
  net::Task<RunResult> change(std::vector<ShardText> texts, ChangeOutcome out,
                              std::vector<std::vector<uint64_t>> places = {});
  struct LookupKey;
  struct Touched;
  // `touched`: where lookup vindexes learn of the change, too.
  net::Task<Result<net::QueryResult>> send_change(ShardText what, ChangeOutcome& out, uint64_t rows = 0,
                                                  Touched* touched = nullptr);
  net::Task<RunResult> end_change(ChangeOutcome out, Status status);
  net::Task<RunResult> tell_change(ChangeOutcome out);
  net::Task<RunResult> run_rows(const plan::Plan& plan);
  Status as_in_a_change() const;
  net::Task<Result<net::QueryResult>> source_rows(const plan::RowSource& source, base::MemoryBudget::Hold& memory);
  Result<shard::Target> place_row(const std::string& keyspace, const std::shared_ptr<const shard::Vindex>& vindex,
                                  std::vector<mysql::Value> values);
  using Row = std::vector<std::optional<std::string>>;
  net::Task<Status> change_rows(const plan::Change& change, ChangeOutcome& out, Touched& touched,
                                base::MemoryBudget::Hold& memory);
  // `written`: what lookups have to learn of when all targets are changed.
  net::Task<Status> change_target(const plan::ChangeTarget& target, const net::QueryResult& rows, ChangeOutcome& out,
                                  Touched* touched, std::vector<LookupKey>& written);
  struct ChangeBatch;
  net::Task<Status> flush_change(const plan::ChangeTarget& of, ChangeBatch& batch, ChangeOutcome& out, Touched* touched,
                                 std::vector<LookupKey>& written);
  static Result<std::string> new_condition(const plan::ChangeTarget& target, const net::QueryResult& rows,
                                           const Row& row);
  net::Task<Status> check_move(const plan::ChangeTarget& target);
  net::Task<Status> move_row(const plan::ChangeTarget& target, const net::QueryResult& rows, const Row& row,
                             shard::Target from, const std::string& condition, ChangeOutcome& out, Touched* touched,
                             std::vector<LookupKey>& written);
  net::Task<Result<shard::Target>> place_key(const std::string& keyspace,
                                             const std::shared_ptr<const shard::Vindex>& vindex,
                                             std::vector<mysql::Value> values);
  struct PlacedRow {
    shard::Target target;
    std::string text;
    std::vector<mysql::Value> key;  // Of the vindex's columns.
    // With lookup vindexes:
    shard::KeyspaceId id;
    std::vector<std::vector<mysql::Value>> lookups;
    std::string conflicts;
  };
  static Status note_lookups(const plan::InsertRows& insert, const plan::InsertRows::Rows& rows,
                             const net::QueryResult& found, const Row& row, std::optional<int64_t> generated,
                             PlacedRow& out);
  Result<PlacedRow> place_insert(const plan::InsertRows& insert, const plan::InsertRows::Rows& rows,
                                 const net::QueryResult& found, const Row& row, std::optional<int64_t> generated);
  net::Task<Status> insert_rows(const plan::InsertRows& insert, ChangeOutcome& out, Touched& touched,
                                base::MemoryBudget::Hold& memory);
  net::Task<Status> send_batch(InsertBatch batch, ChangeOutcome& out);
  std::string results_charset() const;
  // session_load.cc
  struct ShardLoad;
  net::Task<RunResult> run_load(const plan::Plan& plan);
  net::Task<Status> begin_load(ShardLoad& load, const std::string& text);
  net::Task<Status> send_lines(ShardLoad& load, bool last);
  net::Task<Result<mysql::OkPacket>> end_load(ShardLoad& load);
  // Reads the client's file to its end; what becomes of its lines is the sink's affair.
  template <typename Sink>
  net::Task<Status> spread_file(const plan::Load& load, Sink& sink);
  class LinesToShards;
  class LinesInBatches;
  static Result<std::vector<mysql::Value>> key_of_line(const plan::Load& load, const plan::LineCutter::Line& line,
                                                       std::string_view charset);
  net::Task<Status> load_straight(const plan::Load& load, std::string charset, LoadCounts& counts, ChangeOutcome& out,
                                  std::vector<shard::Target> targets);
  net::Task<Status> load_in_batches(const plan::Load& load, std::string charset, LoadCounts& counts, ChangeOutcome& out,
                                    std::vector<shard::Target> targets);
  net::Task<Result<std::string>> default_file_charset(shard::Target target);
  Status lose_broken(const ShardLoad& load, Status status);
  net::Task<Status> ask_for_file(const std::string& file);
  // The lines of a shard as a load of their own.
  struct LookupStatement;
  struct InsertedRow;
  net::Task<Status> load_lines(LookupStatement& what, ShardText lines, Touched& touched);
  static std::vector<ShardText> line_texts(const std::vector<InsertedRow>& rows);
  // Rows of an INSERT, each with its shard.
  struct InsertedRow {
    shard::Target target;
    std::string text;
    shard::KeyspaceId id;
    std::optional<mysql::Value> generated;
  };
  static Status verify_row(const plan::ShardedInsert& insert, const plan::ShardedInsert::Row& row,
                           const InsertedRow& placed);
  // `next`: the first of the generated values.
  net::Task<Result<std::vector<InsertedRow>>> place_rows(const plan::ShardedInsert& insert, int64_t next,
                                                         const Statement& statement);
  // Where a row goes whose place `vindex` tells, a function or the lookup of another table.
  net::Task<Result<shard::KeyspaceId>> id_of_key(const shard::Vindex& vindex, const std::vector<mysql::Value>& key);
  // One text for each shard, in the order in which they come first.
  static std::vector<ShardText> insert_texts(const plan::ShardedInsert& insert, const std::vector<InsertedRow>& rows);
  net::Task<Result<net::MysqlPool::Lease>> lease_for(const shard::Target& target, net::Wait wait);
  Result<std::vector<shard::Target>> resolve(const plan::Route& route, const Statement& statement);
  // The text for each shard: of a list of keys each gets its own alone.
  Result<std::vector<ShardText>> texts_for(const plan::Route& route, const Statement& statement,
                                           std::vector<shard::Target> targets, const std::string& text);
  Result<mysql::Value> value_of(const plan::ValueSource& source, plan::KeyType type, const Statement& statement) const;
  // The character set of the client's texts.
  std::string client_charset() const;
  Result<plan::PlanContext> plan_context(const View& view, const Statement& statement) const;
  struct RefinedPlan {
    std::shared_ptr<const plan::Plan> plan;
    std::string text;
  };
  // See exec::refined_forms().
  Result<RefinedPlan> plan_refined(const Statement& statement, std::map<uint32_t, plan::KeyForm> forms) const;
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

  // session_lookup.cc: lookup vindexes. lookup_commit.cc: the ends of transactions that change them.
  // A row of a lookup's table: of rows of `table` with these values and this keyspace id.
  struct LookupKey {
    std::shared_ptr<const vschema::Table> table;
    size_t use = 0;  // Of table->lookups.
    std::vector<mysql::Value> values;
    shard::KeyspaceId id;
    std::vector<mysql::Value> key;  // Of the primary vindex's columns; empty: not known.
    bool moves = false;             // The row has the value already, and goes to another keyspace id.
  };
  // Where a statement has been: each place has its savepoint, when there is one.
  struct Touched {
    std::string savepoint;
    std::vector<std::pair<shard::Target, Phase>> places;
  };
  // As resolve(), with what a lookup's table says.
  net::Task<Result<std::vector<shard::Target>>> targets_of(const plan::Route& route, const Statement& statement,
                                                           bool for_change);
  net::Task<Result<std::vector<shard::KeyspaceId>>> look_up(const plan::LookupRead& read, const Statement& statement,
                                                            bool for_change);
  // A text of the gate's own on tables of any keyspace.
  net::Task<Result<net::QueryResult>> ask_tables(std::string text, Phase phase, Touched* touched);
  net::Task<Result<net::QueryResult>> ask_touching(ShardText what, Touched* touched);
  net::Task<RunResult> insert_with_lookups(const plan::ShardedInsert& insert, std::vector<InsertedRow> rows,
                                           uint64_t last_insert_id, bool id_given);
  net::Task<RunResult> change_with_lookups(const plan::Plan& plan, const Statement& statement);
  net::Task<RunResult> run_lookup_statement(LookupStatement what);
  net::Task<Status> do_lookup_statement(LookupStatement& what, Touched& touched);
  net::Task<Status> drop_ignored(LookupStatement& what, Touched& touched);
  net::Task<Status> note_replaced(const LookupStatement& what, Touched& touched);
  net::Task<Status> read_changed(LookupStatement& what, Touched& touched);
  net::Task<Status> verify_key(const LookupKey& key, Touched& touched);
  net::Task<Status> write_lookups(const std::vector<LookupKey>& keys, plan::ShardedInsert::Conflict conflict,
                                  Touched& touched);
  net::Task<Status> write_lookup(const LookupKey& key, plan::ShardedInsert::Conflict conflict, Touched& touched);
  net::Task<Result<std::optional<shard::KeyspaceId>>> holder_of(const LookupKey& key, Phase phase, Touched& touched);
  // How many rows there are of a key; locked.
  net::Task<Result<size_t>> count_rows(const LookupKey& key, std::string_view lock, Touched* touched);
  Result<shard::KeyspaceId> id_of_row(const vschema::Table& table, const net::QueryResult& rows, size_t row,
                                      std::vector<mysql::Value>* key = nullptr) const;
  net::Task<bool> undo_touched(const Touched& touched);
  // session_watch.cc: rows as they are before and after a change.
  struct Watched {
    std::vector<LookupKey> keys;
    std::string conditions;  // By which they are found again.
  };
  struct Place {
    shard::Target target;
    shard::KeyspaceId id;
  };
  Status may_watch() const;
  net::Task<Result<Watched>> read_watched(const plan::LookupWatch& watch, shard::Target target, std::string condition,
                                          Touched& touched);
  Result<std::vector<LookupKey>> learn(const Watched& before, const Watched& after, bool moves);
  net::Task<Status> learn_of(const plan::ChangeTarget& target, const Watched& before, const shard::Target& now,
                             const std::string& condition, Touched* touched, std::vector<LookupKey>& written);
  net::Task<Status> settle(std::vector<LookupKey> keys, plan::ShardedInsert::Conflict conflict, Touched& touched);
  net::Task<Result<Place>> place_by_id(std::string keyspace, std::shared_ptr<const shard::Vindex> vindex,
                                       std::vector<mysql::Value> values);
  net::Task<Status> change_ignoring(const plan::ChangeTarget& target, ShardText what, std::string conditions,
                                    ChangeOutcome& out, Touched& touched);
  net::Task<Status> insert_watched(const plan::InsertRows& insert, std::vector<PlacedRow> rows, ChangeOutcome& out,
                                   Touched& touched);
  // Before the transaction's own commit; an error is the end of the transaction.
  net::Task<Status> commit_lookups();
  net::Task<Status> remove_gone(std::vector<LookupKey> keys);
  net::Task<void> end_removals(bool committed);

  // hint_settings.cc
  net::Task<RunResult> run_with_hints(const Statement& statement,
                                      std::vector<std::pair<std::string, std::string>> hints);

  // vexplain.cc
  net::Task<RunResult> vexplain(const Statement& statement);
  net::Task<Result<std::string>> vexplain_json(const plan::Plan& plan, const Statement& inner, bool explains);
  net::Task<Status> run_traced(const Statement& inner);
  net::Task<RunResult> send_one_cell(std::string json);

  // session_finish.cc: statements that one server finishes.
  struct Scratch {
    shard::Target target;
    ScratchSession session;
    bool answering = false;  // A result is under way there.
  };
  struct InputQuestion;
  struct Copied;
  net::Task<RunResult> run_finish(const plan::Plan& plan, const Statement& statement);
  static net::Task<void> end_scratch(ScratchSession session, net::Wait wait);
  // Sets finished_rows_ (of FOUND_ROWS()), and last_insert_id_ where the statement asks for it.
  net::Task<Status> finish_rows(const plan::Plan& plan, const Statement& statement, Digits digits, RowSink& out);
  net::Task<Result<net::QueryResult>> finish_result(const plan::Plan& plan, const Statement& statement,
                                                    base::MemoryBudget::Hold& memory, Digits digits);
  net::Task<Status> finish_on(Scratch& scratch, const plan::Plan& plan, std::string text, Digits digits, RowSink& out,
                              net::Wait wait);
  net::Task<Status> tell_variables(ScratchSession& session, std::span<const std::string> assigned, net::Wait wait);
  net::Task<Status> take_variables(ScratchSession& session, std::span<const std::string> assigned, net::Wait wait);
  net::Task<Result<net::MysqlClient::Shape>> finish_shape(const plan::Plan& plan);
  net::Task<Status> add_questions(const plan::FinishInput& input, size_t place, const plan::Plan& rows,
                                  const Statement& statement, std::vector<InputQuestion>& out);
  net::Task<Result<std::vector<InputQuestion>>> next_questions(const plan::Finish& finish, const Statement& statement,
                                                               Copied& copied);
  struct OpeningScratch;
  static net::Task<void> open_scratch_into(ClientSession& self, const plan::Finish& finish, net::Wait wait,
                                           OpeningScratch& out);
  net::Task<Status> load_inputs(const plan::Finish& finish, const Statement& statement, OpeningScratch& scratch);
  net::Task<Status> copy_answers(const plan::Finish& finish, std::vector<InputQuestion> questions,
                                 OpeningScratch& scratch, Copied& copied);
  struct CopiedKeys;
  struct SourceRows;
  Status count_copied(const RowBatch& batch, const plan::FinishInput& input, Copied& copied) const;
  // The rows of `input`, of the `count` shards from `first`.
  net::Task<Status> load_input(ShardStreams& streams, size_t first, size_t count, const plan::FinishInput& input,
                               Scratch& scratch, Copied& copied, std::vector<CopiedKeys>& keys);
  // The text with the queries of views in the place of tables that no vschema knows, and with the table in the place of
  // a view that is changed; nullopt: none of these is a view.
  net::Task<Result<std::optional<plan::ViewDefinition>>> changed_view(const plan::UnknownTable& view);
  net::Task<Result<std::optional<std::string>>> expand_views(std::string_view text);
  net::Task<Result<std::optional<std::string>>> view_definition(const std::string& keyspace, const std::string& name);
  net::Task<Status> check_hidden(const plan::FinishInput& input, const shard::Target& target);
  net::Task<Result<Scratch>> open_scratch(const plan::Finish& finish, net::Wait wait);
  std::vector<shard::Target> scratch_targets(const plan::Finish& finish);
  net::Wait finish_wait() const;
  // session_join.cc: joins that need no server.
  struct Joining;
  net::Task<Result<bool>> join_rows(const plan::RowJoin& how, const Statement& statement, Digits digits, RowSink& out);
  net::Task<Result<bool>> join_part(const plan::FinishInput& input, const plan::Plan& rows, bool first,
                                    const Statement& statement, Digits digits, Joining& joining);

  // session_relay.cc: one shard's connection.
  net::Task<RunResult> relay(const plan::Plan& plan, const Statement& statement, shard::Target target);
  // Runs one text on one shard and reads the whole answer, on the connection that is held there if there is one. In a
  // transaction the shard becomes part of it; `savepoint` is set before the statement then. `max_rows`: 0 for
  // GateSettings::max_memory_rows.
  net::Task<Result<net::QueryResult>> ask(ShardText what, std::string savepoint = "",
                                          base::MemoryBudget::Hold* memory = nullptr, size_t max_rows = 0,
                                          Digits digits = {});
  // After the error of a statement on one shard: what it is for the session, and what becomes of the connection.
  // `begins`: the statement would have opened the transaction there.
  net::Task<Error> ask_failed(const ShardText& what, HeldConnection* held, net::MysqlPool::Lease& own, bool begins,
                              Error error);
  // Where the tablet asks for it, says who sends the statement.
  void add_caller(mysql::Capabilities capabilities, std::vector<mysql::QueryAttribute>& attributes) const;
  HeldConnection* find_held(const shard::Target& target, Phase phase = Phase::kMain);
  bool in_transaction_on(const shard::Target& target);
  // What the server says of the connection behind an answer: holds it, or lets it go. `own`: a connection from the
  // pool.
  void absorb(const shard::Target& target, HeldConnection* held, net::MysqlPool::Lease& own, uint16_t status_flags,
              bool state_changed, Phase phase = Phase::kMain, uint64_t affected_rows = 0);
  // Behind code, which may have ended the transaction and begun another: whether that one reads only.
  void note_access(uint16_t status_flags);
  net::Task<std::optional<uint16_t>> ping(net::MysqlClient& client);
  // nullopt: the connection is lost.
  net::Task<std::optional<uint16_t>> ask_state(const shard::Target& target, HeldConnection* held,
                                               net::MysqlPool::Lease& own);
  // The connection is of no use any more. Its transaction, and other state, is lost.
  void lose(HeldConnection* held);
  std::vector<mysql::QueryAttribute> attributes_for(HeldConnection* held, std::string_view savepoint) const;
  // kAborted where another shard would make the transaction one over several, and that is not wanted.
  Status may_join(const shard::Target& target);
  // Ends what runs on a tablet for this session; returns when it was told.
  // False: the tablet has not said that it did.
  static net::Task<bool> interrupt_on_tablet(GateLoop& shared, net::MysqlPool& pool, uint32_t tablet_session);
  // What FOUND_ROWS() tells behind a statement that was passed on to one server.
  void note_found_rows(plan::FoundRows rule, const net::RelayResult& result);
  // Of a statement that was not passed on to one server. `before`: what it told before.
  void settle_found_rows(const plan::Plan& plan, const RunResult& result, uint64_t before);
  void answered_with(uint64_t rows) { found_rows_ = answered_rows_ = rows; }
  net::Task<RunResult> relay_failed(const shard::Target& target, HeldConnection* held, net::RelayFailure failure,
                                    bool in_transaction);
  // again: the statement may be sent a second time when the server has refused it, since it has had no effect.
  // ran_code: the server alone knows what it has left.
  net::Task<RunResult> relay_refused(const shard::Target& target, HeldConnection* held, net::MysqlPool::Lease& own,
                                     const net::RelayResult& result, bool begins, bool again, bool ran_code);

  // session_transaction.cc
  net::Task<RunResult> begin(const Statement& statement);
  net::Task<RunResult> begin_where_code_ran(bool access_said);
  net::Task<RunResult> begin_snapshots(bool access_said);
  // The connection that the session keeps, if it is one.
  HeldConnection* where_code_ran();
  net::Task<void> forget_next_where_kept(bool commits);
  net::Task<RunResult> end_transaction(const Statement& statement);
  // Commits the open transaction, if there is one. The answer is still to be sent.
  net::Task<RunResult> commit();
  net::Task<RunResult> commit_each(std::vector<HeldConnection*> participants);
  // session_twopc.cc: all or nothing. `changed`: whether it has changed something there.
  net::Task<RunResult> commit_atomically(std::vector<HeldConnection*> participants, std::vector<bool> changed);
  net::Task<Status> tell_twopc(HeldConnection* held, std::string what, net::Wait wait);
  net::Task<std::optional<Error>> prepare_all(const std::vector<HeldConnection*>& writers, const std::string& dtid,
                                              net::Wait wait);
  net::Task<void> abort_all(const std::vector<HeldConnection*>& writers, const std::string& dtid, net::Wait wait);
  net::Task<void> rollback_all();
  net::Task<RunResult> savepoint(const Statement& statement);
  void start_transaction(bool implicit = false);
  // With autocommit = 0, for a statement that reads or writes.
  void start_implicit_transaction();
  // Outside of a transaction: forgets what was said of it. Lets connections go that nothing else holds.
  void transaction_over();
  // The open transaction has ended on one of its shards: rolls the rest back, and lets nothing run until the client has
  // taken notice. What the client is told: `error`, as one it takes for that.
  net::Task<RunResult> fail_transaction(Error error);
  // nullopt: the statement may run.
  net::Task<std::optional<RunResult>> after_failed_transaction(const Statement& statement);
  // Undoes what one statement did on these shards, and keeps the transaction. False when that is not possible.
  net::Task<bool> undo_statement(const std::vector<shard::Target>& targets);
  net::Task<RunResult> run_ddl(std::vector<ShardText> texts);
  // session_create_select.cc
  net::Task<RunResult> create_and_fill(const plan::Plan& plan, const Statement& statement);
  net::Task<Status> create_empty(const plan::CreateSelect& what, std::vector<shard::Target> targets,
                                 std::vector<shard::Target>& done);
  net::Task<Status> await_columns(const plan::CreateSelect& what, std::span<const std::string> columns);
  net::Task<void> let_tables_go();
  net::Task<RunResult> lock_tables(const Statement& statement);
  net::Task<RunResult> begin_under_locks();
  net::Task<RunResult> kill(const Statement& statement);
  net::Task<RunResult> kill_session(uint32_t id, bool query);
  static std::string statement_savepoint();
  static constexpr size_t kMaxUserVariables = 10'000;
  // session_messages.cc: STREAM * FROM a message table, of all its shards.
  net::Task<RunResult> stream_messages(const Statement& statement);
  net::Task<Status> pass_messages(ShardStreams& streams, ClientRows& out);
  Result<std::vector<ShardText>> message_texts(const Statement& statement);

  bool two_phase() const { return two_phase_.value_or(shared_.settings.two_phase->load()); }
  bool single_shard() const { return single_shard_.value_or(shared_.settings.single_shard->load()); }

  // session_statements.cc: statements that the gate answers itself. nullopt: not one of them.
  net::Task<std::optional<RunResult>> run_local(const Statement& statement);
  // session_text_prepared.cc: PREPARE and its kin where several servers would have to know the statement.
  net::Task<std::optional<RunResult>> run_text_prepared(const Statement& statement);
  net::Task<RunResult> execute_text(const TextPrepared& what, std::span<const mysql::Value> values);
  net::Task<std::optional<RunResult>> prepare_text(std::string name, const sql::Ast& ast, const sql::Expr& from);
  net::Task<Status> check_prepared(std::string source, const sql::Ast& ast);
  void drop_text_prepared(const std::string& name);
  net::Task<Result<std::string>> prepared_source(const sql::Ast& ast, const sql::Expr& source);
  Result<std::string> as_read(std::string text) const;
  // Where only reading is allowed.
  Status may_prepare(std::string_view text, sql::StatementKind kind) const;
  net::Task<Result<mysql::Value>> value_now(const sql::Ast& ast, const sql::Expr& expr);
  bool several_shards() const;  // Of the keyspace that the session uses; false when it has named one.
  // session_diagnostics.cc
  void clear_warnings();
  void unite_warnings();
  void unite_constant_warnings();
  std::optional<std::string> executed_source(const sql::PreparedStatement& what) const;
  // What PREPARE or EXECUTE IMMEDIATE is given as an expression, for executed_source().
  net::Task<void> look_at_source(const Statement& statement);
  // PREPARE and DEALLOCATE that a server has run, or refused.
  void note_servers_prepared(const Statement& statement, bool done);
  plan::FoundRows found_rows_of_execute(const Statement& statement) const;
  bool forgets_warnings(std::string_view text, sql::StatementKind kind) const;
  void begin_warnings(const Statement& statement);
  size_t error_count() const;
  static bool gives_its_id(const plan::Plan& plan, const Statement& statement);
  void add_warning(std::string level, uint16_t code, std::string message);
  // GET DIAGNOSTICS of a condition that is not there: the error is one condition more.
  void note_no_condition(const Error& error);
  // `own_words`: as in ShardText.
  net::Task<void> take_warnings(net::MysqlClient& client, uint16_t count, bool own_words = false);
  // Behind an error of code that ran in the server: where it was met.
  net::Task<void> take_notes(net::MysqlClient& client);
  // What has become of the warning that was planted ahead of code.
  net::Task<void> take_warnings_of_code(net::MysqlClient& client);
  net::QueryResult warning_table(const sql::Show& show) const;
  // The session's user variables for code that runs in a server, and what it made of them.
  std::string user_variables_text() const;
  net::Task<void> read_user_variables(net::MysqlClient& client, std::string_view statement);
  // Those that are known, and those that `text` names. In lower case.
  std::set<std::string> variables_in(std::string_view text) const;
  net::Task<std::optional<RunResult>> run_select_into(const Statement& statement);
  Status check_one_home(const plan::Plan& plan, const Statement& statement) const;

  // session_set.cc
  net::Task<RunResult> run_set(const Statement& statement);
  bool has_server_autocommit_off() const { return std::ranges::any_of(held_, &HeldConnection::autocommit_off); }
  void note_autocommit(const shard::Target& target, bool was_off, uint16_t status_flags);
  // Code is about to run there: it meets autocommit as the session has it, and the server says whether a transaction
  // begins.
  net::Task<Status> tell_autocommit(HeldConnection* held, net::MysqlPool::Lease& own);
  // In the servers of the connections that this session holds.
  net::Task<Status> set_server_autocommit(bool on);
  // What the value of a user variable is as a text, for its next reader.
  net::Task<TextOrigin> text_origin(const sql::Ast& ast, const sql::Expr& expr);
  void note_texts(const Variables& assigned);
  // Ahead of a SET of the connection's collation: texts stay what they are; behind it, what is as the connection's
  // again.
  net::Task<void> keep_texts();
  net::Task<void> forget_kept_texts();
  // MariaDB's SET STATEMENT a = 1 FOR statement: values that hold for that statement alone.
  net::Task<RunResult> run_set_statement(const sql::Ast& ast, const sql::SetStatement& set, const Statement& outer);
  net::Task<std::string> values_of(net::MysqlClient& client, std::set<std::string> names);
  RunResult not_set(Error error) const;
  // All of it or nothing. `assigned`: user variables, which are yet to be set.
  net::Task<Status> change_settings(const sql::Ast& ast, const sql::SetStatement& set, Variables& assigned);
  net::Task<Status> set_item(const sql::Ast& ast, const sql::SetItem& item, Variables& assigned);
  net::Task<Status> set_variable(std::string name, const sql::Ast& ast, const sql::SetItem& item);
  net::Task<Status> set_gate_variable(const std::string& name, std::string literal);
  net::Task<Status> look_at_numbers(net::MysqlClient& client, const SessionSettings& before);
  Result<int64_t> seconds_of(const std::string& name, int64_t seconds);
  bool refuses_bounds() const;
  void warn_of_bounds(const std::string& name, std::string_view value);
  Status set_names(std::string_view charset, std::string_view collation);
  Status set_transaction(const sql::SetItem& item);
  Status set_next_transaction(std::string_view name, std::string_view value);
  net::Task<Status> keep_isolation(std::string level);
  net::Task<Result<std::string>> set_value(const sql::Ast& ast, const sql::SetItem& item);
  net::Task<Result<mysql::Value>> user_variable_value(const sql::Ast& ast, const sql::SetItem& item);
  // `assigned`: variables that are set anew on connections in which code may have changed them.
  net::Task<Status> apply_settings(const SessionSettings& before, std::set<std::string> assigned = {});
  // The value of an expression, by a server; and any statement that reads, its answer kept here.
  net::Task<Result<mysql::Value>> evaluate(std::string expression);
  net::Task<Result<net::QueryResult>> run_inside(const Statement& statement);
  net::Task<Status> tell_insert_id(shard::Target target);
  net::Task<void> take_insert_id(shard::Target target);
  net::Task<std::optional<RunResult>> run_show(const sql::Ast& ast);
  // The rows of a SHOW for which its condition, which a server decides, holds.
  net::Task<Result<net::QueryResult>> choose_shown(net::QueryResult table, std::string condition);
  // For a statement that may read INFORMATION_SCHEMA.PROCESSLIST: looks who is there. Before its plan is made.
  net::Task<void> look_at_processes(const Statement& statement);
  // session_numbers.cc: what shards know of their own parts of tables, for a statement that asks for it.
  net::Task<Status> look_at_numbers(const Statement& statement);
  net::Task<Status> look_at_positions(const sql::Show& show);  // For SHOW GLOBAL GTID_EXECUTED.
  net::Task<std::optional<Result<net::QueryResult>>> ask_tablets(const sql::Show& show);
  const schema::Table* processlist_table() const;
  // session_show.cc: what the gate itself answers; nullopt: it is for a server.
  std::optional<Result<net::QueryResult>> show_result(const sql::Show& show) const;
  // alter_vschema.cc: changes a keyspace's vschema in the topology, and waits for a while until this gate goes by it.
  net::Task<RunResult> alter_vschema(std::string text);
  std::optional<std::string> gate_variable(const sql::SystemVariable& variable) const;
  std::optional<std::string> gate_variable(const std::string& name) const;
  // Puts the variables that the gate holds into a server's answer to SHOW VARIABLES.
  void show_gate_variables(net::QueryResult& result) const;
  TextOrigin origin_of(const std::string& name) const;
  std::string told_of(const sql::FunctionCall& call) const;
  // Replaces LAST_INSERT_ID(), DATABASE(), @variables ... by their values; nullopt when there is nothing to replace.
  Result<std::optional<std::string>> with_session_values(std::string_view text, bool with_variables = true) const;

  GateLoop& shared_;
  net::CancelSource gone_;                        // The client has gone.
  bool streams_messages_ = false;                 // The statement at hand has no time limit.
  std::unique_ptr<net::CancelSource> interrupt_;  // KILL QUERY of a statement that waits in the gate.
  // Where statements of this session run now.
  struct InFlight {
    net::MysqlPool* pool = nullptr;
    uint32_t tablet_session = 0;
    InFlight* before = nullptr;
    InFlight* behind = nullptr;
  };
  InFlight* in_flight_ = nullptr;  // The newest one.

  // What a statement has sent to tablets; while it is noted, answers are thrown away (VEXPLAIN).
  struct SentText {
    size_t call = 0;  // Several shards may be asked by one.
    shard::Target target;
    std::string text;
    uint64_t rows = 0;
  };
  struct Trace {
    size_t calls = 0;
    std::vector<SentText> sent;
  };
  Trace* trace_ = nullptr;
  // The place of the entry in the trace, to which rows are added.
  size_t note_sent(const shard::Target& target, std::string_view text, bool same_call = false);
  void note_rows(size_t place, uint64_t rows) {
    if (trace_ != nullptr) trace_->sent[place].rows += rows;
  }
  // Keeps an entry among them for as long as it lives.
  class Running {
   public:
    Running(InFlight*& newest, InFlight entry) : newest_(newest), entry_(entry) {
      entry_.before = newest;
      if (newest != nullptr) newest->behind = &entry_;
      newest = &entry_;
    }
    ~Running() {
      (entry_.behind != nullptr ? entry_.behind->before : newest_) = entry_.before;
      if (entry_.before != nullptr) entry_.before->behind = entry_.behind;
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    InFlight*& newest_;
    InFlight entry_;
  };
  const Statement* running_ = nullptr;  // Null: none.
  bool waits_for_shard_ = false;        // It is held back in the gate.
  base::TimePoint since_{};             // When that became so.
  struct Numbers {
    std::string keyspace, tables, statistics;  // See plan::SchemaNames.
  };
  base::OnDemand<Numbers> numbers_;  // What look_at_numbers() made.
  std::vector<Process> processes_;   // What look_at_processes() saw; positions_: of each shard, its keyspace and name.
  std::vector<std::vector<std::optional<std::string>>> positions_;
  bool end_noted_ = false;                // Of the statement inside of the one that runs: see note_end().
  bool killed_ = false;                   // The statement that runs is to be ended.
  bool strict_source_ = false;            // Rows are found for a change: what their query warns of is its error.
  bool hinted_ = false;                   // Its hints are in force.
  Directives directives_;                 // Of the statement that runs.
  base::TimePoint directive_deadline_{};  // If they set a timeout.
  net::PacketStream stream_;
  mysql::AuthenticatedClient client_;
  const uint32_t connection_id_;
  GateLoop::LoginForm form_;
  std::list<ClientSession*>::iterator place_;

  // Target.
  std::string keyspace_;                      // Empty: global routing.
  std::optional<std::string> used_keyspace_;  // While a statement runs where it was prepared: what USE said.
  std::string shard_;                         // Not empty: every statement goes to this shard.
  std::string tablet_type_ = "primary";
  std::string plan_context_ = "@primary";
  bool is_mirror_ = false;
  float mirror_percent_ = 0;   // Of the statement at hand.
  uint64_t target_epoch_ = 0;  // How often it has changed.

  // Transaction.
  bool autocommit_ = true;
  bool in_transaction_ = false;
  std::list<HeldConnection> held_;
  mysql::TransactionOptions options_;       // Of the open transaction.
  mysql::TransactionOptions next_options_;  // SET TRANSACTION: of the next one.
  std::vector<std::string> savepoints_;  // Of the open transaction or, with autocommit = 0, the next; in their order.
  std::optional<std::string> failed_;    // Why the transaction is over though its client has not ended it.
  bool tables_locked_ = false;           // By LOCK TABLES: BEGIN would unlock them.
  bool implicit_ = false;                // autocommit = 0 began the open transaction.
  bool told_begun_ = false;              // The server told that code has begun it, in the statement that runs.
  // Where the open transaction needs no BEGIN, which would let tables go.
  bool begins_by_itself(const HeldConnection* held) const {
    return implicit_ && held != nullptr && held->pinned && held->autocommit_off;
  }
  std::vector<LookupKey> maybe_gone_;  // Of the open transaction: lookup rows whose rows may be gone.
  std::optional<bool> single_shard_;   // SET transaction_mode
  std::optional<bool> two_phase_;      // Likewise.
  bool atomic_ = false;                // The open transaction is committed in two phases.
  bool state_lost_ = false;            // State in a server is gone: the session cannot go on.
  bool close_after_answer_ = false;    // COMMIT RELEASE

  base::MemoryBudget::Session memory_;  // What is held for this client.

  // Session.
  SessionSettings settings_;
  std::string settings_text_;                  // settings_.text()
  std::map<std::string, std::string> stored_;  // Variables that the gate keeps: name -> SQL text of the value.
  std::map<std::string, int64_t> timeouts_;    // wait_timeout and the like, in their units; those that are set.
  std::map<std::string, mysql::Value> user_variables_;
  base::OnDemand<std::map<std::string, TextOrigin>> user_texts_;          // Of those whose text is not as a literal's.
  base::OnDemand<std::map<std::string, TextOrigin>> set_texts_;           // Of those that the SET that runs sets.
  base::OnDemand<std::map<std::string, TextPrepared>> text_prepared_;     // PREPARE name FROM text, in lower case.
  base::OnDemand<std::map<std::string, TextPrepared>> servers_prepared_;  // Those of them that a server keeps; not all.
  std::optional<std::string> source_now_;                                 // See look_at_source().
  uint64_t last_insert_id_ = 0;
  static constexpr uint64_t kFoundRowsUnknown = ~uint64_t{0};  // FOUND_ROWS() is refused then.
  uint64_t found_rows_ = 0;
  uint64_t answered_rows_ = 0;       // Of the last answer that had rows.
  bool found_rows_settled_ = false;  // By the answer of one server.
  uint64_t finished_rows_ = 0;
  int64_t row_count_ = 0;
  // What SHOW WARNINGS tells: how many, and the rows (level, code, message); and how many are of the last statement.
  uint16_t warnings_ = 0;
  uint16_t fresh_warnings_ = 0;
  bool warnings_begun_ = false;  // By SET STATEMENT, for the statement behind it.
  size_t set_warnings_ = 0;      // So many of the rows are those of its values.
  struct Warnings {
    uint16_t count = 0;
    std::vector<std::array<std::string, 3>> rows;
  };
  Warnings warnings_before_;  // Ahead of the statement that runs.
  std::vector<std::array<std::string, 3>> warning_rows_;
  std::vector<std::array<std::string, 3>> error_notes_;  // Of the error that is to be told.
  std::optional<Error> last_error_;

  // The pool that was used last, good while all of these are as they were.
  struct KnownPool {
    uint64_t epoch = 0;
    GateLoop::LoginForm form;
    shard::Target target;
    net::MysqlPool* pool = nullptr;
  };
  KnownPool known_pool_;

  // The command that runs.
  std::vector<sql::LiteralPosition> literals_;  // Of text_.
  mysql::StmtExecute execute_;
  std::vector<mysql::Value> parameters_;  // Room for those of an execute.
  std::string text_;            // Of COM_QUERY. Our own: the client's buffer is read again while a file is loaded.
  uint8_t sequence_ = 1;        // Of the next frame that goes to the client.
  bool binary_answer_ = false;  // COM_STMT_EXECUTE: rows go in binary form.
  net::HeldResponse* held_answer_ = nullptr;  // Where the answer goes instead of to the client. See on_execute().
  bool more_results_ = false;                 // Further statements of the same query follow.
  bool multi_statements_ = false;
  bool client_left_ = false;  // While it sent a file.

  // Counts the statement that runs, once, before its answer is sent.
  void count_statement(size_t shards) {
    if (counters_ != nullptr && !std::exchange(counted_, true)) counters_->count(shards);
  }
  const PlanCounters* counters_ = nullptr;  // Of the statement that runs; null when the gate answers it itself.
  bool counted_ = false;
  ApiCounters api_;            // Of the target; empty: not looked up yet.
  bool totals_known_ = false;  // totals_ is of the statement that runs, not of the one before.
  std::shared_ptr<StatementTotals> totals_;
  // Of statements for a shard that was named, by kind; forgotten with the target.
  std::map<sql::StatementKind, const PlanCounters*> named_shard_counters_;
  Statements statements_;
  uint32_t next_statement_id_ = 1;
  uint32_t last_prepared_ = 0;  // 0: the last prepare failed, or there was none.
};

}  // namespace vitrail::gate
