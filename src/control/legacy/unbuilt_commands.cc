// The older generation's commands that this one has not: they say so, and what to use.
#include <algorithm>

#include "base/text.h"
#include "control/legacy/command.h"

namespace vitrail::control::legacy {

void add_unbuilt_commands(std::vector<Command>& out) {
  constexpr std::string_view kThrottler = "vtctldclient UpdateThrottlerConfig throttles by lag and load, not by rates";
  constexpr std::string_view kManager = "start the steps one by one: Reshard, MoveTables";
  constexpr std::pair<std::string_view, std::string_view> kCommands[] = {
      {"OnlineDDL", "ApplySchema changes tables directly"},
      {"ThrottlerMaxRates", kThrottler},
      {"ThrottlerSetMaxRate", kThrottler},
      {"GetThrottlerConfiguration", kThrottler},
      {"UpdateThrottlerConfiguration", kThrottler},
      {"ResetThrottlerConfiguration", kThrottler},
      {"UpdateThrottlerConfig", kThrottler},
      {"SplitClone", "it is a command of vtworker"},
      {"VerticalSplitClone", "it is a command of vtworker"},
      {"WorkflowCreate", kManager},
      {"WorkflowStart", kManager},
      {"WorkflowStop", kManager},
      {"WorkflowDelete", kManager},
      {"WorkflowWait", kManager},
      {"WorkflowTree", kManager},
      {"WorkflowAction", kManager},
      {"UpdateSrvKeyspacePartition", "RebuildKeyspaceGraph writes partitions from the shards' records"},
      {"IgnoreHealthError", "give the tablet another --unhealthy-threshold"},
      {"IgnoreHealthCheck", "give the tablet another --unhealthy-threshold"},
      {"UpdateTabletAddrs", "a tablet writes its addresses when it starts"},
      {"VReplicationExec", "Workflow starts, stops and shows streams"},
      {"VExec", "Workflow starts, stops and shows streams"},
      {"DemoteMaster", "PlannedReparentShard demotes in its course"},
      {"GetFullStatus", "use vtctldclient"},
  };
  for (const auto& [names, why] : kCommands) {
    const auto words = base::split(names, ' ');
    const bool is_there = std::ranges::any_of(out, [&](const Command& known) {
      return std::ranges::any_of(base::split(known.names, ' '),
                                 [&](std::string_view name) { return std::ranges::find(words, name) != words.end(); });
    });
    if (is_there) continue;
    out.push_back(
        {.group = "Not built", .names = names, .arguments_max = kMany, .body = unbuilt(why), .takes_all = true});
  }
}

}  // namespace vitrail::control::legacy
