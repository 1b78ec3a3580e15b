#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

// Framing of the MySQL client/server protocol, and readers and writers of its cells.
//
// Words used in this folder: a *frame* is what one 4-byte header (length u24 LE, sequence u8) announces, at most 2^24-1
// bytes of payload. A *message* ("packet" in most documents) is the joined payload of one or more frames: every frame
// of 2^24-1 bytes is followed by another, if need be an empty one. Encoders append the payload of one message to a
// std::string; PacketWriter frames it. Decoders read the payload of one message and keep views into it where they say
// so.
//
// Source: MySQL 8 internals documentation, "Client/Server Protocol: MySQL Packets" and "Basic Data Types".
namespace vitrail::mysql {

inline constexpr size_t kPacketHeaderSize = 4;
inline constexpr size_t kMaxFramePayload = 0xffffff;

struct PacketHeader {
  uint32_t length = 0;  // Payload bytes that follow, without the header.
  uint8_t sequence = 0;
};

// `bytes` must point to kPacketHeaderSize bytes.
PacketHeader decode_packet_header(const void* bytes);
void encode_packet_header(PacketHeader header, void* bytes);

// Changes the sequence numbers of a stream of frames that passes by in pieces, whose headers are whole.
class SequenceShift {
 public:
  explicit SequenceShift(uint8_t delta) : delta_(delta) {}
  uint8_t delta() const { return delta_; }
  // Adds delta (modulo 256) to the number of each frame that begins in these bytes.
  void apply(char* bytes, size_t size);

 private:
  size_t left_ = 0;  // Payload bytes of the current frame still to come.
  uint8_t delta_;
};

// The number that the answer to `framed`, one command of whole frames from number 0 on, begins with.
uint8_t answer_sequence(std::string_view framed);

// Reads cells of one message. After the first read beyond the end the reader is failed: ok() is false, every further
// read gives 0 or "", and nothing is read out of bounds. Check ok() once, after the last read.
//   Owns: nothing; views it returns live as long as the bytes it was given.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return !failed_; }
  bool at_end() const { return position_ == bytes_.size(); }
  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  // Marks the reader failed, for a decoder that meets a value it cannot accept.
  void set_failed() {
    failed_ = true;
    position_ = bytes_.size();
  }

  uint8_t u8() { return static_cast<uint8_t>(little_endian<1>()); }
  uint16_t u16() { return static_cast<uint16_t>(little_endian<2>()); }
  uint32_t u24() { return static_cast<uint32_t>(little_endian<3>()); }
  uint32_t u32() { return static_cast<uint32_t>(little_endian<4>()); }
  uint64_t u48() { return little_endian<6>(); }
  uint64_t u64() { return little_endian<8>(); }
  float f32();
  double f64();
  // Big-endian unsigned integer of 1..8 bytes (stored forms of decimals and times).
  uint64_t big_endian(size_t size);
  // Little-endian unsigned integer of 1..8 bytes.
  uint64_t little_endian(size_t size);

  // Length-encoded integer. 0xfb (NULL) and 0xff are failures here.
  uint64_t lenenc_int();
  // Length-encoded string.
  std::string_view lenenc_string();
  // Length-encoded string, or nullopt for the NULL marker 0xfb.
  std::optional<std::string_view> lenenc_cell();
  // Up to and without a 0 byte, which is consumed; without one the reader fails.
  std::string_view null_terminated();
  // Like null_terminated(), but the end of the message may stand for the 0 byte (some servers and clients omit it).
  std::string_view null_terminated_or_rest();
  std::string_view bytes(size_t size);
  std::string_view rest();
  void skip(size_t size) { bytes(size); }
  // Next byte without consuming it; 0 at the end (without failing).
  uint8_t peek() const { return at_end() ? 0 : static_cast<uint8_t>(bytes_[position_]); }

 private:
  template <size_t kSize>
  uint64_t little_endian() {
    if (remaining() < kSize) {
      set_failed();
      return 0;
    }
    uint64_t value = 0;
    std::memcpy(&value, bytes_.data() + position_, kSize);  // Little-endian hosts only (checked in packet.cc).
    position_ += kSize;
    return value;
  }

  std::string_view bytes_;
  size_t position_ = 0;
  bool failed_ = false;
};

// Appending counterparts of ByteReader.
void append_u8(std::string& out, uint8_t value);
void append_u16(std::string& out, uint16_t value);
void append_u24(std::string& out, uint32_t value);
void append_u32(std::string& out, uint32_t value);
void append_u48(std::string& out, uint64_t value);
void append_u64(std::string& out, uint64_t value);
void append_f32(std::string& out, float value);
void append_f64(std::string& out, double value);
void append_lenenc_int(std::string& out, uint64_t value);
void append_lenenc_string(std::string& out, std::string_view value);
void append_null_terminated(std::string& out, std::string_view value);
// Bytes that append_lenenc_int writes: 1, 3, 4 or 9.
size_t lenenc_int_size(uint64_t value);

// Appends framed messages to a buffer, counting sequence numbers. Anything already in the buffer stays.
//   Owns    : nothing; `out` must outlive the writer and must not be cut below the point where begin() was called.
//   Sequence: starts at the given number and wraps at 256, as the protocol does.
class PacketWriter {
 public:
  explicit PacketWriter(std::string& out, uint8_t sequence = 0) : out_(out), sequence_(sequence) {}

  // Starts a message: append its payload to the returned string (the buffer itself), then call end().
  std::string& begin();
  // Frames what was appended since begin(), splitting it at 2^24-1 bytes.
  void end();
  // A whole message at once.
  void message(std::string_view payload);

  // The number that the next frame will carry.
  uint8_t sequence() const { return sequence_; }
  void set_sequence(uint8_t sequence) { sequence_ = sequence; }

 private:
  std::string& out_;
  size_t start_ = 0;
  uint8_t sequence_;
};

// Finds whole messages at the front of a receive buffer.
//
// A message in one frame is returned as a view into the caller's buffer (no copy). A message of several frames is
// joined into the reader's own buffer. Usage: on next() == nullopt read more bytes behind what the buffer holds;
// otherwise use the message and then drop `consumed` bytes from the front of the buffer.
class MessageReader {
 public:
  struct Message {
    std::string_view payload;  // Into the caller's buffer, or into the reader until its next call.
    uint8_t first_sequence = 0;
    uint8_t last_sequence = 0;  // The answer starts at last_sequence + 1.
    size_t consumed = 0;        // Bytes of the buffer that the message took, headers included.
  };

  // `max_message`: a longer message is refused as soon as its headers show it (max_allowed_packet).
  explicit MessageReader(size_t max_message = size_t{64} << 20) : max_message_(max_message) {}
  void set_max_message(size_t size) { max_message_ = size; }

  //   kResourceExhausted (errno 1153)  longer than max_message.
  //   kInvalidArgument (errno 1156)    the frames of one message have gaps in their sequence numbers.
  Result<std::optional<Message>> next(std::string_view buffer);

 private:
  size_t max_message_;
  std::string joined_;
};

}  // namespace vitrail::mysql
