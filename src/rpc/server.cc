#include "rpc/server.h"

#include <fmt/core.h>
#include <grpc/grpc_security_constants.h>
#include <grpc/support/time.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <map>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "net/loop.h"
#include "net/scope.h"
#include "rpc/library.h"
#include "rpc/listening.h"
#include "rpc/status.h"

namespace vitrail::rpc {
namespace {

struct Method {
  net::Loop* loop = nullptr;
  net::Scope* scope = nullptr;  // Of the loop; used on the loop only.
  UnaryHandler unary;
  StreamHandler stream;
  uint64_t message_size_max = 0;  // Of what it sends; 0: as the server.
};

base::TimePoint deadline_of(const grpc::GenericCallbackServerContext& context) {
  const gpr_timespec deadline = context.raw_deadline();
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) return base::TimePoint::max();
  const gpr_timespec left =
      gpr_time_sub(gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC), gpr_now(GPR_CLOCK_MONOTONIC));
  static constexpr int64_t kSecondsMax = 10ll * 365 * 86'400;
  if (left.tv_sec > kSecondsMax) return base::TimePoint::max();
  return base::system_clock().now() + std::chrono::seconds(left.tv_sec) + std::chrono::nanoseconds(left.tv_nsec);
}

Metadata metadata_of(const grpc::GenericCallbackServerContext& context) {
  Metadata metadata = {{":authority", context.host()}};  // The address that the client called.
  for (const auto& [key, value] : context.client_metadata()) {
    metadata.emplace_back(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
  }
  return metadata;
}

// Answers a call that gets no handler.
class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  Refusal(grpc::GenericCallbackServerContext& context, const Error& error) {
    context.AddTrailingMetadata(internal::kErrorKey, internal::error_detail(error));
    Finish(internal::to_grpc_status(error));
  }
  void OnDone() override { delete this; }
};

}  // namespace

std::string_view CallContext::find_metadata(std::string_view key) const {
  for (const auto& [name, value] : metadata) {
    if (name == key) return value;
  }
  return {};
}

// The service that gets every call, and what it shares with the calls.
class Server::Impl final : public grpc::CallbackGenericService {
 public:
  explicit Impl(ServerOptions opts) : options(std::move(opts)) {
    if (options.metrics == nullptr) return;
    calls =
        &options.metrics->counters("GrpcServerCalls", "gRPC calls answered, by method and status", {"method", "code"});
    calls_active = &options.metrics->gauge("GrpcServerCallsActive", "gRPC calls that run now");
    refused_peers = &options.metrics->counters(
        "GrpcServerRefusedPeers", "gRPC calls refused because of who called (certificate, credentials)", {"reason"});
    options.metrics->gauge("GrpcServerInsecure", "1: gRPC without TLS and authentication on a reachable address")
        .set(options.insecure ? 1 : 0);
  }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override;

  Method& add(std::string name, net::Loop& loop) {
    CHECK(server == nullptr);
    std::unique_ptr<net::Scope>& scope = scopes[&loop];
    if (scope == nullptr) scope = std::make_unique<net::Scope>();
    const auto [position, inserted] = methods.try_emplace(std::move(name));
    CHECK(inserted);
    position->second.loop = &loop;
    position->second.scope = scope.get();
    return position->second;
  }

  // Whether this client may call at all.
  Status admit(const grpc::GenericCallbackServerContext& grpc_context, CallContext& context) const;

  void count(const std::string& method, Code code) const {
    if (calls != nullptr) calls->with({method, std::string(base::code_name(code))}).add();
  }

  const ServerOptions options;
  std::map<std::string, Method, std::less<>> methods;  // Constant after start().
  std::map<net::Loop*, std::unique_ptr<net::Scope>> scopes;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  std::atomic<size_t> active{0};
  std::unique_ptr<net::ClientCertificates> clients;  // With options.tls.ca_file, after start().
  base::Family<base::Counter>* calls = nullptr;
  base::Family<base::Counter>* refused_peers = nullptr;
  base::Gauge* calls_active = nullptr;
};

