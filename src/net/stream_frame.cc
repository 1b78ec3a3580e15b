#include "net/stream_frame.h"

#include <fmt/core.h>

namespace vitrail::net {

void encode_stream_frame(std::string& out, const StreamFrame& frame) {
  const auto byte = [](uint32_t value, int shift) { return static_cast<char>((value >> shift) & 0xff); };
  const char header[kStreamFrameHeader] = {byte(frame.stream, 0),  byte(frame.stream, 8),        byte(frame.stream, 16),
                                           byte(frame.stream, 24), byte(frame.size, 0),          byte(frame.size, 8),
                                           byte(frame.size, 16),   static_cast<char>(frame.type)};
  out.append(header, sizeof header);
}

Result<StreamFrame> decode_stream_frame(const char* header) {
  const auto at = [&](size_t index) { return static_cast<uint32_t>(static_cast<uint8_t>(header[index])); };
  StreamFrame frame;
  frame.stream = at(0) | at(1) << 8 | at(2) << 16 | at(3) << 24;
  frame.size = at(4) | at(5) << 8 | at(6) << 16;
  frame.type = static_cast<StreamFrame::Type>(at(7));
  bool valid = frame.stream != 0;
  switch (frame.type) {
    case StreamFrame::Type::kOpen:
    case StreamFrame::Type::kClose: valid = valid && frame.size == 0; break;
    case StreamFrame::Type::kData: valid = valid && frame.size > 0 && frame.size <= kStreamFrameMax; break;
    case StreamFrame::Type::kCredit: valid = valid && frame.size > 0 && frame.size <= kStreamWindowMax; break;
    default: valid = false;
  }
  if (!valid) {
    return fail(Code::kInvalidArgument,
                fmt::format("malformed frame: type {}, {} bytes, stream {}", at(7), frame.size, frame.stream));
  }
  return frame;
}

}  // namespace vitrail::net
