#include "control/workflow/tenant.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "control/workflow/cleanup.h"
#include "mysql/convert.h"
#include "mysqld/rows.h"
#include "sql/printer.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"
#include "topo/workflow_fence.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;

constexpr const char* kColumnOption = "tenant_column";
constexpr const char* kLiteralOption = "tenant_literal";

std::string option(const engine::Record& record, const char* name) {
  const auto found = record.options().find(name);
  return found == record.options().end() ? std::string() : found->second;
}

std::vector<std::string> names_of(const std::string& source, const std::vector<::topodata::TabletType>& types) {
  std::vector<std::string> out;
  for (const auto type : types) {
    if (type == ::topodata::PRIMARY) out.push_back(source);
    if (type == ::topodata::REPLICA) out.push_back(source + "@replica");
    if (type == ::topodata::RDONLY) out.push_back(source + "@rdonly");
  }
  return out;
}

const std::string* find_rule(const ::vschema::KeyspaceRoutingRules& rules, const std::string& from) {
  for (const auto& rule : rules.rules()) {
    if (rule.from_keyspace() == from) return &rule.to_keyspace();
  }
  return nullptr;
}

std::string in_list(const std::vector<std::string>& tables) {
  std::string list;
  for (const auto& table : tables) {
    if (!list.empty()) list += ", ";
    mysql::append_sql_string(list, table);
  }
  return list;
}

struct Answer {
  std::vector<std::string> first;  // The first column of each row.
  uint64_t affected = 0;
};

net::Task<Result<Answer>> ask(TabletClient& tablets, ::topodata::Tablet tablet, std::string sql,
                              ::workflowdata::Fence fence = {}) {
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_db_name(topo::tablet_db_name(tablet));
  request.set_query(std::move(sql));
  request.set_max_rows(10'000);
  if (!fence.workflow_id().empty()) topo::set_fence(request, fence);
  CO_ASSIGN_OR_RETURN(const auto done, co_await tablets.call<tmd::ExecuteFetchAsDbaResponse>(
                                           std::move(tablet), "ExecuteFetchAsDba", std::move(request), cleanup_wait()));
  Answer out;
  out.affected = done.result().rows_affected();
  for (const auto& row : done.result().rows()) {
    const int64_t size = row.lengths_size() > 0 ? row.lengths(0) : -1;
    out.first.push_back(size < 0 ? "" : row.values().substr(0, static_cast<size_t>(size)));
  }
  co_return out;
}

net::Task<Status> check_keys(TabletClient& tablets, ::topodata::Tablet tablet, std::vector<std::string> tables,
                             std::string column) {
  std::string name;
  mysql::append_sql_string(name, column);
  CO_ASSIGN_OR_RETURN(
      const auto without,
      co_await ask(tablets, tablet,
                   fmt::format("select table_name from information_schema.tables where table_schema = database() and "
                               "table_type = 'BASE TABLE' and table_name in ({0}) and table_name not in (select "
                               "table_name from information_schema.columns where table_schema = database() and "
                               "column_name = {1}) order by 1 limit 1",
                               in_list(tables), name)));
  if (!without.first.empty()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("table {} has no column {}, which says whose a row is", without.first.front(), column));
  }
  CO_ASSIGN_OR_RETURN(
      const auto shared,
      co_await ask(tablets, tablet,
                   fmt::format("select concat(index_name, ' of table ', table_name) from "
                               "information_schema.statistics where table_schema = database() and non_unique = 0 and "
                               "table_name in ({}) group by table_name, index_name having sum(column_name = {}) = 0 "
                               "order by 1 limit 1",
                               in_list(tables), name)));
  if (shared.first.empty()) co_return Status{};
  co_return fail(Code::kFailedPrecondition,
                 fmt::format("unique key {} has no column {}: rows of two tenants could have the same key",
                             shared.first.front(), column));
}

}  // namespace

std::string Tenant::condition() const { return fmt::format("{} = {}", mysqld::quote_identifier(column), literal); }

bool is_tenant(const engine::Record& record) { return !option(record, kTenantOption).empty(); }

Tenant tenant_of(const engine::Record& record) {
  return {option(record, kTenantOption), option(record, kColumnOption), option(record, kLiteralOption)};
}

void set_tenant(engine::Record& record, const Tenant& tenant) {
  (*record.mutable_options())[kTenantOption] = tenant.id;
  (*record.mutable_options())[kColumnOption] = tenant.column;
  (*record.mutable_options())[kLiteralOption] = tenant.literal;
}

