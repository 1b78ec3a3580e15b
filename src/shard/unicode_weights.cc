#include "shard/unicode_weights.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "shard/unicode_table.h"

namespace vitrail::shard {

namespace {

using unicode::Contraction;

// Contractions and reordering never concern more than a few characters, but a run of marks may be long.
struct Token {
  uint32_t sequence[3] = {};  // sequence[1] != 0: a contraction
  uint8_t combining_class = 0;
};

void append_weight(uint32_t weight, std::string& out) {
  if (weight >= 0x8000) out += static_cast<char>(weight >> 16);
  out += static_cast<char>(weight >> 8 & 0xff);
  out += static_cast<char>(weight & 0xff);
}

void append_weights_of(uint32_t code_point, std::string& out) {
  constexpr uint32_t kHangul = 0xac00;
  if (code_point >= kHangul && code_point < 0xd7a4) {
    const uint32_t index = code_point - kHangul;
    append_weights_of(0x1100 + index / 588, out);
    append_weights_of(0x1161 + index % 588 / 28, out);
    if (index % 28 != 0) append_weights_of(0x11a7 + index % 28, out);
    return;
  }
  const uint32_t* const end = unicode::kRunFirst + unicode::kRunCount;
  const auto run = std::upper_bound(unicode::kRunFirst, end, code_point) - unicode::kRunFirst - 1;
  const uint32_t value = unicode::kRunInfo[run] & 0x3fffffff;
  switch (unicode::kRunInfo[run] >> 30) {
    case 0: return append_weight(value + code_point - unicode::kRunFirst[run], out);
    case 1:
      if (value != 0) append_weight(value, out);
      return;
    default:
      for (uint32_t i = 1; i <= unicode::kExpansions[value]; ++i) append_weight(unicode::kExpansions[value + i], out);
  }
}

// Weights of the ASCII characters; each has at most one.
const std::array<std::string, 128>& ascii_weights() {
  static const auto table = [] {
    std::array<std::string, 128> out;
    for (uint32_t c = 0; c < 128; ++c) append_weights_of(c, out[c]);
    return out;
  }();
  return table;
}

const unicode::CombiningRange* find_combining(uint32_t code_point) {
  if (code_point < 0x300) return nullptr;
  const auto* const end = unicode::kCombining + unicode::kCombiningCount;
  const auto* const after = std::upper_bound(unicode::kCombining, end, code_point,
                                             [](uint32_t c, const auto& range) { return c < range.first; });
  if (after == unicode::kCombining || code_point > after[-1].last) return nullptr;
  return after - 1;
}

// Null when there is none.
const Contraction* find_contraction(uint32_t a, uint32_t b, uint32_t c) {
  const std::array<uint32_t, 3> wanted = {a, b, c};
  const auto* const end = unicode::kContractions + unicode::kContractionCount;
  const auto* const found =
      std::lower_bound(unicode::kContractions, end, wanted, [](const Contraction& x, const std::array<uint32_t, 3>& y) {
        return std::lexicographical_compare(std::begin(x.sequence), std::end(x.sequence), y.begin(), y.end());
      });
  return found != end && std::equal(wanted.begin(), wanted.end(), found->sequence) ? found : nullptr;
}

bool starts_contraction(uint32_t code_point) {
  const auto* const end = unicode::kContractions + unicode::kContractionCount;
  const auto* const found = std::lower_bound(unicode::kContractions, end, code_point,
                                             [](const Contraction& x, uint32_t c) { return x.sequence[0] < c; });
  return found != end && found->sequence[0] == code_point;
}

// Reads one code point at `at` and moves past it; false for what is not UTF-8.
bool decode(std::string_view text, size_t& at, uint32_t& code_point) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const uint32_t lead = byte(at);
  if (lead < 0x80) {
    code_point = lead;
    ++at;
    return true;
  }
  const size_t length = lead >= 0xc2 && lead < 0xe0   ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0) return false;
  code_point = lead & (0x7f >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return false;
    code_point = code_point << 6 | (byte(at + i) & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code_point < kLeast[length] || code_point > 0x10ffff || (code_point >= 0xd800 && code_point < 0xe000))
    return false;
  at += length;
  return true;
}

// Cuts a text into characters and contractions. These are found in the text as it is: first of neighbours; then with
// marks further on, where the ones between have ascending combining classes. Those then stay behind the contraction.
class Tokenizer {
 public:
  explicit Tokenizer(const std::vector<uint32_t>& text) : text_(text), used_(text.size()), raised_(text.size()) {}

