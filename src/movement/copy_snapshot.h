#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "net/scope.h"
#include "net/sync.h"
#include "query.pb.h"
#include "rpc/client.h"

namespace vitrail::movement {

// One moment of all tables of a source's server, kept open on its tablet while they are copied one after another
// (held_snapshots.h). Without it each chunk is of a moment of its own, and events are applied in between.
//   Threads: one loop. close() before it is destroyed.
class CopySnapshot {
 public:
  // `wake` is notified when the snapshot is lost; it must outlive this.
  CopySnapshot(int32_t stream, net::Signal& wake, const net::CancelToken& cancel);
  CopySnapshot(const CopySnapshot&) = delete;
  CopySnapshot& operator=(const CopySnapshot&) = delete;

  //   kResourceExhausted: the tablet holds as many as it may.
  net::Task<Status> open(std::shared_ptr<rpc::Channel> channel, ::query::Target target);
  // Lets it go. May be called again.
  net::Task<void> close();

  const std::string& name() const { return name_; }
  // Why there is none any more.
  const std::optional<Error>& error() const { return error_; }

 private:
  net::Task<void> keep(std::shared_ptr<rpc::Channel> channel, ::binlogdata::VStreamRowsRequest request);

  const std::string name_;
  net::Signal& wake_;
  net::Signal changed_;
  net::Scope scope_;
  bool open_ = false;
  std::optional<Error> error_;
};

}  // namespace vitrail::movement
