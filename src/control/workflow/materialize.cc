#include "control/workflow/materialize.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "control/workflow/create.h"
#include "control/workflow/source_checks.h"
#include "control/workflow/write_switch.h"
#include "movement/filter.h"
#include "sql/printer.h"
#include "topo/keyspace.h"
#include "topo/tablet.h"
#include "topo/vschema.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using ::vtctldata::MaterializeSettings;
using ::vtctldata::TableMaterializeSettings;

constexpr std::string_view kCopy = "copy";

// The column of the source that becomes `name` in the target; empty: none does.
std::string source_of(const movement::RowQuery& query, const std::string& name) {
  if (query.items.empty()) return name;
  for (const auto& item : query.items) {
    if (base::equals_ignoring_case(item.alias, name)) return item.column;
  }
  return "";
}

bool has_column(const movement::RowQuery& query, const std::string& column) {
  return query.items.empty() || std::ranges::any_of(query.items, [&](const auto& item) {
           return base::equals_ignoring_case(item.column, column);
         });
}

Result<movement::RowQuery> read_expression(const TableMaterializeSettings& settings) {
  std::string table;
  if (!base::to_lower(settings.source_expression().substr(0, 6)).starts_with("select")) {
    return fail(Code::kInvalidArgument,
                fmt::format("table {}: the source expression is a select", settings.target_table()));
  }
  auto query = movement::parse_row_query(settings.source_expression(), table);
  if (!query.ok()) {
    return std::move(query).error().with_context(
        fmt::format("table {}: Materialize takes columns of one table, with conditions; it adds nothing up",
                    settings.target_table()));
  }
  if (table == settings.target_table()) return query;
  return fail(Code::kUnimplemented,
              fmt::format("table {} follows table {}: tables of the same name only", settings.target_table(), table));
}

// What tells the shard of a row of the target, as columns of the source; and how the range is asked for.
Result<std::string> key_range_term(const movement::RowQuery& query, const ::vschema::Keyspace& vschema,
                                   const std::string& keyspace, const std::string& table,
                                   const shard::ShardName& shard) {
  if (!vschema.sharded()) return std::string();
  const auto found = vschema.tables().find(table);
  if (found != vschema.tables().end() && found->second.type() == "reference") return std::string();
  if (found == vschema.tables().end() || found->second.column_vindexes().empty()) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("table {} has no primary vindex in the vschema of the sharded keyspace {}", table, keyspace));
  }
  const auto& vindex = found->second.column_vindexes(0);
  std::vector<std::string> columns(vindex.columns().begin(), vindex.columns().end());
  if (!vindex.column().empty()) columns = {vindex.column()};
  std::string out = "in_keyrange(";
  for (const auto& column : columns) {
    const std::string from = source_of(query, column);
    if (from.empty()) {
      return fail(Code::kInvalidArgument,
                  fmt::format("table {}: column {} decides the shard of a row, and is not selected", table, column));
    }
    out += sql::quote_identifier_if_needed(from) + ", ";
  }
  return out + fmt::format("'{}.{}', '{}')", keyspace, vindex.name(), shard.key_range() ? shard.str() : "-");
}

// The settings of tables that are given by their names alone.
net::Task<Status> add_reference_tables(topo::Server& topology, MaterializeSettings& settings) {
  if (settings.reference_tables().empty()) co_return Status{};
  auto stored = co_await topo::get_vschema(topology, settings.target_keyspace());
  if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return std::move(stored).error();
  for (const auto& table : settings.reference_tables()) {
    const auto* listed = stored.ok() ? &stored->record.tables() : nullptr;
    if (stored.ok() && stored->record.sharded() &&
        (!listed->contains(table) || listed->at(table).type() != "reference")) {
      co_return fail(Code::kFailedPrecondition,
                     fmt::format("table {} is not of the type reference in the vschema of the sharded keyspace {}",
                                 table, settings.target_keyspace()));
    }
    auto* one = settings.add_table_settings();
    one->set_target_table(table);
    one->set_source_expression("select * from " + sql::quote_identifier_if_needed(table));
    one->set_create_ddl(std::string(kCopy));
  }
  co_return Status{};
}

