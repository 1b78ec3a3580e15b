#pragma once

#include <cstddef>
#include <cstdint>

#include "mysql/binlog_reader.h"

// Text forms of single column values, as a server's text result set shows them. Everything writes to `out` and returns
// the end; the constants say how much room that needs. nullptr for bytes that no server writes.
//
// Sources: MySQL internals manual, "Date and Time Data Type Representation" and the DECIMAL storage format of the
// reference manual; MariaDB's older temporal formats (mysql56_temporal_format=OFF) by observation of a server.
namespace vitrail::mysql {

inline constexpr size_t kIntegerTextMax = 20;
inline constexpr size_t kFloatTextMax = 32;
inline constexpr size_t kFixedFloatTextMax = 352;  // write_fixed_double with at most 38 digits.
inline constexpr size_t kDecimalTextMax = 70;
inline constexpr size_t kTemporalTextMax = 32;
inline constexpr size_t kUuidTextMax = 36;
inline constexpr size_t kInet6TextMax = 46;

char* write_unsigned(char* out, uint64_t value);
char* write_signed(char* out, int64_t value);
// At least `width` digits.
char* write_padded(char* out, uint64_t value, unsigned width);

// The fewest digits that read back as the same number, in the server's notation: plain up to 15 digits before the point
// and from 1e-14 on, otherwise "1.5e20". nullptr for infinities and NaN.
// For float this is more exact than a SELECT, which shows 6 digits only.
char* write_double(char* out, double value);
char* write_float(char* out, float value);
// DOUBLE(m, digits); digits <= 38.
char* write_fixed_double(char* out, double value, unsigned digits);

// DECIMAL(precision, scale), precision 1..65, scale <= precision. Reads decimal_size() bytes.
size_t decimal_size(unsigned precision, unsigned scale);
char* write_decimal(char* out, BinlogBytes bytes, unsigned precision, unsigned scale);

char* write_date(char* out, uint32_t packed);  // 3 bytes.
char* write_year(char* out, uint8_t year);

// Bytes of a fraction of 0 to 6 digits in the formats of MySQL 5.6 and later, and the number read from them.
inline constexpr size_t fraction_size(unsigned digits) { return (digits + 1) / 2; }
char* write_time2(char* out, BinlogReader& in, unsigned digits);
char* write_datetime2(char* out, BinlogReader& in, unsigned digits);
char* write_timestamp2(char* out, BinlogReader& in, unsigned digits);

// The formats before MySQL 5.6 (digits = 0), and MariaDB's with digits.
char* write_time_old(char* out, BinlogReader& in, unsigned digits);
char* write_datetime_old(char* out, BinlogReader& in, unsigned digits);
char* write_timestamp_old(char* out, BinlogReader& in, unsigned digits);

// 16 bytes in network order.
char* write_uuid(char* out, const uint8_t* bytes);
char* write_inet6(char* out, const uint8_t* bytes);
char* write_inet4(char* out, const uint8_t* bytes);

}  // namespace vitrail::mysql
