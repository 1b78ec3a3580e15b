// Prepared statements: COM_STMT_PREPARE, COM_STMT_EXECUTE and their kin.
#include <fmt/core.h>

#include "gate/cursor.h"
#include "gate/session.h"
#include "gate/with_literals.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "sql/parser.h"
#include "sql/tables.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr uint16_t kEmptyQuery = 1065;
constexpr size_t kMaxStatements = 16'000;  // Prepared, per session.
constexpr size_t kMaxPreparedPerConnection = 256;
constexpr uint32_t kLastPrepared = 0xffffffff;      // In the place of an id: what was prepared last.
constexpr size_t kKeptParameters = 64;              // Room that a session keeps for the next execute.
constexpr uint64_t kMaxCursor = uint64_t{1} << 30;  // Rows kept for one cursor, whatever the limit of memory is.

// Statements that the gate runs itself. They know no parameters: these are written into the text.
bool is_local(sql::StatementKind kind) {
  using enum sql::StatementKind;
  switch (kind) {
    case kEmpty:
    case kBegin:
    case kCommit:
    case kRollback:
    case kSavepoint:
    case kRollbackTo:
    case kRelease:
    case kUse:
    case kSet:
    case kKill:
    case kAlterVschema: return true;
    default: return false;
  }
}

// Definitions of an answer to COM_STMT_PREPARE, numbered behind 1.
std::string make_definitions(size_t parameters, std::span<const mysql::ColumnDef> columns,
                             mysql::Capabilities capabilities, uint16_t status_flags) {
  std::string out;
  mysql::PacketWriter writer(out, 2);
  const auto end = [&] {
    if ((capabilities & mysql::kClientDeprecateEof) != 0) return;
    mysql::encode_eof(writer.begin(), {0, status_flags});
    writer.end();
  };
  mysql::ColumnDef parameter;
  parameter.name = "?";
  parameter.collation = mysql::kBinaryCollation;
  parameter.flags = mysql::kFieldBinary;
  for (size_t i = 0; i < parameters; ++i) {
    mysql::encode_column(writer.begin(), parameter, capabilities);
    writer.end();
  }
  if (parameters > 0) end();
  for (const auto& column : columns) {
    mysql::encode_column(writer.begin(), column, capabilities);
    writer.end();
  }
  if (!columns.empty()) end();
  return out;
}

}  // namespace

Error ClientSession::unknown_statement(uint32_t id, std::string_view command) {
  return fail(Code::kInvalidArgument,
              fmt::format("VT09011: Unknown prepared statement handler ({}) given to {}", id, command))
      .with_mysql(mysql::errnos::kUnknownStmtHandler, "HY000");
}

net::Task<Status> ClientSession::describe_at_shard(const Statement& statement, mysql::PrepareOk& ok,
                                                   std::string& definitions) {
  // Any shard that the statement may go to knows the shape of its answer.
  auto planned = plan_for(statement);
  if (!planned.ok() && planned.error().code() == Code::kNotFound) {
    CO_ASSIGN_OR_RETURN(const auto expanded, co_await expand_views(statement.text));
    if (expanded) {
      Statement inner = statement;
      std::vector<sql::LiteralPosition> literals;
      scan_text(*expanded, literals, inner);
      co_return co_await describe_at_shard(inner, ok, definitions);
    }
  }
  CO_ASSIGN_OR_RETURN(const auto plan, std::move(planned));
  if (plan->kind == plan::Plan::Kind::kFinish) {
    CO_ASSIGN_OR_RETURN(const auto shape, co_await finish_shape(*plan));
    ok.columns = static_cast<uint16_t>(shape.columns.size());
    ok.parameters = shape.parameters;
    definitions = make_definitions(shape.parameters, shape.columns, client_.capabilities, status_flags());
    co_return Status{};
  }
  const plan::Route anywhere{
      .kind = plan::Route::Kind::kAllShards,
      .keyspace = plan->kind == plan::Plan::Kind::kInsert ? plan->insert->keyspace : plan->route.keyspace};
  CO_ASSIGN_OR_RETURN(const auto targets, resolve(anywhere, statement));
  const net::Wait wait = query_wait();
  net::MysqlPool::Lease own;
  net::MysqlPool::Lease* lease = &own;
  if (HeldConnection* held = find_held(targets.front())) {
    lease = &held->lease;
  } else {
    CO_ASSIGN_OR_RETURN(own, co_await lease_for(targets.front(), wait));
  }
  CO_ASSIGN_OR_RETURN(const auto known,
                      co_await (*lease)->prepare(plan->shape  ? *plan->shape
                                                 : plan->text ? *plan->text
                                                              : std::string(statement.text),
                                                 kMaxPreparedPerConnection, wait, net::PooledConnection::Known::kAnew));
  ok = known->ok;
  definitions = known->definitions;
  co_return Status{};
}

