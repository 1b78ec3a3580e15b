#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

#include "query.pb.h"

// The order of a copy whose pieces are put into the target several at a time: decisions without I/O. Why it is exact:
// stream.h.
namespace vitrail::movement {

// What has to be done before a piece may be started. `snapshot`: where the piece was read, `applied`: up to where
// events were applied, `committed`: up to where that is committed; as texts. `idle`: no piece is on its way.
enum class BeforePiece : uint8_t {
  kNothing,  // The target stands where the piece was read.
  kDrain,    // The target has to move, which it must not while pieces of another snapshot are on their way.
  kAdvance,  // Apply events up to the snapshot exactly, and commit that.
};
BeforePiece before_piece(std::string_view snapshot, std::string_view applied, std::string_view committed, bool idle);

// How many connections a stream should have for its copy when `others` copy already and `most` pieces may be on their
// way at the same time: those of many streams must not use up what the server has.
size_t lanes_for(size_t others, size_t most);

// Which pieces of a table are in the target: those up to some key without a gap may be recorded.
class CopyProgress {
 public:
  // Pieces are started in the order of their keys. `to`: the last key of the piece; no row: the piece does not say.
  // Returns a number for finish().
  uint64_t start(::query::QueryResult to, uint64_t rows);
  void finish(uint64_t piece);
  size_t unfinished() const { return unfinished_; }

  struct Reached {
    ::query::QueryResult to;  // Of the last piece that said; no row: none did.
    uint64_t rows = 0;
  };
  // What has been finished without a gap since the last call.
  std::optional<Reached> take();

 private:
  struct Piece {
    ::query::QueryResult to;
    uint64_t rows = 0;
    bool finished = false;
  };
  uint64_t first_ = 0;  // Number of pieces_.front().
  std::deque<Piece> pieces_;
  size_t unfinished_ = 0;
};

}  // namespace vitrail::movement
