#include "base/log.h"
#include "net/sync.h"
#include "tablet/query_rules.h"
#include "topo/server.h"
#include "topo/store.h"

namespace vitrail::tablet {

using namespace std::chrono_literals;

namespace {

// Follows the record for as long as the topology is there.
net::Task<Status> follow_once(topo::Server& topology, const std::string& cell, const std::string& path,
                              QueryRulesKeeper& keeper, net::CancelToken cancel) {
  std::shared_ptr<topo::Store> own;
  topo::Store* store = &topology.global();
  if (cell != "global") {
    CO_ASSIGN_OR_RETURN(own, co_await topology.store_for_cell(cell));
    store = own.get();
  }
  CO_ASSIGN_OR_RETURN(const auto watch, co_await store->watch(path));
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto changes, co_await watch->next({.cancel = cancel}));
    for (const auto& change : changes) {
      const std::string text = change.record ? change.record->data : "";
      if (Status set = keeper.set_topology(text); !set.ok()) {
        log_warning("the query rules stay as they were: record {}: {}", path, set.error().message());
      }
    }
  }
}

}  // namespace

net::Task<void> follow_query_rules(topo::Server& topology, std::string cell, std::string path, QueryRulesKeeper& keeper,
                                   net::CancelToken cancel) {
  for (;;) {
    const Status ended = co_await follow_once(topology, cell, path, keeper, cancel);
    if (cancel.cancelled()) co_return;
    log_warning("the query rules of record {} are not followed for now: {}", path, ended.error().message());
    if (!(co_await net::sleep_for(1s, cancel)).ok()) co_return;
  }
}

}  // namespace vitrail::tablet
