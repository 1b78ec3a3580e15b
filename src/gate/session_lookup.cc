// Lookup vindexes: asking their tables where rows are, and changing them together with the rows.
//
// A statement changes its rows first, and then the lookup rows; what counts is the order of the commits, see
// lookup_commit.cc. A unique value that is taken already is looked at twice: its row may not exist any more.
#include <fmt/core.h>

#include <algorithm>

#include "plan/lookup_text.h"
#include "base/text.h"
#include "gate/lookup_statement.h"
#include "gate/session.h"
#include "mysql/errors.h"
#include "plan/key_value.h"
#include "plan/lookup.h"
#include "plan/planner.h"
#include "shard/lookup_placement.h"
#include "sql/printer.h"
#include "vschema/vschema.h"

namespace vitrail::gate {

using plan::all_equal;
using plan::lock_text;
using plan::lookup_condition;
using plan::lookup_from;
using plan::lookup_insert;
using plan::lookup_row;
using plan::lookup_select;
using plan::lookup_table;
using plan::LookupRow;
using plan::shown_values;
using Conflict = plan::ShardedInsert::Conflict;

namespace {

constexpr size_t kBatch = 500;  // Lookup rows written by one statement.

const vschema::LookupUse& use_of(const auto& key) { return key.table->lookups[key.use]; }
const shard::Lookup& lookup_of(const auto& key) { return *use_of(key).lookup; }

Error unsupported(std::string what) { return fail(Code::kUnimplemented, "VT12001: unsupported: " + std::move(what)); }

Error duplicate(const auto& key) {
  const shard::Lookup& lookup = lookup_of(key);
  return fail(Code::kAlreadyExists,
              fmt::format("Duplicate entry {} for key '{}.{}' (lookup vindex {})", shown_values(key.values),
                          key.table->name, lookup.name, lookup_table(lookup)))
      .with_mysql(mysql::errnos::kDupEntry, "23000");
}

bool has_null(const std::vector<mysql::Value>& values) { return std::ranges::any_of(values, &mysql::Value::is_null); }

// While it lives, statements go wherever the gate wants, not where the client has pointed its session.
class AsGate {
 public:
  AsGate(std::string& type, std::string& shard)
      : type_(type), shard_(shard), old_type_(std::exchange(type, "primary")), old_shard_(std::exchange(shard, "")) {}
  ~AsGate() {
    type_ = std::move(old_type_);
    shard_ = std::move(old_shard_);
  }
  AsGate(const AsGate&) = delete;
  AsGate& operator=(const AsGate&) = delete;

 private:
  std::string& type_;
  std::string& shard_;
  std::string old_type_;
  std::string old_shard_;
};

}  // namespace

Result<bool> is_written(const vschema::LookupUse& use, const std::vector<mysql::Value>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i].is_null()) continue;
    if (use.lookup->ignore_nulls) return false;
    return fail(Code::kInvalidArgument,
                fmt::format("VT03028: Column '{}' cannot be null: lookup vindex {} takes no NULL (ignore_nulls)",
                            use.columns[i], use.lookup->name))
        .with_mysql(1048, "23000");
  }
  return true;
}

net::Task<Result<std::vector<shard::Target>>> ClientSession::targets_of(const plan::Route& route,
                                                                        const Statement& statement, bool for_change) {
  const auto* shards = shared_.view()->find_shards(route.keyspace, tablet_type_);
  const bool only_one = shards != nullptr && shards->size() == 1;
  if (route.lookup == nullptr || !shard_.empty() || only_one) co_return resolve(route, statement);
  plan::Route by_ids;
  by_ids.kind = plan::Route::Kind::kByIds;
  by_ids.keyspace = route.keyspace;
  CO_ASSIGN_OR_RETURN(by_ids.ids, co_await look_up(*route.lookup, statement, for_change));
  CO_ASSIGN_OR_RETURN(auto targets, resolve(by_ids, statement));
  if (route.kind == plan::Route::Kind::kByLookup && targets.size() > 1) {
    std::string ids;
    for (const auto& id : by_ids.ids) ids += (ids.empty() ? "" : " ") + id.to_hex();
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("VT09024: could not map a value of lookup vindex {} to a unique keyspace id: [{}]; its "
                               "table {} needs a unique key",
                               route.lookup->lookup->name, ids, lookup_table(*route.lookup->lookup)));
  }
  co_return std::move(targets);
}

