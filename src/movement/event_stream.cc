#include "movement/event_stream.h"

#include <fmt/core.h>

#include "base/clock.h"
#include "base/text.h"
#include "movement/sidecar.h"
#include "mysqld/schema_sql.h"
#include "mysql/gtid.h"
#include "sql/parser.h"
#include "sql/tables.h"

namespace vitrail::movement {

using namespace std::chrono_literals;

namespace {

constexpr size_t kResponseBytes = 1u << 20;
constexpr auto kCheckWithin = std::chrono::seconds(30);
constexpr size_t kTablesMax = 2000;  // Prepared definitions; more are forgotten all at once.

::query::Type type_of(const mysql::RowColumn& column, bool member_names) {
  using mysql::BinlogType;
  const bool is_unsigned = column.is_unsigned;
  if (column.special != mysql::RowColumnHint::Special::kNone) return ::query::CHAR;
  switch (column.type) {
    case BinlogType::kTiny: return is_unsigned ? ::query::UINT8 : ::query::INT8;
    case BinlogType::kShort: return is_unsigned ? ::query::UINT16 : ::query::INT16;
    case BinlogType::kInt24: return is_unsigned ? ::query::UINT24 : ::query::INT24;
    case BinlogType::kLong: return is_unsigned ? ::query::UINT32 : ::query::INT32;
    case BinlogType::kLongLong: return is_unsigned ? ::query::UINT64 : ::query::INT64;
    case BinlogType::kFloat: return ::query::FLOAT32;
    case BinlogType::kDouble: return ::query::FLOAT64;
    case BinlogType::kDecimalOld:
    case BinlogType::kDecimal: return ::query::DECIMAL;
    case BinlogType::kYear: return ::query::YEAR;
    case BinlogType::kTimestamp:
    case BinlogType::kTimestamp2: return ::query::TIMESTAMP;
    case BinlogType::kDate:
    case BinlogType::kNewDate: return ::query::DATE;
    case BinlogType::kTime:
    case BinlogType::kTime2: return ::query::TIME;
    case BinlogType::kDatetime:
    case BinlogType::kDatetime2: return ::query::DATETIME;
    case BinlogType::kVarchar:
    case BinlogType::kVarString:
    case BinlogType::kVarcharCompressed: return column.is_binary ? ::query::VARBINARY : ::query::VARCHAR;
    case BinlogType::kString: return column.is_binary ? ::query::BINARY : ::query::CHAR;
    case BinlogType::kTinyBlob:
    case BinlogType::kBlob:
    case BinlogType::kMediumBlob:
    case BinlogType::kLongBlob:
    case BinlogType::kBlobCompressed: return column.is_binary ? ::query::BLOB : ::query::TEXT;
    case BinlogType::kJson: return ::query::JSON;
    case BinlogType::kGeometry: return ::query::GEOMETRY;
    case BinlogType::kVector: return ::query::VECTOR;
    case BinlogType::kBit: return ::query::BIT;
    case BinlogType::kEnum: return member_names ? ::query::ENUM : ::query::UINT16;
    case BinlogType::kSet: return member_names ? ::query::SET : ::query::UINT64;
    case BinlogType::kNull: break;
  }
  return ::query::NULL_TYPE;
}

bool is_row_statement(std::string_view sql) {
  const std::string_view text = base::trim(sql);
  const std::string word = base::to_lower(text.substr(0, 7));
  for (std::string_view verb : {"insert", "update", "delete", "replace", "load"}) {
    if (word.starts_with(verb)) return true;
  }
  return false;
}

int64_t wall_ns() { return base::system_clock().wall_now().time_since_epoch().count(); }

}  // namespace

net::Task<Result<std::unique_ptr<EventStream>>> EventStream::open(EventStreamOptions options, std::string position,
                                                                  ::binlogdata::Filter filter, net::Wait wait) {
  CO_ASSIGN_OR_RETURN(Filter parsed, Filter::create(filter));
  if (position.empty()) co_return fail(Code::kUnimplemented, "an event stream needs a position to begin at");
  std::unique_ptr<EventStream> stream(new EventStream(std::move(options), std::move(parsed)));
  CO_ASSIGN_OR_RETURN(stream->schema_session_,
                      co_await ServerSession::open(stream->options_.login, mysqld::ConnectionPurpose::kCopy, wait));
  mysql::Position from;
  if (position == "current") {
    CO_ASSIGN_OR_RETURN(from, co_await current_position(*stream->schema_session_, wait));
    stream->position_pending_ = true;  // Tell the receiver where it stands.
  } else {
    CO_ASSIGN_OR_RETURN(from, mysql::Position::parse(position));
  }
  CO_ASSIGN_OR_RETURN(stream->reader_, co_await LogReader::open(stream->options_.login, std::move(from), wait));
  co_return std::move(stream);
}

net::Task<Result<::binlogdata::VStreamResponse>> EventStream::next(net::CancelToken cancel) {
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto items, co_await reader_->next(cancel));
    for (const mysql::BinlogItem& item : items) {
      if (const auto* table = item.as<mysql::BinlogTable>(); table != nullptr && !tables_.contains(table->map.get())) {
        CO_RETURN_IF_ERROR(co_await prepare(table->map));
      }
      CO_RETURN_IF_ERROR(handle(item));
      if (!unplaced_.empty() && item.as<mysql::BinlogCommit>() != nullptr) {
        CO_RETURN_IF_ERROR(co_await check_unplaced({base::system_clock().now() + kCheckWithin, cancel}));
      }
    }
    const bool idle = !reader_->waiting();
    if (out_bytes_ < kResponseBytes && !idle) continue;
    // Nothing may stand between BEGIN and COMMIT but the transaction's own events.
    if (!began_) {
      if (position_pending_) add_position(pending_timestamp_);
      if (heartbeat_pending_) add(::binlogdata::HEARTBEAT, 0);
      heartbeat_pending_ = false;
    }
    if (out_.events_size() == 0) continue;
    ::binlogdata::VStreamResponse response = std::move(out_);
    out_.Clear();
    out_bytes_ = 0;
    co_return std::move(response);
  }
}

