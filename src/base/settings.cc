#include "base/settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/config_file.h"
#include "base/duration.h"
#include "base/file.h"
#include "base/text.h"

namespace vitrail::base {

struct Settings::ConfigFile {
  std::string file;
  std::vector<std::string> folders;
  std::string name = "vtconfig";
  std::string type;
  std::string when_missing = "warn";
};

namespace {

// Names are compared in this form.
std::string canonical_name(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', '-');
  return text;
}

Error bad_value(std::string_view value, std::string_view expected) {
  return fail(Code::kInvalidArgument, fmt::format("invalid value \"{}\": expected {}", value, expected));
}

Result<bool> parse_bool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "true"}) {
    if (equals_ignoring_case(text, yes)) return true;
  }
  for (const std::string_view no : {"0", "f", "false"}) {
    if (equals_ignoring_case(text, no)) return false;
  }
  return bad_value(text, "true or false");
}

template <typename T>
Result<T> parse_integer(std::string_view text) {
  T value{};
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    digits.remove_prefix(2);
    base = 16;
  }
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return bad_value(text, fmt::format("a whole number from {} to {}", std::numeric_limits<T>::min(),
                                       std::numeric_limits<T>::max()));
  }
  return value;
}

Result<double> parse_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return bad_value(text, "a number");
  return value;
}

template <typename T>
Result<T> parse_duration_of(std::string_view text) {
  ASSIGN_OR_RETURN(const Duration value, parse_duration(text));
  const T converted = std::chrono::duration_cast<T>(value);
  if (Duration(converted) != value) {
    return bad_value(text, std::is_same_v<T, std::chrono::seconds> ? "whole seconds" : "whole milliseconds");
  }
  return converted;
}

// A setter that parses and stores.
template <typename T, typename Parse>
auto store(T* target, Parse parse) {
  return [target, parse](std::string_view text) -> Status {
    ASSIGN_OR_RETURN(auto value, parse(text));
    *target = value;
    return {};
  };
}

}  // namespace

Setting& Setting::unit(std::string_view text) {
  unit_ = text;
  return *this;
}

Setting& Setting::alias(std::string_view name) {
  aliases_.push_back(canonical_name(name));
  return *this;
}

Setting& Setting::one_of(std::vector<std::string> allowed) {
  allowed_ = std::move(allowed);
  return *this;
}

Setting& Setting::required() {
  required_ = true;
  return *this;
}

Setting& Setting::hidden() {
  hidden_ = true;
  return *this;
}

Setting& Setting::live() {
  live_ = true;
  return *this;
}

Setting& Setting::no_value() {
  takes_value_ = false;
  return *this;
}

Setting& Setting::bare_number(std::chrono::nanoseconds unit) {
  bare_unit_ = unit;
  return *this;
}

Setting& Setting::check(std::function<Status(std::string_view value)> accept) {
  accept_ = std::move(accept);
  return *this;
}

Settings::Settings(std::string name, std::string description)
    : name_(std::move(name)), description_(std::move(description)) {}
Settings::~Settings() = default;

Setting& Settings::declare(std::string_view name, std::string_view type, std::string_view description) {
  CHECK(find_in_path(canonical_name(name)) == nullptr);
  settings_.push_back(std::make_unique<Setting>());
  Setting& setting = *settings_.back();
  setting.name_ = name;
  setting.type_ = type;
  setting.description_ = description;
  return setting;
}

Setting& Settings::declare_value(std::string_view name, std::string_view type, std::string_view description,
                                 std::function<Status(std::string_view)> set, std::function<std::string()> get) {
  Setting& setting = declare(name, type, description);
  setting.set_ = [set = std::move(set)](std::string_view value, bool) { return set(value); };
  setting.get_ = std::move(get);
  setting.default_ = setting.get_();
  return setting;
}

Setting& Settings::add(std::string_view name, std::string* target, std::string_view description) {
  const auto set = [target](std::string_view text) -> Status {
    *target = text;
    return {};
  };
  return declare_value(name, "string", description, set, [target] { return *target; });
}

