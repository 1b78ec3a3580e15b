#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/gtid.h"

// How a client asks a server for its binary log: SQL that prepares the session, then COM_REGISTER_SLAVE (optional: it
// shows the reader in SHOW SLAVE HOSTS, and keeps the server from ending another dump with the same server id), then
// one of the dump commands. The server answers with events, each behind a byte 0x00; 0xff begins an error, 0xfe the
// end.
//
// Session variables of MariaDB (all are read when the dump begins):
//   @master_binlog_checksum       what checksum the reader can take; without it events come without one
//   @master_heartbeat_period      nanoseconds of silence after which the server sends a HEARTBEAT
//   @mariadb_slave_capability=4   the reader knows GTID events; with less they are rewritten into BEGIN queries
//   @slave_connect_state          where to begin, "0-1-5,1-1-7" or '' for everything; switches the dump to GTID mode,
//   in
//                                 which file and offset of COM_BINLOG_DUMP do not count
//   @slave_gtid_strict_mode       whether a position that the log has no event for is an error (1) or allowed (0)
//   @slave_gtid_ignore_duplicates only for several paths to one origin; 0 here
// MySQL reads @master_binlog_checksum, @master_heartbeat_period, or from 8.0.26 on @source_binlog_checksum and
// @source_heartbeat_period, and takes the position from COM_BINLOG_DUMP_GTID.
//
// Sources: MySQL internals manual, "Replication Protocol"; MariaDB knowledge base, "COM_BINLOG_DUMP",
// "COM_REGISTER_SLAVE", "Replication Protocol: GTID".
namespace vitrail::mysql {

enum : uint16_t {
  kDumpNonBlocking = 1,      // End with EOF at the end of the log instead of waiting.
  kDumpThroughPosition = 2,  // COM_BINLOG_DUMP_GTID only.
  kDumpThroughGtid = 4,      // COM_BINLOG_DUMP_GTID only: the GTID set counts.
};

// Payloads, with the command byte, without packet headers.
std::string encode_binlog_dump(const FilePosition& from, uint32_t server_id, uint16_t flags);
// Offsets above 2^32 - 1 exist here only. Begins at the first event that is not in `executed`.
std::string encode_binlog_dump_gtid(const MysqlGtidSet& executed, uint32_t server_id, uint16_t flags);

struct RegisterReplica {
  uint32_t server_id = 0;  // Not 0, and no other reader's or server's.
  std::string host;        // These show in SHOW SLAVE HOSTS; at most 60, 32 and 32 bytes, longer ones are cut.
  std::string user;
  std::string password;
  uint16_t port = 0;
};
std::string encode_register_slave(const RegisterReplica& replica);

struct DumpSession {
  std::chrono::nanoseconds heartbeat{1'000'000'000};
  bool strict = true;  // @slave_gtid_strict_mode: a position the server does not have is an error, not a guess.
};

// The statements for a MariaDB server, in order. With a position of flavor FilePos the dump is by file and offset, and
// the connect state is left out; an empty position starts with the oldest event.
//   kInvalidArgument : a MySQL position.
Result<std::vector<std::string>> mariadb_dump_session(const Position& from, const DumpSession& session);

// The statements for a MySQL server; `source_names` from 8.0.26 on.
std::vector<std::string> mysql_dump_session(const DumpSession& session, bool source_names);

}  // namespace vitrail::mysql
