#include <fmt/core.h>
#include <google/protobuf/util/json_util.h>

#include <thread>

#include "base/text.h"
#include "control/client/client.h"
#include "control/client/vdiff_report.h"
#include "control/client/workflow_report.h"
#include "net/loop.h"
#include "topo/tablet.h"
#include "vtctldata.pb.h"
#include "workflowdata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;
using Output = net::Task<Result<std::string>>;
using namespace std::chrono_literals;

// Flags that MoveTables and Reshard share over all their actions.
struct Base {
  std::string workflow, target_keyspace, format = "text";
  std::vector<std::string> shards;  // Of the target; empty: all.
};

struct CreateFlags {
  std::vector<std::string> cells, tablet_types = {"REPLICA", "PRIMARY"}, tables, exclude, source_shards, target_shards,
                                  config;
  std::string mount_name, source_keyspace, on_ddl = "IGNORE", source_time_zone, tenant_id, global_keyspace,
                                           numbering = "REMOVE";
  std::vector<std::string> shards;
  bool all_cells = false, in_order = true, defer_keys = true, auto_start = true, stop_after_copy = false,
       all_tables = false;
  bool no_rules = false, atomic = false, skip_schema = false;
};

struct SwitchFlags {
  std::vector<std::string> cells, tablet_types, shards;
  base::Duration timeout = 30s, max_lag = 30s;
  bool reverse_replication = true, dry_run = false, force = false, sequences = false;
};

struct MirrorFlags {
  std::vector<std::string> tablet_types = {"PRIMARY", "REPLICA", "RDONLY"};
  double percent = 1.0;
};

struct CompleteFlags {
  bool keep_data = false, keep_rules = false, rename = false, dry_run = false, ignore_source = false;
  std::vector<std::string> shards;
  int64_t batch = 1000;
};

template <typename Request>
Status add_types(Request& request, const std::vector<std::string>& names) {
  for (const auto& name : names) {
    ASSIGN_OR_RETURN(const auto type, topo::parse_tablet_type(name));
    request.add_tablet_types(type);
  }
  return {};
}

// "key=value" each.
Status add_config(vd::WorkflowOptions& options, const std::vector<std::string>& pairs) {
  for (const auto& pair : pairs) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(Code::kInvalidArgument, "--config-overrides takes key=value, not " + pair);
    }
    (*options.mutable_config())[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return {};
}

std::string status_text(const Base& base, const vd::WorkflowStatusResponse& status,
                        const std::vector<std::string>& open) {
  std::string out = fmt::format("The following vreplication streams exist for workflow {}.{}:\n\n",
                                base.target_keyspace, base.workflow);
  for (const auto& [shard, streams] : status.shard_streams()) {
    for (const auto& stream : streams.streams()) {
      out += fmt::format("id={} on {}/{}-{}: Status: {}. {}.\n", stream.id(), shard.substr(0, shard.find('/')),
                         stream.tablet().cell(), stream.tablet().uid(), stream.status(), stream.info());
    }
  }
  for (const auto& line : open) out += "\nOpen: " + line + "\n";
  return out + "\nTraffic State: " + status.traffic_state() + "\n";
}

Result<std::string> print_status(const ClientContext& c, const Base& base, const vd::WorkflowStatusResponse& status,
                                 const std::vector<std::string>& open = {}) {
  if (base.format == "json") return c.json(status);
  return status_text(base, status, open);
}

// The cells to read from: those that were named, or all there are.
net::Task<Result<std::vector<std::string>>> choose_cells(const ClientContext& c, const CreateFlags& flags) {
  if (!flags.all_cells) co_return flags.cells;
  if (!flags.cells.empty()) co_return fail(Code::kInvalidArgument, "give either --cells or --all-cells");
  CO_ASSIGN_OR_RETURN(const auto known,
                      co_await c.call<vd::GetCellInfoNamesResponse>("GetCellInfoNames", vd::GetCellInfoNamesRequest()));
  co_return std::vector<std::string>(known.names().begin(), known.names().end());
}

// What MoveTables and Migrate have in common: which tables, from where, and how.
template <class Request>
Status add_tables_to_copy(Request& q, const Base& base, const CreateFlags& flags) {
  q.set_workflow(base.workflow);
  q.set_target_keyspace(base.target_keyspace);
  q.set_source_keyspace(flags.source_keyspace);
  for (const auto& cell : flags.cells) q.add_cells(cell);
  RETURN_IF_ERROR(add_types(q, flags.tablet_types));
  q.set_tablet_selection_preference(flags.in_order ? ::tabletmanagerdata::INORDER : ::tabletmanagerdata::ANY);
  q.set_all_tables(flags.all_tables);
  for (const auto& table : flags.tables) q.add_include_tables(table);
  for (const auto& table : flags.exclude) q.add_exclude_tables(table);
  q.set_on_ddl(flags.on_ddl);
  q.set_stop_after_copy(flags.stop_after_copy);
  q.set_defer_secondary_keys(flags.defer_keys);
  q.set_auto_start(flags.auto_start);
  q.set_source_time_zone(flags.source_time_zone);
  return {};
}

Output create_move_tables(const ClientContext& c, Base base, CreateFlags flags) {
  CO_ASSIGN_OR_RETURN(flags.cells, co_await choose_cells(c, flags));
  vd::MoveTablesCreateRequest q;
  CO_RETURN_IF_ERROR(add_tables_to_copy(q, base, flags));
  for (const auto& shard : flags.source_shards) q.add_source_shards(shard);
  q.set_no_routing_rules(flags.no_rules);
  q.set_atomic_copy(flags.atomic);
  auto& options = *q.mutable_workflow_options();
  options.set_tenant_id(flags.tenant_id);
  options.set_global_keyspace(flags.global_keyspace);
  for (const auto& shard : flags.shards) options.add_shards(shard);
  vd::ShardedAutoIncrementHandling numbering = vd::LEAVE;
  if (!vd::ShardedAutoIncrementHandling_Parse(flags.numbering, &numbering)) {
    co_return fail(Code::kInvalidArgument, "--sharded-auto-increment-handling: " + flags.numbering);
  }
  options.set_sharded_auto_increment_handling(numbering);
  CO_RETURN_IF_ERROR(add_config(*q.mutable_workflow_options(), flags.config));
  CO_ASSIGN_OR_RETURN(const auto status, co_await c.call<vd::WorkflowStatusResponse>("MoveTablesCreate", std::move(q)));
  co_return print_status(c, base, status);
}