net::Task<Result<std::vector<shard::KeyspaceId>>> ClientSession::look_up(const plan::LookupRead& read,
                                                                         const Statement& statement, bool for_change) {
  const shard::Lookup& lookup = *read.lookup;
  std::vector<mysql::Value> values;
  std::vector<shard::KeyspaceId> ids;
  for (const auto& source : read.values) {
    // A parameter as it is: the server compares it with the lookup's column as it would with the vindex column.
    const bool parameter =
        source.kind == plan::ValueSource::Kind::kParameter && source.index < statement.parameters.size();
    mysql::Value value;
    if (parameter) {
      value = statement.parameters[source.index];
    } else {
      CO_ASSIGN_OR_RETURN(value, value_of(source, plan::KeyType::kUnknown, statement));
    }
    if (value.is_null()) {
      if (!read.list) co_return ids;  // Nothing is equal to NULL.
      continue;
    }
    CO_ASSIGN_OR_RETURN(value, lookup_from(lookup, value, client_charset()));
    values.push_back(std::move(value));
  }
  if (values.empty()) co_return ids;
  const bool locks = for_change && in_transaction_;
  // In a transaction its own lookup rows are seen, and those of the same moment as before.
  const auto found = co_await ask_tables(
      lookup_select(lookup, read.places, values, read.list, locks ? lock_text(lookup.read_lock) : ""),
      in_transaction_ ? Phase::kBefore : Phase::kMain, nullptr);
  if (!found.ok()) {
    co_return Error(found.error()).with_context(fmt::format("while lookup vindex {} was asked", lookup.name));
  }
  for (const auto& row : found->rows) {
    if (row.empty() || !row[0]) continue;
    CO_ASSIGN_OR_RETURN(auto id, lookup.id_of(*row[0]));
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(std::move(id));
  }
  co_return ids;
}

net::Task<Result<net::QueryResult>> ClientSession::ask_touching(ShardText what, Touched* touched) {
  std::string savepoint;
  if (touched != nullptr && what.phase != Phase::kAlone) {
    const std::pair place(what.target, what.phase);
    if (std::ranges::find(touched->places, place) == touched->places.end()) {
      touched->places.push_back(place);
      savepoint = touched->savepoint;
    }
  }
  co_return co_await ask(std::move(what), std::move(savepoint));
}

net::Task<Result<net::QueryResult>> ClientSession::ask_tables(std::string text, Phase phase, Touched* touched) {
  const auto& settings = settings_.values();
  if (settings.contains("sql_select_limit")) co_return unsupported("sql_select_limit with lookup vindexes");
  CO_ASSIGN_OR_RETURN(auto ast, sql::parse(text));
  std::vector<ShardText> texts;
  {
    const AsGate as_gate(tablet_type_, shard_);
    Statement statement;
    statement.text = text;
    const auto view = shared_.view();
    CO_ASSIGN_OR_RETURN(auto context, plan_context(*view, statement));
    context.keyspace.clear();
    context.has_parameters = true;
    context.literal_positions = 0;
    context.may_finish = false;
    CO_ASSIGN_OR_RETURN(const auto plan, plan::plan_statement(ast, context));
    if (plan->lookup_change != nullptr || (plan->insert && plan->insert->table != nullptr)) {
      co_return unsupported("a lookup vindex on the table of a lookup vindex");
    }
    if (plan->insert) {
      CO_ASSIGN_OR_RETURN(const auto rows, co_await place_rows(*plan->insert, 0, statement));
      texts = insert_texts(*plan->insert, rows);
    } else {
      CO_ASSIGN_OR_RETURN(auto targets, resolve(plan->route, statement));
      for (auto& target : targets) texts.push_back({std::move(target), plan->text ? *plan->text : text});
    }
  }
  net::QueryResult out;
  for (auto& what : texts) {
    what.phase = phase;
    what.own_words = true;
    CO_ASSIGN_OR_RETURN(auto result, co_await ask_touching(std::move(what), touched));
    if (out.columns.empty()) out.columns = std::move(result.columns);
    out.ok.affected_rows += result.ok.affected_rows;
    std::ranges::move(result.rows, std::back_inserter(out.rows));
  }
  co_return std::move(out);
}

