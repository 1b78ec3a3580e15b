#include <fmt/core.h>

#include <algorithm>

#include "base/random.h"
#include "movement/engine.h"
#include "topo/cells.h"
#include "topo/external.h"
#include "topo/tablet.h"

namespace vitrail::movement {
namespace {

class TopologyPicker final : public SourcePicker {
 public:
  TopologyPicker(topo::Server& server, std::string cell) : server_(server), cell_(std::move(cell)) {}

  net::Task<Result<std::vector<SourceEndpoint>>> candidates(SourceQuery query) override {
    topo::TabletQuery wanted;
    wanted.keyspace = query.keyspace;
    wanted.shard = query.shard;
    wanted.cells = query.cells;
    CO_ASSIGN_OR_RETURN(const topo::TabletList list, co_await find(query.cluster, std::move(wanted)));
    struct Ranked {
      size_t type;
      bool far;
      uint64_t chance;
      SourceEndpoint endpoint;
    };
    std::vector<Ranked> ranked;
    for (const auto& tablet : list.tablets) {
      const auto type = std::find(query.types.begin(), query.types.end(), tablet.type());
      std::string address = topo::tablet_address(tablet, topo::kPortGrpc);
      if (type == query.types.end() || address.empty()) continue;
      ranked.push_back({query.in_order ? static_cast<size_t>(type - query.types.begin()) : 0,
                        tablet.alias().cell() != cell_,
                        base::system_random().next_u64(),
                        {tablet.alias(), tablet.type(), std::move(address)}});
    }
    std::sort(ranked.begin(), ranked.end(), [](const Ranked& a, const Ranked& b) {
      return std::tie(a.type, a.far, a.chance) < std::tie(b.type, b.far, b.chance);
    });
    if (ranked.empty()) {
      co_return fail(Code::kNotFound,
                     fmt::format("no tablet of {}/{} can be a source: none of the wanted types in the wanted cells",
                                 query.keyspace, query.shard));
    }
    std::vector<SourceEndpoint> endpoints;
    for (Ranked& one : ranked) endpoints.push_back(std::move(one.endpoint));
    co_return std::move(endpoints);
  }

 private:
  // Streams ask when they begin, and after failures: the other topology is not kept open.
  net::Task<Result<topo::TabletList>> find(std::string cluster, topo::TabletQuery wanted) {
    if (cluster.empty()) co_return co_await topo::find_tablets(server_, std::move(wanted));
    CO_ASSIGN_OR_RETURN(const auto external, co_await topo::open_external_cluster(server_, std::move(cluster)));
    auto list = co_await topo::find_tablets(*external, std::move(wanted));
    co_await external->close();
    co_return list;
  }

  topo::Server& server_;
  const std::string cell_;
};

}  // namespace

std::unique_ptr<SourcePicker> make_topology_picker(topo::Server& server, std::string cell) {
  return std::make_unique<TopologyPicker>(server, std::move(cell));
}

}  // namespace vitrail::movement
