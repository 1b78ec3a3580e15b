#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/settings.h"
#include "control/client/client.h"
#include "control/vtctld.h"
#include "net/loop.h"
#include "rpc/client.h"
#include "topo/conformance/fixture.h"
#include "topo/decode.h"
#include "topo/server.h"
#include "topo/shard.h"
#include "topo/tablet.h"

// For tests: vtctld's methods on a topology of the test's own, and vtctldclient's commands against them, in one
// process.
namespace vitrail::control {

inline testing::AssertionResult has(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << part << "\" is not in: " << text;
}
#define EXPECT_HAS(text, part) EXPECT_TRUE(has(text, part))

class ControlTest : public testing::Test {
 protected:
  void SetUp() override {
    topology_ = open_topology();
    tablets_ = std::make_unique<TabletClient>(*topology_);
    server_ = std::make_unique<rpc::Server>(rpc::ServerOptions{});
    register_vtctld_handlers(*server_, loop_.loop(), *tablets_);
    ASSERT_TRUE(server_->start().ok());
    channel_ = *rpc::Channel::create("127.0.0.1:" + std::to_string(server_->port()));
  }
  void TearDown() override {
    run(server_->stop(std::chrono::seconds(1)));
    channel_.reset();
    run(topology_->close());
  }

  std::unique_ptr<topo::Server> open_topology() {
    topo::ServerOptions options;
    options.implementation = "sqlite";
    options.global_server_address = folder_.file("topo.db");
    options.lock_timeout = std::chrono::milliseconds(300);
    auto server = run(topo::Server::open(options));
    EXPECT_TRUE(server.ok());
    return std::move(*server);
  }
  template <typename T>
  T run(net::Task<T> task) {
    return net::block_on(loop_.loop(), std::move(task));
  }
  void run(net::Task<void> task) { net::block_on(loop_.loop(), std::move(task)); }

  // Runs a vtctldclient command line. What it prints, or "CODE: message" of its error.
  template <typename... Args>
  std::string ctl(const Args&... args) {
    return ctl_list({std::string(args)...});
  }
  std::string ctl_list(const std::vector<std::string>& args) {
    base::Settings settings("vtctldclient", "");
    bool compact = false;
    settings.add("compact", &compact, "");
    CommandSet commands(settings);
    const auto parsed = settings.parse(args);
    if (!parsed.ok()) return parsed.error().to_string();
    ClientContext context{rpc::caller_of(*channel_), std::chrono::seconds(60), compact, settings.positional(), {}};
    context.topology = [this]() -> net::Task<Result<topo::Server*>> { return given(topology_.get()); };
    std::string shown;
    context.show = [&](std::string_view text) { shown += text; };
    context.streams = streams_of(*channel_);
    const auto output = run(commands.run(context));
    return shown + (output.ok() ? *output : output.error().to_string());
  }
  // Runs a command that must succeed, with the --compact form of its output.
  template <typename... Args>
  void ok(const Args&... args) {
    const std::string output = ctl("--compact", args...);
    for (const auto* code : {"NOT_FOUND: ", "INVALID_ARGUMENT: ", "FAILED_PRECONDITION: ", "ALREADY_EXISTS: ",
                             "UNIMPLEMENTED: ", "INTERNAL: ", "UNAVAILABLE: ", "DEADLINE_EXCEEDED: "}) {
      EXPECT_FALSE(output.starts_with(code)) << output;
    }
  }
  // The text form of the record at a path.
  std::string record(const std::string& path) {
    const std::string json = ctl("--compact", "GetTopologyPath", path);
    const size_t data = json.find("\"data\": \"");
    if (data == std::string::npos) return json;
    std::string out;
    for (size_t i = data + 9; i < json.size() && json[i] != '"'; ++i) {
      if (json[i] == '\\') ++i;
      out += json[i];
    }
    return out;
  }

  void add_cell(const std::string& cell) {
    ok("AddCellInfo", "--server-address", folder_.file("topo.db"), "--root", "/vitess/" + cell, cell);
  }
  void add_tablet(const std::string& alias, const std::string& keyspace, const std::string& shard,
                  ::topodata::TabletType type = ::topodata::REPLICA, int64_t term_s = 0, uint16_t http_port = 15'100) {
    ::topodata::Tablet tablet;
    *tablet.mutable_alias() = *topo::parse_alias(alias);
    tablet.set_hostname("localhost");
    tablet.set_mysql_hostname("localhost");
    tablet.set_mysql_port(17'100);
    tablet.set_keyspace(keyspace);
    tablet.set_shard(shard);
    tablet.set_type(type);
    if (term_s != 0) tablet.mutable_primary_term_start_time()->set_seconds(term_s);
    (*tablet.mutable_port_map())["vt"] = http_port;
    (*tablet.mutable_port_map())["grpc"] = 1;  // Nobody answers.
    ASSERT_TRUE(run(topo::create_tablet(*topology_, tablet)).ok());
  }

  void set_primary(const std::string& keyspace, const std::string& shard, const std::string& alias) {
    topo::UpdateFn<::topodata::Shard> set = [&](::topodata::Shard& record) -> Result<bool> {
      *record.mutable_primary_alias() = *topo::parse_alias(alias);
      return true;
    };
    ASSERT_TRUE(run(topo::update_shard_fields(*topology_, keyspace, shard, std::move(set))).ok());
  }
  // A keyspace of two shards with a primary and a replica each, that serves in zone1. No faults.
  void make_customer() {
    add_cell("zone1");
    ok("CreateKeyspace", "customer");
    for (const std::string shard : {"-80", "80-"}) {
      ok("CreateShard", "customer/" + shard);
      const std::string first = shard == "-80" ? "zone1-100" : "zone1-200";
      const std::string second = shard == "-80" ? "zone1-101" : "zone1-201";
      add_tablet(first, "customer", shard, ::topodata::PRIMARY, 10);
      add_tablet(second, "customer", shard);
      set_primary("customer", shard, first);
    }
    ok("RebuildKeyspaceGraph", "customer");
  }

  topo::conformance::TempFolder folder_;
  net::LoopThread loop_{"test"};
  std::unique_ptr<topo::Server> topology_;
  std::unique_ptr<TabletClient> tablets_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<rpc::Channel> channel_;

 private:
  static net::Task<Result<topo::Server*>> given(topo::Server* server) { co_return server; }
};

}  // namespace vitrail::control
