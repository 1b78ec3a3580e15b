// Commands on tablets.
#include "base/duration.h"
#include "base/text.h"
#include "control/client/call.h"
#include "control/client/tablet_text.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// A command on one tablet that prints nothing.
template <typename Request, typename Response>
void add_simple(CommandSet& set, std::string_view name, std::string_view description) {
  add_call<Request, Response>(set, name, description, fill_alias<Request>).arguments("<tablet alias>", 1, 1);
}

void add_reads(CommandSet& set) {
  add_call<vd::GetTabletRequest, vd::GetTabletResponse>(
      set, "GetTablet", "prints a tablet", fill_alias<vd::GetTabletRequest>,
      [](const ClientContext& c, const auto& done) { return c.json(done.tablet()); })
      .arguments("<tablet alias>", 1, 1);
  struct Flags {
    std::string keyspace, shard, type, format = "awk";
    std::vector<std::string> cells, aliases;
    bool strict = false;
  };
  auto f = std::make_shared<Flags>();
  auto& s = add_call<vd::GetTabletsRequest, vd::GetTabletsResponse>(
      set, "GetTablets", "lists tablets",
      [f](const ClientContext&, auto& q) -> Status {
        if (!f->shard.empty() && f->keyspace.empty()) {
          return fail(Code::kInvalidArgument, "--shard needs --keyspace");
        }
        if (!f->aliases.empty() && (!f->keyspace.empty() || !f->type.empty() || !f->cells.empty())) {
          return fail(Code::kInvalidArgument,
                      "--tablet-alias names tablets: --keyspace, --shard, --tablet-type and --cell "
                      "cannot be passed with it");
        }
        q.set_keyspace(f->keyspace);
        q.set_shard(f->shard);
        q.set_strict(f->strict);
        q.mutable_cells()->Add(f->cells.begin(), f->cells.end());
        for (const auto& text : f->aliases) {
          ASSIGN_OR_RETURN(*q.add_tablet_aliases(), topo::parse_alias(text));
        }
        if (f->type.empty()) return {};
        ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(f->type));
        q.set_tablet_type(type);
        return {};
      },
      [f](const ClientContext& c, const auto& done) -> Result<std::string> {
        if (f->format == "json") return json_list(c, done.tablets());
        std::string out;
        for (const auto& tablet : done.tablets()) out += tablet_line(tablet);
        return out;
      });
  s.add("keyspace", &f->keyspace, "of this keyspace").alias("k");
  s.add("shard", &f->shard, "of this shard").alias("s");
  s.add("cell", &f->cells, "of these cells").alias("c");
  s.add("tablet-type", &f->type, "of this type");
  s.add("tablet-alias", &f->aliases, "only these").alias("t");
  s.add("strict", &f->strict, "fail when a cell cannot be read");
  s.add("format", &f->format, "awk or json").one_of({"awk", "json"});
  add_call<vd::GetFullStatusRequest, vd::GetFullStatusResponse>(
      set, "GetFullStatus", "prints what a tablet's server says of itself", fill_alias<vd::GetFullStatusRequest>,
      [](const ClientContext& c, const auto& done) { return c.json(done.status()); })
      .arguments("<tablet alias>", 1, 1);
  add_call<vd::GetPermissionsRequest, vd::GetPermissionsResponse>(
      set, "GetPermissions", "prints the accounts of a tablet's server, passwords as checksums",
      fill_alias<vd::GetPermissionsRequest>,
      [](const ClientContext& c, const auto& done) { return c.plain_json(done.permissions()); })
      .arguments("<tablet alias>", 1, 1);
  add_call<vd::GetVersionRequest, vd::GetVersionResponse>(
      set, "GetTabletVersion", "prints the version that a tablet runs", fill_alias<vd::GetVersionRequest>,
      [](const ClientContext&, const auto& done) { return done.version() + "\n"; }, "GetVersion", {"GetVersion"})
      .arguments("<tablet alias>", 1, 1);
}

