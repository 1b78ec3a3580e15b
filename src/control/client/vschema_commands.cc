// Commands on VSchemas and the rules beside them.
#include "base/text.h"
#include "control/client/call.h"
#include "control/lookup_rows.h"
#include "vschema/collation.h"
#include "vschema/proto_json.h"
#include "vschema/vschema.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

struct ApplyFlags {
  std::string text, file, sql, sql_file;
  bool dry_run = false, skip_rebuild = false, strict = false;
  std::vector<std::string> cells;
  std::vector<std::string> unknown;  // Of the text's fields.
};

Result<vd::ApplyVSchemaRequest> apply_request(const ClientContext& c, ApplyFlags& f) {
  vd::ApplyVSchemaRequest q;
  q.set_keyspace(c.arguments[0]);
  if (!f.sql.empty() || !f.sql_file.empty()) {
    if (!f.text.empty() || !f.file.empty()) {
      return fail(Code::kInvalidArgument, "give either a vschema or --sql, not both");
    }
    ASSIGN_OR_RETURN(const std::string sql, text_or_file(c, f.sql, f.sql_file, "sql"));
    q.set_sql(sql);
  } else {
    ASSIGN_OR_RETURN(const std::string text, text_or_file(c, f.text, f.file, "vschema"));
    f.unknown.clear();
    Status parsed = vschema::parse_json(text, *q.mutable_v_schema(), &f.unknown);
    if (!parsed.ok()) return std::move(parsed).error().with_context("--vschema");
    if (f.strict && !f.unknown.empty()) {
      return fail(Code::kInvalidArgument,
                  "--vschema: unknown field(s), and --strict was given: " + base::join(f.unknown, ", "));
    }
  }
  q.set_dry_run(f.dry_run);
  q.set_skip_rebuild(f.skip_rebuild);
  q.set_strict(f.strict);
  q.mutable_cells()->Add(f.cells.begin(), f.cells.end());
  return q;
}

// The collations of the keyspace's columns, as one of its primaries has them. Nothing where none answers.
net::Task<vschema::Collations> read_collations(const ClientContext& c, std::string keyspace) {
  vd::GetTabletsRequest tablets;
  tablets.set_keyspace(keyspace);
  tablets.set_tablet_type(::topodata::PRIMARY);
  const auto primaries = co_await c.call<vd::GetTabletsResponse>("GetTablets", std::move(tablets));
  vschema::Collations out;
  if (!primaries.ok() || primaries->tablets().empty()) co_return out;
  vd::ExecuteFetchAsDBARequest q;
  *q.mutable_tablet_alias() = primaries->tablets(0).alias();
  q.set_query(
      "select table_name, lower(column_name), collation_name from information_schema.columns where table_schema = "
      "database() and collation_name is not null");
  q.set_max_rows(1'000'000);
  const auto done = co_await c.call<vd::ExecuteFetchAsDBAResponse>("ExecuteFetchAsDBA", std::move(q));
  if (!done.ok()) co_return out;
  for (const auto& row : done->result().rows()) {
    const auto values = values_of(done->result(), row);
    if (values.size() == 3) out[values[0].bytes][values[1].bytes] = values[2].bytes;
  }
  co_return out;
}

Output apply_vschema(const ClientContext& c, std::shared_ptr<ApplyFlags> f) {
  CO_ASSIGN_OR_RETURN(auto q, apply_request(c, *f));
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::ApplyVSchemaResponse>("ApplyVSchema", std::move(q)));
  CO_ASSIGN_OR_RETURN(const std::string json, c.json(done.v_schema()));
  std::string out = "New VSchema object:\n" + json;
  for (const auto& field : f->unknown) {
    out += "Warning: unknown field " + field + " is kept, and has no effect\n";
  }
  for (const auto& warning : vschema::find_warnings(c.arguments[0], done.v_schema())) {
    out += "Warning: " + warning + "\n";
  }
  if (done.v_schema().sharded()) {
    const auto collations = co_await read_collations(c, c.arguments[0]);
    for (const auto& warning : vschema::find_collation_warnings(c.arguments[0], done.v_schema(), collations)) {
      out += "Warning: " + warning + "\n";
    }
  }
  for (const auto& [vindex, parameters] : done.unknown_vindex_params()) {
    for (const auto& name : parameters.params()) {
      out += "Unknown parameter in vindex " + vindex + ": " + name + "\n";
    }
  }
  co_return out;
}

