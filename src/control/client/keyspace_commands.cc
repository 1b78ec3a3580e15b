// Commands on keyspaces and their serving graph.
#include <ctime>

#include "control/client/call.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// "2026-01-02T03:04:05Z", or with an offset "+02:00" in place of the Z.
Result<::vttime::Time> parse_timestamp(const std::string& text) {
  const auto bad = [&] {
    return fail(Code::kInvalidArgument,
                "--snapshot-timestamp: '" + text + "' is not a time such as 2026-01-02T03:04:05Z");
  };
  std::tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return bad();
  int64_t offset_s = 0;
  if (std::string_view(rest) != "Z") {
    int hours = 0, minutes = 0;
    char sign = 0;
    int used = 0;
    if (std::sscanf(rest, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) != 3 || rest[used] != 0) return bad();
    if ((sign != '+' && sign != '-') || hours > 14 || minutes > 59) return bad();
    offset_s = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
  }
  ::vttime::Time time;
  time.set_seconds(timegm(&parts) - offset_s);
  return time;
}

struct CreateFlags {
  bool force = false, empty = false;
  std::string durability, sidecar = "_vt", type = "NORMAL", base, time;
};

Status fill_create(const CreateFlags& flags, const ClientContext& context, vd::CreateKeyspaceRequest& request) {
  request.set_name(context.arguments[0]);
  request.set_force(flags.force);
  request.set_allow_empty_v_schema(flags.empty);
  request.set_sidecar_db_name(flags.sidecar);
  request.set_base_keyspace(flags.base);
  if (flags.type != "SNAPSHOT") {
    request.set_durability_policy(flags.durability.empty() ? "none" : flags.durability);
    if (!flags.base.empty() || !flags.time.empty()) {
      return fail(Code::kInvalidArgument, "--base-keyspace and --snapshot-timestamp belong to --type SNAPSHOT");
    }
    return {};
  }
  request.set_type(::topodata::SNAPSHOT);
  if (!flags.durability.empty()) {
    return fail(Code::kInvalidArgument, "durability-policy cannot be specified while creating a snapshot keyspace");
  }
  if (flags.base.empty()) {
    return fail(Code::kInvalidArgument, "base keyspace must be specified when creating a SNAPSHOT keyspace");
  }
  if (flags.time.empty()) {
    return fail(Code::kInvalidArgument, "snapshot timestamp must be specified when creating a SNAPSHOT keyspace");
  }
  ASSIGN_OR_RETURN(*request.mutable_snapshot_time(), parse_timestamp(flags.time));
  if (request.snapshot_time().seconds() > std::time(nullptr)) {
    return fail(Code::kInvalidArgument, "--snapshot-timestamp: timestamp cannot be in the future");
  }
  return {};
}

void add_create(CommandSet& set) {
  auto f = std::make_shared<CreateFlags>();
  auto& s = add_call<vd::CreateKeyspaceRequest, vd::CreateKeyspaceResponse>(
      set, "CreateKeyspace", "makes a keyspace", [f](const ClientContext& c, auto& q) { return fill_create(*f, c, q); },
      [](const ClientContext& c, const auto& done) -> Result<std::string> {
        ASSIGN_OR_RETURN(const std::string json, c.json(done.keyspace()));
        return "Successfully created keyspace " + c.arguments[0] + ". Result:\n" + json;
      });
  s.add("force", &f->force, "no error when it exists").alias("f");
  s.add("allow-empty-vschema", &f->empty, "do not write an empty VSchema").alias("e");
  s.add("durability-policy", &f->durability,
        "whose acknowledgement commits wait for: none (default), semi_sync, cross_cell ...");
  s.add("sidecar-db-name", &f->sidecar, "database of the tablets' own tables");
  s.add("type", &f->type, "kind of keyspace").one_of({"NORMAL", "SNAPSHOT"});
  s.add("base-keyspace", &f->base, "of a SNAPSHOT keyspace: what it is a snapshot of");
  s.add("snapshot-timestamp", &f->time, "of a SNAPSHOT keyspace: its time, as 2026-01-02T03:04:05Z");
  s.arguments("<keyspace>", 1, 1);
}

