#include "mysql/gtid.h"

#include <gtest/gtest.h>

namespace vitrail::mysql {
namespace {

constexpr std::string_view kA = "00112233-4455-6677-8899-aabbccddeeff";
constexpr std::string_view kB = "ffffffff-0000-0000-0000-000000000001";

Position position(std::string_view text) {
  auto parsed = Position::parse(text);
  EXPECT_TRUE(parsed.ok()) << text << ": " << (parsed.ok() ? "" : parsed.error().to_string());
  return parsed.ok() ? *parsed : Position();
}

// "<a>" and "<b>" stand for two server UUIDs.
std::string with_uuids(std::string text) {
  for (const auto& [name, uuid] : {std::pair("<a>", kA), std::pair("<b>", kB)}) {
    for (size_t at; (at = text.find(name)) != std::string::npos;) text.replace(at, 3, uuid);
  }
  return text;
}
Position mysql(const std::string& text) { return position("MySQL56/" + with_uuids(text)); }
std::string bare(const Position& position) {
  std::string text = position.to_string();
  for (const auto& [name, uuid] : {std::pair("<a>", kA), std::pair("<b>", kB)}) {
    for (size_t at; (at = text.find(uuid)) != std::string::npos;) text.replace(at, uuid.size(), name);
  }
  return text;
}
bool at_least(const Position& a, const Position& b) {
  const auto result = a.at_least(b);
  EXPECT_TRUE(result.ok());
  return result.ok() && *result;
}

TEST(Gtid, PrintsWhatItParsed) {
  for (const std::string& text :
       {std::string("MariaDB/0-1-5"), std::string("MariaDB/4294967295-4294967295-18446744073709551615"),
        "MySQL56/" + std::string(kA) + ":1", std::string("FilePos/bin.000001:4"), std::string("FilePos/a:b:7")}) {
    const auto gtid = Gtid::parse(text);
    ASSERT_TRUE(gtid.ok()) << text;
    EXPECT_EQ(gtid->prefixed_string(), text);
    EXPECT_EQ(*Gtid::parse_bare(gtid->flavor(), gtid->to_string()), *gtid);
  }
}

TEST(Gtid, RefusesWhatIsNone) {
  for (const std::string_view text : {"",
                                      "0-1-5",
                                      "MariaDB/",
                                      "MariaDB/0-1",
                                      "MariaDB/0-1-5-6",
                                      "MariaDB/0-1-5,1-1-7",
                                      "MariaDB/-1-1-5",
                                      "MariaDB/0-1-+5",
                                      "MariaDB/0-1- 5",
                                      "MariaDB/4294967296-1-1",
                                      "MariaDB/0-1-18446744073709551616",
                                      "mariadb/0-1-5",
                                      "MySQL56/1-5",
                                      "MySQL56/00112233-4455-6677-8899-aabbccddeeff",
                                      "MySQL56/00112233-4455-6677-8899-aabbccddeeff:0",
                                      "MySQL56/00112233-4455-6677-8899-aabbccddeeff:1-2",
                                      "MySQL56/00112233-4455-6677-8899-aabbccddeefg:1",
                                      "MySQL56/001122334455-6677-8899-aabbccddeeff00:1",
                                      "FilePos/",
                                      "FilePos/bin.000001",
                                      "FilePos/:4",
                                      "FilePos/bin.000001:x",
                                      "Postgres/1"}) {
    const auto gtid = Gtid::parse(text);
    ASSERT_FALSE(gtid.ok()) << text;
    EXPECT_EQ(gtid.error().code(), Code::kInvalidArgument) << text;
    EXPECT_LT(gtid.error().message().size(), 200u);
  }
  for (const std::string_view tail : {":tag", ":tag:", ":tag:0", ":1tag:1", ":a-b:1", ":a:b:1", ":tag:1-2"}) {
    EXPECT_FALSE(MysqlGtid::parse(std::string(kA) + std::string(tail)).ok()) << tail;
  }
  EXPECT_EQ(MysqlGtid::parse(std::string(kA) + ":Tag_1:7")->to_string(), std::string(kA) + ":tag_1:7");
}

TEST(MariadbPosition, KeepsTheLastTransactionOfEachDomain) {
  Position p = position("MariaDB/1-1-7, 0-1-5");
  EXPECT_EQ(p.prefixed_string(), "MariaDB/0-1-5,1-1-7");
  EXPECT_TRUE(p.add(MariadbGtid{0, 2, 6}).ok());
  EXPECT_TRUE(p.add(MariadbGtid{1, 2, 3}).ok());  // Older than what is there.
  EXPECT_TRUE(p.add(MariadbGtid{7, 1, 1}).ok());
  EXPECT_EQ(p.to_string(), "0-2-6,1-1-7,7-1-1");
  EXPECT_TRUE(p.merge(position("MariaDB/0-1-9,1-1-1,8-8-8")).ok());
  EXPECT_EQ(p.to_string(), "0-1-9,1-1-7,7-1-1,8-8-8");
}

TEST(MariadbPosition, ComparesSequencesWithinADomain) {
  EXPECT_TRUE(at_least(position("MariaDB/0-1-5"), position("MariaDB/0-1-5")));
  EXPECT_TRUE(at_least(position("MariaDB/0-1-6"), position("MariaDB/0-2-5")));  // Another server wrote it.
  EXPECT_FALSE(at_least(position("MariaDB/0-1-4"), position("MariaDB/0-1-5")));
  EXPECT_FALSE(at_least(position("MariaDB/0-1-9"), position("MariaDB/0-1-5,1-1-1")));
  EXPECT_TRUE(at_least(position("MariaDB/0-1-5,1-1-1"), position("MariaDB/1-1-1")));
  EXPECT_TRUE(*position("MariaDB/0-1-5").same_transactions(position("MariaDB/0-2-5")));
  EXPECT_FALSE(*position("MariaDB/0-1-5").same_transactions(position("MariaDB/0-2-6")));
  EXPECT_NE(position("MariaDB/0-1-5"), position("MariaDB/0-2-5"));
  EXPECT_TRUE(*position("MariaDB/0-1-5").contains(MariadbGtid{0, 9, 5}));
  EXPECT_FALSE(*position("MariaDB/0-1-5").contains(MariadbGtid{0, 1, 6}));
  EXPECT_FALSE(*position("MariaDB/0-1-5").contains(MariadbGtid{1, 1, 1}));
  EXPECT_EQ(position("MariaDB/0-1-5,1-1-7").difference(position("MariaDB/0-1-5,1-1-6"))->to_string(), "1-1-7");
}

TEST(MariadbPosition, RefusesADomainTwiceAndEmptyParts) {
  for (const std::string_view text : {"MariaDB/0-1-5,0-2-6", "MariaDB/0-1-5,", "MariaDB/,", "MariaDB/0-1-5 1-1-1"}) {
    EXPECT_FALSE(Position::parse(text).ok()) << text;
  }
  EXPECT_TRUE(position("MariaDB/").empty());
}

TEST(MysqlPosition, JoinsSortsAndPrintsIntervals) {
  EXPECT_EQ(bare(mysql("<b>:7,<a>:5:1-3:4:9-10")), "<a>:1-5:9-10,<b>:7");
  EXPECT_EQ(bare(mysql("<a>:1-3,\n<a>:4-6")), "<a>:1-6");
  EXPECT_EQ(bare(mysql("<a> : 1 - 3 : 2-8")), "<a>:1-8");
  EXPECT_EQ(bare(mysql("<a>:5-3")), "");  // An empty interval.
  EXPECT_EQ(bare(mysql("<a>:1-9223372036854775806")), "<a>:1-9223372036854775806");
  EXPECT_EQ(position("MySQL56/00112233-4455-6677-8899-AABBCCDDEEFF:1").to_string(), std::string(kA) + ":1");
  EXPECT_EQ(mysql("").prefixed_string(), "MySQL56/");
}

TEST(MysqlPosition, RefusesWhatIsNone) {
  for (const std::string_view text : {"<a>", "<a>:", "<a>:0", "<a>:-1", "<a>:1-", "<a>:1-2-3",
                                      "<a>:9223372036854775807", "<a>:1 2", "<a>;1", ":1", "<a>:1:<b>:1"}) {
    const auto parsed = Position::parse("MySQL56/" + with_uuids(std::string(text)));
    EXPECT_FALSE(parsed.ok()) << text;
  }
  for (const std::string_view text : {"<a>:tag", "<a>:1:tag", "<a>:tag:other:1", "<a>:tag:0", "<a>:t-g:1",
                                      "<a>:abcdefghijklmnopqrstuvwxyzabcdefg:1"}) {
    EXPECT_FALSE(Position::parse("MySQL56/" + with_uuids(std::string(text))).ok()) << text;
  }
}

TEST(MysqlPosition, CountsEachTagByItself) {
  const Position tagged = mysql("<a>:1-5:tag:1-2,<a>:Tag:3:other:9,<b>:x:1");
  EXPECT_EQ(bare(tagged), "<a>:1-5:other:9:tag:1-3,<b>:x:1");
  EXPECT_EQ(*MysqlGtidSet::parse_binary(tagged.mysql()->to_binary()), *tagged.mysql());
  EXPECT_TRUE(at_least(tagged, mysql("<a>:1-2:tag:2")));
  EXPECT_FALSE(at_least(tagged, mysql("<a>:9")));
  EXPECT_FALSE(at_least(mysql("<a>:1-9"), mysql("<a>:tag:1")));
  EXPECT_EQ(bare(*tagged.difference(mysql("<a>:1-5:tag:2"))), "<a>:other:9:tag:1:3,<b>:x:1");
  Position p = mysql("<a>:1");
  EXPECT_TRUE(p.add(*Gtid::parse_bare(GtidFlavor::kMysql, with_uuids("<a>:tag:2"))).ok());
  EXPECT_EQ(bare(p), "<a>:1:tag:2");
  std::vector<uint8_t> bytes = tagged.mysql()->to_binary();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(MysqlGtidSet::parse_binary(std::span(bytes).first(size)).ok()) << size;
  }
}

TEST(MysqlPosition, AddsOneTransactionAtATime) {
  Position p;
  const ServerUuid a = *ServerUuid::parse(kA);
  for (const int64_t sequence : {5, 1, 3, 2, 4, 4, 9, 7, 8}) ASSERT_TRUE(p.add(MysqlGtid{a, sequence}).ok());
  EXPECT_EQ(bare(p), "<a>:1-5:7-9");
  EXPECT_TRUE(*p.contains(MysqlGtid{a, 7}));
  EXPECT_FALSE(*p.contains(MysqlGtid{a, 6}));
  EXPECT_FALSE(*p.contains(MysqlGtid{a, 10}));
  EXPECT_FALSE(*p.contains(MysqlGtid{*ServerUuid::parse(kB), 1}));
}

// Every pair of sets over six numbers of one server, against sets of bits.
TEST(MysqlPosition, AgreesWithSetAlgebra) {
  const ServerUuid a = *ServerUuid::parse(kA);
  const auto make = [&](unsigned bits) {
    MysqlGtidSet set;
    for (int i = 5; i >= 0; --i) {
      if ((bits >> i & 1) != 0) set.add({a, i + 1});
    }
    return set;
  };
  for (unsigned x = 0; x < 64; ++x) {
    for (unsigned y = 0; y < 64; ++y) {
      EXPECT_EQ(make(x).at_least(make(y)), (x & y) == y) << x << " " << y;
      EXPECT_EQ(make(x).difference(make(y)), make(x & ~y)) << x << " " << y;
      MysqlGtidSet both = make(x);
      both.merge(make(y));
      EXPECT_EQ(both, make(x | y)) << x << " " << y;
    }
    EXPECT_EQ(*MysqlGtidSet::parse_binary(make(x).to_binary()), make(x));
    EXPECT_EQ(*MysqlGtidSet::parse(make(x).to_string()), make(x));
  }
  EXPECT_EQ(bare(*mysql("<a>:1-5,<b>:1-3").difference(mysql("<a>:2-3"))), "<a>:1:4-5,<b>:1-3");
}

TEST(MysqlPosition, RefusesDamagedBinarySets) {
  std::vector<uint8_t> bytes = mysql("<a>:1-5:7,<b>:3").mysql()->to_binary();
  ASSERT_EQ(bytes.size(), 8u + 2 * 24 + 3 * 16);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(MysqlGtidSet::parse_binary(std::span(bytes).first(size)).ok()) << size;
  }
  bytes.push_back(0);
  EXPECT_FALSE(MysqlGtidSet::parse_binary(bytes).ok());
  bytes.pop_back();
  bytes[24] = 0xff;  // The number of intervals.
  bytes[31] = 0xff;
  EXPECT_FALSE(MysqlGtidSet::parse_binary(bytes).ok());
  const std::vector<uint8_t> tagged{2, 0, 0, 0, 0, 0, 0, 1};
  EXPECT_EQ(MysqlGtidSet::parse_binary(tagged).error().code(), Code::kUnimplemented);
}

