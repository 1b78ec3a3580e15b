"""Every wait has an end, and every queue and buffer a bound: full pools, tablets and servers that stand still, results and
statements that are too large, connections that nobody uses.
"""

import os
import resource
import signal
import sys
import threading
import time
import unittest

import pymysql

from binary_protocol import Statement
from support import Cluster, ClusterTest, main

from vitrail.idle_clients import IdleClients, allow_files
from vitrail.processes import SLOWNESS, http_json, stand_still, wait_until

SCHEMA = "create table item(id bigint primary key, v varchar(200)); create table code(id bigint primary key, name varchar(40))"
VSCHEMA = """{"sharded": true, "vindexes": {"xxhash": {"type": "xxhash"}},
  "tables": {"item": {"column_vindexes": [{"column": "id", "name": "xxhash"}]}, "code": {"type": "reference"}}}"""
IDLE_CLIENTS = 50_000
CONNECTIONS = 12  # Of vtgate to one tablet.
SERVER_CONNECTIONS = 20  # Of a tablet to its server.


class SmallCluster(Cluster):
    def start(self, name, argv, ready, seconds=60):
        if name.startswith("vttablet"):
            argv = [*argv, "--queryserver-config-pool-size", SERVER_CONNECTIONS, "--queryserver-config-query-pool-timeout", "1s",
                    "--queryserver-config-idle-timeout", "2s", "--lost-server-timeout", "3s"]
        return super().start(name, argv, ready, seconds)


class Outcome(threading.Thread):
    """Runs a statement on a connection, beside the test: its rows or its error, and how long it took."""

    def __init__(self, connection, sql):
        super().__init__(daemon=True)
        self.connection, self.sql, self.rows, self.error = connection, sql, None, None
        self.began, self.seconds = time.monotonic(), None
        self.start()

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(self.sql)
                self.rows = cursor.fetchall()
        except pymysql.MySQLError as error:
            self.error = error.args
        self.seconds = time.monotonic() - self.began

    def result(self, seconds):
        self.join(seconds)
        assert not self.is_alive(), f"{self.sql} took more than {seconds} s"
        return self


