#include "control/states/sequences.h"

#include <fmt/core.h>

#include <algorithm>

#include "topo/keyspace.h"
#include "topo/shard.h"
#include "topo/vschema.h"
#include "vtctldata.pb.h"

namespace vitrail::control::states {
namespace {

namespace vd = ::vtctldata;
using namespace std::chrono_literals;

std::string quoted_name(std::string_view name) {
  std::string out = "`";
  for (const char c : name) out += c == '`' ? std::string("``") : std::string(1, c);
  return out + "`";
}

// The first value of the first row; "" for NULL and for no row.
net::Task<Result<std::string>> ask(const Plane& plane, ::topodata::TabletAlias tablet, std::string query) {
  vd::ExecuteFetchAsDBARequest q;
  *q.mutable_tablet_alias() = std::move(tablet);
  q.set_query(std::move(query));
  q.set_max_rows(10);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await rpc::call<vd::ExecuteFetchAsDBAResponse>(
                          plane.vtctld, "/vtctlservice.Vtctld/ExecuteFetchAsDBA", q, net::Wait::within(60s)));
  if (done.result().rows_size() == 0 || done.result().rows(0).lengths_size() == 0) co_return std::string();
  const auto& row = done.result().rows(0);
  co_return row.lengths(0) < 0 ? std::string() : row.values().substr(0, static_cast<size_t>(row.lengths(0)));
}

// Primaries of a keyspace's shards; only of these, when some are named.
net::Task<Result<std::vector<::topodata::TabletAlias>>> primaries(
    const Plane& plane, std::string keyspace, google::protobuf::RepeatedPtrField<std::string> only) {
  std::vector<::topodata::TabletAlias> out;
  CO_ASSIGN_OR_RETURN(const auto names, co_await topo::get_shard_names(plane.tablets.topology(), keyspace));
  for (const auto& name : names) {
    if (!only.empty() && std::ranges::find(only, name) == only.end()) continue;
    CO_ASSIGN_OR_RETURN(const auto shard, co_await topo::get_shard(plane.tablets.topology(), keyspace, name));
    if (shard.record.has_primary_alias() && shard.record.is_primary_serving())
      out.push_back(shard.record.primary_alias());
  }
  co_return out;
}

net::Task<Result<int64_t>> largest_id(const Plane& plane, const Record& record, const SequenceUse& use) {
  CO_ASSIGN_OR_RETURN(const auto tablets, co_await primaries(plane, record.source_keyspace(), record.source_shards()));
  int64_t largest = 0;
  for (const auto& tablet : tablets) {
    CO_ASSIGN_OR_RETURN(
        const std::string value,
        co_await ask(plane, tablet,
                     fmt::format("select max({}) from {}", quoted_name(use.column), quoted_name(use.table))));
    largest = std::max<int64_t>(largest, std::atoll(value.c_str()));
  }
  co_return largest;
}

}  // namespace

Result<std::vector<SequenceUse>> find_sequences(const std::map<std::string, ::vschema::Keyspace>& vschemas,
                                                const std::string& target, const std::vector<std::string>& tables) {
  std::vector<SequenceUse> out;
  const auto keyspace = vschemas.find(target);
  if (keyspace == vschemas.end()) return out;
  for (const std::string& table : tables) {
    const auto found = keyspace->second.tables().find(table);
    if (found == keyspace->second.tables().end() || !found->second.has_auto_increment()) continue;
    SequenceUse use{.table = table, .column = found->second.auto_increment().column()};
    std::string name = found->second.auto_increment().sequence();
    std::erase(name, '`');
    const size_t dot = name.find('.');
    use.sequence = dot == std::string::npos ? name : name.substr(dot + 1);
    std::vector<std::string> places;
    for (const auto& [place, vschema] : vschemas) {
      if (dot != std::string::npos && place != name.substr(0, dot)) continue;
      const auto sequence = vschema.tables().find(use.sequence);
      if (sequence != vschema.tables().end() && sequence->second.type() == "sequence") places.push_back(place);
    }
    if (places.size() != 1) {
      return fail(
          Code::kFailedPrecondition,
          fmt::format("{}.{} takes its ids from the sequence {}, and {} a table of type sequence with that name: "
                      "{} it in the VSchema",
                      table, use.column, name, places.empty() ? "no keyspace has" : "several keyspaces have",
                      places.empty() ? "make it, and declare" : "give its keyspace for"));
    }
    use.sequence_keyspace = places.front();
    out.push_back(std::move(use));
  }
  return out;
}

net::Task<Status> initialize_sequences(const Plane& plane, const Record& record) {
  if (record.kind() != "MoveTables") co_return Status{};  // The shards of a Reshard use theirs already.
  topo::Server& topology = plane.tablets.topology();
  std::map<std::string, ::vschema::Keyspace> vschemas;
  CO_ASSIGN_OR_RETURN(const auto keyspaces, co_await topo::get_keyspaces(topology));
  for (const auto& keyspace : keyspaces) {
    auto vschema = co_await topo::get_vschema(topology, keyspace);
    if (vschema.ok()) vschemas[keyspace] = std::move(vschema->record);
    if (!vschema.ok() && vschema.error().code() != Code::kNotFound) co_return std::move(vschema).error();
  }
  CO_ASSIGN_OR_RETURN(const auto uses, find_sequences(vschemas, record.target_keyspace(),
                                                      {record.tables().begin(), record.tables().end()}));
  for (const SequenceUse& use : uses) {
    CO_ASSIGN_OR_RETURN(const int64_t largest, co_await largest_id(plane, record, use));
    CO_ASSIGN_OR_RETURN(const auto homes, co_await primaries(plane, use.sequence_keyspace, {}));
    if (homes.size() != 1) {
      co_return fail(Code::kFailedPrecondition, fmt::format("the sequence {}.{} is not in a keyspace of one shard",
                                                            use.sequence_keyspace, use.sequence));
    }
    const std::string table = quoted_name(use.sequence);
    const auto made = co_await ask(
        plane, homes.front(),
        fmt::format("insert ignore into {} (id, next_id, cache) values (0, {}, 1000)", table, largest + kSequenceGap));
    if (!made.ok()) {
      co_return Error(made.error())
          .with_context(fmt::format(
              "sequence {}.{} (create table {} (id bigint primary key, next_id bigint, cache bigint) comment "
              "'vitess_sequence' makes it)",
              use.sequence_keyspace, use.sequence, use.sequence));
    }
    auto raised =
        co_await ask(plane, homes.front(),
                     fmt::format("update {} set next_id = {} where id = 0 and (next_id is null or next_id <= {})",
                                 table, largest + kSequenceGap, largest + kSequenceGap / 2));
    if (!raised.ok()) co_return std::move(raised).error();
    // What the tablet has put aside is below.
    ::topodata::TabletAlias home = homes.front();
    CO_ASSIGN_OR_RETURN(auto tablet, co_await topo::get_tablet(topology, home));
    ::tabletmanagerdata::ResetSequencesRequest reset;
    reset.add_tables(use.sequence);
    auto done = co_await plane.tablets.call<::tabletmanagerdata::ResetSequencesResponse>(
        tablet.record, "ResetSequences", std::move(reset), net::Wait::within(30s));
    if (!done.ok()) co_return std::move(done).error();
  }
  co_return Status{};
}

}  // namespace vitrail::control::states
