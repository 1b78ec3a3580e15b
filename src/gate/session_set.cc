// SET: from left to right, all of it or nothing. Expressions become values here, so that a setting means the same on
// every connection.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "exec/compare.h"
#include "exec/merge.h"
#include "gate/session.h"
#include "mysql/collations.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "plan/planner.h"
#include "sql/literal.h"
#include "sql/printer.h"
#include "sql/tables.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr uint16_t kWrongValue = 1231;
constexpr uint16_t kTruncatedValue = 1292;
constexpr uint16_t kWrongType = 1232;
constexpr uint16_t kTransactionInProgress = 1568;
constexpr uint16_t kUnknownCharset = 1115;
constexpr uint16_t kUnknownCollation = 1273;
constexpr uint16_t kWrongCollation = 1253;
constexpr uint16_t kNotInSetStatement = 1971;
constexpr uint16_t kOneColumn = 1241;
constexpr uint16_t kOneRow = 1242;

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

Error unsupported(std::string_view what) {
  return fail(Code::kUnimplemented, "VT12001: unsupported: " + std::string(what));
}

Error wrong_value(std::string_view name, std::string_view value) {
  return fail(Code::kInvalidArgument, fmt::format("Variable '{}' can't be set to the value of '{}'", name, value))
      .with_mysql(kWrongValue, "42000");
}

// The SQL text of a value that is known without asking a server: a literal, a signed number, a bare word (a string to
// SET, as in SET sql_mode = ANSI). nullopt: an expression.
std::optional<std::string> plain_value(const sql::Expr& expr) {
  if (const auto* literal = sql::as<sql::Literal>(&expr)) {
    if (literal->parts() > 1) return std::nullopt;
    return sql::print(expr);
  }
  if (const auto* sign = sql::as<sql::Unary>(&expr)) {
    const auto* literal = sql::as<sql::Literal>(sign->operand);
    const bool number = literal != nullptr && (literal->literal == sql::LiteralKind::kInteger ||
                                               literal->literal == sql::LiteralKind::kDecimal);
    if (number && (sign->op == sql::UnaryOp::kMinus || sign->op == sql::UnaryOp::kPlus)) return sql::print(expr);
    return std::nullopt;
  }
  if (const auto* word = sql::as<sql::KeywordExpr>(&expr)) return std::string(word->word);
  if (const auto* column = sql::as<sql::Column>(&expr); column != nullptr && column->table.empty()) {
    return std::string(column->name.text);
  }
  if (const auto* value = sql::as<sql::DefaultValue>(&expr); value != nullptr && value->column == nullptr) {
    return "default";
  }
  return std::nullopt;
}

bool is_default(std::string_view literal) { return lower(literal) == "default"; }

std::string unquoted(std::string_view literal) {
  if (literal.size() >= 2 && (literal.front() == '\'' || literal.front() == '"') && literal.back() == literal.front()) {
    literal = literal.substr(1, literal.size() - 2);
  }
  return std::string(literal);
}

std::optional<int64_t> number_of(std::string_view literal) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(literal.data(), literal.data() + literal.size(), value);
  if (error != std::errc() || end != literal.data() + literal.size()) return std::nullopt;
  return value;
}

// A value that came in the character set of results goes back in a text of the client's: both have to read it alike.
Status check_same_text(const mysql::ColumnDef& column, std::string_view bytes, std::string_view client) {
  if (column.collation == mysql::kBinaryCollation) return {};
  const auto* collation = mysql::find_collation(column.collation);
  const std::string_view charset = collation == nullptr ? std::string_view() : collation->charset;
  const auto is_utf8 = [](std::string_view name) { return name.starts_with("utf8"); };
  if (charset == client || (is_utf8(charset) && is_utf8(client))) return {};
  const bool wide =
      charset.empty() || charset.starts_with("utf16") || charset.starts_with("utf32") || charset == "ucs2";
  const bool ascii = std::ranges::all_of(bytes, [](unsigned char c) { return c < 0x80; });
  if (!wide && ascii) return {};
  return unsupported(fmt::format("a text in {} as a value of a session in {}: convert it with CONVERT(... USING {})",
                                 charset.empty() ? "an unknown character set" : charset, client, client));
}

// As tx_isolation is written.
std::optional<mysql::TransactionOptions::Isolation> isolation_of(std::string_view value) {
  static constexpr auto kLevels = std::to_array<std::string_view>(
      {"default", "read-uncommitted", "read-committed", "repeatable-read", "serializable"});
  const auto found = std::ranges::find(kLevels, lower(value));
  if (found == kLevels.end()) return std::nullopt;
  return static_cast<mysql::TransactionOptions::Isolation>(found - kLevels.begin());
}

// Whether it may change how the connection's texts are written and compared.
bool changes_collation(const sql::SetItem& item) {
  using Kind = sql::SetItemKind;
  const std::string name = lower(item.name.text);
  return item.kind == Kind::kNames || item.kind == Kind::kCharset ||
         (item.kind == Kind::kSystemVariable && (name.starts_with("character_set_") || name.starts_with("collation_")));
}

