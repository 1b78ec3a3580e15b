#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "movement/filter.h"
#include "movement/server_session.h"
#include "movement/table_schema.h"

namespace vitrail::movement {

// Keys of VStreamOptions.config_overrides in a VStreamRowsRequest, all optional.
//   chunk_bytes : decimal; bytes of rows (before filtering) that a chunk should have. Default 8 MiB.
//   chunks      : decimal; the stream ends after so many chunks. If there may be more rows behind the last one, a
//   response
//                 with throttled set and this reason follows it: kMoreRows.
//   until       : text form of a query.QueryResult with one row, like lastpk: rows behind this key are left out.
inline constexpr char kChunkBytesOption[] = "vitrail_chunk_bytes";
inline constexpr char kChunksOption[] = "vitrail_chunks";
inline constexpr char kUntilOption[] = "vitrail_until";
inline constexpr char kMoreRows[] = "more rows";

struct RowStreamOptions {
  ServerLogin login;
  std::string db_name;
  std::string own_keyspace;
  const ::vschema::SrvVSchema* vschema = nullptr;  // For open() only.
};

// What was read in one snapshot.
struct RowChunk {
  // In order; the first has gtid (and fields, pkfields in the first chunk), the last has lastpk unless no row was read.
  std::vector<::binlogdata::VStreamRowsResponse> responses;
  bool last = false;  // The end of the table (or of the bound) was reached.
};

// Reads one table in chunks, each in a consistent snapshot of its own.
//   Threads: one loop. One call at a time.
class RowStream {
 public:
  // kInvalidArgument, kUnimplemented: the query; kNotFound: no such table, column or vindex; kFailedPrecondition: the
  // table has no key.
  static net::Task<Result<std::unique_ptr<RowStream>>> open(RowStreamOptions options,
                                                            ::binlogdata::VStreamRowsRequest request, net::Wait wait);

  net::Task<Result<RowChunk>> read_chunk(net::Wait wait);
  // How many chunks the request wants; 0: all.
  uint64_t chunks_wanted() const { return chunks_wanted_; }

 private:
  RowStream(RowStreamOptions options, TableSchema table, RowFilter filter)
      : options_(std::move(options)), table_(std::move(table)), filter_(std::move(filter)) {}
  Status set_key(const ::query::QueryResult& from, std::vector<std::string>& key) const;
  std::string select_text() const;
  net::Task<Result<std::string>> begin_snapshot(net::Wait wait);
  net::Task<void> trim_log(net::Wait wait);

  RowStreamOptions options_;
  TableSchema table_;
  RowFilter filter_;
  std::unique_ptr<ServerSession> session_;
  std::unique_ptr<ServerSession> lock_session_;  // Only where the flavor's snapshot needs one.
  std::vector<std::string> last_key_;            // Empty: from the beginning.
  std::vector<std::string> until_key_;           // Empty: to the end.
  std::vector<size_t> key_positions_;            // Of the identity's columns among the selected ones.
  std::string select_;                           // Up to FROM ... with index hint.
  size_t selected_ = 0;                          // Columns selected.
  std::vector<size_t> input_positions_;          // Of filter_.inputs() among the selected columns.
  uint64_t chunk_bytes_ = 8u << 20;
  uint64_t chunks_wanted_ = 0;
  uint64_t rows_limit_ = 0;
  bool fields_sent_ = false;
};

}  // namespace vitrail::movement
