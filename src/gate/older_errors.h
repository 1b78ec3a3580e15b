#pragma once

#include <string>

#include "base/result.h"
#include "gate/view.h"
#include "shard/target.h"

namespace vitrail::gate {

// Where this vtgate's pages are ("http://host:15001/"): named in the texts below. Before the first session.
void set_own_url(std::string url);

// A table that an older command has denied (MigrateServedFrom, SetShardTabletControl) is refused in the words of that
// time:
//   vtgate: http://host:15001/: target: commerce.0.master, used tablet: zone1-100 (host), vttablet: rpc error: code =
//   FailedPrecondition desc = disallowed due to rule: enforce blacklisted tables (CallerID: user)
bool is_older_refusal(const Error& error);
Error older_refusal(const shard::Target& target, const View& view, const std::string& caller, Error error);

}  // namespace vitrail::gate
