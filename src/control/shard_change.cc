#include "control/shard_change.h"

#include <fmt/core.h>

#include "base/random.h"
#include "mysqld/rows.h"
#include "tabletmanagerdata.pb.h"
#include "topo/tablet.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

constexpr auto kDefaultTimeout = 15s;

}  // namespace

net::Task<void> ShardChange::end() { (void)co_await lock_.release(); }

std::string ShardChange::setting(const char* name) const {
  const auto found = tenure_.open().settings().find(name);
  return found == tenure_.open().settings().end() ? std::string() : found->second;
}

std::string ShardChange::noted(const char* step, const std::string& name) const {
  const auto* text = engine::find_note(tenure_.record(), step, name);
  return text == nullptr ? std::string() : *text;
}

void ShardChange::note(const char* step, const std::string& name, std::string value) {
  tenure_.note([&](engine::Record& record) {
    for (auto& one : *record.mutable_open()->mutable_steps()) {
      if (one.name() == step) (*one.mutable_notes())[name] = value;
    }
  });
}

base::Duration ShardChange::timeout() const {
  const auto ms = mysqld::to_int(setting("timeout_ms"));
  return ms && *ms > 0 ? std::chrono::milliseconds(*ms) : base::Duration(kDefaultTimeout);
}

net::Task<Status> ShardChange::load_candidate() {
  CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(candidate_alias()));
  CO_ASSIGN_OR_RETURN(auto stored, co_await topo::get_tablet(tablets_.topology(), alias));
  candidate_ = std::move(stored.record);
  co_return Status{};
}

void ShardChange::add_promotion(std::vector<engine::Step>& steps, bool initialise) {
  steps.push_back({.id = "promote", .apply = [this, initialise] { return promote(initialise); }, .undo = {}});
  steps.back().point_of_no_return = true;
  steps.push_back({.id = "announce_primary", .apply = [this] { return announce(); }, .undo = {}});
  steps.push_back({.id = "follow_primary", .apply = [this] { return follow_promoted(); }, .undo = {}});
}

net::Task<Status> ShardChange::promote(bool initialise) {
  CO_RETURN_IF_ERROR(co_await load_candidate());
  CO_RETURN_IF_ERROR(co_await lock_.check_held());
  std::string position;
  if (initialise) {
    tmd::InitPrimaryRequest request;
    request.set_semisync(policy_.acks_needed() > 0);
    CO_ASSIGN_OR_RETURN(const auto promoted,
                        co_await call<tmd::InitPrimaryResponse>(candidate_, "InitPrimary", std::move(request)));
    position = promoted.position();
  } else {
    tmd::PromoteReplicaRequest request;
    request.set_semisync(policy_.acks_needed() > 0);
    CO_ASSIGN_OR_RETURN(const auto promoted,
                        co_await call<tmd::PromoteReplicaResponse>(candidate_, "PromoteReplica", std::move(request)));
    position = promoted.position();
  }
  note("promote", "position", std::move(position));
  co_return Status{};
}

net::Task<Status> ShardChange::announce() {
  CO_RETURN_IF_ERROR(co_await load_candidate());
  auto announced =
      co_await announce_primary(tablets_, lock_, candidate_, noted("promote", "position"), action(), timeout());
  if (!announced.ok()) co_return std::move(announced).error();
  co_return Status{};
}

net::Task<Status> ShardChange::follow_promoted() {
  CO_RETURN_IF_ERROR(co_await load_candidate());
  co_return co_await follow(NewPrimary{candidate_, noted("promote", "position"), action(), tenure_.fence()});
}

engine::Record make_shard_record(const std::string& keyspace, const std::string& shard, std::string kind,
                                 std::map<std::string, std::string> settings) {
  engine::Record record;
  record.set_id(std::string(topo::kShardChangeId) + base::system_random().uuid());
  record.set_kind(std::string(engine::kShardChange));
  record.set_workflow(topo::shard_change_name(shard));
  record.set_target_keyspace(keyspace);
  record.add_target_shards(shard);
  *record.mutable_open() = engine::make_operation(std::move(kind), std::move(settings));
  return record;
}

net::Task<Result<std::unique_ptr<engine::Operation>>> make_shard_change(TabletClient& tablets, engine::Tenure& tenure) {
  const auto& record = tenure.record();
  if (record.target_shards().empty()) co_return fail(Code::kDataLoss, "the record of a reparent names no shard");
  const std::string kind = record.open().kind();
  if (kind != kPlannedReparent && kind != kEmergencyReparent) {
    co_return fail(Code::kUnimplemented,
                   fmt::format("this vtctld does not know the operation {} of {}", kind, engine::name_of(record)));
  }
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::ShardLock::acquire(tablets.topology(), record.target_keyspace(),
                                                                   record.target_shards(0), "repair of " + kind,
                                                                   {.wait_max = 6s, .lease = kShardLockLease}));
  auto made = kind == kPlannedReparent ? co_await make_planned(tablets, tenure, std::move(lock))
                                       : co_await make_emergency(tablets, tenure, std::move(lock));
  if (!made.ok()) co_return std::move(made).error();
  co_return std::unique_ptr<engine::Operation>(std::move(*made));
}

net::Task<Result<ReparentResult>> carry_out_change(std::unique_ptr<engine::Tenure> tenure,
                                                   std::unique_ptr<ShardChange> change) {
  Status done = co_await engine::carry_out(*tenure, *change);
  co_await change->end();
  if (!done.ok()) co_return std::move(done).error();
  co_return ReparentResult{change->candidate().alias(), std::move(change->events())};
}

}  // namespace vitrail::control
