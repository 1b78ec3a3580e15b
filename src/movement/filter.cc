#include "movement/filter.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/text.h"
#include "mysql/convert.h"
#include "mysqld/rows.h"
#include "sql/literal.h"
#include "sql/parser.h"
#include "sql/printer.h"

namespace vitrail::movement {
namespace {

using sql::as;

Error unsupported(std::string_view filter, std::string_view what) {
  return fail(Code::kUnimplemented, fmt::format("filter \"{}\": {} is not supported", filter, what));
}

Result<std::string> string_argument(std::string_view filter, const sql::Expr* expr) {
  const auto* literal = as<sql::Literal>(expr);
  auto value = literal == nullptr ? std::nullopt : sql::string_value(*literal);
  if (!value) return fail(Code::kInvalidArgument, fmt::format("filter \"{}\": in_keyrange takes strings", filter));
  return std::move(*value);
}

Result<KeyRangeTerm> parse_in_keyrange(std::string_view filter, const sql::FunctionCall& call) {
  KeyRangeTerm term;
  const size_t count = call.args.size();
  if (count != 1 && count < 3) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("filter \"{}\": in_keyrange takes a key range, or columns, a vindex and a key range", filter));
  }
  ASSIGN_OR_RETURN(const std::string range, string_argument(filter, call.args[count - 1]));
  ASSIGN_OR_RETURN(term.range, shard::KeyRange::parse(range));
  if (count == 1) return term;
  ASSIGN_OR_RETURN(term.vindex, string_argument(filter, call.args[count - 2]));
  for (size_t i = 0; i + 2 < count; ++i) {
    const auto* column = as<sql::Column>(call.args[i]);
    if (column == nullptr) {
      return fail(Code::kInvalidArgument, fmt::format("filter \"{}\": in_keyrange takes columns", filter));
    }
    term.columns.emplace_back(column->name.text);
  }
  return term;
}

