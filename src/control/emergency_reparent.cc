#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "control/shard_change.h"
#include "mysql/gtid.h"
#include "mysqld/rows.h"
#include "net/scope.h"
#include "tabletmanagerdata.pb.h"
#include "topo/locks.h"
#include "topo/shard.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using mysql::Position;
using namespace std::chrono_literals;

// One tablet that is asked, and what it has once it receives nothing any more.
struct Member {
  ::topodata::Tablet tablet;
  bool stopped = false;  // Its receiving was stopped by us.
  Position position;     // Received, and applied when ready.
  std::string position_text;
  uint32_t server_id = 0;
  bool ready = false;
  std::string problem;  // Why not.

  std::string name() const { return topo::alias_to_string(tablet.alias()); }
};

bool is_older(const ::vttime::Time& a, const ::vttime::Time& b) {
  return std::pair(a.seconds(), a.nanoseconds()) < std::pair(b.seconds(), b.nanoseconds());
}

// Positions of MariaDB are numbers, whichever server counted. Equal numbers of different servers are different
// transactions; and a replica that is ahead by transactions which it wrote itself has what nobody else has, instead of
// what the primary wrote under these numbers.
bool mariadb_diverged(const Member& ahead, const Member& behind) {
  const auto* left = ahead.position.mariadb();
  const auto* right = behind.position.mariadb();
  if (left == nullptr || right == nullptr || &ahead == &behind) return false;
  for (const auto& [domain, gtid] : right->domains()) {
    const auto other = left->domains().find(domain);
    if (other == left->domains().end()) continue;
    if (other->second.sequence == gtid.sequence && other->second != gtid) return true;
    if (other->second.sequence > gtid.sequence && other->second.server == ahead.server_id) return true;
  }
  return false;
}

// Finds out which tablet becomes the primary, and makes it have all that is to be kept.
class Election {
 public:
  Election(TabletClient& tablets, EmergencyReparentOptions options, std::optional<::workflowdata::Fence> fence,
           std::vector<std::string>& events)
      : tablets_(tablets), options_(std::move(options)), fence_(std::move(fence)), events_(events) {}

  // What the topology knows. Changes nothing, and refuses what cannot be done.
  net::Task<Status> read_shard();
  net::Task<Result<::topodata::Tablet>> elect();
  // Nobody was promoted: everything goes on as it was found.
  net::Task<void> give_up();
  // The same by a process that does not know how far the election has come.
  net::Task<void> give_up_unseen();
  // Whom an earlier run promoted and did not announce.
  bool was_promoted() const { return promoted_.has_value(); }
  // Who is to follow the new primary: also the old one, when it lives.
  std::vector<::topodata::Tablet> followers() const;

 private:
  net::Wait wait() const { return net::Wait::within(options_.wait_replicas_timeout); }
  template <typename Response, typename Request>
  net::Task<Result<Response>> call(::topodata::Tablet tablet, std::string_view method, Request request) {
    if (fence_) topo::set_fence(request, *fence_);
    return tablets_.call<Response>(std::move(tablet), method, std::move(request), wait());
  }
  bool ignored(const ::topodata::TabletAlias& alias) const {
    return std::ranges::any_of(options_.ignore_replicas, [&](const auto& a) { return topo::same_alias(a, alias); });
  }

  net::Task<void> demote_old_primary();
  net::Task<Result<size_t>> choose();
  net::Task<Status> ask_sourceless(Member& member);
  net::Task<void> stop_member(Member& member);
  net::Task<Status> stop_all();
  Status check_acknowledged() const;
  Status check_progress_of(const Member& candidate) const;
  Result<size_t> find_most_advanced() const;
  Result<size_t> find_candidate(size_t most_advanced) const;
  net::Task<Status> catch_up(const Member& candidate, const Member& source);

