// Vtctld's methods on tablets.
#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <map>

#include "control/method.h"
#include "control/registrar.h"
#include "control/tablet_states.h"
#include "control/tablet_vars.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/durability.h"
#include "topo/cells.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

constexpr base::Duration kUsualTimeout = 60s;
constexpr base::Duration kStatementTimeout = 600s;

// Calls one TabletManager method on the tablet of that alias.
template <typename Response, typename Request>
net::Task<Result<Response>> on_tablet(TabletClient& tablets, ::topodata::TabletAlias alias, std::string method,
                                      Request request, base::Duration timeout = kUsualTimeout) {
  CO_ASSIGN_OR_RETURN(auto tablet, co_await topo::get_tablet(tablets.topology(), alias));
  co_return co_await tablets.call<Response>(std::move(tablet.record), method, std::move(request),
                                            net::Wait::within(timeout));
}

template <typename Request, typename Response, typename TabletRequest, typename TabletResponse>
Answer<Response> forward(TabletClient& tablets, ::topodata::TabletAlias alias, std::string method) {
  auto done = co_await on_tablet<TabletResponse>(tablets, std::move(alias), std::move(method), TabletRequest());
  if (!done.ok()) co_return std::move(done).error();
  co_return Response();
}

// A method that says nothing but which tablet, and answers nothing.
template <typename Request, typename Response, typename TabletRequest, typename TabletResponse>
void add_forward(Registrar& r, std::string_view name, std::string method) {
  r.unary<Request, Response>(name, [method](TabletClient& t, Request q) {
    return forward<Request, Response, TabletRequest, TabletResponse>(t, q.tablet_alias(), method);
  });
}

// Two tablets of a shard may both call themselves its primary, when one was replaced while it could not be reached. The
// older claim does not hold: it is shown as UNKNOWN.
void demote_stale_primaries(::google::protobuf::RepeatedPtrField<::topodata::Tablet>& tablets) {
  const auto term = [](const ::topodata::Tablet& tablet) {
    return std::pair(tablet.primary_term_start_time().seconds(), tablet.primary_term_start_time().nanoseconds());
  };
  std::map<std::pair<std::string_view, std::string_view>, ::topodata::Tablet*> primaries;
  for (auto& tablet : tablets) {
    if (tablet.type() != ::topodata::PRIMARY) continue;
    auto& newest = primaries[{tablet.keyspace(), tablet.shard()}];
    if (newest == nullptr) {
      newest = &tablet;
    } else if (term(*newest) < term(tablet)) {
      newest->set_type(::topodata::UNKNOWN);
      newest = &tablet;
    } else if (term(tablet) < term(*newest)) {
      tablet.set_type(::topodata::UNKNOWN);
    }
  }
}

Answer<vd::GetTabletsResponse> get_tablets(TabletClient& client, vd::GetTabletsRequest request) {
  topo::Server& topology = client.topology();
  vd::GetTabletsResponse out;
  if (request.tablet_aliases_size() > 0) {
    std::set<std::pair<std::string, uint32_t>> named;
    for (const auto& alias : request.tablet_aliases()) {
      if (!named.emplace(alias.cell(), alias.uid()).second) continue;
      auto stored = co_await topo::get_tablet(topology, alias);
      if (stored.ok()) *out.add_tablets() = stored->record;
      if (!stored.ok() && request.strict()) co_return std::move(stored).error();
    }
  } else {
    topo::TabletQuery query;
    query.cells = strings(request.cells());
    query.keyspace = request.keyspace();
    query.shard = request.shard();
    CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(topology, std::move(query)));
    if (!list.failed.empty() && (request.strict() || list.tablets.empty())) {
      co_return Error(list.failed.begin()->second);
    }
    out.mutable_tablets()->Reserve(static_cast<int>(list.tablets.size()));
    for (auto& tablet : list.tablets) *out.add_tablets() = std::move(tablet);
  }
  demote_stale_primaries(*out.mutable_tablets());
  if (request.tablet_type() != ::topodata::UNKNOWN) {
    auto& tablets = *out.mutable_tablets();
    tablets.erase(std::remove_if(tablets.begin(), tablets.end(),
                                 [&](const auto& tablet) { return tablet.type() != request.tablet_type(); }),
                  tablets.end());
  }
  co_return out;
}

