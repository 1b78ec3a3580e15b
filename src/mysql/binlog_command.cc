#include "mysql/binlog_command.h"

#include <fmt/core.h>

#include <algorithm>

#include "mysql/protocol.h"

namespace vitrail::mysql {
namespace {

void put(std::string& out, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; ++i, value >>= 8) out.push_back(static_cast<char>(value));
}

void put_short_text(std::string& out, std::string_view text, size_t size_max) {
  text = text.substr(0, size_max);
  put(out, text.size(), 1);
  out += text;
}

}  // namespace

std::string encode_binlog_dump(const FilePosition& from, uint32_t server_id, uint16_t flags) {
  std::string out;
  put(out, static_cast<uint8_t>(Command::kBinlogDump), 1);
  // The field has 4 bytes. The server refuses a start before 4, where the first event is.
  put(out, std::clamp<uint64_t>(from.offset, 4, UINT32_MAX), 4);
  put(out, flags, 2);
  put(out, server_id, 4);
  out += from.file;
  return out;
}

std::string encode_binlog_dump_gtid(const MysqlGtidSet& executed, uint32_t server_id, uint16_t flags) {
  const std::vector<uint8_t> set = executed.to_binary();
  std::string out;
  put(out, static_cast<uint8_t>(Command::kBinlogDumpGtid), 1);
  put(out, flags | kDumpThroughGtid, 2);
  put(out, server_id, 4);
  put(out, 0, 4);  // No file name: the first.
  put(out, 4, 8);
  put(out, set.size(), 4);
  out.insert(out.end(), set.begin(), set.end());
  return out;
}

std::string encode_register_slave(const RegisterReplica& replica) {
  constexpr size_t kHostMax = 60;
  constexpr size_t kUserMax = 32;
  std::string out;
  put(out, static_cast<uint8_t>(Command::kRegisterReplica), 1);
  put(out, replica.server_id, 4);
  put_short_text(out, replica.host, kHostMax);
  put_short_text(out, replica.user, kUserMax);
  put_short_text(out, replica.password, kUserMax);
  put(out, replica.port, 2);
  put(out, 0, 4);  // Rank, unused.
  put(out, 0, 4);  // Server id of the source, filled in by it.
  return out;
}

Result<std::vector<std::string>> mariadb_dump_session(const Position& from, const DumpSession& session) {
  if (from.mysql() != nullptr) {
    return fail(Code::kInvalidArgument, fmt::format("a MariaDB server cannot continue from the MySQL position {}",
                                                    from.to_string().substr(0, 200)));
  }
  std::vector<std::string> sql = mysql_dump_session(session, false);
  sql.push_back("SET @mariadb_slave_capability=4");
  if (from.file_position() == nullptr) {
    // Digits, dashes and commas only: nothing to quote.
    sql.push_back(fmt::format("SET @slave_connect_state='{}'", from.to_string()));
    sql.push_back(fmt::format("SET @slave_gtid_strict_mode={}", session.strict ? 1 : 0));
    sql.push_back("SET @slave_gtid_ignore_duplicates=0");
  }
  return sql;
}

std::vector<std::string> mysql_dump_session(const DumpSession& session, bool source_names) {
  const std::string_view role = source_names ? "source" : "master";
  return {
      fmt::format("SET @{}_binlog_checksum=@@global.binlog_checksum", role),
      fmt::format("SET @{}_heartbeat_period={}", role, session.heartbeat.count()),
  };
}

}  // namespace vitrail::mysql
