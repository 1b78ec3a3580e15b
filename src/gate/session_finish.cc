// Statements that are finished on one server: see plan/finish.h.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "gate/scratch.h"
#include "gate/session.h"
#include "mysql/convert.h"
#include "mysql/errors.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr auto kEndMax = 5s;  // For the tablet to take the session back.

class Counted {
 public:
  explicit Counted(size_t& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  size_t& count_;
};

// An error of the scratch session: nothing of the client's is concerned.
Error of_scratch(const shard::Target& target, Error error) {
  const bool servers = error.mysql_errno() != 0 && error.reason() == Reason::kNone;
  if (servers) return std::move(error).with_effect(Effect::kNone);
  Code code = error.code();
  if (code == Code::kAborted || code == Code::kUnknown) code = Code::kUnavailable;
  Error told(code, error.message());
  if (error.mysql_errno() != 0) told = std::move(told).with_mysql(error.mysql_errno(), error.sqlstate());
  return met_at(target, std::move(told).with_reason(error.reason()).with_retry(error.retry()))
      .with_context("while the statement was finished there")
      .with_effect(Effect::kNone);
}

uint64_t bytes_of(const net::QueryResult& result) {
  uint64_t bytes = 0;
  for (const auto& row : result.rows) {
    for (const auto& cell : row) bytes += cell ? cell->size() : 1;
  }
  return bytes;
}

// Whether there is an ENUM that is none of its members (number 0), which no strict mode takes.
bool has_no_member(const plan::Finish& finish, const std::vector<std::vector<net::QueryResult>>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& columns = finish.inputs[i].columns;
    for (size_t column = 0; column < columns.size(); ++column) {
      if (columns[column].data_type != "enum") continue;
      for (const auto& rows : inputs[i]) {
        if (std::ranges::any_of(rows.rows, [&](const auto& row) { return row[column] == "0"; })) return true;
      }
    }
  }
  return false;
}

std::string name_of(const plan::FinishInput& input) {
  std::string name = input.keyspace + "." + input.table;
  if (input.shown != input.table) name += " (" + input.shown + ")";
  return name;
}

}  // namespace

// Tablets that may run it, the best first.
std::vector<shard::Target> ClientSession::scratch_targets(const plan::Finish& finish) {
  const View& view = *shared_.view();
  std::vector<std::string> keyspaces;
  const auto add = [&](const std::string& keyspace) {
    if (!keyspace.empty() && std::ranges::find(keyspaces, keyspace) == keyspaces.end()) keyspaces.push_back(keyspace);
  };
  add(home_keyspace());
  for (const auto& input : finish.inputs) add(input.keyspace);
  std::vector<shard::Target> targets;
  for (const auto& type : shared_.settings.scratch.tablet_types) {
    for (const auto& keyspace : keyspaces) {
      const auto* shards = view.find_shards(keyspace, type);
      if (shards == nullptr) continue;
      for (size_t i = 0; i < shards->size(); ++i) {  // Each one in its turn.
        const ActiveShard& shard = (*shards)[(i + shared_.scratch_turn) % shards->size()];
        shard::Target target{keyspace, shard.name, type};
        if (shard.disabled || view.find_endpoints(target) == nullptr || shared_.stalled(target)) continue;
        targets.push_back(std::move(target));
      }
    }
  }
  ++shared_.scratch_turn;
  return targets;
}

// A temporary table of the client's own hides the table of its name: its columns are not known.
net::Task<Status> ClientSession::check_hidden(const plan::FinishInput& input, const shard::Target& target) {
  const HeldConnection* held = find_held(target);
  if (held == nullptr || !held->pinned) co_return Status{};
  std::string text = "show create table ";
  mysql::append_sql_identifier(text, input.table);
  auto shown = co_await ask({target, std::move(text)});
  if (!shown.ok() || !shown->text(0, 1).starts_with("CREATE TEMPORARY")) co_return Status{};  // Reading it tells.
  co_return fail(Code::kUnimplemented,
                 fmt::format("VT12001: unsupported: the temporary table {} in a statement that one shard cannot answer "
                             "alone",
                             input.table));
}

