#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "net/mysql_client.h"

// Which server clients are told they talk to: drivers choose variables, collations and statements by it, so it has to
// be the one that answers them.
namespace vitrail::gate {

// Told while no tablet has been asked yet.
inline constexpr std::string_view kUnknownServerVersion = "8.4.6-Vitess";

// What a server whose VERSION() is `version` says in its greeting: MariaDB before 11 puts "5.5.5-" in front.
std::string greeting_version(std::string_view version);

// The greeting of the server behind a tablet's data port.
net::Task<Result<std::string>> ask_greeting_version(net::MysqlClientSettings settings, net::Wait wait);

}  // namespace vitrail::gate
