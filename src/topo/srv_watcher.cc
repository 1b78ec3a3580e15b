#include "topo/srv_watcher.h"

#include <algorithm>
#include <mutex>
#include <set>

#include "base/cpu_time.h"
#include "base/log.h"
#include "base/random.h"
#include "topo/paths.h"
#include "topo/serving_cache.h"
#include "topo/tablet.h"

namespace vitrail::topo {

struct SrvWatcher::Impl {
  enum class Kind : uint8_t { kVSchema, kKeyspaces, kTablets };
  // One thing to watch, and what it last said.
  struct Source {
    Kind kind;
    std::string cell;
    bool synced = false;
    bool restored = false;     // What it has is from the cache file.
    bool unreachable = false;  // At the last try.
    bool refused = false;      // At the last try the topology answered that it does not know the cell.
    std::map<std::string, std::shared_ptr<const ::topodata::Tablet>> tablets;
  };

  Server& server;
  const Options options;
  OnChange on_change;
  net::Scope scope;
  std::vector<std::unique_ptr<Source>> sources;
  net::Signal completed;
  net::Signal dirtied;
  net::Signal published;
  net::Signal progressed;  // A source was read, or could not be.
  uint64_t saved_generation = 0;

  // The next state, while it is being collected. Loop only.
  std::shared_ptr<const ::vschema::SrvVSchema> vschema;
  ServingState::Keyspaces keyspaces;
  bool vschema_dirty = false;
  bool keyspaces_dirty = false;
  bool tablets_dirty = false;
  bool completeness_dirty = false;

  mutable std::mutex mutex;  // Guards what follows.
  std::shared_ptr<const ServingState> state;
  Counters counters;

  Impl(Server& srv, Options opts, OnChange callback)
      : server(srv), options(std::move(opts)), on_change(std::move(callback)) {
    auto first = std::make_shared<ServingState>();
    first->keyspaces = std::make_shared<ServingState::Keyspaces>();
    first->tablets = std::make_shared<ServingState::Tablets>();
    state = std::move(first);
  }

  std::shared_ptr<const ServingState> current() const {
    const std::lock_guard lock(mutex);
    return state;
  }

  bool dirty() const { return vschema_dirty || keyspaces_dirty || tablets_dirty || completeness_dirty; }

  void count_undecodable(const std::string& path) {
    const std::lock_guard lock(mutex);
    ++counters.undecodable;
    counters.last_error = "the record " + path + " cannot be decoded";
  }

  void apply(Source& source, std::vector<Change> changes, bool whole) {
    switch (source.kind) {
      case Kind::kVSchema:
        for (const Change& change : changes) apply_vschema(change);
        break;
      case Kind::kKeyspaces: apply_keyspaces(changes, whole); break;
      case Kind::kTablets: apply_tablets(source, changes, whole); break;
    }
    if (!source.synced || source.restored) {
      source.synced = true;
      source.restored = false;
      completeness_dirty = true;
      progressed.notify_all();
    }
    if (dirty()) dirtied.notify_all();
  }

  bool all_synced() const {
    return std::ranges::all_of(sources, [](const auto& source) { return source->synced; });
  }

  // At start: what the topology cannot tell, or not in time, is taken from the file.
  net::Task<void> restore() {
    const net::Wait wait = net::Wait::within(options.cache_after, scope.token());
    std::shared_ptr<const ServingState> cached;
    for (bool late = false; !scope.stopping() && !all_synced();) {
      const auto wanted = [&](const auto& source) {
        return !source->synced && !source->refused && (late || source->unreachable);
      };
      if (std::ranges::any_of(sources, wanted)) {
        if (cached == nullptr) {
          auto loaded = co_await net::offload([this] { return load_serving_state(options.cache_file, options.cell); });
          if (!loaded.ok()) {
            log_warning("the topology does not tell everything, and there is no earlier state to serve from: {}",
                        loaded.error().message());
            co_return;
          }
          cached = std::move(*loaded);
          log_warning("the topology does not answer: serving from its last known state, {}", options.cache_file);
        }
        for (const auto& source : sources) {
          if (wanted(source)) take_cached(*source, *cached);
        }
        completeness_dirty = true;
        dirtied.notify_all();
      }
      if (late) co_return;
      late = !(co_await progressed.wait(wait)).ok();
    }
  }

  void take_cached(Source& source, const ServingState& cached) {
    source.synced = source.restored = true;
    switch (source.kind) {
      case Kind::kVSchema:
        vschema = cached.vschema;
        vschema_dirty = true;
        break;
      case Kind::kKeyspaces:
        keyspaces = *cached.keyspaces;
        keyspaces_dirty = true;
        break;
      case Kind::kTablets:
        for (const auto& [alias, tablet] : *cached.tablets) {
          if (tablet->alias().cell() == source.cell) source.tablets[alias] = tablet;
        }
        tablets_dirty = true;
        break;
    }
  }

