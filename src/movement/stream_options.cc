#include "movement/stream_options.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/duration.h"
#include "movement/copy_lanes.h"

namespace vitrail::movement {
namespace {

using nlohmann::json;

Result<int64_t> number(const std::string& name, const std::string& value, int64_t least, int64_t most) {
  int64_t out = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
  if (error == std::errc() && end == value.data() + value.size() && out >= least && out <= most) return out;
  return fail(Code::kInvalidArgument, fmt::format("--config-overrides {}={}: a whole number from {} to {} is wanted",
                                                  name, value, least, most));
}

Result<base::Duration> duration(const std::string& name, const std::string& value, base::Duration least) {
  auto out = base::parse_duration(value);
  if (out.ok() && *out >= least) return *out;
  return fail(Code::kInvalidArgument,
              fmt::format("--config-overrides {}={}: a duration is wanted, such as 5s", name, value));
}

}  // namespace

StreamOptions default_stream_options(const EngineOptions& defaults) {
  StreamOptions out;
  out.retry_delay_min = defaults.retry_delay_min;
  out.retry_delay_max = defaults.retry_delay_max;
  out.heartbeat_interval = defaults.heartbeat_interval;
  out.lag_tolerance = defaults.lag_tolerance;
  out.group_bytes_max = defaults.group_bytes_max;
  out.copy_lanes = defaults.copy_lanes;
  return out;
}

Status apply_override(StreamOptions& options, const std::string& name, const std::string& value) {
  constexpr int64_t kSecondsMax = 86'400;
  std::string plain = name;
  std::ranges::replace(plain, '_', '-');
  if (plain == "vreplication-retry-delay") {
    ASSIGN_OR_RETURN(options.retry_delay_max, duration(name, value, std::chrono::milliseconds(1)));
    options.retry_delay_min = std::min(options.retry_delay_min, options.retry_delay_max);
  } else if (plain == "vreplication-max-time-to-retry-on-error") {
    ASSIGN_OR_RETURN(options.retry_max, duration(name, value, base::Duration::zero()));
  } else if (plain == "vreplication-heartbeat-update-interval") {
    ASSIGN_OR_RETURN(const int64_t seconds, number(name, value, 1, 60));
    options.heartbeat_interval = std::chrono::seconds(seconds);
  } else if (plain == "vreplication-replica-lag-tolerance") {
    ASSIGN_OR_RETURN(options.lag_tolerance, duration(name, value, std::chrono::milliseconds(1)));
  } else if (plain == "vreplication-net-read-timeout") {
    ASSIGN_OR_RETURN(const int64_t seconds, number(name, value, 1, kSecondsMax));
    options.net_read_timeout = static_cast<int>(seconds);
  } else if (plain == "vreplication-net-write-timeout") {
    ASSIGN_OR_RETURN(const int64_t seconds, number(name, value, 1, kSecondsMax));
    options.net_write_timeout = static_cast<int>(seconds);
  } else if (plain == "vreplication-parallel-insert-workers") {
    ASSIGN_OR_RETURN(const int64_t count, number(name, value, 1, static_cast<int64_t>(CopyLanes::kLanesMax)));
    options.copy_lanes = static_cast<size_t>(count);
  } else if (plain == "relay-log-max-size") {
    ASSIGN_OR_RETURN(const int64_t bytes, number(name, value, 1, int64_t{1} << 30));
    options.group_bytes_max = static_cast<uint64_t>(bytes);
  } else {
    return fail(
        Code::kUnimplemented,
        fmt::format("--config-overrides {}: streams have no such setting; there are vreplication-retry-delay, "
                    "vreplication-max-time-to-retry-on-error, vreplication-heartbeat-update-interval, "
                    "vreplication-replica-lag-tolerance, vreplication-net-read-timeout, "
                    "vreplication-net-write-timeout, vreplication-parallel-insert-workers and relay-log-max-size",
                    name));
  }
  return {};
}

Status check_overrides(const std::map<std::string, std::string>& overrides) {
  StreamOptions options;
  for (const auto& [name, value] : overrides) RETURN_IF_ERROR(apply_override(options, name, value));
  return {};
}

Result<StreamOptions> read_stream_options(std::string_view text, const EngineOptions& defaults) {
  StreamOptions out = default_stream_options(defaults);
  if (text.empty()) return out;
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return fail(Code::kInvalidArgument, "the options of the stream are not a JSON object");
  if (const auto id = document.find("tenant_id"); id != document.end() && id->is_string()) out.tenant_id = *id;
  const auto config = document.find("config");
  if (config == document.end() || !config->is_object()) return out;
  for (const auto& [name, value] : config->items()) {
    if (!value.is_string()) return fail(Code::kInvalidArgument, "a config override of the stream is not a text");
    RETURN_IF_ERROR(apply_override(out, name, value.get<std::string>()));
  }
  return out;
}

}  // namespace vitrail::movement
