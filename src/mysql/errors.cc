#include "mysql/errors.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace vitrail::mysql {
namespace {

// What is known of a server error number: its SQLSTATE, and what it means for a router.
struct Known {
  uint16_t number;
  std::string_view sqlstate;
  Code code;
};

// Sorted by number. Source: MySQL 8.4 "Server Error Message Reference"; SQLSTATEs are those printed there.
constexpr Known kKnown[] = {
    {1004, "HY000", Code::kUnknown},             // cannot create file
    {1007, "HY000", Code::kAlreadyExists},       // database exists
    {1008, "HY000", Code::kNotFound},            // cannot drop database
    {1021, "HY000", Code::kResourceExhausted},   // disk full
    {1022, "23000", Code::kAlreadyExists},       // duplicate key on write
    {1032, "HY000", Code::kNotFound},            // key not found
    {1036, "HY000", Code::kFailedPrecondition},  // table is read only
    {1037, "HY001", Code::kResourceExhausted},   // out of memory
    {1038, "HY001", Code::kResourceExhausted},   // out of sort memory
    {1040, "08004", Code::kResourceExhausted},   // too many connections
    {1041, "HY000", Code::kResourceExhausted},   // out of resources
    {1043, "08S01", Code::kUnavailable},         // bad handshake
    {1044, "42000", Code::kPermissionDenied},    // access denied to database
    {1045, "28000", Code::kUnauthenticated},     // access denied
    {1046, "3D000", Code::kInvalidArgument},     // no database selected
    {1047, "08S01", Code::kUnimplemented},       // unknown command
    {1048, "23000", Code::kInvalidArgument},     // column cannot be null
    {1049, "42000", Code::kNotFound},            // unknown database
    {1050, "42S01", Code::kAlreadyExists},       // table exists
    {1051, "42S02", Code::kNotFound},            // unknown table
    {1052, "23000", Code::kInvalidArgument},     // ambiguous column
    {1053, "08S01", Code::kUnavailable},         // server shutdown in progress
    {1054, "42S22", Code::kNotFound},            // unknown column
    {1055, "42000", Code::kInvalidArgument},     // not in GROUP BY
    {1056, "42000", Code::kInvalidArgument},     // cannot group on
    {1058, "21S01", Code::kInvalidArgument},     // column count
    {1060, "42S21", Code::kInvalidArgument},     // duplicate column name
    {1061, "42000", Code::kAlreadyExists},       // duplicate key name
    {1062, "23000", Code::kAlreadyExists},       // duplicate entry
    {1064, "42000", Code::kInvalidArgument},     // parse error
    {1065, "42000", Code::kInvalidArgument},     // empty query
    {1066, "42000", Code::kInvalidArgument},     // not unique table or alias
    {1067, "42000", Code::kInvalidArgument},     // invalid default
    {1072, "42000", Code::kInvalidArgument},     // key column does not exist
    {1078, "HY000", Code::kAborted},             // got signal
    {1080, "08S01", Code::kAborted},             // forcing close
    {1091, "42000", Code::kInvalidArgument},     // cannot drop field or key
    {1094, "HY000", Code::kNotFound},            // unknown thread
    {1095, "HY000", Code::kPermissionDenied},    // not owner of thread
    {1105, "HY000", Code::kUnknown},             // unknown error
    {1109, "42S02", Code::kNotFound},            // unknown table in clause
    {1110, "42000", Code::kInvalidArgument},     // field specified twice
    {1111, "HY000", Code::kInvalidArgument},     // invalid use of group function
    {1114, "HY000", Code::kResourceExhausted},   // table is full
    {1115, "42000", Code::kInvalidArgument},     // unknown character set
    {1129, "HY000", Code::kResourceExhausted},   // host is blocked
    {1130, "HY000", Code::kUnauthenticated},     // host may not connect
    {1135, "HY000", Code::kResourceExhausted},   // cannot create thread
    {1136, "21S01", Code::kInvalidArgument},     // value count on row
    {1141, "42000", Code::kNotFound},            // no such grant
    {1142, "42000", Code::kPermissionDenied},    // table access denied
    {1143, "42000", Code::kPermissionDenied},    // column access denied
    {1146, "42S02", Code::kNotFound},            // no such table
    {1149, "42000", Code::kInvalidArgument},     // syntax error
    {1152, "08S01", Code::kAborted},             // aborting connection
    {1153, "08S01", Code::kResourceExhausted},   // packet too large
    {1156, "08S01", Code::kInvalidArgument},     // packets out of order
    {1158, "08S01", Code::kUnavailable},         // error reading packets
    {1159, "08S01", Code::kUnavailable},         // timeout reading packets
    {1160, "08S01", Code::kUnavailable},         // error writing packets
    {1161, "08S01", Code::kUnavailable},         // timeout writing packets
    {1169, "23000", Code::kAlreadyExists},       // unique constraint
    {1173, "42000", Code::kInvalidArgument},     // requires primary key
    {1179, "25000", Code::kFailedPrecondition},  // not allowed in a transaction
    {1193, "HY000", Code::kInvalidArgument},     // unknown system variable
    {1195, "HY000", Code::kUnavailable},         // table crashed
    {1203, "42000", Code::kResourceExhausted},   // too many connections of the user
    {1205, "HY000", Code::kDeadlineExceeded},    // lock wait timeout
    {1206, "HY000", Code::kResourceExhausted},   // lock table full
    {1207, "25000", Code::kFailedPrecondition},  // read only transaction
    {1210, "HY000", Code::kInvalidArgument},     // incorrect arguments
    {1213, "40001", Code::kAborted},             // deadlock
    {1216, "23000", Code::kFailedPrecondition},  // no referenced row
    {1217, "23000", Code::kFailedPrecondition},  // row is referenced
    {1222, "21000", Code::kInvalidArgument},     // different number of columns
    {1226, "42000", Code::kResourceExhausted},   // user limit reached
    {1227, "42000", Code::kPermissionDenied},    // specific access denied
    {1231, "42000", Code::kInvalidArgument},     // wrong value for variable
    {1232, "42000", Code::kInvalidArgument},     // wrong type for variable
    {1234, "42000", Code::kInvalidArgument},     // cannot use option here
    {1235, "42000", Code::kUnimplemented},       // not supported yet
    {1238, "HY000", Code::kInvalidArgument},     // global or local variable
    {1241, "21000", Code::kInvalidArgument},     // operand columns
    {1242, "21000", Code::kInvalidArgument},     // subquery returns more than one row
    {1243, "HY000", Code::kInvalidArgument},     // unknown statement handler
    {1247, "42S22", Code::kInvalidArgument},     // illegal reference
    {1248, "42000", Code::kInvalidArgument},     // derived table without alias
    {1251, "08004", Code::kUnauthenticated},     // authentication protocol not supported
    {1264, "22003", Code::kInvalidArgument},     // out of range for column
    {1267, "HY000", Code::kInvalidArgument},     // illegal mix of collations
    {1288, "HY000", Code::kInvalidArgument},     // table not updatable
    {1290, "HY000", Code::kFailedPrecondition},  // an option prevents the statement
    {1292, "22007", Code::kInvalidArgument},     // truncated wrong value
    {1305, "42000", Code::kNotFound},            // procedure or function does not exist
    {1317, "70100", Code::kCanceled},            // query interrupted
    {1353, "HY000", Code::kInvalidArgument},     // view column list
    {1364, "HY000", Code::kInvalidArgument},     // no default for field
    {1365, "22012", Code::kInvalidArgument},     // division by zero
    {1366, "HY000", Code::kInvalidArgument},     // incorrect value for field
    {1370, "42000", Code::kPermissionDenied},    // procedure access denied
    {1396, "HY000", Code::kPermissionDenied},    // cannot create user
    {1399, "XAE07", Code::kFailedPrecondition},  // XA: wrong state
    {1402, "XA100", Code::kAborted},             // XA: transaction rolled back
    {1406, "22001", Code::kInvalidArgument},     // data too long
    {1411, "HY000", Code::kInvalidArgument},     // wrong value for type
    {1450, "HY000", Code::kInvalidArgument},     // forbidden schema change
    {1451, "23000", Code::kFailedPrecondition},  // row is referenced
    {1452, "23000", Code::kFailedPrecondition},  // no referenced row
    {1461, "42000", Code::kResourceExhausted},   // too many prepared statements
    {1525, "HY000", Code::kInvalidArgument},     // wrong value
    {1568, "25001", Code::kFailedPrecondition},  // transaction in progress
    {1586, "23000", Code::kAlreadyExists},       // duplicate entry with key name
    {1613, "XA106", Code::kDeadlineExceeded},    // XA: rollback after timeout
    {1614, "XA102", Code::kAborted},             // XA: rollback after deadlock
    {1690, "22003", Code::kInvalidArgument},     // data out of range
    {1698, "28000", Code::kUnauthenticated},     // access denied without password
    {1792, "25006", Code::kFailedPrecondition},  // read only transaction
    {1835, "HY000", Code::kInvalidArgument},     // malformed packet
    {1836, "HY000", Code::kFailedPrecondition},  // running in read only mode
    {1874, "HY000", Code::kFailedPrecondition},  // storage engine in read only mode
    {1927, "70100", Code::kUnavailable},         // MariaDB: connection was killed
    {1969, "70100", Code::kDeadlineExceeded},    // MariaDB: max_statement_time exceeded
    {3024, "HY000", Code::kDeadlineExceeded},    // max_execution_time exceeded
    {3100, "HY000", Code::kFailedPrecondition},  // a hook refused the commit
    {3101, "40000", Code::kAborted},             // rolled back by a plugin
    {3118, "HY000", Code::kUnauthenticated},     // account is locked
    {3159, "HY000", Code::kUnauthenticated},     // secure transport required
    {3819, "HY000", Code::kFailedPrecondition},  // check constraint violated
    {4025, "23000", Code::kFailedPrecondition},  // MariaDB: constraint failed
};
static_assert(std::is_sorted(std::begin(kKnown), std::end(kKnown),
                             [](const Known& a, const Known& b) { return a.number < b.number; }));

const Known* find_known(uint16_t number) {
  const Known* const found = std::lower_bound(std::begin(kKnown), std::end(kKnown), number,
                                              [](const Known& k, uint16_t wanted) { return k.number < wanted; });
  return found != std::end(kKnown) && found->number == number ? found : nullptr;
}

// Our own "VTnnnnn: " errors whose MySQL number is not the one of their code.
struct VtNumber {
  std::string_view id;
  uint16_t number;
};
constexpr VtNumber kVtNumbers[] = {
    {"VT03002", 1450}, {"VT03003", 1109}, {"VT03004", 1288}, {"VT03005", 1056}, {"VT03006", 1136}, {"VT03007", 1046},
    {"VT03008", 1234}, {"VT03009", 1232}, {"VT03010", 1238}, {"VT03011", 1231}, {"VT03013", 1066}, {"VT03014", 1054},
    {"VT03015", 1110}, {"VT03019", 1054}, {"VT03020", 1054}, {"VT03021", 1052}, {"VT03022", 1054}, {"VT03025", 1210},
    {"VT03027", 1048}, {"VT03028", 1048}, {"VT03029", 1136}, {"VT03032", 1288}, {"VT03033", 1353}, {"VT05001", 1008},
    {"VT05002", 1049}, {"VT05003", 1049}, {"VT05004", 1109}, {"VT05005", 1146}, {"VT05006", 1193}, {"VT05007", 1146},
    {"VT06001", 1007}, {"VT09001", 1173}, {"VT09002", 1874}, {"VT09005", 1046}, {"VT09011", 1243}, {"VT09016", 1451},
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

uint16_t number_of_text(std::string_view message) {
  const size_t start = message.find("VT");
  if (start == std::string_view::npos || message.size() < start + 9 || message.substr(start + 7, 2) != ": ") return 0;
  for (const VtNumber& entry : kVtNumbers) {
    if (entry.id == message.substr(start, 7)) return entry.number;
  }
  return 0;
}

uint16_t number_of_code(Code code, std::string_view message) {
  switch (code) {
    case Code::kCanceled:
    case Code::kDeadlineExceeded:
    case Code::kAborted: return errnos::kQueryInterrupted;
    case Code::kPermissionDenied:
    case Code::kUnauthenticated: return errnos::kAccessDenied;
    case Code::kResourceExhausted:
      return contains(message, "packet bigger than") || contains(message, "message larger than")
                 ? errnos::kPacketTooLarge
                 : errnos::kTooManyUserConnections;
    case Code::kUnimplemented: return errnos::kNotSupportedYet;
    default: return errnos::kUnknown;
  }
}

constexpr std::string_view kTabletPrefix = "vttablet: rpc error: code = ";
constexpr uint16_t kTabletErrnoEnd = kTabletErrnoBase + 32;  // Room for codes to come.
constexpr char kOriginMark = '\x1e';
constexpr char kOriginSeparator = '\x1f';
constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static_assert(base::kReasons <= kDigits.size());

void append_origin(std::string& out, const Origin& origin) {
  char mark = kOriginMark;
  for (const std::string* part : {&origin.keyspace, &origin.shard, &origin.tablet, &origin.rule}) {
    out += std::exchange(mark, kOriginSeparator);
    for (const char c : *part) {
      if (c != kOriginMark && c != kOriginSeparator) out += c;
    }
  }
}

// Cuts the origin off the end of `message`.
Origin take_origin(std::string& message) {
  Origin origin;
  const size_t mark = message.rfind(kOriginMark);
  if (mark == std::string::npos) return origin;
  std::string_view rest = std::string_view(message).substr(mark + 1);
  if (std::count(rest.begin(), rest.end(), kOriginSeparator) != 3) return origin;
  for (std::string* part : {&origin.keyspace, &origin.shard, &origin.tablet, &origin.rule}) {
    const size_t end = std::min(rest.find(kOriginSeparator), rest.size());
    *part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  message.resize(mark);
  return origin;
}

}  // namespace

std::string_view sqlstate_of(uint16_t mysql_errno) {
  const Known* const known = find_known(mysql_errno);
  return known != nullptr ? known->sqlstate : "HY000";
}

ErrPacket to_err_packet(const Error& error) {
  ErrPacket err;
  err.message = error.message();
  err.code = error.mysql_errno();
  err.sqlstate = error.sqlstate();
  if (err.code == 0) {
    if (std::optional<EmbeddedErrno> embedded = find_embedded_errno(err.message)) {
      err.code = embedded->mysql_errno;
      err.sqlstate = std::move(embedded->sqlstate);
    }
  }
  if (err.code == 0) err.code = number_of_text(err.message);
  if (err.code == 0) err.code = number_of_code(error.code(), err.message);
  if (err.sqlstate.size() != 5) err.sqlstate = sqlstate_of(err.code);
  return err;
}

Error without_values(Error error) {
  const uint16_t number = error.mysql_errno();
  const std::string& text = error.message();
  const bool ours = text.size() > 8 && text.starts_with("VT") && text[7] == ':';
  if (number == 0 || ours) return error;
  Error out(error.code(), fmt::format("(errno {}) (sqlstate {}): the text is left out, for it may hold values", number,
                                      error.sqlstate()));
  return std::move(out).with_effect(error.effect()).with_retry(error.retry()).with_mysql(number, error.sqlstate());
}

Error from_err_packet(const ErrPacket& err) {
  const Known* const known = find_known(err.code);
  Code code = known != nullptr ? known->code : Code::kUnknown;
  Retry retry = Retry::kNever;
  Effect effect = Effect::kNone;
  Reason reason = Reason::kNone;
  switch (err.code) {
    case errnos::kOptionPreventsStatement:
    case errnos::kReadOnlyMode:
      // The server has just been demoted: the statement belongs to the new primary. Other options are for the user.
      if (contains(err.message, "read-only") || contains(err.message, "read_only") ||
          err.code == errnos::kReadOnlyMode) {
        code = Code::kClusterEvent;
        retry = Retry::kAfterTopologyRefresh;
        reason = Reason::kReadOnlyServer;
      }
      break;
    case errnos::kConCount: retry = Retry::kOtherTarget; break;
    case errnos::kServerShutdown:
    case 1152:
    case 1158:
    case 1159:
    case 1160:
    case 1161:
    case 1927:
      // The connection ends with this error, perhaps in the middle of a commit.
      effect = Effect::kUnknown;
      retry = Retry::kOtherTarget;
      break;
    default: break;
  }
  return Error(code, err.message)
      .with_mysql(err.code, err.sqlstate.empty() ? sqlstate_of(err.code) : std::string_view(err.sqlstate))
      .with_retry(retry)
      .with_effect(effect)
      .with_reason(reason);
}

std::optional<EmbeddedErrno> find_embedded_errno(std::string_view text) {
  constexpr std::string_view kErrno = "(errno ";
  constexpr std::string_view kState = ") (sqlstate ";
  for (size_t start = text.rfind(kErrno); start != std::string_view::npos;
       start = start == 0 ? std::string_view::npos : text.rfind(kErrno, start - 1)) {
    const std::string_view rest = text.substr(start + kErrno.size());
    EmbeddedErrno found;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), found.mysql_errno);
    const std::string_view behind = rest.substr(static_cast<size_t>(end - rest.data()));
    if (error != std::errc() || found.mysql_errno == 0 || !behind.starts_with(kState)) continue;
    const std::string_view state = behind.substr(kState.size(), 6);
    const bool good = state.size() == 6 && state[5] == ')' && std::all_of(state.begin(), state.begin() + 5, [](char c) {
                        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
                      });
    if (!good) continue;
    found.sqlstate = state.substr(0, 5);
    return found;
  }
  return std::nullopt;
}

