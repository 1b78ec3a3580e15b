// Changes over shards: what they did is put together as one server would tell it; those whose rows have to be known
// first, found or selected. See plan/change.h and plan/insert.h.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "exec/compare.h"
#include "exec/merge.h"
#include "gate/lookup_statement.h"
#include "gate/session.h"
#include "mysql/collations.h"
#include "mysql/errors.h"
#include "plan/change.h"
#include "plan/finish.h"
#include "plan/insert.h"
#include "plan/lookup.h"
#include "plan/stored_literal.h"
#include "shard/lookup_placement.h"

namespace vitrail::gate {
namespace {

constexpr size_t kStatementBytes = size_t{512} << 10;  // Of a statement that is sent for many rows; one may have more.
constexpr size_t kStatementRows = 1000;
constexpr std::string_view kMoveSavepoint = "vitrail_move";

// The values of a row that are where a target's columns are.
std::vector<std::string> literals_of(const std::vector<schema::Column>& columns, size_t at,
                                     const std::vector<std::optional<std::string>>& row) {
  std::vector<std::string> out;
  for (size_t i = 0; i < columns.size(); ++i) out.push_back(plan::form_literal(columns[i], row[at + i]));
  return out;
}

// A key may have been changed on its way into the column (CHAR, BINARY), after the row was placed by it.
Error not_there(const plan::ChangeTarget& target, uint64_t changed, uint64_t wanted) {
  return fail(
      Code::kUnimplemented,
      fmt::format("VT12001: unsupported: a change of rows that are not where their keys as they are stored place "
                  "them: {} of {} rows of {}.{} were met there",
                  changed, wanted, target.keyspace, target.table));
}

Result<std::string> assignments_text(const plan::ChangeTarget& target, const net::QueryResult& rows,
                                     const std::vector<std::optional<std::string>>& row) {
  std::string out;
  for (const auto& value : target.values) {
    if (!out.empty()) out += ", ";
    out += sql::quote_identifier_if_needed(value.column.name) + " = ";
    if (!value.at) {
      out += value.text;
      continue;
    }
    ASSIGN_OR_RETURN(const std::string literal,
                     plan::result_literal(rows.columns[*value.at], row[*value.at], value.column));
    out += literal;
  }
  return out;
}

}  // namespace

// What a query only warns of is an error in a change, when the session is strict. Rows of SHOW WARNINGS.
Status ClientSession::as_in_a_change() const {
  for (const auto& [level, code, message] :
       std::span(warning_rows_).subspan(std::min(set_warnings_, warning_rows_.size()))) {
    if (level != "Warning") continue;
    const auto number = static_cast<uint16_t>(std::strtoul(code.c_str(), nullptr, 10));
    return fail(Code::kInvalidArgument, message).with_mysql(number, std::string(mysql::sqlstate_of(number)));
  }
  return {};
}

net::Task<Result<net::QueryResult>> ClientSession::send_change(ShardText what, ChangeOutcome& out, uint64_t rows,
                                                               Touched* touched) {
  // Inside of a client's transaction a savepoint on each shard keeps the statement whole: it alone is undone everywhere
  // when one shard fails.
  const shard::Target target = what.target;
  const bool known = std::ranges::find(out.done, target) != out.done.end();
  const std::string savepoint =
      known || out.own_transaction || !out.guarded || !in_transaction_ ? "" : statement_savepoint();
  auto result =
      touched != nullptr ? co_await ask_touching(std::move(what), touched) : co_await ask(std::move(what), savepoint);
  if (!result.ok()) co_return std::move(result).error();
  if (!known) out.done.push_back(target);
  if (out.copies && out.done.size() > 1) {
    if (result->ok.affected_rows == out.affected) co_return std::move(*result);
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("the copies of the reference table differ: {} rows change on {}, and {} on {}; make them "
                    "the same first",
                    out.affected, out.done.front().to_string(), result->ok.affected_rows, target.to_string()));
  }
  out.add(*result, rows, out.ignore);
  co_return std::move(*result);
}

// The end of a change: its transaction's, and what the client is told.
net::Task<RunResult> ClientSession::end_change(ChangeOutcome out, Status status) {
  count_statement(std::max<size_t>(out.done.size(), 1));
  const bool under_locks = out.own_transaction && tables_locked_;
  if (!status.ok() && out.own_transaction) {
    Error error = std::move(status).error();
    mysql::TransactionOptions asked = options_;
    if (session_reads_only()) asked.access = mysql::TransactionOptions::Access::kSession;
    co_await rollback_all();
    if (under_locks) (void)co_await set_server_autocommit(true);
    next_options_ = asked;  // The transaction that SET TRANSACTION was about is to come.
    if (error.reason() == Reason::kTransactionLost) {
      // Nothing had been committed: it is as if the statement had not run.
      Error lost = std::move(error).with_effect(Effect::kNone);
      co_return RunResult::failed(std::move(lost));
    }
    co_return refused(std::move(error));
  }
  if (!status.ok()) {
    Error error = std::move(status).error();
    if (in_transaction_ && ends_transaction(error)) co_return co_await fail_transaction(std::move(error));
    if (!out.done.empty() && !in_transaction_) {
      co_return RunResult::failed(
          std::move(error)
              .with_context("the statement is done on some shards only, as MULTI_SHARD_AUTOCOMMIT allows")
              .with_effect(Effect::kApplied));
    }
    if (!out.done.empty() && !co_await undo_statement(out.done)) co_return co_await fail_transaction(std::move(error));
    co_return refused(std::move(error));
  }
  if (out.own_transaction) {
    RunResult committed = co_await commit();
    if (under_locks) (void)co_await set_server_autocommit(true);
    if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
  }
  co_return co_await tell_change(std::move(out));
}

