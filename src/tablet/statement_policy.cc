#include "tablet/statement_policy.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/text.h"
#include "sql/lexer.h"
#include "sql/literal.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::tablet {
namespace {

using base::to_lower;
using sql::Token;
using sql::TokenType;

constexpr std::string_view kReplication = "replication and the binary log are the tablets': use vtctldclient";
constexpr std::string_view kAccounts =
    "accounts of the servers are the operator's; users of vtgate are in its own list (--mysql-auth-server-impl)";
constexpr std::string_view kStops = "it would stop other clients of the server";
constexpr std::string_view kServer = "it concerns the whole server, which is not the application's";
constexpr std::string_view kSystem = "the server's and the tablet's own tables are not the application's to change";
constexpr std::string_view kFiles =
    "files of the server's machine are out of reach; --queryserver-enable-file-statements lets them in";
constexpr std::string_view kDatabase = "a session stays in the database of its keyspace";
constexpr std::string_view kDatabases = "databases come and go with keyspaces: use vtctldclient CreateKeyspace";
constexpr std::string_view kEvents = "the server would run it by itself, on every server and outside of any vtgate";
constexpr std::string_view kConnections = "a vtgate's connections are not the server's";
constexpr std::string_view kXa = "transactions over several servers are vtgate's";

std::string refused(std::string_view what, std::string_view why) {
  return fmt::format("statement not allowed: {}: {}", what, why);
}

// ---- By words: for what is kept as text, and for what the parser does not understand --------------------------------

// A statement that begins with these words ("" is any). The first match counts.
struct Verb {
  std::string_view first, second, third;
  std::string_view what, why;
};
constexpr Verb kVerbs[] = {
    {"reset", "query", "", "RESET QUERY CACHE", kServer},
    {"reset", "", "", "RESET", kReplication},
    {"change", "", "", "CHANGE MASTER / REPLICATION", kReplication},
    {"start", "slave", "", "START SLAVE", kReplication},
    {"start", "replica", "", "START REPLICA", kReplication},
    {"start", "all", "", "START ALL SLAVES", kReplication},
    {"start", "group_replication", "", "START GROUP_REPLICATION", kReplication},
    {"stop", "", "", "STOP SLAVE / REPLICA", kReplication},
    {"purge", "", "", "PURGE BINARY LOGS", kReplication},
    {"binlog", "", "", "BINLOG", kReplication},
    {"show", "binlog", "", "SHOW BINLOG EVENTS", kReplication},
    {"show", "relaylog", "", "SHOW RELAYLOG EVENTS", kReplication},
    {"show", "explain", "", "SHOW EXPLAIN FOR", kConnections},
    {"show", "analyze", "", "SHOW ANALYZE FOR", kConnections},
    {"grant", "", "", "GRANT", kAccounts},
    {"revoke", "", "", "REVOKE", kAccounts},
    {"rename", "user", "", "RENAME USER", kAccounts},
    {"set", "password", "", "SET PASSWORD", kAccounts},
    {"set", "role", "", "SET ROLE", kAccounts},
    {"set", "default", "role", "SET DEFAULT ROLE", kAccounts},
    {"show", "create", "user", "SHOW CREATE USER", kAccounts},
    {"show", "grants", "for", "SHOW GRANTS FOR", kAccounts},
    {"flush", "", "", "FLUSH", kStops},
    {"kill", "", "", "KILL", kStops},
    {"lock", "instance", "", "LOCK INSTANCE", kStops},
    {"unlock", "instance", "", "UNLOCK INSTANCE", kStops},
    {"backup", "", "", "BACKUP", kStops},
    {"clone", "", "", "CLONE", kServer},
    {"restart", "", "", "RESTART", kServer},
    {"shutdown", "", "", "SHUTDOWN", kServer},
    {"install", "", "", "INSTALL", kServer},
    {"uninstall", "", "", "UNINSTALL", kServer},
    {"import", "table", "", "IMPORT TABLE", kServer},
    {"cache", "index", "", "CACHE INDEX", kServer},
    {"load", "index", "", "LOAD INDEX INTO CACHE", kServer},
    {"xa", "", "", "XA", kXa},
    {"use", "", "", "USE", kDatabase},
};

// What CREATE, ALTER and DROP may not be about.
struct Object {
  std::string_view word;
  std::string_view next;  // "" is any.
  std::string_view why;
};
constexpr Object kObjects[] = {
    {"user", "", kAccounts},   {"role", "", kAccounts},      {"server", "", kServer},
    {"event", "", kEvents},    {"tablespace", "", kServer},  {"undo", "", kServer},
    {"logfile", "", kServer},  {"resource", "", kServer},    {"spatial", "reference", kServer},
    {"instance", "", kServer}, {"database", "", kDatabases}, {"schema", "", kDatabases},
};
constexpr std::string_view kHarmlessObjects[] = {"table",    "view",    "index",   "procedure",       "trigger",
                                                 "sequence", "package", "vschema", "vitess_migration"};

bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// "" for anything but an unquoted word.
std::string word_of(const Token& token, std::string_view text) {
  return token.type == TokenType::kWord ? to_lower(token.text(text)) : "";
}

bool is_global_scope(std::string_view word) { return word == "global" || word == "persist" || word == "persist_only"; }

std::string refusal_of_set(sql::Lexer lexer, std::string_view text) {
  bool item = true;  // The next token begins an assignment.
  for (;;) {
    const Token token = lexer.next();
    if (token.type == TokenType::kEnd || token.type == TokenType::kError || token.type == TokenType::kSemicolon) {
      return "";
    }
    if (item && is_global_scope(word_of(token, text))) return refused("SET " + word_of(token, text), kServer);
    if (item && token.type == TokenType::kAtAt && is_global_scope(word_of(lexer.next(), text))) {
      return refused("SET @@global", kServer);
    }
    item = token.type == TokenType::kComma;
  }
}

std::string refusal_of_function(sql::Lexer lexer, std::string_view text) {
  std::string before;
  for (int i = 0; i < 12; ++i) {
    const Token token = lexer.next();
    const std::string word = word_of(token, text);
    constexpr std::array<std::string_view, 5> kReturns = {"string", "integer", "int", "real", "decimal"};
    if (word == "soname" && is_one_of(before, kReturns)) return refused("CREATE FUNCTION .. SONAME", kServer);
    before = word;
  }
  return "";
}

// Where a table's files lie is the operator's: on several servers of one machine the folder would be the same.
std::string refusal_of_folders(sql::Lexer lexer, std::string_view text) {
  std::string before;
  bool moved = false;  // DISCARD or IMPORT [PARTITION names] came before.
  for (Token token = lexer.next();
       token.type != TokenType::kEnd && token.type != TokenType::kError && token.type != TokenType::kSemicolon;
       token = lexer.next()) {
    const std::string word = word_of(token, text);
    if (word == "directory" && (before == "data" || before == "index")) {
      return refused(base::to_upper(before) + " DIRECTORY", kFiles);
    }
    if (word == "tablespace" && moved) return refused("DISCARD / IMPORT TABLESPACE", kFiles);
    moved = moved || word == "discard" || word == "import";
    before = word;
  }
  return "";
}

std::string refusal_of_ddl(sql::Lexer lexer, std::string_view text, const std::string& action,
                           const StatementPolicy& policy) {
  for (int i = 0; i < 16; ++i) {
    const Token token = lexer.next();
    if (token.type == TokenType::kEnd || token.type == TokenType::kError) return "";
    const std::string word = word_of(token, text);
    if (word == "definer") {  // = somebody@somewhere
      lexer.next();
      lexer.next();
      continue;
    }
    if (word == "function") return action == "create" ? refusal_of_function(lexer, text) : "";
    if (word == "table" && !policy.allow_files) return refusal_of_folders(lexer, text);
    if (is_one_of(word, kHarmlessObjects)) return "";
    sql::Lexer ahead = lexer;
    const std::string next = word_of(ahead.next(), text);
    for (const Object& object : kObjects) {
      if (word != object.word || (!object.next.empty() && next != object.next)) continue;
      if (object.why == kDatabases && action == "alter") return "";
      return refused(base::to_upper(action) + " " + base::to_upper(word), object.why);
    }
  }
  return "";
}

// `lexer` stands before a statement's first token.
std::string refusal_of_words(sql::Lexer lexer, std::string_view text, const StatementPolicy& policy) {
  const std::string first = word_of(lexer.next(), text);
  if (first.empty()) return "";
  sql::Lexer behind_first = lexer;
  const std::array<std::string, 3> words = {word_of(lexer.next(), text), word_of(lexer.next(), text),
                                            word_of(lexer.next(), text)};
  for (const Verb& verb : kVerbs) {
    if (first == verb.first && (verb.second.empty() || verb.second == words[0]) &&
        (verb.third.empty() || verb.third == words[1])) {
      return refused(verb.what, verb.why);
    }
  }
  if (first == "load" && !policy.allow_files) {
    const bool local = std::any_of(words.begin() + 1, words.end(), [](const auto& word) { return word == "local"; });
    return local ? "" : refused("LOAD DATA INFILE", kFiles);
  }
  if (first == "set") return refusal_of_set(behind_first, text);
  if (first == "create" || first == "alter" || first == "drop")
    return refusal_of_ddl(behind_first, text, first, policy);
  return "";
}

// Where a statement may begin, behind `previous`, in the text of several or in a stored program.
bool may_begin_behind(const Token& previous, std::string_view text, bool program) {
  if (previous.type == TokenType::kSemicolon || previous.type == TokenType::kColon) return true;
  if (program && (previous.type == TokenType::kRightParen || previous.type == TokenType::kString)) return true;
  constexpr std::array<std::string_view, 19> kOpeners = {
      "begin", "then",          "else",         "do",         "loop",    "repeat",  "atomic",
      "row",   "deterministic", "sql",          "data",       "definer", "invoker", "handler",
      "for",   "immediate",     "sqlexception", "sqlwarning", "found"};
  return is_one_of(word_of(previous, text), kOpeners);
}

bool is_own_schema(std::string_view lower, const StatementPolicy& policy) {
  return lower == "mysql" || lower == "sys" || lower == "performance_schema" || lower == policy.sidecar_database;
}

std::string name_of(const Token& token, std::string_view text) {
  if (token.type == TokenType::kWord) return to_lower(token.text(text));
  if (token.type == TokenType::kQuotedIdentifier && token.length > 2) {
    return to_lower(text.substr(token.offset + 1, token.length - 2));
  }
  return "";
}

enum class Text : uint8_t { kStatement, kProgram };

std::string refusal_of_text(std::string_view text, Text kind, const sql::LexOptions& options,
                            const StatementPolicy& policy) {
  sql::Lexer lexer(text, options);
  const bool program = kind == Text::kProgram;
  bool begins = true;
  Token previous;
  for (;;) {
    const sql::Lexer here = lexer;
    const Token token = lexer.next();
    if (token.type == TokenType::kEnd || token.type == TokenType::kError) return "";
    if (token.type == TokenType::kSemicolon && begins) continue;
    if (begins || may_begin_behind(previous, text, program)) {
      if (std::string refusal = refusal_of_words(here, text, policy); !refusal.empty()) return refusal;
    }
    begins = false;
    // In a program's body such a word may be an alias.
    if (!program && is_own_schema(name_of(token, text), policy)) {
      sql::Lexer ahead = lexer;
      if (ahead.next().type == TokenType::kDot) return refused(name_of(token, text) + ".*", kSystem);
    }
    previous = token;
  }
}

// ---- By the tree ----------------------------------------------------------------------------------------------------

// Tables of the database `mysql` that say nothing of accounts, passwords or other clients' statements.
bool may_be_read(std::string_view lower) {
  return lower.starts_with("time_zone") || lower.starts_with("help_") || lower == "innodb_index_stats" ||
         lower == "innodb_table_stats";
}

bool is_binlog_variable(std::string_view lower) {
  constexpr std::array<std::string_view, 16> kNames = {
      "sql_log_bin",         "sql_log_off",      "gtid_next",         "gtid_domain_id",
      "gtid_seq_no",         "server_id",        "server_uuid",       "binlog_format",
      "binlog_row_image",    "skip_replication", "pseudo_slave_mode", "pseudo_thread_id",
      "pseudo_replica_mode", "wsrep_on",         "gtid_purged",       "gtid_slave_pos"};
  return is_one_of(lower, kNames);
}

class Judge : public sql::Walker {
 public:
  Judge(const StatementPolicy& policy, const sql::LexOptions& options, int depth)
      : policy_(policy), options_(options), depth_(depth) {}
  PolicyVerdict take() { return std::move(verdict_); }

