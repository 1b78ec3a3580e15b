// Commands on throttlers.
#include "base/clock.h"
#include "control/client/call.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
using namespace std::chrono_literals;

struct Flags {
  bool enable = false, disable = false, as_self = false, as_shard = false, exempt = false;
  double threshold = 0, ratio = 1;
  std::string metric, query, throttle, unthrottle, app;
  std::vector<std::string> metrics;
  base::Duration duration = 1h;
  std::function<bool()> query_given, metrics_given;
};

::vttime::Time to_time(base::WallTime at) {
  ::vttime::Time out;
  const auto since = at.time_since_epoch();
  out.set_seconds(std::chrono::duration_cast<std::chrono::seconds>(since).count());
  out.set_nanoseconds(static_cast<int32_t>((since % 1s).count()));
  return out;
}

Status fill_update(const ClientContext& c, const Flags& f, vd::UpdateThrottlerConfigRequest& q) {
  if (!f.throttle.empty() && !f.unthrottle.empty()) {
    return fail(Code::kInvalidArgument, "give either --throttle-app or --unthrottle-app");
  }
  if (f.throttle.empty() && f.exempt) {
    return fail(Code::kInvalidArgument, "--throttle-app-exempt needs --throttle-app, the app that is exempt");
  }
  if (f.duration <= 0ns) return fail(Code::kInvalidArgument, "--throttle-app-duration must be above 0");
  q.set_keyspace(c.arguments[0]);
  q.set_enable(f.enable);
  q.set_disable(f.disable);
  q.set_threshold(f.threshold);
  q.set_metric_name(f.metric);
  q.set_custom_query(f.query);
  q.set_custom_query_set(f.query_given());
  q.set_check_as_check_self(f.as_self);
  q.set_check_as_check_shard(f.as_shard);
  q.set_app_name(f.app);
  q.mutable_app_checked_metrics()->Add(f.metrics.begin(), f.metrics.end());
  const auto now = base::system_clock().wall_now();
  if (!f.throttle.empty()) {
    auto& rule = *q.mutable_throttled_app();
    rule.set_name(f.throttle);
    rule.set_ratio(f.ratio);
    rule.set_exempt(f.exempt);
    *rule.mutable_expires_at() = to_time(now + f.duration);
  }
  if (!f.unthrottle.empty()) {
    auto& rule = *q.mutable_throttled_app();
    rule.set_name(f.unthrottle);
    *rule.mutable_expires_at() = to_time(now - 1s);
  }
  return {};
}

void add_update(CommandSet& set) {
  auto f = std::make_shared<Flags>();
  auto& s = add_call<vd::UpdateThrottlerConfigRequest, vd::UpdateThrottlerConfigResponse>(
      set, "UpdateThrottlerConfig", "changes the throttler of a keyspace",
      [f](const ClientContext& c, auto& q) { return fill_update(c, *f, q); });
  s.add("enable", &f->enable, "switch it on");
  s.add("disable", &f->disable, "switch it off");
  s.add("threshold", &f->threshold, "the largest value with which work goes on");
  s.add("metric-name", &f->metric, "metric that --threshold is for; default: the one that is checked by default");
  const auto& query =
      s.add("custom-query", &f->query, "statement whose number is checked by default, instead of the lag; empty: none");
  f->query_given = [&query] { return query.is_set(); };
  s.add("check-as-check-self", &f->as_self, "not built, refused: a scope belongs to a metric");
  s.add("check-as-check-shard", &f->as_shard, "not built, refused: a scope belongs to a metric");
  s.add("throttle-app", &f->throttle, "hold this app up: vreplication, vcopier, vplayer, vdiff, a workflow, all ...");
  s.add("throttle-app-ratio", &f->ratio, "how often it is held up, from 0 to 1");
  s.add("throttle-app-duration", &f->duration, "for how long");
  s.add("throttle-app-exempt", &f->exempt, "instead: never hold it up");
  s.add("unthrottle-app", &f->unthrottle, "end what --throttle-app said of this app");
  s.add("app-name", &f->app, "app that --app-metrics is for");
  s.add("app-metrics", &f->metrics,
        "metrics that are checked for the app (lag, self/threads_running ...); none: as for others");
  s.arguments("<keyspace>", 1, 1);
}

}  // namespace

void add_throttler_commands(CommandSet& set) {
  struct CheckFlags {
    std::string app = "vitess", scope;
    bool ok_if_not_exists = false, heartbeats = false;
  };
  auto f = std::make_shared<CheckFlags>();
  auto& check = add_call<vd::CheckThrottlerRequest, vd::CheckThrottlerResponse>(
      set, "CheckThrottler", "asks the throttler of a tablet whether an app may go on",
      [f](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_alias(c, q));
        q.set_app_name(f->app);
        q.set_scope(f->scope);
        q.set_ok_if_not_exists(f->ok_if_not_exists);
        q.set_skip_request_heartbeats(!f->heartbeats);
        return {};
      },
      print_json<vd::CheckThrottlerResponse>);
  check.add("app-name", &f->app, "the app");
  check.add("scope", &f->scope, "self or shard, for metrics that have none").one_of({"self", "shard"});
  check.add("ok-if-not-exists", &f->ok_if_not_exists, "a metric that is not measured is no reason to wait");
  check.add("request-heartbeats", &f->heartbeats, "of no meaning: heartbeats are never on demand, they are on or off");
  check.arguments("<tablet alias>", 1, 1);
  add_call<vd::GetThrottlerStatusRequest, vd::GetThrottlerStatusResponse>(
      set, "GetThrottlerStatus", "prints what the throttler of a tablet knows",
      fill_alias<vd::GetThrottlerStatusRequest>, print_json<vd::GetThrottlerStatusResponse>)
      .arguments("<tablet alias>", 1, 1);
  add_update(set);
}

}  // namespace vitrail::control
