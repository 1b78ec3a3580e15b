#include "control/workflow/switch.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "net/scope.h"
#include "topo/cells.h"
#include "topo/keyspace.h"
#include "topo/locks.h"
#include "topo/srv_keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "vschema/srv_keyspace.h"

namespace vitrail::control {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

Result<std::string> table_filter(const ::vschema::Keyspace& vschema, const std::string& keyspace,
                                 const std::string& table, const shard::ShardName& shard) {
  if (!vschema.sharded()) return "select * from " + table;
  const auto found = vschema.tables().find(table);
  if (found == vschema.tables().end() || found->second.column_vindexes().empty()) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("table {} has no primary vindex in the vschema of the sharded keyspace {}", table, keyspace));
  }
  const auto& vindex = found->second.column_vindexes(0);
  std::string columns = vindex.column();
  if (columns.empty()) {
    for (const auto& column : vindex.columns()) columns += (columns.empty() ? "" : ", ") + column;
  }
  const std::string range = shard.key_range() ? shard.str() : "-";
  return fmt::format("select * from {} where in_keyrange({}, '{}.{}', '{}')", table, columns, keyspace, vindex.name(),
                     range);
}

namespace {

constexpr const char* kKind = "switch_traffic";

std::string record_id(const std::string& keyspace, const std::string& workflow) {
  return "switch-" + keyspace + "-" + workflow;
}

// Runs `one` for every item at the same time, and returns the first error.
template <typename Item>
net::Task<Status> for_all(std::vector<Item> items, std::function<net::Task<Status>(Item)> one) {
  std::vector<Status> outcomes(items.size());
  std::vector<net::Task<void>> tasks;
  auto run = [](const std::function<net::Task<Status>(Item)>& work, Item item, Status& out) -> net::Task<void> {
    out = co_await work(std::move(item));
  };
  for (size_t i = 0; i < items.size(); ++i) tasks.push_back(run(one, std::move(items[i]), outcomes[i]));
  co_await net::when_all(std::move(tasks));
  for (auto& outcome : outcomes) {
    if (!outcome.ok()) co_return std::move(outcome);
  }
  co_return Status{};
}

struct Locks {
  topo::NamedLock workflow;
  topo::KeyspaceLock first;
  std::optional<topo::KeyspaceLock> second;

  const topo::KeyspaceLock& of(const std::string& keyspace) const {
    return first.keyspace() == keyspace ? first : *second;
  }
  static net::Task<Result<Locks>> acquire(topo::Server& topology, std::string keyspace, std::string workflow,
                                          std::string source, std::string action) {
    CO_ASSIGN_OR_RETURN(auto name, co_await topo::NamedLock::acquire_workflow(topology, keyspace, workflow, action));
    std::string a = std::min(source, keyspace);
    std::string b = std::max(source, keyspace);
    CO_ASSIGN_OR_RETURN(auto first, co_await topo::KeyspaceLock::acquire(topology, a, action));
    Locks locks{std::move(name), std::move(first), std::nullopt};
    if (a != b) {
      CO_ASSIGN_OR_RETURN(auto second, co_await topo::KeyspaceLock::acquire(topology, b, action));
      locks.second.emplace(std::move(second));
    }
    co_return std::move(locks);
  }
  net::Task<Status> release() {
    Status outcome;
    if (second) outcome = co_await second->release();
    Status other = co_await first.release();
    if (outcome.ok()) outcome = std::move(other);
    Status last = co_await workflow.release();
    co_return outcome.ok() ? std::move(last) : std::move(outcome);
  }
};

// Moves the writes from one side to the other. "from" serves now; the streams of `streams` (which live on the "to"
// side) bring its rows over.
class WriteSwitch {
 public:
  WriteSwitch(TabletClient& tablets, const Locks& locks, const WorkflowModel& forward, WorkflowModel streams,
              SwitchOptions options)
      : tablets_(tablets),
        locks_(locks),
        forward_(forward),
        streams_(std::move(streams)),
        options_(std::move(options)) {}

  std::vector<Step> steps() {
    // A lambda here only calls a member coroutine: it is no coroutine itself.
    std::vector<Step> steps;
    steps.push_back({"create_reverse_streams", [this] { return create_reverse_streams(); },
                     [this] { return delete_reverse_streams(); }});
    steps.push_back({"stop_writes", [this] { return stop_writes(true); }, [this] { return stop_writes(false); }});
    steps.push_back({"catch_up", [this] { return catch_up(); }, {}});
    steps.push_back({"stop_streams", [this] { return set_streams(false); }, [this] { return set_streams(true); }});
    steps.push_back({"position_reverse_streams", [this] { return position_reverse_streams(); }, {}});
    steps.push_back({"journal", [this] { return write_journal(); }, {}, true});
    steps.push_back({"allow_target_writes", [this] { return allow_writes(); }, {}});
    steps.push_back({"switch_routing", [this] { return switch_routing(); }, {}});
    steps.push_back({"start_reverse_streams", [this] { return start_reverse_streams(); }, {}});
    steps.push_back({"freeze_streams", [this] { return freeze(); }, {}});
    return steps;
  }

