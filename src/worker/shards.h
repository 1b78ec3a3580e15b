#pragma once

#include <map>
#include <string>
#include <vector>

#include "topo/shard.h"
#include "worker/job.h"

// Which shards a split is about.
namespace vitrail::worker {

struct SplitShards {
  std::vector<topo::ShardInfo> sources;       // They serve.
  std::vector<topo::ShardInfo> destinations;  // They will take their place. Both in the order of their ranges.
};

// The shards that overlap `shard`, and those that overlap them, and so on: those that serve their primary traffic are
// the sources. `all`: of the keyspace, by name.
//   kNotFound: no such shard. kFailedPrecondition "the specified shard customer/0 is not in any overlapping shard"; the
//   two sides do not cover the same range.
Result<SplitShards> find_split(const std::map<std::string, topo::ShardInfo>& all, const std::string& keyspace,
                               const std::string& shard);

// What serves there, by the SrvKeyspace records.
//   kFailedPrecondition: "source shard customer/0 is not serving type MASTER", "destination shard customer/-80 is
//   serving some types", "destination shard ... has filtered replication already enabled ...".
net::Task<Status> check_split(JobContext& context, const SplitShards& shards);

// A destination's refusal when it has filtered replication.
Status check_no_source_shards(const topo::ShardInfo& shard);

}  // namespace vitrail::worker
