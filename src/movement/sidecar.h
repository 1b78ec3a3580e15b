#pragma once

#include <string>
#include <vector>

// The side tables of this product in every server: database _vt, kept beside the application's data and replicated with
// it.
//
// Names and columns are those of Vitess 24, so that its tools read them. Times are unix seconds unless a column's type
// says otherwise. Positions are in prefixed form ("MariaDB/0-1-5"); protobuf values in text form.
namespace vitrail::movement {

inline constexpr char kSidecarDatabase[] = "_vt";

// Statements name that database everywhere; a keyspace may have another name for it (CreateKeyspace --sidecar-db-name).
// Whoever sends a statement to the server puts it in: ServerSession here, LocalServer in tablet/.
std::string in_sidecar(std::string sql, std::string_view name);

// Statements that make the database and its tables where they are missing; safe to repeat, in order, by an account that
// may create databases (vt_dba), on the writable primary: they are meant to reach the replicas through the binlog.
std::vector<std::string> sidecar_schema();

}  // namespace vitrail::movement
