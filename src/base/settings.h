#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace vitrail::base {

// The settings of one program: declared once, read from the command line and a config file, shown as help text and as
// JSON. A role declares its settings with targets in its own struct; the target's present value is the default:
//
//     struct GateSettings { std::string cell; base::Duration gateway_timeout = std::chrono::seconds(30); };
//     void declare(base::Settings& s, GateSettings& out) {
//       s.add("cell", &out.cell, "cell this gate runs in").required();
//       s.add("gateway_initial_tablet_timeout", &out.gateway_timeout, "how long to wait for tablets at start");
//     }
//
// Forms accepted, as programs of this family always did:
//     --name value   --name=value   -name value   -name=value   --bool   --bool=false   --   (end of flags)
//     '_' equals '-' in names; lists may be repeated or comma separated; durations are Go's ("1h30m").
//     A single dash before a digit is not a flag: "-80" is a shard.
// Sub-commands form a tree; a flag may stand before or after the name of the sub-command it belongs to.
//
//   Precedence : command line, then config file, then default.
//   Empty      : in a config file, "key": "" is the type's zero: false, 0, 0s, "", no items; for a setting with a list
//   of
//                allowed values, its default. On the command line an empty value must be one that the type has.
//   Threads    : declare and parse on one thread. Plain targets do not change afterwards. Targets that are atomics or
//                LiveText are live: reload_config() changes them while other threads read.
//   Lifetime   : targets outlive the Settings.

// A string that reload_config() may change while others read.
class LiveText {
 public:
  LiveText(std::string value = "") : value_(std::move(value)) {}
  std::string get() const {
    const std::scoped_lock lock(mutex_);
    return value_;
  }
  void set(std::string value) {
    const std::scoped_lock lock(mutex_);
    value_ = std::move(value);
  }

 private:
  mutable std::mutex mutex_;
  std::string value_;
};

// One declared setting. The functions return *this, for use at the declaration.
class Setting {
 public:
  Setting& unit(std::string_view text);               // "MiB", "rows": shown in help.
  Setting& alias(std::string_view name);              // Older or shorter spelling, also accepted.
  Setting& one_of(std::vector<std::string> allowed);  // Compared ignoring case; stored in the spelling given here.
  Setting& required();                                // parse() fails when it is not given.
  Setting& hidden();                                  // Not in help.
  // For add_parsed(): `set` may be called while others read, so reload_config() may change it.
  Setting& live();
  Setting& no_value();                                                   // "--name" alone means "--name=true".
  Setting& check(std::function<Status(std::string_view value)> accept);  // Refuses values; runs before they are stored.
  // For durations: a number without a unit counts these, as older releases had it: "--query-timeout 100" is 100 ms.
  Setting& bare_number(std::chrono::nanoseconds unit);

  const std::string& name() const { return name_; }
  bool is_set() const { return source_.load() != Source::kDefault; }

 private:
  friend class Settings;
  enum class Source : uint8_t { kDefault, kConfigFile, kCommandLine };
  enum class Json : uint8_t { kText, kRaw, kList };

  std::string name_;
  std::string type_;
  std::string description_;
  std::string unit_;
  std::string default_;
  std::vector<std::string> aliases_;
  std::vector<std::string> allowed_;
  bool required_ = false;
  bool hidden_ = false;
  bool live_ = false;
  bool ignored_ = false;
  std::string why_;  // Of an accepted flag without effect: why that is right.
  bool takes_value_ = true;
  std::chrono::nanoseconds bare_unit_{};  // 0: a number needs its unit.
  Json json_ = Json::kText;
  std::atomic<Source> source_ = Source::kDefault;
  std::function<Status(std::string_view value)> accept_;
  std::function<Status(std::string_view value, bool replace)> set_;
  std::function<std::string()> get_;
};

class Settings {
 public:
  enum class Outcome : uint8_t { kRun, kHelp, kHelpJson, kVersion };

  Settings(std::string name, std::string description);
  ~Settings();
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  // Declares a setting. Two settings of one name (after '_' = '-') on one path of commands break an invariant.
  Setting& add(std::string_view name, std::string* target, std::string_view description);
  Setting& add(std::string_view name, bool* target, std::string_view description);
  Setting& add(std::string_view name, int32_t* target, std::string_view description);
  Setting& add(std::string_view name, int64_t* target, std::string_view description);
  Setting& add(std::string_view name, uint16_t* target, std::string_view description);
  Setting& add(std::string_view name, uint32_t* target, std::string_view description);
  Setting& add(std::string_view name, uint64_t* target, std::string_view description);
  Setting& add(std::string_view name, double* target, std::string_view description);
  Setting& add(std::string_view name, std::chrono::nanoseconds* target, std::string_view description);
  Setting& add(std::string_view name, std::chrono::milliseconds* target, std::string_view description);
  Setting& add(std::string_view name, std::chrono::seconds* target, std::string_view description);
  Setting& add(std::string_view name, std::vector<std::string>* target, std::string_view description);
  // Live ones.
  Setting& add(std::string_view name, std::atomic<bool>* target, std::string_view description);
  Setting& add(std::string_view name, std::atomic<int64_t>* target, std::string_view description);
  Setting& add(std::string_view name, std::atomic<double>* target, std::string_view description);
  Setting& add(std::string_view name, std::atomic<Duration>* target, std::string_view description);
  Setting& add(std::string_view name, LiveText* target, std::string_view description);
  // Any other type: `set` parses and stores, `get` prints the present value.
  Setting& add_parsed(std::string_view name, std::string_view type, std::function<Status(std::string_view)> set,
                      std::function<std::string()> get, std::string_view description);

