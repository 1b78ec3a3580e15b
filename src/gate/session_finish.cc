// Statements that are finished on one server: see plan/finish.h.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <set>

#include "exec/whole_order.h"
#include "gate/scratch.h"
#include "gate/session.h"
#include "gate/session_finish.h"
#include "gate/session_stream.h"
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
  std::vector<shard::Target> silent;
  for (const auto& type : shared_.settings.scratch.tablet_types) {
    for (const auto& keyspace : keyspaces) {
      const auto* shards = view.find_shards(keyspace, type);
      if (shards == nullptr) continue;
      for (size_t i = 0; i < shards->size(); ++i) {  // Each one in its turn.
        const ActiveShard& shard = (*shards)[(i + shared_.scratch_turn) % shards->size()];
        shard::Target target{keyspace, shard.name, type};
        view.follow_shard_rule(target);
        if (shard.disabled || view.find_endpoints(target) == nullptr) continue;
        // It may stand still, or only its connections be on loan to idle transactions: the last resort.
        (shared_.stalled(target) ? silent : targets).push_back(std::move(target));
      }
    }
  }
  ++shared_.scratch_turn;
  std::ranges::move(silent, std::back_inserter(targets));
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

// A scratch session that is being opened.
struct ClientSession::OpeningScratch {
  net::Scope scope;
  // When the scope has ended:
  std::optional<Result<Scratch>> opened;
  std::optional<Running> running;
  net::Task<Status> wait() {
    co_await scope.join();
    co_return opened->ok() ? Status() : Status(opened->error());
  }
};

// Values of a column that other inputs' columns have to be equal to: FinishInput::Link.
struct ClientSession::CopiedKeys {
  size_t place = 0;
  std::set<std::string, std::less<>> values;
  size_t bytes = 0;
  bool too_many = false;
};

// A shard's rows on their way, and the next one of them.
struct ClientSession::SourceRows {
  RowBatch batch;
  size_t next = 0;
  std::vector<mysql::Cell> cells;
  size_t bytes = 0;
};

// What is known of the inputs while they are copied.
struct ClientSession::Copied {
  using Keys = CopiedKeys;
  explicit Copied(const plan::Finish& finish) : keys(finish.inputs.size()), done(finish.inputs.size(), false) {
    for (const auto& input : finish.inputs) {
      for (const auto& link : input.links) {
        if (find(link) == nullptr) keys[link.input].push_back({.place = link.place});
      }
    }
  }
  const Keys* find(const plan::FinishInput::Link& link) const {
    const auto& known = keys[link.input];
    const auto found = std::ranges::find(known, link.place, &Keys::place);
    return found == known.end() ? nullptr : &*found;
  }
  // The link that leaves fewest rows; null: all are to be copied.
  const plan::FinishInput::Link* best_link(const plan::FinishInput& input) const {
    const plan::FinishInput::Link* best = nullptr;
    for (const auto& link : input.links) {
      if (!done[link.input] || find(link)->too_many) continue;
      if (best == nullptr || find(link)->values.size() < find(*best)->values.size()) best = &link;
    }
    return best;
  }
  void add(Keys& of, std::string_view value) {
    if (of.too_many || of.values.contains(value)) return;
    of.values.emplace(value);
    of.bytes += value.size();
    if (of.values.size() <= kMaxKeys && of.bytes <= kMaxKeyBytes) return;
    of.too_many = true;
    of.values.clear();
  }

  static constexpr size_t kMaxKeys = 5'000;
  static constexpr size_t kMaxKeyBytes = size_t{256} << 10;
  uint64_t rows = 0;
  uint64_t bytes = 0;
  std::vector<std::vector<Keys>> keys;
  std::vector<bool> done;
};