// The variables of servers that it sets.
std::set<std::string> assigned_by(const sql::SetStatement& set) {
  using Scope = sql::VariableScope;
  std::set<std::string> out;
  for (const auto& item : set.items) {
    const bool once = item.scope == Scope::kNone;
    switch (item.kind) {
      case sql::SetItemKind::kNames:
      case sql::SetItemKind::kCharset:
        out.insert(
            {"character_set_client", "character_set_connection", "character_set_results", "collation_connection"});
        break;
      case sql::SetItemKind::kTransaction:
        if (!once && item.isolation != sql::IsolationLevel::kNone) out.insert("tx_isolation");
        if (!once && item.access != sql::AccessMode::kNone) out.insert("tx_read_only");
        break;
      case sql::SetItemKind::kSystemVariable: {
        std::string name = SessionSettings::canonical(item.name.text);
        const bool of_next = once && item.at_form && (name == "tx_isolation" || name == "tx_read_only");
        if (SessionSettings::kind_of(name) == SessionSettings::Kind::kServer && !of_next) out.insert(std::move(name));
        break;
      }
      default: break;
    }
  }
  return out;
}

}  // namespace

// A SELECT of one value, run as if the client had sent it, but for its answer.
net::Task<Result<mysql::Value>> ClientSession::evaluate(std::string expression) {
  // A value is one row, whatever sql_select_limit says of answers.
  const bool limited = settings_.values().contains("sql_select_limit");
  const std::string text = "select " + expression + (limited ? " limit 1" : "");
  std::array<sql::LiteralPosition, 64> storage;
  Statement statement;
  statement.text = text;
  statement.scan = sql::fingerprint(text, storage);
  statement.literals = statement.scan.literals;
  CO_ASSIGN_OR_RETURN(auto result, co_await run_inside(statement));
  if (result.columns.size() != 1) {
    co_return fail(Code::kInvalidArgument, "Operand should contain 1 column(s)").with_mysql(kOneColumn, "21000");
  }
  if (result.rows.size() > 1) {
    co_return fail(Code::kInvalidArgument, "Subquery returns more than 1 row").with_mysql(kOneRow, "21000");
  }
  if (result.rows.empty() || !result.rows[0][0]) co_return mysql::Value::null();
  CO_RETURN_IF_ERROR(check_same_text(result.columns[0], *result.rows[0][0], client_charset()));
  co_return mysql::make_value(result.columns[0], mysql::Cell(*result.rows[0][0]));
}

