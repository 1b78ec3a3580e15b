#include "control/workflow/target_sequences.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/states/sequences.h"
#include "mysqld/rows.h"
#include "topo/keyspace.h"
#include "topo/vschema.h"
#include "topo/workflow_fence.h"

namespace vitrail::control {
namespace {

namespace tmd = ::tabletmanagerdata;
using namespace std::chrono_literals;

constexpr int64_t kCache = 1000;

net::Wait usual() { return net::Wait::within(30s); }

// The first value of the first row; 0 for NULL and for no row.
net::Task<Result<int64_t>> ask_number(TabletClient& tablets, ::topodata::Tablet tablet, std::string sql) {
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_db_name(topo::tablet_db_name(tablet));
  request.set_query(std::move(sql));
  request.set_max_rows(10);
  CO_ASSIGN_OR_RETURN(const auto done, co_await tablets.call<tmd::ExecuteFetchAsDbaResponse>(
                                           std::move(tablet), "ExecuteFetchAsDba", std::move(request), usual()));
  if (done.result().rows_size() == 0 || done.result().rows(0).lengths_size() == 0) co_return int64_t{0};
  const auto& row = done.result().rows(0);
  if (row.lengths(0) < 0) co_return int64_t{0};
  co_return std::atoll(row.values().substr(0, static_cast<size_t>(row.lengths(0))).c_str());
}

net::Task<Result<std::map<std::string, ::vschema::Keyspace>>> read_vschemas(topo::Server& topology) {
  std::map<std::string, ::vschema::Keyspace> out;
  CO_ASSIGN_OR_RETURN(const auto keyspaces, co_await topo::get_keyspaces(topology));
  for (const auto& keyspace : keyspaces) {
    auto vschema = co_await topo::get_vschema(topology, keyspace);
    if (vschema.ok()) out[keyspace] = std::move(vschema->record);
    if (!vschema.ok() && vschema.error().code() != Code::kNotFound) co_return std::move(vschema).error();
  }
  co_return out;
}

}  // namespace

net::Task<Result<std::vector<SequenceState>>> read_target_sequences(TabletClient& tablets, const Side& from,
                                                                    std::string target_keyspace,
                                                                    std::vector<std::string> tables) {
  std::vector<SequenceState> out;
  CO_ASSIGN_OR_RETURN(const auto vschemas, co_await read_vschemas(tablets.topology()));
  CO_ASSIGN_OR_RETURN(const auto uses, states::find_sequences(vschemas, target_keyspace, tables));
  for (const auto& use : uses) {
    SequenceState state{
        .table = use.table, .column = use.column, .keyspace = use.sequence_keyspace, .sequence = use.sequence};
    CO_ASSIGN_OR_RETURN(const auto shards, co_await topo::find_serving_shards(tablets.topology(), state.keyspace));
    if (shards.size() != 1) {
      co_return fail(Code::kFailedPrecondition, fmt::format("the sequence {}.{} is not in a keyspace of one shard",
                                                            state.keyspace, state.sequence));
    }
    CO_ASSIGN_OR_RETURN(state.tablet, co_await tablets.primary_of(state.keyspace, shards.front().name));
    auto next = co_await ask_number(
        tablets, state.tablet,
        fmt::format("select next_id from {} where id = 0", mysqld::quote_identifier(state.sequence)));
    if (!next.ok()) {
      co_return Error(next.error())
          .with_context(fmt::format("sequence {}.{} (create table {} (id bigint primary key, next_id bigint, cache "
                                    "bigint) comment 'vitess_sequence' makes it)",
                                    state.keyspace, state.sequence, state.sequence));
    }
    state.next = *next;
    const std::string largest = fmt::format("select max({}) from {}", mysqld::quote_identifier(state.column),
                                            mysqld::quote_identifier(state.table));
    CO_RETURN_IF_ERROR(co_await for_all<::topodata::Tablet>(from.primaries(), [&](::topodata::Tablet primary) {
      return [](TabletClient& client, ::topodata::Tablet where, std::string sql, int64_t& most) -> net::Task<Status> {
        CO_ASSIGN_OR_RETURN(const int64_t here, co_await ask_number(client, std::move(where), std::move(sql)));
        most = std::max(most, here);
        co_return Status{};
      }(tablets, std::move(primary), largest, state.largest);
    }));
    out.push_back(std::move(state));
  }
  co_return out;
}

std::optional<int64_t> raised_sequence(const SequenceState& state) {
  const int64_t least = state.largest + 1;
  if (state.next >= least && state.next > 0) return std::nullopt;
  return least;
}

net::Task<Status> raise_sequence(TabletClient& tablets, ::workflowdata::Fence fence, SequenceState state,
                                 net::Wait wait) {
  const auto least = raised_sequence(state);
  if (!least) co_return Status{};
  tmd::ExecuteFetchAsDbaRequest request;
  request.set_db_name(topo::tablet_db_name(state.tablet));
  // Never lower: somebody may have raised it meanwhile.
  request.set_query(
      fmt::format("insert into {} (id, next_id, cache) values (0, {}, {}) on duplicate key update next_id "
                  "= greatest(coalesce(next_id, 0), values(next_id))",
                  mysqld::quote_identifier(state.sequence), *least, kCache));
  topo::set_fence(request, fence);
  auto raised = co_await tablets.call<tmd::ExecuteFetchAsDbaResponse>(state.tablet, "ExecuteFetchAsDba",
                                                                      std::move(request), wait);
  if (!raised.ok()) co_return std::move(raised).error();
  tmd::ResetSequencesRequest reset;
  reset.add_tables(state.sequence);
  auto done =
      co_await tablets.call<tmd::ResetSequencesResponse>(state.tablet, "ResetSequences", std::move(reset), wait);
  if (!done.ok()) co_return std::move(done).error();
  co_return Status{};
}

std::string describe_sequence(const SequenceState& state) {
  return fmt::format("Backing table: {}, current value {}, new value {}", state.sequence, state.next,
                     raised_sequence(state).value_or(state.next));
}

}  // namespace vitrail::control
