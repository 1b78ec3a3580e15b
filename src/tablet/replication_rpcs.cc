// TabletManager's methods on replication, and the steps of a reparent.
#include <fmt/core.h>

#include "mysqld/rows.h"
#include "mysqld/schema_sql.h"
#include "replicationdata.pb.h"
#include "tablet/replication_stop.h"
#include "tablet/rpc_registrar.h"

namespace vitrail::tablet {
namespace {

namespace tmd = ::tabletmanagerdata;
using rpc::CallContext;
using namespace std::chrono_literals;

std::string prefix_of(TabletManager& manager) { return manager.server().flavor_prefix(); }

void register_replication(Registrar& r) {
  r.unary<tmd::PrimaryPositionRequest, tmd::PrimaryPositionResponse>(
      "PrimaryPosition",
      [](TabletManager& manager, CallContext context,
         tmd::PrimaryPositionRequest) -> net::Task<Result<tmd::PrimaryPositionResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.server().position(bounded(context)));
        tmd::PrimaryPositionResponse response;
        response.set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::WaitForPositionRequest, tmd::WaitForPositionResponse>(
      "WaitForPosition",
      [](TabletManager& manager, CallContext context,
         tmd::WaitForPositionRequest request) -> net::Task<Result<tmd::WaitForPositionResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.server().wait_for_position(request.position(), bounded(context)));
        co_return tmd::WaitForPositionResponse();
      });
  r.unary<tmd::ReplicationStatusRequest, tmd::ReplicationStatusResponse>(
      "ReplicationStatus",
      [](TabletManager& manager, CallContext context,
         tmd::ReplicationStatusRequest) -> net::Task<Result<tmd::ReplicationStatusResponse>> {
        CO_ASSIGN_OR_RETURN(const auto status, co_await manager.server().replication_status(bounded(context)));
        tmd::ReplicationStatusResponse response;
        *response.mutable_status() = to_proto(status, prefix_of(manager));
        co_return response;
      });
  r.unary<tmd::PrimaryStatusRequest, tmd::PrimaryStatusResponse>(
      "PrimaryStatus",
      [](TabletManager& manager, CallContext context,
         tmd::PrimaryStatusRequest) -> net::Task<Result<tmd::PrimaryStatusResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.server().position(bounded(context)));
        tmd::PrimaryStatusResponse response;
        response.mutable_status()->set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::StopReplicationRequest, tmd::StopReplicationResponse>(
      "StopReplication",
      [](TabletManager& manager, CallContext context,
         tmd::StopReplicationRequest) -> net::Task<Result<tmd::StopReplicationResponse>> {
        CO_RETURN_IF_ERROR(
            co_await manager.server().run(manager.server().flavor().stop_replication(), bounded(context)));
        co_return tmd::StopReplicationResponse();
      });
  r.unary<tmd::StartReplicationRequest, tmd::StartReplicationResponse>(
      "StartReplication",
      [](TabletManager& manager, CallContext context,
         tmd::StartReplicationRequest request) -> net::Task<Result<tmd::StartReplicationResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.start_replication(request.semisync(), bounded(context)));
        co_return tmd::StartReplicationResponse();
      });
  r.unary<tmd::FullStatusRequest, tmd::FullStatusResponse>(
      "FullStatus",
      [](TabletManager& manager, CallContext context,
         tmd::FullStatusRequest) -> net::Task<Result<tmd::FullStatusResponse>> {
        const net::Wait wait = bounded(context);
        LocalServer& server = manager.server();
        CO_ASSIGN_OR_RETURN(const auto rows, co_await server.query(server.flavor().server_settings_query(), wait));
        CO_ASSIGN_OR_RETURN(const auto settings, server.flavor().parse_server_settings(to_rows(rows)));
        CO_ASSIGN_OR_RETURN(const auto status, co_await server.replication_status(wait));
        CO_ASSIGN_OR_RETURN(auto position, co_await server.position(wait));
        CO_ASSIGN_OR_RETURN(const auto semi_sync, co_await server.semi_sync(wait));
        tmd::FullStatusResponse response;
        auto* full = response.mutable_status();
        full->set_server_id(settings.server_id);
        full->set_server_uuid(settings.server_uuid);
        full->set_version(settings.version);
        full->set_version_comment(settings.version_comment);
        full->set_read_only(settings.read_only);
        full->set_super_read_only(settings.super_read_only);
        full->set_log_bin_enabled(settings.log_bin);
        full->set_log_replica_updates(settings.log_replica_updates);
        full->set_binlog_format(settings.binlog_format);
        full->set_binlog_row_image(settings.binlog_row_image);
        full->set_gtid_mode(settings.gtid_mode);
        full->set_semi_sync_primary_enabled(semi_sync.source_enabled);
        full->set_semi_sync_replica_enabled(semi_sync.replica_enabled);
        full->set_semi_sync_primary_status(semi_sync.source_active);
        full->set_semi_sync_replica_status(semi_sync.replica_active);
        full->set_semi_sync_primary_clients(semi_sync.source_clients);
        full->set_semi_sync_primary_timeout(semi_sync.timeout_ms);
        full->set_semi_sync_wait_for_replica_count(semi_sync.wait_for_replicas);
        full->set_semi_sync_blocked(semi_sync.waiting_sessions > 0);
        full->mutable_primary_status()->set_position(std::move(position));
        if (status.has_source()) *full->mutable_replication_status() = to_proto(status, prefix_of(manager));
        full->set_tablet_type(manager.shown_type());
        full->set_disk_stalled(manager.disk_stalled());
        co_return response;
      });
}

