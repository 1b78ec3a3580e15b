#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "topo/store_kinds.h"

namespace vitrail::topo {

// How to reach the topology: the settings --topo_implementation, --topo_global_server_address and --topo_global_root.
struct ServerOptions {
  std::string implementation = "sqlite";  // Name of a StoreKind; cells are of the same kind.
  std::string global_server_address;
  std::string global_root = "/vitess/global";
  StoreSettings stores = {};
  std::chrono::milliseconds lock_timeout{45'000};  // How long a command waits for a lock that somebody else holds.
};

// The whole topology: the global store, and one store per cell, found through the global CellInfo records.
//
//   Threads : any loop. The clock must outlive it. close() before destruction.
//   Cells   : works before any CellInfo exists. A cell may lie on the global server (the roots differ) or on its own.
class Server {
 public:
  static net::Task<Result<std::unique_ptr<Server>>> open(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Store& global() { return *global_; }
  // The store of a cell; opened at first use, then kept. A changed CellInfo is followed. While the global store cannot
  // be reached, a cell that was used before is still found.
  //   kNotFound: no CellInfo for it. kInvalidArgument: not a cell name.
  net::Task<Result<std::shared_ptr<Store>>> store_for_cell(std::string cell);
  // Closes every store.
  net::Task<void> close();

  const ServerOptions& options() const { return options_; }
  const base::Clock& clock() const { return *options_.stores.clock; }

 private:
  explicit Server(ServerOptions options) : options_(std::move(options)) {}

  struct Cell {
    std::string server_address;
    std::string root;
    std::shared_ptr<Store> store;
  };
  const ServerOptions options_;
  std::shared_ptr<Store> global_;
  std::mutex mutex_;  // Guards cells_ and closed_; never held across a suspension.
  std::map<std::string, Cell, std::less<>> cells_;
  std::vector<std::shared_ptr<Store>> retired_;  // Stores of cells that moved; closed with the rest.
  bool closed_ = false;
};

}  // namespace vitrail::topo
