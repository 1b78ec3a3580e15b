#include "mysql/stream_offer.h"

#include <charconv>

namespace vitrail::mysql {
namespace {

constexpr size_t kOfferSize = 6;
constexpr std::string_view kAnswer = "streams ";  // And the version.

}  // namespace

void encode_stream_offer(std::string& out, const StreamOffer& offer) {
  out += static_cast<char>(kCarryStreams);
  out += static_cast<char>(offer.version);
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((offer.window >> shift) & 0xff);
}

Result<StreamOffer> decode_stream_offer(std::string_view payload) {
  if (payload.size() < kOfferSize || static_cast<uint8_t>(payload[0]) != kCarryStreams || payload[1] == 0) {
    return fail(Code::kInvalidArgument, "malformed offer of streams");
  }
  StreamOffer offer;
  offer.version = static_cast<uint8_t>(payload[1]);
  for (int i = 0; i < 4; ++i) {
    offer.window |= static_cast<uint32_t>(static_cast<uint8_t>(payload[static_cast<size_t>(2 + i)])) << (8 * i);
  }
  return offer;
}

OkPacket to_ok(const StreamAnswer& answer) {
  OkPacket ok;
  ok.affected_rows = answer.window;
  ok.last_insert_id = answer.loops;
  ok.info = std::string(kAnswer) + std::to_string(answer.version);
  return ok;
}

Result<StreamAnswer> stream_answer_of(const OkPacket& ok) {
  StreamAnswer answer;
  const std::string_view info = ok.info;
  const std::string_view version = info.starts_with(kAnswer) ? info.substr(kAnswer.size()) : std::string_view();
  const auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), answer.version);
  if (error != std::errc() || end != version.data() + version.size() || answer.version == 0 ||
      ok.affected_rows > UINT32_MAX || ok.last_insert_id == 0 || ok.last_insert_id > UINT32_MAX) {
    return fail(Code::kInvalidArgument, "malformed answer to an offer of streams");
  }
  answer.window = static_cast<uint32_t>(ok.affected_rows);
  answer.loops = static_cast<uint32_t>(ok.last_insert_id);
  return answer;
}

}  // namespace vitrail::mysql