Output create_migrate(const ClientContext& c, Base base, CreateFlags flags) {
  vd::MigrateCreateRequest q;
  CO_RETURN_IF_ERROR(add_tables_to_copy(q, base, flags));
  q.set_mount_name(flags.mount_name);
  CO_ASSIGN_OR_RETURN(const auto status, co_await c.call<vd::WorkflowStatusResponse>("MigrateCreate", std::move(q)));
  co_return print_status(c, base, status);
}

Output complete_migrate(const ClientContext& c, Base base, bool dry_run) {
  vd::MigrateCompleteRequest q;
  q.set_workflow(base.workflow);
  q.set_target_keyspace(base.target_keyspace);
  q.set_dry_run(dry_run);
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::MigrateCompleteResponse>("MigrateComplete", std::move(q)));
  if (base.format == "json") co_return c.json(done);
  std::string out = done.summary() + "\n";
  for (const auto& line : done.dry_run_results()) out += "\n" + line;
  co_return dry_run ? out + "\n" : out;
}

Output create_reshard(const ClientContext& c, Base base, CreateFlags flags) {
  CO_ASSIGN_OR_RETURN(flags.cells, co_await choose_cells(c, flags));
  vd::ReshardCreateRequest q;
  q.set_workflow(base.workflow);
  q.set_keyspace(base.target_keyspace);
  for (const auto& shard : flags.source_shards) q.add_source_shards(shard);
  for (const auto& shard : flags.target_shards) q.add_target_shards(shard);
  for (const auto& cell : flags.cells) q.add_cells(cell);
  CO_RETURN_IF_ERROR(add_types(q, flags.tablet_types));
  q.set_tablet_selection_preference(flags.in_order ? ::tabletmanagerdata::INORDER : ::tabletmanagerdata::ANY);
  q.set_skip_schema_copy(flags.skip_schema);
  q.set_on_ddl(flags.on_ddl);
  q.set_stop_after_copy(flags.stop_after_copy);
  q.set_defer_secondary_keys(flags.defer_keys);
  q.set_auto_start(flags.auto_start);
  CO_RETURN_IF_ERROR(add_config(*q.mutable_workflow_options(), flags.config));
  CO_ASSIGN_OR_RETURN(const auto status, co_await c.call<vd::WorkflowStatusResponse>("ReshardCreate", std::move(q)));
  co_return print_status(c, base, status);
}

Output switch_traffic(const ClientContext& c, Base base, SwitchFlags flags, bool reverse) {
  vd::WorkflowSwitchTrafficRequest q;
  q.set_keyspace(base.target_keyspace);
  q.set_workflow(base.workflow);
  for (const auto& cell : flags.cells) q.add_cells(cell);
  CO_RETURN_IF_ERROR(add_types(q, flags.tablet_types));
  *q.mutable_timeout() = to_proto_duration(flags.timeout);
  *q.mutable_max_replication_lag_allowed() = to_proto_duration(flags.max_lag);
  q.set_enable_reverse_replication(flags.reverse_replication);
  q.set_direction(reverse ? 1 : 0);
  q.set_dry_run(flags.dry_run);
  q.set_initialize_target_sequences(flags.sequences);
  q.set_force(flags.force);
  for (const auto& shard : flags.shards) q.add_shards(shard);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<vd::WorkflowSwitchTrafficResponse>("WorkflowSwitchTraffic", std::move(q)));
  if (base.format == "json") co_return c.json(done);
  if (flags.dry_run) {
    std::string out = done.summary() + "\n\n";
    for (const auto& line : done.dry_run_results()) out += line + "\n";
    co_return out + "\n";
  }
  co_return fmt::format("{}\n\nStart State: {}\nCurrent State: {}\n\n", done.summary(), done.start_state(),
                        done.current_state());
}

Output mirror_traffic(const ClientContext& c, Base base, MirrorFlags flags) {
  vd::WorkflowMirrorTrafficRequest q;
  q.set_keyspace(base.target_keyspace);
  q.set_workflow(base.workflow);
  CO_RETURN_IF_ERROR(add_types(q, flags.tablet_types));
  q.set_percent(static_cast<float>(flags.percent));
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<vd::WorkflowMirrorTrafficResponse>("WorkflowMirrorTraffic", std::move(q)));
  if (base.format == "json") co_return c.json(done);
  co_return fmt::format("{}\n\nStart State: {}\nCurrent State: {}\n\n", done.summary(), done.start_state(),
                        done.current_state());
}

Output complete(const ClientContext& c, Base base, CompleteFlags flags) {
  vd::MoveTablesCompleteRequest q;
  q.set_workflow(base.workflow);
  q.set_target_keyspace(base.target_keyspace);
  q.set_keep_data(flags.keep_data);
  q.set_keep_routing_rules(flags.keep_rules);
  q.set_rename_tables(flags.rename);
  q.set_dry_run(flags.dry_run);
  q.set_ignore_source_keyspace(flags.ignore_source);
  for (const auto& shard : flags.shards) q.add_shards(shard);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<vd::MoveTablesCompleteResponse>("MoveTablesComplete", std::move(q)));
  if (base.format == "json") co_return c.json(done);
  if (!flags.dry_run) co_return done.summary() + "\n";
  std::string out = done.summary() + "\n\n";
  for (const auto& line : done.dry_run_results()) out += line + "\n";
  co_return out + "\n";
}

Output cancel(const ClientContext& c, Base base, CompleteFlags flags, bool always_json) {
  vd::WorkflowDeleteRequest q;
  q.set_keyspace(base.target_keyspace);
  q.set_workflow(base.workflow);
  q.set_keep_data(flags.keep_data);
  q.set_keep_routing_rules(flags.keep_rules);
  q.set_delete_batch_size(flags.batch);
  q.set_ignore_source_keyspace(flags.ignore_source);
  for (const auto& shard : flags.shards) q.add_shards(shard);
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::WorkflowDeleteResponse>("WorkflowDelete", std::move(q)));
  if (base.format == "json" || always_json) co_return c.json(done);
  co_return done.summary() + "\n";
}

