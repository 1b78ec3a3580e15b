// Vtctld's methods on lookup vindexes: made write-only and filled, then put into use.
//
// Filling is going through the owner's rows, see lookup_rows.h: vtgates maintain the vindex from when they know of it,
// so that only rows from before are to be added. Externalize goes through all rows once more; what a vtgate with an
// older vschema has written meanwhile is found then.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "control/lookup_rows.h"
#include "control/method.h"
#include "control/reader_choice.h"
#include "control/registrar.h"
#include "mysql/convert.h"
#include "topo/keyspace.h"
#include "topo/srv_vschema.h"
#include "topo/vschema.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

constexpr const char* kWriteOnly = "write_only";

std::string name_of(std::string_view name) {
  std::string out;
  mysql::append_sql_identifier(out, name);
  return out;
}

// The vindex that a request names, in the record.
Result<::vschema::Vindex*> find_vindex(::vschema::Keyspace& record, const std::string& keyspace,
                                       const std::string& name) {
  const auto found = record.mutable_vindexes()->find(name);
  if (found == record.mutable_vindexes()->end() || !shard::is_lookup_type(found->second.type())) {
    return fail(Code::kNotFound, fmt::format("there is no lookup vindex {} in the {} keyspace", name, keyspace));
  }
  return &found->second;
}

bool is_write_only(const ::vschema::Vindex& vindex) {
  const auto found = vindex.params().find(kWriteOnly);
  return found != vindex.params().end() && found->second == "true";
}

using Change = std::function<Status(::vschema::Keyspace& record)>;

// Changes a keyspace's vschema under its lock, and tells the cells.
net::Task<Status> change_vschema(TabletClient& tablets, std::string keyspace, std::string action, Change change) {
  CO_ASSIGN_OR_RETURN(auto lock, co_await topo::KeyspaceLock::acquire(tablets.topology(), keyspace, std::move(action)));
  const auto body = [](TabletClient& client, const std::string& name, const topo::KeyspaceLock& held,
                       const Change& what) -> net::Task<Status> {
    const auto stored = co_await topo::get_vschema(client.topology(), name);
    if (!stored.ok() && stored.error().code() != Code::kNotFound) co_return Error(stored.error());
    ::vschema::Keyspace record = stored.ok() ? stored->record : ::vschema::Keyspace();
    CO_RETURN_IF_ERROR(what(record));
    if (const auto problems = vschema::find_problems(name, record); !problems.empty()) {
      co_return fail(Code::kInvalidArgument, "the vschema would not be valid: " + problems.front());
    }
    CO_RETURN_IF_ERROR(co_await held.check_held());
    co_return co_await topo::save_vschema(client.topology(), name, std::move(record));
  };
  Status done = co_await body(tablets, keyspace, lock, change);
  Status released = co_await lock.release();
  CO_RETURN_IF_ERROR(done);
  CO_RETURN_IF_ERROR(released);
  co_return co_await topo::rebuild_srv_vschema(tablets.topology(), {});
}

// What a request asks to be made.
struct Wanted {
  std::string name;
  ::vschema::Vindex vindex;
  std::string owner;
  std::vector<std::string> columns;
  std::shared_ptr<const shard::Lookup> lookup;
  ReaderChoice readers;  // Of the owner's rows.
};

// Cells alone: as streams choose their sources.
ReaderChoice read_choice(const vd::LookupVindexCreateRequest& request) {
  ReaderChoice out;
  out.cells = {request.cells().begin(), request.cells().end()};
  for (const int type : request.tablet_types()) out.types.push_back(static_cast<::topodata::TabletType>(type));
  if (out.types.empty() && !out.cells.empty()) out.types = {::topodata::REPLICA, ::topodata::PRIMARY};
  out.in_order = request.tablet_selection_preference() != ::tabletmanagerdata::ANY;
  return out;
}

