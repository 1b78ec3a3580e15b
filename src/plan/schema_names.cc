#include "plan/schema_names.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/text.h"
#include "mysql/convert.h"
#include "plan/routing.h"
#include "plan/table_numbers.h"
#include "sql/effects.h"
#include "sql/literal.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::plan {
namespace {

std::string in_quotes(std::string_view text) {
  std::string out;
  mysql::append_sql_string(out, text);
  return out;
}

// SCHEMATA, whose column is schema_name, is replaced as a whole.
const sql::Column* schema_column(const sql::Expr* expr) {
  const auto* column = sql::as<sql::Column>(expr);
  if (column == nullptr || column->table.text == kServersTable || !is_schema_column(column->name.text)) return nullptr;
  return lower(column->name.text) == "schema_name" ? nullptr : column;
}

bool is_database_function(const sql::Expr* expr) {
  const auto* call = sql::as<sql::FunctionCall>(expr);
  if (call == nullptr || !call->args.empty() || !call->schema.empty()) return false;
  const std::string name = lower(call->name.text);
  return name == "database" || name == "schema";
}

// A comparison for equality of such a column with a constant, either way round.
struct Comparison {
  const sql::Column* column = nullptr;
  const sql::Expr* other = nullptr;
};
std::optional<Comparison> comparison(const sql::Expr& expr) {
  const auto* binary = sql::as<sql::Binary>(&expr);
  if (binary == nullptr || binary->op != sql::BinaryOp::kEqual || binary->quantifier != sql::Quantifier::kNone) {
    return std::nullopt;
  }
  for (const auto& [column, other] : {std::pair{binary->left, binary->right}, {binary->right, binary->left}}) {
    if (schema_column(column) == nullptr) continue;
    const auto* literal = sql::as<sql::Literal>(other);
    const bool text = literal != nullptr && literal->literal == sql::LiteralKind::kString;
    if (text || is_database_function(other) || sql::as<sql::Parameter>(other) != nullptr) {
      return Comparison{schema_column(column), other};
    }
  }
  return std::nullopt;
}

// The keyspaces that the statement compares with.
class Wanted : public sql::Walker {
 public:
  Wanted(const SchemaNames& names, std::span<const mysql::Value> values) : names_(names), values_(values) {}
  std::set<std::string> keyspaces;

  using sql::Walker::enter;
  bool enter(const sql::Expr& expr) override {
    if (const auto compared = comparison(expr)) see(*compared->other);
    if (const auto* in = sql::as<sql::In>(&expr); in != nullptr && !in->negated && schema_column(in->left) != nullptr) {
      for (const sql::Expr* value : in->values) see(*value);
    }
    return true;
  }

 private:
  void see(const sql::Expr& expr) {
    std::string name;
    if (is_database_function(&expr)) name = names_.keyspace;
    if (const auto* literal = sql::as<sql::Literal>(&expr)) name = sql::string_value(*literal).value_or("");
    if (const auto* parameter = sql::as<sql::Parameter>(&expr);
        parameter != nullptr && parameter->index < values_.size()) {
      name = values_[parameter->index].bytes;
    }
    if (!names_.database_of(name).empty()) keyspaces.insert(name);
  }
  const SchemaNames& names_;
  std::span<const mysql::Value> values_;
};

class Routines : public sql::Walker {
 public:
  std::string missing;  // "FUNCTION information_schema.f"
  using sql::Walker::enter;
  bool enter(const sql::Expr& expr) override {
    const auto* call = sql::as<sql::FunctionCall>(&expr);
    if (call != nullptr && call->schema.empty() && !call->name.empty() && !sql::is_builtin_function(call->name.text)) {
      note("FUNCTION", call->name.text);
    }
    return true;
  }
  void note(std::string_view kind, std::string_view name) {
    if (missing.empty()) missing = fmt::format("{} {}.{}", kind, kInformationSchema, name);
  }
};

class Stars : public sql::Walker {
 public:
  bool any = false;
  using sql::Walker::enter;
  bool enter(const sql::Query& query) override {
    any = any || query.kind == sql::QueryKind::kTable;
    if (const auto* select = sql::as<sql::Select>(&query)) {
      for (const auto& item : select->items) any = any || sql::as<sql::Star>(item.expr) != nullptr;
    }
    return true;
  }
};

// Those of SCHEMATA behind its first two, CATALOG_NAME and SCHEMA_NAME: each server has more of its own.
std::vector<std::string> schemata_columns(const SchemaNames& names) {
  const auto* table =
      names.schema == nullptr ? nullptr : schema::find_table(*names.schema, kInformationSchema, "SCHEMATA");
  if (table == nullptr || table->columns.size() < 2) {
    return {"DEFAULT_CHARACTER_SET_NAME", "DEFAULT_COLLATION_NAME", "SQL_PATH"};
  }
  std::vector<std::string> out;
  for (size_t i = 2; i < table->columns.size(); ++i) out.push_back(table->columns[i].name);
  return out;
}

// SCHEMATA with the servers' columns: each keyspace, described as the one at hand is, and information_schema.
std::string schemata_text(const SchemaNames& names, std::string_view database) {
  std::string columns;
  for (const auto& name : schemata_columns(names)) columns += ", s." + name + " as " + name;
  std::string list;
  for (const auto& [keyspace, unused] : *names.databases) {
    list += (list.empty() ? "select " : " union all select ") + in_quotes(keyspace) + (list.empty() ? " as name" : "");
  }
  std::string text = fmt::format(
      "select s.CATALOG_NAME as CATALOG_NAME, s.SCHEMA_NAME as SCHEMA_NAME{} from information_schema.schemata s where "
      "s.schema_name = 'information_schema'",
      columns);
  if (!list.empty()) {
    text += fmt::format(
        " union all select s.CATALOG_NAME, k.name{} from information_schema.schemata s join ({}) k where s.schema_name "
        "= {}",
        columns, list, in_quotes(database));
  }
  return text;
}

// Puts queries in the places of tables, by their names in lower case, for as long as it lives: then the statement is
// again what it was.
class TableReplacer {
 public:
  explicit TableReplacer(std::map<std::string, sql::Query*> replacements) : replacements_(std::move(replacements)) {}
  ~TableReplacer() {
    for (const auto& [place, source] : replaced_) *place = source;
  }
  TableReplacer(const TableReplacer&) = delete;
  TableReplacer& operator=(const TableReplacer&) = delete;

