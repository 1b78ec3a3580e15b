#include "control/workflow/materialize.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "control/workflow/add_tables.h"
#include "control/workflow/conflicts.h"
#include "control/workflow/create.h"
#include "control/workflow/records.h"
#include "control/workflow/source_checks.h"
#include "control/workflow/write_switch.h"
#include "movement/filter.h"
#include "movement/stream_options.h"
#include "movement/stream_plan.h"
#include "mysqld/rows.h"
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
constexpr uint32_t kNotNullFlag = 1;

// The column of the source that becomes `name` in the target; empty: none does.
std::string source_of(const movement::RowQuery& query, const std::string& name) {
  if (query.items.empty()) return name;
  for (const auto& item : query.items) {
    if (item.kind == movement::RowQuery::ItemKind::kColumn && base::equals_ignoring_case(item.alias, name)) {
      return item.column;
    }
  }
  return "";
}

bool has_column(const movement::RowQuery& query, const std::string& column) {
  return query.items.empty() || std::ranges::any_of(query.items, [&](const auto& item) {
           return base::equals_ignoring_case(item.column, column);
         });
}

struct Expression {
  movement::RowQuery query;
  std::string source;  // The table that it selects from.
};

Result<Expression> read_expression(const TableMaterializeSettings& settings) {
  Expression out;
  if (!base::to_lower(settings.source_expression().substr(0, 6)).starts_with("select")) {
    return fail(Code::kInvalidArgument,
                fmt::format("table {}: the source expression is a select", settings.target_table()));
  }
  auto query = movement::parse_row_query(settings.source_expression(), out.source);
  if (!query.ok()) {
    return std::move(query).error().with_context(fmt::format(
        "table {}: Materialize takes columns of one table and what is computed of them, with conditions, or "
        "count(*) and sum() with GROUP BY",
        settings.target_table()));
  }
  out.query = std::move(*query);
  if (!out.query.is_aggregate() || settings.create_ddl() != kCopy) return out;
  return fail(
      Code::kInvalidArgument,
      fmt::format("table {}: its rows are no rows of {}: create_ddl is a CREATE TABLE whose primary key is what "
                  "is grouped by, or empty where the table is there",
                  settings.target_table(), out.source));
}

// What expressions read can be given to another server exactly.
Status check_inputs(const movement::RowQuery& query, const std::string& target, const tmd::TableDefinition& source) {
  for (const auto& item : query.items) {
    for (const auto& column : item.expression.columns) {
      for (const auto& field : source.fields()) {
        if (!base::equals_ignoring_case(field.name(), column)) continue;
        Status checked = movement::check_input(field);
        if (!checked.ok()) return std::move(checked).error().with_context(fmt::format("table {}", target));
      }
    }
  }
  return {};
}

// Rows that come and go have to be found again, and sums to be exact.
Status check_groups(const Expression& expression, const std::string& target, const tmd::TableDefinition& source) {
  const auto type_of = [&](const std::string& column) -> std::optional<::query::Field> {
    for (const auto& field : source.fields()) {
      if (base::equals_ignoring_case(field.name(), column)) return field;
    }
    return std::nullopt;
  };
  const auto is_whole = [](::query::Type type) { return (static_cast<int>(type) & ::query::ISINTEGRAL) != 0; };
  for (const auto& column : source.primary_key_columns()) {
    const auto field = type_of(column);
    if (!field || is_whole(field->type())) continue;
    return fail(Code::kUnimplemented, fmt::format("table {}: rows of {} are added up only where its primary key has "
                                                  "whole numbers: {} is none",
                                                  target, source.name(), column));
  }
  if (source.primary_key_columns().empty()) {
    return fail(Code::kFailedPrecondition, fmt::format("table {} has no primary key", source.name()));
  }
  for (const auto& item : expression.query.items) {
    const auto field = type_of(item.column);
    if (!field) continue;
    if ((field->flags() & kNotNullFlag) == 0) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("table {}: column {} of {} may be NULL, of which there is no sum and no key: make it NOT "
                              "NULL",
                              target, item.column, source.name()));
    }
    if (item.kind != movement::RowQuery::ItemKind::kSum || is_whole(field->type()) ||
        field->type() == ::query::DECIMAL) {
      continue;
    }
    return fail(Code::kUnimplemented,
                fmt::format("table {}: sum({}): only whole numbers and decimals add up exactly", target, item.column));
  }
  return {};
}

