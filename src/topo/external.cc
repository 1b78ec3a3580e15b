#include "topo/external.h"

#include <algorithm>

#include "topo/paths.h"
#include "topo/record_io.h"

namespace vitrail::topo {
namespace {

internal::What what_of(std::string_view name) { return "external cluster " + std::string(name); }

}  // namespace

net::Task<Status> create_external_cluster(Server& server, std::string name, ::topodata::TopoConfig config) {
  CO_RETURN_IF_ERROR(validate_name("cluster name", name));
  const auto kinds = store_kinds();
  if (std::ranges::find(kinds, config.topo_type(), &StoreKind::name) == kinds.end()) {
    co_return fail(Code::kInvalidArgument, "unknown kind of topology '" + config.topo_type() +
                                               "': --topo-type is one of " + store_kind_names());
  }
  if (config.server().empty() || config.root().empty()) {
    co_return fail(Code::kInvalidArgument, "an external cluster needs --topo-server and --topo-root");
  }
  ::topodata::ExternalVitessCluster record;
  *record.mutable_topo_config() = std::move(config);
  auto created = co_await server.global().create(external_cluster_path(name), internal::serialize_record(record));
  if (!created.ok()) co_return internal::tell(std::move(created).error(), what_of(name));
  co_return Status{};
}

net::Task<Result<Versioned<::topodata::ExternalVitessCluster>>> get_external_cluster(Server& server, std::string name) {
  CO_RETURN_IF_ERROR(validate_name("cluster name", name));
  co_return co_await internal::read_record<::topodata::ExternalVitessCluster>(
      server.global(), external_cluster_path(name), what_of(name));
}

net::Task<Status> delete_external_cluster(Server& server, std::string name) {
  CO_RETURN_IF_ERROR(validate_name("cluster name", name));
  Status removed = co_await server.global().remove(external_cluster_path(name), std::nullopt);
  if (!removed.ok()) co_return internal::tell(std::move(removed).error(), what_of(name));
  co_return Status{};
}

net::Task<Result<std::vector<std::string>>> list_external_clusters(Server& server) {
  return internal::names_below(server.global(), std::string(kExternalClustersDir));
}

net::Task<Result<std::unique_ptr<Server>>> open_external_cluster(Server& server, std::string name) {
  CO_ASSIGN_OR_RETURN(const auto stored, co_await get_external_cluster(server, name));
  const auto& config = stored.record.topo_config();
  ServerOptions options = server.options();
  options.implementation = config.topo_type();
  options.global_server_address = config.server();
  options.global_root = config.root();
  auto opened = co_await Server::open(std::move(options));
  if (!opened.ok()) co_return std::move(opened).error().with_context("the topology of " + what_of(name));
  co_return std::move(*opened);
}

}  // namespace vitrail::topo
