#pragma once

#include <string>
#include <string_view>

#include "sql/parser_impl.h"
#include "sql/printer.h"

// Private to src/sql: the writer behind printer.h.
namespace vitrail::sql {

// A byte of an unquoted name.
bool is_name_byte(char c);

class Printer {
 public:
  explicit Printer(const PrintOptions& options) : options_(options) {}
  std::string take() { return std::move(out_); }

  void statement(const Statement& statement);
  void query(const Query& query);
  void expr(const Expr& expr, Precedence min = kLowest);
  void table_ref(const TableRef& table);
  void table_name(const TableName& name);

 private:
  // Text.
  void add(std::string_view text) { out_ += text; }
  void add(char c) { out_ += c; }
  void identifier(const Identifier& name);
  void names(List<Identifier> names);  // (a, b)
  void charset(const Identifier& name);
  void verb(std::string_view word);  // The first word, then the pending directives.
  void hints(List<std::string_view> hints);
  void alias(const Identifier& alias);

  // Expressions.
  void compound(const Expr& expr);
  void literal(const Literal& literal);
  void column(const Column& column);
  void star(const Star& star);
  void user_variable(const UserVariable& variable);
  void system_variable(VariableScope scope, const Identifier& base, const Identifier& name);
  void unary(const Unary& unary);
  void binary(const Binary& binary);
  void logical(const Logical& logical);
  void is_test(const Is& is);
  void like(const Like& like);
  void in(const In& in);
  void case_expr(const Case& node);
  void cast_type(const CastType& type);
  void cast(const Cast& cast);
  void function(const FunctionCall& call);
  void function_name(const FunctionCall& call);
  void match(const Match& match);
  void subquery(const Query& query);
  void exprs(List<Expr*> items);
  void sort_key(const Expr& key);
  void order_items(List<OrderItem> items);
  void window(const WindowSpec& window);
  void frame_bound(const FrameBound& bound);

  // Queries.
  void with(const With& with);
  void select(const Select& select);
  void set_operation(const SetOperation& operation);
  void operand(const Query& query, bool parentheses);
  void values(const ValuesQuery& values);
  void tail(const Query& query);
  void limit(const Limit* limit);
  void lock(const LockClause& lock);
  void into(const Into& into);
  void select_items(List<SelectItem> items);
  void where(const Expr* where, const void* owner);
  void rows(List<List<Expr*>> rows, std::string_view prefix);
  void table_refs(List<TableRef*> tables);
  void table_source(const TableSource& table);
  void join(const Join& join);
  void schema_part(const Identifier& schema);

  // Statements (print_statement.cc).
  void insert(const Insert& insert);
  void update(const Update& update);
  void remove(const Delete& statement);
  void assignments(List<Assignment> items);
  void returning(List<SelectItem> items);
  void transaction(const Transaction& transaction);
  void set(const SetStatement& set);
  void set_item(const SetItem& item);
  void show(const Show& show);
  void ddl(const Ddl& ddl);
  void lock_tables(const LockTables& lock);
  void explain(const Explain& explain);
  void kill(const Kill& kill);
  void call(const Call& call);
  void prepared(const PreparedStatement& prepared);
  void flush(const Flush& flush);
  void table_admin(const TableAdmin& admin);
  void load(const LoadData& load);
  void alter_vschema(const AlterVschema& alter);
  void stream(const StreamStatement& stream);
  void table_names(List<TableName> names);
  void text_with_names(std::string_view text, uint32_t start, List<DdlName> names);

  const PrintOptions& options_;
  std::string out_;
  List<std::string_view> directives_;
};

}  // namespace vitrail::sql
