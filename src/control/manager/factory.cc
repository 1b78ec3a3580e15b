#include "control/manager/factory.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "base/settings.h"
#include "base/text.h"
#include "shard/shard_name.h"

namespace vitrail::control::manager {
namespace {

using Names = std::vector<std::string>;

Status check_approvals(const Names& phases) {
  const Names known = resharding_phases();
  for (const auto& phase : phases) {
    if (std::ranges::find(known, phase) == known.end()) {
      return fail(Code::kInvalidArgument, fmt::format("-phase_enable_approvals: no phase \"{}\"; there are: {}", phase,
                                                      base::join(known, ",")));
    }
  }
  return {};
}

Result<Parameters> parse_resharding(const Names& words) {
  Parameters out{.factory = std::string(kHorizontalResharding)};
  bool approvals = true;
  bool consistent_snapshot = false;
  Names phases = resharding_phases();
  Names excluded;
  uint32_t min_healthy = 1;
  std::string clone = "SplitClone";
  std::string diff = "SplitDiff";
  std::string diff_type = "RDONLY";
  base::Settings settings("horizontal_resharding", "");
  settings.add("keyspace", &out.keyspace, "keyspace to reshard");
  settings.add("vtworkers", &out.vtworkers, "addresses of vtworkers, one for each source shard");
  settings.add("enable_approvals", &approvals, "phases wait for approvals");
  settings.add("phase_enable_approvals", &phases, "the phases that wait for approvals");
  settings.add("source_shards", &out.source_shards, "shards to split or merge");
  settings.add("destination_shards", &out.destination_shards, "shards to fill");
  settings.add("exclude_tables", &excluded, "tables that are not copied");
  settings.add("min_healthy_rdonly_tablets", &min_healthy, "rdonly tablets that have to serve");
  settings.add("use_consistent_snapshot", &consistent_snapshot, "copy at one position, without pausing a tablet");
  settings.add("split_cmd", &clone, "command that copies").one_of({"SplitClone"});
  settings.add("split_diff_cmd", &diff, "command that compares").one_of({"SplitDiff"});
  settings.add("split_diff_dest_tablet_type", &diff_type, "tablets of the destination to compare")
      .one_of({"RDONLY", "REPLICA"});
  ASSIGN_OR_RETURN(const auto outcome, settings.parse(words));
  if (outcome != base::Settings::Outcome::kRun) return fail(Code::kInvalidArgument, settings.help());
  if (out.keyspace.empty() || out.vtworkers.empty()) {
    return fail(Code::kInvalidArgument,
                "keyspace name and vtworkers information must be provided for horizontal resharding: -keyspace=... "
                "-vtworkers=host:port,...");
  }
  if (settings.is_set("phase_enable_approvals")) {
    if (settings.is_set("enable_approvals") && !approvals && !phases.empty()) {
      return fail(Code::kInvalidArgument, "-enable_approvals=false leaves no phase for -phase_enable_approvals");
    }
    RETURN_IF_ERROR(check_approvals(phases));
  }
  out.phases_with_approvals = approvals ? phases : Names();
  out.settings = {{"min_healthy_rdonly_tablets", std::to_string(min_healthy)},
                  {"split_diff_dest_tablet_type", diff_type},
                  {"exclude_tables", base::join(excluded, ",")},
                  {"use_consistent_snapshot", consistent_snapshot ? "true" : ""}};
  return out;
}

Result<Parameters> parse_sleep(const Names& words) {
  std::chrono::seconds duration(30);
  base::Settings settings("sleep", "");
  settings.add("duration", &duration, "how long to sleep").bare_number(std::chrono::seconds(1));
  ASSIGN_OR_RETURN(const auto outcome, settings.parse(words));
  if (outcome != base::Settings::Outcome::kRun) return fail(Code::kInvalidArgument, settings.help());
  return Parameters{.factory = std::string(kSleep), .settings = {{"duration", std::to_string(duration.count())}}};
}

Result<Parameters> parse_nothing(std::string_view factory, const Names& words) {
  base::Settings settings(std::string(factory), "");
  ASSIGN_OR_RETURN(const auto outcome, settings.parse(words));
  if (outcome != base::Settings::Outcome::kRun) return fail(Code::kInvalidArgument, settings.help());
  return Parameters{.factory = std::string(factory)};
}

// The shards of one side, in the order of key ranges.
using Side = std::vector<shard::ShardName>;

Result<Side> wanted_side(const std::string& keyspace, const std::vector<ShardFacts>& shards, const Names& wanted) {
  for (const auto& name : wanted) {
    if (std::ranges::find(shards, name, &ShardFacts::name) == shards.end()) {
      return fail(Code::kInvalidArgument, fmt::format("keyspace {} has no shard {}", keyspace, name));
    }
  }
  return shard::parse_shard_names(wanted);
}

bool overlaps(const shard::ShardName& a, const shard::ShardName& b) {
  return a.covered_range().intersects(b.covered_range());
}

Names names(const Side& side) {
  Names out;
  for (const auto& name : side) out.push_back(name.str());
  return out;
}

Error no_sides(const std::string& keyspace) {
  return fail(Code::kFailedPrecondition,
              fmt::format("keyspace {} has nothing to reshard: no shard that does not serve overlaps one that does; "
                          "start the tablets of the new shards first",
                          keyspace));
}

}  // namespace

Result<Parameters> parse_parameters(std::string_view factory, const Names& words) {
  if (factory == kHorizontalResharding) return parse_resharding(words);
  if (factory == kSleep) return parse_sleep(words);
  if (factory == kTopoValidator) return parse_nothing(factory, words);
  return fail(Code::kInvalidArgument, fmt::format("no factory named {} is registered", factory));
}

Result<Sides> find_sides(const std::string& keyspace, const std::vector<ShardFacts>& shards,
                         const Names& wanted_sources, const Names& wanted_destinations) {
  Names serving;
  Names idle;
  for (const auto& one : shards) (one.serving ? serving : idle).push_back(one.name);
  ASSIGN_OR_RETURN(Side sources, wanted_side(keyspace, shards, wanted_sources.empty() ? serving : wanted_sources));
  ASSIGN_OR_RETURN(Side destinations,
                   wanted_side(keyspace, shards, wanted_destinations.empty() ? idle : wanted_destinations));
  for (const auto& one : shards) {
    const bool source = std::ranges::find(wanted_sources, one.name) != wanted_sources.end();
    const bool destination = std::ranges::find(wanted_destinations, one.name) != wanted_destinations.end();
    if (source && !one.serving) {
      return fail(Code::kFailedPrecondition, fmt::format("source shard {}/{} does not serve", keyspace, one.name));
    }
    if (destination && one.serving) {
      return fail(Code::kFailedPrecondition, fmt::format("destination shard {}/{} serves already", keyspace, one.name));
    }
  }
  const auto touches = [](const Side& others) {
    return [&others](const shard::ShardName& name) {
      return std::ranges::any_of(others, [&](const auto& other) { return overlaps(name, other); });
    };
  };
  if (wanted_destinations.empty()) std::erase_if(destinations, std::not_fn(touches(sources)));
  if (wanted_sources.empty()) std::erase_if(sources, std::not_fn(touches(destinations)));
  if (sources.empty() || destinations.empty()) return no_sides(keyspace);

  // Groups: what overlaps belongs together.
  std::vector<size_t> group_of_destination(destinations.size(), SIZE_MAX);
  std::vector<size_t> group_of_source(sources.size());
  std::iota(group_of_source.begin(), group_of_source.end(), size_t{0});
  for (size_t d = 0; d < destinations.size(); ++d) {
    for (size_t s = 0; s < sources.size(); ++s) {
      if (!overlaps(sources[s], destinations[d])) continue;
      if (group_of_destination[d] == SIZE_MAX) {
        group_of_destination[d] = group_of_source[s];
        continue;
      }
      const size_t from = std::max(group_of_source[s], group_of_destination[d]);
      const size_t to = std::min(group_of_source[s], group_of_destination[d]);
      for (auto* all : {&group_of_source, &group_of_destination}) std::ranges::replace(*all, from, to);
    }
  }
  Sides out{.sources = names(sources), .destinations = names(destinations)};
  for (size_t g = 0; g < sources.size(); ++g) {
    std::vector<shard::KeyRange> from;
    std::vector<shard::KeyRange> to;
    for (size_t s = 0; s < sources.size(); ++s) {
      if (group_of_source[s] == g) from.push_back(sources[s].covered_range());
    }
    for (size_t d = 0; d < destinations.size(); ++d) {
      if (group_of_destination[d] == g) to.push_back(destinations[d].covered_range());
    }
    if (from.empty()) continue;  // Part of another group.
    if (Status same = shard::check_same_cover(from, to); !same.ok()) {
      return std::move(same).error().with_context(
          fmt::format("the shards {} of keyspace {} cannot be resharded into {} (-source_shards and "
                      "-destination_shards say which are meant)",
                      base::join(out.sources, ","), keyspace, base::join(out.destinations, ",")));
    }
    out.clones.push_back(sources[g].str());
  }
  for (size_t d = 0; d < destinations.size(); ++d) {
    if (group_of_destination[d] == SIZE_MAX) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("destination shard {}/{} overlaps no source shard", keyspace, destinations[d].str()));
    }
    const auto first = std::ranges::find_if(sources, [&](const auto& s) { return overlaps(s, destinations[d]); });
    out.source_of[destinations[d].str()] = first->str();
    out.clone_of[destinations[d].str()] = sources[group_of_destination[d]].str();
  }
  return out;
}

