#include "exec/number.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace vitrail::exec {
namespace {

struct Decimal {
  bool negative = false;
  std::string digits;  // Whole and fraction digits together.
  size_t scale = 0;    // How many of them are the fraction.
};

std::optional<Decimal> parse(std::string_view text) {
  Decimal out;
  size_t i = 0;
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) out.negative = text[i++] == '-';
  bool point = false;
  for (; i < text.size(); ++i) {
    if (text[i] == '.' && !point) {
      point = true;
      continue;
    }
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    out.digits.push_back(text[i]);
    if (point) ++out.scale;
  }
  if (out.digits.empty()) return std::nullopt;
  return out;
}

// Same scale and same number of digits.
void align(Decimal& a, Decimal& b) {
  const size_t scale = std::max(a.scale, b.scale);
  for (Decimal* d : {&a, &b}) {
    d->digits.append(scale - d->scale, '0');
    d->scale = scale;
  }
  const size_t size = std::max(a.digits.size(), b.digits.size());
  for (Decimal* d : {&a, &b}) d->digits.insert(0, size - d->digits.size(), '0');
}

bool is_zero(const Decimal& d) { return d.digits.find_first_not_of('0') == std::string::npos; }

}  // namespace

std::optional<std::strong_ordering> compare_decimals(std::string_view left, std::string_view right) {
  auto a = parse(left);
  auto b = parse(right);
  if (!a || !b) return std::nullopt;
  if (is_zero(*a)) a->negative = false;
  if (is_zero(*b)) b->negative = false;
  align(*a, *b);
  if (a->negative != b->negative) return a->negative ? std::strong_ordering::less : std::strong_ordering::greater;
  const auto order = a->digits <=> b->digits;
  return a->negative ? 0 <=> order : order;
}

std::optional<std::string> divide_decimal(std::string_view sum, std::string_view count, size_t decimals) {
  auto number = parse(sum);
  uint64_t divisor = 0;
  const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), divisor);
  if (!number || error != std::errc() || end != count.data() + count.size() || divisor == 0) return std::nullopt;
  if (number->scale > decimals) return std::nullopt;
  constexpr size_t kWord = 9;
  const auto in_words = [](size_t digits) { return (digits + kWord - 1) / kWord * kWord; };
  const size_t known = in_words(number->scale);
  const size_t computed = in_words(std::max(known, decimals));
  number->digits.append(computed - number->scale, '0');
  unsigned __int128 rest = 0;
  std::string digits;
  for (const char digit : number->digits) {
    rest = rest * 10 + static_cast<unsigned>(digit - '0');
    digits.push_back(static_cast<char>('0' + static_cast<int>(rest / divisor)));
    rest %= divisor;
  }
  if (digits.size() <= computed) digits.insert(0, computed + 1 - digits.size(), '0');
  const size_t kept = digits.size() - (computed - decimals);
  const bool up = kept < digits.size() && digits[kept] >= '5';
  digits.resize(kept);
  if (up) {
    size_t at = digits.size();
    while (at > 0 && digits[at - 1] == '9') digits[--at] = '0';
    if (at == 0) {
      digits.insert(digits.begin(), '1');
    } else {
      ++digits[at - 1];
    }
  }
  const size_t whole = digits.size() - decimals;
  digits.erase(0, std::min(digits.find_first_not_of('0'), whole - 1));
  const bool zero = digits.find_first_not_of('0') == std::string::npos;
  if (decimals > 0) digits.insert(digits.size() - decimals, 1, '.');
  return number->negative && !zero ? "-" + digits : digits;
}

std::optional<std::string> plain_decimal(std::string_view text) {
  auto number = parse(text);
  if (!number) return std::nullopt;
  std::string& digits = number->digits;
  while (number->scale > 0 && digits.back() == '0') {
    digits.pop_back();
    --number->scale;
  }
  const size_t whole = digits.size() - number->scale;
  const size_t start = std::min(digits.find_first_not_of('0'), whole);
  std::string out = start == whole ? "0" : digits.substr(start, whole - start);
  if (number->scale > 0) out += "." + digits.substr(whole);
  return number->negative && !is_zero(*number) ? "-" + out : out;
}

std::optional<std::string> add_decimals(std::string_view left, std::string_view right) {
  auto a = parse(left);
  auto b = parse(right);
  if (!a || !b) return std::nullopt;
  align(*a, *b);
  Decimal sum;
  sum.scale = a->scale;
  sum.digits.resize(a->digits.size());
  if (a->negative == b->negative) {
    sum.negative = a->negative;
    int carry = 0;
    for (size_t i = sum.digits.size(); i-- > 0;) {
      const int digit = (a->digits[i] - '0') + (b->digits[i] - '0') + carry;
      sum.digits[i] = static_cast<char>('0' + digit % 10);
      carry = digit / 10;
    }
    if (carry > 0) sum.digits.insert(sum.digits.begin(), '1');
  } else {
    if (a->digits < b->digits) std::swap(a, b);
    sum.negative = a->negative;
    int borrow = 0;
    for (size_t i = sum.digits.size(); i-- > 0;) {
      int digit = (a->digits[i] - '0') - (b->digits[i] - '0') - borrow;
      borrow = digit < 0 ? 1 : 0;
      if (digit < 0) digit += 10;
      sum.digits[i] = static_cast<char>('0' + digit);
    }
  }
  const size_t whole = sum.digits.size() - sum.scale;
  size_t start = 0;
  while (start + 1 < whole && sum.digits[start] == '0') ++start;
  std::string out = sum.negative && !is_zero(sum) ? "-" : "";
  out += whole == 0 ? "0" : sum.digits.substr(start, whole - start);
  if (sum.scale > 0) out += "." + sum.digits.substr(whole);
  return out;
}

}  // namespace vitrail::exec