  TabletClient& tablets_;
  const EmergencyReparentOptions options_;
  const std::optional<::workflowdata::Fence> fence_;
  topo::ShardInfo shard_;
  topo::Durability policy_;
  std::vector<Member> members_;     // Without the old primary.
  std::optional<size_t> promoted_;  // Whom an earlier run promoted before it was interrupted.
  std::optional<::topodata::Tablet> old_primary_;
  bool demotion_tried_ = false;
  std::optional<Position> old_position_;  // Set when the old primary lives and was stopped.
  std::vector<std::string>& events_;
};

net::Task<Status> Election::read_shard() {
  CO_ASSIGN_OR_RETURN(shard_, co_await topo::get_shard(tablets_.topology(), options_.keyspace, options_.shard));
  const auto& primary = shard_.record.primary_alias();
  if (options_.expected_primary && !topo::same_alias(primary, *options_.expected_primary)) {
    co_return fail(Code::kFailedPrecondition, "primary " + topo::alias_to_string(primary) +
                                                  " is not equal to expected alias " +
                                                  topo::alias_to_string(*options_.expected_primary));
  }
  CO_ASSIGN_OR_RETURN(policy_, co_await topo::get_durability(tablets_.topology(), options_.keyspace));
  topo::TabletQuery query;
  query.keyspace = options_.keyspace;
  query.shard = shard_.name;
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(tablets_.topology(), std::move(query)));
  for (const auto& [cell, error] : list.failed) events_.push_back("cell " + cell + ": " + error.message());
  for (auto& tablet : list.tablets) {
    if (ignored(tablet.alias())) {
      events_.push_back("tablet " + topo::alias_to_string(tablet.alias()) + " is ignored");
    } else if (shard_.record.has_primary_alias() && topo::same_alias(tablet.alias(), primary)) {
      old_primary_ = std::move(tablet);
    } else if (tablet.type() == ::topodata::PRIMARY) {
      if (is_older(shard_.record.primary_term_start_time(), tablet.primary_term_start_time())) {
        promoted_ = members_.size();
        members_.push_back(Member{.tablet = std::move(tablet)});
      }
    } else if (topo::is_replica_type(tablet.type())) {
      members_.push_back(Member{.tablet = std::move(tablet)});
    }
  }
  if (members_.empty()) {
    co_return fail(Code::kFailedPrecondition, "shard " + options_.keyspace + "/" + options_.shard +
                                                  " has no replica that could become its primary");
  }
  co_return Status{};
}

// A primary that lives after all takes no writes from here on, and its replicas get all that it has.
net::Task<void> Election::demote_old_primary() {
  if (!old_primary_) co_return;
  demotion_tried_ = true;
  tmd::DemotePrimaryRequest demotion;
  if (fence_) topo::set_fence(demotion, *fence_);
  auto demoted = co_await tablets_.call<tmd::DemotePrimaryResponse>(
      *old_primary_, "DemotePrimary", std::move(demotion),
      net::Wait::within(std::min(options_.demotion_timeout, options_.wait_replicas_timeout)));
  if (!demoted.ok()) {
    events_.push_back("the old primary could not be stopped, as expected: " + demoted.error().message());
    co_return;
  }
  const std::string text = demoted->primary_status().position();
  auto position = Position::parse(text);
  if (!position.ok()) co_return;
  old_position_ = std::move(*position);
  events_.push_back("the old primary lives and was stopped at " + text);
  auto wait_one = [](Election& self, ::topodata::Tablet tablet, std::string until) -> net::Task<void> {
    tmd::WaitForPositionRequest request;
    request.set_position(until);
    (void)co_await self.call<tmd::WaitForPositionResponse>(std::move(tablet), "WaitForPosition", std::move(request));
  };
  if (options_.old_primary_silent) co_return;  // They do not receive any more.
  std::vector<net::Task<void>> waits;
  for (const auto& member : members_) waits.push_back(wait_one(*this, member.tablet, text));
  co_await net::when_all(std::move(waits));
}

