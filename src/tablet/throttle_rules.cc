#include "tablet/throttle_rules.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>

#include "base/text.h"
#include "topo/throttler_config.h"

namespace vitrail::tablet {
namespace {

namespace tmd = ::tabletmanagerdata;
using topo::ScopedMetric;

constexpr std::string_view kAllApps = "all";

const ::topodata::ThrottledAppRule* find_rule(const ::topodata::ThrottlerConfig& config, std::string_view name,
                                              base::WallTime now) {
  const auto found = config.throttled_apps().find(std::string(name));
  if (found == config.throttled_apps().end()) return nullptr;
  const auto& expires = found->second.expires_at();
  const auto at = std::chrono::seconds(expires.seconds()) + std::chrono::nanoseconds(expires.nanoseconds());
  if (found->second.has_expires_at() && at <= now.time_since_epoch()) return nullptr;
  return &found->second;
}

// The rule that counts for an app: one of its names that exempts it, else the strictest of them, else that of all apps.
const ::topodata::ThrottledAppRule* choose_rule(const ::topodata::ThrottlerConfig& config, std::string_view app,
                                                base::WallTime now) {
  const ::topodata::ThrottledAppRule* chosen = nullptr;
  for (const std::string_view name : base::split(app, ':')) {
    const auto* rule = find_rule(config, name, now);
    if (rule == nullptr) continue;
    if (rule->exempt()) return rule;
    if (chosen == nullptr || rule->ratio() > chosen->ratio()) chosen = rule;
  }
  return chosen != nullptr ? chosen : find_rule(config, kAllApps, now);
}

std::vector<ScopedMetric> wanted_metrics(const ::topodata::ThrottlerConfig& config, std::string_view app) {
  std::vector<ScopedMetric> out;
  if (app == kCollectorApp) {
    for (const auto& metric : topo::kThrottlerMetrics) out.push_back({"self", std::string(metric.name)});
    return out;
  }
  const topodata::ThrottlerConfig::MetricNames* names = nullptr;
  for (const std::string_view name : base::split(app, ':')) {
    const auto found = config.app_checked_metrics().find(std::string(name));
    if (found != config.app_checked_metrics().end() && names == nullptr) names = &found->second;
  }
  if (const auto found = config.app_checked_metrics().find(std::string(kAllApps));
      names == nullptr && found != config.app_checked_metrics().end()) {
    names = &found->second;
  }
  if (names != nullptr) {
    for (const auto& name : names->names()) {
      if (auto read = topo::parse_scoped_metric(name); read.ok()) out.push_back(std::move(*read));
    }
  }
  if (out.empty()) out.emplace_back();
  return out;
}

// The scope that counts, and where its readings are.
const Readings& choose_readings(const Measured& measured, std::string_view metric, std::string& scope) {
  if (scope.empty()) {
    const auto* known = topo::find_throttler_metric(metric);
    scope = known != nullptr && known->is_shard_wide ? "shard" : "self";
  }
  if (scope == "shard" && !measured.shard.empty()) return measured.shard;
  scope = "self";
  return measured.self;
}

tmd::CheckThrottlerResponse::Metric check_metric(const ::topodata::ThrottlerConfig& config, const Measured& measured,
                                                 ScopedMetric wanted, std::string_view scope, bool ok_if_not_exists) {
  if (wanted.metric.empty()) wanted.metric = std::string(topo::default_throttler_metric(config));
  if (wanted.scope.empty()) wanted.scope = std::string(scope);
  const Readings& readings = choose_readings(measured, wanted.metric, wanted.scope);
  tmd::CheckThrottlerResponse::Metric out;
  out.set_name(wanted.metric);
  out.set_scope(wanted.scope);
  out.set_threshold(topo::throttler_threshold(config, wanted.metric));
  out.set_response_code(tmd::OK);
  const auto found = readings.find(wanted.metric);
  if (found == readings.end()) {
    if (ok_if_not_exists) return out;
    out.set_response_code(tmd::UNKNOWN_METRIC);
    out.set_error("no such metric");
    out.set_message(fmt::format("metric {}/{} is not measured", wanted.scope, wanted.metric));
    return out;
  }
  out.set_value(found->second.value);
  if (!found->second.error.empty()) {
    out.set_response_code(tmd::INTERNAL_ERROR);
    out.set_error(found->second.error);
    out.set_message(fmt::format("metric {}/{}: {}", wanted.scope, wanted.metric, found->second.error));
  } else if (found->second.value > out.threshold()) {
    out.set_response_code(tmd::THRESHOLD_EXCEEDED);
    out.set_error("threshold exceeded");
    out.set_message(fmt::format("metric {}/{} value {} exceeds threshold {}", wanted.scope, wanted.metric,
                                found->second.value, out.threshold()));
  }
  return out;
}

}  // namespace

Readings largest(const std::vector<Readings>& all) {
  Readings out;
  for (const auto& readings : all) {
    for (const auto& [name, reading] : readings) {
      const auto [at, added] = out.try_emplace(name, reading);
      if (added || !reading.error.empty()) continue;
      if (!at->second.error.empty() || reading.value > at->second.value) at->second = reading;
    }
  }
  return out;
}

tmd::CheckThrottlerResponse check_throttler(const ::topodata::ThrottlerConfig& config, const Measured& measured,
                                            std::string_view app, std::string_view scope, bool ok_if_not_exists,
                                            base::WallTime now, double dice) {
  tmd::CheckThrottlerResponse out;
  out.set_app_name(std::string(app));
  out.set_response_code(tmd::OK);
  out.set_recently_checked(true);
  const bool collects = app == kCollectorApp;
  if (!config.enabled()) {
    out.set_summary(fmt::format("{} is granted access: the throttler is off", app));
    return out;
  }
  if (!collects) {
    const auto* rule = choose_rule(config, app, now);
    if (rule != nullptr && rule->exempt()) {
      out.set_summary(fmt::format("{} is granted access: it is exempt", app));
      return out;
    }
    if (rule != nullptr && dice < rule->ratio()) {
      out.set_response_code(tmd::APP_DENIED);
      out.set_error("app is throttled");
      out.set_message(fmt::format("app {} is throttled by a rule for {}", app, rule->name()));
      out.set_summary(fmt::format("{} is denied access: a rule for {}", app, rule->name()));
      return out;
    }
  }
  std::string summary;
  for (auto& wanted : wanted_metrics(config, app)) {
    auto metric = check_metric(config, measured, std::move(wanted), scope, ok_if_not_exists || collects);
    if (collects && !measured.self.contains(metric.name())) continue;
    const bool first_failure = out.response_code() == tmd::OK && metric.response_code() != tmd::OK;
    if (out.metrics().empty() || first_failure) {
      out.set_value(metric.value());
      out.set_threshold(metric.threshold());
    }
    if (first_failure) {
      out.set_response_code(metric.response_code());
      out.set_error(metric.error());
      out.set_message(metric.message());
    }
    if (!metric.message().empty()) summary += (summary.empty() ? "" : "; ") + metric.message();
    (*out.mutable_metrics())[metric.name()] = std::move(metric);
  }
  out.set_summary(out.response_code() == tmd::OK ? fmt::format("{} is granted access", app)
                                                 : fmt::format("{} is denied access: {}", app, summary));
  return out;
}

std::optional<double> read_number(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace vitrail::tablet
