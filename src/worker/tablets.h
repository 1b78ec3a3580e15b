#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "movement/table_schema.h"
#include "mysql/gtid.h"
#include "net/scope.h"
#include "net/sync.h"
#include "rpc/client.h"
#include "worker/job.h"

// What jobs ask of tablets.
namespace vitrail::worker {

// Waits until there are as many healthy tablets of one type, in the worker's cell. In the order of their aliases.
//   kUnavailable "not enough healthy RDONLY tablets to choose from in (zone1,customer/0), have 0 healthy ones, need at
//   least 1 (zone1-0000000103: what is wrong with it; ...)".
net::Task<Result<std::vector<::topodata::Tablet>>> wait_for_healthy(JobContext& context, std::string keyspace,
                                                                    std::string shard, ::topodata::TabletType type,
                                                                    size_t needed);

// One statement on the tablet's server.
net::Task<Result<::query::QueryResult>> fetch_as_dba(JobContext& context, ::topodata::Tablet tablet, std::string sql,
                                                     uint64_t rows_max = 1'000'000);
// The tables of the tablet's database.
net::Task<Result<movement::TableMap>> load_tables(JobContext& context, ::topodata::Tablet tablet);
net::Task<Result<::tabletmanagerdata::SchemaDefinition>> read_schema(JobContext& context, ::topodata::Tablet tablet,
                                                                     std::vector<std::string> tables,
                                                                     std::vector<std::string> exclude);

net::Task<Status> start_replication(JobContext& context, ::topodata::Tablet tablet);
net::Task<Status> stop_replication(JobContext& context, ::topodata::Tablet tablet);
// Stops replication when it has at least this position.
net::Task<Status> stop_replication_at(JobContext& context, ::topodata::Tablet tablet, std::string position);

// Rows of one table of one tablet.
struct RowsRequest {
  ::topodata::Tablet tablet;
  std::string query;           // "select * from t"
  ::query::QueryResult from;   // Rows behind this key; no rows: from the beginning.
  ::query::QueryResult until;  // Rows up to this key; no rows: to the end.
  uint64_t bytes = 2u << 20;   // Of a chunk.
  bool one_chunk = false;
  std::string snapshot = {};  // Of a HeldSnapshot, whose moment is read; "": the present.
};
struct RowsRead {
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  google::protobuf::RepeatedPtrField<::query::Field> pkfields;
  std::vector<::query::Row> rows;
  std::vector<mysql::Position> positions;  // One for each chunk: the moment that it shows.
  ::query::QueryResult last;               // The key of the last row that was looked at; no rows: there was none.
  bool more = false;                       // There may be rows behind it.
};
net::Task<Result<RowsRead>> read_rows(JobContext& context, RowsRequest request);

// The position of a server that nothing is written to, as snapshots on it tell it. `table`: any that exists.
net::Task<Result<mysql::Position>> standing_position(JobContext& context, ::topodata::Tablet tablet, std::string table);

// A snapshot of a tablet's server that read_rows() reads from while the server goes on to replicate.
//   Threads: one loop. close() must have returned before destruction.
class HeldSnapshot {
 public:
  // `connections`: how many reads there are at the same time, at most.
  static net::Task<Result<std::unique_ptr<HeldSnapshot>>> open(JobContext& context, ::topodata::Tablet tablet,
                                                               size_t connections);
  const std::string& name() const { return name_; }
  const mysql::Position& position() const { return position_; }
  net::Task<void> close();

 private:
  HeldSnapshot(JobContext& context, ::topodata::Tablet tablet);
  net::Task<void> keep(rpc::Channel& channel, size_t connections);
  Status read(const ::binlogdata::VStreamRowsResponse& response);

  JobContext& context_;
  const ::topodata::Tablet tablet_;
  const std::string name_;
  mysql::Position position_;
  Status outcome_;
  net::Event ready_;
  net::Scope scope_;
};

std::string alias_of(const ::topodata::Tablet& tablet);
// "RDONLY"
std::string type_name(::topodata::TabletType type);

}  // namespace vitrail::worker
