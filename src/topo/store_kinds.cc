#include "topo/store_kinds.h"

#include <algorithm>
#include <array>

#include "topo/etcd/etcd_store.h"
#include "topo/memory/memory_store.h"
#include "topo/sqlite/sqlite_store.h"
#include "topo/zookeeper/zk_store.h"

namespace vitrail::topo {
namespace {

using Opened = net::Task<Result<std::shared_ptr<Store>>>;

Opened open_memory(std::string address, std::string root, StoreSettings) { co_return open_memory_store(address, root); }

Opened open_sqlite(std::string address, std::string root, StoreSettings settings) {
  co_return co_await open_sqlite_store(std::move(address), std::move(root), settings.clock);
}

Opened open_etcd(std::string address, std::string root, StoreSettings settings) {
  co_return open_etcd_store(std::move(address), std::move(root), std::move(settings.etcd));
}

void declare_etcd(base::Settings& flags, StoreSettings& settings) {
  EtcdSettings& etcd = settings.etcd;
  flags.add("topo_etcd_lease_ttl", &etcd.lease_ttl, "etcd2: how long a lock outlives a holder that hangs or is cut off")
      .unit("seconds");
  flags.add("topo_etcd_tls_ca", &etcd.tls_ca,
            "etcd2: PEM file with who signs the servers' certificates; empty: no TLS");
  flags.add("topo_etcd_tls_cert", &etcd.tls_cert, "etcd2: PEM file with the certificate to show the servers");
  flags.add("topo_etcd_tls_key", &etcd.tls_key, "etcd2: PEM file with that certificate's key");
  flags.add("topo_etcd_username", &etcd.username, "etcd2: user to log in as; empty: no login");
  flags.add("topo_etcd_password_file", &etcd.password_file, "etcd2: file whose first line is that user's password");
}

Opened open_zk(std::string address, std::string root, StoreSettings settings) {
  co_return open_zk_store(std::move(address), std::move(root), std::move(settings.zk));
}

void declare_zk(base::Settings& flags, StoreSettings& settings) {
  ZkSettings& zk = settings.zk;
  flags.add("topo_zk_base_timeout", &zk.base_timeout,
            "zk2: session timeout: how long a lock outlives a holder that hangs or is cut off; servers bound it");
  flags.add("topo_zk_max_concurrency", &zk.max_concurrency, "zk2: requests to ZooKeeper under way at once");
  flags.add("topo_zk_auth_file", &zk.auth_file,
            "zk2: file whose first line is scheme:auth to log in with; what is then created is for this login only");
}

constexpr std::array kKinds = {
    StoreKind{.name = "etcd2",
              .address = "host:port of a server, several with commas between",
              .open = open_etcd,
              .declare = declare_etcd},
    StoreKind{.name = "memory", .address = "any name; for tests within one process", .open = open_memory},
    StoreKind{.name = "sqlite", .address = "path of the database file on this machine", .open = open_sqlite},
    StoreKind{.name = "zk2",
              .address = "host:port of a ZooKeeper server, several with commas between",
              .open = open_zk,
              .declare = declare_zk},
};

}  // namespace

std::span<const StoreKind> store_kinds() { return kKinds; }

std::string store_kind_names() {
  std::string names;
  for (const StoreKind& kind : kKinds) {
    if (!names.empty()) names += ", ";
    names += kind.name;
  }
  return names;
}

net::Task<Result<std::shared_ptr<Store>>> open_store(std::string implementation, std::string server_address,
                                                     std::string root, StoreSettings settings) {
  const auto* const kind = std::ranges::find(kKinds, std::string_view(implementation), &StoreKind::name);
  if (kind == kKinds.end()) {
    co_return fail(Code::kInvalidArgument, "unknown topology implementation \"" + implementation +
                                               "\"; known are: " + store_kind_names() + " (--topo_implementation)");
  }
  co_return co_await kind->open(std::move(server_address), std::move(root), std::move(settings));
}

}  // namespace vitrail::topo
