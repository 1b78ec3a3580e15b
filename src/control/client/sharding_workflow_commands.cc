// Commands on sharding workflows: docs/users/workflows.md.
#include <fmt/core.h>
#include <unistd.h>

#include "base/text.h"
#include "control/client/call.h"
#include "control/states/table.h"
#include "shardingworkflow.pb.h"

namespace vitrail::control {
namespace {

namespace sw = ::shardingworkflow;

struct Flags {
  std::string branch = "main", format = "text";
  std::string kind = "MoveTables", source_keyspace, target_keyspace;
  std::vector<std::string> tables, source_shards, target_shards;
  bool yes = false;
  base::Duration timeout = std::chrono::seconds(30);
};

// Who is at this terminal, for the log.
std::string caller() {
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = 0;
  const char* user = std::getenv("USER");
  return fmt::format("{}@{}", user != nullptr && *user != 0 ? user : fmt::format("uid{}", ::getuid()), host);
}

std::string time_text(int64_t ms) {
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string places(const std::string& keyspace, const google::protobuf::RepeatedPtrField<std::string>& shards) {
  if (shards.empty()) return keyspace;
  return keyspace + "/" + base::join(std::vector<std::string>(shards.begin(), shards.end()), ",");
}

std::string state_text(const sw::View& view) {
  return view.state() + (view.substate().empty() ? "" : " (" + view.substate() + ")");
}

std::string summary_line(const sw::View& view) {
  const sw::Record& record = view.record();
  return fmt::format("{}/{}: {} {} to {}: {}{}\n", record.branch(), record.name(), record.kind(),
                     places(record.source_keyspace(), record.source_shards()),
                     places(record.target_keyspace(), record.target_shards()), state_text(view),
                     view.under_way().empty() ? "" : ", " + view.under_way() + " is under way");
}

std::string view_text(const sw::View& view) {
  const sw::Record& record = view.record();
  std::string out = summary_line(view);
  out += "State: " + state_text(view) + "\n";
  if (!view.under_way().empty()) out += "Under way: " + view.under_way() + "\n";
  std::string possible;
  for (const std::string& action : view.possible()) possible += (possible.empty() ? "" : ", ") + action;
  if (view.under_way().empty()) out += "Possible: " + (possible.empty() ? "nothing" : possible) + "\n";
  if (!view.error().empty()) out += "Error: " + view.error() + "\n";
  if (record.has_verification()) {
    out += fmt::format("Verified: {}, {}\n", time_text(record.verification().ended_ms()),
                       record.verification().agrees() ? "no row differs" : record.verification().summary());
  }
  for (const auto& table : view.tables()) out += fmt::format("Table {}: {}\n", table.name(), table.copy());
  if (view.tables_size() > 0) {
    out += fmt::format("Rows copied: {}\nLag: {} s\nTraffic: {}\n", view.rows_copied(), view.lag_seconds(),
                       view.traffic());
  }
  if (!view.engine_error().empty()) out += "Streams: " + view.engine_error() + "\n";
  out += "Log:\n";
  for (const auto& entry : record.log())
    out += fmt::format("  {} {}: {}\n", time_text(entry.at_ms()), entry.who(), entry.what());
  return out;
}

Output show(const ClientContext& c, std::string branch, std::string format, std::string name) {
  sw::ShowRequest q;
  q.set_branch(branch);
  q.set_name(name);
  CO_ASSIGN_OR_RETURN(const auto view, co_await c.call<sw::View>("ShardingWorkflowShow", std::move(q)));
  co_return format == "json" ? c.json(view) : Result<std::string>(view_text(view));
}

Output create(const ClientContext& c, Flags flags) {
  sw::CreateRequest q;
  sw::Record& record = *q.mutable_record();
  record.set_branch(flags.branch);
  record.set_name(c.arguments[0]);
  record.set_kind(flags.kind);
  record.set_source_keyspace(flags.source_keyspace);
  record.set_target_keyspace(flags.target_keyspace);
  for (const auto& table : flags.tables) record.add_tables(table);
  for (const auto& shard : flags.source_shards) record.add_source_shards(shard);
  for (const auto& shard : flags.target_shards) record.add_target_shards(shard);
  q.set_who(c.who.empty() ? caller() : c.who);
  auto made = co_await c.call<sw::Record>("ShardingWorkflowCreate", std::move(q));
  if (!made.ok()) co_return std::move(made).error();
  co_return co_await show(c, flags.branch, flags.format, c.arguments[0]);
}

Output list(const ClientContext& c, Flags flags) {
  sw::ListRequest q;
  q.set_branch(flags.branch == "all" ? "" : flags.branch);
  CO_ASSIGN_OR_RETURN(const auto found, co_await c.call<sw::ListResponse>("ShardingWorkflowList", std::move(q)));
  if (flags.format == "json") co_return c.json(found);
  std::string out;
  for (const auto& view : found.workflows()) out += summary_line(view);
  co_return out;
}

Output act(const ClientContext& c, Flags flags, states::Action action) {
  const std::string warning(states::warning_of(action));
  if (states::needs_confirmation(action) && !flags.yes) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("{} {}: {} Give --yes to go on.", states::name_of(action), c.arguments[0], warning));
  }
  if (c.show && !warning.empty() && flags.format == "text") c.show("Warning: " + warning + "\n");
  sw::ActRequest q;
  q.set_branch(flags.branch);
  q.set_name(c.arguments[0]);
  q.set_action(std::string(states::name_of(action)));
  q.set_who(c.who.empty() ? caller() : c.who);
  q.set_confirmed(flags.yes);
  q.set_timeout_seconds(std::chrono::duration_cast<std::chrono::seconds>(flags.timeout).count());
  const bool before_switch = action == states::Action::kSwitchReplicas || action == states::Action::kSwitchPrimaries;
  if (before_switch && c.show && flags.format == "text") {  // Unverified data may be switched, but visibly.
    sw::ShowRequest look;
    look.set_branch(flags.branch);
    look.set_name(c.arguments[0]);
    const auto view = co_await c.call<sw::View>("ShardingWorkflowShow", std::move(look));
    if (view.ok() && !view->substate().empty()) c.show("Data: " + view->substate() + "\n");
  }
  CO_ASSIGN_OR_RETURN(const auto done, co_await c.call<sw::Record>("ShardingWorkflowAct", std::move(q)));
  CO_ASSIGN_OR_RETURN(const std::string shown, co_await show(c, flags.branch, flags.format, c.arguments[0]));
  if (action == states::Action::kVerify && !done.verification().agrees()) {
    if (c.show) c.show(shown);
    co_return fail(Code::kFailedPrecondition, "the rows of both sides differ: " + done.verification().summary());
  }
  co_return shown;
}

}  // namespace

