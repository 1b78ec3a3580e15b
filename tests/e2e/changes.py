"""Changes of rows on two shards beside one server with the same rows: what is told to the client, and the rows afterwards."""

import os
import unittest

import pymysql

from binary_protocol import Statement
from support import ClusterTest, main

from vitrail.processes import SLOWNESS

SCHEMA = """create table t(id bigint not null, name varchar(40), grp int, price decimal(10,2), note text,
  made datetime default '2020-01-02 03:04:05', dbl double, bin varbinary(20), kind enum('a','b','c') default 'b', primary key(id));
create table child(id bigint not null, child_id bigint not null, qty int not null default 1, label varchar(40) character set latin1,
  stamp timestamp not null default '2021-01-01 00:00:00', primary key(id, child_id), unique key qty_label(id, qty, label));
create table u(u_id bigint not null auto_increment, name varchar(40), v int, primary key(u_id));
create table token(token varbinary(32) not null, v int, primary key(token));
create table gen(id bigint not null, a int not null, b int generated always as (a * 2) stored, c int generated always as (a + 1) virtual, d bit(8),
  h int invisible default 7, primary key(id));
create table nokey(id bigint not null, v int);
create table parent(id bigint not null, v int, primary key(id));
create table kid(id bigint not null, n int not null, primary key(id, n), foreign key(id) references parent(id) on delete cascade);
create table two(a bigint not null, b bigint not null, v varchar(20), primary key(a, b));
create table job(id bigint not null, priority tinyint not null default 50, epoch bigint not null default 0, time_next bigint default 0,
  time_acked bigint, note varchar(40), primary key(id))
  comment 'vitess_message,vt_ack_wait=3600,vt_purge_after=3600,vt_batch_size=2,vt_cache_size=2,vt_poller_interval=3600'"""
ROWS = [
    "insert into t(id, name, grp, price, note, dbl, bin, kind) values " + ", ".join(
        f"({n}, {'null' if n % 5 == 0 else repr(f'Name {n % 7}')}, {n % 4}, {n}.{n % 100:02}, 'note {n}', {n}/3, x'{n:02x}5c27ff', '{'abc'[n % 3]}')"
        for n in range(1, 21)),
    "insert into child(id, child_id, qty, label) values " + ", ".join(f"({n % 10 + 1}, {n}, {n % 6}, 'label {n}')" for n in range(1, 31)),
    "insert into token(token, v) values " + ", ".join(f"('tok{n}', {n})" for n in range(1, 9)),
    "insert into gen(id, a, d) values (1, 10, b'101'), (2, 20, null), (3, 30, b'11111111'), (4, 40, b'0')",
    "insert into nokey(id, v) values (1, 1), (1, 1), (2, 2), (3, 3), (4, 4)",
    "insert into parent(id, v) values (1, 1), (2, 2), (4, 4)",
    "insert into kid(id, n) values (1, 1), (1, 2), (2, 1), (4, 1)",
    "insert into two(a, b, v) values (1, 1, 'x'), (1, 2, 'y'), (2, 1, 'z'), (4, 7, 'w')",
]
TABLES = ("t", "child", "u", "token", "gen", "nokey", "parent", "kid", "two")
VSCHEMA = """{"sharded": true, "vindexes": {"hash": {"type": "hash"}, "xxhash": {"type": "xxhash"}}, "tables": {
  "t": {"column_vindexes": [{"column": "id", "name": "hash"}]},
  "child": {"column_vindexes": [{"column": "id", "name": "hash"}]},
  "u": {"column_vindexes": [{"column": "u_id", "name": "hash"}], "auto_increment": {"column": "u_id", "sequence": "commerce.u_seq"}},
  "token": {"column_vindexes": [{"column": "token", "name": "xxhash"}], "columns": [{"name": "token", "type": "VARBINARY"}]},
  "gen": {"column_vindexes": [{"column": "id", "name": "hash"}]},
  "nokey": {"column_vindexes": [{"column": "id", "name": "hash"}]},
  "parent": {"column_vindexes": [{"column": "id", "name": "hash"}]},
  "kid": {"column_vindexes": [{"column": "id", "name": "hash"}]},
  "made": {"column_vindexes": [{"column": "id", "name": "hash"}]},
  "two": {"column_vindexes": [{"column": "a", "name": "hash"}]},
  "job": {"column_vindexes": [{"column": "id", "name": "hash"}]}}}"""
