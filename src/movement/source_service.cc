#include "movement/source_service.h"

#include <atomic>
#include <optional>
#include <set>

#include "base/check.h"
#include "base/metrics.h"
#include "movement/event_stream.h"
#include "movement/held_snapshots.h"
#include "movement/row_share.h"
#include "movement/row_stream.h"
#include "movement/throttle.h"
#include "mysqld/rows.h"
#include "net/scope.h"
#include "rpc/typed.h"

namespace vitrail::movement {
namespace {

constexpr auto kSetupTimeout = std::chrono::seconds(30);
constexpr auto kChunkTimeout = std::chrono::minutes(5);
constexpr auto kThrottleLook = std::chrono::milliseconds(250);
constexpr auto kThrottleTell = std::chrono::seconds(1);
constexpr auto kHoldTell = std::chrono::seconds(1);

}  // namespace

struct SourceService::Core {
  explicit Core(SourceOptions given)
      : options(std::move(given)), thread("source"), shares(options.share_from_bytes, options.share_wait) {
    if (options.metrics == nullptr) return;
    rows = &options.metrics->counter("VStreamRowsSent", "rows sent by VStreamRows");
    read = &options.metrics->counter("VStreamRowsRead", "rows read from the server for VStreamRows");
    summed = &options.metrics->counter("VStreamRowsSummed", "rows summed up for comparisons instead of being sent");
    events = &options.metrics->counter("VStreamEventsSent", "events sent by VStream");
    streams = &options.metrics->gauge("VStreamsActive", "VStream and VStreamRows calls under way");
  }

  ServerLogin login() const { return {options.mysqld, options.user, options.password, options.sidecar}; }
  Status check_target(const ::query::Target& target) const {
    if (stopping) return fail(Code::kUnavailable, "the tablet is shutting down").with_retry(Retry::kOtherTarget);
    if (!target.keyspace().empty() && !options.keyspace.empty() && target.keyspace() != options.keyspace) {
      return fail(Code::kInvalidArgument,
                  "invalid keyspace " + target.keyspace() + " does not match expected " + options.keyspace);
    }
    return options.check_target ? options.check_target(target) : Status{};
  }
  net::Task<Result<std::optional<::vschema::SrvVSchema>>> load_vschema(bool needed);
  // Waits while the throttler wants it; `tell` sends the reason, so that nobody takes the silence for a failure.
  net::Task<Status> obey_throttle(std::string app, std::function<net::Task<Status>(std::string)> tell,
                                  net::CancelToken cancel);
  net::Task<Status> stream_events(rpc::CallContext context, ::binlogdata::VStreamRequest request,
                                  rpc::TypedWriter<::binlogdata::VStreamResponse> writer);
  net::Task<Status> stream_rows(rpc::CallContext context, ::binlogdata::VStreamRowsRequest request,
                                rpc::TypedWriter<::binlogdata::VStreamRowsResponse> writer);
  net::Task<Status> hold_snapshot(std::string option, net::CancelToken cancel,
                                  rpc::TypedWriter<::binlogdata::VStreamRowsResponse> writer);

