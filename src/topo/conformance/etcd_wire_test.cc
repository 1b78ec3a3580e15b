// What lies in etcd, byte for byte: seen with etcd's own client, so that nothing of ours is on both sides. Layout and
// field numbers are those of Vitess.

#include <fmt/core.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/hex.h"
#include "base/text.h"
#include "topo/cells.h"
#include "topo/conformance/etcd_server.h"
#include "topo/conformance/fixture.h"
#include "topo/conformance/helper_process.h"
#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/server.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/tablet.h"

namespace vitrail::topo::conformance {
namespace {

using namespace std::chrono_literals;

class EtcdWire : public testing::Test {
 protected:
  void SetUp() override {
    auto server = run(Server::open({.implementation = "etcd2", .global_server_address = etcd_.address()}));
    ASSERT_OK(server);
    topology_ = std::move(*server);
  }
  void TearDown() override {
    if (topology_ != nullptr) runner_.run(topology_->close());
  }
  template <typename T>
  T run(net::Task<T> task) {
    return runner_.run(std::move(task));
  }
  void add_cell(const std::string& cell, const std::string& address) {
    ::topodata::CellInfo info;
    info.set_server_address(address);
    info.set_root("/" + cell);
    ASSERT_OK(run(create_cell_info(*topology_, cell, info)));
  }
  ::topodata::Tablet tablet() {
    ::topodata::Tablet tablet;
    tablet.mutable_alias()->set_cell("zone1");
    tablet.mutable_alias()->set_uid(100);
    tablet.set_hostname("db1");
    tablet.set_keyspace("ks");
    tablet.set_shard("-80");
    tablet.set_type(::topodata::REPLICA);
    (*tablet.mutable_port_map())["vt"] = 15'100;
    return tablet;
  }

  struct Raw {
    std::string value;
    int64_t lease = 0;
  };
  // Every key of an etcd, as etcdctl shows it.
  static std::map<std::string, Raw> dump(EtcdServer& etcd) {
    const auto json = nlohmann::json::parse(etcd.ctl({"get", "", "--prefix", "--write-out=json"}), nullptr, false);
    std::map<std::string, Raw> all;
    if (!json.contains("kvs")) return all;
    for (const auto& kv : json["kvs"]) {
      all[decode(kv["key"])] = {kv.contains("value") ? decode(kv["value"]) : "", kv.value("lease", int64_t{0})};
    }
    return all;
  }
  static std::string decode(const nlohmann::json& base64) {
    static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    uint32_t bits = 0;
    int count = 0;
    for (const char c : base64.get<std::string>()) {
      const size_t digit = kDigits.find(c);
      if (digit == std::string_view::npos) break;
      bits = bits << 6 | static_cast<uint32_t>(digit);
      if ((count += 6) >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 0xff);
    }
    return bytes;
  }
  // Hex digits; blanks only help the reader.
  static std::string bytes(std::string_view hex) {
    std::string digits;
    for (const char c : hex) {
      if (c != ' ') digits += c;
    }
    std::string out;
    for (size_t i = 0; i + 1 < digits.size(); i += 2) {
      out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    }
    return out;
  }

