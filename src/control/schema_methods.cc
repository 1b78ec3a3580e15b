// Vtctld's methods on the schema of keyspaces.
#include <fmt/core.h>

#include "control/method.h"
#include "control/registrar.h"
#include "control/schema.h"
#include "sql/parser.h"
#include "tabletmanagerdata.pb.h"
#include "topo/shard.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;
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

Answer<vd::GetSchemaResponse> get_schema(TabletClient& client, vd::GetSchemaRequest request) {
  CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(client.topology(), request.tablet_alias()));
  if (request.table_names_only() + request.table_sizes_only() + request.table_schema_only() > 1) {
    co_return fail(Code::kInvalidArgument,
                   "only one of table_names_only, table_sizes_only and table_schema_only can be given");
  }
  CO_ASSIGN_OR_RETURN(auto schema, co_await read_schema(client, tablet.record,
                                                        SchemaFilter{.tables = strings(request.tables()),
                                                                     .exclude = strings(request.exclude_tables()),
                                                                     .include_views = request.include_views()}));
  vd::GetSchemaResponse out;
  for (auto& table : *schema.mutable_table_definitions()) {
    auto* definition = out.mutable_schema()->add_table_definitions();
    definition->set_name(table.name());
    if (request.table_names_only()) continue;
    definition->set_type(table.type());
    definition->set_row_count(table.row_count());
    definition->set_data_length(table.data_length());
    if (request.table_sizes_only()) continue;
    *definition->mutable_schema() = std::move(*table.mutable_schema());
    *definition->mutable_columns() = std::move(*table.mutable_columns());
    *definition->mutable_primary_key_columns() = std::move(*table.mutable_primary_key_columns());
    *definition->mutable_fields() = std::move(*table.mutable_fields());
  }
  if (!request.table_names_only()) out.mutable_schema()->set_database_schema(schema.database_schema());
  co_return out;
}

// A warning for each tablet that did not reload.
template <typename Response>
void add_warnings(TabletClient& client, Response& response, const std::vector<std::string>& failures) {
  for (const auto& text : failures) add_event(client, response, ::logutil::WARNING, "reload of the schema: " + text);
}

Answer<vd::ReloadSchemaShardResponse> reload_one_shard(TabletClient& client, vd::ReloadSchemaShardRequest request) {
  ReloadOptions options{.wait_position = request.wait_position(), .include_primary = request.include_primary()};
  if (request.concurrency() > 0) options.concurrency = static_cast<size_t>(request.concurrency());
  CO_ASSIGN_OR_RETURN(const auto failures,
                      co_await reload_shard(client, request.keyspace(), request.shard(), std::move(options)));
  vd::ReloadSchemaShardResponse out;
  add_warnings(client, out, failures);
  co_return out;
}

Answer<vd::ReloadSchemaKeyspaceResponse> reload_keyspace(TabletClient& client,
                                                         vd::ReloadSchemaKeyspaceRequest request) {
  ReloadOptions options{.wait_position = request.wait_position(), .include_primary = request.include_primary()};
  if (request.concurrency() > 0) options.concurrency = static_cast<size_t>(request.concurrency());
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::get_shard_names(client.topology(), request.keyspace()));
  vd::ReloadSchemaKeyspaceResponse out;
  for (const auto& shard : shards) {
    CO_ASSIGN_OR_RETURN(const auto failures, co_await reload_shard(client, request.keyspace(), shard, options));
    add_warnings(client, out, failures);
  }
  co_return out;
}

Answer<vd::CopySchemaShardResponse> copy_schema_locked(TabletClient& client, const topo::KeyspaceLock&,
                                                       const vd::CopySchemaShardRequest& request) {
  CO_RETURN_IF_ERROR(co_await copy_schema(client, request));
  co_return vd::CopySchemaShardResponse();
}

}  // namespace

void register_schema_methods(Registrar& r) {
  r.unary<vd::ApplySchemaRequest, vd::ApplySchemaResponse>("ApplySchema", apply_schema);
  r.unary<vd::GetSchemaRequest, vd::GetSchemaResponse>("GetSchema", get_schema);
  r.unary<vd::ReloadSchemaRequest, vd::ReloadSchemaResponse>(
      "ReloadSchema", [](TabletClient& t, vd::ReloadSchemaRequest q) -> Answer<vd::ReloadSchemaResponse> {
        CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(t.topology(), q.tablet_alias()));
        auto done = co_await t.call<tmd::ReloadSchemaResponse>(tablet.record, "ReloadSchema",
                                                               tmd::ReloadSchemaRequest(), net::Wait::within(60s));
        if (!done.ok()) co_return std::move(done).error();
        co_return vd::ReloadSchemaResponse();
      });
  r.unary<vd::ReloadSchemaShardRequest, vd::ReloadSchemaShardResponse>("ReloadSchemaShard", reload_one_shard);
  r.unary<vd::ReloadSchemaKeyspaceRequest, vd::ReloadSchemaKeyspaceResponse>("ReloadSchemaKeyspace", reload_keyspace);
  r.unary<vd::CopySchemaShardRequest, vd::CopySchemaShardResponse>(
      "CopySchemaShard", [](TabletClient& t, vd::CopySchemaShardRequest q) {
        const std::string keyspace = q.destination_keyspace(), action = "CopySchemaShard " + q.destination_shard();
        return with_keyspace_lock(t, keyspace, action, std::move(q), copy_schema_locked);
      });
}

}  // namespace vitrail::control
