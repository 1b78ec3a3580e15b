#include "control/workflow/source_checks.h"

#include <fmt/core.h>

#include <set>

#include "base/text.h"
#include "control/workflow/cleanup.h"
#include "mysql/convert.h"
#include "movement/table_schema.h"
#include "mysqld/rows.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;

// The first column of each row.
net::Task<Result<std::vector<std::string>>> select(TabletClient& tablets, ::topodata::Tablet tablet, std::string sql) {
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_db_name(topo::tablet_db_name(tablet));
  request.set_query(std::move(sql));
  request.set_max_rows(10'000);
  CO_ASSIGN_OR_RETURN(const auto done, co_await tablets.call<tmd::ExecuteFetchAsDbaResponse>(
                                           std::move(tablet), "ExecuteFetchAsDba", std::move(request), cleanup_wait()));
  std::vector<std::string> out;
  for (const auto& row : done.result().rows()) {
    const int64_t size = row.lengths_size() > 0 ? row.lengths(0) : -1;
    out.push_back(size < 0 ? "" : row.values().substr(0, static_cast<size_t>(size)));
  }
  co_return out;
}

std::string in_list(const std::vector<tmd::TableDefinition>& tables) {
  std::string list;
  for (const auto& table : tables) {
    if (!list.empty()) list += ", ";
    mysql::append_sql_string(list, table.name());
  }
  return list;
}

net::Task<Status> check_keys(TabletClient& tablets, ::topodata::Tablet source,
                             const std::vector<tmd::TableDefinition>& tables) {
  std::vector<std::string> without;
  for (const auto& table : tables) {
    if (table.type() != "VIEW" && table.primary_key_columns_size() == 0) without.push_back(table.name());
  }
  if (without.empty()) co_return Status{};
  CO_ASSIGN_OR_RETURN(
      const auto keyed,
      co_await select(tablets, source,
                      "select distinct table_name from (select table_name, index_name from "
                      "information_schema.statistics where table_schema = database() and non_unique = 0 "
                      "group by table_name, index_name having sum(nullable = 'YES') = 0 and "
                      "sum(sub_part is not null) = 0) as usable"));
  const std::set<std::string> usable(keyed.begin(), keyed.end());
  for (const auto& name : without) {
    if (usable.contains(name)) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("table {} has neither a primary key nor a unique key of columns that are NOT NULL: its "
                               "rows cannot be told apart",
                               name));
  }
  co_return Status{};
}

// An UPDATE or DELETE of theirs leaves a further row, whose times the target's server would choose anew.
net::Task<Status> check_versioned(TabletClient& tablets, ::topodata::Tablet source,
                                  const std::vector<tmd::TableDefinition>& tables) {
  CO_ASSIGN_OR_RETURN(
      const auto found,
      co_await select(tablets, source,
                      fmt::format("select table_name from information_schema.tables where table_schema = "
                                  "database() and table_type = 'SYSTEM VERSIONED' and table_name in ({}) "
                                  "order by 1 limit 1",
                                  in_list(tables))));
  if (found.empty()) co_return Status{};
  co_return fail(
      Code::kFailedPrecondition,
      fmt::format("table {} keeps its own history (WITH SYSTEM VERSIONING), which cannot be copied: leave it "
                  "out, or drop its versioning first",
                  found.front()));
}

// The server changes the children of a cascade without a word in its binlog.
net::Task<Status> check_foreign_keys(TabletClient& tablets, ::topodata::Tablet source,
                                     const std::vector<tmd::TableDefinition>& tables) {
  CO_ASSIGN_OR_RETURN(
      const auto found,
      co_await select(tablets, source,
                      fmt::format("select concat(table_name, '.', constraint_name) from "
                                  "information_schema.referential_constraints where constraint_schema = database() and "
                                  "table_name in ({}) and (delete_rule in ('CASCADE', 'SET NULL', 'SET DEFAULT') or "
                                  "update_rule in ('CASCADE', 'SET NULL', 'SET DEFAULT')) order by 1 limit 1",
                                  in_list(tables))));
  if (found.empty()) co_return Status{};
  co_return fail(Code::kFailedPrecondition,
                 fmt::format("foreign key {} changes rows of its table by itself (ON DELETE or ON UPDATE), which the "
                             "server does not write to its binlog: the copy would differ; change it to RESTRICT first",
                             found.front()));
}

net::Task<Status> check_routing_columns(TabletClient& tablets, ::topodata::Tablet source,
                                        const std::vector<tmd::TableDefinition>& tables,
                                        const ::vschema::Keyspace& vschema) {
  if (!vschema.sharded()) co_return Status{};
  for (const auto& table : tables) {
    const auto found = vschema.tables().find(table.name());
    if (found == vschema.tables().end() || found->second.column_vindexes().empty()) continue;
    const auto& vindex = found->second.column_vindexes(0);
    std::vector<std::string> columns(vindex.columns().begin(), vindex.columns().end());
    if (!vindex.column().empty()) columns = {vindex.column()};
    for (const auto& column : columns) {
      std::string names;
      mysql::append_sql_string(names, table.name());
      names += " and column_name = ";
      mysql::append_sql_string(names, column);
      CO_ASSIGN_OR_RETURN(const auto there,
                          co_await select(tablets, source,
                                          "select 1 from information_schema.columns where table_schema "
                                          "= database() and table_name = " +
                                              names));
      if (there.empty()) {
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("table {} has no column {}, which decides the shard of its rows by the vschema",
                                   table.name(), column));
      }
      CO_ASSIGN_OR_RETURN(const auto rows, co_await select(tablets, source,
                                                           fmt::format("select 1 from {} where {} is null limit 1",
                                                                       mysqld::quote_identifier(table.name()),
                                                                       mysqld::quote_identifier(column))));
      if (rows.empty()) continue;
      co_return fail(
          Code::kFailedPrecondition,
          fmt::format("table {} has rows with NULL in column {}, which decides their shard: give them a value "
                      "and make the column NOT NULL",
                      table.name(), column));
    }
  }
  co_return Status{};
}

