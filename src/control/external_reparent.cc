#include "control/external_reparent.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "control/reparent.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/shard.h"
#include "topo/tablet.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
namespace vd = ::vtctldata;
using mysql::MariadbGtid;
using namespace std::chrono_literals;

constexpr auto kLookMax = 5s;  // The old primary may be dead, which is often why.
constexpr auto kActMax = 30s;
constexpr auto kFollowMax = 10s;
constexpr int kStopped = 1;  // A thread of replication.

// Whether `gtid` is in a server's log, as far as that is known for sure.
bool has_transaction(const ServerLog& log, const MariadbGtid& gtid) {
  const auto* position = log.position.mariadb();
  if (position != nullptr) {
    const auto last = position->domains().find(gtid.domain);
    if (last != position->domains().end() && last->second == gtid) return true;
  }
  return std::ranges::any_of(base::split_list(log.binlog_state), [&](const std::string& text) {
    const auto last = MariadbGtid::parse(text);
    return last.ok() && last->domain == gtid.domain && last->server == gtid.server && last->sequence >= gtid.sequence;
  });
}

// All of `position` is in `log`.
bool has_all(const ServerLog& log, const mysql::MariadbGtidSet& position) {
  return std::ranges::all_of(position.domains(), [&](const auto& entry) { return has_transaction(log, entry.second); });
}

class Adopting {
 public:
  Adopting(TabletClient& client, const topo::ShardLock& lock, ::topodata::Tablet tablet)
      : client_(client), lock_(lock), tablet_(std::move(tablet)) {}

  net::Task<Result<vd::TabletExternallyReparentedResponse>> run();

 private:
  struct Member {
    ::topodata::Tablet tablet;
    std::optional<::replicationdata::FullStatus> status;  // None: it does not answer.
  };
  template <typename Response, typename Request>
  net::Task<Result<Response>> call(const ::topodata::Tablet& tablet, std::string_view method, Request request,
                                   base::Duration timeout = kActMax) {
    return client_.call<Response>(tablet, method, std::move(request), net::Wait::within(timeout));
  }
  const Member* find(const ::topodata::TabletAlias& alias) const {
    const auto found = std::ranges::find_if(
        members_, [&](const Member& member) { return topo::same_alias(member.tablet.alias(), alias); });
    return found == members_.end() ? nullptr : &*found;
  }
  std::string name() const { return topo::alias_to_string(tablet_.alias()); }

  net::Task<Status> look();
  static net::Task<void> look_at(Adopting& self, Member& member);
  net::Task<Result<ServerLog>> read_log(const ::topodata::Tablet& tablet, std::string position);
  net::Task<Status> get_all_of(const ::topodata::Tablet& old);
  net::Task<Status> stop(const ::topodata::Tablet& old);
  net::Task<Status> take_over();
  net::Task<void> let_follow();

  TabletClient& client_;
  const topo::ShardLock& lock_;
  ::topodata::Tablet tablet_;
  topo::ShardInfo shard_;
  topo::Durability policy_;
  std::vector<Member> members_;
  std::string old_position_;
  ServerLog log_, old_log_;
};

net::Task<void> Adopting::look_at(Adopting& self, Member& member) {
  auto full =
      co_await self.call<tmd::FullStatusResponse>(member.tablet, "FullStatus", tmd::FullStatusRequest(), kLookMax);
  if (full.ok()) member.status = std::move(*full->mutable_status());
}

net::Task<Status> Adopting::look() {
  topo::TabletQuery query;
  query.keyspace = lock_.keyspace();
  query.shard = lock_.shard();
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(client_.topology(), std::move(query)));
  for (auto& tablet : list.tablets) members_.push_back({std::move(tablet), {}});
  std::vector<net::Task<void>> looks;
  for (Member& member : members_) looks.push_back(look_at(*this, member));
  co_await net::when_all(std::move(looks));
  const Member* own = find(tablet_.alias());
  if (own != nullptr && own->status) co_return Status{};
  co_return fail(Code::kUnavailable, fmt::format("nothing was changed: tablet {} does not answer", name()));
}