Output status(const ClientContext& c, Base base) {
  vd::WorkflowStatusRequest q;
  q.set_keyspace(base.target_keyspace);
  q.set_workflow(base.workflow);
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::WorkflowStatusResponse>("WorkflowStatus", std::move(q)));
  // What is under way or was left open; older servers cannot tell.
  ::workflowdata::WorkflowRepairRequest look;
  look.set_keyspace(base.target_keyspace);
  look.set_workflow(base.workflow);
  look.set_dry_run(true);
  auto open = co_await c.call<::workflowdata::WorkflowRepairResponse>("WorkflowRepair", std::move(look));
  std::vector<std::string> lines;
  if (open.ok()) lines.assign(open->lines().begin(), open->lines().end());
  co_return print_status(c, base, done, lines);
}

Output show(const ClientContext& c, Base base, bool include_logs, bool active_only = false) {
  vd::GetWorkflowsRequest q;
  q.set_keyspace(base.target_keyspace);
  q.set_workflow(base.workflow);
  q.set_include_logs(include_logs);
  q.set_active_only(active_only);
  for (const auto& shard : base.shards) q.add_shards(shard);
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::GetWorkflowsResponse>("GetWorkflows", std::move(q)));
  CO_ASSIGN_OR_RETURN(auto text, c.json(done));
  // What is under way, was left open, or has been; older servers cannot tell.
  ::workflowdata::WorkflowRepairRequest look;
  look.set_keyspace(base.target_keyspace);
  look.set_workflow(base.workflow);
  look.set_dry_run(true);
  const auto open = co_await c.call<::workflowdata::WorkflowRepairResponse>("WorkflowRepair", std::move(look));
  if (!open.ok()) co_return text;
  co_return with_operations(std::move(text), {open->records().begin(), open->records().end()});
}

Output list(const ClientContext& c, Base base) {
  vd::GetWorkflowsRequest q;
  q.set_keyspace(base.target_keyspace);
  q.set_name_only(true);
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::GetWorkflowsResponse>("GetWorkflows", std::move(q)));
  std::string out = "[";
  for (const auto& workflow : done.workflows()) out += (out.size() > 1 ? ",\n  \"" : "\n  \"") + workflow.name() + "\"";
  co_return out + (out.size() > 1 ? "\n]\n" : "]\n");
}

Output repair(const ClientContext& c, Base base, std::string workflow, bool dry_run) {
  ::workflowdata::WorkflowRepairRequest q;
  q.set_keyspace(base.target_keyspace);
  q.set_workflow(workflow);
  q.set_dry_run(dry_run);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<::workflowdata::WorkflowRepairResponse>("WorkflowRepair", std::move(q)));
  std::string out;
  for (const auto& line : done.lines()) out += line + "\n";
  co_return out.empty() ? "Nothing is open\n" : out;
}

Output update_state(const ClientContext& c, Base base, ::binlogdata::VReplicationWorkflowState state) {
  vd::WorkflowUpdateRequest q;
  q.set_keyspace(base.target_keyspace);
  q.mutable_tablet_request()->set_workflow(base.workflow);
  q.mutable_tablet_request()->set_state(state);
  for (const auto& shard : base.shards) q.mutable_tablet_request()->add_shards(shard);
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::WorkflowUpdateResponse>("WorkflowUpdate", std::move(q)));
  co_return c.json(done);
}

struct UpdateFlags {
  std::vector<std::string> cells, tablet_types, config;
  std::string on_ddl;
  bool in_order = true;
  std::function<bool()> order_given;
};

Output update_settings(const ClientContext& c, Base base, UpdateFlags flags) {
  vd::WorkflowUpdateRequest q;
  q.set_keyspace(base.target_keyspace);
  auto& change = *q.mutable_tablet_request();
  change.set_workflow(base.workflow);
  for (const auto& cell : flags.cells) change.add_cells(cell);
  CO_RETURN_IF_ERROR(add_types(change, flags.tablet_types));
  if (!flags.tablet_types.empty() || flags.order_given()) {
    change.set_tablet_selection_preference(flags.in_order ? ::tabletmanagerdata::INORDER : ::tabletmanagerdata::ANY);
  }
  if (!flags.on_ddl.empty()) {
    ::binlogdata::OnDDLAction action = ::binlogdata::IGNORE;
    if (!::binlogdata::OnDDLAction_Parse(flags.on_ddl, &action)) {
      co_return fail(Code::kInvalidArgument, "--on-ddl: " + flags.on_ddl);
    }
    change.set_on_ddl(action);
  }
  vd::WorkflowOptions options;
  CO_RETURN_IF_ERROR(add_config(options, flags.config));
  for (const auto& [key, value] : options.config()) (*change.mutable_config_overrides())[key] = value;
  if (change.cells().empty() && !change.has_tablet_selection_preference() && !change.has_on_ddl() &&
      change.config_overrides().empty()) {
    co_return fail(Code::kInvalidArgument,
                   "nothing to update: give --cells, --tablet-types, --tablet-types-in-order or --on-ddl");
  }
  for (const auto& shard : base.shards) change.add_shards(shard);
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::WorkflowUpdateResponse>("WorkflowUpdate", std::move(q)));
  co_return c.json(done);
}

void declare_create(base::Settings& s, CreateFlags& f, bool reshard) {
  s.add("cells", &f.cells, "cells to read from").alias("c");
  s.add("all-cells", &f.all_cells, "read from any cell").alias("a");
  s.add("tablet-types", &f.tablet_types, "types to read from");
  s.add("tablet-types-in-preference-order", &f.in_order, "in this order");
  s.add("on-ddl", &f.on_ddl, "what a schema change of the source does")
      .one_of({"IGNORE", "STOP", "EXEC", "EXEC_IGNORE"});
  s.add("defer-secondary-keys", &f.defer_keys, "drop secondary keys that are not unique, and add them after the copy");
  s.add("auto-start", &f.auto_start, "start at once");
  s.add("stop-after-copy", &f.stop_after_copy, "stop when the copy is done");
  s.add("config-overrides", &f.config, "name=value: settings of the streams (docs/users/workflow-options.md)");
  s.add("source-shards", &f.source_shards,
        reshard ? "shards to read from" : "only these shards, each with all its tables, to those of the same names");
  if (reshard) {
    s.add("target-shards", &f.target_shards, "shards to fill");
    s.add("skip-schema-copy", &f.skip_schema, "the tables are there already");
    return;
  }
  s.add("source-keyspace", &f.source_keyspace, "keyspace to take tables from").required();
  s.add("source-time-zone", &f.source_time_zone, "of the source's DATETIME values, which become UTC");
  s.add("tables", &f.tables, "tables to move");
  s.add("all-tables", &f.all_tables, "move every table");
  s.add("exclude-tables", &f.exclude, "but not these");
  s.add("no-routing-rules", &f.no_rules, "do not make routing rules");
  s.add("atomic-copy", &f.atomic,
        "copy all tables as of one moment, from a keyspace of one shard; an interrupted copy begins anew");
  s.add("tenant-id", &f.tenant_id, "move the rows of this tenant, by the target vschema's multi_tenant_spec");
  s.add("shards", &f.shards, "refused: --source-shards names the shards whose tables are moved");
  s.add("sharded-auto-increment-handling", &f.numbering,
        "sharded targets: leave AUTO_INCREMENT in the tables, remove it, or replace it by sequences")
      .one_of({"LEAVE", "REMOVE", "REPLACE"});
  s.add("global-keyspace", &f.global_keyspace, "REPLACE: the keyspace of one shard in which sequences are made");
}

