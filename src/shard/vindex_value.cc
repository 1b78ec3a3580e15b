#include "shard/vindex_value.h"

#include <system_error>

#include <fmt/core.h>

namespace vitrail::shard {

namespace {

template <typename Number>
std::optional<Number> parse_all(std::string_view digits) {
  Number number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

std::optional<uint64_t> parse_padded(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return parse_all<uint64_t>(text);
}

}  // namespace

Result<VindexValue> VindexValue::integer_text(std::string_view digits, bool is_unsigned) {
  if (is_unsigned) {
    if (const auto number = parse_all<uint64_t>(digits)) return uint64(*number);
  } else {
    if (const auto number = parse_all<int64_t>(digits)) return int64(*number);
  }
  return fail(Code::kInvalidArgument, fmt::format("not {} integer: '{}'", is_unsigned ? "an unsigned" : "an", digits));
}

std::optional<uint64_t> VindexValue::to_u64() const {
  switch (kind_) {
    case Kind::kUint64: return number_;
    case Kind::kInt64:
      if (static_cast<int64_t>(number_) < 0) return std::nullopt;
      return number_;
    case Kind::kBytes: return parse_padded(bytes_);
    case Kind::kHex: {
      std::string_view digits = bytes_;
      while (!digits.empty() && digits.front() == '\0') digits.remove_prefix(1);
      if (digits.size() > 8) return std::nullopt;
      uint64_t number = 0;
      for (unsigned char c : digits) number = number << 8 | c;
      return number;
    }
    case Kind::kNull: return std::nullopt;
  }
  return std::nullopt;
}

std::string_view VindexValue::to_bytes(Scratch& scratch) const {
  switch (kind_) {
    case Kind::kInt64: {
      const auto end =
          std::to_chars(scratch.data(), scratch.data() + scratch.size(), static_cast<int64_t>(number_)).ptr;
      return {scratch.data(), static_cast<size_t>(end - scratch.data())};
    }
    case Kind::kUint64: {
      const auto end = std::to_chars(scratch.data(), scratch.data() + scratch.size(), number_).ptr;
      return {scratch.data(), static_cast<size_t>(end - scratch.data())};
    }
    case Kind::kBytes:
    case Kind::kHex: return bytes_;
    case Kind::kNull: return {};
  }
  return {};
}

}  // namespace vitrail::shard