 protected:
  bool enter(const sql::Statement& statement) override {
    look(statement);
    return verdict_.refusal.empty();
  }
  bool enter(const sql::Query& query) override {
    if (query.into != nullptr && query.into->kind != sql::IntoKind::kVariables && !policy_.allow_files) {
      refuse("SELECT INTO OUTFILE", kFiles);
    }
    return verdict_.refusal.empty();
  }
  bool enter(const sql::Expr& expr) override {
    if (const auto* call = sql::as<sql::FunctionCall>(&expr);
        call != nullptr && !policy_.allow_files && call->schema.empty() &&
        base::equals_ignoring_case(call->name.text, "load_file")) {
      refuse("LOAD_FILE()", kFiles);
    }
    return verdict_.refusal.empty();
  }

 private:
  void refuse(std::string_view what, std::string_view why) {
    if (verdict_.refusal.empty()) verdict_.refusal = refused(what, why);
  }

  void look(const sql::Statement& statement) {
    using enum sql::StatementKind;
    switch (statement.kind) {
      case kSet: look_at_set(static_cast<const sql::SetStatement&>(statement)); break;
      case kShow: look_at_show(static_cast<const sql::Show&>(statement)); break;
      case kUse: refuse("USE", kDatabase); break;
      case kFlush: refuse("FLUSH", kStops); break;
      case kKill: refuse("KILL", kStops); break;
      case kExplain:
        if (static_cast<const sql::Explain&>(statement).connection != nullptr) {
          refuse("EXPLAIN FOR CONNECTION", kConnections);
        }
        break;
      case kCall: look_at_name(static_cast<const sql::Call&>(statement).procedure); break;
      case kLoad:
        if (!static_cast<const sql::LoadData&>(statement).local && !policy_.allow_files) {
          refuse("LOAD DATA INFILE", kFiles);
        }
        break;
      case kPrepare:
      case kExecute: look_at_source(static_cast<const sql::PreparedStatement&>(statement)); break;
      case kDdl: look_at_ddl(static_cast<const sql::Ddl&>(statement)); break;
      case kOther: look_at_text(static_cast<const sql::TextStatement&>(statement).text, Text::kStatement); break;
      default: break;
    }
    const bool any_use_changes = statement.kind == kLockTables || statement.kind == kTableAdmin;
    for (const auto& use : sql::collect_tables(statement)) {
      const std::string schema = to_lower(use.qualifier);
      if (!is_own_schema(schema, policy_)) continue;
      const std::string name = to_lower(use.name);
      if (any_use_changes || use.access == sql::TableAccess::kWrite) refuse(schema + "." + name, kSystem);
      if (schema == "mysql" && !may_be_read(name)) refuse(schema + "." + name, kAccounts);
    }
  }