net::Task<Status> EventStream::prepare(std::shared_ptr<const mysql::TableMap> map) {
  if (tables_.size() >= kTablesMax) {
    // Definitions that come again are prepared again, with another FIELD event.
    tables_.clear();
  }
  Table table;
  table.map = map;
  table.name = map->table;
  const RowQuery* query =
      map->schema == options_.db_name && !is_internal_table(map->table) ? filter_.find(map->table) : nullptr;
  table.journal = map->schema == (options_.login.sidecar.empty() ? kSidecarDatabase : options_.login.sidecar) &&
                  map->table == "resharding_journal";
  table.wanted = query != nullptr || table.journal;
  if (!table.wanted) {
    tables_.emplace(map.get(), std::move(table));
    co_return Status{};
  }

  // What the log does not say: names without full metadata, and types that look alike in it.
  const net::Wait wait = net::Wait::within(std::chrono::seconds(30));
  TableSchema current;
  auto loaded = co_await load_tables(*schema_session_, map->schema, map->table, wait);
  if (loaded.ok()) {
    current = std::move(loaded->begin()->second);
  } else if (loaded.error().code() != Code::kNotFound) {
    co_return std::move(loaded).error();
  }
  if (!map->has_names && current.columns.size() != map->columns.size()) {
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("the columns of table {} are not known for this place of the log: set binlog_row_metadata=FULL",
                    map->table));
  }
  std::vector<mysql::RowColumnHint> hints(map->columns.size());
  std::vector<const Column*> known(map->columns.size());
  bool any_hint = false;
  for (size_t i = 0; i < map->columns.size(); ++i) {
    if (map->has_names) {
      const auto at = current.find_column(map->columns[i].name);
      if (at) known[i] = &current.columns[*at];
    } else {
      known[i] = &current.columns[i];
    }
    if (known[i] == nullptr) continue;
    CO_ASSIGN_OR_RETURN(hints[i], mysql::RowColumnHint::from_column_type(known[i]->column_type));
    any_hint = true;
  }
  if (!any_hint) hints.clear();
  bool member_names = true;
  auto decoder = mysql::RowDecoder::create(*map, hints, {.member_names = true});
  if (!decoder.ok()) {
    member_names = false;
    decoder = mysql::RowDecoder::create(*map, hints, {});
  }
  if (!decoder.ok()) co_return std::move(decoder).error().with_context("table " + map->table);
  table.decoder.emplace(std::move(*decoder));

  TableSchema schema;
  schema.name = map->table;
  for (size_t i = 0; i < map->columns.size(); ++i) {
    const mysql::RowColumn& from = table.decoder->columns()[i];
    Column& column = schema.columns.emplace_back();
    column.name = map->has_names ? map->columns[i].name : known[i]->name;
    column.type = type_of(from, member_names);
    if (known[i] != nullptr) {
      column.column_type = known[i]->column_type;
      column.character_set = known[i]->character_set;
      column.is_generated = known[i]->is_generated;
      column.nullable = known[i]->nullable;
      column.key_flags = known[i]->key_flags;
    }
  }
  if (query != nullptr) {
    auto filter =
        RowFilter::bind(*query, schema, options_.own_keyspace, options_.vschema ? &*options_.vschema : nullptr);
    if (!filter.ok()) co_return std::move(filter).error();
    table.filter.emplace(std::move(*filter));
    table.inputs.resize(table.filter->inputs().size());
    for (const size_t column : table.filter->inputs()) table.input_names.push_back(schema.columns[column].name);
    table.fields.set_table_name(map->table);
    table.fields.set_keyspace(options_.own_keyspace);
    table.fields.set_shard(options_.own_shard);
    table.fields.set_enum_set_string_values(member_names);
    for (size_t i = 0; i < table.filter->output().size(); ++i) {
      ::query::Field field = to_field(schema.columns[table.filter->output()[i]], map->table, map->schema);
      field.set_name(table.filter->output_names()[i]);
      *table.fields.add_fields() = std::move(field);
    }
  }
  tables_.emplace(map.get(), std::move(table));
  co_return Status{};
}

