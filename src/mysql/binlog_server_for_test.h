#pragma once

// For tests: a MariaDB server that writes a binary log, stopped by its process id.

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "mysql/binlog_stream.h"

extern char** environ;

namespace vitrail::mysql {

using std::chrono::steady_clock;

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

inline pid_t spawn(const std::vector<std::string>& command, const std::string& input, const std::string& output,
                   const std::string& errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = -1;
  if (posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) pid = -1;
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

inline int wait_for_exit(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

using Cells = std::vector<std::optional<std::string>>;

// A private server in a folder of its own; both are gone after the test.
class Server {
 public:
  explicit Server(const std::vector<std::string>& settings) {
    char folder[] = "/tmp/vitrail_binlog_XXXXXX";
    if (mkdtemp(folder) == nullptr) return;
    folder_ = folder;
    const pid_t install = spawn({"mariadb-install-db", "--no-defaults", "--user=root", "--datadir=" + folder_ + "/data",
                                 "--auth-root-authentication-method=normal", "--skip-test-db"},
                                "/dev/null", folder_ + "/install.log", folder_ + "/install.err");
    if (install < 0 || wait_for_exit(install) != 0) return;
    std::vector<std::string> command{"setpriv",  // Ends the server even when this process crashes.
                                     "--pdeathsig",
                                     "KILL",
                                     "mariadbd",
                                     "--no-defaults",
                                     "--user=root",
                                     "--datadir=" + folder_ + "/data",
                                     "--socket=" + socket(),
                                     "--pid-file=" + folder_ + "/pid",
                                     "--skip-networking",
                                     "--innodb-buffer-pool-size=16M",
                                     "--log-bin=" + folder_ + "/data/bin",
                                     "--server-id=7",
                                     "--binlog-format=ROW",
                                     "--default-time-zone=+00:00",
                                     "--sql-mode="};
    command.insert(command.end(), settings.begin(), settings.end());
    pid_ = spawn(command, "/dev/null", folder_ + "/out.log", folder_ + "/err.log");
    const auto deadline = steady_clock::now() + std::chrono::seconds(30);
    while (pid_ > 0 && steady_clock::now() < deadline) {
      if (run("SELECT 1")) {
        ready_ = true;
        return;
      }
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) pid_ = -1;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  ~Server() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      wait_for_exit(pid_);
    }
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  bool ready() const { return ready_; }
  std::string socket() const { return folder_ + "/s.sock"; }
  std::string why() const { return read_file(folder_ + "/install.err") + read_file(folder_ + "/err.log"); }

  // Runs SQL; false and last_error() when a statement fails.
  bool run(const std::string& sql) {
    std::ofstream(folder_ + "/in.sql", std::ios::binary) << sql;
    const pid_t client = spawn({"mariadb", "--no-defaults", "--user=root", "--socket=" + socket(), "--batch",
                                "--skip-column-names", "--default-character-set=utf8mb4", "--max-allowed-packet=64M"},
                               folder_ + "/in.sql", folder_ + "/out.txt", folder_ + "/out.err");
    return client > 0 && wait_for_exit(client) == 0;
  }
  std::string last_error() const { return read_file(folder_ + "/out.err"); }

  // Rows of a SELECT as the server's text protocol has them, without conversion of character sets.
  std::vector<Cells> query(const std::string& sql, const std::string& charset = "binary") {
    EXPECT_TRUE(run("SET character_set_results=" + charset + "; " + sql)) << last_error();
    const std::string text = read_file(folder_ + "/out.txt");
    std::vector<Cells> rows;
    Cells row;
    std::string cell;
    bool null = false;
    const auto end_cell = [&] {
      row.push_back(null ? std::nullopt : std::optional(cell));
      cell.clear();
      null = false;
    };
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') {
        end_cell();
        rows.push_back(std::move(row));
        row.clear();
      } else if (text[i] == '\t') {
        end_cell();
      } else if (text[i] == '\\') {
        const char c = text[++i];
        cell += c == 'n' ? '\n' : c == 't' ? '\t' : c == '0' ? '\0' : c;
      } else if (cell.empty() && text.compare(i, 4, "NULL") == 0) {  // No value of these tests begins so.
        null = true;
        i += 3;
      } else {
        cell += text[i];
      }
    }
    return rows;
  }
  std::string value(const std::string& sql) {
    const auto rows = query(sql);
    return rows.empty() || rows[0].empty() ? std::string() : rows[0][0].value_or("NULL");
  }

  std::vector<std::string> log_files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/data")) {
      const std::string name = entry.path().filename();
      if (name.starts_with("bin.0") && !name.ends_with(".idx")) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string log_file(const std::string& name) const { return read_file(folder_ + "/data/" + name); }

 private:
  std::string folder_;
  pid_t pid_ = -1;
  bool ready_ = false;
};

// Feeds whole log files to a parser.
template <typename Visit>
inline void read_logs(Server& server, BinlogStreamParser& parser, Visit visit) {
  for (const std::string& name : server.log_files()) {
    const std::string bytes = server.log_file(name);
    BinlogBytes rest = as_bytes(bytes);
    ASSERT_TRUE(rest.size() > 4 && std::equal(kBinlogMagic.begin(), kBinlogMagic.end(), rest.begin()));
    rest = rest.subspan(kBinlogMagic.size());
    while (!rest.empty()) {
      const auto event = take_event(rest);
      ASSERT_TRUE(event.ok()) << event.error().to_string();
      const auto items = parser.feed(*event);
      ASSERT_TRUE(items.ok()) << items.error().to_string();
      for (const BinlogItem& item : *items) {
        visit(item);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace vitrail::mysql