net::Task<RunResult> ClientSession::run_do(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  sql::PrintOptions options;
  options.expr = plan::parameter_printer(ast->statement(), statement.parameters);
  if (reaches_tables(statement)) start_implicit_transaction();
  for (const auto& item : sql::statement_as<sql::Do>(&ast->statement())->items) {
    auto value = co_await evaluate(sql::print(*item.expr, options));
    if (!value.ok()) co_return refused(std::move(value).error());
  }
  row_count_ = 0;
  Status sent = co_await send_ok({});
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

// Around a text with LAST_INSERT_ID(n), on a connection that the session keeps meanwhile.
net::Task<Status> ClientSession::tell_insert_id(shard::Target target) {
  auto told = co_await ask({std::move(target), fmt::format("do last_insert_id({})", last_insert_id_)});
  co_return told.ok() ? Status{} : Status(std::move(told).error());
}

net::Task<void> ClientSession::take_insert_id(shard::Target target) {
  const auto once = std::exchange(next_options_, {});  // The text was told of it, no other is.
  const auto known = co_await ask({std::move(target), "select last_insert_id() limit 1"});
  next_options_ = once;
  const auto number = known.ok() ? shard::VindexValue::integer_text(known->text(0, 0), true) : known.error();
  if (number.ok()) last_insert_id_ = number->to_u64().value_or(last_insert_id_);
}

net::Task<Result<net::QueryResult>> ClientSession::run_inside(const Statement& statement) {
  co_await look_at_processes(statement);
  CO_RETURN_IF_ERROR(co_await look_at_numbers(statement));
  auto planned = plan_for(statement);
  numbers_.reset();
  processes_ = {};
  CO_ASSIGN_OR_RETURN(const auto plan, std::move(planned));
  if (reaches_tables(statement)) start_implicit_transaction();
  if (plan->kind == plan::Plan::Kind::kFinish) {
    base::MemoryBudget::Hold memory(memory_, base::MemoryBudget::Kind::kResults);
    co_return co_await finish_result(*plan, statement, memory, Digits::kOfText);
  }
  if (plan->kind != plan::Plan::Kind::kRoute || !plan->is_read) co_return unsupported("this in a place for a value");
  CO_ASSIGN_OR_RETURN(auto targets, co_await targets_of(plan->route, statement, false));
  if (targets.size() > 1 && settings_.values().contains("sql_select_limit")) {
    co_return unsupported("sql_select_limit in a statement over several shards in a place for a value");
  }
  CO_ASSIGN_OR_RETURN(const auto replaced,
                      with_session_values(plan->text ? std::string_view(*plan->text) : statement.text));
  const std::string text = replaced ? *replaced : plan->text ? *plan->text : std::string(statement.text);
  // LAST_INSERT_ID(n) sets the session's number: the connection on which it ran tells it.
  const auto ask_with_id = [](ClientSession& self, shard::Target target, std::string query,
                              bool reads) -> net::Task<Result<net::QueryResult>> {
    const HeldConnection* held = self.find_held(target);
    const bool own_transaction = !self.in_transaction_ && (held == nullptr || !held->pinned);
    const auto next = self.next_options_;
    if (own_transaction) self.start_transaction();
    Status told = co_await self.tell_insert_id(target);
    Result<net::QueryResult> result = told.ok() ? co_await self.ask({target, std::move(query)}) : told.error();
    if (result.ok()) co_await self.take_insert_id(target);
    if (own_transaction && !result.ok()) co_await self.rollback_all();
    if (own_transaction && result.ok()) {
      RunResult committed = co_await self.commit();
      if (committed.error) co_return std::move(*committed.error);
    }
    if (own_transaction && !reads) self.next_options_ = next;
    co_return result;
  };
  std::vector<net::QueryResult> results;
  if (plan->asks_insert_id && targets.size() == 1 && plan->merge.empty()) {
    co_return co_await ask_with_id(*this, targets.front(), text, reaches_tables(statement));
  }
  for (auto& target : targets) {
    CO_ASSIGN_OR_RETURN(auto result, co_await ask({std::move(target), text}));
    results.push_back(std::move(result));
  }
  if (results.size() == 1 && plan->merge.empty()) co_return std::move(results.front());
  if (!exec::refined_forms(plan->merge, results.front().columns).empty()) {
    co_return unsupported("an order or groups by values of this type in a place for a value");
  }
  CO_ASSIGN_OR_RETURN(auto merged, exec::merge_results(plan->merge, std::move(results), max_rows()));
  co_return std::move(merged.result);
}

net::Task<Result<std::string>> ClientSession::set_value(const sql::Ast& ast, const sql::SetItem& item) {
  if (auto plain = plain_value(*item.value)) co_return std::move(*plain);
  CO_ASSIGN_OR_RETURN(const auto value, co_await evaluate(std::string(item.value->span.of(ast.text()))));
  std::string literal;
  mysql::append_sql_literal(literal, value);
  co_return literal;
}

net::Task<Status> ClientSession::set_item(const sql::Ast& ast, const sql::SetItem& item, Variables& assigned) {
  const std::string name = lower(item.name.text);
  switch (item.kind) {
    case sql::SetItemKind::kNames: co_return set_names(name, lower(item.collation.text));
    case sql::SetItemKind::kCharset: {
      // The connection goes by the database's collation, whatever character set the client's texts are in.
      CO_ASSIGN_OR_RETURN(const auto collation, co_await evaluate("@@collation_database"));
      if (name.empty() || name == "default") {
        settings_.set_names_default();
      } else {
        CO_RETURN_IF_ERROR(set_names(name, ""));
      }
      settings_.unset("character_set_connection");
      settings_.set("collation_connection", "'" + collation.bytes + "'");
      co_return Status{};
    }
    case sql::SetItemKind::kUserVariable: {
      mysql::Value value;
      if (const auto* literal = sql::as<sql::Literal>(item.value);
          literal != nullptr && literal->literal == sql::LiteralKind::kNull) {
        value = mysql::Value::null();
      } else {
        CO_ASSIGN_OR_RETURN(value, co_await user_variable_value(ast, item));
      }
      if (user_variables_.size() + assigned.size() >= kMaxUserVariables && !user_variables_.contains(name)) {
        co_return fail(Code::kResourceExhausted, fmt::format("more than {} user variables", kMaxUserVariables));
      }
      const bool text = mysql::is_string_type(value.type) && !value.is_binary && !value.is_null();
      assigned[name] = std::move(value);
      if (text) (*set_texts_)[name] = co_await text_origin(ast, *item.value);
      co_return Status{};
    }
    case sql::SetItemKind::kTransaction: co_return set_transaction(item);
    case sql::SetItemKind::kText: co_return unsupported("this form of SET");
    case sql::SetItemKind::kSystemVariable: break;
  }
  using Scope = sql::VariableScope;
  if (item.scope == Scope::kGlobal || item.scope == Scope::kPersist || item.scope == Scope::kPersistOnly) {
    co_return unsupported(fmt::format("SET GLOBAL {}: set it on the servers", name));
  }
  co_return co_await set_variable(SessionSettings::canonical(name), ast, item);
}

net::Task<Result<mysql::Value>> ClientSession::user_variable_value(const sql::Ast& ast, const sql::SetItem& item) {
  if (const auto* literal = sql::as<sql::Literal>(item.value);
      literal != nullptr && literal->parts() <= 1 && literal->charset.empty()) {
    switch (literal->literal) {
      case sql::LiteralKind::kInteger: {
        mysql::Value value = mysql::Value::of_int(0);
        value.bytes = literal->text;
        co_return value;
      }
      case sql::LiteralKind::kDecimal:
        co_return mysql::Value{mysql::FieldType::kNewDecimal, false, false, std::string(literal->text)};
      case sql::LiteralKind::kString:
        if (auto text = sql::string_value(*literal)) co_return mysql::Value::of_text(std::move(*text));
        break;
      default: break;
    }
  }
  co_return co_await evaluate(std::string(item.value->span.of(ast.text())));
}

Status ClientSession::set_names(std::string_view charset, std::string_view collation) {
  if (charset.empty() || charset == "default") {
    settings_.set_names_default();
    return {};
  }
  const auto* known = mysql::default_collation(charset);
  if (known == nullptr) {
    return fail(Code::kInvalidArgument, fmt::format("Unknown character set: '{}'", charset))
        .with_mysql(kUnknownCharset, "42000");
  }
  RETURN_IF_ERROR(mysql::check_client_charset(charset));
  const bool plain = std::ranges::all_of(collation, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  if (!plain) {
    return fail(Code::kInvalidArgument, fmt::format("Unknown collation: '{}'", collation))
        .with_mysql(kUnknownCollation, "HY000");
  }
  // MariaDB takes these names without their character set.
  const std::string completed = std::string(charset) + "_" + std::string(collation);
  if (collation.starts_with("uca1400_")) collation = completed;
  if (const auto* named = mysql::find_collation(collation); named != nullptr && named->charset != known->charset) {
    return fail(Code::kInvalidArgument,
                fmt::format("COLLATION '{}' is not valid for CHARACTER SET '{}'", collation, charset))
        .with_mysql(kWrongCollation, "42000");
  }
  settings_.set_names(charset, is_default(collation) ? "" : collation);
  return {};
}

Status ClientSession::set_transaction(const sql::SetItem& item) {
  using Scope = sql::VariableScope;
  using Options = mysql::TransactionOptions;
  if (item.scope == Scope::kGlobal) return unsupported("SET GLOBAL TRANSACTION: set it on the servers");
  if (item.scope == Scope::kNone) {  // For the next transaction only.
    if (in_transaction_) {
      return fail(Code::kFailedPrecondition,
                  "Transaction characteristics can't be changed while a transaction is in progress")
          .with_mysql(kTransactionInProgress, "25001");
    }
    if (item.isolation != sql::IsolationLevel::kNone) {
      next_options_.isolation = static_cast<Options::Isolation>(item.isolation);
    }
    if (item.access == sql::AccessMode::kReadOnly) next_options_.access = Options::Access::kReadOnly;
    if (item.access == sql::AccessMode::kReadWrite) next_options_.access = Options::Access::kReadWrite;
    return {};
  }
  static constexpr std::array<const char*, 5> kLevels = {"", "'READ-UNCOMMITTED'", "'READ-COMMITTED'",
                                                         "'REPEATABLE-READ'", "'SERIALIZABLE'"};
  if (item.isolation != sql::IsolationLevel::kNone) {
    settings_.set("tx_isolation", kLevels[static_cast<size_t>(item.isolation)]);
    next_options_.isolation = Options::Isolation::kSession;
  }
  if (item.access != sql::AccessMode::kNone) {
    settings_.set("tx_read_only", item.access == sql::AccessMode::kReadOnly ? "1" : "0");
    next_options_.access = Options::Access::kSession;
  }
  return {};
}

Status ClientSession::set_next_transaction(std::string_view name, std::string_view value) {
  if (in_transaction_) {
    return fail(Code::kFailedPrecondition,
                "Transaction characteristics can't be changed while a transaction is in progress")
        .with_mysql(kTransactionInProgress, "25001");
  }
  using Options = mysql::TransactionOptions;
  if (name == "tx_read_only") {
    const auto on = switch_value(value);
    if (!on) return wrong_value(name, value);
    next_options_.access = *on ? Options::Access::kReadOnly : Options::Access::kReadWrite;
    return {};
  }
  const auto level = isolation_of(value);
  if (!level) return wrong_value(name, value);
  next_options_.isolation = *level;
  return {};
}

net::Task<Status> ClientSession::set_variable(std::string name, const sql::Ast& ast, const sql::SetItem& item) {
  using Kind = SessionSettings::Kind;
  const Kind kind = SessionSettings::kind_of(name);
  if (kind == Kind::kRefused) co_return unsupported(fmt::format("setting the variable {}", name));
  CO_ASSIGN_OR_RETURN(std::string literal, co_await set_value(ast, item));
  if (kind == Kind::kGate) co_return co_await set_gate_variable(name, std::move(literal));
  if (kind == Kind::kStored) {
    stored_[name] = literal;
    co_return Status{};
  }
  if (item.at_form && item.scope == sql::VariableScope::kNone && (name == "tx_isolation" || name == "tx_read_only")) {
    co_return set_next_transaction(name, unquoted(literal));  // SET @@tx_isolation is about the next transaction only.
  }
  if (name == "tx_isolation") next_options_.isolation = {};  // The next transaction is as all from now on.
  if (name == "tx_read_only") next_options_.access = {};
  if (name == "character_set_client" || name == "character_set_connection" || name == "character_set_results") {
    const std::string charset = lower(unquoted(literal));
    if (name == "character_set_client" && !is_default(literal)) {
      CO_RETURN_IF_ERROR(mysql::check_client_charset(charset));
    }
  }
  if (name == "sql_mode") {
    if (is_default(literal)) {
      CO_ASSIGN_OR_RETURN(const auto modes, co_await evaluate("@@global.sql_mode"));
      CO_RETURN_IF_ERROR(check_sql_mode(modes.bytes));
    } else {
      const auto modes = sql::split_modes(unquoted(literal));
      CO_RETURN_IF_ERROR(check_sql_mode(modes.others));
      if (modes.reading.any()) literal = "'" + modes.all + "'";
    }
  }
  if (is_default(literal) && held_.empty() && !name.starts_with("character_set_") && !name.starts_with("collation_")) {
    settings_.unset(name);
  } else {
    settings_.set(std::move(name), std::move(literal));
  }
  co_return Status{};
}

// Variables that the gate itself acts by.
net::Task<Status> ClientSession::set_gate_variable(const std::string& name, std::string literal) {
  if (name == "autocommit") {
    if (is_default(literal)) {
      CO_ASSIGN_OR_RETURN(const auto value, co_await evaluate("@@global.autocommit"));
      literal = value.bytes;
    }
    const auto on = switch_value(literal);
    if (!on) co_return wrong_value(name, unquoted(literal));
    autocommit_ = *on;
    co_return Status{};
  }
  const std::string word = lower(unquoted(literal));
  const auto number = number_of(word);
  if (name == "transaction_mode") {
    if (word == "single" || word == "multi" || word == "twopc") {
      single_shard_ = word == "single";
      two_phase_ = word == "twopc";
    } else if (word == "default" || word == "unspecified") {
      single_shard_.reset();
      two_phase_.reset();
    } else {
      co_return wrong_value(name, word);
    }
    co_return Status{};
  }
  if (name == "query_timeout" || name == "wait_timeout" || name == "interactive_timeout" ||
      name == "net_write_timeout") {
    if (word != "default" && (!number || (name == "query_timeout" && *number < 0))) {
      co_return fail(Code::kInvalidArgument, fmt::format("Incorrect argument type to variable '{}'", name))
          .with_mysql(kWrongType, "42000");
    }
    if (word == "default") {
      timeouts_.erase(name);
    } else if (name == "query_timeout") {
      timeouts_[name] = *number;
    } else {
      CO_ASSIGN_OR_RETURN(timeouts_[name], seconds_of(name, *number));
    }
    co_return Status{};
  }
  if (name == "workload") {
    if (word != "oltp" && word != "olap" && word != "dba" && word != "unspecified" && word != "default") {
      co_return wrong_value(name, word);
    }
    stored_[name] = word == "default" || word == "unspecified" ? "oltp" : word;
    co_return Status{};
  }
  if (name == "ddl_strategy") {
    if (!word.empty() && word != "direct" && word != "default") co_return unsupported("ddl_strategy " + word);
    stored_[name] = literal;
    co_return Status{};
  }
  if (name == "completion_type") {
    const bool chain = word == "chain" || word == "1";
    const bool release = word == "release" || word == "2";
    if (!chain && !release && word != "default" && word != "no_chain" && word != "0") {
      co_return wrong_value(name, word);
    }
    stored_[name] = chain ? kChainAtEnd : release ? kReleaseAtEnd : "'NO_CHAIN'";
    co_return Status{};
  }
  // The rest are switches of which one position is what happens here anyway.
  const bool found_rows = (client_.capabilities & mysql::kClientFoundRows) != 0;
  const bool wanted = name == "enable_system_settings" || (name == "client_found_rows" && found_rows);
  const auto on = number && name == "transaction_timeout" ? std::optional(*number != 0) : switch_value(literal);
  if (word == "default" || on == wanted) {
    stored_[name] = wanted ? "1" : "0";
    co_return Status{};
  }
  if (!on) co_return wrong_value(name, word);
  co_return unsupported(fmt::format("setting the variable {} to {}", name, word));
}

// Tries the new settings on a connection, so that a wrong name or value is told now, in the server's own words; then on
// those that this session holds.
net::Task<Status> ClientSession::apply_settings(const SessionSettings& before, std::set<std::string> assigned) {
  const std::string text = settings_.text();
  const std::string old_text = std::exchange(settings_text_, text);
  const auto back = [&](Error error) {
    settings_text_ = old_text;
    return error;
  };
  const bool has_mode = settings_.values().contains("sql_mode");
  if (!text.empty() && settings_ != before) {
    Statement nowhere;
    auto targets = resolve(plan::Route{.keyspace = home_keyspace()}, nowhere);
    if (!targets.ok()) co_return back(std::move(targets).error());
    auto lease = co_await lease_for(targets->front(), query_wait());
    if (!lease.ok()) co_return back(std::move(lease).error());
    if (Status looked = co_await look_at_numbers((*lease)->client, before); !looked.ok()) {
      co_return back(std::move(looked).error());
    }
    if (has_mode) {
      // Modes have numbers, too: only the server knows what it was given.
      auto modes = co_await (*lease)->client.query("select @@session.sql_mode limit 1", query_wait());
      if (!modes.ok()) co_return back(std::move(modes).error());
      if (Status readable = check_sql_mode(modes->text(0, 0)); !readable.ok()) {
        co_return back(std::move(readable).error());
      }
    }
  }
  settings_text_ = settings_.text();
  const std::string changes = settings_.text_of_changes(before);
  for (auto& held : held_) {
    // Code may have changed others of its variables, which stay as they are.
    const std::string sets = held.pinned ? settings_.text_of(assigned, before) : changes;
    if (sets.empty()) continue;
    auto result = co_await held.lease->client.query(sets, query_wait());
    if (!result.ok()) {
      // Some connections may have it: they cannot go on as one session.
      for (auto& other : held_) {
        if (other.pinned) state_lost_ = true;
        other.lease.discard();
      }
      held_.clear();
      if (in_transaction_) failed_ = result.error().message();
      transaction_over();
      co_return back(std::move(result).error());
    }
    held.lease->settings = sets == settings_text_ ? sets : "changed";  // A pool gives it to nobody else as it is.
  }
  co_return Status{};
}

// A number out of its bounds: the session has what the server made of it, and a warning.
net::Task<Status> ClientSession::look_at_numbers(net::MysqlClient& client, const SessionSettings& before) {
  const auto names = settings_.new_numbers(before);
  if (names.empty()) co_return Status{};
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "select @@session." : ", @@session.") + name;
  CO_ASSIGN_OR_RETURN(const auto values, co_await client.query(text + " limit 1", query_wait()));
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string asked = settings_.values().at(names[i]);
    const std::string got(values.text(0, i));
    const bool number = !got.empty() && got.find_first_not_of("-.0123456789") == std::string::npos;
    if (!number || got == asked || std::strtod(got.c_str(), nullptr) == std::strtod(asked.c_str(), nullptr)) continue;
    if (refuses_bounds()) co_return wrong_value(names[i], asked);
    warn_of_bounds(names[i], asked);
    settings_.set(names[i], got);
  }
  co_return Status{};
}