// What the client is told of a change that has been made.
net::Task<RunResult> ClientSession::tell_change(ChangeOutcome out) {
  unite_constant_warnings();
  const ChangeOutcome::InsertId id = out.insert_id();
  if (id.remembered) last_insert_id_ = id.told;
  Status sent;
  if (out.returned) {
    row_count_ = -1;
    answered_rows_ = out.returned->rows.size();
    sent = co_await send_result(*out.returned);
  } else {
    row_count_ = static_cast<int64_t>(out.affected);
    if (out.tells_records) found_rows_ = out.records;  // As its SELECT gave.
    sent = co_await send_ok({.affected_rows = out.affected, .last_insert_id = id.told, .info = out.info(warnings_)});
  }
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

// Changes on one or several shards. On several, and outside of a transaction, they are held together by one of their
// own.
net::Task<RunResult> ClientSession::change(std::vector<ShardText> texts, ChangeOutcome out,
                                           std::vector<std::vector<uint64_t>> places) {
  const bool each_alone = directives_.multi_shard_autocommit && !in_transaction_;
  out.own_transaction = texts.size() > 1 && !in_transaction_ && !each_alone;
  out.guarded = texts.size() > 1;
  if (texts.size() > 1 && single_shard() && !each_alone) {
    co_return RunResult::failed(
        fail(Code::kFailedPrecondition, "multi-db transaction attempted: transaction_mode is SINGLE"));
  }
  if (out.own_transaction && tables_locked_) {  // A BEGIN would unlock them.
    if (Status off = co_await set_server_autocommit(false); !off.ok())
      co_return RunResult::failed(std::move(off).error());
    start_transaction(true);
  } else if (out.own_transaction) {
    start_transaction();
  }
  Status status;
  for (size_t i = 0; status.ok() && i < texts.size(); ++i) {
    auto result = co_await send_change(std::move(texts[i]), out, i < places.size() ? places[i].size() : 0);
    if (!result.ok()) {
      status = std::move(result).error();
    } else if (i < places.size()) {
      out.note_places(places[i], result->rows.size());
    }
  }
  out.order_returned();
  co_return co_await end_change(std::move(out), std::move(status));
}

// ---- The rows that a change needs -----------------------------------------------------------------------------------

// In utf8mb4, with all digits of numbers. Shards are asked one after the other: two statements that lock the same rows
// wait for each other, and do not each hold what the other wants.
net::Task<Result<net::QueryResult>> ClientSession::source_rows(const plan::RowSource& source,
                                                               base::MemoryBudget::Hold& memory) {
  std::vector<sql::LiteralPosition> literals;
  Statement inner;
  scan_text(source.text, literals, inner);
  if (source.plan->kind == plan::Plan::Kind::kFinish) {
    co_return co_await finish_result(*source.plan, inner, memory, Digits::kAll);
  }
  CO_ASSIGN_OR_RETURN(const auto targets, co_await targets_of(source.plan->route, inner, !source.plan->is_read));
  std::string text = source.plan->text ? *source.plan->text : source.text;
  CO_ASSIGN_OR_RETURN(auto replaced, with_session_values(text));
  if (replaced) text = std::move(*replaced);
  const plan::Merge* merge = &source.plan->merge;
  std::shared_ptr<const plan::Plan> refined;
  std::vector<net::QueryResult> results;
  for (int round = 0; round < 2; ++round) {
    results.clear();
    const bool sets_id = source.plan->asks_insert_id && targets.size() == 1;  // By LAST_INSERT_ID(n).
    if (sets_id) {
      CO_RETURN_IF_ERROR(co_await tell_insert_id(targets.front()));
    }
    for (const auto& target : targets) {
      CO_ASSIGN_OR_RETURN(auto result, co_await ask({target, text}, "", &memory, 0, Digits::kAll));
      results.push_back(std::move(result));
    }
    if (sets_id) co_await take_insert_id(targets.front());
    auto forms = exec::refined_forms(*merge, results.front().columns);
    if (round > 0 || forms.empty()) break;
    CO_ASSIGN_OR_RETURN(auto again, plan_refined(inner, std::move(forms)));
    refined = std::move(again.plan);
    merge = &refined->merge;
    text = std::move(again.text);
  }
  auto merged = exec::merge_results(*merge, std::move(results), max_rows());
  if (merged.ok()) co_return std::move(merged->result);
  if (merged.error().code() != Code::kUnimplemented) co_return std::move(merged).error();
  const auto view = shared_.view();
  Statement nowhere;
  CO_ASSIGN_OR_RETURN(const auto context, plan_context(*view, nowhere));
  CO_ASSIGN_OR_RETURN(const auto finish, plan::plan_source_finish(source, context));
  co_return co_await finish_result(*finish, inner, memory, Digits::kAll);
}

// Where a row belongs. `values` are what the vindex takes.
Result<shard::Target> ClientSession::place_row(const std::string& keyspace,
                                               const std::shared_ptr<const shard::Vindex>& vindex,
                                               std::vector<mysql::Value> values) {
  Statement nowhere;
  plan::Route route;
  route.keyspace = keyspace;
  route.only_shard = true;
  if (vindex != nullptr) {
    route.kind = plan::Route::Kind::kByValues;
    route.vindex = vindex;
    // A row must have a place: "nowhere" may do for reading, never for writing.
    std::vector<shard::VindexValue> mapped;
    for (const auto& value : values) mapped.push_back(vindex_value(value));
    ASSIGN_OR_RETURN(const auto destination, vindex->map(mapped));
    if (destination.kind != shard::Destination::Kind::kKeyspaceId) {
      return fail(Code::kInvalidArgument, fmt::format("VT09023: could not map {} to a keyspace id",
                                                      values[0].is_null() ? "NULL" : values[0].bytes));
    }
    for (auto& value : values) route.values.push_back({.constant = std::move(value)});
  }
  ASSIGN_OR_RETURN(auto targets, resolve(route, nowhere));
  return std::move(targets.front());
}

// Statements over several shards whose rows are known when they run: `rows` of them are asked for and changed in one
// transaction, the session's or their own. Texts that servers send and get are in utf8mb4 meanwhile.
net::Task<RunResult> ClientSession::run_rows(const plan::Plan& plan) {
  if (tables_locked_) {
    co_return RunResult::failed(fail(
        Code::kUnimplemented, "VT12001: unsupported: a change whose rows have to be found first, under LOCK TABLES"));
  }
  // The rows are changed by their keys in the end: the servers would find nothing to object to.
  const auto safe = settings_.values().find("sql_safe_updates");
  if (plan.kind == plan::Plan::Kind::kChange && safe != settings_.values().end() &&
      switch_value(safe->second) == true) {
    co_return RunResult::failed(fail(Code::kFailedPrecondition,
                                     "You are using safe update mode, and the rows of this change have to be found "
                                     "first: whether by a key is not known")
                                    .with_mysql(1175, "HY000"));
  }
  if (plan.returning && results_charset() != "utf8mb4") {
    co_return RunResult::failed(
        fail(Code::kUnimplemented,
             "VT12001: unsupported: RETURNING of a change whose rows have to be found first, in a "
             "session of another character set than utf8mb4"));
  }
  const SessionSettings before = settings_;
  if (results_charset() != "utf8mb4") settings_.set("character_set_results", "utf8mb4");
  settings_.unset("sql_select_limit");
  const bool other_settings = settings_ != before;
  if (other_settings) {
    if (Status set = co_await apply_settings(before); !set.ok()) {
      settings_ = before;
      settings_text_ = settings_.text();
      co_return refused(std::move(set).error());
    }
  }
  ChangeOutcome out;
  out.guarded = true;
  out.own_transaction = !in_transaction_;
  if (out.own_transaction) start_transaction();
  base::MemoryBudget::Hold memory(memory_, base::MemoryBudget::Kind::kResults);
  Status status;
  Touched touched;
  if (!out.own_transaction) touched.savepoint = statement_savepoint();
  strict_source_ = plan.insert_rows != nullptr ? plan.insert_rows->strict_query : plan.change->strict;
  if (plan.kind == plan::Plan::Kind::kInsertRows) {
    status = co_await insert_rows(*plan.insert_rows, out, touched, memory);
  } else {
    status = co_await change_rows(*plan.change, out, touched, memory);
  }
  strict_source_ = false;
  bool undone = true;
  if (!status.ok() && !out.own_transaction && !ends_transaction(status.error()))
    undone = co_await undo_touched(touched);
  if (other_settings) {
    const SessionSettings changed = std::exchange(settings_, before);
    Status back = co_await apply_settings(changed);
    settings_text_ = settings_.text();
    if (status.ok()) status = std::move(back);
  }
  if (!status.ok() && status.error().code() == Code::kResourceExhausted && status.error().mysql_errno() == 0) {
    status = std::move(status).error().with_context(
        "the rows of this change have to be kept in memory: split it (--max-memory-rows, --memory-per-session)");
  }
  if (out.own_transaction && !status.ok() && failed_) failed_.reset();
  if (!undone) co_return co_await fail_transaction(std::move(status).error());
  co_return co_await end_change(std::move(out), std::move(status));
}

// ---- UPDATE and DELETE ----------------------------------------------------------------------------------------------

net::Task<Status> ClientSession::change_rows(const plan::Change& change, ChangeOutcome& out, Touched& touched,
                                             base::MemoryBudget::Hold& memory) {
  out.updates = change.update;
  const bool watched = std::ranges::any_of(change.targets, [](const auto& target) { return target.watch != nullptr; });
  if (watched) CO_RETURN_IF_ERROR(may_watch());
  CO_ASSIGN_OR_RETURN(net::QueryResult rows, co_await source_rows(change.rows, memory));
  CO_RETURN_IF_ERROR(plan::make_bits_digits(rows.columns, rows.rows));
  if (change.strict) CO_RETURN_IF_ERROR(as_in_a_change());
  std::vector<LookupKey> written;
  for (const auto& target : change.targets) {
    CO_RETURN_IF_ERROR(co_await change_target(target, rows, out, watched ? &touched : nullptr, written));
  }
  co_return co_await settle(std::move(written), plan::ShardedInsert::Conflict::kError, touched);
}

// Rows of one shard, as one statement changes them.
struct ClientSession::ChangeBatch {
  shard::Target where;
  std::string conditions;
  std::string watched;  // The same for a statement without alias; and those of the rows' new keys.
  uint64_t rows = 0;
};

net::Task<Status> ClientSession::flush_change(const plan::ChangeTarget& of, ChangeBatch& batch, ChangeOutcome& out,
                                              Touched* touched, std::vector<LookupKey>& written) {
  if (batch.rows == 0) co_return Status{};
  const uint64_t matched = out.matched;
  ShardText text{batch.where, of.before + " where " + std::exchange(batch.conditions, {}) + of.after};
  const std::string watched = std::exchange(batch.watched, {});
  const uint64_t wanted = std::exchange(batch.rows, 0);
  if (of.watch != nullptr && !of.exact) {
    co_return co_await change_ignoring(of, std::move(text), watched, out, *touched);
  }
  Watched before;
  if (of.watch != nullptr) {
    CO_ASSIGN_OR_RETURN(before, co_await read_watched(*of.watch, batch.where, watched, *touched));
  }
  CO_ASSIGN_OR_RETURN(const auto result, co_await send_change(std::move(text), out, 0, touched));
  const uint64_t met = out.updates               ? out.matched - matched
                       : !result.columns.empty() ? result.rows.size()
                                                 : result.ok.affected_rows;
  if (of.exact && met != wanted) co_return not_there(of, met, wanted);
  if (of.watch == nullptr) co_return Status{};
  Watched after;
  if (out.updates) {
    CO_ASSIGN_OR_RETURN(after, co_await read_watched(*of.watch, batch.where, watched, *touched));
  }
  CO_ASSIGN_OR_RETURN(auto keys, learn(before, after, false));
  std::ranges::move(keys, std::back_inserter(written));
  co_return Status{};
}

// The key of a row as it is after its change.
Result<std::string> ClientSession::new_condition(const plan::ChangeTarget& target, const net::QueryResult& rows,
                                                 const Row& row) {
  std::vector<std::string> key;
  for (size_t i = 0; i < target.key.size(); ++i) {
    const auto& at = target.new_key[i].at;
    if (!at) {
      key.push_back(plan::form_literal(target.key[i], row[target.key_at + i]));
      continue;
    }
    ASSIGN_OR_RETURN(auto literal, plan::result_literal(rows.columns[*at], row[*at], target.key[i]));
    key.push_back(std::move(literal));
  }
  plan::ChangeTarget plain;
  plain.key = target.key;
  return plan::key_condition(plain, key);
}

net::Task<Status> ClientSession::change_target(const plan::ChangeTarget& target, const net::QueryResult& rows,
                                               ChangeOutcome& out, Touched* touched, std::vector<LookupKey>& written) {
  using Batch = ChangeBatch;
  plan::ChangeTarget plain;
  plain.key = target.key;
  std::vector<Batch> batches;
  std::map<std::string, std::string> seen;  // A join may have a row several times: it changes once.
  if (target.move) CO_RETURN_IF_ERROR(co_await check_move(target));
  for (const auto& row : rows.rows) {
    const auto first = row.begin() + static_cast<std::ptrdiff_t>(target.key_at);
    if (std::any_of(first, first + static_cast<std::ptrdiff_t>(target.key.size()),
                    [](const auto& cell) { return !cell; })) {
      continue;
    }
    const auto literals = literals_of(target.key, target.key_at, row);
    const std::string condition = plan::key_condition(target, literals);
    std::string assignments;
    if (!target.values.empty()) {
      CO_ASSIGN_OR_RETURN(assignments, assignments_text(target, rows, row));
    }
    if (const auto [known, first_time] = seen.emplace(condition, assignments); !first_time) {
      if (known->second == assignments) continue;
      co_return fail(
          Code::kUnimplemented,
          fmt::format("VT12001: unsupported: an UPDATE that has several values for one row of {}.{}: which of "
                      "them stays is not determined",
                      target.keyspace, target.table));
    }
    std::vector<mysql::Value> values;
    for (size_t i = 0; i < target.place.size(); ++i) {
      CO_ASSIGN_OR_RETURN(auto value, plan::place_value(target.place[i], row[target.place_at + i]));
      values.push_back(std::move(value));
    }
    CO_ASSIGN_OR_RETURN(auto where, co_await place_key(target.keyspace, target.vindex, std::move(values)));
    if (target.move) {
      CO_RETURN_IF_ERROR(co_await move_row(target, rows, row, std::move(where), condition, out, touched, written));
      continue;
    }
    auto batch = std::ranges::find(batches, where, &Batch::where);
    if (batch == batches.end()) {
      batch = batches.insert(batches.end(), Batch{.where = std::move(where), .conditions = {}, .watched = {}});
    }
    if (batch->rows > 0) batch->conditions += " or ", batch->watched += " or ";
    batch->conditions += condition;
    if (target.watch != nullptr) batch->watched += plan::key_condition(plain, literals);
    ++batch->rows;
    if (target.one_by_one()) {
      if (!target.new_key.empty()) {
        CO_ASSIGN_OR_RETURN(const std::string becomes, new_condition(target, rows, row));
        batch->watched += " or " + becomes;
      }
      plan::ChangeTarget one = target;
      one.before += assignments;
      CO_RETURN_IF_ERROR(co_await flush_change(one, *batch, out, touched, written));
      continue;
    }
    if (batch->rows < kStatementRows && batch->conditions.size() < kStatementBytes) continue;
    CO_RETURN_IF_ERROR(co_await flush_change(target, *batch, out, touched, written));
  }
  for (auto& batch : batches) {
    CO_RETURN_IF_ERROR(co_await flush_change(target, batch, out, touched, written));
  }
  if (!target.after.starts_with(" returning") || out.returned) co_return Status{};
  // No row at all: the columns of the answer.
  std::string none = target.before + " where false" + target.after;
  CO_ASSIGN_OR_RETURN(const auto shards,
                      resolve({.kind = plan::Route::Kind::kAllShards, .keyspace = target.keyspace}, {}));
  (void)co_await send_change({shards.front(), std::move(none)}, out, 0, touched);
  co_return Status{};
}

// What would do other things when a row is deleted here and inserted there than when it is updated.
net::Task<Status> ClientSession::check_move(const plan::ChangeTarget& target) {
  CO_ASSIGN_OR_RETURN(const auto shards,
                      resolve({.kind = plan::Route::Kind::kAllShards, .keyspace = target.keyspace}, {}));
  const std::string name = plan::string_literal("utf8mb4", target.table);
  CO_ASSIGN_OR_RETURN(
      const auto found,
      co_await ask(
          {shards.front(),
           fmt::format("select count(*) from (select 1 from information_schema.triggers where event_object_schema = "
                       "database() and event_object_table = {0} union all select 1 from "
                       "information_schema.key_column_usage where table_schema = database() and table_name = {0} "
                       "and referenced_table_name is not null union all select 1 from "
                       "information_schema.key_column_usage where referenced_table_schema = database() and "
                       "referenced_table_name = {0}) as found",
                       name)}));
  if (found.text(0, 0) == "0") co_return Status{};
  co_return fail(Code::kUnimplemented,
                 fmt::format("VT12001: unsupported: a new value of a column that places the row, in {}.{}, which has "
                             "triggers or foreign keys",
                             target.keyspace, target.table));
}

// An update of one row, after which it may belong to another shard. It is changed where it is, as its server does that;
// if it belongs elsewhere then, it is deleted there and inserted here as it has become.
net::Task<Status> ClientSession::move_row(const plan::ChangeTarget& target, const net::QueryResult& rows,
                                          const std::vector<std::optional<std::string>>& row, shard::Target from,
                                          const std::string& condition, ChangeOutcome& out, Touched* touched,
                                          std::vector<LookupKey>& written) {
  const plan::ChangeTarget::Move& move = *target.move;
  const uint64_t matched = out.matched;
  const uint64_t changed = out.changed;
  const uint64_t affected = out.affected;
  const bool ignores = !target.exact;
  const std::string savepoint = sql::quote_identifier(kMoveSavepoint);
  if (ignores) {
    // Behind the statement's own, which the first change there sets.
    CO_ASSIGN_OR_RETURN(const auto set, co_await send_change({from, "savepoint " + savepoint}, out, 0, touched));
  }
  Watched before;
  if (target.watch != nullptr) {
    plan::ChangeTarget plain;
    plain.key = target.key;
    const std::string old = plan::key_condition(plain, literals_of(target.key, target.key_at, row));
    CO_ASSIGN_OR_RETURN(before, co_await read_watched(*target.watch, from, old, *touched));
  }
  CO_RETURN_IF_ERROR(co_await send_change({from, target.before + " where " + condition}, out, 0, touched));
  if (out.matched - matched != 1) co_return not_there(target, out.matched - matched, 1);
  if (out.changed == changed) co_return Status{};
  CO_ASSIGN_OR_RETURN(const std::string becomes, new_condition(target, rows, row));
  const std::string table = sql::quote_identifier_if_needed(target.table);
  const std::string now_is = " where " + becomes;
  std::string read = "select ";
  std::string insert = "insert into " + table + "(";
  for (const auto& column : move.columns) {
    if (&column != &move.columns.front()) read += ", ", insert += ", ";
    const std::string name = sql::quote_identifier(column.name);
    read += schema::select_text(schema::form_of(column), name);
    insert += name;
  }
  read += " from " + table + now_is + " for update";
  CO_ASSIGN_OR_RETURN(const auto now, co_await ask({from, read}, "", nullptr, 0, Digits::kAll));
  if (now.rows.size() != 1) {
    co_return fail(
        Code::kUnimplemented,
        "VT12001: unsupported: a new value of a column that places the row, which its server changes to fit the "
        "column; write it as it is stored");
  }
  const auto& cells = now.rows.front();
  std::vector<mysql::Value> values;
  for (const auto& column : target.place) {
    const auto at = std::ranges::find(move.columns, column.name, &schema::Column::name);
    if (at == move.columns.end())
      co_return fail(Code::kUnimplemented, "VT12001: unsupported: a generated column that places the row");
    CO_ASSIGN_OR_RETURN(auto value, plan::place_value(column, cells[static_cast<size_t>(at - move.columns.begin())]));
    values.push_back(std::move(value));
  }
  CO_ASSIGN_OR_RETURN(const auto to, co_await place_key(target.keyspace, target.vindex, std::move(values)));
  if (to == from) co_return co_await learn_of(target, before, to, becomes, touched, written);
  insert += ") values (";
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) insert += ", ";
    insert += plan::form_literal(move.columns[i], cells[i]);
  }
  insert += ")";
  ChangeOutcome ignored;  // One row has been changed, whatever that takes.
  ignored.own_transaction = out.own_transaction;
  ignored.guarded = out.guarded;
  ignored.done = out.done;
  auto removed = co_await send_change({from, "delete from " + table + now_is}, ignored, 0, touched);
  if (removed.ok()) removed = co_await send_change({to, std::move(insert)}, ignored, 0, touched);
  out.done = std::move(ignored.done);
  if (!removed.ok() && ignores && removed.error().mysql_errno() == mysql::errnos::kDupEntry) {
    // UPDATE IGNORE: another row is there, and this one stays as it was.
    CO_ASSIGN_OR_RETURN(const auto undone, co_await ask({from, "rollback to savepoint " + savepoint}));
    out.affected = affected;
    out.changed = changed;
    co_return Status{};
  }
  if (!removed.ok()) co_return std::move(removed).error();
  CO_ASSIGN_OR_RETURN(const auto there, co_await ask({to, std::move(read)}, "", nullptr, 0, Digits::kAll));
  if (there.rows != now.rows) {
    co_return fail(Code::kUnimplemented, fmt::format("VT12001: unsupported: a row of {}.{} would not be the same on {}",
                                                     target.keyspace, target.table, to.shard));
  }
  co_return co_await learn_of(target, before, to, becomes, touched, written);
}

