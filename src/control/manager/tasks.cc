#include "control/manager/tasks.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "net/loop.h"
#include "shard/shard_name.h"
#include "topo/cells.h"
#include "topo/shard.h"
#include "topo/srv_keyspace.h"

namespace vitrail::control::manager {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;

// A job that a vtctld which is gone left on a vtworker is cancelled, and its end waited for.
constexpr auto kLeftJobEnds = 60s;
constexpr auto kLook = 500ms;

const ::workflow::Task* find_task(const Record& record, const std::string& id) {
  const auto found = record.checkpoint.tasks().find(id);
  return found == record.checkpoint.tasks().end() ? nullptr : &found->second;
}

std::string attribute(const ::workflow::Task& task, const std::string& key) {
  const auto found = task.attributes().find(key);
  return found == task.attributes().end() ? "" : found->second;
}

std::string phase_of(const std::string& id) { return id.substr(0, id.find('/')); }

// The shards of a task's group: what the source overlaps, and what that overlaps.
struct Group {
  Names sources, destinations;
};
Names overlapping(const Names& all, const Names& with) {
  Names out;
  for (const auto& name : all) {
    const auto a = shard::ShardName::parse(name);
    const bool touches = std::ranges::any_of(with, [&](const auto& other) {
      const auto b = shard::ShardName::parse(other);
      return a.ok() && b.ok() && a->covered_range().intersects(b->covered_range());
    });
    if (touches) out.push_back(name);
  }
  return out;
}
Group group_of(const Record& record, const std::string& source) {
  Group out{.sources = {source}, .destinations = {}};
  for (;;) {
    out.destinations = overlapping(record.list("destination_shards"), out.sources);
    Names sources = overlapping(record.list("source_shards"), out.destinations);
    if (sources.size() <= out.sources.size()) return out;
    out.sources = std::move(sources);
  }
}

net::Task<Result<bool>> is_cloned(topo::Server& topology, std::string keyspace, Group group) {
  for (const auto& destination : group.destinations) {
    CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology, keyspace, destination));
    for (const auto& source : overlapping(group.sources, {destination})) {
      const bool followed = std::ranges::any_of(shard.record.source_shards(), [&](const auto& one) {
        return one.keyspace() == keyspace && one.shard() == source;
      });
      if (!followed) co_return false;
    }
  }
  co_return !group.destinations.empty();
}

net::Task<Result<bool>> is_migrated(topo::Server& topology, std::string keyspace, Group group,
                                    ::topodata::TabletType type) {
  if (type == ::topodata::PRIMARY) {
    for (const auto& [names, serves] : {std::pair(&group.sources, false), std::pair(&group.destinations, true)}) {
      for (const auto& name : *names) {
        CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology, keyspace, name));
        if (shard.record.is_primary_serving() != serves) co_return false;
      }
    }
    co_return true;
  }
  CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology));
  for (const auto& cell : cells) {
    const auto served = co_await topo::get_srv_keyspace(topology, cell, keyspace);
    if (!served.ok() && served.error().code() == Code::kNotFound) continue;
    if (!served.ok()) co_return served.error();
    for (const auto& partition : served->record.partitions()) {
      if (partition.served_type() != type) continue;
      std::set<std::string> there;
      for (const auto& reference : partition.shard_references()) there.insert(reference.name());
      const auto is_there = [&](const std::string& name) { return there.contains(name); };
      if (std::ranges::any_of(group.sources, is_there) || !std::ranges::all_of(group.destinations, is_there)) {
        co_return false;
      }
    }
  }
  co_return true;
}

// Whether what the task is for has been reached: asked only of a task that was begun before.
net::Task<bool> is_reached(topo::Server& topology, const Record& record, std::string id) {
  const std::string phase = phase_of(id);
  const ::workflow::Task* task = find_task(record, id);
  if (task == nullptr) co_return false;
  const std::string keyspace = attribute(*task, "keyspace");
  const Group group = group_of(record, attribute(*task, "source_shard"));
  Result<bool> reached = false;
  if (phase == kClone) reached = co_await is_cloned(topology, keyspace, group);
  if (phase == kMigrateRdonly) reached = co_await is_migrated(topology, keyspace, group, ::topodata::RDONLY);
  if (phase == kMigrateReplica) reached = co_await is_migrated(topology, keyspace, group, ::topodata::REPLICA);
  if (phase == kMigrateMaster) reached = co_await is_migrated(topology, keyspace, group, ::topodata::PRIMARY);
  co_return reached.ok() && *reached;
}

net::Task<Status> sleep(topo::Server& topology, const Record& record, net::CancelToken cancel) {
  const base::WallTime begun(std::chrono::seconds(record.workflow.start_time()));
  const auto end = begun + std::chrono::seconds(std::atoll(record.setting("duration").c_str()));
  const auto now = topology.clock().wall_now();
  if (end > now) co_return co_await net::sleep_for(end - now, cancel);
  co_return Status{};
}

// A vtworker runs one job, and the next one after a Reset.
net::Task<Status> reset(Tools& tools, std::string address, bool taken_over, Say say, net::CancelToken cancel) {
  Status done = co_await tools.run_on_vtworker(address, {"Reset"}, say, cancel);
  if (done.ok() || !taken_over) co_return done;
  // What still runs there was begun by the process before, for this task.
  static_cast<void>(co_await tools.run_on_vtworker(address, {"Cancel"}, say, cancel));
  const auto deadline = base::system_clock().now() + kLeftJobEnds;
  while (!done.ok() && !cancel.cancelled() && base::system_clock().now() < deadline) {
    static_cast<void>(co_await net::sleep_for(kLook, cancel));
    done = co_await tools.run_on_vtworker(address, {"Reset"}, [](std::string_view) {}, cancel);
  }
  co_return done;
}

