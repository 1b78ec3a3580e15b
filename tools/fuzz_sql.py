#!/usr/bin/env python3
"""`./dev fuzz sql`: random schemas, rows and statements on two shards and on one plain server; the answers must agree."""

import argparse
import collections
import datetime
import decimal
import os
import random
import shutil
import sys
import tempfile
import time
import unicodedata

import pymysql

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tests", "e2e")]

from binary_protocol import Statement  # noqa: E402
from fuzz_forms import Forms  # noqa: E402
from vitrail.processes import Failure  # noqa: E402
from vitrail.reference import ChangingCluster, PlainServer, equal_ranges  # noqa: E402

SHARDS = equal_ranges(2)
NOT_NULL, UNSIGNED, BINARY = 1, 32, 128
WORDS = ["a", "A", "a ", "b", "B", "\u00e4", "ab", "a\tb", "", " ", "zz", "Zz", "10", "9", "-1", "\u00df", "ss", "\u20ac"]
INTEGERS = [0, 1, 2, 3, 5, 7, 10, 42, 127, -1, -5, 1000, 65536, 2147483647]


def text(random_, _):
    return quote(random_.choice(WORDS))


def quote(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\t", "\\t") + "'"


def floating(random_, _):
    return random_.choice(["0", "1.5", "-2.25", "0.1", "1e10", "-1e-5", "3.25", "100"])


# A column's type, how it is compared, and its values.
TYPES = [
    ("int", "number", lambda r, _: str(r.choice(INTEGERS))),
    ("smallint unsigned", "number", lambda r, _: str(r.choice([0, 1, 9, 10, 65535]))),
    ("bigint", "number", lambda r, _: str(r.choice([*INTEGERS, 9223372036854775807, -9223372036854775808]))),
    ("decimal(12,3)", "number", lambda r, _: r.choice(["0", "1.5", "1.500", "-1.25", "99999.999", "10", "-0.001"])),
    ("double", "float", floating),
    ("float", "float", floating),
    ("varchar(20)", "text", text),
    ("varchar(20) collate utf8mb4_unicode_ci", "text", text),
    ("varchar(20) collate utf8mb4_bin", "text", text),
    ("varchar(20) collate utf8mb4_nopad_bin", "text", text),
    ("varchar(20) collate utf8mb4_general_nopad_ci", "text", text),
    ("char(10)", "text", text),
    ("text", "text", text),
    ("varchar(20) character set latin1", "text", lambda r, _: quote(r.choice([w for w in WORDS if w.isascii()]))),
    ("varbinary(20)", "text", text),
    ("binary(4)", "text", lambda r, _: quote(r.choice(["a", "ab", "b", "", "zz"]))),
    ("enum('zeta','alpha','mid')", "text", lambda r, _: r.choice(["'zeta'", "'alpha'", "'mid'"])),
    ("set('q','p','z')", "text", lambda r, _: r.choice(["''", "'q'", "'p'", "'q,z'", "'p,z'"])),
    ("date", "time", lambda r, _: r.choice(["'2020-01-01'", "'1999-12-31'", "'2020-02-29'", "'9999-12-31'"])),
    ("datetime(3)", "time", lambda r, _: r.choice(["'2020-01-01 00:00:00'", "'2020-01-01 00:00:00.5'", "'1999-01-01'"])),
    ("time", "time", lambda r, _: r.choice(["'10:00:00'", "'100:00:00'", "'-01:00:00'", "'-100:00:00'", "'00:00:00'"])),
    ("timestamp null", "time", lambda r, _: r.choice(["'2020-01-01 00:00:00'", "'2001-01-01 10:00:00'"])),
    ("year", "number", lambda r, _: r.choice(["1999", "2000", "2155", "1901"])),
    ("bit(9)", "bit", lambda r, _: r.choice(["b'0'", "b'101'", "b'111111111'"])),
    ("inet6", "address", lambda r, _: r.choice(["'::1'", "'2001:db8::'", "'::ffff:1.2.3.4'", "'fe80::1'"])),
    ("uuid", "address", lambda r, _: f"'{r.randrange(16):x}baabc25-ebcd-11f1-b4ff-02fc0000000{r.randrange(3)}'"),
]


class Column:
    def __init__(self, name, kind):
        self.name = name
        self.sql, self.group, self.make = kind

    def value(self, random_):
        return "null" if random_.random() < 0.15 else self.make(random_, None)


EDGES = ["0", "1", "2", "42", "9223372036854775807", "9223372036854775808", "18446744073709551615"]
LONG = ["0", "1", "-1", "1.5", "99999999999999999999999999999999999.999999999999999999999999999999", "-0.000000000000000000000000000001", "42"]
ASCII = [w for w in WORDS if w.isascii()]

# As TYPES, less usual.
TYPES += [
    ("bigint unsigned", "number", lambda r, _: r.choice(EDGES)),
    ("decimal(65,30)", "digits", lambda r, _: r.choice(LONG)),
    ("tinyint(1)", "number", lambda r, _: r.choice(["0", "1", "-1", "127"])),
    ("int(7) zerofill", "number", lambda r, _: r.choice(["0", "1", "42", "4294967295"])),
    ("mediumint", "number", lambda r, _: r.choice(["0", "1", "-8388608", "8388607"])),
    ("float(7,3)", "float", lambda r, _: r.choice(["0", "1.5", "0.1", "-2.25", "9999.999"])),
    ("double unsigned", "float", lambda r, _: r.choice(["0", "1.5", "0.1", "100", "18446744073709551615"])),
    ("time(6)", "time", lambda r, _: r.choice(["'10:00:00'", "'-838:59:59'", "'838:59:59'", "'00:00:00.000001'", "'-00:00:00.000001'", "'10:00:00.5'"])),
    ("datetime(6)", "time", lambda r, _: r.choice(["'2020-01-01 00:00:00'", "'2020-01-01 00:00:00.000001'", "'1000-01-01'", "'9999-12-31 23:59:59.999999'"])),
    ("timestamp(6) null", "time", lambda r, _: r.choice(["'2020-01-01 00:00:00.000001'", "'2001-01-01 10:00:00'", "'2037-12-31'"])),
    ("bit(64)", "bit", lambda r, _: r.choice(["b'0'", "b'1'", "x'ffffffffffffffff'", "x'8000000000000000'"])),
    ("bit(1)", "bit", lambda r, _: r.choice(["b'0'", "b'1'"])),
    ("enum('1','0','','b')", "text", lambda r, _: r.choice(["'1'", "'0'", "''", "'b'"])),
    ("enum('a','A ','\u00e4') collate utf8mb4_bin", "text", lambda r, _: r.choice(["'a'", "'A'", "'\u00e4'"])),
    ("set('a','b','c','d','e','f','g','h','i')", "text", lambda r, _: r.choice(["''", "'a'", "'i'", "'a,b'", "'a,i'", "'a,b,c,d,e,f,g,h,i'"])),
    ("json", "text", lambda r, _: r.choice(["'1'", "'[1, 2]'", "'{\"a\": \"b\"}'", "'null'", "'\"x\"'"])),
    ("longtext collate utf8mb4_unicode_ci", "text", text),
    ("blob", "text", text),
    ("varchar(20) character set utf8mb3 collate utf8mb3_bin", "text", text),
    ("char(3) character set ascii", "text", lambda r, _: quote(r.choice(ASCII))),
    ("varchar(20) character set cp1251", "text", lambda r, _: quote(r.choice(ASCII))),
    ("inet4", "address", lambda r, _: r.choice(["'0.0.0.0'", "'10.0.0.1'", "'255.255.255.255'"])),
]

KEY_TYPES = ["varchar(20)", "varchar(20) collate utf8mb4_bin", "varbinary(20)", "binary(6)", "char(20)"]


class Key(Column):
    """A text by which a table is sharded: found in any spelling that its collation takes for the same."""

    def __init__(self, random_):
        super().__init__("k", (random_.choice(KEY_TYPES) + " not null", "text", self.spelling))

    @staticmethod
    def spelling(random_, number):
        number = number if number is not None else random_.randint(1, 40)
        return quote(random_.choice(["k", "K", "k"]) + str(number) + random_.choice(["", "", " "]))


class Table:
    """A sharded table by its id or by a text, or a reference table."""

    def __init__(self, random_, name, reference=False, by_text=False):
        self.name, self.reference, self.by_text = name, reference, by_text
        self.columns = [Column(f"c{i}", random_.choice(TYPES)) for i in range(random_.randint(3, 6))]
        if by_text:
            self.columns.insert(0, Key(random_))

    def definition(self):
        columns = ", ".join(f"{c.name} {c.sql}" for c in self.columns)
        return f"create table {self.name} (id bigint not null, {columns}, primary key ({'k' if self.by_text else 'id'})) " \
               "character set utf8mb4 collate utf8mb4_general_ci"

    def insert(self, random_, ids):
        def values(number):
            return ", ".join(c.make(random_, number) if c.name == "k" else c.value(random_) for c in self.columns)

        rows = ", ".join(f"({i}, {values(i)})" for i in ids)
        return f"insert into {self.name} (id, {', '.join(c.name for c in self.columns)}) values {rows}"


class Statements(Forms):
    """Random statements over some tables. Each is (text, how its rows are compared)."""

    def __init__(self, random_, tables, elsewhere=()):
        self.random, self.tables = random_, tables
        self.sharded = [t for t in tables if not t.reference]
        self.everywhere = [*tables, *elsewhere]  # Of all keyspaces.

    def key(self):
        r = self.random
        n = r.randint(1, 40)
        return r.choice([f"{n}", f"{n}", f"{n}", f"-{n}", f"{n}.0", f"{n}.5", f"'{n}'", f"'{n}.0'", f"'{n}abc'", f"{n}e0", f"' {n}'",
                         f"0x{n:02x}", "null", "true", f"b'{n:b}'", f"{n} + 0", f"cast({n} as char)", f"'0{n}'", f"+{n}"])

    def predicate(self, prefix, table):
        r = self.random
        kind = r.randrange(9)
        column = r.choice(table.columns)
        name = prefix + column.name
        if kind == 0:
            return f"{prefix}id = {self.key()}"
        if kind == 1:
            many = r.choice([1, 2, 3, 3, 70])
            return f"{prefix}id in ({', '.join(self.key() for _ in range(many))})"
        if kind == 2:
            return f"{prefix}id between {r.randint(0, 20)} and {r.randint(10, 45)}"
        if kind == 3:
            return f"{name} is {r.choice(['', 'not '])}null"
        if kind == 4:
            return f"({self.predicate(prefix, table)} or {self.predicate(prefix, table)})"
        if kind == 5:
            return f"not ({self.predicate(prefix, table)})"
        value = column.make(r, None)
        return f"{name} {r.choice(['=', '<', '>=', '<>', '<=>'])} {value}"

    def where(self, prefix, table):
        count = self.random.choice([0, 1, 1, 2])
        return " where " + " and ".join(self.predicate(prefix, table) for _ in range(count)) if count else ""

    def limit(self):
        return self.random.choice(["", "", " limit 3", " limit 0", " limit 2, 5", " limit 5 offset 3",
                                   " limit 2, 18446744073709551615", " limit 18446744073709551615"])

    def rows(self):
        r = self.random
        table = r.choice(self.tables)
        picked = r.sample(table.columns, r.randint(1, len(table.columns)))
        items = ", ".join(["id", *[c.name for c in picked]])
        if r.random() < 0.2:
            items = "*"
        elif r.random() < 0.4:
            items += r.choice([", id+1", ", concat( 'x' ,id)", ", 1", ", 'q'", ", c0 is null", ", (id)", ", id as c0"])
        order = ""
        if r.random() < 0.6:
            keys = [f"{c.name}{r.choice(['', ' desc', ' asc'])}" for c in r.sample(table.columns, r.randint(1, 2))]
            if "id as c0" in items:
                keys = []
            order = " order by " + ", ".join([*keys, r.choice(["id", "id desc"])])
        limit = self.limit() if order else ""
        return f"select {items} from {table.name}{self.where('', table)}{order}{limit}", "ordered" if order else "exact"

    def groups(self):
        r = self.random
        table = r.choice(self.sharded)
        keys = r.sample([c.name for c in table.columns] + ["id"], r.randint(0, 2))
        column = r.choice(table.columns)
        functions = ["count(*)", f"count({column.name})", f"min({column.name})", f"max({column.name})", "sum(id)", "max(id)"]
        if column.group == "number":
            functions.append(f"sum({column.name})")
        items = [*keys, *r.sample(functions, r.randint(1, 3))]
        if r.random() < 0.2 and keys:
            # An alias that is another column's name would leave open which of the group's values is shown.
            items[0] = f"{keys[0]} as {r.choice(['w', keys[0]])}"
            keys[0] = items[0].split()[-1]
        group = " group by " + ", ".join(keys) if keys else ""
        order = " order by " + ", ".join(keys) if keys and r.random() < 0.4 else ""
        return f"select {', '.join(items)} from {table.name}{self.where('', table)}{group}{order}", "folded"

    def distinct(self):
        r = self.random
        table = r.choice(self.sharded)
        keys = [c.name for c in r.sample(table.columns, r.randint(1, 2))]
        order = " order by " + ", ".join(keys) if r.random() < 0.5 else ""
        return f"select distinct {', '.join(keys)} from {table.name}{self.where('', table)}{order}", "folded"

    def join(self):
        r = self.random
        aliases = ["p", "q", "s"]
        picked = [r.choice(self.tables) for _ in range(r.choice([2, 2, 3]))]
        text_ = f"{picked[0].name} p"
        for i in range(1, len(picked)):
            kind = r.choice(["join", "left join", "right join", "left join"])
            left, right = r.choice(aliases[:i]), aliases[i]
            condition = f"{left}.id = {right}.id"
            if r.random() < 0.2:
                condition = f"{left}.{r.choice(['id', 'c0'])} = {right}.{r.choice(['id', 'c0'])}"
            if r.random() < 0.3:
                condition += f" and {self.predicate(aliases[r.randint(0, i)] + '.', picked[0])}" if r.random() < 0.1 else \
                    f" and {right}.id < {r.randint(1, 40)}"
            if i == 2 and r.random() < 0.3:
                text_ = f"{picked[2].name} s {kind} ({text_}) on {condition}"
            else:
                text_ += f" {kind} {picked[i].name} {right} on {condition}"
        ids = [f"{a}.id" for a in aliases[:len(picked)]]
        where = self.where(r.choice(aliases[:len(picked)]) + ".", picked[0]) if r.random() < 0.1 else ""
        if not where and r.random() < 0.4:
            where = f" where {r.choice(ids)} {r.choice(['= ' + self.key(), 'is null', '< 20'])}"
        shape = r.randrange(3)
        if shape == 0:
            return f"select {', '.join(ids)} from {text_}{where}", "exact"
        if shape == 1:
            return f"select {', '.join(ids)} from {text_}{where} order by {', '.join(ids)}{self.limit()}", "ordered"
        group = r.choice(ids)
        return f"select {group}, count(*), max({r.choice(ids)}) from {text_}{where} group by {group}", "exact"

    def joined(self, tables):
        """FROM of tables p, q, s by whatever columns, and the outer joins that go with it."""
        r = self.random
        text_ = f"{tables[0].name} p"
        for i in range(1, len(tables)):
            left, right = r.choice("pqs"[:i]), "pqs"[i]
            columns = {"p": tables[0], "q": tables[min(1, len(tables) - 1)], "s": tables[-1]}
            side = lambda a: f"{a}.{r.choice(['id', 'id', *[c.name for c in columns[a].columns]])}"
            condition = f"{side(left)} {r.choice(['=', '=', '=', '<=>', '<'])} {side(right)}"
            if r.random() < 0.4:
                name = r.choice("pqs"[:i + 1])
                condition += f" and {self.predicate(name + '.', columns[name])}"
            kind = r.choice(["join", "left join", "right join"])
            if i == 2 and r.random() < 0.4:
                text_ = f"{tables[2].name} s {kind} ({text_}) on {condition}"
            else:
                text_ += f" {kind} {tables[i].name} {right} on {condition}"
        where = ""
        if r.random() < 0.6:
            i = r.randrange(len(tables))
            where = self.where("pqs"[i] + ".", tables[i])
        return text_, where

    def any_join(self):
        tables = [self.random.choice(self.everywhere) for _ in range(self.random.choice([2, 2, 3]))]
        text_, where = self.joined(tables)
        items = [f"{'pqs'[i]}.{self.random.choice(['id', *[c.name for c in t.columns]])}" for i, t in enumerate(tables)]
        ids = [f"{'pqs'[i]}.id" for i in range(len(tables))]
        shape = self.random.randrange(3)
        if shape == 0:
            return f"select {', '.join(items)} from {text_}{where}", "exact"
        if shape == 1:
            return f"select {', '.join(ids + items)} from {text_}{where} order by {', '.join(ids)}{self.limit()}", "ordered"
        return f"select {ids[-1]}, count(*), count(distinct {items[0]}) from {text_}{where} group by {ids[-1]} having count(*) > " \
               f"{self.random.randint(0, 2)}", "exact"

    def subquery(self):
        r = self.random
        outer, inner = r.choice(self.everywhere), r.choice(self.everywhere)
        # A server that materializes the subquery does not find a SET without members in it, and finds it otherwise.
        known = [[c for c in t.columns if not c.sql.startswith("set")] or t.columns for t in (outer, inner)]
        column, own = r.choice(known[0]).name, r.choice(known[1])
        link = r.choice([f"i.id = o.id + {r.randint(-2, 2)}", f"i.{own.name} = o.{column}", "i.id < o.id"])
        and_ = self.where("i.", inner).replace(" where ", " and ")
        condition = r.choice([
            f"o.id {r.choice(['', 'not '])}in (select {r.choice(['id', 'id + 1'])} from {inner.name} i{self.where('i.', inner)})",
            f"{r.choice(['', 'not '])}exists (select 1 from {inner.name} i where {link}{and_})",
            f"o.id > (select avg(id) from {inner.name} i where {link}{and_})",
            f"o.{column} = any (select {own.name} from {inner.name} i{self.where('i.', inner)})"])
        scalar = f"(select {r.choice(['count(*)', 'max(id)', 'sum(id)', f'count(distinct i.{own.name})'])} from {inner.name} i where {link}{and_})"
        items = r.choice(["o.id", f"o.id, o.{column}", f"o.id, {scalar} as n"])
        own_where = self.where("o.", outer)
        return f"select {items} from {outer.name} o{own_where}{' and ' if own_where else ' where '}{condition}", "exact"

    def union(self):
        r = self.random
        parts = []
        for _ in range(r.choice([2, 2, 3])):
            table = r.choice(self.everywhere)
            parts.append(f"select {r.choice(['id', 'id + 1', 'count(*)', 'count(distinct id)'])} as n from {table.name}{self.where('', table)}")
        text_ = parts[0]
        operator = r.choice(["union", "union all", "except", "intersect"])
        for part in parts[1:]:
            text_ += f" {operator} {part}"
        return text_ + (f" order by n{self.limit()}" if operator != "union all" and r.random() < 0.5 else ""), "exact"

    def derived(self):
        r = self.random
        inner, outer = r.choice(self.everywhere), r.choice(self.everywhere)
        column = r.choice(inner.columns).name
        grouped = f"select {column} as g, count(*) as n, max(id) as top from {inner.name}{self.where('', inner)} group by {column}"
        where = self.where("o.", outer)
        rest = f"d {r.choice(['join', 'left join', 'right join'])} {outer.name} o on d.top = o.id{where}"
        if r.random() < 0.5:
            return f"with d as ({grouped}) select o.id, d.n, d.top from {rest}", "exact"
        return f"select o.id, d.n, d.top from ({grouped}) {rest}", "exact"

    def windows(self):
        r = self.random
        table = r.choice(self.everywhere)
        by = r.choice(table.columns).name
        functions = r.sample(["row_number()", "sum(id)", "count(*)", "lag(id, 2)", "first_value(id)"], 2)
        items = ", ".join(f"{f} over ({r.choice(['', f'partition by {by} '])}order by id)" for f in functions)
        rank = f", {r.choice(['rank', 'dense_rank'])}() over (order by {by})"
        return f"select id, {items}{rank} from {table.name}{self.where('', table)}", "exact"

    def aggregates(self):
        r = self.random
        table = r.choice(self.everywhere)
        keys = r.sample([c.name for c in table.columns], r.randint(0, 2))
        column = r.choice(table.columns).name
        functions = [f"count(distinct {column})", "avg(id)", "sum(distinct id)", "count(*) + 1", "max(id) - min(id)", "bit_or(id)",
                     "group_concat(id order by id desc)", f"count(distinct {column}, id)", "std(id)", f"sum({column} is null)"]
        group = f" group by {', '.join(keys)}" if keys else ""
        group += r.choice(["", "", " with rollup"]) if keys else ""
        if group.endswith("rollup"):
            # Groups that come in the order of an index: MariaDB's totals are then the sums of the groups' distinct values.
            functions.remove(f"count(distinct {column})")
        items = ", ".join([*keys, *r.sample(functions, r.randint(1, 3))])
        having = f" having {r.choice(['count(*) > 1', 'avg(id) < 20', 'max(id) > 10'])}" if r.random() < 0.4 else ""
        return f"select {items} from {table.name}{self.where('', table)}{group}{having}", "folded"

    def recursive(self):
        r = self.random
        table = r.choice(self.everywhere)
        where = self.where("t.", table)
        return f"with recursive n as (select 1 as n union all select n + {r.randint(1, 3)} from n where n < 40) " \
               f"select n, t.id, t.{r.choice(table.columns).name} from n {r.choice(['join', 'left join'])} {table.name} t on t.id = n{where}", "exact"

    def finish(self):
        """What no shard answers alone, and no merge of answers."""
        return self.random.choice([self.any_join, self.any_join, self.subquery, self.subquery, self.union, self.derived, self.windows,
                                   self.aggregates, self.aggregates, self.recursive])()

    def query(self):
        if self.random.random() < 0.4:
            return self.forms()
        if self.random.random() < 0.5:
            return self.finish()
        return self.random.choice([self.rows, self.rows, self.groups, self.groups, self.distinct, self.join, self.join])()

    def cut(self, table):
        """An order in which no two rows are equal, and how many."""
        r = self.random
        by = r.choice(["", f"{r.choice(table.columns).name}{r.choice(['', ' desc'])}, "])
        return f" order by {by}id{r.choice(['', ' desc'])} limit {r.randint(0, 12)}"

    def change_by_key(self):
        """What no shard does alone: rows are found first, or come from elsewhere."""
        r = self.random
        table, other = r.choice(self.sharded), r.choice(self.everywhere)
        # Which types may be assigned to addresses servers say before there is a row.
        mine, others = ([c for c in columns if c.group != "address"] for columns in (table.columns[table.by_text:], other.columns))
        if not mine or not others:
            return f"delete from {table.name}{self.where('', table)}{self.cut(table)}"
        column, theirs = r.choice(mine), r.choice(others)
        where, find = self.where("", table), self.where("o.", other)
        kind = r.randrange(9)
        if kind == 0:
            return f"update {table.name} set {column.name} = {column.value(r)}{where}{self.cut(table)}"
        if kind == 1:
            return f"delete from {table.name}{where}{self.cut(table)}"
        if kind == 2:
            return f"delete from {table.name} where id {r.choice(['', 'not '])}in (select o.id from {other.name} o{find})"
        if kind == 3:
            value = f"select {r.choice(['max', 'min'])}(o.{theirs.name}) from {other.name} o where o.id = {table.name}.id"
            return f"update {table.name} set {column.name} = ({value}){where}"
        if kind == 4:
            return f"update {table.name} a {r.choice(['join', 'left join'])} {other.name} o on a.id = o.id " \
                   f"set a.{column.name} = {r.choice([f'o.{theirs.name}', column.value(r)])}{find}"
        if kind == 5:
            return f"delete a from {table.name} a {r.choice(['join', 'left join'])} {other.name} o on a.id = o.id + {r.randint(0, 2)}{find}"
        if kind == 6 and not table.by_text:
            set_ = r.choice([f"id = id + {r.choice([1, 50, 100, 5000000000])}", f"id = {r.randint(1, 60)}", f"id = id + 100, {column.name} = {column.value(r)}"])
            return f"update {table.name} set {set_}{where}{r.choice(['', self.cut(table)])}"
        if table.by_text:
            return f"update {table.name} set k = concat(k, 'x'){where}{r.choice(['', self.cut(table)])}"
        verb = r.choice(["insert", "insert", "insert ignore", "replace"])
        shift = r.choice([0, 100, 100])
        suffix = f" on duplicate key update {column.name} = values({column.name})" if verb == "insert" and r.random() < 0.3 else ""
        return f"{verb} into {table.name} (id, {column.name}) select o.id + {shift}, {r.choice([f'o.{theirs.name}', column.value(r)])} " \
               f"from {other.name} o{find} order by o.id{suffix}"

    def change(self):
        r = self.random
        if r.random() < 0.7:
            return self.pick(self.change_by_key, self.table_changes)()
        table = r.choice(self.sharded)
        kind = r.randrange(3 if table.by_text else 4)
        # Not k: where the vindex takes spellings apart that are one to the collation, no shard sees another's row of that key.
        column = r.choice(table.columns[table.by_text:])
        if kind == 0:
            return f"update {table.name} set {column.name} = {column.value(r)}{self.where('', table)}"
        if kind == 1:
            return f"delete from {table.name}{self.where('', table)}"
        if kind == 2:
            return f"update {table.name} set {column.name} = {column.value(r)} where id = {self.key()}"
        verb = r.choice(["insert", "insert ignore", "replace"])
        keys = [r.choice([str(r.randint(1, 60)), f"'{r.randint(100, 200)}'", f"{r.randint(100, 200)}.0", "true", "3000000000",
                          f"-{r.randint(1, 9)}", "null", "'7x'", "0x41"]) for _ in range(r.randint(1, 3))]
        rows = ", ".join(f"({k}, {column.value(r)})" for k in keys)
        suffix = f" on duplicate key update {column.name} = {column.value(r)}" if verb == "insert" and r.random() < 0.3 else ""
        return f"{verb} into {table.name} (id, {column.name}) values {rows}{suffix}"

    def prepared(self):
        """(text, parameters, how compared); all rows are ids."""
        r = self.random
        table = r.choice(self.sharded)
        n = r.randint(1, 40)
        if r.random() < 0.5:
            return self.prepared_of_all_types(table)
        key = lambda: r.choice([n, decimal.Decimal(f"{n}.0"), str(n), f"{n}.0", f"+{n}", float(n), n + 0.5, None, f"{n}abc", -n])
        return r.choice([
            (f"select id from {table.name} where id = ?", [key()], "exact"),
            (f"select id from {table.name} where id in (?, ?)", [key(), key()], "exact"),
            (f"select id from {table.name} where id > ? order by id limit ?", [n, r.choice([3, "2", 0])], "ordered"),
            (f"select id+? from {table.name} where id < ? order by id+? limit ?, ?", [1, n, 1, 1, 4], "ordered"),
            (f"select count(*) from {table.name} where id = ? or id = ?", [key(), key()], "exact"),
        ])


    def prepared_of_all_types(self, table):
        r = self.random
        other, column = r.choice(self.everywhere), r.choice(table.columns).name
        value = lambda: r.choice([r.choice(INTEGERS), 18446744073709551615, decimal.Decimal(r.choice(LONG)), 0.1, 1e10, -2.25, None, r.choice(WORDS), "2020-01-01",
                                  datetime.datetime(2020, 1, 1), datetime.datetime(1999, 12, 31, 23, 59, 59, 500000), r.choice(EDGES)])
        operator = r.choice(["=", "<", ">=", "<>", "<=>"])
        n = r.randint(1, 40)
        return r.choice([
            (f"select id from {table.name} where {column} {operator} ?", [value()], "exact"),
            (f"select ?, id, ? + id from {table.name} where id < ?", [value(), value(), n], "exact"),
            (f"select id, {column} = ?, concat({column}, ?) from {table.name} where {column} in (?, ?) or id = ?", [value(), value(), value(), value(), n], "exact"),
            (f"select count(*), ? as x, max(id) + ? from {table.name} where {column} between ? and ?", [value(), n, value(), value()], "exact"),
            (f"select p.id, q.id from {table.name} p left join {other.name} q on p.id = q.id + ? and q.id <=> ? where p.{column} {operator} ?", [n % 3, n, value()], "exact"),
            (f"select id from {table.name} o where id in (select id from {other.name} where id > ?) and {column} {operator} ?", [n, value()], "exact"),
            (f"select id % ? as g, count(*), avg(id) from {table.name} group by g having count(*) > ? order by g limit ?", [n % 4 + 1, n % 3, n], "ordered"),
            (f"select id, row_number() over (order by id) + ? from {table.name} where id <> ? union all select ?, ? order by 1, 2 limit ?", [n, n, n, n, n], "ordered"),
            (f"select case when {column} = ? then ? else id end from {table.name} where id in (?, ?, ?)", [value(), n, n, n + 1, str(n + 2)], "exact"),
        ])


def fold(cell):
    if not isinstance(cell, (str, bytes)):
        return cell
    if isinstance(cell, bytes):
        cell = cell.decode("utf8", "replace")
    cell = unicodedata.normalize("NFD", cell.rstrip(" ").replace("\u00df", "s")).casefold()
    return "".join(c for c in cell if not unicodedata.combining(c)).replace("ss", "s")


def shown(rows, how):
    rows = [tuple(fold(c) for c in row) if how == "folded" else tuple(row) for row in rows]
    return [repr(row) for row in rows] if how == "ordered" else sorted(map(repr, rows))


class Side:
    flags = 0  # Of columns, which are compared with types, character sets and digits; 0: names alone.

    def __init__(self, connection):
        self.connection = connection
        self.cursor = connection.cursor()

    def run(self, sql, how="exact"):
        """("rows", names, rows), ("changed", count) or ("error", number, text)."""
        try:
            self.cursor.execute(sql)
        except pymysql.MySQLError as error:
            return "error", error.args[0], str(error.args[1])
        if self.cursor.description is None:
            return "changed", self.cursor.rowcount
        names = [(f.name, f.type_code, f.charsetnr, f.scale, f.flags & self.flags) for f in self.cursor._result.fields] if self.flags else \
            [d[0] for d in self.cursor.description]
        return "rows", names, shown(self.bits_as_numbers(self.cursor.fetchall()), how)

    def bits_as_numbers(self, rows):
        """A server keeps BIT columns as numbers where it takes a temporary table, which depends on its plan, and answers with digits then."""
        bits = [i for i, d in enumerate(self.cursor.description) if d[1] == pymysql.constants.FIELD_TYPE.BIT]
        if not bits:
            return rows
        return [tuple(int.from_bytes(c, "big") if i in bits and isinstance(c, bytes) else c for i, c in enumerate(row)) for row in rows]

    def run_prepared(self, sql, parameters, how):
        try:
            statement = Statement(self.connection, sql)
            rows = statement.execute(*parameters)
            statement.close()
        except pymysql.MySQLError as error:
            return "error", error.args[0], str(error.args[1])
        return "rows", [], shown(rows, how)


class Fuzzer:
    def __init__(self, seed):
        self.seed, self.random = seed, random.Random(seed)
        self.root = tempfile.mkdtemp(prefix="vitrail-fuzz-")
        self.cluster = ChangingCluster(os.path.join(self.root, "cluster"))
        os.makedirs(self.cluster.cluster.root)
        self.plain = PlainServer(self.root, self.cluster.cluster.ports.take(17050))
        self.outcomes = collections.Counter()
        self.refusals = collections.Counter()
        self.history = []
        self.shown = None  # The history that was printed last.
        self.whole = False

    def start(self):
        self.plain.start()
        self.cluster.start()
        self.cluster.ensure("sh", SHARDS)
        self.cluster.ensure("un", ["0"])
        self.cluster.cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")

    def stop(self, remove):
        self.cluster.down(remove)
        self.plain.stop()
        if remove:
            shutil.rmtree(self.root, ignore_errors=True)

    def new_schema(self):
        r = self.random
        tables = [Table(r, name) for name in ("t1", "t2", "t3")[:r.randint(2, 3)]] + [Table(r, "ref", reference=True)]
        if r.random() < 0.6:
            tables.append(Table(r, "named", by_text=True))
        self.cluster.ensure("sh", SHARDS)
        self.cluster.ensure("un", ["0"])
        elsewhere = Table(r, "un.other")
        definitions = [t.definition() for t in tables]
        with self.plain.connect() as connection, connection.cursor() as cursor:
            for keyspace in ("sh", "un"):
                cursor.execute(f"drop database if exists {keyspace}")
                cursor.execute(f"create database {keyspace} character set utf8mb4")
            for statement in ("use sh", *definitions, elsewhere.definition()):
                cursor.execute(statement)
        errors = self.cluster.run_on_server("un", "0", [elsewhere.definition().replace("un.other", "other")], "un")
        if errors:
            raise Failure(errors[0])
        self.cluster.apply_vschema("un", {"tables": {"other": {}}})
        for shard in SHARDS:
            errors = self.cluster.run_on_server("sh", shard, definitions, "sh")
            if errors:
                raise Failure(errors[0])
        vindexes = {"v": {"type": r.choice(["hash", "hash", "numeric", "reverse_bits", "xxhash"])}}
        vschema = {"sharded": True, "vindexes": vindexes, "tables": {}}
        for table in tables:
            entry = {"type": "reference"} if table.reference else {"column_vindexes": [{"column": "id", "name": "v"}]}
            if not table.reference and (vindexes["v"]["type"] == "xxhash" or r.random() < 0.3):
                entry["columns"] = [{"name": "id", "type": "INT64"}]
            if table.by_text:
                vindexes["x"] = {"type": r.choice(["xxhash", "binary_md5", "unicode_loose_md5", "unicode_loose_xxhash"])}
                entry = {"column_vindexes": [{"column": "k", "name": "x"}]}
                if table.columns[0].sql.startswith("varbinary") and r.random() < 0.5:
                    entry["columns"] = [{"name": "k", "type": "VARBINARY"}]
            vschema["tables"][table.name] = entry
        self.cluster.apply_vschema("sh", vschema)
        self.cluster.wait_for_vtgate({"sh": list(vschema["tables"]), "un": ["other"]})
        self.history = [*definitions, elsewhere.definition(), f"vschema: {vschema}"]
        self.gate = Side(self.cluster.cluster.connect("sh", charset="utf8mb4"))
        self.server = Side(self.plain.connect("sh"))
        for table in tables:
            ids = r.sample(range(1, 41), r.randint(15, 40))
            statement = table.insert(r, ids)
            self.history.append(statement)
            self.require(self.server.run(statement), statement)
            if table.reference:
                for shard in SHARDS:
                    errors = self.cluster.run_on_server("sh", shard, ["set names utf8mb4", statement], "sh")
                    if errors:
                        raise Failure(errors[0])
            else:
                self.require(self.gate.run(statement), statement)
        statement = elsewhere.insert(r, r.sample(range(1, 41), 20))
        self.history.append(statement)
        for side in (self.server, self.gate):
            self.require(side.run(statement), statement)
        self.tables = tables
        return Statements(r, tables, [elsewhere])

    @staticmethod
    def require(result, statement):
        if result[0] == "error":
            raise Failure(f"{result[2]} in {statement}")

    def compare(self, statement, expected, found):
        """Counts; returns False on a difference."""
        if found[0] == "error" and ("VT12001" in found[2] or "VT09023" in found[2] or "VT09003" in found[2]):
            # VT09023: a value without a place; VT09003: no value for the column by which a table is sharded.
            self.outcomes["refused"] += 1
            self.refusals[found[2].split(" (")[0][:100]] += 1
            return True
        if (expected[0] == "changed" and found[:2] == ("error", 1292)) or (found == ("changed", 0) and expected[:2] == ("error", 1292)):
            # A strict session's change may not compare with what is no number. Whether a server comes to that comparison depends on the order in which
            # it looks at conditions, which shards and it do differently. vtgate changed nothing.
            self.outcomes["refused"] += 1
            self.refusals["1292 where the server did not look"] += 1
            return True
        if expected[:2] == ("error", 1054) and "order by -9223372036854775808" in statement:
            # A server takes the smallest number for a column's place, and finds none.
            self.outcomes["refused"] += 1
            self.refusals["a place in ORDER BY that is none"] += 1
            return True
        if expected[0] == "error" and found[0] == "error":
            self.outcomes["both refuse"] += 1
            return True
        if expected == found:
            self.outcomes["same"] += 1
            return True
        self.report(statement, expected, found)
        return False

    def report(self, statement, expected, found):
        print(f"DIFFERENCE with --seed {self.seed}")
        for line in self.history if self.history is not self.shown else []:
            print(f"  {line[:2000 if self.whole else 300]};")
        self.shown = self.history
        print(f"statement: {statement}\nserver:    {str(expected)[:1500]}\nvtgate:    {str(found)[:1500]}")

    def changed_rows(self, statements):
        """A change in a transaction, what it left, and back."""
        statement = statements.change()
        for side in (self.server, self.gate):
            side.run("begin")
        expected, found = self.server.run(statement), self.gate.run(statement)
        before = self.outcomes["same"]
        same = self.compare(statement, expected, found)
        if self.outcomes["same"] > before:
            for table in self.tables:
                read = f"select * from {table.name}"
                same = same and self.compare(f"{statement}; {read}", self.server.run(read), self.gate.run(read))
        for side in (self.server, self.gate):
            side.run("rollback")
        return same

    def one(self, statements):
        kind = self.random.random()
        if kind < 0.2:
            return self.changed_rows(statements)
        if kind < 0.35:
            sql, parameters, how = statements.prepared()
            return self.compare(f"{sql} with {parameters}", self.server.run_prepared(sql, parameters, how),
                                self.gate.run_prepared(sql, parameters, how))
        if kind < 0.37:
            statement, (sql, how) = statements.variables()
            for side in (self.server, self.gate):
                side.run(statement)
            expected, found = self.server.run(sql, how), self.gate.run(sql, how)
            if expected[:2] == ("error", 1267):  # vtgate writes a variable's value as a literal, which has no collation of its own.
                found = expected
            return self.compare(f"{statement}; {sql}", expected, found)
        sql, how = statements.rows() if kind > 0.97 else statements.query()
        if kind > 0.97:
            sql = sql.replace("select ", "select sql_calc_found_rows ", 1)
        before = self.outcomes["same"]
        same = self.compare(sql, self.server.run(sql, how), self.gate.run(sql, how))
        if kind > 0.97 and self.outcomes["same"] > before:
            ask = "select found_rows()"
            same = self.compare(f"{sql}; {ask}", self.server.run(ask), self.gate.run(ask))
        return same

    def run(self, seconds, most_differences):
        deadline = time.monotonic() + seconds
        differences = 0
        while time.monotonic() < deadline and differences < most_differences:
            statements = self.new_schema()
            for _ in range(300):
                if time.monotonic() >= deadline or differences >= most_differences:
                    break
                if not self.one(statements):
                    differences += 1
        return differences


def main():
    parser = argparse.ArgumentParser(prog="./dev fuzz sql", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--differences", type=int, default=1, help="go on until so many were found")
    parser.add_argument("--rows", action="store_true", help="print all rows with a difference")
    parser.add_argument("--columns", action="store_true", help="compare what is told of the columns, too: types, flags, character sets, digits")
    parser.add_argument("--keep", action="store_true", help="leave logs and data in the temporary folder")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    Side.flags = UNSIGNED | BINARY | NOT_NULL if options.columns else 0
    fuzzer = Fuzzer(seed)
    fuzzer.whole = options.rows
    try:
        fuzzer.start()
        differences = fuzzer.run(options.seconds, options.differences)
    except Failure as failure:
        print(f"fuzz sql: {failure}", file=sys.stderr)
        return 2
    finally:
        fuzzer.stop(not options.keep)
    for reason, count in fuzzer.refusals.most_common(12):
        print(f"{count:6} {reason}")
    print(f"seed {seed}: {dict(fuzzer.outcomes)}, differences: {differences}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