  std::vector<std::string> describe() const;

 private:
  topo::Server& topology() { return tablets_.topology(); }
  net::Wait wait() const { return net::Wait::within(options_.timeout); }
  const std::string& from_keyspace() const { return streams_.source_keyspace; }
  const std::string& to_keyspace() const { return streams_.target_keyspace; }
  std::string reverse_name() const { return streams_.reverse_name(); }

  net::Task<Status> refresh(bool from_side) {
    std::vector<::topodata::Tablet> primaries;
    if (from_side) {
      for (const auto& [name, shard] : streams_.sources) primaries.push_back(shard.primary);
    } else {
      for (const auto& [name, target] : streams_.targets) primaries.push_back(target.shard.primary);
    }
    co_return co_await for_all<::topodata::Tablet>(std::move(primaries), [this](::topodata::Tablet tablet) {
      return refresh_one(tablets_, std::move(tablet), wait());
    });
  }
  static net::Task<Status> refresh_one(TabletClient& tablets, ::topodata::Tablet tablet, net::Wait wait) {
    auto done = co_await tablets.call<tmd::RefreshStateResponse>(std::move(tablet), "RefreshState",
                                                                 tmd::RefreshStateRequest(), std::move(wait));
    if (!done.ok()) co_return std::move(done).error();
    co_return Status{};
  }

  std::vector<shard::ShardName> from_names() const { return streams_.source_names(); }
  std::vector<shard::ShardName> to_names() const { return streams_.target_names(); }

