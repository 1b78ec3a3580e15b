#include "tablet/query_rules.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace vitrail::tablet {
namespace {

using Json = nlohmann::ordered_json;
using sql::StatementKind;

// Names of plans, as Vitess has them, in lower case.
std::string plan_name(const StatementInfo& info) {
  if (info.next_value) return "nextval";
  switch (info.kind) {
    case StatementKind::kSelect: return "select";
    case StatementKind::kInsert:
    case StatementKind::kReplace: return "insert";
    case StatementKind::kUpdate: return "update";
    case StatementKind::kDelete: return "delete";
    case StatementKind::kDdl: return "ddl";
    case StatementKind::kSet: return "set";
    case StatementKind::kShow: return "show";
    case StatementKind::kLoad: return "load";
    case StatementKind::kFlush: return "flush";
    case StatementKind::kLockTables: return "locktables";
    case StatementKind::kUnlockTables: return "unlocktables";
    case StatementKind::kCall: return "callprocedure";
    case StatementKind::kSavepoint: return "savepoint";
    case StatementKind::kRelease: return "release";
    case StatementKind::kRollbackTo: return "rollbacksavepoint";
    case StatementKind::kExplain: return "otherread";
    default: return "otheradmin";
  }
}

constexpr std::string_view kPlans[] = {"select",       "insert",        "update",    "delete",
                                       "ddl",          "set",           "show",      "load",
                                       "flush",        "nextval",       "release",   "locktables",
                                       "unlocktables", "callprocedure", "savepoint", "rollbacksavepoint",
                                       "otherread",    "otheradmin"};

bool fits(const std::shared_ptr<const std::regex>& expression, std::string_view text) {
  return expression == nullptr || std::regex_match(text.begin(), text.end(), *expression);
}

std::string_view skip_blanks(std::string_view text) {
  while (!text.empty() && (std::isspace(static_cast<unsigned char>(text.front())) != 0)) text.remove_prefix(1);
  return text;
}

}  // namespace

MarginComments split_comments(std::string_view text) {
  std::string_view rest = text;
  for (;;) {
    const std::string_view next = skip_blanks(rest);
    const size_t end = next.starts_with("/*") ? next.find("*/", 2) : std::string_view::npos;
    if (end == std::string_view::npos) {
      rest = next;
      break;
    }
    rest = next.substr(end + 2);
  }
  MarginComments out;
  out.leading = text.substr(0, text.size() - rest.size());
  std::string_view statement = rest;
  for (;;) {
    std::string_view shorter = statement;
    while (!shorter.empty() && (std::isspace(static_cast<unsigned char>(shorter.back())) != 0))
      shorter.remove_suffix(1);
    const size_t begin = shorter.ends_with("*/") ? shorter.rfind("/*") : std::string_view::npos;
    if (begin == std::string_view::npos) {
      statement = shorter;
      break;
    }
    statement = shorter.substr(0, begin);
  }
  out.statement = statement;
  out.trailing = rest.substr(statement.size());
  return out;
}

// One entry of the list; what is wrong with it is added to `problems`.
class RuleParser {
 public:
  RuleParser(const Json& entry, size_t number, std::vector<std::string>& problems)
      : entry_(entry), number_(number), problems_(problems) {}

  QueryRules::Rule parse() {
    QueryRules::Rule rule;
    if (!entry_.is_object()) {
      wrong("is no object");
      return rule;
    }
    rule.json = entry_.dump();
    for (const auto& [key, value] : entry_.items()) read(key, value, rule);
    return rule;
  }

 private:
  void wrong(const std::string& what) { problems_.push_back(fmt::format("rule {}: {}", number_, what)); }

  void read(const std::string& key, const Json& value, QueryRules::Rule& rule) {
    if (key == "Plans" || key == "TableNames") {
      if (!value.is_array() || !std::ranges::all_of(value, [](const Json& item) { return item.is_string(); })) {
        return wrong(key + " is no list of names");
      }
      for (const auto& item : value)
        (key == "Plans" ? rule.plans : rule.tables).push_back(base::to_lower(item.get<std::string>()));
      for (const auto& plan : rule.plans) {
        if (std::ranges::find(kPlans, plan) == std::end(kPlans))
          wrong(fmt::format("'{}' is not the name of a plan", plan));
      }
      return;
    }
    if (key == "BindVarConds" || key == "RequestIP") {
      return wrong(key + " is not offered: statements come with their values, through vtgates");
    }
    if (!value.is_string()) return wrong(key + " is no text");
    const std::string text = value;
    if (key == "Name") {
      rule.name = text;
    } else if (key == "Description") {
      rule.description = text;
    } else if (key == "User") {
      rule.user = expression(key, text);
    } else if (key == "Query") {
      rule.query = expression(key, text);
    } else if (key == "LeadingComment") {
      rule.leading = expression(key, text);
    } else if (key == "TrailingComment") {
      rule.trailing = expression(key, text);
    } else if (key == "Action") {
      rule.action = action(text);
    } else {
      wrong(fmt::format("'{}' is not known", key));
    }
  }