void ClientSession::warn_of_bounds(const std::string& name, std::string_view value) {
  add_warning("Warning", kTruncatedValue, fmt::format("Truncated incorrect {} value: '{}'", name, value));
}

// Whether servers refuse a number out of bounds, instead of warning.
bool ClientSession::refuses_bounds() const {
  const auto mode = settings_.values().find("sql_mode");
  return mode != settings_.values().end() && lower(mode->second).find("strict_all_tables") != std::string::npos;
}

// Of a variable that the gate keeps for the server: one second to a year.
Result<int64_t> ClientSession::seconds_of(const std::string& name, int64_t seconds) {
  constexpr int64_t kMost = 31'536'000;
  const int64_t kept = std::clamp<int64_t>(seconds, 1, kMost);
  if (kept != seconds && refuses_bounds()) return wrong_value(name, std::to_string(seconds));
  if (kept != seconds) warn_of_bounds(name, std::to_string(seconds));
  return kept;
}

net::Task<Status> ClientSession::change_settings(const sql::Ast& ast, const sql::SetStatement& set,
                                                 Variables& assigned) {
  const auto settings = settings_;
  const auto stored = stored_;
  const auto timeouts = timeouts_;
  const auto next_options = next_options_;
  const auto single = single_shard_;
  const auto twice = two_phase_;
  const bool autocommit = autocommit_;
  Status done;
  // As on a server, all expressions are computed before the first variable changes.
  for (const bool user_variables : {true, false}) {
    for (const auto& item : set.items) {
      const bool is_user_variable = item.kind == sql::SetItemKind::kUserVariable;
      if (done.ok() && is_user_variable == user_variables) done = co_await set_item(ast, item, assigned);
    }
  }
  std::set<std::string> assigned_settings;
  if (std::ranges::any_of(held_, &HeldConnection::pinned)) assigned_settings = assigned_by(set);
  if (done.ok() && (settings_ != settings || !assigned_settings.empty())) {
    done = co_await apply_settings(settings, std::move(assigned_settings));
  }
  if (done.ok()) co_return done;
  settings_ = settings;
  stored_ = stored;
  timeouts_ = timeouts;
  next_options_ = next_options;
  single_shard_ = single;
  two_phase_ = twice;
  autocommit_ = autocommit;
  co_return done;
}

