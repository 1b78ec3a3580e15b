#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitrail::gate {

// The variables that hints SET_VAR(name = value) of a statement set for its time, in their order: name in lower case
// and SQL text of the value. MySQL obeys them, MariaDB does not know them; here they hold on either.
std::vector<std::pair<std::string, std::string>> set_var_hints(std::string_view statement);

}  // namespace vitrail::gate
