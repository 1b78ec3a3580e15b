#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "backup/catalog.h"
#include "backup/checksum.h"
#include "backup/memory_storage_for_test.h"
#include "backup/server_files.h"
#include "backup/transfer.h"
#include "base/file.h"

namespace vitrail::backup {
namespace {

class Backups : public ::testing::Test {
 protected:
  Backups() {
    std::string pattern = (std::filesystem::temp_directory_path() / "backup_test_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    layout_.root = folder_ + "/vt";
    for (const auto& folder : layout_.folders()) EXPECT_TRUE(base::make_directories(folder).ok());
    put("data/mysql/user.MAD", "accounts");
    put("data/vt_ks/t.ibd", random_text(300'000));
    put("data/vt_ks/db.opt", "");
    EXPECT_TRUE(base::make_directories(layout_.data() + "/empty_db").ok());
    put("innodb/ibdata1", std::string(100'000, 'x'));
    // As long as several of zstd's buffers, to the byte: its last output fills one.
    for (const size_t buffers : {1, 2, 4})
      put("innodb/undo" + std::to_string(buffers), std::string(buffers << 17, 'u'));
    for (const char* left_out : {"data/auto.cnf", "data/master.info", "data/a.pid", "innodb/ibtmp1", "bin-logs/b.1"}) {
      put(left_out, "of the place");
    }
  }
  ~Backups() override { EXPECT_TRUE(base::remove_tree(folder_).ok()); }

  static std::string random_text(size_t bytes) {
    std::mt19937 random(7);
    std::string out(bytes, 0);
    for (char& c : out) c = static_cast<char>(random());
    return out;
  }
  void put(const std::string& name, const std::string& bytes) {
    const std::string path = layout_.root + "/" + name;
    ASSERT_TRUE(base::make_directories(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(base::write_file_atomically(path, bytes).ok());
  }
  std::string get(const std::string& name) {
    auto text = base::read_file(layout_.root + "/" + name);
    return text.ok() ? *text : "(nothing)";
  }
  Manifest store(const Place& place, TransferOptions options = {.piece_bytes = 64 << 10}) {
    Progress progress;
    auto files = list_server_files(layout_);
    EXPECT_TRUE(files.ok());
    Manifest manifest;
    manifest.backup_method = "builtin";
    manifest.position = "MariaDB/0-1-5";
    manifest.compressed = options.compress;
    manifest.directories = files->directories;
    auto parts = store_files(storage_, place, files->files, options, progress);
    EXPECT_TRUE(parts.ok()) << parts.error().message();
    manifest.parts = *parts;
    EXPECT_EQ(progress.done, progress.total);
    EXPECT_TRUE(write_manifest(storage_, place, manifest).ok());
    return manifest;
  }
  Status restore(const Place& place, const Manifest& manifest) {
    Progress progress;
    const Staging staging = staging_of(layout_);
    return restore_parts(storage_, place, manifest, base_folders(staging.data(), staging.innodb()), {}, progress);
  }

  std::string folder_;
  mysqld::Layout layout_;
  MemoryStorage storage_;
  const Place place_{"ks/0", "2026-01-02.150405.zone1-0000000100"};
};

TEST(Crc32c, IsTheOneOfTheStandard) {
  Crc32c sum;
  sum.add("1234");
  sum.add("56789");
  EXPECT_EQ(sum.to_hex(), "e3069283");  // RFC 3720's check value.
  Crc32c zeros;
  zeros.add(std::string(32, 0));
  EXPECT_EQ(zeros.to_hex(), "8a9136aa");
}

TEST_F(Backups, AreRestoredAsTheyWere) {
  for (const uint64_t piece_bytes : {64ull << 10, 100'000ull, 1ull << 30, 1ull << 31}) {
    const bool compress = piece_bytes < 1ull << 31;
    const Manifest manifest = store(place_, {.compress = compress, .piece_bytes = piece_bytes});
    EXPECT_EQ(manifest.parts.size() > 10, piece_bytes < 1ull << 30);  // Long files are cut.
    auto read = read_manifest(storage_, place_);
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_EQ(read->parts, manifest.parts);
    ASSERT_TRUE(check_parts(storage_, place_, *read).ok());
    ASSERT_TRUE(restore(place_, *read).ok());
    for (const char* name : {"data/mysql/user.MAD", "data/vt_ks/t.ibd", "data/vt_ks/db.opt", "innodb/ibdata1",
                             "innodb/undo1", "innodb/undo2", "innodb/undo4"}) {
      EXPECT_EQ(get(std::string("restore/") + name), get(name)) << name;
    }
    EXPECT_TRUE(base::file_exists(layout_.root + "/restore/data/empty_db"));
    for (const char* name : {"data/auto.cnf", "data/master.info", "data/a.pid", "innodb/ibtmp1", "bin-logs/b.1"}) {
      EXPECT_EQ(get(std::string("restore/") + name), "(nothing)") << name;
    }
    ASSERT_TRUE(discard_staging(layout_).ok());
    ASSERT_TRUE(storage_.remove(place_).ok());
  }
}

TEST_F(Backups, DamagedPartsAreNamed) {
  const Manifest manifest = store(place_);
  const auto whole = storage_.files;
  struct Case {
    const char* what;
    std::function<void(std::string& bytes)> damage;
    bool found_without_reading;
  };
  const Case cases[] = {
      {"truncated", [](std::string& bytes) { bytes.resize(bytes.size() / 2); }, true},
      {"too long", [](std::string& bytes) { bytes += "x"; }, true},
      {"altered", [](std::string& bytes) { bytes[bytes.size() / 2] ^= 1; }, false},
      {"altered", [](std::string& bytes) { bytes[0] ^= 0x40; }, false},
      {"altered", [](std::string& bytes) { std::ranges::fill(bytes, 0); }, false},
  };
  for (const Case& c : cases) {
    storage_.files = whole;
    c.damage(storage_.files[place_.to_string() + "/1"]);
    const Status lengths = check_parts(storage_, place_, manifest);
    EXPECT_EQ(lengths.ok(), !c.found_without_reading);
    Progress progress;
    for (const Status& read : {restore(place_, manifest), verify_parts(storage_, place_, manifest, {}, progress)}) {
      ASSERT_FALSE(read.ok()) << c.what;
      EXPECT_EQ(read.error().code(), Code::kDataLoss);
      EXPECT_TRUE(read.error().message().starts_with("part 1 of backup ks/0/2026")) << read.error().message();
      EXPECT_TRUE(read.error().message().contains(c.what)) << read.error().message();
    }
  }
  storage_.files = whole;
  storage_.files.erase(place_.to_string() + "/2");
  for (const Status& read : {restore(place_, manifest), check_parts(storage_, place_, manifest)}) {
    ASSERT_FALSE(read.ok());
    EXPECT_TRUE(read.error().message().contains("part 2")) << read.error().message();
    EXPECT_TRUE(read.error().message().ends_with("is missing")) << read.error().message();
  }
}

TEST_F(Backups, AFullStorageIsAnErrorAndTheOldBackupStays) {
  const Manifest old = store(place_);
  storage_.room = 1'000;
  Progress progress;
  const auto files = list_server_files(layout_);
  const auto parts = store_files(storage_, {"ks/0", "later"}, files->files, {}, progress);
  ASSERT_FALSE(parts.ok());
  EXPECT_EQ(parts.error().code(), Code::kResourceExhausted);
  const auto chosen = choose_backup(storage_, "ks/0", {});
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen->place.name, place_.name);
  EXPECT_TRUE(restore(place_, old).ok());
}

TEST_F(Backups, StopWhenToldTo) {
  Progress progress;
  progress.stop = true;
  const auto files = list_server_files(layout_);
  EXPECT_EQ(store_files(storage_, place_, files->files, {}, progress).error().code(), Code::kCanceled);
}

TEST_F(Backups, FilesThatLeadElsewhereAreRefused) {
  std::filesystem::create_symlink("/tmp", layout_.data() + "/vt_ks/link");
  const auto files = list_server_files(layout_);
  ASSERT_FALSE(files.ok());
  EXPECT_TRUE(files.error().message().contains("vt_ks/link leads to files elsewhere"));
}

TEST_F(Backups, ManifestsTellWhenTheyAreNotAsWritten) {
  Manifest manifest = store(place_);
  manifest.backup_name = place_.name;
  manifest.backup_time = manifest.finished_time = base::WallTime(std::chrono::seconds(1'767'366'245));
  const std::string json = manifest.to_json();
  EXPECT_TRUE(json.contains("\"BackupTime\": \"2026-01-02T15:04:05Z\"")) << json.substr(0, 500);
  const auto read = Manifest::parse(json);
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read->to_json(), json);
  std::string other = json;
  other.replace(other.find("MariaDB/0-1-5"), 13, "MariaDB/0-1-4");
  EXPECT_EQ(Manifest::parse(other).error().code(), Code::kDataLoss);
  for (const size_t length : {size_t{0}, size_t{1}, json.size() / 2, json.size() - 3}) {
    EXPECT_EQ(Manifest::parse(json.substr(0, length)).error().code(), Code::kDataLoss) << length;
  }
  for (const char* text : {"{}", "[]", R"({"BackupMethod": 1, "Position": ""})",
                           R"({"BackupMethod": "b", "Position": "", "SkipCompress": true, "FileEntries":
                               [{"Base": "Data", "Name": "../x", "Hash": ""}]})"}) {
    EXPECT_EQ(Manifest::parse(text).error().code(), Code::kDataLoss) << text;
  }
  const auto theirs = Manifest::parse(R"({"BackupMethod": "builtin", "Position": "MySQL56/x:1", "SkipCompress": false,
      "CompressionEngine": "pargzip", "FileEntries": []})");
  EXPECT_EQ(theirs.error().code(), Code::kUnimplemented);
}

TEST(BackupNames, HoldTimeAndTablet) {
  const base::WallTime time(std::chrono::seconds(1'767'366'245));
  EXPECT_EQ(backup_name(time, "zone1-0000000100"), "2026-01-02.150405.zone1-0000000100");
  const auto parts = parse_backup_name("2026-01-02.150405.zone1-0000000100");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->time, time);
  EXPECT_EQ(parts->tablet_alias, "zone1-0000000100");
  for (const char* name : {"", "x", "2026-01-02.150405", "2026-01-02.150405.", "2026-13-02.150405.z-1"}) {
    EXPECT_FALSE(parse_backup_name(name)) << name;
  }
  EXPECT_EQ(*parse_backup_time("2026-01-02T15:04:05Z"), time);
  EXPECT_EQ(parse_backup_time("yesterday").error().code(), Code::kInvalidArgument);
}

TEST_F(Backups, TheNewestThatFitsIsChosen) {
  const std::string days[] = {"2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"};
  for (const auto& day : days) store({"ks/0", day + ".000000.z-1"});
  storage_.files.erase("ks/0/" + days[3] + ".000000.z-1/MANIFEST");
  const auto name = [&](const Choice& choice) {
    const auto chosen = choose_backup(storage_, "ks/0", choice);
    return chosen.ok() ? chosen->place.name.substr(0, 10) : chosen.error().message();
  };
  EXPECT_EQ(name({}), days[2]);
  EXPECT_EQ(name({.not_after = *parse_backup_time("2026-01-02.235959")}), days[1]);
  EXPECT_EQ(name({.not_after = *parse_backup_time("2026-01-02.000000")}), days[1]);
  EXPECT_EQ(name({.allowed_engines = {"builtin"}}), days[2]);
  EXPECT_EQ(name({.allowed_engines = {"xtrabackup"}}),
            "there is no backup of ks/0 in memory; 1 not whole; 3 made by other engines than xtrabackup");
  EXPECT_EQ(name({.not_after = *parse_backup_time("2025-01-01.000000")}),
            "there is no backup of ks/0 in memory; 1 not whole; 3 later than 2025-01-01T00:00:00Z");
  storage_.files["ks/0/" + days[2] + ".000000.z-1/MANIFEST"][5] ^= 1;
  EXPECT_TRUE(name({}).contains("the MANIFEST is damaged")) << name({});
}

// A death between any two steps of a swap: doing it again brings it to its end.
TEST_F(Backups, ASwapSurvivesADeathAtAnyPoint) {
  const Manifest manifest = store(place_);
  const PendingRestore pending{place_.to_string(), "MariaDB/0-1-5", "2026-01-02T15:04:05Z"};
  const auto stage = [&] {
    ASSERT_TRUE(restore(place_, manifest).ok());
    ASSERT_TRUE(note_pending_restore(layout_, pending).ok());
  };
  const auto check = [&] {
    EXPECT_EQ(get("data/old"), "(nothing)");
    EXPECT_EQ(get("data/mysql/user.MAD"), "accounts");
    EXPECT_EQ(get("bin-logs/b.1"), "(nothing)");
    EXPECT_TRUE(base::file_exists(layout_.relay_logs()));
  };
  // What a death leaves: some of the folders moved away, some of these replaced.
  const auto folders = layout_.folders();
  for (size_t moved = 0; moved <= folders.size(); ++moved) {
    for (const bool replaced : {false, true}) {
      put("data/old", "");
      put("bin-logs/b.1", "log");
      stage();
      ASSERT_TRUE(base::make_directories(layout_.root + "/replaced").ok());
      for (size_t i = 0; i < moved; ++i) {
        const std::string name = folders[i].substr(folders[i].rfind('/') + 1);
        std::filesystem::rename(folders[i], layout_.root + "/replaced/" + name);
        if (i + 1 == moved && !replaced) break;
        const std::string fresh = layout_.root + "/restore/" + name;
        if (base::file_exists(fresh)) std::filesystem::rename(fresh, folders[i]);
      }
      EXPECT_EQ(*find_pending_restore(layout_), pending);
      EXPECT_EQ(discard_staging(layout_).error().code(), Code::kFailedPrecondition);
      ASSERT_TRUE(swap_in(layout_).ok());
      check();
      ASSERT_TRUE(swap_in(layout_).ok());  // The server did not start, perhaps.
      check();
      ASSERT_TRUE(finish_restore(layout_).ok());
      EXPECT_FALSE(*find_pending_restore(layout_));
      EXPECT_FALSE(base::file_exists(layout_.root + "/replaced"));
    }
  }
}

TEST_F(Backups, ASwapThatDoesNotWorkIsTakenBack) {
  const Manifest manifest = store(place_);
  put("data/old", "present");
  const PendingRestore pending{place_.to_string(), "MariaDB/0-1-5", "2026-01-02T15:04:05Z"};
  ASSERT_TRUE(restore(place_, manifest).ok());
  ASSERT_TRUE(note_pending_restore(layout_, pending).ok());
  ASSERT_TRUE(swap_in(layout_).ok());
  EXPECT_EQ(get("data/old"), "(nothing)");
  // A death in the middle of it.
  PendingRestore undo = pending;
  undo.undo = true;
  ASSERT_TRUE(note_pending_restore(layout_, undo).ok());
  ASSERT_TRUE(base::remove_tree(layout_.data()).ok());
  std::filesystem::rename(layout_.root + "/replaced/data", layout_.data());
  EXPECT_EQ(*find_pending_restore(layout_), undo);
  ASSERT_TRUE(swap_back(layout_, pending).ok());
  EXPECT_EQ(get("data/old"), "present");
  EXPECT_EQ(get("bin-logs/b.1"), "of the place");
  EXPECT_FALSE(*find_pending_restore(layout_));
}

}  // namespace
}  // namespace vitrail::backup
