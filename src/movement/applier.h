#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "movement/inbox.h"
#include "movement/server_session.h"
#include "movement/stream_record.h"
#include "movement/aggregate_table.h"
#include "movement/target_table.h"
#include "net/scope.h"

namespace vitrail::movement {

// Writes a stream's rows to the target, together with the stream's position.
//
// Several transactions of the source become one of the target: rows are gathered per table and reduced to what they
// leave behind (RowBatch), then sent in as few messages as possible. Position and rows are committed together, always;
// so what the server holds after any death of anybody is the state of the source at the position it holds.
//
//   Effects : while copying, a table holds some of the source's rows only, and deletes of others find nothing. That is
//   the
//             same code: a row is replaced by delete and insert, and inserts are plain. An insert that meets a row
//             which is there already is an error (errno 1062) that ends the session. In the careful mode, with which
//             the next session begins, such rows are looked for first: one that is equal is left, otherwise the stream
//             has met somebody else's row and stops (kAlreadyExists), for neither may be lost. The mode ends with a
//             commit that has met none: not within a transaction, which would then begin again and again.
//   Loads   : many rows that are only inserted go by LOAD DATA LOCAL. It passes over rows that are there, and bends
//             values; both count as errno 1062, so that the careful session, which never loads, says what it is.
//   Large   : while the server works on a part of a large transaction the next part is gathered. Memory holds two.
//   Threads : one loop. One call at a time. After an error the session must be closed.
class Applier {
 public:
  // All must outlive the applier. `tables`: of the target's database. `scope`: of the session, joined before that goes.
  // `use_load_data`: where the server allows it.
  Applier(ServerSession& session, net::Scope& scope, int32_t stream_id, std::string database, const TableMap& tables,
          bool use_load_data)
      : session_(session),
        scope_(scope),
        stream_id_(stream_id),
        database_(std::move(database)),
        tables_(tables),
        use_load_data_(use_load_data) {}

  void set_careful(bool careful) { careful_ = careful; }
  // Tables of the target whose rows are groups of the source's; must outlive the applier.
  void set_plan(const StreamPlan* plan) { plan_ = plan; }
  // How far the copy of such a table is: AggregateTable::set_copied().
  Status set_copied(const std::string& table, std::optional<::query::QueryResult> last);

  // Whether set_fields() must wait until the rows that came with other columns are flushed.
  bool must_flush_before(const ::binlogdata::FieldEvent& event) const;
  // kFailedPrecondition: table or column do not exist on the target.
  Status set_fields(const ::binlogdata::FieldEvent& event);
  Status add(::binlogdata::RowEvent event);
  // Of the rows that wait.
  uint64_t bytes() const { return bytes_; }
  bool has_rows() const { return open_ || bytes_ != 0; }

  // Begins to send the rows that wait and leaves the transaction open: for transactions of the source that do not fit
  // into memory. What it meets is told by the next flush() or commit(); nobody else may use the session before.
  net::Task<Status> flush();
  // Sends the rows that wait and commits with the position. `more`: further assignments of the stream's row (", state =
  // ..") `extra`: statements in the same transaction.
  //   kNotFound: the stream's row is gone, nothing was written.
  net::Task<Status> commit(std::string position, int64_t timestamp, std::string more = {},
                           std::vector<std::string> extra = {});

  // Adds the rows of a chunk to a table of groups and records progress, in one transaction. The position applied before
  // it is the chunk's. `to`: the chunk's last key; none for the last one. Returns the number of rows.
  net::Task<Result<uint64_t>> copy_groups(std::string table, google::protobuf::RepeatedPtrField<::query::Field> fields,
                                          const Chunk& chunk, const ::query::QueryResult& to);

  net::Wait wait() const { return net::Wait::within(std::chrono::minutes(10)); }

 private:
  using Batches = std::map<std::string, RowBatch>;
  std::string update_sql(std::string_view position, int64_t timestamp, std::string_view more) const;
  Result<bool> add_to_groups(const ::binlogdata::RowEvent& event);
  // What the batches come to: statements, and behind them rows to load.
  struct Work {
    struct Load {
      std::shared_ptr<const TargetTable> table;
      std::string file;
      size_t rows = 0;
    };
    std::vector<std::string> statements;
    std::vector<Load> loads;
  };
  net::Task<Status> send(std::vector<std::string> statements);
  net::Task<Status> load(std::vector<Work::Load> loads);
  // Of the batches, checked against what is there if need be; then the batches are empty.
  net::Task<Result<Work>> take_work();
  net::Task<void> send_part(Work work);
  // Waits for the part that is being sent.
  net::Task<Status> part_sent();
  net::Task<Result<std::vector<const ::query::Row*>>> find_equal(const RowBatch& batch);

  ServerSession& session_;
  net::Scope& scope_;
  const int32_t stream_id_;
  const std::string database_;
  const TableMap& tables_;
  const bool use_load_data_;
  bool careful_ = false;
  size_t looked_for_ = 0;  // Rows, in the careful mode since the last commit,
  size_t met_ = 0;         // and how many of them were there.
  struct Bound {
    std::string fields;  // Serialized FIELD event.
    std::shared_ptr<const TargetTable> table;
  };
  std::map<std::string, Bound> bound_;
  const StreamPlan* plan_ = nullptr;
  struct Groups {
    std::string fields;
    AggregateTable table;
  };
  Result<Groups*> bind_groups(const TablePlan& plan, const google::protobuf::RepeatedPtrField<::query::Field>& fields,
                              std::string text);
  std::map<std::string, Groups> groups_;
  std::map<std::string, ::query::QueryResult> copied_;  // Tables of groups that are being copied.
  std::vector<std::string> counted_;                    // Statements that wait.
  Batches batches_;
  uint64_t bytes_ = 0;
  bool open_ = false;     // A transaction is open on the server.
  bool sending_ = false;  // A part is on its way.
  Status sent_;           // What became of the last one.
  net::Signal part_ended_;
};

// Literals of the key columns of a QueryResult's only row, for key_condition(); empty without a row.
// kFailedPrecondition when its columns are not the table's identity.
Result<std::vector<std::string>> key_values(const TableSchema& table, const ::query::QueryResult& key);

}  // namespace vitrail::movement