  EtcdServer etcd_;
  Runner runner_;
  std::unique_ptr<Server> topology_;
};

TEST_F(EtcdWire, RecordsLieWhereVitessLooksForThemWithTheBytesItExpects) {
  add_cell("zone1", etcd_.address());
  ASSERT_OK(run(create_keyspace(*topology_, "ks", {})));
  ASSERT_OK(run(create_shard(*topology_, "ks", "-80")));
  ASSERT_OK(run(create_tablet(*topology_, tablet())));
  const auto keys = dump(etcd_);
  std::vector<std::string> names;
  for (const auto& [key, raw] : keys) {
    names.push_back(key);
    EXPECT_EQ(raw.lease, 0) << key;
  }
  EXPECT_EQ(names, (std::vector<std::string>{
                       "/vitess/global/cells/zone1/CellInfo",
                       "/vitess/global/keyspaces/ks/Keyspace",
                       "/vitess/global/keyspaces/ks/VSchema",
                       "/vitess/global/keyspaces/ks/shards/-80/Shard",
                       "/zone1/keyspaces/ks/shards/-80/ShardReplication",
                       "/zone1/tablets/zone1-0000000100/Tablet",
                   }));
  const std::string address = etcd_.address();
  // CellInfo: server_address 1, root 2.
  EXPECT_EQ(keys.at("/vitess/global/cells/zone1/CellInfo").value,
            bytes("0a") + static_cast<char>(address.size()) + address + bytes("12 06") + "/zone1");
  // Keyspace: durability_policy 8, sidecar_db_name 10.
  EXPECT_EQ(keys.at("/vitess/global/keyspaces/ks/Keyspace").value, bytes("42 04") + "none" + bytes("52 03") + "_vt");
  EXPECT_EQ(keys.at("/vitess/global/keyspaces/ks/VSchema").value, "");
  // Shard: key_range 2 {end 2: 80}, is_primary_serving 7.
  EXPECT_EQ(keys.at("/vitess/global/keyspaces/ks/shards/-80/Shard").value, bytes("12 03 12 01 80  38 01"));
  // ShardReplication: nodes 1 {tablet_alias 1 {cell 1, uid 2}}.
  EXPECT_EQ(keys.at("/zone1/keyspaces/ks/shards/-80/ShardReplication").value,
            bytes("0a 0b 0a 09 0a 05") + "zone1" + bytes("10 64"));
  // Tablet: alias 1, hostname 2, port_map 4 {key 1, value 2}, keyspace 5, shard 6, key_range 7, type 8.
  EXPECT_EQ(keys.at("/zone1/tablets/zone1-0000000100/Tablet").value,
            bytes("0a 09 0a 05") + "zone1" + bytes("10 64  12 03") + "db1" + bytes("22 07 0a 02") + "vt" +
                bytes("10 fc 75  2a 02") + "ks" + bytes("32 03") + "-80" + bytes("3a 03 12 01 80  40 02"));
}

TEST_F(EtcdWire, ReadsWhatAnotherProgramWrote) {
  add_cell("zone1", etcd_.address());
  Helper reader({"watch", "etcd2", etcd_.address(), "metadata/motto"});
  EXPECT_EQ(reader.line(), "gone");
  etcd_.ctl({"put", "/vitrail/global/metadata/motto", "=raw bytes"});
  EXPECT_EQ(reader.line(), "==raw bytes");
  // A Tablet with a field of the future, number 200.
  etcd_.ctl({"put", "/zone1/tablets/zone1-0000000101/Tablet",
             bytes("0a 09 0a 05") + "zone1" + bytes("10 65 12 03") + "db2" + bytes("2a 02") + "ks" + bytes("32 01") +
                 "0" + bytes("c2 0c 03") + "new"});
  ::topodata::TabletAlias alias;
  alias.set_cell("zone1");
  alias.set_uid(101);
  const auto read = run(get_tablet(*topology_, alias));
  ASSERT_OK(read);
  EXPECT_EQ(read->record.hostname(), "db2");
  // Changed by us, the record keeps what we do not know.
  ASSERT_OK(run(update_tablet_fields(*topology_, alias, [](::topodata::Tablet& tablet) -> Result<bool> {
    tablet.set_hostname("db3");
    return true;
  })));
  const std::string stored = dump(etcd_).at("/zone1/tablets/zone1-0000000101/Tablet").value;
  EXPECT_NE(stored.find("db3"), std::string::npos);
  EXPECT_NE(stored.find(bytes("c2 0c 03") + "new"), std::string::npos);
}

// S4-40
TEST_F(EtcdWire, LocksLieAndQueueAsThoseOfVitess) {
  ASSERT_OK(run(create_keyspace(*topology_, "ks", {})));
  {
    auto lock = run(KeyspaceLock::acquire(*topology_, "ks", "Reshard"));
    ASSERT_OK(lock);
    std::string key;
    Raw raw;
    for (const auto& [name, found] : dump(etcd_)) {
      if (found.lease == 0) continue;
      EXPECT_EQ(key, "") << "a second lock: " << name;
      key = name;
      raw = found;
    }
    EXPECT_EQ(key, fmt::format("/vitess/global/keyspaces/ks/locks/{}", raw.lease));
    const auto contents = nlohmann::json::parse(raw.value, nullptr, false);
    EXPECT_EQ(contents.value("Action", ""), "Reshard");
    EXPECT_EQ(contents.value("Status", ""), "Running");
    for (const char* field : {"HostName", "UserName", "Time"}) EXPECT_NE(contents.value(field, ""), "") << field;
    const auto left =
        nlohmann::json::parse(etcd_.ctl({"lease", "timetolive", fmt::format("{:x}", raw.lease), "--write-out=json"}));
    EXPECT_EQ(left.value("granted-ttl", left.value("grantedTTL", 0)), 30);
    ASSERT_OK(run(lock->release()));
    EXPECT_FALSE(dump(etcd_).contains(key));
    runner_.drop(std::move(*lock));
  }
  // Somebody else's lock, made as Vitess makes it, keeps us out and names its holder; its end lets us in.
  const std::string granted = etcd_.ctl({"lease", "grant", "60"});
  const std::string lease = granted.substr(6, granted.find(' ', 6) - 6);
  const auto id = std::stoll(lease, nullptr, 16);
  etcd_.ctl({"put", fmt::format("/vitess/global/keyspaces/ks/locks/{}", id),
             R"({"Action":"MoveTables","HostName":"elsewhere","UserName":"ann","Time":"2026-01-02T03:04:05Z"})",
             "--lease=" + lease});
  const auto refused = run(KeyspaceLock::acquire(*topology_, "ks", "Reshard", {.wait_max = 200ms}));
  EXPECT_CODE(Code::kDeadlineExceeded, refused);
  EXPECT_NE(refused.error().message().find("MoveTables by ann@elsewhere"), std::string::npos)
      << refused.error().message();
  EXPECT_CODE(Code::kAlreadyExists, run(KeyspaceLock::acquire(*topology_, "ks", "Reshard", {.queue = false})));
  etcd_.ctl({"lease", "revoke", lease});
  auto lock = run(KeyspaceLock::acquire(*topology_, "ks", "Reshard", {.wait_max = 10s}));
  ASSERT_OK(lock);
  runner_.drop(std::move(*lock));
}

TEST_F(EtcdWire, NamedLocksAndElectionsHaveTheirPlaces) {
  auto named = run(topology_->global().lock_name("ks/reshard1", "me"));
  ASSERT_OK(named);
  auto leading = run(topology_->global().campaign("vtctld", "id-of-the-leader", {.wait = soon()}));
  ASSERT_OK(leading);
  std::map<std::string, std::string> found;
  for (const auto& [key, raw] : dump(etcd_)) {
    const std::string id = std::to_string(raw.lease);
    ASSERT_TRUE(key.ends_with("/" + id)) << key;
    found[key.substr(0, key.size() - id.size())] = raw.value;
  }
  EXPECT_EQ(found, (std::map<std::string, std::string>{
                       {"/vitess/global/elections/vtctld/locks/", "id-of-the-leader"},
                       {"/vitess/global/internal/named_locks/ks/reshard1/locks/", "me"},
                   }));
  EXPECT_EQ(run(topology_->global().leader("vtctld")).value(), "id-of-the-leader");
  runner_.drop(std::move(*named));
  runner_.drop(std::move(*leading));
}

// S4-45
TEST_F(EtcdWire, ACellMayHaveAServerOfItsOwn) {
  EtcdServer other;
  add_cell("zone1", other.address());
  ASSERT_OK(run(create_keyspace(*topology_, "ks", {})));
  ASSERT_OK(run(create_shard(*topology_, "ks", "-80")));
  ASSERT_OK(run(create_tablet(*topology_, tablet())));
  EXPECT_TRUE(dump(other).contains("/zone1/tablets/zone1-0000000100/Tablet"));
  EXPECT_FALSE(dump(other).contains("/vitess/global/keyspaces/ks/Keyspace"));
  for (const auto& [key, raw] : dump(etcd_)) EXPECT_TRUE(key.starts_with("/vitess/global/")) << key;
  // The cell is used although the global server is away.
  etcd_.kill_all();
  EXPECT_EQ(run(get_tablets_in_cell(*topology_, "zone1"))->size(), 1u);
  etcd_.start_all();
}

}  // namespace
}  // namespace vitrail::topo::conformance