std::optional<int64_t> number_of(const sql::Expr* expr) {
  if (const auto* minus = as<sql::Unary>(expr); minus != nullptr && minus->op == sql::UnaryOp::kMinus) {
    const auto value = number_of(minus->operand);
    return value ? std::optional<int64_t>(-*value) : std::nullopt;
  }
  const auto* literal = as<sql::Literal>(expr);
  if (literal == nullptr || literal->literal != sql::LiteralKind::kInteger) return std::nullopt;
  const auto value = sql::integer_value(literal->text);
  if (!value || *value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(*value);
}

// A number or a text; the values of a list are all of one kind.
bool add_value(const sql::Expr* expr, ComparisonTerm& term) {
  if (const auto number = number_of(expr)) {
    term.numbers.push_back(*number);
    return term.texts.empty();
  }
  const auto* literal = as<sql::Literal>(expr);
  auto text = literal == nullptr ? std::nullopt : sql::string_value(*literal);
  if (!text) return false;
  term.texts.push_back(std::move(*text));
  return term.numbers.empty();
}

Status add_term(std::string_view filter, const sql::Expr* expr, RowQuery& query) {
  if (const auto* all = as<sql::Logical>(expr)) {
    if (all->op != sql::LogicalOp::kAnd) return unsupported(filter, "OR");
    for (const sql::Expr* operand : all->operands) RETURN_IF_ERROR(add_term(filter, operand, query));
    return {};
  }
  if (const auto* call = as<sql::FunctionCall>(expr)) {
    if (!base::equals_ignoring_case(call->name.text, "in_keyrange")) return unsupported(filter, call->name.text);
    ASSIGN_OR_RETURN(KeyRangeTerm term, parse_in_keyrange(filter, *call));
    query.ranges.push_back(std::move(term));
    return {};
  }
  ComparisonTerm term;
  if (const auto* is = as<sql::Is>(expr); is != nullptr && is->test == sql::IsTest::kNull) {
    const auto* column = as<sql::Column>(is->operand);
    if (column == nullptr) return unsupported(filter, "IS NULL of an expression");
    term.column = column->name.text;
    term.op = is->negated ? ComparisonTerm::Op::kIsNotNull : ComparisonTerm::Op::kIsNull;
    query.comparisons.push_back(std::move(term));
    return {};
  }
  if (const auto* in = as<sql::In>(expr); in != nullptr && in->query == nullptr) {
    const auto* column = as<sql::Column>(in->left);
    if (column == nullptr) return unsupported(filter, "IN of an expression");
    term.column = column->name.text;
    term.op = in->negated ? ComparisonTerm::Op::kNotEqual : ComparisonTerm::Op::kEqual;
    for (const sql::Expr* value : in->values) {
      if (!add_value(value, term)) return unsupported(filter, "IN with other values than whole numbers, or than texts");
    }
    query.comparisons.push_back(std::move(term));
    return {};
  }
  if (const auto* binary = as<sql::Binary>(expr)) {
    using Op = ComparisonTerm::Op;
    switch (binary->op) {
      case sql::BinaryOp::kEqual: term.op = Op::kEqual; break;
      case sql::BinaryOp::kNotEqual: term.op = Op::kNotEqual; break;
      case sql::BinaryOp::kLess: term.op = Op::kLess; break;
      case sql::BinaryOp::kLessEqual: term.op = Op::kLessEqual; break;
      case sql::BinaryOp::kGreater: term.op = Op::kGreater; break;
      case sql::BinaryOp::kGreaterEqual: term.op = Op::kGreaterEqual; break;
      default: return unsupported(filter, "this operator");
    }
    const auto* column = as<sql::Column>(binary->left);
    if (column == nullptr || !add_value(binary->right, term))
      return unsupported(filter, "a comparison other than of a column with a whole number or a text");
    if (!term.texts.empty() && term.op != Op::kEqual && term.op != Op::kNotEqual) {
      return unsupported(filter, "an order of texts");
    }
    term.column = column->name.text;
    query.comparisons.push_back(std::move(term));
    return {};
  }
  return unsupported(filter, "this condition");
}

Result<RowQuery::Item> read_item(std::string_view filter, const sql::SelectItem& item) {
  RowQuery::Item out;
  if (const auto* column = as<sql::Column>(item.expr)) {
    out.column = column->name.text;
    out.alias = item.alias.empty() ? column->name.text : item.alias.text;
    return out;
  }
  const auto* call = as<sql::FunctionCall>(item.expr);
  const bool is_simple =
      call != nullptr && call->args.size() == 1 && !call->distinct && call->over == nullptr && call->schema.empty();
  if (is_simple && base::equals_ignoring_case(call->name.text, "count") && as<sql::Star>(call->args[0]) != nullptr) {
    out.kind = RowQuery::ItemKind::kCount;
  } else if (is_simple && base::equals_ignoring_case(call->name.text, "sum") &&
             as<sql::Column>(call->args[0]) != nullptr) {
    out.kind = RowQuery::ItemKind::kSum;
    out.column = as<sql::Column>(call->args[0])->name.text;
  } else {
    auto expression = read_row_expression(*item.expr);
    if (!expression.ok()) return unsupported(filter, expression.error().message());
    out.kind = RowQuery::ItemKind::kExpression;
    out.expression = std::move(*expression);
  }
  if (item.alias.empty()) {
    return fail(Code::kInvalidArgument, fmt::format("filter \"{}\": {} needs a name: AS, and the target's column",
                                                    filter, sql::print(*item.expr)));
  }
  out.alias = item.alias.text;
  return out;
}

// What is selected as it is, is what is grouped by.
Status check_groups(std::string_view filter, const RowQuery& query) {
  bool adds_up = false;
  for (const auto& item : query.items) {
    if (item.kind == RowQuery::ItemKind::kExpression) continue;
    if (item.kind != RowQuery::ItemKind::kColumn) {
      adds_up = true;
      continue;
    }
    if (query.group_by.empty()) continue;
    const bool grouped = std::ranges::any_of(
        query.group_by, [&](const std::string& name) { return base::equals_ignoring_case(name, item.column); });
    if (!grouped) {
      return fail(Code::kInvalidArgument,
                  fmt::format("filter \"{}\": column {} is not in GROUP BY", filter, item.column));
    }
  }
  if (!adds_up && query.group_by.empty()) return {};
  if (query.group_by.empty()) return unsupported(filter, "count() and sum() without GROUP BY");
  if (query.has_expressions()) return unsupported(filter, "an expression beside GROUP BY");
  if (!adds_up) return unsupported(filter, "GROUP BY without count(*) or sum()");
  for (const std::string& name : query.group_by) {
    const bool selected = std::ranges::any_of(query.items, [&](const auto& item) {
      return item.kind == RowQuery::ItemKind::kColumn && base::equals_ignoring_case(name, item.column);
    });
    if (selected) continue;
    return fail(Code::kInvalidArgument,
                fmt::format("filter \"{}\": column {} of GROUP BY is not selected", filter, name));
  }
  return {};
}

}  // namespace

