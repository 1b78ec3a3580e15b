#include "worker/tablets.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/random.h"
#include "control/worker_claim.h"
#include "movement/row_stream.h"
#include "mysqld/schema_sql.h"
#include "net/scope.h"
#include "rpc/typed.h"
#include "sql/printer.h"
#include "topo/tablet.h"

namespace vitrail::worker {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

constexpr auto kHealthTime = 5s;
constexpr auto kPoll = 500ms;

// Why the tablet is not healthy; "": it is.
net::Task<void> ask_health(JobContext& context, ::topodata::Tablet tablet, std::string& fault) {
  auto health = co_await context.tablets.health_of(std::move(tablet), net::Wait::within(kHealthTime, context.cancel));
  fault = health.ok() ? health->realtime_stats().health_error() : health.error().to_string();
}

struct Found {
  std::vector<::topodata::Tablet> healthy;
  std::string others;  // "zone1-0000000103: replication is stopped; ..."
};

net::Task<Result<Found>> find_tablets(JobContext& context, std::string keyspace, std::string shard,
                                      ::topodata::TabletType type) {
  topo::TabletQuery query;
  if (!context.options.cell.empty()) query.cells = {context.options.cell};
  query.keyspace = std::move(keyspace);
  query.shard = std::move(shard);
  query.type = type;
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(context.topology(), std::move(query)));
  std::vector<std::string> faults(list.tablets.size());
  std::vector<net::Task<void>> calls;
  for (size_t i = 0; i < faults.size(); ++i) calls.push_back(ask_health(context, list.tablets[i], faults[i]));
  co_await net::when_all(std::move(calls));
  Found found;
  for (size_t i = 0; i < faults.size(); ++i) {
    if (faults[i].empty()) {
      found.healthy.push_back(std::move(list.tablets[i]));
    } else {
      found.others += fmt::format("{}{}: {}", found.others.empty() ? "" : "; ", alias_of(list.tablets[i]), faults[i]);
    }
  }
  co_return found;
}

mysqld::Rows to_rows(const ::query::QueryResult& result) {
  mysqld::Rows out;
  for (const auto& field : result.fields()) out.columns.push_back(field.name());
  std::vector<mysql::Cell> cells;
  for (const auto& row : result.rows()) {
    auto& into = out.rows.emplace_back();
    if (!movement::read_row(row, out.columns.size(), cells).ok()) continue;
    for (const auto& cell : cells) into.push_back(cell ? std::optional<std::string>(*cell) : std::nullopt);
  }
  return out;
}

}  // namespace

std::string alias_of(const ::topodata::Tablet& tablet) { return topo::alias_to_string(tablet.alias()); }
std::string type_name(::topodata::TabletType type) {
  return type == ::topodata::PRIMARY ? "MASTER" : ::topodata::TabletType_Name(type);
}

net::Task<Result<std::vector<::topodata::Tablet>>> wait_for_healthy(JobContext& context, std::string keyspace,
                                                                    std::string shard, ::topodata::TabletType type,
                                                                    size_t needed) {
  const base::TimePoint deadline = base::system_clock().now() + context.options.wait_for_healthy_tablets;
  bool told = false;
  for (;;) {
    CO_ASSIGN_OR_RETURN(auto found, co_await find_tablets(context, keyspace, shard, type));
    if (found.healthy.size() >= needed) co_return std::move(found.healthy);
    const std::string others = found.others.empty() ? "" : fmt::format(" ({})", found.others);
    if (base::system_clock().now() >= deadline) {
      co_return fail(
          Code::kUnavailable,
          fmt::format("not enough healthy {} tablets to choose from in ({},{}/{}), have {} healthy ones, "
                      "need at least {}{}",
                      type_name(type), context.options.cell, keyspace, shard, found.healthy.size(), needed, others));
    }
    if (!told) {
      context.progress.info(fmt::format("Waiting for {} healthy {} tablet(s) in ({},{}/{}), there are {}{}.", needed,
                                        type_name(type), context.options.cell, keyspace, shard, found.healthy.size(),
                                        others));
      told = true;
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(kPoll, context.cancel));
    // A worker that was killed may have the one that is missing: its claim is free a few seconds after its death.
    CO_ASSIGN_OR_RETURN(const auto swept, co_await control::sweep_worker_claims(context.tablets));
    for (const auto& what : swept) context.progress.info("given back, its vtworker is gone: " + what);
  }
}

