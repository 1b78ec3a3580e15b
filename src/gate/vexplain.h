#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/plan.h"
#include "sql/statement.h"

namespace vitrail::gate {

// "relay": one shard answers alone. "merge": answers of several are put together. "finish": see plan/finish.h. What is
// no query has none: "".
std::string_view way_of(const plan::Plan& plan);

// The plan of `text`, as VEXPLAIN PLAN shows it.
std::string plan_json(const plan::Plan& plan, std::string_view text);

// What a statement has sent to one shard.
struct TracedText {
  size_t call = 0;  // Several shards may be asked by one.
  std::string keyspace;
  std::string text;
  uint64_t rows = 0;
};
// For each text how often it was sent and how many rows came, as VEXPLAIN TRACE shows it: JSON objects, without the
// brackets.
std::string trace_json(const std::vector<TracedText>& sent);

// Which columns a statement filters, joins, groups and selects by, as VEXPLAIN KEYS shows it: for the choice of a
// vindex.
//   kUnimplemented  another statement than SELECT, INSERT, UPDATE, DELETE.
Result<std::string> keys_json(const sql::Statement& statement);

}  // namespace vitrail::gate