std::string comparison_sql(const ComparisonTerm& term) {
  using Op = ComparisonTerm::Op;
  std::string list;
  for (const int64_t number : term.numbers) list += (list.empty() ? "" : ", ") + std::to_string(number);
  for (const std::string& text : term.texts) {
    if (!list.empty()) list += ", ";
    mysql::append_sql_string(list, text);
  }
  const char* op = "IN";
  switch (term.op) {
    case Op::kNotEqual: op = "NOT IN"; break;
    case Op::kLess: op = "<"; break;
    case Op::kLessEqual: op = "<="; break;
    case Op::kGreater: op = ">"; break;
    case Op::kGreaterEqual: op = ">="; break;
    default: break;
  }
  const bool is_list = term.op == Op::kEqual || term.op == Op::kNotEqual;
  return fmt::format("{} {} {}{}{}", mysqld::quote_identifier(term.column), op, is_list ? "(" : "", list,
                     is_list ? ")" : "");
}

std::string vindex_definition(const ::vschema::Vindex& vindex) {
  nlohmann::json out = {{"type", vindex.type()}, {"params", nlohmann::json::object()}};
  for (const auto& [name, value] : vindex.params()) out["params"][name] = value;
  return out.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

namespace {

// No name of a vindex begins like that in a filter: there it would be "keyspace.name".
bool is_definition(std::string_view vindex) { return vindex.starts_with('{'); }

std::string range_sql(const KeyRangeTerm& term) {
  std::string out = "in_keyrange(";
  for (const std::string& column : term.columns) out += mysqld::quote_identifier(column) + ", ";
  if (!term.vindex.empty()) {
    mysql::append_sql_string(out, term.vindex);
    out += ", ";
  }
  return out + "'" + term.range.to_string() + "')";
}

std::string term_sql(const ComparisonTerm& term) {
  using Op = ComparisonTerm::Op;
  const std::string column = mysqld::quote_identifier(term.column);
  if (term.op == Op::kIsNull) return column + " is null";
  if (term.op == Op::kIsNotNull) return column + " is not null";
  return comparison_sql(term);
}

}  // namespace

std::string to_select(const RowQuery& query, std::string_view table) {
  std::string out = "select ";
  if (query.items.empty()) out += "*";
  for (size_t i = 0; i < query.items.size(); ++i) {
    const auto& item = query.items[i];
    const std::string column = mysqld::quote_identifier(item.column);
    out += i == 0 ? "" : ", ";
    out += item.kind == RowQuery::ItemKind::kCount        ? "count(*)"
           : item.kind == RowQuery::ItemKind::kSum        ? fmt::format("sum({})", column)
           : item.kind == RowQuery::ItemKind::kExpression ? item.expression.to_sql()
                                                          : column;
    if (item.alias != item.column) out += " as " + mysqld::quote_identifier(item.alias);
  }
  out += " from " + mysqld::quote_identifier(table);
  const char* word = " where ";
  const auto add = [&](const std::string& term) {
    out += word + term;
    word = " and ";
  };
  for (const auto& term : query.comparisons) add(term_sql(term));
  for (const auto& term : query.ranges) add(range_sql(term));
  for (size_t i = 0; i < query.group_by.size(); ++i) {
    out += (i == 0 ? " group by " : ", ") + mysqld::quote_identifier(query.group_by[i]);
  }
  return out;
}

bool RowQuery::has_expressions() const {
  return std::ranges::any_of(items, [](const Item& item) { return item.kind == ItemKind::kExpression; });
}

bool RowQuery::needs_vschema() const {
  for (const auto& range : ranges) {
    if (is_definition(range.vindex)) continue;
    if (range.vindex.empty() || range.vindex.find('.') != std::string::npos) return true;
  }
  return false;
}

Result<RowQuery> parse_row_query(std::string_view filter, std::string& table) {
  RowQuery query;
  if (filter.empty()) return query;
  if (filter == "exclude") {
    query.exclude = true;
    return query;
  }
  if (!base::to_lower(filter.substr(0, 6)).starts_with("select")) {
    ASSIGN_OR_RETURN(auto range, shard::KeyRange::parse(filter));
    query.ranges.push_back({{}, "", std::move(range)});
    return query;
  }
  ASSIGN_OR_RETURN(const sql::Ast ast, sql::parse(filter));
  const auto* statement = sql::statement_as<sql::QueryStatement>(&ast.statement());
  const auto* select = statement == nullptr ? nullptr : as<sql::Select>(statement->query);
  if (select == nullptr) return unsupported(filter, "anything but a select");
  if (select->from.size() != 1 || as<sql::TableSource>(select->from[0]) == nullptr) {
    return unsupported(filter, "anything but one table");
  }
  if (select->distinct || select->having != nullptr || select->limit != nullptr || !select->order_by.empty()) {
    return unsupported(filter, "anything but columns, a table and conditions");
  }
  const std::string_view from = as<sql::TableSource>(select->from[0])->name.name.text;
  if (table.empty()) table = from;
  if (from != table) {
    return fail(Code::kInvalidArgument, fmt::format("filter \"{}\" is not from table {}", filter, table));
  }
  for (const auto& item : select->items) {
    if (as<sql::Star>(item.expr) != nullptr) {
      if (select->items.size() != 1) return unsupported(filter, "* beside other columns");
      continue;
    }
    ASSIGN_OR_RETURN(auto one, read_item(filter, item));
    query.items.push_back(std::move(one));
  }
  for (const auto& item : select->group_by) {
    const auto* column = as<sql::Column>(item.expr);
    if (column == nullptr) return unsupported(filter, "GROUP BY of an expression");
    query.group_by.emplace_back(column->name.text);
  }
  RETURN_IF_ERROR(check_groups(filter, query));
  if (select->where != nullptr) RETURN_IF_ERROR(add_term(filter, select->where, query));
  return query;
}

struct Filter::Rule {
  std::string table;  // Empty: the expression decides.
  bool all_tables = false;
  std::optional<std::regex> regex;
  std::string text;
  RowQuery query;

  bool matches(std::string_view name) const {
    if (all_tables) return true;
    if (!regex) return table == name;
    return std::regex_search(name.begin(), name.end(), *regex);
  }
};

Filter::Filter() = default;
Filter::Filter(Filter&&) noexcept = default;
Filter& Filter::operator=(Filter&&) noexcept = default;
Filter::~Filter() = default;

Result<Filter> Filter::create(const ::binlogdata::Filter& rules, bool of_target) {
  Filter filter;
  for (const auto& from : rules.rules()) {
    Rule rule;
    std::string table;
    if (from.match().starts_with('/')) {
      std::string_view pattern = from.match();
      while (pattern.starts_with('/')) pattern.remove_prefix(1);
      while (pattern.ends_with('/')) pattern.remove_suffix(1);
      rule.all_tables = pattern == ".*" || pattern.empty();
      if (!rule.all_tables) {
        try {
          rule.regex.emplace(std::string(pattern), std::regex::ECMAScript | std::regex::optimize);
        } catch (const std::regex_error&) {
          return fail(Code::kInvalidArgument, fmt::format("rule {}: not a regular expression", from.match()));
        }
      }
    } else {
      rule.table = from.match();
      if (!of_target) table = rule.table;
    }
    rule.text = from.filter();
    ASSIGN_OR_RETURN(rule.query, parse_row_query(rule.text, table));
    filter.rules_.push_back(std::move(rule));
  }
  return filter;
}

const RowQuery* Filter::find(std::string_view table) const {
  for (const Rule& rule : rules_) {
    if (rule.matches(table)) return rule.query.exclude ? nullptr : &rule.query;
  }
  return nullptr;
}

std::string_view Filter::find_text(std::string_view table) const {
  for (const Rule& rule : rules_) {
    if (rule.matches(table)) return rule.text;
  }
  return {};
}

bool Filter::needs_vschema() const {
  for (const Rule& rule : rules_) {
    if (rule.query.needs_vschema()) return true;
  }
  return false;
}

bool is_internal_table(std::string_view name) { return name.starts_with("_vt_"); }

// --- RowFilter ------------------------------------------------------------------------------------------------------

namespace {

const ::vschema::Keyspace* find_keyspace(const ::vschema::SrvVSchema* vschema, std::string_view name) {
  if (vschema == nullptr) return nullptr;
  const auto found = vschema->keyspaces().find(std::string(name));
  return found == vschema->keyspaces().end() ? nullptr : &found->second;
}

Result<std::shared_ptr<const shard::Vindex>> make_vindex(const ::vschema::Keyspace& keyspace,
                                                         std::string_view keyspace_name, std::string_view name) {
  const auto found = keyspace.vindexes().find(std::string(name));
  if (found == keyspace.vindexes().end()) {
    return fail(Code::kNotFound, fmt::format("keyspace {} has no vindex {}", keyspace_name, name));
  }
  shard::VindexParameters parameters;
  for (const auto& [key, value] : found->second.params()) parameters[key] = value;
  return shard::create_vindex(found->second.type(), name, parameters);
}

Result<std::shared_ptr<const shard::Vindex>> make_defined(std::string_view definition) {
  const auto read = nlohmann::json::parse(definition, nullptr, false);
  const auto type = read.is_object() ? read.find("type") : read.end();
  const auto given = read.is_object() ? read.find("params") : read.end();
  const bool is_whole = read.is_object() && type != read.end() && type->is_string() && given != read.end() &&
                        given->is_object() && read.size() == 2 &&
                        std::ranges::all_of(*given, [](const auto& value) { return value.is_string(); });
  if (!is_whole) {
    return fail(Code::kInvalidArgument,
                fmt::format("{} is no vindex: {{\"type\": \"...\", \"params\": {{...}}}}", definition));
  }
  shard::VindexParameters parameters;
  for (const auto& [key, value] : given->items()) parameters[key] = value.get<std::string>();
  const std::string name = type->get<std::string>();
  return shard::create_vindex(name, name, parameters);
}

Result<std::shared_ptr<const shard::Vindex>> resolve_vindex(std::string_view name, std::string_view own_keyspace,
                                                            const ::vschema::SrvVSchema* vschema) {
  if (is_definition(name)) return make_defined(name);
  if (const size_t dot = name.find('.'); dot != std::string_view::npos) {
    const std::string_view keyspace = name.substr(0, dot);
    const auto* record = find_keyspace(vschema, keyspace);
    if (record == nullptr) return fail(Code::kNotFound, fmt::format("there is no vschema of keyspace {}", keyspace));
    return make_vindex(*record, keyspace, name.substr(dot + 1));
  }
  if (const auto* record = find_keyspace(vschema, own_keyspace);
      record != nullptr && record->vindexes().contains(std::string(name))) {
    return make_vindex(*record, own_keyspace, name);
  }
  return shard::create_vindex(name, name, {});
}

}  // namespace

size_t RowFilter::input(size_t column) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (inputs_[i] == column) return i;
  }
  inputs_.push_back(column);
  return inputs_.size() - 1;
}

