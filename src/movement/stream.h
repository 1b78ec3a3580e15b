#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "movement/applier.h"
#include "movement/engine.h"
#include "movement/filter.h"
#include "movement/inbox.h"
#include "movement/source_probe.h"
#include "movement/stream_options.h"
#include "movement/stream_plan.h"
#include "movement/time_zones.h"
#include "movement/stream_record.h"
#include "mysql/gtid.h"
#include "net/scope.h"
#include "rpc/client.h"

namespace vitrail::movement {

struct KeyOwner;

// What the streams of an engine share. Must outlive them.
struct StreamContext {
  EngineOptions options;
  base::Counter* rows_copied = nullptr;
  base::Counter* transactions = nullptr;
  base::Counter* commits = nullptr;
  base::Counter* errors = nullptr;
  net::Semaphore* pieces = nullptr;  // How many pieces of copies may be on their way at the same time.
  size_t* copying = nullptr;         // Streams that copy now.

  ServerLogin apply_login() const {
    return {options.mysqld, options.apply_user, options.apply_password, options.sidecar};
  }
};

// One row of _vt.vreplication at work.
//
// A life of the stream (session) begins with a connection to the target's server that takes the stream's named lock, so
// that the connections of an earlier life, of this or of a killed process, have ended and what they did is decided.
// Then the row is read, and it alone says where to go on.
//
// Copying, for each table: the source gives rows in pieces, each an interval of keys with the exact position S of the
// snapshot in which it was read; several pieces, one behind the other, may have the same S. Before a piece is put into
// the target, events are applied up to its S, not further, and that is committed; while a piece is on its way no event
// is applied. Then any number of pieces of this S are inserted at the same time, each in a transaction and over a
// connection of its own. What is recorded, with the position, is the last key up to which all pieces are in.
//   Claim: let D be the intervals that are in, recorded or not. At each committed position p the target holds, of every
//   table of the filter, all source rows as of p with keys in D, and of the rest some of the source rows as of p, none
//   in another form. It holds at first: D is empty and there are no rows. An event keeps it: it changes the row in
//   question to what the source has after it (replaced, inserted or removed, whether or not it was there), and no
//   other. A piece keeps it, and adds its interval to D: p = S from before its first statement until after its commit,
//   at p = S it is all source rows of its interval, and what of them is there already is equal. In which order pieces
//   of one S are committed does not matter, since each touches its own interval. A death keeps it: a piece that was not
//   committed leaves nothing; one that was, and is not recorded, is among "the rest", whose rows may be there: its
//   interval is read again, at some later S, and met by what is there as by what events have brought.
//   No piece of an earlier life is on its way when p moves in a later one: their connections hold named locks, which a
//   life waits for before it reads its row (copy_lanes.h).
// So no event has to be left out or compared with the progress of the copy. When all tables are done, which is recorded
// when no piece is on its way, the target equals the source at p, and following goes on from there.
//
//   Threads : the engine's loop.
class Stream {
 public:
  Stream(const StreamContext& context, int32_t id);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Runs until `cancel`, or until the row says that the stream is stopped or in error. Once.
  net::Task<void> run(net::CancelToken cancel);

  int32_t id() const { return id_; }
  // The row as read last, with position, state and message kept up to date.
  const StreamRecord& record() const { return record_; }
  bool ended() const { return ended_; }
  // Somebody waits for it or holds it.
  bool in_use() const { return waiters_ != 0 || hold_ != nullptr; }
  base::Duration lag() const;

  // Waits until the position is committed.
  //   kFailedPrecondition: the stream ended before. Errors of Wait.
  net::Task<Status> wait_for(mysql::Position position, net::Wait wait);

  // Keeps a running stream from applying anything, and lets it go on to exact positions: for comparisons.
  // At most one at a time; must end before the stream is destroyed.
  class Hold {
   public:
    explicit Hold(Stream& stream) : stream_(stream) {}
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    // Waits until the stream stands still between two transactions.
    //   kFailedPrecondition: the stream is not running, or is held already.
    net::Task<Status> acquire(net::Wait wait);
    // Lets it apply everything up to `position` and waits for that.
    //   kAborted: the stream is beyond the position already.
    net::Task<Status> run_to(mysql::Position position, net::Wait wait);

   private:
    friend class Stream;
    Stream& stream_;
    uint64_t number_ = 0;
    bool held_ = false;
    std::optional<mysql::Position> target_;
    std::optional<Status> reached_;
  };

  // Of the running session; null and empty without one.
  std::shared_ptr<rpc::Channel> channel() const { return channel_; }
  const SourceEndpoint& endpoint() const { return endpoint_; }
  // May be ahead of what is committed.
  const std::string& applied_position() const { return position_text_; }
  ::query::Target source_target() const;
  // The select that a VStreamRows of this table takes.
  std::string row_query(std::string_view table) const;
  bool carries(std::string_view table) const;
  // The rows of the target's table are groups of the source's.
  bool adds_up(std::string_view table) const { return aggregation(table) != nullptr; }
  // How; null: they are not.
  const TablePlan* aggregation(std::string_view table) const;
  // How the rows of the target's table are made of those that come; null: they come as they are.
  const TablePlan* derivation(std::string_view table) const;
  // Between the source's DATETIME values and the target's.
  TimeZones time_zones() const { return time_zones_of(record_.source); }
  // Which of the target's rows are the stream's, as SQL: those of the workflow's tenant. Empty: all.
  std::string target_condition(std::string_view table) const;
  bool is_following() const { return following_; }
  // Cancelled when the stream is being stopped.
  const net::CancelToken& token() const { return cancel_; }

