#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/tablet_client.h"
#include "topo/store.h"

// What a job of vtworker has taken out of service, and how it comes back whoever dies.
//
// It is written down before it is taken: workers/<id>/Claim of the global topology, beside a lock that ends with the
// worker's process. Whoever finds a claim whose lock is free gives everything back and removes it: the next job of any
// vtworker, and every vtctld every few seconds. Tablets carry the tags "worker" and "drain_reason" meanwhile, for
// people.
namespace vitrail::control {

inline constexpr std::string_view kWorkerTag = "worker";
inline constexpr std::string_view kDrainReasonTag = "drain_reason";

struct WorkerClaimRecord {
  struct TakenTablet {
    ::topodata::TabletAlias alias;
    ::topodata::TabletType type = ::topodata::RDONLY;  // What it is to be again.
  };
  struct HeldStreams {
    std::string keyspace;
    std::string shard;
    std::vector<int32_t> ids;
  };
  std::string url;
  std::string job;
  std::vector<TakenTablet> tablets;
  std::vector<HeldStreams> streams;

  bool empty() const { return tablets.empty() && streams.empty(); }
  std::string to_json() const;
  static Result<WorkerClaimRecord> from_json(std::string_view json);
};

// The claim of a running job.
//   Threads : one loop. give_back() must have returned before destruction; what it could not give back stays written
//             down, and the sweep goes on with it.
class WorkerClaim {
 public:
  // `client` must outlive it.
  static net::Task<Result<std::unique_ptr<WorkerClaim>>> open(TabletClient& client, std::string url, std::string job);

  // Only one worker at a time copies to a keyspace: what another one, of another moment, writes in between would stay.
  // Waits for one that was killed to be known as dead. kAlreadyExists, kDeadlineExceeded: one lives.
  net::Task<Status> own_keyspace(std::string keyspace, net::CancelToken cancel);
  // Notes it, then makes the tablet DRAINED, with the tags. kFailedPrecondition: it has another type by now.
  net::Task<Status> take(::topodata::Tablet tablet, net::Wait wait);
  // Notes that these streams of a shard will be stopped for a while.
  net::Task<Status> hold_streams(std::string keyspace, std::string shard, std::vector<int32_t> ids);
  // The streams run again; they are noted no more.
  net::Task<Status> release_streams();
  // Are the locks still ours? kOutOfRange: somebody else may have given back what was taken, or copies by now. To be
  // asked before each write.
  net::Task<Status> check();
  // Everything goes back to what it was. Also when the job was cancelled.
  net::Task<Status> give_back();

 private:
  WorkerClaim(TabletClient& client, std::string path, std::unique_ptr<topo::Lock> lock)
      : client_(client), path_(std::move(path)), lock_(std::move(lock)) {}
  net::Task<Status> write();

  TabletClient& client_;
  const std::string path_;
  std::unique_ptr<topo::Lock> lock_;
  std::unique_ptr<topo::Lock> keyspace_lock_;
  WorkerClaimRecord record_;
};

// Gives back what workers that are gone have left. Returns what was given back, for logs; what cannot be given back now
// (a tablet that does not answer) stays for the next time.
net::Task<Result<std::vector<std::string>>> sweep_worker_claims(TabletClient& client);

// Sweeps every kWorkerSweepInterval until it is cancelled: for vtctld.
inline constexpr std::chrono::seconds kWorkerSweepInterval{5};
net::Task<void> keep_sweeping(TabletClient& client, net::CancelToken cancel);

}  // namespace vitrail::control
