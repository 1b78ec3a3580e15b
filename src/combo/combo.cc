#include "combo/combo.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "combo/ports.h"
#include "combo/servers.h"
#include "control/vtctld.h"
#include "control/web_api.h"
#include "control/web_site.h"
#include "gate/gate.h"
#include "gate/pages.h"
#include "net/mysql_client.h"
#include "net/scope.h"
#include "rpc/typed.h"
#include "tablet/tablet.h"
#include "topo/keyspace.h"
#include "topo/server.h"
#include "topo/shard.h"
#include "vtctldata.pb.h"

namespace vitrail::combo {

using namespace std::chrono_literals;

namespace {

constexpr auto kStepMax = 2min;

}  // namespace

void declare(base::Settings& settings, Options& options) {
  settings.add("keyspaces", &options.keyspaces, "keyspaces, with commas between them");
  settings.add("num_shards", &options.num_shards, "shards of each of them, in the same order; 1: not sharded");
  settings.add("replica_count", &options.replica_count, "replica tablets of each shard, its primary included");
  settings.add("rdonly_count", &options.rdonly_count, "rdonly tablets of each shard");
  settings.add("cell", &options.cell, "cell of everything").alias("cells");
  settings.add("schema_dir", &options.schema_dir,
               "folder with a folder for each keyspace: vschema.json, and files *.sql that are run through vtgate in "
               "the order of their names when the keyspace is made");
  settings.add("data_dir", &options.data_dir,
               "folder of the servers and the topology; empty: a temporary one, removed at the end");
  settings.add("persistent_mode", &options.persistent,
               "keep --data-dir at the end, and go on with what is in it at the start");
  settings.add("mysql_bind_host", &options.mysql_host, "address on which to speak the MySQL protocol");
  settings.add("mysql_server_allow_insecure", &options.mysql_insecure,
               "let others than this machine in: everybody may log in without a password");
  settings.add("port", &options.port,
               "port of the pages; the next three are vtgate's gRPC, vtctld's gRPC and MySQL; 0: free ones");
}

struct Combo::Core {
  Options options;
  Spec spec;
  std::map<std::string, KeyspaceSchema> schemas;
  std::string data_dir;
  base::Settings& settings;
  const control::WebSite& site;

  base::Metrics gate_metrics{"vtgate"};
  base::Metrics vtctld_metrics{"vtctld"};
  std::vector<std::unique_ptr<base::Metrics>> tablet_metrics;
  net::LoopThread control{"control"};
  std::unique_ptr<topo::Server> topology;
  std::unique_ptr<control::Vtctld> vtctld;
  std::unique_ptr<control::WebApi> api;
  std::vector<std::unique_ptr<tablet::Tablet>> tablets;
  std::unique_ptr<gate::Gate> gate;
  std::unique_ptr<rpc::HttpServer> http;
  uint16_t gate_grpc_port = 0;
  std::vector<std::string> made;  // Keyspaces of this start.

  uint16_t port(uint16_t offset) const { return options.port == 0 ? 0 : static_cast<uint16_t>(options.port + offset); }
  template <typename Response, typename Request>
  net::Task<Result<Response>> call(std::string_view method, Request request) {
    return rpc::call<Response>(vtctld->methods().in_process(), std::string("/vtctlservice.Vtctld/").append(method),
                               request, net::Wait::within(kStepMax));
  }