TEST(FilePosition, OrdersLogsByNumber) {
  EXPECT_TRUE(at_least(position("FilePos/bin.000002:4"), position("FilePos/bin.000001:900")));
  EXPECT_TRUE(at_least(position("FilePos/bin.1000000:4"), position("FilePos/bin.999999:4")));
  EXPECT_FALSE(at_least(position("FilePos/bin.000001:4"), position("FilePos/bin.000001:5")));
  EXPECT_FALSE(position("FilePos/bin.000001:4").at_least(position("FilePos/log.000001:4")).ok());
  EXPECT_FALSE(position("FilePos/a:4").at_least(position("FilePos/b:4")).ok());
  Position p = position("FilePos/bin.000001:400");
  EXPECT_TRUE(p.merge(position("FilePos/bin.000001:300")).ok());
  EXPECT_EQ(p.to_string(), "bin.000001:400");
  EXPECT_TRUE(p.add(FilePosition{"bin.000002", 4}).ok());
  EXPECT_EQ(p.to_string(), "bin.000002:4");
}

TEST(Position, EmptyIsBeforeEverything) {
  const Position none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.prefixed_string(), "");
  EXPECT_EQ(position(""), none);
  for (const std::string_view text : {"MariaDB/0-1-5", "FilePos/bin.000001:4"}) {
    EXPECT_TRUE(at_least(position(text), none));
    EXPECT_FALSE(at_least(none, position(text)));
  }
  EXPECT_TRUE(at_least(none, position("MySQL56/")));
  EXPECT_TRUE(at_least(none, none));
  Position p;
  EXPECT_TRUE(p.merge(position("MariaDB/0-1-5")).ok());
  EXPECT_EQ(p.prefixed_string(), "MariaDB/0-1-5");
}

TEST(Position, FlavorsDoNotMix) {
  Position mariadb = position("MariaDB/0-1-5");
  const Position mysql_position = mysql("<a>:1");
  for (const Status& status : {Status(mariadb.merge(mysql_position)), Status(mariadb.add(MysqlGtid{})),
                               Status(mariadb.add(FilePosition{"b.1", 4}))}) {
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code(), Code::kInvalidArgument);
  }
  EXPECT_FALSE(mariadb.at_least(mysql_position).ok());
  EXPECT_FALSE(mysql_position.at_least(mariadb).ok());
  EXPECT_FALSE(mysql_position.contains(MariadbGtid{0, 1, 1}).ok());
  EXPECT_FALSE(mariadb.difference(mysql_position).ok());
  EXPECT_EQ(mariadb.prefixed_string(), "MariaDB/0-1-5");  // Unchanged by what failed.
}

}  // namespace
}  // namespace vitrail::mysql