void declare_switch(base::Settings& s, SwitchFlags& f) {
  s.add("cells", &f.cells, "switch reads in these cells").alias("c");
  s.add("tablet-types", &f.tablet_types, "types to switch; default: all");
  s.add("timeout", &f.timeout, "longest time that writes may be stopped");
  s.add("max-replication-lag-allowed", &f.max_lag, "refuse when streams lag more");
  s.add("enable-reverse-replication", &f.reverse_replication, "replicate back, so that traffic can be reversed");
  s.add("dry-run", &f.dry_run, "only say what would be done");
  s.add("force", &f.force, "also when tablets of both sides do not answer: those go on serving what they should not");
  s.add("shards", &f.shards, "all of the workflow's: they go together");
  s.add("initialize-target-sequences", &f.sequences,
        "MoveTables: have the sequences of the moved tables begin behind their largest ids");
}

void declare_removal(base::Settings& s, CompleteFlags& f) {
  s.add("delete-batch-size", &f.batch, "with a tenant: rows that are deleted in one statement");
  s.add("ignore-source-keyspace", &f.ignore_source, "leave the source alone: it is gone, or will not come back");
}

void add_actions(CommandSet& set, std::string_view name, std::string_view lower, bool reshard) {
  auto base = std::make_shared<Base>();
  auto& parent = set.add(set.root(), name,
                         reshard ? "splits or merges the shards of a keyspace" : "moves tables to another keyspace", {},
                         {std::string(lower)});
  parent.add("workflow", &base->workflow, "name of the workflow").alias("w").required();
  parent.add("target-keyspace", &base->target_keyspace, "keyspace that gets the rows").required();
  parent.add("format", &base->format, "text or json").one_of({"text", "json"});

  auto create = std::make_shared<CreateFlags>();
  declare_create(set.add(parent, "create", "starts the copy",
                         [base, create, reshard](const ClientContext& c) {
                           return reshard ? create_reshard(c, *base, *create) : create_move_tables(c, *base, *create);
                         },
                         {"Create"}),
                 *create, reshard);
  for (const bool reverse : {false, true}) {
    auto flags = std::make_shared<SwitchFlags>();
    declare_switch(
        set.add(parent, reverse ? "reversetraffic" : "switchtraffic",
                reverse ? "takes a switch back" : "moves reads and writes over",
                [base, flags, reverse](const ClientContext& c) { return switch_traffic(c, *base, *flags, reverse); },
                {reverse ? "ReverseTraffic" : "SwitchTraffic"}),
        *flags);
  }
  if (!reshard) {
    auto mirror = std::make_shared<MirrorFlags>();
    auto& mirrored = set.add(parent, "mirrortraffic", "has vtgate run a part of the reads on the target, too",
                             [base, mirror](const ClientContext& c) { return mirror_traffic(c, *base, *mirror); },
                             {"MirrorTraffic"});
    mirrored.add("percent", &mirror->percent, "of the reads; 0 ends it");
    mirrored.add("tablet-types", &mirror->tablet_types, "of reads of which tablets");
  }
  auto finish = std::make_shared<CompleteFlags>();
  auto& done = set.add(parent, "complete", "removes what is not needed any more",
                       [base, finish](const ClientContext& c) { return complete(c, *base, *finish); }, {"Complete"});
  done.add("keep-data", &finish->keep_data, "keep the source's tables or shards");
  done.add("dry-run", &finish->dry_run, "only say what would be done");
  if (!reshard) {
    done.add("keep-routing-rules", &finish->keep_rules, "keep the routing rules");
    done.add("rename-tables", &finish->rename, "rename the source's tables instead of dropping them");
    done.add("ignore-source-keyspace", &finish->ignore_source,
             "leave the source alone: it is gone, or will not come back");
    done.add("shards", &finish->shards, "all of the workflow's: they go together");
  }
  auto& stop = set.add(parent, "cancel", "gives the workflow up",
                       [base, finish](const ClientContext& c) { return cancel(c, *base, *finish, false); }, {"Cancel"});
  stop.add("keep-data", &finish->keep_data, "keep the copies");
  if (!reshard) {
    stop.add("keep-routing-rules", &finish->keep_rules, "keep the routing rules");
    stop.add("shards", &finish->shards, "all of the workflow's: they go together");
    declare_removal(stop, *finish);
  }
  auto logs = std::make_shared<bool>(true);
  auto& shown = set.add(parent, "show", "prints everything about the workflow",
                        [base, logs](const ClientContext& c) { return show(c, *base, *logs); }, {"Show"});
  shown.add("include-logs", logs.get(), "with the streams' logs");
  shown.add("shards", &base->shards, "only streams of these target shards");
  set.add(parent, "status", "prints streams and traffic state",
          [base](const ClientContext& c) { return status(c, *base); }, {"Status", "progress", "Progress"});
  set.add(parent, "start", "starts stopped streams",
          [base](const ClientContext& c) { return update_state(c, *base, ::binlogdata::Running); }, {"Start"})
      .add("shards", &base->shards, "only on these target shards");
  set.add(parent, "stop", "stops the streams",
          [base](const ClientContext& c) { return update_state(c, *base, ::binlogdata::Stopped); }, {"Stop"})
      .add("shards", &base->shards, "only on these target shards");
}

