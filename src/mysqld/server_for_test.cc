#include "mysqld/server_for_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "base/text.h"

namespace vitrail::mysqld::testing {
namespace {

constexpr std::string_view kEnd = "--end-of-result--";

std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    char c = text[++i];
    out += c == 'n' ? '\n' : c == 't' ? '\t' : c == '0' ? '\0' : c;
  }
  return out;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  // In memory where there is room: making a server's data is mostly waiting for the disk.
  const char* base = std::getenv("TMPDIR");
  struct statvfs room;
  if (base == nullptr && ::statvfs("/dev/shm", &room) == 0 && ::access("/dev/shm", W_OK) == 0 &&
      static_cast<uint64_t>(room.f_bavail) * room.f_frsize > (1ull << 30)) {
    base = "/dev/shm";
  }
  path_ = fmt::format("{}/vitrail-mysqld-XXXXXX", base == nullptr ? "/tmp" : base);
  EXPECT_NE(::mkdtemp(path_.data()), nullptr);
  // Several rounds, because a supervisor may start a server while we look.
  static constexpr const char* kScript = R"sh(trap '' INT TERM HUP; read -r word; [ "$word" = done ] && exit
for round in 1 2 3; do
  for process in /proc/[0-9]*; do
    case "$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)" in
      *" --defaults-file=$1/"*) kill -9 "${process#/proc/}" ;;
    esac
  done
  sleep 0.2
done
rm -rf "$1")sh";
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  janitor_ = ends[1];
  janitor_pid_ = ::fork();
  if (janitor_pid_ == 0) {
    ::setsid();
    ::dup2(ends[0], 0);
    ::execl("/bin/sh", "sh", "-c", kScript, "sh", path_.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[0]);
}

TemporaryFolder::~TemporaryFolder() {
  EXPECT_TRUE(base::remove_tree(path_).ok());
  EXPECT_EQ(::write(janitor_, "done\n", 5), 5);
  ::close(janitor_);
  ::waitpid(janitor_pid_, nullptr, 0);
}

uint16_t free_port() {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

DaemonOptions small_server(const TemporaryFolder& folder, uint32_t uid) {
  DaemonOptions options;
  options.layout = Layout::for_tablet(folder.path(), uid);
  options.config.uid = uid;
  options.config.port = free_port();
  options.config.buffer_pool_bytes = 16ull << 20;
  options.config.redo_log_bytes = 16ull << 20;
  options.start_wait_max = std::chrono::seconds(60);
  options.shutdown_wait_max = std::chrono::seconds(30);
  return options;
}

namespace {
Daemon must_open(DaemonOptions options) {
  auto daemon = Daemon::open(std::move(options));
  if (!daemon.ok()) {
    ADD_FAILURE() << daemon.error().to_string();
    std::abort();
  }
  return std::move(*daemon);
}
}  // namespace

Server::Server(DaemonOptions options) : daemon_(must_open(options)), port_(options.config.port) {}

Server::~Server() {
  if (auto done = daemon_.teardown(true); !done.ok()) ADD_FAILURE() << done.error().to_string();
}

const Flavor& Server::flavor() {
  auto flavor = daemon_.load_flavor();
  EXPECT_TRUE(flavor.ok());
  return **flavor;
}

Session::Session(const std::string& socket, std::string_view user) {
  auto installation = find_installation();
  EXPECT_TRUE(installation.ok());
  int to_child[2];
  int from_child[2];
  EXPECT_EQ(::pipe2(to_child, O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(from_child, O_CLOEXEC), 0);
  std::vector<std::string> argv = {
      installation->client,          "--no-defaults", "--batch", "--unbuffered", "--force", "--socket=" + socket,
      fmt::format("--user={}", user)};
  std::vector<char*> pointers;
  for (std::string& argument : argv) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(to_child[0], 0);
    ::dup2(from_child[1], 1);
    ::dup2(from_child[1], 2);
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
  ::close(to_child[0]);
  ::close(from_child[1]);
  in_ = to_child[1];
  out_ = from_child[0];
}

Session::~Session() {
  ::close(in_);
  ::close(out_);
  ::waitpid(pid_, nullptr, 0);
}

std::vector<std::string> Session::exchange(std::string_view sql) {
  std::string text = fmt::format("{};\nSELECT '{}' AS `{}`;\n", sql, kEnd, kEnd);
  EXPECT_EQ(::write(in_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  std::vector<std::string> lines;
  int ends = 0;  // The name of the column, then the value.
  while (ends < 2) {
    size_t end = buffer_.find('\n');
    if (end == std::string::npos) {
      char chunk[4096];
      ssize_t got = ::read(out_, chunk, sizeof chunk);
      if (got <= 0) {
        ADD_FAILURE() << "the client ended: " << base::join(lines, "\n") << buffer_;
        return lines;
      }
      buffer_.append(chunk, static_cast<size_t>(got));
      continue;
    }
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    if (line == kEnd) {
      ++ends;
    } else {
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

Rows Session::query(std::string_view sql) {
  Rows rows;
  for (const std::string& line : exchange(sql)) {
    if (line.starts_with("ERROR ")) {
      ADD_FAILURE() << sql << ": " << line;
      return {};
    }
    Row row;
    for (std::string_view cell : base::split(line, '\t')) {
      row.push_back(cell == "NULL" ? std::nullopt : std::optional(unescaped(cell)));
    }
    if (rows.columns.empty()) {
      for (auto& cell : row) rows.columns.push_back(cell.value_or("NULL"));
    } else {
      rows.rows.push_back(std::move(row));
    }
  }
  return rows;
}

void Session::run(const std::vector<std::string>& statements) {
  for (const std::string& statement : statements) query(statement);
}

std::string Session::value(std::string_view sql) { return std::string(query(sql).get(0, size_t{0}).value_or("")); }

std::string Session::error(std::string_view sql) {
  for (const std::string& line : exchange(sql)) {
    if (line.starts_with("ERROR ")) return line;
  }
  return "";
}

}  // namespace vitrail::mysqld::testing
