// CREATE TABLE ... SELECT over shards: the table is made on each of them, empty, and filled by INSERT ... SELECT.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "gate/session.h"
#include "mysql/convert.h"
#include "mysql/errors.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr auto kColumnsMax = 10s;  // For the tablets to tell of the new table.

}  // namespace

// On each shard; `done`: where it is there.
net::Task<Status> ClientSession::create_empty(const plan::CreateSelect& what, std::vector<shard::Target> targets,
                                              std::vector<shard::Target>& done) {
  CO_ASSIGN_OR_RETURN(const auto replaced, with_session_values(what.create));
  for (auto& target : targets) {
    const auto made = co_await ask({target, replaced ? *replaced : what.create});
    if (!made.ok()) co_return Status(made.error());
    done.push_back(std::move(target));
  }
  co_return Status{};
}

// Until it is known here which columns the table has.
net::Task<Status> ClientSession::await_columns(const plan::CreateSelect& what, std::span<const std::string> columns) {
  const auto deadline = base::system_clock().now() + kColumnsMax;
  for (;;) {
    const auto view = shared_.view();
    const auto* known =
        view->schema == nullptr ? nullptr : schema::find_table(*view->schema, what.keyspace, what.table);
    const bool all = known != nullptr && std::ranges::all_of(columns, [&](const std::string& column) {
                       return known->find(column) != nullptr;
                     });
    if (all) co_return Status{};
    if (killed_) {
      co_return fail(Code::kCanceled, "Query execution was interrupted")
          .with_mysql(mysql::errnos::kQueryInterrupted, "70100");
    }
    if (base::system_clock().now() >= deadline) {
      co_return fail(Code::kUnavailable,
                     fmt::format("the tablets have not told of the columns of {}.{} (--schema-change-signal)",
                                 what.keyspace, what.table));
    }
    const net::Wait wait = net::Wait::within(50ms, interrupt_->token());
    (void)co_await shared_.view_changed.wait(wait);
  }
}

net::Task<RunResult> ClientSession::create_and_fill(const plan::Plan& plan, const Statement& statement) {
  const plan::CreateSelect& what = *plan.create_select;
  if (statement.scan.has_user_variable) {
    co_return RunResult::failed(fail(
        Code::kUnimplemented, "VT12001: unsupported: user variables in CREATE TABLE ... SELECT in a sharded keyspace"));
  }
  auto targets = resolve(plan.route, statement);
  if (!targets.ok()) co_return refused(std::move(targets).error());
  // Which columns the query gives.
  const std::string none = what.query + " limit 0";
  std::vector<sql::LiteralPosition> literals;
  Statement asked;
  scan_text(none, literals, asked);
  const auto shape = co_await run_inside(asked);
  if (!shape.ok()) co_return refused(shape.error());
  std::vector<std::string> columns;
  std::string fill = "insert into ";
  mysql::append_sql_identifier(fill, what.keyspace);
  mysql::append_sql_identifier(fill += ".", what.table);
  for (const auto& column : shape->columns) {
    fill += columns.empty() ? "(" : ", ";
    mysql::append_sql_identifier(fill, column.name);
    columns.push_back(column.name);
  }
  fill += ") " + what.query;

  savepoints_.clear();
  shared_.view_queries.clear();
  std::vector<shard::Target> done;
  Status made = co_await create_empty(what, std::move(*targets), done);
  if (made.ok()) made = co_await await_columns(what, columns);
  RunResult filled = made.ok() ? RunResult::answered() : RunResult::failed(std::move(made).error());
  if (filled.verdict == RunResult::Verdict::kAnswered) {
    Statement inner;
    scan_text(fill, literals, inner);
    const bool autocommit = std::exchange(autocommit_, true);  // Like DDL it ends with a commit.
    filled = co_await run_once(inner);
    autocommit_ = autocommit;
  }
  if (filled.verdict == RunResult::Verdict::kAnswered || filled.verdict == RunResult::Verdict::kHangUp) {
    co_return filled;
  }
  // As on one server: without its rows there is no table.
  std::string drop = "drop table if exists ";
  mysql::append_sql_identifier(drop, what.table);
  Error error = std::move(*filled.error);
  for (const auto& target : done) {
    const auto dropped = co_await ask({target, drop});
    if (dropped.ok()) continue;
    co_return RunResult::failed(std::move(error)
                                    .with_context(fmt::format("the table {} is left behind, empty", what.table))
                                    .with_effect(Effect::kApplied));
  }
  co_return RunResult::failed(std::move(error));
}

}  // namespace vitrail::gate
