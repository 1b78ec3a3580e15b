// LookupVindex: lookup vindexes made, filled, and put into use.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "control/client/call.h"
#include "shard/lookup.h"
#include "topo/tablet.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

struct Base {
  std::string name, table_keyspace, keyspace;
};

struct CreateFlags {
  std::string type, owner, table, table_vindex_type;
  std::vector<std::string> columns, cells, tablet_types;
  bool ignore_nulls = false, with_owner = true, in_order = true;
};

// The owner's keyspace; without --keyspace it is that of the table.
std::string keyspace_of(const Base& base) { return base.keyspace.empty() ? base.table_keyspace : base.keyspace; }

Output create(const ClientContext& c, Base base, CreateFlags flags) {
  if (!flags.with_owner) {
    co_return fail(Code::kInvalidArgument,
                   "vtgate maintains a vindex from its creation on: --continue-after-copy-with-owner=false is not "
                   "offered");
  }
  if (!shard::is_lookup_type(flags.type)) {
    co_return fail(Code::kInvalidArgument, "vindex type is not a lookup vindex: " + flags.type);
  }
  vd::LookupVindexCreateRequest q;
  q.set_keyspace(keyspace_of(base));
  q.set_workflow(base.name);
  q.set_continue_after_copy_with_owner(flags.with_owner);
  q.mutable_cells()->Add(flags.cells.begin(), flags.cells.end());
  for (const std::string& name : flags.tablet_types) {
    CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(name));
    q.add_tablet_types(type);
  }
  q.set_tablet_selection_preference(flags.in_order ? ::tabletmanagerdata::INORDER : ::tabletmanagerdata::ANY);
  const std::string table = flags.table.empty() ? base.name : flags.table;
  auto& vindex = (*q.mutable_vindex()->mutable_vindexes())[base.name];
  vindex.set_type(flags.type);
  vindex.set_owner(flags.owner);
  auto& params = *vindex.mutable_params();
  params["table"] = base.table_keyspace + "." + table;
  params["from"] = base::join(flags.columns, ",");
  params["to"] = flags.type.find("hash") == std::string::npos ? "keyspace_id" : "id";
  if (flags.ignore_nulls) params["ignore_nulls"] = "true";
  auto& owner = (*q.mutable_vindex()->mutable_tables())[flags.owner];
  auto* use = owner.add_column_vindexes();
  use->set_name(base.name);
  use->mutable_columns()->Add(flags.columns.begin(), flags.columns.end());
  if (!flags.table_vindex_type.empty()) {
    auto* place = (*q.mutable_vindex()->mutable_tables())[table].add_column_vindexes();
    place->set_name(flags.table_vindex_type);
    place->set_column(flags.columns.front());
  }
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<vd::LookupVindexCreateResponse>("LookupVindexCreate", std::move(q)));
  (void)done;
  co_return fmt::format(
      "LookupVindex {} created in the {} keyspace and its table {}.{} filled; use externalize to put "
      "it into use\n",
      base.name, keyspace_of(base), base.table_keyspace, table);
}

template <typename Request>
Request request_of(const Base& base) {
  Request q;
  q.set_keyspace(keyspace_of(base));
  q.set_name(base.name);
  q.set_table_keyspace(base.table_keyspace);
  return q;
}

Output externalize(const ClientContext& c, Base base, bool remove) {
  auto q = request_of<vd::LookupVindexExternalizeRequest>(base);
  q.set_delete_workflow(remove);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<vd::LookupVindexExternalizeResponse>("LookupVindexExternalize", std::move(q)));
  (void)done;
  co_return fmt::format("LookupVindex {} has been externalized\n", base.name);
}

Output internalize(const ClientContext& c, Base base) {
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<vd::LookupVindexInternalizeResponse>(
                          "LookupVindexInternalize", request_of<vd::LookupVindexInternalizeRequest>(base)));
  (void)done;
  co_return fmt::format("LookupVindex {} has been internalized\n", base.name);
}

Output finish(const ClientContext& c, Base base, std::string method, std::string text) {
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::LookupVindexCompleteResponse>(
                                           std::move(method), request_of<vd::LookupVindexCompleteRequest>(base)));
  (void)done;
  co_return fmt::format("LookupVindex {} {}\n", base.name, text);
}

