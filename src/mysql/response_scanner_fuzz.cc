// However a response is cut, the scanner must learn the same from it; and it must never consume what it was not given.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "mysql/packet.h"
#include "mysql/response_scanner.h"

namespace {

using namespace vitrail::mysql;

struct Learnt {
  ResponseScanner::State state = ResponseScanner::State::kMore;
  size_t forwarded = 0;
  std::vector<size_t> flags;
  ResponseScanner::Summary summary;
  std::optional<ErrPacket> error;
};

// `cuts` says how many bytes each read brings.
Learnt relay(ResponseKind kind, Capabilities capabilities, std::string_view bytes, std::string_view cuts) {
  ResponseScanner scanner;
  scanner.start(kind, capabilities, 1);
  Learnt learnt;
  size_t read = cuts.empty() ? bytes.size() : 0;
  size_t reads = 0;
  while (true) {
    const auto outcome = scanner.feed(bytes.substr(learnt.forwarded, read - learnt.forwarded));
    CHECK(outcome.consumed <= read - learnt.forwarded);
    CHECK(outcome.consumed == 0 || scanner.decided());
    if (outcome.status.present()) {
      CHECK(outcome.status.flags + 2 <= outcome.consumed);
      CHECK(outcome.status.message + outcome.status.message_size <= outcome.consumed);
      learnt.flags.push_back(learnt.forwarded + outcome.status.flags);
    }
    learnt.forwarded += outcome.consumed;
    learnt.state = outcome.state;
    CHECK(scanner.total_consumed() == learnt.forwarded);
    if (outcome.state != ResponseScanner::State::kMore) break;
    if (outcome.status.present()) continue;
    if (read == bytes.size()) break;
    const size_t piece = cuts.empty() ? bytes.size() : static_cast<uint8_t>(cuts[reads++ % cuts.size()]) + size_t{1};
    read = std::min(bytes.size(), read + piece);
  }
  learnt.summary = scanner.summary();
  learnt.error = scanner.error();
  return learnt;
}

// Makes a valid run of frames of loose payloads, so that the fuzzer need not find headers.
std::string framed(std::string_view payloads) {
  std::string out;
  PacketWriter writer(out, 1);
  while (!payloads.empty()) {
    const size_t size = std::min<size_t>(static_cast<uint8_t>(payloads[0]) % 32, payloads.size() - 1);
    writer.message(payloads.substr(1, size));
    payloads.remove_prefix(1 + size);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 6) return 0;
  const auto kind = static_cast<ResponseKind>(data[0] % 7);
  const Capabilities capabilities = kClientProtocol41 | ((data[1] & 1) != 0 ? kClientDeprecateEof : 0) |
                                    ((data[1] & 2) != 0 ? kClientSessionTrack : 0);
  const std::string_view cuts(reinterpret_cast<const char*>(data + 2), 3);
  const std::string_view rest(reinterpret_cast<const char*>(data + 5), size - 5);
  const std::string bytes = (data[1] & 4) != 0 ? std::string(rest) : framed(rest);
  const Learnt whole = relay(kind, capabilities, bytes, {});
  for (const std::string_view how : {cuts, std::string_view("\0", 1)}) {
    const Learnt cut = relay(kind, capabilities, bytes, how);
    CHECK(cut.state == whole.state && cut.forwarded == whole.forwarded && cut.flags == whole.flags);
    CHECK(cut.error == whole.error);
    CHECK(cut.summary.rows == whole.summary.rows && cut.summary.results == whole.summary.results);
    CHECK(cut.summary.status_flags == whole.summary.status_flags && cut.summary.columns == whole.summary.columns);
  }
  return 0;
}