void add_states(CommandSet& set) {
  add_simple<vd::PingTabletRequest, vd::PingTabletResponse>(set, "PingTablet", "asks a tablet whether it is there");
  add_call<vd::RefreshStateRequest, vd::RefreshStateResponse>(
      set, "RefreshState", "lets a tablet read its records again", fill_alias<vd::RefreshStateRequest>,
      [](const ClientContext& c, const auto&) -> Result<std::string> {
        ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(c.arguments[0]));
        return "Refreshed state on " + topo::alias_to_string(alias) + "\n";
      })
      .arguments("<tablet alias>", 1, 1);
  {
    auto cells = std::make_shared<std::vector<std::string>>();
    auto& s = add_call<vd::RefreshStateByShardRequest, vd::RefreshStateByShardResponse>(
        set, "RefreshStateByShard", "lets all tablets of a shard read their records again",
        [cells](const ClientContext& c, auto& q) -> Status {
          RETURN_IF_ERROR(fill_shard(c, q));
          q.mutable_cells()->Add(cells->begin(), cells->end());
          return {};
        },
        [cells](const ClientContext& c, const auto& done) {
          std::string out = "Refreshed state on " + c.arguments[0];
          if (!cells->empty()) out += " in cells " + base::join(*cells, ", ");
          if (done.is_partial_refresh()) out += " (partial): " + done.partial_refresh_details();
          return out + "\n";
        });
    s.add("cells", cells.get(), "only the tablets of these cells").alias("c");
    s.arguments("<keyspace/shard>", 1, 1);
  }
  add_simple<vd::RunHealthCheckRequest, vd::RunHealthCheckResponse>(set, "RunHealthCheck",
                                                                    "lets a tablet look at its server now");
  add_simple<vd::StartReplicationRequest, vd::StartReplicationResponse>(set, "StartReplication",
                                                                        "starts a tablet's replication");
  add_simple<vd::StopReplicationRequest, vd::StopReplicationResponse>(set, "StopReplication",
                                                                      "stops a tablet's replication");
  add_call<vd::SleepTabletRequest, vd::SleepTabletResponse>(
      set, "SleepTablet", "for tests: lets a tablet do nothing for a while",
      [](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_alias(c, q));
        ASSIGN_OR_RETURN(const auto duration, base::parse_duration(c.arguments[1]));
        *q.mutable_duration() = to_proto_duration(duration);
        return {};
      })
      .arguments("<tablet alias> <duration>", 2, 2);
  add_call<vd::SetWritableRequest, vd::SetWritableResponse>(
      set, "SetWritable", "makes a tablet's server writable or not",
      [](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_alias(c, q));
        ASSIGN_OR_RETURN(const bool writable, parse_bool("writable", c.arguments[1]));
        q.set_writable(writable);
        return {};
      })
      .arguments("<tablet alias> <true/false>", 2, 2);
}

void add_changes(CommandSet& set) {
  {
    auto allow = std::make_shared<bool>(false);
    auto& s = add_call<vd::DeleteTabletsRequest, vd::DeleteTabletsResponse>(
        set, "DeleteTablets", "removes tablet records",
        [allow](const ClientContext& c, auto& q) -> Status {
          for (const auto& text : c.arguments) {
            ASSIGN_OR_RETURN(*q.add_tablet_aliases(), topo::parse_alias(text));
          }
          q.set_allow_primary(*allow);
          return {};
        },
        [](const ClientContext& c, const auto&) {
          return fmt::format("Successfully deleted {} tablets\n", c.arguments.size());
        });
    s.add("allow-primary", allow.get(), "also a shard's primary").alias("p");
    s.arguments("<tablet alias> ...", 1, 1000);
  }
  {
    auto dry = std::make_shared<bool>(false);
    auto& s = add_call<vd::ChangeTabletTypeRequest, vd::ChangeTabletTypeResponse>(
        set, "ChangeTabletType", "changes the type of a tablet that is no primary",
        [dry](const ClientContext& c, auto& q) -> Status {
          RETURN_IF_ERROR(fill_alias(c, q));
          ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(c.arguments[1]));
          q.set_db_type(type);
          q.set_dry_run(*dry);
          return {};
        },
        [](const ClientContext&, const auto& done) {
          return (done.was_dry_run() ? "--- DRY RUN ---\n" : "") + ("- " + tablet_line(done.before_tablet())) + "+ " +
                 tablet_line(done.after_tablet());
        });
    s.add("dry-run", dry.get(), "only say what would change").alias("d");
    s.arguments("<tablet alias> <tablet type>", 2, 2);
  }
  auto replace = std::make_shared<bool>(false);
  auto& s = add_call<vd::ChangeTabletTagsRequest, vd::ChangeTabletTagsResponse>(
      set, "ChangeTabletTags", "sets tags of a tablet; an empty value removes one",
      [replace](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_alias(c, q));
        q.set_replace(*replace);
        for (size_t i = 1; i < c.arguments.size(); ++i) {
          const size_t equals = c.arguments[i].find_first_of("=:");
          if (equals == std::string::npos || equals == 0) {
            return fail(Code::kInvalidArgument, "'" + c.arguments[i] + "' is not a tag: give name=value");
          }
          (*q.mutable_tags())[c.arguments[i].substr(0, equals)] = c.arguments[i].substr(equals + 1);
        }
        return {};
      },
      [](const ClientContext&, const auto& done) {
        return "- " + tags_text(done.before_tags()) + "\n+ " + tags_text(done.after_tags()) + "\n";
      });
  s.add("replace", replace.get(), "the tags given are all: others go away").alias("r");
  s.arguments("<tablet alias> <name=value> ...", 1, 100);
}

}  // namespace

void add_tablet_commands(CommandSet& set) {
  add_reads(set);
  add_states(set);
  add_changes(set);
}

}  // namespace vitrail::control