class LimitsTest(ClusterTest):
    cluster_class = SmallCluster

    @classmethod
    def prepare(cls):
        cls.idle_clients = IDLE_CLIENTS
        if not allow_files(IDLE_CLIENTS + 2000):  # Before vtgate starts, which has this process's limits.
            cls.idle_clients = min(IDLE_CLIENTS, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 2000)
            allow_files(cls.idle_clients + 2000)
            print(f"{cls.idle_clients} idle clients in place of {IDLE_CLIENTS}: more files may not be open here (ulimit -Hn)", file=sys.stderr)
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "sh")
        cls.tablets = [cluster.add_shard("sh", shard, uid, ("replica",))[0] for shard, uid in (("-80", 100), ("80-", 200))]
        cluster.vtctldclient("ApplySchema", "--sql", SCHEMA, "sh")
        cluster.vtctldclient("ApplyVSchema", "--vschema", VSCHEMA, "sh")
        cluster.start_vtgate("--connections-per-tablet", str(CONNECTIONS), "--connection-timeout", "1s",
                             "--healthcheck-timeout", "3s", "--lost-tablet-timeout", "4s", "--connection-waiters", "30",
                             "--memory-per-session", str(24 << 20), "--memory-limit", str(64 << 20),
                             "--tablet-types-to-wait", "PRIMARY", "--mysql-server-max-connections", str(IDLE_CLIENTS + 100))
        with cluster.connect("sh") as connection, connection.cursor() as cursor:
            cursor.execute("insert into item(id, v) values " + ", ".join(f"({n}, 'v{n}')" for n in range(1, 41)))
        for tablet in cls.tablets:
            with cluster.server(tablet, "sh") as server, server.cursor() as cursor:
                cursor.execute("insert into code values (1, 'one')")
        cls.ids = [[row[0] for row in cluster.server_rows(t, "select id from item order by id")] for t in cls.tablets]

    def connect(self, database="sh", **options):
        connection = self.cluster.connect(database, **options)
        self.addCleanup(lambda: connection.open and connection.close())
        return connection

    def execute(self, connection, sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def vars(self):
        return http_json(self.cluster.addresses["vtgate"]["port"], "/debug/vars")

    def app_connections(self, tablet):
        return self.cluster.server_rows(
            tablet, "select count(*) from information_schema.processlist where user = 'vt_app'")[0][0]

    def stop(self, *pids):
        for pid in pids:
            self.addCleanup(os.kill, pid, signal.SIGCONT)
            stand_still(pid)

    def server_pid(self, tablet):
        with open(self.cluster.path(f"vt_{tablet.uid:010d}", "mysql.pid"), encoding="utf-8") as file:
            return int(file.read())

    def healthy(self):
        for ids in self.ids:
            connection = self.connect()
            try:
                if self.execute(connection, f"select id from item where id = {ids[0]}") != ((ids[0],),):
                    return False
            except pymysql.MySQLError:
                return False
            finally:
                connection.close()
        return True

    def test_a_full_pool_refuses_in_time_and_goes_on(self):
        sql = f"select v from item where id = {self.ids[0][0]}"
        holders = [self.connect() for _ in range(CONNECTIONS)]
        for holder in holders:
            self.execute(holder, "begin")
            self.execute(holder, sql)
        late = Outcome(self.connect(), sql).result(10)
        self.assertEqual(late.error[0], 1203, late.error)
        self.assertIn("--connections-per-tablet", late.error[1])
        self.assertGreater(late.seconds, 0.5)
        # Who waits when somebody lets go gets it.
        waiting = Outcome(self.connect(), sql)
        self.execute(holders[0], "rollback")
        self.assertIsNone(waiting.result(10).error)
        # So many wait that one more is refused at once.
        crowd = [Outcome(self.connect(), sql) for _ in range(40)]
        self.execute(holders[1], "begin")
        for outcome in crowd:
            outcome.result(20)
        for holder in holders:
            self.execute(holder, "rollback")
        self.assertEqual(len(self.execute(late.connection, sql)), 1)

    def test_a_lost_tablet_ends_its_statements_and_nobody_elses(self):
        lost, other = self.ids[1][0], self.ids[0][0]
        warm = self.connect()
        self.execute(warm, f"select v from item where id = {lost}")
        self.stop(self.cluster.processes[self.tablets[1].name].pid)
        stuck = Outcome(warm, f"select v from item where id = {lost}")
        scatter = Outcome(self.connect(), "select count(*) from item")
        self.assertIsNone(Outcome(self.connect(), f"select v from item where id = {other}").result(3).error)
        for outcome in (stuck, scatter):
            self.assertIsNotNone(outcome.result(25).error, outcome.sql)
        self.doCleanups()
        wait_until(self.healthy, "the tablet to serve again")

    def test_a_server_that_stands_still_leaves_other_statements_alone(self):
        for index in (0, 1):
            with self.subTest(stopped=self.tablets[index].shard):
                self.stop(self.server_pid(self.tablets[index]))
                stuck = Outcome(self.connect(), f"select v from item where id = {self.ids[index][0]}")
                time.sleep(1.0)  # As long as it takes to see that it gives no answers.
                for sql in ("select 1", "set time_zone = '+02:00'", "select * from code where id = 1",
                            f"select v from item where id = {self.ids[1 - index][0]}", "select v from item where id = null"):
                    self.assertIsNone(Outcome(self.connect(), sql).result(4).error, sql)
                self.doCleanups()
                stuck.result(40)
                wait_until(self.healthy, "the server to answer again")

    def test_a_server_that_stands_still_for_long_is_waited_for_no_more(self):
        lost = self.ids[0][0]
        warm, patient, timed = self.connect(), self.connect(), self.connect()
        self.execute(patient, "set workload = 'olap'")
        for connection in (warm, patient, timed):
            self.execute(connection, f"select v from item where id = {lost}")
        self.stop(self.server_pid(self.tablets[0]))
        # Ordinary statements, those that no timeout ends, changes, and those with a timeout of their own.
        stuck = [Outcome(warm, f"update item set v = 'late' where id = {lost}"),
                 Outcome(patient, f"select v from item where id = {lost}")]
        self.assertEqual(Outcome(timed, f"select /*vt+ QUERY_TIMEOUT_MS=200 */ v from item where id = {lost}").result(9).error[0], 1317)
        for outcome in stuck:
            self.assertIsNotNone(outcome.result(15).error, outcome.sql)
        self.doCleanups()
        wait_until(self.healthy, "the server to answer again")
        # What was given up has ended in the server, or is over.
        wait_until(lambda: not self.cluster.server_rows(
            self.tablets[0], "select id from information_schema.processlist where user = 'vt_app' and info like '%item%'"),
            "the statements to end in the server")
        self.execute(self.connect(), f"update item set v = 'v{lost}' where id = {lost}")

    def test_a_statements_own_timeout_ends_it_in_the_server(self):
        one = f"select /*vt+ QUERY_TIMEOUT_MS=300 */ sleep(20) from item where id = {self.ids[0][0]}"
        for sql in (one, "select /*vt+ QUERY_TIMEOUT_MS=300 */ sleep(20), id from item order by id",
                    "select /*vt+ QUERY_TIMEOUT_MS=300 */ count(*) from item a join item b on a.v = b.v and sleep(20) = 0"):
            with self.subTest(sql=sql):
                outcome = Outcome(self.connect(), sql).result(5)
                self.assertEqual(outcome.error[0], 1317, outcome.error)
                self.assertGreater(outcome.seconds, 0.2)
        for tablet in self.tablets:
            wait_until(lambda: not self.cluster.server_rows(
                tablet, "select id from information_schema.processlist where info like '%sleep(20)%' and id <> connection_id()"),
                "the statements to end in the server", 5)
        # For this one only; and not where nothing takes that long.
        connection = self.connect()
        self.assertEqual(self.execute(connection, f"select /*vt+ QUERY_TIMEOUT_MS=5000 */ v from item where id = {self.ids[0][0]}"),
                         ((f"v{self.ids[0][0]}",),))
        # Nor for what is prepared behind it, when its time is over.
        timed = f"select /*vt+ QUERY_TIMEOUT_MS=2000 */ v from item where id = {self.ids[0][0]}"
        over = time.monotonic() + 2
        Outcome(connection, timed).result(4)
        wait_until(lambda: time.monotonic() > over, "the time of that statement to be over", 5)
        self.assertEqual(Statement(connection, "select v from item where id = ?").execute(self.ids[1][0]), [(f"v{self.ids[1][0]}",)])
        self.execute(connection, "set query_timeout = 100")
        self.assertEqual(len(self.execute(connection, f"select /*vt+ QUERY_TIMEOUT_MS=0 */ sleep(0.4) from item where id = {self.ids[0][0]}")), 1)
        error = Outcome(connection, f"select sleep(5) from item where id = {self.ids[0][0]}").result(4).error
        self.assertEqual(error[0], 1317, error)

    def test_directives_that_ask_for_less_than_everything(self):
        connection = self.connect()
        everything = self.execute(connection, "select id from item order by id")
        # A shard whose rows give an error: the others' rows are the answer.
        self.cluster.server_rows(self.tablets[1], "rename table item to away")
        try:
            sql = "select /*vt+ SCATTER_ERRORS_AS_WARNINGS */ id from item order by id"
            self.assertEqual([row[0] for row in self.execute(connection, sql)], self.ids[0])
            warnings = self.execute(connection, "show warnings")
            self.assertEqual(len(warnings), 1, warnings)
            self.assertEqual(warnings[0][:2], ("Warning", 1146))
            self.assertIn("sh.80-.primary", warnings[0][2])
            self.assertEqual(Outcome(connection, "select id from item order by id").result(5).error[0], 1146)
        finally:
            self.cluster.server_rows(self.tablets[1], "rename table away to item")
        self.assertEqual(self.execute(connection, sql), everything)
        self.assertEqual(self.execute(connection, "show warnings"), ())
        # Each shard's change commits by itself.
        ids = (self.ids[0][0], self.ids[1][0])
        change = f"update /*vt+ MULTI_SHARD_AUTOCOMMIT=1 */ item set v = if(id = {ids[1]}, repeat('x', 300), 'y') where id in {ids}"
        error = Outcome(connection, change).result(10).error
        self.assertEqual(error[0], 1406, error)
        self.assertIn("MULTI_SHARD_AUTOCOMMIT", error[1])
        self.assertEqual(self.execute(connection, f"select v from item where id in {ids} order by v = 'y'")[1], ("y",))
        self.execute(connection, f"update item set v = concat('v', id) where id in {ids}")
        error = Outcome(connection, change.replace("/*vt+ MULTI_SHARD_AUTOCOMMIT=1 */", "")).result(10).error
        self.assertEqual(error[0], 1406, error)
        self.assertEqual(self.execute(connection, "select count(*) from item where v = 'y'"), ((0,),))
        self.assertEqual(Outcome(connection, "select /*vt+ PRIORITY=200 */ 1").result(5).error[0], 1105)

    def test_logins_of_many_forms_share_one_limit(self):
        tablet = self.tablets[0]
        held = []
        for charset in ("utf8mb4", "latin1", "utf8", "ascii", "latin2", "cp1250", "hebrew", "greek"):
            for flags in (0, pymysql.constants.CLIENT.FOUND_ROWS, pymysql.constants.CLIENT.IGNORE_SPACE):
                for _ in range(2):
                    connection = pymysql.connect(host="127.0.0.1", port=tablet.ports["data"], user="vtgate", charset=charset,
                                                 database="sh/-80@primary", client_flag=flags, autocommit=True)
                    self.addCleanup(lambda: connection.open and connection.close())
                    self.execute(connection, "select 1")
                    held.append(connection)
        self.assertGreater(len(held), SERVER_CONNECTIONS)
        self.assertLessEqual(self.app_connections(tablet), SERVER_CONNECTIONS)
        # At the same time, too: who finds none waits, and is served.
        outcomes = [Outcome(connection, "select sleep(0.05)") for connection in held]
        self.assertEqual([o.result(20).error for o in outcomes], [None] * len(outcomes))
        self.assertLessEqual(self.app_connections(tablet), SERVER_CONNECTIONS)
        # What nobody uses goes.
        wait_until(lambda: self.app_connections(tablet) == 0, "idle connections to be closed", 20)

    def test_rows_held_are_bounded_by_bytes(self):
        connection = self.connect()
        large = "select distinct concat(v, repeat('x', 1000000)) b from item"
        error = Outcome(connection, large).result(30).error
        self.assertEqual(error[0], 1041, error)
        self.assertIn("--memory-per-session", error[1])
        self.assertEqual(self.execute(connection, "select count(*) from item"), ((40,),))
        # In a transaction the transaction stays.
        self.execute(connection, "begin")
        self.execute(connection, "insert into item(id, v) values (1001, 'x')")
        self.assertEqual(Outcome(connection, large).result(30).error[0], 1041)
        self.assertEqual(self.execute(connection, "select v from item where id = 1001"), (("x",),))
        self.execute(connection, "rollback")
        values = self.vars()
        self.assertGreaterEqual(values["MemoryRefused"]["results"], 2)
        self.assertEqual(values["MemoryHeldBytes"]["results"], 0)

    def resident(self):
        with open(f"/proc/{self.cluster.processes['vtgate'].pid}/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS:"))

    def test_clients_that_do_nothing_cost_next_to_nothing(self):
        clients = IdleClients(self.cluster.addresses["vtgate"]["mysql"], "sh")
        self.addCleanup(clients.close)
        clients.add(500)  # Until pools and caches are filled.
        before = self.resident()
        clients.add(self.idle_clients - 500)
        each = (self.resident() - before) / (self.idle_clients - 500)
        if SLOWNESS == 1:  # The address sanitizer's memory is of its own.
            self.assertLess(each, 4096)
        self.assertEqual(self.execute(self.connect(), "select count(*) from item"), ((40,),))
        clients.close()
        wait_until(lambda: self.vars()["MysqlServerConnCount"] < 100, "the clients to be gone", 60)

    def test_rows_of_several_shards_are_passed_on_as_they_come(self):
        # Far more than a session may hold: as they come, in order, of a join that one server finishes.
        for sql, ordered in (("select id, repeat(v, 500000) b from item", False), ("select id, repeat(v, 500000) b from item order by id desc", True),
                             ("select a.id, repeat(a.v, 500000) b from item a join item b on a.v = b.v order by a.id desc", True)):
            with self.subTest(sql), self.connect(cursorclass=pymysql.cursors.SSCursor) as connection, connection.cursor() as cursor:
                before = self.resident()
                cursor.execute(sql)
                ids, most = [], 0
                for key, text in cursor:
                    self.assertEqual(text, f"v{key}" * 500000)
                    ids.append(key)
                    most = max(most, self.resident())
                self.assertEqual(ids if ordered else sorted(ids, reverse=True), list(range(40, 0, -1)))
                self.assertLess(most - before, 40 << 20)  # Of some 60 MB.
        # A client that leaves in the middle leaves nothing behind.
        connection = self.connect(cursorclass=pymysql.cursors.SSCursor)
        cursor = connection.cursor()
        cursor.execute("select id, repeat(v, 500000) b from item order by id")
        cursor.fetchone()
        connection._force_close()  # pylint: disable=protected-access
        cursor._result.unbuffered_active = False  # Else it reads the rest at its end.  # pylint: disable=protected-access
        wait_until(lambda: all(self.cluster.server_rows(t, "select count(*) from information_schema.processlist where info like '%repeat(v%' and "
                                                        "id <> connection_id()")[0][0] == 0 for t in self.tablets),
                   "the statements to end with their client", 20)
        self.assertEqual(self.execute(self.connect(), "select count(*) from item"), ((40,),))

    def test_a_client_may_take_its_time(self):
        # Servers by themselves would wait a second for a reader. In an order, one shard's rows wait until the other's have been read.
        for tablet in self.tablets:
            with self.cluster.server(tablet) as server, server.cursor() as cursor:
                cursor.execute("set global net_write_timeout = 1")
        # Connections that nobody has used before: they were not made before the setting.
        with self.connect(cursorclass=pymysql.cursors.SSCursor, charset="latin1") as connection, connection.cursor() as cursor:
            cursor.execute("select id, repeat(v, 500000) b from item order by id")
            ids = [cursor.fetchone()[0]]
            time.sleep(2.5)
            ids += [key for key, _ in cursor.fetchall()]
        self.assertEqual(ids, list(range(1, 41)))

    def test_an_error_comes_behind_rows(self):
        # The shard of the last row fails when rows have been sent: the rest is ended, and the session goes on.
        last = max(self.ids[0])
        sql = f"select id, repeat('x', 100000) b, exp(if(id = {last}, 10000, 1)) c from item"
        for begin in (False, True):
            connection = self.connect(cursorclass=pymysql.cursors.SSCursor)
            if begin:
                self.execute(connection, "begin")
                self.execute(connection, "insert into item(id, v) values (1002, 'y')")
            with connection.cursor() as cursor, self.assertRaisesRegex(pymysql.MySQLError, "out of range"):
                cursor.execute(sql)
                cursor.fetchall()
            self.assertEqual(list(self.execute(connection, "select count(*) from item")), [(40 + begin,)])
            self.execute(connection, "rollback")

    def test_statements_held_are_bounded_by_bytes(self):
        connection = self.connect()
        large = "select length('" + "x" * (30 << 20) + "')"
        error = Outcome(connection, large).result(30).error
        self.assertEqual(error[0], 1041, error)
        self.assertEqual(self.execute(connection, "select 1"), ((1,),))
        self.assertGreaterEqual(self.vars()["MemoryRefused"]["statements"], 1)
        self.assertEqual(self.execute(self.connect(), "select length('" + "x" * (5 << 20) + "')"), ((5 << 20,),))
        wait_until(lambda: self.vars()["MemoryHeldBytes"]["statements"] == 0, "the memory to be given back", 10)


if __name__ == "__main__":
    main()