  // The fence: from here on nothing is written on the "from" side. RefreshState returns when what was under way has
  // ended.
  net::Task<Status> stop_writes(bool stop) {
    if (streams_.is_reshard) {
      CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology()));
      for (const auto& cell : cells) {
        auto updated = co_await topo::update_srv_keyspace_fields(
            topology(), locks_.of(from_keyspace()), cell, [&](::topodata::SrvKeyspace& record) -> Result<bool> {
              RETURN_IF_ERROR(stop ? vschema::stop_writes(record, from_names())
                                   : vschema::allow_writes(record, from_names()));
              return true;
            });
        if (!updated.ok() && updated.error().code() != Code::kNotFound) co_return std::move(updated).error();
      }
    } else {
      for (const auto& [name, shard] : streams_.sources) {
        topo::DeniedTablesUpdate update;
        update.remove = !stop;
        update.tables = forward_.tables;
        auto updated =
            co_await topo::update_denied_tables(topology(), locks_.of(from_keyspace()), name, std::move(update));
        if (!updated.ok()) co_return std::move(updated).error();
      }
    }
    co_return co_await refresh(true);
  }

  net::Task<Status> catch_up() {
    // Every position first: the waits on all streams then run at the same time.
    struct WaitFor {
      ::topodata::Tablet tablet;
      int32_t id;
      std::string position;
    };
    std::vector<WaitFor> waits;
    for (const auto& [name, source] : streams_.sources) {
      CO_ASSIGN_OR_RETURN(const auto position,
                          co_await tablets_.call<tmd::PrimaryPositionResponse>(source.primary, "PrimaryPosition",
                                                                               tmd::PrimaryPositionRequest(), wait()));
      for (const auto& [target_name, target] : streams_.targets) {
        for (const auto& stream : target.workflow.streams()) {
          if (stream.bls().shard() == name) waits.push_back({target.shard.primary, stream.id(), position.position()});
        }
      }
    }
    co_return co_await for_all<WaitFor>(std::move(waits), [this](WaitFor item) {
      return [](TabletClient& tablets, WaitFor what, net::Wait until) -> net::Task<Status> {
        tmd::VReplicationWaitForPosRequest request;
        request.set_id(what.id);
        request.set_position(what.position);
        auto reached = co_await tablets.call<tmd::VReplicationWaitForPosResponse>(what.tablet, "VReplicationWaitForPos",
                                                                                  std::move(request), until);
        if (!reached.ok()) {
          co_return std::move(reached).error().with_context(
              "failed to sync up replication between the source and target");
        }
        co_return Status{};
      }(tablets_, std::move(item), wait());
    });
  }

  net::Task<Status> update_streams(std::string workflow, std::vector<::topodata::Tablet> primaries,
                                   ::binlogdata::VReplicationWorkflowState state, std::string message) {
    co_return co_await for_all<::topodata::Tablet>(std::move(primaries), [&](::topodata::Tablet tablet) {
      return [](TabletClient& tablets, ::topodata::Tablet where, std::string name,
                ::binlogdata::VReplicationWorkflowState next, std::string text, net::Wait until) -> net::Task<Status> {
        tmd::UpdateVReplicationWorkflowRequest request;
        request.set_workflow(name);
        request.set_state(next);
        request.set_message(text);
        auto done = co_await tablets.call<tmd::UpdateVReplicationWorkflowResponse>(where, "UpdateVReplicationWorkflow",
                                                                                   std::move(request), until);
        if (!done.ok()) co_return std::move(done).error();
        co_return Status{};
      }(tablets_, std::move(tablet), workflow, state, message, wait());
    });
  }

  std::vector<::topodata::Tablet> to_primaries() const {
    std::vector<::topodata::Tablet> out;
    for (const auto& [name, target] : streams_.targets) out.push_back(target.shard.primary);
    return out;
  }
  std::vector<::topodata::Tablet> from_primaries() const {
    std::vector<::topodata::Tablet> out;
    for (const auto& [name, source] : streams_.sources) out.push_back(source.primary);
    return out;
  }

  net::Task<Status> set_streams(bool running) {
    co_return co_await update_streams(streams_.name, to_primaries(),
                                      running ? ::binlogdata::Running : ::binlogdata::Stopped,
                                      running ? "" : "stopped for cutover");
  }

  net::Task<Status> delete_reverse_streams() {
    co_return co_await for_all<::topodata::Tablet>(from_primaries(), [this](::topodata::Tablet tablet) {
      return
          [](TabletClient& tablets, ::topodata::Tablet where, std::string name, net::Wait until) -> net::Task<Status> {
            tmd::DeleteVReplicationWorkflowRequest request;
            request.set_workflow(name);
            auto done = co_await tablets.call<tmd::DeleteVReplicationWorkflowResponse>(
                where, "DeleteVReplicationWorkflow", std::move(request), until);
            if (!done.ok() && done.error().code() != Code::kNotFound) co_return std::move(done).error();
            co_return Status{};
          }(tablets_, std::move(tablet), reverse_name(), wait());
    });
  }

  // Made before writes stop, so that only their positions have to be set while they are stopped.
  net::Task<Status> create_reverse_streams() {
    CO_RETURN_IF_ERROR(co_await delete_reverse_streams());
    ::vschema::Keyspace from_vschema;
    if (!streams_.is_reshard) {
      CO_ASSIGN_OR_RETURN(auto stored, co_await topo::get_vschema(topology(), from_keyspace()));
      from_vschema = std::move(stored.record);
    }
    for (const auto& [name, source] : streams_.sources) {
      CO_ASSIGN_OR_RETURN(const auto shard_name, shard::ShardName::parse(name));
      tmd::CreateVReplicationWorkflowRequest request;
      request.set_workflow(reverse_name());
      request.set_workflow_type(streams_.is_reshard ? ::binlogdata::Reshard : ::binlogdata::MoveTables);
      request.add_tablet_types(::topodata::PRIMARY);
      request.set_auto_start(false);
      for (const auto& [target_name, target] : streams_.targets) {
        CO_ASSIGN_OR_RETURN(const auto target_shard, shard::ShardName::parse(target_name));
        if (!shard_name.covered_range().intersects(target_shard.covered_range()) && streams_.is_reshard) continue;
        auto* bls = request.add_binlog_source();
        bls->set_keyspace(to_keyspace());
        bls->set_shard(target_name);
        if (streams_.is_reshard) {
          auto* rule = bls->mutable_filter()->add_rules();
          rule->set_match("/.*");
          rule->set_filter(shard_name.key_range() ? name : "");
        } else {
          for (const auto& table : forward_.tables) {
            auto* rule = bls->mutable_filter()->add_rules();
            rule->set_match(table);
            CO_ASSIGN_OR_RETURN(const auto filter, table_filter(from_vschema, from_keyspace(), table, shard_name));
            rule->set_filter(filter);
          }
        }
      }
      auto created = co_await tablets_.call<tmd::CreateVReplicationWorkflowResponse>(
          source.primary, "CreateVReplicationWorkflow", std::move(request), wait());
      if (!created.ok())
        co_return std::move(created).error().with_context("create the reverse workflow " + reverse_name());
    }
    co_return Status{};
  }

  net::Task<Status> position_reverse_streams() {
    for (const auto& [target_name, target] : streams_.targets) {
      CO_ASSIGN_OR_RETURN(const auto position,
                          co_await tablets_.call<tmd::PrimaryPositionResponse>(target.shard.primary, "PrimaryPosition",
                                                                               tmd::PrimaryPositionRequest(), wait()));
      positions_[target_name] = position.position();
    }
    co_return co_await for_all<::topodata::Tablet>(from_primaries(), [this](::topodata::Tablet tablet) {
      return [](WriteSwitch& self, ::topodata::Tablet where) -> net::Task<Status> {
        tmd::ReadVReplicationWorkflowRequest read;
        read.set_workflow(self.reverse_name());
        CO_ASSIGN_OR_RETURN(const auto workflow, co_await self.tablets_.call<tmd::ReadVReplicationWorkflowResponse>(
                                                     where, "ReadVReplicationWorkflow", std::move(read), self.wait()));
        for (const auto& stream : workflow.streams()) {
          tmd::VReplicationExecRequest request;
          request.set_query(fmt::format("update _vt.vreplication set pos = '{}' where id = {}",
                                        self.positions_[stream.bls().shard()], stream.id()));
          auto done = co_await self.tablets_.call<tmd::VReplicationExecResponse>(where, "VReplicationExec",
                                                                                 std::move(request), self.wait());
          if (!done.ok()) co_return std::move(done).error();
        }
        co_return Status{};
      }(*this, std::move(tablet));
    });
  }

  // The journal tells streams of others that read the "from" side where to go on.
  net::Task<Status> write_journal() {
    if (positions_.empty()) {  // Another process did the steps before: the streams know their positions.
      for (const auto& tablet : from_primaries()) {
        tmd::ReadVReplicationWorkflowRequest read;
        read.set_workflow(reverse_name());
        CO_ASSIGN_OR_RETURN(const auto workflow, co_await tablets_.call<tmd::ReadVReplicationWorkflowResponse>(
                                                     tablet, "ReadVReplicationWorkflow", std::move(read), wait()));
        for (const auto& stream : workflow.streams()) positions_[stream.bls().shard()] = stream.pos();
      }
    }
    uint64_t id = 14695981039346656037ull;  // FNV-1, 64 bits, of the target keyspace and its shards' primaries.
    auto mix = [&id](std::string_view text) {
      for (const char c : text) {
        id *= 1099511628211ull;
        id ^= static_cast<uint8_t>(c);
      }
    };
    mix(to_keyspace());
    for (const auto& [name, target] : streams_.targets)
      mix(fmt::format("{}:{}", name, target.shard.primary.alias().uid()));
    id &= INT64_MAX;
    for (const auto& [name, source] : streams_.sources) {
      std::string journal = fmt::format("id:{} migration_type:{}", id, streams_.is_reshard ? "SHARDS" : "TABLES");
      for (const auto& table : forward_.tables) journal += fmt::format(" tables:\"{}\"", table);
      for (const auto& [target_name, position] : positions_) {
        journal += fmt::format(" shard_gtids:{{keyspace:\"{}\" shard:\"{}\" gtid:\"{}\"}}", to_keyspace(), target_name,
                               position);
      }
      for (const auto& [participant, unused] : streams_.sources) {
        journal += fmt::format(" participants:{{keyspace:\"{}\" shard:\"{}\"}}", from_keyspace(), participant);
      }
      journal += fmt::format(" source_workflows:\"{}\"", streams_.name);
      tmd::VReplicationExecRequest request;
      request.set_query(fmt::format("replace into _vt.resharding_journal (id, db_name, val) values ({}, '{}', '{}')",
                                    id, topo::tablet_db_name(source.primary), journal));
      auto done = co_await tablets_.call<tmd::VReplicationExecResponse>(source.primary, "VReplicationExec",
                                                                        std::move(request), wait());
      if (!done.ok()) co_return std::move(done).error();
    }
    co_return Status{};
  }

  net::Task<Status> allow_writes() {
    if (streams_.is_reshard) {
      for (const auto& [serving, names] : {std::pair{false, from_names()}, std::pair{true, to_names()}}) {
        for (const auto& name : names) {
          const bool value = serving;
          auto updated = co_await topo::update_shard_fields(topology(), to_keyspace(), name.str(),
                                                            [value](::topodata::Shard& record) -> Result<bool> {
                                                              record.set_is_primary_serving(value);
                                                              return true;
                                                            });
          if (!updated.ok()) co_return std::move(updated).error();
        }
      }
    } else {
      for (const auto& [name, target] : streams_.targets) {
        topo::DeniedTablesUpdate update;
        update.remove = true;
        update.tables = forward_.tables;
        auto updated =
            co_await topo::update_denied_tables(topology(), locks_.of(to_keyspace()), name, std::move(update));
        if (!updated.ok()) co_return std::move(updated).error();
      }
    }
    co_return co_await refresh(false);
  }

  net::Task<Status> switch_routing() {
    if (streams_.is_reshard) {
      CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::get_cell_names(topology()));
      for (const auto& cell : cells) {
        auto updated = co_await topo::update_srv_keyspace_fields(
            topology(), locks_.of(to_keyspace()), cell, [&](::topodata::SrvKeyspace& record) -> Result<bool> {
              RETURN_IF_ERROR(vschema::switch_writes(record, from_names(), to_names()));
              return true;
            });
        if (!updated.ok() && updated.error().code() != Code::kNotFound) co_return std::move(updated).error();
      }
      co_return co_await refresh(true);
    }
    const vschema::TableMove move = forward_.move();
    auto updated = co_await topo::update_routing_rules(topology(), [&](::vschema::RoutingRules& rules) -> Result<bool> {
      if (options_.reverse) {
        vschema::reverse_writes(rules, move);
      } else {
        vschema::switch_writes(rules, move);
      }
      return true;
    });
    if (!updated.ok()) co_return std::move(updated).error();
    co_return co_await topo::rebuild_srv_vschema(topology());
  }

  net::Task<Status> start_reverse_streams() {
    if (!options_.enable_reverse_replication) co_return Status{};
    co_return co_await update_streams(reverse_name(), from_primaries(), ::binlogdata::Running, "");
  }

  net::Task<Status> freeze() {
    co_return co_await update_streams(streams_.name, to_primaries(), ::binlogdata::Stopped, "FROZEN");
  }

  TabletClient& tablets_;
  const Locks& locks_;
  const WorkflowModel& forward_;
  WorkflowModel streams_;
  const SwitchOptions options_;
  std::map<std::string, std::string> positions_;  // Of the "to" side's shards.
};