void add_sharding_workflow_commands(CommandSet& set) {
  auto flags = std::make_shared<Flags>();
  auto& parent = set.add(set.root(), "ShardingWorkflow", "moves tables or reshards, state by state", {});
  parent.add("branch", &flags->branch, "each branch has one active workflow");
  parent.add("format", &flags->format, "text or json").one_of({"text", "json"});
  auto& made =
      set.add(parent, "create", "begins to copy", [flags](const ClientContext& c) { return create(c, *flags); });
  made.add("kind", &flags->kind, "what the workflow does").one_of({"MoveTables", "Reshard"});
  made.add("source-keyspace", &flags->source_keyspace, "MoveTables: keyspace to take tables from");
  made.add("target-keyspace", &flags->target_keyspace, "keyspace that gets the rows").required();
  made.add("tables", &flags->tables, "MoveTables: tables to move; none: all");
  made.add("source-shards", &flags->source_shards, "shards to read from; MoveTables: none: all");
  made.add("target-shards", &flags->target_shards, "Reshard: shards to fill");
  made.arguments("<name>", 1, 1);
  set.add(parent, "show", "prints state, what may be done next, progress and log",
          [flags](const ClientContext& c) { return show(c, flags->branch, flags->format, c.arguments[0]); })
      .arguments("<name>", 1, 1);
  set.add(parent, "list", "prints the workflows of the branch; --branch all: of every branch",
          [flags](const ClientContext& c) { return list(c, *flags); });
  const std::pair<states::Action, const char*> actions[] = {
      {states::Action::kVerify, "compares the rows of both sides"},
      {states::Action::kSwitchReplicas, "sends replica reads to the target"},
      {states::Action::kSwitchPrimaries, "sends all traffic to the target"},
      {states::Action::kReverseTraffic, "sends all traffic back to the source"},
      {states::Action::kCutover, "drops the source's tables and resets the routing rules"},
      {states::Action::kReverseCutover, "puts the routing rules of the switch back"},
      {states::Action::kComplete, "says that no way back is needed"},
      {states::Action::kCancel, "gives the workflow up and drops the copies"},
      {states::Action::kRetry, "goes on with the step that failed"},
  };
  for (const auto& [action, description] : actions) {
    auto& command = set.add(parent, states::name_of(action), description,
                            [flags, action](const ClientContext& c) { return act(c, *flags, action); });
    if (states::needs_confirmation(action)) command.add("yes", &flags->yes, "go on in spite of the warning");
    if (action == states::Action::kSwitchPrimaries || action == states::Action::kReverseTraffic) {
      command.add("timeout", &flags->timeout, "longest time that writes may be stopped");
    }
    command.arguments("<name>", 1, 1);
  }
}

}  // namespace vitrail::control
