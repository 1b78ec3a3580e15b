#include "movement/servers_for_test.h"

#include <gtest/gtest.h>

#include "movement/stream_record.h"
#include "mysql/gtid.h"

namespace vitrail::movement::testing {

Sql::Sql(std::string socket, std::string user) : thread_("sql"), socket_(std::move(socket)), user_(std::move(user)) {}

Sql::~Sql() {
  net::block_on(thread_.loop(), [](Sql& self) -> net::Task<void> {
    if (self.client_) self.client_->close();
    self.client_.reset();
    co_return;
  }(*this));
}

Result<net::QueryResult> Sql::try_run(const std::string& statement) {
  if (statement.starts_with("USE ")) database_ = statement;
  return net::block_on(thread_.loop(), [](Sql& self, std::string statement) -> net::Task<Result<net::QueryResult>> {
    const net::Wait wait = net::Wait::within(std::chrono::seconds(60));
    // A server that was killed in between: the next one is meant.
    if (self.client_ && !self.client_->idle_ok()) self.client_.reset();
    if (!self.client_) {
      net::MysqlClientSettings settings;
      settings.address.unix_socket = self.socket_;
      settings.auth.user = self.user_;
      CO_ASSIGN_OR_RETURN(net::MysqlClient client, co_await net::MysqlClient::connect(std::move(settings), wait));
      self.client_.emplace(std::move(client));
      if (!self.database_.empty()) CO_RETURN_IF_ERROR(co_await self.client_->query(self.database_, wait));
      CO_RETURN_IF_ERROR(
          co_await self.client_->query("SET NAMES utf8mb4, SESSION time_zone = '+00:00', SESSION sql_mode = ''", wait));
    }
    co_return co_await self.client_->query(std::move(statement), wait, SIZE_MAX);
  }(*this, statement));
}

net::QueryResult Sql::run(const std::string& statement) {
  auto result = try_run(statement);
  EXPECT_TRUE(result.ok()) << statement.substr(0, 200) << ": " << (result.ok() ? "" : result.error().to_string());
  return result.ok() ? std::move(*result) : net::QueryResult();
}

std::string Sql::value(const std::string& statement) { return std::string(run(statement).text(0, 0)); }

std::vector<std::string> Sql::lines(const std::string& statement) {
  std::vector<std::string> lines;
  for (const auto& row : run(statement).rows) {
    std::string line;
    for (const auto& cell : row) line += (line.empty() ? "" : "|") + (cell ? *cell : "NULL");
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string Sql::position() { return "MariaDB/" + value("SELECT @@global.gtid_binlog_pos"); }

void Directory::put(const std::string& shard, std::string address) {
  const std::lock_guard lock(mutex_);
  addresses_[shard] = std::move(address);
}

net::Task<Result<std::vector<SourceEndpoint>>> Directory::candidates(SourceQuery query) {
  const std::lock_guard lock(mutex_);
  const auto found = addresses_.find(query.keyspace + "/" + query.shard);
  if (found == addresses_.end()) co_return fail(Code::kNotFound, "no such shard");
  SourceEndpoint endpoint;
  endpoint.type = ::topodata::PRIMARY;
  endpoint.address = found->second;
  co_return std::vector<SourceEndpoint>{endpoint};
}

Tablet::Tablet(TabletSettings settings, Directory& directory)
    : settings_(std::move(settings)), directory_(directory), thread_("test") {
  start();
}

Tablet::~Tablet() { stop(); }

void Tablet::start() {
  SourceOptions source;
  source.mysqld.unix_socket = settings_.socket;
  source.metrics = &metrics_;
  source.share_from_bytes = 0;
  source.share_wait = settings_.share_wait;
  source.db_name = settings_.db_name;
  source.keyspace = settings_.keyspace;
  source.load_vschema = [this]() -> net::Task<Result<::vschema::SrvVSchema>> {
    return [](::vschema::SrvVSchema vschema) -> net::Task<Result<::vschema::SrvVSchema>> {
      co_return vschema;
    }(settings_.vschema);
  };
  source_ = std::make_unique<SourceService>(std::move(source));
  EngineOptions engine;
  engine.keyspace = settings_.keyspace;
  engine.shard = settings_.shard;
  engine.db_name = settings_.db_name;
  engine.mysqld.unix_socket = settings_.socket;
  engine.sources = &directory_;
  engine.chunk_bytes = settings_.chunk_bytes;
  engine.use_load_data = settings_.use_load_data;
  engine.retry_delay_min = std::chrono::milliseconds(1);
  engine.retry_delay_max = std::chrono::milliseconds(200);
  engine_ = std::make_unique<Engine>(std::move(engine));
  server_ = std::make_unique<rpc::Server>(rpc::ServerOptions{});
  source_->register_handlers(*server_);
  engine_->register_handlers(*server_);
  const Status started = server_->start();
  ASSERT_TRUE(started.has_value()) << started.error().to_string();
  const std::string address = "127.0.0.1:" + std::to_string(server_->port());
  directory_.put(settings_.keyspace + "/" + settings_.shard, address);
  auto channel = rpc::Channel::create(address);
  ASSERT_TRUE(channel.ok());
  channel_ = std::move(*channel);
  ASSERT_TRUE(net::block_on(thread_.loop(), engine_->open()).has_value());
}

void Tablet::stop() {
  channel_.reset();
  net::block_on(thread_.loop(), engine_->close());
  net::block_on(thread_.loop(), server_->stop(std::chrono::milliseconds(0)));
  net::block_on(thread_.loop(), source_->stop());
  server_.reset();
  engine_.reset();
  source_.reset();
}

void Tablet::restart() {
  stop();
  start();
}

int32_t Tablet::start_workflow(const std::string& workflow, const ::binlogdata::BinlogSource& source, Sql& sql,
                               bool defer_secondary_keys) {
  ::tabletmanagerdata::CreateVReplicationWorkflowRequest create;
  create.set_workflow(workflow);
  *create.add_binlog_source() = source;
  create.add_tablet_types(::topodata::PRIMARY);
  create.set_workflow_type(::binlogdata::MoveTables);
  create.set_defer_secondary_keys(defer_secondary_keys);
  auto created = call<::tabletmanagerdata::CreateVReplicationWorkflowResponse>("CreateVReplicationWorkflow", create);
  EXPECT_TRUE(created.ok()) << created.error().to_string();
  const std::string where =
      " FROM _vt.vreplication WHERE workflow = '" + workflow + "' AND db_name = '" + settings_.db_name + "'";
  EXPECT_EQ(sql.value("SELECT state" + where), "Stopped");
  ::tabletmanagerdata::UpdateVReplicationWorkflowRequest update;
  update.set_workflow(workflow);
  update.set_state(::binlogdata::Running);
  auto updated = call<::tabletmanagerdata::UpdateVReplicationWorkflowResponse>("UpdateVReplicationWorkflow", update);
  EXPECT_TRUE(updated.ok()) << updated.error().to_string();
  return std::stoi("0" + sql.value("SELECT id" + where));
}

Status Tablet::wait_for(int32_t id, const std::string& position, base::Duration timeout) {
  ::tabletmanagerdata::VReplicationWaitForPosRequest request;
  request.set_id(id);
  request.set_position(position);
  auto response = call<::tabletmanagerdata::VReplicationWaitForPosResponse>("VReplicationWaitForPos", request, timeout);
  if (!response.ok()) return std::move(response).error();
  return {};
}

::binlogdata::BinlogSource source_of(const std::string& keyspace, const std::string& shard,
                                     const std::vector<std::pair<std::string, std::string>>& rules) {
  ::binlogdata::BinlogSource source;
  source.set_keyspace(keyspace);
  source.set_shard(shard);
  for (const auto& [match, filter] : rules) {
    auto* rule = source.mutable_filter()->add_rules();
    rule->set_match(match);
    rule->set_filter(filter);
  }
  return source;
}

bool eventually(const std::function<bool()>& done, base::Duration timeout) {
  const auto end = base::system_clock().now() + timeout;
  while (!done()) {
    if (base::system_clock().now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

Background::Background(std::function<void()> body)
    : thread_([this, body = std::move(body)] {
        while (!stopping_.load()) {
          body();
          ++rounds_;
        }
      }) {}

void Background::stop() {
  stopping_.store(true);
  if (thread_.joinable()) thread_.join();
}

}  // namespace vitrail::movement::testing
