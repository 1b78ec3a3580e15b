#include "mysql/binlog_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

namespace vitrail::mysql {
namespace {

constexpr uint64_t kPowersOfTen[] = {1,       10,        100,        1'000,       10'000,
                                     100'000, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000};

char* write_two(char* out, unsigned value) {
  *out++ = static_cast<char>('0' + value / 10 % 10);
  *out++ = static_cast<char>('0' + value % 10);
  return out;
}

// ".ddd" of a fraction counted in units of 10^-digits.
char* write_fraction(char* out, uint64_t fraction, unsigned digits) {
  if (digits == 0) return out;
  *out++ = '.';
  return write_padded(out, fraction, digits);
}

char* write_ymd(char* out, unsigned year, unsigned month, unsigned day) {
  out = write_padded(out, year, 4);
  *out++ = '-';
  out = write_two(out, month);
  *out++ = '-';
  return write_two(out, day);
}

char* write_hms(char* out, unsigned hour, unsigned minute, unsigned second) {
  out = write_padded(out, hour, 2);
  *out++ = ':';
  out = write_two(out, minute);
  *out++ = ':';
  return write_two(out, second);
}

// Days since 1970-01-01 to a date of the proleptic Gregorian calendar. Years are taken from March on, so that the leap
// day is the last of a year; 400 such years have 146097 days.
void civil_from_days(uint32_t days, unsigned& year, unsigned& month, unsigned& day) {
  const uint32_t shifted = days + 719468;  // Since 0000-03-01.
  const uint32_t era = shifted / 146097;
  const uint32_t day_of_era = shifted % 146097;
  const uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint32_t shifted_month = (5 * day_of_year + 2) / 153;
  day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  year = era * 400 + year_of_era + (month <= 2 ? 1 : 0);
}

char* write_epoch(char* out, uint32_t seconds, uint64_t fraction, unsigned digits) {
  if (seconds == 0 && fraction == 0) {
    out = write_ymd(out, 0, 0, 0);
    *out++ = ' ';
    out = write_hms(out, 0, 0, 0);
    return write_fraction(out, 0, digits);
  }
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  civil_from_days(seconds / 86400, year, month, day);
  out = write_ymd(out, year, month, day);
  *out++ = ' ';
  out = write_hms(out, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
  return write_fraction(out, fraction, digits);
}

// A stored fraction has an even number of digits; the last is 0 when `digits` is odd. False when it is too large.
bool fit_fraction(uint64_t& fraction, unsigned digits) {
  const unsigned stored_digits = (digits + 1) / 2 * 2;
  if (fraction >= kPowersOfTen[stored_digits]) return false;
  if (digits % 2 != 0) fraction /= 10;
  return true;
}

// digits[0..count) with the point behind `point` digits, in the server's notation.
char* place_point(char* out, const char* digits, int count, int point, bool negative) {
  if (negative) *out++ = '-';
  constexpr int kPlainMax = 15;
  const bool plain = point > -kPlainMax && (point <= kPlainMax || count > point);
  if (!plain) {
    *out++ = digits[0];
    if (count > 1) {
      *out++ = '.';
      std::memcpy(out, digits + 1, static_cast<size_t>(count - 1));
      out += count - 1;
    }
    *out++ = 'e';
    return write_signed(out, point - 1);
  }
  if (point <= 0) {
    *out++ = '0';
    *out++ = '.';
    for (int i = point; i < 0; ++i) *out++ = '0';
    std::memcpy(out, digits, static_cast<size_t>(count));
    return out + count;
  }
  for (int i = 0; i < count || i < point; ++i) {
    if (i == point) *out++ = '.';
    *out++ = i < count ? digits[i] : '0';
  }
  return out;
}

template <typename Float>
char* write_shortest(char* out, Float value) {
  if (!std::isfinite(value)) return nullptr;
  const bool negative = std::signbit(value);
  if (value == 0) {
    if (negative) *out++ = '-';
    *out++ = '0';
    return out;
  }
  // "d.ddde+xx" of the shortest digits, taken apart.
  char text[48];
  const auto end = std::to_chars(text, text + sizeof(text), std::fabs(value), std::chars_format::scientific).ptr;
  char digits[32];
  int count = 0;
  const char* at = text;
  for (; at != end && *at != 'e'; ++at) {
    if (*at != '.') digits[count++] = *at;
  }
  ++at;
  if (at != end && *at == '+') ++at;
  int exponent = 0;
  std::from_chars(at, end, exponent);
  while (count > 1 && digits[count - 1] == '0') --count;
  return place_point(out, digits, count, exponent + 1, negative);
}

}  // namespace

char* write_unsigned(char* out, uint64_t value) { return std::to_chars(out, out + kIntegerTextMax, value).ptr; }

char* write_signed(char* out, int64_t value) { return std::to_chars(out, out + kIntegerTextMax, value).ptr; }

char* write_padded(char* out, uint64_t value, unsigned width) {
  char digits[kIntegerTextMax];
  const auto size = static_cast<unsigned>(write_unsigned(digits, value) - digits);
  for (unsigned i = size; i < width; ++i) *out++ = '0';
  std::memcpy(out, digits, size);
  return out + size;
}

char* write_double(char* out, double value) { return write_shortest(out, value); }

char* write_float(char* out, float value) {
  // The shortest text of the largest one is more than it is: servers that read it as a double find it out of range.
  if (std::fabs(value) == std::numeric_limits<float>::max()) return write_shortest(out, static_cast<double>(value));
  return write_shortest(out, value);
}

char* write_fixed_double(char* out, double value, unsigned digits) {
  if (!std::isfinite(value)) return nullptr;
  // The fewest digits that read back as the same number, filled up with zeros, if they are not too many already.
  char* const end = std::to_chars(out, out + kFixedFloatTextMax, value, std::chars_format::fixed).ptr;
  char* const point = std::find(out, end, '.');
  const auto have = static_cast<unsigned>(point == end ? 0 : end - point - 1);
  if (have > digits) {
    return std::to_chars(out, out + kFixedFloatTextMax, value, std::chars_format::fixed, static_cast<int>(digits)).ptr;
  }
  if (digits == 0) return end;
  *point = '.';
  return std::fill_n(point + 1 + have, digits - have, '0');
}

// Digits are stored in groups of 9 in 4 bytes, counted from the point; the outermost groups take fewer bytes.
static constexpr uint8_t kGroupSize[10] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};

size_t decimal_size(unsigned precision, unsigned scale) {
  const unsigned whole = precision - scale;
  return whole / 9 * 4 + kGroupSize[whole % 9] + scale / 9 * 4 + kGroupSize[scale % 9];
}

char* write_decimal(char* out, BinlogBytes bytes, unsigned precision, unsigned scale) {
  // The top bit is 1 for numbers from 0 on; all bits of a negative number are inverted.
  const bool negative = (bytes[0] & 0x80) == 0;
  const uint8_t mask = negative ? 0xff : 0;
  size_t at = 0;
  const auto group = [&](unsigned digits, uint64_t& value) {
    value = 0;
    for (size_t end = at + kGroupSize[digits]; at < end; ++at) {
      const uint8_t byte = at == 0 ? bytes[0] ^ 0x80 : bytes[at];
      value = value << 8 | static_cast<uint8_t>(byte ^ mask);
    }
    return value < kPowersOfTen[digits];
  };
  char digits[72];
  char* end = digits;
  for (unsigned left = precision - scale; left > 0;) {
    const unsigned now = left % 9 == 0 ? 9 : left % 9;  // Before the point the short group comes first.
    uint64_t value = 0;
    if (!group(now, value)) return nullptr;
    end = write_padded(end, value, now);
    left -= now;
  }
  const char* first = digits;
  while (first != end && *first == '0') ++first;
  if (negative) *out++ = '-';
  if (first == end) *out++ = '0';
  std::memcpy(out, first, static_cast<size_t>(end - first));
  out += end - first;
  if (scale == 0) return out;
  *out++ = '.';
  for (unsigned left = scale; left > 0;) {
    const unsigned now = left < 9 ? left : 9;
    uint64_t value = 0;
    if (!group(now, value)) return nullptr;
    out = write_padded(out, value, now);
    left -= now;
  }
  return out;
}

char* write_date(char* out, uint32_t packed) {
  const unsigned year = packed >> 9;
  if (year > 9999) return nullptr;
  return write_ymd(out, year, packed >> 5 & 15, packed & 31);
}

char* write_year(char* out, uint8_t year) { return write_padded(out, year == 0 ? 0 : 1900u + year, 4); }

char* write_time2(char* out, BinlogReader& in, unsigned digits) {
  const size_t extra = fraction_size(digits) * 8;
  const auto biased = static_cast<int64_t>(in.big_endian(3 + extra / 8));
  const int64_t value = biased - (int64_t{0x800000} << extra);
  const auto magnitude = static_cast<uint64_t>(value < 0 ? -value : value);
  const auto whole = static_cast<unsigned>(magnitude >> extra);
  uint64_t fraction = magnitude & ((uint64_t{1} << extra) - 1);
  if (!fit_fraction(fraction, digits)) return nullptr;
  if (value < 0) *out++ = '-';
  out = write_hms(out, whole >> 12 & 1023, whole >> 6 & 63, whole & 63);
  return write_fraction(out, fraction, digits);
}

char* write_datetime2(char* out, BinlogReader& in, unsigned digits) {
  const uint64_t biased = in.big_endian(5);
  uint64_t fraction = in.big_endian(fraction_size(digits));
  constexpr uint64_t kBias = 0x80'0000'0000;
  if (biased < kBias || !fit_fraction(fraction, digits)) return nullptr;
  const uint64_t packed = biased - kBias;
  const auto day_part = static_cast<unsigned>(packed >> 17);
  const unsigned year = (day_part >> 5) / 13;
  if (year > 9999) return nullptr;
  out = write_ymd(out, year, (day_part >> 5) % 13, day_part & 31);
  *out++ = ' ';
  const auto clock = static_cast<unsigned>(packed & 0x1ffff);
  out = write_hms(out, clock >> 12, clock >> 6 & 63, clock & 63);
  return write_fraction(out, fraction, digits);
}

char* write_timestamp2(char* out, BinlogReader& in, unsigned digits) {
  const auto seconds = static_cast<uint32_t>(in.big_endian(4));
  uint64_t fraction = in.big_endian(fraction_size(digits));
  if (!fit_fraction(fraction, digits)) return nullptr;
  return write_epoch(out, seconds, fraction, digits);
}

char* write_time_old(char* out, BinlogReader& in, unsigned digits) {
  if (digits == 0) {
    auto value = static_cast<int32_t>(static_cast<uint32_t>(in.little_endian(3)) << 8) >> 8;
    if (value < 0) {
      *out++ = '-';
      value = -value;
    }
    return write_hms(out, static_cast<unsigned>(value / 10000), static_cast<unsigned>(value / 100 % 100),
                     static_cast<unsigned>(value % 100));
  }
  // Units of 10^-digits seconds, with the least possible time at 0.
  static constexpr uint8_t kSizes[7] = {3, 4, 4, 5, 5, 5, 6};
  constexpr int64_t kTimeSecondsMax = 838 * 3600 + 59 * 60 + 59;
  const auto unit = static_cast<int64_t>(kPowersOfTen[digits]);
  const int64_t value = static_cast<int64_t>(in.big_endian(kSizes[digits])) - (kTimeSecondsMax + 1) * unit;
  const int64_t magnitude = value < 0 ? -value : value;
  const int64_t seconds = magnitude / unit;
  if (seconds > kTimeSecondsMax) return nullptr;
  if (value < 0) *out++ = '-';
  out = write_hms(out, static_cast<unsigned>(seconds / 3600), static_cast<unsigned>(seconds / 60 % 60),
                  static_cast<unsigned>(seconds % 60));
  return write_fraction(out, static_cast<uint64_t>(magnitude % unit), digits);
}

char* write_datetime_old(char* out, BinlogReader& in, unsigned digits) {
  if (digits == 0) {
    const uint64_t value = in.u64();  // YYYYMMDDHHMMSS.
    const uint64_t date = value / 1'000'000;
    const auto clock = static_cast<unsigned>(value % 1'000'000);
    if (date > 99'99'99'99) return nullptr;
    out = write_ymd(out, static_cast<unsigned>(date / 10000), static_cast<unsigned>(date / 100 % 100),
                    static_cast<unsigned>(date % 100));
    *out++ = ' ';
    return write_hms(out, clock / 10000, clock / 100 % 100, clock % 100);
  }
  static constexpr uint8_t kSizes[7] = {5, 6, 6, 7, 7, 7, 8};
  uint64_t value = in.big_endian(kSizes[digits]);
  const auto take = [&](uint64_t base) {
    const uint64_t part = value % base;
    value /= base;
    return static_cast<unsigned>(part);
  };
  const unsigned fraction = take(kPowersOfTen[digits]);
  const unsigned second = take(60);
  const unsigned minute = take(60);
  const unsigned hour = take(24);
  const unsigned day = take(32);
  const unsigned month = take(13);
  if (value > 9999) return nullptr;
  out = write_ymd(out, static_cast<unsigned>(value), month, day);
  *out++ = ' ';
  out = write_hms(out, hour, minute, second);
  return write_fraction(out, fraction, digits);
}

char* write_timestamp_old(char* out, BinlogReader& in, unsigned digits) {
  if (digits == 0) return write_epoch(out, in.u32(), 0, 0);
  const auto seconds = static_cast<uint32_t>(in.big_endian(4));
  const uint64_t fraction = in.big_endian(fraction_size(digits));
  if (fraction >= kPowersOfTen[digits]) return nullptr;
  return write_epoch(out, seconds, fraction, digits);
}

char* write_uuid(char* out, const uint8_t* bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
    *out++ = kHex[bytes[i] >> 4];
    *out++ = kHex[bytes[i] & 15];
  }
  return out;
}

char* write_inet4(char* out, const uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *out++ = '.';
    out = write_unsigned(out, bytes[i]);
  }
  return out;
}

char* write_inet6(char* out, const uint8_t* bytes) {
  unsigned groups[8];
  for (int i = 0; i < 8; ++i) groups[i] = static_cast<unsigned>(bytes[2 * i]) << 8 | bytes[2 * i + 1];
  // The longest run of zero groups, even of one, becomes "::"; the first of equals. So prints MariaDB.
  int run_at = -1;
  int run_size = 0;
  for (int i = 0; i < 8;) {
    int end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i > run_size) {
      run_at = i;
      run_size = end - i;
    }
    i = end == i ? i + 1 : end;
  }
  // Addresses with an IPv4 address inside: ::ffff:a.b.c.d and ::a.b.c.d.
  const bool embedded = run_at == 0 && (run_size == 6 || (run_size == 5 && groups[5] == 0xffff));
  for (int i = 0; i < 8; ++i) {
    if (i == run_at) {
      *out++ = ':';
      *out++ = ':';
      i += run_size - 1;
      continue;
    }
    if (i > 0 && (run_at < 0 || i != run_at + run_size)) *out++ = ':';
    if (embedded && i == 6) return write_inet4(out, bytes + 12);
    out = std::to_chars(out, out + 4, groups[i], 16).ptr;
  }
  return out;
}

}  // namespace vitrail::mysql