void add_vschemas(CommandSet& set) {
  add_call<vd::GetVSchemaRequest, vd::GetVSchemaResponse>(
      set, "GetVSchema", "prints the VSchema of a keyspace",
      [](const ClientContext& c, auto& q) -> Status {
        q.set_keyspace(c.arguments[0]);
        return {};
      },
      [](const ClientContext& c, const auto& done) { return c.json(done.v_schema()); })
      .arguments("<keyspace>", 1, 1);
  auto f = std::make_shared<ApplyFlags>();
  auto& s = set.add(set.root(), "ApplyVSchema", "saves the VSchema of a keyspace",
                    [f](const ClientContext& c) { return apply_vschema(c, f); });
  s.add("vschema", &f->text, "the VSchema as JSON");
  s.add("vschema-file", &f->file, "a file with it");
  s.add("sql", &f->sql, "a VSchema statement");
  s.add("sql-file", &f->sql_file, "a file with it");
  s.add("dry-run", &f->dry_run, "check only").alias("d");
  s.add("skip-rebuild", &f->skip_rebuild, "do not tell the cells");
  s.add("strict", &f->strict, "unknown fields and vindex parameters are errors");
  s.add("cells", &f->cells, "tell only these cells");
  s.arguments("<keyspace>", 1, 1);
}

void add_serving(CommandSet& set) {
  auto cells = std::make_shared<std::vector<std::string>>();
  auto& s = add_call<vd::RebuildVSchemaGraphRequest, vd::RebuildVSchemaGraphResponse>(
      set, "RebuildVSchemaGraph", "writes the cells' SrvVSchema anew",
      [cells](const ClientContext&, auto& q) -> Status {
        q.mutable_cells()->Add(cells->begin(), cells->end());
        return {};
      },
      [](const ClientContext&, const auto&) { return std::string("RebuildVSchemaGraph: ok\n"); });
  s.add("cells", cells.get(), "only these cells").alias("c");
  add_call<vd::GetSrvVSchemaRequest, vd::GetSrvVSchemaResponse>(
      set, "GetSrvVSchema", "prints a cell's SrvVSchema",
      [](const ClientContext& c, auto& q) -> Status {
        q.set_cell(c.arguments[0]);
        return {};
      },
      [](const ClientContext& c, const auto& done) { return c.json(done.srv_v_schema()); })
      .arguments("<cell>", 1, 1);
  add_call<vd::GetSrvVSchemasRequest, vd::GetSrvVSchemasResponse>(
      set, "GetSrvVSchemas", "prints SrvVSchema by cell",
      [](const ClientContext& c, auto& q) -> Status {
        q.mutable_cells()->Add(c.arguments.begin(), c.arguments.end());
        return {};
      },
      [](const ClientContext& c, const auto& done) { return json_map(c, done.srv_v_schemas()); })
      .arguments("[<cell> ...]", 0, 1000);
  add_call<vd::DeleteSrvVSchemaRequest, vd::DeleteSrvVSchemaResponse>(set, "DeleteSrvVSchema",
                                                                      "removes a cell's SrvVSchema",
                                                                      [](const ClientContext& c, auto& q) -> Status {
                                                                        q.set_cell(c.arguments[0]);
                                                                        return {};
                                                                      })
      .arguments("<cell>", 1, 1);
}

struct RuleFlags {
  std::string text, file;
  bool dry_run = false, skip_rebuild = false;
  std::vector<std::string> cells;
};

// What a dry run says of the rebuild, in the words that Vitess's client has for each kind of rules.
std::string dry_run_rebuild(const std::string& kind, const RuleFlags& flags) {
  const bool of_shards = kind == "ShardRoutingRules";
  if (flags.skip_rebuild && !of_shards) {
    return std::string(
               "[DRY RUN] Would not have rebuilt VSchema graph, would have required operator to run "
               "RebuildVSchemaGraph for changes to take effect") +
           (kind == "RoutingRules" ? "\n" : ".\n");
  }
  return "[DRY RUN] Would have rebuilt the VSchema graph in " +
         (flags.cells.empty() || of_shards ? "all cells"
                                           : "the following cells: " + base::join(flags.cells, ", ") + ".") +
         "\n";
}

