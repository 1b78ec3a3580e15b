#include "plan/load.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "plan/change.h"
#include "plan/key_value.h"
#include "plan/lookup.h"
#include "plan/routing.h"
#include "shard/lookup_placement.h"
#include "sql/lexer.h"
#include "sql/literal.h"
#include "sql/printer.h"
#include "vschema/vschema.h"

namespace vitrail::plan {

using sql::as;

namespace {

// What stands behind the table's name.
class Clauses {
 public:
  Clauses(std::string_view text, size_t begin) : text_(text), lexer_(text) {
    do {
      token_ = lexer_.next();
    } while (!at_end() && token_.offset < begin);
  }

  bool at_end() const { return token_.type == sql::TokenType::kEnd || token_.type == sql::TokenType::kError; }
  size_t offset() const { return token_.offset; }
  std::string word() const { return token_.type == sql::TokenType::kWord ? lower(token_.text(text_)) : ""; }
  bool at(sql::TokenType type) const { return token_.type == type; }
  std::string_view token() const { return token_.text(text_); }
  void advance() { token_ = lexer_.next(); }
  bool take(std::string_view wanted) {
    if (word() != wanted) return false;
    advance();
    return true;
  }
  // A string or hexadecimal literal.
  std::optional<std::string> bytes() {
    std::string out;
    if (!sql::append_bytes(token_.type, token_.text(text_), false, out)) return std::nullopt;
    advance();
    return out;
  }

 private:
  std::string_view text_;
  sql::Lexer lexer_;
  sql::Token token_;
};

Error no_form(std::string_view what) { return unsupported("LOAD DATA into a sharded table with " + std::string(what)); }

class LoadPlanner {
 public:
  LoadPlanner(const sql::LoadData& load, const PlanContext& context) : load_(load), context_(context) {}

  Result<std::shared_ptr<const Plan>> plan() {
    if (!load_.local) return no_form("a file of the server; say LOCAL");
    Clauses verb(load_.text, 0);
    verb.advance();
    if (verb.word() != "data") return unsupported("LOAD XML into a sharded table");
    const std::string keyspace =
        load_.table.qualifier.empty() ? context_.keyspace : std::string(load_.table.qualifier.text);
    ASSIGN_OR_RETURN(const auto routed,
                     context_.vschema->find_table(keyspace, load_.table.name.text, type_of(context_.tablet_type)));
    routed_ = routed.table;
    table_ = routed_.get();
    if (table_->type != vschema::TableType::kNormal) return unsupported("changing a reference table");
    known_ =
        context_.schema == nullptr ? nullptr : schema::find_table(*context_.schema, table_->keyspace, table_->name);
    if (known_ == nullptr) return no_form("columns that are not known (yet)");
    const auto* primary = table_->primary_vindex();
    if (primary == nullptr) return no_form("no primary vindex");
    const auto* file = as<sql::Literal>(load_.file);
    auto name = file == nullptr ? std::nullopt : sql::string_value(*file);
    if (!name) return no_form("a file that is not named by a string");
    out_.keyspace = table_->keyspace;
    out_.table = table_->name;
    out_.vindex = primary->vindex;
    out_.file = std::move(*name);
    out_.replace = load_.replace;
    if (shard::placing_lookup(*primary->vindex) != nullptr) return no_form("a lookup vindex as the primary one");
    RETURN_IF_ERROR(read_clauses());
    RETURN_IF_ERROR(find_sequence());
    RETURN_IF_ERROR(find_keys(*primary));
    RETURN_IF_ERROR(find_lookups());
    write_text();
    auto plan = std::make_shared<Plan>();
    plan->kind = Plan::Kind::kLoad;
    plan->route.kind = Route::Kind::kAllShards;
    plan->route.keyspace = table_->keyspace;
    plan->load = std::make_shared<const Load>(std::move(out_));
    return plan;
  }

 private:
  Status read_clauses() {
    const std::string_view text = load_.text;
    Clauses clauses(text, load_.table.span.end() - load_.span.offset);
    clauses_begin_ = clauses.offset();
    ignore_begin_ = text.size();
    ignore_end_ = text.size();
    if (clauses.word() == "partition") return no_form("PARTITION");
    if (clauses.take("character")) {
      clauses.advance();  // SET
      out_.charset = lower(clauses.token());
      std::erase_if(out_.charset, [](char c) { return c == '\'' || c == '"' || c == '`'; });
      clauses.advance();
    }
    if (clauses.take("fields") || clauses.take("columns")) RETURN_IF_ERROR(read_fields(clauses));
    if (clauses.take("lines")) RETURN_IF_ERROR(read_lines(clauses));
    if (clauses.word() == "ignore") {
      ignore_begin_ = clauses.offset();
      clauses.advance();
      const std::string_view digits = clauses.token();
      if (std::from_chars(digits.data(), digits.data() + digits.size(), out_.skipped_lines).ec != std::errc()) {
        return no_form("IGNORE of something that is no number");
      }
      clauses.advance();
      if (!clauses.take("lines") && !clauses.take("rows")) return no_form("this IGNORE");
      ignore_end_ = clauses.at_end() ? text.size() : clauses.offset();
    }
    if (clauses.at(sql::TokenType::kLeftParen)) RETURN_IF_ERROR(read_columns(clauses));
    if (clauses.word() == "set") RETURN_IF_ERROR(check_set(clauses));
    if (out_.format.line_end.empty() || out_.format.field_end.empty()) return no_form("fields of fixed widths");
    return {};
  }