Result<Tenant> read_tenant(const std::string& id, const std::string& keyspace, const ::vschema::Keyspace& vschema) {
  const auto& spec = vschema.multi_tenant_spec();
  if (spec.tenant_id_column_name().empty()) {
    return fail(Code::kFailedPrecondition,
                fmt::format("--tenant-id: the vschema of keyspace {} has no multi_tenant_spec, which names the column "
                            "that says whose a row is",
                            keyspace));
  }
  Tenant tenant{id, spec.tenant_id_column_name(), id};
  const auto type = static_cast<int>(spec.tenant_id_column_type());
  if ((type & ::query::ISINTEGRAL) != 0) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
    if (error == std::errc() && end == id.data() + id.size()) {
      tenant.literal = std::to_string(number);
      return tenant;
    }
    return fail(Code::kInvalidArgument, fmt::format("--tenant-id {}: column {} has whole numbers", id, tenant.column));
  }
  if (type != ::query::VARCHAR && type != ::query::CHAR && type != ::query::VARBINARY && type != ::query::TEXT) {
    return fail(Code::kFailedPrecondition,
                fmt::format("the multi_tenant_spec of keyspace {} has a tenant_id_column_type that is neither a whole "
                            "number nor VARCHAR, CHAR, TEXT or VARBINARY",
                            keyspace));
  }
  tenant.literal.clear();
  mysql::append_sql_string(tenant.literal, id);
  return tenant;
}

std::string with_tenant(const std::string& filter, const Tenant& tenant) {
  const bool has_where = filter.ends_with(')');  // Of in_keyrange(): no name ends so.
  return fmt::format("{} {} {} = {}", filter, has_where ? "and" : "where",
                     sql::quote_identifier_if_needed(tenant.column), tenant.literal);
}

bool are_neighbours(const engine::Record& a, const engine::Record& b) {
  return a.id() != b.id() && is_tenant(a) && is_tenant(b) && a.target_keyspace() == b.target_keyspace() &&
         a.source_keyspace() != b.source_keyspace() && a.source_keyspace() != b.target_keyspace() &&
         b.source_keyspace() != a.target_keyspace() && option(a, kTenantOption) != option(b, kTenantOption);
}

namespace {

net::Task<Status> check_source_rows(TabletClient& tablets, const std::string& keyspace, Place place,
                                    const std::vector<std::string>& tables, const Tenant& tenant) {
  CO_RETURN_IF_ERROR(co_await check_keys(tablets, *place.primary, tables, tenant.column));
  for (const auto& table : tables) {
    // Byte for byte, as the stream compares: no collation takes one tenant for another.
    CO_ASSIGN_OR_RETURN(const auto others,
                        co_await ask(tablets, *place.primary,
                                     fmt::format("select 1 from {} where not (cast({} as binary) <=> cast({} as "
                                                 "binary)) limit 1",
                                                 mysqld::quote_identifier(table),
                                                 mysqld::quote_identifier(tenant.column), tenant.literal)));
    if (others.first.empty()) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("table {} of {}/{} has rows of others than tenant {}: they would be left behind in a "
                               "keyspace that nobody is led to any more",
                               table, keyspace, place.shard, tenant.id));
  }
  co_return Status{};
}

net::Task<Status> check_target_rows(TabletClient& tablets, ::topodata::Tablet primary,
                                    const std::vector<std::string>& tables, const Tenant& tenant) {
  CO_ASSIGN_OR_RETURN(const auto present, co_await list_tables(tablets, primary));
  CO_RETURN_IF_ERROR(co_await check_keys(tablets, primary, tables, tenant.column));
  for (const auto& [name, is_view] : present) {
    if (is_view || std::ranges::find(tables, name) == tables.end()) continue;
    CO_ASSIGN_OR_RETURN(const auto rows, co_await ask(tablets, primary,
                                                      fmt::format("select 1 from {} where {} limit 1",
                                                                  mysqld::quote_identifier(name), tenant.condition())));
    if (rows.first.empty()) continue;
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("target keyspace/tables already have data: table {} on {} has rows of tenant {}", name,
                               topo::alias_to_string(primary.alias()), tenant.id));
  }
  co_return Status{};
}

}  // namespace

net::Task<Status> check_tenant_sources(TabletClient& tablets, Side sources, std::vector<std::string> tables,
                                       Tenant tenant) {
  co_return co_await for_all<Place>(sources.places, [&](Place place) {
    return check_source_rows(tablets, sources.keyspace, std::move(place), tables, tenant);
  });
}

net::Task<Status> check_tenant_targets(TabletClient& tablets, Side targets, std::vector<std::string> tables,
                                       Tenant tenant) {
  co_return co_await for_all<::topodata::Tablet>(targets.primaries(), [&](::topodata::Tablet primary) {
    return check_target_rows(tablets, std::move(primary), tables, tenant);
  });
}

