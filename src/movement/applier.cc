#include "movement/applier.h"

#include <fmt/core.h>

#include <unordered_map>

#include "base/text.h"

namespace vitrail::movement {
namespace {

constexpr size_t kScriptBytes = 4u << 20;  // Well below the server's max_allowed_packet of 16 MiB.

Error gone(int32_t id) { return fail(Code::kNotFound, fmt::format("the row of stream {} is gone", id)); }

// MySQL with local_infile=OFF; either server with it off at the client's side of the login.
bool refuses_local_files(uint16_t number) { return number == 3948 || number == 1148; }

}  // namespace

Result<std::vector<std::string>> key_values(const TableSchema& table, const ::query::QueryResult& key) {
  std::vector<std::string> values;
  if (key.rows_size() == 0) return values;
  std::vector<mysql::Cell> cells;
  RETURN_IF_ERROR(read_row(key.rows(0), static_cast<size_t>(key.fields_size()), cells));
  bool same = cells.size() == table.identity.size();
  for (size_t i = 0; same && i < cells.size(); ++i) {
    same = cells[i] &&
           base::equals_ignoring_case(key.fields(static_cast<int>(i)).name(), table.columns[table.identity[i]].name);
    if (same) values.emplace_back(*cells[i]);
  }
  if (!same) {
    return fail(Code::kFailedPrecondition,
                fmt::format("table {} has another key on the source than on the target", table.name));
  }
  return values;
}

bool Applier::must_flush_before(const ::binlogdata::FieldEvent& event) const {
  return batches_.contains(event.table_name()) && bound_.at(event.table_name()).fields != event.SerializeAsString();
}

Status Applier::set_fields(const ::binlogdata::FieldEvent& event) {
  std::string fields = event.SerializeAsString();
  if (const auto known = bound_.find(event.table_name()); known != bound_.end() && known->second.fields == fields)
    return {};
  const auto found = tables_.find(event.table_name());
  if (found == tables_.end()) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("table {} of the source does not exist on the target: create it there", event.table_name()));
  }
  ASSIGN_OR_RETURN(TargetTable table, TargetTable::bind(found->second, database_, event.fields()));
  bound_[event.table_name()] = {std::move(fields), std::make_shared<const TargetTable>(std::move(table))};
  return {};
}

Status Applier::add(::binlogdata::RowEvent event) {
  const auto bound = bound_.find(event.table_name());
  if (bound == bound_.end()) {
    return fail(Code::kInternal, fmt::format("rows of table {} came without its columns", event.table_name()));
  }
  const auto [at, made] = batches_.try_emplace(event.table_name(), bound->second.table);
  RowBatch& batch = at->second;
  const uint64_t before = batch.bytes();
  for (::binlogdata::RowChange& change : *event.mutable_row_changes()) {
    if (change.has_before()) RETURN_IF_ERROR(batch.remove(change.before()));
    if (change.has_after()) RETURN_IF_ERROR(batch.insert(std::move(*change.mutable_after())));
  }
  bytes_ += batch.bytes() - before;
  return {};
}

net::Task<Status> Applier::send(std::vector<std::string> statements) {
  std::string script;
  for (size_t i = 0; i < statements.size(); ++i) {
    if (!script.empty()) script += "; ";
    script += statements[i];
    const bool last = i + 1 == statements.size();
    if (!last && script.size() + statements[i + 1].size() < kScriptBytes) continue;
    auto sent = co_await session_.script(std::move(script), wait());
    if (!sent.ok()) co_return std::move(sent).error();
    script.clear();
  }
  co_return Status{};
}

net::Task<Result<std::vector<const ::query::Row*>>> Applier::find_equal(const RowBatch& batch) {
  std::vector<const ::query::Row*> equal;
  std::vector<mysql::Cell> cells;
  for (const ::query::Row* row : batch.fresh()) {
    CO_RETURN_IF_ERROR(read_row(*row, batch.table().field_count(), cells));
    CO_ASSIGN_OR_RETURN(const auto found, co_await session_.query(batch.table().compare_query(cells), wait()));
    if (found.rows.empty()) continue;
    if (found.text(0, 0) != "1") {
      co_return fail(Code::kAlreadyExists,
                     fmt::format("table {} has another row with the key of a row that the source inserts",
                                 batch.table().schema().name));
    }
    equal.push_back(row);
  }
  co_return std::move(equal);
}