struct MaterializeFlags {
  CreateFlags streams;
  std::string table_settings;
  std::vector<std::string> reference_tables;
};

Status read_table_settings(const std::string& text, vd::MaterializeSettings& settings) {
  if (text.empty()) return {};
  const auto read =
      google::protobuf::util::JsonStringToMessage(fmt::format("{{\"table_settings\": {}}}", text), &settings);
  if (read.ok()) return {};
  return fail(Code::kInvalidArgument,
              "--table-settings takes JSON, [{\"target_table\": \"t\", \"source_expression\": \"select * from "
              "t\", \"create_ddl\": \"copy\"}, ...]: " +
                  std::string(read.message()));
}

Output add_materialized(const ClientContext& c, Base base, MaterializeFlags flags) {
  if (flags.table_settings.empty() == flags.reference_tables.empty()) {
    co_return fail(Code::kInvalidArgument, "tables are added by --table-settings or by --reference-tables");
  }
  vd::MaterializeSettings settings;
  CO_RETURN_IF_ERROR(read_table_settings(flags.table_settings, settings));
  vd::WorkflowAddTablesRequest q;
  q.set_workflow(base.workflow);
  q.set_keyspace(base.target_keyspace);
  *q.mutable_table_settings() = settings.table_settings();
  for (const auto& table : flags.reference_tables) q.add_table_settings()->set_target_table(table);
  if (!flags.reference_tables.empty()) q.set_materialization_intent(vd::REFERENCE);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<vd::WorkflowAddTablesResponse>("WorkflowAddTables", std::move(q)));
  if (base.format == "json") co_return c.json(done);
  co_return fmt::format("Table(s) added to the workflow {} in the {} keyspace. Use show to view the status.\n",
                        base.workflow, base.target_keyspace);
}

Output create_materialize(const ClientContext& c, Base base, MaterializeFlags flags) {
  CO_ASSIGN_OR_RETURN(const auto cells, co_await choose_cells(c, flags.streams));
  vd::MaterializeCreateRequest q;
  auto& settings = *q.mutable_settings();
  CO_RETURN_IF_ERROR(read_table_settings(flags.table_settings, settings));
  settings.set_workflow(base.workflow);
  settings.set_target_keyspace(base.target_keyspace);
  settings.set_source_keyspace(flags.streams.source_keyspace);
  settings.set_cell(base::join(cells, ","));
  settings.set_tablet_types(base::join(flags.streams.tablet_types, ","));
  settings.set_tablet_selection_preference(flags.streams.in_order ? ::tabletmanagerdata::INORDER
                                                                  : ::tabletmanagerdata::ANY);
  settings.set_stop_after_copy(flags.streams.stop_after_copy);
  settings.set_on_ddl(flags.streams.on_ddl);
  settings.set_defer_secondary_keys(flags.streams.defer_keys);
  for (const auto& shard : flags.streams.source_shards) settings.add_source_shards(shard);
  for (const auto& table : flags.reference_tables) settings.add_reference_tables(table);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<vd::MaterializeCreateResponse>("MaterializeCreate", std::move(q)));
  if (base.format == "json") co_return c.json(done);
  co_return fmt::format(
      "Materialization workflow {} successfully created in the {} keyspace. Use show to view the status.\n",
      base.workflow, base.target_keyspace);
}

void add_materialize(CommandSet& set) {
  auto base = std::make_shared<Base>();
  auto& parent =
      set.add(set.root(), "Materialize", "makes tables that follow tables of another keyspace", {}, {"materialize"});
  parent.add("workflow", &base->workflow, "name of the workflow").alias("w").required();
  parent.add("target-keyspace", &base->target_keyspace, "keyspace that gets the rows").required();
  parent.add("format", &base->format, "text or json").one_of({"text", "json"});
  auto flags = std::make_shared<MaterializeFlags>();
  auto& s = set.add(parent, "create", "copies the rows, and follows from then on",
                    [base, flags](const ClientContext& c) { return create_materialize(c, *base, *flags); }, {"Create"});
  s.add("source-keyspace", &flags->streams.source_keyspace, "keyspace to take the rows from").required();
  s.add(
      "table-settings", &flags->table_settings,
      "JSON: for each table target_table, source_expression (a select) and create_ddl (\"copy\", or its CREATE TABLE)");
  s.add("reference-tables", &flags->reference_tables, "whole tables, into every shard of the target");
  s.add("cells", &flags->streams.cells, "cells to read from").alias("c");
  s.add("all-cells", &flags->streams.all_cells, "read from any cell").alias("a");
  s.add("tablet-types", &flags->streams.tablet_types, "types to read from");
  s.add("tablet-types-in-preference-order", &flags->streams.in_order, "in this order");
  s.add("source-shards", &flags->streams.source_shards, "shards to read from; default: all");
  s.add("on-ddl", &flags->streams.on_ddl, "what a schema change of the source does")
      .one_of({"IGNORE", "STOP", "EXEC", "EXEC_IGNORE"});
  s.add("defer-secondary-keys", &flags->streams.defer_keys,
        "drop secondary keys that are not unique, and add them after the copy");
  s.add("stop-after-copy", &flags->streams.stop_after_copy, "stop when the copy is done");
  auto& more =
      set.add(parent, "update", "adds tables to the workflow",
              [base, flags](const ClientContext& c) { return add_materialized(c, *base, *flags); }, {"Update"});
  more.add("table-settings", &flags->table_settings, "JSON: the tables to add, as for create");
  more.add("reference-tables", &flags->reference_tables, "whole tables to add, into every shard of the target");
  auto logs = std::make_shared<bool>(true);
  auto& shown = set.add(parent, "show", "prints everything about the workflow",
                        [base, logs](const ClientContext& c) { return show(c, *base, *logs); }, {"Show"});
  shown.add("include-logs", logs.get(), "with the streams' logs");
  shown.add("shards", &base->shards, "only streams of these target shards");
  set.add(parent, "start", "starts stopped streams",
          [base](const ClientContext& c) { return update_state(c, *base, ::binlogdata::Running); }, {"Start"})
      .add("shards", &base->shards, "only on these target shards");
  set.add(parent, "stop", "stops the streams",
          [base](const ClientContext& c) { return update_state(c, *base, ::binlogdata::Stopped); }, {"Stop"})
      .add("shards", &base->shards, "only on these target shards");
  auto finish = std::make_shared<CompleteFlags>();
  set.add(parent, "cancel", "ends the workflow",
          [base, finish](const ClientContext& c) { return cancel(c, *base, *finish, false); }, {"Cancel"})
      .add("keep-data", &finish->keep_data, "keep its tables, as they are then");
}

