// Vtctld's methods on the schema of keyspaces.
#include <fmt/core.h>

#include "control/registrar.h"
#include "sql/parser.h"
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

Answer<vd::ApplySchemaResponse> apply_schema(TabletClient& tablets, vd::ApplySchemaRequest request) {
  if (!request.ddl_strategy().empty() && !request.ddl_strategy().starts_with("direct")) {
    co_return fail(Code::kUnimplemented, "ddl strategy '" + request.ddl_strategy() + "' is not available: use direct");
  }
  // Everything is parsed before anything runs: a mistake in the last statement must not leave the first one behind.
  std::vector<std::string> statements;
  for (const auto& text : request.sql()) {
    CO_ASSIGN_OR_RETURN(const auto spans, sql::split_statements(text));
    for (const auto& span : spans) {
      const std::string statement(span.of(text));
      auto ast = sql::parse(statement);
      if (!ast.ok()) co_return std::move(ast).error().with_context("in: " + statement.substr(0, 200));
      statements.push_back(statement);
    }
  }
  if (statements.empty()) co_return fail(Code::kInvalidArgument, "no statement to apply: give --sql or --sql-file");
  CO_ASSIGN_OR_RETURN(auto lock,
                      co_await topo::KeyspaceLock::acquire(tablets.topology(), request.keyspace(), "ApplySchema"));
  auto body = [](TabletClient& client, const std::string& keyspace, const std::vector<std::string>& all,
                 vd::ApplySchemaResponse& out) -> net::Task<Status> {
    CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_all_shards(client.topology(), keyspace));
    std::vector<::topodata::Tablet> primaries;
    for (const auto& [name, info] : shards) {
      CO_ASSIGN_OR_RETURN(auto primary, co_await client.primary_of(keyspace, name));
      primaries.push_back(std::move(primary));
    }
    if (primaries.empty()) co_return fail(Code::kFailedPrecondition, "keyspace " + keyspace + " has no shards");
    for (const auto& statement : all) {
      for (const auto& primary : primaries) {
        tmd::ExecuteFetchAsDbaRequest run;
        run.set_query(statement);
        run.set_db_name(topo::tablet_db_name(primary));
        run.set_max_rows(10);
        auto done = co_await client.call<tmd::ExecuteFetchAsDbaResponse>(primary, "ExecuteFetchAsDba", std::move(run),
                                                                         net::Wait::within(600s));
        if (!done.ok()) co_return std::move(done).error().with_context("shard " + keyspace + "/" + primary.shard());
        (*out.mutable_rows_affected_by_shard())[primary.shard()] += done->result().rows_affected();
      }
    }
    // A copy of the table that has the definition is soon on the replicas too; readers there wait for it.
    for (const auto& primary : primaries) {
      CO_ASSIGN_OR_RETURN(const auto position,
                          co_await client.call<tmd::PrimaryPositionResponse>(
                              primary, "PrimaryPosition", tmd::PrimaryPositionRequest(), net::Wait::within(10s)));
      topo::TabletQuery query;
      query.keyspace = keyspace;
      query.shard = primary.shard();
      CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(client.topology(), std::move(query)));
      for (const auto& tablet : list.tablets) {
        if (!topo::is_replica_type(tablet.type()) || topo::same_alias(tablet.alias(), primary.alias())) continue;
        tmd::ReloadSchemaRequest reload;
        reload.set_wait_position(position.position());
        (void)co_await client.call<tmd::ReloadSchemaResponse>(tablet, "ReloadSchema", std::move(reload),
                                                              net::Wait::within(10s));
      }
    }
    co_return Status{};
  };
  vd::ApplySchemaResponse out;
  Status done = co_await body(tablets, request.keyspace(), statements, out);
  (void)co_await lock.release();
  if (!done.ok()) co_return std::move(done).error();
  co_return out;
}

}  // namespace

void register_schema_methods(Registrar& r) {
  r.unary<vd::ApplySchemaRequest, vd::ApplySchemaResponse>("ApplySchema", apply_schema);
  r.unary<vd::GetSchemaRequest, vd::GetSchemaResponse>(
      "GetSchema", [](TabletClient& t, vd::GetSchemaRequest q) -> Answer<vd::GetSchemaResponse> {
        CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        tmd::GetSchemaRequest request;
        *request.mutable_tables() = q.tables();
        *request.mutable_exclude_tables() = q.exclude_tables();
        request.set_include_views(q.include_views());
        CO_ASSIGN_OR_RETURN(auto done, co_await t.call<tmd::GetSchemaResponse>(
                                           tablet.record, "GetSchema", std::move(request), net::Wait::within(60s)));
        vd::GetSchemaResponse out;
        for (auto& table : *done.mutable_schema_definition()->mutable_table_definitions()) {
          auto* definition = out.mutable_schema()->add_table_definitions();
          if (q.table_names_only()) {
            definition->set_name(table.name());
          } else {
            *definition = std::move(table);
          }
        }
        if (!q.table_names_only())
          out.mutable_schema()->set_database_schema(done.schema_definition().database_schema());
        co_return out;
      });
  r.unary<vd::ReloadSchemaRequest, vd::ReloadSchemaResponse>(
      "ReloadSchema", [](TabletClient& t, vd::ReloadSchemaRequest q) -> Answer<vd::ReloadSchemaResponse> {
        CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        auto done = co_await t.call<tmd::ReloadSchemaResponse>(tablet.record, "ReloadSchema",
                                                               tmd::ReloadSchemaRequest(), net::Wait::within(60s));
        if (!done.ok()) co_return std::move(done).error();
        co_return vd::ReloadSchemaResponse();
      });
}

}  // namespace vitrail::control
