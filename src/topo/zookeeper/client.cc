#include "topo/zookeeper/client.h"

#define THREADED  // Declares the calls of the client that has threads.
#include <zookeeper/zookeeper.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/clock.h"

namespace vitrail::topo::zookeeper {

using namespace std::chrono_literals;

namespace {

constexpr size_t kDefaultMaxBuffer = 0xfffff;  // jute.maxbuffer, unless set.
constexpr size_t kFrameBytes = 256;            // What a request has beside data and path, at most.
constexpr int kQueuedPathBytes = 4096;

enum ReadKind : int { kGet, kExists, kChildren };

Znode znode_of(const Stat& stat) {
  return Znode{.created = static_cast<uint64_t>(stat.czxid),
               .version = stat.version,
               .owner = stat.ephemeralOwner,
               .bytes = stat.dataLength,
               .children = stat.numChildren};
}

std::optional<Answer> answer_of(int code) {
  switch (code) {
    case ZOK: return Answer::kOk;
    case ZNONODE: return Answer::kNoNode;
    case ZNODEEXISTS: return Answer::kNodeExists;
    case ZBADVERSION: return Answer::kBadVersion;
    case ZNOTEMPTY: return Answer::kNotEmpty;
    default: return std::nullopt;
  }
}

bool connection_lost(int code) {
  return code == ZCONNECTIONLOSS || code == ZOPERATIONTIMEOUT || code == ZSESSIONEXPIRED || code == ZCLOSING ||
         code == ZINVALIDSTATE || code == ZSESSIONMOVED || code == ZTHROTTLEDOP;
}

}  // namespace

// One session at the C client.
struct Handle {
  std::weak_ptr<Client> client;
  std::mutex mutex;  // Held while the C client is called; guards the rest.
  zhandle_t* zh = nullptr;
  bool closed = false;

  int64_t session() {
    const std::scoped_lock lock(mutex);
    return zh == nullptr ? 0 : zoo_client_id(zh)->client_id;
  }
  // Waits for the C client's threads, and up to three seconds for the server.
  void close() {
    zhandle_t* mine = nullptr;
    {
      const std::scoped_lock lock(mutex);
      closed = true;
      mine = std::exchange(zh, nullptr);
    }
    if (mine != nullptr) zookeeper_close(mine);
  }
};

// One request under way: the C client fills it in on its thread, after which it is its caller's again.
struct Call {
  int read_kind = kGet;
  std::string path;
  bool watch = false;
  std::vector<Op> ops;  // Not empty: a write.
  std::shared_ptr<Freshness> fresh;
  int64_t session = 0;  // That it was sent in.
  bool syncs = false;
  std::atomic<int> sync_code = ZOK;

  Reply reply;
  int code = ZOK;
  std::vector<zoo_op_t> raw;
  std::vector<zoo_op_result_t> results;
  Stat set_stat{};
  std::string queued_path;

  net::Event done;  // On `loop` only.
  std::weak_ptr<Client> client;
  std::mutex mutex;
  net::Loop* loop = net::Loop::current();  // Null when nobody waits any more. Guarded by mutex.

  // Of what the C client holds until it answers.
  using Ref = std::shared_ptr<Call>;
  static const void* hold(const Ref& call) { return new Ref(call); }
  static Ref unhold(const void* held) {
    const std::unique_ptr<const Ref> ref(static_cast<const Ref*>(held));
    return *ref;
  }
  static void finish(const Ref& call, int code) {
    // A connection that is lost between both may have been replaced by one to a server that is behind.
    const int sync_code = call->sync_code.load();
    call->code = sync_code == ZOK ? code : sync_code;
    if (const auto client = call->client.lock()) client->release_slot();
    const std::scoped_lock lock(call->mutex);
    if (call->loop != nullptr) call->loop->post([call] { call->done.set(); });
  }

