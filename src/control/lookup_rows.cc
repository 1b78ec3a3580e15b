#include "control/lookup_rows.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "control/schema.h"
#include "mysql/convert.h"
#include "plan/lookup_text.h"
#include "topo/shard.h"
#include "topo/vschema.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;
using plan::LookupRow;

constexpr size_t kChunk = 500;    // Rows read at a time.
constexpr size_t kExamples = 10;  // Of each report.

bool is_number(::query::Type type) {
  switch (type) {
    case ::query::INT8:
    case ::query::UINT8:
    case ::query::INT16:
    case ::query::UINT16:
    case ::query::INT24:
    case ::query::UINT24:
    case ::query::INT32:
    case ::query::UINT32:
    case ::query::INT64:
    case ::query::UINT64: return true;
    default: return false;
  }
}

bool is_unsigned(::query::Type type) {
  return type == ::query::UINT8 || type == ::query::UINT16 || type == ::query::UINT24 || type == ::query::UINT32 ||
         type == ::query::UINT64;
}

bool is_bytes(::query::Type type) {
  return type == ::query::VARBINARY || type == ::query::BINARY || type == ::query::BLOB;
}

shard::VindexValue vindex_value(const mysql::Value& value) {
  if (value.is_null()) return shard::VindexValue::null();
  if (mysql::is_integer_type(value.type)) {
    auto number = shard::VindexValue::integer_text(value.bytes, value.is_unsigned);
    if (number.ok()) return *number;
  }
  return shard::VindexValue::bytes(value.bytes);
}

std::string names(const std::vector<std::string>& columns) {
  std::string out;
  for (const auto& column : columns) {
    if (&column != &columns.front()) out += ", ";
    mysql::append_sql_identifier(out, column);
  }
  return out;
}

std::string quoted_name(std::string_view name) {
  std::string out;
  mysql::append_sql_identifier(out, name);
  return out;
}

net::Task<Result<std::vector<LookupShard>>> load_shards(TabletClient& tablets, std::string keyspace) {
  CO_ASSIGN_OR_RETURN(const auto serving, co_await topo::find_serving_shards(tablets.topology(), keyspace));
  std::vector<LookupShard> out;
  for (const auto& info : serving) {
    CO_ASSIGN_OR_RETURN(auto primary, co_await tablets.primary_of(keyspace, info.name));
    out.push_back({info.name, topo::covered_range(info.record), std::move(primary)});
  }
  co_return out;
}

net::Task<Result<std::vector<std::string>>> load_key(TabletClient& tablets, ::topodata::Tablet primary,
                                                     std::string table) {
  CO_ASSIGN_OR_RETURN(const auto schema, co_await read_schema(tablets, std::move(primary), {.tables = {table}}));
  if (schema.table_definitions_size() != 1) co_return fail(Code::kNotFound, "there is no table " + table);
  const auto& definition = schema.table_definitions(0);
  std::vector<std::string> key(definition.primary_key_columns().begin(), definition.primary_key_columns().end());
  if (key.empty()) co_return fail(Code::kFailedPrecondition, "table " + table + " has no primary key");
  co_return key;
}

// The shard of an id; null when none serves it.
const LookupShard* shard_of(const std::vector<LookupShard>& shards, const shard::KeyspaceId& id) {
  const auto found = std::ranges::find_if(shards, [&](const LookupShard& shard) { return shard.range.contains(id); });
  return found == shards.end() ? nullptr : &*found;
}

Result<shard::KeyspaceId> place_by(const vschema::ColumnVindex& vindex, std::span<const mysql::Value> values) {
  std::vector<shard::VindexValue> mapped;
  for (const auto& value : values) mapped.push_back(vindex_value(value));
  ASSIGN_OR_RETURN(auto destination, vindex.vindex->map(mapped));
  if (destination.kind != shard::Destination::Kind::kKeyspaceId) {
    return fail(Code::kFailedPrecondition, fmt::format("a row has no place by vindex {}", vindex.name));
  }
  return std::move(destination.keyspace_id);
}

