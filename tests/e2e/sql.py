"""SQL through vtgate: what one server answers, two shards answer; transactions, sequences, targets, prepared statements."""

import datetime
import decimal
import json
import shutil
import subprocess
import threading
import unittest

import pymysql

from binary_protocol import Statement
from support import ClusterTest, main, texts

from vitrail import backend
from vitrail.journey import SEQUENCE_VSCHEMA, SHARDED_VSCHEMA
from vitrail.processes import wait_until

SCHEMA = """create table customer(customer_id bigint not null, email varbinary(128), primary key(customer_id));
create table corder(order_id bigint not null, customer_id bigint, sku varbinary(128), price bigint, note varchar(40),
  weight decimal(10,2), ordered datetime, primary key(order_id))"""
SEQUENCES = """create table customer_seq(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
insert into customer_seq(id, next_id, cache) values(0, 1000, 100);
create table order_seq(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
insert into order_seq(id, next_id, cache) values(0, 1000, 100);
create table not_a_seq(id int, next_id bigint, cache bigint, primary key(id));
insert into not_a_seq(id, next_id, cache) values(0, 1, 10)"""
PLACES = {1: "-80", 2: "-80", 3: "-80", 4: "80-", 5: "-80"}  # S3-82
UNSUPPORTED = (1105, 1235)


class Session:
    """A connection with a cursor."""

    def __init__(self, cluster, database="customer", **options):
        self.connection = cluster.connect(database, **options)
        self.cursor = self.connection.cursor()

    def __call__(self, sql, *arguments):
        self.cursor.execute(sql, arguments or None)
        return texts(self.cursor.fetchall())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


class SqlTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        for keyspace in ("commerce", "customer"):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        cluster.add_shard("commerce", "0", 100, ("replica", "replica"))
        cluster.add_shard("customer", "-80", 300, ("replica", "replica"))
        cluster.add_shard("customer", "80-", 400, ("replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", SEQUENCES, "commerce")
        cluster.vtctldclient("ApplySchema", "--sql", SCHEMA, "customer")
        cluster.vtctldclient("ApplyVSchema", "--vschema", SEQUENCE_VSCHEMA, "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", SHARDED_VSCHEMA, "customer")
        cluster.start_vtgate()
        # One server with the same rows, for comparison.
        cls.reference = cluster.server(cluster.primary("commerce", "0"))
        cls.addClassCleanup(cls.reference.close)
        with cls.reference.cursor() as cursor:
            cursor.execute("create database reference")
            cursor.execute("use reference")
            for statement in SCHEMA.split(";"):
                cursor.execute(statement)
        cls.fill()

    @classmethod
    def fill(cls):
        customers = ", ".join(f"({n}, 'c{n:03}@x')" for n in range(1, 41))
        rows = []
        for n in range(1, 121):
            note = "null" if n % 7 == 0 else f"'{'Note' if n % 2 else 'note'} {n % 11}'"
            when = datetime.datetime(2019, 1, 1) + datetime.timedelta(hours=17 * n)
            rows.append(f"({n}, {n % 40 + 1}, 'SKU-{n % 13}', {(n * 37) % 101 - 20}, {note}, {n}.{n % 100:02}, '{when}')")
        orders = "insert into corder(order_id, customer_id, sku, price, note, weight, ordered) values " + ", ".join(rows)
        with Session(cls.cluster) as vtgate, cls.reference.cursor() as reference:
            for sql in ("insert into customer(customer_id, email) values " + customers, orders):
                vtgate(sql)
                reference.execute(sql)

    def setUp(self):
        self.vtgate = Session(self.cluster)
        self.addCleanup(self.vtgate.connection.close)
        self.addCleanup(self.forget)

    def on_shard(self, shard, sql):
        return texts(self.cluster.server_rows(self.cluster.primary("customer", shard), sql))

    def forget(self):
        """Removes what a test has inserted: rows of customers from 1000 on."""
        with Session(self.cluster) as session:
            for table in ("customer", "corder"):
                session(f"delete from {table} where customer_id >= 1000")

    # --- answers ---
    def assert_same_answer(self, sql, ordered=None):
        with self.reference.cursor() as cursor:
            cursor.execute(sql)
            expected = texts(cursor.fetchall())
            names = [column[0] for column in cursor.description]
            kinds = [column[1] for column in cursor.description]
        found = self.vtgate(sql)
        if not (ordered if ordered is not None else "order by" in sql):
            expected, found = sorted(expected, key=repr), sorted(found, key=repr)
        self.assertEqual(found, expected, sql)
        self.assertEqual([column[0] for column in self.vtgate.cursor.description], names, sql)
        self.assertEqual([column[1] for column in self.vtgate.cursor.description], kinds, sql)
        statement = Statement(self.vtgate.connection, sql)
        found = statement.execute()
        statement.close()
        with_reference = Statement(self.reference, sql)
        expected = with_reference.execute()
        with_reference.close()
        if not (ordered if ordered is not None else "order by" in sql):
            expected, found = sorted(expected, key=repr), sorted(found, key=repr)
        self.assertEqual(found, expected, "prepared: " + sql)

    def test_answers_are_those_of_one_server(self):
        for sql in (
                "select count(*) from customer",
                "select * from customer where customer_id = 4",
                "select * from customer where customer_id in (1, 4, 5, 77)",
                "select * from customer where customer_id = 12345",
                "select count(*), sum(price), min(price), max(price) from corder",
                "select sum(weight), min(weight), max(weight) from corder",
                "select min(ordered), max(ordered), min(sku), max(sku) from corder",
                "select count(*), sum(price), min(sku) from corder where order_id > 100000",
                "select count(note), count(distinct customer_id) from corder where customer_id = 7",
                "select order_id, price from corder order by price, order_id",
                "select order_id, price from corder order by price desc, order_id desc limit 7",
                "select order_id from corder order by order_id limit 10, 5",
                "select order_id from corder order by order_id limit 5 offset 110",
                "select order_id, weight from corder order by weight desc limit 3",
                "select order_id, note from corder order by note, order_id",
                "select order_id, sku as s from corder order by s, order_id limit 20",
                "select order_id, ordered from corder order by ordered desc limit 4",
                "select order_id + 1 as next from corder order by next desc limit 4",
                "select * from corder order by order_id limit 0",
                "select customer_id, count(*), sum(price) from corder group by customer_id order by customer_id",
                "select sku, count(*), sum(price), min(price), max(weight) from corder group by sku order by sku",
                "select sku, count(*) as n from corder group by sku order by n desc, sku limit 3",
                "select count(*) as n from corder group by note order by n",
                "select distinct sku from corder",
                "select c.email, o.order_id from customer c join corder o on c.customer_id = o.customer_id "
                "where c.customer_id = 5 order by o.order_id",
                "select c.email, o.order_id, o.price from customer c join corder o on c.customer_id = o.customer_id "
                "order by o.order_id limit 9",
                "select count(*) from customer c join corder o on c.customer_id = o.customer_id",
                "select email from customer where customer_id between 3 and 6",
                "select email from customer where email like 'c00%' order by email desc",
                "select 1 + 1, 'x', null",
                "select upper(note), price * 2 from corder where customer_id = 9 and price > 0 order by order_id"):
            with self.subTest(sql=sql):
                self.assert_same_answer(sql)

    def test_what_cannot_be_planned_is_refused(self):
        for sql in ("select avg(price) from corder",
                    "select count(distinct sku) from corder",
                    "select * from customer c join corder o on c.email = o.sku",
                    "select * from customer where customer_id in (select customer_id from corder)",
                    "select sku, count(*) from corder group by sku having count(*) > 1",
                    "select customer_id from customer union select customer_id from corder"):
            with self.subTest(sql=sql):
                try:
                    self.assert_same_answer(sql)
                except pymysql.MySQLError as error:
                    self.assertIn(error.args[0], UNSUPPORTED)
                    self.assertRegex(error.args[1], "VT12001: unsupported")

    def test_a_row_moves_with_its_key(self):
        self.vtgate("update customer set customer_id = 1004 where customer_id = 1")
        moved = "select count(*) from customer where customer_id = 1004"
        self.assertEqual(sorted([self.on_shard("-80", moved), self.on_shard("80-", moved)]), [[(0,)], [(1,)]])
        self.assertEqual(self.vtgate("select email from customer where customer_id = 1004"), [("c001@x",)])
        self.vtgate("update customer set customer_id = 1 where customer_id = 1004")
        self.assert_same_answer("select * from customer order by customer_id")

    def test_sessions_know_what_their_statements_did(self):
        vtgate = self.vtgate
        for sql, told in (("select last_insert_id(7) from customer where customer_id = 4", 7), ("select last_insert_id(8) from customer where 0", 7),
                          ("select last_insert_id(customer_id) from customer where customer_id = -1", 7), ("select last_insert_id(777)", 777)):
            vtgate(sql)
            self.assertEqual(vtgate("select last_insert_id()"), [(told,)], sql)
        vtgate("set @price = 5, @two = 2, @most = 18446744073709551615, @more = 18446744073709551616, @less = -9223372036854775808")
        self.assertEqual(vtgate("select @most, @more, @less, @most - 1, -@price"),
                         [(18446744073709551615, 18446744073709551616, -9223372036854775808, 18446744073709551614, -5)])
        with self.reference.cursor() as cursor:
            cursor.execute("set @price = 5, @two = 2")
            for value in ("last_insert_id()", "found_rows()", "row_count()", "connection_id()", "@price", "@price / 3", "@@autocommit", "@@warning_count"):
                cursor.execute(f"select {value}")
                vtgate(f"select {value}")
                self.assertEqual(vtgate.cursor.description[0][:2], cursor.description[0][:2], value)  # Drivers make objects of it.
        order = vtgate("select customer_id, email from customer order by customer_id desc limit 3")
        self.assertEqual(vtgate("select customer_id, email from customer order by @two, customer_id desc limit 3"), order)
        vtgate("insert into corder(order_id, customer_id, price) values (9001, 1001, last_insert_id()), (9002, 1000, @price)")
        self.assertEqual(vtgate("select price from corder where customer_id in (1000, 1001) order by price"), [(5,), (777,)])
        vtgate("delete from corder where customer_id in (1000, 1001)")
        for sql, found in (("select sql_calc_found_rows order_id from corder order by order_id limit 2", 120),
                           ("select sql_calc_found_rows order_id from corder where customer_id = 4 limit 1", 3),
                           ("select sql_calc_found_rows sku, count(*) from corder group by sku limit 1", 13),
                           ("select order_id from corder limit 7", 7)):
            vtgate(sql)
            self.assertEqual(vtgate("select found_rows()"), [(found,)], sql)
        self.assert_refused((1105,), "name one", lambda: vtgate("call nothing()"))
        self.assert_refused(UNSUPPORTED, "name one", lambda: vtgate("analyze update corder set price = price"))

    @unittest.skipIf(backend.wanted() == "mysql", "MySQL has no CREATE AGGREGATE FUNCTION")
    def test_an_aggregate_of_the_application_is_not_answered_by_each_shard(self):
        declare = ("create or replace aggregate function total(x int) returns int begin declare sum int default 0; declare continue handler for not "
                   "found return sum; loop fetch group next row; set sum = sum + x; end loop; end", "create or replace function half(x int) returns int return x div 2")
        for shard in ("-80", "80-"):
            with self.cluster.server(self.cluster.primary("customer", shard), "vt_customer") as server, server.cursor() as cursor:
                for sql in declare:
                    cursor.execute(sql)
        vtgate = self.vtgate
        self.assertEqual(vtgate("select total(price) from corder where customer_id = 4"), vtgate("select sum(price) from corder where customer_id = 4"))
        self.assertEqual(vtgate("select customer_id, total(price) from corder group by customer_id order by customer_id"),
                         vtgate("select customer_id, cast(sum(price) as signed) from corder group by customer_id order by customer_id"))
        for sql in ("select total(price) from corder", "select distinct total(price) from corder", "select 1 + customer.total(price) from corder where price > 1 or sku = 'x'",
                    "select price from corder having total(price) > 0", "select price from corder order by total(price)"):
            self.assert_refused(UNSUPPORTED, "aggregate stored function over several shards", lambda sql=sql: vtgate(sql))
        self.assertEqual(vtgate("select half(price), customer.half(order_id) from corder where price > 10 and order_id < 50 order by half(price), order_id limit 5"),
                         vtgate("select price div 2, order_id div 2 from corder where price > 10 and order_id < 50 order by price div 2, order_id limit 5"))
        self.assertEqual(sorted(vtgate("select distinct half(price) from corder")), sorted(vtgate("select distinct price div 2 from corder")))

    def test_positions_and_names(self):
        vtgate = self.vtgate
        positions = vtgate("show global gtid_executed from customer")
        self.assertEqual([(row[0], row[2]) for row in positions], [("customer", "-80"), ("customer", "80-")])
        for _, position, shard in positions:
            self.assertEqual([(position,)], self.on_shard(shard, "select @@global." + ("gtid_executed" if backend.wanted() == "mysql" else "gtid_binlog_pos")))
        self.assertEqual(json.loads(vtgate("show global vgtid_executed")[0][1]),
                         [{"keyspace": k, "shard": s, "gtid": p} for k, p, s in positions])
        self.assertEqual(vtgate("select schema(), database()"), [("customer", "customer")])
        with self.cluster.server(self.cluster.primary("commerce", "0"), "vt_commerce") as server, server.cursor() as cursor:
            for sql in ("create function twice(x int) returns int deterministic return x * 2", "create procedure answer() select 42"):
                cursor.execute(sql)
        self.assertEqual(vtgate("select commerce.twice(21)"), [(42,)])  # Of any keyspace, by its name.
        self.assertEqual(vtgate("call commerce.answer()"), [(42,)])
        self.assertEqual(vtgate("select commerce.twice(id) from commerce.not_a_seq"), [(0,)])
        self.assertEqual(vtgate("select exists(select 1 from information_schema.schemata where schema_name = 'commerce'), "
                                "(select count(*) from information_schema.schemata)"), [(1, 3)])
        vtgate("set @word = 'a' collate utf8mb4_bin, @plain = 'a'")
        vtgate("set @copy = @word")
        self.assertEqual(vtgate("select @word = 'A', @copy = 'A', @plain = 'A', @word = 'a', collation(@copy)"), [(0, 0, 1, 1, "utf8mb4_bin")])
        vtgate("insert into customer(customer_id, email) values (1001, @word)")
        self.assertEqual(vtgate("select email from customer where email = @word and customer_id > 1000"), [("a",)])
        vtgate("set @word = 'a'")
        self.assertEqual(vtgate("select @word = 'A'"), [(1,)])
        vtgate("set autocommit = 0, @before = @@autocommit")
        self.assertEqual(vtgate("select @before, @@autocommit"), [(1, 0)])  # Computed before anything changes.
        vtgate("set autocommit = 1")
        vtgate("create view cheap as select order_id, customer_id from corder where price < 0")
        self.assertIn("`cheap`", vtgate("show create view cheap")[0][1])  # No vschema names it.
        self.assertEqual([row[0] for row in vtgate("show columns from customer.cheap")], ["order_id", "customer_id"])
        vtgate("drop view cheap")
        self.assert_refused(1146, "customer.cheap' doesn't exist", lambda: vtgate("show create table cheap"))
        vtgate("drop table if exists nowhere")
        self.assertEqual(len(vtgate("show warnings")), 1)  # Not one of each shard.

    def test_what_shards_tell_of_their_tables_is_put_together(self):
        vtgate = self.vtgate
        vtgate("analyze table corder")
        [(count,)] = vtgate("select count(*) from corder")
        def status(condition="like 'corder'"):
            return vtgate("show table status " + condition)
        wait_until(lambda: status()[0][4] == count, "the rows of both shards are told", 30)
        parts = [self.cluster.server_rows(self.cluster.primary("customer", shard), "show table status like 'corder'")[0]
                 for shard in ("-80", "80-")]
        self.assertTrue(all(0 < part[4] < count for part in parts), parts)
        [(_, engine, _, _, _, average, size, *_)] = status()
        self.assertEqual((engine, average, size), ("InnoDB", size // count, parts[0][6] + parts[1][6]))
        # Conditions hold for the whole table; numbers are compared as such.
        self.assertEqual([row[0] for row in status()], ["corder"])
        self.assertEqual([row[0] for row in status(f"from customer where `Rows` = {count}")], ["corder"])
        self.assertEqual(status("where Name = 'corder' and Data_length < `Rows`"), [])
        [(table, unique, key, number, column, _, values, *_)] = vtgate("show index from corder")
        self.assertEqual((table, unique, key, number, column, values), ("corder", 0, "PRIMARY", 1, "order_id", count))
        self.assertEqual(vtgate("show keys from customer.corder where Key_name = 'nosuch'"), [])
        # So is what information_schema tells.
        of = "from information_schema.tables where table_schema = 'customer'"
        self.assertEqual(vtgate(f"select table_rows, data_length, avg_row_length {of} and table_name = 'corder'"), [(count, size, average)])
        self.assertEqual(vtgate(f"select table_name n, max(t.table_rows) {of.replace(' where', ' t where')} and table_rows = {count} group by n"),
                         [("corder", count)])
        self.assertEqual([row[:3] + row[7:8] for row in vtgate(f"select * {of} and table_name = 'corder'")], [("def", "customer", "corder", count)])
        self.assertEqual(vtgate("select t.table_rows, s.cardinality from information_schema.statistics s join information_schema.tables t "
                                "using (table_schema, table_name) where table_schema = database() and index_name = 'PRIMARY' and table_name = 'corder'"),
                         [(count, count)])
        self.assertEqual(vtgate(f"select table_name {of} and table_name = 'corder'"), [("corder",)])
        self.assertEqual(len(vtgate("show keys from customer.corder where Key_name = 'PRIMARY' and Cardinality > 9")), 1)

    def test_keys_are_converted_as_servers_do(self):
        for key in ("4", "'4'", "4.0", "4e0", "'4.0'", "' 4'", "'4x'", "0x04", "4.5", "-4", "null", "true", "'04'"):
            self.assert_same_answer(f"select customer_id from customer where customer_id = {key}")
            self.assert_same_answer(f"select count(*) from corder where customer_id in ({key}, 7)")
        many = ", ".join(str(n) for n in range(1, 101))
        self.assert_same_answer(f"select customer_id from customer where customer_id in ({many})")
        for key in (4, "4", "4.0", "+4", decimal.Decimal("4.0"), 4.0, 4.5, None):
            sql = "select email from customer where customer_id = ?"
            self.assertEqual(Statement(self.vtgate.connection, sql).execute(key),
                             Statement(self.reference, sql).execute(key), key)

    def test_texts_are_compared_by_their_collation(self):
        # Of texts that are equal (note 0, Note 0) a server shows the one that it met first.
        def lower(rows):
            return [tuple(str(cell).lower() for cell in row) for row in rows]

        for sql in ("select min(note), max(note) from corder",
                    "select note, count(*) from corder group by note order by note desc",
                    "select distinct note from corder order by note limit 5",
                    "select count(*) as n from corder group by note order by n, note"):
            with self.subTest(sql=sql):
                with self.reference.cursor() as cursor:
                    cursor.execute(sql)
                    self.assertEqual(lower(self.vtgate(sql)), lower(cursor.fetchall()))

    def test_changes_reach_the_rows_that_they_should(self):
        self.vtgate("insert into customer(customer_id, email) values (1000, 'a'), (1001, 'b')")  # S3-71: one on each shard
        self.assertEqual(self.vtgate.cursor.rowcount, 2)
        self.assertEqual(self.on_shard("-80", "select customer_id from customer where customer_id >= 1000"), [(1000,)])
        self.assertEqual(self.on_shard("80-", "select customer_id from customer where customer_id >= 1000"), [(1001,)])
        self.vtgate("update customer set email = 'both' where customer_id >= 1000")
        self.assertEqual(self.vtgate.cursor.rowcount, 2)
        self.vtgate("update customer set email = 'one' where customer_id = 1001")
        self.assertEqual(self.vtgate("select customer_id, email from customer where customer_id >= 1000 order by customer_id"),
                         [(1000, "both"), (1001, "one")])
        self.vtgate("delete from customer where customer_id in (1000, 1001)")
        self.assertEqual(self.vtgate.cursor.rowcount, 2)
        for customer, shard in PLACES.items():  # S1-36
            self.assertEqual(self.on_shard(shard, f"select count(*) from customer where customer_id = {customer}"), [(1,)])
        self.assert_sql_refused(1062, "Duplicate entry", "insert into customer(customer_id, email) values (4, 'again')", "customer")

    # --- transactions ---
    def test_transactions_on_one_shard(self):
        with Session(self.cluster) as other:
            self.vtgate("begin")
            self.vtgate("insert into customer(customer_id, email) values (1000, 'x')")
            self.vtgate("insert into corder(order_id, customer_id, price) values (1000, 1000, 5)")
            self.assertEqual(self.vtgate("select count(*) from corder where customer_id = 1000"), [(1,)])
            self.assertEqual(other("select count(*) from corder where customer_id = 1000"), [(0,)])
            self.vtgate("commit")
            self.assertEqual(other("select count(*) from corder where customer_id = 1000"), [(1,)])
            self.vtgate("start transaction")
            self.vtgate("update corder set price = 6 where customer_id = 1000")
            self.vtgate("savepoint s")
            self.vtgate("update corder set price = 7 where customer_id = 1000")
            self.vtgate("rollback to s")
            self.assertEqual(self.vtgate("select price from corder where customer_id = 1000"), [(6,)])
            self.vtgate("rollback")
            self.assertEqual(other("select price from corder where customer_id = 1000"), [(5,)])

    def test_transactions_on_several_shards(self):
        count = "select count(*) from customer where customer_id in (1000, 1001)"
        with Session(self.cluster) as other:
            for end, expected in (("rollback", 0), ("commit", 2)):
                self.vtgate("begin")
                self.vtgate("insert into customer(customer_id, email) values (1000, 'x')")
                self.vtgate("insert into customer(customer_id, email) values (1001, 'y')")
                self.assertEqual(self.vtgate(count), [(2,)])
                self.assertEqual(other(count), [(0,)])
                self.vtgate(end)
                self.assertEqual(other(count), [(expected,)])
            self.vtgate("set autocommit = 0")
            self.vtgate("delete from customer where customer_id in (1000, 1001)")
            self.assertEqual(other(count), [(2,)])
            self.vtgate("commit")
            self.assertEqual(other(count), [(0,)])
            self.vtgate("set autocommit = 1")
            # A statement that fails on the second shard leaves nothing on the first.
            self.assert_refused(1062, "Duplicate", lambda: self.vtgate(
                "insert into customer(customer_id, email) values (1000, 'x'), (4, 'is there')"))
            self.assertEqual(other(count), [(0,)])

    def test_a_closed_connection_rolls_back(self):
        broken = Session(self.cluster)
        broken("begin")
        broken("insert into customer(customer_id, email) values (1000, 'x'), (1001, 'y')")
        broken.connection._force_close()
        # The locks go with the transaction.
        self.vtgate("insert into customer(customer_id, email) values (1000, 'mine'), (1001, 'mine')")
        self.assertEqual(self.vtgate("select distinct email from customer where customer_id in (1000, 1001)"), [("mine",)])

    def test_an_error_leaves_the_transaction_open(self):
        self.vtgate("begin")
        self.vtgate("insert into customer(customer_id, email) values (1000, 'x')")
        self.assert_refused(1062, "Duplicate", lambda: self.vtgate("insert into customer(customer_id, email) values (1000, 'y')"))
        self.vtgate("commit")
        self.assertEqual(self.vtgate("select email from customer where customer_id = 1000"), [("x",)])

    # --- sequences ---
    def saved_next_id(self, sequence="customer_seq"):
        return self.rows(f"select next_id, cache from {sequence}", "commerce/0")[0]

    def test_sequences(self):
        with Session(self.cluster, "commerce") as commerce:
            first = commerce("select next 5 values from customer_seq")[0][0]
            self.assertEqual(commerce("select next 1 values from customer_seq"), [(first + 5,)])  # S3-65
            self.assertEqual(commerce("select next value from customer_seq"), [(first + 6,)])
            saved, cache = self.saved_next_id()
            self.assertEqual(saved % cache, 0)  # S3-67: in whole blocks, ahead of what was given out
            self.assertGreaterEqual(saved, first + 7)
            self.assertLessEqual(saved - (first + 7), cache)
            self.assert_refused((1105, 1235), "not a sequence|not.*sequence", lambda: commerce("select next 1 values from not_a_seq"))  # S3-64
            commerce("update customer_seq set cache = 10 where id = 0")  # S3-69
            while commerce("select next 1 values from customer_seq")[0][0] < saved:
                pass
            self.assertEqual(self.saved_next_id()[0], saved + 10)
            # S3-68: what is cached is lost with the primary's role, and nothing is given out twice.
            self.ctl("PlannedReparentShard", "commerce/0", "--new-primary", "zone1-101")
            self.eventually(lambda: self.assertEqual(commerce("select @@port"), [(self.cluster.tablets[101].ports["mysqld"],)]))
            self.assertEqual(commerce("select next 1 values from customer_seq"), [(saved + 10,)])
            self.ctl("PlannedReparentShard", "commerce/0", "--new-primary", "zone1-100")
            self.eventually(lambda: self.assertEqual(commerce("select @@port"), [(self.cluster.tablets[100].ports["mysqld"],)]))

    def test_inserts_take_ids_from_the_sequence(self):
        self.vtgate("insert into customer(email) values ('seq')")
        first = self.vtgate.cursor.lastrowid
        self.assertGreaterEqual(first, 1000)
        self.assertEqual(self.vtgate("select last_insert_id()"), [(first,)])
        self.assertEqual(self.vtgate("select customer_id from customer where email = 'seq'"), [(first,)])
        self.vtgate("insert into customer(customer_id, email) values (null, 'n1'), (5000000, 'n2'), (null, 'n3')")  # S3-72
        given = dict(self.vtgate("select email, customer_id from customer where email in ('n1', 'n2', 'n3')"))
        self.assertEqual(given["n2"], 5000000)
        self.assertEqual(given["n3"], given["n1"] + 1)
        self.assertEqual(self.vtgate.cursor.lastrowid or given["n1"], given["n1"])
        self.vtgate("insert into corder(customer_id, sku, price) values (4, 'by customer', 1), (1, 'by customer', 2)")
        self.assertEqual(self.on_shard("80-", "select customer_id from corder where sku = 'by customer'"), [(4,)])  # S3-73
        self.assertEqual(self.on_shard("-80", "select customer_id from corder where sku = 'by customer'"), [(1,)])
        self.vtgate("delete from corder where sku = 'by customer'")
        ids, lock = [], threading.Lock()

        def insert():
            with Session(self.cluster) as session:
                for _ in range(30):
                    session("insert into customer(email) values ('many'), ('many')")
                    with lock:
                        ids.extend((session.cursor.lastrowid, session.cursor.lastrowid + 1))
        clients = [threading.Thread(target=insert) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual(len(set(ids)), 480)  # S3-66
        self.assertEqual({row[0] for row in self.vtgate("select customer_id from customer where email = 'many'")}, set(ids))

    # --- targets ---
    def test_targets(self):
        everywhere = "select count(*) from customer"
        left = len([n for n in self.on_shard("-80", "select customer_id from customer")])
        for target in ("customer/-80", "customer:-80"):
            with Session(self.cluster, target) as named:
                self.assertEqual(named(everywhere), [(left,)])
                self.assertEqual(named("select count(*), max(customer.customer.customer_id) from customer.customer where customer_id < %s", 1 << 40)[0][0], left)
                named("use customer")
                self.assertEqual(named(everywhere), [(40,)])
                named(f"use `{target}`")
                self.assertEqual(named(everywhere), [(left,)])
                named.connection.select_db("customer/80-")
                self.assertEqual(named(everywhere), [(40 - left,)])
        code, output, error = self.mysql_client(f"use customer/-80;\n{everywhere};\n", "--skip-column-names")
        self.assertEqual((code, output.strip(), error), (0, str(left), ""))
        ports = {t.uid: t.ports["mysqld"] for t in self.cluster.tablets.values()}
        for target, uid in (("customer@primary", 400), ("customer@replica", 401), ("@replica", 401), ("", 400)):
            with Session(self.cluster, target or None) as typed:
                self.eventually(lambda s=typed, u=uid: self.assertEqual(
                    s("select @@port from customer.customer where customer_id = 4"), [(ports[u],)]))
        with Session(self.cluster, "customer:-80@replica") as typed:
            self.assertEqual(typed("select @@port from customer limit 1"), [(ports[301],)])
        with Session(self.cluster, "@replica") as replica:
            self.eventually(lambda: self.assertEqual(replica(everywhere), [(40,)]))
            self.assert_refused(1874, "replica target", lambda: replica("delete from customer where customer_id = 1"))
        self.assertEqual(self.vtgate("select database()"), [("customer",)])
        self.assertEqual({row[0] for row in self.vtgate("show databases")} & {"commerce", "customer"}, {"commerce", "customer"})
        self.assertEqual(set(self.vtgate("show vitess_shards")), {("commerce/0",), ("customer/-80",), ("customer/80-",)})
        self.assertEqual(self.vtgate("show vitess_shards where `Shards` like 'customer/%%'"), [("customer/-80",), ("customer/80-",)])
        vindexes = self.vtgate("show vschema vindexes")
        for columns, name, kind, *_ in self.vtgate("show vschema vindexes on customer"):
            self.assertEqual(columns, "customer_id")
            self.assertIn(("customer", name, kind), [row[:3] for row in vindexes])
        self.assert_refused(1146, "VT05005", lambda: self.vtgate("show vschema vindexes on nosuch"))
        self.assert_tablets_tell_how_they_are()
        self.assertEqual(self.vtgate("show tables"), [("corder",), ("customer",)])

    def assert_tablets_tell_how_they_are(self):
        replicas = self.vtgate("show vitess_replication_status like 'customer/%%'")
        self.assertEqual([row[:4] for row in replicas], [("customer", "-80", "REPLICA", "zone1-0000000301"), ("customer", "80-", "REPLICA", "zone1-0000000401")])
        for row in replicas:
            self.assertEqual(json.loads(row[6]), {"EventStreamRunning": "Yes", "EventApplierRunning": "Yes", "LastError": ""})
            self.assertEqual(json.loads(row[8])["state"], "OK")
        self.assertEqual(self.vtgate("show vitess_replication_status where `Shard` = '-80' and `Keyspace` = 'customer'"), replicas[:1])
        self.assertEqual([row[:2] for row in self.vtgate("show vitess_throttler status")], [("-80", "0"), ("80-", "0")])
        for nothing in ("show vitess_throttled_apps", "show vitess_migrations", "show vitess_metadata variables"):
            self.assertEqual(self.vtgate(nothing), [])
        with Session(self.cluster, "customer@replica") as replica:
            self.assert_refused(1105, "VT09010", lambda: replica("show vitess_throttler status"))

    def test_session_settings(self):
        self.vtgate("set @@session.sql_mode = 'STRICT_ALL_TABLES'")
        self.assertEqual(self.vtgate("select @@sql_mode from customer where customer_id in (1, 4)"), [("STRICT_ALL_TABLES",)] * 2)
        with Session(self.cluster) as other:  # On the same pooled connections.
            self.assertNotIn(("STRICT_ALL_TABLES",), other("select @@sql_mode from customer where customer_id in (1, 4)"))
        self.assert_refused(1193, "Unknown system variable", lambda: self.vtgate("set no_such_variable = 1"))
        self.vtgate("set @v = 4")
        self.assertEqual(self.vtgate("select email from customer where customer_id = @v"), [("c004@x",)])

    # --- prepared statements ---
    def test_prepared_statements(self):
        connection = self.vtgate.connection
        by_id = Statement(connection, "select customer_id, email from customer where customer_id = ?")
        for customer in (1, 4, 5, 4):
            self.assertEqual(by_id.execute(customer), [(customer, f"c{customer:03}@x")])
        self.assertEqual(by_id.execute("4"), [(4, "c004@x")])
        self.assertEqual(by_id.execute(None), [])
        add = Statement(connection, "insert into corder(order_id, customer_id, sku, price, note, weight, ordered) "
                                    "values (?, ?, ?, ?, ?, ?, ?)")
        when = datetime.datetime(2020, 2, 29, 12, 30, 1)
        for order, customer in ((1000, 1000), (1001, 1001)):
            self.assertEqual(add.execute(order, customer, "p", -5, None, 2.5, when)[0], 1)
        everything = Statement(connection, "select order_id, price, note, weight, ordered from corder where sku = ? order by order_id")
        self.assertEqual(everything.execute("p"), [(1000, -5, None, "2.50", when), (1001, -5, None, "2.50", when)])
        total = Statement(connection, "select count(*), sum(price) from corder where customer_id in (?, ?)")
        self.assertEqual(total.execute(1000, 1001), [(2, "-10")])
        raise_price = Statement(connection, "update corder set price = price + ? where customer_id = ?")
        self.vtgate("begin")
        self.assertEqual(raise_price.execute(7, 1000)[0], 1)
        self.assertEqual(raise_price.execute(8, 1001)[0], 1)
        self.assertEqual(total.execute(1000, 1001), [(2, "5")])
        self.vtgate("rollback")
        self.assertEqual(total.execute(1000, 1001), [(2, "-10")])
        with_id = Statement(connection, "insert into customer(email) values (?)")
        _, first = with_id.execute("prepared")
        self.assertGreaterEqual(first, 1000)
        self.assertEqual(by_id.execute(first), [(first, "prepared")])
        limited = Statement(connection, "select order_id from corder where order_id <= ? order by order_id limit ?")
        self.assertEqual(limited.execute(100, 3), [(1,), (2,), (3,)])
        self.assert_refused((1064, 1105), "syntax", lambda: Statement(connection, "select from where"))
        by_id.close()
        self.assert_refused(1243, "Unknown prepared statement", lambda: by_id.execute(1))

    def test_statements_prepared_as_text(self):
        session = self.vtgate
        session("set @a = 3, @b = 4, @n = 2")
        session("prepare one from 'select customer_id, ? + 1 from customer where customer_id = ?'")
        self.assertEqual(session("execute one using @n, @a"), [(3, 3)])
        self.assertEqual([column[0] for column in session.cursor.description], ["customer_id", "? + 1"])
        session("prepare several from 'select customer_id from customer where customer_id in (?, ?) order by 1 limit ?'")
        self.assertEqual(session("execute several using @a, @b, @n"), [(3,), (4,)])
        session("set @text = 'select count(*) from customer where customer_id <= ?'")
        session("prepare several from @text")
        self.assertEqual(session("execute several using @b"), [(4,)])
        self.assertEqual(session("execute immediate 'select max(customer_id) from customer where customer_id < ?' using @b"), [(3,)])
        session("prepare adding from 'insert into customer(customer_id, email) values (?, ?)'")
        session("set @id = 1700, @e = 'it''s'")
        session("execute adding using @id, @e")
        self.assertEqual(session("select email from customer where customer_id = 1700"), [("it's",)])
        for numbers, statement in (((1210,), "execute one using @a"), ((1243,), "execute nobody"), ((1064,), "prepare wrong from 'selec'"),
                                   ((1243,), "execute wrong"), ((1105, 1235), "prepare p from 'flush tables with read lock'"),
                                   ((1243,), "deallocate prepare nobody")):
            self.assert_refused(numbers, ".", lambda s=statement: session(s))
        session("deallocate prepare one")
        self.assert_refused((1243,), "one", lambda: session("execute one using @n, @a"))

    def test_reference_tables(self):
        primaries = [self.cluster.primary("customer", shard) for shard in ("-80", "80-")]
        self.cluster.vtctldclient("ApplySchema", "--sql", "create table code(id int primary key, name varchar(20))", "customer")
        self.cluster.vtctldclient("ApplySchema", "--sql", "create table origin(id int primary key, name varchar(20))", "commerce")
        for tablet in primaries:
            with self.cluster.server(tablet, "customer") as server, server.cursor() as cursor:
                cursor.execute("create table copied like code")
        for keyspace, tables in (("customer", "code, copied"), ("commerce", "origin")):
            self.addCleanup(self.cluster.vtctldclient, "ApplySchema", "--sql", f"drop table {tables}", keyspace)
        vschema = json.loads(SHARDED_VSCHEMA)
        vschema["tables"]["code"] = {"type": "reference"}
        vschema["tables"]["copied"] = {"type": "reference", "source": "commerce.origin"}
        self.cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(vschema), "customer")
        self.addCleanup(self.cluster.vtctldclient, "ApplyVSchema", "--vschema", SHARDED_VSCHEMA, "customer")
        self.eventually(lambda: self.vtgate("insert into code values (1, 'one'), (2, 'two')") or self.assertEqual(self.vtgate.cursor.rowcount, 2), 20)

        def copies(table="code"):
            return [texts(self.cluster.server_rows(tablet, f"select * from {table} order by id")) for tablet in primaries]
        self.assertEqual(copies(), [[(1, "one"), (2, "two")]] * 2)
        self.vtgate("update code set name = upper(name) where id = 2")
        self.assertEqual(self.vtgate.cursor.rowcount, 1)
        self.vtgate("begin")
        self.vtgate("delete from code")
        self.assertEqual(self.vtgate.cursor.rowcount, 2)
        self.vtgate("rollback")
        self.assertEqual(copies(), [[(1, "one"), (2, "TWO")]] * 2)
        # Copies that have become different are told, and stay as they are.
        self.cluster.server_rows(primaries[1], "delete from code where id = 1")
        self.assert_refused((1105, 1235), "the copies of the reference table differ", lambda: self.vtgate("update code set name = 'x' where id = 1"))
        self.assertEqual(copies(), [[(1, "one"), (2, "TWO")], [(2, "TWO")]])
        self.assert_refused(UNSUPPORTED, "the function uuid", lambda: self.vtgate("update code set name = uuid()"))
        self.vtgate("insert into copied(id, name) values (7, 'seven')")
        self.assertEqual(self.vtgate("select * from commerce.origin"), [(7, "seven")])
        self.assertEqual(copies("copied"), [[], []])

    def test_large_results_and_values(self):
        value = "x" * 100
        self.vtgate("begin")
        for first in range(1000, 9000, 1000):
            self.vtgate("insert into customer(customer_id, email) values " +
                        ",".join(f"({n}, '{value}')" for n in range(first, first + 1000)))
        self.vtgate("commit")
        self.assertEqual(self.vtgate("select count(*), sum(customer_id) from customer where customer_id >= 1000"),
                         [(8000, sum(range(1000, 9000)))])
        self.assertEqual(len(self.vtgate("select * from customer where customer_id >= 1000 order by customer_id")), 8000)
        self.assertEqual(len(self.vtgate("select * from customer where customer_id >= 1000")), 8000)
        size = 17 << 20  # More than one packet, both ways.
        self.assertEqual(len(self.rows("select repeat('y', %s)", "customer", (size,))[0][0]), size)
        self.assertEqual(self.rows(f"select length('{'z' * size}')", "customer"), [(size,)])

    @unittest.skipIf(shutil.which("sysbench") is None, "sysbench is not installed")
    def test_a_stock_driver_with_server_side_prepared_statements(self):
        flags = ["sysbench", "oltp_read_write", "--mysql-host=127.0.0.1", "--mysql-user=demo", "--mysql-db=commerce",
                 f"--mysql-port={self.cluster.addresses['vtgate']['mysql']}", "--tables=1", "--table-size=500"]
        for command in (["prepare"], ["run", "--threads=4", "--time=2", "--db-ps-mode=auto", "--skip-trx=off"], ["cleanup"]):
            done = subprocess.run([*flags, *command[1:], command[0]], capture_output=True, text=True, timeout=60,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    main()
