#include "movement/copy_progress.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace vitrail::movement {
namespace {

::query::QueryResult key(int64_t value) {
  ::query::QueryResult out;
  out.add_fields()->set_name("id");
  ::query::Row& row = *out.add_rows();
  row.set_values(std::to_string(value));
  row.add_lengths(static_cast<int64_t>(row.values().size()));
  return out;
}

TEST(CopyProgress, SaysWhatMustComeBeforeAPiece) {
  struct Case {
    const char *snapshot, *applied, *committed;
    bool idle;
    BeforePiece expected;
  };
  for (const Case& c : {
           Case{"5", "5", "5", true, BeforePiece::kNothing}, Case{"5", "5", "5", false, BeforePiece::kNothing},
           Case{"6", "5", "5", true, BeforePiece::kAdvance}, Case{"6", "5", "5", false, BeforePiece::kDrain},
           Case{"5", "5", "4", true, BeforePiece::kAdvance},  // Applied, and would be lost by a death.
           Case{"5", "5", "4", false, BeforePiece::kDrain}, Case{"5", "", "", true, BeforePiece::kAdvance},
           Case{"", "", "", true, BeforePiece::kAdvance},  // Nobody knows where the target stands.
       }) {
    EXPECT_EQ(before_piece(c.snapshot, c.applied, c.committed, c.idle), c.expected)
        << c.snapshot << " " << c.applied << " " << c.committed << " " << c.idle;
  }
}

TEST(CopyProgress, ManyStreamsShareTheConnections) {
  struct Case {
    size_t others, most, expected;
  };
  for (const Case& c : {Case{0, 4, 4}, Case{1, 4, 4}, Case{2, 4, 2}, Case{3, 4, 2}, Case{7, 4, 1}, Case{500, 4, 1},
                        Case{0, 1, 1}, Case{0, 0, 1}, Case{0, 16, 16}}) {
    EXPECT_EQ(lanes_for(c.others, c.most), c.expected) << c.others << " " << c.most;
  }
}

TEST(CopyProgress, RecordsOnlyWhatHasNoGapBeforeIt) {
  CopyProgress progress;
  const uint64_t a = progress.start(key(10), 3);
  const uint64_t b = progress.start(key(20), 4);
  const uint64_t c = progress.start({}, 5);
  EXPECT_EQ(progress.unfinished(), 3u);
  EXPECT_FALSE(progress.take());
  progress.finish(b);
  EXPECT_FALSE(progress.take());
  progress.finish(a);
  auto reached = progress.take();
  ASSERT_TRUE(reached);
  EXPECT_EQ(reached->rows, 7u);
  EXPECT_EQ(reached->to.rows(0).values(), "20");
  EXPECT_FALSE(progress.take());
  progress.finish(c);
  reached = progress.take();
  ASSERT_TRUE(reached);
  EXPECT_EQ(reached->rows, 5u);
  EXPECT_EQ(reached->to.rows_size(), 0);
  EXPECT_EQ(progress.unfinished(), 0u);
}

// The algorithm of stream.h on integers: rows of a source that changes, pieces that are committed in any order, deaths
// that leave what is committed and nothing else. The claim must hold at each commit.
class Model {
 public:
  explicit Model(uint32_t seed) : random_(seed) {
    for (int i = 0; i < kKeys; ++i) {
      if (below(2) == 0) source_[i] = static_cast<int>(below(1000));
    }
    history_.push_back(source_);
  }

  void run() {
    for (int step = 0; step < 200'000 && !done(); ++step) {
      switch (below(12)) {
        case 0:
        case 1: write(); break;
        case 2:
        case 3: read(); break;
        case 4:
        case 5: start(); break;
        case 6:
        case 7:
        case 8: finish(); break;
        case 9: record(); break;
        case 10:
          if (below(15) == 0) die();
          break;
        default: break;
      }
    }
    ASSERT_TRUE(done()) << "the copy comes to no end";
    ASSERT_EQ(target_, history_[committed_]);
  }