::binlogdata::VEvent& EventStream::add(::binlogdata::VEventType type, uint32_t timestamp) {
  ::binlogdata::VEvent& event = *out_.add_events();
  event.set_type(type);
  event.set_timestamp(timestamp);
  event.set_current_time(wall_ns());
  event.set_keyspace(options_.own_keyspace);
  event.set_shard(options_.own_shard);
  out_bytes_ += 64;
  return event;
}

void EventStream::begin(uint32_t timestamp) {
  if (began_) return;
  began_ = true;
  add(::binlogdata::BEGIN, timestamp);
}

void EventStream::add_position(uint32_t timestamp) {
  position_pending_ = false;
  add(::binlogdata::GTID, timestamp).set_gtid(reader_->parser().position().prefixed_string());
  add(::binlogdata::OTHER, timestamp);
}

Status EventStream::handle(const mysql::BinlogItem& item) {
  if (const auto* rows = item.as<mysql::BinlogRows>()) return handle_rows(item, *rows);
  if (const auto* commit = item.as<mysql::BinlogCommit>()) return handle_commit(item, *commit);
  if (const auto* query = item.as<mysql::BinlogQuery>()) return handle_query(item, *query);
  if (item.as<mysql::BinlogHeartbeat>() != nullptr) heartbeat_pending_ = true;
  return {};
}

