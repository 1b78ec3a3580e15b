// Older commands on tablets.
#include "control/client/client.h"
#include "control/legacy/command.h"

namespace vitrail::control::legacy {
namespace {

using Output = net::Task<Result<std::string>>;

// SetReadOnly and SetReadWrite.
Body writable(bool on) {
  return [on](const Call& call) { return call.run({"SetWritable", "--", call.arguments[0], on ? "true" : "false"}); };
}

// Cells are arguments, each of them perhaps a list.
Output list_all(const Call& call) {
  std::vector<std::string> words = {"GetTablets"};
  for (const auto& flag : call.todays_flags()) words.push_back(flag);
  for (const auto& cells : call.arguments) words.push_back("--cell=" + cells);
  return call.run(std::move(words));
}

Output list_some(const Call& call) {
  std::vector<std::string> words = {"GetTablets"};
  for (const auto& alias : call.arguments) words.push_back("--tablet-alias=" + alias);
  return call.run(std::move(words));
}

Output list_shard(const Call& call) {
  CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(call.arguments[0]));
  co_return co_await call.run({"GetTablets", "--keyspace=" + name.first, "--shard=" + name.second});
}

}  // namespace

void add_tablet_commands(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Tablets";
  constexpr std::string_view kAlias = "<tablet alias>";
  const auto simple = [&](std::string_view names, Body body) {
    out.push_back({kGroup, names, kAlias, 1, 1, {}, body});
  };
  simple("GetTablet", same("GetTablet"));
  out.push_back({kGroup,
                 "DeleteTablet",
                 "<tablet alias> ...",
                 1,
                 kMany,
                 {toggle("allow_primary allow_master", "allow-primary")},
                 silent("DeleteTablets")});
  simple("SetReadOnly", writable(false));
  simple("SetReadWrite", writable(true));
  simple("StartReplication StartSlave", silent("StartReplication"));
  simple("StopReplication StopSlave", silent("StopReplication"));
  out.push_back({kGroup,
                 "ChangeTabletType ChangeSlaveType",
                 "<tablet alias> <tablet type>",
                 2,
                 2,
                 {toggle("dry-run", "dry-run")},
                 same("ChangeTabletType")});
  simple("Ping", silent("PingTablet"));
  simple("RefreshState", silent("RefreshState"));
  out.push_back({kGroup,
                 "RefreshStateByShard",
                 "<keyspace/shard>",
                 1,
                 1,
                 {value("cells", "cells")},
                 silent("RefreshStateByShard")});
  simple("RunHealthCheck", silent("RunHealthCheck"));
  out.push_back({kGroup, "Sleep", "<tablet alias> <duration>", 2, 2, {}, silent("SleepTablet")});
  out.push_back(
      {kGroup, "ExecuteHook", "<tablet alias> <hook name> [<param1=value1> ...]", 2, kMany, {}, same("ExecuteHook")});
  out.push_back({kGroup,
                 "ExecuteFetchAsApp",
                 "<tablet alias> <sql command>",
                 2,
                 2,
                 {value("max_rows", "max-rows"), toggle("json", "json"), toggle("use_pool", "use-pool")},
                 same("ExecuteFetchAsApp")});
  out.push_back({kGroup,
                 "ExecuteFetchAsDba",
                 "<tablet alias> <sql command>",
                 2,
                 2,
                 {value("max_rows", "max-rows"), toggle("disable_binlogs", "disable-binlogs"),
                  toggle("reload_schema", "reload-schema"), toggle("json", "json")},
                 same("ExecuteFetchAsDBA")});
  simple("GetPermissions", same("GetPermissions"));
  simple("ReparentTablet", silent("ReparentTablet"));
  out.push_back({kGroup,
                 "IgnoreHealthError IgnoreHealthCheckError",
                 "<tablet alias> <ignore regexp>",
                 2,
                 2,
                 {},
                 gone("health errors are not ignored; SetShardTabletControl and ChangeTabletType take a tablet out")});
  out.push_back({kGroup,
                 "InitTablet",
                 "<tablet alias> <tablet type>",
                 2,
                 2,
                 {},
                 gone("a tablet makes its record when it starts, from --init-keyspace and --init-shard")});
  out.push_back({kGroup,
                 "ListAllTablets",
                 "[<cell name> ...]",
                 0,
                 kMany,
                 {value("keyspace", "keyspace"), value("tablet_type", "tablet-type")},
                 list_all});
  out.push_back({kGroup, "ListTablets", "<tablet alias> ...", 1, kMany, {}, list_some});
  out.push_back({kGroup, "ListShardTablets", "<keyspace/shard>", 1, 1, {}, list_shard});
}

}  // namespace vitrail::control::legacy
