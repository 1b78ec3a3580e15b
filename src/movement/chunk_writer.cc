#include "movement/chunk_writer.h"

#include <fmt/core.h>

#include <unordered_map>

#include "movement/applier.h"

namespace vitrail::movement {
namespace {

constexpr size_t kStatementBytes = 1u << 20;
constexpr int kAttempts = 5;

// Neighbours may want the same page of a key, or the lock of an AUTO_INCREMENT, at the same time.
bool is_lock_conflict(const Error& error) { return error.mysql_errno() == 1213 || error.mysql_errno() == 1205; }

// Nobody's cancellation may cut a write in two: writes have a bound of their own.
net::Wait write_wait() { return net::Wait::within(std::chrono::minutes(10)); }

}  // namespace

net::Task<Status> ChunkWriter::write(const TargetTable& table, const Chunk& chunk, const ::query::QueryResult& from,
                                     const ::query::QueryResult& to) {
  Rows rows;
  for (const auto& response : chunk.responses) {
    for (const auto& row : response.rows()) rows.push_back(&row);
  }
  if (rows.empty()) co_return Status{};
  for (int attempt = 1;; ++attempt) {
    CO_RETURN_IF_ERROR(co_await session_.run({"BEGIN"}, write_wait()));
    Status filled = co_await fill(table, rows, from, to);
    if (filled.has_value()) co_return co_await session_.run({"COMMIT"}, write_wait());
    if (!is_lock_conflict(filled.error()) || attempt == kAttempts) co_return filled;
    CO_RETURN_IF_ERROR(co_await session_.run({"ROLLBACK"}, write_wait()));
  }
}

net::Task<Status> ChunkWriter::fill(const TargetTable& table, Rows rows, const ::query::QueryResult& from,
                                    const ::query::QueryResult& to) {
  bool skipped = false;
  CO_RETURN_IF_ERROR(co_await insert(table, rows, skipped));
  if (!skipped) co_return Status{};
  // Events that were applied may have brought rows of this chunk already. They are equal to those of the chunk.
  CO_RETURN_IF_ERROR(co_await session_.run({"ROLLBACK", "BEGIN"}, write_wait()));
  CO_ASSIGN_OR_RETURN(rows, co_await without_equal(table, std::move(rows), from, to));
  if (rows.empty()) co_return Status{};
  CO_RETURN_IF_ERROR(co_await insert(table, rows, skipped));
  if (!skipped) co_return Status{};
  auto warnings = co_await session_.query("SHOW WARNINGS LIMIT 1", write_wait());
  co_return fail(Code::kAlreadyExists,
                 fmt::format("table {} does not take the rows as they are: {}", table.schema().name,
                             warnings.ok() ? warnings->text(0, 2) : warnings.error().message()));
}

net::Task<Status> ChunkWriter::insert(const TargetTable& table, const Rows& rows, bool& skipped) {
  skipped = false;
  std::vector<mysql::Cell> cells;
  if (!use_load_data_ || !table.can_load()) co_return co_await insert_by_statements(table, rows, skipped);
  std::string file;
  size_t bytes = 0;
  for (const ::query::Row* row : rows) bytes += row->values().size() + static_cast<size_t>(row->lengths_size()) + 1;
  file.reserve(bytes + bytes / 16);
  Rows others;
  for (const ::query::Row* row : rows) {
    CO_RETURN_IF_ERROR(read_row(*row, table.field_count(), cells));
    if (table.has_blank_enum(cells)) {
      others.push_back(row);
    } else {
      TargetTable::append_line(file, table, cells);
    }
  }
  CO_ASSIGN_OR_RETURN(const auto ok, co_await session_.client().load_local(table.load_statement(), file, write_wait()));
  // LOCAL makes the server skip duplicates and bend values instead of failing: neither may pass unseen.
  skipped = ok.affected_rows != rows.size() - others.size() || ok.warnings != 0;
  if (skipped || others.empty()) co_return Status{};
  co_return co_await insert_by_statements(table, others, skipped);
}

net::Task<Status> ChunkWriter::insert_by_statements(const TargetTable& table, const Rows& rows, bool& skipped) {
  std::vector<mysql::Cell> cells;
  std::vector<std::string> blank;
  std::string sql;
  for (size_t i = 0; i < rows.size(); ++i) {
    CO_RETURN_IF_ERROR(read_row(*rows[i], table.field_count(), cells));
    sql += sql.empty() ? std::string_view(table.insert_head()) : std::string_view(", ");
    table.append_values(sql, cells);
    if (table.has_blank_enum(cells)) blank.push_back(table.blank_enums(cells));
    if (i + 1 != rows.size() && sql.size() < kStatementBytes) continue;
    auto done = co_await session_.query(std::move(sql), write_wait());
    sql.clear();
    if (!done.ok()) {
      if (done.error().mysql_errno() != 1062) co_return std::move(done).error();
      skipped = true;
      co_return Status{};
    }
  }
  co_return co_await session_.run(std::move(blank), write_wait());
}

net::Task<Result<ChunkWriter::Rows>> ChunkWriter::without_equal(const TargetTable& table, Rows rows,
                                                                const ::query::QueryResult& from,
                                                                const ::query::QueryResult& to) {
  CO_ASSIGN_OR_RETURN(const auto low, key_values(table.schema(), from));
  CO_ASSIGN_OR_RETURN(const auto high, key_values(table.schema(), to));
  std::string where;
  if (!low.empty()) where = fmt::format(" WHERE ({})", key_condition(table.schema(), low, true));
  if (!high.empty())
    where += fmt::format("{} ({})", where.empty() ? " WHERE" : " AND", key_condition(table.schema(), high, false));
  CO_ASSIGN_OR_RETURN(const auto there,
                      co_await session_.client().query(
                          fmt::format("SELECT {} FROM {}{}", table.read_list(), table.qualified_name(), where),
                          write_wait(), SIZE_MAX));
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
  Rows missing;
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

}  // namespace vitrail::movement
