// What a statement leaves for the next one to ask: warnings and errors; and SELECT ... INTO @variables.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/text.h"
#include "gate/constant_warnings.h"
#include "gate/get_diagnostics.h"
#include "gate/session.h"
#include "mysql/collations.h"
#include "mysql/convert.h"
#include "mysql/errors.h"
#include "plan/found_rows.h"
#include "plan/given_id.h"
#include "plan/planner.h"
#include "plan/schema_names.h"
#include "sql/lexer.h"
#include "sql/literal.h"
#include "sql/printer.h"
#include "sql/tables.h"

namespace vitrail::gate {
namespace {

constexpr size_t kMaxWarnings = 64;  // As servers' max_error_count.
constexpr uint16_t kTooManyRows = 1172;
constexpr uint16_t kWrongNumberOfColumns = 1222;
constexpr uint16_t kNoData = 1329;

// Of two values with the same bytes: whether they are written alike.
bool same_kind(const mysql::Value& a, const mysql::Value& b) {
  return mysql::is_integer_type(a.type) == mysql::is_integer_type(b.type) && a.is_unsigned == b.is_unsigned &&
         mysql::is_float_type(a.type) == mysql::is_float_type(b.type) &&
         mysql::is_decimal_type(a.type) == mysql::is_decimal_type(b.type) && a.is_binary == b.is_binary;
}

bool is_mark(const std::vector<std::optional<std::string>>& row) {
  return row[2] && row[2]->find(mysql::kWarningMark) != std::string::npos;
}

// HANDLER, CACHE INDEX, and code with a statement about tables.
bool text_opens_tables(std::string_view text) {
  using enum sql::Keyword;
  sql::Lexer lexer(text);
  const sql::Keyword first = lexer.next().keyword;
  if (first == kHandler || first == kCache) return true;
  if (first == kGet || first == kSignal || first == kResignal) return false;
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next()) {
    switch (token.keyword) {
      case kFrom:
      case kInto:
      case kUpdate:
      case kTable:
      case kTables:
      case kTruncate: return true;
      default: break;
    }
  }
  return false;
}

}  // namespace

void ClientSession::clear_warnings() {
  warnings_ = fresh_warnings_ = 0;
  set_warnings_ = 0;
  warning_rows_.clear();
}

// What each shard says of the same statement is one warning.
void ClientSession::unite_warnings() {
  if (fresh_warnings_ == 0 || fresh_warnings_ != warning_rows_.size()) return;  // Not all of them are here.
  std::vector<std::array<std::string, 3>> rows;
  for (auto& row : warning_rows_) {
    if (std::ranges::find(rows, row) == rows.end()) rows.push_back(std::move(row));
  }
  warning_rows_ = std::move(rows);
  warnings_ = fresh_warnings_ = static_cast<uint16_t>(warning_rows_.size());
}

// What each of several shards says of a constant of the statement that runs.
void ClientSession::unite_constant_warnings() {
  if (fresh_warnings_ < 2 || fresh_warnings_ != warning_rows_.size() || running_ == nullptr) return;
  const auto ast = sql::parse(running_->text);
  if (!ast.ok()) return;
  gate::unite_constant_warnings(compared_texts(ast->statement(), running_->parameters), warning_rows_);
  warnings_ = fresh_warnings_ = static_cast<uint16_t>(warning_rows_.size());
}

// The text that EXECUTE runs, or that PREPARE is given; nothing: it is not known here.
std::optional<std::string> ClientSession::executed_source(const sql::PreparedStatement& what) const {
  const auto* literal = sql::as<sql::Literal>(what.source);
  std::string text;
  if (literal != nullptr && literal->literal == sql::LiteralKind::kString &&
      sql::append_bytes(sql::TokenType::kString, literal->text, false, text)) {
    return text;
  }
  if (what.source != nullptr) return source_now_;
  const std::string name = base::to_lower(what.name.text);
  if (const auto found = text_prepared_->find(name); found != text_prepared_->end()) return found->second.text;
  const auto found = servers_prepared_->find(name);
  return found == servers_prepared_->end() ? std::nullopt : std::optional(found->second.text);
}

