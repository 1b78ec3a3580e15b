#pragma once

#include <string>
#include <string_view>

namespace vitrail::mysqld {

// A statement "set @@session.tx_isolation = ..., @@session.x = ..." as a server that greets with `server_version` takes
// it: MySQL calls these variables transaction_isolation and transaction_read_only. Values are left alone.
std::string settings_for_server(std::string_view statement, std::string_view server_version);

}  // namespace vitrail::mysqld
