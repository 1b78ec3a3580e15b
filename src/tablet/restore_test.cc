#include "tablet/restore.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace vitrail::tablet {
namespace {

TEST(Restore, IsNothingUnlessThereIsABackupAndNoData) {
  std::string pattern = (std::filesystem::temp_directory_path() / "restore_test_XXXXXX").string();
  const std::filesystem::path root = ::mkdtemp(pattern.data());
  const std::filesystem::path shard = root / "ks" / "-80";
  EXPECT_EQ(find_backups(shard), std::vector<std::string>());
  EXPECT_TRUE(check_restore(shard, false).ok());
  std::filesystem::create_directories(shard / "2026-01-02.150405.zone1-0000000100");
  EXPECT_TRUE(check_restore(shard, false).ok());  // Begun, and never finished.
  std::ofstream(shard / "2026-01-02.150405.zone1-0000000100" / "MANIFEST") << "{}";
  std::filesystem::create_directories(shard / "2026-01-01.150405.zone1-0000000100");
  std::ofstream(shard / "2026-01-01.150405.zone1-0000000100" / "MANIFEST") << "{}";
  EXPECT_EQ(find_backups(shard),
            (std::vector<std::string>{"2026-01-01.150405.zone1-0000000100", "2026-01-02.150405.zone1-0000000100"}));
  EXPECT_TRUE(check_restore(shard, true).ok());
  const Status refused = check_restore(shard, false);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUnimplemented);
  EXPECT_NE(refused.error().message().find("/ks/-80/2026-01-02.150405.zone1-0000000100,"), std::string::npos);
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace vitrail::tablet