// A tablet that has never followed anybody has what its server has. It is kept read-only.
net::Task<Status> Election::ask_sourceless(Member& member) {
  CO_ASSIGN_OR_RETURN(const auto demoted, co_await call<tmd::DemotePrimaryResponse>(member.tablet, "DemotePrimary",
                                                                                    tmd::DemotePrimaryRequest()));
  member.position_text = demoted.primary_status().position();
  CO_ASSIGN_OR_RETURN(member.position, Position::parse(member.position_text));
  CO_ASSIGN_OR_RETURN(const auto full,
                      co_await call<tmd::FullStatusResponse>(member.tablet, "FullStatus", tmd::FullStatusRequest()));
  member.server_id = full.status().server_id();
  member.ready = true;
  co_return Status{};
}

// Stops the receiving thread, and waits until what has arrived is applied.
net::Task<void> Election::stop_member(Member& member) {
  const auto status = co_await call<tmd::ReplicationStatusResponse>(member.tablet, "ReplicationStatus",
                                                                    tmd::ReplicationStatusRequest());
  if (status.ok() && status->status().source_host().empty()) {
    Status asked = co_await ask_sourceless(member);
    if (!asked.ok()) member.problem = asked.error().message();
    co_return;
  }
  tmd::StopReplicationAndGetStatusRequest request;
  request.set_stop_replication_mode(::replicationdata::IOTHREADONLY);
  auto stopped = co_await call<tmd::StopReplicationAndGetStatusResponse>(member.tablet, "StopReplicationAndGetStatus",
                                                                         std::move(request));
  if (!stopped.ok()) {
    member.problem = stopped.error().message();
    co_return;
  }
  member.stopped = true;
  const auto& after = stopped->status().after();
  member.position_text = after.relay_log_position().empty() ? after.position() : after.relay_log_position();
  auto position = Position::parse(member.position_text);
  if (!position.ok()) {
    member.problem = position.error().message();
    co_return;
  }
  member.position = std::move(*position);
  tmd::WaitForPositionRequest until;
  until.set_position(member.position_text);
  auto applied = co_await call<tmd::WaitForPositionResponse>(member.tablet, "WaitForPosition", std::move(until));
  if (!applied.ok()) {
    member.problem =
        "could not apply all relay logs within the provided wait_replicas_timeout: " + applied.error().message();
    co_return;
  }
  auto full = co_await call<tmd::FullStatusResponse>(member.tablet, "FullStatus", tmd::FullStatusRequest());
  if (!full.ok()) {
    member.problem = full.error().message();
    co_return;
  }
  member.server_id = full->status().server_id();
  member.ready = true;
}

net::Task<Status> Election::stop_all() {
  std::vector<net::Task<void>> stops;
  for (auto& member : members_) stops.push_back(stop_member(member));
  co_await net::when_all(std::move(stops));
  bool any = false;
  for (const auto& member : members_) {
    any = any || member.ready;
    if (member.ready) continue;
    events_.push_back(member.name() + ": " + member.problem);
    if (options_.wait_for_all_tablets) {
      co_return fail(Code::kFailedPrecondition, "not every tablet could be stopped: " + member.problem);
    }
    // What it has received may be more than what all others have; nobody can tell until it is applied.
    if (member.stopped) {
      co_return fail(Code::kFailedPrecondition, "tablet " + member.name() + ": " + member.problem +
                                                    "; give it more time with --wait-replicas-timeout, or leave it out "
                                                    "with --ignore-replicas");
    }
  }
  if (!any) {
    co_return fail(Code::kFailedPrecondition,
                   "no tablet of the shard could be stopped and asked: " + members_.front().problem);
  }
  co_return Status{};
}

