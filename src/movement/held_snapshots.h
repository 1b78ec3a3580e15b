#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "movement/server_session.h"
#include "net/sync.h"

namespace vitrail::movement {

// Snapshots of the tablet's server that stay open for several reads: every one sees the same moment, while the server
// goes on to replicate. Each is a few connections whose transactions have one position.
//
//   Bounds  : kMax snapshots at a time, of kSessionsMax connections. A snapshot keeps the server from throwing away old
//             row versions, so it lives only as long as its Hold.
//   Threads : one loop.
class HeldSnapshots {
  struct Set;

 public:
  static constexpr size_t kMax = 4;
  static constexpr size_t kSessionsMax = 16;

  // Keeps a snapshot open. Its end closes it; reads under way go on to their end.
  class Hold {
   public:
    Hold(HeldSnapshots& owner, std::shared_ptr<Set> set) : owner_(owner), set_(std::move(set)) {}
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    // "MariaDB/0-1-7"
    const std::string& position() const;
    bool lost() const;

   private:
    HeldSnapshots& owner_;
    std::shared_ptr<Set> set_;
  };

  // One connection of a snapshot. Without give_back() it is closed, and the snapshot has one less.
  class Lease {
   public:
    Lease(std::shared_ptr<Set> set, std::unique_ptr<ServerSession> session);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    const std::string& position() const;
    std::unique_ptr<ServerSession> take() { return std::move(session_); }
    // The connection is idle and its transaction goes on.
    void give_back(std::unique_ptr<ServerSession> session) { session_ = std::move(session); }

   private:
    std::shared_ptr<Set> set_;
    std::unique_ptr<ServerSession> session_;
  };

  // `sessions`: how many connections are wanted; there may be less, where the server writes all the time.
  //   kAlreadyExists, kResourceExhausted: of that name, and kMax.
  net::Task<Result<std::unique_ptr<Hold>>> hold(std::string name, size_t sessions, ServerLogin login,
                                                std::string database, net::Wait wait);
  // Waits for a connection. kNotFound: there is no such snapshot, or not any more.
  net::Task<Result<std::unique_ptr<Lease>>> borrow(std::string name, net::Wait wait);

 private:
  std::map<std::string, std::shared_ptr<Set>> sets_;
};

}  // namespace vitrail::movement