std::string table_list(const std::vector<std::string>& tables) {
  std::string out = "[";
  for (const auto& table : tables) out += (out.size() > 1 ? "," : "") + table;
  return out + "]";
}

std::vector<std::string> WriteSwitch::describe() const {
  std::vector<std::string> lines;
  std::string sources;
  for (const auto& [name, source] : streams_.sources) {
    sources += fmt::format("{}keyspace:{};shard:{}", sources.empty() ? "" : ",", from_keyspace(), name);
  }
  std::string targets;
  std::string tablets;
  for (const auto& [name, target] : streams_.targets) {
    const uint32_t uid = target.shard.primary.alias().uid();
    targets += fmt::format("{}keyspace:{};shard:{};tablet:{};workflow:{};dbname:{}", targets.empty() ? "" : ",",
                           to_keyspace(), name, uid, streams_.name, topo::tablet_db_name(target.shard.primary));
    tablets += fmt::format("{}tablet:{}", tablets.empty() ? "" : ",", uid);
  }
  lines.push_back(fmt::format("Stop writes on keyspace {} for tables {}: [{}]", from_keyspace(),
                              table_list(forward_.tables), sources));
  lines.push_back(fmt::format("Wait for vreplication on stopped streams to catchup for up to {}s",
                              std::chrono::duration_cast<std::chrono::seconds>(options_.timeout).count()));
  lines.push_back("Create reverse vreplication workflow " + reverse_name());
  lines.push_back("Create journal entries on source databases");
  lines.push_back(
      fmt::format("Enable writes on keyspace {} for tables {}", to_keyspace(), table_list(forward_.tables)));
  lines.push_back(fmt::format("Switch routing from keyspace {} to keyspace {}", from_keyspace(), to_keyspace()));
  if (!streams_.is_reshard)
    lines.push_back(fmt::format("Routing rules for tables {} will be updated", table_list(forward_.tables)));
  lines.push_back(fmt::format("Switch writes completed, freeze and delete vreplication streams on: [{}]", tablets));
  if (options_.enable_reverse_replication)
    lines.push_back(fmt::format("Start reverse vreplication streams on: [{}]", sources));
  lines.push_back(fmt::format("Mark vreplication streams frozen on: [{}]", targets));
  return lines;
}

