// Commands on paths of the topology.
#include "control/client/call.h"
#include "topo/server.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// The bytes of a file become the record at a path: for repairs. vtctld has no such method, so this goes to the topology
// itself.
Output write_path(const ClientContext& context, std::string cell) {
  if (!context.topology) co_return fail(Code::kUnimplemented, "WriteTopologyPath needs the --topo settings");
  CO_ASSIGN_OR_RETURN(std::string data, context.file(context.arguments[1]));
  CO_ASSIGN_OR_RETURN(topo::Server * topology, co_await context.topology());
  std::shared_ptr<topo::Store> keep;
  topo::Store* store = &topology->global();
  if (cell != "global") {
    CO_ASSIGN_OR_RETURN(keep, co_await topology->store_for_cell(cell));
    store = keep.get();
  }
  auto written = co_await store->update(context.arguments[0], std::move(data), std::nullopt);
  if (!written.ok()) co_return std::move(written).error();
  co_return std::string();
}

}  // namespace

void add_path_commands(CommandSet& set) {
  {
    auto f = std::make_shared<std::pair<int64_t, bool>>();
    auto& s = add_call<vd::GetTopologyPathRequest, vd::GetTopologyPathResponse>(
        set, "GetTopologyPath", "prints what is stored at a path",
        [f](const ClientContext& c, auto& q) -> Status {
          q.set_path(c.arguments[0]);
          q.set_version(f->first);
          q.set_as_json(f->second);
          return {};
        },
        [f](const ClientContext& c, const auto& done) -> Result<std::string> {
          if (!f->second) return c.json(done.cell());
          if (done.cell().data().empty()) {
            return fail(Code::kNotFound, "no data found for path " + c.arguments[0]);
          }
          return done.cell().data() + "\n";
        });
    s.add("version", &f->first, "an older version of the record, where the store remembers it; 0: the newest");
    s.add("data-as-json", &f->second, "only the record, as JSON");
    s.arguments("<path>", 1, 1);
  }
  auto cell = std::make_shared<std::string>("global");
  auto& s =
      set.add(set.root(), "WriteTopologyPath", "writes a file's bytes to a path of the topology (--topo settings)",
              [cell](const ClientContext& c) { return write_path(c, *cell); });
  s.add("cell", cell.get(), "global, or the cell whose topology is meant");
  s.arguments("<path> <file>", 2, 2);
}

}  // namespace vitrail::control