 private:
  static constexpr int kKeys = 120;
  using Rows = std::map<int, int>;
  struct Piece {
    size_t snapshot;
    int from, to;
    Rows rows;
  };
  struct Flight {
    uint64_t number;
    Piece piece;
  };

  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  bool done() const { return recorded_ >= kKeys && flights_.empty(); }

  void write() {
    if (history_.size() > 400) return;
    const int at = static_cast<int>(below(kKeys));
    if (below(3) == 0) {
      source_.erase(at);
    } else {
      source_[at] = static_cast<int>(below(1000));
    }
    history_.push_back(source_);
  }

  // One snapshot, cut into pieces.
  void read() {
    if (!read_.empty() || read_to_ >= kKeys) return;
    const size_t snapshot = history_.size() - 1;
    for (uint32_t pieces = 1 + below(4); pieces > 0 && read_to_ < kKeys; --pieces) {
      Piece piece{snapshot, read_to_, std::min(kKeys, read_to_ + 1 + static_cast<int>(below(15))), {}};
      for (const auto& [at, value] : history_[snapshot]) {
        if (at >= piece.from && at < piece.to) piece.rows[at] = value;
      }
      read_to_ = piece.to;
      read_.push_back(std::move(piece));
    }
  }

  void start() {
    if (read_.empty()) return;
    const std::string applied = started_ ? std::to_string(committed_) : "";
    switch (before_piece(std::to_string(read_.front().snapshot), applied, applied, progress_.unfinished() == 0)) {
      case BeforePiece::kDrain: return;
      case BeforePiece::kAdvance: {
        record();
        const size_t to = read_.front().snapshot;
        ASSERT_TRUE(!started_ || to >= committed_);
        // Events, each of which leaves its row as the source has it, whether or not it was copied.
        for (size_t at = started_ ? committed_ + 1 : to + 1; at <= to; ++at) {
          for (int row = 0; row < kKeys; ++row) {
            const auto before = history_[at - 1].find(row), after = history_[at].find(row);
            const bool had = before != history_[at - 1].end(), has = after != history_[at].end();
            if (had == has && (!has || before->second == after->second)) continue;
            if (has) {
              target_[row] = after->second;
            } else {
              target_.erase(row);
            }
          }
        }
        committed_ = to;
        started_ = true;
        check();
        break;
      }
      case BeforePiece::kNothing: break;
    }
    Piece piece = std::move(read_.front());
    read_.pop_front();
    const uint64_t number = progress_.start(key(piece.to), piece.rows.size());
    flights_.push_back({number, std::move(piece)});
  }

  void finish() {
    if (flights_.empty()) return;
    const auto at = flights_.begin() + below(static_cast<uint32_t>(flights_.size()));
    for (const auto& [row, value] : at->piece.rows) {
      const auto [there, made] = target_.try_emplace(row, value);
      ASSERT_EQ(there->second, value) << "a row that is there already differs";
    }
    progress_.finish(at->number);
    flights_.erase(at);
    check();
  }

  void record() {
    if (auto reached = progress_.take()) recorded_ = std::stoi(reached->to.rows(0).values());
    check();
  }

  void die() {
    flights_.clear();
    read_.clear();
    progress_ = {};
    read_to_ = recorded_;
  }

  void check() {
    const Rows& truth = history_[committed_];
    for (const auto& [row, value] : target_) {
      const auto there = truth.find(row);
      ASSERT_TRUE(there != truth.end() && there->second == value) << "row " << row << " is in another form";
    }
    for (const auto& [row, value] : truth) {
      if (row < recorded_) ASSERT_TRUE(target_.contains(row)) << "row " << row << " is missing below " << recorded_;
    }
  }

  std::mt19937 random_;
  Rows source_, target_;
  std::vector<Rows> history_;  // By position.
  size_t committed_ = 0;
  bool started_ = false;
  int recorded_ = 0;
  int read_to_ = 0;
  std::deque<Piece> read_;
  std::vector<Flight> flights_;
  CopyProgress progress_;
};

TEST(CopyProgress, HoldsItsClaimWhateverTheOrderAndWhoeverDies) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    Model(seed).run();
    if (::testing::Test::HasFatalFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace vitrail::movement
