#include "movement/copy_progress.h"

#include <algorithm>

#include "base/check.h"

namespace vitrail::movement {

BeforePiece before_piece(std::string_view snapshot, std::string_view applied, std::string_view committed, bool idle) {
  if (!snapshot.empty() && snapshot == applied && applied == committed) return BeforePiece::kNothing;
  return idle ? BeforePiece::kAdvance : BeforePiece::kDrain;
}

size_t lanes_for(size_t others, size_t most) {
  most = std::max<size_t>(1, most);
  return std::clamp<size_t>(2 * most / (others + 1), 1, most);
}

uint64_t CopyProgress::start(::query::QueryResult to, uint64_t rows) {
  pieces_.push_back({std::move(to), rows, false});
  ++unfinished_;
  return first_ + pieces_.size() - 1;
}

void CopyProgress::finish(uint64_t piece) {
  CHECK(piece >= first_ && piece - first_ < pieces_.size() && !pieces_[piece - first_].finished);
  pieces_[piece - first_].finished = true;
  --unfinished_;
}

std::optional<CopyProgress::Reached> CopyProgress::take() {
  std::optional<Reached> reached;
  while (!pieces_.empty() && pieces_.front().finished) {
    if (!reached) reached.emplace();
    reached->rows += pieces_.front().rows;
    if (pieces_.front().to.rows_size() != 0) reached->to = std::move(pieces_.front().to);
    pieces_.pop_front();
    ++first_;
  }
  return reached;
}

}  // namespace vitrail::movement