// What lookups learn of a row that may have moved.
net::Task<Status> ClientSession::learn_of(const plan::ChangeTarget& target, const Watched& before,
                                          const shard::Target& now, const std::string& condition, Touched* touched,
                                          std::vector<LookupKey>& written) {
  if (target.watch == nullptr) co_return Status{};
  CO_ASSIGN_OR_RETURN(const Watched after, co_await read_watched(*target.watch, now, condition, *touched));
  CO_ASSIGN_OR_RETURN(auto keys, learn(before, after, true));
  std::ranges::move(keys, std::back_inserter(written));
  co_return Status{};
}

// Where a row belongs, also by the lookup of another table.
net::Task<Result<shard::Target>> ClientSession::place_key(const std::string& keyspace,
                                                          const std::shared_ptr<const shard::Vindex>& vindex,
                                                          std::vector<mysql::Value> values) {
  if (vindex == nullptr || shard::placing_lookup(*vindex) == nullptr) {
    co_return place_row(keyspace, vindex, std::move(values));
  }
  CO_ASSIGN_OR_RETURN(auto place, co_await place_by_id(keyspace, vindex, std::move(values)));
  co_return std::move(place.target);
}

// ---- INSERT ---------------------------------------------------------------------------------------------------------

namespace {

// What is stored in a column of the vindex, of a result's cell.
Result<mysql::Value> stored_key(const plan::InsertRows& insert, const plan::InsertRows::Key& key,
                                const mysql::ColumnDef& from, const std::optional<std::string>& cell) {
  if (!cell) return mysql::Value::null();
  mysql::Value value = mysql::make_value(from, mysql::Cell(*cell));
  const auto* collation = mysql::find_collation(from.collation);
  const plan::Storing storing{.type = key.type,
                              .column = key.column,
                              .charset = collation == nullptr ? "unknown" : collation->charset,
                              .strict = insert.strict,
                              .integers = plan::takes_integers(insert.vindex.get())};
  return plan::stored_value(storing, std::move(value), key.name);
}

bool asks_for_value(const mysql::ColumnDef& from, const std::optional<std::string>& cell, bool zero_is_id) {
  return !cell || (!zero_is_id && mysql::is_integer_type(from.type) && *cell == "0");
}

}  // namespace

