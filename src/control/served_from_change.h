#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/served_from.h"
#include "control/workflow/engine/runner.h"
#include "topo/locks.h"

// MigrateServedFrom as an operation that outlives whoever began it.
//
// Writes: before the stream has ended it is taken back, which lets the source serve again first of all; behind that it
// is finished. Reads are gone on with.
namespace vitrail::control {

inline constexpr char kMigrateServedFrom[] = "migrate_served_from";
// How long a dead owner's locks keep the next one out.
inline constexpr std::chrono::milliseconds kServedFromLease{4'000};

class ServedFromChange final : public engine::Operation {
 public:
  // Both must outlive it. Of what is to be done everything is in the record.
  ServedFromChange(TabletClient& tablets, engine::Tenure& tenure, topo::KeyspaceLock source_lock,
                   topo::KeyspaceLock lock);

  std::vector<engine::Step> steps() override;
  bool resumes() const override { return options_.type != ::topodata::PRIMARY; }
  net::Task<void> end() override;
  bool close(engine::Record&, bool) override { return true; }  // Nothing is left to be recorded.

  // What should be read: tablets that could not be told.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  net::Wait wait() const { return net::Wait::within(options_.timeout); }
  net::Task<Result<::topodata::Tablet>> target() { return tablets_.primary_of(options_.keyspace, options_.shard); }
  net::Task<Result<::topodata::Tablet>> source() { return tablets_.primary_of(source_.keyspace(), source_.shard()); }
  net::Task<Status> redirect();
  net::Task<Status> deny(bool denied);
  net::Task<Status> allow_writes();
  net::Task<Status> deny_writes();
  net::Task<Status> catch_up();
  net::Task<Status> end_stream();
  net::Task<Status> clear_source();
  net::Task<Status> refresh_target();
  net::Task<Status> refresh_source();
  net::Task<Status> forget_workflow();

  TabletClient& tablets_;
  engine::Tenure& tenure_;
  topo::KeyspaceLock source_lock_;
  topo::KeyspaceLock lock_;
  ServedFromMigration options_;
  ::topodata::Shard::SourceShard source_;
  std::vector<std::string> tables_;
  std::vector<std::string> notes_;
};

// The record of a migration that begins. `source`: of the destination shard.
engine::Record make_served_from_record(const ServedFromMigration& migration,
                                       const ::topodata::Shard::SourceShard& source, int64_t now_ms);
// Takes the locks of both keyspaces.
net::Task<Result<std::unique_ptr<engine::Operation>>> make_served_from_change(TabletClient& tablets,
                                                                              engine::Tenure& tenure);

// How many streams of the migration, or rows of theirs, `what` meets on the destination's primary.
net::Task<Result<int64_t>> count_streams(TabletClient& tablets, ::topodata::Tablet target, std::string what,
                                         uint32_t uid, net::Wait wait);
// A stream that still copies may have reached a position whose rows it has not read yet.
net::Task<Status> check_copied(TabletClient& tablets, ::topodata::Tablet target, uint32_t uid, net::Wait wait);

}  // namespace vitrail::control