  static void on_data(int code, const char* value, int bytes, const Stat* stat, const void* held) {
    const Ref call = unhold(held);
    if (code == ZOK) {
      if (bytes > 0) call->reply.data.assign(value, static_cast<size_t>(bytes));
      call->reply.znode = znode_of(*stat);
    }
    finish(call, code);
  }
  static void on_stat(int code, const Stat* stat, const void* held) {
    const Ref call = unhold(held);
    if (code == ZOK) call->reply.znode = znode_of(*stat);
    finish(call, code);
  }
  static void on_names(int code, const String_vector* names, const Stat* stat, const void* held) {
    const Ref call = unhold(held);
    if (code == ZOK) {
      for (int32_t i = 0; i < names->count; ++i) call->reply.names.emplace_back(names->data[i]);
      call->reply.znode = znode_of(*stat);
    }
    finish(call, code);
  }
  static void on_written(int code, const void* held) { finish(unhold(held), code); }
  // Comes before the answer to the read.
  static void on_synced(int code, const char*, const void* held) { unhold(held)->sync_code = code; }

  static int send(const Ref& call, zhandle_t* zh, bool creator_only) {
    call->session = zoo_client_id(zh)->client_id;
    call->syncs = call->fresh != nullptr && call->fresh->synced_session != call->session;
    int code = ZOK;
    if (call->syncs) {
      const void* synced = hold(call);
      code = zoo_async(zh, call->path.c_str(), on_synced, synced);
      if (code != ZOK) {
        finish(unhold(synced), code);
        return code;
      }
    }
    const void* held = hold(call);
    if (!call->ops.empty()) {
      code = call->send_ops(zh, creator_only, held);
    } else if (call->read_kind == kGet) {
      code = zoo_aget(zh, call->path.c_str(), call->watch, on_data, held);
    } else if (call->read_kind == kExists) {
      code = zoo_aexists(zh, call->path.c_str(), call->watch, on_stat, held);
    } else {
      code = zoo_aget_children2(zh, call->path.c_str(), call->watch, on_names, held);
    }
    if (code != ZOK) finish(unhold(held), code);
    return code;
  }