  void look_at_name(const sql::TableName& name) {
    const std::string schema = to_lower(name.qualifier.text);
    if (is_own_schema(schema, policy_)) refuse(schema + "." + to_lower(name.name.text), kSystem);
  }

  void look_at_text(std::string_view text, Text kind) {
    if (!verdict_.refusal.empty()) return;
    verdict_.refusal = refusal_of_text(text, kind, options_, policy_);
  }

  void look_at_set(const sql::SetStatement& set) {
    for (const sql::SetItem& item : set.items) {
      const bool global = item.scope == sql::VariableScope::kGlobal || item.scope == sql::VariableScope::kPersist ||
                          item.scope == sql::VariableScope::kPersistOnly;
      if (global) refuse("SET GLOBAL", kServer);
      const bool password = item.kind == sql::SetItemKind::kSystemVariable && !item.at_form &&
                            base::equals_ignoring_case(item.name.text, "password");
      if (item.kind == sql::SetItemKind::kText || password) refuse("SET PASSWORD / ROLE", kAccounts);
      if (item.kind == sql::SetItemKind::kSystemVariable && is_binlog_variable(to_lower(item.name.text))) {
        refuse("SET " + to_lower(item.name.text), kReplication);
      }
    }
  }

  void look_at_show(const sql::Show& show) {
    if (show.show == sql::ShowKind::kCreateOther && show.subject.starts_with("create user")) {
      refuse("SHOW CREATE USER", kAccounts);
    }
    if (show.subject.starts_with("explain") || show.subject.starts_with("analyze")) {
      refuse("SHOW EXPLAIN FOR", kConnections);
    }
    if (show.subject.starts_with("binlog") || show.subject.starts_with("relaylog")) {
      refuse("SHOW BINLOG EVENTS", kReplication);
    }
    if (show.show == sql::ShowKind::kGrants) {
      const std::string of = to_lower(base::trim(show.text));
      if (!of.empty() && !of.starts_with("for current_user")) refuse("SHOW GRANTS FOR", kAccounts);
    }
    if (show.show != sql::ShowKind::kCreateOther)
      look_at_name(show.table.qualifier.empty() ? sql::TableName{} : show.table);
  }

