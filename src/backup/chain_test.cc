#include "backup/chain.h"

#include <gtest/gtest.h>

#include "backup/scratch_server.h"

namespace vitrail::backup {
namespace {

base::WallTime at(int64_t second) { return base::WallTime(std::chrono::seconds(second)); }

Chosen full(std::string name, std::string position, int64_t second, std::string engine = "builtin") {
  Chosen out{{"ks/0", std::move(name)}, {}};
  out.manifest.position = "MariaDB/" + position;
  out.manifest.backup_time = at(second - 1);
  out.manifest.finished_time = at(second);
  out.manifest.backup_method = std::move(engine);
  return out;
}

Chosen piece(std::string name, std::string from, std::string to, int64_t last) {
  Chosen out{{"ks/0", std::move(name)}, {}};
  out.manifest.incremental = true;
  out.manifest.from_position = "MariaDB/" + from;
  out.manifest.position = "MariaDB/" + to;
  out.manifest.backup_time = at(last + 1);
  out.manifest.last_transaction = at(last);
  out.manifest.backup_method = "builtin";
  return out;
}

Target position(const std::string& text) { return {*mysql::Position::parse("MariaDB/" + text), {}}; }
Target time(int64_t second) { return {{}, at(second)}; }

// "full one two", or what is wrong.
std::string chosen(const std::vector<Chosen>& backups, const Target& target, std::vector<std::string> engines = {}) {
  const auto chain = choose_chain(backups, target, engines);
  if (!chain.ok()) return "! " + chain.error().message();
  std::string out = chain->full.place.name;
  for (const auto& increment : chain->increments) out += " " + increment.place.name;
  return out;
}

const std::vector<Chosen> kBackups = {full("a", "0-1-10", 100), piece("b", "0-1-10", "0-1-20", 150),
                                      full("c", "0-1-25", 200, "mariabackup"), piece("d", "0-1-20", "0-2-30", 250),
                                      piece("e", "0-2-30", "0-2-40", 300)};

TEST(Chain, LeadsToAPosition) {
  EXPECT_EQ(chosen(kBackups, position("0-1-10")), "a");
  EXPECT_EQ(chosen(kBackups, position("0-1-11")), "a b");
  EXPECT_EQ(chosen(kBackups, position("0-1-20")), "a b");
  EXPECT_EQ(chosen(kBackups, position("0-1-24")), "a b d");
  EXPECT_EQ(chosen(kBackups, position("0-1-25")), "c");  // A newer full one saves the way.
  EXPECT_EQ(chosen(kBackups, position("0-2-35")), "c d e");
  EXPECT_EQ(chosen(kBackups, position("0-2-35"), {"builtin"}), "a b d e");
}

TEST(Chain, LeadsToATime) {
  EXPECT_EQ(chosen(kBackups, time(120)), "a b");
  EXPECT_EQ(chosen(kBackups, time(150)), "a b");
  EXPECT_EQ(chosen(kBackups, time(151)), "a b d");  // What happened in the last second of a piece may have gone on.
  EXPECT_EQ(chosen(kBackups, time(199)), "a b d");
  EXPECT_EQ(chosen(kBackups, time(200)), "c d");
  EXPECT_EQ(chosen(kBackups, time(300)), "c d e");
}

TEST(Chain, SaysHowFarItGoes) {
  EXPECT_EQ(chosen(kBackups, position("0-2-41")),
            "! no full backup with incremental ones behind it leads to position MariaDB/0-2-41; from ks/0/c on they go "
            "to MariaDB/0-2-40, its last transaction of 1970-01-01T00:05:00Z");
  EXPECT_EQ(chosen(kBackups, position("0-1-9")),
            "! no full backup with incremental ones behind it leads to position MariaDB/0-1-9; 2 full ones are not "
            "before it");
  EXPECT_EQ(chosen(kBackups, time(99)).substr(0, 2), "! ");
  // A gap: what is between 10 and 12 is nowhere.
  EXPECT_EQ(chosen({full("a", "0-1-10", 100), piece("b", "0-1-12", "0-1-20", 150)}, position("0-1-15")).substr(0, 2),
            "! ");
  // What never happened there.
  EXPECT_EQ(chosen(kBackups, position("0-1-25,7-1-1")).substr(0, 2), "! ");
}

TEST(Chain, TakesThePieceThatLeadsFarthest) {
  EXPECT_EQ(chosen({full("a", "0-1-10", 100), piece("short", "0-1-10", "0-1-12", 110),
                    piece("long", "0-1-5", "0-1-20", 150), piece("end", "0-1-15", "0-1-30", 200)},
                   position("0-1-29")),
            "a long end");
}

TEST(Chain, GoesOnFromWhatHasMost) {
  EXPECT_EQ(choose_parent(kBackups)->place.name, "e");
  EXPECT_EQ(choose_parent({full("a", "0-1-10", 100), full("b", "0-1-10", 200)})->place.name, "b");
  EXPECT_EQ(choose_parent({full("a", "0-1-10", 100), full("b", "0-1-9", 200)})->place.name, "a");
  EXPECT_EQ(choose_parent({}).error().code(), Code::kNotFound);
}

TEST(ScratchServer, HasTheServersOptionsInItsOwnFolder) {
  const mysqld::Layout own{"/vt/vt_1"}, scratch{"/vt/vt_1/restore"};
  const std::string text = scratch_my_cnf(
      "[mysqld]\nsocket = /vt/vt_1/mysql.sock\npid-file = /vt/vt_1/mysql.pid\ndatadir = /vt/vt_1/data\nlog_bin = "
      "/vt/vt_1/bin-logs/x-bin\nserver_id = 5\nport = 1234\n"
      "lower_case_table_names = 1\nother = /vt/vt_10/data\n",
      own, scratch, 77);
  for (const char* line :
       {"datadir = /vt/vt_1/restore/data\n", "log_bin = /vt/vt_1/restore/bin-logs/x-bin\n", "server_id = 77\n",
        "lower_case_table_names = 1\n", "other = /vt/vt_10/data\n", "skip-networking\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
  const auto parsed = mysqld::parse_my_cnf(text);
  ASSERT_TRUE(parsed.ok());
  EXPECT_FALSE(parsed->networking);
}

TEST(Replay, AsksTheProgramOfTheFlavor) {
  Replay replay;
  replay.logs = {"/l/1", "/l/2"};
  replay.from = *mysql::Position::parse("MariaDB/0-1-5");
  replay.to = *mysql::Position::parse("MariaDB/0-1-9");
  EXPECT_EQ(print_command(replay, "/usr/bin/mariadb"),
            (std::vector<std::string>{"/usr/bin/mariadb-binlog", "--no-defaults", "--disable-log-bin",
                                      "--start-position=0-1-5", "--stop-position=0-1-9", "/l/1", "/l/2"}));
  const std::string uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
  replay.from = *mysql::Position::parse("MySQL56/" + uuid + ":1-5");
  replay.to = *mysql::Position::parse("MySQL56/" + uuid + ":1-9");
  EXPECT_EQ(print_command(replay, "/opt/bin/mysql")[3], "--include-gtids=" + uuid + ":6-9");
}

}  // namespace
}  // namespace vitrail::backup
