#include "exec/whole_order.h"

#include <algorithm>
#include <charconv>

namespace vitrail::exec {

std::optional<WholeKey> whole_key(std::string_view digits) {
  const auto parse = [&](auto value) -> std::optional<uint64_t> {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return static_cast<uint64_t>(value);
  };
  const bool negative = digits.starts_with('-');
  const auto bits = negative ? parse(int64_t{0}) : parse(uint64_t{0});
  if (!bits) return std::nullopt;
  return WholeKey(!negative, *bits);
}

Status WholeOrder::push(size_t source, const std::vector<mysql::Cell>& row) {
  if (column_) {
    const auto key = row[*column_] ? whole_key(*row[*column_]) : std::nullopt;
    if (!key) return fail(Code::kFailedPrecondition, "a primary key that is no whole number, as it was known to be");
    keys_[source] = *key;
  }
  heads_.push_back(source);
  std::ranges::push_heap(heads_, [&](size_t a, size_t b) { return later(a, b); });
  return {};
}

size_t WholeOrder::pop() {
  std::ranges::pop_heap(heads_, [&](size_t a, size_t b) { return later(a, b); });
  const size_t source = heads_.back();
  heads_.pop_back();
  return source;
}

}  // namespace vitrail::exec