// A write that a client knows of is on the old primary and on one tablet that acknowledged it. When the primary is
// gone, all tablets that may be that one must be looked at.
Status Election::check_acknowledged() const {
  if (!old_primary_ || old_position_) return {};
  std::string silent;
  for (const auto& member : members_) {
    if (member.ready || !policy_.acknowledges(*old_primary_, member.tablet)) continue;
    silent += (silent.empty() ? "" : ", ") + member.name();
  }
  if (silent.empty()) return {};
  return fail(Code::kFailedPrecondition,
              fmt::format("writes that clients know of may be nowhere but on {}, which cannot be asked (durability "
                          "policy {}): bring it back, or accept their loss with --ignore-replicas",
                          silent, policy_.name()));
}

Status Election::check_progress_of(const Member& candidate) const {
  std::vector<const ::topodata::Tablet*> answering;
  for (const auto& member : members_) {
    if (member.ready) answering.push_back(&member.tablet);
  }
  if (old_primary_ && old_position_) answering.push_back(&*old_primary_);
  return check_progress(policy_, candidate.tablet, answering);
}

// The member that has all that any other member has.
Result<size_t> Election::find_most_advanced() const {
  size_t best = members_.size();
  for (size_t i = 0; i < members_.size(); ++i) {
    if (!members_[i].ready) continue;
    if (best == members_.size()) {
      best = i;
      continue;
    }
    ASSIGN_OR_RETURN(const bool more, members_[i].position.at_least(members_[best].position));
    if (more) best = i;
  }
  const Member& winner = members_[best];
  const auto diverged = [&](const std::string& who, const std::string& has) {
    return fail(Code::kFailedPrecondition,
                fmt::format("split brain: {} has transactions that {} lacks ({} and {}); choose whose count and leave "
                            "the other out with --ignore-replicas",
                            who, winner.name(), has, winner.position_text));
  };
  for (const auto& member : members_) {
    if (!member.ready) continue;
    ASSIGN_OR_RETURN(const bool contains, winner.position.at_least(member.position));
    if (!contains) return diverged("tablet " + member.name(), member.position_text);
    if (mariadb_diverged(winner, member)) return diverged("tablet " + member.name(), member.position_text);
  }
  if (old_position_) {
    ASSIGN_OR_RETURN(const bool contains, winner.position.at_least(*old_position_));
    ASSIGN_OR_RETURN(const bool contained, old_position_->at_least(winner.position));
    if (!contains && !contained) return diverged("the old primary, which lives,", old_position_->prefixed_string());
  }
  return best;
}

Result<size_t> Election::find_candidate(size_t most_advanced) const {
  const std::string old_cell = shard_.record.has_primary_alias() ? shard_.record.primary_alias().cell() : "";
  const auto fits = [&](const Member& member) {
    return member.ready && member.tablet.type() == ::topodata::REPLICA &&
           (!options_.prevent_cross_cell || old_cell.empty() || member.tablet.alias().cell() == old_cell) &&
           check_progress_of(member).ok();
  };
  if (options_.new_primary) {
    for (size_t i = 0; i < members_.size(); ++i) {
      if (!topo::same_alias(members_[i].tablet.alias(), *options_.new_primary)) continue;
      if (fits(members_[i])) return i;
      if (Status progress = check_progress_of(members_[i]); members_[i].ready && !progress.ok()) {
        return std::move(progress).error();
      }
      return fail(Code::kFailedPrecondition,
                  fmt::format("primary-elect tablet {} cannot become the primary: {}", members_[i].name(),
                              !members_[i].ready ? members_[i].problem
                                                 : "it is not a replica, or is in another cell than the old primary"));
    }
    return fail(Code::kFailedPrecondition,
                "primary-elect tablet " + topo::alias_to_string(*options_.new_primary) + " is not in the shard");
  }
  // Of the old primary's cell rather than not, the most advanced rather than another.
  std::optional<size_t> chosen;
  const auto rank = [&](size_t i) {
    return std::pair(members_[i].tablet.alias().cell() == old_cell, i == most_advanced);
  };
  for (size_t i = 0; i < members_.size(); ++i) {
    if (fits(members_[i]) && (!chosen || rank(*chosen) < rank(i))) chosen = i;
  }
  if (chosen) return *chosen;
  return fail(Code::kFailedPrecondition,
              fmt::format("cannot find a tablet to reparent to: no replica that answers may become the primary "
                          "(durability policy {})",
                          policy_.name()));
}

