// Older commands on keyspaces and shards, and on who is a shard's primary.
#include "base/text.h"
#include "control/client/client.h"
#include "control/legacy/command.h"
#include "control/served_from.h"
#include "topo/shard.h"
#include "topo/tablet.h"
#include "vtctldata.pb.h"

namespace vitrail::control::legacy {
namespace {

namespace vd = ::vtctldata;
using Output = net::Task<Result<std::string>>;

Output get_keyspaces(const Call& call) {
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await call.vtctld<vd::GetKeyspacesResponse>("GetKeyspaces", vd::GetKeyspacesRequest()));
  std::string out;
  for (const auto& keyspace : done.keyspaces()) out += keyspace.name() + "\n";
  co_return out;
}

// "master:commerce,replica:commerce": where statements for types go until they are migrated.
Result<std::vector<topo::ServedFromUpdate>> parse_served_from(std::string_view list) {
  std::vector<topo::ServedFromUpdate> out;
  for (const std::string& item : base::split_list(list)) {
    const size_t colon = item.find(':');
    if (colon == std::string::npos || colon + 1 == item.size()) {
      return fail(Code::kInvalidArgument, "-served_from: '" + item + "' is not type:keyspace");
    }
    ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(item.substr(0, colon)));
    out.push_back({.type = type, .cells = {}, .source = item.substr(colon + 1)});
  }
  return out;
}

Output create_keyspace(const Call& call) {
  CO_ASSIGN_OR_RETURN(auto served_from, parse_served_from(call.get("served_from")));
  for (const auto& update : served_from) {
    CO_ASSIGN_OR_RETURN(const auto exists, co_await topo::get_keyspace(call.environment.topology(), update.source));
  }
  auto created = co_await silent("CreateKeyspace")(call);
  if (!created.ok() || served_from.empty()) co_return created;
  CO_RETURN_IF_ERROR(co_await serve_from(call.environment.topology(), call.arguments[0], std::move(served_from)));
  co_return std::string();
}

// SetKeyspaceServedFrom -source=keyspace | -remove  [-cells=...]  <keyspace> <type>
Output set_served_from_command(const Call& call) {
  if (call.is_true("remove") == call.has("source")) {
    co_return fail(Code::kInvalidArgument, "give either -source or -remove");
  }
  CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(call.arguments[1]));
  topo::ServedFromUpdate update{
      .type = type, .cells = base::split_list(call.get("cells")), .source = call.get("source")};
  CO_RETURN_IF_ERROR(co_await set_served_from(call.environment.topology(), call.arguments[0], std::move(update)));
  co_return std::string();
}

// Says what -force overrides, as it was before.
Output init_shard_master(const Call& call) {
  if (call.is_true("force")) {
    CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(call.arguments[0]));
    CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(call.arguments[1]));
    const std::string elect = "master-elect tablet " + topo::alias_to_string(alias);
    const auto shard = co_await topo::get_shard(call.environment.topology(), name.first, name.second);
    const auto tablet = co_await topo::get_tablet(call.environment.topology(), alias);
    const auto warn = [&](const char* what) {
      return call.environment.report(LegacyLevel::kWarning, elect + what + ", proceeding anyway as -force was used");
    };
    if (shard.ok() && !topo::same_alias(shard->record.primary_alias(), alias)) {
      CO_RETURN_IF_ERROR(co_await warn(" is not the shard master"));
    }
    if (tablet.ok() && tablet->record.type() != ::topodata::PRIMARY) {
      CO_RETURN_IF_ERROR(co_await warn(" is not a master in the shard"));
    }
  }
  co_return co_await same("InitShardPrimary")(call);
}

Output missing_shard(std::string name) {
  co_return fail(Code::kInvalidArgument, "the <keyspace/shard> argument is required for the " + name + " command");
}