net::Task<Result<ServerLog>> Adopting::read_log(const ::topodata::Tablet& tablet, std::string position) {
  ServerLog log;
  CO_ASSIGN_OR_RETURN(log.position, mysql::Position::parse(position));
  if (log.position.flavor() != mysql::GtidFlavor::kMariadb) co_return log;
  tmd::ExecuteFetchAsDbaRequest ask;
  ask.set_query("select @@global.gtid_binlog_state");
  ask.set_max_rows(1);
  CO_ASSIGN_OR_RETURN(const auto told,
                      co_await call<tmd::ExecuteFetchAsDbaResponse>(tablet, "ExecuteFetchAsDba", std::move(ask)));
  if (told.result().rows_size() > 0) log.binlog_state = told.result().rows(0).values();
  co_return log;
}

// The old primary writes nothing any more. What the new one lacks it gets from there.
net::Task<Status> Adopting::get_all_of(const ::topodata::Tablet& old) {
  CO_ASSIGN_OR_RETURN(old_log_, co_await read_log(old, old_position_));
  CO_ASSIGN_OR_RETURN(auto now,
                      co_await call<tmd::FullStatusResponse>(tablet_, "FullStatus", tmd::FullStatusRequest()));
  CO_ASSIGN_OR_RETURN(log_, co_await read_log(tablet_, now.status().primary_status().position()));
  CO_ASSIGN_OR_RETURN(const Holding holding, compare_logs(log_, old_log_));
  if (holding == Holding::kAll) co_return Status{};
  if (holding == Holding::kDiverged) {
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("the server of {} has {}, the primary's {}, and each has transactions that the other "
                    "lacks: ReparentTablet {} lets it follow again; stop the tablet of {} first if what only "
                    "that one has may be lost",
                    name(), log_.position.to_string(), old_log_.position.to_string(), name(),
                    topo::alias_to_string(old.alias())));
  }
  tmd::SetReplicationSourceRequest follow;
  *follow.mutable_parent() = old.alias();
  follow.set_wait_position(old_position_);
  follow.set_force_start_replication(true);
  follow.set_semisync(policy_.acknowledges(old, tablet_));
  auto reached = co_await call<tmd::SetReplicationSourceResponse>(tablet_, "SetReplicationSource", std::move(follow));
  if (!reached.ok()) {
    co_return std::move(reached).error().with_context(name() + " does not get what it lacks of the old primary");
  }
  co_return Status{};
}

net::Task<Status> Adopting::stop(const ::topodata::Tablet& old) {
  auto demoted = co_await call<tmd::DemotePrimaryResponse>(old, "DemotePrimary", tmd::DemotePrimaryRequest());
  Status ready;
  if (demoted.ok()) {
    old_position_ = demoted->primary_status().position();
    ready = co_await get_all_of(old);
  } else {
    ready = std::move(demoted).error().with_context("the old primary cannot be stopped");
  }
  if (ready.ok()) co_return ready;
  Status undone = co_await undo_demotion(client_, policy_, old, kActMax);
  if (undone.ok()) co_return std::move(ready).error().with_context("nothing was changed");
  co_return std::move(ready).error().with_context("the demotion of the old primary could not be undone (" +
                                                  undone.error().message() + "); run the same command again");
}

