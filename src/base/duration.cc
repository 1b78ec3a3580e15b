#include "base/duration.h"

#include <fmt/core.h>

#include <array>

namespace vitrail::base {
namespace {

struct Unit {
  std::string_view name;
  int64_t nanoseconds;
};

constexpr std::array<Unit, 8> kUnits{{{"ns", 1},
                                      {"us", 1'000},
                                      {"\xc2\xb5s", 1'000},  // U+00B5, micro sign
                                      {"\xce\xbcs", 1'000},  // U+03BC, Greek mu
                                      {"ms", 1'000'000},
                                      {"s", 1'000'000'000},
                                      {"m", 60'000'000'000},
                                      {"h", 3'600'000'000'000}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

Error bad_duration(std::string_view text) {
  return fail(Code::kInvalidArgument,
              fmt::format("invalid duration \"{}\": expected a form like 30s, 1h30m or 500ms", text));
}

// "2.5" of `value`, without the zeros at the end.
std::string decimal(int64_t value, int64_t unit) {
  std::string text = fmt::format("{}", value / unit);
  int64_t rest = value % unit;
  if (rest == 0) return text;
  text.push_back('.');
  for (int64_t digit = unit / 10; rest != 0; digit /= 10) {
    text.push_back(static_cast<char>('0' + rest / digit));
    rest %= digit;
  }
  return text;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  std::string_view rest = text;
  bool negative = false;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest == "0") return Duration(0);
  if (rest.empty()) return bad_duration(text);

  __int128 total = 0;
  while (!rest.empty()) {
    __int128 whole = 0;
    __int128 fraction = 0;
    __int128 scale = 1;
    size_t digits = 0;
    for (; !rest.empty() && is_digit(rest[0]); rest.remove_prefix(1), ++digits) {
      whole = whole * 10 + (rest[0] - '0');
      if (whole > INT64_MAX) return bad_duration(text);
    }
    if (!rest.empty() && rest[0] == '.') {
      rest.remove_prefix(1);
      for (; !rest.empty() && is_digit(rest[0]); rest.remove_prefix(1), ++digits) {
        if (scale >= 1'000'000'000'000'000) continue;  // Finer than a nanosecond of an hour: no longer visible.
        fraction = fraction * 10 + (rest[0] - '0');
        scale *= 10;
      }
    }
    if (digits == 0) return bad_duration(text);
    size_t length = 0;
    while (length < rest.size() && !is_digit(rest[length]) && rest[length] != '.') ++length;
    const std::string_view name = rest.substr(0, length);
    rest.remove_prefix(length);
    int64_t unit = 0;
    for (const Unit& known : kUnits) {
      if (known.name == name) unit = known.nanoseconds;
    }
    if (unit == 0) return bad_duration(text);
    total += whole * unit + fraction * unit / scale;
    if (total > INT64_MAX) return bad_duration(text);
  }
  return Duration(static_cast<int64_t>(negative ? -total : total));
}

std::string format_duration(Duration value) {
  int64_t ns = value.count();
  if (ns == 0) return "0s";
  std::string text;
  if (ns < 0) {
    text.push_back('-');
    if (ns == INT64_MIN) return "-2562047h47m16.854775808s";
    ns = -ns;
  }
  if (ns < 1'000) return text + fmt::format("{}ns", ns);
  if (ns < 1'000'000) return text + decimal(ns, 1'000) + "\xc2\xb5s";
  if (ns < 1'000'000'000) return text + decimal(ns, 1'000'000) + "ms";
  const int64_t hours = ns / 3'600'000'000'000;
  const int64_t minutes = ns / 60'000'000'000 % 60;
  if (hours > 0) text += fmt::format("{}h", hours);
  if (hours > 0 || minutes > 0) text += fmt::format("{}m", minutes);
  return text + decimal(ns % 60'000'000'000, 1'000'000'000) + "s";
}

}  // namespace vitrail::base
