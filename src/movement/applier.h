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
#include "movement/target_table.h"

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
//             the next session begins, such a row is looked at first: if it is equal it is left, otherwise the stream
//             has met somebody else's row and stops (kAlreadyExists), for neither may be lost.
//   Threads : one loop. One call at a time. After an error the session must be closed.
class Applier {
 public:
  // All must outlive the applier. `tables`: of the target's database.
  Applier(ServerSession& session, int32_t stream_id, std::string database, const TableMap& tables)
      : session_(session), stream_id_(stream_id), database_(std::move(database)), tables_(tables) {}

  void set_careful(bool careful) { careful_ = careful; }

  // Whether set_fields() must wait until the rows that came with other columns are flushed.
  bool must_flush_before(const ::binlogdata::FieldEvent& event) const;
  // kFailedPrecondition: table or column do not exist on the target.
  Status set_fields(const ::binlogdata::FieldEvent& event);
  Status add(::binlogdata::RowEvent event);
  // Of the rows that wait.
  uint64_t bytes() const { return bytes_; }
  bool has_rows() const { return open_ || bytes_ != 0; }

  // Sends the rows that wait and leaves the transaction open: for transactions of the source that do not fit into
  // memory.
  net::Task<Status> flush();
  // Sends the rows that wait and commits with the position. `more`: further assignments of the stream's row (", state =
  // ..") `extra`: statements in the same transaction.
  //   kNotFound: the stream's row is gone, nothing was written.
  net::Task<Status> commit(std::string position, int64_t timestamp, std::string more = {},
                           std::vector<std::string> extra = {});

  // Inserts the rows of a chunk and records progress, in one transaction. Exact when the position applied before it is
  // the chunk's. `from`: last key of the chunk before; no rows at the beginning. `to`: this chunk's, none for the last
  // one. Returns the number of rows.
  net::Task<Result<uint64_t>> copy(const TargetTable& table, const Chunk& chunk, const ::query::QueryResult& from,
                                   const ::query::QueryResult& to, bool use_load_data);

  net::Wait wait() const { return net::Wait::within(std::chrono::minutes(10)); }

 private:
  using Batches = std::map<std::string, RowBatch>;
  std::string update_sql(std::string_view position, int64_t timestamp, std::string_view more) const;
  net::Task<Status> send(std::vector<std::string> statements);
  // Statements of the batches, checked against what is there if need be; then the batches are empty.
  net::Task<Result<std::vector<std::string>>> take_statements();
  net::Task<Result<std::vector<const ::query::Row*>>> find_equal(const RowBatch& batch);
  net::Task<Result<uint64_t>> write_rows(const TargetTable& table, const std::vector<const ::query::Row*>& rows,
                                         bool use_load_data, bool& skipped);
  net::Task<Result<std::vector<const ::query::Row*>>> without_equal(const TargetTable& table,
                                                                    std::vector<const ::query::Row*> rows,
                                                                    const ::query::QueryResult& from,
                                                                    const ::query::QueryResult& to);

  ServerSession& session_;
  const int32_t stream_id_;
  const std::string database_;
  const TableMap& tables_;
  bool careful_ = false;
  bool load_refused_ = false;  // The server takes no LOAD DATA LOCAL (local_infile=OFF).
  struct Bound {
    std::string fields;  // Serialized FIELD event.
    std::shared_ptr<const TargetTable> table;
  };
  std::map<std::string, Bound> bound_;
  Batches batches_;
  uint64_t bytes_ = 0;
  bool open_ = false;  // A transaction is open on the server.
};

// Literals of the key columns of a QueryResult's only row, for key_condition(); empty without a row.
// kFailedPrecondition when its columns are not the table's identity.
Result<std::vector<std::string>> key_values(const TableSchema& table, const ::query::QueryResult& key);

}  // namespace vitrail::movement