Setting& Settings::add(std::string_view name, LiveText* target, std::string_view description) {
  const auto set = [target](std::string_view text) -> Status {
    target->set(std::string(text));
    return {};
  };
  Setting& setting = declare_value(name, "string", description, set, [target] { return target->get(); });
  setting.live_ = true;
  return setting;
}

Setting& Settings::add(std::string_view name, bool* target, std::string_view description) {
  Setting& setting = declare_value(name, "bool", description, store(target, parse_bool),
                                   [target] { return std::string(*target ? "true" : "false"); });
  setting.takes_value_ = false;
  setting.json_ = Setting::Json::kRaw;
  return setting;
}

Setting& Settings::add(std::string_view name, std::atomic<bool>* target, std::string_view description) {
  Setting& setting = declare_value(name, "bool", description, store(target, parse_bool),
                                   [target] { return std::string(target->load() ? "true" : "false"); });
  setting.takes_value_ = false;
  setting.live_ = true;
  setting.json_ = Setting::Json::kRaw;
  return setting;
}

#define VITRAIL_ADD_NUMBER(T, type, parse)                                                                             \
  Setting& Settings::add(std::string_view name, T* target, std::string_view description) {                             \
    Setting& setting =                                                                                                 \
        declare_value(name, type, description, store(target, parse), [target] { return fmt::format("{}", *target); }); \
    setting.json_ = Setting::Json::kRaw;                                                                               \
    return setting;                                                                                                    \
  }
VITRAIL_ADD_NUMBER(int32_t, "int", parse_integer<int32_t>)
VITRAIL_ADD_NUMBER(int64_t, "int", parse_integer<int64_t>)
VITRAIL_ADD_NUMBER(uint16_t, "uint", parse_integer<uint16_t>)
VITRAIL_ADD_NUMBER(uint32_t, "uint", parse_integer<uint32_t>)
VITRAIL_ADD_NUMBER(uint64_t, "uint", parse_integer<uint64_t>)
VITRAIL_ADD_NUMBER(double, "float", parse_double)
#undef VITRAIL_ADD_NUMBER

Setting& Settings::add(std::string_view name, std::atomic<int64_t>* target, std::string_view description) {
  Setting& setting = declare_value(name, "int", description, store(target, parse_integer<int64_t>),
                                   [target] { return fmt::format("{}", target->load()); });
  setting.live_ = true;
  setting.json_ = Setting::Json::kRaw;
  return setting;
}

Setting& Settings::add(std::string_view name, std::atomic<double>* target, std::string_view description) {
  Setting& setting = declare_value(name, "float", description, store(target, parse_double),
                                   [target] { return fmt::format("{}", target->load()); });
  setting.live_ = true;
  setting.json_ = Setting::Json::kRaw;
  return setting;
}

Setting& Settings::add(std::string_view name, std::chrono::nanoseconds* target, std::string_view description) {
  return declare_value(name, "duration", description, store(target, parse_duration),
                       [target] { return format_duration(*target); });
}

Setting& Settings::add(std::string_view name, std::chrono::milliseconds* target, std::string_view description) {
  return declare_value(name, "duration", description, store(target, parse_duration_of<std::chrono::milliseconds>),
                       [target] { return format_duration(*target); });
}

Setting& Settings::add(std::string_view name, std::chrono::seconds* target, std::string_view description) {
  return declare_value(name, "duration", description, store(target, parse_duration_of<std::chrono::seconds>),
                       [target] { return format_duration(*target); });
}

Setting& Settings::add(std::string_view name, std::atomic<Duration>* target, std::string_view description) {
  Setting& setting = declare_value(name, "duration", description, store(target, parse_duration),
                                   [target] { return format_duration(target->load()); });
  setting.live_ = true;
  return setting;
}

Setting& Settings::add(std::string_view name, std::vector<std::string>* target, std::string_view description) {
  Setting& setting = declare(name, "strings", description);
  setting.set_ = [target](std::string_view text, bool replace) -> Status {
    if (replace) target->clear();
    for (std::string& item : split_list(text)) target->push_back(std::move(item));
    return {};
  };
  setting.get_ = [target] { return join(*target, ","); };
  setting.default_ = setting.get_();
  setting.json_ = Setting::Json::kList;
  return setting;
}

