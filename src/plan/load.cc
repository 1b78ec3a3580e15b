#include "plan/load.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "plan/change.h"
#include "plan/routing.h"
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
    table_ = routed.table.get();
    if (table_->type != vschema::TableType::kNormal) return unsupported("changing a reference table");
    if (!table_->lookups.empty()) return no_form("lookup vindexes");
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
    RETURN_IF_ERROR(read_clauses());
    RETURN_IF_ERROR(find_keys(*primary));
    auto plan = std::make_shared<Plan>();
    plan->kind = Plan::Kind::kLoad;
    plan->route.kind = Route::Kind::kAllShards;
    plan->route.keyspace = table_->keyspace;
    plan->load = std::make_shared<const Load>(std::move(out_));
    return plan;
  }

 private:
  // The statement for the shards is the client's, with another name for the table and without IGNORE n LINES.
  Status read_clauses() {
    const std::string_view text = load_.text;
    const size_t base = load_.span.offset;
    out_.text = "load data local infile 'rows' ";
    if (load_.replace) out_.text += "replace ";
    if (load_.ignore) out_.text += "ignore ";
    out_.text += "into table " + sql::quote_identifier(table_->name) + " ";
    Clauses clauses(text, load_.table.span.end() - base);
    const size_t begin = clauses.offset();
    size_t ignore_begin = text.size();
    size_t ignore_end = text.size();
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
      ignore_begin = clauses.offset();
      clauses.advance();
      const std::string_view digits = clauses.token();
      if (std::from_chars(digits.data(), digits.data() + digits.size(), out_.skipped_lines).ec != std::errc()) {
        return no_form("IGNORE of something that is no number");
      }
      clauses.advance();
      if (!clauses.take("lines") && !clauses.take("rows")) return no_form("this IGNORE");
      ignore_end = clauses.at_end() ? text.size() : clauses.offset();
    }
    if (clauses.at(sql::TokenType::kLeftParen)) RETURN_IF_ERROR(read_columns(clauses));
    if (clauses.word() == "set") RETURN_IF_ERROR(check_set(clauses));
    if (begin < text.size()) {
      out_.text += std::string(text.substr(begin, ignore_begin - begin)) + " " + std::string(text.substr(ignore_end));
    }
    if (out_.format.line_end.empty() || out_.format.field_end.empty()) return no_form("fields of fixed widths");
    return {};
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
      const bool key = std::ranges::any_of(primary->columns, [&](const auto& column) { return lower(column) == name; });
      if (key) return no_form("SET and the column " + name + ", which places the row");
      if (clauses.word() == "select") return no_form("a subquery");
      if (clauses.at(sql::TokenType::kUserVariable) && !variables_.contains(name)) {
        return no_form("a variable of the session; give its value");
      }
    }
    return {};
  }

  Status find_keys(const vschema::ColumnVindex& primary) {
    if (!columns_) {
      columns_.emplace();
      for (const auto& column : known_->columns) {
        if (!column.invisible) columns_->push_back(lower(column.name));
      }
    }
    if (table_->auto_increment) {
      const std::string generated = lower(table_->auto_increment->column);
      if (std::ranges::find(*columns_, generated) == columns_->end()) return no_form("values of a sequence");
      out_.generates = true;
    }
    for (const auto& name : primary.columns) {
      const auto at = std::ranges::find(*columns_, lower(name));
      if (at == columns_->end()) return no_form("no field for the column " + name + ", which places the row");
      InsertRows::Key key{.at = static_cast<size_t>(at - columns_->begin()), .name = name};
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
  const vschema::Table* table_ = nullptr;
  const schema::Table* known_ = nullptr;
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

}  // namespace

Result<std::shared_ptr<const Plan>> plan_load(const sql::LoadData& load, const PlanContext& context) {
  LoadPlanner planner(load, context);
  return planner.plan();
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
