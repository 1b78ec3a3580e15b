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
constexpr uint16_t kReadsOnly = 1792;

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
  const auto found = text_prepared_->find(name);
  const bool known = found != text_prepared_->end() && !what->name.empty();
  const bool here = several_shards() || settings_.reading().any();  // A server would read the text otherwise.
  const auto at_server = servers_prepared_->find(name);
  const bool elsewhere = what->kind != kPrepare && what->source == nullptr && !known &&
                         at_server != servers_prepared_->end() && at_server->second.target != target();
  if (elsewhere) {  // A server of the keyspace that was used then has it.
    co_return co_await run_at(at_server->second.target, statement);
  }
  if (!here && !known) co_return std::nullopt;
  if (what->kind == kDeallocate) {
    if (!known) co_return RunResult::failed(unknown_name(what->name.text, "DEALLOCATE PREPARE"));
    drop_text_prepared(name);
    row_count_ = 0;
    Status sent = co_await send_ok({});
    co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
  }
  if (what->kind == kPrepare) {
    if (!here && known) drop_text_prepared(name);
    if (!here) co_return std::nullopt;  // The name is the server's from now on.
    co_return co_await prepare_text(name, *ast, *what->source);
  }
  end_noted_ = true;  // What runs tells of its own end.
  TextPrepared prepared;
  if (what->source != nullptr) {
    auto source = co_await prepared_source(*ast, *what->source);
    if (!source.ok()) co_return RunResult::failed(std::move(source).error());
    prepared = {std::move(*source), target()};
  } else if (known) {
    prepared = found->second;
  } else {
    co_return RunResult::failed(unknown_name(what->name.text, "EXECUTE"));
  }
  std::vector<mysql::Value> values;
  for (const sql::Expr* expr : what->arguments) {
    auto value = co_await value_now(*ast, *expr);
    if (!value.ok()) co_return RunResult::failed(std::move(value).error());
    values.push_back(std::move(*value));
  }
  co_return co_await execute_text(prepared, values);
}

net::Task<RunResult> ClientSession::execute_text(const TextPrepared& what, std::span<const mysql::Value> values) {
  auto executed = executed_text(what.text, values);
  if (!executed.ok()) co_return RunResult::failed(std::move(executed).error());
  std::vector<sql::LiteralPosition> literals;
  Statement inner;
  scan_text(*executed, literals, inner);
  RunResult result = co_await (what.target == target() ? run_once(inner) : run_at(what.target, inner));
  end_noted_ = false;
  note_end(inner, result);
  end_noted_ = true;
  co_return result;
}

Result<ClientSession::Away> ClientSession::go_to(const std::string& there) {
  Away from{keyspace_, shard_, tablet_type_, used_keyspace_};
  RETURN_IF_ERROR(set_target(there));
  used_keyspace_ = from.keyspace;
  return from;
}

void ClientSession::come_back(Away from) {
  use_target(std::move(from.keyspace), std::move(from.shard), std::move(from.tablet_type));
  used_keyspace_ = std::move(from.used_keyspace);
}

net::Task<RunResult> ClientSession::run_at(std::string there, const Statement& statement) {
  auto from = go_to(there);
  if (!from.ok()) co_return RunResult::failed(std::move(from).error());
  RunResult result = co_await run_once(statement);
  come_back(std::move(*from));
  co_return result;
}

void ClientSession::drop_text_prepared(const std::string& name) {
  const auto found = text_prepared_->find(name);
  if (found == text_prepared_->end()) return;
  memory_.give(base::MemoryBudget::Kind::kPrepared, found->second.text.size());
  text_prepared_->erase(found);
}

// A server opens the tables of what it prepares, and those of CREATE TABLE and of changes for writing. What commits
// first when it is executed (ALTER, DROP, TRUNCATE) it looks at then.
Status ClientSession::may_prepare(std::string_view text, sql::StatementKind kind) const {
  using Access = mysql::TransactionOptions::Access;
  const auto access = in_transaction_ ? options_.access : next_options_.access;
  const bool reads =
      access == Access::kReadOnly || (access == Access::kSession && !in_transaction_ && session_reads_only());
  if (!reads) return {};
  using enum sql::StatementKind;
  if (kind == kDdl) {
    const auto ast = sql::parse(text);
    const auto* ddl = ast.ok() ? sql::statement_as<sql::Ddl>(&ast->statement()) : nullptr;
    const bool makes = ddl != nullptr && ddl->action == sql::DdlAction::kCreate &&
                       ddl->object == sql::DdlObject::kTable && !ddl->temporary;
    if (!makes) return {};
  } else if ((kind != kInsert && kind != kReplace && kind != kUpdate && kind != kDelete) ||
             std::ranges::any_of(held_, &HeldConnection::pinned)) {  // It may be a temporary table's.
    return {};
  }
  return fail(Code::kFailedPrecondition, "Cannot execute statement in a READ ONLY transaction")
      .with_mysql(kReadsOnly, "25006");
}

// What is not there is told now, as by a server, not when it is executed.
net::Task<Status> ClientSession::check_prepared(std::string source, const sql::Ast& ast) {
  using enum sql::StatementKind;
  mysql::PrepareOk ok;
  std::string definitions;
  CO_RETURN_IF_ERROR(may_prepare(source, ast.kind()));
  if (const auto* set = sql::statement_as<sql::SetStatement>(&ast.statement())) {
    std::string names;
    for (const auto& item : set->items) {
      if (item.kind != sql::SetItemKind::kSystemVariable) continue;
      const std::string name = SessionSettings::canonical(item.name.text);
      if (SessionSettings::kind_of(name) != SessionSettings::Kind::kServer) continue;
      names += names.empty() ? "select @@" : ", @@";
      mysql::append_sql_identifier(names, name);
    }
    if (names.empty()) co_return Status{};
    source = std::move(names);
  } else if (ast.kind() == kShow || ast.kind() == kCommit || ast.kind() == kRollback) {
    co_return Status{};
  }
  std::vector<sql::LiteralPosition> literals;
  Statement shown;
  scan_text(source, literals, shown);
  Status known = co_await describe(shown, ok, definitions);
  const bool done_here = !known.ok() && ast.kind() == kDo && known.error().code() == Code::kUnimplemented;
  co_return done_here ? Status{} : std::move(known);  // See run_do().
}

net::Task<std::optional<RunResult>> ClientSession::prepare_text(std::string name, const sql::Ast& ast,
                                                                const sql::Expr& from) {
  drop_text_prepared(name);  // Gone, whatever becomes of the new one.
  servers_prepared_->erase(name);
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
  if (Status known = co_await check_prepared(*source, *inner); !known.ok()) {
    co_return RunResult::failed(std::move(known).error());
  }
  if (Status room = memory_.take(base::MemoryBudget::Kind::kPrepared, source->size()); !room.ok()) {
    co_return RunResult::failed(std::move(room).error());
  }
  (*text_prepared_)[std::move(name)] = {std::move(*source), target()};
  row_count_ = 0;
  Status sent = co_await send_ok({});
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

}  // namespace vitrail::gate