// `wanted`: of all tables, unless null.
net::Task<Status> check_place_empty(TabletClient& tablets, ::topodata::Tablet primary,
                                    const std::set<std::string>* wanted) {
  CO_ASSIGN_OR_RETURN(const auto present, co_await list_tables(tablets, primary));
  for (const auto& [name, is_view] : present) {
    if (is_view || (wanted != nullptr && !wanted->contains(name))) continue;
    CO_ASSIGN_OR_RETURN(
        const auto rows,
        co_await select(tablets, primary, "select 1 from " + mysqld::quote_identifier(name) + " limit 1"));
    if (rows.empty()) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("target keyspace/tables already have data: table {} on {} is not empty", name,
                               topo::alias_to_string(primary.alias())));
  }
  co_return Status{};
}

}  // namespace

net::Task<Status> check_tables_empty(TabletClient& tablets, Side targets, std::vector<tmd::TableDefinition> tables,
                                     bool nothing_else) {
  std::set<std::string> wanted;
  for (const auto& table : tables) wanted.insert(table.name());
  co_return co_await for_all<::topodata::Tablet>(targets.primaries(), [&](::topodata::Tablet primary) {
    return check_place_empty(tablets, std::move(primary), nothing_else ? nullptr : &wanted);
  });
}

net::Task<Status> check_source_tables(TabletClient& tablets, Side sources, std::vector<tmd::TableDefinition> tables,
                                      ::vschema::Keyspace vschema) {
  if (tables.empty() || sources.places.empty()) co_return Status{};
  CO_RETURN_IF_ERROR(co_await check_keys(tablets, *sources.places.front().primary, tables));
  CO_RETURN_IF_ERROR(co_await check_versioned(tablets, *sources.places.front().primary, tables));
  CO_RETURN_IF_ERROR(co_await check_foreign_keys(tablets, *sources.places.front().primary, tables));
  co_return co_await for_all<::topodata::Tablet>(sources.primaries(), [&](::topodata::Tablet primary) {
    return check_routing_columns(tablets, std::move(primary), tables, vschema);
  });
}

net::Task<Status> read_fields(TabletClient& tablets, Side sources, std::vector<tmd::TableDefinition>& tables) {
  if (tables.empty() || sources.places.empty()) co_return Status{};
  constexpr char kSeparator = '\x1f';  // In no name.
  CO_ASSIGN_OR_RETURN(
      const auto rows,
      co_await select(
          tablets, *sources.places.front().primary,
          fmt::format("select concat_ws(char(31), table_name, column_name, data_type, is_nullable, column_type) from "
                      "information_schema.columns where table_schema = database() and table_name in ({}) "
                      "order by table_name, ordinal_position",
                      in_list(tables))));
  for (const auto& row : rows) {
    const auto parts = base::split(row, kSeparator);
    if (parts.size() != 5) continue;
    ::query::Field field;
    field.set_name(std::string(parts[1]));
    field.set_type(movement::query_type(base::to_lower(parts[2]), parts[4]));
    field.set_column_type(std::string(parts[4]));
    field.set_flags(parts[3] == "NO" ? 1 : 0);
    for (auto& table : tables) {
      if (table.name() == parts[0]) *table.add_fields() = field;
    }
  }
  co_return Status{};
}

net::Task<Status> check_time_zone(TabletClient& tablets, Side sources, Side targets, std::vector<std::string> tables,
                                  std::string zone) {
  std::string name;
  mysql::append_sql_string(name, zone == "UTC" ? "+00:00" : zone);  // That one needs no tables.
  std::vector<::topodata::Tablet> all = sources.primaries();
  for (auto& primary : targets.primaries()) all.push_back(std::move(primary));
  CO_RETURN_IF_ERROR(co_await for_all<::topodata::Tablet>(std::move(all), [&](::topodata::Tablet primary) {
    return [](TabletClient& client, ::topodata::Tablet where, const std::string& quoted,
              const std::string& shown) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(
          const auto known,
          co_await select(client, where,
                          fmt::format("select 1 from dual where convert_tz('2020-07-01 12:00:00', {}, '+00:00') is not "
                                      "null",
                                      quoted)));
      if (!known.empty()) co_return Status{};
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("the server of {} does not know the time zone {}: load its time zone tables "
                                 "(mysql_tzinfo_to_sql), or give an offset such as +02:00",
                                 topo::alias_to_string(where.alias()), shown));
    }(tablets, std::move(primary), name, zone);
  }));
  std::string list;
  for (const auto& table : tables) {
    if (!list.empty()) list += ", ";
    mysql::append_sql_string(list, table);
  }
  CO_ASSIGN_OR_RETURN(
      const auto keys,
      co_await select(tablets, *sources.places.front().primary,
                      fmt::format("select concat(c.column_name, ' of table ', c.table_name) from "
                                  "information_schema.columns c join information_schema.statistics s on "
                                  "s.table_schema = c.table_schema and s.table_name = c.table_name and s.column_name = "
                                  "c.column_name where c.table_schema = database() and c.data_type = 'datetime' and "
                                  "s.non_unique = 0 and c.table_name in ({}) order by 1 limit 1",
                                  list)));
  if (keys.empty()) co_return Status{};
  co_return fail(Code::kFailedPrecondition,
                 fmt::format("--source-time-zone: column {} is part of a unique key, and two times of {} may be one of "
                             "UTC",
                             keys.front(), zone));
}

}  // namespace vitrail::control