Result<shard::KeyspaceId> ClientSession::id_of_row(const vschema::Table& table, const net::QueryResult& rows,
                                                   size_t row, std::vector<mysql::Value>* key) const {
  const auto& primary = *table.primary_vindex();
  std::vector<mysql::Value> values;
  for (size_t i = 0; i < primary.columns.size(); ++i) {
    const auto& cell = rows.rows[row][i];
    mysql::Value value = mysql::make_value(rows.columns[i], cell ? mysql::Cell(*cell) : mysql::Cell());
    if (key != nullptr) key->push_back(value);
    if (mysql::is_string_type(value.type) && !value.is_binary) {
      auto utf8 = plan::to_utf8(value.bytes, client_charset());
      if (!utf8) return unsupported("rows with lookup vindexes in the character set " + client_charset());
      value.bytes = std::move(*utf8);
    }
    values.push_back(std::move(value));
  }
  std::vector<shard::VindexValue> mapped;
  for (const auto& value : values) mapped.push_back(vindex_value(value));
  ASSIGN_OR_RETURN(auto destination, primary.vindex->map(mapped));
  if (destination.kind != shard::Destination::Kind::kKeyspaceId) {
    return fail(Code::kFailedPrecondition,
                fmt::format("a row of table {} has no place by its vindex {}", table.name, primary.name));
  }
  return std::move(destination.keyspace_id);
}

net::Task<Result<size_t>> ClientSession::count_rows(const LookupKey& key, std::string_view lock, Touched* touched) {
  const vschema::Table& table = *key.table;
  const auto& primary = *table.primary_vindex();
  std::string text = "select ";
  for (const auto& column : primary.columns) {
    if (&column != &primary.columns.front()) text += ", ";
    text += sql::quote_identifier(column);
  }
  text += " from " + sql::quote_identifier(table.name) + " where " + all_equal(use_of(key).columns, key.values);
  std::vector<mysql::Value> place = key.key;
  if (place.empty() && primary.vindex->is_reversible()) {
    if (const auto value = primary.vindex->reverse_map(key.id); value.ok()) {
      const auto* number = std::get_if<uint64_t>(&*value);
      place.push_back(number != nullptr ? mysql::Value::of_uint(*number)
                                        : mysql::Value::of_binary(std::get<std::string>(*value)));
    }
  }
  // Other values of the vindex's columns may have the same id, unless its function tells all of them apart.
  const auto& type = primary.vindex->type();
  const bool tells_apart = primary.vindex->is_reversible() || type == "xxhash" || type == "binary_md5";
  // A negative number comes back as a large one.
  const bool as_given = !key.key.empty() || type == "binary";
  const bool below = !place.empty() && (as_given || !place[0].is_unsigned || place[0].bytes.size() < 19);
  if (tells_apart && below) text += " and " + all_equal(primary.columns, place);
  text += lock;
  std::vector<shard::Target> targets;
  {
    const AsGate as_gate(tablet_type_, shard_);
    plan::Route route;
    route.kind = plan::Route::Kind::kByIds;
    route.keyspace = table.keyspace;
    route.ids = {key.id};
    CO_ASSIGN_OR_RETURN(targets, resolve(route, Statement()));
  }
  CO_ASSIGN_OR_RETURN(const auto rows, co_await ask_touching({targets.front(), std::move(text)}, touched));
  size_t count = 0;
  for (size_t row = 0; row < rows.rows.size(); ++row) {
    CO_ASSIGN_OR_RETURN(const auto id, id_of_row(table, rows, row));
    if (id == key.id) ++count;
  }
  co_return count;
}

net::Task<Result<std::optional<shard::KeyspaceId>>> ClientSession::holder_of(const LookupKey& key, Phase phase,
                                                                             Touched& touched) {
  const shard::Lookup& lookup = lookup_of(key);
  std::vector<size_t> places;
  std::vector<mysql::Value> values;
  for (const auto& value : key.values) {
    places.push_back(places.size());
    CO_ASSIGN_OR_RETURN(auto from, lookup_from(lookup, value, client_charset()));
    values.push_back(std::move(from));
  }
  CO_ASSIGN_OR_RETURN(const auto found, co_await ask_tables(lookup_select(lookup, places, values, false, " for update"),
                                                            phase, &touched));
  if (found.rows.empty() || !found.rows[0][0]) co_return std::optional<shard::KeyspaceId>();
  CO_ASSIGN_OR_RETURN(auto id, lookup.id_of(*found.rows[0][0]));
  co_return std::optional(std::move(id));
}

