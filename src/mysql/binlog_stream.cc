#include "mysql/binlog_stream.h"

#include <fmt/core.h>

#include <algorithm>

namespace vitrail::mysql {

BinlogStreamParser::BinlogStreamParser(Options options)
    : tables_max_(options.tables_max),
      checksum_(options.checksum),
      place_(std::move(options.start)),
      position_(std::move(options.position)) {}

Result<std::span<const BinlogItem>> BinlogStreamParser::feed(BinlogBytes bytes) {
  items_.clear();
  ASSIGN_OR_RETURN(const BinlogEvent event, parse_event(bytes, checksum_));
  // The place comes first: a commit item is about the place behind its event.
  advance(event.header);
  if (Status status = handle(event); !status.ok()) {
    if (place_.file.empty()) return std::move(status).error();
    return std::move(status).error().with_context(fmt::format("binary log before {}", place_.to_string()));
  }
  return std::span<const BinlogItem>(items_);
}

void BinlogStreamParser::emit(const EventHeader& header, decltype(BinlogItem::what) what) {
  items_.push_back({header, std::move(what)});
}

void BinlogStreamParser::advance(const EventHeader& header) {
  if (header.artificial() || header.log_pos == 0 || header.type == EventType::kHeartbeat ||
      header.type == EventType::kHeartbeatV2) {
    return;
  }
  // The header has 32 bits of the offset; logs grow beyond that with a large transaction at their end.
  const uint64_t expected = place_.offset + header.event_size;
  place_.offset = static_cast<uint32_t>(expected) == header.log_pos ? expected : header.log_pos;
}

Status BinlogStreamParser::need_transaction(const EventHeader& header) const {
  if (transaction_) return {};
  return fail(Code::kDataLoss, fmt::format("{} event outside of a transaction", event_type_name(header.type)));
}

Status BinlogStreamParser::begin(const EventHeader& header, Transaction transaction, BinlogBegin item) {
  if (transaction_) return fail(Code::kDataLoss, "a transaction begins within another");
  ++transaction_number_;
  transaction_ = std::move(transaction);
  emit(header, std::move(item));
  return {};
}

Status BinlogStreamParser::end(const EventHeader& header, CommitKind kind, std::optional<XaId> xa) {
  BinlogCommit commit;
  commit.kind = kind;
  commit.gtid = std::move(transaction_->gtid);
  commit.xa = xa;
  transaction_.reset();
  if (commit.gtid) {
    RETURN_IF_ERROR(position_.add(*commit.gtid));
  } else if (!place_.file.empty() && (!position_.flavor() || position_.flavor() == GtidFlavor::kFilePos)) {
    // Set, not merged: a source that was rebuilt may name its logs anew.
    position_ = Position(place_);
  }
  emit(header, std::move(commit));
  return {};
}

Status BinlogStreamParser::handle(const BinlogEvent& event) {
  const EventHeader& header = event.header;
  switch (header.type) {
    case EventType::kFormatDescription: {
      ASSIGN_OR_RETURN(FormatDescription format, parse_format_description(event.body));
      checksum_ = format.checksum;
      // A server that died in the middle of a transaction left it unfinished in the log before.
      if (transaction_) {
        emit(header, BinlogCommit{CommitKind::kRollback, std::move(transaction_->gtid), {}});
        transaction_.reset();
      }
      tables_.clear();  // Table ids begin anew with the server.
      format_ = std::move(format);
      emit(header, BinlogFormat{&format_});
      return {};
    }
    case EventType::kRotate: {
      ASSIGN_OR_RETURN(const RotateEvent rotate, parse_rotate(event.body));
      place_ = {std::string(rotate.file), rotate.offset};
      emit(header, BinlogRotate{place_});
      return {};
    }
    case EventType::kMariadbGtid:
    case EventType::kGtid:
    case EventType::kGtidTagged:
    case EventType::kAnonymousGtid: return handle_gtid(event);
    case EventType::kMariadbGtidList:
    case EventType::kPreviousGtids: {
      ASSIGN_OR_RETURN(Position before, parse_gtid_list(event));
      emit(header, BinlogGtidList{std::move(before)});
      return {};
    }
    case EventType::kQuery:
    case EventType::kMariadbQueryCompressed: return handle_query(event);
    case EventType::kXid: {
      RETURN_IF_ERROR(need_transaction(header));
      ASSIGN_OR_RETURN(const uint64_t xid, parse_xid(event.body));
      (void)xid;
      return end(header, CommitKind::kCommit);
    }
    case EventType::kXaPrepare: {
      RETURN_IF_ERROR(need_transaction(header));
      ASSIGN_OR_RETURN(const XaPrepareEvent prepare, parse_xa_prepare(event.body));
      return end(header, prepare.one_phase ? CommitKind::kXaCommit : CommitKind::kXaPrepared, prepare.xid);
    }
    case EventType::kTableMap: return handle_table_map(event);
    case EventType::kHeartbeat:
    case EventType::kHeartbeatV2: {
      ASSIGN_OR_RETURN(const HeartbeatEvent heartbeat, parse_heartbeat(event));
      emit(header, BinlogHeartbeat{{std::string(heartbeat.file), heartbeat.offset}});
      return {};
    }
    case EventType::kMariadbAnnotateRows:
    case EventType::kRowsQuery: {
      ASSIGN_OR_RETURN(const std::string_view sql, parse_statement_text(event));
      emit(header, BinlogAnnotation{sql});
      return {};
    }
    case EventType::kIncident:
      return fail(Code::kDataLoss,
                  "the source's log is incomplete (" + describe_incident(event.body) + "); data has to be copied anew");
    case EventType::kMariadbStartEncryption:
      return fail(Code::kUnimplemented, "the log file is encrypted; read it through the server");
    case EventType::kTransactionPayload: return handle_payload(event);
    case EventType::kBeginLoadQuery:
    case EventType::kExecuteLoadQuery:
    case EventType::kAppendBlock:
    case EventType::kDeleteFile:
      return fail(Code::kFailedPrecondition, "LOAD DATA in statement format; set binlog_format=ROW on the source");
    // Nothing that matters to a reader of row changes. The three about statements come before a QUERY that says it all.
    case EventType::kIntvar:
    case EventType::kRand:
    case EventType::kUserVar:
    case EventType::kStop:
    case EventType::kIgnorable:
    case EventType::kTransactionContext:
    case EventType::kViewChange:
    case EventType::kMariadbBinlogCheckpoint: return {};
    default: break;
  }
  if (is_rows_event(header.type)) return handle_rows(event);
  if ((header.flags & EventHeader::kFlagIgnorable) != 0) return {};
  return fail(Code::kUnimplemented, fmt::format("{} is unknown and may not be ignored", event_type_name(header.type)));
}

// All of a transaction behind its GTID. The events in it have places of their own, in no log.
Status BinlogStreamParser::handle_payload(const BinlogEvent& event) {
  RETURN_IF_ERROR(need_transaction(event.header));
  ASSIGN_OR_RETURN(BinlogBytes rest, unpack_transaction(event.body, payload_));
  while (!rest.empty()) {
    ASSIGN_OR_RETURN(const BinlogBytes bytes, take_event(rest));
    ASSIGN_OR_RETURN(const BinlogEvent inner, parse_event(bytes, ChecksumAlgorithm::kNone));
    const EventType type = inner.header.type;
    if (type == EventType::kTransactionPayload || type == EventType::kFormatDescription || type == EventType::kRotate) {
      return fail(Code::kDataLoss, fmt::format("{} event within a compressed transaction", event_type_name(type)));
    }
    RETURN_IF_ERROR(handle(inner));
  }
  return {};
}

Status BinlogStreamParser::handle_gtid(const BinlogEvent& event) {
  ASSIGN_OR_RETURN(GtidEvent gtid, parse_gtid_event(event));
  Transaction transaction;
  transaction.gtid = gtid.gtid;
  transaction.mariadb = event.header.type == EventType::kMariadbGtid;
  transaction.standalone = (gtid.flags & GtidEvent::kStandalone) != 0;
  transaction.alter = (gtid.extra_flags & GtidEvent::kExtraStartAlter) != 0      ? AlterPhase::kStart
                      : (gtid.extra_flags & GtidEvent::kExtraCommitAlter) != 0   ? AlterPhase::kCommit
                      : (gtid.extra_flags & GtidEvent::kExtraRollbackAlter) != 0 ? AlterPhase::kRollback
                                                                                 : AlterPhase::kNone;
  BinlogBegin item;
  item.gtid = std::move(gtid.gtid);
  item.ddl = (gtid.flags & GtidEvent::kDdl) != 0;
  item.commit_id = gtid.commit_id;
  if ((gtid.flags & GtidEvent::kPreparedXa) != 0) item.prepared_xa = gtid.xa;
  return begin(event.header, std::move(transaction), std::move(item));
}

Status BinlogStreamParser::handle_query(const BinlogEvent& event) {
  const EventHeader& header = event.header;
  BinlogQuery item;
  ASSIGN_OR_RETURN(item.query, parse_query(event, scratch_));
  item.role = query_role(item.query.sql);
  switch (item.role) {
    case QueryRole::kBegin:
    case QueryRole::kXaStart:
      if (!transaction_) RETURN_IF_ERROR(begin(header, {}, {}));  // A source without GTIDs.
      if (transaction_->begun) return fail(Code::kDataLoss, "a transaction begins within another");
      transaction_->begun = true;
      return {};
    case QueryRole::kXaEnd: return need_transaction(header);
    case QueryRole::kCommit: RETURN_IF_ERROR(need_transaction(header)); return end(header, CommitKind::kCommit);
    case QueryRole::kRollback: RETURN_IF_ERROR(need_transaction(header)); return end(header, CommitKind::kRollback);
    case QueryRole::kSavepoint:
    case QueryRole::kRollbackToSavepoint: RETURN_IF_ERROR(need_transaction(header)); break;
    case QueryRole::kStatement: break;
  }
  if (!transaction_) RETURN_IF_ERROR(begin(header, {}, {}));
  item.alter = transaction_->alter;
  // MariaDB marks single statements. Elsewhere a statement is one if nothing has opened a transaction before it.
  const bool ends =
      item.role == QueryRole::kStatement && (transaction_->mariadb ? transaction_->standalone : !transaction_->begun);
  emit(header, std::move(item));
  return ends ? end(header, CommitKind::kStandalone) : Status();
}

Status BinlogStreamParser::handle_table_map(const BinlogEvent& event) {
  RETURN_IF_ERROR(need_transaction(event.header));
  ASSIGN_OR_RETURN(const uint64_t id, parse_table_id(event.body, format_, EventType::kTableMap));
  auto found = tables_.find(id);
  if (found == tables_.end()) {
    if (tables_.size() >= tables_max_) {
      std::erase_if(tables_, [&](const auto& entry) { return entry.second.transaction != transaction_number_; });
      if (tables_.size() >= tables_max_) {
        return fail(Code::kResourceExhausted, fmt::format("a transaction changes more than {} tables", tables_max_));
      }
    }
    found = tables_.emplace(id, Table()).first;
  }
  Table& table = found->second;
  if (!table.map || !std::equal(event.body.begin(), event.body.end(), table.body.begin(), table.body.end())) {
    ASSIGN_OR_RETURN(TableMap map, parse_table_map(event.body, format_));
    table.map = std::make_shared<const TableMap>(std::move(map));
    table.body.assign(event.body.begin(), event.body.end());
  }
  table.transaction = transaction_number_;
  emit(event.header, BinlogTable{table.map});
  return {};
}

Status BinlogStreamParser::handle_rows(const BinlogEvent& event) {
  RETURN_IF_ERROR(need_transaction(event.header));
  ASSIGN_OR_RETURN(RowsEvent rows, parse_rows_event(event, format_, scratch_));
  if (rows.table_id == RowsEvent::kDummyTableId && rows.rows.empty()) return {};
  const auto found = tables_.find(rows.table_id);
  if (found == tables_.end() || found->second.transaction != transaction_number_) {
    return fail(Code::kDataLoss, fmt::format("rows of table id {}, which no TABLE_MAP event announced", rows.table_id));
  }
  if (rows.column_count != found->second.map->columns.size()) {
    return fail(Code::kDataLoss,
                fmt::format("rows with {} columns of table {}.{}, which has {}", rows.column_count,
                            found->second.map->schema, found->second.map->table, found->second.map->columns.size()));
  }
  emit(event.header, BinlogRows{found->second.map, rows});
  return {};
}

}  // namespace vitrail::mysql