void register_reparent(Registrar& r) {
  r.unary<tmd::InitPrimaryRequest, tmd::InitPrimaryResponse>(
      "InitPrimary",
      [](TabletManager& manager, CallContext context,
         tmd::InitPrimaryRequest request) -> net::Task<Result<tmd::InitPrimaryResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.promote(request.semisync(), bounded(context)));
        tmd::InitPrimaryResponse response;
        response.set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::PromoteReplicaRequest, tmd::PromoteReplicaResponse>(
      "PromoteReplica",
      [](TabletManager& manager, CallContext context,
         tmd::PromoteReplicaRequest request) -> net::Task<Result<tmd::PromoteReplicaResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.promote(request.semisync(), bounded(context)));
        tmd::PromoteReplicaResponse response;
        response.set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::DemotePrimaryRequest, tmd::DemotePrimaryResponse>(
      "DemotePrimary",
      [](TabletManager& manager, CallContext context,
         tmd::DemotePrimaryRequest) -> net::Task<Result<tmd::DemotePrimaryResponse>> {
        CO_ASSIGN_OR_RETURN(auto position, co_await manager.demote_primary(bounded(context)));
        tmd::DemotePrimaryResponse response;
        response.mutable_primary_status()->set_position(std::move(position));
        co_return response;
      });
  r.unary<tmd::UndoDemotePrimaryRequest, tmd::UndoDemotePrimaryResponse>(
      "UndoDemotePrimary",
      [](TabletManager& manager, CallContext context,
         tmd::UndoDemotePrimaryRequest request) -> net::Task<Result<tmd::UndoDemotePrimaryResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.undo_demote_primary(request.semisync(), bounded(context)));
        co_return tmd::UndoDemotePrimaryResponse();
      });
  r.unary<tmd::InitReplicaRequest, tmd::InitReplicaResponse>(
      "InitReplica",
      [](TabletManager& manager, CallContext context,
         tmd::InitReplicaRequest request) -> net::Task<Result<tmd::InitReplicaResponse>> {
        TabletManager::Source source{request.parent(), request.semisync(), request.time_created_ns()};
        CO_RETURN_IF_ERROR(co_await manager.set_replication_source(std::move(source), bounded(context)));
        co_return tmd::InitReplicaResponse();
      });
  r.unary<tmd::SetReplicationSourceRequest, tmd::SetReplicationSourceResponse>(
      "SetReplicationSource",
      [](TabletManager& manager, CallContext context,
         tmd::SetReplicationSourceRequest request) -> net::Task<Result<tmd::SetReplicationSourceResponse>> {
        TabletManager::Source source{request.parent(), request.semisync(), request.time_created_ns(),
                                     request.wait_position()};
        CO_RETURN_IF_ERROR(co_await manager.set_replication_source(std::move(source), bounded(context)));
        co_return tmd::SetReplicationSourceResponse();
      });
  r.unary<tmd::PopulateReparentJournalRequest, tmd::PopulateReparentJournalResponse>(
      "PopulateReparentJournal",
      [](TabletManager& manager, CallContext context,
         tmd::PopulateReparentJournalRequest request) -> net::Task<Result<tmd::PopulateReparentJournalResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.populate_reparent_journal(std::move(request), bounded(context)));
        co_return tmd::PopulateReparentJournalResponse();
      });
  r.unary<tmd::ReplicaWasPromotedRequest, tmd::ReplicaWasPromotedResponse>(
      "ReplicaWasPromoted",
      [](TabletManager& manager, CallContext context,
         tmd::ReplicaWasPromotedRequest) -> net::Task<Result<tmd::ReplicaWasPromotedResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.replica_was_promoted(bounded(context)));
        co_return tmd::ReplicaWasPromotedResponse();
      });
  r.unary<tmd::ReplicaWasRestartedRequest, tmd::ReplicaWasRestartedResponse>(
      "ReplicaWasRestarted",
      [](TabletManager& manager, CallContext context,
         tmd::ReplicaWasRestartedRequest) -> net::Task<Result<tmd::ReplicaWasRestartedResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.replica_was_restarted(bounded(context)));
        co_return tmd::ReplicaWasRestartedResponse();
      });
  r.unary<tmd::ResetReplicationRequest, tmd::ResetReplicationResponse>(
      "ResetReplication",
      [](TabletManager& manager, CallContext context,
         tmd::ResetReplicationRequest) -> net::Task<Result<tmd::ResetReplicationResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.server().reset_replication(bounded(context)));
        co_return tmd::ResetReplicationResponse();
      });
  r.unary<tmd::ResetReplicationParametersRequest, tmd::ResetReplicationParametersResponse>(
      "ResetReplicationParameters",
      [](TabletManager& manager, CallContext context,
         tmd::ResetReplicationParametersRequest) -> net::Task<Result<tmd::ResetReplicationParametersResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.server().run(manager.server().flavor().promote(), bounded(context)));
        co_return tmd::ResetReplicationParametersResponse();
      });
  r.unary<tmd::ReadReparentJournalInfoRequest, tmd::ReadReparentJournalInfoResponse>(
      "ReadReparentJournalInfo",
      [](TabletManager& manager, CallContext context,
         tmd::ReadReparentJournalInfoRequest) -> net::Task<Result<tmd::ReadReparentJournalInfoResponse>> {
        CO_ASSIGN_OR_RETURN(const auto rows, co_await manager.server().query(
                                                 "select count(*) from _vt.reparent_journal", bounded(context)));
        tmd::ReadReparentJournalInfoResponse response;
        response.set_length(static_cast<int32_t>(mysqld::to_int(rows.text(0, 0)).value_or(0)));
        co_return response;
      });
}