// Where a lookup row is, by its `from` values.
Result<const LookupShard*> place_of(const LookupTables& tables, const LookupRow& row) {
  if (!tables.table->sharded) return &tables.shards.front();
  const auto* primary = tables.table->primary_vindex();
  if (primary == nullptr) return fail(Code::kFailedPrecondition, "table " + tables.table->name + " has no vindex");
  std::vector<mysql::Value> values;
  for (const auto& column : primary->columns) {
    const auto at = std::ranges::find(tables.lookup().from, column);
    if (at == tables.lookup().from.end()) {
      return fail(Code::kFailedPrecondition, fmt::format("table {} is not placed by the columns {}", tables.table->name,
                                                         names(tables.lookup().from)));
    }
    values.push_back(row[static_cast<size_t>(at - tables.lookup().from.begin())]);
  }
  ASSIGN_OR_RETURN(const auto id, place_by(*primary, values));
  const LookupShard* shard = shard_of(tables.shards, id);
  if (shard == nullptr) return fail(Code::kFailedPrecondition, "no shard serves keyspace id " + id.to_hex());
  return shard;
}

// A row of the owner and the lookup row that it needs.
struct Needed {
  std::vector<mysql::Value> values;
  shard::KeyspaceId id;
  LookupRow row;
  bool found = false;
  std::optional<mysql::Value> other;  // What `to` holds instead, of a unique value.
};

class Comparison {
 public:
  Comparison(TabletClient& tablets, const LookupTables& tables, bool write)
      : tablets_(tablets), tables_(tables), write_(write) {}

  net::Task<Result<LookupReport>> run() {
    const auto& owner = *tables_.owner;
    const auto& use = owner.lookups[tables_.use];
    const size_t keys = tables_.owner_key.size();
    const size_t placed = owner.primary_vindex()->columns.size();
    const std::string list =
        names(tables_.owner_key) + ", " + names(owner.primary_vindex()->columns) + ", " + names(use.columns);
    for (const auto& shard : tables_.owner_shards) {
      std::vector<mysql::Value> last;
      for (bool more = true; more;) {
        std::string sql = "select " + list + " from " + quoted_name(owner.name);
        if (!last.empty()) sql += " where " + behind(tables_.owner_key, last);
        sql += fmt::format(" order by {} limit {}", names(tables_.owner_key), kChunk);
        CO_ASSIGN_OR_RETURN(const auto result, co_await fetch_as_dba(tablets_, shard.reader.value_or(shard.primary),
                                                                     std::move(sql), kChunk));
        std::map<const LookupShard*, std::vector<Needed>> by_shard;
        for (const auto& row : result.rows()) {
          const auto values = values_of(result, row);
          last.assign(values.begin(), values.begin() + static_cast<ptrdiff_t>(keys));
          const auto begin = values.begin() + static_cast<ptrdiff_t>(keys);
          Needed needed;
          CO_ASSIGN_OR_RETURN(needed.id, place_by(*owner.primary_vindex(), std::span(values).subspan(keys, placed)));
          needed.values.assign(begin + static_cast<ptrdiff_t>(placed), values.end());
          if (std::ranges::any_of(needed.values, &mysql::Value::is_null)) {
            if (!use.lookup->ignore_nulls) note_conflict(needed, "is NULL");
            continue;
          }
          CO_ASSIGN_OR_RETURN(needed.row, plan::lookup_row(*use.lookup, needed.values, needed.id, "utf8mb4"));
          CO_ASSIGN_OR_RETURN(const LookupShard* place, place_of(tables_, needed.row));
          ++report_.rows;
          by_shard[place].push_back(std::move(needed));
        }
        more = static_cast<size_t>(result.rows_size()) == kChunk;
        for (auto& [place, needed] : by_shard) CO_RETURN_IF_ERROR(co_await compare(*place, needed));
      }
    }
    co_return std::move(report_);
  }

 private:
  void note(std::string text) {
    if (report_.examples.size() < kExamples) report_.examples.push_back(std::move(text));
  }
  void note_conflict(const Needed& needed, std::string_view why) {
    ++report_.conflicts;
    note(fmt::format("{} of keyspace id {} {}", plan::shown_values(needed.values), needed.id.to_hex(), why));
  }

