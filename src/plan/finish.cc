#include "plan/finish.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "base/hex.h"
#include "mysql/data_port.h"
#include "plan/join.h"
#include "plan/references.h"
#include "plan/routing.h"
#include "sql/names.h"
#include "sql/printer.h"
#include "sql/walk.h"
#include "vschema/vschema.h"

namespace vitrail::plan {

using sql::as;

namespace {

constexpr std::string_view kOnlyColumn = "_vt_row";
constexpr size_t kMaxIndexes = 16;        // Of a temporary table.
constexpr size_t kWidestInMemory = 1024;  // Bytes of a row, which are taken whatever is in it.

// Texts of the statement's pieces, for the tables' own servers.
sql::PrintOptions piece_options(const sql::Statement& statement, const PlanContext& context) {
  sql::PrintOptions options;
  options.table = [](const sql::TableName& name, sql::TableRewrite& rewrite) {
    if (name.name.empty()) rewrite.qualifier.clear();  // The schema of a column.
  };
  if (context.has_parameters) options.expr = parameter_printer(statement, context.parameters);
  return options;
}

Status check_invisible(const TableReference& reference, const schema::Column& column) {
  if (!column.invisible || !reference.all_columns) return {};
  return unsupported("* beside the invisible column " + column.name +
                     " in a statement that one shard cannot answer alone");
}

Result<std::vector<schema::Column>> needed_columns(const References& references, const TableReference& reference,
                                                   const schema::Table& table) {
  std::vector<schema::Column> out;
  for (const auto& column : table.columns) {
    const bool named = references.names.contains(lower(column.name)) ||
                       references.qualified.contains({reference.alias, lower(column.name)});
    if (column.invisible ? !named : !references.needs(reference, column.name)) continue;
    RETURN_IF_ERROR(check_invisible(reference, column));
    out.push_back(column);
  }
  return out;
}

// How many bytes a value takes in a table of the engine MEMORY, where each has room for the longest; nullopt: of a type
// that cannot be there.
std::optional<size_t> memory_width(const schema::Column& column) {
  static const std::map<std::string_view, size_t> kFixed = {
      {"tinyint", 1},  {"smallint", 2},  {"mediumint", 3}, {"int", 4},  {"bigint", 8},
      {"decimal", 30}, {"float", 4},     {"double", 8},    {"date", 3}, {"time", 6},
      {"datetime", 8}, {"timestamp", 7}, {"year", 1},      {"enum", 2}, {"set", 8},
      {"bit", 8},      {"inet4", 4},     {"inet6", 16},    {"uuid", 16}};
  const auto fixed = kFixed.find(column.data_type);
  if (fixed != kFixed.end()) return fixed->second;
  const std::string_view type = column.data_type;
  if (type != "varchar" && type != "char" && type != "varbinary" && type != "binary") return std::nullopt;
  const size_t open = column.type.find('(');
  size_t length = 1;
  if (open != std::string::npos) {
    std::from_chars(column.type.data() + open + 1, column.type.data() + column.type.size(), length);
  }
  const bool single = column.charset.empty() || column.charset == "latin1" || column.charset == "ascii";
  return length * (single ? 1 : 4) + 2;
}

bool fits_in_memory(const std::vector<schema::Column>& columns) {
  size_t width = 0;
  for (const auto& column : columns) {
    const auto one = memory_width(column);
    if (!one) return false;
    width += *one;
  }
  return width <= kWidestInMemory;
}

// Whether its answer shows in which order rows are read. Rows of the engine MEMORY are sorted by their addresses when
// they are equal otherwise: by others on each server.
class RowOrder : public sql::Walker {
 public:
  using sql::Walker::enter;
  bool enter(const sql::Expr& expr) override {
    const auto* call = as<sql::FunctionCall>(&expr);
    if (call == nullptr) return true;
    const std::string name = lower(call->name.text);
    shown = shown || name == "group_concat" || name == "json_arrayagg" || name == "json_objectagg";
    return true;
  }
  bool shown = false;
};

std::string create_text(const References& references, const KnownColumns& known, const TableReference& reference,
                        const FinishInput& input) {
  std::string out = "create temporary table " + input.scratch + " (";
  if (input.columns.empty()) return out + std::string(kOnlyColumn) + " tinyint not null)";
  size_t indexes = 0;
  std::string keys;
  for (const auto& column : input.columns) {
    const std::string name = sql::quote_identifier(column.name);
    if (&column != &input.columns.front()) out += ", ";
    out += name + " " + schema::definition(column);
    if (!references.joins(reference, column.name) || !schema::indexable(column)) continue;
    // MariaDB rounds a constant with a fraction before it looks it up in an index that is not unique: 2.5 finds 3.
    // And what it makes of a column's number that the index's type cannot have is another one, or none.
    const bool whole = schema::is_whole(column);
    if (whole && (references.fractions || !references.joins_whole_numbers(reference, column.name, known))) continue;
    if (++indexes > kMaxIndexes) continue;
    keys += ", key using btree (" + name + ")";  // Hashes answer no ranges, and many equal values badly.
  }
  return out + keys + ")";
}

// Where a shard alone has them, they come so anyhow.
void order_rows(const TableReference& reference, const vschema::Table& table, const schema::Table& known,
                FinishInput& input) {
  if (!table.sharded || table.type == vschema::TableType::kReference || input.columns.empty()) return;
  const schema::Column* key = schema::find_whole_key(known);
  if (key == nullptr) return;
  const auto found = std::ranges::find(input.columns, key->name, &schema::Column::name);
  input.order_place = static_cast<size_t>(found - input.columns.begin());
  input.order = sql::quote_identifier(reference.shown) + "." + sql::quote_identifier(key->name);
}

// The columns that are asked for.
std::string input_columns(const TableReference& reference, const FinishInput& input) {
  std::string out = "select ";
  if (input.columns.empty()) out += "1";
  for (const auto& column : input.columns) {
    if (&column != &input.columns.front()) out += ", ";
    out += schema::select_text(schema::form_of(column),
                               sql::quote_identifier(reference.shown) + "." + sql::quote_identifier(column.name));
  }
  if (input.order_place == input.columns.size()) out += ", " + input.order;
  return out;
}

// And of which rows.
std::string input_source(const TableReference& reference, const sql::PrintOptions& options) {
  std::string out = " from ";
  out += reference.source == nullptr ? sql::print(*reference.name) + " as " + sql::quote_identifier(reference.shown)
                                     : sql::print(*reference.source);
  const char* word = " where ";
  for (const TableCondition& condition : reference.conditions) {
    out += std::exchange(word, " and ") + ("(" + print(condition, options)) + ")";
  }
  return out;
}

}  // namespace

Result<std::shared_ptr<const Plan>> plan_input(std::string text, const PlanContext& context) {
  ASSIGN_OR_RETURN(auto ast, sql::parse(text));
  PlanContext own = context;
  own.parameters = {};
  own.has_parameters = true;
  own.literal_positions = 0;  // The statement's literals are not those of this text.
  own.key_forms.clear();
  own.may_finish = false;
  ASSIGN_OR_RETURN(auto planned, plan_statement(ast, own));
  if (!planned->merge.empty() || planned->kind != Plan::Kind::kRoute) {
    return fail(Code::kInternal, "VT13001: [BUG] rows of one table need more than to be read: " + text);
  }
  Plan plan = *planned;
  if (!plan.text) plan.text = std::move(text);
  return std::make_shared<const Plan>(std::move(plan));
}

namespace {

std::vector<FinishInput::Link> input_links(const TableReference& reference, const std::vector<FinishInput>& inputs) {
  std::vector<FinishInput::Link> out;
  for (const auto& link : reference.links) {
    const auto& columns = inputs[link.table].columns;
    const auto found = std::ranges::find(columns, link.equals->name, &schema::Column::name);
    if (found == columns.end()) continue;
    out.push_back({.column = sql::quote_identifier(reference.shown) + "." + sql::quote_identifier(link.column->name),
                   .input = link.table,
                   .place = static_cast<size_t>(found - columns.begin()),
                   .charset = schema::is_whole(*found) ? "" : found->charset});
  }
  return out;
}

// The query as it is on the temporary tables.
std::string finish_text(sql::Ast& ast, const References& references, const std::vector<FinishInput>& inputs,
                        const PlanContext& context) {
  std::map<uint32_t, std::string> scratch;  // By the place of the name.
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TableReference& reference = references.tables[i];
    scratch[reference.name->name.span.offset] = inputs[i].scratch;
    if (reference.source == nullptr) continue;
    reference.source->partitions = {};
    reference.source->hints = {};
  }
  sql::PrintOptions options;
  options.table = [&](const sql::TableName& name, sql::TableRewrite& rewrite) {
    if (name.name.empty()) rewrite.qualifier.clear();
    const auto found = name.name.empty() ? scratch.end() : scratch.find(name.name.span.offset);
    if (found == scratch.end()) return;
    rewrite.qualifier.clear();
    rewrite.name = found->second;
  };
  if (context.has_parameters) options.expr = parameter_printer(ast.statement(), context.parameters);
  return sql::print(ast.statement(), options);
}

}  // namespace