// A server tells of which collation a text is without computing it again.
net::Task<TextOrigin> ClientSession::text_origin(const sql::Ast& ast, const sql::Expr& expr) {
  if (const auto* variable = sql::as<sql::UserVariable>(&expr)) co_return origin_of(lower(variable->name));
  if (const auto* collate = sql::as<sql::Collate>(&expr))
    co_return TextOrigin{.collation = std::string(collate->collation.text)};
  if (const auto* literal = sql::as<sql::Literal>(&expr);
      literal != nullptr && literal->charset.empty() && literal->literal == sql::LiteralKind::kString) {
    co_return TextOrigin{};
  }
  const std::string_view text = expr.span.of(ast.text());
  if (several_shards() && !sql::collect_tables(ast.statement()).empty()) co_return TextOrigin{};
  const auto told = co_await evaluate(fmt::format("nullif(collation({}), @@collation_connection)", text));
  if (!told.ok() || told->is_null() || told->bytes == "binary") co_return TextOrigin{};
  co_return TextOrigin{.collation = told->bytes};
}

void ClientSession::note_texts(const Variables& assigned) {
  for (const auto& [name, value] : assigned) {
    const auto known = set_texts_->find(name);
    user_texts_->erase(name);
    if (known != set_texts_->end() && !known->second.empty()) (*user_texts_)[name] = known->second;
  }
}