net::Task<void> ClientSession::look_at_source(const Statement& statement) {
  source_now_.reset();
  const auto ast = sql::parse(statement.text);
  const auto* what = ast.ok() ? sql::statement_as<sql::PreparedStatement>(&ast->statement()) : nullptr;
  if (what == nullptr || what->source == nullptr || sql::as<sql::Literal>(what->source) != nullptr) co_return;
  // The statement has not begun yet: what it meets of the ones before stays.
  const auto rows = warning_rows_;
  const auto warnings = warnings_;
  auto source = co_await prepared_source(*ast, *what->source);
  if (source.ok()) source_now_ = std::move(*source);
  warning_rows_ = rows;
  warnings_ = warnings;
}

void ClientSession::note_servers_prepared(const Statement& statement, bool done) {
  constexpr size_t kNamesMax = 64;
  constexpr size_t kTextMax = 4096;
  const auto ast = sql::parse(statement.text);
  const auto* what = ast.ok() ? sql::statement_as<sql::PreparedStatement>(&ast->statement()) : nullptr;
  if (what == nullptr) return;
  const std::string name = base::to_lower(what->name.text);
  servers_prepared_->erase(name);  // Gone, whatever has become of a new one.
  if (what->kind != sql::StatementKind::kPrepare || !done || servers_prepared_->size() >= kNamesMax) return;
  auto text = executed_source(*what);
  if (text && text->size() <= kTextMax) (*servers_prepared_)[name] = {std::move(*text), target()};
}

plan::FoundRows ClientSession::found_rows_of_execute(const Statement& statement) const {
  const auto ast = sql::parse(statement.text);
  const auto* what = ast.ok() ? sql::statement_as<sql::PreparedStatement>(&ast->statement()) : nullptr;
  if (what == nullptr) return plan::FoundRows::kUnknown;
  const auto text = executed_source(*what);
  if (!text) return plan::found_rows_of(ast->statement());
  const auto inner = sql::parse(*text);
  if (!inner.ok() || inner->kind() == sql::StatementKind::kExecute) return plan::FoundRows::kUnknown;
  return plan::found_rows_of(inner->statement());
}

// As on a server, a statement without tables leaves the warnings of those before it, unless it has some of its own.
bool ClientSession::forgets_warnings(std::string_view text, sql::StatementKind kind) const {
  using enum sql::StatementKind;
  if (kind == kCall || kind == kLoad) return true;
  const auto ast = sql::parse(text);
  if (!ast.ok()) return kind == kExecute;
  if (const auto* what = sql::statement_as<sql::PreparedStatement>(&ast->statement());
      what != nullptr && what->kind != kDeallocate) {  // As what is prepared or executed.
    const auto source = executed_source(*what);
    if (!source) return what->kind == kExecute;
    const auto inner = sql::parse(*source);
    if (!inner.ok()) return false;
    return inner->kind() == kExecute || forgets_warnings(*source, inner->kind());
  }
  if (kind == kExecute) return true;
  if (const auto* kept = sql::statement_as<sql::TextStatement>(&ast->statement())) {  // Those of them that open tables.
    return text_opens_tables(kept->text);
  }
  if (const auto* show = sql::statement_as<sql::Show>(&ast->statement())) {
    return show->show != sql::ShowKind::kWarnings && show->show != sql::ShowKind::kErrors;
  }
  return !sql::collect_tables(ast->statement()).empty();
}

void ClientSession::begin_warnings(const Statement& statement) {
  fresh_warnings_ = 0;
  warnings_before_.rows.clear();
  if (warnings_ == 0) return;
  warnings_before_ = {warnings_, warning_rows_};
  if (forgets_warnings(statement.text, statement.scan.kind)) clear_warnings();
}

void ClientSession::add_warning(std::string level, uint16_t code, std::string message) {
  if (fresh_warnings_ == 0) clear_warnings();
  ++fresh_warnings_;
  ++warnings_;
  if (warning_rows_.size() < kMaxWarnings) {
    warning_rows_.push_back({std::move(level), std::to_string(code), std::move(message)});
  }
}

void ClientSession::note_no_condition(const Error& error) {
  ++warnings_;
  fresh_warnings_ = 1;
  row_count_ = -1;
  if (warning_rows_.size() >= kMaxWarnings) return;
  warning_rows_.push_back({"Error", std::to_string(error.mysql_errno()), error.message()});
}

