#include "tablet/throttler.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "mysqld/rows.h"
#include "rpc/typed.h"
#include "tablet/tablet_manager.h"
#include "topo/decode.h"
#include "topo/paths.h"
#include "topo/srv_keyspace.h"
#include "topo/tablet.h"
#include "topo/throttler_config.h"

namespace vitrail::tablet {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

constexpr auto kMeasureWait = 2s;
constexpr auto kStaleAfter = 10s;   // What was measured before then says nothing any more.
constexpr auto kOthersEvery = 10s;  // How often the shard's tablets are looked up.
constexpr auto kWatchRetry = 2s;
constexpr size_t kRecentAppsMax = 1'000;
constexpr size_t kCollectedMax = 64;  // Tablets of a shard that are asked.
constexpr char kLagQuery[] = "heartbeat or replication status of the server";

::vttime::Time to_time(base::WallTime at) {
  ::vttime::Time out;
  const auto since = at.time_since_epoch();
  out.set_seconds(std::chrono::duration_cast<std::chrono::seconds>(since).count());
  out.set_nanoseconds(static_cast<int32_t>((since % 1s).count()));
  return out;
}

Reading load_average() {
  std::ifstream file("/proc/loadavg");
  double value = 0;
  if (!(file >> value)) return {0, "/proc/loadavg cannot be read"};
  return {value / std::max(1u, std::thread::hardware_concurrency()), ""};
}

// The number in a result's first row: of its only column, or behind a name.
Reading number_of(const Result<net::QueryResult>& result) {
  if (!result.ok()) return {0, result.error().message()};
  if (result->rows.empty() || result->columns.empty()) return {0, "the query gave no row"};
  const auto value = read_number(result->text(0, result->columns.size() == 1 ? 0 : 1));
  if (!value) return {0, "the query gave no number"};
  return {*value, ""};
}

}  // namespace

Throttler::Throttler(Options options, topo::Server& topology, base::Metrics& metrics)
    : options_(std::move(options)),
      topology_(topology),
      checks_(metrics.counter("ThrottlerChecks", "questions to the throttler whether work may go on")),
      refused_(metrics.counter("ThrottlerCheckErrors", "of these, those that were answered with no")),
      channels_(options_.channel) {}

Throttler::~Throttler() = default;

::topodata::ThrottlerConfig Throttler::config() const {
  const std::lock_guard lock(mutex_);
  return config_;
}

double Throttler::roll() {
  dice_ ^= dice_ << 13;
  dice_ ^= dice_ >> 7;
  dice_ ^= dice_ << 17;
  return static_cast<double>(dice_ >> 11) * 0x1.0p-53;
}

std::optional<std::string> Throttler::reason_to_wait(std::string_view app) {
  {
    const std::lock_guard lock(mutex_);
    if (!config_.enabled()) return std::nullopt;
  }
  tmd::CheckThrottlerRequest request;
  request.set_app_name(std::string(app));
  request.set_ok_if_not_exists(true);
  const auto answer = check(request);
  if (answer.response_code() == tmd::OK) return std::nullopt;
  return answer.message();
}

tmd::CheckThrottlerResponse Throttler::check(const tmd::CheckThrottlerRequest& request) {
  const base::WallTime now = base::system_clock().wall_now();
  const std::lock_guard lock(mutex_);
  Measured measured = measured_;
  if (config_.enabled() && base::system_clock().now() > measured_at_ + kStaleAfter) {
    for (auto* readings : {&measured.self, &measured.shard}) {
      for (auto& [name, reading] : *readings) reading = {0, "the server was not looked at for some time"};
    }
  }
  auto answer =
      check_throttler(config_, measured, request.app_name(), request.scope(), request.ok_if_not_exists(), now, roll());
  if (request.app_name() == kCollectorApp) return answer;
  checks_.add();
  if (answer.response_code() != tmd::OK) refused_.add();
  if (recent_.size() < kRecentAppsMax || recent_.contains(request.app_name())) {
    recent_[request.app_name()] = {now, answer.response_code()};
  }
  return answer;
}

