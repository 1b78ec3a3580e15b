// Measures what a Reshard of many shards costs the control plane: creation, the switch of reads and writes, the way
// back and the cancellation, of N shards into 2 N. Run by `./dev bench scale`. The topology is a SQLite file in memory;
// one gRPC server answers for all tablets, each of which has an address of its own (127.a.b.c), and keeps their
// streams.
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/settings.h"
#include "base/startup.h"
#include "control/tablet_client.h"
#include "control/workflow/cancel.h"
#include "control/workflow/create.h"
#include "control/workflow/engine/record.h"
#include "control/workflow/switch.h"
#include "net/loop.h"
#include "rpc/server.h"
#include "rpc/typed.h"
#include "shard/shard_name.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/paths.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/tablet.h"
#include "topo/vschema.h"

namespace vitrail {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

constexpr const char* kKeyspace = "customer";
constexpr const char* kWorkflow = "split";

template <typename T>
T must(Result<T> result, const std::string& what) {
  if (result.ok()) return std::move(*result);
  std::fprintf(stderr, "%s: %s\n", what.c_str(), result.error().to_string().c_str());
  std::exit(1);
}
void must(Status status, const std::string& what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what.c_str(), status.error().to_string().c_str());
  std::exit(1);
}

// The address of the tablet with this number.
std::string host_of(uint32_t number) {
  return fmt::format("127.{}.{}.{}", 1 + number / 62'500, number / 250 % 250, 1 + number % 250);
}

// All tablets: their streams, and how often each method was called.
class Tablets {
 public:
  explicit Tablets(net::Loop& loop) : server_({.host = "0.0.0.0"}) {
    answer<tmd::RefreshStateRequest, tmd::RefreshStateResponse>(loop, "RefreshState");
    answer<::workflowdata::HoldTransactionsRequest, ::workflowdata::HoldTransactionsResponse>(loop, "HoldTransactions");
    answer<tmd::GetSchemaRequest, tmd::GetSchemaResponse>(loop, "GetSchema");
    answer<tmd::VReplicationWaitForPosRequest, tmd::VReplicationWaitForPosResponse>(loop, "VReplicationWaitForPos");
    answer<tmd::VReplicationExecRequest, tmd::VReplicationExecResponse>(loop, "VReplicationExec");
    answer<tmd::ExecuteFetchAsDbaRequest, tmd::ExecuteFetchAsDbaResponse>(loop, "ExecuteFetchAsDba");
    add<tmd::PrimaryPositionRequest, tmd::PrimaryPositionResponse>(
        loop, "PrimaryPosition", [](Tablet&, const auto&, auto& response) { response.set_position("MariaDB/0-1-1"); });
    add<tmd::CreateVReplicationWorkflowRequest, tmd::CreateVReplicationWorkflowResponse>(
        loop, "CreateVReplicationWorkflow",
        [](Tablet& tablet, const auto& request, auto&) { create(tablet, request); });
    add<tmd::ReadVReplicationWorkflowRequest, tmd::ReadVReplicationWorkflowResponse>(
        loop, "ReadVReplicationWorkflow", [](Tablet& tablet, const auto& request, auto& response) {
          const auto found = tablet.find(request.workflow());
          if (found == tablet.end()) return;
          response = found->second;
          for (auto& stream : *response.mutable_streams()) {  // Never behind.
            stream.mutable_time_heartbeat()->set_seconds(std::time(nullptr));
          }
        });
    add<tmd::UpdateVReplicationWorkflowRequest, tmd::UpdateVReplicationWorkflowResponse>(
        loop, "UpdateVReplicationWorkflow", [](Tablet& tablet, const auto& request, auto&) {
          for (auto& stream : *tablet[request.workflow()].mutable_streams()) {
            stream.set_state(request.state());
            stream.set_message(request.message());
          }
        });
    add<tmd::DeleteVReplicationWorkflowRequest, tmd::DeleteVReplicationWorkflowResponse>(
        loop, "DeleteVReplicationWorkflow",
        [](Tablet& tablet, const auto& request, auto&) { tablet.erase(request.workflow()); });
    must(server_.start(), "start the tablets");
  }

  uint16_t port() const { return server_.port(); }
  net::Task<void> stop() { return server_.stop(1s); }
  // Calls since the last time.
  std::map<std::string, int64_t> take_calls() {
    const std::lock_guard lock(mutex_);
    return std::exchange(calls_, {});
  }

 private:
  using Tablet = std::map<std::string, tmd::ReadVReplicationWorkflowResponse>;  // By workflow.

  static void create(Tablet& tablet, const tmd::CreateVReplicationWorkflowRequest& request) {
    auto& workflow = tablet[request.workflow()];
    workflow.set_workflow(request.workflow());
    workflow.set_workflow_type(request.workflow_type());
    workflow.set_options(request.options());
    for (const auto& source : request.binlog_source()) {
      auto& stream = *workflow.add_streams();
      stream.set_id(workflow.streams_size());
      *stream.mutable_bls() = source;
      stream.set_pos("MariaDB/0-1-1");
      stream.set_state(::binlogdata::Stopped);
    }
  }

  template <typename Request, typename Response>
  void add(net::Loop& loop, const std::string& method,
           std::function<void(Tablet&, const Request&, Response&)> handler) {
    rpc::handle_unary<Request, Response>(
        server_, "/tabletmanagerservice.TabletManager/" + method, loop,
        [this, method, handler](rpc::CallContext context, Request request) -> net::Task<Result<Response>> {
          return run<Request, Response>(*this, method, handler, std::string(context.find_metadata(":authority")),
                                        std::move(request));
        });
  }
  template <typename Request, typename Response>
  static net::Task<Result<Response>> run(Tablets& self, std::string method,
                                         std::function<void(Tablet&, const Request&, Response&)> handler,
                                         std::string address, Request request) {
    Response response;
    const std::lock_guard lock(self.mutex_);
    ++self.calls_[method];
    handler(self.tablets_[address], request, response);
    co_return response;
  }
  template <typename Request, typename Response>
  void answer(net::Loop& loop, const std::string& method) {
    add<Request, Response>(loop, method, [](Tablet&, const Request&, Response&) {});
  }

  rpc::Server server_;
  std::mutex mutex_;
  std::map<std::string, Tablet> tablets_;  // By address.
  std::map<std::string, int64_t> calls_;
};

struct Measured {
  std::string name;
  double seconds = 0;
  double cpu_seconds = 0;  // Of this process, the tablets' part included.
  int64_t calls = 0;
};

class Bench {
 public:
  explicit Bench(int shards)
      : sources_(must(shard::generate_shard_ranges(shards), "shards")),
        targets_(must(shard::generate_shard_ranges(2 * shards), "shards")),
        tablets_(tablet_loop_.loop()) {
    const std::filesystem::path memory = "/dev/shm";
    const auto parent = ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
    folder_ = (parent / "vitrail-scale-XXXXXX").string();
    if (::mkdtemp(folder_.data()) == nullptr) std::abort();
    topo::ServerOptions options;
    options.global_server_address = folder_ + "/topo.db";
    topology_ = must(run(topo::Server::open(options)), "open the topology");
    client_ = std::make_unique<control::TabletClient>(*topology_);
  }
  ~Bench() {
    client_.reset();
    net::block_on(tablet_loop_.loop(), tablets_.stop());
    run(topology_->close());
    std::filesystem::remove_all(folder_);
  }

  std::vector<Measured> measure() {
    run(fill(*this));
    (void)tablets_.take_calls();
    step("create", [&] {
      ::vtctldata::ReshardCreateRequest request;
      request.set_workflow(kWorkflow);
      request.set_keyspace(kKeyspace);
      request.mutable_source_shards()->Add(sources_.begin(), sources_.end());
      request.mutable_target_shards()->Add(targets_.begin(), targets_.end());
      request.set_auto_start(true);
      must(run(control::create_reshard(*client_, std::move(request))), "create");
    });
    step("switch reads", [&] { switch_traffic(false, {::topodata::REPLICA, ::topodata::RDONLY}); });
    step("switch writes", [&] { switch_traffic(false, {::topodata::PRIMARY}); });
    steps_of_last("switch writes");
    step("reverse", [&] { switch_traffic(true, {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY}); });
    steps_of_last("reverse");
    step("cancel", [&] {
      ::vtctldata::WorkflowDeleteRequest request;
      request.set_keyspace(kKeyspace);
      request.set_workflow(kWorkflow);
      must(run(control::cancel_workflow(*client_, std::move(request))), "cancel");
    });
    return std::move(measured_);
  }

 private:
  template <typename T>
  T run(net::Task<T> task) {
    return net::block_on(loop_.loop(), std::move(task));
  }
  void run(net::Task<void> task) { net::block_on(loop_.loop(), std::move(task)); }

  void step(std::string name, const std::function<void()>& body) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    body();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const double used = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
    int64_t calls = 0;
    for (const auto& [method, count] : tablets_.take_calls()) calls += count;
    std::fprintf(stderr, "%5zu -> %5zu shards: %-14s %8.3f s, %.3f s of CPU, %lld calls\n", sources_.size(),
                 targets_.size(), name.c_str(), took.count(), used, static_cast<long long>(calls));
    measured_.push_back({std::move(name), took.count(), used, calls});
  }

  void switch_traffic(bool reverse, std::vector<::topodata::TabletType> types) {
    control::SwitchOptions options;
    options.keyspace = kKeyspace;
    options.workflow = kWorkflow;
    options.reverse = reverse;
    options.types = std::move(types);
    (void)must(run(control::switch_traffic(*client_, std::move(options))), "switch");
  }

  // The times that the workflow's record has of the steps of its last operation. Writes are stopped from the beginning
  // of stop_writes to the end of switch_routing.
  void steps_of_last(const std::string& name) {
    const auto stored = must(run(control::engine::load_record(*topology_, kKeyspace, kWorkflow)), "the record");
    const auto& last = *stored.record.history().rbegin();
    int64_t stopped = 0;
    for (const auto& one : last.steps()) {
      measured_.push_back(
          {fmt::format("{}: {}", name, one.name()), static_cast<double>(one.ended_ms() - one.started_ms()) / 1000});
      if (one.name() == "stop_writes") stopped = one.started_ms();
      if (one.name() == "switch_routing") {
        measured_.push_back({name + ": writes are stopped", static_cast<double>(one.ended_ms() - stopped) / 1000});
      }
    }
  }

  static net::Task<void> fill(Bench& self) {
    topo::Server& topology = *self.topology_;
    ::topodata::CellInfo info;
    info.set_server_address(self.folder_ + "/topo.db");
    info.set_root("/vitess/zone1");
    must(co_await topo::create_cell_info(topology, "zone1", info), "cell");
    const auto cell = must(co_await topology.store_for_cell("zone1"), "cell");
    must(co_await topo::create_keyspace(topology, kKeyspace, {}), "keyspace");
    ::vschema::Keyspace vschema;
    vschema.set_sharded(true);
    (*vschema.mutable_vindexes())["xxhash"].set_type("xxhash");
    must(co_await topo::save_vschema(topology, kKeyspace, vschema), "vschema");
    auto lock = must(co_await topo::KeyspaceLock::acquire(topology, kKeyspace, "bench"), "lock");
    uint32_t uid = 1;
    for (const auto* names : {&self.sources_, &self.targets_}) {
      for (const auto& name : *names) {
        co_await add_shard(self, *cell, name, uid++, names == &self.sources_);
      }
    }
    must(co_await topo::rebuild_keyspace_graph(topology, lock), "serving graph");
    must(co_await lock.release(), "lock");
    must(co_await topo::rebuild_srv_vschema(topology), "vschema");
  }

  static net::Task<void> add_shard(Bench& self, topo::Store& cell, std::string name, uint32_t uid, bool serving) {
    const auto parsed = must(shard::ShardName::parse(name), "shard");
    ::topodata::Tablet tablet;
    tablet.mutable_alias()->set_cell("zone1");
    tablet.mutable_alias()->set_uid(uid);
    tablet.set_hostname(host_of(uid));
    tablet.set_keyspace(kKeyspace);
    tablet.set_shard(name);
    tablet.set_type(::topodata::PRIMARY);
    (*tablet.mutable_port_map())[std::string(topo::kPortGrpc)] = self.tablets_.port();
    *tablet.mutable_key_range() = topo::to_proto(parsed.covered_range());
    ::topodata::Shard record;
    *record.mutable_key_range() = tablet.key_range();
    record.set_is_primary_serving(serving);
    *record.mutable_primary_alias() = tablet.alias();
    ::topodata::ShardReplication graph;
    *graph.add_nodes()->mutable_tablet_alias() = tablet.alias();
    must(co_await self.topology_->global().create(topo::shard_path(kKeyspace, name), record.SerializeAsString()), name);
    must(co_await cell.create(topo::tablet_path(topo::alias_to_string(tablet.alias())), tablet.SerializeAsString()),
         name);
    must(co_await cell.create(topo::shard_replication_path(kKeyspace, name), graph.SerializeAsString()), name);
  }

  const std::vector<std::string> sources_;
  const std::vector<std::string> targets_;
  std::string folder_;
  net::LoopThread tablet_loop_{"tablets"};
  net::LoopThread loop_{"vtctld"};
  Tablets tablets_;
  std::unique_ptr<topo::Server> topology_;
  std::unique_ptr<control::TabletClient> client_;
  std::vector<Measured> measured_;
};

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) {
  using namespace vitrail;
  base::Settings settings("scale_bench", "measures what a Reshard of many shards costs the control plane");
  int32_t shards = 1000;
  bool json = false;
  settings.add("shards", &shards, "how many shards are split in two");
  settings.add("json", &json, "print JSON");
  base::Startup startup(settings);
  if (const auto exit_code = startup.run(argc, argv)) return *exit_code;
  const int quarter = std::max(1, shards / 4);
  const auto small = Bench(quarter).measure();
  const auto large = Bench(shards).measure();
  std::string out;
  if (!json) {
    out = fmt::format("{:<40} {:>12} {:>12} {:>7} {:>10} {:>8}\n", "", fmt::format("{} shards", quarter),
                      fmt::format("{} shards", shards), "growth", "CPU", "calls");
  }
  for (size_t i = 0; i < large.size(); ++i) {
    const double growth = small[i].seconds > 0 ? large[i].seconds / small[i].seconds : 0;
    if (json) {
      out += fmt::format(
          "{}{{\"step\": \"{}\", \"shards\": {}, \"seconds\": {:.3f}, \"seconds_quarter\": {:.3f}, \"cpu_seconds\": "
          "{:.3f}, \"calls\": {}}}",
          out.empty() ? "[" : ",\n ", large[i].name, shards, large[i].seconds, small[i].seconds, large[i].cpu_seconds,
          large[i].calls);
    } else {
      out += fmt::format("{:<40} {:>10.3f} s {:>10.3f} s {:>6.1f}x {:>8.3f} s {:>8}\n", large[i].name, small[i].seconds,
                         large[i].seconds, growth, large[i].cpu_seconds, large[i].calls);
    }
  }
  std::fputs((out + (json ? "]\n" : "")).c_str(), stdout);
  return 0;
}
