#include "rpc/client.h"

#include <fmt/core.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "net/loop.h"
#include "net/sync.h"
#include "rpc/library.h"
#include "rpc/status.h"

namespace vitrail::rpc {
namespace {

void prepare(grpc::ClientContext& context, base::TimePoint deadline, const Metadata& always,
             const CallOptions& options) {
  if (deadline != base::TimePoint::max()) {
    const auto left = deadline - base::system_clock().now();
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::duration_cast<std::chrono::microseconds>(left));
  }
  context.set_wait_for_ready(options.wait_for_ready);
  for (const auto& [key, value] : always) context.AddMetadata(key, value);
  for (const auto& [key, value] : options.metadata) context.AddMetadata(key, value);
}

// Whether gRPC failed the call before it was given to a connection. The peer is known only after an answer, so its
// absence proves nothing by itself; the text is that of gRPC 1.51, and a release that words it otherwise makes us say
// "unknown", which is always safe.
bool was_never_sent(const grpc::ClientContext& context, const grpc::Status& status) {
  const std::string peer = context.peer();
  const bool answered = peer.starts_with("ipv4:") || peer.starts_with("ipv6:") || peer.starts_with("unix:");
  return !answered && status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().starts_with("failed to connect to all addresses");
}

// gRPC tells that a message was too large, but not on whose side, and not what to do. Ours is the limit unless the
// server refused what we were allowed to send. (Answers that the server may not send are refused by our server in
// words.)
Error explain_size(Error error, size_t request_size, uint64_t limit) {
  if (error.code() != Code::kResourceExhausted ||
      error.message().find("message larger than max (") == std::string::npos) {
    return error;
  }
  const bool server =
      request_size <= limit && error.message().find(fmt::format("({} vs. ", request_size)) != std::string::npos;
  return std::move(error).with_context(
      server ? std::string("the request is larger than the server takes: raise the server's --grpc-max-message-size")
             : fmt::format("the {} is larger than this program takes: raise its --grpc-max-message-size, which is {}",
                           request_size > limit ? "request" : "answer", limit));
}

// Where a call's reactions on gRPC's threads wake a coroutine: a loop, as long as somebody waits there. Shared by the
// call and by whoever posts, as the call may be gone before post() returns.
class Wakeup {
 public:
  void attach(net::Loop* loop) {
    const std::scoped_lock lock(mutex_);
    loop_ = loop;
  }
  // After this returned nothing more is posted.
  void detach() { attach(nullptr); }
  // Runs `work` on the loop. When there is none, `work` and what it owns is dropped, on another thread: gRPC joins its
  // callback threads when the last channel goes, so a callback thread must never be the one that lets it go.
  void post(std::move_only_function<void()> work) {
    {
      const std::scoped_lock lock(mutex_);
      if (loop_ != nullptr) {
        loop_->post(std::move(work));
        return;
      }
    }
    net::submit_blocking([work = std::move(work)] {});
  }

 private:
  std::mutex mutex_;
  net::Loop* loop_ = nullptr;
};

struct UnaryCall {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
  grpc::Status status;
  const std::shared_ptr<Wakeup> wakeup = std::make_shared<Wakeup>();
  net::Event done;
};

}  // namespace

class Channel::Core {
 public:
  Core(std::shared_ptr<grpc::Channel> channel, std::string address, Metadata metadata, uint64_t message_size_max)
      : channel(channel),
        stub(channel),
        address(std::move(address)),
        metadata(std::move(metadata)),
        message_size_max(message_size_max) {}

  std::string what(const std::string& method) const { return fmt::format("{} at {}", method, address); }

  static net::Task<Result<std::string>> call(std::shared_ptr<Core> core, std::string method, std::string request,
                                             net::Wait wait, CallOptions options) {
    if (wait.cancel.cancelled()) co_return fail(Code::kCanceled, core->what(method) + ": cancelled before it was sent");
    const size_t request_size = request.size();
    const auto call = std::make_shared<UnaryCall>();
    prepare(call->context, wait.deadline, core->metadata, options);
    call->request = internal::to_buffer(std::move(request));
    call->wakeup->attach(net::Loop::current());
    core->stub.UnaryCall(&call->context, method, grpc::StubOptions(), &call->request, &call->response,
                         [call = std::shared_ptr<UnaryCall>(call)](grpc::Status status) mutable {
                           call->status = std::move(status);
                           const std::shared_ptr<Wakeup> wakeup = call->wakeup;
                           wakeup->post([call = std::move(call)] { call->done.set(); });
                         });
    // gRPC watches the deadline.
    const Status waited =
        co_await call->done.wait(net::Wait{.deadline = base::TimePoint::max(), .cancel = wait.cancel});
    if (!waited.ok()) {
      call->wakeup->detach();
      call->context.TryCancel();
      co_return fail(Code::kCanceled, core->what(method) + ": cancelled").with_effect(Effect::kUnknown);
    }
    if (call->status.ok()) co_return internal::from_buffer(call->response);
    co_return explain_size(internal::to_error(call->status, call->context.GetServerTrailingMetadata(),
                                              was_never_sent(call->context, call->status), core->what(method)),
                           request_size, core->message_size_max);
  }

