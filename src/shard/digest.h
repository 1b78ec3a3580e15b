#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::shard {

// Appends the 16 bytes of MD5 to `out`. kInternal when the crypto library refuses (a FIPS configuration does).
Status append_md5(std::string_view data, std::string& out);

// Appends the 8 bytes of xxHash64 with seed 0, least significant first: the order that Vitess stores.
void append_xxhash64(std::string_view data, std::string& out);

}  // namespace vitrail::shard