Result<RowFilter> RowFilter::bind(const RowQuery& query, const TableSchema& table, std::string_view own_keyspace,
                                  const ::vschema::SrvVSchema* vschema) {
  RowFilter filter;
  if (query.is_aggregate()) {
    return fail(Code::kUnimplemented, fmt::format("table {}: rows are not added up where they come from", table.name));
  }
  if (query.has_expressions()) {
    return fail(Code::kUnimplemented,
                fmt::format("table {}: expressions are not computed where rows come from", table.name));
  }
  filter.table_ = table.name;
  const auto find = [&](std::string_view name) -> Result<size_t> {
    const auto column = table.find_column(name);
    if (!column) return fail(Code::kNotFound, fmt::format("table {} has no column {}", table.name, name));
    return *column;
  };
  if (query.items.empty()) {
    for (size_t i = 0; i < table.columns.size(); ++i) {
      if (table.columns[i].is_generated) continue;
      filter.output_.push_back(i);
      filter.output_names_.push_back(table.columns[i].name);
    }
  }
  for (const auto& item : query.items) {
    ASSIGN_OR_RETURN(const size_t column, find(item.column));
    filter.output_.push_back(column);
    filter.output_names_.push_back(item.alias);
  }
  for (const auto& term : query.ranges) {
    Range range;
    range.range = term.range;
    std::vector<std::string> columns = term.columns;
    if (!term.vindex.empty()) {
      ASSIGN_OR_RETURN(range.vindex, resolve_vindex(term.vindex, own_keyspace, vschema));
    }
    if (term.vindex.empty()) {
      const auto* keyspace = find_keyspace(vschema, own_keyspace);
      if (keyspace == nullptr) {
        return fail(Code::kNotFound, fmt::format("there is no vschema of keyspace {}", own_keyspace));
      }
      const auto found = keyspace->tables().find(table.name);
      if (found == keyspace->tables().end()) {
        return fail(Code::kNotFound,
                    fmt::format("table {} is not in the vschema of keyspace {}", table.name, own_keyspace));
      }
      if (found->second.type() == "reference") continue;  // A whole copy on every shard.
      if (!found->second.pinned().empty()) {
        ASSIGN_OR_RETURN(range.pinned, shard::KeyspaceId::from_hex(found->second.pinned()));
        filter.ranges_.push_back(std::move(range));
        continue;
      }
      if (found->second.column_vindexes().empty()) {
        return fail(Code::kFailedPrecondition,
                    fmt::format("table {} has no primary vindex in keyspace {}", table.name, own_keyspace));
      }
      const auto& primary = found->second.column_vindexes(0);
      columns.assign(primary.columns().begin(), primary.columns().end());
      if (columns.empty()) columns.push_back(primary.column());
      ASSIGN_OR_RETURN(range.vindex, make_vindex(*keyspace, own_keyspace, primary.name()));
    }
    if (!range.vindex->is_unique()) {
      return fail(Code::kInvalidArgument, fmt::format("vindex {} gives a row no single place", range.vindex->name()));
    }
    for (const std::string& name : columns) {
      ASSIGN_OR_RETURN(const size_t column, find(name));
      range.inputs.push_back(filter.input(column));
    }
    const Column& first = table.columns[filter.inputs_[range.inputs[0]]];
    if (columns.size() == 1 && first.is_integer()) {
      range.function = range.vindex->integer_function();
      range.is_unsigned = first.is_unsigned();
    }
    filter.ranges_.push_back(std::move(range));
  }
  for (const auto& term : query.comparisons) {
    ASSIGN_OR_RETURN(const size_t column, find(term.column));
    const bool null_test = term.op == ComparisonTerm::Op::kIsNull || term.op == ComparisonTerm::Op::kIsNotNull;
    const ::query::Type type = table.columns[column].type;
    const bool is_text = type == ::query::VARCHAR || type == ::query::CHAR || type == ::query::TEXT ||
                         type == ::query::VARBINARY || type == ::query::BLOB;
    if (!null_test && (term.texts.empty() ? !table.columns[column].is_integer() : !is_text)) {
      return fail(Code::kUnimplemented,
                  fmt::format("table {}: whole numbers are compared with integer columns, and texts with those of "
                              "texts: {} is none",
                              table.name, term.column));
    }
    filter.comparisons_.push_back({filter.input(column), term.op, term.numbers, term.texts});
  }
  for (const size_t column : filter.inputs_) {
    filter.is_integer_.push_back(table.columns[column].is_integer());
    filter.is_unsigned_.push_back(table.columns[column].is_unsigned());
  }
  return filter;
}