net::Task<Status> ClientSession::write_lookups(const std::vector<LookupKey>& keys, Conflict conflict,
                                               Touched& touched) {
  for (size_t begin = 0; begin < keys.size();) {
    size_t end = begin;
    std::vector<LookupRow> rows;
    const shard::Lookup& lookup = lookup_of(keys[begin]);
    for (; end < keys.size() && &lookup_of(keys[end]) == &lookup && rows.size() < kBatch; ++end) {
      CO_ASSIGN_OR_RETURN(auto row, lookup_row(lookup, keys[end].values, keys[end].id, client_charset()));
      rows.push_back(std::move(row));
    }
    const Phase phase = lookup.autocommit ? Phase::kAlone : Phase::kBefore;
    auto written = co_await ask_tables(lookup_insert(lookup, rows), phase, &touched);
    if (!written.ok() && written.error().mysql_errno() != mysql::errnos::kDupEntry) {
      co_return std::move(written).error().with_context(fmt::format("in the table of lookup vindex {}", lookup.name));
    }
    for (size_t i = begin; !written.ok() && i < end; ++i) {
      CO_RETURN_IF_ERROR(co_await write_lookup(keys[i], conflict, touched));
    }
    begin = end;
  }
  co_return Status{};
}

// One row, by itself. A unique value that is taken is free when the row that has it does not exist.
net::Task<Status> ClientSession::write_lookup(const LookupKey& key, Conflict conflict, Touched& touched) {
  const shard::Lookup& lookup = lookup_of(key);
  const Phase phase = lookup.autocommit ? Phase::kAlone : Phase::kBefore;
  CO_ASSIGN_OR_RETURN(const LookupRow row, lookup_row(lookup, key.values, key.id, client_charset()));
  std::optional<shard::KeyspaceId> holder;
  for (int tries = 0; !holder; ++tries) {  // The row in the way may go while it is looked at.
    auto written = co_await ask_tables(lookup_insert(lookup, {&row, 1}), phase, &touched);
    if (written.ok()) co_return Status{};
    const bool taken = written.error().mysql_errno() == mysql::errnos::kDupEntry;
    if (!taken || tries >= 3) {
      co_return std::move(written).error().with_context(fmt::format("in the table of lookup vindex {}", lookup.name));
    }
    CO_ASSIGN_OR_RETURN(holder, co_await holder_of(key, phase, touched));
  }
  if (*holder == key.id) {
    if (conflict != Conflict::kError) co_return Status{};
    CO_ASSIGN_OR_RETURN(const size_t rows, co_await count_rows(key, " for update", &touched));
    if (rows > 1) co_return duplicate(key);
    co_return Status{};
  }
  LookupKey other = key;
  other.id = *holder;
  other.key.clear();
  CO_ASSIGN_OR_RETURN(const size_t rows, co_await count_rows(other, " for update", &touched));
  if (rows > 0) {
    if (conflict == Conflict::kError) co_return duplicate(key);
    // Perhaps the statement has written no such row.
    CO_ASSIGN_OR_RETURN(const size_t own, co_await count_rows(key, " for update", &touched));
    if (own > 0) co_return duplicate(key);
    co_return Status{};
  }
  // The lookup's row is committed before the rows: until then the old row would not be found. A row that moves is found
  // nowhere else either.
  const bool own_removal = !key.moves && std::ranges::any_of(maybe_gone_, [&](const LookupKey& gone) {
    return gone.id == other.id && &lookup_of(gone) == &lookup && gone.values == key.values;
  });
  if (own_removal) {
    co_return unsupported(fmt::format(
        "the value {} of lookup vindex {} in a row of another keyspace id than that of the row that the same "
        "transaction has taken it from; commit in between",
        shown_values(key.values), lookup.name));
  }
  std::string text = "update " + lookup_table(lookup) + " set " + all_equal({&lookup.to, 1}, {&row.back(), 1}) +
                     " where " + all_equal(lookup.from, row);
  auto moved = co_await ask_tables(std::move(text), phase, &touched);
  if (!moved.ok()) co_return std::move(moved).error();
  co_return Status{};
}

// The other functions of the table must place the row where the first one does.
Status ClientSession::verify_row(const plan::ShardedInsert& insert, const plan::ShardedInsert::Row& row,
                                 const InsertedRow& placed) {
  for (size_t i = 0; i < row.secondary.size(); ++i) {
    if (row.secondary[i].empty()) continue;
    std::vector<shard::VindexValue> mapped;
    std::string shown;
    for (const auto& value : row.secondary[i]) {
      mapped.push_back(vindex_value(value ? *value : *placed.generated));
      shown += (shown.empty() ? "" : " ") + (value ? value->bytes : placed.generated->bytes);
    }
    ASSIGN_OR_RETURN(const bool same, insert.secondary[i].vindex->verify(mapped, placed.id));
    if (same) continue;
    return fail(Code::kInvalidArgument,
                fmt::format("values [{}] for column [{}] of vindex {} does not map to keyspace ids: the row's is {}",
                            shown, base::join(insert.secondary[i].columns, " "), insert.secondary[i].vindex->name(),
                            placed.id.to_hex()));
  }
  return {};
}