SEQUENCE = """create table u_seq(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
insert into u_seq(id, next_id, cache) values(0, 1000, 100);
create table plain(id bigint not null, v varchar(40), primary key(id))"""
REFUSED_CODES = (1105, 1235)

# Statements that must be answered as one server answers them.
SAME = """
insert into t values (101, 'n', 1, 2.50, 'x', '2022-02-02', 0.5, 'b', 'a'), (104, null, 1, 2, 'x', null, 1e300, null, null)
insert t(id) values (101)
insert into t(id, name) values (101, 'a'), (102, 'b'), (103, 'c'), (104, 'd')
insert into t set id = 101, name = 'set', grp = 1 + 1
insert into t(id, name) values (101, concat('a', 'b')), (104, upper('x'))
insert into t(id, made) values (50 + 51, '2020-01-01'), (100 + 4, '2020-01-01')
insert into t(id, made) values (cast('101' as signed), now() - interval 0 day)
insert into t(id, name) values (101, default), (104, default(name))
insert into t(id) values (1)
insert into t(id) values (101), (1), (104)
insert into t(id, name) values (1, 'dup'), (4, 'dup'), (104, 'new') on duplicate key update name = values(name)
insert into t(id, name, grp) values (1, 'dup', 5), (4, 'dup', 6), (104, 'new', 7) on duplicate key update grp = grp + values(grp), name = concat(name, '!')
insert into t(id, name) values (1, 'Name 1') on duplicate key update name = 'Name 1'
insert into t(id, name) values (1, 'x'), (4, 'x') on duplicate key update name = name
insert ignore into t(id, name) values (1, 'dup'), (101, 'new'), (4, 'dup'), (104, 'new')
insert ignore into t(id, name) values (1, 'dup')
replace into t(id, name) values (1, 'r'), (4, 'r'), (104, 'r')
replace into t(id, name) values (1, 'r')
replace t set id = 4, name = 'r'
replace into t values (1, 'n', 1, 2.50, 'x', '2022-02-02', 0.5, 'b', 'a')
insert into gen values (11, 1, default, default, b'1'), (14, 2, default, default, 3)
insert into gen(id, a, h) values (11, 1, 2), (14, 2, 3)
insert into two values (7, 7, 'q'), (8, 8, 'r'), (9, 9, 's')
insert into t(id, name) values (101, 'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz')
insert into t(id, price) values (101, 1.234), (104, 9.999)
insert into t(id, kind) values (101, 'zz')
insert into child(id, child_id, qty) values (1, 100, null)
insert into t(id, nothere) values (1, 2)
insert into t(id, name) values (101)
insert into t values (101)
insert into t(id, name) values (101, 'a'), (102)
insert into nothere(id) values (1)
delete from nothere limit 1
insert into t(id, name) values (101, (select 'sub'))
insert into t(id, name) values (101, (select max(name) from t)), (104, (select min(label) from child))
insert into t(id, grp) values ((select max(x.id) + 100 from t as x), 3)
insert into t(id, name) select id + 100, name from t
insert into t(id, name) select id + 100, name from t where id = 1
insert into t select id + 100, name, grp, price, note, made, dbl, bin, kind from t
insert into t(id, name, grp, price, note, made, dbl, bin, kind) select id + 100, name, grp, price, note, made, dbl, bin, kind from t order by id desc limit 5
insert into t(id, name) select 101, 'a' union select 104, 'b'
insert into t(id, name) values row(101, 'a')
insert into t(id, name) select id + 100, count(*) from child group by id
insert into t(id, name) select t.id + 100, c.label from t join child c on c.id = t.id and c.child_id < 11
insert into t(id, name) select child_id + 100, name from t join child on t.grp = child.qty and child_id between 5 and 7 and t.id < 5
insert ignore into t(id, name) select id + 15, name from t
insert into t(id, name) select id + 15, name from t on duplicate key update name = 'dup'
insert into t(id, name) select id + 15, concat(name, 'x') from t on duplicate key update name = values(name)
insert into t(id, name) select id + 15, name from t
replace into t(id, name) select id + 15, name from t
insert into child(id, child_id, qty, label) select id, id + 1000, grp, name from t where name is not null
insert into child(id, child_id, qty, label, stamp) select id + 100, child_id, qty, label, stamp from child
insert into gen(id, a, d) select id + 10, a, d from gen
insert into gen(id, a) select id + 10, null from t
insert into t(id, dbl, bin) select id + 100, dbl, bin from t
insert into t(id, name) select id + 100, dbl from t
insert into t(id, grp) select id + 100, price from t
insert into t(id, note) select id + 100, made from t
insert into t(id, bin) select id + 100, bin from t where id in (1, 4)
insert into t(id, kind) select id + 100, kind from t
insert into t(id, name) select id + 100, kind from t
insert into t(id, name) select id + 100, note from t where id > 1000
insert into t(id, name) select id + 100 from t
insert into t(id) select null from t
insert into t with x as (select id + 100 as i from t where id < 4) select i, 'w', 1, 1, 'n', '2020-01-01', 1, 'b', 'a' from x
insert into t(id, name) (select id + 100, name from t where id < 5)
insert into two select id + 10, id, name from t
insert into nokey select id, v from nokey
insert into token(token, v) select concat('t', id), grp from t
insert into token(token, v) values (concat('x', 1), 1), (concat('x', 2), 2)
insert into u(name, v) values ('a', 1), ('b', 2), ('c', 3)
insert into u(name, v) select name, id from t
insert into u(u_id, name) values (null, 'x'), (0, 'y'), (default, 'z')
insert into u values (null, 'x', 1), (5, 'y', 2)
insert into u set name = 'x'
insert into u values (), ()
insert into u() values ()
insert into u(u_id, name) select null, name from t where id < 5
insert into t(id, name) values (101, 'r'), (104, 's') returning id, name
insert into t(id, name) values (101, 'r'), (104, 's'), (102, 't') returning *
insert into t(id, name) values (101, 'r') returning id, upper(name) as n, length(name)
replace into t(id, name) values (1, 'r'), (4, 's') returning id, name
insert into t(id, name) select id + 100, name from t where id < 6 returning id
insert into u(name) values ('a'), ('b') returning name
delete from t where id in (1, 4) returning id, name
delete from t where grp = 2 returning id, name
delete from t
delete from t where grp = 1
delete from t order by id limit 3
delete from t order by id desc limit 3
delete from t where grp = 2 order by name, id limit 2
delete from t limit 100
delete from t where id = 1 limit 1
delete from t where grp = 1 order by price desc limit 1
delete from t where id in (select id from child where qty = 3)
delete from t where grp in (select qty from child where child_id < 3)
delete from t where exists (select 1 from child where child.id = t.id)
delete from t where not exists (select 1 from child where child.id = t.id and child.qty > 3)
delete from t where price > (select avg(qty) + 10 from child)
delete from child where qty = (select max(grp) from t)
delete t from t join child on child.id = t.id where child.qty = 3
delete t from t join child on child.qty = t.grp where child.child_id < 3
delete t, child from t join child on child.id = t.id where t.id < 4
delete t, child from t join child on child.qty = t.grp where t.id < 4
delete from t using t left join child on child.id = t.id where child.id is null
delete a from t as a join t as b on a.grp = b.grp and a.id > b.id
delete child from child join t using (id) where t.grp = 1
delete from two where (a, b) in (select a, b from two where v > 'x')
delete from token where v in (select id from t where grp = 1)
delete from token order by v desc limit 2
delete from gen order by id limit 1
delete from child order by qty desc, child_id limit 4
delete from parent where v > 1
delete from parent order by v desc limit 2
delete ignore from t where grp = 2 order by id limit 2
delete from t where id = 100000 limit 1
delete from t where nothere = 1 limit 1
delete from t where grp = 1 limit 0
update t set name = 'all'
update t set name = 'some' where grp = 1
update t set name = 'Name 1' where grp = 1
update t set grp = grp + 1, price = grp order by id limit 5
update t set name = 'x' order by id desc limit 3
update t set name = 'x' where grp = 1 limit 100
update t set name = concat(name, id) where grp < 3 order by price desc limit 7
update t set name = 'x' where id in (select id from child where qty = 2)
update t set name = 'x' where grp in (select qty from child where child_id = 3)
update t set name = 'x' where not exists (select 1 from child where child.id = t.id)
update t set grp = (select count(*) from child where child.id = t.id)
update t set grp = (select max(qty) from child)
update t set name = (select label from child where child.id = t.id order by child_id limit 1), grp = grp + 10 where id < 5
update t set price = (select avg(qty) from child where child.id = t.id) where id < 11
update t set dbl = dbl * 2, note = concat(note, dbl) where grp in (select qty from child)
update t join child on child.id = t.id and child.child_id <= 10 set t.name = child.label
update t join child on child.id = t.id and child.child_id <= 10 set t.name = child.label, t.grp = child.qty + t.grp where t.id > 2
update t, child set t.grp = 99 where t.grp = child.qty and child.child_id = 2
update t join child on child.qty = t.id set t.name = 'j' where t.id < 3
update t left join child on child.id = t.id set t.name = 'none' where child.id is null
update t as a join t as b on b.id = a.id + 1 set a.name = b.note
update child join t using (id) set child.label = 'q' where t.grp = 1
update child set qty = qty + 10 order by child_id desc limit 5
update child set label = (select name from t where t.id = child.id)
update gen set a = a + 1 order by id limit 2
update gen set a = (select max(id) from t), d = b'1' where id in (1, 4)
update token set v = (select count(*) from t)
update two set v = 'new' where (a, b) in (select a, b from two where v > 'x')
update two set b = b + 10 order by a desc, b desc limit 2
update t set made = (select max(stamp) from child where child.id = t.id) where id = 3
update t set bin = (select x.bin from (select bin from t where id = 7) as x) where grp = 2
update t set name = 'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz' order by id limit 3
update t set kind = 'zz' where grp = 1 order by id
update child set qty = null where id in (select id from t)
update t set id = 104 where id = 1
update t set id = id + 100
update t set id = id + 1 order by id desc
update t set id = id + 1
update t set id = 4 where id = 1
update t set id = 1 where id = 1
update t set id = id + 100, name = 'moved' where grp = 1
update t set id = id + 100 where grp = 1 order by price desc limit 2
update t set name = 'both', id = id + 100 where id in (1, 2, 3, 4)
update two set a = a + 5, v = 'moved'
update two set a = b, b = 50 where a = 4
update gen set id = id + 100
update gen set id = id + 100, a = 5 where id < 4
update token set token = concat(token, 'x')
update token set token = 'tok2' where token = 'tok1'
update child set id = id + 20 where child_id < 5
update child set id = 3 where id = 2
update t set id = '105' where id = 1
update t set id = null where id = 1
update ignore t set name = 'i' order by id limit 2
update ignore t set id = id + 1 where id in (3, 20)
update ignore t set id = 5, name = 'moved' where id in (4, 7)
update ignore t set id = 105, name = 'moved' where id in (1, 4) order by id desc
update ignore two set a = a + 3, v = 'moved'
update child set qty = (select min(o.id) from t o where o.id = child.id) where label is not null and child_id in (-5, 13.0, '38abc')
update t set name = 'x' where id = 100000
update t set nothere = 1 where grp = 1 limit 1
update t set id = 200 where grp = 77
truncate table token
truncate two
update t set name = 'n' where id between 1 and 4 and grp = 1
update parent set v = v + 1 order by id desc limit 1
with x as (select 1) select count(*) from t
update t set name = @@version_comment is null order by id limit 1
insert into t(id, name) values (101, database() is null), (104, last_insert_id() is null)
insert into t(id, grp) values (last_insert_id() * 0 + 101, connection_id() * 0)
insert into t(id, name) select id + 100, last_insert_id() > 1000000 from t where id < 5
update t set grp = last_insert_id() > 1000000 order by id limit 2
insert into t(id, name) select id + 100, 'abc' + grp from t
insert into t(id, name) select id + 100, 1 / 0 from t where id < 3
insert ignore into t(id, name) select id + 100, 1 / 0 from t where id < 3
insert into t(id, name) values (101, 1 / 0), (104, 'x')
update t set grp = (select max(qty) / 0 from child)
update t set grp = 1 where 'abc' + grp > 0 and id in (select id from child)
update t set grp = 1 where name + 1 > 5 order by id limit 2
do 1
"""

