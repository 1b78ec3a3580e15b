// Commands that change which tablet is the primary of a shard.
#include "control/client/call.h"
#include "control/client/tablet_text.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// What the server logged on the way, one event a line.
template <typename Response>
std::string events_text(const Response& done) {
  std::string out;
  for (const auto& event : done.events()) out += event_line(event);
  return out;
}

struct ReparentFlags {
  std::string new_primary, avoid_primary, expected_primary;
  std::vector<std::string> ignore;
  base::Duration wait = std::chrono::seconds(15), lag{};
  bool allow_cross_cell = false, prevent_cross_cell = false, wait_for_all = false;
};

template <typename Request>
Status fill_common(const ReparentFlags& flags, const ClientContext& context, Request& request) {
  RETURN_IF_ERROR(fill_shard(context, request));
  if (!flags.new_primary.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_new_primary(), topo::parse_alias(flags.new_primary));
  }
  if (!flags.expected_primary.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_expected_primary(), topo::parse_alias(flags.expected_primary));
  }
  *request.mutable_wait_replicas_timeout() = to_proto_duration(flags.wait);
  return {};
}

void declare_common(base::Settings& s, ReparentFlags& flags) {
  s.add("new-primary", &flags.new_primary, "tablet that is to be the primary");
  s.add("expected-primary", &flags.expected_primary, "fail when the present primary is another one");
  s.add("wait-replicas-timeout", &flags.wait, "how long replicas may take");
  s.arguments("<keyspace/shard>", 1, 1);
}

template <typename Response>
Result<std::string> print_events(const ClientContext&, const Response& done) {
  return events_text(done);
}

void add_shard_reparents(CommandSet& set) {
  {
    auto f = std::make_shared<ReparentFlags>();
    auto& s = add_call<vd::PlannedReparentShardRequest, vd::PlannedReparentShardResponse>(
        set, "PlannedReparentShard", "elects the primary of a shard, or moves that role",
        [f](const ClientContext& c, auto& q) -> Status {
          RETURN_IF_ERROR(fill_common(*f, c, q));
          if (!f->avoid_primary.empty()) {
            ASSIGN_OR_RETURN(*q.mutable_avoid_primary(), topo::parse_alias(f->avoid_primary));
          }
          *q.mutable_tolerable_replication_lag() = to_proto_duration(f->lag);
          q.set_allow_cross_cell_promotion(f->allow_cross_cell);
          return {};
        },
        print_events<vd::PlannedReparentShardResponse>);
    declare_common(s, *f);
    s.add("avoid-primary", &f->avoid_primary, "tablet that is not to be the primary");
    s.add("tolerable-replication-lag", &f->lag, "replicas that lag more are not chosen; 0: lag does not matter");
    s.add("allow-cross-cell-promotion", &f->allow_cross_cell, "the new primary may be in another cell");
  }
  {
    auto f = std::make_shared<ReparentFlags>();
    auto& s = add_call<vd::EmergencyReparentShardRequest, vd::EmergencyReparentShardResponse>(
        set, "EmergencyReparentShard", "makes the replica that has most the primary: the old one is dead",
        [f](const ClientContext& c, auto& q) -> Status {
          RETURN_IF_ERROR(fill_common(*f, c, q));
          for (const auto& text : f->ignore) {
            ASSIGN_OR_RETURN(*q.add_ignore_replicas(), topo::parse_alias(text));
          }
          q.set_prevent_cross_cell_promotion(f->prevent_cross_cell);
          q.set_wait_for_all_tablets(f->wait_for_all);
          return {};
        },
        print_events<vd::EmergencyReparentShardResponse>);
    declare_common(s, *f);
    s.add("ignore-replicas", &f->ignore, "tablets that are not asked, and not waited for").alias("i");
    s.add("prevent-cross-cell-promotion", &f->prevent_cross_cell, "only a tablet of the old primary's cell");
    s.add("wait-for-all-tablets", &f->wait_for_all, "every tablet but the old primary must answer");
  }
  struct Flags {
    bool force = false;
    base::Duration wait = std::chrono::seconds(30);
  };
  auto f = std::make_shared<Flags>();
  auto& s = add_call<vd::InitShardPrimaryRequest, vd::InitShardPrimaryResponse>(
      set, "InitShardPrimary", "older: sets up replication anew; with --force the binary logs of the shard are lost",
      [f](const ClientContext& c, auto& q) -> Status {
        RETURN_IF_ERROR(fill_shard(c, q));
        ASSIGN_OR_RETURN(*q.mutable_primary_elect_tablet_alias(), topo::parse_alias(c.arguments[1]));
        q.set_force(f->force);
        *q.mutable_wait_replicas_timeout() = to_proto_duration(f->wait);
        return {};
      },
      print_events<vd::InitShardPrimaryResponse>);
  s.add("force", &f->force, "wipes binary logs, also when the tablet is not the shard's primary");
  s.add("wait-replicas-timeout", &f->wait, "how long replicas may take");
  s.arguments("<keyspace/shard> <tablet alias>", 2, 2);
}

void add_tablet_reparents(CommandSet& set) {
  const auto fill = [](const ClientContext& c, auto& q) -> Status {
    ASSIGN_OR_RETURN(*q.mutable_tablet(), topo::parse_alias(c.arguments[0]));
    return {};
  };
  add_call<vd::ReparentTabletRequest, vd::ReparentTabletResponse>(
      set, "ReparentTablet", "lets a replica follow its shard's primary", fill, print_json<vd::ReparentTabletResponse>)
      .arguments("<tablet alias>", 1, 1);
  add_call<vd::TabletExternallyReparentedRequest, vd::TabletExternallyReparentedResponse>(
      set, "TabletExternallyReparented", "takes notice that another tool has made this tablet's server the primary",
      fill, print_json<vd::TabletExternallyReparentedResponse>)
      .arguments("<tablet alias>", 1, 1);
  auto f = std::make_shared<std::pair<bool, bool>>();
  auto& s = add_call<vd::SetVtorcEmergencyReparentRequest, vd::SetVtorcEmergencyReparentResponse>(
      set, "SetVtorcEmergencyReparent", "lets an automatic operator replace dead primaries, or not",
      [f](const ClientContext& c, auto& q) -> Status {
        if (f->first == f->second) return fail(Code::kInvalidArgument, "give either --enable or --disable");
        q.set_keyspace(c.arguments[0]);
        if (c.arguments.size() > 1) q.set_shard(c.arguments[1]);
        if (c.arguments.size() == 1 && c.arguments[0].contains('/')) RETURN_IF_ERROR(fill_shard(c, q));
        q.set_disable(f->second);
        return {};
      },
      [](const ClientContext& c, const auto&) {
        const bool whole = c.arguments.size() == 1 && !c.arguments[0].contains('/');
        return fmt::format("Successfully updated keyspace/shard {}{}.\n", c.arguments[0],
                           c.arguments.size() > 1 ? "/" + c.arguments[1]
                           : whole                ? "/"
                                                  : "");
      });
  s.add("enable", &f->first, "it may").alias("e");
  s.add("disable", &f->second, "it may not").alias("d");
  s.arguments("<keyspace> [<shard>]", 1, 2);
}

}  // namespace

void add_reparent_commands(CommandSet& set) {
  add_shard_reparents(set);
  add_tablet_reparents(set);
}

}  // namespace vitrail::control
