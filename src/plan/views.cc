#include "plan/views.h"

#include <map>

#include "plan/routing.h"
#include "sql/lexer.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"
#include "vschema/vschema.h"

namespace vitrail::plan {

std::vector<UnknownTable> unknown_tables(const sql::Statement& statement, const PlanContext& context) {
  class Sources : public sql::Walker {
   public:
    std::map<uint32_t, const sql::TableSource*> by_place;

   protected:
    bool enter(const sql::TableRef& ref) override {
      if (const auto* source = sql::as<sql::TableSource>(&ref)) by_place.emplace(source->name.name.span.offset, source);
      return true;
    }
  };
  Sources sources;
  sources.walk(statement);
  std::vector<UnknownTable> out;
  for (const auto& use : sql::collect_tables(statement)) {
    const auto source = sources.by_place.find(use.name_span.offset);
    if (use.access != sql::TableAccess::kRead || source == sources.by_place.end()) continue;
    const std::string keyspace(use.qualifier.empty() ? std::string_view(context.keyspace) : use.qualifier);
    if (keyspace.empty() || is_system_schema(keyspace)) continue;
    const auto known = context.vschema->find_table(keyspace, use.name, type_of(context.tablet_type));
    if (known.ok() || known.error().code() != Code::kNotFound) continue;
    out.push_back({.span = use.span,
                   .keyspace = keyspace,
                   .name = std::string(use.name),
                   .has_alias = !source->second->alias.empty()});
  }
  return out;
}

std::string view_query(std::string_view definition, std::string_view database, std::string_view keyspace) {
  const std::string name = sql::quote_identifier(database);
  std::string out;
  size_t done = 0;
  sql::Lexer lexer(definition);
  sql::Token before;
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next()) {
    const bool qualifies = token.type == sql::TokenType::kDot && before.type == sql::TokenType::kQuotedIdentifier;
    if (qualifies && before.text(definition) == name) {
      out += definition.substr(done, before.offset - done);
      out += sql::quote_identifier(keyspace);
      done = before.end();
    }
    before = token;
  }
  out += definition.substr(done);
  return out;
}

std::string with_views(std::string_view text, const std::vector<UnknownTable>& tables,
                       const std::vector<std::optional<std::string>>& queries) {
  std::map<uint32_t, size_t> places;
  for (size_t i = 0; i < tables.size(); ++i) {
    if (queries[i]) places.emplace(tables[i].span.offset, i);
  }
  std::string out;
  size_t done = 0;
  for (const auto& [offset, i] : places) {
    out += text.substr(done, offset - done);
    out += "(" + *queries[i] + ")";
    if (!tables[i].has_alias) out += " as " + sql::quote_identifier(tables[i].name);
    done = tables[i].span.end();
  }
  out += text.substr(done);
  return out;
}

}  // namespace vitrail::plan
