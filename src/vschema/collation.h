#pragma once

#include <map>
#include <string>
#include <vector>

#include "vschema.pb.h"

namespace vitrail::vschema {

// By table, then column, lower case: its collation; columns without one are left out.
using Collations = std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>>;

// Vindexes of bytes over columns whose collations take different bytes for equal: such values are on different shards,
// though they are equal. Sorted; for operators.
std::vector<std::string> find_collation_warnings(std::string_view name, const ::vschema::Keyspace& record,
                                                 const Collations& collations);

}  // namespace vitrail::vschema