net::Task<Status> Adopting::take_over() {
  CO_RETURN_IF_ERROR(co_await lock_.check_held());
  auto promoted =
      co_await call<tmd::ReplicaWasPromotedResponse>(tablet_, "ReplicaWasPromoted", tmd::ReplicaWasPromotedRequest());
  if (!promoted.ok()) {
    // Whether it has happened is not known, so the old primary stays stopped.
    co_return std::move(promoted).error().with_context("run the same command again");
  }
  topo::Server& topology = client_.topology();
  CO_ASSIGN_OR_RETURN(const auto now, co_await topo::get_tablet(topology, tablet_.alias()));
  tablet_ = now.record;
  topo::UpdateFn<::topodata::Shard> name_it = [&](::topodata::Shard& record) -> Result<bool> {
    *record.mutable_primary_alias() = tablet_.alias();
    *record.mutable_primary_term_start_time() = tablet_.primary_term_start_time();
    return true;
  };
  auto updated =
      co_await topo::update_shard_fields(topology, lock_.keyspace(), lock_.shard(), std::move(name_it), lock_.fence());
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

// The role has moved: who does not follow now is vtorc's, or the other tool's.
net::Task<void> Adopting::let_follow() {
  std::vector<::topodata::Tablet> members;
  for (const Member& member : members_) {
    if (member.status) members.push_back(member.tablet);
  }
  const auto outcomes = co_await follow_primary(
      client_, policy_, NewPrimary{tablet_, old_position_, "TabletExternallyReparented"}, members, kFollowMax);
  for (size_t i = 0; i < members.size(); ++i) {
    if (outcomes[i].ok()) continue;
    log_warning("TabletExternallyReparented {}: {} does not follow: {}", name(),
                topo::alias_to_string(members[i].alias()), outcomes[i].error().message());
  }
}

net::Task<Result<vd::TabletExternallyReparentedResponse>> Adopting::run() {
  CO_ASSIGN_OR_RETURN(shard_, co_await topo::get_shard(client_.topology(), lock_.keyspace(), lock_.shard()));
  vd::TabletExternallyReparentedResponse out;
  out.set_keyspace(lock_.keyspace());
  out.set_shard(lock_.shard());
  *out.mutable_new_primary() = tablet_.alias();
  const bool had_primary = shard_.record.has_primary_alias();
  if (had_primary) *out.mutable_old_primary() = shard_.record.primary_alias();
  AdoptionFacts facts{.named = topo::same_alias(shard_.record.primary_alias(), tablet_.alias())};
  if (judge_adoption(facts) == Adoption::kNothing) co_return out;
  CO_ASSIGN_OR_RETURN(policy_, co_await topo::get_durability(client_.topology(), lock_.keyspace()));
  CO_RETURN_IF_ERROR(co_await look());
  const auto& own = *find(tablet_.alias())->status;
  const auto& replication = own.replication_status();
  facts.follows =
      !replication.source_host().empty() && (replication.io_state() != kStopped || replication.sql_state() != kStopped);
  facts.read_only = own.read_only();
  const Member* old = had_primary ? find(shard_.record.primary_alias()) : nullptr;
  facts.old_answers = old != nullptr && old->status;
  facts.old_read_only = facts.old_answers && old->status->read_only();
  switch (judge_adoption(facts)) {
    case Adoption::kNothing: co_return out;
    case Adoption::kRefuse:
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("nothing was changed: the server of {} still follows {}:{}. PlannedReparentShard or "
                                 "EmergencyReparentShard makes it the primary; else the other tool has to end its "
                                 "replication first",
                                 name(), replication.source_host(), replication.source_port()));
    case Adoption::kStopOld: CO_RETURN_IF_ERROR(co_await stop(old->tablet)); break;
    case Adoption::kTake: break;
  }
  CO_RETURN_IF_ERROR(co_await take_over());
  co_await let_follow();
  co_return out;
}

}  // namespace

Adoption judge_adoption(const AdoptionFacts& facts) {
  if (facts.named) return Adoption::kNothing;
  // One that is writable and follows a server which takes no writes: a tool keeps the old one for the way back.
  const bool made = !facts.read_only && (!facts.old_answers || facts.old_read_only);
  if (facts.follows && !made) return Adoption::kRefuse;
  return facts.old_answers ? Adoption::kStopOld : Adoption::kTake;
}

Result<Holding> compare_logs(const ServerLog& server, const ServerLog& old) {
  if (server.position.file_position() != nullptr || old.position.file_position() != nullptr) {
    return fail(Code::kInvalidArgument, "what two servers have can be compared by GTIDs only");
  }
  ASSIGN_OR_RETURN(const bool more, server.position.at_least(old.position));
  ASSIGN_OR_RETURN(const bool less, old.position.at_least(server.position));
  const auto* mine = server.position.mariadb();
  const auto* its = old.position.mariadb();
  if (mine == nullptr || its == nullptr) return more ? Holding::kAll : less ? Holding::kLess : Holding::kDiverged;
  // The numbers alone do not tell whose transactions they are.
  if (more && has_all(server, *its)) return Holding::kAll;
  if (less && has_all(old, *mine)) return Holding::kLess;
  return Holding::kDiverged;
}

net::Task<Result<vd::TabletExternallyReparentedResponse>> adopt_external_primary(TabletClient& client,
                                                                                 const topo::ShardLock& lock,
                                                                                 ::topodata::Tablet tablet) {
  Adopting adopting(client, lock, std::move(tablet));
  co_return co_await adopting.run();
}

}  // namespace vitrail::control
