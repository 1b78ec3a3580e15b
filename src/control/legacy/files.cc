// Local files that older command lines name: read where the user sits.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "base/hex.h"
#include "base/text.h"
#include "control/legacy/legacy.h"

namespace vitrail::control {
namespace {

struct FileFlag {
  std::string_view command, file, text;
};
constexpr std::array kFileFlags = {
    FileFlag{"ApplySchema", "sql-file", "sql"}, FileFlag{"ApplyVSchema", "vschema-file", "vschema"},
    FileFlag{"ApplyVSchema", "sql-file", "sql"}, FileFlag{"ApplyRoutingRules", "rules-file", "rules"}};

// A word that is a flag: its name with dashes, and its value when that is in the same word.
struct FlagWord {
  std::string name;
  std::optional<std::string> value;
};

std::optional<FlagWord> parse_flag(std::string_view word) {
  if (word.size() < 2 || word[0] != '-' || word == "--") return std::nullopt;
  word.remove_prefix(word.starts_with("--") ? 2 : 1);
  const size_t equals = word.find('=');
  FlagWord flag{.name = std::string(word.substr(0, equals)), .value = std::nullopt};
  std::ranges::replace(flag.name, '_', '-');
  if (equals != std::string_view::npos) flag.value = word.substr(equals + 1);
  return flag;
}

Status replace_files(std::string_view command, std::vector<std::string>& words) {
  for (size_t i = 1; i < words.size(); ++i) {
    const auto flag = parse_flag(words[i]);
    if (!flag) continue;
    for (const FileFlag& known : kFileFlags) {
      if (!base::equals_ignoring_case(known.command, command) || known.file != flag->name) continue;
      if (!flag->value && i + 1 >= words.size()) continue;  // The command itself will say what is missing.
      const std::string path = flag->value ? *flag->value : words[i + 1];
      ASSIGN_OR_RETURN(const std::string text, base::read_file(path));
      words[i] = fmt::format("--{}={}", known.text, text);
      if (!flag->value) words.erase(words.begin() + static_cast<ptrdiff_t>(i) + 1);
      break;
    }
  }
  return {};
}

// TopoCp [-cell c] [-to_topo] <source> <destination>
Result<LegacyLine> copy_line(std::vector<std::string> words) {
  bool to_topo = false;
  std::vector<std::string> paths;
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "--") continue;
    const auto flag = parse_flag(words[i]);
    if (!flag) {
      paths.push_back(words[i]);
    } else if (flag->name == "to-topo") {
      to_topo = !flag->value || *flag->value == "true" || *flag->value == "1";
    } else if (!flag->value && flag->name == "cell") {
      ++i;
    }
  }
  LegacyLine line{.words = std::move(words), .output_file = ""};
  if (paths.size() != 2) return line;
  if (to_topo) {
    ASSIGN_OR_RETURN(const std::string data, base::read_file(paths[0]));
    line.words.insert(line.words.begin() + 1, "--content=" + base::hex_encode(data));
  } else {
    line.output_file = paths[1];
  }
  return line;
}

}  // namespace

Result<LegacyLine> read_legacy_files(std::vector<std::string> words) {
  if (!words.empty() && words[0] == "--") words.erase(words.begin());
  if (words.empty()) return LegacyLine{};
  // The lone "--" may be behind the command's name; what is put in comes before the arguments in any case.
  if (words.size() > 1 && words[1] == "--") words.erase(words.begin() + 1);
  const std::string command = words[0];
  if (base::equals_ignoring_case(command, "TopoCp")) return copy_line(std::move(words));
  RETURN_IF_ERROR(replace_files(command, words));
  return LegacyLine{.words = std::move(words), .output_file = ""};
}

Status write_legacy_output(const LegacyLine& line, const std::string& console) {
  if (line.output_file.empty()) return {};
  ASSIGN_OR_RETURN(const std::string data, base::hex_decode(base::trim(console)));
  return base::write_file_atomically(line.output_file, data);
}

}  // namespace vitrail::control
