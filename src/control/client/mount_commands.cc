// Other clusters, for Migrate.
#include "control/client/call.h"

namespace vitrail::control {

namespace vd = ::vtctldata;

void add_mount_commands(CommandSet& set) {
  auto& parent = set.add(set.root(), "Mount", "tells of other clusters, whose tables Migrate copies", {}, {"mount"});
  struct Flags {
    std::string type = "etcd2", server, root;
  };
  auto flags = std::make_shared<Flags>();
  auto& s = set.add(parent, "register", "registers another cluster",
                    [flags](const ClientContext& c) {
                      return [](const ClientContext& context, Flags given) -> Output {
                        vd::MountRegisterRequest q;
                        q.set_name(context.arguments[0]);
                        q.set_topo_type(given.type);
                        q.set_topo_server(given.server);
                        q.set_topo_root(given.root);
                        CO_ASSIGN_OR_RETURN(const auto done, co_await context.call<vd::MountRegisterResponse>(
                                                                 "MountRegister", std::move(q)));
                        (void)done;
                        co_return std::string();
                      }(c, *flags);
                    },
                    {"Register"});
  s.add("topo-type", &flags->type, "kind of its topology: etcd2, zk2, sqlite");
  s.add("topo-server", &flags->server, "address of its global topology").required();
  s.add("topo-root", &flags->root, "root of its global topology").required();
  s.arguments("<cluster>", 1, 1);
  set.add(parent, "unregister", "forgets another cluster",
          [](const ClientContext& c) {
            return [](const ClientContext& context) -> Output {
              vd::MountUnregisterRequest q;
              q.set_name(context.arguments[0]);
              CO_ASSIGN_OR_RETURN(const auto done,
                                  co_await context.call<vd::MountUnregisterResponse>("MountUnregister", std::move(q)));
              (void)done;
              co_return std::string();
            }(c);
          },
          {"Unregister"})
      .arguments("<cluster>", 1, 1);
  set.add(parent, "show", "prints where a cluster's topology is",
          [](const ClientContext& c) {
            return [](const ClientContext& context) -> Output {
              vd::MountShowRequest q;
              q.set_name(context.arguments[0]);
              CO_ASSIGN_OR_RETURN(const auto done,
                                  co_await context.call<vd::MountShowResponse>("MountShow", std::move(q)));
              co_return context.json(done);
            }(c);
          },
          {"Show"})
      .arguments("<cluster>", 1, 1);
  set.add(parent, "list", "lists the clusters",
          [](const ClientContext& c) {
            return [](const ClientContext& context) -> Output {
              CO_ASSIGN_OR_RETURN(const auto done,
                                  co_await context.call<vd::MountListResponse>("MountList", vd::MountListRequest()));
              co_return context.json(done);
            }(c);
          },
          {"List"});
}

}  // namespace vitrail::control
