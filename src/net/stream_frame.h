#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace vitrail::net {

// What goes over a Carrier's connection: frames of a header and, for kData, as many bytes as it says. See
// docs/formats/data_port.md.
struct StreamFrame {
  enum class Type : uint8_t {
    kOpen = 1,    // A new stream. Only by the side that made the connection.
    kData = 2,    // Bytes of a stream.
    kCredit = 3,  // So many more bytes may be sent to who says so.
    kClose = 4,   // Who says so sends nothing more on the stream, and reads nothing more of it.
  };
  Type type = Type::kData;
  uint32_t size = 0;  // Of the data, or the credit.
  uint32_t stream = 0;
  bool operator==(const StreamFrame&) const = default;
};

inline constexpr size_t kStreamFrameHeader = 8;
inline constexpr uint32_t kStreamFrameMax = 64 << 10;  // Bytes of one frame.
inline constexpr uint32_t kStreamWindowMin = 4 << 10;  // Of a stream's window: what may be sent and not yet read.
inline constexpr uint32_t kStreamWindowMax = 8 << 20;
inline constexpr uint32_t kStreamWindow = 256 << 10;  // Ours.
constexpr bool stream_window_fits(uint32_t size) { return size >= kStreamWindowMin && size <= kStreamWindowMax; }

void encode_stream_frame(std::string& out, const StreamFrame& frame);
// Of the kStreamFrameHeader bytes at `header`. kInvalidArgument: there is no such frame.
Result<StreamFrame> decode_stream_frame(const char* header);

}  // namespace vitrail::net