// One row's text and the shard that it goes to. `generated`: the value for its column without one.
Result<ClientSession::PlacedRow> ClientSession::place_insert(const plan::InsertRows& insert,
                                                             const plan::InsertRows::Rows& rows,
                                                             const net::QueryResult& found,
                                                             const std::vector<std::optional<std::string>>& row,
                                                             std::optional<int64_t> generated) {
  PlacedRow out;
  out.text = "(";
  for (size_t i = 0; i < rows.cells.size(); ++i) {
    if (i > 0) out.text += ", ";
    const auto& cell = rows.cells[i];
    if (generated && insert.generated == i) {
      out.text += std::to_string(*generated);
    } else if (!cell.at) {
      out.text += cell.text;
    } else {
      ASSIGN_OR_RETURN(const auto literal,
                       plan::result_literal(found.columns[*cell.at], row[*cell.at], insert.columns[i]));
      out.text += literal;
    }
  }
  if (generated && !insert.generated) out.text += (rows.cells.empty() ? "" : ", ") + std::to_string(*generated);
  out.text += ")";
  std::vector<mysql::Value> values;
  for (const auto& key : insert.key) {
    if (generated && key.at == insert.generated) {
      values.push_back(mysql::Value::of_int(*generated));
      continue;
    }
    const auto& cell = rows.cells[*key.at];
    if (cell.at) {
      ASSIGN_OR_RETURN(auto value, stored_key(insert, key, found.columns[*cell.at], row[*cell.at]));
      values.push_back(std::move(value));
    } else if (cell.value) {
      values.push_back(*cell.value);
    } else {
      return fail(Code::kInternal, "VT13001: [BUG] a row without the value that places it");
    }
    if (!values.back().is_null()) continue;
    if (!insert.strict) {
      return fail(Code::kUnimplemented, "VT12001: unsupported: NULL as the value of the primary vindex column " +
                                            key.name +
                                            ", which the server may change (INSERT IGNORE, or an sql_mode that is not "
                                            "strict)");
    }
    return fail(Code::kInvalidArgument, "Column '" + key.name + "' cannot be null").with_mysql(1048, "23000");
  }
  out.key = std::move(values);
  if (insert.with_lookups != nullptr) RETURN_IF_ERROR(note_lookups(insert, rows, found, row, generated, out));
  return out;
}

