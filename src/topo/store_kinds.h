#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/settings.h"
#include "topo/etcd/settings.h"
#include "topo/store.h"
#include "topo/zookeeper/settings.h"

// The kinds of topology server, one row each. A new kind is a folder with its Store, a struct of its settings below and
// a row in store_kinds.cc; every program then has it, with its flags, for the global topology and for cells.
namespace vitrail::topo {

// What kinds need to know beside an address and a root; the same for every store of a process.
struct StoreSettings {
  const base::Clock* clock = &base::system_clock();  // Must outlive the stores.
  EtcdSettings etcd = {};
  ZkSettings zk = {};
};

struct StoreKind {
  std::string_view name;     // Value of --topo_implementation.
  std::string_view address;  // What an address of this kind is, for help texts.
  net::Task<Result<std::shared_ptr<Store>>> (*open)(std::string address, std::string root, StoreSettings settings);
  // Declares the kind's own flags; null: it has none.
  void (*declare)(base::Settings& flags, StoreSettings& settings) = nullptr;
};

std::span<const StoreKind> store_kinds();
// "etcd2, memory, sqlite, zk2".
std::string store_kind_names();

// Opens one store. kInvalidArgument for an unknown kind (names the known ones), a bad address or a bad root;
// kUnavailable when a server that must be there from the start (sqlite: the folder of the file) is not. Stores of
// remote servers connect at first use.
net::Task<Result<std::shared_ptr<Store>>> open_store(std::string implementation, std::string server_address,
                                                     std::string root, StoreSettings settings = {});

}  // namespace vitrail::topo
