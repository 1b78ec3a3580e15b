#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/result.h"
#include "mysql/binlog_event.h"
#include "mysql/binlog_rows.h"
#include "mysql/binlog_table_map.h"

namespace vitrail::mysql {

// --- items --------------------------------------------------------------------------------------------------------
//
// What a log says, with the flavors' differences removed. Views refer to the event fed last, or to the parser, and are
// valid until the next feed().

// A transaction (or a single statement) begins. Each is followed, sooner or later, by exactly one BinlogCommit.
struct BinlogBegin {
  std::optional<Gtid> gtid;  // None for servers without GTIDs.
  bool ddl = false;          // MariaDB says so; MySQL does not.
  uint64_t commit_id = 0;    // MariaDB: transactions with the same id, not 0, were committed as a group.
  std::optional<XaId> prepared_xa;
};

enum class AlterPhase : uint8_t { kNone, kStart, kCommit, kRollback };

// Any statement but those that only mark transactions: DDL, statement-based changes, XA COMMIT and XA ROLLBACK.
struct BinlogQuery {
  QueryEvent query;
  // Or one about savepoints. These are logged only in transactions that also changed non-transactional tables. Who
  // applies rows has to undo those since the savepoint at kRollbackToSavepoint, or to refuse.
  QueryRole role = QueryRole::kStatement;
  // Two-phase ALTER: the statement appears at its start and again when it is decided; it has effect with kCommit only.
  AlterPhase alter = AlterPhase::kNone;
};

// A table whose rows follow. Comes for every statement; the pointer stays the same as long as the definition does.
struct BinlogTable {
  std::shared_ptr<const TableMap> map;
};

struct BinlogRows {
  std::shared_ptr<const TableMap> map;
  RowsEvent rows;
};

// The original statement, if the server logs it (binlog_annotate_row_events, binlog_rows_query_log_events).
struct BinlogAnnotation {
  std::string_view sql;
};

enum class CommitKind : uint8_t {
  kCommit,      // XID event or COMMIT.
  kStandalone,  // A single statement ended; it commits by itself.
  kXaCommit,    // XA PREPARE ... ONE PHASE.
  kXaPrepared,  // The changes take effect only with a later XA COMMIT, or never. BinlogQuery announces which.
  kRollback,    // The changes must be dropped. (Written for non-transactional tables, or after a crash.)
};

struct BinlogCommit {
  CommitKind kind = CommitKind::kCommit;
  std::optional<Gtid> gtid;  // That of the BinlogBegin.
  std::optional<XaId> xa;    // With kXaCommit and kXaPrepared.
};

// The log goes on in another file. Also sent by a server when a dump begins.
struct BinlogRotate {
  FilePosition next;
};

// The source is alive and has nothing new.
struct BinlogHeartbeat {
  FilePosition at;
};

// The transactions before this place of the log, from the beginning of a file.
struct BinlogGtidList {
  Position before;
};

// A server's software version; begins every file and every dump.
struct BinlogFormat {
  const FormatDescription* format = nullptr;
};

struct BinlogItem {
  EventHeader header;  // Of the event the item was made from.
  std::variant<BinlogBegin, BinlogQuery, BinlogTable, BinlogRows, BinlogAnnotation, BinlogCommit, BinlogRotate,
               BinlogHeartbeat, BinlogGtidList, BinlogFormat>
      what;

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&what);
  }
};

// --- parser -------------------------------------------------------------------------------------------------------

// Turns events, fed in order, into items, and keeps account of place, GTID and transaction boundaries.
//
//   Bounds : memory for the table maps of one transaction (tables_max; a transaction with more is refused) and for one
//            inflated event, which with MySQL's binlog_transaction_compression is a whole transaction.
//   Errors : after an error the parser must not be fed again; the reader connects anew at position().
//     kDataLoss           malformed or missing bytes, rows without a table map, a transaction within another, an
//                         INCIDENT (the source says that events are missing from its log)
//     kUnimplemented      encrypted log files, unknown events that may not be ignored
//     kFailedPrecondition LOAD DATA as statement (binlog_format must be ROW)
//   Threads: confined to one at a time.
class BinlogStreamParser {
 public:
  struct Options {
    FilePosition start;                                        // File may be empty: a dump begins with a ROTATE.
    Position position;                                         // Transactions already read; kept up to date from here.
    ChecksumAlgorithm checksum = ChecksumAlgorithm::kUnknown;  // Until the first FORMAT_DESCRIPTION.
    size_t tables_max = 4096;
  };

  explicit BinlogStreamParser(Options options);

  // One event: what follows the byte 0x00 in a packet of a dump, or the bytes from take_event(). Gives the items it
  // completes, in order, often none; they are valid until the next call.
  Result<std::span<const BinlogItem>> feed(BinlogBytes event);

  // The place behind the event fed last. File name empty until it is known.
  const FilePosition& place() const { return place_; }
  // All transactions whose BinlogCommit was given, including rolled back and prepared ones, after Options::position;
  // but not one that a crash of the source cut short, whose GTID may come again. For sources without GTIDs a file
  // position: the place behind the last commit.
  const Position& position() const { return position_; }
  bool in_transaction() const { return transaction_.has_value(); }
  const FormatDescription& format() const { return format_; }

 private:
  struct Table {
    std::vector<uint8_t> body;  // Of the event, to notice a changed definition.
    std::shared_ptr<const TableMap> map;
    uint64_t transaction = 0;  // Number of the transaction that announced it last.
  };
  struct Transaction {
    std::optional<Gtid> gtid;
    bool mariadb = false;
    bool standalone = false;  // MariaDB: ends with its first statement.
    bool begun = false;       // MySQL: BEGIN or XA START was seen, so it ends with COMMIT, XID or XA_PREPARE.
    AlterPhase alter = AlterPhase::kNone;
  };

  Status handle(const BinlogEvent& event);
  Status handle_payload(const BinlogEvent& event);
  Status handle_gtid(const BinlogEvent& event);
  Status handle_query(const BinlogEvent& event);
  Status handle_table_map(const BinlogEvent& event);
  Status handle_rows(const BinlogEvent& event);
  Status begin(const EventHeader& header, Transaction transaction, BinlogBegin item);
  Status end(const EventHeader& header, CommitKind kind, std::optional<XaId> xa = {});
  Status need_transaction(const EventHeader& header) const;
  void advance(const EventHeader& header);
  void emit(const EventHeader& header, decltype(BinlogItem::what) what);

  size_t tables_max_;
  ChecksumAlgorithm checksum_;
  FormatDescription format_;
  FilePosition place_;
  Position position_;
  std::optional<Transaction> transaction_;
  uint64_t transaction_number_ = 0;
  std::unordered_map<uint64_t, Table> tables_;  // By table id.
  std::string scratch_;                         // Inflated text or rows of the event fed last.
  std::string payload_;                         // Its inflated transaction.
  std::vector<BinlogItem> items_;
};

}  // namespace vitrail::mysql
