#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/check.h"
#include "base/settings.h"
#include "base/text.h"

// Shell completion. The scripts know nothing: they ask the program with its hidden word "__complete", as scripts made
// by the Go library cobra do, so that either kind works.
namespace vitrail::base {
namespace {

constexpr int kFilesMayFollow = 0;
constexpr int kNoFiles = 4;

// %NAME% is the program's name, %ID% the same as part of a function's name.
constexpr std::string_view kBash = R"(# Completion of %NAME% for bash. To load it: source <(%NAME% completion bash)
_%ID%_complete() {
  local -a words=() lines=()
  local i word line glue=0 directive=0
  # bash breaks words at "=": put --flag=value together again.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == "=" && ${#words[@]} -gt 0 ]]; then
      words[-1]+="="
      glue=1
    elif ((glue)); then
      words[-1]+=$word
      glue=0
    else
      words+=("$word")
    fi
  done
  mapfile -t lines < <("${COMP_WORDS[0]}" __completeNoDesc "${words[@]}" 2>/dev/null)
  COMPREPLY=()
  for line in "${lines[@]}"; do
    if [[ $line =~ ^:[0-9]+$ ]]; then directive=${line#:}; else COMPREPLY+=("$line"); fi
  done
  if ((${#COMPREPLY[@]} == 0 && (directive & 4) == 0)); then compopt -o default 2>/dev/null; fi
  return 0
}
complete -F _%ID%_complete %NAME%
)";

constexpr std::string_view kZsh = R"(#compdef %NAME%
# Completion of %NAME% for zsh. To load it: source <(%NAME% completion zsh)
_%ID%() {
  local -a lines candidates
  local line directive=0
  lines=("${(@f)$(${words[1]} __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in "${lines[@]}"; do
    if [[ $line == :<-> ]]; then
      directive=${line#:}
    elif [[ -n $line ]]; then
      line=${line//:/\\:}
      candidates+=("${line/$'\t'/:}")
    fi
  done
  [[ ${words[CURRENT]} == -*=* ]] && compset -P '*='
  if (( ${#candidates} )); then
    _describe '%NAME%' candidates
  elif (( (directive & 4) == 0 )); then
    _files
  fi
}
compdef _%ID% %NAME%
)";

constexpr std::string_view kFish = R"(# Completion of %NAME% for fish. To load it: %NAME% completion fish | source
function __%ID%_complete
    set -l current (commandline -ct)
    set -l words (commandline -opc) "$current"
    set -l program $words[1]
    set -e words[1]
    set -l flag (string match -r -- '^-[^=]*=' "$current")
    set -l found 0
    set -l directive 0
    for line in ($program __complete $words 2>/dev/null)
        if string match -qr '^:[0-9]+$' -- $line
            set directive (string sub -s 2 -- $line)
        else
            set found 1
            echo "$flag$line"
        end
    end
    if test $found -eq 0; and test $directive -eq 0
        __fish_complete_path $current
    end
end
complete -c %NAME% -f -a '(__%ID%_complete)'
)";

constexpr std::string_view kPowershell = R"(# Completion of %NAME% for PowerShell. To load it:
#   %NAME% completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName '%NAME%' -ScriptBlock {
    param($WordToComplete, $CommandAst, $CursorPosition)
    $words = @($CommandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $CursorPosition } |
        ForEach-Object { $_.Extent.Text })
    $program = $words[0]
    $words = @($words | Select-Object -Skip 1)
    if ($WordToComplete -eq '') {
        # Releases before 7.3 drop an empty argument that has no quotes of its own.
        if ($PSVersionTable.PSVersion -ge [version]'7.3') { $words += '' } else { $words += '""' }
    }
    $flag = ''
    if ($WordToComplete -match '^-[^=]*=') { $flag = $Matches[0] }
    $directive = 0
    $found = @()
    foreach ($line in @(& $program __complete @words 2>$null)) {
        if ($line -match '^:([0-9]+)$') {
            $directive = [int]$Matches[1]
        } else {
            $name, $description = $line -split "`t", 2
            if (-not $description) { $description = $name }
            $found += [System.Management.Automation.CompletionResult]::new(
                "$flag$name", "$flag$name", 'ParameterValue', $description)
        }
    }
    # Without candidates PowerShell offers files; an empty one keeps it from that.
    if ($found.Count -eq 0 -and ($directive -band 4)) { '' } else { $found }
}
)";

struct Script {
  std::string_view shell, pattern;
};
constexpr std::array kScripts = {Script{"bash", kBash}, Script{"zsh", kZsh}, Script{"fish", kFish},
                                 Script{"powershell", kPowershell}};

bool has_prefix(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

bool looks_like_flag(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && !(word[1] >= '0' && word[1] <= '9');
}

std::string dashed(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', '-');
  return text;
}

// Candidates with descriptions, and what ends them.
class Candidates {
 public:
  explicit Candidates(bool descriptions) : descriptions_(descriptions) {}
  void add(std::string name, std::string_view description) { found_.emplace(std::move(name), description); }
  std::string text(int directive) const {
    std::string out;
    for (const auto& [name, description] : found_) {
      out += name;
      if (descriptions_ && !description.empty()) out += "\t" + description;
      out += "\n";
    }
    return out + fmt::format(":{}\n", directive);
  }

 private:
  const bool descriptions_;
  std::map<std::string, std::string> found_;
};

}  // namespace

void Settings::add_completion() {
  Settings& command = add_command("completion", "prints a script that completes commands and flags in a shell");
  command.standalone();
  for (const Script& script : kScripts) {
    command.add_command(std::string(script.shell), fmt::format("the script for {}", script.shell));
  }
}

std::string Settings::completion_script(std::string_view shell) const {
  const auto script = std::ranges::find(kScripts, shell, &Script::shell);
  CHECK(script != kScripts.end());
  const std::string_view pattern = script->pattern;
  std::string id = name_;
  std::ranges::replace(id, '-', '_');
  std::string out;
  for (size_t at = 0; at < pattern.size();) {
    const std::string_view rest = pattern.substr(at);
    if (rest.starts_with("%NAME%")) {
      out += name_;
      at += 6;
    } else if (rest.starts_with("%ID%")) {
      out += id;
      at += 4;
    } else {
      out += pattern[at++];
    }
  }
  return out;
}

std::string Settings::complete(std::span<const std::string> words, bool descriptions) const {
  Candidates candidates(descriptions);
  const std::string_view last = words.empty() ? std::string_view() : std::string_view(words.back());
  const Settings* command = this;
  const Setting* awaits_value = nullptr;  // The word before the last is a flag that takes one.
  bool flags_over = false;
  bool has_arguments = false;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string_view word = words[i];
    const bool is_flag = !flags_over && !(command->pass_through_ && has_arguments) && looks_like_flag(word);
    if (awaits_value != nullptr) {
      awaits_value = nullptr;
    } else if (!is_flag) {
      const Settings* child = has_arguments || flags_over ? nullptr : command->find_command(word);
      if (child != nullptr) {
        command = child;
      } else if (!(command == this && word == "help")) {
        has_arguments = true;
      }
    } else if (word == "--") {
      flags_over = true;
    } else {
      const std::string_view text = word.substr(word.starts_with("--") ? 2 : 1);
      if (text.contains('=')) continue;
      const Setting* setting = command->find_in_path(dashed(text));
      if (setting != nullptr && setting->takes_value_) awaits_value = setting;
    }
  }

  const auto add_values = [&](const Setting& setting, std::string_view typed) {
    std::vector<std::string> values = setting.allowed_;
    if (!setting.takes_value_) values = {"true", "false"};
    for (const std::string& value : values) {
      if (!value.empty() && has_prefix(value, typed)) candidates.add(value, "");
    }
    return candidates.text(values.empty() ? kFilesMayFollow : kNoFiles);
  };
  if (awaits_value != nullptr) return add_values(*awaits_value, last);
  if (command->pass_through_ && has_arguments) return candidates.text(kFilesMayFollow);

  if (!flags_over && last.starts_with('-')) {
    std::string_view typed = last.substr(last.starts_with("--") ? 2 : 1);
    if (const size_t equals = typed.find('='); equals != std::string_view::npos) {
      const Setting* setting = command->find_in_path(dashed(typed.substr(0, equals)));
      return setting != nullptr ? add_values(*setting, typed.substr(equals + 1)) : candidates.text(kNoFiles);
    }
    const bool underscores = typed.contains('_');  // The spelling that was begun goes on.
    const auto add_flag = [&](std::string_view name, std::string_view description) {
      std::string spelled = dashed(name);
      if (!spelled.starts_with(dashed(typed))) return;
      if (underscores) std::ranges::replace(spelled, '-', '_');
      candidates.add("--" + spelled, description);
    };
    for (const Settings* scope = command; scope != nullptr; scope = scope->parent_) {
      for (const auto& setting : scope->settings_) {
        if (!setting->hidden_) add_flag(setting->name_, setting->description_);
      }
    }
    add_flag("help", "show the help text");
    if (command == this) add_flag("version", "show the version");
    return candidates.text(kNoFiles);
  }

  if (!has_arguments && !flags_over && !command->commands_.empty()) {
    for (const auto& child : command->commands_) {
      if (!child->hidden_ && has_prefix(child->name_, last)) candidates.add(child->name_, child->description_);
    }
    if (command == this && has_prefix("help", last)) candidates.add("help", "show the help text of a command");
    return candidates.text(kNoFiles);
  }
  return candidates.text(command->usage_.contains("file") ? kFilesMayFollow : kNoFiles);
}

}  // namespace vitrail::base
