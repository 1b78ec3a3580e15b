#include "shard/shard_name.h"

#include <algorithm>

#include <fmt/core.h>

#include "base/hex.h"

namespace vitrail::shard {

namespace {

constexpr size_t kMaxFreeName = 64;
constexpr size_t kMaxBoundBytes = 64;

const KeyRange& whole() {
  static const KeyRange range;
  return range;
}

bool is_free_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

// Least eight-byte id at or above a position.
uint64_t ceil_u64(std::string_view position) {
  position = normalize(position);
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) {
    value = value << 8 | (i < position.size() ? static_cast<unsigned char>(position[i]) : 0);
  }
  return position.size() > 8 && value != UINT64_MAX ? value + 1 : value;
}

}  // namespace

Result<ShardName> ShardName::parse(std::string_view text) {
  if (text.find('-') != std::string_view::npos) {
    auto range = KeyRange::parse(text);
    if (!range) return std::move(range).error().with_context(fmt::format("invalid shard name '{}'", text));
    if (range->start().size() > kMaxBoundBytes || range->end().size() > kMaxBoundBytes) {
      return fail(Code::kInvalidArgument,
                  fmt::format("invalid shard name: a bound is longer than {} bytes", kMaxBoundBytes));
    }
    std::string name = base::hex_encode(range->start()) + "-" + base::hex_encode(range->end());
    return ShardName(std::move(name), std::move(*range));
  }
  if (text.empty() || text.size() > kMaxFreeName) {
    return fail(Code::kInvalidArgument, fmt::format("invalid shard name '{}': 1 to {} bytes are allowed",
                                                    text.substr(0, kMaxFreeName), kMaxFreeName));
  }
  if (!std::all_of(text.begin(), text.end(), is_free_name_char) || text == "." || text == "..") {
    return fail(Code::kInvalidArgument,
                fmt::format("invalid shard name '{}': letters, digits, '_' and '.' are allowed, or a key range", text));
  }
  return ShardName(std::string(text), std::nullopt);
}

const KeyRange& ShardName::covered_range() const { return range_ ? *range_ : whole(); }

bool operator<(const ShardName& a, const ShardName& b) {
  const auto order = compare(a.covered_range(), b.covered_range());
  return order != 0 ? order < 0 : a.name_ < b.name_;
}

Result<std::vector<ShardName>> parse_shard_names(std::span<const std::string> names) {
  std::vector<ShardName> out;
  out.reserve(names.size());
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(ShardName parsed, ShardName::parse(name));
    out.push_back(std::move(parsed));
  }
  std::sort(out.begin(), out.end());
  return out;
}

ShardSet::ShardSet(std::vector<ShardName> shards) : shards_(std::move(shards)) {
  std::sort(shards_.begin(), shards_.end());
  for (size_t i = 1; i < shards_.size(); ++i) {
    if (shards_[i - 1].covered_range().intersects(shards_[i].covered_range())) disjoint_ = false;
  }
  if (!disjoint_) return;
  starts_u64_.reserve(shards_.size());
  for (const ShardName& shard : shards_) starts_u64_.push_back(ceil_u64(shard.covered_range().start()));
}

int ShardSet::last_starting_at_or_before(std::string_view position) const {
  const auto after = std::upper_bound(
      shards_.begin(), shards_.end(), position,
      [](std::string_view p, const ShardName& shard) { return compare(p, shard.covered_range().start()) < 0; });
  return static_cast<int>(after - shards_.begin()) - 1;
}

int ShardSet::find(std::string_view keyspace_id) const {
  if (disjoint_) {
    const int i = last_starting_at_or_before(keyspace_id);
    return i >= 0 && shards_[static_cast<size_t>(i)].covered_range().contains_bytes(keyspace_id) ? i : -1;
  }
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].covered_range().contains_bytes(keyspace_id)) return static_cast<int>(i);
  }
  return -1;
}

int ShardSet::find_u64(uint64_t keyspace_id) const {
  if (!disjoint_) return find(KeyspaceId::from_u64(keyspace_id).bytes);
  const auto after = std::upper_bound(starts_u64_.begin(), starts_u64_.end(), keyspace_id);
  // Ranges that hold no eight-byte id share their least id with a neighbour: step over them.
  for (auto i = after - starts_u64_.begin() - 1; i >= 0; --i) {
    if (shards_[static_cast<size_t>(i)].covered_range().contains_u64(keyspace_id)) return static_cast<int>(i);
    if (starts_u64_[static_cast<size_t>(i)] != keyspace_id) break;
  }
  return -1;
}

std::vector<int> ShardSet::find_overlapping(const KeyRange& range) const {
  std::vector<int> out;
  size_t i = 0;
  if (disjoint_) i = static_cast<size_t>(std::max(0, last_starting_at_or_before(range.start())));
  for (; i < shards_.size(); ++i) {
    if (shards_[i].covered_range().intersects(range)) {
      out.push_back(static_cast<int>(i));
    } else if (disjoint_ && !out.empty()) {
      break;
    }
  }
  return out;
}

std::vector<int> ShardSet::find_between(std::string_view first, std::string_view last) const {
  std::vector<int> out;
  if (compare(first, last) > 0) return out;
  for (size_t i = 0; i < shards_.size(); ++i) {
    const KeyRange& covered = shards_[i].covered_range();
    const bool starts_late = compare(covered.start(), last) > 0;
    const bool ends_early = !normalize(covered.end()).empty() && compare(covered.end(), first) <= 0;
    if (!starts_late && !ends_early) out.push_back(static_cast<int>(i));
  }
  return out;
}

Result<std::vector<int>> ShardSet::find_exactly(const KeyRange& range) const {
  std::vector<int> out;
  for (size_t i = 0; i < shards_.size(); ++i) {
    const KeyRange& covered = shards_[i].covered_range();
    if (out.empty() ? compare_starts(covered, range) != 0
                    : !shards_[static_cast<size_t>(out.back())].covered_range().is_followed_by(covered)) {
      continue;
    }
    out.push_back(static_cast<int>(i));
    if (compare_ends(covered, range) == 0) return out;
  }
  return fail(Code::kNotFound, fmt::format("keyrange {} does not exactly match shards", range.to_string()));
}

int ShardSet::find_name(std::string_view name) const {
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].str() == name) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace vitrail::shard