void add_migrate(CommandSet& set) {
  auto base = std::make_shared<Base>();
  auto& parent = set.add(set.root(), "Migrate", "copies tables of another cluster that is mounted", {}, {"migrate"});
  parent.add("workflow", &base->workflow, "name of the workflow").alias("w").required();
  parent.add("target-keyspace", &base->target_keyspace, "keyspace that gets the rows").required();
  parent.add("format", &base->format, "text or json").one_of({"text", "json"});
  auto flags = std::make_shared<CreateFlags>();
  auto& s = set.add(parent, "create", "copies the rows, and follows from then on",
                    [base, flags](const ClientContext& c) { return create_migrate(c, *base, *flags); }, {"Create"});
  s.add("mount-name", &flags->mount_name, "the other cluster, as Mount knows it").required();
  s.add("source-keyspace", &flags->source_keyspace, "keyspace of the other cluster").required();
  s.add("cells", &flags->cells, "cells of the other cluster to read from; default: all").alias("c");
  s.add("tablet-types", &flags->tablet_types, "types to read from");
  s.add("tablet-types-in-preference-order", &flags->in_order, "in this order");
  s.add("all-tables", &flags->all_tables, "all tables of the keyspace");
  s.add("tables", &flags->tables, "these tables");
  s.add("exclude-tables", &flags->exclude, "all but these");
  s.add("on-ddl", &flags->on_ddl, "what a schema change of the source does")
      .one_of({"IGNORE", "STOP", "EXEC", "EXEC_IGNORE"});
  s.add("source-time-zone", &flags->source_time_zone, "of the source's DATETIME values; the target's are UTC");
  s.add("defer-secondary-keys", &flags->defer_keys,
        "drop secondary keys that are not unique, and add them after the copy");
  s.add("auto-start", &flags->auto_start, "begin at once");
  s.add("stop-after-copy", &flags->stop_after_copy, "stop when the copy is done");
  auto logs = std::make_shared<bool>(true);
  set.add(parent, "show", "prints everything about the workflow",
          [base, logs](const ClientContext& c) { return show(c, *base, *logs); }, {"Show"})
      .add("include-logs", logs.get(), "with the streams' logs");
  set.add(parent, "status", "prints the streams", [base](const ClientContext& c) { return status(c, *base); },
          {"Status", "progress", "Progress"});
  set.add(parent, "start", "starts stopped streams",
          [base](const ClientContext& c) { return update_state(c, *base, ::binlogdata::Running); }, {"Start"});
  set.add(parent, "stop", "stops the streams",
          [base](const ClientContext& c) { return update_state(c, *base, ::binlogdata::Stopped); }, {"Stop"});
  auto dry_run = std::make_shared<bool>(false);
  set.add(parent, "complete", "ends the streams; the tables stay",
          [base, dry_run](const ClientContext& c) { return complete_migrate(c, *base, *dry_run); }, {"Complete"})
      .add("dry-run", dry_run.get(), "only say what would be done");
  auto finish = std::make_shared<CompleteFlags>();
  set.add(parent, "cancel", "gives the workflow up",
          [base, finish](const ClientContext& c) { return cancel(c, *base, *finish, false); }, {"Cancel"})
      .add("keep-data", &finish->keep_data, "keep the copies");
}

struct VDiffFlags {
  std::vector<std::string> source_cells, target_cells, tablet_types = {"RDONLY", "REPLICA", "PRIMARY"}, tables,
                                                       target_shards;
  base::Duration replication_wait = 30s, update_interval = 60s, max_duration{};
  int64_t limit = INT64_MAX, max_extra = 1000, samples = 10, truncate = 128;
  bool in_order = true, debug = false, only_pks = false, wait = false, auto_retry = true, stats = false,
       auto_start = true, verbose = false, watch = false;
};

constexpr base::Duration kLookInterval = 200ms, kLookIntervalMin = 20ms;
constexpr auto kWatchInterval = 1s;

bool has_ended(const std::string& state) { return state == "completed" || state == "error" || state == "stopped"; }

// `watch`: also what it has come to until now, each time that changes, until its end.
Output vdiff_show(const ClientContext& c, Base base, std::string which, bool verbose, bool watch) {
  std::string shown;
  for (;;) {
    vd::VDiffShowRequest q;
    q.set_workflow(base.workflow);
    q.set_target_keyspace(base.target_keyspace);
    q.set_arg(which);
    CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::VDiffShowResponse>("VDiffShow", std::move(q)));
    CO_ASSIGN_OR_RETURN(auto text,
                        format_vdiff(done, base.target_keyspace, base.workflow,
                                     {.all = which == "all", .json = base.format == "json", .verbose = verbose}));
    if (!watch || which == "all") co_return text;
    CO_ASSIGN_OR_RETURN(const std::string state, vdiff_state(done));
    if (has_ended(state) || state == "unknown") co_return text;
    if (text != shown && c.show) c.show(text);
    shown = std::move(text);
    CO_RETURN_IF_ERROR(co_await net::sleep_for(kWatchInterval));
  }
}

