#include "mysqlctl/service.h"

#include <gtest/gtest.h>

#include <csignal>

#include "base/file.h"
#include "mysqlctl/client.h"
#include "mysqlctl/notes.h"
#include "mysqld/server_for_test.h"

namespace vitrail::mysqlctl {
namespace {

using namespace std::chrono_literals;
using State = mysqld::Daemon::State;

// A mysqlctld in this process, and the server that it owns.
class Mysqlctld {
 public:
  explicit Mysqlctld(const mysqld::DaemonOptions& options)
      : socket_(options.layout.root + ".sock"), service_(Service::create(options).value()), server_(listening()) {
    service_->register_handlers(server_, loop_.loop());
  }
  ~Mysqlctld() { net::block_on(loop_.loop(), server_.stop(1s)); }
  Status start() {
    RETURN_IF_ERROR(service_->open());
    return server_.start();
  }
  Service& service() { return *service_; }
  const std::string& socket() const { return socket_; }

 private:
  rpc::ServerOptions listening() const {
    rpc::ServerOptions out;
    out.host = "unix:" + socket_;
    return out;
  }
  const std::string socket_;
  net::LoopThread loop_{"mysqlctld"};
  std::unique_ptr<Service> service_;
  rpc::Server server_;
};

TEST(Mysqlctld, MakesItsServerAndStopsAndStartsItForATablet) {
  const mysqld::testing::TemporaryFolder folder;
  mysqld::DaemonOptions options = mysqld::testing::small_server(folder, 7);
  options.supervised = false;
  mysqld::testing::Server watched(options);
  Mysqlctld daemon(options);
  EXPECT_EQ(watched->state(), State::kAbsent);
  const Status started = daemon.start();
  ASSERT_TRUE(started.ok()) << started.error().to_string();
  EXPECT_EQ(watched->state(), State::kRunning);
  EXPECT_TRUE(ask_start(daemon.socket(), 20s).ok());  // It runs already.

  const Status stopped = ask_shutdown(daemon.socket(), 30s);
  ASSERT_TRUE(stopped.ok()) << stopped.error().to_string();
  EXPECT_EQ(watched->state(), State::kStopped);
  EXPECT_FALSE(daemon.service().ended_by_itself());
  ASSERT_TRUE(ask_start(daemon.socket(), 60s).ok());
  EXPECT_EQ(watched->state(), State::kRunning);
  EXPECT_FALSE(daemon.service().ended_by_itself());

  ASSERT_EQ(::kill(*watched->find_pid(), SIGKILL), 0);
  for (int i = 0; i < 100 && watched->find_pid(); ++i) std::this_thread::sleep_for(50ms);
  EXPECT_TRUE(daemon.service().ended_by_itself());

  // One that comes back while a tablet has the files for itself, as for a backup, leaves them alone.
  Mysqlctld second(options);
  ASSERT_TRUE(base::write_file_atomically(stopped_note(options.layout), "").ok());
  ASSERT_TRUE(second.service().open().ok());
  EXPECT_EQ(watched->state(), State::kStopped);
  EXPECT_FALSE(second.service().ended_by_itself());
}

TEST(Mysqlctld, OneThatIsNotThereIsNamed) {
  const Status asked = ask_shutdown("/nowhere/mysqlctl.sock", 1s);
  ASSERT_FALSE(asked.ok());
  EXPECT_NE(asked.error().message().find("mysqlctld at /nowhere/mysqlctl.sock"), std::string::npos);
}

}  // namespace
}  // namespace vitrail::mysqlctl