net::Task<Result<::query::QueryResult>> fetch_as_dba(JobContext& context, ::topodata::Tablet tablet, std::string sql,
                                                     uint64_t rows_max) {
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_query(std::move(sql));
  request.set_max_rows(rows_max);
  CO_ASSIGN_OR_RETURN(auto done,
                      co_await context.tablets.call<tmd::ExecuteFetchAsDbaResponse>(
                          std::move(tablet), "ExecuteFetchAsDba", std::move(request), context.action_wait()));
  co_return std::move(*done.mutable_result());
}

net::Task<Result<movement::TableMap>> load_tables(JobContext& context, ::topodata::Tablet tablet) {
  const std::string database = topo::tablet_db_name(tablet);
  CO_ASSIGN_OR_RETURN(const auto tables, co_await fetch_as_dba(context, tablet, mysqld::tables_query(database)));
  CO_ASSIGN_OR_RETURN(const auto columns, co_await fetch_as_dba(context, tablet, mysqld::columns_query(database)));
  CO_ASSIGN_OR_RETURN(const auto indexes, co_await fetch_as_dba(context, tablet, mysqld::indexes_query(database)));
  co_return movement::read_tables(to_rows(tables), to_rows(columns), to_rows(indexes));
}

net::Task<Result<tmd::SchemaDefinition>> read_schema(JobContext& context, ::topodata::Tablet tablet,
                                                     std::vector<std::string> tables,
                                                     std::vector<std::string> exclude) {
  tmd::GetSchemaRequest request;
  for (auto& name : tables) request.add_tables(std::move(name));
  for (auto& name : exclude) request.add_exclude_tables(std::move(name));
  CO_ASSIGN_OR_RETURN(auto done, co_await context.tablets.call<tmd::GetSchemaResponse>(
                                     std::move(tablet), "GetSchema", std::move(request), context.action_wait()));
  co_return std::move(*done.mutable_schema_definition());
}

