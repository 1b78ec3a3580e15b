#pragma once

#include <string>
#include <utility>
#include <vector>

#include "control/tablet_client.h"
#include "logutil.pb.h"
#include "topo/locks.h"
#include "topo/shard.h"
#include "vtctldata.pb.h"
#include "vttime.pb.h"

// What the files with Vtctld's methods share.
namespace vitrail::control {

template <typename T>
using Answer = net::Task<Result<T>>;

template <typename List>
std::vector<std::string> strings(const List& list) {
  return {list.begin(), list.end()};
}

inline base::Duration to_duration(const ::vttime::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

inline ::vtctldata::Shard to_proto(const topo::ShardInfo& info) {
  ::vtctldata::Shard out;
  out.set_keyspace(info.keyspace);
  out.set_name(info.name);
  *out.mutable_shard() = info.record;
  return out;
}

// A line of what happened, for who called: clients print it with its time and level.
template <typename Response>
void add_event(TabletClient& client, Response& response, ::logutil::Level level, std::string text) {
  const auto now = client.topology().clock().wall_now().time_since_epoch();
  auto& event = *response.add_events();
  event.mutable_time()->set_seconds(std::chrono::duration_cast<std::chrono::seconds>(now).count());
  event.mutable_time()->set_nanoseconds(static_cast<int32_t>(
      (std::chrono::duration_cast<std::chrono::nanoseconds>(now) % std::chrono::seconds(1)).count()));
  event.set_level(level);
  event.set_file("vtctld");
  event.set_value(std::move(text));
}

// Runs `body` with the keyspace's lock and gives it back whatever comes. `action` is what other operators read while
// they wait. `client` must outlive the call.
template <typename Request, typename Response>
Answer<Response> with_keyspace_lock(TabletClient& client, std::string keyspace, std::string action, Request request,
                                    Answer<Response> (*body)(TabletClient& client, const topo::KeyspaceLock& lock,
                                                             const Request& request)) {
  CO_ASSIGN_OR_RETURN(auto lock,
                      co_await topo::KeyspaceLock::acquire(client.topology(), std::move(keyspace), std::move(action)));
  auto done = co_await body(client, lock, request);
  Status released = co_await lock.release();
  if (done.ok() && !released.ok()) co_return std::move(released).error();
  co_return done;
}

// The same with a shard's lock.
template <typename Request, typename Response>
Answer<Response> with_shard_lock(TabletClient& client, std::string keyspace, std::string shard, std::string action,
                                 Request request,
                                 Answer<Response> (*body)(TabletClient& client, const topo::ShardLock& lock,
                                                          const Request& request)) {
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::ShardLock::acquire(client.topology(), std::move(keyspace),
                                                                   std::move(shard), std::move(action)));
  auto done = co_await body(client, lock, request);
  Status released = co_await lock.release();
  if (done.ok() && !released.ok()) co_return std::move(released).error();
  co_return done;
}

}  // namespace vitrail::control