// Behind an answer that tells of warnings, on the connection where it came from: they are gone with its next statement.
net::Task<void> ClientSession::take_warnings(net::MysqlClient& client, uint16_t count, bool own_words) {
  if (count == 0) co_return;
  std::optional<Result<net::QueryResult>> told;
  if (own_words) {
    told = co_await client.query("show warnings", query_wait());
    if (!told->ok()) co_return;
    constexpr std::string_view kDeprecated = "1287";
    count = static_cast<uint16_t>(
        count - std::erase_if((*told)->rows, [&](const auto& row) { return row.size() > 1 && row[1] == kDeprecated; }));
    if ((*told)->rows.empty()) co_return;
  }
  if (fresh_warnings_ == 0) clear_warnings();
  fresh_warnings_ = static_cast<uint16_t>(fresh_warnings_ + count);  // Several shards may tell at once.
  warnings_ = fresh_warnings_;
  if (!told) told = co_await client.query("show warnings", query_wait());
  if (told->ok()) {
    for (const auto& row : (*told)->rows) {
      if (row.size() < 3 || warning_rows_.size() >= kMaxWarnings) break;
      warning_rows_.push_back({row[0].value_or(""), row[1].value_or(""),
                               plan::with_keyspaces(row[2].value_or(""), shared_.view()->databases)});
    }
  }
}

// Code forgets the warnings of statements before it if some of it opens tables or warns: the mark has gone then.
net::Task<void> ClientSession::take_warnings_of_code(net::MysqlClient& client) {
  auto rows = co_await client.query("show warnings", query_wait());
  if (!rows.ok()) co_return;
  std::erase_if(rows->rows, [](const auto& row) { return row.size() < 3; });
  const bool kept = std::ranges::any_of(rows->rows, is_mark);
  clear_warnings();
  if (kept) {
    warnings_ = warnings_before_.count;
    warning_rows_ = warnings_before_.rows;
    co_return;
  }
  for (const auto& row : rows->rows) {
    add_warning(row[0].value_or(""), static_cast<uint16_t>(std::strtoul(row[1].value_or("0").c_str(), nullptr, 10)),
                plan::with_keyspaces(row[2].value_or(""), shared_.view()->databases));
  }
}

net::Task<void> ClientSession::take_notes(net::MysqlClient& client) {
  if (client.broken()) co_return;
  auto rows = co_await client.query("show warnings", query_wait());
  if (!rows.ok()) co_return;
  for (const auto& row : rows->rows) {
    if (row.size() < 3 || row[0] == "Error" || is_mark(row)) continue;
    error_notes_.push_back({row[0].value_or(""), row[1].value_or(""),
                            plan::with_keyspaces(row[2].value_or(""), shared_.view()->databases)});
  }
}

size_t ClientSession::error_count() const {
  return static_cast<size_t>(std::ranges::count_if(warning_rows_, [](const auto& row) { return row[0] == "Error"; }));
}

bool ClientSession::gives_its_id(const plan::Plan& plan, const Statement& statement) {
  if (!plan.given_id) return false;
  const auto ast = sql::parse(statement.text);
  const auto* insert = ast.ok() ? sql::statement_as<sql::Insert>(&ast->statement()) : nullptr;
  return insert != nullptr && plan::gives_every_id(*insert, *plan.given_id, statement.parameters);
}

net::QueryResult ClientSession::warning_table(const sql::Show& show) const {
  const bool errors = show.show == sql::ShowKind::kErrors;
  net::QueryResult result;
  const auto add_text = [&](const char* name) {
    mysql::ColumnDef column;
    column.name = name;
    column.collation = mysql::kUtf8mb4GeneralCi;
    column.length = 2048;
    result.columns.push_back(std::move(column));
  };
  const auto add_number = [&](const char* name, mysql::FieldType type, uint32_t length) {
    mysql::ColumnDef column;
    column.name = name;
    column.collation = mysql::kBinaryCollation;
    column.length = length;
    column.type = type;
    column.flags = mysql::kFieldNotNull | mysql::kFieldUnsigned | mysql::kFieldBinary | mysql::kFieldNum;
    result.columns.push_back(std::move(column));
  };
  std::vector<std::vector<std::optional<std::string>>> rows;
  for (const auto& [level, code, message] : warning_rows_) {
    if (!errors || level == "Error") rows.push_back({level, code, message});
  }
  if (show.has_count) {
    add_number(errors ? "@@session.error_count" : "@@session.warning_count", mysql::FieldType::kLongLong, 21);
    const size_t count = errors ? rows.size() : std::max<size_t>(warnings_, rows.size());
    result.rows = {{std::to_string(count)}};
    return result;
  }
  add_text("Level");
  add_number("Code", mysql::FieldType::kLong, 4);
  add_text("Message");
  size_t offset = 0;
  size_t count = rows.size();
  if (show.limit != nullptr) {
    const auto number = [](const sql::Expr* expr, size_t otherwise) {
      const auto* literal = sql::as<sql::Literal>(expr);
      return literal == nullptr ? otherwise
                                : static_cast<size_t>(std::strtoull(std::string(literal->text).c_str(), nullptr, 10));
    };
    offset = std::min(number(show.limit->offset, 0), rows.size());
    count = std::min(number(show.limit->count, rows.size()), rows.size() - offset);
  }
  result.rows.assign(rows.begin() + static_cast<ptrdiff_t>(offset),
                     rows.begin() + static_cast<ptrdiff_t>(offset + count));
  return result;
}

