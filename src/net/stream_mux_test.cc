#include "net/stream_mux.h"

#include <gtest/gtest.h>

#include <map>

#include "net/socket.h"
#include "net/stream_frame.h"

namespace vitrail::net::internal {
namespace {

using Type = StreamFrame::Type;

std::string bytes_of(const StreamFrame& frame, std::string_view data = {}) {
  std::string out;
  encode_stream_frame(out, frame);
  out += data;
  return out;
}

TEST(StreamFrame, IsReadAsItWasWritten) {
  for (const StreamFrame& frame :
       {StreamFrame{Type::kOpen, 0, 1}, StreamFrame{Type::kData, 1, 2}, StreamFrame{Type::kData, kStreamFrameMax, 77},
        StreamFrame{Type::kCredit, kStreamWindowMax, UINT32_MAX}, StreamFrame{Type::kClose, 0, 0x01020304}}) {
    const std::string bytes = bytes_of(frame);
    ASSERT_EQ(bytes.size(), kStreamFrameHeader);
    auto read = decode_stream_frame(bytes.data());
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, frame);
  }
  EXPECT_EQ(bytes_of({Type::kCredit, 0x0a0b0c, 0x01020304}), std::string("\x04\x03\x02\x01\x0c\x0b\x0a\x03", 8));
}

TEST(StreamFrame, IsRefusedWhenItIsNone) {
  for (const StreamFrame& frame :
       {StreamFrame{Type::kOpen, 1, 1}, StreamFrame{Type::kData, 0, 1},
        StreamFrame{Type::kData, kStreamFrameMax + 1, 1}, StreamFrame{Type::kCredit, 0, 1},
        StreamFrame{Type::kCredit, kStreamWindowMax + 1, 1}, StreamFrame{Type::kClose, 7, 1},
        StreamFrame{Type::kData, 1, 0}, StreamFrame{static_cast<Type>(0), 0, 1},
        StreamFrame{static_cast<Type>(5), 0, 1}, StreamFrame{static_cast<Type>(255), 0, 1}}) {
    EXPECT_FALSE(decode_stream_frame(bytes_of(frame).data()).ok());
  }
}

// One side of a connection, and its streams.
class Side final : public StreamMux::Owner {
 public:
  explicit Side(bool opens) : mux(std::make_shared<StreamMux>(*this, opens, kStreamWindow)) {}
  void has_output() override { ++told; }
  void opened(uint32_t id) override { add(id); }
  bool connection_ended() const override { return false; }

  uint32_t open() {
    const uint32_t id = mux->open();
    add(id);
    return id;
  }
  void add(uint32_t id) { streams.emplace(id, std::make_unique<One>(mux, id)); }
  MuxStream& stream(uint32_t id) { return streams.at(id)->stream; }
  bool hung_up(uint32_t id) { return streams.at(id)->io.hung_up; }
  std::string read(uint32_t id, size_t room = 1000) {
    std::string out(room, 0);
    out.resize(stream(id).read(out));
    return out;
  }
  // What did not fit of `size` bytes.
  size_t write(uint32_t id, size_t size) {
    const std::string data(size, 'x');
    std::string_view left = data;
    (void)stream(id).write(left);
    return left.size();
  }
  std::string output() {
    std::string out;
    mux->take_output(out);
    mux->sent();
    return out;
  }

