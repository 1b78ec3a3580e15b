#include "topo/etcd/client.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "topo/store.h"

namespace vitrail::topo::etcd {
namespace {

using namespace std::chrono_literals;

constexpr char kRange[] = "/etcdserverpb.KV/Range";
constexpr char kTxn[] = "/etcdserverpb.KV/Txn";
constexpr char kWatch[] = "/etcdserverpb.Watch/Watch";
constexpr char kLeaseGrant[] = "/etcdserverpb.Lease/LeaseGrant";
constexpr char kLeaseRevoke[] = "/etcdserverpb.Lease/LeaseRevoke";
constexpr char kLeaseKeepAlive[] = "/etcdserverpb.Lease/LeaseKeepAlive";
constexpr char kAuthenticate[] = "/etcdserverpb.Auth/Authenticate";

// Room for a page of records, the largest of which etcd itself limits to 1.5 MiB unless told otherwise.
constexpr uint64_t kMessageBytesMax = 64u << 20;
// A server that does not answer is left for another one, if there is one, after this long or more.
constexpr base::Duration kAttemptMin = 1s;

net::Task<Result<std::string>> unary(rpc::Channel& channel, std::string method, std::string request, net::Wait wait,
                                     rpc::CallOptions options) {
  return channel.call(std::move(method), std::move(request), std::move(wait), std::move(options));
}

// The first message of a stream.
net::Task<Result<std::string>> first_of_stream(rpc::Channel& channel, std::string method, std::string request,
                                               net::Wait wait, rpc::CallOptions options) {
  rpc::ServerStream stream =
      channel.open_stream(std::move(method), std::move(request), wait.deadline, std::move(options));
  CO_ASSIGN_OR_RETURN(std::optional<std::string> message, co_await stream.next(wait));
  if (!message) co_return fail(Code::kUnavailable, "etcd at " + channel.address() + " ended a call without an answer");
  co_return std::move(*message);
}

// What a code of etcd means to a caller of Store, where that differs.
Error translate(Error error) {
  const std::string& message = error.message();
  const auto has = [&](std::string_view text) { return message.find(text) != std::string::npos; };
  if (error.code() == Code::kInvalidArgument && has("request is too large")) {
    return Error(Code::kResourceExhausted, message);
  }
  if (error.code() == Code::kUnavailable && has("etcdserver: no leader"))
    return std::move(error).with_effect(Effect::kNone);
  if (error.code() == Code::kUnauthenticated || error.code() == Code::kPermissionDenied ||
      has("etcdserver: authentication failed") || has("etcdserver: user name is empty")) {
    const Code code = error.code() == Code::kInvalidArgument ? Code::kUnauthenticated : error.code();
    return Error(code, "etcd refuses the user (--topo-etcd-username, --topo-etcd-password-file): " + message);
  }
  return error;
}

bool is_bad_token(const Error& error) {
  return error.code() == Code::kUnauthenticated || error.message().find("invalid auth token") != std::string::npos;
}

}  // namespace

Result<std::shared_ptr<Client>> Client::create(const std::string& addresses, const EtcdSettings& settings) {
  std::shared_ptr<Client> client(new Client(addresses, settings));
  rpc::ChannelOptions options;
  options.message_size_max = kMessageBytesMax;
  options.reconnect_max = 1s;
  options.keepalive_timeout = 5s;
  options.tls = {.certificate_file = settings.tls_cert, .key_file = settings.tls_key, .ca_file = settings.tls_ca};
  if (settings.tls_cert.empty() != settings.tls_key.empty()) {
    return fail(Code::kInvalidArgument, "--topo-etcd-tls-cert and --topo-etcd-tls-key belong together");
  }
  if (!settings.username.empty()) {
    ASSIGN_OR_RETURN(client->password_, base::read_file(settings.password_file));
    client->password_.resize(std::min(client->password_.find_first_of("\r\n"), client->password_.size()));
  }
  for (const std::string_view part : base::split(addresses, ',')) {
    std::string_view address = base::trim(part);
    if (address.starts_with("http://")) address.remove_prefix(7);
    if (address.starts_with("https://")) {
      address.remove_prefix(8);
      if (!options.tls.enabled()) return fail(Code::kInvalidArgument, "an https address needs --topo-etcd-tls-ca");
    }
    if (address.empty()) {
      return fail(Code::kInvalidArgument, "\"" + addresses + "\" is not a list of host:port of etcd servers");
    }
    ASSIGN_OR_RETURN(std::shared_ptr<rpc::Channel> channel, rpc::Channel::create(std::string(address), options));
    client->servers_.push_back(std::move(channel));
  }
  return client;
}

void Client::report_failure(size_t server) { current_.compare_exchange_strong(server, (server + 1) % servers_.size()); }

void Client::forget_token() {
  const std::scoped_lock lock(mutex_);
  token_.clear();
}

net::Task<Result<rpc::CallOptions>> Client::options_for(rpc::Channel& channel, net::Wait wait) {
  rpc::CallOptions options;
  if (settings_.username.empty()) co_return options;
  {
    const std::scoped_lock lock(mutex_);
    if (!token_.empty()) {
      options.metadata.emplace_back("token", token_);
      co_return options;
    }
  }
  etcdserverpb::AuthenticateRequest request;
  request.set_name(settings_.username);
  request.set_password(password_);
  CO_ASSIGN_OR_RETURN(const std::string bytes,
                      co_await channel.call(kAuthenticate, request.SerializeAsString(), std::move(wait)));
  etcdserverpb::AuthenticateResponse response;
  if (!response.ParseFromString(bytes)) co_return fail(Code::kInternal, "unreadable answer of etcd to a login");
  const std::scoped_lock lock(mutex_);
  token_ = response.token();
  options.metadata.emplace_back("token", token_);
  co_return options;
}

net::Task<Result<std::string>> Client::call(Attempt attempt, std::string method, std::string request, Kind kind,
                                            net::Wait wait) {
  wait = bounded(std::move(wait), kDefaultOperationWait);
  bool token_renewed = false;
  for (size_t left = servers_.size();;) {
    const size_t server = current_.load();
    rpc::Channel& channel = *servers_[server];
    net::Wait part = wait;
    if (kind == Kind::kRead && left > 1) {
      const auto now = base::system_clock().now();
      part.deadline =
          std::min(wait.deadline, now + std::max(kAttemptMin, (wait.deadline - now) / static_cast<int64_t>(left)));
    }
    Result<std::string> answer = fail(Code::kInternal, "");
    bool sent = false;
    auto options = co_await options_for(channel, part);
    if (options.ok()) {
      sent = true;
      answer = co_await attempt(channel, method, request, part, std::move(*options));
      if (answer.ok()) co_return answer;
    } else {
      answer = std::move(options).error().with_effect(Effect::kNone);
    }
    Error error = translate(std::move(answer).error());
    if (sent && !settings_.username.empty() && is_bad_token(error) && !std::exchange(token_renewed, true)) {
      forget_token();
      continue;
    }
    const bool timed_out = error.code() == Code::kDeadlineExceeded;
    if (error.code() == Code::kUnavailable || timed_out) report_failure(server);
    const bool over = wait.cancel.cancelled() || base::system_clock().now() >= wait.deadline;
    const bool elsewhere = error.code() == Code::kUnavailable || (timed_out && !over);
    const bool harmless = kind == Kind::kRead || error.effect() == Effect::kNone;
    if (--left > 0 && elsewhere && harmless) continue;
    if (kind == Kind::kRead) error = std::move(error).with_effect(Effect::kNone);
    co_return error;
  }
}

template <typename Response>
net::Task<Result<Response>> Client::call(Attempt attempt, std::string method, std::string request, Kind kind,
                                         net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const std::string bytes,
                      co_await call(attempt, method, std::move(request), kind, std::move(wait)));
  Response response;
  if (!response.ParseFromString(bytes)) {
    co_return fail(Code::kInternal, "unreadable answer of etcd to " + method)
        .with_effect(kind == Kind::kRead ? Effect::kNone : Effect::kUnknown);
  }
  co_return response;
}

