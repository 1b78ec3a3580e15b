#include "sql/printer.h"

#include "sql/printer_impl.h"

namespace vitrail::sql {

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         static_cast<uint8_t>(c) >= 0x80;
}

// ---- Names ----------------------------------------------------------------------------------------------------------

std::string quote_identifier(std::string_view name) {
  std::string out;
  out.reserve(name.size() + 2);
  out += '`';
  for (char c : name) {
    if (c == '`') out += '`';
    out += c;
  }
  out += '`';
  return out;
}

std::string quote_identifier_if_needed(std::string_view name) {
  return needs_quotes(name) ? quote_identifier(name) : std::string(name);
}

void Printer::identifier(const Identifier& name) {
  if (needs_quotes(name.text)) {
    add(quote_identifier(name.text));
  } else {
    add(name.text);
  }
}

void Printer::names(List<Identifier> names) {
  add('(');
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) add(", ");
    identifier(names[i]);
  }
  add(')');
}

// Character sets and collations: BINARY and DEFAULT are words there.
void Printer::charset(const Identifier& name) {
  const Keyword keyword = find_keyword(name.text);
  if (!name.quoted && (keyword == Keyword::kBinary || keyword == Keyword::kDefault)) {
    add(keyword_text(keyword));
  } else {
    identifier(name);
  }
}

void Printer::table_name(const TableName& name) {
  if (options_.table) {
    TableRewrite rewrite{std::string(name.qualifier.text), std::string(name.name.text)};
    options_.table(name, rewrite);
    if (!rewrite.qualifier.empty()) {
      add(quote_identifier_if_needed(rewrite.qualifier));
      add('.');
    }
    // DUAL is a keyword, and the only table name that is printed as one.
    const bool dual = find_keyword(rewrite.name) == Keyword::kDual && rewrite.qualifier.empty() && !name.name.quoted;
    add(dual ? "dual" : quote_identifier_if_needed(rewrite.name));
    return;
  }
  if (!name.qualifier.empty()) {
    identifier(name.qualifier);
    add('.');
    identifier(name.name);
    return;
  }
  if (!name.name.quoted && find_keyword(name.name.text) == Keyword::kDual) {
    add("dual");
  } else {
    identifier(name.name);
  }
}

void Printer::schema_part(const Identifier& schema) {
  if (schema.empty()) return;
  if (options_.table) {
    TableName name;
    name.qualifier = schema;
    name.span = schema.span;
    TableRewrite rewrite{std::string(schema.text), {}};
    options_.table(name, rewrite);
    if (rewrite.qualifier.empty()) return;
    add(quote_identifier_if_needed(rewrite.qualifier));
  } else {
    identifier(schema);
  }
  add('.');
}

void Printer::verb(std::string_view word) {
  add(word);
  for (std::string_view directive : directives_) {
    add(' ');
    add(directive);
  }
  directives_ = {};
}

void Printer::hints(List<std::string_view> hints) {
  for (std::string_view hint : hints) {
    add(' ');
    add(hint);
  }
}

void Printer::alias(const Identifier& alias) {
  if (alias.empty()) return;
  add(" as ");
  identifier(alias);
}

// ---- Entry points ---------------------------------------------------------------------------------------------------

std::string print(const Statement& statement, const PrintOptions& options) {
  Printer printer(options);
  printer.statement(statement);
  return printer.take();
}

std::string print(const Query& query, const PrintOptions& options) {
  Printer printer(options);
  printer.query(query);
  return printer.take();
}

std::string print(const Expr& expr, const PrintOptions& options) {
  Printer printer(options);
  printer.expr(expr);
  return printer.take();
}

std::string print(const TableRef& table, const PrintOptions& options) {
  Printer printer(options);
  printer.table_ref(table);
  return printer.take();
}

std::string print(const TableName& name, const PrintOptions& options) {
  Printer printer(options);
  printer.table_name(name);
  return printer.take();
}

}  // namespace vitrail::sql
