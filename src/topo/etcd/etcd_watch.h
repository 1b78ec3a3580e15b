#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "topo/etcd/session.h"
#include "topo/store.h"

// Internal to topo/etcd.
namespace vitrail::topo::etcd {

// A watch on one key or on everything below a directory, as one stream of etcd.
//
// A stream that breaks is opened again, at another server if there is one, where the last one ended: nothing is read
// twice and nothing is missed. When that has not worked for kResumeFor, or etcd has forgotten the changes in between
// (compaction), the watch is dead.
class EtcdWatch final : public Watch {
 public:
  struct Target {
    std::string key;  // Full key, or full prefix.
    bool recursive = false;
    bool locks = false;  // Lock entries too.
  };
  static constexpr std::chrono::seconds kResumeFor{10};

  // `initial`: what next() begins with, if anything; `revision`: the state it shows.
  EtcdWatch(std::shared_ptr<Session> session, Target target, int64_t revision,
            std::optional<std::vector<Change>> initial);

  // Opens the stream, and returns when the server watches: before a change that comes after this, as etcd tells of
  // older ones late.
  net::Task<Status> start(net::Wait wait);

  net::Task<Result<std::vector<Change>>> next(net::Wait wait) override;

 private:
  using Changes = std::map<std::string, Change>;
  net::Task<Result<std::vector<Change>>> read(net::Wait wait);
  net::Task<Status> reopen(net::Wait wait);
  Status take(const std::string& bytes);
  void lose_stream(const Error& why);
  Error die(std::string why);

  const std::shared_ptr<Session> session_;
  const Target target_;
  int64_t next_revision_;
  std::optional<std::vector<Change>> initial_;
  Changes pending_;
  std::optional<Client::WatchStream> stream_;
  base::TimePoint opened_at_{};
  bool confirmed_ = false;  // A message came on the stream.
  std::optional<Error> dead_;
  base::Duration backoff_{};
  base::TimePoint retry_at_{};  // When the next stream may be opened; set while lost_since_ is.
  std::optional<base::TimePoint> lost_since_;
  Interruptible interruptible_;
};

}  // namespace vitrail::topo::etcd