std::string ClientSession::user_variables_text() const {
  std::string text;
  for (const auto& [name, value] : user_variables_) {
    text += text.empty() ? "set @" : ", @";
    mysql::append_sql_identifier(text, name);
    text += " = ";
    if (value.is_unsigned && mysql::is_integer_type(value.type)) {  // A small literal would be signed.
      text += fmt::format("cast({} as unsigned)", value.bytes);
    } else {
      append_text_variable(text, value, origin_of(name), VariablePlace::kVariable, client_charset());
    }
  }
  return text;
}

std::set<std::string> ClientSession::variables_in(std::string_view text) const {
  std::set<std::string> names;
  for (const auto& [name, value] : user_variables_) names.insert(name);
  sql::Lexer lexer(text);
  for (sql::Token token = lexer.next(); token.type != sql::TokenType::kEnd && token.type != sql::TokenType::kError;
       token = lexer.next()) {
    if (token.type != sql::TokenType::kUserVariable) continue;
    std::string name = user_variable_name(token.text(text));
    if (!name.empty()) names.insert(std::move(name));
  }
  return names;
}

// MariaDB has a table of them, in which a text is not what it is. MySQL's is not for applications: there those are read
// that the statement names, and those that are known; what code sets beside them stays in the server. What is as it was
// told keeps its collation.
net::Task<void> ClientSession::read_user_variables(net::MysqlClient& client, std::string_view statement) {
  const auto told = co_await client.query(
      "select lower(variable_name) from information_schema.user_variables where variable_value is not null "
      "limit 18446744073709551615",  // Else sql_select_limit is theirs, too.
      query_wait());
  const bool no_table = !told.ok() && told.error().mysql_errno() == mysql::errnos::kUnknownTable;
  if (!told.ok() && !no_table) co_return;
  std::set<std::string> there;
  if (no_table) {
    there = variables_in(statement);
  } else {
    for (const auto& row : told->rows) {
      if (!row.empty() && row[0]) there.insert(*row[0]);
    }
  }
  std::string text;
  for (const auto& name : there) {
    std::string variable = "@";
    mysql::append_sql_identifier(variable, name);
    text += fmt::format("{}{}, nullif(collation({}), @@collation_connection)", text.empty() ? "select " : ", ",
                        variable, variable);
  }
  for (auto& [name, value] : user_variables_) {
    if (!there.contains(name) && !value.is_null()) value = mysql::Value::null();
  }
  if (text.empty()) co_return;
  const auto values = co_await client.query(text + " limit 1", query_wait());
  if (!values.ok() || values->rows.size() != 1) co_return;
  size_t place = 0;
  for (const auto& name : there) {
    const auto& cell = values->rows[0][place];
    auto value = cell ? mysql::make_value(values->columns[place], mysql::Cell(*cell)) : mysql::Value::null();
    const auto& collation = values->rows[0][place + 1];
    place += 2;
    const auto known = user_variables_.find(name);
    if (known != user_variables_.end() && known->second.bytes == value.bytes &&
        known->second.is_null() == value.is_null() && same_kind(known->second, value)) {
      continue;
    }
    if (known == user_variables_.end() && (value.is_null() || user_variables_.size() >= kMaxUserVariables)) continue;
    user_texts_->erase(name);
    if (collation && *collation != "binary" && mysql::is_string_type(value.type))
      (*user_texts_)[name] = {.collation = *collation};
    user_variables_[name] = std::move(value);
  }
}

