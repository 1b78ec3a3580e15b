#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "movement/engine_core.h"
#include "movement/interval_sum.h"
#include "movement/vdiff.h"
#include "movement/vdiff_compare.h"

namespace vitrail::movement {

// What a VDiff was asked for.
struct VDiffSettings {
  std::set<std::string, std::less<>> tables;  // Empty: all.
  int64_t max_rows = INT64_MAX;               // Of each table.
  SampleSettings samples;
  bool repair = false;                               // Rows of the target that differ are made what the source has.
  std::vector<std::string> source_cells;             // Empty: all.
  std::vector<::topodata::TabletType> source_types;  // Empty: rows are read where the streams read.
  bool types_in_order = true;
  bool auto_retry = true;     // After errors that may pass.
  bool update_stats = false;  // The server looks at the sizes of the tables first.
  base::Duration wait_running = std::chrono::seconds(60);
};

// Not one of Vitess's options: kept beside them.
inline constexpr const char* kRepairOption = "vitrail_repair";

// A step of a VDiff, while streams are held.
inline constexpr auto kStepTimeout = std::chrono::minutes(2);
inline constexpr int kAttemptsPerChunk = 50;  // Chunks that a stream had already passed.

// Where rows are read; without a channel, where the stream reads.
struct RowSource {
  std::shared_ptr<rpc::Channel> channel;
  SourceEndpoint endpoint;
};

struct SourceRows;
struct GroupSource;
struct PreparedSum;

// What runs on a table: its own connection, and an interval that was opened ahead.
struct TableWork;

// One VDiff at work.
struct VDiffs::Run {
  Run(Engine::Core& engine, int64_t id) : engine(engine), id(id) {}

  net::Task<void> run();
  net::Task<Status> attempt();
  // Takes tables from `names` until there are none; `failed`: of any worker, which ends the others.
  net::Task<void> compare_tables(std::deque<std::string>& names, std::unique_ptr<ServerSession> own, Status& failed);
  net::Task<Status> compare_table(TableWork& work, std::string name, const Status& failed);
  // Compares rows behind `last`, which moves on, not beyond `limit` (no row: the end). `done`: `limit` is reached.
  net::Task<Status> compare_interval(TableWork& work, const TableSchema& schema, const std::vector<int32_t>& streams,
                                     Report& report, const ::query::QueryResult& limit, ::query::QueryResult& last,
                                     bool& done);
  // Opens snapshots of both sides that show the same moment for an interval behind `last`. nullptr: some server or
  // column has no sums.
  net::Task<Result<std::unique_ptr<PreparedSum>>> prepare_sum(const TableSchema& schema, std::vector<int32_t> streams,
                                                              HashKind hash, uint64_t rows_wanted,
                                                              ::query::QueryResult last);
  // Lets both sides sum up the interval; nothing: the sums differ, else how many rows there are.
  net::Task<Result<std::optional<uint64_t>>> finish_sum(PreparedSum& interval);
  // The next stretch of a table: by sums where that goes, by rows where they differ. `done`: the table's end.
  net::Task<Status> compare_stretch(TableWork& work, const TableSchema& schema, const std::vector<int32_t>& streams,
                                    Report& report, ::query::QueryResult& last, bool& done);
  // All of a table of groups (vdiff_groups.cc). It cannot be continued: from the beginning each time.
  net::Task<Status> compare_groups(const TableSchema& schema, const std::vector<int32_t>& streams, Report& report);
  net::Task<Status> open_groups(ServerSession& own, const std::vector<int32_t>& streams, std::string table,
                                std::vector<std::unique_ptr<GroupSource>>& sources, std::optional<TablePlan>& plan);
  net::Task<Status> compare_counted(ServerSession& own, const TableSchema& schema, const TableSchema& counted,
                                    const TablePlan& plan, Report& report);
  RowSource source_of(int32_t stream) const;
  // Streams that stand still, for one table at a time.
  struct Holds {
    net::Mutex::Guard turn;
    std::vector<std::unique_ptr<Stream::Hold>> streams;
    void clear() {
      streams.clear();
      turn.unlock();
    }
  };
  // Makes the streams stand still; held, they stay: a stream that is being stopped waits for its hold to go.
  net::Task<Result<std::vector<Stream*>>> hold(const std::vector<int32_t>& streams, Holds& holds);
  net::Task<Status> save(ServerSession& own, std::string name, const Report& report, const ::query::QueryResult& last,
                         std::string state);
  net::Task<Result<std::vector<int32_t>>> wait_for_streams(ServerSession& own);
  // The rows of all sources behind `last`, up to `bound` or a nearer key, which becomes `high`.
  net::Task<Status> read_interval(const std::vector<Stream*>& held, const std::vector<int32_t>& streams,
                                  const TableSchema& schema, const ::query::QueryResult& last,
                                  const ::query::QueryResult& bound, std::vector<SourceRows>& sources,
                                  ::query::QueryResult& high);
  net::Task<Status> obey_throttle(const std::vector<int32_t>& streams);
  net::Task<Status> choose_sources(const std::vector<int32_t>& streams);
  // Waits until the tablet that the rows of a held stream are read from has what the stream has applied.
  net::Task<void> await_source(int32_t stream);
  net::Task<Status> update_statistics(TableSchema& schema);
  net::Task<Status> apply_repair(const Repair& repair);

  Engine::Core& engine;
  const int64_t id;
  net::Scope scope;
  std::unique_ptr<ServerSession> session;
  std::unique_ptr<ServerSession> writer;  // For repairs, while streams are held; made when first needed.
  net::Mutex holding;
  std::vector<std::unique_ptr<ServerSession>> spare;  // For snapshots.
  std::string workflow;
  VDiffSettings settings;
  TableMap tables;
  std::map<int32_t, RowSource> sources_of;  // By stream; only those that are not read where the stream reads.
  base::TimePoint throttle_asked_at;
  uint64_t progress = 0;  // Grows with each chunk.
  bool stalled = false;   // The workflow did not run for too long.
};

// For the rows of a table behind `from` and not behind `until`.
::binlogdata::VStreamRowsRequest rows_request(const Stream& stream, const RowSource& from_tablet,
                                              std::string_view table, const ::query::QueryResult& from,
                                              const ::query::QueryResult& until);

}  // namespace vitrail::movement
