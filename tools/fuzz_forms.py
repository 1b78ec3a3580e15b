"""Forms of queries and changes that `./dev fuzz sql` makes beside those of fuzz_sql.py: functions of all kinds over columns of all types, windows with
frames, set operations with parentheses, rollup, NATURAL and USING joins, recursive queries, JSON, collations, variables, changes of several tables."""

COLLATIONS = ["utf8mb4_bin", "utf8mb4_unicode_ci", "utf8mb4_general_nopad_ci"]
CASTS = ["char", "signed", "unsigned", "decimal(20,5)", "binary", "date", "datetime(3)", "time(2)", "double", "char(3)", "year"]


class Forms:
    """Expects `random`, `tables`, `sharded`, `everywhere`, predicate(), where(), limit() and cut() of the class that it is mixed into."""

    def pick(self, *what):
        return self.random.choice(what)

    def some(self):
        return self.random.choice(self.everywhere)

    def column(self, table, prefix=""):
        return prefix + self.random.choice([c.name for c in table.columns] + ["id"])

    def constant(self, table):
        r = self.random
        return self.pick(str(r.randint(-3, 50)), "null", "'a'", "''", "2.50", "1e2", "'2020-01-01'", "date'2020-01-01'", "x'41'", "b'101'", "true", "_latin1'A'",
                         "'10'", "18446744073709551615", "-9223372036854775808", "'a' collate utf8mb4_bin", r.choice(table.columns).make(r, None))

    def expression(self, table, prefix="", depth=2):
        """Any value of a row: the same wherever it is computed."""
        r = self.random
        if depth == 0 or r.random() < 0.2:
            return self.column(table, prefix) if r.random() < 0.7 else self.constant(table)
        sub = lambda: self.expression(table, prefix, depth - 1)
        column = lambda: self.column(table, prefix)
        kind = r.randrange(26)
        if kind == 0:
            return f"({sub()} {self.pick('+', '-', '*', '/', 'div', '%')} {sub()})"
        if kind == 1:
            return f"({sub()} {self.pick('=', '<', '<=>', '<>', '>=')} {sub()})"
        if kind == 2:
            return f"({sub()} {self.pick('and', 'or', 'xor')} {sub()})"
        if kind == 3:
            return f"case when {sub()} then {sub()} else {sub()} end"
        if kind == 4:
            return f"case {column()} when {sub()} then {sub()} when {sub()} then {sub()} end"
        if kind == 5:
            return f"{self.pick('coalesce', 'ifnull', 'nullif', 'greatest', 'least')}({sub()}, {sub()})"
        if kind == 6:
            return f"if({sub()}, {sub()}, {sub()})"
        if kind == 7:
            return f"cast({column()} as {r.choice(CASTS)})"
        if kind == 8:
            return f"concat({sub()}, {sub()})"
        if kind == 9:
            return f"{self.pick('upper', 'lower', 'reverse', 'trim', 'length', 'char_length', 'hex', 'md5', 'ascii', 'quote', 'crc32', 'soundex')}({column()})"
        if kind == 10:
            return f"{self.pick('left', 'right', 'repeat')}({column()}, {r.randint(0, 3)})"
        if kind == 11:
            return f"substring({sub()}, {r.randint(-2, 3)}, {r.randint(0, 3)})"
        if kind == 12:
            return f"{self.pick('abs', 'ceiling', 'floor', 'sign', 'round', 'bin', 'oct')}({column()})"
        if kind == 13:
            return f"{self.pick('round', 'truncate')}({column()}, {r.randint(-1, 2)})"
        if kind == 14:
            return f"{self.pick('year', 'month', 'dayofweek', 'to_days', 'hour', 'microsecond', 'date', 'time', 'last_day', 'dayname')}({column()})"
        if kind == 15:
            return f"date_add({column()}, interval {r.randint(-3, 3)} {self.pick('day', 'month', 'hour', 'microsecond')})"
        if kind == 16:
            return f"date_format({column()}, '%Y-%m %H:%i:%s.%f')"
        if kind == 17:
            return f"({column()} {self.pick('', 'not ')}between {sub()} and {sub()})"
        if kind == 18:
            return f"({column()} {self.pick('', 'not ')}in ({sub()}, {sub()}, {self.constant(table)}))"
        if kind == 19:
            return f"({column()} {self.pick('like', 'not like')} {self.pick(chr(39) + '%a%' + chr(39), chr(39) + '_' + chr(39), chr(39) + '1%' + chr(39))})"
        if kind == 20:
            return f"({column()} {self.pick('&', '|', '^', '<<')} {r.randint(0, 5)})"
        if kind == 21:
            return f"({sub()} is {self.pick('', 'not ')}{self.pick('null', 'true', 'false', 'unknown')})"
        if kind == 22:
            return f"json_extract(json_array({column()}, {sub()}), '$[{r.randint(0, 1)}]')"
        if kind == 23:
            return f"{self.pick('json_quote', 'json_valid', 'json_type', 'json_compact')}(concat('[', id, ']'))".replace("id", prefix + "id")
        if kind == 24:
            return f"(convert({column()} using utf8mb4) collate {r.choice(COLLATIONS)})"
        return f"{self.pick('find_in_set', 'locate', 'strcmp', 'instr', 'field')}({sub()}, {sub()})"

    def expressions(self):
        table = self.some()
        items = ", ".join(self.expression(table) for _ in range(self.random.randint(1, 3)))
        where = f" where {self.expression(table)}" if self.random.random() < 0.5 else self.where("", table)
        shape = self.random.randrange(4)
        if shape == 0:
            return f"select id, {items} from {table.name}{where}", "exact"
        if shape == 1:
            return f"select id, {items} from {table.name}{where} order by {self.expression(table)}{self.pick('', ' desc')}, id{self.limit()}", "ordered"
        if shape == 2:
            return f"select distinct id, {items} as e from {table.name}{where} order by id{self.limit()}", "ordered"
        return f"select {self.expression(table, depth=1)} as e, count(*), min(id), max(id) from {table.name}{where} group by e{self.pick('', ' having count(*) > 1')}", \
            "folded"

    def frames(self):
        r = self.random
        table = self.some()
        by = r.choice(table.columns).name
        frame = self.pick("", "", f" rows between {r.randint(0, 2)} preceding and {r.randint(0, 2)} following", " rows unbounded preceding",
                          " range between unbounded preceding and current row", " rows between current row and unbounded following")
        function = self.pick("sum(id)", "avg(id)", "min(id)", "max(id)", "count(*)", f"count({by})", "bit_or(id)", "first_value(id)", "last_value(id)",
                             "nth_value(id, 2)")
        rank = self.pick("row_number()", "ntile(3)", "percent_rank()", "cume_dist()", "rank()", "lead(id)", "lag(id, 1)")
        part = self.pick("", f"partition by {by} ", "partition by id % 3 ")
        shape = r.randrange(4)
        if shape == 0:
            return f"select id, {function} over ({part}order by id{frame}), {rank} over w from {table.name}{self.where('', table)} " \
                   f"window w as ({part}order by id desc)", "exact"
        if shape == 1:
            return f"select id % 4 as g, count(*), sum(count(*)) over (order by id % 4), rank() over (order by count(*), id % 4) " \
                   f"from {table.name}{self.where('', table)} group by id % 4", "exact"
        if shape == 2:
            return f"select * from (select id, {rank} over ({part}order by id) as n from {table.name}{self.where('', table)}) d where n < 4 order by id", \
                "ordered"
        other = self.some()
        return f"select p.id, {rank.replace('(id', '(p.id')} over (partition by q.id % 2 order by p.id) from {table.name} p join {other.name} q " \
               f"on p.id = q.id + {r.randint(0, 1)} order by p.id{self.limit()}", "ordered"

    def operand(self, depth=1):
        r = self.random
        table = self.some()
        if depth and r.random() < 0.3:
            return f"({self.operand(0)} {self.pick('union', 'union all', 'except', 'intersect')} {self.operand(0)}{self.pick('', ' order by n limit 4')})"
        item = self.pick("id", "id % 5", "id + 1", "cast(id as char)", "count(*)", "max(id)", "avg(id)", "1", "id * 1.5")
        text = f"select {item} as n from {table.name}{self.where('', table)}"
        if r.random() < 0.3:
            return f"({text} order by n limit {r.randint(0, 5)})"
        return self.pick(text, f"({text})")

    def set_operations(self):
        r = self.random
        count = r.choice([2, 2, 3, 4])
        text = self.operand()
        for _ in range(count - 1):
            text += f" {self.pick('union', 'union all', 'union distinct', 'except', 'intersect', 'except all', 'intersect all')} {self.operand()}"
        end = self.pick("", "", f" order by n{self.limit()}", " order by 1 desc limit 3")
        shape = r.randrange(3)
        if shape == 0:
            return text + end, "exact"
        if shape == 1:
            return f"select count(*), sum(n), max(n) from ({text}) d", "exact"
        table = self.some()
        return f"select id from {table.name} where id {self.pick('', 'not ')}in ({text}) order by id", "ordered"

    def rollup(self):
        r = self.random
        table = self.some()
        columns = [c.name for c in table.columns if c.group in ("number", "time")] or ["id"]
        keys = self.pick(["id % 3"], ["id % 2", "id % 3"], [r.choice(columns)], [r.choice(columns), "id % 2"])
        items = ", ".join([*keys, self.pick("count(*)", "sum(id)", "group_concat(id order by id)"), self.pick("max(id)", "avg(id)", "min(id)")])
        group = f"group by {', '.join(keys)} with rollup"
        return f"select {items} from {table.name}{self.where('', table)} {group}{self.pick('', ' having count(*) > 1', ' limit 20')}".replace(" limit 20", ""), "exact"

    def named_joins(self):
        """USING and NATURAL joins of two or three tables."""
        r = self.random
        tables = [self.some() for _ in range(r.choice([2, 3]))]
        shared = {c.name for c in tables[0].columns}
        for table in tables[1:]:
            shared &= {c.name for c in table.columns}
        natural = r.random() < 0.3
        text = f"{tables[0].name} p"
        for i, table in enumerate(tables[1:]):
            kind = self.pick("join", "left join", "right join")
            alias = "qs"[i]
            if natural:
                text += f" natural {kind} {table.name} {alias}"
                continue
            using = self.pick(["id"], ["id"], ["id", r.choice(sorted(shared))], [r.choice(sorted(shared))]) if shared else ["id"]
            text += f" {kind} {table.name} {alias} using ({', '.join(using)})"
        items = self.pick("*", "id, p.id, q.id", "id, count(*) over ()", "p.*", "q.*, id")
        where = self.pick("", f" where id < {r.randint(1, 40)}", f" where p.id > {r.randint(0, 20)}", " where q.id is null", f" where id = {self.key()}")
        return f"select {items} from {text}{where}", "exact"

    def correlated(self):
        r = self.random
        outer, inner = self.some(), self.some()
        mine, theirs = self.column(outer, "o."), self.column(inner, "i.")
        link = self.pick("i.id = o.id", "i.id <= o.id", f"i.id % 3 = o.id % {r.randint(2, 3)}", f"{theirs} <=> {mine}", f"{theirs} = {mine}")
        and_ = self.where("i.", inner).replace(" where ", " and ")
        one = f"select i.id from {inner.name} i where {link}{and_} order by i.id{self.pick('', ' desc')} limit 1"
        kind = r.randrange(10)
        if kind == 0:
            return f"select o.id, ({one}) as n from {outer.name} o{self.where('o.', outer)}", "exact"
        if kind == 1:
            return f"select o.id from {outer.name} o order by ({one}), o.id{self.limit()}", "ordered"
        if kind == 2:
            return f"select o.id from {outer.name} o where (o.id, {mine}) in (select i.id, {theirs} from {inner.name} i{self.where('i.', inner)})", "exact"
        if kind == 3:
            return f"select o.id from {outer.name} o where (o.id, o.id) {self.pick('=', '<>')} (select min(i.id), max(i.id) from {inner.name} i where {link}{and_})", "exact"
        if kind == 4:
            return f"select o.id from {outer.name} o where o.id {self.pick('>', '<', '=', '<>')} {self.pick('all', 'any', 'some')} " \
                   f"(select i.id from {inner.name} i where {link}{and_})", "exact"
        if kind == 5:
            return f"select o.id % 4 as g, count(*), (select count(*) from {inner.name} i where i.id % 4 = g{and_}) from {outer.name} o group by g", "exact"
        if kind == 6:
            return f"select o.id % 3 as g, sum(o.id) as s from {outer.name} o group by g having s > (select avg(i.id) from {inner.name} i{self.where('i.', inner)})", "exact"
        if kind == 7:
            return f"select o.id, q.id from {outer.name} o left join {self.some().name} q on q.id = o.id and exists (select 1 from {inner.name} i where {link}{and_})", "exact"
        if kind == 8:
            return f"select case when exists (select 1 from {inner.name} i where {link}{and_}) then o.id else {mine} end as n, o.id from {outer.name} o{self.where('o.', outer)}", "exact"
        return f"select o.id, (select group_concat(i.id order by i.id) from (select id from {inner.name} order by id limit 5) i where i.id <= o.id) " \
               f"from {outer.name} o{self.where('o.', outer)}", "exact"

    def common(self):
        r = self.random
        first, second = self.some(), self.some()
        kind = r.randrange(6)
        if kind == 0:
            return f"with a as (select id, id % 3 as m from {first.name}{self.where('', first)}), b (k, n) as (select m, count(*) from a group by m) " \
                   f"select a.id, b.n from a join b on a.m = b.k", "exact"
        if kind == 1:
            return f"with a as (select * from {first.name}{self.where('', first)}) select x.id, y.id from a x left join a y on y.id = x.id + 1", "exact"
        if kind == 2:
            return f"with recursive a (id, d) as (select id, 0 from {first.name} where id < {r.randint(2, 6)} union select t.id, d + 1 from {second.name} t " \
                   f"join a on t.id = a.id + {r.randint(1, 3)} where d < 5) select id, d from a", "exact"
        if kind == 3:
            return f"select * from (select id from {first.name}{self.where('', first)} order by id limit {r.randint(0, 9)}) d join " \
                   f"(select id % 5 as id, count(*) as n from {second.name} group by id % 5) e using (id)", "exact"
        if kind == 4:
            return f"select (select count(*) from {first.name}{self.where('', first)}) + (select coalesce(max(id), 0) from {second.name}{self.where('', second)}) as n, 'x' as x", \
                "exact"
        return f"select v.n, t.id from (values (1), (2), ({r.randint(3, 40)})) v (n) left join {first.name} t on t.id = v.n" if r.random() < 0.3 else \
            f"with v (n) as (values (1), (2), ({r.randint(3, 40)})) select v.n, t.id from v left join {first.name} t on t.id = v.n", "exact"

    def json(self):
        r = self.random
        table = self.some()
        whole = [c.name for c in table.columns if c.group == "number"] or ["id"]
        column = r.choice(whole)
        kind = r.randrange(4)
        if kind == 0:
            return f"select json_arrayagg({column} order by id) from {table.name}{self.where('', table)}", "exact"
        if kind == 1:
            return f"select id % 3, json_arrayagg(id order by id desc), json_objectagg(1, 2) from {table.name}{self.where('', table)} group by id % 3", "exact"
        if kind == 2:
            return f"select t.id, j.v from {table.name} t, json_table(concat('[', t.id, ',', t.id + 1, ']'), '$[*]' columns (v int path '$')) j{self.where('t.', table)}", "exact"
        return f"select id, json_object('id', id, 'c', {column}) from {table.name}{self.where('', table)}", "exact"

    def distinct_aggregates(self):
        r = self.random
        table = self.some()
        column, other = self.column(table), self.column(table)
        function = self.pick(f"count(distinct {column}, {other})", f"count(distinct {self.expression(table, depth=1)})", "sum(distinct id % 4)",
                             "avg(distinct id % 5)", "group_concat(distinct id % 5 order by 1 separator '-')".replace("order by 1", "order by id % 5"),
                             "group_concat(id order by id desc limit 3)", "bit_xor(id)", "bit_and(id)", "variance(id)", "stddev_samp(id)",
                             f"max({self.expression(table, depth=1)} is null)", f"sum(if({column} is null, 1, 0))", f"count({column} or null)", "avg(id + 0.5)",
                             f"sum(id) / count({column})", "max(id) * 2 - min(id)", "any_value(1)", f"count({self.expression(table, depth=1)})")
        group = self.pick("", " group by id % 3", " group by id % 4, id % 2")
        having = self.pick("", " having count(*) > 3", " having avg(id) > 15", f" having {self.pick('min(id)', 'sum(id)', 'count(*)')} between 3 and 300",
                           " having n is not null")
        order = self.pick("", " order by n, min(id)", " order by avg(id), min(id) limit 2", " order by count(*) desc, min(id)") if group else ""
        lead = "id % 3 as g, " if group.startswith(" group by id % 3") and r.random() < 0.5 else ""
        return f"select {lead}{function} as n, avg(id) as a from {table.name}{self.where('', table)}{group}{having}{order}", "ordered" if order else "exact"

    def collated(self):
        r = self.random
        table = self.some()
        texts = [c.name for c in table.columns if c.group == "text" and "binary" not in c.sql and "latin1" not in c.sql]
        column = r.choice(texts) if texts else "cast(id as char)"
        as_ = f"convert({column} using utf8mb4) collate {r.choice(COLLATIONS)}"
        return self.pick((f"select id, {column} from {table.name}{self.where('', table)} order by {as_}{self.pick('', ' desc')}, id{self.limit()}", "ordered"),
                         (f"select {as_} as k, count(*), min(id) from {table.name}{self.where('', table)} group by k", "folded"),
                         (f"select count(distinct {as_}) from {table.name}", "exact"),
                         (f"select id from {table.name} where {as_} {self.pick('=', '<', '>=', '<>')} '{self.pick('a', 'A', 'a ', 'zz', '')}'", "exact"),
                         (f"select min(binary {column}), max({as_}) from {table.name}{self.where('', table)}", "folded"),
                         (f"select p.id, q.id from {table.name} p join {table.name} q on p.{column} = convert(q.{column} using utf8mb4) collate {r.choice(COLLATIONS)}", "exact")
                         if texts else (f"select id from {table.name} order by binary {column}", "ordered"))

    def variables(self):
        """A SET, and a query with its variable."""
        r = self.random
        table = self.some()
        return (self.pick(f"set @v = {self.pick('3', '-1', 'null', chr(39) + '7' + chr(39), '1e1', chr(39) + 'a' + chr(39), '40')}", f"set @v = (select {self.pick('max(id)', 'count(*)', 'min(id)')} from {table.name})"),
                (self.pick(f"select id, @v from {table.name} where id {self.pick('=', '<', '<=>', '>=')} @v", f"select id, id + @v from {table.name} where id in (@v, 3)",
                          f"select count(*), @v from {table.name} where {self.column(table)} {self.pick('=', '<>', '<=>')} @v",
                          f"select id from {table.name} where id = (select max(id) from {table.name} where id <= @v)", "select @v"), "exact"))

    def forms(self):
        return self.random.choice([self.expressions, self.expressions, self.expressions, self.frames, self.set_operations, self.set_operations, self.rollup,
                                   self.named_joins, self.named_joins, self.correlated, self.correlated, self.common, self.json, self.distinct_aggregates,
                                   self.distinct_aggregates, self.collated])()

    def table_changes(self):
        """Changes of rows that other tables choose or give."""
        r = self.random
        table, other, third = r.choice(self.sharded), self.some(), self.some()
        columns = [c for c in table.columns[table.by_text:] if c.group != "address"]
        if not columns:
            return f"delete from {table.name}{self.where('', table)}"
        column = r.choice(columns)
        where, find = self.where("", table), self.where("o.", other)
        name = column.name
        kind = r.randrange(12)
        if kind == 0:
            return f"update {table.name} a join {other.name} o on a.id = o.id join {third.name} s on s.id = o.id + {r.randint(0, 1)} set a.{name} = {column.value(r)}{find}"
        if kind == 1:
            return f"delete a from {table.name} a join {other.name} o using (id) left join {third.name} s on s.id = a.id where s.id is {self.pick('', 'not ')}null"
        if kind == 2:
            return f"update {table.name} set {name} = case when id in (select id from {other.name} o{find}) then {column.value(r)} else {name} end{where}"
        if kind == 3:
            return f"update {table.name} set {name} = {column.value(r)} where id > (select avg(id) from {other.name} o{find})"
        if kind == 4:
            return f"delete from {table.name} where exists (select 1 from {other.name} o where o.id = {table.name}.id + {r.randint(0, 2)})"
        if kind == 5:
            return f"update {table.name} a, (select id % 7 as m, count(*) as n from {other.name} group by id % 7) d set a.{name} = {column.value(r)} where a.id = d.m + d.n"
        if kind == 6:
            return f"delete from {table.name} where (id, id) in (select o.id, s.id from {other.name} o join {third.name} s on s.id = o.id)"
        verb = self.pick("insert", "insert ignore", "replace")
        suffix = self.pick("", f" on duplicate key update {name} = values({name})", f" on duplicate key update {name} = {column.value(r)}",
                           " on duplicate key update id = id") if verb == "insert" else ""
        if kind == 7:
            return f"{verb} into {table.name} (id, {name}) select distinct o.id + s.id, {column.value(r)} from {other.name} o join {third.name} s on s.id = o.id{find}{suffix}"
        if kind == 8:
            return f"{verb} into {table.name} (id, {name}) select id % 50 + {self.pick(0, 60)}, {column.value(r)} from {other.name} o{find} group by id % 50{suffix}"
        if kind == 9 and not table.by_text:
            return f"{verb} into {table.name} (id) select id + 30 from {other.name} o{find} union select id + 40 from {third.name}{suffix if 'values' not in suffix else ''}"
        if kind == 10:
            return f"{verb} into {table.name} set id = {r.randint(1, 80)}, {name} = {column.value(r)}{suffix}"
        return f"{verb} into {table.name} (id, {name}) values ({r.randint(1, 60)}, {column.value(r)}), ((select coalesce(max(id), 0) + 1 from {other.name} o), {column.value(r)}){suffix}"