Result<std::shared_ptr<const Plan>> plan_linked_input(const FinishInput& input, const FinishInput::Link& link,
                                                      std::span<const std::string> values, const PlanContext& context) {
  std::string text = input.text + (input.filtered ? " and " : " where ");
  if (values.empty()) return plan_input(text + "0 = 1", context);
  text += link.column + " in (";
  for (const auto& value : values) {
    if (&value != &values.front()) text += ",";
    if (link.charset.empty()) {
      text += value;
    } else {
      text += "_" + link.charset + " x'" + base::hex_encode(value) + "'";
    }
  }
  return plan_input(text + ")", context);
}

std::string insert_text(const FinishInput& input, size_t rows) {
  std::string row = "(?";
  for (size_t i = 1; i < input.columns.size(); ++i) row += ",?";
  row += ")";
  std::string out = "insert into " + input.scratch + " values ";
  for (size_t i = 0; i < rows; ++i) {
    if (i > 0) out += ",";
    out += row;
  }
  return out;
}

Result<std::shared_ptr<const Plan>> plan_finish(sql::Ast& ast, const PlanContext& context, const FinishLocks* locks) {
  (void)remove_vindex_hints(ast);
  ASSIGN_OR_RETURN(References references, find_references(ast.statement()));
  if (locks != nullptr && !references.assigned.empty()) {
    return unsupported(
        "an assignment to a user variable inside of a change of rows that one shard does not have alone");
  }
  auto* query = sql::statement_as<sql::QueryStatement>(&ast.statement());
  const bool is_read = query == nullptr || query->query->locks.empty();
  if (query != nullptr) query->query->locks = {};  // The copies are nobody else's.
  std::vector<std::shared_ptr<const vschema::Table>> tables;
  KnownColumns columns;
  for (const auto& reference : references.tables) {
    const std::string_view qualifier = reference.name->qualifier.text;
    const std::string keyspace = qualifier.empty() ? context.keyspace : std::string(qualifier);
    if (is_system_schema(keyspace)) return unsupported("system tables beside tables of several shards or keyspaces");
    ASSIGN_OR_RETURN(auto routed,
                     context.vschema->find_table(keyspace, reference.name->name.text, type_of(context.tablet_type)));
    const auto* known = context.schema == nullptr
                            ? nullptr
                            : schema::find_table(*context.schema, routed.table->keyspace, routed.table->name);
    if (known == nullptr) {
      return without_columns(
          unsupported(fmt::format("a statement that one shard cannot answer alone, while the columns of {}.{} are "
                                  "not known (no primary tablet has told them, or --schema-change-signal is off)",
                                  routed.table->keyspace, routed.table->name)),
          *routed.table);
    }
    tables.push_back(std::move(routed.table));
    columns.push_back(known);
  }
  find_conditions(ast.statement(), columns, context.has_parameters, references);
  for (const auto& value : context.parameters) {
    references.fractions = references.fractions || (!value.is_null() && looks_fractional(value.bytes));
  }

  for (const auto& reference : references.tables) {  // The tables on their servers may have other names.
    if (reference.source != nullptr && reference.source->alias.empty()) {
      reference.source->alias.text = ast.arena().copy_text(reference.shown);
    }
  }
  RowOrder order;
  order.walk(ast.statement());
  auto finish = std::make_shared<Finish>();
  const sql::PrintOptions options = piece_options(ast.statement(), context);
  for (size_t i = 0; i < references.tables.size(); ++i) {
    const TableReference& reference = references.tables[i];
    FinishInput input{.keyspace = tables[i]->keyspace,
                      .table = tables[i]->name,
                      .shown = reference.shown,
                      .scratch = fmt::format("{}{}", mysql::kScratchTables, i + 1)};
    ASSIGN_OR_RETURN(input.columns, needed_columns(references, reference, *columns[i]));
    input.create = create_text(references, columns, reference, input);
    input.in_memory = !order.shown && fits_in_memory(input.columns);
    order_rows(reference, *tables[i], *columns[i], input);
    input.source = input_source(reference, options);
    input.text = input_columns(reference, input) + input.source;
    input.filtered = !reference.conditions.empty();
    ASSIGN_OR_RETURN(input.rows, plan_input(input.text, context));
    input.lock = reference.lock;
    if (locks != nullptr) input.lock = locks->changed.contains(reference.alias) ? " for update" : " lock in share mode";
    finish->inputs.push_back(std::move(input));
  }
  for (size_t i = 0; i < references.tables.size(); ++i) {
    finish->inputs[i].links = input_links(references.tables[i], finish->inputs);
  }
  sql::keep_column_names(ast);
  if (is_read && locks == nullptr) {
    finish->join = plan_row_join(ast.statement(), references, columns, finish->inputs, context);
  }
  finish->assigned = std::move(references.assigned);
  finish->text = finish_text(ast, references, finish->inputs, context);

  auto plan = std::make_shared<Plan>();
  plan->kind = Plan::Kind::kFinish;
  plan->is_read = is_read;
  if (!tables.empty()) plan->route.keyspace = tables.front()->keyspace;
  note_questions(ast.statement(), *plan);
  if (plan->asks_found_rows || plan->asks_insert_id) finish->join = nullptr;
  plan->finish = std::move(finish);
  return plan;
}

}  // namespace vitrail::plan
