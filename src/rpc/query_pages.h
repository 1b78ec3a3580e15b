#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/query_log.h"
#include "rpc/http.h"

namespace vitrail::rpc {

// One statement by its text, with ":vtg1" in the place of literals.
struct QueryUse {
  std::string query;
  std::string where;  // Table or target.
  std::string plan;
  uint64_t count = 0;
};

// A number of the request, from 1 to `most`. kInvalidArgument.
Result<uint64_t> number_of(const HttpRequest& request, const std::string& name, uint64_t otherwise, uint64_t most);

// Before start():
//   /queryz         the statements of `uses`, the most frequent first, as an HTML table; ?limit= (default 500)
//   /querylogz      statements that run from now on, for ?timeout= seconds (10; at most 60) or until ?limit= (300; at
//                   most 10,000) are there, as an HTML table
//   /debug/querylog the same as text, sent as they run, without an end
// Both hold users' data. `log` must outlive the server.
void add_query_pages(HttpServer& http, base::QueryLog& log, std::function<std::vector<QueryUse>()> uses);

}  // namespace vitrail::rpc
