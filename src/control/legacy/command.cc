#include "control/legacy/command.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/settings.h"
#include "base/text.h"
#include "control/client/client.h"

namespace vitrail::control {
namespace legacy {
namespace {

// "<keyspace/shard> <tablet alias>" in a sentence: "the <keyspace/shard> and <tablet alias> arguments are".
std::string required_arguments(std::string_view usage) {
  std::vector<std::string> names;
  for (size_t at = 0; (at = usage.find('<', at)) != std::string_view::npos;) {
    const size_t end = usage.find('>', at);
    if (end == std::string_view::npos) break;
    if (at == 0 || usage[at - 1] != '[') names.emplace_back(usage.substr(at, end + 1 - at));
    at = end;
  }
  if (names.empty()) return "no arguments are";
  if (names.size() == 1) return "the " + names[0] + " argument is";
  const std::string last = names.back();
  names.pop_back();
  return "the " + base::join(names, ", ") + " and " + last + " arguments are";
}

std::string first_name(std::string_view names) { return std::string(names.substr(0, names.find(' '))); }

}  // namespace

std::string Call::get(std::string_view flag, std::string_view fallback) const {
  const auto found = flags.find(flag);
  return found == flags.end() ? std::string(fallback) : found->second;
}

std::vector<std::string> Call::todays_flags() const {
  std::vector<std::string> out;
  for (const Flag& flag : command.flags) {
    const auto found = flags.find(first_name(flag.names));
    if (found != flags.end() && !flag.today.empty()) out.push_back(fmt::format("--{}={}", flag.today, found->second));
  }
  return out;
}

net::Task<Result<std::string>> Call::run(std::vector<std::string> words, bool compact) const {
  base::Settings settings("vtctldclient", "");
  CommandSet set(settings);
  CO_ASSIGN_OR_RETURN(const auto outcome, settings.parse(words));
  if (outcome != base::Settings::Outcome::kRun) {
    co_return fail(Code::kInvalidArgument, "this is not a command: " + base::join(words, " "));
  }
  ClientContext context;
  context.vtctld = environment.vtctld;
  context.streams = environment.streams;
  context.action_timeout = environment.action_timeout;
  context.compact = compact;
  context.arguments = settings.positional();
  std::string shown;
  context.show = [&shown](std::string_view text) { shown += text; };
  auto done = co_await set.run(context);
  if (done.ok()) co_return shown + *done;
  if (shown.empty()) co_return done;
  co_return fail(done.error().code(), shown + done.error().message());
}

namespace {

Body same_words(std::string_view today, bool compact) {
  return [today = std::string(today), compact](const Call& call) {
    std::vector<std::string> words = {today};
    std::ranges::copy(call.todays_flags(), std::back_inserter(words));
    words.emplace_back("--");
    std::ranges::copy(call.arguments, std::back_inserter(words));
    return call.run(std::move(words), compact);
  };
}

net::Task<Result<std::string>> without_output(net::Task<Result<std::string>> task) {
  auto done = co_await std::move(task);
  if (!done.ok()) co_return std::move(done).error();
  co_return std::string();
}

net::Task<Result<std::string>> refuse(std::string why) { co_return fail(Code::kUnimplemented, std::move(why)); }

}  // namespace

Body same(std::string_view today) { return same_words(today, false); }

Body compact(std::string_view today) { return same_words(today, true); }

Body silent(std::string_view today) {
  return [body = same(today)](const Call& call) { return without_output(body(call)); };
}

Body gone(std::string_view why) {
  return [why = std::string(why)](const Call& call) {
    return refuse(first_name(call.command.names) + " exists no more: " + why);
  };
}

Body unbuilt(std::string_view why) {
  return [why = std::string(why)](const Call& call) {
    return refuse(first_name(call.command.names) + " is not built yet: " + why);
  };
}

const std::vector<Command>& commands() {
  static const std::vector<Command> all = [] {
    std::vector<Command> out;
    add_tablet_commands(out);
    add_keyspace_commands(out);
    add_workflow_commands(out);
    add_follow_commands(out);
    add_migration_commands(out);
    add_manager_commands(out);
    add_schema_commands(out);
    add_backup_commands(out);
    add_topology_commands(out);
    add_unbuilt_commands(out);
    return out;
  }();
  return all;
}

const Command* find_command(std::string_view name) {
  for (const Command& command : commands()) {
    for (const std::string_view known : base::split(command.names, ' ')) {
      if (base::equals_ignoring_case(known, name)) return &command;
    }
  }
  return nullptr;
}

Result<std::optional<Call>> read_call(const LegacyEnvironment& environment, const Command& command,
                                      const std::vector<std::string>& words) {
  const std::string name = first_name(command.names);
  Call call{.environment = environment, .command = command, .flags = {}, .arguments = {}};
  base::Settings settings(name, "");
  for (const Flag& flag : command.flags) {
    std::vector<std::string_view> names = base::split(flag.names, ' ');
    const std::string key(names[0]);
    const auto set = [&call, key](std::string_view text) -> Status {
      std::string& stored = call.flags[key];
      stored = stored.empty() || text.empty() ? std::string(text) : stored + "," + std::string(text);
      return {};
    };
    const auto set_switch = [&call, key](std::string_view text) -> Status {
      for (const std::string_view word : {"true", "1", "t", "false", "0", "f"}) {
        if (!base::equals_ignoring_case(word, text)) continue;
        call.flags[key] = word == "true" || word == "1" || word == "t" ? "true" : "false";
        return {};
      }
      return fail(Code::kInvalidArgument, fmt::format("invalid value \"{}\": expected true or false", text));
    };
    const auto get = [] { return std::string(); };
    base::Setting& setting = flag.is_switch ? settings.add_parsed(key, "bool", set_switch, get, "").no_value()
                                            : settings.add_parsed(key, "string", set, get, "");
    for (const std::string_view alias : std::span(names).subspan(1)) setting.alias(alias);
  }
  settings.arguments(command.usage, 0, SIZE_MAX);
  if (command.takes_all) settings.take_all();
  // The lone "--" that separates the command from its flags.
  std::span<const std::string> rest(words);
  if (!rest.empty() && rest[0] == "--") rest = rest.subspan(1);
  ASSIGN_OR_RETURN(const auto outcome, settings.parse(rest));
  if (outcome != base::Settings::Outcome::kRun) return std::optional<Call>();
  call.arguments = settings.positional();
  if (call.arguments.size() < command.arguments_min || call.arguments.size() > command.arguments_max) {
    return fail(Code::kInvalidArgument,
                fmt::format("{} required for the {} command, received {}: {}", required_arguments(command.usage), name,
                            call.arguments.size(), base::join(call.arguments, " ")));
  }
  return std::optional<Call>(std::move(call));
}

namespace {

std::string usage_of(const Command& command) {
  std::string out = first_name(command.names);
  for (const Flag& flag : command.flags) {
    out += fmt::format(" [-{}{}]", first_name(flag.names), flag.is_switch ? "" : "=...");
  }
  if (!command.usage.empty()) out += " " + std::string(command.usage);
  return out + "\n";
}

Error unknown(const std::string& name) {
  std::string nearest;
  size_t best = std::max<size_t>(2, name.size() / 3) + 1;
  for (const Command& command : commands()) {
    for (const std::string_view known : base::split(command.names, ' ')) {
      const size_t distance = base::edit_distance(base::to_lower(name), base::to_lower(known));
      if (distance >= best) continue;
      best = distance;
      nearest = known;
    }
  }
  return fail(Code::kInvalidArgument, nearest.empty()
                                          ? fmt::format("unknown command: {}; help lists all", name)
                                          : fmt::format("unknown command: {} (did you mean {}?)", name, nearest));
}

// In pieces that fit into messages, cut between characters.
net::Task<Status> print(const LegacyEnvironment& environment, std::string text) {
  constexpr size_t kPiece = 64u << 10;
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t size = std::min(rest.size(), kPiece);
    for (size_t back = 0; back < 3 && size < rest.size() && (static_cast<uint8_t>(rest[size]) & 0xc0) == 0x80; ++back) {
      --size;
    }
    CO_RETURN_IF_ERROR(co_await environment.report(LegacyLevel::kConsole, std::string(rest.substr(0, size))));
    rest.remove_prefix(size);
  }
  co_return Status{};
}

}  // namespace
}  // namespace legacy

