#include "topo/server.h"

#include "topo/cells.h"
#include "topo/paths.h"

namespace vitrail::topo {

net::Task<Result<std::unique_ptr<Server>>> Server::open(ServerOptions options) {
  std::unique_ptr<Server> server(new Server(std::move(options)));
  const ServerOptions& opts = server->options_;
  auto global = co_await open_store(opts.implementation, opts.global_server_address, opts.global_root, opts.stores);
  if (!global.ok()) {
    co_return std::move(global).error().with_context("cannot open the global topology at \"" +
                                                     opts.global_server_address + "\"");
  }
  server->global_ = std::move(*global);
  co_return server;
}

Server::~Server() = default;

net::Task<Result<std::shared_ptr<Store>>> Server::store_for_cell(std::string cell) {
  auto info = co_await get_cell_info(*this, cell);
  std::string address;
  std::string root;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) co_return fail(Code::kUnavailable, "the topology is closed");
    const auto known = cells_.find(cell);
    if (!info.ok()) {
      const Code code = info.error().code();
      const bool unreachable = code == Code::kUnavailable || code == Code::kDeadlineExceeded;
      if (unreachable && known != cells_.end()) co_return known->second.store;
      co_return info.error();
    }
    address = info->record.server_address();
    root = info->record.root();
    if (known != cells_.end() && known->second.server_address == address && known->second.root == root) {
      co_return known->second.store;
    }
  }
  auto opened = co_await open_store(options_.implementation, address, root, options_.stores);
  if (!opened.ok()) {
    co_return std::move(opened).error().with_context("cannot open the topology of cell " + cell + " at \"" + address +
                                                     "\"");
  }
  std::shared_ptr<Store> store = std::move(*opened);
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    closed = closed_;
    if (!closed) {
      auto& slot = cells_[cell];
      if (slot.store && slot.server_address == address && slot.root == root)
        co_return slot.store;  // Another was faster.
      if (slot.store) retired_.push_back(slot.store);
      slot = Cell{address, root, store};
    }
  }
  if (closed) {
    co_await store->close();
    co_return fail(Code::kUnavailable, "the topology is closed");
  }
  co_return store;
}

net::Task<void> Server::close() {
  std::vector<std::shared_ptr<Store>> stores;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) co_return;
    closed_ = true;
    for (auto& [name, cell] : cells_) stores.push_back(cell.store);
    for (auto& store : retired_) stores.push_back(store);
  }
  stores.push_back(global_);
  for (auto& store : stores) co_await store->close();
}

}  // namespace vitrail::topo