net::Task<Result<shard::KeyspaceId>> ClientSession::id_of_key(const shard::Vindex& vindex,
                                                              const std::vector<mysql::Value>& key) {
  // A row must have a place: "nowhere" may do for reading, never for writing.
  const auto nowhere = [&] {
    return fail(Code::kInvalidArgument,
                fmt::format("VT09023: could not map {} to a keyspace id", key[0].is_null() ? "NULL" : key[0].bytes));
  };
  if (const auto lookup = shard::placing_lookup(vindex)) {
    plan::LookupRead read{.lookup = lookup};
    for (const auto& value : key) {
      read.places.push_back(read.places.size());
      read.values.push_back({.constant = value});
    }
    CO_ASSIGN_OR_RETURN(auto ids, co_await look_up(read, Statement(), true));
    if (ids.size() != 1) co_return nowhere();
    co_return std::move(ids.front());
  }
  std::vector<shard::VindexValue> mapped;
  for (const auto& value : key) mapped.push_back(vindex_value(value));
  CO_ASSIGN_OR_RETURN(auto destination, vindex.map(mapped));
  if (destination.kind != shard::Destination::Kind::kKeyspaceId) co_return nowhere();
  co_return std::move(destination.keyspace_id);
}

// Rows to shards, in the order of the statement.
net::Task<Result<std::vector<ClientSession::InsertedRow>>> ClientSession::place_rows(const plan::ShardedInsert& insert,
                                                                                     int64_t next,
                                                                                     const Statement& statement) {
  std::vector<InsertedRow> out;
  for (const auto& row : insert.rows) {
    InsertedRow& placed = out.emplace_back();
    placed.text = row.text.empty() ? std::string() : row.text[0];
    if (row.needs_value) {
      placed.generated = mysql::Value::of_int(next++);
      placed.text += placed.generated->bytes;
      if (row.text.size() > 1) placed.text += row.text[1];
    }
    plan::Route route;
    route.keyspace = insert.keyspace;
    route.only_shard = true;
    if (insert.vindex != nullptr) {
      const auto& key = row.key_from_sequence ? std::vector{*placed.generated} : row.key;
      CO_ASSIGN_OR_RETURN(placed.id, co_await id_of_key(*insert.vindex, key));
      route.kind = plan::Route::Kind::kByIds;
      route.ids = {placed.id};
    }
    CO_RETURN_IF_ERROR(verify_row(insert, row, placed));
    CO_ASSIGN_OR_RETURN(auto targets, resolve(route, statement));
    placed.target = std::move(targets.front());
  }
  co_return std::move(out);
}

std::vector<ClientSession::ShardText> ClientSession::insert_texts(const plan::ShardedInsert& insert,
                                                                  const std::vector<InsertedRow>& rows) {
  std::vector<ShardText> texts;
  for (const auto& row : rows) {
    auto found = std::ranges::find(texts, row.target, &ShardText::target);
    if (found == texts.end()) {
      texts.push_back({row.target, insert.prefix + row.text});
    } else {
      found->text += "," + row.text;
    }
  }
  for (auto& what : texts) what.text += insert.suffix;
  return texts;
}

net::Task<RunResult> ClientSession::insert_with_lookups(const plan::ShardedInsert& insert,
                                                        std::vector<InsertedRow> rows, uint64_t last_insert_id,
                                                        bool id_given) {
  LookupStatement what;
  what.insert = &insert;
  what.conflict = insert.conflict;
  what.out.last_insert_id = last_insert_id;
  what.out.id_given = id_given;
  what.out.takes_servers_insert_id = insert.servers_insert_id;
  what.out.tells_found_id = insert.tells_found_id;
  what.out.given_id = insert.given_id.value_or(0);
  what.out.ignore = insert.conflict == Conflict::kIgnore;
  for (size_t i = 0; i < rows.size(); ++i) {
    auto& keys = what.keys.emplace_back();
    for (size_t use = 0; use < insert.table->lookups.size(); ++use) {
      LookupKey key{.table = insert.table, .use = use, .id = rows[i].id};
      for (const auto& value : insert.rows[i].lookups[use]) key.values.push_back(value ? *value : *rows[i].generated);
      key.key = insert.rows[i].key_from_sequence ? std::vector{*rows[i].generated} : insert.rows[i].key;
      auto written = is_written(use_of(key), key.values);
      if (!written.ok() && use_of(key).is_owned) co_return RunResult::failed(std::move(written).error());
      if (written.ok() && *written) keys.push_back(std::move(key));
    }
  }
  what.rows = std::move(rows);
  what.texts = insert_texts(insert, what.rows);
  count_statement(what.texts.size());
  co_return co_await run_lookup_statement(std::move(what));
}