bool wants(const SwitchOptions& options, ::topodata::TabletType type) {
  return std::find(options.types.begin(), options.types.end(), type) != options.types.end();
}

Error refusal(const std::string& workflow, const std::string& reason) {
  return fail(Code::kFailedPrecondition,
              fmt::format("cannot switch traffic for workflow {} at this time: {}", workflow, reason));
}

// Every tablet of both sides reads the topology again: whoever cannot would go on serving what it should not
// (S1-01..S1-05).
net::Task<Status> refresh_everything(TabletClient& tablets, const WorkflowModel& model, net::Wait wait) {
  struct One {
    ::topodata::Tablet tablet;
    std::string shard;
    const char* side;
  };
  std::vector<One> all;
  auto add = [&](std::string keyspace, std::string shard, const char* side) -> net::Task<Status> {
    return [](TabletClient& client, std::string ks, std::string name, const char* which,
              std::vector<One>& out) -> net::Task<Status> {
      topo::TabletQuery query;
      query.keyspace = ks;
      query.shard = name;
      CO_ASSIGN_OR_RETURN(const auto list, co_await topo::find_tablets(client.topology(), std::move(query)));
      if (!list.failed.empty()) co_return Error(list.failed.begin()->second);
      for (const auto& tablet : list.tablets) out.push_back({tablet, ks + "/" + name, which});
      co_return Status{};
    }(tablets, std::move(keyspace), std::move(shard), side, all);
  };
  for (const auto& [name, shard] : model.sources)
    CO_RETURN_IF_ERROR(co_await add(model.source_keyspace, name, "source"));
  for (const auto& [name, target] : model.targets)
    CO_RETURN_IF_ERROR(co_await add(model.target_keyspace, name, "target"));
  co_return co_await for_all<One>(std::move(all), [&](One one) {
    return [](TabletClient& client, One what, net::Wait until) -> net::Task<Status> {
      auto done = co_await client.call<tmd::RefreshStateResponse>(what.tablet, "RefreshState",
                                                                  tmd::RefreshStateRequest(), until);
      if (!done.ok()) {
        co_return fail(
            Code::kFailedPrecondition,
            fmt::format(
                "could not refresh all of the tablets involved in the operation:\nfailed to successfully refresh "
                "all tablets in the {} {} shard: {}",
                what.shard, what.side, done.error().message()));
      }
      co_return Status{};
    }(tablets, std::move(one), wait);
  });
}

