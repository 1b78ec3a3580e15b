#pragma once

#include <cstdint>
#include <string_view>

// Numbers of the MySQL client/server protocol: capabilities, status flags, commands, field types, field flags.
// Sources: MySQL 8 internals documentation ("Capabilities Flags", "SERVER_STATUS_flags_enum", "enum_server_command",
// "field_types"), MariaDB Knowledge Base ("Connection", "Protocol Differences with MySQL").
namespace vitrail::mysql {

// Capabilities of both flavors in one number: bits 0..31 as in the handshake, bits 32..63 are MariaDB's extension.
using Capabilities = uint64_t;

inline constexpr Capabilities kClientLongPassword = 1ull << 0;  // MariaDB: CLIENT_MYSQL, clear in its greeting.
inline constexpr Capabilities kClientFoundRows = 1ull << 1;
inline constexpr Capabilities kClientLongFlag = 1ull << 2;
inline constexpr Capabilities kClientConnectWithDb = 1ull << 3;
inline constexpr Capabilities kClientNoSchema = 1ull << 4;
inline constexpr Capabilities kClientCompress = 1ull << 5;
inline constexpr Capabilities kClientOdbc = 1ull << 6;
inline constexpr Capabilities kClientLocalFiles = 1ull << 7;
inline constexpr Capabilities kClientIgnoreSpace = 1ull << 8;
inline constexpr Capabilities kClientProtocol41 = 1ull << 9;
inline constexpr Capabilities kClientInteractive = 1ull << 10;
inline constexpr Capabilities kClientSsl = 1ull << 11;
inline constexpr Capabilities kClientIgnoreSigpipe = 1ull << 12;
inline constexpr Capabilities kClientTransactions = 1ull << 13;
inline constexpr Capabilities kClientReserved = 1ull << 14;
inline constexpr Capabilities kClientSecureConnection = 1ull << 15;
inline constexpr Capabilities kClientMultiStatements = 1ull << 16;
inline constexpr Capabilities kClientMultiResults = 1ull << 17;
inline constexpr Capabilities kClientPsMultiResults = 1ull << 18;
inline constexpr Capabilities kClientPluginAuth = 1ull << 19;
inline constexpr Capabilities kClientConnectAttrs = 1ull << 20;
inline constexpr Capabilities kClientPluginAuthLenencData = 1ull << 21;
inline constexpr Capabilities kClientCanHandleExpiredPasswords = 1ull << 22;
inline constexpr Capabilities kClientSessionTrack = 1ull << 23;
inline constexpr Capabilities kClientDeprecateEof = 1ull << 24;
inline constexpr Capabilities kClientOptionalResultsetMetadata = 1ull << 25;
inline constexpr Capabilities kClientZstdCompression = 1ull << 26;
inline constexpr Capabilities kClientQueryAttributes = 1ull << 27;
inline constexpr Capabilities kClientMultiFactorAuth = 1ull << 28;
inline constexpr Capabilities kMariadbClientProgress = 1ull << 32;
inline constexpr Capabilities kMariadbClientComMulti = 1ull << 33;
inline constexpr Capabilities kMariadbClientStmtBulkOperations = 1ull << 34;
inline constexpr Capabilities kMariadbClientExtendedMetadata = 1ull << 35;
inline constexpr Capabilities kMariadbClientCacheMetadata = 1ull << 36;
inline constexpr Capabilities kMariadbClientBulkUnitResults = 1ull << 37;

// What this folder can speak on either side. Compression, optional and cached result set metadata, progress reports,
// bulk execution and multi-factor authentication change the shape of messages, are not understood here, and must never
// be negotiated. A server or client may offer less than this, never more.
inline constexpr Capabilities kSupportedCapabilities =
    kClientLongPassword | kClientFoundRows | kClientLongFlag | kClientConnectWithDb | kClientNoSchema | kClientOdbc |
    kClientLocalFiles | kClientIgnoreSpace | kClientProtocol41 | kClientInteractive | kClientSsl |
    kClientIgnoreSigpipe | kClientTransactions | kClientSecureConnection | kClientMultiStatements |
    kClientMultiResults | kClientPsMultiResults | kClientPluginAuth | kClientConnectAttrs |
    kClientPluginAuthLenencData | kClientCanHandleExpiredPasswords | kClientSessionTrack | kClientDeprecateEof |
    kClientQueryAttributes | kMariadbClientExtendedMetadata;

// The capabilities that change the bytes of a response: two connections may exchange raw responses only if these agree.
inline constexpr Capabilities kResponseShapeCapabilities = kClientProtocol41 | kClientTransactions |
                                                           kClientSessionTrack | kClientDeprecateEof |
                                                           kMariadbClientExtendedMetadata;

// Status flags of OK and EOF packets.
inline constexpr uint16_t kStatusInTransaction = 0x0001;
inline constexpr uint16_t kStatusAutocommit = 0x0002;
inline constexpr uint16_t kStatusMoreResultsExist = 0x0008;
inline constexpr uint16_t kStatusNoGoodIndexUsed = 0x0010;
inline constexpr uint16_t kStatusNoIndexUsed = 0x0020;
inline constexpr uint16_t kStatusCursorExists = 0x0040;
inline constexpr uint16_t kStatusLastRowSent = 0x0080;
inline constexpr uint16_t kStatusDatabaseDropped = 0x0100;
inline constexpr uint16_t kStatusNoBackslashEscapes = 0x0200;
inline constexpr uint16_t kStatusMetadataChanged = 0x0400;
inline constexpr uint16_t kStatusQueryWasSlow = 0x0800;
inline constexpr uint16_t kStatusPsOutParams = 0x1000;
inline constexpr uint16_t kStatusInTransactionReadOnly = 0x2000;
inline constexpr uint16_t kStatusSessionStateChanged = 0x4000;

enum class Command : uint8_t {
  kSleep = 0x00,
  kQuit = 0x01,
  kInitDb = 0x02,
  kQuery = 0x03,
  kFieldList = 0x04,
  kCreateDb = 0x05,
  kDropDb = 0x06,
  kRefresh = 0x07,
  kShutdown = 0x08,
  kStatistics = 0x09,
  kProcessInfo = 0x0a,
  kConnect = 0x0b,
  kProcessKill = 0x0c,
  kDebug = 0x0d,
  kPing = 0x0e,
  kTime = 0x0f,
  kDelayedInsert = 0x10,
  kChangeUser = 0x11,
  kBinlogDump = 0x12,
  kTableDump = 0x13,
  kConnectOut = 0x14,
  kRegisterReplica = 0x15,
  kStmtPrepare = 0x16,
  kStmtExecute = 0x17,
  kStmtSendLongData = 0x18,
  kStmtClose = 0x19,
  kStmtReset = 0x1a,
  kSetOption = 0x1b,
  kStmtFetch = 0x1c,
  kDaemon = 0x1d,
  kBinlogDumpGtid = 0x1e,
  kResetConnection = 0x1f,
  kStmtBulkExecute = 0xfa,  // MariaDB.
};

// "COM_QUERY"; "COM_UNKNOWN" for a number outside the list.
std::string_view command_name(Command command);

// Column and parameter types on the wire.
enum class FieldType : uint8_t {
  kDecimal = 0,
  kTiny = 1,
  kShort = 2,
  kLong = 3,
  kFloat = 4,
  kDouble = 5,
  kNull = 6,
  kTimestamp = 7,
  kLongLong = 8,
  kInt24 = 9,
  kDate = 10,
  kTime = 11,
  kDatetime = 12,
  kYear = 13,
  kNewDate = 14,
  kVarchar = 15,
  kBit = 16,
  kTimestamp2 = 17,  // 17..20: binlog only.
  kDatetime2 = 18,
  kTime2 = 19,
  kTypedArray = 20,
  kVector = 242,
  kInvalid = 243,
  kBool = 244,
  kJson = 245,
  kNewDecimal = 246,
  kEnum = 247,
  kSet = 248,
  kTinyBlob = 249,
  kMediumBlob = 250,
  kLongBlob = 251,
  kBlob = 252,
  kVarString = 253,
  kString = 254,
  kGeometry = 255,
};

// Lower-case SQL name ("int", "varchar"); "unknown" for a number outside the list.
std::string_view field_type_name(FieldType type);

// Flags of a column definition.
inline constexpr uint16_t kFieldNotNull = 0x0001;
inline constexpr uint16_t kFieldPrimaryKey = 0x0002;
inline constexpr uint16_t kFieldUniqueKey = 0x0004;
inline constexpr uint16_t kFieldMultipleKey = 0x0008;
inline constexpr uint16_t kFieldBlob = 0x0010;
inline constexpr uint16_t kFieldUnsigned = 0x0020;
inline constexpr uint16_t kFieldZerofill = 0x0040;
inline constexpr uint16_t kFieldBinary = 0x0080;
inline constexpr uint16_t kFieldEnum = 0x0100;
inline constexpr uint16_t kFieldAutoIncrement = 0x0200;
inline constexpr uint16_t kFieldTimestamp = 0x0400;
inline constexpr uint16_t kFieldSet = 0x0800;
inline constexpr uint16_t kFieldNoDefaultValue = 0x1000;
inline constexpr uint16_t kFieldOnUpdateNow = 0x2000;
inline constexpr uint16_t kFieldNum = 0x8000;

// COM_STMT_EXECUTE cursor flags.
inline constexpr uint8_t kCursorReadOnly = 0x01;
inline constexpr uint8_t kCursorForUpdate = 0x02;
inline constexpr uint8_t kCursorScrollable = 0x04;
inline constexpr uint8_t kParameterCountAvailable = 0x08;

// First bytes that tell messages apart.
inline constexpr uint8_t kOkHeader = 0x00;
inline constexpr uint8_t kLocalInfileHeader = 0xfb;
inline constexpr uint8_t kEofHeader = 0xfe;
inline constexpr uint8_t kErrHeader = 0xff;

inline constexpr uint16_t kBinaryCollation = 63;

}  // namespace vitrail::mysql
