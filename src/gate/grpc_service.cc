#include "gate/grpc_service.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/duration.h"
#include "base/random.h"
#include "exec/proto_result.h"
#include "gate/inner_session.h"
#include "gate/session.h"
#include "gate/vstream.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "rpc/typed.h"
#include "sql/lexer.h"
#include "topo/tablet.h"
#include "vtgate.pb.h"

namespace vitrail::gate {
namespace {

using rpc::CallContext;

constexpr size_t kStreamPiece = size_t{32} << 10;

bool plain_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
}

::vtrpc::RPCError to_rpc_error(const Error& error) {
  ::vtrpc::RPCError out;
  std::string text = error.message();
  if (error.mysql_errno() != 0 && text.find("(errno ") == std::string::npos) {
    text += fmt::format(" (errno {}) (sqlstate {})", error.mysql_errno(), error.sqlstate());
  }
  out.set_message(std::move(text));
  out.set_code(static_cast<::vtrpc::Code>(error.code()));
  return out;
}

// Wishes of a session that are not fulfilled are refused, not forgotten.
Status check_wishes(const ::vtgate::Session& session, bool gate_is_single, bool gate_is_two_phase) {
  const auto& options = session.options();
  if (session.transaction_mode() == ::vtgate::TWOPC && !gate_is_two_phase) {
    return fail(Code::kUnimplemented,
                "VT12001: unsupported: transaction_mode TWOPC of one session; start vtgate with "
                "--transaction-mode TWOPC");
  }
  if (session.transaction_mode() == ::vtgate::SINGLE && !gate_is_single) {
    return fail(Code::kUnimplemented,
                "VT12001: unsupported: transaction_mode SINGLE of one session; start vtgate with "
                "--transaction-mode SINGLE");
  }
  if (options.transaction_isolation() != ::query::ExecuteOptions::DEFAULT &&
      options.transaction_isolation() != ::query::ExecuteOptions::AUTOCOMMIT) {
    return fail(Code::kUnimplemented,
                "VT12001: unsupported: ExecuteOptions.transaction_isolation; use SET TRANSACTION ISOLATION LEVEL");
  }
  return {};
}

// One SET statement that gives a fresh session what `wanted` carries; "" when that is nothing.
Result<std::string> settings_of(const ::vtgate::Session& wanted) {
  std::string sql;
  const auto add = [&](std::string_view item) {
    sql += sql.empty() ? "set " : ", ";
    sql += item;
  };
  if (!wanted.autocommit()) add("autocommit = 0");
  for (const auto& [name, value] : wanted.system_variables()) {
    if (!plain_word(name)) return fail(Code::kInvalidArgument, "system_variables: '" + name + "' is no name");
    add(name == "names" ? "names " + value : "@@session." + name + " = " + value);
  }
  for (const auto& [name, variable] : wanted.user_defined_variables()) {
    if (!plain_word(name)) return fail(Code::kInvalidArgument, "user_defined_variables: '" + name + "' is no name");
    std::string item = "@" + name + " = ";
    RETURN_IF_ERROR(exec::append_literal(item, variable.type(), variable.value()));
    add(item);
  }
  return sql;
}

::query::BindVariable to_bind_variable(const mysql::Value& value) {
  ::query::BindVariable out;
  if (value.is_null()) return out;
  out.set_value(value.bytes);
  if (mysql::is_integer_type(value.type)) {
    out.set_type(value.is_unsigned ? ::query::UINT64 : ::query::INT64);
  } else if (mysql::is_decimal_type(value.type)) {
    out.set_type(::query::DECIMAL);
  } else {
    out.set_type(value.is_binary ? ::query::VARBINARY : ::query::VARCHAR);
  }
  return out;
}

}  // namespace

struct GrpcService::Live : InnerSession {
  explicit Live(InnerSession session) : InnerSession(std::move(session)) {}
  bool busy = false;
  base::TimePoint used;
};

class GrpcService::Core {
 public:
  Core(GateLoop& home, std::atomic<uint32_t>& next_id, base::Duration idle_timeout, rpc::ChannelOptions tablets)
      : home_(home),
        next_id_(next_id),
        idle_timeout_(idle_timeout),
        sources_(movement::make_topology_picker(*home.topology, home.settings.cell)),
        channels_(std::move(tablets)) {}

