#include "tablet/app_account.h"

#include "base/log.h"
#include "base/text.h"
#include "mysqld/app_account.h"

namespace vitrail::tablet {
namespace {

// On a connection that is closed afterwards: its session does not write the binlog.
net::Task<Status> change(LocalServer& server, std::vector<std::string> statements, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await server.connection(wait));
  // MySQL's super_read_only stops GRANT, too. Without it the server stays read-only for everybody without the right to
  // change that.
  const bool mysql = server.flavor().kind() == mysqld::FlavorKind::kMySql;
  bool lift = false;
  if (mysql) {
    auto now = co_await lease->client.query("select @@global.super_read_only", wait);
    lift = now.ok() && now->text(0, 0) == "1";
  }
  Status outcome;
  std::vector<std::string> all = {"set session sql_log_bin = 0"};
  if (lift) all.emplace_back("set global super_read_only = off");
  for (auto& statement : statements) all.push_back(std::move(statement));
  for (auto& statement : all) {
    auto done = co_await lease->client.query(std::move(statement), wait);
    if (done.ok()) continue;
    outcome = std::move(done).error();
    break;
  }
  if (lift) {
    auto again = co_await lease->client.query("set global super_read_only = on", wait);
    if (!again.ok() && outcome.ok()) outcome = std::move(again).error();
  }
  lease.discard();
  co_return outcome;
}

net::Task<Result<std::string>> try_restrict(LocalServer& server, LocalServer::Account app, mysqld::AppRights rights,
                                            net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto who, co_await server.query_as(app, "", "select current_user()", 1, wait));
  CO_ASSIGN_OR_RETURN(const auto dba, co_await server.query("select current_user()", wait));
  if (who.text(0, 0) == dba.text(0, 0)) {
    co_return fail(Code::kFailedPrecondition, "it is the administrator's, too: give --db-app-user one of its own");
  }
  CO_ASSIGN_OR_RETURN(const auto account, mysqld::parse_account(who.text(0, 0)));
  if (server.flavor().kind() == mysqld::FlavorKind::kMySql) {
    CO_ASSIGN_OR_RETURN(const auto literal,
                        co_await server.query("show global variables like 'partial_revokes'", wait));
    rights.names_literally = literal.text(0, 1) == "ON";
  }
  CO_ASSIGN_OR_RETURN(const auto grants, co_await server.query(mysqld::show_grants_query(account), wait));
  auto statements = mysqld::app_rights_statements(server.flavor().kind(), account, rights, to_rows(grants));
  const std::string text = base::join(statements, "; ");
  CO_RETURN_IF_ERROR(co_await change(server, std::move(statements), wait));
  co_return text;
}

}  // namespace

net::Task<void> restrict_app_account(LocalServer& server, LocalServer::Account app, std::string database, bool files,
                                     net::Wait wait) {
  const std::string user = app.user;
  const auto done =
      co_await try_restrict(server, std::move(app), {.database = std::move(database), .files = files}, std::move(wait));
  if (!done.ok()) {
    log_warning("the rights of {} stay as they are: {}", user, done.error().message());
  } else if (!done->empty()) {
    log_info("rights of {}: {}", user, *done);
  }
}

}  // namespace vitrail::tablet