// "-keyspace_shard ks/shard -new_master alias", or "ks/shard [alias]".
Body reparent(std::string today) {
  return [today = std::move(today)](const Call& call) -> Output {
    std::vector<std::string> words = {today};
    for (const auto& flag : call.todays_flags()) words.push_back(flag);
    std::vector<std::string> rest = call.arguments;
    if (call.has("keyspace_shard")) rest.insert(rest.begin(), call.get("keyspace_shard"));
    if (rest.empty()) return missing_shard(std::string(call.command.names));
    if (rest.size() > 1 && !call.has("new_primary")) {
      words.push_back("--new-primary=" + rest[1]);
      rest.erase(rest.begin() + 1);
    }
    words.emplace_back("--");
    for (const auto& word : rest) words.push_back(word);
    return call.run(std::move(words));
  };
}

void add_keyspaces(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Keyspaces";
  constexpr std::string_view kName = "<keyspace name>";
  out.push_back(
      {kGroup,
       "CreateKeyspace",
       kName,
       1,
       1,
       {toggle("force", "force"), toggle("allow_empty_vschema", "allow-empty-vschema"), value("served_from", ""),
        ignored("sharding_column_name"), ignored("sharding_column_type"), value("keyspace_type", "type"),
        value("base_keyspace", "base-keyspace"), value("snapshot_time", "snapshot-timestamp"),
        value("durability-policy", "durability-policy"), value("sidecar-db-name", "sidecar-db-name")},
       create_keyspace});
  out.push_back({kGroup,
                 "SetKeyspaceServedFrom",
                 "<keyspace name> <tablet type>",
                 2,
                 2,
                 {value("source", ""), toggle("remove", ""), value("cells", "")},
                 set_served_from_command});
  out.push_back({kGroup, "DeleteKeyspace", kName, 1, 1, {toggle("recursive", "recursive")}, silent("DeleteKeyspace")});
  out.push_back({kGroup,
                 "RemoveKeyspaceCell",
                 "<keyspace name> <cell name>",
                 2,
                 2,
                 {toggle("force", "force"), toggle("recursive", "recursive")},
                 silent("RemoveKeyspaceCell")});
  out.push_back({kGroup, "GetKeyspace", kName, 1, 1, {}, same("GetKeyspace")});
  out.push_back({kGroup, "GetKeyspaces", "", 0, 0, {}, get_keyspaces});
  out.push_back({kGroup, "FindAllShardsInKeyspace", kName, 1, 1, {}, same("FindAllShardsInKeyspace")});
  out.push_back({kGroup,
                 "SetKeyspaceDurabilityPolicy",
                 kName,
                 1,
                 1,
                 {value("durability-policy", "durability-policy")},
                 silent("SetKeyspaceDurabilityPolicy")});
  out.push_back({kGroup,
                 "SetKeyspaceShardingInfo",
                 "<keyspace name> [<column name>] [<column type>]",
                 1,
                 3,
                 {ignored_toggle("force")},
                 gone("the columns that decide the shard are in the VSchema: ApplyVSchema")});
  out.push_back(
      {kGroup,
       "RebuildKeyspaceGraph",
       "<keyspace name> ...",
       1,
       kMany,
       {value("cells", "cells"), toggle("allow_partial", "allow-partial"), ignored_toggle("rebuild_srv_shards")},
       silent("RebuildKeyspaceGraph")});
  out.push_back(
      {kGroup, "ValidateKeyspace", kName, 1, 1, {toggle("ping-tablets", "ping-tablets")}, same("ValidateKeyspace")});
  out.push_back({kGroup, "Validate", "", 0, 0, {toggle("ping-tablets", "ping-tablets")}, same("Validate")});
}

