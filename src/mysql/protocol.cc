#include "mysql/protocol.h"

namespace vitrail::mysql {

std::string_view command_name(Command command) {
  switch (command) {
    case Command::kSleep: return "COM_SLEEP";
    case Command::kQuit: return "COM_QUIT";
    case Command::kInitDb: return "COM_INIT_DB";
    case Command::kQuery: return "COM_QUERY";
    case Command::kFieldList: return "COM_FIELD_LIST";
    case Command::kCreateDb: return "COM_CREATE_DB";
    case Command::kDropDb: return "COM_DROP_DB";
    case Command::kRefresh: return "COM_REFRESH";
    case Command::kShutdown: return "COM_SHUTDOWN";
    case Command::kStatistics: return "COM_STATISTICS";
    case Command::kProcessInfo: return "COM_PROCESS_INFO";
    case Command::kConnect: return "COM_CONNECT";
    case Command::kProcessKill: return "COM_PROCESS_KILL";
    case Command::kDebug: return "COM_DEBUG";
    case Command::kPing: return "COM_PING";
    case Command::kTime: return "COM_TIME";
    case Command::kDelayedInsert: return "COM_DELAYED_INSERT";
    case Command::kChangeUser: return "COM_CHANGE_USER";
    case Command::kBinlogDump: return "COM_BINLOG_DUMP";
    case Command::kTableDump: return "COM_TABLE_DUMP";
    case Command::kConnectOut: return "COM_CONNECT_OUT";
    case Command::kRegisterReplica: return "COM_REGISTER_SLAVE";
    case Command::kStmtPrepare: return "COM_STMT_PREPARE";
    case Command::kStmtExecute: return "COM_STMT_EXECUTE";
    case Command::kStmtSendLongData: return "COM_STMT_SEND_LONG_DATA";
    case Command::kStmtClose: return "COM_STMT_CLOSE";
    case Command::kStmtReset: return "COM_STMT_RESET";
    case Command::kSetOption: return "COM_SET_OPTION";
    case Command::kStmtFetch: return "COM_STMT_FETCH";
    case Command::kDaemon: return "COM_DAEMON";
    case Command::kBinlogDumpGtid: return "COM_BINLOG_DUMP_GTID";
    case Command::kResetConnection: return "COM_RESET_CONNECTION";
    case Command::kStmtBulkExecute: return "COM_STMT_BULK_EXECUTE";
  }
  return "COM_UNKNOWN";
}

std::string_view field_type_name(FieldType type) {
  switch (type) {
    case FieldType::kDecimal:
    case FieldType::kNewDecimal: return "decimal";
    case FieldType::kTiny: return "tinyint";
    case FieldType::kShort: return "smallint";
    case FieldType::kLong: return "int";
    case FieldType::kFloat: return "float";
    case FieldType::kDouble: return "double";
    case FieldType::kNull: return "null";
    case FieldType::kTimestamp:
    case FieldType::kTimestamp2: return "timestamp";
    case FieldType::kLongLong: return "bigint";
    case FieldType::kInt24: return "mediumint";
    case FieldType::kDate:
    case FieldType::kNewDate: return "date";
    case FieldType::kTime:
    case FieldType::kTime2: return "time";
    case FieldType::kDatetime:
    case FieldType::kDatetime2: return "datetime";
    case FieldType::kYear: return "year";
    case FieldType::kVarchar:
    case FieldType::kVarString: return "varchar";
    case FieldType::kBit: return "bit";
    case FieldType::kTypedArray: return "array";
    case FieldType::kVector: return "vector";
    case FieldType::kInvalid: return "invalid";
    case FieldType::kBool: return "bool";
    case FieldType::kJson: return "json";
    case FieldType::kEnum: return "enum";
    case FieldType::kSet: return "set";
    case FieldType::kTinyBlob: return "tinyblob";
    case FieldType::kMediumBlob: return "mediumblob";
    case FieldType::kLongBlob: return "longblob";
    case FieldType::kBlob: return "blob";
    case FieldType::kString: return "char";
    case FieldType::kGeometry: return "geometry";
  }
  return "unknown";
}

}  // namespace vitrail::mysql