// LOCK TABLES lets nobody open other tables; what was described may have been a text made of the statement.
net::Task<Status> ClientSession::check_locked(const Statement& statement) {
  const auto ast = sql::parse(statement.text);
  const auto locked = std::ranges::find_if(held_, &HeldConnection::pinned);
  if (!ast.ok() || locked == held_.end() || !several_shards()) co_return Status{};
  const shard::Target target = locked->target;
  for (const auto& use : sql::collect_tables(ast->statement())) {
    if (!use.qualifier.empty()) continue;
    std::string text = "select 1 from ";
    mysql::append_sql_identifier(text, use.name);
    auto open = co_await ask({target, text + " limit 0"});
    if (!open.ok()) co_return std::move(open).error();
  }
  co_return Status{};
}

net::Task<Status> ClientSession::describe(const Statement& statement, mysql::PrepareOk& ok, std::string& definitions) {
  const auto deadline = base::system_clock().now() + shared_.settings.buffer_window;
  for (;;) {
    Status described = co_await describe_at_shard(statement, ok, definitions);
    if (described.ok() && tables_locked_) co_return co_await check_locked(statement);
    if (described.ok()) co_return described;
    const bool early = co_await columns_will_come(described.error());
    RunResult result = early ? RunResult::wait(std::move(described).error()) : refused(std::move(described).error());
    if (result.verdict != RunResult::Verdict::kWait || base::system_clock().now() >= deadline) {
      co_return std::move(*result.error);
    }
    const net::Wait wait = net::Wait::within(50ms, shared_.scope.token());
    (void)co_await shared_.view_changed.wait(wait);
  }
}

// MariaDB's clients may send an execute right behind its prepare, whose id they do not know yet.
ClientSession::Statements::iterator ClientSession::find_statement(uint32_t id) {
  return statements_.find(id == kLastPrepared ? last_prepared_ : id);
}