  VStreamContext vstream_context() { return {*sources_, channels_, home_.view()}; }

  net::Task<Result<::vtgate::ExecuteResponse>> execute(CallContext context, ::vtgate::ExecuteRequest request);
  net::Task<Result<::vtgate::ExecuteBatchResponse>> execute_batch(CallContext context,
                                                                  ::vtgate::ExecuteBatchRequest request);
  net::Task<Status> stream_execute(CallContext context, ::vtgate::StreamExecuteRequest request,
                                   rpc::TypedWriter<::vtgate::StreamExecuteResponse> writer);
  net::Task<Result<::vtgate::PrepareResponse>> prepare(CallContext context, ::vtgate::PrepareRequest request);
  net::Task<Result<::vtgate::CloseSessionResponse>> close_session(::vtgate::CloseSessionRequest request);
  void trim();

 private:
  using LivePtr = std::shared_ptr<Live>;

  Result<LivePtr> open(const ::vtgate::Session& wanted, std::string user);
  // The session that runs the next statement of `wanted`; give it back with put_back(). After an Error about a
  // transaction that is gone, `wanted` has none any more.
  net::Task<Result<LivePtr>> take(::vtgate::Session& wanted, std::string user, net::Wait wait);
  Result<LivePtr> take_kept(::vtgate::Session& wanted);
  // Writes the state of `live` into `session`, and keeps it when it has an open transaction.
  void put_back(const LivePtr& live, ::vtgate::Session& session);
  net::Task<Result<::query::QueryResult>> run(::vtgate::Session& session, const ::query::BoundQuery& query,
                                              std::string user, net::Wait wait);
  // `error` of a statement: with the code that the session had for it, which MySQL's protocol cannot carry.
  static Error told(const Live& live, Error error);

  GateLoop& home_;
  std::atomic<uint32_t>& next_id_;
  const base::Duration idle_timeout_;
  const std::unique_ptr<movement::SourcePicker> sources_;
  rpc::ChannelPool channels_;
  std::unordered_map<std::string, LivePtr> kept_;  // By SessionUUID.
};

namespace {

// Who is asking: whom the caller speaks for, or who it is itself.
std::string user_of(const CallContext& context, const ::vtrpc::CallerID& caller) {
  if (!caller.principal().empty()) return caller.principal();
  const std::string_view name = context.find_metadata("username");
  return name.empty() ? "grpc" : std::string(name);
}

}  // namespace

Result<GrpcService::Core::LivePtr> GrpcService::Core::open(const ::vtgate::Session& wanted, std::string user) {
  mysql::AuthenticatedClient who;
  who.user = who.user_data = std::move(user);
  who.capabilities = InnerSession::kCapabilities | (wanted.options().client_found_rows() ? mysql::kClientFoundRows : 0);
  who.collation = 45;
  ASSIGN_OR_RETURN(InnerSession inner, open_inner_session(home_, std::move(who), next_id_.fetch_add(1)));
  auto live = std::make_shared<Live>(std::move(inner));
  RETURN_IF_ERROR(live->session()->set_target(wanted.target_string()));
  return live;
}

Result<GrpcService::Core::LivePtr> GrpcService::Core::take_kept(::vtgate::Session& wanted) {
  const auto found = kept_.find(wanted.sessionuuid());
  if (found == kept_.end() || !found->second->usable()) {
    if (found != kept_.end()) kept_.erase(found);
    wanted.set_in_transaction(false);
    wanted.clear_shard_sessions();
    return fail(
        Code::kAborted,
        fmt::format("VT10002: the transaction of session '{}' is not open here: it was begun at another vtgate, "
                    "or has ended, or was rolled back after {} without a statement; begin it again",
                    wanted.sessionuuid(), base::format_duration(idle_timeout_)));
  }
  LivePtr live = found->second;
  if (live->busy) {
    return fail(Code::kFailedPrecondition,
                fmt::format("session '{}' runs another statement: in a transaction send one after the other",
                            wanted.sessionuuid()));
  }
  if (live->session()->target() != wanted.target_string()) {
    RETURN_IF_ERROR(live->session()->set_target(wanted.target_string()));
  }
  return live;
}

