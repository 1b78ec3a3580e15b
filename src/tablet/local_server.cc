#include "tablet/local_server.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <regex>

#include "base/log.h"
#include "mysql/convert.h"
#include "mysql/gtid.h"
#include "mysqld/schema_sql.h"
#include "net/scope.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

mysqld::Rows to_rows(const net::QueryResult& result) {
  mysqld::Rows rows;
  for (const auto& column : result.columns) rows.columns.push_back(column.name);
  rows.rows = result.rows;
  return rows;
}

LocalServer::LocalServer(net::MysqlAddress address, std::string user, std::string password)
    : address_(std::move(address)) {
  net::MysqlClientSettings client;
  client.address = address_;
  client.auth.user = std::move(user);
  client.auth.password = std::move(password);
  net::MysqlPool::Options options;
  options.max_connections = 20;
  options.name = "administrative connections to the MySQL server";
  pool_ = std::make_unique<net::MysqlPool>(std::move(client), std::move(options));
}

LocalServer::~LocalServer() = default;

void LocalServer::close() { pool_->close(); }

net::Task<Status> LocalServer::connect(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await pool_->acquire("", wait));
  CO_ASSIGN_OR_RETURN(const auto version, mysqld::parse_server_version(lease->client.server().server_version));
  CO_ASSIGN_OR_RETURN(flavor_, mysqld::Flavor::make(version));
  co_return Status{};
}

net::Task<Result<net::QueryResult>> LocalServer::query(std::string sql, net::Wait wait, std::string database,
                                                       size_t max_rows) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await pool_->acquire("", wait));
  if (!database.empty()) {
    auto used = co_await lease->client.query("use " + mysqld::quote_identifier(database), wait);
    if (!used.ok()) co_return std::move(used).error();
    lease->settings = "use";  // Not as after the login: the next user gets it reset.
  }
  co_return co_await lease->client.query(translated(std::move(sql)), wait, max_rows);
}

net::Task<Status> LocalServer::run(std::vector<std::string> statements, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await pool_->acquire("", wait));
  for (auto& statement : statements) {
    auto result = co_await lease->client.query(translated(std::move(statement)), wait);
    if (!result.ok()) co_return std::move(result).error();
  }
  co_return Status{};
}

net::Task<Result<net::QueryResult>> LocalServer::query_as(Account account, std::string database, std::string sql,
                                                          size_t max_rows, net::Wait wait) {
  net::MysqlClientSettings settings;
  settings.address = address_;
  settings.auth.user = std::move(account.user);
  settings.auth.password = std::move(account.password);
  CO_ASSIGN_OR_RETURN(auto client, co_await net::MysqlClient::connect(std::move(settings), wait));
  if (!database.empty()) {
    auto used = co_await client.query("use " + mysqld::quote_identifier(database), wait);
    if (!used.ok()) co_return std::move(used).error();
  }
  co_return co_await client.query(translated(std::move(sql)), wait, max_rows);
}

std::string LocalServer::flavor_prefix() const {
  return flavor_->kind() == mysqld::FlavorKind::kMariaDb ? "MariaDB/" : "MySQL56/";
}

Result<std::string> LocalServer::bare_position(std::string_view stored) const {
  const size_t slash = stored.find('/');
  if (slash == std::string_view::npos) return std::string(stored);
  const std::string_view expected = flavor_->kind() == mysqld::FlavorKind::kMariaDb ? "MariaDB" : "MySQL56";
  if (stored.substr(0, slash) != expected) {
    return fail(Code::kInvalidArgument,
                fmt::format("position '{}' is not of this server's flavor ({})", stored, expected));
  }
  return std::string(stored.substr(slash + 1));
}

net::Task<Result<std::string>> LocalServer::position(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto result, co_await query(flavor_->position_query(), wait));
  CO_ASSIGN_OR_RETURN(const std::string bare, flavor_->parse_position(to_rows(result)));
  co_return flavor_prefix() + bare;
}

net::Task<Status> LocalServer::wait_for_position(std::string position, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const std::string bare, bare_position(position));
  if (bare.empty()) co_return Status{};
  // The servers' own waits see replicated transactions only, not those that this server wrote itself.
  CO_ASSIGN_OR_RETURN(const std::string present, co_await this->position(wait));
  const auto here = mysql::Position::parse(present), wanted = mysql::Position::parse(flavor_prefix() + bare);
  if (here.ok() && wanted.ok() && here->at_least(*wanted).value_or(false)) co_return Status{};
  const auto left =
      wait.deadline == base::TimePoint::max() ? base::Duration(30s) : wait.deadline - base::system_clock().now();
  const auto timeout = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(left), 1ms);
  CO_ASSIGN_OR_RETURN(const auto result, co_await query(flavor_->wait_for_position(bare, timeout),
                                                        net::Wait::within(timeout + 5s, wait.cancel)));
  co_return flavor_->parse_wait_for_position(to_rows(result));
}

