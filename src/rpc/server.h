#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "net/cancel.h"
#include "net/certificates.h"
#include "net/task.h"
#include "rpc/caller.h"

namespace vitrail::base {
class Metrics;
}
namespace vitrail::net {
class Loop;
}

// gRPC without generated service classes: a method is its path ("/tabletmanagerservice.TabletManager/RefreshState") and
// its messages are bytes. typed.h puts message types on top. Generated service code costs minutes of compile time, and
// ties handlers to gRPC's threads; here handlers are coroutines on a loop of ours.
namespace vitrail::rpc {

using net::TlsOptions;

inline constexpr uint64_t kMessageSizeMax = 16u << 20;  // Bytes; the default of both sides.
// The most that gRPC carries: for streams whose messages are as long as a row of a table may be.
inline constexpr uint64_t kRowMessageSizeMax = INT32_MAX;

// Headers of a call: lower-case keys, values without line ends.
using Metadata = std::vector<std::pair<std::string, std::string>>;

// What a handler knows of its call.
struct CallContext {
  std::string method;
  std::string peer;          // "ipv4:10.0.0.7:51234"
  std::string peer_subject;  // Of the client's certificate, where the server asks for one: "CN=vtctld,O=example".
  base::TimePoint deadline;  // max() when the client set none.
  net::CancelToken cancel;   // Cancelled when the client goes away, cancels or its deadline passes, and when we stop.
  Metadata metadata;

  net::Wait wait() const { return net::Wait::until(deadline, cancel); }
  // "" when absent.
  std::string_view find_metadata(std::string_view key) const;
};

// The client's end of a server stream.
class Writer {
 public:
  virtual ~Writer() = default;
  // Sends one message. One write is in flight at a time: a call waits until the one before has been taken over by the
  // transport, which holds no more than its flow control window (about 64 KiB here, stream_window at the client).
  //   kCanceled           the client is gone: end the handler.
  //   kResourceExhausted  longer than the message limit; nothing was sent, the stream goes on.
  virtual net::Task<Status> write(std::string message) = 0;
};

// Handlers are kept as long as the server, so they may capture what outlives it. Arguments stay valid until the task
// ends. An Error's code number goes unchanged into the gRPC status (17 and 18 included); see docs in status.h for the
// rest.
using UnaryHandler = std::function<net::Task<Result<std::string>>(CallContext context, std::string request)>;
using StreamHandler = std::function<net::Task<Status>(CallContext context, std::string request, Writer& writer)>;

struct ServerOptions {
  std::string host = "127.0.0.1";  // "" and "0.0.0.0": every interface. "unix:/path": a socket, and no port.
  uint16_t port = 0;               // 0: a free one, see Server::port().
  uint64_t message_size_max = kMessageSizeMax;
  size_t calls_max = 10'000;                                    // At once; more are refused with kResourceExhausted.
  base::Duration ping_interval_min = std::chrono::seconds(10);  // Clients that ping more often are dropped.
  TlsOptions tls;
  std::function<Status(const CallContext&)> authenticate;  // Optional; runs before every handler, on gRPC's threads.
  bool insecure = false;                                   // For the metric GrpcServerInsecure: strangers can reach it.
  base::Metrics* metrics = nullptr;  // Optional: GrpcServerCalls{method, code}, GrpcServerCallsActive,
                                     // GrpcServerRefusedPeers{reason}, GrpcServerInsecure.
};

// A gRPC server.
//
//   Owns    : its port and its calls. The loops of the handlers outlive stop().
//   Threads : set up and start() on one thread. Handlers run on the loop they were registered with; what gRPC itself
//   does
//             runs on its own threads.
//   End     : stop() must have returned before destruction, when start() succeeded (checked).
class Server {
 public:
  explicit Server(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Before start(). One handler per method (checked). Other methods are answered with kUnimplemented.
  void handle_unary(std::string method, net::Loop& loop, UnaryHandler handler);
  // `message_size_max`: of its answers; 0: the server's.
  void handle_server_stream(std::string method, net::Loop& loop, StreamHandler handler, uint64_t message_size_max = 0);

  // Runs unary handlers for this process, without gRPC: on their loops, without authentication and message limit, and
  // whether or not the server is started. Set up first; the server must outlive the calls.
  Caller in_process();

  // Listens. kUnavailable when the port is taken; kInvalidArgument for TLS files that do not fit.
  Status start();
  // The port we listen on; after start().
  uint16_t port() const;
  // The handler of a server stream, as in_process() runs unary ones; `take` gets each message, on the handler's loop,
  // and outlives the call.
  net::Task<Status> stream_local(std::string method, std::string request,
                                 std::function<void(const std::string& message)> take, net::Wait wait);
  // Refuses new calls, lets running ones end for `grace`, cancels the rest and waits for their handlers.
  net::Task<void> stop(base::Duration grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrail::rpc
