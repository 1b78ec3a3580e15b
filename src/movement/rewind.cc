#include "movement/rewind.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <unordered_map>

#include "base/text.h"
#include "movement/log_reader.h"
#include "movement/target_table.h"
#include "mysql/binlog_rows.h"
#include "mysqld/rows.h"

namespace vitrail::movement {
namespace {

constexpr size_t kScriptBytes = 1u << 20;
constexpr int kHeartbeats = 3;  // In a row: nothing more is in the log of a server to which nobody writes.

// Statements of a log that leave no trace in any table.
bool changes_nothing(std::string_view sql) {
  const std::string text = base::to_lower(base::trim(sql).substr(0, 60));
  for (const std::string_view verb : {"flush", "analyze", "optimize"}) {
    if (text.starts_with(verb)) return true;
  }
  return text.starts_with("drop") && text.find("temporary") != std::string::npos;
}

Error cannot(std::string_view gtid, std::string_view why) {
  return fail(Code::kFailedPrecondition, fmt::format("transaction {} cannot be taken back: {}", gtid, why));
}

Error nothing_in_common() {
  return fail(Code::kNotFound,
              "the binary logs of this server and those of the shard's primary have no place in common");
}

// Reads the part of a log that may have to be taken back.
class UndoPlanner {
 public:
  UndoPlanner(ServerLogin own, ServerLogin source, UndoLimits limits, net::Wait wait)
      : own_(std::move(own)), source_(std::move(source)), limits_(limits), wait_(std::move(wait)) {}

  net::Task<Result<Undo>> run();

 private:
  struct Table {
    std::shared_ptr<const mysql::TableMap> map;
    std::optional<mysql::RowDecoder> decoder;
    std::optional<TargetTable> target;
    std::string problem;  // Its changes cannot be taken back: why.
    bool cascades = false;
  };

  net::Task<Result<std::string>> value(std::string sql);
  net::Task<Result<mysql::Position>> find_start();
  net::Task<Result<std::vector<mysql::Gtid>>> list_transactions(mysql::Position start);
  mysql::Position after(size_t count) const;
  net::Task<Result<size_t>> count_common();
  net::Task<Status> collect(Undo& undo);
  net::Task<Result<Table>> prepare(std::shared_ptr<const mysql::TableMap> map);
  net::Task<Result<std::string>> find_obstacle(const mysql::TableMap& map);
  Status handle(const mysql::BinlogItem& item, Undo& undo);
  Status handle_rows(const mysql::BinlogRows& rows);
  Status add(const Table& table, const mysql::RowChange& change);
  static Result<std::vector<mysql::Cell>> cells_of(const mysql::RowImage& image);