  const SourceOptions options;
  base::Counter* rows = nullptr;
  base::Counter* read = nullptr;
  base::Counter* summed = nullptr;
  base::Counter* events = nullptr;
  base::Gauge* streams = nullptr;
  net::LoopThread thread;
  // All below on the loop only.
  bool stopping = false;
  RowShares shares;
  std::set<net::CancelSource*> calls;
  net::Signal ended;
  std::atomic<bool> stopped{false};
  HeldSnapshots held;
};

namespace {

// Cancelled when the call is, or the service stops.
class Call {
 public:
  Call(std::set<net::CancelSource*>& calls, net::Signal& ended, base::Gauge* gauge, const net::CancelToken& parent)
      : calls_(calls), ended_(ended), gauge_(gauge), source_(parent) {
    calls_.insert(&source_);
    if (gauge_ != nullptr) gauge_->add(1);
  }
  ~Call() {
    calls_.erase(&source_);
    if (gauge_ != nullptr) gauge_->add(-1);
    ended_.notify_all();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  net::CancelToken token() const { return source_.token(); }

 private:
  std::set<net::CancelSource*>& calls_;
  net::Signal& ended_;
  base::Gauge* gauge_;
  net::CancelSource source_;
};

}  // namespace

SourceService::SourceService(SourceOptions options) : core_(std::make_unique<Core>(std::move(options))) {}

SourceService::~SourceService() { CHECK(core_->stopped.load()); }

net::Loop& SourceService::loop() { return core_->thread.loop(); }

void SourceService::register_handlers(rpc::Server& server) {
  Core* core = core_.get();
  rpc::handle_server_stream<::binlogdata::VStreamRequest, ::binlogdata::VStreamResponse>(
      server, "/queryservice.Query/VStream", loop(),
      [core](rpc::CallContext context, ::binlogdata::VStreamRequest request,
             rpc::TypedWriter<::binlogdata::VStreamResponse> writer) {
        return core->stream_events(std::move(context), std::move(request), writer);
      },
      rpc::kRowMessageSizeMax);
  rpc::handle_server_stream<::binlogdata::VStreamRowsRequest, ::binlogdata::VStreamRowsResponse>(
      server, "/queryservice.Query/VStreamRows", loop(),
      [core](rpc::CallContext context, ::binlogdata::VStreamRowsRequest request,
             rpc::TypedWriter<::binlogdata::VStreamRowsResponse> writer) {
        return core->stream_rows(std::move(context), std::move(request), writer);
      },
      rpc::kRowMessageSizeMax);
}

net::Task<void> SourceService::stop() {
  net::Loop* back = net::Loop::current();
  co_await loop().enter();
  core_->stopping = true;
  for (net::CancelSource* call : core_->calls) call->cancel();
  while (!core_->calls.empty()) (void)co_await core_->ended.wait({});
  core_->stopped.store(true);
  if (back != nullptr) co_await back->enter();
}

net::Task<Result<std::optional<::vschema::SrvVSchema>>> SourceService::Core::load_vschema(bool needed) {
  if (!needed || !options.load_vschema) co_return std::optional<::vschema::SrvVSchema>();
  auto loaded = co_await options.load_vschema();
  co_await thread.loop().enter();
  if (!loaded.ok()) co_return std::move(loaded).error().with_context("read the vschema");
  co_return std::optional<::vschema::SrvVSchema>(std::move(*loaded));
}

namespace {

template <typename Response>
net::Task<Status> send(rpc::TypedWriter<Response> writer, Response message) {
  co_return co_await writer.write(message);
}

}  // namespace

net::Task<Status> SourceService::Core::obey_throttle(std::string app,
                                                     std::function<net::Task<Status>(std::string)> tell,
                                                     net::CancelToken cancel) {
  base::TimePoint told;
  while (options.throttle != nullptr && !cancel.cancelled()) {
    auto reason = options.throttle->reason_to_wait(app);
    if (!reason) break;
    if (base::system_clock().now() >= told + kThrottleTell) {
      CO_RETURN_IF_ERROR(co_await tell(std::move(*reason)));
      told = base::system_clock().now();
    }
    (void)co_await net::sleep_for(kThrottleLook, cancel);
  }
  co_return Status{};
}

net::Task<Status> SourceService::Core::stream_events(rpc::CallContext context, ::binlogdata::VStreamRequest request,
                                                     rpc::TypedWriter<::binlogdata::VStreamResponse> writer) {
  CO_RETURN_IF_ERROR(check_target(request.target()));
  const Call call(calls, ended, streams, context.cancel);
  CO_ASSIGN_OR_RETURN(const Filter filter, Filter::create(request.filter()));
  CO_ASSIGN_OR_RETURN(auto vschema, co_await load_vschema(filter.needs_vschema()));
  EventStreamOptions stream_options{login(), options.db_name, options.keyspace, request.target().shard(),
                                    std::move(vschema)};
  CO_ASSIGN_OR_RETURN(const auto stream,
                      co_await EventStream::open(std::move(stream_options), request.position(), request.filter(),
                                                 net::Wait::within(kSetupTimeout, call.token())));
  for (;;) {
    CO_RETURN_IF_ERROR(co_await obey_throttle(
        "vstreamer:vreplication",
        [&writer](std::string reason) -> net::Task<Status> {
          ::binlogdata::VStreamResponse message;
          auto& event = *message.add_events();
          event.set_type(::binlogdata::HEARTBEAT);
          event.set_throttled(true);
          event.set_throttled_reason(reason);
          return send(writer, std::move(message));
        },
        call.token()));
    CO_ASSIGN_OR_RETURN(const auto response, co_await stream->next(call.token()));
    if (events != nullptr) events->add(static_cast<uint64_t>(response.events_size()));
    CO_RETURN_IF_ERROR(co_await writer.write(response));
  }
}

namespace {

// One chunk read ahead of the one that is sent.
struct ReadAhead {
  explicit ReadAhead(SharedRowStream& stream) : stream(stream) {}
  net::Task<void> read(net::Wait wait) {
    result.emplace(co_await stream.read_chunk(std::move(wait)));
    done.set();
  }
  SharedRowStream& stream;
  std::optional<Result<RowChunk>> result;
  net::Event done;
};

}  // namespace

net::Task<Status> SourceService::Core::hold_snapshot(std::string option, net::CancelToken cancel,
                                                     rpc::TypedWriter<::binlogdata::VStreamRowsResponse> writer) {
  const size_t colon = option.rfind(':');
  const auto sessions = colon == std::string::npos ? std::nullopt : mysqld::to_uint(option.substr(colon + 1));
  if (!sessions || colon == 0) {
    co_return fail(Code::kInvalidArgument, "a snapshot is held as \"NAME:CONNECTIONS\", not \"" + option + "\"");
  }
  CO_ASSIGN_OR_RETURN(const auto hold, co_await held.hold(option.substr(0, colon), *sessions, login(), options.db_name,
                                                          net::Wait::within(kSetupTimeout, cancel)));
  ::binlogdata::VStreamRowsResponse message;
  message.set_gtid(hold->position());
  while (!hold->lost()) {
    CO_RETURN_IF_ERROR(co_await writer.write(message));
    CO_RETURN_IF_ERROR(co_await net::sleep_for(kHoldTell, cancel));
    message.Clear();
    message.set_heartbeat(true);
  }
  co_return fail(Code::kUnavailable, "the connections of the snapshot broke");
}

net::Task<Status> SourceService::Core::stream_rows(rpc::CallContext context, ::binlogdata::VStreamRowsRequest request,
                                                   rpc::TypedWriter<::binlogdata::VStreamRowsResponse> writer) {
  CO_RETURN_IF_ERROR(check_target(request.target()));
  const Call call(calls, ended, streams, context.cancel);
  const auto& overrides = request.options().config_overrides();
  if (const auto hold = overrides.find(kHoldOption); hold != overrides.end()) {
    co_return co_await hold_snapshot(hold->second, call.token(), writer);
  }
  std::string table;
  CO_ASSIGN_OR_RETURN(const RowQuery query, parse_row_query(request.query(), table));
  CO_ASSIGN_OR_RETURN(const auto vschema, co_await load_vschema(query.needs_vschema()));
  RowStreamOptions reading{login(), options.db_name, options.keyspace, vschema ? &*vschema : nullptr};
  if (const auto name = overrides.find(kSnapshotOption); name != overrides.end()) {
    CO_ASSIGN_OR_RETURN(reading.snapshot,
                        co_await held.borrow(name->second, net::Wait::within(kChunkTimeout, call.token())));
  }
  CO_ASSIGN_OR_RETURN(auto stream, co_await RowStream::open(std::move(reading), request,
                                                            net::Wait::within(kSetupTimeout, call.token())));
  if (stream->wants_sum()) {
    const net::Wait wait = net::Wait::within(kChunkTimeout, call.token());
    CO_ASSIGN_OR_RETURN(const auto interval, co_await stream->begin_sum(wait));
    CO_RETURN_IF_ERROR(co_await writer.write(interval));
    CO_ASSIGN_OR_RETURN(const IntervalSum sum, co_await stream->read_sum(wait));
    if (summed != nullptr) summed->add(sum.rows);
    ::binlogdata::VStreamRowsResponse answer;
    answer.set_throttled(true);
    answer.set_throttled_reason(kIntervalSum);
    ::query::Row* row = answer.add_rows();
    append_cell(*row, std::to_string(sum.rows));
    append_cell(*row, std::to_string(sum.hash));
    co_return co_await writer.write(answer);
  }
  const uint64_t wanted = stream->chunks_wanted();
  const std::unique_ptr<SharedRowStream> share = shares.join(std::move(stream));
  net::Scope scope(call.token());
  Status status;
  uint64_t chunks = 0;
  auto ahead = std::make_unique<ReadAhead>(*share);
  scope.spawn(ahead->read(net::Wait::within(kChunkTimeout, scope.token())));
  for (;;) {
    (void)co_await ahead->done.wait({});
    if (!ahead->result->ok()) {
      status = std::move(*ahead->result).error();
      break;
    }
    RowChunk chunk = std::move(**ahead->result);
    ++chunks;
    if (read != nullptr) read->add(chunk.read);
    const bool enough = wanted != 0 && chunks >= wanted;
    const bool more = !chunk.last && !enough;
    co_await scope.join();  // The task has set `done` but may not have ended.
    if (more) {
      ahead = std::make_unique<ReadAhead>(*share);
      scope.spawn(ahead->read(net::Wait::within(kChunkTimeout, scope.token())));
    }
    if (wanted == 0) {
      status = co_await obey_throttle(
          "rowstreamer:vreplication",
          [&writer](std::string reason) -> net::Task<Status> {
            ::binlogdata::VStreamRowsResponse message;
            message.set_throttled(true);
            message.set_throttled_reason(reason);
            return send(writer, std::move(message));
          },
          call.token());
      if (!status.has_value()) break;
    }
    for (const auto& response : chunk.responses) {
      if (rows != nullptr) rows->add(static_cast<uint64_t>(response.rows_size()));
      status = co_await writer.write(response);
      if (!status.has_value()) break;
    }
    if (status.has_value() && enough && !chunk.last) {
      ::binlogdata::VStreamRowsResponse rest;
      rest.set_throttled(true);
      rest.set_throttled_reason(kMoreRows);
      status = co_await writer.write(rest);
    }
    if (!status.has_value() || !more) break;
  }
  scope.request_stop();
  co_await scope.join();
  co_return status;
}

}  // namespace vitrail::movement
