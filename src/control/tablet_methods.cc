// Vtctld's methods on tablets, and the planned reparent.
#include <fmt/core.h>

#include "control/registrar.h"
#include "control/reparent.h"
#include "tabletmanagerdata.pb.h"
#include "topo/shard.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;
template <typename T>
using Answer = net::Task<Result<T>>;

base::Duration to_duration(const ::vttime::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

// Calls one TabletManager method on the tablet of that alias.
template <typename Response, typename Request>
net::Task<Result<Response>> on_tablet(TabletClient& tablets, ::topodata::TabletAlias alias, std::string method,
                                      Request request, base::Duration timeout = 60s) {
  CO_ASSIGN_OR_RETURN(auto tablet, co_await topo::get_tablet(tablets.topology(), alias));
  co_return co_await tablets.call<Response>(std::move(tablet.record), method, std::move(request),
                                            net::Wait::within(timeout));
}

}  // namespace

void register_tablet_methods(Registrar& r) {
  r.unary<vd::GetTabletRequest, vd::GetTabletResponse>(
      "GetTablet", [](TabletClient& t, vd::GetTabletRequest q) -> Answer<vd::GetTabletResponse> {
        CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        vd::GetTabletResponse out;
        *out.mutable_tablet() = stored.record;
        co_return out;
      });
  r.unary<vd::GetTabletsRequest, vd::GetTabletsResponse>(
      "GetTablets", [](TabletClient& t, vd::GetTabletsRequest q) -> Answer<vd::GetTabletsResponse> {
        vd::GetTabletsResponse out;
        if (q.tablet_aliases_size() > 0) {
          for (const auto& alias : q.tablet_aliases()) {
            auto stored = co_await topo::get_tablet(t.topology(), alias);
            if (stored.ok()) *out.add_tablets() = stored->record;
            if (!stored.ok() && q.strict()) co_return std::move(stored).error();
          }
          co_return out;
        }
        topo::TabletQuery query;
        query.cells = {q.cells().begin(), q.cells().end()};
        query.keyspace = q.keyspace();
        query.shard = q.shard();
        if (q.tablet_type() != ::topodata::UNKNOWN) query.type = q.tablet_type();
        CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(t.topology(), std::move(query)));
        if (!list.failed.empty() && (q.strict() || list.tablets.empty())) co_return Error(list.failed.begin()->second);
        for (const auto& tablet : list.tablets) *out.add_tablets() = tablet;
        co_return out;
      });
  r.unary<vd::DeleteTabletsRequest, vd::DeleteTabletsResponse>(
      "DeleteTablets", [](TabletClient& t, vd::DeleteTabletsRequest q) -> Answer<vd::DeleteTabletsResponse> {
        for (const auto& alias : q.tablet_aliases()) {
          CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_tablet(t.topology(), alias));
          auto shard = co_await topo::get_shard(t.topology(), stored.record.keyspace(), stored.record.shard());
          if (!q.allow_primary() && shard.ok() && topo::same_alias(shard->record.primary_alias(), alias)) {
            co_return fail(Code::kFailedPrecondition,
                           fmt::format("cannot delete tablet {} as it is a primary, pass AllowPrimary = true",
                                       topo::alias_to_string(alias)));
          }
          CO_RETURN_IF_ERROR(co_await topo::delete_tablet(t.topology(), alias));
        }
        co_return vd::DeleteTabletsResponse();
      });
  r.unary<vd::PingTabletRequest, vd::PingTabletResponse>(
      "PingTablet", [](TabletClient& t, vd::PingTabletRequest q) -> Answer<vd::PingTabletResponse> {
        auto done = co_await on_tablet<tmd::PingResponse>(t, q.tablet_alias(), "Ping", tmd::PingRequest());
        if (!done.ok()) co_return std::move(done).error();
        co_return vd::PingTabletResponse();
      });
  r.unary<vd::RefreshStateRequest, vd::RefreshStateResponse>(
      "RefreshState", [](TabletClient& t, vd::RefreshStateRequest q) -> Answer<vd::RefreshStateResponse> {
        auto done = co_await on_tablet<tmd::RefreshStateResponse>(t, q.tablet_alias(), "RefreshState",
                                                                  tmd::RefreshStateRequest());
        if (!done.ok()) co_return std::move(done).error();
        co_return vd::RefreshStateResponse();
      });
  r.unary<vd::RunHealthCheckRequest, vd::RunHealthCheckResponse>(
      "RunHealthCheck", [](TabletClient& t, vd::RunHealthCheckRequest q) -> Answer<vd::RunHealthCheckResponse> {
        auto done = co_await on_tablet<tmd::RunHealthCheckResponse>(t, q.tablet_alias(), "RunHealthCheck",
                                                                    tmd::RunHealthCheckRequest());
        if (!done.ok()) co_return std::move(done).error();
        co_return vd::RunHealthCheckResponse();
      });
  r.unary<vd::ChangeTabletTypeRequest, vd::ChangeTabletTypeResponse>(
      "ChangeTabletType", [](TabletClient& t, vd::ChangeTabletTypeRequest q) -> Answer<vd::ChangeTabletTypeResponse> {
        CO_ASSIGN_OR_RETURN(const auto before, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        if (before.record.type() == ::topodata::PRIMARY || q.db_type() == ::topodata::PRIMARY) {
          co_return fail(Code::kFailedPrecondition,
                         "the primary is changed with PlannedReparentShard, not with ChangeTabletType");
        }
        vd::ChangeTabletTypeResponse out;
        *out.mutable_before_tablet() = before.record;
        *out.mutable_after_tablet() = before.record;
        out.mutable_after_tablet()->set_type(q.db_type());
        out.set_was_dry_run(q.dry_run());
        if (q.dry_run()) co_return out;
        tmd::ChangeTypeRequest request;
        request.set_tablet_type(q.db_type());
        auto done = co_await on_tablet<tmd::ChangeTypeResponse>(t, q.tablet_alias(), "ChangeType", std::move(request));
        if (!done.ok()) co_return std::move(done).error();
        co_return out;
      });
  r.unary<vd::SetWritableRequest, vd::SetWritableResponse>(
      "SetWritable", [](TabletClient& t, vd::SetWritableRequest q) -> Answer<vd::SetWritableResponse> {
        if (q.writable()) {
          auto done = co_await on_tablet<tmd::SetReadWriteResponse>(t, q.tablet_alias(), "SetReadWrite",
                                                                    tmd::SetReadWriteRequest());
          if (!done.ok()) co_return std::move(done).error();
        } else {
          auto done = co_await on_tablet<tmd::SetReadOnlyResponse>(t, q.tablet_alias(), "SetReadOnly",
                                                                   tmd::SetReadOnlyRequest());
          if (!done.ok()) co_return std::move(done).error();
        }
        co_return vd::SetWritableResponse();
      });
  r.unary<vd::StartReplicationRequest, vd::StartReplicationResponse>(
      "StartReplication", [](TabletClient& t, vd::StartReplicationRequest q) -> Answer<vd::StartReplicationResponse> {
        auto done = co_await on_tablet<tmd::StartReplicationResponse>(t, q.tablet_alias(), "StartReplication",
                                                                      tmd::StartReplicationRequest());
        if (!done.ok()) co_return std::move(done).error();
        co_return vd::StartReplicationResponse();
      });
  r.unary<vd::StopReplicationRequest, vd::StopReplicationResponse>(
      "StopReplication", [](TabletClient& t, vd::StopReplicationRequest q) -> Answer<vd::StopReplicationResponse> {
        auto done = co_await on_tablet<tmd::StopReplicationResponse>(t, q.tablet_alias(), "StopReplication",
                                                                     tmd::StopReplicationRequest());
        if (!done.ok()) co_return std::move(done).error();
        co_return vd::StopReplicationResponse();
      });
  r.unary<vd::GetFullStatusRequest, vd::GetFullStatusResponse>(
      "GetFullStatus", [](TabletClient& t, vd::GetFullStatusRequest q) -> Answer<vd::GetFullStatusResponse> {
        CO_ASSIGN_OR_RETURN(auto done, co_await on_tablet<tmd::FullStatusResponse>(t, q.tablet_alias(), "FullStatus",
                                                                                   tmd::FullStatusRequest()));
        vd::GetFullStatusResponse out;
        *out.mutable_status() = std::move(*done.mutable_status());
        co_return out;
      });
  r.unary<vd::ExecuteFetchAsDBARequest, vd::ExecuteFetchAsDBAResponse>(
      "ExecuteFetchAsDBA",
      [](TabletClient& t, vd::ExecuteFetchAsDBARequest q) -> Answer<vd::ExecuteFetchAsDBAResponse> {
        CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        tmd::ExecuteFetchAsDbaRequest request;
        request.set_query(q.query());
        request.set_db_name(topo::tablet_db_name(tablet.record));
        request.set_max_rows(static_cast<uint64_t>(q.max_rows()));
        request.set_disable_binlogs(q.disable_binlogs());
        CO_ASSIGN_OR_RETURN(
            auto done, co_await t.call<tmd::ExecuteFetchAsDbaResponse>(tablet.record, "ExecuteFetchAsDba",
                                                                       std::move(request), net::Wait::within(600s)));
        vd::ExecuteFetchAsDBAResponse out;
        *out.mutable_result() = std::move(*done.mutable_result());
        co_return out;
      });
  r.unary<vd::ExecuteFetchAsAppRequest, vd::ExecuteFetchAsAppResponse>(
      "ExecuteFetchAsApp",
      [](TabletClient& t, vd::ExecuteFetchAsAppRequest q) -> Answer<vd::ExecuteFetchAsAppResponse> {
        tmd::ExecuteFetchAsAppRequest request;
        request.set_query(q.query());
        request.set_max_rows(static_cast<uint64_t>(q.max_rows()));
        CO_ASSIGN_OR_RETURN(auto done, co_await on_tablet<tmd::ExecuteFetchAsAppResponse>(
                                           t, q.tablet_alias(), "ExecuteFetchAsApp", std::move(request), 600s));
        vd::ExecuteFetchAsAppResponse out;
        *out.mutable_result() = std::move(*done.mutable_result());
        co_return out;
      });
  r.unary<vd::PlannedReparentShardRequest, vd::PlannedReparentShardResponse>(
      "PlannedReparentShard",
      [](TabletClient& t, vd::PlannedReparentShardRequest q) -> Answer<vd::PlannedReparentShardResponse> {
        PlannedReparentOptions options;
        options.keyspace = q.keyspace();
        options.shard = q.shard();
        if (q.has_new_primary()) options.new_primary = q.new_primary();
        if (q.has_avoid_primary()) options.avoid_primary = q.avoid_primary();
        if (q.has_expected_primary()) options.expected_primary = q.expected_primary();
        if (q.has_wait_replicas_timeout()) options.wait_replicas_timeout = to_duration(q.wait_replicas_timeout());
        CO_ASSIGN_OR_RETURN(const auto alias, co_await planned_reparent_shard(t, std::move(options)));
        vd::PlannedReparentShardResponse out;
        out.set_keyspace(q.keyspace());
        out.set_shard(q.shard());
        *out.mutable_promoted_primary() = alias;
        co_return out;
      });
}

}  // namespace vitrail::control
