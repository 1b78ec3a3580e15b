#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mysqld/daemon.h"
#include "mysqld/rows.h"

// Real servers for tests: a folder that stops its server and goes away, and sessions through the command-line client.
namespace vitrail::mysqld::testing {

// A folder of its own under the system's temporary folder; removed at the end. Should this process die, a small process
// that outlives it kills the servers below the folder and removes it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int janitor_ = -1;  // Its end tells the janitor that we are gone.
  pid_t janitor_pid_ = -1;
};

uint16_t free_port();

DaemonOptions small_server(const TemporaryFolder& folder, uint32_t uid);

// A server that is torn down with this object, whatever happened to it.
class Server {
 public:
  explicit Server(DaemonOptions options);
  ~Server();
  Server(const Server&) = delete;
  Daemon& operator*() { return daemon_; }
  Daemon* operator->() { return &daemon_; }
  uint16_t port() const { return port_; }
  const Flavor& flavor();

 private:
  Daemon daemon_;
  uint16_t port_;
};

// One client connection. A statement that fails fails the test, unless error() asked for it.
class Session {
 public:
  Session(const std::string& socket, std::string_view user = "vt_dba");
  ~Session();
  Session(const Session&) = delete;
  Rows query(std::string_view sql);
  void run(const std::vector<std::string>& statements);
  // First value of the first row; "" when there is none.
  std::string value(std::string_view sql);
  // The error line that a statement brings; "" when it succeeds.
  std::string error(std::string_view sql);

 private:
  std::vector<std::string> exchange(std::string_view sql);

  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  std::string buffer_;
};

// Polls until `done()` or 20 seconds have passed.
template <typename F>
bool eventually(F done) {
  for (int i = 0; i < 1000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

}  // namespace vitrail::mysqld::testing
