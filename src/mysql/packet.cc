#include "mysql/packet.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>

#include "mysql/errors.h"

namespace vitrail::mysql {

static_assert(std::endian::native == std::endian::little, "cells are copied as they are: port before removing this");

namespace {

template <typename T>
void append_raw(std::string& out, T value, size_t size = sizeof(T)) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, size);
}

}  // namespace

PacketHeader decode_packet_header(const void* bytes) {
  uint32_t word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  return {word & 0xffffff, static_cast<uint8_t>(word >> 24)};
}

void encode_packet_header(PacketHeader header, void* bytes) {
  const uint32_t word = (header.length & 0xffffff) | (static_cast<uint32_t>(header.sequence) << 24);
  std::memcpy(bytes, &word, sizeof(word));
}

void SequenceShift::apply(char* bytes, size_t size) {
  if (delta_ == 0) return;
  for (size_t at = 0;;) {
    const size_t skipped = std::min(left_, size - at);
    at += skipped;
    left_ -= skipped;
    if (size - at < kPacketHeaderSize) return;
    PacketHeader header = decode_packet_header(bytes + at);
    header.sequence = static_cast<uint8_t>(header.sequence + delta_);
    encode_packet_header(header, bytes + at);
    at += kPacketHeaderSize;
    left_ = header.length;
  }
}

uint8_t answer_sequence(std::string_view framed) {
  uint8_t frames = 0;
  while (framed.size() >= kPacketHeaderSize) {
    const PacketHeader header = decode_packet_header(framed.data());
    framed.remove_prefix(std::min(framed.size(), kPacketHeaderSize + header.length));
    ++frames;
  }
  return frames;
}

float ByteReader::f32() { return std::bit_cast<float>(u32()); }
double ByteReader::f64() { return std::bit_cast<double>(u64()); }

uint64_t ByteReader::big_endian(size_t size) {
  if (size == 0 || size > 8 || remaining() < size) {
    set_failed();
    return 0;
  }
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(bytes_[position_ + i]);
  position_ += size;
  return value;
}

uint64_t ByteReader::little_endian(size_t size) {
  if (size == 0 || size > 8 || remaining() < size) {
    set_failed();
    return 0;
  }
  uint64_t value = 0;
  std::memcpy(&value, bytes_.data() + position_, size);
  position_ += size;
  return value;
}

uint64_t ByteReader::lenenc_int() {
  const uint8_t first = u8();
  if (first < 0xfb) return first;
  switch (first) {
    case 0xfc: return u16();
    case 0xfd: return u24();
    case 0xfe: return u64();
    default: set_failed(); return 0;
  }
}

std::string_view ByteReader::lenenc_string() {
  const uint64_t size = lenenc_int();
  if (size > remaining()) {
    set_failed();
    return {};
  }
  return bytes(static_cast<size_t>(size));
}

std::optional<std::string_view> ByteReader::lenenc_cell() {
  if (!at_end() && static_cast<uint8_t>(bytes_[position_]) == 0xfb) {
    ++position_;
    return std::nullopt;
  }
  return lenenc_string();
}

std::string_view ByteReader::null_terminated() {
  const size_t end = bytes_.find('\0', position_);
  if (end == std::string_view::npos) {
    set_failed();
    return {};
  }
  const std::string_view text = bytes_.substr(position_, end - position_);
  position_ = end + 1;
  return text;
}

std::string_view ByteReader::null_terminated_or_rest() {
  return bytes_.find('\0', position_) == std::string_view::npos ? rest() : null_terminated();
}

std::string_view ByteReader::bytes(size_t size) {
  if (size > remaining()) {
    set_failed();
    return {};
  }
  const std::string_view view = bytes_.substr(position_, size);
  position_ += size;
  return view;
}

std::string_view ByteReader::rest() { return bytes(remaining()); }

void append_u8(std::string& out, uint8_t value) { out.push_back(static_cast<char>(value)); }
void append_u16(std::string& out, uint16_t value) { append_raw(out, value); }
void append_u24(std::string& out, uint32_t value) { append_raw(out, value, 3); }
void append_u32(std::string& out, uint32_t value) { append_raw(out, value); }
void append_u48(std::string& out, uint64_t value) { append_raw(out, value, 6); }
void append_u64(std::string& out, uint64_t value) { append_raw(out, value); }
void append_f32(std::string& out, float value) { append_raw(out, value); }
void append_f64(std::string& out, double value) { append_raw(out, value); }

