// Measures what a large topology costs: 1,000 keyspaces of 64 shards of 3 tablets, as records of the SQLite store. Run
// by
// `./dev bench topo`. Each step runs on records of a quarter of the size first: a step whose time grows much more than
// fourfold is not linear.
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/settings.h"
#include "base/startup.h"
#include "control/tablet_client.h"
#include "control/validate.h"
#include "gate/discovery.h"
#include "net/loop.h"
#include "net/scope.h"
#include "shard/key_range.h"
#include "shard/shard_name.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/paths.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/tablet.h"
#include "topo/vschema.h"

namespace vitrail {
namespace {

using namespace std::chrono_literals;

int64_t resident_kib() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE) / 1024;
}

struct Step {
  std::string name;
  double seconds = 0;
  int64_t memory_kib = 0;  // Growth of this process.
};

template <typename T>
T must(Result<T> result, const char* what) {
  if (result.ok()) return std::move(*result);
  std::fprintf(stderr, "%s: %s\n", what, result.error().to_string().c_str());
  std::exit(1);
}
void must(Status status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, status.error().to_string().c_str());
  std::exit(1);
}

class Bench {
 public:
  Bench(int keyspaces, int shards)
      : keyspaces_(keyspaces), names_(must(shard::generate_shard_ranges(shards), "shards")) {
    // In memory where that is possible: how fast a disk makes hundreds of thousands of commits durable is not the
    // question.
    const std::filesystem::path memory = "/dev/shm";
    const auto parent = ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
    folder_ = (parent / "vitrail-bench-XXXXXX").string();
    if (::mkdtemp(folder_.data()) == nullptr) std::abort();
    topo::ServerOptions options;
    options.global_server_address = folder_ + "/topo.db";
    topology_ = must(run(topo::Server::open(options)), "open the topology");
  }
  ~Bench() {
    run(topology_->close());
    std::filesystem::remove_all(folder_);
  }

  std::vector<Step> measure() {
    step("write the records", [&] { fill(); });
    step("rebuild SrvVSchema, all keyspaces", [&] { must(run(topo::rebuild_srv_vschema(*topology_)), "rebuild"); });
    step("GetTablets, all", [&] { expect_tablets({}, keyspaces_ * names_.size() * 3); });
    step("GetTablets, one keyspace", [&] { expect_tablets({.keyspace = "k0001"}, names_.size() * 3); });
    step("GetTablets, one shard", [&] { expect_tablets({.keyspace = "k0001", .shard = names_[0]}, 3); });
    step("Validate, all", [&] {
      control::TabletClient client(*topology_);
      const auto found = must(run(control::validate_all(client, false)), "validate");
      if (found.results_size() > 0) must(fail(Code::kInternal, found.results(0)), "validate");
    });
    step("a vtgate's first sync", [&] { first_sync(); });
    return std::move(steps_);
  }

 private:
  template <typename T>
  T run(net::Task<T> task) {
    return net::block_on(loop_.loop(), std::move(task));
  }
  void run(net::Task<void> task) { net::block_on(loop_.loop(), std::move(task)); }

  template <typename F>
  void step(std::string name, F body) {
    const int64_t before = resident_kib();
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    steps_.push_back({std::move(name), took.count(), std::max<int64_t>(0, resident_kib() - before)});
    std::fprintf(stderr, "%6d keyspaces: %-36s %8.3f s\n", keyspaces_, steps_.back().name.c_str(), took.count());
  }

  void fill() {
    ::topodata::CellInfo info;
    info.set_server_address(folder_ + "/topo.db");
    info.set_root("/vitess/zone1");
    must(run(topo::create_cell_info(*topology_, "zone1", info)), "cell");
    uint32_t uid = 100;
    for (int i = 0; i < keyspaces_; ++i) run(fill_keyspace(*this, fmt::format("k{:04}", i), uid));
  }