std::string_view rpc_code_name(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kCanceled: return "Canceled";
    case Code::kUnknown: return "Unknown";
    case Code::kInvalidArgument: return "InvalidArgument";
    case Code::kDeadlineExceeded: return "DeadlineExceeded";
    case Code::kNotFound: return "NotFound";
    case Code::kAlreadyExists: return "AlreadyExists";
    case Code::kPermissionDenied: return "PermissionDenied";
    case Code::kResourceExhausted: return "ResourceExhausted";
    case Code::kFailedPrecondition: return "FailedPrecondition";
    case Code::kAborted: return "Aborted";
    case Code::kOutOfRange: return "OutOfRange";
    case Code::kUnimplemented: return "Unimplemented";
    case Code::kInternal: return "Internal";
    case Code::kUnavailable: return "Unavailable";
    case Code::kDataLoss: return "DataLoss";
    case Code::kUnauthenticated: return "Unauthenticated";
    case Code::kClusterEvent: return "Code(17)";
    case Code::kReadOnly: return "Code(18)";
  }
  return "Unknown";
}

ErrPacket encode_tablet_error(const Error& error) {
  ErrPacket err;
  err.code = static_cast<uint16_t>(kTabletErrnoBase + static_cast<uint8_t>(error.code()));
  err.sqlstate = fmt::format("VT{}{}{}", static_cast<int>(error.retry()), static_cast<int>(error.effect()),
                             kDigits[static_cast<size_t>(error.reason())]);
  err.message = fmt::format("{}{} desc = {}", kTabletPrefix, rpc_code_name(error.code()), error.message());
  if (error.mysql_errno() != 0) {
    err.message += fmt::format(" (errno {}) (sqlstate {})", error.mysql_errno(),
                               error.sqlstate().size() == 5 ? error.sqlstate() : sqlstate_of(error.mysql_errno()));
  }
  if (!error.origin().empty()) append_origin(err.message, error.origin());
  return err;
}

