#include "control/schema.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "control/method.h"
#include "mysqld/rows.h"
#include "net/scope.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using tmd::SchemaDefinition;
using tmd::TableDefinition;
using namespace std::chrono_literals;

std::map<std::string_view, const TableDefinition*> by_name(const SchemaDefinition& schema) {
  std::map<std::string_view, const TableDefinition*> out;
  for (const auto& table : schema.table_definitions()) out.emplace(table.name(), &table);
  return out;
}

std::string_view kind(const TableDefinition& table) { return table.type() == "VIEW" ? "view" : "table"; }

// Works through a shared list until it is empty.
net::Task<void> reload_worker(TabletClient& client, const std::vector<::topodata::Tablet>& tablets, size_t& next,
                              const ReloadOptions& options, std::vector<std::string>& failures) {
  while (next < tablets.size()) {
    const ::topodata::Tablet tablet = tablets[next++];
    tmd::ReloadSchemaRequest request;
    if (tablet.type() != ::topodata::PRIMARY) request.set_wait_position(options.wait_position);
    auto done = co_await client.call<tmd::ReloadSchemaResponse>(tablet, "ReloadSchema", std::move(request),
                                                                net::Wait::within(options.timeout));
    if (!done.ok()) failures.push_back(done.error().message());
  }
}

// A view's text names its database everywhere: `vt_commerce`.`customer`. Strings and comments stay as they are.
std::string with_database(std::string_view statement, const std::string& from, const std::string& to) {
  const std::string old_name = mysqld::quote_identifier(from) + ".", new_name = mysqld::quote_identifier(to) + ".";
  std::string out;
  for (size_t i = 0; i < statement.size();) {
    const char c = statement[i];
    if (c == '`' && statement.substr(i).starts_with(old_name)) {
      out += new_name;
      i += old_name.size();
      continue;
    }
    if (c != '`' && c != '\'' && c != '"') {
      out += c;
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (end < statement.size() && statement[end] != c) end += c != '`' && statement[end] == '\\' ? 2 : 1;
    end = std::min(end + 1, statement.size());
    out += statement.substr(i, end - i);
    i = end;
  }
  return out;
}

net::Task<Status> run_on(TabletClient& client, ::topodata::Tablet tablet, std::string statement) {
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_db_name(topo::tablet_db_name(tablet));
  request.set_query(std::move(statement));
  request.set_max_rows(1);
  request.set_disable_foreign_key_checks(true);
  auto done = co_await client.call<tmd::ExecuteFetchAsDbaResponse>(std::move(tablet), "ExecuteFetchAsDba",
                                                                   std::move(request), net::Wait::within(600s));
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

}  // namespace

net::Task<Result<SchemaDefinition>> read_schema(TabletClient& client, ::topodata::Tablet tablet, SchemaFilter filter) {
  tmd::GetSchemaRequest request;
  request.mutable_tables()->Add(filter.tables.begin(), filter.tables.end());
  request.mutable_exclude_tables()->Add(filter.exclude.begin(), filter.exclude.end());
  request.set_include_views(filter.include_views);
  CO_ASSIGN_OR_RETURN(auto done, co_await client.call<tmd::GetSchemaResponse>(
                                     std::move(tablet), "GetSchema", std::move(request), net::Wait::within(60s)));
  co_return std::move(*done.mutable_schema_definition());
}

std::vector<std::string> diff_schemas(std::string_view left_name, const SchemaDefinition& left,
                                      std::string_view right_name, const SchemaDefinition& right) {
  std::vector<std::string> out;
  const auto left_tables = by_name(left), right_tables = by_name(right);
  for (const auto& [name, table] : left_tables) {
    const auto other = right_tables.find(name);
    if (other == right_tables.end()) {
      out.push_back(fmt::format("{} has an extra {} named {}", left_name, kind(*table), name));
    } else if (table->type() != other->second->type()) {
      out.push_back(fmt::format("schemas differ on table type for table {}:\n{}: {}\n differs from:\n{}: {}", name,
                                left_name, table->type(), right_name, other->second->type()));
    } else if (table->schema() != other->second->schema()) {
      out.push_back(fmt::format("schemas differ on {} {}:\n{}: {}\n differs from:\n{}: {}", kind(*table), name,
                                left_name, table->schema(), right_name, other->second->schema()));
    }
  }
  for (const auto& [name, table] : right_tables) {
    if (left_tables.contains(name)) continue;
    out.push_back(fmt::format("{} has an extra {} named {}", right_name, kind(*table), name));
  }
  return out;
}

net::Task<Result<std::vector<std::string>>> reload_shard(TabletClient& client, std::string keyspace, std::string shard,
                                                         ReloadOptions options) {
  CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_shard(client.topology(), keyspace, shard));
  topo::TabletQuery query;
  query.keyspace = keyspace;
  query.shard = info.name;
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(client.topology(), std::move(query)));
  std::erase_if(list.tablets, [&](const ::topodata::Tablet& tablet) {
    if (tablet.type() == ::topodata::PRIMARY) return !options.include_primary;
    return !topo::is_replica_type(tablet.type());
  });
  std::vector<std::string> failures;
  for (const auto& [cell, error] : list.failed) failures.push_back("cell " + cell + ": " + error.message());
  size_t next = 0;
  std::vector<net::Task<void>> workers;
  const size_t count = std::clamp<size_t>(options.concurrency, 1, 100);
  for (size_t i = 0; i < std::min(count, list.tablets.size()); ++i) {
    workers.push_back(reload_worker(client, list.tablets, next, options, failures));
  }
  co_await net::when_all(std::move(workers));
  co_return failures;
}