Setting& Settings::add_parsed(std::string_view name, std::string_view type, std::function<Status(std::string_view)> set,
                              std::function<std::string()> get, std::string_view description) {
  return declare_value(name, type, description, std::move(set), std::move(get));
}

Setting& Settings::accept(std::string_view name, bool takes_value, std::string_view why) {
  Setting& setting = declare(name, takes_value ? "string" : "bool", "accepted, without effect");
  setting.set_ = [](std::string_view, bool) -> Status { return {}; };
  setting.get_ = [] { return std::string(); };
  setting.takes_value_ = takes_value;
  setting.ignored_ = true;
  setting.hidden_ = true;
  setting.why_ = why;
  return setting;
}

bool Settings::knows(std::string_view name) const {
  const std::string canonical = canonical_name(name);
  return find_own(canonical) != nullptr || find_below(canonical) != nullptr;
}

Settings& Settings::add_command(std::string_view name, std::string_view description, std::vector<std::string> aliases) {
  CHECK(find_command(name) == nullptr);
  commands_.push_back(std::make_unique<Settings>(std::string(name), std::string(description)));
  Settings& command = *commands_.back();
  command.aliases_ = std::move(aliases);
  command.parent_ = this;
  return command;
}

Settings& Settings::arguments(std::string_view usage, size_t count_min, size_t count_max) {
  usage_ = usage;
  positional_min_ = count_min;
  positional_max_ = count_max;
  return *this;
}

Settings& Settings::pass_through() {
  pass_through_ = true;
  return *this;
}

Settings& Settings::take_all() {
  take_all_ = true;
  return *this;
}

Settings& Settings::standalone() {
  standalone_ = true;
  return *this;
}

Settings& Settings::hidden_command() {
  hidden_ = true;
  return *this;
}

void Settings::add_config_file() {
  config_ = std::make_unique<ConfigFile>();
  add("config-file", &config_->file, "file with settings (JSON, or YAML without nesting)");
  add("config-path", &config_->folders, "folders to search for the config file when --config-file is not given");
  add("config-name", &config_->name, "name of the config file, without extension, in --config-path");
  add("config-type", &config_->type, "format of the config file; found out from its content when empty")
      .one_of({"json", "yaml", "yml", ""});
  add("config-file-not-found-handling", &config_->when_missing, "what to do when the config file is missing")
      .one_of({"error", "exit", "ignore", "warn"});
  accept("config-persistence-min-interval", true, "values changed at run time are never written back to the file");
}

Setting* Settings::find_own(std::string_view canonical) const {
  for (const auto& setting : settings_) {
    if (canonical_name(setting->name_) == canonical) return setting.get();
    for (const std::string& alias : setting->aliases_) {
      if (alias == canonical) return setting.get();
    }
  }
  return nullptr;
}

Setting* Settings::find_in_path(std::string_view canonical) const {
  for (const Settings* scope = this; scope != nullptr; scope = scope->parent_) {
    if (Setting* found = scope->find_own(canonical)) return found;
  }
  return nullptr;
}

const Setting* Settings::find_below(std::string_view canonical) const {
  for (const auto& command : commands_) {
    if (const Setting* found = command->find_own(canonical)) return found;
    if (const Setting* found = command->find_below(canonical)) return found;
  }
  return nullptr;
}

Settings* Settings::find_command(std::string_view name) const {
  for (const auto& command : commands_) {
    if (equals_ignoring_case(command->name_, name)) return command.get();
    for (const std::string& alias : command->aliases_) {
      if (equals_ignoring_case(alias, name)) return command.get();
    }
  }
  return nullptr;
}

std::string Settings::nearest_flag(std::string_view canonical) const {
  std::string best;
  size_t best_distance = std::max<size_t>(2, canonical.size() / 3) + 1;
  for (const Settings* scope = this; scope != nullptr; scope = scope->parent_) {
    for (const auto& setting : scope->settings_) {
      if (setting->hidden_) continue;
      const size_t distance = edit_distance(canonical, canonical_name(setting->name_));
      if (distance < best_distance) {
        best_distance = distance;
        best = setting->name_;
      }
    }
  }
  return best;
}