Status check_options(const MaterializeSettings& settings) {
  if (settings.table_settings().empty()) {
    return fail(Code::kInvalidArgument, "no tables: give --table-settings or --reference-tables");
  }
  const std::pair<bool, const char*> unbuilt[] = {
      {settings.atomic_copy(), "--atomic-copy"},
      {!settings.source_time_zone().empty() || !settings.target_time_zone().empty(), "conversion of time zones"},
      {!settings.external_cluster().empty(), "a source in another cluster"},
      {!settings.workflow_options().config().empty(), "--config-overrides"},
      {!settings.workflow_options().tenant_id().empty(), "--tenant-id"},
  };
  for (const auto& [given, what] : unbuilt) {
    if (given) return fail(Code::kUnimplemented, fmt::format("{} is not built: leave it out", what));
  }
  std::set<std::string> names;
  for (const auto& one : settings.table_settings()) {
    if (one.target_table().empty()) return fail(Code::kInvalidArgument, "each table needs a target_table");
    if (!names.insert(one.target_table()).second) {
      return fail(Code::kInvalidArgument, fmt::format("table {} is named twice", one.target_table()));
    }
    if (one.create_ddl().starts_with(kCopy) && one.create_ddl() != kCopy) {
      return fail(Code::kUnimplemented, fmt::format("table {}: create_ddl is \"copy\", a CREATE TABLE, or empty where "
                                                    "the table is there: not \"{}\"",
                                                    one.target_table(), one.create_ddl()));
    }
    RETURN_IF_ERROR(read_expression(one));
  }
  return {};
}

Result<StreamSettings> stream_settings(const MaterializeSettings& settings) {
  StreamSettings out;
  for (const auto& cell : base::split_list(settings.cell())) out.cells.emplace_back(cell);
  for (const auto& word : base::split_list(settings.tablet_types())) {
    if (word.empty()) continue;
    ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(std::string(word)));
    out.tablet_types.push_back(type);
  }
  out.preference = settings.tablet_selection_preference();
  out.on_ddl = settings.on_ddl();
  out.stop_after_copy = settings.stop_after_copy();
  out.defer_secondary_keys = settings.defer_secondary_keys();
  return out;
}

net::Task<Result<std::vector<std::string>>> choose_sources(topo::Server& topology,
                                                           const MaterializeSettings& settings) {
  CO_ASSIGN_OR_RETURN(const auto serving, co_await topo::find_serving_shards(topology, settings.source_keyspace()));
  std::vector<std::string> names;
  for (const auto& info : serving) names.push_back(info.name);
  for (const auto& wanted : settings.source_shards()) {
    if (std::ranges::find(names, wanted) != names.end()) continue;
    co_return fail(Code::kInvalidArgument, fmt::format("source shard {} is not in serving state", wanted));
  }
  if (!settings.source_shards().empty()) names.assign(settings.source_shards().begin(), settings.source_shards().end());
  co_return names;
}

}  // namespace

Result<std::string> materialize_filter(const TableMaterializeSettings& settings, const tmd::TableDefinition& source,
                                       const ::vschema::Keyspace& target_vschema, const std::string& target_keyspace,
                                       const shard::ShardName& shard) {
  ASSIGN_OR_RETURN(const auto query, read_expression(settings));
  for (const auto& item : query.items) {
    const bool known = std::ranges::any_of(
        source.columns(), [&](const std::string& column) { return base::equals_ignoring_case(column, item.column); });
    if (!known) {
      return fail(Code::kInvalidArgument,
                  fmt::format("table {} has no column {}", settings.target_table(), item.column));
    }
  }
  for (const auto& column : source.primary_key_columns()) {
    if (has_column(query, column)) continue;
    return fail(Code::kInvalidArgument,
                fmt::format("table {}: column {} of its primary key is not selected", settings.target_table(), column));
  }
  ASSIGN_OR_RETURN(const auto term,
                   key_range_term(query, target_vschema, target_keyspace, settings.target_table(), shard));
  if (term.empty()) return settings.source_expression();
  const bool has_where = !query.ranges.empty() || !query.comparisons.empty();
  return settings.source_expression() + (has_where ? " and " : " where ") + term;
}

