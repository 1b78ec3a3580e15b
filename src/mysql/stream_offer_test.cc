#include "mysql/stream_offer.h"

#include <gtest/gtest.h>

#include "mysql/protocol.h"

namespace vitrail::mysql {
namespace {

TEST(StreamOffer, IsReadAsItWasWritten) {
  const StreamOffer offer{1, 0x01020304};
  std::string payload;
  encode_stream_offer(payload, offer);
  EXPECT_EQ(payload, std::string("\xe5\x01\x04\x03\x02\x01", 6));
  auto read = decode_stream_offer(payload);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, offer);
  EXPECT_TRUE(decode_stream_offer(payload + "what a later version adds").ok());
}

TEST(StreamOffer, IsRefusedWhenItIsNone) {
  for (const std::string& payload :
       {std::string(), std::string("\xe5\x01\x04\x03\x02", 5), std::string("\xe5\0\x04\x03\x02\x01", 6),
        std::string("\x03\x01\x04\x03\x02\x01", 6)}) {
    EXPECT_FALSE(decode_stream_offer(payload).ok()) << payload.size();
  }
}

TEST(StreamAnswer, TravelsInAnOk) {
  const StreamAnswer answer{1, 262'144, 4};
  const Capabilities capabilities = kClientProtocol41 | kClientTransactions;
  std::string payload;
  encode_ok(payload, to_ok(answer), capabilities);
  auto ok = decode_ok(payload, capabilities);
  ASSERT_TRUE(ok.ok());
  auto read = stream_answer_of(*ok);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, answer);
}

TEST(StreamAnswer, IsNotTakenFromAnotherOk) {
  const auto with = [](uint64_t window, uint64_t loops, std::string info) {
    OkPacket ok;
    ok.affected_rows = window;
    ok.last_insert_id = loops;
    ok.info = std::move(info);
    return stream_answer_of(ok).ok();
  };
  EXPECT_TRUE(with(1, 1, "streams 1"));
  EXPECT_FALSE(with(1, 1, ""));
  EXPECT_FALSE(with(1, 1, "streams 0"));
  EXPECT_FALSE(with(1, 1, "streams 1x"));
  EXPECT_FALSE(with(1, 0, "streams 1"));
  EXPECT_FALSE(with(uint64_t{1} << 32, 1, "streams 1"));
}

}  // namespace
}  // namespace vitrail::mysql