net::Task<Status> ClientSession::on_prepare(std::string text) {
  last_prepared_ = 0;
  if (statements_.size() >= kMaxStatements) {
    co_return co_await send_error(fail(Code::kResourceExhausted, "too many prepared statements: close some")
                                      .with_mysql(mysql::errnos::kTooManyStatements, "42000"));
  }
  if (settings_.reading().any()) {
    auto plain = as_read(std::move(text));
    if (!plain.ok()) co_return co_await send_error(std::move(plain).error());
    text = std::move(*plain);
  }
  std::array<sql::LiteralPosition, kRecordedLiterals> storage;
  Statement statement;
  statement.text = text;
  statement.scan = sql::fingerprint(text, storage);
  statement.literals = statement.scan.literals;
  if (statement.scan.has_more && !statement.scan.malformed) {
    const auto spans = sql::split_statements(text);
    if (spans.ok() && spans->size() > 1) {
      co_return co_await send_error(
          fail(Code::kInvalidArgument, "You have an error in your SQL syntax: a prepared statement is one statement")
              .with_mysql(mysql::errnos::kParseError, "42000"));
    }
  }
  if (statement.scan.kind != sql::StatementKind::kCall) begin_warnings(statement);
  const uint32_t parameters = statement.scan.parameter_count;
  if (parameters > mysql::kMaxParameters) {
    co_return co_await send_error(
        fail(Code::kInvalidArgument, "Prepared statement contains too many placeholders").with_mysql(1390, "HY000"));
  }
  if (statement.scan.kind == sql::StatementKind::kEmpty) {
    co_return co_await send_error(fail(Code::kInvalidArgument, "Query was empty").with_mysql(kEmptyQuery, "42000"));
  }
  if (Status may = may_prepare(statement.text, statement.scan.kind); !may.ok()) {
    co_return co_await send_error(std::move(may).error());
  }
  mysql::PrepareOk ok{.parameters = static_cast<uint16_t>(parameters)};
  if (is_local(statement.scan.kind)) {
    const std::string definitions = make_definitions(parameters, {}, client_.capabilities, status_flags());
    co_return co_await send_prepared(ok, std::move(text), true, definitions);
  }
  std::string definitions;
  if (statement.scan.kind != sql::StatementKind::kShow) {
    Status known = co_await describe(statement, ok, definitions);
    const bool here = !known.ok() && statement.scan.kind == sql::StatementKind::kDo &&
                      known.error().code() == Code::kUnimplemented;  // See run_do().
    if (!known.ok() && !here) co_return co_await send_error(std::move(known).error());
    if (here) definitions = make_definitions(parameters, {}, client_.capabilities, status_flags());
    co_return co_await send_prepared(ok, std::move(text), here, definitions);
  }
  // Servers take no parameters in SHOW, and the gate answers some of them: any text in their place has the same shape.
  const std::string sample = with_literals(text, std::vector<mysql::Value>(parameters, mysql::Value::of_text("")));
  auto ast = sql::parse(sample);
  if (!ast.ok()) co_return co_await send_error(std::move(ast).error());
  std::vector<mysql::ColumnDef> columns;
  std::optional<Result<net::QueryResult>> local;
  if (const auto* show = sql::statement_as<sql::Show>(&ast->statement())) local = show_result(*show);
  if (local) {
    if (!local->ok()) co_return co_await send_error(std::move(*local).error());
    columns = std::move((*local)->columns);
  } else {
    Statement shown;
    shown.text = sample;
    shown.scan = sql::fingerprint(sample, storage);
    shown.literals = shown.scan.literals;
    mysql::PrepareOk at_server;
    if (Status known = co_await describe(shown, at_server, definitions); !known.ok()) {
      co_return co_await send_error(std::move(known).error());
    }
    mysql::MessageReader messages;
    std::string_view rest = definitions;
    for (uint16_t i = 0; i < at_server.columns; ++i) {
      CO_ASSIGN_OR_RETURN(const auto message, messages.next(rest));
      if (!message) co_return fail(Code::kInternal, "VT13001: [BUG] definitions end too early");
      CO_ASSIGN_OR_RETURN(auto column, mysql::decode_column(message->payload, client_.capabilities));
      columns.push_back(std::move(column));
      rest.remove_prefix(message->consumed);
    }
  }
  ok.columns = static_cast<uint16_t>(columns.size());
  definitions = make_definitions(parameters, columns, client_.capabilities, status_flags());
  co_return co_await send_prepared(ok, std::move(text), true, definitions);
}

net::Task<Status> ClientSession::send_prepared(mysql::PrepareOk ok, std::string text, bool with_literals,
                                               std::string_view definitions) {
  if (Status room = memory_.take(base::MemoryBudget::Kind::kPrepared, text.size()); !room.ok()) {
    co_return co_await send_error(std::move(room).error());
  }
  ok.statement_id = next_statement_id_++;
  last_prepared_ = ok.statement_id;
  Prepared& prepared = statements_[ok.statement_id];
  prepared.text = std::move(text);
  prepared.target = target();
  prepared.target_epoch = target_epoch_;
  prepared.parameters = ok.parameters;
  prepared.with_literals = with_literals && ok.parameters > 0;
  Statement scanned;
  scan_text(prepared.text, prepared.literals, scanned);
  prepared.scan = scanned.scan;
  std::string out;
  mysql::PacketWriter writer(out, sequence_);
  mysql::encode_prepare_ok(writer.begin(), ok);
  writer.end();
  const size_t behind = out.size();
  out += definitions;
  mysql::SequenceShift(static_cast<uint8_t>(sequence_ - 1)).apply(out.data() + behind, out.size() - behind);
  co_return co_await send(std::move(out));
}