# Statements whose answer would not be surely right.
REFUSED = """
delete from nokey limit 1
update t join child on child.id = t.id set t.name = child.label
update t join child on child.qty = t.grp set t.name = child.label
update nokey set v = 9 limit 1
update parent set id = id + 100
create table nowhere as select 1 as one where false
load data infile '/etc/passwd' into table t
load data local infile '/etc/passwd' into table t(id, name) set grp = (select max(qty) from child)
load data local infile '/etc/passwd' into table t(id, name) set grp = @grp
load data local infile '/etc/passwd' into table t(@id) set id = @id + 1
load xml local infile '/etc/passwd' into table t
"""


def statements(text):
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


class ChangesTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        for keyspace in ("commerce", "customer"):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        cluster.add_shard("commerce", "0", 100, ("replica",))
        cluster.add_shard("customer", "-80", 300, ("replica",))
        cluster.add_shard("customer", "80-", 400, ("replica",))
        cluster.vtctldclient("ApplySchema", "--sql", SEQUENCE, "commerce")
        cluster.vtctldclient("ApplySchema", "--sql", SCHEMA, "customer")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"u_seq": {"type": "sequence"}, "plain": {}}}', "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", VSCHEMA, "customer")
        cluster.start_vtgate("--max-memory-rows", "20000")
        cls.reference = cluster.server(cluster.primary("commerce", "0"))
        cls.addClassCleanup(cls.reference.close)
        with cls.reference.cursor() as cursor:
            cursor.execute("create database reference")
            cursor.execute("use reference")
            for statement in SCHEMA.split(";"):
                cursor.execute(statement)
        cls.gate = cluster.connect("customer")
        cls.addClassCleanup(cls.gate.close)
        cls.fill()

    @classmethod
    def fill(cls):
        """The rows that each statement meets."""
        for connection in (cls.gate, cls.reference):
            with connection.cursor() as cursor:
                for table in ("kid",) + TABLES:
                    cursor.execute(f"delete from {table}")
                for sql in ROWS:
                    cursor.execute(sql)
            connection.commit()

    @staticmethod
    def run_one(connection, sql):
        """What the client is told."""
        cursor = connection.cursor()
        try:
            cursor.execute(sql)
        except pymysql.MySQLError as error:
            return ("error", error.args[0], str(error.args[1]))
        result = cursor._result
        rows = sorted(cursor.fetchall(), key=repr)
        names = [column[0] for column in cursor.description or ()]
        ours = "u(" in sql or " u " in sql
        return ("done", result.affected_rows, bool(result.insert_id) if ours else result.insert_id,
                (result.message or b"").decode(), result.warning_count, names, rows)

    @staticmethod
    def contents(connection):
        out = {}
        with connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"select {'name, v' if table == 'u' else '*'}{', h' if table == 'gen' else ''} from {table}")
                out[table] = sorted(cursor.fetchall(), key=repr)
        connection.commit()
        return out

    def compare(self, sql):
        """"same", or "refused" or "differs" with the reason."""
        told = self.run_one(self.gate, sql)
        expected = self.run_one(self.reference, sql)
        found_rows, expected_rows = self.contents(self.gate), self.contents(self.reference)
        changed = told[0] == "done" or expected[0] == "done" or found_rows != expected_rows
        if changed:
            self.fill()
        if told[0] == "error" and "VT12001" in told[2]:
            return "refused", told[2]
        if told[0] == "error" and expected[0] == "error":
            same = told[1] == expected[1]
        else:
            same = told == expected
        if not same:
            return "differs", f"\n  told     {told}\n  expected {expected}"
        for table in TABLES:
            if found_rows[table] != expected_rows[table]:
                return "differs", f"\n  rows of {table}: {found_rows[table]}\n  expected {expected_rows[table]}"
        return "same", ""

    def test_statements_are_answered_as_one_server_does(self):
        wrong, counts = [], {"same": 0, "refused": 0, "differs": 0}
        for sql in statements(SAME):
            outcome, why = self.compare(sql)
            counts[outcome] += 1
            if outcome != "same":
                wrong.append(f"{outcome}: {sql}: {why}")
        if os.environ.get("VITRAIL_TEST_COUNTS"):
            print("\n".join(wrong), counts)
        self.assertEqual(wrong, [], f"{counts}")

    def test_a_statement_that_fails_is_undone_alone(self):
        """Inside of a transaction: what came before it stays."""
        other = self.cluster.connect("customer")
        self.addCleanup(other.close)
        cursor = other.cursor()
        for failing in (
                "insert into t(id, name) select id + 15, name from t",  # Meets rows that are there, after others.
                "update t set id = id + 15 where id < 6",
                "insert into t(id, name) values (201, 'a'), (4, 'b'), (204, 'c')",
                "update child set qty = null where id in (select id from t)"):
            cursor.execute("begin")
            cursor.execute("insert into t(id, name) values (301, 'kept'), (304, 'kept')")
            with self.assertRaises(pymysql.MySQLError, msg=failing):
                cursor.execute(failing)
            cursor.execute("update t set name = 'kept too' where id in (301, 304)")
            cursor.execute("commit")
            cursor.execute("select count(*), sum(name = 'kept too') from t where id > 20")
            self.assertEqual(cursor.fetchall(), ((2, 2),), failing)
            cursor.execute("select count(*) from t where id <= 20")
            self.assertEqual(cursor.fetchall(), ((20,),), failing)
            self.fill()

    def test_rows_that_are_found_stay_locked(self):
        """What is inserted is what is there: no other session changes the rows in between."""
        with self.cluster.connect("customer") as first, self.cluster.connect("customer") as second:
            one, two = first.cursor(), second.cursor()
            two.execute("set innodb_lock_wait_timeout = 1")
            for change, touched in (("insert into two select id + 10, id, name from t", "t"),
                                    ("delete from t order by id limit 3", "t"),
                                    ("update t set name = 'x' where grp in (select qty from child)", "child")):
                one.execute("begin")
                one.execute(change)
                with self.assertRaises(pymysql.MySQLError) as caught:
                    two.execute(f"update {touched} set id = id where id = 1" if touched == "t" else "update child set qty = 9 where id = 1")
                    two.execute("delete from t where id = 1")
                self.assertEqual(caught.exception.args[0], 1205, change)
                one.execute("rollback")
                two.execute("rollback")
        self.fill()

    def test_prepared_statements_and_character_sets(self):
        for options in ({}, {"charset": "latin1"}):
            with self.cluster.connect("customer", **options) as connection:
                cursor = connection.cursor()
                cursor.execute("update t set name = 'M\u00fcller' where id = 1")
                for text, values in (("insert into t(id, name) select id + ?, name from t where id < ?", (100, 5)),
                                     ("update t set name = concat(name, ?) where id > ? order by id limit ?", ("\u00e9", 1, 3)),
                                     ("delete from t where grp in (select qty from child where child_id = ?)", (3,)),
                                     ("insert into t(id, name) values (? + 200, ?)", (4, "\u00fc"))):
                    with self.subTest(text=text, options=options):
                        if options:
                            cursor.execute(text.replace("?", "%s"), values)
                            continue
                        statement = Statement(connection, text)
                        statement.execute(*values)
                        statement.close()
            with self.reference.cursor() as cursor:
                cursor.execute("update t set name = 'M\u00fcller' where id = 1")
                cursor.execute("insert into t(id, name) select id + 100, name from t where id < 5")
                cursor.execute("update t set name = concat(name, '\u00e9') where id > 1 order by id limit 3")
                cursor.execute("delete from t where grp in (select qty from child where child_id = 3)")
                cursor.execute("insert into t(id, name) values (4 + 200, '\u00fc')")
            self.assertEqual(self.contents(self.gate), self.contents(self.reference))
            self.fill()

    def test_other_keyspaces(self):
        """Rows go from sharded to unsharded tables and back."""
        with self.cluster.connect("customer") as connection:
            cursor = connection.cursor()
            cursor.execute("insert into commerce.plain select id, name from t where grp = 1")
            cursor.execute("select count(*) from commerce.plain")
            self.assertEqual(cursor.fetchall(), ((5,),))
            cursor.execute("insert into t(id, name) select id + 100, v from commerce.plain")
            cursor.execute("update commerce.plain join t on t.id = plain.id set plain.v = t.note")
            cursor.execute("delete t from t join commerce.plain on plain.id + 100 = t.id where plain.v like 'note%'")
            cursor.execute("select count(*) from t")
            self.assertEqual(cursor.fetchall(), ((20,),))
            cursor.execute("select v from commerce.plain where id = 5")
            self.assertEqual(cursor.fetchall(), (("note 5",),))
            cursor.execute("delete from commerce.plain")

    def test_a_table_is_made_from_a_query(self):
        columns = "select column_name, column_type, is_nullable, column_default, column_key from information_schema.columns " \
                  "where table_name = 'made' and table_schema = database() order by ordinal_position"
        for sql in ("create table made as select id, name, grp from t where id < 9",
                    "create table made(primary key(id), more int default 3) engine = InnoDB select id + 100 as id, upper(name) as name, "
                    "(select count(*) from child c where c.id = t.id) as n from t",
                    "create table made select t.id, child_id, label from t join child on child.id = t.id where grp = 1 order by child_id",
                    "create table made(id bigint) select id from t union select id + 1000 from child",
                    "create table made(primary key(id)) select id % 3 as id from t",  # A key that is there twice, and a NULL.
                    "create table made select nullif(id, 7) as id from t", "create table made select id, no_column from t"):
            with self.subTest(sql=sql):
                told, expected = self.run_one(self.gate, sql), self.run_one(self.reference, sql)
                if "nullif" in sql:
                    self.assertEqual(told[:2], ("error", 1048))
                    self.run_one(self.reference, "drop table made")
                else:
                    self.assertEqual(told[:2], expected[:2])
                    self.assertEqual(told[3:] if told[0] == "done" else None, expected[3:] if told[0] == "done" else None)
                self.assertEqual(self.run_one(self.gate, columns)[6], self.run_one(self.reference, columns)[6])
                if told[0] == "done":
                    self.assertEqual(self.run_one(self.gate, "select * from made"), self.run_one(self.reference, "select * from made"))
                for connection in (self.gate, self.reference):
                    self.run_one(connection, "drop table if exists made")
        for sql in ("create table nowhere as select id from t", "create table made select id from t limit 3"):
            self.assertEqual(self.run_one(self.gate, sql)[:2], ("error", 1235), sql)

    def load(self, connection, text, content):
        path = os.path.join(self.root, "file")
        with open(path, "wb") as file:
            file.write(content)
        return self.run_one(connection, text.replace("FILE", f"'{path}'"))

    def test_load_data(self):
        tablet = self.cluster.primary("commerce", "0")
        server = pymysql.connect(unix_socket=self.cluster.path(f"vt_{tablet.uid:010d}", "mysql.sock"), user="vt_dba",
                                 database="reference", local_infile=True, autocommit=True)
        gate = self.cluster.connect("customer", local_infile=True)
        self.addCleanup(server.close)
        self.addCleanup(gate.close)
        plain = b"".join(b"%d\tname %d\t%d\n" % (n, n, n % 3) for n in range(101, 140))
        for text, content in (
                ("load data local infile FILE into table t(id, name, grp)", plain),
                ("load data local infile FILE into table t(id, name, grp)", plain + b"1\tdup\t3\n140\tno end\t4"),
                ("load data local infile FILE replace into table t(id, name, grp)", plain + b"1\tdup\t3\n"),
                ("load data local infile FILE into table t fields terminated by ',' optionally enclosed by '\"' lines terminated by '\\r\\n' "
                 "ignore 1 lines (name, id, @g) set grp = @g + 1", b'name,id,grp\r\n"a, b",101,5\r\n"c\r\nd","104",6\r\n\\N,102,7\r\n'),
                ("load data local infile FILE into table t character set latin1 (id, name)", b"101\tM\xfcller\n104\tx\n"),
                ("load data local infile FILE into table two", b"7\t1\tx\n8\t2\ty\n9\t3\tz\n"),
                ("load data local infile FILE into table t(id, grp)", b"101\tabc\n104\t99999999999\n"),
                ("load data local infile FILE into table t(id)", b"")):
            with self.subTest(text=text):
                self.assertEqual(self.load(gate, text, content), self.load(server, text, content))
                self.assertEqual(self.contents(self.gate), self.contents(self.reference))
                self.fill()
        # A line without a place: nothing of the file stays, and the connection goes on.
        told = self.load(gate, "load data local infile FILE into table t(id, name)", plain + b"none\tx\n" + plain)
        self.assertEqual(told[0], "error")
        self.assertIn("line 40 of the file has no place", told[2])
        self.assertEqual(self.contents(gate), self.contents(self.reference))

    def test_a_large_file_is_loaded_in_constant_memory(self):
        megabytes = int(os.environ.get("VITRAIL_TEST_LOAD_MB", "64"))
        path = os.path.join(self.root, "large")
        self.addCleanup(self.fill)
        line_of = "{}\t{}\n".format
        with open(path, "w", encoding="ascii") as file:
            written, number = 0, 1000
            while written < megabytes << 20:
                lines = "".join(line_of(n, "x" * 900) for n in range(number, number + 1000))
                number += 1000
                written += file.write(lines)
        pid = self.cluster.processes["vtgate"].pid
        def peak():
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        before = peak()
        with self.cluster.connect("customer", local_infile=True) as connection:
            cursor = connection.cursor()
            cursor.execute(f"load data local infile '{path}' into table t(id, note)")
            self.assertEqual(cursor.rowcount, number - 1000)
            if SLOWNESS == 1:  # The address sanitizer keeps what was freed.
                self.assertLess(peak() - before, 24 << 10, "KiB more")
            # What has to be kept is bounded: nothing happens beyond that.
            with self.assertRaisesRegex(pymysql.MySQLError, "split it"):
                cursor.execute("insert into two select id, 2, 'x' from t")
            cursor.execute("select count(*) from two")
            self.assertEqual(cursor.fetchall(), ((4,),))
            cursor.execute("delete from t where id >= 1000")
        os.remove(path)

    def test_table_statements_run_on_all_shards(self):
        for sql in ("analyze table t", "check table t", "optimize table t", "repair table t"):
            answer = self.run_one(self.gate, sql)
            self.assertEqual(answer[0], "done", sql)
            self.assertGreaterEqual(len(answer[6]), 2, sql)

    def test_a_checksum_is_one_and_ends_no_transaction(self):
        with self.cluster.connect("customer") as connection, connection.cursor() as cursor:
            cursor.execute("checksum table t")
            before = cursor.fetchall()
            self.assertEqual(len(before), 1)
            cursor.execute("begin")
            cursor.execute("insert into t(id, grp, name) values (9901, 1, 'a'), (9902, 1, 'b'), (9903, 1, 'c')")
            cursor.execute("checksum table t")
            self.assertNotEqual(cursor.fetchall(), before)
            cursor.execute("insert into t(id, grp, name) values (9904, 1, 'd')")
            cursor.execute("rollback")
            cursor.execute("checksum table t")
            self.assertEqual(cursor.fetchall(), before)

    def test_vexplain_tells_what_is_asked_first(self):
        for sql, parts in (("delete from t limit 1", ("DeleteByKey", "for update")),
                           ("update t join child on t.grp = child.qty set t.name = child.label", ("UpdateByKey", "Finish")),
                           ("update t set id = id + 1", ("UpdateByKey", '"Moves": true')),
                           ("insert into t(id) select id from child", ("InsertRows", "lock in share mode"))):
            plan = self.run_one(self.gate, "vexplain plan " + sql)[6][0][0]
            for part in parts:
                self.assertIn(part, plan)

    # --- messages (tests/e2e/reparent.py has what happens when tablets die) ---
    def stream(self, database):
        """(connection, cursor); another test's receiver may have to be found gone first."""
        connection = self.cluster.connect(database, cursorclass=pymysql.cursors.SSCursor)
        cursor = connection.cursor()

        def leave():
            if cursor._result is not None:
                cursor._result.unbuffered_active = False  # Else PyMySQL would read on to an end that does not come.
            connection._force_close()
        self.addCleanup(leave)
        self.eventually(lambda: cursor.execute("stream * from job"), 30)
        return connection, cursor

    def test_messages_come_from_all_shards(self):
        """As soon as they are committed: nobody looks at the table for an hour."""
        self.rows("delete from job", "customer")
        _, cursor = self.stream("customer")
        self.assertEqual([column[0] for column in cursor.description], ["id", "note"])
        numbers = range(1, 9)
        self.rows("insert into job(id, note) values " + ", ".join(f"({n}, 'job {n}')" for n in numbers), "customer")
        self.assertEqual({cursor.fetchone() for _ in numbers}, {(n, f"job {n}") for n in numbers})
        # Who comes second is told, since vt_cache_size has room for the batch of one receiver.
        self.assert_sql_refused(1203, "job has 1 receivers already", "stream * from job", "customer")
        # Two at a time make eight, and each is noted as sent once.
        self.assertEqual(self.rows("select count(*) from job where epoch = 1 and time_next > 0", "customer"), [(8,)])

    def test_messages_of_one_shard_until_they_are_stopped(self):
        self.rows("delete from job", "customer")
        self.rows("insert into job(id, note) values " + ", ".join(f"({n}, 'job {n}')" for n in range(101, 109)), "customer")
        there = set(self.rows("select id, note from job", "customer/-80"))
        self.assertTrue(0 < len(there) < 8)
        connection, cursor = self.stream("customer/-80")
        self.assertEqual({cursor.fetchone() for _ in there}, there)
        self.rows(f"kill query {connection.thread_id()}")
        self.assert_refused(1317, "interrupted", cursor.fetchone)
        for sql, database, pattern in (("stream * from t", "customer", "t is not a message table"),
                                       ("stream id from job", "customer", "VT12001"),
                                       ("stream * from job", "customer@replica", "VT09002"),
                                       ("stream * from nothing", "customer", "nothing")):
            with self.assertRaisesRegex(pymysql.MySQLError, pattern):
                self.rows(sql, database)

    def test_refusals(self):
        for sql in statements(REFUSED):
            told = self.run_one(self.gate, sql)
            self.assertEqual((told[0], "VT12001" in told[2]), ("error", True), f"{sql}: {told}")
        self.assertEqual(self.contents(self.gate), self.contents(self.reference))


if __name__ == "__main__":
    main()