net::Task<Result<etcdserverpb::RangeResponse>> Client::range(etcdserverpb::RangeRequest request, net::Wait wait) {
  co_return co_await call<etcdserverpb::RangeResponse>(unary, kRange, request.SerializeAsString(), Kind::kRead,
                                                       std::move(wait));
}

net::Task<Result<etcdserverpb::TxnResponse>> Client::txn(etcdserverpb::TxnRequest request, net::Wait wait) {
  co_return co_await call<etcdserverpb::TxnResponse>(unary, kTxn, request.SerializeAsString(), Kind::kWrite,
                                                     std::move(wait));
}

net::Task<Result<int64_t>> Client::grant_lease(std::chrono::milliseconds ttl, net::Wait wait) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(std::max<int64_t>(1, std::chrono::ceil<std::chrono::seconds>(ttl).count()));
  // A lease granted twice is one too many that ends by itself.
  CO_ASSIGN_OR_RETURN(const auto response,
                      co_await call<etcdserverpb::LeaseGrantResponse>(unary, kLeaseGrant, request.SerializeAsString(),
                                                                      Kind::kRead, std::move(wait)));
  if (!response.error().empty()) co_return fail(Code::kUnavailable, "etcd granted no lease: " + response.error());
  co_return response.id();
}

net::Task<Status> Client::revoke_lease(int64_t id, net::Wait wait) {
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(id);
  const auto bytes = co_await call(unary, kLeaseRevoke, request.SerializeAsString(), Kind::kRead, std::move(wait));
  if (!bytes.ok() && bytes.error().code() != Code::kNotFound) co_return bytes.error();
  co_return Status{};
}

net::Task<Result<bool>> Client::keep_alive(int64_t id, net::Wait wait) {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(id);
  const auto response = co_await call<etcdserverpb::LeaseKeepAliveResponse>(
      first_of_stream, kLeaseKeepAlive, request.SerializeAsString(), Kind::kRead, std::move(wait));
  if (response.ok()) co_return response->ttl() > 0;
  if (response.error().code() == Code::kNotFound) co_return false;
  co_return response.error();
}

net::Task<Result<Client::WatchStream>> Client::open_watch(etcdserverpb::WatchCreateRequest request, net::Wait wait) {
  const size_t server = current_.load();
  rpc::Channel& channel = *servers_[server];
  auto options = co_await options_for(channel, bounded(std::move(wait), kDefaultOperationWait));
  if (!options.ok()) {
    report_failure(server);
    co_return std::move(options).error();
  }
  // A server that was cut off from the others ends the stream instead of staying silent.
  options->metadata.emplace_back("hasleader", "true");
  etcdserverpb::WatchRequest message;
  *message.mutable_create_request() = std::move(request);
  co_return WatchStream{
      channel.open_stream(kWatch, message.SerializeAsString(), base::TimePoint::max(), std::move(*options)), server};
}

std::string prefix_end(std::string prefix) {
  while (!prefix.empty()) {
    const auto last = static_cast<unsigned char>(prefix.back());
    prefix.pop_back();
    if (last != 0xff) return prefix + static_cast<char>(last + 1);
  }
  return std::string(1, '\0');
}

}  // namespace vitrail::topo::etcd