  // Wherever the statement has a query: in expressions, too.
  void in(sql::Statement& statement) {
    Selects selects;
    selects.walk(statement);
    for (sql::Select* select : selects.found) {  // What is put in is not looked at.
      for (auto& ref : select->from) replace(ref);
    }
  }

 private:
  void replace(sql::TableRef*& ref) {
    if (auto* join = sql::as<sql::Join>(ref)) {
      replace(join->left);
      replace(join->right);
      return;
    }
    if (auto* list = sql::as<sql::TableList>(ref)) {
      for (auto& item : list->items) replace(item);
      return;
    }
    auto* source = sql::as<sql::TableSource>(ref);
    if (source == nullptr) return;
    const auto replacement = replacements_.find(lower(source->name.name.text));
    if (replacement == replacements_.end()) return;
    auto& derived = made_.emplace_back(std::make_unique<sql::DerivedTable>());
    derived->kind = sql::DerivedTable::kKind;
    derived->query = replacement->second;
    derived->alias = source->alias.empty() ? source->name.name : source->alias;
    replaced_.emplace_back(&ref, ref);
    ref = derived.get();
  }
  class Selects : public sql::Walker {
   public:
    std::vector<sql::Select*> found;
    using sql::Walker::enter;
    bool enter(const sql::Query& query) override {
      // The walk is over a statement that is the caller's to change.
      if (auto* select = sql::as<sql::Select>(const_cast<sql::Query*>(&query))) found.push_back(select);
      return true;
    }
  };
  std::map<std::string, sql::Query*> replacements_;
  std::vector<std::unique_ptr<sql::DerivedTable>> made_;
  std::vector<std::pair<sql::TableRef**, sql::TableRef*>> replaced_;
};

void keep_names(sql::Query* query, std::string_view text);

void keep_names_in(sql::TableRef* ref, std::string_view text) {
  if (auto* join = sql::as<sql::Join>(ref)) {
    keep_names_in(join->left, text);
    keep_names_in(join->right, text);
  } else if (auto* list = sql::as<sql::TableList>(ref)) {
    for (auto& item : list->items) keep_names_in(item, text);
  } else if (auto* derived = sql::as<sql::DerivedTable>(ref)) {
    keep_names(derived->query, text);
  }
}

// What is printed in the place of a column has no name: each gets the one that it had. The names of a union are those
// of its first query, those of a derived table are used around it.
void keep_names(sql::Query* query, std::string_view text) {
  if (auto* set = sql::as<sql::SetOperation>(query)) {
    keep_names(set->left, text);
    keep_names(set->right, text);
  }
  if (auto* inner = sql::as<sql::ParenthesizedQuery>(query)) keep_names(inner->inner, text);
  auto* select = sql::as<sql::Select>(query);
  if (select == nullptr) return;
  for (auto& ref : select->from) keep_names_in(ref, text);
  for (auto& item : select->items) {
    if (!item.alias.empty() || sql::as<sql::Star>(item.expr) != nullptr) continue;
    const auto* column = sql::as<sql::Column>(item.expr);
    if (column != nullptr && schema_column(column) == nullptr) continue;
    item.alias.text = column != nullptr ? column->name.text : item.expr_span.of(text);
  }
}

// Its rows are a server's files, of no keyspace in particular: mysqldump looks for tablespaces of several in one query.
bool lists_files(const sql::Query& query) {
  const auto* select = sql::as<sql::Select>(&query);
  const auto* source =
      select == nullptr || select->from.size() != 1 ? nullptr : sql::as<sql::TableSource>(select->from[0]);
  return source != nullptr && base::equals_ignoring_case(source->name.name.text, "files");
}

}  // namespace