net::Task<Status> Election::catch_up(const Member& candidate, const Member& source) {
  CO_ASSIGN_OR_RETURN(const bool has_all, candidate.position.at_least(source.position));
  if (has_all) co_return Status{};
  events_.push_back(candidate.name() + " gets what it lacks from " + source.name());
  tmd::SetReplicationSourceRequest follow;
  *follow.mutable_parent() = source.tablet.alias();
  follow.set_force_start_replication(true);
  follow.set_wait_position(source.position_text);
  auto done =
      co_await call<tmd::SetReplicationSourceResponse>(candidate.tablet, "SetReplicationSource", std::move(follow));
  if (!done.ok()) co_return std::move(done).error().with_context("the new primary does not catch up");
  co_return Status{};
}

net::Task<void> Election::give_up() {
  for (const auto& member : members_) {
    if (!member.stopped) continue;
    tmd::StartReplicationRequest start;
    start.set_semisync(old_primary_ && policy_.acknowledges(*old_primary_, member.tablet));
    // Without fence: it does no harm whenever it comes, and must not depend on the topology.
    (void)co_await tablets_.call<tmd::StartReplicationResponse>(member.tablet, "StartReplication", std::move(start),
                                                                wait());
  }
  // Also when its answer to the demotion did not come in time: it may have been demoted all the same.
  if (demotion_tried_) {
    Status undone = co_await undo_demotion(tablets_, policy_, *old_primary_, options_.demotion_timeout, fence_);
    if (!undone.ok()) log_warning("the old primary stays as it is: {}", undone.error().message());
  }
}

net::Task<Result<size_t>> Election::choose() {
  if (promoted_) {
    events_.push_back(members_[*promoted_].name() + " was promoted by an earlier run, which is finished now");
    co_return *promoted_;
  }
  Status stopped;
  if (options_.old_primary_silent) {
    auto stop = [](Election& self, Status& out) -> net::Task<void> { out = co_await self.stop_all(); };
    std::vector<net::Task<void>> both;
    both.push_back(demote_old_primary());
    both.push_back(stop(*this, stopped));
    co_await net::when_all(std::move(both));
  } else {
    co_await demote_old_primary();
    stopped = co_await stop_all();
  }
  CO_RETURN_IF_ERROR(std::move(stopped));
  CO_RETURN_IF_ERROR(check_acknowledged());
  CO_ASSIGN_OR_RETURN(const size_t most_advanced, find_most_advanced());
  CO_ASSIGN_OR_RETURN(const size_t chosen, find_candidate(most_advanced));
  Member source = members_[most_advanced];
  if (old_position_) {
    // It lives, and may have what no replica has received: because they did not replicate, or were not told to follow
    // it.
    CO_ASSIGN_OR_RETURN(const bool contains, source.position.at_least(*old_position_));
    if (!contains) {
      source = Member{
          .tablet = *old_primary_, .position = *old_position_, .position_text = old_position_->prefixed_string()};
    }
  }
  CO_RETURN_IF_ERROR(co_await catch_up(members_[chosen], source));
  co_return chosen;
}

net::Task<Result<::topodata::Tablet>> Election::elect() {
  CO_ASSIGN_OR_RETURN(const size_t chosen, co_await choose());
  co_return members_[chosen].tablet;
}

net::Task<void> Election::give_up_unseen() {
  // Replication that runs already is none the worse for being started.
  for (auto& member : members_) member.stopped = true;
  demotion_tried_ = old_primary_.has_value();
  co_await give_up();
}

