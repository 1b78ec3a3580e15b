// Vtctld's methods on cells and cell aliases.
#include "control/method.h"
#include "control/registrar.h"
#include "topo/cells.h"

namespace vitrail::control {

namespace vd = ::vtctldata;

void register_cell_methods(Registrar& r) {
  r.unary<vd::AddCellInfoRequest, vd::AddCellInfoResponse>(
      "AddCellInfo", [](TabletClient& t, vd::AddCellInfoRequest q) -> Answer<vd::AddCellInfoResponse> {
        CO_RETURN_IF_ERROR(co_await topo::create_cell_info(t.topology(), q.name(), q.cell_info()));
        co_return vd::AddCellInfoResponse();
      });
  r.unary<vd::UpdateCellInfoRequest, vd::UpdateCellInfoResponse>(
      "UpdateCellInfo", [](TabletClient& t, vd::UpdateCellInfoRequest q) -> Answer<vd::UpdateCellInfoResponse> {
        CO_RETURN_IF_ERROR(co_await topo::update_cell_info(t.topology(), q.name(), q.cell_info()));
        CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_cell_info(t.topology(), q.name()));
        vd::UpdateCellInfoResponse out;
        out.set_name(q.name());
        *out.mutable_cell_info() = info.record;
        co_return out;
      });
  r.unary<vd::DeleteCellInfoRequest, vd::DeleteCellInfoResponse>(
      "DeleteCellInfo", [](TabletClient& t, vd::DeleteCellInfoRequest q) -> Answer<vd::DeleteCellInfoResponse> {
        CO_RETURN_IF_ERROR(co_await topo::delete_cell_info(t.topology(), q.name(), q.force()));
        co_return vd::DeleteCellInfoResponse();
      });
  r.unary<vd::GetCellInfoRequest, vd::GetCellInfoResponse>(
      "GetCellInfo", [](TabletClient& t, vd::GetCellInfoRequest q) -> Answer<vd::GetCellInfoResponse> {
        CO_ASSIGN_OR_RETURN(const auto info, co_await topo::get_cell_info(t.topology(), q.cell()));
        vd::GetCellInfoResponse out;
        *out.mutable_cell_info() = info.record;
        co_return out;
      });
  r.unary<vd::GetCellInfoNamesRequest, vd::GetCellInfoNamesResponse>(
      "GetCellInfoNames", [](TabletClient& t, vd::GetCellInfoNamesRequest) -> Answer<vd::GetCellInfoNamesResponse> {
        CO_ASSIGN_OR_RETURN(const auto names, co_await topo::get_cell_names(t.topology()));
        vd::GetCellInfoNamesResponse out;
        for (const auto& name : names) out.add_names(name);
        co_return out;
      });
  r.unary<vd::AddCellsAliasRequest, vd::AddCellsAliasResponse>(
      "AddCellsAlias", [](TabletClient& t, vd::AddCellsAliasRequest q) -> Answer<vd::AddCellsAliasResponse> {
        ::topodata::CellsAlias alias;
        *alias.mutable_cells() = q.cells();
        CO_RETURN_IF_ERROR(co_await topo::create_cells_alias(t.topology(), q.name(), std::move(alias)));
        co_return vd::AddCellsAliasResponse();
      });
  r.unary<vd::UpdateCellsAliasRequest, vd::UpdateCellsAliasResponse>(
      "UpdateCellsAlias", [](TabletClient& t, vd::UpdateCellsAliasRequest q) -> Answer<vd::UpdateCellsAliasResponse> {
        CO_RETURN_IF_ERROR(co_await topo::update_cells_alias(t.topology(), q.name(), q.cells_alias()));
        vd::UpdateCellsAliasResponse out;
        out.set_name(q.name());
        *out.mutable_cells_alias() = q.cells_alias();
        co_return out;
      });
  r.unary<vd::DeleteCellsAliasRequest, vd::DeleteCellsAliasResponse>(
      "DeleteCellsAlias", [](TabletClient& t, vd::DeleteCellsAliasRequest q) -> Answer<vd::DeleteCellsAliasResponse> {
        CO_RETURN_IF_ERROR(co_await topo::delete_cells_alias(t.topology(), q.name()));
        co_return vd::DeleteCellsAliasResponse();
      });
  r.unary<vd::GetCellsAliasesRequest, vd::GetCellsAliasesResponse>(
      "GetCellsAliases", [](TabletClient& t, vd::GetCellsAliasesRequest) -> Answer<vd::GetCellsAliasesResponse> {
        CO_ASSIGN_OR_RETURN(const auto aliases, co_await topo::get_cells_aliases(t.topology()));
        vd::GetCellsAliasesResponse out;
        for (const auto& [name, record] : aliases) (*out.mutable_aliases())[name] = record;
        co_return out;
      });
}

}  // namespace vitrail::control