  // The statement for the shards is the client's, with another name for the table, without IGNORE n LINES, and with a
  // field more where a sequence gives its values.
  void write_text() {
    out_.text = "load data local infile 'rows' ";
    if (load_.replace) out_.text += "replace ";
    if (load_.ignore) out_.text += "ignore ";
    out_.text += "into table " + sql::quote_identifier(table_->name) + " ";
    const std::string_view text = load_.text;
    const auto add = [&](size_t begin, size_t end) {
      const bool list = !out_.sequence_table.empty() && begin < columns_begin_ && columns_begin_ <= end;
      if (list) {
        out_.text += text.substr(begin, columns_begin_ - begin);
        out_.text += sql::quote_identifier(table_->auto_increment->column) + ", ";
        begin = columns_begin_;
      }
      out_.text += text.substr(begin, end - begin);
    };
    if (clauses_begin_ >= text.size()) return;
    add(clauses_begin_, ignore_begin_);
    out_.text += " ";
    add(ignore_end_, text.size());
  }

  Status read_fields(Clauses& clauses) {
    for (;;) {
      if (clauses.word() == "terminated") {
        clauses.advance();
        clauses.advance();  // BY
        auto bytes = clauses.bytes();
        if (!bytes) return no_form("a FIELDS TERMINATED BY that is no string");
        out_.format.field_end = std::move(*bytes);
      } else if (clauses.word() == "optionally") {
        clauses.advance();
      } else if (clauses.word() == "enclosed" || clauses.word() == "escaped") {
        const bool enclosed = clauses.word() == "enclosed";
        clauses.advance();
        clauses.advance();
        auto bytes = clauses.bytes();
        if (!bytes || bytes->size() > 1) return no_form("an ENCLOSED BY or ESCAPED BY that is no single byte");
        auto& mark = enclosed ? out_.format.enclosed : out_.format.escape;
        mark = bytes->empty() ? std::nullopt : std::optional((*bytes)[0]);
      } else {
        return {};
      }
    }
  }

  Status read_lines(Clauses& clauses) {
    for (;;) {
      if (clauses.word() == "starting") return no_form("LINES STARTING BY");
      if (clauses.word() != "terminated") return {};
      clauses.advance();
      clauses.advance();
      auto bytes = clauses.bytes();
      if (!bytes) return no_form("a LINES TERMINATED BY that is no string");
      out_.format.line_end = std::move(*bytes);
    }
  }

  Status read_columns(Clauses& clauses) {
    columns_.emplace();
    clauses.advance();
    columns_begin_ = clauses.offset();
    while (!clauses.at_end() && !clauses.at(sql::TokenType::kRightParen)) {
      if (clauses.at(sql::TokenType::kComma)) {
        clauses.advance();
        continue;
      }
      std::string name(clauses.token());
      const bool variable = clauses.at(sql::TokenType::kUserVariable);
      std::erase(name, '`');
      if (variable) variables_.insert(lower(name));
      columns_->push_back(variable ? "" : lower(name));
      clauses.advance();
    }
    clauses.advance();
    return {};
  }

  // What SET computes is known to the servers only, each of which has a part of the rows.
  Status check_set(Clauses& clauses) const {
    const auto* primary = table_->primary_vindex();
    for (; !clauses.at_end(); clauses.advance()) {
      std::string name = lower(clauses.token());
      std::erase(name, '`');
      const auto is_named = [&](const auto& column) { return lower(column) == name; };
      if (std::ranges::any_of(primary->columns, is_named)) {
        return no_form("SET and the column " + name + ", which places the row");
      }
      for (const auto& use : table_->lookups) {
        if (std::ranges::any_of(use.columns, is_named)) return no_form("SET and the lookup vindex column " + name);
      }
      if (table_->auto_increment && is_named(table_->auto_increment->column)) {
        return no_form("SET and the column " + name + ", whose values a sequence gives");
      }
      if (clauses.word() == "select") return no_form("a subquery");
      if (clauses.at(sql::TokenType::kUserVariable) && !variables_.contains(name)) {
        return no_form("a variable of the session; give its value");
      }
    }
    return {};
  }

