#include "shard/key_range.h"

#include <algorithm>
#include <bit>

#include <fmt/core.h>

#include "base/hex.h"

namespace vitrail::shard {

namespace {

constexpr int kMaxShards = 65536;

// The first eight bytes of a position as a number; missing bytes are zero.
uint64_t leading_u64(std::string_view position) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) {
    value = value << 8 | (i < position.size() ? static_cast<unsigned char>(position[i]) : 0);
  }
  return value;
}

std::vector<const KeyRange*> sorted(std::span<const KeyRange> ranges) {
  std::vector<const KeyRange*> out;
  out.reserve(ranges.size());
  for (const KeyRange& range : ranges) out.push_back(&range);
  std::sort(out.begin(), out.end(), [](const KeyRange* a, const KeyRange* b) { return compare(*a, *b) < 0; });
  return out;
}

// Sorted ranges follow each other without gap or overlap.
Status check_contiguous(const std::vector<const KeyRange*>& ranges) {
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (!ranges[i - 1]->is_followed_by(*ranges[i])) {
      const char* fault = ranges[i - 1]->intersects(*ranges[i]) ? "overlap" : "have a gap between them";
      return fail(Code::kFailedPrecondition,
                  fmt::format("key ranges {} and {} {}", ranges[i - 1]->to_string(), ranges[i]->to_string(), fault));
    }
  }
  return {};
}

}  // namespace

void KeyRange::prepare() {
  const std::string_view start = normalize(start_);
  const std::string_view end = normalize(end_);
  first_u64_ = leading_u64(start);
  last_u64_ = UINT64_MAX;
  bool none = false;
  if (start.size() > 8) none = first_u64_++ == UINT64_MAX;  // The bound lies above its own first eight bytes.
  if (!end.empty()) {
    last_u64_ = leading_u64(end);
    // Up to eight bytes, the bound itself is outside. It is not zero: its last byte is not.
    if (end.size() <= 8) --last_u64_;
  }
  if (none || first_u64_ > last_u64_) {
    first_u64_ = 1;
    last_u64_ = 0;
  }
}

Result<KeyRange> KeyRange::parse(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos || text.find('-', dash + 1) != std::string_view::npos) {
    return fail(Code::kInvalidArgument, fmt::format("malformed key range '{}': exactly one dash is needed", text));
  }
  auto start = base::hex_decode(text.substr(0, dash));
  auto end = base::hex_decode(text.substr(dash + 1));
  if (!start) return std::move(start).error().with_context(fmt::format("malformed key range '{}'", text));
  if (!end) return std::move(end).error().with_context(fmt::format("malformed key range '{}'", text));
  KeyRange range(std::move(*start), std::move(*end));
  if (!range.end_.empty() && shard::compare(range.start_, range.end_) >= 0) {
    return fail(Code::kInvalidArgument, fmt::format("malformed key range '{}': start must be below end", text));
  }
  return range;
}

bool KeyRange::contains_bytes(std::string_view id) const {
  if (id.size() == 8) return contains_u64(leading_u64(id));
  if (shard::compare(id, start_) < 0) return false;
  return normalize(end_).empty() || shard::compare(id, end_) < 0;
}

bool KeyRange::contains(const KeyRange& other) const {
  return compare_starts(*this, other) <= 0 && compare_ends(*this, other) >= 0;
}

bool KeyRange::intersects(const KeyRange& other) const {
  const auto starts_below_end = [](const KeyRange& a, const KeyRange& b) {
    return normalize(b.end_).empty() || shard::compare(a.start_, b.end_) < 0;
  };
  return starts_below_end(*this, other) && starts_below_end(other, *this);
}

bool KeyRange::is_complete() const { return normalize(start_).empty() && normalize(end_).empty(); }

bool KeyRange::is_followed_by(const KeyRange& next) const {
  return !normalize(end_).empty() && normalize(end_) == normalize(next.start_);
}

std::optional<KeyRange> KeyRange::join(const KeyRange& a, const KeyRange& b) {
  if (a.is_followed_by(b)) return KeyRange(a.start_, b.end_);
  if (b.is_followed_by(a)) return KeyRange(b.start_, a.end_);
  return std::nullopt;
}

bool operator==(const KeyRange& a, const KeyRange& b) { return compare(a, b) == 0; }

std::string KeyRange::to_string() const {
  if (is_complete()) return "-";
  return base::hex_encode(start_) + "-" + base::hex_encode(end_);
}

std::strong_ordering compare_starts(const KeyRange& a, const KeyRange& b) { return compare(a.start(), b.start()); }

std::strong_ordering compare_ends(const KeyRange& a, const KeyRange& b) {
  const std::string_view x = normalize(a.end());
  const std::string_view y = normalize(b.end());
  if (x.empty() || y.empty()) return x.empty() <=> y.empty();  // No end is above every end.
  return compare(x, y);
}

std::strong_ordering compare(const KeyRange& a, const KeyRange& b) {
  const auto order = compare_starts(a, b);
  return order != 0 ? order : compare_ends(a, b);
}