Status EventStream::handle_query(const mysql::BinlogItem& item, const mysql::BinlogQuery& query) {
  if (query.role == mysql::QueryRole::kRollbackToSavepoint && began_) {
    return fail(Code::kUnimplemented,
                "a transaction that mixes transactional and other tables was rolled back in part");
  }
  if (query.role != mysql::QueryRole::kStatement) return {};
  if (query.alter == mysql::AlterPhase::kStart || query.alter == mysql::AlterPhase::kRollback) return {};
  const std::string_view sql = query.query.sql;
  const bool here = query.query.schema == options_.db_name;
  if (is_row_statement(sql)) {
    if (!here) return {};
    return fail(Code::kFailedPrecondition, "the binary log holds changes as statements: binlog_format must be ROW");
  }
  // DDL is told only where it touches a table of the stream.
  auto ast = sql::parse(sql);
  if (!ast.ok()) return {};
  if (ast->kind() != sql::StatementKind::kDdl) return {};
  for (const sql::TableUse& use : sql::collect_tables(ast->statement())) {
    if (use.access != sql::TableAccess::kWrite) continue;
    const bool in_database = use.qualifier.empty() ? here : use.qualifier == options_.db_name;
    if (in_database && !is_internal_table(use.name) && filter_.find(use.name) != nullptr) ddl_ = sql;
  }
  (void)item;
  return {};
}

Result<bool> EventStream::matches(Table& table, const mysql::RowImage& image, bool is_after) {
  if (image.empty()) return false;
  if (table.filter->passes_all()) return true;
  const auto inputs = table.filter->inputs();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const mysql::RowValue& value = image[inputs[i]];
    if (value.absent()) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("table {}: the log lacks columns of its rows: set binlog_row_image=FULL", table.name));
    }
    table.inputs[i] = value.null() ? mysql::Cell() : mysql::Cell(value.text);
  }
  Result<bool> matched = table.filter->matches(table.inputs);
  if (matched.ok() || matched.error().code() != Code::kFailedPrecondition) return matched;
  if (!is_after) return false;  // What is in no shard was never copied.
  std::string condition;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!image[inputs[i]].null()) continue;
    condition +=
        fmt::format("{}{} IS NULL", condition.empty() ? "" : " AND ", mysqld::quote_identifier(table.input_names[i]));
  }
  if (condition.empty()) return matched;
  unplaced_.try_emplace({table.name, std::move(condition)}, matched.error().message());
  return false;
}

// A row that is in no shard may be passed over when it is so no longer: some later event deletes it or gives it a
// place. The transaction is read here before the server lets others see it, so only a snapshot that holds it can tell.
net::Task<Status> EventStream::check_unplaced(net::Wait wait) {
  const auto rows = std::exchange(unplaced_, {});
  ServerSession& session = *schema_session_;
  const mysql::Position read = reader_->parser().position();
  const auto name = [this](const std::string& table) {
    return fmt::format("{}.{}", mysqld::quote_identifier(options_.db_name), mysqld::quote_identifier(table));
  };
  std::vector<std::string> names;
  for (const auto& [row, why] : rows) names.push_back(name(row.table));
  for (;;) {
    CO_ASSIGN_OR_RETURN(const mysql::Position seen,
                        co_await begin_snapshot(session, lock_session_, options_.login, names, wait));
    CO_ASSIGN_OR_RETURN(const bool enough, seen.at_least(read));
    if (enough) break;
    CO_RETURN_IF_ERROR(co_await session.run({"COMMIT"}, wait));
    CO_RETURN_IF_ERROR(co_await net::sleep_for(20ms, wait.cancel));
    if (base::system_clock().now() > wait.deadline) co_return fail(Code::kDeadlineExceeded, rows.begin()->second);
  }
  for (const auto& [row, why] : rows) {
    CO_ASSIGN_OR_RETURN(
        const mysqld::Rows found,
        co_await session.rows(fmt::format("SELECT 1 FROM {} WHERE {} LIMIT 1", name(row.table), row.condition), wait));
    if (!found.rows.empty()) {
      co_return fail(Code::kFailedPrecondition, why + "; once it has a value, or is gone, the stream goes on");
    }
  }
  co_return co_await session.run({"COMMIT"}, wait);
}

