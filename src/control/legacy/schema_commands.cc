// Older commands on schemas, versions, permissions, VSchemas and rules.
#include "control/legacy/command.h"

namespace vitrail::control::legacy {
namespace {

// What is told behind the VSchema as it is now.
net::Task<Result<std::string>> with_hint(net::Task<Result<std::string>> task) {
  CO_ASSIGN_OR_RETURN(const std::string done, co_await std::move(task));
  co_return done +
      "If this is not what you expected, check the input data (as JSON parsing will skip unexpected fields).\n";
}

}  // namespace

void add_schema_commands(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Schema, Version, Permissions";
  constexpr std::string_view kWait = "wait_replicas_timeout wait_slave_timeout";
  const Flag tables = value("tables", "tables");
  const Flag exclude = value("exclude_tables", "exclude-tables");
  const Flag views = toggle("include-views", "include-views");
  const Flag cells = value("cells", "cells");
  const Flag dry_run = toggle("dry-run", "dry-run");
  const Flag skip_rebuild = toggle("skip_rebuild", "skip-rebuild");
  out.push_back({kGroup,
                 "GetSchema",
                 "<tablet alias>",
                 1,
                 1,
                 {tables, exclude, views, toggle("table_names_only", "table-names-only"),
                  toggle("table_sizes_only", "table-sizes-only"), toggle("table_schema_only", "table-schema-only")},
                 same("GetSchema")});
  out.push_back({kGroup, "ReloadSchema", "<tablet alias>", 1, 1, {}, silent("ReloadSchema")});
  const std::vector<Flag> reload = {value("concurrency", "concurrency"),
                                    toggle("include_primary include_master", "include-primary")};
  out.push_back({kGroup, "ReloadSchemaShard", "<keyspace/shard>", 1, 1, reload, silent("ReloadSchemaShard")});
  out.push_back({kGroup, "ReloadSchemaKeyspace", "<keyspace>", 1, 1, reload, silent("ReloadSchemaKeyspace")});
  out.push_back({kGroup,
                 "ValidateSchemaShard",
                 "<keyspace/shard>",
                 1,
                 1,
                 {exclude, views, toggle("include-vschema", "include-vschema")},
                 same("ValidateSchemaShard")});
  out.push_back({kGroup,
                 "ValidateSchemaKeyspace",
                 "<keyspace name>",
                 1,
                 1,
                 {exclude, views, toggle("skip-no-primary skip-no-master", "skip-no-primary"),
                  toggle("include-vschema", "include-vschema")},
                 same("ValidateSchemaKeyspace")});
  out.push_back({kGroup,
                 "ApplySchema",
                 "<keyspace>",
                 1,
                 1,
                 {value("sql", "sql"), value("ddl_strategy", "ddl-strategy"), value("uuid_list uuid", ""),
                  value("migration_context request_context", "migration-context"), value("caller_id", "caller-id"),
                  value("batch_size", "batch-size"), value(kWait, "wait-replicas-timeout"),
                  ignored_toggle("allow_long_unavailability"), ignored_toggle("skip_preflight")},
                 same("ApplySchema")});
  out.push_back({kGroup,
                 "CopySchemaShard",
                 "<source keyspace/shard> <destination keyspace/shard>",
                 2,
                 2,
                 {tables, exclude, views, toggle("skip-verify", "skip-verify"), value(kWait, "wait-replicas-timeout")},
                 silent("CopySchemaShard")});
  out.push_back({kGroup, "ValidateVersionShard", "<keyspace/shard>", 1, 1, {}, same("ValidateVersionShard")});
  out.push_back({kGroup, "ValidateVersionKeyspace", "<keyspace name>", 1, 1, {}, same("ValidateVersionKeyspace")});
  out.push_back({kGroup, "ValidatePermissionsShard", "<keyspace/shard>", 1, 1, {}, same("ValidatePermissionsShard")});
  out.push_back(
      {kGroup, "ValidatePermissionsKeyspace", "<keyspace name>", 1, 1, {}, same("ValidatePermissionsKeyspace")});
  out.push_back({kGroup, "GetVSchema", "<keyspace>", 1, 1, {}, compact("GetVSchema")});
  out.push_back({kGroup,
                 "ApplyVSchema",
                 "<keyspace>",
                 1,
                 1,
                 {value("vschema", "vschema"), value("sql", "sql"), dry_run, skip_rebuild, cells},
                 [body = compact("ApplyVSchema")](const Call& call) { return with_hint(body(call)); }});
  out.push_back({kGroup, "GetRoutingRules", "", 0, 0, {}, same("GetRoutingRules")});
  out.push_back({kGroup,
                 "ApplyRoutingRules",
                 "",
                 0,
                 0,
                 {value("rules", "rules"), dry_run, skip_rebuild, cells},
                 same("ApplyRoutingRules")});
  out.push_back({kGroup, "RebuildVSchemaGraph", "", 0, 0, {cells}, silent("RebuildVSchemaGraph")});
}

}  // namespace vitrail::control::legacy
