#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "movement/filter.h"
#include "movement/held_snapshots.h"
#include "movement/interval_sum.h"
#include "movement/server_session.h"
#include "movement/table_schema.h"

namespace vitrail::movement {

// Keys of VStreamOptions.config_overrides in a VStreamRowsRequest, all optional.
//   chunk_bytes : decimal; bytes of rows (before filtering) that a chunk should have. Default 8 MiB.
//   piece_bytes : decimal; a chunk is sent as pieces of about so many bytes of rows that are sent, each of which looks
//   like
//                 a chunk (gtid first, lastpk last) with the position of the same snapshot. Default: in one piece.
//   chunks      : decimal; the stream ends after so many chunks. If there may be more rows behind the last one, a
//   response
//                 with throttled set and this reason follows it: kMoreRows.
//   until       : text form of a query.QueryResult with one row, like lastpk: rows behind this key are left out.
inline constexpr char kChunkBytesOption[] = "vitrail_chunk_bytes";
inline constexpr char kPieceBytesOption[] = "vitrail_piece_bytes";
inline constexpr char kChunksOption[] = "vitrail_chunks";
inline constexpr char kUntilOption[] = "vitrail_until";
inline constexpr char kMoreRows[] = "more rows";
//   sum         : "crc:200000", a hash (interval_sum.h) and about how many rows an interval should have. No rows are
//                 sent. The first response has gtid, fields, pkfields, and as lastpk where the interval ends, unless it
//                 goes on to `until` or the end; the second one a row, count and hash of the interval's rows. Both have
//                 throttled set and this reason, so that a source that does not know sums is told from one that does:
//                 kIntervalSum. kUnimplemented: the server has no such hash, or a column has no form for it.
inline constexpr char kSumOption[] = "vitrail_sum";
inline constexpr char kIntervalSum[] = "sum of an interval";
//   hold        : "NAME:CONNECTIONS". No rows: the call opens a snapshot of all tables that other calls read from, and
//                 keeps it open until it is cancelled. The first response has its gtid, then a heartbeat comes each
//                 second. It ends when the snapshot is lost.
//   snapshot    : name of such a snapshot: all chunks are of its moment.
inline constexpr char kHoldOption[] = "vitrail_hold";
inline constexpr char kSnapshotOption[] = "vitrail_snapshot";

struct RowStreamOptions {
  ServerLogin login;
  std::string db_name;
  std::string own_keyspace;
  const ::vschema::SrvVSchema* vschema = nullptr;            // For open() only.
  std::unique_ptr<HeldSnapshots::Lease> snapshot = nullptr;  // All is read in it; null: each chunk in one of its own.
};

// What was read in one snapshot.
struct RowChunk {
  // In order; the first of each piece has gtid (and fields, pkfields in the first chunk), its last one lastpk unless no
  // row was read.
  std::vector<::binlogdata::VStreamRowsResponse> responses;
  bool last = false;  // The end of the table (or of the bound) was reached.
  uint64_t read = 0;  // Rows that the server gave, once for all streams.
};

// Reads one table in chunks, each in a consistent snapshot of its own, or all in one that is held.
//   Threads: one loop. One call at a time.
class RowStream {
 public:
  // kInvalidArgument, kUnimplemented: the query; kNotFound: no such table, column or vindex; kFailedPrecondition: the
  // table has no key.
  static net::Task<Result<std::unique_ptr<RowStream>>> open(RowStreamOptions options,
                                                            ::binlogdata::VStreamRowsRequest request, net::Wait wait);
  ~RowStream();

  net::Task<Result<RowChunk>> read_chunk(net::Wait wait);
  // The same for several streams that stand at the same key and have the same share_key(), by the first one's
  // connection: rows are read and decoded once. The chunk of each, or what its filter met. An error of the reading
  // leaves the others as they are.
  static net::Task<Result<std::vector<Result<RowChunk>>>> read_chunks(std::vector<std::shared_ptr<RowStream>> streams,
                                                                      net::Wait wait);
  // Streams with the same key read the same rows in the same chunks.
  std::string share_key() const;
  // Of the rows that are wanted, where nothing else decides.
  std::optional<shard::KeyRange> key_range() const { return filter_.key_range(); }
  uint64_t table_bytes() const { return table_.data_bytes; }
  // How many chunks the request wants; 0: all.
  uint64_t chunks_wanted() const { return chunks_wanted_; }

  // Instead of chunks, when the request asks for it: opens the snapshot and finds the interval, then sums it up.
  bool wants_sum() const { return !sum_hash_.empty(); }
  net::Task<Result<::binlogdata::VStreamRowsResponse>> begin_sum(net::Wait wait);
  net::Task<Result<IntervalSum>> read_sum(net::Wait wait);

 private:
  RowStream(RowStreamOptions options, TableSchema table, RowFilter filter)
      : options_(std::move(options)), table_(std::move(table)), filter_(std::move(filter)) {}
  Status set_key(const ::query::QueryResult& from, std::vector<std::string>& key) const;
  Status set_sum(std::string_view option);
  struct Filling;
  void fill(Filling& filling, std::span<const mysql::Cell> cells) const;
  void add_fields(::binlogdata::VStreamRowsResponse& response) const;
  std::string where_text() const;
  std::string select_text() const;
  net::Task<Result<std::string>> begin_snapshot(net::Wait wait);
  net::Task<Status> end_snapshot(net::Wait wait);
  net::Task<void> trim_log(net::Wait wait);

  RowStreamOptions options_;
  TableSchema table_;
  RowFilter filter_;
  std::unique_ptr<ServerSession> session_;
  std::unique_ptr<ServerSession> lock_session_;  // Only where the flavor's snapshot needs one.
  std::vector<std::string> last_key_;            // Empty: from the beginning.
  std::vector<std::string> until_key_;           // Empty: to the end.
  std::vector<size_t> key_positions_;            // Of the identity's columns among the selected ones.
  std::string from_;                             // Table with index hint.
  std::string select_;                           // Up to FROM ...
  std::string sum_hash_;                         // Expression; empty: no sum is wanted.
  uint64_t sum_rows_ = 0;
  size_t selected_ = 0;                  // Columns selected.
  std::vector<size_t> input_positions_;  // Of filter_.inputs() among the selected columns.
  uint64_t chunk_bytes_ = 8u << 20;
  uint64_t piece_bytes_ = UINT64_MAX;
  uint64_t chunks_wanted_ = 0;
  uint64_t rows_limit_ = 0;
  bool fields_sent_ = false;
  bool reading_ = false;  // The session is not idle, or its state is unknown.
};

}  // namespace vitrail::movement