// Waits for a comparison's end; its result, or an error when rows differ or it has not ended well.
Output vdiff_wait(const ClientContext& c, Base base, std::string uuid, base::Duration update_interval) {
  const auto began = base::system_clock().now();
  auto told = began;
  for (;;) {
    vd::VDiffShowRequest q;
    q.set_workflow(base.workflow);
    q.set_target_keyspace(base.target_keyspace);
    q.set_arg(uuid);
    CO_ASSIGN_OR_RETURN(const auto report, co_await c.call<vd::VDiffShowResponse>("VDiffShow", std::move(q)));
    CO_ASSIGN_OR_RETURN(const std::string state, vdiff_state(report));
    CO_ASSIGN_OR_RETURN(std::string text,
                        format_vdiff(report, base.target_keyspace, base.workflow, {.json = base.format == "json"}));
    if (has_ended(state)) {
      CO_ASSIGN_OR_RETURN(const bool mismatch, vdiff_has_mismatch(report));
      if (state == "completed" && !mismatch) co_return text;
      // The report all the same, and a failure for whoever looks at the exit code.
      if (c.show) c.show(text);
      co_return fail(Code::kFailedPrecondition,
                     mismatch ? fmt::format("VDiff {}: the rows of both sides differ", uuid)
                              : fmt::format("VDiff {} has not ended well: its state is {}", uuid, state));
    }
    const auto now = base::system_clock().now();
    if (now - told >= update_interval && base.format != "json" && c.show) {
      c.show(text);
      told = now;
    }
    // What takes long is looked at less often.
    const base::Duration pause = std::clamp((now - began) / 8, kLookIntervalMin, kLookInterval);
    CO_RETURN_IF_ERROR(co_await net::sleep_for(std::min(update_interval, pause)));
  }
}

Output vdiff_repair(const ClientContext& c, Base base, VDiffFlags flags) {
  ::workflowdata::VDiffRepairRequest q;
  q.set_workflow(base.workflow);
  q.set_target_keyspace(base.target_keyspace);
  if (!c.arguments.empty()) q.set_uuid(c.arguments[0]);
  for (const auto& table : flags.tables) q.add_tables(table);
  CO_ASSIGN_OR_RETURN(const auto done,
                      co_await c.call<::workflowdata::VDiffRepairResponse>("VDiffRepair", std::move(q)));
  co_return co_await vdiff_wait(c, base, done.uuid(), flags.update_interval);
}

Output vdiff_create(const ClientContext& c, Base base, VDiffFlags flags) {
  vd::VDiffCreateRequest q;
  q.set_workflow(base.workflow);
  q.set_target_keyspace(base.target_keyspace);
  if (!c.arguments.empty()) q.set_uuid(c.arguments[0]);
  for (const auto& cell : flags.source_cells) q.add_source_cells(cell);
  for (const auto& cell : flags.target_cells) q.add_target_cells(cell);
  q.set_tablet_selection_preference(flags.in_order ? ::tabletmanagerdata::INORDER : ::tabletmanagerdata::ANY);
  for (const auto& table : flags.tables) q.add_tables(table);
  CO_RETURN_IF_ERROR(add_types(q, flags.tablet_types));
  q.set_limit(flags.limit);
  *q.mutable_filtered_replication_wait_time() = to_proto_duration(flags.replication_wait);
  q.set_only_p_ks(flags.only_pks);
  q.set_max_extra_rows_to_compare(flags.max_extra);
  q.set_auto_retry(flags.auto_retry);
  q.set_max_report_sample_rows(flags.samples);
  q.set_debug_query(flags.debug);
  q.set_row_diff_column_truncate_at(flags.truncate);
  q.set_update_table_stats(flags.stats);
  q.set_auto_start(flags.auto_start);
  *q.mutable_max_diff_duration() = to_proto_duration(flags.max_duration);
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<vd::VDiffCreateResponse>("VDiffCreate", std::move(q)));
  if (!flags.wait) {
    if (base.format == "json") co_return c.json(done);
    co_return fmt::format("VDiff {} scheduled on target shards, use show to view progress\n", done.uuid());
  }
  co_return co_await vdiff_wait(c, base, done.uuid(), flags.update_interval);
}

template <typename Response, typename Request>
Output vdiff_simple(const ClientContext& c, Base base, std::string method, Request q, std::string action,
                    std::string status) {
  q.set_workflow(base.workflow);
  q.set_target_keyspace(base.target_keyspace);
  auto done = co_await c.call<Response>(method, std::move(q));
  if (!done.ok()) co_return std::move(done).error();
  if (base.format == "json")
    co_return fmt::format("{{\n  \"Action\": \"{}\",\n  \"Status\": \"{}\"\n}}\n", action, status);
  co_return fmt::format("VDiff {} {}\n", action, status);
}

}  // namespace

