#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "gate/view.h"
#include "net/scope.h"
#include "net/tls.h"
#include "schema/schema.h"
#include "vschema/vschema.h"

namespace vitrail::gate {

// Learns the columns of all tables from the tablets: the primary of some shard of each keyspace is asked when it is
// first seen, when another one has followed it, and whenever one says that tables have changed.
//
//   Threads : the loop that makes it. stop() must have returned before the end.
//   Age     : what is known may be older than the tables by the time that a message and a query take. A statement that
//             depends on it names its columns to the server, which refuses what is not there any more.
class SchemaTracker {
 public:
  using Columns = vschema::TrackedColumns;
  // Called when columns have changed.
  explicit SchemaTracker(std::function<void()> on_change) : on_change_(std::move(on_change)) {}

  // What a health stream says of a serving primary.
  void primary_says(const shard::Target& target, const Endpoint& endpoint, bool tables_changed);
  // TLS to the data ports; before the first primary_says().
  void set_tls(std::shared_ptr<const net::TlsContext> tls) { tls_ = std::move(tls); }
  // Never null. Replaced as a whole by every change.
  const std::shared_ptr<const Columns>& columns() const { return columns_; }
  // The same, as the servers describe them. Of the same moment.
  const std::shared_ptr<const schema::Snapshot>& schema() const { return schema_; }
  // Keyspaces whose tables are being asked for, and have never been told.
  std::set<std::string, std::less<>> asked() const;
  net::Task<void> stop();

 private:
  struct Keyspace {
    std::map<std::string, std::pair<std::string, int64_t>> primaries;  // By shard: alias and term.
    shard::Target target;
    Endpoint endpoint;  // Who is asked next.
    bool wanted = false;
    bool running = false;
  };
  net::Task<void> follow(std::string keyspace);
  net::Task<Status> load(const std::string& keyspace, const shard::Target& target, const Endpoint& endpoint);

  std::function<void()> on_change_;
  std::shared_ptr<const net::TlsContext> tls_;
  std::map<std::string, Keyspace> keyspaces_;
  std::shared_ptr<const Columns> columns_ = std::make_shared<Columns>();
  std::shared_ptr<const schema::Snapshot> schema_ = std::make_shared<schema::Snapshot>();
  net::Scope scope_;
};

}  // namespace vitrail::gate
