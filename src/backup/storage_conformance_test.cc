// What every storage of backups does.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "backup/file_storage.h"
#include "backup/memory_storage_for_test.h"
#include "backup/s3_storage.h"
#include "base/file.h"

namespace vitrail::backup {
namespace {

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Storage>(const std::string& folder)> make;
};

class StorageConformance : public ::testing::TestWithParam<Kind> {
 protected:
  StorageConformance() {
    std::string pattern = (std::filesystem::temp_directory_path() / "storage_test_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    storage_ = GetParam().make(folder_ + "/not/there/yet");
  }
  ~StorageConformance() override { EXPECT_TRUE(base::remove_tree(folder_).ok()); }

  void put(const Place& place, const std::string& file, std::string_view bytes) {
    auto writer = storage_->create(place, file);
    ASSERT_TRUE(writer.ok()) << writer.error().message();
    ASSERT_TRUE((*writer)->write(bytes).ok());
    ASSERT_TRUE((*writer)->commit().ok());
  }
  std::string get(const Place& place, const std::string& file) {
    auto reader = storage_->open(place, file);
    if (!reader.ok()) return reader.error().to_string().substr(0, reader.error().to_string().find(':'));
    std::string out, chunk(3, 0);
    for (;;) {
      const auto got = (*reader)->read(chunk);
      if (!got.ok() || *got == 0) return out;
      out.append(chunk, 0, *got);
    }
  }
  std::vector<std::string> list(const std::string& shard) {
    auto names = storage_->list(shard);
    return names.ok() ? *names : std::vector<std::string>{names.error().message()};
  }

  std::string folder_;
  std::unique_ptr<Storage> storage_;
  const Place a_{"ks/0", "a"}, b_{"ks/0", "b"}, other_{"ks/-80", "c"};
};

TEST_P(StorageConformance, IsEmptyAtFirst) {
  EXPECT_TRUE(list("ks/0").empty());
  EXPECT_EQ(get(a_, "x"), "NOT_FOUND");
  EXPECT_EQ(storage_->size(a_, "x").error().code(), Code::kNotFound);
  EXPECT_EQ(storage_->remove(a_).error().code(), Code::kNotFound);
}

TEST_P(StorageConformance, KeepsWhatWasCommitted) {
  put(b_, "x", "bytes of b");
  put(a_, "x", "bytes of a");
  put(a_, "empty", "");
  put(other_, "x", "elsewhere");
  EXPECT_EQ(list("ks/0"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(list("ks/-80"), (std::vector<std::string>{"c"}));
  EXPECT_EQ(get(a_, "x"), "bytes of a");
  EXPECT_EQ(get(a_, "empty"), "");
  EXPECT_EQ(*storage_->size(b_, "x"), 10u);
}

TEST_P(StorageConformance, ShowsNothingThatWasNotCommitted) {
  {
    auto writer = storage_->create(a_, "x");
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->write("half").ok());
    EXPECT_EQ(get(a_, "x"), "NOT_FOUND");
  }
  EXPECT_EQ(get(a_, "x"), "NOT_FOUND");
}

TEST_P(StorageConformance, ReplacesAFileAtItsCommit) {
  put(a_, "x", "old");
  {
    auto writer = storage_->create(a_, "x");
    ASSERT_TRUE((*writer)->write("new").ok());
    EXPECT_EQ(get(a_, "x"), "old");
  }
  EXPECT_EQ(get(a_, "x"), "old");
  put(a_, "x", "newer");
  EXPECT_EQ(get(a_, "x"), "newer");
}

TEST_P(StorageConformance, RemovesOneBackupOnly) {
  put(a_, "MANIFEST", "{}");
  put(a_, "0", "part");
  put(b_, "0", "part");
  ASSERT_TRUE(storage_->remove(a_).ok());
  EXPECT_EQ(list("ks/0"), (std::vector<std::string>{"b"}));
  EXPECT_EQ(get(b_, "0"), "part");
}

TEST_P(StorageConformance, RefusesNamesThatLeadElsewhere) {
  for (const Place& place : {Place{"ks/0", ".."}, Place{"ks/0", ""}, Place{"ks/0", "a/b"}, Place{"ks", "a"},
                             Place{"../0", "a"}, Place{"ks/0/x", "a"}, Place{"/0", "a"}}) {
    EXPECT_EQ(storage_->create(place, "x").error().code(), Code::kInvalidArgument) << place.to_string();
    EXPECT_EQ(storage_->open(place, "x").error().code(), Code::kInvalidArgument) << place.to_string();
    EXPECT_EQ(storage_->remove(place).error().code(), Code::kInvalidArgument) << place.to_string();
  }
}

TEST_P(StorageConformance, KeepsLongFilesWhole) {
  std::string bytes;
  while (bytes.size() < (13u << 20)) bytes += "long " + std::to_string(bytes.size());
  auto writer = storage_->create(a_, "x");
  ASSERT_TRUE(writer.ok());
  for (size_t at = 0; at < bytes.size(); at += 1'000'000) {
    ASSERT_TRUE((*writer)->write(std::string_view(bytes).substr(at, 1'000'000)).ok());
  }
  EXPECT_EQ(get(a_, "x"), "NOT_FOUND");
  ASSERT_TRUE((*writer)->commit().ok());
  EXPECT_EQ(*storage_->size(a_, "x"), bytes.size());
  auto reader = storage_->open(a_, "x");
  ASSERT_TRUE(reader.ok());
  std::string back, chunk(1 << 20, 0);
  for (;;) {
    const auto got = (*reader)->read(chunk);
    ASSERT_TRUE(got.ok()) << got.error().message();
    if (*got == 0) break;
    back.append(chunk, 0, *got);
  }
  EXPECT_TRUE(back == bytes);
}

// A server for tests/e2e/backup_s3.py: its address and a bucket.
std::vector<Kind> kinds_by_environment() {
  const char* endpoint = std::getenv("VITRAIL_S3_ENDPOINT");
  if (endpoint == nullptr) return {};
  return {Kind{"s3", [endpoint](const std::string& folder) -> std::unique_ptr<Storage> {
                 S3Options options;
                 options.endpoint = endpoint;
                 options.bucket = std::getenv("VITRAIL_S3_BUCKET");
                 options.root = folder;
                 options.force_path_style = true;
                 auto storage = S3Storage::open(options);
                 EXPECT_TRUE(storage.ok()) << storage.error().message();
                 return storage.ok() ? std::move(*storage) : nullptr;
               }}};
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StorageConformance);
INSTANTIATE_TEST_SUITE_P(ByEnvironment, StorageConformance, ::testing::ValuesIn(kinds_by_environment()),
                         [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(All, StorageConformance,
                         ::testing::Values(Kind{"file",
                                                [](const std::string& folder) -> std::unique_ptr<Storage> {
                                                  return std::make_unique<FileStorage>(folder);
                                                }},
                                           Kind{"memory",
                                                [](const std::string&) -> std::unique_ptr<Storage> {
                                                  return std::make_unique<MemoryStorage>();
                                                }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vitrail::backup