std::optional<Error> decode_tablet_error(const ErrPacket& err) {
  if (err.code < kTabletErrnoBase || err.code >= kTabletErrnoEnd || !err.message.starts_with(kTabletPrefix)) {
    return std::nullopt;
  }
  const unsigned number = err.code - kTabletErrnoBase;
  const Code code = number <= static_cast<unsigned>(Code::kReadOnly) ? static_cast<Code>(number) : Code::kUnknown;
  std::string message = err.message;
  Origin origin = take_origin(message);
  Error error = Error(code == Code::kOk ? Code::kUnknown : code, std::move(message)).with_origin(std::move(origin));
  if (err.sqlstate.size() == 5 && err.sqlstate.starts_with("VT")) {
    const char retry = err.sqlstate[2];
    const char effect = err.sqlstate[3];
    if (retry >= '0' && retry <= '3') error = std::move(error).with_retry(static_cast<Retry>(retry - '0'));
    if (effect >= '0' && effect <= '2') error = std::move(error).with_effect(static_cast<Effect>(effect - '0'));
    const size_t reason = kDigits.find(err.sqlstate[4]);
    if (reason < base::kReasons) error = std::move(error).with_reason(static_cast<Reason>(reason));
  }
  if (const std::optional<EmbeddedErrno> embedded = find_embedded_errno(error.message())) {
    error = std::move(error).with_mysql(embedded->mysql_errno, embedded->sqlstate);
  }
  return error;
}

}  // namespace vitrail::mysql
