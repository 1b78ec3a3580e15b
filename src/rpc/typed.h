#pragma once

#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "rpc/client.h"
#include "rpc/server.h"

namespace google::protobuf {
class MessageLite;
}

// Calls and handlers with protobuf messages in place of bytes. Only code that names a message type pays for its header.
//
//     rpc::handle_unary<PingRequest, PingResponse>(server, "/tabletmanagerservice.TabletManager/Ping", loop,
//         [&](rpc::CallContext context, PingRequest request) { return manager.ping(std::move(context),
//         std::move(request)); });
//     Result<PingResponse> pong = co_await rpc::call<PingResponse>(*channel, "/tabletmanagerservice...", request,
//     wait);
namespace vitrail::rpc {

namespace internal {

std::string serialize(const google::protobuf::MessageLite& message);
// kInvalidArgument naming the type when the bytes are not such a message.
Status parse_request(google::protobuf::MessageLite& message, const std::string& bytes);
// kInternal likewise.
Status parse_response(google::protobuf::MessageLite& message, const std::string& bytes);

}  // namespace internal

// The handler's end of a stream of Response.
template <typename Response>
class TypedWriter {
 public:
  explicit TypedWriter(Writer& writer) : writer_(writer) {}
  net::Task<Status> write(const Response& message) { return writer_.write(internal::serialize(message)); }

 private:
  Writer& writer_;
};

template <typename Request, typename Response>
using TypedUnaryHandler = std::function<net::Task<Result<Response>>(CallContext context, Request request)>;
template <typename Request, typename Response>
using TypedStreamHandler =
    std::function<net::Task<Status>(CallContext context, Request request, TypedWriter<Response> writer)>;

namespace internal {

template <typename Request, typename Response>
net::Task<Result<std::string>> run_unary(const TypedUnaryHandler<Request, Response>& handler, CallContext context,
                                         std::string bytes) {
  Request request;
  CO_RETURN_IF_ERROR(parse_request(request, bytes));
  Result<Response> response = co_await handler(std::move(context), std::move(request));
  if (!response.ok()) co_return std::move(response).error();
  co_return serialize(*response);
}

template <typename Request, typename Response>
net::Task<Status> run_stream(const TypedStreamHandler<Request, Response>& handler, CallContext context,
                             std::string bytes, Writer& writer) {
  Request request;
  CO_RETURN_IF_ERROR(parse_request(request, bytes));
  co_return co_await handler(std::move(context), std::move(request), TypedWriter<Response>(writer));
}

template <typename Response>
net::Task<Result<Response>> receive(net::Task<Result<std::string>> call) {
  const Result<std::string> bytes = co_await std::move(call);
  if (!bytes.ok()) co_return bytes.error();
  Response response;
  CO_RETURN_IF_ERROR(parse_response(response, *bytes));
  co_return response;
}

}  // namespace internal

template <typename Request, typename Response>
void handle_unary(Server& server, std::string method, net::Loop& loop,
                  std::type_identity_t<TypedUnaryHandler<Request, Response>> handler) {
  server.handle_unary(std::move(method), loop, [handler = std::move(handler)](CallContext context, std::string bytes) {
    return internal::run_unary<Request, Response>(handler, std::move(context), std::move(bytes));
  });
}

template <typename Request, typename Response>
void handle_server_stream(Server& server, std::string method, net::Loop& loop,
                          std::type_identity_t<TypedStreamHandler<Request, Response>> handler,
                          uint64_t message_size_max = 0) {
  server.handle_server_stream(
      std::move(method), loop,
      [handler = std::move(handler)](CallContext context, std::string bytes, Writer& writer) {
        return internal::run_stream<Request, Response>(handler, std::move(context), std::move(bytes), writer);
      },
      message_size_max);
}

// As Channel::call. The request is serialized before this returns.
template <typename Response>
net::Task<Result<Response>> call(Channel& channel, std::string method, const google::protobuf::MessageLite& request,
                                 net::Wait wait, CallOptions options = {}) {
  return internal::receive<Response>(
      channel.call(std::move(method), internal::serialize(request), std::move(wait), std::move(options)));
}

template <typename Response>
net::Task<Result<Response>> call(const Caller& caller, std::string method, const google::protobuf::MessageLite& request,
                                 net::Wait wait) {
  return internal::receive<Response>(caller(std::move(method), internal::serialize(request), std::move(wait)));
}

// As ServerStream.
template <typename Response>
class TypedStream {
 public:
  explicit TypedStream(ServerStream stream) : stream_(std::move(stream)) {}
  net::Task<Result<std::optional<Response>>> next(net::Wait wait) {
    const Result<std::optional<std::string>> bytes = co_await stream_.next(std::move(wait));
    if (!bytes.ok()) co_return bytes.error();
    if (!bytes->has_value()) co_return std::optional<Response>();
    std::optional<Response> response(std::in_place);
    CO_RETURN_IF_ERROR(internal::parse_response(*response, **bytes));
    co_return response;
  }
  void cancel() { stream_.cancel(); }

 private:
  ServerStream stream_;
};

template <typename Response>
TypedStream<Response> open_stream(Channel& channel, std::string method, const google::protobuf::MessageLite& request,
                                  base::TimePoint deadline = base::TimePoint::max(), CallOptions options = {}) {
  return TypedStream<Response>(
      channel.open_stream(std::move(method), internal::serialize(request), deadline, std::move(options)));
}

}  // namespace vitrail::rpc