// A comparison looks at one source; a destination of several is compared with each.
net::Task<Result<std::vector<Words>>> command_lines(topo::Server& topology, const ::workflow::Task& task, Words words) {
  std::vector<Words> out;
  if (words[0] == "SplitDiff") {
    CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(topology, attribute(task, "keyspace"),
                                                                   attribute(task, "destination_shard")));
    if (shard.record.source_shards_size() > 1) {
      for (const auto& source : shard.record.source_shards()) {
        Words line = words;
        line.insert(line.begin() + 1, fmt::format("-source_uid={}", source.uid()));
        out.push_back(std::move(line));
      }
      co_return out;
    }
  }
  out.push_back(std::move(words));
  co_return out;
}

net::Task<Status> run_job(topo::Server& topology, Tools& tools, const ::workflow::Task& task, Job job, Say say,
                          net::CancelToken cancel) {
  if (job.vtworker.empty()) co_return co_await tools.run(std::move(job.words), say, cancel);
  const bool taken_over = attribute(task, "taken_over") == "true";
  CO_ASSIGN_OR_RETURN(const auto lines, co_await command_lines(topology, task, std::move(job.words)));
  for (size_t i = 0; i < lines.size(); ++i) {
    CO_RETURN_IF_ERROR(co_await reset(tools, job.vtworker, taken_over && i == 0, say, cancel));
    CO_RETURN_IF_ERROR(co_await tools.run_on_vtworker(job.vtworker, lines[i], say, cancel));
  }
  co_return Status{};
}

}  // namespace

Result<Job> job_of(const Record& record, const std::string& id) {
  const ::workflow::Task* task = find_task(record, id);
  if (task == nullptr) return fail(Code::kInvalidArgument, "no task " + id);
  const std::string phase = phase_of(id);
  const std::string keyspace = attribute(*task, "keyspace");
  const std::string source = keyspace + "/" + attribute(*task, "source_shard");
  const std::string destination = keyspace + "/" + attribute(*task, "destination_shard");
  const auto with = [&](Words words, const char* flag, const std::string& value) {
    if (!value.empty()) words.push_back(fmt::format("-{}={}", flag, value));
    return words;
  };
  const std::string& excluded = record.setting("exclude_tables");
  const std::string& min_healthy = record.setting("min_healthy_rdonly_tablets");
  Job job;
  if (phase == kCopySchema) {
    job.words = with({"CopySchemaShard"}, "exclude_tables", excluded);
    job.words.insert(job.words.end(), {source, destination});
  } else if (phase == kClone) {
    job.vtworker = attribute(*task, "vtworker");
    job.words = with({"SplitClone"}, "min_healthy_rdonly_tablets", min_healthy);
    job.words = with(std::move(job.words), "exclude_tables", excluded);
    job.words = with(std::move(job.words), "use_consistent_snapshot", record.setting("use_consistent_snapshot"));
    job.words.push_back(source);
  } else if (phase == kWaitForFilteredReplication) {
    job.words = {"WaitForFilteredReplication", destination};
  } else if (phase == kDiff) {
    job.vtworker = attribute(*task, "vtworker");
    job.words = with({"SplitDiff"}, "min_healthy_rdonly_tablets", min_healthy);
    job.words = with(std::move(job.words), "exclude_tables", excluded);
    job.words = with(std::move(job.words), "dest_tablet_type", record.setting("split_diff_dest_tablet_type"));
    job.words.push_back(destination);
  } else if (phase == kMigrateRdonly || phase == kMigrateReplica || phase == kMigrateMaster) {
    job.words = {"MigrateServedTypes", source, phase.substr(std::string_view("migrate_").size())};
  } else if (record.workflow.factory_name() == kTopoValidator) {
    job.words = {"Validate"};
  } else {
    return fail(Code::kInvalidArgument, id + " is no command");
  }
  return job;
}

net::Task<Status> carry_out(topo::Server& topology, Tools& tools, Record record, std::string id, Say say,
                            net::CancelToken cancel) {
  if (record.workflow.factory_name() == kSleep) co_return co_await sleep(topology, record, cancel);
  const ::workflow::Task* task = find_task(record, id);
  CO_ASSIGN_OR_RETURN(Job job, job_of(record, id));
  const bool again = attribute(*task, "attempts") != "1";
  if (again && co_await is_reached(topology, record, id)) {
    say("this was done by an attempt before\n");
    co_return Status{};
  }
  say((job.vtworker.empty() ? "" : job.vtworker + ": ") + base::join(job.words, " ") + "\n");
  Status done = co_await run_job(topology, tools, *task, std::move(job), say, cancel);
  // An attempt before may have been finished meanwhile, by the repairer or by a vtworker.
  if (!done.ok() && again && !cancel.cancelled() && co_await is_reached(topology, record, id)) {
    say(done.error().message() + "\nbut what this is for is reached\n");
    co_return Status{};
  }
  co_return done;
}

}  // namespace vitrail::control::manager
