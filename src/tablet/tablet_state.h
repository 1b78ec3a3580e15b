#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "mysqld/flavor.h"
#include "tablet/serving_state.h"
#include "topodata.pb.h"

// What a tablet is and what has to be done about it, as functions over values. TabletManager looks (at the records, at
// the server), asks here, and does what it is told.
namespace vitrail::tablet {

// What the tablet is to be.
enum class RoleKind : uint8_t {
  kReplica,
  kPrimary,
  // It was the primary, and is so no longer: nothing is written here until it is promoted, or the demotion is undone.
  // Written down, in the tablet's record (it names no primary's term) and in `_vt` (demotion_record.h), before anybody
  // is told.
  kDemoted,
  // The shard names this tablet, which has just started; but somebody holds the shard's lock and may be about to name
  // another. Nothing is written here before that is over.
  kWaiting,
};
std::string_view role_name(RoleKind kind);

// What keeps a tablet from serving for a while, on purpose: its server is stopped, or its data is replaced.
enum class Maintenance : uint8_t { kNone, kBackup, kRestore };

struct Role {
  RoleKind kind = RoleKind::kReplica;
  int64_t term_start_ns = 0;    // The primary's term that this is about; 0 for a replica.
  bool restarted = false;       // kDemoted: by an earlier process of this tablet.
  bool kept_read_only = false;  // By an operator's command, though this is the primary.
  bool kept_writable = false;   // By an operator's command, though this is a replica.
  bool demotion_noted = false;  // `_vt` says that this term has ended.
  bool waits_for_acks = false;  // Semi-synchronous replication, as it was put in force last.
  bool acknowledges = false;
  Maintenance maintenance = Maintenance::kNone;  // Then nothing is repaired.
  std::string stuck;                             // Why a replica that its source refuses could not be helped so far.
};

// ---- The start

// What a starting tablet finds written down.
struct StartFacts {
  enum class Names : uint8_t { kNobody, kThis, kOther };
  Names shard_names = Names::kNobody;  // Whom the shard's record names as the primary.
  int64_t shard_term_ns = 0;
  bool shard_locked = false;  // By somebody else.
  bool has_record = false;    // The tablet's own.
  bool record_is_primary = false;
  int64_t record_term_ns = 0;
  std::optional<int64_t> demoted_term_ns;  // In `_vt`: the last term that was ended by a demotion.
};
struct StartDecision {
  RoleKind kind = RoleKind::kReplica;
  int64_t term_start_ns = 0;
  bool claims_shard = false;  // kPrimary: the shard's record does not name it yet.
  std::string_view why;

  bool operator==(const StartDecision&) const = default;
};
StartDecision decide_start(const StartFacts& facts);

// A term that begins now: later than all that were before it, whatever the clocks of the tablets say.
int64_t next_term(int64_t now_ns, int64_t shard_term_ns, std::optional<int64_t> demoted_term_ns);

// ---- While it runs

// How far a replica is behind: as its server said when replication worked last, and growing from then on.
class Lag {
 public:
  bool known() const { return at_.has_value(); }
  int64_t seconds(base::TimePoint now) const;
  void learn(const mysqld::ReplicationStatus& status, base::TimePoint now);
  // It has just been shown to have what its source had.
  void caught_up(base::TimePoint now);

 private:
  std::optional<base::TimePoint> at_;
  int64_t seconds_ = 0;
};

// Why its source does not serve a replica, and never will.
enum class Refusal : uint8_t {
  kNone,
  kDiverged,  // The replica has transactions that its source lacks.
  kTooOld,    // The source has no binary logs any more that reach back to where the replica is.
};
Refusal refusal_of(const mysqld::ReplicationStatus& status);

// What the records say.
struct Desired {
  ::topodata::Tablet record;        // The tablet's own.
  ::topodata::Shard shard;          // Of the tablet's shard.
  ::topodata::SrvKeyspace serving;  // Of the tablet's cell.
};

// What the server says.
struct Observed {
  std::string error = "the MySQL server has not been looked at yet";  // Else empty.
  bool read_only = true;
  mysqld::ReplicationStatus replication;
  mysqld::SemiSyncStatus semi_sync;
  Lag lag;
  base::TimePoint now;
};

enum class Action : uint8_t {
  kMakeReadOnly,
  kMakeWritable,   // Only with a shard record that was read just now.
  kSetSemiSync,    // As the role says; a receiving replica connects again.
  kClearDemotion,  // Take back what `_vt` says of a demotion that was undone.
  kFollowPrimary,  // The shard has a newer primary: this one steps back.
};
std::string_view action_name(Action action);

struct Decision {
  ServingState state;
  ::topodata::TabletType type = ::topodata::UNKNOWN;  // As it is shown.
  std::string health_error;                           // For routers, which leave out a tablet that tells one.
  std::string trouble;                                // For people: also what is wrong while the tablet serves.
  int64_t lag_seconds = 0;
  bool streams = false;  // Its streams run.
  std::vector<Action> actions;
};

// `unhealthy`: a replica that is further behind does not serve.
Decision decide(const Desired& desired, const Observed& observed, const Role& role, base::Duration unhealthy);

// The shard's record names another primary, of a later term than `role` is about.
bool is_replaced(const Desired& desired, const Role& role);

// Nanoseconds since the epoch, from and to a record's time.
int64_t to_nanoseconds(const ::vttime::Time& time);
::vttime::Time from_nanoseconds(int64_t ns);

}  // namespace vitrail::tablet
