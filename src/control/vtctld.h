#pragma once

#include <memory>
#include <string>

#include "backup/storage.h"
#include "base/metrics.h"
#include "base/result.h"
#include "control/manager/manager.h"
#include "control/tablet_client.h"
#include "control/workflow/engine/repairer.h"
#include "control/workflow_tools.h"
#include "net/loop.h"
#include "net/scope.h"
#include "rpc/security.h"
#include "rpc/server.h"
#include "topo/server.h"

namespace vitrail::control {

struct VtctldOptions {
  std::string cell;
  std::string grpc_host = "127.0.0.1";
  uint16_t grpc_port = 0;
  rpc::ServerSecurity grpc_security;
  rpc::ClientSecurity grpc_client;
  rpc::TlsOptions tablet_manager_tls;
  backup::StorageOptions backups;
  bool workflow_manager = true;  // Whether it takes part in the election of who runs workflows.
  std::vector<std::string> disabled_factories;
};

// Declares the settings of a vtctld.
void declare(base::Settings& settings, VtctldOptions& options);

// The control plane: /vtctlservice.Vtctld by gRPC. Keeps no state of its own: what is under way is in the topology.
//   Threads: make, start and stop it on one loop.
class Vtctld {
 public:
  Vtctld(VtctldOptions options, topo::Server& topology, base::Metrics& metrics);
  ~Vtctld();  // stop() must have returned when start() did.

  // Listens, and brings what others left unfinished to its end in the background, as long as it runs. kInvalidArgument,
  // kFailedPrecondition: see rpc::secure().
  net::Task<Status> start();
  // The methods of /vtctlservice.Vtctld, for callers in this process; after start().
  rpc::Server& methods() { return *grpc_; }
  TabletClient& tablets() { return *tablets_; }  // After start().
  // After start(); null without one.
  const manager::Manager* workflow_manager() const { return manager_.get(); }
  const std::vector<std::string>& workflow_factories() const { return factories_; }
  net::Task<void> stop();
  uint16_t grpc_port() const { return grpc_->port(); }  // After start().

 private:
  const VtctldOptions options_;
  topo::Server& topology_;
  base::Metrics& metrics_;
  net::Scope scope_;
  std::unique_ptr<TabletClient> tablets_;  // With grpc_, since start().
  std::unique_ptr<engine::Repairer> repairer_;
  std::unique_ptr<rpc::Server> grpc_;
  std::vector<std::string> factories_;
  std::unique_ptr<WorkflowTools> workflow_tools_;
  std::unique_ptr<manager::Manager> manager_;
  bool started_ = false;
};

// Registers every method on a server that has not started yet. `tablets` must outlive it. Handlers run on `loop`.
// `backups`: where they are, for the methods that look at them.
void register_vtctld_handlers(rpc::Server& server, net::Loop& loop, TabletClient& tablets,
                              const backup::StorageOptions& backups = {});

}  // namespace vitrail::control