net::Task<RunResult> ClientSession::change_with_lookups(const plan::Plan& plan, const Statement& statement) {
  LookupStatement what;
  what.change = plan.lookup_change.get();
  what.out.updates = !what.change->removes;
  auto text = with_session_values(*plan.text);
  auto rows = with_session_values(what.change->rows);
  if (!text.ok()) co_return RunResult::failed(std::move(text).error());
  if (!rows.ok()) co_return RunResult::failed(std::move(rows).error());
  const std::string changes = *text ? std::move(**text) : *plan.text;
  what.changed_text = *rows ? std::move(**rows) : what.change->rows;
  auto targets = co_await targets_of(plan.route, statement, true);
  if (!targets.ok()) {
    Error error = std::move(targets).error();
    if (in_transaction_ && ends_transaction(error)) co_return co_await fail_transaction(std::move(error));
    co_return refused(std::move(error));
  }
  for (auto& target : *targets) what.texts.push_back({std::move(target), changes});
  count_statement(what.texts.size());
  co_return co_await run_lookup_statement(std::move(what));
}

net::Task<bool> ClientSession::undo_touched(const Touched& touched) {
  for (const auto& [target, phase] : touched.places) {
    const HeldConnection* held = find_held(target, phase);
    if (held == nullptr) continue;  // It never came to be: the loss of one that was there has its own error.
    if (!held->in_transaction) co_return false;
    auto done = co_await ask({target, "rollback to savepoint " + sql::quote_identifier(touched.savepoint), phase});
    if (!done.ok()) co_return false;
  }
  co_return true;
}

net::Task<RunResult> ClientSession::run_lookup_statement(LookupStatement what) {
  if (tables_locked_) {
    co_return RunResult::failed(unsupported("a change of rows with lookup vindexes under LOCK TABLES"));
  }
  if (what.texts.size() > 1 && single_shard()) {
    co_return RunResult::failed(
        fail(Code::kFailedPrecondition, "multi-db transaction attempted: transaction_mode is SINGLE"));
  }
  const bool own_transaction = !in_transaction_;
  if (own_transaction) start_transaction();
  Touched touched;
  if (!own_transaction) touched.savepoint = statement_savepoint();
  Status done = co_await do_lookup_statement(what, touched);
  if (!done.ok()) {
    Error error = std::move(done).error();
    if (own_transaction) {
      co_await rollback_all();
      // Nothing had been committed: it is as if the statement had not run.
      if (error.reason() == Reason::kTransactionLost) {
        co_return RunResult::failed(std::move(error).with_effect(Effect::kNone));
      }
      co_return refused(std::move(error));
    }
    if (ends_transaction(error)) co_return co_await fail_transaction(std::move(error));
    if (!co_await undo_touched(touched)) co_return co_await fail_transaction(std::move(error));
    co_return refused(std::move(error));
  }
  if (own_transaction) {
    RunResult committed = co_await commit();
    if (committed.verdict != RunResult::Verdict::kAnswered) co_return committed;
  }
  what.out.order_returned();
  co_return co_await tell_change(std::move(what.out));
}