// The rows of all inputs, each shard's by itself.
net::Task<Result<std::vector<std::vector<net::QueryResult>>>> ClientSession::read_inputs(
    const plan::Finish& finish, const Statement& statement, base::MemoryBudget::Hold& memory) {
  const ScratchLimits& limits = shared_.settings.scratch;
  struct Question {
    size_t input;
    ShardText what;
    std::optional<Result<net::QueryResult>> answer;
  };
  std::vector<Question> questions;
  // A limit of its own comes before sql_select_limit.
  const char* all_rows = settings_.values().contains("sql_select_limit") ? " limit 18446744073709551615" : "";
  for (size_t i = 0; i < finish.inputs.size(); ++i) {
    const plan::Plan& rows = *finish.inputs[i].rows;
    CO_ASSIGN_OR_RETURN(auto targets, co_await targets_of(rows.route, statement, !rows.is_read));
    for (auto& target : targets) {
      CO_RETURN_IF_ERROR(co_await check_hidden(finish.inputs[i], target));
      questions.push_back({i, {std::move(target), *rows.text + all_rows + finish.inputs[i].lock}, std::nullopt});
    }
  }
  count_statement(questions.size());
  auto one = [](ClientSession& self, Question& question, base::MemoryBudget::Hold& held) -> net::Task<void> {
    question.answer.emplace(
        co_await self.ask(std::move(question.what), "", &held, self.shared_.settings.scratch.max_rows));
  };
  // A connection that is this session's own takes one statement at a time.
  const bool together = !in_transaction_ && held_.empty();
  for (size_t begin = 0; begin < questions.size();) {
    size_t end = begin;
    // Rows that are to be locked are asked for one shard after the other: see source_rows().
    while (end < questions.size() && (together || questions[end].input == questions[begin].input)) {
      if (end > begin && !finish.inputs[questions[begin].input].lock.empty()) break;
      ++end;
    }
    std::vector<net::Task<void>> tasks;
    for (size_t i = begin; i < end; ++i) tasks.push_back(one(*this, questions[i], memory));
    co_await net::when_all(std::move(tasks));
    begin = end;
  }
  std::vector<std::vector<net::QueryResult>> out(finish.inputs.size());
  uint64_t rows = 0;
  uint64_t bytes = 0;
  for (auto& question : questions) {
    const plan::FinishInput& input = finish.inputs[question.input];
    if (!question.answer->ok()) {
      Error error = std::move(*question.answer).error();
      if (error.code() == Code::kResourceExhausted && error.mysql_errno() == 0) {
        co_return std::move(error).with_context(
            fmt::format("the statement needs too much of {} to be finished on one server (--scratch-max-rows {})",
                        name_of(input), limits.max_rows));
      }
      co_return error;
    }
    const uint64_t size = bytes_of(**question.answer);
    rows += (*question.answer)->rows.size();
    bytes += size;
    if (rows > limits.max_rows || bytes > limits.max_bytes) {
      co_return fail(Code::kResourceExhausted,
                     fmt::format("the statement needs more than may go to one server to be finished there: {} rows and "
                                 "{} bytes with those of {} (--scratch-max-rows {}, --scratch-max-bytes {})",
                                 rows, bytes, name_of(input), limits.max_rows, limits.max_bytes));
    }
    out[question.input].push_back(std::move(**question.answer));
  }
  shared_.metrics.statistics.finished_rows.add(rows);
  shared_.metrics.statistics.finished_bytes.add(bytes);
  co_return out;
}

net::Task<Result<ClientSession::Scratch>> ClientSession::open_scratch(const plan::Finish& finish, net::Wait wait) {
  std::optional<Error> last;
  for (auto& target : scratch_targets(finish)) {
    auto endpoint = shared_.choose(target);
    if (!endpoint.ok()) {
      last = std::move(endpoint).error();
      continue;
    }
    auto lease = co_await shared_.connect(*endpoint, target, form_, std::string(scratch_load_settings()), wait);
    if (!lease.ok()) {
      last = of_scratch(target, std::move(lease).error());
      continue;
    }
    Scratch scratch{target, ScratchSession(std::move(*lease))};
    const Running running(in_flight_, {&scratch.session.pool(), scratch.session.client().server().connection_id});
    Status created;
    for (size_t i = 0; created.ok() && i < finish.inputs.size(); ++i) {
      created = co_await scratch.session.create(finish.inputs[i], wait);
    }
    if (created.ok()) co_return std::move(scratch);
    last = of_scratch(target, std::move(created).error());
    // A tablet that serves no more, or takes no changes now: the next one. What its server refuses, all would.
    if (last->mysql_errno() != 0 && last->reason() == Reason::kNone) break;
  }
  if (last) co_return std::move(*last);
  co_return fail(Code::kUnavailable,
                 fmt::format("no tablet is there on which the statement could be finished (--scratch-tablet-types {})",
                             fmt::join(shared_.settings.scratch.tablet_types, ",")))
      .with_retry(Retry::kAfterTopologyRefresh);
}

net::Wait ClientSession::finish_wait() const {
  net::Wait wait = query_wait();
  wait.deadline = std::min(wait.deadline, base::system_clock().now() + shared_.settings.scratch.timeout);
  return wait;
}