bool is_information_schema(std::string_view name) { return lower(name) == kInformationSchema; }

Status check_routines(const sql::Statement& statement) {
  Routines routines;
  routines.walk(statement);
  const auto* call = sql::statement_as<sql::Call>(&statement);
  if (call != nullptr && call->procedure.qualifier.empty()) routines.note("PROCEDURE", call->procedure.name.text);
  if (routines.missing.empty()) return {};
  return fail(Code::kNotFound, routines.missing + " does not exist").with_mysql(1305, "42000");
}

bool is_schema_column(std::string_view name) {
  static constexpr std::array<std::string_view, 12> kNames = {
      "constraint_schema",        "event_object_schema", "event_schema",    "index_schema", "referenced_table_schema",
      "routine_schema",           "schema_name",         "specific_schema", "table_schema", "trigger_schema",
      "unique_constraint_schema", "udt_schema"};
  return std::ranges::find(kNames, lower(name)) != kNames.end();
}

std::string SchemaNames::database_of(std::string_view of) const {
  if (databases == nullptr) return "";
  const auto found = databases->find(of);
  return found == databases->end() ? "" : found->second;
}

Result<std::optional<Plan>> plan_information_schema(sql::Ast& ast, const SchemaNames& names,
                                                    std::span<const mysql::Value> values) {
  auto* statement = sql::statement_as<sql::QueryStatement>(&ast.statement());
  if (statement == nullptr) return std::optional<Plan>();
  const bool at_home = is_information_schema(names.keyspace);
  const auto tables = sql::collect_tables(*statement);
  const bool all = std::ranges::all_of(tables, [&](const sql::TableUse& use) {
    return is_information_schema(use.qualifier) || (use.qualifier.empty() && at_home);
  });
  if (tables.empty() || !all) return std::optional<Plan>();

  Plan plan;
  plan.is_read = true;
  plan.route.kind = Route::Kind::kAnyShard;
  Wanted wanted(names, values);
  wanted.walk(ast.statement());
  plan.route.keyspace = at_home ? "" : names.keyspace;
  if (wanted.keyspaces.size() > 1 && !lists_files(*statement->query)) {
    return unsupported("a query on information_schema for several keyspaces (" +
                       base::join(std::vector<std::string>(wanted.keyspaces.begin(), wanted.keyspaces.end()), ", ") +
                       "), each of which is on servers of its own; ask for one at a time");
  }
  if (!wanted.keyspaces.empty()) plan.route.keyspace = *wanted.keyspaces.begin();
  if (plan.route.keyspace.empty() && names.databases != nullptr && !names.databases->empty()) {
    plan.route.keyspace = names.databases->begin()->first;
  }
  const std::string& keyspace = plan.route.keyspace;
  const std::string database = names.database_of(keyspace);
  if (database.empty()) return std::optional<Plan>();

  keep_names(statement->query, ast.text());
  Result<sql::Ast> schemata = sql::parse(schemata_text(names, database));
  CHECK(schemata.ok());
  std::map<std::string, sql::Query*> replacements;
  replacements["schemata"] = sql::statement_as<sql::QueryStatement>(&schemata->statement())->query;
  std::optional<sql::Ast> processes;
  const bool lists_processes = std::ranges::any_of(
      tables, [](const sql::TableUse& use) { return base::equals_ignoring_case(use.name, "processlist"); });
  if (lists_processes && !names.processlist.empty()) {
    ASSIGN_OR_RETURN(processes, sql::parse(names.processlist));
    replacements["processlist"] = sql::statement_as<sql::QueryStatement>(&processes->statement())->query;
    plan.cacheable = false;
  }
  std::vector<sql::Ast> numbers;
  for (const auto& [name, text] : {std::pair{"tables", &names.tables}, {"statistics", &names.statistics}}) {
    if (text->empty() || names.numbers_of != keyspace) continue;
    ASSIGN_OR_RETURN(auto parsed, sql::parse(*text));
    replacements[name] = sql::statement_as<sql::QueryStatement>(&parsed.statement())->query;
    numbers.push_back(std::move(parsed));
    plan.cacheable = false;
  }
  TableReplacer replacer(std::move(replacements));
  replacer.in(ast.statement());
  sql::PrintOptions options;
  options.table = [&](const sql::TableName& table, sql::TableRewrite& rewrite) {
    if (at_home && table.qualifier.empty() && !table.name.empty()) rewrite.qualifier = kInformationSchema;
  };
  options.expr = [&](const sql::Expr& expr, std::string& out) {
    if (const auto compared = comparison(expr)) {
      if (const auto* literal = sql::as<sql::Literal>(compared->other)) {
        // Servers look up one database faster than they compare the names of all.
        const std::string name = sql::string_value(*literal).value_or("");
        out += fmt::format("{} = {}", sql::print(*compared->column), in_quotes(name == keyspace ? database : name));
        return true;
      }
      if (is_database_function(compared->other) && keyspace == names.keyspace) {
        out += fmt::format("{} = {}", sql::print(*compared->column), in_quotes(database));
        return true;
      }
    }
    if (is_database_function(&expr) && at_home) {
      out += in_quotes(kInformationSchema);
      return true;
    }
    const auto* column = schema_column(&expr);
    if (column == nullptr || database == keyspace) return false;
    const std::string text = sql::print(*column);
    out += fmt::format("if({} = {}, {}, {})", text, in_quotes(database), in_quotes(keyspace), text);
    return true;
  };
  plan.text = sql::print(ast.statement(), options);
  // A star's columns are not in the text.
  Stars stars;
  stars.walk(ast.statement());
  if (stars.any && database != keyspace) plan.names = {database, keyspace};
  return std::optional(std::move(plan));
}

