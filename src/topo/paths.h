#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

// Where each record lies. The layout equals that of Vitess 24, so that either system reads what the other wrote.
namespace vitrail::topo {

// File names, the last part of a path.
inline constexpr std::string_view kCellInfoFile = "CellInfo";
inline constexpr std::string_view kCellsAliasFile = "CellsAlias";
inline constexpr std::string_view kKeyspaceFile = "Keyspace";
inline constexpr std::string_view kShardFile = "Shard";
inline constexpr std::string_view kVSchemaFile = "VSchema";
inline constexpr std::string_view kShardReplicationFile = "ShardReplication";
inline constexpr std::string_view kTabletFile = "Tablet";
inline constexpr std::string_view kSrvKeyspaceFile = "SrvKeyspace";
inline constexpr std::string_view kSrvVSchemaFile = "SrvVSchema";
inline constexpr std::string_view kRoutingRulesFile = "RoutingRules";
inline constexpr std::string_view kShardRoutingRulesFile = "ShardRoutingRules";
inline constexpr std::string_view kKeyspaceRoutingRulesFile = "Rules";
inline constexpr std::string_view kMirrorRulesFile = "MirrorRules";
inline constexpr std::string_view kShardingWorkflowFile = "ShardingWorkflow";  // Vitrail's own.

// Global root.
inline constexpr std::string_view kCellsDir = "cells";
inline constexpr std::string_view kCellsAliasesDir = "cells_aliases";
inline constexpr std::string_view kKeyspacesDir = "keyspaces";
inline constexpr std::string_view kRoutingRulesDir = "routing_rules";  // Lock, and keyspace/Rules below it.
inline constexpr std::string_view kNamedLocksDir = "internal/named_locks";
inline constexpr std::string_view kElectionsDir = "elections";
inline constexpr std::string_view kMetadataDir = "metadata";
inline constexpr std::string_view kWorkflowsDir = "workflows";
inline constexpr std::string_view kMovementDir = "movement";                     // Vitrail's own.
inline constexpr std::string_view kShardingWorkflowsDir = "sharding_workflows";  // Vitrail's own.
inline constexpr std::string_view kExternalClustersDir = "ExternalClusters/vitess";

std::string cell_info_path(std::string_view cell);
std::string cells_alias_path(std::string_view alias);
std::string keyspace_dir(std::string_view keyspace);
std::string keyspace_path(std::string_view keyspace);
std::string keyspace_vschema_path(std::string_view keyspace);
std::string shards_dir(std::string_view keyspace);
std::string shard_dir(std::string_view keyspace, std::string_view shard);
std::string shard_path(std::string_view keyspace, std::string_view shard);
std::string routing_rules_path();
std::string shard_routing_rules_path();
std::string keyspace_routing_rules_path();
std::string mirror_rules_path();
std::string external_cluster_path(std::string_view name);
std::string metadata_path(std::string_view key);
std::string workflow_path(std::string_view uuid);
std::string movement_record_path(std::string_view keyspace, std::string_view workflow);
std::string sharding_workflow_path(std::string_view branch, std::string_view name);

// Cell root.
inline constexpr std::string_view kTabletsDir = "tablets";
std::string tablet_path(std::string_view alias);  // alias as alias_to_string() prints it.
std::string shard_replication_path(std::string_view keyspace, std::string_view shard);
std::string srv_keyspace_path(std::string_view keyspace);
std::string srv_vschema_path();

// Names of cells, keyspaces, workflows: letters, digits, '_', '-' and '.', at most 64 bytes, none of "", ".", "..".
// kInvalidArgument names `what` ("keyspace name").
Status validate_name(std::string_view what, std::string_view name);

}  // namespace vitrail::topo