// The primary's record goes together with its name in the Shard record, under the shard's lock.
Answer<vd::DeleteTabletsResponse> delete_primary(TabletClient& client, const topo::ShardLock& lock,
                                                 const ::topodata::TabletAlias& alias) {
  topo::UpdateFn<::topodata::Shard> forget = [&](::topodata::Shard& record) -> Result<bool> {
    if (!topo::same_alias(record.primary_alias(), alias)) return false;
    record.clear_primary_alias();
    record.clear_primary_term_start_time();
    return true;
  };
  auto updated = co_await topo::update_shard_fields(client.topology(), lock.keyspace(), lock.shard(), std::move(forget),
                                                    lock.fence());
  if (!updated.ok()) co_return std::move(updated).error();
  CO_RETURN_IF_ERROR(co_await topo::delete_tablet(client.topology(), alias));
  co_return vd::DeleteTabletsResponse();
}

Answer<vd::DeleteTabletsResponse> delete_tablets(TabletClient& client, vd::DeleteTabletsRequest request) {
  topo::Server& topology = client.topology();
  for (const auto& alias : request.tablet_aliases()) {
    CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(topology, alias));
    const auto shard = co_await topo::get_shard(topology, stored.record.keyspace(), stored.record.shard());
    if (!shard.ok() && shard.error().code() != Code::kNotFound) co_return Error(shard.error());
    if (!shard.ok() || !topo::same_alias(shard->record.primary_alias(), alias)) {
      CO_RETURN_IF_ERROR(co_await topo::delete_tablet(topology, alias));
      continue;
    }
    if (!request.allow_primary()) {
      co_return fail(Code::kFailedPrecondition, "cannot delete tablet " + topo::alias_to_string(alias) +
                                                    " as it is a primary, pass AllowPrimary = true");
    }
    auto deleted = co_await with_shard_lock(client, shard->keyspace, shard->name,
                                            "DeleteTablets " + topo::alias_to_string(alias), alias, delete_primary);
    if (!deleted.ok()) co_return std::move(deleted).error();
  }
  co_return vd::DeleteTabletsResponse();
}

Answer<vd::StartReplicationResponse> start_replication(TabletClient& client, vd::StartReplicationRequest request) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet_alias()));
  tmd::StartReplicationRequest start;
  CO_ASSIGN_OR_RETURN(const bool acknowledges, co_await acknowledges_primary(client, tablet.record));
  start.set_semisync(acknowledges);
  auto done = co_await client.call<tmd::StartReplicationResponse>(tablet.record, "StartReplication", std::move(start),
                                                                  net::Wait::within(kUsualTimeout));
  if (!done.ok()) co_return std::move(done).error();
  co_return vd::StartReplicationResponse();
}

Answer<vd::ChangeTabletTypeResponse> change_type(TabletClient& client, vd::ChangeTabletTypeRequest request) {
  CO_ASSIGN_OR_RETURN(const auto before, co_await topo::get_tablet(client.topology(), request.tablet_alias()));
  const auto from = before.record.type(), to = request.db_type();
  if (from == ::topodata::PRIMARY || to == ::topodata::PRIMARY || to == ::topodata::UNKNOWN) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("type change {} -> {} is not an allowed transition for ChangeTabletType",
                               ::topodata::TabletType_Name(from), ::topodata::TabletType_Name(to)));
  }
  vd::ChangeTabletTypeResponse out;
  *out.mutable_before_tablet() = before.record;
  *out.mutable_after_tablet() = before.record;
  out.mutable_after_tablet()->set_type(to);
  out.set_was_dry_run(request.dry_run());
  if (request.dry_run()) co_return out;
  tmd::ChangeTypeRequest change;
  change.set_tablet_type(to);
  CO_ASSIGN_OR_RETURN(const bool acknowledges, co_await acknowledges_primary(client, out.after_tablet()));
  change.set_semisync(acknowledges);
  auto done = co_await client.call<tmd::ChangeTypeResponse>(before.record, "ChangeType", std::move(change),
                                                            net::Wait::within(kUsualTimeout));
  if (!done.ok()) co_return std::move(done).error();
  CO_ASSIGN_OR_RETURN(const auto after, co_await topo::get_tablet(client.topology(), request.tablet_alias()));
  *out.mutable_after_tablet() = after.record;
  co_return out;
}