net::Task<void> ClientSession::keep_texts() {
  const auto is_text = [](const auto& variable) {
    return mysql::is_string_type(variable.second.type) && !variable.second.is_binary;
  };
  if (std::ranges::none_of(user_variables_, is_text)) co_return;
  const auto collation = co_await evaluate("@@collation_connection");
  if (!collation.ok()) co_return;
  for (const auto& variable : user_variables_) {
    if (!is_text(variable)) continue;
    TextOrigin& origin = (*user_texts_)[variable.first];
    if (origin.collation.empty()) origin.collation = collation->bytes;
    if (origin.written_in.empty()) origin.written_in = client_charset();
  }
}

net::Task<void> ClientSession::forget_kept_texts() {
  if (user_texts_->empty()) co_return;
  const auto collation = co_await evaluate("@@collation_connection");
  if (!collation.ok()) co_return;
  for (auto& [name, origin] : *user_texts_) {
    if (origin.collation == collation->bytes) origin.collation.clear();
    if (origin.written_in == client_charset()) origin.written_in.clear();
  }
  std::erase_if(*user_texts_, [](const auto& text) { return text.second.empty(); });
}

RunResult ClientSession::not_set(Error error) const {
  const bool elsewhere = error.code() == Code::kUnavailable || error.code() == Code::kClusterEvent;
  return elsewhere ? refused(std::move(error)) : RunResult::failed(std::move(error));
}

