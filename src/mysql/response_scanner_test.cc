#include "mysql/response_scanner.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "mysql/packet.h"
#include "mysql/statements.h"

namespace vitrail::mysql {
namespace {

constexpr Capabilities kOldEof = kClientProtocol41;
constexpr Capabilities kNewEof = kClientProtocol41 | kClientDeprecateEof | kClientSessionTrack;

// Writes responses as a server would.
class Server {
 public:
  explicit Server(Capabilities capabilities) : capabilities_(capabilities) {}

  Server& ok(const OkPacket& ok = {}) {
    return message([&](std::string& out) { encode_ok(out, ok, capabilities_); });
  }
  Server& err(uint16_t code, std::string text) {
    return message([&](std::string& out) { encode_err(out, {code, "42000", std::move(text)}, capabilities_); });
  }
  Server& eof(uint16_t flags) {
    return message([&](std::string& out) { encode_eof(out, {0, flags}); });
  }
  Server& columns(size_t count, uint16_t flags = 0) {
    message([&](std::string& out) { encode_column_count(out, count); });
    definitions(count);
    if ((capabilities_ & kClientDeprecateEof) == 0) eof(flags);
    return *this;
  }
  Server& definitions(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      ColumnDef column;
      column.name = "c" + std::to_string(i);
      message([&](std::string& out) { encode_column(out, column, capabilities_); });
    }
    return *this;
  }
  Server& row(std::vector<Cell> cells) {
    return message([&](std::string& out) { encode_text_row(out, cells); });
  }
  Server& end(OkPacket ok = {}) {
    return message([&](std::string& out) { encode_result_end(out, ok, capabilities_); });
  }
  Server& raw(std::string_view payload) {
    return message([&](std::string& out) { out.append(payload); });
  }
  void set_sequence(uint8_t sequence) { writer_.set_sequence(sequence); }
  std::string& bytes() { return bytes_; }

