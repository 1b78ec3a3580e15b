#include "gate/inner_session.h"

#include <sys/socket.h>

#include "gate/session.h"
#include "mysql/errors.h"

namespace vitrail::gate {
namespace {

net::Task<void> host(GateLoop& home, net::PacketStream stream, mysql::AuthenticatedClient who, uint32_t id,
                     std::shared_ptr<ClientSession*> place) {
  ClientSession session(home, std::move(stream), std::move(who), id);
  *place = &session;
  co_await session.run();
  *place = nullptr;
}

}  // namespace

const mysql::Capabilities InnerSession::kCapabilities =
    mysql::kClientLongPassword | mysql::kClientLongFlag | mysql::kClientProtocol41 | mysql::kClientTransactions |
    mysql::kClientSecureConnection | mysql::kClientMultiResults | mysql::kClientPsMultiResults |
    mysql::kClientPluginAuth | mysql::kClientDeprecateEof;

Result<InnerSession> open_inner_session(GateLoop& home, mysql::AuthenticatedClient who, uint32_t connection_id) {
  if (static_cast<size_t>(home.metrics.connections.value()) >= home.settings.max_connections) {
    return fail(Code::kResourceExhausted, "Too many connections").with_mysql(mysql::errnos::kConCount, "08004");
  }
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return fail(Code::kResourceExhausted, "no descriptors are left for another session");
  }
  auto ours = net::Socket::adopt(pair[0]);
  auto theirs = net::Socket::adopt(pair[1]);
  if (!ours.ok() || !theirs.ok()) return fail(Code::kResourceExhausted, "no descriptors are left for another session");
  const auto capabilities = who.capabilities;
  InnerSession out(net::MysqlClient::over(net::PacketStream(std::move(*ours), size_t{1} << 30), capabilities));
  home.scope.spawn(host(home, net::PacketStream(std::move(*theirs), home.settings.max_message), std::move(who),
                        connection_id, out.place));
  // It waits for its first command, unless nobody is to wait any more.
  if (out.session() == nullptr) return fail(Code::kUnavailable, "vtgate is stopping");
  return out;
}

}  // namespace vitrail::gate
