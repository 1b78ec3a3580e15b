// Views of sharded keyspaces. Their definitions are in the servers: a statement that names a table that no vschema
// knows asks the keyspace's first shard what it stands for.
#include "gate/session.h"
#include "mysql/convert.h"
#include "plan/planner.h"
#include "plan/view_change.h"
#include "plan/views.h"
#include "sql/parser.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr int kMostDepth = 16;        // Of views of views.
constexpr auto kViewAge = 1s;         // After which a view's query is asked for again: as with columns.
constexpr size_t kMostViews = 1'000;  // That are known at a time.

}  // namespace

net::Task<Result<std::optional<std::string>>> ClientSession::view_definition(const std::string& keyspace,
                                                                             const std::string& name) {
  const auto* shards = shared_.view()->find_shards(keyspace, tablet_type_);
  if (shards == nullptr || shards->empty()) co_return std::optional<std::string>();
  const base::TimePoint now = base::system_clock().now();
  const std::pair key(keyspace, name);
  if (const auto known = shared_.view_queries.find(key); known != shared_.view_queries.end()) {
    if (now < known->second.asked + kViewAge) co_return std::optional(known->second.query);
    shared_.view_queries.erase(known);
  }
  std::string text =
      "select view_definition, table_schema from information_schema.views where table_schema = database() and "
      "table_name = ";
  mysql::append_sql_string(text, name);
  CO_ASSIGN_OR_RETURN(const auto found,
                      co_await ask({{keyspace, shards->front().name, tablet_type_}, std::move(text), Phase::kAlone}));
  if (found.rows.empty() || found.text(0, 0).empty()) co_return std::optional<std::string>();
  std::string query = plan::view_query(found.text(0, 0), found.text(0, 1), keyspace);
  if (shared_.view_queries.size() >= kMostViews) shared_.view_queries.clear();
  shared_.view_queries[key] = {query, now};
  co_return std::optional(std::move(query));
}

// Of a view whose rows are to be changed: as it is now.
net::Task<Result<std::optional<plan::ViewDefinition>>> ClientSession::changed_view(const plan::UnknownTable& view) {
  const auto* shards = shared_.view()->find_shards(view.keyspace, tablet_type_);
  if (shards == nullptr || shards->empty()) co_return std::optional<plan::ViewDefinition>();
  std::string text =
      "select view_definition, table_schema, is_updatable, check_option from information_schema.views where "
      "table_schema = database() and table_name = ";
  mysql::append_sql_string(text, view.name);
  CO_ASSIGN_OR_RETURN(
      const auto found,
      co_await ask({{view.keyspace, shards->front().name, tablet_type_}, std::move(text), Phase::kAlone}));
  if (found.rows.empty() || found.text(0, 0).empty()) co_return std::optional<plan::ViewDefinition>();
  co_return std::optional(
      plan::ViewDefinition{.query = plan::view_query(found.text(0, 0), found.text(0, 1), view.keyspace),
                           .updatable = found.text(0, 2) == "YES",
                           .checked = found.text(0, 3) != "NONE"});
}

net::Task<Result<std::optional<std::string>>> ClientSession::expand_views(std::string_view text) {
  std::string expanded(text);
  bool any = false;
  for (int depth = 0; depth < kMostDepth; ++depth) {
    CO_ASSIGN_OR_RETURN(const auto ast, sql::parse(expanded));
    const auto view = shared_.view();
    CO_ASSIGN_OR_RETURN(const auto context, plan_context(*view, Statement()));
    const auto tables = plan::unknown_tables(ast.statement(), context);
    std::vector<std::optional<std::string>> queries;
    bool found = false;
    for (const auto& table : tables) {
      CO_ASSIGN_OR_RETURN(auto query, co_await view_definition(table.keyspace, table.name));
      found = found || query.has_value();
      queries.push_back(std::move(query));
    }
    if (found) {
      any = true;
      expanded = plan::with_views(expanded, tables, queries);
      continue;
    }
    const auto changed = plan::changed_unknown(ast.statement(), context);
    if (!changed) break;
    CO_ASSIGN_OR_RETURN(const auto definition, co_await changed_view(*changed));
    if (!definition) break;
    any = true;
    CO_ASSIGN_OR_RETURN(expanded, plan::change_of_table(expanded, *changed, *definition, view->schema.get()));
  }
  co_return any ? std::optional(std::move(expanded)) : std::nullopt;
}

}  // namespace vitrail::gate
