#include "tablet/indirect_tables.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "mysql/convert.h"
#include "sql/effects.h"
#include "sql/lexer.h"
#include "sql/parser.h"
#include "tablet/local_server.h"
#include "tablet/serving_state.h"

namespace vitrail::tablet {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// The words and quoted names of a text, and whether code runs in it that it does not show.
struct Mentions {
  std::set<std::string, std::less<>> names;
  bool unseen = false;
};

Mentions mentions_of(std::string_view text) {
  Mentions out;
  sql::Lexer lexer(text);
  std::string last;         // The word right before this token,
  std::string before_last;  // and the one before that: INTO t (columns) is no call.
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd; token = lexer.next()) {
    if (token.type == sql::TokenType::kError) {
      out.unseen = true;
      return out;
    }
    if (token.type == sql::TokenType::kLeftParen && !last.empty() && before_last != "into" &&
        !sql::is_builtin_function(last) && sql::find_keyword(last) == sql::Keyword::kNone) {
      out.unseen = true;
    }
    before_last = std::exchange(last, "");
    if (token.type == sql::TokenType::kWord) {
      last = lower(token.text(text));
      if (last == "call" || last == "execute") out.unseen = true;
      out.names.insert(last);
    } else if (token.type == sql::TokenType::kQuotedIdentifier) {
      std::string_view name = token.text(text);
      out.names.insert(lower(name.substr(1, name.size() - 2)));
    }
  }
  return out;
}

bool any_in(const Mentions& mentions, const std::set<std::string>& names) {
  return std::ranges::any_of(names, [&](const std::string& name) { return mentions.names.contains(name); });
}

}  // namespace

Reach reach_of(const std::vector<std::string>& denied, const SchemaLinks& links) {
  const std::set<std::string> base(denied.begin(), denied.end());
  if (base.empty()) return {};
  struct Seen {
    std::string name;
    Mentions mentions;
  };
  std::vector<Seen> views;
  for (const auto& view : links.views) {
    Seen seen{lower(view.name), mentions_of(view.definition)};
    if (const auto ast = sql::parse(view.definition); ast.ok()) {
      seen.mentions.unseen = sql::effects_of(ast->statement()).runs_unseen_code;
    }
    views.push_back(std::move(seen));
  }
  std::vector<Seen> triggers;
  for (const auto& trigger : links.triggers) triggers.push_back({lower(trigger.table), mentions_of(trigger.body)});

  std::set<std::string> any = base;  // Names that must not be touched at all.
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& view : views) {
      if (!any.contains(view.name) && (view.mentions.unseen || any_in(view.mentions, any))) {
        grown = any.insert(view.name).second;
      }
    }
  }
  std::set<std::string> writes = any;  // Names that must not be changed.
  for (bool grown = true; grown;) {
    const size_t before = writes.size();
    for (const auto& trigger : triggers) {
      if (trigger.mentions.unseen || any_in(trigger.mentions, writes)) writes.insert(trigger.name);
    }
    for (const auto& key : links.foreign_keys) {
      if (key.cascades && writes.contains(lower(key.child))) writes.insert(lower(key.parent));
    }
    for (const auto& view : views) {
      if (any_in(view.mentions, writes)) writes.insert(view.name);
    }
    grown = writes.size() != before;
  }
  Reach reach;
  std::ranges::set_difference(any, base, std::back_inserter(reach.any));
  std::ranges::set_difference(writes, any, std::back_inserter(reach.writes));
  return reach;
}

net::Task<Status> find_indirect_tables(LocalServer& server, std::string database, ServingState& state, net::Wait wait) {
  if (state.denied_tables.empty()) co_return Status{};
  std::string schema;
  mysql::append_sql_string(schema, database);
  SchemaLinks links;
  CO_ASSIGN_OR_RETURN(
      const auto views,
      co_await server.query(
          "select table_name, view_definition from information_schema.views where table_schema = " + schema, wait));
  for (size_t i = 0; i < views.rows.size(); ++i) {
    links.views.push_back({std::string(views.text(i, 0)), std::string(views.text(i, 1))});
  }
  CO_ASSIGN_OR_RETURN(const auto triggers,
                      co_await server.query("select event_object_table, action_statement from "
                                            "information_schema.triggers where event_object_schema = " +
                                                schema,
                                            wait));
  for (size_t i = 0; i < triggers.rows.size(); ++i) {
    links.triggers.push_back({std::string(triggers.text(i, 0)), std::string(triggers.text(i, 1))});
  }
  CO_ASSIGN_OR_RETURN(const auto keys,
                      co_await server.query("select table_name, referenced_table_name, update_rule, delete_rule from "
                                            "information_schema.referential_constraints where constraint_schema = " +
                                                schema,
                                            wait));
  for (size_t i = 0; i < keys.rows.size(); ++i) {
    const auto acts = [&](size_t column) {
      const std::string_view rule = keys.text(i, column);
      return rule == "CASCADE" || rule == "SET NULL" || rule == "SET DEFAULT";
    };
    links.foreign_keys.push_back({std::string(keys.text(i, 0)), std::string(keys.text(i, 1)), acts(2) || acts(3)});
  }
  Reach reach = reach_of(state.denied_tables, links);
  state.indirect = std::move(reach.any);
  state.indirect_writes = std::move(reach.writes);
  co_return Status{};
}

}  // namespace vitrail::tablet
