#include "control/tablet_healths.h"

namespace vitrail::control {

namespace {
constexpr size_t kKept = 50'000;
}

TabletHealths::Health TabletHealths::want(const ::topodata::Tablet& tablet, base::Duration age_max) {
  if (entries_.size() > kKept && scope_.running() == 0) entries_.clear();
  Entry& entry = entries_[topo::alias_to_string(tablet.alias())];
  const bool old = !entry.health.known || base::system_clock().now() - entry.heard > age_max;
  if (old && !entry.asked && !scope_.stopping() && scope_.running() < kAskedAtOnce) {
    entry.asked = true;
    scope_.spawn(ask(*this, tablet));
  }
  return entry.health;
}

net::Task<void> TabletHealths::ask(TabletHealths& self, ::topodata::Tablet tablet) {
  const std::string alias = topo::alias_to_string(tablet.alias());
  const auto heard = co_await self.tablets_.health_of(tablet, net::Wait::within(kAnswerTime, self.scope_.token()));
  Entry& entry = self.entries_[alias];
  entry.asked = false;
  entry.heard = base::system_clock().now();
  entry.health = {.known = true};
  if (!heard.ok()) {
    entry.health.error = heard.error().message();
    co_return;
  }
  const auto& stats = heard->realtime_stats();
  entry.health.serving = heard->serving();
  entry.health.error = stats.health_error();
  entry.health.lag_s = stats.replication_lag_seconds();
  entry.health.qps = stats.qps();
}

net::Task<void> TabletHealths::stop() {
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace vitrail::control