  const std::shared_ptr<grpc::Channel> channel;
  grpc::GenericStub stub;
  const std::string address;
  const Metadata metadata;
  const uint64_t message_size_max;
};

// State of one stream. gRPC's reactions and the reader meet under mutex_.
class ServerStream::Call final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                                 public std::enable_shared_from_this<ServerStream::Call> {
 public:
  Call(std::string what, std::string request, uint64_t message_size_max)
      : what_(std::move(what)),
        request_size_(request.size()),
        message_size_max_(message_size_max),
        request_(internal::to_buffer(std::move(request))) {}

  void start() {
    self_ = shared_from_this();
    AddHold();  // Reads are also started by the reader, outside of reactions.
    StartWriteLast(&request_, grpc::WriteOptions());
    StartRead(&incoming_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    const std::shared_ptr<Call> keep = shared_from_this();
    bool read_on = false;
    bool wake = false;
    {
      const std::scoped_lock lock(mutex_);
      reading_ = false;
      if (ok) {
        Result<std::string> message = internal::from_buffer(incoming_);
        incoming_.Clear();
        if (message.ok()) {
          queued_bytes_ += message->size();
          queue_.push_back(std::move(*message));
        } else {
          unreadable_ = message.error();
          abandoned_ = true;
        }
        read_on = !abandoned_ && queued_bytes_ < kReadAheadBytes;
        reading_ = read_on;
        wake = std::exchange(waiting_, false);
      }
    }
    if (unreadable_) context.TryCancel();
    if (read_on) {
      StartRead(&incoming_);
    } else {
      release_hold(!ok);
    }
    if (wake) wake_reader();
  }

  void OnDone(const grpc::Status& status) override {
    {
      const std::scoped_lock lock(mutex_);
      if (unreadable_) {
        end_ = *unreadable_;
      } else if (status.ok()) {
        end_ = Status{};
      } else {
        end_ = explain_size(
            internal::to_error(status, context.GetServerTrailingMetadata(), was_never_sent(context, status), what_),
            request_size_, message_size_max_);
      }
    }
    const std::shared_ptr<Wakeup> wakeup = wakeup_;
    wakeup->post([self = std::move(self_)] { self->changed_.notify_all(); });
  }

  void cancel() {
    context.TryCancel();
    {
      const std::scoped_lock lock(mutex_);
      abandoned_ = true;
    }
    release_hold(false);
  }

  void abandon() {
    wakeup_->detach();
    cancel();
  }

  static net::Task<Result<std::optional<std::string>>> next(std::shared_ptr<Call> call, net::Wait wait) {
    call->wakeup_->attach(net::Loop::current());
    for (;;) {
      bool read_on = false;
      {
        const std::scoped_lock lock(call->mutex_);
        if (!call->queue_.empty()) {
          std::optional<std::string> message = std::move(call->queue_.front());
          call->queue_.pop_front();
          call->queued_bytes_ -= message->size();
          // Start again at half, so that a slow reader does not wake the transport for each message.
          read_on = !call->reading_ && call->held_ && !call->abandoned_ && call->queued_bytes_ <= kReadAheadBytes / 2;
          call->reading_ = call->reading_ || read_on;
          if (!read_on) co_return message;
          call->taken_ = std::move(message);
        } else if (call->end_) {
          if (!call->end_->ok()) co_return call->end_->error();
          co_return std::optional<std::string>();
        } else {
          call->waiting_ = true;
        }
      }
      if (read_on) {
        call->StartRead(&call->incoming_);
        co_return std::exchange(call->taken_, std::nullopt);
      }
      CO_RETURN_IF_ERROR(co_await call->changed_.wait(wait));
    }
  }

  grpc::ClientContext context;

 private:
  // The hold keeps the call open for reads to come; it ends with the last read.
  void release_hold(bool ended) {
    {
      const std::scoped_lock lock(mutex_);
      if (!held_ || reading_ || !(ended || abandoned_)) return;
      held_ = false;
    }
    RemoveHold();
  }

  void wake_reader() {
    wakeup_->post([self = shared_from_this()] { self->changed_.notify_all(); });
  }

  const std::string what_;
  const size_t request_size_;
  const uint64_t message_size_max_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer incoming_;   // Belongs to gRPC while reading_.
  std::shared_ptr<Call> self_;  // Until OnDone.
  const std::shared_ptr<Wakeup> wakeup_ = std::make_shared<Wakeup>();
  net::Signal changed_;  // On the reader's loop.
  std::optional<std::string> taken_;

  std::mutex mutex_;
  std::deque<std::string> queue_;
  size_t queued_bytes_ = 0;
  bool reading_ = true;
  bool held_ = true;
  bool abandoned_ = false;  // No more reads are wanted.
  bool waiting_ = false;    // The reader wants to be woken.
  std::optional<Error> unreadable_;
  std::optional<Status> end_;
};

ServerStream::ServerStream(std::shared_ptr<Call> call) : call_(std::move(call)) {}
ServerStream::ServerStream(ServerStream&&) noexcept = default;

ServerStream& ServerStream::operator=(ServerStream&& other) noexcept {
  std::swap(call_, other.call_);
  return *this;
}

ServerStream::~ServerStream() {
  if (call_ != nullptr) call_->abandon();
}

net::Task<Result<std::optional<std::string>>> ServerStream::next(net::Wait wait) {
  return Call::next(call_, std::move(wait));
}

void ServerStream::cancel() { call_->cancel(); }

Channel::Channel(std::string address, std::shared_ptr<Core> core)
    : address_(std::move(address)), core_(std::move(core)) {}
Channel::~Channel() = default;

Result<std::shared_ptr<Channel>> Channel::create(std::string address, ChannelOptions options) {
  internal::prepare_grpc();
  if (address.empty()) return fail(Code::kInvalidArgument, "no address to connect to");
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  const auto milliseconds = [](base::Duration d) {
    return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
  };
  grpc::ChannelArguments arguments;
  if (options.tls.enabled()) {
    grpc::SslCredentialsOptions ssl;
    if (!options.tls.ca_file.empty()) {
      ASSIGN_OR_RETURN(ssl.pem_root_certs, base::read_file(options.tls.ca_file));
    }
    if (!options.tls.certificate_file.empty()) {
      ASSIGN_OR_RETURN(net::KeyPair pair, net::load_key_pair(options.tls));
      ssl.pem_cert_chain = std::move(pair.chain);
      ssl.pem_private_key = std::move(pair.key);
    }
    credentials = grpc::SslCredentials(ssl);
    if (!options.tls.server_name.empty()) arguments.SetSslTargetNameOverride(options.tls.server_name);
  }
  arguments.SetMaxReceiveMessageSize(static_cast<int>(options.message_size_max));
  arguments.SetMaxSendMessageSize(static_cast<int>(options.message_size_max));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(options.keepalive_time));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(options.keepalive_timeout));
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000);  // Also the time one attempt to connect may take.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, std::max(100, milliseconds(options.reconnect_max)));
  // A server that was started anew elsewhere, under its old name, is found there after a second, not after the
  // library's thirty: statements are held for it, but not that long.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1'000);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, internal::kMetadataBytesMax);
  // A fixed window: what a slow reader can make us hold is known.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                   static_cast<int>(std::min<uint64_t>(options.stream_window, INT32_MAX)));
  // Each channel has its own connection and its own pauses; calls are never repeated behind our back; neither proxies
  // of the environment nor DNS records change where we connect.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  auto core = std::make_shared<Core>(grpc::CreateCustomChannel(address, credentials, arguments), address,
                                     std::move(options.metadata), options.message_size_max);
  return std::shared_ptr<Channel>(new Channel(std::move(address), std::move(core)));
}