std::string Settings::nearest_command(std::string_view name) const {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const auto& command : commands_) {
    if (command->hidden_) continue;
    const size_t distance = edit_distance(to_lower(name), to_lower(command->name_));
    if (distance < best_distance) {
      best_distance = distance;
      best = command->name_;
    }
  }
  return best;
}

Status Settings::assign(Setting& setting, std::string_view value, bool replace) {
  std::string chosen(value);
  if (!setting.allowed_.empty()) {
    const auto match =
        std::ranges::find_if(setting.allowed_, [&](const auto& a) { return equals_ignoring_case(a, value); });
    if (match == setting.allowed_.end()) {
      std::string expected;
      for (const std::string& allowed : setting.allowed_) {
        expected += fmt::format("{}{}", expected.empty() ? "" : ", ", allowed.empty() ? "\"\"" : allowed);
      }
      return bad_value(value, "one of " + expected + (setting.why_.empty() ? "" : ": " + setting.why_));
    }
    chosen = *match;
  }
  if (setting.bare_unit_.count() != 0) {
    if (const Result<double> number = parse_double(chosen); number.ok()) {
      const double scaled = *number * static_cast<double>(setting.bare_unit_.count());
      if (std::abs(scaled) >= static_cast<double>(std::numeric_limits<int64_t>::max())) {
        return bad_value(value, "a duration");
      }
      chosen = format_duration(Duration(static_cast<int64_t>(scaled)));
    }
  }
  if (setting.accept_) RETURN_IF_ERROR(setting.accept_(chosen));
  return setting.set_(chosen, replace);
}

Status Settings::assign_from_file(Setting& setting, std::string_view value) {
  if (!value.empty()) return assign(setting, value, true);
  const auto& allowed = setting.allowed_;
  std::string_view zero;
  if (setting.type_ == "bool") {
    zero = "false";
  } else if (!allowed.empty() && std::ranges::find(allowed, "") == allowed.end()) {
    zero = setting.default_;
    if (setting.ignored_) return {};
  } else if (setting.type_ == "int" || setting.type_ == "uint" || setting.type_ == "float") {
    zero = "0";
  } else if (setting.type_ == "duration") {
    zero = "0s";
  }
  return assign(setting, zero, true);
}

void Settings::note_without_effect(const Setting& setting, std::string_view as_given) {
  if (!setting.ignored_) return;
  std::string text = fmt::format("{} is accepted, without effect: {}", as_given, setting.why_);
  if (std::ranges::find(warnings_, text) == warnings_.end()) warnings_.push_back(std::move(text));
}

std::string Settings::full_name() const { return parent_ == nullptr ? name_ : parent_->full_name() + " " + name_; }