net::Task<Status> stop_replication(JobContext& context, ::topodata::Tablet tablet) {
  auto done = co_await context.tablets.call<tmd::StopReplicationResponse>(
      std::move(tablet), "StopReplication", tmd::StopReplicationRequest(), context.action_wait());
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

net::Task<Status> stop_replication_at(JobContext& context, ::topodata::Tablet tablet, std::string position) {
  tmd::StopReplicationMinimumRequest request;
  request.set_position(std::move(position));
  request.set_wait_timeout(context.options.remote_actions_timeout.count());
  auto done = co_await context.tablets.call<tmd::StopReplicationMinimumResponse>(
      std::move(tablet), "StopReplicationMinimum", std::move(request), context.action_wait());
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

net::Task<Status> start_replication(JobContext& context, ::topodata::Tablet tablet) {
  auto done = co_await context.tablets.call<tmd::StartReplicationResponse>(
      std::move(tablet), "StartReplication", tmd::StartReplicationRequest(), context.action_wait());
  co_return done.ok() ? Status{} : Status(std::move(done).error());
}

net::Task<Result<RowsRead>> read_rows(JobContext& context, RowsRequest wanted) {
  CO_ASSIGN_OR_RETURN(const auto channel, context.channels.get(topo::tablet_address(wanted.tablet, topo::kPortGrpc)));
  ::binlogdata::VStreamRowsRequest request;
  request.mutable_target()->set_keyspace(wanted.tablet.keyspace());
  request.mutable_target()->set_shard(wanted.tablet.shard());
  request.mutable_target()->set_tablet_type(wanted.tablet.type());
  request.set_query(wanted.query);
  if (wanted.from.rows_size() != 0) *request.mutable_lastpk() = wanted.from;
  auto& options = *request.mutable_options()->mutable_config_overrides();
  options[movement::kChunkBytesOption] = std::to_string(wanted.bytes);
  if (wanted.one_chunk) options[movement::kChunksOption] = "1";
  if (wanted.until.rows_size() != 0) options[movement::kUntilOption] = movement::to_text(wanted.until);
  if (!wanted.snapshot.empty()) options[movement::kSnapshotOption] = wanted.snapshot;
  auto call = rpc::open_stream<::binlogdata::VStreamRowsResponse>(*channel, "/queryservice.Query/VStreamRows", request);
  RowsRead read;
  const auto from_tablet = [&](Error error) {
    return std::move(error).with_context("tablet " + alias_of(wanted.tablet));
  };
  net::Wait wait = context.action_wait();
  wait.each = context.options.remote_actions_timeout;
  for (;;) {
    auto piece = co_await call.next(wait);
    if (!piece.ok()) co_return from_tablet(std::move(piece).error());
    if (!piece->has_value()) break;
    ::binlogdata::VStreamRowsResponse& response = **piece;
    if (response.heartbeat()) continue;
    if (response.throttled()) {
      read.more = read.more || response.throttled_reason() == movement::kMoreRows;
      continue;
    }
    if (!response.gtid().empty()) {
      CO_ASSIGN_OR_RETURN(auto position, mysql::Position::parse(response.gtid()));
      read.positions.push_back(std::move(position));
    }
    if (response.fields_size() != 0) {
      read.fields = response.fields();
      read.pkfields = response.pkfields();
    }
    if (response.has_lastpk()) {
      read.last.Clear();
      *read.last.mutable_fields() = read.pkfields;
      *read.last.add_rows() = response.lastpk();
    }
    for (auto& row : *response.mutable_rows()) read.rows.push_back(std::move(row));
  }
  if (read.fields.empty()) co_return from_tablet(fail(Code::kInternal, "it sent no columns"));
  co_return read;
}

net::Task<Result<mysql::Position>> standing_position(JobContext& context, ::topodata::Tablet tablet,
                                                     std::string table) {
  RowsRequest request{.tablet = std::move(tablet),
                      .query = "select * from " + sql::quote_identifier_if_needed(table),
                      .from = {},
                      .until = {},
                      .bytes = 1,
                      .one_chunk = true};
  CO_ASSIGN_OR_RETURN(auto read, co_await read_rows(context, std::move(request)));
  if (read.positions.empty()) co_return fail(Code::kInternal, "a snapshot has no position");
  co_return std::move(read.positions[0]);
}

// --- snapshots ------------------------------------------------------------------------------------------------------

HeldSnapshot::HeldSnapshot(JobContext& context, ::topodata::Tablet tablet)
    : context_(context),
      tablet_(std::move(tablet)),
      name_(fmt::format("vtworker-{:016x}", base::system_random().next_u64())),
      scope_(context.cancel) {}

net::Task<Result<std::unique_ptr<HeldSnapshot>>> HeldSnapshot::open(JobContext& context, ::topodata::Tablet tablet,
                                                                    size_t connections) {
  CO_ASSIGN_OR_RETURN(const auto channel, context.channels.get(topo::tablet_address(tablet, topo::kPortGrpc)));
  std::unique_ptr<HeldSnapshot> held(new HeldSnapshot(context, std::move(tablet)));
  held->scope_.spawn(held->keep(*channel, connections));
  (void)co_await held->ready_.wait({});
  if (held->outcome_.ok()) co_return std::move(held);
  Error error = held->outcome_.error();
  co_await held->close();
  co_return std::move(error).with_context("hold a snapshot on tablet " + alias_of(held->tablet_));
}

Status HeldSnapshot::read(const ::binlogdata::VStreamRowsResponse& response) {
  if (response.gtid().empty()) return {};
  ASSIGN_OR_RETURN(position_, mysql::Position::parse(response.gtid()));
  ready_.set();
  return {};
}

net::Task<void> HeldSnapshot::keep(rpc::Channel& channel, size_t connections) {
  ::binlogdata::VStreamRowsRequest request;
  request.mutable_target()->set_keyspace(tablet_.keyspace());
  request.mutable_target()->set_shard(tablet_.shard());
  request.mutable_target()->set_tablet_type(tablet_.type());
  (*request.mutable_options()->mutable_config_overrides())[movement::kHoldOption] =
      fmt::format("{}:{}", name_, connections);
  auto call = rpc::open_stream<::binlogdata::VStreamRowsResponse>(channel, "/queryservice.Query/VStreamRows", request);
  net::Wait wait = net::Wait::until(base::TimePoint::max(), scope_.token());
  wait.each = context_.options.remote_actions_timeout;
  while (outcome_.ok()) {
    auto piece = co_await call.next(wait);
    if (!piece.ok()) {
      outcome_ = std::move(piece).error();
    } else if (!piece->has_value()) {
      outcome_ = fail(Code::kUnavailable, "the tablet has ended the snapshot");
    } else {
      outcome_ = read(**piece);
    }
  }
  ready_.set();
}

net::Task<void> HeldSnapshot::close() {
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace vitrail::worker
