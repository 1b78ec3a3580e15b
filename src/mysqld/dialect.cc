#include "mysqld/dialect.h"

namespace vitrail::mysqld {

std::string settings_for_server(std::string_view statement, std::string_view server_version) {
  std::string out;
  if (server_version.find("MariaDB") != std::string_view::npos) return out.append(statement);
  constexpr std::string_view kScope = "@@session.";
  constexpr std::string_view kShort = "tx_";
  char quote = 0;
  for (size_t i = 0; i < statement.size(); ++i) {
    const char c = statement[i];
    if (quote == 0 && statement.substr(i).starts_with(kScope)) {
      std::string_view name = statement.substr(i + kScope.size());
      name = name.substr(0, name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"));
      if (name == "tx_isolation" || name == "tx_read_only") {
        out.append(kScope).append("transaction_");
        i += kScope.size() + kShort.size() - 1;
        continue;
      }
    }
    out += c;
    if (quote != 0 && c == '\\' && i + 1 < statement.size()) {
      out += statement[++i];
    } else if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"' || c == '`') {
      quote = c;
    }
  }
  return out;
}

}  // namespace vitrail::mysqld