// What tells the shard of a row of the target, as columns of the source; and how the range is asked for.
Result<std::optional<movement::KeyRangeTerm>> key_range_term(const movement::RowQuery& query,
                                                             const ::vschema::Keyspace& vschema,
                                                             const std::string& keyspace, const std::string& table,
                                                             const shard::ShardName& shard) {
  if (!vschema.sharded()) return std::optional<movement::KeyRangeTerm>();
  const auto found = vschema.tables().find(table);
  if (found != vschema.tables().end() && found->second.type() == "reference")
    return std::optional<movement::KeyRangeTerm>();
  if (found == vschema.tables().end() || found->second.column_vindexes().empty()) {
    return fail(
        Code::kFailedPrecondition,
        fmt::format("table {} has no primary vindex in the vschema of the sharded keyspace {}", table, keyspace));
  }
  const auto& vindex = found->second.column_vindexes(0);
  std::vector<std::string> columns(vindex.columns().begin(), vindex.columns().end());
  if (!vindex.column().empty()) columns = {vindex.column()};
  movement::KeyRangeTerm out;
  for (const auto& column : columns) {
    std::string from = source_of(query, column);
    if (from.empty()) {
      return fail(Code::kInvalidArgument,
                  fmt::format("table {}: column {} decides the shard of a row, and is not selected", table, column));
    }
    out.columns.push_back(std::move(from));
  }
  out.vindex = fmt::format("{}.{}", keyspace, vindex.name());
  if (shard.key_range()) out.range = *shard.key_range();
  return std::optional(std::move(out));
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
      {!settings.workflow_options().tenant_id().empty(), "--tenant-id"},
  };
  for (const auto& [given, what] : unbuilt) {
    if (given) return fail(Code::kUnimplemented, fmt::format("{} is not built: leave it out", what));
  }
  const auto& overrides = settings.workflow_options().config();
  RETURN_IF_ERROR(movement::check_overrides({overrides.begin(), overrides.end()}));
  std::set<std::string> names, sources;
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
    ASSIGN_OR_RETURN(const auto expression, read_expression(one));
    if (!sources.insert(expression.source).second) {
      return fail(Code::kUnimplemented,
                  fmt::format("two tables follow table {}: make a workflow for each of them", expression.source));
    }
    const bool as_it_is = !expression.query.is_aggregate() && !expression.query.has_expressions();
    if (expression.source == one.target_table() && as_it_is) continue;
    if (settings.on_ddl() == "EXEC" || settings.on_ddl() == "EXEC_IGNORE") {
      return fail(Code::kInvalidArgument, fmt::format("--on-ddl {}: what changes table {} is nothing to do to table {}",
                                                      settings.on_ddl(), expression.source, one.target_table()));
    }
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
  const auto& overrides = settings.workflow_options().config();
  out.overrides = {overrides.begin(), overrides.end()};
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

// The tables of the settings, in their order: as they are in the source, as they are to be in the target, and those of
// the target that have to be made.
struct FollowedTables {
  std::vector<tmd::TableDefinition> source;
  std::vector<tmd::TableDefinition> target;
  std::vector<tmd::TableDefinition> made;
};

net::Task<Result<FollowedTables>> read_followed(TabletClient& tablets, const MaterializeSettings& settings,
                                                const Side& source_side) {
  std::vector<std::string> names;
  for (const auto& one : settings.table_settings()) {
    CO_ASSIGN_OR_RETURN(auto expression, read_expression(one));
    names.push_back(std::move(expression.source));
  }
  CO_ASSIGN_OR_RETURN(const auto schema, co_await read_schema(tablets, *source_side.places.front().primary, names, {}));
  std::map<std::string, tmd::TableDefinition> known;
  for (const auto& table : schema.table_definitions()) known[table.name()] = table;
  FollowedTables out;
  for (int i = 0; i < settings.table_settings_size(); ++i) {
    const auto& one = settings.table_settings(i);
    const auto found = known.find(names[static_cast<size_t>(i)]);
    if (found == known.end()) {
      co_return fail(Code::kInvalidArgument, fmt::format("table(s) not found in source keyspace {}: {}",
                                                         settings.source_keyspace(), names[static_cast<size_t>(i)]));
    }
    out.source.push_back(found->second);
    auto& table = out.target.emplace_back(found->second);
    table.set_name(one.target_table());
    if (one.create_ddl().empty()) continue;
    table.set_schema(one.create_ddl() == kCopy ? with_table_name(found->second.schema(), one.target_table())
                                               : one.create_ddl());
    out.made.push_back(table);
  }
  CO_RETURN_IF_ERROR(co_await read_fields(tablets, source_side, out.source));
  co_return std::move(out);
}

