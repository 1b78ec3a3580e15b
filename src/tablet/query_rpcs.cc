#include "tablet/query_rpcs.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/duration.h"
#include "exec/bind_variables.h"
#include "exec/proto_result.h"
#include "mysql/convert.h"
#include "tablet/message_table.h"
#include "topo/tablet.h"

namespace vitrail::tablet {
namespace {

namespace q = ::query;
using rpc::CallContext;

constexpr size_t kRowsMax = 10'000;
constexpr size_t kStreamPiece = size_t{32} << 10;

Result<shard::Target> to_target(const q::Target& target) {
  if (target.keyspace().empty() && target.shard().empty()) {
    return fail(Code::kInvalidArgument, "the request names no target: give keyspace, shard and tablet type");
  }
  return shard::Target{target.keyspace(), target.shard(), topo::tablet_type_to_string(target.tablet_type())};
}

// As Vitess words it: whoever reads the text finds the server's numbers in it.
std::string with_numbers(const Error& error) {
  std::string text = error.message();
  if (error.mysql_errno() != 0 && !text.contains("(errno ")) {
    text += fmt::format(" (errno {}) (sqlstate {})", error.mysql_errno(), error.sqlstate());
  }
  return text;
}

Error told(const Error& error) { return Error(error.code(), with_numbers(error)); }

::vtrpc::RPCError to_rpc_error(const Error& error) {
  ::vtrpc::RPCError out;
  out.set_message(with_numbers(error));
  out.set_code(static_cast<::vtrpc::Code>(error.code()));
  return out;
}

// Wishes that are not fulfilled are refused, not forgotten.
Status check_options(const q::ExecuteOptions& options) {
  if (options.client_found_rows()) {
    return fail(Code::kUnimplemented, "ExecuteOptions.client_found_rows is not offered by a tablet");
  }
  if (options.transaction_isolation() != q::ExecuteOptions::DEFAULT &&
      options.transaction_isolation() != q::ExecuteOptions::AUTOCOMMIT) {
    return fail(Code::kUnimplemented,
                "ExecuteOptions.transaction_isolation is not offered by a tablet: use SET TRANSACTION ISOLATION LEVEL");
  }
  return {};
}

}  // namespace

Result<QueryRpcs::Place> QueryRpcs::open(const q::Target& wanted) {
  ASSIGN_OR_RETURN(const shard::Target target, to_target(wanted));
  ASSIGN_OR_RETURN(net::MysqlClient client, queries_.open(target));
  Place place;
  place.session = std::make_shared<Kept>(std::move(client));
  place.session->target = target.to_string();
  place.session->busy = true;
  return place;
}

Result<QueryRpcs::Place> QueryRpcs::find(const q::Target& wanted, int64_t transaction_id, int64_t reserved_id) {
  trim();
  if (transaction_id == 0 && reserved_id == 0) return open(wanted);
  Place place;
  place.id = reserved_id != 0 ? reserved_id : transaction_id;
  const auto found = kept_.find(place.id);
  if (found == kept_.end() || (transaction_id != 0 && !found->second->in_transaction)) {
    return fail(Code::kAborted, fmt::format("transaction {}: ended, or not used for {}", place.id,
                                            base::format_duration(idle_timeout_)));
  }
  place.session = found->second;
  ASSIGN_OR_RETURN(const shard::Target target, to_target(wanted));
  if (place.session->target != target.to_string()) {
    return fail(Code::kInvalidArgument,
                fmt::format("transaction {} is of {}, not of {}", place.id, place.session->target, target.to_string()));
  }
  if (place.session->busy) {
    return fail(Code::kFailedPrecondition, fmt::format("transaction {} runs another statement", place.id));
  }
  place.session->busy = true;
  return place;
}

Result<int64_t> QueryRpcs::keep(Place& place) {
  if (place.id != 0) return place.id;
  if (kept_.size() >= kKeptMax) return fail(Code::kResourceExhausted, "too many transactions are open over gRPC");
  // Ids of an earlier process must not mean anything here.
  const auto now = base::system_clock().wall_now().time_since_epoch();
  last_id_ = std::max<int64_t>(last_id_ + 1, std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  place.id = last_id_;
  kept_.emplace(place.id, place.session);
  return place.id;
}

void QueryRpcs::put_back(const Place& place) {
  place.session->busy = false;
  place.session->used = base::system_clock().now();
  if (place.id == 0) return;
  const bool wanted = place.session->in_transaction || place.session->reserved;
  if (place.session->client.broken() || !wanted) kept_.erase(place.id);
}

void QueryRpcs::trim() {
  const base::TimePoint oldest = base::system_clock().now() - idle_timeout_;
  std::erase_if(kept_, [&](const auto& entry) { return !entry.second->busy && entry.second->used < oldest; });
}

net::Task<Result<q::QueryResult>> QueryRpcs::run(const Place& place, q::BoundQuery query, q::ExecuteOptions options,
                                                 net::Wait wait) {
  CO_RETURN_IF_ERROR(check_options(options));
  CO_ASSIGN_OR_RETURN(std::string sql, exec::with_bind_variables(query.sql(), query.bind_variables()));
  auto result = co_await place.session->client.query(std::move(sql), std::move(wait), kRowsMax);
  if (!result.ok()) co_return std::move(result).error();
  q::QueryResult out = exec::to_proto(*result);
  out.set_insert_id_changed(out.insert_id() != 0);
  exec::strip_fields(out, options.included_fields());
  co_return out;
}

net::Task<Result<QueryRpcs::Opened>> QueryRpcs::begin(q::Target target, int64_t reserved_id,
                                                      std::vector<std::string> before, bool transaction, bool reserve,
                                                      std::optional<q::BoundQuery> query, q::ExecuteOptions options,
                                                      net::Wait wait) {
  CO_RETURN_IF_ERROR(check_options(options));
  CO_RETURN_IF_ERROR(co_await manager_.wait_started(wait));
  CO_ASSIGN_OR_RETURN(Place place, find(target, 0, reserved_id));
  if (transaction) before.emplace_back("begin");
  Opened out;
  for (auto& statement : before) {
    auto done = co_await place.session->client.query(std::move(statement), wait);
    if (!done.ok()) {
      put_back(place);
      co_return told(done.error());
    }
  }
  place.session->in_transaction = transaction;
  place.session->reserved = reserve || reserved_id != 0;
  auto id = keep(place);
  if (!id.ok()) {
    put_back(place);
    co_return std::move(id).error();
  }
  out.id = *id;
  if (query) {
    auto result = co_await run(place, std::move(*query), std::move(options), std::move(wait));
    if (result.ok()) {
      out.result = std::move(*result);
    } else {
      out.error = std::move(result).error();
    }
  }
  put_back(place);
  co_return out;
}

net::Task<Result<int64_t>> QueryRpcs::end(const q::Target& target, int64_t transaction_id, std::string statement,
                                          net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const Place place, find(target, transaction_id, 0));
  auto done = co_await place.session->client.query(std::move(statement), std::move(wait));
  place.session->in_transaction = false;
  put_back(place);
  if (!done.ok()) co_return told(done.error());
  co_return place.session->reserved ? place.id : 0;
}

net::Task<Status> QueryRpcs::stream(CallContext context, q::StreamExecuteRequest request,
                                    rpc::TypedWriter<q::StreamExecuteResponse> writer) {
  const net::Wait wait = context.wait();
  CO_RETURN_IF_ERROR(check_options(request.options()));
  CO_RETURN_IF_ERROR(co_await manager_.wait_started(wait));
  CO_ASSIGN_OR_RETURN(std::string sql,
                      exec::with_bind_variables(request.query().sql(), request.query().bind_variables()));
  CO_ASSIGN_OR_RETURN(const Place place, find(request.target(), request.transaction_id(), request.reserved_id()));
  auto body = [](net::MysqlClient& from, std::string text, q::ExecuteOptions options,
                 rpc::TypedWriter<q::StreamExecuteResponse> to, net::Wait limit) -> net::Task<Status> {
    auto begun = co_await from.query_begin(std::move(text), limit);
    if (!begun.ok()) co_return told(begun.error());
    q::StreamExecuteResponse piece;
    *piece.mutable_result() = exec::to_proto(*begun);
    exec::strip_fields(*piece.mutable_result(), options.included_fields());
    Status written = co_await to.write(piece);
    for (bool more = !begun->columns.empty(); more;) {
      piece.Clear();
      size_t size = 0;
      while (more && size < kStreamPiece) {
        auto got = co_await from.next_rows(
            [&](std::span<const mysql::Cell> cells) {
              auto* row = piece.mutable_result()->add_rows();
              for (const auto& cell : cells) {
                exec::add_cell(*row, cell);
                size += cell ? cell->size() + 2 : 2;
              }
            },
            limit);
        if (!got.ok()) co_return told(got.error());
        more = *got;
      }
      if (written.ok() && piece.result().rows_size() > 0) written = co_await to.write(piece);
      if (!written.ok()) {
        from.set_broken();  // Nobody wants the rest.
        co_return written;
      }
    }
    co_return written;
  };
  Status done = co_await body(place.session->client, std::move(sql), request.options(), writer, wait);
  put_back(place);
  co_return done;
}

void QueryRpcs::register_statements(rpc::Server& server, net::Loop& loop) {
  rpc::handle_unary<q::ExecuteRequest, q::ExecuteResponse>(
      server, "/queryservice.Query/Execute", loop, [this](CallContext context, q::ExecuteRequest request) {
        return [](QueryRpcs& self, CallContext ctx, q::ExecuteRequest r) -> net::Task<Result<q::ExecuteResponse>> {
          const net::Wait wait = ctx.wait();
          CO_RETURN_IF_ERROR(co_await self.manager_.wait_started(wait));
          CO_ASSIGN_OR_RETURN(const Place place, self.find(r.target(), r.transaction_id(), r.reserved_id()));
          auto result = co_await self.run(place, std::move(*r.mutable_query()), r.options(), wait);
          self.put_back(place);
          if (!result.ok()) co_return told(result.error());
          q::ExecuteResponse response;
          *response.mutable_result() = std::move(*result);
          co_return response;
        }(*this, std::move(context), std::move(request));
      });
  rpc::handle_server_stream<q::StreamExecuteRequest, q::StreamExecuteResponse>(
      server, "/queryservice.Query/StreamExecute", loop,
      [this](CallContext context, q::StreamExecuteRequest request, rpc::TypedWriter<q::StreamExecuteResponse> writer) {
        return stream(std::move(context), std::move(request), std::move(writer));
      });
}

void QueryRpcs::register_transactions(rpc::Server& server, net::Loop& loop) {
  rpc::handle_unary<q::BeginRequest, q::BeginResponse>(
      server, "/queryservice.Query/Begin", loop, [this](CallContext context, q::BeginRequest request) {
        return [](QueryRpcs& self, CallContext ctx, q::BeginRequest r) -> net::Task<Result<q::BeginResponse>> {
          CO_ASSIGN_OR_RETURN(const Opened opened, co_await self.begin(r.target(), 0, {}, true, false, std::nullopt,
                                                                       r.options(), ctx.wait()));
          q::BeginResponse response;
          response.set_transaction_id(opened.id);
          *response.mutable_tablet_alias() = self.manager_.record().alias();
          co_return response;
        }(*this, std::move(context), std::move(request));
      });
  rpc::handle_unary<q::BeginExecuteRequest, q::BeginExecuteResponse>(
      server, "/queryservice.Query/BeginExecute", loop, [this](CallContext context, q::BeginExecuteRequest request) {
        return [](QueryRpcs& self, CallContext ctx,
                  q::BeginExecuteRequest r) -> net::Task<Result<q::BeginExecuteResponse>> {
          std::vector<std::string> before(r.pre_queries().begin(), r.pre_queries().end());
          CO_ASSIGN_OR_RETURN(const Opened opened,
                              co_await self.begin(r.target(), r.reserved_id(), std::move(before), true, false,
                                                  r.query(), r.options(), ctx.wait()));
          q::BeginExecuteResponse response;
          response.set_transaction_id(opened.id);
          *response.mutable_result() = opened.result;
          if (opened.error) *response.mutable_error() = to_rpc_error(*opened.error);
          *response.mutable_tablet_alias() = self.manager_.record().alias();
          co_return response;
        }(*this, std::move(context), std::move(request));
      });
  rpc::handle_unary<q::CommitRequest, q::CommitResponse>(
      server, "/queryservice.Query/Commit", loop, [this](CallContext context, q::CommitRequest request) {
        return [](QueryRpcs& self, CallContext ctx, q::CommitRequest r) -> net::Task<Result<q::CommitResponse>> {
          CO_ASSIGN_OR_RETURN(const int64_t reserved,
                              co_await self.end(r.target(), r.transaction_id(), "commit", ctx.wait()));
          q::CommitResponse response;
          response.set_reserved_id(reserved);
          co_return response;
        }(*this, std::move(context), std::move(request));
      });
  rpc::handle_unary<q::RollbackRequest, q::RollbackResponse>(
      server, "/queryservice.Query/Rollback", loop, [this](CallContext context, q::RollbackRequest request) {
        return [](QueryRpcs& self, CallContext ctx, q::RollbackRequest r) -> net::Task<Result<q::RollbackResponse>> {
          CO_ASSIGN_OR_RETURN(const int64_t reserved,
                              co_await self.end(r.target(), r.transaction_id(), "rollback", ctx.wait()));
          q::RollbackResponse response;
          response.set_reserved_id(reserved);
          co_return response;
        }(*this, std::move(context), std::move(request));
      });
}

void QueryRpcs::register_reserved(rpc::Server& server, net::Loop& loop) {
  rpc::handle_unary<q::ReserveExecuteRequest, q::ReserveExecuteResponse>(
      server, "/queryservice.Query/ReserveExecute", loop,
      [this](CallContext context, q::ReserveExecuteRequest request) {
        return [](QueryRpcs& self, CallContext ctx,
                  q::ReserveExecuteRequest r) -> net::Task<Result<q::ReserveExecuteResponse>> {
          if (r.transaction_id() != 0) {
            co_return fail(Code::kUnimplemented,
                           "ReserveExecute within a transaction is not offered: use ReserveBeginExecute");
          }
          std::vector<std::string> before(r.pre_queries().begin(), r.pre_queries().end());
          CO_ASSIGN_OR_RETURN(const Opened opened, co_await self.begin(r.target(), 0, std::move(before), false, true,
                                                                       r.query(), r.options(), ctx.wait()));
          q::ReserveExecuteResponse response;
          response.set_reserved_id(opened.id);
          *response.mutable_result() = opened.result;
          if (opened.error) *response.mutable_error() = to_rpc_error(*opened.error);
          *response.mutable_tablet_alias() = self.manager_.record().alias();
          co_return response;
        }(*this, std::move(context), std::move(request));
      });
  rpc::handle_unary<q::ReserveBeginExecuteRequest, q::ReserveBeginExecuteResponse>(
      server, "/queryservice.Query/ReserveBeginExecute", loop,
      [this](CallContext context, q::ReserveBeginExecuteRequest request) {
        return [](QueryRpcs& self, CallContext ctx,
                  q::ReserveBeginExecuteRequest r) -> net::Task<Result<q::ReserveBeginExecuteResponse>> {
          if (r.post_begin_queries_size() > 0) {
            co_return fail(Code::kUnimplemented, "post_begin_queries are not offered: send them as statements");
          }
          std::vector<std::string> before(r.pre_queries().begin(), r.pre_queries().end());
          CO_ASSIGN_OR_RETURN(const Opened opened, co_await self.begin(r.target(), 0, std::move(before), true, true,
                                                                       r.query(), r.options(), ctx.wait()));
          q::ReserveBeginExecuteResponse response;
          response.set_transaction_id(opened.id);
          response.set_reserved_id(opened.id);
          *response.mutable_result() = opened.result;
          if (opened.error) *response.mutable_error() = to_rpc_error(*opened.error);
          *response.mutable_tablet_alias() = self.manager_.record().alias();
          co_return response;
        }(*this, std::move(context), std::move(request));
      });
  rpc::handle_unary<q::ReleaseRequest, q::ReleaseResponse>(
      server, "/queryservice.Query/Release", loop, [this](CallContext, q::ReleaseRequest request) {
        return [](QueryRpcs& self, q::ReleaseRequest r) -> net::Task<Result<q::ReleaseResponse>> {
          CO_ASSIGN_OR_RETURN(const Place place, self.find(r.target(), r.transaction_id(), r.reserved_id()));
          place.session->in_transaction = place.session->reserved = false;
          place.session->client.close();  // Its end rolls back.
          self.put_back(place);
          co_return q::ReleaseResponse();
        }(*this, std::move(request));
      });
}

net::Task<Status> QueryRpcs::stream_messages(CallContext context, q::MessageStreamRequest request,
                                             rpc::TypedWriter<q::MessageStreamResponse> writer) {
  const net::Wait wait = context.wait();
  CO_RETURN_IF_ERROR(co_await manager_.wait_started(wait));
  CO_ASSIGN_OR_RETURN(const Place place, open(request.target()));
  net::MysqlClient& client = place.session->client;
  std::string text = "stream * from ";
  mysql::append_sql_identifier(text, request.name());
  auto begun = co_await client.query_begin(std::move(text), wait);
  if (!begun.ok()) co_return told(begun.error());
  q::MessageStreamResponse piece;
  *piece.mutable_result() = exec::to_proto(*begun);
  for (;;) {
    // Its end closes the session, and with it the stream there.
    CO_RETURN_IF_ERROR(co_await writer.write(piece));
    piece.Clear();
    size_t size = 0;
    do {
      auto got = co_await client.next_rows(
          [&](std::span<const mysql::Cell> cells) {
            auto* row = piece.mutable_result()->add_rows();
            for (const auto& cell : cells) {
              exec::add_cell(*row, cell);
              size += cell ? cell->size() + 2 : 2;
            }
          },
          wait);
      if (!got.ok()) co_return told(got.error());
      if (!*got) co_return Status{};
    } while (size < kStreamPiece && client.stream().message_waiting());
  }
}

net::Task<Result<q::QueryResult>> QueryRpcs::acknowledge(q::MessageAckRequest request, net::Wait wait) {
  if (request.ids().empty()) co_return q::QueryResult();
  CO_RETURN_IF_ERROR(co_await manager_.wait_started(wait));
  CO_ASSIGN_OR_RETURN(const Place place, open(request.target()));
  const auto now = base::system_clock().wall_now().time_since_epoch();
  q::BoundQuery query;
  query.set_sql(
      acknowledge_messages(request.name(), std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()));
  q::BindVariable& ids = (*query.mutable_bind_variables())["ids"];
  ids.set_type(q::TUPLE);
  *ids.mutable_values() = std::move(*request.mutable_ids());
  auto done = co_await run(place, std::move(query), {}, std::move(wait));
  if (!done.ok()) co_return told(done.error());
  co_return std::move(*done);
}

void QueryRpcs::register_messages(rpc::Server& server, net::Loop& loop) {
  rpc::handle_server_stream<q::MessageStreamRequest, q::MessageStreamResponse>(
      server, "/queryservice.Query/MessageStream", loop,
      [this](CallContext context, q::MessageStreamRequest request, rpc::TypedWriter<q::MessageStreamResponse> writer) {
        return stream_messages(std::move(context), std::move(request), std::move(writer));
      });
  rpc::handle_unary<q::MessageAckRequest, q::MessageAckResponse>(
      server, "/queryservice.Query/MessageAck", loop, [this](CallContext context, q::MessageAckRequest request) {
        return [](QueryRpcs& self, q::MessageAckRequest r, net::Wait wait) -> net::Task<Result<q::MessageAckResponse>> {
          CO_ASSIGN_OR_RETURN(auto result, co_await self.acknowledge(std::move(r), std::move(wait)));
          q::MessageAckResponse response;
          *response.mutable_result() = std::move(result);
          co_return response;
        }(*this, std::move(request), context.wait());
      });
}

void QueryRpcs::register_handlers(rpc::Server& server, net::Loop& loop) {
  register_statements(server, loop);
  register_transactions(server, loop);
  register_reserved(server, loop);
  register_messages(server, loop);
}

}  // namespace vitrail::tablet
