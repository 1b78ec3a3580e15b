#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "net/loop.h"
#include "net/mysql_client.h"
#include "query.pb.h"
#include "rpc/server.h"
#include "rpc/typed.h"
#include "tablet/query_service.h"
#include "tablet/tablet_manager.h"

namespace vitrail::tablet {

// The statements of /queryservice.Query, for tools that speak gRPC to a tablet: Execute, StreamExecute, Begin, Commit,
// Rollback, BeginExecute, ReserveExecute, ReserveBeginExecute, Release, MessageStream, MessageAck. Each goes through a
// session of the query service, so that all that holds for the data port (target, serving state, rules, fence,
// timeouts) holds here.
//
//   Threads: one loop. Must outlive the server's handlers.
//   Bounds : kKeptMax transactions and reserved connections; one that is not used for `idle_timeout` ends.
class QueryRpcs {
 public:
  static constexpr size_t kKeptMax = 1000;

  QueryRpcs(TabletManager& manager, QueryService& queries, base::Duration idle_timeout)
      : manager_(manager), queries_(queries), idle_timeout_(idle_timeout) {}

  // Before `server` starts; the handlers run on `loop`.
  void register_handlers(rpc::Server& server, net::Loop& loop);
  // Ends what is kept. When the server has been stopped.
  void close() { kept_.clear(); }

 private:
  // A session that has something to be kept for: a transaction, settings.
  struct Kept {
    explicit Kept(net::MysqlClient connection) : client(std::move(connection)) {}
    net::MysqlClient client;
    std::string target;
    bool busy = false;
    bool in_transaction = false;
    bool reserved = false;
    base::TimePoint used;
  };
  using KeptPtr = std::shared_ptr<Kept>;
  // Where a statement runs, and what becomes of it afterwards.
  struct Place {
    int64_t id = 0;  // 0: a session of its own, which ends with the statement.
    KeptPtr session;
  };

  Result<Place> open(const ::query::Target& target);
  Result<Place> find(const ::query::Target& target, int64_t transaction_id, int64_t reserved_id);
  // Keeps it under an id that no other has had.
  Result<int64_t> keep(Place& place);
  void put_back(const Place& place);
  void trim();
  net::Task<Result<::query::QueryResult>> run(const Place& place, ::query::BoundQuery query,
                                              ::query::ExecuteOptions options, net::Wait wait);
  // `statement` on the transaction or reserved connection, which is then forgotten unless it stays reserved.
  net::Task<Result<int64_t>> end(const ::query::Target& target, int64_t transaction_id, std::string statement,
                                 net::Wait wait);
  // Opens, runs `before`, and the statement; for all that begin something.
  struct Opened {
    int64_t id = 0;
    ::query::QueryResult result;
    std::optional<Error> error;  // Of the statement; the session is kept all the same.
  };
  net::Task<Result<Opened>> begin(::query::Target target, int64_t reserved_id, std::vector<std::string> before,
                                  bool transaction, bool reserve, std::optional<::query::BoundQuery> query,
                                  ::query::ExecuteOptions options, net::Wait wait);
  net::Task<Status> stream(rpc::CallContext context, ::query::StreamExecuteRequest request,
                           rpc::TypedWriter<::query::StreamExecuteResponse> writer);
  net::Task<Status> stream_messages(rpc::CallContext context, ::query::MessageStreamRequest request,
                                    rpc::TypedWriter<::query::MessageStreamResponse> writer);
  net::Task<Result<::query::QueryResult>> acknowledge(::query::MessageAckRequest request, net::Wait wait);
  void register_messages(rpc::Server& server, net::Loop& loop);
  void register_statements(rpc::Server& server, net::Loop& loop);
  void register_transactions(rpc::Server& server, net::Loop& loop);
  void register_reserved(rpc::Server& server, net::Loop& loop);

  TabletManager& manager_;
  QueryService& queries_;
  const base::Duration idle_timeout_;
  std::unordered_map<int64_t, KeptPtr> kept_;
  int64_t last_id_ = 0;
};

}  // namespace vitrail::tablet