Result<Settings::Outcome> Settings::parse(std::span<const std::string> args) {
  CHECK(parent_ == nullptr);
  std::vector<std::string> mistakes;
  std::vector<FlagUse> uses;
  bool wants_help = false;
  bool wants_version = false;
  bool wants_json = false;
  bool flags_over = false;

  // First the shape: which words are flags with their values, which choose a sub-command, which are arguments. A flag
  // that only a sub-command knows may stand before that sub-command's name, so values are looked at afterwards.
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string_view word = args[i];
    if (chosen_->take_all_ || (chosen_->pass_through_ && !positional_.empty())) flags_over = true;
    const bool is_flag = !flags_over && word.size() > 1 && word[0] == '-' && !(word[1] >= '0' && word[1] <= '9');
    if (!is_flag) {
      Settings* command = flags_over || !positional_.empty() ? nullptr : chosen_->find_command(word);
      if (command != nullptr) {
        chosen_ = command;
        path_.push_back(command->name_);
      } else if (!flags_over && this == chosen_ && !commands_.empty() && word == "help" && positional_.empty()) {
        wants_help = true;
      } else {
        positional_.emplace_back(word);
      }
      continue;
    }
    if (word == "--") {
      flags_over = true;
      continue;
    }
    const std::string_view text = word.substr(word.starts_with("--") ? 2 : 1);
    const size_t equals = text.find('=');
    FlagUse use{.name = std::string(text.substr(0, equals))};
    const std::string canonical = canonical_name(use.name);
    if (equals != std::string_view::npos) {
      use.value = text.substr(equals + 1);
      use.has_value = true;
    }
    const Setting* setting = chosen_->find_in_path(canonical);
    if (setting == nullptr && (canonical == "help" || canonical == "h")) {
      wants_help = true;
      continue;
    }
    if (setting == nullptr && canonical == "help-json") {
      wants_json = true;
      continue;
    }
    if (setting == nullptr && canonical == "version") {
      wants_version = true;
      continue;
    }
    // A flag may stand before the command that it belongs to.
    if (setting == nullptr) setting = chosen_->find_below(canonical);
    if (setting != nullptr && !use.has_value && setting->takes_value_) {
      if (i + 1 >= args.size()) {
        mistakes.push_back(fmt::format("flag needs an argument: --{}", use.name));
        continue;
      }
      use.value = args[++i];
      use.has_value = true;
    }
    uses.push_back(std::move(use));
  }
  if (wants_help) return Outcome::kHelp;
  if (wants_json) return Outcome::kHelpJson;
  if (wants_version) return Outcome::kVersion;

  for (const FlagUse& use : uses) {
    const std::string canonical = canonical_name(use.name);
    Setting* setting = chosen_->find_in_path(canonical);
    if (setting == nullptr) {
      const std::string nearest = chosen_->nearest_flag(canonical);
      const std::string_view where = chosen_ == this ? std::string_view() : std::string_view(" for this command");
      mistakes.push_back(nearest.empty()
                             ? fmt::format("unknown flag{}: --{}", where, use.name)
                             : fmt::format("unknown flag{}: --{} (did you mean --{}?)", where, use.name, nearest));
      continue;
    }
    const bool replace = setting->source_ != Setting::Source::kCommandLine;
    Status assigned = assign(*setting, use.has_value ? std::string_view(use.value) : "true", replace);
    if (!assigned.ok()) mistakes.push_back(fmt::format("--{}: {}", use.name, assigned.error().message()));
    setting->source_ = Setting::Source::kCommandLine;
    note_without_effect(*setting, "--" + use.name);
  }

  if (config_ != nullptr) {
    std::vector<std::string> changed;
    Status loaded = load_config(false, changed);
    if (!loaded.ok()) mistakes.push_back(loaded.error().message());
  }

  // A command with sub-commands and nothing to do itself shows its help.
  if (!chosen_->commands_.empty() && chosen_->positional_max_ == 0) {
    if (positional_.empty() && mistakes.empty()) return Outcome::kHelp;
    if (!positional_.empty()) {
      std::string text = fmt::format("unknown command \"{}\" for \"{}\"", positional_[0], chosen_->full_name());
      const std::string nearest = chosen_->nearest_command(positional_[0]);
      if (!nearest.empty()) text += fmt::format(" (did you mean {}?)", nearest);
      mistakes.push_back(std::move(text));
    }
  } else if (positional_.size() < chosen_->positional_min_) {
    mistakes.push_back(fmt::format("{} needs at least {} argument(s), received {}: {}", chosen_->full_name(),
                                   chosen_->positional_min_, positional_.size(), chosen_->usage_));
  } else if (positional_.size() > chosen_->positional_max_) {
    mistakes.push_back(fmt::format("{} takes at most {} argument(s), received {}: {}", chosen_->full_name(),
                                   chosen_->positional_max_, positional_.size(), join(positional_, " ")));
  }
  std::string missing;
  bool standalone = false;
  for (const Settings* scope = chosen_; scope != nullptr && !standalone; scope = scope->parent_) {
    standalone = scope->standalone_;
    for (const auto& setting : scope->settings_) {
      if (!setting->required_ || setting->is_set()) continue;
      missing += fmt::format("{}\"{}\"", missing.empty() ? "" : ", ", setting->name_);
    }
  }
  if (!missing.empty()) mistakes.push_back(fmt::format("required flag(s) {} not set", missing));
  if (!mistakes.empty()) return fail(Code::kInvalidArgument, join(mistakes, "\n"));
  return Outcome::kRun;
}

