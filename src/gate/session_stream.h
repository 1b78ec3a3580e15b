#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exec/row_merge.h"
#include "gate/session.h"
#include "mysql/messages.h"
#include "net/result_stream.h"
#include "net/scope.h"
#include "net/sync.h"

// Rows on their way from shards to a client, a scratch session or a result: at no time more of them than some batches
// for each shard. Parts of ClientSession, for its own files.
namespace vitrail::gate {

// Where rows of a result go.
class ClientSession::RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void begin(std::span<const mysql::ColumnDef> columns) = 0;
  // One row, as the payload of a message of the text protocol.
  virtual Status row(std::string_view payload) = 0;
  // To be called behind each row: waits while there is no room for more.
  virtual bool full() const { return false; }
  virtual net::Task<Status> flush() { co_return Status{}; }
};

// The client: its rows are sent as they come, but for the first ones, so that a statement that fails early can still be
// answered in another way.
class ClientSession::ClientRows final : public RowSink {
 public:
  explicit ClientRows(ClientSession& session)
      : session_(session), sequence_(session.sequence_), writer_(out_, sequence_) {}

  void begin(std::span<const mysql::ColumnDef> columns) override;
  Status row(std::string_view payload) override;
  Status row(std::span<const mysql::Cell> cells);
  bool full() const override { return out_.size() >= kFull; }
  net::Task<Status> flush() override;
  // The end of the result, with the session's warnings; what is left is sent.
  net::Task<Status> end();

  // Nothing of it has reached the client: forgets it, and the statement can be answered as if there had been nothing.
  bool take_back();
  // The client gets `error` behind its rows.
  net::Task<RunResult> end_with(Error error);
  // The client's connection is of no use any more.
  bool client_gone() const { return gone_; }

 private:
  static constexpr size_t kFull = size_t{64} << 10;

  ClientSession& session_;
  const uint8_t sequence_;  // Of the first frame.
  std::string out_;
  mysql::PacketWriter writer_;
  std::optional<mysql::ResultSetWriter> result_;
  std::vector<mysql::Cell> cells_;
  size_t columns_ = 0;
  bool sent_ = false;
  bool gone_ = false;
};

// A result that is kept, within the budget.
class ClientSession::KeptRows final : public RowSink {
 public:
  KeptRows(net::QueryResult& result, size_t max_rows, base::MemoryBudget::Hold& memory)
      : result_(result), max_rows_(max_rows), memory_(memory) {}
  void begin(std::span<const mysql::ColumnDef> columns) override;
  Status row(std::string_view payload) override;

 private:
  net::QueryResult& result_;
  const size_t max_rows_;
  base::MemoryBudget::Hold& memory_;
  std::vector<mysql::Cell> cells_;
};

// Rows of one shard.
struct ClientSession::RowBatch {
  size_t shard = 0;            // By the place of its text.
  std::string bytes;           // Payloads of the text protocol, one behind the other;
  std::vector<size_t> ends;    // where each of them ends.
  bool last = false;           // No further ones come.
  std::optional<Error> error;  // Instead of them, as ask() would return it.

  void add(std::string_view payload) {
    bytes += payload;
    ends.push_back(bytes.size());
  }
  std::string_view row(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(bytes).substr(begin, ends[i] - begin);
  }
};

// The answers to texts, each on its shard, all at the same time. Each is read by a coroutine of its own, which waits
// when nobody takes what it has read: then its server waits, too.
//
//   Use     : open(); next() or next_of() as long as wanted; then drain() or stop(), in any case.
//   Threads : the session's loop. At most one for each shard on a connection that the session holds.
class ClientSession::ShardStreams {
 public:
  // `apart`: batches are taken by shard (next_of()), else as they come (next()).
  ShardStreams(ClientSession& session, std::vector<ShardText> texts, Digits digits, bool apart);

  // Sends the texts and waits for the columns of all. An error: as ask(); everything has ended then.
  net::Task<Status> open();
  const std::vector<mysql::ColumnDef>& columns() const { return columns_of(0); }
  const std::vector<mysql::ColumnDef>& columns_of(size_t shard) const { return shards_[shard]->stream->columns(); }
  bool alike() const;  // All answer with as many columns.
  size_t size() const { return shards_.size(); }

  // The next batch of any shard: until there were size() last ones.
  net::Task<RowBatch> next();
  net::Task<RowBatch> next_of(size_t shard);

  // Reads what is left and throws it away.
  net::Task<void> drain();
  // Ends the statements: what they still have is not wanted.
  net::Task<void> stop();
  // Behind the end of all: how often servers warned.
  uint64_t warnings() const { return warnings_; }

 private:
  struct Shard {
    ShardText what;
    HeldConnection* held = nullptr;
    net::MysqlPool::Lease own;
    bool begins = false;
    size_t noted = 0;
    std::optional<Running> running;
    std::optional<net::ResultStream> stream;
    net::MysqlPool::Lease& lease() { return held != nullptr ? held->lease : own; }
  };
  using Queue = net::Channel<RowBatch>;

  static net::Task<void> begin(ShardStreams& all, size_t index, std::optional<Error>& error);
  net::Task<Status> send(Shard& shard);
  static net::Task<void> pump(ShardStreams& all, size_t index);
  // Up to the end of the rows; an error, or that nobody wants them, before.
  net::Task<Status> read(size_t index, RowBatch& batch);
  net::Task<std::optional<Error>> finish(Shard& shard, Status read);
  net::Task<RowBatch> pop(Queue& queue);
  net::Task<void> join();
  void throw_away();
  net::Wait row_wait(const Shard& shard) const;
  Queue& queue_of(size_t index) { return *queues_[apart_ ? index : 0]; }

  ClientSession& session_;
  const Digits digits_;
  const bool apart_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::unique_ptr<Queue>> queues_;
  net::Scope scope_;
  bool unwanted_ = false;  // Rows are thrown away;
  bool stopping_ = false;  // and connections that are not held, too.
  uint64_t warnings_ = 0;
};

}  // namespace vitrail::gate
