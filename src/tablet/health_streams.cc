#include "tablet/health_streams.h"

namespace vitrail::tablet {

void HealthStreams::publish(::query::StreamHealthResponse response) {
  newest_ = std::move(response);
  ++version_;
  changed_.notify_all();
}

net::Task<Status> HealthStreams::serve(rpc::CallContext context, rpc::TypedWriter<::query::StreamHealthResponse> writer,
                                       base::Duration interval) {
  while (version_ == 0) CO_RETURN_IF_ERROR(co_await changed_.wait(net::Wait{.cancel = context.cancel}));
  for (;;) {
    const uint64_t sent = version_;
    CO_RETURN_IF_ERROR(co_await writer.write(newest_));
    if (version_ != sent) continue;
    const Status woken = co_await changed_.wait(net::Wait::within(interval, context.cancel));
    if (!woken.ok() && woken.error().code() == Code::kCanceled) co_return Status{};
  }
}

}  // namespace vitrail::tablet