  static net::Task<void> fill_keyspace(Bench& self, std::string keyspace, uint32_t& uid) {
    topo::Server& topology = *self.topology_;
    const auto cell = must(co_await topology.store_for_cell("zone1"), "cell");
    must(co_await topo::create_keyspace(topology, keyspace, {}), "keyspace");
    ::vschema::Keyspace vschema;
    vschema.set_sharded(true);
    (*vschema.mutable_vindexes())["xxhash"].set_type("xxhash");
    for (int table = 0; table < 10; ++table) {
      auto* vindex = (*vschema.mutable_tables())[fmt::format("table_{}", table)].add_column_vindexes();
      vindex->set_column("id");
      vindex->set_name("xxhash");
    }
    must(co_await topo::save_vschema(topology, keyspace, vschema), "vschema");
    auto lock = must(co_await topo::KeyspaceLock::acquire(topology, keyspace, "bench"), "lock");
    for (const auto& name : self.names_) {
      // Written as records, not made by commands: what commands cost is not the question here.
      const auto parsed = must(shard::ShardName::parse(name), "shard");
      ::topodata::Shard record;
      *record.mutable_key_range() = topo::to_proto(parsed.covered_range());
      record.set_is_primary_serving(true);
      record.mutable_primary_alias()->set_cell("zone1");
      record.mutable_primary_alias()->set_uid(uid);
      must(co_await topology.global().create(topo::shard_path(keyspace, name), record.SerializeAsString()), "shard");
      ::topodata::ShardReplication graph;
      for (int i = 0; i < 3; ++i) {
        ::topodata::Tablet tablet;
        tablet.mutable_alias()->set_cell("zone1");
        tablet.mutable_alias()->set_uid(uid++);
        tablet.set_hostname("tablet.example");
        tablet.set_keyspace(keyspace);
        tablet.set_shard(name);
        tablet.set_type(i == 0 ? ::topodata::PRIMARY : ::topodata::REPLICA);
        // Without a gRPC port nobody asks it for its health: the records are measured, not connections to nowhere.
        (*tablet.mutable_port_map())[std::string(topo::kPortHttp)] = 15'000;
        *tablet.mutable_key_range() = record.key_range();
        *graph.add_nodes()->mutable_tablet_alias() = tablet.alias();
        must(
            co_await cell->create(topo::tablet_path(topo::alias_to_string(tablet.alias())), tablet.SerializeAsString()),
            "tablet");
      }
      must(co_await cell->create(topo::shard_replication_path(keyspace, name), graph.SerializeAsString()), "graph");
    }
    must(co_await topo::rebuild_keyspace_graph(topology, lock), "serving graph");
    must(co_await lock.release(), "lock");
  }

  void expect_tablets(topo::TabletQuery query, size_t count) {
    const auto list = must(run(topo::find_tablets(*topology_, std::move(query))), "tablets");
    if (list.tablets.size() != count) {
      must(fail(Code::kInternal, fmt::format("{} tablets instead of {}", list.tablets.size(), count)), "tablets");
    }
  }

  void first_sync() {
    gate::Discovery discovery(*topology_, {.cell = "zone1"}, [](std::shared_ptr<const gate::View>) {});
    run(sync(discovery));
    if (discovery.view()->shards.size() != static_cast<size_t>(keyspaces_)) {
      must(fail(Code::kInternal, "keyspaces are missing in the view"), "first sync");
    }
    run(discovery.stop());
  }
  static net::Task<void> sync(gate::Discovery& discovery) {
    discovery.start();
    must(co_await discovery.wait_first_view(net::Wait::within(600s)), "first view");
  }

  const int keyspaces_;
  const std::vector<std::string> names_;
  std::string folder_;
  net::LoopThread loop_{"bench"};
  std::unique_ptr<topo::Server> topology_;
  std::vector<Step> steps_;
};

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("topo_bench", "measures what a large topology costs");
  int32_t keyspaces = 1000, shards = 64;
  bool json = false;
  settings.add("keyspaces", &keyspaces, "how many keyspaces");
  settings.add("shards", &shards, "shards of each; every shard has three tablets");
  settings.add("json", &json, "print JSON");
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;
  const int quarter = std::max(1, keyspaces / 4);
  const auto small = Bench(quarter, shards).measure();
  const auto large = Bench(keyspaces, shards).measure();
  std::string out;
  if (!json)
    out = fmt::format("{:<36} {:>10} {:>10} {:>7} {:>10}\n", "", fmt::format("{} ks", quarter),
                      fmt::format("{} ks", keyspaces), "growth", "memory");
  for (size_t i = 0; i < large.size(); ++i) {
    const double growth = small[i].seconds > 0 ? large[i].seconds / small[i].seconds : 0;
    if (json) {
      out += fmt::format(
          "{}{{\"step\": \"{}\", \"keyspaces\": {}, \"shards\": {}, \"seconds\": {:.4f}, "
          "\"seconds_quarter\": {:.4f}, \"memory_kib\": {}}}",
          out.empty() ? "[" : ",\n ", large[i].name, keyspaces, shards, large[i].seconds, small[i].seconds,
          large[i].memory_kib);
    } else {
      out += fmt::format("{:<36} {:>8.3f} s {:>8.3f} s {:>6.1f}x {:>6} MiB\n", large[i].name, small[i].seconds,
                         large[i].seconds, growth, large[i].memory_kib / 1024);
    }
  }
  std::fputs((out + (json ? "]\n" : "")).c_str(), stdout);
  return 0;
}