std::string legacy_help() {
  std::string out = "Available commands:\n";
  std::string_view group;
  for (const auto& command : legacy::commands()) {
    if (command.group != group) out += fmt::format("\n{}:\n", command.group);
    group = command.group;
    out += "  " + legacy::usage_of(command);
  }
  return out;
}

net::Task<Status> run_legacy_command(const LegacyEnvironment& environment, std::vector<std::string> line) {
  if (!line.empty() && line[0] == "--") line.erase(line.begin());
  if (line.empty()) co_return fail(Code::kInvalidArgument, "no command was given; help lists all");
  const std::string name = line[0];
  line.erase(line.begin());
  if (base::equals_ignoring_case(name, "help")) {
    const legacy::Command* about = line.empty() ? nullptr : legacy::find_command(line[0]);
    if (!line.empty() && about == nullptr) co_return legacy::unknown(line[0]);
    co_return co_await legacy::print(environment,
                                     about == nullptr ? legacy_help() : "Usage: " + legacy::usage_of(*about));
  }
  const legacy::Command* command = legacy::find_command(name);
  if (command == nullptr) co_return legacy::unknown(name);
  CO_ASSIGN_OR_RETURN(const auto call, legacy::read_call(environment, *command, line));
  if (!call) co_return co_await legacy::print(environment, "Usage: " + legacy::usage_of(*command));
  auto output = co_await command->body(*call);
  if (!output.ok()) co_return std::move(output).error();
  co_return co_await legacy::print(environment, std::move(*output));
}

}  // namespace vitrail::control