// What to ask for an input, whose rows `rows` gives.
net::Task<Status> ClientSession::add_questions(const plan::FinishInput& input, size_t place, const plan::Plan& rows,
                                               const Statement& statement, std::vector<InputQuestion>& out) {
  // A limit of its own comes before sql_select_limit.
  const char* all_rows = settings_.values().contains("sql_select_limit") ? " limit 18446744073709551615" : "";
  CO_ASSIGN_OR_RETURN(auto targets, co_await targets_of(rows.route, statement, !rows.is_read));
  CO_ASSIGN_OR_RETURN(auto texts, texts_for(rows.route, statement, std::move(targets), *rows.text));
  const std::string order = texts.size() > 1 ? input.order : "";
  for (auto& what : texts) {
    CO_RETURN_IF_ERROR(co_await check_hidden(input, what.target));
    if (!order.empty()) what.text += " order by " + order;
    what.text += all_rows + input.lock;
    out.push_back({place, std::move(what)});
  }
  co_return Status{};
}

// The inputs to copy next, with what is asked for them: first those with conditions of their own, then those whose
// columns have to be equal to what is there already, at last all others.
net::Task<Result<std::vector<ClientSession::InputQuestion>>> ClientSession::next_questions(const plan::Finish& finish,
                                                                                           const Statement& statement,
                                                                                           Copied& copied) {
  std::vector<size_t> all;
  std::vector<size_t> chosen;
  const bool first = std::ranges::none_of(copied.done, std::identity());
  for (size_t i = 0; i < finish.inputs.size(); ++i) {
    const plan::FinishInput& input = finish.inputs[i];
    if (copied.done[i]) continue;
    all.push_back(i);
    if (first ? input.filtered || input.links.empty() : copied.best_link(input) != nullptr) chosen.push_back(i);
  }
  if (chosen.empty()) chosen = all;
  std::vector<InputQuestion> out;
  for (const size_t i : chosen) {
    const plan::FinishInput& input = finish.inputs[i];
    const auto* link = input.lock.empty() ? copied.best_link(input) : nullptr;
    if (link == nullptr) {
      CO_RETURN_IF_ERROR(co_await add_questions(input, i, *input.rows, statement, out));
      continue;
    }
    const auto& values = copied.find(*link)->values;
    if (values.empty()) continue;
    const auto view = shared_.view();
    Statement nowhere;
    CO_ASSIGN_OR_RETURN(const auto context, plan_context(*view, nowhere));
    const std::vector<std::string> list(values.begin(), values.end());
    CO_ASSIGN_OR_RETURN(const auto rows, plan::plan_linked_input(input, *link, list, context));
    CO_RETURN_IF_ERROR(co_await add_questions(input, i, *rows, statement, out));
  }
  for (const size_t i : chosen) copied.done[i] = true;
  co_return out;
}

// Copies the rows of all inputs into their temporary tables, as they come.
net::Task<Status> ClientSession::load_inputs(const plan::Finish& finish, const Statement& statement,
                                             OpeningScratch& scratch) {
  Copied copied(finish);
  size_t questions = 0;
  while (!std::ranges::all_of(copied.done, std::identity())) {
    CO_ASSIGN_OR_RETURN(auto next, co_await next_questions(finish, statement, copied));
    questions += next.size();
    CO_RETURN_IF_ERROR(co_await copy_answers(finish, std::move(next), scratch, copied));
  }
  count_statement(questions);
  shared_.metrics.statistics.finished_rows.add(copied.rows);
  shared_.metrics.statistics.finished_bytes.add(copied.bytes);
  // What the inputs' conditions warn of is warned of again, but for rows that they leave out.
  if (strict_source_) CO_RETURN_IF_ERROR(as_in_a_change());
  clear_warnings();
  co_return Status{};
}