  // A flag that is accepted and has no effect, because what it asks for holds anyway or does no harm: `why`. With
  // one_of() only the values for which that is true; others are refused with `why`. `takes_value` false: a bool form.
  // Whoever gives it finds that in warnings().
  Setting& accept(std::string_view name, bool takes_value, std::string_view why);
  // Whether a setting of that name exists here or in a sub-command.
  bool knows(std::string_view name) const;

  // A sub-command, with settings of its own; the settings of its parents apply to it too. The reference stays valid.
  Settings& add_command(std::string_view name, std::string_view description, std::vector<std::string> aliases = {});
  // How many positional arguments the command takes, and how help calls them. Default: none.
  Settings& arguments(std::string_view usage, size_t count_min, size_t count_max);

  // From the first argument on, every word is an argument, whatever it looks like: for commands that hand a command
  // line on. One "--" before the first argument is dropped.
  Settings& pass_through();
  // The same from the command's own name on: flags too are arguments.
  Settings& take_all();
  // The required settings of the parents need not be given.
  Settings& standalone();
  // Not in help and completion.
  Settings& hidden_command();
  bool has_commands() const { return !commands_.empty(); }
  bool knows_command(std::string_view name) const { return find_command(name) != nullptr; }

  // Declares the command "completion", with a sub-command for each shell.
  void add_completion();
  // Candidates for the last word of a command line (without the program's name), one a line, then ":" and a directive:
  // the protocol that scripts of the Go library cobra speak. `descriptions`: a tab and the description behind each.
  // Directives here: 0 files may follow, 4 they may not.
  std::string complete(std::span<const std::string> words, bool descriptions) const;
  // The script that makes a shell ask complete(). `shell`: bash, zsh, fish, powershell; CHECKed.
  std::string completion_script(std::string_view shell) const;

  // Declares --config-file and its companions; parse() then reads the file. JSON, or "key: value" YAML without nesting.
  void add_config_file();

  // Reads the arguments (without the program name). All mistakes are found and reported in one kInvalidArgument, one
  // per line. --help and --version win over mistakes. Call it once.
  Result<Outcome> parse(std::span<const std::string> args);

  // Reads the config file again and applies changed values of live settings that the command line did not set. Returns
  // the names that changed. A file that cannot be read changes nothing; a value that is refused is reported in the
  // Error and leaves the other keys of the file applied. Any thread.
  Result<std::vector<std::string>> reload_config();
  // The config file in force, after parse(); "" for none.
  std::string config_file() const;

  // Things worth telling at start: unknown keys of the config file, a config file that was not found, flags without
  // effect.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // After parse(), on the root: names from the root's child to the chosen command; empty for none.
  const std::vector<std::string>& command_path() const { return path_; }
  const std::vector<std::string>& positional() const { return positional_; }
  // Given on the command line or in the config file, on the chosen command or its parents.
  bool is_set(std::string_view name) const;

  const std::string& name() const { return name_; }
  // Of the chosen command (root: of the program).
  std::string help() const;
  // "vtgate version Version: 24.0.0 (...)".
  std::string version() const;
  // All values now in force as one JSON object, keys with '_'. Any thread.
  std::string to_json() const;
  // Every flag, those without effect included, as a JSON array: for documentation and completion (--help-json).
  std::string describe_json() const;

 private:
  struct FlagUse {
    std::string name;  // As typed, without dashes.
    std::string value;
    bool has_value = false;
  };

  Setting& declare(std::string_view name, std::string_view type, std::string_view description);
  Setting& declare_value(std::string_view name, std::string_view type, std::string_view description,
                         std::function<Status(std::string_view)> set, std::function<std::string()> get);
  Setting* find_own(std::string_view canonical) const;
  Setting* find_in_path(std::string_view canonical) const;      // Here, then in the parents.
  const Setting* find_below(std::string_view canonical) const;  // In any descendant.
  Settings* find_command(std::string_view name) const;
  std::string nearest_flag(std::string_view canonical) const;
  std::string nearest_command(std::string_view name) const;
  static Status assign(Setting& setting, std::string_view value, bool replace);
  static Status assign_from_file(Setting& setting, std::string_view value);
  void note_without_effect(const Setting& setting, std::string_view as_given);
  Status load_config(bool reload, std::vector<std::string>& changed);
  Result<std::string> config_path() const;
  std::string full_name() const;

  std::string name_;
  std::string description_;
  std::vector<std::string> aliases_;
  std::string usage_;
  size_t positional_min_ = 0;
  size_t positional_max_ = 0;
  bool pass_through_ = false;
  bool take_all_ = false;
  bool standalone_ = false;
  bool hidden_ = false;
  Settings* parent_ = nullptr;
  std::vector<std::unique_ptr<Setting>> settings_;
  std::vector<std::unique_ptr<Settings>> commands_;

  mutable std::mutex mutex_;  // Guards values against reload_config() in to_json().
  struct ConfigFile;
  std::unique_ptr<ConfigFile> config_;
  Settings* chosen_ = this;
  std::vector<std::string> path_;
  std::vector<std::string> positional_;
  std::vector<std::string> warnings_;
};

}  // namespace vitrail::base