Result<Wanted> read_wanted(const vd::LookupVindexCreateRequest& request) {
  Wanted out;
  out.readers = read_choice(request);
  if (request.vindex().vindexes_size() != 1) {
    return fail(Code::kInvalidArgument, "only one vindex must be specified");
  }
  out.name = request.vindex().vindexes().begin()->first;
  out.vindex = request.vindex().vindexes().begin()->second;
  out.owner = out.vindex.owner();
  if (!shard::is_lookup_type(out.vindex.type())) {
    return fail(Code::kInvalidArgument, fmt::format("vindex type {} is not a lookup vindex", out.vindex.type()));
  }
  const auto table = request.vindex().tables().find(out.owner);
  if (out.owner.empty() || table == request.vindex().tables().end()) {
    return fail(Code::kInvalidArgument, "the table that owns the vindex must be specified, with the vindex's columns");
  }
  for (const auto& use : table->second.column_vindexes()) {
    if (use.name() != out.name) continue;
    out.columns.assign(use.columns().begin(), use.columns().end());
    if (!use.column().empty()) out.columns.push_back(use.column());
  }
  (*out.vindex.mutable_params())[kWriteOnly] = "true";
  shard::VindexParameters parameters(out.vindex.params().begin(), out.vindex.params().end());
  ASSIGN_OR_RETURN(out.lookup, shard::create_lookup(out.vindex.type(), out.name, parameters));
  if (!out.lookup->problem.empty())
    return fail(Code::kInvalidArgument, "vindex " + out.name + ": " + out.lookup->problem);
  if (out.lookup->keyspace.empty()) {
    return fail(Code::kInvalidArgument,
                fmt::format("vindex table name ({}) must be in the form <keyspace>.<table>", out.lookup->table));
  }
  if (out.columns.size() != out.lookup->from.size()) {
    return fail(Code::kInvalidArgument, fmt::format("vindex {} has {} columns, and its table {} columns for them",
                                                    out.name, out.columns.size(), out.lookup->from.size()));
  }
  return out;
}

// The table for it: columns of the owner's types, so that they compare as the owner's do.
net::Task<Result<std::string>> table_definition(TabletClient& tablets, const std::string& keyspace,
                                                const Wanted& wanted) {
  CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_serving_shards(tablets.topology(), keyspace));
  CO_ASSIGN_OR_RETURN(auto primary, co_await tablets.primary_of(keyspace, shards.front().name));
  std::string owner;
  mysql::append_sql_string(owner, wanted.owner);
  CO_ASSIGN_OR_RETURN(
      const auto result,
      co_await fetch_as_dba(tablets, std::move(primary),
                            "select column_name, column_type, coalesce(character_set_name, ''), "
                            "coalesce(collation_name, '') from information_schema.columns where table_schema = "
                            "database() and table_name = " +
                                owner,
                            5000));
  const auto& lookup = *wanted.lookup;
  using Form = shard::Lookup::Form;
  std::string out = "create table if not exists " + name_of(lookup.table) + " (";
  std::string key;
  for (size_t i = 0; i < lookup.from.size(); ++i) {
    std::string type;
    for (const auto& row : result.rows()) {
      const auto values = values_of(result, row);
      if (!std::ranges::equal(values[0].bytes, wanted.columns[i], {}, ::tolower, ::tolower)) continue;
      type = values[1].bytes;
      if (!values[2].bytes.empty()) type += " character set " + values[2].bytes + " collate " + values[3].bytes;
    }
    if (type.empty()) {
      co_return fail(Code::kInvalidArgument,
                     fmt::format("column {} not found in table {}.{}", wanted.columns[i], keyspace, wanted.owner));
    }
    if (lookup.form == Form::kLooseHash) type = "bigint unsigned";
    out += name_of(lookup.from[i]) + " " + type + " not null, ";
    key += (i == 0 ? "" : ", ") + name_of(lookup.from[i]);
  }
  if (!lookup.unique) key += ", " + name_of(lookup.to);
  out += name_of(lookup.to) + (lookup.form == Form::kKeyspaceId ? " varbinary(128)" : " bigint unsigned") +
         " not null, primary key (" + key + "))";
  co_return out;
}

// In a sharded keyspace the table needs a place: what the request says, or by its first column's type.
Status add_table(::vschema::Keyspace& record, const vd::LookupVindexCreateRequest& request, const Wanted& wanted) {
  auto& tables = *record.mutable_tables();
  if (tables.contains(wanted.lookup->table)) return {};
  ::vschema::Table table;
  if (record.sharded()) {
    const auto given = request.vindex().tables().find(wanted.lookup->table);
    if (given == request.vindex().tables().end() || given->second.column_vindexes_size() == 0) {
      return fail(Code::kInvalidArgument,
                  fmt::format("keyspace {} is sharded: give a vindex for table {} (--table-vindex-type)",
                              wanted.lookup->keyspace, wanted.lookup->table));
    }
    table = given->second;
    for (const auto& use : table.column_vindexes()) {
      if (record.vindexes().contains(use.name())) continue;
      (*record.mutable_vindexes())[use.name()].set_type(use.name());  // A type that needs no parameters.
    }
  }
  tables[wanted.lookup->table] = std::move(table);
  return {};
}

std::string summary(const LookupReport& report) {
  std::string out = fmt::format("{} rows, {} without their lookup row, {} of them written, {} conflicts", report.rows,
                                report.missing, report.written, report.conflicts);
  for (const auto& example : report.examples) out += "\n  " + example;
  return out;
}

// By shard of the owner, where its rows are read; of others on the primary.
using Readers = std::map<std::string, ::topodata::Tablet>;