// The rules of the streams into each shard of the target: the same from each source.
net::Task<Result<std::map<std::string, ::binlogdata::Filter>>> plan_rules(topo::Server& topology,
                                                                          const MaterializeSettings& settings,
                                                                          const FollowedTables& tables,
                                                                          const Side& target_side) {
  auto vschema = co_await topo::get_vschema(topology, settings.target_keyspace());
  if (!vschema.ok() && vschema.error().code() != Code::kNotFound) co_return std::move(vschema).error();
  const ::vschema::Keyspace target_vschema = vschema.ok() ? std::move(vschema->record) : ::vschema::Keyspace();
  std::map<std::string, ::binlogdata::Filter> out;
  for (const auto& place : target_side.places) {
    CO_ASSIGN_OR_RETURN(const auto name, shard::ShardName::parse(place.shard));
    for (int i = 0; i < settings.table_settings_size(); ++i) {
      CO_ASSIGN_OR_RETURN(auto rule, materialize_rule(settings.table_settings(i), tables.source[static_cast<size_t>(i)],
                                                      target_vschema, settings.target_keyspace(), name));
      *out[place.shard].add_rules() = std::move(rule);
    }
  }
  co_return std::move(out);
}

}  // namespace

std::string with_table_name(const std::string& create, const std::string& name) {
  const size_t open = create.find('`');
  size_t close = open;
  while (close != std::string::npos) {
    close = create.find('`', close + 1);
    if (close == std::string::npos || close + 1 >= create.size() || create[close + 1] != '`') break;
    ++close;  // Two of them are one of the name.
  }
  if (close == std::string::npos) return create;
  return create.substr(0, open) + mysqld::quote_identifier(name) + create.substr(close + 1);
}

