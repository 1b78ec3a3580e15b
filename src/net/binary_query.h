#pragma once

#include <span>
#include <string>

#include "base/memory_budget.h"
#include "net/mysql_client.h"
#include "net/mysql_pool.h"

namespace vitrail::net {

// As MysqlClient::query(), by a prepared statement: numbers come with all their digits, where the text of a FLOAT has
// six and that of a DOUBLE may have as many as its column says. Cells are texts that give the same numbers again.
Task<Result<QueryResult>> query_binary(PooledConnection& connection, std::string sql, Wait wait, size_t max_rows,
                                       std::span<const mysql::QueryAttribute> attributes,
                                       base::MemoryBudget::Hold* memory = nullptr);

// One row of the binary protocol. kInvalidArgument: it is none of these columns.
Status decode_binary_row(std::string_view payload, std::span<const mysql::ColumnDef> columns,
                         std::vector<std::optional<std::string>>& row);

}  // namespace vitrail::net