// The values of a row's lookup columns, and what may be in its way.
Status ClientSession::note_lookups(const plan::InsertRows& insert, const plan::InsertRows::Rows& rows,
                                   const net::QueryResult& found, const Row& row, std::optional<int64_t> generated,
                                   PlacedRow& out) {
  for (const auto& places : insert.lookups) {
    auto& values = out.lookups.emplace_back();
    for (const auto& place : places) {
      if (generated && (!place || insert.generated == place)) {
        values.push_back(mysql::Value::of_int(*generated));
        continue;
      }
      const auto& cell = rows.cells[*place];
      if (cell.at) {
        const auto& of = row[*cell.at];
        auto value = mysql::make_value(found.columns[*cell.at], of ? mysql::Cell(*of) : mysql::Cell());
        ASSIGN_OR_RETURN(value, plan::lookup_cell(insert.columns[*place], std::move(value), insert.strict));
        values.push_back(std::move(value));
      } else if (cell.value) {
        values.push_back(*cell.value);
      } else {
        return fail(Code::kUnimplemented,
                    "VT12001: unsupported: this value of the lookup vindex column " + insert.columns[*place].name);
      }
    }
  }
  if (insert.watch == nullptr) return {};
  std::vector<std::string> literals(rows.cells.size());
  for (size_t i = 0; i < literals.size(); ++i) {
    const auto& cell = rows.cells[i];
    if (generated && insert.generated == i) continue;
    if (!cell.at) {
      if (cell.value || insert.conflict == plan::ShardedInsert::Conflict::kReplace) literals[i] = cell.text;
      continue;
    }
    ASSIGN_OR_RETURN(literals[i], plan::result_literal(found.columns[*cell.at], row[*cell.at], insert.columns[i]));
  }
  out.conflicts = plan::conflict_condition(*insert.watch, literals);
  return {};
}

