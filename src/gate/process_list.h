#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/mysql_client.h"
#include "schema/schema.h"

namespace vitrail::gate {

// One client of the gate, as a server's process list tells of its own.
struct Process {
  uint32_t id = 0;  // CONNECTION_ID(), what KILL takes.
  std::string user;
  std::string host;  // "address:port", or "localhost".
  std::string database;
  std::string command;              // "Sleep", "Query", "Execute".
  base::Duration time{};            // For how long it has been so.
  std::string state;                // Empty while it sleeps.
  std::optional<std::string> info;  // The statement, UTF-8 whatever was in it; at most kInfoMax bytes.
  uint64_t memory = 0;              // Bytes held for it.
};

inline constexpr size_t kInfoMax = 65'535;  // As servers cut it.

// The text of a statement as UTF-8 without what is none, and no longer than that.
std::string process_info(std::string_view text);

// Whether the servers' INFORMATION_SCHEMA.PROCESSLIST has a column PROGRESS, as MariaDB's has; null: not known.
bool has_progress(const schema::Table* processlist);

// The answer to SHOW [FULL] PROCESSLIST.
net::QueryResult process_table(const std::vector<Process>& processes, bool full, bool progress);

// A query that gives the rows in the place of INFORMATION_SCHEMA.PROCESSLIST, with the names and the types that the
// server's own has. Columns of which a router knows nothing (stages, rows examined) are 0.
std::string process_query(const std::vector<Process>& processes, const schema::Table* processlist);

// Whether the statement may read that table.
bool mentions_processlist(std::string_view text);
// The same of another name, which is in lower case.
bool mentions(std::string_view text, std::string_view name);

}  // namespace vitrail::gate