net::Task<Result<net::QueryResult>> ClientSession::finish_on(Scratch& scratch, const plan::Plan& plan,
                                                             const std::vector<std::vector<net::QueryResult>>& inputs,
                                                             std::string text, Digits digits,
                                                             base::MemoryBudget::Hold& memory, net::Wait wait) {
  const plan::Finish& finish = *plan.finish;
  const Running running(in_flight_, {&scratch.session.pool(), scratch.session.client().server().connection_id});
  if (has_no_member(finish, inputs)) {
    CO_RETURN_IF_ERROR(
        co_await scratch.session.become("set @@session.sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'", wait));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (const auto& rows : inputs[i]) {
      Status loaded = co_await scratch.session.load(finish.inputs[i], rows, wait);
      if (loaded.ok()) continue;
      Error error = std::move(loaded).error();
      if (error.mysql_errno() == 0 || error.reason() != Reason::kNone) co_return error;
      // What its server had does not go into a column of the same type: it is of another type by now.
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("the columns of {} are not what they were known to be, try again: {}",
                                 name_of(finish.inputs[i]), error.message()));
    }
  }
  CO_RETURN_IF_ERROR(co_await scratch.session.become(scratch_client_settings(form_.collation, settings_text_), wait));
  if (killed_) {
    co_return fail(Code::kCanceled, "Query execution was interrupted")
        .with_mysql(mysql::errnos::kQueryInterrupted, "70100");
  }
  auto answer = co_await scratch.session.query(std::move(text), wait, shared_.settings.max_memory_rows, &memory,
                                               digits == Digits::kAll);
  if (!answer.ok()) co_return std::move(answer).error();
  net::QueryResult result = std::move(*answer);
  if (result.ok.warnings > 0) co_await take_warnings(scratch.session.client(), result.ok.warnings);
  finished_rows_ = result.rows.size();
  if (plan.asks_found_rows || plan.asks_insert_id) {
    CO_ASSIGN_OR_RETURN(const auto known,
                        co_await scratch.session.query("select found_rows(), last_insert_id()", wait, 1));
    const auto number = [&](size_t column) {
      return std::strtoull(std::string(known.text(0, column)).c_str(), nullptr, 10);
    };
    if (plan.asks_found_rows) finished_rows_ = number(0);
    if (plan.asks_insert_id) last_insert_id_ = number(1);
  }
  restore_columns(finish, result.columns);
  co_return std::move(result);
}

net::Task<Result<net::QueryResult>> ClientSession::finish_result(const plan::Plan& plan, const Statement& statement,
                                                                 base::MemoryBudget::Hold& memory, Digits digits) {
  const plan::Finish& finish = *plan.finish;
  const ScratchLimits& limits = shared_.settings.scratch;
  if (shared_.scratch_sessions >= limits.max_sessions) {
    co_return fail(Code::kResourceExhausted,
                   fmt::format("{} statements are being finished on one server at the moment, and no more may be "
                               "(--scratch-max-sessions)",
                               shared_.scratch_sessions))
        .with_retry(Retry::kSameTarget);
  }
  const Counted counted(shared_.scratch_sessions);
  CO_ASSIGN_OR_RETURN(auto replaced, with_session_values(finish.text));
  std::string text = replaced ? std::move(*replaced) : finish.text;
  CO_ASSIGN_OR_RETURN(auto inputs, co_await read_inputs(finish, statement, memory));
  clear_warnings();  // What the inputs' conditions warn of is warned of again.
  const net::Wait wait = finish_wait();
  CO_ASSIGN_OR_RETURN(Scratch scratch, co_await open_scratch(finish, wait));
  auto result = co_await finish_on(scratch, plan, inputs, std::move(text), digits, memory, wait);
  if (result.ok() || !scratch.session.client().broken()) {
    co_await scratch.session.end(net::Wait::within(kEndMax, shared_.scope.token()));
  }
  if (result.ok()) co_return std::move(*result);
  Error error = std::move(result).error();
  if (error.code() == Code::kDeadlineExceeded && base::system_clock().now() >= wait.deadline) {
    error = std::move(error).with_context(
        "it took longer to finish the statement than --scratch-timeout or the query's timeout");
  }
  co_return of_scratch(scratch.target, std::move(error));
}

net::Task<RunResult> ClientSession::run_finish(const plan::Plan& plan, const Statement& statement) {
  base::MemoryBudget::Hold memory(memory_, base::MemoryBudget::Kind::kResults);
  auto result = co_await finish_result(plan, statement, memory, statement.binary() ? Digits::kAll : Digits::kOfText);
  if (!result.ok()) {
    Error error = std::move(result).error();
    if (in_transaction_ && ends_transaction(error)) co_return co_await fail_transaction(std::move(error));
    co_return refused(std::move(error));
  }
  found_rows_ = finished_rows_;
  row_count_ = -1;
  Status sent = co_await send_result(*result);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

net::Task<Result<net::MysqlClient::Shape>> ClientSession::finish_shape(const plan::Plan& plan) {
  const plan::Finish& finish = *plan.finish;
  const net::Wait wait = finish_wait();
  CO_ASSIGN_OR_RETURN(auto replaced, with_session_values(finish.text));
  CO_ASSIGN_OR_RETURN(Scratch scratch, co_await open_scratch(finish, wait));
  Status equal = co_await scratch.session.become(scratch_client_settings(form_.collation, settings_text_), wait);
  if (!equal.ok()) co_return of_scratch(scratch.target, std::move(equal).error());
  auto shape = co_await scratch.session.describe(replaced ? *replaced : finish.text, wait);
  if (!scratch.session.client().broken()) {
    co_await scratch.session.end(net::Wait::within(kEndMax, shared_.scope.token()));
  }
  if (!shape.ok()) co_return of_scratch(scratch.target, std::move(shape).error());
  restore_columns(finish, shape->columns);
  co_return std::move(*shape);
}

}  // namespace vitrail::gate
