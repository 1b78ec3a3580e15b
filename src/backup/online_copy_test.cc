#include "backup/logical_copy.h"
#include "backup/online_copy.h"

#include <gtest/gtest.h>

namespace vitrail::backup {
namespace {

TEST(OnlineCopy, KnowsWhereFilesBelong) {
  struct Case {
    std::string_view name, base;
  };
  for (const auto& [name, base] : {Case{"ibdata1", "InnoDBData"},
                                   {"ib_logfile0", "InnoDBData"},
                                   {"undo001", "InnoDBData"},
                                   {"vt_commerce/t.ibd", "Data"},
                                   {"vt_commerce/undo.ibd", "Data"},
                                   {"aria_log.00000001", "Data"},
                                   {"xtrabackup_checkpoints", ""},
                                   {"backup-my.cnf", ""},
                                   {"ib_buffer_pool", ""}}) {
    EXPECT_EQ(base_of_copied(name), base) << name;
  }
}

TEST(OnlineCopy, ReadsThePosition) {
  EXPECT_EQ(parse_binlog_info("bin.000002\t829\t0-100-7,1-2-3\n").value_or(""), "0-100-7,1-2-3");
  for (const std::string_view text : {"", "bin.000002\t829", "bin.000002\t829\t\n"}) {
    EXPECT_EQ(parse_binlog_info(text).error().code(), Code::kDataLoss) << text;
  }
}

TEST(LogicalCopy, ReadsThePosition) {
  EXPECT_EQ(parse_dump_position("INSERT INTO `t` VALUES ('\\n-- SET GLOBAL gtid_slave_pos=');\n\n"
                                "-- Preferably use GTID to start replication from GTID position:\n\n"
                                "-- SET GLOBAL gtid_slave_pos='0-1-3,7-2-4';\n-- Dump completed\n")
                .value_or(""),
            "0-1-3,7-2-4");
  for (const std::string_view text : {"", "\n-- SET GLOBAL gtid_slave_pos='';", "\n-- SET GLOBAL gtid_slave_pos='0-1-3",
                                      "-- SET GLOBAL gtid_slave_pos"}) {
    EXPECT_EQ(parse_dump_position(text).error().code(), Code::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace vitrail::backup
