#include "gate/process_list.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "base/text.h"

namespace vitrail::gate {
namespace {

constexpr size_t kShortInfo = 100;  // Characters of it, without FULL.

// The bytes of the character at `at`; 0: what is there is none.
size_t character_length(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t length = lead < 0x80                    ? 1
                        : lead >= 0xc2 && lead <= 0xdf ? 2
                        : lead >= 0xe0 && lead <= 0xef ? 3
                        : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                       : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return 0;
  }
  if (length < 3) return length;
  const auto second = static_cast<unsigned char>(text[at + 1]);
  const bool wrong = (lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
                     (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f);
  return wrong ? 0 : length;
}

std::string_view first_characters(std::string_view text, size_t count) {
  size_t at = 0;
  for (; at < text.size() && count > 0; --count) at += std::max<size_t>(character_length(text, at), 1);
  return text.substr(0, std::min(at, text.size()));
}

mysql::ColumnDef text_column(std::string name, uint32_t length) {
  mysql::ColumnDef column;
  column.name = std::move(name);
  column.collation = 45;
  column.length = length;
  return column;
}

mysql::ColumnDef number_column(std::string name, mysql::FieldType type, uint32_t length, uint8_t decimals = 0) {
  mysql::ColumnDef column;
  column.name = std::move(name);
  column.collation = 63;
  column.type = type;
  column.length = length;
  column.decimals = decimals;
  return column;
}

// Whatever the connection's character set is.
std::string text_literal(std::string_view text) {
  if (text.empty()) return "''";
  std::string out = "_utf8mb4 x'";
  for (const char c : text) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out + "'";
}

int64_t seconds_of(base::Duration time) {
  return std::chrono::duration_cast<std::chrono::seconds>(std::max(time, base::Duration{})).count();
}

std::string cell(const Process& process, std::string_view column) {
  if (column == "id") return std::to_string(process.id);
  if (column == "user") return text_literal(process.user);
  if (column == "host") return text_literal(process.host);
  if (column == "db") return process.database.empty() ? "null" : text_literal(process.database);
  if (column == "command") return text_literal(process.command);
  if (column == "time") return std::to_string(seconds_of(process.time));
  if (column == "state") return text_literal(process.state);
  if (column == "info" || column == "info_binary") return process.info ? text_literal(*process.info) : "null";
  if (column == "time_ms") {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(std::max(process.time, base::Duration{}));
    return fmt::format("{}.{:03}", us.count() / 1000, us.count() % 1000);
  }
  if (column == "memory_used" || column == "max_memory_used") return std::to_string(process.memory);
  return "0";
}

std::vector<std::string> columns_of(const schema::Table* processlist) {
  if (processlist == nullptr || processlist->columns.empty()) {
    return {"ID", "USER", "HOST", "DB", "COMMAND", "TIME", "STATE", "INFO"};
  }
  std::vector<std::string> out;
  for (const auto& column : processlist->columns) out.push_back(column.name);
  return out;
}

}  // namespace

std::string process_info(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_length(text, at);
    if (out.size() + std::max<size_t>(length, 1) > kInfoMax) break;
    if (length == 0) {
      out += '?';
    } else {
      out += text.substr(at, length);
    }
    at += std::max<size_t>(length, 1);
  }
  return out;
}

bool has_progress(const schema::Table* processlist) {
  return processlist == nullptr || std::ranges::any_of(processlist->columns, [](const schema::Column& column) {
           return base::equals_ignoring_case(column.name, "progress");
         });
}

net::QueryResult process_table(const std::vector<Process>& processes, bool full, bool progress) {
  net::QueryResult result;
  result.columns = {number_column("Id", mysql::FieldType::kLongLong, 10),
                    text_column("User", 128),
                    text_column("Host", 64 * 4),
                    text_column("db", 64 * 4),
                    text_column("Command", 16 * 4),
                    number_column("Time", mysql::FieldType::kLong, 7),
                    text_column("State", 30 * 4),
                    text_column("Info", static_cast<uint32_t>(full ? kInfoMax : kShortInfo * 4))};
  if (progress) result.columns.push_back(number_column("Progress", mysql::FieldType::kDouble, 7, 3));
  for (const Process& process : processes) {
    std::vector<std::optional<std::string>> row = {std::to_string(process.id),
                                                   process.user,
                                                   process.host,
                                                   process.database,
                                                   process.command,
                                                   std::to_string(seconds_of(process.time)),
                                                   process.state,
                                                   process.info};
    if (process.database.empty()) row[3] = std::nullopt;
    if (process.info && !full) row[7] = std::string(first_characters(*process.info, kShortInfo));
    if (progress) row.emplace_back("0.000");
    result.rows.push_back(std::move(row));
  }
  return result;
}

std::string process_query(const std::vector<Process>& processes, const schema::Table* processlist) {
  const auto columns = columns_of(processlist);
  std::string text =
      fmt::format("select {} from information_schema.processlist where 1 = 0", base::join(columns, ", "));
  if (processes.empty()) return text;
  text += " union all values ";
  const std::string_view row = has_progress(processlist) ? "(" : "row(";  // MariaDB's VALUES, and MySQL's.
  for (size_t i = 0; i < processes.size(); ++i) {
    if (i > 0) text += ", ";
    text += row;
    for (size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) text += ", ";
      text += cell(processes[i], base::to_lower(columns[c]));
    }
    text += ')';
  }
  return text;
}

bool mentions(std::string_view text, std::string_view name) {
  return std::search(text.begin(), text.end(), name.begin(), name.end(),
                     [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; }) != text.end();
}

bool mentions_processlist(std::string_view text) { return mentions(text, "processlist"); }

}  // namespace vitrail::gate
