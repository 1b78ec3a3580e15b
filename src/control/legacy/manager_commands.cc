// Older commands on the workflow manager: each reads or changes records, which whoever runs the workflows sees.
#include <fmt/core.h>

#include <algorithm>

#include "base/random.h"
#include "base/settings.h"
#include "base/text.h"
#include "control/legacy/command.h"
#include "control/manager/factory.h"
#include "control/manager/records.h"
#include "control/manager/tree.h"
#include "topo/shard.h"

namespace vitrail::control::legacy {
namespace {

using namespace std::chrono_literals;
using Output = net::Task<Result<std::string>>;
using Words = std::vector<std::string>;

constexpr auto kLook = 200ms;

// Nobody would run a workflow for vtctl, or for a vtctld that was started without.
Status check_manager(const LegacyEnvironment& environment) {
  if (environment.workflow_factories != nullptr) return {};
  return fail(Code::kFailedPrecondition,
              "no workflow.Manager registered: send this to a vtctld with --workflow-manager-init");
}

base::WallTime now(const Call& call) { return call.environment.topology().clock().wall_now(); }

net::Task<Result<std::vector<manager::ShardFacts>>> facts_of(topo::Server& topology, std::string keyspace) {
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_all_shards(topology, keyspace));
  std::vector<manager::ShardFacts> out;
  for (const auto& [name, shard] : shards) {
    out.push_back({.name = name,
                   .serving = shard.record.is_primary_serving(),
                   .receives = shard.record.source_shards_size() > 0});
  }
  co_return out;
}

// Two workflows on the same shards would undo each other's work.
net::Task<Status> check_alone(topo::Server& topology, const manager::Record& record) {
  if (record.workflow.factory_name() != manager::kHorizontalResharding) co_return Status{};
  CO_ASSIGN_OR_RETURN(const auto others, co_await manager::list(topology));
  for (const auto& other : others) {
    if (other.record.workflow.state() == ::workflow::Done || other.record.workflow.uuid() == record.workflow.uuid() ||
        other.record.setting("keyspace") != record.setting("keyspace"))
      continue;
    for (const char* side : {"source_shards", "destination_shards"}) {
      const Words theirs = other.record.list(side);
      for (const auto& shard : record.list(side)) {
        if (std::ranges::find(theirs, shard) == theirs.end()) continue;
        co_return fail(Code::kAlreadyExists,
                       fmt::format("workflow {} reshards {}/{} already; stop and delete it first",
                                   other.record.workflow.uuid(), record.setting("keyspace"), shard));
      }
    }
  }
  co_return Status{};
}

Output workflow_create(const Call& call) {
  CO_RETURN_IF_ERROR(check_manager(call.environment));
  topo::Server& topology = call.environment.topology();
  bool skip_start = false;
  base::Settings settings("WorkflowCreate", "");
  settings.add("skip_start", &skip_start, "the workflow waits for WorkflowStart");
  settings.arguments("<factory> [parameters ...]", 1, kMany).pass_through();
  CO_ASSIGN_OR_RETURN(const auto outcome, settings.parse(call.arguments));
  if (outcome != base::Settings::Outcome::kRun) co_return settings.help();
  const std::string factory = settings.positional()[0];
  const auto& factories = *call.environment.workflow_factories;
  if (std::ranges::find(factories, factory) == factories.end()) {
    co_return fail(Code::kInvalidArgument, fmt::format("no factory named {} is registered; there are: {}", factory,
                                                       base::join(factories, ", ")));
  }
  const Words rest(settings.positional().begin() + 1, settings.positional().end());
  CO_ASSIGN_OR_RETURN(const auto parameters, manager::parse_parameters(factory, rest));
  std::vector<manager::ShardFacts> shards;
  if (!parameters.keyspace.empty()) {
    CO_ASSIGN_OR_RETURN(shards, co_await facts_of(topology, parameters.keyspace));
  }
  const std::string uuid = base::system_random().uuid();
  CO_ASSIGN_OR_RETURN(auto record, manager::make_record(parameters, shards, uuid, now(call)));
  CO_RETURN_IF_ERROR(co_await check_alone(topology, record));
  if (!skip_start)
    CO_RETURN_IF_ERROR(manager::press(record, "/" + uuid, manager::kStart, now(call), call.environment.who));
  CO_RETURN_IF_ERROR(co_await manager::create(topology, std::move(record)));
  co_return "uuid: " + uuid + "\n";
}

Output press(const Call& call, std::string path, std::string button) {
  CO_RETURN_IF_ERROR(check_manager(call.environment));
  topo::Server& topology = call.environment.topology();
  const std::string bare = path.starts_with('/') ? path.substr(1) : path;
  const std::string uuid = bare.substr(0, bare.find('/'));
  if (button == manager::kStart) {
    CO_ASSIGN_OR_RETURN(const auto stored, co_await manager::load(topology, uuid));
    if (stored.record.workflow.state() != ::workflow::Running) {
      CO_RETURN_IF_ERROR(co_await check_alone(topology, stored.record));
    }
  }
  const auto change = [&](manager::Record& record) -> Result<bool> {
    RETURN_IF_ERROR(manager::press(record, path, button, now(call), call.environment.who));
    return true;
  };
  CO_ASSIGN_OR_RETURN(const auto changed, co_await manager::change(topology, uuid, change));
  static_cast<void>(changed);
  co_return std::string();
}

Output workflow_delete(const Call& call, std::string uuid) {
  CO_RETURN_IF_ERROR(check_manager(call.environment));
  topo::Server& topology = call.environment.topology();
  CO_ASSIGN_OR_RETURN(const auto stored, co_await manager::load(topology, uuid));
  if (stored.record.workflow.state() == ::workflow::Running) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("cannot delete running workflow {}; stop it first (WorkflowStop)", uuid));
  }
  CO_RETURN_IF_ERROR(co_await manager::remove(topology, stored));
  co_return std::string();
}

