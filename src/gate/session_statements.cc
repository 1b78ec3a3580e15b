// Statements that the gate answers itself: transactions, SET, USE, SHOW of Vitess' own objects, and session functions.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>

#include "gate/session.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "sql/literal.h"
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

// Variables that mean something to the gate alone, or nothing at all here: accepted, not sent on.
const std::set<std::string, std::less<>>& accepted_variables() {
  static const std::set<std::string, std::less<>> names = {"workload",
                                                           "transaction_mode",
                                                           "client_found_rows",
                                                           "skip_query_plan_cache",
                                                           "sql_select_limit",
                                                           "query_timeout",
                                                           "transaction_timeout",
                                                           "ddl_strategy",
                                                           "migration_context",
                                                           "session_uuid",
                                                           "enable_system_settings",
                                                           "read_after_write_gtid",
                                                           "read_after_write_timeout",
                                                           "session_track_gtids",
                                                           "big_tables",
                                                           "interactive_timeout",
                                                           "net_buffer_length",
                                                           "net_read_timeout",
                                                           "net_write_timeout",
                                                           "net_retry_count",
                                                           "wait_timeout",
                                                           "max_allowed_packet",
                                                           "lock_wait_timeout",
                                                           "character_set_server",
                                                           "collation_server",
                                                           "character_set_database",
                                                           "collation_database",
                                                           "sql_auto_is_null",
                                                           "sql_safe_updates",
                                                           "query_cache_type",
                                                           "profiling"};
  return names;
}

const std::set<std::string, std::less<>>& refused_variables() {
  static const std::set<std::string, std::less<>> names = {"auto_increment_increment",
                                                           "auto_increment_offset",
                                                           "binlog_format",
                                                           "binlog_row_image",
                                                           "sql_log_bin",
                                                           "gtid_domain_id",
                                                           "gtid_seq_no",
                                                           "server_id",
                                                           "pseudo_thread_id",
                                                           "timestamp",
                                                           "insert_id",
                                                           "last_insert_id",
                                                           "identity"};
  return names;
}

bool plain_word(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) || c == '_'; });
}

bool truth(std::string_view value) {
  const std::string v = lower(value);
  return v == "1" || v == "on" || v == "true";
}

}  // namespace

net::Task<std::optional<RunResult>> ClientSession::run_local(const Statement& statement) {
  using enum sql::StatementKind;
  auto ok = [](ClientSession& self) -> net::Task<std::optional<RunResult>> {
    Status sent = co_await self.send_ok({});
    co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
  };
  switch (statement.scan.kind) {
    case kEmpty: co_return RunResult::failed(fail(Code::kInvalidArgument, "Query was empty").with_mysql(1065, "42000"));
    case kBegin: {
      if (in_transaction_) {
        RunResult committed = co_await commit();
        if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
      }
      in_transaction_ = true;
      co_return co_await ok(*this);
    }
    case kCommit: {
      RunResult committed = co_await commit();
      if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
      co_return co_await ok(*this);
    }
    case kRollback: co_await rollback_all(); co_return co_await ok(*this);
    case kSavepoint:
    case kRollbackTo:
    case kRelease: co_return co_await savepoint(std::string(statement.text));
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
    case kUnlockTables:
      if (shard_.empty()) {
        co_return RunResult::failed(
            fail(Code::kUnimplemented, "VT12001: unsupported: LOCK TABLES without a named shard"));
      }
      co_return std::nullopt;
    case kKill: co_return RunResult::failed(fail(Code::kUnimplemented, "VT12001: unsupported: KILL"));
    default: co_return std::nullopt;
  }
}

std::string ClientSession::settings_text() const {
  if (settings_.empty()) return "";
  std::string text = "set ";
  bool first = true;
  for (const auto& [name, value] : settings_) {
    if (!first) text += ", ";
    first = false;
    text += name == "names" ? "names " + value : "@@session." + name + " = " + value;
  }
  return text;
}

