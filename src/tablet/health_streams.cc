#include "tablet/health_streams.h"

namespace vitrail::tablet {

void HealthStreams::publish(::query::StreamHealthResponse response) {
  newest_ = std::move(response);
  ++version_;
  changed_.notify_all();
}

void HealthStreams::tell_tables(std::vector<std::string> tables) {
  constexpr size_t kTablesMax = 1000;   // Of one message.
  constexpr size_t kMessagesMax = 100;  // Kept for listeners that are slow.
  if (tables.size() > kTablesMax) tables.resize(kTablesMax);
  if (tables_.size() >= kMessagesMax) tables_.pop_front();
  ++version_;
  tables_.emplace_back(version_, std::move(tables));
  changed_.notify_all();
}

net::Task<Status> HealthStreams::serve(rpc::CallContext context, rpc::TypedWriter<::query::StreamHealthResponse> writer,
                                       base::Duration interval) {
  while (version_ == 0) CO_RETURN_IF_ERROR(co_await changed_.wait(net::Wait{.cancel = context.cancel}));
  uint64_t sent = version_;  // Whoever comes now reads all tables anyway.
  for (;;) {
    ::query::StreamHealthResponse message = newest_;
    for (const auto& [version, tables] : tables_) {
      if (version <= sent) continue;
      for (const std::string& table : tables) message.mutable_realtime_stats()->add_table_schema_changed(table);
    }
    sent = version_;
    CO_RETURN_IF_ERROR(co_await writer.write(message));
    if (version_ != sent) continue;
    const Status woken = co_await changed_.wait(net::Wait::within(interval, context.cancel));
    if (!woken.ok() && woken.error().code() == Code::kCanceled) co_return Status{};
  }
}

}  // namespace vitrail::tablet