bool Channel::pauses() const {
  return core_->channel->GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_TRANSIENT_FAILURE;
}

net::Task<Result<std::string>> Channel::call(std::string method, std::string request, net::Wait wait,
                                             CallOptions options) {
  return Core::call(core_, std::move(method), std::move(request), std::move(wait), std::move(options));
}

ServerStream Channel::open_stream(std::string method, std::string request, base::TimePoint deadline,
                                  CallOptions options) {
  auto call = std::make_shared<ServerStream::Call>(core_->what(method), std::move(request), core_->message_size_max);
  prepare(call->context, deadline, core_->metadata, options);
  core_->stub.PrepareBidiStreamingCall(&call->context, method, grpc::StubOptions(), call.get());
  call->start();
  return ServerStream(std::move(call));
}

Caller caller_of(Channel& channel) {
  return [&channel](std::string method, std::string request, net::Wait wait) {
    return channel.call(std::move(method), std::move(request), std::move(wait));
  };
}

ChannelPool::ChannelPool(ChannelOptions options, size_t channels_max)
    : options_(std::move(options)), channels_max_(channels_max) {
  CHECK(channels_max_ > 0);
}

Result<std::shared_ptr<Channel>> ChannelPool::get(const std::string& address) {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(address);
  if (found != entries_.end() && !found->second.channel->pauses()) {
    found->second.used = ++clock_;
    return found->second.channel;
  }
  ASSIGN_OR_RETURN(std::shared_ptr<Channel> channel, Channel::create(address, options_));
  if (found == entries_.end() && entries_.size() >= channels_max_) {
    // An eighth at once: where more servers are asked than are kept, one is dropped with each call.
    std::vector<uint64_t> uses;
    for (const auto& [name, entry] : entries_) uses.push_back(entry.used);
    const auto last = uses.begin() + static_cast<std::ptrdiff_t>((uses.size() - 1) / 8);
    std::ranges::nth_element(uses, last);
    std::erase_if(entries_, [&](const auto& entry) { return entry.second.used <= *last; });
  }
  entries_[address] = {.channel = channel, .used = ++clock_};
  return channel;
}

void ChannelPool::forget(const std::string& address) {
  const std::scoped_lock lock(mutex_);
  entries_.erase(address);
}

size_t ChannelPool::size() const {
  const std::scoped_lock lock(mutex_);
  return entries_.size();
}

}  // namespace vitrail::rpc