net::Task<Status> check_can_switch(TabletClient& tablets, const WorkflowModel& model, const SwitchOptions& options) {
  for (const auto& [name, target] : model.targets) {
    for (const auto& stream : target.workflow.streams()) {
      if (stream.message() == "FROZEN") co_return refusal(model.name, "workflow is frozen");
      if (stream.state() == ::binlogdata::Error) co_return refusal(model.name, "workflow has errors");
      if (stream.state() == ::binlogdata::Copying || stream.state() == ::binlogdata::Init) {
        co_return refusal(model.name, "copy is still in progress");
      }
      if (stream.state() == ::binlogdata::Stopped) co_return refusal(model.name, "workflow is stopped; start it first");
    }
  }
  const int64_t lag = transaction_lag_seconds(model, tablets.topology().clock().wall_now());
  const int64_t allowed = std::chrono::duration_cast<std::chrono::seconds>(options.max_lag).count();
  if (lag > allowed) {
    co_return refusal(model.name, fmt::format("replication lag {}s is higher than allowed lag {}s", lag, allowed));
  }
  Status refreshed = co_await refresh_everything(tablets, model, net::Wait::within(30s));
  if (!refreshed.ok()) co_return refusal(model.name, refreshed.error().message());
  co_return Status{};
}

net::Task<Status> switch_read_traffic(TabletClient& tablets, const Locks& locks, const WorkflowModel& forward,
                                      const SwitchOptions& options) {
  std::vector<::topodata::TabletType> types;
  for (const auto type : {::topodata::REPLICA, ::topodata::RDONLY}) {
    if (wants(options, type)) types.push_back(type);
  }
  topo::Server& topology = tablets.topology();
  if (forward.is_reshard) {
    CO_ASSIGN_OR_RETURN(const auto cells, co_await topo::expand_cells(topology, options.cells));
    for (const auto& cell : cells) {
      auto updated = co_await topo::update_srv_keyspace_fields(
          topology, locks.of(forward.target_keyspace), cell, [&](::topodata::SrvKeyspace& record) -> Result<bool> {
            for (const auto type : types) {
              RETURN_IF_ERROR(
                  options.reverse
                      ? vschema::reverse_reads(record, type, forward.source_names(), forward.target_names())
                      : vschema::switch_reads(record, type, forward.source_names(), forward.target_names()));
            }
            return true;
          });
      if (!updated.ok() && updated.error().code() != Code::kNotFound) co_return std::move(updated).error();
    }
    co_return co_await refresh_everything(tablets, forward, net::Wait::within(options.timeout));
  }
  auto updated = co_await topo::update_routing_rules(topology, [&](::vschema::RoutingRules& rules) -> Result<bool> {
    if (options.reverse) {
      vschema::reverse_reads(rules, forward.move(), types);
    } else {
      vschema::switch_reads(rules, forward.move(), types);
    }
    return true;
  });
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await topo::rebuild_srv_vschema(topology, options.cells);
}

