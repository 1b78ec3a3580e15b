#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "mysql/messages.h"

// How vtgate and vttablet agree that a connection of the data port is to carry streams from now on
// (docs/formats/data_port.md). Other servers answer the command with error 1047.
namespace vitrail::mysql {

inline constexpr uint8_t kCarryStreams = 0xe5;  // The command's byte.

struct StreamOffer {
  uint8_t version = 1;  // The newest that the sender knows.
  uint32_t window = 0;  // Bytes of each stream that the sender takes before it has read any.
  bool operator==(const StreamOffer&) const = default;
};

void encode_stream_offer(std::string& out, const StreamOffer& offer);
// `payload`: with its command byte. kInvalidArgument: too short, or version 0. What is behind it is of a newer version.
Result<StreamOffer> decode_stream_offer(std::string_view payload);

struct StreamAnswer {
  uint8_t version = 1;  // The one that holds.
  uint32_t window = 0;  // As above, of who answers.
  uint32_t loops = 1;   // How many connections can be served side by side there.
  bool operator==(const StreamAnswer&) const = default;
};

OkPacket to_ok(const StreamAnswer& answer);
// kInvalidArgument: it is no such answer.
Result<StreamAnswer> stream_answer_of(const OkPacket& ok);

}  // namespace vitrail::mysql