std::vector<::topodata::Tablet> Election::followers() const {
  std::vector<::topodata::Tablet> out;
  for (const auto& member : members_) out.push_back(member.tablet);
  if (old_primary_ && old_position_) out.push_back(*old_primary_);
  return out;
}

std::string joined(const std::vector<::topodata::TabletAlias>& aliases) {
  std::string out;
  for (const auto& alias : aliases) out += (out.empty() ? "" : ",") + topo::alias_to_string(alias);
  return out;
}

std::map<std::string, std::string> to_settings(const EmergencyReparentOptions& options) {
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(options.wait_replicas_timeout);
  const auto demotion = std::chrono::duration_cast<std::chrono::milliseconds>(options.demotion_timeout);
  return {{"new_primary", options.new_primary ? topo::alias_to_string(*options.new_primary) : ""},
          {"ignore_replicas", joined(options.ignore_replicas)},
          {"timeout_ms", std::to_string(timeout.count())},
          {"demotion_timeout_ms", std::to_string(demotion.count())},
          {"old_primary_silent", options.old_primary_silent ? "true" : "false"},
          {"prevent_cross_cell", options.prevent_cross_cell ? "true" : "false"},
          {"wait_for_all_tablets", options.wait_for_all_tablets ? "true" : "false"}};
}

class EmergencyChange final : public ShardChange {
 public:
  EmergencyChange(TabletClient& tablets, engine::Tenure& tenure, topo::ShardLock lock)
      : ShardChange(tablets, tenure, std::move(lock)) {}

  net::Task<Status> load() {
    CO_ASSIGN_OR_RETURN(policy_, co_await topo::get_durability(tablets_.topology(), keyspace()));
    EmergencyReparentOptions options;
    options.keyspace = keyspace();
    options.shard = shard();
    if (!setting("new_primary").empty()) {
      CO_ASSIGN_OR_RETURN(options.new_primary, topo::parse_alias(setting("new_primary")));
    }
    for (const auto& text : base::split_list(setting("ignore_replicas"))) {
      CO_ASSIGN_OR_RETURN(auto alias, topo::parse_alias(text));
      options.ignore_replicas.push_back(std::move(alias));
    }
    options.wait_replicas_timeout = timeout();
    if (const auto ms = mysqld::to_int(setting("demotion_timeout_ms")); ms && *ms > 0) {
      options.demotion_timeout = std::chrono::milliseconds(*ms);
    }
    options.old_primary_silent = setting("old_primary_silent") == "true";
    options.prevent_cross_cell = setting("prevent_cross_cell") == "true";
    options.wait_for_all_tablets = setting("wait_for_all_tablets") == "true";
    election_.emplace(tablets_, std::move(options), tenure_.fence(), events_);
    co_return co_await election_->read_shard();
  }

  // The old primary may be dead: to take back what was begun would leave nobody.
  bool resumes() const override { return true; }

  std::vector<engine::Step> steps() override {
    std::vector<engine::Step> steps;
    steps.push_back(
        {.id = "elect", .apply = [this] { return elect(); }, .undo = [this] { return undo(); }, .undo_first = true});
    add_promotion(steps, false);
    return steps;
  }

 private:
  const char* action() const override { return "EmergencyReparentShard"; }
  std::string candidate_alias() const override { return noted("elect", "candidate"); }

  net::Task<Status> elect() {
    tried_ = true;
    CO_ASSIGN_OR_RETURN(const auto chosen, co_await election_->elect());
    note("elect", "candidate", topo::alias_to_string(chosen.alias()));
    co_return co_await lock_.check_held();
  }

  net::Task<Status> undo() {
    if (election_->was_promoted()) co_return Status{};
    if (tried_) {
      co_await election_->give_up();
    } else {
      co_await election_->give_up_unseen();
    }
    co_return Status{};
  }

