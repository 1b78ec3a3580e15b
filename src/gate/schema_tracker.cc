#include "gate/schema_tracker.h"

#include <charconv>

#include "base/log.h"
#include "base/text.h"
#include "movement/table_schema.h"
#include "net/mysql_client.h"

namespace vitrail::gate {

using namespace std::chrono_literals;

namespace {

constexpr size_t kMostRows = 10'000'000;

std::shared_ptr<const vschema::TrackedTables> tracked_tables(const net::QueryResult& result) {
  auto tables = std::make_shared<vschema::TrackedTables>();
  for (size_t row = 0; row < result.rows.size(); ++row) {
    ::vschema::Column& column = (*tables)[std::string(result.text(row, 0))].emplace_back();
    column.set_name(std::string(result.text(row, 1)));
    column.set_type(movement::query_type(result.text(row, 2), result.text(row, 3)));
    column.set_collation_name(std::string(result.text(row, 4)));
    column.set_invisible(base::to_lower(result.text(row, 5)).contains("invisible"));
    column.set_nullable(base::equals_ignoring_case(result.text(row, 6), "yes"));
  }
  return tables;
}

std::shared_ptr<const schema::Keyspace> described_tables(const net::QueryResult& columns,
                                                         const net::QueryResult& indexes) {
  auto tables = std::make_shared<schema::Keyspace>();
  for (size_t row = 0; row < columns.rows.size(); ++row) {
    schema::Column& column = (*tables)[std::string(columns.text(row, 0))].columns.emplace_back();
    column.name = columns.text(row, 1);
    column.data_type = base::to_lower(columns.text(row, 2));
    column.type = columns.text(row, 3);
    column.collation = columns.text(row, 4);
    column.extra = base::to_lower(columns.text(row, 5));
    column.nullable = base::equals_ignoring_case(columns.text(row, 6), "yes");
    column.charset = columns.text(row, 7);
    column.invisible = column.extra.contains("invisible");
    column.has_default = column.nullable || columns.text(row, 8) != "1" || column.extra.contains("auto_increment");
    column.null_default = column.nullable && columns.text(row, 9) == "1";
  }
  std::map<std::string_view, std::vector<schema::IndexPart>> parts;
  for (size_t row = 0; row < indexes.rows.size(); ++row) {
    uint32_t place = 0;
    const std::string_view digits = indexes.text(row, 3);
    std::from_chars(digits.data(), digits.data() + digits.size(), place);
    parts[indexes.text(row, 0)].push_back(
        {std::string(indexes.text(row, 1)), std::string(indexes.text(row, 2)), place, indexes.text(row, 4) == "0"});
  }
  for (const auto& [name, of_table] : parts) {
    if (const auto table = tables->find(name); table != tables->end()) schema::set_key_flags(table->second, of_table);
  }
  return tables;
}

}  // namespace

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

std::set<std::string, std::less<>> SchemaTracker::asked() const {
  std::set<std::string, std::less<>> out;
  for (const auto& [name, keyspace] : keyspaces_) {
    if (keyspace.running && !columns_->contains(name)) out.insert(name);
  }
  return out;
}

net::Task<void> SchemaTracker::follow(std::string keyspace) {
  constexpr int kTries = 10;  // About a minute. Then the next view has whoever is the primary by then asked.
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
  if (failures >= kTries) {
    keyspaces_[keyspace].primaries.clear();
    on_change_();  // It is not being asked any more; the view that comes has it asked anew.
  }
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
  auto columns = co_await client.query(
      "select table_name, column_name, data_type, column_type, coalesce(collation_name, ''), "
      "concat(extra, if(coalesce(column_default, '') like 'current_timestamp%', ' default_generated', '')), "
      "is_nullable, "
      "coalesce(character_set_name, ''), column_default is null, coalesce(column_default, 'NULL') = 'NULL' from "
      "information_schema.columns "
      "where table_schema = database() order by table_name, ordinal_position",
      wait, kMostRows);
  if (!columns.ok()) co_return std::move(columns).error();
  // Tables whose columns are not the same on all servers.
  auto schemata = co_await client.query(
      "select table_name, column_name from information_schema.columns where table_schema = 'information_schema' and "
      "table_name in ('PROCESSLIST', 'SCHEMATA', 'STATISTICS', 'TABLES') order by table_name, ordinal_position",
      wait, kMostRows);
  if (!schemata.ok()) co_return std::move(schemata).error();
  auto indexes = co_await client.query(
      "select table_name, index_name, coalesce(column_name, ''), seq_in_index, non_unique from "
      "information_schema.statistics where table_schema = database()",
      wait, kMostRows);
  client.close();
  if (!indexes.ok()) co_return std::move(indexes).error();
  auto next = std::make_shared<Columns>(*columns_);
  (*next)[keyspace] = tracked_tables(*columns);
  columns_ = std::move(next);
  auto schema = std::make_shared<schema::Snapshot>(*schema_);
  (*schema)[keyspace] = described_tables(*columns, *indexes);
  auto system = std::make_shared<schema::Keyspace>();
  for (size_t row = 0; row < schemata->rows.size(); ++row) {
    (*system)[base::to_upper(schemata->text(row, 0))].columns.push_back({.name = std::string(schemata->text(row, 1))});
  }
  (*schema)["information_schema"] = std::move(system);
  schema_ = std::move(schema);
  on_change_();
  co_return Status{};
}

net::Task<void> SchemaTracker::stop() {
  scope_.request_stop();
  co_await scope_.join();
}

}  // namespace vitrail::gate
