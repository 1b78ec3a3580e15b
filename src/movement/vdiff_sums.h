#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "movement/row_stream.h"
#include "movement/vdiff_run.h"
#include "rpc/typed.h"

// Private to the VDiff's files: intervals that the servers sum up.
namespace vitrail::movement {

// One source's interval. The call stays open between the two answers: the source has its snapshot by then, and sums up.
struct SourceSum {
  std::shared_ptr<rpc::Channel> channel;
  std::optional<rpc::TypedStream<::binlogdata::VStreamRowsResponse>> call;
  mysql::Position position;
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  ::query::QueryResult cut;  // Where the source ends the interval; no row: where it was told to.
  IntervalSum sum;
  bool unable = false;
  Status outcome;
};

// An interval whose snapshots are open on all sides.
struct PreparedSum {
  std::vector<SourceSum> sources;
  std::unique_ptr<ServerSession> target;
  std::string query;  // The target's.
  uint64_t rows_wanted = 0;
  base::Duration took{};      // To sum it up.
  ::query::QueryResult high;  // Where it ends; no row: the table's end.
};

struct TableWork {
  std::unique_ptr<ServerSession> own;
  // The next stretch.
  bool by_rows = false;  // Until `limit`, which sums have not found equal.
  ::query::QueryResult limit;
  bool unable = false;  // Nothing but rows for this table.
  uint64_t rows = kIntervalRowsFirst;
  std::optional<HashKind> hash;       // Which the sources are asked for.
  std::unique_ptr<PreparedSum> next;  // Opened while the one before was summed up; begins where that ended.

  void begin_table() {
    by_rows = false;
    limit.Clear();
    unable = false;
    rows = kIntervalRowsFirst;
    hash.reset();
    next.reset();
  }
};

}  // namespace vitrail::movement
