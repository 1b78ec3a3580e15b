#include "control/vtctld.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/settings.h"
#include "control/legacy/legacy.h"
#include "control/registrar.h"
#include "control/states/methods.h"
#include "control/states/runner.h"
#include "control/worker_claim.h"
#include "control/workflow/records.h"

namespace vitrail::control {

using namespace std::chrono_literals;

void register_vtctld_handlers(rpc::Server& server, net::Loop& loop, TabletClient& tablets,
                              const backup::StorageOptions& backups) {
  Registrar registrar(server, loop, tablets);
  register_cell_methods(registrar);
  register_keyspace_methods(registrar);
  register_shard_methods(registrar);
  register_path_methods(registrar);
  register_vschema_methods(registrar);
  register_tablet_methods(registrar);
  register_reparent_methods(registrar);
  register_schema_methods(registrar);
  register_validate_methods(registrar);
  register_workflow_methods(registrar);
  register_lookup_methods(registrar);
  register_mount_methods(registrar);
  register_throttler_methods(registrar);
  states::register_methods(server, loop, tablets);
  register_backup_methods(registrar, backups);
}

void declare(base::Settings& settings, VtctldOptions& options) {
  settings.add("cell", &options.cell, "cell this vtctld runs in");
  settings.add("grpc_port", &options.grpc_port, "port of the gRPC services");
  settings.add("grpc_bind_address", &options.grpc_host, "address of the gRPC services");
  rpc::declare(settings, options.grpc_security);
  rpc::declare(settings, options.grpc_client, &options.grpc_security);
  rpc::declare_tls(settings, "tablet_manager", options.tablet_manager_tls);
  backup::declare(settings, options.backups);
  settings.add("workflow_manager_init", &options.workflow_manager,
               "run workflows of the workflow manager, when elected among all vtctlds");
  settings.add("workflow_manager_disable", &options.disabled_factories,
               "kinds of workflows that cannot be created: horizontal_resharding, sleep, topo_validator");
  settings
      .accept("workflow_manager_use_election", /*takes_value=*/false,
              "workflows are always run by the one vtctld that is elected")
      .one_of({"true"});
}

namespace {

Result<std::vector<std::string>> enabled_factories(const std::vector<std::string>& disabled) {
  std::vector<std::string> out(std::begin(manager::kFactories), std::end(manager::kFactories));
  for (const auto& name : disabled) {
    if (std::erase(out, name) == 0 && std::ranges::find(manager::kFactories, name) == std::end(manager::kFactories)) {
      return fail(Code::kInvalidArgument, "--workflow-manager-disable: no factory named " + name);
    }
  }
  return out;
}

std::string process_name(uint16_t grpc_port) {
  char host[256] = "localhost";
  static_cast<void>(::gethostname(host, sizeof host - 1));
  return fmt::format("{}:{}", host, grpc_port);
}

}  // namespace

Vtctld::Vtctld(VtctldOptions options, topo::Server& topology, base::Metrics& metrics)
    : options_(std::move(options)), topology_(topology), metrics_(metrics) {}

Vtctld::~Vtctld() { CHECK(!started_); }

net::Task<Status> Vtctld::start() {
  rpc::ServerOptions server;
  server.host = options_.grpc_host;
  server.port = options_.grpc_port;
  server.metrics = &metrics_;
  CO_RETURN_IF_ERROR(rpc::secure(options_.grpc_security, server));
  rpc::ClientSecurity client = options_.grpc_client;
  client.message_size_max = options_.grpc_security.message_size_max;
  CO_ASSIGN_OR_RETURN(auto channel, rpc::channel_options(client, options_.tablet_manager_tls));
  CO_ASSIGN_OR_RETURN(factories_, enabled_factories(options_.disabled_factories));
  tablets_ = std::make_unique<TabletClient>(topology_, channel);
  grpc_ = std::make_unique<rpc::Server>(std::move(server));
  register_vtctld_handlers(*grpc_, *net::Loop::current(), *tablets_, options_.backups);
  register_legacy_method(*grpc_, *net::Loop::current(), *tablets_, options_.workflow_manager ? &factories_ : nullptr);
  CO_RETURN_IF_ERROR(grpc_->start());
  started_ = true;
  repairer_ =
      std::make_unique<engine::Repairer>(topology_, operation_factory(*tablets_), engine::this_process(), &metrics_);
  scope_.spawn(repairer_->run(scope_.token()));
  auto adopt = [](Vtctld& self) -> net::Task<void> {
    if (Status adopted = co_await adopt_old_switches(*self.tablets_); !adopted.ok()) {
      log_warning("looking for switches that an older version left unfinished: {}", adopted.error().message());
    }
  };
  scope_.spawn(adopt(*this));
  auto watch = [](Vtctld& self) -> net::Task<void> {
    states::Runner runner({.vtctld = self.grpc_->in_process(), .tablets = *self.tablets_});
    co_await runner.watch(self.scope_.token());
  };
  scope_.spawn(watch(*this));
  scope_.spawn(keep_sweeping(*tablets_, scope_.token()));
  if (options_.workflow_manager) {
    workflow_tools_ = std::make_unique<WorkflowTools>(*grpc_, *tablets_, std::move(channel));
    manager_ = std::make_unique<manager::Manager>(topology_, *workflow_tools_, process_name(grpc_->port()));
    scope_.spawn(manager_->run(scope_.token()));
  }
  co_return Status{};
}

net::Task<void> Vtctld::stop() {
  if (started_) co_await grpc_->stop(1s);
  started_ = false;
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace vitrail::control