StepRecord::Settings to_settings(const SwitchOptions& options) {
  return {
      {"keyspace", options.keyspace},
      {"workflow", options.workflow},
      {"reverse", options.reverse ? "true" : "false"},
      {"enable_reverse_replication", options.enable_reverse_replication ? "true" : "false"},
      {"timeout_ms", std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(options.timeout).count())}};
}

SwitchOptions from_settings(const StepRecord::Settings& settings) {
  auto text = [&](const char* name) {
    const auto found = settings.find(name);
    return found == settings.end() ? std::string() : found->second;
  };
  SwitchOptions options;
  options.keyspace = text("keyspace");
  options.workflow = text("workflow");
  options.reverse = text("reverse") == "true";
  options.enable_reverse_replication = text("enable_reverse_replication") == "true";
  if (const long ms = std::atol(text("timeout_ms").c_str()); ms > 0) options.timeout = std::chrono::milliseconds(ms);
  return options;
}

// The workflow whose streams bring the rows for this direction.
net::Task<Result<WorkflowModel>> streams_for(TabletClient& tablets, const WorkflowModel& forward, bool reverse,
                                             net::Wait wait) {
  if (!reverse) co_return co_await read_workflow(tablets, forward.target_keyspace, forward.name, wait);
  auto model = co_await read_workflow(tablets, forward.source_keyspace, forward.reverse_name(), wait);
  if (model.ok()) model->tables = forward.tables;
  co_return model;
}

net::Task<Status> recover_one(TabletClient& tablets, std::string id) {
  CO_ASSIGN_OR_RETURN(auto peek, co_await StepRecord::load(tablets.topology(), id));
  if (peek.kind() != kKind) co_return Status{};
  SwitchOptions options = from_settings(peek.settings());
  CO_ASSIGN_OR_RETURN(const auto forward,
                      co_await read_workflow(tablets, options.keyspace, options.workflow, net::Wait::within(30s)));
  CO_ASSIGN_OR_RETURN(auto locks, co_await Locks::acquire(tablets.topology(), options.keyspace, options.workflow,
                                                          forward.source_keyspace, "recover SwitchTraffic"));
  auto record = co_await StepRecord::load(tablets.topology(), id);
  if (!record.ok()) {  // Somebody else has finished it while we waited for the locks.
    (void)co_await locks.release();
    if (record.error().code() == Code::kNotFound) co_return Status{};
    co_return std::move(record).error();
  }
  auto streams = co_await streams_for(tablets, forward, options.reverse, net::Wait::within(30s));
  if (!streams.ok()) {
    (void)co_await locks.release();
    co_return std::move(streams).error();
  }
  WriteSwitch change(tablets, locks, forward, std::move(*streams), options);
  Status outcome = co_await record->recover(change.steps());
  Status released = co_await locks.release();
  co_return outcome.ok() ? std::move(released) : std::move(outcome);
}

}  // namespace

