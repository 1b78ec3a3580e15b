#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace vitrail::gate {

// What the comments /*vt+ NAME=value NAME */ of a statement ask of the router (docs/users/directives.md).
struct Directives {
  std::optional<std::chrono::milliseconds> query_timeout;  // In the place of the session's and the flag's; 0: none.
  bool multi_shard_autocommit = false;      // A change over several shards is no transaction: each commits by itself.
  bool scatter_errors_as_warnings = false;  // A SELECT over several shards answers with what those have that can.
  bool ignore_max_memory_rows = false;
  bool allow_scatter = false;  // In spite of --no-scatter.
  bool skip_plan_cache = false;

  bool operator==(const Directives&) const = default;
};

// Names in any case; of several with one name the last one holds. Unknown names mean nothing.
//   kInvalidArgument  a value that the directive does not take.
Result<Directives> directives_of(std::string_view statement);

}  // namespace vitrail::gate
