// Commands on cells and cell aliases.
#include "base/text.h"
#include "control/client/call.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

struct CellFlags {
  std::string address, root;
};

void add_info_commands(CommandSet& set) {
  for (const bool add : {true, false}) {
    auto flags = std::make_shared<CellFlags>();
    const auto fill = [flags](const ClientContext& c, auto& q) -> Status {
      q.set_name(c.arguments[0]);
      q.mutable_cell_info()->set_server_address(flags->address);
      q.mutable_cell_info()->set_root(flags->root);
      return {};
    };
    base::Settings& s =
        add ? add_call<vd::AddCellInfoRequest, vd::AddCellInfoResponse>(
                  set, "AddCellInfo", "registers a cell", fill,
                  [](const ClientContext& c, const auto&) { return "Created cell: " + c.arguments[0] + "\n"; })
            : add_call<vd::UpdateCellInfoRequest, vd::UpdateCellInfoResponse>(
                  set, "UpdateCellInfo", "changes a cell's address or root; what is not given stays", fill,
                  [](const ClientContext& c, const auto& done) -> Result<std::string> {
                    ASSIGN_OR_RETURN(const std::string json, c.json(done.cell_info()));
                    return "Updated cell " + done.name() + ". New CellInfo:\n" + json;
                  });
    s.add("server-address", &flags->address, "address of the cell's topology server").alias("a");
    s.add("root", &flags->root, "root path of the cell on that server").alias("r");
    s.arguments("<cell>", 1, 1);
  }
  auto force = std::make_shared<bool>(false);
  auto& s = add_call<vd::DeleteCellInfoRequest, vd::DeleteCellInfoResponse>(
      set, "DeleteCellInfo", "removes a cell",
      [force](const ClientContext& c, auto& q) -> Status {
        q.set_name(c.arguments[0]);
        q.set_force(*force);
        return {};
      },
      [](const ClientContext& c, const auto&) { return "Deleted cell " + c.arguments[0] + "\n"; });
  s.add("force", force.get(), "also when something still refers to it").alias("f");
  s.arguments("<cell>", 1, 1);
  add_call<vd::GetCellInfoRequest, vd::GetCellInfoResponse>(
      set, "GetCellInfo", "prints a cell",
      [](const ClientContext& c, auto& q) -> Status {
        q.set_cell(c.arguments[0]);
        return {};
      },
      [](const ClientContext& c, const auto& done) { return c.json(done.cell_info()); })
      .arguments("<cell>", 1, 1);
  add_call<vd::GetCellInfoNamesRequest, vd::GetCellInfoNamesResponse>(set, "GetCellInfoNames", "lists the cells", {},
                                                                      [](const ClientContext&, const auto& done) {
                                                                        std::string out;
                                                                        for (const auto& name : done.names())
                                                                          out += name + "\n";
                                                                        return out;
                                                                      });
}

void add_alias_commands(CommandSet& set) {
  {
    auto cells = std::make_shared<std::vector<std::string>>();
    auto& s = add_call<vd::AddCellsAliasRequest, vd::AddCellsAliasResponse>(
        set, "AddCellsAlias", "groups cells under a name",
        [cells](const ClientContext& c, auto& q) -> Status {
          q.set_name(c.arguments[0]);
          q.mutable_cells()->Add(cells->begin(), cells->end());
          return {};
        },
        [cells](const ClientContext& c, const auto&) {
          return fmt::format("Created cells alias: {} (cells = [{}])\n", c.arguments[0], base::join(*cells, " "));
        });
    s.add("cells", cells.get(), "cells of the alias").alias("c");
    s.arguments("<alias>", 1, 1);
  }
  {
    auto cells = std::make_shared<std::vector<std::string>>();
    auto& s = add_call<vd::UpdateCellsAliasRequest, vd::UpdateCellsAliasResponse>(
        set, "UpdateCellsAlias", "replaces the cells of an alias",
        [cells](const ClientContext& c, auto& q) -> Status {
          q.set_name(c.arguments[0]);
          q.mutable_cells_alias()->mutable_cells()->Add(cells->begin(), cells->end());
          return {};
        },
        [](const ClientContext& c, const auto& done) -> Result<std::string> {
          ASSIGN_OR_RETURN(const std::string json, c.json(done.cells_alias()));
          return "Updated cells alias " + done.name() + ". New CellsAlias:\n" + json;
        });
    s.add("cells", cells.get(), "cells of the alias").alias("c");
    s.arguments("<alias>", 1, 1);
  }
  add_call<vd::DeleteCellsAliasRequest, vd::DeleteCellsAliasResponse>(
      set, "DeleteCellsAlias", "removes an alias; its cells stay",
      [](const ClientContext& c, auto& q) -> Status {
        q.set_name(c.arguments[0]);
        return {};
      },
      [](const ClientContext& c, const auto&) { return "Delete cells alias " + c.arguments[0] + "\n"; })
      .arguments("<alias>", 1, 1);
  add_call<vd::GetCellsAliasesRequest, vd::GetCellsAliasesResponse>(
      set, "GetCellsAliases", "prints all aliases and their cells", {},
      [](const ClientContext& c, const auto& done) { return json_map(c, done.aliases()); });
}

}  // namespace

void add_cell_commands(CommandSet& set) {
  add_info_commands(set);
  add_alias_commands(set);
}

}  // namespace vitrail::control
