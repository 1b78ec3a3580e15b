#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "movement/engine.h"
#include "movement/source_service.h"
#include "mysqld/server_for_test.h"
#include "net/mysql_client.h"
#include "rpc/client.h"
#include "rpc/server.h"

// Two real servers, and in this process what a vttablet has for movement, joined by real gRPC on loopback.
namespace vitrail::movement::testing {

// A blocking connection. Statements that fail fail the test, unless try_run() is asked.
class Sql {
 public:
  explicit Sql(std::string socket, std::string user = "vt_dba");
  ~Sql();
  Sql(const Sql&) = delete;

  net::QueryResult run(const std::string& statement);
  Result<net::QueryResult> try_run(const std::string& statement);
  std::string value(const std::string& statement);
  // Rows as "a|b|NULL" lines.
  std::vector<std::string> lines(const std::string& statement);
  // What the server has executed, in prefixed form.
  std::string position();

 private:
  net::LoopThread thread_;
  std::string socket_;
  std::string user_;
  std::string database_;  // "USE x", for the next connection.
  std::optional<net::MysqlClient> client_;
};

// Where tablets are, by "keyspace/shard".
class Directory final : public SourcePicker {
 public:
  void put(const std::string& shard, std::string address);
  net::Task<Result<std::vector<SourceEndpoint>>> candidates(SourceQuery query) override;

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> addresses_;
};

struct TabletSettings {
  std::string socket;
  std::string keyspace;
  std::string shard;
  std::string db_name;
  ::vschema::SrvVSchema vschema;
  uint64_t chunk_bytes = 64u << 10;
  bool use_load_data = true;
  base::Duration share_wait{};  // How long a copy waits for others of the same table.
};

// The movement parts of one vttablet.
class Tablet {
 public:
  Tablet(TabletSettings settings, Directory& directory);
  ~Tablet();
  // As if the process had been stopped and started again.
  void restart();
  Engine& engine() { return *engine_; }
  // By VStreamRows, to all streams, since the beginning.
  uint64_t rows_read() {
    return metrics_.counter("VStreamRowsRead", "rows read from the server for VStreamRows").value();
  }
  uint64_t rows_sent() { return metrics_.counter("VStreamRowsSent", "rows sent by VStreamRows").value(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }

  // Through gRPC.
  template <typename Response>
  Result<Response> call(const std::string& method, const google::protobuf::MessageLite& request,
                        base::Duration timeout = std::chrono::seconds(60));

  // Creates and starts a workflow with one stream. Returns its id.
  int32_t start_workflow(const std::string& workflow, const ::binlogdata::BinlogSource& source, Sql& sql,
                         bool defer_secondary_keys = false);
  Status wait_for(int32_t id, const std::string& position, base::Duration timeout = std::chrono::seconds(60));

 private:
  void start();
  void stop();

  TabletSettings settings_;
  Directory& directory_;
  base::Metrics metrics_{"test"};
  net::LoopThread thread_;  // For calls of the test.
  std::unique_ptr<SourceService> source_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<rpc::Channel> channel_;
};

// A rule for each table; filter "" for all rows.
::binlogdata::BinlogSource source_of(const std::string& keyspace, const std::string& shard,
                                     const std::vector<std::pair<std::string, std::string>>& rules);

bool eventually(const std::function<bool()>& done, base::Duration timeout = std::chrono::seconds(60));

// Runs `body` again and again on a thread of its own, until stop().
class Background {
 public:
  explicit Background(std::function<void()> body);
  ~Background() { stop(); }
  void stop();
  uint64_t rounds() const { return rounds_.load(); }

 private:
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> rounds_{0};
  std::thread thread_;
};

template <typename Response>
Result<Response> Tablet::call(const std::string& method, const google::protobuf::MessageLite& request,
                              base::Duration timeout) {
  auto bytes = net::block_on(thread_.loop(), channel_->call("/tabletmanagerservice.TabletManager/" + method,
                                                            request.SerializeAsString(), net::Wait::within(timeout)));
  if (!bytes.ok()) return std::move(bytes).error();
  Response response;
  if (!response.ParseFromString(*bytes)) return fail(Code::kInternal, "malformed response");
  return response;
}

}  // namespace vitrail::movement::testing