  // `again`: what could not be written, since another one was faster.
  net::Task<Status> compare(const LookupShard& shard, std::vector<Needed>& needed, bool again = false) {
    const shard::Lookup& lookup = tables_.lookup();
    CO_RETURN_IF_ERROR(co_await find(shard, needed));
    std::vector<LookupRow> rows;
    std::vector<Needed> inserted;
    for (auto& one : needed) {
      if (one.found) continue;
      if (one.other) {
        CO_ASSIGN_OR_RETURN(const auto id, lookup.id_of(one.other->bytes));
        CO_ASSIGN_OR_RETURN(const bool taken, co_await has_row(one.values, id));
        if (taken) {
          note_conflict(one, "is also the value of a row of keyspace id " + id.to_hex());
          continue;
        }
      }
      if (again) continue;
      ++report_.missing;
      if (!write_) {
        note(fmt::format("{} of keyspace id {} has no lookup row", plan::shown_values(one.values), one.id.to_hex()));
        continue;
      }
      if (!one.other) {
        rows.push_back(one.row);
        inserted.push_back(std::move(one));
        continue;
      }
      // Of a row that has gone: it changes hands, unless somebody else has been faster.
      std::string sql =
          fmt::format("update {} set {} where {} and {}", quoted_name(tables_.table->name),
                      plan::all_equal({&lookup.to, 1}, {&one.row.back(), 1}), plan::all_equal(lookup.from, one.row),
                      plan::all_equal({&lookup.to, 1}, {&*one.other, 1}));
      CO_ASSIGN_OR_RETURN(const auto done, co_await fetch_as_dba(tablets_, shard.primary, std::move(sql), 1));
      report_.written += done.rows_affected();
    }
    if (rows.empty()) co_return Status{};
    std::string sql = "insert ignore into " + quoted_name(tables_.table->name) + "(" + names(lookup.from) + ", " +
                      quoted_name(lookup.to) + ") values ";
    for (const auto& row : rows) {
      if (&row != &rows.front()) sql += ", ";
      sql += "(";
      for (const auto& value : row) {
        if (&value != &row.front()) sql += ", ";
        mysql::append_sql_literal(sql, value);
      }
      sql += ")";
    }
    CO_ASSIGN_OR_RETURN(const auto done, co_await fetch_as_dba(tablets_, shard.primary, std::move(sql), 1));
    report_.written += done.rows_affected();
    if (done.rows_affected() < rows.size()) CO_RETURN_IF_ERROR(co_await compare(shard, inserted, true));
    co_return Status{};
  }

  // Which lookup rows there are: each is asked for by itself, since collations decide about what is equal.
  net::Task<Status> find(const LookupShard& shard, std::vector<Needed>& needed) {
    const shard::Lookup& lookup = tables_.lookup();
    std::string sql;
    for (size_t i = 0; i < needed.size(); ++i) {
      if (i > 0) sql += " union all ";
      sql += fmt::format("(select {}, {} from {} where {}", i, quoted_name(lookup.to), quoted_name(tables_.table->name),
                         plan::all_equal(lookup.from, needed[i].row));
      if (!lookup.unique) sql += " and " + plan::all_equal({&lookup.to, 1}, {&needed[i].row.back(), 1});
      sql += " limit 2)";
    }
    CO_ASSIGN_OR_RETURN(const auto result,
                        co_await fetch_as_dba(tablets_, shard.primary, std::move(sql), 2 * needed.size()));
    for (const auto& row : result.rows()) {
      auto values = values_of(result, row);
      Needed& one = needed[std::stoull(values[0].bytes)];
      if (values[1].bytes == one.row.back().bytes) {
        one.found = true;
      } else {
        one.other = std::move(values[1]);
      }
    }
    co_return Status{};
  }