net::Task<Result<GrpcService::Core::LivePtr>> GrpcService::Core::take(::vtgate::Session& wanted, std::string user,
                                                                      net::Wait wait) {
  CO_RETURN_IF_ERROR(check_wishes(wanted, home_.settings.single_shard->load(), home_.settings.two_phase->load()));
  if (wanted.in_transaction()) {
    auto live = take_kept(wanted);
    if (live.ok()) (*live)->busy = true;
    co_return live;
  }
  CO_ASSIGN_OR_RETURN(LivePtr live, open(wanted, std::move(user)));
  CO_ASSIGN_OR_RETURN(std::string settings, settings_of(wanted));
  if (!settings.empty()) {
    auto set = co_await live->client.query(std::move(settings), wait);
    if (!set.ok()) co_return told(*live, std::move(set).error());
  }
  if (!live->usable()) co_return fail(Code::kUnavailable, "vtgate is stopping");
  live->session()->restore_counters(wanted.last_insert_id(), wanted.found_rows(), wanted.row_count());
  live->busy = true;
  co_return live;
}

void GrpcService::Core::put_back(const LivePtr& live, ::vtgate::Session& session) {
  live->busy = false;
  live->used = base::system_clock().now();
  const bool was_kept = session.in_transaction();
  session.set_in_transaction(false);
  session.clear_shard_sessions();
  const auto drop = [&] {
    if (was_kept) kept_.erase(session.sessionuuid());
    live->client.close();
  };
  if (!live->usable()) return drop();
  const ClientSession::State state = live->session()->state();
  session.set_autocommit(state.autocommit);
  session.set_last_insert_id(state.last_insert_id);
  session.set_found_rows(state.found_rows);
  session.set_row_count(state.row_count);
  session.clear_system_variables();
  for (const auto& [name, value] : state.settings) (*session.mutable_system_variables())[name] = value;
  session.clear_user_defined_variables();
  for (const auto& [name, value] : state.user_variables) {
    (*session.mutable_user_defined_variables())[name] = to_bind_variable(value);
  }
  if (!state.in_transaction) return drop();
  session.set_in_transaction(true);
  for (const shard::Target& target : state.participants) {
    auto* part = session.add_shard_sessions()->mutable_target();
    part->set_keyspace(target.keyspace);
    part->set_shard(target.shard);
    if (auto type = topo::parse_tablet_type(target.tablet_type); type.ok()) part->set_tablet_type(*type);
  }
  if (was_kept) return;
  session.set_sessionuuid(base::system_random().uuid());
  kept_.emplace(session.sessionuuid(), live);
}

Error GrpcService::Core::told(const Live& live, Error error) {
  if (live.session() == nullptr || error.mysql_errno() == 0) return error;
  const auto& last = live.session()->last_error();
  if (!last) return error;
  Error out(last->code(), last->message());
  return std::move(out).with_mysql(error.mysql_errno(), error.sqlstate()).with_effect(last->effect());
}

net::Task<Result<::query::QueryResult>> GrpcService::Core::run(::vtgate::Session& session,
                                                               const ::query::BoundQuery& query, std::string user,
                                                               net::Wait wait) {
  CO_ASSIGN_OR_RETURN(std::string sql, with_bind_variables(query.sql(), query.bind_variables()));
  CO_ASSIGN_OR_RETURN(const LivePtr live, co_await take(session, std::move(user), wait));
  const std::string target = live->session()->target();
  auto result = co_await live->client.query(std::move(sql), wait, home_.settings.max_memory_rows);
  std::optional<Error> error;
  if (!result.ok()) error = told(*live, std::move(result).error());
  if (live->usable() && live->session()->target() != target) {
    session.set_target_string(live->session()->target());  // USE.
  }
  put_back(live, session);
  if (error) co_return std::move(*error);
  ::query::QueryResult out = exec::to_proto(*result);
  out.set_insert_id_changed(out.insert_id() != 0);
  exec::strip_fields(out, session.options().included_fields());
  co_return out;
}

