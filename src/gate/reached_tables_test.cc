#include "gate/reached_tables.h"

#include <gtest/gtest.h>

namespace vitrail::gate {
namespace {

TEST(ReachedTables, AnErrorTellsWhetherAnEngineHeardOfTheStatement) {
  // Statements on MariaDB 10.11 with autocommit = 0, and @@in_transaction behind them.
  struct Case {
    uint16_t code;
    bool ahead;
    const char* statement;
  };
  for (const Case& one : {
           Case{1064, true, "selct"},
           Case{1146, true, "select * from nosuch"},
           Case{1049, true, "select * from nosuch.t"},
           Case{1792, true, "insert into t values (1, 1), with tx_read_only = 1"},
           Case{1109, true, "handler t read first, which is not open"},
           Case{1305, false, "select nosuch(1) from t"},
           Case{1066, true, "select * from t a join t a"},
           Case{1054, false, "select nosuch from t"},
           Case{1062, false, "insert into t values (1, 1), which is there"},
           Case{1136, false, "insert into t values (1)"},
           Case{1242, false, "select * from t where id = (select id from t)"},
           Case{1205, false, "update t set v = 1, which another one has locked"},
           Case{1366, false, "insert into t values (9, 'x')"},
           Case{0, false, "an error of the gate's own"},
       }) {
    EXPECT_EQ(failed_ahead_of_tables(one.code), one.ahead) << one.statement;
  }
}

TEST(ReachedTables, ChecksumIsOneOfItsKindThatEndsNoTransaction) {
  EXPECT_TRUE(is_checksum("checksum table t"));
  EXPECT_TRUE(is_checksum(" /* c */ CHECKSUM TABLE t"));
  EXPECT_FALSE(is_checksum("analyze table t"));
}

}  // namespace
}  // namespace vitrail::gate