net::Task<Result<LookupReport>> fill(TabletClient& tablets, std::string keyspace, std::string vindex,
                                     Readers readers = {}) {
  CO_ASSIGN_OR_RETURN(auto tables, co_await load_lookup(tablets, std::move(keyspace), std::move(vindex)));
  for (auto& shard : tables.owner_shards) {
    if (const auto found = readers.find(shard.name); found != readers.end()) shard.reader = found->second;
  }
  CO_ASSIGN_OR_RETURN(auto report, co_await check_lookup(tablets, tables, true));
  if (report.conflicts == 0 || readers.empty()) co_return std::move(report);
  // Rows that others had a while ago may be in each other's way where today's are not.
  co_return co_await fill(tablets, tables.owner->keyspace, tables.lookup().name);
}

Answer<vd::LookupVindexCreateResponse> create(TabletClient& tablets, vd::LookupVindexCreateRequest request) {
  const std::string keyspace = request.keyspace();
  CO_ASSIGN_OR_RETURN(const Wanted wanted, read_wanted(request));
  CO_ASSIGN_OR_RETURN(const auto stored, co_await topo::get_vschema(tablets.topology(), keyspace));
  const auto conflicts = [&](const ::vschema::Keyspace& record) -> Status {
    if (record.vindexes().contains(wanted.name)) {
      return fail(Code::kAlreadyExists, fmt::format("a conflicting vindex named {} already exists in the {} keyspace",
                                                    wanted.name, keyspace));
    }
    if (record.tables().contains(wanted.owner)) return {};
    return fail(Code::kNotFound, fmt::format("table {} not found in the {} keyspace", wanted.owner, keyspace));
  };
  CO_RETURN_IF_ERROR(conflicts(stored.record));
  CO_ASSIGN_OR_RETURN(const auto definition, co_await table_definition(tablets, keyspace, wanted));
  Readers readers;
  if (!wanted.readers.only_primaries()) {
    CO_ASSIGN_OR_RETURN(const auto owner_shards, co_await topo::find_serving_shards(tablets.topology(), keyspace));
    std::vector<std::string> names;
    for (const auto& info : owner_shards) names.push_back(info.name);
    CO_ASSIGN_OR_RETURN(readers, co_await choose_readers(tablets, keyspace, std::move(names), wanted.readers));
  }
  CO_ASSIGN_OR_RETURN(const auto shards,
                      co_await topo::find_serving_shards(tablets.topology(), wanted.lookup->keyspace));
  for (const auto& info : shards) {
    CO_ASSIGN_OR_RETURN(auto primary, co_await tablets.primary_of(wanted.lookup->keyspace, info.name));
    auto made = co_await fetch_as_dba(tablets, std::move(primary), definition, 1, true);
    if (!made.ok()) co_return std::move(made).error();
  }
  const std::string action = "LookupVindex create " + wanted.name;
  CO_RETURN_IF_ERROR(co_await change_vschema(
      tablets, wanted.lookup->keyspace, action,
      [&](::vschema::Keyspace& record) -> Status { return add_table(record, request, wanted); }));
  CO_RETURN_IF_ERROR(co_await change_vschema(tablets, keyspace, action, [&](::vschema::Keyspace& record) -> Status {
    RETURN_IF_ERROR(conflicts(record));
    (*record.mutable_vindexes())[wanted.name] = wanted.vindex;
    auto* use = (*record.mutable_tables())[wanted.owner].add_column_vindexes();
    use->set_name(wanted.name);
    for (const auto& column : wanted.columns) use->add_columns(column);
    return {};
  }));
  CO_ASSIGN_OR_RETURN(const auto report, co_await fill(tablets, keyspace, wanted.name, std::move(readers)));
  if (report.conflicts > 0) {
    co_return fail(
        Code::kFailedPrecondition,
        fmt::format("lookup vindex {} is write-only and cannot be externalized yet: {}", wanted.name, summary(report)));
  }
  co_return vd::LookupVindexCreateResponse();
}

Answer<vd::LookupVindexExternalizeResponse> externalize(TabletClient& tablets,
                                                        vd::LookupVindexExternalizeRequest request) {
  CO_ASSIGN_OR_RETURN(const auto report, co_await fill(tablets, request.keyspace(), request.name()));
  if (report.conflicts > 0) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("lookup vindex {} stays write-only: {}", request.name(), summary(report)));
  }
  CO_RETURN_IF_ERROR(
      co_await change_vschema(tablets, request.keyspace(), "LookupVindex externalize " + request.name(),
                              [&](::vschema::Keyspace& record) -> Status {
                                ASSIGN_OR_RETURN(auto* vindex, find_vindex(record, request.keyspace(), request.name()));
                                vindex->mutable_params()->erase(kWriteOnly);
                                return {};
                              }));
  vd::LookupVindexExternalizeResponse out;
  out.set_workflow_stopped(true);  // There is none any more: the vindex is maintained by vtgate alone.
  out.set_workflow_deleted(request.delete_workflow());
  co_return out;
}