net::Task<Result<std::vector<std::string>>> Applier::take_statements() {
  std::vector<std::string> statements;
  if (!open_) statements.push_back("BEGIN");
  for (const auto& [name, batch] : batches_) batch.append_deletes(statements);
  if (!careful_) {
    for (const auto& [name, batch] : batches_) batch.append_inserts(statements);
  } else {
    CO_RETURN_IF_ERROR(co_await send(std::move(statements)));
    open_ = true;
    statements.clear();
    for (const auto& [name, batch] : batches_) {
      CO_ASSIGN_OR_RETURN(const auto equal, co_await find_equal(batch));
      batch.append_inserts(statements, equal);
    }
  }
  batches_.clear();
  bytes_ = 0;
  co_return std::move(statements);
}

net::Task<Status> Applier::flush() {
  CO_ASSIGN_OR_RETURN(auto statements, co_await take_statements());
  CO_RETURN_IF_ERROR(co_await send(std::move(statements)));
  open_ = true;
  co_return Status{};
}

std::string Applier::update_sql(std::string_view position, int64_t timestamp, std::string_view more) const {
  std::string sql =
      fmt::format("UPDATE _vt.vreplication SET pos = {}, time_updated = {}", sql_text(position), unix_now());
  if (timestamp != 0) sql += fmt::format(", transaction_timestamp = {}", timestamp);
  return fmt::format("{}{} WHERE id = {}", sql, more, stream_id_);
}

net::Task<Status> Applier::commit(std::string position, int64_t timestamp, std::string more,
                                  std::vector<std::string> extra) {
  std::vector<std::string> statements;
  if (has_rows()) {
    CO_ASSIGN_OR_RETURN(statements, co_await take_statements());
  } else {
    statements.push_back("BEGIN");
  }
  for (std::string& statement : extra) statements.push_back(std::move(statement));
  size_t size = 0;
  for (const std::string& statement : statements) size += statement.size();
  if (size > kScriptBytes) {
    CO_RETURN_IF_ERROR(co_await send(std::move(statements)));
    statements.clear();
  }
  // One message in the ordinary case. If a statement fails, what is behind it does not run.
  statements.push_back(update_sql(position, timestamp, more));
  statements.push_back("COMMIT");
  std::string script;
  for (const std::string& statement : statements) {
    if (!script.empty()) script += "; ";
    script += statement;
  }
  CO_ASSIGN_OR_RETURN(const auto oks, co_await session_.script(std::move(script), wait()));
  open_ = false;
  if (oks.size() < 2 || oks[oks.size() - 2].affected_rows != 1) co_return gone(stream_id_);
  co_return Status{};
}

net::Task<Result<uint64_t>> Applier::write_rows(const TargetTable& table, const std::vector<const ::query::Row*>& rows,
                                                bool use_load_data, bool& skipped) {
  skipped = false;
  std::vector<mysql::Cell> cells;
  if (use_load_data && !load_refused_ && table.can_load()) {
    std::string file;
    size_t bytes = 0;
    for (const ::query::Row* row : rows) bytes += row->values().size() + static_cast<size_t>(row->lengths_size()) + 1;
    file.reserve(bytes + bytes / 16);
    for (const ::query::Row* row : rows) {
      CO_RETURN_IF_ERROR(read_row(*row, table.field_count(), cells));
      TargetTable::append_line(file, table, cells);
    }
    const auto loaded = co_await session_.client().load_local(table.load_statement(), file, wait());
    if (loaded.ok()) {
      // LOCAL makes the server skip duplicates and bend values instead of failing: neither may pass unseen.
      skipped = loaded->affected_rows != rows.size() || loaded->warnings != 0;
      co_return rows.size();
    }
    if (!refuses_local_files(loaded.error().mysql_errno())) co_return loaded.error();
    load_refused_ = true;  // It has not asked for the file: nothing has happened.
  }
  std::string sql;
  for (size_t i = 0; i < rows.size(); ++i) {
    CO_RETURN_IF_ERROR(read_row(*rows[i], table.field_count(), cells));
    sql += sql.empty() ? std::string_view(table.insert_head()) : std::string_view(", ");
    table.append_values(sql, cells);
    if (i + 1 != rows.size() && sql.size() < (1u << 20)) continue;
    auto done = co_await session_.query(std::move(sql), wait());
    sql.clear();
    if (!done.ok()) {
      if (done.error().mysql_errno() != 1062) co_return std::move(done).error();
      skipped = true;
      co_return 0;
    }
  }
  co_return rows.size();
}

