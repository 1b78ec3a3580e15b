// ALTER VSCHEMA, for users who may: the same change as vtctldclient ApplyVSchema --sql.
#include "vschema/alter.h"

#include <fmt/core.h>

#include <algorithm>

#include "gate/session.h"
#include "mysql/errors.h"
#include "sql/parser.h"
#include "topo/locks.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

net::Task<Status> change_vschema(topo::Server& topology, std::string keyspace, std::string text) {
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::KeyspaceLock::acquire(topology, keyspace, "ALTER VSCHEMA"));
  topo::UpdateFn<::vschema::Keyspace> apply = [&](::vschema::Keyspace& record) -> Result<bool> {
    ASSIGN_OR_RETURN(const sql::Ast ast, sql::parse(text));
    const auto* statement = sql::statement_as<sql::AlterVschema>(&ast.statement());
    if (statement == nullptr) return fail(Code::kInvalidArgument, "this is no ALTER VSCHEMA statement");
    RETURN_IF_ERROR(vschema::apply_statement(record, keyspace, *statement));
    return true;
  };
  auto updated = co_await topo::update_vschema_fields(topology, keyspace, std::move(apply));
  Status released = co_await lock.release();
  if (!updated.ok()) co_return std::move(updated).error();
  CO_RETURN_IF_ERROR(std::move(released));
  co_return co_await topo::rebuild_srv_vschema(topology);
}

}  // namespace

net::Task<RunResult> ClientSession::alter_vschema(std::string text) {
  const auto& users = shared_.settings.vschema_users;
  if (std::ranges::find(users, "%") == users.end() && std::ranges::find(users, client_.user) == users.end()) {
    co_return RunResult::failed(
        fail(Code::kPermissionDenied, fmt::format("User '{}' is not authorized to perform vschema operations: "
                                                  "--vschema_ddl_authorized_users names those who are",
                                                  client_.user))
            .with_mysql(mysql::errnos::kAccessDenied, "28000"));
  }
  auto ast = sql::parse(text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  const auto* statement = sql::statement_as<sql::AlterVschema>(&ast->statement());
  std::string keyspace(statement == nullptr ? std::string_view() : vschema::keyspace_of(*statement, keyspace_));
  if (keyspace.empty()) {
    co_return RunResult::failed(fail(Code::kFailedPrecondition,
                                     "VT09005: no database selected: use keyspace<:shard><@type> or "
                                     "keyspace<[range]><@type> (<> are optional)")
                                    .with_mysql(mysql::errnos::kNoDb, "3D000"));
  }
  const auto before = shared_.view();
  if (before->vschema == nullptr || before->vschema->find_keyspace(keyspace) == nullptr) {
    co_return RunResult::failed(
        fail(Code::kNotFound, fmt::format("VT05003: unknown database '{}' in vschema", keyspace))
            .with_mysql(mysql::errnos::kBadDb, "42000"));
  }
  Status changed = co_await change_vschema(*shared_.topology, std::move(keyspace), std::move(text));
  if (!changed.ok()) co_return RunResult::failed(std::move(changed).error());
  // The watch brings it here; the client's next statement should see it.
  const auto deadline = base::system_clock().now() + 2s;
  while (shared_.view()->vschema_version == before->vschema_version) {
    if (!(co_await shared_.view_changed.wait(net::Wait::until(deadline, shared_.scope.token()))).ok()) break;
  }
  Status sent = co_await send_ok({});
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

}  // namespace vitrail::gate