  const ServerLogin own_, source_;
  const UndoLimits limits_;
  const net::Wait wait_;
  std::unique_ptr<ServerSession> session_;
  mysql::Position start_, end_;  // Of what is looked at.
  std::vector<mysql::Gtid> gtids_;
  bool unwritten_ = false;
  std::unordered_map<const mysql::TableMap*, Table> tables_;
  // The transaction that is being read.
  std::string gtid_, redo_;
  std::vector<std::string> undo_;
  size_t bytes_ = 0;
};

net::Task<Result<std::string>> UndoPlanner::value(std::string sql) {
  CO_ASSIGN_OR_RETURN(const mysqld::Rows rows, co_await session_->rows(std::move(sql), wait_));
  co_return rows.rows.empty() ? std::string() : std::string(rows.get(0, size_t{0}).value_or(""));
}

// The beginning of the newest log of ours that the source would serve.
net::Task<Result<mysql::Position>> UndoPlanner::find_start() {
  CO_ASSIGN_OR_RETURN(const mysqld::Rows logs, co_await session_->rows("SHOW BINARY LOGS", wait_));
  for (size_t i = logs.rows.size(); i-- > 0;) {
    const std::string name(logs.get(i, "Log_name").value_or(""));
    CO_ASSIGN_OR_RETURN(const std::string text,
                        co_await value(fmt::format("SELECT BINLOG_GTID_POS({}, 4)", mysqld::quote_string(name))));
    CO_ASSIGN_OR_RETURN(auto position, mysql::Position::parse_bare(mysql::GtidFlavor::kMariadb, text));
    if (position.empty()) co_return position;  // The server's first log: it has everything.
    CO_ASSIGN_OR_RETURN(const bool served, co_await serves_position(source_, position, wait_));
    if (served) co_return position;
  }
  co_return nothing_in_common();
}

net::Task<Result<std::vector<mysql::Gtid>>> UndoPlanner::list_transactions(mysql::Position start) {
  std::vector<mysql::Gtid> out;
  CO_ASSIGN_OR_RETURN(const auto reader, co_await LogReader::open(own_, std::move(start), wait_));
  for (int heartbeats = 0;;) {
    CO_ASSIGN_OR_RETURN(const bool complete, reader->parser().position().at_least(end_));
    if (complete && !reader->parser().in_transaction()) co_return out;
    if (heartbeats >= kHeartbeats && reader->parser().in_transaction()) {
      co_return fail(Code::kFailedPrecondition, "the binary log of this server ends within a transaction");
    }
    if (heartbeats >= kHeartbeats) {
      unwritten_ = true;
      end_ = reader->parser().position();
      co_return out;
    }
    CO_ASSIGN_OR_RETURN(const auto items, co_await reader->next(wait_.cancel));
    for (const mysql::BinlogItem& item : items) {
      heartbeats = item.as<mysql::BinlogHeartbeat>() != nullptr ? heartbeats + 1 : 0;
      if (const auto* commit = item.as<mysql::BinlogCommit>(); commit != nullptr && commit->gtid) {
        out.push_back(*commit->gtid);
      }
    }
  }
}

mysql::Position UndoPlanner::after(size_t count) const {
  mysql::Position out = start_;
  for (size_t i = 0; i < count; ++i) (void)out.add(gtids_[i]);  // All are of one flavor.
  return out;
}

// How many of the transactions the source has: those at the beginning. Few are missing, as a rule, so it is looked for
// from the end, in steps that double.
net::Task<Result<size_t>> UndoPlanner::count_common() {
  size_t low = 0, high = gtids_.size() + 1;  // The source has `low`, and not `high`.
  for (size_t step = 0; low == 0 && step < gtids_.size(); step = step == 0 ? 1 : step * 2) {
    const size_t middle = gtids_.size() - step;
    CO_ASSIGN_OR_RETURN(const bool served, co_await serves_position(source_, after(middle), wait_));
    (served ? low : high) = middle;
  }
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    CO_ASSIGN_OR_RETURN(const bool served, co_await serves_position(source_, after(middle), wait_));
    (served ? low : high) = middle;
  }
  co_return low;
}

// Why changes of this table are not taken back; empty: they can be.
net::Task<Result<std::string>> UndoPlanner::find_obstacle(const mysql::TableMap& map) {
  const std::string schema = mysqld::quote_string(map.schema), name = mysqld::quote_string(map.table);
  if (session_->flavor().is_system_schema(map.schema)) co_return std::string("it is a table of the server");
  CO_ASSIGN_OR_RETURN(const std::string transactions,
                      co_await value(fmt::format(
                          "SELECT e.transactions FROM information_schema.tables t JOIN information_schema.engines "
                          "e ON e.engine = t.engine WHERE t.table_schema = {} AND t.table_name = {} AND "
                          "t.table_type = 'BASE TABLE'",
                          schema, name)));
  if (transactions != "YES") co_return std::string("it is no plain table with transactions");
  // A trigger would run again.
  CO_ASSIGN_OR_RETURN(const std::string triggers,
                      co_await value(fmt::format("SELECT COUNT(*) FROM information_schema.triggers WHERE "
                                                 "event_object_schema = {} AND event_object_table = {}",
                                                 schema, name)));
  co_return triggers == "0" ? std::string() : std::string("it has triggers");
}

net::Task<Result<UndoPlanner::Table>> UndoPlanner::prepare(std::shared_ptr<const mysql::TableMap> map) {
  Table table;
  table.map = map;
  const auto refuse = [&](std::string_view why) {
    table.problem = fmt::format("table `{}`.`{}`: {}", map->schema, map->table, why);
    return std::move(table);
  };
  CO_ASSIGN_OR_RETURN(const std::string obstacle, co_await find_obstacle(*map));
  if (!obstacle.empty()) co_return refuse(obstacle);
  auto loaded = co_await load_tables(*session_, map->schema, map->table, wait_);
  if (!loaded.ok()) {
    if (loaded.error().code() == Code::kNotFound) co_return refuse("it is not there any more");
    co_return std::move(loaded).error();
  }
  const TableSchema& schema = loaded->begin()->second;
  if (schema.columns.size() != map->columns.size()) co_return refuse("it has other columns by now");
  std::vector<mysql::RowColumnHint> hints;
  google::protobuf::RepeatedPtrField<::query::Field> fields;
  for (const Column& column : schema.columns) {
    CO_ASSIGN_OR_RETURN(auto hint, mysql::RowColumnHint::from_column_type(column.column_type));
    hints.push_back(std::move(hint));
    *fields.Add() = to_field(column, map->table, map->schema);
  }
  auto decoder = mysql::RowDecoder::create(*map, hints, {.member_names = true});
  if (!decoder.ok()) co_return refuse(decoder.error().message());
  table.decoder.emplace(std::move(*decoder));
  auto target = TargetTable::bind(schema, map->schema, fields);
  if (!target.ok()) co_return refuse("it has neither a primary key nor a unique key without NULLs");
  table.target.emplace(std::move(*target));
  CO_ASSIGN_OR_RETURN(
      const std::string cascades,
      co_await value(fmt::format("SELECT COUNT(*) FROM information_schema.referential_constraints WHERE "
                                 "unique_constraint_schema = {} AND referenced_table_name = {} AND (delete_rule IN "
                                 "('CASCADE', 'SET NULL') OR update_rule IN ('CASCADE', 'SET NULL'))",
                                 mysqld::quote_string(map->schema), mysqld::quote_string(map->table))));
  table.cascades = cascades != "0";
  co_return table;
}

Result<std::vector<mysql::Cell>> UndoPlanner::cells_of(const mysql::RowImage& image) {
  std::vector<mysql::Cell> cells;
  for (const mysql::RowValue& value : image.values()) {
    if (value.absent()) return fail(Code::kFailedPrecondition, "the log lacks columns (binlog_row_image=FULL)");
    cells.push_back(value.null() ? mysql::Cell() : mysql::Cell(value.text));
  }
  return cells;
}

Status UndoPlanner::add(const Table& table, const mysql::RowChange& change) {
  const TargetTable& target = *table.target;
  ASSIGN_OR_RETURN(const auto before, cells_of(change.before));
  ASSIGN_OR_RETURN(const auto after, cells_of(change.after));
  if ((!before.empty() && target.has_blank_enum(before)) || (!after.empty() && target.has_blank_enum(after))) {
    return cannot(gtid_,
                  fmt::format("table {}: an ENUM has a value that is none of its members", target.qualified_name()));
  }
  const auto erase = [&](const std::vector<mysql::Cell>& cells) {
    std::string sql = target.delete_head();
    target.append_key(sql, cells);
    return sql + ")";
  };
  const auto insert = [&](const std::vector<mysql::Cell>& cells) {
    std::string sql = target.insert_head();
    target.append_values(sql, cells);
    return sql;
  };
  // They are run from the last to the first.
  const auto note = [&](std::string undo, const std::string& redo) {
    bytes_ += undo.size() + redo.size();
    undo_.push_back(std::move(undo));
    redo_ += redo + ";\n";
  };
  if (!before.empty()) note(insert(before), erase(before));
  if (!after.empty()) note(erase(after), insert(after));
  if (bytes_ <= limits_.bytes_max) return {};
  return fail(Code::kResourceExhausted,
              fmt::format("what would have to be taken back is more than {} MiB", limits_.bytes_max >> 20));
}

Status UndoPlanner::handle_rows(const mysql::BinlogRows& rows) {
  const auto found = tables_.find(rows.map.get());
  if (found == tables_.end()) return fail(Code::kInternal, "rows of a table that was not announced");
  const Table& table = found->second;
  if (!table.problem.empty()) return cannot(gtid_, table.problem);
  if (table.cascades && rows.rows.kind != mysql::RowsKind::kInsert) {
    return cannot(gtid_, fmt::format("table {}: rows of other tables may have gone with its own (foreign keys)",
                                     table.target->qualified_name()));
  }
  mysql::RowsReader reader(*table.decoder, rows.rows);
  mysql::RowChange change;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.next(change));
    if (!more) return {};
    if (Status added = add(table, change); !added.ok()) {
      if (added.error().code() != Code::kFailedPrecondition) return added;
      return cannot(gtid_, fmt::format("table {}: {}", table.target->qualified_name(), added.error().message()));
    }
  }
}