  void look_at_source(const sql::PreparedStatement& prepared) {
    if (prepared.source == nullptr) return;
    const auto* literal = sql::as<sql::Literal>(prepared.source);
    if (literal == nullptr) return;
    verdict_.by_literal = true;
    const auto text = sql::string_value(*literal);
    if (!text) return;
    if (depth_ >= 4) return refuse("PREPARE", "statements in statements in statements");
    sql::ParseOptions parse_options;
    parse_options.lex = options_;
    const auto ast = sql::parse(*text, parse_options);
    if (!ast.ok()) return look_at_text(*text, Text::kStatement);
    Judge inner(policy_, options_, depth_ + 1);
    inner.walk(ast->statement());
    verdict_.refusal = inner.take().refusal;
  }

  void look_at_ddl(const sql::Ddl& ddl) {
    using enum sql::DdlObject;
    for (const sql::DdlName& name : ddl.names) {
      look_at_name(name.name);
      if (ddl.object == kDatabase && is_own_schema(to_lower(name.name.name.text), policy_)) {
        refuse(to_lower(name.name.name.text), kSystem);
      }
    }
    const bool program = ddl.object == kProcedure || ddl.object == kFunction || ddl.object == kTrigger ||
                         ddl.object == kEvent || ddl.object == kOther;
    if (program || ddl.object == kDatabase) look_at_text(ddl.text, Text::kProgram);
    if (ddl.object == kTable && !policy_.allow_files && verdict_.refusal.empty()) {
      verdict_.refusal = refusal_of_folders(sql::Lexer(ddl.text, options_), ddl.text);
    }
  }

