#pragma once

#include <vector>

#include "base/result.h"
#include "movement/inbox.h"
#include "movement/server_session.h"
#include "movement/target_table.h"

namespace vitrail::movement {

// Inserts pieces of a copy, each in a transaction of its own. Rows that events have brought already are left, and must
// be equal.
//   Threads : one loop. One call at a time. After an error the session must be closed.
class ChunkWriter {
 public:
  // `session` must outlive it. `use_load_data`: where the server allows it.
  ChunkWriter(ServerSession& session, bool use_load_data) : session_(session), use_load_data_(use_load_data) {}

  // The target must stand at the chunk's position until this returns. `from`: last key of the chunk before; no row at
  // the beginning. `to`: this chunk's, none for the last one.
  //   kAlreadyExists: a row is there in another form, or the table does not take one as it is.
  net::Task<Status> write(const TargetTable& table, const Chunk& chunk, const ::query::QueryResult& from,
                          const ::query::QueryResult& to);

 private:
  using Rows = std::vector<const ::query::Row*>;
  net::Task<Status> fill(const TargetTable& table, Rows rows, const ::query::QueryResult& from,
                         const ::query::QueryResult& to);
  // `skipped`: not all rows were taken as they are.
  net::Task<Status> insert(const TargetTable& table, const Rows& rows, bool& skipped);
  net::Task<Status> insert_by_statements(const TargetTable& table, const Rows& rows, bool& skipped);
  net::Task<Result<Rows>> without_equal(const TargetTable& table, Rows rows, const ::query::QueryResult& from,
                                        const ::query::QueryResult& to);

  ServerSession& session_;
  const bool use_load_data_;
};

}  // namespace vitrail::movement
