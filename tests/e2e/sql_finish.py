"""Statements that no shard answers alone and no merge of their answers does: rows go to one server, which finishes them."""

import decimal
import itertools
import json
import re
import threading
import time

import pymysql

import sql as plain
import sql_scripts
from binary_protocol import Statement
from support import ClusterTest, main, texts

from vitrail.processes import http_json, wait_until

INTERRUPTED = 1317
# A column of every type, in three rows: plain values, limits and oddities, NULLs.
KINDS = """create table kinds(
  id bigint not null auto_increment, ti tinyint, su smallint unsigned, mz mediumint(6) zerofill, i int not null default 7, bu bigint unsigned,
  de decimal(20,5) not null, f float, d double, dd double(10,3), y year, da date not null, ti6 time(6), dt datetime(3) default current_timestamp(3),
  ts timestamp(2) null, ts2 timestamp not null default current_timestamp on update current_timestamp, c char(5), v varchar(20) not null,
  l1 varchar(20) character set latin1 collate latin1_german1_ci, nopad varchar(20) collate utf8mb4_nopad_bin, tx text, lt longtext character set utf8mb3,
  b binary(4), vb varbinary(10), bl blob, e enum('zeta','it''s','\u00e4') not null, s set('q','p','z'), bi bit(9), js json, uu uuid, i6 inet6,
  g geometry, gen int as (i + 1) stored, virt varchar(30) as (concat(v, '!')) virtual,
  primary key(id), unique key(su), key(v), key(e, s))"""
KINDS_ROWS = [
    "insert into kinds(ti, su, mz, i, bu, de, f, d, dd, y, da, ti6, dt, ts, ts2, c, v, l1, nopad, tx, lt, b, vb, bl, e, s, bi, js, uu, i6, g) values"
    "(-128, 65535, 42, -5, 18446744073709551615, -123456789012345.67891, 0.1, 0.1, 1.0005, 1999, '2020-02-29', '-100:00:00.5',"
    " '2020-01-01 00:00:00.5', '2020-10-25 02:30:00.25', '2001-02-03 04:05:06', 'a ', 'W\u00f6rt', '\u00e4\u00df', 'x ', 'it''s \\\\ \"q\"', 'l\u00f6ng',"
    " 'a', 0x00ff41, 0x8182, 'it''s', 'q,z', b'101', '{\"a\": [1, 2]}', '0baabc25-ebcd-11f1-b4ff-02fc00000001', '::ffff:1.2.3.4', point(1, 2))",
    "insert into kinds(dt, ts2, su, i, de, d, da, ts, v, e, s, f, tx, b) values (null, '2019-01-01', 0, 1, 0, 1e300, '9999-12-31', '1970-01-01 10:00:01', '', '\u00e4', '', 3.4e38, '', '')",
    "insert ignore into kinds(dt, ts2, de, da, v, e) values (null, '2019-01-01', 1.5, '0001-01-01', '\U0001f40d', 'no member')",
]
STATEMENTS = (
    "select avg(price), avg(order_id), sku from corder group by sku having avg(price) > 3 and 4 < max(order_id) order by count(*), sku",
    "select avg(price), count(distinct sku), group_concat(distinct sku order by sku) from corder",
    "select c.email, o.sku from customer c join corder o on o.price = c.customer_id order by c.email, o.order_id",
    "select c.customer_id, o.order_id from customer c left join corder o on o.order_id = c.customer_id + 100 order by 1, 2",
    "select o.order_id, c.email from customer c right join corder o on o.price = c.customer_id and c.email > 'c020' where o.price > 30 order by 1",
    "select customer_id, email from customer where customer_id in (select price from corder where note like 'N%') order by email",
    "select email from customer c where not exists (select 1 from corder o where o.customer_id = c.customer_id and o.price > 10) order by 1",
    "select customer_id, (select max(price) from corder o where o.customer_id = c.customer_id) as top from customer c order by top desc, 1 limit 7",
    "select sku, count(*) from corder group by sku having count(*) > 9 order by sku",
    "select sku, count(*), sum(price) from corder group by sku with rollup",
    "select customer_id from customer where customer_id < 4 union select price from corder where price < 5 order by 1",
    "select customer_id from customer union all select 1000 + customer_id from customer order by 1 limit 3, 80",
    "select price from corder except select customer_id from customer order by 1",
    "select d.n, d.sku from (select sku, count(*) as n from corder group by sku) d join customer c on c.customer_id = d.n order by 1, 2",
    "select order_id, row_number() over (partition by sku order by price, order_id) as r, sum(price) over (order by order_id) from corder order by 1",
    "with t as (select sku, max(price) as top from corder group by sku) select t.*, o.order_id from t join corder o on o.sku = t.sku and o.price = t.top "
    "order by 1, 3",
    "with recursive t as (select 1 as n union all select n + 1 from t where n < 12) select n, count(order_id) from t left join corder on price = n "
    "group by n order by n",
    "select * from customer natural join corder where sku = 'SKU-3' order by order_id",
    "select a.order_id, b.order_id from corder a, corder b where a.price = b.price and a.order_id < b.order_id order by 1, 2",
    "select distinct upper(sku) as u from corder order by length(sku), u",
    "select lower(coalesce(note, 'none')) as n, avg(weight), round(min(price) / 3e0, 5) from corder group by n order by n",
    "select order_id from corder where (sku, price) in (select sku, max(price) from corder group by sku) order by 1",
    "select case when price < 0 then 'low' else 'high' end, count(*) from corder group by 1 order by 1",
    "select sum(price) / count(*) , max(price) - min(price) from corder where ordered < '2019-02-01'",
    "select customer_id, ordered from corder order by abs(price), order_id limit 5",
    "select no_such_column from customer c join corder o on c.email = o.sku",
    "select customer_id from customer c join corder o on c.email = o.sku",
    "select (select customer_id from customer) from corder",
)