Status check_complete(std::span<const KeyRange> ranges) {
  if (ranges.empty()) return fail(Code::kFailedPrecondition, "no key range covers the key space");
  const auto order = sorted(ranges);
  if (!normalize(order.front()->start()).empty()) {
    return fail(Code::kFailedPrecondition,
                fmt::format("no key range covers the key space below {}", order.front()->to_string()));
  }
  RETURN_IF_ERROR(check_contiguous(order));
  if (!normalize(order.back()->end()).empty()) {
    return fail(Code::kFailedPrecondition,
                fmt::format("no key range covers the key space above {}", order.back()->to_string()));
  }
  return {};
}

Status check_same_cover(std::span<const KeyRange> a, std::span<const KeyRange> b) {
  if (a.empty() || b.empty()) return fail(Code::kFailedPrecondition, "no key ranges were given");
  const auto left = sorted(a);
  const auto right = sorted(b);
  RETURN_IF_ERROR(check_contiguous(left));
  RETURN_IF_ERROR(check_contiguous(right));
  const KeyRange left_sum(left.front()->start(), left.back()->end());
  const KeyRange right_sum(right.front()->start(), right.back()->end());
  if (left_sum == right_sum) return {};
  return fail(Code::kFailedPrecondition,
              fmt::format("key ranges do not cover the same part of the key space: {} and {}", left_sum.to_string(),
                          right_sum.to_string()));
}

Result<std::vector<KeyRange>> parse_sharding_spec(std::string_view spec) {
  std::vector<std::string> bounds;
  size_t from = 0;
  while (true) {
    const size_t dash = spec.find('-', from);
    auto bound = base::hex_decode(spec.substr(from, dash == std::string_view::npos ? dash : dash - from));
    if (!bound) return std::move(bound).error().with_context(fmt::format("malformed sharding spec '{}'", spec));
    bounds.push_back(std::move(*bound));
    if (dash == std::string_view::npos) break;
    from = dash + 1;
  }
  if (bounds.size() < 2) {
    return fail(Code::kInvalidArgument, fmt::format("malformed sharding spec '{}': it has no dash", spec));
  }
  std::vector<KeyRange> ranges;
  for (size_t i = 1; i < bounds.size(); ++i) {
    const bool last = i + 1 == bounds.size();
    // Only the outer bounds may be open, and the bounds ascend; as written, so that 80 may be followed by 8000.
    if ((bounds[i].empty() && !last) || (!bounds[i].empty() && bounds[i] <= bounds[i - 1])) {
      return fail(Code::kInvalidArgument, fmt::format("malformed sharding spec '{}': bounds must ascend", spec));
    }
    ranges.emplace_back(bounds[i - 1], bounds[i]);
  }
  return ranges;
}

Result<std::vector<std::string>> generate_shard_ranges(int count, int hex_digits) {
  if (count < 1 || count > kMaxShards) {
    return fail(Code::kInvalidArgument,
                fmt::format("cannot make {} shards: from 1 to {} are possible", count, kMaxShards));
  }
  if (hex_digits < 0 || hex_digits > 8) {
    return fail(Code::kInvalidArgument,
                fmt::format("cannot make bounds of {} hex digits: 1 to 8 are possible", hex_digits));
  }
  if (hex_digits == 0) hex_digits = count <= 256 ? 2 : 4;
  const uint64_t space = uint64_t{1} << (4 * hex_digits);
  if (static_cast<uint64_t>(count) > space) {
    return fail(Code::kInvalidArgument, fmt::format("{} hex digits are too few for {} shards", hex_digits, count));
  }
  std::vector<std::string> names;
  names.reserve(static_cast<size_t>(count));
  std::string start;
  for (uint64_t i = 1; i <= static_cast<uint64_t>(count); ++i) {
    std::string end;
    if (i < static_cast<uint64_t>(count)) {
      end = fmt::format("{:0{}x}", i * space / static_cast<uint64_t>(count), hex_digits);
    }
    names.push_back(start + "-" + end);
    start = std::move(end);
  }
  return names;
}

Result<KeyRange> even_shard_range(int index, int count) {
  if (count < 1 || count > kMaxShards || !std::has_single_bit(static_cast<unsigned>(count))) {
    return fail(Code::kInvalidArgument,
                fmt::format("number of shards must be a power of two up to {}: {}", kMaxShards, count));
  }
  if (index < 0 || index >= count) {
    return fail(Code::kInvalidArgument, fmt::format("shard index {} is not below {}", index, count));
  }
  const int digits = count <= 256 ? 2 : 4;
  const uint64_t width = (uint64_t{1} << (4 * digits)) / static_cast<uint64_t>(count);
  const auto bound = [&](int i) {
    return i == 0 || i == count ? std::string() : fmt::format("{:0{}x}", width * static_cast<uint64_t>(i), digits);
  };
  return KeyRange::parse(bound(index) + "-" + bound(index + 1));
}

}  // namespace vitrail::shard
