#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "mysql/messages.h"

// The one place that maps our errors to MySQL error numbers and SQLSTATEs, and back.
namespace vitrail::mysql {

// Numbers used in this project. Source: MySQL 8 "Server Error Message Reference", "Client Error Message Reference".
namespace errnos {
inline constexpr uint16_t kDbCreateExists = 1007;
inline constexpr uint16_t kDbDropExists = 1008;
inline constexpr uint16_t kConCount = 1040;
inline constexpr uint16_t kBadHandshake = 1043;
inline constexpr uint16_t kDbAccessDenied = 1044;
inline constexpr uint16_t kAccessDenied = 1045;
inline constexpr uint16_t kNoDb = 1046;
inline constexpr uint16_t kUnknownCommand = 1047;
inline constexpr uint16_t kBadDb = 1049;
inline constexpr uint16_t kServerShutdown = 1053;
inline constexpr uint16_t kBadField = 1054;
inline constexpr uint16_t kDupEntry = 1062;
inline constexpr uint16_t kParseError = 1064;
inline constexpr uint16_t kUnknown = 1105;
inline constexpr uint16_t kUnknownTable = 1109;
inline constexpr uint16_t kNoSuchTable = 1146;
inline constexpr uint16_t kPacketTooLarge = 1153;
inline constexpr uint16_t kPacketsOutOfOrder = 1156;
inline constexpr uint16_t kUnknownSystemVariable = 1193;
inline constexpr uint16_t kTooManyUserConnections = 1203;
inline constexpr uint16_t kLockWaitTimeout = 1205;
inline constexpr uint16_t kWrongArguments = 1210;
inline constexpr uint16_t kDeadlock = 1213;
inline constexpr uint16_t kNotSupportedYet = 1235;
inline constexpr uint16_t kUnknownStmtHandler = 1243;
inline constexpr uint16_t kNotSupportedAuthMode = 1251;
inline constexpr uint16_t kOptionPreventsStatement = 1290;
inline constexpr uint16_t kQueryInterrupted = 1317;
inline constexpr uint16_t kNoOpenCursor = 1421;
inline constexpr uint16_t kTooManyStatements = 1461;
inline constexpr uint16_t kMalformedPacket = 1835;
inline constexpr uint16_t kReadOnlyMode = 1836;
inline constexpr uint16_t kSecureTransportRequired = 3159;
inline constexpr uint16_t kClientServerGone = 2006;
inline constexpr uint16_t kClientServerLost = 2013;
inline constexpr uint16_t kClientTlsError = 2026;
inline constexpr uint16_t kClientMalformedPacket = 2027;
inline constexpr uint16_t kClientAuthPluginError = 2059;
inline constexpr uint16_t kClientAuthPluginErr = 2061;
inline constexpr uint16_t kTooManyRows = 10001;  // Vitess's own, beyond the servers' numbers.
}  // namespace errnos

// The SQLSTATE of an error number; "HY000" for those without one of their own.
std::string_view sqlstate_of(uint16_t mysql_errno);

// What a client is told. In this order: the errno the error carries; "(errno N) (sqlstate S)" found in its message; a
// "VTnnnnn: " prefix with a number of its own; its code: CANCELED, DEADLINE_EXCEEDED and ABORTED 1317,
// PERMISSION_DENIED and UNAUTHENTICATED 1045, RESOURCE_EXHAUSTED 1203 (1153 for too large packets), UNIMPLEMENTED 1235,
// everything else 1105.
ErrPacket to_err_packet(const Error& error);

// What a server said. Errno, SQLSTATE and text are kept; the code follows from the number (1062 kAlreadyExists, 1146
// kNotFound, 1213 kAborted ...; kUnknown for those not listed).
//   effect()  kNone: a server that answers ERR has rolled the statement back. kUnknown for the errors that end the
//             connection (1053, 1152, 1158..1161, 1927): a commit may have been under way.
//   retry()   kAfterTopologyRefresh and code kClusterEvent when the server turned out to be read-only (a demotion);
//             kOtherTarget when it is full or shutting down.
Error from_err_packet(const ErrPacket& err);

// What may be told where texts may not go out, since a server's hold values of rows ("Duplicate entry 'x' ..."): its
// numbers only. Errors without a number, and those that begin with one of the family's own ("VT12001: "), stay.
Error without_values(Error error);

// Finds the last "(errno N) (sqlstate S)" in a text.
struct EmbeddedErrno {
  uint16_t mysql_errno = 0;
  std::string sqlstate;
};
std::optional<EmbeddedErrno> find_embedded_errno(std::string_view text);

// CamelCase name of a code as gRPC prints it ("FailedPrecondition").
std::string_view rpc_code_name(Code code);

// Errors that a tablet itself raises, on its MySQL data port (between vtgate and vttablet only; never sent to
// applications).
//
//   errno    kTabletErrnoBase + vtrpc code (19000..19018)
//   SQLSTATE "VT" + retry digit + effect digit + reason (the numbers of base::Retry and base::Effect; base::Reason as
//   one
//            digit of base 36)
//   message  "vttablet: rpc error: code = FailedPrecondition desc = <message>", and behind it " (errno N) (sqlstate S)"
//            if the error carries a MySQL number of its own; and behind that the base::Origin, if any, as
//            "\x1e<keyspace>\x1f<shard>\x1f<tablet>\x1f<rule>", which decode_tablet_error() takes away.
//
// Errors of the mysqld behind the tablet pass unchanged, with their own numbers, which are never in that range.
inline constexpr uint16_t kTabletErrnoBase = 19000;
ErrPacket encode_tablet_error(const Error& error);
// nullopt if `err` is not a tablet's own error. The message keeps the "vttablet: rpc error: ..." text: it is what users
// of the field know, and the gate puts "target: ks.shard.type: " before it.
std::optional<Error> decode_tablet_error(const ErrPacket& err);

}  // namespace vitrail::mysql