Result<bool> RowFilter::in_range(const Range& range, std::span<const mysql::Cell> inputs) const {
  if (range.pinned) return range.range.contains(*range.pinned);
  const auto no_place = [&] {
    return fail(Code::kFailedPrecondition,
                fmt::format("a row of table {} has no keyspace id by vindex {}: it would be in no shard", table_,
                            range.vindex->name()));
  };
  if (range.function.function != nullptr && inputs[range.inputs[0]]) {
    const std::string_view text = *inputs[range.inputs[0]];
    uint64_t number = 0;
    bool negative = false;
    if (!range.is_unsigned && text.starts_with('-')) {
      int64_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc() || end != text.data() + text.size()) return no_place();
      number = static_cast<uint64_t>(value);
      negative = true;
    } else {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc() || end != text.data() + text.size()) return no_place();
    }
    if (negative && !range.function.accepts_negative) return no_place();
    return range.range.contains_u64(range.function.function(number));
  }
  std::vector<shard::VindexValue> values;
  for (const size_t i : range.inputs) {
    const mysql::Cell& cell = inputs[i];
    if (!cell) {
      values.push_back(shard::VindexValue::null());
    } else if (is_integer_[i]) {
      ASSIGN_OR_RETURN(const auto value, shard::VindexValue::integer_text(*cell, is_unsigned_[i]));
      values.push_back(value);
    } else {
      values.push_back(shard::VindexValue::bytes(*cell));
    }
  }
  ASSIGN_OR_RETURN(const shard::Destination place, range.vindex->map(values));
  if (place.kind != shard::Destination::Kind::kKeyspaceId) return no_place();
  return range.range.contains(place.keyspace_id);
}

