#include <fmt/core.h>

#include <algorithm>

#include "control/client/client.h"
#include "topo/tablet.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
using Output = net::Task<Result<std::string>>;

std::string rfc3339(const ::vttime::Time& time) {
  const std::time_t seconds = time.seconds();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// One line of GetTablets' awk form.
std::string awk_line(const ::topodata::Tablet& tablet) {
  std::string tags;
  for (const auto& [name, value] : tablet.tags())
    tags += fmt::format("{}{}: \"{}\"", tags.empty() ? "" : " ", name, value);
  const auto port = tablet.port_map().find("vt");
  return fmt::format("{} {} {} {} {}:{} {}:{} [{}] {}\n", topo::alias_to_string(tablet.alias()), tablet.keyspace(),
                     tablet.shard(), topo::tablet_type_to_string(tablet.type()), tablet.hostname(),
                     port == tablet.port_map().end() ? 0 : port->second, tablet.mysql_hostname(), tablet.mysql_port(),
                     tags, tablet.has_primary_term_start_time() ? rfc3339(tablet.primary_term_start_time()) : "<null>");
}

// An ASCII table of a query.QueryResult.
std::string ascii_table(const ::query::QueryResult& result) {
  if (result.fields_size() == 0) return "";
  std::vector<std::vector<std::string>> cells(1);
  for (const auto& field : result.fields()) cells[0].push_back(field.name());
  for (const auto& row : result.rows()) {
    auto& line = cells.emplace_back();
    std::string_view values = row.values();
    for (const int64_t length : row.lengths()) {
      if (length < 0) {
        line.emplace_back("NULL");
        continue;
      }
      line.emplace_back(values.substr(0, static_cast<size_t>(length)));
      values.remove_prefix(std::min(values.size(), static_cast<size_t>(length)));
    }
  }
  std::vector<size_t> widths(cells[0].size(), 0);
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size() && i < widths.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string rule = "+";
  for (const size_t width : widths) rule += std::string(width + 2, '-') + "+";
  std::string out = rule + "\n";
  for (size_t i = 0; i < cells.size(); ++i) {
    out += "|";
    for (size_t j = 0; j < widths.size(); ++j) {
      const std::string text = j < cells[i].size() ? cells[i][j] : "";
      out += " " + text + std::string(widths[j] - text.size(), ' ') + " |";
    }
    out += "\n";
    if (i == 0) out += rule + "\n";
  }
  return out + rule + "\n";
}

// A command on one tablet that prints nothing.
template <typename Response, typename Request>
void add_simple(CommandSet& set, std::string name, std::string description) {
  set.add(set.root(), name, description,
          [name](const ClientContext& c) {
            return [](const ClientContext& x, std::string method) -> Output {
              CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(x.arguments[0]));
              Request q;
              *q.mutable_tablet_alias() = alias;
              auto done = co_await x.call<Response>(method, std::move(q));
              if (!done.ok()) co_return std::move(done).error();
              co_return std::string();
            }(c, name);
          })
      .arguments("<tablet alias>", 1, 1);
}

}  // namespace