namespace {

// One call with a handler. gRPC's reactions arrive on its threads and are posted to the handler's loop; everything not
// said otherwise is used on that loop only.
//
// Life: made by CreateReactor; the handler's coroutine always calls finish() once, and gRPC calls OnDone() only after
// that, so the coroutine may use the object until finish().
class Call final : public grpc::ServerGenericBidiReactor, public Writer {
 public:
  Call(grpc::GenericCallbackServerContext& grpc_context, CallContext context, const Method& method,
       uint64_t message_size_max, std::function<void(Code)> on_end, std::shared_ptr<net::CancelSource> cancel)
      : grpc_context_(grpc_context),
        context_(std::move(context)),
        method_(method),
        message_size_max_(message_size_max),
        on_end_(std::move(on_end)),
        cancel_(std::move(cancel)) {
    StartRead(&buffer_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      finish(fail(Code::kInternal, "the client sent no request"));
      return;
    }
    method_.loop->post([this] { method_.scope->spawn(run(*this)); });
  }

  void OnCancel() override {
    // May still wait in the loop's queue when the call has ended, so it must not need this object.
    method_.loop->post([cancel = cancel_] { cancel->cancel(); });
  }

  void OnWriteDone(bool ok) override {
    method_.loop->post([this, ok] {
      writing_ = false;
      write_failed_ = write_failed_ || !ok;
      written_.notify_all();
    });
  }

  void OnDone() override { delete this; }

  net::Task<Status> write(std::string message) override {
    if (message.size() > message_size_max_) co_return too_long(message.size());
    co_await write_ended();
    if (write_failed_ || cancel_->cancelled()) co_return fail(Code::kCanceled, "the client of the stream is gone");
    buffer_ = internal::to_buffer(std::move(message));
    writing_ = true;
    StartWrite(&buffer_);
    co_return Status{};
  }

 private:
  static net::Task<void> run(Call& call) {
    Result<std::string> request = internal::from_buffer(call.buffer_);
    call.buffer_.Clear();
    if (!request.ok()) {
      call.finish(request.error());
      co_return;
    }
    if (call.method_.unary) {
      Result<std::string> response = co_await call.method_.unary(std::move(call.context_), std::move(*request));
      if (response.ok() && response->size() > call.message_size_max_) {
        response = call.too_long(response->size()).with_effect(Effect::kApplied);
      }
      if (response.ok()) {
        call.finish_with(std::move(*response));
      } else {
        call.finish(response.error());
      }
      co_return;
    }
    const Status status = co_await call.method_.stream(std::move(call.context_), std::move(*request), call);
    co_await call.write_ended();
    if (status.ok()) {
      call.on_end_(Code::kOk);
      call.Finish(grpc::Status::OK);
    } else {
      call.finish(status.error());
    }
  }

  // A write in flight always ends: the transport takes it over, or the call is cancelled.
  net::Task<void> write_ended() {
    while (writing_) (void)co_await written_.wait({});
  }

  Error too_long(size_t size) const {
    return fail(Code::kResourceExhausted,
                fmt::format("the answer of {} bytes is larger than the server sends: raise --grpc-max-message-size of "
                            "the server, which is {}, and of its clients",
                            size, message_size_max_));
  }

  // The object may be gone when these return.
  void finish(const Error& error) {
    grpc_context_.AddTrailingMetadata(internal::kErrorKey, internal::error_detail(error));
    on_end_(error.code());
    Finish(internal::to_grpc_status(error));
  }
  void finish_with(std::string response) {
    on_end_(Code::kOk);
    buffer_ = internal::to_buffer(std::move(response));
    StartWriteAndFinish(&buffer_, grpc::WriteOptions(), grpc::Status::OK);
  }

