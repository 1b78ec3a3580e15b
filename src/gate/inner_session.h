#pragma once

#include <memory>

#include "base/result.h"
#include "gate/gate_loop.h"
#include "mysql/server_handshake.h"
#include "net/mysql_client.h"

namespace vitrail::gate {

// A ClientSession of this process's own, and our end of its connection: a pair of sockets.
struct InnerSession {
  explicit InnerSession(net::MysqlClient connection) : client(std::move(connection)) {}
  net::MysqlClient client;                                                            // Its end ends the session.
  std::shared_ptr<ClientSession*> place = std::make_shared<ClientSession*>(nullptr);  // Null when it has ended.

  ClientSession* session() const { return *place; }
  bool usable() const { return session() != nullptr && !client.broken(); }

  // What such clients understand, whatever the one understands for whom it is.
  static const mysql::Capabilities kCapabilities;
};

// Opens one on the loop, which must be the current one; its end waits for it. kResourceExhausted: too many clients, or
// no descriptors are left. kUnavailable: the loop is about to end. `who`: with the capabilities that the session is to
// have.
Result<InnerSession> open_inner_session(GateLoop& home, mysql::AuthenticatedClient who, uint32_t connection_id);

}  // namespace vitrail::gate
