#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "movement/server_session.h"
#include "mysql/binlog_stream.h"
#include "net/mysql_client.h"
#include "net/scope.h"
#include "net/sync.h"
#include "shard/target.h"
#include "tablet/message_table.h"

namespace vitrail::tablet {

class MessageFeed;

// Message tables on one loop: their receivers, and how these hear of new messages. What is to be sent, and when, is in
// the table alone: a message that is taken is given its next time in the same transaction, so it is sent at least once
// whoever dies, and by whichever tablet is the primary then.
//
// New rows are seen in the server's binary log, which is read while there are receivers: whoever wrote them, they are
// told of when they are committed. What is missed while the log cannot be read is found by the next look at the table.
//
//   Threads: one loop. The scope's tasks end before this does; feeds do, too.
//   Bounds : MessageTable::receivers_max() receivers of a table, kFeedsMax in all; more are refused.
class Messages {
 public:
  static constexpr size_t kFeedsMax = 1000;

  struct Settings {
    movement::ServerLogin login;  // May read the binary log.
    std::string database;
    // A session of the query service, for which the table ACL and query rules are not asked.
    std::function<Result<net::MysqlClient>(shard::Target target, uint8_t collation)> open;
  };
  Messages(Settings settings, net::Scope& scope) : settings_(std::move(settings)), scope_(scope) {}

  //   kFailedPrecondition: not a message table. kResourceExhausted: too many receivers. Else as the statements' own.
  net::Task<Result<std::unique_ptr<MessageFeed>>> subscribe(shard::Target target, std::string table, uint8_t collation,
                                                            net::Wait wait);
  // Everybody looks again: the serving state has changed.
  void wake_all();
  // Deletes what was acknowledged long ago, of tables without receivers, too; until the scope stops. `primary`: whose
  // tables, while this is it.
  net::Task<void> purge_all(std::function<std::optional<shard::Target>()> primary);

 private:
  friend class MessageFeed;
  struct Known {
    uint64_t inserts = 0;  // Transactions that have brought rows.
    size_t receivers = 0;
  };

  net::Task<void> watch();
  net::Task<Status> read_log(net::CancelToken cancel);
  void note(const mysql::BinlogItem& item);
  net::Task<Status> purge_tables(shard::Target target, net::Wait wait);
  void leave(const std::string& key);

  const Settings settings_;
  net::Scope& scope_;
  std::map<std::string, Known> known_;  // With receivers; by name in lower case.
  size_t feeds_ = 0;
  std::unique_ptr<net::CancelSource> watching_;  // While there are some.
  net::Event reading_;
  std::set<std::string> touched_;  // By the transaction under way in the log.
  net::Signal changed_;
  uint64_t all_ = 0;  // Of wake_all().
};

// One receiver's messages.
class MessageFeed {
 public:
  ~MessageFeed();
  MessageFeed(const MessageFeed&) = delete;
  MessageFeed& operator=(const MessageFeed&) = delete;

  const std::vector<mysql::ColumnDef>& columns() const { return columns_; }
  // Waits until some are due, and takes them: from then on they are sent again later, unless they are acknowledged.
  // Errors as of any statement: the tablet is not the primary any more, the table is gone. The feed is over then.
  // `wait`: of the whole; each statement has the query service's own time.
  net::Task<Result<net::QueryResult>> next(net::Wait wait);

 private:
  friend class Messages;
  MessageFeed(Messages& all, net::MysqlClient session, MessageTable table, std::string key)
      : all_(all), session_(std::move(session)), table_(std::move(table)), key_(std::move(key)) {}
  net::Task<Result<net::QueryResult>> take(net::Wait wait);
  net::Task<Result<net::QueryResult>> take_in_transaction(std::vector<mysql::Value> ids, int64_t now_ns,
                                                          net::Wait wait);
  uint64_t changes() const;

  Messages& all_;
  net::MysqlClient session_;
  const MessageTable table_;
  const std::string key_;
  std::vector<mysql::ColumnDef> columns_;
  bool skip_locked_ = true;
  bool again_ = false;  // Somebody else was in the way.
  base::TimePoint purged_{};
};

}  // namespace vitrail::tablet