  grpc::GenericCallbackServerContext& grpc_context_;
  CallContext context_;
  const Method& method_;
  const uint64_t message_size_max_;
  const std::function<void(Code)> on_end_;
  const std::shared_ptr<net::CancelSource> cancel_;
  grpc::ByteBuffer buffer_;
  bool writing_ = false;
  bool write_failed_ = false;
  net::Signal written_;
};

net::Task<Result<std::string>> run_in_process(const Method& method, CallContext context, std::string request) {
  net::Loop* const home = net::Loop::current();
  co_await method.loop->enter();
  Result<std::string> response = co_await method.unary(std::move(context), std::move(request));
  if (home != nullptr) co_await home->enter();
  co_return response;
}

net::Task<Result<std::string>> no_such_method(std::string method) {
  co_return fail(Code::kUnimplemented, fmt::format("unknown method {}", method));
}

}  // namespace

Status Server::Impl::admit(const grpc::GenericCallbackServerContext& grpc_context, CallContext& context) const {
  const auto refuse = [&](const char* reason, Error error) {
    static auto* const limit = new base::LogLimit(std::chrono::seconds(1));
    if (limit->allow()) {
      log_warning("{} refused: {}: {} ({} similar before)", context.peer, reason, error.message(), limit->suppressed());
    }
    if (refused_peers != nullptr) refused_peers->with({reason}).add();
    return error;
  };
  if (clients != nullptr) {
    // The client's own certificate first: at a server, what the library calls the chain begins behind it.
    std::string chain;
    for (const char* property : {GRPC_X509_PEM_CERT_PROPERTY_NAME, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME}) {
      for (const grpc::string_ref& part : grpc_context.auth_context()->FindPropertyValues(property)) {
        chain.append(part.data(), part.size());
      }
      if (chain.empty()) break;
    }
    auto subject = clients->check(chain);
    if (!subject.ok()) return refuse("certificate", std::move(subject).error());
    context.peer_subject = std::move(*subject);
  }
  if (options.authenticate) {
    Status allowed = options.authenticate(context);
    if (!allowed.ok()) return refuse("credentials", std::move(allowed).error());
  }
  return {};
}

grpc::ServerGenericBidiReactor* Server::Impl::CreateReactor(grpc::GenericCallbackServerContext* context) {
  const auto refuse = [&](const std::string& counted_as, const Error& error) {
    count(counted_as, error.code());
    return new Refusal(*context, error);
  };
  const auto found = methods.find(context->method());
  if (found == methods.end()) {
    // Not counted by its name: clients must not be able to make metrics.
    return refuse("unknown", fail(Code::kUnimplemented, fmt::format("unknown method {}", context->method())));
  }
  auto cancel = std::make_shared<net::CancelSource>();
  CallContext call_context{.method = context->method(),
                           .peer = context->peer(),
                           .deadline = deadline_of(*context),
                           .cancel = cancel->token(),
                           .metadata = metadata_of(*context)};
  if (const Status admitted = admit(*context, call_context); !admitted.ok()) {
    return refuse(found->first, admitted.error());
  }
  if (active.fetch_add(1) >= options.calls_max) {
    active.fetch_sub(1);
    return refuse(found->first,
                  fail(Code::kResourceExhausted, fmt::format("{} calls are running already", options.calls_max))
                      .with_retry(Retry::kSameTarget));
  }
  if (calls_active != nullptr) calls_active->add(1);
  const auto on_end = [this, &name = found->first](Code code) {
    count(name, code);
    active.fetch_sub(1);
    if (calls_active != nullptr) calls_active->add(-1);
  };
  const uint64_t size_max =
      found->second.message_size_max != 0 ? found->second.message_size_max : options.message_size_max;
  return new Call(*context, std::move(call_context), found->second, size_max, on_end, std::move(cancel));
}

Server::Server(ServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) { internal::prepare_grpc(); }

Server::~Server() { CHECK(impl_->server == nullptr); }

void Server::handle_unary(std::string method, net::Loop& loop, UnaryHandler handler) {
  impl_->add(std::move(method), loop).unary = std::move(handler);
}

void Server::handle_server_stream(std::string method, net::Loop& loop, StreamHandler handler,
                                  uint64_t message_size_max) {
  Method& added = impl_->add(std::move(method), loop);
  added.stream = std::move(handler);
  added.message_size_max = message_size_max;
}

