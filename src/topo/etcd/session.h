#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "net/loop.h"
#include "topo/etcd/client.h"
#include "topo/etcd/lease_keeper.h"

// Internal to topo/etcd: what a store shares with its watches and locks, so that either may go first.
namespace vitrail::topo::etcd {

// Lets close() end a wait that runs on another loop. Everything but the making is done on `loop`.
struct Interrupt {
  net::Loop* const loop = net::Loop::current();
  bool closed = false;
  net::CancelSource* waiting = nullptr;  // Of the wait that runs now.
};

struct Session {
  std::shared_ptr<Client> client;
  std::string prefix;  // Before every path: "/vitess/global/".
  EtcdSettings settings;

  std::mutex mutex;  // Guards the rest.
  bool closed = false;
  std::set<std::shared_ptr<Interrupt>> interrupts;
  std::unique_ptr<LeaseKeeper> keeper;  // Made with the first lease.

  Error closed_error() const;
  Status check_open();
  // Null when the session is closed.
  std::shared_ptr<Lease> keep_lease(int64_t id, std::chrono::milliseconds ttl);
  void drop_lease(const std::shared_ptr<Lease>& lease);
};

// While it lives, close() of the session interrupts waits that use it.
class Interruptible {
 public:
  explicit Interruptible(std::shared_ptr<Session> session);
  ~Interruptible();
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

  bool closed() const { return interrupt_->closed; }
  // The same wait, also ended by close() while this object lives.
  class Wait {
   public:
    Wait(Interruptible& owner, const net::Wait& outer);
    ~Wait();
    net::Wait get() const { return {.deadline = deadline_, .cancel = source_.token()}; }

   private:
    Interrupt& interrupt_;
    const base::TimePoint deadline_;
    net::CancelSource source_;
  };

 private:
  const std::shared_ptr<Session> session_;
  const std::shared_ptr<Interrupt> interrupt_;
};

// <dir>/locks/<id>
inline constexpr std::string_view kLocksDir = "locks";
bool is_lock_entry(std::string_view path);

}  // namespace vitrail::topo::etcd
