#include "gate/discovery.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/cpu_time.h"
#include "base/log.h"
#include "query.pb.h"
#include "rpc/typed.h"
#include "topo/paths.h"
#include "topo/tablet.h"
#include "vschema/vschema.h"

namespace vitrail::gate {

using namespace std::chrono_literals;

namespace {

// One file for all gates that need the same records.
std::string cache_file(const Discovery::Options& options) {
  if (options.topo_cache_dir.empty()) return "";
  std::set<std::string> others(options.cells_to_watch.begin(), options.cells_to_watch.end());
  others.erase(options.cell);
  std::string name = "vtgate-" + options.cell;
  for (const std::string& cell : others) name += "+" + cell;
  return options.topo_cache_dir + "/" + name.substr(0, 200) + ".state";
}

}  // namespace

namespace {

// nullopt: the tablet has no data port.
std::optional<Endpoint> endpoint_of(const std::string& alias, const Discovery::Health& health) {
  const auto port = health.record->port_map().find(std::string(topo::kPortMysqlData));
  if (port == health.record->port_map().end()) return std::nullopt;
  return Endpoint{alias, {health.record->hostname(), static_cast<uint16_t>(port->second), ""}, health.term_start_ns};
}

}  // namespace

Discovery::Discovery(topo::Server& topology, Options options, OnView on_view)
    : topology_(topology),
      options_(std::move(options)),
      on_view_(std::move(on_view)),
      watcher_(topology_,
               {.cell = options_.cell, .tablet_cells = options_.cells_to_watch, .cache_file = cache_file(options_)},
               [this](std::shared_ptr<const topo::ServingState> state) { on_topology(std::move(state)); }),
      channels_([&] {
        rpc::ChannelOptions channel = options_.tablets;
        channel.reconnect_max = 1s;
        return channel;
      }()),
      tracker_([this] { changed(); }) {}

Discovery::~Discovery() = default;

void Discovery::start() {
  watcher_.start();
  scope_.spawn(follow_cells_aliases());
}

net::Task<void> Discovery::stop() {
  co_await watcher_.stop();
  scope_.request_stop();
  for (auto& [alias, stream] : streams_) stream.cancel->cancel();
  co_await scope_.join();
  co_await tracker_.stop();
  streams_.clear();
}

void Discovery::on_topology(std::shared_ptr<const topo::ServingState> state) {
  state_ = std::move(state);
  for (auto it = streams_.begin(); it != streams_.end();) {
    const auto found = state_->tablets->find(it->first);
    // A tablet that moved to another address gets a new stream.
    const bool same = found != state_->tablets->end() && topo::tablet_address(*found->second, topo::kPortGrpc) ==
                                                             topo::tablet_address(*it->second.record, topo::kPortGrpc);
    if (same) {
      if (auto health = health_.find(it->first); health != health_.end()) health->second.record = found->second;
      ++it;
      continue;
    }
    it->second.cancel->cancel();
    health_.erase(it->first);
    it = streams_.erase(it);
  }
  for (const auto& [alias, record] : *state_->tablets) {
    if (streams_.contains(alias) || topo::tablet_address(*record, topo::kPortGrpc).empty()) continue;
    auto cancel = std::make_unique<net::CancelSource>(scope_.token());
    const auto token = cancel->token();
    streams_.emplace(alias, Stream{record, std::move(cancel)});
    scope_.spawn(follow(alias, record, token));
  }
  changed();
}

net::Task<void> Discovery::follow(std::string alias, std::shared_ptr<const ::topodata::Tablet> record,
                                  net::CancelToken cancel) {
  base::Duration delay = 50ms;
  while (!cancel.cancelled()) {
    auto channel = channels_.get(topo::tablet_address(*record, topo::kPortGrpc));
    if (!channel.ok()) {
      log_warning("tablet {}: {}", alias, channel.error().message());
      co_return;
    }
    auto stream = rpc::open_stream<::query::StreamHealthResponse>(**channel, "/queryservice.Query/StreamHealth",
                                                                  ::query::StreamHealthRequest());
    bool is_first = true;  // What changed before is not told.
    for (;;) {
      auto message = co_await stream.next(net::Wait::within(options_.healthcheck_timeout, cancel));
      if (cancel.cancelled()) co_return;
      Health& health = health_[alias];
      health.record = record;
      if (!message.ok() || !message->has_value()) {
        health.serving = false;
        health.lost = true;
        if (health.heard == base::TimePoint()) health.heard = base::system_clock().now();
        health.error = message.ok() ? "the tablet ended its health stream" : message.error().message();
        changed();
        break;
      }
      delay = 50ms;
      const auto& response = **message;
      health.heard = base::system_clock().now();
      health.lost = false;
      health.serving = response.serving();
      health.target = {response.target().keyspace(), response.target().shard(),
                       topo::tablet_type_to_string(response.target().tablet_type())};
      health.term_start_ns = response.primary_term_start_timestamp();
      health.replication_lag_seconds = response.realtime_stats().replication_lag_seconds();
      health.error = response.realtime_stats().health_error();
      health.tables_changed |=
          std::exchange(is_first, false) || response.realtime_stats().table_schema_changed_size() > 0;
      changed();
    }
    if (!(co_await net::sleep_for(delay, cancel)).ok()) co_return;
    delay = std::min(delay * 2, options_.retry_delay_max);
  }
}

net::Task<void> Discovery::follow_cells_aliases() {
  const net::CancelToken cancel = scope_.token();
  for (base::Duration pause = 100ms; !cancel.cancelled(); pause = std::min<base::Duration>(pause * 2, 10s)) {
    auto watch = co_await topology_.global().watch_recursive(std::string(topo::kCellsAliasesDir),
                                                             net::Wait::within(topo::kDefaultOperationWait, cancel));
    for (bool whole = true; watch.ok(); whole = false) {
      auto changes = co_await (*watch)->next({.cancel = cancel});
      if (cancel.cancelled()) co_return;
      if (!changes.ok()) break;
      pause = 100ms;
      if (whole) cells_aliases_.clear();
      for (const topo::Change& change : *changes) {
        ::topodata::CellsAlias record;
        const bool there = change.record && record.ParseFromString(change.record->data);
        if (there) {
          cells_aliases_[change.path] = {record.cells().begin(), record.cells().end()};
        } else {
          cells_aliases_.erase(change.path);
        }
      }
      peers_.clear();
      for (const auto& [path, cells] : cells_aliases_) {
        if (cells.contains(options_.cell)) peers_.insert(cells.begin(), cells.end());
      }
      changed();
    }
    if (!(co_await net::sleep_for(pause, cancel)).ok()) co_return;
  }
}

// Changes come in bunches: one view for all that this turn of the loop brings. A view of very many tablets takes a
// while to make, so it is made less often: a flood of changes costs a fifth of the loop's time at most.
void Discovery::changed() {
  if (publish_pending_) return;
  publish_pending_ = true;
  auto later = [](Discovery& self) -> net::Task<void> {
    const base::Duration pause = 4 * self.publish_cost_;
    if (pause < 1ms)
      co_await net::Loop::current()->yield();
    else
      (void)co_await net::sleep_for(pause, self.scope_.token());
    self.publish_pending_ = false;
    if (!self.scope_.stopping()) self.publish();
  };
  scope_.spawn(later(*this));
}

void Discovery::publish() {
  if (state_ == nullptr || !state_->complete) return;
  const base::Duration start = base::thread_cpu_time();
  auto view = std::make_shared<View>();
  view->version = view_ == nullptr ? 1 : view_->version + 1;
  view->topology = state_;
  if (view_ != nullptr && view_->topology->keyspaces == state_->keyspaces) {
    view->shards = view_->shards;
    view->served_from = view_->served_from;
  } else {
    fill_shards(*view);
  }
  // The vschema is compiled again only when something in it is another one.
  view->columns = tracker_.columns();
  view->schema = tracker_.schema();
  if (view_ != nullptr && view_->topology->vschema == state_->vschema && view_->served_from == view->served_from &&
      view_->columns == view->columns) {
    view->vschema = view_->vschema;
    view->mirror = view_->mirror;
    view->vschema_version = view_->vschema_version;
  } else {
    view->vschema_version = view_ == nullptr ? 1 : view_->vschema_version + 1;
    if (state_->vschema != nullptr) {
      view->vschema =
          vschema::VSchema::build(*state_->vschema, view->vschema_version, view->served_from, view->columns);
      if (view->vschema->has_mirrors()) view->mirror = view->vschema->as_mirror();
    }
  }
  std::unordered_map<std::string, std::vector<Replica>> replicas;  // The endpoints of a target, in their order.
  for (const auto& [alias, health] : health_) {
    if (health.record == nullptr || !(health.serving || health.lost)) continue;
    auto found = endpoint_of(alias, health);
    if (!found) continue;
    Endpoint& endpoint = *found;
    if (health.lost) {
      view->lost[endpoint.address.to_string()] = health.heard;
      continue;
    }
    view->databases.try_emplace(health.target.keyspace, topo::tablet_db_name(*health.record));
    ++view->healthy[health.target.to_string()];
    auto& endpoints = view->endpoints[health.target.to_string()];
    if (health.target.tablet_type == "primary" && !endpoints.empty()) {
      if (endpoints.front().term_start_ns < endpoint.term_start_ns) endpoints.front() = std::move(endpoint);
    } else {
      endpoints.push_back(std::move(endpoint));
      if (health.target.tablet_type != "primary") {
        replicas[health.target.to_string()].push_back({health.record->alias().cell(), health.replication_lag_seconds});
      }
    }
  }
  for (const auto& [target, candidates] : replicas) {
    std::vector<Endpoint> used;
    for (const size_t i : choose_replicas(candidates, options_.cell, peers_, *options_.lag))
      used.push_back(std::move(view->endpoints[target][i]));
    if (used.empty()) {
      view->endpoints.erase(target);
    } else {
      view->endpoints[target] = std::move(used);
    }
  }
  if (options_.track_schema) follow_schemas(*view);
  view->asked = tracker_.asked();
  view_ = std::move(view);
  on_view_(view_);
  view_made_.notify_all();
  publish_cost_ = base::thread_cpu_time() - start;
}

// Only of shards that serve: the primary of a shard that is still being filled is nobody's to ask.
void Discovery::follow_schemas(const View& view) {
  for (const auto& [keyspace, by_type] : view.shards) {
    const auto* shards = view.find_shards(keyspace, "primary");
    if (shards == nullptr) continue;
    for (const ActiveShard& shard : *shards) {
      const auto* primary = view.find_endpoints({keyspace, shard.name, "primary"});
      if (primary == nullptr) continue;
      bool& tables_changed = health_[primary->front().alias].tables_changed;
      tracker_.primary_says({keyspace, shard.name, "primary"}, primary->front(), std::exchange(tables_changed, false));
    }
  }
}

net::Task<Status> Discovery::wait_first_view(net::Wait wait) {
  while (view_ == nullptr || health_.size() < streams_.size()) CO_RETURN_IF_ERROR(co_await view_made_.wait(wait));
  co_return Status{};
}

net::Task<Status> Discovery::wait_for_tablets(std::vector<std::string> types, net::Wait wait) {
  const auto complete = [&] {
    if (view_ == nullptr) return false;
    for (const auto& [keyspace, by_type] : view_->shards) {
      for (const auto& type : types) {
        const auto* shards = view_->find_shards(keyspace, type);
        if (shards == nullptr) continue;
        for (const auto& shard : *shards) {
          if (view_->find_endpoints({keyspace, shard.name, type}) == nullptr) return false;
        }
      }
    }
    return true;
  };
  while (!complete()) CO_RETURN_IF_ERROR(co_await view_made_.wait(wait));
  co_return Status{};
}

net::Task<Status> Discovery::wait_for_columns(net::Wait wait) {
  while (view_ == nullptr || !view_->asked.empty()) CO_RETURN_IF_ERROR(co_await view_made_.wait(wait));
  co_return Status{};
}

}  // namespace vitrail::gate
