#include "mysqld/app_account.h"

#include <gtest/gtest.h>

namespace vitrail::mysqld {
namespace {

const Account kApp{"vt_app", "localhost"};
const std::string kOn = " ON `vt\\_ks`.* TO 'vt_app'@'localhost'";
const std::string kRevoke = "REVOKE ALL PRIVILEGES ON *.* FROM 'vt_app'@'localhost'";
const std::string kFile = "GRANT FILE ON *.* TO 'vt_app'@'localhost'";
const std::string kAll =
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, LOCK TABLES, EXECUTE, CREATE TEMPORARY "
    "TABLES, SHOW VIEW, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, TRIGGER, EVENT";

using Strings = std::vector<std::string>;

Strings statements(const Strings& grants, AppRights rights = {.database = "vt_ks"},
                   FlavorKind flavor = FlavorKind::kMySql) {
  Rows rows{.columns = {"Grants for vt_app@localhost"}, .rows = {}};
  for (const auto& grant : grants) rows.rows.push_back({grant});
  return app_rights_statements(flavor, kApp, rights, rows);
}

TEST(AppAccount, ReadsItsName) {
  EXPECT_EQ(parse_account("a@b@%").value(), (Account{"a@b", "%"}));
  EXPECT_FALSE(parse_account("root").ok());
  EXPECT_EQ(show_grants_query({"o'x", "%"}), "SHOW GRANTS FOR 'o''x'@'%'");
}

TEST(AppAccount, GetsItsDatabaseAndNothingElse) {
  const std::string usage = "GRANT USAGE ON *.* TO `vt_app`@`localhost`";
  const std::string own = "GRANT " + kAll + " ON `vt\\_ks`.* TO `vt_app`@`localhost`";
  const Strings nothing;
  EXPECT_EQ(statements({usage}), Strings{"GRANT " + kAll + kOn});
  EXPECT_EQ(statements({usage, own}), nothing);
  EXPECT_EQ(statements({usage, "GRANT ALL PRIVILEGES ON `vt\\_ks`.* TO `vt_app`@`localhost`"}), nothing);
  // Another keyspace's database does not count, and stays.
  EXPECT_EQ(statements({usage, "GRANT ALL PRIVILEGES ON `vt\\_other`.* TO `vt_app`@`localhost`"}),
            Strings{"GRANT " + kAll + kOn});
  EXPECT_EQ(statements({usage, "GRANT SELECT ON `vt\\_ks`.* TO `vt_app`@`localhost`"}), Strings{"GRANT " + kAll + kOn});
  // A cluster from before.
  EXPECT_EQ(statements({"GRANT SELECT, INSERT, RELOAD ON *.* TO `vt_app`@`localhost`"}),
            (Strings{"GRANT " + kAll + kOn, kRevoke}));
  EXPECT_EQ(statements({"GRANT ALL PRIVILEGES ON *.* TO `vt_app`@`localhost` WITH GRANT OPTION", own}),
            (Strings{kRevoke, "REVOKE GRANT OPTION ON *.* FROM 'vt_app'@'localhost'"}));
  EXPECT_EQ(statements({usage, "GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO `vt_app`@`localhost`", own}), Strings{kRevoke});
  // Roles and proxies are the operator's.
  EXPECT_EQ(statements({usage, own, "GRANT `r`@`%` TO `vt_app`@`localhost`"}), nothing);
}

TEST(AppAccount, MayHaveFiles) {
  const AppRights rights{.database = "vt_ks", .files = true};
  const std::string own = "GRANT ALL PRIVILEGES ON `vt\\_ks`.* TO `vt_app`@`localhost`";
  EXPECT_EQ(statements({"GRANT FILE ON *.* TO `vt_app`@`localhost`", own}, rights), Strings{});
  EXPECT_EQ(statements({"GRANT USAGE ON *.* TO `vt_app`@`localhost`", own}, rights), Strings{kFile});
  EXPECT_EQ(statements({"GRANT FILE, RELOAD ON *.* TO `vt_app`@`localhost`", own}, rights), (Strings{kRevoke, kFile}));
  EXPECT_EQ(statements({"GRANT FILE ON *.* TO `vt_app`@`localhost`", own}), Strings{kRevoke});
}

TEST(AppAccount, TakesNamesAsTheServerDoes) {
  const auto plain = statements({}, {.database = "vt_ks", .names_literally = true});
  ASSERT_EQ(plain.size(), 1u);
  EXPECT_NE(plain[0].find(" ON `vt_ks`.* "), std::string::npos);
  const auto mariadb = statements({}, {.database = "a`b"}, FlavorKind::kMariaDb);
  ASSERT_EQ(mariadb.size(), 1u);
  EXPECT_NE(mariadb[0].find(", DELETE HISTORY ON `a``b`.* "), std::string::npos);
}

}  // namespace
}  // namespace vitrail::mysqld