  net::Task<Result<bool>> has_row(std::vector<mysql::Value> values, shard::KeyspaceId id) {
    const auto& owner = *tables_.owner;
    const LookupShard* shard = shard_of(tables_.owner_shards, id);
    if (shard == nullptr) co_return false;
    CO_ASSIGN_OR_RETURN(
        const auto result,
        co_await fetch_as_dba(
            tablets_, shard->primary,
            fmt::format("select {} from {} where {}", names(owner.primary_vindex()->columns), quoted_name(owner.name),
                        plan::all_equal(owner.lookups[tables_.use].columns, values)),
            10'000));
    for (const auto& row : result.rows()) {
      CO_ASSIGN_OR_RETURN(const auto other, place_by(*owner.primary_vindex(), values_of(result, row)));
      if (other == id) co_return true;
    }
    co_return false;
  }

  TabletClient& tablets_;
  const LookupTables& tables_;
  const bool write_;
  LookupReport report_;
};

}  // namespace

std::vector<mysql::Value> values_of(const ::query::QueryResult& result, const ::query::Row& row) {
  std::vector<mysql::Value> out;
  std::string_view bytes = row.values();
  for (int i = 0; i < row.lengths_size() && i < result.fields_size(); ++i) {
    if (row.lengths(i) < 0) {
      out.push_back(mysql::Value::null());
      continue;
    }
    const auto type = result.fields(i).type();
    std::string cell(bytes.substr(0, static_cast<size_t>(row.lengths(i))));
    bytes.remove_prefix(std::min(bytes.size(), cell.size()));
    if (is_number(type)) {
      mysql::Value value = is_unsigned(type) ? mysql::Value::of_uint(0) : mysql::Value::of_int(0);
      value.bytes = std::move(cell);
      out.push_back(std::move(value));
    } else {
      out.push_back(is_bytes(type) ? mysql::Value::of_binary(std::move(cell)) : mysql::Value::of_text(std::move(cell)));
    }
  }
  return out;
}

std::string behind(const std::vector<std::string>& columns, const std::vector<mysql::Value>& last) {
  std::string out;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) out += " or ";
    out += "(";
    if (i > 0) out += plan::all_equal(std::span(columns).first(i), std::span(last).first(i)) + " and ";
    out += quoted_name(columns[i]) + " > ";
    mysql::append_sql_literal(out, last[i]);
    out += ")";
  }
  return columns.size() > 1 ? "(" + out + ")" : out;
}

net::Task<Result<::query::QueryResult>> fetch_as_dba(TabletClient& tablets, ::topodata::Tablet primary, std::string sql,
                                                     uint64_t max_rows, bool reload_schema) {
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_db_name(topo::tablet_db_name(primary));
  request.set_query(std::move(sql));
  request.set_max_rows(max_rows);
  request.set_reload_schema(reload_schema);
  CO_ASSIGN_OR_RETURN(
      auto done, co_await tablets.call<tmd::ExecuteFetchAsDbaResponse>(std::move(primary), "ExecuteFetchAsDba",
                                                                       std::move(request), net::Wait::within(600s)));
  co_return std::move(*done.mutable_result());
}

net::Task<Result<LookupTables>> load_lookup(TabletClient& tablets, std::string keyspace, std::string vindex) {
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_vschema(tablets.topology(), keyspace));
  const auto known = vschema::read_keyspace(keyspace, stored.record);
  const auto lookup = known.lookup_vindexes.find(vindex);
  if (lookup == known.lookup_vindexes.end()) {
    co_return fail(Code::kNotFound, fmt::format("there is no lookup vindex {} in the {} keyspace", vindex, keyspace));
  }
  LookupTables out;
  for (const auto& [name, table] : known.tables) {
    for (size_t use = 0; use < table->lookups.size(); ++use) {
      if (table->lookups[use].lookup != lookup->second || !table->lookups[use].is_owned) continue;
      out.owner = table;
      out.use = use;
    }
  }
  if (out.owner == nullptr || out.owner->primary_vindex() == nullptr) {
    co_return fail(Code::kFailedPrecondition, fmt::format("no table owns lookup vindex {}.{}", keyspace, vindex));
  }
  if (const auto& problem = out.owner->lookups[out.use].problem; !problem.empty()) {
    co_return fail(Code::kFailedPrecondition, fmt::format("lookup vindex {}.{}: {}", keyspace, vindex, problem));
  }
  out.keyspace = lookup->second->keyspace.empty() ? keyspace : lookup->second->keyspace;
  const auto other = co_await topo::get_vschema(tablets.topology(), out.keyspace);
  if (!other.ok() && other.error().code() != Code::kNotFound) co_return Error(other.error());
  const auto home = vschema::read_keyspace(out.keyspace, other.ok() ? other->record : ::vschema::Keyspace());
  if (const auto table = home.tables.find(lookup->second->table); table != home.tables.end()) {
    out.table = table->second;
  } else if (!home.sharded) {
    auto unlisted = std::make_shared<vschema::Table>();
    unlisted->keyspace = out.keyspace;
    unlisted->name = lookup->second->table;
    out.table = std::move(unlisted);
  } else {
    co_return fail(Code::kNotFound, fmt::format("table {} of lookup vindex {} is not in the vschema of keyspace {}",
                                                lookup->second->table, vindex, out.keyspace));
  }
  CO_ASSIGN_OR_RETURN(out.owner_shards, co_await load_shards(tablets, keyspace));
  CO_ASSIGN_OR_RETURN(out.shards, co_await load_shards(tablets, out.keyspace));
  CO_ASSIGN_OR_RETURN(out.owner_key, co_await load_key(tablets, out.owner_shards.front().primary, out.owner->name));
  CO_ASSIGN_OR_RETURN(out.table_key, co_await load_key(tablets, out.shards.front().primary, out.table->name));
  co_return out;
}