net::Task<void> refresh_one(TabletClient& client, ::topodata::Tablet tablet, Status& out) {
  auto done = co_await client.call<tmd::RefreshStateResponse>(std::move(tablet), "RefreshState",
                                                              tmd::RefreshStateRequest(), net::Wait::within(15s));
  if (!done.ok()) out = std::move(done).error();
}

Answer<vd::RefreshStateByShardResponse> refresh_shard(TabletClient& client, vd::RefreshStateByShardRequest request) {
  CO_ASSIGN_OR_RETURN(const auto shard,
                      co_await topo::get_shard(client.topology(), request.keyspace(), request.shard()));
  topo::TabletQuery query;
  query.cells = strings(request.cells());
  query.keyspace = request.keyspace();
  query.shard = shard.name;
  CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(client.topology(), std::move(query)));
  std::vector<Status> outcomes(list.tablets.size());
  std::vector<net::Task<void>> calls;
  for (size_t i = 0; i < list.tablets.size(); ++i) calls.push_back(refresh_one(client, list.tablets[i], outcomes[i]));
  co_await net::when_all(std::move(calls));
  std::string details;
  for (const auto& [cell, error] : list.failed) details += "cell " + cell + ": " + error.message() + "; ";
  for (const auto& outcome : outcomes) {
    if (!outcome.ok()) details += outcome.error().message() + "; ";
  }
  vd::RefreshStateByShardResponse out;
  out.set_is_partial_refresh(!details.empty());
  if (!details.empty()) out.set_partial_refresh_details(details.substr(0, details.size() - 2));
  co_return out;
}