Result<bool> RowFilter::passes(const Comparison& term, std::span<const mysql::Cell> inputs) const {
  using Op = ComparisonTerm::Op;
  const mysql::Cell& cell = inputs[term.input];
  if (term.op == Op::kIsNull || term.op == Op::kIsNotNull) return cell.has_value() == (term.op == Op::kIsNotNull);
  if (!cell) return false;
  if (!term.texts.empty()) {
    const bool listed = std::find(term.texts.begin(), term.texts.end(), *cell) != term.texts.end();
    return listed == (term.op == Op::kEqual);
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(cell->data(), cell->data() + cell->size(), value);
  // Above the range of int64: greater than every number that a filter can name.
  const bool huge = error == std::errc::result_out_of_range;
  if (!huge && (error != std::errc() || end != cell->data() + cell->size())) {
    return fail(Code::kInternal, fmt::format("table {}: an integer column has another value", table_));
  }
  bool passes = term.op == Op::kNotEqual;
  for (const int64_t number : term.numbers) {
    const int order = huge ? 1 : value < number ? -1 : value > number ? 1 : 0;
    switch (term.op) {
      case Op::kEqual: passes = passes || order == 0; break;
      case Op::kNotEqual: passes = passes && order != 0; break;
      case Op::kLess: passes = order < 0; break;
      case Op::kLessEqual: passes = order <= 0; break;
      case Op::kGreater: passes = order > 0; break;
      case Op::kGreaterEqual: passes = order >= 0; break;
      default: break;
    }
  }
  return passes;
}

Result<bool> RowFilter::matches(std::span<const mysql::Cell> inputs) const {
  for (const Comparison& term : comparisons_) {
    ASSIGN_OR_RETURN(const bool passed, passes(term, inputs));
    if (!passed) return false;
  }
  for (const Range& range : ranges_) {
    ASSIGN_OR_RETURN(const bool inside, in_range(range, inputs));
    if (!inside) return false;
  }
  return true;
}

}  // namespace vitrail::movement