// Replication that is stopped or started at a place.
void register_places(Registrar& r) {
  r.unary<tmd::StopReplicationAndGetStatusRequest, tmd::StopReplicationAndGetStatusResponse>(
      "StopReplicationAndGetStatus",
      [](TabletManager& manager, CallContext context, tmd::StopReplicationAndGetStatusRequest request)
          -> net::Task<Result<tmd::StopReplicationAndGetStatusResponse>> {
        CO_ASSIGN_OR_RETURN(auto status, co_await stop_and_get_status(manager.server(), request.stop_replication_mode(),
                                                                      bounded(context)));
        tmd::StopReplicationAndGetStatusResponse response;
        *response.mutable_status() = std::move(status);
        co_return response;
      });
  r.unary<tmd::StopReplicationMinimumRequest, tmd::StopReplicationMinimumResponse>(
      "StopReplicationMinimum",
      [](TabletManager& manager, CallContext context,
         tmd::StopReplicationMinimumRequest request) -> net::Task<Result<tmd::StopReplicationMinimumResponse>> {
        LocalServer& server = manager.server();
        net::Wait wait = bounded(context);
        const base::Duration limit(request.wait_timeout());
        if (limit > 0s) wait = net::Wait::within(limit, context.cancel);
        CO_RETURN_IF_ERROR(co_await server.wait_for_position(request.position(), wait));
        CO_RETURN_IF_ERROR(co_await server.run(server.flavor().stop_replication(), bounded(context)));
        tmd::StopReplicationMinimumResponse response;
        CO_ASSIGN_OR_RETURN(*response.mutable_position(), co_await server.position(bounded(context)));
        co_return response;
      });
  r.unary<tmd::StartReplicationUntilAfterRequest, tmd::StartReplicationUntilAfterResponse>(
      "StartReplicationUntilAfter",
      [](TabletManager& manager, CallContext context,
         tmd::StartReplicationUntilAfterRequest request) -> net::Task<Result<tmd::StartReplicationUntilAfterResponse>> {
        LocalServer& server = manager.server();
        net::Wait wait = bounded(context);
        const base::Duration limit(request.wait_timeout());
        if (limit > 0s) wait = net::Wait::within(limit, context.cancel);
        CO_ASSIGN_OR_RETURN(const std::string bare, server.bare_position(request.position()));
        CO_RETURN_IF_ERROR(co_await server.run(server.flavor().start_replication_until(bare), wait));
        CO_RETURN_IF_ERROR(co_await server.wait_for_position(request.position(), wait));
        co_return tmd::StartReplicationUntilAfterResponse();
      });
  r.unary<tmd::RestartReplicationRequest, tmd::RestartReplicationResponse>(
      "RestartReplication",
      [](TabletManager& manager, CallContext context,
         tmd::RestartReplicationRequest request) -> net::Task<Result<tmd::RestartReplicationResponse>> {
        CO_RETURN_IF_ERROR(co_await manager.restart_replication(request.semisync(), bounded(context)));
        co_return tmd::RestartReplicationResponse();
      });
  r.unary<tmd::GetReplicasRequest, tmd::GetReplicasResponse>(
      "GetReplicas",
      [](TabletManager& manager, CallContext context,
         tmd::GetReplicasRequest) -> net::Task<Result<tmd::GetReplicasResponse>> {
        CO_ASSIGN_OR_RETURN(const auto rows, co_await manager.server().query(
                                                 "select host from information_schema.processlist where command like "
                                                 "'Binlog Dump%'",
                                                 bounded(context)));
        tmd::GetReplicasResponse response;
        for (size_t i = 0; i < rows.rows.size(); ++i) {
          const std::string_view host = rows.text(i, 0);
          response.add_addrs(std::string(host.substr(0, host.rfind(':'))));
        }
        co_return response;
      });
}

}  // namespace

void register_replication_rpcs(Registrar& r) {
  register_replication(r);
  register_reparent(r);
  register_places(r);
}

}  // namespace vitrail::tablet