// A SET of these variables to what they are there; "": none, or it is not known.
net::Task<std::string> ClientSession::values_of(net::MysqlClient& client, std::set<std::string> names) {
  std::string asked;
  for (const auto& name : names) asked += (asked.empty() ? "select @@session." : ", @@session.") + name;
  if (asked.empty()) co_return "";
  const auto values = co_await client.query(asked + " limit 1", query_wait());
  if (!values.ok() || values->rows.empty()) co_return "";
  std::string out;
  size_t place = 0;
  for (const auto& name : names) {
    const auto& cell = values->rows[0][place];
    out += (out.empty() ? "set @@session." : ", @@session.") + name + " = ";
    mysql::append_sql_literal(out,
                              cell ? mysql::make_value(values->columns[place], mysql::Cell(*cell)) : mysql::Value());
    ++place;
  }
  co_return out;
}

net::Task<RunResult> ClientSession::run_set_statement(const sql::Ast& ast, const sql::SetStatement& set,
                                                      const Statement& outer) {
  using Kind = SessionSettings::Kind;
  static constexpr auto kNotForOne =
      std::to_array<std::string_view>({"character_set_client", "character_set_connection", "character_set_filesystem",
                                       "collation_connection", "interactive_timeout", "profiling",
                                       "profiling_history_size", "query_cache_type", "sql_log_off", "wait_timeout"});
  for (const auto& item : set.items) {
    const std::string name = lower(item.name.text);
    if (std::ranges::find(kNotForOne, name) != kNotForOne.end()) {
      co_return RunResult::failed(
          fail(Code::kInvalidArgument,
               fmt::format("The system variable {} cannot be set in SET STATEMENT.", item.name.text))
              .with_mysql(kNotInSetStatement, "42000"));
    }
    const bool variable =
        item.kind == sql::SetItemKind::kSystemVariable && SessionSettings::kind_of(name) != Kind::kRefused;
    const bool transaction = name == "autocommit" || SessionSettings::canonical(name) == "tx_isolation" ||
                             SessionSettings::canonical(name) == "tx_read_only" || name == "transaction_mode";
    if (!variable || transaction) {
      co_return RunResult::failed(unsupported("SET STATEMENT of " + std::string(item.name.text)));
    }
  }
  const std::string inner(set.statement->span.of(ast.text()));
  std::vector<sql::LiteralPosition> literals(kRecordedLiterals);
  Statement statement;
  scan_text(inner, literals, statement);
  statement.execute = outer.execute;
  using enum sql::StatementKind;
  if (statement.scan.kind == kSet || statement.scan.kind == kUse) {
    co_return RunResult::failed(
        unsupported("SET STATEMENT ... FOR " + std::string(sql::statement_kind_name(statement.scan.kind))));
  }
  const auto settings = settings_;
  const auto stored = stored_;
  const auto timeouts = timeouts_;
  Variables none;
  begin_warnings(statement);
  const auto pinned = std::ranges::find_if(held_, &HeldConnection::pinned);
  std::string kept;  // Code may have set otherwise what it has.
  if (pinned != held_.end()) kept = co_await values_of(pinned->lease->client, assigned_by(set));
  const std::optional<shard::Target> home = pinned == held_.end() ? std::nullopt : std::optional(pinned->target);
  Status done = co_await change_settings(ast, set, none);
  end_noted_ = true;  // It has not begun.
  if (!done.ok()) co_return not_set(std::move(done).error());
  warnings_begun_ = true;  // What the values are warned of is the statement's.
  set_warnings_ = fresh_warnings_ == 0 ? 0 : warning_rows_.size();
  RunResult result = co_await run_statement(statement);
  end_noted_ = true;
  warnings_begun_ = false;
  set_warnings_ = 0;
  const auto changed = std::exchange(settings_, settings);
  stored_ = stored;
  timeouts_ = timeouts;
  if (settings_ != changed) {
    // A connection that cannot take them back was let go, and the transaction says so.
    (void)co_await apply_settings(changed);
    settings_ = settings;
  }
  if (HeldConnection* held = home && !kept.empty() ? find_held(*home) : nullptr) {
    (void)co_await held->lease->client.query(kept, query_wait());
    held->lease->settings = "changed";  // A pool gives it to nobody else as it is.
  }
  co_return result;
}

