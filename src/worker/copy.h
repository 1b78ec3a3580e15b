#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/sync.h"
#include "worker/commands.h"
#include "worker/compare.h"
#include "worker/tablets.h"

// The reconciling copy of SplitClone and VerticalSplitClone.
namespace vitrail::worker {

// One interval of a table on some tablets at the same time: the rows behind `from` up to one common key.
struct Interval {
  std::vector<RowsRead> parts;  // In the order of the sources.
  ::query::QueryResult high;    // Its end; no rows: the end of the table.
  bool last() const { return high.rows_size() == 0; }
};
// Where rows are read: a tablet, at its present or in a snapshot that is held there.
struct RowSource {
  ::topodata::Tablet tablet;
  std::string snapshot = {};
};
net::Task<Result<Interval>> read_interval(JobContext& context, std::vector<RowSource> sources, std::string table,
                                          ::query::QueryResult from, uint64_t bytes);
// "select a, b from t", so that another server's columns come in the same order.
std::string query_for(const std::string& table, const google::protobuf::RepeatedPtrField<::query::Field>& fields);
std::vector<const ::query::Row*> pointers(const std::vector<::query::Row>& rows);
// Trying again cannot help.
bool is_permanent(const Error& error);
// Bytes of a chunk by chunk_count and min_rows_per_chunk.
uint64_t chunk_bytes(const movement::TableSchema& table, int32_t chunk_count, int32_t min_rows);

struct CopySource {
  std::string keyspace;
  std::string shard;
  // Of the offline pass: its replication is stopped, or a snapshot of it is held, and all that is read is of this
  // moment.
  std::optional<::topodata::Tablet> tablet;
  std::string snapshot;
  mysql::Position position;
};

struct CopyDestination {
  std::string keyspace;
  std::string shard;
  std::string range;  // Which rows it gets: "-80"; "": all.
  ::topodata::Tablet primary;
  movement::TableMap tables;
  std::string setup;                        // Statements before each that writes.
  std::unique_ptr<net::Semaphore> writers;  // As many statements run on it at the same time.
  base::TimePoint next_write;               // By max_tps.
  base::TimePoint lag_looked;               // By max_replication_lag.
};

// Makes tables of destinations equal to the sources': chunk by chunk both sides are read, and what differs is written.
// Nothing is lost by running it again, and a pass over what is equal already writes nothing. Each source row is read
// once for all destinations.
//
//   Threads: one loop. `context` must outlive it.
class Copier {
 public:
  // `may_write`: asked before each write.
  using MayWrite = std::function<net::Task<Status>()>;
  Copier(JobContext& context, const JobSettings& settings, MayWrite may_write, std::vector<std::string> tables,
         ::topodata::TabletType source_type, ::vschema::SrvVSchema vschema)
      : context_(context),
        settings_(settings),
        may_write_(std::move(may_write)),
        tables_(std::move(tables)),
        source_type_(source_type),
        vschema_(std::move(vschema)) {}

  std::vector<CopySource>& sources() { return sources_; }
  // Finds out what the destination's server is. kNotFound: a table is missing there. `workflow`: nothing is written
  // once it has streams there.
  net::Task<Status> add_destination(std::string keyspace, std::string shard, std::string range, std::string workflow);
  // A pass over all tables. `offline`: the sources' tablets and positions are set, and a chunk of another moment fails
  // the pass (kOutOfRange).
  net::Task<Status> run(bool offline);

 private:
  struct Table {
    std::string name;
    DiffReport report;
    int64_t estimate = 0;  // Rows on the sources.
    uint64_t piece_bytes = 0;
    int64_t pieces = 0;
    bool done = false;
  };
  net::Task<Status> estimate(std::vector<Table>& tables, bool offline);
  net::Task<Status> work(std::vector<Table>& tables, size_t& next, bool offline, Status& outcome);
  net::Task<Status> copy_table(Table& table, bool offline);
  net::Task<Status> copy_interval(Table& table, bool offline, ::query::QueryResult& last, bool& done);
  net::Task<Status> write_interval(CopyDestination& to, Table& table, const Interval& interval,
                                   const ::query::QueryResult& from, DiffReport& report);
  net::Task<Result<std::vector<RowSource>>> choose_sources(bool offline);
  net::Task<Status> write(CopyDestination& to, std::vector<std::string> statements);
  net::Task<Status> write_one(CopyDestination& to, std::string statement, Status& outcome);
  net::Task<Status> wait_for_turn(CopyDestination& to);
  net::Task<Result<int64_t>> worst_lag(CopyDestination& to);
  net::Task<Status> look_up_primary(CopyDestination& to);
  void show(const std::vector<Table>& tables);

  JobContext& context_;
  const JobSettings& settings_;
  const MayWrite may_write_;
  const std::vector<std::string> tables_;
  const ::topodata::TabletType source_type_;
  const ::vschema::SrvVSchema vschema_;
  std::vector<CopySource> sources_;
  std::vector<CopyDestination> destinations_;
  base::TimePoint shown_;
};

}  // namespace vitrail::worker
