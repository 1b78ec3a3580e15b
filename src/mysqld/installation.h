#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "mysqld/flavor.h"

namespace vitrail::mysqld {

// The programs of one installed server. Absolute paths.
struct Installation {
  ServerVersion version;
  std::string base_directory;  // Of a relocated installation (VT_MYSQL_ROOT); "" for the system's own.
  std::string server;          // mariadbd or mysqld.
  std::string safe;            // mariadbd-safe or mysqld_safe; "" when not installed.
  std::string install_db;      // mariadb-install-db; "" for MySQL, whose server initialises itself.
  std::string client;          // mariadb or mysql; "" when not installed.

  // The client, or kNotFound with the package that has it.
  Result<std::string> require_client() const;
};

// Finds the server and asks it for its version (it runs `<server> --version`).
//
// With `root` (VT_MYSQL_ROOT) only bin, sbin, libexec and scripts below it are searched. Otherwise the folders of
// `path` (PATH), then the usual places outside of an ordinary user's PATH. In each folder mariadbd comes before mysqld.
//
//   kNotFound            nothing found; the message says what to install.
//   kFailedPrecondition  found, but it does not run or does not tell a version.
//   kUnimplemented       too old.
Result<Installation> find_installation(std::string_view root, std::string_view path);
// With VT_MYSQL_ROOT and PATH of this process.
Result<Installation> find_installation();

}  // namespace vitrail::mysqld
