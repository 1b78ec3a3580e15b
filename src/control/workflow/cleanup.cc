#include "control/workflow/cleanup.h"

#include <fmt/core.h>

#include <set>

#include "mysqld/rows.h"
#include "topo/srv_keyspace.h"
#include "topo/vschema.h"
#include "topo/workflow_fence.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;

}  // namespace

std::string renamed_table(const std::string& table) {
  // Whole characters: the server counts these, too.
  size_t end = 0;
  for (int characters = 0; end < table.size() && characters < 59; ++characters) {
    do ++end;
    while (end < table.size() && (static_cast<unsigned char>(table[end]) & 0xC0) == 0x80);
  }
  return "_" + table.substr(0, end) + "_old";
}

net::Task<Status> execute(TabletClient& tablets, ::workflowdata::Fence fence, ::topodata::Tablet tablet,
                          std::string sql) {
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_db_name(topo::tablet_db_name(tablet));
  request.set_query(std::move(sql));
  topo::set_fence(request, fence);
  auto done = co_await tablets.call<tmd::ExecuteFetchAsDbaResponse>(std::move(tablet), "ExecuteFetchAsDba",
                                                                    std::move(request), cleanup_wait());
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

net::Task<Result<std::vector<std::pair<std::string, bool>>>> list_tables(TabletClient& tablets,
                                                                         ::topodata::Tablet tablet) {
  tmd::GetSchemaRequest request;
  request.set_include_views(true);
  request.set_table_schema_only(true);
  CO_ASSIGN_OR_RETURN(const auto schema, co_await tablets.call<tmd::GetSchemaResponse>(
                                             std::move(tablet), "GetSchema", std::move(request), cleanup_wait()));
  std::vector<std::pair<std::string, bool>> out;
  for (const auto& table : schema.schema_definition().table_definitions()) {
    out.emplace_back(table.name(), table.type() == "VIEW");
  }
  co_return out;
}

net::Task<Status> drop_tables(TabletClient& tablets, ::workflowdata::Fence fence, ::topodata::Tablet tablet,
                              std::vector<std::string> tables, bool rename) {
  CO_ASSIGN_OR_RETURN(const auto list, co_await list_tables(tablets, tablet));
  const std::map<std::string, bool> present(list.begin(), list.end());
  // One statement: tables that refer to each other go together.
  std::string dropped;
  for (const auto& table : tables) {
    const auto found = present.find(table);
    if (found == present.end()) continue;
    const std::string name = mysqld::quote_identifier(table);
    if (rename) {
      CO_RETURN_IF_ERROR(
          co_await execute(tablets, fence, tablet,
                           fmt::format("rename table {} to {}", name, mysqld::quote_identifier(renamed_table(table)))));
    } else if (found->second) {
      CO_RETURN_IF_ERROR(co_await execute(tablets, fence, tablet, "drop view if exists " + name));
    } else {
      dropped += (dropped.empty() ? "" : ", ") + name;
    }
  }
  if (dropped.empty()) co_return Status{};
  co_return co_await execute(tablets, fence, tablet, "drop table if exists " + dropped);
}

namespace {

net::Task<Status> update_shard(TabletClient& tablets, topo::WriteGuard guard, std::string keyspace, std::string shard,
                               topo::UpdateFn<::topodata::Shard> change) {
  auto updated = co_await topo::update_shard_fields(tablets.topology(), std::move(keyspace), std::move(shard),
                                                    std::move(change), {}, std::move(guard));
  co_return updated.ok() ? Status{} : Status(std::move(updated).error());
}

}  // namespace

net::Task<Status> clear_source_shards(TabletClient& tablets, topo::WriteGuard guard, Side side) {
  co_return co_await for_all<Place>(side.places, [&](Place place) {
    return update_shard(tablets, guard, side.keyspace, place.shard, [](::topodata::Shard& record) -> Result<bool> {
      const bool changes = record.source_shards_size() > 0;
      record.clear_source_shards();
      return changes;
    });
  });
}

net::Task<Status> allow_all_tables(TabletClient& tablets, topo::WriteGuard guard, Side side,
                                   std::vector<std::string> tables) {
  if (tables.empty()) co_return Status{};
  CO_RETURN_IF_ERROR(co_await for_all<Place>(side.places, [&](Place place) {
    return update_shard(tablets, guard, side.keyspace, place.shard, [&](::topodata::Shard& record) -> Result<bool> {
      for (const auto type : topo::kServedTypes) {
        RETURN_IF_ERROR(topo::apply_denied_tables(record, {.type = type, .remove = true, .tables = tables}));
      }
      return true;
    });
  }));
  co_return co_await refresh_primaries(tablets, std::move(side), cleanup_wait());
}

net::Task<Status> remove_from_vschema(topo::Server& topology, topo::WriteGuard guard, std::string keyspace,
                                      std::vector<std::string> tables) {
  auto updated = co_await topo::update_vschema_fields(
      topology, std::move(keyspace),
      [&](::vschema::Keyspace& record) -> Result<bool> {
        bool changed = false;
        for (const auto& table : tables) changed = record.mutable_tables()->erase(table) > 0 || changed;
        return changed;
      },
      std::move(guard));
  if (!updated.ok() && updated.error().code() != Code::kNotFound) co_return std::move(updated).error();
  co_return Status{};
}

std::vector<std::string> own_vschema_tables(const engine::Record& record, const ::vschema::Keyspace& now) {
  if (record.additions_known()) return {record.added_to_vschema().begin(), record.added_to_vschema().end()};
  std::vector<std::string> out;
  if (now.sharded()) return out;
  for (const auto& table : record.tables()) {
    const auto found = now.tables().find(table);
    if (found != now.tables().end() && found->second.ByteSizeLong() == 0) out.push_back(table);
  }
  return out;
}

net::Task<Status> remove_move_rules(topo::Server& topology, topo::WriteGuard guard, vschema::TableMove move,
                                    std::vector<::vschema::RoutingRule> displaced) {
  auto updated = co_await topo::update_routing_rules(
      topology,
      [&](::vschema::RoutingRules& rules) -> Result<bool> {
        vschema::delete_move_rules(rules, move);
        for (const auto& rule : displaced) {
          vschema::delete_rule(rules, rule.from_table());
          *rules.add_rules() = rule;
        }
        return true;
      },
      std::move(guard));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

net::Task<Status> remove_shard_rules(topo::Server& topology, topo::WriteGuard guard, engine::Record record) {
  auto updated = co_await topo::update_shard_routing_rules(
      topology,
      [&](::vschema::ShardRoutingRules& rules) -> Result<bool> {
        vschema::delete_shard_rules(rules, record.source_keyspace(), record.target_keyspace());
        return true;
      },
      std::move(guard));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

}  // namespace vitrail::control