net::Task<Status> ClientSession::copy_answers(const plan::Finish& finish, std::vector<InputQuestion> questions,
                                              OpeningScratch& scratch, Copied& copied) {
  // A connection that is this session's own takes one statement at a time.
  const bool together = !in_transaction_ && held_.empty();
  for (size_t begin = 0; begin < questions.size();) {
    size_t end = begin;
    // Rows that are to be locked are asked for one shard after the other: see source_rows().
    while (end < questions.size() && (together || questions[end].input == questions[begin].input)) {
      if (end > begin && !finish.inputs[questions[begin].input].lock.empty()) break;
      ++end;
    }
    std::vector<ShardText> texts;
    for (size_t i = begin; i < end; ++i) texts.push_back(std::move(questions[i].what));
    ShardStreams streams(*this, std::move(texts), Digits::kOfText, true);
    CO_RETURN_IF_ERROR(co_await streams.open());
    Status loaded = co_await scratch.wait();
    for (size_t i = begin, next = begin; loaded.ok() && i < end; i = next) {
      const size_t input = questions[i].input;
      while (next < end && questions[next].input == input) ++next;
      loaded = co_await load_input(streams, i - begin, next - i, finish.inputs[input], **scratch.opened, copied,
                                   copied.keys[input]);
    }
    co_await (loaded.ok() ? streams.drain() : streams.stop());
    CO_RETURN_IF_ERROR(loaded);
    begin = end;
  }
  co_return Status{};
}

// Some more rows for one server; what is too much is refused.
Status ClientSession::count_copied(const RowBatch& batch, const plan::FinishInput& input, Copied& copied) const {
  const ScratchLimits& limits = shared_.settings.scratch;
  copied.rows += batch.ends.size();
  copied.bytes += batch.bytes.size();
  if (copied.rows <= limits.max_rows && copied.bytes <= limits.max_bytes) return {};
  return fail(Code::kResourceExhausted,
              fmt::format("the statement needs more than may go to one server to be finished there: {} rows and "
                          "{} bytes with those of {} (--scratch-max-rows {}, --scratch-max-bytes {})",
                          copied.rows, copied.bytes, name_of(input), limits.max_rows, limits.max_bytes));
}

net::Task<Status> ClientSession::load_input(ShardStreams& streams, size_t first, size_t count,
                                            const plan::FinishInput& input, Scratch& scratch, Copied& copied,
                                            std::vector<CopiedKeys>& keys) {
  net::Wait wait = finish_wait();
  wait.each = shared_.settings.scratch.timeout;  // Rows may be long in coming.
  ScratchLoad load(scratch.session, input);
  const auto flush = [](Scratch& to, ScratchLoad& what, const plan::FinishInput& of,
                        net::Wait until) -> net::Task<Status> {
    Status loaded = co_await what.flush(std::move(until));
    if (loaded.ok()) co_return loaded;
    Error error = std::move(loaded).error();
    if (error.mysql_errno() == 0 || error.reason() != Reason::kNone) co_return of_scratch(to.target, std::move(error));
    // What its server had does not go into a column of the same type: it is of another type by now.
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("the columns of {} are not what they were known to be, try again: {}", name_of(of),
                               error.message()))
        .with_effect(Effect::kNone);
  };
  exec::WholeOrder order(count, count > 1 ? input.order_place : std::nullopt);
  std::vector<SourceRows> sources(count);
  for (size_t at = 0, begun = 0;;) {
    SourceRows& source = sources[at];
    while (source.next >= source.batch.ends.size() && !source.batch.last) {
      source.batch = co_await streams.next_of(first + at);
      source.next = 0;
      if (source.batch.error) co_return std::move(*source.batch.error);
      CO_RETURN_IF_ERROR(count_copied(source.batch, input, copied));
    }
    if (source.next < source.batch.ends.size()) {
      const std::string_view payload = source.batch.row(source.next++);
      source.bytes = payload.size();
      CO_RETURN_IF_ERROR(mysql::decode_text_row(payload, streams.columns_of(first + at).size(), source.cells));
      CO_RETURN_IF_ERROR(order.push(at, source.cells));
    }
    if (begun + 1 < count) {  // First one row of each.
      at = ++begun;
      continue;
    }
    if (order.empty()) break;
    at = order.pop();
    load.row(sources[at].cells, sources[at].bytes);
    for (auto& of : keys) {
      if (const auto& cell = sources[at].cells[of.place]) copied.add(of, *cell);
    }
    if (load.full()) CO_RETURN_IF_ERROR(co_await flush(scratch, load, input, wait));
  }
  co_return co_await flush(scratch, load, input, wait);
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

