#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/reparent.h"
#include "control/workflow/engine/repairer.h"
#include "control/workflow/engine/runner.h"
#include "topo/workflow_fence.h"

// PlannedReparentShard and EmergencyReparentShard as operations that outlive whoever began them.
//
// The shard's lock keeps other commands away while the owner lives. What happens when it does not is in the record: a
// planned change whose new primary was not promoted yet is taken back, so that the old one takes writes again; behind
// that it is finished. An emergency is always gone on with, since the old primary may be dead.
namespace vitrail::control {

// How long a dead owner's lock keeps the next one out.
inline constexpr std::chrono::milliseconds kShardLockLease{4'000};

// An operation on one shard that holds the shard's lock.
class ShardChange : public engine::Operation {
 public:
  // Both must outlive it.
  ShardChange(TabletClient& tablets, engine::Tenure& tenure, topo::ShardLock lock)
      : tablets_(tablets), tenure_(tenure), lock_(std::move(lock)) {}

  bool close(engine::Record&, bool) override { return true; }  // Nothing is left to be recorded.
  net::Task<void> end() override;

  // What happened and what did not, for people.
  std::vector<std::string>& events() { return events_; }
  const ::topodata::Tablet& candidate() const { return candidate_; }

 protected:
  const std::string& keyspace() const { return lock_.keyspace(); }
  const std::string& shard() const { return lock_.shard(); }
  base::Duration timeout() const;
  net::Wait wait() const { return net::Wait::within(timeout()); }
  std::string setting(const char* name) const;
  std::string noted(const char* step, const std::string& name) const;
  // Written with the step's end.
  void note(const char* step, const std::string& name, std::string value);
  // Carries the fence of the tenure: the tablet refuses what comes too late.
  template <typename Response, typename Request>
  net::Task<Result<Response>> call(::topodata::Tablet tablet, std::string_view method, Request request) {
    topo::set_fence(request, tenure_.fence());
    return tablets_.call<Response>(std::move(tablet), method, std::move(request), wait());
  }
  // The steps that both end with; the second is the point of no return. `initialise`: the shard had no primary.
  void add_promotion(std::vector<engine::Step>& steps, bool initialise);
  net::Task<Status> load_candidate();
  virtual net::Task<Status> follow(const NewPrimary& primary) = 0;
  virtual const char* action() const = 0;
  virtual std::string candidate_alias() const = 0;

  TabletClient& tablets_;
  engine::Tenure& tenure_;
  topo::ShardLock lock_;
  topo::Durability policy_;
  ::topodata::Tablet candidate_;
  std::vector<std::string> events_;

 private:
  net::Task<Status> promote(bool initialise);
  net::Task<Status> announce();
  net::Task<Status> follow_promoted();
};

engine::Record make_shard_record(const std::string& keyspace, const std::string& shard, std::string kind,
                                 std::map<std::string, std::string> settings);

// For the repairer: the change that is open in the tenure's record.
net::Task<Result<std::unique_ptr<engine::Operation>>> make_shard_change(TabletClient& tablets, engine::Tenure& tenure);
// Of the two kinds.
inline constexpr char kPlannedReparent[] = "planned_reparent";
inline constexpr char kEmergencyReparent[] = "emergency_reparent";
net::Task<Result<std::unique_ptr<ShardChange>>> make_planned(TabletClient& tablets, engine::Tenure& tenure,
                                                             topo::ShardLock lock);
net::Task<Result<std::unique_ptr<ShardChange>>> make_emergency(TabletClient& tablets, engine::Tenure& tenure,
                                                               topo::ShardLock lock);

// Carries a change out and gives its lock back.
net::Task<Result<ReparentResult>> carry_out_change(std::unique_ptr<engine::Tenure> tenure,
                                                   std::unique_ptr<ShardChange> change);

}  // namespace vitrail::control