Status UndoPlanner::handle(const mysql::BinlogItem& item, Undo& undo) {
  if (const auto* begin = item.as<mysql::BinlogBegin>()) {
    gtid_ = begin->gtid ? begin->gtid->to_string() : "";
    redo_.clear();
    undo_.clear();
  } else if (const auto* rows = item.as<mysql::BinlogRows>()) {
    return handle_rows(*rows);
  } else if (const auto* query = item.as<mysql::BinlogQuery>()) {
    const bool savepoint =
        query->role == mysql::QueryRole::kSavepoint || query->role == mysql::QueryRole::kRollbackToSavepoint;
    if (savepoint) return cannot(gtid_, "it mixes tables with and without transactions");
    if (query->role != mysql::QueryRole::kStatement || changes_nothing(query->query.sql)) return {};
    const std::string text(base::trim(query->query.sql).substr(0, 100));
    return cannot(gtid_, fmt::format("it is no change of rows: {}", text));
  } else if (const auto* commit = item.as<mysql::BinlogCommit>()) {
    if (commit->kind == mysql::CommitKind::kXaPrepared) return cannot(gtid_, "it is an XA transaction");
    if (commit->kind == mysql::CommitKind::kRollback) return {};
    undo.transactions.push_back({gtid_, std::move(redo_)});
    undo.statements.insert(undo.statements.end(), std::make_move_iterator(undo_.begin()),
                           std::make_move_iterator(undo_.end()));
    redo_.clear();
    undo_.clear();
  }
  return {};
}

