#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "net/scope.h"
#include "net/socket.h"
#include "net/sync.h"

namespace vitrail::net {

class Carrier;
struct MysqlClientSettings;

// The connections on which one loop has its streams to one tablet: as many as it takes that all loops of the tablet
// have a share when all of ours do the same.
//
//   Threads: one loop. Outlives the calls of open(), not the streams.
class Carriers {
 public:
  // `scope`: in which the connections are served; its end ends them. `loops`: of this process, each with its own.
  Carriers(Scope& scope, size_t loops) : scope_(scope), loops_(loops) {}

  struct Opened {
    Socket socket;
    std::shared_ptr<Carrier> carrier;
    uint64_t reads = 0;  // Of the carrier, before.
  };
  // A new stream to where `settings` lead, on which the login is still to come. nullopt: who listens there does not
  // know of streams, and has to have a connection of its own.
  //   Errors as of a connection and its login.
  Task<Result<std::optional<Opened>>> open(const MysqlClientSettings& settings, Wait wait);
  // The login on a new stream got no answer. Where nothing else was heard either, others do not wait for it there.
  static void distrust(const Opened& opened);
  // Ends connections that have carried nothing since the last call, or carry nothing and are not trusted.
  void trim();
  // Ends all.
  void close();
  size_t size() const { return carriers_.size(); }

 private:
  bool enough() const;
  Carrier* least_used();
  Task<Status> connect(const MysqlClientSettings& settings, Wait wait);

  Scope& scope_;
  const size_t loops_;
  size_t wanted_ = 1;
  std::vector<std::shared_ptr<Carrier>> carriers_;
  std::vector<const Carrier*> idle_;  // Those that carried nothing at the last trim().
  base::TimePoint ask_again_{};       // Until then the peer does not know of streams.
  Mutex connecting_;
};

}  // namespace vitrail::net
