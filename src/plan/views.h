#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/planner.h"
#include "sql/statement.h"

// Views of sharded keyspaces: a statement on one is the statement on the query that it stands for.
namespace vitrail::plan {

// A table that a statement reads and no vschema knows.
struct UnknownTable {
  sql::Span span;  // Of its name with the qualifier, in the text.
  std::string keyspace;
  std::string name;
  bool has_alias = false;
};
std::vector<UnknownTable> unknown_tables(const sql::Statement& statement, const PlanContext& context);

// A view's query as its server tells it names the server's database: the text with the keyspace in its place.
std::string view_query(std::string_view definition, std::string_view database, std::string_view keyspace);

// The text with the queries in the places of views, by the index of `views`; nullopt: a table of that name is none.
std::string with_views(std::string_view text, const std::vector<UnknownTable>& tables,
                       const std::vector<std::optional<std::string>>& queries);

}  // namespace vitrail::plan
