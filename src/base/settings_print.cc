#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "base/settings.h"
#include "base/text.h"
#include "base/version.h"

// What Settings prints: help, version and the values in force.
namespace vitrail::base {

std::string Settings::version() const {
  return fmt::format("{} version Version: {} (Vitrail {})", name_, kInterfaceVersion, kProjectVersion);
}

std::string Settings::help() const {
  const Settings& command = *chosen_;
  std::string text = command.description_;
  text += fmt::format("\n\nUsage:\n  {}", command.full_name());
  if (!command.commands_.empty()) text += " <command>";
  if (!command.usage_.empty()) text += " " + command.usage_;
  text += " [flags]\n";
  if (!command.commands_.empty()) {
    text += "\nCommands:\n";
    std::map<std::string, std::string> sorted;
    size_t width = 0;
    for (const auto& child : command.commands_) {
      if (child->hidden_) continue;
      sorted[child->name_] = child->description_;
      width = std::max(width, child->name_.size());
    }
    for (const auto& [name, description] : sorted) text += fmt::format("  {:<{}}  {}\n", name, width, description);
  }
  for (const Settings* scope = &command; scope != nullptr; scope = scope->parent_) {
    std::map<std::string, const Setting*> sorted;
    for (const auto& setting : scope->settings_) {
      if (!setting->hidden_) sorted[setting->name_] = setting.get();
    }
    if (sorted.empty() && scope != &command) continue;
    text += scope == &command ? "\nFlags:\n" : fmt::format("\nFlags of {}:\n", scope->full_name());
    for (const auto& [name, setting] : sorted) {
      text += "  ";
      for (const std::string& alias : setting->aliases_) {
        if (alias.size() == 1) text += "-" + alias + ", ";
      }
      text += "--" + name;
      if (setting->takes_value_) text += " " + (setting->unit_.empty() ? setting->type_ : setting->unit_);
      text += "\n        " + setting->description_;
      if (!setting->allowed_.empty()) text += fmt::format(" (one of: {})", join(setting->allowed_, ", "));
      if (setting->required_) {
        text += " (required)";
      } else if (!setting->default_.empty() && setting->default_ != "false") {
        text += fmt::format(" (default {})", setting->default_);
      }
      text += "\n";
    }
    if (scope->parent_ == nullptr) {
      text +=
          "  --help\n        show this text\n  --help-json\n        show every flag as JSON\n  --version\n        show "
          "the version\n";
    }
  }
  return text;
}

std::string Settings::to_json() const {
  std::map<std::string, std::string> values;
  const std::scoped_lock lock(mutex_);
  for (const Settings* scope = chosen_; scope != nullptr; scope = scope->parent_) {
    for (const auto& setting : scope->settings_) {
      if (setting->ignored_) continue;
      std::string key = setting->name_;
      std::ranges::replace(key, '-', '_');
      std::string value = setting->get_();
      switch (setting->json_) {
        case Setting::Json::kRaw: break;
        case Setting::Json::kText: value = json_string(value); break;
        case Setting::Json::kList: {
          std::string list = "[";
          for (const std::string& item : split_list(value)) {
            if (list.size() > 1) list.push_back(',');
            append_json_string(list, item);
          }
          value = list + "]";
        }
      }
      values[key] = std::move(value);
    }
  }
  std::string text = "{";
  for (const auto& [key, value] : values) {
    if (text.size() > 1) text.push_back(',');
    text += json_string(key) + ":" + value;
  }
  return text + "}";
}

std::string Settings::describe_json() const {
  std::string text = "[";
  const auto describe = [&](const Settings& scope) {
    for (const auto& setting : scope.settings_) {
      std::string description = setting->ignored_ ? setting->why_ : setting->description_;
      for (const std::string& alias : setting->aliases_) description += fmt::format(" (also --{})", alias);
      text += text.size() > 1 ? ",\n " : "\n ";
      text += fmt::format(
          "{{\"command\":{},\"name\":{},\"type\":{},\"default\":{},\"description\":{},\"required\":{},"
          "\"hidden\":{},\"live\":{},\"effect\":{},\"allowed\":[",
          json_string(scope.full_name()), json_string(setting->name_),
          json_string(setting->unit_.empty() ? setting->type_ : setting->unit_), json_string(setting->default_),
          json_string(description), setting->required_, setting->hidden_ && !setting->ignored_, setting->live_,
          !setting->ignored_);
      for (const std::string& allowed : setting->allowed_) {
        text += (&allowed == setting->allowed_.data() ? "" : ",") + json_string(allowed);
      }
      text += "]}";
    }
  };
  std::vector<const Settings*> left{this};
  while (!left.empty()) {
    const Settings* scope = left.back();
    left.pop_back();
    describe(*scope);
    for (const auto& command : scope->commands_) left.push_back(command.get());
  }
  return text + "\n]\n";
}

}  // namespace vitrail::base