  QueryRules::Action action(const std::string& text) {
    if (text == "FAIL") return QueryRules::Action::kFail;
    if (text == "FAIL_RETRY") return QueryRules::Action::kFailRetry;
    if (text == "BUFFER") {
      wrong("the action BUFFER is not offered: take FAIL_RETRY");
    } else if (text != "CONTINUE") {
      wrong(fmt::format("'{}' is no action: CONTINUE, FAIL or FAIL_RETRY", text));
    }
    return QueryRules::Action::kContinue;
  }

  std::shared_ptr<const std::regex> expression(const std::string& key, const std::string& text) {
    if (text.empty()) return nullptr;
    // The library throws; nothing of that leaves this function.
    try {
      return std::make_shared<const std::regex>(text, std::regex::ECMAScript | std::regex::optimize);
    } catch (const std::regex_error& error) {
      wrong(fmt::format("{} '{}' is no expression: {}", key, text, error.what()));
      return nullptr;
    }
  }

  const Json& entry_;
  const size_t number_;
  std::vector<std::string>& problems_;
};

Result<QueryRules> QueryRules::parse(std::string_view json) {
  QueryRules out;
  if (base::trim(json).empty()) return out;
  const Json document = Json::parse(json, nullptr, false);
  if (!document.is_array()) return fail(Code::kInvalidArgument, "query rules are a JSON list of objects");
  std::vector<std::string> problems;
  for (const auto& entry : document) {
    out.rules_.push_back(RuleParser(entry, out.rules_.size() + 1, problems).parse());
  }
  if (!problems.empty()) return fail(Code::kInvalidArgument, base::join(problems, "; "));
  return out;
}

bool QueryRules::needs_user() const {
  return std::ranges::any_of(rules_, [](const Rule& rule) { return rule.user != nullptr; });
}

QueryRules::Verdict QueryRules::judge(const Question& question) const {
  if (rules_.empty()) return {};
  const StatementInfo& info = question.info;
  const MarginComments parts = split_comments(question.text);
  const std::string plan = plan_name(info);
  const std::string_view query =
      (info.normalized.empty() ? parts.statement : std::string_view(info.normalized)).substr(0, kQuerySeen);
  for (const Rule& rule : rules_) {
    if (rule.action == Action::kContinue) continue;
    if (!rule.plans.empty() && std::ranges::find(rule.plans, plan) == rule.plans.end()) continue;
    const bool touches = rule.tables.empty() || std::ranges::any_of(info.tables, [&](const auto& table) {
                           return std::ranges::find(rule.tables, table.name) != rule.tables.end();
                         });
    if (!touches || !fits(rule.user, question.user) || !fits(rule.leading, parts.leading) ||
        !fits(rule.trailing, parts.trailing) || !fits(rule.query, query)) {
      continue;
    }
    return {rule.action, rule.name, rule.description};
  }
  return {};
}

std::string QueryRules::to_json() const {
  std::string out = "[";
  for (const Rule& rule : rules_) out += (out.size() > 1 ? ",\n " : "\n ") + rule.json;
  return out + "\n]\n";
}

// ---- The keeper

QueryRulesKeeper::QueryRulesKeeper(QueryRulesSettings settings, base::Metrics& metrics)
    : settings_(std::move(settings)),
      rules_(std::make_shared<const QueryRules>()),
      refused_(metrics.counters("QueryRulesRefused", "statements that a query rule refused", {"rule"})) {}

void QueryRulesKeeper::put_together() {
  auto all = std::make_shared<QueryRules>(file_rules_);
  all->append(topology_rules_);
  rules_.store(std::move(all));
}

Status QueryRulesKeeper::load_file() {
  ASSIGN_OR_RETURN(std::string text, base::read_file(settings_.file));
  const std::scoped_lock lock(mutex_);
  if (text == file_text_) return {};
  auto rules = QueryRules::parse(text);
  file_text_ = std::move(text);  // A text that cannot be used is told of once.
  if (!rules.ok()) return std::move(rules).error();
  file_rules_ = std::move(*rules);
  put_together();
  return {};
}

Status QueryRulesKeeper::load() {
  if (settings_.file.empty()) return {};
  Status loaded = load_file();
  return loaded.ok() ? Status() : Status(std::move(loaded).error().with_context("--filecustomrules"));
}

void QueryRulesKeeper::reload() {
  if (settings_.file.empty()) return;
  if (Status loaded = load_file(); !loaded.ok()) {
    log_warning("the query rules stay as they were: {}: {}", settings_.file, loaded.error().message());
  }
}

Status QueryRulesKeeper::set_topology(std::string_view json) {
  ASSIGN_OR_RETURN(auto rules, QueryRules::parse(json));
  const std::scoped_lock lock(mutex_);
  topology_rules_ = std::move(rules);
  put_together();
  return {};
}

Status QueryRulesKeeper::check(const QueryRules::Question& question) const {
  const auto verdict = rules_.load()->judge(question);
  if (verdict.action == QueryRules::Action::kContinue) return {};
  refused_.with({verdict.name}).add();
  const std::string text =
      "disallowed due to rule: " + (verdict.description.empty() ? verdict.name : verdict.description);
  if (verdict.action == QueryRules::Action::kFail) return fail(Code::kInvalidArgument, text);
  return fail(Code::kFailedPrecondition, text).with_retry(Retry::kSameTarget);
}

}  // namespace vitrail::tablet
