// Statements that the gate answers itself: transactions, SET, USE, SHOW of Vitess' own objects, and session functions.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "gate/get_diagnostics.h"
#include "gate/session.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "plan/given_id.h"
#include "plan/planner.h"
#include "plan/schema_names.h"
#include "sql/literal.h"
#include "sql/names.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"
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

std::string first_word(const Statement& statement) {
  std::string_view text = statement.text.substr(std::min<size_t>(statement.scan.first_offset, statement.text.size()));
  const auto end = std::ranges::find_if(text, [](unsigned char c) { return !std::isalpha(c); });
  return lower(text.substr(0, static_cast<size_t>(end - text.begin())));
}

// A number of the session is a BIGINT, which a small literal is not, whatever it is cast to; the result of | is. In the
// answer to a query its type is seen. (Where a value decides about a shard it has to be a literal.)
void append_integer(std::string& out, std::string_view digits, bool is_unsigned, bool in_query) {
  const auto fits = [&](auto number) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  is_unsigned = fits(uint64_t{}) && (is_unsigned || !fits(int64_t{}));
  if (!in_query || (!is_unsigned && !fits(int64_t{}))) {
    out += digits;
  } else if (is_unsigned) {
    out += fmt::format("{} | 0", digits);
  } else {
    out += fmt::format("cast({} | 0 as signed)", digits);
  }
}

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
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
    case kEmpty:
      // A comment alone is a statement that does nothing.
      if (statement.text.find_first_not_of(" \t\r\n\v\f;") != std::string_view::npos) co_return co_await ok(*this);
      co_return RunResult::failed(fail(Code::kInvalidArgument, "Query was empty").with_mysql(1065, "42000"));
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
      co_return co_await then_ok(*this, RunResult::answered());
    }
    case kSet: co_return co_await run_set(statement);
    case kAlterVschema: co_return co_await alter_vschema(std::string(statement.text));
    case kShow: {
      auto ast = sql::parse(statement.text);
      if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
      co_return co_await run_show(*ast);
    }
    case kLockTables:
    case kUnlockTables: co_return co_await then_ok(*this, co_await lock_tables(statement));
    case kStream: co_return co_await stream_messages(statement);
    case kKill: co_return co_await then_ok(*this, co_await kill(statement));
    case kSelect: co_return co_await run_select_into(statement);
    case kPrepare:
    case kExecute:
    case kDeallocate: co_return co_await run_text_prepared(statement);
    case kOther:
      if (first_word(statement) == "xa") {
        co_return RunResult::failed(
            fail(Code::kUnimplemented, "VT12001: unsupported: XA transactions; use BEGIN, over several shards too"));
      }
      if (first_word(statement) == "get") {
        const Diagnostics known{
            .conditions = warning_rows_, .row_count = row_count_, .variable = [&](const auto& name) {
              const auto value = user_variables_.find(name);
              return value == user_variables_.end() ? mysql::Value::null() : value->second;
            }};
        auto told = get_diagnostics(statement.text, known);
        if (!told) co_return std::nullopt;
        if (!told->ok() &&
            told->error().mysql_errno() == kNoSuchCondition) {  // No error to servers: one condition more.
          note_no_condition(told->error());
          co_return co_await ok(*this);
        }
        if (!told->ok()) co_return RunResult::failed(std::move(*told).error());
        for (auto& [name, value] : **told) {
          user_texts_->erase(name);
          if (mysql::is_string_type(value.type)) (*user_texts_)[name] = {.collation = "utf8mb3_general_ci"};
          user_variables_[name] = std::move(value);
        }
        co_return co_await ok(*this);
      }
      co_return std::nullopt;
    default: co_return std::nullopt;
  }
}

namespace {

// Names that are written with the keyspace, which the server calls otherwise.
class Qualified : public sql::Walker {
 public:
  explicit Qualified(const std::string& keyspace) : keyspace_(keyspace) {}
  bool any = false;

 protected:
  using sql::Walker::enter;
  bool enter(const sql::Statement& statement) override {
    if (const auto* call = sql::statement_as<sql::Call>(&statement)) see(call->procedure.qualifier);
    return true;
  }
  bool enter(const sql::Expr& expr) override {
    if (const auto* call = sql::as<sql::FunctionCall>(&expr)) see(call->schema);
    return true;
  }

