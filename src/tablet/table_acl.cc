#include "tablet/table_acl.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "mysql/errors.h"
#include "sql/literal.h"
#include "sql/tables.h"

namespace vitrail::tablet {
namespace {

using Json = nlohmann::json;
using base::to_lower;

constexpr const char* kMembers[] = {"readers", "writers", "admins"};  // By AclRole.

bool is_opaque_ddl(const sql::Ddl& ddl) {
  using enum sql::DdlObject;
  return ddl.object == kProcedure || ddl.object == kFunction || ddl.object == kTrigger || ddl.object == kEvent ||
         ddl.object == kDatabase || ddl.object == kOther;
}

AclRole role_of(const sql::Statement& statement, sql::TableAccess access) {
  using enum sql::StatementKind;
  switch (statement.kind) {
    case kDdl:
    case kTableAdmin:
      return access == sql::TableAccess::kWrite || statement.kind == kTableAdmin ? AclRole::kAdmin : AclRole::kReader;
    default: return access == sql::TableAccess::kWrite ? AclRole::kWriter : AclRole::kReader;
  }
}

void add_tables(const sql::Statement& role_giver, const sql::Statement& statement, AclNeeds& needs) {
  for (const auto& use : sql::collect_tables(statement)) {
    // What the server tells there of tables is what its account may see.
    if (base::equals_ignoring_case(use.qualifier, "information_schema")) continue;
    AclNeeds::Table table{to_lower(use.name), role_of(role_giver, use.access)};
    if (std::find(needs.tables.begin(), needs.tables.end(), table) == needs.tables.end()) {
      needs.tables.push_back(std::move(table));
    }
  }
}

void add_source(const sql::PreparedStatement& prepared, AclNeeds& needs) {
  if (prepared.kind == sql::StatementKind::kDeallocate || prepared.source == nullptr) return;  // EXECUTE of a name.
  const auto* literal = sql::as<sql::Literal>(prepared.source);
  const auto text = literal == nullptr ? std::nullopt : sql::string_value(*literal);
  const auto ast = text ? sql::parse(*text) : Result<sql::Ast>(fail(Code::kInvalidArgument, ""));
  if (!ast.ok()) {
    needs.opaque = "PREPARE of a text made at run time";
    return;
  }
  AclNeeds inner = acl_needs(&*ast);
  needs.tables.insert(needs.tables.end(), inner.tables.begin(), inner.tables.end());
  if (!inner.opaque.empty()) needs.opaque = std::move(inner.opaque);
}

}  // namespace

AclNeeds acl_needs(const sql::Ast* ast) {
  AclNeeds needs;
  if (ast == nullptr) {
    needs.opaque = "a statement that is not understood";
    return needs;
  }
  const sql::Statement& statement = ast->statement();
  using enum sql::StatementKind;
  switch (statement.kind) {
    case kOther: needs.opaque = "a statement that is not understood"; return needs;
    case kPrepare:
    case kExecute: add_source(static_cast<const sql::PreparedStatement&>(statement), needs); break;
    case kDdl:
      if (is_opaque_ddl(static_cast<const sql::Ddl&>(statement)))
        needs.opaque = "DDL of routines, triggers and databases";
      break;
    case kSet: {
      // SET STATEMENT .. FOR statement: by that one.
      const auto& set = static_cast<const sql::SetStatement&>(statement);
      if (set.statement == nullptr) break;
      if (set.statement->kind == kOther || set.statement->kind == kPrepare || set.statement->kind == kExecute) {
        needs.opaque = "SET STATEMENT .. FOR a statement of this kind";
      }
      add_tables(*set.statement, statement, needs);
      return needs;
    }
    default: break;
  }
  add_tables(statement, statement, needs);
  return needs;
}

// ---- Rules ----------------------------------------------------------------------------------------------------------

namespace {

std::vector<std::string> strings(const Json& group, const char* field, std::vector<std::string>& problems) {
  std::vector<std::string> out;
  const auto found = group.find(field);
  if (found == group.end() || found->is_null()) return out;
  bool good = found->is_array();
  for (size_t i = 0; good && i < found->size(); ++i) {
    good = (*found)[i].is_string();
    if (good) out.push_back((*found)[i].get<std::string>());
  }
  if (!good) problems.push_back(fmt::format("{} must be a list of strings", field));
  return out;
}

// Whether some name is meant by both.
bool overlap(std::string_view a, std::string_view b) {
  const bool a_prefix = a.ends_with('%'), b_prefix = b.ends_with('%');
  if (a_prefix) a.remove_suffix(1);
  if (b_prefix) b.remove_suffix(1);
  return a == b || (a_prefix && b.starts_with(a)) || (b_prefix && a.starts_with(b));
}

}  // namespace

Result<TableAcl> TableAcl::parse(std::string_view json) {
  const Json root = Json::parse(json, nullptr, false);
  if (root.is_discarded() || !root.is_object()) {
    return fail(Code::kInvalidArgument, "a table ACL is a JSON object with table_groups");
  }
  TableAcl acl;
  std::vector<std::string> problems;
  for (const auto& [field, value] : root.items()) {
    if (field != "table_groups") problems.push_back(fmt::format("unknown field {}", field));
  }
  const Json groups = root.value("table_groups", Json::array());
  if (!groups.is_array()) return fail(Code::kInvalidArgument, "table_groups must be a list");
  for (const Json& group : groups) {
    if (!group.is_object()) {
      problems.emplace_back("a table group must be an object");
      continue;
    }
    Group made;
    if (const auto name = group.find("name"); name != group.end() && name->is_string()) made.name = *name;
    for (const auto& [field, value] : group.items()) {
      constexpr std::string_view kKnown[] = {"name", "table_names_or_prefixes", "readers", "writers", "admins"};
      if (std::find(std::begin(kKnown), std::end(kKnown), field) == std::end(kKnown)) {
        problems.push_back(fmt::format("group '{}': unknown field {}", made.name, field));
      }
    }
    for (size_t role = 0; role < 3; ++role) {
      made.members[role] = strings(group, kMembers[role], problems);
      std::sort(made.members[role].begin(), made.members[role].end());
    }
    for (const auto& written : strings(group, "table_names_or_prefixes", problems)) {
      const std::string name = to_lower(written);
      if (name.empty() || name.find('%') < name.size() - 1) {
        problems.push_back(
            fmt::format("group '{}': '{}' is neither a name nor a prefix that ends in '%'", made.name, name));
        continue;
      }
      for (const auto& [other, index] : acl.names_) {
        if (overlap(name, other)) problems.push_back(fmt::format("'{}' and '{}' overlap", other, name));
      }
      acl.names_.emplace(name, acl.groups_.size());
    }
    acl.groups_.push_back(std::move(made));
  }
  if (!problems.empty()) return fail(Code::kInvalidArgument, "table ACL: " + base::join(problems, "; "));
  return acl;
}

const TableAcl::Group* TableAcl::find(std::string_view table) const {
  // Names do not overlap, so the greatest that is not greater than the table's is the only candidate: "log_%" is less
  // than whatever begins with "log_" and does not begin with a byte below '%'. Those few are found by trying prefixes.
  const std::string lower = to_lower(table);
  if (const auto found = names_.find(lower); found != names_.end()) return &groups_[found->second];
  std::string prefix = lower;
  for (;;) {
    prefix += '%';
    if (const auto found = names_.find(prefix); found != names_.end()) return &groups_[found->second];
    prefix.pop_back();
    if (prefix.empty()) return nullptr;
    prefix.pop_back();
  }
}

std::string_view TableAcl::group_of(std::string_view table) const {
  const Group* group = find(table);
  return group == nullptr ? std::string_view() : std::string_view(group->name);
}

bool TableAcl::allows(const Caller& caller, std::string_view table, AclRole role) const {
  const Group* group = find(table);
  if (group == nullptr) return false;
  const auto& members = group->members[static_cast<size_t>(role)];
  const auto has = [&](std::string_view name) { return std::binary_search(members.begin(), members.end(), name); };
  return has("*") || has(caller.user) || std::any_of(caller.groups.begin(), caller.groups.end(), has);
}

// ---- In force -------------------------------------------------------------------------------------------------------

TableAclKeeper::TableAclKeeper(TableAclSettings settings, base::Metrics& metrics)
    : settings_(std::move(settings)),
      exempt_(base::split_list(settings_.exempt)),
      rules_(std::make_shared<const TableAcl>()),
      allowed_(metrics.counter("TableACLAllowed", "uses of tables that the table ACL allowed")),
      denied_(metrics.counter("TableACLDenied", "uses of tables that the table ACL refused")),
      pseudo_denied_(metrics.counter("TableACLPseudoDenied", "uses of tables that the table ACL would have refused")) {}

Status TableAclKeeper::load() {
  if (!enabled()) {
    if (!settings_.enforce) return {};
    return fail(Code::kInvalidArgument, "--enforce-tableacl-config needs a --table-acl-config");
  }
  auto text = base::read_file(settings_.config);
  auto rules = text.ok() ? TableAcl::parse(*text) : Result<TableAcl>(std::move(text).error());
  if (rules.ok()) {
    rules_.store(std::make_shared<const TableAcl>(std::move(*rules)));
    return {};
  }
  if (settings_.enforce) return std::move(rules).error().with_context("--table-acl-config");
  log_error("--table-acl-config: {}; only --queryserver-config-acl-exempt-acl may use tables", rules.error().message());
  return {};
}

void TableAclKeeper::reload() {
  if (!enabled()) return;
  auto text = base::read_file(settings_.config);
  auto rules = text.ok() ? TableAcl::parse(*text) : Result<TableAcl>(std::move(text).error());
  if (rules.ok()) {
    rules_.store(std::make_shared<const TableAcl>(std::move(*rules)));
  } else {
    log_warning("the table ACL stays as it was: {}", rules.error().message());
  }
}

Status TableAclKeeper::check(const AclNeeds& needs, std::string_view command, const Caller& caller) const {
  if (!enabled() || (needs.tables.empty() && needs.opaque.empty())) return {};
  const auto is_exempt = [&](std::string_view name) {
    return std::find(exempt_.begin(), exempt_.end(), name) != exempt_.end();
  };
  if (is_exempt(caller.user) || std::any_of(caller.groups.begin(), caller.groups.end(), is_exempt)) return {};
  if (caller.user.empty() && settings_.strict && !settings_.dry_run) {
    denied_.add();
    return fail(Code::kUnauthenticated, "missing caller id");
  }
  const auto rules = rules_.load();
  for (const auto& table : needs.tables) {
    if (rules->allows(caller, table.name, table.role)) {
      allowed_.add();
      continue;
    }
    if (Status status = denied(command, table.name, rules->group_of(table.name), caller); !status.ok()) return status;
  }
  if (!needs.opaque.empty()) return denied(needs.opaque, "", "", caller);
  return {};
}

Status TableAclKeeper::denied(std::string_view command, std::string_view table, std::string_view group,
                              const Caller& caller) const {
  if (settings_.dry_run || !settings_.strict) {
    pseudo_denied_.add();
    return {};
  }
  denied_.add();
  std::string groups;
  for (const auto name : caller.groups) groups += (groups.empty() ? "" : ", ") + std::string(name);
  // "Select", as Vitess says it.
  std::string verb = to_lower(command);
  if (!verb.empty()) verb[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(verb[0])));
  if (command == "DDL") verb = command;
  std::string text =
      table.empty() ? fmt::format(
                          "{} denied to user '{}', in groups [{}]: it may use any table, and is for "
                          "--queryserver-config-acl-exempt-acl only (ACL check error)",
                          command, caller.user, groups)
                    : fmt::format("{} command denied to user '{}', in groups [{}], for table '{}' (ACL check error)",
                                  verb, caller.user, groups, table);
  if (!table.empty() && group.empty()) text += ": no group of --table-acl-config has this table";
  return fail(Code::kPermissionDenied, std::move(text)).with_mysql(1142, "42000");
}

}  // namespace vitrail::tablet