void add_delete(CommandSet& set) {
  struct Flags {
    bool recursive = false, force = false;
  };
  {
    auto f = std::make_shared<Flags>();
    auto& s = add_call<vd::DeleteKeyspaceRequest, vd::DeleteKeyspaceResponse>(
        set, "DeleteKeyspace", "removes a keyspace",
        [f](const ClientContext& c, auto& q) -> Status {
          q.set_keyspace(c.arguments[0]);
          q.set_recursive(f->recursive);
          q.set_force(f->force);
          return {};
        },
        [](const ClientContext& c, const auto&) { return "Successfully deleted keyspace " + c.arguments[0] + ".\n"; });
    s.add("recursive", &f->recursive, "with its shards and tablets").alias("r");
    s.add("force", &f->force, "what is left of a keyspace whose record is gone, and with cells that do not answer")
        .alias("f");
    s.arguments("<keyspace>", 1, 1);
  }
  auto f = std::make_shared<Flags>();
  auto& s = add_call<vd::RemoveKeyspaceCellRequest, vd::RemoveKeyspaceCellResponse>(
      set, "RemoveKeyspaceCell", "takes a cell out of all shards of a keyspace",
      [f](const ClientContext& c, auto& q) -> Status {
        q.set_keyspace(c.arguments[0]);
        q.set_cell(c.arguments[1]);
        q.set_recursive(f->recursive);
        q.set_force(f->force);
        return {};
      },
      [](const ClientContext& c, const auto&) {
        return fmt::format("Successfully removed keyspace {} from cell {}\n", c.arguments[0], c.arguments[1]);
      });
  s.add("recursive", &f->recursive, "with the cell's tablets").alias("r");
  s.add("force", &f->force, "also when the cell's topology cannot be reached").alias("f");
  s.arguments("<keyspace> <cell>", 2, 2);
}

void add_reads(CommandSet& set) {
  add_call<vd::GetKeyspaceRequest, vd::GetKeyspaceResponse>(
      set, "GetKeyspace", "prints a keyspace",
      [](const ClientContext& c, auto& q) -> Status {
        q.set_keyspace(c.arguments[0]);
        return {};
      },
      [](const ClientContext& c, const auto& done) { return c.json(done.keyspace()); })
      .arguments("<keyspace>", 1, 1);
  add_call<vd::GetKeyspacesRequest, vd::GetKeyspacesResponse>(
      set, "GetKeyspaces", "prints all keyspaces", {},
      [](const ClientContext& c, const auto& done) { return json_list(c, done.keyspaces()); });
  add_call<vd::FindAllShardsInKeyspaceRequest, vd::FindAllShardsInKeyspaceResponse>(
      set, "FindAllShardsInKeyspace", "prints the shards of a keyspace",
      [](const ClientContext& c, auto& q) -> Status {
        q.set_keyspace(c.arguments[0]);
        return {};
      },
      [](const ClientContext& c, const auto& done) { return c.json(done); })
      .arguments("<keyspace>", 1, 1);
  add_call<vd::GetSrvKeyspaceNamesRequest, vd::GetSrvKeyspaceNamesResponse>(
      set, "GetSrvKeyspaceNames", "prints the keyspaces that each cell serves",
      [](const ClientContext& c, auto& q) -> Status {
        q.mutable_cells()->Add(c.arguments.begin(), c.arguments.end());
        return {};
      },
      [](const ClientContext& c, const auto& done) { return json_map(c, done.names()); })
      .arguments("[<cell> ...]", 0, 1000);
  add_call<vd::GetSrvKeyspacesRequest, vd::GetSrvKeyspacesResponse>(
      set, "GetSrvKeyspaces", "prints the serving graph of a keyspace, by cell",
      [](const ClientContext& c, auto& q) -> Status {
        q.set_keyspace(c.arguments[0]);
        q.mutable_cells()->Add(c.arguments.begin() + 1, c.arguments.end());
        return {};
      },
      [](const ClientContext& c, const auto& done) { return json_map(c, done.srv_keyspaces()); })
      .arguments("<keyspace> [<cell> ...]", 1, 1000);
}

void add_changes(CommandSet& set) {
  {
    auto policy = std::make_shared<std::string>("none");
    auto& s = add_call<vd::SetKeyspaceDurabilityPolicyRequest, vd::SetKeyspaceDurabilityPolicyResponse>(
        set, "SetKeyspaceDurabilityPolicy",
        "records which replicas must have a transaction before it is acknowledged (not enforced yet)",
        [policy](const ClientContext& c, auto& q) -> Status {
          q.set_keyspace(c.arguments[0]);
          q.set_durability_policy(*policy);
          return {};
        },
        print_json<vd::SetKeyspaceDurabilityPolicyResponse>);
    s.add("durability-policy", policy.get(), "none, semi_sync, cross_cell ...");
    s.arguments("<keyspace>", 1, 1);
  }
  auto f = std::make_shared<std::pair<std::vector<std::string>, bool>>();
  auto& s = set.add(set.root(), "RebuildKeyspaceGraph", "writes the serving graph anew", [f](const ClientContext& c) {
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
  s.arguments("<keyspace> ...", 1, 1000);
}

}  // namespace

void add_keyspace_commands(CommandSet& set) {
  add_create(set);
  add_delete(set);
  add_reads(set);
  add_changes(set);
}

}  // namespace vitrail::control
