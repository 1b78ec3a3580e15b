// Commands on shards: records, tablet controls, sources, replication graph.
#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "control/client/call.h"
#include "control/client/tablet_text.h"
#include "shard/key_range.h"
#include "shard/shard_name.h"
#include "topo/shard.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

Result<int32_t> parse_number(std::string_view what, const std::string& text) {
  int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(Code::kInvalidArgument, fmt::format("{}: '{}' is not a number", what, text));
  }
  return number;
}

void add_create_and_delete(CommandSet& set) {
  {
    auto f = std::make_shared<std::pair<bool, bool>>();
    auto& s = add_call<vd::CreateShardRequest, vd::CreateShardResponse>(
        set, "CreateShard", "makes a shard",
        [f](const ClientContext& c, auto& q) -> Status {
          ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(c.arguments[0]));
          q.set_keyspace(name.first);
          q.set_shard_name(name.second);
          q.set_force(f->first);
          q.set_include_parent(f->second);
          return {};
        },
        print_json<vd::CreateShardResponse>);
    s.add("force", &f->first, "no error when it exists").alias("f");
    s.add("include-parent", &f->second, "make the keyspace too").alias("p");
    s.arguments("<keyspace/shard>", 1, 1);
  }
  {
    struct Flags {
      bool recursive = false, serving = false, force = false;
    };
    auto f = std::make_shared<Flags>();
    auto& s = add_call<vd::DeleteShardsRequest, vd::DeleteShardsResponse>(
        set, "DeleteShards", "removes shards",
        [f](const ClientContext& c, auto& q) -> Status {
          for (const auto& argument : c.arguments) {
            ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(argument));
            auto* shard = q.add_shards();
            shard->set_keyspace(name.first);
            shard->set_name(name.second);
          }
          q.set_recursive(f->recursive);
          q.set_even_if_serving(f->serving);
          q.set_force(f->force);
          return {};
        },
        [](const ClientContext& c, const auto&) {
          return fmt::format("Successfully deleted {} shards\n", c.arguments.size());
        });
    s.add("recursive", &f->recursive, "with their tablets").alias("r");
    s.add("even-if-serving", &f->serving, "even if they serve");
    s.add("force", &f->force, "as --even-if-serving").alias("f");
    s.arguments("<keyspace/shard> ...", 1, 1000);
  }
  struct Flags {
    bool recursive = false, force = false;
  };
  auto f = std::make_shared<Flags>();
  auto& s = add_call<vd::RemoveShardCellRequest, vd::RemoveShardCellResponse>(
      set, "RemoveShardCell", "takes a cell out of a shard",
      [f](const ClientContext& c, auto& q) -> Status {
        ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(c.arguments[0]));
        q.set_keyspace(name.first);
        q.set_shard_name(name.second);
        q.set_cell(c.arguments[1]);
        q.set_recursive(f->recursive);
        q.set_force(f->force);
        return {};
      },
      [](const ClientContext& c, const auto&) {
        return fmt::format("Successfully removed cell {} from shard {}\n", c.arguments[1], c.arguments[0]);
      });
  s.add("recursive", &f->recursive, "with the cell's tablets").alias("r");
  s.add("force", &f->force, "also when the cell's topology cannot be reached").alias("f");
  s.arguments("<keyspace/shard> <cell>", 2, 2);
}

