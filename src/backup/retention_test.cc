#include "backup/retention.h"

#include <gtest/gtest.h>

namespace vitrail::backup {
namespace {

using namespace std::chrono_literals;

// Backups of so many hours ago, the oldest first; negative: not whole.
std::vector<CatalogEntry> backups(std::initializer_list<int> hours, base::WallTime now) {
  std::vector<CatalogEntry> out;
  for (const int age : hours) {
    CatalogEntry entry{.place = {"ks/0", std::to_string(age)}, .complete = age >= 0};
    entry.parts = NameParts{now - std::chrono::hours(std::abs(age)), "zone1-100"};
    out.push_back(std::move(entry));
  }
  return out;
}

TEST(BackupRetention, KeepsTheYoungAndTheNewest) {
  const base::WallTime now(1'000'000h);
  struct Case {
    const char* what;
    std::vector<CatalogEntry> backups;
    Retention retention;
    std::vector<std::string> expired;
  };
  const Case cases[] = {
      {"nothing is removed unless that is asked for", backups({9, 8, 7}, now), {}, {}},
      {"the old ones", backups({9, 8, 2, 1}, now), {.min_time = 5h}, {"9", "8"}},
      {"the only one, however old", backups({9}, now), {.min_time = 5h}, {}},
      {"the newest, however old", backups({9, 8, 7}, now), {.min_time = 5h, .min_count = 2}, {"9"}},
      {"at least one", backups({9, 8}, now), {.min_time = 5h, .min_count = 0}, {"9"}},
      {"what is not whole neither counts nor goes", backups({9, 8, -7, -1}, now), {.min_time = 5h}, {"9"}},
      {"exactly as old", backups({5, 1}, now), {.min_time = 5h}, {}},
      {"no backups", {}, {.min_time = 5h}, {}},
  };
  for (const auto& c : cases) {
    std::vector<std::string> names;
    for (const auto& place : choose_expired(c.backups, c.retention, now)) names.push_back(place.name);
    EXPECT_EQ(names, c.expired) << c.what;
  }
}

TEST(BackupRetention, RemovesIncrementalOnesWithTheFullOnesBeforeThem) {
  const base::WallTime now(1'000'000h);
  auto all = backups({9, 8, 7, 6, 2, 1}, now);
  for (const size_t i : {1, 3, 5}) all[i].incremental = true;
  const auto expired = [&](Retention retention) {
    std::string out;
    for (const auto& place : choose_expired(all, retention, now)) out += place.name + " ";
    return out;
  };
  EXPECT_EQ(expired({.min_time = 5h}), "9 7 8 6 ");
  EXPECT_EQ(expired({.min_time = 5h, .min_count = 2}), "9 8 ");
  EXPECT_EQ(expired({.min_time = 5h, .min_count = 3}), "");
  EXPECT_FALSE(is_recent(all, 2h, now));
}

TEST(BackupRetention, KnowsWhenANextOneIsDue) {
  const base::WallTime now(1'000'000h);
  EXPECT_TRUE(is_recent(backups({9, 2}, now), 3h, now));
  EXPECT_FALSE(is_recent(backups({9, 3}, now), 3h, now));
  EXPECT_FALSE(is_recent(backups({9, -2}, now), 3h, now));
  EXPECT_FALSE(is_recent(backups({1}, now), 0h, now));
  EXPECT_FALSE(is_recent({}, 3h, now));
  CatalogEntry undated{.place = {"ks/0", "by hand"}, .complete = true};
  EXPECT_FALSE(is_recent({undated}, 3h, now));
}

}  // namespace
}  // namespace vitrail::backup
