#pragma once

// What the two vindexes with a region prefix share.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "shard/vindex.h"

namespace vitrail::shard {

// Parameter region_bytes: 1 or 2.
Result<size_t> region_bytes_parameter(std::string_view type, ParameterReader& parameters);
// The low `bytes` bytes of the region, big-endian.
void append_region(uint64_t region, size_t bytes, std::string& out);
// The eight bytes of vindex hash.
void append_hash(uint64_t value, std::string& out);

}  // namespace vitrail::shard