Result<::binlogdata::Rule> materialize_rule(const TableMaterializeSettings& settings,
                                            const tmd::TableDefinition& source,
                                            const ::vschema::Keyspace& target_vschema,
                                            const std::string& target_keyspace, const shard::ShardName& shard) {
  ASSIGN_OR_RETURN(Expression expression, read_expression(settings));
  movement::RowQuery& query = expression.query;
  std::vector<std::string> needed = query.group_by;
  for (const auto& item : query.items) {
    needed.push_back(item.column);
    needed.insert(needed.end(), item.expression.columns.begin(), item.expression.columns.end());
  }
  for (const auto& term : query.comparisons) needed.push_back(term.column);
  for (const auto& column : needed) {
    const bool known = column.empty() || std::ranges::any_of(source.columns(), [&](const std::string& name) {
                         return base::equals_ignoring_case(name, column);
                       });
    if (!known) {
      return fail(Code::kInvalidArgument, fmt::format("table {} has no column {}", source.name(), column));
    }
  }
  for (const auto& item : query.items) {
    const bool made = settings.create_ddl() != kCopy || item.alias.empty() ||
                      std::ranges::any_of(source.columns(), [&](const std::string& name) {
                        return base::equals_ignoring_case(name, item.alias);
                      });
    if (made) continue;
    return fail(Code::kInvalidArgument,
                fmt::format("table {}: a copy of {} has no column {}: create_ddl is to be a CREATE TABLE that has",
                            settings.target_table(), source.name(), item.alias));
  }
  RETURN_IF_ERROR(check_inputs(query, settings.target_table(), source));
  if (query.is_aggregate()) RETURN_IF_ERROR(check_groups(expression, settings.target_table(), source));
  for (const auto& column : source.primary_key_columns()) {
    if (query.is_aggregate() || has_column(query, column)) continue;
    return fail(Code::kInvalidArgument,
                fmt::format("table {}: column {} of its primary key is not selected", settings.target_table(), column));
  }
  ASSIGN_OR_RETURN(auto term, key_range_term(query, target_vschema, target_keyspace, settings.target_table(), shard));
  ::binlogdata::Rule rule;
  rule.set_match(settings.target_table());
  if (query.is_aggregate()) {
    rule.set_source_unique_key_columns(base::join(
        std::vector<std::string>(source.primary_key_columns().begin(), source.primary_key_columns().end()), ","));
  }
  rule.set_filter(settings.source_expression());
  if (!term) return rule;
  query.ranges.push_back(std::move(*term));
  rule.set_filter(movement::to_select(query, expression.source));
  return rule;
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
  std::vector<std::string> names;  // In the source.
  for (const auto& one : settings.table_settings()) {
    CO_ASSIGN_OR_RETURN(auto expression, read_expression(one));
    names.push_back(std::move(expression.source));
    record.add_tables(one.target_table());
  }
  std::ranges::sort(*record.mutable_tables());
  (*record.mutable_options())[kFollowedOption] = base::join(names, "\n");
  CO_RETURN_IF_ERROR(co_await check_free(tablets, record));

  CO_ASSIGN_OR_RETURN(const auto source_side, co_await load_side(tablets, settings.source_keyspace(), sources));
  CO_ASSIGN_OR_RETURN(const auto target_side,
                      co_await load_side(tablets, settings.target_keyspace(),
                                         {record.target_shards().begin(), record.target_shards().end()}));
  CO_RETURN_IF_ERROR(check_primaries(source_side));
  CO_RETURN_IF_ERROR(check_primaries(target_side));
  CO_ASSIGN_OR_RETURN(auto followed, co_await read_followed(tablets, settings, source_side));
  plan.tables = std::move(followed.made);
  CO_ASSIGN_OR_RETURN(const auto rules, co_await plan_rules(topology, settings, followed, target_side));
  for (const auto& place : target_side.places) {
    for (const auto& from : sources) {
      ::binlogdata::BinlogSource bls;
      bls.set_keyspace(settings.source_keyspace());
      bls.set_shard(from);
      *bls.mutable_filter() = rules.at(place.shard);
      plan.sources[place.shard].push_back(std::move(bls));
    }
  }
  CO_RETURN_IF_ERROR(co_await check_tables_empty(tablets, target_side, followed.target, false));
  CO_RETURN_IF_ERROR(co_await check_source_tables(tablets, source_side, followed.source, {}));
  co_return co_await start_creation(tablets, std::move(record), std::move(plan), "Materialize create");
}

namespace {

// What of `settings` an existing workflow says, or is at odds with.
Status fit_to_workflow(const engine::Record& record, MaterializeSettings& settings) {
  settings.set_workflow(record.workflow());
  settings.set_source_keyspace(record.source_keyspace());
  settings.set_on_ddl(StreamSettings::from_options(record.options()).on_ddl);
  for (const auto& one : settings.table_settings()) {
    if (std::ranges::find(record.tables(), one.target_table()) != record.tables().end()) {
      return fail(Code::kAlreadyExists,
                  fmt::format("{} has table {} already", engine::name_of(record), one.target_table()));
    }
    ASSIGN_OR_RETURN(const auto expression, read_expression(one));
    const auto followed = record.options().find(kFollowedOption);
    if (followed == record.options().end()) continue;
    for (const auto name : base::split(followed->second, '\n')) {
      if (name != expression.source) continue;
      return fail(Code::kUnimplemented,
                  fmt::format("two tables follow table {}: make a workflow for each of them", expression.source));
    }
  }
  return {};
}

// All of the workflow's streams run: nothing that somebody has stopped is started by adding tables.
net::Task<Status> check_streams(TabletClient& tablets, const engine::Record& record,
                                const std::map<std::string, ::binlogdata::Filter>& rules) {
  CO_ASSIGN_OR_RETURN(const auto model, co_await read_workflow(tablets, record.target_keyspace(), record.workflow(),
                                                               net::Wait::within(std::chrono::seconds(30))));
  for (const auto& [shard, target] : model.targets) {
    for (const auto& stream : target.workflow.streams()) {
      if (stream.state() == ::binlogdata::Stopped || stream.state() == ::binlogdata::Error) {
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("stream {} on {}/{} does not run ({}): start the workflow first", stream.id(),
                                   record.target_keyspace(), shard, stream_state_name(stream.state())));
      }
      ::binlogdata::Filter all = stream.bls().filter();
      const auto added = rules.find(shard);
      if (added != rules.end()) all.mutable_rules()->MergeFrom(added->second.rules());
      if (auto plan = movement::StreamPlan::create(all); !plan.ok()) co_return std::move(plan).error();
    }
  }
  co_return Status{};
}

