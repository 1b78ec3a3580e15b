#include "control/workflow/moved_tables.h"

#include <algorithm>
#include <cctype>

#include "mysqld/schema_sql.h"

namespace vitrail::control {
namespace {

Result<std::string> unquote(const std::string& name) {
  if (name.empty() || name.front() == '/' || name.find('`') == std::string::npos) return name;
  std::string out;
  size_t i = 1;
  if (name.front() == '`') {
    for (; i < name.size(); ++i) {
      if (name[i] != '`') {
        out += name[i];
      } else if (i + 1 < name.size() && name[i + 1] == '`') {
        out += name[i++];
      } else {
        break;
      }
    }
    if (i + 1 == name.size() && !out.empty()) return out;
  }
  return fail(Code::kInvalidArgument, "a table name is given as it is, or between two backquotes, not as " + name);
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$'; }

bool all_of_kind(std::string_view text, int (*kind)(int)) {
  return std::ranges::all_of(text, [kind](char c) { return kind(static_cast<unsigned char>(c)) != 0; });
}

}  // namespace

Result<std::vector<std::string>> read_table_names(const std::vector<std::string>& pieces) {
  std::vector<std::string> out;
  std::string open;
  bool is_open = false;
  for (const auto& piece : pieces) {
    std::string name = is_open ? open + "," + piece : piece;
    is_open = name.front() != '/' && std::ranges::count(name, '`') % 2 != 0;
    if (is_open) {
      open = std::move(name);
      continue;
    }
    ASSIGN_OR_RETURN(auto plain, unquote(name));
    out.push_back(std::move(plain));
  }
  if (is_open) return fail(Code::kInvalidArgument, "a table name has an odd number of backquotes: " + open);
  return out;
}

bool is_internal_table_name(std::string_view name) {
  if (name.starts_with("_vt_")) return true;
  // _<uuid with underscores>_<14 digits>_<kind>, of changes of a table beside its use.
  constexpr size_t kUuid = 36;
  constexpr size_t kTime = 14;
  if (name.size() < 1 + kUuid + 1 + kTime + 1 || name[0] != '_') return false;
  const std::string_view uuid = name.substr(1, kUuid);
  for (size_t i = 0; i < uuid.size(); ++i) {
    const bool separator = i == 8 || i == 13 || i == 18 || i == 23;
    if (separator ? uuid[i] != '_' : std::isxdigit(static_cast<unsigned char>(uuid[i])) == 0) return false;
  }
  const std::string_view rest = name.substr(1 + kUuid);
  if (rest[0] != '_' || !all_of_kind(rest.substr(1, kTime), std::isdigit) || rest[1 + kTime] != '_') return false;
  const std::string_view kind = rest.substr(2 + kTime);
  return kind == "gho" || kind == "ghc" || kind == "del" || kind == "new" || kind == "vrepl";
}

NumberedTable strip_auto_increment(std::string_view create) {
  constexpr std::string_view kWord = "AUTO_INCREMENT";
  NumberedTable out;
  const std::string text = mysqld::without_auto_increment(create);
  char quote = 0;
  std::string first;     // The line's first quoted name.
  bool at_line = false;  // Nothing but blanks since its beginning.
  bool naming = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      out.create += c;
      if (c == '\\' && quote != '`' && i + 1 < text.size()) {
        out.create += text[++i];
      } else if (c == quote) {
        quote = 0;
        if (naming && i + 1 < text.size() && text[i + 1] == '`') first += '`';
        if (i + 1 >= text.size() || text[i + 1] != '`') naming = false;
      } else if (naming) {
        first += c;
      }
      continue;
    }
    if (c == '\n') {
      at_line = true;
      first.clear();
    } else if (c == '\'' || c == '"' || c == '`') {
      quote = c;
      if (at_line && c == '`') naming = true;
      at_line = false;
    } else if (c != ' ') {
      at_line = false;
    }
    const bool begins = i > 0 && text[i - 1] == ' ' && std::string_view(text).substr(i).starts_with(kWord);
    if (begins && (i + kWord.size() == text.size() || !is_word(text[i + kWord.size()]))) {
      out.column = first;
      out.create.pop_back();  // The blank before it.
      i += kWord.size() - 1;
      continue;
    }
    out.create += c;
  }
  if (out.column.empty()) out.create = std::string(create);
  return out;
}

std::string sequence_name(std::string_view table) { return std::string(table) + "_seq"; }

}  // namespace vitrail::control
