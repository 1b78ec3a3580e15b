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

Result<std::string> ClientSession::prepared_source(const sql::Expr* source) const {
  if (const auto* variable = sql::as<sql::UserVariable>(source)) {
    const auto value = user_variables_.find(base::to_lower(variable->name));
    return value == user_variables_.end() || value->second.is_null() ? std::string("NULL") : value->second.bytes;
  }
  const auto* literal = sql::as<sql::Literal>(source);
  std::string text;
  if (literal == nullptr || literal->literal != sql::LiteralKind::kString ||
      !sql::append_bytes(sql::TokenType::kString, literal->text, false, text)) {
    return fail(Code::kUnimplemented, "VT12001: unsupported: PREPARE from anything but a string or a user variable");
  }
  return text;
}

net::Task<std::optional<RunResult>> ClientSession::run_text_prepared(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  const auto* what = ast.ok() ? sql::statement_as<sql::PreparedStatement>(&ast->statement()) : nullptr;
  if (what == nullptr) co_return std::nullopt;
  using enum sql::StatementKind;
  const std::string name = base::to_lower(what->name.text);
  const auto found = text_prepared_.find(name);
  const bool known = found != text_prepared_.end() && !what->name.empty();
  if (!several_shards() && !known) co_return std::nullopt;
  if (what->kind == kDeallocate) {
    if (!known) co_return RunResult::failed(unknown_name(what->name.text, "DEALLOCATE PREPARE"));
    memory_.give(base::MemoryBudget::Kind::kPrepared, found->second.size());
    text_prepared_.erase(found);
    Status sent = co_await send_ok({});
    co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
  }
  if (what->kind == kPrepare) {
    if (!several_shards()) co_return std::nullopt;  // The name is the server's from now on.
    co_return co_await prepare_text(name, what->source);
  }
  std::string text;
  if (what->source != nullptr) {
    auto source = prepared_source(what->source);
    if (!source.ok()) co_return RunResult::failed(std::move(source).error());
    text = std::move(*source);
  } else if (known) {
    text = found->second;
  } else {
    co_return RunResult::failed(unknown_name(what->name.text, "EXECUTE"));
  }
  std::vector<mysql::Value> values;
  for (const sql::Expr* expr : what->arguments) {
    const auto* variable = sql::as<sql::UserVariable>(expr);
    if (variable == nullptr) {
      co_return RunResult::failed(
          fail(Code::kUnimplemented, "VT12001: unsupported: EXECUTE ... USING anything but user variables"));
    }
    const auto value = user_variables_.find(base::to_lower(variable->name));
    values.push_back(value == user_variables_.end() ? mysql::Value::null() : value->second);
  }
  auto executed = executed_text(text, values);
  if (!executed.ok()) co_return RunResult::failed(std::move(executed).error());
  std::vector<sql::LiteralPosition> literals;
  Statement inner;
  scan_text(*executed, literals, inner);
  co_return co_await run_once(inner);
}

net::Task<std::optional<RunResult>> ClientSession::prepare_text(std::string name, const sql::Expr* from) {
  if (const auto old = text_prepared_.find(name);
      old != text_prepared_.end()) {  // Gone, whatever becomes of the new one.
    memory_.give(base::MemoryBudget::Kind::kPrepared, old->second.size());
    text_prepared_.erase(old);
  }
  auto source = prepared_source(from);
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
