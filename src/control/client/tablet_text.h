#pragma once

#include <string>

#include "query.pb.h"
#include "topodata.pb.h"

namespace vitrail::control {

// One line of GetTablets' awk form, with its line end:
//   alias keyspace shard type host:port mysqlhost:mysqlport [tag: "value" ...] primary-term-start-or-<null>
std::string tablet_line(const ::topodata::Tablet& tablet);

// An ASCII table, as MySQL's client draws it; empty for a statement without a result set.
std::string ascii_table(const ::query::QueryResult& result);

}  // namespace vitrail::control