net::Task<Status> UndoPlanner::collect(Undo& undo) {
  CO_ASSIGN_OR_RETURN(const auto reader, co_await LogReader::open(own_, undo.common, wait_));
  for (;;) {
    CO_ASSIGN_OR_RETURN(const bool complete, reader->parser().position().at_least(end_));
    if (complete && !reader->parser().in_transaction()) break;
    CO_ASSIGN_OR_RETURN(const auto items, co_await reader->next(wait_.cancel));
    for (const mysql::BinlogItem& item : items) {
      if (const auto* table = item.as<mysql::BinlogTable>(); table != nullptr && !tables_.contains(table->map.get())) {
        CO_ASSIGN_OR_RETURN(Table prepared, co_await prepare(table->map));
        tables_.emplace(table->map.get(), std::move(prepared));
      }
      CO_RETURN_IF_ERROR(handle(item, undo));
    }
  }
  std::ranges::reverse(undo.statements);
  co_return Status{};
}

net::Task<Result<Undo>> UndoPlanner::run() {
  CO_ASSIGN_OR_RETURN(session_, co_await ServerSession::open(own_, mysqld::ConnectionPurpose::kCopy, wait_));
  if (session_->flavor().kind() != mysqld::FlavorKind::kMariaDb) {
    co_return fail(Code::kUnimplemented, "transactions are taken back on MariaDB only");
  }
  CO_ASSIGN_OR_RETURN(const std::string end, co_await value("SELECT @@global.gtid_binlog_pos"));
  CO_ASSIGN_OR_RETURN(end_, mysql::Position::parse_bare(mysql::GtidFlavor::kMariadb, end));
  CO_ASSIGN_OR_RETURN(start_, co_await find_start());
  CO_ASSIGN_OR_RETURN(gtids_, co_await list_transactions(start_));
  CO_ASSIGN_OR_RETURN(const size_t common, co_await count_common());
  Undo undo;
  undo.common = after(common);
  undo.unwritten = unwritten_;
  if (undo.common.empty()) co_return nothing_in_common();
  CO_RETURN_IF_ERROR(co_await collect(undo));
  co_return undo;
}

net::Task<Status> undo_rows(ServerSession& session, const Undo& undo, net::Wait wait) {
  for (size_t i = 0; i < undo.statements.size();) {
    std::string script;
    size_t count = 0;
    for (; i < undo.statements.size() && (count == 0 || script.size() < kScriptBytes); ++i, ++count) {
      if (count > 0) script += "; ";
      script += undo.statements[i];
    }
    CO_ASSIGN_OR_RETURN(const auto oks, co_await session.script(std::move(script), wait));
    const bool exact = oks.size() == count &&
                       std::ranges::all_of(oks, [](const mysql::OkPacket& ok) { return ok.affected_rows == 1; });
    if (!exact) co_return fail(Code::kFailedPrecondition, "a row is not what the binary log says of it");
  }
  co_return Status{};
}

}  // namespace

net::Task<Result<bool>> serves_position(ServerLogin source, mysql::Position position, net::Wait wait) {
  auto reader = co_await LogReader::open(std::move(source), std::move(position), wait);
  if (!reader.ok()) co_return std::move(reader).error();
  for (;;) {
    const auto items = co_await (*reader)->next(wait.cancel);
    if (!items.ok()) {
      if (items.error().code() == Code::kFailedPrecondition) co_return false;
      co_return Error(items.error());
    }
    for (const mysql::BinlogItem& item : *items) {
      if (item.as<mysql::BinlogBegin>() != nullptr || item.as<mysql::BinlogHeartbeat>() != nullptr) co_return true;
    }
  }
}

net::Task<Result<Undo>> plan_undo(ServerLogin own, ServerLogin source, UndoLimits limits, net::Wait wait) {
  UndoPlanner planner(std::move(own), std::move(source), limits, std::move(wait));
  co_return co_await planner.run();
}

net::Task<Status> apply_undo(ServerLogin own, const Undo& undo, std::vector<std::string> more, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(const auto session,
                      co_await ServerSession::open(std::move(own), mysqld::ConnectionPurpose::kApply, wait));
  CO_RETURN_IF_ERROR(co_await session->run({"SET SESSION sql_log_bin = 0", "START TRANSACTION"}, wait));
  CO_RETURN_IF_ERROR(co_await undo_rows(*session, undo, wait));
  CO_RETURN_IF_ERROR(co_await session->run(std::move(more), wait));
  co_return co_await session->run({"COMMIT"}, wait);
}

}  // namespace vitrail::movement
