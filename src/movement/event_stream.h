#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "movement/filter.h"
#include "movement/log_reader.h"
#include "movement/server_session.h"
#include "mysql/binlog_rows.h"

namespace vitrail::movement {

struct EventStreamOptions {
  ServerLogin login;
  std::string db_name;
  std::string own_keyspace;
  std::string own_shard;
  std::optional<::vschema::SrvVSchema> vschema;
};

// The binary log of the tablet's server as filtered events; see SourceService for their order.
//   Threads: one loop. One next() at a time.
class EventStream {
 public:
  // `position`: prefixed form, or "current".
  //   kInvalidArgument, kUnimplemented: the filter or the position.
  static net::Task<Result<std::unique_ptr<EventStream>>> open(EventStreamOptions options, std::string position,
                                                              ::binlogdata::Filter filter, net::Wait wait);

  // Waits until there is something to send: then everything that has arrived, up to about 1 MiB.
  net::Task<Result<::binlogdata::VStreamResponse>> next(net::CancelToken cancel);

 private:
  // A table definition of the log, prepared; query == nullptr: not wanted.
  struct Table {
    std::shared_ptr<const mysql::TableMap> map;
    bool journal = false;
    bool wanted = false;
    std::string name;
    std::optional<mysql::RowDecoder> decoder;
    std::optional<RowFilter> filter;
    ::binlogdata::FieldEvent fields;
    bool fields_sent = false;
    std::vector<std::string> input_names;  // Of the filter's inputs.
    std::vector<mysql::Cell> inputs;       // Scratch.
  };

  EventStream(EventStreamOptions options, Filter filter) : options_(std::move(options)), filter_(std::move(filter)) {}
  net::Task<Status> prepare(std::shared_ptr<const mysql::TableMap> map);
  Status handle(const mysql::BinlogItem& item);
  Status handle_query(const mysql::BinlogItem& item, const mysql::BinlogQuery& query);
  Status handle_rows(const mysql::BinlogItem& item, const mysql::BinlogRows& rows);
  Status handle_journal(const mysql::BinlogItem& item, Table& table, const mysql::BinlogRows& rows);
  Status handle_commit(const mysql::BinlogItem& item, const mysql::BinlogCommit& commit);
  Result<bool> matches(Table& table, const mysql::RowImage& image, bool is_after);
  net::Task<Status> check_unplaced(net::Wait wait);
  Status fill_row(const Table& table, const mysql::RowImage& image, ::query::Row& row);
  void begin(uint32_t timestamp);
  ::binlogdata::VEvent& add(::binlogdata::VEventType type, uint32_t timestamp);
  void add_position(uint32_t timestamp);

  EventStreamOptions options_;
  Filter filter_;
  std::unique_ptr<LogReader> reader_;
  std::unique_ptr<ServerSession> schema_session_;
  std::unique_ptr<ServerSession> lock_session_;  // For snapshots, where the flavor wants one.
  std::unordered_map<const mysql::TableMap*, Table> tables_;
  mysql::RowChange change_;  // Scratch.
  // Rows of the transaction under way that would be in no shard: what finds them, and what to say when it does.
  struct Unplaced {
    std::string table;
    std::string condition;
    auto operator<=>(const Unplaced&) const = default;
  };
  std::map<Unplaced, std::string> unplaced_;

  ::binlogdata::VStreamResponse out_;
  size_t out_bytes_ = 0;
  bool began_ = false;             // The receiver is inside a transaction.
  std::string ddl_;                // Of the statement under way.
  bool position_pending_ = false;  // Transactions without anything for the receiver have passed.
  uint32_t pending_timestamp_ = 0;
  bool heartbeat_pending_ = false;
};

}  // namespace vitrail::movement