bool names_processlist(const sql::Statement& statement, std::string_view session_keyspace) {
  return std::ranges::any_of(sql::collect_tables(statement), [&](const sql::TableUse& use) {
    return base::equals_ignoring_case(use.name, "processlist") &&
           is_information_schema(use.qualifier.empty() ? session_keyspace : use.qualifier);
  });
}

std::optional<Plan> plan_show_create_database(const sql::Show& show, const SchemaNames& names) {
  if (show.show != sql::ShowKind::kCreateDatabase) return std::nullopt;
  const std::string keyspace(show.table.name.text);
  const std::string database = names.database_of(keyspace);
  if (database.empty()) return std::nullopt;
  Plan plan;
  plan.is_read = true;
  plan.route.kind = Route::Kind::kAnyShard;
  plan.route.keyspace = keyspace;
  plan.text = fmt::format("show {} {}", show.subject, sql::quote_identifier(database));
  plan.names = {database, keyspace};
  return plan;
}

void name_show(const sql::Show& show, const SchemaNames& names, Plan& plan) {
  const std::string& keyspace = plan.route.keyspace;
  const std::string database = names.database_of(keyspace);
  if (database.empty() || database == keyspace) return;
  plan.names = {database, keyspace};
  if (show.where == nullptr) return;
  sql::PrintOptions options;
  options.expr = [&](const sql::Expr& expr, std::string& out) {
    if (const auto* column = sql::as<sql::Column>(&expr); column != nullptr && column->table.empty()) {
      if (lower(column->name.text) != lower("Tables_in_" + keyspace)) return false;
      out += sql::quote_identifier("Tables_in_" + database);
      return true;
    }
    const auto* binary = sql::as<sql::Binary>(&expr);
    if (binary == nullptr || binary->op != sql::BinaryOp::kEqual) return false;
    const auto* column = sql::as<sql::Column>(binary->left);
    const auto* literal = sql::as<sql::Literal>(binary->right);
    if (column == nullptr || literal == nullptr || lower(column->name.text) != "db") return false;
    if (sql::string_value(*literal).value_or("") != keyspace) return false;
    out += fmt::format("{} = {}", sql::print(*column), in_quotes(database));
    return true;
  };
  plan.text = sql::print(show, options);
}

std::string with_keyspaces(std::string text, const std::map<std::string, std::string, std::less<>>& databases) {
  for (const auto& [keyspace, database] : databases) {
    if (database == keyspace || database.empty()) continue;
    for (const char quote : {'\'', '`'}) {
      // 'database.table', 'database', `database`.`table`
      for (size_t at = text.find(quote + database); at != std::string::npos; at = text.find(quote + database, at + 1)) {
        const size_t end = at + 1 + database.size();
        if (end < text.size() && (text[end] == '.' || text[end] == quote))
          text.replace(at + 1, database.size(), keyspace);
      }
    }
    // FUNCTION database.f does not exist; At line 2 in database.p
    for (const std::string_view kind : {"FUNCTION ", "PROCEDURE ", "TRIGGER ", " in "}) {
      const std::string place = std::string(kind) + database + ".";
      if (const size_t at = text.find(place); at != std::string::npos) {
        text.replace(at + kind.size(), database.size(), keyspace);
      }
    }
  }
  return text;
}

}  // namespace vitrail::plan