net::Task<Status> create_materialize(TabletClient& tablets, MaterializeSettings settings) {
  topo::Server& topology = tablets.topology();
  CO_RETURN_IF_ERROR(check_workflow_name(settings.workflow()));
  for (const auto& keyspace : {settings.source_keyspace(), settings.target_keyspace()}) {
    auto exists = co_await topo::get_keyspace(topology, keyspace);
    if (!exists.ok()) co_return std::move(exists).error();
  }
  if (settings.source_keyspace() == settings.target_keyspace()) {
    co_return fail(Code::kUnimplemented, "Materialize copies into another keyspace: a table cannot follow itself");
  }
  CO_RETURN_IF_ERROR(co_await add_reference_tables(topology, settings));
  CO_RETURN_IF_ERROR(check_options(settings));
  CO_RETURN_IF_ERROR(check_on_ddl(settings.on_ddl()));
  CreatePlan plan;
  CO_ASSIGN_OR_RETURN(plan.settings, stream_settings(settings));
  CO_RETURN_IF_ERROR(co_await check_sources(topology, plan.settings.cells,
                                            {plan.settings.tablet_types.begin(), plan.settings.tablet_types.end()}));
  CO_ASSIGN_OR_RETURN(const auto sources, co_await choose_sources(topology, settings));
  CO_ASSIGN_OR_RETURN(const auto targets, co_await topo::find_serving_shards(topology, settings.target_keyspace()));
  engine::Record record;
  record.set_kind(kMaterialize);
  record.set_workflow(settings.workflow());
  record.set_source_keyspace(settings.source_keyspace());
  record.set_target_keyspace(settings.target_keyspace());
  for (const auto& name : sources) record.add_source_shards(name);
  for (const auto& info : targets) record.add_target_shards(info.name);
  std::vector<std::string> names;
  for (const auto& one : settings.table_settings()) names.push_back(one.target_table());
  for (const auto& name : names) record.add_tables(name);
  std::ranges::sort(*record.mutable_tables());
  CO_RETURN_IF_ERROR(co_await check_free(tablets, record));

  CO_ASSIGN_OR_RETURN(const auto source_side, co_await load_side(tablets, settings.source_keyspace(), sources));
  CO_ASSIGN_OR_RETURN(const auto target_side,
                      co_await load_side(tablets, settings.target_keyspace(),
                                         {record.target_shards().begin(), record.target_shards().end()}));
  CO_RETURN_IF_ERROR(check_primaries(source_side));
  CO_RETURN_IF_ERROR(check_primaries(target_side));
  CO_ASSIGN_OR_RETURN(const auto schema, co_await read_schema(tablets, *source_side.places.front().primary, names, {}));
  std::map<std::string, tmd::TableDefinition> known;
  for (const auto& table : schema.table_definitions()) known[table.name()] = table;
  auto vschema = co_await topo::get_vschema(topology, settings.target_keyspace());
  if (!vschema.ok() && vschema.error().code() != Code::kNotFound) co_return std::move(vschema).error();
  const ::vschema::Keyspace target_vschema = vschema.ok() ? std::move(vschema->record) : ::vschema::Keyspace();
  std::vector<tmd::TableDefinition> followed;
  for (const auto& one : settings.table_settings()) {
    const auto found = known.find(one.target_table());
    if (found == known.end()) {
      co_return fail(Code::kInvalidArgument, fmt::format("table(s) not found in source keyspace {}: {}",
                                                         settings.source_keyspace(), one.target_table()));
    }
    followed.push_back(found->second);
    if (one.create_ddl().empty()) continue;
    plan.tables.push_back(found->second);
    if (one.create_ddl() != kCopy) plan.tables.back().set_schema(one.create_ddl());
  }
  for (const auto& place : target_side.places) {
    CO_ASSIGN_OR_RETURN(const auto name, shard::ShardName::parse(place.shard));
    for (const auto& from : sources) {
      ::binlogdata::BinlogSource bls;
      bls.set_keyspace(settings.source_keyspace());
      bls.set_shard(from);
      for (int i = 0; i < settings.table_settings_size(); ++i) {
        auto* rule = bls.mutable_filter()->add_rules();
        rule->set_match(settings.table_settings(i).target_table());
        CO_ASSIGN_OR_RETURN(const auto filter,
                            materialize_filter(settings.table_settings(i), followed[static_cast<size_t>(i)],
                                               target_vschema, settings.target_keyspace(), name));
        rule->set_filter(filter);
      }
      plan.sources[place.shard].push_back(std::move(bls));
    }
  }
  CO_RETURN_IF_ERROR(co_await check_tables_empty(tablets, target_side, followed, false));
  CO_RETURN_IF_ERROR(co_await check_source_tables(tablets, source_side, followed, {}));
  co_return co_await start_creation(tablets, std::move(record), std::move(plan), "Materialize create");
}

}  // namespace vitrail::control
