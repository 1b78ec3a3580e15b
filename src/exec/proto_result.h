#pragma once

#include "mysql/types.h"
#include "net/mysql_client.h"
#include "query.pb.h"

// Results in the form in which gRPC carries them.
namespace vitrail::exec {

::query::Type query_type(const mysql::ColumnDef& column);
void add_fields(::query::QueryResult& out, const std::vector<mysql::ColumnDef>& columns);
// A cell of `row`, behind those it has.
void add_cell(::query::Row& row, mysql::Cell cell);
::query::QueryResult to_proto(const net::QueryResult& result);
// What the caller asked to know of the columns.
void strip_fields(::query::QueryResult& result, ::query::ExecuteOptions::IncludedFields wanted);

}  // namespace vitrail::exec
