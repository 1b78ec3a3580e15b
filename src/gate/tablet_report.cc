#include "gate/tablet_report.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "mysql/errors.h"
#include "net/scope.h"
#include "rpc/typed.h"
#include "tabletmanagerdata.pb.h"
#include "topo/tablet.h"

namespace vitrail::gate {
namespace {

namespace tmd = ::tabletmanagerdata;

constexpr int kRunning = 3;  // replicationdata.Status.io_state, sql_state

template <typename Response, typename Request>
net::Task<Result<Response>> ask(rpc::ChannelPool& tablets, const ::topodata::Tablet& tablet, std::string method,
                                Request request, net::Wait wait) {
  auto channel = tablets.get(topo::tablet_address(tablet, topo::kPortGrpc));
  if (!channel.ok()) co_return std::move(channel).error();
  co_return co_await rpc::call<Response>(**channel, "/tabletmanagerservice.TabletManager/" + method, request, wait);
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

struct Row {
  std::vector<std::optional<std::string>> cells;
  std::optional<Error> error;
};

net::Task<void> replica_row(rpc::ChannelPool& tablets, std::shared_ptr<const ::topodata::Tablet> tablet,
                            std::string alias, net::Wait wait, Row& out) {
  auto status = co_await ask<tmd::ReplicationStatusResponse>(tablets, *tablet, "ReplicationStatus",
                                                             tmd::ReplicationStatusRequest(), wait);
  tmd::CheckThrottlerRequest check;
  check.set_app_name("vitess");
  check.set_scope("self");
  check.set_skip_request_heartbeats(true);
  check.set_ok_if_not_exists(true);
  const auto checked =
      co_await ask<tmd::CheckThrottlerResponse>(tablets, *tablet, "CheckThrottler", std::move(check), wait);
  std::optional<std::string> source, lag;
  using Told = Result<::replicationdata::Status>;
  const Told told = status.ok() ? Told(status->status()) : Told(status.error());
  if (told.ok()) {
    source = fmt::format("{}:{}", told->source_host(), told->source_port());
    if (!told->replication_lag_unknown()) lag = std::to_string(told->replication_lag_seconds());
  }
  out.cells = {tablet->keyspace(),       tablet->shard(),    upper(topo::tablet_type_to_string(tablet->type())),
               std::move(alias),         tablet->hostname(), std::move(source),
               replication_health(told), std::move(lag),     throttler_state(checked)};
}

net::Task<void> throttler_row(rpc::ChannelPool& tablets, std::shared_ptr<const ::topodata::Tablet> tablet,
                              std::string shard, net::Wait wait, Row& out) {
  auto status = co_await ask<tmd::GetThrottlerStatusResponse>(tablets, *tablet, "GetThrottlerStatus",
                                                              tmd::GetThrottlerStatusRequest(), wait);
  if (!status.ok()) {
    out.error = std::move(status).error().with_context(fmt::format("throttler of {}/{}", tablet->keyspace(), shard));
    co_return;
  }
  const std::string& custom = status->custom_metric_query();
  out.cells = {std::move(shard), status->is_enabled() ? "1" : "0", fmt::format("{}", status->default_threshold()),
               custom.empty() ? status->lag_metric_query() : custom};
}

Error no_keyspace(const std::string& keyspace) {
  if (keyspace.empty()) {
    return fail(Code::kFailedPrecondition,
                "VT09005: no database selected: use keyspace<:shard><@type> or keyspace<[range]><@type> (<> are "
                "optional)")
        .with_mysql(mysql::errnos::kNoDb, "3D000");
  }
  return fail(Code::kNotFound, fmt::format("VT05003: unknown database '{}' in vschema", keyspace))
      .with_mysql(mysql::errnos::kBadDb, "42000");
}

}  // namespace

std::string replication_health(const Result<::replicationdata::Status>& status) {
  const auto word = [](bool runs) { return runs ? "Yes" : "No"; };
  const bool receives = status.ok() && status->io_state() == kRunning;
  const bool applies = status.ok() && status->sql_state() == kRunning;
  std::string error;
  if (!status.ok()) {
    error = status.error().message();
  } else {
    error = status->last_io_error();
    if (!error.empty() && !status->last_sql_error().empty()) error += ", ";
    error += status->last_sql_error();
  }
  return fmt::format(R"({{"EventStreamRunning":"{}","EventApplierRunning":"{}","LastError":{}}})", word(receives),
                     word(applies), base::json_string(error));
}

std::string throttler_state(const Result<tmd::CheckThrottlerResponse>& check) {
  const std::string state = check.ok() ? tmd::CheckThrottlerResponseCode_Name(check->response_code()) : "UNKNOWN";
  std::string message;
  if (!check.ok()) {
    message = check.error().message();
  } else {
    message = check->error().empty() ? check->message() : check->error();
  }
  return fmt::format(R"({{"state":"{}","load":{:.2f},"message":{}}})", state, check.ok() ? check->value() : 0.0,
                     base::json_string(message));
}

net::Task<net::QueryResult> TabletReport::replication(std::function<bool(std::string_view)> fits) const {
  std::vector<net::Task<void>> asks;
  std::vector<Row> rows(view.topology->tablets->size());
  for (const auto& [alias, tablet] : *view.topology->tablets) {
    const auto type = tablet->type();
    const bool replicates = type == ::topodata::REPLICA || type == ::topodata::RDONLY;
    if (!replicates || !fits(tablet->keyspace() + "/" + tablet->shard())) continue;
    asks.push_back(replica_row(tablets, tablet, alias, wait, rows[asks.size()]));
  }
  const size_t count = asks.size();
  co_await net::when_all(std::move(asks));
  net::QueryResult out = table_of({"Keyspace", "Shard", "TabletType", "Alias", "Hostname", "ReplicationSource",
                                   "ReplicationHealth", "ReplicationLag", "ThrottlerStatus"},
                                  {});
  for (size_t i = 0; i < count; ++i) out.rows.push_back(std::move(rows[i].cells));
  std::ranges::sort(out.rows);
  co_return out;
}

net::Task<Result<net::QueryResult>> TabletReport::throttler(std::string keyspace, std::string shard) const {
  const auto* shards = keyspace.empty() ? nullptr : view.find_shards(keyspace, "primary");
  if (shards == nullptr) co_return no_keyspace(keyspace);
  std::vector<net::Task<void>> asks;
  std::vector<Row> rows(shards->size());
  for (const auto& active : *shards) {
    if (!shard.empty() && active.name != shard) continue;
    const auto* primary = view.find_endpoints({keyspace, active.name, "primary"});
    const auto tablet = primary == nullptr || primary->empty() ? view.topology->tablets->end()
                                                               : view.topology->tablets->find(primary->front().alias);
    if (tablet == view.topology->tablets->end()) {
      co_return fail(Code::kUnavailable, fmt::format("no healthy primary of {}/{}", keyspace, active.name));
    }
    asks.push_back(throttler_row(tablets, tablet->second, active.name, wait, rows[asks.size()]));
  }
  rows.resize(asks.size());
  co_await net::when_all(std::move(asks));
  net::QueryResult out = table_of({"shard", "enabled", "threshold", "query"}, {});
  for (auto& row : rows) {
    if (row.error) co_return std::move(*row.error);
    out.rows.push_back(std::move(row.cells));
  }
  co_return out;
}

Result<net::QueryResult> throttled_apps(const View& view, const std::string& keyspace, int64_t now) {
  const auto record = view.topology->keyspaces->find(keyspace);
  if (record == view.topology->keyspaces->end()) return no_keyspace(keyspace);
  const auto& apps = record->second->throttler_config().throttled_apps();
  ShownRows rows;
  for (const auto& [app, rule] : apps) {
    std::optional<std::string> until;
    if (rule.has_expires_at()) {
      const int64_t seconds = rule.expires_at().seconds();
      if (seconds <= now) continue;
      until = fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::gmtime(static_cast<std::time_t>(seconds)));
    }
    rows.push_back({app, std::move(until), fmt::format("{}", rule.ratio()), rule.exempt() ? "1" : "0"});
  }
  std::ranges::sort(rows);
  return table_of({"app", "expire_at", "ratio", "exempt"}, std::move(rows));
}

}  // namespace vitrail::gate