void append_lenenc_int(std::string& out, uint64_t value) {
  if (value < 0xfb) {
    append_u8(out, static_cast<uint8_t>(value));
  } else if (value <= 0xffff) {
    append_u8(out, 0xfc);
    append_u16(out, static_cast<uint16_t>(value));
  } else if (value <= 0xffffff) {
    append_u8(out, 0xfd);
    append_u24(out, static_cast<uint32_t>(value));
  } else {
    append_u8(out, 0xfe);
    append_u64(out, value);
  }
}

void append_lenenc_string(std::string& out, std::string_view value) {
  append_lenenc_int(out, value.size());
  out.append(value);
}

void append_null_terminated(std::string& out, std::string_view value) {
  out.append(value);
  out.push_back('\0');
}

size_t lenenc_int_size(uint64_t value) {
  if (value < 0xfb) return 1;
  if (value <= 0xffff) return 3;
  return value <= 0xffffff ? 4 : 9;
}

std::string& PacketWriter::begin() {
  start_ = out_.size();
  out_.append(kPacketHeaderSize, '\0');
  return out_;
}

void PacketWriter::end() {
  const size_t size = out_.size() - start_ - kPacketHeaderSize;
  if (size < kMaxFramePayload) {
    encode_packet_header({static_cast<uint32_t>(size), sequence_++}, out_.data() + start_);
    return;
  }
  // Room for the headers of the further frames; then the payload's pieces move to their places, the last one first.
  const size_t further = size / kMaxFramePayload;
  out_.resize(out_.size() + further * kPacketHeaderSize);
  char* const first = out_.data() + start_;
  for (size_t i = further + 1; i-- > 0;) {
    const size_t from = kPacketHeaderSize + i * kMaxFramePayload;
    const size_t length = std::min(kMaxFramePayload, size - i * kMaxFramePayload);
    std::memmove(first + from + i * kPacketHeaderSize, first + from, length);
    encode_packet_header({static_cast<uint32_t>(length), static_cast<uint8_t>(sequence_ + i)},
                         first + from + i * kPacketHeaderSize - kPacketHeaderSize);
  }
  sequence_ = static_cast<uint8_t>(sequence_ + further + 1);
}

void PacketWriter::message(std::string_view payload) {
  begin().append(payload);
  end();
}

namespace {
constexpr size_t kJoinedKept = size_t{64} << 10;
}  // namespace

Result<std::optional<MessageReader::Message>> MessageReader::next(std::string_view buffer) {
  if (joined_.capacity() > kJoinedKept) std::string().swap(joined_);  // Of the message before.
  Message message;
  size_t position = 0;
  size_t total = 0;
  size_t frames = 0;
  for (bool more = true; more; ++frames) {
    if (buffer.size() - position < kPacketHeaderSize) return std::nullopt;
    const PacketHeader header = decode_packet_header(buffer.data() + position);
    if (frames == 0) {
      message.first_sequence = header.sequence;
    } else if (header.sequence != static_cast<uint8_t>(message.last_sequence + 1)) {
      return fail(Code::kInvalidArgument, "Got packets out of order").with_mysql(errnos::kPacketsOutOfOrder, "08S01");
    }
    message.last_sequence = header.sequence;
    total += header.length;
    if (total > max_message_) {
      return fail(Code::kResourceExhausted,
                  fmt::format(
                      "Got a packet bigger than 'max_allowed_packet' bytes: a message is longer than the limit of {} "
                      "bytes",
                      max_message_))
          .with_mysql(errnos::kPacketTooLarge, "08S01");
    }
    position += kPacketHeaderSize;
    if (buffer.size() - position < header.length) return std::nullopt;
    position += header.length;
    more = header.length == kMaxFramePayload;
  }
  message.consumed = position;
  if (frames == 1) {
    message.payload = buffer.substr(kPacketHeaderSize, total);
    return message;
  }
  joined_.clear();
  joined_.reserve(total);
  for (size_t from = 0; from < position;) {
    const size_t length = decode_packet_header(buffer.data() + from).length;
    joined_.append(buffer, from + kPacketHeaderSize, length);
    from += kPacketHeaderSize + length;
  }
  message.payload = joined_;
  return message;
}

}  // namespace vitrail::mysql