net::Task<Status> add_under_locks(TabletClient& tablets, const ::vtctldata::WorkflowAddTablesRequest& request) {
  topo::Server& topology = tablets.topology();
  CO_ASSIGN_OR_RETURN(const auto found, co_await find_workflow(tablets, request.keyspace(), request.workflow()));
  const engine::Record& record = found.record();
  MaterializeSettings settings;
  settings.set_target_keyspace(record.target_keyspace());
  if (request.materialization_intent() == ::vtctldata::REFERENCE) {
    for (const auto& one : request.table_settings()) settings.add_reference_tables(one.target_table());
    CO_RETURN_IF_ERROR(co_await add_reference_tables(topology, settings));
  } else {
    *settings.mutable_table_settings() = request.table_settings();
  }
  CO_RETURN_IF_ERROR(fit_to_workflow(record, settings));
  CO_RETURN_IF_ERROR(check_options(settings));
  AddedTables added;
  engine::Record wanted = record;  // Of the same id: at odds with others only.
  wanted.clear_tables();
  for (const auto& one : settings.table_settings()) {
    CO_ASSIGN_OR_RETURN(auto expression, read_expression(one));
    added.names.push_back(one.target_table());
    added.followed.push_back(std::move(expression.source));
    wanted.add_tables(one.target_table());
  }
  (*wanted.mutable_options())[kFollowedOption] = base::join(added.followed, "\n");
  CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(topology));
  CO_RETURN_IF_ERROR(check_conflicts(wanted, records));
  CO_ASSIGN_OR_RETURN(const auto source_side,
                      co_await load_side(tablets, record.source_keyspace(),
                                         {record.source_shards().begin(), record.source_shards().end()}));
  CO_ASSIGN_OR_RETURN(auto target_side,
                      co_await load_side(tablets, record.target_keyspace(),
                                         {record.target_shards().begin(), record.target_shards().end()}));
  CO_RETURN_IF_ERROR(check_primaries(source_side));
  CO_RETURN_IF_ERROR(check_primaries(target_side));
  CO_ASSIGN_OR_RETURN(auto tables, co_await read_followed(tablets, settings, source_side));
  CO_ASSIGN_OR_RETURN(added.rules, co_await plan_rules(topology, settings, tables, target_side));
  CO_RETURN_IF_ERROR(co_await check_streams(tablets, record, added.rules));
  CO_RETURN_IF_ERROR(co_await check_tables_empty(tablets, target_side, tables.target, false));
  CO_RETURN_IF_ERROR(co_await check_source_tables(tablets, source_side, tables.source, {}));
  CO_ASSIGN_OR_RETURN(auto tenure, co_await begin_operation(tablets, found.stored, kAddTables, added.to_settings()));
  AddTablesOperation operation(tablets, *tenure, std::move(tables.made), std::move(target_side));
  co_return co_await engine::carry_out(*tenure, operation);
}

}  // namespace

net::Task<Status> add_materialized_tables(TabletClient& tablets, ::vtctldata::WorkflowAddTablesRequest request) {
  CO_ASSIGN_OR_RETURN(const auto found, co_await find_workflow(tablets, request.keyspace(), request.workflow()));
  if (found.record().kind() != kMaterialize) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("{} keeps the tables that it was created with: tables are added to a Materialize",
                               engine::name_of(found.record())));
  }
  CO_ASSIGN_OR_RETURN(auto locks,
                      co_await KeyspaceLocks::acquire(tablets.topology(), found.record().source_keyspace(),
                                                      found.record().target_keyspace(), "Materialize update"));
  Status done = co_await add_under_locks(tablets, request);
  (void)co_await locks.release();
  co_return done;
}

}  // namespace vitrail::control