Status ClientSession::apply_setting(std::string name, std::string value) {
  if (name == "sql_mode") {
    const std::string modes = lower(value);
    for (const char* mode : {"ansi_quotes", "no_backslash_escapes", "pipes_as_concat", "high_not_precedence", "'ansi'",
                             "oracle", "mssql", "db2", "maxdb"}) {
      if (modes.find(mode) != std::string::npos) {
        return fail(Code::kUnimplemented, fmt::format("VT12001: unsupported: setting the sql_mode: {}", mode));
      }
    }
  }
  if (name == "character_set_client" || name == "character_set_connection" || name == "character_set_results") {
    // What clients set one by one; together they are SET NAMES.
    if (value == "null" || value == "NULL" || value == "''") return {};
  }
  settings_[std::move(name)] = std::move(value);
  return {};
}

net::Task<RunResult> ClientSession::run_set(std::string_view text) {
  auto ast = sql::parse(text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  const auto* set = sql::statement_as<sql::SetStatement>(&ast->statement());
  if (set == nullptr || set->statement != nullptr) {
    co_return RunResult::failed(fail(Code::kUnimplemented, "VT12001: unsupported: this form of SET"));
  }
  const auto old_settings = settings_;
  auto fail_with = [&](Error error) {
    settings_ = old_settings;
    return RunResult::failed(std::move(error));
  };
  for (const auto& item : set->items) {
    const std::string name = lower(item.name.text);
    switch (item.kind) {
      case sql::SetItemKind::kNames:
      case sql::SetItemKind::kCharset: {
        if (name.empty() || name == "default") {
          settings_.erase("names");
          break;
        }
        if (!plain_word(name))
          co_return fail_with(
              fail(Code::kInvalidArgument, "Unknown character set: '" + name + "'").with_mysql(1115, "42000"));
        std::string value = name;
        if (!item.collation.empty()) {
          if (!plain_word(item.collation.text))
            co_return fail_with(fail(Code::kInvalidArgument, "Unknown collation").with_mysql(1273, "HY000"));
          value += " collate " + std::string(item.collation.text);
        }
        settings_["names"] = value;
        break;
      }
      case sql::SetItemKind::kUserVariable: {
        const auto* literal = sql::as<sql::Literal>(item.value);
        const auto* minus = sql::as<sql::Unary>(item.value);
        if (minus != nullptr && minus->op == sql::UnaryOp::kMinus) literal = sql::as<sql::Literal>(minus->operand);
        if (literal == nullptr) {
          co_return fail_with(
              fail(Code::kUnimplemented, "VT12001: unsupported: a user variable can be set to a literal only"));
        }
        mysql::Value value;
        switch (literal->literal) {
          case sql::LiteralKind::kNull: break;
          case sql::LiteralKind::kInteger:
            value = mysql::Value::of_int(0);
            value.bytes = literal->text;
            break;
          case sql::LiteralKind::kDecimal:
            value = {mysql::FieldType::kNewDecimal, false, false, std::string(literal->text)};
            break;
          case sql::LiteralKind::kString:
            value = mysql::Value::of_text(sql::string_value(*literal).value_or(""));
            break;
          default:
            co_return fail_with(
                fail(Code::kUnimplemented, "VT12001: unsupported: a user variable of this kind of literal"));
        }
        if (minus != nullptr) value.bytes.insert(0, "-");
        user_variables_[name] = std::move(value);
        break;
      }
      case sql::SetItemKind::kTransaction: {
        if (item.scope == sql::VariableScope::kGlobal) {
          co_return fail_with(fail(Code::kUnimplemented, "VT12001: unsupported: SET GLOBAL"));
        }
        static constexpr std::array<const char*, 5> kLevels = {"", "'READ-UNCOMMITTED'", "'READ-COMMITTED'",
                                                               "'REPEATABLE-READ'", "'SERIALIZABLE'"};
        if (item.isolation != sql::IsolationLevel::kNone) {
          settings_["tx_isolation"] = kLevels[static_cast<size_t>(item.isolation)];
        }
        if (item.access == sql::AccessMode::kReadOnly) settings_["tx_read_only"] = "1";
        if (item.access == sql::AccessMode::kReadWrite) settings_.erase("tx_read_only");
        break;
      }
      case sql::SetItemKind::kText:
        co_return fail_with(fail(Code::kUnimplemented, "VT12001: unsupported: this form of SET"));
      case sql::SetItemKind::kSystemVariable: {
        if (item.scope == sql::VariableScope::kGlobal || item.scope == sql::VariableScope::kPersist ||
            item.scope == sql::VariableScope::kPersistOnly) {
          co_return fail_with(fail(Code::kUnimplemented,
                                   fmt::format("VT12001: unsupported: SET GLOBAL {}: set it on the servers", name)));
        }
        auto replaced = with_session_values(item.value->span.of(ast->text()));
        if (!replaced.ok()) co_return fail_with(std::move(replaced).error());
        std::string value = replaced->has_value() ? **replaced : sql::print(*item.value);
        if (name == "autocommit") {
          const bool on = truth(value);
          if (on && !autocommit_ && in_transaction_) {
            RunResult committed = co_await commit();
            if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
          }
          autocommit_ = on;
          break;
        }
        if (accepted_variables().contains(name)) break;
        if (refused_variables().contains(name)) {
          co_return fail_with(
              fail(Code::kUnimplemented, fmt::format("VT12001: unsupported: setting the variable {}", name)));
        }
        std::string server_name = name == "transaction_isolation"   ? "tx_isolation"
                                  : name == "transaction_read_only" ? "tx_read_only"
                                                                    : name;
        if (lower(value) == "default") {
          settings_.erase(server_name);
          break;
        }
        if (Status applied = apply_setting(std::move(server_name), std::move(value)); !applied.ok()) {
          co_return fail_with(std::move(applied).error());
        }
        break;
      }
    }
  }
  std::string next = settings_text();
  if (next != settings_text_) {
    // Tried on a connection at once: a wrong name or value is told now, with the server's own words.
    const std::string before = std::exchange(settings_text_, std::move(next));
    Statement nowhere;
    auto targets = resolve(plan::Route{.keyspace = keyspace_}, nowhere);
    if (targets.ok() && !settings_text_.empty()) {
      auto lease = co_await lease_for(targets->front(), query_wait());
      if (!lease.ok() && lease.error().mysql_errno() != 0) {
        settings_text_ = before;
        co_return fail_with(std::move(lease).error());
      }
    }
    // An open transaction goes on with the new settings.
    for (auto& participant : participants_) {
      if (settings_text_.empty()) break;
      auto result = co_await participant.lease->client.query(settings_text_, query_wait());
      if (!result.ok()) co_return fail_with(std::move(result).error());
      participant.lease->settings = settings_text_;
    }
  }
  Status sent = co_await send_ok({});
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
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

Result<std::optional<std::string>> ClientSession::with_session_values(std::string_view text) const {
  // A look at the words first: nearly no statement has any of these.
  bool found = false;
  sql::Lexer lexer(text);
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next()) {
    if (token.type == sql::TokenType::kUserVariable) found = true;
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
  if (const auto* query = sql::statement_as<sql::QueryStatement>(&ast->statement());
      query != nullptr && !is_set_value) {
    if (auto* select = sql::as<sql::Select>(query->query)) {
      for (auto& item : select->items) {
        if (item.alias.empty() && sql::as<sql::Star>(item.expr) == nullptr &&
            sql::as<sql::Column>(item.expr) == nullptr) {
          item.alias.text = item.expr->span.of(ast->text());
        }
      }
      printed = sql::print(ast->statement(), options);
    }
  }
  return printed;
}

}  // namespace vitrail::gate