void ClientSession::add_long_data(std::string_view payload) {
  auto data = mysql::decode_stmt_long_data(payload);
  if (!data.ok()) return;
  const auto found = find_statement(data->statement_id);
  if (found == statements_.end()) return;
  Prepared& prepared = found->second;
  const uint64_t size = data->data.size();
  Status room = prepared.memory.long_data_error ? Status() : memory_.take(base::MemoryBudget::Kind::kLongData, size);
  if (room.ok() && !prepared.memory.long_data_error) prepared.long_data_counted += size;
  (void)prepared.memory.add_long_data(*data, prepared.parameters, std::move(room));
  recount(prepared);
}

void ClientSession::recount(Prepared& prepared) {
  const auto give = [this](base::MemoryBudget::Kind kind, uint64_t& counted, uint64_t now) {
    if (now < counted) memory_.give(kind, counted - now);
    counted = std::min(counted, now);
  };
  give(base::MemoryBudget::Kind::kLongData, prepared.long_data_counted, prepared.memory.long_data_bytes);
  give(base::MemoryBudget::Kind::kResults, prepared.cursor_counted, prepared.cursor.size());
}

void ClientSession::forget(uint32_t statement_id) {
  const auto found = find_statement(statement_id);
  if (found == statements_.end()) return;
  Prepared& prepared = found->second;
  prepared.memory.clear_long_data();
  std::string().swap(prepared.cursor);
  recount(prepared);
  memory_.give(base::MemoryBudget::Kind::kPrepared, prepared.text.size());
  statements_.erase(found);
}

net::Task<Status> ClientSession::on_execute(const mysql::MessageReader::Message& message) {
  binary_answer_ = true;
  auto id = mysql::decode_statement_id(message.payload);
  if (!id.ok()) co_return co_await send_error(std::move(id).error());
  const auto found = find_statement(*id);
  if (found == statements_.end()) co_return co_await send_error(unknown_statement(*id, "EXECUTE"));
  Prepared& prepared = found->second;
  Status decoded = mysql::decode_stmt_execute_into(execute_, message.payload, client_.capabilities, prepared.parameters,
                                                   prepared.memory);
  if (!decoded.ok()) co_return co_await send_error(std::move(decoded).error());
  // Cursors are ours: a server's would tie its connection to this session for as long as the client likes.
  const bool wants_cursor = std::exchange(execute_.cursor_flags, 0) != 0;
  std::string().swap(prepared.cursor);
  recount(prepared);
  shared_.metrics.queries.add();
  Statement statement;
  statement.execute = &execute_;
  statement.parameters = std::move(parameters_);
  statement.parameters.clear();
  for (const auto& parameter : execute_.parameters) {
    auto value = mysql::parameter_value(parameter);
    if (!value.ok()) co_return co_await send_error(std::move(value).error());
    statement.parameters.push_back(std::move(*value));
  }
  std::string text;
  std::vector<sql::LiteralPosition> literals;
  if (prepared.with_literals) {
    text = with_literals(prepared.text, statement.parameters);
    statement.parameters.clear();
    execute_.parameters.clear();
    scan_text(text, literals, statement);
  } else {
    statement.text = prepared.text;
    statement.scan = prepared.scan;
    statement.literals = prepared.literals;
    statement.places = &prepared.places;
  }
  std::optional<Away> from;
  const bool moved = prepared.target_epoch != target_epoch_ && statement.scan.kind != sql::StatementKind::kUse;
  if (moved && prepared.target != target()) {
    auto went = go_to(prepared.target);
    if (!went.ok()) {
      prepared.memory.clear_long_data();
      recount(prepared);
      co_return co_await send_error(std::move(went).error());
    }
    from = std::move(*went);
  }
  net::HeldResponse held{.max = std::min(shared_.settings.session_memory - 1, kMaxCursor)};
  if (wants_cursor) held_answer_ = &held;
  RunResult result = co_await (shared_.query_log->wanted() ? run_logged(statement) : run_statement(statement));
  if (from) come_back(std::move(*from));
  const bool all_held =
      std::exchange(held_answer_, nullptr) != nullptr && result.verdict == RunResult::Verdict::kAnswered;
  if (statement.parameters.capacity() <= kKeptParameters) parameters_ = std::move(statement.parameters);
  if (execute_.parameters.capacity() > kKeptParameters) execute_ = {};
  prepared.memory.clear_long_data();
  recount(prepared);
  if (all_held) co_return co_await open_cursor(prepared, std::move(held.bytes));
  if (result.verdict == RunResult::Verdict::kAnswered) co_return Status{};
  co_return co_await finish(std::move(result));
}

