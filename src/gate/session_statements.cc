// Statements that the gate answers itself: transactions, SET, USE, SHOW of Vitess' own objects, and session functions.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>

#include "gate/session.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "sql/literal.h"
#include "sql/names.h"
#include "sql/printer.h"
#include "topo/tablet.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

net::QueryResult table_of(std::vector<std::string> names, std::vector<std::vector<std::optional<std::string>>> rows) {
  net::QueryResult result;
  for (auto& name : names) {
    mysql::ColumnDef column;
    column.name = std::move(name);
    column.collation = 45;
    column.length = 1024;
    result.columns.push_back(std::move(column));
  }
  result.rows = std::move(rows);
  return result;
}

bool like(std::string_view text, std::string_view pattern) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '%') {
    for (size_t skip = 0; skip <= text.size(); ++skip) {
      if (like(text.substr(skip), pattern.substr(1))) return true;
    }
    return false;
  }
  if (text.empty()) return false;
  if (pattern[0] != '_' &&
      std::tolower(static_cast<unsigned char>(pattern[0])) != std::tolower(static_cast<unsigned char>(text[0]))) {
    return false;
  }
  return like(text.substr(1), pattern.substr(1));
}

}  // namespace

net::Task<std::optional<RunResult>> ClientSession::run_local(const Statement& statement) {
  using enum sql::StatementKind;
  auto ok = [](ClientSession& self) -> net::Task<std::optional<RunResult>> {
    Status sent = co_await self.send_ok({});
    co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
  };
  // For what has succeeded without an answer yet.
  auto then_ok = [](ClientSession& self, RunResult result) -> net::Task<std::optional<RunResult>> {
    if (result.verdict != RunResult::Verdict::kAnswered) co_return result;
    self.row_count_ = 0;
    Status sent = co_await self.send_ok({});
    co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
  };
  switch (statement.scan.kind) {
    case kEmpty: co_return RunResult::failed(fail(Code::kInvalidArgument, "Query was empty").with_mysql(1065, "42000"));
    case kBegin: co_return co_await then_ok(*this, co_await begin(statement));
    case kCommit:
    case kRollback: co_return co_await then_ok(*this, co_await end_transaction(statement));
    case kSavepoint:
    case kRollbackTo:
    case kRelease: co_return co_await then_ok(*this, co_await savepoint(statement));
    case kUse: {
      auto ast = sql::parse(statement.text);
      if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
      const auto* use = sql::statement_as<sql::Use>(&ast->statement());
      if (use == nullptr) co_return RunResult::failed(fail(Code::kInvalidArgument, "give USE a keyspace"));
      if (Status set = set_target(use->target.text); !set.ok()) co_return RunResult::failed(std::move(set).error());
      co_return co_await ok(*this);
    }
    case kSet: co_return co_await run_set(statement.text);
    case kAlterVschema: co_return co_await alter_vschema(std::string(statement.text));
    case kShow: {
      auto ast = sql::parse(statement.text);
      if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
      co_return co_await run_show(*ast);
    }
    case kLockTables:
    case kUnlockTables: co_return co_await then_ok(*this, co_await lock_tables(statement));
    case kKill: co_return co_await then_ok(*this, co_await kill(statement));
    default: co_return std::nullopt;
  }
}