Answer<vd::LookupVindexInternalizeResponse> internalize(TabletClient& tablets,
                                                        vd::LookupVindexInternalizeRequest request) {
  CO_RETURN_IF_ERROR(
      co_await change_vschema(tablets, request.keyspace(), "LookupVindex internalize " + request.name(),
                              [&](::vschema::Keyspace& record) -> Status {
                                ASSIGN_OR_RETURN(auto* vindex, find_vindex(record, request.keyspace(), request.name()));
                                (*vindex->mutable_params())[kWriteOnly] = "true";
                                return {};
                              }));
  co_return vd::LookupVindexInternalizeResponse();
}

Answer<vd::LookupVindexCompleteResponse> complete(TabletClient& tablets, vd::LookupVindexCompleteRequest request) {
  CO_ASSIGN_OR_RETURN(auto stored, co_await topo::get_vschema(tablets.topology(), request.keyspace()));
  CO_ASSIGN_OR_RETURN(const auto* vindex, find_vindex(stored.record, request.keyspace(), request.name()));
  if (is_write_only(*vindex)) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("vindex {} is still write-only: externalize it first", request.name()));
  }
  co_return vd::LookupVindexCompleteResponse();
}

// The vindex goes out of the vschema again; its table stays.
Answer<vd::LookupVindexCompleteResponse> cancel(TabletClient& tablets, vd::LookupVindexCompleteRequest request) {
  CO_RETURN_IF_ERROR(co_await change_vschema(
      tablets, request.keyspace(), "LookupVindex cancel " + request.name(), [&](::vschema::Keyspace& record) -> Status {
        ASSIGN_OR_RETURN(const auto* vindex, find_vindex(record, request.keyspace(), request.name()));
        if (!is_write_only(*vindex)) {
          return fail(Code::kFailedPrecondition,
                      fmt::format("vindex {} is in use: internalize it first", request.name()));
        }
        record.mutable_vindexes()->erase(request.name());
        for (auto& [name, table] : *record.mutable_tables()) {
          auto* uses = table.mutable_column_vindexes();
          uses->erase(
              std::remove_if(uses->begin(), uses->end(), [&](const auto& use) { return use.name() == request.name(); }),
              uses->end());
        }
        return {};
      }));
  co_return vd::LookupVindexCompleteResponse();
}

// A line for each thing that is found.
Answer<vd::ValidateKeyspaceResponse> compare(TabletClient& tablets, vd::LookupVindexCompleteRequest request,
                                             bool write) {
  CO_ASSIGN_OR_RETURN(const auto tables, co_await load_lookup(tablets, request.keyspace(), request.name()));
  CO_ASSIGN_OR_RETURN(auto report, co_await check_lookup(tablets, tables, write));
  CO_RETURN_IF_ERROR(co_await count_strays(tablets, tables, report));
  vd::ValidateKeyspaceResponse out;
  out.add_results(fmt::format("rows: {}", report.rows));
  out.add_results(fmt::format("without their lookup row: {}", report.missing));
  if (write) out.add_results(fmt::format("lookup rows written: {}", report.written));
  out.add_results(fmt::format("conflicts: {}", report.conflicts));
  out.add_results(fmt::format("lookup rows without a row: {}", report.strays));
  for (const auto& example : report.examples) out.add_results("  " + example);
  co_return out;
}

}  // namespace

void register_lookup_methods(Registrar& r) {
  r.unary<vd::LookupVindexCreateRequest, vd::LookupVindexCreateResponse>("LookupVindexCreate", create);
  r.unary<vd::LookupVindexExternalizeRequest, vd::LookupVindexExternalizeResponse>("LookupVindexExternalize",
                                                                                   externalize);
  r.unary<vd::LookupVindexInternalizeRequest, vd::LookupVindexInternalizeResponse>("LookupVindexInternalize",
                                                                                   internalize);
  r.unary<vd::LookupVindexCompleteRequest, vd::LookupVindexCompleteResponse>("LookupVindexComplete", complete);
  // Not of Vitess's service.
  r.unary<vd::LookupVindexCompleteRequest, vd::LookupVindexCompleteResponse>("LookupVindexCancel", cancel);
  r.unary<vd::LookupVindexCompleteRequest, vd::ValidateKeyspaceResponse>(
      "LookupVindexCheck",
      [](TabletClient& t, vd::LookupVindexCompleteRequest q) { return compare(t, std::move(q), false); });
  r.unary<vd::LookupVindexCompleteRequest, vd::ValidateKeyspaceResponse>(
      "LookupVindexRepair",
      [](TabletClient& t, vd::LookupVindexCompleteRequest q) { return compare(t, std::move(q), true); });
}

}  // namespace vitrail::control
