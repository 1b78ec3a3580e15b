#include "topo/process.h"

#include <gtest/gtest.h>

#include "base/version.h"
#include "topo/conformance/fixture.h"

namespace vitrail::topo {
namespace {

using conformance::Runner;
using namespace std::chrono_literals;

class TopoProcesses : public testing::Test {
 protected:
  void SetUp() override {
    auto server = runner_.run(Server::open(
        {.implementation = "sqlite", .global_server_address = folder_.file("topo.db"), .lock_timeout = 5s}));
    ASSERT_TRUE(server.ok());
    server_ = std::move(*server);
  }
  void TearDown() override { runner_.run(server_->close()); }

  // "vtgate a:1" ... once there are so many.
  std::vector<std::string> names(size_t count) {
    std::vector<std::string> out;
    for (int i = 0; i < 500; ++i) {
      out.clear();
      const auto found = runner_.run(list_processes(*server_));
      EXPECT_TRUE(found.ok());
      for (const auto& p : *found) out.push_back(p.program + " " + p.host + ":" + std::to_string(p.port));
      if (out.size() == count) return out;
      static_cast<void>(runner_.run(net::sleep_for(10ms)));
    }
    ADD_FAILURE() << out.size() << " processes, not " << count;
    return out;
  }

  conformance::TempFolder folder_;
  Runner runner_;
  std::unique_ptr<Server> server_;
};

TEST_F(TopoProcesses, AreThereUntilTheyStop) {
  EXPECT_TRUE(names(0).empty());
  Announcement gate(*server_, {.program = "vtgate", .port = 15001, .http_tls = true, .cell = "zone1"}, "10.0.0.7");
  Announcement control(*server_, {.program = "vtctld", .port = 15000}, "0.0.0.0");
  runner_.run(gate.start());
  runner_.run(control.start());
  EXPECT_EQ(names(2).back(), "vtgate 10.0.0.7:15001");
  const auto found = runner_.run(list_processes(*server_));
  EXPECT_EQ(found->back().version, base::kProjectVersion);
  EXPECT_EQ(found->back().cell, "zone1");
  EXPECT_TRUE(found->back().http_tls);
  EXPECT_GT(found->back().started_ms, 1'000'000'000'000);
  EXPECT_NE(found->front().host, "0.0.0.0");  // Nobody can reach that.
  runner_.run(gate.stop());
  EXPECT_EQ(names(1).front().substr(0, 7), "vtctld ");
  runner_.run(control.stop());
  names(0);
}

TEST_F(TopoProcesses, TheNewestOneOfAnAddressCounts) {
  Announcement before(*server_, {.program = "vtgate", .port = 15001, .cell = "old"}, "a");
  Announcement after(*server_, {.program = "vtgate", .port = 15001, .cell = "new"}, "a");
  runner_.run(before.start());
  names(1);
  runner_.run(after.start());  // The other's lease has not ended yet.
  for (int i = 0; i < 500; ++i) {
    if (runner_.run(list_processes(*server_))->front().cell == "new") break;
    static_cast<void>(runner_.run(net::sleep_for(10ms)));
  }
  EXPECT_EQ(runner_.run(list_processes(*server_))->front().cell, "new");
  EXPECT_EQ(names(1).size(), 1U);
  runner_.run(before.stop());
  EXPECT_EQ(names(1).size(), 1U);
  runner_.run(after.stop());
  names(0);
}

TEST(TopoProcess, IsReadFromJson) {
  Process process{.program = "vtgate", .host = "h", .port = 1, .version = "9"};
  EXPECT_EQ(Process::from_json(process.to_json())->version, "9");
  for (const char* bad :
       {"", "{}", "[]", R"({"Program":"vtgate","Host":"h"})", R"({"Program":"vtgate","Host":"h","Port":0})",
        R"({"Program":"vtgate","Host":"h","Port":70000})", R"({"Program":1,"Host":"h","Port":1})"}) {
    EXPECT_EQ(Process::from_json(bad).error().code(), Code::kDataLoss) << bad;
  }
}

}  // namespace
}  // namespace vitrail::topo
