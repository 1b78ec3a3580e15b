#include "net/packet_stream.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "mysql/errors.h"

namespace vitrail::net {
namespace {

constexpr size_t kLargestKeptOfClient = size_t{16} << 10;  // There are many of them, and most of them rest.
constexpr size_t kLargestKeptBuffer = size_t{256} << 10;
// A relay step: what is read before it is passed on.
constexpr size_t kLargestStep = size_t{128} << 10;

}  // namespace

PacketStream::PacketStream(Socket socket, size_t max_message)
    : socket_(std::move(socket)), reader_(max_message), largest_kept_(kLargestKeptBuffer) {}

void PacketStream::set_memory(base::MemoryBudget::Session* memory) {
  memory_ = memory;
  largest_kept_ = kLargestKeptOfClient;
}

void PacketStream::consume(size_t size) {
  CHECK(size <= end_ - begin_);
  begin_ += size;
  if (begin_ != end_) return;
  begin_ = end_ = 0;
  // What rests holds nothing; what carries much keeps its room.
  if (buffer_.size() > first_size_ && buffer_.size() <= largest_kept_) return;
  buffer_ = Buffer();
  if (counted_ > 0) memory_->give(base::MemoryBudget::Kind::kStatements, std::exchange(counted_, 0));
}

void PacketStream::replace(size_t offset, size_t size, std::string_view bytes) {
  CHECK(offset + size <= end_ - begin_);
  size_t end = end_ - size + bytes.size();
  if (end > buffer_.size()) {
    Buffer larger(std::max(end - begin_, buffer_.size() * 2));
    std::memcpy(larger.data(), buffer_.data() + begin_, end_ - begin_);
    end -= begin_;
    end_ -= std::exchange(begin_, 0);
    buffer_ = std::move(larger);
  }
  char* const place = buffer_.data() + begin_ + offset;
  std::memmove(place + bytes.size(), place + size, end_ - begin_ - offset - size);
  std::memcpy(place, bytes.data(), bytes.size());
  end_ = end;
}

Status PacketStream::make_room() {
  if (buffer_.size() == 0) buffer_ = Buffer(first_size_);
  if (end_ < buffer_.size()) return {};
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (end_ <= buffer_.size() / 2) return {};
  }
  // Full buffers mean that much is coming: read in larger pieces.
  const size_t wanted = buffer_.size() < kLargestStep ? kLargestStep : buffer_.size() * 2;
  if (memory_ != nullptr && wanted > kLargestKeptBuffer) {
    RETURN_IF_ERROR(memory_->take(base::MemoryBudget::Kind::kStatements, wanted - counted_));
    counted_ = wanted;
  }
  Buffer larger(wanted);
  std::memcpy(larger.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  buffer_ = std::move(larger);
  return {};
}

std::span<char> PacketStream::Fill::room() {
  (void)stream_.make_room();  // The first buffer takes nothing of a budget.
  return free_room();
}

Result<bool> PacketStream::Fill::await_resume() {
  if (!room_.ok()) return std::move(room_).error();
  auto got = read_.await_resume();
  if (!got.ok()) return std::move(got).error();
  stream_.end_ += *got;
  return *got > 0;
}

Task<Result<std::optional<mysql::MessageReader::Message>>> PacketStream::read_message(Wait wait) {
  drop_message();
  for (;;) {
    auto message = reader_.next(buffered());
    if (!message.ok()) co_return std::move(message).error();
    if (message->has_value()) {
      taken_ = (*message)->consumed;
      co_return std::move(*message);
    }
    auto more = co_await fill(wait);
    if (!more.ok()) co_return std::move(more).error();
    if (!*more) {
      if (begin_ == end_) co_return std::nullopt;
      co_return fail(Code::kUnavailable, socket_.peer() + " closed the connection in the middle of a message");
    }
  }
}

Task<Result<uint8_t>> PacketStream::skip_message(Wait wait) {
  constexpr size_t kLongest = size_t{2} << 30;
  size_t total = 0;
  for (;;) {
    while (buffered().size() < mysql::kPacketHeaderSize) {
      CO_ASSIGN_OR_RETURN(const bool more, co_await fill(wait));
      if (!more)
        co_return fail(Code::kUnavailable, socket_.peer() + " closed the connection in the middle of a message");
    }
    const mysql::PacketHeader header = mysql::decode_packet_header(buffered().data());
    consume(mysql::kPacketHeaderSize);
    total += header.length;
    if (total > kLongest) co_return fail(Code::kResourceExhausted, socket_.peer() + " sends a message without an end");
    for (size_t left = header.length; left > 0;) {
      const size_t here = std::min(left, buffered().size());
      consume(here);
      left -= here;
      if (left == 0) break;
      CO_ASSIGN_OR_RETURN(const bool more, co_await fill(wait));
      if (!more)
        co_return fail(Code::kUnavailable, socket_.peer() + " closed the connection in the middle of a message");
    }
    if (header.length < mysql::kMaxFramePayload) co_return header.sequence;
  }
}

Task<Status> PacketStream::start_tls(std::shared_ptr<const TlsContext> context, std::string host, Wait wait) {
  drop_message();
  std::string received(buffered());
  consume(received.size());
  co_return co_await socket_.start_tls(std::move(context), std::move(host), std::move(received), std::move(wait));
}

bool PacketStream::message_waiting() {
  drop_message();
  const std::string_view waiting = buffered();
  return waiting.size() >= mysql::kPacketHeaderSize &&
         waiting.size() - mysql::kPacketHeaderSize >= mysql::decode_packet_header(waiting.data()).length;
}

namespace {

// Passes the client's file to the backend: messages up to and with the empty one. Returns its sequence number at the
// backend, which is `delta` below the client's.
Task<std::expected<uint8_t, RelayFailure>> relay_infile(PacketStream& client, PacketStream& backend, uint8_t delta,
                                                        Wait wait, base::Duration progress) {
  std::string framed;
  for (;;) {
    wait.each = progress;
    auto message = co_await client.read_message(wait);
    if (!message.ok() || !message->has_value()) {
      Error error = message.ok() ? fail(Code::kUnavailable, "the client left while it sent a file") : message.error();
      co_return std::unexpected(RelayFailure{std::move(error), false, false});
    }
    framed.clear();
    mysql::PacketWriter writer(framed, static_cast<uint8_t>((*message)->first_sequence - delta));
    writer.message((*message)->payload);
    Status sent = co_await backend.write(framed, wait);
    if (!sent.ok()) co_return std::unexpected(RelayFailure{std::move(sent).error(), true, false});
    if ((*message)->payload.empty()) co_return static_cast<uint8_t>((*message)->last_sequence - delta);
  }
}

// The rest of a response that has more rows than it may: an error for the client, and nothing more of it. The backend
// is read to the end, so that its connection, and what is open there, can go on.
Task<std::expected<RelayResult, RelayFailure>> end_too_large(mysql::ResponseScanner& scanner, PacketStream& backend,
                                                             PacketStream& client, const RelayOptions& options,
                                                             Wait wait) {
  using State = mysql::ResponseScanner::State;
  const mysql::ErrPacket error{mysql::errnos::kTooManyRows, "HY000",
                               fmt::format("Row count exceeded {}", options.rows_max)};
  std::string payload;
  std::string framed;
  mysql::encode_err(payload, error, mysql::kClientProtocol41);
  mysql::PacketWriter(framed, scanner.next_sequence()).message(payload);
  wait.each = options.progress;
  Status sent = co_await client.write(framed, wait);
  if (!sent.ok()) co_return std::unexpected(RelayFailure{std::move(sent).error(), false, false});
  scanner.set_rows_max(0);
  for (;;) {
    const auto outcome = scanner.feed(backend.buffered());
    backend.consume(outcome.consumed);
    if (outcome.state == State::kDone) co_return RelayResult{scanner.summary(), error, false};
    if (outcome.state == State::kMore && outcome.consumed > 0) continue;
    if (outcome.state != State::kMore) {
      co_return std::unexpected(RelayFailure{
          fail(Code::kInternal, "malformed response from " + backend.socket().peer()).with_effect(Effect::kUnknown),
          true, false});
    }
    auto more = co_await backend.fill(wait);
    if (more.ok() && *more) continue;
    Error lost = more.ok() ? fail(Code::kUnavailable, backend.socket().peer() + " closed the connection")
                           : std::move(more).error();
    co_return std::unexpected(RelayFailure{std::move(lost).with_effect(Effect::kUnknown), true, false});
  }
}

}  // namespace

Task<std::expected<RelayResult, RelayFailure>> relay_response(PacketStream& backend, PacketStream& client,
                                                              mysql::ResponseKind kind,
                                                              mysql::Capabilities capabilities, RelayOptions options,
                                                              Wait wait) {
  using State = mysql::ResponseScanner::State;
  mysql::ResponseScanner scanner;
  scanner.start(kind, capabilities, options.first_sequence);
  const uint8_t client_first = options.client_sequence == 0 ? options.first_sequence : options.client_sequence;
  mysql::SequenceShift shift(static_cast<uint8_t>(client_first - options.first_sequence));
  scanner.set_rows_max(options.rows_max);
  backend.drop_message();
  bool untouched = true;
  const auto begun = [&] {
    untouched = false;
    wait.each = options.progress;
  };
  for (;;) {
    // Everything in the buffer that belongs to the response goes out in one write.
    size_t ready = 0;
    State state = State::kMore;
    for (;;) {
      if (options.rename != nullptr && scanner.at_result_start()) {
        const auto renamed = mysql::rename_result(backend.buffered().substr(ready), *options.rename);
        if (!renamed.complete) break;
        if (renamed.changed) backend.replace(ready, renamed.size, *renamed.changed);
      }
      const auto outcome = scanner.feed(backend.buffered().substr(ready));
      if (outcome.status.present() && outcome.status.flags != mysql::ResponseScanner::kNone) {
        uint16_t clear = options.clear;
        // Without what it is about the flag says that there is state.
        if (options.strip_session_track && !scanner.summary().session_state_changed) {
          clear |= mysql::kStatusSessionStateChanged;
        }
        const auto flags = static_cast<uint16_t>((scanner.summary().status_flags & ~clear) | options.set);
        mysql::set_status_flags(backend.buffered_data() + ready + outcome.status.flags, flags);
        if (options.strip_session_track) {
          const size_t at = ready + outcome.status.message;
          const auto stripped =
              mysql::without_session_track(backend.buffered().substr(at, outcome.status.message_size));
          if (stripped) {
            backend.replace(at, outcome.status.message_size, *stripped);
            ready -= outcome.status.message_size - stripped->size();
          }
        }
      }
      ready += outcome.consumed;
      state = outcome.state;
      if (state != State::kMore || outcome.consumed == 0) break;
    }
    if (state == State::kMalformed) {
      co_return std::unexpected(RelayFailure{
          fail(Code::kInternal, "malformed response from " + backend.socket().peer()).with_effect(Effect::kUnknown),
          true, untouched});
    }
    if (state == State::kDone && untouched && scanner.failed_at_once()) {
      backend.consume(ready);
      co_return RelayResult{scanner.summary(), scanner.error(), true, client_first};
    }
    shift.apply(backend.buffered_data(), ready);
    const bool commits = state == State::kDone && options.withhold != nullptr && !scanner.error() &&
                         (scanner.summary().status_flags & mysql::kStatusInTransaction) == 0;
    if (commits && *options.withhold != options.withhold_seen) {
      RelayResult result{scanner.summary(), {}, false, static_cast<uint8_t>(scanner.next_sequence() + shift.delta())};
      result.withheld = backend.buffered().substr(0, ready);
      result.client_untouched = untouched;
      backend.consume(ready);
      co_return result;
    }
    if (options.hold != nullptr && ready > 0) {
      // From here on the response cannot begin again: for a failure it is as if the client had this.
      begun();
      if (options.hold->bytes.size() + ready <= options.hold->max && state != State::kInfile) {
        options.hold->bytes += backend.buffered().substr(0, ready);
        backend.consume(std::exchange(ready, 0));
      } else {
        const std::string held = std::move(std::exchange(options.hold, nullptr)->bytes);
        Status sent = co_await client.write(held, wait);
        if (!sent.ok()) co_return std::unexpected(RelayFailure{std::move(sent).error(), false, false});
      }
    }
    if (ready > 0) {
      begun();
      Status sent = co_await client.write(backend.buffered().substr(0, ready), wait);
      if (!sent.ok()) co_return std::unexpected(RelayFailure{std::move(sent).error(), false, false});
      backend.consume(ready);
    }
    if (state == State::kDone) {
      co_return RelayResult{scanner.summary(), scanner.error(), false,
                            static_cast<uint8_t>(scanner.next_sequence() + shift.delta()), options.hold != nullptr};
    }
    if (state == State::kRowsMax) co_return co_await end_too_large(scanner, backend, client, options, wait);
    if (state == State::kInfile) {
      auto last = co_await relay_infile(client, backend, shift.delta(), wait, options.progress);
      if (!last.has_value()) co_return std::unexpected(std::move(last).error());
      scanner.infile_sent(*last);
    }
    auto more = co_await backend.fill(wait);
    if (!more.ok()) {
      co_return std::unexpected(RelayFailure{std::move(more).error().with_effect(Effect::kUnknown), true, untouched});
    }
    if (!*more) {
      co_return std::unexpected(RelayFailure{
          fail(Code::kUnavailable, backend.socket().peer() + " closed the connection before its response ended")
              .with_effect(Effect::kUnknown),
          true, untouched});
    }
  }
}

Task<Result<RelayResult>> discard_response(PacketStream& backend, mysql::ResponseKind kind,
                                           mysql::Capabilities capabilities, Wait wait) {
  using State = mysql::ResponseScanner::State;
  mysql::ResponseScanner scanner;
  scanner.start(kind, capabilities);
  backend.drop_message();
  for (;;) {
    State state = State::kMore;
    for (;;) {
      const auto outcome = scanner.feed(backend.buffered());
      backend.consume(outcome.consumed);
      state = outcome.state;
      if (state != State::kMore || outcome.consumed == 0) break;
    }
    if (state == State::kDone) co_return RelayResult{scanner.summary(), scanner.error(), false};
    if (state != State::kMore) co_return fail(Code::kInternal, "unexpected response from " + backend.socket().peer());
    auto more = co_await backend.fill(wait);
    if (!more.ok()) co_return std::move(more).error().with_effect(Effect::kUnknown);
    if (!*more) {
      co_return fail(Code::kUnavailable, backend.socket().peer() + " closed the connection before its response ended")
          .with_effect(Effect::kUnknown);
    }
  }
}

}  // namespace vitrail::net
