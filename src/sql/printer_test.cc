#include "sql/printer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sql/parser.h"
#include "sql/tables.h"

namespace vitrail::sql {
namespace {

Ast must_parse(std::string_view text) {
  auto ast = parse(text);
  EXPECT_TRUE(ast.ok()) << text << ": " << (ast.ok() ? "" : ast.error().message());
  return ast.ok() ? std::move(*ast) : std::move(*parse(""));
}

std::string printed(std::string_view text, const PrintOptions& options) {
  return print(must_parse(text).statement(), options);
}

// ---- Quotes ---------------------------------------------------------------------------------------------------------

TEST(Printer, QuotesNamesOnlyWhenNeeded) {
  EXPECT_EQ(printed("select `a`, `select`, `a b`, `x``y`, `1a`, t.`key` from `user`", {}),
            "select a, `select`, `a b`, `x``y`, `1a`, t.`key` from user");
  EXPECT_EQ(quote_identifier("a`b"), "`a``b`");
  EXPECT_EQ(quote_identifier_if_needed("ks:-80"), "`ks:-80`");
}

TEST(Printer, KeepsMinusSignsApart) {
  EXPECT_EQ(printed("select - -1, -(-1), 1 - -1, -@a", {}), "select - -1, - -1, 1 - -1, -@a");
}

TEST(Printer, KeepsParenthesesOfSetOperations) {
  EXPECT_EQ(printed("((select 1) union select 2) union ((select 3))", {}), "(select 1 union select 2) union select 3");
  EXPECT_EQ(printed("select 1 union ((select 2 limit 1) except select 3)", {}),
            "select 1 union ((select 2 limit 1) except select 3)");
  EXPECT_EQ(printed("select 1 in (((select 1) except (select 2 limit 3)) union select 4)", {}),
            "select 1 in ((select 1 except (select 2 limit 3)) union select 4)");
  EXPECT_EQ(printed("((select 1 union select 2))", {}), "select 1 union select 2");
}

TEST(Printer, PutsDirectivesBehindTheVerb) {
  EXPECT_EQ(printed("/*vt+ A=1 */ select 1 /*vt+ B=2 */", {}), "select /*vt+ A=1 */ /*vt+ B=2 */ 1");
  EXPECT_EQ(printed("with x as (select 1) select /*vt+ A=1 */ * from x", {}),
            "with x as (select 1) select /*vt+ A=1 */ * from x");
  EXPECT_EQ(printed("insert /*vt+ A=1 */ into t values (1)", {}), "insert /*vt+ A=1 */ into t values (1)");
  EXPECT_EQ(printed("vexplain /*vt+ A=1 */ queries delete from t", {}), "vexplain /*vt+ A=1 */ queries delete from t");
  EXPECT_EQ(printed("create view v as select /*vt+ A=1 */ 1", {}), "create view v as select /*vt+ A=1 */ 1");
}

// ---- Changes on the way ---------------------------------------------------------------------------------------------

PrintOptions without_qualifiers() {
  PrintOptions options;
  options.table = [](const TableName&, TableRewrite& rewrite) { rewrite.qualifier.clear(); };
  return options;
}

TEST(Printer, CutsQualifiers) {
  const PrintOptions cut = without_qualifiers();
  EXPECT_EQ(
      printed("select ks.t.a, ks.t.* from ks.t join `ks:-80`.u on t.a = ks.u.b where exists (select 1 from ks.v)", cut),
      "select t.a, t.* from t join u on t.a = u.b where exists (select 1 from v)");
  EXPECT_EQ(printed("insert into ks.t select * from ks.u", cut), "insert into t select * from u");
  EXPECT_EQ(printed("update ks.t set ks.t.a = 1", cut), "update t set t.a = 1");
  EXPECT_EQ(printed("delete x, ks.u from ks.t as x join ks.u on a", cut), "delete x, u from t as x join u on a");
  EXPECT_EQ(printed("drop table ks.t, ks.u", cut), "drop table t, u");
  EXPECT_EQ(printed("create table ks.t (a int references ks.u (a)) /* kept */ engine=innodb", cut),
            "create table t (a int references u (a)) /* kept */ engine=innodb");
  EXPECT_EQ(printed("create view ks.v as select a from ks.t with check option", cut),
            "create view v as select a from t with check option");
  EXPECT_EQ(printed("create view ks.v as(select (1)) order by(2)with check option", cut),
            "create view v as select 1 order by 2 with check option");
  EXPECT_EQ(printed("create table`ks`.`t`like`u`", cut), "create table t like u");
  EXPECT_EQ(printed("alter table ks.t rename ks.u", cut), "alter table t rename u");
  EXPECT_EQ(printed("load data infile 'x' into table ks.t (a)", cut), "load data infile 'x' into table t (a)");
  EXPECT_EQ(printed("show columns from ks.t", cut), "show columns from t");
  EXPECT_EQ(printed("lock tables ks.t read", cut), "lock tables t read");
}

TEST(Printer, RenamesTables) {
  PrintOptions options;
  options.table = [](const TableName& table, TableRewrite& rewrite) {
    EXPECT_FALSE(table.span.empty());
    if (rewrite.name == "t") {
      rewrite.qualifier = "_vt";
      rewrite.name = "select";
    }
  };
  EXPECT_EQ(printed("select a from t, u as t", options), "select a from _vt.`select`, u as t");
  EXPECT_EQ(printed("delete t from u as t", options), "delete t from u as t");
}

TEST(Printer, ReplacesParametersByText) {
  PrintOptions options;
  options.expr = [](const Expr& expr, std::string& out) {
    if (const auto* parameter = as<Parameter>(&expr)) {
      out += parameter->index == 0 ? "'x'" : "-5";
      return true;
    }
    if (const auto* variable = as<BindVariable>(&expr)) {
      out += variable->list ? "(1, 2)" : "7";
      return true;
    }
    return false;
  };
  EXPECT_EQ(printed("select ? from t where a = ? and b = :c limit :d", options),
            "select 'x' from t where a = (-5) and b = 7 limit 7");
  EXPECT_EQ(printed("select 1 from t where a in ::list", options), "select 1 from t where a in (1, 2)");
}

TEST(Printer, AddsAConjunctToOneWhere) {
  PrintOptions options;
  options.extra_where = "k in (1, 2) or x";
  const auto with = [&](const Ast& ast, const void* node) {
    options.where_of = node;
    return print(ast.statement(), options);
  };
  const Ast both = must_parse("select 1 from t where a or b union select 2 from u");
  const auto* set = static_cast<const SetOperation*>(static_cast<const QueryStatement&>(both.statement()).query);
  EXPECT_EQ(with(both, set->left), "select 1 from t where (a or b) and (k in (1, 2) or x) union select 2 from u");
  EXPECT_EQ(with(both, set->right), "select 1 from t where a or b union select 2 from u where (k in (1, 2) or x)");
  EXPECT_EQ(with(both, nullptr), "select 1 from t where a or b union select 2 from u");
  const Ast update = must_parse("update t set a = 1 where b and c limit 1");
  EXPECT_EQ(with(update, &update.statement()), "update t set a = 1 where b and c and (k in (1, 2) or x) limit 1");
  const Ast remove = must_parse("delete from t");
  EXPECT_EQ(with(remove, &remove.statement()), "delete from t where (k in (1, 2) or x)");
}

TEST(Printer, PrintsNodesMadeByARewriter) {
  Ast ast = must_parse("select a from t");
  auto* select = static_cast<Select*>(static_cast<QueryStatement&>(ast.statement()).query);
  auto* literal = ast.arena().make<Literal>();
  literal->kind = ExprKind::kLiteral;
  literal->literal = LiteralKind::kInteger;
  literal->text = ast.arena().copy_text("5");
  auto* equal = ast.arena().make<Binary>();
  equal->kind = ExprKind::kBinary;
  equal->op = BinaryOp::kLess;
  equal->left = select->items[0].expr;
  equal->right = literal;
  select->where = equal;
  EXPECT_EQ(print(ast.statement()), "select a from t where a < 5");
}

// ---- Tables ---------------------------------------------------------------------------------------------------------

// "ks.t u(w)": every table use in order, written ones marked.
std::string tables(std::string_view text) {
  const Ast ast = must_parse(text);
  std::string out;
  for (const TableUse& use : collect_tables(ast.statement())) {
    if (!out.empty()) out += ' ';
    EXPECT_FALSE(use.name_span.empty()) << text;
    if (!use.qualifier.empty()) out += std::string(use.qualifier) + ".";
    out += use.name;
    if (use.access == TableAccess::kWrite) out += "(w)";
  }
  return out;
}

TEST(Tables, AreFoundEverywhereInAQuery) {
  EXPECT_EQ(tables("select (select 1 from a) from ks.b, (select 2 from c) as x join d on exists (select 3 from e) "
                   "where f in (select 4 from g) group by (select 5 from h) having (select 6 from i) "
                   "order by (select 7 from j) limit 1"),
            "a ks.b c d e g h i j");
  EXPECT_EQ(tables("select 1 from a union (select 2 from b) union all table c"), "a b c");
  EXPECT_EQ(tables("select 1 from dual, `dual`"), "dual");
  EXPECT_EQ(tables("select sum((select 1 from a)) over (order by (select 2 from b)) from c"), "a b c");
}

TEST(Tables, LeaveCommonTablesOut) {
  EXPECT_EQ(tables("with x as (select 1 from a) select 1 from x, b"), "a b");
  EXPECT_EQ(tables("with x as (select 1 from x) select 1 from x"), "x");  // The inner one is the real table.
  EXPECT_EQ(tables("with recursive x as (select 1 from a union select 2 from x) select 1 from X"), "a");
  EXPECT_EQ(tables("with x as (select 1 from a), y as (select 1 from x, b) select 1 from y, ks.x"), "a b ks.x");
  EXPECT_EQ(tables("select 1 from (with x as (select 1 from a) select 1 from x) as d, x"), "a x");
  EXPECT_EQ(tables("with x as (select 1 from a) delete from t where b in (select 1 from x)"), "a t(w)");
}

TEST(Tables, TellWritesFromReads) {
  EXPECT_EQ(tables("insert into ks.t (a) select 1 from u on duplicate key update a = (select 2 from v)"),
            "ks.t(w) u v");
  EXPECT_EQ(tables("replace into t values ((select 1 from u))"), "t(w) u");
  EXPECT_EQ(tables("update t set a = (select 1 from u)"), "t(w) u");
  EXPECT_EQ(tables("update t join u on x set t.a = u.b"), "t(w) u");
  EXPECT_EQ(tables("update t as x join u on x set x.a = 1"), "t(w) u");
  EXPECT_EQ(tables("update t, u set a = 1"), "t(w) u(w)");
  EXPECT_EQ(tables("update t, ks.u set ks.u.a = 1"), "t ks.u(w)");
  EXPECT_EQ(tables("delete from t where a in (select 1 from u)"), "t(w) u");
  EXPECT_EQ(tables("delete x from t as x join u on y"), "t(w) u");
  EXPECT_EQ(tables("delete t from t join u on y"), "t(w) t(w) u");
  EXPECT_EQ(tables("delete from a, b using a join b join c"), "a(w) b(w) a(w) b(w) c");
  EXPECT_EQ(tables("select 1 from t for update"), "t");
  EXPECT_EQ(tables("select next 1 values from seq"), "seq(w)");
  EXPECT_EQ(tables("select next value for s.q, previous value for q, nextval(r), lastval(s.r)"), "s.q(w) q r(w) s.r");
}

TEST(Tables, AreFoundInOtherStatements) {
  EXPECT_EQ(tables("create table t like u"), "t(w) u");
  EXPECT_EQ(tables("create view v as select 1 from t"), "v(w) t");
  EXPECT_EQ(tables("alter table t rename u"), "t(w) u(w)");
  EXPECT_EQ(tables("drop table a, b"), "a(w) b(w)");
  EXPECT_EQ(tables("create index i on t (a)"), "t(w)");
  EXPECT_EQ(tables("create trigger x after insert on t for each row set @a = 1"), "t(w)");
  EXPECT_EQ(tables("drop database t"), "");
  EXPECT_EQ(tables("lock tables a read, b write"), "a b(w)");
  EXPECT_EQ(tables("load data infile 'x' into table t"), "t(w)");
  EXPECT_EQ(tables("explain delete from t"), "t(w)");
  EXPECT_EQ(tables("desc ks.t"), "ks.t");
  EXPECT_EQ(tables("show columns from t from ks"), "ks.t");
  EXPECT_EQ(tables("analyze table a"), "a");
  EXPECT_EQ(tables("set @a = (select 1 from t)"), "t");
  EXPECT_EQ(tables("set statement a = 1 for insert into t values (1)"), "t(w)");
  EXPECT_EQ(tables("call p((select 1 from t))"), "t");
  EXPECT_EQ(tables("do (select 1 from t)"), "t");
  EXPECT_EQ(tables("table t"), "t");
  EXPECT_EQ(tables("stream * from t"), "t(w)");
  EXPECT_EQ(tables("vstream * from t"), "t");
}

TEST(Tables, CarryPlacesThatCanBeCut) {
  const std::string_view text = "select 1 from `k s` . t";
  const Ast ast = must_parse(text);
  const auto uses = collect_tables(ast.statement());
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].span.of(text), "`k s` . t");
  EXPECT_EQ(uses[0].qualifier_span.of(text), "`k s`");
  EXPECT_EQ(uses[0].name_span.of(text), "t");
}

}  // namespace
}  // namespace vitrail::sql