// SELECT ... INTO @a, @b: the variables are this session's, in the gate.
net::Task<std::optional<RunResult>> ClientSession::run_select_into(const Statement& statement) {
  if (statement.scan.kind != sql::StatementKind::kSelect || !statement.scan.has_user_variable) co_return std::nullopt;
  auto ast = sql::parse(statement.text);
  if (!ast.ok()) co_return RunResult::failed(std::move(ast).error());
  auto* query = sql::statement_as<sql::QueryStatement>(&ast->statement());
  if (query == nullptr || query->query->into == nullptr || query->query->into->variables.empty())
    co_return std::nullopt;
  std::vector<std::string> names;
  for (const auto* variable : query->query->into->variables) {
    const auto* user = sql::as<sql::UserVariable>(variable);
    if (user == nullptr) {
      co_return RunResult::failed(fail(Code::kInvalidArgument, "SELECT ... INTO takes user variables"));
    }
    std::string name(user->name);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    names.push_back(std::move(name));
  }
  query->query->into = nullptr;
  const auto* select = sql::as<sql::Select>(query->query);
  const bool found_rows_known = (select == nullptr || !select->calc_found_rows) &&
                                plan::found_rows_of(ast->statement()) == plan::FoundRows::kAnswer;
  sql::PrintOptions options;
  options.expr = [&](const sql::Expr& expr, std::string& out) {
    const auto* parameter = sql::as<sql::Parameter>(&expr);
    if (parameter == nullptr || parameter->index >= statement.parameters.size()) return false;
    plan::append_parameter(out, statement.parameters[parameter->index]);
    return true;
  };
  const std::string text = sql::print(ast->statement(), options);
  std::array<sql::LiteralPosition, 64> storage;
  Statement inner;
  inner.text = text;
  inner.scan = sql::fingerprint(text, storage);
  inner.literals = inner.scan.literals;
  if (reaches_tables(inner)) start_implicit_transaction();
  auto result = co_await run_inside(inner);
  if (!result.ok()) {
    Error error = std::move(result).error();
    if (in_transaction_ && error.reason() == Reason::kTransactionLost)
      co_return co_await fail_transaction(std::move(error));
    co_return refused(std::move(error));
  }
  if (result->columns.size() != names.size()) {
    co_return RunResult::failed(
        fail(Code::kInvalidArgument, "The used SELECT statements have a different number of columns")
            .with_mysql(kWrongNumberOfColumns, "21000"));
  }
  if (result->rows.empty()) {
    add_warning("Warning", kNoData, "No data - zero rows fetched, selected, or processed");
  } else {
    for (size_t i = 0; i < names.size(); ++i) {
      const auto& cell = result->rows[0][i];
      user_texts_->erase(names[i]);
      user_variables_[names[i]] =
          cell ? mysql::make_value(result->columns[i], mysql::Cell(*cell)) : mysql::Value::null();
    }
  }
  if (result->rows.size() > 1) {  // The variables have the first one's values, as with servers.
    co_return RunResult::failed(
        fail(Code::kInvalidArgument, "Result consisted of more than one row").with_mysql(kTooManyRows, "42000"));
  }
  row_count_ = static_cast<int64_t>(result->rows.size());
  found_rows_ = found_rows_known ? result->rows.size() : kFoundRowsUnknown;
  Status sent = co_await send_ok({.affected_rows = result->rows.size(), .warnings = fresh_warnings_});
  co_return sent.ok() ? RunResult::answered() : RunResult::hang_up(std::move(sent).error());
}

// What would leave its state on one shard of several, where the next statement may not find it.
Status ClientSession::check_one_home(const plan::Plan& plan, const Statement& statement) const {
  using enum sql::StatementKind;
  const auto kind = statement.scan.kind;
  constexpr auto kBound = sql::Left::kTemporaryTable | sql::Left::kTextStatement | sql::Left::kHandler;
  const bool bound = (plan.effects.leaves & kBound) != sql::Left::kNothing || kind == kPrepare || kind == kExecute ||
                     kind == kDeallocate;
  if (!bound || !shard_.empty()) return {};
  const std::string& keyspace = plan.route.keyspace.empty() ? keyspace_ : plan.route.keyspace;
  const auto* shards = shared_.view()->find_shards(keyspace, tablet_type_);
  if (shards == nullptr || shards->size() <= 1) return {};
  return fail(Code::kUnimplemented,
              fmt::format("VT12001: unsupported: {} in a keyspace of several shards; name one: use `{}:{}`",
                          sql::statement_kind_name(kind), keyspace, shards->front().name));
}

}  // namespace vitrail::gate