net::Task<Status> ClientSession::insert_rows(const plan::InsertRows& insert, ChangeOutcome& out, Touched& touched,
                                             base::MemoryBudget::Hold& memory) {
  if (insert.with_lookups != nullptr) CO_RETURN_IF_ERROR(may_watch());
  out.ignore = insert.ignore;
  out.tells_records = insert.query;
  out.takes_servers_insert_id = insert.servers_insert_id;
  std::vector<net::QueryResult> found(insert.rows.size());
  uint64_t needed = 0;
  // Whether the row gets a value of the sequence.
  const auto generates = [&](size_t source, const std::vector<std::optional<std::string>>& row) {
    if (insert.sequence_table.empty()) return false;
    if (!insert.generated) return true;
    const auto& cell = insert.rows[source].cells[*insert.generated];
    if (!cell.at) return cell.wants_value;
    return asks_for_value(found[source].columns[*cell.at], row[*cell.at], insert.zero_is_id);
  };
  for (size_t i = 0; i < insert.rows.size(); ++i) {
    if (!insert.rows[i].source) {
      found[i].rows.emplace_back();
    } else {
      CO_ASSIGN_OR_RETURN(found[i], co_await source_rows(*insert.rows[i].source, memory));
      if (insert.rows[i].source->plan->asks_insert_id) out.servers_insert_id = last_insert_id_;
      CO_RETURN_IF_ERROR(plan::make_bits_digits(found[i].columns, found[i].rows));
      const auto asked =
          std::ranges::count_if(insert.rows[i].cells, [](const auto& cell) { return cell.at.has_value(); });
      if (insert.query && found[i].columns.size() != static_cast<size_t>(asked)) {
        co_return fail(Code::kInvalidArgument, "Column count doesn't match value count at row 1")
            .with_mysql(1136, "21S01");
      }
    }
    for (const auto& row : found[i].rows) needed += generates(i, row) ? 1 : 0;
  }
  if (insert.strict_query) CO_RETURN_IF_ERROR(as_in_a_change());
  int64_t next = 0;
  if (needed > 0 && !insert.sequence_problem.empty())
    co_return fail(Code::kFailedPrecondition, insert.sequence_problem);
  if (needed > 0) {
    CO_ASSIGN_OR_RETURN(next, co_await next_values(insert.sequence_keyspace, insert.sequence_table, needed));
    out.last_insert_id = static_cast<uint64_t>(next);
  }
  InsertBatches batches(insert.prefix, insert.suffix);
  std::vector<PlacedRow> watched;
  std::map<std::string, Place> places;  // Of rows that the lookup of another table places.
  const bool by_lookup = insert.vindex != nullptr && shard::placing_lookup(*insert.vindex) != nullptr;
  for (size_t i = 0; i < insert.rows.size(); ++i) {
    for (const auto& row : found[i].rows) {
      const auto generated = generates(i, row) ? std::optional(next++) : std::nullopt;
      CO_ASSIGN_OR_RETURN(auto placed, place_insert(insert, insert.rows[i], found[i], row, generated));
      if (by_lookup || insert.with_lookups != nullptr) {
        Place& place = places[by_lookup ? placed.key[0].bytes : ""];
        if (!by_lookup || place.target.keyspace.empty()) {
          CO_ASSIGN_OR_RETURN(place, co_await place_by_id(insert.keyspace, insert.vindex, placed.key));
        }
        placed.target = place.target;
        placed.id = place.id;
      } else {
        CO_ASSIGN_OR_RETURN(placed.target, place_row(insert.keyspace, insert.vindex, placed.key));
      }
      if (insert.with_lookups != nullptr) {
        watched.push_back(std::move(placed));
        continue;
      }
      if (auto full = batches.add(placed.target, placed.text)) {
        CO_RETURN_IF_ERROR(co_await send_batch(std::move(*full), out));
      }
    }
  }
  CO_RETURN_IF_ERROR(co_await insert_watched(insert, std::move(watched), out, touched));
  for (auto& batch : batches.rest()) CO_RETURN_IF_ERROR(co_await send_batch(std::move(batch), out));
  out.order_returned();
  co_return Status{};
}

net::Task<Status> ClientSession::send_batch(InsertBatch batch, ChangeOutcome& out) {
  auto result = co_await send_change({std::move(batch.target), std::move(batch.text)}, out, batch.places.size());
  if (!result.ok()) co_return std::move(result).error();
  out.note_places(batch.places, result->rows.size());
  co_return Status{};
}

}  // namespace vitrail::gate
