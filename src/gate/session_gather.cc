// One result of the rows of several shards, passed on as they come.
#include <fmt/core.h>

#include <algorithm>

#include "exec/compare.h"
#include "exec/merge.h"
#include "exec/row_merge.h"
#include "gate/session.h"
#include "gate/session_stream.h"
#include "gate/shown_names.h"
#include "gate/shown_parts.h"
#include "mysql/errors.h"
#include "plan/finish.h"
#include "plan/planner.h"

namespace vitrail::gate {
namespace {

constexpr uint16_t kWrongFieldWithGroup = 1055;  // ER_WRONG_FIELD_WITH_GROUP

// Whether texts of such a column are not all that its numbers are.
bool loses_digits(const mysql::ColumnDef& column) {
  constexpr uint8_t kAll = 31;
  return column.type == mysql::FieldType::kFloat ||
         (column.type == mysql::FieldType::kDouble && column.decimals < kAll);
}

}  // namespace

// The shards' rows, asked for in the form in which they can be merged.
struct ClientSession::OpenRows {
  const plan::Merge* merge = nullptr;
  std::shared_ptr<const plan::Plan> refined;  // Keeps `merge`, when it is not the plan's.
  std::unique_ptr<ShardStreams> streams;
};

// What is not put together here one server may put together; else `refusal` is told.
net::Task<RunResult> ClientSession::finish_instead(const Statement& statement, Error refusal) {
  auto ast = sql::parse(statement.text);
  const auto view = shared_.view();
  auto context = plan_context(*view, statement);
  if (!ast.ok() || !context.ok() || statement.scan.kind != sql::StatementKind::kSelect) {
    co_return RunResult::failed(std::move(refusal));
  }
  auto finish = plan::plan_finish(*ast, *context);
  if (!finish.ok()) co_return RunResult::failed(std::move(refusal));
  co_return co_await run_finish(**finish, statement);
}

net::Task<RunResult> ClientSession::gather(const plan::Plan& plan, const Statement& statement,
                                           std::vector<ShardText> texts) {
  const bool variables = statement.scan.kind == sql::StatementKind::kShow && shows_session_variables(statement.text);
  if (!plan.names.empty() || variables || plan.shown_parts != nullptr) {
    co_return co_await gather_named(plan, std::move(texts), variables);
  }
  if (texts.size() > 1 && settings_.values().contains("sql_select_limit")) {
    // Each shard would obey it by itself.
    co_return co_await finish_instead(
        statement,
        fail(Code::kUnimplemented, "VT12001: unsupported: sql_select_limit in a statement over several shards"));
  }
  if (some_shards_do(statement)) co_return co_await gather_some(plan, statement, std::move(texts));
  co_return co_await gather_rows(plan, statement, std::move(texts));
}

// SCATTER_ERRORS_AS_WARNINGS. What locks rows must have them all; so must a transaction that one shard may have ended.
bool ClientSession::some_shards_do(const Statement& statement) const {
  return directives_.scatter_errors_as_warnings && statement.scan.kind == sql::StatementKind::kSelect &&
         !in_transaction_;
}

void ClientSession::warn_of(const Error& error) {
  const mysql::ErrPacket packet = mysql::to_err_packet(error);
  add_warning("Warning", packet.code, packet.message);
}

// Of those that answer. Which ones do is known when all have ended: their rows are kept until then.
net::Task<RunResult> ClientSession::gather_some(const plan::Plan& plan, const Statement& statement,
                                                std::vector<ShardText> texts) {
  base::MemoryBudget::Hold memory(memory_, base::MemoryBudget::Kind::kResults);
  const plan::Merge* merge = &plan.merge;
  std::shared_ptr<const plan::Plan> refined;
  auto digits = Digits::kOfText;
  std::optional<Result<std::vector<net::QueryResult>>> results;
  for (;;) {
    results = co_await ask_all(texts, memory, digits, true);
    if (!results->ok()) co_return refused(std::move(*results).error());
    const auto& columns = (*results)->front().columns;
    std::map<uint32_t, plan::KeyForm> forms;
    if (refined == nullptr) forms = exec::refined_forms(*merge, columns);
    const bool all_digits =
        statement.binary() && digits == Digits::kOfText && std::ranges::any_of(columns, loses_digits);
    if (forms.empty() && !all_digits) break;
    clear_warnings();  // They are told again.
    if (all_digits) digits = Digits::kAll;
    if (forms.empty()) continue;
    auto again = plan_refined(statement, std::move(forms));
    if (!again.ok()) co_return RunResult::failed(std::move(again).error());
    refined = std::move(again->plan);
    merge = &refined->merge;
    for (auto& what : texts) what.text = again->text;
  }
  auto merged = exec::merge_results(*merge, std::move(**results), max_rows());
  if (!merged.ok()) co_return RunResult::failed(std::move(merged).error());
  answered_with(merged->found_rows);
  row_count_ = -1;
  Status sent = co_await send_result(merged->result);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

// Short results in which names of databases are translated, the variables that the gate holds are told, or what shards
// tell of their parts is put together.
net::Task<RunResult> ClientSession::gather_named(const plan::Plan& plan, std::vector<ShardText> texts, bool variables) {
  base::MemoryBudget::Hold memory(memory_, base::MemoryBudget::Kind::kResults);
  auto results = co_await ask_all(std::move(texts), memory);
  if (!results.ok()) {
    Error error = std::move(results).error();
    if (in_transaction_ && ends_transaction(error)) co_return co_await fail_transaction(std::move(error));
    co_return refused(std::move(error));
  }
  if (plan.shown_parts != nullptr) {
    net::QueryResult united = unite_shown(*plan.shown_parts, std::move(*results));
    results->clear();
    results->push_back(std::move(united));
    unite_warnings();
  }
  auto merged = exec::merge_results(plan.merge, std::move(*results), max_rows());
  if (!merged.ok()) co_return RunResult::failed(std::move(merged).error());
  show_names(plan.names, shared_.view()->databases, merged->result);
  if (variables) show_gate_variables(merged->result);
  if (plan.shown_parts != nullptr && !plan.shown_parts->condition.empty()) {
    auto chosen = co_await choose_shown(std::move(merged->result), plan.shown_parts->condition);
    if (!chosen.ok()) co_return RunResult::failed(std::move(chosen).error());
    merged->result = std::move(*chosen);
    merged->found_rows = merged->result.rows.size();
  }
  answered_with(merged->found_rows);
  row_count_ = -1;
  Status sent = co_await send_result(merged->result);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

net::Task<Status> ClientSession::open_rows(OpenRows& rows, const Statement& statement, std::vector<ShardText> texts) {
  auto digits = Digits::kOfText;
  for (;;) {
    const bool apart = rows.merge->aggregates.empty() && (rows.merge->distinct || !rows.merge->order_by.empty());
    rows.streams = std::make_unique<ShardStreams>(*this, texts, digits, apart);
    CO_RETURN_IF_ERROR(co_await rows.streams->open());
    if (!rows.streams->alike()) {
      co_await rows.streams->stop();
      co_return fail(Code::kFailedPrecondition, "the shards answer with different columns: their tables differ");
    }
    const auto& columns = rows.streams->columns();
    std::map<uint32_t, plan::KeyForm> forms;
    if (rows.refined == nullptr) forms = exec::refined_forms(*rows.merge, columns);
    const bool all_digits =
        statement.binary() && digits == Digits::kOfText && std::ranges::any_of(columns, loses_digits);
    if (forms.empty() && !all_digits) co_return Status{};
    co_await rows.streams->drain();
    clear_warnings();  // They are told again.
    if (all_digits) digits = Digits::kAll;
    if (forms.empty()) continue;
    // Types that the plan did not know (ENUM, FLOAT): asked again, in the form in which they can be compared.
    CO_ASSIGN_OR_RETURN(auto again, plan_refined(statement, std::move(forms)));
    rows.refined = std::move(again.plan);
    rows.merge = &rows.refined->merge;
    std::vector<shard::Target> targets;
    for (auto& what : texts) targets.push_back(std::move(what.target));
    CO_ASSIGN_OR_RETURN(texts, texts_for(rows.refined->route, statement, std::move(targets), again.text));
  }
}

net::Task<RunResult> ClientSession::gather_rows(const plan::Plan& plan, const Statement& statement,
                                                std::vector<ShardText> texts) {
  OpenRows rows{.merge = &plan.merge};
  Status opened = co_await open_rows(rows, statement, std::move(texts));
  base::MemoryBudget::Hold memory(memory_, base::MemoryBudget::Kind::kResults);
  ClientRows out(*this);
  std::optional<exec::RowMerge> merge;
  Status passed = std::move(opened);
  if (passed.ok() && rows.streams->columns().empty()) {
    co_await rows.streams->drain();
    row_count_ = 0;
    Status sent = co_await send_ok({});
    co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
  }
  if (passed.ok()) {
    ShardStreams& streams = *rows.streams;
    merge.emplace(*rows.merge, streams.columns(), exec::RowLimits{.max_rows = max_rows(), .memory = &memory});
    out.begin(std::span(merge->columns()).first(merge->visible()));
    using Form = exec::RowMerge::Form;
    switch (merge->form()) {
      case Form::kAsTheyCome: passed = co_await pass_rows(streams, *merge, out); break;
      case Form::kInOrder: passed = co_await pass_in_order(streams, *merge, out); break;
      case Form::kGroups: passed = co_await pass_groups(streams, *rows.merge, *merge, out); break;
    }
    co_await (passed.ok() ? streams.drain() : streams.stop());
  }
  if (passed.ok()) {
    answered_with(merge->found_rows());
    row_count_ = -1;
    passed = co_await out.end();
    co_return passed.ok() ? RunResult::answered() : RunResult::hang_up(std::move(passed).error());
  }
  Error error = std::move(passed).error();
  if (out.client_gone()) co_return RunResult::hang_up(std::move(error));
  const bool untouched = out.take_back();
  // By values or types that the plan did not know; or servers that have ONLY_FULL_GROUP_BY by themselves.
  const bool elsewhere = merge ? error.code() == Code::kUnimplemented
                               : error.mysql_errno() == kWrongFieldWithGroup && !rows.merge->group_by.empty();
  if (untouched && elsewhere) {
    clear_warnings();
    co_return co_await finish_instead(statement, std::move(error));
  }
  RunResult result = in_transaction_ && ends_transaction(error) ? co_await fail_transaction(std::move(error))
                                                                : refused(std::move(error));
  if (untouched || !result.error) co_return result;
  co_return co_await out.end_with(std::move(*result.error));
}

net::Task<Status> ClientSession::pass_rows(ShardStreams& streams, exec::RowMerge& merge, ClientRows& out) {
  const size_t columns = merge.columns().size();
  const bool as_they_are = !merge.distinct() && merge.visible() == columns;
  std::vector<mysql::Cell> cells;
  for (size_t ended = 0; ended < streams.size() && !merge.done();) {
    const RowBatch batch = co_await streams.next();
    if (batch.error) co_return Error(*batch.error);
    for (size_t i = 0; i < batch.ends.size() && !merge.done(); ++i) {
      const std::string_view payload = batch.row(i);
      if (!as_they_are) {
        CO_RETURN_IF_ERROR(mysql::decode_text_row(payload, columns, cells));
        CO_ASSIGN_OR_RETURN(const bool fresh, merge.is_new(cells));
        if (!fresh) continue;
      }
      if (!merge.admit()) continue;
      CO_RETURN_IF_ERROR(as_they_are ? out.row(payload) : out.row(std::span(cells).first(merge.visible())));
      if (out.full()) CO_RETURN_IF_ERROR(co_await out.flush());
    }
    if (batch.last) ++ended;
  }
  co_return Status{};
}

net::Task<Status> ClientSession::pass_in_order(ShardStreams& streams, exec::RowMerge& merge, ClientRows& out) {
  struct Source {
    RowBatch batch;
    size_t at = 0;
  };
  std::vector<Source> sources(streams.size());
  exec::InOrder heads(merge, sources.size());
  std::vector<mysql::Cell> cells;
  const size_t columns = merge.columns().size();
  for (size_t shard = 0, begun = 0; !merge.done();) {
    Source& source = sources[shard];
    while (source.at >= source.batch.ends.size() && !source.batch.last) {
      source.batch = co_await streams.next_of(shard);
      source.at = 0;
      if (source.batch.error) co_return Error(*source.batch.error);
    }
    if (source.at < source.batch.ends.size()) {
      CO_RETURN_IF_ERROR(mysql::decode_text_row(source.batch.row(source.at++), columns, cells));
      CO_RETURN_IF_ERROR(heads.push(shard, cells));
    }
    if (begun + 1 < sources.size()) {  // First one row of each.
      shard = ++begun;
      continue;
    }
    if (heads.empty()) break;
    CO_ASSIGN_OR_RETURN(const auto head, heads.pop());
    CO_ASSIGN_OR_RETURN(const bool fresh, merge.is_new(head.row));
    if (fresh && merge.admit()) {
      CO_RETURN_IF_ERROR(out.row(head.row.first(merge.visible())));
      if (out.full()) CO_RETURN_IF_ERROR(co_await out.flush());
    }
    shard = head.shard;
  }
  co_return Status{};
}

net::Task<Status> ClientSession::pass_groups(ShardStreams& streams, const plan::Merge& how, exec::RowMerge& merge,
                                             ClientRows& out) {
  std::vector<mysql::Cell> cells;
  for (size_t ended = 0; ended < streams.size();) {
    const RowBatch batch = co_await streams.next();
    if (batch.error) co_return Error(*batch.error);
    for (size_t i = 0; i < batch.ends.size(); ++i) {
      CO_RETURN_IF_ERROR(mysql::decode_text_row(batch.row(i), merge.columns().size(), cells));
      CO_RETURN_IF_ERROR(merge.add(cells, batch.shard));
    }
    if (batch.last) ++ended;
  }
  CO_RETURN_IF_ERROR(exec::check_warnings(how, streams.warnings()));
  CO_ASSIGN_OR_RETURN(const auto rows, merge.groups());
  for (const auto& row : rows) {
    const exec::Cells whole = exec::cells_of(row, cells);
    CO_ASSIGN_OR_RETURN(const bool fresh, merge.is_new(whole));
    if (!fresh || !merge.admit()) continue;
    CO_RETURN_IF_ERROR(out.row(whole.first(merge.visible())));
    if (out.full()) CO_RETURN_IF_ERROR(co_await out.flush());
  }
  co_return Status{};
}

}  // namespace vitrail::gate