tmd::GetThrottlerStatusResponse Throttler::status() const {
  const base::WallTime now = base::system_clock().wall_now();
  const std::lock_guard lock(mutex_);
  tmd::GetThrottlerStatusResponse out;
  out.set_tablet_alias(alias_);
  out.set_keyspace(keyspace_);
  out.set_shard(shard_);
  out.set_is_leader(is_primary_);
  out.set_is_open(runs_);
  out.set_is_enabled(config_.enabled());
  out.set_lag_metric_query(kLagQuery);
  out.set_custom_metric_query(config_.custom_query());
  const auto standard = topo::default_throttler_metric(config_);
  out.set_default_threshold(topo::throttler_threshold(config_, standard));
  out.set_metric_name_used_as_default(std::string(standard));
  const std::pair<const char*, const Readings*> scopes[] = {{"self", &measured_.self}, {"shard", &measured_.shard}};
  for (const auto& [scope, readings] : scopes) {
    for (const auto& [name, reading] : *readings) {
      tmd::GetThrottlerStatusResponse::MetricResult result;
      result.set_value(reading.value);
      result.set_error(reading.error);
      if (name == standard) (*out.mutable_aggregated_metrics())[scope] = result;
      (*out.mutable_aggregated_metrics())[fmt::format("{}/{}", scope, name)] = std::move(result);
    }
  }
  (*out.mutable_metric_thresholds())["default"] = topo::throttler_threshold(config_, standard);
  for (const auto& metric : topo::kThrottlerMetrics) {
    (*out.mutable_metric_thresholds())[std::string(metric.name)] = topo::throttler_threshold(config_, metric.name);
  }
  for (const auto& [name, at] : healthy_at_) {
    auto& health = (*out.mutable_metrics_health())[name];
    *health.mutable_last_healthy_at() = to_time(at);
    health.set_seconds_since_last_healthy(std::chrono::duration_cast<std::chrono::seconds>(now - at).count());
  }
  for (const auto& [name, rule] : config_.throttled_apps()) {
    const auto at = std::chrono::seconds(rule.expires_at().seconds());
    if (!rule.has_expires_at() || at > now.time_since_epoch()) (*out.mutable_throttled_apps())[name] = rule;
  }
  for (const auto& [name, metrics] : config_.app_checked_metrics()) {
    (*out.mutable_app_checked_metrics())[name] =
        base::join(std::vector<std::string>(metrics.names().begin(), metrics.names().end()), ",");
  }
  for (const auto& [name, seen] : recent_) {
    auto& app = (*out.mutable_recent_apps())[name];
    *app.mutable_checked_at() = to_time(seen.at);
    app.set_response_code(seen.code);
    if (now - seen.at < 60s) out.set_recently_checked(true);
  }
  return out;
}

void Throttler::register_handlers(rpc::Server& server, net::Loop& loop) {
  rpc::handle_unary<tmd::CheckThrottlerRequest, tmd::CheckThrottlerResponse>(
      server, "/tabletmanagerservice.TabletManager/CheckThrottler", loop,
      [this](rpc::CallContext, tmd::CheckThrottlerRequest request) {
        return [](Throttler& self, tmd::CheckThrottlerRequest asked) -> net::Task<Result<tmd::CheckThrottlerResponse>> {
          co_return self.check(asked);
        }(*this, std::move(request));
      });
  rpc::handle_unary<tmd::GetThrottlerStatusRequest, tmd::GetThrottlerStatusResponse>(
      server, "/tabletmanagerservice.TabletManager/GetThrottlerStatus", loop,
      [this](rpc::CallContext, tmd::GetThrottlerStatusRequest) {
        return [](Throttler& self) -> net::Task<Result<tmd::GetThrottlerStatusResponse>> {
          co_return self.status();
        }(*this);
      });
}

// --- watching, measuring, collecting
// ----------------------------------------------------------------------------------

net::Task<void> Throttler::follow_config(TabletManager& manager, net::CancelToken cancel) {
  const std::string path = topo::srv_keyspace_path(manager.settings().keyspace);
  while (!cancel.cancelled()) {
    auto body = [](Throttler& self, TabletManager& tablet, const std::string& file,
                   net::CancelToken until) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto store, co_await self.topology_.store_for_cell(tablet.record().alias().cell()));
      CO_ASSIGN_OR_RETURN(const auto watch, co_await store->watch(file, net::Wait::within(30s, until)));
      for (;;) {
        CO_ASSIGN_OR_RETURN(const auto changes, co_await watch->next(net::Wait::until(base::TimePoint::max(), until)));
        for (const auto& change : changes) {
          ::topodata::SrvKeyspace serving;
          if (change.record && !serving.ParseFromString(change.record->data)) continue;
          const std::lock_guard lock(self.mutex_);
          self.config_ = serving.throttler_config();
        }
      }
    }(*this, manager, path, cancel);
    (void)co_await std::move(body);  // What was known stays in force.
    (void)co_await net::sleep_for(kWatchRetry, cancel);
  }
}

net::Task<Reading> Throttler::measure_lag(TabletManager& manager, net::Wait wait) {
  if (manager.shown_type() == ::topodata::PRIMARY) co_return Reading{};
  if (const auto beat = manager.heartbeat_lag()) {
    co_return Reading{std::chrono::duration<double>(*beat).count(), ""};
  }
  const auto status = co_await manager.server().replication_status(std::move(wait));
  if (!status.ok()) co_return Reading{0, status.error().message()};
  const auto now = base::system_clock().now();
  lag_.learn(*status, now);
  if (!lag_.known()) co_return Reading{0, "replication does not run"};
  co_return Reading{static_cast<double>(lag_.seconds(now)), ""};
}

