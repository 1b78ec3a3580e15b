#include "mysql/packet.h"

#include <gtest/gtest.h>

#include "mysql/errors.h"

namespace vitrail::mysql {
namespace {

using namespace std::string_literals;

TEST(ByteReader, ReadsLittleEndianIntegersOfEveryWidth) {
  ByteReader reader("\x01\x02\x01\x03\x02\x01\x04\x03\x02\x01\x06\x05\x04\x03\x02\x01\x08\x07\x06\x05\x04\x03\x02\x01");
  EXPECT_EQ(reader.u8(), 0x01);
  EXPECT_EQ(reader.u16(), 0x0102);
  EXPECT_EQ(reader.u24(), 0x010203u);
  EXPECT_EQ(reader.u32(), 0x01020304u);
  EXPECT_EQ(reader.u48(), 0x010203040506u);
  EXPECT_EQ(reader.u64(), 0x0102030405060708u);
  EXPECT_TRUE(reader.ok() && reader.at_end());
}

TEST(ByteReader, ReadsBigEndianIntegers) {
  ByteReader reader("\x01\x02\x03\x04");
  EXPECT_EQ(reader.big_endian(3), 0x010203u);
  EXPECT_EQ(reader.big_endian(2), 0u);
  EXPECT_FALSE(reader.ok());
}

TEST(ByteReader, FailsOnceAndStaysFailed) {
  ByteReader reader("\x01\x02\x03");
  EXPECT_EQ(reader.u32(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u8(), 0);
  EXPECT_EQ(reader.rest(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(ByteReader, RefusesLengthsBeyondTheEnd) {
  for (const std::string& bytes : {"\x05"s + "abcd", "\xfc\xff\xff"s + "a",
                                   "\xfe\xff\xff\xff\xff\xff\xff\xff\xff"s + "a", "\xfe\x01"s, "\xff"s, "\xfb"s, ""s}) {
    ByteReader reader(bytes);
    EXPECT_EQ(reader.lenenc_string(), "");
    EXPECT_FALSE(reader.ok());
  }
}

TEST(ByteReader, TellsNullFromEmptyCells) {
  std::string_view bytes("\xfb\x00\x01x", 4);
  ByteReader cells(bytes);
  EXPECT_EQ(cells.lenenc_cell(), std::nullopt);
  EXPECT_EQ(cells.lenenc_cell(), "");
  EXPECT_EQ(cells.lenenc_cell(), "x");
  EXPECT_TRUE(cells.ok() && cells.at_end());
}

TEST(ByteReader, NeedsTheTerminatorOrTakesTheRest) {
  const std::string bytes("ab\0cd", 5);
  ByteReader reader(bytes);
  EXPECT_EQ(reader.null_terminated(), "ab");
  EXPECT_EQ(reader.null_terminated_or_rest(), "cd");
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.null_terminated(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(Lenenc, RoundTripsAtEveryBoundary) {
  for (const uint64_t value : {0ull, 250ull, 251ull, 0xffffull, 0x10000ull, 0xffffffull, 0x1000000ull, ~0ull}) {
    std::string out;
    append_lenenc_int(out, value);
    EXPECT_EQ(out.size(), lenenc_int_size(value));
    ByteReader reader(out);
    EXPECT_EQ(reader.lenenc_int(), value);
    EXPECT_TRUE(reader.ok() && reader.at_end());
  }
}

TEST(PacketWriter, FramesAndCountsWithWrapping) {
  std::string out = "before";
  PacketWriter writer(out, 255);
  writer.message("abc");
  writer.begin().append("d");
  writer.end();
  EXPECT_EQ(out, "before"s + "\x03\x00\x00\xff"s + "abc" + "\x01\x00\x00\x00"s + "d");
  EXPECT_EQ(writer.sequence(), 1);
}

struct Sized {
  size_t size;
  size_t frames;
};
class Framing : public testing::TestWithParam<Sized> {};
INSTANTIATE_TEST_SUITE_P(Boundaries, Framing,
                         testing::Values(Sized{0, 1}, Sized{1, 1}, Sized{kMaxFramePayload - 1, 1},
                                         Sized{kMaxFramePayload, 2}, Sized{kMaxFramePayload + 1, 2},
                                         Sized{2 * kMaxFramePayload, 3}, Sized{2 * kMaxFramePayload + 7, 3}));

TEST_P(Framing, SplitsAndJoinsToTheSameMessage) {
  std::string payload(GetParam().size, '\0');
  for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(i * 2654435761u >> 13);
  std::string out;
  PacketWriter writer(out, 5);
  writer.message(payload);
  EXPECT_EQ(out.size(), payload.size() + GetParam().frames * kPacketHeaderSize);
  EXPECT_EQ(writer.sequence(), 5 + GetParam().frames);
  out.append("next");

  MessageReader reader;
  for (const size_t cut : {size_t{0}, size_t{3}, size_t{4}, out.size() / 2, out.size() - 5}) {
    if (cut >= out.size() - 4) continue;
    const auto part = reader.next(std::string_view(out).substr(0, cut));
    ASSERT_TRUE(part.ok());
    EXPECT_FALSE(part->has_value()) << cut;
  }
  const auto message = reader.next(out);
  ASSERT_TRUE(message.ok() && message->has_value());
  EXPECT_TRUE((*message)->payload == payload);
  EXPECT_EQ((*message)->consumed, out.size() - 4);
  EXPECT_EQ((*message)->first_sequence, 5);
  EXPECT_EQ((*message)->last_sequence, 4 + GetParam().frames);
}

TEST(MessageReader, RefusesTooLongMessagesFromTheHeaderAlone) {
  MessageReader reader(100);
  const auto refused = reader.next("\x65\x00\x00\x00"s);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().mysql_errno(), errnos::kPacketTooLarge);
  EXPECT_TRUE(reader.next("\x64\x00\x00\x00"s).ok());
}

TEST(MessageReader, BoundsMessagesOfManyFrames) {
  std::string out;
  PacketWriter(out).message(std::string(kMaxFramePayload + 10, 'x'));
  MessageReader reader(kMaxFramePayload + 9);
  EXPECT_FALSE(reader.next(out).ok());
}

TEST(MessageReader, RefusesGapsInTheSequenceOfOneMessage) {
  std::string out;
  PacketWriter(out).message(std::string(kMaxFramePayload, 'x'));
  out.back() = 7;  // Sequence number of the empty second frame.
  MessageReader reader;
  const auto refused = reader.next(out);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().mysql_errno(), errnos::kPacketsOutOfOrder);
}

TEST(Sequences, AreMovedFrameByFrameInWhateverPieces) {
  const auto framed = [](uint8_t first) {
    std::string out;
    PacketWriter writer(out, first);
    writer.message("abc");
    writer.message("");
    writer.message(std::string(300, 'd'));
    return out;
  };
  const std::string expected = framed(0);
  for (size_t cut = 0; cut <= expected.size(); ++cut) {
    std::string out = framed(254);
    const bool in_header = (cut > 0 && cut < 4) || (cut > 7 && cut < 11) || (cut > 11 && cut < 15);
    if (in_header) continue;
    SequenceShift shift(2);
    shift.apply(out.data(), cut);
    shift.apply(out.data() + cut, out.size() - cut);
    EXPECT_EQ(out, expected) << cut;
  }
}

TEST(Sequences, OfAnAnswerCountTheFramesOfTheCommand) {
  for (const auto& [size, expected] :
       {std::pair<size_t, int>{1, 1}, {kMaxFramePayload - 1, 1}, {kMaxFramePayload, 2}, {2 * kMaxFramePayload, 3}}) {
    std::string out;
    PacketWriter(out).message(std::string(size, 'x'));
    EXPECT_EQ(answer_sequence(out), expected) << size;
  }
}

}  // namespace
}  // namespace vitrail::mysql
