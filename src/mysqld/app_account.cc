#include "mysqld/app_account.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/text.h"

namespace vitrail::mysqld {
namespace {

std::vector<std::string> wanted_privileges(FlavorKind flavor) {
  std::vector<std::string> privileges = {
      "SELECT",     "INSERT",      "UPDATE",         "DELETE",        "CREATE",  "DROP",
      "REFERENCES", "INDEX",       "ALTER",          "LOCK TABLES",   "EXECUTE", "CREATE TEMPORARY TABLES",
      "SHOW VIEW",  "CREATE VIEW", "CREATE ROUTINE", "ALTER ROUTINE", "TRIGGER", "EVENT"};
  if (flavor == FlavorKind::kMariaDb) privileges.emplace_back("DELETE HISTORY");
  return privileges;
}

// The name of a database in a GRANT is a pattern.
std::string grant_object(const AppRights& rights) {
  std::string name;
  for (const char c : rights.database) {
    if (!rights.names_literally && (c == '_' || c == '%')) name += '\\';
    name += c;
  }
  return quote_identifier(name) + ".*";
}

struct Grant {
  std::set<std::string, std::less<>> privileges;  // Upper case.
  std::string object;                             // "*.*", "`db`.*"
  bool may_grant = false;
};

// "GRANT SELECT, INSERT (a, b) ON `db`.* TO `user`@`host` WITH GRANT OPTION". False for grants of roles and of PROXY.
bool parse_grant(std::string_view text, Grant& out) {
  constexpr std::string_view kGrant = "GRANT ", kOn = " ON ", kTo = " TO ";
  if (!text.starts_with(kGrant)) return false;
  const size_t on = text.find(kOn);
  const size_t to = on == std::string_view::npos ? on : text.find(kTo, on);
  if (to == std::string_view::npos) return false;
  out.object = text.substr(on + kOn.size(), to - on - kOn.size());
  out.may_grant = text.substr(to).find("GRANT OPTION") != std::string_view::npos;
  for (const std::string& piece : base::split_list(text.substr(kGrant.size(), on - kGrant.size()))) {
    out.privileges.insert(base::to_upper(piece));
  }
  return !out.privileges.contains("PROXY");
}

}  // namespace

std::string Account::to_string() const { return quote_string(user) + "@" + quote_string(host); }

Result<Account> parse_account(std::string_view current_user) {
  const size_t at = current_user.rfind('@');
  if (at == std::string_view::npos) return fail(Code::kInternal, fmt::format("not an account: '{}'", current_user));
  return Account{std::string(current_user.substr(0, at)), std::string(current_user.substr(at + 1))};
}

std::string show_grants_query(const Account& account) { return "SHOW GRANTS FOR " + account.to_string(); }

std::vector<std::string> app_rights_statements(FlavorKind flavor, const Account& account, const AppRights& rights,
                                               const Rows& grants) {
  const std::vector<std::string> wanted = wanted_privileges(flavor);
  const std::string object = grant_object(rights);
  std::set<std::string, std::less<>> global;
  bool has_database = false, may_grant = false;
  for (size_t row = 0; row < grants.rows.size(); ++row) {
    Grant grant;
    if (!parse_grant(grants.get(row, size_t{0}).value_or(""), grant)) continue;
    if (grant.object == "*.*") {
      global.merge(grant.privileges);
      may_grant = may_grant || grant.may_grant;
    }
    if (grant.object != object) continue;
    has_database =
        grant.privileges.contains("ALL PRIVILEGES") ||
        std::all_of(wanted.begin(), wanted.end(), [&](const auto& p) { return grant.privileges.contains(p); });
  }
  global.erase("USAGE");
  const bool has_files = global.contains("FILE") || global.contains("ALL PRIVILEGES");
  const bool too_much = may_grant || global.size() > (rights.files && global.contains("FILE") ? 1u : 0u);

  std::vector<std::string> statements;
  if (!has_database) {
    statements.push_back(fmt::format("GRANT {} ON {} TO {}", base::join(wanted, ", "), object, account.to_string()));
  }
  if (too_much) {
    statements.push_back("REVOKE ALL PRIVILEGES ON *.* FROM " + account.to_string());
    if (may_grant) statements.push_back("REVOKE GRANT OPTION ON *.* FROM " + account.to_string());
  }
  if (rights.files && (too_much || !has_files)) statements.push_back("GRANT FILE ON *.* TO " + account.to_string());
  return statements;
}

}  // namespace vitrail::mysqld
