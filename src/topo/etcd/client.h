#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "etcd_rpc.pb.h"
#include "net/cancel.h"
#include "net/task.h"
#include "rpc/client.h"
#include "topo/etcd/settings.h"

// Internal to topo/etcd: calls of etcd's v3 API, on whichever of several servers answers.
namespace vitrail::topo::etcd {

// The servers of one etcd cluster. Uses one of them until it fails, then the next.
//
//   Threads : any.
//   Time    : every wait has a deadline, or gets kDefaultOperationWait.
//   Errors  : kUnavailable, kDeadlineExceeded: no server could do it. A request that changes something is sent to
//             another server only when the first cannot have seen it; else Effect is kUnknown. What etcd itself refuses
//             keeps its code (NOT_FOUND of a lease, OUT_OF_RANGE of a compacted revision ...).
class Client {
 public:
  // `addresses`: "host:port[,host:port...]". Connects at first use.
  static Result<std::shared_ptr<Client>> create(const std::string& addresses, const EtcdSettings& settings);

  net::Task<Result<etcdserverpb::RangeResponse>> range(etcdserverpb::RangeRequest request, net::Wait wait);
  net::Task<Result<etcdserverpb::TxnResponse>> txn(etcdserverpb::TxnRequest request, net::Wait wait);
  // The new lease's id.
  net::Task<Result<int64_t>> grant_lease(std::chrono::milliseconds ttl, net::Wait wait);
  // OK also when there is no such lease (any more).
  net::Task<Status> revoke_lease(int64_t id, net::Wait wait);
  // Prolongs a lease. False: there is no such lease.
  net::Task<Result<bool>> keep_alive(int64_t id, net::Wait wait);

  // A stream of WatchResponses, and which server it comes from, for report_failure().
  struct WatchStream {
    rpc::ServerStream stream;
    size_t server = 0;
  };
  net::Task<Result<WatchStream>> open_watch(etcdserverpb::WatchCreateRequest request, net::Wait wait);
  // Prefer another server than this one from now on.
  void report_failure(size_t server);

  // "127.0.0.1:2379,127.0.0.1:2380"
  const std::string& addresses() const { return addresses_; }

 private:
  enum class Kind : uint8_t { kRead, kWrite };  // kRead: may be repeated without harm.

  Client(std::string addresses, const EtcdSettings& settings) : addresses_(std::move(addresses)), settings_(settings) {}

  // One attempt at one server.
  using Attempt = net::Task<Result<std::string>> (*)(rpc::Channel& channel, std::string method, std::string request,
                                                     net::Wait wait, rpc::CallOptions options);
  net::Task<Result<std::string>> call(Attempt attempt, std::string method, std::string request, Kind kind,
                                      net::Wait wait);
  template <typename Response>
  net::Task<Result<Response>> call(Attempt attempt, std::string method, std::string request, Kind kind, net::Wait wait);
  net::Task<Result<rpc::CallOptions>> options_for(rpc::Channel& channel, net::Wait wait);
  void forget_token();

  const std::string addresses_;
  const EtcdSettings settings_;
  std::string password_;
  std::vector<std::shared_ptr<rpc::Channel>> servers_;
  std::atomic<size_t> current_ = 0;
  std::mutex mutex_;
  std::string token_;  // Of the login, while it is valid. Guarded by mutex_.
};

// Where the keys that begin with `prefix` end; "" begins everything.
std::string prefix_end(std::string prefix);
// Fills in key and range_end for everything that begins with `prefix`.
template <typename Request>
void set_prefix(Request& request, const std::string& prefix) {
  request.set_key(prefix.empty() ? std::string(1, '\0') : prefix);
  request.set_range_end(prefix_end(prefix));
}

}  // namespace vitrail::topo::etcd
