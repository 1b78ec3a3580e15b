#include "sql/parser.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "sql/fingerprint.h"
#include "sql/literal.h"
#include "sql/printer.h"
#include "sql/walk.h"

namespace vitrail::sql {
namespace {

// The tree of an expression with every operation in parentheses.
std::string tree(std::string_view text, const ParseOptions& options = {}) {
  const auto ast = parse_expression(text, options);
  if (!ast.ok()) return "error: " + ast.error().message();
  PrintOptions print_options;
  print_options.full_parentheses = true;
  return print(*static_cast<const Do&>(ast->statement()).items[0].expr, print_options);
}

// The canonical text of a statement.
std::string canonical(std::string_view text, const ParseOptions& options = {}) {
  const auto ast = parse(text, options);
  return ast.ok() ? print(ast->statement()) : "error: " + ast.error().message();
}

std::string error_of(std::string_view text, const ParseOptions& options = {}) {
  const auto ast = parse(text, options);
  return ast.ok() ? "parsed" : ast.error().message();
}

Ast must_parse(std::string_view text, const ParseOptions& options = {}) {
  auto ast = parse(text, options);
  EXPECT_TRUE(ast.ok()) << text << ": " << (ast.ok() ? "" : ast.error().message());
  return ast.ok() ? std::move(*ast) : std::move(*parse("", options));
}

const Select& select_of(const Ast& ast) {
  return static_cast<const Select&>(*static_cast<const QueryStatement&>(ast.statement()).query);
}

// ---- Precedence -----------------------------------------------------------------------------------------------------

TEST(Precedence, FollowsTheManual) {
  EXPECT_EQ(tree("a or b and c"), "(a or (b and c))");
  EXPECT_EQ(tree("a or b xor c and d"), "(a or (b xor (c and d)))");
  EXPECT_EQ(tree("not a = b"), "(not (a = b))");
  EXPECT_EQ(tree("not a and b"), "((not a) and b)");
  EXPECT_EQ(tree("! a = b"), "((!a) = b)");
  EXPECT_EQ(tree("a = b = c"), "((a = b) = c)");
  EXPECT_EQ(tree("a = b is null"), "((a = b) is null)");
  EXPECT_EQ(tree("a + b = c | d"), "((a + b) = (c | d))");
  EXPECT_EQ(tree("a | b & c << d + e * f ^ g"), "(a | (b & (c << (d + (e * (f ^ g))))))");
  EXPECT_EQ(tree("a - b - c"), "((a - b) - c)");
  EXPECT_EQ(tree("a div b mod c % d / e"), "((((a div b) % c) % d) / e)");
  EXPECT_EQ(tree("-a ^ b"), "((-a) ^ b)");
  EXPECT_EQ(tree("-a * -b"), "((-a) * (-b))");
  EXPECT_EQ(tree("-a collate x"), "(-(a collate x))");
  EXPECT_EQ(tree("binary a = b"), "((binary a) = b)");
  EXPECT_EQ(tree("~a | !b"), "((~a) | (!b))");
}

TEST(Precedence, PutsPredicatesBelowComparisons) {
  EXPECT_EQ(tree("a = b like c"), "(a = (b like c))");
  EXPECT_EQ(tree("a like b = c"), "((a like b) = c)");
  EXPECT_EQ(tree("a in (1, 2) = b"), "((a in (1, 2)) = b)");
  EXPECT_EQ(tree("a between b and c and d"), "((a between b and c) and d)");
  EXPECT_EQ(tree("a not between b and c = d"), "((a not between b and c) = d)");
  EXPECT_EQ(tree("a between b and c between d and e"), "(a between b and (c between d and e))");
  EXPECT_EQ(tree("a not like b escape '!' or c"), "((a not like b escape '!') or c)");
  EXPECT_EQ(tree("a rlike b + 1"), "(a regexp (b + 1))");
  EXPECT_EQ(tree("a sounds like b"), "(a sounds like b)");
  EXPECT_EQ(tree("1 member of ('[1]')"), "(1 member of ('[1]'))");
  // As MariaDB groups them; MySQL refuses such chains.
  EXPECT_EQ(tree("a like b not like c"), "(a like (b not like c))");
  EXPECT_EQ(tree("a like b like c"), "((a like b) like c)");
}

TEST(Precedence, ClosesPredicatesWithoutRightOperand) {
  EXPECT_EQ(tree("a is null is true"), "((a is null) is true)");
  EXPECT_EQ(tree("a is not null or b"), "((a is not null) or b)");
  EXPECT_TRUE(tree("a is null + 1").starts_with("error")) << tree("a is null + 1");
  EXPECT_TRUE(tree("a in (1) * 2").starts_with("error"));
}

TEST(Precedence, FlattensChainsOfOneOperator) {
  const auto ast = parse_expression("a and (b and c) and d or e");
  ASSERT_TRUE(ast.ok());
  const auto* either = as<Logical>(static_cast<const Do&>(ast->statement()).items[0].expr);
  ASSERT_NE(either, nullptr);
  ASSERT_EQ(either->operands.size(), 2u);
  const auto* both = as<Logical>(either->operands[0]);
  ASSERT_NE(both, nullptr);
  EXPECT_EQ(both->operands.size(), 4u);
}

TEST(Precedence, TreatsPipesAndNotByMode) {
  EXPECT_EQ(tree("a || b and c"), "(a or (b and c))");
  EXPECT_EQ(tree("a && b || c"), "((a and b) or c)");
  ParseOptions concat;
  concat.pipes_as_concat = true;
  EXPECT_EQ(tree("a || b = c ^ d || e", concat), "((a || b) = (c ^ (d || e)))");
  ParseOptions high_not;
  high_not.high_not_precedence = true;
  EXPECT_EQ(tree("not a = b", high_not), "((!a) = b)");
}

TEST(Precedence, ClosesASumWithTheUnitOfAnInterval) {
  EXPECT_EQ(tree("d + interval 1 day * 2"), "((d + interval 1 day) * 2)");
  EXPECT_EQ(tree("interval a + 1 day + d"), "(interval (a + 1) day + d)");
  EXPECT_EQ(tree("d - interval (1) month"), "(d - interval 1 month)");
  EXPECT_EQ(tree("d + interval(1, 2) * 3"), "(d + (interval(1, 2) * 3))");
  EXPECT_EQ(tree("date_add(d, interval '1:2' minute_second)"), "date_add(d, interval '1:2' minute_second)");
}

TEST(Precedence, BindsAssignmentsLoosest) {
  EXPECT_EQ(tree("@a := 1 + 2 or b"), "(@a := ((1 + 2) or b))");
  EXPECT_EQ(tree("1 + @a := 5"), "(1 + (@a := 5))");
  EXPECT_EQ(tree("@a := @b := 1"), "(@a := (@b := 1))");
}

// ---- Expressions ----------------------------------------------------------------------------------------------------

TEST(Expression, ReadsSpecialForms) {
  const std::vector<std::string> same = {
      "case when a then b else c end",
      "case a when 1 then 2 when 3 then 4 end",
      "cast(a as char(10) character set utf8mb4)",
      "cast(a as decimal(10, 2))",
      "cast(a as unsigned array)",
      "cast(a at time zone '+00:00' as datetime(6))",
      "convert(a, signed)",
      "convert(a using binary)",
      "extract(day_hour from d)",
      "trim(a)",
      "trim(both 'x' from a)",
      "trim(leading from a)",
      "trim('x' from a)",
      "position('a' in b)",
      "substring(a, 1, 2)",
      "timestampadd(day, 1, d)",
      "timestampdiff(sql_tsi_month, a, b)",
      "get_format(date, 'USA')",
      "match(a, b) against ('x' in boolean mode)",
      "match(a) against ('x' in natural language mode with query expansion)",
      "match(a) against ('x' with query expansion)",
      "group_concat(distinct a, b order by c desc, d separator '; ')",
      "group_concat(a limit 1, 2)",
      "count(*)",
      "count(distinct a, b)",
      "char(65, 66 using utf8mb4)",
      "weight_string(a as char(3))",
      "json_value(a, '$.b' returning signed default 1 on empty)",
      "a -> '$.b'",
      "t.a ->> '$[0]'",
      "current_timestamp",
      "current_timestamp(6)",
      "utc_date",
      "if(a, b, c)",
      "left(a, 1)",
      "replace(a, b, c)",
      "insert(a, 1, 2, b)",
      "mod(a, 2)",
      "char(65)",
      "database()",
      "interval(1, 2, 3)",
      "row(1, 2) = (3, 4)",
      "exists (select 1)",
      "a = any (select b from t)",
      "a != all (select b from t)",
      "default(a)",
      "values(a)",
      "date '2020-01-01'",
      "timestamp '2020-01-01 00:00:00'",
      "_utf8mb4 'x' collate utf8mb4_bin",
      "@@session.sql_mode",
      "@@global.hot.key_buffer_size",
      "@`a b`",
      "a in ::list",
      "a in (select b from t)",
      "(a, b) in ((1, 2), (3, 4))",
      "rank() over (partition by a, b order by c desc)",
      "sum(a) over w",
      "sum(a) over (w rows between 1 preceding and current row)",
      "sum(a) over (order by b range between unbounded preceding and interval 1 day following)",
      "sum(a) over (rows unbounded preceding)",
      "nth_value(a, 2) from last ignore nulls over w",
      "lag(a) respect nulls over ()",
      "percentile_cont(0.5) within group (order by a desc) over (partition by b)",
      "next value for s.q",
      "user.f(1)",
      "`exists`(1)",
      "'a' 'b'",
      "rank",
      "date",
      "timestamp",
  };
  for (const std::string& text : same) {
    const auto ast = parse_expression(text);
    ASSERT_TRUE(ast.ok()) << text << ": " << ast.error().message();
    std::string expected = text == "rank" ? "`rank`" : text;
    EXPECT_EQ(print(*static_cast<const Do&>(ast->statement()).items[0].expr), expected);
  }
}

TEST(Expression, ReadsOtherSpellingsAsOne) {
  EXPECT_EQ(tree("substring(a from 1 for 2)"), "substring(a, 1, 2)");
  EXPECT_EQ(tree("count(all a)"), "count(a)");
  EXPECT_EQ(tree("a <> b"), "(a != b)");
  EXPECT_EQ(tree("a = some (select 1)"), "(a = any (select 1))");
  EXPECT_EQ(tree("a in ((select 1))"), "(a in (select 1))");
  EXPECT_EQ(tree("((select 1) union (select 2))"), "((select 1) union (select 2))");
  EXPECT_EQ(tree("{d '2020-01-01'}"), "date '2020-01-01'");
  EXPECT_EQ(tree("{fn now()}"), "now()");
  EXPECT_EQ(tree("\\N"), "null");
  EXPECT_EQ(tree("convert(a, char character set latin1)"), "convert(a, char character set latin1)");
  EXPECT_EQ(tree("cast(a as integer)"), "cast(a as signed)");
}

TEST(Expression, NumbersLiteralsLikeTheFingerprint) {
  const std::string_view text = "select 'x' 'y', t.1, 2.5 from t where a = _utf8'z' and b in (0x1F, -3) limit 4";
  const Ast ast = must_parse(text);
  std::vector<LiteralPosition> storage(16);
  const FingerprintResult result = fingerprint(text, storage);
  EXPECT_EQ(ast.literal_count(), result.literal_count);
  struct Finder : Walker {
    bool enter(const Expr& expr) override {
      if (const auto* literal = as<Literal>(&expr)) found.push_back(literal);
      return true;
    }
    std::vector<const Literal*> found;
  } finder;
  finder.walk(ast.statement());
  ASSERT_EQ(finder.found.size(), 6u);
  for (const Literal* literal : finder.found) {
    EXPECT_EQ(result.literals[literal->index].text(text), literal->text);
  }
  EXPECT_EQ(finder.found[0]->parts(), 2u);
  EXPECT_EQ(string_value(*finder.found[0]), "xy");
}

TEST(Expression, CountsParameters) {
  const Ast ast = must_parse("select ? from t where a = ? limit ?");
  EXPECT_EQ(ast.parameter_count(), 3u);
  EXPECT_EQ(as<Parameter>(select_of(ast).limit->count)->index, 2u);
}

// ---- Places ---------------------------------------------------------------------------------------------------------

TEST(Places, CoverTheTextOfANode) {
  const std::string_view text =
      "select /* c */ (a + 1) * b as x, `q`.c from ks.t as t1 where ((a = 1)) order by 2 limit 3";
  const Ast ast = must_parse(text);
  const Select& select = select_of(ast);
  EXPECT_EQ(select.items[0].expr->span.of(text), "(a + 1) * b");
  EXPECT_EQ(select.items[0].expr_span.of(text), "(a + 1) * b");
  EXPECT_EQ(select.items[0].span.of(text), "(a + 1) * b as x");
  EXPECT_EQ(select.items[1].expr->span.of(text), "`q`.c");
  const auto* table = as<TableSource>(select.from[0]);
  EXPECT_EQ(table->span.of(text), "ks.t as t1");
  EXPECT_EQ(table->name.span.of(text), "ks.t");
  EXPECT_EQ(table->name.qualifier.span.of(text), "ks");
  EXPECT_EQ(select.where->span.of(text), "a = 1");
  EXPECT_EQ(select.limit->span.of(text), "limit 3");
  EXPECT_EQ(select.span.of(text), text);
  EXPECT_EQ(ast.text(), text);
}

TEST(Places, CoverTheRowsOfAnInsert) {
  const std::string_view text = "insert into t (a) values (1), ( 2 ) ,(3) on duplicate key update a = 1";
  const Ast ast = must_parse(text);
  const auto& insert = static_cast<const Insert&>(ast.statement());
  ASSERT_EQ(insert.row_spans.size(), 3u);
  EXPECT_EQ(insert.row_spans[1].of(text), "( 2 )");
  EXPECT_EQ(insert.rows_span.of(text), "(1), ( 2 ) ,(3)");
  EXPECT_EQ(insert.on_duplicate[0].span.of(text), "a = 1");
}

TEST(Places, KeepExpressionTextInParentheses) {
  const std::string_view text = "select (a), ((b + 1))";
  const Ast ast = must_parse(text);
  EXPECT_EQ(select_of(ast).items[0].expr_span.of(text), "(a)");
  EXPECT_EQ(select_of(ast).items[1].expr_span.of(text), "((b + 1))");
  EXPECT_EQ(select_of(ast).items[1].expr->span.of(text), "b + 1");
}

TEST(Places, SpanExecutableComments) {
  const std::string_view text =
      "/*!50001 CREATE ALGORITHM=MERGE */ /*!50013 DEFINER=`a`@`b` */ /*!50001 VIEW ks.v AS select 1 */;";
  const Ast ast = must_parse(text);
  EXPECT_EQ(ast.text().size(), text.size());
  EXPECT_EQ(print(ast.statement()),
            "CREATE ALGORITHM=MERGE             DEFINER=`a`@`b`             VIEW ks.v AS select 1");
  EXPECT_EQ(canonical("select a /*! from t */ where b /*!99999999 or c */"), "select a from t where b");
  EXPECT_NE(error_of("select 5--/*! 3 */"), "parsed");  // Not 5 with a comment behind it.
}

TEST(Places, StayValidWhenTheAstMoves) {
  Ast first = must_parse("select abc from t");
  const char* text = first.text().data();
  const Ast second = std::move(first);
  EXPECT_EQ(second.text().data(), text);
  EXPECT_EQ(print(second.statement()), "select abc from t");
}

// ---- Queries --------------------------------------------------------------------------------------------------------

TEST(Query, PrintsCanonically) {
  const std::vector<std::string> same = {
      "select 1",
      "select *, t.*, s.t.* from t",
      "select distinct high_priority sql_calc_found_rows a from t",
      "select /*+ SET_VAR(x=1) */ a from t",
      "select a as x from t as y where b group by c desc, d with rollup having e order by f asc, g limit 1, 2",
      "select a from t window w as (partition by b), v as (w order by c)",
      "select a from t for update skip locked",
      "select a from t for update of t nowait",
      "select a from t for share",
      "select a from t lock in share mode",
      "select a from t for update wait 3",
      "select a from t limit 1 into @a, @b",
      "select a from t into outfile 'x' fields terminated by ','",
      "select a from t into dumpfile 'x'",
      "select a from t limit rows examined 10",
      "select a from t fetch first 3 rows with ties",
      "select a from t partition (p0, p1) as x use index (a, primary) ignore index for order by (b) force index ()",
      "select a from t use vindex (v)",
      "select a from t for system_time as of '2020-01-01' as x",
      "select a from t1, t2 join t3 on x left join t4 using (a, b) natural join t5",
      "select a from t1 join (t2 join t3 on x) on y",
      "select a from t1 join (t2, t3) on y",
      "select a from t1 straight_join t2 natural left join t3 natural right join t4 right join t5 on a",
      "select a from (select 1) as x(a, b), lateral (select 2) as y",
      "select a from json_table('[]', '$[*]' columns (a int path '$.a')) as jt",
      "select 1 union select 2 union all select 3 order by 1 limit 1",
      "select 1 union select 2 intersect select 3 except select 4",
      "(select 1 union select 2) intersect select 3",
      "select 1 union (select 2 union select 3)",
      "(select 1 limit 1) union all (select 2 order by 1)",
      "(select 1 limit 2) order by a limit 1",
      "((select 1 limit 3) limit 2) limit 1",
      "with a as (select 1), b(x, y) as (select 2) select * from a, b",
      "with recursive a as (select 1 union all select a + 1 from a) select * from a",
      "with a as (select 1) select * from a union select 2",
      "values row(1, 2), row(3, 4)",
      "values (1, 2), (3, 4)",
      "table t order by a limit 1",
      "select next 5 values from seq",
      "select next :n values from seq",
      "select 1 from dual",
      "select a from t where exists (select 1 from t where a = (select max(b) from t)) and c in (table u)",
  };
  for (const std::string& text : same)
    EXPECT_EQ(canonical(text), [&] {
      // The printer quotes one reserved word of this list.
      std::string expected = text;
      if (const size_t at = expected.find("primary)"); at != std::string::npos) expected.replace(at, 7, "`primary`");
      return expected;
    }());
}

TEST(Query, ReadsOtherSpellingsAsOne) {
  EXPECT_EQ(canonical("SELECT a x FROM t y LIMIT 2 OFFSET 1"), "select a as x from t as y limit 1, 2");
  EXPECT_EQ(canonical("select a from t1 inner join t2 cross join t3 left outer join t4 on a"),
            "select a from t1 join t2 join t3 left join t4 on a");
  EXPECT_EQ(canonical("(((select 1)))"), "select 1");
  EXPECT_EQ(canonical("(select 1) limit 1"), "select 1 limit 1");
  EXPECT_EQ(canonical("(select 1) union (select 2)"), "select 1 union select 2");
  EXPECT_EQ(canonical("select * from ((select 1) union (select 2)) as t"),
            "select * from (select 1 union select 2) as t");
  EXPECT_EQ(canonical("select * from ((t))"), "select * from t");
  EXPECT_EQ(canonical("select a from t offset 2 rows fetch next 3 rows only"), "select a from t limit 2, 3");
  EXPECT_EQ(canonical("select a into @x from t"), "select a from t into @x");
  EXPECT_EQ(canonical("select a 'x y' from t"), "select a as `x y` from t");
  EXPECT_EQ(canonical("select next value from seq"), "select next 1 values from seq");
}

TEST(Query, AttachesJoinConditionsToTheRightJoin) {
  EXPECT_EQ(canonical("select 1 from a join b join c on x on y"), "select 1 from a join (b join c on x) on y");
  EXPECT_EQ(canonical("select 1 from a left join b join c on x on y"),
            "select 1 from a left join (b join c on x) on y");
  EXPECT_EQ(canonical("select 1 from a join b join c on x"), "select 1 from a join b join c on x");
  EXPECT_EQ(canonical("insert into t select 1 from a join b on duplicate key update c = 1"),
            "insert into t select 1 from a join b on duplicate key update c = 1");
}

TEST(Query, RefusesWhatNoServerAccepts) {
  EXPECT_EQ(error_of("select id from t limit 1 union all select id from t"),
            "You have an error in your SQL syntax: syntax error at position 31 near 'union'");
  EXPECT_NE(error_of("select a, * from t"), "parsed");
  EXPECT_NE(error_of("select a from t left join u"), "parsed");
  EXPECT_NE(error_of("select from t"), "parsed");
  EXPECT_NE(error_of("select a from t where"), "parsed");
  EXPECT_NE(error_of("select a from t group b"), "parsed");
  EXPECT_NE(error_of("select a b c from t"), "parsed");
  EXPECT_NE(error_of("select (1"), "parsed");
  EXPECT_NE(error_of("select 1)"), "parsed");
  EXPECT_NE(error_of("select 1; select 2"), "parsed");
}

// ---- DML ------------------------------------------------------------------------------------------------------------

TEST(Dml, PrintsCanonically) {
  const std::vector<std::string> same = {
      "insert into t values (1, default, null)",
      "insert into t () values ()",
      "insert high_priority ignore into ks.t partition (p0) (a, t.b) values (1, 2), (3, 4)",
      "insert into t set a = 1, b = default",
      "insert into t (a) select 1 union select 2",
      "insert into t (select 1 limit 1) union select 2",
      "insert into t with x as (select 1) select * from x",
      "insert into t values (1) as new(a) on duplicate key update b = new.a, c = values(c) + 1",
      "insert into t values (1) returning a, b as c",
      "insert into t values row(1, 2)",
      "replace into t (a) values (1)",
      "replace delayed into t values (1)",
      "update t set a = 1 where b = 2 order by c limit 3",
      "update low_priority ignore t as x, u set x.a = u.b, u.c = default where x.d = u.d",
      "update /*+ HINT */ t join u on a set t.a = 1",
      "with x as (select 1) update t set a = 1",
      "delete from t where a = 1 order by b limit 2",
      "delete low_priority quick ignore from t as x partition (p0) where x.a",
      "delete t, ks.u from t join ks.u on a where b",
      "delete from t, u using t join u on a",
      "delete from t where a returning *",
      "delete from t returning *",
      "delete from d.t returning *",
      "with x as (select 1) delete from t where a in (select * from x)",
  };
  for (const std::string& text : same) {
    std::string expected = text;
    if (const size_t at = expected.find("t as x partition (p0)"); at != std::string::npos) {
      expected.replace(at, 21, "t partition (p0) as x");
    }
    EXPECT_EQ(canonical(text), expected);
  }
  EXPECT_EQ(canonical("insert t value (1)"), "insert into t values (1)");
  EXPECT_EQ(canonical("delete t.* from t"), "delete t from t");
  EXPECT_EQ(canonical("insert into t select a from u returning b"), "insert into t select a from u returning b");
}

// ---- Other statements -----------------------------------------------------------------------------------------------

TEST(Statement, PrintsCanonically) {
  const std::vector<std::string> same = {
      "begin",
      "start transaction with consistent snapshot, read only",
      "start transaction read write",
      "commit and chain no release",
      "rollback release",
      "savepoint a",
      "rollback to a",
      "release savepoint a",
      "set autocommit = 1, session sql_mode = '', @@global.x = on, @a = 1 + 2",
      "set workload = olap",
      "set names utf8mb4 collate utf8mb4_bin",
      "set names default",
      "set character set binary",
      "set session transaction isolation level read committed, read only",
      "set transaction read write",
      "set @@vitess_metadata.app = '1'",
      "set password = 'x'",
      "set role all",
      "set statement max_statement_time = 1 for select 1",
      "show tables",
      "show full columns from t from ks like 'a%'",
      "show create table ks.t",
      "show create view v",
      "show global variables like 'x'",
      "show variables where variable_name = 'x'",
      "show vschema vindexes on ks.t",
      "show vitess_shards",
      "show vitess_migration 'u' logs",
      "show global vgtid_executed from ks",
      "show engine innodb status",
      "show count(*) warnings",
      "show warnings limit 1",
      "show grants for 'a'@'b'",
      "show unresolved transactions for ks",
      "show binlog events in 'x'",
      "use ks",
      "use `ks:-80@replica`",
      "lock tables t read, u as x low_priority write",
      "unlock tables",
      "explain select 1",
      "explain format = json select 1",
      "explain t a",
      "explain for connection 5",
      "vexplain plan select 1",
      "vexplain queries delete from t",
      "kill 5",
      "kill query 5",
      "kill hard query id 5",
      "call p",
      "call ks.p(1, @a)",
      "prepare p from 'select 1'",
      "prepare p from @a",
      "execute p using @a, @b",
      "execute immediate 'select 1'",
      "deallocate prepare p",
      "flush local tables t, u with read lock",
      "flush hosts, logs",
      "analyze local table t, u",
      "check table t extended",
      "load data local infile 'x' ignore into table ks.t fields terminated by ','",
      "do 1, sleep(2)",
      "stream * from t",
      "vstream * from t where pos > 1 limit 2",
      "alter vschema on t add vindex v (a, b) using hash with owner = t, x = 'y'",
      "alter vitess_migration 'abc' cancel",
      "revert vitess_migration 'abc'",
      "grant select on t to u",
      "change master to master_host = 'x'",
      "xa start 'x'",
  };
  for (const std::string& text : same) EXPECT_EQ(canonical(text), text);
  EXPECT_EQ(canonical("desc t"), "explain t");
  EXPECT_EQ(canonical("rollback work to savepoint a"), "rollback to a");
  EXPECT_EQ(canonical("use ks:-80@replica"), "use `ks:-80@replica`");
  EXPECT_EQ(canonical("use @replica"), "use `@replica`");
  EXPECT_EQ(canonical("use @replica ;"), "use `@replica`");
  EXPECT_EQ(canonical("use ks@rdonly"), "use `ks@rdonly`");
  EXPECT_EQ(canonical("use `my ks`@rdonly"), "use `my ks@rdonly`");
  EXPECT_EQ(canonical("use ks/80-@primary"), "use `ks/80-@primary`");
  for (const char* wrong : {"use ks @replica", "use @ replica", "use @", "use @'replica'", "use @`replica`", "use @a b",
                            "use ks@", "use ks:-80 @replica", "use `ks`@`replica`", "commit and chain release",
                            "rollback and chain release", "start transaction read only, read write",
                            "start transaction read write, read write", "start transaction read only,"}) {
    EXPECT_FALSE(parse(wrong).ok()) << wrong;
  }
  EXPECT_EQ(canonical("analyze format=json select 1"), "analyze format = json select 1");
  EXPECT_EQ(canonical(" ; -- nothing"), "");
}

TEST(Statement, UnderstandsSet) {
  const Ast ast = must_parse("set global a.b = 1, @@session.c = @x, @d := 'e', names latin1, f = DEFAULT");
  const auto& set = static_cast<const SetStatement&>(ast.statement());
  ASSERT_EQ(set.items.size(), 5u);
  EXPECT_EQ(set.items[0].scope, VariableScope::kGlobal);
  EXPECT_EQ(set.items[0].base.text, "a");
  EXPECT_EQ(set.items[1].scope, VariableScope::kSession);
  EXPECT_TRUE(set.items[1].at_form);
  EXPECT_EQ(set.items[2].kind, SetItemKind::kUserVariable);
  EXPECT_EQ(set.items[2].name.text, "d");
  EXPECT_EQ(set.items[3].kind, SetItemKind::kNames);
  EXPECT_EQ(set.items[4].value->kind, ExprKind::kDefaultValue);
}

TEST(Statement, UnderstandsShow) {
  const Ast ast = must_parse("SHOW FULL FIELDS FROM a.t FROM db LIKE 'x'");
  const auto& show = static_cast<const Show&>(ast.statement());
  EXPECT_EQ(show.show, ShowKind::kColumns);
  EXPECT_TRUE(show.full);
  EXPECT_EQ(show.table.name.text, "t");
  EXPECT_EQ(show.database.text, "db");
  EXPECT_EQ(static_cast<const Show&>(must_parse("show table status").statement()).show, ShowKind::kTableStatus);
  EXPECT_EQ(static_cast<const Show&>(must_parse("show slave status").statement()).show, ShowKind::kReplicaStatus);
  EXPECT_EQ(static_cast<const Show&>(must_parse("show vitess_metadata variables like 'x'").statement()).show,
            ShowKind::kVitessMetadata);
  EXPECT_EQ(static_cast<const Show&>(must_parse("show something else 'x'").statement()).show, ShowKind::kOther);
}

std::string ddl_names(std::string_view text) {
  const Ast ast = must_parse(text);
  const auto* ddl = statement_as<Ddl>(&ast.statement());
  if (ddl == nullptr) return "no ddl";
  std::string out;
  for (const DdlName& name : ddl->names) {
    if (!out.empty()) out += ' ';
    out += name.role == NameRole::kSubject ? "" : name.role == NameRole::kNewName ? "new:" : "ref:";
    out += name.name.span.of(text);
  }
  return out;
}

TEST(Ddl, FindsTheNames) {
  EXPECT_EQ(ddl_names("create table if not exists ks.t (a int references ks.u (a), b int default (1 + 2))"),
            "ks.t ref:ks.u");
  EXPECT_EQ(ddl_names("create table t like ks.u"), "t ref:ks.u");
  EXPECT_EQ(ddl_names("create table t (like u)"), "t ref:u");
  EXPECT_EQ(ddl_names("create temporary table t (a int) engine=merge union=(x, ks.y)"), "t ref:x ref:ks.y");
  EXPECT_EQ(ddl_names("alter table t rename to u, add foreign key (a) references v(a), rename column b to c"),
            "t new:u ref:v");
  EXPECT_EQ(ddl_names("alter table t exchange partition p with table u"), "t ref:u");
  EXPECT_EQ(ddl_names("drop table if exists a, ks.b cascade"), "a ks.b");
  EXPECT_EQ(ddl_names("rename table a to b, ks.c to ks.d"), "a new:b ks.c new:ks.d");
  EXPECT_EQ(ddl_names("truncate ks.t"), "ks.t");
  EXPECT_EQ(ddl_names("create unique index i on ks.t (a)"), "ks.t");
  EXPECT_EQ(ddl_names("drop index i on t"), "t");
  EXPECT_EQ(
      ddl_names(
          "create or replace algorithm = merge definer = `a`@`b` sql security invoker view ks.v as select 1 from t"),
      "ks.v");
  EXPECT_EQ(ddl_names("create trigger ks.x before insert on ks.t for each row set new.a = 1"), "ks.x ref:ks.t");
  EXPECT_EQ(ddl_names("create database foo"), "foo");
  EXPECT_EQ(ddl_names("alter database collate utf8mb4_bin"), "");
  EXPECT_EQ(ddl_names("create user a identified by 'x'"), "");
}

TEST(Ddl, ParsesTheQueryOfViewsAndTables) {
  const Ast view = must_parse("create view v (a) as (select 1 from t) with local check option");
  EXPECT_NE(static_cast<const Ddl&>(view.statement()).query, nullptr);
  const Ast table = must_parse("create table t (a int) engine=innodb ignore as with x as (select 1) select * from x");
  EXPECT_NE(static_cast<const Ddl&>(table.statement()).query, nullptr);
  const Ast plain =
      must_parse("create table t (a int, b int as (a + 1)) partition by list (a) (partition p values in (1))");
  EXPECT_EQ(static_cast<const Ddl&>(plain.statement()).query, nullptr);
  EXPECT_NE(error_of("create view v as the quick"), "parsed");
  EXPECT_NE(error_of("create table t (a int"), "parsed");
  EXPECT_NE(error_of("create table t"), "parsed");
  EXPECT_NE(error_of("create"), "parsed");
}

TEST(Ddl, KeepsStoredProgramsInOnePiece) {
  EXPECT_EQ(ddl_names("create procedure ks.p (in a int) begin if a then select 1; else select 2; end if; end;"),
            "ks.p");
  EXPECT_NE(error_of("create procedure p() begin select 1;"), "parsed");
  EXPECT_NE(error_of("create procedure p() select 1; select 2"), "parsed");
}

TEST(Statement, UnderstandsAlterVschema) {
  const Ast ast = must_parse("alter vschema on ks.t add vindex v (`a`, b) using lookup with owner=t, from='a,b'");
  const auto& alter = static_cast<const AlterVschema&>(ast.statement());
  EXPECT_EQ(alter.action, VschemaAction::kAddVindex);
  EXPECT_EQ(alter.table.name.text, "t");
  EXPECT_EQ(alter.vindex.name.text, "v");
  EXPECT_EQ(alter.vindex_type.text, "lookup");
  ASSERT_EQ(alter.columns.size(), 2u);
  ASSERT_EQ(alter.parameters.size(), 2u);
  EXPECT_EQ(alter.parameters[1].name.text, "from");
  EXPECT_EQ(alter.parameters[1].value, "'a,b'");
  EXPECT_EQ(
      static_cast<const AlterVschema&>(must_parse("alter vschema on t add auto_increment id using s.q").statement())
          .sequence.name.text,
      "q");
}

TEST(Statement, KindAgreesWithTheFingerprint) {
  for (std::string_view text : {"select 1",
                                "(select 1)",
                                "with a as (select 1) update t set a = 1",
                                "begin work",
                                "start slave",
                                "desc t",
                                "analyze table t",
                                "analyze select 1",
                                "alter vschema add table t",
                                "lock tables t read",
                                "unlock tables",
                                "load data infile 'x' into table t",
                                "load index into cache t",
                                "rollback work to a",
                                "values (1)",
                                "table t",
                                "drop prepare a",
                                "set a = 1",
                                "begin not atomic select 1; end",
                                "if @a then select 1; end if",
                                "while @a do set @a = 0; end while",
                                "loop select 1; end loop",
                                "repeat select 1; until 1 end repeat",
                                "for i in 1..2 do select i; end for",
                                "case 1 when 1 then select 1; end case",
                                "help 'x'",
                                "revert vitess_migration 'x'"}) {
    EXPECT_EQ(must_parse(text).kind(), fingerprint(text, {}).kind) << text;
  }
}

// ---- Errors and limits ----------------------------------------------------------------------------------------------

TEST(Errors, NameThePlace) {
  const auto ast = parse("the quick brown fox");
  ASSERT_FALSE(ast.ok());
  EXPECT_EQ(ast.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(ast.error().mysql_errno(), 1064);
  EXPECT_EQ(ast.error().sqlstate(), "42000");
  EXPECT_EQ(ast.error().message(), "You have an error in your SQL syntax: syntax error at position 4 near 'the'");
  EXPECT_EQ(error_of("select a from"), "You have an error in your SQL syntax: syntax error at position 14 near ''");
  EXPECT_EQ(error_of("select 'abc"), "You have an error in your SQL syntax: syntax error at position 12 near ''abc'");
  EXPECT_EQ(error_of("select " + std::string(200, 'x') + " y z"),
            "You have an error in your SQL syntax: syntax error at position 212 near 'z'");
  EXPECT_LT(error_of("select '" + std::string(500, 'x')).size(), 200u);
}

TEST(Errors, StopAtTheDepthLimit) {
  const auto nested = [](std::string_view prefix, std::string_view open, std::string_view middle,
                         std::string_view close, int count) {
    std::string out = "select " + std::string(prefix);
    for (int i = 0; i < count; ++i) out += open;
    out += middle;
    for (int i = 0; i < count; ++i) out += close;
    return out;
  };
  struct Shape {
    std::string_view prefix, open, middle, close;
  };
  for (const auto& [prefix, open, middle, close] :
       std::vector<Shape>{{"", "(", "1", ")"},
                          {"", "-", "1", ""},
                          {"", "not ", "1", ""},
                          {"", "f(", "1", ")"},
                          {"", "(select ", "1", ")"},
                          {"", "((select ", "1", "))"},
                          {"", "case when ", "1", " then 1 end"},
                          {"", "a in (", "1", ")"},
                          {"", "1 + (", "1", ")"},
                          {"", "@a := ", "1", ""},
                          {"", "interval (", "1", ") day"},
                          {"", "exists (select 1 from (select ", "1", ") as t)"},
                          {"", "", "1", " + 1"},
                          {"", "", "1", " is null"},
                          {"", "", "1", " collate x"},
                          {"", "", "1", " union select 1"},
                          {"", "", "a", " -> 'x'"},
                          {"1 from ", "", "t", " join t"},
                          {"1 from ", "t left join ", "t", " on 1"},
                          {"1 from ", "(", "t", ")"},
                          {"1 from ", "(t, ", "t", ")"}}) {
    const auto ok = parse(nested(prefix, open, middle, close, 100));
    EXPECT_TRUE(ok.ok()) << open << middle << close << ": " << ok.error().message();
    const auto deep = parse(nested(prefix, open, middle, close, 100'000));
    ASSERT_FALSE(deep.ok()) << open << middle << close;
    EXPECT_EQ(deep.error().code(), Code::kResourceExhausted) << open << middle << close << deep.error().message();
    EXPECT_EQ(deep.error().mysql_errno(), 1436);
  }
}

#if defined(__has_feature) && (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
constexpr size_t kLeastLevels = 140;  // See kHighestDepth in parser.cc.
#else
constexpr size_t kLeastLevels = 700;
#endif

TEST(Errors, LeaveRoomOnAThreadStackAtTheHighestDepth) {
  ParseOptions options;
  options.max_depth = 1u << 30;  // Cut to the highest that is allowed.
  for (const auto& [open, close] :
       std::vector<std::array<std::string_view, 2>>{{"(1 + ", ")"},
                                                    {"f(", ")"},
                                                    {"(select ", ")"},
                                                    {"exists (select 1 from (select ", ") as t)"},
                                                    {"case when ", " then 1 end"},
                                                    {"a in (", ")"},
                                                    {"- ", ""}}) {
    std::thread([&] {
      // The deepest that is accepted, found by halving: parsing, printing and walking it must fit the stack.
      size_t low = 100;
      size_t high = 8000;
      while (low + 1 < high) {
        const size_t middle = (low + high) / 2;
        std::string text = "select ";
        for (size_t i = 0; i < middle; ++i) text += open;
        text += "1";
        for (size_t i = 0; i < middle; ++i) text += close;
        const auto ast = parse(text, options);
        if (ast.ok()) {
          EXPECT_GE(print(ast->statement()).size(), middle);
          Walker().walk(ast->statement());
          low = middle;
        } else {
          EXPECT_EQ(ast.error().code(), Code::kResourceExhausted) << ast.error().message().substr(0, 200);
          high = middle;
        }
      }
      EXPECT_GE(low, kLeastLevels) << open;
    }).join();
  }
}

TEST(Errors, DoNotStopLongChainsOfAndAndOr) {
  std::string text = "select 1 from t where a = 0";
  for (int i = 1; i < 20'000; ++i) text += " or a = " + std::to_string(i);
  EXPECT_EQ(canonical(text), text);
}

TEST(Errors, StopAtTheOtherLimits) {
  ParseOptions options;
  options.max_length = 10;
  EXPECT_EQ(parse("select 1, 2, 3", options).error().mysql_errno(), 1153);
  options = {};
  options.max_memory = 4096;
  std::string text = "select 1";
  for (int i = 0; i < 1000; ++i) text += ", 1";
  EXPECT_EQ(parse(text, options).error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(parse(text).ok());
}

// ---- Several statements ---------------------------------------------------------------------------------------------

std::string pieces(std::string_view text) {
  const auto spans = split_statements(text);
  if (!spans.ok()) return "error: " + spans.error().message();
  std::string out;
  for (const Span& span : *spans) out += "[" + std::string(span.of(text)) + "]";
  return out;
}

TEST(Split, CutsAtSemicolons) {
  EXPECT_EQ(pieces("select 1; select ';' ; -- c;\n insert into t values (2) /* ; */"),
            "[select 1][select ';'][insert into t values (2)]");
  EXPECT_EQ(pieces(" ; ;; "), "");
  EXPECT_EQ(pieces(""), "");
  EXPECT_EQ(pieces("select 'a"), "error: You have an error in your SQL syntax: syntax error at position 10 near ''a'");
}

// A piece may begin or end within such a comment.
TEST(Split, OfExecutableComments) {
  const auto plain = [](std::string text) {
    blank_markers(text);
    return pieces(text);
  };
  EXPECT_EQ(plain("/*!40101 set names utf8 */; select 1"), "[set names utf8][select 1]");
  EXPECT_EQ(plain("/*! begin */ not atomic select 1; end; select 2"), "[begin    not atomic select 1; end][select 2]");
  EXPECT_EQ(plain("/*!50003 create*/ /*!50003 procedure p() begin select 1; select 2; end */; select /* ! */ 1"),
            "[create            procedure p() begin select 1; select 2; end][select /* ! */ 1]");
  EXPECT_EQ(plain("/*! select 1; select 2 */ + 3; select '/*! 4 */'"),
            "[select 1][select 2    + 3][select '/*! 4 */']");
}

TEST(Split, KeepsStoredProgramsTogether) {
  EXPECT_EQ(pieces("create procedure p() begin select 1; begin select 2; end; end; select 3"),
            "[create procedure p() begin select 1; begin select 2; end; end][select 3]");
  EXPECT_EQ(
      pieces("create trigger x before insert on t for each row if a then set b = 1; else set b = 2; end if; select 3"),
      "[create trigger x before insert on t for each row if a then set b = 1; else set b = 2; end if][select 3]");
  EXPECT_EQ(pieces("create function f() returns int return if(1, 2, 3); select 4"),
            "[create function f() returns int return if(1, 2, 3)][select 4]");
  EXPECT_EQ(pieces("create procedure p() begin l1:while 1 do case a when 1 then select 1; end case; end while; "
                   "repeat select 2; until 1 end repeat; loop select case when 1 then 2 end; end loop; end; select 5"),
            "[create procedure p() begin l1:while 1 do case a when 1 then select 1; end case; end while; "
            "repeat select 2; until 1 end repeat; loop select case when 1 then 2 end; end loop; end][select 5]");
  EXPECT_EQ(pieces("create procedure p() select 1; select 2"), "[create procedure p() select 1][select 2]");
  EXPECT_EQ(pieces("begin not atomic select 1; select 2; end; select 3"),
            "[begin not atomic select 1; select 2; end][select 3]");
  EXPECT_EQ(pieces("begin not atomic for i in 1..2 do select i; end for; select id from t for update; end; select 3"),
            "[begin not atomic for i in 1..2 do select i; end for; select id from t for update; end][select 3]");
  EXPECT_EQ(pieces("if @a then set @b = 1; else set @b = 2; end if; select 3"),
            "[if @a then set @b = 1; else set @b = 2; end if][select 3]");
  EXPECT_EQ(pieces("while @a do set @a = @a - 1; end while; loop select 1; end loop; select 3"),
            "[while @a do set @a = @a - 1; end while][loop select 1; end loop][select 3]");
  EXPECT_EQ(pieces("for i in 1..2 do select i; end for; case 1 when 1 then select 1; end case; select 3"),
            "[for i in 1..2 do select i; end for][case 1 when 1 then select 1; end case][select 3]");
  EXPECT_EQ(pieces("repeat set @a = 1; until @a end repeat; select 3"),
            "[repeat set @a = 1; until @a end repeat][select 3]");
  EXPECT_EQ(pieces("begin; select 1; commit"), "[begin][select 1][commit]");
  EXPECT_EQ(pieces("drop procedure if exists p; select 1"), "[drop procedure if exists p][select 1]");
  EXPECT_EQ(pieces("create event e on schedule every 1 day do begin select 1; end; select 2"),
            "[create event e on schedule every 1 day do begin select 1; end][select 2]");
}

}  // namespace
}  // namespace vitrail::sql