Output compare(const ClientContext& c, Base base, std::string method) {
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::ValidateKeyspaceResponse>(
                                           std::move(method), request_of<vd::LookupVindexCompleteRequest>(base)));
  std::string out;
  for (const auto& line : done.results()) out += line + "\n";
  co_return out;
}

Output show(const ClientContext& c, Base base) {
  vd::GetVSchemaRequest q;
  q.set_keyspace(keyspace_of(base));
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::GetVSchemaResponse>("GetVSchema", std::move(q)));
  const auto found = done.v_schema().vindexes().find(base.name);
  if (found == done.v_schema().vindexes().end() || !shard::is_lookup_type(found->second.type())) {
    co_return fail(Code::kNotFound,
                   fmt::format("there is no lookup vindex {} in the {} keyspace", base.name, keyspace_of(base)));
  }
  co_return c.json(found->second);
}

}  // namespace

void add_lookup_commands(CommandSet& set) {
  auto base = std::make_shared<Base>();
  auto& parent = set.add(set.root(), "LookupVindex", "makes lookup vindexes, fills them, and puts them into use", {},
                         {"lookupvindex"});
  parent.add("name", &base->name, "name of the vindex").required();
  parent.add("table-keyspace", &base->table_keyspace, "keyspace of the lookup's table").required();
  const auto action = [&](std::string_view name, std::string_view description, ClientCommand run) -> base::Settings& {
    std::string upper(name);
    upper[0] = static_cast<char>(upper[0] - 'a' + 'A');
    auto& s = set.add(parent, name, description, std::move(run), {upper});
    s.add("keyspace", &base->keyspace, "keyspace of the table that owns the vindex; default: --table-keyspace");
    return s;
  };
  auto flags = std::make_shared<CreateFlags>();
  auto& s = action("create", "makes the vindex write-only, and its table, and fills that",
                   [base, flags](const ClientContext& c) { return create(c, *base, *flags); });
  s.add("type", &flags->type, "type of the vindex").required();
  s.add("table-owner", &flags->owner, "the table that owns it").required();
  s.add("table-owner-columns", &flags->columns, "its columns").required();
  s.add("table-name", &flags->table, "name of the lookup's table; default: the vindex's");
  s.add("table-vindex-type", &flags->table_vindex_type,
        "the lookup's table in a sharded keyspace: by its first column");
  s.add("ignore-nulls", &flags->ignore_nulls, "rows with a NULL have no lookup row");
  s.add("continue-after-copy-with-owner", &flags->with_owner,
        "from its creation on vtgate maintains the vindex: anything but true is refused");
  s.add("cells", &flags->cells, "cells to read the owner's rows in").alias("c");
  s.add("tablet-types", &flags->tablet_types,
        "types of tablets to read the owner's rows from; default: primaries, with --cells replicas, else primaries");
  s.add("tablet-types-in-preference-order", &flags->in_order, "in this order");
  action("show", "prints the vindex", [base](const ClientContext& c) { return show(c, *base); });
  auto remove = std::make_shared<bool>(false);
  action("externalize", "goes through all rows once more, and puts the vindex into use",
         [base, remove](const ClientContext& c) { return externalize(c, *base, *remove); })
      .add("delete", remove.get(), "as always: externalize leaves nothing that could be deleted");
  action("internalize", "makes the vindex write-only again",
         [base](const ClientContext& c) { return internalize(c, *base); });
  action("complete", "says whether the vindex is in use",
         [base](const ClientContext& c) { return finish(c, *base, "LookupVindexComplete", "is complete"); });
  action("cancel", "takes a write-only vindex out of the vschema; its table stays",
         [base](const ClientContext& c) { return finish(c, *base, "LookupVindexCancel", "has been cancelled"); });
  action("check", "counts rows without their lookup row, and lookup rows without a row",
         [base](const ClientContext& c) { return compare(c, *base, "LookupVindexCheck"); });
  action("repair", "writes the lookup rows that are missing",
         [base](const ClientContext& c) { return compare(c, *base, "LookupVindexRepair"); });
}

}  // namespace vitrail::control