  const StatementPolicy& policy_;
  const sql::LexOptions& options_;
  const int depth_;
  PolicyVerdict verdict_;
};

PolicyVerdict judge_tree(std::string_view text, const sql::Ast* ast, const sql::LexOptions& options,
                         const StatementPolicy& policy) {
  if (ast == nullptr) {
    // A text of several statements, or one that only the server understands.
    return {.refusal = refusal_of_text(text, Text::kStatement, options, policy)};
  }
  Judge judge(policy, options, 0);
  judge.walk(ast->statement());
  return judge.take();
}

}  // namespace

PolicyVerdict judge_statement(std::string_view text, const sql::Ast* ast, const StatementPolicy& policy) {
  PolicyVerdict verdict = judge_tree(text, ast, {}, policy);
  if (!verdict.refusal.empty()) return verdict;
  if (text.find("/*!") == std::string_view::npos && text.find("/*M!") == std::string_view::npos) return verdict;
  for (const bool mariadb : {false, true}) {
    sql::ParseOptions options;
    options.lex.mariadb = mariadb;
    options.lex.server_version = 999'999;
    const auto other = sql::parse(text, options);
    PolicyVerdict more = judge_tree(text, other.ok() ? &*other : nullptr, options.lex, policy);
    verdict.by_literal = verdict.by_literal || more.by_literal;
    if (!more.refusal.empty()) verdict.refusal = std::move(more.refusal);
  }
  return verdict;
}

}  // namespace vitrail::tablet