 private:
  void see(const sql::Identifier& qualifier) { any = any || qualifier.text == keyspace_; }
  const std::string& keyspace_;
};

// Without them; nullopt: there are none.
std::optional<std::string> without_keyspace(sql::Ast& ast, const std::string& keyspace,
                                            std::span<const mysql::Value> parameters) {
  Qualified qualified(keyspace);
  qualified.walk(ast.statement());
  if (!qualified.any && std::ranges::none_of(sql::collect_tables(ast.statement()),
                                             [&](const sql::TableUse& use) { return use.qualifier == keyspace; })) {
    return std::nullopt;
  }
  if (ast.kind() == sql::StatementKind::kSelect) sql::keep_column_names(ast);
  sql::PrintOptions options;
  options.table = [&](const sql::TableName& table, sql::TableRewrite& rewrite) {
    if (table.qualifier.text == keyspace) rewrite.qualifier.clear();
  };
  const auto values = plan::parameter_printer(ast.statement(), parameters);
  options.expr = [&](const sql::Expr& expr, std::string& out) {
    const auto* call = sql::as<sql::FunctionCall>(&expr);
    if (call == nullptr || call->schema.text != keyspace) return values(expr, out);
    sql::FunctionCall plain = *call;
    plain.schema = {};
    out += sql::print(plain, options);
    return true;
  };
  return sql::print(ast.statement(), options);
}

}  // namespace

// A named shard gets the statement as it is, but for names of databases.
plan::Plan ClientSession::named_shard_plan(const Statement& statement) const {
  plan::Plan plan;
  plan.route.keyspace = keyspace_;
  const auto kind = statement.scan.kind;
  plan.is_read = kind == sql::StatementKind::kSelect || kind == sql::StatementKind::kShow;
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) {  // The server may understand it.
    plan.effects = sql::unknown_effects();
    plan.found_rows = plan::FoundRows::kUnknown;
    return plan;
  }
  plan.is_read = kind == sql::StatementKind::kShow || plan::reads_only(ast->statement());
  plan.effects = sql::effects_of(ast->statement());
  plan.found_rows = plan::found_rows_of(ast->statement());
  if (kind == sql::StatementKind::kSelect || kind == sql::StatementKind::kDo) {
    plan::note_questions(ast->statement(), plan);
  }
  const auto view = shared_.view();
  plan::SchemaNames names{.databases = &view->databases, .schema = view->schema.get(), .keyspace = keyspace_};
  if (mentions_processlist(statement.text)) names.processlist = process_query(processes_, processlist_table());
  if (const auto* insert = sql::statement_as<sql::Insert>(&ast->statement()); insert != nullptr && view->schema) {
    plan.given_id = plan::given_id(*insert, schema::find_table(*view->schema, keyspace_, insert->table.name.text));
  }
  if (kind == sql::StatementKind::kTableAdmin) plan.names = {names.database_of(keyspace_), keyspace_};
  if (const auto* show = sql::statement_as<sql::Show>(&ast->statement())) plan::name_show(*show, names, plan);
  plan.text = without_keyspace(*ast, keyspace_, statement.parameters);
  auto of_names = plan::plan_information_schema(*ast, names, statement.parameters);
  if (of_names.ok() && *of_names && (*of_names)->route.keyspace == keyspace_) {
    plan.text = std::move((*of_names)->text);
    plan.names = std::move((*of_names)->names);
  }
  return plan;
}

// The literal in the place of a system variable that the gate holds; nullopt: the server knows better.
std::optional<std::string> ClientSession::gate_variable(const sql::SystemVariable& variable) const {
  using Scope = sql::VariableScope;
  if (variable.scope != Scope::kNone && variable.scope != Scope::kSession && variable.scope != Scope::kLocal) {
    return std::nullopt;
  }
  if (!variable.base.empty()) return std::nullopt;
  return gate_variable(lower(variable.name.text));
}

