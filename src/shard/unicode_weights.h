#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrail::shard {

// Appends the primary collation weights of a UTF-8 text: equal for texts that differ only in case, accents and width,
// or in trailing blanks. The weights are those of the root collation of CLDR 23 (UCA 6.2.0) in the byte form that
// Vitess hashes: two bytes each, big-endian, or three with the top bit set.
//   kInvalidArgument  not UTF-8.
// Known difference: Tibetan vowel signs mixed with viramas of other scripts in an order that no text has.
Status append_primary_weights(std::string_view text, std::string& out);

}  // namespace vitrail::shard