  int send_ops(zhandle_t* zh, bool creator_only, const void* held) {
    raw.resize(ops.size());
    results.resize(ops.size());
    const ACL_vector* acl = creator_only ? &ZOO_CREATOR_ALL_ACL : &ZOO_OPEN_ACL_UNSAFE;
    for (size_t i = 0; i < ops.size(); ++i) {
      const Op& op = ops[i];
      const char* at = op.path.c_str();
      const int bytes = static_cast<int>(op.data.size());
      switch (op.kind) {
        case Op::Kind::kCreate: zoo_create_op_init(&raw[i], at, op.data.data(), bytes, acl, 0, nullptr, 0); break;
        case Op::Kind::kCreateQueued:
          queued_path.assign(kQueuedPathBytes, '\0');
          zoo_create_op_init(&raw[i], at, op.data.data(), bytes, acl, ZOO_EPHEMERAL | ZOO_SEQUENCE, queued_path.data(),
                             kQueuedPathBytes);
          break;
        case Op::Kind::kSet: zoo_set_op_init(&raw[i], at, op.data.data(), bytes, op.version, &set_stat); break;
        case Op::Kind::kRemove: zoo_delete_op_init(&raw[i], at, op.version); break;
        case Op::Kind::kCheck: zoo_check_op_init(&raw[i], at, op.version); break;
      }
    }
    return zoo_amulti(zh, static_cast<int>(ops.size()), raw.data(), results.data(), on_written, held);
  }
};

struct Client::Slot {
  net::Loop* const loop = net::Loop::current();
  net::Event granted;
  bool given = false;  // Guarded by the client's mutex.
};

Client::~Client() {
  if (handle_ != nullptr) net::submit_blocking([handle = std::move(handle_)] { handle->close(); });
}

Error Client::closed_error() const { return fail(Code::kUnavailable, "the ZooKeeper store is closed"); }

bool Client::closed() const {
  const std::scoped_lock lock(mutex_);
  return state_ == State::kClosed;
}

Error Client::error_of(int code, const std::string& what) const {
  const std::string text = what + " in ZooKeeper at " + addresses_ + ": " + zerror(code);
  if (connection_lost(code)) return fail(Code::kUnavailable, text);
  if (code == ZNOAUTH) return fail(Code::kPermissionDenied, text + " (--topo-zk-auth-file)");
  if (code == ZAUTHFAILED) return fail(Code::kUnauthenticated, text + " (--topo-zk-auth-file)");
  if (code == ZBADARGUMENTS || code == ZNOCHILDRENFOREPHEMERALS) return fail(Code::kInvalidArgument, text);
  return fail(Code::kInternal, text);
}

// ---- Interests

std::shared_ptr<Interest> Client::add_interest(std::string path, bool below) {
  auto interest = std::make_shared<Interest>(std::move(path), below);
  const std::scoped_lock lock(mutex_);
  interests_.insert(interest);
  return interest;
}

void Client::remove_interest(const std::shared_ptr<Interest>& interest) {
  const std::scoped_lock lock(mutex_);
  interests_.erase(interest);
}

Client::News Client::take_news(Interest& interest) {
  const std::scoped_lock lock(mutex_);
  interest.posted = false;
  return News{std::exchange(interest.paths, {}), std::exchange(interest.session_replaced, false)};
}

void Client::wake_locked(const std::shared_ptr<Interest>& interest) {
  if (std::exchange(interest->posted, true)) return;
  interest->loop->post([interest] { interest->changed.notify_all(); });
}

void Client::on_event(Handle& handle, int type, int state, const char* path, int timeout_ms) {
  const std::scoped_lock lock(mutex_);
  if (handle_.get() != &handle) return;
  if (type != ZOO_SESSION_EVENT) {
    const std::string_view at(path);
    for (const auto& interest : interests_) {
      const std::string& wanted = interest->path;
      const bool below = interest->below && at.size() > wanted.size() && at.starts_with(wanted) &&
                         (wanted.ends_with('/') || at[wanted.size()] == '/');
      if (wanted.empty() || (at != wanted && !below)) continue;
      interest->paths.emplace(at);
      wake_locked(interest);
    }
    return;
  }
  if (state == ZOO_CONNECTED_STATE) {
    state_ = State::kConnected;
    if (timeout_ms > 0) session_timeout_ = std::chrono::milliseconds(timeout_ms);
  } else if (state == ZOO_EXPIRED_SESSION_STATE) {
    drop_handle_locked();
  } else if (state == ZOO_AUTH_FAILED_STATE) {
    refused_ = fail(Code::kUnauthenticated, "ZooKeeper at " + addresses_ + " refused the login of --topo-zk-auth-file");
    drop_handle_locked();
  } else {
    state_ = State::kConnecting;
  }
  for (const auto& interest : interests_) wake_locked(interest);
}

// The session is over: its locks are gone, and nobody tells its watches anything any more.
void Client::drop_handle_locked() {
  state_ = State::kNone;
  for (const auto& interest : interests_) interest->session_replaced = true;
  if (handle_ != nullptr) net::submit_blocking([handle = std::move(handle_)] { handle->close(); });
  handle_ = nullptr;
}

// ---- Connecting

// On a helper thread, as it asks the name service.
void Client::open_handle(std::shared_ptr<Handle> handle) {
  const auto watcher = [](zhandle_t* zh, int type, int state, const char* path, void* context) {
    auto& mine = *static_cast<Handle*>(context);
    if (const auto client = mine.client.lock()) client->on_event(mine, type, state, path, zoo_recv_timeout(zh));
  };
  bool opened = false;
  {
    const std::scoped_lock lock(handle->mutex);
    if (handle->closed) return;
    handle->zh = zookeeper_init(addresses_.c_str(), watcher, static_cast<int>(settings_.base_timeout.count()), nullptr,
                                handle.get(), 0);
    opened = handle->zh != nullptr;
    if (opened && !auth_scheme_.empty()) {
      opened = zoo_add_auth(handle->zh, auth_scheme_.c_str(), auth_.data(), static_cast<int>(auth_.size()), nullptr,
                            nullptr) == ZOK;
    }
  }
  if (opened) return;
  const std::scoped_lock lock(mutex_);
  if (handle_ != handle) return;
  refused_ = fail(Code::kUnavailable, "cannot find a ZooKeeper server at " + addresses_);
  drop_handle_locked();
  for (const auto& interest : interests_) wake_locked(interest);
}

net::Task<Result<std::shared_ptr<Handle>>> Client::connected(net::Wait wait) {
  const auto give_up = std::min(wait.deadline, base::system_clock().now() + kReconnectFor);
  Interested interested(shared_from_this(), "");
  bool tried = false;
  for (;;) {
    (void)interested.take();
    {
      const std::scoped_lock lock(mutex_);
      if (state_ == State::kClosed) co_return closed_error();
      if (state_ == State::kConnected) co_return handle_;
      if (state_ == State::kNone) {
        if (tried && refused_) co_return *refused_;
        tried = true;
        refused_.reset();
        zoo_set_debug_level(static_cast<ZooLogLevel>(0));  // It would write to standard error.
        handle_ = std::make_shared<Handle>();
        handle_->client = weak_from_this();
        state_ = State::kConnecting;
        net::submit_blocking([self = shared_from_this(), handle = handle_] { self->open_handle(handle); });
      }
    }
    const Status waited = co_await interested.wait(net::Wait::until(give_up, wait.cancel));
    if (waited.ok()) continue;
    if (waited.error().code() == Code::kCanceled) co_return waited.error();
    co_return fail(give_up < wait.deadline ? Code::kUnavailable : Code::kDeadlineExceeded,
                   "ZooKeeper at " + addresses_ + " cannot be reached");
  }
}

net::Task<Result<int64_t>> Client::session(net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto handle, co_await connected(std::move(wait)));
  co_return handle->session();
}