  net::Task<Status> start();
  net::Task<Status> start_vtctld();
  net::Task<Status> make_keyspaces();
  net::Task<Status> start_tablet(const TabletSpec& one, uint16_t grpc_port);
  net::Task<Status> elect(const TabletSpec& first);
  net::Task<Status> start_gate();
  net::Task<Status> apply_vschemas();
  net::Task<Status> load_schema();
  Status start_pages();
  net::Task<void> stop();
};

net::Task<Status> Combo::Core::start_vtctld() {
  topo::ServerOptions where;
  where.global_server_address = data_dir + "/topo.sqlite";
  CO_ASSIGN_OR_RETURN(topology, co_await topo::Server::open(where));
  control::VtctldOptions settings_of;
  settings_of.cell = options.cell;
  settings_of.grpc_port = port(2);
  auto starting = std::make_unique<control::Vtctld>(settings_of, *topology, vtctld_metrics);
  CO_RETURN_IF_ERROR(co_await starting->start());
  vtctld = std::move(starting);
  ::vtctldata::AddCellInfoRequest cell;
  cell.set_name(options.cell);
  cell.mutable_cell_info()->set_server_address(where.global_server_address);
  cell.mutable_cell_info()->set_root("/vitess/" + options.cell);
  const auto added = co_await call<::vtctldata::AddCellInfoResponse>("AddCellInfo", cell);
  if (!added.ok() && added.error().code() != Code::kAlreadyExists) co_return added.error();
  co_return Status{};
}

net::Task<Status> Combo::Core::make_keyspaces() {
  for (const KeyspaceSpec& keyspace : spec.keyspaces) {
    const auto known = co_await topo::get_keyspace(*topology, keyspace.name);
    if (known.ok()) continue;
    if (known.error().code() != Code::kNotFound) co_return known.error();
    ::vtctldata::CreateKeyspaceRequest request;
    request.set_name(keyspace.name);
    request.set_durability_policy("none");
    const auto created = co_await call<::vtctldata::CreateKeyspaceResponse>("CreateKeyspace", request);
    if (!created.ok()) co_return created.error();
    made.push_back(keyspace.name);
  }
  co_return Status{};
}

net::Task<Status> Combo::Core::start_tablet(const TabletSpec& one, uint16_t grpc_port) {
  tablet::Options settings_of;
  settings_of.tablet.tablet_path = fmt::format("{}-{:010d}", options.cell, one.uid);
  settings_of.tablet.keyspace = one.keyspace;
  settings_of.tablet.shard = one.shard;
  settings_of.tablet.type = one.type;
  settings_of.tablet.health_check_interval = 1s;
  settings_of.grpc_port = grpc_port;
  settings_of.db_socket = layout_of(data_dir, one.uid).socket();
  tablet_metrics.push_back(std::make_unique<base::Metrics>("vttablet"));
  auto starting = std::make_unique<tablet::Tablet>(settings_of, /*http_port=*/0, *topology, *tablet_metrics.back());
  Status started = co_await starting->start();
  tablets.push_back(std::move(starting));
  if (!started.ok()) co_return std::move(started).error().with_context("tablet " + settings_of.tablet.tablet_path);
  co_return Status{};
}

net::Task<Status> Combo::Core::elect(const TabletSpec& first) {
  const auto known = co_await topo::get_shard(*topology, first.keyspace, first.shard);
  if (known.ok() && known->record.has_primary_alias()) co_return Status{};
  ::vtctldata::PlannedReparentShardRequest request;
  request.set_keyspace(first.keyspace);
  request.set_shard(first.shard);
  request.mutable_new_primary()->set_cell(options.cell);
  request.mutable_new_primary()->set_uid(first.uid);
  request.mutable_wait_replicas_timeout()->set_seconds(30);
  const auto done = co_await call<::vtctldata::PlannedReparentShardResponse>("PlannedReparentShard", request);
  co_return done.ok() ? Status{} : Status(done.error());
}

net::Task<Status> Combo::Core::start_gate() {
  gate::Options settings_of;
  settings_of.serving.cell = settings_of.discovery.cell = options.cell;
  settings_of.serving.host = options.mysql_host;
  settings_of.serving.mysql_port = port(3);
  settings_of.serving.vschema_users = {"%"};
  settings_of.allow_insecure = options.mysql_insecure;
  settings_of.tablet_types_to_wait = {"primary"};
  gate_grpc_port = port(1);
  if (gate_grpc_port == 0) {
    CO_ASSIGN_OR_RETURN(const auto free, free_ports(1));
    gate_grpc_port = free[0];
  }
  settings_of.grpc_port = gate_grpc_port;
  auto starting = std::make_unique<gate::Gate>(settings_of, *topology, gate_metrics);
  CO_RETURN_IF_ERROR(co_await starting->start());
  gate = std::move(starting);
  co_return Status{};
}

net::Task<Status> Combo::Core::apply_vschemas() {
  for (const std::string& name : made) {
    ::vtctldata::ApplyVSchemaRequest request;
    request.set_keyspace(name);
    *request.mutable_v_schema() = schemas.at(name).vschema;
    const auto applied = co_await call<::vtctldata::ApplyVSchemaResponse>("ApplyVSchema", request);
    if (!applied.ok()) co_return Error(applied.error()).with_context("the vschema of " + name);
  }
  co_return Status{};
}

net::Task<Status> Combo::Core::load_schema() {
  for (const std::string& name : made) {
    const KeyspaceSchema& schema = schemas.at(name);
    if (schema.files.empty()) continue;
    net::MysqlClientSettings login;
    login.address.host = "127.0.0.1";
    login.address.port = gate->mysql_port();
    login.auth.user = "vtcombo";
    login.auth.database = name;
    CO_ASSIGN_OR_RETURN(auto client, co_await net::MysqlClient::connect(login, net::Wait::within(kStepMax)));
    for (const auto& file : schema.files) {
      for (const std::string& statement : file.statements) {
        const auto done = co_await client.query(statement, net::Wait::within(kStepMax));
        if (!done.ok())
          co_return Error(done.error()).with_context(fmt::format("{}: {}", file.path, statement.substr(0, 80)));
      }
    }
    co_await client.quit();
  }
  co_return Status{};
}

Status Combo::Core::start_pages() {
  rpc::HttpOptions http_options;
  http_options.program = "vtcombo";
  http_options.port = options.port;
  http_options.metrics = &gate_metrics;
  http_options.settings = &settings;
  http = std::make_unique<rpc::HttpServer>(http_options);
  control::WebApi::Options api_options;
  api_options.cell = options.cell;
  api_options.http_host = http_options.host;
  api = std::make_unique<control::WebApi>(*vtctld, control.loop(), api_options);
  site.register_pages(*http);
  RETURN_IF_ERROR(api->register_pages(*http));
  gate::add_pages(*http, *gate);
  return http->start();
}

net::Task<Status> Combo::Core::start() {
  CO_RETURN_IF_ERROR(co_await start_vtctld());
  CO_RETURN_IF_ERROR(co_await make_keyspaces());
  Status outcome;
  const auto note = [](net::Task<Status> work, Status& first) -> net::Task<void> {
    Status done = co_await std::move(work);
    if (!done.ok() && first.ok()) first = std::move(done);
  };
  std::vector<net::Task<void>> starting;
  CO_ASSIGN_OR_RETURN(const auto ports, free_ports(spec.tablets.size()));
  for (size_t i = 0; i < ports.size(); ++i) starting.push_back(note(start_tablet(spec.tablets[i], ports[i]), outcome));
  co_await net::when_all(std::move(starting));
  CO_RETURN_IF_ERROR(outcome);
  std::vector<net::Task<void>> elections;
  for (const TabletSpec& tablet : spec.tablets) {
    if (tablet.first) elections.push_back(note(elect(tablet), outcome));
  }
  co_await net::when_all(std::move(elections));
  CO_RETURN_IF_ERROR(outcome);
  // Ahead of vtgate, which begins with what it reads then: it hears of later ones at some time after they are stored.
  CO_RETURN_IF_ERROR(co_await apply_vschemas());
  CO_RETURN_IF_ERROR(co_await start_gate());
  co_return co_await load_schema();
}

net::Task<void> Combo::Core::stop() {
  if (api != nullptr) co_await api->stop();
  if (gate != nullptr) co_await gate->stop();
  for (auto& tablet : tablets) co_await tablet->stop();
  if (vtctld != nullptr) co_await vtctld->stop();
  if (topology != nullptr) co_await topology->close();
}

Combo::Combo(Options options, Spec spec, std::map<std::string, KeyspaceSchema> schemas, std::string data_dir,
             base::Settings& settings, const control::WebSite& site)
    : core_(new Core{.options = std::move(options),
                     .spec = std::move(spec),
                     .schemas = std::move(schemas),
                     .data_dir = std::move(data_dir),
                     .settings = settings,
                     .site = site}) {}

Combo::~Combo() = default;

Status Combo::start() {
  RETURN_IF_ERROR(net::block_on(core_->control.loop(), core_->start()));
  return core_->start_pages();
}

void Combo::stop() {
  if (core_->http != nullptr) core_->http->stop();
  net::block_on(core_->control.loop(), core_->stop());
}

std::string Combo::ports_json() const {
  const nlohmann::json out = {{"port", core_->http->port()},
                              {"grpc_port", core_->gate_grpc_port},
                              {"vtctld_grpc_port", core_->vtctld->grpc_port()},
                              {"mysql_port", core_->gate->mysql_port()}};
  return out.dump();
}

}  // namespace vitrail::combo
