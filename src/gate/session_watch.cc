// Lookup vindexes of rows that a change finds first, or selects: they learn what the rows were before, and are after
// it. See plan/lookup.h.
#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "gate/lookup_statement.h"
#include "gate/session.h"
#include "mysql/errors.h"
#include "plan/change.h"
#include "plan/insert.h"
#include "plan/lookup.h"
#include "plan/stored_literal.h"
#include "sql/printer.h"
#include "vschema/vschema.h"

namespace vitrail::gate {

using Conflict = plan::ShardedInsert::Conflict;

namespace {

constexpr size_t kInsertRows = 1000;  // Of an INSERT that are written, and whose lookup rows are, before the next.
constexpr size_t kInsertBytes = size_t{512} << 10;
constexpr std::string_view kRowSavepoint = "vitrail_row";

// Equal for keys that are: of one table's rows before and after a change.
std::string name_of(const auto& key) {
  std::string out = fmt::format("{} {}", key.use, key.id.to_hex());
  for (const auto& value : key.values) {
    out += value.is_null() ? std::string(" null") : fmt::format(" {}:{}", value.bytes.size(), value.bytes);
  }
  return out;
}

std::set<std::string> names_of(const auto& keys) {
  std::set<std::string> out;
  for (const auto& key : keys) out.insert(name_of(key));
  return out;
}

}  // namespace

// In the texts of a session in utf8mb4: values go to lookup tables as they come.
Status ClientSession::may_watch() const {
  if (client_charset().starts_with("utf8")) return {};
  return fail(Code::kUnimplemented,
              "VT12001: unsupported: this change of rows with lookup vindexes in a session of another character set "
              "than utf8mb4");
}

net::Task<Result<ClientSession::Watched>> ClientSession::read_watched(const plan::LookupWatch& watch,
                                                                      shard::Target target, std::string condition,
                                                                      Touched& touched) {
  const vschema::Table& table = *watch.table;
  CO_ASSIGN_OR_RETURN(const auto rows,
                      co_await ask_touching({std::move(target), plan::watch_query(watch, condition)}, &touched));
  plan::ChangeTarget keyed;
  keyed.key = watch.key;
  Watched out;
  for (size_t row = 0; row < rows.rows.size(); ++row) {
    std::vector<mysql::Value> key;
    CO_ASSIGN_OR_RETURN(const auto id, id_of_row(table, rows, row, &key));
    size_t column = table.primary_vindex()->columns.size();
    for (const size_t use : watch.uses) {
      LookupKey of{.table = watch.table, .use = use, .id = id, .key = key};
      for (size_t i = 0; i < table.lookups[use].columns.size(); ++i, ++column) {
        const auto& cell = rows.rows[row][column];
        of.values.push_back(mysql::make_value(rows.columns[column], cell ? mysql::Cell(*cell) : mysql::Cell()));
      }
      out.keys.push_back(std::move(of));
    }
    std::vector<std::string> literals;
    for (const auto& part : watch.key) literals.push_back(plan::form_literal(part, rows.rows[row][column++]));
    out.conditions += (out.conditions.empty() ? "" : " or ") + plan::key_condition(keyed, literals);
  }
  co_return std::move(out);
}

// The difference: rows of lookups that may go, and those that come.
Result<std::vector<ClientSession::LookupKey>> ClientSession::learn(const Watched& before, const Watched& after,
                                                                   bool moves) {
  const auto were = names_of(before.keys);
  const auto are = names_of(after.keys);
  std::vector<LookupKey> written;
  for (const auto& key : after.keys) {
    if (were.contains(name_of(key))) continue;
    const auto& use = key.table->lookups[key.use];
    if (use.is_owned) {
      ASSIGN_OR_RETURN(const bool wanted, is_written(use, key.values));
      if (!wanted) continue;
    } else if (std::ranges::any_of(key.values, &mysql::Value::is_null)) {
      continue;
    }
    written.push_back(key);
    written.back().moves = moves && std::ranges::any_of(before.keys, [&](const LookupKey& old) {
                             return old.use == key.use && old.values == key.values;
                           });
  }
  for (const auto& key : before.keys) {
    const bool null = std::ranges::any_of(key.values, &mysql::Value::is_null);
    if (null || !key.table->lookups[key.use].is_owned || are.contains(name_of(key))) continue;
    maybe_gone_.push_back(key);
  }
  return written;
}

// Writes what the table owns, in the order of the lookups, and verifies what it does not.
net::Task<Status> ClientSession::settle(std::vector<LookupKey> keys, Conflict conflict, Touched& touched) {
  std::ranges::sort(keys, [](const LookupKey& a, const LookupKey& b) {
    return std::pair(a.table.get(), a.use) < std::pair(b.table.get(), b.use);
  });
  std::vector<LookupKey> owned;
  for (auto& key : keys) {
    if (key.table->lookups[key.use].is_owned) {
      owned.push_back(std::move(key));
    } else {
      CO_RETURN_IF_ERROR(co_await verify_key(key, touched));
    }
  }
  co_return co_await write_lookups(owned, conflict, touched);
}

net::Task<Result<ClientSession::Place>> ClientSession::place_by_id(std::string keyspace,
                                                                   std::shared_ptr<const shard::Vindex> vindex,
                                                                   std::vector<mysql::Value> values) {
  Place out;
  CO_ASSIGN_OR_RETURN(out.id, co_await id_of_key(*vindex, values));
  plan::Route route;
  route.kind = plan::Route::Kind::kByIds;
  route.keyspace = std::move(keyspace);
  route.ids = {out.id};
  CO_ASSIGN_OR_RETURN(auto targets, resolve(route, Statement()));
  out.target = std::move(targets.front());
  co_return std::move(out);
}

// UPDATE IGNORE of one row: what makes two rows of one unique value is left out.
net::Task<Status> ClientSession::change_ignoring(const plan::ChangeTarget& target, ShardText what,
                                                 std::string conditions, ChangeOutcome& out, Touched& touched) {
  const shard::Target where = what.target;
  CO_ASSIGN_OR_RETURN(const Watched before, co_await read_watched(*target.watch, where, conditions, touched));
  const std::string savepoint = sql::quote_identifier(kRowSavepoint);
  CO_ASSIGN_OR_RETURN(auto set, co_await ask_touching({where, "savepoint " + savepoint}, &touched));
  const uint64_t affected = out.affected;
  const uint64_t changed = out.changed;
  CO_ASSIGN_OR_RETURN(set, co_await send_change(std::move(what), out, 0, &touched));
  if (!out.updates) {
    CO_ASSIGN_OR_RETURN(const Watched left, co_await read_watched(*target.watch, where, conditions, touched));
    CO_ASSIGN_OR_RETURN(const auto none, learn(before, left, false));
    co_return Status{};
  }
  CO_ASSIGN_OR_RETURN(const Watched after, co_await read_watched(*target.watch, where, conditions, touched));
  const size_t gone = maybe_gone_.size();
  CO_ASSIGN_OR_RETURN(auto written, learn(before, after, false));
  Status settled = co_await settle(std::move(written), Conflict::kError, touched);
  if (settled.ok() || settled.error().mysql_errno() != mysql::errnos::kDupEntry) co_return settled;
  CO_ASSIGN_OR_RETURN(set, co_await ask_touching({where, "rollback to savepoint " + savepoint}, &touched));
  maybe_gone_.resize(gone);
  out.affected = affected;
  out.changed = changed;
  add_warning("Warning", mysql::errnos::kDupEntry, settled.error().message());
  co_return Status{};
}

// Rows that are known now, with their places; so many at a time.
net::Task<Status> ClientSession::insert_watched(const plan::InsertRows& insert, std::vector<PlacedRow> rows,
                                                ChangeOutcome& out, Touched& touched) {
  for (size_t begin = 0; begin < rows.size();) {
    plan::ShardedInsert part{.keyspace = insert.keyspace,
                             .vindex = insert.vindex,
                             .conflict = insert.conflict,
                             .table = insert.with_lookups,
                             .watch = insert.watch,
                             .prefix = insert.prefix,
                             .suffix = insert.suffix};
    LookupStatement what;
    what.conflict = insert.conflict;
    what.first_place = begin;
    size_t bytes = 0;
    size_t end = begin;
    for (; end < rows.size() && end - begin < kInsertRows && bytes < kInsertBytes; ++end) {
      PlacedRow& row = rows[end];
      bytes += row.text.size();
      what.rows.push_back({.target = row.target, .text = std::move(row.text), .id = row.id});
      auto& keys = what.keys.emplace_back();
      for (size_t use = 0; use < row.lookups.size(); ++use) {
        LookupKey key{
            .table = insert.with_lookups, .use = use, .values = row.lookups[use], .id = row.id, .key = row.key};
        const auto& of = insert.with_lookups->lookups[use];
        auto written = is_written(of, key.values);
        if (!written.ok() && of.is_owned) co_return std::move(written).error();
        if (written.ok() && *written) keys.push_back(std::move(key));
      }
      part.rows.push_back({.key = std::move(row.key), .conflicts = std::move(row.conflicts)});
    }
    begin = end;
    what.insert = &part;
    what.texts = insert_texts(part, what.rows);
    what.out = std::move(out);
    Status done = co_await do_lookup_statement(what, touched);
    out = std::move(what.out);
    CO_RETURN_IF_ERROR(std::move(done));
  }
  co_return Status{};
}

}  // namespace vitrail::gate