net::Task<void> Client::close() {
  std::shared_ptr<Handle> handle;
  {
    const std::scoped_lock lock(mutex_);
    state_ = State::kClosed;
    handle = std::move(handle_);
    handle_ = nullptr;
    for (const auto& interest : interests_) {
      interest->session_replaced = true;
      wake_locked(interest);
    }
  }
  if (handle == nullptr) co_return;
  (void)co_await net::offload([handle] {
    handle->close();
    return true;
  });
}

// ---- Requests

net::Task<Status> Client::take_slot(net::Wait wait) {
  std::shared_ptr<Slot> slot;
  {
    const std::scoped_lock lock(mutex_);
    if (under_way_ < settings_.max_concurrency) {
      ++under_way_;
      co_return Status{};
    }
    slot = std::make_shared<Slot>();
    slots_.push_back(slot);
  }
  const Status waited = co_await slot->granted.wait(std::move(wait));
  if (waited.ok()) co_return Status{};
  bool given = false;
  {
    const std::scoped_lock lock(mutex_);
    given = slot->given;
    std::erase(slots_, slot);
  }
  if (given) release_slot();
  co_return waited;
}

void Client::release_slot() {
  const std::scoped_lock lock(mutex_);
  if (slots_.empty()) {
    --under_way_;
    return;
  }
  const auto next = std::move(slots_.front());
  slots_.pop_front();
  next->given = true;
  next->loop->post([next] { next->granted.set(); });
}

// The outcome as a code of the C client; an error when there was none in time.
net::Task<Result<int>> Client::run(std::shared_ptr<Call> call, net::Wait wait, std::optional<int64_t> session) {
  if (wait.cancel.cancelled()) co_return fail(Code::kCanceled, "a request to ZooKeeper was cancelled");
  CO_ASSIGN_OR_RETURN(const auto handle, co_await connected(wait));
  CO_RETURN_IF_ERROR(co_await take_slot(wait));
  bool sent = false;
  bool right_session = true;
  {
    const std::scoped_lock lock(handle->mutex);
    if (handle->zh != nullptr) {
      right_session = !session || zoo_client_id(handle->zh)->client_id == *session;
      if (right_session) {
        call->client = weak_from_this();
        Call::send(call, handle->zh, !auth_scheme_.empty());
        sent = true;
      }
    }
  }
  if (!sent) release_slot();
  if (!right_session) co_return fail(Code::kFailedPrecondition, "the ZooKeeper session of a lock has ended");
  if (!sent) co_return static_cast<int>(ZSESSIONEXPIRED);
  const Status waited = co_await call->done.wait(wait);
  if (waited.ok()) co_return call->code;
  const std::scoped_lock lock(call->mutex);
  call->loop = nullptr;
  co_return waited.error();
}

