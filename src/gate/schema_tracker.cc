#include "gate/schema_tracker.h"

#include "base/log.h"
#include "base/text.h"
#include "movement/table_schema.h"
#include "net/mysql_client.h"

namespace vitrail::gate {

using namespace std::chrono_literals;

void SchemaTracker::primary_says(const shard::Target& target, const Endpoint& endpoint, bool tables_changed) {
  Keyspace& keyspace = keyspaces_[target.keyspace];
  const std::pair who(endpoint.alias, endpoint.term_start_ns);
  auto& known = keyspace.primaries[target.shard];
  if (known == who && !tables_changed) return;
  known = who;
  keyspace.target = target;
  keyspace.endpoint = endpoint;
  keyspace.wanted = true;
  if (keyspace.running) return;
  keyspace.running = true;
  scope_.spawn(follow(target.keyspace));
}

net::Task<void> SchemaTracker::follow(std::string keyspace) {
  constexpr int kTries = 10;  // About a minute. Then it is asked again when it, or another one, has something to say.
  int failures = 0;
  base::Duration pause = 100ms;
  while (!scope_.stopping() && keyspaces_[keyspace].wanted) {
    Keyspace& known = keyspaces_[keyspace];
    known.wanted = false;
    const Status loaded = co_await load(keyspace, known.target, known.endpoint);
    if (loaded.ok()) {
      pause = 100ms;
      failures = 0;
      continue;
    }
    if (scope_.stopping() || ++failures >= kTries) break;
    keyspaces_[keyspace].wanted = true;
    log_warning("columns of keyspace {}: {}", keyspace, loaded.error().message());
    if (!(co_await net::sleep_for(pause, scope_.token())).ok()) break;
    pause = std::min<base::Duration>(pause * 2, 10s);
  }
  keyspaces_[keyspace].running = false;
  if (failures >= kTries) keyspaces_[keyspace].primaries.clear();
}

net::Task<Status> SchemaTracker::load(const std::string& keyspace, const shard::Target& target,
                                      const Endpoint& endpoint) {
  const net::Wait wait = net::Wait::within(30s, scope_.token());
  net::MysqlClientSettings settings;
  settings.address = endpoint.address;
  settings.address.tls = tls_;
  settings.auth.user = "vtgate";
  settings.auth.database = target.to_string();
  CO_ASSIGN_OR_RETURN(auto client, co_await net::MysqlClient::connect(std::move(settings), wait));
  auto result = co_await client.query(
      "select table_name, column_name, data_type, column_type, coalesce(collation_name, ''), extra, is_nullable from "
      "information_schema.columns where table_schema = database() order by table_name, ordinal_position",
      wait, 10'000'000);
  client.close();
  if (!result.ok()) co_return std::move(result).error();
  auto tables = std::make_shared<vschema::TrackedTables>();
  for (size_t row = 0; row < result->rows.size(); ++row) {
    ::vschema::Column& column = (*tables)[std::string(result->text(row, 0))].emplace_back();
    column.set_name(std::string(result->text(row, 1)));
    column.set_type(movement::query_type(result->text(row, 2), result->text(row, 3)));
    column.set_collation_name(std::string(result->text(row, 4)));
    column.set_invisible(base::to_lower(result->text(row, 5)).contains("invisible"));
    column.set_nullable(base::equals_ignoring_case(result->text(row, 6), "yes"));
  }
  auto next = std::make_shared<Columns>(*columns_);
  (*next)[keyspace] = std::move(tables);
  columns_ = std::move(next);
  on_change_();
  co_return Status{};
}

net::Task<void> SchemaTracker::stop() {
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace vitrail::gate
