#pragma once

#include <vector>

#include "net/mysql_client.h"
#include "plan/plan.h"

namespace vitrail::gate {

// One answer to SHOW TABLE STATUS, SHOW INDEX or CHECKSUM TABLE of those of several shards, each of which tells of its
// own rows: rows and sizes are added up. `results`: at least one.
//
// Cardinalities are estimates of the servers, and stay some: an index with the columns that place a row has its values
// apart on each shard, a unique one too, so theirs are added up. Of another index the same values may be everywhere:
// the more often a value is met on one shard, the more of them are taken for the same on all.
net::QueryResult unite_shown(const plan::ShownParts& parts, std::vector<net::QueryResult> results);

}  // namespace vitrail::gate
