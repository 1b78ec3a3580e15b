#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "mysql/types.h"

namespace vitrail::exec {

// A whole number of 64 bits, signed or not, as what compares like it. nullopt: the text is none.
using WholeKey = std::pair<bool, uint64_t>;  // Not negative; its bits.
std::optional<WholeKey> whole_key(std::string_view digits);

// Which of several sources, whose rows come in the order of a column of whole numbers, has the next row. Without such a
// column: all of the first source, then of the second.
class WholeOrder {
 public:
  WholeOrder(size_t sources, std::optional<size_t> column) : column_(column), keys_(sources) {}
  // The next row of a source, which has none here.
  Status push(size_t source, const std::vector<mysql::Cell>& row);
  bool empty() const { return heads_.empty(); }
  // Takes the source of the first row.
  size_t pop();

 private:
  bool later(size_t a, size_t b) const { return std::pair(keys_[a], a) > std::pair(keys_[b], b); }

  const std::optional<size_t> column_;
  std::vector<WholeKey> keys_;  // Of each source's row.
  std::vector<size_t> heads_;   // A heap of sources.
};

}  // namespace vitrail::exec
