#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vitrail::control {

// A CREATE TABLE of one kind of server for the other: each collation that only MySQL has (utf8mb4_0900_ai_ci) becomes
// the one of MariaDB that orders by the same rules for its language, and the other way round. They follow different
// versions of Unicode: characters that the older one does not know are ordered differently. nullopt: nothing changes,
// or a collation has no counterpart.
std::optional<std::string> with_other_collations(std::string_view create);

}  // namespace vitrail::control