net::Task<Result<LookupReport>> check_lookup(TabletClient& tablets, const LookupTables& tables, bool write) {
  Comparison comparison(tablets, tables, write);
  co_return co_await comparison.run();
}

net::Task<Status> count_strays(TabletClient& tablets, const LookupTables& tables, LookupReport& report) {
  const shard::Lookup& lookup = tables.lookup();
  if (lookup.form == shard::Lookup::Form::kLooseHash) co_return Status{};  // The texts are not there any more.
  const auto& owner = *tables.owner;
  const auto& columns = owner.lookups[tables.use].columns;
  const size_t keys = tables.table_key.size();
  const size_t froms = lookup.from.size();
  for (const auto& shard : tables.shards) {
    std::vector<mysql::Value> last;
    for (bool more = true; more;) {
      std::string sql = fmt::format("select {}, {}, {} from {}", names(tables.table_key), names(lookup.from),
                                    quoted_name(lookup.to), quoted_name(tables.table->name));
      if (!last.empty()) sql += " where " + behind(tables.table_key, last);
      sql += fmt::format(" order by {} limit {}", names(tables.table_key), kChunk);
      CO_ASSIGN_OR_RETURN(const auto result, co_await fetch_as_dba(tablets, shard.primary, std::move(sql), kChunk));
      more = static_cast<size_t>(result.rows_size()) == kChunk;
      std::vector<shard::KeyspaceId> ids;
      std::vector<bool> found(static_cast<size_t>(result.rows_size()), false);
      std::map<const LookupShard*, std::string> questions;
      for (const auto& row : result.rows()) {
        const auto values = values_of(result, row);
        last.assign(values.begin(), values.begin() + static_cast<ptrdiff_t>(keys));
        CO_ASSIGN_OR_RETURN(auto id, lookup.id_of(values.back().bytes));
        if (const LookupShard* place = shard_of(tables.owner_shards, id); place != nullptr) {
          std::string& question = questions[place];
          if (!question.empty()) question += " union all ";
          question += fmt::format("(select {}, {} from {} where {} limit 1000)", ids.size(),
                                  names(owner.primary_vindex()->columns), quoted_name(owner.name),
                                  plan::all_equal(columns, std::span(values).subspan(keys, froms)));
        }
        ids.push_back(std::move(id));
      }
      for (auto& [place, question] : questions) {
        CO_ASSIGN_OR_RETURN(const auto rows,
                            co_await fetch_as_dba(tablets, place->primary, std::move(question), 1000 * kChunk));
        for (const auto& row : rows.rows()) {
          const auto values = values_of(rows, row);
          const size_t i = std::stoull(values[0].bytes);
          CO_ASSIGN_OR_RETURN(const auto id, place_by(*owner.primary_vindex(), std::span(values).subspan(1)));
          if (id == ids[i]) found[i] = true;
        }
      }
      report.strays += static_cast<uint64_t>(std::ranges::count(found, false));
    }
  }
  co_return Status{};
}

}  // namespace vitrail::control