void register_records(Registrar& r) {
  r.unary<vd::GetTabletRequest, vd::GetTabletResponse>(
      "GetTablet", [](TabletClient& t, vd::GetTabletRequest q) -> Answer<vd::GetTabletResponse> {
        CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        vd::GetTabletResponse out;
        *out.mutable_tablet() = stored.record;
        co_return out;
      });
  r.unary<vd::GetTabletsRequest, vd::GetTabletsResponse>("GetTablets", get_tablets);
  r.unary<vd::DeleteTabletsRequest, vd::DeleteTabletsResponse>("DeleteTablets", delete_tablets);
  r.unary<vd::ChangeTabletTypeRequest, vd::ChangeTabletTypeResponse>("ChangeTabletType", change_type);
  r.unary<vd::ChangeTabletTagsRequest, vd::ChangeTabletTagsResponse>(
      "ChangeTabletTags", [](TabletClient& t, vd::ChangeTabletTagsRequest q) -> Answer<vd::ChangeTabletTagsResponse> {
        CO_ASSIGN_OR_RETURN(const auto before, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        tmd::ChangeTagsRequest request;
        *request.mutable_tags() = q.tags();
        request.set_replace(q.replace());
        CO_ASSIGN_OR_RETURN(auto done,
                            co_await t.call<tmd::ChangeTagsResponse>(before.record, "ChangeTags", std::move(request),
                                                                     net::Wait::within(kUsualTimeout)));
        vd::ChangeTabletTagsResponse out;
        *out.mutable_before_tags() = before.record.tags();
        *out.mutable_after_tags() = std::move(*done.mutable_tags());
        co_return out;
      });
}

void register_states(Registrar& r) {
  add_forward<vd::PingTabletRequest, vd::PingTabletResponse, tmd::PingRequest, tmd::PingResponse>(r, "PingTablet",
                                                                                                  "Ping");
  add_forward<vd::RefreshStateRequest, vd::RefreshStateResponse, tmd::RefreshStateRequest, tmd::RefreshStateResponse>(
      r, "RefreshState", "RefreshState");
  add_forward<vd::RunHealthCheckRequest, vd::RunHealthCheckResponse, tmd::RunHealthCheckRequest,
              tmd::RunHealthCheckResponse>(r, "RunHealthCheck", "RunHealthCheck");
  r.unary<vd::StartReplicationRequest, vd::StartReplicationResponse>("StartReplication", start_replication);
  add_forward<vd::StopReplicationRequest, vd::StopReplicationResponse, tmd::StopReplicationRequest,
              tmd::StopReplicationResponse>(r, "StopReplication", "StopReplication");
  r.unary<vd::RefreshStateByShardRequest, vd::RefreshStateByShardResponse>("RefreshStateByShard", refresh_shard);
  r.unary<vd::SetWritableRequest, vd::SetWritableResponse>(
      "SetWritable", [](TabletClient& t, vd::SetWritableRequest q) {
        return q.writable() ? forward<vd::SetWritableRequest, vd::SetWritableResponse, tmd::SetReadWriteRequest,
                                      tmd::SetReadWriteResponse>(t, q.tablet_alias(), "SetReadWrite")
                            : forward<vd::SetWritableRequest, vd::SetWritableResponse, tmd::SetReadOnlyRequest,
                                      tmd::SetReadOnlyResponse>(t, q.tablet_alias(), "SetReadOnly");
      });
  r.unary<vd::SleepTabletRequest, vd::SleepTabletResponse>(
      "SleepTablet", [](TabletClient& t, vd::SleepTabletRequest q) -> Answer<vd::SleepTabletResponse> {
        const base::Duration duration = to_duration(q.duration());
        if (duration < 0s || duration > 1h) {
          co_return fail(Code::kInvalidArgument, "duration: a tablet sleeps between nothing and one hour");
        }
        tmd::SleepRequest request;
        request.set_duration(duration.count());
        auto done = co_await on_tablet<tmd::SleepResponse>(t, q.tablet_alias(), "Sleep", std::move(request),
                                                           duration + kUsualTimeout);
        if (!done.ok()) co_return std::move(done).error();
        co_return vd::SleepTabletResponse();
      });
  r.unary<vd::GetFullStatusRequest, vd::GetFullStatusResponse>(
      "GetFullStatus", [](TabletClient& t, vd::GetFullStatusRequest q) -> Answer<vd::GetFullStatusResponse> {
        CO_ASSIGN_OR_RETURN(auto done, co_await on_tablet<tmd::FullStatusResponse>(t, q.tablet_alias(), "FullStatus",
                                                                                   tmd::FullStatusRequest()));
        vd::GetFullStatusResponse out;
        *out.mutable_status() = std::move(*done.mutable_status());
        co_return out;
      });
  r.unary<vd::GetPermissionsRequest, vd::GetPermissionsResponse>(
      "GetPermissions", [](TabletClient& t, vd::GetPermissionsRequest q) -> Answer<vd::GetPermissionsResponse> {
        CO_ASSIGN_OR_RETURN(auto done, co_await on_tablet<tmd::GetPermissionsResponse>(
                                           t, q.tablet_alias(), "GetPermissions", tmd::GetPermissionsRequest()));
        vd::GetPermissionsResponse out;
        *out.mutable_permissions() = std::move(*done.mutable_permissions());
        co_return out;
      });
  r.unary<vd::GetVersionRequest, vd::GetVersionResponse>(
      "GetVersion", [](TabletClient& t, vd::GetVersionRequest q) -> Answer<vd::GetVersionResponse> {
        CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        vd::GetVersionResponse out;
        CO_ASSIGN_OR_RETURN(*out.mutable_version(), co_await read_version(tablet.record, net::Wait::within(15s)));
        co_return out;
      });
}

void register_statements(Registrar& r) {
  r.unary<vd::ExecuteFetchAsDBARequest, vd::ExecuteFetchAsDBAResponse>(
      "ExecuteFetchAsDBA",
      [](TabletClient& t, vd::ExecuteFetchAsDBARequest q) -> Answer<vd::ExecuteFetchAsDBAResponse> {
        CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        tmd::ExecuteFetchAsDbaRequest request;
        request.set_query(q.query());
        request.set_db_name(topo::tablet_db_name(tablet.record));
        request.set_max_rows(static_cast<uint64_t>(std::max<int64_t>(0, q.max_rows())));
        request.set_disable_binlogs(q.disable_binlogs());
        request.set_reload_schema(q.reload_schema());
        CO_ASSIGN_OR_RETURN(auto done, co_await t.call<tmd::ExecuteFetchAsDbaResponse>(
                                           tablet.record, "ExecuteFetchAsDba", std::move(request),
                                           net::Wait::within(kStatementTimeout)));
        vd::ExecuteFetchAsDBAResponse out;
        *out.mutable_result() = std::move(*done.mutable_result());
        co_return out;
      });
  r.unary<vd::ExecuteMultiFetchAsDBARequest, vd::ExecuteMultiFetchAsDBAResponse>(
      "ExecuteMultiFetchAsDBA",
      [](TabletClient& t, vd::ExecuteMultiFetchAsDBARequest q) -> Answer<vd::ExecuteMultiFetchAsDBAResponse> {
        CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        tmd::ExecuteMultiFetchAsDbaRequest request;
        request.set_sql(q.sql());
        request.set_db_name(topo::tablet_db_name(tablet.record));
        request.set_max_rows(static_cast<uint64_t>(std::max<int64_t>(0, q.max_rows())));
        request.set_disable_binlogs(q.disable_binlogs());
        request.set_reload_schema(q.reload_schema());
        CO_ASSIGN_OR_RETURN(auto done, co_await t.call<tmd::ExecuteMultiFetchAsDbaResponse>(
                                           tablet.record, "ExecuteMultiFetchAsDba", std::move(request),
                                           net::Wait::within(kStatementTimeout)));
        vd::ExecuteMultiFetchAsDBAResponse out;
        *out.mutable_results() = std::move(*done.mutable_results());
        co_return out;
      });
  r.unary<vd::ExecuteFetchAsAppRequest, vd::ExecuteFetchAsAppResponse>(
      "ExecuteFetchAsApp",
      [](TabletClient& t, vd::ExecuteFetchAsAppRequest q) -> Answer<vd::ExecuteFetchAsAppResponse> {
        tmd::ExecuteFetchAsAppRequest request;
        request.set_query(q.query());
        request.set_max_rows(static_cast<uint64_t>(std::max<int64_t>(0, q.max_rows())));
        CO_ASSIGN_OR_RETURN(auto done,
                            co_await on_tablet<tmd::ExecuteFetchAsAppResponse>(t, q.tablet_alias(), "ExecuteFetchAsApp",
                                                                               std::move(request), kStatementTimeout));
        vd::ExecuteFetchAsAppResponse out;
        *out.mutable_result() = std::move(*done.mutable_result());
        co_return out;
      });
  r.unary<vd::ExecuteHookRequest, vd::ExecuteHookResponse>(
      "ExecuteHook", [](TabletClient& t, vd::ExecuteHookRequest q) -> Answer<vd::ExecuteHookResponse> {
        if (q.tablet_hook_request().name().contains('/')) {
          co_return fail(Code::kInvalidArgument,
                         "hook name: '" + q.tablet_hook_request().name() + "' cannot contain a '/'");
        }
        CO_ASSIGN_OR_RETURN(auto done,
                            co_await on_tablet<tmd::ExecuteHookResponse>(t, q.tablet_alias(), "ExecuteHook",
                                                                         q.tablet_hook_request(), kStatementTimeout));
        vd::ExecuteHookResponse out;
        *out.mutable_hook_result() = std::move(done);
        co_return out;
      });
}

}  // namespace

void register_tablet_methods(Registrar& r) {
  register_records(r);
  register_states(r);
  register_statements(r);
}

}  // namespace vitrail::control