// The rows of a result set are the messages between its columns and its end. What is no result set, or several, or too
// much to keep, goes to the client as it is, which then knows that there is no cursor.
net::Task<Status> ClientSession::open_cursor(Prepared& prepared, std::string held) {
  CO_ASSIGN_OR_RETURN(const CursorParts parts, split_result(held, client_.capabilities));
  const uint64_t size = held.size() - parts.rows_begin;
  if (parts.rows_begin == 0 || !memory_.take(base::MemoryBudget::Kind::kResults, size).ok()) {
    co_return co_await send(std::move(held));
  }
  prepared.cursor_counted = size;
  const uint16_t flags = static_cast<uint16_t>(status_flags() | mysql::kStatusCursorExists);
  std::string out = held.substr(0, parts.columns_end);
  mysql::PacketWriter writer(out, parts.columns_end_sequence);
  mysql::encode_result_end(writer.begin(), {.status_flags = flags}, client_.capabilities);
  writer.end();
  held.erase(0, parts.rows_begin);
  prepared.cursor = std::move(held);
  prepared.cursor_at = 0;
  co_return co_await send(std::move(out));
}

net::Task<Status> ClientSession::on_fetch(std::string_view payload) {
  auto fetch = mysql::decode_stmt_fetch(payload);
  if (!fetch.ok()) co_return co_await send_error(std::move(fetch).error());
  const auto found = find_statement(fetch->statement_id);
  if (found == statements_.end()) co_return co_await send_error(unknown_statement(fetch->statement_id, "FETCH"));
  std::string& cursor = found->second.cursor;
  size_t& at = found->second.cursor_at;
  if (cursor.empty()) {
    co_return co_await send_error(
        fail(Code::kFailedPrecondition, fmt::format("The statement ({}) has no open cursor.", fetch->statement_id))
            .with_mysql(mysql::errnos::kNoOpenCursor, "HY000"));
  }
  std::string out;
  mysql::PacketWriter writer(out, sequence_);
  mysql::MessageReader messages(size_t{1} << 30);
  uint16_t flags = static_cast<uint16_t>(status_flags() | mysql::kStatusCursorExists);
  for (uint32_t rows = 0; rows < fetch->rows; ++rows) {
    CO_ASSIGN_OR_RETURN(const auto message, messages.next(std::string_view(cursor).substr(at)));
    if (!message) co_return fail(Code::kInternal, "VT13001: [BUG] a cursor without an end");
    if (mysql::is_result_end(static_cast<uint8_t>(message->payload[0]), message->payload.size(),
                             client_.capabilities)) {
      flags = static_cast<uint16_t>(status_flags() | mysql::kStatusLastRowSent);
      break;
    }
    writer.message(message->payload);
    at += message->consumed;
  }
  if ((flags & mysql::kStatusLastRowSent) != 0) {
    std::string().swap(cursor);
    recount(found->second);
  }
  mysql::encode_result_end(writer.begin(), {.status_flags = flags}, client_.capabilities);
  writer.end();
  co_return co_await send(std::move(out));
}

}  // namespace vitrail::gate