Caller Server::in_process() {
  return [this](std::string name, std::string request, net::Wait wait) {
    const auto found = impl_->methods.find(name);
    if (found == impl_->methods.end() || !found->second.unary) return no_such_method(std::move(name));
    CallContext context{.method = std::move(name),
                        .peer = "in process",
                        .deadline = wait.deadline,
                        .cancel = wait.cancel,
                        .metadata = {}};
    return run_in_process(found->second, std::move(context), std::move(request));
  };
}

Status Server::start() {
  const ServerOptions& options = impl_->options;
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (options.tls.enabled()) {
    // The handshake proves that the client has its certificate's key; whether it is a good one, every call is asked
    // (admit), which can answer, count and log.
    grpc::SslServerCredentialsOptions ssl(options.tls.ca_file.empty()
                                              ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                              : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
    ASSIGN_OR_RETURN(net::KeyPair pair, net::load_key_pair(options.tls));
    ssl.pem_key_cert_pairs.push_back({std::move(pair.key), std::move(pair.chain)});
    if (!options.tls.ca_file.empty()) {
      ASSIGN_OR_RETURN(ssl.pem_root_certs, base::read_file(options.tls.ca_file));
      ASSIGN_OR_RETURN(impl_->clients, net::ClientCertificates::load(options.tls.ca_file, options.tls.crl_file));
    }
    credentials = grpc::SslServerCredentials(ssl);
  }
  const auto milliseconds = [](base::Duration d) {
    return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
  };
  const std::string host = options.host.empty()                          ? "0.0.0.0"
                           : options.host.find(':') != std::string::npos ? "[" + options.host + "]"
                                                                         : options.host;
  const bool local = options.host.starts_with("unix:");
  const std::string address = local ? options.host : fmt::format("{}:{}", host, options.port);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, credentials, &impl_->port);
  builder.RegisterCallbackGenericService(impl_.get());
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.message_size_max));
  builder.SetMaxSendMessageSize(-1);  // What a call may send is up to its method: Call::message_size_max_.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // Else two servers share a port without a word.
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, internal::kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             milliseconds(options.ping_interval_min));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  impl_->server = builder.BuildAndStart();
  if (impl_->server == nullptr || impl_->port == 0) {
    impl_->server.reset();
    return fail(Code::kUnavailable,
                fmt::format("cannot listen for gRPC on {}{}", address,
                            local ? "" : ": " + internal::why_not_listening(options.host, options.port)));
  }
  return {};
}

uint16_t Server::port() const { return static_cast<uint16_t>(impl_->port); }

net::Task<Status> Server::stream_local(std::string method, std::string request,
                                       std::function<void(const std::string& message)> take, net::Wait wait) {
  const auto found = impl_->methods.find(method);
  if (found == impl_->methods.end() || !found->second.stream) {
    co_return fail(Code::kUnimplemented, fmt::format("unknown method {}", method));
  }
  class Taker final : public Writer {
   public:
    explicit Taker(const std::function<void(const std::string&)>& to) : to_(to) {}
    net::Task<Status> write(std::string message) override {
      to_(message);
      co_return Status{};
    }

   private:
    const std::function<void(const std::string&)>& to_;
  } writer(take);
  net::Loop* const home = net::Loop::current();
  CallContext context{.method = method, .peer = "in process", .deadline = wait.deadline, .cancel = wait.cancel};
  co_await found->second.loop->enter();
  Status done = co_await found->second.stream(std::move(context), std::move(request), writer);
  co_await home->enter();
  co_return done;
}

net::Task<void> Server::stop(base::Duration grace) {
  if (impl_->server == nullptr) co_return;
  net::Loop* const home = net::Loop::current();
  // Blocks until every call has ended, and so until every handler has called finish().
  co_await net::offload([server = impl_->server.get(), grace] {
    server->Shutdown(std::chrono::system_clock::now() + grace);
    return true;
  });
  for (auto& [loop, scope] : impl_->scopes) {
    co_await loop->enter();
    co_await scope->join();
  }
  co_await home->enter();
  co_await net::offload([this] {
    impl_->server.reset();
    return true;
  });
}

}  // namespace vitrail::rpc
