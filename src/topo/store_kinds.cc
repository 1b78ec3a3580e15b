#include "topo/store_kinds.h"

#include <algorithm>
#include <array>

#include "topo/memory/memory_store.h"
#include "topo/sqlite/sqlite_store.h"

namespace vitrail::topo {
namespace {

using Opened = net::Task<Result<std::shared_ptr<Store>>>;

Opened open_memory(std::string address, std::string root, StoreSettings) { co_return open_memory_store(address, root); }

Opened open_sqlite(std::string address, std::string root, StoreSettings settings) {
  co_return co_await open_sqlite_store(std::move(address), std::move(root), settings.clock);
}

constexpr std::array kKinds = {
    StoreKind{.name = "memory", .address = "any name; for tests within one process", .open = open_memory},
    StoreKind{.name = "sqlite", .address = "path of the database file on this machine", .open = open_sqlite},
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
