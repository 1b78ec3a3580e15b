#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/query_log.h"
#include "base/metrics.h"
#include "mysql/server_handshake.h"
#include "mysql/statements.h"
#include "net/mysql_pool.h"
#include "net/mysql_server.h"
#include "net/scope.h"
#include "tablet/query_guard.h"
#include "tablet/query_service.h"
#include "tablet/sequences.h"

// Inside of the query service: one loop's share of it, and one connection of a vtgate. Not for other folders.
namespace vitrail::tablet {

class QuerySession;

struct QueryMetrics {
  base::Counter& queries;
  base::Counter& errors;
  base::Counter& refused;
  base::Counter& killed_transactions;
  base::Gauge& sessions;
};

// What the sessions of one loop share. Confined to that loop.
struct QueryLoop {
  QueryLoop(const QueryServiceSettings& settings_in, net::Loop& loop_in, QueryMetrics metrics_in,
            Sequences* sequences_in)
      : settings(settings_in), loop(loop_in), metrics(metrics_in), sequences(sequences_in) {}

  const QueryServiceSettings& settings;
  net::Loop& loop;
  QueryMetrics metrics;
  Sequences* sequences;  // On the first loop.
  std::shared_ptr<const ServingState> state = std::make_shared<ServingState>();
  QueryGuard guard;
  std::list<QuerySession*> sessions;
  net::Signal session_idle;  // A session ended a statement or a transaction.
  net::Scope scope;
  size_t pool_share = 1;
  base::QueryLog* query_log = nullptr;

  // Pools by what changes the answers' bytes or meaning: capabilities and collation of the login.
  std::map<std::pair<mysql::Capabilities, uint8_t>, std::unique_ptr<net::MysqlPool>> pools;
  net::MysqlPool& pool_for(mysql::Capabilities capabilities, uint8_t collation);

  // See QueryService::apply.
  net::Task<void> apply(std::shared_ptr<const ServingState> state, base::Duration grace);
};

// Name of the query attribute that asks for a transaction around and after this statement: BEGIN and the statement are
// admitted as one, so that the statement can never run without its transaction.
inline constexpr std::string_view kBeginAttribute = "vitrail_begin";

// One connection of a vtgate (or of any MySQL client that logs in to a target).
class QuerySession {
 public:
  QuerySession(QueryLoop& shared, net::PacketStream stream, mysql::AuthenticatedClient client, shard::Target target);
  ~QuerySession();

  net::Task<void> run();

  // For QueryLoop::apply: whether this session has under way what `state` forbids.
  bool conflicts_with(const ServingState& state) const;
  // It may finish what it has begun (until end_by_force).
  void grandfather() { grandfathered_ = true; }
  bool grandfathered() const { return grandfathered_; }
  void end_by_force();
  void close() { stream_.socket().abort(); }

 private:
  struct Prepared {
    std::string text;
    std::shared_ptr<const StatementInfo> info;
    uint16_t parameters = 0;
    mysql::StatementMemory memory;
  };
  // A failed statement: told to the client, and the session goes on; a failed session ends.
  using Outcome = Status;

  net::Task<Outcome> dispatch(const mysql::MessageReader::Message& message);
  net::Task<Outcome> on_query(const mysql::MessageReader::Message& message);
  net::Task<Outcome> on_set(std::string text);
  net::Task<Outcome> on_next_value(std::string text);
  net::Task<Outcome> on_prepare(std::string text);
  net::Task<Outcome> on_execute(const mysql::MessageReader::Message& message);
  net::Task<Outcome> on_reset();
  net::Task<Outcome> relay(std::string framed_begin, std::string_view framed, mysql::ResponseKind kind,
                           const StatementInfo& info, uint8_t first_sequence);

  // As relay(), and a line in the query log. For when there is one.
  net::Task<Outcome> relay_logged(std::string framed_begin, std::string_view framed, mysql::ResponseKind kind,
                                  const StatementInfo& info, uint8_t first_sequence, std::string text);
  Status admit(const StatementInfo& info, std::string_view text);
  net::Task<Status> need_connection(net::Wait wait);
  void note_use(const StatementInfo& info);
  void statement_done(uint16_t status_flags);
  net::Task<Outcome> send_error(Error error);
  net::Task<Outcome> send_ok(uint16_t extra_flags = 0);
  net::Task<Outcome> send(std::string framed);
  net::Wait query_wait() const;
  bool in_transaction() const { return in_transaction_; }

  QueryLoop& shared_;
  net::PacketStream stream_;
  mysql::AuthenticatedClient client_;
  mysql::Capabilities shape_;
  shard::Target target_;
  std::list<QuerySession*>::iterator place_;

  net::MysqlPool::Lease lease_;  // While a statement, a transaction or a pinned session needs it.
  std::string settings_;         // The SET statement of this session.
  bool in_transaction_ = false;
  bool pinned_ = false;
  bool active_ = false;  // A statement is under way.
  bool grandfathered_ = false;
  bool killed_ = false;  // The transaction was ended by force; the client hears of it with its next statement.
  const StatementInfo* current_ = nullptr;
  std::vector<std::string> touched_;  // Tables used in the open transaction; at most kMaxTouched, then `touched_all_`.
  bool touched_all_ = false;

  uint32_t next_statement_id_ = 1;
  std::unordered_map<uint32_t, Prepared> statements_;
};

}  // namespace vitrail::tablet
