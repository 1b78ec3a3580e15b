#include "plan/found_rows.h"

#include <algorithm>

#include "sql/effects.h"
#include "sql/lexer.h"
#include "sql/literal.h"
#include "sql/parser.h"
#include "sql/walk.h"

namespace vitrail::plan {
namespace {

// Queries below a statement, and what else changes the number on the way.
class Inside : public sql::Walker {
 public:
  bool queries = false;
  bool aggregates = false;

 protected:
  using sql::Walker::enter;
  bool enter(const sql::Query&) override {
    queries = true;
    return true;
  }
  bool enter(const sql::Expr& expr) override {
    const auto* call = sql::as<sql::FunctionCall>(&expr);
    aggregates = aggregates || (call != nullptr && sql::is_aggregate(*call));
    return true;
  }
};

// Whether queries run for it, or code that may have some.
bool asks_more(const sql::Statement& statement) {
  Inside inside;
  inside.walk(statement);
  return inside.queries || sql::effects_of(statement).runs_unseen_code;
}

bool skips(const sql::Limit* limit) { return limit != nullptr && (limit->offset != nullptr || limit->with_ties); }

bool has_limit(const sql::Query& query) {
  if (query.limit != nullptr) return true;
  if (const auto* inner = sql::as<sql::ParenthesizedQuery>(&query)) return has_limit(*inner->inner);
  if (const auto* both = sql::as<sql::SetOperation>(&query)) return has_limit(*both->left) || has_limit(*both->right);
  return false;
}

FoundRows of_query(const sql::Query& query) {
  if (const auto* select = sql::as<sql::Select>(&query)) {
    return skips(select->limit) && !select->calc_found_rows ? FoundRows::kUnknown : FoundRows::kAnswer;
  }
  if (const auto* inner = sql::as<sql::ParenthesizedQuery>(&query)) {
    return query.limit != nullptr ? FoundRows::kUnknown : of_query(*inner->inner);
  }
  if (sql::as<sql::ValuesQuery>(&query) != nullptr) return FoundRows::kUnknown;  // Kept by MariaDB alone.
  if (sql::as<sql::SetOperation>(&query) != nullptr && has_limit(query)) return FoundRows::kUnknown;
  return skips(query.limit) ? FoundRows::kUnknown : FoundRows::kAnswer;
}

// Whether a query that changes `n` rows has told of `n`: not one that is answered from the statistics of its tables.
bool counts_its_rows(const sql::Query& query) {
  if (of_query(query) != FoundRows::kAnswer) return false;
  if (const auto* inner = sql::as<sql::ParenthesizedQuery>(&query)) return counts_its_rows(*inner->inner);
  const auto* select = sql::as<sql::Select>(&query);
  if (select == nullptr) return true;
  if (select->from.empty()) return false;
  if (!select->group_by.empty()) return true;
  Inside inside;
  for (const auto& item : select->items) inside.walk(*item.expr);
  if (select->having != nullptr) inside.walk(*select->having);
  return !inside.aggregates;
}

FoundRows of_insert(const sql::Insert& insert) {
  if (insert.query != nullptr) {
    const bool plain = !insert.replace && !insert.ignore && insert.on_duplicate.empty() && insert.returning.empty();
    return plain && counts_its_rows(*insert.query) ? FoundRows::kChanged : FoundRows::kUnknown;
  }
  return asks_more(insert) ? FoundRows::kUnknown : FoundRows::kKept;
}

FoundRows of_show(const sql::Show& show) {
  using enum sql::ShowKind;
  if (show.has_count) return FoundRows::kOne;
  switch (show.show) {  // Those that servers answer by a query of INFORMATION_SCHEMA.
    case kDatabases:
    case kTables:
    case kTableStatus:
    case kOpenTables:
    case kColumns:
    case kIndex:
    case kTriggers:
    case kEvents:
    case kVariables:
    case kStatus:
    case kEngines:
    case kPlugins:
    case kCharset:
    case kCollation:
    case kProcedureStatus:
    case kFunctionStatus: return FoundRows::kAnswer;
    case kOther: return FoundRows::kUnknown;
    default: return FoundRows::kKept;
  }
}

// Of what is kept as text: code, and what leaves the number alone.
FoundRows of_text(std::string_view text) {
  using enum sql::Keyword;
  sql::Lexer lexer(text);
  switch (lexer.next().keyword) {
    case kBegin:
    case kCase:
    case kFor:
    case kIf:
    case kLoop:
    case kRepeat:
    case kWhile: return FoundRows::kUnknown;
    default: return FoundRows::kKept;
  }
}

// EXECUTE IMMEDIATE 'text'. SQL_CALC_FOUND_ROWS in it is asked of nobody.
FoundRows of_execute(const sql::PreparedStatement& execute) {
  const auto* source = sql::as<sql::Literal>(execute.source);
  const auto text =
      source == nullptr || source->literal != sql::LiteralKind::kString ? std::nullopt : sql::string_value(*source);
  if (!text) return FoundRows::kUnknown;
  const auto inner = sql::parse(*text);
  if (!inner.ok() || inner->kind() == sql::StatementKind::kExecute) return FoundRows::kUnknown;
  const auto* query = sql::statement_as<sql::QueryStatement>(&inner->statement());
  const auto* select = query == nullptr ? nullptr : sql::as<sql::Select>(query->query);
  if (select != nullptr && select->calc_found_rows) return FoundRows::kUnknown;
  if (query != nullptr && sql::as<sql::Select>(query->query) == nullptr) return FoundRows::kUnknown;
  return found_rows_of(inner->statement());
}

}  // namespace

FoundRows found_rows_of(const sql::Statement& statement) {
  using enum sql::StatementKind;
  switch (statement.kind) {
    case kSelect: return of_query(*sql::statement_as<sql::QueryStatement>(&statement)->query);
    case kInsert:
    case kReplace: return of_insert(*sql::statement_as<sql::Insert>(&statement));
    case kUpdate: {
      const auto& update = *sql::statement_as<sql::Update>(&statement);
      const bool one = update.tables.size() == 1 && update.tables[0]->kind == sql::TableRefKind::kTable;
      return one && !asks_more(statement) ? FoundRows::kKept : FoundRows::kUnknown;
    }
    case kDelete: {
      const auto& change = *sql::statement_as<sql::Delete>(&statement);
      return change.targets.empty() && !asks_more(statement) ? FoundRows::kKept : FoundRows::kUnknown;
    }
    case kDo: return asks_more(statement) ? FoundRows::kUnknown : FoundRows::kKept;
    case kSet: {
      const auto& set = *sql::statement_as<sql::SetStatement>(&statement);
      if (set.statement != nullptr) return found_rows_of(*set.statement);
      return asks_more(statement) ? FoundRows::kUnknown : FoundRows::kKept;
    }
    case kShow: return of_show(*sql::statement_as<sql::Show>(&statement));
    case kExplain: {
      const auto& explain = *sql::statement_as<sql::Explain>(&statement);
      if (explain.statement == nullptr) return explain.table.name.empty() ? FoundRows::kKept : FoundRows::kAnswer;
      return explain.analyze ? FoundRows::kUnknown : FoundRows::kKept;
    }
    case kDdl: {
      const auto& ddl = *sql::statement_as<sql::Ddl>(&statement);
      return ddl.object == sql::DdlObject::kTable && ddl.query != nullptr ? FoundRows::kUnknown : FoundRows::kKept;
    }
    case kCall: return FoundRows::kUnknown;
    case kExecute: return of_execute(*sql::statement_as<sql::PreparedStatement>(&statement));
    case kOther: return of_text(sql::statement_as<sql::TextStatement>(&statement)->text);
    case kVexplain:
    case kUnknown: return FoundRows::kUnknown;
    default: return FoundRows::kKept;
  }
}

}  // namespace vitrail::plan