 private:
  struct Session;
  enum class Advance : uint8_t { kReached, kBeyond };

  net::Task<Status> run_session();
  net::Task<Status> take_lock(Session& session);
  net::Task<Status> connect_source(Session& session);
  // Notices a replica that is not what its primary is any more, and leaves it when there is another source.
  net::Task<void> watch_source(Session& session);
  void note_source(const SourceHealth& health);
  void start_events(Session& session);
  net::Task<Status> begin_copy(Session& session);
  // All tables are copied as of one moment (copy_snapshot.h).
  bool is_atomic() const { return record_.workflow_sub_type == ::binlogdata::AtomicCopy; }
  net::Task<Status> begin_copy_again(Session& session);
  net::Task<Status> copy(Session& session);
  struct TableCopy;
  net::Task<Status> open_lanes(Session& session);
  net::Task<Status> copy_table(Session& session, CopyState state);
  net::Task<Status> copy_chunks(Session& session, TableCopy& copy, ChunkInbox& chunks);
  net::Task<Status> add_to_groups(Session& session, TableCopy& copy, const Chunk& chunk, ChunkInbox& chunks);
  // Waits for the next piece of the source, or its end.
  net::Task<Status> await_chunk(Session& session, TableCopy& copy, ChunkInbox& chunks);
  // Brings the target to a snapshot's position exactly, and commits that. False: it is beyond.
  net::Task<Result<bool>> reach_snapshot(Session& session, std::string table, std::string gtid);
  // Stores up to which key the table is copied.
  net::Task<Status> record_copied(Session& session, std::string table);
  // Waits until no piece is on its way, and stores that.
  net::Task<Status> drain_lanes(Session& session, std::string table);
  net::Task<Status> end_copy(Session& session, std::string last_table);
  net::Task<Status> follow(Session& session);
  net::Task<Status> serve_hold(Session& session);

  // Applies what has arrived, up to a group's size, and not beyond `stop`.
  net::Task<Status> apply_group(Session& session, const mysql::Position* stop);
  // Whether the throttler wants the stream to wait; then it has waited a little, and the row says why. Never while
  // somebody waits for a position: a switch has stopped the writes that the servers are to be spared.
  net::Task<Result<bool>> obey_throttle(Session& session, std::string_view component);
  // To the target's time zone, if there is one.
  net::Task<Status> convert_event(Session& session, ::binlogdata::RowEvent& event);
  net::Task<Status> convert_chunk(Session& session, Chunk& chunk,
                                  const google::protobuf::RepeatedPtrField<::query::Field>& fields);
  // The rows that the target is to have, where expressions make them.
  net::Task<Status> derive_event(Session& session, ::binlogdata::RowEvent& event);
  net::Task<Status> derive_chunk(Session& session, TableCopy& copy, const TablePlan& plan, Chunk& chunk,
                                 const google::protobuf::RepeatedPtrField<::query::Field>& fields);
  Status bind_derived(Session& session, ::binlogdata::FieldEvent& event);
  net::Task<Status> note_throttled(Session& session, std::string_view component, std::string reason);
  // Applies what has arrived, or rests.
  net::Task<Status> step(Session& session, const mysql::Position* stop);
  // Waits for something to happen, at most until the next heartbeat is due, which it commits.
  net::Task<Status> rest(Session& session);
  net::Task<Result<Advance>> advance_to(Session& session, mysql::Position stop);
  net::Task<Status> commit(Session& session, std::string more = {}, std::vector<std::string> extra = {});
  // No other stream of the workflow fills this target.
  net::Task<Result<bool>> is_alone(Session& session);
  net::Task<Status> handle_truncate(Session& session, std::string table, std::string statement);
  net::Task<Status> handle_ddl(Session& session, std::string statement);
  Status set_position(std::string position);
  net::Task<Status> finish(Session& session, ::binlogdata::VReplicationWorkflowState state, std::string message);
  net::Task<void> record_error(Error error, bool terminal);
  KeyOwner key_owner() const;
  net::Wait idle_wait(const Session& session) const;

  const StreamContext& context_;
  const int32_t id_;
  net::CancelToken cancel_;
  StreamRecord record_;
  StreamOptions tuned_;
  std::optional<Filter> filter_;
  std::optional<StreamPlan> plan_;
  mysql::Position position_;  // Applied; may be ahead of what is committed.
  std::string position_text_;
  mysql::Position saved_position_;  // Committed.
  int64_t transaction_timestamp_ = 0;
  base::TimePoint fresh_at_;  // When position_ was known to be the source's latest, or its last transaction's time.
  base::TimePoint source_fresh_at_;  // When the source was known to have all that its primary has.
  net::Signal changed_;              // Positions, holds, the end.
  net::Signal wake_;                 // For the session: something arrived or is wanted.
  int waiters_ = 0;                  // Positions are saved at once while somebody waits for one.
  Hold* hold_ = nullptr;
  uint64_t holds_ = 0;
  bool following_ = false;
  bool ended_ = false;
  bool careful_ = false;
  uint64_t progress_ = 0;  // Grows with each step forward.
  base::TimePoint throttled_noted_at_;
  base::LogLimit log_limit_{std::chrono::seconds(10)};
  size_t candidate_ = 0;   // Which source tablet to try.
  size_t candidates_ = 0;  // How many there were.
  std::shared_ptr<rpc::Channel> channel_;
  SourceEndpoint endpoint_;
};

}  // namespace vitrail::movement
