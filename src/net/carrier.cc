#include "net/carrier.h"

#include <array>
#include <chrono>

#include "net/turn_end.h"

namespace vitrail::net {
namespace {

using namespace std::chrono_literals;

constexpr size_t kReadSize = size_t{64} << 10;
constexpr auto kLastWords = 1s;  // For what is still to be sent when we end it.

// Holds bytes only while they are handed out.
std::span<char> read_buffer() {
  static thread_local const auto buffer = std::make_unique<std::array<char, kReadSize>>();
  return *buffer;
}

}  // namespace

// Reads and hands out what is there, each time that something is. Ends with the connection, or when there is so much
// that others have to have their turn first.
class Carrier::Pump final : public internal::IoState::Operation {
 public:
  Pump(Carrier& carrier, const Wait& wait) : carrier_(carrier), wait_(wait) {}
  bool await_ready() {
    ended_ = carrier_.socket_.io_ == nullptr;
    return ended_ || perform();
  }
  bool await_suspend(std::coroutine_handle<> handle) {
    carrier_.socket_.io_->reader = this;
    return arm(carrier_.loop_, handle, wait_);
  }
  void await_resume() {}

  bool ended() const { return ended_; }
  Status& status() { return status_; }

 private:
  bool perform() override {
    Socket& socket = carrier_.socket_;
    const std::span<char> buffer = read_buffer();
    for (;;) {
      if (socket.tls_ == nullptr && !socket.io_->readable) return false;
      int error = 0;
      const ssize_t got = socket.receive(buffer, error);
      if (got < 0 && error == 0) return false;
      if (got > 0) {
        ++carrier_.reads_;
        status_ = carrier_.mux_->receive({buffer.data(), static_cast<size_t>(got)});
        // Behind a full buffer there is more; who reads takes this first, so that it need not be kept for him.
        if (status_.ok() && static_cast<size_t>(got) == buffer.size()) return true;
        if (status_.ok()) continue;
      }
      ended_ = true;
      return true;
    }
  }
  void abandon() override {
    ended_ = true;
    carrier_.socket_.io_->reader = nullptr;
  }

  Carrier& carrier_;
  const Wait& wait_;
  bool ended_ = false;
  Status status_;
};

struct Carrier::Idle {
  Carrier& carrier;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { carrier.idle_sender_ = handle; }
  void await_resume() const {}
};

Carrier::Carrier(Socket socket, uint32_t peer_window, Accept accept, const CancelToken& cancel)
    : socket_(std::move(socket)),
      peer_(socket_.peer()),
      unix_(socket_.is_unix()),
      encrypted_(socket_.encrypted()),
      accept_(std::move(accept)),
      loop_(*Loop::current()),
      mux_(std::make_shared<internal::StreamMux>(static_cast<internal::StreamMux::Owner&>(*this), accept_ == nullptr,
                                                 peer_window)),
      stop_(cancel) {}

Socket Carrier::stream(uint32_t id) {
  Socket out;
  out.io_ = std::make_unique<internal::IoState>();
  out.carried_ = internal::MuxStreamPtr(new internal::MuxStream(mux_, id, *out.io_));
  out.loop_ = &loop_;
  out.peer_ = peer_;
  out.unix_ = unix_;
  out.carrier_encrypted_ = encrypted_;
  return out;
}

Result<Socket> Carrier::open() {
  const uint32_t id = usable() ? mux_->open() : 0;
  if (id == 0)
    return fail(Code::kUnavailable, "the connection to " + peer_ + " has ended").with_retry(Retry::kSameTarget);
  return stream(id);
}

void Carrier::opened(uint32_t id) { accept_(stream(id)); }

void Carrier::has_output() {
  if (idle_sender_) resume_at_turn_end(std::exchange(idle_sender_, nullptr));
}

Task<void> Carrier::send_output() {
  for (;;) {
    if (!mux_->has_output()) {
      if (ending_) break;
      co_await Idle{*this};
      continue;
    }
    mux_->take_output(sending_);
    const Wait wait;
    if (!(co_await socket_.write_all(sending_, wait)).ok()) {
      socket_.abort();  // The reader ends, too.
      break;
    }
    mux_->sent();
  }
  sender_done_.set();
}

Task<Status> Carrier::run() {
  const auto self = shared_from_this();
  Scope scope;
  scope.spawn(send_output());
  const Wait wait{.cancel = stop_.token()};
  Status status;
  for (bool ended = false; !ended;) {
    Pump pump(*this, wait);
    co_await pump;
    ended = pump.ended();
    status = std::move(pump.status());
    if (!ended) co_await loop_.yield();
  }
  ending_ = true;
  if (!status.ok()) mux_->lose();
  if (idle_sender_) loop_.resume_soon(std::exchange(idle_sender_, nullptr));
  // A peer that has ended it reads nothing more; another one gets the last words if it takes them now.
  if (!stop_.cancelled() || !(co_await sender_done_.wait(Wait::within(kLastWords))).ok()) socket_.abort();
  co_await scope.join();
  mux_->lose();
  socket_.close();
  co_return status;
}

}  // namespace vitrail::net