 private:
  template <typename Fill>
  Server& message(Fill fill) {
    fill(writer_.begin());
    writer_.end();
    return *this;
  }
  Capabilities capabilities_;
  std::string bytes_;
  PacketWriter writer_{bytes_, 1};
};

// A relay: feeds `bytes` in the given pieces, keeping what is not consumed, and records everything it learns.
struct Relayed {
  ResponseScanner scanner;
  ResponseScanner::State state = ResponseScanner::State::kMore;
  std::string forwarded;
  std::vector<size_t> flags;     // Absolute offsets of status flags.
  std::vector<size_t> messages;  // Absolute offsets of the messages that hold them.
  bool decided_before_forwarding = true;
};

template <typename NextPiece>
Relayed relay(ResponseKind kind, Capabilities capabilities, std::string_view bytes, NextPiece next_piece) {
  Relayed relayed;
  relayed.scanner.start(kind, capabilities);
  size_t read = 0;
  while (true) {
    const size_t begin = relayed.forwarded.size();
    const auto outcome = relayed.scanner.feed(bytes.substr(begin, read - begin));
    if (outcome.consumed > 0 && !relayed.scanner.decided()) relayed.decided_before_forwarding = false;
    relayed.forwarded.append(bytes, begin, outcome.consumed);
    relayed.state = outcome.state;
    if (outcome.status.present()) {
      relayed.flags.push_back(begin + outcome.status.flags);
      relayed.messages.push_back(begin + outcome.status.message);
    }
    if (outcome.state != ResponseScanner::State::kMore) break;
    if (outcome.status.present()) continue;
    if (read == bytes.size()) break;
    read = std::min(bytes.size(), read + next_piece());
  }
  return relayed;
}

Relayed relay_whole(ResponseKind kind, Capabilities capabilities, std::string_view bytes) {
  return relay(kind, capabilities, bytes, [&] { return bytes.size(); });
}

bool same(const ResponseScanner::Summary& a, const ResponseScanner::Summary& b) {
  return a.status_flags == b.status_flags && a.warnings == b.warnings && a.affected_rows == b.affected_rows &&
         a.last_insert_id == b.last_insert_id && a.rows == b.rows && a.results == b.results && a.columns == b.columns &&
         a.statement_id == b.statement_id && a.parameters == b.parameters && a.has_rows == b.has_rows &&
         a.session_state_changed == b.session_state_changed;
}

// However the bytes are cut, the same is learnt.
void expect_split_invariance(ResponseKind kind, Capabilities capabilities, std::string_view bytes) {
  const Relayed whole = relay_whole(kind, capabilities, bytes);
  const auto compare = [&](const Relayed& other, std::string_view how) {
    EXPECT_EQ(other.state, whole.state) << how;
    EXPECT_EQ(other.forwarded.size(), whole.forwarded.size()) << how;
    EXPECT_EQ(other.flags, whole.flags) << how;
    EXPECT_EQ(other.messages, whole.messages) << how;
    EXPECT_EQ(other.scanner.error(), whole.scanner.error()) << how;
    EXPECT_TRUE(same(other.scanner.summary(), whole.scanner.summary())) << how;
    EXPECT_TRUE(other.decided_before_forwarding) << how;
  };
  if (bytes.size() < 100'000) compare(relay(kind, capabilities, bytes, [] { return 1; }), "byte by byte");
  std::mt19937 random(7);
  for (int i = 0; i < 20; ++i) {
    const size_t most = bytes.size() < 100'000 ? 40 : bytes.size() / 5;
    compare(relay(kind, capabilities, bytes, [&] { return random() % most + 1; }), "random pieces");
  }
}

OkPacket ok_with(uint16_t flags, uint64_t affected = 0, uint64_t insert_id = 0, uint16_t warnings = 0) {
  OkPacket ok;
  ok.status_flags = flags;
  ok.affected_rows = affected;
  ok.last_insert_id = insert_id;
  ok.warnings = warnings;
  return ok;
}

class BothEofs : public testing::TestWithParam<Capabilities> {};
INSTANTIATE_TEST_SUITE_P(Capabilities, BothEofs, testing::Values(kOldEof, kNewEof));

TEST_P(BothEofs, OkEndsTheResponseAndTellsItsNumbers) {
  Server server(GetParam());
  server.ok(ok_with(kStatusInTransaction, 300, 70'000, 2));
  const size_t size = server.bytes().size();
  server.raw("the next response");
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  EXPECT_EQ(relayed.forwarded.size(), size);
  const auto& summary = relayed.scanner.summary();
  EXPECT_EQ(summary.affected_rows, 300u);
  EXPECT_EQ(summary.last_insert_id, 70'000u);
  EXPECT_EQ(summary.warnings, 2);
  EXPECT_EQ(summary.status_flags, kStatusInTransaction);
  EXPECT_FALSE(summary.has_rows);
  expect_split_invariance(ResponseKind::kQuery, GetParam(), server.bytes());
}

TEST_P(BothEofs, ResultSetEndsBehindItsRows) {
  Server server(GetParam());
  server.columns(2).row({"1", "a"}).row({std::nullopt, ""}).row({"3", std::string_view("\xfe\xff", 2)});
  server.end(ok_with(kStatusAutocommit, 0, 0, 1));
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  EXPECT_EQ(relayed.forwarded, server.bytes());
  EXPECT_EQ(relayed.scanner.summary().rows, 3u);
  EXPECT_EQ(relayed.scanner.summary().columns, 2u);
  EXPECT_EQ(relayed.scanner.summary().warnings, 1);
  EXPECT_TRUE(relayed.scanner.summary().has_rows);
  EXPECT_FALSE(relayed.scanner.error());
  expect_split_invariance(ResponseKind::kQuery, GetParam(), server.bytes());
}

TEST_P(BothEofs, EmptyResultSetEnds) {
  Server server(GetParam());
  server.columns(1).end();
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  EXPECT_EQ(relayed.scanner.summary().rows, 0u);
  expect_split_invariance(ResponseKind::kQuery, GetParam(), server.bytes());
}

TEST_P(BothEofs, ErrorAtOnceIsKnownBeforeAnyByteIsForwarded) {
  Server server(GetParam());
  server.err(1146, "Table 'a.b' doesn't exist");
  ResponseScanner scanner;
  scanner.start(ResponseKind::kQuery, GetParam());
  for (size_t size = 0; size < server.bytes().size(); ++size) {
    const auto outcome = scanner.feed(std::string_view(server.bytes()).substr(0, size));
    ASSERT_EQ(outcome.consumed, 0u);
    ASSERT_FALSE(scanner.decided());
  }
  EXPECT_EQ(scanner.feed(server.bytes()).state, ResponseScanner::State::kDone);
  EXPECT_TRUE(scanner.failed_at_once());
  EXPECT_EQ(scanner.error(), (ErrPacket{1146, "42000", "Table 'a.b' doesn't exist"}));
}

TEST_P(BothEofs, ErrorBehindRowsIsNotAtOnce) {
  Server server(GetParam());
  server.columns(1).row({"1"}).err(1317, "Query execution was interrupted");
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  ASSERT_TRUE(relayed.scanner.error());
  EXPECT_EQ(relayed.scanner.error()->code, 1317);
  EXPECT_FALSE(relayed.scanner.failed_at_once());
  expect_split_invariance(ResponseKind::kQuery, GetParam(), server.bytes());
}

TEST_P(BothEofs, ManyResultsGoOnWhileTheFlagSays) {
  Server server(GetParam());
  server.ok(ok_with(kStatusMoreResultsExist, 1)).columns(1).row({"x"}).end(ok_with(kStatusMoreResultsExist));
  server.ok(ok_with(kStatusAutocommit, 5));
  const size_t size = server.bytes().size();
  server.ok();
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  EXPECT_EQ(relayed.forwarded.size(), size);
  EXPECT_EQ(relayed.scanner.summary().results, 3u);
  EXPECT_EQ(relayed.scanner.summary().affected_rows, 5u);
  expect_split_invariance(ResponseKind::kQuery, GetParam(), server.bytes());
}

TEST_P(BothEofs, InsertIdOutlivesTheResultSetsBehindIt) {
  Server server(GetParam());
  server.ok(ok_with(kStatusMoreResultsExist, 1, 77)).columns(1).row({"x"}).end();
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.scanner.summary().last_insert_id, 77u);
  EXPECT_EQ(relayed.scanner.summary().affected_rows, 1u);
}

TEST_P(BothEofs, ErrorInTheSecondResultIsNotAtOnce) {
  Server server(GetParam());
  server.ok(ok_with(kStatusMoreResultsExist)).err(1064, "syntax");
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  EXPECT_TRUE(relayed.scanner.error());
  EXPECT_FALSE(relayed.scanner.failed_at_once());
}

TEST_P(BothEofs, PrepareEndsBehindBothBlocksOfDefinitions) {
  for (const uint16_t parameters : {0, 1, 3}) {
    for (const uint16_t columns : {0, 2}) {
      Server server(GetParam());
      std::string payload;
      encode_prepare_ok(payload, {9, columns, parameters, 1});
      server.raw(payload);
      for (const uint16_t count : {parameters, columns}) {
        server.definitions(count);
        if (count > 0 && (GetParam() & kClientDeprecateEof) == 0) server.eof(kStatusAutocommit);
      }
      const size_t size = server.bytes().size();
      server.ok();
      const Relayed relayed = relay_whole(ResponseKind::kStmtPrepare, GetParam(), server.bytes());
      EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
      EXPECT_EQ(relayed.forwarded.size(), size) << parameters << " " << columns;
      EXPECT_EQ(relayed.scanner.summary().statement_id, 9u);
      EXPECT_EQ(relayed.scanner.summary().parameters, parameters);
      EXPECT_EQ(relayed.scanner.summary().columns, columns);
      expect_split_invariance(ResponseKind::kStmtPrepare, GetParam(), server.bytes());
    }
  }
}

TEST_P(BothEofs, CursorEndsBehindTheDefinitions) {
  Server server(GetParam());
  server.columns(1, kStatusCursorExists);
  if ((GetParam() & kClientDeprecateEof) != 0) server.end(ok_with(kStatusCursorExists));
  const size_t size = server.bytes().size();
  server.ok();
  const Relayed relayed = relay_whole(ResponseKind::kStmtExecute, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  EXPECT_EQ(relayed.forwarded.size(), size);
  EXPECT_EQ(relayed.scanner.summary().status_flags, kStatusCursorExists);
}

TEST_P(BothEofs, FetchIsRowsAndTheirEnd) {
  Server server(GetParam());
  server.raw(std::string("\0\0a", 3)).raw(std::string("\0\0b", 3)).end(ok_with(kStatusLastRowSent));
  const Relayed relayed = relay_whole(ResponseKind::kStmtFetch, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  EXPECT_EQ(relayed.scanner.summary().rows, 2u);
  expect_split_invariance(ResponseKind::kStmtFetch, GetParam(), server.bytes());
}

TEST_P(BothEofs, FieldListIsDefinitionsAndTheirEnd) {
  Server server(GetParam());
  server.definitions(3).end();
  const Relayed relayed = relay_whole(ResponseKind::kFieldList, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  EXPECT_EQ(relayed.scanner.summary().columns, 3u);
  expect_split_invariance(ResponseKind::kFieldList, GetParam(), server.bytes());
  Server refused(GetParam());
  refused.err(1146, "no");
  EXPECT_TRUE(relay_whole(ResponseKind::kFieldList, GetParam(), refused.bytes()).scanner.failed_at_once());
}

TEST_P(BothEofs, SimpleResponsesAreOneOkEofOrErr) {
  Server ok(GetParam()), eof(GetParam()), err(GetParam());
  ok.ok();
  eof.eof(kStatusAutocommit);
  err.err(1047, "Unknown command");
  for (Server* server : {&ok, &eof, &err}) {
    const Relayed relayed = relay_whole(ResponseKind::kSimple, GetParam(), server->bytes());
    EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
    EXPECT_EQ(relayed.forwarded, server->bytes());
    expect_split_invariance(ResponseKind::kSimple, GetParam(), server->bytes());
  }
}

// The stop is where a row begins, wherever the bytes are cut, and the rest can still be read.
TEST_P(BothEofs, StopsBeforeARowThatIsOneTooMany) {
  Server server(GetParam());
  server.columns(1);
  size_t two_rows = 0;
  for (int i = 0; i < 4; ++i) {
    server.row({std::string_view("value")});
    if (i == 1) two_rows = server.bytes().size();
  }
  server.end();
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{7}, server.bytes().size()}) {
    for (const uint64_t most : {uint64_t{2}, uint64_t{4}, uint64_t{0}}) {
      ResponseScanner scanner;
      scanner.start(ResponseKind::kQuery, GetParam());
      scanner.set_rows_max(most);
      size_t begin = 0, read = 0;
      auto state = ResponseScanner::State::kMore;
      bool stopped = false;
      while (state != ResponseScanner::State::kDone) {
        const auto outcome = scanner.feed(std::string_view(server.bytes()).substr(begin, read - begin));
        begin += outcome.consumed;
        state = outcome.state;
        if (state == ResponseScanner::State::kRowsMax) {
          EXPECT_FALSE(std::exchange(stopped, true));
          EXPECT_EQ(begin, two_rows);
          EXPECT_EQ(scanner.summary().rows, 2u);
          scanner.set_rows_max(0);
          continue;
        }
        ASSERT_NE(state, ResponseScanner::State::kMalformed);
        if (state == ResponseScanner::State::kMore && outcome.consumed == 0) {
          ASSERT_LT(read, server.bytes().size());
          read = std::min(server.bytes().size(), read + piece);
        }
      }
      EXPECT_EQ(stopped, most == 2) << piece;
      EXPECT_EQ(begin, server.bytes().size());
      EXPECT_EQ(scanner.summary().rows, 4u);
    }
  }
}

TEST_P(BothEofs, LocalInfilePausesUntilTheFileIsSent) {
  Server server(GetParam());
  server.raw(std::string("\xfb") + "/a/file");
  const size_t request = server.bytes().size();
  ResponseScanner scanner;
  scanner.start(ResponseKind::kQuery, GetParam());
  auto outcome = scanner.feed(server.bytes());
  EXPECT_EQ(outcome.state, ResponseScanner::State::kInfile);
  EXPECT_EQ(outcome.consumed, request);
  EXPECT_EQ(scanner.feed("").state, ResponseScanner::State::kInfile);
  scanner.infile_sent(3);  // Two messages of data and the empty one: 2, 3 ... the last had number 3.
  server.set_sequence(4);
  server.ok(ok_with(kStatusAutocommit, 100));
  outcome = scanner.feed(std::string_view(server.bytes()).substr(request));
  EXPECT_EQ(outcome.state, ResponseScanner::State::kDone);
  EXPECT_EQ(scanner.summary().affected_rows, 100u);
}

TEST_P(BothEofs, StatusFlagsCanBeRewrittenInPlace) {
  Server server(GetParam());
  server.columns(1, kStatusAutocommit).row({"1"}).end(ok_with(kStatusAutocommit | kStatusMoreResultsExist));
  server.ok(ok_with(kStatusAutocommit, 1000, 2));
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.flags.size(), (GetParam() & kClientDeprecateEof) != 0 ? 2u : 3u);
  std::string patched = server.bytes();
  for (const size_t offset : relayed.flags) {
    uint16_t flags = 0;
    std::memcpy(&flags, patched.data() + offset, 2);
    set_status_flags(patched.data() + offset, flags | kStatusInTransaction);
  }
  const Relayed again = relay_whole(ResponseKind::kQuery, GetParam(), patched);
  EXPECT_EQ(again.state, ResponseScanner::State::kDone);
  EXPECT_EQ(again.scanner.summary().status_flags, kStatusAutocommit | kStatusInTransaction);
  EXPECT_EQ(again.scanner.summary().affected_rows, 1000u);
  EXPECT_EQ(again.scanner.summary().last_insert_id, 2u);
  EXPECT_EQ(again.scanner.summary().results, 2u);
}

TEST_P(BothEofs, RowsOfMoreThanOneFrameCountOnce) {
  const std::string big(kMaxFramePayload + 100, 'x');      // Two frames.
  const std::string exact(kMaxFramePayload - 10, '\xfe');  // With the cells' prefixes: one full frame and an empty one.
  Server server(GetParam());
  server.columns(2).row({"1", "2"}).row({big, "b"});
  server.row({std::string_view(exact).substr(0, exact.size() - 251), std::string_view(exact).substr(0, 251 + 3)});
  server.row({"3", "4"}).end();
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
  EXPECT_EQ(relayed.scanner.summary().rows, 4u);
  EXPECT_EQ(relayed.forwarded.size(), server.bytes().size());
  expect_split_invariance(ResponseKind::kQuery, GetParam(), server.bytes());
}

TEST_P(BothEofs, SequenceNumbersWrapInLongResults) {
  Server server(GetParam());
  server.columns(1);
  for (int i = 0; i < 1000; ++i) server.row({std::string_view("abc").substr(0, i % 4)});
  server.end();
  EXPECT_EQ(relay_whole(ResponseKind::kQuery, GetParam(), server.bytes()).scanner.summary().rows, 1000u);
  expect_split_invariance(ResponseKind::kQuery, GetParam(), server.bytes());
}

TEST_P(BothEofs, GapInTheSequenceIsMalformedAndNotForwarded) {
  Server server(GetParam());
  server.columns(1).row({"1"});
  const size_t good = server.bytes().size();
  server.set_sequence(77);
  server.row({"2"}).end();
  const Relayed relayed = relay_whole(ResponseKind::kQuery, GetParam(), server.bytes());
  EXPECT_EQ(relayed.state, ResponseScanner::State::kMalformed);
  EXPECT_EQ(relayed.forwarded.size(), good);
  expect_split_invariance(ResponseKind::kQuery, GetParam(), server.bytes());
}

TEST(ResponseScanner, TellsHugeCellsFromTheDeprecatedEof) {
  // A first cell of 16 MiB starts with 0xfe like the end of rows; its frame is full, and so it is a row.
  const std::string big(kMaxFramePayload + 1, 'x');
  for (const Capabilities capabilities : {kOldEof, kNewEof}) {
    Server server(capabilities);
    server.columns(1).row({big}).end();
    const Relayed relayed = relay_whole(ResponseKind::kQuery, capabilities, server.bytes());
    EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
    EXPECT_EQ(relayed.scanner.summary().rows, 1u);
  }
}

TEST(ResponseScanner, TellsStateFromWhatATransactionIsAbout) {
  using Kind = SessionChange::Kind;
  const SessionChange state{Kind::kStateChanged, "", "1"};
  const SessionChange gtid{Kind::kGtids, "", "0-1-5"};
  const SessionChange characteristics{Kind::kTransactionCharacteristics, "", "START TRANSACTION READ ONLY;"};
  const SessionChange begun{Kind::kTransactionState, "", "T_______"};
  const SessionChange variable{Kind::kSystemVariable, "autocommit", "OFF"};
  const struct {
    std::vector<SessionChange> changes;
    bool tells;
  } cases[] = {{{}, false},
               {{state}, true},
               {{gtid}, false},
               {{begun}, false},
               {{begun, state}, true},
               {{variable, begun}, true},
               {{gtid, characteristics, begun}, false}};
  for (const auto& [changes, tells] : cases) {
    Server server(kNewEof);
    OkPacket ok;
    ok.session_changes = changes;
    server.ok(ok);
    const Relayed relayed = relay_whole(ResponseKind::kQuery, kNewEof, server.bytes());
    EXPECT_EQ(relayed.scanner.summary().session_state_changed, tells) << changes.size();
  }
}

TEST(ResponseScanner, NoticesSessionTracking) {
  Server server(kNewEof);
  OkPacket ok;
  ok.session_changes = {{SessionChange::Kind::kSchema, "", "commerce"}};
  server.ok(ok);
  const Relayed relayed = relay_whole(ResponseKind::kQuery, kNewEof, server.bytes());
  EXPECT_TRUE(relayed.scanner.summary().session_state_changed);
  ASSERT_EQ(relayed.messages.size(), 1u);
  const auto decoded =
      decode_ok(std::string_view(server.bytes()).substr(relayed.messages[0] + kPacketHeaderSize), kNewEof);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->session_changes, ok.session_changes);
}

TEST(ResponseScanner, StatisticsIsOneTextOfAnyLength) {
  for (const size_t size : {size_t{0}, size_t{80}, kMaxFramePayload, kMaxFramePayload + 1}) {
    Server server(kNewEof);
    server.raw(std::string(size, '\xff'));
    const size_t end = server.bytes().size();
    server.ok();
    const Relayed relayed = relay_whole(ResponseKind::kStatistics, kNewEof, server.bytes());
    EXPECT_EQ(relayed.state, ResponseScanner::State::kDone);
    EXPECT_EQ(relayed.forwarded.size(), end);
  }
}

TEST(ResponseScanner, RefusesWhatIsNoResponse) {
  using namespace std::string_literals;
  struct Case {
    ResponseKind kind;
    std::string payload;
  };
  for (const Case& c :
       {Case{ResponseKind::kQuery, ""}, Case{ResponseKind::kQuery, "\x01x"}, Case{ResponseKind::kQuery, "\x00\x00"s},
        Case{ResponseKind::kQuery, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff"},
        Case{ResponseKind::kQuery, "\xfd\xff\xff\xff"}, Case{ResponseKind::kQuery, "\xff\x01"},
        Case{ResponseKind::kSimple, "\x05"}, Case{ResponseKind::kStmtPrepare, "\x00\x01\x00"s},
        Case{ResponseKind::kStmtPrepare, "\x01"}, Case{ResponseKind::kStmtFetch, ""}}) {
    Server server(kNewEof);
    server.raw(c.payload);
    const Relayed relayed = relay_whole(c.kind, kNewEof, server.bytes());
    EXPECT_EQ(relayed.state, ResponseScanner::State::kMalformed) << static_cast<int>(c.kind) << " " << c.payload.size();
    EXPECT_EQ(relayed.forwarded.size(), 0u);
  }
}

TEST(ResponseScanner, BoundsWhatMustBeSeenWhole) {
  Server server(kNewEof);
  server.err(1, std::string(ResponseScanner::kMaxWholeMessage, 'x'));
  EXPECT_EQ(relay_whole(ResponseKind::kQuery, kNewEof, server.bytes()).state, ResponseScanner::State::kMalformed);
}

TEST(ResponseScanner, KnowsWhichCommandsAnswer) {
  EXPECT_EQ(response_kind(Command::kQuery), ResponseKind::kQuery);
  EXPECT_EQ(response_kind(Command::kPing), ResponseKind::kSimple);
  EXPECT_EQ(response_kind(Command::kStmtClose), std::nullopt);
  EXPECT_EQ(response_kind(Command::kStmtSendLongData), std::nullopt);
  EXPECT_EQ(response_kind(Command::kBinlogDump), std::nullopt);
}

TEST(ResponseScanner, HopsOverManyRowsInPieces) {
  Server server(kNewEof);
  server.columns(3);
  constexpr size_t kRows = 200'000;
  for (size_t i = 0; i < kRows; ++i)
    server.row({"12345", "some text of usual length, say sixty bytes or so ......", "7"});
  server.end();
  ResponseScanner scanner;
  scanner.start(ResponseKind::kQuery, kNewEof);
  size_t position = 0;
  constexpr size_t kBuffer = 64 * 1024;
  auto state = ResponseScanner::State::kMore;
  while (state == ResponseScanner::State::kMore) {
    const auto outcome = scanner.feed(std::string_view(server.bytes()).substr(position, kBuffer));
    position += outcome.consumed;
    state = outcome.state;
  }
  EXPECT_EQ(scanner.summary().rows, kRows);
}

}  // namespace
}  // namespace vitrail::mysql
