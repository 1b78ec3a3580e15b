#include "tablet/unlogged.h"

namespace vitrail::tablet {

net::Task<Status> run_unlogged(LocalServer& server, std::vector<std::string> statements, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await server.connection(wait));
  lease->settings = "unlogged";  // Reset before its next use.
  // MySQL's super_read_only holds for administrators too. Without it applications are still kept out by read_only.
  bool super_read_only = false;
  if (server.flavor().kind() == mysqld::FlavorKind::kMySql) {
    auto state = co_await lease->client.query("SELECT @@global.super_read_only", wait);
    if (!state.ok()) co_return std::move(state).error();
    super_read_only = state->text(0, 0) == "1";
  }
  std::vector<std::string> all = {"SET SESSION sql_log_bin = 0"};
  if (super_read_only) all.emplace_back("SET GLOBAL super_read_only = OFF");
  for (auto& statement : statements) all.push_back(std::move(statement));
  Status outcome;
  for (auto& statement : all) {
    auto done = co_await lease->client.query(server.translated(std::move(statement)), wait);
    if (!done.ok()) {
      outcome = std::move(done).error();
      break;
    }
  }
  if (super_read_only) {
    auto back = co_await lease->client.query("SET GLOBAL super_read_only = ON", wait);
    if (!back.ok() && outcome.ok()) outcome = std::move(back).error();
  }
  co_return outcome;
}

bool is_missing_table(const Error& error) {
  constexpr uint16_t kNoSuchTable = 1146, kNoSuchDatabase = 1049;
  return error.mysql_errno() == kNoSuchTable || error.mysql_errno() == kNoSuchDatabase;
}

}  // namespace vitrail::tablet
