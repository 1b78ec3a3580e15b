#pragma once

#include <string>

#include "base/result.h"
#include "logutil.pb.h"
#include "query.pb.h"
#include "topodata.pb.h"

namespace vitrail::control {

// One line of GetTablets' awk form, with its line end:
//   alias keyspace shard type host:port mysqlhost:mysqlport [tag: "value" ...] primary-term-start-or-<null>
std::string tablet_line(const ::topodata::Tablet& tablet);

// [tag: "value" ...], in the order of names.
std::string tags_text(const google::protobuf::Map<std::string, std::string>& tags);

// An ASCII table as Vitess's client draws it: names in the middle, NULL as nothing, text of more than 28 columns broken
// between words, a rule below every row. Empty for a result without rows. Blanks in values are not kept: --json keeps
// them.
std::string ascii_table(const ::query::QueryResult& result);

// The JSON form of a result: rows as lists of values, numbers without quotes, fields as ClientContext::plain_json().
Result<std::string> result_json(const ::query::QueryResult& result);

// "I1127 22:20:27.123456 file:12] text", with the time of this machine's zone, and a line end.
std::string event_line(const ::logutil::Event& event);

}  // namespace vitrail::control