  bool worth_saving() const {
    const auto state = current();
    return state->complete && !state->restored && state->generation != saved_generation;
  }

  net::Task<void> save() {
    const auto state = current();
    const Status saved =
        co_await net::offload([this, state] { return save_serving_state(options.cache_file, options.cell, *state); });
    saved_generation = state->generation;
    if (saved.ok()) co_return;
    log_warning("the serving state is not kept: {}", saved.error().message());
    const std::lock_guard lock(mutex);
    counters.last_error = saved.error().message();
  }

  net::Task<void> keep_saving() {
    const net::CancelToken cancel = scope.token();
    while (!cancel.cancelled()) {
      if (!worth_saving()) {
        if (!(co_await published.wait({.cancel = cancel})).ok()) co_return;
        continue;
      }
      const auto begin = base::system_clock().now();
      co_await save();
      const base::Duration pause = std::max(options.cache_interval, (base::system_clock().now() - begin) * 20);
      if (!(co_await net::sleep_for(pause, cancel)).ok()) co_return;
    }
  }

  void apply_vschema(const Change& change) {
    if (!change.record) {
      vschema_dirty |= vschema != nullptr;
      vschema = nullptr;
      return;
    }
    auto decoded = std::make_shared<::vschema::SrvVSchema>();
    if (!decoded->ParseFromString(change.record->data)) return count_undecodable(change.path);
    vschema = std::move(decoded);
    vschema_dirty = true;
  }

  // `whole`: the changes are everything there is, so that what is not among them is gone.
  void apply_keyspaces(const std::vector<Change>& changes, bool whole) {
    std::set<std::string_view> seen;
    for (const Change& change : changes) {
      // "keyspaces/<keyspace>/SrvKeyspace"
      std::string_view rest = std::string_view(change.path).substr(kKeyspacesDir.size() + 1);
      const size_t slash = rest.find('/');
      if (slash == std::string_view::npos || rest.substr(slash + 1) != kSrvKeyspaceFile) continue;
      const std::string_view name = rest.substr(0, slash);
      seen.insert(name);
      if (!change.record) {
        keyspaces_dirty |= erase(keyspaces, name);
        continue;
      }
      auto decoded = std::make_shared<::topodata::SrvKeyspace>();
      if (!decoded->ParseFromString(change.record->data)) {
        count_undecodable(change.path);
        continue;
      }
      keyspaces[std::string(name)] = std::move(decoded);
      keyspaces_dirty = true;
    }
    if (!whole) return;
    keyspaces_dirty |= std::erase_if(keyspaces, [&](const auto& item) { return !seen.contains(item.first); }) > 0;
  }

  void apply_tablets(Source& source, const std::vector<Change>& changes, bool whole) {
    std::set<std::string_view> seen;
    for (const Change& change : changes) {
      // "tablets/<alias>/Tablet"
      std::string_view rest = std::string_view(change.path).substr(kTabletsDir.size() + 1);
      const size_t slash = rest.find('/');
      if (slash == std::string_view::npos || rest.substr(slash + 1) != kTabletFile) continue;
      const std::string_view alias = rest.substr(0, slash);
      seen.insert(alias);
      if (!change.record) {
        tablets_dirty |= source.tablets.erase(std::string(alias)) > 0;
        continue;
      }
      auto decoded = std::make_shared<::topodata::Tablet>();
      if (!decoded->ParseFromString(change.record->data)) {
        count_undecodable(change.path);
        continue;
      }
      source.tablets[std::string(alias)] = std::move(decoded);
      tablets_dirty = true;
    }
    if (!whole) return;
    tablets_dirty |= std::erase_if(source.tablets, [&](const auto& item) { return !seen.contains(item.first); }) > 0;
  }

  static bool erase(ServingState::Keyspaces& map, std::string_view name) {
    const auto it = map.find(name);
    if (it == map.end()) return false;
    map.erase(it);
    return true;
  }

  void publish() {
    auto next = std::make_shared<ServingState>(*current());
    next->vschema = vschema;
    if (keyspaces_dirty) next->keyspaces = std::make_shared<ServingState::Keyspaces>(keyspaces);
    if (tablets_dirty) {
      auto tablets = std::make_shared<ServingState::Tablets>();
      for (const auto& source : sources) tablets->insert(source->tablets.begin(), source->tablets.end());
      next->tablets = std::move(tablets);
    }
    ++next->generation;
    next->complete = all_synced();
    next->restored = std::ranges::any_of(sources, [](const auto& source) { return source->restored; });
    vschema_dirty = keyspaces_dirty = tablets_dirty = completeness_dirty = false;
    {
      const std::lock_guard lock(mutex);
      state = next;
    }
    if (on_change) on_change(next);
    if (next->complete) completed.notify_all();
    published.notify_all();
  }