  std::vector<Token> run() {
    std::vector<Token> tokens;
    tokens.reserve(text_.size());
    for (size_t i = 0; i < text_.size(); ++i) {
      if (used_[i]) continue;
      Token token;
      token.sequence[0] = text_[i];
      if (const auto* combining = find_combining(text_[i])) token.combining_class = combining->first_class;
      if (starts_contraction(text_[i])) extend(i, token);
      token.combining_class = std::max(token.combining_class, raised_[i]);
      tokens.push_back(token);
    }
    return tokens;
  }

 private:
  void extend(size_t start, Token& token) {
    const auto free = [&](size_t i) { return i < text_.size() && !used_[i]; };
    size_t length = 1;
    size_t next = start + 1;
    if (free(start + 1) && free(start + 2) && find_contraction(text_[start], text_[start + 1], text_[start + 2])) {
      length = 3;
    } else if (free(start + 1) && find_contraction(text_[start], text_[start + 1], 0)) {
      length = 2;
    }
    for (size_t k = 1; k < length; ++k, ++next) {
      token.sequence[k] = text_[next];
      used_[next] = true;
    }
    uint8_t passed = 0;
    for (; next < text_.size() && length < 3; ++next) {
      if (used_[next]) continue;
      const auto* combining = find_combining(text_[next]);
      if (combining == nullptr || combining->first_class <= passed) return;
      const uint32_t mark = text_[next];
      if (length == 1 ? find_contraction(token.sequence[0], mark, 0) != nullptr
                      : find_contraction(token.sequence[0], token.sequence[1], mark) != nullptr) {
        token.sequence[length++] = mark;
        used_[next] = true;
        for (size_t k = start + 1; k < next; ++k) raised_[k] = std::max(raised_[k], token.combining_class);
      } else {
        passed = combining->last_class;
      }
    }
  }

  const std::vector<uint32_t>& text_;
  std::vector<bool> used_;
  std::vector<uint8_t> raised_;
};

// Puts each run of marks into canonical order.
void reorder(std::vector<Token>& tokens) {
  for (size_t i = 0; i < tokens.size();) {
    size_t end = i;
    while (end < tokens.size() && tokens[end].combining_class != 0) ++end;
    if (end - i > 1) {
      std::vector<std::pair<uint8_t, size_t>> order;
      for (size_t k = i; k < end; ++k) order.emplace_back(tokens[k].combining_class, k);
      std::sort(order.begin(), order.end());
      std::vector<Token> sorted;
      for (const auto& [combining_class, k] : order) sorted.push_back(tokens[k]);
      std::copy(sorted.begin(), sorted.end(), tokens.begin() + static_cast<std::ptrdiff_t>(i));
    }
    i = std::max(end, i + 1);
  }
}

}  // namespace

Status append_primary_weights(std::string_view text, std::string& out) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  const bool is_ascii =
      std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (is_ascii) {
    const auto& weights = ascii_weights();
    for (char c : text) out += weights[static_cast<size_t>(c)];
    return {};
  }
  std::vector<uint32_t> code_points;
  code_points.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    uint32_t code_point = 0;
    if (!decode(text, at, code_point)) return fail(Code::kInvalidArgument, "the value is not valid UTF-8");
    code_points.push_back(code_point);
  }
  std::vector<Token> tokens = Tokenizer(code_points).run();
  reorder(tokens);
  for (const Token& token : tokens) {
    if (token.sequence[1] == 0) {
      append_weights_of(token.sequence[0], out);
      continue;
    }
    const Contraction* contraction = find_contraction(token.sequence[0], token.sequence[1], token.sequence[2]);
    for (uint32_t weight : contraction->weights) {
      if (weight != 0) append_weight(weight, out);
    }
  }
  return {};
}

}  // namespace vitrail::shard
