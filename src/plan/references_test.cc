// Which tables, which of their columns, and which conditions are a table's own: tables of cases.
#include "plan/references.h"

#include <gtest/gtest.h>

#include <map>

#include "sql/parser.h"
#include "sql/printer.h"

namespace vitrail::plan {
namespace {

const schema::Table& table_named(std::string_view name) {
  static const auto tables = [] {
    std::map<std::string, schema::Table, std::less<>> out;
    const auto add = [&](const char* table, std::initializer_list<const char*> columns) {
      for (const char* column : columns) {
        const bool text = std::string_view(column) == "w";
        out[table].columns.push_back(
            {.name = column, .data_type = text ? "varchar" : "bigint", .collation = text ? "c1" : ""});
      }
    };
    add("a", {"id", "x", "y"});
    add("b", {"id", "z"});
    add("c", {"id", "w"});
    return out;
  }();
  return tables.find(name)->second;
}

// "p: id x; q: id [z = 1]": tables by their aliases, the columns that are needed, conditions.
std::string read(const char* text) {
  auto ast = sql::parse(text);
  EXPECT_TRUE(ast.ok()) << text;
  auto found = find_references(ast->statement());
  if (!found.ok()) return found.error().message();
  KnownColumns columns;
  for (const auto& table : found->tables) columns.push_back(&table_named(table.name->name.text));
  find_conditions(ast->statement(), columns, false, *found);
  std::string out;
  for (size_t i = 0; i < found->tables.size(); ++i) {
    const auto& table = found->tables[i];
    if (i > 0) out += "; ";
    out += table.alias + ":";
    for (const auto& column : columns[i]->columns) {
      if (found->needs(table, column.name)) out += " " + column.name;
    }
    for (const TableCondition& condition : table.conditions) out += " [" + print(condition, {}) + "]";
  }
  return out;
}

struct Case {
  const char* text;
  const char* read;
};

TEST(References, ColumnsThatAreNamedAreNeeded) {
  const Case cases[] = {
      {"select 1 from a", "a:"},
      {"select count(*) from a", "a:"},
      {"select * from a", "a: id x y"},
      {"select x from a", "a: x"},
      {"select p.* from a p, b q", "p: id x y; q:"},
      {"select P.x, q.Z from a p, b Q", "p: x; q: z"},
      {"select id from a p, b q", "p: id; q: id"},
      {"select x from a join b using (id)", "a: id x; b: id"},
      {"select x from a natural join b", "a: id x y; b: id z"},
      {"table a", "a: id x y"},
      {"select x from a union select z from b order by w", "a: x; b: z"},
      {"select x from a having max(y) > 1 order by id", "a: id x y"},
      {"select x, row_number() over (partition by y order by id) from a", "a: id x y"},
      {"with t as (select id from a) select * from t", "a: id"},
      {"with a as (select id from b) select * from a", "b: id"},
      {"with recursive t as (select 1 as n union all select n + 1 from t where n < 5) select n, x from t, a", "a: x"},
      {"select (select max(w) from c where c.id = a.id) from a", "a: id; c: id w"},
      {"select * from (select x from a) d", "a: x"},
      {"select ks.p.x from ks.a p", "p: x"},
      {"select 1 from dual", ""},
      {"select x from a where id in (select id from b)", "a: id x; b: id"},
  };
  for (const auto& c : cases) EXPECT_EQ(read(c.text), c.read) << c.text;
}

TEST(References, ConditionsOfOneTableAreItsOwn) {
  const Case cases[] = {
      {"select 1 from a where x = 1", "a: x [x = 1]"},
      {"select 1 from a where x = 1 and y in (1, 2) and id is not null",
       "a: id x y [x = 1] [y in (1, 2)] [id is not null]"},
      {"select 1 from a where x = 1 or y = 2", "a: x y [x = 1 or y = 2]"},
      {"select 1 from a p where p.x between 1 and 2 and not p.y like 'q%'",
       "p: x y [p.x between 1 and 2] [not p.y like 'q%']"},
      // Of several tables: by qualifier, or when only one has the name.
      {"select 1 from a p, b q where p.id = 1 and q.z = 2", "p: id [p.id = 1]; q: z [q.z = 2]"},
      {"select 1 from a, b where x = 1 and id = 2", "a: id x [x = 1]; b: id"},
      {"select 1 from a, b where x = z", "a: x; b: z"},
      {"select 1 from a, (select 1 as y) d where x = 1", "a: x"},
      {"select 1 from a, (select 1 as y) d where a.x = 1", "a: x [a.x = 1]"},
      // What is not a plain comparison stays where it is.
      {"select 1 from a where x + 1 = 2", "a: x"},
      {"select 1 from a where rand() < 1 and x = rand()", "a: x"},
      {"select 1 from a where x = @v", "a: x"},
      {"select 1 from a where x = (select 1)", "a: x"},
      {"select 1 from a where 1 = 1", "a:"},
      {"select 1 from a having x = 1", "a: x"},
      // Inner joins.
      {"select 1 from a join b on a.id = b.id and a.x = 1 and b.z = 2 where a.y = 3",
       "a: id x y [a.x = 1] [a.y = 3]; b: id z [b.z = 2]"},
      // WHERE: not for the side that may be missing. ON: for that side alone.
      {"select 1 from a left join b on a.id = b.id and a.x = 1 and b.z = 2", "a: id x; b: id z [b.z = 2]"},
      {"select 1 from a left join b on a.id = b.id where a.x = 1 and b.z = 2", "a: id x [a.x = 1]; b: id z"},
      {"select 1 from a left join b on a.id = b.id where b.z is null", "a: id; b: id z"},
      {"select 1 from a right join b on a.id = b.id and a.x = 1 and b.z = 2 where a.y = 3 and b.z = 4",
       "a: id x y [a.x = 1]; b: id z [b.z = 4]"},
      // Outer joins inside of joins.
      {"select 1 from a join (b left join c on b.id = c.id and c.w = 5) on a.id = b.id and b.z = 1 and c.w = 2 where "
       "c.w = 3",
       "a: id; b: id z [b.z = 1]; c: id w [c.w = 5]"},
      {"select 1 from (a left join b on a.id = b.id) left join c on c.id = a.id and b.z = 1 and c.w = 2 and a.x = 3",
       "a: id x; b: id z; c: id w [c.w = 2]"},
      {"select 1 from a left join (b join c on b.id = c.id and c.w = 1) on a.id = b.id and b.z = 2",
       "a: id; b: id z [b.z = 2]; c: id w [c.w = 1]"},
      {"select 1 from a natural left join b where z = 1 and x = 2", "a: id x y [x = 2]; b: id z"},
      // Subqueries: their own tables' conditions; a name that is none of theirs is somebody else's.
      {"select 1 from a where exists (select 1 from b where b.id = a.id and b.z = 1 and a.x = 2 and y = 3)",
       "a: id x y; b: id z [b.z = 1]"},
      {"with t as (select id from a where x = 1) select * from t where id = 2", "a: id x [x = 1]"},
      {"select x from a where y = 1 union all select z from b where z = 2", "a: x y [y = 1]; b: z [z = 2]"},
  };
  for (const auto& c : cases) EXPECT_EQ(read(c.text), c.read) << c.text;
}

TEST(References, WhatIsSaidOfAColumnIsTrueOfItsEquals) {
  const Case cases[] = {
      {"select 1 from a join b on b.z = a.id where a.id = 5", "a: id [a.id = 5]; b: z [(`b`.`z`) = 5]"},
      {"select 1 from a, b where b.z = a.id and 5 > a.id and a.x = 1",
       "a: id x [5 > a.id] [a.x = 1]; b: z [5 > (`b`.`z`)]"},
      {"select 1 from a p join b q on q.z = p.id join c s on s.id = q.z where s.id in (1, 2)",
       "p: id [(`p`.`id`) in (1, 2)]; q: z [(`q`.`z`) in (1, 2)]; s: id [s.id in (1, 2)]"},
      {"select 1 from a join b on b.z = a.id and b.z between 1 and 2",
       "a: id [(`a`.`id`) between 1 and 2]; b: z [b.z between 1 and 2]"},
      // Not of other comparisons, and not of columns that only look alike.
      {"select 1 from a join b on b.z = a.id where a.id <> 5", "a: id [a.id != 5]; b: z"},
      {"select 1 from a join b on b.z = a.id where a.id like '5%'", "a: id [a.id like '5%']; b: z"},
      {"select 1 from a join c on c.w = a.id where a.id = 5", "a: id [a.id = 5]; c: w"},
      {"select 1 from a join b on b.z <=> a.id where a.id = 5", "a: id [a.id = 5]; b: z"},
      {"select 1 from a join b on b.z = a.id or b.z = 1 where a.id = 5", "a: id [a.id = 5]; b: z"},
      {"select 1 from c s join c t on s.w = t.w where s.w = 'q'", "s: w [s.w = 'q']; t: w [(`t`.`w`) = 'q']"},
      {"select 1 from c s join c t on s.w = t.w where s.w = 5", "s: w [s.w = 5]; t: w"},
      // Outer joins: from the kept side to the other, and never back.
      {"select 1 from a left join b on b.z = a.id where a.id = 5", "a: id [a.id = 5]; b: z [(`b`.`z`) = 5]"},
      {"select 1 from a left join b on b.z = a.id and b.z = 5", "a: id; b: z [b.z = 5]"},
      {"select 1 from a left join b on b.z = a.id and a.id = 5", "a: id; b: z [(`b`.`z`) = 5]"},
      {"select 1 from a left join b on b.z = a.id where b.z = 5", "a: id; b: z"},
      {"select 1 from a left join b on b.id = a.id left join c on c.id = b.id where b.id = 5", "a: id; b: id; c: id"},
      {"select 1 from a left join (b join c on c.id = b.z) on b.z = a.id where a.id = 5",
       "a: id [a.id = 5]; b: z [(`b`.`z`) = 5]; c: id"},
      {"select 1 from a right join b on b.z = a.id where b.z = 5", "a: id [(`a`.`id`) = 5]; b: z [b.z = 5]"},
      {"select 1 from a join b on b.z = a.id left join c on c.id = b.z where a.id = 5",
       "a: id [a.id = 5]; b: z [(`b`.`z`) = 5]; c: id [(`c`.`id`) = 5]"},
      // Subqueries: what holds around them.
      {"select 1 from a where id < 5 and exists (select 1 from b where b.z = a.id)",
       "a: id [id < 5]; b: id z [(`b`.`z`) < 5]"},
      {"select (select max(z) from b where z = x) from a where a.x = 1", "a: x [a.x = 1]; b: z [(`b`.`z`) = 1]"},
      {"select x as y, (select max(z) from b where z = y) from a where a.y = 1", "a: x y [a.y = 1]; b: z"},
      {"select 1 from a where id = 1 and exists (select 1 from b where z = a.id and exists (select 1 from c where c.id "
       "= a.id))",
       "a: id [id = 1]; b: id z [(`b`.`z`) = 1]; c: id [(`c`.`id`) = 1]"},
      {"select 1 from a where x = 1 and x in (select z from b)", "a: x [x = 1]; b: z [(`b`.`z`) = 1]"},
      {"select 1 from a where x = 1 and x in (select z from b limit 3)", "a: x [x = 1]; b: z"},
      {"select 1 from a where x = 1 and x not in (select z from b)", "a: x [x = 1]; b: z"},
      {"select x in (select z from b) from a where x = 1", "a: x [x = 1]; b: z"},
      {"select 1 from a where x = 1 and (y = 2 or x in (select z from b))", "a: x y [x = 1]; b: z"},
      // Names that are not seen there, or are the subquery's own.
      {"select 1 from a where id = 1 and exists (select 1 from b a where a.z = a.id)",
       "a: id [id = 1]; a: id z [a.z = a.id]"},
      {"select 1 from a, (select z from b where b.z = a.id) d where a.id = 1", "a: id [a.id = 1]; b: z"},
      {"select 1 from a where id = 1 and exists (with t as (select z from b where b.z = a.id) select 1 from t)",
       "a: id [id = 1]; b: id z"},
  };
  for (const auto& c : cases) EXPECT_EQ(read(c.text), c.read) << c.text;
}

TEST(References, WhatCopiesOfRowsCannotAnswerIsRefused) {
  const char* const cases[] = {
      "select x from a where id in (select id from b lock in share mode)",
      "select x from a where match (x) against ('w')",
      "select default(x) from a",
      "select x from a for system_time all",
      "select next value for s, x from a",
      "select my_function(x) from a",
      "select get_lock('l', 1), x from a",
      "select x from a into @v",
      "select 1 from k1.a, k2.a",
  };
  for (const char* text : cases)
    EXPECT_TRUE(read(text).starts_with("VT12001: unsupported: ")) << text << ": " << read(text);
}

}  // namespace
}  // namespace vitrail::plan