std::optional<std::string> ClientSession::gate_variable(const std::string& name) const {
  if (name == "autocommit") return autocommit_ ? "1" : "0";
  if (name == "sql_mode" && settings_.reading().any()) return settings_.values().at(name);
  if (name == "last_insert_id" || name == "identity") return std::to_string(last_insert_id_);
  if (name == "warning_count") return std::to_string(warnings_);
  if (name == "error_count") return std::to_string(error_count());
  if (name == "pseudo_thread_id") return std::to_string(connection_id_);
  if (name == "transaction_mode") return single_shard() ? "'SINGLE'" : two_phase() ? "'TWOPC'" : "'MULTI'";
  if (name == "workload" && !stored_.contains(name)) return "'oltp'";
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

TextOrigin ClientSession::origin_of(const std::string& name) const {
  const auto known = user_texts_->find(name);
  return known == user_texts_->end() ? TextOrigin() : known->second;
}

// CHARSET(@a), COLLATION(@a), COERCIBILITY(@a); "": another call, or a server says it of the value.
std::string ClientSession::told_of(const sql::FunctionCall& call) const {
  const auto* variable = sql::as<sql::UserVariable>(call.args[0]);
  const std::string function = lower(call.name.text);
  if (variable == nullptr || (function != "charset" && function != "collation" && function != "coercibility"))
    return "";
  const std::string name = lower(variable->name);
  const auto value = user_variables_.find(name);
  return told_of_variable(function, value == user_variables_.end() ? mysql::Value::null() : value->second,
                          origin_of(name));
}

Result<std::optional<std::string>> ClientSession::with_session_values(std::string_view text,
                                                                      bool with_variables) const {
  // A look at the words first: nearly no statement has any of these.
  bool found = false;
  bool asks_owner = false;  // IS_USED_LOCK() tells the server's number of a connection: CONNECTION_ID() beside it, too.
  sql::Lexer lexer(text);
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next()) {
    if (token.type == sql::TokenType::kUserVariable || token.type == sql::TokenType::kAtAt) found = true;
    if (token.type != sql::TokenType::kWord) continue;
    const std::string_view word = token.text(text);
    if (word.size() < 6 || word.size() > 14) continue;
    const std::string name = lower(word);
    if (name == "last_insert_id" || name == "found_rows" || name == "row_count" || name == "database" ||
        name == "schema" || name == "connection_id") {
      found = true;
    }
    asks_owner = asks_owner || name == "is_used_lock";
  }
  if (!found) return std::nullopt;
  const bool is_set_value = text.substr(0, 1) == "@";
  auto ast = is_set_value ? sql::parse_expression(text) : sql::parse(text);
  if (!ast.ok()) return std::move(ast).error();
  bool replaced = false;
  const bool is_query = !is_set_value && ast->kind() == sql::StatementKind::kSelect;
  // The values of an INSERT may decide about the shards: they stay literals.
  const bool is_row = ast->kind() == sql::StatementKind::kInsert || ast->kind() == sql::StatementKind::kReplace;
  std::optional<Error> error;
  sql::PrintOptions options;
  options.expr = [&](const sql::Expr& expr, std::string& out) {
    if (const auto* variable = sql::as<sql::UserVariable>(&expr)) {
      if (!with_variables) return false;
      const auto value = user_variables_.find(lower(variable->name));
      if (value == user_variables_.end()) {
        out += "NULL";
      } else if (mysql::is_integer_type(value->second.type)) {
        append_integer(out, value->second.bytes, value->second.is_unsigned, is_query);
      } else {
        append_text_variable(out, value->second, origin_of(value->first),
                             is_row ? VariablePlace::kRow : VariablePlace::kStatement, client_charset());
      }
      replaced = true;
      return true;
    }
    if (const auto* variable = sql::as<sql::SystemVariable>(&expr)) {
      if (lower(variable->name.text) == "last_gtid") {
        error = fail(Code::kUnimplemented,
                     "VT12001: unsupported: @@last_gtid, which is of a connection to one server; see SHOW GLOBAL "
                     "GTID_EXECUTED");
        return false;
      }
      const auto value = gate_variable(*variable);
      if (value && is_number(*value)) {
        static const std::set<std::string, std::less<>> kUnsigned = {
            "last_insert_id",      "identity",          "warning_count",   "error_count", "wait_timeout",
            "interactive_timeout", "net_write_timeout", "pseudo_thread_id"};
        append_integer(out, *value, kUnsigned.contains(lower(variable->name.text)), is_query);
      } else if (value) {
        out += *value;
      }
      replaced = replaced || value.has_value();
      return value.has_value();
    }
    const auto* assign = sql::as<sql::Binary>(&expr);
    if (with_variables && assign != nullptr && assign->op == sql::BinaryOp::kAssign) {
      error =
          fail(Code::kUnimplemented, "VT12001: unsupported: assignment to a user variable inside a statement; use SET");
      return false;
    }
    const auto* call = sql::as<sql::FunctionCall>(&expr);
    if (call == nullptr || !call->schema.empty() || call->over != nullptr) return false;
    if (call->args.size() == 1 && with_variables) {
      const std::string known = told_of(*call);
      out += known;
      replaced = replaced || !known.empty();
      return !known.empty();
    }
    if (!call->args.empty()) return false;
    const std::string name = lower(call->name.text);
    if (name == "last_insert_id") {
      append_integer(out, std::to_string(last_insert_id_), true, is_query);
    } else if (name == "found_rows" && found_rows_ == kFoundRowsUnknown) {
      error = fail(Code::kUnimplemented,
                   "VT12001: unsupported: FOUND_ROWS() of which only the server knew, at another time");
      return false;
    } else if (name == "found_rows") {
      append_integer(out, std::to_string(found_rows_), false, is_query);
    } else if (name == "row_count") {
      append_integer(out, std::to_string(row_count_), false, is_query);
    } else if (name == "connection_id" && !asks_owner) {
      out += is_query ? fmt::format("cast({} as unsigned)", connection_id_) : std::to_string(connection_id_);
    } else if (name == "database" || name == "schema") {
      const std::string& used = used_keyspace_ ? *used_keyspace_ : keyspace_;
      mysql::append_sql_literal(out, used.empty() ? mysql::Value::null() : mysql::Value::of_text(used));
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
  if (is_query || ast->kind() == sql::StatementKind::kDdl) {
    sql::keep_column_names(*ast);
    printed = sql::print(ast->statement(), options);
  }
  return printed;
}

}  // namespace vitrail::gate