void add_records(CommandSet& set) {
  add_call<vd::GetShardRequest, vd::GetShardResponse>(
      set, "GetShard", "prints a shard",
      [](const ClientContext& c, auto& q) -> Status {
        ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(c.arguments[0]));
        q.set_keyspace(name.first);
        q.set_shard_name(name.second);
        return {};
      },
      [](const ClientContext& c, const auto& done) { return c.json(done.shard()); })
      .arguments("<keyspace/shard>", 1, 1);
  add_call<vd::SetShardIsPrimaryServingRequest, vd::SetShardIsPrimaryServingResponse>(
      set, "SetShardIsPrimaryServing", "for emergencies: changes the record and nothing else",
      [](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_shard(c, q));
        ASSIGN_OR_RETURN(const bool serving, parse_bool("is_serving", c.arguments[1]));
        q.set_is_serving(serving);
        return {};
      },
      [](const ClientContext& c, const auto& done) { return c.json(done.shard()); })
      .arguments("<keyspace/shard> <true/false>", 2, 2);
  {
    struct Flags {
      std::vector<std::string> cells, tables;
      bool disable = false, remove = false;
    };
    auto f = std::make_shared<Flags>();
    auto& s = add_call<vd::SetShardTabletControlRequest, vd::SetShardTabletControlResponse>(
        set, "SetShardTabletControl", "denies tables, or switches a shard's queries off",
        [f](const ClientContext& c, auto& q) -> Status {
          RETURN_IF_ERROR(fill_shard(c, q));
          ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(c.arguments[1]));
          q.set_tablet_type(type);
          q.mutable_cells()->Add(f->cells.begin(), f->cells.end());
          q.mutable_denied_tables()->Add(f->tables.begin(), f->tables.end());
          q.set_disable_query_service(f->disable);
          q.set_remove(f->remove);
          return {};
        },
        [](const ClientContext& c, const auto& done) { return c.json(done.shard()); });
    s.add("cells", &f->cells, "only in these cells").alias("c");
    s.add("denied-tables", &f->tables, "tables to deny").alias("blacklisted-tables").alias("denylisted-tables");
    s.add("disable-query-service", &f->disable, "no queries at all");
    s.add("remove", &f->remove, "takes the control away").alias("r");
    s.arguments("<keyspace/shard> <tablet type>", 2, 2);
  }
  struct RangeFlags {
    int32_t count = 2, width = 0;
  };
  auto f = std::make_shared<RangeFlags>();
  auto& s =
      set.add(set.root(), "GenerateShardRanges", "prints shard names of equal width", [f](const ClientContext& c) {
        return [](const ClientContext& x, RangeFlags flags) -> Output {
          if (!x.arguments.empty()) {
            CO_ASSIGN_OR_RETURN(flags.count, parse_number("number of shards", x.arguments[0]));
          }
          CO_ASSIGN_OR_RETURN(const auto names, shard::generate_shard_ranges(flags.count, flags.width));
          std::vector<std::string> texts;
          for (const auto& name : names) texts.push_back(base::json_string(name));
          co_return json_array(texts);
        }(c, *f);
      });
  s.add("num-shards", &f->count, "how many; the argument wins");
  s.add("hex-width", &f->width, "digits of each boundary; 0: as many as it takes");
  s.arguments("[<number of shards>]", 0, 1);
}

void add_sources(CommandSet& set) {
  {
    auto f = std::make_shared<std::pair<std::string, std::vector<std::string>>>();
    auto& s = add_call<vd::SourceShardAddRequest, vd::SourceShardAddResponse>(
        set, "SourceShardAdd", "for emergencies: adds a source to a shard's record",
        [f](const ClientContext& c, auto& q) -> Status {
          RETURN_IF_ERROR(fill_shard(c, q));
          ASSIGN_OR_RETURN(const int32_t uid, parse_number("uid of a source", c.arguments[1]));
          ASSIGN_OR_RETURN(const auto source, parse_keyspace_shard(c.arguments[2]));
          q.set_uid(uid);
          q.set_source_keyspace(source.first);
          q.set_source_shard(source.second);
          q.mutable_tables()->Add(f->second.begin(), f->second.end());
          if (f->first.empty()) return {};
          const auto range = shard::ShardName::parse(f->first);
          if (!range.ok()) return Error(range.error()).with_context("--key-range");
          *q.mutable_key_range() = topo::to_proto(range->covered_range());
          return {};
        },
        [](const ClientContext& c, const auto& done) -> Result<std::string> {
          if (!done.has_shard()) {
            return fmt::format("SourceShard with uid {} already exists for {}, not adding it.\n", c.arguments[1],
                               c.arguments[0]);
          }
          ASSIGN_OR_RETURN(const std::string json, c.json(done.shard()));
          return "Updated shard record:\n" + json;
        });
    s.add("key-range", &f->first, "rows of this range, as a shard's name says it");
    s.add("tables", &f->second, "only these tables");
    s.arguments("<keyspace/shard> <uid> <source keyspace/shard>", 3, 3);
  }
  add_call<vd::SourceShardDeleteRequest, vd::SourceShardDeleteResponse>(
      set, "SourceShardDelete", "for emergencies: removes a source from a shard's record",
      [](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_shard(c, q));
        ASSIGN_OR_RETURN(const int32_t uid, parse_number("uid of a source", c.arguments[1]));
        q.set_uid(uid);
        return {};
      },
      [](const ClientContext& c, const auto& done) -> Result<std::string> {
        if (!done.has_shard()) return fmt::format("No SourceShard with uid {}.\n", c.arguments[1]);
        ASSIGN_OR_RETURN(const std::string json, c.json(done.shard()));
        return "Updated shard record:\n" + json;
      })
      .arguments("<keyspace/shard> <uid>", 2, 2);
}