void add_tablet_commands(CommandSet& set) {
  base::Settings& root = set.root();
  set.add(root, "GetTablet", "prints a tablet",
          [](const ClientContext& c) -> Output {
            CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(c.arguments[0]));
            vd::GetTabletRequest q;
            *q.mutable_tablet_alias() = alias;
            CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::GetTabletResponse>("GetTablet", std::move(q)));
            co_return c.json(done.tablet());
          })
      .arguments("<tablet alias>", 1, 1);
  {
    struct Flags {
      std::string keyspace, shard, type, format = "awk";
      std::vector<std::string> cells, aliases;
      bool strict = false;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(root, "GetTablets", "lists tablets", [f](const ClientContext& c) {
      return [](const ClientContext& x, Flags flags) -> Output {
        vd::GetTabletsRequest q;
        q.set_keyspace(flags.keyspace);
        q.set_shard(flags.shard);
        q.set_strict(flags.strict);
        for (const auto& cell : flags.cells) q.add_cells(cell);
        for (const auto& text : flags.aliases) {
          CO_ASSIGN_OR_RETURN(*q.add_tablet_aliases(), topo::parse_alias(text));
        }
        if (!flags.type.empty()) {
          CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(flags.type));
          q.set_tablet_type(type);
        }
        CO_ASSIGN_OR_RETURN(const auto done, co_await x.call<vd::GetTabletsResponse>("GetTablets", std::move(q)));
        if (flags.format == "json") co_return x.json(done);
        std::string out;
        for (const auto& tablet : done.tablets()) out += awk_line(tablet);
        co_return out;
      }(c, *f);
    });
    s.add("keyspace", &f->keyspace, "of this keyspace").alias("k");
    s.add("shard", &f->shard, "of this shard").alias("s");
    s.add("cell", &f->cells, "of these cells").alias("c");
    s.add("tablet-type", &f->type, "of this type").alias("t");
    s.add("tablet-alias", &f->aliases, "only these");
    s.add("strict", &f->strict, "fail when a cell cannot be read");
    s.add("format", &f->format, "awk or json").one_of({"awk", "json"});
  }
  {
    auto allow = std::make_shared<bool>(false);
    auto& s = set.add(root, "DeleteTablets", "removes tablet records", [allow](const ClientContext& c) {
      return [](const ClientContext& x, bool allow_primary) -> Output {
        vd::DeleteTabletsRequest q;
        for (const auto& text : x.arguments) {
          CO_ASSIGN_OR_RETURN(*q.add_tablet_aliases(), topo::parse_alias(text));
        }
        q.set_allow_primary(allow_primary);
        auto done = co_await x.call<vd::DeleteTabletsResponse>("DeleteTablets", std::move(q));
        if (!done.ok()) co_return std::move(done).error();
        co_return fmt::format("Successfully deleted {} tablets\n", x.arguments.size());
      }(c, *allow);
    });
    s.add("allow-primary", allow.get(), "also a shard's primary").alias("p");
    s.arguments("<tablet alias> ...", 1, 1000);
  }
  add_simple<vd::PingTabletResponse, vd::PingTabletRequest>(set, "PingTablet", "asks a tablet whether it is there");
  add_simple<vd::RefreshStateResponse, vd::RefreshStateRequest>(set, "RefreshState",
                                                                "lets a tablet read its records again");
  add_simple<vd::RunHealthCheckResponse, vd::RunHealthCheckRequest>(set, "RunHealthCheck",
                                                                    "lets a tablet look at its server now");
  add_simple<vd::StartReplicationResponse, vd::StartReplicationRequest>(set, "StartReplication",
                                                                        "starts a tablet's replication");
  add_simple<vd::StopReplicationResponse, vd::StopReplicationRequest>(set, "StopReplication",
                                                                      "stops a tablet's replication");
  set.add(root, "GetFullStatus", "prints what a tablet's server says of itself",
          [](const ClientContext& c) -> Output {
            CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(c.arguments[0]));
            vd::GetFullStatusRequest q;
            *q.mutable_tablet_alias() = alias;
            CO_ASSIGN_OR_RETURN(const auto done,
                                co_await c.call<vd::GetFullStatusResponse>("GetFullStatus", std::move(q)));
            co_return c.json(done.status());
          })
      .arguments("<tablet alias>", 1, 1);
  set.add(root, "SetWritable", "makes a tablet's server writable or not",
          [](const ClientContext& c) -> Output {
            CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(c.arguments[0]));
            vd::SetWritableRequest q;
            *q.mutable_tablet_alias() = alias;
            q.set_writable(c.arguments[1] == "true" || c.arguments[1] == "1");
            auto done = co_await c.call<vd::SetWritableResponse>("SetWritable", std::move(q));
            if (!done.ok()) co_return std::move(done).error();
            co_return std::string();
          })
      .arguments("<tablet alias> <true/false>", 2, 2);
  {
    auto dry = std::make_shared<bool>(false);
    auto& s = set.add(
        root, "ChangeTabletType", "changes the type of a tablet that is no primary", [dry](const ClientContext& c) {
          return [](const ClientContext& x, bool dry_run) -> Output {
            CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(x.arguments[0]));
            CO_ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(x.arguments[1]));
            vd::ChangeTabletTypeRequest q;
            *q.mutable_tablet_alias() = alias;
            q.set_db_type(type);
            q.set_dry_run(dry_run);
            CO_ASSIGN_OR_RETURN(const auto done,
                                co_await x.call<vd::ChangeTabletTypeResponse>("ChangeTabletType", std::move(q)));
            co_return "- " + awk_line(done.before_tablet()) + "+ " + awk_line(done.after_tablet());
          }(c, *dry);
        });
    s.add("dry-run", dry.get(), "only say what would change").alias("d");
    s.arguments("<tablet alias> <tablet type>", 2, 2);
  }
  for (const bool dba : {true, false}) {
    struct Flags {
      int64_t max_rows = 10'000;
      bool disable_binlogs = false, reload = false, json = false, pool = false;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(
        root, dba ? "ExecuteFetchAsDBA" : "ExecuteFetchAsApp", "runs a statement on a tablet's server",
        [f, dba](const ClientContext& c) {
          return [](const ClientContext& x, Flags flags, bool as_dba) -> Output {
            CO_ASSIGN_OR_RETURN(const auto alias, topo::parse_alias(x.arguments[0]));
            ::query::QueryResult result;
            if (as_dba) {
              vd::ExecuteFetchAsDBARequest q;
              *q.mutable_tablet_alias() = alias;
              q.set_query(x.arguments[1]);
              q.set_max_rows(flags.max_rows);
              q.set_disable_binlogs(flags.disable_binlogs);
              CO_ASSIGN_OR_RETURN(auto done,
                                  co_await x.call<vd::ExecuteFetchAsDBAResponse>("ExecuteFetchAsDBA", std::move(q)));
              result = std::move(*done.mutable_result());
            } else {
              vd::ExecuteFetchAsAppRequest q;
              *q.mutable_tablet_alias() = alias;
              q.set_query(x.arguments[1]);
              q.set_max_rows(flags.max_rows);
              CO_ASSIGN_OR_RETURN(auto done,
                                  co_await x.call<vd::ExecuteFetchAsAppResponse>("ExecuteFetchAsApp", std::move(q)));
              result = std::move(*done.mutable_result());
            }
            if (flags.json) co_return x.json(result);
            co_return ascii_table(result);
          }(c, *f, dba);
        },
        dba ? std::vector<std::string>{"ExecuteFetchAsDba"} : std::vector<std::string>{});
    s.add("max-rows", &f->max_rows, "rows to return at most");
    s.add("disable-binlogs", &f->disable_binlogs, "without binary log");
    s.add("reload-schema", &f->reload, "accepted");
    s.add("json", &f->json, "print JSON").alias("j");
    s.add("use-pool", &f->pool, "accepted");
    s.arguments("<tablet alias> <statement>", 2, 2);
  }
  {
    struct Flags {
      std::string new_primary, avoid_primary, expected_primary;
      base::Duration wait = std::chrono::seconds(15), lag{};
      bool cross_cell = false;
    };
    auto f = std::make_shared<Flags>();
    auto& s = set.add(
        root, "PlannedReparentShard", "elects the primary of a shard, or moves that role", [f](const ClientContext& c) {
          return [](const ClientContext& x, Flags flags) -> Output {
            CO_ASSIGN_OR_RETURN(const auto name, parse_keyspace_shard(x.arguments[0]));
            vd::PlannedReparentShardRequest q;
            q.set_keyspace(name.first);
            q.set_shard(name.second);
            if (!flags.new_primary.empty()) {
              CO_ASSIGN_OR_RETURN(*q.mutable_new_primary(), topo::parse_alias(flags.new_primary));
            }
            if (!flags.avoid_primary.empty()) {
              CO_ASSIGN_OR_RETURN(*q.mutable_avoid_primary(), topo::parse_alias(flags.avoid_primary));
            }
            if (!flags.expected_primary.empty()) {
              CO_ASSIGN_OR_RETURN(*q.mutable_expected_primary(), topo::parse_alias(flags.expected_primary));
            }
            *q.mutable_wait_replicas_timeout() = to_proto_duration(flags.wait);
            q.set_allow_cross_cell_promotion(flags.cross_cell);
            CO_ASSIGN_OR_RETURN(const auto done, co_await x.call<vd::PlannedReparentShardResponse>(
                                                     "PlannedReparentShard", std::move(q)));
            co_return fmt::format("{}/{}: {} is the primary\n", done.keyspace(), done.shard(),
                                  topo::alias_to_string(done.promoted_primary()));
          }(c, *f);
        });
    s.add("new-primary", &f->new_primary, "tablet that is to be the primary");
    s.add("avoid-primary", &f->avoid_primary, "tablet that is not to be the primary");
    s.add("expected-primary", &f->expected_primary, "fail when the present primary is another one");
    s.add("wait-replicas-timeout", &f->wait, "how long replicas may take");
    s.add("tolerable-replication-lag", &f->lag, "accepted");
    s.add("allow-cross-cell-promotion", &f->cross_cell, "the new primary may be in another cell");
    s.arguments("<keyspace/shard>", 1, 1);
  }
}

}  // namespace vitrail::control
