// PREPARE, EXECUTE and DEALLOCATE as text, where no single server could keep the statement: the gate keeps its text.
#include <fmt/core.h>

#include "base/text.h"
#include "gate/session.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "plan/planner.h"
#include "sql/literal.h"
#include "sql/names.h"
#include "sql/printer.h"

namespace vitrail::gate {
namespace {

constexpr uint16_t kWrongArguments = 1210;
constexpr uint16_t kNotPreparable = 1295;

Error unknown_name(std::string_view name, std::string_view command) {
  return fail(Code::kInvalidArgument, fmt::format("Unknown prepared statement handler ({}) given to {}", name, command))
      .with_mysql(mysql::errnos::kUnknownStmtHandler, "HY000");
}

Error not_prepared(sql::StatementKind kind) {
  return fail(Code::kUnimplemented,
              fmt::format("VT12001: unsupported: PREPARE and EXECUTE of {} in a keyspace of several "
                          "shards; name one",
                          sql::statement_kind_name(kind)));
}

// What is run on several shards; the rest concerns a server.
bool may_run(sql::StatementKind kind) {
  using enum sql::StatementKind;
  return kind == kSelect || kind == kInsert || kind == kReplace || kind == kUpdate || kind == kDelete || kind == kDo ||
         kind == kSet || kind == kShow || kind == kCommit || kind == kRollback;
}

// What runs when it is executed.
Result<std::string> executed_text(std::string_view text, std::span<const mysql::Value> values) {
  ASSIGN_OR_RETURN(auto ast, sql::parse(text));
  if (!may_run(ast.kind())) return not_prepared(ast.kind());
  if (ast.parameter_count() != values.size()) {
    return fail(Code::kInvalidArgument, "Incorrect arguments to EXECUTE").with_mysql(kWrongArguments, "HY000");
  }
  if (values.empty()) return std::string(text);
  sql::keep_column_names(ast);
  sql::PrintOptions options;
  options.expr = plan::parameter_printer(ast.statement(), values);
  return sql::print(ast.statement(), options);
}

}  // namespace

bool ClientSession::several_shards() const {
  if (!shard_.empty()) return false;
  const auto* shards = shared_.view()->find_shards(keyspace_, tablet_type_);
  return shards != nullptr && shards->size() > 1;
}

net::Task<Result<mysql::Value>> ClientSession::value_now(const sql::Ast& ast, const sql::Expr& expr) {
  if (const auto* variable = sql::as<sql::UserVariable>(&expr)) {
    const auto value = user_variables_.find(base::to_lower(variable->name));
    co_return value == user_variables_.end() ? mysql::Value::null() : value->second;
  }
  co_return co_await evaluate(std::string(expr.span.of(ast.text())));
}

net::Task<Result<std::string>> ClientSession::prepared_source(const sql::Ast& ast, const sql::Expr& source) {
  std::string text;
  if (const auto* literal = sql::as<sql::Literal>(&source);
      literal != nullptr && literal->literal == sql::LiteralKind::kString &&
      sql::append_bytes(sql::TokenType::kString, literal->text, false, text)) {
    co_return as_read(std::move(text));
  }
  CO_ASSIGN_OR_RETURN(auto value, co_await value_now(ast, source));
  co_return as_read(value.is_null() ? std::string("NULL") : std::move(value.bytes));
}

// A text inside of a text: read as the session reads.
Result<std::string> ClientSession::as_read(std::string text) const {
  if (!settings_.reading().any()) return text;
  ASSIGN_OR_RETURN(auto plain, sql::without_modes(text, settings_.reading()));
  return plain ? std::move(*plain) : std::move(text);
}

net::Task<std::optional<RunResult>> ClientSession::run_text_prepared(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  const auto* what = ast.ok() ? sql::statement_as<sql::PreparedStatement>(&ast->statement()) : nullptr;
  if (what == nullptr) co_return std::nullopt;
  using enum sql::StatementKind;
  const std::string name = base::to_lower(what->name.text);
  const auto found = text_prepared_.find(name);
  const bool known = found != text_prepared_.end() && !what->name.empty();
  const bool here = several_shards() || settings_.reading().any();  // A server would read the text otherwise.
  if (!here && !known) co_return std::nullopt;
  if (what->kind == kDeallocate) {
    if (!known) co_return RunResult::failed(unknown_name(what->name.text, "DEALLOCATE PREPARE"));
    memory_.give(base::MemoryBudget::Kind::kPrepared, found->second.size());
    text_prepared_.erase(found);
    Status sent = co_await send_ok({});
    co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
  }
  if (what->kind == kPrepare) {
    if (!here) co_return std::nullopt;  // The name is the server's from now on.
    co_return co_await prepare_text(name, *ast, *what->source);
  }
  std::string text;
  if (what->source != nullptr) {
    auto source = co_await prepared_source(*ast, *what->source);
    if (!source.ok()) co_return RunResult::failed(std::move(source).error());
    text = std::move(*source);
  } else if (known) {
    text = found->second;
  } else {
    co_return RunResult::failed(unknown_name(what->name.text, "EXECUTE"));
  }
  std::vector<mysql::Value> values;
  for (const sql::Expr* expr : what->arguments) {
    auto value = co_await value_now(*ast, *expr);
    if (!value.ok()) co_return RunResult::failed(std::move(value).error());
    values.push_back(std::move(*value));
  }
  auto executed = executed_text(text, values);
  if (!executed.ok()) co_return RunResult::failed(std::move(executed).error());
  std::vector<sql::LiteralPosition> literals;
  Statement inner;
  scan_text(*executed, literals, inner);
  co_return co_await run_once(inner);
}

net::Task<std::optional<RunResult>> ClientSession::prepare_text(std::string name, const sql::Ast& ast,
                                                                const sql::Expr& from) {
  if (const auto old = text_prepared_.find(name);
      old != text_prepared_.end()) {  // Gone, whatever becomes of the new one.
    memory_.give(base::MemoryBudget::Kind::kPrepared, old->second.size());
    text_prepared_.erase(old);
  }
  auto source = co_await prepared_source(ast, from);
  if (!source.ok()) co_return RunResult::failed(std::move(source).error());
  auto inner = sql::parse(*source);
  if (!inner.ok()) co_return RunResult::failed(std::move(inner).error());
  if (sql::statement_as<sql::PreparedStatement>(&inner->statement()) != nullptr) {
    co_return RunResult::failed(
        fail(Code::kInvalidArgument, "This command is not supported in the prepared statement protocol yet")
            .with_mysql(kNotPreparable, "HY000"));
  }
  if (!may_run(inner->kind())) co_return RunResult::failed(not_prepared(inner->kind()));
  if (Status room = memory_.take(base::MemoryBudget::Kind::kPrepared, source->size()); !room.ok()) {
    co_return RunResult::failed(std::move(room).error());
  }
  text_prepared_[std::move(name)] = std::move(*source);
  Status sent = co_await send_ok({});
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

}  // namespace vitrail::gate