  // Makes states out of changes: one for all that came within min_interval.
  net::Task<void> collect() {
    const net::CancelToken cancel = scope.token();
    while (!cancel.cancelled()) {
      if (!dirty()) {
        if (!(co_await dirtied.wait({.cancel = cancel})).ok()) co_return;
        continue;
      }
      const base::Duration start = base::thread_cpu_time();
      publish();
      // A state of very many tablets takes a while to make: a flood of changes may cost a fifth of the loop's time.
      const base::Duration cost = base::thread_cpu_time() - start;
      if (!(co_await net::sleep_for(std::max(options.min_interval, 4 * cost), cancel)).ok()) co_return;
    }
  }

  net::Task<Status> follow(Source& source, bool& made) {
    CO_ASSIGN_OR_RETURN(const auto store, co_await server.store_for_cell(source.cell));
    const net::Wait setup = net::Wait::within(kDefaultOperationWait, scope.token());
    Result<std::unique_ptr<Watch>> watch =
        source.kind == Kind::kVSchema     ? co_await store->watch(srv_vschema_path(), setup)
        : source.kind == Kind::kKeyspaces ? co_await store->watch_recursive(std::string(kKeyspacesDir), setup)
                                          : co_await store->watch_recursive(std::string(kTabletsDir), setup);
    if (!watch.ok()) co_return std::move(watch).error();
    const net::Wait forever{.cancel = scope.token()};
    for (bool whole = true;; whole = false) {
      auto changes = co_await (*watch)->next(forever);
      if (!changes.ok()) co_return std::move(changes).error();
      made = true;
      apply(source, std::move(*changes), whole);
    }
  }

  net::Task<void> keep_following(Source& source) {
    auto backoff = options.min_backoff;
    while (!scope.stopping()) {
      bool made = false;
      const Status ended = co_await follow(source, made);
      if (scope.stopping()) co_return;
      {
        const std::lock_guard lock(mutex);
        ++counters.reconnects;
        counters.last_error = ended.error().message();
      }
      const Code code = ended.error().code();
      source.refused = code == Code::kNotFound;
      source.unreachable = code == Code::kUnavailable || code == Code::kDeadlineExceeded;
      progressed.notify_all();
      if (made) backoff = options.min_backoff;
      // Half fixed, half random, so that a crowd of routers does not come back at the same moment.
      const auto half = static_cast<uint64_t>(std::max<int64_t>(backoff.count() / 2, 1));
      const base::Duration pause(static_cast<int64_t>(half + base::system_random().below(half)));
      if (!(co_await net::sleep_for(pause, scope.token())).ok()) co_return;
      backoff = std::min(backoff * 2, options.max_backoff);
    }
  }
};

SrvWatcher::SrvWatcher(Server& server, Options options, OnChange on_change)
    : impl_(std::make_unique<Impl>(server, std::move(options), std::move(on_change))) {}

SrvWatcher::~SrvWatcher() = default;

void SrvWatcher::start() {
  Impl& impl = *impl_;
  CHECK(impl.sources.empty());
  const auto add = [&](Impl::Kind kind, const std::string& cell) {
    impl.sources.push_back(std::make_unique<Impl::Source>(Impl::Source{.kind = kind, .cell = cell}));
  };
  add(Impl::Kind::kVSchema, impl.options.cell);
  add(Impl::Kind::kKeyspaces, impl.options.cell);
  std::set<std::string> cells(impl.options.tablet_cells.begin(), impl.options.tablet_cells.end());
  if (cells.empty()) cells.insert(impl.options.cell);
  for (const std::string& cell : cells) add(Impl::Kind::kTablets, cell);
  impl.scope.spawn(impl.collect());
  if (!impl.options.cache_file.empty()) {
    impl.scope.spawn(impl.restore());
    impl.scope.spawn(impl.keep_saving());
  }
  for (const auto& source : impl.sources) impl.scope.spawn(impl.keep_following(*source));
}

net::Task<void> SrvWatcher::stop() {
  impl_->scope.request_stop();
  co_await impl_->scope.join();
  if (!impl_->options.cache_file.empty() && impl_->worth_saving()) co_await impl_->save();
}

std::shared_ptr<const ServingState> SrvWatcher::current() const { return impl_->current(); }

net::Task<Status> SrvWatcher::wait_complete(net::Wait wait) {
  while (!impl_->current()->complete) CO_RETURN_IF_ERROR(co_await impl_->completed.wait(wait));
  co_return Status{};
}

SrvWatcher::Counters SrvWatcher::counters() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counters;
}

}  // namespace vitrail::topo
