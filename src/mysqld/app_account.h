#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysqld/flavor.h"
#include "mysqld/rows.h"

// The rights of the account that runs the statements of applications (vt_app): everything in its keyspace's database,
// nothing anywhere else.
namespace vitrail::mysqld {

struct Account {
  std::string user;
  std::string host;
  std::string to_string() const;  // 'vt_app'@'localhost'
  friend bool operator==(const Account&, const Account&) = default;
};

// What CURRENT_USER() says: "vt_app@localhost". kInternal when there is no '@'.
Result<Account> parse_account(std::string_view current_user);

std::string show_grants_query(const Account& account);

struct AppRights {
  std::string database;
  bool files = false;            // FILE, which there is for the whole server only.
  bool names_literally = false;  // MySQL's partial_revokes: '_' and '%' in the name of a database mean themselves.
};

// The statements that give `account` these rights and take away what it has on the whole server, in order; none when
// all is as it should be. `grants` are the rows of show_grants_query(). Rights on other databases stay: other keyspaces
// may live on the same server. Run them with sql_log_bin = 0.
std::vector<std::string> app_rights_statements(FlavorKind flavor, const Account& account, const AppRights& rights,
                                               const Rows& grants);

}  // namespace vitrail::mysqld