Result<std::string> Settings::config_path() const {
  if (!config_->file.empty()) return config_->file;
  for (const std::string& folder : config_->folders) {
    for (const std::string_view extension : {".json", ".yaml", ".yml"}) {
      std::string path = fmt::format("{}/{}{}", folder, config_->name, extension);
      if (file_exists(path)) return path;
    }
    // Without an extension only --config-type tells the format.
    std::string path = fmt::format("{}/{}", folder, config_->name);
    if (!config_->type.empty() && file_exists(path)) return path;
  }
  if (config_->folders.empty()) return std::string();
  return fail(Code::kNotFound, fmt::format("no config file {} in {}", config_->name, join(config_->folders, ", ")));
}

Status Settings::load_config(bool reload, std::vector<std::string>& changed) {
  Result<std::string> path = config_path();
  if (path.ok() && path->empty()) return {};
  Result<std::string> text = path.ok() ? read_file(*path) : Result<std::string>(path.error());
  if (!text.ok()) {
    const Error error = std::move(text).error().with_context("config file");
    if (reload || error.code() != Code::kNotFound) return error;
    if (config_->when_missing == "error" || config_->when_missing == "exit") return error;
    if (config_->when_missing == "warn") warnings_.push_back(error.message());
    return {};
  }
  if (reload && trim(*text).empty()) return {};  // Being written just now.
  if (config_->type == "json" && !trim(*text).starts_with('{')) {
    return fail(Code::kInvalidArgument, fmt::format("config file {}: --config-type is json, this is not", *path));
  }
  Result<std::vector<ConfigEntry>> entries = parse_config(*text);
  if (!entries.ok()) return std::move(entries).error().with_context("config file " + *path);

  std::vector<std::string> mistakes;
  const std::scoped_lock lock(mutex_);
  for (const ConfigEntry& entry : *entries) {
    Setting* setting = chosen_->find_in_path(canonical_name(entry.key));
    if (setting == nullptr) {
      if (!reload && find_below(canonical_name(entry.key)) == nullptr) {
        warnings_.push_back(fmt::format("config file {}: unknown key {}", *path, entry.key));
      }
      continue;
    }
    if (setting->source_ == Setting::Source::kCommandLine || (reload && !setting->live_)) continue;
    const std::string before = setting->get_();
    Status assigned = assign_from_file(*setting, join(entry.values, ","));
    if (!assigned.ok()) {
      mistakes.push_back(fmt::format("config file {}: {}: {}", *path, entry.key, assigned.error().message()));
      continue;
    }
    setting->source_ = Setting::Source::kConfigFile;
    if (!reload) note_without_effect(*setting, fmt::format("config file {}: {}", *path, entry.key));
    if (setting->get_() != before) changed.push_back(setting->name_);
  }
  // A key that is gone from the file has its default again.
  for (const Settings* scope = chosen_; reload && scope != nullptr; scope = scope->parent_) {
    for (const auto& setting : scope->settings_) {
      if (!setting->live_ || setting->source_ != Setting::Source::kConfigFile) continue;
      if (std::ranges::any_of(*entries, [&](const ConfigEntry& entry) {
            return scope->find_own(canonical_name(entry.key)) == setting.get();
          })) {
        continue;
      }
      setting->source_ = Setting::Source::kDefault;
      const std::string before = setting->get_();
      if (setting->set_(setting->default_, true).ok() && setting->get_() != before) changed.push_back(setting->name_);
    }
  }
  if (!mistakes.empty()) return fail(Code::kInvalidArgument, join(mistakes, "\n"));
  return {};
}

Result<std::vector<std::string>> Settings::reload_config() {
  std::vector<std::string> changed;
  if (config_ != nullptr) RETURN_IF_ERROR(load_config(true, changed));
  return changed;
}

std::string Settings::config_file() const { return config_ == nullptr ? std::string() : config_path().value_or(""); }

bool Settings::is_set(std::string_view name) const {
  const Setting* setting = chosen_->find_in_path(canonical_name(name));
  return setting != nullptr && setting->is_set();
}

}  // namespace vitrail::base