net::Task<Status> ClientSession::do_lookup_statement(LookupStatement& what, Touched& touched) {
  if (what.conflict == Conflict::kIgnore) CO_RETURN_IF_ERROR(co_await drop_ignored(what, touched));
  const bool watched = what.insert != nullptr && what.insert->watch != nullptr;
  const bool replaces = what.conflict == Conflict::kReplace && what.insert->table != nullptr;
  if (replaces && !watched) CO_RETURN_IF_ERROR(co_await note_replaced(what, touched));
  if (what.change != nullptr) CO_RETURN_IF_ERROR(co_await read_changed(what, touched));
  for (auto& text : what.texts) {
    std::vector<uint64_t> places;
    std::string conflicts;
    for (size_t i = 0; i < what.rows.size(); ++i) {
      if (what.rows[i].target != text.target) continue;
      places.push_back(what.first_place + i);
      if (!watched || what.insert->rows[i].conflicts.empty()) continue;
      conflicts += (conflicts.empty() ? "" : " or ") + what.insert->rows[i].conflicts;
    }
    const shard::Target target = text.target;
    Watched before;
    if (!conflicts.empty()) {
      CO_ASSIGN_OR_RETURN(before, co_await read_watched(*what.insert->watch, target, conflicts, touched));
    }
    if (what.load != nullptr) {
      CO_RETURN_IF_ERROR(co_await load_lines(what, std::move(text), touched));
      continue;
    }
    CO_ASSIGN_OR_RETURN(const auto result, co_await ask_touching(std::move(text), &touched));
    what.out.add(result, places.size(), what.out.ignore);
    what.out.note_places(places, result.rows.size());
    if (before.keys.empty()) continue;
    // REPLACE deletes them, and the new rows' are known. What takes a value over is on the same shard: whom the
    // lookup's row leads there finds the one or the other.
    if (what.conflict == Conflict::kReplace) {
      for (const uint64_t place : places) {
        for (auto& key : what.keys[place - what.first_place]) {
          key.moves = std::ranges::any_of(before.keys, [&](const LookupKey& old) {
            return old.use == key.use &&
                   std::ranges::equal(old.values, key.values, {}, &mysql::Value::bytes, &mysql::Value::bytes);
          });
        }
      }
    }
    Watched after;
    if (what.conflict == Conflict::kUpdate) {
      CO_ASSIGN_OR_RETURN(after, co_await read_watched(*what.insert->watch, target, before.conditions, touched));
    }
    CO_ASSIGN_OR_RETURN(const auto written, learn(before, after, false));
    what.written.insert(what.written.end(), written.begin(), written.end());
  }
  for (const auto& row : what.keys) what.written.insert(what.written.end(), row.begin(), row.end());
  CO_RETURN_IF_ERROR(co_await settle(what.written, what.conflict, touched));
  // Rows that were not written after all have no lookup rows. LOAD DATA tells whether there are any.
  const bool all_new = what.load != nullptr && what.loaded.skipped == 0 && what.loaded.deleted == 0;
  if (what.insert != nullptr && what.conflict != Conflict::kError && !all_new) {
    std::ranges::copy_if(what.written, std::back_inserter(maybe_gone_),
                         [](const LookupKey& key) { return use_of(key).is_owned; });
  }
  co_return Status{};
}

// Of a lookup that another table owns: values must be those of rows where this one is.
net::Task<Status> ClientSession::verify_key(const LookupKey& key, Touched& touched) {
  const shard::Lookup& lookup = lookup_of(key);
  if (lookup.no_verify) co_return Status{};
  CO_ASSIGN_OR_RETURN(const auto row, lookup_row(lookup, key.values, key.id, client_charset()));
  CO_ASSIGN_OR_RETURN(const auto found,
                      co_await ask_tables(fmt::format("select 1 from {} where {}{}", lookup_table(lookup),
                                                      lookup_condition(lookup, {&row, 1}), lock_text(lookup.read_lock)),
                                          Phase::kBefore, &touched));
  if (!found.rows.empty()) co_return Status{};
  co_return fail(
      Code::kInvalidArgument,
      fmt::format("values {} for columns of lookup vindex {} of table {} do not map to the row's keyspace id",
                  shown_values(key.values), lookup.name, key.table->name));
}

// INSERT IGNORE: leaves out rows with a unique value that another row has.
net::Task<Status> ClientSession::drop_ignored(LookupStatement& what, Touched& touched) {
  std::vector<InsertedRow> rows;
  std::vector<std::vector<LookupKey>> kept;
  std::vector<const LookupKey*> before;
  for (size_t i = 0; i < what.rows.size(); ++i) {
    bool taken = false;
    for (const auto& key : what.keys[i]) {
      if (!lookup_of(key).unique || !use_of(key).is_owned || taken) continue;
      taken = std::ranges::any_of(before, [&](const LookupKey* other) {
        return other->use == key.use && other->values == key.values && other->id != key.id;
      });
      if (!taken) {
        const Phase phase = lookup_of(key).autocommit ? Phase::kAlone : Phase::kBefore;
        CO_ASSIGN_OR_RETURN(const auto holder, co_await holder_of(key, phase, touched));
        if (holder && *holder != key.id) {
          LookupKey other = key;
          other.id = *holder;
          other.key.clear();
          CO_ASSIGN_OR_RETURN(const size_t count, co_await count_rows(other, " for update", &touched));
          taken = count > 0;
        }
      }
      if (taken) add_warning("Warning", mysql::errnos::kDupEntry, duplicate(key).message());
    }
    if (taken) {
      ++what.out.records;
      ++what.out.duplicates;
      continue;
    }
    for (const auto& key : what.keys[i]) before.push_back(&key);
    rows.push_back(std::move(what.rows[i]));
    kept.push_back(what.keys[i]);
  }
  if (rows.size() == what.rows.size()) {
    what.rows = std::move(rows);
    co_return Status{};
  }
  what.rows = std::move(rows);
  what.keys = std::move(kept);
  what.texts = what.load != nullptr ? line_texts(what.rows) : insert_texts(*what.insert, what.rows);
  co_return Status{};
}

