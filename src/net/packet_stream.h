#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/memory_budget.h"
#include "base/result.h"
#include "mysql/packet.h"
#include "mysql/definitions.h"
#include "mysql/response_scanner.h"
#include "net/block_pool.h"
#include "net/socket.h"

namespace vitrail::net {

// A socket that carries MySQL messages: a receive buffer in front of it, read message by message or as raw bytes.
//
//   Owns   : the socket and the buffer: none while nothing has arrived, then 4 KiB of the thread's BlockPool (32 KiB
//            where responses come: expect_responses()); grows to what one message or one relay step needs.
//   Threads: the socket's loop.
//   Errors : kUnavailable when the peer is gone in the middle of a message; malformed framing as MessageReader says.
class PacketStream {
 public:
  explicit PacketStream(Socket socket, size_t max_message = size_t{1} << 30);
  PacketStream(PacketStream&&) noexcept = default;
  PacketStream& operator=(PacketStream&&) noexcept = default;
  class Fill;

  Socket& socket() { return socket_; }
  const Socket& socket() const { return socket_; }

  // The next whole message; nullopt when the peer closed between messages. The views in it live until the next call of
  // read_message, fill or consume.
  Task<Result<std::optional<mysql::MessageReader::Message>>> read_message(Wait wait);

  // Goes on with TLS behind the message that was returned last (see Socket::start_tls). What has arrived behind it is
  // taken as the beginning of the peer's handshake, never as messages.
  Task<Status> start_tls(std::shared_ptr<const TlsContext> context, std::string host, Wait wait);

  // How long a message may be from now on.
  void set_max_message(size_t size) { reader_.set_max_message(size); }

  // What the buffer holds of long messages counts as `memory`'s from now on; a message that does not fit makes
  // read_message fail (kResourceExhausted, errno 1041), as one that is too long: skip_message gets over it. `memory`
  // outlives it.
  void set_memory(base::MemoryBudget::Session* memory);

  // The other side answers: what it sends is read in larger pieces, and rarely has to wait here.
  void expect_responses() { first_size_ = BlockPool::kBuffer; }

  // After read_message refused a message because of its length: reads the whole of it and forgets it. Gives the
  // sequence number of its last frame.
  //   kResourceExhausted: it goes on beyond 2 GiB; the stream is of no use any more. Errors of Wait and of the socket.
  Task<Result<uint8_t>> skip_message(Wait wait);

  // Whether read_message would return at once. Drops the message it returned last.
  bool message_waiting();
  // The payload of that message, where it is one frame; read_message() or drop_message() goes on behind it. It stays to
  // be read when `wanted` says no. nullopt: call read_message().
  template <class Wanted>
  std::optional<std::string_view> take_waiting(const Wanted& wanted) {
    if (!message_waiting()) return std::nullopt;
    const size_t length = mysql::decode_packet_header(buffered().data()).length;
    const std::string_view payload = buffered().substr(mysql::kPacketHeaderSize, length);
    if (length >= mysql::kMaxFramePayload || !wanted(payload)) return std::nullopt;
    taken_ = mysql::kPacketHeaderSize + length;
    return payload;
  }

  // Raw access for relays: bytes that have arrived and were not consumed, beginning with the message that read_message
  // returned last, unless drop_message() let it go.
  void drop_message() { consume(std::exchange(taken_, 0)); }
  std::string_view buffered() const { return {buffer_.data() + begin_, end_ - begin_}; }
  char* buffered_data() { return buffer_.data() + begin_; }
  void consume(size_t size);
  // Puts `bytes` in the place of `size` buffered bytes.
  void replace(size_t offset, size_t size, std::string_view bytes);
  // Waits for more bytes behind the buffered ones; false at the end of the stream.
  // `wait` must outlive the await.
  Fill fill(const Wait& wait);

  // Framed bytes, as PacketWriter makes them. `bytes` must stay valid until the end.
  Socket::WriteOperation write(std::string_view bytes, const Wait& wait) { return socket_.write_all(bytes, wait); }

 private:
  // Bytes that are not set to anything first, of a BlockPool.
  class Buffer {
   public:
    Buffer() = default;
    explicit Buffer(size_t size) : data_(static_cast<char*>(BlockPool::take(size))), size_(size) {}
    Buffer(Buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
      std::swap(data_, other.data_);
      std::swap(size_, other.size_);
      return *this;
    }
    ~Buffer() {
      if (data_ != nullptr) BlockPool::give(data_, size_);
    }
    char* data() const { return data_; }
    size_t size() const { return size_; }