  // The column that gets a value of the sequence is one that the file has no field for: else its fields have the
  // values.
  Status find_sequence() {
    if (!columns_) {
      columns_.emplace();
      for (const auto& column : known_->columns) {
        if (!column.invisible) columns_->push_back(lower(column.name));
      }
    }
    if (!table_->auto_increment) return {};
    out_.generated_at = find_column(table_->auto_increment->column);
    if (out_.generated_at) return {};
    if (columns_begin_ == 0) return no_form("values of a sequence for a column that is not visible");
    const auto first = static_cast<unsigned char>(out_.format.field_end[0]);
    if (first >= '0' && first <= '9') return no_form("values of a sequence between fields that end with digits");
    if (!table_->auto_increment->problem.empty()) {
      return fail(Code::kFailedPrecondition, table_->auto_increment->problem);
    }
    out_.sequence_keyspace = table_->auto_increment->sequence_keyspace;
    out_.sequence_table = table_->auto_increment->sequence_table;
    return {};
  }

  // The place of its field.
  std::optional<size_t> find_column(std::string_view name) const {
    const auto at = std::ranges::find(*columns_, lower(name));
    return at == columns_->end() ? std::nullopt : std::optional(static_cast<size_t>(at - columns_->begin()));
  }
  bool is_generated(std::string_view name) const {
    return !out_.sequence_table.empty() && lower(table_->auto_increment->column) == lower(name);
  }

  Status find_lookups() {
    if (table_->lookups.empty()) return {};
    out_.with_lookups = routed_;
    for (const auto& use : table_->lookups) {
      if (!use.problem.empty()) {
        return unsupported("LOAD DATA into table " + table_->name + ": its vindex " + use.lookup->name +
                           " cannot be used: " + use.problem);
      }
      auto& values = out_.lookups.emplace_back();
      for (const auto& name : use.columns) {
        const auto* column = known_->find(name);
        if (column == nullptr) return no_form("a lookup vindex column that is not known: " + name);
        values.push_back({.at = find_column(name), .generated = is_generated(name), .column = *column});
        if (values.back().at || values.back().generated) continue;
        if (!column->null_default || column->extra.contains("generated")) {
          return no_form("no field for the lookup vindex column " + name + ", which has a default");
        }
      }
    }
    return {};
  }

  Status find_keys(const vschema::ColumnVindex& primary) {
    for (const auto& name : primary.columns) {
      const auto at = find_column(name);
      if (is_generated(name)) {
        if (primary.columns.size() > 1) return no_form("a generated value in a primary vindex of several columns");
        out_.key.push_back({.name = name});
        continue;
      }
      if (!at) return no_form("no field for the column " + name + ", which places the row");
      InsertRows::Key key{.at = at, .name = name};
      key.type = primary.columns.size() == 1 ? key_type(*table_) : column_key_type(*table_, name);
      for (const auto& column : table_->columns) {
        if (lower(column.name()) == lower(name)) key.column = column.type();
      }
      out_.key.push_back(std::move(key));
    }
    return {};
  }

  const sql::LoadData& load_;
  const PlanContext& context_;
  std::shared_ptr<const vschema::Table> routed_;
  const vschema::Table* table_ = nullptr;
  const schema::Table* known_ = nullptr;
  // Places in the text: of what stands behind the table's name, of IGNORE n LINES, and behind the bracket of the list
  // of columns (0: there is none).
  size_t clauses_begin_ = 0;
  size_t ignore_begin_ = 0;
  size_t ignore_end_ = 0;
  size_t columns_begin_ = 0;
  std::optional<std::vector<std::string>> columns_;  // Lower case; "" for a variable.
  std::set<std::string> variables_;                  // Fields' variables, with their @.
  Load out_;
};

char unescaped(char c) {
  switch (c) {
    case '0': return '\0';
    case 'b': return '\b';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'Z': return '\x1a';
    default: return c;
  }
}

// The bytes of the widest character of a text in UTF-8, at least 1; 0: it is none.
size_t widest_character(std::string_view text) {
  size_t widest = 1;
  for (size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    const size_t size = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : 4;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || at + size > text.size()) return 0;
    for (size_t i = 1; i < size; ++i) {
      if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return 0;
    }
    const auto second = size > 1 ? static_cast<unsigned char>(text[at + 1]) : 0;
    const bool too_long = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool no_character = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
    if (too_long || no_character) return 0;
    widest = std::max(widest, size);
    at += size;
  }
  return widest;
}

}  // namespace

Result<std::shared_ptr<const Plan>> plan_load(const sql::LoadData& load, const PlanContext& context) {
  LoadPlanner planner(load, context);
  return planner.plan();
}

