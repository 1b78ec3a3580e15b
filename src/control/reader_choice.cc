#include "control/reader_choice.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "control/fan_out.h"
#include "control/workflow/stream_settings.h"
#include "topo/cells.h"

namespace vitrail::control {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration kAnswerTime = 5s;
constexpr uint32_t kLagMax_s = 60;  // Behind that another one is better.

net::Task<Status> choose_reader(TabletClient& tablets, topo::TabletQuery query, ReaderChoice choice,
                                ::topodata::Tablet& out) {
  const std::string place = query.keyspace + "/" + query.shard;
  CO_ASSIGN_OR_RETURN(auto list, co_await topo::find_tablets(tablets.topology(), std::move(query)));
  std::string why;
  for (const auto& tablet : rank_readers(choice, std::move(list.tablets))) {
    const auto health = co_await tablets.health_of(tablet, net::Wait::within(kAnswerTime));
    const std::string problem = health.ok() ? why_not_read(*health) : health.error().message();
    if (problem.empty()) {
      out = tablet;
      co_return Status{};
    }
    why += "; " + topo::alias_to_string(tablet.alias()) + ": " + problem;
  }
  co_return fail(Code::kFailedPrecondition,
                 fmt::format("no tablet of {} can be read from among the wanted types and cells{}", place, why));
}

}  // namespace

bool ReaderChoice::only_primaries() const {
  return std::ranges::all_of(types, [](auto type) { return type == ::topodata::PRIMARY; }) && cells.empty();
}

std::vector<::topodata::Tablet> rank_readers(const ReaderChoice& choice, std::vector<::topodata::Tablet> tablets) {
  const auto rank = [&](const ::topodata::Tablet& tablet) {
    if (choice.types.empty() && tablet.type() == ::topodata::PRIMARY) return size_t{0};
    const auto found = std::ranges::find(choice.types, tablet.type());
    if (found == choice.types.end()) return SIZE_MAX;
    return choice.in_order ? static_cast<size_t>(found - choice.types.begin()) : 0;
  };
  std::erase_if(tablets, [&](const auto& tablet) { return rank(tablet) == SIZE_MAX; });
  std::ranges::sort(tablets, {},
                    [&](const auto& tablet) { return std::pair(rank(tablet), topo::alias_to_string(tablet.alias())); });
  return tablets;
}

std::string why_not_read(const ::query::StreamHealthResponse& health) {
  const auto& stats = health.realtime_stats();
  if (!stats.health_error().empty()) return stats.health_error();
  if (!health.serving()) return "it does not serve";
  if (stats.replication_lag_seconds() > kLagMax_s) {
    return fmt::format("it is {} s behind", stats.replication_lag_seconds());
  }
  return "";
}

net::Task<Result<std::map<std::string, ::topodata::Tablet>>> choose_readers(TabletClient& tablets, std::string keyspace,
                                                                            std::vector<std::string> shards,
                                                                            ReaderChoice choice) {
  CO_RETURN_IF_ERROR(
      co_await check_sources(tablets.topology(), choice.cells, {choice.types.begin(), choice.types.end()}));
  topo::TabletQuery query;
  query.keyspace = std::move(keyspace);
  if (!choice.cells.empty()) {
    CO_ASSIGN_OR_RETURN(query.cells, co_await topo::expand_cells(tablets.topology(), choice.cells));
  }
  std::map<std::string, ::topodata::Tablet> out;
  for (const auto& shard : shards) out[shard];
  CO_RETURN_IF_ERROR(co_await for_all<std::string>(std::move(shards), [&](std::string shard) {
    topo::TabletQuery of_shard = query;
    of_shard.shard = shard;
    return choose_reader(tablets, std::move(of_shard), choice, out[shard]);
  }));
  co_return std::move(out);
}

}  // namespace vitrail::control