  struct One {
    One(const std::shared_ptr<StreamMux>& mux, uint32_t id) : stream(mux, id, io) {}
    IoState io;
    MuxStream stream;
  };
  int told = 0;
  std::shared_ptr<StreamMux> mux;
  std::map<uint32_t, std::unique_ptr<One>> streams;
};

class StreamMuxTest : public testing::Test {
 protected:
  // Everything that is to be sent arrives.
  void pass() {
    while (gate.mux->has_output() || tablet.mux->has_output()) {
      ASSERT_TRUE(tablet.mux->receive(gate.output()).ok());
      ASSERT_TRUE(gate.mux->receive(tablet.output()).ok());
    }
  }
  Side gate{true};
  Side tablet{false};
};

TEST_F(StreamMuxTest, StreamsAreApart) {
  const uint32_t a = gate.open();
  const uint32_t b = gate.open();
  std::string_view one = "to a";
  std::string_view other = "to b";
  EXPECT_EQ(gate.stream(a).write(one), MuxStream::Step::kDone);
  EXPECT_EQ(gate.stream(b).write(other), MuxStream::Step::kDone);
  EXPECT_EQ(gate.told, 1) << "once for all that is sent in one piece";
  EXPECT_FALSE(tablet.mux->streams() != 0);
  pass();
  EXPECT_EQ(tablet.read(b), "to b");
  EXPECT_EQ(tablet.read(a), "to a");
  EXPECT_FALSE(tablet.stream(a).has_input());
  std::string_view back = "from b";
  EXPECT_EQ(tablet.stream(b).write(back), MuxStream::Step::kDone);
  pass();
  EXPECT_FALSE(gate.stream(a).has_input());
  EXPECT_EQ(gate.read(b, 4), "from");
  EXPECT_EQ(gate.read(b), " b");
}

TEST_F(StreamMuxTest, FramesMayArriveInAnyPieces) {
  const uint32_t a = gate.open();
  std::string_view data = "some bytes";
  EXPECT_EQ(gate.stream(a).write(data), MuxStream::Step::kDone);
  gate.stream(a).abort();
  const std::string bytes = gate.output();
  for (size_t piece = 1; piece < bytes.size(); ++piece) {
    Side other(false);
    for (size_t at = 0; at < bytes.size(); at += piece) {
      ASSERT_TRUE(other.mux->receive(std::string_view(bytes).substr(at, piece)).ok());
    }
    EXPECT_EQ(other.read(a), "some bytes") << piece;
    EXPECT_TRUE(other.hung_up(a));
    EXPECT_EQ(other.read(a), "");
  }
}

TEST_F(StreamMuxTest, ASlowReaderStallsItselfAlone) {
  const uint32_t slow = gate.open();
  const uint32_t quick = gate.open();
  pass();
  size_t left = kStreamWindow + 1000;
  while (left > 1000) {
    const size_t before = left;
    left = tablet.write(slow, left);
    pass();
    ASSERT_LT(left, before);
  }
  EXPECT_EQ(left, 1000u);
  EXPECT_EQ(tablet.write(slow, 10), 10u) << "beyond the window";
  std::string_view word = "word";
  EXPECT_EQ(tablet.stream(quick).write(word), MuxStream::Step::kDone);
  pass();
  EXPECT_EQ(gate.read(quick), "word");
  EXPECT_EQ(gate.read(slow, kStreamWindow / 2 - 1).size(), kStreamWindow / 2 - 1);
  pass();
  EXPECT_EQ(tablet.write(slow, 10), 10u) << "credit comes in halves of a window";
  EXPECT_EQ(gate.read(slow, 1).size(), 1u);
  pass();
  EXPECT_EQ(tablet.write(slow, 10), 0u);
}

TEST_F(StreamMuxTest, LongWritersTakeTurns) {
  std::vector<uint32_t> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(gate.open());
  pass();
  for (const uint32_t id : ids) (void)tablet.write(id, 2 * kStreamWindow);
  std::string first;
  tablet.mux->take_output(first);
  EXPECT_LE(first.size(), StreamMux::kOutputMax + kStreamFrameMax);
  ASSERT_TRUE(gate.mux->receive(first).ok());
  // Somebody who comes now waits behind those who wait: no more than a turn of each.
  const uint32_t late = gate.open();
  ASSERT_TRUE(tablet.mux->receive(gate.output()).ok());
  std::string_view word = "word";
  EXPECT_EQ(tablet.stream(late).write(word), MuxStream::Step::kWaiting);
  tablet.mux->sent();  // Nobody of them waits in a coroutine here: their turns are over.
  EXPECT_EQ(tablet.stream(late).write(word), MuxStream::Step::kDone);
}

TEST_F(StreamMuxTest, AnEndComesBehindTheData) {
  const uint32_t a = gate.open();
  pass();
  std::string_view last = "last words";
  EXPECT_EQ(tablet.stream(a).write(last), MuxStream::Step::kDone);
  tablet.streams.clear();
  pass();
  EXPECT_TRUE(gate.hung_up(a));
  std::string_view lost = "nobody reads it";
  EXPECT_EQ(gate.stream(a).write(lost), MuxStream::Step::kDone) << "the last words may say why";
  EXPECT_EQ(gate.read(a), "last words");
  EXPECT_EQ(gate.read(a), "");
  lost = "nobody reads it";
  EXPECT_EQ(gate.stream(a).write(lost), MuxStream::Step::kFailed);
  EXPECT_FALSE(gate.mux->has_output());
  EXPECT_EQ(gate.mux->streams(), 1u);
  gate.streams.clear();
  EXPECT_EQ(gate.mux->streams(), 0u);
  EXPECT_FALSE(gate.mux->has_output()) << "the other side has closed it";
}

TEST_F(StreamMuxTest, WhatIsUnderWayToAClosedStreamIsForgotten) {
  const uint32_t a = gate.open();
  pass();
  (void)tablet.write(a, 100);
  gate.stream(a).abort();
  pass();
  EXPECT_TRUE(tablet.hung_up(a));
  EXPECT_EQ(gate.read(a), "");
  EXPECT_EQ(gate.mux->streams(), 0u);
}

TEST_F(StreamMuxTest, AllStreamsEndWithTheConnection) {
  const uint32_t a = gate.open();
  pass();
  std::string_view word = "word";
  EXPECT_EQ(tablet.stream(a).write(word), MuxStream::Step::kDone);
  pass();
  gate.mux->lose();
  EXPECT_TRUE(gate.hung_up(a));
  EXPECT_EQ(gate.read(a), "word") << "it has arrived";
  EXPECT_EQ(gate.read(a), "");
  EXPECT_EQ(gate.mux->open(), 0u);
  EXPECT_FALSE(gate.mux->receive("x").ok());
}

TEST(StreamMux, RefusesWhatNoPeerSends) {
  const std::string open = bytes_of({Type::kOpen, 0, 5});
  const std::string window(kStreamFrameMax, 'x');
  std::string full = open;
  for (int i = 0; i < 4; ++i) full += bytes_of({Type::kData, kStreamFrameMax, 5}, window);
  static_assert(kStreamWindow == 4 * kStreamFrameMax);
  const struct {
    std::string what;
    std::string bytes;
    bool fine;
  } cases[] = {
      {"a stream", open, true},
      {"a later one", open + bytes_of({Type::kOpen, 0, 6}), true},
      {"the same again", open + open, false},
      {"an earlier one", open + bytes_of({Type::kOpen, 0, 4}), false},
      {"data before it is opened", bytes_of({Type::kData, 1, 5}, "x"), false},
      {"credit before it is opened", bytes_of({Type::kCredit, 1, 5}), false},
      {"an end before it is opened", bytes_of({Type::kClose, 0, 5}), false},
      {"an end", open + bytes_of({Type::kClose, 0, 5}), true},
      {"data behind the end", open + bytes_of({Type::kClose, 0, 5}) + bytes_of({Type::kData, 1, 5}, "x"), false},
      {"two ends", open + bytes_of({Type::kClose, 0, 5}) + bytes_of({Type::kClose, 0, 5}), false},
      {"credit that was not used", open + bytes_of({Type::kCredit, 1, 5}), false},
      {"a window", full, true},
      {"more than a window", full + bytes_of({Type::kData, 1, 5}, "x"), false},
      {"no frame", open + "select 1", false},
  };
  for (const auto& [what, bytes, fine] : cases) {
    Side tablet(false);
    EXPECT_EQ(tablet.mux->receive(bytes).ok(), fine) << what;
  }
  Side gate(true);
  EXPECT_FALSE(gate.mux->receive(open).ok()) << "opened by the side that does not";
}

TEST(StreamMux, OpensNoMoreThanItsBound) {
  Side tablet(false);
  std::string bytes;
  for (uint32_t id = 1; id <= StreamMux::kStreamsMax; ++id) bytes += bytes_of({Type::kOpen, 0, id});
  EXPECT_TRUE(tablet.mux->receive(bytes).ok());
  EXPECT_FALSE(tablet.mux->receive(bytes_of({Type::kOpen, 0, StreamMux::kStreamsMax + 1})).ok());
}

}  // namespace
}  // namespace vitrail::net::internal
