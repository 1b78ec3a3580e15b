#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "movement/copy_progress.h"
#include "movement/inbox.h"
#include "movement/server_session.h"
#include "movement/target_table.h"
#include "net/scope.h"
#include "net/sync.h"

namespace vitrail::movement {

// Rows of one interval of keys at one position.
struct CopyPiece {
  std::shared_ptr<const TargetTable> table;
  Chunk chunk;
  ::query::QueryResult from;  // See ChunkWriter::write().
  ::query::QueryResult to;
};

// Connections over which a stream puts pieces of its copy into the target, several at a time.
//
//   Life    : each has a named lock, taken while the stream's connection holds the stream's. A later life of the stream
//             waits for all of them, and ends those that do not go: then what they did is decided.
//   Bounds  : one piece a lane; of all streams together as many as `permits` has.
//   Threads : one loop.
//   End     : `scope` has been joined before destruction.
class CopyLanes {
 public:
  struct Options {
    ServerLogin login;
    int32_t stream_id = 0;
    size_t count = 1;  // At most kLanesMax.
    bool use_load_data = true;
  };
  static constexpr size_t kLanesMax = 16;

  // `wake` is notified whenever a piece has ended. All must outlive it.
  CopyLanes(Options options, net::Scope& scope, net::Semaphore& permits, net::Signal& wake);

  // `main`: the stream's own connection, which holds the stream's lock.
  //   kUnavailable: another life of the stream has taken over.
  net::Task<Status> open(ServerSession& main, net::CancelToken cancel);
  // Closes the connections; no piece is on its way.
  void close();

  size_t count() const { return options_.count; }
  bool has_room() const;
  bool idle() const { return progress_.unfinished() == 0; }
  // Of a piece; the session must end then.
  const std::optional<Error>& error() const { return error_; }
  // has_room() must hold, and the target must stand at the piece's position until the piece has ended.
  void start(CopyPiece piece);
  std::optional<CopyProgress::Reached> take_progress() { return progress_.take(); }

  static std::string lock_name(int32_t stream_id, size_t lane);
  // Ends the connections of an earlier life. `main` holds the stream's lock.
  static net::Task<Status> end_earlier(ServerSession& main, int32_t stream_id, net::CancelToken cancel);

 private:
  struct Lane {
    std::unique_ptr<ServerSession> session;
    bool busy = false;
  };
  net::Task<void> run(Lane& lane, uint64_t number, CopyPiece piece);

  const Options options_;
  net::Scope& scope_;
  net::Semaphore& permits_;
  net::Signal& wake_;
  std::vector<Lane> lanes_;
  CopyProgress progress_;
  std::optional<Error> error_;
};

// Settings of a session that writes rows. Waits for other people's locks are short: the stream tries again, and can be
// stopped in between.
std::vector<std::string> apply_session_settings();

}  // namespace vitrail::movement
