#include "sql/statement_kind.h"

namespace vitrail::sql {

std::string_view statement_kind_name(StatementKind kind) {
  switch (kind) {
    case StatementKind::kEmpty: return "EMPTY";
    case StatementKind::kUnknown: return "UNKNOWN";
    case StatementKind::kSelect: return "SELECT";
    case StatementKind::kInsert: return "INSERT";
    case StatementKind::kReplace: return "REPLACE";
    case StatementKind::kUpdate: return "UPDATE";
    case StatementKind::kDelete: return "DELETE";
    case StatementKind::kSet: return "SET";
    case StatementKind::kShow: return "SHOW";
    case StatementKind::kUse: return "USE";
    case StatementKind::kBegin: return "BEGIN";
    case StatementKind::kCommit: return "COMMIT";
    case StatementKind::kRollback: return "ROLLBACK";
    case StatementKind::kSavepoint: return "SAVEPOINT";
    case StatementKind::kRollbackTo: return "ROLLBACK TO";
    case StatementKind::kRelease: return "RELEASE";
    case StatementKind::kDdl: return "DDL";
    case StatementKind::kLockTables: return "LOCK TABLES";
    case StatementKind::kUnlockTables: return "UNLOCK TABLES";
    case StatementKind::kExplain: return "EXPLAIN";
    case StatementKind::kVexplain: return "VEXPLAIN";
    case StatementKind::kKill: return "KILL";
    case StatementKind::kCall: return "CALL";
    case StatementKind::kPrepare: return "PREPARE";
    case StatementKind::kExecute: return "EXECUTE";
    case StatementKind::kDeallocate: return "DEALLOCATE";
    case StatementKind::kFlush: return "FLUSH";
    case StatementKind::kTableAdmin: return "TABLE ADMIN";
    case StatementKind::kLoad: return "LOAD";
    case StatementKind::kAlterVschema: return "ALTER VSCHEMA";
    case StatementKind::kVitessMigration: return "VITESS MIGRATION";
    case StatementKind::kDo: return "DO";
    case StatementKind::kStream: return "STREAM";
    case StatementKind::kVstream: return "VSTREAM";
    case StatementKind::kOther: return "OTHER";
  }
  return "UNKNOWN";
}

StatementKind classify(Keyword first, Keyword second, Keyword third) {
  switch (first) {
    case Keyword::kSelect:
    case Keyword::kValues:
    case Keyword::kTable: return StatementKind::kSelect;
    case Keyword::kInsert: return StatementKind::kInsert;
    case Keyword::kReplace: return StatementKind::kReplace;
    case Keyword::kUpdate: return StatementKind::kUpdate;
    case Keyword::kDelete: return StatementKind::kDelete;
    case Keyword::kSet: return StatementKind::kSet;
    case Keyword::kShow: return StatementKind::kShow;
    case Keyword::kUse: return StatementKind::kUse;
    case Keyword::kBegin: return second == Keyword::kNot ? StatementKind::kOther : StatementKind::kBegin;
    case Keyword::kStart: return second == Keyword::kTransaction ? StatementKind::kBegin : StatementKind::kOther;
    case Keyword::kCommit: return StatementKind::kCommit;
    case Keyword::kRollback:
      if (second == Keyword::kTo || (second == Keyword::kWork && third == Keyword::kTo)) {
        return StatementKind::kRollbackTo;
      }
      return StatementKind::kRollback;
    case Keyword::kSavepoint: return StatementKind::kSavepoint;
    case Keyword::kRelease: return StatementKind::kRelease;
    case Keyword::kDrop: return second == Keyword::kPrepare ? StatementKind::kDeallocate : StatementKind::kDdl;
    case Keyword::kAlter:
      if (second == Keyword::kVschema) return StatementKind::kAlterVschema;
      return second == Keyword::kVitessMigration ? StatementKind::kVitessMigration : StatementKind::kDdl;
    case Keyword::kRevert: return StatementKind::kVitessMigration;
    case Keyword::kCreate:
    case Keyword::kTruncate:
    case Keyword::kRename: return StatementKind::kDdl;
    case Keyword::kLock:
      return second == Keyword::kTable || second == Keyword::kTables ? StatementKind::kLockTables
                                                                     : StatementKind::kOther;
    case Keyword::kUnlock:
      return second == Keyword::kTable || second == Keyword::kTables ? StatementKind::kUnlockTables
                                                                     : StatementKind::kOther;
    case Keyword::kExplain:
    case Keyword::kDescribe:
    case Keyword::kDesc: return StatementKind::kExplain;
    case Keyword::kAnalyze:
      switch (second) {
        case Keyword::kTable:
        case Keyword::kTables:
        case Keyword::kLocal:
        case Keyword::kNoWriteToBinlog: return StatementKind::kTableAdmin;
        default: return StatementKind::kExplain;
      }
    case Keyword::kOptimize:
    case Keyword::kCheck:
    case Keyword::kRepair:
    case Keyword::kChecksum: return StatementKind::kTableAdmin;
    case Keyword::kVexplain: return StatementKind::kVexplain;
    case Keyword::kKill: return StatementKind::kKill;
    case Keyword::kCall: return StatementKind::kCall;
    case Keyword::kPrepare: return StatementKind::kPrepare;
    case Keyword::kExecute: return StatementKind::kExecute;
    case Keyword::kDeallocate: return StatementKind::kDeallocate;
    case Keyword::kFlush: return StatementKind::kFlush;
    case Keyword::kLoad:
      return second == Keyword::kData || second == Keyword::kXml ? StatementKind::kLoad : StatementKind::kOther;
    case Keyword::kDo: return StatementKind::kDo;
    case Keyword::kStream: return StatementKind::kStream;
    case Keyword::kVstream: return StatementKind::kVstream;
    case Keyword::kBackup:
    case Keyword::kBinlog:
    case Keyword::kCache:
    case Keyword::kChange:
    case Keyword::kGet:
    case Keyword::kGrant:
    case Keyword::kHandler:
    case Keyword::kHelp:
    case Keyword::kImport:
    case Keyword::kInstall:
    case Keyword::kPurge:
    case Keyword::kReset:
    case Keyword::kResignal:
    case Keyword::kRestart:
    case Keyword::kRevoke:
    case Keyword::kShutdown:
    case Keyword::kSignal:
    case Keyword::kStop:
    case Keyword::kUninstall:
    case Keyword::kCase:  // Statements of stored programs, which MariaDB takes by themselves.
    case Keyword::kFor:
    case Keyword::kIf:
    case Keyword::kLoop:
    case Keyword::kRepeat:
    case Keyword::kWhile:
    case Keyword::kXa: return StatementKind::kOther;
    default: return StatementKind::kUnknown;
  }
}

}  // namespace vitrail::sql
