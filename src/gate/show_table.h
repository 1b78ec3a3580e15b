#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/mysql_client.h"

namespace vitrail::gate {

// An answer of text columns, as SHOW gives it.
using ShownRows = std::vector<std::vector<std::optional<std::string>>>;
net::QueryResult table_of(std::vector<std::string> names, ShownRows rows);

}  // namespace vitrail::gate
