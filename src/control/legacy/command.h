#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/legacy/legacy.h"
#include "rpc/typed.h"

// How older commands are declared.
namespace vitrail::control::legacy {

// A flag of an older command. `names` are separated by blanks; the first is the key in Call::flags.
struct Flag {
  std::string_view names;
  std::string_view today;  // The flag that it becomes; empty: only the body looks at it, or nobody.
  bool is_switch = false;
};
inline Flag value(std::string_view names, std::string_view today) { return {names, today, false}; }
inline Flag toggle(std::string_view names, std::string_view today) { return {names, today, true}; }
inline Flag ignored(std::string_view names) { return {names, "", false}; }
inline Flag ignored_toggle(std::string_view names) { return {names, "", true}; }

struct Command;

// One command line, read.
struct Call {
  const LegacyEnvironment& environment;
  const Command& command;
  std::map<std::string, std::string, std::less<>> flags;  // Only those that were given.
  std::vector<std::string> arguments;

  bool has(std::string_view flag) const { return flags.contains(flag); }
  bool is_true(std::string_view flag) const { return get(flag) == "true"; }
  std::string get(std::string_view flag, std::string_view fallback = "") const;
  // The flags that have a name today, in that name: "--wait-replicas-timeout=31s".
  std::vector<std::string> todays_flags() const;
  // Runs a command line of vtctldclient and returns what that prints. `compact`: without empty fields of JSON.
  net::Task<Result<std::string>> run(std::vector<std::string> words, bool compact = false) const;

  template <typename Response, typename Request>
  net::Task<Result<Response>> vtctld(std::string_view method, Request request) const {
    return rpc::call<Response>(environment.vtctld, std::string("/vtctlservice.Vtctld/").append(method), request,
                               net::Wait::within(environment.action_timeout));
  }
};

// Returns what goes to the console.
using Body = std::function<net::Task<Result<std::string>>(const Call& call)>;

struct Command {
  std::string_view group;
  std::string_view names;  // Separated by blanks; the first is shown.
  std::string_view usage;  // "<keyspace/shard> <tablet alias>"
  size_t arguments_min = 0;
  size_t arguments_max = 0;
  std::vector<Flag> flags;
  Body body;
  bool takes_all = false;  // Whatever stands behind the name, flags too, is an argument.
};

inline constexpr size_t kMany = 1'000;

// The same arguments, the same flags but for their spelling.
Body same(std::string_view today);
// Likewise, without empty fields of JSON.
Body compact(std::string_view today);
// The same, and nothing is printed.
Body silent(std::string_view today);
// The command exists no more; `why` says what to use.
Body gone(std::string_view why);

// The command is known and not built; `why` says what there is.
Body unbuilt(std::string_view why);

// All commands, in the order of their groups.
const std::vector<Command>& commands();
// Compares names ignoring case; null when there is none.
const Command* find_command(std::string_view name);
// kInvalidArgument lists all mistakes; nothing when help was asked for. `words`: without the command's name.
Result<std::optional<Call>> read_call(const LegacyEnvironment& environment, const Command& command,
                                      const std::vector<std::string>& words);

void add_topology_commands(std::vector<Command>& out);
void add_unbuilt_commands(std::vector<Command>& out);  // Behind all others: only what they have not.
void add_keyspace_commands(std::vector<Command>& out);
void add_tablet_commands(std::vector<Command>& out);
void add_schema_commands(std::vector<Command>& out);
void add_workflow_commands(std::vector<Command>& out);
void add_follow_commands(std::vector<Command>& out);
void add_migration_commands(std::vector<Command>& out);
void add_manager_commands(std::vector<Command>& out);
void add_backup_commands(std::vector<Command>& out);

}  // namespace vitrail::control::legacy
