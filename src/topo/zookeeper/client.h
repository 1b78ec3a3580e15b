#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/cancel.h"
#include "net/sync.h"
#include "net/task.h"
#include "topo/zookeeper/settings.h"

// Internal to topo/zookeeper: ZooKeeper's C client, whose own threads call back, for coroutines on our loops.
namespace vitrail::topo::zookeeper {

struct Znode {
  uint64_t created = 0;  // czxid: tells apart two lives of one path.
  int32_t version = 0;
  int64_t owner = 0;  // Session of an ephemeral znode, else 0.
  int32_t bytes = 0;
  int32_t children = 0;
};

enum class Answer : uint8_t { kOk, kNoNode, kNodeExists, kBadVersion, kNotEmpty };

struct Reply {
  Answer answer = Answer::kOk;
  Znode znode;
  std::string data;
  std::vector<std::string> names;
};

struct Op {
  enum class Kind : uint8_t { kCreate, kCreateQueued, kSet, kRemove, kCheck };
  Kind kind = Kind::kCheck;
  std::string path;
  std::string data = {};
  int32_t version = -1;
};

struct Written {
  Answer answer = Answer::kOk;
  size_t refused = 0;     // Which operation was, when there is an answer other than kOk.
  int32_t version = 0;    // Of the last kSet.
  std::string path = {};  // Of the last kCreateQueued.
};

// Of the reads of one operation, which shall see every write that was completed before it began. A ZooKeeper server
// answers reads by itself, and may be behind the others. So the first read in a session goes behind a sync, which makes
// the server catch up with its leader; both are one round trip of the client. The reads that follow need none: a
// session never goes back in time, whatever server it moves to. Neither does a read that follows a write or an event of
// this session, as far as what it looks for came before that.
//
// The sync is as good as ZooKeeper's: a leader that does not know yet that it was replaced, for at most its syncLimit,
// answers for itself.
struct Freshness {
  int64_t synced_session = 0;
};

struct Call;
struct Handle;

// Something that wants to hear of events at one path (or also below it) and of the session. Confined to the loop that
// made it, but for what the client's mutex guards.
struct Interest {
  Interest(std::string at, bool and_below) : path(std::move(at)), below(and_below) {}
  net::Loop* const loop = net::Loop::current();
  const std::string path;  // Empty: the session only.
  const bool below;
  net::Signal changed;
  std::set<std::string> paths;    // Where something happened. This and the rest: guarded by the client's mutex.
  bool session_replaced = false;  // Everything may have happened.
  bool posted = false;
};

// A session, replaced when it expires.
//
//   Threads : any; a call resumes on its caller's loop.
//   Time    : every wait has a deadline.
//   Errors  : kUnavailable when no server answers for kReconnectFor, also kDeadlineExceeded, kCanceled,
//             kPermissionDenied, kUnauthenticated. Reads are repeated over a lost connection, writes are not (Effect
//             kUnknown).
class Client : public std::enable_shared_from_this<Client> {
 public:
  static constexpr std::chrono::seconds kReconnectFor{5};

  Client(std::string addresses, ZkSettings settings, std::string auth_scheme, std::string auth)
      : addresses_(std::move(addresses)),
        settings_(std::move(settings)),
        auth_scheme_(std::move(auth_scheme)),
        auth_(std::move(auth)) {}
  ~Client();

  using Fresh = std::shared_ptr<Freshness>;  // Null: as this session knows it.
  // With `watch`, the next change is reported to Interests. A znode that is not there is only watched by exists().
  net::Task<Result<Reply>> get(std::string path, bool watch, net::Wait wait, Fresh fresh);
  net::Task<Result<Reply>> exists(std::string path, bool watch, net::Wait wait, Fresh fresh);
  net::Task<Result<Reply>> children(std::string path, bool watch, net::Wait wait, Fresh fresh);
  // All or nothing. `session`: only while this one lives, else kFailedPrecondition.
  net::Task<Result<Written>> write(std::vector<Op> ops, net::Wait wait, std::optional<int64_t> session = {});
  // Sent in order, each for itself, without waiting for the outcome.
  void remove_soon(std::vector<std::string> paths, int64_t session);

  std::shared_ptr<Interest> add_interest(std::string path, bool below);
  void remove_interest(const std::shared_ptr<Interest>& interest);
  struct News {
    std::set<std::string> paths;
    bool session_replaced = false;
    bool any() const { return session_replaced || !paths.empty(); }
  };
  // What happened since the last time.
  News take_news(Interest& interest);

  // The id of the present session; connects when there is none.
  net::Task<Result<int64_t>> session(net::Wait wait);
  bool closed() const;
  Error closed_error() const;
  // As agreed with the server.
  std::chrono::milliseconds session_timeout() const {
    const std::scoped_lock lock(mutex_);
    return session_timeout_;
  }
  net::Task<void> close();

  // Called by the C client's threads.
  void on_event(Handle& handle, int type, int state, const char* path, int timeout_ms);
  void release_slot();

 private:
  enum class State : uint8_t { kNone, kConnecting, kConnected, kClosed };
  struct Slot;
  // The handle of a connected session.
  net::Task<Result<std::shared_ptr<Handle>>> connected(net::Wait wait);
  net::Task<Status> take_slot(net::Wait wait);
  // Sends and waits.
  net::Task<Result<int>> run(std::shared_ptr<Call> call, net::Wait wait, std::optional<int64_t> session);
  net::Task<Result<Reply>> read(int kind, std::string path, bool watch, net::Wait wait, Fresh fresh);
  void open_handle(std::shared_ptr<Handle> handle);
  void drop_handle_locked();
  static void wake_locked(const std::shared_ptr<Interest>& interest);
  Error error_of(int code, const std::string& what) const;

  const std::string addresses_;
  const ZkSettings settings_;
  const std::string auth_scheme_;
  const std::string auth_;

  mutable std::mutex mutex_;  // Guards the rest.
  State state_ = State::kNone;
  std::shared_ptr<Handle> handle_;
  std::optional<Error> refused_;  // Why the last attempt to connect can never succeed.
  std::chrono::milliseconds session_timeout_ = settings_.base_timeout;
  std::set<std::shared_ptr<Interest>> interests_;
  uint32_t under_way_ = 0;
  std::deque<std::shared_ptr<Slot>> slots_;
};

// Registered while it lives.
class Interested {
 public:
  Interested(std::shared_ptr<Client> client, std::string path, bool below = false)
      : client_(std::move(client)), interest_(client_->add_interest(std::move(path), below)) {}
  ~Interested() { client_->remove_interest(interest_); }
  Interested(const Interested&) = delete;
  Interested& operator=(const Interested&) = delete;
  Client::News take() { return client_->take_news(*interest_); }
  net::Task<Status> wait(net::Wait wait) { return interest_->changed.wait(std::move(wait)); }

 private:
  const std::shared_ptr<Client> client_;
  const std::shared_ptr<Interest> interest_;
};

}  // namespace vitrail::topo::zookeeper