// REPLACE: rows of the same keys may go.
net::Task<Status> ClientSession::note_replaced(const LookupStatement& what, Touched& touched) {
  const vschema::Table& table = *what.insert->table;
  const auto& primary = *table.primary_vindex();
  std::string list;
  for (const auto& column : primary.columns) list += (list.empty() ? "" : ", ") + sql::quote_identifier(column);
  for (const auto& use : table.lookups) {
    for (const auto& column : use.columns) list += ", " + sql::quote_identifier(column);
  }
  std::vector<ShardText> texts;
  for (size_t i = 0; i < what.rows.size(); ++i) {
    const auto& given = what.insert->rows[i];
    const auto key = given.key_from_sequence ? std::vector{*what.rows[i].generated} : given.key;
    const std::string condition = "(" + all_equal(primary.columns, key) + ")";
    auto found = std::ranges::find(texts, what.rows[i].target, &ShardText::target);
    if (found == texts.end()) {
      texts.push_back({what.rows[i].target,
                       "select " + list + " from " + sql::quote_identifier(table.name) + " where " + condition});
    } else {
      found->text += " or " + condition;
    }
  }
  for (auto& text : texts) {
    text.text += " for update";
    CO_ASSIGN_OR_RETURN(const auto rows, co_await ask_touching(std::move(text), &touched));
    for (size_t row = 0; row < rows.rows.size(); ++row) {
      std::vector<mysql::Value> key;
      CO_ASSIGN_OR_RETURN(const auto id, id_of_row(table, rows, row, &key));
      size_t column = primary.columns.size();
      for (size_t use = 0; use < table.lookups.size(); ++use) {
        LookupKey gone{.table = what.insert->table, .use = use, .id = id, .key = key};
        for (size_t i = 0; i < table.lookups[use].columns.size(); ++i, ++column) {
          const auto& cell = rows.rows[row][column];
          gone.values.push_back(mysql::make_value(rows.columns[column], cell ? mysql::Cell(*cell) : mysql::Cell()));
        }
        if (table.lookups[use].is_owned && !has_null(gone.values)) maybe_gone_.push_back(std::move(gone));
      }
    }
  }
  co_return Status{};
}

// UPDATE and DELETE: which lookup rows go, and which come.
net::Task<Status> ClientSession::read_changed(LookupStatement& what, Touched& touched) {
  const plan::LookupChange& change = *what.change;
  const vschema::Table& table = *change.table;
  size_t old_columns = table.primary_vindex()->columns.size();
  const size_t first = old_columns;
  for (const size_t use : change.uses) old_columns += table.lookups[use].columns.size();
  for (const auto& text : what.texts) {
    CO_ASSIGN_OR_RETURN(const auto rows, co_await ask_touching({text.target, what.changed_text}, &touched));
    const auto value_at = [&](size_t row, size_t column) {
      const auto& cell = rows.rows[row][column];
      return mysql::make_value(rows.columns[column], cell ? mysql::Cell(*cell) : mysql::Cell());
    };
    for (size_t row = 0; row < rows.rows.size(); ++row) {
      std::vector<mysql::Value> key;
      CO_ASSIGN_OR_RETURN(const auto id, id_of_row(table, rows, row, &key));
      size_t column = first;
      for (const size_t use : change.uses) {
        LookupKey before{.table = change.table, .use = use, .id = id, .key = key};
        LookupKey after = before;
        bool same = !change.removes;
        for (size_t i = 0; i < table.lookups[use].columns.size(); ++i, ++column) {
          before.values.push_back(value_at(row, column));
          if (change.removes) continue;
          after.values.push_back(value_at(row, old_columns + column - first));
          same = same && rows.rows[row][column] == rows.rows[row][old_columns + column - first];
        }
        if (same) continue;
        if (!has_null(before.values)) maybe_gone_.push_back(std::move(before));
        if (change.removes) continue;
        CO_ASSIGN_OR_RETURN(const bool written, is_written(table.lookups[use], after.values));
        if (written) what.written.push_back(std::move(after));
      }
    }
  }
  co_return Status{};
}

}  // namespace vitrail::gate
