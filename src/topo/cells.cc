#include "topo/cells.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "topo/record_io.h"

namespace vitrail::topo {
namespace {

using internal::names_below;
using internal::read_record;

std::string cell_what(std::string_view cell) { return "cell " + std::string(cell); }
std::string alias_what(std::string_view alias) { return "cells alias " + std::string(alias); }

// A cell may be in one alias only, else "the cells next to mine" would have two answers.
net::Task<Status> check_alias_free(Server& server, std::string alias, ::topodata::CellsAlias value) {
  CO_RETURN_IF_ERROR(validate_name("cells alias", alias));
  CO_ASSIGN_OR_RETURN(const auto aliases, co_await get_cells_aliases(server));
  CO_ASSIGN_OR_RETURN(const auto cells, co_await get_cell_names(server));
  if (std::ranges::find(cells, alias) != cells.end()) {
    co_return fail(Code::kInvalidArgument, "cells alias " + alias + " would have the name of a cell");
  }
  for (const std::string& cell : value.cells()) {
    if (std::ranges::find(cells, cell) == cells.end()) {
      co_return fail(Code::kInvalidArgument, "cells alias " + alias + ": cell " + cell + " does not exist");
    }
    for (const auto& [other, record] : aliases) {
      if (other != alias && std::ranges::find(record.cells(), cell) != record.cells().end()) {
        co_return fail(Code::kInvalidArgument,
                       "cells alias " + alias + ": cell " + cell + " is in the alias " + other + " already");
      }
    }
  }
  co_return Status{};
}

}  // namespace

net::Task<Result<std::vector<std::string>>> get_cell_names(Server& server) {
  return names_below(server.global(), std::string(kCellsDir));
}

net::Task<Result<Versioned<::topodata::CellInfo>>> get_cell_info(Server& server, std::string cell) {
  CO_RETURN_IF_ERROR(validate_name("cell name", cell));
  co_return co_await read_record<::topodata::CellInfo>(server.global(), cell_info_path(cell), cell_what(cell));
}

net::Task<Status> create_cell_info(Server& server, std::string cell, ::topodata::CellInfo info) {
  CO_RETURN_IF_ERROR(validate_name("cell name", cell));
  auto created = co_await server.global().create(cell_info_path(cell), internal::serialize_record(info));
  if (!created.ok()) co_return internal::tell(std::move(created).error(), cell_what(cell));
  co_return Status{};
}

net::Task<Status> update_cell_info(Server& server, std::string cell, ::topodata::CellInfo info) {
  CO_RETURN_IF_ERROR(validate_name("cell name", cell));
  UpdateFn<::topodata::CellInfo> merge = [info = std::move(info)](::topodata::CellInfo& current) -> Result<bool> {
    current.MergeFrom(info);  // Proto3: empty fields are not set, and so leave the old ones.
    return true;
  };
  auto updated = co_await internal::update_record<::topodata::CellInfo>(
      server.global(), cell_info_path(cell), cell_what(cell), std::move(merge), std::nullopt, true);
  if (!updated.ok()) co_return std::move(updated).error();
  co_return Status{};
}

net::Task<Status> delete_cell_info(Server& server, std::string cell, bool force) {
  CO_ASSIGN_OR_RETURN(const auto info, co_await get_cell_info(server, cell));
  if (!force) {
    const auto refuse = [&](const std::string& why) {
      return fail(Code::kFailedPrecondition,
                  "cell " + cell + " cannot be deleted: " + why + " (use --force to delete it all the same)");
    };
    auto store = co_await server.store_for_cell(cell);
    if (!store.ok()) co_return refuse(store.error().message());
    for (const std::string_view dir : {kKeyspacesDir, kTabletsDir}) {
      auto names = co_await names_below(**store, std::string(dir));
      if (!names.ok()) co_return refuse(names.error().message());
      if (!names->empty())
        co_return refuse(fmt::format("it still has {} {}, for example {}", names->size(), dir, names->front()));
    }
  }
  Status removed = co_await server.global().remove(cell_info_path(cell), info.version);
  if (!removed.ok()) co_return internal::tell(std::move(removed).error(), cell_what(cell));
  co_return Status{};
}

net::Task<Result<std::vector<std::string>>> expand_cells(Server& server, std::vector<std::string> cells) {
  CO_ASSIGN_OR_RETURN(std::vector<std::string> known, co_await get_cell_names(server));
  if (cells.empty()) co_return known;
  std::set<std::string> expanded;
  for (const std::string& name : cells) {
    if (std::ranges::find(known, name) != known.end()) {
      expanded.insert(name);
      continue;
    }
    auto alias = co_await get_cells_alias(server, name);
    if (!alias.ok()) {
      if (alias.error().code() != Code::kNotFound) co_return std::move(alias).error();
      co_return fail(Code::kNotFound, "there is no cell and no cells alias named " + name);
    }
    expanded.insert(alias->record.cells().begin(), alias->record.cells().end());
  }
  co_return std::vector<std::string>(expanded.begin(), expanded.end());
}

net::Task<Result<std::map<std::string, ::topodata::CellsAlias>>> get_cells_aliases(Server& server) {
  CO_ASSIGN_OR_RETURN(const auto names, co_await names_below(server.global(), std::string(kCellsAliasesDir)));
  std::map<std::string, ::topodata::CellsAlias> aliases;
  for (const std::string& name : names) {
    auto alias = co_await get_cells_alias(server, name);
    if (alias.ok()) {
      aliases.emplace(name, std::move(alias->record));
    } else if (alias.error().code() != Code::kNotFound) {
      co_return std::move(alias).error();
    }
  }
  co_return aliases;
}

net::Task<Result<Versioned<::topodata::CellsAlias>>> get_cells_alias(Server& server, std::string alias) {
  CO_RETURN_IF_ERROR(validate_name("cells alias", alias));
  co_return co_await read_record<::topodata::CellsAlias>(server.global(), cells_alias_path(alias), alias_what(alias));
}

net::Task<Status> create_cells_alias(Server& server, std::string alias, ::topodata::CellsAlias value) {
  CO_RETURN_IF_ERROR(co_await check_alias_free(server, alias, value));
  auto created = co_await server.global().create(cells_alias_path(alias), internal::serialize_record(value));
  if (!created.ok()) co_return internal::tell(std::move(created).error(), alias_what(alias));
  co_return Status{};
}

net::Task<Status> update_cells_alias(Server& server, std::string alias, ::topodata::CellsAlias value) {
  CO_RETURN_IF_ERROR(co_await check_alias_free(server, alias, value));
  auto updated =
      co_await server.global().update(cells_alias_path(alias), internal::serialize_record(value), std::nullopt);
  if (!updated.ok()) co_return internal::tell(std::move(updated).error(), alias_what(alias));
  co_return Status{};
}

net::Task<Status> delete_cells_alias(Server& server, std::string alias) {
  CO_RETURN_IF_ERROR(validate_name("cells alias", alias));
  Status removed = co_await server.global().remove(cells_alias_path(alias), std::nullopt);
  if (!removed.ok()) co_return internal::tell(std::move(removed).error(), alias_what(alias));
  co_return Status{};
}

}  // namespace vitrail::topo
