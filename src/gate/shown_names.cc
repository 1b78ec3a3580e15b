#include "gate/shown_names.h"

#include <algorithm>

#include "plan/schema_names.h"
#include "sql/lexer.h"
#include "sql/printer.h"

namespace vitrail::gate {

void show_names(const plan::ShownName& names, const std::map<std::string, std::string, std::less<>>& databases,
                net::QueryResult& result) {
  for (auto& column : result.columns) {
    if (column.schema.empty()) continue;
    const auto found =
        std::ranges::find_if(databases, [&](const auto& known) { return known.second == column.schema; });
    if (found != databases.end()) column.schema = found->first;
  }
  if (names.empty()) return;
  const std::string heading = "Tables_in_" + names.database;
  const std::string quoted = sql::quote_identifier(names.database);
  for (size_t i = 0; i < result.columns.size(); ++i) {
    std::string& title = result.columns[i].name;
    if (title.starts_with(heading)) title.replace(0, heading.size(), "Tables_in_" + names.keyspace);
    const bool creates = title == "Create Database";
    const bool tables = title == "Table";  // CHECK TABLE and its kin: "vt_commerce.product"; its errors beside it.
    const bool texts = title == "Msg_text";
    if (!creates && !tables && !texts && !plan::is_schema_column(title) && title != "Db" && title != "db" &&
        title != "Database") {
      continue;
    }
    for (auto& row : result.rows) {
      if (i >= row.size() || !row[i]) continue;
      if (*row[i] == names.database) row[i] = names.keyspace;
      if (tables && row[i]->starts_with(names.database + "."))
        row[i]->replace(0, names.database.size(), names.keyspace);
      if (texts) row[i] = plan::with_keyspaces(std::move(*row[i]), databases);
      if (!creates) continue;
      if (const size_t at = row[i]->find(quoted); at != std::string::npos) {
        row[i]->replace(at, quoted.size(), sql::quote_identifier(names.keyspace));
      }
    }
  }
}

bool shows_session_variables(std::string_view text) {
  sql::Lexer lexer(text);
  (void)lexer.next();  // SHOW
  sql::Token token = lexer.next();
  if (token.keyword == sql::Keyword::kSession || token.keyword == sql::Keyword::kLocal) token = lexer.next();
  return token.keyword == sql::Keyword::kVariables;
}

}  // namespace vitrail::gate