net::Task<Result<mysqld::ReplicationStatus>> LocalServer::replication_status(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto result, co_await query(flavor_->replication_status_query(), wait));
  co_return flavor_->parse_replication_status(to_rows(result));
}

net::Task<Status> LocalServer::set_read_only(bool read_only, net::Wait wait) {
  co_return co_await run(flavor_->set_read_only(read_only), std::move(wait));
}

net::Task<Status> LocalServer::stop_writes(base::Duration patience, net::Wait wait) {
  auto set = [](LocalServer& self, net::Wait limit, net::Event& finished, Status& out) -> net::Task<void> {
    out = co_await self.set_read_only(true, std::move(limit));
    finished.set();
  };
  auto break_waits = [](LocalServer& self, base::Duration pause, net::Wait limit,
                        net::Event& finished) -> net::Task<void> {
    for (;;) {
      const Status ended = co_await finished.wait(net::Wait::within(pause, limit.cancel));
      if (ended.ok() || ended.error().code() != Code::kDeadlineExceeded) co_return;
      auto victims = co_await self.query(
          "select id from information_schema.processlist where state like 'Waiting for semi-sync ACK%'", limit);
      if (!victims.ok()) co_return;
      // MySQL closes the connection of such a session, which goes on to wait all the same: only without
      // semi-synchronous replication it ends. Who would be told then of a commit that nobody acknowledged is to be gone
      // before, also those that are about to wait: whatever statement does not wait for the end of the writes itself.
      const bool stubborn = self.flavor_->kind() == mysqld::FlavorKind::kMySql && !victims->rows.empty();
      if (stubborn) {
        victims = co_await self.query(
            "select id from information_schema.processlist where command in ('Query', 'Execute') and id <> "
            "connection_id() and user <> 'system user' and coalesce(state, '') <> 'Waiting for global read lock' and "
            "coalesce(info, '') not like 'SET GLOBAL super_read_only%'",
            limit);
        if (!victims.ok()) co_return;
      }
      for (size_t i = 0; i < victims->rows.size(); ++i) {
        log_warning("no replica acknowledges a commit: its session {} is ended", victims->text(i, 0));
        (void)co_await self.query(fmt::format("kill {}", victims->text(i, 0)), limit);  // It may have ended just now.
      }
      if (stubborn && !(co_await self.run(self.flavor_->set_semi_sync(false, true), limit)).ok()) co_return;
      pause = 100ms;
    }
  };
  net::Event finished;
  Status outcome;
  std::vector<net::Task<void>> tasks;
  tasks.push_back(set(*this, wait, finished, outcome));
  tasks.push_back(break_waits(*this, patience, wait, finished));
  co_await net::when_all(std::move(tasks));
  co_return outcome;
}

net::Task<Result<mysqld::SemiSyncStatus>> LocalServer::semi_sync(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto variables, co_await query(flavor_->semi_sync_variables_query(), wait));
  CO_ASSIGN_OR_RETURN(const auto status, co_await query(flavor_->semi_sync_status_query(), wait));
  co_return flavor_->parse_semi_sync(to_rows(variables), to_rows(status));
}

net::Task<Result<bool>> LocalServer::set_semi_sync(bool source, bool replica, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto now, co_await semi_sync(wait));
  const bool patient = !source || now.timeout_ms >= mysqld::kSemiSyncTimeoutMs;
  if (now.source_enabled == source && now.replica_enabled == replica && patient) co_return false;
  if (!now.installed) {
    co_return fail(
        Code::kFailedPrecondition,
        "the keyspace's durability policy needs semi-synchronous replication, and the MySQL server lacks its "
        "plugins: load rpl_semi_sync_source and rpl_semi_sync_replica");
  }
  CO_RETURN_IF_ERROR(co_await run(flavor_->set_semi_sync(source, replica), wait));
  co_return true;
}

net::Task<Status> LocalServer::follow(std::string host, uint16_t port, bool start, net::Wait wait) {
  std::vector<std::string> statements = flavor_->stop_replication();
  mysqld::ReplicationSource source;
  source.host = std::move(host);
  source.port = port;
  source.user = "vt_repl";
  source.connect_retry = std::chrono::seconds(1);
  for (auto& text : flavor_->set_source(source)) statements.push_back(std::move(text));
  if (start) {
    for (auto& text : flavor_->start_replication()) statements.push_back(std::move(text));
  }
  co_return co_await run(std::move(statements), std::move(wait));
}