// While the first rows are asked for.
net::Task<void> ClientSession::open_scratch_into(ClientSession& self, const plan::Finish& finish, net::Wait wait,
                                                 OpeningScratch& out) {
  out.opened.emplace(co_await self.open_scratch(finish, std::move(wait)));
  if (!out.opened->ok()) co_return;
  auto& session = (*out.opened)->session;
  out.running.emplace(self.in_flight_,
                      InFlight{.pool = &session.pool(), .tablet_session = session.client().server().connection_id});
}

net::Wait ClientSession::finish_wait() const {
  net::Wait wait = query_wait();
  wait.deadline = std::min(wait.deadline, base::system_clock().now() + shared_.settings.scratch.timeout);
  return wait;
}

// What is assigned in a statement may be read there, too.
net::Task<Status> ClientSession::tell_variables(ScratchSession& session, std::span<const std::string> assigned,
                                                net::Wait wait) {
  if (assigned.empty() || user_variables_.empty()) co_return Status{};
  auto told = co_await session.query(user_variables_text(), wait, 1);
  if (!told.ok()) co_return std::move(told).error();
  co_return Status{};
}

net::Task<Status> ClientSession::take_variables(ScratchSession& session, std::span<const std::string> assigned,
                                                net::Wait wait) {
  if (assigned.empty()) co_return Status{};
  std::string text;
  for (const auto& name : assigned) {
    text += text.empty() ? "select @" : ", @";
    mysql::append_sql_identifier(text, name);
  }
  CO_ASSIGN_OR_RETURN(const auto values, co_await session.query(text, wait, 1));
  for (size_t i = 0; i < assigned.size(); ++i) {
    const auto& cell = values.rows.front()[i];
    if (user_variables_.size() >= kMaxUserVariables && !user_variables_.contains(assigned[i])) {
      co_return fail(Code::kResourceExhausted, fmt::format("more than {} user variables", kMaxUserVariables));
    }
    user_texts_->erase(assigned[i]);
    user_variables_[assigned[i]] =
        cell ? mysql::make_value(values.columns[i], mysql::Cell(*cell)) : mysql::Value::null();
  }
  co_return Status{};
}

net::Task<Status> ClientSession::finish_on(Scratch& scratch, const plan::Plan& plan, std::string text, Digits digits,
                                           RowSink& out, net::Wait wait) {
  auto& session = scratch.session;
  CO_RETURN_IF_ERROR(co_await session.become(scratch_client_settings(form_.collation, settings_text_), wait));
  if (killed_) {
    co_return fail(Code::kCanceled, "Query execution was interrupted")
        .with_mysql(mysql::errnos::kQueryInterrupted, "70100");
  }
  const size_t noted = note_sent(scratch.target, text);
  if (plan.asks_insert_id) {
    auto told = co_await session.query(fmt::format("do last_insert_id({})", last_insert_id_), wait, 1);
    if (!told.ok()) co_return std::move(told).error();
  }
  CO_RETURN_IF_ERROR(co_await tell_variables(session, plan.finish->assigned, wait));
  net::ResultStream rows(session.connection());
  CO_RETURN_IF_ERROR(co_await rows.begin(std::move(text), session.attributes(), digits == Digits::kAll, wait));
  scratch.answering = true;
  std::vector<mysql::ColumnDef> columns = rows.columns();
  restore_columns(*plan.finish, columns);
  out.begin(columns);
  finished_rows_ = 0;
  for (;;) {
    const auto row = co_await rows.next(wait);
    scratch.answering = row.ok() && *row;
    if (!row.ok()) co_return row.error();
    if (!*row) break;
    CO_RETURN_IF_ERROR(out.row(**row));
    ++finished_rows_;
    if (!out.full()) continue;
    CO_RETURN_IF_ERROR(co_await out.flush());
    wait.each = shared_.settings.scratch.timeout;  // What a slow client takes is not the statement's time.
  }
  note_rows(noted, finished_rows_);
  if (rows.ok().warnings > 0) co_await take_warnings(session.client(), rows.ok().warnings);
  if (plan.asks_found_rows || plan.asks_insert_id) {
    CO_ASSIGN_OR_RETURN(const auto known, co_await session.query("select found_rows(), last_insert_id()", wait, 1));
    const auto number = [&](size_t column) {
      return std::strtoull(std::string(known.text(0, column)).c_str(), nullptr, 10);
    };
    if (plan.asks_found_rows) finished_rows_ = number(0);
    if (plan.asks_insert_id) last_insert_id_ = number(1);
  }
  co_return co_await take_variables(session, plan.finish->assigned, wait);
}

