#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "net/cancel.h"
#include "net/task.h"
#include "rpc/caller.h"
#include "rpc/server.h"

namespace vitrail::rpc {

struct ChannelOptions {
  uint64_t message_size_max = kMessageSizeMax;
  uint64_t stream_window = 4u << 20;  // Bytes of a stream the peer may send before we read them.
  base::Duration keepalive_time = std::chrono::seconds(10);
  base::Duration keepalive_timeout = std::chrono::seconds(10);
  base::Duration reconnect_max = std::chrono::seconds(3);  // Longest pause between two attempts to connect.
  TlsOptions tls;
  Metadata metadata;  // Sent with every call ("username", "password" ...).
};

struct CallOptions {
  Metadata metadata;
  bool wait_for_ready = false;  // Wait (until the deadline) for a server that is not there yet, instead of failing.
};

// One server stream, seen by its reader.
//
//   Owns    : the call; the destructor cancels it when it has not ended, without waiting.
//   Threads : one loop, that of its first next().
//   Bounds  : messages are read ahead up to kReadAheadBytes; then the peer waits (flow control).
class ServerStream {
 public:
  static constexpr size_t kReadAheadBytes = 256u << 10;

  ServerStream(ServerStream&&) noexcept;
  ServerStream& operator=(ServerStream&&) noexcept;
  ~ServerStream();

  // The next message; nothing at the end of a stream that ended well; the Error it ended with otherwise, each time.
  // When only `wait` ends, the stream goes on and next() may be called again. At most one next() at a time, and it must
  // have ended before the stream is destroyed.
  net::Task<Result<std::optional<std::string>>> next(net::Wait wait);
  // Ends the call: next() returns what was read ahead, then kCanceled.
  void cancel();

 private:
  friend class Channel;
  class Call;
  explicit ServerStream(std::shared_ptr<Call> call);
  std::shared_ptr<Call> call_;
};

// Connection to one server, made when first needed and again when lost. Shared by any number of calls.
//
//   Threads : any.
//   Errors  : a server's Error arrives with its code, message, retry and effect. When the transport fails, effect()
//   tells
//             whether the request can have reached the server: kNone when no connection was there, else kUnknown.
class Channel {
 public:
  // "host:port", "unix:/path". Does not connect yet. kInvalidArgument or kNotFound for TLS files that do not fit.
  static Result<std::shared_ptr<Channel>> create(std::string address, ChannelOptions options = {});
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  const std::string& address() const { return address_; }
  // It could not connect, and answers calls with that until its next attempt, up to `reconnect_max` later.
  bool pauses() const;

  // One request, one response; resumes on the calling loop. Deadline and token of `wait` also end the call at the
  // server.
  net::Task<Result<std::string>> call(std::string method, std::string request, net::Wait wait,
                                      CallOptions options = {});
  // Starts a server stream that ends at `deadline` at the latest.
  ServerStream open_stream(std::string method, std::string request, base::TimePoint deadline = base::TimePoint::max(),
                           CallOptions options = {});

 private:
  class Core;
  explicit Channel(std::string address, std::shared_ptr<Core> core);
  const std::string address_;
  std::shared_ptr<Core> core_;
};

// `channel` must outlive it.
Caller caller_of(Channel& channel);

// Channels by address. When more than `channels_max` are kept, the one that was longest not asked for is dropped; who
// still holds it may go on using it. One that pauses makes place for a new one, which tries at once: a server that was
// started a moment ago is found.
//   Threads: any.
class ChannelPool {
 public:
  explicit ChannelPool(ChannelOptions options, size_t channels_max = 1'000);
  Result<std::shared_ptr<Channel>> get(const std::string& address);
  void forget(const std::string& address);
  size_t size() const;

 private:
  struct Entry {
    std::shared_ptr<Channel> channel;
    uint64_t used = 0;  // Value of clock_ at the last get().
  };
  const ChannelOptions options_;
  const size_t channels_max_;
  mutable std::mutex mutex_;
  uint64_t clock_ = 0;
  std::map<std::string, Entry> entries_;
};

}  // namespace vitrail::rpc
