#include <fmt/core.h>

#include <map>

#include "control/client/client.h"
#include "shard/key_range.h"
#include "topo/tablet.h"
#include "vschema/proto_json.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
using Output = net::Task<Result<std::string>>;

// Calls a method and prints the response (or one part of it) as JSON.
template <typename Response, typename Request>
Output print_response(const ClientContext& c, std::string method, Request request) {
  CO_ASSIGN_OR_RETURN(const auto response, co_await c.call<Response>(method, std::move(request)));
  co_return c.json(response);
}

}  // namespace

void add_topology_commands(CommandSet& set) {
  base::Settings& root = set.root();
  {
    auto info = std::make_shared<::topodata::CellInfo>();
    auto flags = std::make_shared<std::pair<std::string, std::string>>();
    const auto declare = [flags](base::Settings& s) {
      s.add("server-address", &flags->first, "address of the cell's topology server").alias("a");
      s.add("root", &flags->second, "root path of the cell on that server").alias("r");
      s.arguments("<cell>", 1, 1);
    };
    declare(set.add(root, "AddCellInfo", "registers a cell", [flags](const ClientContext& c) {
      return [](const ClientContext& x, std::string address, std::string path) -> Output {
        vd::AddCellInfoRequest q;
        q.set_name(x.arguments[0]);
        q.mutable_cell_info()->set_server_address(address);
        q.mutable_cell_info()->set_root(path);
        auto done = co_await x.call<vd::AddCellInfoResponse>("AddCellInfo", std::move(q));
        if (!done.ok()) co_return std::move(done).error();
        co_return "Created cell: " + x.arguments[0] + "\n";
      }(c, flags->first, flags->second);
    }));
    declare(set.add(root, "UpdateCellInfo", "changes a cell's address or root", [flags](const ClientContext& c) {
      return [](const ClientContext& x, std::string address, std::string path) -> Output {
        vd::UpdateCellInfoRequest q;
        q.set_name(x.arguments[0]);
        q.mutable_cell_info()->set_server_address(address);
        q.mutable_cell_info()->set_root(path);
        co_return co_await print_response<vd::UpdateCellInfoResponse>(x, "UpdateCellInfo", std::move(q));
      }(c, flags->first, flags->second);
    }));
  }
  {
    auto force = std::make_shared<bool>(false);
    auto& s = set.add(root, "DeleteCellInfo", "removes a cell", [force](const ClientContext& c) {
      return [](const ClientContext& x, bool forced) -> Output {
        vd::DeleteCellInfoRequest q;
        q.set_name(x.arguments[0]);
        q.set_force(forced);
        auto done = co_await x.call<vd::DeleteCellInfoResponse>("DeleteCellInfo", std::move(q));
        if (!done.ok()) co_return std::move(done).error();
        co_return "Deleted cell " + x.arguments[0] + "\n";
      }(c, *force);
    });
    s.add("force", force.get(), "also when something still refers to it").alias("f");
    s.arguments("<cell>", 1, 1);
  }
  set.add(root, "GetCellInfo", "prints a cell",
          [](const ClientContext& c) -> Output {
            vd::GetCellInfoRequest q;
            q.set_cell(c.arguments[0]);
            CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::GetCellInfoResponse>("GetCellInfo", std::move(q)));
            co_return c.json(done.cell_info());
          })
      .arguments("<cell>", 1, 1);
  set.add(root, "GetCellInfoNames", "lists the cells", [](const ClientContext& c) -> Output {
    CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::GetCellInfoNamesResponse>("GetCellInfoNames",
                                                                                       vd::GetCellInfoNamesRequest()));
    std::string out;
    for (const auto& name : done.names()) out += name + "\n";
    co_return out;
  });

  {
    struct Flags {
      bool force = false, empty = false;
      std::string durability = "none", sidecar = "_vt", type = "NORMAL", base;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(root, "CreateKeyspace", "makes a keyspace", [f](const ClientContext& c) {
      return [](const ClientContext& x, Flags flags) -> Output {
        vd::CreateKeyspaceRequest request;
        request.set_name(x.arguments[0]);
        request.set_force(flags.force);
        request.set_allow_empty_v_schema(flags.empty);
        request.set_durability_policy(flags.durability);
        request.set_sidecar_db_name(flags.sidecar);
        request.set_base_keyspace(flags.base);
        if (flags.type == "SNAPSHOT") request.set_type(::topodata::SNAPSHOT);
        CO_ASSIGN_OR_RETURN(const auto done,
                            co_await x.call<vd::CreateKeyspaceResponse>("CreateKeyspace", std::move(request)));
        CO_ASSIGN_OR_RETURN(const std::string json, x.json(done.keyspace()));
        co_return "Successfully created keyspace " + x.arguments[0] + ". Result:\n" + json;
      }(c, *f);
    });
    s.add("force", &f->force, "no error when it exists").alias("f");
    s.add("allow-empty-vschema", &f->empty, "an empty VSchema is fine").alias("e");
    s.add("durability-policy", &f->durability, "none, semi_sync, cross_cell ...");
    s.add("sidecar-db-name", &f->sidecar, "database of the tablets' own tables");
    s.add("type", &f->type, "kind of keyspace").one_of({"NORMAL", "SNAPSHOT"});
    s.add("base-keyspace", &f->base, "of a SNAPSHOT keyspace");
    s.arguments("<keyspace>", 1, 1);
  }
  {
    auto f = std::make_shared<std::pair<bool, bool>>();
    auto& s = set.add(root, "DeleteKeyspace", "removes a keyspace", [f](const ClientContext& c) {
      return [](const ClientContext& x, bool recursive, bool force) -> Output {
        vd::DeleteKeyspaceRequest q;
        q.set_keyspace(x.arguments[0]);
        q.set_recursive(recursive);
        q.set_force(force);
        auto done = co_await x.call<vd::DeleteKeyspaceResponse>("DeleteKeyspace", std::move(q));
        if (!done.ok()) co_return std::move(done).error();
        co_return "Successfully deleted keyspace " + x.arguments[0] + ".\n";
      }(c, f->first, f->second);
    });
    s.add("recursive", &f->first, "with its shards and tablets").alias("r");
    s.add("force", &f->second, "whatever is in the way").alias("f");
    s.arguments("<keyspace>", 1, 1);
  }
  set.add(root, "GetKeyspace", "prints a keyspace",
          [](const ClientContext& c) -> Output {
            vd::GetKeyspaceRequest q;
            q.set_keyspace(c.arguments[0]);
            CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::GetKeyspaceResponse>("GetKeyspace", std::move(q)));
            co_return c.json(done.keyspace());
          })
      .arguments("<keyspace>", 1, 1);
  set.add(root, "GetKeyspaces", "prints all keyspaces", [](const ClientContext& c) -> Output {
    return print_response<vd::GetKeyspacesResponse>(c, "GetKeyspaces", vd::GetKeyspacesRequest());
  });
  set.add(root, "FindAllShardsInKeyspace", "prints the shards of a keyspace",
          [](const ClientContext& c) -> Output {
            vd::FindAllShardsInKeyspaceRequest q;
            q.set_keyspace(c.arguments[0]);
            CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::FindAllShardsInKeyspaceResponse>(
                                                     "FindAllShardsInKeyspace", std::move(q)));
            std::string out;
            for (const auto& [name, shard] :
                 std::map<std::string, vd::Shard>(done.shards().begin(), done.shards().end())) {
              CO_ASSIGN_OR_RETURN(std::string json, c.json(shard));
              json.pop_back();
              out += (out.empty() ? "{\n\"" : ",\n\"") + name + "\": " + json;
            }
            co_return out.empty() ? std::string("{}\n") : out + "\n}\n";
          })
      .arguments("<keyspace>", 1, 1);
  {
    auto f = std::make_shared<std::pair<std::vector<std::string>, bool>>();
    auto& s = set.add(root, "RebuildKeyspaceGraph", "writes the serving graph anew", [f](const ClientContext& c) {
      return [](const ClientContext& x, std::vector<std::string> cells, bool partial) -> Output {
        for (const auto& keyspace : x.arguments) {
          vd::RebuildKeyspaceGraphRequest q;
          q.set_keyspace(keyspace);
          for (const auto& cell : cells) q.add_cells(cell);
          q.set_allow_partial(partial);
          auto done = co_await x.call<vd::RebuildKeyspaceGraphResponse>("RebuildKeyspaceGraph", std::move(q));
          if (!done.ok()) co_return std::move(done).error();
        }
        co_return std::string();
      }(c, f->first, f->second);
    });
    s.add("cells", &f->first, "only in these cells").alias("c");
    s.add("allow-partial", &f->second, "SNAPSHOT keyspaces: gaps are fine");
    s.arguments("<keyspace> ...", 1, 100);
  }
  set.add(root, "GetSrvKeyspaces", "prints the serving graph of a keyspace",
          [](const ClientContext& c) -> Output {
            vd::GetSrvKeyspacesRequest q;
            q.set_keyspace(c.arguments[0]);
            for (size_t i = 1; i < c.arguments.size(); ++i) q.add_cells(c.arguments[i]);
            return print_response<vd::GetSrvKeyspacesResponse>(c, "GetSrvKeyspaces", std::move(q));
          })
      .arguments("<keyspace> [<cell> ...]", 1, 100);

  {
    auto f = std::make_shared<std::pair<bool, bool>>();
    auto& s = set.add(root, "CreateShard", "makes a shard", [f](const ClientContext& c) {
      return [](const ClientContext& x, bool force, bool parent) -> Output {
        CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(x.arguments[0]));
        vd::CreateShardRequest q;
        q.set_keyspace(name.first);
        q.set_shard_name(name.second);
        q.set_force(force);
        q.set_include_parent(parent);
        co_return co_await print_response<vd::CreateShardResponse>(x, "CreateShard", std::move(q));
      }(c, f->first, f->second);
    });
    s.add("force", &f->first, "no error when it exists").alias("f");
    s.add("include-parent", &f->second, "make the keyspace too").alias("p");
    s.arguments("<keyspace/shard>", 1, 1);
  }
  {
    struct Flags {
      bool recursive = false, serving = false, force = false;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(root, "DeleteShards", "removes shards", [f](const ClientContext& c) {
      return [](const ClientContext& x, Flags flags) -> Output {
        vd::DeleteShardsRequest q;
        for (const auto& argument : x.arguments) {
          CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(argument));
          auto* shard = q.add_shards();
          shard->set_keyspace(name.first);
          shard->set_name(name.second);
        }
        q.set_recursive(flags.recursive);
        q.set_even_if_serving(flags.serving);
        q.set_force(flags.force);
        auto done = co_await x.call<vd::DeleteShardsResponse>("DeleteShards", std::move(q));
        if (!done.ok()) co_return std::move(done).error();
        co_return fmt::format("Successfully deleted {} shards.\n", x.arguments.size());
      }(c, *f);
    });
    s.add("recursive", &f->recursive, "with their tablets").alias("r");
    s.add("even-if-serving", &f->serving, "even if they serve");
    s.add("force", &f->force, "whatever is in the way").alias("f");
    s.arguments("<keyspace/shard> ...", 1, 100);
  }
  set.add(root, "GetShard", "prints a shard",
          [](const ClientContext& c) -> Output {
            CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(c.arguments[0]));
            vd::GetShardRequest q;
            q.set_keyspace(name.first);
            q.set_shard_name(name.second);
            CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::GetShardResponse>("GetShard", std::move(q)));
            co_return c.json(done.shard());
          })
      .arguments("<keyspace/shard>", 1, 1);
  {
    struct Flags {
      std::vector<std::string> cells, tables;
      bool disable = false, remove = false;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(root, "SetShardTabletControl", "denies tables, or switches a shard's queries off",
                      [f](const ClientContext& c) {
                        return [](const ClientContext& x, Flags flags) -> Output {
                          CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(x.arguments[0]));
                          CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(x.arguments[1]));
                          vd::SetShardTabletControlRequest q;
                          q.set_keyspace(name.first);
                          q.set_shard(name.second);
                          q.set_tablet_type(type);
                          for (const auto& cell : flags.cells) q.add_cells(cell);
                          for (const auto& table : flags.tables) q.add_denied_tables(table);
                          q.set_disable_query_service(flags.disable);
                          q.set_remove(flags.remove);
                          CO_ASSIGN_OR_RETURN(const auto done, co_await x.call<vd::SetShardTabletControlResponse>(
                                                                   "SetShardTabletControl", std::move(q)));
                          co_return x.json(done.shard());
                        }(c, *f);
                      });
    s.add("cells", &f->cells, "only in these cells").alias("c");
    s.add("denied-tables", &f->tables, "tables to deny").alias("blacklisted-tables");
    s.add("disable-query-service", &f->disable, "no queries at all");
    s.add("remove", &f->remove, "takes the control away").alias("r");
    s.arguments("<keyspace/shard> <tablet type>", 2, 2);
  }
  {
    auto count = std::make_shared<int32_t>(2);
    auto& s = set.add(root, "GenerateShardRanges", "prints shard names of equal width", [count](const ClientContext&) {
      return [](int32_t shards) -> Output {
        CO_ASSIGN_OR_RETURN(const auto names, shard::generate_shard_ranges(shards));
        std::string out = "[";
        for (const auto& name : names) out += (out.size() > 1 ? ",\n  \"" : "\n  \"") + name + "\"";
        co_return out + "\n]\n";
      }(*count);
    });
    s.add("num-shards", count.get(), "how many");
  }
  {
    auto f = std::make_shared<std::pair<int64_t, bool>>();
    auto& s = set.add(root, "GetTopologyPath", "prints what is stored at a path", [f](const ClientContext& c) {
      return [](const ClientContext& x, bool json) -> Output {
        vd::GetTopologyPathRequest q;
        q.set_path(x.arguments[0]);
        q.set_as_json(json);
        CO_ASSIGN_OR_RETURN(const auto done,
                            co_await x.call<vd::GetTopologyPathResponse>("GetTopologyPath", std::move(q)));
        co_return json && !done.cell().data().empty() ? Result<std::string>(done.cell().data() + "\n")
                                                      : x.json(done.cell());
      }(c, f->second);
    });
    s.add("version", &f->first, "accepted; the newest version is printed");
    s.add("data-as-json", &f->second, "the record as JSON");
    s.arguments("<path>", 1, 1);
  }

  set.add(root, "GetVSchema", "prints the VSchema of a keyspace",
          [](const ClientContext& c) -> Output {
            vd::GetVSchemaRequest q;
            q.set_keyspace(c.arguments[0]);
            CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::GetVSchemaResponse>("GetVSchema", std::move(q)));
            co_return c.json(done.v_schema());
          })
      .arguments("<keyspace>", 1, 1);
  {
    struct Flags {
      std::string text, file, sql, sql_file;
      bool dry_run = false, skip_rebuild = false, strict = false;
      std::vector<std::string> cells;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(root, "ApplyVSchema", "saves the VSchema of a keyspace", [f](const ClientContext& c) {
      return [](const ClientContext& x, Flags flags) -> Output {
        CO_ASSIGN_OR_RETURN(const std::string text, text_or_file(flags.text, flags.file, "vschema"));
        ::vschema::Keyspace parsed;
        CO_RETURN_IF_ERROR(vschema::parse_json(text, parsed, nullptr));
        vd::ApplyVSchemaRequest q;
        q.set_keyspace(x.arguments[0]);
        *q.mutable_v_schema() = std::move(parsed);
        q.set_dry_run(flags.dry_run);
        q.set_skip_rebuild(flags.skip_rebuild);
        q.set_strict(flags.strict);
        for (const auto& cell : flags.cells) q.add_cells(cell);
        CO_ASSIGN_OR_RETURN(const auto done, co_await x.call<vd::ApplyVSchemaResponse>("ApplyVSchema", std::move(q)));
        CO_ASSIGN_OR_RETURN(const std::string json, x.json(done.v_schema()));
        std::string out = "New VSchema object:\n" + json;
        for (const auto& [vindex, parameters] : done.unknown_vindex_params()) {
          for (const auto& name : parameters.params())
            out += "Unknown parameter in vindex " + vindex + ": " + name + "\n";
        }
        co_return out;
      }(c, *f);
    });
    s.add("vschema", &f->text, "the VSchema as JSON");
    s.add("vschema-file", &f->file, "a file with it");
    s.add("dry-run", &f->dry_run, "check only").alias("d");
    s.add("skip-rebuild", &f->skip_rebuild, "do not tell the cells");
    s.add("strict", &f->strict, "unknown vindex parameters are errors");
    s.add("cells", &f->cells, "tell only these cells");
    s.arguments("<keyspace>", 1, 1);
  }
  {
    auto cells = std::make_shared<std::vector<std::string>>();
    auto& s =
        set.add(root, "RebuildVSchemaGraph", "writes the cells' SrvVSchema anew", [cells](const ClientContext& c) {
          return [](const ClientContext& x, std::vector<std::string> names) -> Output {
            vd::RebuildVSchemaGraphRequest q;
            for (const auto& cell : names) q.add_cells(cell);
            auto done = co_await x.call<vd::RebuildVSchemaGraphResponse>("RebuildVSchemaGraph", std::move(q));
            if (!done.ok()) co_return std::move(done).error();
            co_return std::string("RebuildVSchemaGraph: ok\n");
          }(c, *cells);
        });
    s.add("cells", cells.get(), "only these cells").alias("c");
  }
  set.add(root, "GetSrvVSchema", "prints a cell's SrvVSchema",
          [](const ClientContext& c) -> Output {
            vd::GetSrvVSchemaRequest q;
            q.set_cell(c.arguments[0]);
            CO_ASSIGN_OR_RETURN(const auto done,
                                co_await c.call<vd::GetSrvVSchemaResponse>("GetSrvVSchema", std::move(q)));
            co_return c.json(done.srv_v_schema());
          })
      .arguments("<cell>", 1, 1);
  set.add(root, "GetRoutingRules", "prints the routing rules", [](const ClientContext& c) -> Output {
    CO_ASSIGN_OR_RETURN(const auto done,
                        co_await c.call<vd::GetRoutingRulesResponse>("GetRoutingRules", vd::GetRoutingRulesRequest()));
    co_return c.json(done.routing_rules());
  });
  {
    struct Flags {
      std::string text, file;
      bool dry_run = false, skip_rebuild = false;
      std::vector<std::string> cells;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(root, "ApplyRoutingRules", "replaces the routing rules", [f](const ClientContext& c) {
      return [](const ClientContext& x, Flags flags) -> Output {
        CO_ASSIGN_OR_RETURN(const std::string text, text_or_file(flags.text, flags.file, "rules"));
        ::vschema::RoutingRules rules;
        CO_RETURN_IF_ERROR(vschema::parse_json(text, rules, nullptr));
        CO_ASSIGN_OR_RETURN(const std::string json, x.json(rules));
        if (flags.dry_run) co_return "=== DRY RUN ===\n" + json;
        vd::ApplyRoutingRulesRequest q;
        *q.mutable_routing_rules() = std::move(rules);
        q.set_skip_rebuild(flags.skip_rebuild);
        for (const auto& cell : flags.cells) q.add_rebuild_cells(cell);
        auto done = co_await x.call<vd::ApplyRoutingRulesResponse>("ApplyRoutingRules", std::move(q));
        if (!done.ok()) co_return std::move(done).error();
        co_return "New RoutingRules object:\n" + json;
      }(c, *f);
    });
    s.add("rules", &f->text, "the rules as JSON").alias("r");
    s.add("rules-file", &f->file, "a file with them").alias("f");
    s.add("dry-run", &f->dry_run, "check only").alias("d");
    s.add("skip-rebuild", &f->skip_rebuild, "do not tell the cells");
    s.add("cells", &f->cells, "tell only these cells").alias("c");
  }
}

}  // namespace vitrail::control