Status EventStream::fill_row(const Table& table, const mysql::RowImage& image, ::query::Row& row) {
  size_t size = 0;
  row.mutable_lengths()->Reserve(static_cast<int>(table.filter->output().size()));
  for (const size_t column : table.filter->output()) {
    const mysql::RowValue& value = image[column];
    if (value.absent()) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("table {}: the log lacks columns of its rows: set binlog_row_image=FULL", table.name));
    }
    append_cell(row, value.null() ? mysql::Cell() : mysql::Cell(value.text));
    size += value.text.size() + 2;
  }
  out_bytes_ += size;
  return {};
}

Status EventStream::handle_rows(const mysql::BinlogItem& item, const mysql::BinlogRows& rows) {
  const auto found = tables_.find(rows.map.get());
  if (found == tables_.end()) return fail(Code::kInternal, "rows of a table that was not announced");
  Table& table = found->second;
  if (!table.wanted) return {};
  if (table.journal) return handle_journal(item, table, rows);
  const uint32_t timestamp = item.header.timestamp;
  ::binlogdata::RowEvent* event = nullptr;
  mysql::RowsReader reader(*table.decoder, rows.rows);
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.next(change_));
    if (!more) return {};
    ASSIGN_OR_RETURN(const bool before, matches(table, change_.before, false));
    ASSIGN_OR_RETURN(const bool after, matches(table, change_.after, true));
    if (!before && !after) continue;
    if (event == nullptr) {
      begin(timestamp);
      if (!table.fields_sent) {
        *add(::binlogdata::FIELD, timestamp).mutable_field_event() = table.fields;
        out_bytes_ += table.fields.ByteSizeLong();
        table.fields_sent = true;
      }
      event = add(::binlogdata::ROW, timestamp).mutable_row_event();
      event->set_table_name(table.name);
      event->set_keyspace(options_.own_keyspace);
      event->set_shard(options_.own_shard);
      event->set_flags(rows.rows.flags);
    }
    ::binlogdata::RowChange* change = event->add_row_changes();
    if (before) RETURN_IF_ERROR(fill_row(table, change_.before, *change->mutable_before()));
    if (after) RETURN_IF_ERROR(fill_row(table, change_.after, *change->mutable_after()));
  }
}

Status EventStream::handle_journal(const mysql::BinlogItem& item, Table& table, const mysql::BinlogRows& rows) {
  if (rows.rows.kind != mysql::RowsKind::kInsert || table.map->columns.size() != 3) return {};
  mysql::RowsReader reader(*table.decoder, rows.rows);
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.next(change_));
    if (!more) return {};
    if (change_.after[1].text != options_.db_name) continue;
    ::binlogdata::Journal journal;
    RETURN_IF_ERROR(from_text(change_.after[2].text, journal, "a journal entry"));
    begin(item.header.timestamp);
    *add(::binlogdata::JOURNAL, item.header.timestamp).mutable_journal() = std::move(journal);
  }
}

Status EventStream::handle_commit(const mysql::BinlogItem& item, const mysql::BinlogCommit& commit) {
  const uint32_t timestamp = item.header.timestamp;
  if (commit.kind == mysql::CommitKind::kXaPrepared && began_) {
    return fail(Code::kUnimplemented, "XA transactions on tables of a stream are not supported");
  }
  if (commit.kind == mysql::CommitKind::kRollback && began_) {
    began_ = false;
    add(::binlogdata::ROLLBACK, timestamp);
    add_position(timestamp);
    return {};
  }
  if (began_ || !ddl_.empty()) {
    position_pending_ = false;
    ::binlogdata::VEvent& gtid = add(::binlogdata::GTID, timestamp);
    gtid.set_gtid(reader_->parser().position().prefixed_string());
    if (commit.gtid) gtid.set_event_gtid(commit.gtid->prefixed_string());
    if (began_) {
      add(::binlogdata::COMMIT, timestamp);
    } else {
      add(::binlogdata::DDL, timestamp).set_statement(ddl_);
    }
    began_ = false;
    ddl_.clear();
    return {};
  }
  position_pending_ = true;
  pending_timestamp_ = timestamp;
  return {};
}

}  // namespace vitrail::movement