   private:
    char* data_ = nullptr;
    size_t size_ = 0;
  };

  Status make_room();

  Socket socket_;
  mysql::MessageReader reader_;
  Buffer buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t taken_ = 0;  // Bytes of the message last returned, dropped by the next call.
  base::MemoryBudget::Session* memory_ = nullptr;
  size_t counted_ = 0;   // Bytes of the buffer that `memory_` knows of.
  size_t largest_kept_;  // An empty buffer that is larger shrinks.
  size_t first_size_ = BlockPool::kLargest;
};

// See PacketStream::fill.
class PacketStream::Fill final : private Socket::ReadRoom {
 public:
  Fill(PacketStream& stream, const Wait& wait)
      : stream_(stream),
        room_(stream.buffer_.size() == 0 ? Status{} : stream.make_room()),
        read_(stream.socket_, free_room(), stream.buffer_.size() == 0 ? this : nullptr, wait) {}
  bool await_ready() { return !room_.ok() || read_.await_ready(); }
  bool await_suspend(std::coroutine_handle<> handle) { return read_.await_suspend(handle); }
  Result<bool> await_resume();

 private:
  std::span<char> free_room() { return {stream_.buffer_.data() + stream_.end_, stream_.buffer_.size() - stream_.end_}; }
  std::span<char> room() override;
  PacketStream& stream_;
  Status room_;
  Socket::ReadOperation read_;
};

inline PacketStream::Fill PacketStream::fill(const Wait& wait) { return {*this, wait}; }

// A response that is kept instead of being passed on, as long as it is short.
struct HeldResponse {
  std::string bytes;  // As the client would have got them.
  uint64_t max = 0;   // With more, what was held goes to the client, and the rest of the response behind it.
};

struct RelayOptions {
  // What is done to the status flags of every OK and EOF that passes: flags = (flags & ~clear) | set.
  uint16_t clear = 0;
  uint16_t set = 0;
  // The backend tells of session changes (CLIENT_SESSION_TRACK), and the client does not know of that.
  bool strip_session_track = false;
  uint8_t first_sequence = 1;  // Of the response: 1 after a command of one frame.
  // Of the first frame to the client, whose command may have had more or fewer frames than ours; 0: as the response's.
  uint8_t client_sequence = 0;
  HeldResponse* hold = nullptr;  // Must outlive the call.
  // From the first byte of the response on each wait may take this long, whatever the deadline: who makes progress is
  // not cut off.
  base::Duration progress = std::chrono::seconds(60);
  const mysql::SchemaRename* rename = nullptr;  // Of the columns' schema; must outlive the call.
  // Not null: the end of a response without an error, outside of a transaction, is not passed on when this number is
  // not `withhold_seen` any more by then: RelayResult::withheld.
  const std::atomic<uint64_t>* withhold = nullptr;
  uint64_t withhold_seen = 0;
  uint64_t rows_max = 0;  // A response with more rows ends with error 10001 for the client, and is read to its end.
};

struct RelayResult {
  mysql::ResponseScanner::Summary summary;
  std::optional<mysql::ErrPacket> error;  // The ERR that ended the response.
  bool error_held = false;                // The ERR was the whole response, and was not passed on: the caller decides.
  uint8_t next_sequence = 1;              // Of a message to the client behind the response.
  bool held = false;                      // All of it is in RelayOptions::hold; the client has nothing.
  std::string withheld;                   // What is to go to the client still; see RelayOptions::withhold.
  bool client_untouched = false;          // Where something is withheld: the client has nothing.
};

// Which side of a relay failed. The other one is in the middle of a response: close it too, unless nothing was passed.
struct RelayFailure {
  Error error;
  bool backend = false;          // Else the client.
  bool client_untouched = true;  // No byte has gone to the client.
};

// Passes one response from `backend` to `client` without decoding rows. LOCAL INFILE requests are served by passing the
// client's messages back.
//   `wait`: until the response begins; see RelayOptions::progress. After kDeadlineExceeded with client_untouched the
//   response may still come: call again to go on waiting for it.
Task<std::expected<RelayResult, RelayFailure>> relay_response(PacketStream& backend, PacketStream& client,
                                                              mysql::ResponseKind kind,
                                                              mysql::Capabilities capabilities, RelayOptions options,
                                                              Wait wait);

// Reads one response from `backend` to its end, and throws it away (an ERR is reported, not an Error).
Task<Result<RelayResult>> discard_response(PacketStream& backend, mysql::ResponseKind kind,
                                           mysql::Capabilities capabilities, Wait wait);

}  // namespace vitrail::net