net::Task<Readings> Throttler::measure(TabletManager& manager, net::CancelToken cancel) {
  Readings out;
  const net::Wait wait = net::Wait::within(kMeasureWait, cancel);
  LocalServer& server = manager.server();
  out["lag"] = co_await measure_lag(manager, wait);
  out["threads_running"] = number_of(co_await server.query("show global status like 'Threads_running'", wait));
  out["history_list_length"] = number_of(co_await server.query(
      "select count from information_schema.innodb_metrics where name = 'trx_rseg_history_len'", wait));
  out["loadavg"] = load_average();
  const std::string custom = config().custom_query();
  if (!custom.empty()) out["custom"] = number_of(co_await server.query(custom, wait, manager.database(), 10));
  co_return out;
}

net::Task<std::vector<Readings>> Throttler::collect(TabletManager& manager, net::CancelToken cancel) {
  const auto now = base::system_clock().now();
  if (now > others_at_ + kOthersEvery) {
    auto found = co_await topo::find_tablets(
        topology_, {.keyspace = manager.settings().keyspace, .shard = manager.settings().shard});
    if (found.ok()) {
      others_.clear();
      for (auto& tablet : found->tablets) {
        const std::string type = base::to_lower(::topodata::TabletType_Name(tablet.type()));
        if (topo::same_alias(tablet.alias(), manager.record().alias())) continue;
        const auto same = [&type](const std::string& wanted) { return base::equals_ignoring_case(type, wanted); };
        if (std::ranges::any_of(options_.tablet_types, same) && others_.size() < kCollectedMax) {
          others_.push_back(std::move(tablet));
        }
      }
      others_at_ = now;
    }
  }
  std::vector<Readings> out;
  net::Scope scope(cancel);
  for (const auto& tablet : others_) {
    scope.spawn([](Throttler& self, std::string address, std::vector<Readings>& all,
                   net::CancelToken until) -> net::Task<void> {
      auto channel = self.channels_.get(address);
      if (!channel.ok()) co_return;
      tmd::CheckThrottlerRequest request;
      request.set_app_name(std::string(kCollectorApp));
      request.set_scope("self");
      const auto answer = co_await rpc::call<tmd::CheckThrottlerResponse>(
          **channel, "/tabletmanagerservice.TabletManager/CheckThrottler", request,
          net::Wait::within(kMeasureWait, until));
      if (!answer.ok()) co_return;
      Readings readings;
      for (const auto& [name, metric] : answer->metrics()) {
        const bool measured = metric.response_code() != tmd::INTERNAL_ERROR;
        readings[name] = {metric.value(), measured ? "" : metric.error()};
      }
      all.push_back(std::move(readings));
    }(*this, topo::tablet_address(tablet, topo::kPortGrpc), out, scope.token()));
  }
  co_await scope.join();
  co_return out;
}

void Throttler::publish(Measured measured, bool is_primary) {
  const base::WallTime now = base::system_clock().wall_now();
  const std::lock_guard lock(mutex_);
  measured_ = std::move(measured);
  measured_at_ = base::system_clock().now();
  is_primary_ = is_primary;
  for (const Readings* readings : {&measured_.self, &measured_.shard}) {
    for (const auto& [name, reading] : *readings) {
      if (reading.error.empty() && reading.value <= topo::throttler_threshold(config_, name)) healthy_at_[name] = now;
    }
  }
}

net::Task<void> Throttler::run(TabletManager& manager, net::CancelToken cancel) {
  {
    const std::lock_guard lock(mutex_);
    alias_ = topo::alias_to_string(manager.record().alias());
    keyspace_ = manager.settings().keyspace;
    shard_ = manager.settings().shard;
    runs_ = true;
  }
  net::Scope scope(cancel);
  scope.spawn(follow_config(manager, scope.token()));
  while (!cancel.cancelled()) {
    const bool is_primary = manager.shown_type() == ::topodata::PRIMARY;
    if (config().enabled()) {
      Measured measured;
      measured.self = co_await measure(manager, cancel);
      if (is_primary) {
        auto all = co_await collect(manager, cancel);
        all.push_back(measured.self);
        measured.shard = largest(all);
      }
      if (!cancel.cancelled()) publish(std::move(measured), is_primary);
    } else {
      const std::lock_guard lock(mutex_);
      is_primary_ = is_primary;
      measured_ = {};
    }
    (void)co_await net::sleep_for(options_.interval, cancel);
  }
  scope.request_stop();
  co_await scope.join();
}

}  // namespace vitrail::tablet
