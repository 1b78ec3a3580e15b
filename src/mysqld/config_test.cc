#include "mysqld/config.h"

#include <gtest/gtest.h>

namespace vitrail::mysqld {
namespace {

TEST(MyCnf, AnotherServerIdLeavesTheRestAsItIs) {
  EXPECT_EQ(with_server_id("[mysqld]\nserver_id = 7\nport = 3306\n", 9), "[mysqld]\nserver_id = 9\nport = 3306\n");
  EXPECT_EQ(with_server_id("# mine\n[mysqld]\n  Server-Id=7", 9), "# mine\n[mysqld]\nServer-Id = 9\n");
  EXPECT_EQ(with_server_id("[mysqld]\nport = 1\n", 9), "[mysqld]\nport = 1\n[mysqld]\nserver_id = 9\n");
  // The last value wins, so all of them change.
  const std::string twice = with_server_id(
      "[mysqld]\nserver_id = 7\n[mariadbd]\nserver_id = 8\ndatadir=/d\nsocket=/s\n"
      "pid-file=/p\n",
      9);
  const auto cnf = parse_my_cnf(twice);
  ASSERT_TRUE(cnf.ok());
  EXPECT_EQ(cnf->server_id, 9u);
}

}  // namespace
}  // namespace vitrail::mysqld
