#include "topo/locks.h"

#include <fmt/core.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <vector>

#include "topo/paths.h"

namespace vitrail::topo {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

std::string user_name() {
  std::vector<char> buffer(16'384);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
    return found->pw_name;
  return fmt::format("uid {}", geteuid());
}

std::string rfc3339(base::WallTime time) {
  const time_t seconds =
      std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(time));
  tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string text_field(const nlohmann::json& json, const char* name) {
  const auto it = json.find(name);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace

std::string LockContents::to_json() const {
  // Text from outside may not be UTF-8: replace what JSON cannot carry.
  nlohmann::ordered_json json{{"Action", action},
                              {"HostName", host_name},
                              {"UserName", user_name},
                              {"Time", time},
                              {"Options", nlohmann::ordered_json::object()},
                              {"Status", status}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

LockContents LockContents::from_json(std::string_view text) {
  LockContents contents;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) {
    contents.action = std::string(text.substr(0, 200));
    return contents;
  }
  contents.action = text_field(json, "Action");
  contents.host_name = text_field(json, "HostName");
  contents.user_name = text_field(json, "UserName");
  contents.time = text_field(json, "Time");
  contents.status = text_field(json, "Status");
  return contents;
}

std::string LockContents::describe() const {
  std::string text = action.empty() ? "an unnamed action" : action;
  if (!user_name.empty() || !host_name.empty()) text += " by " + user_name + "@" + host_name;
  if (!time.empty()) text += " since " + time;
  return text;
}

net::Task<Result<std::unique_ptr<Lock>>> HeldLock::acquire_dir(Server& server, std::string dir, std::string what,
                                                               bool require_dir, std::string action,
                                                               LockSettings settings, std::chrono::milliseconds lease) {
  const LockContents contents{.action = std::move(action),
                              .host_name = topo::host_name(),
                              .user_name = topo::user_name(),
                              .time = rfc3339(server.clock().wall_now()),
                              .status = "Running"};
  const std::chrono::milliseconds wait_max = settings.wait_max.value_or(server.options().lock_timeout);
  LockOptions options{.wait = net::Wait::within(wait_max, settings.cancel),
                      .ttl = lease,
                      .require_dir = require_dir,
                      .queue = settings.queue};
  auto lock = co_await server.global().lock(dir, contents.to_json(), std::move(options));
  if (lock.ok()) co_return std::move(*lock);
  const Code code = lock.error().code();
  if (code == Code::kNotFound) co_return fail(code, what + " does not exist in the topology");
  if (code != Code::kDeadlineExceeded && code != Code::kAlreadyExists) {
    co_return std::move(lock).error().with_context("cannot lock " + what);
  }
  std::string holder = "somebody else (the holder cannot be read)";
  const auto queue = co_await server.global().lock_queue(dir);
  if (queue.ok()) {
    holder = queue->empty() ? "nobody any more" : LockContents::from_json(queue->front().contents).describe();
  }
  const std::string waited =
      code == Code::kAlreadyExists ? "it" : fmt::format("after waiting {} ms it", wait_max.count());
  co_return fail(code, fmt::format("cannot lock {} for {}: {} is held by {}", what, contents.action, waited, holder));
}

net::Task<Status> HeldLock::check_held() const { return lock_->check_held(); }

net::Task<Status> HeldLock::release() { return lock_->unlock(); }

net::Task<Result<KeyspaceLock>> KeyspaceLock::acquire(Server& server, std::string keyspace, std::string action,
                                                      LockSettings settings) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  const auto lease = settings.lease;
  CO_ASSIGN_OR_RETURN(std::unique_ptr<Lock> lock,
                      co_await acquire_dir(server, keyspace_dir(keyspace), "keyspace " + keyspace, true,
                                           std::move(action), std::move(settings), lease));
  co_return KeyspaceLock(std::move(lock), std::move(keyspace));
}

net::Task<Result<ShardLock>> ShardLock::acquire(Server& server, std::string keyspace, std::string shard,
                                                std::string action, LockSettings settings) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  CO_RETURN_IF_ERROR(validate_name("shard name", shard));
  const auto lease = settings.lease;
  CO_ASSIGN_OR_RETURN(std::unique_ptr<Lock> lock,
                      co_await acquire_dir(server, shard_dir(keyspace, shard), "shard " + keyspace + "/" + shard, true,
                                           std::move(action), std::move(settings), lease));
  co_return ShardLock(std::move(lock), std::move(keyspace), std::move(shard));
}

net::Task<Result<NamedLock>> NamedLock::acquire(Server& server, std::string name, std::string action,
                                                LockSettings settings) {
  CO_ASSIGN_OR_RETURN(std::unique_ptr<Lock> lock,
                      co_await acquire_dir(server, std::string(kNamedLocksDir) + "/" + name, "the name " + name, false,
                                           std::move(action), std::move(settings), kNamedLockTtl));
  co_return NamedLock(std::move(lock), std::move(name));
}

net::Task<Result<NamedLock>> NamedLock::acquire_workflow(Server& server, std::string keyspace, std::string workflow,
                                                         std::string action, LockSettings settings) {
  CO_RETURN_IF_ERROR(validate_name("keyspace name", keyspace));
  CO_RETURN_IF_ERROR(validate_name("workflow name", workflow));
  std::string name = keyspace + "/" + workflow;
  CO_ASSIGN_OR_RETURN(
      std::unique_ptr<Lock> lock,
      co_await acquire_dir(server, std::string(kNamedLocksDir) + "/" + name, "workflow " + keyspace + "." + workflow,
                           false, std::move(action), std::move(settings), kNamedLockTtl));
  co_return NamedLock(std::move(lock), std::move(name));
}

net::Task<Result<RoutingRulesLock>> RoutingRulesLock::acquire(Server& server, std::string action,
                                                              LockSettings settings) {
  const auto lease = settings.lease;
  CO_ASSIGN_OR_RETURN(std::unique_ptr<Lock> lock,
                      co_await acquire_dir(server, std::string(kRoutingRulesDir), "the routing rules", false,
                                           std::move(action), std::move(settings), lease));
  co_return RoutingRulesLock(std::move(lock));
}

}  // namespace vitrail::topo