net::Task<Status> copy_schema(TabletClient& client, ::vtctldata::CopySchemaShardRequest request) {
  CO_ASSIGN_OR_RETURN(const auto source, co_await topo::get_tablet(client.topology(), request.source_tablet_alias()));
  CO_ASSIGN_OR_RETURN(const auto target,
                      co_await client.primary_of(request.destination_keyspace(), request.destination_shard()));
  const SchemaFilter filter{.tables = strings(request.tables()),
                            .exclude = strings(request.exclude_tables()),
                            .include_views = request.include_views()};
  CO_ASSIGN_OR_RETURN(const auto wanted, co_await read_schema(client, source.record, filter));
  CO_ASSIGN_OR_RETURN(const auto present, co_await read_schema(client, target, filter));
  const auto there = by_name(present);
  const std::string from = topo::tablet_db_name(source.record), to = topo::tablet_db_name(target);
  const auto text_of = [&](const TableDefinition& table) {
    return table.type() == "VIEW" ? with_database(table.schema(), from, to) : table.schema();
  };
  // All is compared before anything is made.
  std::vector<std::string> statements, views;
  for (const auto& table : wanted.table_definitions()) {
    const auto other = there.find(table.name());
    if (other == there.end()) {
      (table.type() == "VIEW" ? views : statements).push_back(text_of(table));
    } else if (other->second->schema() != text_of(table)) {
      co_return fail(Code::kAlreadyExists,
                     fmt::format("{} {} exists in shard {}/{} already and differs from that of tablet {}", kind(table),
                                 table.name(), request.destination_keyspace(), request.destination_shard(),
                                 topo::alias_to_string(source.record.alias())));
    }
  }
  statements.insert(statements.end(), views.begin(), views.end());
  for (auto& statement : statements) CO_RETURN_IF_ERROR(co_await run_on(client, target, statement));
  if (!request.skip_verify()) {
    CO_ASSIGN_OR_RETURN(auto made, co_await read_schema(client, target, filter));
    auto expected = wanted;
    for (auto& table : *expected.mutable_table_definitions()) table.set_schema(text_of(table));
    // Tables that only the target has are none of our business.
    const auto names = by_name(expected);
    auto& tables = *made.mutable_table_definitions();
    tables.erase(
        std::remove_if(tables.begin(), tables.end(), [&](const auto& table) { return !names.contains(table.name()); }),
        tables.end());
    const auto differences = diff_schemas("source", expected, "destination", made);
    if (!differences.empty()) {
      co_return fail(Code::kFailedPrecondition, "the schema differs after the copy: " + differences.front());
    }
  }
  CO_ASSIGN_OR_RETURN(const auto position,
                      co_await client.call<tmd::PrimaryPositionResponse>(
                          target, "PrimaryPosition", tmd::PrimaryPositionRequest(), net::Wait::within(15s)));
  ReloadOptions reload{.wait_position = position.position(), .include_primary = true};
  if (request.has_wait_replicas_timeout()) reload.timeout = to_duration(request.wait_replicas_timeout());
  auto failures = co_await reload_shard(client, request.destination_keyspace(), request.destination_shard(), reload);
  if (!failures.ok()) co_return std::move(failures).error();
  co_return Status{};  // Tables are made; replicas that lag get them later.
}

}  // namespace vitrail::control