class FinishTest(ClusterTest):
    fill = classmethod(plain.SqlTest.fill.__func__)
    assert_same_answer = plain.SqlTest.assert_same_answer

    @classmethod
    def prepare(cls):
        plain.SqlTest.prepare.__func__(cls)
        cls.cluster.vtctldclient("ApplySchema", "--sql", KINDS, "commerce")
        with plain.Session(cls.cluster, "commerce", charset="utf8mb4") as vtgate, cls.reference.cursor() as cursor:
            cursor.execute("set names utf8mb4")
            cursor.execute(KINDS)
            for row in KINDS_ROWS:
                vtgate(row)
                cursor.execute(row)

    def test_views_stand_for_their_queries(self):
        with self.reference.cursor() as cursor:
            for sql in ("create view dear as select order_id, customer_id, price * 2 as twice from corder where price > 30",
                        "create view by_sku(sku, n) as select sku, count(*) from corder group by sku",
                        "create view dear_and_many as select d.order_id, s.n from dear d join corder o on o.order_id = d.order_id join by_sku s on s.sku = o.sku"):
                self.vtgate(sql)
                cursor.execute(sql)
        for sql in ("select count(*), sum(twice) from dear", "select * from dear order by order_id", "select n, sku from by_sku order by sku",
                    "select d.twice from dear d order by d.order_id limit 3",
                    "select c.email, d.twice from customer c join dear d on d.customer_id = c.customer_id where c.customer_id = 7 order by 2",
                    "select * from dear_and_many order by order_id", "with dear as (select 1 as one) select * from dear",
                    "select email from customer where customer_id in (select customer_id from dear) order by email"):
            with self.subTest(sql=sql):
                self.assert_same_answer(sql)
        statement = Statement(self.vtgate.connection, "select order_id from dear where twice > ? order by order_id")
        self.assertEqual(texts(statement.execute(150)), self.vtgate("select order_id from dear where twice > 150 order by order_id"))
        plan = self.vtgate("vexplain plan select d.twice from dear d order by d.order_id limit 3")[0][0]
        self.assertIn("corder", plan)
        for sql in ("show create view dear", "show create view customer.dear"):
            name, text = self.vtgate(sql)[0][:2]
            self.assertEqual(name, "dear")
            self.assertIn("`corder`", text)
        self.assert_refused((1146,), "no_view", lambda: self.vtgate("show create view no_view"))
        # One that is made anew is another one at once.
        self.vtgate("create or replace view dear as select order_id, customer_id, price * 3 as twice from corder where price > 30")
        self.assertEqual(self.vtgate("select sum(twice) from dear"), self.vtgate("select sum(price * 3) from corder where price > 30"))
        self.assert_refused((1348,), "twice", lambda: self.vtgate("update dear set twice = 1"))
        self.assert_refused((1146,), "no_view", lambda: self.vtgate("select * from no_view"))

    def test_a_view_is_changed_as_its_table(self):
        with self.reference.cursor() as cursor:
            for sql in ("create view cheap as select order_id as id, customer_id as who, sku, price * 2 as twice from corder where price < 60",
                        "create view cheap_here as select id, sku from cheap where who < 6", "create view total as select sum(price) as price from corder",
                        "create view bare as select sku, customer_id as who, order_id as id, price as cost from corder"):
                self.vtgate(sql)
                cursor.execute(sql)
            rows = "select * from corder order by order_id"
            for sql in ("update cheap set sku = concat(sku, '!') where twice > 20", "update cheap as c set c.sku = 'one' where c.who = 3 order by c.id limit 1",
                        "delete from cheap_here where sku like '%3'", "update cheap_here set sku = 'here'",
                        "insert into bare values ('new', 7, 9001, 3), ('new', 8, 9002, 4)", "insert into bare (id, who) values (9003, 9)",
                        "insert into bare (id, who, cost) values (9001, 7, 5), (9001, 7, 6) on duplicate key update cost = cost + values(cost)",
                        "insert into bare select sku, who, id + 10000, cost from bare where who = 7"):
                with self.subTest(sql=sql):
                    self.vtgate("begin")
                    cursor.execute("begin")
                    self.assertEqual(self.vtgate.cursor.execute(sql), cursor.execute(sql))
                    self.assert_same_answer(rows)
                    self.vtgate("rollback")
                    cursor.execute("rollback")
            for sql in ("create view watched as select order_id as id, sku, price from corder where price < 60 with check option",):
                self.vtgate(sql)
                cursor.execute(sql)
            for sql in ("update watched set sku = 'w' where id > 20", "delete from watched where price < 30"):
                with self.subTest(sql=sql):
                    self.vtgate("begin")
                    cursor.execute("begin")
                    self.assertEqual(self.vtgate.cursor.execute(sql), cursor.execute(sql))
                    self.assert_same_answer(rows)
                    self.vtgate("rollback")
                    cursor.execute("rollback")
            self.assert_refused(plain.UNSUPPORTED, "WITH CHECK OPTION", lambda: self.vtgate("update watched set price = 70"))
            cursor.execute("begin")
            for sql in ("update cheap set twice = 1", "update cheap set price = 1", "insert into cheap values (1, 2, 'x', 3)", "delete from total",
                        "insert into total values (1)", "update total set price = 1"):
                with self.subTest(sql=sql):
                    with self.assertRaises(pymysql.MySQLError) as refused:
                        cursor.execute(sql)
                    self.assert_refused(refused.exception.args[0], "view|updatable|insertable", lambda sql=sql: self.vtgate(sql))
            cursor.execute("rollback")

    def test_scripts_give_what_one_server_gave(self):
        # A sample of what `./dev corpus` runs.
        vschema = json.loads(self.cluster.vtctldclient("GetVSchema", "customer"))
        vschema["vindexes"].update(sql_scripts.vschema()["vindexes"])
        vschema["tables"].update(sql_scripts.vschema()["tables"])
        self.cluster.vtctldclient("ApplySchema", "--sql", ";".join(filter(sql_scripts.is_ddl, sql_scripts.schema())), "customer")
        self.cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(vschema), "customer")
        port = self.cluster.addresses["vtgate"]["port"]
        wanted = sql_scripts.vschema()["tables"].keys()
        wait_until(lambda: wanted <= http_json(port, "/debug/schema").get("customer", {}).keys(), "the columns to be known", 30)
        with self.cluster.connect("customer", charset="utf8mb4", autocommit=True) as connection:
            sql_scripts.fill(connection, ddl=False)
            for name, statement, expected, found in sql_scripts.check(connection, ["collations.test", "subqueries.test", "lookups.test"]):
                with self.subTest(script=name, sql=statement):
                    self.assertEqual(found, expected)

    def setUp(self):
        self.vtgate = plain.Session(self.cluster)
        self.addCleanup(self.vtgate.connection.close)

    def assert_same(self, statement):
        """The same answer, or the same error."""
        with self.reference.cursor() as cursor:
            try:
                cursor.execute(statement)
                error = None
            except pymysql.MySQLError as caught:
                error = caught
        if error is None:
            return self.assert_same_answer(statement)
        return self.assert_refused((error.args[0],), re.escape(error.args[1]), lambda: self.vtgate(statement))

    def finished(self):
        executions = http_json(self.cluster.addresses["vtgate"]["port"], "/debug/vars")["QueryExecutions"]
        return sum(number for label, number in executions.items() if ".Finish." in label)

    def test_answers_are_those_of_one_server(self):
        before = self.finished()
        for statement in STATEMENTS:
            with self.subTest(sql=statement):
                self.assert_same(statement)
        self.assertGreater(self.finished() - before, 30)

    def test_tables_of_several_keyspaces_meet(self):
        # The reference has all tables in one database.
        for statement, reference in (
                ("select k.v, c.email from commerce.kinds k join customer c on c.customer_id = k.id order by 1",
                 "select k.v, c.email from kinds k join customer c on c.customer_id = k.id order by 1"),
                ("select count(*) from commerce.kinds, customer.corder", "select count(*) from kinds, corder"),
                ("select customer.customer.email from customer.customer where customer_id in (select id from commerce.kinds) order by 1",
                 "select customer.email from customer where customer_id in (select id from kinds) order by 1"),
                ("select v from commerce.kinds union select email from customer where customer_id = 1 order by 1",
                 "select v from kinds union select email from customer where customer_id = 1 order by 1")):
            with self.subTest(sql=statement), self.reference.cursor() as cursor:
                cursor.execute(reference)
                self.assertEqual(self.vtgate(statement), texts(cursor.fetchall()))

    def test_columns_of_every_type_come_through_unchanged(self):
        # Tables that are asked one after the other, and temporary ones of one server.
        joins = [f"select * from kinds k join customer c on c.customer_id {equal} k.id order by k.id" for equal in ("=", "<=>")]
        for compare, way in zip(joins, ("merge", "finish"), strict=True):
            plan = json.loads(self.vtgate("vexplain plan " + compare.replace("kinds k", "commerce.kinds k"))[0][0])
            self.assertEqual(plan["Way"], way)

        def shape(cursor):
            fields = cursor._result.fields  # pylint: disable=protected-access
            return [(f.name, f.org_name, f.table_name, f.org_table, f.type_code, f.flags, f.charsetnr, f.length, f.scale) for f in fields]

        sessions = (("utf8mb4", "set time_zone = '-08:00'"), ("utf8mb4", "set sql_mode = ''"), ("latin1", "set time_zone = '+02:00'"),
                    ("utf8mb4", "set sql_mode = 'NO_ZERO_DATE,STRICT_ALL_TABLES'"))
        for (charset, settings), compare in itertools.product(sessions, joins):
            with self.subTest(charset=charset, settings=settings, sql=compare), plain.Session(self.cluster, charset=charset) as vtgate, \
                    self.cluster.server(self.cluster.primary("commerce", "0"), "reference") as connection, connection.cursor() as cursor:
                cursor.execute(f"set names {charset}")
                connection.encoding = vtgate.connection.encoding
                cursor.execute(settings)
                vtgate(settings)
                cursor.execute(compare)
                vtgate.cursor.execute(compare.replace("kinds k", "commerce.kinds k"))
                for found, wanted in zip(vtgate.cursor.fetchall(), cursor.fetchall(), strict=True):
                    self.assertEqual(list(found), list(wanted))
                for found, wanted in zip(shape(vtgate.cursor), shape(cursor), strict=True):
                    self.assertEqual(found, wanted)

    def test_the_session_is_the_clients(self):
        vtgate = self.vtgate
        vtgate("set @limit = 3, time_zone = '+05:00', sql_mode = 'ERROR_FOR_DIVISION_BY_ZERO', group_concat_max_len = 7, timestamp = 1000000000.5")
        self.assertEqual(vtgate("select avg(price) is null, @limit, database(), @@time_zone, @@group_concat_max_len, now(3), @@sql_mode from corder"),
                         vtgate("select 0, 3, 'customer', '+05:00', 7, cast('2001-09-09 06:46:40.500' as datetime(3)), 'ERROR_FOR_DIVISION_BY_ZERO'"))
        self.assertEqual(vtgate("select group_concat(customer_id order by customer_id) from customer having avg(1)"), [("1,2,3,4",)])
        vtgate("insert into corder(customer_id, price) values (1500, 1)")
        generated = vtgate("select last_insert_id()")
        self.assertEqual(vtgate("select distinct last_insert_id() from corder group by sku having count(*) > 0"), generated)
        vtgate("delete from corder where customer_id = 1500")
        vtgate("select sql_calc_found_rows a.order_id from corder a join corder b on a.price = b.customer_id order by 1 limit 2")
        found = vtgate("select found_rows()")
        self.assertEqual(found, vtgate("select count(*) from corder a join corder b on a.price = b.customer_id"))
        vtgate("select avg(price), cast('12x' as signed) from corder")
        self.assertEqual([row[1] for row in vtgate("show warnings")], [1292])
        vtgate("set sql_select_limit = 3")
        self.assertEqual(len(vtgate("select order_id from corder")), 3)
        self.assertEqual(vtgate("select count(*), count(distinct sku) from corder"), [(120, 13)])
        self.assertEqual(len(vtgate("select sku, count(*) from corder group by sku")), 3)
        self.assertEqual(len(vtgate("select sku, avg(price) from corder group by sku")), 3)
        vtgate("set sql_select_limit = default")
        vtgate("select avg(price) from corder into @average")
        self.assertEqual(vtgate("select @average"), vtgate("select avg(price) from corder"))

    def test_prepared_statements(self):
        for statement, values in (("select bit_xor(order_id), avg(price) from corder where customer_id = ? or sku = ?", (4, "SKU-5")),
                                  ("select c.email from customer c join corder o on o.price = c.customer_id where o.price < ? order by 1 limit ?", (20, 5)),
                                  ("select count(distinct sku), ? from corder", ("x",))):
            expected, found = (Statement(c, statement).execute(*values) for c in (self.reference, self.vtgate.connection))
            self.assertEqual(found, expected, statement)
        across = Statement(self.vtgate.connection, "select k.id from commerce.kinds k, customer c where c.customer_id = k.id and k.id > ? order by 1")
        self.assertEqual(across.execute(1), [(2,), (3,)])

    def test_do_computes_over_shards(self):
        self.vtgate("do 1, (select count(*) from corder)")
        Statement(self.vtgate.connection, "do (select max(price) from corder where price > ?), ?").execute(5, "x")
        self.assert_refused((1054,), "no_such_column", lambda: self.vtgate("do (select max(no_such_column) from corder)"))

    def test_a_transaction_sees_what_it_wrote(self):
        vtgate = self.vtgate
        vtgate("begin")
        vtgate("insert into corder(order_id, customer_id, price) values (9001, 1001, 100000), (9002, 1000, 200000)")
        self.assertEqual(vtgate("select count(distinct price) from corder where price >= 100000"), [(2,)])
        with plain.Session(self.cluster) as other:
            self.assertEqual(other("select count(distinct price) from corder where price >= 100000"), [(0,)])
        self.assert_refused((1242,), "more than 1 row", lambda: vtgate("select (select customer_id from customer) from corder"))
        self.assertEqual(vtgate("select count(distinct price) from corder where price >= 100000"), [(2,)])
        vtgate("rollback")
        self.assertEqual(vtgate("select count(distinct price) from corder where price >= 100000"), [(0,)])

    def test_nothing_is_left_behind_and_nothing_is_replicated(self):
        tablets = list(self.cluster.tablets.values())
        created = "select sum(variable_value) from information_schema.global_status where variable_name = 'com_create_table'"
        before = sum(self.cluster.server_rows(t, created)[0][0] for t in tablets)
        for _ in range(20):  # The connections go back to their pools without the tables.
            self.vtgate("select count(distinct sku) from corder")
        self.assertEqual(sum(self.cluster.server_rows(t, created)[0][0] for t in tablets) - before, 0)
        for tablet in tablets:
            for log in self.cluster.server_rows(tablet, "show binary logs"):
                events = self.cluster.server_rows(tablet, f"show binlog events in '{log[0]}'")
                self.assertFalse([row for row in events if "_vt_finish" in str(row)], tablet.alias)

    def test_kill_and_the_end_of_the_client_end_it(self):
        slow = "select sleep(25), avg(price) from corder"

        def running():
            servers = self.cluster.tablets.values()
            return sum(len(self.cluster.server_rows(t, "select 1 from information_schema.processlist where info like 'select sleep(25%'"))
                       for t in servers)

        outcome = []
        session = plain.Session(self.cluster)
        number = session.connection.thread_id()

        def run():
            try:
                outcome.append(session(slow))
            except pymysql.MySQLError as error:
                outcome.append(error.args[0])

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: running() == 1, "the statement to run on one server", 20)
        started = time.monotonic()
        self.vtgate(f"kill query {number}")
        thread.join(10)
        self.assertEqual(outcome, [INTERRUPTED])
        self.assertLess(time.monotonic() - started, 5)
        wait_until(lambda: running() == 0, "the statement to end", 10)
        self.assertEqual(session("select count(distinct sku) from corder"), [(13,)])
        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: running() == 1, "the statement to run on one server", 20)
        session.connection._sock.shutdown(2)  # pylint: disable=protected-access
        wait_until(lambda: running() == 0, "the statement to end with its client", 10)
        thread.join(10)

    def test_zz_limits_name_the_table_and_the_flag(self):
        # The last one by its name: it starts vtgate anew.
        self.cluster.processes.pop("vtgate").stop()
        self.cluster.start_vtgate("--scratch-max-rows", "100", "--scratch-max-bytes", "400", "--scratch-max-sessions", "1")
        schema = self.cluster.addresses["vtgate"]["port"], "/debug/schema"
        wait_until(lambda: {"corder", "customer"} <= set(http_json(*schema).get("customer", {})), "the columns to be known", 20)
        with plain.Session(self.cluster) as vtgate:
            for statement, pattern in (("select std(price) from corder", r"customer.corder.*--scratch-max-rows 100"),
                                       ("select a.email from customer a join customer b on a.email = b.email", r"customer.customer \(b\).*--scratch-max-bytes 400")):
                with self.assertRaisesRegex(pymysql.MySQLError, pattern):
                    vtgate(statement)
            self.assertEqual(vtgate("select count(distinct email) from customer where customer_id < 20"), [(19,)])
            self.assertEqual(vtgate("select avg(customer_id) from customer where customer_id in (1, 3)"), [(2,)])

    def test_a_temporary_table_is_not_taken_for_the_table(self):
        with plain.Session(self.cluster, "commerce") as session:
            session("create temporary table kinds(id int, v int)")
            session("insert into kinds values (1, 2)")
            across = "select k.v from kinds k join customer.customer c on c.customer_id = k.id"
            self.assert_refused(plain.UNSUPPORTED, "the temporary table kinds", lambda: session(across))
            session("drop temporary table kinds")
            self.assertEqual(len(session(across)), 3)

    def test_vexplain_shows_the_way(self):
        for statement, way in (("select * from customer where customer_id = 1", "relay"), ("select count(*) from customer", "merge"),
                               ("select std(price) from corder", "finish")):
            plan = json.loads(self.vtgate(f"vexplain plan {statement}")[0][0])
            self.assertEqual(plan["Way"], way, statement)
        self.assertEqual(plan["Inputs"][0]["Table"], "customer.corder")
        self.assertEqual(plan["Inputs"][0]["Query"], "select `corder`.`price`, `corder`.`order_id` from corder as corder")
        self.assertEqual(plan["Inputs"][0]["OperatorType"], "Route")

    def test_vexplain_tells_what_is_sent(self):
        sent = self.vtgate("vexplain queries select email from customer where customer_id in (1, 2, 3, 4) order by email")
        self.assertEqual([(row[0], row[1]) for row in sent], [("0", "customer")] * 2)
        # Each shard is asked for its own keys alone.
        self.assertEqual(sorted(re.search(r"in \(([0-9, ]+)\)", row[3]).group(1) for row in sent), ["1, 2, 3", "4"])
        joined = self.vtgate("vexplain queries select o.sku from corder o join customer c on o.price = c.customer_id where c.customer_id = 5")
        # What is said of one side's column holds for the other's.
        self.assertTrue(any("(`o`.`price`) = 5" in row[3] for row in joined), joined)
        # Of the other table the rows that can meet those that are there.
        linked = self.vtgate("vexplain queries select o.sku from corder o join customer c on o.price = c.customer_id where c.email = 'c003@x'")
        self.assertTrue(any("`o`.`price` in (" in row[3] for row in linked), linked)
        trace = json.loads(self.vtgate("vexplain trace select count(*) from customer")[0][0])["Trace"]
        self.assertEqual([(t["NoOfCalls"], t["ShardsQueried"], t["AvgNumberOfRows"]) for t in trace], [(1, 2, 2)])
        explained = json.loads(self.vtgate("vexplain all select email from customer where customer_id = 1")[0][0])["Queries"]
        self.assertIn("query_block", explained[0]["mysql_explain_json"])
        keys = json.loads(self.vtgate("vexplain keys select email from customer where customer_id = 1")[0][0])
        self.assertEqual(keys["filterColumns"], ["customer.customer_id ="])
        self.assert_refused((1105, 1235), "EXECUTE_DML_QUERIES", lambda: self.vtgate("vexplain queries delete from customer where customer_id = 99999"))
        sent = self.vtgate("vexplain /*vt+ EXECUTE_DML_QUERIES */ queries delete from customer where customer_id = 99999")
        self.assertEqual([row[3] for row in sent], ["delete from customer where customer_id = 99999"])
        self.assertEqual(self.vtgate("select 1"), [(1,)])

    def test_a_locking_read_over_shards_holds_its_rows(self):
        with plain.Session(self.cluster) as holder, plain.Session(self.cluster) as other:
            holder("begin")
            query = "select c.email, o.order_id from customer c join corder o on o.price = c.customer_id where c.customer_id = 7 order by 2"
            self.assertEqual(holder(query + " for update"), self.vtgate(query))
            other("set innodb_lock_wait_timeout = 1")
            with self.assertRaisesRegex(pymysql.MySQLError, "1205"):
                other("update customer set email = email where customer_id = 7")
            with self.assertRaisesRegex(pymysql.MySQLError, "1205"):
                other(query + " for update nowait")
            other("begin")
            self.assertEqual(other(query + " for update skip locked"), [])
            other("rollback")
            holder("rollback")
            other("update customer set email = email where customer_id = 7")

    def test_hints_set_variables_for_one_statement(self):
        for begin in ("select 1", "begin"):
            self.vtgate(begin)
            self.assertEqual(self.vtgate("select /*+ SET_VAR(div_precision_increment = 7) */ @@div_precision_increment, max(price) / 3 from corder"),
                             [(7, decimal.Decimal("26.6666667"))])
            self.assertEqual(self.vtgate("select @@div_precision_increment"), [(4,)])
            self.vtgate("select /*+ SET_VAR(no_such_variable = 7) */ 1")
            self.assertEqual([row[1] for row in self.vtgate("show warnings")], [4537])
        self.vtgate("rollback")

    def test_what_copies_of_rows_cannot_answer_is_refused(self):
        for statement in ("select avg(price) from (select * from corder for update) d", "select default(price), avg(price) from corder",
                          "select avg(price) from corder, information_schema.tables", "select unknown_function(avg(price)) from corder"):
            self.assert_refused(plain.UNSUPPORTED, "VT12001: unsupported", lambda s=statement: self.vtgate(s))


if __name__ == "__main__":
    main()
