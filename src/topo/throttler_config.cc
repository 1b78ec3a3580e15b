#include "topo/throttler_config.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/srv_keyspace.h"

namespace vitrail::topo {
namespace {

bool has_expired(const ::topodata::ThrottledAppRule& rule, base::WallTime now) {
  const auto at =
      std::chrono::seconds(rule.expires_at().seconds()) + std::chrono::nanoseconds(rule.expires_at().nanoseconds());
  return rule.has_expires_at() && at <= now.time_since_epoch();
}

Status check_query(std::string_view query) {
  const std::string lower = base::to_lower(query.substr(0, std::min<size_t>(query.size(), 16)));
  if (query.empty() || lower.starts_with("select ") || lower.starts_with("show global ")) return {};
  return fail(Code::kInvalidArgument, "--custom-query must be a SELECT or a SHOW GLOBAL that gives one number");
}

Status check_update(const ThrottlerUpdate& update) {
  if (update.enable && update.disable) {
    return fail(Code::kInvalidArgument, "--enable and --disable contradict each other");
  }
  if (!(update.threshold >= 0) || std::isinf(update.threshold)) {
    return fail(Code::kInvalidArgument, "--threshold must be a number above 0");
  }
  if (!update.metric_name.empty() && find_throttler_metric(update.metric_name) == nullptr) {
    std::string known;
    for (const auto& metric : kThrottlerMetrics) known.append(known.empty() ? "" : ", ").append(metric.name);
    return fail(Code::kInvalidArgument,
                fmt::format("there is no metric {} to throttle by: {}", update.metric_name, known));
  }
  if (!update.metric_name.empty() && update.threshold == 0) {
    return fail(Code::kInvalidArgument, "--metric-name says whose --threshold is meant: give that, too");
  }
  if (update.custom_query) RETURN_IF_ERROR(check_query(*update.custom_query));
  if (update.app) {
    if (update.app->name().empty()) return fail(Code::kInvalidArgument, "which app is to be throttled?");
    if (!(update.app->ratio() >= 0 && update.app->ratio() <= 1)) {
      return fail(Code::kInvalidArgument,
                  "--throttle-app-ratio is from 0 (lets all through) to 1 (lets nothing through)");
    }
  }
  if (!update.app_metrics.empty() && update.app_name.empty()) {
    return fail(Code::kInvalidArgument, "--app-metrics needs --app-name");
  }
  for (const auto& text : update.app_metrics) RETURN_IF_ERROR(parse_scoped_metric(text));
  return {};
}

}  // namespace

const ThrottlerMetric* find_throttler_metric(std::string_view name) {
  const auto* found = std::ranges::find(kThrottlerMetrics, name, &ThrottlerMetric::name);
  return found == std::end(kThrottlerMetrics) ? nullptr : found;
}

std::string_view default_throttler_metric(const ::topodata::ThrottlerConfig& config) {
  return config.custom_query().empty() ? kLagMetric : kCustomMetric;
}

double throttler_threshold(const ::topodata::ThrottlerConfig& config, std::string_view metric) {
  const auto own = config.metric_thresholds().find(std::string(metric));
  if (own != config.metric_thresholds().end() && own->second > 0) return own->second;
  if (config.threshold() > 0 && metric == default_throttler_metric(config)) return config.threshold();
  const auto* known = find_throttler_metric(metric);
  return known == nullptr ? 0 : known->threshold;
}

Result<ScopedMetric> parse_scoped_metric(std::string_view text) {
  ScopedMetric out;
  const size_t slash = text.find('/');
  std::string_view name = text;
  if (slash != std::string_view::npos || text == "self" || text == "shard") {
    out.scope = std::string(text.substr(0, slash));
    name = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
    if ((out.scope != "self" && out.scope != "shard") || (slash != std::string_view::npos && name.empty())) {
      return fail(Code::kInvalidArgument, fmt::format("{}: a scope of a metric is self or shard", text));
    }
  }
  if (!name.empty() && name != "default" && find_throttler_metric(name) == nullptr) {
    return fail(Code::kInvalidArgument, fmt::format("there is no metric {} to throttle by", name));
  }
  if (text.empty()) return fail(Code::kInvalidArgument, "a metric has no name");
  out.metric = name == "default" ? std::string() : std::string(name);
  return out;
}

Status apply_throttler_update(::topodata::ThrottlerConfig& config, const ThrottlerUpdate& update, base::WallTime now) {
  RETURN_IF_ERROR(check_update(update));
  if (update.enable) config.set_enabled(true);
  if (update.disable) config.set_enabled(false);
  if (update.custom_query) config.set_custom_query(*update.custom_query);
  if (update.threshold > 0) {
    if (update.metric_name.empty()) {
      config.set_threshold(update.threshold);
    } else {
      (*config.mutable_metric_thresholds())[update.metric_name] = update.threshold;
    }
  }
  if (update.app) (*config.mutable_throttled_apps())[update.app->name()] = *update.app;
  std::vector<std::string> gone;
  for (const auto& [name, rule] : config.throttled_apps()) {
    if (has_expired(rule, now)) gone.push_back(name);
  }
  for (const auto& name : gone) config.mutable_throttled_apps()->erase(name);
  if (!update.app_name.empty()) {
    config.mutable_app_checked_metrics()->erase(update.app_name);
    for (const auto& metric : update.app_metrics) {
      (*config.mutable_app_checked_metrics())[update.app_name].add_names(metric);
    }
  }
  return {};
}

net::Task<Result<::topodata::ThrottlerConfig>> update_throttler(Server& server, const KeyspaceLock& lock,
                                                                ThrottlerUpdate update) {
  CO_ASSIGN_OR_RETURN(
      const auto stored,
      co_await update_keyspace_fields(server, lock, [&](::topodata::Keyspace& keyspace) -> Result<bool> {
        RETURN_IF_ERROR(
            apply_throttler_update(*keyspace.mutable_throttler_config(), update, server.clock().wall_now()));
        return true;
      }));
  const ::topodata::ThrottlerConfig config = stored.throttler_config();
  CO_ASSIGN_OR_RETURN(const auto cells, co_await get_cell_names(server));
  for (const auto& cell : cells) {
    auto copied =
        co_await update_srv_keyspace_fields(server, lock, cell, [&](::topodata::SrvKeyspace& serving) -> Result<bool> {
          *serving.mutable_throttler_config() = config;
          return true;
        });
    if (!copied.ok() && copied.error().code() != Code::kNotFound) co_return std::move(copied).error();
  }
  co_return config;
}

}  // namespace vitrail::topo