std::vector<size_t> Load::fields() const {
  std::vector<size_t> out;
  for (const auto& one : key) {
    if (one.at) out.push_back(*one.at);
  }
  for (const auto& values : lookups) {
    for (const auto& value : values) {
      if (value.at) out.push_back(*value.at);
    }
  }
  if (generated_at) out.push_back(*generated_at);
  return out;
}

Result<mysql::Value> loaded_value(const schema::Column& column, const std::optional<std::string>& field,
                                  std::string_view charset) {
  if (!field) return lookup_cell(column, mysql::Value::null(), false);
  if (schema::is_whole(column)) {
    // Digits as a server writes them: anything else may mean another number, or none.
    std::string_view digits = *field;
    const bool negative = digits.starts_with('-');
    if (negative) digits.remove_prefix(1);
    const bool plain = !digits.empty() && digits.size() < 20 &&
                       (digits[0] != '0' || (digits.size() == 1 && !negative)) &&
                       digits.find_first_not_of("0123456789") == std::string_view::npos;
    if (!plain) return lookup_cell(column, mysql::Value::of_text(*field), false);
    mysql::Value number = mysql::Value::of_uint(0);
    number.is_unsigned = !negative;
    number.bytes = *field;
    return lookup_cell(column, std::move(number), false);
  }
  if (column.charset.empty()) return lookup_cell(column, mysql::Value::of_text(*field), false);
  auto text = to_utf8(*field, charset);
  const size_t widest = text ? widest_character(*text) : 0;
  const size_t most = column.charset == "utf8mb4" ? 4 : column.charset.starts_with("utf8") ? 3 : 1;
  if (widest == 0 || widest > most) {
    return unsupported("a value of the lookup vindex column " + column.name + " whose bytes in the character set " +
                       std::string(charset) +
                       " may be others in the column; say CHARACTER SET utf8mb4 of a file in "
                       "UTF-8");
  }
  return lookup_cell(column, mysql::Value::of_text(std::move(*text)), false);
}

LineCutter::LineCutter(const LoadFormat& format, std::vector<size_t> fields)
    : format_(format), fields_(std::move(fields)) {}

void LineCutter::add(std::string_view piece) {
  buffer_.erase(0, begin_);
  begin_ = 0;
  buffer_ += piece;
}

std::optional<LineCutter::Line> LineCutter::next(bool last) {
  if (begin_ >= buffer_.size()) return std::nullopt;
  Line line;
  const size_t end = scan(last, line);
  if (end == std::string::npos) return std::nullopt;
  line.bytes = std::string_view(buffer_).substr(begin_, end - begin_);
  begin_ = end;
  return line;
}

size_t LineCutter::scan(bool last, Line& line) const {
  const std::string_view text = buffer_;
  const auto starts = [&](size_t at, const std::string& mark) { return text.substr(at, mark.size()) == mark; };
  // A mark may be cut by the end of the piece.
  const size_t margin = last ? 0 : std::max(format_.field_end.size(), format_.line_end.size()) + 1;
  line.fields.assign(fields_.size(), std::nullopt);
  size_t found = 0;
  size_t at = begin_;
  for (size_t field = 0;; ++field) {
    std::string value;
    bool null = false;
    const bool enclosed = format_.enclosed && at < text.size() && text[at] == *format_.enclosed;
    if (enclosed) ++at;
    bool line_ends = false;
    for (;; ++at) {
      if (at >= text.size()) {
        if (!last) return std::string::npos;
        line_ends = true;
        break;
      }
      if (!last && text.size() - at < margin) return std::string::npos;
      const char c = text[at];
      if (format_.escape && c == *format_.escape && at + 1 < text.size() && format_.enclosed != c) {
        const char next = text[++at];
        null = value.empty() && next == 'N' && !enclosed;
        value += null ? 'N' : unescaped(next);
        continue;
      }
      if (enclosed && c == *format_.enclosed) {
        if (at + 1 < text.size() && text[at + 1] == c) {
          value += c;
          ++at;
          continue;
        }
        const size_t behind = at + 1;
        if (behind >= text.size() || starts(behind, format_.line_end) || starts(behind, format_.field_end)) {
          at = behind;
          line_ends = behind >= text.size() || starts(behind, format_.line_end);
          break;
        }
        value += c;
        continue;
      }
      if (!enclosed && starts(at, format_.line_end)) {
        line_ends = true;
        break;
      }
      if (!enclosed && starts(at, format_.field_end)) break;
      value += c;
    }
    null = null && value.size() == 1;
    if (!enclosed && format_.enclosed && value == "NULL") null = true;
    for (size_t i = 0; i < fields_.size(); ++i) {
      if (fields_[i] != field) continue;
      ++found;
      if (!null) line.fields[i] = value;
    }
    if (!line_ends) {
      at += format_.field_end.size();
      continue;
    }
    line.complete = found == fields_.size();
    return std::min(text.size(), at + format_.line_end.size());
  }
}

}  // namespace vitrail::plan
