#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/tablet_client.h"
#include "query.pb.h"

// Which tablets of a keyspace rows are read from where its primaries are to be spared.
namespace vitrail::control {

struct ReaderChoice {
  std::vector<std::string> cells;             // Empty: any.
  std::vector<::topodata::TabletType> types;  // Empty: primaries.
  bool in_order = true;                       // Of `types`; else whichever comes first.

  bool only_primaries() const;
};

// The tablets of a shard that are of a wanted type, the best first: by the order of the types, where that counts, then
// by alias.
std::vector<::topodata::Tablet> rank_readers(const ReaderChoice& choice, std::vector<::topodata::Tablet> tablets);

// Why a tablet that says this of its health is not read from; "" when it is.
std::string why_not_read(const ::query::StreamHealthResponse& health);

// A tablet for each of the shards. kNotFound: no such cell; kInvalidArgument: a type that has no rows;
// kFailedPrecondition: a shard has none that is well, and why the ones that were looked at are not.
net::Task<Result<std::map<std::string, ::topodata::Tablet>>> choose_readers(TabletClient& tablets, std::string keyspace,
                                                                            std::vector<std::string> shards,
                                                                            ReaderChoice choice);

}  // namespace vitrail::control