net::Task<Result<SwitchOutcome>> switch_traffic(TabletClient& tablets, SwitchOptions options) {
  topo::Server& topology = tablets.topology();
  const net::Wait reading = net::Wait::within(30s);
  // An earlier command that died half way is brought to its end first.
  if (Status recovered = co_await recover_one(tablets, record_id(options.keyspace, options.workflow));
      !recovered.ok() && recovered.error().code() != Code::kNotFound) {
    co_return std::move(recovered).error().with_context(
        "an earlier switch was interrupted and cannot be brought to its end");
  }
  CO_ASSIGN_OR_RETURN(const auto forward, co_await read_workflow(tablets, options.keyspace, options.workflow, reading));
  CO_ASSIGN_OR_RETURN(auto locks,
                      co_await Locks::acquire(topology, options.keyspace, options.workflow, forward.source_keyspace,
                                              options.reverse ? "ReverseTraffic" : "SwitchTraffic"));
  SwitchOutcome outcome;
  auto body = [](TabletClient& client, SwitchOptions& wanted, const WorkflowModel& model, Locks& held,
                 SwitchOutcome& out) -> net::Task<Status> {
    CO_ASSIGN_OR_RETURN(const auto state, co_await read_traffic_state(client, model));
    out.start_state = out.current_state = state.to_string();
    const bool writes_move = wants(wanted, ::topodata::PRIMARY) && state.writes_switched == wanted.reverse;
    // Switching the primary takes the replicas along (S0-19): a shard that has lost its writes would serve old rows.
    if (writes_move) {
      for (const auto type : {::topodata::REPLICA, ::topodata::RDONLY}) {
        if (!wants(wanted, type)) wanted.types.push_back(type);
      }
    }
    const bool reads_move = (wants(wanted, ::topodata::REPLICA) || wants(wanted, ::topodata::RDONLY)) &&
                            (wanted.reverse ? state.any_reads_switched() : !state.all_reads_switched());
    if (!reads_move && !writes_move) {
      if (wanted.dry_run) out.dry_run = {"No changes required"};
      co_return Status{};
    }
    const net::Wait wait = net::Wait::within(30s);
    auto streams = co_await streams_for(client, model, wanted.reverse && state.writes_switched, wait);
    if (!streams.ok()) co_return std::move(streams).error();
    CO_RETURN_IF_ERROR(co_await check_can_switch(client, *streams, wanted));
    WriteSwitch change(client, held, model, *streams, wanted);
    if (wanted.dry_run) {
      out.dry_run.push_back("Lock keyspace " + model.source_keyspace);
      if (reads_move) {
        out.dry_run.push_back(
            model.is_reshard
                ? fmt::format("Switch reads from keyspace {} to keyspace {}", model.source_keyspace,
                              model.target_keyspace)
                : fmt::format("Switch reads for tables {} to keyspace {} for tablet types [RDONLY,REPLICA]",
                              table_list(model.tables), model.target_keyspace));
      }
      if (writes_move) {
        for (auto& line : change.describe()) out.dry_run.push_back(std::move(line));
      }
      out.dry_run.push_back("Unlock keyspace " + model.source_keyspace);
      co_return Status{};
    }
    if (reads_move) CO_RETURN_IF_ERROR(co_await switch_read_traffic(client, held, model, wanted));
    if (writes_move) {
      StepRecord record(client.topology(), record_id(wanted.keyspace, wanted.workflow), kKind, to_settings(wanted));
      CO_RETURN_IF_ERROR(co_await record.run(change.steps()));
    }
    CO_ASSIGN_OR_RETURN(const auto after, co_await read_traffic_state(client, model));
    out.current_state = after.to_string();
    co_return Status{};
  };
  Status done = co_await body(tablets, options, forward, locks, outcome);
  Status released = co_await locks.release();
  if (!done.ok()) co_return std::move(done).error();
  if (!released.ok()) co_return std::move(released).error().with_context("locks were lost");
  co_return outcome;
}

net::Task<Status> recover_switches(TabletClient& tablets) {
  CO_ASSIGN_OR_RETURN(const auto ids, co_await StepRecord::list(tablets.topology()));
  for (const auto& id : ids) {
    if (!id.starts_with("switch-")) continue;
    Status recovered = co_await recover_one(tablets, id);
    if (!recovered.ok()) {
      log_error("the interrupted switch {} could not be brought to its end; run the command again: {}", id,
                recovered.error().message());
    } else {
      log_info("the interrupted switch {} was brought to its end", id);
    }
  }
  co_return Status{};
}

net::Task<Result<std::vector<std::string>>> list_workflows(TabletClient& tablets, std::string keyspace,
                                                           net::Wait wait) {
  std::vector<std::string> names;
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_all_shards(tablets.topology(), keyspace));
  for (const auto& [name, info] : shards) {
    if (!info.record.has_primary_alias()) continue;
    CO_ASSIGN_OR_RETURN(const auto tablet, co_await topo::get_tablet(tablets.topology(), info.record.primary_alias()));
    auto read = co_await tablets.call<tmd::ReadVReplicationWorkflowsResponse>(
        tablet.record, "ReadVReplicationWorkflows", tmd::ReadVReplicationWorkflowsRequest(), wait);
    if (!read.ok()) co_return std::move(read).error();
    for (const auto& workflow : read->workflows()) {
      if (std::find(names.begin(), names.end(), workflow.workflow()) == names.end())
        names.push_back(workflow.workflow());
    }
  }
  std::sort(names.begin(), names.end());
  co_return names;
}

}  // namespace vitrail::control