// One line for each tablet, the primary first, then by alias.
std::string positions(const vd::ShardReplicationPositionsResponse& done) {
  std::vector<const ::topodata::Tablet*> tablets;
  for (const auto& [alias, tablet] : done.tablet_map()) tablets.push_back(&tablet);
  std::ranges::sort(tablets, {}, [](const auto* tablet) {
    return std::pair(tablet->type() != ::topodata::PRIMARY, topo::alias_to_string(tablet->alias()));
  });
  std::string out;
  for (const auto* tablet : tablets) {
    std::string line = tablet_line(*tablet);
    line.pop_back();
    const auto status = done.replication_statuses().find(topo::alias_to_string(tablet->alias()));
    out += status == done.replication_statuses().end()
               ? line + " <err> <err> <err>\n"
               : fmt::format("{} {} {}\n", line, status->second.position(), status->second.replication_lag_seconds());
  }
  return out;
}

void add_replication(CommandSet& set) {
  add_call<vd::GetShardReplicationRequest, vd::GetShardReplicationResponse>(
      set, "GetShardReplication", "prints the replication graph of a shard, by cell",
      [](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_shard(c, q));
        q.mutable_cells()->Add(c.arguments.begin() + 1, c.arguments.end());
        return {};
      },
      print_json<vd::GetShardReplicationResponse>)
      .arguments("<keyspace/shard> [<cell> ...]", 1, 1000);
  add_call<vd::ShardReplicationPositionsRequest, vd::ShardReplicationPositionsResponse>(
      set, "ShardReplicationPositions", "lists the tablets of a shard with their positions",
      fill_shard<vd::ShardReplicationPositionsRequest>,
      [](const ClientContext&, const auto& done) { return positions(done); })
      .arguments("<keyspace/shard>", 1, 1);
  add_call<vd::ShardReplicationFixRequest, vd::ShardReplicationFixResponse>(
      set, "ShardReplicationFix", "repairs the replication graph of a shard in one cell",
      [](const ClientContext& c, auto& q) -> Status {
        q.set_cell(c.arguments[0]);
        ASSIGN_OR_RETURN(auto name, parse_keyspace_shard(c.arguments[1]));
        q.set_keyspace(name.first);
        q.set_shard(name.second);
        return {};
      },
      [](const ClientContext&, const auto& done) -> Result<std::string> {
        if (!done.has_error()) return "All nodes in the replication graph are valid.\n";
        const bool missing = done.error().type() == ::topodata::ShardReplicationError::NOT_FOUND;
        return fmt::format("{} has been fixed for {}.\n", missing ? "NOT_FOUND" : "TOPOLOGY_MISMATCH",
                           topo::alias_to_string(done.error().tablet_alias()));
      })
      .arguments("<cell> <keyspace/shard>", 2, 2);
  const auto fill = [](const ClientContext& c, auto& q) -> Status {
    RETURN_IF_ERROR(fill_shard(c, q));
    ASSIGN_OR_RETURN(*q.mutable_tablet_alias(), topo::parse_alias(c.arguments[1]));
    return {};
  };
  add_call<vd::ShardReplicationAddRequest, vd::ShardReplicationAddResponse>(
      set, "ShardReplicationAdd", "for emergencies: adds a tablet to the replication graph", fill)
      .arguments("<keyspace/shard> <tablet alias>", 2, 2);
  add_call<vd::ShardReplicationRemoveRequest, vd::ShardReplicationRemoveResponse>(
      set, "ShardReplicationRemove", "for emergencies: removes a tablet from the replication graph", fill)
      .arguments("<keyspace/shard> <tablet alias>", 2, 2);
}

}  // namespace

void add_shard_commands(CommandSet& set) {
  add_create_and_delete(set);
  add_records(set);
  add_sources(set);
  add_replication(set);
}

}  // namespace vitrail::control
