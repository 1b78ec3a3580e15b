#pragma once

// The built-in vindex types, one source file each. Only for vindex.cc and those files.

#include <memory>
#include <string_view>

#include "base/result.h"
#include "shard/vindex.h"

namespace vitrail::shard {

#define VITRAIL_VINDEX_FACTORY(function) \
  Result<std::unique_ptr<Vindex>> function(std::string_view name, ParameterReader& parameters)

VITRAIL_VINDEX_FACTORY(make_binary);
VITRAIL_VINDEX_FACTORY(make_binary_md5);
VITRAIL_VINDEX_FACTORY(make_cfc);
VITRAIL_VINDEX_FACTORY(make_hash);
VITRAIL_VINDEX_FACTORY(make_multicol);
VITRAIL_VINDEX_FACTORY(make_null);
VITRAIL_VINDEX_FACTORY(make_numeric);
VITRAIL_VINDEX_FACTORY(make_numeric_static_map);
VITRAIL_VINDEX_FACTORY(make_region_experimental);
VITRAIL_VINDEX_FACTORY(make_region_json);
VITRAIL_VINDEX_FACTORY(make_reverse_bits);
VITRAIL_VINDEX_FACTORY(make_unicode_loose_md5);
VITRAIL_VINDEX_FACTORY(make_unicode_loose_xxhash);
VITRAIL_VINDEX_FACTORY(make_xxhash);

#undef VITRAIL_VINDEX_FACTORY

}  // namespace vitrail::shard