// Apply<Kind>: `name` is the kind's name, `rules_of` the request's field.
template <typename Request, typename Response, typename Rules>
void add_apply(CommandSet& set, std::string name, std::string description, Rules* (Request::*rules_of)()) {
  auto f = std::make_shared<RuleFlags>();
  auto& s = set.add(set.root(), "Apply" + name, description, [f, name, rules_of](const ClientContext& c) {
    return [](const ClientContext& x, RuleFlags flags, std::string kind, Rules* (Request::*field)()) -> Output {
      CO_ASSIGN_OR_RETURN(const std::string text, text_or_file(x, flags.text, flags.file, "rules"));
      Request q;
      Status parsed = vschema::parse_json(text, *(q.*field)(), nullptr);
      if (!parsed.ok()) co_return std::move(parsed).error().with_context("--rules");
      CO_ASSIGN_OR_RETURN(const std::string json, x.json(*(q.*field)()));
      if (flags.dry_run) {
        co_return "[DRY RUN] Would have saved new " + kind + " object:\n" + json + dry_run_rebuild(kind, flags);
      }
      q.set_skip_rebuild(flags.skip_rebuild);
      for (const auto& cell : flags.cells) q.add_rebuild_cells(cell);
      auto done = co_await x.call<Response>("Apply" + kind, std::move(q));
      if (!done.ok()) co_return std::move(done).error();
      if constexpr (requires { done->keyspace_routing_rules(); }) {
        co_return x.json(*done);
      } else {
        std::string out = "New " + kind + " object:\n" + json;
        if (flags.skip_rebuild && kind == "RoutingRules") {
          out +=
              "Skipping rebuild of VSchema graph, will need to run RebuildVSchemaGraph for changes to take effect.\n";
        }
        co_return out;
      }
    }(c, *f, name, rules_of);
  });
  s.add("rules", &f->text, "the rules as JSON").alias("r");
  s.add("rules-file", &f->file, "a file with them").alias("f");
  s.add("dry-run", &f->dry_run, "check only").alias("d");
  s.add("skip-rebuild", &f->skip_rebuild, "do not tell the cells");
  s.add("cells", &f->cells, "tell only these cells").alias("c");
}

void add_rules(CommandSet& set) {
  add_call<vd::GetRoutingRulesRequest, vd::GetRoutingRulesResponse>(
      set, "GetRoutingRules", "prints the routing rules", {},
      [](const ClientContext& c, const auto& done) { return c.json(done.routing_rules()); });
  add_call<vd::GetShardRoutingRulesRequest, vd::GetShardRoutingRulesResponse>(
      set, "GetShardRoutingRules", "prints the rules that lead single shards elsewhere", {},
      [](const ClientContext& c, const auto& done) { return c.json(done.shard_routing_rules()); });
  add_call<vd::GetKeyspaceRoutingRulesRequest, vd::GetKeyspaceRoutingRulesResponse>(
      set, "GetKeyspaceRoutingRules", "prints the rules that lead whole keyspaces elsewhere", {},
      [](const ClientContext& c, const auto& done) { return c.json(done.keyspace_routing_rules()); });
  add_call<vd::GetMirrorRulesRequest, vd::GetMirrorRulesResponse>(
      set, "GetMirrorRules", "prints the mirror rules", {},
      [](const ClientContext& c, const auto& done) { return c.json(done.mirror_rules()); });
  add_apply<vd::ApplyRoutingRulesRequest, vd::ApplyRoutingRulesResponse>(
      set, "RoutingRules", "replaces the routing rules", &vd::ApplyRoutingRulesRequest::mutable_routing_rules);
  add_apply<vd::ApplyShardRoutingRulesRequest, vd::ApplyShardRoutingRulesResponse>(
      set, "ShardRoutingRules", "replaces the rules that lead single shards elsewhere",
      &vd::ApplyShardRoutingRulesRequest::mutable_shard_routing_rules);
  add_apply<vd::ApplyKeyspaceRoutingRulesRequest, vd::ApplyKeyspaceRoutingRulesResponse>(
      set, "KeyspaceRoutingRules", "replaces the rules that lead whole keyspaces elsewhere",
      &vd::ApplyKeyspaceRoutingRulesRequest::mutable_keyspace_routing_rules);
}

}  // namespace

void add_vschema_commands(CommandSet& set) {
  add_vschemas(set);
  add_serving(set);
  add_rules(set);
}

}  // namespace vitrail::control
