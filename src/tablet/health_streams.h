#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "net/sync.h"
#include "query.pb.h"
#include "rpc/typed.h"

namespace vitrail::tablet {

// Who listens to this tablet's health, and what they were told last.
//   Threads: one loop. Bound: a slow listener keeps only the newest response, not a queue.
class HealthStreams {
 public:
  // What every listener gets next; also repeated every `interval` by serve().
  void publish(::query::StreamHealthResponse response);
  // Tables that have changed: told to every listener that is there, once. Of very many at once some are left out, but
  // never all.
  void tell_tables(std::vector<std::string> tables);
  // One listener, until it goes away.
  net::Task<Status> serve(rpc::CallContext context, rpc::TypedWriter<::query::StreamHealthResponse> writer,
                          base::Duration interval);
  const ::query::StreamHealthResponse& newest() const { return newest_; }

 private:
  ::query::StreamHealthResponse newest_;
  uint64_t version_ = 0;
  net::Signal changed_;
  std::deque<std::pair<uint64_t, std::vector<std::string>>>
      tables_;  // With the version that is the first to tell them.
};

}  // namespace vitrail::tablet
