#include "plan/routing.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <set>

#include "mysql/convert.h"
#include "sql/names.h"
#include "sql/printer.h"
#include "sql/tables.h"
#include "sql/walk.h"

namespace vitrail::plan {

using sql::as;

Error unsupported(std::string what) { return fail(Code::kUnimplemented, "VT12001: unsupported: " + std::move(what)); }

Error without_columns(Error error, const vschema::Table& table) {
  return std::move(error)
      .with_retry(Retry::kAfterTopologyRefresh)
      .with_origin({.keyspace = table.keyspace, .shard = {}, .tablet = {}, .rule = table.name});
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

::topodata::TabletType type_of(const std::string& name) {
  if (name == "replica") return ::topodata::REPLICA;
  if (name == "rdonly") return ::topodata::RDONLY;
  return ::topodata::PRIMARY;
}

bool is_system_schema(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kNames = {"information_schema", "mysql", "performance_schema",
                                                             "sys"};
  return std::find(kNames.begin(), kNames.end(), lower(name)) != kNames.end();
}

namespace {

class SessionQuestions : public sql::Walker {
 public:
  bool found_rows = false;
  bool insert_id = false;

 protected:
  bool enter(const sql::Query& query) override {
    const auto* select = as<sql::Select>(&query);
    found_rows = found_rows || (select != nullptr && select->calc_found_rows);
    return true;
  }
  bool enter(const sql::Expr& expr) override {
    const auto* call = as<sql::FunctionCall>(&expr);
    insert_id = insert_id || (call != nullptr && !call->args.empty() && lower(call->name.text) == "last_insert_id");
    return true;
  }
};

// Functions, procedures and columns that are named with a keyspace, which servers call otherwise.
class NamedRoutines : public sql::Walker {
 public:
  explicit NamedRoutines(const vschema::VSchema& vschema) : vschema_(vschema) {}
  std::set<std::string> keyspaces;
  bool columns = false;

 protected:
  bool enter(const sql::Statement& statement) override {
    if (statement.kind == sql::StatementKind::kCall) note(static_cast<const sql::Call&>(statement).procedure.qualifier);
    return true;
  }
  bool enter(const sql::Expr& expr) override {
    if (const auto* call = as<sql::FunctionCall>(&expr)) note(call->schema);
    if (const auto* column = as<sql::Column>(&expr)) columns = columns || is_keyspace(column->schema);
    if (const auto* star = as<sql::Star>(&expr)) columns = columns || is_keyspace(star->schema);
    return true;
  }

 private:
  bool is_keyspace(const sql::Identifier& qualifier) const {
    return !qualifier.empty() && vschema_.find_keyspace(qualifier.text) != nullptr;
  }
  void note(const sql::Identifier& qualifier) {
    if (is_keyspace(qualifier)) keyspaces.insert(std::string(qualifier.text));
  }
  const vschema::VSchema& vschema_;
};

// Prints such functions as a session in their keyspace calls them, and all else by `options`.
std::function<bool(const sql::Expr&, std::string&)> routine_printer(sql::PrintOptions options,
                                                                    const vschema::VSchema& vschema) {
  return [options = std::move(options), &vschema](const sql::Expr& expr, std::string& out) {
    const auto* call = as<sql::FunctionCall>(&expr);
    if (call == nullptr || call->schema.empty() || vschema.find_keyspace(call->schema.text) == nullptr) {
      return options.expr && options.expr(expr, out);
    }
    sql::FunctionCall plain = *call;
    plain.schema = {};
    sql::PrintOptions inner = options;
    inner.expr = routine_printer(options, vschema);
    out += sql::print(plain, inner);
    return true;
  };
}

}  // namespace

void note_questions(const sql::Statement& statement, Plan& plan) {
  SessionQuestions questions;
  questions.walk(statement);
  plan.asks_found_rows = questions.found_rows;
  plan.asks_insert_id = questions.insert_id;
}

std::string name_key(std::string_view qualifier, std::string_view name) {
  return std::string(qualifier).append(".").append(name);
}

Result<StatementTables> route_tables(const sql::Statement& statement, const PlanContext& context) {
  StatementTables out;
  for (const auto& use : sql::collect_tables(statement)) {
    if (is_system_schema(use.qualifier) || (use.qualifier.empty() && is_system_schema(context.keyspace))) {
      out.system_schema = true;
      continue;
    }
    const std::string keyspace = use.qualifier.empty() ? context.keyspace : std::string(use.qualifier);
    ASSIGN_OR_RETURN(const auto routed, context.vschema->find_table(keyspace, use.name, type_of(context.tablet_type)));
    const auto& table = routed.table;
    if (!use.qualifier.empty() || table->name != use.name) {
      out.rewrite = true;
      out.renames.emplace_back(name_key(use.qualifier, use.name), table->name);
    }
    if (table->type == vschema::TableType::kReference && table->sharded && !out.keyspace.empty() &&
        out.keyspace == table->keyspace) {
      out.tables.push_back(table);
      continue;
    }
    if (!out.keyspace.empty() && out.keyspace != table->keyspace) {
      return unsupported("tables of several keyspaces in one statement (" + out.keyspace + ", " + table->keyspace +
                         ")");
    }
    out.keyspace = table->keyspace;
    out.sharded = out.sharded || table->sharded;
    out.tables.push_back(table);
  }
  NamedRoutines routines(*context.vschema);
  routines.walk(statement);
  out.rewrite = out.rewrite || routines.columns;
  for (const std::string& keyspace : routines.keyspaces) {
    if (routines.keyspaces.size() > 1 || (!out.keyspace.empty() && out.keyspace != keyspace)) {
      return unsupported("a function or procedure of another keyspace (" + keyspace + ")");
    }
    out.routine_keyspace = keyspace;
    out.rewrite = true;
  }
  return out;
}

sql::PrintOptions server_options(const sql::Statement& statement, const StatementTables& tables,
                                 const PlanContext& context, bool with_values) {
  sql::PrintOptions options;
  options.table = [&](const sql::TableName& table, sql::TableRewrite& rewrite) {
    if (is_system_schema(table.qualifier.text)) return;
    rewrite.qualifier.clear();
    const std::string key = name_key(table.qualifier.text, table.name.text);
    for (const auto& [written, name] : tables.renames) {
      if (written == key) rewrite.name = name;
    }
  };
  if (with_values) options.expr = parameter_printer(statement, context.parameters);
  if (!tables.routine_keyspace.empty()) options.expr = routine_printer(options, *context.vschema);
  return options;
}

std::string server_text(const sql::Statement& statement, const StatementTables& tables, const PlanContext& context,
                        bool with_values) {
  return sql::print(statement, server_options(statement, tables, context, with_values));
}

namespace {

// Parameters that stand in LIMIT: servers take only numbers there, or what a prepared statement's parameter is made.
class LimitParameters : public sql::Walker {
 public:
  static std::set<uint32_t> of(const sql::Statement& statement) {
    LimitParameters walker;
    walker.walk(statement);
    if (const auto* update = sql::statement_as<sql::Update>(&statement)) walker.add(update->limit);
    if (const auto* remove = sql::statement_as<sql::Delete>(&statement)) walker.add(remove->limit);
    return std::move(walker.found_);
  }

 protected:
  bool enter(const sql::Query& query) override {
    add(query.limit);
    return true;
  }

 private:
  void add(const sql::Limit* limit) {
    if (limit == nullptr) return;
    for (const sql::Expr* expr : {limit->offset, limit->count, limit->rows_examined}) {
      if (const auto* parameter = as<sql::Parameter>(expr)) found_.insert(parameter->index);
    }
  }

  std::set<uint32_t> found_;
};

}  // namespace

namespace {

// "2020-02-29 ...": a day that there was.
bool is_day(std::string_view text) {
  constexpr size_t kSize = 10;
  if (text.size() < kSize) return false;
  unsigned parts[3] = {};
  constexpr size_t kBegin[3] = {0, 5, 8};
  for (size_t i = 0; i < 3; ++i)
    std::from_chars(text.data() + kBegin[i], text.data() + kBegin[i] + (i == 0 ? 4 : 2), parts[i]);
  const std::chrono::year_month_day day(std::chrono::year(static_cast<int>(parts[0])), std::chrono::month(parts[1]),
                                        std::chrono::day(parts[2]));
  return parts[0] > 0 && day.ok();
}

}  // namespace

void append_parameter(std::string& out, const mysql::Value& value) {
  using enum mysql::FieldType;
  if (value.type == kTime) {
    out += "time";
  } else if ((value.type == kDatetime || value.type == kTimestamp || value.type == kDate) && is_day(value.bytes)) {
    out += value.type == kDate ? "date" : "timestamp";
  }
  mysql::append_sql_literal(out, value);
}

namespace {

// In LIMIT servers take digits alone.
void append_placed(std::string& out, const mysql::Value& value, bool limit) {
  const bool digits = !value.bytes.empty() && value.bytes.find_first_not_of("0123456789") == std::string::npos;
  if (digits && limit) {
    out += value.bytes;
  } else {
    append_parameter(out, value);
  }
}

}  // namespace

std::string ParameterText::with(std::span<const mysql::Value> parameters) const {
  std::string out = pieces.front();
  for (size_t i = 0; i < places.size(); ++i) {
    std::string literal;
    append_placed(literal, parameters[places[i].parameter], places[i].limit);
    const bool one_token = literal.front() == '\'' || literal == "NULL" || (literal[0] >= '0' && literal[0] <= '9');
    out += one_token ? literal : "(" + literal + ")";
    out += pieces[i + 1];
  }
  return out;
}

std::shared_ptr<const ParameterText> parameter_text(sql::Ast& ast) {
  sql::keep_column_names(ast);
  const auto limits = LimitParameters::of(ast.statement());
  auto text = std::make_shared<ParameterText>();
  // Where a parameter is printed it leaves a token that is nobody's name; one in a string makes too many of them.
  constexpr std::string_view kMark = "`\x01`";
  sql::PrintOptions options;
  options.expr = [&](const sql::Expr& expr, std::string& out) {
    const auto* parameter = as<sql::Parameter>(&expr);
    if (parameter == nullptr) return false;
    text->places.push_back({parameter->index, limits.contains(parameter->index)});
    out += kMark;
    return true;
  };
  const std::string printed = sql::print(ast.statement(), options);
  size_t begin = 0;
  for (size_t at = printed.find(kMark); at != std::string::npos; at = printed.find(kMark, begin)) {
    text->pieces.push_back(printed.substr(begin, at - begin));
    begin = at + kMark.size();
  }
  text->pieces.push_back(printed.substr(begin));
  if (text->places.empty() || text->pieces.size() != text->places.size() + 1) return nullptr;
  return text;
}

std::function<bool(const sql::Expr&, std::string&)> parameter_printer(const sql::Statement& statement,
                                                                      std::span<const mysql::Value> parameters) {
  return [parameters, limits = parameters.empty() ? std::set<uint32_t>() : LimitParameters::of(statement)](
             const sql::Expr& expr, std::string& out) {
    const auto* parameter = as<sql::Parameter>(&expr);
    if (parameter == nullptr || parameter->index >= parameters.size()) return false;
    append_placed(out, parameters[parameter->index], limits.contains(parameter->index));
    return true;
  };
}

}  // namespace vitrail::plan