Output workflow_wait(const Call& call) {
  CO_RETURN_IF_ERROR(check_manager(call.environment));
  const auto deadline = base::system_clock().now() + call.environment.action_timeout;
  std::string told;
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto stored, co_await manager::load(call.environment.topology(), call.arguments[0]));
    const auto& workflow = stored.record.workflow;
    if (workflow.state() == ::workflow::Done) {
      if (workflow.error().empty()) co_return std::string();
      co_return fail(Code::kAborted, fmt::format("workflow {} has ended: {}", workflow.uuid(), workflow.error()));
    }
    // What is new, to whoever waits.
    const auto log = manager::log_of(stored.record);
    const std::string last = log.empty() ? "" : fmt::format("{} {}", log.back().node, log.back().what);
    if (last != told) {
      CO_RETURN_IF_ERROR(co_await call.environment.report(LegacyLevel::kInfo, std::string(base::trim(last))));
      told = last;
    }
    if (base::system_clock().now() >= deadline) {
      co_return fail(Code::kDeadlineExceeded, fmt::format("workflow {} has not ended yet", workflow.uuid()));
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(kLook, call.environment.cancel));
  }
}

Output workflow_tree(const Call& call) {
  CO_RETURN_IF_ERROR(check_manager(call.environment));
  CO_ASSIGN_OR_RETURN(const auto all, co_await manager::list(call.environment.topology()));
  std::vector<manager::Record> records;
  for (const auto& stored : all) records.push_back(stored.record);
  co_return manager::forest_of(records);
}

}  // namespace

void add_manager_commands(std::vector<Command>& out) {
  constexpr std::string_view kGroup = "Workflow manager";
  out.push_back({.group = kGroup,
                 .names = "WorkflowCreate",
                 .usage = "[-skip_start] <factoryName> [parameters ...]",
                 .arguments_min = 1,
                 .arguments_max = kMany,
                 .body = workflow_create,
                 .takes_all = true});
  const auto pressing = [](std::string_view button) {
    return [button](const Call& call) { return press(call, "/" + call.arguments[0], std::string(button)); };
  };
  out.push_back({kGroup, "WorkflowStart", "<uuid>", 1, 1, {}, pressing(manager::kStart)});
  out.push_back({kGroup, "WorkflowStop", "<uuid>", 1, 1, {}, pressing(manager::kStop)});
  out.push_back({kGroup, "WorkflowDelete", "<uuid>", 1, 1, {}, [](const Call& call) {
                   return workflow_delete(call, call.arguments[0]);
                 }});
  out.push_back({kGroup, "WorkflowWait", "<uuid>", 1, 1, {}, workflow_wait});
  out.push_back({kGroup, "WorkflowTree", "", 0, 0, {}, workflow_tree});
  out.push_back({kGroup, "WorkflowAction", "<path> <name>", 2, 2, {}, [](const Call& call) {
                   const std::string& path = call.arguments[0];
                   const std::string bare = path.starts_with('/') ? path.substr(1) : path;
                   if (call.arguments[1] == manager::kDelete && bare.find('/') == std::string::npos) {
                     return workflow_delete(call, bare);
                   }
                   return press(call, "/" + bare, call.arguments[1]);
                 }});
}

}  // namespace vitrail::control::legacy
