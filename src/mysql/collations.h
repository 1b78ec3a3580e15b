#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace vitrail::mysql {

// One collation that MySQL 8 or MariaDB 10.11 knows.
struct Collation {
  uint16_t id;
  std::string_view name;
  std::string_view charset;
  uint8_t max_bytes;  // Of one character.
  bool is_default;    // Of its character set.
};

// Null if unknown. The returned objects live as long as the process.
const Collation* find_collation(uint16_t id);
// Case-insensitive; "utf8_..." names are those of utf8mb3.
const Collation* find_collation(std::string_view name);
// The default collation of a character set; case-insensitive; "utf8" means utf8mb3. For utf8mb4 this is
// utf8mb4_general_ci (45), which both flavors know; MySQL 8's own default is kUtf8mb4Mysql8Default.
const Collation* default_collation(std::string_view charset);
// Whether each byte 0x5c of a text in this character set is a backslash. In big5, cp932, gb18030, gbk and sjis it can
// be the second byte of a character, and in ucs2, utf16, utf16le and utf32 any byte: a reader of statements that goes
// by bytes would find the ends of strings where the server does not. Case-insensitive; true for names that no server
// knows.
bool backslash_safe(std::string_view charset);
// Whether clients may send statements in this character set (at the login, or by SET NAMES, SET CHARACTER SET,
// SET character_set_client).
//   kInvalidArgument, errno 1231: not backslash_safe().
Status check_client_charset(std::string_view charset);
inline constexpr uint16_t kUtf8mb4GeneralCi = 45;
inline constexpr uint16_t kUtf8mb4Mysql8Default = 255;

}  // namespace vitrail::mysql
