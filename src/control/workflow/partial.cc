#include "control/workflow/partial.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "control/workflow/cleanup.h"
#include "control/workflow/moved_tables.h"
#include "topo/vschema.h"

namespace vitrail::control {

using engine::Record;

bool is_partial(const Record& record) {
  const auto found = record.options().find(kPartialOption);
  return found != record.options().end() && found->second == "true";
}

bool is_ending(const Record& record) {
  return record.has_open() && (record.open().kind() == "complete" || record.open().kind() == "cancel");
}

bool are_siblings(const Record& a, const Record& b) {
  return a.id() != b.id() && is_partial(a) && is_partial(b) && a.source_keyspace() == b.source_keyspace() &&
         a.target_keyspace() == b.target_keyspace();
}

bool is_last(const Record& record, std::span<const engine::StoredRecord> others,
             const ::vschema::ShardRoutingRules& rules, bool cancelled) {
  if (!is_partial(record)) return true;
  const bool needed = std::ranges::any_of(others, [&](const engine::StoredRecord& other) {
    return are_siblings(record, other.record) && !is_ending(other.record);
  });
  if (needed) return false;
  // Shards of workflows that were completed before.
  return !cancelled || vschema::routed_shards(rules, record.source_keyspace(), record.target_keyspace()).empty();
}

net::Task<Result<bool>> read_is_last(topo::Server& topology, Record record, bool cancelled) {
  if (!is_partial(record)) co_return true;
  CO_ASSIGN_OR_RETURN(const auto records, co_await engine::list_records(topology));
  CO_ASSIGN_OR_RETURN(const auto rules, co_await topo::get_shard_routing_rules(topology));
  co_return is_last(record, records, rules.rules, cancelled);
}

Status check_same_places(const ::vschema::Keyspace& source, const ::vschema::Keyspace& target,
                         const std::vector<std::string>& tables) {
  // "hash {} of id": what decides the shard of a row.
  const auto place = [](const ::vschema::Keyspace& keyspace, const std::string& name) {
    const auto table = keyspace.tables().find(name);
    if (table == keyspace.tables().end()) return std::string("no entry");
    if (table->second.type() == "reference") return std::string("in every shard");
    if (table->second.column_vindexes().empty()) return std::string("no primary vindex");
    const auto& column = table->second.column_vindexes(0);
    std::string out;
    const auto vindex = keyspace.vindexes().find(column.name());
    if (vindex != keyspace.vindexes().end()) {
      out = vindex->second.type();
      const std::map<std::string, std::string> params(vindex->second.params().begin(), vindex->second.params().end());
      for (const auto& [key, value] : params) out += fmt::format(" {}={}", key, value);
    }
    std::vector<std::string> columns(column.columns().begin(), column.columns().end());
    if (!column.column().empty()) columns = {column.column()};
    return fmt::format("{} of {}", out, base::join(columns, ","));
  };
  for (const auto& table : tables) {
    const std::string from = place(source, table);
    const std::string to = place(target, table);
    if (from == to) continue;
    return fail(Code::kFailedPrecondition,
                fmt::format("table {} cannot be moved shard by shard: its rows are placed by \"{}\" in the source's "
                            "vschema and by \"{}\" in the target's",
                            table, from, to));
  }
  return {};
}

net::Task<Status> check_whole_shards(TabletClient& tablets, Side source, std::vector<std::string> tables) {
  const std::set<std::string> moved(tables.begin(), tables.end());
  co_return co_await for_all<Place>(source.places, [&](Place place) {
    return [](TabletClient& client, const std::set<std::string>& names, const std::string& keyspace,
              Place where) -> net::Task<Status> {
      CO_ASSIGN_OR_RETURN(const auto present, co_await list_tables(client, *where.primary));
      for (const auto& [name, is_view] : present) {
        if (names.contains(name) || is_internal_table_name(name)) continue;
        co_return fail(Code::kFailedPrecondition,
                       fmt::format("a shard is moved with all that is in it: {} {} of {}/{} would stay behind; give "
                                   "--all-tables{}",
                                   is_view ? "view" : "table", name, keyspace, where.shard,
                                   is_view ? ", and drop the view first" : ""));
      }
      co_return Status{};
    }(tablets, moved, source.keyspace, std::move(place));
  });
}

bool are_writes_switched(const vschema::TrafficState& state, const Record& record) {
  if (!is_partial(record)) return state.writes_switched;
  return std::ranges::all_of(record.source_shards(), [&](const std::string& shard) {
    return std::ranges::find(state.shards_switched, shard) != state.shards_switched.end();
  });
}

Status check_all_shards(const Record& record, std::vector<std::string> given) {
  if (given.empty()) return {};
  std::vector<std::string> own(record.target_shards().begin(), record.target_shards().end());
  std::ranges::sort(own);
  std::ranges::sort(given);
  if (given == own) return {};
  return fail(
      Code::kInvalidArgument,
      fmt::format("--shards: all shards of {} go together: {}; to move some of them first, create a workflow for "
                  "each part with --source-shards",
                  engine::name_of(record), base::join(own, ",")));
}

net::Task<Result<Side>> load_source(TabletClient& tablets, engine::Record record, bool ignored) {
  if (!ignored) {
    co_return co_await load_side(tablets, record.source_keyspace(),
                                 {record.source_shards().begin(), record.source_shards().end()});
  }
  if (record.kind() == "MoveTables") co_return Side{record.source_keyspace(), {}};
  co_return fail(Code::kInvalidArgument, "--ignore-source-keyspace is for MoveTables");
}

}  // namespace vitrail::control