net::Task<Status> ClientSession::finish_rows(const plan::Plan& plan, const Statement& statement, Digits digits,
                                             RowSink& out) {
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
  CO_ASSIGN_OR_RETURN(auto replaced, with_session_values(finish.text, finish.assigned.empty()));
  std::string text = replaced ? std::move(*replaced) : finish.text;
  OpeningScratch opening;
  opening.scope.spawn(open_scratch_into(*this, finish, finish_wait(), opening));
  Status done = co_await load_inputs(finish, statement, opening);
  co_await opening.scope.join();
  if (!opening.opened->ok()) co_return done.ok() ? Status(opening.opened->error()) : std::move(done);
  Scratch& scratch = **opening.opened;
  if (done.ok()) {
    const net::Wait wait = finish_wait();
    done = co_await finish_on(scratch, plan, std::move(text), digits, out, wait);
    if (!done.ok()) {
      Error error = std::move(done).error();
      if (error.code() == Code::kDeadlineExceeded && base::system_clock().now() >= wait.deadline) {
        error = std::move(error).with_context(
            "it took longer to finish the statement than --scratch-timeout or the query's timeout");
      }
      done = of_scratch(scratch.target, std::move(error));
    }
  }
  opening.running.reset();
  if (!scratch.answering && !scratch.session.client().broken()) {
    // Nobody waits for it: the rows are there, and what the session has left concerns no other.
    shared_.scope.spawn(end_scratch(std::move(scratch.session), net::Wait::within(kEndMax, shared_.scope.token())));
  }
  co_return done;
}

net::Task<void> ClientSession::end_scratch(ScratchSession session, net::Wait wait) {
  co_await session.end(std::move(wait));
}

net::Task<Result<net::QueryResult>> ClientSession::finish_result(const plan::Plan& plan, const Statement& statement,
                                                                 base::MemoryBudget::Hold& memory, Digits digits) {
  net::QueryResult result;
  KeptRows kept(result, max_rows(), memory);
  CO_RETURN_IF_ERROR(co_await finish_rows(plan, statement, digits, kept));
  result.ok.warnings = fresh_warnings_;
  co_return std::move(result);
}

net::Task<RunResult> ClientSession::run_finish(const plan::Plan& plan, const Statement& statement) {
  ClientRows out(*this);
  const Digits digits = statement.binary() ? Digits::kAll : Digits::kOfText;
  bool joined = false;
  Status finished;
  if (plan.finish->join != nullptr && !settings_.values().contains("sql_select_limit")) {
    auto done = co_await join_rows(*plan.finish->join, statement, digits, out);
    joined = done.ok() && *done;
    if (!done.ok()) finished = std::move(done).error();
    if (done.ok() && !joined) clear_warnings();  // They are told again.
  }
  if (finished.ok() && !joined) finished = co_await finish_rows(plan, statement, digits, out);
  if (finished.ok()) {
    answered_with(finished_rows_);
    row_count_ = -1;
    Status sent = co_await out.end();
    co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
  }
  Error error = std::move(finished).error();
  if (out.client_gone()) co_return RunResult::hang_up(std::move(error));
  const bool untouched = out.take_back();
  RunResult result = in_transaction_ && ends_transaction(error) ? co_await fail_transaction(std::move(error))
                                                                : refused(std::move(error));
  if (untouched || !result.error) co_return result;
  co_return co_await out.end_with(std::move(*result.error));
}

net::Task<Result<net::MysqlClient::Shape>> ClientSession::finish_shape(const plan::Plan& plan) {
  const plan::Finish& finish = *plan.finish;
  const net::Wait wait = finish_wait();
  CO_ASSIGN_OR_RETURN(auto replaced, with_session_values(finish.text, finish.assigned.empty()));
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