void add_shards(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Shards";
  constexpr std::string_view kShard = "<keyspace/shard>";
  out.push_back({kGroup,
                 "CreateShard",
                 kShard,
                 1,
                 1,
                 {toggle("force", "force"), toggle("parent", "include-parent")},
                 silent("CreateShard")});
  out.push_back({kGroup, "GetShard", kShard, 1, 1, {}, same("GetShard")});
  out.push_back({kGroup,
                 "DeleteShard",
                 "<keyspace/shard> ...",
                 1,
                 kMany,
                 {toggle("recursive", "recursive"), toggle("even_if_serving", "even-if-serving")},
                 silent("DeleteShards")});
  out.push_back(
      {kGroup, "ValidateShard", kShard, 1, 1, {toggle("ping-tablets", "ping-tablets")}, same("ValidateShard")});
  out.push_back({kGroup,
                 "SetShardIsPrimaryServing SetShardIsMasterServing",
                 "<keyspace/shard> <is_primary_serving>",
                 2,
                 2,
                 {},
                 silent("SetShardIsPrimaryServing")});
  out.push_back({kGroup,
                 "SetShardTabletControl",
                 "<keyspace/shard> <tablet type>",
                 2,
                 2,
                 {value("cells", "cells"),
                  value("denied_tables blacklisted_tables denylisted_tables denylist_tables", "denied-tables"),
                  toggle("remove", "remove"), toggle("disable_query_service", "disable-query-service")},
                 silent("SetShardTabletControl")});
  out.push_back({kGroup,
                 "RemoveShardCell",
                 "<keyspace/shard> <cell>",
                 2,
                 2,
                 {toggle("force", "force"), toggle("recursive", "recursive")},
                 silent("RemoveShardCell")});
  out.push_back({kGroup,
                 "SourceShardAdd",
                 "<keyspace/shard> <uid> <source keyspace/shard>",
                 3,
                 3,
                 {value("key_range", "key-range"), value("tables", "tables")},
                 silent("SourceShardAdd")});
  out.push_back({kGroup, "SourceShardDelete", "<keyspace/shard> <uid>", 2, 2, {}, silent("SourceShardDelete")});
  out.push_back({kGroup, "ShardReplicationPositions", kShard, 1, 1, {}, same("ShardReplicationPositions")});
  out.push_back({kGroup, "ShardReplicationFix", "<cell> <keyspace/shard>", 2, 2, {}, silent("ShardReplicationFix")});
  out.push_back(
      {kGroup, "ShardReplicationAdd", "<keyspace/shard> <tablet alias>", 2, 2, {}, silent("ShardReplicationAdd")});
  out.push_back({kGroup,
                 "ShardReplicationRemove",
                 "<keyspace/shard> <tablet alias>",
                 2,
                 2,
                 {},
                 silent("ShardReplicationRemove")});
  out.push_back(
      {kGroup, "GenerateShardRanges", "", 0, 0, {value("num_shards", "num-shards")}, same("GenerateShardRanges")});
}

void add_reparents(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Shards";
  constexpr std::string_view kWait = "wait_replicas_timeout wait_slave_timeout";
  out.push_back({kGroup,
                 "InitShardPrimary InitShardMaster",
                 "<keyspace/shard> <tablet alias>",
                 2,
                 2,
                 {toggle("force", "force"), value(kWait, "wait-replicas-timeout")},
                 init_shard_master});
  out.push_back(
      {kGroup,
       "PlannedReparentShard",
       "[<keyspace/shard>] [<new primary tablet alias>]",
       0,
       2,
       {value("keyspace_shard", ""), value("new_primary new_master", "new-primary"),
        value("avoid_tablet avoid_master avoid_primary", "avoid-primary"), value(kWait, "wait-replicas-timeout")},
       reparent("PlannedReparentShard")});
  out.push_back(
      {kGroup,
       "EmergencyReparentShard",
       "[<keyspace/shard>] [<new primary tablet alias>]",
       0,
       2,
       {value("keyspace_shard", ""), value("new_primary new_master", "new-primary"),
        value(kWait, "wait-replicas-timeout"), value("ignore_replicas ignore_unreachable_replicas", "ignore-replicas"),
        toggle("prevent_cross_cell_promotion", "prevent-cross-cell-promotion"),
        toggle("wait_for_all_tablets", "wait-for-all-tablets")},
       reparent("EmergencyReparentShard")});
  out.push_back(
      {kGroup, "TabletExternallyReparented", "<tablet alias>", 1, 1, {}, silent("TabletExternallyReparented")});
}

}  // namespace

void add_keyspace_commands(std::vector<Command>& out) {
  add_shards(out);
  add_reparents(out);
  add_keyspaces(out);
}

}  // namespace vitrail::control::legacy
