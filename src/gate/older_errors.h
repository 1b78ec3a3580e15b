#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "gate/view.h"
#include "shard/target.h"

namespace vitrail::gate {

// Where this vtgate's pages are ("http://host:15001/"): named in the texts below. Before the first session.
void set_own_url(std::string url);
// The caller that they name where everybody may log in with any name (--mysql_auth_server_impl none); empty: the
// client's. Before the first session.
void set_anonymous_caller(std::string name);

// A table that an older command has denied (MigrateServedFrom, SetShardTabletControl) is refused in the words of that
// time:
//   vtgate: http://host:15001/: target: commerce.0.master, used tablet: zone1-100 (host), vttablet: rpc error: code =
//   FailedPrecondition desc = disallowed due to rule: enforce blacklisted tables (CallerID: user)
bool is_older_refusal(const Error& error);
Error older_refusal(const shard::Target& target, const View& view, const std::string& caller, Error error);

// A client names a shard ("use commerce/0") and asks there for a table that has moved to another keyspace and was
// dropped: what the server says (1146), in the words of that time:
//   vtgate: ...: target: commerce.0.master, used tablet: ..., vttablet: rpc error: code = InvalidArgument desc = table
//   customer not found in schema (CallerID: user)
// nullopt: another error, or a table that nobody lists elsewhere.
std::optional<Error> older_missing_table(const shard::Target& target, const View& view, const std::string& caller,
                                         const Error& error);

}  // namespace vitrail::gate
