#include "topo/paths.h"

#include <initializer_list>

namespace vitrail::topo {
namespace {

constexpr size_t kMaxNameBytes = 64;

std::string join(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const auto part : parts) {
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

}  // namespace

std::string cell_info_path(std::string_view cell) { return join({kCellsDir, cell, kCellInfoFile}); }
std::string cells_alias_path(std::string_view alias) { return join({kCellsAliasesDir, alias, kCellsAliasFile}); }
std::string keyspace_dir(std::string_view keyspace) { return join({kKeyspacesDir, keyspace}); }
std::string keyspace_path(std::string_view keyspace) { return join({kKeyspacesDir, keyspace, kKeyspaceFile}); }
std::string keyspace_vschema_path(std::string_view keyspace) { return join({kKeyspacesDir, keyspace, kVSchemaFile}); }
std::string shards_dir(std::string_view keyspace) { return join({kKeyspacesDir, keyspace, "shards"}); }
std::string shard_dir(std::string_view keyspace, std::string_view shard) {
  return join({kKeyspacesDir, keyspace, "shards", shard});
}
std::string shard_path(std::string_view keyspace, std::string_view shard) {
  return join({kKeyspacesDir, keyspace, "shards", shard, kShardFile});
}
std::string routing_rules_path() { return std::string(kRoutingRulesFile); }
std::string shard_routing_rules_path() { return std::string(kShardRoutingRulesFile); }
std::string keyspace_routing_rules_path() { return join({kRoutingRulesDir, "keyspace", kKeyspaceRoutingRulesFile}); }
std::string mirror_rules_path() { return std::string(kMirrorRulesFile); }
std::string external_cluster_path(std::string_view name) { return join({kExternalClustersDir, name}); }
std::string metadata_path(std::string_view key) { return join({kMetadataDir, key}); }
std::string movement_record_path(std::string_view keyspace, std::string_view workflow) {
  return join({kMovementDir, keyspace, workflow, "Record"});
}
std::string workflow_path(std::string_view uuid) { return join({kWorkflowsDir, uuid, "Workflow"}); }
std::string sharding_workflow_path(std::string_view branch, std::string_view name) {
  return join({kShardingWorkflowsDir, branch, name, kShardingWorkflowFile});
}
std::string tablet_path(std::string_view alias) { return join({kTabletsDir, alias, kTabletFile}); }
std::string shard_replication_path(std::string_view keyspace, std::string_view shard) {
  return join({kKeyspacesDir, keyspace, "shards", shard, kShardReplicationFile});
}
std::string srv_keyspace_path(std::string_view keyspace) { return join({kKeyspacesDir, keyspace, kSrvKeyspaceFile}); }
std::string srv_vschema_path() { return std::string(kSrvVSchemaFile); }

Status validate_name(std::string_view what, std::string_view name) {
  const auto bad = [&](const char* why) {
    return fail(Code::kInvalidArgument,
                "invalid " + std::string(what) + " \"" + std::string(name.substr(0, 100)) + "\": " + why);
  };
  if (name.empty()) return bad("it is empty");
  if (name.size() > kMaxNameBytes) return bad("it is longer than 64 bytes");
  if (name == "." || name == "..") return bad("it is reserved");
  for (const char c : name) {
    const bool fine =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (!fine) return bad("only letters, digits, '_', '-' and '.' are allowed");
  }
  return {};
}

}  // namespace vitrail::topo
