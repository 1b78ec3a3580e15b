#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/scope.h"
#include "net/socket.h"
#include "net/stream_mux.h"
#include "net/sync.h"

namespace vitrail::net {

// One connection on which many streams go, each of which behaves as a Socket of its own. What they write in one turn of
// the loop is sent in one piece, and what has arrived for all of them is read in one: with many streams at work it
// takes a fraction of the system calls.
//
//   Owns    : the connection, until run() returns. Streams outlive it: to them it is as if their peers had hung up.
//   Threads : the socket's loop.
//   Bounds  : see StreamMux. A stream that nobody reads stalls its own writer, and nobody else.
class Carrier final : private internal::StreamMux::Owner, public std::enable_shared_from_this<Carrier> {
 public:
  using Accept = std::move_only_function<void(Socket)>;

  // `socket`: at the beginning of the first frame, in both directions. `peer_window`: as the peer has said.
  // `accept`: gets the streams that the peer opens, and must not run code that may close something before its first
  // suspension; null: ours is the side that opens them. `cancel` ends it.
  Carrier(Socket socket, uint32_t peer_window, Accept accept, const CancelToken& cancel);
  ~Carrier() { mux_->lose(); }
  Carrier(const Carrier&) = delete;
  Carrier& operator=(const Carrier&) = delete;

  // Serves the connection to its end; where it is we who end it, what was written before is sent still. The error is
  // that of a peer that sent what is no frame.
  Task<Status> run();
  // Ends it, with all its streams.
  void close() { stop_.cancel(); }

  // A new stream. kUnavailable: the connection has ended, or takes no more.
  Result<Socket> open();
  // No new streams.
  void retire() { retired_ = true; }
  bool ended() const { return stop_.cancelled() || mux_->lost(); }
  bool usable() const { return !retired_ && !ended(); }
  size_t streams() const { return mux_->streams(); }
  // Grows with each read: whether something was heard of the peer meanwhile.
  uint64_t reads() const { return reads_; }

 private:
  class Pump;
  struct Idle;

  void has_output() override;
  void opened(uint32_t stream) override;
  bool connection_ended() const override { return socket_.ended(); }
  Socket stream(uint32_t id);
  Task<void> send_output();

  Socket socket_;
  const std::string peer_;
  const bool unix_;
  const bool encrypted_;
  Accept accept_;
  Loop& loop_;
  const std::shared_ptr<internal::StreamMux> mux_;
  CancelSource stop_;
  Event sender_done_;
  std::string sending_;
  std::coroutine_handle<> idle_sender_;  // Waits for something to send.
  bool ending_ = false;
  bool retired_ = false;
  uint64_t reads_ = 0;
};

}  // namespace vitrail::net