net::Task<std::optional<RunResult>> ClientSession::run_show(const sql::Ast& ast) {
  const auto* show = sql::statement_as<sql::Show>(&ast.statement());
  if (show == nullptr) co_return std::nullopt;
  const View& view = *shared_.view();
  std::string pattern;
  if (const auto* literal = sql::as<sql::Literal>(show->like)) pattern = sql::string_value(*literal).value_or("");
  auto fits = [&](std::string_view text) { return show->like == nullptr || like(text, pattern); };
  net::QueryResult result;
  switch (show->show) {
    case sql::ShowKind::kDatabases:
    case sql::ShowKind::kKeyspaces:
    case sql::ShowKind::kVschemaKeyspaces: {
      std::vector<std::vector<std::optional<std::string>>> rows;
      for (const auto& [name, types] : view.shards) {
        if (fits(name)) rows.push_back({name});
      }
      result = table_of({"Database"}, std::move(rows));
      break;
    }
    case sql::ShowKind::kVitessShards: {
      std::vector<std::vector<std::optional<std::string>>> rows;
      for (const auto& [name, types] : view.shards) {
        const auto* shards = view.find_shards(name, "primary");
        for (const auto& shard : shards == nullptr ? std::vector<ActiveShard>() : *shards) {
          const std::string text = name + "/" + shard.name;
          if (fits(text)) rows.push_back({text});
        }
      }
      result = table_of({"Shards"}, std::move(rows));
      break;
    }
    case sql::ShowKind::kVitessTarget:
      result = table_of({"Target"}, {{keyspace_ + (shard_.empty() ? "" : ":" + shard_) + "@" + tablet_type_}});
      break;
    case sql::ShowKind::kVitessTablets: {
      std::vector<std::vector<std::optional<std::string>>> rows;
      for (const auto& [alias, tablet] : *view.topology->tablets) {
        const std::string type = topo::tablet_type_to_string(tablet->type());
        const shard::Target target{tablet->keyspace(), tablet->shard(), type};
        const auto* endpoints = view.find_endpoints(target);
        const bool serving = endpoints != nullptr && std::any_of(endpoints->begin(), endpoints->end(),
                                                                 [&](const Endpoint& e) { return e.alias == alias; });
        std::string upper = type;
        std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
        if (!fits(alias)) continue;
        rows.push_back(
            {tablet->alias().cell(), tablet->keyspace(), tablet->shard(), upper, serving ? "SERVING" : "NOT_SERVING",
             alias, tablet->hostname(),
             tablet->has_primary_term_start_time() ? std::to_string(tablet->primary_term_start_time().seconds()) : ""});
      }
      result =
          table_of({"Cell", "Keyspace", "Shard", "TabletType", "State", "Alias", "Hostname", "PrimaryTermStartTime"},
                   std::move(rows));
      break;
    }
    case sql::ShowKind::kVschemaTables: {
      std::vector<std::vector<std::optional<std::string>>> rows;
      const auto* keyspace = view.vschema == nullptr ? nullptr : view.vschema->find_keyspace(keyspace_);
      if (keyspace == nullptr) {
        co_return RunResult::failed(fail(Code::kFailedPrecondition,
                                         "VT09005: no database selected: use keyspace<:shard><@type> "
                                         "or keyspace<[range]><@type> (<> are optional)")
                                        .with_mysql(mysql::errnos::kNoDb, "3D000"));
      }
      for (const auto& [name, table] : keyspace->tables) rows.push_back({name});
      result = table_of({"Tables"}, std::move(rows));
      break;
    }
    case sql::ShowKind::kWarnings:
    case sql::ShowKind::kErrors: result = table_of({"Level", "Code", "Message"}, {}); break;
    default: co_return std::nullopt;
  }
  Status sent = co_await send_result(result, false);
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

// The literal in the place of a system variable that the gate holds; nullopt: the server knows better.
std::optional<std::string> ClientSession::gate_variable(const sql::SystemVariable& variable) const {
  using Scope = sql::VariableScope;
  if (variable.scope != Scope::kNone && variable.scope != Scope::kSession && variable.scope != Scope::kLocal) {
    return std::nullopt;
  }
  if (!variable.base.empty()) return std::nullopt;
  const std::string name = lower(variable.name.text);
  if (name == "autocommit") return autocommit_ ? "1" : "0";
  if (name == "last_insert_id" || name == "identity") return std::to_string(last_insert_id_);
  if (name == "warning_count") return std::to_string(warnings_);
  if (name == "transaction_mode") return single_shard() ? "'SINGLE'" : "'MULTI'";
  if (const auto value = timeouts_.find(name); value != timeouts_.end()) return std::to_string(value->second);
  if (const auto value = stored_.find(name); value != stored_.end() && lower(value->second) != "default") {
    const std::string& literal = value->second;
    const bool bare = std::ranges::all_of(literal, [](unsigned char c) { return std::isalpha(c) || c == '_'; });
    std::string out;
    if (bare) mysql::append_sql_string(out, literal);
    return bare ? out : literal;
  }
  return std::nullopt;
}

Result<std::optional<std::string>> ClientSession::with_session_values(std::string_view text) const {
  // A look at the words first: nearly no statement has any of these.
  bool found = false;
  sql::Lexer lexer(text);
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next()) {
    if (token.type == sql::TokenType::kUserVariable || token.type == sql::TokenType::kAtAt) found = true;
    if (token.type != sql::TokenType::kWord) continue;
    const std::string_view word = token.text(text);
    if (word.size() < 8 || word.size() > 14) continue;
    const std::string name = lower(word);
    if (name == "last_insert_id" || name == "found_rows" || name == "row_count" || name == "database" ||
        name == "connection_id") {
      found = true;
    }
  }
  if (!found) return std::nullopt;
  const bool is_set_value = text.substr(0, 1) == "@";
  auto ast = is_set_value ? sql::parse_expression(text) : sql::parse(text);
  if (!ast.ok()) return std::move(ast).error();
  bool replaced = false;
  std::optional<Error> error;
  sql::PrintOptions options;
  options.expr = [&](const sql::Expr& expr, std::string& out) {
    if (const auto* variable = sql::as<sql::UserVariable>(&expr)) {
      const auto value = user_variables_.find(lower(variable->name));
      mysql::append_sql_literal(out, value == user_variables_.end() ? mysql::Value::null() : value->second);
      replaced = true;
      return true;
    }
    if (const auto* variable = sql::as<sql::SystemVariable>(&expr)) {
      const auto value = gate_variable(*variable);
      if (value) out += *value;
      replaced = replaced || value.has_value();
      return value.has_value();
    }
    if (const auto* assign = sql::as<sql::Binary>(&expr); assign != nullptr && assign->op == sql::BinaryOp::kAssign) {
      error =
          fail(Code::kUnimplemented, "VT12001: unsupported: assignment to a user variable inside a statement; use SET");
      return false;
    }
    const auto* call = sql::as<sql::FunctionCall>(&expr);
    if (call == nullptr || !call->args.empty() || !call->schema.empty() || call->over != nullptr) return false;
    const std::string name = lower(call->name.text);
    if (name == "last_insert_id") {
      out += std::to_string(last_insert_id_);
    } else if (name == "found_rows") {
      out += std::to_string(found_rows_);
    } else if (name == "row_count") {
      out += std::to_string(row_count_);
    } else if (name == "connection_id") {
      out += std::to_string(connection_id_);
    } else if (name == "database" || name == "schema") {
      mysql::append_sql_literal(out, keyspace_.empty() ? mysql::Value::null() : mysql::Value::of_text(keyspace_));
    } else {
      return false;
    }
    replaced = true;
    return true;
  };
  // The server names a result column after the expression's text: the client must see what it wrote.
  std::string printed = is_set_value
                            ? sql::print(*sql::statement_as<sql::Do>(&ast->statement())->items[0].expr, options)
                            : sql::print(ast->statement(), options);
  if (error) return std::move(*error);
  if (!replaced) return std::nullopt;
  if (!is_set_value && ast->kind() == sql::StatementKind::kSelect) {
    sql::keep_column_names(*ast);
    printed = sql::print(ast->statement(), options);
  }
  return printed;
}

}  // namespace vitrail::gate
