#include "movement/copy_lanes.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"
#include "movement/chunk_writer.h"

namespace vitrail::movement {
namespace {

constexpr auto kConnectTimeout = std::chrono::seconds(10);
constexpr auto kEarlierLook = std::chrono::milliseconds(50);
constexpr int kEarlierLooks = 200;    // 10 s.
constexpr int kEarlierPatience = 20;  // Looks until a connection that holds a lock is ended.

}  // namespace

std::vector<std::string> apply_session_settings() {
  return {"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
          "SET SESSION innodb_lock_wait_timeout = 5, SESSION lock_wait_timeout = 5, SESSION wait_timeout = 28800, "
          "SESSION net_read_timeout = 600, SESSION net_write_timeout = 600"};
}

CopyLanes::CopyLanes(Options options, net::Scope& scope, net::Semaphore& permits, net::Signal& wake)
    : options_(std::move(options)), scope_(scope), permits_(permits), wake_(wake) {
  CHECK(options_.count >= 1 && options_.count <= kLanesMax);
}

std::string CopyLanes::lock_name(int32_t stream_id, size_t lane) {
  return fmt::format("vitrail.vreplication.{}.{}", stream_id, lane);
}

net::Task<Status> CopyLanes::end_earlier(ServerSession& main, int32_t stream_id, net::CancelToken cancel) {
  std::string query = "SELECT ";
  for (size_t lane = 0; lane < kLanesMax; ++lane) {
    query += fmt::format("{}IS_USED_LOCK('{}')", lane == 0 ? "" : ", ", lock_name(stream_id, lane));
  }
  for (int look = 0; look < kEarlierLooks; ++look) {
    const net::Wait wait = net::Wait::within(kConnectTimeout, cancel);
    CO_ASSIGN_OR_RETURN(const auto holders, co_await main.query(query, wait));
    bool any = false;
    for (size_t lane = 0; lane < kLanesMax; ++lane) {
      const std::string holder(holders.text(0, lane));
      if (holder.empty()) continue;
      any = true;
      // A connection of a process that hangs.
      if (look >= kEarlierPatience) (void)co_await main.query(fmt::format("KILL {}", holder), wait);
    }
    if (!any) co_return Status{};
    CO_RETURN_IF_ERROR(co_await net::sleep_for(kEarlierLook, cancel));
  }
  co_return fail(Code::kUnavailable,
                 fmt::format("another connection copies for stream {} and does not end", stream_id));
}

net::Task<Status> CopyLanes::open(ServerSession& main, net::CancelToken cancel) {
  const net::Wait wait = net::Wait::within(kConnectTimeout, cancel);
  lanes_.resize(options_.count);
  for (size_t i = 0; i < lanes_.size(); ++i) {
    auto& session = lanes_[i].session;
    CO_ASSIGN_OR_RETURN(session, co_await ServerSession::open(options_.login, mysqld::ConnectionPurpose::kApply, wait));
    CO_RETURN_IF_ERROR(co_await session->run(apply_session_settings(), wait));
    CO_ASSIGN_OR_RETURN(
        const auto got,
        co_await session->query(fmt::format("SELECT GET_LOCK('{}', 0)", lock_name(options_.stream_id, i)), wait));
    if (got.text(0, 0) != "1") {
      co_return fail(Code::kUnavailable,
                     fmt::format("another connection copies for stream {} already", options_.stream_id));
    }
  }
  // Only now is it sure that a later life, which would have ended the stream's own connection first, meets these locks.
  CO_ASSIGN_OR_RETURN(const auto alive, co_await main.query("SELECT 1", wait));
  (void)alive;
  co_return Status{};
}

void CopyLanes::close() {
  CHECK(idle());
  for (Lane& lane : lanes_) lane.session.reset();
}

bool CopyLanes::has_room() const {
  return std::ranges::any_of(lanes_, [](const Lane& lane) { return lane.session != nullptr && !lane.busy; });
}

void CopyLanes::start(CopyPiece piece) {
  const auto lane = std::ranges::find_if(lanes_, [](const Lane& one) { return one.session != nullptr && !one.busy; });
  CHECK(lane != lanes_.end());
  uint64_t rows = 0;
  for (const auto& response : piece.chunk.responses) rows += static_cast<uint64_t>(response.rows_size());
  const uint64_t number = progress_.start(piece.to, rows);
  lane->busy = true;
  scope_.spawn(run(*lane, number, std::move(piece)));
}

net::Task<void> CopyLanes::run(Lane& lane, uint64_t number, CopyPiece piece) {
  Status written = co_await permits_.acquire(net::Wait::until(base::TimePoint::max(), scope_.token()));
  if (written.has_value()) {
    ChunkWriter writer(*lane.session, options_.use_load_data);
    written = co_await writer.write(*piece.table, piece.chunk, piece.from, piece.to);
    permits_.release();
  }
  if (!written.has_value()) {
    // The lane stays busy: its session is of no use any more.
    if (!error_) error_ = std::move(written).error();
  } else {
    lane.busy = false;
    progress_.finish(number);
  }
  wake_.notify_all();
}

}  // namespace vitrail::movement
