#include "tablet/server_killer.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/log.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;

constexpr uint16_t kNoSuchThread = 1094;
constexpr const char* kHangingLeaders =
    "select id from information_schema.processlist where state like 'Waiting for semi-sync ACK%' and time >= 1";
constexpr auto kPatience = 1s;  // With a killed session, before it is asked what holds it up.

}  // namespace

net::Task<Status> ServerKiller::kill_query(uint64_t id, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(auto lease, co_await pool_.acquire("", wait));
  auto killed = co_await lease->client.query(fmt::format("kill query {}", id), wait);
  if (!killed.ok() && killed.error().mysql_errno() != kNoSuchThread) co_return std::move(killed).error();
  co_return Status{};
}

net::Task<Status> ServerKiller::end_connection(uint64_t id, net::Wait wait) {
  const AckDoubt::Kill doubt(doubt_);
  CO_ASSIGN_OR_RETURN(auto lease, co_await pool_.acquire("", wait));
  auto killed = co_await lease->client.query(fmt::format("kill {}", id), wait);
  if (!killed.ok()) {
    if (killed.error().mysql_errno() == kNoSuchThread) co_return Status{};
    co_return std::move(killed).error();
  }
  // A server takes a connection from the list after it has rolled back what was open.
  const std::string look = fmt::format("select 1 from information_schema.processlist where id = {}", id);
  const base::TimePoint patient_until = base::system_clock().now() + kPatience;
  std::optional<AckDoubt::Kill> of_leaders;
  for (base::Duration pause = 1ms;; pause = std::min<base::Duration>(pause * 2, 50ms)) {
    CO_ASSIGN_OR_RETURN(const auto seen, co_await lease->client.query(look, wait));
    if (seen.rows.empty()) co_return Status{};
    if (!of_leaders && base::system_clock().now() > patient_until) {
      // Its commit may be in a group whose leader waits for a replica's acknowledgement, and KILL does not end that.
      // The leader may be anybody's session: it loses nothing but its wait.
      CO_ASSIGN_OR_RETURN(const auto leaders, co_await lease->client.query(kHangingLeaders, wait));
      if (!leaders.rows.empty()) of_leaders.emplace(doubt_);
      for (size_t i = 0; i < leaders.rows.size(); ++i) {
        log_warning("session {} waits for an acknowledgement and holds up session {}, which has to end: it is ended",
                    leaders.text(i, 0), id);
        (void)co_await lease->client.query(fmt::format("kill {}", leaders.text(i, 0)), wait);  // Gone by itself.
      }
    }
    if (base::system_clock().now() + pause >= wait.deadline) {
      co_return fail(Code::kDeadlineExceeded, fmt::format("connection {} of the MySQL server does not end", id));
    }
    CO_RETURN_IF_ERROR(co_await net::sleep_for(pause, wait.cancel));
  }
}

net::Task<Status> ServerKiller::end_abandoned(uint64_t id, base::TimePoint since, net::Wait wait) {
  {
    CO_ASSIGN_OR_RETURN(auto lease, co_await pool_.acquire("", wait));
    CO_ASSIGN_OR_RETURN(const auto uptime, co_await lease->client.query("show global status like 'uptime'", wait));
    const std::chrono::seconds up(std::strtoull(std::string(uptime.text(0, 1)).c_str(), nullptr, 10));
    if (up + 1s < base::system_clock().now() - since) co_return Status{};
  }
  co_return co_await end_connection(id, std::move(wait));
}

net::Task<Status> ServerKiller::confirm_commits(net::Wait wait) {
  const std::string table = fmt::format("`{}`.semisync_heartbeat", sidecar_);
  const std::string replace = fmt::format("replace into {} (id, ts) values (1, now())", table);
  for (base::Duration pause = 5ms;; pause = std::min<base::Duration>(pause * 2, 100ms)) {
    const uint64_t mark = doubt_ == nullptr ? 0 : doubt_->mark();
    CO_ASSIGN_OR_RETURN(auto lease, co_await pool_.acquire("", wait));
    if (auto written = co_await lease->client.query(replace, wait); !written.ok()) {
      lease.discard();  // It may wait still.
      co_return fail(Code::kUnavailable, "no replica acknowledges commits: " + written.error().message());
    }
    if (doubt_ == nullptr || doubt_->begun() == mark) co_return Status{};
    lease.release();
    if (!(co_await net::sleep_for(pause, wait.cancel)).ok() || base::system_clock().now() >= wait.deadline) break;
  }
  co_return fail(Code::kUnavailable, "sessions are killed all the time: no commit is sure to be acknowledged");
}

}  // namespace vitrail::tablet