Result<Record> make_record(const Parameters& parameters, const std::vector<ShardFacts>& shards, std::string uuid,
                           base::WallTime now) {
  Record out;
  out.workflow.set_uuid(std::move(uuid));
  out.workflow.set_factory_name(parameters.factory);
  out.workflow.set_create_time(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  out.checkpoint.set_code_version(1);
  auto& settings = *out.checkpoint.mutable_settings();
  for (const auto& [key, value] : parameters.settings) {
    if (!value.empty()) settings[key] = value;
  }
  Sides sides;
  if (parameters.factory == kHorizontalResharding) {
    ASSIGN_OR_RETURN(sides,
                     find_sides(parameters.keyspace, shards, parameters.source_shards, parameters.destination_shards));
    if (parameters.vtworkers.size() != sides.sources.size()) {
      return fail(Code::kInvalidArgument, fmt::format("there are {} vtworkers, {} source shards: the number should be "
                                                      "same",
                                                      parameters.vtworkers.size(), sides.sources.size()));
    }
    for (const auto& one : shards) {
      if (!one.receives || std::ranges::find(sides.destinations, one.name) == sides.destinations.end()) continue;
      return fail(
          Code::kFailedPrecondition,
          fmt::format("destination shard {}/{} has source shards from an earlier resharding; end that first, or "
                      "remove them with SourceShardDelete",
                      parameters.keyspace, one.name));
    }
    out.workflow.set_name("Horizontal resharding on keyspace " + parameters.keyspace);
    settings["keyspace"] = parameters.keyspace;
    settings["vtworkers"] = base::join(parameters.vtworkers, ",");
    settings["source_shards"] = base::join(sides.sources, ",");
    settings["destination_shards"] = base::join(sides.destinations, ",");
    settings["clone_shards"] = base::join(sides.clones, ",");
    settings["phase_enable_approvals"] = base::join(parameters.phases_with_approvals, ",");
  } else if (parameters.factory == kSleep) {
    out.workflow.set_name("Sleep " + settings["duration"] + " seconds");
  } else {
    out.workflow.set_name("Topology validator");
  }
  // What a task is about goes with it, so that the record can be read without its settings.
  const auto vtworker_of = [&](const std::string& clone) {
    const auto at = std::ranges::find(sides.sources, clone) - sides.sources.begin();
    return parameters.vtworkers[static_cast<size_t>(at)];
  };
  for (const Phase& phase : phases_of(out)) {
    for (size_t i = 0; i < phase.tasks.size(); ++i) {
      auto& task = (*out.checkpoint.mutable_tasks())[phase.id(i)];
      task.set_id(phase.id(i));
      if (parameters.factory != kHorizontalResharding) continue;
      auto& attributes = *task.mutable_attributes();
      attributes["keyspace"] = parameters.keyspace;
      const bool of_destination = sides.source_of.contains(phase.tasks[i]);
      attributes["source_shard"] = of_destination ? sides.source_of[phase.tasks[i]] : phase.tasks[i];
      if (of_destination) attributes["destination_shard"] = phase.tasks[i];
      if (phase.path == kClone) attributes["vtworker"] = vtworker_of(phase.tasks[i]);
      if (phase.path == kDiff) attributes["vtworker"] = vtworker_of(sides.clone_of[phase.tasks[i]]);
    }
  }
  add_log(out, now, "", "created");
  return out;
}

}  // namespace vitrail::control::manager