net::Task<Result<::vtgate::ExecuteResponse>> GrpcService::Core::execute(CallContext context,
                                                                        ::vtgate::ExecuteRequest request) {
  ::vtgate::ExecuteResponse response;
  *response.mutable_session() = std::move(*request.mutable_session());
  auto result =
      co_await run(*response.mutable_session(), request.query(), user_of(context, request.caller_id()), context.wait());
  if (result.ok()) {
    *response.mutable_result() = std::move(*result);
  } else {
    *response.mutable_error() = to_rpc_error(result.error());
  }
  co_return response;
}

net::Task<Result<::vtgate::ExecuteBatchResponse>> GrpcService::Core::execute_batch(
    CallContext context, ::vtgate::ExecuteBatchRequest request) {
  ::vtgate::ExecuteBatchResponse response;
  *response.mutable_session() = std::move(*request.mutable_session());
  for (const auto& query : request.queries()) {
    auto result =
        co_await run(*response.mutable_session(), query, user_of(context, request.caller_id()), context.wait());
    auto* entry = response.add_results();
    if (result.ok()) {
      *entry->mutable_result() = std::move(*result);
    } else {
      *entry->mutable_error() = to_rpc_error(result.error());
    }
  }
  co_return response;
}

net::Task<Status> GrpcService::Core::stream_execute(CallContext context, ::vtgate::StreamExecuteRequest request,
                                                    rpc::TypedWriter<::vtgate::StreamExecuteResponse> writer) {
  const net::Wait wait = context.wait();
  ::vtgate::Session& session = *request.mutable_session();
  CO_ASSIGN_OR_RETURN(std::string sql, with_bind_variables(request.query().sql(), request.query().bind_variables()));
  CO_ASSIGN_OR_RETURN(const LivePtr live, co_await take(session, user_of(context, request.caller_id()), wait));
  const std::string target = live->session()->target();
  // Ends with the rows sent, or the error that stopped it. The session is given back in either case.
  const auto stream = [](Live& from, std::string text, const ::query::ExecuteOptions& options,
                         rpc::TypedWriter<::vtgate::StreamExecuteResponse> to, net::Wait limit) -> net::Task<Status> {
    auto begun = co_await from.client.query_begin(std::move(text), limit);
    if (!begun.ok()) co_return told(from, std::move(begun).error());
    ::vtgate::StreamExecuteResponse piece;
    *piece.mutable_result() = exec::to_proto(*begun);
    piece.mutable_result()->set_insert_id_changed(begun->ok.last_insert_id != 0);
    exec::strip_fields(*piece.mutable_result(), options.included_fields());
    Status written = co_await to.write(piece);
    if (begun->columns.empty()) co_return written;
    size_t size = 0;
    for (bool more = true; more;) {
      piece.Clear();
      size = 0;
      // What has come is sent: more may come much later (messages).
      while (more && size < kStreamPiece && (size == 0 || from.client.stream().message_waiting())) {
        auto got = co_await from.client.next_rows(
            [&](std::span<const mysql::Cell> cells) {
              auto* row = piece.mutable_result()->add_rows();
              for (const auto& cell : cells) {
                exec::add_cell(*row, cell);
                size += cell ? cell->size() + 2 : 2;
              }
            },
            limit);
        if (!got.ok()) co_return told(from, std::move(got).error());
        more = *got;
      }
      if (written.ok() && piece.result().rows_size() > 0) written = co_await to.write(piece);
      if (!written.ok()) {
        from.client.set_broken();  // Nobody wants the rest.
        co_return written;
      }
    }
    co_return written;
  };
  Status done = co_await stream(*live, std::move(sql), session.options(), writer, wait);
  if (live->usable() && live->session()->target() != target) {
    session.set_target_string(live->session()->target());
  }
  put_back(live, session);
  if (!done.ok()) {
    const ::vtrpc::RPCError error = to_rpc_error(done.error());
    co_return Error(done.error().code(), error.message())
        .with_mysql(done.error().mysql_errno(), done.error().sqlstate());
  }
  ::vtgate::StreamExecuteResponse last;
  *last.mutable_session() = std::move(session);
  co_return co_await writer.write(last);
}