void add_workflow_commands(CommandSet& set) {
  add_actions(set, "MoveTables", "movetables", false);
  add_actions(set, "Reshard", "reshard", true);
  add_materialize(set);
  add_migrate(set);

  auto base = std::make_shared<Base>();
  auto& workflow =
      set.add(set.root(), "Workflow", "looks at and controls the workflows of a keyspace", {}, {"workflow"});
  workflow.add("keyspace", &base->target_keyspace, "keyspace of the workflows").alias("k").required();
  set.add(workflow, "list", "names the workflows", [base](const ClientContext& c) { return list(c, *base); }, {"List"});
  auto logs = std::make_shared<bool>(true);
  auto declare_name = [base](base::Settings& s) -> base::Settings& {
    s.add("workflow", &base->workflow, "name of the workflow").alias("w").required();
    return s;
  };
  auto& shown = declare_name(set.add(workflow, "show", "prints a workflow",
                                     [base, logs](const ClientContext& c) { return show(c, *base, *logs); }, {"Show"}));
  shown.add("include-logs", logs.get(), "with the streams' logs");
  shown.add("shards", &base->shards, "only streams of these target shards");
  declare_name(set.add(workflow, "start", "starts stopped streams",
                       [base](const ClientContext& c) { return update_state(c, *base, ::binlogdata::Running); },
                       {"Start"}))
      .add("shards", &base->shards, "only on these target shards");
  declare_name(set.add(workflow, "stop", "stops the streams",
                       [base](const ClientContext& c) { return update_state(c, *base, ::binlogdata::Stopped); },
                       {"Stop"}))
      .add("shards", &base->shards, "only on these target shards");
  auto changes = std::make_shared<UpdateFlags>();
  auto& update = declare_name(
      set.add(workflow, "update", "changes where the streams read from, and what they do with schema changes",
              [base, changes](const ClientContext& c) { return update_settings(c, *base, *changes); }, {"Update"}));
  update.add("cells", &changes->cells, "cells to read from").alias("c");
  update.add("tablet-types", &changes->tablet_types, "types to read from").alias("t");
  const auto& order = update.add("tablet-types-in-order", &changes->in_order, "in this order");
  changes->order_given = [&order] { return order.is_set(); };
  update.add("on-ddl", &changes->on_ddl, "what a schema change of the source does")
      .one_of({"IGNORE", "STOP", "EXEC", "EXEC_IGNORE"});
  update.add("config-overrides", &changes->config, "name=value: settings of the streams");
  update.add("shards", &base->shards, "only on these target shards");
  auto finish = std::make_shared<CompleteFlags>();
  auto& remove = declare_name(
      set.add(workflow, "delete", "gives a workflow up",
              [base, finish](const ClientContext& c) { return cancel(c, *base, *finish, true); }, {"Delete"}));
  remove.add("keep-data", &finish->keep_data, "keep the copies");
  remove.add("keep-routing-rules", &finish->keep_rules, "keep the routing rules");
  remove.add("shards", &finish->shards, "all of the workflow's: they go together");
  declare_removal(remove, *finish);
  auto dry_run = std::make_shared<bool>(false);
  auto wanted = std::make_shared<std::string>();
  auto& mend = set.add(workflow, "repair", "brings to an end what an interrupted command left open",
                       [base, wanted, dry_run](const ClientContext& c) { return repair(c, *base, *wanted, *dry_run); },
                       {"Repair"});
  mend.add("workflow", wanted.get(), "name of the workflow; empty: all of the keyspace").alias("w");
  mend.add("dry-run", dry_run.get(), "only say what is open, since when and why");

  auto keyspace = std::make_shared<Base>();
  auto every = std::make_shared<std::pair<bool, bool>>(false, true);
  auto& get = set.add(set.root(), "GetWorkflows", "prints the workflows of a keyspace",
                      [keyspace, every](const ClientContext& c) {
                        Base all = *keyspace;
                        all.target_keyspace = c.arguments[0];
                        return show(c, all, every->second, !every->first);
                      });
  get.add("show-all", &every->first, "also those that do not run").alias("a");
  get.add("include-logs", &every->second, "with the streams' logs");
  get.arguments("<keyspace>", 1, 1);

  auto vbase = std::make_shared<Base>();
  auto& vdiff = set.add(set.root(), "VDiff", "compares the rows of both sides of a workflow", {}, {"vdiff"});
  vdiff.add("workflow", &vbase->workflow, "name of the workflow").alias("w").required();
  vdiff.add("target-keyspace", &vbase->target_keyspace, "its target keyspace").required();
  vdiff.add("format", &vbase->format, "text or json").one_of({"text", "json"});
  auto f = std::make_shared<VDiffFlags>();
  auto& create = set.add(vdiff, "create", "starts a comparison",
                         [vbase, f](const ClientContext& c) { return vdiff_create(c, *vbase, *f); }, {"Create"});
  create.add("source-cells", &f->source_cells, "cells to read the source's rows in");
  create.add("target-cells", &f->target_cells, "not built, refused: the primary is what is compared");
  create.add("tablet-types", &f->tablet_types, "types of tablets to read the source's rows from");
  create.add("tablet-types-in-preference-order", &f->in_order, "in this order");
  create.add("tables", &f->tables, "only these tables");
  create.add("limit", &f->limit, "rows per table at most");
  create.add("filtered-replication-wait-time", &f->replication_wait, "how long a stream may take to reach a position");
  create.add("debug-query", &f->debug, "with the statement that reads a row that differs");
  create.add("only-pks", &f->only_pks, "show only keys of rows that differ");
  create.add("max-extra-rows-to-compare", &f->max_extra,
             "another one than 1000 is refused: no row has to be looked at again");
  create.add("max-report-sample-rows", &f->samples, "examples in the report");
  create.add("row-diff-column-truncate-at", &f->truncate, "bytes of a value that the report shows");
  create.add("wait", &f->wait, "wait for the end");
  create.add("wait-update-interval", &f->update_interval, "how often to look meanwhile");
  create.add("auto-retry", &f->auto_retry, "go on after errors that may pass");
  create.add("update-table-stats", &f->stats, "have the server count the tables' rows first, for the progress");
  create.add("max-diff-duration", &f->max_duration, "not built, refused: nothing is held for longer than a chunk");
  create.add("auto-start", &f->auto_start, "start at once; else with resume");
  create.arguments("[<uuid>]", 0, 1);
  auto& report = set.add(
      vdiff, "show", "prints the result",
      [vbase, f](const ClientContext& c) { return vdiff_show(c, *vbase, c.arguments[0], f->verbose, f->watch); },
      {"Show"});
  report.add("verbose", &f->verbose, "with each table");
  report.add("watch", &f->watch, "until its end, each time that there is news");
  report.arguments("<last|all|uuid>", 1, 1);
  auto& mended = set.add(vdiff, "repair", "compares, and makes rows of the target that differ what the source has",
                         [vbase, f](const ClientContext& c) { return vdiff_repair(c, *vbase, *f); }, {"Repair"});
  mended.add("tables", &f->tables, "only these tables");
  mended.add("wait-update-interval", &f->update_interval, "how often to tell how far it is");
  mended.arguments("[<uuid>]", 0, 1);
  set.add(vdiff, "stop", "stops a comparison",
          [vbase](const ClientContext& c) {
            vd::VDiffStopRequest q;
            q.set_uuid(c.arguments[0]);
            return vdiff_simple<vd::VDiffStopResponse>(c, *vbase, "VDiffStop", std::move(q), "stop", "completed");
          },
          {"Stop"})
      .arguments("<uuid>", 1, 1);
  auto& resume = set.add(vdiff, "resume", "goes on with a comparison",
                         [vbase, f](const ClientContext& c) {
                           vd::VDiffResumeRequest q;
                           q.set_uuid(c.arguments[0]);
                           for (const auto& shard : f->target_shards) q.add_target_shards(shard);
                           return vdiff_simple<vd::VDiffResumeResponse>(c, *vbase, "VDiffResume", std::move(q),
                                                                        "resume", "scheduled");
                         },
                         {"Resume"});
  resume.add("target-shards", &f->target_shards, "only on these target shards");
  resume.arguments("<uuid>", 1, 1);
  set.add(vdiff, "delete", "removes results",
          [vbase](const ClientContext& c) {
            vd::VDiffDeleteRequest q;
            q.set_arg(c.arguments[0]);
            return vdiff_simple<vd::VDiffDeleteResponse>(c, *vbase, "VDiffDelete", std::move(q), "delete", "completed");
          },
          {"Delete"})
      .arguments("<all|uuid>", 1, 1);
}

}  // namespace vitrail::control
