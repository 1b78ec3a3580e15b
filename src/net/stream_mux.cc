#include "net/stream_mux.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "net/cancel.h"
#include "net/socket.h"

namespace vitrail::net::internal {
namespace {

constexpr uint32_t kPiece = kStreamFrameMax - 1024;  // Of long data, in a frame.
constexpr size_t kKeptInbox = 4096;
constexpr size_t kKeptOutput = size_t{512} << 10;

Error malformed(std::string what, uint32_t stream) {
  return fail(Code::kInvalidArgument, fmt::format("malformed frame: {} (stream {})", what, stream));
}

}  // namespace

void MuxStreamDelete::operator()(MuxStream* stream) const { delete stream; }

MuxStream::MuxStream(std::shared_ptr<StreamMux> mux, uint32_t id, IoState& io)
    : mux_(std::move(mux)), id_(id), io_(io), credit_(mux_->peer_window_), ended_(mux_->lost_), closed_(mux_->lost_) {
  if (!closed_) CHECK(mux_->streams_.emplace(id, this).second);
}

size_t MuxStream::read(std::span<char> buffer) {
  size_t got = 0;
  if (taken_ < inbox_.size()) {
    got = std::min(buffer.size(), inbox_.size() - taken_);
    std::memcpy(buffer.data(), inbox_.data() + taken_, got);
    taken_ += got;
    if (taken_ == inbox_.size()) {
      inbox_.clear();
      taken_ = 0;
      if (inbox_.capacity() > kKeptInbox) std::string().swap(inbox_);
    }
  }
  if (const size_t here = std::min(buffer.size() - got, arriving_.size()); here > 0) {
    std::memcpy(buffer.data() + got, arriving_.data(), here);
    arriving_.remove_prefix(here);
    got += here;
  }
  read_ += static_cast<uint32_t>(got);
  if (read_ >= kStreamWindow / 2 && !ended_) {
    mux_->put({StreamFrame::Type::kCredit, read_, id_});
    uncredited_ -= std::exchange(read_, 0);
  }
  return got;
}

MuxStream::Step MuxStream::write(std::string_view& data) {
  if (closed_) return Step::kFailed;
  if (ended_) {
    // As with a socket: what nobody reads any more can be written as long as there may be a last word to be read.
    if (taken_ == inbox_.size()) return Step::kFailed;
    data = {};
    return Step::kDone;
  }
  while (!data.empty()) {
    if (credit_ == 0) return Step::kWaiting;
    if (mux_->output_.size() >= StreamMux::kOutputMax || (!mux_->waiting_.empty() && !waits_for_room_)) {
      if (!waits_for_room_) mux_->waiting_.push_back(id_);
      waits_for_room_ = true;
      return Step::kWaiting;
    }
    const size_t size = std::min({data.size(), size_t{credit_}, size_t{kPiece}});
    mux_->put({StreamFrame::Type::kData, static_cast<uint32_t>(size), id_}, data.substr(0, size));
    credit_ -= static_cast<uint32_t>(size);
    data.remove_prefix(size);
    if (std::exchange(waits_for_room_, false) && !data.empty() && credit_ > 0) {
      // Its turn was one frame; the others have theirs first.
      waits_for_room_ = true;
      mux_->waiting_.push_back(id_);
      return Step::kWaiting;
    }
  }
  return Step::kDone;
}

void MuxStream::abort() {
  if (std::exchange(closed_, true)) return;
  if (!ended_) mux_->put({StreamFrame::Type::kClose, 0, id_});
  ended_ = true;
  std::string().swap(inbox_);
  taken_ = 0;
  arriving_ = {};
  mux_->streams_.erase(id_);
}

StreamMux::StreamMux(Owner& owner, bool opens, uint32_t peer_window)
    : owner_(owner), opens_(opens), peer_window_(peer_window) {}

uint32_t StreamMux::open() {
  CHECK(opens_);
  if (lost_ || newest_ == UINT32_MAX || streams_.size() >= kStreamsMax) return 0;
  put({StreamFrame::Type::kOpen, 0, ++newest_});
  return newest_;
}

void StreamMux::put(StreamFrame frame, std::string_view data) {
  if (lost_) return;
  const bool first = output_.empty();
  encode_stream_frame(output_, frame);
  output_.append(data);
  if (first) owner_.has_output();
}

void StreamMux::take_output(std::string& sent) {
  sent.clear();
  if (sent.capacity() > kKeptOutput) std::string().swap(sent);
  output_.swap(sent);
}

void StreamMux::sent() {
  for (size_t turns = waiting_.size(); turns > 0 && output_.size() < kOutputMax; --turns) {
    MuxStream* const next = find(waiting_.front());
    waiting_.pop_front();
    if (next == nullptr) continue;
    if (next->io_.writer == nullptr) {
      next->waits_for_room_ = false;
    } else if (next->io_.writer->perform()) {
      std::exchange(next->io_.writer, nullptr)->complete();
    }
  }
}

MuxStream* StreamMux::find(uint32_t stream) {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : found->second;
}

Status StreamMux::receive(std::string_view bytes) {
  if (data_left_ > 0) data_to_ = find(data_stream_);
  while (!bytes.empty()) {
    if (lost_) return fail(Code::kInvalidArgument, "the connection has ended");
    if (data_left_ > 0) {
      const std::string_view data = bytes.substr(0, data_left_);
      if (data_to_ != nullptr) deliver(*data_to_, data);
      data_left_ -= static_cast<uint32_t>(data.size());
      bytes.remove_prefix(data.size());
      continue;
    }
    const char* header = bytes.data();
    if (header_size_ > 0 || bytes.size() < kStreamFrameHeader) {
      const size_t here = std::min(bytes.size(), kStreamFrameHeader - header_size_);
      std::memcpy(header_.data() + header_size_, bytes.data(), here);
      header_size_ += here;
      bytes.remove_prefix(here);
      if (header_size_ < kStreamFrameHeader) return {};
      header_size_ = 0;
      header = header_.data();
    } else {
      bytes.remove_prefix(kStreamFrameHeader);
    }
    ASSIGN_OR_RETURN(const StreamFrame frame, decode_stream_frame(header));
    RETURN_IF_ERROR(on_frame(frame));
  }
  return {};
}

Status StreamMux::on_frame(const StreamFrame& frame) {
  if (frame.type == StreamFrame::Type::kOpen) {
    if (opens_ || frame.stream <= newest_) return malformed("it cannot be opened", frame.stream);
    if (streams_.size() >= kStreamsMax) return malformed("there are too many", frame.stream);
    newest_ = frame.stream;
    owner_.opened(frame.stream);
    return {};
  }
  if (frame.stream > newest_) return malformed("it was not opened", frame.stream);
  // What we have closed may still be under way here.
  MuxStream* const stream = find(frame.stream);
  if (stream != nullptr && stream->ended_) return malformed("it was closed", frame.stream);
  switch (frame.type) {
    case StreamFrame::Type::kData:
      if (stream != nullptr) {
        if (frame.size > kStreamWindow - stream->uncredited_) return malformed("more than was allowed", frame.stream);
        stream->uncredited_ += frame.size;
      }
      data_to_ = stream;
      data_stream_ = frame.stream;
      data_left_ = frame.size;
      return {};
    case StreamFrame::Type::kCredit:
      if (stream == nullptr) return {};
      if (frame.size > peer_window_ - stream->credit_) return malformed("more credit than a window", frame.stream);
      stream->credit_ += frame.size;
      if (stream->io_.writer != nullptr && !stream->waits_for_room_ && stream->io_.writer->perform()) {
        std::exchange(stream->io_.writer, nullptr)->complete();
      }
      return {};
    default:
      if (stream != nullptr) end(*stream);
      return {};
  }
}

void StreamMux::deliver(MuxStream& stream, std::string_view bytes) {
  IoState& io = stream.io_;
  stream.arriving_ = bytes;
  if (io.reader != nullptr && io.reader->perform()) std::exchange(io.reader, nullptr)->complete();
  if (!stream.arriving_.empty()) stream.inbox_.append(std::exchange(stream.arriving_, {}));
}

void StreamMux::end(MuxStream& stream) {
  stream.ended_ = true;
  IoState& io = stream.io_;
  io.hung_up = true;
  if (io.on_hang_up != nullptr) io.on_hang_up->cancel();
  if (io.reader != nullptr && io.reader->perform()) std::exchange(io.reader, nullptr)->complete();
  if (io.writer != nullptr && io.writer->perform()) std::exchange(io.writer, nullptr)->complete();
}

void StreamMux::lose() {
  if (std::exchange(lost_, true)) return;
  std::string().swap(output_);
  waiting_.clear();
  for (const auto& [id, stream] : streams_) {
    if (!stream->ended_) end(*stream);
  }
}

}  // namespace vitrail::net::internal
