#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "net/mysql_client.h"
#include "plan/plan.h"

namespace vitrail::gate {

// Puts keyspaces in the place of databases in a result: in the schema that its columns say they are from and, where
// `names` is not empty, in cells that are names of databases, in `CREATE DATABASE`, and in the heading "Tables_in_...".
void show_names(const plan::ShownName& names, const std::map<std::string, std::string, std::less<>>& databases,
                net::QueryResult& result);

// SHOW VARIABLES of a session, some of which the gate holds. `text`: of any SHOW.
bool shows_session_variables(std::string_view text);

}  // namespace vitrail::gate