net::Task<Status> LocalServer::promote(net::Wait wait) { co_return co_await run(flavor_->promote(), std::move(wait)); }

net::Task<Status> LocalServer::reset_replication(net::Wait wait) {
  return run_without_log_readers(flavor_->reset_all(), std::move(wait));
}

net::Task<Status> LocalServer::set_executed_position(std::string bare, net::Wait wait) {
  return run_without_log_readers(flavor_->set_executed_position(bare), std::move(wait));
}

net::Task<Status> LocalServer::run_without_log_readers(std::vector<std::string> statements, net::Wait wait) {
  const base::TimePoint until = std::min(wait.deadline, base::system_clock().now() + 5s);
  for (;;) {
    Status done = co_await run(statements, wait);
    if (done.ok() || base::system_clock().now() + 100ms >= until) co_return done;
    const auto readers =
        co_await query("select id from information_schema.processlist where command like 'Binlog Dump%'", wait);
    if (!readers.ok()) co_return done;
    for (size_t i = 0; i < readers->rows.size(); ++i) {
      log_warning("the binary logs are wiped: their reader {} is ended", readers->text(i, 0));
      (void)co_await query(fmt::format("kill {}", readers->text(i, 0)), wait);  // It may have ended just now.
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(100ms, wait.cancel));
  }
}

namespace {

bool matches(const std::string& table, const std::vector<std::string>& patterns) {
  for (const auto& pattern : patterns) {
    if (pattern == table) return true;
    if (pattern.size() > 2 && pattern.front() == '/') {
      const std::string body = pattern.substr(1, pattern.size() - (pattern.back() == '/' ? 2 : 1));
      try {
        if (std::regex_search(table, std::regex(body))) return true;
      } catch (const std::regex_error&) {
        continue;  // Not a pattern: it matches nothing.
      }
    }
  }
  return false;
}

}  // namespace

net::Task<Result<::tabletmanagerdata::SchemaDefinition>> LocalServer::schema(std::string database,
                                                                             std::vector<std::string> tables,
                                                                             std::vector<std::string> exclude,
                                                                             bool include_views, net::Wait wait) {
  ::tabletmanagerdata::SchemaDefinition definition;
  CO_ASSIGN_OR_RETURN(const auto databases, co_await query(mysqld::create_database_statement_query(database), wait));
  definition.set_database_schema(std::string(databases.text(0, 1)));
  CO_ASSIGN_OR_RETURN(const auto table_rows, co_await query(mysqld::tables_query(database), wait));
  CO_ASSIGN_OR_RETURN(const auto infos, mysqld::parse_tables(to_rows(table_rows)));
  CO_ASSIGN_OR_RETURN(const auto column_rows, co_await query(mysqld::columns_query(database), wait));
  CO_ASSIGN_OR_RETURN(const auto columns, mysqld::parse_columns(to_rows(column_rows)));
  CO_ASSIGN_OR_RETURN(const auto index_rows, co_await query(mysqld::indexes_query(database), wait));
  CO_ASSIGN_OR_RETURN(const auto indexes, mysqld::parse_indexes(to_rows(index_rows)));
  for (const auto& info : infos) {
    const bool view = info.kind == mysqld::TableKind::kView;
    if (info.kind == mysqld::TableKind::kOther || (view && !include_views)) continue;
    if (!tables.empty() && !matches(info.name, tables)) continue;
    if (matches(info.name, exclude)) continue;
    auto* out = definition.add_table_definitions();
    out->set_name(info.name);
    out->set_type(view ? "VIEW" : "BASE TABLE");
    out->set_data_length(info.data_bytes);
    out->set_row_count(info.row_estimate);
    CO_ASSIGN_OR_RETURN(const auto create, co_await query(mysqld::create_statement_query(database, info.name), wait));
    CO_ASSIGN_OR_RETURN(const std::string text, mysqld::parse_create_statement(to_rows(create)));
    out->set_schema(mysqld::without_auto_increment(text));
    for (const auto& column : columns) {
      if (column.table == info.name) out->add_columns(column.name);
    }
    for (const auto& index : indexes) {
      if (index.table != info.name || !index.is_primary()) continue;
      for (const auto& column : index.columns) out->add_primary_key_columns(column);
    }
  }
  co_return definition;
}

}  // namespace vitrail::tablet