net::Task<Result<Reply>> Client::read(int kind, std::string path, bool watch, net::Wait wait, Fresh fresh) {
  for (;;) {
    auto call = std::make_shared<Call>();
    call->read_kind = kind;
    call->path = path;
    call->watch = watch;
    call->fresh = fresh;
    CO_ASSIGN_OR_RETURN(const int code, co_await run(call, wait, std::nullopt));
    if (const auto answer = answer_of(code)) {
      call->reply.answer = *answer;
      if (call->syncs) fresh->synced_session = call->session;
      co_return std::move(call->reply);
    }
    if (!connection_lost(code)) co_return error_of(code, "reading " + path);
    if (closed()) co_return closed_error();
    // connected() is what waits and gives up; this only keeps from spinning until the loss is known.
    CO_RETURN_IF_ERROR(co_await net::sleep_for(20ms, wait.cancel));
    if (base::system_clock().now() >= wait.deadline) co_return fail(Code::kDeadlineExceeded, "reading " + path);
  }
}

net::Task<Result<Reply>> Client::get(std::string path, bool watch, net::Wait wait, Fresh fresh) {
  return read(kGet, std::move(path), watch, std::move(wait), std::move(fresh));
}
net::Task<Result<Reply>> Client::exists(std::string path, bool watch, net::Wait wait, Fresh fresh) {
  return read(kExists, std::move(path), watch, std::move(wait), std::move(fresh));
}
net::Task<Result<Reply>> Client::children(std::string path, bool watch, net::Wait wait, Fresh fresh) {
  return read(kChildren, std::move(path), watch, std::move(wait), std::move(fresh));
}

net::Task<Result<Written>> Client::write(std::vector<Op> ops, net::Wait wait, std::optional<int64_t> session) {
  size_t bytes = kFrameBytes;
  for (const Op& op : ops) bytes += op.path.size() + op.data.size();
  auto call = std::make_shared<Call>();
  call->ops = std::move(ops);
  call->path = call->ops.back().path;
  const auto done = co_await run(call, std::move(wait), session);
  if (!done.ok()) {
    Error error = done.error();
    if (call->client.expired()) co_return error;  // Never sent.
    co_return std::move(error).with_effect(Effect::kUnknown);
  }
  const int code = *done;
  if (connection_lost(code) && bytes > kDefaultMaxBuffer && !closed()) {
    co_return fail(Code::kResourceExhausted,
                   "ZooKeeper ended the connection over " + call->path + " of " + std::to_string(bytes) +
                       " bytes: start its servers with -Djute.maxbuffer above that (default 1048575)")
        .with_effect(Effect::kUnknown);
  }
  Written written;
  if (code == ZOK) {
    written.version = call->set_stat.version;
    written.path = call->queued_path.c_str();
    co_return written;
  }
  for (size_t i = 0; i < call->results.size(); ++i) {
    const auto answer = answer_of(call->results[i].err);
    if (!answer || *answer == Answer::kOk) continue;
    written.answer = *answer;
    written.refused = i;
    co_return written;
  }
  Error error = error_of(code, "writing " + call->path);
  if (connection_lost(code)) co_return std::move(error).with_effect(Effect::kUnknown);
  co_return error;
}

void Client::remove_soon(std::vector<std::string> paths, int64_t session) {
  std::shared_ptr<Handle> handle;
  {
    const std::scoped_lock lock(mutex_);
    handle = handle_;
  }
  if (handle == nullptr) return;
  const std::scoped_lock lock(handle->mutex);
  if (handle->zh == nullptr || zoo_client_id(handle->zh)->client_id != session) return;
  for (const std::string& path : paths) zoo_adelete(handle->zh, path.c_str(), -1, [](int, const void*) {}, nullptr);
}

}  // namespace vitrail::topo::zookeeper
