// Calls vtgateservice.Vitess for tests, and a tablet's services where a method says so ("queryservice.Query/Execute"):
// gate_grpc_call HOST:PORT [USER PASSWORD]. Each line of the standard input is a method and its request as JSON; the
// answer is a line of JSON for each message, then "." or "! CODE message".
#include <google/protobuf/util/json_util.h>

#include <iostream>
#include <string>

#include "net/loop.h"
#include "query.pb.h"
#include "rpc/typed.h"
#include "tabletmanagerdata.pb.h"
#include "vtgate.pb.h"

namespace {

using namespace vitrail;
using google::protobuf::Message;

void print(const Message& message) {
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) json = "{}";
  std::cout << json << "\n" << std::flush;
}

void print_end(const Status& status) {
  if (status.ok()) {
    std::cout << ".\n" << std::flush;
  } else {
    std::cout << "! " << base::code_name(status.error().code()) << " " << status.error().message() << "\n"
              << std::flush;
  }
}

std::string path_of(const std::string& method) {
  return method.contains('/') ? "/" + method : "/vtgateservice.Vitess/" + method;
}

template <typename Request, typename Response>
Status unary(net::Loop& loop, rpc::Channel& channel, const std::string& method, const std::string& json) {
  Request request;
  if (!google::protobuf::util::JsonStringToMessage(json, &request).ok()) {
    return fail(Code::kInvalidArgument, "not a request: " + json);
  }
  auto answer = net::block_on(
      loop, rpc::call<Response>(channel, path_of(method), request, net::Wait::within(std::chrono::seconds(60))));
  if (!answer.ok()) return std::move(answer).error();
  print(*answer);
  return {};
}

template <typename Response>
net::Task<Status> read_all(rpc::TypedStream<Response> stream) {
  for (;;) {
    auto message = co_await stream.next(net::Wait::within(std::chrono::seconds(60)));
    if (!message.ok()) co_return std::move(message).error();
    if (!message->has_value()) co_return Status{};
    print(**message);
  }
}

template <typename Request, typename Response>
Status streamed(net::Loop& loop, rpc::Channel& channel, const std::string& method, const std::string& json) {
  Request request;
  if (!google::protobuf::util::JsonStringToMessage(json, &request).ok()) {
    return fail(Code::kInvalidArgument, "not a request: " + json);
  }
  return net::block_on(loop, read_all(rpc::open_stream<Response>(channel, path_of(method), request)));
}

// The newest state of a stream that never ends.
net::Task<Status> read_first(rpc::TypedStream<::query::StreamHealthResponse> stream) {
  auto message = co_await stream.next(net::Wait::within(std::chrono::seconds(60)));
  if (!message.ok()) co_return std::move(message).error();
  if (message->has_value()) print(**message);
  co_return Status{};
}

Status run_on_tablet(net::Loop& loop, rpc::Channel& channel, const std::string& path, const std::string& json) {
  using namespace ::query;              // NOLINT(google-build-using-namespace)
  using namespace ::tabletmanagerdata;  // NOLINT(google-build-using-namespace)
  const std::string method = path.substr(path.find('/') + 1);
  if (method == "Execute") return unary<ExecuteRequest, ExecuteResponse>(loop, channel, path, json);
  if (method == "Begin") return unary<BeginRequest, BeginResponse>(loop, channel, path, json);
  if (method == "Commit") return unary<CommitRequest, CommitResponse>(loop, channel, path, json);
  if (method == "Rollback") return unary<RollbackRequest, RollbackResponse>(loop, channel, path, json);
  if (method == "BeginExecute") return unary<BeginExecuteRequest, BeginExecuteResponse>(loop, channel, path, json);
  if (method == "ReserveExecute")
    return unary<ReserveExecuteRequest, ReserveExecuteResponse>(loop, channel, path, json);
  if (method == "Release") return unary<ReleaseRequest, ReleaseResponse>(loop, channel, path, json);
  if (method == "LockTables") return unary<LockTablesRequest, LockTablesResponse>(loop, channel, path, json);
  if (method == "UnlockTables") return unary<UnlockTablesRequest, UnlockTablesResponse>(loop, channel, path, json);
  if (method == "StreamExecute")
    return streamed<StreamExecuteRequest, StreamExecuteResponse>(loop, channel, path, json);
  if (method == "MessageAck") return unary<MessageAckRequest, MessageAckResponse>(loop, channel, path, json);
  if (method == "MessageStream") {
    return streamed<MessageStreamRequest, MessageStreamResponse>(loop, channel, path, json);
  }
  if (method == "StreamHealth") {
    return net::block_on(
        loop, read_first(rpc::open_stream<StreamHealthResponse>(channel, path_of(path), StreamHealthRequest())));
  }
  return fail(Code::kInvalidArgument, "no such method: " + path);
}

Status run(net::Loop& loop, rpc::Channel& channel, const std::string& method, const std::string& json) {
  if (method.contains('/')) return run_on_tablet(loop, channel, method, json);
  using namespace ::vtgate;  // NOLINT(google-build-using-namespace)
  if (method == "Execute") return unary<ExecuteRequest, ExecuteResponse>(loop, channel, method, json);
  if (method == "ExecuteBatch") return unary<ExecuteBatchRequest, ExecuteBatchResponse>(loop, channel, method, json);
  if (method == "Prepare") return unary<PrepareRequest, PrepareResponse>(loop, channel, method, json);
  if (method == "CloseSession") return unary<CloseSessionRequest, CloseSessionResponse>(loop, channel, method, json);
  if (method == "ExecuteMulti") return unary<ExecuteMultiRequest, ExecuteMultiResponse>(loop, channel, method, json);
  if (method == "StreamExecute") {
    return streamed<StreamExecuteRequest, StreamExecuteResponse>(loop, channel, method, json);
  }
  if (method == "VStream") return streamed<VStreamRequest, VStreamResponse>(loop, channel, method, json);
  return fail(Code::kInvalidArgument, "no such method: " + method);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) return 2;
  net::LoopThread thread("calls");
  rpc::ChannelOptions options;
  if (argc == 4) options.metadata = {{"username", argv[2]}, {"password", argv[3]}};
  auto channel = rpc::Channel::create(argv[1], options);
  if (!channel.ok()) {
    print_end(std::move(channel).error());
    return 1;
  }
  std::string line;
  while (std::getline(std::cin, line)) {
    const size_t blank = line.find(' ');
    print_end(run(thread.loop(), **channel, line.substr(0, blank), line.substr(std::min(blank, line.size()))));
  }
  return 0;
}
