// Whatever a peer sends, and in whatever pieces: no stream holds more than its window, and the same bytes mean the
// same.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/stream_mux.h"

namespace {

using namespace vitrail::net;
using internal::IoState;
using internal::MuxStream;
using internal::StreamMux;

class Side final : public StreamMux::Owner {
 public:
  explicit Side(bool opens) : mux(std::make_shared<StreamMux>(*this, opens, kStreamWindow)) {}
  void has_output() override {}
  void opened(uint32_t id) override { streams.emplace(id, std::make_unique<One>(mux, id)); }
  bool connection_ended() const override { return false; }

  struct One {
    One(const std::shared_ptr<StreamMux>& mux, uint32_t id) : stream(mux, id, io) {}
    IoState io;
    MuxStream stream;
  };
  std::shared_ptr<StreamMux> mux;
  std::map<uint32_t, std::unique_ptr<One>> streams;
};

class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const { return left_.empty(); }
  uint8_t byte() {
    if (left_.empty()) return 0;
    const auto out = static_cast<uint8_t>(left_[0]);
    left_.remove_prefix(1);
    return out;
  }
  std::string_view bytes(size_t size) {
    const std::string_view out = left_.substr(0, size);
    left_.remove_prefix(out.size());
    return out;
  }

 private:
  std::string_view left_;
};

// What the peer sends, made of loose bytes, so that the fuzzer need not find headers: most frames are right ones.
std::string a_frame(Input& input) {
  const uint8_t kind = input.byte();
  if (kind >= 0xf0) return std::string(input.bytes(kind & 0xf));
  StreamFrame frame;
  frame.type = static_cast<StreamFrame::Type>(1 + kind % 4);
  frame.stream = input.byte() % 8;
  if (frame.type == StreamFrame::Type::kData) frame.size = (kind & 0x80) != 0 ? kStreamFrameMax : input.byte();
  if (frame.type == StreamFrame::Type::kCredit) frame.size = uint32_t{input.byte()} << (kind / 16);
  std::string out;
  encode_stream_frame(out, frame);
  if (frame.type == StreamFrame::Type::kData) out.append(frame.size, 'x');
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t shape = input.byte();
  Side whole((shape & 1) != 0);
  Side cut((shape & 1) != 0);
  const size_t piece = 1 + shape / 2;
  static std::string room(size_t{2} * kStreamWindow, 0);
  std::string sent;
  while (!input.empty()) {
    const uint8_t what = input.byte();
    const uint32_t id = what >> 5;
    if (what % 4 == 0) {
      const std::string bytes = a_frame(input);
      bool fine = true;
      for (size_t at = 0; at < bytes.size() && fine; at += piece) fine = cut.mux->receive(bytes.substr(at, piece)).ok();
      const bool once = whole.mux->receive(bytes).ok();
      CHECK(fine == once);
      if (!once) break;
      continue;
    }
    std::string outcomes[2];
    Side* const sides[] = {&whole, &cut};
    for (int i = 0; i < 2; ++i) {
      Side& side = *sides[i];
      const auto found = side.streams.find(id);
      if (what % 32 == 1 && side.mux.get() != nullptr && (shape & 1) != 0) {
        if (const uint32_t opened = side.mux->open(); opened != 0) side.opened(opened);
      } else if (what % 32 == 2) {
        side.mux->take_output(sent);
        side.mux->sent();
        outcomes[i] = sent;
      } else if (found == side.streams.end()) {
        continue;
      } else if (what % 32 == 3) {
        side.streams.erase(found);
      } else if (what % 2 == 0) {
        const size_t got = found->second->stream.read({room.data(), size_t{1} << (what % 20)});
        CHECK(got <= kStreamWindow);
        outcomes[i] = std::to_string(got);
      } else {
        std::string_view text = std::string_view(room).substr(0, size_t{1} << (what % 20));
        const auto step = found->second->stream.write(text);
        outcomes[i] = std::to_string(text.size()) + " " + std::to_string(static_cast<int>(step));
      }
    }
    CHECK(outcomes[0] == outcomes[1]);
  }
  // What is there can be read to its end, and is no more than a window.
  for (auto& [id, one] : whole.streams) {
    size_t total = 0;
    while (const size_t got = one->stream.read(room)) total += got;
    CHECK(total <= kStreamWindow);
  }
  whole.mux->lose();
  CHECK(!whole.mux->has_output());
  return 0;
}
