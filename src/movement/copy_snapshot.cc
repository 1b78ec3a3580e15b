#include "movement/copy_snapshot.h"

#include <fmt/core.h>

#include "base/random.h"
#include "movement/row_stream.h"
#include "rpc/typed.h"

namespace vitrail::movement {
namespace {

constexpr auto kOpenTimeout = std::chrono::minutes(2);
constexpr auto kSilenceMax = std::chrono::seconds(30);  // The source sends a heartbeat each second.

}  // namespace

CopySnapshot::CopySnapshot(int32_t stream, net::Signal& wake, const net::CancelToken& cancel)
    : name_(fmt::format("stream-{}-{:016x}", stream, base::system_random().next_u64())), wake_(wake), scope_(cancel) {}

net::Task<Status> CopySnapshot::open(std::shared_ptr<rpc::Channel> channel, ::query::Target target) {
  ::binlogdata::VStreamRowsRequest request;
  *request.mutable_target() = std::move(target);
  (*request.mutable_options()->mutable_config_overrides())[kHoldOption] = name_ + ":1";
  scope_.spawn(keep(std::move(channel), std::move(request)));
  const net::Wait wait = net::Wait::within(kOpenTimeout, scope_.token());
  while (!open_ && !error_) CO_RETURN_IF_ERROR(co_await changed_.wait(wait));
  if (error_) co_return *error_;
  co_return Status{};
}

net::Task<void> CopySnapshot::keep(std::shared_ptr<rpc::Channel> channel, ::binlogdata::VStreamRowsRequest request) {
  auto call = rpc::open_stream<::binlogdata::VStreamRowsResponse>(*channel, "/queryservice.Query/VStreamRows", request);
  for (;;) {
    auto told = co_await call.next(net::Wait::within(open_ ? kSilenceMax : kOpenTimeout, scope_.token()));
    if (scope_.stopping()) co_return;
    if (told.ok() && told->has_value()) {
      open_ = true;
      changed_.notify_all();
      continue;
    }
    error_ = told.ok() ? fail(Code::kUnavailable, "the source tablet has ended the snapshot of the copy")
                       : std::move(told).error().with_context("hold the snapshot of the copy");
    changed_.notify_all();
    wake_.notify_all();
    co_return;
  }
}

net::Task<void> CopySnapshot::close() {
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace vitrail::movement