net::Task<Status> delete_tenant_rows(TabletClient& tablets, ::workflowdata::Fence fence, ::topodata::Tablet tablet,
                                     std::vector<std::string> tables, Tenant tenant, int64_t batch) {
  CO_ASSIGN_OR_RETURN(const auto present, co_await list_tables(tablets, tablet));
  for (const auto& [name, is_view] : present) {
    if (is_view || std::ranges::find(tables, name) == tables.end()) continue;
    for (uint64_t deleted = static_cast<uint64_t>(batch); deleted >= static_cast<uint64_t>(batch);) {
      CO_ASSIGN_OR_RETURN(const auto done,
                          co_await ask(tablets, tablet,
                                       fmt::format("delete from {} where {} limit {}", mysqld::quote_identifier(name),
                                                   tenant.condition(), batch),
                                       fence));
      deleted = done.affected;
    }
  }
  co_return Status{};
}

// --- rules ----------------------------------------------------------------------------------------------------------

void route_tenant(::vschema::KeyspaceRoutingRules& rules, const std::string& source, const std::string& to,
                  const std::vector<::topodata::TabletType>& types) {
  for (const auto& name : names_of(source, types)) {
    bool found = false;
    for (auto& rule : *rules.mutable_rules()) {
      if (rule.from_keyspace() != name) continue;
      rule.set_to_keyspace(to);
      found = true;
    }
    if (found) continue;
    auto* rule = rules.add_rules();
    rule->set_from_keyspace(name);
    rule->set_to_keyspace(to);
  }
}

void delete_tenant_rules(::vschema::KeyspaceRoutingRules& rules, const std::string& source) {
  const auto names = names_of(source, {::topodata::PRIMARY, ::topodata::REPLICA, ::topodata::RDONLY});
  auto& list = *rules.mutable_rules();
  for (int i = list.size() - 1; i >= 0; --i) {
    if (std::ranges::find(names, list[i].from_keyspace()) != names.end()) list.DeleteSubrange(i, 1);
  }
}

Status check_tenant_rules(const ::vschema::KeyspaceRoutingRules& rules, const std::string& source) {
  for (const auto& rule : rules.rules()) {
    const std::string& from = rule.from_keyspace();
    if (from.substr(0, from.find('@')) != source || rule.to_keyspace() == source) continue;
    return fail(Code::kFailedPrecondition,
                fmt::format("a keyspace routing rule leads {} to {}: delete it first (ApplyKeyspaceRoutingRules)", from,
                            rule.to_keyspace()));
  }
  return {};
}

vschema::TrafficState tenant_state(const std::string& source, const std::string& target,
                                   const std::map<std::string, ::vschema::KeyspaceRoutingRules>& cells,
                                   const ::vschema::KeyspaceRoutingRules& rules) {
  vschema::TrafficState state;
  const auto leads_away = [&](const ::vschema::KeyspaceRoutingRules& in, const std::string& from) {
    const auto* typed = find_rule(in, from);
    if (typed == nullptr) typed = find_rule(in, source);
    return typed != nullptr && *typed == target;
  };
  for (const auto& [cell, in] : cells) {
    (leads_away(in, source + "@replica") ? state.replica_cells_switched : state.replica_cells_not_switched)
        .push_back(cell);
    (leads_away(in, source + "@rdonly") ? state.rdonly_cells_switched : state.rdonly_cells_not_switched)
        .push_back(cell);
  }
  state.writes_switched = leads_away(rules, source);
  return state;
}

net::Task<Status> set_tenant_rules(topo::Server& topology, topo::WriteGuard guard, std::string source, std::string to,
                                   std::vector<::topodata::TabletType> types, std::vector<std::string> cells) {
  auto updated = co_await topo::update_keyspace_routing_rules(
      topology,
      [&](::vschema::KeyspaceRoutingRules& rules) -> Result<bool> {
        route_tenant(rules, source, to, types);
        return true;
      },
      std::move(guard));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await topo::rebuild_srv_vschema(topology, std::move(cells));
}

net::Task<Status> remove_tenant_rules(topo::Server& topology, topo::WriteGuard guard, std::string source) {
  auto updated = co_await topo::update_keyspace_routing_rules(
      topology,
      [&](::vschema::KeyspaceRoutingRules& rules) -> Result<bool> {
        delete_tenant_rules(rules, source);
        return true;
      },
      std::move(guard));
  if (!updated.ok()) co_return std::move(updated).error();
  co_return co_await topo::rebuild_srv_vschema(topology);
}

}  // namespace vitrail::control
