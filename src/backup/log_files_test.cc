#include "backup/log_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"

namespace vitrail::backup {
namespace {

mysql::Position at(const std::string& text) { return *mysql::Position::parse("MariaDB/" + text); }

// The number of the first log, or what is wrong.
std::string first(std::vector<std::string> starts, const std::string& from) {
  std::vector<mysql::Position> positions;
  for (const auto& start : starts) positions.push_back(at(start));
  const auto index = first_log_needed(positions, at(from));
  return index.ok() ? std::to_string(*index) : index.error().message();
}

TEST(LogFiles, AreThoseFromThePositionOn) {
  EXPECT_EQ(first({"", "0-1-10", "0-1-20", "0-1-30"}, "0-1-15"), "1");
  EXPECT_EQ(first({"", "0-1-10", "0-1-20", "0-1-30"}, "0-1-20"), "2");
  EXPECT_EQ(first({"", "0-1-10", "0-1-20", "0-1-30"}, "0-1-5"), "0");
  EXPECT_EQ(first({"0-1-10", "0-1-20"}, "0-1-20"), "1");  // Nothing new.
  EXPECT_EQ(first({"0-1-10", "0-1-20,1-1-1"}, "0-1-20"), "0");
  // Rotated without a transaction: from the last one that begins there.
  EXPECT_EQ(first({"0-1-10", "0-1-10", "0-1-20"}, "0-1-10"), "1");
}

TEST(LogFiles, SayWhyTheyDoNotHaveIt) {
  EXPECT_EQ(
      first({"0-1-10", "0-1-20"}, "0-1-9"),
      "the server's binary logs begin at MariaDB/0-1-10, and do not reach back to MariaDB/0-1-9: take a full backup");
  EXPECT_EQ(first({"0-1-10", "0-1-20"}, "0-1-21"),
            "the server is at MariaDB/0-1-20, and has not come to MariaDB/0-1-21");
  EXPECT_EQ(first({"0-1-10", "0-1-20"}, "0-1-15,7-1-1"),
            "the server is at MariaDB/0-1-20, and has not come to MariaDB/0-1-15,7-1-1");
  EXPECT_EQ(first({}, "0-1-1"), "the server has no binary logs");
}

TEST(LogFiles, DamagedOnesAreErrors) {
  std::string pattern = (std::filesystem::temp_directory_path() / "log_files_test_XXXXXX").string();
  const std::string folder = ::mkdtemp(pattern.data());
  const std::string magic =
      "\xfe"
      "bin";
  const std::string texts[] = {"",
                               "no",
                               "no binary log",
                               magic,
                               magic + "short",
                               magic + std::string(19, '\0'),
                               magic + std::string(200, '\xff')};
  for (const std::string& text : texts) {
    ASSERT_TRUE(base::write_file_atomically(folder + "/log", text).ok());
    const auto start = log_start(folder + "/log");
    ASSERT_FALSE(start.ok()) << text.size();
    EXPECT_EQ(start.error().code(), Code::kDataLoss) << start.error().message();
  }
  EXPECT_EQ(log_start(folder + "/none").error().code(), Code::kNotFound);
  EXPECT_TRUE(base::remove_tree(folder).ok());
}

}  // namespace
}  // namespace vitrail::backup