net::Task<Result<std::vector<const ::query::Row*>>> Applier::without_equal(const TargetTable& table,
                                                                           std::vector<const ::query::Row*> rows,
                                                                           const ::query::QueryResult& from,
                                                                           const ::query::QueryResult& to) {
  CO_ASSIGN_OR_RETURN(const auto low, key_values(table.schema(), from));
  CO_ASSIGN_OR_RETURN(const auto high, key_values(table.schema(), to));
  std::string where;
  if (!low.empty()) where = fmt::format(" WHERE ({})", key_condition(table.schema(), low, true));
  if (!high.empty())
    where += fmt::format("{} ({})", where.empty() ? " WHERE" : " AND", key_condition(table.schema(), high, false));
  CO_ASSIGN_OR_RETURN(
      const auto there,
      co_await session_.client().query(
          fmt::format("SELECT {} FROM {}{}", table.read_list(), table.qualified_name(), where), wait(), SIZE_MAX));
  // Both sides are texts of the same expressions, so equal rows have equal texts.
  std::unordered_map<std::string, const std::vector<std::optional<std::string>>*> by_key;
  std::vector<mysql::Cell> cells(table.field_count());
  std::string key;
  for (const auto& row : there.rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      cells[table.bindings()[i].field] = row[i] ? mysql::Cell(*row[i]) : mysql::Cell();
    }
    CO_RETURN_IF_ERROR(table.key_of(cells, key));
    by_key.emplace(key, &row);
  }
  std::vector<const ::query::Row*> missing;
  for (const ::query::Row* row : rows) {
    CO_RETURN_IF_ERROR(read_row(*row, table.field_count(), cells));
    CO_RETURN_IF_ERROR(table.key_of(cells, key));
    const auto found = by_key.find(key);
    if (found == by_key.end()) {
      missing.push_back(row);
      continue;
    }
    for (size_t i = 0; i < table.bindings().size(); ++i) {
      const mysql::Cell& cell = cells[table.bindings()[i].field];
      const auto& other = (*found->second)[i];
      if (cell.has_value() == other.has_value() && (!cell || *cell == *other)) continue;
      co_return fail(
          Code::kAlreadyExists,
          fmt::format("table {} has another row with the key of a row that is to be copied (column {} differs)",
                      table.schema().name, table.schema().columns[table.bindings()[i].column].name));
    }
  }
  co_return std::move(missing);
}

net::Task<Result<uint64_t>> Applier::copy(const TargetTable& table, const Chunk& chunk,
                                          const ::query::QueryResult& from, const ::query::QueryResult& to,
                                          bool use_load_data) {
  std::vector<const ::query::Row*> rows;
  for (const auto& response : chunk.responses) {
    for (const auto& row : response.rows()) rows.push_back(&row);
  }
  const uint64_t count = rows.size();
  CO_RETURN_IF_ERROR(co_await send({"BEGIN"}));
  if (!rows.empty()) {
    bool skipped = false;
    CO_ASSIGN_OR_RETURN(const uint64_t written, co_await write_rows(table, rows, use_load_data, skipped));
    (void)written;
    if (skipped) {
      // Events that were applied may have brought rows of this chunk already. They are equal to those of the chunk.
      CO_RETURN_IF_ERROR(co_await send({"ROLLBACK", "BEGIN"}));
      CO_ASSIGN_OR_RETURN(rows, co_await without_equal(table, std::move(rows), from, to));
      if (!rows.empty()) {
        CO_RETURN_IF_ERROR(co_await write_rows(table, rows, use_load_data, skipped));
        if (skipped) {
          auto warnings = co_await session_.query("SHOW WARNINGS LIMIT 1", wait());
          co_return fail(Code::kAlreadyExists,
                         fmt::format("table {} does not take the rows as they are: {}", table.schema().name,
                                     warnings.ok() ? warnings->text(0, 2) : warnings.error().message()));
        }
      }
    }
  }
  std::vector<std::string> extra;
  if (to.rows_size() != 0) {
    extra.push_back(fmt::format("UPDATE _vt.copy_state SET lastpk = {} WHERE vrepl_id = {} AND table_name = {}",
                                sql_text(to_text(to)), stream_id_, sql_text(table.schema().name)));
  }
  open_ = true;
  CO_RETURN_IF_ERROR(
      co_await commit(chunk.gtid, 0, fmt::format(", rows_copied = rows_copied + {}", count), std::move(extra)));
  co_return count;
}

}  // namespace vitrail::movement