// The open transaction's level stays what the session's was when it began.
net::Task<Status> ClientSession::keep_isolation(std::string level) {
  if (!several_shards()) co_return Status{};  // It has begun where it runs.
  if (is_default(level)) {
    CO_ASSIGN_OR_RETURN(const auto value, co_await evaluate("@@global.tx_isolation"));
    level = value.bytes;
  }
  if (const auto known = isolation_of(unquoted(level))) options_.isolation = *known;
  co_return Status{};
}

net::Task<RunResult> ClientSession::run_set(const Statement& statement) {
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  const auto* set = sql::statement_as<sql::SetStatement>(&ast->statement());
  if (set == nullptr) co_return RunResult::failed(unsupported("this form of SET"));
  if (set->statement != nullptr) co_return co_await run_set_statement(*ast, *set, statement);
  const bool autocommit = autocommit_;
  const bool read_only = session_reads_only();
  const auto level = [this] {
    const auto setting = settings_.values().find("tx_isolation");
    return setting == settings_.values().end() ? std::string("default") : setting->second;
  };
  const std::string old_level = level();
  const bool was_open = in_transaction_;
  Variables assigned;
  set_texts_.reset();
  const bool collates = std::ranges::any_of(set->items, changes_collation);
  if (collates) co_await keep_texts();
  Status done = co_await change_settings(*ast, *set, assigned);
  if (collates) co_await forget_kept_texts();
  if (!done.ok()) co_return not_set(std::move(done).error());
  note_texts(assigned);
  for (auto& [name, value] : assigned) user_variables_[name] = std::move(value);
  using Access = mysql::TransactionOptions::Access;
  if (in_transaction_ && options_.access == Access::kSession && session_reads_only() && !read_only) {
    options_.access = Access::kReadWrite;  // It is about the next one: shards that join this one read and write.
  }
  if (in_transaction_ && options_.isolation == mysql::TransactionOptions::Isolation::kSession && level() != old_level) {
    Status kept = co_await keep_isolation(old_level);  // Likewise.
    if (!kept.ok()) co_return not_set(std::move(kept).error());
  }
  const auto is_autocommit = [](const sql::SetItem& item) {
    return item.kind == sql::SetItemKind::kSystemVariable && lower(item.name.text) == "autocommit";
  };
  if (!autocommit_ && in_transaction_ && !was_open && std::ranges::any_of(set->items, is_autocommit)) {
    co_await rollback_all();  // What the values' queries have begun is over: seen on MariaDB 10.11.
  }
  if (autocommit_ && !autocommit && !in_transaction_) savepoints_.clear();
  if (autocommit_ && !autocommit && in_transaction_) {
    RunResult committed = co_await commit();
    if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
  }
  if (autocommit_ && has_server_autocommit_off()) {
    if (Status back = co_await set_server_autocommit(true); !back.ok())
      co_return RunResult::failed(std::move(back).error());
  }
  if (!autocommit_ && autocommit && tables_locked_ && !in_transaction_) {
    if (Status off = co_await set_server_autocommit(false); !off.ok())
      co_return RunResult::failed(std::move(off).error());
  }
  if (plan::found_rows_of(ast->statement()) == plan::FoundRows::kUnknown) found_rows_ = kFoundRowsUnknown;
  row_count_ = 0;
  Status sent = co_await send_ok({});
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

}  // namespace vitrail::gate