  net::Task<Status> follow(const NewPrimary& primary) override {
    const auto outcomes =
        co_await control::follow_primary(tablets_, policy_, primary, election_->followers(), timeout());
    // Who is dead cannot follow; it will when it comes back.
    for (const auto& outcome : outcomes) {
      if (!outcome.ok()) events_.push_back("does not follow yet: " + outcome.error().message());
    }
    co_return Status{};
  }

  std::optional<Election> election_;
  bool tried_ = false;
};

// Makes the record, or takes the one that an owner left who is not heard of any more: whatever it was about, the
// emergency comes first. kDeadlineExceeded: its owner works on it.
net::Task<Result<std::unique_ptr<engine::Tenure>>> begin(topo::Server& topology, EmergencyReparentOptions options) {
  const net::Wait patience = net::Wait::within(topology.options().lock_timeout);
  const std::string name = topo::shard_change_name(options.shard);
  std::optional<topo::Version> seen;
  base::TimePoint seen_at;
  for (;;) {
    auto record = make_shard_record(options.keyspace, options.shard, kEmergencyReparent, to_settings(options));
    record.mutable_open()->set_started_ms(engine::to_ms(topology.clock().wall_now()));
    auto made = co_await engine::Tenure::create(topology, record, engine::this_process());
    if (made.ok() || made.error().code() != Code::kAlreadyExists) co_return made;
    auto stored = co_await engine::load_record(topology, options.keyspace, name);
    if (!stored.ok() && stored.error().code() == Code::kNotFound) continue;
    if (!stored.ok()) co_return std::move(stored).error();
    const auto now = base::system_clock().now();
    if (seen != stored->version) {
      seen = stored->version;
      seen_at = now;
    }
    if (stored->record.open().owner().empty() || now - seen_at >= engine::kSilence) {
      *stored->record.mutable_open() = std::move(*record.mutable_open());
      auto taken = co_await engine::Tenure::take_over(topology, std::move(*stored), engine::this_process());
      if (taken.ok() || taken.error().code() != Code::kAborted) co_return taken;
    } else if (now >= patience.deadline) {
      co_return fail(Code::kDeadlineExceeded,
                     engine::name_of(stored->record) + ": " + engine::describe_open(stored->record));
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(100ms));
  }
}

}  // namespace

net::Task<Result<std::unique_ptr<ShardChange>>> make_emergency(TabletClient& tablets, engine::Tenure& tenure,
                                                               topo::ShardLock lock) {
  auto change = std::make_unique<EmergencyChange>(tablets, tenure, std::move(lock));
  if (Status loaded = co_await change->load(); !loaded.ok()) {
    co_await change->end();
    co_return std::move(loaded).error();
  }
  co_return std::unique_ptr<ShardChange>(std::move(change));
}

net::Task<Result<ReparentResult>> emergency_reparent_shard(TabletClient& tablets, EmergencyReparentOptions options) {
  topo::Server& topology = tablets.topology();
  CO_ASSIGN_OR_RETURN(
      auto lock, co_await topo::ShardLock::acquire(topology, options.keyspace, options.shard, "EmergencyReparentShard",
                                                   {.lease = kShardLockLease}));
  // Refused before anything is recorded.
  std::vector<std::string> events;
  Election look(tablets, options, std::nullopt, events);
  Status possible = co_await look.read_shard();
  auto tenure = possible.ok() ? co_await begin(topology, std::move(options))
                              : Result<std::unique_ptr<engine::Tenure>>(std::move(possible).error());
  if (!tenure.ok()) {
    (void)co_await lock.release();
    co_return std::move(tenure).error();
  }
  auto change = co_await make_emergency(tablets, **tenure, std::move(lock));
  if (!change.ok()) {
    (void)co_await (*tenure)->remove();
    co_await (*tenure)->end();
    co_return std::move(change).error();
  }
  co_return co_await carry_out_change(std::move(*tenure), std::move(*change));
}

}  // namespace vitrail::control