net::Task<Result<::vtgate::PrepareResponse>> GrpcService::Core::prepare(CallContext context,
                                                                        ::vtgate::PrepareRequest request) {
  ::vtgate::PrepareResponse response;
  ::vtgate::Session& session = *response.mutable_session();
  session = std::move(*request.mutable_session());
  const net::Wait wait = context.wait();
  // Parameters are written "?" or as bind variables.
  std::string sql;
  size_t done = 0;
  sql::Lexer lexer(request.query().sql());
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next()) {
    if (token.type != sql::TokenType::kBindVariable) continue;
    sql.append(request.query().sql(), done, token.offset - done);
    sql += '?';
    done = token.end();
  }
  sql.append(request.query().sql(), done);
  auto live = co_await take(session, user_of(context, request.caller_id()), wait);
  if (!live.ok()) {
    *response.mutable_error() = to_rpc_error(live.error());
    co_return response;
  }
  auto prepared = co_await (*live)->client.describe(std::move(sql), wait);
  if (prepared.ok()) {
    ::query::QueryResult shape;
    exec::add_fields(shape, prepared->columns);
    *response.mutable_fields() = std::move(*shape.mutable_fields());
    response.set_params_count(prepared->parameters);
  } else {
    *response.mutable_error() = to_rpc_error(told(**live, std::move(prepared).error()));
  }
  put_back(*live, session);
  co_return response;
}

net::Task<Result<::vtgate::CloseSessionResponse>> GrpcService::Core::close_session(
    ::vtgate::CloseSessionRequest request) {
  const auto found = kept_.find(request.session().sessionuuid());
  if (request.session().in_transaction() && found != kept_.end()) {
    found->second->client.close();
    kept_.erase(found);
  }
  co_return ::vtgate::CloseSessionResponse();
}

void GrpcService::Core::trim() {
  const auto now = base::system_clock().now();
  std::erase_if(kept_, [&](const auto& entry) {
    Live& live = *entry.second;
    if (live.busy || now - live.used < idle_timeout_) return false;
    live.client.close();
    return true;
  });
}

GrpcService::GrpcService(GateLoop& home, std::atomic<uint32_t>& next_id, base::Duration idle_timeout,
                         rpc::ChannelOptions tablets)
    : core_(std::make_unique<Core>(home, next_id, idle_timeout, std::move(tablets))) {}

GrpcService::~GrpcService() = default;

void GrpcService::trim() { core_->trim(); }

void GrpcService::register_handlers(rpc::Server& server) {
  const std::string service = "/vtgateservice.Vitess/";
  Core& core = *core_;
  net::Loop& loop = *net::Loop::current();
  rpc::handle_unary<::vtgate::ExecuteRequest, ::vtgate::ExecuteResponse>(
      server, service + "Execute", loop, [&core](CallContext context, ::vtgate::ExecuteRequest request) {
        return core.execute(std::move(context), std::move(request));
      });
  rpc::handle_unary<::vtgate::ExecuteBatchRequest, ::vtgate::ExecuteBatchResponse>(
      server, service + "ExecuteBatch", loop, [&core](CallContext context, ::vtgate::ExecuteBatchRequest request) {
        return core.execute_batch(std::move(context), std::move(request));
      });
  rpc::handle_server_stream<::vtgate::StreamExecuteRequest, ::vtgate::StreamExecuteResponse>(
      server, service + "StreamExecute", loop,
      [&core](CallContext context, ::vtgate::StreamExecuteRequest request,
              rpc::TypedWriter<::vtgate::StreamExecuteResponse> writer) {
        return core.stream_execute(std::move(context), std::move(request), writer);
      });
  rpc::handle_unary<::vtgate::PrepareRequest, ::vtgate::PrepareResponse>(
      server, service + "Prepare", loop, [&core](CallContext context, ::vtgate::PrepareRequest request) {
        return core.prepare(std::move(context), std::move(request));
      });
  rpc::handle_unary<::vtgate::CloseSessionRequest, ::vtgate::CloseSessionResponse>(
      server, service + "CloseSession", loop,
      [&core](CallContext, ::vtgate::CloseSessionRequest request) { return core.close_session(std::move(request)); });
  rpc::handle_server_stream<::vtgate::VStreamRequest, ::vtgate::VStreamResponse>(
      server, service + "VStream", loop,
      [&core](CallContext context, ::vtgate::VStreamRequest request,
              rpc::TypedWriter<::vtgate::VStreamResponse> writer) {
        return run_vstream(core.vstream_context(), std::move(request), writer, context.cancel);
      });
}

}  // namespace vitrail::gate
