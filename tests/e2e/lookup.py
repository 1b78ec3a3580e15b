"""Lookup vindexes: rows are found by their tables, which change together with the rows, whatever happens to vtgate."""

import json
import os
import signal
import threading
import time

import pymysql

from support import ClusterTest, main, texts

from vitrail import backend

TABLES = """create table person(id bigint not null, name varchar(40), city varchar(40), code int, primary key(id));
create table person_order(order_id bigint not null, person_id bigint not null, sku varchar(20), primary key(order_id));
create table code_idx(code int not null, keyspace_id varbinary(64), primary key(code));
create table guest(id bigint not null, same_id bigint, host varchar(40), primary key(id));
create table plain(id bigint not null, tag varchar(20), kind varchar(20), primary key(id));
create table letter(name varchar(40) not null, title varchar(20) not null, likes int, primary key(name, title));
create table visit(visit_id bigint not null, person_id bigint not null, page varchar(20), n int, primary key(visit_id), unique key(person_id, page));
create table loose(id bigint not null, word varbinary(40), num bigint, primary key(id))"""
LOOKUPS = """create table name_idx(name varchar(40) not null, keyspace_id varbinary(64), primary key(name));
create table city_idx(city varchar(40) not null, keyspace_id varbinary(64) not null, primary key(city, keyspace_id));
create table order_idx(order_id bigint not null, keyspace_id varbinary(64), primary key(order_id));
create table word_idx(word bigint unsigned not null, id bigint unsigned, primary key(word, id));
create table num_idx(num bigint not null, id bigint unsigned, primary key(num));
create table order_seq(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
insert into order_seq(id, next_id, cache) values(0, 1000, 100);
create table visit_seq(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
insert into visit_seq(id, next_id, cache) values(0, 1000, 100)"""


def lookup(kind, owner, table, column, to="keyspace_id", **params):
    return {"type": kind, "owner": owner, "params": {"table": table, "from": column, "to": to, **params}}


VINDEXES = {
    "hash": {"type": "hash"},
    "by_name": lookup("consistent_lookup_unique", "person", "look.name_idx", "name", ignore_nulls="true"),
    "by_city": lookup("consistent_lookup", "person", "look.city_idx", "city", ignore_nulls="true"),
    "by_code": lookup("lookup_unique", "person", "ks.code_idx", "code", ignore_nulls="true"),
    "by_order": lookup("lookup_unique", "person_order", "order_idx", "order_id"),
    "by_word": lookup("lookup_unicodeloosemd5_hash", "loose", "look.word_idx", "word", "id", ignore_nulls="true"),
    "by_num": lookup("lookup_hash_unique", "loose", "look.num_idx", "num", "id", autocommit="true"),
}
VSCHEMA = {
    "sharded": True,
    "vindexes": VINDEXES,
    "tables": {
        "person": {"column_vindexes": [{"column": "id", "name": "hash"}, {"column": "name", "name": "by_name"},
                                       {"column": "city", "name": "by_city"}, {"column": "code", "name": "by_code"}]},
        "person_order": {"column_vindexes": [{"column": "person_id", "name": "hash"},
                                             {"column": "order_id", "name": "by_order"}],
                         "auto_increment": {"column": "order_id", "sequence": "order_seq"}},
        "visit": {"column_vindexes": [{"column": "person_id", "name": "hash"}],
                  "auto_increment": {"column": "visit_id", "sequence": "visit_seq"}},
        "code_idx": {"column_vindexes": [{"column": "code", "name": "hash"}]},
        "plain": {"column_vindexes": [{"column": "id", "name": "hash"}]},
        "guest": {"column_vindexes": [{"column": "id", "name": "hash"}, {"column": "same_id", "name": "hash"},
                                      {"column": "host", "name": "by_name"}]},
        "letter": {"column_vindexes": [{"column": "name", "name": "by_name"}]},
        "loose": {"column_vindexes": [{"column": "id", "name": "hash"}, {"column": "word", "name": "by_word"},
                                      {"column": "num", "name": "by_num"}]},
    }}


class LookupTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        for keyspace in ("look", "ks"):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        cluster.add_shard("look", "0", 100, ("replica",))
        cluster.add_shard("ks", "-80", 300, ("replica",))
        cluster.add_shard("ks", "80-", 400, ("replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", LOOKUPS, "look")
        cluster.vtctldclient("ApplySchema", "--sql", TABLES, "ks")
        tables = ("name_idx", "city_idx", "order_idx", "word_idx", "num_idx")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(
            {"tables": {**{name: {} for name in tables}, "order_seq": {"type": "sequence"}, "visit_seq": {"type": "sequence"}}}), "look")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(VSCHEMA), "ks")
        cluster.start_vtgate()
        cls.wait_for_columns()

    @classmethod
    def wait_for_columns(cls):
        """Until vtgate knows the tables' columns: before, it does not ask lookup tables."""
        def known():
            with cls.cluster.connect("ks") as connection, connection.cursor() as cursor:
                cursor.execute("vexplain plan select * from person where name = 'a'")
                return '"Vindex": "by_name"' in str(cursor.fetchall())
        deadline = time.monotonic() + 20
        while not known():
            assert time.monotonic() < deadline, "vtgate does not learn of the columns"
            time.sleep(0.1)

    def setUp(self):
        self.session = self.open()
        self.addCleanup(self.forget)

    def open(self):
        connection = self.cluster.connect("ks", autocommit=True)
        self.addCleanup(lambda: connection.open and connection.close())
        return connection

    def forget(self):
        for table in ("person", "person_order", "loose", "code_idx", "plain", "guest", "letter", "visit"):
            for shard in ("-80", "80-"):
                self.on_shard("ks", shard, f"delete from {table}")
        for table in ("name_idx", "city_idx", "order_idx", "word_idx", "num_idx"):
            self.on_shard("look", "0", f"delete from {table}")

    def run_sql(self, sql, *arguments, session=None):
        with (session or self.session).cursor() as cursor:
            affected = cursor.execute(sql, arguments or None)
            return texts(cursor.fetchall()) if cursor.description else affected

    def assert_returns(self, rows, sql, columns):
        """`sql` with RETURNING `columns`, which MySQL does not have: without it there."""
        if backend.wanted() == "mysql":
            self.assertEqual(self.run_sql(sql), len(rows))
        else:
            self.assertEqual(self.run_sql(f"{sql} returning {columns}"), rows)

    def on_shard(self, keyspace, shard, sql):
        return texts(self.cluster.server_rows(self.cluster.shard_tablets(keyspace, shard)[0], sql))

    def lookups(self, table):
        """The rows of a lookup table: value and hex of what it stands for."""
        if table == "code_idx":
            rows = self.on_shard("ks", "-80", "select code, hex(keyspace_id) from code_idx")
            return sorted(rows + self.on_shard("ks", "80-", "select code, hex(keyspace_id) from code_idx"))
        column = table.split("_")[0] if table != "order_idx" else "order_id"
        return sorted(self.on_shard("look", "0", f"select {column}, hex(keyspace_id) from {table}"))

    def assert_consistent(self):
        """Each row is found by each of its values."""
        for id_, name, city, code in self.run_sql("select id, name, city, code from person"):
            for column, value in (("name", name), ("city", city), ("code", code)):
                if value is not None:
                    found = self.run_sql(f"select id from person where {column} = %s", value)
                    self.assertIn((id_,), found, f"{column} = {value}")

    def plan(self, sql):
        return json.loads(self.run_sql("vexplain plan " + sql)[0][0])

    # --- reads ---
    def test_rows_are_found_by_their_values(self):
        self.run_sql("insert into person(id, name, city, code) values (1, 'ann', 'Bern', 10), (2, 'bob', 'Bern', 20), "
                     "(4, 'cid', 'Rome', 30), (5, null, null, null)")
        plan = self.plan("select * from person where name = 'ann'")
        self.assertEqual((plan["Variant"], plan["Vindex"]), ("EqualUnique", "by_name"))
        plan = self.plan("select * from person where city = 'Bern'")
        self.assertEqual((plan["Variant"], plan["Vindex"]), ("Equal", "by_city"))
        self.assertEqual(self.plan("select * from person where name in ('ann', 'bob')")["Vindex"], "by_name")
        self.assertEqual(self.run_sql("select id from person where name = 'ann'"), [(1,)])
        self.assertEqual(self.run_sql("select id from person where name = 'ANN'"), [(1,)])  # As the column compares.
        self.assertEqual(self.run_sql("select id from person where name = 'nobody'"), [])
        self.assertEqual(self.run_sql("select count(*) from person where name = 'nobody'"), [(0,)])
        self.assertEqual(self.run_sql("select id from person where name = null"), [])
        self.assertEqual(self.run_sql("select id from person where city = 'Bern' order by id"), [(1,), (2,)])
        self.assertEqual(self.run_sql("select id from person where city in ('Rome', 'Bern', null) order by id desc"),
                         [(4,), (2,), (1,)])
        self.assertEqual(self.run_sql("select count(*) from person where city in ('Rome', 'Bern')"), [(3,)])
        self.assertEqual(self.run_sql("select id from person where code = 30"), [(4,)])
        self.assertEqual(self.run_sql("select id from person where code = '30'"), [(4,)])
        self.assertEqual(self.run_sql("select id from person where name = 'ann' and city = 'Rome'"), [])
        with self.cluster.connect("ks") as connection:
            from binary_protocol import Statement
            statement = Statement(connection, "select id from person where name = ?")
            for value, expected in (("bob", [(2,)]), ("cid", [(4,)]), ("none", []), (None, [])):
                self.assertEqual(texts(statement.execute(value)), expected, value)
            statement.close()
        # A lookup row without its row finds nothing, and one shard is asked only.
        self.on_shard("look", "0", "insert into name_idx values ('ghost', x'166b40b44aba4bd6')")
        self.assertEqual(self.run_sql("select id from person where name = 'ghost'"), [])

    def test_rows_are_placed_by_the_lookup_of_another_table(self):
        self.run_sql("insert into person(id, name) values (1, 'ann'), (4, 'bob'), (5, 'cid')")
        self.assertEqual(self.run_sql("insert into letter(name, title) values ('ann', 'hello'), ('bob', 'hi'), ('bob', 'again'), ('cid', 'yes')"), 4)
        for shard in ("-80", "80-"):
            people = self.on_shard("ks", shard, "select name from person")
            self.assertTrue(people)
            self.assertEqual(set(self.on_shard("ks", shard, "select name from letter")), set(people))
        plan = self.plan("select * from letter where name = 'bob'")
        self.assertEqual((plan["Variant"], plan["Vindex"]), ("EqualUnique", "by_name"))
        self.assertEqual(self.run_sql("select title from letter where name = 'bob' order by title"), [("again",), ("hi",)])
        self.assertEqual(self.run_sql("select p.id, count(*) from letter l join person p on p.name = l.name group by p.id order by 1"),
                         [(1, 1), (4, 2), (5, 1)])
        with self.cluster.connect("ks", autocommit=True) as connection:
            from binary_protocol import Statement
            self.assertEqual(Statement(connection, "insert into letter(name, title) values (?, ?)").execute("bob", "third")[0], 1)
            self.assertEqual(len(Statement(connection, "select title from letter where name = ?").execute("bob")), 3)
        self.assertEqual(self.run_sql("update letter set likes = 3 where name = 'bob'"), 3)
        self.assertEqual(self.run_sql("insert into letter values ('ann', 'hello', 5) on duplicate key update likes = values(likes)"), 2)
        self.assertEqual(self.run_sql("select name, sum(likes) from letter group by name order by name"), [("ann", 5), ("bob", 9), ("cid", None)])
        self.assertEqual(self.run_sql("delete from letter where name in ('ann', 'cid')"), 2)
        # Where nobody is, nothing goes; a row of the same transaction is somebody.
        self.assert_refused((1105,), "VT09023: could not map nobody to a keyspace id",
                            lambda: self.run_sql("insert into letter(name, title) values ('nobody', 'x')"))
        self.run_sql("begin")
        self.run_sql("insert into person(id, name) values (6, 'dee')")
        self.run_sql("insert into letter(name, title) values ('dee', 'first')")
        self.run_sql("commit")
        self.assertEqual(self.run_sql("select title from letter where name = 'dee'"), [("first",)])
        self.assertEqual(self.run_sql("insert into letter(name, title) select name, 'all' from person where id < 6"), 3)
        self.assertEqual(self.run_sql("update letter set likes = 1 where title = 'all' order by name limit 2"), 2)
        self.assertEqual(self.run_sql("update letter l join person p on p.name = l.name set l.likes = p.id where l.title = 'all' and p.id = 5"), 1)
        self.assertEqual(self.run_sql("select name, likes from letter where title = 'all' order by name"), [("ann", 1), ("bob", 1), ("cid", 5)])
        # The row goes to where the other name's rows are.
        self.assertEqual(self.run_sql("update letter set name = 'ann', title = 'moved' where name = 'cid'"), 1)
        self.assertEqual(self.run_sql("select title from letter where name = 'ann' order by title"), [("all",), ("moved",)])
        self.assert_refused((1105,), "VT09023: could not map nobody to a keyspace id",
                            lambda: self.run_sql("update letter set name = 'nobody' where name = 'ann'"))

    def test_a_transaction_sees_its_own_lookup_rows(self):
        self.run_sql("begin")
        self.run_sql("insert into person(id, name, city) values (4, 'dee', 'Oslo')")
        self.assertEqual(self.run_sql("select id from person where name = 'dee'"), [(4,)])
        self.assertEqual(self.run_sql("select id from person where name = 'dee'", session=self.open()), [])
        self.run_sql("savepoint s")
        self.run_sql("update person set name = 'eve' where id = 4")
        self.assertEqual(self.run_sql("select id from person where name = 'eve'"), [(4,)])
        self.assertEqual(self.run_sql("select id from person where name = 'dee'"), [])
        self.run_sql("rollback to s")
        self.assertEqual(self.run_sql("select id from person where name = 'eve'"), [])
        self.assertEqual(self.run_sql("select id from person where name = 'dee'"), [(4,)])
        self.run_sql("commit")
        self.assertEqual(self.run_sql("select id from person where name = 'dee'"), [(4,)])
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["dee"])
        self.run_sql("begin")
        self.run_sql("delete from person where name = 'dee'")
        self.run_sql("rollback")
        self.assertEqual(self.run_sql("select id from person where name = 'dee'"), [(4,)])
        self.run_sql("begin")
        self.run_sql("insert into person(id, name) values (7, 'fay')")
        self.run_sql("rollback")
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["dee"])

    # --- changes ---
    def test_lookup_rows_change_with_the_rows(self):
        self.assertEqual(self.run_sql("insert into person(id, name, city, code) values (1, 'ann', 'Bern', 10), "
                                      "(4, 'bob', 'Bern', 20), (5, 'cid', 'Bern', null)"), 3)
        self.assertEqual(self.lookups("name_idx"), [("ann", "166B40B44ABA4BD6"), ("bob", "D2FD8867D50D2DFE"),
                                                    ("cid", "70BB023C810CA87A")])
        self.assertEqual(self.lookups("code_idx"), [(10, "166B40B44ABA4BD6"), (20, "D2FD8867D50D2DFE")])
        self.assertEqual(self.run_sql("update person set name = concat(name, '2'), code = code + 1 where city = 'Bern'"),
                         3)
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["ann2", "bob2", "cid2"])
        self.assertEqual([row[0] for row in self.lookups("code_idx")], [11, 21])
        self.assert_consistent()
        self.assertEqual(self.run_sql("update person set city = null where id = 1"), 1)
        self.assertEqual([row[1] for row in self.lookups("city_idx")], ["70BB023C810CA87A", "D2FD8867D50D2DFE"])
        self.assertEqual(self.run_sql("delete from person where name = 'bob2'"), 1)
        self.assertEqual(self.run_sql("delete from person where id > 0"), 2)
        for table in ("name_idx", "city_idx", "code_idx"):
            self.assertEqual(self.lookups(table), [], table)

    def test_a_lookup_row_stays_while_another_row_needs_it(self):
        self.run_sql("insert into loose(id, word, num) values (1, 'Word', 1)")
        self.run_sql("insert into person(id, city) values (1, 'Bern')")
        # Two rows of one keyspace id cannot be in `person`, whose key it is; in person_order they can.
        self.run_sql("insert into person_order(person_id, sku) values (1, 'a'), (1, 'b'), (4, 'c')")
        orders = self.run_sql("select order_id, person_id from person_order order by order_id")
        self.assertEqual([row[0] for row in orders], [row[0] for row in self.lookups("order_idx")])
        for order_id, person_id in orders:
            self.assertEqual(self.run_sql("select person_id from person_order where order_id = %s", order_id),
                             [(person_id,)])
        self.run_sql("delete from person_order where order_id = %s", orders[0][0])
        self.assertEqual([row[0] for row in self.lookups("order_idx")], [orders[1][0], orders[2][0]])
        # The row's own value, written again in the transaction that has removed it.
        self.run_sql("begin")
        self.run_sql("delete from person where id = 1")
        self.run_sql("insert into person(id, city) values (1, 'Bern')")
        self.run_sql("commit")
        self.assertEqual(self.run_sql("select id from person where city = 'Bern'"), [(1,)])

    def test_unique_values_are_unique(self):
        self.run_sql("insert into person(id, name) values (1, 'ann')")
        for sql in ("insert into person(id, name) values (4, 'ann')", "insert into person(id, name) values (5, 'ANN')",
                    "insert into person(id, name) values (5, 'x'), (4, 'y'), (7, 'x')"):
            self.assert_refused(1062, "Duplicate entry '.*' for key 'person.by_name'", lambda: self.run_sql(sql))
        self.run_sql("insert into person(id, name) values (4, 'bob')")
        self.assert_refused(1062, "Duplicate entry", lambda: self.run_sql("update person set name = 'ann' where id = 4"))
        self.assert_refused(1062, "Duplicate entry", lambda: self.run_sql("update person set name = 'q'"))
        self.assertEqual(self.run_sql("select id, name from person order by id"), [(1, "ann"), (4, "bob")])
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["ann", "bob"])
        # In a transaction only the statement is undone.
        self.run_sql("begin")
        self.run_sql("insert into person(id, name) values (5, 'cid')")
        self.assert_refused(1062, "Duplicate", lambda: self.run_sql("insert into person(id, name) values (7, 'd'), (8, 'ann')"))
        self.run_sql("commit")
        self.assertEqual(self.run_sql("select id from person order by id"), [(1,), (4,), (5,)])
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["ann", "bob", "cid"])
        # A value whose row is gone is free, though its lookup row is still there.
        self.on_shard("look", "0", "insert into name_idx values ('stray', x'166b40b44aba4bd6')")
        self.run_sql("insert into person(id, name) values (9, 'stray')")
        self.assertEqual(self.run_sql("select id from person where name = 'stray'"), [(9,)])
        # A value that moves within a transaction: until its end the old row must be found.
        self.run_sql("begin")
        self.run_sql("update person set name = 'other' where id = 1")
        self.assert_refused((1105, 1235), "commit in between", lambda: self.run_sql("update person set name = 'ann' where id = 4"))
        self.run_sql("rollback")
        self.assert_consistent()

    def test_forms_of_insert(self):
        self.run_sql("insert into person set id = 1, name = 'ann', city = 'Bern'")
        self.run_sql("insert ignore into person(id, name, city) values (4, 'ann', 'Rome'), (5, 'bob', 'Rome'), "
                     "(1, 'cid', 'Rome'), (7, 'bob', 'Rome')")
        self.assertEqual(self.run_sql("select id, name, city from person order by id"),
                         [(1, "ann", "Bern"), (5, "bob", "Rome")])
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["ann", "bob"])
        self.assertEqual([row[0] for row in self.lookups("city_idx")], ["Bern", "Rome"])
        self.run_sql("replace into person(id, name, city) values (1, 'eve', 'Oslo')")
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["bob", "eve"])
        self.assertEqual([row[0] for row in self.lookups("city_idx")], ["Oslo", "Rome"])
        self.assertEqual(self.run_sql("insert into person(id, name) values (1, 'x') on duplicate key update name = 'y', city = 'Bari'"), 2)
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["bob", "y"])
        self.assertEqual([row[0] for row in self.lookups("city_idx")], ["Bari", "Rome"])
        self.assertEqual(self.run_sql("insert into person(id, name) values (1, 'x'), (8, 'hal') on duplicate key update name = values(name)"), 3)
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["bob", "hal", "x"])
        self.assert_refused(1062, "Duplicate entry", lambda: self.run_sql(
            "insert into person(id, name) values (1, 'q') on duplicate key update name = 'bob'"))
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["bob", "hal", "x"])
        self.run_sql("insert into person_order(order_id, person_id, sku) values (1, 4, 'a')")
        self.run_sql("insert into person_order(order_id, person_id, sku) values (1, 4, 'b'), (2, 4, 'c') "
                     "on duplicate key update sku = values(sku)")
        self.assertEqual(self.run_sql("select order_id, sku from person_order order by order_id"), [(1, "b"), (2, "c")])
        self.assertEqual([row[0] for row in self.lookups("order_idx")], [1, 2])
        self.assert_refused(1048, "cannot be null", lambda: self.run_sql("insert into loose(id, num) values (1, null)"))
        self.assertEqual(self.run_sql("insert into person(id, name) values (11, concat('a', 'b')), (12, (select 'sub'))"), 2)
        self.assert_returns([(13, "K"), (15, "L")], "insert into person(id, name) values (13, 'k'), (15, 'l')", "id, upper(name)")
        self.assertEqual(self.run_sql("insert into person(id, name, city) select order_id + 20, sku, 'Ulm' from person_order"), 2)
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["ab", "b", "bob", "c", "hal", "k", "l", "sub", "x"])
        self.assertEqual(self.run_sql("select id from person where name = 'ab'"), [(11,)])
        self.assert_refused(1062, "Duplicate entry", lambda: self.run_sql("insert into person(id, name) select id + 1000, name from person"))
        self.assertEqual(self.run_sql("insert ignore into person(id, name) select id + 1000, if(id = 13, 'new', name) from person"), 1)
        self.assertEqual(self.run_sql("select id from person where name = 'new'"), [(1013,)])
        self.assertEqual(self.run_sql("replace into person(id, name) select id, concat(name, '!') from person where id in (11, 12)"), 4)
        self.assertEqual(self.run_sql("select id from person where name in ('ab!', 'sub!') order by id"), [(11,), (12,)])
        self.assertEqual(self.run_sql("insert into person(id, name) select id, 'z' from person where id = 13 on duplicate key update name = 'k2'"), 2)
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["ab!", "b", "bob", "c", "hal", "k2", "l", "new", "sub!", "x"])
        self.assert_consistent()

    def load(self, content, text, session=None):
        """What LOAD DATA says of this content: affected rows, the info text, the warnings' codes."""
        path = os.path.join(self.root, "lines")
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        with session.cursor() as cursor:
            affected = cursor.execute(f"load data local infile '{path}' {text}")
            info = session._result.message.decode()
            info = info[info.index("Records"):]  # Behind a length.
            cursor.execute("show warnings")
            return affected, info, [row[1] for row in cursor.fetchall()]

    def test_load_data_fills_lookup_tables(self):
        session = self.cluster.connect("ks", local_infile=True, charset="utf8mb4")
        self.addCleanup(session.close)
        self.assertEqual(self.load("1\tann\tBern\t10\n4\tbob\tBern\t\\N\n5\tJos\u00e9\t\\N\t30\n",
                                   "into table person character set utf8mb4", session),
                         (3, "Records: 3  Deleted: 0  Skipped: 0  Warnings: 0", []))
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["José", "ann", "bob"])
        self.assertEqual([row[0] for row in self.lookups("city_idx")], ["Bern", "Bern"])
        self.assertEqual([row[0] for row in self.lookups("code_idx")], [10, 30])
        self.assert_consistent()
        # A unique value of another shard's row, one of an earlier line, a primary key that is there: these lines are left
        # out, and so are their lookup rows.
        affected, info, codes = self.load("6,bob,Rome\n7,eve,Rome\n8,eve,Rome\n1,fay,Rome\n9,gus,Rome\n",
                                          "into table person fields terminated by ',' (id, name, city)", session)
        self.assertEqual((affected, info, codes), (2, "Records: 5  Deleted: 0  Skipped: 3  Warnings: 3", [1062] * 3))
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["José", "ann", "bob", "eve", "gus"])
        self.assertEqual(len(self.lookups("city_idx")), 4)
        self.assert_consistent()
        # REPLACE takes the old row's lookup rows away.
        self.assertEqual(self.load("name,id\nnew,1\n", "replace into table person fields terminated by ',' ignore 1 lines (name, id)",
                                   session)[:2], (2, "Records: 1  Deleted: 1  Skipped: 0  Warnings: 0"))
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["José", "bob", "eve", "gus", "new"])
        self.assertEqual(self.run_sql("select id, city from person where name = 'new'"), [(1, None)])
        self.assert_consistent()
        # More lines than are loaded at a time, in a transaction that is undone.
        before = self.lookups("name_idx")
        many = "".join(f"{n}\tname {n}\n" for n in range(100, 2600))
        session.begin()
        self.assertEqual(self.load(many, "into table person(id, name)", session)[0], 2500)
        self.assertEqual(self.run_sql("select id from person where name = 'name 2000'", session=session), [(2000,)])
        # A line that has no place, or a value that the server would change: that statement alone is undone.
        for line, problem in (("none\tx", "line 3 of the file has no place"), ("50", "it has too few fields"),
                              ("50\t" + "x" * 41, "in line 3 of the file")):
            with self.assertRaisesRegex(pymysql.MySQLError, problem):
                self.load(f"3000\ta\n3001\tb\n{line}\n3002\tc\n", "into table person(id, name)", session)
        self.assertEqual(self.run_sql("select count(*) from person where id >= 3000", session=session), [(0,)])
        self.assertEqual(self.run_sql("select count(*) from person where id >= 100", session=session), [(2500,)])
        session.rollback()
        self.assertEqual(self.lookups("name_idx"), before)

    def test_load_data_takes_values_of_a_sequence(self):
        session = self.cluster.connect("ks", local_infile=True)
        self.addCleanup(session.close)
        affected, info, codes = self.load("1,a\r\n4,\"b, c\"\r\n5,d\r\n", "into table person_order fields terminated by ',' "
                                          "enclosed by '\"' lines terminated by '\\r\\n' (person_id, @sku) set sku = upper(@sku)", session)
        self.assertEqual((affected, info, codes), (3, "Records: 3  Deleted: 0  Skipped: 0  Warnings: 0", []))
        [(first,)] = self.run_sql("select last_insert_id()", session=session)
        rows = self.run_sql("select order_id, person_id, sku from person_order order by order_id")
        self.assertEqual(rows, [(first, 1, "A"), (first + 1, 4, "B, C"), (first + 2, 5, "D")])
        self.assertEqual([row[0] for row in self.lookups("order_idx")], [first, first + 1, first + 2])
        self.assertEqual(self.run_sql(f"select sku from person_order where order_id = {first + 1}"), [("B, C",)])
        # Where the file has the column, it has its values.
        for value in ("0", "\\N", ""):
            with self.assertRaisesRegex(pymysql.MySQLError, "asks for a value of a sequence"):
                self.load(f"{value}\t1\tx\n", "into table person_order", session)
        self.assertEqual(self.load("7\t1\tx\n", "into table person_order", session)[0], 1)
        self.assertEqual(self.run_sql("select person_id from person_order where order_id = 7"), [(1,)])
        for refused in ("into table letter", "into table person(id) set name = 'x'", "into table person_order(person_id) set order_id = 1"):
            with self.assertRaisesRegex(pymysql.MySQLError, "VT12001"):
                self.load("1\n", refused, session)

    def test_ids_of_a_sequence_are_told_as_one_server_tells_its_own(self):
        """What MariaDB says of the same statements, where the column is AUTO_INCREMENT: affected rows, the id that drivers get, and LAST_INSERT_ID()."""
        into = "insert into visit(person_id, page) values "
        self.run_sql(into + "(1, 'a')")
        [(first,)] = self.run_sql("select last_insert_id()")
        def told(sql):
            with self.session.cursor() as cursor:
                affected = cursor.execute(sql)
                driver = cursor.lastrowid
                cursor.execute("select last_insert_id()")
                return affected, *(number - first if number >= first else str(number) for number in (driver, cursor.fetchone()[0]))
        for sql, *expected in (
                ("insert into visit(visit_id, person_id, page) values (0, 1, 'b')", 1, 1, 1),
                ("insert into visit(visit_id, person_id, page) values (null, 4, 'c')", 1, 2, 2),
                ("insert into visit(visit_id, person_id, page) values (default, 1, 'd')", 1, 3, 3),
                (into + "(1, 'm1'), (4, 'm2'), (5, 'm3')", 3, 4, 4),
                ("insert into visit(visit_id, person_id, page) values (50, 1, 'given')", 1, "50", 4),
                ("insert into visit values (51, 1, 'given too', 1), (52, 4, 'given', 1)", 2, "52", 4),
                ("insert ignore " + into[7:] + "(1, 'a')", 0, "0", 4),                                 # Takes 7.
                (into + "(1, 'a') on duplicate key update n = 7", 2, 0, 4),                             # 8
                (into + "(1, 'a') on duplicate key update n = 7", 0, 0, 4),                             # 9
                (into + "(1, 'a') on duplicate key update visit_id = last_insert_id(visit_id), n = 8", 2, 0, 0),  # 10
                (into + "(1, 'e') on duplicate key update n = 9", 1, 11, 11),
                (into + "(4, 'f') on duplicate key update visit_id = last_insert_id(visit_id)", 1, 12, 12),
                ("replace " + into[7:] + "(1, 'e')", 2, 13, 13),
                ("insert ignore " + into[7:] + "(1, 'e'), (4, 'g')", 1, 14, 14),                       # And 15.
                ("insert into visit(person_id, page) select person_id, 'h' from visit where page = 'g'", 1, 16, 16),
                ("insert into visit(visit_id, person_id, page) select 0, 5, 'i'", 1, 17, 17),
                ("insert into visit set person_id = 1, page = 'j'", 1, 18, 18),
                ("update visit set n = 3 where page = 'j'", 1, "0", 18)):
            with self.subTest(sql=sql):
                self.assertEqual(told(sql), tuple(expected))
        self.assertEqual(self.run_sql("select n from visit where person_id = 1 and page = 'a'"), [(8,)])
        self.run_sql("set sql_mode = concat(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")
        self.assertEqual(told("insert into visit(visit_id, person_id, page) values (0, 1, 'zero')"), (1, "0", 18))
        self.assertEqual(told("insert into visit(visit_id, person_id, page) select 0, 4, 'zero'"), (1, "0", 18))
        self.assertEqual(told("insert into visit(visit_id, person_id, page) values (null, 1, 'null')"), (1, 19, 19))
        self.assertEqual(self.run_sql("select visit_id from visit where page = 'zero'"), [(0,), (0,)])

    def test_rows_that_are_found_first_keep_their_lookup_rows(self):
        self.run_sql("insert into person(id, name, city, code) values (1, 'ann', 'Bern', 1), (4, 'bob', 'Bern', 2), (5, 'cid', 'Rome', 3)")
        self.run_sql("insert into person_order(order_id, person_id, sku) values (1, 4, 'a'), (2, 5, 'b')")
        self.assertEqual(self.run_sql("update person set name = concat('x', id), city = 'Oslo' order by id desc limit 2"), 2)
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["ann", "x4", "x5"])
        self.assertEqual([row[0] for row in self.lookups("city_idx")], ["Bern", "Oslo", "Oslo"])
        self.assertEqual(self.run_sql("update person join person_order on person.id = person_order.person_id set person.name = sku"), 2)
        self.assertEqual([row[0] for row in self.lookups("name_idx")], ["a", "ann", "b"])
        self.assertEqual(self.run_sql("update person set name = (select max(sku) from person_order where sku < 'b') where id = 4"), 0)
        # A value of another row stays with it; IGNORE goes on without.
        self.assert_refused(1062, "Duplicate", lambda: self.run_sql("update person set name = 'ann' order by id desc limit 2"))
        self.assertEqual(self.run_sql("update ignore person set name = 'ann', code = code + 10 where id > 0"), 1)
        self.assertEqual(self.run_sql("select id, name, code from person order by id"), [(1, "ann", 11), (4, "a", 2), (5, "b", 3)])
        self.assertEqual([row[0] for row in self.lookups("code_idx")], [2, 3, 11])
        self.assertEqual(self.run_sql("update person_order set order_id = order_id + 100 order by order_id limit 1"), 1)
        self.assertEqual([row[0] for row in self.lookups("order_idx")], [2, 101])
        self.assertEqual(self.run_sql("delete from person where id > 0 order by id limit 1 "), 1)
        self.assert_returns([("b",)], "delete from person_order where order_id = 2", "sku")
        self.assertEqual([row[0] for row in self.lookups("order_idx")], [101])
        # In a transaction the statement alone is undone.
        self.run_sql("begin")
        self.run_sql("update person set city = 'Kiel' order by id limit 1")
        self.assert_refused(1062, "Duplicate", lambda: self.run_sql("update person set name = 'b', city = 'Lund' order by id limit 2"))
        self.run_sql("commit")
        self.assertEqual(self.run_sql("select id, name, city from person order by id"), [(4, "a", "Kiel"), (5, "b", "Oslo")])
        self.assertEqual([row[0] for row in self.lookups("city_idx")], ["Kiel", "Oslo"])
        self.assert_consistent()
        self.assertEqual(self.run_sql("delete p, o from person p join person_order o on o.person_id = p.id"), 2)
        for table, left in (("name_idx", ["b"]), ("city_idx", ["Oslo"]), ("code_idx", [3]), ("order_idx", [])):
            self.assertEqual([row[0] for row in self.lookups(table)], left, table)

    def test_a_row_moves_with_its_lookup_rows(self):
        self.run_sql("insert into person(id, name, city, code) values (1, 'ann', 'Bern', 1), (4, 'bob', 'Bern', 2)")
        for name, id_ in (("ann", 40), ("bob", 50), ("ann", 41), ("bob", 51)):
            self.assertEqual(self.run_sql(f"update person set id = {id_} where name = '{name}'"), 1)
            self.assertEqual(self.run_sql(f"select id from person where name = '{name}'"), [(id_,)])
        self.assert_consistent()
        self.assertEqual([len(self.lookups(table)) for table in ("name_idx", "city_idx", "code_idx")], [2, 2, 2])
        self.run_sql("begin")
        self.run_sql("update person set id = id + 100, name = concat(name, '2') where id > 0")
        self.assertEqual(self.run_sql("select id from person where name in ('ann2', 'bob2') order by id"), [(141,), (151,)])
        self.run_sql("rollback")
        self.assert_consistent()

    def test_rows_come_from_where_a_lookup_says(self):
        self.run_sql("insert into person(id, name) values (1, 'ann'), (4, 'bob')")
        self.run_sql("insert into plain(id, tag) select id, name from person where name = 'ann'")
        self.run_sql("insert into plain(id, kind) select count(*) + 1, 'n' from person where name = 'bob'")
        self.assertEqual(self.run_sql("select id from plain order by id"), [(1,), (2,)])

    def test_hashed_forms(self):
        self.run_sql("insert into loose(id, word, num) values (1, 'Word', 100), (4, 'other', 200)")
        self.assertEqual(sorted(self.on_shard("look", "0", "select num, id from num_idx")), [(100, 1), (200, 4)])
        self.assertEqual(sorted(self.on_shard("look", "0", "select id from word_idx")), [(1,), (4,)])
        self.assertEqual(self.plan("select id from loose where word = 'Word'")["Vindex"], "by_word")
        self.assertEqual(self.run_sql("select id from loose where word = 'Word'"), [(1,)])
        self.assertEqual(self.run_sql("select id from loose where word = 'word'"), [])
        self.assertEqual(self.run_sql("select id from loose where num = 200"), [(4,)])
        self.assertEqual(self.run_sql("select id from loose where num in (100, 200) order by id"), [(1,), (4,)])
        # Written at once, and never removed.
        self.run_sql("begin")
        self.run_sql("insert into loose(id, word, num) values (5, 'x', 300)")
        self.run_sql("rollback")
        self.assertIn((300, 5), self.on_shard("look", "0", "select num, id from num_idx"))
        self.run_sql("insert into loose(id, word, num) values (7, 'x', 300)")
        self.assertEqual(self.run_sql("select id from loose where num = 300"), [(7,)])

    def test_vindexes_that_a_table_does_not_own_are_verified(self):
        self.run_sql("insert into person(id, name) values (1, 'ann'), (4, 'bob')")
        self.run_sql("insert into guest(id, same_id, host) values (1, 1, 'ann'), (4, null, null)")
        self.assert_refused(1105, "does not map to keyspace ids", lambda: self.run_sql(
            "insert into guest(id, same_id) values (5, 1)"))
        for name in ("bob", "nobody"):
            self.assert_refused(1105, "do not map to the row's keyspace id", lambda: self.run_sql(
                "insert into guest(id, host) values (2, %s)", name))
        self.assert_refused(1105, "do not map to the row's keyspace id", lambda: self.run_sql("update guest set host = 'bob'"))
        self.assertEqual(self.run_sql("update guest set host = 'bob' where id = 4"), 1)
        self.assertEqual(self.run_sql("update guest set host = null where id = 4"), 1)
        self.assert_refused(1105, "do not map to the row's keyspace id", lambda: self.run_sql("insert into guest(id, host) select id + 1, name from person"))
        self.assertEqual(self.run_sql("select id from guest where host = 'ann'"), [(1,)])
        self.assertEqual(self.run_sql("select count(*) from guest"), [(2,)])

    # --- a vindex for a table with rows ---
    def lookup_vindex(self, action, *args, name="by_tag"):
        return self.ctl("LookupVindex", "--name", name, "--table-keyspace", "look", action, "--keyspace", "ks", *args)

    def test_a_vindex_is_made_for_a_table_with_rows(self):
        rows = ", ".join(f"({n}, 't{n}', 'k{n % 3}')" for n in range(1, 1201))
        self.run_sql("insert into plain(id, tag, kind) values " + rows + ", (2000, null, null)")
        made = self.lookup_vindex("create", "--type", "consistent_lookup_unique", "--table-owner", "plain",
                                  "--table-owner-columns", "tag", "--ignore-nulls")
        self.assertIn("LookupVindex by_tag created in the ks keyspace", made)
        self.assertEqual(self.on_shard("look", "0", "select count(*) from by_tag"), [(1200,)])
        self.assertEqual(json.loads(self.lookup_vindex("show"))["params"]["write_only"], "true")
        self.assertEqual(self.plan("select * from plain where tag = 't1'")["Variant"], "Scatter")
        with self.assertRaisesRegex(Exception, "still write-only"):
            self.lookup_vindex("complete")

        def maintained():
            self.run_sql("insert into plain(id, tag) values (3000, 'new')")
            try:
                self.assertEqual(self.on_shard("look", "0", "select count(*) from by_tag where tag = 'new'"), [(1,)])
            finally:
                self.run_sql("delete from plain where id = 3000")
        self.eventually(maintained)
        # What a vtgate has written that did not know of the vindex yet.
        for shard in ("-80", "80-"):  # Where the row is.
            self.on_shard("ks", shard, "update plain set tag = 'behind' where id = 2000")
        self.assertIn("without their lookup row: 1", self.lookup_vindex("check"))
        self.assertIn("externalized", self.lookup_vindex("externalize"))
        self.assertIn("complete", self.lookup_vindex("complete"))
        self.eventually(lambda: self.assertEqual(self.plan("select * from plain where tag = 't1'")["Variant"],
                                                 "EqualUnique"))
        self.assertEqual(self.run_sql("select id from plain where tag = 't1200'"), [(1200,)])
        # Rows and lookup rows that do not belong together.
        self.on_shard("look", "0", "delete from by_tag where tag = 't7'")
        self.on_shard("look", "0", "update by_tag set keyspace_id = x'00' where tag = 't8'")
        self.on_shard("look", "0", "insert into by_tag values ('nobody', x'166b40b44aba4bd6')")
        self.assertEqual(self.lookup_vindex("check").splitlines()[:4],
                         ["rows: 1201", "without their lookup row: 2", "conflicts: 0", "lookup rows without a row: 2"])
        self.assertIn("lookup rows written: 2", self.lookup_vindex("repair"))
        self.assertIn("without their lookup row: 0", self.lookup_vindex("check"))
        self.assertEqual(self.run_sql("select id from plain where tag in ('t7', 't8') order by id"), [(7,), (8,)])
        self.lookup_vindex("internalize")
        self.eventually(lambda: self.assertEqual(self.plan("select * from plain where tag = 't1'")["Variant"], "Scatter"))
        self.lookup_vindex("cancel")
        self.assertNotIn("by_tag", self.ctl("GetVSchema", "ks"))
        # Not unique what should be.
        with self.assertRaisesRegex(Exception, "is also the value of a row of keyspace id"):
            self.lookup_vindex("create", "--type", "lookup_unique", "--table-owner", "plain", "--table-owner-columns",
                               "kind", "--ignore-nulls", name="by_kind")
        with self.assertRaisesRegex(Exception, "stays write-only"):
            self.lookup_vindex("externalize", name="by_kind")
        self.lookup_vindex("cancel", name="by_kind")
        self.on_shard("look", "0", "drop table by_kind")  # With the row that came first.

    def test_rows_are_read_where_it_is_asked(self):
        replica = next(t for t in self.cluster.shard_tablets("ks", "80-") if t.uid == 401)
        base = ("create", "--type", "consistent_lookup", "--table-owner", "plain", "--table-owner-columns", "kind", "--ignore-nulls")
        before = self.ctl("GetVSchema", "ks")
        for pattern, *flags in (("no tablet of ks/(-80|80-) can be read from", "--tablet-types", "rdonly"),
                                ("no tablet of ks/-80 can be read from", "--tablet-types", "replica"),
                                ("nowhere", "--cells", "nowhere"), ("not from SPARE", "--tablet-types", "spare")):
            self.assert_command_fails(pattern, "LookupVindex", "--name", "by_kind", "--table-keyspace", "look", base[0], "--keyspace", "ks",
                                      *base[1:], *flags)
        self.assertEqual(self.ctl("GetVSchema", "ks"), before)
        self.run_sql("insert into plain(id, kind) values " + ", ".join(f"({n}, 'k{n}')" for n in range(1, 41)))
        self.eventually(lambda: self.assertEqual(self.cluster.server_rows(replica, "select count(*) from plain"),
                                                 self.cluster.server_rows(self.cluster.primary("ks", "80-"), "select count(*) from plain")))
        # A row that only the replica has shows who was asked.
        with self.cluster.server(replica, "ks") as connection, connection.cursor() as cursor:
            for sql in ("set sql_log_bin = 0", "set global read_only = 0", "insert into plain(id, kind) values (777, 'only here')",
                        "set global read_only = 1"):
                cursor.execute(sql)
        for flags, there in ((("--cells", "zone1", "--tablet-types", "primary"), 0), (("--cells", "zone1"), 1),
                             (("--tablet-types", "rdonly,replica,primary"), 1)):
            self.lookup_vindex(*base, *flags, name="by_kind")
            self.assertEqual(self.on_shard("look", "0", "select count(*), sum(kind = 'only here') from by_kind"), [(40 + there, there)])
            self.lookup_vindex("cancel", name="by_kind")
            self.on_shard("look", "0", "drop table by_kind")
        with self.cluster.server(replica, "ks") as connection, connection.cursor() as cursor:
            for sql in ("set sql_log_bin = 0", "set global read_only = 0", "delete from plain where id = 777", "set global read_only = 1"):
                cursor.execute(sql)

    def test_vindexes_that_do_not_follow_their_columns_are_named(self):
        vschema = json.loads(self.ctl("GetVSchema", "ks"))
        vschema["vindexes"]["xx"] = {"type": "xxhash"}
        vschema["tables"]["plain"]["column_vindexes"].append({"column": "tag", "name": "xx"})
        self.assertRegex(self.ctl("ApplyVSchema", "--dry-run", "--vschema", json.dumps(vschema), "ks"),
                         "Warning: vindex xx of type xxhash does not follow the collation .* of column tag of table plain")

    # --- crashes ---
    def test_no_row_is_lost_when_vtgate_is_killed(self):
        self.run_sql("insert into person(id, name, city, code) values " + ", ".join(
            f"({n}, 'p{n}', 'c{n % 3}', {n})" for n in range(1, 21)))
        stop = threading.Event()

        def change(offset):
            step = 0
            while not stop.is_set():
                try:
                    with self.cluster.connect("ks", autocommit=True) as connection, connection.cursor() as cursor:
                        while not stop.is_set():
                            step += 1
                            n = offset + step % 5
                            for sql in (f"update person set name = 'q{offset}-{step}', city = 'c{step % 7}' where id = {n}",
                                        f"delete from person where id = {n}",
                                        f"insert into person(id, name, city, code) values ({n}, 'r{offset}-{step}', "
                                        f"'c{step % 5}', {n})"):
                                try:
                                    cursor.execute(sql)
                                except pymysql.MySQLError as error:
                                    if error.args[0] in (2006, 2013, 0):
                                        raise
                except (pymysql.MySQLError, OSError):
                    time.sleep(0.02)

        threads = [threading.Thread(target=change, args=(1 + 5 * i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            time.sleep(0.7)  # Of changes; they are anywhere when it dies.
            os.kill(self.cluster.processes["vtgate"].pid, signal.SIGKILL)
            self.cluster.restart("vtgate")
        stop.set()
        for thread in threads:
            thread.join()
        self.wait_for_columns()
        self.session = self.open()
        self.assertGreater(len(self.run_sql("select id from person")), 0)
        self.assert_consistent()


if __name__ == "__main__":
    main()
